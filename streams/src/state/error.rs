//! What can go wrong with state: each error names the store or folder that it is about.
//! Made by engines, formats and folders; the runtime maps them to a corrupted task or a fatal end.

use std::path::PathBuf;

use thiserror::Error;

/// Bytes that are not in the format they should have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{length} bytes are no {what}")]
pub struct Malformed {
    /// What was looked for.
    pub what: &'static str,
    /// How many bytes there were.
    pub length: usize,
}

/// Why state cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// The engine found damaged files.
    #[error("store {store} in {} is corrupted: {cause}", folder.display())]
    Corrupt {
        /// The store, or the task where the whole of it is meant.
        store: String,
        /// Its folder.
        folder: PathBuf,
        /// In the engine's words.
        cause: String,
    },
    /// The engine could not read or write.
    #[error("store {store} in {}: {cause}", folder.display())]
    Engine {
        /// The store, or the task where the whole of it is meant.
        store: String,
        /// Its folder.
        folder: PathBuf,
        /// In the engine's words.
        cause: String,
    },
    /// A row is not in its format.
    #[error("store {store}: {malformed}")]
    Row {
        /// The store.
        store: String,
        /// What is wrong.
        malformed: Malformed,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Another process or thread holds the folder.
    #[error(
        "{} is locked by another process or thread: end that one, or give this one a state.dir of its own",
        path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder cannot be this application's.
    #[error("{} {cause}", path.display())]
    Foreign {
        /// The folder or file.
        path: PathBuf,
        /// What stands there instead.
        cause: String,
    },
}
