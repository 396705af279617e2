//! The sticky assignment when members read different topics (Java: `GeneralAssignmentBuilder`): what is free goes to
//! whoever has least, then partitions move one by one until no move makes the assignment more even.

use std::collections::{BTreeSet, HashMap};

use super::movements::Movements;
use super::sticky::{Group, Held, Place};

struct Builder<'a> {
    group: &'a Group<'a>,
    /// By topic: how many members read it.
    readers: Vec<usize>,
    /// By member: the topics that it reads.
    topics: Vec<Vec<usize>>,
    given: Vec<Vec<Place>>,
    owner: Vec<Option<usize>>,
    /// Members that take part, by how much they have, then by id.
    sorted: BTreeSet<(usize, usize)>,
    before: HashMap<Place, usize>,
    movements: Movements,
}

/// Partitions by member.
pub(super) fn assign(group: &Group, held: Held) -> Vec<Vec<Place>> {
    let mut readers = vec![0; group.topic_count()];
    let mut topics = Vec::new();
    for member in &group.members {
        let own: Vec<usize> = member.topics.iter().filter_map(|topic| group.topic(topic)).collect();
        own.iter().for_each(|topic| readers[*topic] += 1);
        topics.push(own);
    }
    let mut builder = Builder {
        group,
        readers,
        topics,
        given: held.owned,
        owner: vec![None; group.places()],
        sorted: BTreeSet::new(),
        before: held.before,
        movements: Movements::default(),
    };
    let revocation = builder.keep();
    let mut all: Vec<Place> = (0..group.places()).collect();
    all.sort_by_key(|place| (builder.readers[group.topic_of(*place)], *place));
    let mut left: Vec<Place> = all.iter().copied().filter(|place| builder.owner[*place].is_none()).collect();
    // Java: when nothing was owned, the list of free partitions is the list of all, and both lose the fixed ones.
    builder.sorted = builder.given.iter().enumerate().map(|(member, places)| (places.len(), member)).collect();
    builder.balance(&mut all, &mut left, revocation);
    builder.given
}

/// Whether some member lost a partition that it no longer reads or that is far from it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Revocation {
    None,
    Required,
}

impl Builder<'_> {
    fn keep(&mut self) -> Revocation {
        let mut revocation = Revocation::None;
        for (member, places) in self.given.iter_mut().enumerate() {
            let (group, topics) = (self.group, &self.topics[member]);
            places.retain(|place| {
                let keeps = topics.contains(&group.topic_of(*place)) && !group.is_far(member, *place);
                if !keeps {
                    revocation = Revocation::Required;
                }
                keeps
            });
            places.iter().for_each(|place| self.owner[*place] = Some(member));
        }
        revocation
    }

    fn give(&mut self, place: Place, member: usize) {
        self.sorted.remove(&(self.given[member].len(), member));
        self.given[member].push(place);
        self.owner[place] = Some(member);
        self.sorted.insert((self.given[member].len(), member));
    }

    /// Gives free partitions to whoever has least; for [`Racks::Near`] only near ones, and what was given goes off
    /// the list.
    fn give_free(&mut self, left: &mut Vec<Place>, racks: Racks) {
        left.retain(|place| {
            let topic = self.group.topic_of(*place);
            let fits = |(_, member): &&(usize, usize)| {
                let is_far = racks == Racks::Near && self.group.is_far(*member, *place);
                self.topics[*member].contains(&topic) && !is_far
            };
            let found = self.sorted.iter().find(fits).map(|(_, member)| *member);
            if let Some(member) = found {
                self.give(*place, member);
            }
            racks == Racks::Ignored || found.is_none()
        });
    }

    fn most(&self, member: usize) -> usize {
        self.topics[member].iter().map(|topic| self.group.of_topic(*topic).len()).sum()
    }

    fn takes_part(&self, member: usize) -> bool {
        let has_shared = |place: &Place| self.readers[self.group.topic_of(*place)] >= 2;
        self.given[member].len() < self.most(member) || self.given[member].iter().any(has_shared)
    }

    fn balance(&mut self, all: &mut Vec<Place>, left: &mut Vec<Place>, revocation: Revocation) {
        let initializing = self.sorted.last().is_none_or(|(count, _)| *count == 0);
        let mut to_give = left.clone();
        if self.group.has_racks() {
            self.give_free(&mut to_give, Racks::Near);
        }
        self.give_free(&mut to_give, Racks::Ignored);
        let moves = |place: &Place| self.readers[self.group.topic_of(*place)] >= 2;
        all.retain(moves);
        left.retain(moves);
        for member in 0..self.given.len() {
            if !self.takes_part(member) {
                self.sorted.remove(&(self.given[member].len(), member));
            }
        }
        let (given, owner) = (self.given.clone(), self.owner.clone());
        let part: Vec<usize> = self.sorted.iter().map(|(_, member)| *member).collect();
        if revocation == Revocation::None {
            self.even_out(left);
        }
        let moved = self.even_out(all);
        if !initializing && moved && score(&self.given, &part) >= score(&given, &part) {
            (self.given, self.owner) = (given, owner);
        }
    }

    /// Whether no partition can move from who has more to who has less by two or more.
    fn is_balanced(&self) -> bool {
        let (Some((min, _)), Some((max, _))) = (self.sorted.first(), self.sorted.last()) else { return true };
        if min + 1 >= *max {
            return true;
        }
        self.sorted.iter().all(|(count, member)| {
            *count == self.most(*member)
                || self.topics[*member].iter().flat_map(|topic| self.group.of_topic(*topic)).all(|place| {
                    self.owner[place].is_none_or(|other| other == *member || count + 1 >= self.given[other].len())
                })
        })
    }

    /// Moves partitions until nothing moves; whether any did.
    fn even_out(&mut self, places: &[Place]) -> bool {
        let mut ever = false;
        loop {
            let mut moved = false;
            for place in places {
                if self.is_balanced() {
                    break;
                }
                moved |= self.move_one(*place);
            }
            ever |= moved;
            if !moved {
                return ever;
            }
        }
    }

    fn move_one(&mut self, place: Place) -> bool {
        let Some(owner) = self.owner[place] else { return false };
        let has = self.given[owner].len();
        if let Some(before) = self.before.get(&place).copied()
            && has > self.given[before].len() + 1
        {
            self.reassign(place, owner, before);
            return true;
        }
        let topic = self.group.topic_of(place);
        let reads = |member: &usize| self.topics[*member].contains(&topic);
        if !(0..self.given.len()).filter(reads).any(|other| has > self.given[other].len() + 1) {
            return false;
        }
        let Some(least) = self.sorted.iter().map(|(_, member)| *member).find(reads) else { return false };
        self.reassign(place, owner, least);
        true
    }

    fn reassign(&mut self, place: Place, from: usize, to: usize) {
        let place = self.movements.instead_of(self.group, place, from, to);
        let Some(from) = self.owner[place] else { return };
        self.sorted.remove(&(self.given[from].len(), from));
        self.movements.moved(self.group, place, from, to);
        self.given[from].retain(|known| *known != place);
        self.sorted.insert((self.given[from].len(), from));
        self.give(place, to);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Racks {
    Near,
    Ignored,
}

/// How uneven: the differences between all pairs of the members that take part.
fn score(given: &[Vec<Place>], part: &[usize]) -> usize {
    let counts: Vec<usize> = part.iter().map(|member| given[*member].len()).collect();
    let pairs =
        counts.iter().enumerate().flat_map(|(at, left)| counts[at + 1..].iter().map(move |right| (left, right)));
    pairs.map(|(left, right)| left.abs_diff(*right)).sum()
}
