//! Which partition takes a record that names none and has no key (KIP-794, Java: `BuiltInPartitioner`).
//!
//! Called by `accumulate.rs` for each such record. One partition takes `batch.size` bytes, then another one: all
//! alike, or, where queues differ in length, the shorter ones more often.

use crate::metadata::TopicView;

/// The running choice for one topic.
#[derive(Default)]
pub(crate) struct Sticky {
    current: Option<i32>,
    /// Bytes since the choice.
    produced: usize,
    /// Partitions with the running sum of their weights; None while all queues are alike.
    loads: Option<Vec<(i32, u32)>>,
}

impl Sticky {
    /// The partition for the next record. `all_full` says of a queue whether its last batch takes no more.
    pub fn choose(&mut self, view: &TopicView, batch_bytes: usize, all_full: impl Fn(i32) -> bool) -> i32 {
        match self.current {
            Some(current) if self.produced >= batch_bytes && all_full(current) => self.switch(view),
            Some(current) if (current as usize) < view.leaders.len() => current,
            _ => self.switch(view),
        }
    }

    /// Counts what went to the chosen partition; moves on where that leaves no batch half full, or after twice the
    /// size (Java: `updatePartitionInfo`).
    pub fn appended(&mut self, view: &TopicView, bytes: usize, batch_bytes: usize, full: Full) {
        self.produced += bytes;
        let enough = self.produced >= batch_bytes && full == Full::Yes;
        if enough || self.produced >= 2 * batch_bytes {
            self.switch(view);
        }
    }

    /// Weighs partitions by the batches that wait for them; those without a leader are left out by the caller.
    /// `partitions` is how many the topic has.
    pub fn weigh(&mut self, queues: &[(i32, u32)], partitions: usize) {
        let longest = queues.iter().map(|(_, waiting)| *waiting).max().unwrap_or(0);
        let alike = queues.iter().all(|(_, waiting)| *waiting == longest);
        if queues.is_empty() || partitions < 2 || (alike && queues.len() == partitions) {
            self.loads = None;
            return;
        }
        let mut sum = 0;
        let weighed = queues.iter().map(|(partition, waiting)| {
            sum += longest + 1 - waiting;
            (*partition, sum)
        });
        self.loads = Some(weighed.collect());
    }

    fn switch(&mut self, view: &TopicView) -> i32 {
        self.produced = 0;
        let chosen = next(view, self.loads.as_deref(), rand::random::<u32>() >> 1);
        self.current = Some(chosen);
        chosen
    }
}

/// Whether the batch that took the record takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Yes,
    No,
}

fn next(view: &TopicView, loads: Option<&[(i32, u32)]>, random: u32) -> i32 {
    if let Some((loads, total)) = loads.and_then(|loads| Some((loads, loads.last()?.1))) {
        let point = random % total.max(1);
        let index = loads.partition_point(|(_, sum)| *sum <= point);
        if let Some((partition, _)) = loads.get(index) {
            return *partition;
        }
    }
    let led = || (0i32..).zip(&view.leaders).filter(|(_, leader)| leader.broker >= 0).map(|(partition, _)| partition);
    match led().count() {
        0 => (random % view.leaders.len().max(1) as u32) as i32,
        count => led().nth(random as usize % count).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Leader;
    use uuid::Uuid;

    fn view(leaders: &[i32]) -> TopicView {
        let leaders = leaders.iter().map(|broker| Leader { broker: *broker, epoch: 0 }).collect();
        TopicView { id: Uuid::nil(), leaders }
    }

    /// The example that Java's comment on the cumulative table works through: queues 0 3 1 weigh 4 1 3.
    #[test]
    fn shorter_queues_get_more() {
        let mut sticky = Sticky::default();
        sticky.weigh(&[(0, 0), (1, 3), (2, 1)], 3);
        let loads = sticky.loads.as_deref();
        assert_eq!(loads, Some(&[(0, 4), (1, 5), (2, 8)][..]));
        let all: Vec<i32> = (0..8).map(|random| next(&view(&[1, 1, 1]), loads, random)).collect();
        assert_eq!(all, [0, 0, 0, 0, 1, 2, 2, 2]);
        sticky.weigh(&[(0, 2), (1, 2), (2, 2)], 3);
        assert!(sticky.loads.is_none());
        // A partition without a leader is left out, so that equal queues still matter.
        sticky.weigh(&[(0, 2), (2, 2)], 3);
        assert_eq!(sticky.loads.as_deref(), Some(&[(0, 1), (2, 2)][..]));
    }

    #[test]
    fn a_partition_is_kept_for_a_batch_and_left_where_no_batch_stays_half_full() {
        let view = view(&[1, -1]);
        let mut sticky = Sticky::default();
        assert_eq!(sticky.choose(&view, 100, |_| true), 0, "the only one with a leader");
        sticky.appended(&view, 60, 100, Full::No);
        assert_eq!(sticky.produced, 60);
        sticky.appended(&view, 60, 100, Full::No);
        assert_eq!(sticky.produced, 120, "more than a batch, but the batch is not full");
        sticky.appended(&view, 90, 100, Full::No);
        assert_eq!(sticky.produced, 0, "twice a batch");
        sticky.appended(&view, 100, 100, Full::Yes);
        assert_eq!(sticky.produced, 0);
    }
}
