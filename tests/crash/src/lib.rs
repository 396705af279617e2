//! Kills a broker with SIGKILL again and again while clients write to it, and checks afterwards that what was
//! acknowledged is there, once, and that transactions are whole. `tests/crash.rs` runs as a test and,
//! longer, in `make soak`; `main.rs` runs one check by hand. Reproduce a run by its seed.
//!
//! The clients are small and their own (`wire.rs`), so that a retry, a repeat or a broken connection happens
//! exactly when the check wants it.
#![allow(clippy::disallowed_methods, reason = "a test program from outside the broker: real clock and sockets")]

/// A broker process: start, kill, await.
pub mod node;
/// Requests and answers over one connection.
pub mod wire;
/// Record batches out and in.
pub mod records;
/// A transactional producer, one request at a time.
pub mod txn_client;
/// Numbered records under idempotence: nothing acknowledged is lost, nothing is there twice.
pub mod numbers;
/// The same on a compacted topic: the last record of each key.
pub mod compacted;
/// Money moves between accounts in transactions: the sum stays.
pub mod money;
/// A kill in each state of a transaction.
pub mod states;
/// A large log opens quickly after a kill.
pub mod restart;
