//! A shard with a log in memory and a clock moved by hand.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use millstream_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use millstream_protocol::messages::leave_group_request::MemberIdentity;
use millstream_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use millstream_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use millstream_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    OffsetCommitRequest, ProducerId, StrBytes, SyncGroupRequest, SyncGroupResponse, TopicName, TxnOffsetCommitRequest,
};
use uuid::Uuid;

use crate::group::GroupShard;
use crate::group::ask::{GroupConfig, GroupRequest, GroupResponse, JoinAsk, Stability};
use crate::step::{Append, AppendError, AppendToken, Effects, Event, Machine, Now, Replayed, Token, TransactionResult};

pub const SESSION_MS: i32 = 10_000;
pub const REBALANCE_MS: i32 = 60_000;

/// What happens to appends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Appending {
    /// In the log at once.
    Works,
    /// Refused.
    Fails(AppendError),
    /// Under way until [`Bench::finish_appends`].
    Hangs,
}

pub struct Bench {
    pub shard: GroupShard,
    pub now_ms: i64,
    /// How far the wall time is from the steady one.
    pub wall_shift_ms: i64,
    pub appending: Appending,
    pub log: Vec<Bytes>,
    pub log_end: i64,
    pub replies: BTreeMap<Token, GroupResponse>,
    pub tokens: u64,
    /// Answers that a test has taken.
    pub taken: u64,
    hanging: Vec<Append>,
}

pub fn config() -> GroupConfig {
    GroupConfig { size_max: 4, ..GroupConfig::default() }
}

impl Bench {
    pub fn new() -> Self {
        Bench::with(config())
    }

    pub fn with(config: GroupConfig) -> Self {
        let mut bench = Bench {
            shard: GroupShard::new(config.into()),
            now_ms: 1_000_000,
            wall_shift_ms: 0,
            appending: Appending::Works,
            log: Vec::new(),
            log_end: 0,
            replies: BTreeMap::new(),
            tokens: 0,
            taken: 0,
            hanging: Vec::new(),
        };
        let mut effects = Effects::default();
        bench.shard.loaded(bench.now(), 0, &mut effects);
        bench.carry_out(effects);
        bench
    }

    pub fn ask(&mut self, request: GroupRequest) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.event(Event::Ask { token, request });
        token
    }

    fn now(&self) -> Now {
        Now { wall_ms: self.now_ms + self.wall_shift_ms, steady_ms: self.now_ms }
    }

    pub fn event(&mut self, event: Event<GroupRequest>) {
        let mut effects = Effects::default();
        self.shard.step(self.now(), event, &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects<GroupShard>) {
        for (token, response) in effects.replies {
            assert!(self.replies.insert(token, response).is_none(), "{token:?} is answered twice");
        }
        for append in effects.appends {
            match self.appending {
                Appending::Works => self.finish(append),
                Appending::Fails(error) => self.event(Event::AppendFailed { token: append.token, error }),
                Appending::Hangs => self.hanging.push(append),
            }
        }
    }

    fn finish(&mut self, append: Append) {
        let base_offset = self.log_end;
        self.log_end += i64::from(i32::from_be_bytes(append.batch[57..61].try_into().expect("four bytes")));
        self.log.push(append.batch);
        self.event(Event::Appended { token: append.token, base_offset });
    }

    pub fn finish_appends(&mut self) {
        self.appending = Appending::Works;
        for append in std::mem::take(&mut self.hanging) {
            self.finish(append);
        }
    }

    /// Moves the clock and lets every timer come up at its time.
    pub fn wait(&mut self, by_ms: i64) {
        let end_ms = self.now_ms + by_ms;
        while let Some(at_ms) = self.shard.next_wakeup().filter(|at_ms| *at_ms <= end_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.event(Event::Tick);
        }
        self.now_ms = end_ms;
    }

    pub fn reply(&mut self, token: Token) -> Option<GroupResponse> {
        let reply = self.replies.remove(&token);
        self.taken += u64::from(reply.is_some());
        reply
    }

    pub fn joined(&mut self, token: Token) -> JoinGroupResponse {
        match self.reply(token) {
            Some(GroupResponse::Join(response)) => response,
            other => panic!("no JoinGroup answer: {other:?}"),
        }
    }

    pub fn synced(&mut self, token: Token) -> SyncGroupResponse {
        match self.reply(token) {
            Some(GroupResponse::Sync(response)) => response,
            other => panic!("no SyncGroup answer: {other:?}"),
        }
    }

    pub fn join(&mut self, join: &Join) -> Token {
        let protocols = join
            .protocols
            .iter()
            .map(|(name, metadata)| {
                JoinGroupRequestProtocol::default()
                    .with_name(StrBytes::from_string((*name).into()))
                    .with_metadata(metadata.clone())
            })
            .collect();
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(join.group))
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(REBALANCE_MS)
            .with_member_id(StrBytes::from_string(join.member.clone()))
            .with_group_instance_id(join.instance.map(StrBytes::from_static_str))
            .with_protocol_type(StrBytes::from_static_str(join.protocol_type))
            .with_protocols(protocols);
        self.ask(GroupRequest::Join(Box::new(JoinAsk {
            request,
            version: join.version,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            member_uuid: Uuid::from_u128(u128::from(self.tokens)),
        })))
    }

    /// A member that joined by the usual two requests; its JoinGroup is parked.
    pub fn enter(&mut self, group: &'static str) -> (String, Token) {
        let first = self.join(&Join::of(group));
        let id = self.joined(first).member_id.to_string();
        let token = self.join(&Join { member: id.clone(), ..Join::of(group) });
        (id, token)
    }

    /// A stable group of `size` members; the first leads.
    pub fn stable(&mut self, group: &'static str, size: usize) -> Vec<String> {
        let mut entered: Vec<(String, Token)> = (0..size).map(|_| self.enter(group)).collect();
        while !entered.iter().all(|(_, token)| self.replies.contains_key(token)) {
            self.wait(1000);
        }
        entered.sort_by_key(|(_, token)| self.joined_leader(*token));
        let ids: Vec<String> = entered.into_iter().map(|(id, _)| id).collect();
        let generation = self.generation(group);
        for id in ids.iter().rev() {
            self.sync(group, id, generation, &ids);
        }
        assert_eq!(self.state(group), "Stable");
        ids
    }

    fn joined_leader(&self, token: Token) -> bool {
        match &self.replies[&token] {
            GroupResponse::Join(response) => response.leader != response.member_id,
            other => panic!("{other:?}"),
        }
    }

    pub fn generation(&self, group: &str) -> i32 {
        self.shard.groups().find(|known| &*known.id == group).map_or(-1, |known| known.generation)
    }

    pub fn state(&self, group: &str) -> &'static str {
        self.shard.groups().find(|known| &*known.id == group).map_or("none", |known| known.state().name())
    }

    /// SyncGroup; each of `assigned` is given its own id as assignment.
    pub fn sync(&mut self, group: &'static str, member: &str, generation: i32, assigned: &[String]) -> Token {
        let assignments = assigned
            .iter()
            .map(|id| {
                SyncGroupRequestAssignment::default()
                    .with_member_id(StrBytes::from_string(id.clone()))
                    .with_assignment(Bytes::from(id.clone()))
            })
            .collect();
        self.ask(GroupRequest::Sync(
            SyncGroupRequest::default()
                .with_group_id(group_id(group))
                .with_member_id(StrBytes::from_string(member.into()))
                .with_generation_id(generation)
                .with_assignments(assignments),
        ))
    }

    pub fn heartbeat(&mut self, group: &'static str, member: &str, generation: i32) -> i16 {
        let token = self.ask(GroupRequest::Heartbeat(
            HeartbeatRequest::default()
                .with_group_id(group_id(group))
                .with_member_id(StrBytes::from_string(member.into()))
                .with_generation_id(generation),
        ));
        match self.reply(token) {
            Some(GroupResponse::Heartbeat(response)) => response.error_code,
            other => panic!("{other:?}"),
        }
    }

    pub fn leave(&mut self, group: &'static str, members: &[(&str, Option<&'static str>)]) -> LeaveGroupResponse {
        let members = members
            .iter()
            .map(|(id, instance)| {
                MemberIdentity::default()
                    .with_member_id(StrBytes::from_string((*id).into()))
                    .with_group_instance_id(instance.map(StrBytes::from_static_str))
            })
            .collect();
        let request = LeaveGroupRequest::default().with_group_id(group_id(group)).with_members(members);
        let token = self.ask(GroupRequest::Leave(request));
        match self.reply(token) {
            Some(GroupResponse::Leave(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    /// OffsetCommit of offset 7 of partition 0; the error of the request or of the partition.
    pub fn commit(&mut self, commit: &Commit) -> i16 {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(commit.offset)
            .with_committed_metadata(Some(StrBytes::from_string(commit.metadata.clone())));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic_name(commit.topic))
            .with_topic_id(Uuid::from_u128(1))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(commit.group))
            .with_member_id(StrBytes::from_string(commit.member.clone()))
            .with_group_instance_id(commit.instance.map(StrBytes::from_static_str))
            .with_generation_id_or_member_epoch(commit.generation)
            .with_retention_time_ms(commit.retention_ms)
            .with_topics(vec![topic]);
        let token = self.ask(GroupRequest::Commit { request, version: commit.version });
        match self.reply(token) {
            Some(GroupResponse::Commit(response)) => response.topics[0].partitions[0].error_code,
            other => panic!("{other:?}"),
        }
    }

    pub fn commit_transactional(&mut self, group: &'static str, producer_id: i64, offset: i64) -> i16 {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_group_id(group_id(group))
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(0)
            .with_topics(vec![topic]);
        let token = self.ask(GroupRequest::TxnCommit { request, verification: 0 });
        match self.reply(token) {
            Some(GroupResponse::TxnCommit(response)) => response.topics[0].partitions[0].error_code,
            other => panic!("{other:?}"),
        }
    }

    pub fn end_transaction(&mut self, producer_id: i64, result: TransactionResult) {
        let token = self.ask(GroupRequest::EndTransaction {
            producer_id,
            producer_epoch: 0,
            coordinator_epoch: 0,
            result,
            transaction_version: 0,
        });
        assert!(matches!(self.reply(token), Some(GroupResponse::EndTransaction(Ok(())))));
    }

    /// (offset, error) of partition 0 of a topic.
    pub fn fetch(&mut self, group: &'static str, topic: &'static str, stability: Stability) -> (i64, i16) {
        let topic = OffsetFetchRequestTopics::default().with_name(topic_name(topic)).with_partition_indexes(vec![0]);
        let group = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(Some(vec![topic]));
        let token = self.ask(GroupRequest::Fetch { group, stability });
        match self.reply(token) {
            Some(GroupResponse::Fetch(response)) => {
                let partition = &response.topics[0].partitions[0];
                (partition.committed_offset, partition.error_code)
            }
            other => panic!("{other:?}"),
        }
    }

    /// A shard that has read this one's log.
    pub fn replayed(&self) -> GroupShard {
        let mut shard = GroupShard::new(config().into());
        let mut offset = 0;
        for batch in &self.log {
            offset = replay_batch(&mut shard, batch, offset);
        }
        shard
    }
}

/// JoinGroup of a consumer with the assignor "range".
pub struct Join {
    pub group: &'static str,
    pub member: String,
    pub instance: Option<&'static str>,
    pub protocol_type: &'static str,
    pub protocols: Vec<(&'static str, Bytes)>,
    pub version: i16,
}

impl Join {
    pub fn of(group: &'static str) -> Self {
        Join {
            group,
            member: String::new(),
            instance: None,
            protocol_type: "consumer",
            protocols: vec![("range", subscription(&["t"]))],
            version: 9,
        }
    }
}

pub struct Commit {
    pub group: &'static str,
    pub member: String,
    pub instance: Option<&'static str>,
    pub generation: i32,
    pub topic: &'static str,
    pub offset: i64,
    pub metadata: String,
    pub retention_ms: i64,
    pub version: i16,
}

impl Commit {
    /// Of nobody in particular.
    pub fn simple(group: &'static str) -> Self {
        Commit {
            group,
            member: String::new(),
            instance: None,
            generation: -1,
            topic: "t",
            offset: 7,
            metadata: String::new(),
            retention_ms: -1,
            version: 9,
        }
    }
}

pub fn group_id(id: &str) -> GroupId {
    GroupId(StrBytes::from_string(id.to_owned()))
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// A `ConsumerProtocolSubscription` v0.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    bytes.into()
}

/// Reads a batch as the runtime does; answers the next offset.
pub fn replay_batch(shard: &mut GroupShard, batch: &[u8], base_offset: i64) -> i64 {
    let attributes = i16::from_be_bytes([batch[21], batch[22]]);
    walk(batch, base_offset, |record| {
        if attributes & 0x20 == 0 {
            shard.replay(record);
            return;
        }
        let commit = record.key.is_some_and(|key| key[3] == 1);
        let result = if commit { TransactionResult::Commit } else { TransactionResult::Abort };
        shard.replay_marker(record.producer_id, record.producer_epoch, result);
    })
}

/// The batches of a segment.
pub fn batches(mut log: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = i32::from_be_bytes(log.get(8..12)?.try_into().ok()?) as usize + 12;
        let (batch, rest) = log.split_at_checked(length)?;
        log = rest;
        Some(batch)
    })
}

/// Hands every record of a batch to `each`; answers the next offset.
pub fn walk(batch: &[u8], base_offset: i64, mut each: impl FnMut(Replayed<'_>)) -> i64 {
    let timestamp = i64::from_be_bytes(batch[27..35].try_into().expect("eight bytes"));
    let producer_id = i64::from_be_bytes(batch[43..51].try_into().expect("eight bytes"));
    let producer_epoch = i16::from_be_bytes([batch[51], batch[52]]);
    let count = i64::from(i32::from_be_bytes(batch[57..61].try_into().expect("four bytes")));
    let mut rest = &batch[61..];
    for index in 0..count {
        let length = varint(&mut rest) as usize;
        let (mut record, after) = rest.split_at(length);
        rest = after;
        record.advance(2);
        assert_eq!(varint(&mut record), index);
        let key = field(&mut record);
        let value = field(&mut record);
        let offset = base_offset + index;
        each(Replayed { offset, timestamp, key, value, producer_id, producer_epoch });
    }
    assert!(rest.is_empty());
    base_offset + count
}

fn field<'a>(record: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(record)).ok()?;
    let (field, rest) = record.split_at(length);
    *record = rest;
    Some(field)
}

fn varint(bytes: &mut &[u8]) -> i64 {
    let mut value = 0u64;
    for shift in (0..).step_by(7) {
        let byte = bytes.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A token that no bench hands out.
pub const STRAY: AppendToken = AppendToken(u64::MAX);
