//! Produce (key 0), v3-v13. Appends batches to partitions that this broker leads.
//! Versions: v7 zstd (KIP-110); v8 record errors (KIP-467); v9 flexible; v10 current leader (KIP-951); v12 implicit
//! partitions of transactions (KIP-890); v13 topic ids (KIP-516).
//! Authorizes: Write on Topic, Write on TransactionalId.
//! Waits: with flush.messages, until the records are on disk; a transactional batch, until its coordinator agrees.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use millstream_base_env::task;
use millstream_broker_log::{AppendError, AppendInfo, AppendOrigin, FlushDue, RecordError, VerificationGuard};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse,
};
use millstream_protocol::messages::{ProduceRequest, ProduceResponse, StrBytes, TopicName, TransactionalId};
use millstream_protocol::produce_view::{Accepted, ProduceOne, TopicRef};
use millstream_protocol::request;
use uuid::Uuid;

use crate::api::context::Context;
use crate::api::dispatch::{Versions, encode};
use crate::api::error_map;
use crate::api::produce_check::{
    self, Checked, Kind, Overruled, TOPIC_IDS_FROM, check_records, transactional_producer,
};
use crate::api::reply::{Next, Output, Reply};
use crate::coord::internal_topics;
use crate::coord::verify::{self, Claim, Denied};
use crate::replica::partition::{Acks, Partition, ReplicaError};

/// Versions served.
pub const SERVES: Versions = Versions::new(3, 13);

/// One partition of the request on its way into the log.
struct Entry {
    partition: Arc<Partition>,
    records: Bytes,
    acks: Acks,
    origin: AppendOrigin,
}

/// What the answer says of one partition, and whether a sync is due first.
struct Appended {
    response: PartitionProduceResponse,
    flush: Option<(Arc<Partition>, i64)>,
}

/// From this size on a request is handled where it holds up no other connection: it is checked byte for byte.
const LARGE_BYTES: usize = 1 << 20;
/// The same of a batch that is compressed, and may be many times as large in plain form, or that will be.
const LARGE_COMPRESSED_BYTES: usize = 32 << 10;

/// Handles the request; everything that waits for nothing is appended and answered before this returns. A large one
/// keeps its place in the order of the connection, but not its thread.
pub fn handle(context: &Context, body: Bytes, out: &mut Output) -> Reply {
    if body.len() >= LARGE_BYTES {
        return task::in_place(|| handle_sized(context, body, out));
    }
    handle_sized(context, body, out)
}

fn handle_sized(context: &Context, body: Bytes, out: &mut Output) -> Reply {
    match handle_one(context, &body, out) {
        Some(reply) => reply,
        None => handle_any(context, body, out),
    }
}

/// What producers send most and what goes well most times: one batch for one partition, no transaction, acks that
/// exist. `None` when the request is anything else; nothing has happened then.
fn handle_one(context: &Context, body: &[u8], out: &mut Output) -> Option<Reply> {
    let version = context.version();
    let one = ProduceOne::read(version, body)?;
    let acks = acks(one.acks)?;
    if !produce_check::is_usual(version, one.records) {
        return None;
    }
    let partitions = &context.node.partitions;
    let partition = match one.topic {
        TopicRef::Name(name) => partitions.partition(name, one.index)?,
        TopicRef::Id(id) => partitions.partition_by_id(id, one.index)?,
    };
    if !may_append(context, &partition) {
        return None;
    }
    let appended = append_to(&partition, one.records, acks, AppendOrigin::Client, VerificationGuard::NONE);
    if let Ok(info) = &appended
        && info.flush == FlushDue::No
    {
        if acks == Acks::None {
            return Some(Reply::Silent);
        }
        let accepted = Accepted {
            topic: one.topic,
            index: one.index,
            base_offset: info.first_offset,
            log_append_time_ms: info.log_append_time,
            log_start_offset: info.log_start_offset,
        };
        accepted.write(version, context.header.correlation_id, out.buffer());
        return Some(Reply::Done);
    }
    let Appended { response, flush } = outcome(&partition, one.index, appended);
    let mut topic = TopicProduceResponse::default().with_partition_responses(vec![response]);
    match one.topic {
        TopicRef::Name(name) => topic.name = TopicName(StrBytes::from_string(name.to_owned())),
        TopicRef::Id(id) => topic.topic_id = id,
    }
    let response = ProduceResponse::default().with_responses(vec![topic]);
    Some(respond_flushed(context, acks, response, flush.into_iter().collect(), out))
}

fn acks(number: i16) -> Option<Acks> {
    match number {
        -1 => Some(Acks::All),
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        _ => None,
    }
}

fn handle_any(context: &Context, body: Bytes, out: &mut Output) -> Reply {
    let request = match request::decode::<ProduceRequest>(context.version(), body) {
        Ok(request) => request,
        Err(error) => {
            tracing::debug!(peer = %context.connection.peer, %error, "malformed produce request");
            return Reply::Close("malformed request");
        }
    };
    let Checked { request, refused, overruled, kind } = produce_check::check(context, request);
    if let Some((code, message)) = refused {
        let response = answer(&request, |_, data| refusal(data.index, code, message.clone()));
        let acks = if request.acks == 0 { Acks::None } else { Acks::All };
        return respond(context, acks, response, out);
    }
    let acks = acks(request.acks);
    if let Kind::Transactional(transactional_id) = kind {
        return handle_transactional(context, request, transactional_id, overruled, acks);
    }
    let Some(acks) = acks else { return refuse_acks(context, &request, &overruled, out) };
    let mut flushes = Vec::new();
    let mut response = answer(&request, |topic, data| {
        let appended = match entry(context, topic, data, acks) {
            Ok(entry) => append(&entry, data.index, VerificationGuard::NONE),
            Err(refused) => Appended { response: *refused, flush: None },
        };
        flushes.extend(appended.flush);
        appended.response
    });
    overrule(&mut response, &overruled);
    respond_flushed(context, acks, response, flushes, out)
}

/// Answers once what must be on the disk is there.
fn respond_flushed(
    context: &Context,
    acks: Acks,
    response: ProduceResponse,
    flushes: Vec<(Arc<Partition>, i64)>,
    out: &mut Output,
) -> Reply {
    if flushes.is_empty() {
        return respond(context, acks, response, out);
    }
    let context = context.clone();
    let answer = Box::pin(async move {
        let response = flush_all(flushes, response).await;
        let mut out = Output::default();
        match respond(&context, acks, response, &mut out) {
            Reply::Done | Reply::Silent => Some(out),
            Reply::Later { .. } | Reply::Close(_) => None,
        }
    });
    Reply::Later { answer, next: Next::Produce }
}

/// Acks that do not exist are found last, by partition (Java: `ReplicaManager.appendRecords`).
fn refuse_acks(context: &Context, request: &ProduceRequest, overruled: &[Overruled], out: &mut Output) -> Reply {
    let mut refused = answer(request, |topic, data| match entry(context, topic, data, Acks::All) {
        Ok(_) => refusal(data.index, ErrorCode::InvalidRequiredAcks, None),
        Err(refused) => *refused,
    });
    overrule(&mut refused, overruled);
    respond(context, Acks::All, refused, out)
}

/// Puts what is wrong in one mention of a partition over what came of another.
fn overrule(response: &mut ProduceResponse, overruled: &[Overruled]) {
    for one in overruled {
        let answer = &mut response.responses[one.topic].partition_responses[one.partition];
        // A partition that does not exist is not looked into.
        if !matches!(
            ErrorCode::from_code(answer.error_code),
            Some(ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition)
        ) {
            *answer = refusal(answer.index, one.code, None);
        }
    }
}

/// Goes through the request partition by partition and collects what `each` answers.
fn answer(
    request: &ProduceRequest,
    mut each: impl FnMut(&TopicProduceData, &PartitionProduceData) -> PartitionProduceResponse,
) -> ProduceResponse {
    let topics = request.topic_data.iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|data| each(topic, data)).collect();
        TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partition_responses(partitions)
    });
    ProduceResponse::default().with_responses(topics.collect())
}

fn refusal(index: i32, code: ErrorCode, message: Option<String>) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(code as i16)
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_error_message(message.map(StrBytes::from_string))
}

/// Finds the partition and checks what the version asks of its records.
fn entry(
    context: &Context,
    topic: &TopicProduceData,
    data: &PartitionProduceData,
    acks: Acks,
) -> Result<Entry, Box<PartitionProduceResponse>> {
    let refuse = |code| Box::new(refusal(data.index, code, None));
    let partitions = &context.node.partitions;
    let found = if context.version() >= TOPIC_IDS_FROM {
        if partitions.topic_name(topic.topic_id).is_none() {
            return Err(refuse(ErrorCode::UnknownTopicId));
        }
        partitions
            .partition_by_id(topic.topic_id, data.index)
            .ok_or_else(|| partitions.absent_by_id(topic.topic_id, data.index))
    } else {
        partitions.partition(&topic.name, data.index).ok_or_else(|| partitions.absent(&topic.name, data.index))
    };
    let partition = found.map_err(|absent| refuse(error_map::absent(absent)))?;
    let records = data.records.clone().unwrap_or_default();
    if let Err(code) = check_records(context.version(), &records) {
        return Err(refuse(code));
    }
    if !may_append(context, &partition) {
        let message = format!("Cannot append to internal topic {}", partition.topic());
        return Err(Box::new(refusal(data.index, ErrorCode::InvalidTopicException, Some(message))));
    }
    Ok(Entry { partition, records, acks, origin: AppendOrigin::Client })
}

/// Internal topics take records of Java's own admin client alone.
fn may_append(context: &Context, partition: &Partition) -> bool {
    !internal_topics::is_internal(partition.topic()) || context.client_id() == "__admin_client"
}

fn append(entry: &Entry, index: i32, verification: VerificationGuard) -> Appended {
    let appended = append_to(&entry.partition, &entry.records, entry.acks, entry.origin, verification);
    outcome(&entry.partition, index, appended)
}

fn append_to(
    partition: &Partition,
    records: &[u8],
    acks: Acks,
    origin: AppendOrigin,
    verification: VerificationGuard,
) -> Result<AppendInfo, ReplicaError> {
    if records.len() >= LARGE_COMPRESSED_BYTES && (produce_check::is_compressed(records) || partition.has_codec()) {
        return task::in_place(|| partition.append(records, acks, origin, verification));
    }
    partition.append(records, acks, origin, verification)
}

fn outcome(partition: &Arc<Partition>, index: i32, appended: Result<AppendInfo, ReplicaError>) -> Appended {
    match appended {
        Ok(info) => {
            let due = info.flush == FlushDue::Now;
            Appended { response: accepted(index, &info), flush: due.then(|| (partition.clone(), info.last_offset + 1)) }
        }
        Err(error) => Appended { response: refused(index, partition, &error), flush: None },
    }
}

fn accepted(index: i32, info: &AppendInfo) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(info.first_offset)
        .with_log_append_time_ms(info.log_append_time)
        .with_log_start_offset(info.log_start_offset)
}

/// Only errors about single records carry a text (Java: `LogAppendResult.errorMessage`).
fn refused(index: i32, partition: &Partition, error: &ReplicaError) -> PartitionProduceResponse {
    let code = error_map::replica(error);
    let (message, record_errors): (Option<String>, &[RecordError]) = match error {
        ReplicaError::Append(
            AppendError::InvalidRecord { message, record_errors }
            | AppendError::InvalidTimestamp { message, record_errors },
        ) if !record_errors.is_empty() => (Some(message.clone()), record_errors),
        _ => (None, &[]),
    };
    let mut response = refusal(index, code, message);
    if tells_log_start(error) {
        response.log_start_offset = partition.offsets().log_start;
    }
    response.record_errors = record_errors
        .iter()
        .map(|error| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(error.batch_index)
                .with_batch_index_error_message(Some(StrBytes::from_string(error.message.clone())))
        })
        .collect();
    if code == ErrorCode::NotLeaderOrFollower {
        let role = partition.role();
        response.current_leader =
            LeaderIdAndEpoch::default().with_leader_id(role.leader.into()).with_leader_epoch(role.leader_epoch);
    }
    response
}

/// Errors that Java does not expect, which is most of what is wrong in a batch, come with the log's start
/// (`ReplicaManager.appendRecordsToLeader`).
fn tells_log_start(error: &ReplicaError) -> bool {
    !matches!(
        error,
        ReplicaError::Append(
            AppendError::CorruptMessage(_)
                | AppendError::MessageTooLarge { .. }
                | AppendError::RecordListTooLarge { .. }
                | AppendError::Storage(_),
        ) | ReplicaError::NotLeader
    )
}

/// acks=0 is not answered; on an error the connection is closed, so that the producer asks for metadata again.
fn respond(context: &Context, acks: Acks, response: ProduceResponse, out: &mut Output) -> Reply {
    if acks == Acks::None {
        let failed = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses)
            .any(|partition| partition.error_code != 0);
        return if failed { Reply::Close("an error in a produce request with acks=0") } else { Reply::Silent };
    }
    match encode(context, &response, out) {
        Ok(()) => Reply::Done,
        Err(reason) => Reply::Close(reason),
    }
}

/// Syncs every log that asks for it; a failure turns the partition's answer into KAFKA_STORAGE_ERROR.
async fn flush_all(flushes: Vec<(Arc<Partition>, i64)>, mut response: ProduceResponse) -> ProduceResponse {
    for (partition, offset) in flushes {
        if partition.flushed_to(offset).await.is_ok() {
            continue;
        }
        let topic = partition.topic().clone();
        tracing::error!(%topic, partition = partition.index(), "a produced batch could not be synced");
        let of_topic = |one: &&mut TopicProduceResponse| **one.name == *topic || one.topic_id == partition.topic_id();
        for one in response.responses.iter_mut().filter(of_topic) {
            for answer in one.partition_responses.iter_mut().filter(|answer| answer.index == partition.index()) {
                *answer = refusal(answer.index, ErrorCode::KafkaStorageError, None);
            }
        }
    }
    response
}

/// `acks` is none when the request names acks that do not exist: then nothing is appended, but the coordinator was
/// asked, and may have added partitions to the transaction.
fn handle_transactional(
    context: &Context,
    request: ProduceRequest,
    transactional_id: TransactionalId,
    overruled: Vec<Overruled>,
    acks: Option<Acks>,
) -> Reply {
    let context = context.clone();
    let answer = Box::pin(async move {
        let mut guards = verify_all(&context, &request, &transactional_id, acks.unwrap_or(Acks::All)).await;
        let mut append = || append_guarded(&context, &request, &mut guards, acks);
        let (mut response, flushes) =
            if records_bytes(&request) >= LARGE_BYTES { task::in_place(append) } else { append() };
        overrule(&mut response, &overruled);
        let response = flush_all(flushes, response).await;
        let mut out = Output::default();
        match respond(&context, acks.unwrap_or(Acks::All), response, &mut out) {
            Reply::Done | Reply::Silent => Some(out),
            Reply::Later { .. } | Reply::Close(_) => None,
        }
    });
    Reply::Later { answer, next: Next::Wait }
}

fn records_bytes(request: &ProduceRequest) -> usize {
    let parts = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    parts.map(|data| data.records.as_ref().map_or(0, Bytes::len)).sum()
}

/// Appends what the coordinator agreed to; answers what must be synced first, too.
fn append_guarded(
    context: &Context,
    request: &ProduceRequest,
    guards: &mut Guards,
    acks: Option<Acks>,
) -> (ProduceResponse, Vec<(Arc<Partition>, i64)>) {
    let mut flushes = Vec::new();
    let response = answer(request, |topic, data| {
        let appended = match entry(context, topic, data, acks.unwrap_or(Acks::All)) {
            Err(refused) => Appended { response: *refused, flush: None },
            Ok(entry) if acks.is_none() => {
                let denied = transactional_producer(&entry.records).and_then(|_| guards.take(&entry)?.err());
                let (code, message) = match denied {
                    Some(denied) => (denied.code, denied.message),
                    None => (ErrorCode::InvalidRequiredAcks, None),
                };
                Appended { response: refusal(data.index, code, message), flush: None }
            }
            Ok(entry) if transactional_producer(&entry.records).is_none() => {
                append(&entry, data.index, VerificationGuard::NONE)
            }
            Ok(entry) => match guards.take(&entry) {
                Some(Ok(guard)) => append(&entry, data.index, guard),
                Some(Err(denied)) => {
                    Appended { response: refusal(data.index, denied.code, denied.message), flush: None }
                }
                None => Appended { response: refusal(data.index, ErrorCode::NotEnoughReplicas, None), flush: None },
            },
        };
        flushes.extend(appended.flush);
        appended.response
    });
    (response, flushes)
}

/// What the coordinator said of each partition. By topic id, because a partition may go, or come anew under the same
/// name, while the coordinator is asked: no other's guard may fall to it.
#[derive(Default)]
struct Guards {
    by_partition: HashMap<(Uuid, i32), Result<VerificationGuard, Denied>>,
}

impl Guards {
    /// `None` for a partition that was not there when the coordinator was asked.
    fn take(&mut self, entry: &Entry) -> Option<Result<VerificationGuard, Denied>> {
        self.by_partition.remove(&place(&entry.partition))
    }
}

fn place(partition: &Partition) -> (Uuid, i32) {
    (partition.topic_id(), partition.index())
}

/// Asks the coordinator about every transactional batch that [`entry`] lets through.
async fn verify_all(context: &Context, request: &ProduceRequest, transactional_id: &str, acks: Acks) -> Guards {
    let mut claims = Vec::new();
    for topic in &request.topic_data {
        for data in &topic.partition_data {
            let Ok(entry) = entry(context, topic, data, acks) else { continue };
            if let Some((producer_id, producer_epoch, base_sequence)) = transactional_producer(&entry.records) {
                claims.push(Claim { partition: entry.partition, producer_id, producer_epoch, base_sequence });
            }
        }
    }
    if claims.is_empty() {
        return Guards::default();
    }
    let verdicts = verify::verify(&context.node, transactional_id, &claims, context.version()).await;
    Guards { by_partition: claims.iter().map(|claim| place(&claim.partition)).zip(verdicts).collect() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_base_env::{Clock, Disk, FaultyDisk};
    use millstream_broker_log::{LogConfig, LogDir};

    use super::*;
    use crate::replica::partition::Role;

    fn entry_of(dir: &Arc<LogDir>, topic: &str, topic_id: u128, index: i32) -> Entry {
        let id = Uuid::from_u128(topic_id);
        let log = dir.open_partition(topic, index, id, Arc::new(LogConfig::default())).expect("the disk is fresh");
        let one: Arc<[i32]> = Arc::from([1]);
        let role = Role { leader: 1, leader_epoch: 0, partition_epoch: 0, isr: one.clone(), replicas: one };
        let partition = Arc::new(Partition::new(topic.into(), id, index, 1, log, role, 1));
        Entry { partition, records: Bytes::new(), acks: Acks::All, origin: AppendOrigin::Client }
    }

    #[test]
    fn a_guard_goes_to_its_own_partition_though_another_is_gone() {
        let clock = Clock::manual(0);
        let dir = LogDir::open(Disk::Faulty(FaultyDisk::new(1)), clock, Path::new("/data")).expect("the disk is fresh");
        let entries = [entry_of(&dir, "gone", 1, 0), entry_of(&dir, "t", 2, 0), entry_of(&dir, "t", 2, 1)];
        let verdicts = (1..).map(|bits| Ok(VerificationGuard::from_bits(bits)));
        let mut guards =
            Guards { by_partition: entries.iter().map(|one| place(&one.partition)).zip(verdicts).collect() };
        assert_eq!(guards.take(&entries[1]), Some(Ok(VerificationGuard::from_bits(2))));
        assert_eq!(guards.take(&entries[2]), Some(Ok(VerificationGuard::from_bits(3))));
        assert_eq!(guards.take(&entry_of(&dir, "anew", 4, 0)), None, "nobody was asked about it");
    }
}
