//! Topics of a running application: how many partitions its own have, which tasks follow, which are to be made. Pure.
//!
//! Called by `member.rs` with what the cluster has, before tasks are given out (Java: `RepartitionTopics`,
//! `CopartitionedTopicsEnforcer`, `ChangelogTopics`, `InternalTopicManager`). Never speaks to a broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::TopicPartition;
use regex::Regex;
use thiserror::Error;

use crate::assign::TaskId;
use crate::topology::internal_topics::InternalTopic;
use crate::topology::store::{Changelog, Store};
use crate::topology::{NodeKind, SinkTarget, SourceTopics, Topology};

/// Partitions by topic.
pub(crate) type Counts = BTreeMap<String, usize>;

/// What an additional day is, before the settings say otherwise.
const ADDITIONAL_RETENTION: Duration = Duration::from_secs(86_400);

/// Why no tasks can be made of what the cluster has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopicsError {
    /// Topics that are read are not there.
    #[error("source topics are missing: {0:?}; create them before the application is started")]
    MissingSource(Vec<String>),
    /// Topics that are joined differ in their numbers of partitions.
    #[error(
        "following topics do not have the same number of partitions: {0}; what is joined or merged by key needs as many \
         partitions on both sides: create one of them anew, or repartition() the stream"
    )]
    Mismatched(String),
    /// The user fixed a number that the other topics do not have.
    #[error(
        "number of partitions [{fixed}] of repartition topic [{topic}] doesn't match number of partitions [{wanted}] of the source topic"
    )]
    Fixed {
        /// The repartition topic.
        topic: String,
        /// Its number.
        fixed: usize,
        /// What the other topics have.
        wanted: usize,
    },
    /// Nothing says how many partitions a repartition topic has.
    #[error("the number of partitions of repartition topic {0} cannot be told from the topics above it")]
    Undecided(String),
    /// A topic of the application has another number of partitions than it needs.
    #[error(
        "existing internal topic {topic} has invalid partitions: expected {expected}, actual {actual}; reset the \
         application (kafka-streams-application-reset) to clean up invalid topics before processing"
    )]
    Invalid {
        /// The topic.
        topic: String,
        /// What it needs.
        expected: usize,
        /// What it has.
        actual: usize,
    },
}

/// Everything that follows from the numbers of partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Topics of the application with their settings and numbers of partitions.
    pub own: Vec<InternalTopic>,
    /// Every task with the partitions that it reads.
    pub tasks: BTreeMap<TaskId, Vec<TopicPartition>>,
    /// Of each sub-topology the changelogs of its stores.
    pub changelogs: BTreeMap<usize, Vec<String>>,
}

/// The sub-topologies of a topology as topics see them.
pub(crate) struct Plan<'a> {
    topology: &'a Topology,
    application: &'a str,
    /// Of each sub-topology what it reads: whole names.
    sources: BTreeMap<usize, BTreeSet<String>>,
    /// Of each sub-topology the application's own topics that it writes.
    sinks: BTreeMap<usize, BTreeSet<String>>,
    /// The application's own topics between sub-topologies.
    repartition: BTreeMap<String, Option<usize>>,
}

impl<'a> Plan<'a> {
    /// What `topology` reads and writes; patterns are looked up among `present`.
    pub fn new(topology: &'a Topology, application: &'a str, present: &Counts) -> Plan<'a> {
        let whole = |name: &String| topology.whole_name(application, name);
        let repartition = topology.repartition_topics().iter();
        let repartition: BTreeMap<String, Option<usize>> =
            repartition.map(|topic| (whole(&topic.name), topic.partitions.map(|count| count as usize))).collect();
        let (mut sources, mut sinks) = (BTreeMap::<_, BTreeSet<String>>::new(), BTreeMap::<_, BTreeSet<String>>::new());
        for node in topology.nodes().iter().filter(|node| !topology.is_global(node)) {
            match &node.kind {
                NodeKind::Source { topics: SourceTopics::Names(names), .. } => {
                    sources.entry(node.subtopology).or_default().extend(names.iter().map(whole));
                }
                NodeKind::Source { topics: SourceTopics::Pattern(pattern), .. } => {
                    // The pattern was checked when the topology was built.
                    let pattern = Regex::new(&format!("^(?:{pattern})$"));
                    let fits = |name: &&String| pattern.as_ref().is_ok_and(|pattern| pattern.is_match(name));
                    sources.entry(node.subtopology).or_default().extend(present.keys().filter(fits).cloned());
                }
                NodeKind::Sink { target: SinkTarget::Topic(name), .. } => {
                    let name = whole(name);
                    if repartition.contains_key(&name) {
                        sinks.entry(node.subtopology).or_default().insert(name);
                    }
                }
                NodeKind::Sink { .. } | NodeKind::Processor(_) => {}
            }
        }
        Plan { topology, application, sources, sinks, repartition }
    }

    /// Every topic that is read by tasks.
    pub fn source_topics(&self) -> BTreeSet<String> {
        self.sources.values().flatten().cloned().collect()
    }

    /// The topics of others that are read.
    pub fn foreign_topics(&self) -> Vec<String> {
        self.source_topics().into_iter().filter(|topic| !self.repartition.contains_key(topic)).collect()
    }

    /// Decides everything that follows from what is `present`.
    pub fn layout(&self, present: &Counts, over: &Overrides) -> Result<Layout, TopicsError> {
        let missing: Vec<String> =
            self.foreign_topics().into_iter().filter(|topic| !present.contains_key(topic)).collect();
        if !missing.is_empty() {
            return Err(TopicsError::MissingSource(missing));
        }
        let mut counts: Counts = self
            .foreign_topics()
            .into_iter()
            .map(|topic| (topic.clone(), present.get(&topic).copied().unwrap_or(0)))
            .collect();
        self.count_repartition_topics(&mut counts)?;
        self.copartition(&mut counts)?;
        let tasks = self.tasks(&counts);
        let mut partitions: BTreeMap<usize, usize> = BTreeMap::new();
        for task in tasks.keys() {
            *partitions.entry(task.subtopology).or_default() += 1;
        }
        let (mut own, mut changelogs) = (self.topology.internal_topics(self.application), BTreeMap::new());
        for store in self.topology.stores() {
            let Some(subtopology) = self.subtopology_of(store) else { continue };
            if let Some(topic) = changelog_name(store, self.topology, self.application) {
                if matches!(store.changelog, Changelog::Own(_)) {
                    counts.insert(topic.clone(), partitions.get(&subtopology).copied().unwrap_or(0));
                }
                changelogs.entry(subtopology).or_insert_with(Vec::new).push(topic);
            }
        }
        for topic in &mut own {
            let expected = counts.get(&topic.name).copied().unwrap_or(0);
            if let Some(actual) = present.get(&topic.name).copied().filter(|actual| *actual != expected) {
                return Err(TopicsError::Invalid { topic: topic.name.clone(), expected, actual });
            }
            topic.partitions = u32::try_from(expected).ok();
            over.apply(topic, self.store_settings(&topic.name));
        }
        Ok(Layout { own, tasks, changelogs })
    }

    fn subtopology_of(&self, store: &Store) -> Option<usize> {
        let uses = |name: &String| self.topology.nodes().iter().find(|node| node.name == *name);
        store.processors.iter().find_map(uses).map(|node| node.subtopology)
    }

    /// What the user set for the changelog of this name.
    fn store_settings(&self, topic: &str) -> Option<&BTreeMap<String, String>> {
        self.topology.stores().iter().find_map(|store| match &store.changelog {
            Changelog::Own(over) if format!("{}-{}-changelog", self.application, store.name) == topic => Some(over),
            _ => None,
        })
    }

    /// A repartition topic has as many partitions as the largest topic above it (RepartitionTopics).
    fn count_repartition_topics(&self, counts: &mut Counts) -> Result<(), TopicsError> {
        counts.extend(self.repartition.iter().filter_map(|(topic, fixed)| Some((topic.clone(), (*fixed)?))));
        loop {
            let open: Vec<&String> = self.repartition.keys().filter(|topic| !counts.contains_key(*topic)).collect();
            let mut found = Vec::new();
            for topic in &open {
                let writers = self.sinks.iter().filter(|(_, sinks)| sinks.contains(*topic));
                let above = writers.filter_map(|(subtopology, _)| self.sources.get(subtopology)).flatten();
                if let Some(count) = above.filter_map(|source| counts.get(source)).max() {
                    found.push(((*topic).clone(), *count));
                }
            }
            match (open.first(), found.is_empty()) {
                (None, _) => return Ok(()),
                (Some(topic), true) => return Err(TopicsError::Undecided((*topic).clone())),
                (Some(_), false) => counts.extend(found),
            }
        }
    }

    /// Topics that are joined have equal numbers (CopartitionedTopicsEnforcer).
    fn copartition(&self, counts: &mut Counts) -> Result<(), TopicsError> {
        for group in self.topology.copartitions() {
            let topics: BTreeSet<String> = group.iter().flat_map(|node| self.topics_of(node)).collect();
            let (own, foreign): (Vec<&String>, Vec<&String>) =
                topics.iter().partition(|topic| self.repartition.contains_key(*topic));
            let number = |topic: &&String| counts.get(*topic).copied().unwrap_or(0);
            let wanted = match foreign.first() {
                Some(first) => {
                    let wanted = number(first);
                    if foreign.iter().any(|topic| number(topic) != wanted) {
                        let all: BTreeMap<&String, usize> =
                            foreign.iter().map(|topic| (*topic, number(topic))).collect();
                        return Err(TopicsError::Mismatched(format!("{all:?}")));
                    }
                    wanted
                }
                None => {
                    let fixed: BTreeMap<&String, usize> =
                        own.iter().filter_map(|topic| Some((*topic, self.fixed(topic)?))).collect();
                    let first = fixed.values().next().copied();
                    if fixed.values().any(|count| Some(*count) != first) {
                        return Err(TopicsError::Mismatched(format!("{fixed:?}")));
                    }
                    first.or_else(|| own.iter().map(number).max()).unwrap_or(0)
                }
            };
            for topic in own {
                if let Some(fixed) = self.fixed(topic).filter(|fixed| *fixed != wanted) {
                    return Err(TopicsError::Fixed { topic: topic.clone(), fixed, wanted });
                }
                counts.insert(topic.clone(), wanted);
            }
        }
        Ok(())
    }

    fn fixed(&self, topic: &str) -> Option<usize> {
        self.repartition.get(topic).copied().flatten()
    }

    fn topics_of(&self, name: &str) -> Vec<String> {
        let node = self.topology.nodes().iter().find(|node| node.name == name);
        match node.map(|node| &node.kind) {
            Some(NodeKind::Source { topics: SourceTopics::Names(names), .. }) => {
                names.iter().map(|name| self.topology.whole_name(self.application, name)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A task for each partition of the largest topic of a sub-topology (PartitionGrouper).
    fn tasks(&self, counts: &Counts) -> BTreeMap<TaskId, Vec<TopicPartition>> {
        let mut tasks: BTreeMap<TaskId, Vec<TopicPartition>> = BTreeMap::new();
        for (subtopology, topics) in &self.sources {
            for topic in topics {
                let count = counts.get(topic).and_then(|count| i32::try_from(*count).ok()).unwrap_or(0);
                for partition in 0..count {
                    let task = TaskId { subtopology: *subtopology, partition };
                    tasks.entry(task).or_default().push(TopicPartition::new(topic, partition));
                }
            }
        }
        tasks
    }
}

/// The topic that a store is restored from.
pub(crate) fn changelog_name(store: &Store, topology: &Topology, application: &str) -> Option<String> {
    match &store.changelog {
        Changelog::Own(_) => Some(format!("{application}-{}-changelog", store.name)),
        Changelog::Source(topic) => Some(topology.whole_name(application, topic)),
        Changelog::Off => None,
    }
}

/// Settings of the application that change those of its topics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// Those with the prefix `topic.`.
    pub topics: BTreeMap<String, String>,
    /// `windowstore.changelog.additional.retention.ms`
    pub additional_retention: Option<Duration>,
}

impl Overrides {
    /// Defaults of the kind of topic, then `topic.`, then what was set for the store (InternalTopicConfig.properties).
    fn apply(&self, topic: &mut InternalTopic, of_store: Option<&BTreeMap<String, String>>) {
        let additional = self.additional_retention.unwrap_or(ADDITIONAL_RETENTION);
        let windowed = topic.config.get("cleanup.policy").is_some_and(|policy| policy.contains("delete"));
        if let Some(kept) = topic.config.get_mut("retention.ms").filter(|kept| windowed && *kept != "-1")
            && let Ok(ms) = kept.parse::<i128>()
        {
            *kept = (ms - ADDITIONAL_RETENTION.as_millis() as i128 + additional.as_millis() as i128).to_string();
        }
        topic.config.extend(self.topics.clone());
        topic.config.extend(of_store.cloned().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsl::options::Repartitioned;
    use crate::dsl::windows::JoinWindows;
    use crate::{KStream, StreamsBuilder};

    fn counts(pairs: &[(&str, usize)]) -> Counts {
        pairs.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    fn laid_out(topology: &Topology, present: &[(&str, usize)]) -> Result<Layout, TopicsError> {
        let present = counts(present);
        Plan::new(topology, "app", &present).layout(&present, &Overrides::default())
    }

    fn counted() -> Topology {
        let builder = StreamsBuilder::new();
        let words: KStream<String, String> = builder.stream("in");
        words.group_by(|_, word| word.clone()).count("counts").to_stream().to("out");
        builder.build().expect("the topology is sound")
    }

    #[test]
    fn own_topics_have_the_partitions_of_those_above() {
        let layout = laid_out(&counted(), &[("in", 3)]).expect("all is there");
        let own: Vec<(&str, Option<u32>)> =
            layout.own.iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect();
        assert_eq!(own, [("app-counts-changelog", Some(3)), ("app-counts-repartition", Some(3))]);
        assert_eq!(layout.tasks.len(), 6);
        let second = TaskId { subtopology: 1, partition: 2 };
        assert_eq!(layout.tasks[&second], [TopicPartition::new("app-counts-repartition", 2)]);
        assert_eq!(layout.changelogs, BTreeMap::from([(1, vec!["app-counts-changelog".to_owned()])]));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let missing = laid_out(&counted(), &[("out", 3)]);
        assert_eq!(missing, Err(TopicsError::MissingSource(vec!["in".to_owned()])));
        let invalid = laid_out(&counted(), &[("in", 3), ("app-counts-changelog", 2)]);
        let topic = "app-counts-changelog".to_owned();
        assert_eq!(invalid, Err(TopicsError::Invalid { topic, expected: 3, actual: 2 }));
    }

    fn joined(fixed: Option<u32>) -> Topology {
        let builder = StreamsBuilder::new();
        let left: KStream<String, String> = builder.stream("left");
        let left = match fixed {
            Some(count) => left.repartition(Repartitioned::from("again").partitions(count)),
            None => left,
        };
        let right: KStream<String, String> = builder.stream("right");
        let windows = JoinWindows::of_time_difference_and_grace(Duration::from_secs(1), Duration::ZERO);
        left.join(&right, |left, right| format!("{left}{right}"), windows, ()).to("out");
        builder.build().expect("the topology is sound")
    }

    #[test]
    fn joined_topics_are_equal() {
        assert!(laid_out(&joined(None), &[("left", 2), ("right", 2)]).is_ok());
        let differ = laid_out(&joined(None), &[("left", 2), ("right", 3)]).expect_err("they differ");
        assert!(differ.to_string().contains("\"left\": 2") && differ.to_string().contains("\"right\": 3"), "{differ}");
        let fixed = laid_out(&joined(Some(4)), &[("left", 2), ("right", 3)]).expect_err("4 are not 3");
        assert!(matches!(fixed, TopicsError::Fixed { fixed: 4, wanted: 3, .. }), "{fixed}");
        assert!(laid_out(&joined(Some(3)), &[("left", 2), ("right", 3)]).is_ok());
    }

    #[test]
    fn settings_of_topics_are_layered() {
        let present = counts(&[("in", 1)]);
        let topics = BTreeMap::from([("segment.bytes".to_owned(), "7".to_owned()), ("x".to_owned(), "y".to_owned())]);
        let over = Overrides { topics, additional_retention: Some(Duration::ZERO) };
        let topology = counted();
        let layout = Plan::new(&topology, "app", &present).layout(&present, &over).expect("all is there");
        assert_eq!(layout.own[1].config["segment.bytes"], "7");
        assert_eq!((layout.own[1].config["retention.ms"].as_str(), layout.own[0].config["x"].as_str()), ("-1", "y"));
    }
}
