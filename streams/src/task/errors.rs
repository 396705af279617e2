//! What can go wrong with a record, who decides what follows, and the dead letter that may be written of it.
//! Made by nodes, queues and stores; the handlers are the user's. Never decides by itself to go on.
//! Not done: the record itself for the handler of what brokers refuse after it was sent; handlers that write dead letters of
//! their own.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::collector::{Outgoing, SendFailure};
use crate::record::Header;
use crate::serde::{SERIALIZATION_CLASS, SerdeError};
use crate::state::StateError;

/// Any error; a text is one too.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a closure or processor of the user said.
pub struct ProcessError {
    class: Cow<'static, str>,
    cause: Box<dyn Error + Send + Sync>,
}

impl ProcessError {
    /// An error by name and message.
    pub fn named(class: impl Into<Cow<'static, str>>, message: impl Into<String>) -> ProcessError {
        ProcessError { class: class.into(), cause: message.into().into() }
    }

    /// What a serde says, by the name that Java's have.
    pub(crate) fn of_serde(error: SerdeError) -> ProcessError {
        let cause: BoxError = match error {
            SerdeError::Other(error) => error,
            error => error.into(),
        };
        ProcessError { class: SERIALIZATION_CLASS.into(), cause }
    }

    /// Any error, by the name of its type.
    pub fn new<E: Into<BoxError>>(error: E) -> ProcessError {
        match error.into().downcast::<ProcessError>() {
            Ok(error) => *error,
            Err(cause) => ProcessError { class: std::any::type_name::<E>().into(), cause },
        }
    }

    /// The name of its type, as a dead letter shows it.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The error itself.
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.cause.as_ref()
    }
}

impl fmt::Debug for ProcessError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.class, self.cause)
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", self.cause)
    }
}

impl Error for ProcessError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

/// Why a record did not get through. An error of the user's is still to be decided about; any other ends the task.
pub struct Failure(Box<Kind>);

enum Kind {
    Processing(ProcessError),
    Fatal(TaskError),
}

/// What a node answers.
pub type ProcessResult = Result<(), Failure>;

impl Failure {
    /// An error that no handler is asked about.
    pub fn fatal(error: TaskError) -> Failure {
        Failure(Box::new(Kind::Fatal(error)))
    }

    /// An error of the user's.
    pub fn processing(error: ProcessError) -> Failure {
        Failure(Box::new(Kind::Processing(error)))
    }

    /// While a cache is flushed there is no record to leave out: what a row's serde says ends the task.
    pub(crate) fn of_store(self, store: &str) -> Failure {
        match *self.0 {
            Kind::Processing(error) => {
                Failure::fatal(TaskError::Broken(format!("store {store}: a row cannot be written: {error}")))
            }
            Kind::Fatal(error) => Failure::fatal(error),
        }
    }

    /// The error of the user's, or the one that ends the task.
    pub(crate) fn split(self) -> Result<ProcessError, TaskError> {
        match *self.0 {
            Kind::Processing(error) => Ok(error),
            Kind::Fatal(error) => Err(error),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_ref() {
            Kind::Processing(error) => error.fmt(to),
            Kind::Fatal(error) => error.fmt(to),
        }
    }
}

impl<E: Into<BoxError>> From<E> for Failure {
    /// Errors of stores and of the task itself end the task; any other is the user's.
    fn from(error: E) -> Failure {
        let error = match error.into().downcast::<TaskError>() {
            Ok(error) => return Failure::fatal(*error),
            Err(error) => error,
        };
        let error = match error.downcast::<StateError>() {
            Ok(error) => return Failure::fatal(TaskError::State(*error)),
            Err(error) => error,
        };
        let error = match error.downcast::<SendFailure>() {
            Ok(error) => return Failure::fatal(TaskError::Send(*error)),
            Err(error) => error,
        };
        let error = match error.downcast::<SerdeError>() {
            Ok(error) => return Failure::processing(ProcessError::of_serde(*error)),
            Err(error) => error,
        };
        Failure::processing(match error.downcast::<ProcessError>() {
            Ok(error) => *error,
            Err(cause) => ProcessError { class: std::any::type_name::<E>().into(), cause },
        })
    }
}

/// Where a record came from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The topic; empty for a timer.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "topic {} partition {} offset {}", self.topic, self.partition, self.offset)
    }
}

/// Why a task ended.
#[derive(Debug, Error)]
pub enum TaskError {
    /// A record was no key or value of its type, and the handler said fail.
    #[error("deserialization failed at {place}: {cause}")]
    Deserialization {
        /// Which record.
        place: Place,
        /// What the serde said.
        cause: ProcessError,
    },
    /// A record has no bytes for the topic that it is for, and the handler said fail.
    #[error("serialization for topic {topic} failed at {place}: {cause}")]
    Serialization {
        /// The topic that it was for.
        topic: Box<str>,
        /// The record that was processed.
        place: Place,
        /// What the serde said.
        cause: BoxError,
    },
    /// A record has a time that none can have, and the extractor fails on it.
    #[error("record at {place} has the invalid timestamp {timestamp}")]
    Timestamp {
        /// Which record.
        place: Place,
        /// Its time.
        timestamp: i64,
    },
    /// A closure or processor failed, and the handler said fail.
    #[error("processing failed in {node} at {place}: {cause}")]
    Processing {
        /// Which node.
        node: Box<str>,
        /// Which record.
        place: Place,
        /// What it said.
        cause: ProcessError,
    },
    /// A closure or processor panicked.
    #[error("processing panicked at {place}: {cause}")]
    Panic {
        /// Which record.
        place: Place,
        /// The panic's message.
        cause: String,
    },
    /// A store could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// A record could not be sent.
    #[error(transparent)]
    Send(#[from] SendFailure),
    /// A row or a record of the application's own topics is damaged, or a store is used against its rules.
    #[error("{0}")]
    Broken(String),
}

/// What a handler says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// The task ends.
    Fail,
    /// The record is left out.
    Continue,
}

/// What a handler is told.
#[derive(Debug)]
pub struct ErrorContext<'a> {
    /// The node that failed.
    pub node: &'a str,
    /// The topic, partition and offset of the record that was processed.
    pub place: &'a Place,
    /// Its time.
    pub timestamp: i64,
    /// Its headers.
    pub headers: &'a [Header],
    /// The bytes of its key as it was read.
    pub key: Option<&'a Bytes>,
    /// The bytes of its value as it was read.
    pub value: Option<&'a Bytes>,
    /// What went wrong.
    pub error: &'a ProcessError,
}

/// Why a record cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductionFault {
    /// No broker takes it, such as one that is too large.
    Refused,
    /// Its key has no bytes (`handleSerializationError`, KEY).
    Key,
    /// Its value has no bytes (`handleSerializationError`, VALUE).
    Value,
}

/// What a handler is told of a record that cannot be sent.
#[derive(Debug)]
pub struct ProductionContext<'a> {
    /// The topic that it was for.
    pub topic: &'a str,
    /// The partition, where a broker refused it.
    pub partition: Option<i32>,
    /// The record, without what has no bytes; None where a broker refused it, which is known of a whole batch and only when
    /// that was sent.
    pub record: Option<&'a Outgoing<'a>>,
    /// What kind of trouble it is.
    pub fault: ProductionFault,
    /// The topic, partition and offset of the record that was processed, where the record is known.
    pub place: Option<&'a Place>,
    /// Why it cannot.
    pub cause: &'a str,
}

/// Decides about a record that was no key or value of its type.
pub type DeserializationHandler = Arc<dyn Fn(&ErrorContext<'_>) -> Response + Send + Sync>;
/// Decides about a record that cannot be sent.
pub type ProductionHandler = Arc<OnProduction>;
/// The same, lent.
pub(crate) type OnProduction = dyn Fn(&ProductionContext<'_>) -> Response + Send + Sync;
/// Decides about a record whose processing failed.
pub type ProcessingHandler = Arc<dyn Fn(&ErrorContext<'_>) -> Response + Send + Sync>;

/// The headers of a dead letter (KIP-1034), after those of the record.
pub(crate) fn dead_letter_headers(about: &ErrorContext<'_>) -> Vec<Header> {
    let text = |name: &str, value: String| (format!("__streams.errors.{name}"), Some(Bytes::from(value)));
    let mut headers = about.headers.to_vec();
    headers.extend([
        text("exception", about.error.class().to_owned()),
        text("message", about.error.to_string()),
        text("stacktrace", chain(about.error)),
        text("topic", about.place.topic.clone()),
        text("partition", about.place.partition.to_string()),
        text("offset", about.place.offset.to_string()),
    ]);
    headers
}

/// An error and what caused it, a line each.
fn chain(error: &ProcessError) -> String {
    let mut text = format!("{}: {error}", error.class());
    let mut source = error.cause().source();
    while let Some(cause) = source {
        text.push_str(&format!("\ncaused by: {cause}"));
        source = cause.source();
    }
    text
}
