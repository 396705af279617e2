//! Walking the batches of a `.log` file: headers only, or whole batches.

use std::io;

use millstream_base_env::File;

use crate::read::Reading;
use millstream_protocol::batch::{BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD};

/// Bytes per read of a header scan: small batches share one.
const HEADER_READ: usize = 4096;
/// Bytes per read of a batch scan.
const BATCH_READ: usize = 1 << 20;
/// Bytes per read of one that ends soon.
const NEAR_READ: usize = 32 << 10;

/// Where a batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

/// The first batch that ends at or after `offset`, looked for from `hint` on; `None` when there is none before
/// `end`. A hint that points to no batch at or before `offset`, or from which no batches lead to the end, comes from a
/// damaged index: the search begins at the start of the file then.
///
/// # Errors
/// `InvalidData` when what is in the way is no batch: what lies behind it must not be taken for the next record.
pub(crate) fn find_offset(file: &File, hint: u64, end: u64, offset: i64) -> io::Result<Option<Located>> {
    find_offset_as(Reading::Waits, file, hint, end, offset)
}

/// The same; with [`Reading::InMemory`] an error of kind `WouldBlock` where the disk would be waited for.
pub(crate) fn find_offset_as(
    reading: Reading,
    file: &File,
    hint: u64,
    end: u64,
    offset: i64,
) -> io::Result<Option<Located>> {
    let mut is_first = true;
    let mut hint_holds = true;
    let mut reached = hint;
    let found = find_as(reading, file, hint, end, |header| {
        if std::mem::take(&mut is_first) && header.base_offset > offset && hint > 0 {
            hint_holds = false;
            return true;
        }
        reached += header.size() as u64;
        header.last_offset() >= offset
    })?;
    let is_torn = found.is_none() && reached < end;
    if hint > 0 && (is_first || !hint_holds || is_torn) {
        return find_offset_as(reading, file, 0, end, offset);
    }
    if is_torn {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("no batch at position {reached}")));
    }
    Ok(found)
}

/// The first batch from `position` on that satisfies `wanted`.
pub(crate) fn find(
    file: &File,
    position: u64,
    end: u64,
    wanted: impl FnMut(&BatchHeader) -> bool,
) -> io::Result<Option<Located>> {
    find_as(Reading::Waits, file, position, end, wanted)
}

fn find_as(
    reading: Reading,
    file: &File,
    mut position: u64,
    end: u64,
    mut wanted: impl FnMut(&BatchHeader) -> bool,
) -> io::Result<Option<Located>> {
    let mut buffer = [0; HEADER_READ];
    let mut buffered = position..position;
    while position + HEADER_BYTES as u64 <= end {
        if position < buffered.start || position + HEADER_BYTES as u64 > buffered.end {
            let length = buffer.len().min((end - position) as usize);
            let read = reading.read(file, &mut buffer[..length], position)?;
            buffered = position..position + read as u64;
        }
        let Some(header) = BatchHeader::decode(&buffer[(position - buffered.start) as usize..]) else {
            return Ok(None);
        };
        if !is_sound(&header) {
            return Ok(None);
        }
        if wanted(&header) {
            return Ok(Some(Located { position, header }));
        }
        position += header.size() as u64;
    }
    Ok(None)
}

/// Whether a header can be one of a batch v2.
pub(crate) fn is_sound(header: &BatchHeader) -> bool {
    header.magic == 2 && header.size() >= HEADER_BYTES && header.base_offset >= 0 && header.last_offset_delta >= 0
}

/// Reads whole batches one after the other into a buffer of its own.
pub(crate) struct BatchScan {
    file: File,
    reading: Reading,
    /// Bytes per read.
    chunk: usize,
    /// Position of the next batch.
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Position of the buffer's first byte.
    buffer_start: u64,
    filled: usize,
}

/// What comes next in a scan.
pub(crate) enum Next<'a> {
    /// A batch whose frame is sound; its CRC was not looked at.
    Batch(Located, &'a [u8]),
    /// The end, exactly behind a batch.
    End,
    /// What follows is no batch or is cut.
    Torn,
}

impl BatchScan {
    pub(crate) fn new(file: File, position: u64, end: u64) -> Self {
        BatchScan {
            file,
            reading: Reading::Waits,
            chunk: BATCH_READ,
            position,
            end,
            buffer: Vec::new(),
            buffer_start: position,
            filled: 0,
        }
    }

    /// The same for who expects to find something soon: small reads, and an error of kind `WouldBlock` where `reading`
    /// wants it.
    pub(crate) fn near(file: File, position: u64, end: u64, reading: Reading) -> Self {
        BatchScan { reading, chunk: NEAR_READ, ..BatchScan::new(file, position, end) }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        if self.position == self.end {
            return Ok(Next::End);
        }
        if !self.fill(HEADER_BYTES)? {
            return Ok(Next::Torn);
        }
        let start = (self.position - self.buffer_start) as usize;
        let Some(header) = BatchHeader::decode(&self.buffer[start..self.filled]) else {
            return Ok(Next::Torn);
        };
        let is_inside = self.position + header.size() as u64 <= self.end;
        if !is_sound(&header) || header.length < (HEADER_BYTES - LENGTH_OVERHEAD) as i32 || !is_inside {
            return Ok(Next::Torn);
        }
        if !self.fill(header.size())? {
            return Ok(Next::Torn);
        }
        let position = self.position;
        let start = (position - self.buffer_start) as usize;
        self.position += header.size() as u64;
        Ok(Next::Batch(Located { position, header }, &self.buffer[start..start + header.size()]))
    }

    /// Makes `needed` bytes from `position` on available.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        let start = (self.position - self.buffer_start) as usize;
        if start + needed <= self.filled {
            return Ok(true);
        }
        self.buffer.copy_within(start..self.filled, 0);
        self.filled -= start;
        self.buffer_start = self.position;
        let left = (self.end - self.position) as usize;
        let wanted = needed.max(self.chunk).min(left);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let from = self.buffer_start + self.filled as u64;
        self.filled += self.reading.read(&self.file, &mut self.buffer[self.filled..wanted], from)?;
        Ok(needed <= self.filled)
    }
}
