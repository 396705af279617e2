//! Why a request was refused. Made by `decide`, turned into an answer by the handlers.

use std::fmt;

use millstream_protocol::error_code::ErrorCode;

/// An error code of the protocol with the text a client is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub code: ErrorCode,
    /// Apache's message; `None` where Apache sends null.
    pub message: Option<String>,
}

impl Refusal {
    /// A refusal with a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Refusal { code, message: Some(message.into()) }
    }

    /// A refusal with the text that goes with the code.
    pub fn with_default_text(code: ErrorCode) -> Self {
        Refusal::new(code, code.message())
    }

    /// A refusal without a text: Apache sends null where an exception says no more than its code.
    pub fn without_text(code: ErrorCode) -> Self {
        Refusal { code, message: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} ({})", self.code.name()),
            None => f.write_str(self.code.name()),
        }
    }
}

impl std::error::Error for Refusal {}
