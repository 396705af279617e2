//! Repartition nodes: a sink and a source on one internal topic, with a filter before them.
//! Made by every operator that needs records by key. Never decides whether one is needed: the DSL's streams know that.

use std::sync::Arc;

use super::{Graph, Kind, NodeId, Traits};
use crate::topology::processor::Operator;

/// The suffix of every repartition topic.
const SUFFIX: &str = "-repartition";

#[derive(Clone)]
pub(crate) struct Repartition {
    pub(crate) topic: String,
    pub(crate) sink: String,
    pub(crate) source: String,
    /// The processor before the sink; a table's group-by has none.
    pub(crate) filter: Option<String>,
    pub(crate) asked_by: AskedBy,
    pub(crate) edge: Edge,
}

/// What runs at both ends of the topic.
#[derive(Clone)]
pub(crate) struct Edge {
    /// Passes records on whose key is there.
    pub(crate) filter: Arc<dyn Operator>,
    /// Passes all records on: a join below takes those without a key too.
    pub(crate) pass: Arc<dyn Operator>,
    /// Serializes and sends.
    pub(crate) writer: Arc<dyn Operator>,
    /// Deserializes and hands on.
    pub(crate) reader: Arc<dyn Operator>,
}

/// Why there is a repartition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskedBy {
    /// An operator needs records by key; several such may share a topic.
    Operator,
    /// The user called `repartition`, perhaps with a number of partitions; stays as it is.
    User(Option<u32>),
    /// A table is grouped: pairs of new and old values cross the topic.
    TableGroup,
}

impl Repartition {
    pub(crate) fn is_optimizable(&self) -> bool {
        self.asked_by == AskedBy::Operator
    }
}

impl Graph {
    /// KStreamImpl.createRepartitionedSource: uses up three numbers, and shows them only where the topic's name was generated.
    pub(crate) fn repartition(&mut self, prefix: &str, asked_by: AskedBy, edge: Edge) -> Repartition {
        let topic = if prefix.ends_with(SUFFIX) { prefix.to_owned() } else { format!("{prefix}{SUFFIX}") };
        let sink = self.new_name("KSTREAM-SINK-");
        let filter = self.new_name("KSTREAM-FILTER-");
        let source = self.new_name("KSTREAM-SOURCE-");
        if is_generated(prefix) {
            return Repartition { topic, sink, source, filter: Some(filter), asked_by, edge };
        }
        Repartition {
            sink: format!("{topic}-sink"),
            source: format!("{topic}-source"),
            filter: Some(format!("{topic}-filter")),
            topic,
            asked_by,
            edge,
        }
    }

    /// A node for it that is not in the plan yet.
    pub(crate) fn repartition_node(&mut self, repartition: Repartition) -> NodeId {
        let name = repartition.source.clone();
        self.detached(name, Kind::Repartition(repartition), Traits::default())
    }
}

/// Java's `KSTREAM.*-[0-9]{10}`.
fn is_generated(prefix: &str) -> bool {
    let Some((start, number)) = prefix.rsplit_once('-') else { return false };
    start.starts_with("KSTREAM") && number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit())
}
