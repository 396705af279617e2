//! Partitions on this node: roles, watermarks, reads and writes, waiting.

/// One replica: role, epoch, ISR, append as leader, read.
pub mod partition;
/// The map of partitions, fed by metadata deltas.
pub mod partitions;
/// Texts of configuration to what a partition obeys.
pub mod topic_config;
/// What a fetch reads.
pub mod fetch_plan;
/// Retention, checkpoints, compaction: work without a request.
pub mod upkeep;
/// Requests that wait for a partition to change.
pub mod wait;
