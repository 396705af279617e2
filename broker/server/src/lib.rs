//! A node: sockets, handlers, replicas, the runtime of coordinators.

/// Coordinator partitions: replay, step, append, answer.
pub mod coord;
/// Health and metrics.
pub mod life;
