//! Runs what was recorded from the originals, and says where we differ. One module a kind of recording.
//! Used by the binary of this crate and by tests of the crates that are compared. Never makes a recording: that is `java`'s.

// Scenarios of Kafka Streams.
#[cfg(feature = "streams")]
pub mod streams;
