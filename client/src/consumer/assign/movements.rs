//! Which partitions went from whom to whom while assignments are evened out (Java: `PartitionMovements`): a pair of
//! members does not exchange partitions of one topic.

use std::collections::HashMap;

use super::java_set::JavaSet;
use super::sticky::{Group, Place};

#[derive(Default)]
pub(super) struct Movements {
    /// By partition: first and last owner.
    of: HashMap<Place, (usize, usize)>,
    /// By topic and pair.
    between: HashMap<(usize, usize, usize), JavaSet<Place>>,
}

impl Movements {
    fn forget(&mut self, group: &Group, place: Place) -> Option<(usize, usize)> {
        let pair = self.of.remove(&place)?;
        let key = (group.topic_of(place), pair.0, pair.1);
        if let Some(places) = self.between.get_mut(&key) {
            places.remove(place);
            if places.is_empty() {
                self.between.remove(&key);
            }
        }
        Some(pair)
    }

    fn note(&mut self, group: &Group, place: Place, pair: (usize, usize)) {
        self.of.insert(place, pair);
        let key = (group.topic_of(place), pair.0, pair.1);
        self.between.entry(key).or_insert_with(JavaSet::new).insert(group.hash_of(place), place);
    }

    /// A partition went from one to another.
    pub fn moved(&mut self, group: &Group, place: Place, from: usize, to: usize) {
        match self.forget(group, place) {
            Some((first, _)) if first == to => {}
            Some((first, _)) => self.note(group, place, (first, to)),
            None => self.note(group, place, (from, to)),
        }
    }

    /// The partition to move instead of `place`: one that went the other way before, if there is one.
    pub fn instead_of(&self, group: &Group, place: Place, from: usize, to: usize) -> Place {
        let from = self.of.get(&place).map_or(from, |(first, _)| *first);
        self.between.get(&(group.topic_of(place), to, from)).and_then(JavaSet::first).unwrap_or(place)
    }
}
