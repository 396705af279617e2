//! Adds nodes and stores to a topology one after another, with the checks that Java's InternalTopologyBuilder makes.
//! Called by `graph::build`. Never decides names or order: those come from the graph.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use regex::Regex;

use super::processor::Operator;
use super::store::{Changelog, Store};
use super::{Node, NodeKind, Parts, RepartitionTopic, SinkTarget, SourceTopics, Topology};
use crate::error::TopologyError;
use crate::graph::{OffsetReset, Optimization};
use crate::serde::Serdes;

/// A topology in the making.
#[derive(Default)]
pub(crate) struct Assembly {
    parts: Parts,
    places: HashMap<String, usize>,
    /// Topics of sources with names; those of patterns are not known yet.
    read: Vec<String>,
    patterns: Vec<(String, Regex)>,
    /// Union-find over nodes: one set a sub-topology.
    sets: Vec<usize>,
}

impl Assembly {
    /// Where a group starts to read these topics, if the source says so.
    pub(crate) fn reset(&mut self, topics: &SourceTopics, reset: Option<OffsetReset>) {
        self.parts.resets.extend(reset.map(|reset| (topics.clone(), reset)));
    }

    /// A source of topics by name or pattern.
    pub(crate) fn source(
        &mut self,
        name: &str,
        topics: SourceTopics,
        operator: Arc<dyn Operator>,
    ) -> Result<(), TopologyError> {
        match &topics {
            SourceTopics::Names(names) => {
                for topic in names {
                    self.check_unread(topic)?;
                }
                self.read.extend(names.iter().cloned());
            }
            SourceTopics::Pattern(pattern) => self.add_pattern(pattern)?,
        }
        self.add(name, NodeKind::Source { topics, operator }, &[])
    }

    /// A processor below `parents`.
    pub(crate) fn processor(
        &mut self,
        name: &str,
        operator: Arc<dyn Operator>,
        parents: &[String],
    ) -> Result<(), TopologyError> {
        self.add(name, NodeKind::Processor(operator), parents)
    }

    /// Something below this processor wants the value before each change.
    pub(crate) fn send_old(&mut self, name: &str) {
        if let Some(place) = self.places.get(name) {
            self.parts.nodes[*place].sends_old = true;
        }
    }

    /// This processor reads a table with a history.
    pub(crate) fn reads_versions(&mut self, name: &str) {
        if let Some(place) = self.places.get(name) {
            self.parts.nodes[*place].reads_versions = true;
        }
    }

    /// A sink below `parents`.
    pub(crate) fn sink(
        &mut self,
        name: &str,
        target: SinkTarget,
        operator: Arc<dyn Operator>,
        parents: &[String],
    ) -> Result<(), TopologyError> {
        self.add(name, NodeKind::Sink { target, operator }, parents)
    }

    /// A source and a processor that fill a store of which each instance has one.
    pub(crate) fn global_table(
        &mut self,
        source: (&str, Arc<dyn Operator>),
        topic: &str,
        processor: (&str, Arc<dyn Operator>),
        store: Store,
    ) -> Result<(), TopologyError> {
        self.check_unread(topic)?;
        self.check_store_free(&store.name)?;
        self.parts.global_topics.push(topic.to_owned());
        let topics = SourceTopics::Names(vec![topic.to_owned()]);
        self.add(source.0, NodeKind::Source { topics, operator: source.1 }, &[])?;
        self.add(processor.0, NodeKind::Processor(processor.1), &[source.0.to_owned()])?;
        let place = self.place(processor.0, processor.0)?;
        self.parts.nodes[place].stores.push(store.name.clone());
        let processors = vec![processor.0.to_owned()];
        self.parts.global_stores.push(Store { changelog: Changelog::Source(topic.to_owned()), processors, ..store });
        Ok(())
    }

    /// A store, connected to nothing yet; the same store may come twice.
    pub(crate) fn store(&mut self, store: Store) -> Result<(), TopologyError> {
        if self.parts.global_stores.iter().any(|known| known.name == store.name) {
            return Err(TopologyError::StoreTaken(store.name));
        }
        match self.parts.stores.iter().find(|known| known.name == store.name) {
            Some(known) if known.same_as(&store) => Ok(()),
            Some(_) => Err(TopologyError::StoreTaken(store.name)),
            None => {
                self.parts.stores.push(store);
                Ok(())
            }
        }
    }

    /// Connects a store to a processor; processors of one store are one sub-topology.
    pub(crate) fn connect(&mut self, processor: &str, store: &str) -> Result<(), TopologyError> {
        let place = self.place(processor, processor)?;
        let found = self.parts.stores.iter_mut().find(|known| known.name == store);
        let known = found.ok_or_else(|| TopologyError::UnknownStore(store.to_owned()))?;
        let first = known.processors.first().and_then(|name| self.places.get(name)).copied();
        if !known.processors.iter().any(|name| name == processor) {
            known.processors.push(processor.to_owned());
        }
        let stores = &mut self.parts.nodes[place].stores;
        if !stores.iter().any(|name| name == store) {
            stores.push(store.to_owned());
        }
        if let Some(first) = first {
            self.unite(first, place);
        }
        Ok(())
    }

    /// The topic of a source table serves as the changelog of its store.
    pub(crate) fn reuse_source(&mut self, store: &str, topic: &str) {
        for known in self.parts.stores.iter_mut().filter(|known| known.name == store) {
            known.changelog = Changelog::Source(topic.to_owned());
        }
    }

    /// Marks a topic as one of the application's own.
    pub(crate) fn repartition_topic(&mut self, name: &str, partitions: Option<u32>) {
        self.parts.repartition_topics.retain(|topic| topic.name != name);
        self.parts.repartition_topics.push(RepartitionTopic { name: name.to_owned(), partitions });
    }

    /// A store by its name.
    pub(crate) fn find_store(&self, name: &str) -> Option<&Store> {
        self.parts.stores.iter().find(|store| store.name == name)
    }

    /// Closes the topology: sub-topologies are numbered by their first node.
    /// Names of the stores that were added for processors.
    pub(crate) fn added_stores(&mut self, names: Vec<String>) {
        self.parts.added_stores = names;
    }

    /// The rewrites that the plan went through.
    pub(crate) fn optimized_by(&mut self, rules: &[Optimization]) {
        let all = Optimization::ALL.into_iter();
        self.parts.optimizations = all.filter(|rule| rules.contains(rule)).collect();
    }

    pub(crate) fn finish(mut self, copartitions: Vec<Vec<String>>, serdes: Serdes) -> Result<Topology, TopologyError> {
        self.parts.copartitions = copartitions;
        self.parts.serdes = serdes;
        self.check_copartitions()?;
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        for place in 0..self.parts.nodes.len() {
            let root = self.root(place);
            let next = numbers.len();
            self.parts.nodes[place].subtopology = *numbers.entry(root).or_insert(next);
        }
        self.parts.subtopologies = numbers.len();
        Ok(Topology::new(self.parts))
    }

    fn add(&mut self, name: &str, kind: NodeKind, parents: &[String]) -> Result<(), TopologyError> {
        if self.places.contains_key(name) {
            return Err(TopologyError::NameTaken(name.to_owned()));
        }
        let found: Result<Vec<usize>, TopologyError> = parents.iter().map(|parent| self.place(name, parent)).collect();
        let found = found?;
        let place = self.parts.nodes.len();
        self.places.insert(name.to_owned(), place);
        self.sets.push(place);
        for parent in &found {
            self.unite(place, *parent);
        }
        self.parts.nodes.push(Node {
            name: name.to_owned(),
            kind,
            parents: found,
            stores: Vec::new(),
            subtopology: 0,
            sends_old: false,
            reads_versions: false,
        });
        Ok(())
    }

    fn place(&self, node: &str, wanted: &str) -> Result<usize, TopologyError> {
        let unknown = || TopologyError::UnknownParent { node: node.to_owned(), parent: wanted.to_owned() };
        self.places.get(wanted).copied().ok_or_else(unknown)
    }

    fn check_unread(&self, topic: &str) -> Result<(), TopologyError> {
        if self.read.iter().chain(&self.parts.global_topics).any(|known| known == topic) {
            return Err(TopologyError::TopicTaken(topic.to_owned()));
        }
        match self.patterns.iter().find(|(_, pattern)| pattern.is_match(topic)) {
            Some((text, _)) => Err(TopologyError::PatternOverlap(text.clone())),
            None => Ok(()),
        }
    }

    fn add_pattern(&mut self, pattern: &str) -> Result<(), TopologyError> {
        // Java's Matcher.matches wants the whole name.
        let whole =
            Regex::new(&format!("^(?:{pattern})$")).map_err(|_| TopologyError::IllegalPattern(pattern.to_owned()))?;
        if self.read.iter().any(|topic| whole.is_match(topic)) {
            return Err(TopologyError::PatternOverlap(pattern.to_owned()));
        }
        self.patterns.push((pattern.to_owned(), whole));
        Ok(())
    }

    fn check_store_free(&self, name: &str) -> Result<(), TopologyError> {
        let taken = self.parts.stores.iter().chain(&self.parts.global_stores).any(|known| known.name == name);
        if taken { Err(TopologyError::StoreTaken(name.to_owned())) } else { Ok(()) }
    }

    /// InternalTopologyBuilder.validateCopartition: only a group whose every topic has a fixed number can be checked here.
    fn check_copartitions(&self) -> Result<(), TopologyError> {
        for group in &self.parts.copartitions {
            let topics: Vec<&String> = group.iter().flat_map(|node| self.topics_of(node)).collect();
            let mut fixed: BTreeMap<&str, u32> = BTreeMap::new();
            for topic in &topics {
                let known = self.parts.repartition_topics.iter().find(|known| known.name == **topic);
                if let Some(partitions) = known.and_then(|known| known.partitions) {
                    fixed.insert(topic, partitions);
                }
            }
            let all = topics.iter().all(|topic| fixed.contains_key(topic.as_str()));
            let differ = fixed.values().any(|count| Some(count) != fixed.values().next());
            if all && differ {
                return Err(TopologyError::PartitionCounts(format!("{fixed:?}")));
            }
        }
        Ok(())
    }

    fn topics_of(&self, node: &str) -> &[String] {
        match self.places.get(node).map(|place| &self.parts.nodes[*place].kind) {
            Some(NodeKind::Source { topics: SourceTopics::Names(names), .. }) => names,
            _ => &[],
        }
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.sets[at] != at {
            self.sets[at] = self.sets[self.sets[at]];
            at = self.sets[at];
        }
        at
    }

    fn unite(&mut self, left: usize, right: usize) {
        let (left, right) = (self.root(left), self.root(right));
        self.sets[left] = right;
    }
}
