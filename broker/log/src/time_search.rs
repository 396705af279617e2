//! ListOffsets: from a time to an offset (Java: `UnifiedLog.fetchOffsetByTimestamp`).

use crate::codec::{self, Codec};
use crate::error::{AppendError, ReadError};
use crate::folder::Place;
use crate::partition_log::{PartitionLog, Writer};
use crate::read::TimestampOffset;
use crate::scan::{BatchScan, Next};
use millstream_protocol::batch::{BatchHeader, HEADER_BYTES};
use millstream_protocol::record::Records;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Where a search walks.
struct Stretch {
    scan: BatchScan,
    log_start: i64,
}

impl PartitionLog {
    /// ListOffsets by time: >= 0 the first record at or after it; -3 the record with the largest timestamp; -2
    /// and -4 the log start; -1 the log end (isolation is the caller's); -5 and -6 offset -1, since nothing is
    /// tiered. `None`: no such record.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampOffset>, ReadError> {
        match timestamp {
            EARLIEST | EARLIEST_LOCAL => Ok(Some(self.earliest())),
            LATEST => {
                let writer = self.writer.lock();
                let leader_epoch = writer.epochs.latest().unwrap_or(-1);
                Ok(Some(TimestampOffset { timestamp: -1, offset: writer.log_end, leader_epoch }))
            }
            LATEST_TIERED | EARLIEST_PENDING_UPLOAD => {
                Ok(Some(TimestampOffset { timestamp: -1, offset: -1, leader_epoch: -1 }))
            }
            MAX_TIMESTAMP => self.largest(),
            _ => self.first_at_or_after(timestamp),
        }
    }

    fn earliest(&self) -> TimestampOffset {
        let writer = self.writer.lock();
        let known = writer.epochs.earliest().filter(|first| first.start_offset <= writer.log_start);
        TimestampOffset {
            timestamp: -1,
            offset: writer.log_start,
            leader_epoch: known.map_or(-1, |first| first.epoch),
        }
    }

    /// Only the first segment that reaches the time is searched, even one that lies below the log start and waits for
    /// its deletion (Java: `UnifiedLog.searchOffsetInLocalLog`).
    fn first_at_or_after(&self, timestamp: i64) -> Result<Option<TimestampOffset>, ReadError> {
        let stretch = self.stretch_by_time(timestamp).map_err(|error| self.read_failed(error))?;
        let Some(Stretch { mut scan, log_start }) = stretch else { return Ok(None) };
        while let Next::Batch(found, batch) = scan.next().map_err(|error| self.read_failed(error))? {
            if found.header.max_timestamp < timestamp {
                continue;
            }
            let hit = find_record(&found.header, batch, |time, offset| time >= timestamp && offset >= log_start)?;
            if hit.is_some() {
                return Ok(hit);
            }
        }
        Ok(None)
    }

    fn stretch_by_time(&self, timestamp: i64) -> std::io::Result<Option<Stretch>> {
        let mut writer = self.writer.lock();
        let Writer { segments, folder, log_start, .. } = &mut *writer;
        for segment in segments.iter_mut() {
            let place = segment.place(&self.dir.disk, folder);
            if segment.size == 0 || segment.largest_timestamp(&place)? < timestamp {
                continue;
            }
            let from = segment.time_index.lookup(timestamp, &place)?.max(*log_start);
            let position = segment.offset_index.lookup(from, &place)?;
            let scan = BatchScan::new(segment.file(&place)?, position, segment.size);
            return Ok(Some(Stretch { scan, log_start: *log_start }));
        }
        Ok(None)
    }

    fn largest(&self) -> Result<Option<TimestampOffset>, ReadError> {
        let found = self.stretch_of_largest().map_err(|error| self.read_failed(error))?;
        let Some((mut scan, largest)) = found else { return Ok(None) };
        while let Next::Batch(found, batch) = scan.next().map_err(|error| self.read_failed(error))? {
            if found.header.max_timestamp == largest {
                return find_record(&found.header, batch, |time, _| time == largest);
            }
        }
        Ok(None)
    }

    fn stretch_of_largest(&self) -> std::io::Result<Option<(BatchScan, i64)>> {
        let mut writer = self.writer.lock();
        let Writer { segments, folder, .. } = &mut *writer;
        let mut best: Option<(usize, i64, i64)> = None;
        for (index, segment) in segments.iter_mut().enumerate() {
            let place: Place<'_> = segment.place(&self.dir.disk, folder);
            let (timestamp, offset) = segment.max_timestamp(&place)?;
            if best.is_none_or(|(_, known, _)| timestamp > known) {
                best = Some((index, timestamp, offset));
            }
        }
        let Some((index, timestamp, offset)) = best.filter(|(_, timestamp, _)| *timestamp >= 0) else {
            return Ok(None);
        };
        let segment = &mut segments[index];
        let place = segment.place(&self.dir.disk, folder);
        let position = segment.offset_index.lookup(offset, &place)?;
        Ok(Some((BatchScan::new(segment.file(&place)?, position, segment.size), timestamp)))
    }
}

/// The first record of a batch whose time and offset satisfy `wanted`.
fn find_record(
    header: &BatchHeader,
    batch: &[u8],
    wanted: impl Fn(i64, i64) -> bool,
) -> Result<Option<TimestampOffset>, ReadError> {
    let codec = Codec::from_id(header.codec()).unwrap_or(Codec::None);
    let found = codec::with_plain(codec, &batch[HEADER_BYTES..], |plain| {
        for record in Records::new(plain, header.record_count) {
            let Ok(record) = record else {
                return Err(AppendError::Undecodable("a record in the log is malformed".to_owned()));
            };
            let timestamp = if header.is_log_append_time() {
                header.max_timestamp
            } else {
                header.base_timestamp.wrapping_add(record.timestamp_delta)
            };
            let offset = header.base_offset + i64::from(record.offset_delta);
            if wanted(timestamp, offset) {
                return Ok(Some(TimestampOffset { timestamp, offset, leader_epoch: header.leader_epoch }));
            }
        }
        Ok(None)
    });
    found.map_err(|error| ReadError::Corrupt(error.to_string()))
}
