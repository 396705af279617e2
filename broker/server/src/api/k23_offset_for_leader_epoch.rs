//! OffsetForLeaderEpoch (key 23), v2-v4. Where an epoch ends, so that a client or follower finds out whether its
//! log was truncated.
//! Versions: v2 leader epoch of the caller (KIP-320); v3 replica id; v4 flexible.
//! Authorizes: Describe on Topic.   Waits: no.

use millstream_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use millstream_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use millstream_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::error_map;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(2, 4);

/// Handles the request.
pub fn handle(context: &Context, request: OffsetForLeaderEpochRequest) -> Outcome<OffsetForLeaderEpochResponse> {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|data| end_of_epoch(context, &topic.topic, data));
        OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions.collect())
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect()).into()
}

fn end_of_epoch(context: &Context, topic: &str, data: &OffsetForLeaderPartition) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(data.partition).with_leader_epoch(-1).with_end_offset(-1);
    let Some(partition) = context.node.partitions.partition(topic, data.partition) else {
        let absent = context.node.partitions.absent(topic, data.partition);
        return answer.with_error_code(error_map::absent(absent) as i16);
    };
    if let Err(error) = partition.leader_epoch(data.current_leader_epoch) {
        return answer.with_error_code(error_map::replica(&error) as i16);
    }
    match partition.log().end_offset_for_epoch(data.leader_epoch) {
        Some((epoch, end_offset)) => answer.with_leader_epoch(epoch).with_end_offset(end_offset),
        None => answer,
    }
}
