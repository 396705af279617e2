//! What the producer measured, by Java's names (Java: `SenderMetricsRegistry`, `RecordAccumulator`).
//!
//! Counted per batch and per request by the sender, never per record; read through `Producer::metrics`.
//!
//! Not done: record-size-avg and record-size-max, which would cost per record; sensors of connections and of nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::{Metric, Series, Tags, told};

#[derive(Default)]
struct TopicSeries {
    records: Series,
    bytes: Series,
    retries: Series,
    errors: Series,
    compression: Series,
}

/// What a batch looked like when it left.
pub(super) struct Left<'a> {
    pub topic: &'a Arc<str>,
    pub records: i32,
    pub bytes: usize,
    pub queued_ms: i64,
    /// Bytes on the wire over plain ones, where it was compressed now.
    pub ratio: Option<f32>,
}

/// Everything that is counted.
#[derive(Default)]
pub(super) struct Metrics {
    batch_size: Series,
    compression: Series,
    queue_time: Series,
    latency: Series,
    records: Series,
    per_request: Series,
    retries: Series,
    errors: Series,
    splits: Series,
    throttle: Series,
    topics: BTreeMap<Arc<str>, TopicSeries>,
}

/// What is known only when it is asked for.
pub(super) struct Gauges {
    pub now_ms: i64,
    pub in_flight: usize,
    pub waiting: usize,
    pub buffer_total: usize,
    pub buffer_available: usize,
    pub metadata_age_ms: i64,
}

impl Metrics {
    pub fn batch_left(&mut self, batch: &Left<'_>, now_ms: i64) {
        let topic = self.topics.entry(batch.topic.clone()).or_default();
        for (series, value) in [
            (&mut self.batch_size, batch.bytes as f64),
            (&mut self.queue_time, batch.queued_ms as f64),
            (&mut self.records, f64::from(batch.records)),
            (&mut topic.records, f64::from(batch.records)),
            (&mut topic.bytes, batch.bytes as f64),
        ] {
            series.record(value, now_ms);
        }
        let ratio = f64::from(batch.ratio.unwrap_or(1.0));
        self.compression.record(ratio, now_ms);
        topic.compression.record(ratio, now_ms);
    }

    pub fn request_left(&mut self, records: i32, now_ms: i64) {
        self.per_request.record(f64::from(records), now_ms);
    }

    pub fn answered(&mut self, latency_ms: i64, throttle_ms: i32, now_ms: i64) {
        self.latency.record(latency_ms as f64, now_ms);
        self.throttle.record(f64::from(throttle_ms), now_ms);
    }

    pub fn retried(&mut self, topic: &Arc<str>, records: i32, now_ms: i64) {
        self.retries.record(f64::from(records), now_ms);
        self.topics.entry(topic.clone()).or_default().retries.record(f64::from(records), now_ms);
    }

    pub fn failed(&mut self, topic: &Arc<str>, records: i32, now_ms: i64) {
        self.errors.record(f64::from(records), now_ms);
        self.topics.entry(topic.clone()).or_default().errors.record(f64::from(records), now_ms);
    }

    pub fn split(&mut self, now_ms: i64) {
        self.splits.record(1.0, now_ms);
    }

    /// Every metric as it stands.
    pub fn read(&self, client_id: &str, gauges: &Gauges) -> Vec<Metric> {
        let now_ms = gauges.now_ms;
        let tags = Tags::from([("client-id", client_id.to_owned())]);
        let client = [
            ("batch-size-avg", self.batch_size.avg(now_ms)),
            ("batch-size-max", self.batch_size.max(now_ms)),
            ("batch-split-rate", self.splits.rate(now_ms)),
            ("batch-split-total", self.splits.total),
            ("buffer-available-bytes", gauges.buffer_available as f64),
            ("buffer-total-bytes", gauges.buffer_total as f64),
            ("compression-rate-avg", self.compression.avg(now_ms)),
            ("metadata-age", gauges.metadata_age_ms as f64 / 1000.0),
            ("produce-throttle-time-avg", self.throttle.avg(now_ms)),
            ("produce-throttle-time-max", self.throttle.max(now_ms)),
            ("record-error-rate", self.errors.rate(now_ms)),
            ("record-error-total", self.errors.total),
            ("record-queue-time-avg", self.queue_time.avg(now_ms)),
            ("record-queue-time-max", self.queue_time.max(now_ms)),
            ("record-retry-rate", self.retries.rate(now_ms)),
            ("record-retry-total", self.retries.total),
            ("record-send-rate", self.records.rate(now_ms)),
            ("record-send-total", self.records.total),
            ("records-per-request-avg", self.per_request.avg(now_ms)),
            ("request-latency-avg", self.latency.avg(now_ms)),
            ("request-latency-max", self.latency.max(now_ms)),
            ("requests-in-flight", gauges.in_flight as f64),
            ("waiting-threads", gauges.waiting as f64),
        ];
        let mut read = told("producer-metrics", &tags, &client);
        for (topic, series) in &self.topics {
            let mut tags = tags.clone();
            tags.insert("topic", topic.to_string());
            read.append(&mut told("producer-topic-metrics", &tags, &series.values(now_ms)));
        }
        read
    }
}

impl TopicSeries {
    fn values(&self, now_ms: i64) -> [(&'static str, f64); 9] {
        [
            ("byte-rate", self.bytes.rate(now_ms)),
            ("byte-total", self.bytes.total),
            ("compression-rate", self.compression.avg(now_ms)),
            ("record-error-rate", self.errors.rate(now_ms)),
            ("record-error-total", self.errors.total),
            ("record-retry-rate", self.retries.rate(now_ms)),
            ("record-retry-total", self.retries.total),
            ("record-send-rate", self.records.rate(now_ms)),
            ("record-send-total", self.records.total),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_told_apart() {
        let mut metrics = Metrics::default();
        let topic: Arc<str> = "t".into();
        metrics.batch_left(&Left { topic: &topic, records: 7, bytes: 100, queued_ms: 5, ratio: Some(0.5) }, 10);
        metrics.failed(&"u".into(), 3, 10);
        let gauges = Gauges {
            now_ms: 10,
            in_flight: 1,
            waiting: 0,
            buffer_total: 10,
            buffer_available: 5,
            metadata_age_ms: 1500,
        };
        let read = metrics.read("c", &gauges);
        let find = |name: &str, topic: Option<&str>| {
            let own =
                read.iter().find(|metric| metric.name == name && metric.tags.get("topic").map(String::as_str) == topic);
            own.expect("a metric").value
        };
        assert_eq!((find("record-send-total", None), find("record-send-total", Some("t"))), (7.0, 7.0));
        assert_eq!((find("record-error-total", Some("t")), find("record-error-total", Some("u"))), (0.0, 3.0));
        assert_eq!((find("metadata-age", None), find("compression-rate-avg", None)), (1.5, 0.5));
        assert!(read.iter().all(|metric| metric.tags["client-id"] == "c"));
    }
}
