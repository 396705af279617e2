//! What runs an application against a cluster: an OS thread for each stream thread, tokio for the network at its edge.
//!
//! Called by the user's program through `KafkaStreams`. A record comes by `thread.rs` (poll) -> `task/` (queues, nodes,
//! stores) -> `collect.rs` (the producer's batch); offsets and stores follow in `commit.rs`.

// `KafkaStreams`: start, threads, handlers, close.
pub mod app;
// States of the application and its threads.
pub mod states;
// Why they end.
pub mod error;
// Topics of the application, tasks that follow.
pub mod topics;
// A thread in the group.
mod member;
// Poll, process, commit: the one loop.
mod thread;
// What it decides: errors, waits, ends of restores.
mod decide;
// What the cluster is asked beside the work.
mod pending;
// Tasks come and go.
mod rebalance;
// A task with its role and changelogs.
mod held;
// What outlives the process.
mod disk;
// Questions about stores.
mod interactive;
// Tables that each instance has the whole of.
mod globals;
// Changelogs into stores.
pub mod restore;
// Bytes of tasks into the producer.
mod collect;
// The order of a commit.
mod commit;
// What is measured.
pub(crate) mod metrics;
