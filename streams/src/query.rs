//! Interactive queries: what the stores of a running application contain, read from outside (Java: `KafkaStreams.store`
//! and KIP-796, with the same kinds of stores, the same errors and what waits in caches among the rows).
//!
//! Called by the user's program through `KafkaStreams`. A read is a closure that goes to the threads that have tasks of
//! the store (`queue.rs`), runs there between two records, and answers as an [`Asked`], to be awaited or waited for. So
//! stores have no lock, and a thread that nobody asks looks at one flag a round. Never here: a write, or a word to another
//! instance; which one to ask says `metadata.rs`.
//!
//! Not done: read committed queries, which are newer than 4.3; the position of a copy of an own changelog (Java keeps
//! it only with an internal setting); the history of a key in a versioned store comes whole, not page by page.

// Where questions wait for a thread.
mod queue;
// What a question is made of, and who is asked.
mod ask;
// An answer to come.
mod asked;
// Rows to come, page by page.
mod rows;
// Which stores of which partitions, and how far they must be.
mod parameters;
// Why there is no answer.
mod error;
// Stores of keys and values.
mod key_value;
// Stores of windows.
mod window;
// Stores of sessions.
mod session;
// Stores of values over time.
mod versioned;
// Which instance has what.
pub mod metadata;
#[cfg(test)]
mod tests;

use crate::store::Stamped;
use crate::store::page::Page;

pub use ask::{Asker, Queryable};
pub(crate) use ask::{ChangelogAt, Instance, Local, LocalTask, Located, Scope, Standing};
pub use asked::Asked;
pub use error::QueryError;
pub use key_value::ReadOnlyKeyValue;
pub use parameters::{Position, StoreQueryParameters};
pub(crate) use queue::{Queue, Refused};
pub use rows::{AskedRows, RowsIter};
pub use session::ReadOnlySession;
pub use versioned::ReadOnlyVersioned;
pub use window::{ReadOnlyWindow, TimestampedKeyWindow};

/// Rows of a table or an aggregate without their times.
fn unstamped<T, V>(page: Page<(T, Stamped<V>)>) -> Page<(T, V)> {
    page.map(|(at, stamped)| (at, stamped.value))
}
