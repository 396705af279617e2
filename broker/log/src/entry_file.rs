//! A file of entries of one size, the newest of which may still be in memory: what the three indexes of a
//! segment stand on.
//!
//! An append costs no system call: entries gather in memory and go to the file in small writes, at the
//! latest when the segment is sealed or flushed. A full disk only makes them wait in memory. A crash loses
//! what was in memory, which recovery rebuilds from the `.log` file. Never here: what an entry means.

use std::io::{self, IoSlice};

use millstream_base_env::File;
use millstream_base_env::disk::OpenMode;

use crate::folder::Place;
use crate::read::Slice;

/// Entries that may wait in memory before they are written.
const TAIL_MAX: usize = 256;

/// Entries that a search reads at once.
const PAGE: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct EntryFile<const N: usize> {
    file: Option<File>,
    /// Entries in the file.
    written: u32,
    /// Entries after those.
    tail: Vec<[u8; N]>,
    /// Whether the file holds bytes after `written` that do not belong to it.
    must_cut: bool,
    /// Whether the file changed since it was last synced.
    unsynced: bool,
}

impl<const N: usize> EntryFile<N> {
    /// A file that does not exist yet, or whose content counts for nothing.
    pub(crate) fn empty() -> Self {
        EntryFile { file: None, written: 0, tail: Vec::new(), must_cut: true, unsynced: false }
    }

    /// A file of `length` bytes that is trusted.
    pub(crate) fn existing(length: u64) -> Self {
        EntryFile { written: (length / N as u64) as u32, must_cut: false, ..EntryFile::empty() }
    }

    pub(crate) fn len(&self) -> usize {
        self.written as usize + self.tail.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends; writes out when many entries wait, and keeps them in memory when that fails.
    pub(crate) fn push(&mut self, entry: [u8; N], place: &Place<'_>, kind: &str) {
        self.tail.push(entry);
        if self.tail.len() >= TAIL_MAX && self.tail.len().is_power_of_two() {
            // Only a write that must succeed reports its failure; this one is tried again later.
            let _ = self.write_out(place, kind);
        }
    }

    pub(crate) fn get(&mut self, index: usize, place: &Place<'_>, kind: &str) -> io::Result<[u8; N]> {
        if let Some(in_memory) = index.checked_sub(self.written as usize) {
            return self.tail.get(in_memory).copied().ok_or(io::ErrorKind::UnexpectedEof.into());
        }
        let mut entry = [0; N];
        let read = place.reading.read(&self.open(place, kind)?, &mut entry, (index * N) as u64)?;
        if read == N { Ok(entry) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Number of entries in front of the first for which `is_before` is false. Entries are sorted by it.
    pub(crate) fn partition_point(
        &mut self,
        place: &Place<'_>,
        kind: &str,
        is_before: impl Fn(&[u8; N]) -> bool,
    ) -> io::Result<usize> {
        let written = self.written as usize;
        if self.is_empty() {
            return Ok(0);
        }
        if let Some(first) = self.tail.first()
            && (written == 0 || is_before(first))
        {
            return Ok(written + self.tail.partition_point(is_before));
        }
        let (mut low, mut high) = (0, written);
        while high - low > PAGE {
            let middle = low + (high - low) / 2;
            if is_before(&self.get(middle, place, kind)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // The rest fits into one read.
        let mut page = [[0; N]; PAGE];
        let page = &mut page[..high - low];
        let read = place.reading.read(&self.open(place, kind)?, page.as_flattened_mut(), (low * N) as u64)?;
        Ok(low + page[..read / N].partition_point(is_before))
    }

    /// The part of the file that holds entries, when it is open.
    pub(crate) fn extent(&self) -> Option<Slice> {
        let file = self.file.clone()?;
        Some(Slice { file, position: 0, length: self.written as usize * N })
    }

    /// Keeps the first `count` entries.
    pub(crate) fn truncate(&mut self, count: usize) {
        let written = self.written as usize;
        if count < written {
            self.written = count as u32;
            self.must_cut = true;
            self.tail.clear();
        } else {
            self.tail.truncate(count - written);
        }
    }

    /// Brings the file up to date, making it if need be.
    pub(crate) fn write_out(&mut self, place: &Place<'_>, kind: &str) -> io::Result<()> {
        if self.tail.is_empty() && !self.must_cut {
            return Ok(());
        }
        let position = u64::from(self.written) * N as u64;
        let file = self.open(place, kind)?;
        if self.must_cut {
            file.set_len(position)?;
            self.must_cut = false;
        }
        self.unsynced = true;
        if !self.tail.is_empty() {
            if let Err(error) = file.write_at(position, &[IoSlice::new(self.tail.as_flattened())]) {
                self.must_cut = true;
                return Err(error);
            }
            self.written += self.tail.len() as u32;
            self.tail = Vec::new();
        }
        Ok(())
    }

    /// The file, when it has to be synced; the caller syncs it outside its locks.
    pub(crate) fn take_unsynced(&mut self) -> Option<File> {
        if std::mem::take(&mut self.unsynced) { self.file.clone() } else { None }
    }

    /// Forgets the open file, unless it waits for a sync; it is opened again when needed.
    pub(crate) fn close(&mut self) {
        if !self.unsynced {
            self.file = None;
        }
    }

    pub(crate) fn last(&mut self, place: &Place<'_>, kind: &str) -> io::Result<Option<[u8; N]>> {
        match self.len() {
            0 => Ok(None),
            len => self.get(len - 1, place, kind).map(Some),
        }
    }

    fn open(&mut self, place: &Place<'_>, kind: &str) -> io::Result<File> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let file = place.disk.open(&place.path(kind), OpenMode::Create)?;
        self.file = Some(file.clone());
        Ok(file)
    }
}
