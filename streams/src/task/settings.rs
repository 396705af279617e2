//! The settings of a task: what of StreamsConfig a task itself looks at.
//! Made by the runtime from its configuration, and by tests. Never parses a text.

use std::sync::Arc;

use super::errors::{DeserializationHandler, ProcessingHandler, ProductionHandler, Response};
use super::handlers::Handlers;
use crate::config::{self, InvalidTimestamp, OnError, Recording, StreamsConfig};
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
    /// `metrics.recording.level`.
    pub recording: Recording,
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
            recording: Recording::Info,
            serdes: Serdes::built_in(),
        }
    }

    /// What of the settings of an application a task looks at. What the handlers leave out is told in the log.
    pub(crate) fn of(config: &StreamsConfig, settings: &config::Settings) -> Settings {
        let go_on = |on_error| on_error == OnError::Continue;
        let mut own = Settings::new(settings.application_id.clone());
        own.timestamps = match settings.invalid_timestamp {
            InvalidTimestamp::Fail => TimestampPolicy::Fail,
            InvalidTimestamp::Skip => TimestampPolicy::Skip,
            InvalidTimestamp::PartitionTime => TimestampPolicy::PartitionTime,
            InvalidTimestamp::WallClock => TimestampPolicy::WallClock,
        };
        own.max_idle_ms = settings.task_idle_max_ms;
        own.recording = settings.recording;
        own.dead_letters.clone_from(&settings.dead_letter_queue);
        if go_on(settings.on_deserialization_error) {
            own.on_deserialization = Some(Arc::new(|about| {
                tracing::warn!(place = %about.place, error = %about.error, "a record cannot be decoded and is left out");
                Response::Continue
            }));
        }
        if go_on(settings.on_processing_error) {
            own.on_processing = Some(Arc::new(|about| {
                tracing::warn!(place = %about.place, node = about.node, error = %about.error, "a record failed and is left out");
                Response::Continue
            }));
        }
        // Internal settings of Java's, without a row of their own.
        let interval = |name: &str| config.get(name).and_then(|text| text.trim().parse().ok()).unwrap_or(1000);
        own.emit_interval_windows_ms = interval("__emit.interval.ms.kstreams.windowed.aggregation__");
        own.emit_interval_joins_ms = interval("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__");
        own
    }

    /// The same, where closures decide about records that fail.
    pub(crate) fn handled_by(mut self, handlers: &Handlers) -> Settings {
        self.on_deserialization = handlers.deserialization.clone().or(self.on_deserialization);
        self.on_processing = handlers.processing.clone().or(self.on_processing);
        self.on_production = handlers.production.clone().or(self.on_production);
        self
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
