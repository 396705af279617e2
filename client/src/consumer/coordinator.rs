//! A member's dealings with its group's coordinator: find it, join, keep alive, commit, leave.
//!
//! Called by `consumer.rs`. Joining runs in a task of its own, so that a poll may end before it does; heartbeats are
//! another task that ends with the consumer. Each has the coordinator's connection to itself, apart from fetches. The
//! meaning of answers is `group.rs`'s.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::consumer_protocol_assignment::TopicPartition as AssignedTopic;
use millstream_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use millstream_protocol::messages::join_group_response::JoinGroupResponseMember;
use millstream_protocol::messages::leave_group_request::MemberIdentity;
use millstream_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use millstream_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, Encodable, FindCoordinatorRequest, GroupId,
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, Request, StrBytes,
    SyncGroupRequest,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::assign::{Member, range};
use super::group::{Generation, Membership, Next, Phase};
use super::{OffsetAndMetadata, Offsets};
use crate::TopicPartition;
use crate::config::ConsumerConfig;
use crate::connection::{Connection, backoff, retrying};
use crate::error::{ClientError, check, of_partition};
use crate::metadata::{Cluster, topic_name};

const PROTOCOL_TYPE: &str = "consumer";
const RANGE: &str = "range";
/// Version of subscriptions and assignments that Java 4.3 writes.
const EMBEDDED_VERSION: i16 = 3;
/// OffsetCommit and OffsetFetch 10 name topics by id; up to 9 they go by name.
const OFFSETS_BY_NAME: i16 = 9;
/// Java waits this much longer for JoinGroup than the broker may hold it back.
const JOIN_SLACK: Duration = Duration::from_secs(5);

/// What a join brought.
#[derive(Debug)]
pub(super) struct Joined {
    pub partitions: Vec<TopicPartition>,
    /// The leader of the group: how many partitions each topic had that it assigned. A change calls for a rebalance.
    pub counts: Option<BTreeMap<String, usize>>,
}

/// A group as one member sees it.
pub(super) struct Coordinator {
    cluster: Cluster,
    config: ConsumerConfig,
    group: String,
    pub membership: Mutex<Membership>,
    /// Where the coordinator was found.
    address: Mutex<Option<String>>,
    /// Something happened that a poll should look at.
    pub changed: Notify,
    last_poll: Mutex<Moment>,
    /// What ended the membership for good.
    fatal: Mutex<Option<ClientError>>,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn code_of(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

fn refused(code: ErrorCode) -> ClientError {
    match check(code.code(), None) {
        Err(error) => error,
        Ok(()) => ClientError::State("no error"),
    }
}

impl Coordinator {
    pub fn new(cluster: &Cluster, config: ConsumerConfig, group: &str) -> Arc<Self> {
        Arc::new(Coordinator {
            cluster: cluster.apart(),
            config,
            group: group.to_owned(),
            membership: Mutex::new(Membership::new()),
            address: Mutex::new(None),
            changed: Notify::new(),
            last_poll: Mutex::new(Moment::now()),
            fatal: Mutex::new(None),
        })
    }

    /// The application polls: it is alive.
    pub fn polled(&self) {
        *self.last_poll.lock() = Moment::now();
    }

    /// What ended the membership for good, once.
    pub fn take_fatal(&self) -> Option<ClientError> {
        self.fatal.lock().take()
    }

    fn group_id(&self) -> GroupId {
        GroupId(text(&self.group))
    }

    fn instance(&self) -> Option<StrBytes> {
        self.config.instance.as_deref().map(text)
    }

    /// A connection to the coordinator, found if need be.
    async fn connection(&self) -> Result<Connection, ClientError> {
        let known = self.address.lock().clone();
        if let Some(address) = known {
            return self.cluster.at(&address).await.inspect_err(|_| self.forget());
        }
        let request = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![text(&self.group)]);
        let response = self.cluster.any().await?.call(&request).await?;
        let found = response.coordinators.first().ok_or(ClientError::State("no coordinator in the answer"))?;
        check(found.error_code, found.error_message.as_deref())?;
        let address = format!("{}:{}", &*found.host, found.port);
        *self.address.lock() = Some(address.clone());
        self.cluster.at(&address).await.inspect_err(|_| self.forget())
    }

    fn forget(&self) {
        *self.address.lock() = None;
    }

    async fn ask<T: Request>(&self, at_most: i16, request: &T, hold: Duration) -> Result<T::Response, ClientError> {
        let response = self.connection().await?.call_held(at_most, request, hold).await;
        if matches!(response, Err(ClientError::Lost { .. } | ClientError::Timeout { .. })) {
            self.forget();
        }
        response
    }

    /// Joins and waits for the assignment, as often as it takes.
    ///
    /// # Errors
    /// What trying again does not change.
    pub async fn join(self: Arc<Self>, topics: Vec<String>) -> Result<Joined, ClientError> {
        for failures in 1.. {
            match self.join_once(&topics).await {
                Ok(Some(joined)) => return Ok(joined),
                Ok(None) => continue,
                Err(error) if error.is_retriable() => {
                    tracing::debug!(group = self.group, %error, "join failed");
                    let config = &self.config.connection;
                    task::sleep(backoff(failures, config.retry_backoff, config.retry_backoff_max)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(ClientError::State("no attempt left"))
    }

    /// None to begin again at once.
    async fn join_once(&self, topics: &[String]) -> Result<Option<Joined>, ClientError> {
        let sent = self.membership.lock().start_join();
        let subscription = encode_subscription(topics, &self.config.rack)?;
        let protocol = JoinGroupRequestProtocol::default().with_name(text(RANGE)).with_metadata(subscription);
        let rebalance = self.config.poll_interval_max;
        let request = JoinGroupRequest::default()
            .with_group_id(self.group_id())
            .with_session_timeout_ms(self.config.session_timeout.as_millis() as i32)
            .with_rebalance_timeout_ms(rebalance.as_millis() as i32)
            .with_member_id(text(&sent.member))
            .with_group_instance_id(self.instance())
            .with_protocol_type(text(PROTOCOL_TYPE))
            .with_protocols(vec![protocol]);
        let reply = self.ask(i16::MAX, &request, rebalance + JOIN_SLACK).await?;
        let code = code_of(reply.error_code);
        let next = self.membership.lock().joined(code, &sent, &reply.member_id, reply.generation_id);
        if !self.follow(next, code)? {
            return Ok(None);
        }
        let mut counts = None;
        let mut assignments = Vec::new();
        if reply.leader == reply.member_id && !reply.skip_assignment {
            let (of_topics, made) = self.assign(&reply.members).await?;
            counts = Some(of_topics);
            assignments = made;
        }
        let generation = self.membership.lock().generation.clone();
        tracing::debug!(group = self.group, generation = generation.number, member = generation.member, "joined");
        let partitions = self.sync(&generation, reply.protocol_name, assignments).await?;
        Ok(partitions.map(|partitions| Joined { partitions, counts }))
    }

    async fn sync(
        &self,
        generation: &Generation,
        protocol_name: Option<StrBytes>,
        assignments: Vec<SyncGroupRequestAssignment>,
    ) -> Result<Option<Vec<TopicPartition>>, ClientError> {
        let request = SyncGroupRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(generation.number)
            .with_member_id(text(&generation.member))
            .with_group_instance_id(self.instance())
            .with_protocol_type(Some(text(PROTOCOL_TYPE)))
            .with_protocol_name(protocol_name)
            .with_assignments(assignments);
        let reply = self.ask(i16::MAX, &request, self.config.poll_interval_max + JOIN_SLACK).await?;
        let code = code_of(reply.error_code);
        let next = self.membership.lock().synced(code, generation);
        if !self.follow(next, code)? {
            return Ok(None);
        }
        decode_assignment(&reply.assignment).map(Some)
    }

    /// Whether to go on; false to begin again.
    fn follow(&self, next: Next, code: ErrorCode) -> Result<bool, ClientError> {
        match next {
            Next::Proceed => Ok(true),
            Next::Rejoin => Ok(false),
            Next::Later => Err(refused(code)),
            Next::FindCoordinator => {
                self.forget();
                Err(refused(code))
            }
            Next::Fail(code) => Err(refused(code)),
        }
    }

    /// Decides for the whole group, as its leader.
    async fn assign(
        &self,
        members: &[JoinGroupResponseMember],
    ) -> Result<(BTreeMap<String, usize>, Vec<SyncGroupRequestAssignment>), ClientError> {
        let mut known = Vec::with_capacity(members.len());
        for member in members {
            known.push(Member {
                id: member.member_id.to_string(),
                instance: member.group_instance_id.as_ref().map(ToString::to_string),
                topics: decode_subscription(&member.metadata)?,
            });
        }
        let mut topics: Vec<String> = known.iter().flat_map(|member| member.topics.clone()).collect();
        topics.sort();
        topics.dedup();
        self.cluster.metadata(Some(&topics), self.config.missing).await?;
        let counts = self.counts(&topics);
        let mut assignments = Vec::with_capacity(known.len());
        for (member, partitions) in range(&counts, &known) {
            let assignment = encode_assignment(&partitions)?;
            assignments.push(SyncGroupRequestAssignment::default().with_member_id(text(&member)).with_assignment(assignment));
        }
        Ok((counts, assignments))
    }

    /// How many partitions each topic has; those that are not there are left out.
    pub fn counts(&self, topics: &[String]) -> BTreeMap<String, usize> {
        let count = |name: &String| Some((name.clone(), self.cluster.known_topic(name)?.leaders.len()));
        topics.iter().filter_map(count).collect()
    }

    /// Sends heartbeats until the consumer is gone.
    pub fn keep_alive(self: &Arc<Self>) {
        let (member, interval) = (Arc::downgrade(self), self.config.heartbeat_interval);
        task::spawn("group heartbeat", async move {
            let mut answered = Moment::now();
            loop {
                task::sleep(interval).await;
                let Some(alive) = Weak::upgrade(&member) else { return };
                alive.beat(&mut answered).await;
            }
        });
    }

    async fn beat(&self, answered: &mut Moment) {
        let sent = {
            let membership = self.membership.lock();
            if !membership.is_live() {
                *answered = Moment::now();
                return;
            }
            membership.generation.clone()
        };
        if self.last_poll.lock().elapsed() > self.config.poll_interval_max {
            tracing::warn!(group = self.group, "no poll within max.poll.interval.ms: leaving the group");
            self.leave("consumer poll timeout has expired.").await;
            self.changed.notify_one();
            return;
        }
        if answered.elapsed() > self.config.session_timeout {
            // Java: the coordinator is taken for dead when it has not answered for a session.
            self.forget();
        }
        let request = HeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(sent.number)
            .with_member_id(text(&sent.member))
            .with_group_instance_id(self.instance());
        match self.ask(i16::MAX, &request, Duration::ZERO).await {
            Ok(reply) => {
                *answered = Moment::now();
                let code = code_of(reply.error_code);
                let next = self.membership.lock().beaten(code, &sent);
                if let Err(error) = self.follow(next, code)
                    && !error.is_retriable()
                {
                    *self.fatal.lock() = Some(error);
                }
                if self.membership.lock().rejoin {
                    self.changed.notify_one();
                }
            }
            Err(error) => tracing::debug!(group = self.group, %error, "heartbeat failed"),
        }
    }

    /// Commits `offsets` in the current generation.
    ///
    /// # Errors
    /// The first partition's, when trying again does not change it; else [`ClientError::Timeout`].
    pub async fn commit(&self, offsets: &Offsets) -> Result<(), ClientError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let doing = format!("committing offsets of group {}", self.group);
        retrying(&doing, self.config.api_timeout, &self.config.connection, || self.commit_once(offsets)).await
    }

    async fn commit_once(&self, offsets: &Offsets) -> Result<(), ClientError> {
        let sent = {
            let membership = self.membership.lock();
            // Who assigned partitions by hand is no member and commits without a generation.
            if membership.phase == Phase::Unjoined { Generation::none() } else { membership.generation.clone() }
        };
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id_or_member_epoch(sent.number)
            .with_member_id(text(&sent.member))
            .with_group_instance_id(if sent.number < 0 { None } else { self.instance() })
            .with_topics(commit_topics(offsets));
        let reply = self.ask(OFFSETS_BY_NAME, &request, Duration::ZERO).await?;
        for topic in &reply.topics {
            for partition in &topic.partitions {
                let code = code_of(partition.error_code);
                let next = self.membership.lock().committed(code, &sent);
                if next == Next::FindCoordinator {
                    self.forget();
                }
                if next != Next::Proceed {
                    return Err(of_partition(&topic.name.0, partition.partition_index, partition.error_code, None));
                }
            }
        }
        Ok(())
    }

    /// What the group committed of `places`.
    ///
    /// # Errors
    /// As [`Coordinator::commit`].
    pub async fn committed(&self, places: &[TopicPartition]) -> Result<Offsets, ClientError> {
        let doing = format!("reading the committed offsets of group {}", self.group);
        retrying(&doing, self.config.api_timeout, &self.config.connection, || self.committed_once(places)).await
    }

    async fn committed_once(&self, places: &[TopicPartition]) -> Result<Offsets, ClientError> {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for place in places {
            topics.entry(&place.topic).or_default().push(place.partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetFetchRequestTopics::default().with_name(topic_name(name)).with_partition_indexes(partitions)
        });
        let group = OffsetFetchRequestGroup::default().with_group_id(self.group_id()).with_topics(Some(topics.collect()));
        // KIP-447: offsets of a transaction that is open are waited for.
        let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
        let reply = self.ask(OFFSETS_BY_NAME, &request, Duration::ZERO).await?;
        let mut offsets = Offsets::new();
        for group in reply.groups {
            let code = code_of(group.error_code);
            if matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
                self.forget();
            }
            check(group.error_code, None)?;
            for topic in group.topics {
                for partition in topic.partitions {
                    if partition.error_code != 0 {
                        return Err(of_partition(&topic.name.0, partition.partition_index, partition.error_code, None));
                    }
                    if partition.committed_offset >= 0 {
                        let committed = OffsetAndMetadata {
                            offset: partition.committed_offset,
                            leader_epoch: partition.committed_leader_epoch,
                            metadata: partition.metadata.map(|note| note.to_string()).unwrap_or_default(),
                        };
                        offsets.insert(TopicPartition::new(&topic.name.0, partition.partition_index), committed);
                    }
                }
            }
        }
        Ok(offsets)
    }

    /// Leaves, unless the member is static and may come back; waits for the answer no longer than a request may take.
    pub async fn leave(&self, reason: &str) {
        let generation = {
            let mut membership = self.membership.lock();
            let generation = membership.generation.clone();
            membership.left();
            generation
        };
        if generation.member.is_empty() || self.config.instance.is_some() {
            return;
        }
        let member = MemberIdentity::default().with_member_id(text(&generation.member)).with_reason(Some(text(reason)));
        // Versions before 3 name one member; LeaveGroup 5 carries the reason.
        let request = LeaveGroupRequest::default().with_group_id(self.group_id()).with_members(vec![member]);
        if let Err(error) = self.ask(i16::MAX, &request, Duration::ZERO).await {
            tracing::debug!(group = self.group, %error, "leaving the group failed");
        }
    }
}

fn commit_topics(offsets: &Offsets) -> Vec<OffsetCommitRequestTopic> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (place, offset) in offsets {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(place.partition)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(offset.leader_epoch)
            .with_committed_metadata(Some(text(&offset.metadata)));
        topics.entry(&place.topic).or_default().push(partition);
    }
    let topic = |(name, partitions)| {
        OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
    };
    topics.into_iter().map(topic).collect()
}

fn embed(message: &impl Encodable) -> Result<Bytes, ClientError> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(EMBEDDED_VERSION);
    message.encode(&mut bytes, EMBEDDED_VERSION).map_err(|error| ClientError::Config(error.to_string()))?;
    Ok(bytes.freeze())
}

/// Reads what other members wrote, whoever they are: no count reserves memory.
struct Embedded<'a>(&'a [u8]);

impl<'a> Embedded<'a> {
    /// Behind the version; newer ones than ours begin with the same fields (Java: `ConsumerProtocol`).
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<2>()?;
        (i16::from_be_bytes(*version) >= 0).then_some(Embedded(rest))
    }

    fn int(&mut self) -> Option<i32> {
        let (raw, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*raw))
    }

    fn string(&mut self) -> Option<String> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(i16::from_be_bytes(*length)).ok()?)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn topics(mut self) -> Option<Vec<String>> {
        (0..self.int()?).map(|_| self.string()).collect()
    }

    fn partitions(mut self) -> Option<Vec<TopicPartition>> {
        let mut places = Vec::new();
        for _ in 0..self.int()? {
            let topic = self.string()?;
            for _ in 0..self.int()? {
                places.push(TopicPartition::new(&topic, self.int()?));
            }
        }
        places.sort();
        Some(places)
    }
}

const MALFORMED: ClientError = ClientError::State("a member's subscription or assignment is malformed");

fn encode_subscription(topics: &[String], rack: &str) -> Result<Bytes, ClientError> {
    let mut topics: Vec<StrBytes> = topics.iter().map(|topic| text(topic)).collect();
    topics.sort();
    let subscription = ConsumerProtocolSubscription::default().with_topics(topics).with_generation_id(-1);
    embed(&subscription.with_rack_id((!rack.is_empty()).then(|| text(rack))))
}

fn decode_subscription(bytes: &[u8]) -> Result<Vec<String>, ClientError> {
    Embedded::new(bytes).and_then(Embedded::topics).ok_or(MALFORMED)
}

fn encode_assignment(partitions: &[TopicPartition]) -> Result<Bytes, ClientError> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for place in partitions {
        topics.entry(&place.topic).or_default().push(place.partition);
    }
    let topic = |(name, partitions)| AssignedTopic::default().with_topic(topic_name(name)).with_partitions(partitions);
    embed(&ConsumerProtocolAssignment::default().with_assigned_partitions(topics.into_iter().map(topic).collect()))
}

fn decode_assignment(bytes: &[u8]) -> Result<Vec<TopicPartition>, ClientError> {
    // A member that nobody assigned anything to gets no bytes at all.
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Embedded::new(bytes).and_then(Embedded::partitions).ok_or(MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_and_assignments_are_read_back_and_damaged_ones_refused() {
        let topics = ["b".to_owned(), "a".to_owned()];
        let bytes = encode_subscription(&topics, "").unwrap();
        assert_eq!(decode_subscription(&bytes).unwrap(), ["a", "b"]);
        let places = [TopicPartition::new("a", 0), TopicPartition::new("a", 3), TopicPartition::new("b", 1)];
        let bytes = encode_assignment(&places).unwrap();
        assert_eq!(decode_assignment(&bytes).unwrap(), places);
        for cut in 1..bytes.len() - 4 {
            assert!(decode_assignment(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(decode_subscription(&[0, 0, 0x7f, 0xff, 0xff, 0xff]).is_err());
    }
}
