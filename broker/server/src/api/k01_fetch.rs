//! Fetch (key 1), v4-v18. Answers with batches of the partitions that this broker leads.
//! Versions: v5 log start offset; v7 sessions (KIP-227); v9 epoch fencing (KIP-320); v10 zstd; v11 rack (KIP-392);
//! v12 flexible, divergence (KIP-595); v13 topic ids (KIP-516); v16 node endpoints (KIP-951); v18 high watermark.
//! Authorizes: Read on Topic.   Waits: until min bytes are there, at most max wait.
//! Not done: followers (replica ids) beyond reading to the log's end; nearest-replica reads, as there is one replica.

use std::time::Duration;

use bytes::Bytes;
use millstream_base_env::clock::Moment;
use millstream_broker_log::{Isolation, Reading, Slice};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::fetch_response::{FetchWriter, Head, PartitionHead, Piece};
use millstream_protocol::messages::FetchRequest;
use millstream_protocol::request;

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::error_map;
use crate::api::fetch_session::{self, Asked, Kind, NO_SESSION, Opened, Told};
use crate::api::reply::{Next, Output, Reply};
use crate::replica::fetch_plan::{self, Limits, Part, Plan, Ready, Wanted};
use crate::replica::partition::ReplicaError;
use crate::replica::wait::Registration;

/// Versions served.
pub const SERVES: Versions = Versions::new(4, 18);

/// First version that can say that a log diverged.
const DIVERGENCE_FROM: i16 = 12;
/// First version that names topics by id.
const TOPIC_IDS_FROM: i16 = 13;

/// A fetch that may be looked at several times.
struct Fetch {
    kind: Kind,
    asked: Vec<Asked>,
    /// By partition asked for: its place among those wanted, or its refusal.
    found: Vec<Result<usize, ErrorCode>>,
    wanted: Vec<Wanted>,
    limits: Limits,
    /// The request, where its version may be too old for what its session has to say.
    older: Option<FetchRequest>,
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
    let odd = (!matches!(request.isolation_level, 0 | 1)).then(|| request.clone());
    let is_older = context.version() < DIVERGENCE_FROM && request.session_epoch > 0;
    let older = is_older.then(|| request.clone());
    let limits = limits(context, &request);
    let wait = Duration::from_millis(request.max_wait_ms.max(0) as u64);
    let now_ms = context.node.clock.now_ms();
    if !fetch_session::is_possible(request.session_id) {
        refuse_all(context, &request, ErrorCode::UnknownServerError, out);
        return Reply::Done;
    }
    let opened = match context
        .node
        .fetch_sessions
        .open(request, context.version(), now_ms, &|id| context.node.partitions.topic_name(id))
    {
        Ok(opened) => opened,
        Err(code) => {
            let head =
                Head { correlation_id: context.header.correlation_id, error_code: code as i16, ..Head::default() };
            emit(FetchWriter::new(context.version(), head, 0), Vec::new(), out);
            return Reply::Done;
        }
    };
    let fetch = Fetch { older, ..resolve(context, opened, limits) };
    // Java looks at the isolation level only when there is something to read.
    if let Some(request) = odd.filter(|_| !fetch.wanted.is_empty()) {
        refuse_all(context, &request, ErrorCode::UnknownServerError, out);
        return Reply::Done;
    }
    let plan = fetch_plan::plan(&fetch.wanted, fetch.limits, Reading::InMemory);
    if plan.ready == Ready::Now || plan.ready == Ready::Wait && wait.is_zero() {
        write(context, fetch, plan, out);
        return Reply::Done;
    }
    let context = context.clone();
    let answer = Box::pin(async move {
        let plan = await_bytes(&fetch, wait).await;
        let mut out = Output::default();
        write(&context, fetch, plan, &mut out);
        Some(out)
    });
    Reply::Later { answer, next: Next::Wait }
}

/// What an exception outside of any partition answers (Java: `FetchRequest.getErrorResponse`).
fn refuse_all(context: &Context, request: &FetchRequest, code: ErrorCode, out: &mut Output) {
    let head = Head {
        correlation_id: context.header.correlation_id,
        error_code: code as i16,
        session_id: request.session_id,
        ..Head::default()
    };
    // From v13 on the error of the answer as a whole is enough.
    let topics = if context.version() < TOPIC_IDS_FROM { &request.topics[..] } else { &[] };
    let mut writer = FetchWriter::new(context.version(), head, topics.len());
    for topic in topics {
        writer.topic(&topic.topic, topic.topic_id, topic.partitions.len());
        for partition in &topic.partitions {
            writer.partition(&PartitionHead { aborted: Some(&[]), ..refusal(partition.partition, code) });
        }
        writer.end_topic();
    }
    emit(writer, Vec::new(), out);
}

fn limits(context: &Context, request: &FetchRequest) -> Limits {
    let isolation = match request.isolation_level {
        _ if request.replica_id.0 >= 0 || request.replica_state.replica_id.0 >= 0 => Isolation::LogEnd,
        1 => Isolation::Committed,
        _ => Isolation::HighWatermark,
    };
    let served_max = i32::try_from(context.node.limits.fetch_max_bytes).unwrap_or(i32::MAX);
    let bytes_max = request.max_bytes.min(served_max);
    Limits { isolation, bytes_max, bytes_min: request.min_bytes.min(bytes_max).max(0) as usize }
}

fn resolve(context: &Context, opened: Opened, limits: Limits) -> Fetch {
    let mut wanted = Vec::with_capacity(opened.asked.len());
    let mut found = Vec::with_capacity(opened.asked.len());
    for asked in &opened.asked {
        found.push(find(context, asked).map(|one| {
            wanted.push(one);
            wanted.len() - 1
        }));
    }
    Fetch { kind: opened.kind, asked: opened.asked, found, wanted, limits, older: None }
}

fn find(context: &Context, asked: &Asked) -> Result<Wanted, ErrorCode> {
    let partitions = &context.node.partitions;
    let data = &asked.data;
    let (topic, topic_id) = if context.version() >= TOPIC_IDS_FROM {
        (asked.name.as_deref().ok_or(ErrorCode::UnknownTopicId)?, Some(asked.topic_id))
    } else {
        (asked.topic.as_str(), None)
    };
    let found = partitions.partition(topic, data.partition);
    Ok(Wanted {
        topic_id,
        partition: found.ok_or_else(|| error_map::absent(partitions.absent(topic, data.partition)))?,
        offset: data.fetch_offset,
        current_leader_epoch: data.current_leader_epoch.max(-1),
        last_fetched_epoch: data.last_fetched_epoch,
        bytes_max: data.partition_max_bytes,
    })
}

/// Looks again at each change until there is enough or the time is up.
async fn await_bytes(fetch: &Fetch, wait: Duration) -> Plan {
    let mut registration = Registration::new(&fetch.wanted);
    let deadline = Moment::now().after(wait).instant().into();
    loop {
        registration.mark();
        let plan = fetch_plan::plan_loaded(&fetch.wanted, fetch.limits).await;
        if plan.ready == Ready::Now {
            return plan;
        }
        if tokio::time::timeout_at(deadline, registration.changed(plan.lacking)).await.is_err() {
            return fetch_plan::plan_loaded(&fetch.wanted, fetch.limits).await;
        }
    }
}

/// What the answer says of one partition.
struct Answer {
    head: PartitionHead<'static>,
    aborted: Option<Vec<(i64, i64)>>,
    records: Option<Slice>,
}

/// Writes the answer: heads into memory, records as ranges of their files.
fn write(context: &Context, fetch: Fetch, plan: Plan, out: &mut Output) {
    for (part, wanted) in plan.parts.iter().zip(&fetch.wanted) {
        let metrics = wanted.partition.metrics();
        match part {
            Part::Read(read) => metrics.fetched(read.slice.as_ref().map_or(0, |slice| slice.length as u64)),
            Part::Failed(_) => metrics.fetch_failed(),
            Part::Diverging { .. } => {}
        }
    }
    let answers: Vec<Answer> = fetch
        .asked
        .iter()
        .zip(&fetch.found)
        .map(|(asked, found)| match found {
            Ok(place) => answer(asked.data.partition, &plan.parts[*place], &fetch.wanted[*place]),
            // Before a partition is looked at, its list of aborted transactions is empty; after, it is null.
            Err(code) => {
                Answer { head: refusal(asked.data.partition, *code), aborted: Some(Vec::new()), records: None }
            }
        })
        .collect();
    // What was read stands first, then unknown ids, then the other refusals; only neighbours share a topic's entry
    // (Java: the order in which `KafkaApis.handleFetchRequest` puts them aside). A new session keeps this order.
    let mut shown: Vec<usize> = (0..answers.len()).collect();
    shown.sort_by_key(|place| match fetch.found[*place] {
        Ok(_) => 0,
        Err(ErrorCode::UnknownTopicId) => 1,
        Err(_) => 2,
    });
    let sessions = &context.node.fetch_sessions;
    let told: Vec<Told> = answers.iter().map(|answer| told(&answer.head)).collect();
    let (session_id, named) = match fetch.kind {
        Kind::Sessionless => (NO_SESSION, None),
        Kind::Full => {
            let now_ms = context.node.clock.now_ms();
            let asked = shown.iter().map(|place| fetch.asked[*place].clone()).collect();
            let told: Vec<Told> = shown.iter().map(|place| told[*place]).collect();
            (sessions.create(asked, &told, context.version(), now_ms), None)
        }
        Kind::Incremental(id) => (id, Some(sessions.changed(id, &told))),
    };
    // Only a session that a newer version began knows the epochs that lead here.
    if let Some(request) = fetch.older.filter(|_| answers.iter().any(|answer| answer.head.diverging.is_some())) {
        return refuse_all(context, &request, ErrorCode::UnsupportedVersion, out);
    }
    shown.retain(|place| named.as_ref().is_none_or(|named| named[*place]));
    let same_topic = |left: &usize, right: &usize| {
        let (left, right) = (&fetch.asked[*left], &fetch.asked[*right]);
        left.topic_id == right.topic_id && left.topic == right.topic
    };
    let head = Head { correlation_id: context.header.correlation_id, session_id, ..Head::default() };
    let mut writer = FetchWriter::new(context.version(), head, shown.chunk_by(same_topic).count());
    let mut records = Vec::new();
    for topic in shown.chunk_by(same_topic) {
        let asked = &fetch.asked[topic[0]];
        writer.topic(&asked.topic, asked.topic_id, topic.len());
        for place in topic {
            let answer = &answers[*place];
            writer.partition(&PartitionHead { aborted: answer.aborted.as_deref(), ..answer.head });
            records.extend(answer.records.clone());
        }
        writer.end_topic();
    }
    emit(writer, records, out);
}

fn emit(writer: FetchWriter, records: Vec<Slice>, out: &mut Output) {
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

fn told(head: &PartitionHead<'_>) -> Told {
    Told {
        high_watermark: head.high_watermark,
        log_start_offset: head.log_start_offset,
        records_length: head.records_length,
        error_code: head.error_code,
        special: head.diverging.is_some() || head.preferred_read_replica >= 0,
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

fn answer(index: i32, part: &Part, wanted: &Wanted) -> Answer {
    let (read, diverging) = match part {
        Part::Read(read) => (read, None),
        Part::Diverging { epoch, end_offset, read } => (read, Some((*epoch, *end_offset))),
        Part::Failed(error) => {
            return Answer { head: failure(index, error, wanted), aborted: None, records: None };
        }
    };
    let records = read.slice.clone().filter(|slice| slice.length > 0);
    let head = PartitionHead {
        high_watermark: read.offsets.high_watermark,
        last_stable_offset: read.offsets.last_stable,
        log_start_offset: read.offsets.log_start,
        diverging,
        records_length: records.as_ref().map_or(0, |slice| slice.length),
        ..refusal(index, ErrorCode::None)
    };
    let aborted =
        read.aborted.as_ref().map(|list| list.iter().map(|one| (one.producer_id, one.first_offset)).collect());
    Answer { head, aborted, records }
}

fn failure(index: i32, error: &ReplicaError, wanted: &Wanted) -> PartitionHead<'static> {
    let code = error_map::replica(error);
    let mut head = refusal(index, code);
    if code == ErrorCode::NotLeaderOrFollower {
        let role = wanted.partition.role();
        head.current_leader = Some((role.leader, role.leader_epoch));
    }
    head
}
