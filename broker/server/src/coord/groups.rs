//! The group coordinator of this node: which shard is asked, and what is answered when none can be.
//!
//! Called by the handlers of groups and offsets and by WriteTxnMarkers. Mirrors `GroupCoordinatorService` of
//! Apache: what it checks before a coordinator is looked up, and which error takes which form in which answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use millstream_base_env::Clock;
use millstream_broker_coordinator::group::GroupShard;
use millstream_broker_coordinator::group::ask::{
    DeletedTopic, GroupConfig, GroupRequest, GroupResponse, JoinAsk, ListFilter, Stability, check_join, check_sync,
    commit_error, delete_error, fetch_error, join_error, sync_error, txn_commit_error,
};
use millstream_broker_coordinator::step::TransactionResult;
use millstream_broker_log::VerificationGuard;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::describe_groups_response::DescribedGroup;
use millstream_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use millstream_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use millstream_protocol::messages::{
    DeleteGroupsResponse, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use crate::coord::answer::{Answer, unavailable};
use crate::coord::find::partition_for;
use crate::coord::shard::{Asked, Unavailable};
use crate::coord::shards::Shards;
use crate::coord::timer::Timer;

/// See the module.
pub struct GroupCoordinator {
    shards: Shards<GroupShard>,
    config: Arc<GroupConfig>,
    partition_count: AtomicI32,
}

/// A marker for a partition of `__consumer_offsets`.
#[derive(Clone, Copy, Debug)]
pub struct Marker {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Epoch of the transaction coordinator.
    pub coordinator_epoch: i32,
    /// How the transaction ended.
    pub result: TransactionResult,
    /// Version of the transaction protocol (0, 1, 2).
    pub transaction_version: i16,
}

impl GroupCoordinator {
    /// Without any partition yet; `partition_count` is that of `__consumer_offsets`, or what it will be.
    pub fn new(clock: Clock, timer: Timer, config: GroupConfig, partition_count: i32) -> Self {
        let config = Arc::new(config);
        let machine_config = config.clone();
        let new_machine = Box::new(move |_| GroupShard::new(machine_config.clone()));
        let outside = Box::new(|_: &_, nothing| match nothing {});
        GroupCoordinator {
            shards: Shards::new(clock, timer, new_machine, outside),
            config,
            partition_count: AtomicI32::new(partition_count),
        }
    }

    /// The shards, for whoever learns of leadership.
    pub fn shards(&self) -> &Shards<GroupShard> {
        &self.shards
    }

    /// `__consumer_offsets` has this many partitions.
    pub fn set_partition_count(&self, count: i32) {
        self.partition_count.store(count, Ordering::Release);
    }

    /// The partition of a group.
    pub fn partition_for(&self, group: &str) -> i32 {
        partition_for(group, self.partition_count.load(Ordering::Acquire))
    }

    fn ask(&self, group: &str, request: GroupRequest) -> Asked<GroupShard> {
        self.shards.ask(self.partition_for(group), request)
    }

    /// JoinGroup.
    pub fn join(&self, ask: JoinAsk) -> Answer<JoinGroupResponse> {
        if let Err(error) = check_join(&self.config, &ask.request) {
            return Answer::Now(join_error(&ask.request.member_id, error));
        }
        let group = ask.request.group_id.clone();
        let asked = self.ask(&group, GroupRequest::Join(Box::new(ask)));
        let refuse = |error| join_error("", error);
        Answer::of(asked, pick_join, move |_, error| refuse(error), refuse)
    }

    /// SyncGroup.
    pub fn sync(&self, request: SyncGroupRequest, version: i16) -> Answer<SyncGroupResponse> {
        if let Err(error) = check_sync(&request, version) {
            return Answer::Now(sync_error(error));
        }
        let group = request.group_id.clone();
        Answer::of(self.ask(&group, GroupRequest::Sync(request)), pick_sync, |_, error| sync_error(error), sync_error)
    }

    /// Heartbeat. While the shard loads, all is well: the member must not rebalance for that.
    pub fn heartbeat(&self, request: HeartbeatRequest) -> Answer<HeartbeatResponse> {
        let error = |error: ErrorCode| HeartbeatResponse::default().with_error_code(error.code());
        if request.group_id.is_empty() {
            return Answer::Now(error(ErrorCode::InvalidGroupId));
        }
        let group = request.group_id.clone();
        let refused = move |_, why| match why {
            ErrorCode::CoordinatorLoadInProgress => error(ErrorCode::None),
            why => error(why),
        };
        Answer::of(self.ask(&group, GroupRequest::Heartbeat(request)), pick_heartbeat, refused, error)
    }

    /// LeaveGroup in the form of v3 and above.
    pub fn leave(&self, request: LeaveGroupRequest) -> Answer<LeaveGroupResponse> {
        let error = |error: ErrorCode| LeaveGroupResponse::default().with_error_code(error.code());
        if request.group_id.is_empty() {
            return Answer::Now(error(ErrorCode::InvalidGroupId));
        }
        let group = request.group_id.clone();
        Answer::of(self.ask(&group, GroupRequest::Leave(request)), pick_leave, move |_, why| error(why), error)
    }

    /// OffsetCommit, topics checked. The empty group id is a group like any other here.
    pub fn commit(&self, request: OffsetCommitRequest, version: i16) -> Answer<OffsetCommitResponse> {
        let group = request.group_id.clone();
        let asked = self.ask(&group, GroupRequest::Commit { request, version });
        let refused = |request, error| match request {
            GroupRequest::Commit { request, .. } => commit_error(request, error),
            _ => OffsetCommitResponse::default(),
        };
        Answer::of(asked, pick_commit, refused, |_| OffsetCommitResponse::default())
    }

    /// TxnOffsetCommit, topics checked and transaction verified: `guard` is what the group's partition gave for it.
    pub fn commit_transactional(
        &self,
        request: TxnOffsetCommitRequest,
        guard: VerificationGuard,
    ) -> Answer<TxnOffsetCommitResponse> {
        if request.group_id.is_empty() {
            return Answer::Now(txn_commit_error(request, ErrorCode::InvalidGroupId));
        }
        let group = request.group_id.clone();
        let refused = |request, error| match request {
            GroupRequest::TxnCommit { request, .. } => txn_commit_error(request, error),
            _ => TxnOffsetCommitResponse::default(),
        };
        let asked = self.ask(&group, GroupRequest::TxnCommit { request, verification: guard.bits() });
        Answer::of(asked, pick_txn_commit, refused, |_| TxnOffsetCommitResponse::default())
    }

    /// A marker of WriteTxnMarkers for one partition of `__consumer_offsets`: appended, then the transaction's
    /// offsets count.
    pub fn end_transaction(&self, partition: i32, marker: Marker) -> Answer<Result<(), ErrorCode>> {
        let request = GroupRequest::EndTransaction {
            producer_id: marker.producer_id,
            producer_epoch: marker.producer_epoch,
            coordinator_epoch: marker.coordinator_epoch,
            result: marker.result,
            transaction_version: marker.transaction_version,
        };
        Answer::of(self.shards.ask(partition, request), pick_end, |_, error| Err(error), Err)
    }

    /// OffsetFetch of one group, names of topics filled in.
    pub fn fetch(
        &self,
        group: OffsetFetchRequestGroup,
        stability: Stability,
        version: i16,
    ) -> Answer<OffsetFetchResponseGroup> {
        let id = group.group_id.clone();
        let refused = move |request, error| match request {
            GroupRequest::Fetch { group, .. } => fetch_error(group, error, version),
            _ => OffsetFetchResponseGroup::default(),
        };
        let asked = self.ask(&id, GroupRequest::Fetch { group, stability });
        Answer::of(asked, pick_fetch, refused, |error| {
            OffsetFetchResponseGroup::default().with_error_code(error.code())
        })
    }

    /// DescribeGroups, one answer per group.
    pub fn describe(&self, groups: Vec<GroupId>, version: i16) -> Answer<Vec<DescribedGroup>> {
        let answers = self.by_partition(groups).into_iter().map(|(partition, groups)| {
            let refused = |request, error: ErrorCode| match request {
                GroupRequest::Describe { groups, .. } => groups
                    .into_iter()
                    .map(|id| DescribedGroup::default().with_group_id(id).with_error_code(error.code()))
                    .collect(),
                _ => Vec::new(),
            };
            let asked = self.shards.ask(partition, GroupRequest::Describe { groups, version });
            Answer::of(asked, pick_describe, refused, |_| Vec::new())
        });
        Answer::all(answers.collect()).map(|parts| parts.into_iter().flatten().collect())
    }

    /// DeleteGroups.
    pub fn delete(&self, groups: Vec<GroupId>) -> Answer<DeleteGroupsResponse> {
        let answers = self.by_partition(groups).into_iter().map(|(partition, groups)| {
            let refused = |request, error| match request {
                GroupRequest::Delete(groups) => delete_error(groups, error),
                _ => DeleteGroupsResponse::default(),
            };
            let asked = self.shards.ask(partition, GroupRequest::Delete(groups));
            Answer::of(asked, pick_delete, refused, |_| DeleteGroupsResponse::default())
        });
        Answer::all(answers.collect()).map(|parts| {
            let results = parts.into_iter().flat_map(|part| part.results).collect();
            DeleteGroupsResponse::default().with_results(results)
        })
    }

    /// ListGroups over every shard of this node; one that still loads makes the whole answer an error.
    pub fn list(&self, filter: &ListFilter) -> ListGroupsResponse {
        let mut groups = Vec::new();
        for shard in self.shards.all() {
            match shard.ask(GroupRequest::List(filter.clone())) {
                Asked::Now(GroupResponse::List(listed)) => groups.extend(listed),
                Asked::Unavailable(why @ Unavailable::Loading, _) => {
                    return ListGroupsResponse::default().with_error_code(unavailable(why).code());
                }
                Asked::Now(_) | Asked::Later(_) | Asked::Unavailable(Unavailable::NotCoordinator, _) => {}
            }
        }
        ListGroupsResponse::default().with_groups(groups)
    }

    /// OffsetDelete, topics checked.
    pub fn delete_offsets(&self, request: OffsetDeleteRequest) -> Answer<OffsetDeleteResponse> {
        let error = |error: ErrorCode| OffsetDeleteResponse::default().with_error_code(error.code());
        if request.group_id.is_empty() {
            return Answer::Now(error(ErrorCode::InvalidGroupId));
        }
        let group = request.group_id.clone();
        let asked = self.ask(&group, GroupRequest::DeleteOffsets(request));
        Answer::of(asked, pick_delete_offsets, move |_, why| error(why), error)
    }

    /// Topics were deleted: every shard forgets their offsets. Nobody waits for it.
    pub fn topics_deleted(&self, topics: &[DeletedTopic]) {
        if topics.is_empty() {
            return;
        }
        for shard in self.shards.all() {
            shard.ask(GroupRequest::TopicsDeleted(topics.to_vec()));
        }
    }

    fn by_partition(&self, groups: Vec<GroupId>) -> Vec<(i32, Vec<GroupId>)> {
        let mut parts: Vec<(i32, Vec<GroupId>)> = Vec::new();
        for group in groups {
            let partition = self.partition_for(&group);
            match parts.iter_mut().find(|(known, _)| *known == partition) {
                Some((_, part)) => part.push(group),
                None => parts.push((partition, vec![group])),
            }
        }
        parts
    }
}

/// Takes the answer that belongs to a question; another one would be a fault of the machine and is answered as
/// an empty one with UNKNOWN_SERVER_ERROR where it has a place.
macro_rules! picks {
    ($($name:ident: $variant:ident -> $kind:ty, $otherwise:expr;)*) => {
        $(fn $name(response: GroupResponse) -> $kind {
            match response {
                GroupResponse::$variant(response) => response,
                _ => $otherwise,
            }
        })*
    };
}

picks! {
    pick_join: Join -> JoinGroupResponse, join_error("", ErrorCode::UnknownServerError);
    pick_sync: Sync -> SyncGroupResponse, sync_error(ErrorCode::UnknownServerError);
    pick_heartbeat: Heartbeat -> HeartbeatResponse, HeartbeatResponse::default();
    pick_leave: Leave -> LeaveGroupResponse, LeaveGroupResponse::default();
    pick_commit: Commit -> OffsetCommitResponse, OffsetCommitResponse::default();
    pick_txn_commit: TxnCommit -> TxnOffsetCommitResponse, TxnOffsetCommitResponse::default();
    pick_end: EndTransaction -> Result<(), ErrorCode>, Err(ErrorCode::UnknownServerError);
    pick_fetch: Fetch -> OffsetFetchResponseGroup, OffsetFetchResponseGroup::default();
    pick_describe: Describe -> Vec<DescribedGroup>, Vec::new();
    pick_delete: Delete -> DeleteGroupsResponse, DeleteGroupsResponse::default();
    pick_delete_offsets: DeleteOffsets -> OffsetDeleteResponse, OffsetDeleteResponse::default();
}
