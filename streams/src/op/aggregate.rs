//! Aggregations by key and by window: what the user gave, typed, with the store each works on.
//! Recorded by `dsl`. Never keeps an aggregate itself: that is the store's.
//! Not done: the processors, which come with the stores.

use std::sync::Arc;

use crate::dsl::windows::{EmitStrategy, SessionWindows, SlidingWindows, TimeWindows};
use crate::record::Data;
use crate::topology::processor::Operator;

/// The aggregate before the first value; None where the first value itself is it (`reduce`).
pub type Initializer<A> = Arc<dyn Fn() -> Option<A> + Send + Sync>;
/// Key, value and the aggregate so far to the next one; None deletes it.
pub type Aggregator<K, V, A> = Arc<dyn Fn(&K, V, Option<A>) -> Option<A> + Send + Sync>;
/// Two sessions' aggregates to one.
pub type Merger<K, A> = Arc<dyn Fn(&K, A, A) -> Option<A> + Send + Sync>;

/// How values of a stream become an aggregate.
pub struct Aggregation<K, V, A> {
    /// Where it starts.
    pub initializer: Initializer<A>,
    /// How it goes on.
    pub aggregator: Aggregator<K, V, A>,
    /// Over what span of time.
    pub span: Span<K, A>,
    /// When results are handed on.
    pub emit: EmitStrategy,
    /// The store of the aggregates.
    pub store: String,
}

/// The span of time of one aggregate.
pub enum Span<K, A> {
    /// All of it.
    Forever,
    /// Windows of fixed length.
    Time(TimeWindows),
    /// Windows that end or start at a record.
    Sliding(SlidingWindows),
    /// Sessions; two that meet are merged.
    Session(SessionWindows, Merger<K, A>),
}

impl<K, A> Clone for Span<K, A> {
    fn clone(&self) -> Span<K, A> {
        match self {
            Span::Forever => Span::Forever,
            Span::Time(windows) => Span::Time(*windows),
            Span::Sliding(windows) => Span::Sliding(*windows),
            Span::Session(windows, merger) => Span::Session(*windows, Arc::clone(merger)),
        }
    }
}

/// How rows of a grouped table become an aggregate.
pub struct TableAggregation<K, V, A> {
    /// Where it starts.
    pub initializer: Initializer<A>,
    /// Takes a new value in.
    pub adder: Aggregator<K, V, A>,
    /// Takes an old value out.
    pub subtractor: Aggregator<K, V, A>,
    /// The store of the aggregates.
    pub store: String,
}

impl<K: Data, V: Data, A: Data> Operator for Aggregation<K, V, A> {
    fn name(&self) -> &'static str {
        match &self.span {
            Span::Forever => "aggregate",
            Span::Time(_) => "window aggregate",
            Span::Sliding(_) => "sliding aggregate",
            Span::Session(..) => "session aggregate",
        }
    }
}

impl<K: Data, V: Data, A: Data> Operator for TableAggregation<K, V, A> {
    fn name(&self) -> &'static str {
        "table aggregate"
    }
}
