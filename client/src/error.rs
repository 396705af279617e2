//! What can go wrong between a caller and the brokers; every module of the client returns it.
//!
//! An error can be cloned: one failure of a batch is told to everyone who waits for a record in it.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use millstream_protocol::error::{DecodeError, EncodeError};
use millstream_protocol::error_code::{ErrorCode, Retry};
use thiserror::Error;

/// Why a call failed.
///
/// ```
/// use client::config::ProducerConfig;
/// use client::error::{ClientError, ErrorClass};
///
/// let error = ProducerConfig::from_properties([("acks", "some")]).expect_err("no such setting");
/// assert!(matches!(error, ClientError::Config(_)) && !error.is_retriable());
/// assert_eq!(error.class(), ErrorClass::InvalidConfiguration);
/// ```
#[derive(Clone, Debug, Error)]
pub enum ClientError {
    /// No address of the list could be reached.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// `host:port`, as given.
        address: String,
        /// The system's own error.
        source: Arc<std::io::Error>,
    },
    /// The connection ended before the reply came.
    #[error("lost the connection to {address}: {cause}")]
    Lost {
        /// `host:port`.
        address: String,
        /// What ended it.
        cause: String,
    },
    /// No answer within the time that a call may take.
    #[error("{doing} did not end within {} ms", .limit.as_millis())]
    Timeout {
        /// What was waited for, with address, topic or partition.
        doing: String,
        /// How long it was allowed to take.
        limit: Duration,
    },
    /// The broker does not serve the API in a version that this client speaks.
    #[error("{address} does not support {api}")]
    Unsupported {
        /// The request.
        api: &'static str,
        /// `host:port`.
        address: String,
    },
    /// The request cannot be written in the version agreed on.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The reply is no message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The broker said no.
    #[error("{}{message}", said(.address, .subject))]
    Broker {
        /// The protocol's code.
        code: i16,
        /// The broker's message, else the code's own.
        message: String,
        /// Who said it, as `host:port`; empty where this client found it out by itself.
        address: String,
        /// Of what: "topic orders", "group billing"; empty of the request as a whole.
        subject: String,
    },
    /// The broker said no to a partition.
    #[error("{}{message}", said(.address, &format!("{topic}-{partition}")))]
    Partition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The protocol's code.
        code: i16,
        /// The broker's message, else the code's own.
        message: String,
        /// Who said it, as `host:port`; empty where this client found it out by itself.
        address: String,
    },
    /// The partition has no leader known to the cluster.
    #[error("partition {topic}-{partition} has no leader")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The cluster has no such broker, or not now.
    #[error("no broker has the id {id}")]
    NoBroker {
        /// The id asked for.
        id: i32,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has {count} partitions, none with the number {partition}")]
    NoPartition {
        /// The topic.
        topic: String,
        /// The number asked for.
        partition: i32,
        /// How many there are.
        count: usize,
    },
    /// Records that came are not well formed or cannot be decompressed.
    #[error("records of {topic}-{partition} at offset {offset}: {reason}")]
    Records {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Offset of the batch.
        offset: i64,
        /// What is wrong.
        reason: String,
    },
    /// A record larger than `max.request.size` or `buffer.memory`.
    #[error("the record takes {size} bytes, more than {key}={limit}")]
    RecordTooLarge {
        /// Bytes that it takes.
        size: usize,
        /// The key that bounds it.
        key: &'static str,
        /// Its value.
        limit: usize,
    },
    /// A partition to read has no committed offset and `auto.offset.reset` is none, or its position is gone.
    #[error("{}no offset to read {topic}-{partition} from: {reason}", said(.address, ""))]
    NoOffset {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Why.
        reason: &'static str,
        /// Who knows of none, as `host:port`; empty where that is not known.
        address: String,
    },
    /// Records before the position are gone after an unclean election and `auto.offset.reset` is none (KIP-320).
    #[error("{}the log of {topic}-{partition} was cut back to {end:?}, before the position {offset}", said(.address, ""))]
    Truncated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The position.
        offset: i64,
        /// Where the log parts from what was read, if that is known.
        end: Option<i64>,
        /// The leader that said so, as `host:port`.
        address: String,
    },
    /// A transaction failed; `class` says what is left to do: abort it, or make a new producer.
    #[error("{}: {cause}", .class.of_transaction())]
    Transaction {
        /// What is left to do.
        class: ErrorClass,
        /// What went wrong.
        cause: Arc<ClientError>,
    },
    /// The broker did not let this client in.
    #[error("{address} refused to authenticate this client: {reason}")]
    Authentication {
        /// `host:port`.
        address: String,
        /// What the broker, or TLS, said.
        reason: String,
    },
    /// A configuration that is not legal.
    #[error("{0}")]
    Config(String),
    /// A call that does not fit the state: a commit without a group, a closed producer.
    #[error("{0}")]
    State(&'static str),
}

/// What stands before a broker's words.
fn said(address: &str, subject: &str) -> String {
    match (address, subject) {
        ("", "") => String::new(),
        (address, "") => format!("{address} says: "),
        ("", subject) => format!("{subject}: "),
        (address, subject) => format!("{address} says of {subject}: "),
    }
}

impl ClientError {
    /// What a broker said, in its words alone (Java: `getMessage`); of every other error the whole text.
    pub fn message(&self) -> String {
        match self {
            ClientError::Broker { message, .. } | ClientError::Partition { message, .. } => message.clone(),
            ClientError::Transaction { cause, .. } => cause.message(),
            other => other.to_string(),
        }
    }

    /// Names who said it, unless it is named already.
    pub(crate) fn at(mut self, said_by: &str) -> Self {
        if let ClientError::Broker { address, .. }
        | ClientError::Partition { address, .. }
        | ClientError::NoOffset { address, .. }
        | ClientError::Truncated { address, .. } = &mut self
            && address.is_empty()
        {
            said_by.clone_into(address);
        }
        self
    }

    /// Names what it was said of, unless that is named already.
    pub(crate) fn of(mut self, what: impl Display) -> Self {
        if let ClientError::Broker { subject, .. } = &mut self
            && subject.is_empty()
        {
            *subject = what.to_string();
        }
        self
    }

    /// The protocol's code, when a broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Broker { code, .. } | ClientError::Partition { code, .. } => ErrorCode::from_code(*code),
            ClientError::Transaction { cause, .. } => cause.code(),
            _ => None,
        }
    }

    /// What an application can do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            ClientError::Connect { .. } | ClientError::Lost { .. } | ClientError::NoLeader { .. } => {
                ErrorClass::RefreshRetriable
            }
            ClientError::Timeout { .. } => ErrorClass::Retriable,
            ClientError::Transaction { class, .. } => *class,
            ClientError::Broker { .. } | ClientError::Partition { .. } => {
                self.code().map_or(ErrorClass::Fatal, ErrorClass::of)
            }
            ClientError::Config(_)
            | ClientError::Unsupported { .. }
            | ClientError::Authentication { .. }
            | ClientError::RecordTooLarge { .. } => ErrorClass::InvalidConfiguration,
            _ => ErrorClass::Fatal,
        }
    }

    /// Whether the same call may succeed later (Java: `RetriableException`).
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Connect { .. }
            | ClientError::Lost { .. }
            | ClientError::Timeout { .. }
            | ClientError::NoLeader { .. } => true,
            ClientError::Broker { .. } | ClientError::Partition { .. } => {
                self.code().is_some_and(ErrorCode::is_retriable)
            }
            _ => false,
        }
    }
}

/// What an application can do about an error (KIP-1050).
///
/// ```
/// use client::error::ErrorClass;
/// use millstream_protocol::error_code::ErrorCode;
///
/// assert_eq!(ErrorClass::of(ErrorCode::ProducerFenced), ErrorClass::ApplicationRecoverable);
/// assert_eq!(ErrorClass::of(ErrorCode::NotLeaderOrFollower), ErrorClass::RefreshRetriable);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Try again (Java: `RetriableException`).
    Retriable,
    /// Try again with fresh metadata, which the client does by itself (Java: `RefreshRetriableException`).
    RefreshRetriable,
    /// Abort the transaction, then go on with the same producer (Java: `TransactionAbortableException`).
    Abortable,
    /// Make a new producer or consumer and go on from what was committed (Java: `ApplicationRecoverableException`).
    ApplicationRecoverable,
    /// Change what the client or the cluster is told (Java: `InvalidConfigurationException`).
    InvalidConfiguration,
    /// None of these.
    Fatal,
}

impl ErrorClass {
    /// The class of a code, by the superclasses of Java's exceptions.
    pub fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::TransactionAbortable => ErrorClass::Abortable,
            ErrorCode::FencedInstanceId
            | ErrorCode::IllegalGeneration
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::ProducerFenced
            | ErrorCode::UnknownMemberId => ErrorClass::ApplicationRecoverable,
            ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::DelegationTokenAuthorizationFailed
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::TransactionalIdAuthorizationFailed
            | ErrorCode::IllegalSaslState
            | ErrorCode::SaslAuthenticationFailed
            | ErrorCode::UnsupportedSaslMechanism
            | ErrorCode::InvalidRecord
            | ErrorCode::InvalidReplicationFactor
            | ErrorCode::InvalidRequiredAcks
            | ErrorCode::InvalidTopicException
            | ErrorCode::RecordListTooLarge
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::UnsupportedVersion => ErrorClass::InvalidConfiguration,
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => ErrorClass::RefreshRetriable,
            code => match code.retry() {
                Retry::RefreshMetadata => ErrorClass::RefreshRetriable,
                Retry::Plain => ErrorClass::Retriable,
                Retry::Never => ErrorClass::Fatal,
            },
        }
    }

    fn of_transaction(self) -> &'static str {
        match self {
            ErrorClass::Abortable => "the transaction can only be aborted",
            _ => "the transactional producer cannot go on",
        }
    }
}

fn text(code: i16, message: Option<&str>) -> String {
    let own =
        || ErrorCode::from_code(code).map_or_else(|| format!("error code {code}"), |code| code.message().to_owned());
    message.filter(|message| !message.is_empty()).map_or_else(own, str::to_owned)
}

/// Turns the code of a response into a result; zero is success.
///
/// # Errors
/// [`ClientError::Broker`] for any other code.
pub fn check(code: i16, message: Option<&str>) -> Result<(), ClientError> {
    if code == 0 { Ok(()) } else { Err(of_code(code, message)) }
}

/// As [`check`], of what is named ("topic orders").
pub(crate) fn check_of(subject: impl Display, code: i16, message: Option<&str>) -> Result<(), ClientError> {
    check(code, message).map_err(|error| error.of(subject))
}

/// A code by its name; one that came after this release is an error that nothing is known of.
pub(crate) fn known(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

/// The error of a code.
pub(crate) fn of_code(code: i16, message: Option<&str>) -> ClientError {
    ClientError::Broker { code, message: text(code, message), address: String::new(), subject: String::new() }
}

/// The error of a partition with a broker's code.
pub(crate) fn of_partition(topic: &str, partition: i32, code: i16, message: Option<&str>) -> ClientError {
    ClientError::Partition {
        topic: topic.to_owned(),
        partition,
        code,
        message: text(code, message),
        address: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_who_said_it_and_of_what_once() {
        let code = ErrorCode::TopicAlreadyExists.code();
        let error = of_code(code, Some("it exists"));
        assert_eq!(error.to_string(), "it exists");
        let error = error.at("h:1").of("topic t").at("other:2").of("topic u");
        assert_eq!(
            (error.to_string(), error.message()),
            ("h:1 says of topic t: it exists".to_owned(), "it exists".to_owned())
        );
        let error = of_partition("t", 3, code, None).at("h:1").of("topic u");
        assert_eq!(error.to_string(), format!("h:1 says of t-3: {}", ErrorCode::TopicAlreadyExists.message()));
        assert!(check_of("group g", 0, None).is_ok());
        let error =
            ClientError::NoOffset { topic: "t".to_owned(), partition: 3, reason: "it is gone", address: String::new() };
        assert_eq!(error.clone().at("h:1").to_string(), "h:1 says: no offset to read t-3 from: it is gone");
        assert_eq!(error.to_string(), "no offset to read t-3 from: it is gone");
    }
}
