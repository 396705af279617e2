//! Fetch (key 1), v4-v18. Answers with batches of the partitions that this broker leads.
//! Versions: v5 log start offset; v7 sessions (KIP-227); v9 epoch fencing (KIP-320); v10 zstd; v11 rack (KIP-392);
//! v12 flexible, divergence (KIP-595); v13 topic ids (KIP-516); v16 node endpoints (KIP-951); v18 high watermark.
//! Authorizes: Read on Topic.   Waits: until min bytes are there, at most max wait.
//! Not done: incremental sessions; every answer is a full one with session id 0, which clients take.

use std::time::Duration;

use bytes::Bytes;
use millstream_base_env::clock::Moment;
use millstream_broker_log::{Isolation, ReadError, Slice};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::fetch_response::{FetchWriter, Head, PartitionHead, Piece};
use millstream_protocol::messages::fetch_request::FetchPartition;
use millstream_protocol::messages::{FetchRequest, TopicName};
use millstream_protocol::request;
use uuid::Uuid;

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::error_map;
use crate::api::reply::{Next, Output, Reply};
use crate::replica::fetch_plan::{self, Limits, Part, Plan, Ready, Wanted};
use crate::replica::partition::ReplicaError;
use crate::replica::wait::Registration;

/// Versions served.
pub const SERVES: Versions = Versions::new(4, 18);

/// First version that names topics by id.
const TOPIC_IDS_FROM: i16 = 13;

/// One partition of the request: its place among those wanted, or its refusal.
enum Asked {
    Found(usize),
    Refused(ErrorCode),
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
        write(context, code, &[], &[], Plan::default(), out);
        return Reply::Done;
    }
    let fetch = resolve(context, &request);
    let plan = fetch_plan::plan(&fetch.wanted, fetch.limits);
    let wait = Duration::from_millis(request.max_wait_ms.max(0) as u64);
    let refused = fetch.topics.iter().flat_map(|topic| &topic.partitions).any(|(_, asked)| matches!(asked, Asked::Refused(_)));
    if plan.ready == Ready::Now || wait.is_zero() || refused {
        write(context, ErrorCode::None, &fetch.topics, &fetch.wanted, plan, out);
        return Reply::Done;
    }
    let context = context.clone();
    let answer = Box::pin(async move {
        let plan = await_bytes(&fetch, wait).await;
        let mut out = Output::default();
        write(&context, ErrorCode::None, &fetch.topics, &fetch.wanted, plan, &mut out);
        Some(out)
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
                Err(code) => Asked::Refused(code),
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

/// Writes the answer: heads into memory, records as ranges of their files.
fn write(context: &Context, code: ErrorCode, topics: &[AskedTopic], wanted: &[Wanted], plan: Plan, out: &mut Output) {
    let header = &context.header;
    let head = Head { correlation_id: header.correlation_id, error_code: code as i16, ..Head::default() };
    let mut writer = FetchWriter::new(header.api_version, head, topics.len());
    let mut records = Vec::new();
    for topic in topics {
        writer.topic(&topic.name, topic.id, topic.partitions.len());
        for (index, asked) in &topic.partitions {
            match asked {
                Asked::Refused(code) => writer.partition(&refusal(*index, *code)),
                Asked::Found(place) => {
                    records.extend(write_part(&mut writer, *index, &plan.parts[*place], &wanted[*place]));
                }
            }
        }
        writer.end_topic();
    }
    let mut records = records.into_iter();
    for piece in writer.finish(&[]) {
        match piece {
            Piece::Bytes(bytes) => out.buffer().extend_from_slice(&bytes),
            Piece::Records(_) => {
                if let Some(slice) = records.next() {
                    out.push_file(slice);
                }
            }
        }
    }
}

/// What a partition without data says.
fn refusal(index: i32, code: ErrorCode) -> PartitionHead<'static> {
    PartitionHead {
        index,
        error_code: code as i16,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        diverging: None,
        current_leader: None,
        aborted: None,
        preferred_read_replica: -1,
        records_length: 0,
    }
}

/// Writes one partition; answers the records that belong behind it.
fn write_part(writer: &mut FetchWriter, index: i32, part: &Part, wanted: &Wanted) -> Option<Slice> {
    let (read, diverging) = match part {
        Part::Read(read) => (read, None),
        Part::Diverging { epoch, end_offset, read } => (read, Some((*epoch, *end_offset))),
        Part::Failed(error) => {
            writer.partition(&failure(index, error, wanted));
            return None;
        }
    };
    let aborted: Option<Vec<(i64, i64)>> =
        read.aborted.as_ref().map(|list| list.iter().map(|one| (one.producer_id, one.first_offset)).collect());
    let slice = read.slice.as_ref().filter(|slice| slice.length > 0);
    writer.partition(&PartitionHead {
        high_watermark: read.offsets.high_watermark,
        last_stable_offset: read.offsets.last_stable,
        log_start_offset: read.offsets.log_start,
        diverging,
        aborted: aborted.as_deref(),
        records_length: slice.map_or(0, |slice| slice.length),
        ..refusal(index, ErrorCode::None)
    });
    slice.cloned()
}

fn failure(index: i32, error: &ReplicaError, wanted: &Wanted) -> PartitionHead<'static> {
    let code = error_map::replica(error);
    let mut head = refusal(index, code);
    if let ReplicaError::Read(ReadError::OffsetOutOfRange { .. }) = error {
        let offsets = wanted.partition.offsets();
        head.high_watermark = offsets.high_watermark;
        head.last_stable_offset = offsets.last_stable;
        head.log_start_offset = offsets.log_start;
    }
    if code == ErrorCode::NotLeaderOrFollower {
        let role = wanted.partition.role();
        head.current_leader = Some((role.leader, role.leader_epoch));
    }
    head
}
