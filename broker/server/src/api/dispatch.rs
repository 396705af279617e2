//! The only match on the API key: frame -> header -> handler -> answer.
//!
//! Called by net/connection.rs for each frame. What ApiVersions advertises comes from the same table, so a key or
//! version that is not served is not advertised. A controller's listener serves those that Apache's controller does.
//!
//! Not done: the metadata log's Fetch and all that nodes of a quorum ask one another, on a controller's listener.

use bytes::Bytes;
use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use millstream_protocol::api_key::Listener;
use millstream_protocol::messages::{ApiKey, Encodable, Request};
use millstream_protocol::request::{self, take_request_header};
use millstream_protocol::response;

use crate::api::context::{Context, Role};
use crate::api::reply::{Later, Next, Outcome, Output, Reply};
use crate::api::{
    k00_produce, k01_fetch, k02_list_offsets, k03_metadata, k08_offset_commit, k09_offset_fetch, k10_find_coordinator,
    k11_join_group, k12_heartbeat, k13_leave_group, k14_sync_group, k15_describe_groups, k16_list_groups,
    k17_sasl_handshake, k18_api_versions, k19_create_topics, k20_delete_topics, k21_delete_records,
    k22_init_producer_id, k23_offset_for_leader_epoch, k24_add_partitions_to_txn, k25_add_offsets_to_txn, k26_end_txn,
    k27_write_txn_markers, k28_txn_offset_commit, k29_describe_acls, k30_create_acls, k31_delete_acls,
    k32_describe_configs, k33_alter_configs, k35_describe_log_dirs, k36_sasl_authenticate, k37_create_partitions,
    k42_delete_groups, k43_elect_leaders, k44_incremental_alter_configs, k45_alter_partition_reassignments,
    k46_list_partition_reassignments, k47_offset_delete, k55_describe_quorum, k57_update_features,
    k60_describe_cluster, k61_describe_producers, k65_describe_transactions, k66_list_transactions,
    k74_list_config_resources, k75_describe_topic_partitions,
};

/// The versions of one API that a handler serves, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Oldest.
    pub min: i16,
    /// Newest.
    pub max: i16,
}

impl Versions {
    /// `min..=max`
    pub const fn new(min: i16, max: i16) -> Self {
        Versions { min, max }
    }

    /// Whether `version` is among them.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

/// Every API that is served, in the order of the keys.
pub static SERVED: &[(ApiKey, Versions)] = &[
    (ApiKey::Produce, k00_produce::SERVES),
    (ApiKey::Fetch, k01_fetch::SERVES),
    (ApiKey::ListOffsets, k02_list_offsets::SERVES),
    (ApiKey::Metadata, k03_metadata::SERVES),
    (ApiKey::OffsetCommit, k08_offset_commit::SERVES),
    (ApiKey::OffsetFetch, k09_offset_fetch::SERVES),
    (ApiKey::FindCoordinator, k10_find_coordinator::SERVES),
    (ApiKey::JoinGroup, k11_join_group::SERVES),
    (ApiKey::Heartbeat, k12_heartbeat::SERVES),
    (ApiKey::LeaveGroup, k13_leave_group::SERVES),
    (ApiKey::SyncGroup, k14_sync_group::SERVES),
    (ApiKey::DescribeGroups, k15_describe_groups::SERVES),
    (ApiKey::ListGroups, k16_list_groups::SERVES),
    (ApiKey::SaslHandshake, k17_sasl_handshake::SERVES),
    (ApiKey::ApiVersions, k18_api_versions::SERVES),
    (ApiKey::CreateTopics, k19_create_topics::SERVES),
    (ApiKey::DeleteTopics, k20_delete_topics::SERVES),
    (ApiKey::DeleteRecords, k21_delete_records::SERVES),
    (ApiKey::InitProducerId, k22_init_producer_id::SERVES),
    (ApiKey::OffsetForLeaderEpoch, k23_offset_for_leader_epoch::SERVES),
    (ApiKey::AddPartitionsToTxn, k24_add_partitions_to_txn::SERVES),
    (ApiKey::AddOffsetsToTxn, k25_add_offsets_to_txn::SERVES),
    (ApiKey::EndTxn, k26_end_txn::SERVES),
    (ApiKey::WriteTxnMarkers, k27_write_txn_markers::SERVES),
    (ApiKey::TxnOffsetCommit, k28_txn_offset_commit::SERVES),
    (ApiKey::DescribeAcls, k29_describe_acls::SERVES),
    (ApiKey::CreateAcls, k30_create_acls::SERVES),
    (ApiKey::DeleteAcls, k31_delete_acls::SERVES),
    (ApiKey::DescribeConfigs, k32_describe_configs::SERVES),
    (ApiKey::AlterConfigs, k33_alter_configs::SERVES),
    (ApiKey::DescribeLogDirs, k35_describe_log_dirs::SERVES),
    (ApiKey::SaslAuthenticate, k36_sasl_authenticate::SERVES),
    (ApiKey::CreatePartitions, k37_create_partitions::SERVES),
    (ApiKey::DeleteGroups, k42_delete_groups::SERVES),
    (ApiKey::ElectLeaders, k43_elect_leaders::SERVES),
    (ApiKey::IncrementalAlterConfigs, k44_incremental_alter_configs::SERVES),
    (ApiKey::AlterPartitionReassignments, k45_alter_partition_reassignments::SERVES),
    (ApiKey::ListPartitionReassignments, k46_list_partition_reassignments::SERVES),
    (ApiKey::OffsetDelete, k47_offset_delete::SERVES),
    (ApiKey::DescribeQuorum, k55_describe_quorum::SERVES),
    (ApiKey::UpdateFeatures, k57_update_features::SERVES),
    (ApiKey::DescribeCluster, k60_describe_cluster::SERVES),
    (ApiKey::DescribeProducers, k61_describe_producers::SERVES),
    (ApiKey::DescribeTransactions, k65_describe_transactions::SERVES),
    (ApiKey::ListTransactions, k66_list_transactions::SERVES),
    (ApiKey::ListConfigResources, k74_list_config_resources::SERVES),
    (ApiKey::DescribeTopicPartitions, k75_describe_topic_partitions::SERVES),
];

/// What listeners of `role` serve. A controller's Fetch is that of the metadata log.
pub fn served_to(role: Role) -> impl Iterator<Item = &'static (ApiKey, Versions)> {
    SERVED.iter().filter(move |(key, _)| is_served_to(role, *key))
}

fn is_served_to(role: Role, key: ApiKey) -> bool {
    role == Role::Broker || (key != ApiKey::Fetch && key.api().listener != Listener::Broker)
}

/// Handles one frame (without its length). The answer goes to `out`, or comes later as [`Reply`] says.
pub fn dispatch(context: &mut Context, mut frame: Bytes, out: &mut Output) -> Reply {
    context.header = match take_request_header(&mut frame) {
        Ok(header) => header,
        Err(error) => {
            turned_away(context, &error);
            return Reply::Close("unreadable request header");
        }
    };
    let (key, version) = (context.header.api_key, context.header.api_version);
    let found = SERVED.binary_search_by_key(&key, |(served, _)| *served);
    let Ok(index) = found.and_then(|at| if is_served_to(context.connection.role, key) { Ok(at) } else { Err(at) })
    else {
        turned_away(context, &format_args!("the API {key:?} is not served"));
        return Reply::Close("an API that is not served");
    };
    if !SERVED[index].1.contains(version) {
        if key == ApiKey::ApiVersions {
            return k18_api_versions::refuse_version(context, out);
        }
        turned_away(context, &format_args!("version {version} of the API {key:?} is not served"));
        return Reply::Close("unsupported version of an API");
    }
    let (started, frame_bytes, held) = (Moment::now(), frame.len(), out.bytes());
    let node = context.node.clone();
    let metrics = node.partitions.metrics().api(key as i16);
    if let Some(metrics) = metrics {
        metrics.requested(version, frame_bytes);
    }
    match (route(key, context, frame, out), metrics) {
        (Reply::Later { answer, next }, Some(metrics)) => {
            let metrics = metrics.clone();
            metrics.worked(started.elapsed());
            let answer = Box::pin(async move {
                let answer = answer.await;
                metrics.answered(answer.as_ref().map_or(0, Output::bytes), started.elapsed());
                answer
            });
            Reply::Later { answer, next }
        }
        (reply, Some(metrics)) => {
            let elapsed = started.elapsed();
            metrics.worked(elapsed);
            metrics.answered(out.bytes() - held, elapsed);
            reply
        }
        (reply, None) => reply,
    }
}

/// A person wonders why the connection of a client ends: it speaks a newer or an older protocol, or another altogether.
fn turned_away(context: &Context, reason: &dyn std::fmt::Display) {
    let node = &context.node;
    if let Some(unsaid) = node.turned_away.tell(node.clock.steady_ms()) {
        let (peer, client_id) = (context.connection.peer, context.client_id());
        tracing::warn!(%peer, client_id, %reason, unsaid, "a request that cannot be read, connection closed");
    }
}

fn route(key: ApiKey, context: &Context, body: Bytes, out: &mut Output) -> Reply {
    match key {
        ApiKey::Produce => k00_produce::handle(context, body, out),
        ApiKey::Fetch => k01_fetch::handle(context, body, out),
        ApiKey::ListOffsets => typed(context, body, out, k02_list_offsets::handle),
        ApiKey::Metadata => typed(context, body, out, k03_metadata::handle),
        ApiKey::OffsetCommit => typed(context, body, out, k08_offset_commit::handle),
        ApiKey::OffsetFetch => typed(context, body, out, k09_offset_fetch::handle),
        ApiKey::FindCoordinator => typed(context, body, out, k10_find_coordinator::handle),
        ApiKey::JoinGroup => typed(context, body, out, k11_join_group::handle),
        ApiKey::Heartbeat => typed(context, body, out, k12_heartbeat::handle),
        ApiKey::LeaveGroup => typed(context, body, out, k13_leave_group::handle),
        ApiKey::SyncGroup => typed(context, body, out, k14_sync_group::handle),
        ApiKey::DescribeGroups => typed(context, body, out, k15_describe_groups::handle),
        ApiKey::ListGroups => typed(context, body, out, k16_list_groups::handle),
        ApiKey::SaslHandshake => typed(context, body, out, k17_sasl_handshake::handle),
        ApiKey::ApiVersions => typed(context, body, out, k18_api_versions::handle),
        ApiKey::CreateTopics => typed(context, body, out, k19_create_topics::handle),
        ApiKey::DeleteTopics => typed(context, body, out, k20_delete_topics::handle),
        ApiKey::DeleteRecords => typed(context, body, out, k21_delete_records::handle),
        ApiKey::InitProducerId => typed(context, body, out, k22_init_producer_id::handle),
        ApiKey::OffsetForLeaderEpoch => typed(context, body, out, k23_offset_for_leader_epoch::handle),
        ApiKey::AddPartitionsToTxn => typed(context, body, out, k24_add_partitions_to_txn::handle),
        ApiKey::AddOffsetsToTxn => typed(context, body, out, k25_add_offsets_to_txn::handle),
        ApiKey::EndTxn => typed(context, body, out, k26_end_txn::handle),
        ApiKey::WriteTxnMarkers => typed(context, body, out, k27_write_txn_markers::handle),
        ApiKey::TxnOffsetCommit => typed(context, body, out, k28_txn_offset_commit::handle),
        ApiKey::DescribeAcls => typed(context, body, out, k29_describe_acls::handle),
        ApiKey::CreateAcls => typed(context, body, out, k30_create_acls::handle),
        ApiKey::DeleteAcls => typed(context, body, out, k31_delete_acls::handle),
        ApiKey::DescribeConfigs => typed(context, body, out, k32_describe_configs::handle),
        ApiKey::AlterConfigs => typed(context, body, out, k33_alter_configs::handle),
        ApiKey::DescribeLogDirs => typed(context, body, out, k35_describe_log_dirs::handle),
        ApiKey::SaslAuthenticate => typed(context, body, out, k36_sasl_authenticate::handle),
        ApiKey::CreatePartitions => typed(context, body, out, k37_create_partitions::handle),
        ApiKey::DeleteGroups => typed(context, body, out, k42_delete_groups::handle),
        ApiKey::ElectLeaders => typed(context, body, out, k43_elect_leaders::handle),
        ApiKey::IncrementalAlterConfigs => typed(context, body, out, k44_incremental_alter_configs::handle),
        ApiKey::AlterPartitionReassignments => typed(context, body, out, k45_alter_partition_reassignments::handle),
        ApiKey::ListPartitionReassignments => typed(context, body, out, k46_list_partition_reassignments::handle),
        ApiKey::OffsetDelete => typed(context, body, out, k47_offset_delete::handle),
        ApiKey::DescribeQuorum => typed(context, body, out, k55_describe_quorum::handle),
        ApiKey::UpdateFeatures => typed(context, body, out, k57_update_features::handle),
        ApiKey::DescribeCluster => typed(context, body, out, k60_describe_cluster::handle),
        ApiKey::DescribeProducers => typed(context, body, out, k61_describe_producers::handle),
        ApiKey::DescribeTransactions => typed(context, body, out, k65_describe_transactions::handle),
        ApiKey::ListTransactions => typed(context, body, out, k66_list_transactions::handle),
        ApiKey::ListConfigResources => typed(context, body, out, k74_list_config_resources::handle),
        ApiKey::DescribeTopicPartitions => typed(context, body, out, k75_describe_topic_partitions::handle),
        _ => unreachable!("every key of SERVED has its arm: {key:?}"),
    }
}

/// Decodes the body, runs the handler, encodes its answer now or later.
fn typed<Q, R>(context: &Context, body: Bytes, out: &mut Output, handle: fn(&Context, Q) -> Outcome<R>) -> Reply
where
    Q: Request,
    R: Encodable + Send + 'static,
{
    let request = match request::decode::<Q>(context.header.api_version, body) {
        Ok(request) => request,
        Err(error) => {
            let (key, version) = (context.header.api_key, context.header.api_version);
            tracing::debug!(peer = %context.connection.peer, ?key, version, %error, "malformed request");
            return Reply::Close("malformed request");
        }
    };
    match handle(context, request) {
        Outcome::Now(answer) => match encode(context, &answer, out) {
            Ok(()) => Reply::Done,
            Err(reason) => Reply::Close(reason),
        },
        Outcome::Malformed(reason) => {
            tracing::debug!(peer = %context.connection.peer, reason, "malformed request");
            Reply::Close(reason)
        }
        Outcome::Large(make) => Reply::Later { answer: large(context.clone(), make), next: Next::Wait },
        Outcome::Later(answer) => {
            let context = context.clone();
            let answer = Box::pin(async move {
                let answer = answer.await;
                let mut out = Output::default();
                match encode(&context, &answer, &mut out) {
                    Ok(()) => Some(out),
                    Err(_) => None,
                }
            });
            Reply::Later { answer, next: Next::Wait }
        }
    }
}

/// Makes and encodes an answer off the runtime's threads, within the bound on large answers.
fn large<R: Encodable + Send + 'static>(
    context: Context,
    make: Box<dyn FnOnce() -> R + Send>,
) -> Later<Option<Output>> {
    Box::pin(async move {
        let room = context.node.answer_memory.room().await;
        let made = task::spawn_blocking("make a large answer", move || {
            let mut out = Output::default();
            encode(&context, &make(), &mut out).ok()?;
            out.hold(room.shrunk(out.bytes()));
            Some(out)
        });
        match made.await {
            Ok(out) => out,
            Err(error) => {
                tracing::error!(%error, "a large answer could not be made");
                None
            }
        }
    })
}

/// Writes `answer` behind `out` as the answer to the request of `context`.
pub fn encode<R: Encodable>(context: &Context, answer: &R, out: &mut Output) -> Result<(), &'static str> {
    let header = &context.header;
    response::encode_into(out.buffer(), header.api_key, header.api_version, header.correlation_id, answer).map_err(|error| {
        // Only a handler that fills a field its version lacks comes here.
        tracing::error!(key = ?header.api_key, version = header.api_version, %error, "an answer could not be encoded");
        "an answer could not be encoded"
    })
}
