//! One partition of `__transaction_state` in memory: events in, effects out, no I/O and no clock. The
//! runtime (server `coord/shard.rs`) replays the partition into it, feeds it requests, outcomes of appends and
//! answers to markers, and carries out the effects.
//!
//! The orders that make a transaction atomic, all kept here: a decision is in the log before its first
//! marker is written; the completion is appended after the last marker; while a transition is on its way to
//! the log no other begins for that id. So the log alone says what is left to do after a crash.
//!
//! Never here: authorization, versions of requests (the handlers map error codes for old ones).
//!
//! Not done: two-phase commit (KIP-939); no released version of InitProducerId asks for it. Transactions without
//! a timeout that a log holds are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_protocol::error_code::ErrorCode;

use super::markers::{MarkerAnswer, Markers, Sending};
use super::producer_ids::ProducerIds;
use super::state::{TransactionVersion, TxnState};
use super::timeout::Scans;
use super::transaction::{TopicPartition, Transaction, TransitionError, TxnData};
use crate::batch::BatchBuilder;
use crate::record_txn::{TxnRecord, decode, write_key, write_value};
use crate::step::{AppendError, AppendToken, Effects, Event, Machine, Now, Replayed, Token, TransactionResult};

/// What the coordinator takes from the broker's configuration and the cluster's features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnConfig {
    /// `transaction.max.timeout.ms`.
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`.
    pub id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub abort_scan_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expire_scan_ms: i64,
    /// Finalized level of `transaction.version`.
    pub server_version: TransactionVersion,
    /// `max.message.bytes` of the log: tombstones of one append stay below it.
    pub batch_bytes_max: usize,
}

impl Default for TxnConfig {
    fn default() -> Self {
        TxnConfig {
            max_timeout_ms: 900_000,
            id_expiration_ms: 604_800_000,
            abort_scan_ms: 10_000,
            expire_scan_ms: 3_600_000,
            server_version: TransactionVersion::Tv2,
            batch_bytes_max: 1_048_588,
        }
    }
}

/// InitProducerId of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducerId {
    /// The transactional id.
    pub transactional_id: Arc<str>,
    /// The timeout the client wants.
    pub timeout_ms: i32,
    /// Producer id and epoch that the client holds already (KIP-360).
    pub expected: Option<(i64, i16)>,
}

/// AddPartitionsToTxn and AddOffsetsToTxn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitions {
    /// The transactional id.
    pub transactional_id: Arc<str>,
    /// The producer id of the client.
    pub producer_id: i64,
    /// The epoch of the client.
    pub producer_epoch: i16,
    /// The partitions that join.
    pub partitions: BTreeSet<TopicPartition>,
    /// The generation that the request's version implies.
    pub client_version: TransactionVersion,
}

/// EndTxn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTxn {
    /// The transactional id.
    pub transactional_id: Arc<str>,
    /// The producer id of the client.
    pub producer_id: i64,
    /// The epoch of the client.
    pub producer_epoch: i16,
    /// Commit or abort.
    pub result: TransactionResult,
    /// The generation that the request's version implies.
    pub client_version: TransactionVersion,
}

/// What is asked of a shard.
#[derive(Clone, Debug)]
pub enum TxnRequest {
    /// See there.
    InitProducerId(InitProducerId),
    /// See there.
    AddPartitions(AddPartitions),
    /// See there.
    EndTxn(EndTxn),
    /// The outcome of the command to write these markers: one answer for each of their partitions.
    MarkersAnswered {
        /// The markers as they were sent, so that a late answer is told from a present one.
        markers: Markers,
        /// How it went.
        answers: Vec<(TopicPartition, MarkerAnswer)>,
    },
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxnReply {
    /// To InitProducerId; id and epoch are -1 with an error.
    InitProducerId {
        /// The error, if any.
        error: ErrorCode,
        /// The id to use.
        producer_id: i64,
        /// The epoch to use.
        producer_epoch: i16,
    },
    /// To AddPartitions.
    AddPartitions(ErrorCode),
    /// To EndTxn; id and epoch are -1 with an error and for clients before version 2.
    EndTxn {
        /// The error, if any.
        error: ErrorCode,
        /// The id to go on with.
        producer_id: i64,
        /// The epoch to go on with.
        producer_epoch: i16,
    },
    /// To MarkersAnswered.
    Noted,
}

/// What an append brings about once it is durable.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// Answer InitProducerId with the new id and epoch.
    Init(Token),
    /// Answer AddPartitions.
    Add(Token),
    /// The decision is durable: answer and write the markers.
    End(Option<Token>, EndOrigin),
    /// The transaction is over.
    Complete,
}

/// Who ended a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndOrigin {
    /// The client, with this generation of the protocol.
    Client(TransactionVersion),
    /// A new instance of the producer: it is told to come back once the abort is through.
    NewInstance,
    /// The timeout.
    Timeout,
}

#[derive(Clone, Debug)]
pub(super) enum Pending {
    Transition { id: Arc<str>, next: Box<TxnData>, then: Then },
    Expiry(Vec<Arc<str>>),
}

/// The state machine of one partition of `__transaction_state`.
#[derive(Debug)]
pub struct TxnShard {
    pub(super) config: Arc<TxnConfig>,
    pub(super) coordinator_epoch: i32,
    pub(super) ids: ProducerIds,
    pub(super) transactions: BTreeMap<Arc<str>, Transaction>,
    pub(super) sending: BTreeMap<Arc<str>, Sending>,
    pub(super) scans: Scans,
    /// The steady time of the present step, for scans and retries.
    pub(super) steady_ms: i64,
    appends: BTreeMap<AppendToken, Pending>,
    next_append: u64,
    unreadable: usize,
}

impl TxnShard {
    /// A shard before its log is replayed.
    pub fn new(config: Arc<TxnConfig>, ids: ProducerIds) -> Self {
        TxnShard {
            config,
            coordinator_epoch: -1,
            ids,
            transactions: BTreeMap::new(),
            sending: BTreeMap::new(),
            scans: Scans::default(),
            steady_ms: 0,
            appends: BTreeMap::new(),
            next_append: 0,
            unreadable: 0,
        }
    }

    /// The configuration changed.
    pub fn reconfigure(&mut self, config: Arc<TxnConfig>) {
        self.config = config;
    }

    /// Records of the log that no version of Kafka wrote, skipped on replay.
    pub fn unreadable_records(&self) -> usize {
        self.unreadable
    }

    /// Sends a prepared transition to the log.
    pub(super) fn append(
        &mut self,
        now_ms: i64,
        id: &Arc<str>,
        next: TxnData,
        then: Then,
        effects: &mut Effects<Self>,
    ) {
        let mut batch = BatchBuilder::new(now_ms).without_sequence();
        let version = self.config.server_version;
        batch.push(|key| write_key(key, id), |value| write_value(value, &next, version));
        self.append_batch(batch, Pending::Transition { id: id.clone(), next: Box::new(next), then }, effects);
    }

    pub(super) fn append_batch(&mut self, batch: BatchBuilder, pending: Pending, effects: &mut Effects<Self>) {
        let append = AppendToken(self.next_append);
        self.next_append += 1;
        self.appends.insert(append, pending);
        effects.append(append, batch.finish());
    }

    fn asked(&mut self, now_ms: i64, token: Token, request: TxnRequest, effects: &mut Effects<Self>) {
        match request {
            TxnRequest::InitProducerId(request) => self.init_producer_id(now_ms, token, &request, effects),
            TxnRequest::AddPartitions(request) => self.add_partitions(now_ms, token, &request, effects),
            TxnRequest::EndTxn(request) => self.end(now_ms, token, &request, effects),
            TxnRequest::MarkersAnswered { markers, answers } => {
                self.markers_answered(now_ms, &markers, answers, effects);
                effects.reply(token, TxnReply::Noted);
            }
        }
    }

    fn appended(&mut self, now_ms: i64, append: AppendToken, effects: &mut Effects<Self>) {
        match self.appends.remove(&append) {
            None => {}
            Some(Pending::Expiry(ids)) => {
                for id in ids {
                    self.transactions.remove(&id);
                }
            }
            Some(Pending::Transition { id, next, then }) => {
                let Some(txn) = self.transactions.get_mut(&id) else { return };
                let (producer_id, producer_epoch, state) = (next.producer_id, next.producer_epoch, next.state);
                txn.complete(*next);
                match then {
                    Then::Init(token) => {
                        let reply = TxnReply::InitProducerId { error: ErrorCode::None, producer_id, producer_epoch };
                        effects.reply(token, reply);
                    }
                    Then::Add(token) => {
                        self.scans.watch_open(self.steady_ms, &self.config);
                        effects.reply(token, TxnReply::AddPartitions(ErrorCode::None));
                    }
                    Then::End(token, origin) => self.decided(now_ms, &id, state, token, origin, effects),
                    Then::Complete => {
                        self.sending.remove(&id);
                    }
                }
            }
        }
    }

    fn append_failed(&mut self, append: AppendToken, error: AppendError, effects: &mut Effects<Self>) {
        match self.appends.remove(&append) {
            None => {}
            Some(Pending::Expiry(ids)) => {
                for id in ids {
                    if let Some(txn) = self.transactions.get_mut(&id) {
                        txn.revoke();
                    }
                }
            }
            // The decision is durable and the markers are out: only the completion is missing, so it is tried
            // until the log takes it. The pending state stays, nothing else may begin meanwhile.
            Some(Pending::Transition { id, next, then: Then::Complete }) => {
                self.retry_completion(&id, *next);
            }
            Some(Pending::Transition { id, then, .. }) => {
                if let Some(txn) = self.transactions.get_mut(&id) {
                    txn.revoke();
                }
                self.refuse(&id, then, coordinator_error(error), effects);
            }
        }
    }

    fn refuse(&mut self, id: &Arc<str>, then: Then, error: ErrorCode, effects: &mut Effects<Self>) {
        match then {
            Then::Init(token) => effects.reply(token, init_error(error)),
            Then::Add(token) => effects.reply(token, TxnReply::AddPartitions(error)),
            Then::End(token, origin) => self.not_decided(id, token, origin, error, effects),
            Then::Complete => {}
        }
    }

    fn unload(&mut self, effects: &mut Effects<Self>) {
        for pending in std::mem::take(&mut self.appends).into_values() {
            if let Pending::Transition { id, then, .. } = pending {
                self.refuse(&id, then, ErrorCode::NotCoordinator, effects);
            }
        }
    }
}

impl Machine for TxnShard {
    type Request = TxnRequest;
    type Response = TxnReply;
    /// Markers to write; the outcome comes back as [`TxnRequest::MarkersAnswered`].
    type Command = Markers;

    fn replay(&mut self, record: Replayed<'_>) {
        match decode(record.key.unwrap_or_default(), record.value) {
            Ok(TxnRecord::Value { transactional_id, data }) => {
                self.transactions.insert(transactional_id, Transaction::new(data));
            }
            Ok(TxnRecord::Tombstone { transactional_id }) => {
                self.transactions.remove(&transactional_id);
            }
            Ok(TxnRecord::UnknownVersion { .. }) | Err(_) => self.unreadable += 1,
        }
    }

    fn replay_marker(&mut self, _producer_id: i64, _producer_epoch: i16, _result: TransactionResult) {
        // Nothing in this log is written in a transaction.
    }

    fn loaded(&mut self, now: Now, leader_epoch: i32, effects: &mut Effects<Self>) {
        let now_ms = now.wall_ms;
        self.steady_ms = now.steady_ms;
        self.coordinator_epoch = leader_epoch;
        if self.transactions.values().any(|txn| txn.data.state == TxnState::Ongoing) {
            self.scans.watch_open(self.steady_ms, &self.config);
        }
        if !self.transactions.is_empty() {
            self.scans.watch_idle(self.steady_ms, &self.config);
        }
        let decided: Vec<_> = self
            .transactions
            .iter()
            .filter_map(|(id, txn)| txn.data.state.decision().map(|result| (id.clone(), result)))
            .collect();
        for (id, result) in decided {
            self.send_markers(now_ms, &id, result, effects);
        }
    }

    fn step(&mut self, now: Now, event: Event<TxnRequest>, effects: &mut Effects<Self>) {
        let now_ms = now.wall_ms;
        self.steady_ms = now.steady_ms;
        match event {
            Event::Ask { token, request } => self.asked(now_ms, token, request, effects),
            Event::Appended { token, .. } => self.appended(now_ms, token, effects),
            Event::AppendFailed { token, error } => self.append_failed(token, error, effects),
            Event::Tick => self.tick(now_ms, effects),
            Event::Unload => self.unload(effects),
        }
    }

    fn next_wakeup(&self) -> Option<i64> {
        [self.next_marker_retry(), self.scans.next()].into_iter().flatten().min()
    }
}

/// InitProducerId refused.
pub(super) fn init_error(error: ErrorCode) -> TxnReply {
    TxnReply::InitProducerId { error, producer_id: -1, producer_epoch: -1 }
}

/// EndTxn refused.
pub(super) fn end_error(error: ErrorCode) -> TxnReply {
    TxnReply::EndTxn { error, producer_id: -1, producer_epoch: -1 }
}

/// The code for a transition that is not allowed.
pub(super) fn transition_error(error: TransitionError) -> ErrorCode {
    match error {
        TransitionError::Fenced => ErrorCode::ProducerFenced,
        TransitionError::Illegal { .. } => ErrorCode::UnknownServerError,
    }
}

/// What a client is told when the log does not take a record (TransactionStateManager.appendTransactionToLog).
fn coordinator_error(error: AppendError) -> ErrorCode {
    match error {
        AppendError::UnknownPartition | AppendError::NotEnoughReplicas | AppendError::TimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        AppendError::NotLeader | AppendError::Storage => ErrorCode::NotCoordinator,
        AppendError::CoordinatorFenced => ErrorCode::TransactionCoordinatorFenced,
        AppendError::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        AppendError::InvalidTxnState | AppendError::TooLarge | AppendError::Other => ErrorCode::UnknownServerError,
    }
}

/// States in which EndTxn and AddPartitions wait for the markers.
pub(super) fn is_decided(state: TxnState) -> bool {
    matches!(state, TxnState::PrepareCommit | TxnState::PrepareAbort)
}
