//! Operators on tables: the source that keeps it, filter, map, group, suppress.
//! Recorded by `dsl`. Never keeps a row itself: that is the store's.
//! Not done: the processors, which come with the stores.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::dsl::suppressed::Suppressed;
use crate::record::Data;
use crate::topology::processor::Operator;

/// Makes changes out of records, and keeps the rows if something needs them.
pub struct KeepTable<K, V> {
    /// What the rows are.
    pub types: PhantomData<fn(K, V)>,
}

/// Rows to rows of the same key: filter and map_values.
pub struct TransformRows<K, V, W> {
    /// A row to the new value; None leaves it out.
    pub function: Arc<dyn Fn(&K, &V) -> Option<W> + Send + Sync>,
    /// The store of the new rows, if they are kept.
    pub store: Option<String>,
}

/// Rows to pairs of another key, old and new value together.
pub struct SelectRows<K, V, L, W> {
    /// A row to its group and value; a None leaves this half out.
    pub function: Arc<dyn Fn(&K, &V) -> (Option<L>, Option<W>) + Send + Sync>,
}

/// Holds changes back.
pub struct Suppress<K, V> {
    /// How long and how many.
    pub how: Suppressed,
    /// How long after its end a window closes; None for a time limit.
    pub grace_ms: Option<i64>,
    /// The store of what waits.
    pub store: String,
    /// What is held.
    pub types: PhantomData<fn(K, V)>,
}

impl<K: Data, V: Data> Operator for KeepTable<K, V> {
    fn name(&self) -> &'static str {
        "table source"
    }
}

impl<K: Data, V: Data, W: Data> Operator for TransformRows<K, V, W> {
    fn name(&self) -> &'static str {
        "table transform"
    }
}

impl<K: Data, V: Data, L: Data, W: Data> Operator for SelectRows<K, V, L, W> {
    fn name(&self) -> &'static str {
        "table select"
    }
}

impl<K: Data, V: Data> Operator for Suppress<K, V> {
    fn name(&self) -> &'static str {
        "suppress"
    }
}
