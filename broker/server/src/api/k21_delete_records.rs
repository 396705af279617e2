//! DeleteRecords (key 21), v0-v2. Moves the start of partitions.
//! Versions: v2 flexible.
//! Authorizes: Delete on Topic.   Waits: no; this node alone holds the partition.

use std::collections::BTreeMap;

use millstream_broker_log::ReadError;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::delete_records_request::DeleteRecordsPartition;
use millstream_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use millstream_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, TopicName};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::error_map;
use crate::api::reply::Outcome;
use crate::coord::internal_topics;
use crate::replica::partition::{Partition, ReplicaError};

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 2);

/// Means the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// Handles the request.
pub fn handle(context: &Context, request: DeleteRecordsRequest) -> Outcome<DeleteRecordsResponse> {
    // A partition named twice counts once, with the offset that came last (Java: a map by partition).
    let mut asked: BTreeMap<&TopicName, BTreeMap<i32, &DeleteRecordsPartition>> = BTreeMap::new();
    for topic in &request.topics {
        let partitions = asked.entry(&topic.name).or_default();
        partitions.extend(topic.partitions.iter().map(|data| (data.partition_index, data)));
    }
    let topics = asked.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_values().map(|data| {
            let answer = DeleteRecordsPartitionResult::default().with_partition_index(data.partition_index);
            match delete(context, name, data) {
                Ok(low_watermark) => answer.with_low_watermark(low_watermark),
                Err(code) => answer.with_low_watermark(-1).with_error_code(code as i16),
            }
        });
        DeleteRecordsTopicResult::default().with_name(name.clone()).with_partitions(partitions.collect())
    });
    DeleteRecordsResponse::default().with_topics(topics.collect()).into()
}

fn delete(context: &Context, topic: &str, data: &DeleteRecordsPartition) -> Result<i64, ErrorCode> {
    let partition =
        context.node.partitions.partition(topic, data.partition_index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if internal_topics::is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let low_watermark = delete_before(&partition, data.offset).map_err(|error| error_map::replica(&error))?;
    low_watermark.ok_or(ErrorCode::PolicyViolation)
}

/// The new log start; `None` when the topic is only compacted (Java: `Partition.deleteRecordsOnLeader`).
fn delete_before(partition: &Partition, offset: i64) -> Result<Option<i64>, ReplicaError> {
    partition.leader_epoch(-1)?;
    let policy = partition.log().config().cleanup_policy;
    if policy.compact && !policy.delete {
        return Ok(None);
    }
    if offset < HIGH_WATERMARK {
        let offsets = partition.offsets();
        return Err(ReplicaError::Read(ReadError::OffsetOutOfRange {
            offset,
            log_start_offset: offsets.log_start,
            log_end_offset: offsets.log_end,
        }));
    }
    let start = partition.log().delete_before(offset)?;
    partition.wake();
    Ok(Some(start))
}
