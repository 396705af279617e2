//! Joins: what the user gives to any of them.
//! Recorded by `dsl`; the joins stand in `stream_stream_join`, `stream_table_join`, `table_join` and `foreign_key`.

use std::sync::Arc;

use crate::task::errors::Failure;

/// Key and the values of both sides to the result; a side that may be missing is None there.
pub type Joiner<K, L, R, O> = Arc<dyn Fn(Option<&K>, Option<&L>, Option<&R>) -> Result<O, Failure> + Send + Sync>;
/// A record to the key of the other side; None where there is none.
pub type KeySelector<K, V, F> = Arc<dyn Fn(Option<&K>, Option<&V>) -> Result<Option<F>, Failure> + Send + Sync>;

/// Which sides of a join must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Both.
    Inner,
    /// The left one.
    Left,
    /// Either.
    Outer,
}

/// Which side a processor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The stream or table that `join` was called on.
    Left,
    /// The other one.
    Right,
    /// Both: a stream joined with itself.
    Both,
}
