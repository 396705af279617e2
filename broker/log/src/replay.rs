//! Every record below the high watermark, in order, for those who build their state from a log (coordinators).

use crate::codec::{self, Codec};
use crate::error::ReadError;
use crate::partition_log::PartitionLog;
use crate::read::{Isolation, MinimumOne, ReadRequest};
use millstream_protocol::batch::{BatchHeader, EndMarker, HEADER_BYTES, MarkerKind};
use millstream_protocol::record::Records;

/// Bytes per read (Java: `offsets.load.buffer.size`).
const READ_BYTES: usize = 5 << 20;

/// What replay meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed<'a> {
    /// A record of data.
    Record {
        /// Its offset.
        offset: i64,
        /// Its time.
        timestamp: i64,
        /// Its key.
        key: Option<&'a [u8]>,
        /// Its value.
        value: Option<&'a [u8]>,
        /// The producer of its batch, -1 for none.
        producer_id: i64,
        /// And its epoch.
        producer_epoch: i16,
    },
    /// The end of a transaction.
    Marker {
        /// The producer.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// Whether its records count.
        end: TransactionEnd,
    },
}

/// See [`Replayed::Marker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEnd {
    /// They count.
    Commit,
    /// They never happened.
    Abort,
}

impl PartitionLog {
    /// Hands every record and marker from the log start to the high watermark to `each`. Blocks on reads.
    ///
    /// # Errors
    /// The disk's, and bytes that are no batches.
    pub fn replay(&self, mut each: impl FnMut(Replayed<'_>)) -> Result<(), ReadError> {
        let end = self.high_watermark();
        let mut offset = self.log_start_offset();
        while offset < end {
            let request = ReadRequest {
                offset,
                bytes_max: READ_BYTES,
                minimum_one: MinimumOne::Yes,
                isolation: Isolation::HighWatermark,
            };
            let Some(slice) = self.read(&request)?.slice else { break };
            let bytes = slice.bytes().map_err(|error| ReadError::Corrupt(error.to_string()))?;
            let next = walk(&bytes, offset, &mut each)?;
            if next <= offset {
                break;
            }
            offset = next;
        }
        Ok(())
    }
}

/// Walks the whole batches in `bytes`, skipping records below `from`; answers the offset after the last batch.
fn walk(bytes: &[u8], from: i64, each: &mut impl FnMut(Replayed<'_>)) -> Result<i64, ReadError> {
    let mut rest = bytes;
    let mut next = from;
    while let Some(header) = BatchHeader::decode(rest) {
        if header.size() < HEADER_BYTES {
            return Err(ReadError::Corrupt(format!("a batch of {} bytes", header.size())));
        }
        let Some((batch, behind)) = rest.split_at_checked(header.size()) else { break };
        rest = behind;
        next = next.max(header.last_offset() + 1);
        if header.is_control() {
            if let Some(marker) = EndMarker::decode(batch) {
                each(Replayed::Marker {
                    producer_id: header.producer_id,
                    producer_epoch: header.producer_epoch,
                    end: match marker.kind {
                        MarkerKind::Commit => TransactionEnd::Commit,
                        MarkerKind::Abort => TransactionEnd::Abort,
                    },
                });
            }
            continue;
        }
        walk_records(&header, &batch[HEADER_BYTES..], from, each)?;
    }
    Ok(next)
}

fn walk_records(
    header: &BatchHeader,
    records: &[u8],
    from: i64,
    each: &mut impl FnMut(Replayed<'_>),
) -> Result<(), ReadError> {
    let corrupt =
        |what: String| ReadError::Corrupt(format!("the batch at offset {}: {what}", header.base_offset));
    let codec = Codec::from_id(header.codec()).ok_or_else(|| corrupt("unknown compression".to_owned()))?;
    codec::with_plain(codec, records, |plain| {
        for record in Records::new(plain, header.record_count) {
            let record =
                record.map_err(|what| crate::error::AppendError::CorruptMessage(format!("{what:?}")))?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            if offset < from {
                continue;
            }
            each(Replayed::Record {
                offset,
                timestamp: header.base_timestamp.wrapping_add(record.timestamp_delta),
                key: record.key,
                value: record.value,
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
            });
        }
        Ok(())
    })
    .map_err(|error| corrupt(error.to_string()))
}
