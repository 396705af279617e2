//! ListPartitionReassignments (key 46), v0. Which replicas are being moved.
//! Authorizes: Describe on Cluster (all allowed).   Waits: never.

use millstream_broker_controller::decide::reassign::is_reassigning;
use millstream_broker_controller::{Image, Topic};
use millstream_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use millstream_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::api::view::{broker_ids, topic_name};

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 0);

/// Handles the request.
pub fn handle(
    context: &Context,
    request: ListPartitionReassignmentsRequest,
) -> Outcome<ListPartitionReassignmentsResponse> {
    answer(&context.node.controller.image(), &request).into()
}

/// Answers the request.
pub fn answer(image: &Image, request: &ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
    let topics = match &request.topics {
        None => image
            .topics()
            .filter_map(|topic| ongoing(topic, &(0..topic.partitions.len() as i32).collect::<Vec<_>>()))
            .collect(),
        Some(topics) => {
            topics.iter().filter_map(|wanted| ongoing(image.topic(&wanted.name)?, &wanted.partition_indexes)).collect()
        }
    };
    ListPartitionReassignmentsResponse::default().with_error_message(None).with_topics(topics)
}

fn ongoing(topic: &Topic, indexes: &[i32]) -> Option<OngoingTopicReassignment> {
    let partitions: Vec<OngoingPartitionReassignment> = indexes
        .iter()
        .filter_map(|index| {
            let partition = topic.partitions.get(usize::try_from(*index).ok()?)?;
            is_reassigning(partition).then(|| {
                OngoingPartitionReassignment::default()
                    .with_partition_index(*index)
                    .with_replicas(broker_ids(&partition.replicas))
                    .with_adding_replicas(broker_ids(&partition.adding_replicas))
                    .with_removing_replicas(broker_ids(&partition.removing_replicas))
            })
        })
        .collect();
    if partitions.is_empty() {
        return None;
    }
    Some(OngoingTopicReassignment::default().with_name(topic_name(&topic.name)).with_partitions(partitions))
}
