//! What DescribeTransactions and ListTransactions show of a shard. Reads only.

use std::sync::Arc;

use millstream_protocol::error_code::ErrorCode;

use super::shard::TxnShard;
use super::state::TxnState;
use super::transaction::TopicPartition;

/// A transactional id as DescribeTransactions shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnDescription {
    /// The producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The state.
    pub state: TxnState,
    /// The timeout.
    pub timeout_ms: i32,
    /// When it started, -1 when none did.
    pub start_ms: i64,
    /// The partitions in it, sorted.
    pub partitions: Vec<TopicPartition>,
}

/// A line of ListTransactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnListing {
    /// The transactional id.
    pub transactional_id: Arc<str>,
    /// The producer id.
    pub producer_id: i64,
    /// The state.
    pub state: TxnState,
}

/// What ListTransactions is to leave out. Empty lists and negative durations filter nothing.
#[derive(Clone, Debug, Default)]
pub struct TxnFilter {
    /// Only these producer ids.
    pub producer_ids: Vec<i64>,
    /// Only these states. Names that are no states are the caller's to report.
    pub states: Option<Vec<TxnState>>,
    /// Only what runs for longer than this.
    pub duration_ms: i64,
}

impl TxnShard {
    /// A transactional id for DescribeTransactions.
    ///
    /// # Errors
    /// The code of its answer.
    pub fn describe(&self, transactional_id: &str) -> Result<TxnDescription, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let txn = self.transactions.get(transactional_id).ok_or(ErrorCode::TransactionalIdNotFound)?;
        if txn.data.state == TxnState::Dead {
            return Err(ErrorCode::TransactionalIdNotFound);
        }
        Ok(TxnDescription {
            producer_id: txn.data.producer_id,
            producer_epoch: txn.data.producer_epoch,
            state: txn.data.state,
            timeout_ms: txn.data.timeout_ms,
            start_ms: txn.data.start_ms,
            partitions: txn.data.partitions.iter().cloned().collect(),
        })
    }

    /// The transactional ids that pass the filter.
    pub fn list(&self, now_ms: i64, filter: &TxnFilter) -> Vec<TxnListing> {
        let passes = |producer_id: i64, state: TxnState, start_ms: i64| {
            state != TxnState::Dead
                && (filter.producer_ids.is_empty() || filter.producer_ids.contains(&producer_id))
                && filter.states.as_ref().is_none_or(|states| states.contains(&state))
                && (filter.duration_ms < 0 || now_ms.saturating_sub(start_ms) > filter.duration_ms)
        };
        self.transactions
            .iter()
            .filter(|(_, txn)| passes(txn.data.producer_id, txn.data.state, txn.data.start_ms))
            .map(|(id, txn)| TxnListing {
                transactional_id: id.clone(),
                producer_id: txn.data.producer_id,
                state: txn.data.state,
            })
            .collect()
    }
}
