//! The DSL: streams, tables, groups and joins, typed by key and value; optional settings are values, never overloads.
//! Called by applications. Each call adds to the plan in `graph`, in the order of Java's calls, and returns a handle; nothing runs.

// Where a topology begins.
pub mod builder;
// A stream of records.
pub mod stream;
// A stream split by predicates.
pub mod branched;
// A table: the latest value of each key.
pub mod table;
// Records by key, to be aggregated.
pub mod grouped;
// Several grouped streams into one aggregate.
pub mod cogrouped;
// Joins of streams.
mod stream_join;
// Joins of tables.
mod table_join;
// Joins of tables by a foreign key.
mod foreign_key_join;
// Stores of processors.
pub mod stores;
// Settings: serdes, names, partitions.
pub mod options;
// How a table is kept.
pub mod materialized;
// Spans of time.
pub mod windows;
// When changes are held back.
pub mod suppressed;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;

use crate::graph::repartition::{AskedBy, Edge};
use crate::graph::{Graph, Kind, NodeId, Step, Traits};
use crate::op::edge::{Partitioner, Sink, Source};
use crate::op::stateless::{pass, stateless};
use crate::record::{Data, Record};
use crate::serde::SharedSerde;
use crate::topology::processor::{Children, Operator};

/// A place in the plan, and what Java's handles know besides types.
#[derive(Clone)]
pub(crate) struct Flow {
    graph: Rc<RefCell<Graph>>,
    node: NodeId,
    name: String,
    /// The source nodes of the sub-topology, for co-partitioning.
    sources: Vec<String>,
    /// The key changed since the last repartition.
    rekeyed: bool,
    /// The name that the user gave the next operator.
    given: Option<String>,
    /// The repartition that a join already made of this very handle.
    repartition: Rc<Cell<Option<NodeId>>>,
}

impl Flow {
    fn new(graph: &Rc<RefCell<Graph>>, node: NodeId, name: impl Into<String>, sources: Vec<String>) -> Flow {
        Flow {
            graph: Rc::clone(graph),
            node,
            name: name.into(),
            sources,
            rekeyed: false,
            given: None,
            repartition: Rc::new(Cell::new(None)),
        }
    }

    fn graph(&self) -> RefMut<'_, Graph> {
        self.graph.borrow_mut()
    }

    /// The same place, with a name for the next operator.
    fn named(&self, name: &str) -> Flow {
        Flow { given: Some(name.to_owned()), ..self.clone() }
    }

    fn rekeyed(mut self, rekeyed: bool) -> Flow {
        self.rekeyed = rekeyed;
        self
    }

    /// A processor below this place; what was rekeyed stays so.
    fn below(&self, name: String, kind: Kind, traits: Traits) -> Flow {
        let node = self.graph().add(&[self.node], name.clone(), kind, traits);
        Flow::new(&self.graph, node, name, self.sources.clone()).rekeyed(self.rekeyed || traits.changes_key)
    }

    /// A processor of its own name.
    fn step(&self, step: Step, traits: Traits) -> Flow {
        self.below(step.name.clone(), Kind::Processor(step), traits)
    }

    fn named_step(&self, given: Option<&str>, prefix: &str, operator: Arc<dyn Operator>, traits: Traits) -> Flow {
        let name = self.graph().name_or(given.or(self.given.as_deref()), prefix);
        self.step(Step::new(name, operator), traits)
    }
}

/// What runs at both ends of a repartition topic.
fn repartition_edge<K: Data, V: Data>(
    key: Option<SharedSerde<K>>,
    value: Option<SharedSerde<V>>,
    partitioner: Option<Partitioner<K, V>>,
) -> Edge {
    let filter =
        stateless(
            "repartition filter",
            |record: Record<K, V>, next: &mut Children<K, V>, context| {
                if record.key.is_some() { next.forward(record, context) } else { Ok(()) }
            },
        );
    let writer = Sink { key: key.clone(), value: value.clone(), partitioner, chooser: None };
    let reader = Source { key, value, timestamps: None, policy: None };
    Edge { filter, pass: pass::<K, V>("repartition filter"), writer: Arc::new(writer), reader: Arc::new(reader) }
}

/// Repartitions for an operator that needs records by key.
fn asked_by_operator(flow: &Flow, prefix: &str, edge: Edge) -> (NodeId, String) {
    let mut graph = flow.graph();
    let repartition = graph.repartition(prefix, AskedBy::Operator, edge);
    let source = repartition.source.clone();
    (graph.repartition_node(repartition), source)
}
