//! JoinGroup and what follows from it: member ids, the initial delay, the join phase, its end.
//!
//! Mirrors the classic paths of `GroupMetadataManager` in Apache's group coordinator, in its order of checks.
//! Called by [`super::GroupShard`] with one group in hand; appends, replies and timers go through [`Step`].

use hashbrown::HashMap;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::join_group_response::JoinGroupResponseMember;
use millstream_protocol::messages::{JoinGroupResponse, StrBytes};

use super::ask::{GroupResponse, JoinAsk, join_error, sync_error};
use super::classic::{Group, JoinTimer, Member, Name, Protocol, State, own_protocols};
use super::step::{Pending, Step, text};
use super::timers::Kind;
use crate::step::Token;

/// How long a new member's JoinGroup may be parked: `ClassicGroup` new member join timeout, five minutes.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;
/// Versions from which a dynamic member must come back with the id it was given (KIP-394).
const REQUIRES_MEMBER_ID: i16 = 4;
/// Versions from which a static leader learns that it need not assign (KIP-814).
const SKIPS_ASSIGNMENT: i16 = 9;

/// What a static member was before another took its place, to put it back when that cannot be stored.
#[derive(Debug)]
pub struct StaticSwap {
    pub(super) group: Name,
    pub(super) instance: Name,
    pub(super) old_id: Name,
    pub(super) new_id: Name,
    pub(super) old_protocols: Vec<Protocol>,
    pub(super) old_rebalance_timeout_ms: i32,
    pub(super) old_session_timeout_ms: i32,
    /// The leader before the swap, which versions below 9 are told.
    pub(super) old_leader: Option<Name>,
    pub(super) version: i16,
}

impl Step<'_> {
    /// JoinGroup. A group that is not there is made for a member without an id; its empty record is appended
    /// so that the log knows it.
    pub(super) fn join(&mut self, groups: &mut HashMap<Name, Group>, token: Token, mut ask: JoinAsk) {
        if ask.version == 0 {
            ask.request.rebalance_timeout_ms = ask.request.session_timeout_ms;
        }
        let member_id = ask.request.member_id.clone();
        let group_id = ask.request.group_id.clone();
        let is_new_group = !groups.contains_key(group_id.as_str());
        if is_new_group && !member_id.is_empty() {
            self.reply_join(token, join_error(&member_id, ErrorCode::UnknownMemberId));
            return;
        }
        let name: Name = group_id.as_str().into();
        let now_ms = self.now_ms;
        let group = groups.entry(name.clone()).or_insert_with(|| Group::new(name, now_ms));
        if !self.accepts(group, &member_id) {
            self.drop_member(group, &member_id);
            self.reply_join(token, join_error("", ErrorCode::GroupMaxSizeReached));
        } else if member_id.is_empty() {
            self.join_new(group, token, ask);
        } else {
            self.join_known(group, token, ask);
        }
        if is_new_group && !self.appended {
            self.append_new_group(group);
        }
    }

    fn accepts(&self, group: &Group, member_id: &str) -> bool {
        let size_max = self.config.size_max;
        match group.state() {
            State::Empty | State::Dead => true,
            // Counting those who wait, not all, throws out the last to come back when the limit was lowered.
            State::PreparingRebalance => {
                group.members.get(member_id).is_some_and(|member| member.awaiting_join.is_some())
                    || group.awaiting_joins() < size_max
            }
            State::CompletingRebalance | State::Stable => {
                group.members.contains_key(member_id) || group.members.len() < size_max
            }
        }
    }

    fn join_new(&mut self, group: &mut Group, token: Token, ask: JoinAsk) {
        let request = &ask.request;
        if !group.supports(&request.protocol_type, request.protocols.iter().map(|protocol| protocol.name.as_str())) {
            self.reply_join(token, join_error("", ErrorCode::InconsistentGroupProtocol));
            return;
        }
        let owner = request.group_instance_id.as_ref().map_or(ask.client_id.as_str(), |instance| instance.as_str());
        let new_id: Name = format!("{owner}-{}", ask.member_uuid).into();
        if let Some(instance) = &request.group_instance_id {
            match group.static_members.get(instance.as_str()).cloned() {
                Some(old_id) => self.swap_static(group, token, &ask, &old_id, &new_id),
                None => self.add_member(group, token, ask, new_id),
            }
        } else if ask.version >= REQUIRES_MEMBER_ID {
            let deadline_ms = self.steady_ms + i64::from(request.session_timeout_ms);
            group.pending_joins.insert(new_id.clone(), deadline_ms);
            self.timers().set(deadline_ms, Kind::Session { group: group.id.clone(), member: new_id.clone() });
            self.reply_join(token, join_error(&new_id, ErrorCode::MemberIdRequired));
        } else {
            self.add_member(group, token, ask, new_id);
        }
    }

    fn join_known(&mut self, group: &mut Group, token: Token, ask: JoinAsk) {
        let request = &ask.request;
        let id = request.member_id.clone();
        if !group.supports(&request.protocol_type, request.protocols.iter().map(|protocol| protocol.name.as_str())) {
            self.reply_join(token, join_error(&id, ErrorCode::InconsistentGroupProtocol));
            return;
        }
        if group.pending_joins.contains_key(id.as_str()) {
            if request.group_instance_id.is_some() {
                // Only dynamic members are handed ids to come back with; Java throws here.
                self.reply_join(token, join_error("", ErrorCode::UnknownServerError));
                return;
            }
            self.add_member(group, token, ask, id.as_str().into());
            return;
        }
        let instance = request.group_instance_id.as_deref();
        if let Err(error) = group.check_member(&id, instance) {
            self.reply_join(token, join_error(&id, error).with_protocol_name(None));
            return;
        }
        let unchanged = group.members.get(id.as_str()).is_some_and(|member| member.matches(&request.protocols));
        match group.state() {
            State::PreparingRebalance => self.update_then_rebalance(group, token, &ask),
            // The first answer may have been lost: the current generation once more.
            State::CompletingRebalance if unchanged => {
                let response = joined(group, &id, WithMembers::IfLeader);
                self.reply_join(token, response);
            }
            State::CompletingRebalance => self.update_then_rebalance(group, token, &ask),
            // A leader that joins again has seen something that changes the assignment (new partitions).
            State::Stable if group.is_leader(&id) || !unchanged => self.update_then_rebalance(group, token, &ask),
            State::Stable => {
                let response = joined(group, &id, WithMembers::Never);
                self.reply_join(token, response);
            }
            State::Empty | State::Dead => self.reply_join(token, join_error(&id, ErrorCode::UnknownMemberId)),
        }
    }

    fn add_member(&mut self, group: &mut Group, token: Token, ask: JoinAsk, id: Name) {
        let request = &ask.request;
        if group.state() == State::PreparingRebalance && group.previous_state == State::Empty {
            group.new_member_added = true;
        }
        if group.members.is_empty() {
            group.protocol_type = Some(request.protocol_type.as_str().into());
        }
        group.add(Member {
            id: id.clone(),
            instance_id: request.group_instance_id.as_ref().map(|instance| instance.as_str().into()),
            client_id: ask.client_id.as_str().into(),
            client_host: ask.client_host.as_str().into(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: own_protocols(&request.protocols),
            assignment: bytes::Bytes::new(),
            awaiting_join: Some(token),
            awaiting_sync: None,
            is_new: true,
            deadline_ms: 0,
            timer_ms: i64::MAX,
        });
        self.keep_for(group, &id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete(group);
    }

    fn update_then_rebalance(&mut self, group: &mut Group, token: Token, ask: &JoinAsk) {
        let request = &ask.request;
        let superseded = group.update_member(
            &request.member_id,
            own_protocols(&request.protocols),
            request.rebalance_timeout_ms,
            request.session_timeout_ms,
            Some(token),
        );
        if let Some(superseded) = superseded {
            // The client asked again, so nobody reads this any more; it is answered all the same.
            self.reply_join(superseded, join_error(&request.member_id, ErrorCode::RebalanceInProgress));
        }
        self.rebalance_or_complete(group);
    }

    /// A static member without an id takes the place of its former self (KIP-345).
    fn swap_static(&mut self, group: &mut Group, token: Token, ask: &JoinAsk, old_id: &Name, new_id: &Name) {
        let request = &ask.request;
        let Some(instance) = request.group_instance_id.as_ref().map(|instance| Name::from(instance.as_str())) else {
            return;
        };
        let old_leader = group.leader.clone();
        let (join, sync) = group.replace_static(&instance, old_id, new_id).unwrap_or_default();
        self.fence(old_id, join, sync);
        self.keep(group, new_id);
        let Some(before) = group.members.get(new_id) else { return };
        let swap = StaticSwap {
            group: group.id.clone(),
            instance,
            old_id: old_id.clone(),
            new_id: new_id.clone(),
            old_protocols: before.protocols.clone(),
            old_rebalance_timeout_ms: before.rebalance_timeout_ms,
            old_session_timeout_ms: before.session_timeout_ms,
            old_leader,
            version: ask.version,
        };
        group.update_member(
            new_id,
            own_protocols(&request.protocols),
            request.rebalance_timeout_ms,
            request.session_timeout_ms,
            Some(token),
        );
        match group.state() {
            // The members and the protocol stay the same: the new id is stored, nobody rebalances.
            State::Stable if group.protocol.as_ref() == Some(&group.select_protocol()) => {
                self.append_group(group, |member| &member.assignment, Pending::StaticSwap(swap));
            }
            State::Stable => self.rebalance_or_complete(group),
            // The leader may be assigning to the old id right now.
            State::CompletingRebalance => self.prepare_rebalance(group),
            State::PreparingRebalance | State::Empty | State::Dead => self.complete_join_if_all(group),
        }
    }

    fn fence(&mut self, old_id: &str, join: Option<Token>, sync: Option<Token>) {
        if let Some(join) = join {
            self.reply_join(join, join_error(old_id, ErrorCode::FencedInstanceId).with_protocol_name(None));
        }
        if let Some(sync) = sync {
            self.reply(sync, GroupResponse::Sync(sync_error(ErrorCode::FencedInstanceId)));
        }
    }

    /// The new id of a static member is in the log.
    pub(super) fn static_swap_stored(&mut self, group: &mut Group, swap: &StaticSwap) {
        if group.members.get(&swap.new_id).is_none_or(|member| member.awaiting_join.is_none()) {
            return;
        }
        let response = if swap.version >= SKIPS_ASSIGNMENT {
            joined(group, &swap.new_id, WithMembers::IfLeader).with_skip_assignment(group.is_leader(&swap.new_id))
        } else {
            // Told the leader of before, a leader among these does not assign again.
            joined(group, &swap.new_id, WithMembers::Never).with_leader(name_text(swap.old_leader.as_ref()))
        };
        self.answer_join(group, &swap.new_id, response);
    }

    /// The new id of a static member could not be stored: the old one is put back.
    pub(super) fn static_swap_failed(&mut self, group: &mut Group, swap: StaticSwap, error: ErrorCode) {
        let token = group.update_member(
            &swap.new_id,
            swap.old_protocols,
            swap.old_rebalance_timeout_ms,
            swap.old_session_timeout_ms,
            None,
        );
        if let Some((join, sync)) = group.replace_static(&swap.instance, &swap.new_id, &swap.old_id) {
            self.fence(&swap.new_id, join, sync);
            self.keep(group, &swap.old_id);
        }
        if let Some(token) = token {
            let response = joined(group, "", WithMembers::Never)
                .with_leader(name_text(swap.old_leader.as_ref()))
                .with_error_code(error.code());
            self.reply_join(token, response);
        }
    }

    /// Starts a rebalance where the state allows, else ends the join phase if that was the last one.
    pub(super) fn rebalance_or_complete(&mut self, group: &mut Group) {
        if group.state().can_rebalance() {
            self.prepare_rebalance(group);
        } else {
            self.complete_join_if_all(group);
        }
    }

    /// Ends the join phase when all have joined; the initial one ends by its delay alone.
    pub(super) fn complete_join_if_all(&mut self, group: &mut Group) {
        if group.state() == State::PreparingRebalance && group.previous_state != State::Empty && group.all_joined() {
            self.complete_join(group);
        }
    }

    /// Opens the join phase.
    pub(super) fn prepare_rebalance(&mut self, group: &mut Group) {
        if group.state() == State::CompletingRebalance {
            self.reset_assignments(group, ErrorCode::RebalanceInProgress);
        }
        group.pending_syncs.clear();
        group.sync_timer = None;
        let initial = group.state() == State::Empty;
        if initial {
            let delay_ms = self.config.initial_rebalance_delay_ms;
            let remaining_ms = group.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.set_join_timer(group, delay_ms, JoinTimer::Initial { delay_ms, remaining_ms });
        }
        group.transition(State::PreparingRebalance, self.now_ms);
        if initial {
            return;
        }
        if group.all_joined() {
            self.complete_join(group);
        } else {
            self.set_join_timer(group, group.rebalance_timeout_ms().max(1), JoinTimer::Complete);
        }
    }

    /// The join timer came up.
    pub(super) fn join_timer(&mut self, group: &mut Group) {
        let Some((at_ms, timer)) = group.join_timer else { return };
        if at_ms > self.steady_ms {
            return;
        }
        group.join_timer = None;
        match timer {
            JoinTimer::Initial { delay_ms, remaining_ms } if group.new_member_added && remaining_ms != 0 => {
                group.new_member_added = false;
                let next_ms = self.config.initial_rebalance_delay_ms.min(remaining_ms);
                let remaining_ms = (remaining_ms - delay_ms).max(0);
                self.set_join_timer(group, next_ms, JoinTimer::Initial { delay_ms: next_ms, remaining_ms });
            }
            JoinTimer::Initial { .. } | JoinTimer::Complete => self.complete_join(group),
        }
    }

    fn set_join_timer(&mut self, group: &mut Group, delay_ms: i32, timer: JoinTimer) {
        let at_ms = self.steady_ms + i64::from(delay_ms);
        group.join_timer = Some((at_ms, timer));
        self.timers().set(at_ms, Kind::Join(group.id.clone()));
    }

    /// Ends the join phase: who did not come is out (static members stay until their session ends), the
    /// generation grows, everybody is answered.
    pub(super) fn complete_join(&mut self, group: &mut Group) {
        group.join_timer = None;
        let absent: Vec<Name> = group
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in absent {
            self.drop_member(group, &id);
        }
        if !group.elect_joined_leader() && !group.members.is_empty() {
            // Only static members are left and none came: wait until their sessions end.
            self.set_join_timer(group, group.rebalance_timeout_ms().max(1), JoinTimer::Complete);
            return;
        }
        group.next_generation(self.now_ms);
        if group.state() == State::Empty {
            self.append_group(group, |_| &[], Pending::EmptyGeneration { reply: None });
            return;
        }
        let ids: Vec<Name> = group.members.keys().cloned().collect();
        for id in &ids {
            let response = joined(group, id, WithMembers::IfLeader);
            self.answer_join(group, id, response);
            self.keep(group, id);
            if let Some(member) = group.members.get_mut(id) {
                member.is_new = false;
            }
        }
        group.pending_syncs.extend(ids);
        let at_ms = self.steady_ms + i64::from(group.rebalance_timeout_ms().max(1));
        group.sync_timer = Some(at_ms);
        self.timers().set(at_ms, Kind::Sync(group.id.clone()));
    }

    /// A session timer came up at `at_ms`.
    pub(super) fn session_timer(&mut self, group: &mut Group, id: &Name, at_ms: i64) {
        if let Some(deadline_ms) = group.pending_joins.get(id) {
            if *deadline_ms <= self.steady_ms {
                group.remove(id);
                self.complete_after_removal(group);
            }
            return;
        }
        let Some(member) = group.members.get_mut(id) else { return };
        if member.timer_ms != at_ms {
            return;
        }
        if member.deadline_ms > self.steady_ms {
            member.timer_ms = member.deadline_ms;
            let kind = Kind::Session { group: group.id.clone(), member: id.clone() };
            let deadline_ms = member.deadline_ms;
            self.timers().set(deadline_ms, kind);
            return;
        }
        member.timer_ms = i64::MAX;
        if !member.is_waiting_for_us() {
            self.expire_member(group, id);
        }
    }

    fn expire_member(&mut self, group: &mut Group, id: &Name) {
        self.drop_member(group, id);
        match group.state() {
            State::Stable | State::CompletingRebalance => self.rebalance_or_complete(group),
            State::PreparingRebalance => self.complete_after_removal(group),
            State::Empty | State::Dead => {}
        }
    }

    /// Removing somebody can leave everybody joined; unlike a join this also ends the initial delay.
    fn complete_after_removal(&mut self, group: &mut Group) {
        if group.state() == State::PreparingRebalance && group.all_joined() {
            self.complete_join(group);
        }
    }

    /// Removes a member and answers what it has parked.
    pub(super) fn drop_member(&mut self, group: &mut Group, id: &str) {
        let Some(member) = group.remove(id) else { return };
        if let Some(token) = member.awaiting_join {
            self.reply_join(token, join_error("", ErrorCode::UnknownMemberId));
        }
        if let Some(token) = member.awaiting_sync {
            // Java leaves this one to the client's timeout.
            self.reply(token, GroupResponse::Sync(sync_error(ErrorCode::UnknownMemberId)));
        }
    }

    pub(super) fn answer_join(&mut self, group: &mut Group, id: &str, response: JoinGroupResponse) {
        if let Some(token) = group.take_join(id) {
            self.reply_join(token, response);
        }
    }

    fn reply_join(&mut self, token: Token, response: JoinGroupResponse) {
        self.reply(token, GroupResponse::Join(response));
    }
}

/// Whom a JoinGroup answer lists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WithMembers {
    /// Everybody, for the leader.
    IfLeader,
    /// Nobody.
    Never,
}

/// The answer for `id` in the current generation.
fn joined(group: &Group, id: &str, with: WithMembers) -> JoinGroupResponse {
    let protocol = group.protocol.as_deref().unwrap_or("");
    let members = if with == WithMembers::IfLeader && group.is_leader(id) {
        group
            .members
            .values()
            .map(|member| {
                JoinGroupResponseMember::default()
                    .with_member_id(text(&member.id))
                    .with_group_instance_id(member.instance_id.as_deref().map(text))
                    .with_metadata(member.metadata(protocol).clone())
            })
            .collect()
    } else {
        Vec::new()
    };
    JoinGroupResponse::default()
        .with_members(members)
        .with_member_id(text(id))
        .with_generation_id(group.generation)
        .with_protocol_name(group.protocol.as_deref().map(text))
        .with_protocol_type(group.protocol_type.as_deref().map(text))
        .with_leader(name_text(group.leader.as_ref()))
}

fn name_text(name: Option<&Name>) -> StrBytes {
    name.map_or_else(StrBytes::new, |name| text(name))
}
