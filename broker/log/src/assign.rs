//! Offsets, leader epoch and time of a batch that enters: the header in a copy, the records as they came; or
//! the whole batch anew where the topic wants another codec (Java: `LogValidator`).

use crate::codec::{self, Codec};
use crate::config::{LogConfig, TimestampType, TopicCompression};
use crate::error::AppendError;
use crate::validate::{OffsetDeltas, Walked};
use millstream_protocol::batch::{self as header, BatchHeader, HEADER_BYTES, LOG_APPEND_TIME};
use millstream_protocol::record::{BatchWriter, Records};

/// Stamps `header` for the log; its base offset follows under the lock. The CRC covers neither base offset nor
/// epoch, so it is computed again only where time changes the batch.
pub(crate) fn stamp(
    header: &mut BatchHeader,
    records: &[u8],
    leader_epoch: i32,
    max_timestamp: i64,
    timestamp_type: TimestampType,
) {
    header.leader_epoch = leader_epoch;
    let attributes = match timestamp_type {
        TimestampType::CreateTime => header.attributes & !LOG_APPEND_TIME,
        TimestampType::LogAppendTime => header.attributes | LOG_APPEND_TIME,
    };
    if attributes != header.attributes || max_timestamp != header.max_timestamp {
        header.attributes = attributes;
        header.max_timestamp = max_timestamp;
        header.crc = header::checksum(&header.encode(), records);
    }
}

/// The codec the log wants, when the batch cannot stay as it is.
pub(crate) fn new_codec(header: &BatchHeader, walked: &Walked, config: &LogConfig) -> Option<(Codec, Option<i32>)> {
    let source = Codec::from_id(header.codec()).unwrap_or(Codec::None);
    let (target, level) = match config.compression {
        TopicCompression::Producer => (source, None),
        TopicCompression::Codec { codec, level } => (codec, level),
    };
    if source == Codec::None && header.is_control() {
        return None;
    }
    // Only batches that are or become compressed are written anew for irregular offsets, as in Apache.
    let is_irregular = walked.offsets == OffsetDeltas::Irregular && (source != Codec::None || target != Codec::None);
    if source != target || is_irregular { Some((target, level)) } else { None }
}

/// Writes the batch anew under `codec`, with offsets counting from 0; offset, epoch and time are stamped later.
pub(crate) fn rewrite(
    header: &BatchHeader,
    batch: &[u8],
    codec: Codec,
    level: Option<i32>,
) -> Result<Vec<u8>, AppendError> {
    let source = Codec::from_id(header.codec()).unwrap_or(Codec::None);
    let mut writer = BatchWriter::new(None);
    codec::with_plain(source, &batch[HEADER_BYTES..], |plain| {
        for (index, record) in Records::new(plain, header.record_count).flatten().enumerate() {
            let timestamp = if header.is_log_append_time() {
                header.max_timestamp
            } else {
                header.base_timestamp.wrapping_add(record.timestamp_delta)
            };
            writer.push(&record, index as i32, timestamp);
        }
        Ok(())
    })?;
    let mut like = *header;
    like.last_offset_delta = header.record_count - 1;
    let mut bytes = Vec::with_capacity(batch.len());
    writer.finish(&like, codec, level, &mut bytes).map_err(codec::undecodable)?;
    Ok(bytes)
}
