//! The physical topology: sources, processors, sinks and stores, grouped into sub-topologies that each become one task a partition.
//! Made by `graph::build`; read by the task runtime and by `describe`. Never holds state of a running task: it is shared by all.

// One node's operator and how it is linked to its children.
pub mod processor;
// What a store is: its kind, its changelog.
pub mod store;
// Adding nodes and stores, with Java's checks.
pub(crate) mod assemble;
// Topics that the application makes for itself.
pub mod internal_topics;
// Whether all nodes can be linked.
pub(crate) mod check;
// The text that Java prints.
mod describe;
// Orders of Java's collections.
mod order;

use std::sync::Arc;

use processor::Operator;
use store::Store;

use crate::graph::{OffsetReset, Optimization};
use crate::serde::Serdes;

/// What a node is.
#[derive(Clone)]
pub enum NodeKind {
    /// Reads topics.
    Source {
        /// The topics, or the pattern that selects them.
        topics: SourceTopics,
        /// Deserializes and hands records on.
        operator: Arc<dyn Operator>,
    },
    /// Runs an operator.
    Processor(Arc<dyn Operator>),
    /// Writes to a topic.
    Sink {
        /// Where to.
        target: SinkTarget,
        /// Serializes and sends.
        operator: Arc<dyn Operator>,
    },
}

/// What a source reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceTopics {
    /// These topics; an internal one without the application id before it.
    Names(Vec<String>),
    /// All topics whose whole name matches.
    Pattern(String),
}

/// Where a sink writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkTarget {
    /// One topic; an internal one without the application id before it.
    Topic(String),
    /// The topic is chosen for each record; the text describes the chooser.
    Chosen(String),
}

/// One node of the topology.
#[derive(Clone)]
pub struct Node {
    /// Its name, as Java gives it.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// The nodes that forward to it, in the order in which they were named.
    pub parents: Vec<usize>,
    /// Names of the stores connected to it, in the order of connection.
    pub stores: Vec<String>,
    /// The sub-topology it belongs to.
    pub subtopology: usize,
    /// Whether something below wants the value before each change.
    pub sends_old: bool,
    /// Whether it reads a table with a history, of which only latest values count (KIP-914).
    pub reads_versions: bool,
}

/// A repartition or foreign-key topic of the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepartitionTopic {
    /// The name without the application id.
    pub name: String,
    /// A fixed number of partitions, where the user gave one.
    pub partitions: Option<u32>,
}

/// A built topology. Tasks make their own nodes from it, so the path of a record has no lock.
#[derive(Clone)]
pub struct Topology {
    inner: Arc<Parts>,
}

#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) nodes: Vec<Node>,
    pub(crate) stores: Vec<Store>,
    pub(crate) global_stores: Vec<Store>,
    pub(crate) repartition_topics: Vec<RepartitionTopic>,
    /// Topics that are read whole by each instance.
    pub(crate) global_topics: Vec<String>,
    /// Source nodes whose topics must have equal numbers of partitions.
    pub(crate) copartitions: Vec<Vec<String>>,
    pub(crate) subtopologies: usize,
    /// Of sources that say so: where a group starts to read.
    pub(crate) resets: Vec<(SourceTopics, OffsetReset)>,
    /// What is taken where no serde is named.
    pub(crate) serdes: Serdes,
    /// Names of the stores that were added for processors, by the numbers of their tokens.
    pub(crate) added_stores: Vec<String>,
    /// The rewrites that it was built with.
    pub(crate) optimizations: Vec<Optimization>,
}

impl Topology {
    pub(crate) fn new(parts: Parts) -> Topology {
        Topology { inner: Arc::new(parts) }
    }

    /// All nodes, parents before children.
    pub fn nodes(&self) -> &[Node] {
        &self.inner.nodes
    }

    /// The stores of the tasks.
    pub fn stores(&self) -> &[Store] {
        &self.inner.stores
    }

    /// The stores of global tables, of which each instance has one.
    pub fn global_stores(&self) -> &[Store] {
        &self.inner.global_stores
    }

    /// Repartition and foreign-key topics.
    pub fn repartition_topics(&self) -> &[RepartitionTopic] {
        &self.inner.repartition_topics
    }

    /// Groups of source nodes whose topics must have equal numbers of partitions.
    pub fn copartitions(&self) -> &[Vec<String>] {
        &self.inner.copartitions
    }

    /// The rewrites that it was built with (`topology.optimization`).
    pub fn optimizations(&self) -> &[Optimization] {
        &self.inner.optimizations
    }

    /// Names of the stores that were added for processors, by the numbers of their tokens.
    pub(crate) fn added_stores(&self) -> &[String] {
        &self.inner.added_stores
    }

    /// The serdes that are taken where none is named.
    pub fn serdes(&self) -> &Serdes {
        &self.inner.serdes
    }

    /// How many sub-topologies there are; those of global tables make no tasks.
    pub fn subtopologies(&self) -> usize {
        self.inner.subtopologies
    }

    /// Whether this node belongs to a global table.
    pub fn is_global(&self, node: &Node) -> bool {
        let mut sources = self.nodes().iter().filter(|other| other.subtopology == node.subtopology);
        sources.any(|other| self.is_global_source(other))
    }

    /// Where a group starts to read a topic that it has no offset for, if its source says so.
    pub fn offset_reset(&self, topic: &str) -> Option<OffsetReset> {
        let reads = |topics: &SourceTopics| match topics {
            SourceTopics::Names(names) => names.iter().any(|name| name == topic),
            SourceTopics::Pattern(pattern) => {
                regex::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(topic))
            }
        };
        self.inner.resets.iter().find(|(topics, _)| reads(topics)).map(|(_, reset)| *reset)
    }

    /// The whole name of a topic: one of the application's own has the application id before it.
    pub fn whole_name(&self, application_id: &str, topic: &str) -> String {
        if self.repartition_topics().iter().any(|own| own.name == topic) {
            format!("{application_id}-{topic}")
        } else {
            topic.to_owned()
        }
    }

    /// Whether this source feeds a global table.
    pub fn is_global_source(&self, node: &Node) -> bool {
        match &node.kind {
            NodeKind::Source { topics: SourceTopics::Names(names), .. } => {
                names.len() == 1 && self.inner.global_topics.contains(&names[0])
            }
            _ => false,
        }
    }
}
