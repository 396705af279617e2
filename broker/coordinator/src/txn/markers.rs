//! From a durable decision to the end of the transaction: which markers are still to be written, which are
//! tried again, and the completion once none is left (TransactionMarkerChannelManager and its completion
//! handler).

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_protocol::error_code::ErrorCode;

use super::shard::{Then, TxnShard};
use super::state::TransactionVersion;
use super::transaction::{TopicPartition, TxnData};
use crate::step::{Effects, TransactionResult};

/// How long a marker or a completion that failed waits before it is tried again: twice as long each time, so that
/// a partition in an offline directory costs one attempt a second.
const RETRY_MS: i64 = 50;
/// The longest wait.
const RETRY_MAX_MS: i64 = 1000;

/// Markers of one transaction, as WriteTxnMarkers carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    /// Whose transaction; not part of the request.
    pub transactional_id: Arc<str>,
    /// The producer id.
    pub producer_id: i64,
    /// The epoch of the decision.
    pub producer_epoch: i16,
    /// The epoch of the coordinator: partitions refuse markers of an older one.
    pub coordinator_epoch: i32,
    /// Commit or abort.
    pub result: TransactionResult,
    /// The generation under which the decision was made: partitions check the epoch by it.
    pub transaction_version: TransactionVersion,
    /// Where to write.
    pub partitions: Vec<TopicPartition>,
}

/// How writing a marker to one partition went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerAnswer {
    /// In the log, for good.
    Written,
    /// The cluster knows no such partition (any more): there is nothing to end.
    NoPartition,
    /// Refused or failed.
    Failed(ErrorCode),
}

/// A decided transaction whose end is not yet in the log.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    result: TransactionResult,
    /// The transition to append after the last marker.
    complete: TxnData,
    /// What is tried again at `retry_at`: markers, or the completion when there are none.
    retry: BTreeSet<TopicPartition>,
    retry_at: Option<i64>,
    /// How long the next failure waits.
    retry_ms: i64,
    completing: bool,
}

impl Sending {
    /// Something failed: it is tried again later. What fails while that is due already waits with it.
    fn retry_later(&mut self, steady_ms: i64) {
        if self.retry_at.is_none() {
            self.retry_at = Some(steady_ms.saturating_add(self.retry_ms));
            self.retry_ms = (self.retry_ms * 2).min(RETRY_MAX_MS);
        }
    }
}

impl TxnShard {
    /// The decision is durable: writes its markers, or completes at once when no partition takes part.
    pub(super) fn send_markers(
        &mut self,
        now_ms: i64,
        id: &Arc<str>,
        result: TransactionResult,
        effects: &mut Effects<TxnShard>,
    ) {
        let Some(txn) = self.transactions.get_mut(id) else { return };
        // Only a log that was written by nobody's coordinator (a negative producer id) gets an error here; such
        // an id stays as it is and blocks nothing else.
        let Ok(complete) = txn.prepare_complete(result, now_ms) else { return };
        let partitions: BTreeSet<_> = txn.data.partitions.clone();
        let sending =
            Sending { result, complete, retry: BTreeSet::new(), retry_at: None, retry_ms: RETRY_MS, completing: false };
        self.sending.insert(id.clone(), sending);
        if partitions.is_empty() {
            self.complete(now_ms, id, effects);
        } else {
            self.write_markers(id, &partitions, effects);
        }
    }

    /// Takes in how markers went. Answers to markers of an earlier decision are dropped.
    pub(super) fn markers_answered(
        &mut self,
        now_ms: i64,
        markers: &Markers,
        answers: Vec<(TopicPartition, MarkerAnswer)>,
        effects: &mut Effects<TxnShard>,
    ) {
        let id = &markers.transactional_id;
        let (Some(txn), Some(sending)) = (self.transactions.get_mut(id), self.sending.get_mut(id)) else { return };
        let present = txn.data.producer_id == markers.producer_id
            && txn.data.producer_epoch == markers.producer_epoch
            && self.coordinator_epoch == markers.coordinator_epoch
            && sending.result == markers.result
            && !sending.completing;
        if !present {
            return;
        }
        for (partition, answer) in answers {
            match verdict(answer) {
                Verdict::Done => {
                    txn.data.partitions.remove(&partition);
                }
                Verdict::Again => {
                    sending.retry.insert(partition);
                    sending.retry_later(self.steady_ms);
                }
                // A later epoch of the producer or of the coordinator owns the partition: this decision is not
                // ours to carry out any more.
                Verdict::Superseded => {
                    self.sending.remove(id);
                    return;
                }
            }
        }
        if txn.data.partitions.is_empty() {
            let id = id.clone();
            self.complete(now_ms, &id, effects);
        }
    }

    /// The log did not take the completion.
    pub(super) fn retry_completion(&mut self, id: &Arc<str>, complete: TxnData) {
        if let Some(sending) = self.sending.get_mut(id) {
            sending.complete = complete;
            sending.completing = false;
            sending.retry_later(self.steady_ms);
        }
    }

    /// Tries again what is due.
    pub(super) fn retry_markers(&mut self, now_ms: i64, effects: &mut Effects<TxnShard>) {
        let due: Vec<_> = self
            .sending
            .iter_mut()
            .filter(|(_, sending)| sending.retry_at.is_some_and(|at| at <= self.steady_ms))
            .map(|(id, sending)| {
                sending.retry_at = None;
                (id.clone(), std::mem::take(&mut sending.retry))
            })
            .collect();
        for (id, partitions) in due {
            if partitions.is_empty() {
                self.complete(now_ms, &id, effects);
            } else {
                self.write_markers(&id, &partitions, effects);
            }
        }
    }

    /// When the next retry is due.
    pub(super) fn next_marker_retry(&self) -> Option<i64> {
        self.sending.values().filter_map(|sending| sending.retry_at).min()
    }

    fn write_markers(&mut self, id: &Arc<str>, partitions: &BTreeSet<TopicPartition>, effects: &mut Effects<TxnShard>) {
        let (Some(txn), Some(sending)) = (self.transactions.get(id), self.sending.get(id)) else { return };
        effects.commands.push(Markers {
            transactional_id: id.clone(),
            producer_id: txn.data.producer_id,
            producer_epoch: txn.data.producer_epoch,
            coordinator_epoch: self.coordinator_epoch,
            result: sending.result,
            transaction_version: txn.data.client_version,
            partitions: partitions.iter().cloned().collect(),
        });
    }

    fn complete(&mut self, now_ms: i64, id: &Arc<str>, effects: &mut Effects<TxnShard>) {
        let Some(sending) = self.sending.get_mut(id) else { return };
        sending.completing = true;
        let complete = sending.complete.clone();
        self.append(now_ms, id, complete, Then::Complete, effects);
    }
}

enum Verdict {
    Done,
    Again,
    Superseded,
}

/// What an answer means for the transaction. Apache treats unknown errors as fatal and leaves the transaction
/// where it is; here they are tried again, because a decision must reach every partition.
fn verdict(answer: MarkerAnswer) -> Verdict {
    match answer {
        MarkerAnswer::Written | MarkerAnswer::NoPartition => Verdict::Done,
        MarkerAnswer::Failed(ErrorCode::None) => Verdict::Done,
        // Nothing can have been written to such a partition by a transaction.
        MarkerAnswer::Failed(ErrorCode::UnsupportedForMessageFormat | ErrorCode::UnsupportedVersion) => Verdict::Done,
        MarkerAnswer::Failed(ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced) => {
            Verdict::Superseded
        }
        MarkerAnswer::Failed(_) => Verdict::Again,
    }
}
