//! What can go wrong between a caller and the brokers; every module of the client returns it.

use millstream_protocol::error::{DecodeError, EncodeError};
use millstream_protocol::error_code::ErrorCode;
use thiserror::Error;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No address of the list could be reached.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// `host:port`, as given.
        address: String,
        /// The system's own error.
        source: std::io::Error,
    },
    /// The connection ended before the reply came.
    #[error("the broker closed the connection")]
    Lost,
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
    /// The partition has no leader known to the cluster.
    #[error("partition {topic}-{partition} has no leader")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Records that came are not well formed or cannot be decompressed.
    #[error("records of {topic}-{partition}: {reason}")]
    Records {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What is wrong.
        reason: String,
    },
}

/// Turns the code of a response into a result; zero is success.
///
/// # Errors
/// [`ClientError::Broker`] for any other code.
pub fn check(code: i16, message: Option<&str>) -> Result<(), ClientError> {
    if code == 0 {
        return Ok(());
    }
    let own = || ErrorCode::from_code(code).map_or_else(|| format!("error code {code}"), |code| code.message().to_owned());
    Err(ClientError::Broker { code, message: message.map_or_else(own, str::to_owned) })
}
