//! What one step of a group shard works with: the time, the configuration, timers, appends under way, effects.

use std::collections::BTreeMap;

use bytes::Bytes;
use hashbrown::HashMap;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{
    DeleteGroupsResponse, OffsetCommitResponse, OffsetDeleteResponse, StrBytes, TxnOffsetCommitResponse,
};

use super::GroupShard;
use super::ask::{GroupConfig, GroupResponse};
use super::classic::{Group, Member, Name};
use super::offsets::Change;
use super::rebalance::StaticSwap;
use super::timers::{Kind, Timers};
use crate::batch::BatchBuilder;
use crate::record_group::{GroupView, push_group};
use crate::step::{Append, AppendError, AppendToken, Effects, Nature, Now, Token, TransactionResult};

/// What happens when an append is in the log, or is not.
#[derive(Debug)]
pub(super) enum Pending {
    /// The empty record of a group that a join made.
    NewGroup { group: Name },
    /// The record of a generation without members.
    EmptyGeneration { reply: Option<(Token, GroupResponse)> },
    /// The leader's assignment.
    Assignment { group: Name, generation: i32, assignment: BTreeMap<Name, Bytes> },
    /// The new id of a static member.
    StaticSwap(StaticSwap),
    /// Offsets and tombstones, which count from then on.
    Changes { changes: Vec<Change>, producer_id: Option<i64>, reply: Option<(Token, ChangeReply)> },
    /// The marker of a transaction.
    Marker { token: Token, producer_id: i64, result: TransactionResult },
}

/// The answer to a request that changed offsets or groups.
#[derive(Debug)]
pub(super) enum ChangeReply {
    Commit(OffsetCommitResponse),
    TxnCommit(TxnOffsetCommitResponse),
    Delete(DeleteGroupsResponse),
    DeleteOffsets(OffsetDeleteResponse),
    TopicsDeleted,
}

impl ChangeReply {
    /// As it is when all went well.
    pub(super) fn done(self) -> GroupResponse {
        match self {
            ChangeReply::Commit(response) => GroupResponse::Commit(response),
            ChangeReply::TxnCommit(response) => GroupResponse::TxnCommit(response),
            ChangeReply::Delete(response) => GroupResponse::Delete(response),
            ChangeReply::DeleteOffsets(response) => GroupResponse::DeleteOffsets(response),
            ChangeReply::TopicsDeleted => GroupResponse::TopicsDeleted,
        }
    }

    /// As it is when nothing was stored: every part of it carries the error, as in Java.
    pub(super) fn failed(self, error: ErrorCode) -> GroupResponse {
        let code = error.code();
        match self {
            ChangeReply::Commit(mut response) => {
                let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| partition.error_code = code);
                GroupResponse::Commit(response)
            }
            ChangeReply::TxnCommit(mut response) => {
                let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| partition.error_code = code);
                GroupResponse::TxnCommit(response)
            }
            ChangeReply::Delete(mut response) => {
                response.results.iter_mut().for_each(|result| result.error_code = code);
                GroupResponse::Delete(response)
            }
            ChangeReply::DeleteOffsets(_) => {
                GroupResponse::DeleteOffsets(OffsetDeleteResponse::default().with_error_code(code))
            }
            ChangeReply::TopicsDeleted => GroupResponse::TopicsDeleted,
        }
    }
}

/// What lives from step to step beside groups and offsets.
#[derive(Debug, Default)]
pub(super) struct Ongoing {
    pub(super) timers: Timers,
    pub(super) pending: HashMap<AppendToken, Pending>,
    append_next: u64,
}

/// See the module.
pub(super) struct Step<'a> {
    /// The wall time, for records.
    pub(super) now_ms: i64,
    /// The steady time, for deadlines.
    pub(super) steady_ms: i64,
    pub(super) config: &'a GroupConfig,
    pub(super) ongoing: &'a mut Ongoing,
    pub(super) out: &'a mut Effects<GroupShard>,
    /// Whether this step appended something.
    pub(super) appended: bool,
}

impl<'a> Step<'a> {
    pub(super) fn at(
        now: Now,
        config: &'a GroupConfig,
        ongoing: &'a mut Ongoing,
        out: &'a mut Effects<GroupShard>,
    ) -> Self {
        Step { now_ms: now.wall_ms, steady_ms: now.steady_ms, config, ongoing, out, appended: false }
    }
}

impl Step<'_> {
    pub(super) fn timers(&mut self) -> &mut Timers {
        &mut self.ongoing.timers
    }

    pub(super) fn reply(&mut self, token: Token, response: GroupResponse) {
        self.out.reply(token, response);
    }

    /// Appends `batch`; `pending` is what follows.
    pub(super) fn append(&mut self, batch: Bytes, pending: Pending, nature: Nature) {
        self.ongoing.append_next += 1;
        let token = AppendToken(self.ongoing.append_next);
        self.ongoing.pending.insert(token, pending);
        self.out.appends.push(Append { token, batch, nature });
        self.appended = true;
    }

    /// Appends the group's record, with `assignment` by member.
    pub(super) fn append_group<'g>(
        &mut self,
        group: &'g Group,
        assignment: impl Fn(&'g Member) -> &'g [u8] + 'g,
        pending: Pending,
    ) {
        let mut batch = BatchBuilder::new(self.now_ms);
        push_group(&mut batch, &group.id, &group.view(), group.member_views(assignment));
        self.append(batch.finish(), pending, Nature::Data);
    }

    /// Appends the record of a group that has no generation yet.
    pub(super) fn append_new_group(&mut self, group: &Group) {
        let mut batch = BatchBuilder::new(self.now_ms);
        let view =
            GroupView { protocol_type: "", generation: 0, protocol: None, leader: None, state_ms: group.state_ms };
        push_group(&mut batch, &group.id, &view, std::iter::empty());
        self.append(batch.finish(), Pending::NewGroup { group: group.id.clone() }, Nature::Data);
    }

    /// Answers at once, or with the record of an empty generation that this step appended.
    pub(super) fn reply_when_appended(&mut self, token: Token, response: GroupResponse) {
        let last = AppendToken(self.ongoing.append_next);
        match self.ongoing.pending.get_mut(&last) {
            Some(Pending::EmptyGeneration { reply }) if self.appended => *reply = Some((token, response)),
            _ => self.reply(token, response),
        }
    }

    /// A sign of life of a member: its session begins anew.
    pub(super) fn keep(&mut self, group: &mut Group, id: &str) {
        if let Some(timeout_ms) = group.members.get(id).map(|member| member.session_timeout_ms) {
            self.keep_for(group, id, i64::from(timeout_ms));
        }
    }

    /// The same with another patience.
    pub(super) fn keep_for(&mut self, group: &mut Group, id: &str, timeout_ms: i64) {
        let deadline_ms = self.steady_ms + timeout_ms;
        let Some(member) = group.members.get_mut(id) else { return };
        member.deadline_ms = deadline_ms;
        // An entry that comes up earlier is put back by itself then.
        if deadline_ms < member.timer_ms {
            member.timer_ms = deadline_ms;
            let kind = Kind::Session { group: group.id.clone(), member: member.id.clone() };
            self.ongoing.timers.set(deadline_ms, kind);
        }
    }
}

/// The answer to a failed append (`appendGroupMetadataErrorToResponseError`, `handleOperationException`).
pub(super) fn append_error(error: AppendError) -> ErrorCode {
    match error {
        AppendError::UnknownPartition | AppendError::NotEnoughReplicas | AppendError::TimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        AppendError::NotLeader | AppendError::Storage => ErrorCode::NotCoordinator,
        AppendError::TooLarge | AppendError::Other => ErrorCode::UnknownServerError,
        AppendError::CoordinatorFenced => ErrorCode::TransactionCoordinatorFenced,
        AppendError::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        AppendError::InvalidTxnState => ErrorCode::InvalidTxnState,
    }
}

/// Text for an answer.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
