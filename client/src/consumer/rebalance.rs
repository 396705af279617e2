//! Topics subscribed to, and how partitions come and go with the other members of the group.
//!
//! The part of [`Consumer`] that `poll` drives first. With eager assignors a member gives back everything before it
//! joins; with cooperative-sticky alone it keeps and reads what it has, gives back what the assignment takes away and
//! joins again (KIP-429, Java: `ConsumerCoordinator.onJoinPrepare` and `onJoinComplete`).
//!
//! Not done: racks of replicas that change call for no rebalance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use millstream_protocol::messages::TopicName;
use regex::Regex;
use tokio::task::AbortHandle;

use super::coordinator::Joined;
use super::plugin::{GroupAssignment, GroupAssignor};
use super::{Assignment, Assignor, Consumer, Event, Leaving, Offsets, TopicPartition};
use crate::config::{InternalTopics, Missing};
use crate::connection::backoff;
use crate::error::ClientError;

/// How far a rebalance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rebalance {
    None,
    /// What was read is being committed.
    Settling,
    Joining,
}

/// What happens to partitions while members join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// All are given back.
    Eager,
    /// They are read on.
    Cooperative,
}

enum Wanted {
    Topics,
    /// Topics that match, once they are known.
    Pattern {
        pattern: Regex,
        matched: bool,
    },
}

/// A topic as metadata describes it.
pub(super) struct Described {
    name: String,
    is_internal: bool,
}

/// What a consumer subscribed to.
pub(super) struct Subscription {
    wanted: Wanted,
    topics: Vec<String>,
    rebalance: Rebalance,
    /// Of joins; an answer to an older one is not looked at.
    pub attempt: u64,
    /// A rebalance is called for; it begins when so many of the commits that nobody waits for are over.
    awaited: Option<u64>,
    joining: Option<AbortHandle>,
    began: Moment,
    /// Of the group's leader: partitions of the topics that it assigned.
    counts: Option<BTreeMap<String, usize>>,
}

impl Subscription {
    /// Topics to ask the cluster about; None for all.
    pub fn watched(&self) -> Option<Vec<String>> {
        match self.wanted {
            Wanted::Topics => Some(self.counted()),
            Wanted::Pattern { .. } => None,
        }
    }

    /// The topics that were assigned and those that this member subscribed to.
    fn counted(&self) -> Vec<String> {
        let mut topics: Vec<String> =
            self.counts.iter().flat_map(|counts| counts.keys()).chain(&self.topics).cloned().collect();
        topics.sort();
        topics.dedup();
        topics
    }
}

impl Consumer {
    /// Reads topics together with the other members of the group; polls join it.
    ///
    /// # Errors
    /// Without a group, or when partitions were assigned by hand.
    pub fn subscribe(&mut self, topics: &[&str]) -> Result<(), ClientError> {
        let mut topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        topics.sort();
        topics.dedup();
        self.want(Wanted::Topics, topics)
    }

    /// Reads all topics whose whole name matches, also those made later, together with the other members of the group.
    /// Topics like `__consumer_offsets` are left out unless `exclude.internal.topics` is false.
    ///
    /// # Errors
    /// Without a group, when partitions were assigned by hand, or when it is no regular expression.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), ClientError> {
        let pattern =
            Regex::new(&format!("^(?:{pattern})$")).map_err(|error| ClientError::Config(error.to_string()))?;
        self.want(Wanted::Pattern { pattern, matched: false }, Vec::new())
    }

    fn want(&mut self, wanted: Wanted, topics: Vec<String>) -> Result<(), ClientError> {
        let group = self.coordinator()?;
        if self.subscription.is_none() && self.partitions.len() > 0 {
            return Err(ClientError::State(
                "subscription to topics and partitions assigned by hand exclude each other",
            ));
        }
        self.stop_joining();
        group.subscribed.store(true, Ordering::Release);
        group.keep_alive();
        group.membership.lock().rejoin = true;
        self.attempts += 1;
        self.subscription = Some(Subscription {
            wanted,
            topics,
            rebalance: Rebalance::None,
            attempt: self.attempts,
            awaited: None,
            joining: None,
            began: Moment::now(),
            counts: None,
        });
        (self.refreshed, self.lacked) = (None, None);
        self.fetcher.stale = true;
        Ok(())
    }

    /// The topics that are read together with the group.
    pub fn subscription(&self) -> Vec<String> {
        self.subscription.as_ref().map(|known| known.topics.clone()).unwrap_or_default()
    }

    /// Whether a topic is read, as far as this consumer subscribed to topics: one that a pattern matched is read no more
    /// when it was deleted.
    pub fn reads(&self, topic: &str) -> bool {
        self.subscription.as_ref().is_none_or(|known| known.topics.iter().any(|known| known == topic))
    }

    /// Reads nothing; leaves the group without a commit. When it is cancelled, nothing is read all the same, but the
    /// coordinator may not have heard of it.
    ///
    /// # Errors
    /// None; an answer that does not come is not waited for beyond `request.timeout.ms`.
    pub async fn unsubscribe(&mut self) -> Result<(), ClientError> {
        self.stop_joining();
        if self.subscription.take().is_some() {
            self.give_back(&self.partitions.places(), &mut Offsets::new());
            let group = self.coordinator()?;
            // Before it is waited for, which may be cancelled: what is assigned by hand then is committed by no member.
            group.subscribed.store(false, Ordering::Release);
            self.partitions.assign([]);
            group.leave("the consumer unsubscribed from all topics", Leaving::Default).await;
        }
        self.partitions.assign([]);
        Ok(())
    }

    /// Joins the group again with the next poll.
    ///
    /// # Errors
    /// Without a group.
    pub fn enforce_rebalance(&mut self) -> Result<(), ClientError> {
        self.coordinator()?.membership.lock().rejoin = true;
        Ok(())
    }

    /// Who gives out partitions in place of the assignors that the settings name; set before topics are subscribed to.
    ///
    /// # Errors
    /// Without a group.
    pub fn set_assignor(&mut self, assignor: Arc<dyn GroupAssignor>) -> Result<(), ClientError> {
        *self.coordinator()?.plugin.lock() = Some(assignor.clone());
        self.assignor = Some(assignor);
        Ok(())
    }

    /// Java: the assignors' common protocol, cooperative only when all of them are.
    pub(super) fn protocol(&self) -> Protocol {
        if self.assignor.is_some() {
            return Protocol::Cooperative;
        }
        let all = self.config.assignors.iter().all(|assignor| *assignor == Assignor::CooperativeSticky);
        if all { Protocol::Cooperative } else { Protocol::Eager }
    }

    /// Whether no rebalance is under way.
    pub(super) fn is_settled(&self) -> bool {
        let Some(subscription) = &self.subscription else { return true };
        let rejoin = self.group.as_ref().is_some_and(|group| group.membership.lock().rejoin);
        subscription.rebalance == Rebalance::None && !rejoin
    }

    /// Whether partitions may be read.
    pub(super) fn may_read(&self) -> bool {
        self.is_settled() || self.protocol() == Protocol::Cooperative
    }

    /// Begins a rebalance when one is called for: what was read is committed, then partitions are given back.
    pub(super) fn rebalance(&mut self) {
        let (protocol, (made, over)) = (self.protocol(), self.counted_commits());
        let (Some(group), Some(subscription)) = (self.group.clone(), &mut self.subscription) else { return };
        let (rejoin, thrown_out) = {
            let membership = group.membership.lock();
            (membership.rejoin, membership.thrown_out)
        };
        let waits = matches!(subscription.wanted, Wanted::Pattern { matched: false, .. });
        if !rejoin || waits || subscription.rebalance != Rebalance::None {
            return;
        }
        // In the next generation, commits that are under way would be refused.
        if !thrown_out && over < *subscription.awaited.get_or_insert(made) {
            return;
        }
        subscription.awaited = None;
        let gone: Vec<TopicPartition> = match protocol {
            Protocol::Eager => self.partitions.places(),
            Protocol::Cooperative => {
                let gone = |place: &TopicPartition| !subscription.topics.contains(&place.topic);
                self.partitions.places().into_iter().filter(gone).collect()
            }
        };
        let mut offsets = if self.config.auto_commit.is_some() { self.partitions.consumed() } else { Offsets::new() };
        if self.assignor.is_some() && !thrown_out && !gone.is_empty() {
            // Who gives out partitions itself commits what was done with them after the poll, which is not possible any
            // more once this member joins: the next poll does (Java: `onPartitionsRevoked` comes before JoinGroup).
            offsets.retain(|place, _| gone.contains(place));
            self.give_back(&gone, &mut offsets);
            self.owed.append(&mut offsets);
            self.told = true;
            return;
        }
        subscription.rebalance = Rebalance::Settling;
        subscription.began = Moment::now();
        let attempt = subscription.attempt;
        if thrown_out {
            self.lose();
            return self.join();
        }
        offsets.append(&mut self.owed);
        self.give_back(&gone, &mut offsets);
        if offsets.is_empty() || self.settle(offsets, attempt).is_err() {
            self.join();
        }
    }

    /// What was to be committed before the rebalance of this attempt, or of any, is.
    pub(super) fn settled(&mut self, attempt: Option<u64>) {
        if let (None, Some(subscription)) = (attempt, &mut self.subscription) {
            // The next queue counts anew.
            subscription.awaited = None;
        }
        if self.subscription.as_ref().is_some_and(|known| attempt.is_none_or(|attempt| attempt == known.attempt)) {
            self.join();
        }
    }

    /// Reads no more from what the group took away from this member.
    pub(super) fn lose(&mut self) {
        self.owed.clear();
        let places = self.partitions.places();
        self.partitions.assign([]);
        self.told |= !places.is_empty() && self.assignor.is_some();
        if let Some(listener) = self.listener.as_mut().filter(|_| !places.is_empty()) {
            listener.lost(&places);
        }
    }

    /// Reads no more from `gone`; the listener may add what is to be committed of them.
    pub(super) fn give_back(&mut self, gone: &[TopicPartition], offsets: &mut Offsets) {
        let kept = self.partitions.places().into_iter().filter(|place| !gone.contains(place));
        self.partitions.assign(kept.collect::<Vec<_>>());
        if let Some(listener) = self.listener.as_mut().filter(|_| !gone.is_empty()) {
            listener.revoked(gone, offsets);
        }
    }

    pub(super) fn join(&mut self) {
        let owned = self.partitions.places();
        let (Some(group), Some(subscription)) = (self.group.clone(), &mut self.subscription) else { return };
        if subscription.rebalance != Rebalance::Settling {
            return;
        }
        subscription.rebalance = Rebalance::Joining;
        self.attempts += 1;
        let attempt = self.attempts;
        subscription.attempt = attempt;
        let handle = task::spawn("group join", group.join(subscription.topics.clone(), owned));
        subscription.joining = Some(handle.abort_handle());
        self.work.push(Box::pin(async move {
            Event::Joined(attempt, handle.await.unwrap_or(Err(ClientError::State("the join was stopped"))))
        }));
    }

    pub(super) fn joined(&mut self, attempt: u64, result: Result<Joined, ClientError>) -> Result<(), ClientError> {
        let Some(subscription) = self.subscription.as_mut().filter(|known| known.attempt == attempt) else {
            return Ok(());
        };
        subscription.rebalance = Rebalance::None;
        subscription.joining = None;
        let (assignment, counts) = match result {
            Ok(Joined::Assigned { assignment, counts, generation }) => {
                if let Some(group) = &self.group {
                    *group.completed.lock() = generation;
                }
                (assignment, counts)
            }
            // The next turn tells the listener and joins anew.
            Ok(Joined::ThrownOut) => return Ok(()),
            Err(error) => {
                self.tally.failed_rebalances.add(1);
                return Err(error);
            }
        };
        self.tally.rebalances.took(subscription.began.elapsed());
        subscription.counts = counts;
        let GroupAssignment { partitions, user_data } = assignment;
        if let Some(plugin) = &self.assignor {
            plugin.assigned(&partitions, user_data);
            self.told = true;
        }
        let before = self.partitions.places();
        let revoked: Vec<TopicPartition> = before.iter().filter(|place| !partitions.contains(place)).cloned().collect();
        if !revoked.is_empty() {
            // They go to someone else in the next generation, after what was read of them is committed.
            let mut offsets =
                if self.config.auto_commit.is_some() { self.partitions.consumed() } else { Offsets::new() };
            offsets.retain(|place, _| revoked.contains(place));
            self.give_back(&revoked, &mut offsets);
            self.owed.append(&mut offsets);
            if let Some(group) = &self.group {
                group.membership.lock().rejoin = true;
            }
        }
        let added: Vec<TopicPartition> = partitions.iter().filter(|place| !before.contains(place)).cloned().collect();
        self.partitions.assign(partitions);
        (self.auto_committed, self.auto_again) = (Moment::now(), None);
        (self.fetcher.stale, self.lacked) = (true, None);
        if let Some(listener) = &mut self.listener {
            listener.assigned_at(&added, &mut Assignment { partitions: &mut self.partitions });
        }
        Ok(())
    }

    pub(super) fn stop_joining(&mut self) {
        if let Some(joining) = self.subscription.as_mut().and_then(|known| known.joining.take()) {
            joining.abort();
            if let Some(group) = &self.group {
                group.abandon_join();
            }
        }
    }

    /// Looks at fresh metadata: which topics match a pattern, and, as the leader of a group, whether a topic has more
    /// partitions than were assigned, or is new.
    pub(super) fn watch(&mut self, described: &[Described]) {
        let internal = self.config.internal;
        self.lacked = None;
        let (Some(group), Some(subscription)) = (&self.group, &mut self.subscription) else { return };
        if let Wanted::Pattern { pattern, matched } = &mut subscription.wanted {
            let fits = |topic: &&Described| {
                pattern.is_match(&topic.name) && (internal == InternalTopics::Included || !topic.is_internal)
            };
            let mut topics: Vec<String> = described.iter().filter(fits).map(|topic| topic.name.clone()).collect();
            topics.sort();
            if *matched && topics != subscription.topics {
                tracing::info!(?topics, "other topics match the pattern: rejoining");
                group.membership.lock().rejoin = true;
            }
            (subscription.topics, *matched) = (topics, true);
        }
        let Some(counts) = &subscription.counts else { return };
        if subscription.rebalance == Rebalance::None && group.counts(&subscription.counted()) != *counts {
            tracing::info!("partitions of subscribed topics have changed: rejoining");
            group.membership.lock().rejoin = true;
        }
    }

    /// Topics to ask the cluster about; None for all.
    fn watched(&self) -> Option<Vec<String>> {
        match &self.subscription {
            Some(subscription) => subscription.watched(),
            None => {
                let mut topics: Vec<String> = self.partitions.places().into_iter().map(|place| place.topic).collect();
                topics.dedup();
                Some(topics)
            }
        }
    }

    /// Whether a topic is not known; looked at once for each change of what is known.
    fn lacks_topics(&mut self) -> bool {
        let version = self.cluster.version();
        if let Some((_, lacked)) = self.lacked.filter(|(at, _)| *at == version) {
            return lacked;
        }
        let lacks = self.watched().iter().flatten().any(|topic| self.cluster.known_topic(topic).is_none());
        self.lacked = Some((version, lacks));
        lacks
    }

    /// Asks for metadata when it is stale or old; whether it has to wait with that.
    pub(super) fn refresh(&mut self) -> bool {
        let age = self.refreshed.map(|at| at.elapsed());
        let old = age.is_none_or(|age| age >= self.config.connection.metadata_max_age);
        if self.refreshing || !(self.fetcher.stale || old || self.lacks_topics()) {
            return false;
        }
        let topics = self.watched();
        // What stays unknown is asked about less and less often.
        let config = &self.config.connection;
        if age.is_some_and(|age| age < backoff(self.hurried.max(1), config.retry_backoff, config.retry_backoff_max)) {
            return true;
        }
        let recent = age.is_some_and(|age| age < config.retry_backoff_max * 2);
        self.hurried = if recent { self.hurried.saturating_add(1) } else { 0 };
        self.refreshing = true;
        self.fetcher.stale = false;
        let missing = if topics.is_some() { self.config.missing } else { Missing::Report };
        let cluster = self.cluster.clone();
        self.work.push(Box::pin(async move {
            let response = cluster.metadata(topics.as_deref(), missing).await;
            Event::Refreshed(response.map(|response| {
                let there = response.topics.iter().filter(|topic| topic.error_code == 0);
                let described = |name: &TopicName, is_internal| Described { name: name.0.to_string(), is_internal };
                there.filter_map(|topic| Some(described(topic.name.as_ref()?, topic.is_internal))).collect()
            }))
        }));
        false
    }
}
