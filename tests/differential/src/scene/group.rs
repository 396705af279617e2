//! A classic group of three members, each on its own connection; the third is static.

use rand::Rng;

use super::{Scene, one};
use crate::generate::Request;
use crate::slot::{Slot, label};
use crate::value::Value;

/// The group as the scene knows it.
pub(super) struct Group {
    /// Its name.
    pub(super) id: String,
    /// Who is in, the leader first. All of them are in sync between two steps.
    joined: Vec<u8>,
    /// What each member says about itself; a change makes the group rebalance.
    said: [u8; 4],
}

/// The member with a `group.instance.id`.
const STATIC: u8 = 3;
/// A connection that never gets in.
const STRANGER: u8 = 4;
const REBALANCE_IN_PROGRESS: i64 = 27;

impl Group {
    pub(super) fn new(seed: u64) -> Group {
        Group { id: format!("sg-{seed}"), joined: Vec::new(), said: [0; 4] }
    }

    fn instance(&self, member: u8) -> Value {
        if member == STATIC { Value::Text(format!("i{member}")) } else { Value::Null }
    }

    fn member(&self, member: u8) -> Value {
        Value::Learnt(Slot::Member(label(&self.id, member)))
    }

    fn generation(&self, member: u8) -> Value {
        Value::Learnt(Slot::Generation(label(&self.id, member)))
    }

    fn join(&self, member: u8, version: i16, topic: &str, protocols: &[&str]) -> Request {
        let mut metadata = vec![0, 0, 0, 0, 0, 1, 0, topic.len() as u8];
        metadata.extend_from_slice(topic.as_bytes());
        // Empty user data but for what changes.
        metadata.extend_from_slice(&[0, 0, 0, 1, self.said[usize::from(member % 4)]]);
        let protocol =
            |name: &&str| Value::of([("Name", Value::name(name)), ("Metadata", Value::Bytes(metadata.clone()))]);
        let body = Value::of([
            ("GroupId", Value::Text(self.id.clone())),
            ("SessionTimeoutMs", Value::Int(300_000)),
            // Nobody is dropped by the clock.
            ("RebalanceTimeoutMs", Value::Int(300_000)),
            ("MemberId", self.member(member)),
            ("GroupInstanceId", self.instance(member)),
            ("ProtocolType", Value::name("consumer")),
            ("Protocols", Value::Array(protocols.iter().map(protocol).collect())),
            ("Reason", Value::Null),
        ]);
        Request::on(member, 11, version, body)
    }

    fn sync(&self, member: u8, version: i16) -> Request {
        let assignment =
            |of: &u8| Value::of([("MemberId", self.member(*of)), ("Assignment", Value::Bytes(vec![*of; 5]))]);
        let leads = self.joined.first() == Some(&member);
        let assignments = if leads { self.joined.iter().map(assignment).collect() } else { Vec::new() };
        let body = Value::of([
            ("GroupId", Value::Text(self.id.clone())),
            ("GenerationId", self.generation(member)),
            ("MemberId", self.member(member)),
            ("GroupInstanceId", self.instance(member)),
            ("ProtocolType", Value::name("consumer")),
            ("ProtocolName", Value::name("range")),
            ("Assignments", Value::Array(assignments)),
        ]);
        Request::on(member, 14, version, body)
    }

    fn heartbeat(&self, member: u8, version: i16, generation: Value, id: Value) -> Request {
        let body = Value::of([
            ("GroupId", Value::Text(self.id.clone())),
            ("GenerationId", generation),
            ("MemberId", id),
            ("GroupInstanceId", self.instance(member)),
        ]);
        Request::on(member, 12, version, body)
    }
}

impl Scene<'_, '_> {
    /// One step of the group; answers whether both were alike.
    pub(super) fn group_step(&mut self) -> anyhow::Result<bool> {
        let member = self.rng.random_range(1..=3);
        let is_in = self.group.joined.contains(&member);
        match self.rng.random_range(0..12) {
            0..3 if !is_in => self.enter(member),
            0..2 => self.rejoin(member),
            2 if is_in => self.leave(member),
            3 if is_in && member == STATIC => self.restart(),
            4 => {
                let version = self.version(11, 0, 9)?;
                let topic = self.topics[0].clone();
                let protocols: &[&str] = if self.rng.random_ratio(1, 2) { &["other"] } else { &[] };
                let is_empty = self.group.joined.is_empty();
                if is_empty { Ok(true) } else { self.alike(&self.group.join(STRANGER, version, &topic, protocols)) }
            }
            5 | 6 => self.beat(member),
            7 | 8 => self.commit(member),
            9 => {
                let group = Value::Text(self.group.id.clone());
                let version = self.version(15, 0, 6)?;
                self.alike(&Request::new(
                    15,
                    version,
                    Value::of([("Groups", one(group)), ("IncludeAuthorizedOperations", Value::Int(1))]),
                ))
            }
            10 => self.offsets(),
            _ => {
                let topic = Value::of([
                    ("Name", Value::Text(self.topics[0].clone())),
                    ("Partitions", one(Value::of([("PartitionIndex", Value::Int(0))]))),
                ]);
                let group = Value::Text(self.group.id.clone());
                if self.group.joined.is_empty() || self.rng.random_ratio(1, 2) {
                    return self.alike(&Request::new(47, 0, Value::of([("GroupId", group), ("Topics", one(topic))])));
                }
                let version = self.version(42, 0, 2)?;
                self.alike(&Request::new(42, version, Value::of([("GroupsNames", one(group))])))
            }
        }
    }

    /// A new member: everyone else has to join again.
    fn enter(&mut self, member: u8) -> anyhow::Result<bool> {
        let oldest = if member == STATIC { 5 } else { 0 };
        let version = self.version(11, oldest, 9)?;
        let request = self.group.join(member, version, &self.topics[0].clone(), &["sticky", "range"]);
        // A dynamic member of these versions is told its id first.
        if version >= 4 && member != STATIC && !self.alike(&request)? {
            return Ok(false);
        }
        self.group.joined.push(member);
        self.rebalance(Some((member, request)))
    }

    /// A member that is in joins again with something new to say, or with nothing new.
    fn rejoin(&mut self, member: u8) -> anyhow::Result<bool> {
        if !self.group.joined.contains(&member) {
            return Ok(true);
        }
        self.group.said[usize::from(member)] += 1;
        let oldest = if member == STATIC { 5 } else { 0 };
        let version = self.version(11, oldest, 9)?;
        let request = self.group.join(member, version, &self.topics[0].clone(), &["range"]);
        self.rebalance(Some((member, request)))
    }

    fn leave(&mut self, member: u8) -> anyhow::Result<bool> {
        // Who leads after a leader is chosen by the order of a hash table, unless one is left.
        if self.group.joined.first() == Some(&member) && self.group.joined.len() > 2 {
            return Ok(true);
        }
        let oldest = if member == STATIC { 3 } else { 0 };
        let version = self.version(13, oldest, 5)?;
        let (id, instance) = (self.group.member(member), self.group.instance(member));
        let who = Value::of([
            ("MemberId", if member == STATIC { Value::name("") } else { id.clone() }),
            ("GroupInstanceId", instance),
            ("Reason", Value::Null),
        ]);
        let body =
            Value::of([("GroupId", Value::Text(self.group.id.clone())), ("MemberId", id), ("Members", one(who))]);
        let fine = self.alike(&Request::on(member, 13, version, body))?;
        self.forget(member);
        self.group.joined.retain(|one| *one != member);
        Ok(fine && self.rebalance(None)?)
    }

    fn forget(&mut self, member: u8) {
        let slot = Slot::Member(label(&self.group.id, member));
        for side in [&mut *self.run.left, &mut *self.run.right] {
            side.learnt.learn(slot.clone(), Value::name(""));
        }
    }

    /// The static member comes back without its id: it takes its place, and the group stays as it is.
    fn restart(&mut self) -> anyhow::Result<bool> {
        self.forget(STATIC);
        let version = self.version(11, 5, 9)?;
        let join = self.group.join(STATIC, version, &self.topics[0].clone(), &["range"]);
        let (mut fine, _) = self.ask(&join)?;
        let version = self.version(14, 3, 5)?;
        fine &= self.alike(&self.group.sync(STATIC, version))?;
        let version = self.version(12, 3, 4)?;
        // The one that was replaced.
        Ok(fine
            && self.alike(&self.group.heartbeat(
                STATIC,
                version,
                self.group.generation(STATIC),
                Value::name("replaced"),
            ))?)
    }

    /// `first` has joined or somebody left: all others join, then all sync.
    fn rebalance(&mut self, first: Option<(u8, Request)>) -> anyhow::Result<bool> {
        let mut joins = Vec::new();
        let mut others = self.group.joined.clone();
        if let Some((member, request)) = first {
            self.post(&request)?;
            joins.push(request);
            others.retain(|other| *other != member);
        }
        for other in others {
            let oldest = if other == STATIC { 3 } else { 0 };
            let version = self.version(12, oldest, 4)?;
            let beat = self.group.heartbeat(other, version, self.group.generation(other), self.group.member(other));
            self.run.both_until(&beat, |outcome| {
                outcome.answer().and_then(|answer| answer.int_of("ErrorCode")) == Some(REBALANCE_IN_PROGRESS)
            })?;
            if !self.alike(&beat)? {
                return Ok(false);
            }
            let version = self.version(11, if other == STATIC { 5 } else { 0 }, 9)?;
            let join = self.group.join(other, version, &self.topics[0].clone(), &["range"]);
            self.post(&join)?;
            joins.push(join);
        }
        if !self.collect(&joins)? {
            return Ok(false);
        }
        let mut syncs = Vec::new();
        for member in self.group.joined.iter().rev().copied().collect::<Vec<_>>() {
            let version = self.version(14, if member == STATIC { 3 } else { 0 }, 5)?;
            let sync = self.group.sync(member, version);
            self.post(&sync)?;
            syncs.push(sync);
        }
        self.collect(&syncs)
    }

    fn beat(&mut self, member: u8) -> anyhow::Result<bool> {
        let version = self.version(12, if member == STATIC { 3 } else { 0 }, 4)?;
        let generation = if self.rng.random_ratio(1, 3) { Value::Int(99_999) } else { self.group.generation(member) };
        let id = if self.rng.random_ratio(1, 5) { Value::name("nobody") } else { self.group.member(member) };
        self.alike(&self.group.heartbeat(member, version, generation, id))
    }

    fn commit(&mut self, member: u8) -> anyhow::Result<bool> {
        let version = self.version(8, if member == STATIC { 7 } else { 2 }, 10)?;
        let generation = match self.rng.random_range(0..6) {
            0 => Value::Int(99_999),
            1 => Value::Int(-1),
            _ => self.group.generation(member),
        };
        let topic = self.topic();
        let offset = self.rng.random_range(0..9);
        let partition = Value::of([
            ("PartitionIndex", Value::Int(self.rng.random_range(0..3))),
            ("CommittedOffset", Value::Int(offset)),
            ("CommittedLeaderEpoch", Value::Int(0)),
            ("CommittedMetadata", Value::name("from a member")),
        ]);
        let topics = Value::of([
            ("Name", Value::Text(topic.clone())),
            ("TopicId", Value::Learnt(Slot::TopicId(topic))),
            ("Partitions", one(partition)),
        ]);
        let body = Value::of([
            ("GroupId", Value::Text(self.group.id.clone())),
            ("GenerationIdOrMemberEpoch", generation),
            ("MemberId", self.group.member(member)),
            ("GroupInstanceId", self.group.instance(member)),
            ("RetentionTimeMs", Value::Int(-1)),
            ("Topics", one(topics)),
        ]);
        self.alike(&Request::on(member, 8, version, body))
    }

    fn offsets(&mut self) -> anyhow::Result<bool> {
        let group = Value::Text(self.group.id.clone());
        let require_stable = Value::Int(i64::from(self.rng.random_ratio(1, 2)));
        let version = self.version(9, 2, 10)?;
        let of = Value::of([
            ("GroupId", group.clone()),
            ("MemberId", Value::Null),
            ("MemberEpoch", Value::Int(-1)),
            ("Topics", Value::Null),
        ]);
        let body = Value::of([
            ("GroupId", group),
            ("Topics", Value::Null),
            ("Groups", one(of)),
            ("RequireStable", require_stable),
        ]);
        self.alike(&Request::new(9, version, body))
    }
}
