//! One partition of `__consumer_offsets` as a machine: classic groups, and the offsets of all groups.
//!
//! Stepped by broker/server's `coord/shard.rs`. State that outlives a restart changes by records alone; members,
//! sessions and parked requests live in memory. Runs timers that are due at the end of every step.
//!
//! Not done: groups of the consumer, share and streams protocols (KIP-848, KIP-932, KIP-1071); their records are
//! left alone on replay, and a classic group or a simple one may take their id.

/// What handlers ask and get.
pub mod ask;
/// A group and its members.
pub mod classic;
/// JoinGroup and the join phase.
pub mod rebalance;
/// SyncGroup, Heartbeat, LeaveGroup.
pub mod sync;
/// OffsetCommit, OffsetFetch, OffsetDelete.
pub mod commit;
/// Committed and pending offsets.
pub mod offsets;
/// Retention of offsets.
pub mod expire;
/// DescribeGroups, ListGroups, DeleteGroups.
pub mod listing;
/// The timer heap.
pub mod timers;
mod step;

use std::sync::Arc;

use hashbrown::HashMap;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::HeartbeatResponse;

use self::ask::{GroupConfig, GroupRequest, GroupResponse, join_error, sync_error};
use self::classic::{Group, Name, State};
use self::offsets::{Change, Committed, Offsets};
use self::step::{Ongoing, Pending, Step, append_error};
use self::timers::Kind;
use crate::batch::marker_batch;
use crate::record_group::{Key, decode_group, decode_key, decode_offset};
use crate::step::{AppendError, AppendToken, Effects, Event, Machine, Nature, Now, Replayed, Token, TransactionResult};

/// The machine.
#[derive(Debug)]
pub struct GroupShard {
    config: Arc<GroupConfig>,
    groups: HashMap<Name, Group>,
    offsets: Offsets,
    ongoing: Ongoing,
    /// Records that replay could not read.
    undecoded: u64,
}

/// A machine of groups never asks for work outside of its partition.
#[derive(Debug)]
pub enum Nothing {}

impl GroupShard {
    /// A shard that knows nothing yet.
    pub fn new(config: Arc<GroupConfig>) -> Self {
        GroupShard {
            config,
            groups: HashMap::new(),
            offsets: Offsets::default(),
            ongoing: Ongoing::default(),
            undecoded: 0,
        }
    }

    /// The groups, for metrics and tests.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// The offsets, for metrics (lag) and tests.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Records of the log that could not be read.
    pub fn undecoded(&self) -> u64 {
        self.undecoded
    }

    fn ask(&mut self, step: &mut Step<'_>, token: Token, request: GroupRequest) {
        let groups = &mut self.groups;
        match request {
            GroupRequest::Join(ask) => step.join(groups, token, *ask),
            GroupRequest::Sync(request) => step.sync(groups.get_mut(request.group_id.as_str()), token, request),
            GroupRequest::Heartbeat(request) => {
                let error = step.heartbeat(groups.get_mut(request.group_id.as_str()), &request);
                let response = HeartbeatResponse::default().with_error_code(error.code());
                step.reply(token, GroupResponse::Heartbeat(response));
            }
            GroupRequest::Leave(request) => step.leave(groups.get_mut(request.group_id.as_str()), token, &request),
            GroupRequest::Commit { request, version } => step.commit(groups, &self.offsets, token, request, version),
            GroupRequest::TxnCommit { request, verification } => {
                step.commit_transactional(groups, &self.offsets, token, request, verification);
            }
            GroupRequest::Fetch { group, stability } => {
                let known = groups.get(group.group_id.as_str());
                let response = commit::fetch(known, &self.offsets, group, stability);
                step.reply(token, GroupResponse::Fetch(response));
            }
            GroupRequest::Describe { groups: ids, version } => {
                let described = ids.iter().map(|id| listing::describe(groups, id, version)).collect();
                step.reply(token, GroupResponse::Describe(described));
            }
            GroupRequest::List(filter) => step.reply(token, GroupResponse::List(listing::list(groups, &filter))),
            GroupRequest::Delete(ids) => step.delete_groups(groups, &self.offsets, token, ids),
            GroupRequest::DeleteOffsets(request) => {
                step.delete_offsets(groups.get(request.group_id.as_str()), &self.offsets, token, request);
            }
            GroupRequest::EndTransaction {
                producer_id,
                producer_epoch,
                coordinator_epoch,
                result,
                transaction_version,
            } => {
                let batch = marker_batch(step.now_ms, producer_id, producer_epoch, coordinator_epoch, result);
                let nature = Nature::Marker { transaction_version };
                step.append(batch, Pending::Marker { token, producer_id, result }, nature);
            }
            GroupRequest::TopicsDeleted(topics) => step.topics_deleted(&self.offsets, token, &topics),
        }
    }

    fn appended(&mut self, step: &mut Step<'_>, token: AppendToken, base_offset: i64) {
        match step.ongoing.pending.remove(&token) {
            None | Some(Pending::NewGroup { .. }) => {}
            Some(Pending::EmptyGeneration { reply }) => {
                if let Some((token, response)) = reply {
                    step.reply(token, response);
                }
            }
            Some(Pending::Assignment { group, generation, assignment }) => {
                if let Some(group) = self.groups.get_mut(&group) {
                    step.assignment_stored(group, generation, &assignment);
                }
            }
            Some(Pending::StaticSwap(swap)) => {
                if let Some(group) = self.groups.get_mut(&swap.group) {
                    step.static_swap_stored(group, &swap);
                }
            }
            Some(Pending::Changes { changes, producer_id, reply }) => {
                for (record, change) in changes.into_iter().enumerate() {
                    if self.lives_on(&change) {
                        continue;
                    }
                    self.apply(step.now_ms, change, base_offset + record as i64, producer_id);
                }
                if let Some((token, reply)) = reply {
                    step.reply(token, reply.done());
                }
            }
            Some(Pending::Marker { token, producer_id, result }) => {
                self.offsets.end_transaction(producer_id, result);
                step.reply(token, GroupResponse::EndTransaction(Ok(())));
            }
        }
    }

    fn append_failed(&mut self, step: &mut Step<'_>, token: AppendToken, error: AppendError) {
        let error = append_error(error);
        match step.ongoing.pending.remove(&token) {
            None => {}
            Some(Pending::NewGroup { group }) => {
                // The group is not in the log, so it must not be here: whoever waits in it is sent away.
                if let Some(mut group) = self.groups.remove(&group) {
                    let ids: Vec<Name> = group.members.keys().cloned().collect();
                    for id in ids {
                        step.answer_join(&mut group, &id, join_error("", error));
                        step.drop_member(&mut group, &id);
                    }
                }
            }
            // Nothing is lost: an earlier generation in the log is without its members as well.
            Some(Pending::EmptyGeneration { reply: Some((token, GroupResponse::Leave(response))) }) => {
                let response = response.with_members(Vec::new()).with_error_code(error.code());
                step.reply(token, GroupResponse::Leave(response));
            }
            Some(Pending::Assignment { group, generation, .. }) => {
                if let Some(group) = self.groups.get_mut(&group) {
                    step.assignment_failed(group, generation, error);
                }
            }
            Some(Pending::StaticSwap(swap)) => {
                if let Some(group) = self.groups.get_mut(&swap.group) {
                    step.static_swap_failed(group, swap, error);
                }
            }
            Some(Pending::Changes { reply: Some((token, reply)), .. }) => step.reply(token, reply.failed(error)),
            // Nobody waits for these.
            Some(Pending::EmptyGeneration { .. } | Pending::Changes { reply: None, .. }) => {}
            Some(Pending::Marker { token, .. }) => step.reply(token, GroupResponse::EndTransaction(Err(error))),
        }
    }

    fn apply(&mut self, now_ms: i64, change: Change, record_offset: i64, producer_id: Option<i64>) {
        match change {
            Change::Put { group, topic, partition, value } => {
                // A group that only holds offsets has no record of its own.
                if !self.groups.contains_key(&group) {
                    self.groups.insert(group.clone(), Group::new(group.clone(), now_ms));
                }
                self.offsets.put(group, topic, partition, Committed { value, record_offset }, producer_id);
            }
            Change::Remove { group, topic, partition } => self.offsets.remove(&group, &topic, partition),
            Change::RemoveGroup { group, .. } => {
                self.groups.remove(&group);
            }
        }
    }

    /// Whether somebody joined a group while its tombstone was on its way into the log. Java's group is gone with
    /// the append and the join makes another; here the join came into the old one, which goes on as the new one.
    fn lives_on(&self, change: &Change) -> bool {
        let Change::RemoveGroup { group, generation } = change else { return false };
        self.groups.get(group).is_some_and(|group| {
            group.generation != *generation || group.state() != State::Empty || !group.pending_joins.is_empty()
        })
    }

    fn run_timers(&mut self, step: &mut Step<'_>) {
        while let Some(timer) = step.ongoing.timers.pop_due(step.steady_ms) {
            match timer.kind {
                Kind::Session { group, member } => {
                    if let Some(group) = self.groups.get_mut(&group) {
                        step.session_timer(group, &member, timer.at_ms);
                    }
                }
                Kind::Join(group) => {
                    if let Some(group) = self.groups.get_mut(&group) {
                        step.join_timer(group);
                    }
                }
                Kind::Sync(group) => {
                    if let Some(group) = self.groups.get_mut(&group) {
                        step.sync_timer(group);
                    }
                }
                Kind::Expire => step.expire(&mut self.groups, &self.offsets),
            }
        }
    }

    fn unload(&mut self, step: &mut Step<'_>) {
        let waiting: Vec<AppendToken> = step.ongoing.pending.keys().copied().collect();
        for token in waiting {
            self.append_failed(step, token, AppendError::NotLeader);
        }
        for group in self.groups.values_mut() {
            let ids: Vec<Name> = group.members.keys().cloned().collect();
            for id in ids {
                step.answer_join(group, &id, join_error(&id, ErrorCode::NotCoordinator));
                if let Some(token) = group.members.get_mut(&id).and_then(|member| member.awaiting_sync.take()) {
                    step.reply(token, GroupResponse::Sync(sync_error(ErrorCode::NotCoordinator)));
                }
            }
            group.transition(State::Dead, step.now_ms);
        }
    }
}

impl Machine for GroupShard {
    type Request = GroupRequest;
    type Response = GroupResponse;
    type Command = Nothing;

    fn replay(&mut self, record: Replayed<'_>) {
        let decoded = match record.key.map(decode_key) {
            Some(Ok(Key::Offset { group, topic, partition })) => match record.value.map(decode_offset) {
                None => Ok(Some(Change::Remove { group: group.into(), topic: topic.into(), partition })),
                Some(Ok(value)) => Ok(Some(Change::Put { group: group.into(), topic: topic.into(), partition, value })),
                Some(Err(error)) => Err(error),
            },
            Some(Ok(Key::Group { group })) => match record.value.map(decode_group) {
                None => Ok(Some(Change::RemoveGroup { group: group.into(), generation: -1 })),
                Some(Ok(value)) => {
                    let group: Name = group.into();
                    self.groups.insert(group.clone(), Group::from_record(group, value));
                    Ok(None)
                }
                Some(Err(error)) => Err(error),
            },
            Some(Ok(Key::Other(_))) | None => Ok(None),
            Some(Err(error)) => Err(error),
        };
        let producer_id = (record.producer_id >= 0).then_some(record.producer_id);
        match decoded {
            Ok(Some(change)) => self.apply(record.timestamp, change, record.offset, producer_id),
            Ok(None) => {}
            Err(_) => self.undecoded += 1,
        }
    }

    fn replay_marker(&mut self, producer_id: i64, _producer_epoch: i16, result: TransactionResult) {
        self.offsets.end_transaction(producer_id, result);
    }

    fn loaded(&mut self, now: Now, _leader_epoch: i32, effects: &mut Effects<Self>) {
        let config = self.config.clone();
        let mut ongoing = std::mem::take(&mut self.ongoing);
        let mut step = Step::at(now, &config, &mut ongoing, effects);
        step.timers().set(now.steady_ms + config.retention_check_interval_ms.max(1), Kind::Expire);
        let mut ids: Vec<Name> = self.groups.keys().cloned().collect();
        ids.sort();
        for id in ids {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let members: Vec<Name> = group.members.keys().cloned().collect();
            for member in &members {
                step.keep(group, member);
            }
            // The limit may be lower than when they joined.
            if members.len() > config.size_max && group.state().can_rebalance() {
                step.prepare_rebalance(group);
            }
        }
        self.ongoing = ongoing;
    }

    fn step(&mut self, now: Now, event: Event<GroupRequest>, effects: &mut Effects<Self>) {
        let config = self.config.clone();
        let mut ongoing = std::mem::take(&mut self.ongoing);
        let mut step = Step::at(now, &config, &mut ongoing, effects);
        match event {
            Event::Ask { token, request } => self.ask(&mut step, token, request),
            Event::Appended { token, base_offset } => self.appended(&mut step, token, base_offset),
            Event::AppendFailed { token, error } => self.append_failed(&mut step, token, error),
            Event::Tick => {}
            Event::Unload => {
                self.unload(&mut step);
                return;
            }
        }
        self.run_timers(&mut step);
        self.ongoing = ongoing;
    }

    fn next_wakeup(&self) -> Option<i64> {
        self.ongoing.timers.next()
    }
}

#[cfg(test)]
mod tests;
