//! EndTxn: the decision to commit or abort (TransactionCoordinator.endTransaction and endTransactionWithTV1).
//!
//! What version 2 answers when nothing is open. Retry: the request carries the epoch before the present one;
//! current: the present one. Bump: accepted, a new epoch is given out. Version 1 takes no retries (fenced),
//! and only repeats of the same result in the complete states.
//!
//! | state          | abort, retry | abort, current | commit, retry | commit, current |
//! |----------------|--------------|----------------|---------------|-----------------|
//! | Empty          | fenced       | bump           | fenced        | invalid state   |
//! | CompleteAbort  | repeats      | bump           | invalid state | invalid state   |
//! | CompleteCommit | invalid state| bump           | repeats       | invalid state   |

use std::sync::Arc;

use millstream_protocol::error_code::ErrorCode;

use super::shard::{EndOrigin, EndTxn, Then, TxnReply, TxnShard, end_error, init_error, transition_error};
use super::state::{TransactionVersion, TxnState};
use super::transaction::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Transaction};
use crate::step::{Effects, Token, TransactionResult};

/// What an EndTxn comes to.
enum Decision {
    /// The transaction ends now.
    End,
    /// It ended so already: the client repeats itself.
    Repeated,
}

impl TxnShard {
    pub(super) fn end(&mut self, now_ms: i64, token: Token, request: &EndTxn, effects: &mut Effects<TxnShard>) {
        if let Err(error) = self.try_end(now_ms, token, request, effects) {
            effects.reply(token, end_error(error));
        }
    }

    fn try_end(
        &mut self,
        now_ms: i64,
        token: Token,
        request: &EndTxn,
        effects: &mut Effects<TxnShard>,
    ) -> Result<(), ErrorCode> {
        let id = &request.transactional_id;
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let version = request.client_version;
        let txn = self.transactions.get_mut(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let decision = match version.bumps_epoch() {
            true => decide_v2(txn, request)?,
            false => decide_v1(txn, request)?,
        };
        match decision {
            Decision::Repeated => {
                let (producer_id, producer_epoch) = match version.bumps_epoch() {
                    true => (txn.data.producer_id, txn.data.producer_epoch),
                    false => (NO_PRODUCER_ID, NO_PRODUCER_EPOCH),
                };
                let reply = TxnReply::EndTxn { error: ErrorCode::None, producer_id, producer_epoch };
                effects.reply(token, reply);
            }
            Decision::End => {
                let next_producer_id = match version.bumps_epoch() && txn.epoch_exhausted() {
                    true => self.ids.take().ok_or(ErrorCode::CoordinatorLoadInProgress)?,
                    false => NO_PRODUCER_ID,
                };
                // Version 1 does not tell 0 from 1: the log's values say 0 for both, as Apache's do.
                let logged = if version.bumps_epoch() { version } else { TransactionVersion::Tv0 };
                let next =
                    txn.prepare_end(request.result, logged, next_producer_id, now_ms).map_err(transition_error)?;
                self.append(now_ms, id, next, Then::End(Some(token), EndOrigin::Client(version)), effects);
            }
        }
        Ok(())
    }

    /// The decision is in the log: whoever waits is answered, and the markers go out.
    pub(super) fn decided(
        &mut self,
        now_ms: i64,
        id: &Arc<str>,
        state: TxnState,
        token: Option<Token>,
        origin: EndOrigin,
        effects: &mut Effects<TxnShard>,
    ) {
        let result = state.decision().expect("the end of a transaction is a prepare state");
        let (next_id, next_epoch) = self.transactions.get(id).map_or((NO_PRODUCER_ID, NO_PRODUCER_EPOCH), |txn| {
            match txn.data.next_producer_id {
                NO_PRODUCER_ID => (txn.data.producer_id, txn.data.producer_epoch),
                rotated => (rotated, 0),
            }
        });
        if let Some(token) = token {
            effects.reply(
                token,
                match origin {
                    EndOrigin::Client(version) if version.bumps_epoch() => {
                        TxnReply::EndTxn { error: ErrorCode::None, producer_id: next_id, producer_epoch: next_epoch }
                    }
                    EndOrigin::Client(_) => end_error(ErrorCode::None),
                    EndOrigin::NewInstance | EndOrigin::Timeout => init_error(ErrorCode::ConcurrentTransactions),
                },
            );
        }
        self.send_markers(now_ms, id, result, effects);
    }

    /// The log did not take the decision: nothing is decided.
    pub(super) fn not_decided(
        &mut self,
        id: &Arc<str>,
        token: Option<Token>,
        origin: EndOrigin,
        error: ErrorCode,
        effects: &mut Effects<TxnShard>,
    ) {
        let fencing = !matches!(origin, EndOrigin::Client(_));
        if fencing
            && !self.config.server_version.bumps_epoch()
            && let Some(txn) = self.transactions.get_mut(id)
        {
            // The bumped epoch stays in memory though no client knows it: the next fencing uses it as it is.
            txn.failed_epoch_fence = true;
        }
        if let Some(token) = token {
            let reply = if fencing { init_error(error) } else { end_error(error) };
            effects.reply(token, reply);
        }
    }
}

fn decide_v1(txn: &Transaction, request: &EndTxn) -> Result<Decision, ErrorCode> {
    if txn.data.producer_id != request.producer_id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if txn.data.producer_epoch != request.producer_epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    if txn.pending.is_some() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    match (txn.data.state, request.result) {
        (TxnState::Ongoing, _) => Ok(Decision::End),
        (TxnState::CompleteCommit, TransactionResult::Commit) | (TxnState::CompleteAbort, TransactionResult::Abort) => {
            Ok(Decision::Repeated)
        }
        (TxnState::PrepareCommit, TransactionResult::Commit) | (TxnState::PrepareAbort, TransactionResult::Abort) => {
            Err(ErrorCode::ConcurrentTransactions)
        }
        (TxnState::Dead | TxnState::PrepareEpochFence, _) => Err(ErrorCode::UnknownServerError),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

fn decide_v2(txn: &Transaction, request: &EndTxn) -> Result<Decision, ErrorCode> {
    // First of all: over a rotation the client may hold a producer id that is still on its way to the log.
    if txn.pending.is_some() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    let data = &txn.data;
    let repeats_over_rotation = data.previous_producer_id == request.producer_id
        && request.producer_epoch == i16::MAX - 1
        && data.producer_epoch == 0;
    let repeats_over_bump = i32::from(data.producer_epoch) == i32::from(request.producer_epoch) + 1;
    let repeats = repeats_over_bump || repeats_over_rotation;
    let current = data.producer_epoch == request.producer_epoch;
    if data.producer_id != request.producer_id && !repeats_over_rotation {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let known_epoch = match data.state {
        TxnState::PrepareCommit | TxnState::PrepareAbort => repeats_over_bump,
        TxnState::CompleteCommit | TxnState::CompleteAbort => repeats || current,
        TxnState::Empty | TxnState::Ongoing | TxnState::Dead | TxnState::PrepareEpochFence => current,
    };
    if !known_epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match (data.state, request.result) {
        (TxnState::Ongoing, _) | (TxnState::Empty, TransactionResult::Abort) => Ok(Decision::End),
        (TxnState::CompleteCommit, TransactionResult::Commit) | (TxnState::CompleteAbort, TransactionResult::Abort)
            if repeats =>
        {
            Ok(Decision::Repeated)
        }
        (TxnState::CompleteCommit | TxnState::CompleteAbort, TransactionResult::Abort) if !repeats => Ok(Decision::End),
        (TxnState::PrepareCommit, TransactionResult::Commit) | (TxnState::PrepareAbort, TransactionResult::Abort) => {
            Err(ErrorCode::ConcurrentTransactions)
        }
        (TxnState::Dead | TxnState::PrepareEpochFence, _) => Err(ErrorCode::UnknownServerError),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}
