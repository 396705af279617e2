//! The buffer of a stream-table join with grace: records of the stream wait until stream time is a grace ahead of them
//! (RocksDBTimeOrderedKeyValueBuffer). Rows lie by time, key and a number; records of one key and time all wait.
//!
//! Java restores the rows of its changelog under keys that it reads in another layout than it wrote them; here they are read
//! as they were written, so that waiting records outlive a restart.

use bytes::Bytes;

use super::error::{Malformed, StateError};
use super::format::buffer::{BufferValue, RecordContext};
use super::format::window::{read_time_first_key, write_time_first_key};
use super::rows::{Order, Row, Rows};
use super::segments::Segments;

/// A record that waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited {
    /// The row's key: the changelog gets a deletion of it.
    pub row: Bytes,
    /// The record's key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// Its context.
    pub context: RecordContext,
}

/// Records that wait.
pub struct GraceBuffer {
    name: String,
    segments: Segments,
    grace_ms: i64,
    sequence: i32,
    len: usize,
    /// No row lies before this one; where None, that is not known.
    first: Option<Bytes>,
}

impl GraceBuffer {
    /// Over these rows, which may hold records already.
    pub fn open(name: impl Into<String>, rows: Box<dyn Rows>, grace_ms: i64) -> Result<GraceBuffer, StateError> {
        // One segment for all of time: what waits is never dropped.
        let segments = Segments::open(rows, i64::MAX, i64::MAX)?;
        let mut buffer = GraceBuffer { name: name.into(), segments, grace_ms, sequence: 0, len: 0, first: None };
        for row in buffer.dump()? {
            let key = read_time_first_key(row.0).map_err(|malformed| buffer.malformed(malformed))?;
            buffer.counted(key.sequence);
        }
        Ok(buffer)
    }

    /// A row is put: what was deleted before the first one need not be passed over (Java: `minTimestamp`).
    fn begins(&mut self, row: &Bytes) {
        if self.len == 0 || self.first.as_ref().is_some_and(|first| row < first) {
            self.first = Some(row.clone());
        }
    }

    fn counted(&mut self, sequence: i32) {
        self.len += 1;
        self.sequence = self.sequence.max(sequence);
    }

    /// The store's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The engine and stream time.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The engine, for commits.
    pub fn segments_mut(&mut self) -> &mut Segments {
        &mut self.segments
    }

    fn malformed(&self, malformed: Malformed) -> StateError {
        StateError::Row { store: self.name.clone(), malformed }
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a record in, and gives the changelog's record; None, and nothing put, if its grace is over: it joins at once.
    pub fn put(&mut self, key: &[u8], value: Bytes, context: RecordContext) -> Result<Option<Row>, StateError> {
        let timestamp = context.timestamp;
        if self.segments.stream_time().saturating_sub(self.grace_ms) > timestamp {
            return Ok(None);
        }
        self.sequence = self.sequence.wrapping_add(1) & i32::MAX;
        let mut row = Vec::new();
        write_time_first_key(key, timestamp, self.sequence, &mut row);
        let (mut stored, row) = (Vec::new(), Bytes::from(row));
        BufferValue { prior: None, old: None, new: Some(value), context }.write(&mut stored);
        self.segments.put_live(timestamp, |out| out.extend_from_slice(&row), Some(Bytes::from(stored.clone())))?;
        self.begins(&row);
        self.len += 1;
        // Java writes 0 for the time that it waits for.
        stored.extend_from_slice(&0_i64.to_be_bytes());
        Ok(Some((row, Bytes::from(stored))))
    }

    /// Takes out the records whose grace is over, by time and key.
    pub fn take_ready(&mut self) -> Result<Vec<Waited>, StateError> {
        let last = self.segments.stream_time().saturating_sub(self.grace_ms);
        if self.len == 0 || last < 0 {
            return Ok(Vec::new());
        }
        let (mut ready, mut first) = (Vec::new(), None);
        let from = self.first.as_ref().map(|first| first.to_vec());
        for row in self.segments.range(0..=0, from, None, Order::Ascending) {
            let (row, value) = row?;
            let key = read_time_first_key(row.clone()).map_err(|malformed| self.malformed(malformed))?;
            if key.start > last {
                first = Some(row);
                break;
            }
            let value = BufferValue::read(value).map_err(|malformed| self.malformed(malformed))?;
            let context = value.context;
            ready.push(Waited { row, key: key.key, value: value.new.unwrap_or_default(), context });
        }
        for waited in &ready {
            self.segments.put(0, |out| out.extend_from_slice(&waited.row), None)?;
        }
        self.len -= ready.len();
        self.first = first;
        Ok(ready)
    }

    /// A record of the changelog.
    pub fn restore(&mut self, row: Bytes, value: Option<Bytes>) -> Result<(), StateError> {
        let key = read_time_first_key(row.clone()).map_err(|malformed| self.malformed(malformed))?;
        let was_there = self.segments.get(0, |out| out.extend_from_slice(&row))?.is_some();
        let value = match value {
            None => None,
            Some(value) => {
                let (value, _) = BufferValue::read_with_time(value).map_err(|malformed| self.malformed(malformed))?;
                let mut out = Vec::new();
                value.write(&mut out);
                Some(Bytes::from(out))
            }
        };
        match (was_there, value.is_some()) {
            (false, true) => {
                self.begins(&row);
                self.counted(key.sequence);
            }
            (true, false) => self.len -= 1,
            _ => {}
        }
        self.segments.put_live(key.start, |out| out.extend_from_slice(&row), value).map(|_| ())
    }

    /// The rows as they lie: what the goldens show of it.
    pub fn dump(&self) -> Result<Vec<Row>, StateError> {
        self.segments.range(0..=0, None, None, Order::Ascending).collect()
    }
}

#[cfg(test)]
mod tests;
