//! The only crate that touches the clock, sockets, files and randomness. Everything above takes what it
//! needs from here, so that a test can hand it a clock that it moves itself or a disk that fails.
//!
//! Never here: a word of Kafka.

/// Wall and monotonic time.
pub mod clock;
/// How many files and sockets may be open.
pub mod descriptors;
/// Files: append, positioned reads, sync, rename, list, locks; real or faulty.
pub mod disk;
/// A file system in memory that loses power, fills up and fails on order.
pub mod faulty;
/// Listening, connecting and zero-copy sending.
pub mod net;
/// Named tasks.
pub mod task;

pub use clock::Clock;
pub use disk::{Disk, File};
pub use faulty::FaultyDisk;
