//! Why bytes are not a message, or a message not bytes.

use thiserror::Error;

/// Why bytes could not be read as a message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("{field} needs {need} bytes, {left} are left")]
    Truncated {
        /// The field.
        field: &'static str,
        /// Bytes that it takes.
        need: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// An array claims more elements than bytes are left, so that memory must not be reserved for it.
    #[error("{field} claims {count} elements, {left} bytes are left")]
    Count {
        /// The field.
        field: &'static str,
        /// Elements claimed.
        count: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// Null where the version has no null.
    #[error("{0} is null, which this version does not allow")]
    Null(&'static str),
    /// A string longer than 32767 bytes.
    #[error("{field} has a length of {length}")]
    Length {
        /// The field.
        field: &'static str,
        /// The length.
        length: usize,
    },
    /// A varint of more than five bytes.
    #[error("{0} is a varint that is too long")]
    Varint(&'static str),
    /// A string that is not UTF-8.
    #[error("{0} is not UTF-8")]
    Utf8(&'static str),
    /// No API has this key.
    #[error("unknown API key {0}")]
    UnknownKey(i16),
    /// The version is not one of the message's.
    #[error("{message} has no version {version}")]
    Version {
        /// The message.
        message: &'static str,
        /// The version.
        version: i16,
    },
    /// What the message crate itself refused.
    #[error("{0}")]
    Message(String),
}

/// Why a message could not be written: a field is set which the version does not have, or is too long.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message} version {version}: {reason}")]
pub struct EncodeError {
    /// The message.
    pub message: &'static str,
    /// The version asked for.
    pub version: i16,
    /// What does not fit.
    pub reason: String,
}
