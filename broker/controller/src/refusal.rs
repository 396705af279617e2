//! Why a request was refused. Made by `decide`, turned into an answer by the handlers.

use std::fmt;

/// An error code of the protocol with the text a client is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number on the wire (Java: `Errors`).
    pub code: i16,
    /// Apache's message; `None` where Apache sends null.
    pub message: Option<String>,
}

impl Refusal {
    /// A refusal with a message.
    pub fn new(code: i16, message: impl Into<String>) -> Self {
        Refusal { code, message: Some(message.into()) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} (error {})", self.code),
            None => write!(f, "error {}", self.code),
        }
    }
}

impl std::error::Error for Refusal {}

/// The numbers of the errors that decisions answer with (Java: `Errors`).
pub mod code {
    /// UNKNOWN_SERVER_ERROR
    pub const UNKNOWN_SERVER_ERROR: i16 = -1;
    /// UNKNOWN_TOPIC_OR_PARTITION
    pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    /// REQUEST_TIMED_OUT
    pub const REQUEST_TIMED_OUT: i16 = 7;
    /// INVALID_TOPIC_EXCEPTION
    pub const INVALID_TOPIC_EXCEPTION: i16 = 17;
    /// TOPIC_ALREADY_EXISTS
    pub const TOPIC_ALREADY_EXISTS: i16 = 36;
    /// INVALID_PARTITIONS
    pub const INVALID_PARTITIONS: i16 = 37;
    /// INVALID_REPLICATION_FACTOR
    pub const INVALID_REPLICATION_FACTOR: i16 = 38;
    /// INVALID_REPLICA_ASSIGNMENT
    pub const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
    /// INVALID_CONFIG
    pub const INVALID_CONFIG: i16 = 40;
    /// NOT_CONTROLLER
    pub const NOT_CONTROLLER: i16 = 41;
    /// INVALID_REQUEST
    pub const INVALID_REQUEST: i16 = 42;
    /// POLICY_VIOLATION
    pub const POLICY_VIOLATION: i16 = 44;
    /// KAFKA_STORAGE_ERROR
    pub const KAFKA_STORAGE_ERROR: i16 = 56;
    /// PREFERRED_LEADER_NOT_AVAILABLE
    pub const PREFERRED_LEADER_NOT_AVAILABLE: i16 = 80;
    /// ELIGIBLE_LEADERS_NOT_AVAILABLE
    pub const ELIGIBLE_LEADERS_NOT_AVAILABLE: i16 = 83;
    /// ELECTION_NOT_NEEDED
    pub const ELECTION_NOT_NEEDED: i16 = 84;
    /// NO_REASSIGNMENT_IN_PROGRESS
    pub const NO_REASSIGNMENT_IN_PROGRESS: i16 = 85;
    /// INVALID_UPDATE_VERSION
    pub const INVALID_UPDATE_VERSION: i16 = 95;
    /// UNKNOWN_TOPIC_ID
    pub const UNKNOWN_TOPIC_ID: i16 = 100;
    /// BROKER_ID_NOT_REGISTERED
    pub const BROKER_ID_NOT_REGISTERED: i16 = 102;
}
