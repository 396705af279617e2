//! What a topic's configuration means to its logs: texts of base/config to the typed fields of broker/log.
//!
//! Called when a partition is opened and when a topic's or a broker's configuration changes.

use std::collections::BTreeMap;

use millstream_base_config::BrokerConfig;
use millstream_broker_controller::{ConfigResourceType, Image};
use millstream_broker_log::LogConfig;
use millstream_broker_log::config::{CleanupPolicy, RecordValidation, TimestampType, TopicCompression};
use millstream_protocol::compress::Codec;

type Set = BTreeMap<String, String>;

/// The configuration of a topic as its partitions obey it.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// What the log obeys.
    pub log: LogConfig,
    /// `min.insync.replicas`
    pub min_insync_replicas: u32,
}

/// Looks up keys of one topic through all the places where they may be set.
struct Lookup<'a> {
    config: &'a BrokerConfig,
    topic: Option<&'a Set>,
    broker: Option<&'a Set>,
    cluster: Option<&'a Set>,
}

impl Lookup<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.config.topic_value(key, self.topic, self.broker, self.cluster)
    }

    /// Values were checked when they were set, so one that does not parse can only come from a newer version's
    /// metadata; the default stands in then.
    fn number<T: std::str::FromStr>(&self, key: &str, default: T) -> T {
        self.text(key).and_then(|text| text.trim().parse().ok()).unwrap_or(default)
    }

    /// A broker key that no topic overrides.
    fn broker_number(&self, key: &str) -> i64 {
        let set = |set: Option<&Set>| set?.get(key)?.trim().parse().ok();
        set(self.broker).or_else(|| set(self.cluster)).unwrap_or_else(|| self.config.number(key))
    }

    fn flag(&self, key: &str) -> bool {
        self.text(key).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }
}

/// The configuration of `topic` in `image` on the broker of `config`.
pub fn resolve(config: &BrokerConfig, image: &Image, topic: &str) -> TopicConfig {
    let set = |kind, name: &str| image.configs(kind, name).map(|set| set.as_ref());
    let node = config.node_id.to_string();
    let lookup = Lookup {
        config,
        topic: set(ConfigResourceType::Topic, topic),
        broker: set(ConfigResourceType::Broker, &node),
        cluster: set(ConfigResourceType::Broker, ""),
    };
    TopicConfig { log: log_config(&lookup), min_insync_replicas: lookup.number("min.insync.replicas", 1) }
}

fn log_config(lookup: &Lookup<'_>) -> LogConfig {
    let default = LogConfig::default();
    LogConfig {
        segment_bytes: lookup
            .text("internal.segment.bytes")
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| lookup.number("segment.bytes", default.segment_bytes)),
        segment_ms: lookup.number("segment.ms", default.segment_ms),
        segment_jitter_ms: lookup.number("segment.jitter.ms", default.segment_jitter_ms),
        segment_index_bytes: lookup.number("segment.index.bytes", default.segment_index_bytes),
        index_interval_bytes: lookup.number("index.interval.bytes", default.index_interval_bytes),
        flush_messages: lookup.number("flush.messages", default.flush_messages),
        flush_ms: lookup.number("flush.ms", default.flush_ms),
        retention_bytes: lookup.number("retention.bytes", default.retention_bytes),
        retention_ms: lookup.number("retention.ms", default.retention_ms),
        max_message_bytes: lookup.number("max.message.bytes", default.max_message_bytes),
        delete_retention_ms: lookup.number("delete.retention.ms", default.delete_retention_ms),
        min_compaction_lag_ms: lookup.number("min.compaction.lag.ms", default.min_compaction_lag_ms),
        max_compaction_lag_ms: lookup.number("max.compaction.lag.ms", default.max_compaction_lag_ms),
        file_delete_delay_ms: lookup.number("file.delete.delay.ms", default.file_delete_delay_ms),
        min_cleanable_dirty_ratio: lookup.number("min.cleanable.dirty.ratio", default.min_cleanable_dirty_ratio),
        cleanup_policy: cleanup_policy(lookup),
        compression: compression(lookup),
        preallocate: lookup.flag("preallocate"),
        message_timestamp_type: match lookup.text("message.timestamp.type").as_deref() {
            Some("LogAppendTime") => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        },
        message_timestamp_before_max_ms: lookup
            .number("message.timestamp.before.max.ms", default.message_timestamp_before_max_ms),
        message_timestamp_after_max_ms: lookup
            .number("message.timestamp.after.max.ms", default.message_timestamp_after_max_ms),
        producer_id_expiration_ms: lookup.broker_number("producer.id.expiration.ms"),
        record_validation: match lookup.config.set_values().get("record.validation").map(String::as_str) {
            Some("header") => RecordValidation::Header,
            _ => RecordValidation::Full,
        },
    }
}

fn cleanup_policy(lookup: &Lookup<'_>) -> CleanupPolicy {
    let text = lookup.text("cleanup.policy").unwrap_or_default();
    let has = |policy: &str| text.split(',').any(|item| item.trim() == policy);
    CleanupPolicy { delete: has("delete"), compact: has("compact") }
}

fn compression(lookup: &Lookup<'_>) -> TopicCompression {
    let (codec, level) = match lookup.text("compression.type").as_deref() {
        Some("uncompressed") => (Codec::None, None),
        Some("gzip") => (Codec::Gzip, lookup.text("compression.gzip.level")),
        Some("snappy") => (Codec::Snappy, None),
        Some("lz4") => (Codec::Lz4, lookup.text("compression.lz4.level")),
        Some("zstd") => (Codec::Zstd, lookup.text("compression.zstd.level")),
        _ => return TopicCompression::Producer,
    };
    TopicCompression::Codec { codec, level: level.and_then(|level| level.parse().ok()) }
}
