//! Committed offsets by group, topic and partition, and those that wait for the end of a transaction.
//!
//! Changed only by records: after their append, or on replay. Mirrors `OffsetMetadataManager` in Apache's group
//! coordinator. Never looks at members.

use hashbrown::HashMap;
use millstream_protocol::messages::StrBytes;
use smallvec::SmallVec;

use super::classic::Name;
use crate::record_group::OffsetValue;
use crate::step::TransactionResult;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// What the client committed.
    pub value: OffsetValue,
    /// Where its record lies in the log: the later one wins when transactions and plain commits mix.
    pub record_offset: i64,
}

/// A change that a record makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An offset.
    Put {
        /// Group id.
        group: Name,
        /// Topic.
        topic: Name,
        /// Partition index.
        partition: i32,
        /// The offset.
        value: OffsetValue,
    },
    /// The tombstone of an offset.
    Remove {
        /// Group id.
        group: Name,
        /// Topic.
        topic: Name,
        /// Partition index.
        partition: i32,
    },
    /// The tombstone of a group.
    RemoveGroup {
        /// Group id.
        group: Name,
        /// The empty generation that it ends.
        generation: i32,
    },
}

/// Offsets by topic and partition.
pub type Topics<T> = HashMap<Name, HashMap<i32, T>>;

/// All offsets of a shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    committed: HashMap<Name, Topics<Committed>>,
    /// By producer id: what its open transaction would commit.
    pending: HashMap<i64, HashMap<Name, Topics<Committed>>>,
    /// The same the other way round: which transactions hold a partition of a group.
    open: HashMap<Name, Topics<SmallVec<[i64; 1]>>>,
}

impl Offsets {
    /// The offsets of a group.
    pub fn of(&self, group: &str) -> Option<&Topics<Committed>> {
        self.committed.get(group)
    }

    /// Every committed offset: group, topic, partition, offset.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, i32, i64)> {
        self.committed.iter().flat_map(|(group, topics)| {
            topics.iter().flat_map(move |(topic, partitions)| {
                partitions.iter().map(move |(index, committed)| {
                    let (group, topic): (&str, &str) = (group, topic);
                    (group, topic, *index, committed.value.offset)
                })
            })
        })
    }

    /// One offset.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.committed.get(group)?.get(topic)?.get(&partition)
    }

    /// Partitions of a group that open transactions hold.
    pub fn open(&self, group: &str) -> Option<&Topics<SmallVec<[i64; 1]>>> {
        self.open.get(group)
    }

    /// Whether an open transaction holds this partition.
    pub fn is_open(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.open.get(group).and_then(|topics| topics.get(topic)).is_some_and(|held| held.contains_key(&partition))
    }

    /// The key of a topic that is there already, or a new one: one allocation per topic, not per commit.
    pub fn topic_name(&self, group: &str, topic: &StrBytes) -> Name {
        let known = self.committed.get(group).and_then(|topics| topics.get_key_value(topic.as_str()));
        known.map_or_else(|| topic.as_str().into(), |(name, _)| name.clone())
    }

    /// Number of offsets.
    pub fn count(&self) -> usize {
        self.committed.values().flat_map(HashMap::values).map(HashMap::len).sum()
    }

    /// Stores an offset; under `producer_id` it waits for the marker.
    pub fn put(&mut self, group: Name, topic: Name, partition: i32, committed: Committed, producer_id: Option<i64>) {
        match producer_id {
            None => put(&mut self.committed, group, topic, partition, committed),
            Some(producer_id) => {
                let open = self.open.entry(group.clone()).or_default().entry(topic.clone()).or_default();
                let producers = open.entry(partition).or_default();
                if !producers.contains(&producer_id) {
                    producers.push(producer_id);
                }
                put(self.pending.entry(producer_id).or_default(), group, topic, partition, committed);
            }
        }
    }

    /// A tombstone: the offset goes, and with it what open transactions would make of it.
    pub fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        remove(&mut self.committed, group, topic, partition);
        for producer_id in remove(&mut self.open, group, topic, partition).unwrap_or_default() {
            if let Some(groups) = self.pending.get_mut(&producer_id) {
                remove(groups, group, topic, partition);
            }
        }
    }

    /// A marker: what the transaction committed counts from now on, or never happened.
    pub fn end_transaction(&mut self, producer_id: i64, result: TransactionResult) {
        let Some(groups) = self.pending.remove(&producer_id) else { return };
        for (group, topics) in groups {
            for (topic, partitions) in topics {
                for (partition, committed) in partitions {
                    self.release(&group, &topic, partition, producer_id);
                    let earlier = self.committed(&group, &topic, partition).map(|known| known.record_offset);
                    // Compaction keeps the record with the larger offset, so that one must win here as well.
                    if result == TransactionResult::Commit
                        && earlier.is_none_or(|earlier| committed.record_offset > earlier)
                    {
                        put(&mut self.committed, group.clone(), topic.clone(), partition, committed);
                    }
                }
            }
        }
    }

    fn release(&mut self, group: &str, topic: &str, partition: i32, producer_id: i64) {
        let held =
            self.open.get_mut(group).and_then(|topics| topics.get_mut(topic)).and_then(|p| p.get_mut(&partition));
        let Some(producers) = held else { return };
        producers.retain(|producer| *producer != producer_id);
        if producers.is_empty() {
            remove(&mut self.open, group, topic, partition);
        }
    }

    /// Partitions of `topic` with an offset, committed or pending, of any group.
    pub fn of_topic(&self, topic: &str) -> Vec<(Name, Name, i32, uuid::Uuid)> {
        let mut found = Vec::new();
        for groups in std::iter::once(&self.committed).chain(self.pending.values()) {
            for (group, topics) in groups {
                let Some((name, partitions)) = topics.get_key_value(topic) else { continue };
                for (partition, committed) in partitions {
                    found.push((group.clone(), name.clone(), *partition, committed.value.topic_id));
                }
            }
        }
        found.sort();
        found
    }
}

fn put<T>(groups: &mut HashMap<Name, Topics<T>>, group: Name, topic: Name, partition: i32, value: T) {
    groups.entry(group).or_default().entry(topic).or_default().insert(partition, value);
}

/// Removes one, and the maps that it leaves empty.
fn remove<T>(groups: &mut HashMap<Name, Topics<T>>, group: &str, topic: &str, partition: i32) -> Option<T> {
    let topics = groups.get_mut(group)?;
    let partitions = topics.get_mut(topic)?;
    let removed = partitions.remove(&partition);
    if partitions.is_empty() {
        topics.remove(topic);
    }
    if topics.is_empty() {
        groups.remove(group);
    }
    removed
}
