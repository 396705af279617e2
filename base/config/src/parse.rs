//! Properties files and `key=value` arguments: texts by key, with the place each came from.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// Why a configuration was refused: what, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// A line that no properties file may have.
    #[error("{origin}: {reason}")]
    Malformed {
        /// Where.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that its key does not take.
    #[error("{origin}: {reason}")]
    Invalid {
        /// Where the value was set.
        origin: Origin,
        /// Apache's message.
        reason: String,
    },
    /// Keys that contradict one another, or one that must be set and is not.
    #[error("{0}")]
    Inconsistent(String),
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file.
    File {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// `--set key=value` or `--override key=value`.
    Argument,
    /// By the command itself (as `millstream up` does).
    Command,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{path} line {line}"),
            Origin::Argument => f.write_str("command line"),
            Origin::Command => f.write_str("built-in setting"),
        }
    }
}

/// Texts by key. A key set twice keeps the later text.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    entries: BTreeMap<String, (String, Origin)>,
}

impl Properties {
    /// Sets a key, over what was there.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>, origin: Origin) {
        self.entries.insert(key.into(), (value.into(), origin));
    }

    /// Sets a key unless it is set.
    pub fn set_default(&mut self, key: &str, value: &str) {
        self.entries.entry(key.to_owned()).or_insert_with(|| (value.to_owned(), Origin::Command));
    }

    /// The text of a key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|(value, _)| value.as_str())
    }

    /// Where a key was set.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.entries.get(key).map(|(_, origin)| origin)
    }

    /// Every key with its text, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, (value, _))| (key.as_str(), value.as_str()))
    }

    /// Adds the lines of a Java properties file (`java.util.Properties.load`); `path` is for messages.
    pub fn read(&mut self, text: &str, path: &str) -> Result<(), ConfigError> {
        let malformed = |line: Option<usize>, reason: String| ConfigError::Malformed {
            origin: Origin::File { path: path.to_owned(), line: line.unwrap_or(1) },
            reason,
        };
        let lines = java_properties::PropertiesIter::new(text.as_bytes());
        for line in lines {
            let line = line.map_err(|error| malformed(error.line_number(), error.to_string()))?;
            if let java_properties::LineContent::KVPair(key, value) = line.content() {
                let origin = Origin::File { path: path.to_owned(), line: line.line_number() };
                self.set(key.clone(), value.clone(), origin);
            }
        }
        Ok(())
    }

    /// Adds `key=value` from the command line.
    pub fn read_argument(&mut self, argument: &str) -> Result<(), ConfigError> {
        let Some((key, value)) = argument.split_once('=') else {
            return Err(ConfigError::Malformed {
                origin: Origin::Argument,
                reason: format!("\"{argument}\" is not key=value"),
            });
        };
        self.set(key.trim(), value.trim(), Origin::Argument);
        Ok(())
    }
}
