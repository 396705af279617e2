//! One transactional id: its durable data, the transition that is on its way to the log, and the rules by
//! which one follows from the other (TransactionMetadata.java). The requests in `init`, `add`, `end` and
//! `timeout` prepare transitions here; the shard completes them when the log holds them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::state::{TransactionVersion, TxnState};
use crate::step::TransactionResult;

/// No producer id.
pub const NO_PRODUCER_ID: i64 = -1;
/// No producer epoch.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// No transaction was started.
pub const NO_TIMESTAMP: i64 = -1;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: &str, partition: i32) -> Self {
        TopicPartition { topic: topic.into(), partition }
    }
}

/// What the log holds of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnData {
    /// The producer id in use.
    pub producer_id: i64,
    /// The producer id before the last transition; differs from `producer_id` only after a rotation.
    pub previous_producer_id: i64,
    /// The producer id that the client was told to go on with, while the epoch of `producer_id` is used up.
    pub next_producer_id: i64,
    /// The epoch of `producer_id`.
    pub producer_epoch: i16,
    /// The epoch before the last bump that the client knows of. Not in the log: after a reload it is unknown.
    pub last_producer_epoch: i16,
    /// After how long an open transaction is aborted.
    pub timeout_ms: i32,
    /// The state.
    pub state: TxnState,
    /// The partitions written to, less those whose marker is written.
    pub partitions: BTreeSet<TopicPartition>,
    /// When the first partition was added.
    pub start_ms: i64,
    /// When the last transition was made.
    pub last_update_ms: i64,
    /// The protocol generation of the client that made the last transition.
    pub client_version: TransactionVersion,
}

/// A transactional id in memory.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// What the log holds, less the partitions whose marker is written.
    pub data: TxnData,
    /// The state of the transition that is on its way to the log. While there is one no other may begin.
    pub pending: Option<TxnState>,
    /// An epoch was bumped to fence a producer, but the log did not take it: the next attempt uses the same.
    pub failed_epoch_fence: bool,
}

/// A transition that the rules do not allow. Clients cannot cause most of them; those that they can are
/// answered as Apache answers the exception, with UNKNOWN_SERVER_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// The expected epoch is neither the current one nor the one before.
    #[error("the expected epoch is fenced")]
    Fenced,
    /// Epochs, producer id or state do not allow the transition.
    #[error("the transition from {from:?} to {to:?} is not allowed")]
    Illegal {
        /// The present state.
        from: TxnState,
        /// The state that was asked for.
        to: TxnState,
    },
}

impl TxnData {
    /// A new transactional id: it has an id but no epoch until its first InitProducerId is in the log.
    pub fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        TxnData {
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            state: TxnState::Empty,
            partitions: BTreeSet::new(),
            start_ms: NO_TIMESTAMP,
            last_update_ms: now_ms,
            client_version: TransactionVersion::Tv0,
        }
    }
}

/// Whether an epoch may no longer be given to a client: the highest is kept back so that its holder can
/// still be fenced.
pub fn epoch_exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}

impl Transaction {
    /// The transaction as loaded or created, nothing pending.
    pub fn new(data: TxnData) -> Self {
        Transaction { data, pending: None, failed_epoch_fence: false }
    }

    /// Whether no further epoch of the producer id may be given to a client.
    pub fn epoch_exhausted(&self) -> bool {
        epoch_exhausted(self.data.producer_epoch)
    }

    /// Whether the transaction has no timeout (two-phase commit, KIP-939).
    pub fn is_two_phase(&self) -> bool {
        self.data.timeout_ms == i32::MAX
    }

    /// InitProducerId on a finished transaction: the next epoch, or the same again to a client that repeats
    /// a request whose answer it missed (KIP-360).
    pub fn prepare_epoch_bump(
        &mut self,
        timeout_ms: i32,
        expected_epoch: Option<i16>,
        now_ms: i64,
    ) -> Result<TxnData, TransitionError> {
        if self.epoch_exhausted() {
            return Err(self.illegal(TxnState::Empty));
        }
        let current = self.data.producer_epoch;
        let (epoch, last) = match expected_epoch {
            None => (current + 1, NO_PRODUCER_EPOCH),
            Some(expected) if current == NO_PRODUCER_EPOCH || expected == current => (current + 1, current),
            Some(expected) if expected == self.data.last_producer_epoch => (current, self.data.last_producer_epoch),
            Some(_) => return Err(TransitionError::Fenced),
        };
        let next = TxnData { producer_epoch: epoch, last_producer_epoch: last, timeout_ms, ..self.emptied(now_ms) };
        self.prepare(next)
    }

    /// InitProducerId when the epochs are used up: a fresh producer id at epoch 0.
    pub fn prepare_rotation(
        &mut self,
        new_producer_id: i64,
        timeout_ms: i32,
        last_producer_epoch: i16,
        now_ms: i64,
    ) -> Result<TxnData, TransitionError> {
        let next = TxnData {
            producer_id: new_producer_id,
            producer_epoch: 0,
            last_producer_epoch,
            timeout_ms,
            ..self.emptied(now_ms)
        };
        self.prepare(next)
    }

    /// Partitions join the transaction; the first ones start it.
    pub fn prepare_add(
        &mut self,
        partitions: &BTreeSet<TopicPartition>,
        client_version: TransactionVersion,
        now_ms: i64,
    ) -> Result<TxnData, TransitionError> {
        let mut next = self.data.clone();
        if next.state.may_expire() {
            next.start_ms = now_ms;
        }
        next.state = TxnState::Ongoing;
        next.partitions.extend(partitions.iter().cloned());
        next.last_update_ms = now_ms;
        next.client_version = client_version;
        self.prepare(next)
    }

    /// The decision to commit or abort. From version 2 on it bumps the epoch, so that no late request of this
    /// transaction can touch the next one (KIP-890).
    pub fn prepare_end(
        &mut self,
        result: TransactionResult,
        client_version: TransactionVersion,
        next_producer_id: i64,
        now_ms: i64,
    ) -> Result<TxnData, TransitionError> {
        let mut next = self.data.clone();
        next.state = TxnState::prepare(result);
        if client_version.bumps_epoch() {
            // A producer that already sits at the highest epoch may still abort, so that it can recover.
            if !(self.data.producer_epoch == i16::MAX && result == TransactionResult::Abort) {
                next.producer_epoch = self.data.producer_epoch.wrapping_add(1);
            }
            next.last_producer_epoch = self.data.producer_epoch;
        }
        // Version 2 may abort a transaction that never began; it begins and ends at once.
        if self.data.state.may_expire() {
            next.start_ms = now_ms;
        }
        next.next_producer_id = next_producer_id;
        next.last_update_ms = now_ms;
        next.client_version = client_version;
        self.prepare(next)
    }

    /// The decision to abort from the coordinator itself (timeout, or a new producer instance): the epoch is
    /// bumped so that the present producer is fenced, unless an earlier attempt bumped it already.
    pub fn prepare_fencing_abort(
        &mut self,
        server_version: TransactionVersion,
        next_producer_id: i64,
        now_ms: i64,
    ) -> Result<TxnData, TransitionError> {
        if server_version.bumps_epoch() {
            return self.prepare_end(TransactionResult::Abort, server_version, next_producer_id, now_ms);
        }
        if !self.failed_epoch_fence && self.data.producer_epoch < i16::MAX {
            self.data.producer_epoch += 1;
        }
        self.data.last_producer_epoch = NO_PRODUCER_EPOCH;
        self.prepare_end(TransactionResult::Abort, TransactionVersion::Tv0, next_producer_id, now_ms)
    }

    /// All markers are to be followed by this: the transaction is over, and a client at the end of its epochs
    /// goes on with the producer id that it was told.
    pub fn prepare_complete(&mut self, result: TransactionResult, now_ms: i64) -> Result<TxnData, TransitionError> {
        self.failed_epoch_fence = false;
        let mut next = self.data.clone();
        next.state = TxnState::complete(result);
        if next.client_version.bumps_epoch() && next.next_producer_id != NO_PRODUCER_ID {
            next.producer_id = next.next_producer_id;
            next.producer_epoch = 0;
        }
        next.next_producer_id = NO_PRODUCER_ID;
        next.partitions.clear();
        next.last_update_ms = now_ms;
        self.prepare(next)
    }

    /// The transactional id is about to be forgotten.
    pub fn prepare_dead(&mut self) -> Result<(), TransitionError> {
        let next = TxnData { state: TxnState::Dead, partitions: BTreeSet::new(), ..self.data.clone() };
        self.prepare(next).map(|_| ())
    }

    /// The log holds `next`.
    pub fn complete(&mut self, next: TxnData) {
        assert_eq!(self.pending, Some(next.state), "a transition is completed that was not prepared");
        self.pending = None;
        self.data = next;
    }

    /// The log did not take the pending transition; everything is as before.
    pub fn revoke(&mut self) {
        self.pending = None;
    }

    fn emptied(&self, now_ms: i64) -> TxnData {
        TxnData {
            state: TxnState::Empty,
            partitions: BTreeSet::new(),
            start_ms: NO_TIMESTAMP,
            last_update_ms: now_ms,
            ..self.data.clone()
        }
    }

    fn prepare(&mut self, mut next: TxnData) -> Result<TxnData, TransitionError> {
        let lawful = self.pending.is_none()
            && next.state.may_follow(self.data.state)
            && next.producer_id >= 0
            && (next.producer_epoch >= 0 || next.state == TxnState::Dead);
        if !lawful {
            return Err(self.illegal(next.state));
        }
        // Each value names the id before it, so that a client that repeats its EndTxn over a rotation is known.
        next.previous_producer_id = self.data.producer_id;
        self.pending = Some(next.state);
        Ok(next)
    }

    fn illegal(&self, to: TxnState) -> TransitionError {
        TransitionError::Illegal { from: self.data.state, to }
    }
}
