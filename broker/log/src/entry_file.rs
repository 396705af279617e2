//! A file of entries of one size, the newest of which may still be in memory: what the three indexes of a
//! segment stand on.
//!
//! An append costs no system call: entries gather in memory and go to the file in small writes, at the
//! latest when the segment is sealed or flushed. A full disk only makes them wait in memory. A crash loses
//! what was in memory, which recovery rebuilds from the `.log` file. Never here: what an entry means.

use std::io::{self, IoSlice};
use std::ops::ControlFlow;

use millstream_base_env::File;
use millstream_base_env::disk::OpenMode;

use crate::folder::Place;
use crate::read::{Reading, Slice};

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
        search(&self.open(place, kind)?, written, place.reading, is_before)
    }

    /// The entries as they are now, to be searched when the log's lock is let go.
    pub(crate) fn view(&mut self, place: &Place<'_>, kind: &str) -> io::Result<EntryView<N>> {
        let file = if self.written == 0 { None } else { Some(self.open(place, kind)?) };
        Ok(EntryView { file, written: self.written as usize, tail: self.tail.clone() })
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

/// Number of entries in front of the first for which `is_before` is false, of the first `count` in a file.
fn search<const N: usize>(
    file: &File,
    count: usize,
    reading: Reading,
    is_before: impl Fn(&[u8; N]) -> bool,
) -> io::Result<usize> {
    let (mut low, mut high) = (0, count);
    while high - low > PAGE {
        let middle = low + (high - low) / 2;
        let mut entry = [0; N];
        if reading.read(file, &mut entry, (middle * N) as u64)? < N {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if is_before(&entry) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    // The rest fits into one read.
    let mut page = [[0; N]; PAGE];
    let page = &mut page[..high - low];
    let read = reading.read(file, page.as_flattened_mut(), (low * N) as u64)?;
    Ok(low + page[..read / N].partition_point(is_before))
}

/// The entries of an [`EntryFile`] at one instant. A truncation meanwhile may take entries away from under it: a reader
/// finds fewer then, or those of what was written since.
#[derive(Debug)]
pub(crate) struct EntryView<const N: usize> {
    /// `None` when no entry was written.
    file: Option<File>,
    written: usize,
    tail: Vec<[u8; N]>,
}

impl<const N: usize> EntryView<N> {
    pub(crate) fn len(&self) -> usize {
        self.written + self.tail.len()
    }

    pub(crate) fn get(&self, index: usize, reading: Reading) -> io::Result<[u8; N]> {
        match (&self.file, index.checked_sub(self.written)) {
            (_, Some(in_memory)) => self.tail.get(in_memory).copied().ok_or(io::ErrorKind::UnexpectedEof.into()),
            (None, None) => Err(io::ErrorKind::UnexpectedEof.into()),
            (Some(file), None) => {
                let mut entry = [0; N];
                let read = reading.read(file, &mut entry, (index * N) as u64)?;
                if read == N { Ok(entry) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            }
        }
    }

    /// As [`EntryFile::partition_point`].
    pub(crate) fn partition_point(&self, reading: Reading, is_before: impl Fn(&[u8; N]) -> bool) -> io::Result<usize> {
        match &self.file {
            Some(file) if !self.tail.first().is_some_and(&is_before) => search(file, self.written, reading, is_before),
            Some(_) | None => Ok(self.written + self.tail.partition_point(is_before)),
        }
    }

    /// Hands over the entries from index `from` on, read page by page.
    pub(crate) fn walk(
        &self,
        from: usize,
        reading: Reading,
        mut each: impl FnMut(&[u8; N]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut index = from;
        let mut page = [[0; N]; PAGE];
        while let Some(file) = &self.file
            && index < self.written
        {
            let page = &mut page[..PAGE.min(self.written - index)];
            let read = reading.read(file, page.as_flattened_mut(), (index * N) as u64)? / N;
            if page[..read].iter().try_for_each(&mut each).is_break() || read < page.len() {
                return Ok(());
            }
            index += read;
        }
        let _ = self.tail.iter().skip(index - self.written.min(index)).try_for_each(each);
        Ok(())
    }

    /// The part of the file that holds entries.
    pub(crate) fn extent(&self) -> Option<Slice> {
        let file = self.file.clone()?;
        Some(Slice { file, position: 0, length: self.written * N })
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::path::Path;

    use millstream_base_env::{Disk, FaultyDisk};

    use super::*;

    /// Entries 0, 2, 4 and so on, `tail` of them not written.
    fn entries(disk: &Disk, count: u32, tail: u32) -> (EntryFile<4>, EntryView<4>) {
        let place = Place { disk, folder: Path::new("/"), base_offset: 0, suffix: "", reading: Reading::Waits };
        let mut file = EntryFile::empty();
        for number in 0..count {
            if number == count - tail {
                file.write_out(&place, ".x").unwrap();
            }
            file.tail.push((2 * number).to_be_bytes());
        }
        if tail == 0 {
            file.write_out(&place, ".x").unwrap();
        }
        let view = file.view(&place, ".x").unwrap();
        (file, view)
    }

    #[test]
    fn a_view_finds_and_walks_what_the_file_holds() {
        for (count, tail) in [(0, 0), (1, 0), (1, 1), (128, 0), (129, 1), (1000, 0), (1000, 200), (300, 300)] {
            let disk = Disk::Faulty(FaultyDisk::new(1));
            let (mut file, view) = entries(&disk, count, tail);
            let place =
                Place { disk: &disk, folder: Path::new("/"), base_offset: 0, suffix: "", reading: Reading::Waits };
            assert_eq!(view.len(), count as usize);
            for wanted in [0, 1, 2, 3, count, 2 * count - count.min(1), 2 * count, u32::MAX] {
                let is_before = |entry: &[u8; 4]| u32::from_be_bytes(*entry) < wanted;
                let index = view.partition_point(Reading::Waits, is_before).unwrap();
                assert_eq!(index, (wanted.div_ceil(2) as usize).min(count as usize), "{count} {tail} {wanted}");
                assert_eq!(index, file.partition_point(&place, ".x", is_before).unwrap());
                let mut walked = Vec::new();
                view.walk(index, Reading::Waits, |entry| {
                    walked.push(u32::from_be_bytes(*entry));
                    ControlFlow::Continue(())
                })
                .unwrap();
                let expected: Vec<u32> = (index as u32..count).map(|number| 2 * number).collect();
                assert_eq!(walked, expected, "{count} {tail} {wanted}");
            }
            for index in 0..count as usize {
                assert_eq!(view.get(index, Reading::Waits).unwrap(), (2 * index as u32).to_be_bytes());
            }
            assert!(view.get(count as usize, Reading::Waits).is_err());
        }
    }
}
