//! The door to one partition on disk: open, append, read, truncate, delete; the asserted order of offsets.
//!
//! Called by broker/server's replica layer, by the metadata log and by coordinators. Synchronous: it blocks
//! on files but never on another thread's fsync, so an append may run in the connection's own poll; `flush`,
//! `clean` and opening belong on a thread that may block. Knows batches, never requests.

use std::path::PathBuf;
use std::sync::Arc;

use crate::append::{AppendInfo, LeaderAppend, VerificationGuard};
use crate::config::LogConfig;
use crate::error::{AppendError, ReadError, StorageError};
use crate::read::{ActiveProducer, Offsets, ReadRequest, ReadResult, TimestampOffset};

/// One partition on disk. Shared as `Arc`; every method takes `&self`.
pub struct PartitionLog {}

impl PartitionLog {
    /// Topic and partition, from the folder's name.
    pub fn topic(&self) -> &str {
        unimplemented!()
    }
    /// Partition index.
    pub fn partition(&self) -> i32 {
        unimplemented!()
    }
    /// The id in `partition.metadata`, nil when the file does not exist.
    pub fn topic_id(&self) -> uuid::Uuid {
        unimplemented!()
    }
    /// The partition's folder.
    pub fn folder(&self) -> PathBuf {
        unimplemented!()
    }

    /// Validates `records` (whole batches, one for a client), assigns offsets, stamps `leader_epoch`, and
    /// writes them. The bytes are not changed in place: the 61-byte header is stamped in a copy.
    pub fn append_as_leader(&self, records: &[u8], append: &LeaderAppend) -> Result<AppendInfo, AppendError> {
        let _ = (records, append);
        unimplemented!()
    }
    /// Writes the leader's own bytes, offsets and epochs as they are.
    pub fn append_as_follower(&self, records: &[u8], leader_epoch: i32) -> Result<AppendInfo, AppendError> {
        let _ = (records, leader_epoch);
        unimplemented!()
    }
    /// Reads whole batches from the one that holds `request.offset` on.
    pub fn read(&self, request: &ReadRequest) -> Result<ReadResult, ReadError> {
        let _ = request;
        unimplemented!()
    }
    /// All four offsets at one instant.
    pub fn offsets(&self) -> Offsets {
        unimplemented!()
    }
    /// Offset of the next record.
    pub fn log_end_offset(&self) -> i64 {
        unimplemented!()
    }
    /// First offset that may be read.
    pub fn log_start_offset(&self) -> i64 {
        unimplemented!()
    }
    /// End of what a consumer sees.
    pub fn high_watermark(&self) -> i64 {
        unimplemented!()
    }
    /// End of what a read_committed consumer sees.
    pub fn last_stable_offset(&self) -> i64 {
        unimplemented!()
    }
    /// Raises the high watermark to `offset` (capped at the log end); never lowers it. Answers the offsets.
    pub fn raise_high_watermark(&self, offset: i64) -> Offsets {
        let _ = offset;
        unimplemented!()
    }
    /// Sets the high watermark on a follower or at start, within log start and log end.
    pub fn set_high_watermark(&self, offset: i64) -> Offsets {
        let _ = offset;
        unimplemented!()
    }
    /// ListOffsets by time: >= 0 first record at or after it; -3 the record with the largest timestamp; -2 and
    /// -4 log start; -1 log end (the caller applies isolation); -5 and -6 nothing is tiered. `None`: no record.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampOffset>, ReadError> {
        let _ = timestamp;
        unimplemented!()
    }
    /// OffsetForLeaderEpoch: (epoch, end offset) of the largest epoch <= `leader_epoch`; `None` when unknown.
    pub fn end_offset_for_epoch(&self, leader_epoch: i32) -> Option<(i32, i64)> {
        let _ = leader_epoch;
        unimplemented!()
    }
    /// The latest leader epoch that has an entry.
    pub fn latest_epoch(&self) -> Option<i32> {
        unimplemented!()
    }
    /// The epoch that `offset` was written under.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        let _ = offset;
        unimplemented!()
    }
    /// A new leader epoch starts at the log end; durable before this returns.
    pub fn assign_epoch(&self, leader_epoch: i32) -> Result<(), StorageError> {
        let _ = leader_epoch;
        unimplemented!()
    }
    /// Drops everything from `offset` on; false when the log ends at or before it.
    pub fn truncate_to(&self, offset: i64) -> Result<bool, StorageError> {
        let _ = offset;
        unimplemented!()
    }
    /// Drops everything and starts at `offset`.
    pub fn truncate_fully(&self, offset: i64) -> Result<(), StorageError> {
        let _ = offset;
        unimplemented!()
    }
    /// DeleteRecords: raises the log start; -1 means the high watermark; answers the new log start.
    pub fn delete_before(&self, offset: i64) -> Result<i64, ReadError> {
        let _ = offset;
        unimplemented!()
    }
    /// Makes everything below `offset` durable. Blocks; several callers share one fdatasync.
    pub fn flush_to(&self, offset: i64) -> Result<(), StorageError> {
        let _ = offset;
        unimplemented!()
    }
    /// Makes everything durable.
    pub fn flush(&self) -> Result<(), StorageError> {
        unimplemented!()
    }
    /// Ends the active segment and starts a new one.
    pub fn roll(&self) -> Result<(), StorageError> {
        unimplemented!()
    }
    /// Deletes segments by time, size and log start; answers how many.
    pub fn apply_retention(&self) -> Result<usize, StorageError> {
        unimplemented!()
    }
    /// Forgets producers that were silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&self) {
        unimplemented!()
    }
    /// New configuration of the topic.
    pub fn update_config(&self, config: Arc<LogConfig>) {
        let _ = config;
        unimplemented!()
    }
    /// The configuration.
    pub fn config(&self) -> Arc<LogConfig> {
        unimplemented!()
    }
    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        unimplemented!()
    }
    /// Number of segments.
    pub fn segment_count(&self) -> usize {
        unimplemented!()
    }
    /// Everything below this offset is durable.
    pub fn recovery_point(&self) -> i64 {
        unimplemented!()
    }
    /// Producers that this partition remembers.
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        unimplemented!()
    }
    /// Whether `producer_id` has a transaction open here under `producer_epoch`.
    pub fn has_ongoing_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        let _ = (producer_id, producer_epoch);
        unimplemented!()
    }
    /// KIP-890: opens a verification unless the transaction is already open here (then `NONE`). `v2` producers
    /// (Produce v12+) bump epochs.
    pub fn begin_verification(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        sequence: i32,
        version: TransactionSupport,
    ) -> VerificationGuard {
        let _ = (producer_id, producer_epoch, sequence, version);
        unimplemented!()
    }
    /// Flushes, writes the producer snapshot and closes the files (clean shutdown).
    pub fn close(&self) -> Result<(), StorageError> {
        unimplemented!()
    }
}

/// Which transaction protocol a producer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionSupport {
    /// Produce v11 and below.
    V1,
    /// Produce v12 and above: each transaction has an epoch of its own.
    V2,
}
