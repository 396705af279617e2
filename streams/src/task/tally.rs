//! What the nodes and stores of a task count, in plain cells that the thread empties at the end of a round.
//! Filled on the path of a record without a lock, a look-up or a look at a clock. Never knows averages or rates: those are
//! made where they are told (`runtime/metrics`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use client::metrics::Series;

use super::collector::TopicId;
use crate::record::Header;
use crate::store::tally::StoreTally;

/// Numbers since they were last taken: how many, their sum, the smallest and the largest.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    count: Cell<u64>,
    /// Times of records may be anything.
    sum: Cell<i128>,
    extremes: Cell<(i64, i64)>,
}

/// What a [`Spread`] had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) count: u64,
    pub(crate) sum: i128,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

impl Spread {
    /// One more.
    #[inline]
    pub(crate) fn add(&self, number: i64) {
        let count = self.count.get();
        let (min, max) = if count == 0 { (number, number) } else { self.extremes.get() };
        self.extremes.set((min.min(number), max.max(number)));
        self.sum.set(self.sum.get() + i128::from(number));
        self.count.set(count + 1);
    }

    /// All that were added; None if there were none.
    pub(crate) fn take(&self) -> Option<Taken> {
        let (count, sum, (min, max)) = (self.count.take(), self.sum.take(), self.extremes.get());
        (count > 0).then_some(Taken { count, sum, min, max })
    }
}

impl Taken {
    /// Adds all of them to a series.
    pub(crate) fn record(self, to: &mut Series, now_ms: i64) {
        to.record_all(self.sum as f64, self.count as f64, (self.min as f64, self.max as f64), now_ms);
    }

    /// Of times: how long they were ago at `now`.
    pub(crate) fn ago(self, now: i64) -> Taken {
        let Taken { count, sum, min, max } = self;
        let sum = i128::from(now) * i128::from(count) - sum;
        Taken { count, sum, min: now.saturating_sub(max), max: now.saturating_sub(min) }
    }
}

/// Adds to a count.
#[inline]
pub(crate) fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get().wrapping_add(more));
}

/// Records of one topic that came in by a source or went out by a sink (Java: `TopicMetrics`).
#[derive(Debug)]
pub(crate) struct TopicTally {
    pub(crate) node: Rc<str>,
    pub(crate) topic: Rc<str>,
    pub(crate) way: Way,
    pub(crate) records: Cell<u64>,
    pub(crate) bytes: Cell<u64>,
}

/// Where records of a topic go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In.
    Consumed,
    /// Out.
    Produced,
}

/// What a record takes besides key, value, headers and the name of its topic: time, offset and partition (Java:
/// `ClientUtils.recordSizeInBytes`).
const FIXED: u64 = 8 + 8 + 4;

impl TopicTally {
    /// One more record, with so many bytes of key, value and headers.
    #[inline]
    pub(crate) fn add(&self, bytes: u64) {
        add(&self.records, 1);
        add(&self.bytes, bytes + FIXED + self.topic.len() as u64);
    }
}

/// How many bytes key, value and headers take.
pub(crate) fn size_of(key: Option<usize>, value: Option<usize>, headers: &[Header]) -> u64 {
    let each = |(name, value): &Header| name.len() + value.as_ref().map_or(0, bytes::Bytes::len);
    (key.unwrap_or(0) + value.unwrap_or(0) + headers.iter().map(each).sum::<usize>()) as u64
}

/// A node that counts.
#[derive(Debug)]
pub(crate) struct NodeTally {
    pub(crate) node: Rc<str>,
    pub(crate) kind: NodeCounts,
    /// Records processed, or handed on.
    pub(crate) records: Cell<u64>,
    /// Of a source, how old records were, in ms; of a node without children the times of records; of an aggregation, how
    /// long it took to hand results on, in ms.
    pub(crate) times: Spread,
}

/// What a node counts (Java: `ProcessorNodeMetrics`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeCounts {
    /// A source: its records, and how old they were.
    Source,
    /// A node without children: how old records were when it had them.
    Terminal,
    /// A suppression: changes that it let go.
    Suppression,
    /// An aggregation by windows: results of windows that were closed.
    Final,
}

/// Everything that one task counts by its nodes, topics and stores.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) topics: RefCell<Vec<Rc<TopicTally>>>,
    pub(crate) nodes: RefCell<Vec<Rc<NodeTally>>>,
    pub(crate) stores: RefCell<Vec<Rc<StoreTally>>>,
}

impl Tallies {
    /// Of a topic at a node; the same one for the same.
    pub(crate) fn topic(&self, node: &Rc<str>, topic: &str, way: Way) -> Rc<TopicTally> {
        let mut all = self.topics.borrow_mut();
        let same = |known: &&Rc<TopicTally>| known.way == way && *known.node == **node && *known.topic == *topic;
        if let Some(known) = all.iter().find(same) {
            return Rc::clone(known);
        }
        let (node, topic) = (Rc::clone(node), topic.into());
        all.push(Rc::new(TopicTally { node, topic, way, records: Cell::default(), bytes: Cell::default() }));
        Rc::clone(&all[all.len() - 1])
    }

    /// Of a node.
    pub(crate) fn node(&self, node: &Rc<str>, kind: NodeCounts) -> Rc<NodeTally> {
        let node = Rc::clone(node);
        let made = Rc::new(NodeTally { node, kind, records: Cell::default(), times: Spread::default() });
        self.nodes.borrow_mut().push(Rc::clone(&made));
        made
    }

    /// Of a store.
    pub(crate) fn store(&self, name: &str) -> Option<Rc<StoreTally>> {
        self.stores.borrow().iter().find(|store| store.name == name).cloned()
    }

    /// The nodes are gone; the stores stay, and begin to count anew.
    pub(crate) fn clear(&self) {
        self.topics.borrow_mut().clear();
        self.nodes.borrow_mut().clear();
        self.stores.borrow().iter().for_each(|store| store.clear());
    }
}

/// What one sink sent, by topic.
pub(crate) struct Sent {
    node: Rc<str>,
    tallies: Rc<Tallies>,
    /// By the numbers of the topics, of which there are few.
    by_topic: Vec<Option<Rc<TopicTally>>>,
}

impl Sent {
    pub(crate) fn new(node: &Rc<str>, tallies: &Rc<Tallies>) -> Sent {
        Sent { node: Rc::clone(node), tallies: Rc::clone(tallies), by_topic: Vec::new() }
    }

    /// Where the records of a topic are counted.
    pub(crate) fn of(&mut self, topic: TopicId, name: &str) -> &TopicTally {
        let place = topic.0 as usize;
        if place >= self.by_topic.len() {
            self.by_topic.resize(place + 1, None);
        }
        let (node, tallies) = (&self.node, &self.tallies);
        self.by_topic[place].get_or_insert_with(|| tallies.topic(node, name, Way::Produced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_once() {
        let spread = Spread::default();
        assert_eq!(spread.take(), None);
        [30, 10, 20].into_iter().for_each(|number| spread.add(number));
        assert_eq!(spread.take(), Some(Taken { count: 3, sum: 60, min: 10, max: 30 }));
        assert_eq!(spread.take(), None);
        spread.add(40);
        assert_eq!(spread.take(), Some(Taken { count: 1, sum: 40, min: 40, max: 40 }), "the others are forgotten");
        [i64::MAX, i64::MAX, i64::MIN].into_iter().for_each(|number| spread.add(number));
        let taken = spread.take().expect("three");
        assert_eq!((taken.count, taken.sum), (3, i128::from(i64::MAX) - 1));
    }

    #[test]
    fn times_become_ages() {
        let times = Taken { count: 3, sum: 60, min: 10, max: 30 };
        assert_eq!(times.ago(100), Taken { count: 3, sum: 240, min: 70, max: 90 });
    }

    #[test]
    fn a_record_takes_what_java_says() {
        let headers = [("h".to_owned(), Some(bytes::Bytes::from_static(b"12"))), ("n".to_owned(), None)];
        assert_eq!(size_of(Some(3), None, &headers), 7);
        let tallies = Rc::new(Tallies::default());
        let mut sent = Sent::new(&"SINK".into(), &tallies);
        sent.of(TopicId(2), "topic").add(7);
        sent.of(TopicId(2), "topic").add(0);
        let all = tallies.topics.borrow();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].records.get(), all[0].bytes.get()), (2, 7 + 2 * (20 + 5)));
    }
}
