//! Small files that are replaced whole: the vote, what was purged, and snapshots. Each opens with one line
//! naming the format and the CRC of what follows; a file that does not match is refused, never guessed at.

use std::io;
use std::path::{Path, PathBuf};

use millstream_base_env::Disk;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::raft_types::RaftLogId;

/// What must survive a restart beside the log itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HardState {
    /// The last vote given or won.
    pub(crate) vote: Option<openraft::Vote<u64>>,
    /// The last entry that a snapshot made superfluous.
    pub(crate) purged: Option<RaftLogId>,
}

/// Why a state file cannot be used.
#[derive(Debug, Error)]
pub enum StateFileError {
    /// The content is not what was written.
    #[error("{} is damaged: {reason}; restore it from a copy, or delete the folder to start an empty cluster", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk failed.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
}

const MAGIC: &str = "millstream-metadata-1";

/// Replaces the file at `path`; durable when this returns.
pub(crate) fn write(disk: &Disk, path: &Path, content: &[u8]) -> Result<(), StateFileError> {
    let mut bytes = format!("{MAGIC} {:08x}\n", crc32c::crc32c(content)).into_bytes();
    bytes.extend_from_slice(content);
    disk.replace(path, &bytes).map_err(|source| StateFileError::Io {
        doing: "cannot write",
        path: path.to_owned(),
        source,
    })
}

/// The content of the file at `path`, `None` when there is no file.
pub(crate) fn read(disk: &Disk, path: &Path) -> Result<Option<Vec<u8>>, StateFileError> {
    let bytes = match disk.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(StateFileError::Io { doing: "cannot read", path: path.to_owned(), source });
        }
    };
    let damaged = |reason: &str| StateFileError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let line_end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("it has no first line"))?;
    let (line, content) = (&bytes[..line_end], &bytes[line_end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| damaged("its first line is not text"))?;
    let crc = line
        .strip_prefix(MAGIC)
        .and_then(|crc| u32::from_str_radix(crc.trim(), 16).ok())
        .ok_or_else(|| damaged("its first line is not of a known format"))?;
    if crc != crc32c::crc32c(content) {
        return Err(damaged("its checksum does not match its content"));
    }
    Ok(Some(content.to_vec()))
}

impl HardState {
    pub(crate) fn load(disk: &Disk, path: &Path) -> Result<Option<HardState>, StateFileError> {
        let Some(content) = read(disk, path)? else { return Ok(None) };
        let state = serde_json::from_slice(&content)
            .map_err(|error| StateFileError::Damaged { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Some(state))
    }

    pub(crate) fn save(&self, disk: &Disk, path: &Path) -> Result<(), StateFileError> {
        let content = serde_json::to_vec(self).expect("a vote and a log id are numbers, always valid JSON");
        write(disk, path, &content)
    }
}
