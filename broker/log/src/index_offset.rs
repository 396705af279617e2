//! `.index`: offset to position, an entry every `index.interval.bytes` (Java: `OffsetIndex`).
//!
//! ```text
//! 0  i32  offset of the last record of the batch, minus the segment's base offset
//! 4  i32  position of the batch in the .log file
//! ```

use std::io;

use crate::entry_file::{EntryFile, EntryView};
use crate::folder::{OFFSET_INDEX, Place};
use crate::read::{Reading, Slice};

pub(crate) const ENTRY_BYTES: usize = 8;

#[derive(Debug)]
pub(crate) struct OffsetIndex {
    entries: EntryFile<ENTRY_BYTES>,
}

impl OffsetIndex {
    pub(crate) fn empty() -> Self {
        OffsetIndex { entries: EntryFile::empty() }
    }

    pub(crate) fn existing(length: u64) -> Self {
        OffsetIndex { entries: EntryFile::existing(length) }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn push(&mut self, offset: i64, position: u32, place: &Place<'_>) {
        self.entries.push(encode((offset - place.base_offset) as i32, position), place, OFFSET_INDEX);
    }

    /// Position of the last indexed batch that ends at or before `offset`; 0 when there is none.
    pub(crate) fn lookup(&mut self, offset: i64, place: &Place<'_>) -> io::Result<u64> {
        let target = offset - place.base_offset;
        let after = self.entries.partition_point(place, OFFSET_INDEX, |entry| i64::from(decode(entry).0) <= target)?;
        match after.checked_sub(1) {
            Some(index) => Ok(u64::from(decode(&self.entries.get(index, place, OFFSET_INDEX)?).1)),
            None => Ok(0),
        }
    }

    /// The index as it is now, to be searched when the log's lock is let go.
    pub(crate) fn view(&mut self, place: &Place<'_>) -> io::Result<OffsetView> {
        Ok(OffsetView { base_offset: place.base_offset, entries: self.entries.view(place, OFFSET_INDEX)? })
    }

    /// Drops entries at or after `offset`.
    pub(crate) fn truncate(&mut self, offset: i64, place: &Place<'_>) -> io::Result<()> {
        let target = offset - place.base_offset;
        let kept = self.entries.partition_point(place, OFFSET_INDEX, |entry| i64::from(decode(entry).0) < target)?;
        self.entries.truncate(kept);
        Ok(())
    }

    /// The last entry: offset and position.
    pub(crate) fn last(&mut self, place: &Place<'_>) -> io::Result<Option<(i64, u64)>> {
        Ok(self.entries.last(place, OFFSET_INDEX)?.map(|entry| {
            let (relative, position) = decode(&entry);
            (place.base_offset + i64::from(relative), u64::from(position))
        }))
    }

    pub(crate) fn file(&mut self) -> &mut EntryFile<ENTRY_BYTES> {
        &mut self.entries
    }
}

/// An [`OffsetIndex`] at one instant.
#[derive(Debug)]
pub(crate) struct OffsetView {
    base_offset: i64,
    entries: EntryView<ENTRY_BYTES>,
}

impl OffsetView {
    /// As [`OffsetIndex::lookup`].
    pub(crate) fn lookup(&self, offset: i64, reading: Reading) -> io::Result<u64> {
        let target = offset - self.base_offset;
        let after = self.entries.partition_point(reading, |entry| i64::from(decode(entry).0) <= target)?;
        match after.checked_sub(1) {
            Some(index) => Ok(u64::from(decode(&self.entries.get(index, reading)?).1)),
            None => Ok(0),
        }
    }

    /// Offset of the first entry at or behind `position`: an upper bound of what lies before it.
    pub(crate) fn upper_bound(&self, position: u64, reading: Reading) -> io::Result<Option<i64>> {
        let index = self.entries.partition_point(reading, |entry| u64::from(decode(entry).1) < position)?;
        if index == self.entries.len() {
            return Ok(None);
        }
        let (relative, _) = decode(&self.entries.get(index, reading)?);
        Ok(Some(self.base_offset + i64::from(relative)))
    }

    pub(crate) fn extent(&self) -> Option<Slice> {
        self.entries.extent()
    }
}

fn encode(relative: i32, position: u32) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..4].copy_from_slice(&relative.to_be_bytes());
    entry[4..].copy_from_slice(&position.to_be_bytes());
    entry
}

pub(crate) fn decode(entry: &[u8; ENTRY_BYTES]) -> (i32, u32) {
    let [a, b, c, d, e, f, g, h] = *entry;
    (i32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}
