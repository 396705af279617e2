//! Members keep what they had as far as the balance allows (Java: `AbstractStickyAssignor`, `StickyAssignor`,
//! `CooperativeStickyAssignor`).
//!
//! Here stands what members had: what they claim, and what of it holds. Members are numbered in the order of their
//! ids, partitions in the order of topic and number.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::{BufMut, Bytes, BytesMut};

use super::java_set::JavaSet;
use super::{Assignment, Assignor, Member, Topics, constrained, general, racks};
use crate::TopicPartition;
use crate::java_order::{place_hash, text_hash};

/// Java's `DEFAULT_GENERATION`.
const NO_GENERATION: i32 = -1;

/// A partition's number among all.
pub(super) type Place = usize;

struct Topic<'a> {
    name: &'a str,
    hash: i32,
    first: Place,
    count: usize,
}

/// The members and partitions of a group.
pub(super) struct Group<'a> {
    topics: Vec<Topic<'a>>,
    by_name: HashMap<&'a str, usize>,
    /// By id.
    pub members: Vec<&'a Member>,
    /// In the order that Java's hash map of them has.
    pub walk: Vec<usize>,
    /// Of each partition its topic.
    topic_of: Vec<usize>,
    /// Of each member its rack, where racks count.
    pub member_racks: Vec<Option<&'a str>>,
    place_racks: Vec<&'a [String]>,
    /// Of each partition how many members are near it; empty when no member names a rack.
    near: Vec<usize>,
}

impl<'a> Group<'a> {
    fn new(all: &'a Topics, members: &'a [Member]) -> Self {
        let mut sorted: Vec<&Member> = members.iter().collect();
        sorted.sort_by(|left, right| left.id.cmp(&right.id));
        let mut walk = JavaSet::new();
        for member in members {
            if let Ok(number) = sorted.binary_search_by(|known| known.id.cmp(&member.id)) {
                walk.insert(text_hash(&member.id), number);
            }
        }
        let (mut topics, mut topic_of, mut place_racks) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (name, partitions)) in all.iter().enumerate() {
            topics.push(Topic { name, hash: text_hash(name), first: topic_of.len(), count: partitions.len() });
            topic_of.extend(partitions.iter().map(|_| index));
            place_racks.extend(partitions.iter().map(Vec::as_slice));
        }
        let named: Vec<Option<&str>> =
            sorted.iter().map(|member| Some(member.rack.as_str()).filter(|rack| !rack.is_empty())).collect();
        let of_members: BTreeSet<&str> = named.iter().flatten().copied().collect();
        let near_each =
            |racks: &&[String]| named.iter().flatten().filter(|rack| racks.iter().any(|known| known == *rack)).count();
        let near = if of_members.is_empty() { Vec::new() } else { place_racks.iter().map(near_each).collect() };
        let count = racks::matter(&of_members, all.values().flatten());
        Group {
            by_name: topics.iter().enumerate().map(|(index, topic)| (topic.name, index)).collect(),
            topics,
            members: sorted,
            walk: walk.into_ordered(),
            topic_of,
            member_racks: if count { named } else { vec![None; members.len()] },
            place_racks,
            near,
        }
    }

    pub fn places(&self) -> usize {
        self.topic_of.len()
    }

    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    pub fn topic_of(&self, place: Place) -> usize {
        self.topic_of[place]
    }

    pub fn topic(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The partitions of a topic.
    pub fn of_topic(&self, topic: usize) -> std::ops::Range<Place> {
        let topic = &self.topics[topic];
        topic.first..topic.first + topic.count
    }

    pub fn number(&self, place: Place) -> usize {
        place - self.topics[self.topic_of[place]].first
    }

    pub fn hash_of(&self, place: Place) -> i32 {
        place_hash(self.topics[self.topic_of[place]].hash, self.number(place) as i32)
    }

    fn find(&self, place: &TopicPartition) -> Option<Place> {
        let topic = &self.topics[self.topic(&place.topic)?];
        let number = usize::try_from(place.partition).ok().filter(|number| *number < topic.count)?;
        Some(topic.first + number)
    }

    /// Whether racks count.
    pub fn has_racks(&self) -> bool {
        self.member_racks.iter().any(Option::is_some)
    }

    /// Whether the member stands in a rack without a replica of the partition.
    pub fn is_far(&self, member: usize, place: Place) -> bool {
        self.member_racks[member].is_some_and(|rack| !self.place_racks[place].iter().any(|known| known == rack))
    }

    /// Puts partitions with few members near them first.
    pub fn sort_by_near(&self, places: &mut [Place]) {
        if !self.near.is_empty() {
            places.sort_by_key(|place| self.near[*place]);
        }
    }

    /// The first of `members` from `from` on, around, that stands in a rack with a replica.
    pub fn next_near(&self, place: Place, members: &[usize], from: usize) -> Option<usize> {
        let is_near = |index: &usize| {
            let rack = self.member_racks[members[*index]];
            rack.is_some_and(|rack| self.place_racks[place].iter().any(|known| known == rack))
        };
        (0..members.len()).map(|step| (from + step) % members.len()).find(is_near)
    }
}

/// What a member says that it had.
pub(super) struct Claim {
    places: Vec<TopicPartition>,
    generation: Option<i32>,
}

impl Claim {
    fn of(assignor: Assignor, member: &Member) -> Self {
        let data = member.user_data.as_deref();
        if assignor == Assignor::Sticky {
            return match data {
                None | Some([]) => Claim { places: Vec::new(), generation: None },
                Some(data) => {
                    read_user_data(data).unwrap_or(Claim { places: Vec::new(), generation: Some(NO_GENERATION) })
                }
            };
        }
        let written = || {
            let first = data?.first_chunk::<4>();
            Some(first.map_or(NO_GENERATION, |raw| i32::from_be_bytes(*raw)))
        };
        Claim { places: member.owned.clone(), generation: member.generation.or_else(written) }
    }
}

/// What of the claims holds.
pub(super) struct Held {
    /// By member.
    pub owned: Vec<Vec<Place>>,
    /// Claimed by several members of one generation.
    pub contested: BTreeSet<Place>,
    /// Who had what in an older generation.
    pub before: HashMap<Place, usize>,
    /// Whether all members read the same topics.
    is_alike: bool,
}

fn held(assignor: Assignor, group: &Group, newest: &mut i32) -> Held {
    let claims: Vec<Claim> = group.members.iter().map(|member| Claim::of(assignor, member)).collect();
    let mut held = Held {
        owned: vec![Vec::new(); group.members.len()],
        contested: BTreeSet::new(),
        before: HashMap::new(),
        is_alike: true,
    };
    let mut topics: BTreeSet<&String> = BTreeSet::new();
    let mut owners: HashMap<Place, usize> = HashMap::new();
    for member in group.walk.iter().copied() {
        let own = &group.members[member].topics;
        if topics.is_empty() {
            topics.extend(own);
        } else if own.len() != topics.len() || !own.iter().all(|topic| topics.contains(topic)) {
            held.is_alike = false;
        }
        let generation = claims[member].generation.unwrap_or(NO_GENERATION);
        *newest = generation.max(*newest);
        for place in claims[member].places.iter().filter_map(|place| group.find(place)) {
            let Some(other) = owners.get(&place).copied() else {
                held.owned[member].push(place);
                owners.insert(place, member);
                continue;
            };
            let others = group.members[other].generation.unwrap_or(NO_GENERATION);
            if generation < others {
                continue;
            }
            held.owned[other].retain(|known| *known != place);
            owners.insert(place, member);
            if generation == others {
                held.contested.insert(place);
            } else {
                held.owned[member].push(place);
            }
        }
    }
    held.before = before(group, &claims, *newest);
    held
}

/// Who had what before the newest generation.
fn before(group: &Group, claims: &[Claim], newest: i32) -> HashMap<Place, usize> {
    let mut owners: HashMap<Place, (usize, i32)> = HashMap::new();
    for member in group.walk.iter().copied() {
        let generation = match claims[member].generation {
            Some(generation) if generation < newest => generation,
            None if newest > NO_GENERATION => NO_GENERATION,
            _ => continue,
        };
        for place in claims[member].places.iter().filter_map(|place| group.find(place)) {
            if owners.get(&place).is_none_or(|(_, known)| generation > *known) {
                owners.insert(place, (member, generation));
            }
        }
    }
    owners.into_iter().map(|(place, (member, _))| (place, member)).collect()
}

pub(super) fn assign(assignor: Assignor, topics: &Topics, members: &[Member], newest: &mut i32) -> Assignment {
    if members.is_empty() {
        return Assignment::new();
    }
    let group = Group::new(topics, members);
    let held = held(assignor, &group, newest);
    let (mut given, moving) = if held.is_alike {
        constrained::assign(&group, held)
    } else {
        let given = general::assign(&group, held);
        let moving = changing_hands(&group, &given);
        (given, moving)
    };
    if assignor == Assignor::CooperativeSticky {
        // Who gets it waits until who had it has given it back.
        for (place, member) in moving {
            given[member].retain(|known| *known != place);
        }
    }
    let named =
        |place: Place| TopicPartition::new(group.topics[group.topic_of(place)].name, group.number(place) as i32);
    let mut assignment = Assignment::new();
    for (member, places) in group.members.iter().zip(given) {
        let mut places: Vec<TopicPartition> = places.into_iter().map(named).collect();
        places.sort();
        assignment.insert(member.id.clone(), places);
    }
    assignment
}

/// What one member gives back and another gets.
fn changing_hands(group: &Group, given: &[Vec<Place>]) -> BTreeMap<Place, usize> {
    let owned: Vec<BTreeSet<Place>> = group
        .members
        .iter()
        .map(|member| member.owned.iter().filter_map(|place| group.find(place)).collect())
        .collect();
    let (mut added, mut revoked) = (BTreeMap::new(), BTreeSet::new());
    for (member, places) in given.iter().enumerate() {
        added.extend(places.iter().filter(|place| !owned[member].contains(place)).map(|place| (*place, member)));
        let kept: BTreeSet<Place> = places.iter().copied().collect();
        revoked.extend(owned[member].difference(&kept).copied());
    }
    added.retain(|place, _| revoked.contains(place));
    added
}

/// `StickyAssignor`'s user data, version 1: partitions by topic, then the generation.
pub(super) fn write_user_data(owned: &[TopicPartition], generation: i32) -> Bytes {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for place in owned {
        topics.entry(&place.topic).or_default().push(place.partition);
    }
    let mut bytes = BytesMut::new();
    bytes.put_i32(topics.len() as i32);
    for (topic, partitions) in topics {
        bytes.put_i16(topic.len() as i16);
        bytes.put_slice(topic.as_bytes());
        bytes.put_i32(partitions.len() as i32);
        partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    }
    bytes.put_i32(generation);
    bytes.freeze()
}

/// Version 1, or 0 without the generation; None for what is neither.
fn read_user_data(data: &[u8]) -> Option<Claim> {
    let mut rest = data;
    let places = crate::consumer::embedded::partitions(&mut rest)?;
    let generation = rest.first_chunk::<4>().map(|raw| i32::from_be_bytes(*raw));
    Some(Claim { places, generation })
}
