//! What the producer measured, by Java's names (Java: `SenderMetricsRegistry`, `RecordAccumulator`).
//!
//! Counted per batch and per request by the sender, never per record; read through `Producer::metrics`. Averages, maxima
//! and rates cover the last one to two windows of 30 seconds (`metrics.sample.window.ms`, `metrics.num.samples`).
//!
//! Not done: record-size-avg and record-size-max, which would cost per record; sensors of connections and of nodes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const WINDOW_MS: i64 = 30_000;
const WINDOWS: usize = 2;

/// One metric as it stands now.
///
/// ```
/// use client::producer::{Metric, Producer};
///
/// fn print(producer: &Producer) {
///     for Metric { name, tags, value, .. } in producer.metrics() {
///         println!("{name}{tags:?} = {value}");
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// As in Java: "record-send-total".
    pub name: &'static str,
    /// As in Java: "producer-metrics" or "producer-topic-metrics".
    pub group: &'static str,
    /// "client-id", and "topic" where it is one topic's.
    pub tags: BTreeMap<&'static str, String>,
    /// The value; NaN for an average or maximum of nothing.
    pub value: f64,
}

struct Window {
    start_ms: i64,
    sum: f64,
    count: f64,
    max: f64,
}

/// Values over time.
#[derive(Default)]
struct Series {
    windows: VecDeque<Window>,
    total: f64,
}

impl Series {
    fn record(&mut self, value: f64, now_ms: i64) {
        self.total += value;
        self.expire(now_ms);
        if self.windows.back().is_none_or(|last| now_ms - last.start_ms >= WINDOW_MS) {
            self.windows.push_back(Window { start_ms: now_ms, sum: 0.0, count: 0.0, max: f64::NEG_INFINITY });
        }
        if let Some(last) = self.windows.back_mut() {
            last.sum += value;
            last.count += 1.0;
            last.max = last.max.max(value);
        }
    }

    fn expire(&mut self, now_ms: i64) {
        let old = |window: &Window| now_ms - window.start_ms >= WINDOW_MS * WINDOWS as i64;
        while self.windows.front().is_some_and(old) {
            self.windows.pop_front();
        }
    }

    fn avg(&self) -> f64 {
        let (sum, count) = self.windows.iter().fold((0.0, 0.0), |(sum, count), window| (sum + window.sum, count + window.count));
        sum / count
    }

    fn max(&self) -> f64 {
        self.windows.iter().map(|window| window.max).reduce(f64::max).unwrap_or(f64::NAN)
    }

    /// Per second; as if measured for one whole window at least (Java: `Rate.windowSize`).
    fn rate(&self, now_ms: i64) -> f64 {
        let Some(first) = self.windows.front() else { return 0.0 };
        let elapsed_ms = (now_ms - first.start_ms).max(WINDOW_MS * (WINDOWS as i64 - 1));
        self.windows.iter().map(|window| window.sum).sum::<f64>() / (elapsed_ms as f64 / 1000.0)
    }
}

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
    pub fn read(&mut self, client_id: &str, gauges: &Gauges) -> Vec<Metric> {
        let now_ms = gauges.now_ms;
        let tags = BTreeMap::from([("client-id", client_id.to_owned())]);
        let all = [
            &mut self.batch_size, &mut self.compression, &mut self.queue_time, &mut self.latency, &mut self.records,
            &mut self.per_request, &mut self.retries, &mut self.errors, &mut self.splits, &mut self.throttle,
        ];
        all.into_iter().for_each(|series| series.expire(now_ms));
        let client = [
            ("batch-size-avg", self.batch_size.avg()),
            ("batch-size-max", self.batch_size.max()),
            ("batch-split-rate", self.splits.rate(now_ms)),
            ("batch-split-total", self.splits.total),
            ("buffer-available-bytes", gauges.buffer_available as f64),
            ("buffer-total-bytes", gauges.buffer_total as f64),
            ("compression-rate-avg", self.compression.avg()),
            ("metadata-age", gauges.metadata_age_ms as f64 / 1000.0),
            ("produce-throttle-time-avg", self.throttle.avg()),
            ("produce-throttle-time-max", self.throttle.max()),
            ("record-error-rate", self.errors.rate(now_ms)),
            ("record-error-total", self.errors.total),
            ("record-queue-time-avg", self.queue_time.avg()),
            ("record-queue-time-max", self.queue_time.max()),
            ("record-retry-rate", self.retries.rate(now_ms)),
            ("record-retry-total", self.retries.total),
            ("record-send-rate", self.records.rate(now_ms)),
            ("record-send-total", self.records.total),
            ("records-per-request-avg", self.per_request.avg()),
            ("request-latency-avg", self.latency.avg()),
            ("request-latency-max", self.latency.max()),
            ("requests-in-flight", gauges.in_flight as f64),
            ("waiting-threads", gauges.waiting as f64),
        ];
        let metric = |(name, value)| Metric { name, group: "producer-metrics", tags: tags.clone(), value };
        let mut read: Vec<Metric> = client.into_iter().map(metric).collect();
        for (topic, series) in &mut self.topics {
            let mut tags = tags.clone();
            tags.insert("topic", topic.to_string());
            read.extend(series.read(now_ms).map(|(name, value)| {
                Metric { name, group: "producer-topic-metrics", tags: tags.clone(), value }
            }));
        }
        read
    }
}

impl TopicSeries {
    fn read(&mut self, now_ms: i64) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [&mut self.records, &mut self.bytes, &mut self.retries, &mut self.errors, &mut self.compression];
        all.into_iter().for_each(|series| series.expire(now_ms));
        let read = [
            ("byte-rate", self.bytes.rate(now_ms)),
            ("byte-total", self.bytes.total),
            ("compression-rate", self.compression.avg()),
            ("record-error-rate", self.errors.rate(now_ms)),
            ("record-error-total", self.errors.total),
            ("record-retry-rate", self.retries.rate(now_ms)),
            ("record-retry-total", self.retries.total),
            ("record-send-rate", self.records.rate(now_ms)),
            ("record-send-total", self.records.total),
        ];
        read.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_left_behind_and_totals_stay() {
        let mut series = Series::default();
        assert!(series.avg().is_nan() && series.max().is_nan());
        series.record(60.0, 0);
        series.record(30.0, 1_000);
        assert_eq!((series.avg(), series.max(), series.rate(1_000)), (45.0, 60.0, 3.0), "as if for 30 s");
        series.record(30.0, 45_000);
        assert_eq!((series.avg(), series.rate(60_000 - 1)), (40.0, 120.0 / 59.999));
        series.expire(60_000);
        assert_eq!((series.avg(), series.max(), series.total), (30.0, 30.0, 120.0));
        series.expire(200_000);
        assert!(series.avg().is_nan());
        assert_eq!((series.rate(200_000), series.total), (0.0, 120.0));
    }

    #[test]
    fn topics_are_told_apart() {
        let mut metrics = Metrics::default();
        let topic: Arc<str> = "t".into();
        metrics.batch_left(&Left { topic: &topic, records: 7, bytes: 100, queued_ms: 5, ratio: Some(0.5) }, 10);
        metrics.failed(&"u".into(), 3, 10);
        let gauges =
            Gauges { now_ms: 10, in_flight: 1, waiting: 0, buffer_total: 10, buffer_available: 5, metadata_age_ms: 1500 };
        let read = metrics.read("c", &gauges);
        let find = |name: &str, topic: Option<&str>| {
            let own = read.iter().find(|metric| metric.name == name && metric.tags.get("topic").map(String::as_str) == topic);
            own.expect("a metric").value
        };
        assert_eq!((find("record-send-total", None), find("record-send-total", Some("t"))), (7.0, 7.0));
        assert_eq!((find("record-error-total", Some("t")), find("record-error-total", Some("u"))), (0.0, 3.0));
        assert_eq!((find("metadata-age", None), find("compression-rate-avg", None)), (1.5, 0.5));
        assert!(read.iter().all(|metric| metric.tags["client-id"] == "c"));
    }
}
