//! What goes into an append and what comes out of it.

/// Who appends: it decides which rules a batch must satisfy (Java: `AppendOrigin`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    Client,
    /// A coordinator of this cluster: control batches are allowed, sequences are not checked.
    Coordinator,
    /// The leader's own bytes on a follower: only what keeps the log readable is checked.
    Replication,
    /// The metadata log.
    RaftLeader,
}

/// When appended records become visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The caller moves the high watermark once enough replicas have the records.
    WhenReplicated,
    /// This replica is the whole ISR: the append moves the high watermark to the end under the same lock.
    AtOnce,
}

/// Names one verification of a transaction with its coordinator, so that an append can tell whether it is
/// still the one that was verified (KIP-890; Java: `VerificationGuard`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VerificationGuard(pub(crate) u64);

impl VerificationGuard {
    /// No verification needed: a transaction is already open here, or the batch is not transactional.
    pub const NONE: VerificationGuard = VerificationGuard(0);
    /// The broker runs with `transaction.partition.verification.enable=false`.
    pub const DISABLED: VerificationGuard = VerificationGuard(u64::MAX);

    /// The guard as a number, for those who pass it on without knowing the log.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The guard that [`VerificationGuard::bits`] was taken of.
    pub fn from_bits(bits: u64) -> Self {
        VerificationGuard(bits)
    }
}

/// How to append as leader.
#[derive(Clone, Copy, Debug)]
pub struct LeaderAppend {
    /// Stamped into each batch.
    pub leader_epoch: i32,
    /// Who sent the records.
    pub origin: AppendOrigin,
    /// What [`crate::PartitionLog::begin_verification`] answered, or `NONE`.
    pub verification: VerificationGuard,
    /// Version of the transaction protocol a marker was written under (0, 1 or 2); ignored for data.
    pub transaction_version: i16,
    /// When the records become visible.
    pub commit: Commit,
}

impl LeaderAppend {
    /// A plain append of a client at `leader_epoch` that this replica alone commits.
    pub fn client(leader_epoch: i32) -> Self {
        LeaderAppend {
            leader_epoch,
            origin: AppendOrigin::Client,
            verification: VerificationGuard::NONE,
            transaction_version: 0,
            commit: Commit::AtOnce,
        }
    }

    /// The same from a coordinator.
    pub fn coordinator(leader_epoch: i32) -> Self {
        LeaderAppend { origin: AppendOrigin::Coordinator, ..LeaderAppend::client(leader_epoch) }
    }
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record (of the earlier append, for a duplicate).
    pub first_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Largest timestamp among the records.
    pub max_timestamp: i64,
    /// The broker's time when the topic stamps records itself, else -1.
    pub log_append_time: i64,
    /// Where the log starts.
    pub log_start_offset: i64,
    /// Base offset of the segment it went into.
    pub segment_base_offset: i64,
    /// Bytes that were written, 0 for a duplicate.
    pub bytes: usize,
    /// Whether this was a retry of a batch that is in the log already; nothing was written.
    pub outcome: AppendOutcome,
    /// Whether `flush.messages` says that [`crate::PartitionLog::flush_to`] of `last_offset + 1` must
    /// happen before the append is acknowledged.
    pub flush: FlushDue,
    /// Whether the high watermark moved under this append.
    pub high_watermark: i64,
}

/// See [`AppendInfo::outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The records were written.
    Appended,
    /// They were in the log already.
    Duplicate,
}

/// See [`AppendInfo::flush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushDue {
    /// The page cache is enough for this topic.
    No,
    /// `flush.messages` messages are unflushed.
    Now,
}
