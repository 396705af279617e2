//! OffsetDelete (key 47), v0. Deletes offsets of topics that the group does not read.
//! Authorizes: Delete on Group, Read on Topic.   Waits: until the tombstones are stored.

use millstream_broker_controller::Image;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use millstream_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use millstream_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 0);

/// Handles the request: partitions that do not exist are answered here, the rest by the coordinator.
pub fn handle(context: &Context, mut request: OffsetDeleteRequest) -> Outcome<OffsetDeleteResponse> {
    let image = context.node.controller.image();
    let mut refused = Vec::new();
    request.topics.retain_mut(|topic| {
        let exists = |partition: &OffsetDeleteRequestPartition| exists(&image, topic, partition.partition_index);
        let (kept, missing): (Vec<_>, Vec<_>) = topic.partitions.iter().cloned().partition(exists);
        if !missing.is_empty() {
            add(&mut refused, unknown(topic, &missing));
        }
        topic.partitions = kept;
        !topic.partitions.is_empty()
    });
    let answer = context.node.coordinators.groups.delete_offsets(request);
    answer.map(move |response| merge(refused, response)).into()
}

fn exists(image: &Image, topic: &OffsetDeleteRequestTopic, partition: i32) -> bool {
    image.partition(&topic.name, partition).is_some()
}

fn unknown(topic: &OffsetDeleteRequestTopic, missing: &[OffsetDeleteRequestPartition]) -> OffsetDeleteResponseTopic {
    let partitions = missing.iter().map(|partition| {
        OffsetDeleteResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
    });
    OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
}

/// An error of the whole is all that is answered.
fn merge(mut topics: Vec<OffsetDeleteResponseTopic>, response: OffsetDeleteResponse) -> OffsetDeleteResponse {
    if response.error_code != 0 || topics.is_empty() {
        return response;
    }
    response.topics.into_iter().for_each(|topic| add(&mut topics, topic));
    OffsetDeleteResponse::default().with_topics(topics)
}

/// A topic that the request names twice is answered once (Java: `OffsetDeleteResponse.Builder`).
fn add(topics: &mut Vec<OffsetDeleteResponseTopic>, topic: OffsetDeleteResponseTopic) {
    match topics.iter_mut().find(|known| known.name == topic.name) {
        Some(known) => known.partitions.extend(topic.partitions),
        None => topics.push(topic),
    }
}
