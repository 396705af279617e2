//! Where stores keep their rows: engines, byte formats, segmented stores, the folders on disk.
//! Called by the operators' typed stores, the task that commits them, and the runtime that opens folders. Synchronous and
//! owned by one thread; never speaks to a broker, never knows a topology.

// An ordered keyspace of bytes, and its engines.
pub mod rows;
// Bytes of stores, changelogs and internal topics.
pub mod format;
// Rows by segments of time.
pub mod segments;
// Values by key and window.
pub mod window;
// Values by key and session.
pub mod session;
// Values by key over time.
pub mod versioned;
// Records that wait for a time: suppress.
pub mod suppress_buffer;
// Records that wait for a time: joins with grace.
pub mod grace_buffer;
// Records that wait for a match: outer joins.
pub mod unmatched;
// Which engine a store's rows are in.
pub mod engines;
// The folders on disk, and who holds them.
pub mod directory;
// What can go wrong with state.
pub mod error;

pub use error::StateError;
pub use rows::{MemoryRows, Order, Row, Rows, Span};
