//! The partition under a coordinator shard: append a batch, replay the log. The one place where the coordinators'
//! runtime meets the log.
//!
//! Called by [`crate::coord::shard`]; never interprets a record.

use std::sync::Arc;

use millstream_broker_coordinator::step::{AppendError, Machine, Nature, Replayed, TransactionResult};
use millstream_broker_log::{self as log, FlushDue, LeaderAppend, ReadError, VerificationGuard};

use crate::replica::partition::{Partition, ReplicaError};

/// Whether an append must be on the disk before it counts (`flush.messages`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    /// It need not.
    NotAsked,
    /// It must, and is not yet.
    Due,
    /// It is.
    Done,
    /// It could not be brought there.
    Failed,
}

/// An append that went into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Whether an fsync is due first.
    pub synced: Synced,
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset after its last record.
    pub end_offset: i64,
}

/// A handle on the partition under one leader epoch.
#[derive(Clone)]
pub struct Storage {
    partition: Arc<Partition>,
    leader_epoch: i32,
}

impl Storage {
    /// `partition`, led by this node under `leader_epoch`.
    pub fn new(partition: Arc<Partition>, leader_epoch: i32) -> Self {
        Storage { partition, leader_epoch }
    }

    /// The epoch under which everything is appended.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The topic, for logs.
    pub fn topic(&self) -> &str {
        self.partition.topic()
    }

    /// Whether there is nothing to replay.
    pub fn is_empty(&self) -> bool {
        self.partition.log().high_watermark() <= self.partition.log().log_start_offset()
    }

    /// Appends one batch.
    pub fn append(&self, batch: &[u8], nature: Nature) -> Result<Appended, AppendError> {
        let plain = LeaderAppend::coordinator(self.leader_epoch);
        let append = match nature {
            Nature::Data => plain,
            Nature::Transactional { verification } => {
                LeaderAppend { verification: VerificationGuard::from_bits(verification), ..plain }
            }
            Nature::Marker { transaction_version } => LeaderAppend { transaction_version, ..plain },
        };
        let append = self.partition.append_as_coordinator(batch, append);
        let info = append.map_err(replica_error)?;
        let end_offset = info.last_offset + 1;
        let synced = match info.flush {
            FlushDue::Now => Synced::Due,
            FlushDue::No => Synced::NotAsked,
        };
        Ok(Appended { synced, base_offset: info.first_offset, end_offset })
    }

    /// Below it everything is committed.
    pub fn high_watermark(&self) -> i64 {
        self.partition.log().high_watermark()
    }

    /// Makes everything below `end_offset` durable. Blocks.
    pub fn flush_to(&self, end_offset: i64) -> Result<(), log::StorageError> {
        self.partition.flush_to(end_offset)
    }

    /// Replays everything below the high watermark into `machine`. Blocks.
    pub fn replay<M: Machine>(&self, machine: &mut M) -> Result<(), ReadError> {
        self.partition.log().replay(|replayed| match replayed {
            log::Replayed::Record { offset, timestamp, key, value, producer_id, producer_epoch } => {
                machine.replay(Replayed { offset, timestamp, key, value, producer_id, producer_epoch });
            }
            log::Replayed::Marker { producer_id, producer_epoch, end } => {
                let result = match end {
                    log::TransactionEnd::Commit => TransactionResult::Commit,
                    log::TransactionEnd::Abort => TransactionResult::Abort,
                };
                machine.replay_marker(producer_id, producer_epoch, result);
            }
        })
    }
}

fn replica_error(error: ReplicaError) -> AppendError {
    match error {
        ReplicaError::NotLeader | ReplicaError::FencedLeaderEpoch { .. } | ReplicaError::UnknownLeaderEpoch { .. } => {
            AppendError::NotLeader
        }
        ReplicaError::NotEnoughReplicas { .. } => AppendError::NotEnoughReplicas,
        ReplicaError::Append(error) => append_error(error),
        ReplicaError::Read(_) | ReplicaError::InconsistentTopicId | ReplicaError::NegativeLimit(_) => {
            AppendError::Other
        }
    }
}

fn append_error(error: log::AppendError) -> AppendError {
    match error {
        log::AppendError::MessageTooLarge { .. } | log::AppendError::RecordListTooLarge { .. } => AppendError::TooLarge,
        log::AppendError::InvalidProducerEpoch(_) => AppendError::ProducerFenced,
        log::AppendError::TransactionCoordinatorFenced(_) => AppendError::CoordinatorFenced,
        log::AppendError::InvalidTxnState(_) => AppendError::InvalidTxnState,
        log::AppendError::Storage(_) => AppendError::Storage,
        log::AppendError::InvalidRecord { .. }
        | log::AppendError::InvalidTimestamp { .. }
        | log::AppendError::CorruptMessage(_)
        | log::AppendError::Undecodable(_)
        | log::AppendError::OutOfOrderSequence(_)
        | log::AppendError::UnexpectedOffset { .. }
        | log::AppendError::OffsetsOutOfOrder(_) => AppendError::Other,
    }
}
