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

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} (error {})", self.code),
            None => write!(f, "error {}", self.code),
        }
    }
}

impl std::error::Error for Refusal {}
