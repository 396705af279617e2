//! The runtime of coordinator partitions.

/// Which partition coordinates a key.
pub mod find;
/// All shards of one coordinator topic.
pub mod shards;
/// One coordinator partition: replay, step, append, answer.
pub mod shard;
/// The partition under a shard.
pub mod storage;
/// Wakes shards.
pub mod timer;
