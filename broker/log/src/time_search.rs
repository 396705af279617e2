//! ListOffsets: from a time to an offset (Java: `UnifiedLog.fetchOffsetByTimestamp`).
//!
//! The lock is held to look at what is in memory and to open files; indexes and batches are read without it.

use std::io;
use std::ops::ControlFlow;

use millstream_base_env::File;

use crate::codec::{self, Codec};
use crate::error::{AppendError, ReadError};
use crate::folder::Place;
use crate::index_offset::OffsetView;
use crate::index_time::TimeView;
use crate::partition_log::{PartitionLog, Writer};
use crate::read::{Reading, TimestampOffset};
use crate::scan::{BatchScan, Next};
use crate::segment::Segment;
use millstream_protocol::batch::{BatchHeader, HEADER_BYTES};
use millstream_protocol::record::Records;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// How many bytes of a log are searched on a thread that serves others; times that do not ascend can hide a record
/// anywhere behind the place that the index names.
const IN_MEMORY_MAX: u64 = 4 << 20;

/// What is found under the lock.
enum Step {
    /// The segment's largest timestamp is to be read first.
    Unknown(TimeView),
    /// The segment to search.
    Found(Stretch),
    /// No segment is left.
    None,
}

/// A segment as a search walks it.
struct Stretch {
    file: File,
    size: u64,
    times: TimeView,
    offsets: OffsetView,
    log_start: i64,
}

impl PartitionLog {
    /// ListOffsets by time: >= 0 the first record at or after it; -3 the record with the largest timestamp; -2
    /// and -4 the log start; -1 the log end (isolation is the caller's); -5 and -6 offset -1, since nothing is
    /// tiered. `None`: no such record. With [`Reading::InMemory`] it answers `Cold` where it would wait for the disk or
    /// take long.
    ///
    /// # Errors
    /// When the log cannot be read, and `Cold`.
    pub fn offset_for_timestamp(&self, timestamp: i64, reading: Reading) -> Result<Option<TimestampOffset>, ReadError> {
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
            MAX_TIMESTAMP => self.largest(reading),
            _ => self.first_at_or_after(timestamp, reading),
        }
    }

    fn earliest(&self) -> TimestampOffset {
        let writer = self.writer.lock();
        let known = writer.epochs.earliest().filter(|first| first.start_offset <= writer.log_start);
        TimestampOffset { timestamp: -1, offset: writer.log_start, leader_epoch: known.map_or(-1, |first| first.epoch) }
    }

    /// Only the first segment that reaches the time is searched, even one that lies below the log start and waits for
    /// its deletion (Java: `UnifiedLog.searchOffsetInLocalLog`).
    fn first_at_or_after(&self, timestamp: i64, reading: Reading) -> Result<Option<TimestampOffset>, ReadError> {
        let step = || self.next_by_time(timestamp);
        let Some(stretch) = self.stretch(step, reading)? else { return Ok(None) };
        let log_start = stretch.log_start;
        let from = stretch.times.lookup(timestamp, reading).map_err(|error| self.cold_or_failed(error, None))?;
        self.search(&stretch, from.max(log_start), reading, |header, batch| {
            if header.max_timestamp < timestamp {
                return Ok(ControlFlow::Continue(()));
            }
            let hit = find_record(header, batch, |time, offset| time >= timestamp && offset >= log_start)?;
            Ok(hit.map_or(ControlFlow::Continue(()), |hit| ControlFlow::Break(Some(hit))))
        })
    }

    fn next_by_time(&self, timestamp: i64) -> io::Result<Step> {
        let mut writer = self.writer.lock();
        let Writer { segments, folder, log_start, .. } = &mut *writer;
        for segment in segments.iter_mut().filter(|segment| segment.size > 0) {
            let place = segment.place(&self.dir.disk, folder);
            let Some((largest, _)) = segment.known_max_timestamp() else {
                return Ok(Step::Unknown(segment.time_index.view(&place)?));
            };
            let largest = if largest >= 0 { largest } else { segment.modified_ms };
            if largest >= timestamp {
                return Ok(Step::Found(stretch_of(segment, &place, *log_start)?));
            }
        }
        Ok(Step::None)
    }

    fn largest(&self, reading: Reading) -> Result<Option<TimestampOffset>, ReadError> {
        let mut best = None;
        let Some(stretch) = self.stretch(|| self.next_by_largest(&mut best), reading)? else {
            return Ok(None);
        };
        let Some((largest, at)) = best else { return Ok(None) };
        self.search(&stretch, at, reading, |header, batch| {
            if header.max_timestamp != largest {
                return Ok(ControlFlow::Continue(()));
            }
            find_record(header, batch, |time, _| time == largest).map(ControlFlow::Break)
        })
    }

    /// The segment with the largest timestamp, which goes into `best` with the last offset of its batch.
    fn next_by_largest(&self, best: &mut Option<(i64, i64)>) -> io::Result<Step> {
        let mut writer = self.writer.lock();
        let Writer { segments, folder, log_start, .. } = &mut *writer;
        let mut of = None;
        *best = None;
        for (index, segment) in segments.iter_mut().enumerate() {
            let Some(known) = segment.known_max_timestamp() else {
                let place = segment.place(&self.dir.disk, folder);
                return Ok(Step::Unknown(segment.time_index.view(&place)?));
            };
            if known.0 >= 0 && best.is_none_or(|(timestamp, _)| known.0 > timestamp) {
                *best = Some(known);
                of = Some(index);
            }
        }
        let Some(index) = of else { return Ok(Step::None) };
        let segment = &mut segments[index];
        let place = segment.place(&self.dir.disk, folder);
        Ok(Step::Found(stretch_of(segment, &place, *log_start)?))
    }

    /// Takes steps until one finds a segment; between them the largest timestamps are read that were not known.
    fn stretch(
        &self,
        mut step: impl FnMut() -> io::Result<Step>,
        reading: Reading,
    ) -> Result<Option<Stretch>, ReadError> {
        loop {
            match step().map_err(|error| self.read_failed(error))? {
                Step::None => return Ok(None),
                Step::Found(stretch) => return Ok(Some(stretch)),
                Step::Unknown(times) => {
                    let last = times.last(reading).map_err(|error| self.cold_or_failed(error, None))?;
                    self.learn(&times, last);
                }
            }
        }
    }

    fn learn(&self, times: &TimeView, last: Option<(i64, i64)>) {
        let mut writer = self.writer.lock();
        let index = writer.segment_of(times.base_offset);
        let is_active = index + 1 == writer.segments.len();
        let segment = &mut writer.segments[index];
        if segment.base_offset != times.base_offset {
            return;
        }
        segment.learn_max_timestamp(last, times.len());
        if !is_active {
            // A search through thousands of segments should not leave a descriptor open for each.
            segment.time_index.file().close();
        }
    }

    /// Walks the batches of a segment from near `offset` on until `each` has an answer.
    fn search(
        &self,
        stretch: &Stretch,
        offset: i64,
        reading: Reading,
        mut each: impl FnMut(&BatchHeader, &[u8]) -> Result<ControlFlow<Option<TimestampOffset>>, ReadError>,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let cold = |error| self.cold_or_failed(error, None);
        let position = stretch.offsets.lookup(offset, reading).map_err(cold)?;
        let mut scan = BatchScan::near(stretch.file.clone(), position, stretch.size, reading);
        loop {
            if reading == Reading::InMemory && scan.position() - position > IN_MEMORY_MAX {
                return Err(ReadError::Cold(Vec::new()));
            }
            let Next::Batch(found, batch) = scan.next().map_err(cold)? else { return Ok(None) };
            if let ControlFlow::Break(answer) = each(&found.header, batch)? {
                return Ok(answer);
            }
        }
    }
}

fn stretch_of(segment: &mut Segment, place: &Place<'_>, log_start: i64) -> io::Result<Stretch> {
    Ok(Stretch {
        file: segment.file(place)?,
        size: segment.size,
        times: segment.time_index.view(place)?,
        offsets: segment.offset_index.view(place)?,
        log_start,
    })
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
