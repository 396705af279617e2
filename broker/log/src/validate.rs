//! What a batch must satisfy before it enters (Java: `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`).
//!
//! Everything here runs before the log's lock is taken and allocates nothing for a batch that is right.

use crate::append::AppendOrigin;
use crate::codec::{self, Codec};
use crate::config::{LogConfig, RecordValidation, TimestampType};
use crate::error::{AppendError, RecordError};
use crate::partition_log::PartitionName;
use millstream_protocol::batch::{self as header, BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD, SMALLEST_BATCH};
use millstream_protocol::record::{Malformed, Record, Records};

/// No timestamp.
const NO_TIMESTAMP: i64 = -1;
/// Bytes up to and with the magic.
const UP_TO_MAGIC: usize = 17;

/// The batch at the front of `bytes`; `None` when what is left is no whole batch.
pub(crate) fn next_batch(bytes: &[u8]) -> Result<Option<(BatchHeader, &[u8])>, AppendError> {
    if bytes.len() < UP_TO_MAGIC {
        return Ok(None);
    }
    let length = i32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if length < SMALLEST_BATCH {
        return Err(AppendError::CorruptMessage(format!(
            "Record size {length} is less than the minimum record overhead ({SMALLEST_BATCH})"
        )));
    }
    let magic = bytes[16] as i8;
    if !(0..=2).contains(&magic) {
        return Err(AppendError::CorruptMessage(format!("Invalid magic found in record: {magic}")));
    }
    let Some(batch) = bytes.get(..LENGTH_OVERHEAD + length as usize) else { return Ok(None) };
    if magic < 2 {
        return Err(AppendError::InvalidRecord {
            message: "Produce requests are only allowed to contain record batches with magic version 2".to_owned(),
            record_errors: Vec::new(),
        });
    }
    match BatchHeader::decode(batch) {
        Some(header) => Ok(Some((header, batch))),
        None => Err(AppendError::CorruptMessage("Record batch is shorter than its header".to_owned())),
    }
}

/// Checks one batch from outside: size, CRC, codec.
pub(crate) fn check_frame(
    header: &BatchHeader,
    batch: &[u8],
    size_max: Option<u32>,
    name: &PartitionName,
) -> Result<(), AppendError> {
    if let Some(max) = size_max
        && batch.len() > max as usize
    {
        return Err(AppendError::MessageTooLarge { size: batch.len(), max, partition: name.to_string() });
    }
    if !header::is_intact(header, batch) {
        return Err(AppendError::CorruptMessage(format!(
            "Record is corrupt (stored crc = {}) in topic partition {name}.",
            header.crc
        )));
    }
    if Codec::from_id(header.codec()).is_none() {
        return Err(AppendError::Undecodable(format!("Unknown compression type id: {}", header.codec())));
    }
    Ok(())
}

/// What the walk over a batch's records found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Largest timestamp of a record.
    pub(crate) max_timestamp: i64,
    /// Whether the records count their offsets 0, 1, 2 and so on
    pub(crate) offsets: OffsetDeltas,
}

/// See [`Walked::offsets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetDeltas {
    Consecutive,
    Irregular,
}

/// Checks one batch that a leader is about to take (Java: `LogValidator.validateBatch`, `validateRecord`).
pub(crate) fn check_batch(
    header: &BatchHeader,
    batch: &[u8],
    origin: AppendOrigin,
    config: &LogConfig,
    now_ms: i64,
    name: &PartitionName,
) -> Result<Walked, AppendError> {
    if origin == AppendOrigin::Client {
        check_client_header(header, name)?;
    }
    let must_walk = config.cleanup_policy.compact || config.record_validation == RecordValidation::Full;
    if !must_walk || header.is_control() {
        return Ok(Walked { max_timestamp: header.max_timestamp, offsets: OffsetDeltas::Consecutive });
    }
    let codec = Codec::from_id(header.codec()).unwrap_or(Codec::None);
    codec::with_plain(codec, &batch[HEADER_BYTES..], |plain| walk(header, plain, config, now_ms, name))
}

fn check_client_header(header: &BatchHeader, name: &PartitionName) -> Result<(), AppendError> {
    let count_from_offsets = i64::from(header.last_offset_delta) + 1;
    let range = || format!("[{}, {}]", header.base_offset, header.last_offset());
    if count_from_offsets <= 0 {
        return invalid(format!("Batch has an invalid offset range: {} in topic partition {name}", range()));
    }
    if header.record_count <= 0 {
        return invalid(format!(
            "Invalid reported count for record batch: {} in topic partition {name}",
            header.record_count
        ));
    }
    if count_from_offsets != i64::from(header.record_count) {
        return invalid(format!(
            "Inconsistent batch offset range {} and count of records {} in topic partition {name}",
            range(),
            header.record_count
        ));
    }
    if header.is_control() {
        return invalid(format!("Clients are not allowed to write control records in topic partition {name}"));
    }
    if header.has_producer() && header.base_sequence < 0 {
        return invalid(format!(
            "Invalid sequence number {} in record batch with producerId {} in topic partition {name}",
            header.base_sequence, header.producer_id
        ));
    }
    Ok(())
}

fn invalid<T>(message: String) -> Result<T, AppendError> {
    Err(AppendError::InvalidRecord { message, record_errors: Vec::new() })
}

fn walk(
    header: &BatchHeader,
    plain: &[u8],
    config: &LogConfig,
    now_ms: i64,
    name: &PartitionName,
) -> Result<Walked, AppendError> {
    let mut records = Records::new(plain, header.record_count);
    let mut max_timestamp = NO_TIMESTAMP;
    let mut offsets = OffsetDeltas::Consecutive;
    let mut refused: Vec<(RecordError, Refusal)> = Vec::new();
    let rules = Rules::of(header, config, now_ms);
    for (index, record) in (0..).zip(&mut records) {
        let record = record.map_err(malformed)?;
        let timestamp = rules.timestamp_of(header, &record);
        if let Some(refusal) = rules.refuse(&record, timestamp) {
            let message = rules.message(refusal, header, &record, timestamp, name);
            refused.push((RecordError { batch_index: index, message }, refusal));
        }
        if record.offset_delta != index {
            offsets = OffsetDeltas::Irregular;
        }
        max_timestamp = max_timestamp.max(timestamp);
    }
    if records.has_rest() {
        return invalid("Incorrect declared batch size, records still remaining in file".to_owned());
    }
    if refused.is_empty() { Ok(Walked { max_timestamp, offsets }) } else { Err(refusal_error(refused)) }
}

fn malformed(problem: Malformed) -> AppendError {
    match problem {
        Malformed::Record(message) => {
            AppendError::InvalidRecord { message: message.to_owned(), record_errors: Vec::new() }
        }
        Malformed::Varint => AppendError::Undecodable("Varint is too long".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NoKey,
    OutOfRange,
    LogAppendTimeFromClient,
}

/// The rules that apply to every record of a batch, worked out once.
struct Rules {
    key_required: bool,
    timestamp_type: TimestampType,
    /// Earliest and latest time allowed.
    allowed: (i64, i64),
    claims_log_append_time: bool,
}

impl Rules {
    fn of(header: &BatchHeader, config: &LogConfig, now_ms: i64) -> Rules {
        Rules {
            key_required: config.cleanup_policy.compact,
            timestamp_type: config.message_timestamp_type,
            allowed: (
                now_ms.saturating_sub(config.message_timestamp_before_max_ms),
                now_ms.saturating_add(config.message_timestamp_after_max_ms),
            ),
            claims_log_append_time: header.is_log_append_time(),
        }
    }

    #[inline]
    fn timestamp_of(&self, header: &BatchHeader, record: &Record<'_>) -> i64 {
        if self.claims_log_append_time {
            header.max_timestamp
        } else {
            header.base_timestamp.wrapping_add(record.timestamp_delta)
        }
    }

    #[inline]
    fn refuse(&self, record: &Record<'_>, timestamp: i64) -> Option<Refusal> {
        if self.key_required && record.key.is_none() {
            return Some(Refusal::NoKey);
        }
        if self.timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP {
            let (earliest, latest) = self.allowed;
            if timestamp < earliest || timestamp > latest {
                return Some(Refusal::OutOfRange);
            }
        } else if self.claims_log_append_time {
            return Some(Refusal::LogAppendTimeFromClient);
        }
        None
    }

    fn message(
        &self,
        refusal: Refusal,
        header: &BatchHeader,
        record: &Record<'_>,
        timestamp: i64,
        name: &PartitionName,
    ) -> String {
        let offset = header.base_offset + i64::from(record.offset_delta);
        match refusal {
            Refusal::NoKey => {
                format!("Compacted topic cannot accept message without key in topic partition {name}")
            }
            Refusal::OutOfRange => format!(
                "Timestamp {timestamp} of message with offset {offset} is out of range. The timestamp should be within \
                 [{}, {}]",
                self.allowed.0, self.allowed.1
            ),
            Refusal::LogAppendTimeFromClient => format!(
                "Invalid timestamp type in message at offset {offset}. Producer should not set timestamp type to \
                 LogAppendTime."
            ),
        }
    }
}

fn refusal_error(refused: Vec<(RecordError, Refusal)>) -> AppendError {
    let is_about_time = refused.iter().any(|(_, refusal)| *refusal != Refusal::NoKey);
    let record_errors: Vec<RecordError> = refused.into_iter().map(|(error, _)| error).collect();
    if is_about_time {
        let message = "One or more records have been rejected due to invalid timestamp".to_owned();
        return AppendError::InvalidTimestamp { message, record_errors };
    }
    let shown: Vec<String> = record_errors
        .iter()
        .take(3)
        .map(|error| format!("RecordError(batchIndex={}, message='{}')", error.batch_index, error.message))
        .collect();
    let message = format!(
        "One or more records have been rejected due to {} record errors in total, and only showing the first three \
         errors at most: [{}]",
        record_errors.len(),
        shown.join(", ")
    );
    AppendError::InvalidRecord { message, record_errors }
}
