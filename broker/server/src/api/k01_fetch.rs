//! Fetch (key 1), v4-v18. Answers with batches of the partitions that this broker leads.
//! Versions: v5 log start offset; v7 sessions (KIP-227); v9 epoch fencing (KIP-320); v10 zstd; v11 rack (KIP-392);
//! v12 flexible, divergence (KIP-595); v13 topic ids (KIP-516); v16 node endpoints (KIP-951); v18 high watermark.
//! Authorizes: Read on Topic.   Waits: until min bytes are there, at most max wait.
//! Not done: incremental sessions; every answer is a full one with session id 0, which clients take.

use std::time::Duration;

use bytes::Bytes;
use millstream_base_env::clock::Moment;
use millstream_broker_log::{Isolation, ReadError, ReadResult};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::fetch_request::FetchPartition;
use millstream_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use millstream_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use millstream_protocol::request;
use uuid::Uuid;

use crate::api::context::Context;
use crate::api::dispatch::{Versions, encode};
use crate::api::error_map;
use crate::api::reply::{Next, Output, Reply};
use crate::replica::fetch_plan::{self, Limits, Part, Plan, Ready, Wanted};
use crate::replica::wait::Registration;

/// Versions served.
pub const SERVES: Versions = Versions::new(4, 18);

/// First version that names topics by id.
const TOPIC_IDS_FROM: i16 = 13;

/// One partition of the request: found, or its refusal.
enum Asked {
    Found(usize),
    Refused(PartitionData),
}

/// One topic of the request, in its order.
struct AskedTopic {
    name: TopicName,
    id: Uuid,
    partitions: Vec<(i32, Asked)>,
}

/// A fetch that may be looked at several times.
struct Fetch {
    topics: Vec<AskedTopic>,
    wanted: Vec<Wanted>,
    limits: Limits,
}

/// Handles the request: at once when enough is there, else later.
pub fn handle(context: &Context, body: Bytes, out: &mut Output) -> Reply {
    let request = match request::decode::<FetchRequest>(context.version(), body) {
        Ok(request) => request,
        Err(error) => {
            tracing::debug!(peer = %context.connection.peer, %error, "malformed fetch request");
            return Reply::Close("malformed request");
        }
    };
    if let Some(code) = refused_session(&request) {
        let response = FetchResponse::default().with_error_code(code as i16);
        return finish(context, &response, out);
    }
    let fetch = resolve(context, &request);
    let plan = fetch_plan::plan(&fetch.wanted, fetch.limits);
    let wait = Duration::from_millis(request.max_wait_ms.max(0) as u64);
    let refused = fetch.topics.iter().flat_map(|topic| &topic.partitions).any(|(_, asked)| matches!(asked, Asked::Refused(_)));
    if plan.ready == Ready::Now || wait.is_zero() || refused {
        return finish(context, &respond(&fetch, plan), out);
    }
    let context = context.clone();
    let answer = Box::pin(async move {
        let plan = await_bytes(&fetch, wait).await;
        let mut out = Output::default();
        match finish(&context, &respond(&fetch, plan), &mut out) {
            Reply::Done => Some(out),
            Reply::Later { .. } | Reply::Silent | Reply::Close(_) => None,
        }
    });
    Reply::Later { answer, next: Next::Wait }
}

/// Without a session cache only a full fetch, or the closing of a session, makes sense (Java: `FetchManager`).
fn refused_session(request: &FetchRequest) -> Option<ErrorCode> {
    match (request.session_id, request.session_epoch) {
        (0, 0 | -1) | (_, -1) => None,
        (0, _) => Some(ErrorCode::InvalidFetchSessionEpoch),
        _ => Some(ErrorCode::FetchSessionIdNotFound),
    }
}

fn resolve(context: &Context, request: &FetchRequest) -> Fetch {
    let isolation = match request.isolation_level {
        _ if request.replica_id.0 >= 0 || request.replica_state.replica_id.0 >= 0 => Isolation::LogEnd,
        1 => Isolation::Committed,
        _ => Isolation::HighWatermark,
    };
    let largest = context.node.config.number("fetch.max.bytes").max(0);
    let bytes_max = i64::from(request.max_bytes).clamp(0, largest) as usize;
    let bytes_min = (request.min_bytes.max(0) as usize).min(bytes_max);
    let mut wanted = Vec::new();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|data| {
            let asked = match find(context, &topic.topic, topic.topic_id, data) {
                Ok(one) => {
                    wanted.push(one);
                    Asked::Found(wanted.len() - 1)
                }
                Err(code) => Asked::Refused(refusal(data.partition, code)),
            };
            (data.partition, asked)
        });
        AskedTopic { name: topic.topic.clone(), id: topic.topic_id, partitions: partitions.collect() }
    });
    let topics = topics.collect();
    Fetch { topics, wanted, limits: Limits { isolation, bytes_max, bytes_min } }
}

fn find(context: &Context, name: &TopicName, id: Uuid, data: &FetchPartition) -> Result<Wanted, ErrorCode> {
    let partitions = &context.node.partitions;
    let found = if context.version() >= TOPIC_IDS_FROM {
        if partitions.topic_name(id).is_none() {
            return Err(ErrorCode::UnknownTopicId);
        }
        partitions.partition_by_id(id, data.partition)
    } else {
        partitions.partition(name, data.partition)
    };
    Ok(Wanted {
        partition: found.ok_or(ErrorCode::UnknownTopicOrPartition)?,
        offset: data.fetch_offset,
        current_leader_epoch: data.current_leader_epoch,
        last_fetched_epoch: data.last_fetched_epoch,
        bytes_max: data.partition_max_bytes.max(0) as usize,
    })
}

/// Looks again at each change until there is enough or the time is up.
async fn await_bytes(fetch: &Fetch, wait: Duration) -> Plan {
    let registration = Registration::new(&fetch.wanted);
    let deadline = Moment::now().after(wait).instant().into();
    loop {
        registration.register();
        let plan = fetch_plan::plan(&fetch.wanted, fetch.limits);
        if plan.ready == Ready::Now {
            return plan;
        }
        if tokio::time::timeout_at(deadline, registration.changed()).await.is_err() {
            return fetch_plan::plan(&fetch.wanted, fetch.limits);
        }
    }
}

fn respond(fetch: &Fetch, plan: Plan) -> FetchResponse {
    let mut parts: Vec<Option<Part>> = plan.parts.into_iter().map(Some).collect();
    let topics = fetch.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|(index, asked)| match asked {
            Asked::Refused(refused) => refused.clone(),
            Asked::Found(place) => match parts[*place].take() {
                Some(part) => partition_data(*index, part, &fetch.wanted[*place]),
                None => refusal(*index, ErrorCode::UnknownServerError),
            },
        });
        FetchableTopicResponse::default()
            .with_topic(topic.name.clone())
            .with_topic_id(topic.id)
            .with_partitions(partitions.collect())
    });
    FetchResponse::default().with_responses(topics.collect())
}

fn refusal(index: i32, code: ErrorCode) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_error_code(code as i16)
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_records(Some(Bytes::new()))
}

fn partition_data(index: i32, part: Part, wanted: &Wanted) -> PartitionData {
    match part {
        Part::Read(read) => read_data(index, read),
        Part::Diverging { epoch, end_offset, read } => read_data(index, read)
            .with_diverging_epoch(EpochEndOffset::default().with_epoch(epoch).with_end_offset(end_offset)),
        Part::Failed(error) => {
            let code = error_map::replica(&error);
            let mut data = refusal(index, code);
            if let crate::replica::partition::ReplicaError::Read(ReadError::OffsetOutOfRange { .. }) = error {
                let offsets = wanted.partition.offsets();
                data.high_watermark = offsets.high_watermark;
                data.last_stable_offset = offsets.last_stable;
                data.log_start_offset = offsets.log_start;
            }
            if code == ErrorCode::NotLeaderOrFollower {
                let role = wanted.partition.role();
                data.current_leader = LeaderIdAndEpoch::default()
                    .with_leader_id(role.leader.into())
                    .with_leader_epoch(role.leader_epoch);
            }
            data
        }
    }
}

fn read_data(index: i32, read: ReadResult) -> PartitionData {
    let records = match &read.slice {
        Some(slice) => match slice.bytes() {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                tracing::error!(%error, "a segment could not be read");
                return refusal(index, ErrorCode::KafkaStorageError);
            }
        },
        None => Bytes::new(),
    };
    let aborted = read.aborted.map(|list| {
        list.iter()
            .map(|one| {
                AbortedTransaction::default()
                    .with_producer_id(one.producer_id.into())
                    .with_first_offset(one.first_offset)
            })
            .collect()
    });
    PartitionData::default()
        .with_partition_index(index)
        .with_high_watermark(read.offsets.high_watermark)
        .with_last_stable_offset(read.offsets.last_stable)
        .with_log_start_offset(read.offsets.log_start)
        .with_aborted_transactions(aborted)
        .with_records(Some(records))
}

fn finish(context: &Context, response: &FetchResponse, out: &mut Output) -> Reply {
    match encode(context, response, out) {
        Ok(()) => Reply::Done,
        Err(reason) => Reply::Close(reason),
    }
}
