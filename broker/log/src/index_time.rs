//! `.timeindex`: the running largest timestamp (Java: `TimeIndex`).
//!
//! ```text
//! 0  i64  largest timestamp in the segment so far
//! 8  i32  last offset of the batch that holds it, minus the segment's base offset
//! ```

use std::io;

use crate::entry_file::{EntryFile, EntryView};
use crate::folder::{Place, TIME_INDEX};
use crate::read::Reading;

pub(crate) const ENTRY_BYTES: usize = 12;

#[derive(Debug)]
pub(crate) struct TimeIndex {
    entries: EntryFile<ENTRY_BYTES>,
    /// Timestamp of the last entry, `None` until it was read.
    last_timestamp: Option<i64>,
}

impl TimeIndex {
    pub(crate) fn empty() -> Self {
        TimeIndex { entries: EntryFile::empty(), last_timestamp: Some(-1) }
    }

    pub(crate) fn existing(length: u64) -> Self {
        TimeIndex { entries: EntryFile::existing(length), last_timestamp: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Appends unless `timestamp` is no later than the last entry's.
    pub(crate) fn push(&mut self, timestamp: i64, offset: i64, place: &Place<'_>) -> io::Result<()> {
        let last = match self.last_timestamp {
            Some(last) => last,
            None => self.last(place)?.map_or(-1, |(timestamp, _)| timestamp),
        };
        if timestamp > last {
            self.entries.push(encode(timestamp, (offset - place.base_offset) as i32), place, TIME_INDEX);
            self.last_timestamp = Some(timestamp);
        }
        Ok(())
    }

    /// Reads the last entry, which [`TimeIndex::push`] compares with, unless it is known.
    pub(crate) fn prepare(&mut self, place: &Place<'_>) -> io::Result<()> {
        match self.last_timestamp {
            Some(_) => Ok(()),
            None => self.last(place).map(drop),
        }
    }

    /// The index as it is now, to be searched when the log's lock is let go.
    pub(crate) fn view(&mut self, place: &Place<'_>) -> io::Result<TimeView> {
        Ok(TimeView { base_offset: place.base_offset, entries: self.entries.view(place, TIME_INDEX)? })
    }

    /// Drops entries at or after `offset`.
    pub(crate) fn truncate(&mut self, offset: i64, place: &Place<'_>) -> io::Result<()> {
        let target = offset - place.base_offset;
        let kept = self.entries.partition_point(place, TIME_INDEX, |entry| i64::from(decode(entry).1) < target)?;
        self.entries.truncate(kept);
        self.last_timestamp = None;
        Ok(())
    }

    /// The last entry: timestamp and offset.
    pub(crate) fn last(&mut self, place: &Place<'_>) -> io::Result<Option<(i64, i64)>> {
        let last = self.entries.last(place, TIME_INDEX)?.map(|entry| {
            let (timestamp, relative) = decode(&entry);
            (timestamp, place.base_offset + i64::from(relative))
        });
        self.last_timestamp = Some(last.map_or(-1, |(timestamp, _)| timestamp));
        Ok(last)
    }

    pub(crate) fn file(&mut self) -> &mut EntryFile<ENTRY_BYTES> {
        &mut self.entries
    }
}

/// A [`TimeIndex`] at one instant.
#[derive(Debug)]
pub(crate) struct TimeView {
    pub(crate) base_offset: i64,
    entries: EntryView<ENTRY_BYTES>,
}

impl TimeView {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The last entry at or before `timestamp`: the offset from which on a later record may be found.
    pub(crate) fn lookup(&self, timestamp: i64, reading: Reading) -> io::Result<i64> {
        let after = self.entries.partition_point(reading, |entry| decode(entry).0 <= timestamp)?;
        match after.checked_sub(1) {
            Some(index) => {
                let (_, relative) = decode(&self.entries.get(index, reading)?);
                Ok(self.base_offset + i64::from(relative))
            }
            None => Ok(self.base_offset),
        }
    }

    /// The last entry: timestamp and offset.
    pub(crate) fn last(&self, reading: Reading) -> io::Result<Option<(i64, i64)>> {
        let Some(index) = self.entries.len().checked_sub(1) else { return Ok(None) };
        let (timestamp, relative) = decode(&self.entries.get(index, reading)?);
        Ok(Some((timestamp, self.base_offset + i64::from(relative))))
    }
}

fn encode(timestamp: i64, relative: i32) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..8].copy_from_slice(&timestamp.to_be_bytes());
    entry[8..].copy_from_slice(&relative.to_be_bytes());
    entry
}

pub(crate) fn decode(entry: &[u8; ENTRY_BYTES]) -> (i64, i32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
    (i64::from_be_bytes([a, b, c, d, e, f, g, h]), i32::from_be_bytes([i, j, k, l]))
}
