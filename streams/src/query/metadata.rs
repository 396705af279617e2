//! Which instance has what (Java: `StreamsMetadataState`): by the group's last assignment, and by the partition that the
//! producer of a key's records chose.
//!
//! Filled by each thread when it is given tasks, read by `KafkaStreams`. Pure: no broker is asked.
//!
//! Not done: instances without `application.server` are not known, not even to themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use client::TopicPartition;
use millstream_protocol::murmur2::partition_for_key;

use super::QueryError;
use crate::assign::{Assignment, Host, TaskId};
use crate::serde::{Serde, SerdeError, bytes_of};
use crate::topology::{NodeKind, SourceTopics, Topology};

/// Where an instance can be asked: its `application.server`.
///
/// ```
/// use streams::HostInfo;
///
/// let host: HostInfo = "[::1]:8080".parse().unwrap();
/// assert_eq!((host.host.as_str(), host.port, host.to_string()), ("::1", 8080, "[::1]:8080".to_owned()));
/// assert!("localhost".parse::<HostInfo>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostInfo {
    /// The name or address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A text that is no `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host:port")]
pub struct NoHost(String);

impl FromStr for HostInfo {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<HostInfo, NoHost> {
        let wrong = || NoHost(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() { Err(wrong()) } else { Ok(HostInfo { host: host.to_owned(), port }) }
    }
}

impl fmt::Display for HostInfo {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(to, "[{}]:{}", self.host, self.port),
            false => write!(to, "{}:{}", self.host, self.port),
        }
    }
}

/// What an instance has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsMetadata {
    /// Where it can be asked.
    pub host: HostInfo,
    /// Stores of the tasks that run there.
    pub state_store_names: BTreeSet<String>,
    /// What those tasks read.
    pub topic_partitions: BTreeSet<TopicPartition>,
    /// Stores that are copied there.
    pub standby_state_store_names: BTreeSet<String>,
    /// What the tasks read whose stores are copied there.
    pub standby_topic_partitions: BTreeSet<TopicPartition>,
}

/// Which instances have a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyQueryMetadata {
    /// The one whose task runs; None while nobody's does.
    pub active_host: Option<HostInfo>,
    /// Those that have a copy.
    pub standby_hosts: BTreeSet<HostInfo>,
    /// The partition of the key; None of a global store, which has none.
    pub partition: Option<i32>,
}

/// How far a store is behind its changelog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagInfo {
    /// The offset up to which the store contains it.
    pub current_offset_position: i64,
    /// Where it ends.
    pub end_offset_position: i64,
}

impl LagInfo {
    /// How many records the store lacks, at most.
    pub fn offset_lag(&self) -> i64 {
        (self.end_offset_position - self.current_offset_position).max(0)
    }
}

/// What the group's leader told of all instances.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directory {
    /// By their endpoints.
    pub hosts: BTreeMap<String, Host>,
    tasks: BTreeMap<TaskId, Vec<TopicPartition>>,
}

impl Directory {
    pub fn of(assignment: &Assignment) -> Directory {
        Directory { hosts: assignment.hosts.clone(), tasks: assignment.tasks.clone() }
    }

    fn places(&self, tasks: &BTreeSet<TaskId>) -> BTreeSet<TopicPartition> {
        tasks.iter().filter_map(|id| self.tasks.get(id)).flatten().cloned().collect()
    }

    /// Java: `StreamsMetadataState.allMetadata`.
    pub fn all(&self, topology: &Topology, application: &str) -> Vec<StreamsMetadata> {
        let sources: Vec<(&str, BTreeSet<String>)> = topology
            .stores()
            .iter()
            .map(|store| (store.name.as_str(), self.sources(topology, application, &store.name)))
            .collect();
        let stores_of = |places: &BTreeSet<TopicPartition>| -> BTreeSet<String> {
            let read = |topics: &BTreeSet<String>| places.iter().any(|place| topics.contains(&place.topic));
            sources.iter().filter(|(_, topics)| read(topics)).map(|(name, _)| (*name).to_owned()).collect()
        };
        let described = |(endpoint, tasks): (&String, &Host)| {
            let (active, standby) = (self.places(&tasks.active), self.places(&tasks.standby));
            Some(StreamsMetadata {
                host: endpoint.parse().ok()?,
                state_store_names: stores_of(&active),
                topic_partitions: active,
                standby_state_store_names: stores_of(&standby),
                standby_topic_partitions: standby,
            })
        };
        self.hosts.iter().filter_map(described).collect()
    }

    /// Those of them that have the store; every instance has a global one.
    pub fn of_store(&self, topology: &Topology, application: &str, store: &str) -> Vec<StreamsMetadata> {
        let is_global = topology.global_stores().iter().any(|global| global.name == store);
        let mut all = self.all(topology, application);
        all.retain(|host| {
            is_global || host.state_store_names.contains(store) || host.standby_state_store_names.contains(store)
        });
        all
    }

    /// Who has the key of which `partition` says the partition, given the topic and how many it has.
    pub fn of_key(
        &self,
        topology: &Topology,
        (application, own): (&str, Option<&str>),
        store: &str,
        partition: impl FnOnce(&str, u32) -> Result<u32, QueryError>,
    ) -> Result<KeyQueryMetadata, QueryError> {
        let all = self.all(topology, application);
        if topology.global_stores().iter().any(|global| global.name == store) {
            let own = own.and_then(|own| own.parse().ok());
            let active_host = own.or_else(|| all.into_iter().map(|host| host.host).next());
            return Ok(KeyQueryMetadata { active_host, standby_hosts: BTreeSet::new(), partition: None });
        }
        if all.is_empty() {
            return Err(QueryError::MetadataNotAvailable);
        }
        let topics = self.sources(topology, application, store);
        let (topic, count) = self.widest(&topics).ok_or(QueryError::MetadataNotAvailable)?;
        let partition = i32::try_from(partition(&topic, count)?).unwrap_or(i32::MAX);
        let reads = |places: &BTreeSet<TopicPartition>| {
            places.iter().any(|place| place.partition == partition && topics.contains(&place.topic))
        };
        let runs = |host: &&StreamsMetadata| host.state_store_names.contains(store) && reads(&host.topic_partitions);
        let copies = |host: &&StreamsMetadata| {
            host.standby_state_store_names.contains(store) && reads(&host.standby_topic_partitions)
        };
        Ok(KeyQueryMetadata {
            active_host: all.iter().find(runs).map(|host| host.host.clone()),
            standby_hosts: all.iter().filter(copies).map(|host| host.host.clone()).collect(),
            partition: Some(partition),
        })
    }

    /// Of these topics the one with the most partitions, and how many.
    fn widest(&self, topics: &BTreeSet<String>) -> Option<(String, u32)> {
        let read = self.tasks.values().flatten().filter(|place| topics.contains(&place.topic));
        let last = read.max_by_key(|place| place.partition)?;
        Some((last.topic.clone(), u32::try_from(last.partition + 1).ok()?))
    }

    /// The topics that records of a store come from (InternalTopologyBuilder.sourceTopicsForStore).
    fn sources(&self, topology: &Topology, application: &str, store: &str) -> BTreeSet<String> {
        let nodes = topology.nodes();
        let connected = |place: &usize| nodes[*place].stores.iter().any(|name| name == store);
        let mut left: Vec<usize> = (0..nodes.len()).filter(connected).collect();
        let (mut seen, mut topics) = (BTreeSet::new(), BTreeSet::new());
        while let Some(place) = left.pop() {
            if !seen.insert(place) {
                continue;
            }
            let node = &nodes[place];
            left.extend(&node.parents);
            match &node.kind {
                NodeKind::Source { topics: SourceTopics::Names(names), .. } => {
                    topics.extend(names.iter().map(|name| topology.whole_name(application, name)));
                }
                NodeKind::Source { topics: SourceTopics::Pattern(pattern), .. } => {
                    let Ok(pattern) = regex::Regex::new(&format!("^(?:{pattern})$")) else { continue };
                    let read = self.tasks.values().flatten().filter(|read| pattern.is_match(&read.topic));
                    topics.extend(read.map(|place| place.topic.clone()));
                }
                NodeKind::Processor(_) | NodeKind::Sink { .. } => {}
            }
        }
        topics
    }
}

/// The partition that a producer gives a key.
pub(crate) fn partition_of<K>(key: &K, serde: &impl Serde<K>, count: u32) -> Result<u32, SerdeError> {
    let bytes = bytes_of(serde, key)?;
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let partition = partition_for_key(&bytes[..serde.routing_len(bytes.len())], count);
    Ok(u32::try_from(partition).unwrap_or(0))
}
