//! DescribeTopicPartitions (key 75), v0. Topics and partitions page by page (KIP-966).
//! Authorizes: Describe on Topic (all allowed).   Waits: never.
//! Not done: eligible leader replicas (eligible.leader.replicas.version is not finalised): empty lists.

use std::collections::BTreeSet;

use millstream_broker_controller::decide::topic_name as names;
use millstream_broker_controller::{Image, PartitionInfo};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use millstream_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::api::view::{TOPIC_OPERATIONS, View, broker_ids, topic_name};

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 0);

/// Handles the request.
pub fn handle(context: &Context, request: DescribeTopicPartitionsRequest) -> Outcome<DescribeTopicPartitionsResponse> {
    let node = &context.node;
    let limit = usize::try_from(node.config.number("max.request.partition.size.limit")).unwrap_or(1);
    answer(&node.controller.image(), &context.connection.listener, limit, &request).into()
}

/// Answers the request; `partitions_max` is `max.request.partition.size.limit`.
pub fn answer(
    image: &Image,
    listener: &str,
    partitions_max: usize,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let all = request.topics.is_empty();
    let from = request.cursor.as_ref().map_or("", |cursor| cursor.topic_name.as_str());
    let wanted: BTreeSet<&str> = if all {
        image.topics().map(|topic| &*topic.name).filter(|name| *name >= from).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= from).collect()
    };
    if let Some(cursor) = &request.cursor {
        let unlisted = !all && !wanted.contains(cursor.topic_name.as_str());
        if unlisted || cursor.partition_index < 0 {
            return refused(request, ErrorCode::InvalidRequest);
        }
    }
    // Java fails on an empty name when it looks up what the client may do with it.
    if wanted.contains("") {
        return refused(request, ErrorCode::UnknownServerError);
    }
    let view = View { image, listener };
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut remaining = limit.min(partitions_max).max(1);
    let mut response = DescribeTopicPartitionsResponse::default().with_next_cursor(None);
    for name in wanted {
        if remaining == 0 {
            response.next_cursor = Some(cursor_at(name, 0));
            break;
        }
        let Some(topic) = image.topic(name) else {
            // A topic that went while all were listed is left out.
            if !all {
                response.topics.push(missing(name));
            }
            continue;
        };
        let start = match &request.cursor {
            Some(cursor) if name == from => usize::try_from(cursor.partition_index).unwrap_or(0),
            _ => 0,
        };
        let end = topic.partitions.len().min(start.saturating_add(remaining));
        let page = topic.partitions.get(start..end).unwrap_or_default();
        let partitions: Vec<_> =
            page.iter().zip(start..).map(|(info, index)| partition(view, index as i32, info)).collect();
        remaining -= partitions.len().min(remaining);
        response.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(topic_name(name)))
                .with_topic_id(topic.id)
                .with_is_internal(names::is_internal(name))
                .with_partitions(partitions)
                .with_topic_authorized_operations(TOPIC_OPERATIONS),
        );
        if end < topic.partitions.len() {
            response.next_cursor = Some(cursor_at(name, end as i32));
            break;
        }
    }
    response
}

fn cursor_at(topic: &str, partition: i32) -> Cursor {
    Cursor::default().with_topic_name(topic_name(topic)).with_partition_index(partition)
}

fn refused(request: &DescribeTopicPartitionsRequest, code: ErrorCode) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic.name.clone()))
            .with_error_code(code as i16)
            .with_topic_authorized_operations(i32::MIN)
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect()).with_next_cursor(None)
}

fn missing(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error =
        if names::is_valid(name) { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error as i16)
        .with_name(Some(topic_name(name)))
        .with_is_internal(names::is_internal(name))
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

fn partition(view: View<'_>, index: i32, info: &PartitionInfo) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(index)
        .with_leader_id(BrokerId(view.leader(info).unwrap_or(-1)))
        .with_leader_epoch(info.leader_epoch)
        .with_replica_nodes(broker_ids(&info.replicas))
        .with_isr_nodes(broker_ids(&info.isr))
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(view.offline_replicas(info))
}

#[cfg(test)]
mod tests;
