//! What a consumer has done, by Java's names of its metrics.
//!
//! Counted where it happens, in plain atomics; put together when asked for.
//!
//! Not done: rates and averages over windows of time (`*-rate`); metrics by topic and by partition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often something happened, and how much or how long it was.
#[derive(Debug, Default)]
pub(super) struct Series {
    count: AtomicU64,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Series {
    pub fn add(&self, amount: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(amount, Ordering::Relaxed);
        self.max.fetch_max(amount, Ordering::Relaxed);
    }

    pub fn took(&self, time: Duration) {
        self.add(time.as_millis() as u64);
    }

    fn total(&self) -> f64 {
        self.sum.load(Ordering::Relaxed) as f64
    }

    fn count(&self) -> f64 {
        self.count.load(Ordering::Relaxed) as f64
    }

    fn average(&self) -> f64 {
        if self.count() > 0.0 { self.total() / self.count() } else { f64::NAN }
    }

    fn max(&self) -> f64 {
        if self.count() > 0.0 { self.max.load(Ordering::Relaxed) as f64 } else { f64::NAN }
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Records, by poll.
    pub records: Series,
    /// Bytes of records, by poll.
    pub bytes: Series,
    /// Milliseconds from a fetch request to its answer.
    pub fetches: Series,
    /// Bytes, by fetch answer.
    pub fetched: Series,
    /// Milliseconds, by commit.
    pub commits: Series,
    /// Milliseconds, by rebalance.
    pub rebalances: Series,
    pub failed_rebalances: Series,
    pub joins: Series,
    pub syncs: Series,
    /// Milliseconds, by heartbeat.
    pub heartbeats: Series,
    /// Milliseconds between polls.
    pub polls: Series,
}

impl Tally {
    pub fn values(&self) -> BTreeMap<&'static str, f64> {
        BTreeMap::from([
            ("records-consumed-total", self.records.total()),
            ("bytes-consumed-total", self.bytes.total()),
            ("fetch-total", self.fetches.count()),
            ("fetch-latency-avg", self.fetches.average()),
            ("fetch-latency-max", self.fetches.max()),
            ("fetch-size-avg", self.fetched.average()),
            ("fetch-size-max", self.fetched.max()),
            ("commit-total", self.commits.count()),
            ("commit-latency-avg", self.commits.average()),
            ("commit-latency-max", self.commits.max()),
            ("rebalance-total", self.rebalances.count()),
            ("rebalance-latency-avg", self.rebalances.average()),
            ("rebalance-latency-max", self.rebalances.max()),
            ("rebalance-latency-total", self.rebalances.total()),
            ("failed-rebalance-total", self.failed_rebalances.count()),
            ("join-total", self.joins.count()),
            ("sync-total", self.syncs.count()),
            ("heartbeat-total", self.heartbeats.count()),
            ("heartbeat-response-time-max", self.heartbeats.max()),
            ("time-between-poll-avg", self.polls.average()),
            ("time-between-poll-max", self.polls.max()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_by_javas_names_and_are_nan_before_the_first() {
        let tally = Tally::default();
        assert!(tally.values()["fetch-latency-avg"].is_nan());
        tally.fetches.took(Duration::from_millis(10));
        tally.fetches.took(Duration::from_millis(30));
        let values = tally.values();
        assert_eq!((values["fetch-total"], values["fetch-latency-avg"], values["fetch-latency-max"]), (2.0, 20.0, 30.0));
    }
}
