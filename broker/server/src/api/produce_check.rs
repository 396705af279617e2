//! What stands between a Produce request's bytes and its appends: what refuses it as a whole, and partitions that it
//! names twice.
//!
//! Called by k00_produce.rs before anything is appended. It looks at headers of batches and never into records.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::produce_request::TopicProduceData;
use millstream_protocol::messages::{ProduceRequest, TransactionalId};

use crate::api::context::Context;

/// First version that names topics by id.
pub const TOPIC_IDS_FROM: i16 = 13;
/// First version that takes zstd.
const ZSTD_FROM: i16 = 7;
/// The number of zstd; behind it stands no codec.
const ZSTD: u8 = 4;

/// Smallest batch of any format, without its first twelve bytes.
const SMALLEST_BATCH: i32 = 14;
const MAGIC_AT: usize = 16;
const BATCH_HEADER: usize = 61;
/// The byte of the attributes that holds the codec and the transactional bit.
const ATTRIBUTES_AT: usize = 22;

/// A request that was looked over.
pub struct Checked {
    /// Every partition once.
    pub request: ProduceRequest,
    /// Why all of it is refused.
    pub refused: Option<(ErrorCode, Option<String>)>,
    /// What some partitions answer whatever becomes of their records.
    pub overruled: Vec<Overruled>,
    /// Whether a coordinator is to be asked.
    pub kind: Kind,
}

/// What the records of a request are.
pub enum Kind {
    /// Of no transaction.
    Plain,
    /// At least one batch belongs to a transaction of this id.
    Transactional(TransactionalId),
}

/// A partition that the request names twice, once with records that are refused.
pub struct Overruled {
    /// Its topic's place in the request.
    pub topic: usize,
    /// Its place in the topic.
    pub partition: usize,
    /// What it answers.
    pub code: ErrorCode,
}

/// Looks a request over, in the order of Java's `KafkaApis.handleProduceRequest`.
pub fn check(context: &Context, request: ProduceRequest) -> Checked {
    let mut refused = unreadable(&request).map(|reason| (ErrorCode::CorruptMessage, Some(reason)));
    let mut kind = Kind::Plain;
    if refused.is_none() && is_transactional(&request) {
        match &request.transactional_id {
            Some(id) => kind = Kind::Transactional(id.clone()),
            None => refused = Some((ErrorCode::TransactionalIdAuthorizationFailed, None)),
        }
    }
    if refused.is_none() && has_unknown_codec(context, &request) {
        refused = Some((ErrorCode::UnknownServerError, None));
    }
    let (request, overruled) = each_once(context.version(), request);
    Checked { request, refused, overruled, kind }
}

/// What Java stumbles over when it looks for a transactional batch, before it looks at any partition: then all of them
/// are refused (`RequestUtils.hasTransactionalRecords`).
fn unreadable(request: &ProduceRequest) -> Option<String> {
    for data in request.topic_data.iter().flat_map(|topic| &topic.partition_data) {
        let records = data.records.as_deref().unwrap_or_default();
        match next_batch(records) {
            Err(reason) => return Some(reason),
            Ok(Some(_)) if transactional_producer(records).is_some() => return None,
            Ok(_) => {}
        }
    }
    None
}

/// How long the batch at the front is; none when it is not there to its end, an error when it can be none (Java:
/// `ByteBufferLogInputStream.nextBatch`).
fn next_batch(records: &[u8]) -> Result<Option<usize>, String> {
    let Some(length) = records.get(8..12).and_then(|raw| raw.first_chunk::<4>()) else { return Ok(None) };
    let size = i32::from_be_bytes(*length);
    if size < SMALLEST_BATCH {
        return Err(format!("Record size {size} is less than the minimum record overhead ({SMALLEST_BATCH})"));
    }
    match records.get(MAGIC_AT).map(|magic| *magic as i8) {
        None => Ok(None),
        Some(magic) if !(0..=2).contains(&magic) => Err(format!("Invalid magic found in record: {magic}")),
        Some(_) => Ok(usize::try_from(size).ok().map(|size| 12 + size).filter(|end| records.len() >= *end)),
    }
}

/// Below v7 Java asks every batch for its codec, and a number that is none breaks the whole request.
fn has_unknown_codec(context: &Context, request: &ProduceRequest) -> bool {
    let partitions = &context.node.partitions;
    context.version() < ZSTD_FROM
        && request.topic_data.iter().any(|topic| {
            topic.partition_data.iter().any(|data| {
                let records = data.records.as_deref().unwrap_or_default();
                matches!(next_batch(records), Ok(Some(BATCH_HEADER..)))
                    && records[MAGIC_AT] == 2
                    && records[ATTRIBUTES_AT] & 7 > ZSTD
                    && partitions.partition(&topic.name, data.index).is_some()
            })
        })
}

/// A partition named twice counts once, with the good records that came last; refused records among them are what it
/// answers. A topic named twice is answered once (Java: maps by partition).
fn each_once(version: i16, mut request: ProduceRequest) -> (ProduceRequest, Vec<Overruled>) {
    let ascending =
        |topic: &TopicProduceData| topic.partition_data.is_sorted_by(|left, right| left.index < right.index);
    let mut overruled = Vec::new();
    // What clients send costs no map.
    if let [topic] = &request.topic_data[..]
        && ascending(topic)
    {
        return (request, overruled);
    }
    let mut places = HashMap::new();
    let mut topics: Vec<TopicProduceData> = Vec::with_capacity(request.topic_data.len());
    for topic in std::mem::take(&mut request.topic_data) {
        let key = (topic.name.clone(), topic.topic_id);
        let (place, seen) = places.entry(key).or_insert_with(|| {
            let empty = TopicProduceData::default().with_name(topic.name.clone()).with_topic_id(topic.topic_id);
            topics.push(empty);
            (topics.len() - 1, HashMap::new())
        });
        let partitions = &mut topics[*place].partition_data;
        for data in topic.partition_data {
            let known = match seen.entry(data.index) {
                Place::Vacant(first) => {
                    first.insert(partitions.len());
                    partitions.push(data);
                    continue;
                }
                Place::Occupied(known) => *known.get(),
            };
            let verdict = |records: &Option<_>| check_records(version, records.as_deref().unwrap_or_default());
            let (before, now) = (verdict(&partitions[known].records), verdict(&data.records));
            if let (Ok(()), Err(code)) | (Err(code), Ok(())) = (before, now) {
                overruled.push(Overruled { topic: *place, partition: known, code });
            }
            if now.is_ok() || before.is_err() {
                partitions[known] = data;
            }
        }
    }
    request.topic_data = topics;
    (request, overruled)
}

/// Exactly one batch of magic 2, no zstd below v7 (Java: `ProduceRequest.validateRecords`); a second one that is cut
/// does not count. What is wrong inside the batch the log finds.
pub fn check_records(version: i16, records: &[u8]) -> Result<(), ErrorCode> {
    let corrupt = |_| ErrorCode::CorruptMessage;
    let Some(end) = next_batch(records).map_err(corrupt)? else { return Err(ErrorCode::InvalidRecord) };
    if records[MAGIC_AT] != 2 {
        return Err(ErrorCode::InvalidRecord);
    }
    if version < ZSTD_FROM && end >= BATCH_HEADER && records[ATTRIBUTES_AT] & 7 == ZSTD {
        return Err(ErrorCode::UnsupportedCompressionType);
    }
    match next_batch(&records[end..]).map_err(corrupt)? {
        Some(_) => Err(ErrorCode::InvalidRecord),
        None => Ok(()),
    }
}

/// Whether nothing in front of the log has anything to say of these records: one whole batch of magic 2 with a codec that
/// exists, of no transaction.
pub fn is_usual(version: i16, records: &[u8]) -> bool {
    records.len() >= BATCH_HEADER
        && next_batch(records) == Ok(Some(records.len()))
        && records[ATTRIBUTES_AT] & 7 <= ZSTD
        && check_records(version, records).is_ok()
        && transactional_producer(records).is_none()
}

/// Whether the first batch is compressed.
pub fn is_compressed(records: &[u8]) -> bool {
    records.get(ATTRIBUTES_AT).is_some_and(|attributes| attributes & 7 != 0)
}

fn is_transactional(request: &ProduceRequest) -> bool {
    request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data)
        .any(|data| data.records.as_deref().is_some_and(|records| transactional_producer(records).is_some()))
}

/// Producer id, epoch and base sequence of a transactional batch.
pub fn transactional_producer(records: &[u8]) -> Option<(i64, i16, i32)> {
    const TRANSACTIONAL: u8 = 0x10;
    let header = records.first_chunk::<61>()?;
    let producer_id = i64::from_be_bytes(*header[43..].first_chunk()?);
    let producer_epoch = i16::from_be_bytes(*header[51..].first_chunk()?);
    let base_sequence = i32::from_be_bytes(*header[53..].first_chunk()?);
    (header[ATTRIBUTES_AT] & TRANSACTIONAL != 0 && producer_id >= 0).then_some((
        producer_id,
        producer_epoch,
        base_sequence,
    ))
}
