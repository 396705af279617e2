//! Reading: from an offset to a piece of a file (Java: `LocalLog.read`, `LogSegment.read`).
//!
//! The lock is held only to find the segment and an indexed position near the offset; headers are walked
//! outside it. A consumer at the tail finds its position in memory and costs no system call here.

use std::io;

use millstream_base_env::File;

use crate::error::ReadError;
use crate::index_txn::{AbortedTxn, Search, TxnView};
use crate::partition_log::{PartitionLog, Writer};
use crate::read::{AbortedTransaction, Isolation, MinimumOne, Offsets, Place, ReadRequest, ReadResult, Reading, Slice};
use crate::scan;

/// How much of a `.log` file is loaded where a header is looked for: over the largest batch that most topics take, so
/// that the next header is in it; what the reader is sent lies there as well.
const COLD_BYTES: usize = 2 << 20;

/// What is found under the lock.
struct Window {
    file: File,
    segment_base: i64,
    /// A batch begins here, at or before the one wanted.
    start: u64,
    /// Bytes of the segment.
    size: u64,
    limit: Limit,
    /// Where the next segment begins, `None` in the active one.
    next_base: Option<i64>,
}

impl Window {
    /// Where headers are looked for.
    fn headers(&self) -> Vec<Slice> {
        let from = |position: u64| {
            let length = COLD_BYTES.min(self.size.saturating_sub(position) as usize);
            Slice { file: self.file.clone(), position, length }
        };
        match self.limit {
            Limit::Segment => vec![from(self.start)],
            Limit::Offset { near, .. } => vec![from(self.start), from(near)],
        }
    }
}

/// Where the reader's view ends.
enum Limit {
    /// With the segment.
    Segment,
    /// In front of the batch that holds `offset`; a batch begins at `near`, at or before it.
    Offset { offset: i64, near: u64 },
}

impl PartitionLog {
    /// Reads whole batches from the one that holds `request.offset` on; the end may cut a batch.
    ///
    /// # Errors
    /// `OffsetOutOfRange` below the log start and above the log end; the end itself is legal and empty.
    pub fn read(&self, request: &ReadRequest) -> Result<ReadResult, ReadError> {
        self.read_as(request, Reading::Waits)
    }

    /// The same; with [`Reading::InMemory`] it waits for no disk and answers `Cold` where it would have to.
    ///
    /// # Errors
    /// Those of [`PartitionLog::read`], and `Cold`.
    pub fn read_as(&self, request: &ReadRequest, reading: Reading) -> Result<ReadResult, ReadError> {
        let mut offset = request.offset;
        loop {
            let (window, offsets) = self.window(request, offset, reading)?;
            let Some(window) = window else {
                let place = if offset == request.offset { Place::Active } else { Place::Sealed };
                return Ok(self.nothing(request, offsets, place));
            };
            let found = match self.slice(&window, request, offset, reading) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(ReadError::Cold(window.headers()));
                }
                other => other.map_err(|error| self.read_failed(error))?,
            };
            match (found, window.next_base) {
                // A segment may end in front of its offsets' end after compaction.
                (Found::Gap, Some(next_base)) => offset = next_base,
                (Found::Slice(slice), next_base) => {
                    let place = if next_base.is_some() { Place::Sealed } else { Place::Active };
                    let aborted = match request.isolation {
                        Isolation::Committed => Some(self.aborted_in(&window, &slice, request.offset, reading)?),
                        Isolation::LogEnd | Isolation::HighWatermark => None,
                    };
                    // A slice of no bytes, where the limit leaves room for none, has its aborted transactions too.
                    let slice = Some(slice).filter(|slice| slice.length > 0);
                    return Ok(ReadResult { slice, aborted, offsets, place });
                }
                (Found::Gap, None) => return Ok(self.nothing(request, offsets, Place::Active)),
            }
        }
    }

    fn nothing(&self, request: &ReadRequest, offsets: Offsets, place: Place) -> ReadResult {
        let aborted = if request.isolation == Isolation::Committed { Some(Vec::new()) } else { None };
        ReadResult { slice: None, aborted, offsets, place }
    }

    fn window(
        &self,
        request: &ReadRequest,
        offset: i64,
        reading: Reading,
    ) -> Result<(Option<Window>, Offsets), ReadError> {
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let offsets = Offsets {
            log_start: writer.log_start,
            last_stable: writer.last_stable_offset(),
            high_watermark: writer.high_watermark,
            log_end: writer.log_end,
        };
        if request.offset < offsets.log_start || request.offset > offsets.log_end {
            return Err(ReadError::OffsetOutOfRange {
                offset: request.offset,
                log_start_offset: offsets.log_start,
                log_end_offset: offsets.log_end,
            });
        }
        let limit = match request.isolation {
            Isolation::LogEnd => offsets.log_end,
            Isolation::HighWatermark => offsets.high_watermark,
            Isolation::Committed => offsets.last_stable,
        };
        if offset >= limit {
            return Ok((None, offsets));
        }
        match self.window_in(&mut writer, offset, limit, reading) {
            Ok(window) => Ok((Some(window), offsets)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let index = writer.segment_of(offset);
                let index_file = writer.segments[index].offset_index.file().extent();
                Err(ReadError::Cold(index_file.into_iter().collect()))
            }
            Err(error) => Err(self.read_failed(error)),
        }
    }

    fn window_in(&self, writer: &mut Writer, offset: i64, limit: i64, reading: Reading) -> io::Result<Window> {
        let index = writer.segment_of(offset);
        let is_active = index + 1 == writer.segments.len();
        let segment_end = writer.end_of(index);
        let recent = if is_active { Some(writer.recent) } else { None };
        let Writer { segments, folder, .. } = &mut *writer;
        let segment = &mut segments[index];
        let place = segment.place(&self.dir.disk, folder).read_as(reading);
        let mut near = |wanted: i64| match recent.as_ref().and_then(|recent| recent.position_of(wanted)) {
            Some(position) => Ok(position),
            None => segment.offset_index.lookup(wanted, &place),
        };
        let start = near(offset)?;
        let limit =
            if limit >= segment_end { Limit::Segment } else { Limit::Offset { offset: limit, near: near(limit)? } };
        let file = segment.file(&place)?;
        Ok(Window {
            file,
            segment_base: segment.base_offset,
            start,
            size: segment.size,
            limit,
            next_base: if is_active { None } else { Some(segment_end) },
        })
    }

    fn slice(&self, window: &Window, request: &ReadRequest, offset: i64, reading: Reading) -> io::Result<Found> {
        let find = |from, offset| scan::find_offset_as(reading, &window.file, from, window.size, offset);
        let Some(first) = find(window.start, offset)? else {
            return Ok(Found::Gap);
        };
        let end = match window.limit {
            Limit::Segment => window.size,
            Limit::Offset { offset, near } => {
                let from = near.max(first.position);
                find(from, offset)?.map_or(window.size, |found| found.position)
            }
        };
        let available = (end.saturating_sub(first.position)) as usize;
        let size = first.header.size();
        let allowed = match request.minimum_one {
            MinimumOne::Yes => request.bytes_max.max(size),
            MinimumOne::No if request.bytes_max < size => 0,
            MinimumOne::No => request.bytes_max,
        };
        let length = available.min(allowed);
        Ok(Found::Slice(Slice { file: window.file.clone(), position: first.position, length }))
    }

    /// The aborted transactions that a read_committed consumer must know for `slice` (B items 34, 35).
    fn aborted_in(
        &self,
        window: &Window,
        slice: &Slice,
        fetch_offset: i64,
        reading: Reading,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let mut aborted = Vec::new();
        let Some(first) = self.aborts_from(Aborts::At(window.segment_base), fetch_offset)? else {
            return Ok(aborted);
        };
        let behind = slice.position + slice.length as u64;
        let upper_bound = self.upper_bound(window.segment_base, behind, reading)?;
        self.collect_aborted(first, fetch_offset, upper_bound, reading, &mut |found| {
            aborted.push(AbortedTransaction { producer_id: found.producer_id, first_offset: found.first_offset });
        })?;
        Ok(aborted)
    }

    /// An offset at or behind the first one that lies at `position` of the segment at `segment_base`.
    fn upper_bound(&self, segment_base: i64, position: u64, reading: Reading) -> Result<i64, ReadError> {
        let mut writer = self.writer.lock();
        let index = writer.segment_of(segment_base);
        let segment_end = writer.end_of(index);
        let Writer { segments, folder, .. } = &mut *writer;
        let segment = &mut segments[index];
        let place = segment.place(&self.dir.disk, folder);
        let view = segment.offset_index.view(&place).map_err(|error| self.read_failed(error))?;
        drop(writer);
        match view.upper_bound(position, reading) {
            Ok(found) => Ok(found.unwrap_or(segment_end)),
            Err(error) => Err(self.cold_or_failed(error, view.extent())),
        }
    }

    /// The first segment from `start` on with transactions that were aborted at or after `fetch_offset`.
    fn aborts_from(&self, start: Aborts, fetch_offset: i64) -> Result<Option<(i64, TxnView)>, ReadError> {
        let mut writer = self.writer.lock();
        let first = match start {
            Aborts::At(offset) => writer.segment_of(offset),
            Aborts::Behind(base_offset) => {
                writer.segments.partition_point(|segment| segment.base_offset <= base_offset)
            }
        };
        let Writer { segments, folder, .. } = &mut *writer;
        let found = segments[first..].iter_mut().find(|segment| !segment.txn_index.ends_before(fetch_offset));
        let Some(segment) = found else { return Ok(None) };
        let place = segment.place(&self.dir.disk, folder);
        let view = segment.txn_index.view(&place).map_err(|error| self.read_failed(error))?;
        Ok(Some((segment.base_offset, view)))
    }

    /// Hands over the transactions of `first` and of the segments behind it. Files are read without the lock.
    fn collect_aborted(
        &self,
        first: (i64, TxnView),
        fetch_offset: i64,
        upper_bound: i64,
        reading: Reading,
        found: &mut impl FnMut(&AbortedTxn),
    ) -> Result<(), ReadError> {
        let mut next = Some(first);
        while let Some((base_offset, view)) = next {
            let search = view
                .collect(fetch_offset, upper_bound, reading, found)
                .map_err(|error| self.cold_or_failed(error, view.extent()))?;
            if search == Search::Complete {
                break;
            }
            next = self.aborts_from(Aborts::Behind(base_offset), fetch_offset)?;
        }
        Ok(())
    }

    /// Aborted transactions that touch `from..upper_bound`, for compaction.
    pub(crate) fn aborted_between(&self, from: i64, upper_bound: i64) -> Result<Vec<AbortedTxn>, ReadError> {
        let mut aborted = Vec::new();
        let log_start = self.log_start_offset();
        if let Some(first) = self.aborts_from(Aborts::At(from), log_start)? {
            self.collect_aborted(first, log_start, upper_bound, Reading::Waits, &mut |found| {
                aborted.push(*found);
            })?;
        }
        Ok(aborted)
    }

    /// What a failed look into a file means to the reader.
    pub(crate) fn cold_or_failed(&self, error: io::Error, wanted: Option<Slice>) -> ReadError {
        if error.kind() == io::ErrorKind::WouldBlock {
            return ReadError::Cold(wanted.into_iter().collect());
        }
        self.read_failed(error)
    }

    pub(crate) fn read_failed(&self, error: io::Error) -> ReadError {
        if error.kind() == io::ErrorKind::InvalidData {
            return ReadError::Corrupt(format!("{}: {error}", self.name));
        }
        let folder = self.dir.path.join(self.name.to_string());
        ReadError::Storage(self.dir.failed("cannot read", &folder)(error))
    }
}

/// Where a search for aborted transactions begins.
#[derive(Clone, Copy, Debug)]
enum Aborts {
    /// In the segment that holds this offset.
    At(i64),
    /// In the one behind the segment of this base offset.
    Behind(i64),
}

/// What a window holds for a request.
enum Found {
    Slice(Slice),
    /// No batch of this segment ends at or after the offset.
    Gap,
}
