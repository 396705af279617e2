//! One partition on disk, in Apache Kafka's format file for file. Knows batches, not requests.
//!
//! Used by broker/server, broker/controller (metadata log) and the coordinators' runtime. Modules in the order
//! in which a record meets them; opening, maintenance and the directory follow.
//!
//! Not done: recovery reads the partitions of a directory in parallel, but the segments of one partition one after the
//! other; tiered storage (KIP-405).

/// The topic keys a log obeys.
pub mod config;
/// Error enums, one per family.
pub mod error;
/// What goes into an append and comes out.
pub mod append;
/// The door: one partition.
pub mod partition_log;
/// The 61 bytes in front of a batch.
/// Records inside a batch.
/// The codecs of `protocol`, on a buffer that the thread keeps.
mod codec;
/// What a batch must satisfy before it enters.
mod validate;
/// Offsets, epoch and time of a batch that enters.
mod assign;
/// What a partition remembers of each producer.
mod producer_state;
/// The producer table's file.
mod producer_snapshot;
/// When a segment ends.
mod roll;
/// One segment: a `.log` file and its indexes.
mod segment;
/// A file of entries of one size.
mod entry_file;
/// `.index`
mod index_offset;
/// `.timeindex`
mod index_time;
/// `.txnindex`
mod index_txn;
/// `leader-epoch-checkpoint`
mod epoch_file;
/// Group commit.
mod flush;
/// What a read asks for and answers.
pub mod read;
/// From an offset to a piece of a file.
mod fetch;
/// From a time to an offset.
mod time_search;
/// All records in order, for who builds its state from a log.
pub mod replay;
/// Walking the batches of a file.
mod scan;
/// Opening, and recovery after an unclean stop.
mod recover;
/// Truncation and DeleteRecords.
mod truncate;
/// Deleting old segments.
mod retention;
/// Compaction.
mod compact;
/// Which records survive it.
mod clean_filter;
/// How fast compaction may go.
mod throttle;
/// The last offset of each key.
mod key_map;
/// Checkpoint files and `partition.metadata`.
mod checkpoints;
/// Indexes and snapshots as they lie on disk, for kafka-dump-log.
pub mod dump;
/// Names of folders and files.
mod folder;
/// What the partitions of one directory share.
mod dir_state;
/// `meta.properties`
mod meta_properties;
/// One of `log.dirs`.
pub mod log_dir;

/// Batches and disks for tests.
#[cfg(test)]
mod testing;
/// Folders exchanged with Apache Kafka.
#[cfg(test)]
mod apache;
/// Random operations against a model; power losses; damaged files.
#[cfg(test)]
mod torture;

pub use append::{AppendInfo, AppendOrigin, AppendOutcome, Commit, FlushDue, LeaderAppend, VerificationGuard};
pub use checkpoints::{parse_uuid, render_uuid};
pub use codec::Codec;
pub use config::LogConfig;
pub use error::{AppendError, OpenError, ReadError, RecordError, StorageError};
pub use log_dir::LogDir;
pub use meta_properties::MetaProperties;
pub use partition_log::{PartitionLog, TransactionSupport};
pub use read::{
    AbortedTransaction, ActiveProducer, Isolation, MinimumOne, Offsets, Place, ReadRequest, ReadResult, Reading, Slice,
    TimestampOffset,
};
pub use replay::{Replayed, TransactionEnd};
