//! DescribeQuorum (key 55), v0-v2. Leader, voters and offsets of the metadata log; openraft's state in KRaft's terms.
//! Versions: v1 fetch times; v2 messages, directory ids and the voters' addresses (KIP-853).
//! Authorizes: Describe on Cluster (all allowed).   Waits: never.

use millstream_broker_controller::{Endpoint, QuorumState};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use millstream_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse};
use uuid::Uuid;

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::api::view::{self, text};

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 2);

const METADATA_TOPIC: &str = "__cluster_metadata";

/// The one voter.
#[derive(Clone, Copy, Debug)]
pub struct Voter<'a> {
    /// `directory.id` of the metadata log's folder.
    pub directory_id: Uuid,
    /// Where it listens.
    pub endpoints: &'a [Endpoint],
    /// Now.
    pub now_ms: i64,
}

/// Handles the request.
pub fn handle(context: &Context, request: DescribeQuorumRequest) -> Outcome<DescribeQuorumResponse> {
    let node = &context.node;
    let quorum = node.controller.quorum();
    let image = node.controller.image();
    let leader = image.brokers().get(&quorum.leader_id);
    let voter = Voter {
        directory_id: leader.and_then(|broker| broker.directories.first().copied()).unwrap_or_default(),
        endpoints: match &node.controller_endpoints[..] {
            [] => leader.map_or(&[][..], |broker| &broker.endpoints),
            own => own,
        },
        now_ms: node.clock.now_ms(),
    };
    answer(quorum, voter, context.version(), &request).into()
}

/// Answers the request.
pub fn answer(
    quorum: QuorumState,
    voter: Voter<'_>,
    version: i16,
    request: &DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let asked = request.topics.iter().any(|topic| {
        **topic.topic_name == *METADATA_TOPIC && topic.partitions.iter().any(|one| one.partition_index == 0)
    });
    if !asked || request.topics.len() != 1 || request.topics[0].partitions.len() != 1 {
        return unknown(request);
    }
    let replica = ReplicaState::default()
        .with_replica_id(BrokerId(quorum.leader_id))
        .with_replica_directory_id(if version < 2 { Uuid::nil() } else { voter.directory_id })
        .with_log_end_offset(quorum.log_end_offset)
        .with_last_fetch_timestamp(voter.now_ms)
        .with_last_caught_up_timestamp(voter.now_ms);
    let partition = PartitionData::default()
        .with_leader_id(BrokerId(quorum.leader_id))
        .with_leader_epoch(quorum.leader_epoch)
        .with_high_watermark(quorum.high_watermark)
        .with_current_voters(vec![replica]);
    let topic = TopicData::default().with_topic_name(view::topic_name(METADATA_TOPIC)).with_partitions(vec![partition]);
    let response = DescribeQuorumResponse::default().with_topics(vec![topic]);
    if version < 2 {
        return response;
    }
    let listeners = voter.endpoints.iter().map(|endpoint| {
        Listener::default().with_name(text(&endpoint.listener)).with_host(text(&endpoint.host)).with_port(endpoint.port)
    });
    let node = Node::default().with_node_id(BrokerId(quorum.leader_id)).with_listeners(listeners.collect());
    response.with_nodes(vec![node])
}

fn unknown(request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(ErrorCode::UnknownTopicOrPartition as i16)
                .with_error_message(Some(text(ErrorCode::UnknownTopicOrPartition.message())))
        });
        TopicData::default().with_topic_name(topic.topic_name.clone()).with_partitions(partitions.collect())
    });
    DescribeQuorumResponse::default().with_topics(topics.collect())
}
