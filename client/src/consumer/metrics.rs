//! What a consumer has done, by Java's names (Java: `FetchMetricsRegistry`, `AbstractCoordinator`,
//! `KafkaConsumerMetrics`).
//!
//! Counted per poll, per fetch and per request to the coordinator, never per record; read through
//! [`Consumer::metrics`].
//!
//! Not done: poll-idle-ratio-avg, commit-sync-time-ns-total, committed-time-ns-total; the doubles of topics with a dot
//! that Java keeps until 5.0 (KIP-1109); sensors of connections and of nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_base_env::Clock;
use parking_lot::Mutex;

use super::decode::Records;
use super::position::Partition;
use super::{Consumer, TopicPartition};
use crate::metrics::{Metric, Series, Tags, told};

const FETCHES: &str = "consumer-fetch-manager-metrics";
const COORDINATOR: &str = "consumer-coordinator-metrics";
const POLLS: &str = "consumer-metrics";

/// One value over time, counted from wherever it happens.
#[derive(Default)]
pub(super) struct Meter(Mutex<Series>);

impl Meter {
    pub fn add(&self, amount: u64) {
        self.0.lock().record(amount as f64, Clock::Real.steady_ms());
    }

    pub fn took(&self, time: Duration) {
        self.add(time.as_millis() as u64);
    }

    fn avg(&self, now_ms: i64) -> f64 {
        self.0.lock().avg(now_ms)
    }

    fn max(&self, now_ms: i64) -> f64 {
        self.0.lock().max(now_ms)
    }

    fn min(&self, now_ms: i64) -> f64 {
        self.0.lock().min(now_ms)
    }

    fn rate(&self, now_ms: i64) -> f64 {
        self.0.lock().rate(now_ms)
    }

    fn count_rate(&self, now_ms: i64) -> f64 {
        self.0.lock().count_rate(now_ms)
    }

    fn total(&self) -> f64 {
        self.0.lock().total
    }

    fn count(&self) -> f64 {
        self.0.lock().count
    }

    /// Whole seconds since the last, -1 when there was none.
    fn seconds_ago(&self, now_ms: i64) -> f64 {
        self.0.lock().last.map_or(-1.0, |(_, at_ms)| ((now_ms - at_ms) / 1000) as f64)
    }
}

/// What is counted of the consumer as a whole.
#[derive(Default)]
pub(super) struct Tally {
    /// Records, by poll.
    pub records: Meter,
    /// Bytes of records, by poll.
    pub bytes: Meter,
    /// Milliseconds from a fetch request to its answer.
    pub fetches: Meter,
    /// Bytes, by fetch answer.
    pub fetched: Meter,
    /// Milliseconds that the broker wanted the next request to wait.
    pub throttled: Meter,
    pub lag: Meter,
    pub lead: Meter,
    /// Milliseconds, by commit.
    pub commits: Meter,
    /// Milliseconds, by rebalance.
    pub rebalances: Meter,
    pub failed_rebalances: Meter,
    /// Milliseconds, by JoinGroup.
    pub joins: Meter,
    /// Milliseconds, by SyncGroup.
    pub syncs: Meter,
    /// Milliseconds, by heartbeat.
    pub heartbeats: Meter,
    /// Milliseconds between polls.
    pub polls: Meter,
}

/// What is counted of one topic.
#[derive(Default)]
pub(super) struct OfTopic {
    bytes: Series,
    records: Series,
}

/// How far the consumer is from both ends of one partition, by poll.
#[derive(Default)]
pub(super) struct OfPartition {
    lag: Series,
    lead: Series,
}

impl Tally {
    fn fetch_values(&self, now_ms: i64) -> [(&'static str, f64); 15] {
        [
            ("bytes-consumed-rate", self.bytes.rate(now_ms)),
            ("bytes-consumed-total", self.bytes.total()),
            ("fetch-latency-avg", self.fetches.avg(now_ms)),
            ("fetch-latency-max", self.fetches.max(now_ms)),
            ("fetch-rate", self.fetches.count_rate(now_ms)),
            ("fetch-size-avg", self.fetched.avg(now_ms)),
            ("fetch-size-max", self.fetched.max(now_ms)),
            ("fetch-throttle-time-avg", self.throttled.avg(now_ms)),
            ("fetch-throttle-time-max", self.throttled.max(now_ms)),
            ("fetch-total", self.fetches.count()),
            ("records-consumed-rate", self.records.rate(now_ms)),
            ("records-consumed-total", self.records.total()),
            ("records-lag-max", self.lag.max(now_ms)),
            ("records-lead-min", self.lead.min(now_ms)),
            ("records-per-request-avg", self.records.avg(now_ms)),
        ]
    }

    fn coordinator_values(&self, now_ms: i64) -> [(&'static str, f64); 24] {
        let an_hour = |meter: &Meter| meter.count_rate(now_ms) * 3600.0;
        [
            ("commit-latency-avg", self.commits.avg(now_ms)),
            ("commit-latency-max", self.commits.max(now_ms)),
            ("commit-rate", self.commits.count_rate(now_ms)),
            ("commit-total", self.commits.count()),
            ("failed-rebalance-rate-per-hour", an_hour(&self.failed_rebalances)),
            ("failed-rebalance-total", self.failed_rebalances.count()),
            ("heartbeat-rate", self.heartbeats.count_rate(now_ms)),
            ("heartbeat-response-time-max", self.heartbeats.max(now_ms)),
            ("heartbeat-total", self.heartbeats.count()),
            ("join-rate", self.joins.count_rate(now_ms)),
            ("join-time-avg", self.joins.avg(now_ms)),
            ("join-time-max", self.joins.max(now_ms)),
            ("join-total", self.joins.count()),
            ("last-heartbeat-seconds-ago", self.heartbeats.seconds_ago(now_ms)),
            ("last-rebalance-seconds-ago", self.rebalances.seconds_ago(now_ms)),
            ("rebalance-latency-avg", self.rebalances.avg(now_ms)),
            ("rebalance-latency-max", self.rebalances.max(now_ms)),
            ("rebalance-latency-total", self.rebalances.total()),
            ("rebalance-rate-per-hour", an_hour(&self.rebalances)),
            ("rebalance-total", self.rebalances.count()),
            ("sync-rate", self.syncs.count_rate(now_ms)),
            ("sync-time-avg", self.syncs.avg(now_ms)),
            ("sync-time-max", self.syncs.max(now_ms)),
            ("sync-total", self.syncs.count()),
        ]
    }

    fn poll_values(&self, now_ms: i64) -> [(&'static str, f64); 2] {
        [("time-between-poll-avg", self.polls.avg(now_ms)), ("time-between-poll-max", self.polls.max(now_ms))]
    }
}

impl OfTopic {
    fn values(&self, now_ms: i64) -> [(&'static str, f64); 7] {
        [
            ("bytes-consumed-rate", self.bytes.rate(now_ms)),
            ("bytes-consumed-total", self.bytes.total),
            ("fetch-size-avg", self.bytes.avg(now_ms)),
            ("fetch-size-max", self.bytes.max(now_ms)),
            ("records-consumed-rate", self.records.rate(now_ms)),
            ("records-consumed-total", self.records.total),
            ("records-per-request-avg", self.records.avg(now_ms)),
        ]
    }
}

impl OfPartition {
    fn values(&self, now_ms: i64) -> [(&'static str, f64); 6] {
        let last = |series: &Series| series.last.map_or(f64::NAN, |(value, _)| value);
        [
            ("records-lag", last(&self.lag)),
            ("records-lag-avg", self.lag.avg(now_ms)),
            ("records-lag-max", self.lag.max(now_ms)),
            ("records-lead", last(&self.lead)),
            ("records-lead-avg", self.lead.avg(now_ms)),
            ("records-lead-min", self.lead.min(now_ms)),
        ]
    }
}

impl Partition {
    /// Records up to the end that may be seen, as the last answer told it.
    pub fn lag(&self) -> Option<i64> {
        Some((self.end? - self.position?).max(0))
    }

    /// Notes how far it is from both ends, after records of it were handed out.
    pub fn measure(&mut self, tally: &Tally) {
        let now_ms = Clock::Real.steady_ms();
        if let Some(lag) = self.lag() {
            self.metrics.lag.record(lag as f64, now_ms);
            tally.lag.add(lag as u64);
        }
        if let (Some(position), Some(start)) = (self.position, self.log_start) {
            let lead = (position - start).max(0);
            self.metrics.lead.record(lead as f64, now_ms);
            tally.lead.add(lead as u64);
        }
    }
}

/// Counts of topics, by name.
pub(super) type Topics = BTreeMap<Arc<str>, OfTopic>;

impl Consumer {
    /// What this consumer has done, by the names of Java's metrics.
    pub fn metrics(&self) -> Vec<Metric> {
        let now_ms = Clock::Real.steady_ms();
        let client = Tags::from([("client-id", self.config.connection.client_id.clone())]);
        let polled = self.polled.map_or(-1.0, |at| at.elapsed().as_secs() as f64);
        let mut all = told(FETCHES, &client, &self.tally.fetch_values(now_ms));
        all.append(&mut told(POLLS, &client, &self.tally.poll_values(now_ms)));
        all.append(&mut told(POLLS, &client, &[("last-poll-seconds-ago", polled)]));
        if self.group.is_some() {
            all.append(&mut told(COORDINATOR, &client, &self.tally.coordinator_values(now_ms)));
            all.append(&mut told(COORDINATOR, &client, &[("assigned-partitions", self.partitions.len() as f64)]));
        }
        for (topic, series) in &self.topics {
            let mut tags = client.clone();
            tags.insert("topic", topic.to_string());
            all.append(&mut told(FETCHES, &tags, &series.values(now_ms)));
        }
        for (TopicPartition { topic, partition: number }, partition) in self.partitions.iter() {
            let mut tags = client.clone();
            tags.insert("topic", topic.clone());
            tags.insert("partition", number.to_string());
            let preferred = partition.preferred.map_or(-1.0, |(broker, _)| f64::from(broker));
            all.append(&mut told(FETCHES, &tags, &partition.metrics.values(now_ms)));
            all.append(&mut told(FETCHES, &tags, &[("preferred-read-replica", preferred)]));
        }
        all
    }

    /// Counts what a poll hands out.
    pub(super) fn count(&mut self, records: &Records) {
        self.tally.records.add(records.len() as u64);
        self.tally.bytes.add(records.bytes() as u64);
        let now_ms = Clock::Real.steady_ms();
        for (topic, count, bytes) in records.by_topic() {
            if !self.topics.contains_key(topic) {
                self.topics.insert(topic.into(), OfTopic::default());
            }
            if let Some(series) = self.topics.get_mut(topic) {
                series.records.record(count as f64, now_ms);
                series.bytes.record(bytes as f64, now_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_by_javas_names_and_are_nan_before_the_first() {
        let tally = Tally::default();
        let find = |name: &str| {
            let now_ms = Clock::Real.steady_ms();
            let all = tally.fetch_values(now_ms).into_iter().chain(tally.coordinator_values(now_ms));
            all.into_iter().find(|(known, _)| *known == name).expect("a metric").1
        };
        assert!(find("fetch-latency-avg").is_nan());
        assert_eq!(find("last-heartbeat-seconds-ago"), -1.0);
        tally.fetches.took(Duration::from_millis(10));
        tally.fetches.took(Duration::from_millis(30));
        tally.heartbeats.took(Duration::from_millis(1));
        assert_eq!((find("fetch-total"), find("fetch-latency-avg"), find("fetch-latency-max")), (2.0, 20.0, 30.0));
        assert_eq!((find("last-heartbeat-seconds-ago"), find("heartbeat-total")), (0.0, 1.0));
    }

    #[test]
    fn a_partition_is_measured_from_both_ends_of_what_may_be_seen() {
        let tally = Tally::default();
        let mut partition =
            Partition { position: Some(70), end: Some(90), log_start: Some(10), ..Partition::default() };
        partition.measure(&tally);
        partition.end = Some(100);
        partition.measure(&tally);
        let now_ms = Clock::Real.steady_ms();
        let values: Vec<f64> = partition.metrics.values(now_ms).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [30.0, 25.0, 30.0, 60.0, 60.0, 60.0]);
        assert_eq!((tally.lag.max(now_ms), tally.lead.min(now_ms)), (30.0, 60.0));
    }
}
