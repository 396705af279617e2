//! The errors of the log, one enum per family. Each variant carries what the server needs for Apache's exact
//! error code and message; `broker/server/src/api/error_map.rs` maps every variant.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

use crate::read::Slice;

/// The disk failed or the log directory is already offline: KAFKA_STORAGE_ERROR.
#[derive(Debug, Error)]
pub enum StorageError {
    /// A call on a file failed.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done, as "cannot append to".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// The log directory was taken offline by an earlier failure.
    #[error("log directory {} is offline", .0.display())]
    Offline(PathBuf),
    /// The partition was closed or deleted.
    #[error("log {} is closed", .0.display())]
    Closed(PathBuf),
}

impl StorageError {
    /// Whether the disk is full: writes resume once space is free, nothing goes offline.
    pub fn is_disk_full(&self) -> bool {
        match self {
            StorageError::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            StorageError::Offline(_) | StorageError::Closed(_) => false,
        }
    }
}

/// One record that was refused: Produce v8 RecordErrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Index of the record inside its batch.
    pub batch_index: i32,
    /// Why.
    pub message: String,
}

/// Why records did not enter the log.
#[derive(Debug, Error)]
pub enum AppendError {
    /// INVALID_RECORD. `record_errors` is empty when the batch as a whole is at fault.
    #[error("{message}")]
    InvalidRecord {
        /// Apache's message.
        message: String,
        /// The records at fault.
        record_errors: Vec<RecordError>,
    },
    /// INVALID_TIMESTAMP
    #[error("{message}")]
    InvalidTimestamp {
        /// Apache's message.
        message: String,
        /// The records at fault.
        record_errors: Vec<RecordError>,
    },
    /// CORRUPT_MESSAGE: wrong CRC, wrong size, garbage inside.
    #[error("{0}")]
    CorruptMessage(String),
    /// UNKNOWN_SERVER_ERROR, as Apache answers it: an unknown codec, or compressed bytes that do not
    /// decompress.
    #[error("{0}")]
    Undecodable(String),
    /// MESSAGE_TOO_LARGE: over `max.message.bytes`.
    #[error(
        "The record batch size in the append to {partition} is {size} bytes which exceeds the maximum configured \
         value of {max})."
    )]
    MessageTooLarge {
        /// Size of the batch.
        size: usize,
        /// `max.message.bytes`.
        max: u32,
        /// Topic and partition.
        partition: String,
    },
    /// RECORD_LIST_TOO_LARGE: over `segment.bytes`.
    #[error(
        "Message batch size is {size} bytes in append to partition {partition}, which exceeds the maximum \
         configured segment size of {max}."
    )]
    RecordListTooLarge {
        /// Size of the whole append.
        size: usize,
        /// `segment.bytes`.
        max: u32,
        /// Topic and partition.
        partition: String,
    },
    /// OUT_OF_ORDER_SEQUENCE_NUMBER
    #[error("{0}")]
    OutOfOrderSequence(String),
    /// INVALID_PRODUCER_EPOCH
    #[error("{0}")]
    InvalidProducerEpoch(String),
    /// INVALID_TXN_STATE
    #[error("{0}")]
    InvalidTxnState(String),
    /// TRANSACTION_COORDINATOR_FENCED
    #[error("{0}")]
    TransactionCoordinatorFenced(String),
    /// A follower was handed records that do not continue its log (OFFSET_OUT_OF_RANGE family).
    #[error("append at offset {first_offset} does not continue the log that ends at {log_end_offset}")]
    UnexpectedOffset {
        /// First offset of the records.
        first_offset: i64,
        /// Where the log ends.
        log_end_offset: i64,
    },
    /// The offsets inside a follower's append do not increase.
    #[error("out of order offsets found in append: {0}")]
    OffsetsOutOfOrder(String),
    /// KAFKA_STORAGE_ERROR
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why nothing could be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// OFFSET_OUT_OF_RANGE
    #[error("offset {offset} is outside {log_start_offset}..={log_end_offset}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: i64,
        /// Where the log starts.
        log_start_offset: i64,
        /// Where the log ends.
        log_end_offset: i64,
    },
    /// What the position is found in lies on the disk alone: load it, then read again. Only for
    /// [`crate::Reading::InMemory`].
    #[error("not in memory")]
    Cold(Vec<Slice>),
    /// CORRUPT_MESSAGE: bytes on disk fail their check.
    #[error("{0}")]
    Corrupt(String),
    /// KAFKA_STORAGE_ERROR
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a log directory or a partition could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process holds the directory.
    #[error("log directory {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// A file that must be well-formed is not.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `partition.metadata` names another topic id than the caller expects (INCONSISTENT_TOPIC_ID).
    #[error("{} belongs to topic id {found}, not {expected}", path.display())]
    InconsistentTopicId {
        /// The partition's folder.
        path: PathBuf,
        /// The id in the file.
        found: uuid::Uuid,
        /// The id asked for.
        expected: uuid::Uuid,
    },
    /// A folder under the log directory has a name that is no partition's.
    #[error("{} is not the folder of a partition", .0.display())]
    NotAPartition(PathBuf),
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
