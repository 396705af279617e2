//! One partition on disk, in Apache Kafka's format file for file. Knows batches, not requests.
//!
//! Used by broker/server, broker/controller (metadata log) and the coordinators' runtime.

/// The topic keys a log obeys.
pub mod config;
/// Error enums, one per family.
pub mod error;
/// What goes into an append and comes out.
pub mod append;
mod codec;
/// What a read asks for and answers.
pub mod read;
/// The door: one partition.
pub mod partition_log;
/// One of `log.dirs`.
pub mod log_dir;

pub use append::{AppendInfo, AppendOrigin, AppendOutcome, Commit, FlushDue, LeaderAppend, VerificationGuard};
pub use config::LogConfig;
pub use error::{AppendError, OpenError, ReadError, RecordError, StorageError};
pub use log_dir::{LogDir, MetaProperties};
pub use partition_log::{PartitionLog, TransactionSupport};
pub use read::{
    AbortedTransaction, ActiveProducer, Isolation, MinimumOne, Offsets, Place, ReadRequest, ReadResult, Slice,
    TimestampOffset,
};
