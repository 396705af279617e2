//! The settings of a task: what of StreamsConfig a task itself looks at.
//! Made by the runtime from its configuration, and by tests. Never parses a text.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::errors::{DeserializationHandler, ProcessingHandler};
use crate::serde::{DefaultSerde, SharedSerde};

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
    /// `errors.dead.letter.queue.topic.name`.
    pub dead_letters: Option<String>,
    /// How often windows that are emitted when they close are looked for, in ms of the wall clock.
    pub emit_interval_windows_ms: i64,
    /// How often records of an outer join without a match are looked for, in ms of the wall clock.
    pub emit_interval_joins_ms: i64,
    serdes: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Settings {
    /// Kafka Streams' defaults.
    pub fn new(application_id: impl Into<String>) -> Settings {
        let settings = Settings {
            application_id: application_id.into(),
            timestamps: TimestampPolicy::default(),
            max_idle_ms: 0,
            on_deserialization: None,
            on_processing: None,
            dead_letters: None,
            emit_interval_windows_ms: 1000,
            emit_interval_joins_ms: 1000,
            serdes: HashMap::new(),
        };
        settings
            .known::<String>()
            .known::<Bytes>()
            .known::<i16>()
            .known::<i32>()
            .known::<i64>()
            .known::<f32>()
            .known::<f64>()
    }

    /// The serde of all `T` for which the topology names none (`default.key.serde`, for each type).
    pub fn with_serde<T: 'static>(mut self, serde: SharedSerde<T>) -> Settings {
        self.serdes.insert(TypeId::of::<T>(), Arc::new(serde));
        self
    }

    /// The serde for `T`, if one is known.
    pub fn serde<T: 'static>(&self) -> Option<SharedSerde<T>> {
        self.serdes.get(&TypeId::of::<T>())?.downcast_ref::<SharedSerde<T>>().cloned()
    }

    fn known<T: DefaultSerde>(self) -> Settings {
        self.with_serde(T::serde())
    }
}
