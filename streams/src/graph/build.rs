//! Plan -> topology: rewrites a copy of the plan, then writes its nodes in the order of their making, each after all its parents.
//! Called by `StreamsBuilder::build`. Never changes the plan itself: it can be extended and built again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::repartition::{AskedBy, Repartition};
use super::{Graph, Kind, NodeId, Optimization, Owns, ROOT, Scope, Step, StreamJoin, TableSource};
use crate::error::TopologyError;
use crate::topology::assemble::Assembly;
use crate::topology::{SinkTarget, SourceTopics, Topology};

impl Graph {
    /// The topology of this plan, after these rewrites.
    pub(crate) fn build(&self, rules: &[Optimization]) -> Result<Topology, TopologyError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let mut graph = self.clone();
        graph.merge_sources()?;
        graph.optimise(rules);
        graph.check_suppressions()?;
        let mut assembly = Assembly::default();
        for topic in &graph.topics {
            assembly.repartition_topic(&topic.name, topic.partitions);
        }
        graph.write_all(&mut assembly)?;
        assembly.added_stores(graph.added_stores);
        assembly.optimized_by(rules);
        assembly.finish(graph.copartitions, graph.serdes)
    }

    /// InternalStreamsBuilder.buildAndOptimizeTopology: by priority from the root on; a node waits for all its parents.
    fn write_all(&self, assembly: &mut Assembly) -> Result<(), TopologyError> {
        let mut written = vec![false; self.nodes.len()];
        let mut waiting = BinaryHeap::from([Reverse((0, ROOT))]);
        while let Some(Reverse((_, node))) = waiting.pop() {
            let ready = self.nodes[node].parents.iter().all(|parent| written[*parent]);
            if written[node] || !ready {
                continue;
            }
            self.write(node, assembly)?;
            written[node] = true;
            waiting
                .extend(self.nodes[node].children.iter().map(|child| Reverse((self.nodes[*child].priority, *child))));
        }
        // A node that was taken out of the plan has no parents left; any other must have been reached.
        let missed = (0..written.len()).find(|node| !written[*node] && !self.nodes[*node].parents.is_empty());
        missed.map_or(Ok(()), |node| Err(TopologyError::NotWritten(self.nodes[node].name.clone())))
    }

    fn write(&self, node: NodeId, assembly: &mut Assembly) -> Result<(), TopologyError> {
        let one = &self.nodes[node];
        let parents: Vec<String> = one.parents.iter().map(|parent| self.nodes[*parent].name.clone()).collect();
        match &one.kind {
            Kind::Root => Ok(()),
            Kind::Source { topics, operator, reset } => {
                assembly.reset(topics, *reset);
                assembly.source(&one.name, topics.clone(), operator.clone())
            }
            Kind::TableSource(source) => self.write_table_source(source, assembly),
            Kind::Store(store) => assembly.store(store.clone()),
            Kind::Processor(step) | Kind::Windowed(step) | Kind::Suppress(step) => {
                self.write_step(step, &parents, assembly)?;
                // InternalStreamsBuilder.enableVersionedSemantics.
                if one.parents.iter().all(|parent| self.is_versioned(*parent)) {
                    assembly.reads_versions(&step.name);
                }
                Ok(())
            }
            Kind::StreamTableJoin { step, grace_ms } => {
                self.write_step(step, &parents, assembly)?;
                check_grace(step, *grace_ms, assembly)
            }
            Kind::Sink { target, operator } => assembly.sink(&one.name, target.clone(), operator.clone(), &parents),
            Kind::Repartition(repartition) => {
                write_repartition(repartition, self.leads_to_null_keys(node), &parents, assembly)
            }
            Kind::StreamJoin(join) => self.write_stream_join(join, assembly),
            Kind::TableJoin(join) => {
                let is_versioned = |name: &str| {
                    one.parents.iter().any(|parent| self.nodes[*parent].name == name && self.is_versioned(*parent))
                };
                self.write_unconnected(&join.this.1, std::slice::from_ref(&join.this.0), assembly)?;
                self.write_unconnected(&join.other.1, std::slice::from_ref(&join.other.0), assembly)?;
                self.write_step(&join.merge, &[join.this.1.name.clone(), join.other.1.name.clone()], assembly)?;
                for (parent, step) in [&join.this, &join.other] {
                    connect(step, assembly)?;
                    if is_versioned(parent) {
                        assembly.reads_versions(&step.name);
                    }
                }
                Ok(())
            }
        }
    }

    /// NodesWithRelaxedNullKeyJoinDownstream: whether a join that answers records without a key stands below.
    fn leads_to_null_keys(&self, node: NodeId) -> bool {
        let children = &self.nodes[node].children;
        children.iter().any(|child| self.nodes[*child].traits.takes_null_key || self.leads_to_null_keys(*child))
    }

    fn write_table_source(&self, source: &TableSource, assembly: &mut Assembly) -> Result<(), TopologyError> {
        let store = self.source_store(source.table);
        if let (Scope::Global, Some(store)) = (source.scope, store) {
            let reader = (source.source.as_str(), source.reader.clone());
            let updater = (source.step.name.as_str(), source.step.operator.clone());
            return assembly.global_table(reader, &source.topic, updater, store.clone());
        }
        let topics = SourceTopics::Names(vec![source.topic.clone()]);
        assembly.reset(&topics, source.reset);
        assembly.source(&source.source, topics, source.reader.clone())?;
        self.write_step(&source.step, std::slice::from_ref(&source.source), assembly)?;
        if let (Scope::TaskFromSource, Some(store)) = (source.scope, store) {
            assembly.reuse_source(&store.name, &source.topic);
        }
        Ok(())
    }

    fn write_stream_join(&self, join: &StreamJoin, assembly: &mut Assembly) -> Result<(), TopologyError> {
        if join.is_self {
            return self.write_step(&join.alone, std::slice::from_ref(&join.this.0), assembly);
        }
        self.write_step(&join.this.1, std::slice::from_ref(&join.this.0), assembly)?;
        self.write_step(&join.other.1, std::slice::from_ref(&join.other.0), assembly)?;
        self.write_step(&join.merge, &[join.this.1.name.clone(), join.other.1.name.clone()], assembly)
    }

    fn write_step(&self, step: &Step, parents: &[String], assembly: &mut Assembly) -> Result<(), TopologyError> {
        self.write_unconnected(step, parents, assembly)?;
        connect(step, assembly)
    }

    /// The processor and its own stores, not yet those of others.
    fn write_unconnected(&self, step: &Step, parents: &[String], assembly: &mut Assembly) -> Result<(), TopologyError> {
        assembly.processor(&step.name, step.operator.clone(), parents)?;
        if step.table.is_some_and(|table| self.sends_old(table)) {
            assembly.send_old(&step.name);
        }
        let stores = match &step.owns {
            Owns::Stores(stores) => stores.clone(),
            Owns::Table(table) => self.source_store(*table).cloned().into_iter().collect(),
        };
        for store in stores {
            let name = store.name.clone();
            assembly.store(store)?;
            assembly.connect(&step.name, &name)?;
        }
        Ok(())
    }

    /// InternalStreamsBuilder.mergeDuplicateSourceNodes: one source a topic list, whatever called it twice.
    fn merge_sources(&mut self) -> Result<(), TopologyError> {
        let mut first: HashMap<String, NodeId> = HashMap::new();
        for node in self.nodes[ROOT].children.clone() {
            let Kind::Source { topics, reset, .. } = self.nodes[node].kind.clone() else { continue };
            let keys = match &topics {
                SourceTopics::Names(names) => names.iter().map(|name| format!("topic {name}")).collect(),
                SourceTopics::Pattern(pattern) => vec![format!("pattern {pattern}")],
            };
            for key in keys {
                let main = *first.entry(key.clone()).or_insert(node);
                if main != node && self.nodes[node].parents.contains(&ROOT) {
                    self.merge_source(main, node, &topics, reset)
                        .map_err(|()| TopologyError::OverlappingTopics(key))?;
                }
            }
        }
        Ok(())
    }

    fn merge_source(
        &mut self,
        main: NodeId,
        node: NodeId,
        topics: &SourceTopics,
        reset: Option<super::OffsetReset>,
    ) -> Result<(), ()> {
        let Kind::Source { topics: of_main, reset: reset_of_main, .. } = &self.nodes[main].kind else {
            return Err(());
        };
        if !same_topics(of_main, topics) || *reset_of_main != reset {
            return Err(());
        }
        for child in self.nodes[node].children.clone() {
            self.remove_edge(node, child);
            self.add_edge(main, child);
        }
        self.remove_edge(ROOT, node);
        Ok(())
    }

    fn check_suppressions(&self) -> Result<(), TopologyError> {
        let versioned = |node: &NodeId| {
            let one = &self.nodes[*node];
            matches!(one.kind, Kind::Suppress(_)) && one.parents.iter().all(|parent| self.is_versioned(*parent))
        };
        match (0..self.nodes.len()).find(versioned) {
            Some(node) => Err(TopologyError::SuppressOfVersioned(self.nodes[node].name.clone())),
            None => Ok(()),
        }
    }
}

fn connect(step: &Step, assembly: &mut Assembly) -> Result<(), TopologyError> {
    step.connects.iter().try_for_each(|store| assembly.connect(&step.name, store))
}

fn same_topics(left: &SourceTopics, right: &SourceTopics) -> bool {
    match (left, right) {
        (SourceTopics::Names(left), SourceTopics::Names(right)) => {
            left.iter().all(|name| right.contains(name)) && right.iter().all(|name| left.contains(name))
        }
        _ => left == right,
    }
}

fn write_repartition(
    repartition: &Repartition,
    takes_null_keys: bool,
    parents: &[String],
    assembly: &mut Assembly,
) -> Result<(), TopologyError> {
    let partitions = match repartition.asked_by {
        AskedBy::User(partitions) => partitions,
        AskedBy::Operator | AskedBy::TableGroup => None,
    };
    assembly.repartition_topic(&repartition.topic, partitions);
    let above = match &repartition.filter {
        Some(filter) => {
            let edge = &repartition.edge;
            let operator = if takes_null_keys { &edge.pass } else { &edge.filter };
            assembly.processor(filter, operator.clone(), parents)?;
            vec![filter.clone()]
        }
        None => parents.to_vec(),
    };
    let target = SinkTarget::Topic(repartition.topic.clone());
    assembly.sink(&repartition.sink, target, repartition.edge.writer.clone(), &above)?;
    let topics = SourceTopics::Names(vec![repartition.topic.clone()]);
    assembly.source(&repartition.source, topics, repartition.edge.reader.clone())
}

/// StreamTableJoinNode: a join that waits for the past needs a table that keeps it as long.
fn check_grace(step: &Step, grace_ms: Option<i64>, assembly: &Assembly) -> Result<(), TopologyError> {
    let Some(grace_ms) = grace_ms else { return Ok(()) };
    for name in &step.connects {
        match assembly.find_store(name).map(|store| &store.kind) {
            Some(crate::topology::store::StoreKind::Versioned { history_ms, .. }) if grace_ms <= *history_ms => {}
            Some(crate::topology::store::StoreKind::Versioned { .. }) => {
                return Err(TopologyError::HistoryTooShort(name.clone()));
            }
            _ => return Err(TopologyError::GraceNeedsVersioned(step.name.clone())),
        }
    }
    Ok(())
}
