//! Each topic's partitions in runs (Java: `RangeAssignor`); where racks count, members get those near them first, and
//! topics with the same readers and as many partitions are kept together.

use std::collections::{BTreeMap, BTreeSet};

use super::{Assignment, Member, Topics, racks, sorted};
use crate::TopicPartition;

/// A topic while it is given out.
struct Topic<'a> {
    name: &'a str,
    /// In order.
    readers: Vec<&'a Member>,
    racks: &'a [Vec<String>],
    /// Whether any reader names a rack; without, racks are not looked at.
    has_racks: bool,
    matters: bool,
    /// By partition: not given out yet.
    free: Vec<bool>,
    /// By reader.
    given: Vec<usize>,
    each: usize,
    more: usize,
}

impl<'a> Topic<'a> {
    fn new(name: &'a str, racks: &'a [Vec<String>], sorted: &[&'a Member]) -> Self {
        let readers: Vec<&Member> =
            sorted.iter().filter(|member| member.topics.iter().any(|topic| topic == name)).copied().collect();
        let near: BTreeSet<&str> =
            readers.iter().map(|member| member.rack.as_str()).filter(|rack| !rack.is_empty()).collect();
        let count = readers.len().max(1);
        Topic {
            name,
            racks,
            has_racks: !near.is_empty(),
            matters: racks::matter(&near, racks.iter()),
            free: vec![true; racks.len()],
            given: vec![0; readers.len()],
            each: racks.len() / count,
            more: racks.len() % count,
            readers,
        }
    }

    fn is_near(&self, reader: usize, partition: usize) -> bool {
        let rack = &self.readers[reader].rack;
        rack.is_empty() || self.has_racks && self.racks[partition].contains(rack)
    }

    fn room(&self, reader: usize) -> usize {
        (self.each + usize::from(self.more > 0)).saturating_sub(self.given[reader])
    }

    fn give(&mut self, reader: usize, partitions: &[usize], assignment: &mut Assignment) {
        let own = assignment.entry(self.readers[reader].id.clone()).or_default();
        for partition in partitions {
            own.push(TopicPartition::new(self.name, *partition as i32));
            self.free[*partition] = false;
        }
        self.given[reader] += partitions.len();
        if self.given[reader] > self.each {
            self.more = self.more.saturating_sub(1);
        }
    }

    /// A run of what is free to each reader, of those partitions only that are near it for [`Runs::Near`].
    fn runs(&mut self, runs: Runs, assignment: &mut Assignment) {
        for reader in 0..self.readers.len() {
            let fits =
                |partition: &usize| self.free[*partition] && (runs == Runs::All || self.is_near(reader, *partition));
            let run: Vec<usize> = (0..self.free.len()).filter(fits).take(self.room(reader)).collect();
            if !run.is_empty() {
                self.give(reader, &run, assignment);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    All,
    Near,
}

pub(super) fn assign(topics: &Topics, members: &[Member]) -> Assignment {
    let sorted = sorted(members);
    let mut assignment: Assignment = members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
    let mut states: Vec<Topic> = topics.iter().map(|(name, racks)| Topic::new(name, racks, &sorted)).collect();
    if states.iter().any(|topic| topic.matters) {
        by_racks(&mut states, &mut assignment);
    }
    for topic in &mut states {
        topic.runs(Runs::All, &mut assignment);
    }
    assignment.values_mut().for_each(|places| places.sort());
    assignment
}

fn by_racks(states: &mut [Topic], assignment: &mut Assignment) {
    // Same readers and as many partitions; topics of which no reader names a rack count as having none.
    let mut alike: BTreeMap<(BTreeSet<String>, usize), Vec<usize>> = BTreeMap::new();
    for (index, topic) in states.iter().enumerate() {
        let readers = topic.readers.iter().map(|member| member.id.clone()).collect();
        let count = if topic.has_racks { topic.racks.len() } else { 0 };
        alike.entry((readers, count)).or_default().push(index);
    }
    for ((_, count), indexes) in alike {
        match indexes.as_slice() {
            [only] if states[*only].matters => states[*only].runs(Runs::Near, assignment),
            [_] => {}
            several => together(states, several, count, assignment),
        }
    }
}

/// Partition n of all the topics to one member that is near to each of them.
fn together(states: &mut [Topic], indexes: &[usize], count: usize, assignment: &mut Assignment) {
    let mut left: Vec<usize> = (0..states[indexes[0]].readers.len()).collect();
    for partition in 0..count {
        let fits = |reader: &usize| {
            indexes.iter().all(|index| states[*index].is_near(*reader, partition) && states[*index].room(*reader) > 0)
        };
        let Some(reader) = left.iter().copied().find(fits) else { continue };
        for index in indexes {
            states[*index].give(reader, &[partition], assignment);
        }
        if indexes.iter().all(|index| states[*index].room(reader) == 0) {
            left.retain(|other| *other != reader);
        }
    }
}
