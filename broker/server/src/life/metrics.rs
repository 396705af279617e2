//! The rows of the broker's metrics and handles on them.
//!
//! Recorded per batch or request through handles that are taken once: per topic when the topic comes, per API at
//! the start. What only a page needs (log sizes, lag) is computed at the scrape by `Registry::collect`. docs/metrics.md
//! is made from this table. Kafka's names are those of a running Apache broker (life/apache_mbeans.txt, labels as `*`).
//! Not done: errors by code (ErrorsPerSec); RequestQueueTimeMs, as no queue stands between socket and handler.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millstream_base_metrics::{Counter, Histogram, Kind, Metric, Registry};

/// Every metric of a broker.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "broker_produce_bytes",
        kind: Kind::Counter,
        labels: &["topic"],
        help: "Bytes of record batches that producers had appended",
        mbean: "kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec,topic={topic}",
    },
    Metric {
        name: "broker_produce_records",
        kind: Kind::Counter,
        labels: &["topic"],
        help: "Records that producers had appended",
        mbean: "kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec,topic={topic}",
    },
    Metric {
        name: "broker_produce_requests",
        kind: Kind::Counter,
        labels: &["topic"],
        help: "Produce requests, counted once for each partition they name",
        mbean: "kafka.server:type=BrokerTopicMetrics,name=TotalProduceRequestsPerSec,topic={topic}",
    },
    Metric {
        name: "broker_produce_failures",
        kind: Kind::Counter,
        labels: &["topic"],
        help: "Appends that were refused or failed",
        mbean: "kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec,topic={topic}",
    },
    Metric {
        name: "broker_fetch_bytes",
        kind: Kind::Counter,
        labels: &["topic"],
        help: "Bytes of record batches handed to consumers",
        mbean: "kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec,topic={topic}",
    },
    Metric {
        name: "broker_fetch_requests",
        kind: Kind::Counter,
        labels: &["topic"],
        help: "Reads by consumers, counted once for each partition",
        mbean: "kafka.server:type=BrokerTopicMetrics,name=TotalFetchRequestsPerSec,topic={topic}",
    },
    Metric {
        name: "broker_fetch_failures",
        kind: Kind::Counter,
        labels: &["topic"],
        help: "Reads that were refused or failed",
        mbean: "kafka.server:type=BrokerTopicMetrics,name=FailedFetchRequestsPerSec,topic={topic}",
    },
    Metric {
        name: "broker_requests",
        kind: Kind::Counter,
        labels: &["api", "version"],
        help: "Requests taken",
        mbean: "kafka.network:type=RequestMetrics,name=RequestsPerSec,request={api},version={version}",
    },
    Metric {
        name: "broker_request_bytes",
        kind: Kind::Counter,
        labels: &["api"],
        help: "Bytes of requests",
        mbean: "",
    },
    Metric {
        name: "broker_response_bytes",
        kind: Kind::Counter,
        labels: &["api"],
        help: "Bytes of answers",
        mbean: "",
    },
    Metric {
        name: "broker_request_latency_seconds",
        kind: Kind::Histogram,
        labels: &["api"],
        help: "Time from a request read to its answer ready",
        mbean: "kafka.network:type=RequestMetrics,name=TotalTimeMs,request={api}",
    },
    Metric {
        name: "broker_request_local_seconds",
        kind: Kind::Histogram,
        labels: &["api"],
        help: "Time that a request was worked on before its answer was ready or had to be waited for",
        mbean: "kafka.network:type=RequestMetrics,name=LocalTimeMs,request={api}",
    },
    Metric { name: "broker_connections", kind: Kind::Gauge, labels: &[], help: "Open connections", mbean: "" },
    Metric {
        name: "broker_partitions",
        kind: Kind::Gauge,
        labels: &[],
        help: "Partitions on this broker",
        mbean: "kafka.server:type=ReplicaManager,name=PartitionCount",
    },
    Metric {
        name: "broker_partitions_led",
        kind: Kind::Gauge,
        labels: &[],
        help: "Partitions that this broker leads",
        mbean: "kafka.server:type=ReplicaManager,name=LeaderCount",
    },
    Metric {
        name: "broker_partitions_under_replicated",
        kind: Kind::Gauge,
        labels: &[],
        help: "Partitions led here with replicas out of sync",
        mbean: "kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions",
    },
    Metric {
        name: "broker_partitions_under_min_isr",
        kind: Kind::Gauge,
        labels: &[],
        help: "Partitions led here with fewer replicas in sync than min.insync.replicas",
        mbean: "kafka.server:type=ReplicaManager,name=UnderMinIsrPartitionCount",
    },
    Metric {
        name: "broker_partitions_offline",
        kind: Kind::Gauge,
        labels: &[],
        help: "Partitions in a log directory that failed",
        mbean: "kafka.server:type=ReplicaManager,name=OfflineReplicaCount",
    },
    Metric {
        name: "broker_log_directories_offline",
        kind: Kind::Gauge,
        labels: &[],
        help: "Log directories that failed",
        mbean: "kafka.log:type=LogManager,name=OfflineLogDirectoryCount",
    },
    Metric {
        name: "broker_log_size_bytes",
        kind: Kind::Gauge,
        labels: &["topic", "partition"],
        help: "Bytes of a partition on disk",
        mbean: "kafka.log:type=Log,name=Size,topic={topic},partition={partition}",
    },
    Metric {
        name: "broker_log_start_offset",
        kind: Kind::Gauge,
        labels: &["topic", "partition"],
        help: "First offset that can be read",
        mbean: "kafka.log:type=Log,name=LogStartOffset,topic={topic},partition={partition}",
    },
    Metric {
        name: "broker_log_end_offset",
        kind: Kind::Gauge,
        labels: &["topic", "partition"],
        help: "Offset of the next record",
        mbean: "kafka.log:type=Log,name=LogEndOffset,topic={topic},partition={partition}",
    },
    Metric {
        name: "broker_log_segments",
        kind: Kind::Gauge,
        labels: &["topic", "partition"],
        help: "Segments of a partition",
        mbean: "kafka.log:type=Log,name=NumLogSegments,topic={topic},partition={partition}",
    },
    Metric {
        name: "broker_topics",
        kind: Kind::Gauge,
        labels: &[],
        help: "Topics in the cluster",
        mbean: "kafka.controller:type=KafkaController,name=GlobalTopicCount",
    },
    Metric {
        name: "broker_cluster_partitions",
        kind: Kind::Gauge,
        labels: &[],
        help: "Partitions in the cluster",
        mbean: "kafka.controller:type=KafkaController,name=GlobalPartitionCount",
    },
    Metric {
        name: "broker_active_controller",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while this node is the active controller",
        mbean: "kafka.controller:type=KafkaController,name=ActiveControllerCount",
    },
    Metric {
        name: "broker_active_brokers",
        kind: Kind::Gauge,
        labels: &[],
        help: "Brokers that are not fenced",
        mbean: "kafka.controller:type=KafkaController,name=ActiveBrokerCount",
    },
    Metric {
        name: "broker_coordinator_partitions",
        kind: Kind::Gauge,
        labels: &["topic", "state"],
        help: "Partitions of __consumer_offsets and __transaction_state led here: loading, failed to load, active",
        mbean: "",
    },
    Metric { name: "broker_groups", kind: Kind::Gauge, labels: &["state"], help: "Groups by state", mbean: "" },
    Metric {
        name: "broker_group_members",
        kind: Kind::Gauge,
        labels: &["group"],
        help: "Members of a group",
        mbean: "",
    },
    Metric {
        name: "broker_group_offset",
        kind: Kind::Gauge,
        labels: &["group", "topic", "partition"],
        help: "Committed offset of a group",
        mbean: "",
    },
    Metric {
        name: "broker_group_lag_records",
        kind: Kind::Gauge,
        labels: &["group", "topic", "partition"],
        help: "Records between the committed offset and the high watermark",
        mbean: "",
    },
];

/// Handles of one API.
#[derive(Clone, Debug)]
pub struct ApiMetrics {
    name: &'static str,
    registry: Registry,
    /// By version, taken when the first request of it comes.
    requests: Arc<[OnceLock<Counter>; VERSIONS]>,
    request_bytes: Counter,
    response_bytes: Counter,
    latency: Histogram,
    local: Histogram,
}

/// No API has so many versions.
const VERSIONS: usize = 32;

impl ApiMetrics {
    /// A request of `version` came with `bytes` bytes.
    pub fn requested(&self, version: i16, bytes: usize) {
        if let Some(place) = usize::try_from(version).ok().and_then(|index| self.requests.get(index)) {
            let taken = || self.registry.counter("broker_requests", &[self.name, &version.to_string()]);
            place.get_or_init(taken).inc();
        }
        self.request_bytes.inc_by(bytes as u64);
    }

    /// Its handler came to an answer, or to a point where it must wait, after `elapsed`.
    pub fn worked(&self, elapsed: Duration) {
        self.local.observe(elapsed);
    }

    /// Its answer of `bytes` bytes was ready after `elapsed`.
    pub fn answered(&self, bytes: usize, elapsed: Duration) {
        self.response_bytes.inc_by(bytes as u64);
        self.latency.observe(elapsed);
    }
}

/// Handles of one topic.
#[derive(Clone, Debug, Default)]
pub struct TopicMetrics {
    produce_bytes: Counter,
    produce_records: Counter,
    produce_requests: Counter,
    produce_failures: Counter,
    fetch_bytes: Counter,
    fetch_requests: Counter,
    fetch_failures: Counter,
}

impl TopicMetrics {
    /// A batch set of `records` records and `bytes` bytes was appended.
    pub fn produced(&self, records: u64, bytes: u64) {
        self.produce_requests.inc();
        self.produce_records.inc_by(records);
        self.produce_bytes.inc_by(bytes);
    }

    /// An append was refused or failed.
    pub fn produce_failed(&self) {
        self.produce_requests.inc();
        self.produce_failures.inc();
    }

    /// A read gave `bytes` bytes.
    pub fn fetched(&self, bytes: u64) {
        self.fetch_requests.inc();
        self.fetch_bytes.inc_by(bytes);
    }

    /// A read was refused or failed.
    pub fn fetch_failed(&self) {
        self.fetch_requests.inc();
        self.fetch_failures.inc();
    }
}

/// The metrics of a broker.
#[derive(Clone, Debug)]
pub struct BrokerMetrics {
    registry: Registry,
    apis: Vec<Option<ApiMetrics>>,
}

impl BrokerMetrics {
    /// Adds the broker's rows to `registry` and takes the handles of `served`: keys and names of APIs.
    pub fn new(registry: Registry, served: impl IntoIterator<Item = (i16, &'static str)>) -> Self {
        registry.add(METRICS);
        let mut apis = Vec::new();
        for (key, name) in served {
            let index = usize::try_from(key).expect("API keys count from 0");
            if apis.len() <= index {
                apis.resize(index + 1, None);
            }
            apis[index] = Some(ApiMetrics {
                name,
                registry: registry.clone(),
                requests: Arc::default(),
                request_bytes: registry.counter("broker_request_bytes", &[name]),
                response_bytes: registry.counter("broker_response_bytes", &[name]),
                latency: registry.histogram("broker_request_latency_seconds", &[name]),
                local: registry.histogram("broker_request_local_seconds", &[name]),
            });
        }
        BrokerMetrics { registry, apis }
    }

    /// The registry, for what else is measured.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Handles of the API of that key.
    pub fn api(&self, key: i16) -> Option<&ApiMetrics> {
        self.apis.get(usize::try_from(key).ok()?)?.as_ref()
    }

    /// Handles of a topic; take them once and keep them with its partitions.
    pub fn topic(&self, topic: &str) -> TopicMetrics {
        let counter = |name| self.registry.counter(name, &[topic]);
        TopicMetrics {
            produce_bytes: counter("broker_produce_bytes"),
            produce_records: counter("broker_produce_records"),
            produce_requests: counter("broker_produce_requests"),
            produce_failures: counter("broker_produce_failures"),
            fetch_bytes: counter("broker_fetch_bytes"),
            fetch_requests: counter("broker_fetch_requests"),
            fetch_failures: counter("broker_fetch_failures"),
        }
    }

    /// Forgets a topic that was deleted.
    pub fn forget_topic(&self, topic: &str) {
        for metric in METRICS.iter().filter(|metric| metric.labels == ["topic"]) {
            self.registry.forget(metric.name, 0, topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_stands_on_the_page_until_the_topic_is_forgotten() {
        let metrics = BrokerMetrics::new(Registry::default(), [(0, "Produce")]);
        metrics.topic("t").produced(3, 300);
        metrics.api(0).expect("Produce").requested(9, 17);
        metrics.api(0).expect("Produce").answered(9, Duration::from_micros(40));
        let page = metrics.registry().render();
        for line in [
            "kafka_server_brokertopicmetrics_messagesin_total{topic=\"t\"} 3",
            "broker_produce_bytes_total{topic=\"t\"} 300",
            "broker_request_bytes_total{api=\"Produce\"} 17",
            "kafka_network_requestmetrics_requests_total{request=\"Produce\",version=\"9\"} 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
        metrics.forget_topic("t");
        assert!(!metrics.registry().render().contains("topic=\"t\""));
    }

    #[test]
    fn an_mbean_is_one_that_apache_has() {
        let apache: Vec<&str> = include_str!("apache_mbeans.txt").lines().collect();
        for metric in METRICS.iter().filter(|metric| !metric.mbean.is_empty()) {
            let starred: Vec<String> = metric
                .mbean
                .split(',')
                .map(|property| match property.split_once("={") {
                    Some((key, _)) => format!("{key}=*"),
                    None => property.to_owned(),
                })
                .collect();
            assert!(apache.contains(&starred.join(",").as_str()), "{}", metric.mbean);
        }
    }

    #[test]
    fn names_are_unlike_and_end_in_no_total() {
        let mut names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(METRICS.iter().all(|metric| !metric.name.ends_with("_total") && !metric.help.ends_with('.')));
    }
}
