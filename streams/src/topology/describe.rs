//! `Topology::describe`: the text of Java's `Topology.describe().toString()`, character for character.
//! Called by users and tests. Never used by the runtime.
//!
//! Java sorts nodes by the size of what hangs below them, and puts them into sorted sets while those sizes still grow, in
//! the order of a hash map. So this walks the same steps in the same order (InternalTopologyBuilder.describeSubtopology).

use std::cmp::Ordering;
use std::fmt::Write;

use super::order::{JavaTree, added, copied};
use super::{Node, NodeKind, SinkTarget, SourceTopics, Topology};

/// A node with its neighbours, in the order in which Java prints them.
struct Drawn<'a> {
    node: &'a Node,
    /// Its place among all nodes of the topology.
    place: usize,
    /// The size of the tree below it, itself included; a node that is reached twice counts twice.
    size: usize,
    parents: JavaTree,
    children: JavaTree,
}

impl Topology {
    /// What the topology is made of, as Kafka Streams prints it.
    pub fn describe(&self) -> String {
        let mut text = String::from("Topologies:\n ");
        for number in 0..self.subtopologies() {
            let group: Vec<(usize, &Node)> =
                self.nodes().iter().enumerate().filter(|(_, node)| node.subtopology == number).collect();
            text.push_str("  ");
            match group.iter().find(|(_, node)| self.is_global_source(node)) {
                Some((_, source)) => describe_global(&mut text, number, source, &group),
                None => describe_tasks(&mut text, number, group),
            }
        }
        text
    }
}

fn describe_global(text: &mut String, number: usize, source: &Node, group: &[(usize, &Node)]) {
    let processor =
        group.iter().find(|(_, node)| !node.parents.is_empty()).map_or("none", |(_, node)| node.name.as_str());
    let store = group.iter().find_map(|(_, node)| node.stores.first()).map_or("none", String::as_str);
    let NodeKind::Source { topics, .. } = &source.kind else { return };
    let topics = topics_text(topics);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "Sub-topology: {number} for global store (will not generate tasks)\n    Source: {} (topics: {topics})\n      --> {processor}\n    \
         Processor: {processor} (stores: [{store}])\n      --> none\n      <-- {}\n",
        source.name, source.name
    );
}

fn describe_tasks(text: &mut String, number: usize, group: Vec<(usize, &Node)>) {
    let drawn = draw(group);
    let mut sorted: Vec<usize> = (0..drawn.len()).collect();
    sorted.sort_by(|left, right| compare(&drawn, *left, *right));
    let _ = writeln!(text, "Sub-topology: {number}");
    for at in sorted {
        text.push_str("    ");
        node_text(text, &drawn, at);
        text.push('\n');
    }
    text.push('\n');
}

/// Connects the nodes of one sub-topology as Java does: over the values of a hash map, each to its parents.
fn draw(group: Vec<(usize, &Node)>) -> Vec<Drawn<'_>> {
    // The group is a HashSet of names; a HashMap is then filled in that order.
    let in_set = added(group, |(_, node)| &node.name);
    let in_map = added(in_set, |(_, node)| &node.name);
    let new = |(place, node)| Drawn { node, place, size: 1, parents: JavaTree::new(), children: JavaTree::new() };
    let mut drawn: Vec<Drawn<'_>> = in_map.into_iter().map(new).collect();
    for at in 0..drawn.len() {
        for parent in drawn[at].node.parents.clone() {
            // A parent is always in the same sub-topology.
            let Some(above) = position(&drawn, parent) else { continue };
            insert(&mut drawn, at, above, Edge::Parent);
            insert(&mut drawn, above, at, Edge::Child);
            let grown = drawn[at].size;
            grow(&mut drawn, above, grown);
        }
    }
    drawn
}

fn position(drawn: &[Drawn<'_>], place: usize) -> Option<usize> {
    drawn.iter().position(|one| one.place == place)
}

#[derive(Clone, Copy)]
enum Edge {
    Parent,
    Child,
}

fn insert(drawn: &mut [Drawn<'_>], at: usize, other: usize, edge: Edge) {
    let tree = match edge {
        Edge::Parent => &mut drawn[at].parents,
        Edge::Child => &mut drawn[at].children,
    };
    let mut taken = std::mem::replace(tree, JavaTree::new());
    taken.insert(other, |left, right| compare(drawn, left, right));
    match edge {
        Edge::Parent => drawn[at].parents = taken,
        Edge::Child => drawn[at].children = taken,
    }
}

/// InternalTopologyBuilder.updateSize: a node grows with all that is above it so far.
fn grow(drawn: &mut [Drawn<'_>], at: usize, by: usize) {
    drawn[at].size += by;
    for parent in drawn[at].parents.items() {
        grow(drawn, parent, by);
    }
}

/// InternalTopologyBuilder.NodeComparator: the larger first, then by name.
fn compare(drawn: &[Drawn<'_>], left: usize, right: usize) -> Ordering {
    let (left, right) = (&drawn[left], &drawn[right]);
    right.size.cmp(&left.size).then_with(|| left.node.name.cmp(&right.node.name))
}

fn node_text(text: &mut String, drawn: &[Drawn<'_>], at: usize) {
    let one = &drawn[at];
    let (parents, children) = (names(drawn, &one.parents), names(drawn, &one.children));
    let name = &one.node.name;
    // Writing to a String cannot fail.
    let _ = match &one.node.kind {
        NodeKind::Source { topics, .. } => {
            write!(text, "Source: {name} (topics: {})\n      --> {children}", topics_text(topics))
        }
        NodeKind::Processor(_) => {
            let stores = copied(added(one.node.stores.clone(), String::as_str)).join(", ");
            write!(text, "Processor: {name} (stores: [{stores}])\n      --> {children}\n      <-- {parents}")
        }
        NodeKind::Sink { target: SinkTarget::Topic(topic), .. } => {
            write!(text, "Sink: {name} (topic: {topic})\n      <-- {parents}")
        }
        NodeKind::Sink { target: SinkTarget::Chosen(by), .. } => {
            write!(text, "Sink: {name} (extractor class: {by})\n      <-- {parents}")
        }
    };
}

fn topics_text(topics: &SourceTopics) -> String {
    match topics {
        // Once as the source's own set, once as the description's copy of it.
        SourceTopics::Names(names) => format!("[{}]", copied(copied(names.clone())).join(", ")),
        SourceTopics::Pattern(pattern) => pattern.clone(),
    }
}

fn names(drawn: &[Drawn<'_>], tree: &JavaTree) -> String {
    let names: Vec<&str> = tree.items().into_iter().map(|at| drawn[at].node.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
