//! Window stores: values by key and window start, in segments (RocksDBWindowStore, RocksDBTimeOrderedWindowStore).
//! Bytes in and out; typed stores and the operators of windows and stream-stream joins stand above it.
//!
//! Rows are led by the key, or, for `emit on close`, by the time: then what closed is one scan. A time-first store can have
//! an index that leads from a key to its rows.

use bytes::Bytes;

use super::error::{Malformed, StateError};
use super::format::window as format;
use super::rows::{Order, Row, Rows};
use super::segments::{PREFIX, Segments, Stored, default_interval_ms};
use crate::topology::store::Duplicates;

/// In which order the rows of a window or session store lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// By key, then by time.
    KeyFirst,
    /// By time, then by key (`emit on close`).
    TimeFirst {
        /// Whether an index finds the rows of a key (sliding windows, sessions).
        index: Index,
    },
}

/// Whether a time-first store has an index by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// It has one.
    ByKey,
    /// The rows of a key are found by going through those of the times.
    None,
}

/// What a window store is made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSettings {
    /// How long a window is kept after stream time.
    pub retention_ms: i64,
    /// How long a window is.
    pub size_ms: i64,
    /// Whether several values of one key and start are kept.
    pub duplicates: Duplicates,
    /// The order of the rows.
    pub layout: Layout,
}

/// A row of a window store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowRow {
    /// The key.
    pub key: Bytes,
    /// The window's start.
    pub start: i64,
    /// The value.
    pub value: Bytes,
}

/// Values by key and window start.
pub struct WindowRows {
    name: String,
    segments: Segments,
    settings: WindowSettings,
    sequence: i32,
}

impl WindowRows {
    /// Over these rows, which may hold windows already.
    pub fn open(
        name: impl Into<String>,
        rows: Box<dyn Rows>,
        settings: WindowSettings,
    ) -> Result<WindowRows, StateError> {
        let segments = Segments::open(rows, settings.retention_ms, default_interval_ms(settings.retention_ms))?;
        Ok(WindowRows { name: name.into(), segments, settings, sequence: 0 })
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

    /// What it was made by.
    pub fn settings(&self) -> &WindowSettings {
        &self.settings
    }

    fn malformed(&self, malformed: Malformed) -> StateError {
        StateError::Row { store: self.name.clone(), malformed }
    }

    /// Sets the value of a key and window start; None deletes it, and does nothing where duplicates are kept.
    /// The sequence number that the row got is that of the changelog's key; an expired row goes there too, as in Java.
    pub fn put(&mut self, key: &[u8], start: i64, value: Option<Bytes>) -> Result<(Stored, i32), StateError> {
        if self.settings.duplicates == Duplicates::Kept {
            if value.is_none() {
                return Ok((Stored::Yes, self.sequence));
            }
            self.sequence = self.sequence.wrapping_add(1) & i32::MAX;
        }
        Ok((self.put_row(key, start, self.sequence, value)?, self.sequence))
    }

    /// A record of the changelog: its key is that of a key-first row.
    pub fn restore(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), StateError> {
        let key = format::read_store_key(key).map_err(|malformed| self.malformed(malformed))?;
        self.put_row(&key.key, key.start, key.sequence, value).map(|_| ())
    }

    fn put_row(&mut self, key: &[u8], start: i64, sequence: i32, value: Option<Bytes>) -> Result<Stored, StateError> {
        match self.settings.layout {
            Layout::KeyFirst => {
                self.segments.put_live(start, |out| format::write_store_key(key, start, sequence, out), value)
            }
            Layout::TimeFirst { index } => {
                let mark = value.is_some().then(Bytes::new);
                let write = |out: &mut Vec<u8>| format::write_time_first_key(key, start, sequence, out);
                let stored = self.segments.put_live(start, write, value)?;
                if stored == Stored::Yes && index == Index::ByKey {
                    let write = |out: &mut Vec<u8>| format::write_index_key(key, start, sequence, out);
                    self.segments.put(self.segments.id(start), write, mark)?;
                }
                Ok(stored)
            }
        }
    }

    /// The earliest start that is still seen. A time-first store shows one millisecond more, as Java's does.
    fn earliest(&self) -> i64 {
        self.segments.earliest(if self.settings.layout == Layout::KeyFirst { 0 } else { 1 })
    }

    /// The value of a key and window start.
    pub fn get(&self, key: &[u8], start: i64) -> Result<Option<Bytes>, StateError> {
        if start < self.earliest() {
            return Ok(None);
        }
        let sequence = self.sequence;
        self.segments.get(self.segments.id(start), |out| match self.settings.layout {
            Layout::KeyFirst => format::write_store_key(key, start, sequence, out),
            Layout::TimeFirst { .. } => format::write_time_first_key(key, start, sequence, out),
        })
    }

    /// The rows of a key whose windows start from `from` to `to`, both included, in the order of their starts.
    pub fn fetch<'a>(&'a self, key: &[u8], from: i64, to: i64, order: Order) -> WindowIter<'a> {
        self.scan(self.of_key(key, from, to), order)
    }

    /// What `fetch` goes through.
    pub fn of_key(&self, key: &[u8], from: i64, to: i64) -> WindowSpan {
        let write = match self.settings.layout {
            Layout::KeyFirst => format::write_store_key,
            Layout::TimeFirst { index: Index::ByKey } => format::write_index_key,
            Layout::TimeFirst { index: Index::None } => format::write_time_first_key,
        };
        let (mut first, mut last) = (Vec::new(), Vec::new());
        write(key, from.max(self.earliest()).max(0), 0, &mut first);
        write(key, to, i32::MAX, &mut last);
        self.span((Some(key), Some(key)), from, to, first, Some(last))
    }

    /// The rows of a span of keys, both ends included (None is open), whose windows start from `from` to `to`: by key where
    /// rows or an index lie so.
    pub fn fetch_range<'a>(
        &'a self,
        keys: (Option<&[u8]>, Option<&[u8]>),
        from: i64,
        to: i64,
        order: Order,
    ) -> WindowIter<'a> {
        self.scan(self.of_range(keys, from, to), order)
    }

    /// What `fetch_range` goes through.
    pub fn of_range(&self, keys: (Option<&[u8]>, Option<&[u8]>), from: i64, to: i64) -> WindowSpan {
        let (mut first, mut last) = match self.settings.layout {
            Layout::KeyFirst => (Vec::new(), Vec::new()),
            Layout::TimeFirst { index: Index::ByKey } => (vec![format::KEY_FIRST], vec![format::KEY_FIRST]),
            Layout::TimeFirst { index: Index::None } => return self.of_times(keys, from, to),
        };
        first.extend_from_slice(keys.0.unwrap_or_default());
        let last = match keys.1 {
            Some(key) => {
                format::write_upper_range(key, to, &mut last);
                Some(last)
            }
            None => None,
        };
        self.span(keys, from, to, first, last)
    }

    /// The rows of all keys whose windows start from `from` to `to`, both included, segment by segment as they lie.
    pub fn fetch_all(&self, from: i64, to: i64, order: Order) -> WindowIter<'_> {
        self.scan(self.of_all(from, to), order)
    }

    /// What `fetch_all` goes through.
    pub fn of_all(&self, from: i64, to: i64) -> WindowSpan {
        match self.settings.layout {
            Layout::KeyFirst => self.span((None, None), from, to, Vec::new(), None),
            Layout::TimeFirst { .. } => self.of_times((None, None), from, to),
        }
    }

    fn of_times(&self, keys: (Option<&[u8]>, Option<&[u8]>), from: i64, to: i64) -> WindowSpan {
        let mut first = vec![format::TIME_FIRST];
        first.extend_from_slice(&from.max(self.earliest()).max(0).to_be_bytes());
        // No row's key is as short as this one, which is larger than all of the last time's; the index begins after it.
        let mut last = vec![format::TIME_FIRST];
        match to.checked_add(1) {
            Some(after) => last.extend_from_slice(&after.to_be_bytes()),
            None => last = vec![format::KEY_FIRST],
        }
        self.span(keys, from, to, first, Some(last))
    }

    fn span(
        &self,
        keys: (Option<&[u8]>, Option<&[u8]>),
        from: i64,
        to: i64,
        first: Vec<u8>,
        last: Option<Vec<u8>>,
    ) -> WindowSpan {
        let keys = (keys.0.map(Bytes::copy_from_slice), keys.1.map(Bytes::copy_from_slice));
        WindowSpan { keys, from, to, earliest: self.earliest(), rows: (Some(first), last) }
    }

    /// The rows, or where the span is one of the index those that it leads to.
    fn scan(&self, span: WindowSpan, order: Order) -> WindowIter<'_> {
        let rows = self.places(&span, order, None);
        let rows = rows.filter_map(move |row| row.and_then(|row| self.within(row, &span)).transpose());
        WindowIter(Box::new(rows))
    }

    /// All that a read goes through, in order, behind a place that it came to before: as it lies, the keys led by the
    /// numbers of their segments. `within` tells what is asked for among it.
    pub fn places<'a>(
        &'a self,
        span: &WindowSpan,
        order: Order,
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<Row, StateError>> + 'a {
        let rows = span.rows.clone();
        let found = (!span.is_empty()).then(|| {
            let segments = self.segments.id(span.from.max(span.earliest))..=self.segments.id(span.to);
            self.segments.places(segments, rows, order, after.map(<[u8]>::to_vec))
        });
        found.into_iter().flatten()
    }

    /// A row that a read came to, if it is asked for.
    pub fn within(&self, (key, value): Row, span: &WindowSpan) -> Result<Option<WindowRow>, StateError> {
        let key = key.slice(PREFIX.min(key.len())..);
        let index = self.is_index(&key);
        let (row, sequence) = self.read((key, value))?;
        // Keys have no fixed length: those of others can lie between two starts of this one.
        match (row.start >= span.earliest && span.contains(&row.key, row.start), index) {
            (false, _) => Ok(None),
            (true, false) => Ok(Some(row)),
            (true, true) => {
                let write = |out: &mut Vec<u8>| format::write_time_first_key(&row.key, row.start, sequence, out);
                let value = self.segments.get(self.segments.id(row.start), write)?;
                Ok(value.map(|value| WindowRow { value, ..row }))
            }
        }
    }

    /// All rows within retention.
    pub fn all(&self, order: Order) -> WindowIter<'_> {
        self.fetch_all(0, i64::MAX, order)
    }

    fn is_index(&self, key: &[u8]) -> bool {
        self.settings.layout != Layout::KeyFirst && key.first() == Some(&format::KEY_FIRST)
    }

    /// A row, and its sequence number.
    fn read(&self, (key, value): Row) -> Result<(WindowRow, i32), StateError> {
        let key = match self.settings.layout {
            Layout::KeyFirst => format::read_store_key(key),
            _ if key.first() == Some(&format::KEY_FIRST) => format::read_index_key(key),
            _ => format::read_time_first_key(key),
        };
        let key = key.map_err(|malformed| self.malformed(malformed))?;
        Ok((WindowRow { key: key.key, start: key.start, value }, key.sequence))
    }

    /// All rows within retention as they lie, without the index: what the goldens show of a store.
    pub fn dump(&self) -> Result<Vec<Row>, StateError> {
        let mut rows = Vec::new();
        let earliest = self.earliest();
        for row in self.segments.range(0..=i64::MAX, None, None, Order::Ascending) {
            let row = row?;
            if !self.is_index(&row.0) && self.read(row.clone())?.0.start >= earliest {
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

/// What a read of windows goes through: a span of rows in some segments, with more in it than is asked for.
#[derive(Debug, Clone)]
pub struct WindowSpan {
    keys: (Option<Bytes>, Option<Bytes>),
    from: i64,
    to: i64,
    /// The earliest start that rows are seen of.
    earliest: i64,
    /// The first and the last key, both included, of each segment.
    rows: (Option<Vec<u8>>, Option<Vec<u8>>),
}

impl WindowSpan {
    fn is_empty(&self) -> bool {
        self.to < self.from.max(self.earliest) || matches!(&self.keys, (Some(first), Some(last)) if first > last)
    }

    /// Whether a window is asked for; what waits to become a row is not measured by the rows' retention.
    pub fn contains(&self, key: &[u8], start: i64) -> bool {
        (self.from..=self.to).contains(&start)
            && self.keys.0.as_ref().is_none_or(|first| key >= &first[..])
            && self.keys.1.as_ref().is_none_or(|last| key <= &last[..])
    }

    /// The key, if it is one alone.
    pub fn key(&self) -> Option<&[u8]> {
        match &self.keys {
            (Some(first), Some(last)) if first == last => Some(first),
            _ => None,
        }
    }

    /// The first and the last start.
    pub fn starts(&self) -> (i64, i64) {
        (self.from, self.to)
    }
}

/// Rows of a window store.
pub struct WindowIter<'a>(Box<dyn Iterator<Item = Result<WindowRow, StateError>> + 'a>);

impl Iterator for WindowIter<'_> {
    type Item = Result<WindowRow, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

#[cfg(test)]
mod tests;
