//! Partitions join a transaction (AddPartitionsToTxn, AddOffsetsToTxn, the implicit add of KIP-890), or are
//! checked to be in it (verify only). TransactionCoordinator.handleAddPartitionsToTransaction and
//! handleVerifyPartitionsInTransaction.

use millstream_protocol::error_code::ErrorCode;

use super::shard::{AddPartitions, Then, TxnReply, TxnShard, is_decided, transition_error};
use super::state::TxnState;
use super::transaction::TopicPartition;
use crate::step::{Effects, Token};

impl TxnShard {
    pub(super) fn add_partitions(
        &mut self,
        now_ms: i64,
        token: Token,
        request: &AddPartitions,
        effects: &mut Effects<TxnShard>,
    ) {
        match self.try_add(now_ms, token, request, effects) {
            Ok(Added::OnItsWay) => {}
            Ok(Added::Already) => {
                effects.reply(token, TxnReply::AddPartitions(ErrorCode::None));
            }
            Err(error) => effects.reply(token, TxnReply::AddPartitions(error)),
        }
    }

    fn try_add(
        &mut self,
        now_ms: i64,
        token: Token,
        request: &AddPartitions,
        effects: &mut Effects<TxnShard>,
    ) -> Result<Added, ErrorCode> {
        let id = &request.transactional_id;
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let txn = self.transactions.get_mut(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        // First of all: the client may hold a producer id that is still on its way to the log (rotation by
        // EndTxn), and must wait instead of being fenced.
        if txn.pending.is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if txn.data.producer_id != request.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if txn.data.producer_epoch != request.producer_epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        if is_decided(txn.data.state) {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if txn.data.state == TxnState::Ongoing && txn.data.partitions.is_superset(&request.partitions) {
            return Ok(Added::Already);
        }
        let next = txn.prepare_add(&request.partitions, request.client_version, now_ms).map_err(transition_error)?;
        self.append(now_ms, id, next, Then::Add(token), effects);
        Ok(Added::OnItsWay)
    }

    /// Whether each partition is in the open transaction: `None` or TRANSACTION_ABORTABLE for each, or one
    /// error for all. The pending transition does not matter: the append checks again by its guard.
    ///
    /// # Errors
    /// The code for every partition of the request.
    pub fn verify_partitions(
        &self,
        transactional_id: &str,
        producer_id: i64,
        producer_epoch: i16,
        partitions: &[TopicPartition],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let txn = self.transactions.get(transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if txn.data.producer_id != producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if txn.data.producer_epoch != producer_epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        if is_decided(txn.data.state) {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let in_transaction = |partition| match txn.data.partitions.contains(partition) {
            true => ErrorCode::None,
            false => ErrorCode::TransactionAbortable,
        };
        Ok(partitions.iter().map(in_transaction).collect())
    }
}

enum Added {
    OnItsWay,
    Already,
}
