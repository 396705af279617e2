//! Group and transaction coordinators as pure state machines: events in, effects out; no clock, no file, no task.
//!
//! broker/server's `coord/` runs them. Replaying a partition's log gives the same state.

/// Event, Effects and the trait of a machine.
pub mod step;
/// Builds the batch that a step appends.
pub mod batch;
/// Records of `__consumer_offsets`.
pub mod record_group;
/// Groups and their offsets.
pub mod group;
/// Records of `__transaction_state`.
pub mod record_txn;
/// Transactions.
pub mod txn;
#[cfg(test)]
mod testing;
