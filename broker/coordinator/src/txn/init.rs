//! InitProducerId of a transactional id: gives out id and epoch, fences the instance before, aborts what it
//! left open (TransactionCoordinator.handleInitProducerId).

use std::sync::Arc;

use millstream_protocol::error_code::ErrorCode;

use super::shard::{EndOrigin, InitProducerId, Then, TxnShard, init_error, transition_error};
use super::state::TxnState;
use super::transaction::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Transaction, TxnData, epoch_exhausted};
use crate::step::{Effects, Token};

impl TxnShard {
    pub(super) fn init_producer_id(
        &mut self,
        now_ms: i64,
        token: Token,
        request: &InitProducerId,
        effects: &mut Effects<TxnShard>,
    ) {
        if let Err(error) = self.try_init(now_ms, token, request, effects) {
            effects.reply(token, init_error(error));
        }
    }

    fn try_init(
        &mut self,
        now_ms: i64,
        token: Token,
        request: &InitProducerId,
        effects: &mut Effects<TxnShard>,
    ) -> Result<(), ErrorCode> {
        let timeout_ms = self.checked_timeout(request)?;
        let id = &request.transactional_id;
        if !self.transactions.contains_key(id) {
            let producer_id = self.ids.take().ok_or(ErrorCode::CoordinatorLoadInProgress)?;
            self.transactions.insert(id.clone(), Transaction::new(TxnData::new(producer_id, timeout_ms, now_ms)));
            self.scans.watch_idle(self.steady_ms, &self.config);
        }
        let txn = self.transactions.get_mut(id).expect("inserted above when it was missing");
        if txn.pending.is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if request.expected.is_some_and(|expected| !may_hold(txn, expected)) {
            return Err(ErrorCode::ProducerFenced);
        }
        match txn.data.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort => Err(ErrorCode::ConcurrentTransactions),
            TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort => {
                let next = self.next_identity(now_ms, id, timeout_ms, request.expected)?;
                self.append(now_ms, id, next, Then::Init(token), effects);
                Ok(())
            }
            // The epoch that fences is never given out: the client comes back and gets one above it, or a new
            // producer id when the fencing used up the last.
            TxnState::Ongoing => self.fence_and_abort(now_ms, id, Some(token), EndOrigin::NewInstance, effects),
            TxnState::Dead | TxnState::PrepareEpochFence => Err(ErrorCode::UnknownServerError),
        }
    }

    /// The checks that need no transaction, in Apache's order.
    fn checked_timeout(&self, request: &InitProducerId) -> Result<i32, ErrorCode> {
        // The key of the log holds at most 32767 bytes, as do all strings of the protocol.
        if request.transactional_id.is_empty() || request.transactional_id.len() > i16::MAX as usize {
            return Err(ErrorCode::InvalidRequest);
        }
        if request.timeout_ms <= 0 || request.timeout_ms > self.config.max_timeout_ms {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        Ok(request.timeout_ms)
    }

    fn next_identity(
        &mut self,
        now_ms: i64,
        id: &Arc<str>,
        timeout_ms: i32,
        expected: Option<(i64, i16)>,
    ) -> Result<TxnData, ErrorCode> {
        let txn = self.transactions.get_mut(id).expect("the caller found it");
        let expected_epoch = expected.map(|(_, epoch)| epoch);
        let current = txn.data.producer_epoch;
        let next = if txn.epoch_exhausted() && expected_epoch.is_none_or(|epoch| epoch == current) {
            let fresh = self.ids.take().ok_or(ErrorCode::CoordinatorLoadInProgress)?;
            let last_epoch = if expected.is_some() { current } else { NO_PRODUCER_EPOCH };
            txn.prepare_rotation(fresh, timeout_ms, last_epoch, now_ms)
        } else {
            txn.prepare_epoch_bump(timeout_ms, expected_epoch, now_ms)
        };
        next.map_err(transition_error)
    }

    /// Aborts an open transaction and bumps the epoch, so that whoever wrote it is fenced.
    pub(super) fn fence_and_abort(
        &mut self,
        now_ms: i64,
        id: &Arc<str>,
        token: Option<Token>,
        origin: EndOrigin,
        effects: &mut Effects<TxnShard>,
    ) -> Result<(), ErrorCode> {
        let server_version = self.config.server_version;
        let txn = self.transactions.get_mut(id).expect("the caller found it");
        let rotates = server_version.bumps_epoch() && txn.epoch_exhausted();
        let next_producer_id = match rotates {
            true => self.ids.take().ok_or(ErrorCode::CoordinatorLoadInProgress)?,
            false => NO_PRODUCER_ID,
        };
        let next = txn.prepare_fencing_abort(server_version, next_producer_id, now_ms).map_err(transition_error)?;
        self.append(now_ms, id, next, Then::End(token, origin), effects);
        Ok(())
    }
}

/// Whether a client that says it holds this id and epoch may be the present one (KIP-360): the id was just
/// created, it is the present id (the epoch is checked later), or it is the id before and its epochs were
/// used up, so that the answer that named the new id may have been lost.
fn may_hold(txn: &Transaction, (producer_id, producer_epoch): (i64, i16)) -> bool {
    txn.data.producer_epoch == NO_PRODUCER_EPOCH
        || producer_id == txn.data.producer_id
        || (producer_id == txn.data.previous_producer_id && epoch_exhausted(producer_epoch))
}
