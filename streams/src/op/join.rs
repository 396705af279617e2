//! Joins: what the user gave to any of them, and those of tables, with the stores each looks into.
//! Recorded by `dsl`. Never keeps a record itself: that is the stores'.
//! Not done: the processors of joins of tables.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::record::{Data, Record};
use crate::topology::processor::Operator;

/// Key and the values of both sides to the result; a side that may be missing is None there.
pub type Joiner<K, L, R, O> = Arc<dyn Fn(Option<&K>, Option<&L>, Option<&R>) -> O + Send + Sync>;
/// A record to the key of the other side; None where there is none.
pub type KeySelector<K, V, F> = Arc<dyn Fn(Option<&K>, Option<&V>) -> Option<F> + Send + Sync>;

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

/// One side of a table-table join; takes changes of `side`.
pub struct TableJoinSide<K, L, R, O> {
    /// Whose changes it takes.
    pub side: Side,
    /// Which sides must be there.
    pub kind: JoinKind,
    /// The stores that answer for the other table.
    pub stores: Vec<String>,
    /// Makes the result.
    pub joiner: Joiner<K, L, R, O>,
}

/// Hands on the results of both sides, and keeps them if there is a store.
pub struct MergeJoined<K, O> {
    /// The store of the results.
    pub store: Option<String>,
    /// What it carries.
    pub types: PhantomData<fn(K, O)>,
}

/// The parts of a foreign-key join (KIP-213), in the order in which a change runs through them.
pub enum ForeignKeyStep<K, L, F, R, O> {
    /// Sends a subscription to the partition of the foreign key.
    Send {
        /// A row to its foreign key.
        foreign_key: KeySelector<K, L, F>,
        /// Which sides must be there.
        kind: JoinKind,
    },
    /// Keeps a subscription.
    Receive {
        /// The store of subscriptions.
        store: String,
    },
    /// Answers a subscription with the value of the foreign key.
    AnswerOne {
        /// The stores that answer for the foreign table.
        stores: Vec<String>,
    },
    /// Answers all subscriptions of a foreign key whose value changed.
    AnswerAll {
        /// The store of subscriptions.
        store: String,
    },
    /// Joins an answer with the row, if that is still the same.
    Resolve {
        /// The stores that answer for the left table.
        stores: Vec<String>,
        /// Which sides must be there.
        kind: JoinKind,
        /// Makes the result.
        joiner: Joiner<K, L, R, O>,
    },
}

impl<K: Data, L: Data, R: Data, O: Data> Operator for TableJoinSide<K, L, R, O> {
    fn name(&self) -> &'static str {
        "table-table join"
    }
}

impl<K: Data, O: Data> Operator for MergeJoined<K, O> {
    fn name(&self) -> &'static str {
        "table-table join merge"
    }
}

impl<K: Data, L: Data, F: Data, R: Data, O: Data> Operator for ForeignKeyStep<K, L, F, R, O> {
    fn name(&self) -> &'static str {
        match self {
            ForeignKeyStep::Send { .. } => "foreign-key subscription",
            ForeignKeyStep::Receive { .. } => "foreign-key subscription store",
            ForeignKeyStep::AnswerOne { .. } => "foreign-key answer",
            ForeignKeyStep::AnswerAll { .. } => "foreign-key update",
            ForeignKeyStep::Resolve { .. } => "foreign-key result",
        }
    }
}

/// The two topics of a foreign-key join carry formats of their own; this stands at both ends.
pub struct ForeignKeyTopic<K, V> {
    /// Which way it goes.
    pub name: &'static str,
    /// What the far side speaks of.
    pub types: PhantomData<fn(Record<K, V>)>,
}

impl<K: Data, V: Data> Operator for ForeignKeyTopic<K, V> {
    fn name(&self) -> &'static str {
        self.name
    }
}
