//! Transactions: the state machine behind `__transaction_state`, in the order an event takes.

/// States, protocol generations, commit or abort.
pub mod state;
/// One transactional id and the transitions it allows.
pub mod transaction;
/// Producer ids out of the controller's blocks.
pub mod producer_ids;
/// The shard: events in, effects out.
pub mod shard;
/// InitProducerId.
mod init;
/// AddPartitionsToTxn, AddOffsetsToTxn, verification.
mod add;
/// EndTxn.
mod end;
/// Markers and the completion.
pub mod markers;
/// Timeouts, expiry, retries.
mod timeout;
/// DescribeTransactions, ListTransactions.
pub mod view;

#[cfg(test)]
mod tests;
