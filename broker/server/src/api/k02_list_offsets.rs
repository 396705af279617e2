//! ListOffsets (key 2), v1-v11. Finds offsets by time or by place.
//! Versions: v2 isolation; v4 leader epochs (KIP-320); v6 flexible; v7 max timestamp (KIP-734); v8 earliest local
//! (KIP-405); v9 latest tiered (KIP-1005); v10 timeout (KIP-1075); v11 earliest pending upload (KIP-1023).
//! Authorizes: Describe on Topic.   Waits: for the disk, on another thread, where the search by time needs it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use millstream_broker_log::{ReadError, Reading};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::list_offsets_request::ListOffsetsPartition;
use millstream_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use millstream_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::error_map;
use crate::api::reply::Outcome;
use crate::node::Node;
use crate::replica::partition::{Partition, ReplicaError};

/// Versions served.
pub const SERVES: Versions = Versions::new(1, 11);

const LATEST: i64 = -1;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Special timestamps and the first version that has them (Java: `ReplicaManager.timestampMinSupportedVersion`).
const SPECIAL: [(i64, i16); 6] =
    [(-2, 1), (-1, 1), (-3, 7), (-4, 8), (LATEST_TIERED, 9), (EARLIEST_PENDING_UPLOAD, 11)];

/// Up to where a reader may see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Follower,
    Uncommitted,
    Committed,
}

/// First version that tells the leader epoch.
const LEADER_EPOCH: i16 = 4;

/// Handles the request.
pub fn handle(context: &Context, request: ListOffsetsRequest) -> Outcome<ListOffsetsResponse> {
    if request.isolation_level != 0 && request.isolation_level != 1 {
        return refuse_all(&request, ErrorCode::UnknownServerError).into();
    }
    let (node, version) = (&context.node, context.version());
    match look(node, &request, version, Reading::InMemory) {
        Some(response) => response.into(),
        // Some of it waits for the disk: all is looked for anew where that is allowed.
        None => {
            let node = node.clone();
            let look = move || look(&node, &request, version, Reading::Waits);
            Outcome::Large(Box::new(move || look().expect("only a look that does not wait ends without an answer")))
        }
    }
}

/// The whole answer; `None` where it would have to wait and may not.
fn look(node: &Node, request: &ListOffsetsRequest, version: i16, reading: Reading) -> Option<ListOffsetsResponse> {
    let reader = match (request.replica_id.0, request.isolation_level) {
        (0.., _) => Reader::Follower,
        (_, 1) => Reader::Committed,
        _ => Reader::Uncommitted,
    };
    let look_at = |name: &TopicName, data: &ListOffsetsPartition, times: Times| {
        if times == Times::Several {
            return Some(refusal(data, ErrorCode::InvalidRequest));
        }
        if is_unsupported(data.timestamp, version) {
            return Some(refusal(data, ErrorCode::UnsupportedVersion));
        }
        let Some(partition) = node.partitions.partition(name, data.partition_index) else {
            let absent = node.partitions.absent(name, data.partition_index);
            return Some(refusal(data, error_map::absent(absent)));
        };
        match search(&partition, data, reader, reading) {
            Ok(answer) => Some(for_version(answer, version)),
            Err(ReplicaError::Read(ReadError::Cold(_))) if reading == Reading::InMemory => None,
            Err(error) => Some(refusal(data, error_map::replica(&error))),
        }
    };
    let topics = merged(request).into_iter().map(|(name, asked)| {
        let partitions: Option<Vec<_>> = asked.into_iter().map(|(data, times)| look_at(name, data, times)).collect();
        Some(ListOffsetsTopicResponse::default().with_name(name.clone()).with_partitions(partitions?))
    });
    let topics: Option<Vec<_>> = topics.collect();
    Some(ListOffsetsResponse::default().with_topics(topics?))
}

/// What an exception outside of any partition answers (Java: `ListOffsetsRequest.getErrorResponse`).
fn refuse_all(request: &ListOffsetsRequest, code: ErrorCode) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|data| refusal(data, code)).collect();
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

/// How often a request names a partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    Several,
}

/// The partitions by topic, each once, however often the request names them.
fn merged(request: &ListOffsetsRequest) -> Vec<(&TopicName, Vec<(&ListOffsetsPartition, Times)>)> {
    let mut topics: Vec<(&TopicName, Vec<(&ListOffsetsPartition, Times)>)> = Vec::new();
    let mut place_of_topic = HashMap::new();
    let mut place_of_partition = HashMap::new();
    for topic in &request.topics {
        let place = *place_of_topic.entry(&topic.name).or_insert_with(|| {
            topics.push((&topic.name, Vec::new()));
            topics.len() - 1
        });
        let partitions = &mut topics[place].1;
        for data in &topic.partitions {
            match place_of_partition.entry((place, data.partition_index)) {
                Entry::Vacant(first) => {
                    first.insert(partitions.len());
                    partitions.push((data, Times::Once));
                }
                Entry::Occupied(known) => partitions[*known.get()].1 = Times::Several,
            }
        }
    }
    topics
}

fn is_unsupported(timestamp: i64, version: i16) -> bool {
    timestamp < 0 && !SPECIAL.iter().any(|(special, from)| *special == timestamp && version >= *from)
}

fn answer(data: &ListOffsetsPartition) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse::default()
        .with_partition_index(data.partition_index)
        .with_timestamp(-1)
        .with_offset(-1)
        .with_leader_epoch(-1)
}

fn refusal(data: &ListOffsetsPartition, code: ErrorCode) -> ListOffsetsPartitionResponse {
    answer(data).with_error_code(code as i16)
}

/// Java: `Partition.fetchOffsetForTimestamp`.
fn search(
    partition: &Partition,
    data: &ListOffsetsPartition,
    reader: Reader,
    reading: Reading,
) -> Result<ListOffsetsPartitionResponse, ReplicaError> {
    let leader_epoch = partition.leader_epoch(data.current_leader_epoch)?;
    let offsets = partition.offsets();
    let end = match reader {
        Reader::Follower => offsets.log_end,
        Reader::Uncommitted => offsets.high_watermark,
        Reader::Committed => offsets.last_stable,
    };
    if data.timestamp == LATEST {
        return Ok(answer(data).with_offset(end).with_leader_epoch(leader_epoch));
    }
    let found = partition.log().offset_for_timestamp(data.timestamp, reading)?;
    // A record that the reader may not see yet is not found, a position always is.
    let hidden = |offset: i64| (data.timestamp >= 0 || data.timestamp == -3) && offset >= end;
    Ok(match found {
        Some(found) if !hidden(found.offset) => {
            answer(data).with_timestamp(found.timestamp).with_offset(found.offset).with_leader_epoch(found.leader_epoch)
        }
        _ => answer(data),
    })
}

fn for_version(answer: ListOffsetsPartitionResponse, version: i16) -> ListOffsetsPartitionResponse {
    if version < LEADER_EPOCH { answer.with_leader_epoch(-1) } else { answer }
}
