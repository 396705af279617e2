//! What handlers ask a group shard and what they get, in the protocol's own messages, and what is checked before
//! a shard is asked at all.

use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::delete_groups_response::DeletableGroupResult;
use millstream_protocol::messages::describe_groups_response::DescribedGroup;
use millstream_protocol::messages::list_groups_response::ListedGroup;
use millstream_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use millstream_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use millstream_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use millstream_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use millstream_protocol::messages::{
    DeleteGroupsResponse, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use uuid::Uuid;

use crate::step::TransactionResult;

/// A question.
#[derive(Debug)]
pub enum GroupRequest {
    /// JoinGroup.
    Join(Box<JoinAsk>),
    /// SyncGroup.
    Sync(SyncGroupRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup, in the form of v3 and above (`members`).
    Leave(LeaveGroupRequest),
    /// OffsetCommit with names and ids of topics filled in.
    Commit {
        /// The request.
        request: OffsetCommitRequest,
        /// Its version.
        version: i16,
    },
    /// TxnOffsetCommit; the transaction was verified before.
    TxnCommit {
        /// The request.
        request: TxnOffsetCommitRequest,
        /// The log's own name for the verification, 0 for none needed.
        verification: u64,
    },
    /// One group of OffsetFetch, with the names of topics filled in.
    Fetch {
        /// The group; no topics means all.
        group: OffsetFetchRequestGroup,
        /// Whether offsets of open transactions make an error.
        stability: Stability,
    },
    /// DescribeGroups of this shard's groups.
    Describe {
        /// Their ids.
        groups: Vec<GroupId>,
        /// The request's version.
        version: i16,
    },
    /// ListGroups.
    List(ListFilter),
    /// DeleteGroups of this shard's groups.
    Delete(Vec<GroupId>),
    /// OffsetDelete.
    DeleteOffsets(OffsetDeleteRequest),
    /// WriteTxnMarkers on this partition: the marker is appended, then the offsets of the transaction count.
    EndTransaction {
        /// The producer.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// Epoch of the transaction coordinator.
        coordinator_epoch: i32,
        /// How it ended.
        result: TransactionResult,
        /// Version of the transaction protocol of the marker (0, 1, 2).
        transaction_version: i16,
    },
    /// Topics were deleted: their offsets go.
    TopicsDeleted(Vec<DeletedTopic>),
}

/// An answer.
#[derive(Debug, PartialEq)]
pub enum GroupResponse {
    /// To Join.
    Join(JoinGroupResponse),
    /// To Sync.
    Sync(SyncGroupResponse),
    /// To Heartbeat.
    Heartbeat(HeartbeatResponse),
    /// To Leave, in the form of v3 and above.
    Leave(LeaveGroupResponse),
    /// To Commit.
    Commit(OffsetCommitResponse),
    /// To TxnCommit.
    TxnCommit(TxnOffsetCommitResponse),
    /// To Fetch.
    Fetch(OffsetFetchResponseGroup),
    /// To Describe.
    Describe(Vec<DescribedGroup>),
    /// To List.
    List(Vec<ListedGroup>),
    /// To Delete.
    Delete(DeleteGroupsResponse),
    /// To DeleteOffsets.
    DeleteOffsets(OffsetDeleteResponse),
    /// To EndTransaction.
    EndTransaction(Result<(), ErrorCode>),
    /// To TopicsDeleted.
    TopicsDeleted,
}

/// JoinGroup with what is known of the connection.
#[derive(Debug)]
pub struct JoinAsk {
    /// The request.
    pub request: JoinGroupRequest,
    /// Its version.
    pub version: i16,
    /// From the request's header.
    pub client_id: String,
    /// The peer's address as Java prints it ("/127.0.0.1").
    pub client_host: String,
    /// Drawn by the caller; the member id is made with it when one is needed.
    pub member_uuid: Uuid,
}

/// Whether offsets of open transactions make an error (KIP-447).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// The last committed one is fine.
    Any,
    /// UNSTABLE_OFFSET_COMMIT while one is pending.
    Required,
}

/// What ListGroups wants to see; empty lists mean all.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Names of states.
    pub states: Vec<String>,
    /// Names of types.
    pub types: Vec<String>,
}

/// A topic that is gone.
#[derive(Clone, Debug)]
pub struct DeletedTopic {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
}

/// The keys of the configuration that groups obey.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i32,
    /// `group.min.session.timeout.ms`
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max_ms: i32,
    /// `group.max.size`
    pub size_max: usize,
    /// `offset.metadata.max.bytes`; Java counts characters of UTF-16.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub retention_check_interval_ms: i64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig {
            initial_rebalance_delay_ms: 3000,
            session_timeout_min_ms: 6000,
            session_timeout_max_ms: 1_800_000,
            size_max: i32::MAX as usize,
            offset_metadata_max: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_check_interval_ms: 600_000,
        }
    }
}

/// What JoinGroup is refused for before its coordinator is even looked up.
pub fn check_join(config: &GroupConfig, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let allowed = config.session_timeout_min_ms..=config.session_timeout_max_ms;
    if allowed.contains(&request.session_timeout_ms) { Ok(()) } else { Err(ErrorCode::InvalidSessionTimeout) }
}

/// SyncGroup v5 and above must name type and protocol.
pub fn check_sync(request: &SyncGroupRequest, version: i16) -> Result<(), ErrorCode> {
    if version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    if request.group_id.is_empty() { Err(ErrorCode::InvalidGroupId) } else { Ok(()) }
}

/// The answer to a JoinGroup that failed.
pub fn join_error(member_id: &str, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_member_id(millstream_protocol::messages::StrBytes::from_string(member_id.to_owned()))
        .with_error_code(error.code())
}

/// The answer to a SyncGroup that failed.
pub fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}

/// The answer to an OffsetCommit that failed as a whole: each partition carries the error.
pub fn commit_error(request: OffsetCommitRequest, error: ErrorCode) -> OffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.code())
        });
        OffsetCommitResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_topic_id(topic.topic_id)
            .with_name(topic.name)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// The same for TxnOffsetCommit.
pub fn txn_commit_error(request: TxnOffsetCommitRequest, error: ErrorCode) -> TxnOffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.code())
        });
        TxnOffsetCommitResponseTopic::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// The answer to an OffsetFetch of one group that failed. Version 1 has no place for it but the partitions.
pub fn fetch_error(group: OffsetFetchRequestGroup, error: ErrorCode, version: i16) -> OffsetFetchResponseGroup {
    let response = OffsetFetchResponseGroup::default().with_group_id(group.group_id);
    if version >= 2 {
        return response.with_error_code(error.code());
    }
    let topics = group.topics.unwrap_or_default().into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(*index)
                .with_committed_offset(-1)
                .with_error_code(error.code())
        });
        OffsetFetchResponseTopics::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    response.with_topics(topics.collect())
}

/// The answer to a DeleteGroups that failed as a whole.
pub fn delete_error(groups: Vec<GroupId>, error: ErrorCode) -> DeleteGroupsResponse {
    let results =
        groups.into_iter().map(|id| DeletableGroupResult::default().with_group_id(id).with_error_code(error.code()));
    DeleteGroupsResponse::default().with_results(results.collect())
}
