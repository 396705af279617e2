//! The runtime of coordinator partitions.

/// Which partition coordinates a key.
pub mod find;
/// The coordinators of a node.
pub mod coordinators;
/// The group coordinator of this node.
pub mod groups;
/// An answer that is there or comes.
pub mod answer;
/// All shards of one coordinator topic.
pub mod shards;
/// One coordinator partition: replay, step, append, answer.
pub mod shard;
/// The partition under a shard.
pub mod storage;
/// Wakes shards.
pub mod timer;
/// The topics that coordinators keep their state in.
pub mod internal_topics;
/// Which partitions of those topics this node leads.
pub mod leadership;
/// Whether a transactional append may enter a partition.
pub mod verify;
/// The transaction coordinator of this node.
pub mod txn;

#[cfg(test)]
mod tests;
