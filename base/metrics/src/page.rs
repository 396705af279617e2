//! Values under names that are known only when somebody looks, as a page for Prometheus.
//!
//! Called by what tells of others' metrics by Kafka's names. Never here: what is kept between two looks (`registry.rs`).

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::metric::Kind;
use crate::registry::metric_type;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its name; that of a counter ends in `_total`.
    pub name: String,
    /// A counter or a gauge.
    pub kind: Kind,
    /// What tells it from others of its name.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// The name that Prometheus' JMX exporter makes of a metric of Kafka's clients and streams:
/// `kafka_streams_stream_thread_metrics_commit_rate`.
///
/// ```
/// use millstream_base_metrics::page::name_of;
///
/// assert_eq!(name_of("stream-task-metrics", "process-rate"), "kafka_streams_stream_task_metrics_process_rate");
/// assert_eq!(name_of("producer-metrics", "record-send-total"), "kafka_producer_producer_metrics_record_send_total");
/// ```
pub fn name_of(group: &str, name: &str) -> String {
    let plain = |text: &str| text.replace(['-', '.'], "_");
    let domain = group.split('-').next().unwrap_or_default();
    let domain = if domain == "stream" { "streams" } else { domain };
    format!("kafka_{domain}_{}_{}", plain(group), plain(name))
}

/// Whether a metric of Kafka's only grows, by its name.
pub fn kind_of(name: &str) -> Kind {
    // What is left to restore, or lies in a cache, goes down as well.
    let goes_down = name.contains("remaining") || name == "cache-size-bytes-total";
    if name.ends_with("-total") && !goes_down { Kind::Counter } else { Kind::Gauge }
}

/// The page of these values, by name.
pub fn page(samples: &[Sample]) -> String {
    let mut families: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        families.entry(sample.name.clone()).or_default().push(sample.clone());
    }
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("writing into a string does not fail");
    text
}

#[derive(Debug)]
struct Families(BTreeMap<String, Vec<Sample>>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, samples) in &self.0 {
            let kind = samples.first().map_or(Kind::Gauge, |first| first.kind);
            // The encoder adds it.
            let bare = if kind == Kind::Counter { name.strip_suffix("_total").unwrap_or(name) } else { name };
            let help = name.replace('_', " ");
            let mut family = encoder.encode_descriptor(bare, &help, None, metric_type(kind))?;
            for Sample { labels, value, .. } in samples {
                let encoder = family.encode_family(labels)?;
                match kind {
                    Kind::Counter => ConstCounter::new(*value).encode(encoder)?,
                    Kind::Gauge | Kind::Histogram => ConstGauge::new(*value).encode(encoder)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_name_stand_together() {
        let sample = |name: &str, kind, label: &str, value| Sample {
            name: name.to_owned(),
            kind,
            labels: vec![("thread_id".to_owned(), label.to_owned())],
            value,
        };
        let text = page(&[
            sample("b_total", Kind::Counter, "1", 3.0),
            sample("a_rate", Kind::Gauge, "1", f64::NAN),
            sample("b_total", Kind::Counter, "a\"b", 4.5),
        ]);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        let expected = [
            "# TYPE a_rate gauge",
            "a_rate{thread_id=\"1\"} NaN",
            "# TYPE b counter",
            "b_total{thread_id=\"1\"} 3.0",
            "b_total{thread_id=\"a\\\"b\"} 4.5",
            "# EOF",
        ];
        assert_eq!(lines, expected);
    }
}
