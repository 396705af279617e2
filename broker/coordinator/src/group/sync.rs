//! SyncGroup, Heartbeat and LeaveGroup: the sync phase, sessions, and leaving.
//!
//! The leader's assignment is answered to nobody before its record is appended. Mirrors the classic paths of
//! `GroupMetadataManager` in Apache's group coordinator.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::leave_group_request::MemberIdentity;
use millstream_protocol::messages::leave_group_response::MemberResponse;
use millstream_protocol::messages::{
    HeartbeatRequest, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

use super::ask::{GroupResponse, sync_error};
use super::classic::{Group, Name, State};
use super::step::{Pending, Step, text};
use crate::step::Token;

impl Step<'_> {
    /// SyncGroup.
    pub(super) fn sync(&mut self, group: Option<&mut Group>, token: Token, request: SyncGroupRequest) {
        // An empty group has no members to sync, whatever id is named.
        let Some(group) = group.filter(|group| group.state() != State::Empty) else {
            self.reply(token, GroupResponse::Sync(sync_error(ErrorCode::UnknownMemberId)));
            return;
        };
        if let Err(error) = check(group, &request) {
            self.reply(token, GroupResponse::Sync(sync_error(error)));
            return;
        }
        let id: Name = request.member_id.as_str().into();
        match group.state() {
            State::PreparingRebalance => {
                self.reply(token, GroupResponse::Sync(sync_error(ErrorCode::RebalanceInProgress)));
            }
            State::CompletingRebalance => {
                let member = group.members.get_mut(&id);
                if let Some(superseded) = member.and_then(|member| member.awaiting_sync.replace(token)) {
                    self.reply(superseded, GroupResponse::Sync(sync_error(ErrorCode::RebalanceInProgress)));
                }
                synced(group, &id);
                if group.is_leader(&id) {
                    self.store_assignment(group, request);
                }
            }
            State::Stable => {
                synced(group, &id);
                let assignment = group.members.get(&id).map(|member| member.assignment.clone()).unwrap_or_default();
                let response = assigned(group, assignment);
                self.reply(token, GroupResponse::Sync(response));
            }
            State::Empty | State::Dead => {
                self.reply(token, GroupResponse::Sync(sync_error(ErrorCode::CoordinatorNotAvailable)));
            }
        }
    }

    fn store_assignment(&mut self, group: &mut Group, request: SyncGroupRequest) {
        let assignment: BTreeMap<Name, Bytes> = request
            .assignments
            .iter()
            .map(|one| (one.member_id.as_str().into(), Bytes::copy_from_slice(&one.assignment)))
            .collect();
        // The record is written from the list, the members get it when the record is in the log.
        let stored = assignment.clone();
        let pending = Pending::Assignment { group: group.id.clone(), generation: group.generation, assignment };
        self.append_group(group, |member| stored.get(&member.id).map_or(&[], |bytes| bytes.as_ref()), pending);
    }

    /// The leader's assignment is in the log: everybody gets it.
    pub(super) fn assignment_stored(&mut self, group: &mut Group, generation: i32, assignment: &BTreeMap<Name, Bytes>) {
        // A rebalance may have started while the append was under way; then the assignment is void.
        if group.state() != State::CompletingRebalance || group.generation != generation {
            return;
        }
        for member in group.members.values_mut() {
            member.assignment = assignment.get(&member.id).cloned().unwrap_or_default();
        }
        self.answer_syncs(group, ErrorCode::None);
        group.transition(State::Stable, self.now_ms);
    }

    /// The leader's assignment could not be stored.
    pub(super) fn assignment_failed(&mut self, group: &mut Group, generation: i32, error: ErrorCode) {
        if group.state() != State::CompletingRebalance || group.generation != generation {
            return;
        }
        self.reset_assignments(group, error);
        self.rebalance_or_complete(group);
    }

    /// Takes every assignment back and tells so to those who wait for one.
    pub(super) fn reset_assignments(&mut self, group: &mut Group, error: ErrorCode) {
        for member in group.members.values_mut() {
            member.assignment = Bytes::new();
        }
        self.answer_syncs(group, error);
    }

    fn answer_syncs(&mut self, group: &mut Group, error: ErrorCode) {
        let waiting: Vec<(Name, Token, Bytes)> = group
            .members
            .values_mut()
            .filter_map(|member| {
                let token = member.awaiting_sync.take()?;
                Some((member.id.clone(), token, member.assignment.clone()))
            })
            .collect();
        for (id, token, assignment) in waiting {
            let response = match error {
                ErrorCode::None => assigned(group, assignment),
                error => sync_error(error).with_assignment(assignment),
            };
            self.reply(token, GroupResponse::Sync(response));
            // While it waited its session could not end, so no timer may be left for it.
            self.keep(group, &id);
        }
    }

    /// The sync timer came up: who has not synced is out.
    pub(super) fn sync_timer(&mut self, group: &mut Group) {
        if group.sync_timer.is_none_or(|at_ms| at_ms > self.steady_ms) {
            return;
        }
        group.sync_timer = None;
        if !matches!(group.state(), State::CompletingRebalance | State::Stable) || group.pending_syncs.is_empty() {
            return;
        }
        for id in std::mem::take(&mut group.pending_syncs) {
            self.drop_member(group, &id);
        }
        self.prepare_rebalance(group);
    }

    /// Heartbeat.
    pub(super) fn heartbeat(&mut self, group: Option<&mut Group>, request: &HeartbeatRequest) -> ErrorCode {
        let Some(group) = group else { return ErrorCode::UnknownMemberId };
        if group.state() == State::Dead {
            return ErrorCode::CoordinatorNotAvailable;
        }
        if let Err(error) = group.check_member(&request.member_id, request.group_instance_id.as_deref()) {
            return error;
        }
        if request.generation_id != group.generation {
            return ErrorCode::IllegalGeneration;
        }
        match group.state() {
            State::Empty | State::Dead => ErrorCode::UnknownMemberId,
            State::PreparingRebalance => {
                self.keep(group, &request.member_id);
                ErrorCode::RebalanceInProgress
            }
            State::CompletingRebalance | State::Stable => {
                self.keep(group, &request.member_id);
                ErrorCode::None
            }
        }
    }

    /// LeaveGroup. Answered when the record of a group that became empty is in the log.
    pub(super) fn leave(&mut self, group: Option<&mut Group>, token: Token, request: &LeaveGroupRequest) {
        let Some(group) = group else {
            let members = request.members.iter().map(|member| left(member, ErrorCode::UnknownMemberId)).collect();
            self.reply(token, GroupResponse::Leave(LeaveGroupResponse::default().with_members(members)));
            return;
        };
        if group.state() == State::Dead {
            let error = ErrorCode::CoordinatorNotAvailable.code();
            self.reply(token, GroupResponse::Leave(LeaveGroupResponse::default().with_error_code(error)));
            return;
        }
        let members: Vec<MemberResponse> =
            request.members.iter().map(|member| left(member, self.leave_one(group, member))).collect();
        if members.iter().any(|member| member.error_code == 0) {
            match group.state() {
                State::Stable | State::CompletingRebalance => self.rebalance_or_complete(group),
                State::PreparingRebalance => self.complete_join_if_all(group),
                State::Empty | State::Dead => {}
            }
        }
        let response = GroupResponse::Leave(LeaveGroupResponse::default().with_members(members));
        self.reply_when_appended(token, response);
    }

    fn leave_one(&mut self, group: &mut Group, member: &MemberIdentity) -> ErrorCode {
        let instance = member.group_instance_id.as_deref();
        if member.member_id.is_empty() {
            // An administrator removes a static member by its instance id alone.
            let Some(id) = instance.and_then(|instance| group.static_members.get(instance)).cloned() else {
                return ErrorCode::UnknownMemberId;
            };
            self.drop_member(group, &id);
            return ErrorCode::None;
        }
        if group.pending_joins.contains_key(member.member_id.as_str()) {
            group.remove(&member.member_id);
            return ErrorCode::None;
        }
        match group.check_member(&member.member_id, instance) {
            Ok(()) => {
                self.drop_member(group, &member.member_id);
                ErrorCode::None
            }
            Err(error) => error,
        }
    }
}

/// Member, instance, generation, then what it believes the protocol to be.
fn check(group: &Group, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
    if group.state() == State::Dead {
        return Err(ErrorCode::CoordinatorNotAvailable);
    }
    group.check_member(&request.member_id, request.group_instance_id.as_deref())?;
    if request.generation_id != group.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    let differs = |asked: Option<&str>, own: Option<&str>| matches!((asked, own), (Some(a), Some(b)) if a != b);
    if differs(request.protocol_type.as_deref(), group.protocol_type.as_deref())
        || differs(request.protocol_name.as_deref(), group.protocol.as_deref())
    {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    Ok(())
}

fn synced(group: &mut Group, id: &str) {
    group.pending_syncs.remove(id);
    if group.pending_syncs.is_empty() {
        group.sync_timer = None;
    }
}

fn assigned(group: &Group, assignment: Bytes) -> SyncGroupResponse {
    SyncGroupResponse::default()
        .with_protocol_type(group.protocol_type.as_deref().map(text))
        .with_protocol_name(group.protocol.as_deref().map(text))
        .with_assignment(assignment)
}

fn left(member: &MemberIdentity, error: ErrorCode) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(member.member_id.clone())
        .with_group_instance_id(member.group_instance_id.clone())
        .with_error_code(error.code())
}
