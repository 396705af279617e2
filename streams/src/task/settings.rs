//! The settings of a task: what of StreamsConfig a task itself looks at.
//! Made by the runtime from its configuration, and by tests. Never parses a text.

use super::errors::{DeserializationHandler, ProcessingHandler, ProductionHandler};
use crate::serde::{Serdes, SharedSerde};
use crate::topology::Topology;

/// What happens to a record whose time is negative, or whose source says nothing else (`default.timestamp.extractor`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampPolicy {
    /// The task ends (FailOnInvalidTimestamp).
    #[default]
    Fail,
    /// The record is left out (LogAndSkipOnInvalidTimestamp).
    Skip,
    /// The largest time of its partition so far; the task ends if there is none (UsePartitionTimeOnInvalidTimestamp).
    PartitionTime,
    /// The wall clock, whatever the record says (WallclockTimestampExtractor).
    WallClock,
}

/// Settings of a task.
#[derive(Clone)]
pub struct Settings {
    /// `application.id`.
    pub application_id: String,
    /// `default.timestamp.extractor`.
    pub timestamps: TimestampPolicy,
    /// `max.task.idle.ms`.
    pub max_idle_ms: i64,
    /// `deserialization.exception.handler`; None fails.
    pub on_deserialization: Option<DeserializationHandler>,
    /// `processing.exception.handler`; None fails.
    pub on_processing: Option<ProcessingHandler>,
    /// `production.exception.handler`; None fails.
    pub on_production: Option<ProductionHandler>,
    /// `errors.dead.letter.queue.topic.name`.
    pub dead_letters: Option<String>,
    /// How often windows that are emitted when they close are looked for, in ms of the wall clock.
    pub emit_interval_windows_ms: i64,
    /// How often records of an outer join without a match are looked for, in ms of the wall clock.
    pub emit_interval_joins_ms: i64,
    serdes: Serdes,
}

impl Settings {
    /// Kafka Streams' defaults.
    pub fn new(application_id: impl Into<String>) -> Settings {
        Settings {
            application_id: application_id.into(),
            timestamps: TimestampPolicy::default(),
            max_idle_ms: 0,
            on_deserialization: None,
            on_processing: None,
            on_production: None,
            dead_letters: None,
            emit_interval_windows_ms: 1000,
            emit_interval_joins_ms: 1000,
            serdes: Serdes::built_in(),
        }
    }

    /// The serde of all `T` for which the topology names none (`default.key.serde`, for each type).
    pub fn with_serde<T: 'static>(mut self, serde: SharedSerde<T>) -> Settings {
        self.serdes.set(serde);
        self
    }

    /// The serde for `T`, if one is known.
    pub fn serde<T: 'static>(&self) -> Option<SharedSerde<T>> {
        self.serdes.get::<T>()
    }

    /// The same, where the topology says more about serdes.
    pub(crate) fn for_topology(mut self, topology: &Topology) -> Settings {
        self.serdes = topology.serdes().clone().or(&self.serdes);
        self
    }
}
