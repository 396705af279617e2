//! One replica of a partition: its role, leader epoch and ISR, and the reads and writes that depend on them.
//!
//! Called by the handlers and the coordinators' runtime; fed by replica/partitions.rs. On a single node the ISR is
//! this replica alone, and an append commits under the log's own lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use millstream_base_env::task;
use millstream_broker_log::config::TopicCompression;
use millstream_broker_log::{
    AppendError, AppendInfo, AppendOrigin, AppendOutcome, Commit, LeaderAppend, Offsets, PartitionLog, ReadError,
    ReadRequest, ReadResult, Reading, StorageError, VerificationGuard,
};
use parking_lot::RwLock;
use thiserror::Error;
use uuid::Uuid;

use crate::life::metrics::TopicMetrics;
use crate::replica::wait::Waiters;

/// What this replica is to its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The leader, -1 for none.
    pub leader: i32,
    /// Raised whenever the leader changes.
    pub leader_epoch: i32,
    /// Raised on every change.
    pub partition_epoch: i32,
    /// In-sync replicas.
    pub isr: Arc<[i32]>,
    /// All replicas.
    pub replicas: Arc<[i32]>,
}

/// How many replicas a producer wants its records on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// 0: it does not wait.
    None,
    /// 1: the leader.
    Leader,
    /// -1: every in-sync replica, `min.insync.replicas` at least.
    All,
}

/// Why a replica refused.
#[derive(Debug, Error)]
pub enum ReplicaError {
    /// NOT_LEADER_OR_FOLLOWER
    #[error("this node does not lead the partition")]
    NotLeader,
    /// FENCED_LEADER_EPOCH: the caller's epoch is older.
    #[error("the leader epoch in the request is older than {current}")]
    FencedLeaderEpoch {
        /// The epoch of this replica.
        current: i32,
    },
    /// UNKNOWN_LEADER_EPOCH: the caller's epoch is newer.
    #[error("the leader epoch in the request is newer than {current}")]
    UnknownLeaderEpoch {
        /// The epoch of this replica.
        current: i32,
    },
    /// NOT_ENOUGH_REPLICAS, before anything was written.
    #[error(
        "the size of the current ISR {isr:?} is insufficient to satisfy the min.isr requirement of {min} for partition {partition}"
    )]
    NotEnoughReplicas {
        /// The in-sync replicas.
        isr: Vec<i32>,
        /// What is required.
        min: u32,
        /// Topic and index, as `t-0`.
        partition: String,
    },
    /// INCONSISTENT_TOPIC_ID: a topic of the same name took the place of the one that a fetch session knew.
    #[error("the topic id does not match the one of the log")]
    InconsistentTopicId,
    /// The most bytes that a fetch wants are a negative number.
    #[error("invalid max size {0} for a read")]
    NegativeLimit(i32),
    /// The log refused the records.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// One replica.
pub struct Partition {
    topic: Arc<str>,
    topic_id: Uuid,
    index: i32,
    node_id: i32,
    log: Arc<PartitionLog>,
    role: RwLock<Role>,
    min_insync_replicas: AtomicU32,
    waiters: Waiters,
    metrics: TopicMetrics,
    /// One flush at a time: the others that wait for it hold no thread.
    flush_turn: tokio::sync::Mutex<()>,
}

impl Partition {
    /// A replica of partition `index` on top of `log`.
    pub fn new(
        topic: Arc<str>,
        topic_id: Uuid,
        index: i32,
        node_id: i32,
        log: Arc<PartitionLog>,
        role: Role,
        min_insync_replicas: u32,
    ) -> Self {
        let partition = Partition {
            topic,
            topic_id,
            index,
            node_id,
            log,
            role: RwLock::new(role),
            min_insync_replicas: AtomicU32::new(min_insync_replicas),
            waiters: Waiters::default(),
            metrics: TopicMetrics::default(),
            flush_turn: tokio::sync::Mutex::default(),
        };
        partition.commit_if_alone();
        partition
    }

    /// The same, recording into the metrics of its topic.
    pub fn with_metrics(mut self, metrics: TopicMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The metrics of its topic.
    pub fn metrics(&self) -> &TopicMetrics {
        &self.metrics
    }

    fn record_append(&self, records: &[u8], appended: &Result<AppendInfo, ReplicaError>) {
        match appended {
            Ok(info) if info.outcome == AppendOutcome::Appended => {
                let count = info.last_offset - info.first_offset + 1;
                self.metrics.produced(u64::try_from(count).unwrap_or(0), records.len() as u64);
            }
            Ok(_) => {}
            Err(_) => self.metrics.produce_failed(),
        }
    }

    /// A leader that is the whole ISR commits what its log holds (Java: `Partition.maybeIncrementLeaderHW` in
    /// makeLeader). After a kill the checkpointed high watermark is older than the log, and without this nothing above
    /// it would be served before the next append.
    fn commit_if_alone(&self) {
        let role = self.role.read();
        if role.leader == self.node_id && role.isr.len() <= 1 {
            self.log.raise_high_watermark(i64::MAX);
        }
    }

    /// `min.insync.replicas` of the topic changed.
    pub fn set_min_insync_replicas(&self, min: u32) {
        self.min_insync_replicas.store(min, Ordering::Relaxed);
    }

    /// Whether the topic has a codec of its own (`compression.type`).
    pub fn has_codec(&self) -> bool {
        self.log.config().compression != TopicCompression::Producer
    }

    /// Name of the topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Id of the topic.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// Index of the partition.
    pub fn index(&self) -> i32 {
        self.index
    }

    /// The log underneath; for what does not depend on the role.
    pub fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    /// Its role now.
    pub fn role(&self) -> Role {
        self.role.read().clone()
    }

    /// The epoch under which this node leads, or NOT_LEADER_OR_FOLLOWER; `expected` is the epoch the caller knows,
    /// -1 when it does not say (KIP-320).
    pub fn leader_epoch(&self, expected: i32) -> Result<i32, ReplicaError> {
        let role = self.role.read();
        check_epoch(role.leader_epoch, expected)?;
        if role.leader != self.node_id {
            return Err(ReplicaError::NotLeader);
        }
        Ok(role.leader_epoch)
    }

    /// Appends as leader and wakes who waits for it.
    pub fn append(
        &self,
        records: &[u8],
        acks: Acks,
        origin: AppendOrigin,
        verification: VerificationGuard,
    ) -> Result<AppendInfo, ReplicaError> {
        let appended = self.may_append(acks).and_then(|(leader_epoch, commit)| {
            let append = LeaderAppend { leader_epoch, origin, verification, transaction_version: 0, commit };
            Ok(self.log.append_as_leader(records, &append)?)
        });
        self.record_append(records, &appended);
        let info = appended?;
        self.wake_appended(&info);
        Ok(info)
    }

    /// Wakes the fetches that have enough now; all of them when a new segment was begun, because what stands in an older
    /// one is answered at once (Java: `DelayedFetch`, case F).
    fn wake_appended(&self, info: &AppendInfo) {
        if info.first_offset == info.segment_base_offset {
            self.waiters.wake();
        } else {
            self.waiters.wake_appended(info.bytes);
        }
    }

    /// Appends for the coordinator that this partition is the log of; `append` names the epoch it was loaded in.
    pub fn append_as_coordinator(&self, records: &[u8], append: LeaderAppend) -> Result<AppendInfo, ReplicaError> {
        let (leader_epoch, commit) = self.may_append(Acks::All)?;
        if leader_epoch != append.leader_epoch {
            // The coordinator of this epoch is being loaded; the one that asks is of the past.
            return Err(ReplicaError::NotLeader);
        }
        let info = self.log.append_as_leader(records, &LeaderAppend { commit, ..append })?;
        self.wake_appended(&info);
        Ok(info)
    }

    /// Appends a transaction marker, under the version of the transaction protocol that decided it, and wakes who
    /// waits for the last stable offset.
    pub fn append_marker(&self, marker: &[u8], transaction_version: i16) -> Result<AppendInfo, ReplicaError> {
        let (leader_epoch, commit) = self.may_append(Acks::All)?;
        let append = LeaderAppend { transaction_version, commit, ..LeaderAppend::coordinator(leader_epoch) };
        let info = self.log.append_as_leader(marker, &append)?;
        self.waiters.wake();
        Ok(info)
    }

    /// Makes everything below `offset` durable, and wakes who waits for it. Blocks.
    ///
    /// # Errors
    /// A failed fsync, which takes the log directory offline.
    pub fn flush_to(&self, offset: i64) -> Result<(), StorageError> {
        self.log.flush_to(offset)?;
        self.waiters.wake();
        Ok(())
    }

    /// The same without blocking: who finds a flush under way waits for it, and often needs none of its own.
    ///
    /// # Errors
    /// As [`Partition::flush_to`].
    pub async fn flushed_to(self: &Arc<Self>, offset: i64) -> Result<(), StorageError> {
        let _turn = self.flush_turn.lock().await;
        if self.log.synced_offset() >= offset {
            return Ok(());
        }
        let partition = self.clone();
        match task::spawn_blocking("flush", move || partition.flush_to(offset)).await {
            Ok(flushed) => flushed,
            Err(error) => {
                let path = format!("{}-{}", self.topic, self.index).into();
                Err(StorageError::Io { doing: "cannot flush", path, source: std::io::Error::other(error) })
            }
        }
    }

    fn may_append(&self, acks: Acks) -> Result<(i32, Commit), ReplicaError> {
        let role = self.role.read();
        if role.leader != self.node_id {
            return Err(ReplicaError::NotLeader);
        }
        if acks == Acks::All {
            self.check_isr(&role)?;
        }
        let alone = role.isr.len() <= 1;
        Ok((role.leader_epoch, if alone { Commit::AtOnce } else { Commit::WhenReplicated }))
    }

    /// A partition asks for no more in-sync replicas than it has replicas (Java: `Partition.effectiveMinIsr`).
    fn check_isr(&self, role: &Role) -> Result<(), ReplicaError> {
        let replicas = role.replicas.len() as u32;
        let isr = role.isr.len() as u32;
        if isr >= replicas {
            return Ok(());
        }
        let min = self.min_insync_replicas.load(Ordering::Relaxed).min(replicas);
        if isr >= min {
            return Ok(());
        }
        let partition = format!("{}-{}", self.topic, self.index);
        Err(ReplicaError::NotEnoughReplicas { isr: role.isr.to_vec(), min, partition })
    }

    /// Reads as a consumer or a follower; `expected_epoch` as in [`Partition::leader_epoch`].
    pub fn read(
        &self,
        request: &ReadRequest,
        expected_epoch: i32,
        reading: Reading,
    ) -> Result<ReadResult, ReplicaError> {
        self.leader_epoch(expected_epoch)?;
        Ok(self.log.read_as(request, reading)?)
    }

    /// The offsets at one instant.
    pub fn offsets(&self) -> Offsets {
        self.log.offsets()
    }

    /// Whether fewer replicas are in sync than producers with acks=all are promised.
    pub fn is_under_min_isr(&self) -> bool {
        self.check_isr(&self.role.read()).is_err()
    }

    /// Takes a new role; whoever waits looks again. Answers whether this node became leader of a new epoch.
    pub fn change_role(&self, role: Role) -> Became {
        let mut current = self.role.write();
        let newer = role.leader_epoch > current.leader_epoch || role.leader != current.leader;
        let leads = role.leader == self.node_id;
        *current = role;
        drop(current);
        self.commit_if_alone();
        self.waiters.wake();
        match (newer, leads) {
            (false, _) => Became::Same,
            (true, true) => Became::Leader,
            (true, false) => Became::Follower,
        }
    }

    /// Wakes who waits: an offset moved by another way than [`Partition::append`], or the partition is gone.
    pub fn wake(&self) {
        self.waiters.wake();
    }
}

impl AsRef<Waiters> for Partition {
    fn as_ref(&self) -> &Waiters {
        &self.waiters
    }
}

/// What [`Partition::change_role`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// Leader and epoch are what they were.
    Same,
    /// This node leads in a new epoch.
    Leader,
    /// Another node leads, or none.
    Follower,
}

fn check_epoch(current: i32, expected: i32) -> Result<(), ReplicaError> {
    // Only -1 means that the caller does not know (Java: `RequestUtils.getLeaderEpoch`).
    if expected == -1 || expected == current {
        Ok(())
    } else if expected < current {
        Err(ReplicaError::FencedLeaderEpoch { current })
    } else {
        Err(ReplicaError::UnknownLeaderEpoch { current })
    }
}
