//! What time brings: transactions open for too long are aborted, transactional ids unused for too long are
//! forgotten, failed markers are tried again. Scans run at Apache's intervals, and only while there is
//! something that they could find, so that an idle broker is never woken.

use std::sync::Arc;

use super::shard::{EndOrigin, Pending, TxnConfig, TxnShard};
use super::state::TxnState;
use crate::batch::{BatchBuilder, Value};
use crate::record_txn::write_key;
use crate::step::Effects;

/// What a tombstone takes in a batch beside the id: the key's version, lengths, attributes and deltas.
const TOMBSTONE_OVERHEAD: usize = 32;
/// The header of a batch.
const BATCH_OVERHEAD: usize = 61;

/// When the scans are due, if at all, in steady time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scans {
    abort_at: Option<i64>,
    expire_at: Option<i64>,
}

impl Scans {
    /// A transaction is open: it may time out.
    pub(super) fn watch_open(&mut self, steady_ms: i64, config: &TxnConfig) {
        self.abort_at.get_or_insert(steady_ms.saturating_add(config.abort_scan_ms.max(1)));
    }

    /// A transactional id exists: it may expire.
    pub(super) fn watch_idle(&mut self, steady_ms: i64, config: &TxnConfig) {
        self.expire_at.get_or_insert(steady_ms.saturating_add(config.expire_scan_ms.max(1)));
    }

    pub(super) fn next(&self) -> Option<i64> {
        [self.abort_at, self.expire_at].into_iter().flatten().min()
    }
}

impl TxnShard {
    pub(super) fn tick(&mut self, now_ms: i64, effects: &mut Effects<TxnShard>) {
        let steady_ms = self.steady_ms;
        self.retry_markers(now_ms, effects);
        if self.scans.abort_at.is_some_and(|at| at <= steady_ms) {
            self.scans.abort_at = None;
            if self.transactions.values().any(|txn| txn.data.state == TxnState::Ongoing) {
                self.scans.watch_open(steady_ms, &self.config);
            }
            self.abort_timed_out(now_ms, effects);
        }
        if self.scans.expire_at.is_some_and(|at| at <= steady_ms) {
            self.scans.expire_at = None;
            if !self.transactions.is_empty() {
                self.scans.watch_idle(steady_ms, &self.config);
            }
            self.expire(now_ms, effects);
        }
    }

    fn abort_timed_out(&mut self, now_ms: i64, effects: &mut Effects<TxnShard>) {
        let timed_out: Vec<Arc<str>> = self
            .transactions
            .iter()
            .filter(|(_, txn)| {
                txn.pending.is_none()
                    && txn.data.state == TxnState::Ongoing
                    && !txn.is_two_phase()
                    && txn.data.start_ms.saturating_add(i64::from(txn.data.timeout_ms)) < now_ms
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in timed_out {
            // An error (no producer id at hand) leaves the transaction to the next scan.
            let _ = self.fence_and_abort(now_ms, &id, None, EndOrigin::Timeout, effects);
        }
    }

    fn expire(&mut self, now_ms: i64, effects: &mut Effects<TxnShard>) {
        let deadline = now_ms.saturating_sub(self.config.id_expiration_ms);
        let batch_bytes_max = self.config.batch_bytes_max;
        let empty = || BatchBuilder::new(now_ms).without_sequence();
        let mut batch = empty();
        let mut batch_bytes = BATCH_OVERHEAD;
        let mut ids = Vec::new();
        let expired: Vec<Arc<str>> = self
            .transactions
            .iter()
            .filter(|(_, txn)| {
                txn.pending.is_none() && txn.data.state.may_expire() && txn.data.last_update_ms <= deadline
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            let prepared = self.transactions.get_mut(&id).is_some_and(|txn| txn.prepare_dead().is_ok());
            if !prepared {
                continue;
            }
            let bytes = id.len() + TOMBSTONE_OVERHEAD;
            if !ids.is_empty() && batch_bytes + bytes > batch_bytes_max {
                let full = std::mem::replace(&mut batch, empty());
                self.append_batch(full, Pending::Expiry(std::mem::take(&mut ids)), effects);
                batch_bytes = BATCH_OVERHEAD;
            }
            batch_bytes += bytes;
            batch.push(|key| write_key(key, &id), |_| Value::Tombstone);
            ids.push(id);
        }
        if !ids.is_empty() {
            self.append_batch(batch, Pending::Expiry(ids), effects);
        }
    }
}
