//! What can go wrong between a caller and the brokers; every module of the client returns it.
//!
//! An error can be cloned: one failure of a batch is told to everyone who waits for a record in it.

use std::sync::Arc;
use std::time::Duration;

use millstream_protocol::error::{DecodeError, EncodeError};
use millstream_protocol::error_code::ErrorCode;
use thiserror::Error;

/// Why a call failed.
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
    #[error("the broker does not support {0}")]
    Unsupported(&'static str),
    /// The request cannot be written in the version agreed on.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The reply is no message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The broker said no.
    #[error("{message}")]
    Broker {
        /// The protocol's code.
        code: i16,
        /// The broker's message, else the code's own.
        message: String,
    },
    /// The broker said no to a partition.
    #[error("{topic}-{partition}: {message}")]
    Partition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The protocol's code.
        code: i16,
        /// The broker's message, else the code's own.
        message: String,
    },
    /// The partition has no leader known to the cluster.
    #[error("partition {topic}-{partition} has no leader")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
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
    #[error("no offset to read {topic}-{partition} from: {reason}")]
    NoOffset {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Why.
        reason: &'static str,
    },
    /// A configuration that is not legal.
    #[error("{0}")]
    Config(String),
    /// A call that does not fit the state: a commit without a group, a closed producer.
    #[error("{0}")]
    State(&'static str),
}

impl ClientError {
    /// The protocol's code, when a broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Broker { code, .. } | ClientError::Partition { code, .. } => ErrorCode::from_code(*code),
            _ => None,
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

fn text(code: i16, message: Option<&str>) -> String {
    let own = || {
        ErrorCode::from_code(code).map_or_else(|| format!("error code {code}"), |code| code.message().to_owned())
    };
    message.map_or_else(own, str::to_owned)
}

/// Turns the code of a response into a result; zero is success.
///
/// # Errors
/// [`ClientError::Broker`] for any other code.
pub fn check(code: i16, message: Option<&str>) -> Result<(), ClientError> {
    if code == 0 { Ok(()) } else { Err(ClientError::Broker { code, message: text(code, message) }) }
}

/// The error of a partition with a broker's code.
pub(crate) fn of_partition(topic: &str, partition: i32, code: i16, message: Option<&str>) -> ClientError {
    ClientError::Partition { topic: topic.to_owned(), partition, code, message: text(code, message) }
}
