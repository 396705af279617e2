//! A member's dealings with its group's coordinator: find it, join, keep alive, commit, leave.
//!
//! Called by `consumer.rs`. Joining runs in a task of its own, so that a poll may end before it does; heartbeats are
//! another task that ends with the consumer. What the coordinator holds back (joining) has a connection of its own, so
//! that heartbeats, commits and what was committed do not wait behind it; both are apart from fetches. The meaning of
//! answers is `group.rs`'s.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use millstream_protocol::messages::join_group_response::JoinGroupResponseMember;
use millstream_protocol::messages::leave_group_request::MemberIdentity;
use millstream_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use millstream_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, MetadataResponse, OffsetCommitRequest,
    OffsetFetchRequest, Request, StrBytes, SyncGroupRequest,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::assign::{self, Assignor, Member, Topics};
use super::embedded::{read_assignment, read_subscription, write_assignment, write_subscription};
use super::group::{Generation, Keep, Membership, Next};
use super::metrics::Tally;
use super::plugin::{GroupAssignment, GroupAssignor};
use super::{Leaving, Offsets};
use crate::TopicPartition;
use crate::committed;
use crate::config::ConsumerConfig;
use crate::connection::{Connection, backoff, retrying};
use crate::error::{ClientError, check_of, known, of_code, of_partition};
use crate::metadata::{Cluster, Coordinated, text};
use crate::producer::GroupMetadata;

const PROTOCOL_TYPE: &str = "consumer";
/// Java waits this much longer for JoinGroup than the broker may hold it back.
const JOIN_SLACK: Duration = Duration::from_secs(5);

/// What a join brought.
#[derive(Debug)]
pub(super) enum Joined {
    /// Partitions. The leader of the group: how many partitions each topic had that it assigned; a change calls for a
    /// rebalance.
    Assigned { assignment: GroupAssignment, counts: Option<BTreeMap<String, usize>>, generation: Generation },
    /// The member is out of the group with what it owned, which has to be told before it joins anew.
    ThrownOut,
}

/// What an assignor keeps between rebalances.
#[derive(Clone, Debug)]
struct Memory {
    assigned: Option<Vec<TopicPartition>>,
    generation: i32,
    /// The newest generation that it has seen of any member.
    newest: i32,
}

impl Default for Memory {
    fn default() -> Self {
        Memory { assigned: None, generation: -1, newest: -1 }
    }
}

/// From a completed join to the first heartbeat.
const FIRST_GAP: Duration = Duration::from_millis(50);

/// A group as one member sees it.
pub(super) struct Coordinator {
    cluster: Cluster,
    /// For requests that the coordinator holds back; another when a join is given up, whose answer would come first.
    joining: Mutex<Cluster>,
    /// Whether topics are subscribed to; who assigned partitions by hand is no member.
    pub subscribed: AtomicBool,
    /// Whether there is a task that sends heartbeats.
    beating: AtomicBool,
    config: ConsumerConfig,
    group: String,
    pub membership: Mutex<Membership>,
    /// The last generation whose assignment a poll took over: commits inside transactions carry it, also when the member
    /// is out of the group by now, so that the broker can tell (Java: `ConsumerCoordinator.groupMetadata`).
    pub completed: Mutex<Generation>,
    /// Something happened that a poll should look at.
    pub changed: Notify,
    /// A join was completed.
    joined: Arc<Notify>,
    last_poll: Mutex<Moment>,
    /// By assignor's name.
    memory: Mutex<BTreeMap<&'static str, Memory>>,
    /// In place of the assignors that the settings name.
    pub plugin: Mutex<Option<Arc<dyn GroupAssignor>>>,
    pub tally: Arc<Tally>,
    /// What ended the membership for good.
    fatal: Mutex<Option<ClientError>>,
}

impl Coordinator {
    pub fn new(cluster: &Cluster, config: ConsumerConfig, group: &str, tally: Arc<Tally>) -> Arc<Self> {
        Arc::new(Coordinator {
            cluster: cluster.apart(),
            joining: Mutex::new(cluster.apart()),
            subscribed: AtomicBool::new(false),
            beating: AtomicBool::new(false),
            config,
            group: group.to_owned(),
            membership: Mutex::new(Membership::new()),
            completed: Mutex::new(Generation::none()),
            changed: Notify::new(),
            joined: Arc::default(),
            last_poll: Mutex::new(Moment::now()),
            memory: Mutex::default(),
            plugin: Mutex::new(None),
            tally,
            fatal: Mutex::new(None),
        })
    }

    /// The application polls: it is alive.
    pub fn polled(&self) {
        *self.last_poll.lock() = Moment::now();
    }

    /// What ended the membership: once, or again and again when another member has taken this one's place.
    pub fn take_fatal(&self) -> Option<ClientError> {
        let mut fatal = self.fatal.lock();
        match &*fatal {
            Some(error) if error.code() == Some(ErrorCode::FencedInstanceId) => fatal.clone(),
            _ => fatal.take(),
        }
    }

    /// The next poll fails with `error`.
    pub fn end(&self, error: ClientError) {
        *self.fatal.lock() = Some(error);
    }

    /// No answer to a join is waited for any more.
    pub fn abandon_join(&self) {
        *self.joining.lock() = self.cluster.apart();
    }

    /// The group and this member's place in it, as of the last join that a poll completed.
    pub fn metadata(&self) -> GroupMetadata {
        let generation = self.completed.lock().clone();
        GroupMetadata {
            generation: generation.number,
            member_id: generation.member,
            instance_id: self.config.instance.clone(),
            ..GroupMetadata::new(&self.group)
        }
    }

    fn group_id(&self) -> GroupId {
        GroupId(text(&self.group))
    }

    fn instance(&self) -> Option<StrBytes> {
        self.config.instance.as_deref().map(text)
    }

    /// A connection to the coordinator, found if need be.
    async fn connection(&self) -> Result<Connection, ClientError> {
        self.cluster.coordinator(Coordinated::Group, &self.group).await
    }

    /// The error of a code that the coordinator gave.
    fn refused(&self, code: ErrorCode) -> ClientError {
        let error = of_code(code.code(), None).of(Coordinated::Group.named(&self.group));
        error.at(&self.address())
    }

    /// Where it is, as far as that is known.
    pub fn address(&self) -> String {
        self.cluster.coordinator_address(Coordinated::Group, &self.group)
    }

    fn forget(&self) {
        self.cluster.forget_coordinator(Coordinated::Group, &self.group);
    }

    async fn ask<T: Request>(&self, at_most: i16, request: &T) -> Result<T::Response, ClientError> {
        self.ask_from(at_most, request).await.map(|(response, _)| response)
    }

    /// The answer, and the address of who gave it.
    async fn ask_from<T: Request>(&self, at_most: i16, request: &T) -> Result<(T::Response, String), ClientError> {
        let connection = self.connection().await?;
        let response = self.heard(connection.call_at_most(at_most, request).await)?;
        Ok((response, connection.address().to_owned()))
    }

    /// Sends what the coordinator holds back until other members have come.
    async fn ask_held<T: Request>(&self, request: &T) -> Result<T::Response, ClientError> {
        let found = self.connection().await?;
        let cluster = self.joining.lock().clone();
        let connection = cluster.at(found.address()).await.inspect_err(|_| self.forget())?;
        let hold = self.config.poll_interval_max + JOIN_SLACK;
        self.heard(connection.call_held(i16::MAX, request, hold).await)
    }

    fn heard<R>(&self, response: Result<R, ClientError>) -> Result<R, ClientError> {
        if matches!(response, Err(ClientError::Lost { .. } | ClientError::Timeout { .. })) {
            self.forget();
        }
        response
    }

    /// Joins and waits for the assignment, as often as it takes.
    ///
    /// # Errors
    /// What trying again does not change.
    pub async fn join(self: Arc<Self>, topics: Vec<String>, owned: Vec<TopicPartition>) -> Result<Joined, ClientError> {
        for failures in 1.. {
            if !owned.is_empty() && self.membership.lock().thrown_out {
                return Ok(Joined::ThrownOut);
            }
            match self.join_once(&topics, &owned).await {
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
    async fn join_once(&self, topics: &[String], owned: &[TopicPartition]) -> Result<Option<Joined>, ClientError> {
        let sent = self.membership.lock().start_join();
        let protocols = self.protocols(topics, owned, &sent)?;
        let rebalance = self.config.poll_interval_max;
        let request = JoinGroupRequest::default()
            .with_group_id(self.group_id())
            .with_session_timeout_ms(self.config.session_timeout.as_millis() as i32)
            .with_rebalance_timeout_ms(rebalance.as_millis() as i32)
            .with_member_id(text(&sent.member))
            .with_group_instance_id(self.instance())
            .with_protocol_type(text(PROTOCOL_TYPE))
            .with_protocols(protocols);
        let started = Moment::now();
        let reply = self.ask_held(&request).await?;
        self.tally.joins.took(started.elapsed());
        let code = known(reply.error_code);
        let next = self.membership.lock().joined(code, &sent, &reply.member_id, reply.generation_id);
        if !self.follow(next, code)? {
            return Ok(None);
        }
        let mut counts = None;
        let mut assignments = Vec::new();
        if reply.leader == reply.member_id && !reply.skip_assignment {
            let (of_topics, made) = self.assign(reply.protocol_name.as_deref(), &reply.members).await?;
            counts = Some(of_topics);
            assignments = made;
        }
        let generation = self.membership.lock().generation.clone();
        tracing::debug!(group = self.group, generation = generation.number, member = generation.member, "joined");
        let name = reply.protocol_name.clone();
        let Some(assignment) = self.sync(&generation, reply.protocol_name, assignments).await? else { return Ok(None) };
        if let Some(assignor) = name.as_deref().and_then(Assignor::named) {
            let mut memory = self.memory.lock();
            let known = memory.entry(assignor.name()).or_default();
            (known.assigned, known.generation) = (Some(assignment.partitions.clone()), generation.number);
        }
        Ok(Some(Joined::Assigned { assignment, counts, generation }))
    }

    /// What each assignor lets this member say.
    fn protocols(
        &self,
        topics: &[String],
        owned: &[TopicPartition],
        sent: &Generation,
    ) -> Result<Vec<JoinGroupRequestProtocol>, ClientError> {
        let plugin = self.plugin.lock().clone();
        if let Some(plugin) = plugin {
            let member = Member {
                topics: topics.to_vec(),
                owned: owned.to_vec(),
                generation: Some(sent.number),
                rack: self.config.rack.clone(),
                user_data: plugin.user_data(topics),
                ..Member::default()
            };
            let said = write_subscription(&member)?;
            return Ok(vec![JoinGroupRequestProtocol::default().with_name(text(plugin.name())).with_metadata(said)]);
        }
        let memory = self.memory.lock().clone();
        let protocol = |assignor: &Assignor| {
            let known = memory.get(assignor.name()).cloned().unwrap_or_default();
            let member = Member {
                topics: topics.to_vec(),
                owned: owned.to_vec(),
                generation: Some(sent.number),
                rack: self.config.rack.clone(),
                user_data: assign::user_data(*assignor, known.assigned.as_deref(), known.generation),
                ..Member::default()
            };
            let said = write_subscription(&member)?;
            Ok(JoinGroupRequestProtocol::default().with_name(text(assignor.name())).with_metadata(said))
        };
        self.config.assignors.iter().map(protocol).collect()
    }

    async fn sync(
        &self,
        generation: &Generation,
        protocol_name: Option<StrBytes>,
        assignments: Vec<SyncGroupRequestAssignment>,
    ) -> Result<Option<GroupAssignment>, ClientError> {
        let request = SyncGroupRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(generation.number)
            .with_member_id(text(&generation.member))
            .with_group_instance_id(self.instance())
            .with_protocol_type(Some(text(PROTOCOL_TYPE)))
            .with_protocol_name(protocol_name)
            .with_assignments(assignments);
        let started = Moment::now();
        let reply = self.ask_held(&request).await?;
        self.tally.syncs.took(started.elapsed());
        let code = known(reply.error_code);
        let next = self.membership.lock().synced(code, generation);
        if !self.follow(next, code)? {
            return Ok(None);
        }
        self.joined.notify_one();
        read_assignment(&reply.assignment).map(Some)
    }

    /// Whether to go on; false to begin again.
    fn follow(&self, next: Next, code: ErrorCode) -> Result<bool, ClientError> {
        match next {
            Next::Proceed => Ok(true),
            Next::Rejoin => Ok(false),
            Next::Later => Err(self.refused(code)),
            Next::FindCoordinator => {
                let error = self.refused(code);
                self.forget();
                Err(error)
            }
            Next::Fail(code) => Err(self.refused(code)),
        }
    }

    /// Decides for the whole group, as its leader.
    async fn assign(
        &self,
        chosen: Option<&str>,
        members: &[JoinGroupResponseMember],
    ) -> Result<(BTreeMap<String, usize>, Vec<SyncGroupRequestAssignment>), ClientError> {
        let mut known = Vec::with_capacity(members.len());
        for member in members {
            known.push(read_subscription(&member.member_id, member.group_instance_id.as_deref(), &member.metadata)?);
        }
        let mut topics: Vec<String> = known.iter().flat_map(|member| member.topics.clone()).collect();
        topics.sort();
        topics.dedup();
        let plugin = self.plugin.lock().clone();
        if let Some(plugin) = plugin {
            let made = plugin.assign(known.into_iter().map(Into::into).collect()).await?;
            // It may have made topics.
            self.cluster.metadata(Some(&topics), self.config.missing).await?;
            return Ok((self.counts(&topics), told(made)?));
        }
        let assignor = chosen.and_then(Assignor::named);
        let assignor =
            assignor.ok_or(ClientError::State("the group chose an assignor that this client does not have"))?;
        let described = racks(&self.cluster.metadata(Some(&topics), self.config.missing).await?);
        let counts = self.counts(&topics);
        let mut newest = self.memory.lock().get(assignor.name()).map_or(-1, |known| known.newest);
        let made = assign::assign(assignor, &described, &known, &mut newest);
        self.memory.lock().entry(assignor.name()).or_default().newest = newest;
        let plain = |(member, partitions)| (member, GroupAssignment { partitions, user_data: None });
        Ok((counts, told(made.into_iter().map(plain).collect())?))
    }

    /// How many partitions each topic has; those that are not there are left out.
    pub fn counts(&self, topics: &[String]) -> BTreeMap<String, usize> {
        let count = |name: &String| Some((name.clone(), self.cluster.known_topic(name)?.leaders.len()));
        topics.iter().filter_map(count).collect()
    }

    /// Sends heartbeats until the consumer is gone; once begun, it goes on. After a join they come soon and then ever more
    /// seldom, up to `heartbeat.interval.ms`: of members that start together each but the last is told by them alone that
    /// it has to join again.
    pub fn keep_alive(self: &Arc<Self>) {
        if self.beating.swap(true, Ordering::AcqRel) {
            return;
        }
        let (member, interval) = (Arc::downgrade(self), self.config.heartbeat_interval);
        let joined = Arc::clone(&self.joined);
        task::spawn("group heartbeat", async move {
            let (mut answered, mut gap) = (Moment::now(), interval);
            loop {
                tokio::select! {
                    () = joined.notified() => {
                        gap = FIRST_GAP.min(interval);
                        continue;
                    }
                    () = task::sleep(gap) => gap = (gap * 2).min(interval),
                }
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
            self.leave("consumer poll timeout has expired.", Leaving::Default).await;
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
        let started = Moment::now();
        match self.ask(i16::MAX, &request).await {
            Ok(reply) => {
                self.tally.heartbeats.took(started.elapsed());
                *answered = Moment::now();
                let code = known(reply.error_code);
                let next = self.membership.lock().beaten(code, &sent);
                if let Err(error) = self.follow(next, code)
                    && !error.is_retriable()
                {
                    self.end(error);
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
    /// The first partition's, when trying again does not change it; else [`ClientError::Timeout`] after `limit`.
    pub async fn commit(&self, offsets: &Offsets, limit: Duration) -> Result<(), ClientError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let doing = format!("committing offsets of group {}", self.group);
        let made = self.generation()?;
        retrying(&doing, limit, &self.config.connection, || self.commit_once(&made, offsets)).await
    }

    /// The generation that a commit which is made now belongs to.
    ///
    /// # Errors
    /// When this member is in none.
    pub fn generation(&self) -> Result<Generation, ClientError> {
        match self.subscribed.load(Ordering::Acquire) {
            true => self.membership.lock().to_commit().map_err(|code| self.refused(code)),
            false => Ok(Generation::none()),
        }
    }

    /// Whether offsets may go into a transaction.
    ///
    /// # Errors
    /// Why they may not.
    pub fn check_transaction(&self) -> Result<(), ClientError> {
        match self.subscribed.load(Ordering::Acquire) {
            true => self.membership.lock().check_transaction().map_err(|code| self.refused(code)),
            false => Ok(()),
        }
    }

    /// Sends a commit that was made in generation `made`. In a later one it would take back what others committed.
    pub(super) async fn commit_once(&self, made: &Generation, offsets: &Offsets) -> Result<(), ClientError> {
        let sent = self.generation()?;
        if sent != *made {
            return Err(self.refused(ErrorCode::IllegalGeneration));
        }
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id_or_member_epoch(sent.number)
            .with_member_id(text(&sent.member))
            .with_group_instance_id(if sent.number < 0 { None } else { self.instance() })
            .with_topics(committed::to_commit(offsets));
        let started = Moment::now();
        let (reply, from) = self.ask_from(committed::BY_NAME, &request).await?;
        self.tally.commits.took(started.elapsed());
        for topic in &reply.topics {
            for partition in &topic.partitions {
                let code = known(partition.error_code);
                let next = self.membership.lock().committed(code, &sent);
                if next == Next::Proceed {
                    continue;
                }
                if next == Next::FindCoordinator {
                    self.forget();
                }
                let error = of_partition(&topic.name.0, partition.partition_index, partition.error_code, None);
                return Err(error.at(&from));
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
        // KIP-447: offsets of a transaction that is open are waited for.
        let request = OffsetFetchRequest::default()
            .with_groups(vec![committed::to_fetch(&self.group, Some(places))])
            .with_require_stable(true);
        let (reply, from) = self.ask_from(committed::BY_NAME, &request).await?;
        let mut offsets = Offsets::new();
        for group in reply.groups {
            let code = known(group.error_code);
            if matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
                self.forget();
            }
            check_of(Coordinated::Group.named(&self.group), group.error_code, None).map_err(|error| error.at(&from))?;
            for (place, committed) in committed::fetched(group) {
                if let Some(committed) = committed.map_err(|error| error.at(&from))? {
                    offsets.insert(place, committed);
                }
            }
        }
        Ok(offsets)
    }

    /// Leaves, unless the member is to be expected back; waits for the answer no longer than a request may take.
    pub async fn leave(&self, reason: &str, leaving: Leaving) {
        let stays = match leaving {
            Leaving::Default => self.config.instance.is_some(),
            Leaving::Leave => false,
            Leaving::Remain => true,
        };
        let comes_back = stays && self.config.instance.is_some();
        let generation = {
            let mut membership = self.membership.lock();
            let generation = membership.generation.clone();
            membership.left(if comes_back { Keep::Member } else { Keep::Nothing });
            generation
        };
        if generation.member.is_empty() || stays {
            return;
        }
        let member = MemberIdentity::default().with_member_id(text(&generation.member)).with_reason(Some(text(reason)));
        let member = member.with_group_instance_id(self.instance());
        // Versions before 3 name one member; LeaveGroup 5 carries the reason.
        let request = LeaveGroupRequest::default().with_group_id(self.group_id()).with_members(vec![member]);
        if let Err(error) = self.ask(i16::MAX, &request).await {
            tracing::debug!(group = self.group, %error, "leaving the group failed");
        }
    }
}

/// What SyncGroup tells each member.
fn told(made: BTreeMap<String, GroupAssignment>) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
    let one = |(member, assignment): (String, GroupAssignment)| {
        let written = write_assignment(&assignment)?;
        Ok(SyncGroupRequestAssignment::default().with_member_id(text(&member)).with_assignment(written))
    };
    made.into_iter().map(one).collect()
}

/// Of each partition of each topic the racks that its replicas stand in.
fn racks(described: &MetadataResponse) -> Topics {
    let of_broker: BTreeMap<i32, &str> =
        described.brokers.iter().filter_map(|broker| Some((broker.node_id.0, broker.rack.as_deref()?))).collect();
    let mut topics = Topics::new();
    for topic in &described.topics {
        let Some(name) = topic.name.as_ref().filter(|_| topic.error_code == 0 && !topic.partitions.is_empty()) else {
            continue;
        };
        let mut partitions: Vec<_> = topic.partitions.iter().collect();
        partitions.sort_by_key(|partition| partition.partition_index);
        let racks = partitions.into_iter().map(|partition| {
            let mut racks: Vec<String> = partition
                .replica_nodes
                .iter()
                .filter_map(|node| of_broker.get(&node.0))
                .map(|rack| (*rack).to_owned())
                .collect();
            racks.sort();
            racks.dedup();
            racks
        });
        topics.insert(name.0.to_string(), racks.collect());
    }
    topics
}
