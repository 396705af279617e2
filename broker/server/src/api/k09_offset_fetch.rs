//! OffsetFetch (key 9), v1-v10. How far groups have read.
//! Versions: v2 all topics, error of the whole; v5 leader epoch (KIP-320); v6 flexible; v7 require stable (KIP-447);
//! v8 many groups (KIP-709); v9 member epoch (KIP-848); v10 topic ids (KIP-848).
//! Authorizes: Describe on Group, Describe on Topic.   Waits: no.

use millstream_broker_controller::Image;
use millstream_broker_coordinator::group::ask::Stability;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use millstream_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, StrBytes, TopicName};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::coord::answer::Answer;

/// Versions served.
pub const SERVES: Versions = Versions::new(1, 10);

/// First version with a list of groups.
const MANY: i16 = 8;
/// First version whose topics are named by id.
const TOPIC_IDS: i16 = 10;

/// Handles the request.
pub fn handle(context: &Context, request: OffsetFetchRequest) -> Outcome<OffsetFetchResponse> {
    let version = context.version();
    let stability = if request.require_stable { Stability::Required } else { Stability::Any };
    let groups = if version >= MANY { request.groups } else { vec![single(request)] };
    let answers = groups.into_iter().map(|group| fetch(context, group, stability)).collect();
    Answer::all(answers).map(move |groups| respond(groups, version)).into()
}

fn single(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        let named = topics.into_iter().map(|topic| {
            OffsetFetchRequestTopics::default().with_name(topic.name).with_partition_indexes(topic.partition_indexes)
        });
        named.collect()
    });
    OffsetFetchRequestGroup::default().with_group_id(request.group_id).with_topics(topics)
}

fn fetch(
    context: &Context,
    mut group: OffsetFetchRequestGroup,
    stability: Stability,
) -> Answer<OffsetFetchResponseGroup> {
    let version = context.version();
    let groups = &context.node.coordinators.groups;
    if version < TOPIC_IDS {
        return groups.fetch(group, stability, version);
    }
    let image = context.node.controller.image();
    let mut unknown = Vec::new();
    if let Some(topics) = &mut group.topics {
        topics.retain_mut(|topic| match image.topic_by_id(topic.topic_id) {
            Some(known) => {
                topic.name = TopicName(StrBytes::from_string(known.name.to_string()));
                true
            }
            None => {
                unknown.push(unknown_id(topic));
                false
            }
        });
    }
    groups.fetch(group, stability, version).map(move |mut answer| {
        if answer.error_code == 0 {
            fill_ids(&image, &mut answer);
            answer.topics.extend(unknown);
        }
        answer
    })
}

fn unknown_id(topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|index| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(*index)
            .with_committed_offset(-1)
            .with_error_code(ErrorCode::UnknownTopicId.code())
    });
    OffsetFetchResponseTopics::default().with_topic_id(topic.topic_id).with_partitions(partitions.collect())
}

/// With all topics asked for, the coordinator names them; one that is gone has no id and cannot be told.
fn fill_ids(image: &Image, answer: &mut OffsetFetchResponseGroup) {
    answer.topics.retain_mut(|topic| {
        if topic.topic_id.is_nil() {
            topic.topic_id = image.topic(&topic.name).map_or(topic.topic_id, |known| known.id);
        }
        !topic.topic_id.is_nil()
    });
}

fn respond(mut groups: Vec<OffsetFetchResponseGroup>, version: i16) -> OffsetFetchResponse {
    if version >= MANY {
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let group = groups.pop().unwrap_or_default();
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect()).with_error_code(group.error_code)
}
