//! The rewrites of `topology.optimization`: fewer repartition topics, source topics as changelogs, one store for a self-join.
//! Called by `graph::build` on a copy of the plan. Never run unless the configuration asks for it, as in Kafka Streams.

use super::repartition::{AskedBy, Repartition};
use super::{Graph, Kind, NodeId, Scope};
use crate::error::TopologyError;

/// One rule of `topology.optimization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optimization {
    /// `reuse.ktable.source.topics`: a source topic is the changelog of its table.
    ReuseTableSourceTopics,
    /// `merge.repartition.topics`: one topic below a key change, however many operators need it.
    MergeRepartitionTopics,
    /// `single.store.self.join`: a stream joined with itself is kept once.
    SingleStoreSelfJoin,
}

impl Optimization {
    /// Every rule: `all`.
    pub const ALL: [Optimization; 3] =
        [Optimization::ReuseTableSourceTopics, Optimization::MergeRepartitionTopics, Optimization::SingleStoreSelfJoin];

    /// The rules of a configured text: `none`, `all`, or names with commas between.
    pub fn parse(text: &str) -> Result<Vec<Optimization>, TopologyError> {
        match text.trim() {
            "none" => return Ok(Vec::new()),
            "all" => return Ok(Optimization::ALL.to_vec()),
            _ => {}
        }
        text.split(',').map(|rule| Optimization::named(rule.trim())).collect()
    }

    fn named(rule: &str) -> Result<Optimization, TopologyError> {
        match rule {
            "reuse.ktable.source.topics" => Ok(Optimization::ReuseTableSourceTopics),
            "merge.repartition.topics" => Ok(Optimization::MergeRepartitionTopics),
            "single.store.self.join" => Ok(Optimization::SingleStoreSelfJoin),
            other => Err(TopologyError::UnknownOptimization(other.to_owned())),
        }
    }
}

impl Graph {
    pub(super) fn optimise(&mut self, rules: &[Optimization]) {
        if rules.contains(&Optimization::ReuseTableSourceTopics) {
            self.reuse_sources();
        }
        if rules.contains(&Optimization::MergeRepartitionTopics) {
            self.assign_to_merges();
            self.merge_repartitions();
        }
        if rules.contains(&Optimization::SingleStoreSelfJoin) {
            self.rewrite_self_joins();
        }
    }

    fn reuse_sources(&mut self) {
        for node in &mut self.nodes {
            if let Kind::TableSource(source) = &mut node.kind
                && source.scope == Scope::Task
            {
                source.scope = Scope::TaskFromSource;
            }
        }
    }

    /// maybeUpdateKeyChangingRepartitionNodeMap: where rekeyed streams are merged before they are repartitioned, the
    /// topic belongs below the merge.
    fn assign_to_merges(&mut self) {
        let merges: Vec<NodeId> = (0..self.nodes.len()).filter(|node| self.nodes[*node].traits.merges).collect();
        let mut moved: Vec<NodeId> = Vec::new();
        let mut gained: Vec<(NodeId, Vec<NodeId>)> = Vec::new();
        for merge in merges {
            let mut repartitions: Vec<NodeId> = Vec::new();
            for (changer, of_changer) in &self.key_changers {
                let all_below = of_changer.iter().all(|node| self.is_below(*node, merge));
                if all_below && self.is_below(merge, *changer) {
                    repartitions.extend(
                        of_changer.iter().filter(|node| !repartitions.contains(node)).copied().collect::<Vec<_>>(),
                    );
                    moved.push(*changer);
                }
            }
            gained.push((merge, repartitions));
        }
        self.key_changers.extend(gained);
        self.key_changers.retain(|(changer, _)| !moved.contains(changer));
    }

    /// Whether a child of `above` is `node` or stands above it.
    fn is_below(&self, node: NodeId, above: NodeId) -> bool {
        self.child_towards(node, above).is_some()
    }

    fn child_towards(&self, node: NodeId, above: NodeId) -> Option<NodeId> {
        self.find_up(node, &|graph, at| graph.nodes[at].parents.contains(&above))
    }

    fn merge_repartitions(&mut self) {
        for (changer, repartitions) in std::mem::take(&mut self.key_changers) {
            let Some(first) = repartitions.first() else { continue };
            let Kind::Repartition(Repartition { topic, edge, .. }) = self.nodes[*first].kind.clone() else {
                continue;
            };
            let merged = self.repartition(&topic, AskedBy::Operator, edge);
            let node = self.repartition_node(merged);
            // The priority of the key change brings the one topic before all that is below it.
            self.nodes[node].priority = self.nodes[changer].priority;
            for replaced in repartitions {
                self.replace_repartition(changer, replaced, node);
            }
            self.add_edge(changer, node);
        }
    }

    /// Hangs what led from the key change to `replaced` below the new node, and what was below `replaced` on its parents.
    fn replace_repartition(&mut self, changer: NodeId, replaced: NodeId, new: NodeId) {
        let Some(child) = self.child_towards(replaced, changer) else { return };
        self.add_edge(new, child);
        self.remove_edge(changer, child);
        let (children, parents) = (self.nodes[replaced].children.clone(), self.nodes[replaced].parents.clone());
        for below in &children {
            parents.iter().for_each(|parent| self.add_edge(*parent, *below));
        }
        parents.iter().for_each(|parent| self.remove_edge(*parent, replaced));
        children.iter().for_each(|below| self.remove_edge(replaced, *below));
        let (old, name) = (self.nodes[replaced].name.clone(), self.nodes[new].name.clone());
        for group in &mut self.copartitions {
            if group.contains(&old) {
                group.retain(|source| *source != old && *source != name);
                group.push(name.clone());
            }
        }
    }

    /// A join whose both sides are one node needs the window of one side only.
    fn rewrite_self_joins(&mut self) {
        for node in 0..self.nodes.len() {
            let one = &mut self.nodes[node];
            let (Kind::StreamJoin(join), [parent]) = (&mut one.kind, one.parents.as_slice()) else {
                continue;
            };
            let (parent, other) = (*parent, join.other.0.clone());
            join.is_self = true;
            let right = self.nodes[parent].children.iter().copied().find(|child| self.nodes[*child].name == other);
            if let Some(right) = right {
                self.remove_edge(parent, right);
            }
        }
    }
}
