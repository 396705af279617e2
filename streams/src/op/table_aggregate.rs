//! Aggregations of a grouped table: rows are taken in and out.
//! Recorded by `dsl`. Never keeps an aggregate itself: that is the store's.
//! Not done: the processor.

use std::sync::Arc;

use super::aggregate::Initializer;
use crate::record::Data;
use crate::topology::processor::Operator;

/// Key, row and the aggregate so far to the next one; None deletes it.
pub type RowAggregator<K, V, A> = Arc<dyn Fn(&K, V, Option<A>) -> Option<A> + Send + Sync>;

/// How rows of a grouped table become an aggregate.
pub struct TableAggregation<K, V, A> {
    /// Where it starts.
    pub initializer: Initializer<A>,
    /// Takes a new value in.
    pub adder: RowAggregator<K, V, A>,
    /// Takes an old value out.
    pub subtractor: RowAggregator<K, V, A>,
    /// The store of the aggregates.
    pub store: String,
}

impl<K: Data, V: Data, A: Data> Operator for TableAggregation<K, V, A> {
    fn name(&self) -> &'static str {
        "table aggregate"
    }
}
