//! What a client measures: values over time, and the one shape in which producer and consumer tell them.
//!
//! Recorded by `producer/metrics.rs`, `consumer/metrics.rs` and the products that stand on clients, per batch, request or poll, never per record. Averages,
//! extremes and rates cover the last one to two windows of 30 seconds (`metrics.sample.window.ms`,
//! `metrics.num.samples`). Never here: which values there are.

use std::collections::{BTreeMap, VecDeque};

const WINDOW_MS: i64 = 30_000;
const WINDOWS: usize = 2;

/// One metric as it stands now.
///
/// ```
/// use client::metrics::Metric;
///
/// fn print(metrics: &[Metric]) {
///     for metric in metrics {
///         println!("{}:{} {:?} {}", metric.group, metric.name, metric.tags, metric.value);
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// As in Java: "record-send-total".
    pub name: &'static str,
    /// As in Java: "producer-metrics", "consumer-fetch-manager-metrics".
    pub group: &'static str,
    /// "client-id", and "topic" and "partition" where it is of one only.
    pub tags: BTreeMap<&'static str, String>,
    /// The value; NaN for an average or extreme of nothing.
    pub value: f64,
}

/// What tells the metrics of one client, topic or partition from those of another.
///
/// ```
/// use client::metrics::{Tags, told};
///
/// let tags = Tags::from([("client-id", "orders".to_owned())]);
/// assert_eq!(told("producer-metrics", &tags, &[("record-send-total", 3.0)])[0].value, 3.0);
/// ```
pub type Tags = BTreeMap<&'static str, String>;

/// Metrics of one group and one set of tags.
pub fn told(group: &'static str, tags: &Tags, values: &[(&'static str, f64)]) -> Vec<Metric> {
    values.iter().map(|(name, value)| Metric { name, group, tags: tags.clone(), value: *value }).collect()
}

#[derive(Debug)]
struct Window {
    start_ms: i64,
    sum: f64,
    count: f64,
    min: f64,
    max: f64,
}

/// Values over time. Times are the caller's, of a clock that nobody sets.
///
/// ```
/// use client::metrics::Series;
///
/// let mut latency = Series::default();
/// latency.record(20.0, 0);
/// latency.record(40.0, 1_000);
/// assert_eq!((latency.avg(1_000), latency.max(1_000), latency.count), (30.0, 40.0, 2.0));
/// ```
#[derive(Debug, Default)]
pub struct Series {
    windows: VecDeque<Window>,
    /// Sum of all values, also of those that have left the windows.
    pub total: f64,
    /// How many there were.
    pub count: f64,
    /// The last one, or the sum of those that came together, and when it came.
    pub last: Option<(f64, i64)>,
}

impl Series {
    /// Adds a value.
    pub fn record(&mut self, value: f64, now_ms: i64) {
        self.record_all(value, 1.0, (value, value), now_ms);
    }

    /// Adds `count` values that make `sum` together; the smallest and largest of them are `extremes`.
    pub fn record_all(&mut self, sum: f64, count: f64, extremes: (f64, f64), now_ms: i64) {
        self.total += sum;
        self.count += count;
        self.last = Some((sum, now_ms));
        while self.windows.front().is_some_and(|window| is_old(window, now_ms)) {
            self.windows.pop_front();
        }
        if self.windows.back().is_none_or(|last| now_ms - last.start_ms >= WINDOW_MS) {
            let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
            self.windows.push_back(Window { start_ms: now_ms, sum: 0.0, count: 0.0, min, max });
        }
        if let Some(last) = self.windows.back_mut() {
            last.sum += sum;
            last.count += count;
            (last.min, last.max) = (last.min.min(extremes.0), last.max.max(extremes.1));
        }
    }

    fn live(&self, now_ms: i64) -> impl Iterator<Item = &Window> {
        self.windows.iter().filter(move |window| !is_old(window, now_ms))
    }

    /// Sum of the last one to two windows.
    pub fn sum(&self, now_ms: i64) -> f64 {
        self.live(now_ms).map(|window| window.sum).sum()
    }

    /// Average, NaN of nothing.
    pub fn avg(&self, now_ms: i64) -> f64 {
        let add = |(sum, count): (f64, f64), window: &Window| (sum + window.sum, count + window.count);
        let (sum, count) = self.live(now_ms).fold((0.0, 0.0), add);
        sum / count
    }

    /// Smallest, NaN of nothing.
    pub fn min(&self, now_ms: i64) -> f64 {
        self.live(now_ms).map(|window| window.min).reduce(f64::min).unwrap_or(f64::NAN)
    }

    /// Largest, NaN of nothing.
    pub fn max(&self, now_ms: i64) -> f64 {
        self.live(now_ms).map(|window| window.max).reduce(f64::max).unwrap_or(f64::NAN)
    }

    /// Sum per second.
    pub fn rate(&self, now_ms: i64) -> f64 {
        self.sum(now_ms) / self.seconds(now_ms)
    }

    /// Events per second.
    pub fn count_rate(&self, now_ms: i64) -> f64 {
        self.live(now_ms).map(|window| window.count).sum::<f64>() / self.seconds(now_ms)
    }

    /// As if measured for one whole window at least (Java: `Rate.windowSize`).
    fn seconds(&self, now_ms: i64) -> f64 {
        let elapsed_ms = self.live(now_ms).next().map_or(0, |first| now_ms - first.start_ms);
        elapsed_ms.max(WINDOW_MS * (WINDOWS as i64 - 1)) as f64 / 1000.0
    }
}

fn is_old(window: &Window, now_ms: i64) -> bool {
    now_ms - window.start_ms >= WINDOW_MS * WINDOWS as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_left_behind_and_totals_stay() {
        let mut series = Series::default();
        assert!(series.avg(0).is_nan() && series.max(0).is_nan() && series.min(0).is_nan());
        series.record(60.0, 0);
        series.record(30.0, 1_000);
        assert_eq!((series.avg(1_000), series.max(1_000), series.rate(1_000)), (45.0, 60.0, 3.0), "as if for 30 s");
        assert_eq!((series.min(1_000), series.count_rate(1_000), series.count), (30.0, 2.0 / 30.0, 2.0));
        series.record(30.0, 45_000);
        assert_eq!((series.avg(45_000), series.rate(60_000 - 1)), (40.0, 120.0 / 59.999));
        assert_eq!((series.avg(60_000), series.max(60_000), series.total), (30.0, 30.0, 120.0));
        assert!(series.avg(200_000).is_nan());
        assert_eq!((series.rate(200_000), series.total, series.last), (0.0, 120.0, Some((30.0, 45_000))));
    }
}
