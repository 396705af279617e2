//! A classic group and its members: who is in it, what they support, which state it is in.
//!
//! Changed by [`super::rebalance`] and [`super::sync`]; never answers a request and never sets a timer itself.
//! Mirrors `ClassicGroup` and `ClassicGroupMember` of Apache's group coordinator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use hashbrown::{HashMap, HashSet};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::join_group_request::JoinGroupRequestProtocol;

use crate::record_group::{GroupValue, GroupView, MemberView};
use crate::step::Token;

/// Group ids, member ids, topics: shared, never a slice of a request's frame.
pub type Name = Arc<str>;

/// The protocol type of consumers; its subscriptions can be read.
pub const CONSUMER: &str = "consumer";

/// Where a group stands between two rebalances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No members; offsets may be there.
    Empty,
    /// Members are asked to join again.
    PreparingRebalance,
    /// All joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// Gone from here.
    Dead,
}

impl State {
    /// As in ListGroups and DescribeGroups.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }

    /// Whether a rebalance may start from here (the legal predecessors of PreparingRebalance).
    pub fn can_rebalance(self) -> bool {
        matches!(self, State::Stable | State::CompletingRebalance | State::Empty)
    }
}

/// A way of assigning that a member supports, with its metadata for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// "range", "cooperative-sticky" ...
    pub name: Name,
    /// Subscription and what else the assignor wants.
    pub metadata: Bytes,
}

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub id: Name,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Name>,
    /// Client id.
    pub client_id: Name,
    /// Its address, as Java prints it.
    pub client_host: Name,
    /// How long it may take to join again.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// In its order of preference.
    pub protocols: Vec<Protocol>,
    /// From the leader.
    pub assignment: Bytes,
    /// Its parked JoinGroup.
    pub awaiting_join: Option<Token>,
    /// Its parked SyncGroup.
    pub awaiting_sync: Option<Token>,
    /// Whether it has never got a JoinGroup answer.
    pub is_new: bool,
    /// When its session ends.
    pub deadline_ms: i64,
    /// The entry of the timer heap that stands for it.
    pub timer_ms: i64,
}

impl Member {
    /// Metadata for `protocol`; empty when the member does not support it.
    pub fn metadata(&self, protocol: &str) -> &Bytes {
        static NOTHING: Bytes = Bytes::new();
        self.protocols.iter().find(|own| &*own.name == protocol).map_or(&NOTHING, |own| &own.metadata)
    }

    /// Whether silence means nothing now: it waits for us. New members can expire even so.
    pub fn is_waiting_for_us(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// Whether it joins with what it joined with before.
    pub fn matches(&self, protocols: &[JoinGroupRequestProtocol]) -> bool {
        self.protocols.len() == protocols.len()
            && self
                .protocols
                .iter()
                .zip(protocols)
                .all(|(own, asked)| &*own.name == asked.name.as_str() && own.metadata == asked.metadata)
    }

    fn vote(&self, candidates: &HashSet<Name>) -> Option<Name> {
        self.protocols.iter().find(|own| candidates.contains(&own.name)).map(|own| own.name.clone())
    }
}

/// Copies what a request names, so that its frame is free.
pub fn own_protocols(protocols: &[JoinGroupRequestProtocol]) -> Vec<Protocol> {
    protocols
        .iter()
        .map(|protocol| Protocol {
            name: protocol.name.as_str().into(),
            metadata: Bytes::copy_from_slice(&protocol.metadata),
        })
        .collect()
}

/// What the join timer of a group does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinTimer {
    /// The rebalance timeout: goes on with those who joined.
    Complete,
    /// The initial delay: goes on, or waits once more when somebody joined meanwhile.
    Initial {
        /// The delay that ran.
        delay_ms: i32,
        /// What is left of the rebalance timeout.
        remaining_ms: i32,
    },
}

/// A classic group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its id.
    pub id: Name,
    state: State,
    /// The state before this one.
    pub previous_state: State,
    /// When the state last changed; -1 for unknown (a record older than version 2).
    pub state_ms: i64,
    /// "consumer", "connect"; `None` for a group that only holds offsets.
    pub protocol_type: Option<Name>,
    /// Chosen protocol.
    pub protocol: Option<Name>,
    /// Grows by one per join phase.
    pub generation: i32,
    /// Member id of the leader.
    pub leader: Option<Name>,
    /// By id, so that every pass over them has one order.
    pub members: BTreeMap<Name, Member>,
    /// Instance id to member id.
    pub static_members: HashMap<Name, Name>,
    /// Ids that were handed out and did not join yet, with the end of their patience.
    pub pending_joins: BTreeMap<Name, i64>,
    /// Members of this generation that have not sent SyncGroup.
    pub pending_syncs: BTreeSet<Name>,
    /// Topics of all members, when they can be read.
    pub subscribed: Option<HashSet<String>>,
    /// Whether the initial delay must run once more.
    pub new_member_added: bool,
    /// The join phase's timer.
    pub join_timer: Option<(i64, JoinTimer)>,
    /// The sync phase's timer.
    pub sync_timer: Option<i64>,
    awaiting_joins: usize,
    /// How many members support a protocol.
    supported: HashMap<Name, usize>,
}

impl Group {
    /// A group without members.
    pub fn new(id: Name, now_ms: i64) -> Self {
        Group {
            id,
            state: State::Empty,
            previous_state: State::Dead,
            state_ms: now_ms,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_joins: BTreeMap::new(),
            pending_syncs: BTreeSet::new(),
            subscribed: None,
            new_member_added: false,
            join_timer: None,
            sync_timer: None,
            awaiting_joins: 0,
            supported: HashMap::new(),
        }
    }

    /// A group as its record has it.
    pub fn from_record(id: Name, value: GroupValue) -> Self {
        let mut group = Group::new(id, value.state_ms);
        group.state = if value.members.is_empty() { State::Empty } else { State::Stable };
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type).filter(|kind| !kind.is_empty()).map(Name::from);
        group.protocol = value.protocol.map(Name::from);
        group.leader = value.leader.map(Name::from);
        let protocol = group.protocol.clone().unwrap_or_else(|| "".into());
        for stored in value.members {
            let rebalance_timeout_ms = match stored.rebalance_timeout_ms {
                -1 => stored.session_timeout_ms,
                timeout_ms => timeout_ms,
            };
            group.add(Member {
                id: stored.member_id.into(),
                instance_id: stored.instance_id.map(Name::from),
                client_id: stored.client_id.into(),
                client_host: stored.client_host.into(),
                rebalance_timeout_ms,
                session_timeout_ms: stored.session_timeout_ms,
                protocols: vec![Protocol { name: protocol.clone(), metadata: stored.subscription }],
                assignment: stored.assignment,
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
                deadline_ms: 0,
                timer_ms: i64::MAX,
            });
        }
        group.subscribed = group.subscriptions();
        group
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Moves on. The callers keep to the legal order of states; a wrong one would be a fault of this crate.
    pub fn transition(&mut self, state: State, now_ms: i64) {
        debug_assert!(
            match state {
                State::Empty | State::CompletingRebalance => self.state == State::PreparingRebalance,
                State::PreparingRebalance => self.state.can_rebalance(),
                State::Stable => self.state == State::CompletingRebalance,
                State::Dead => true,
            },
            "{:?} after {:?}",
            state,
            self.state
        );
        self.previous_state = self.state;
        self.state = state;
        self.state_ms = now_ms;
    }

    /// Whether it never had a member: it only holds offsets.
    pub fn is_simple(&self) -> bool {
        self.protocol_type.is_none() && self.state == State::Empty && self.pending_joins.is_empty()
    }

    /// Whether its members speak the consumer's embedded protocol.
    pub fn is_consumer(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether `member` leads.
    pub fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// Adds a member; the first one decides the group's protocol type (see [`Group::supports`]).
    pub fn add(&mut self, member: Member) {
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.pending_joins.remove(&member.id);
        self.count(&member.protocols, 1);
        self.awaiting_joins += usize::from(member.awaiting_join.is_some());
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member or a pending one; another leads when it led.
    pub fn remove(&mut self, id: &str) -> Option<Member> {
        let removed = self.members.remove(id);
        if let Some(member) = &removed {
            self.count(&member.protocols, -1);
            self.awaiting_joins -= usize::from(member.awaiting_join.is_some());
            if let Some(instance) = &member.instance_id {
                self.static_members.remove(instance);
            }
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_joins.remove(id);
        self.pending_syncs.remove(id);
        removed
    }

    /// The group's tombstone is on its way: ids that were handed out and not come back with go with it (Java's group
    /// object goes at once), and only joins after it keep the group.
    pub fn forget_pending_joins(&mut self) {
        self.pending_joins.clear();
    }

    /// Gives the place of the static member `old` to `new`, with its assignment and its subscription.
    /// The parked requests of the old one are for the caller to answer.
    pub fn replace_static(&mut self, instance: &Name, old: &str, new: &Name) -> Option<(Option<Token>, Option<Token>)> {
        let mut member = self.members.remove(old)?;
        let parked = (member.awaiting_join.take(), member.awaiting_sync.take());
        self.awaiting_joins -= usize::from(parked.0.is_some());
        member.id = new.clone();
        member.is_new = false;
        member.timer_ms = i64::MAX;
        self.members.insert(new.clone(), member);
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        self.static_members.insert(instance.clone(), new.clone());
        Some(parked)
    }

    /// New protocols and timeouts of a member that joins again; answers the token of an earlier JoinGroup that
    /// is still parked.
    pub fn update_member(
        &mut self,
        id: &str,
        protocols: Vec<Protocol>,
        rebalance_timeout_ms: i32,
        session_timeout_ms: i32,
        awaiting: Option<Token>,
    ) -> Option<Token> {
        let member = self.members.get_mut(id)?;
        let before = std::mem::replace(&mut member.protocols, protocols.clone());
        member.rebalance_timeout_ms = rebalance_timeout_ms;
        member.session_timeout_ms = session_timeout_ms;
        let superseded = std::mem::replace(&mut member.awaiting_join, awaiting);
        self.awaiting_joins += usize::from(awaiting.is_some());
        self.awaiting_joins -= usize::from(superseded.is_some());
        self.count(&before, -1);
        self.count(&protocols, 1);
        superseded
    }

    /// Takes the parked JoinGroup of a member, to answer it.
    pub fn take_join(&mut self, id: &str) -> Option<Token> {
        let token = self.members.get_mut(id)?.awaiting_join.take();
        self.awaiting_joins -= usize::from(token.is_some());
        token
    }

    /// Members whose JoinGroup is parked.
    pub fn awaiting_joins(&self) -> usize {
        self.awaiting_joins
    }

    /// Whether nobody is missing.
    pub fn all_joined(&self) -> bool {
        self.members.len() == self.awaiting_joins && self.pending_joins.is_empty()
    }

    /// The largest of all members.
    pub fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    /// When the leader did not join, one who did leads. False when nobody joined.
    pub fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = self.leader.as_ref().and_then(|leader| self.members.get(leader)) else { return false };
        if leader.awaiting_join.is_some() {
            return true;
        }
        let joined = self.members.values().find(|member| member.awaiting_join.is_some());
        match joined.map(|member| member.id.clone()) {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    /// The next generation: with members it waits for the assignment, without it is empty.
    pub fn next_generation(&mut self, now_ms: i64) {
        // Java's generation wraps round as well; it would take 2^31 rebalances.
        self.generation = self.generation.wrapping_add(1);
        if self.members.is_empty() {
            self.protocol = None;
            self.subscribed = self.subscriptions();
            self.transition(State::Empty, now_ms);
        } else {
            self.protocol = Some(self.select_protocol());
            self.subscribed = self.subscriptions();
            self.transition(State::CompletingRebalance, now_ms);
        }
        self.pending_syncs.clear();
    }

    /// Whether somebody of this type with these protocols may join.
    pub fn supports<'a>(&self, protocol_type: &str, mut protocols: impl Iterator<Item = &'a str>) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && protocols.next().is_some();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.any(|name| self.supported.get(name).copied().unwrap_or(0) == self.members.len())
    }

    /// The majority's choice among what all members support. Java counts in a HashMap and takes the first of
    /// the most voted, so ties fall by the position of the name's hash there.
    pub fn select_protocol(&self) -> Name {
        let candidates: HashSet<Name> = self
            .supported
            .iter()
            .filter(|(_, count)| **count == self.members.len())
            .map(|(name, _)| name.clone())
            .collect();
        let mut votes: Vec<(Name, usize)> = Vec::new();
        for name in self.members.values().filter_map(|member| member.vote(&candidates)) {
            match votes.iter_mut().find(|(voted, _)| *voted == name) {
                Some((_, count)) => *count += 1,
                None => votes.push((name, 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max().unwrap_or(0);
        votes
            .into_iter()
            .filter(|(_, count)| *count == most)
            .min_by_key(|(name, _)| java_bucket(name))
            .map_or_else(|| "".into(), |(name, _)| name)
    }

    /// Whether offsets of `topic` are in use by members.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer(),
        }
    }

    /// Topics of all members, if this is a consumer group and every subscription can be read.
    pub fn subscriptions(&self) -> Option<HashSet<String>> {
        if !self.is_consumer() {
            return None;
        }
        if self.members.is_empty() {
            return Some(HashSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = HashSet::new();
        for member in self.members.values() {
            read_subscription(member.metadata(protocol), &mut topics)?;
        }
        Some(topics)
    }

    /// Member known, instance not fenced (in this order for a static one: the instance first).
    pub fn check_member(&self, id: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if &**current != id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// The fields of its record.
    pub fn view(&self) -> GroupView<'_> {
        GroupView {
            protocol_type: self.protocol_type.as_deref().unwrap_or(""),
            generation: self.generation,
            protocol: self.protocol.as_deref(),
            leader: self.leader.as_deref(),
            state_ms: self.state_ms,
        }
    }

    /// The members as their record has them, with `assignment` by member.
    pub fn member_views<'a>(
        &'a self,
        assignment: impl Fn(&'a Member) -> &'a [u8] + 'a,
    ) -> impl ExactSizeIterator<Item = MemberView<'a>> {
        let protocol = self.protocol.as_deref().unwrap_or("");
        self.members.values().map(move |member| MemberView {
            member_id: &member.id,
            instance_id: member.instance_id.as_deref(),
            client_id: &member.client_id,
            client_host: &member.client_host,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: assignment(member),
        })
    }

    /// Counts each distinct name of one member once.
    fn count(&mut self, protocols: &[Protocol], by: isize) {
        for (index, protocol) in protocols.iter().enumerate() {
            if protocols[..index].iter().any(|earlier| earlier.name == protocol.name) {
                continue;
            }
            let count = self.supported.entry(protocol.name.clone()).or_insert(0);
            *count = count.saturating_add_signed(by);
            if *count == 0 {
                self.supported.remove(&protocol.name);
            }
        }
    }
}

/// Position of a key in a java.util.HashMap of at most 12 entries.
fn java_bucket(name: &str) -> u32 {
    let hash = name.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    (hash ^ (hash >> 16)) & 15
}

/// Adds the topics of a `ConsumerProtocolSubscription`: version, then an array of strings; whatever follows
/// belongs to later versions. `None` when the bytes are something else.
fn read_subscription(mut bytes: &[u8], topics: &mut HashSet<String>) -> Option<()> {
    if bytes.len() < 6 || bytes.get_i16() < 0 {
        return None;
    }
    for _ in 0..u32::try_from(bytes.get_i32()).ok()? {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        let (name, rest) = bytes.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
        bytes = rest;
    }
    // Version 0 ends with the user data, a nullable byte array.
    match bytes.try_get_i32().ok()? {
        -1 => Some(()),
        length => (usize::try_from(length).ok()? <= bytes.len()).then_some(()),
    }
}
