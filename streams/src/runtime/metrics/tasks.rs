//! What a task has done (Java: `TaskMetrics`), with all that its topics, nodes and stores have.

use client::metrics::{Metric, Series, Tags, told};

use super::nodes::OfNode;
use super::stores::OfStore;
use super::topics::OfTopic;
use super::{TASK, Turn};
use crate::task::Tallied;
use crate::task::tally::Tallies;

/// What one task has done.
#[derive(Default)]
pub(super) struct OfTask {
    processed: Series,
    process_latency: Series,
    punctuations: Series,
    dropped: Series,
    enforced: Series,
    lateness: Series,
    pub restored: Series,
    pub updated: Series,
    pub remaining: f64,
    buffered: f64,
    ratio: f64,
    /// As of the round before.
    before: Tallied,
    topics: Vec<OfTopic>,
    nodes: Vec<OfNode>,
    stores: Vec<OfStore>,
}

impl OfTask {
    /// Takes what it did in a turn.
    pub fn note(&mut self, turn: &Turn, ratio: f64, now_ms: i64) {
        let (records, took) = turn.processed;
        let (now, before) = (turn.tallied, self.before);
        if records > 0 {
            self.processed.record(records as f64, now_ms);
            self.process_latency.record(took.as_nanos() as f64 / records as f64, now_ms);
            let late = (now.lateness_sum - before.lateness_sum) as f64;
            self.lateness.record_all(late, records as f64, (0.0, now.lateness_max as f64), now_ms);
        }
        if turn.punctuated.0 > 0 {
            let each = turn.punctuated.1.as_nanos() as f64 / turn.punctuated.0 as f64;
            self.punctuations.record_all(
                each * turn.punctuated.0 as f64,
                turn.punctuated.0 as f64,
                (each, each),
                now_ms,
            );
        }
        for (series, now, before) in
            [(&mut self.dropped, now.dropped, before.dropped), (&mut self.enforced, now.enforced, before.enforced)]
        {
            if now > before {
                series.record((now - before) as f64, now_ms);
            }
        }
        (self.buffered, self.ratio, self.remaining, self.before) = (turn.buffered as f64, ratio, 0.0, now);
        if let Some(tallies) = &turn.tallies {
            self.take(tallies, turn.ended_ms, now_ms);
        }
    }

    /// Tallies only come on, in their order, as long as the task is what it is.
    fn take(&mut self, tallies: &Tallies, ended_ms: i64, now_ms: i64) {
        for (place, tally) in tallies.topics.borrow().iter().enumerate() {
            at(&mut self.topics, place, || OfTopic::new(tally)).note(tally);
        }
        for (place, tally) in tallies.nodes.borrow().iter().enumerate() {
            at(&mut self.nodes, place, || OfNode::new(tally)).note(tally, ended_ms, now_ms);
        }
        for (place, tally) in tallies.stores.borrow().iter().enumerate() {
            at(&mut self.stores, place, || OfStore::new(tally)).note(tally, now_ms);
        }
    }

    /// Tells all of it; `tags` are those of the thread and the task.
    pub fn tell(&self, tags: &Tags, now_ms: i64, all: &mut Vec<Metric>) {
        all.append(&mut told(TASK, tags, &self.values(now_ms)));
        if self.stores.iter().any(|store| store.is_cached) {
            let bytes = self.stores.iter().map(|store| store.cached_bytes).sum();
            all.append(&mut told(TASK, tags, &[("cache-size-bytes-total", bytes)]));
        }
        self.topics.iter().for_each(|topic| topic.tell(tags, all));
        self.nodes.iter().for_each(|node| node.tell(tags, now_ms, all));
        self.stores.iter().for_each(|store| store.tell(tags, now_ms, all));
    }

    fn values(&self, now_ms: i64) -> [(&'static str, f64); 21] {
        [
            ("active-buffer-count", self.buffered),
            ("active-process-ratio", self.ratio),
            ("dropped-records-rate", self.dropped.rate(now_ms)),
            ("dropped-records-total", self.dropped.total),
            ("enforced-processing-rate", self.enforced.rate(now_ms)),
            ("enforced-processing-total", self.enforced.total),
            ("process-latency-avg", self.process_latency.avg(now_ms)),
            ("process-latency-max", self.process_latency.max(now_ms)),
            ("process-rate", self.processed.rate(now_ms)),
            ("process-total", self.processed.total),
            ("punctuate-latency-avg", self.punctuations.avg(now_ms)),
            ("punctuate-latency-max", self.punctuations.max(now_ms)),
            ("punctuate-rate", self.punctuations.count_rate(now_ms)),
            ("punctuate-total", self.punctuations.count),
            ("record-lateness-avg", self.lateness.avg(now_ms)),
            ("record-lateness-max", self.lateness.max(now_ms)),
            ("restore-rate", self.restored.rate(now_ms)),
            ("restore-remaining-records-total", self.remaining),
            ("restore-total", self.restored.total),
            ("update-rate", self.updated.rate(now_ms)),
            ("update-total", self.updated.total),
        ]
    }
}

/// The one at a place, which may be the next.
fn at<T>(all: &mut Vec<T>, place: usize, new: impl FnOnce() -> T) -> &mut T {
    if place == all.len() {
        all.push(new());
    }
    &mut all[place]
}
