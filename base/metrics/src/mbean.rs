//! Kafka's MBean names as Prometheus names, as the rules for Kafka 2 and newer that come with Prometheus' JMX
//! exporter (`kafka-2_0_0.yml`, lower case) make them, so that dashboards made for Apache Kafka find their series.
//!
//! `kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec,topic={topic}` becomes
//! `kafka_server_brokertopicmetrics_bytesin_total{topic="..."}`.

use crate::metric::{Kind, Metric};

/// A Prometheus name made of an MBean, with what each of our labels is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name, without `_total`.
    pub name: String,
    /// Labels of the alias in the order of the MBean, with the position of the label of ours that fills each.
    pub labels: Vec<(String, usize)>,
    /// Whether Kafka also has the sum over all topics, under the same name without labels.
    pub summed: bool,
}

/// The alias of `metric`, `None` where Kafka has no such number.
pub fn alias(metric: &Metric) -> Option<Alias> {
    let (domain, properties) = metric.mbean.split_once(':')?;
    let mut name = domain.replace(['.', '-'], "_");
    let mut labels = Vec::new();
    for property in properties.split(',') {
        let (key, value) = property.split_once('=')?;
        match value.strip_prefix('{').and_then(|value| value.strip_suffix('}')) {
            Some(label) => {
                let position = metric.labels.iter().position(|known| *known == label)?;
                labels.push((key.replace('-', "_"), position));
            }
            None => {
                name.push('_');
                name.push_str(&value.strip_suffix("PerSec").unwrap_or(value).replace(['.', '-'], "_"));
            }
        }
    }
    if metric.kind == Kind::Histogram {
        name.push_str("_count");
    }
    let summed = metric.kind == Kind::Counter && metric.labels == ["topic"];
    Some(Alias { name: name.to_lowercase(), labels, summed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: Kind, labels: &'static [&'static str], mbean: &'static str) -> Metric {
        Metric { name: "x", kind, labels, help: "x", mbean }
    }

    #[test]
    fn names_are_those_of_the_exporters_rules() {
        let bytes_in =
            row(Kind::Counter, &["topic"], "kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec,topic={topic}");
        let found = alias(&bytes_in).expect("an alias");
        assert_eq!(found.name, "kafka_server_brokertopicmetrics_bytesin");
        assert_eq!((found.labels, found.summed), (vec![("topic".to_owned(), 0)], true));
        let latency =
            row(Kind::Histogram, &["api"], "kafka.network:type=RequestMetrics,name=TotalTimeMs,request={api}");
        let found = alias(&latency).expect("an alias");
        assert_eq!(found.name, "kafka_network_requestmetrics_totaltimems_count");
        assert_eq!(found.labels, [("request".to_owned(), 0)]);
        assert_eq!(alias(&row(Kind::Gauge, &[], "")), None);
    }
}
