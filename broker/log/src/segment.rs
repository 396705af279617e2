//! One segment: a base offset, a `.log` file and its three indexes (Java: `LogSegment`).
//!
//! Files are opened when first needed. Called under the log's lock. Never here: which segment is active,
//! when it ends (roll.rs), what a batch must satisfy.

use std::io::{self, IoSlice};
use std::path::Path;

use millstream_base_env::disk::OpenMode;
use millstream_base_env::{Disk, File};

use crate::folder::{LOG, OFFSET_INDEX, Place, TIME_INDEX, TXN_INDEX};
use crate::index_offset::OffsetIndex;
use crate::index_time::TimeIndex;
use crate::index_txn::TxnIndex;
use crate::read::Reading;
use crate::scan;
use millstream_protocol::batch::BatchHeader;

/// Whether the newest writes are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Synced,
    Unsynced,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    /// Bytes of the `.log` file that count.
    pub(crate) size: u64,
    pub(crate) durability: Durability,
    pub(crate) offset_index: OffsetIndex,
    pub(crate) time_index: TimeIndex,
    pub(crate) txn_index: TxnIndex,
    log: Option<File>,
    /// Largest timestamp and the last offset of its batch; `None` until read from the time index.
    max_timestamp: Option<(i64, i64)>,
    /// Largest timestamp of the first batch, from which `segment.ms` counts; `None` until read.
    first_timestamp: Option<i64>,
    pub(crate) created_ms: i64,
    pub(crate) modified_ms: i64,
    pub(crate) jitter_ms: i64,
    bytes_since_index: u32,
    /// Whether the file may hold bytes behind `size` from a write that failed.
    must_cut: bool,
    /// Ends the names of its files while compaction has it in hand.
    pub(crate) suffix: &'static str,
}

/// Lengths of a segment's files as found in its folder.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) log: u64,
    pub(crate) offset_index: Option<u64>,
    pub(crate) time_index: Option<u64>,
    pub(crate) txn_index: Option<u64>,
    pub(crate) modified_ms: i64,
}

impl Segment {
    /// A new one, without bytes. Its `.log` file comes with the first write.
    pub(crate) fn new(base_offset: i64, now_ms: i64) -> Self {
        Segment {
            base_offset,
            size: 0,
            durability: Durability::Synced,
            offset_index: OffsetIndex::empty(),
            time_index: TimeIndex::empty(),
            txn_index: TxnIndex::empty(),
            log: None,
            max_timestamp: Some((-1, -1)),
            first_timestamp: None,
            created_ms: now_ms,
            modified_ms: now_ms,
            jitter_ms: 0,
            bytes_since_index: 0,
            must_cut: true,
            suffix: "",
        }
    }

    /// One that lies in the folder, its files trusted.
    pub(crate) fn existing(base_offset: i64, found: &Found) -> Self {
        Segment {
            size: found.log,
            offset_index: OffsetIndex::existing(found.offset_index.unwrap_or(0)),
            time_index: TimeIndex::existing(found.time_index.unwrap_or(0)),
            txn_index: TxnIndex::existing(found.txn_index.unwrap_or(0)),
            max_timestamp: None,
            modified_ms: found.modified_ms,
            must_cut: false,
            ..Segment::new(base_offset, found.modified_ms)
        }
    }

    /// Forgets the indexes; recovery builds them anew.
    pub(crate) fn reset_indexes(&mut self) {
        self.offset_index = OffsetIndex::empty();
        self.time_index = TimeIndex::empty();
        self.txn_index = if self.txn_index.is_empty() { TxnIndex::empty() } else { TxnIndex::discarded() };
        self.max_timestamp = Some((-1, -1));
        self.first_timestamp = None;
        self.bytes_since_index = 0;
    }

    pub(crate) fn place<'a>(&self, disk: &'a Disk, folder: &'a Path) -> Place<'a> {
        Place { disk, folder, base_offset: self.base_offset, suffix: self.suffix, reading: Reading::Waits }
    }

    /// The `.log` file, opened or made.
    pub(crate) fn file(&mut self, place: &Place<'_>) -> io::Result<File> {
        if let Some(file) = &self.log {
            return Ok(file.clone());
        }
        let file = place.disk.open(&place.path(LOG), OpenMode::Create)?;
        self.log = Some(file.clone());
        Ok(file)
    }

    /// Writes whole batches at the end. What a failed write left is cut off, or covered before the next.
    pub(crate) fn write(&mut self, place: &Place<'_>, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let file = self.file(place)?;
        self.cut_leftover(place)?;
        self.durability = Durability::Unsynced;
        if let Err(error) = file.write_at(self.size, parts) {
            self.must_cut = file.set_len(self.size).is_err();
            return Err(error);
        }
        Ok(())
    }

    /// Cuts off what a failed write left behind the last batch.
    fn cut_leftover(&mut self, place: &Place<'_>) -> io::Result<()> {
        if self.must_cut {
            // A sync since then made the leftover durable.
            self.durability = Durability::Unsynced;
            self.file(place)?.set_len(self.size)?;
            self.must_cut = false;
        }
        Ok(())
    }

    /// Counts a batch that was written at the end: size, indexes, timestamps.
    pub(crate) fn note(&mut self, header: &BatchHeader, index_interval: u32, place: &Place<'_>) -> io::Result<()> {
        let (max_timestamp, last_offset) = (header.max_timestamp, header.last_offset());
        if self.size == 0 {
            self.first_timestamp = Some(max_timestamp);
        }
        if max_timestamp > self.max_timestamp(place)?.0 {
            self.max_timestamp = Some((max_timestamp, last_offset));
        }
        if self.bytes_since_index > index_interval {
            self.offset_index.push(last_offset, self.size as u32, place);
            let (timestamp, offset) = self.max_timestamp(place)?;
            self.time_index.push(timestamp, offset, place)?;
            self.bytes_since_index = 0;
        }
        self.size += header.size() as u64;
        self.bytes_since_index = self.bytes_since_index.saturating_add(header.size() as u32);
        Ok(())
    }

    /// Reads what [`Segment::note`] will ask of files, so that it cannot fail once the batch is in the log.
    pub(crate) fn prepare(&mut self, place: &Place<'_>) -> io::Result<()> {
        self.max_timestamp(place)?;
        self.time_index.prepare(place)
    }

    /// Largest timestamp and the last offset of the batch that holds it; (-1, _) without any.
    pub(crate) fn max_timestamp(&mut self, place: &Place<'_>) -> io::Result<(i64, i64)> {
        match self.max_timestamp {
            Some(known) => Ok(known),
            None => {
                let last = self.time_index.last(place)?.unwrap_or((-1, self.base_offset));
                self.max_timestamp = Some(last);
                Ok(last)
            }
        }
    }

    /// The same where it is known without a look into a file.
    pub(crate) fn known_max_timestamp(&self) -> Option<(i64, i64)> {
        self.max_timestamp
    }

    /// Takes what was read from the time index while it had `entries`, unless it has changed since.
    pub(crate) fn learn_max_timestamp(&mut self, found: Option<(i64, i64)>, entries: usize) {
        if self.max_timestamp.is_none() && self.time_index.len() == entries {
            self.max_timestamp = Some(found.unwrap_or((-1, self.base_offset)));
        }
    }

    /// What retention by time goes by: the largest timestamp, or the file's own when records have none.
    pub(crate) fn largest_timestamp(&mut self, place: &Place<'_>) -> io::Result<i64> {
        let (timestamp, _) = self.max_timestamp(place)?;
        Ok(if timestamp >= 0 { timestamp } else { self.modified_ms })
    }

    /// Largest timestamp of the first batch, -1 when it has none or there is no batch.
    pub(crate) fn first_timestamp(&mut self, place: &Place<'_>) -> io::Result<i64> {
        if let Some(known) = self.first_timestamp {
            return Ok(known);
        }
        if self.size == 0 {
            return Ok(-1);
        }
        let first = scan::find(&self.file(place)?, 0, self.size, |_| true)?;
        let timestamp = first.map_or(-1, |first| first.header.max_timestamp);
        self.first_timestamp = Some(timestamp);
        Ok(timestamp)
    }

    /// Offset behind the last record.
    pub(crate) fn next_offset(&mut self, place: &Place<'_>) -> io::Result<i64> {
        if self.size == 0 {
            return Ok(self.base_offset);
        }
        let from = self.offset_index.last(place)?.map_or(0, |(_, position)| position);
        let mut last = None;
        scan::find(&self.file(place)?, from, self.size, |header| {
            last = Some(header.last_offset() + 1);
            false
        })?;
        Ok(last.unwrap_or(self.base_offset))
    }

    /// Whether the offset index's last entry points to the batch that it names.
    pub(crate) fn is_index_sane(&mut self, place: &Place<'_>) -> io::Result<bool> {
        let Some((offset, position)) = self.offset_index.last(place)? else { return Ok(true) };
        let found = scan::find(&self.file(place)?, position, self.size, |_| true)?;
        Ok(found.is_some_and(|found| found.header.last_offset() == offset))
    }

    /// Drops batches that end at or after `offset`; answers where the log ends now, which is before `offset` when
    /// it lay inside a batch.
    pub(crate) fn truncate(&mut self, offset: i64, place: &Place<'_>, now_ms: i64) -> io::Result<i64> {
        let near = self.offset_index.lookup(offset, place)?;
        let first = scan::find_offset(&self.file(place)?, near, self.size, offset)?;
        let position = first.map_or(self.size, |first| first.position);
        let end = first.map_or(offset, |first| first.header.base_offset.min(offset));
        self.offset_index.truncate(offset, place)?;
        self.time_index.truncate(offset, place)?;
        self.txn_index.truncate(offset, place)?;
        self.cut(position, place)?;
        if self.size == 0 {
            self.created_ms = now_ms;
            self.first_timestamp = None;
        }
        self.bytes_since_index = 0;
        let (mut timestamp, mut at) = self.time_index.last(place)?.unwrap_or((-1, self.base_offset));
        let from = self.offset_index.lookup(at, place)?;
        scan::find(&self.file(place)?, from, self.size, |header| {
            if header.max_timestamp > timestamp {
                (timestamp, at) = (header.max_timestamp, header.last_offset());
            }
            false
        })?;
        self.max_timestamp = Some((timestamp, at));
        Ok(end)
    }

    /// Makes the `.log` file end at `size`.
    pub(crate) fn cut(&mut self, size: u64, place: &Place<'_>) -> io::Result<()> {
        self.size = size;
        self.durability = Durability::Unsynced;
        self.must_cut = true;
        self.file(place)?.set_len(size)?;
        self.must_cut = false;
        Ok(())
    }

    /// Makes the `.log` file end with its last batch: a leftover in front of another segment would be taken for lost
    /// bytes by recovery, which drops what lies behind them.
    pub(crate) fn close_log(&mut self, place: &Place<'_>) -> io::Result<()> {
        if self.size > 0 { self.cut_leftover(place) } else { Ok(()) }
    }

    /// Gives the time index its closing entry: no more batches will come.
    pub(crate) fn seal(&mut self, place: &Place<'_>) -> io::Result<()> {
        let (timestamp, offset) = self.max_timestamp(place)?;
        if timestamp >= 0 {
            self.time_index.push(timestamp, offset, place)?;
        }
        Ok(())
    }

    /// Brings the three index files up to date.
    pub(crate) fn write_indexes(&mut self, place: &Place<'_>) -> io::Result<()> {
        self.offset_index.file().write_out(place, OFFSET_INDEX)?;
        self.time_index.file().write_out(place, TIME_INDEX)?;
        self.txn_index.file().write_out(place, TXN_INDEX)
    }

    /// Opens the file that [`Segment::take_unsynced`] will hand out; it stays open until then.
    pub(crate) fn open_unsynced(&mut self, place: &Place<'_>) -> io::Result<()> {
        if self.durability == Durability::Unsynced {
            self.file(place)?;
        }
        Ok(())
    }

    /// Adds the files that must be synced before the segment counts as durable. What [`Segment::open_unsynced`] did not
    /// open stays unsynced.
    pub(crate) fn take_unsynced(&mut self, files: &mut Vec<File>) {
        if self.durability == Durability::Unsynced
            && let Some(file) = &self.log
        {
            files.push(file.clone());
            self.durability = Durability::Synced;
        }
        files.extend(self.offset_index.file().take_unsynced());
        files.extend(self.time_index.file().take_unsynced());
        files.extend(self.txn_index.file().take_unsynced());
    }

    /// Closes the files; they are opened again when needed.
    pub(crate) fn close(&mut self) {
        self.log = None;
        self.offset_index.file().close();
        self.time_index.file().close();
        self.txn_index.file().close();
    }

    /// Number of bytes in index files, for grouping segments in compaction.
    pub(crate) fn index_bytes(&self) -> u64 {
        let offsets = self.offset_index.len() * crate::index_offset::ENTRY_BYTES;
        offsets.max(self.time_index.len() * crate::index_time::ENTRY_BYTES) as u64
    }
}
