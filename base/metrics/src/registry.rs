//! Series by row and label values, and the text page made of them.
//!
//! A handle is taken once and recorded into without a lookup: counters and gauges are one atomic each. What is
//! only worth knowing when somebody looks (log sizes, lag) is computed at the scrape by a collector.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::histogram::Histogram;
use crate::mbean::{Alias, alias};
use crate::metric::{Kind, Metric};

/// A number that only grows.
pub type Counter = prometheus_client::metrics::counter::Counter;
/// A number that goes up and down.
pub type Gauge = prometheus_client::metrics::gauge::Gauge;
/// Content type of [`Registry::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of a process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry {
    rows: Arc<RwLock<Vec<Arc<Row>>>>,
    collectors: Arc<RwLock<Vec<Box<Collect>>>>,
}

type Collect = dyn Fn(&mut Samples) + Send + Sync;

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("rows", &self.rows.read().len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Row {
    metric: &'static Metric,
    alias: Option<Alias>,
    series: RwLock<BTreeMap<Vec<String>, Handle>>,
}

#[derive(Clone, Debug)]
enum Handle {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Handle {
    fn new(kind: Kind) -> Handle {
        match kind {
            Kind::Counter => Handle::Counter(Counter::default()),
            Kind::Gauge => Handle::Gauge(Gauge::default()),
            Kind::Histogram => Handle::Histogram(Histogram::default()),
        }
    }
}

impl Registry {
    /// Adds the rows of a crate; the page shows them in this order. Rows that are there already stay as they are.
    pub fn add(&self, metrics: &'static [Metric]) {
        let mut rows = self.rows.write();
        for metric in metrics {
            if rows.iter().all(|row| row.metric.name != metric.name) {
                rows.push(Arc::new(Row { metric, alias: alias(metric), series: RwLock::default() }));
            }
        }
    }

    /// The counter of `name` with these label values, made when it is new.
    ///
    /// # Panics
    /// When no row of that name, kind and number of labels was added: a mistake of the caller.
    pub fn counter(&self, name: &str, labels: &[&str]) -> Counter {
        match self.handle(name, labels) {
            Handle::Counter(counter) => counter,
            other => panic!("{name} is no counter but {other:?}"),
        }
    }

    /// The gauge of `name` with these label values.
    ///
    /// # Panics
    /// As [`Registry::counter`].
    pub fn gauge(&self, name: &str, labels: &[&str]) -> Gauge {
        match self.handle(name, labels) {
            Handle::Gauge(gauge) => gauge,
            other => panic!("{name} is no gauge but {other:?}"),
        }
    }

    /// The histogram of `name` with these label values.
    ///
    /// # Panics
    /// As [`Registry::counter`].
    pub fn histogram(&self, name: &str, labels: &[&str]) -> Histogram {
        match self.handle(name, labels) {
            Handle::Histogram(histogram) => histogram,
            other => panic!("{name} is no histogram but {other:?}"),
        }
    }

    /// Forgets the series of `name` whose label number `label` is `value` (a topic that was deleted).
    pub fn forget(&self, name: &str, label: usize, value: &str) {
        if let Some(row) = self.row(name) {
            row.series.write().retain(|values, _| values.get(label).is_none_or(|known| known != value));
        }
    }

    /// Runs `collect` at each scrape.
    pub fn collect(&self, collect: impl Fn(&mut Samples) + Send + Sync + 'static) {
        self.collectors.write().push(Box::new(collect));
    }

    /// The page.
    pub fn render(&self) -> String {
        let mut samples = Samples::default();
        for collect in self.collectors.read().iter() {
            collect(&mut samples);
        }
        let mut page = prometheus_client::registry::Registry::default();
        let rows = self.rows.read().clone();
        page.register_collector(Box::new(Page { rows, samples }));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &page).expect("writing into a string does not fail");
        text
    }

    /// Names on the last page that have a value, without `_total` (tests compare them with the tables).
    pub fn names_with_series(&self) -> Vec<&'static str> {
        let rows = self.rows.read();
        rows.iter().filter(|row| !row.series.read().is_empty()).map(|row| row.metric.name).collect()
    }

    fn row(&self, name: &str) -> Option<Arc<Row>> {
        self.rows.read().iter().find(|row| row.metric.name == name).cloned()
    }

    fn handle(&self, name: &str, labels: &[&str]) -> Handle {
        let Some(row) = self.row(name) else { panic!("no table has a metric {name}") };
        assert_eq!(row.metric.labels.len(), labels.len(), "labels of {name}");
        let values: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        row.series.write().entry(values).or_insert_with(|| Handle::new(row.metric.kind)).clone()
    }
}

/// Values that a collector found for one page. Only gauges are collected.
#[derive(Debug, Default)]
pub struct Samples {
    gauges: BTreeMap<&'static str, Vec<(Vec<String>, f64)>>,
}

impl Samples {
    /// The gauge `name`, or a counter that somebody else keeps, stands at `value`.
    pub fn gauge(&mut self, name: &'static str, labels: &[&str], value: f64) {
        let values = labels.iter().map(|label| (*label).to_owned()).collect();
        self.gauges.entry(name).or_default().push((values, value));
    }
}

/// One page: rows in the order of the tables, each under its own name and under Kafka's.
#[derive(Debug)]
struct Page {
    rows: Vec<Arc<Row>>,
    samples: Samples,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for row in &self.rows {
            let mut series: Vec<(Vec<String>, Handle)> =
                row.series.read().iter().map(|(values, handle)| (values.clone(), handle.clone())).collect();
            let sampled = self.samples.gauges.get(row.metric.name).map_or(&[][..], Vec::as_slice);
            if series.is_empty() && sampled.is_empty() {
                continue;
            }
            encode_own(row.metric, &series, sampled, &mut encoder)?;
            if let Some(alias) = &row.alias {
                encode_alias(row.metric, alias, &mut series, sampled, &mut encoder)?;
            }
        }
        Ok(())
    }
}

fn encode_own(
    metric: &Metric,
    series: &[(Vec<String>, Handle)],
    sampled: &[(Vec<String>, f64)],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(metric.name, metric.help, None, metric_type(metric.kind))?;
    for (values, handle) in series {
        let labels: Vec<(&str, &str)> = metric.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
        encode_handle(handle, family.encode_family(&labels)?)?;
    }
    for (values, value) in sampled {
        let labels: Vec<(&str, &str)> = metric.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
        encode_sampled(metric.kind, *value, family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A histogram shows how often it was recorded into, as Kafka's own bean does among its attributes.
fn encode_alias(
    metric: &Metric,
    alias: &Alias,
    series: &mut [(Vec<String>, Handle)],
    sampled: &[(Vec<String>, f64)],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let kind = if metric.kind == Kind::Histogram { MetricType::Gauge } else { metric_type(metric.kind) };
    let mut family = encoder.encode_descriptor(&alias.name, metric.mbean, None, kind)?;
    if alias.summed {
        let total = Counter::default();
        for (_, handle) in series.iter() {
            if let Handle::Counter(counter) = handle {
                total.inc_by(counter.get());
            }
        }
        total.encode(family.encode_family(&NO_LABELS)?)?;
    }
    for (values, handle) in series.iter() {
        let labels = alias_labels(alias, values);
        let one = family.encode_family(&labels)?;
        match handle {
            Handle::Histogram(histogram) => ConstGauge::new(histogram.count()).encode(one)?,
            other => encode_handle(other, one)?,
        }
    }
    for (values, value) in sampled {
        encode_sampled(metric.kind, *value, family.encode_family(&alias_labels(alias, values))?)?;
    }
    Ok(())
}

const NO_LABELS: [(&str, &str); 0] = [];

fn alias_labels<'a>(alias: &'a Alias, values: &'a [String]) -> Vec<(&'a str, &'a str)> {
    alias.labels.iter().map(|(label, position)| (label.as_str(), values[*position].as_str())).collect()
}

fn encode_handle(handle: &Handle, encoder: MetricEncoder<'_>) -> fmt::Result {
    match handle {
        Handle::Counter(counter) => counter.encode(encoder),
        Handle::Gauge(gauge) => gauge.encode(encoder),
        Handle::Histogram(histogram) => histogram.encode(encoder),
    }
}

/// A value that was looked up at the scrape; a counter's name ends in `_total` all the same.
fn encode_sampled(kind: Kind, value: f64, encoder: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        Kind::Counter => ConstCounter::new(value).encode(encoder),
        Kind::Gauge | Kind::Histogram => ConstGauge::new(value).encode(encoder),
    }
}

pub(crate) fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &[Metric] = &[
        Metric {
            name: "broker_produce_bytes",
            kind: Kind::Counter,
            labels: &["topic"],
            help: "Bytes of record batches that were appended",
            mbean: "kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec,topic={topic}",
        },
        Metric {
            name: "broker_request_latency_seconds",
            kind: Kind::Histogram,
            labels: &["api"],
            help: "Time from request to answer",
            mbean: "kafka.network:type=RequestMetrics,name=TotalTimeMs,request={api}",
        },
        Metric {
            name: "broker_log_size_bytes",
            kind: Kind::Gauge,
            labels: &["topic", "partition"],
            help: "Bytes on disk",
            mbean: "kafka.log:type=Log,name=Size,topic={topic},partition={partition}",
        },
    ];

    fn registry() -> Registry {
        let registry = Registry::default();
        registry.add(METRICS);
        registry
    }

    #[test]
    fn a_counter_stands_under_both_names_with_the_sum() {
        let registry = registry();
        registry.counter("broker_produce_bytes", &["a"]).inc_by(3);
        registry.counter("broker_produce_bytes", &["b"]).inc_by(4);
        let page = registry.render();
        for line in [
            "broker_produce_bytes_total{topic=\"a\"} 3",
            "kafka_server_brokertopicmetrics_bytesin_total{} 7",
            "kafka_server_brokertopicmetrics_bytesin_total{topic=\"b\"} 4",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn one_handle_per_series_and_forgotten_ones_are_gone() {
        let registry = registry();
        registry.counter("broker_produce_bytes", &["a"]).inc();
        registry.counter("broker_produce_bytes", &["a"]).inc();
        assert_eq!(registry.counter("broker_produce_bytes", &["a"]).get(), 2);
        registry.forget("broker_produce_bytes", 0, "a");
        assert!(!registry.render().contains("broker_produce_bytes"));
    }

    #[test]
    fn histograms_and_collected_gauges_are_shown() {
        let registry = registry();
        registry
            .histogram("broker_request_latency_seconds", &["Produce"])
            .observe(std::time::Duration::from_micros(30));
        registry.collect(|samples| samples.gauge("broker_log_size_bytes", &["t", "0"], 12.0));
        let page = registry.render();
        for line in [
            "broker_request_latency_seconds_bucket{le=\"0.00005\",api=\"Produce\"} 1",
            "kafka_network_requestmetrics_totaltimems_count{request=\"Produce\"} 1",
            "broker_log_size_bytes{topic=\"t\",partition=\"0\"} 12.0",
            "kafka_log_log_size{topic=\"t\",partition=\"0\"} 12.0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let registry = registry();
        registry.counter("broker_produce_bytes", &["a\"b\\c\nd"]).inc();
        assert!(registry.render().contains("topic=\"a\\\"b\\\\c\\nd\""));
    }
}
