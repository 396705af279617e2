//! Session stores: values by key and session, in segments of the sessions' ends (RocksDBSessionStore,
//! RocksDBTimeOrderedSessionStore). Bytes in and out; a session that grows is another row, so the operator removes the old.

use bytes::Bytes;

use super::error::{Malformed, StateError};
use super::format::session as format;
use super::format::window::{KEY_FIRST, TIME_FIRST, write_upper_bound};
use super::rows::{Order, Row, Rows, SpanBuf, after_key};
use super::segments::{Segments, Stored, default_interval_ms};
use super::window::{Index, Layout};
use crate::record::{Window, Windowed};

/// Values by key and session.
pub struct SessionRows {
    name: String,
    segments: Segments,
    layout: Layout,
}

/// A session of a key and its value.
pub type SessionRow = (Windowed<Bytes>, Bytes);

/// Rows of a session store.
pub type SessionIter<'a> = Box<dyn Iterator<Item = Result<SessionRow, StateError>> + 'a>;

/// What a read of sessions goes through: a span of rows in some segments, with more in it than is asked for.
#[derive(Debug, Clone)]
pub struct SessionSpan {
    keys: (Option<Bytes>, Option<Bytes>),
    times: Meeting,
    /// The earliest end that rows are seen of.
    earliest: i64,
    /// The first and the last key, both included, of each segment.
    rows: (Option<Vec<u8>>, Option<Vec<u8>>),
}

impl SessionSpan {
    /// Whether a session is asked for; what waits to become a row is not measured by the rows' retention.
    pub fn contains(&self, key: &[u8], session: Window) -> bool {
        session.end >= self.times.earliest_end
            && session.start <= self.times.latest_start
            && self.keys.0.as_ref().is_none_or(|first| key >= &first[..])
            && self.keys.1.as_ref().is_none_or(|last| key <= &last[..])
    }

    /// Where what waits is, by the keys of rows that lie by key.
    pub fn waiting(&self) -> SpanBuf {
        let from = match &self.keys {
            (Some(key), Some(last)) if key == last => {
                let mut first = Vec::with_capacity(key.len() + format::SUFFIX);
                format::write_key(key, Window { start: 0, end: self.times.earliest_end.max(0) }, &mut first);
                Some(first)
            }
            _ => self.rows.0.clone(),
        };
        SpanBuf { from, to: self.rows.1.as_deref().map(after_key) }
    }
}

fn span(
    keys: (Option<&[u8]>, Option<&[u8]>),
    times: Meeting,
    earliest: i64,
    (first, last): (Vec<u8>, Option<Vec<u8>>),
) -> SessionSpan {
    let keys = (keys.0.map(Bytes::copy_from_slice), keys.1.map(Bytes::copy_from_slice));
    SessionSpan { keys, times, earliest, rows: (Some(first), last) }
}

fn of_times(keys: (Option<&[u8]>, Option<&[u8]>), times: Meeting, earliest: i64) -> SessionSpan {
    let first = [&[TIME_FIRST][..], &times.earliest_end.max(earliest).max(0).to_be_bytes()].concat();
    span(keys, times, earliest, (first, Some(vec![KEY_FIRST])))
}

/// Which sessions are looked for: those that end at `earliest_end` or later and start at `latest_start` or earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meeting {
    /// The earliest end.
    pub earliest_end: i64,
    /// The latest start.
    pub latest_start: i64,
}

impl SessionRows {
    /// Over these rows, which may hold sessions already.
    pub fn open(
        name: impl Into<String>,
        rows: Box<dyn Rows>,
        retention_ms: i64,
        layout: Layout,
    ) -> Result<SessionRows, StateError> {
        let segments = Segments::open(rows, retention_ms, default_interval_ms(retention_ms))?;
        Ok(SessionRows { name: name.into(), segments, layout })
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

    fn has_index(&self) -> bool {
        self.layout == Layout::TimeFirst { index: Index::ByKey }
    }

    fn write_key(&self, key: &[u8], session: Window, out: &mut Vec<u8>) {
        match self.layout {
            Layout::KeyFirst => format::write_key(key, session, out),
            Layout::TimeFirst { .. } => format::write_time_first_key(key, session, out),
        }
    }

    /// Sets the value of a session; None deletes it, and lets its segment begin if it takes rows, as Java's `put` does.
    pub fn put(&mut self, key: &[u8], session: Window, value: Option<Bytes>) -> Result<Stored, StateError> {
        let (layout, mark) = (self.layout, value.is_some().then(Bytes::new));
        let write = |out: &mut Vec<u8>| match layout {
            Layout::KeyFirst => format::write_key(key, session, out),
            Layout::TimeFirst { .. } => format::write_time_first_key(key, session, out),
        };
        let stored = self.segments.put_live(session.end, write, value)?;
        if stored == Stored::Yes && self.has_index() {
            let segment = self.segments.id(session.end);
            self.segments.put(segment, |out| format::write_index_key(key, session, out), mark)?;
        }
        Ok(stored)
    }

    /// Deletes a session; its end counts as a time seen.
    pub fn remove(&mut self, key: &[u8], session: Window) -> Result<(), StateError> {
        self.segments.observe(session.end);
        let segment = self.segments.id(session.end);
        if !self.segments.is_present(segment) {
            return Ok(());
        }
        let layout = self.layout;
        let write = |out: &mut Vec<u8>| match layout {
            Layout::KeyFirst => format::write_key(key, session, out),
            Layout::TimeFirst { .. } => format::write_time_first_key(key, session, out),
        };
        self.segments.put(segment, write, None)?;
        if self.has_index() {
            self.segments.put(segment, |out| format::write_index_key(key, session, out), None)?;
        }
        Ok(())
    }

    /// A record of the changelog: its key is that of a key-first row.
    pub fn restore(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), StateError> {
        let session = format::read_key(key).map_err(|malformed| self.malformed(malformed))?;
        self.put(&session.key, session.window, value).map(|_| ())
    }

    /// The value of a session.
    pub fn get(&self, key: &[u8], session: Window) -> Result<Option<Bytes>, StateError> {
        if session.end < self.segments.earliest(0) {
            return Ok(None);
        }
        self.segments.get(self.segments.id(session.end), |out| self.write_key(key, session, out))
    }

    /// The sessions of a key that meet these times, by end and start.
    pub fn find<'a>(&'a self, key: &[u8], times: Meeting, order: Order) -> SessionIter<'a> {
        self.scan(self.of_key(key, times), order)
    }

    /// What `find` goes through.
    pub fn of_key(&self, key: &[u8], times: Meeting) -> SessionSpan {
        let earliest = self.segments.earliest(0);
        let lower = Window { start: 0, end: times.earliest_end.max(earliest).max(0) };
        let upper = Window { start: times.latest_start, end: i64::MAX };
        let (mut first, mut last) = (Vec::new(), Vec::new());
        match self.layout {
            Layout::KeyFirst => {
                format::write_key(key, lower, &mut first);
                format::write_key(key, upper, &mut last);
            }
            Layout::TimeFirst { index: Index::ByKey } => {
                format::write_index_key(key, lower, &mut first);
                format::write_index_key(key, upper, &mut last);
            }
            Layout::TimeFirst { index: Index::None } => {
                format::write_time_first_key(key, lower, &mut first);
                format::write_time_first_key(key, upper, &mut last);
            }
        }
        span((Some(key), Some(key)), times, earliest, (first, Some(last)))
    }

    /// The sessions of a span of keys, both ends included (None is open), that meet these times.
    pub fn find_range<'a>(
        &'a self,
        keys: (Option<&[u8]>, Option<&[u8]>),
        times: Meeting,
        order: Order,
    ) -> SessionIter<'a> {
        self.scan(self.of_range(keys, times), order)
    }

    /// What `find_range` goes through.
    pub fn of_range(&self, keys: (Option<&[u8]>, Option<&[u8]>), times: Meeting) -> SessionSpan {
        let earliest = self.segments.earliest(0);
        let (mut first, mut last) = match self.layout {
            Layout::KeyFirst => (Vec::new(), Vec::new()),
            Layout::TimeFirst { index: Index::ByKey } => (vec![KEY_FIRST], vec![KEY_FIRST]),
            Layout::TimeFirst { index: Index::None } => return of_times(keys, times, earliest),
        };
        first.extend_from_slice(keys.0.unwrap_or_default());
        let last = keys.1.map(|key| {
            let mut suffix = i64::MAX.to_be_bytes().to_vec();
            suffix.extend_from_slice(&times.latest_start.to_be_bytes());
            write_upper_bound(key, &suffix, &mut last);
            last
        });
        span(keys, times, earliest, (first, last))
    }

    /// All sessions within retention, segment by segment as they lie.
    pub fn all(&self, order: Order) -> SessionIter<'_> {
        let earliest = self.segments.earliest(0);
        let times = Meeting { earliest_end: earliest.max(0), latest_start: i64::MAX };
        match self.layout {
            Layout::KeyFirst => self.scan(span((None, None), times, earliest, (Vec::new(), None)), order),
            Layout::TimeFirst { .. } => self.scan(of_times((None, None), times, earliest), order),
        }
    }

    /// The sessions of a time-first store that ended from one time to another, both included, by end, start and key:
    /// what `emit on close` hands on. Retention has no part in it, as in Java.
    pub fn ended<'a>(&'a self, earliest_end: i64, latest_end: i64) -> SessionIter<'a> {
        if self.layout == Layout::KeyFirst || latest_end < earliest_end {
            return Box::new(std::iter::empty());
        }
        let segments = self.segments.id(earliest_end)..=self.segments.id(latest_end);
        let bound = |time: i64| [&[TIME_FIRST][..], &time.to_be_bytes()].concat();
        let last = latest_end.checked_add(1).map_or(vec![KEY_FIRST], bound);
        let rows = self.segments.range(segments, Some(bound(earliest_end.max(0))), Some(last), Order::Ascending);
        Box::new(rows.filter_map(move |row| {
            let found = row.and_then(|row| self.read(row));
            match found {
                Ok((session, _)) if !(earliest_end..=latest_end).contains(&session.window.end) => None,
                found => Some(found),
            }
        }))
    }

    fn scan(&self, span: SessionSpan, order: Order) -> SessionIter<'_> {
        // A session that starts early enough may end at any time.
        let segments = self.segments.id(span.times.earliest_end.max(span.earliest))..=i64::MAX;
        let (first, last) = span.rows.clone();
        let rows = self.segments.range(segments, first, last, order);
        Box::new(rows.filter_map(move |row| row.and_then(|row| self.within(row, &span)).transpose()))
    }

    /// All that a read goes through, in the order of the keys of rows, behind one that it came to before. `within` tells
    /// what is asked for among it.
    pub fn by_key<'a>(
        &'a self,
        span: &SessionSpan,
        order: Order,
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<Row, StateError>> + 'a {
        let segments = self.segments.id(span.times.earliest_end.max(span.earliest))..=i64::MAX;
        self.segments.by_key(segments, span.rows.clone(), order, after)
    }

    /// A row that a read came to, if it is asked for.
    pub fn within(&self, row: Row, span: &SessionSpan) -> Result<Option<SessionRow>, StateError> {
        let index = self.is_index(&row.0);
        let (session, value) = self.read(row)?;
        match (session.window.end >= span.earliest && span.contains(&session.key, session.window), index) {
            (false, _) => Ok(None),
            (true, false) => Ok(Some((session, value))),
            (true, true) => {
                let segment = self.segments.id(session.window.end);
                let value = self.segments.get(segment, |out| self.write_key(&session.key, session.window, out))?;
                Ok(value.map(|value| (session, value)))
            }
        }
    }

    fn is_index(&self, key: &[u8]) -> bool {
        self.layout != Layout::KeyFirst && key.first() == Some(&KEY_FIRST)
    }

    fn read(&self, (key, value): Row) -> Result<SessionRow, StateError> {
        let session = match self.layout {
            Layout::KeyFirst => format::read_key(key),
            _ if key.first() == Some(&KEY_FIRST) => format::read_index_key(key),
            _ => format::read_time_first_key(key),
        };
        Ok((session.map_err(|malformed| self.malformed(malformed))?, value))
    }

    /// All rows within retention as they lie, without the index: what the goldens show of a store.
    pub fn dump(&self) -> Result<Vec<Row>, StateError> {
        let mut rows = Vec::new();
        let earliest = self.segments.earliest(0);
        for row in self.segments.range(0..=i64::MAX, None, None, Order::Ascending) {
            let row = row?;
            if !self.is_index(&row.0) && self.read(row.clone())?.0.window.end >= earliest {
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests;
