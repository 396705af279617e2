//! What a topic's configuration means to its log: Kafka's topic keys as typed fields, dots to underscores.
//!
//! The server resolves the keys (topic > broker > default) and hands the result to every partition of the
//! topic. Never here: names of keys, parsing, validation (base/config has them).

use millstream_protocol::compress::Codec;

/// `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The time the producer wrote into the record.
    #[default]
    CreateTime,
    /// The time at which the leader appended the batch.
    LogAppendTime,
}

/// `cleanup.policy`, a set of two flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted by time and size.
    pub delete: bool,
    /// Only the last value of each key is kept.
    pub compact: bool,
}

/// `compression.type` of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TopicCompression {
    /// Keep what the producer sent.
    #[default]
    Producer,
    /// Recompress what arrives in another codec; the level is the codec's own scale.
    Codec {
        /// The codec of every batch in the log.
        codec: Codec,
        /// Its level; `None` is the codec's default.
        level: Option<i32>,
    },
}

/// The keys of a topic that its log obeys. Defaults are Apache Kafka's.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`
    pub segment_bytes: u32,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`
    pub index_interval_bytes: u32,
    /// `flush.messages`
    pub flush_messages: i64,
    /// `flush.ms`
    pub flush_ms: i64,
    /// `retention.bytes`, -1 for no limit
    pub retention_bytes: i64,
    /// `retention.ms`, -1 for no limit
    pub retention_ms: i64,
    /// `max.message.bytes`
    pub max_message_bytes: u32,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: i64,
    /// `min.cleanable.dirty.ratio`
    pub min_cleanable_dirty_ratio: f64,
    /// `cleanup.policy`
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type` and the level of its codec
    pub compression: TopicCompression,
    /// `preallocate`
    pub preallocate: bool,
    /// `message.timestamp.type`
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub message_timestamp_after_max_ms: i64,
    /// `producer.id.expiration.ms` of the broker
    pub producer_id_expiration_ms: i64,
    /// Whether every record is walked before it enters (the default) or only the batch header is checked.
    pub record_validation: RecordValidation,
}

/// How deep a client's batch is checked before it enters the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RecordValidation {
    /// Every record's framing, key rule and timestamp (what Apache Kafka does).
    #[default]
    Full,
    /// Header and CRC only; a compacted topic still gets the full walk.
    Header,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 * 1024 * 1024,
            index_interval_bytes: 4096,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            retention_bytes: -1,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            max_message_bytes: 1024 * 1024 + 12,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            min_cleanable_dirty_ratio: 0.5,
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            compression: TopicCompression::Producer,
            preallocate: false,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 60 * 60 * 1000,
            producer_id_expiration_ms: 24 * 60 * 60 * 1000,
            record_validation: RecordValidation::Full,
        }
    }
}
