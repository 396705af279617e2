//! A node: sockets, handlers, replicas, the runtime of coordinators.

/// Start and stop, in a stated order.
pub mod start;
/// Sockets: listeners and connections.
pub mod net;
/// One file per API key, and the one match that finds it.
pub mod api;
/// Partitions on this node: roles, watermarks, reads and writes, waiting.
pub mod replica;
/// Coordinator partitions: replay, step, append, answer.
pub mod coord;
/// Health and metrics.
pub mod life;
/// What a node consists of.
pub mod node;
