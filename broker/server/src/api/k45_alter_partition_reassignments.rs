//! AlterPartitionReassignments (key 45), v0-v1. Moves replicas between brokers.
//! Versions: v1 may refuse a change of the replication factor (KIP-860).
//! Authorizes: Alter on Cluster (all allowed).   Waits: never.
//! Not done: moving replicas; a node alone has nowhere to move them and answers as Apache's does.

use millstream_broker_controller::Image;
use millstream_broker_controller::decide::reassign::{FactorChange, alter_reassignment};
use millstream_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use millstream_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::api::view::text;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 1);

/// Handles the request.
pub fn handle(
    context: &Context,
    request: AlterPartitionReassignmentsRequest,
) -> Outcome<AlterPartitionReassignmentsResponse> {
    answer(&context.node.controller.image(), &request).into()
}

/// Answers the request.
pub fn answer(image: &Image, request: &AlterPartitionReassignmentsRequest) -> AlterPartitionReassignmentsResponse {
    let factor = match request.allow_replication_factor_change {
        true => FactorChange::Allowed,
        false => FactorChange::Refused,
    };
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let target: Option<Vec<i32>> =
                partition.replicas.as_ref().map(|replicas| replicas.iter().map(|id| id.0).collect());
            let refusal =
                alter_reassignment(image, &topic.name, partition.partition_index, target.as_deref(), factor).err();
            ReassignablePartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(refusal.as_ref().map_or(0, |refusal| refusal.code as i16))
                .with_error_message(refusal.and_then(|refusal| refusal.message).as_deref().map(text))
        });
        ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_error_message(None)
        .with_responses(topics.collect())
}
