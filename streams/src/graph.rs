//! The logical plan behind the DSL: one node an operator, in the shape of Java's GraphNode, with its counters.
//! Filled by `dsl`, made into a topology by `build`. Never knows the types of keys and values.

// Names and numbers.
pub(crate) mod name;
// Tables: which store answers for one, whether old values flow.
pub(crate) mod table;
// Repartition nodes.
pub(crate) mod repartition;
// Rewrites of the plan before it is built.
mod optimise;
// Plan -> topology.
mod build;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use optimise::Optimization;

use crate::error::TopologyError;
use crate::serde::Serdes;
use crate::store::token::StoreId;
use crate::topology::processor::Operator;
use crate::topology::store::Store;
use crate::topology::{RepartitionTopic, SinkTarget, SourceTopics};
use repartition::Repartition;
use table::{Table, TableId};

/// A node's place in the plan.
pub(crate) type NodeId = usize;
/// The node that all sources hang on.
pub(crate) const ROOT: NodeId = 0;

/// Where a group starts to read a topic it has no offset for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// From the first record.
    Earliest,
    /// From the records to come.
    Latest,
    /// An error.
    None,
    /// From the first record that is at most this old (KIP-1106).
    ByDuration(std::time::Duration),
}

/// A processor to be written, with its stores.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) operator: Arc<dyn Operator>,
    pub(crate) owns: Owns,
    /// Stores of others that it reads.
    pub(crate) connects: Vec<String>,
    /// The table whose changes it hands on, which may be asked to send old values.
    pub(crate) table: Option<TableId>,
}

/// The stores that come into being with a processor.
#[derive(Clone)]
pub(crate) enum Owns {
    Stores(Vec<Store>),
    /// The table's store, if something turned out to need it.
    Table(TableId),
}

impl Step {
    pub(crate) fn new(name: impl Into<String>, operator: Arc<dyn Operator>) -> Step {
        Step { name: name.into(), operator, owns: Owns::Stores(Vec::new()), connects: Vec::new(), table: None }
    }

    pub(crate) fn owning(mut self, stores: Vec<Store>) -> Step {
        self.owns = Owns::Stores(stores);
        self
    }

    pub(crate) fn owning_table(mut self, table: TableId) -> Step {
        self.owns = Owns::Table(table);
        self.table(table)
    }

    pub(crate) fn table(mut self, table: TableId) -> Step {
        self.table = Some(table);
        self
    }

    pub(crate) fn connecting(mut self, stores: Vec<String>) -> Step {
        self.connects = stores;
        self
    }
}

/// What one node of the plan becomes.
#[derive(Clone)]
pub(crate) enum Kind {
    Root,
    Source {
        topics: SourceTopics,
        reset: Option<OffsetReset>,
        operator: Arc<dyn Operator>,
    },
    TableSource(TableSource),
    Store(Store),
    Processor(Step),
    /// The processor that keeps one side of a stream-stream join.
    Windowed(Step),
    /// A join of a stream with a table; with grace the table must have a history.
    StreamTableJoin {
        step: Step,
        grace_ms: Option<i64>,
    },
    Suppress(Step),
    Sink {
        target: SinkTarget,
        operator: Arc<dyn Operator>,
    },
    Repartition(Repartition),
    StreamJoin(Box<StreamJoin>),
    TableJoin(Box<TableJoin>),
}

#[derive(Clone)]
pub(crate) struct TableSource {
    pub(crate) source: String,
    pub(crate) topic: String,
    pub(crate) reader: Arc<dyn Operator>,
    pub(crate) reset: Option<OffsetReset>,
    pub(crate) step: Step,
    pub(crate) table: TableId,
    pub(crate) scope: Scope,
}

/// Who has the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Each task its part; the changelog is a topic of its own.
    Task,
    /// Each task its part; the source topic is the changelog.
    TaskFromSource,
    /// Each instance the whole.
    Global,
}

#[derive(Clone)]
pub(crate) struct StreamJoin {
    /// The windowed processor and the joining one of each side.
    pub(crate) this: (String, Step),
    pub(crate) other: (String, Step),
    pub(crate) merge: Step,
    /// What takes the place of all three if both sides are one stream.
    pub(crate) alone: Step,
    pub(crate) is_self: bool,
}

#[derive(Clone)]
pub(crate) struct TableJoin {
    /// The parent and the joining processor of each side.
    pub(crate) this: (String, Step),
    pub(crate) other: (String, Step),
    pub(crate) merge: Step,
}

/// How an operator treats the key and the value.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traits {
    pub(crate) changes_key: bool,
    pub(crate) changes_value: bool,
    pub(crate) merges: bool,
    /// A left or outer join, which also answers records without a key.
    pub(crate) takes_null_key: bool,
    /// Whether the output is a versioned table; None asks the parents.
    pub(crate) versioned: Option<bool>,
    /// The grace of a windowed aggregation.
    pub(crate) grace_ms: Option<i64>,
}

#[derive(Clone)]
pub(crate) struct GraphNode {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) traits: Traits,
    pub(crate) parents: Vec<NodeId>,
    pub(crate) children: Vec<NodeId>,
    pub(crate) priority: u32,
}

/// The plan.
#[derive(Clone)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<GraphNode>,
    next_name: u32,
    next_priority: u32,
    /// Key-changing nodes, in the order of their making, with the repartitions that they cause.
    key_changers: Vec<(NodeId, Vec<NodeId>)>,
    tables: Vec<Table>,
    /// Topics of foreign-key joins, which no repartition node brings along.
    topics: Vec<RepartitionTopic>,
    copartitions: Vec<Vec<String>>,
    /// What is taken where no serde is named.
    pub(crate) serdes: Serdes,
    /// Names of the stores that were added for processors, by the numbers of their tokens.
    pub(crate) added_stores: Vec<String>,
    /// The first mistake; told by `build`, so that the calls of the DSL can be chained.
    error: Option<TopologyError>,
}

impl Graph {
    pub(crate) fn new() -> Graph {
        let root = GraphNode {
            name: "root".to_owned(),
            kind: Kind::Root,
            traits: Traits::default(),
            parents: Vec::new(),
            children: Vec::new(),
            priority: 0,
        };
        Graph {
            nodes: vec![root],
            next_name: 0,
            next_priority: 0,
            key_changers: Vec::new(),
            tables: Vec::new(),
            topics: Vec::new(),
            copartitions: Vec::new(),
            serdes: Serdes::built_in(),
            added_stores: Vec::new(),
            error: None,
        }
    }

    /// The names of the stores that a processor of this name works on.
    pub(crate) fn names_of(&mut self, node: &str, stores: &[StoreId]) -> Vec<String> {
        let mut names = Vec::new();
        for store in stores {
            match store {
                StoreId::Named(name) => names.push((*name).to_owned()),
                StoreId::Added(number) => match self.added_stores.get(*number).cloned() {
                    Some(name) => names.push(name),
                    // A token of another builder.
                    None => self.fail(TopologyError::UnknownStore(format!("{store:?} of {node}"))),
                },
            }
        }
        names
    }

    /// Remembers the first mistake.
    pub(crate) fn fail(&mut self, error: TopologyError) {
        self.error.get_or_insert(error);
    }

    /// A node below `parents`, each of which it is added to in turn.
    pub(crate) fn add(&mut self, parents: &[NodeId], name: impl Into<String>, kind: Kind, traits: Traits) -> NodeId {
        let node = self.detached(name, kind, traits);
        for parent in parents {
            self.attach(*parent, node);
        }
        node
    }

    /// A node that is not in the plan yet.
    pub(crate) fn detached(&mut self, name: impl Into<String>, kind: Kind, traits: Traits) -> NodeId {
        let node =
            GraphNode { name: name.into(), kind, traits, parents: Vec::new(), children: Vec::new(), priority: 0 };
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// InternalStreamsBuilder.addGraphNode: a child that is added again is built later.
    pub(crate) fn attach(&mut self, parent: NodeId, child: NodeId) {
        self.add_edge(parent, child);
        self.nodes[child].priority = self.next_priority;
        self.next_priority += 1;
        if self.nodes[child].traits.changes_key {
            if !self.key_changers.iter().any(|(known, _)| *known == child) {
                self.key_changers.push((child, Vec::new()));
            }
        } else if self.is_optimizable(child) {
            self.note_repartition(child);
        }
    }

    pub(crate) fn add_edge(&mut self, parent: NodeId, child: NodeId) {
        if !self.nodes[parent].children.contains(&child) {
            self.nodes[parent].children.push(child);
        }
        if !self.nodes[child].parents.contains(&parent) {
            self.nodes[child].parents.push(parent);
        }
    }

    fn remove_edge(&mut self, parent: NodeId, child: NodeId) {
        self.nodes[parent].children.retain(|known| *known != child);
        self.nodes[child].parents.retain(|known| *known != parent);
    }

    /// The topics of these sources must have equal numbers of partitions; the answer is the union of the sources.
    pub(crate) fn copartition(&mut self, groups: &[&[String]]) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for name in groups.iter().flat_map(|group| group.iter()) {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        self.copartitions.push(all.clone());
        all
    }

    /// A topic of a foreign-key join.
    pub(crate) fn add_topic(&mut self, name: &str) {
        self.topics.push(RepartitionTopic { name: name.to_owned(), partitions: None });
    }

    fn is_optimizable(&self, node: NodeId) -> bool {
        matches!(&self.nodes[node].kind, Kind::Repartition(repartition) if repartition.is_optimizable())
    }

    /// A repartition belongs to the key change above it, unless the value changed in between: the merged topic would
    /// carry the value from before (InternalStreamsBuilder.getKeyChangingParentNode).
    fn note_repartition(&mut self, node: NodeId) {
        let change =
            self.find_up(node, &|graph, at| graph.nodes[at].traits.changes_key || graph.nodes[at].traits.changes_value);
        let key_change = self.find_up(node, &|graph, at| graph.nodes[at].traits.changes_key);
        let Some(key_change) = key_change.filter(|found| Some(*found) == change) else { return };
        for (_, repartitions) in self.key_changers.iter_mut().filter(|(known, _)| *known == key_change) {
            if !repartitions.contains(&node) {
                repartitions.push(node);
            }
        }
    }

    /// InternalStreamsBuilder.findParentNodeMatching: the node itself, or the first match above it, depth first.
    fn find_up(&self, node: NodeId, matches: &dyn Fn(&Graph, NodeId) -> bool) -> Option<NodeId> {
        if matches(self, node) {
            return Some(node);
        }
        for parent in &self.nodes[node].parents {
            if matches(self, *parent) {
                return Some(*parent);
            }
            if let Some(found) = self.find_up(*parent, matches) {
                return Some(found);
            }
        }
        None
    }

    /// GraphGraceSearchUtil: the largest grace of the windowed aggregations above.
    pub(crate) fn find_grace(&self, node: NodeId) -> Result<i64, TopologyError> {
        self.grace_of(node, "")
    }

    fn grace_of(&self, node: NodeId, below: &str) -> Result<i64, TopologyError> {
        if let Some(grace_ms) = self.nodes[node].traits.grace_ms {
            return Ok(grace_ms);
        }
        let name = &self.nodes[node].name;
        let chain = if below.is_empty() { name.clone() } else { format!("{name}->{below}") };
        let parents = &self.nodes[node].parents;
        if parents.is_empty() {
            return Err(TopologyError::NoWindow(chain));
        }
        parents.iter().try_fold(-1, |largest: i64, parent| Ok(largest.max(self.grace_of(*parent, &chain)?)))
    }

    /// Whether what this node hands on is a versioned table.
    pub(crate) fn is_versioned(&self, node: NodeId) -> bool {
        if node == ROOT {
            return false;
        }
        let node = &self.nodes[node];
        node.traits.versioned.unwrap_or_else(|| node.parents.iter().all(|parent| self.is_versioned(*parent)))
    }
}
