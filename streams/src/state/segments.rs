//! Rows by segments of time, dropped whole when stream time has left them behind: what window, session and versioned stores
//! have in common (AbstractSegments, AbstractRocksDBSegmentedBytesStore).
//!
//! Java opens a RocksDB for each segment; here all are in one keyspace, and a row's key is led by the 8 bytes of its
//! segment's number. So a commit is one batch, and a window costs no open files. Stores in memory are segmented too and
//! expire as those on disk do; Java's drop a row as soon as it is out of retention.

use std::collections::BTreeSet;
use std::iter::{Map, Peekable};
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::error::StateError;
use super::rows::{Order, Row, RowIter, Rows, Span, SpanBuf, after_prefix};

/// Bytes of the segment's number before a key.
pub const PREFIX: usize = 8;

/// What became of a row that should be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is there.
    Yes,
    /// Its segment is gone already: the caller counts a dropped record.
    Expired,
}

/// The length of a segment of window and session stores (`Stores`).
pub fn default_interval_ms(retention_ms: i64) -> i64 {
    (retention_ms / 2).max(60_000)
}

/// Rows by segments of time.
pub struct Segments {
    rows: Box<dyn Rows>,
    retention_ms: i64,
    interval_ms: i64,
    /// The segments that may have rows.
    present: BTreeSet<i64>,
    stream_time: i64,
    /// The key at hand, so that a write makes none.
    key: Vec<u8>,
}

impl Segments {
    /// Over these rows, which may hold segments already. Stream time begins anew, as in Java.
    pub fn open(rows: Box<dyn Rows>, retention_ms: i64, interval_ms: i64) -> Result<Segments, StateError> {
        let mut present = BTreeSet::new();
        let mut from = Vec::new();
        loop {
            let first = rows.range(Span { from: Some(&from), to: None }, Order::Ascending).next().transpose()?;
            let Some(segment) = first.and_then(|(key, _)| key.get(..PREFIX)?.try_into().ok()) else {
                break;
            };
            present.insert(i64::from_be_bytes(segment));
            match after_prefix(&segment) {
                Some(after) => from = after,
                None => break,
            }
        }
        Ok(Segments { rows, retention_ms, interval_ms, present, stream_time: -1, key: Vec::new() })
    }

    /// The engine: for commits, offsets and dumps.
    pub fn rows(&self) -> &dyn Rows {
        self.rows.as_ref()
    }

    /// The engine, for commits.
    pub fn rows_mut(&mut self) -> &mut dyn Rows {
        self.rows.as_mut()
    }

    /// The engine itself.
    pub fn into_rows(self) -> Box<dyn Rows> {
        self.rows
    }

    /// The largest time seen.
    pub fn stream_time(&self) -> i64 {
        self.stream_time
    }

    /// Takes a time into account.
    pub fn observe(&mut self, timestamp: i64) {
        self.stream_time = self.stream_time.max(timestamp);
    }

    /// How long rows are kept.
    pub fn retention_ms(&self) -> i64 {
        self.retention_ms
    }

    /// The earliest time that is still within retention; `slack_ms` more than that for stores that say so.
    pub fn earliest(&self, slack_ms: i64) -> i64 {
        self.stream_time.saturating_sub(self.retention_ms).saturating_add(1 - slack_ms)
    }

    /// The number of a time's segment.
    pub fn id(&self, timestamp: i64) -> i64 {
        timestamp / self.interval_ms
    }

    /// Whether a segment takes rows at this stream time; then it is there from now on, and older ones are dropped.
    pub fn opened(&mut self, segment: i64, stream_time: i64) -> Result<bool, StateError> {
        let oldest = self.id(stream_time.saturating_sub(self.retention_ms));
        if segment < oldest {
            return Ok(false);
        }
        self.present.insert(segment);
        self.drop_before(oldest)?;
        Ok(true)
    }

    /// Drops the segments that this stream time has left behind.
    pub fn expire(&mut self, stream_time: i64) -> Result<(), StateError> {
        self.drop_before(self.id(stream_time.saturating_sub(self.retention_ms)))
    }

    fn drop_before(&mut self, oldest: i64) -> Result<(), StateError> {
        // A segment with a number below 0 is none of time: it is never dropped.
        while let Some(segment) = self.present.range(0..oldest.max(0)).next().copied() {
            let (from, to) = (segment.to_be_bytes(), (segment + 1).to_be_bytes());
            self.rows.delete_range(Span::new(&from, &to))?;
            self.present.remove(&segment);
        }
        Ok(())
    }

    /// Makes a segment take rows at any stream time: one with a number below 0.
    pub fn keep(&mut self, segment: i64) {
        self.present.insert(segment);
    }

    /// Whether a segment may have rows.
    pub fn is_present(&self, segment: i64) -> bool {
        self.present.contains(&segment)
    }

    /// The segments that may have rows among these numbers.
    pub fn among(&self, segments: RangeInclusive<i64>, order: Order) -> Vec<i64> {
        if segments.is_empty() {
            return Vec::new();
        }
        let found = self.present.range(segments).copied();
        match order {
            Order::Ascending => found.collect(),
            Order::Descending => found.rev().collect(),
        }
    }

    /// Sets a row of a segment that takes rows; None deletes it. `write` appends the key.
    pub fn put(
        &mut self,
        segment: i64,
        write: impl FnOnce(&mut Vec<u8>),
        value: Option<Bytes>,
    ) -> Result<(), StateError> {
        self.key.clear();
        self.key.extend_from_slice(&segment.to_be_bytes());
        write(&mut self.key);
        self.rows.put(&self.key, value.as_deref())
    }

    /// Sets a row if its segment still takes rows; the time becomes stream time if it is larger. What Java's `put` of a
    /// segmented store does.
    pub fn put_live(
        &mut self,
        timestamp: i64,
        write: impl FnOnce(&mut Vec<u8>),
        value: Option<Bytes>,
    ) -> Result<Stored, StateError> {
        self.observe(timestamp);
        let segment = self.id(timestamp);
        if !self.opened(segment, self.stream_time)? {
            return Ok(Stored::Expired);
        }
        self.put(segment, write, value)?;
        Ok(Stored::Yes)
    }

    /// The value of a row.
    pub fn get(&self, segment: i64, write: impl FnOnce(&mut Vec<u8>)) -> Result<Option<Bytes>, StateError> {
        if !self.is_present(segment) {
            return Ok(None);
        }
        let mut key = Vec::with_capacity(64);
        key.extend_from_slice(&segment.to_be_bytes());
        write(&mut key);
        self.rows.get(&key)
    }

    /// The rows of some segments whose keys are from `from` to `last` (both included; None is open), segment by segment;
    /// keys without the segment's number.
    pub fn range<'a>(
        &'a self,
        segments: RangeInclusive<i64>,
        from: Option<Vec<u8>>,
        last: Option<Vec<u8>>,
        order: Order,
    ) -> impl Iterator<Item = Result<Row, StateError>> + 'a {
        self.places(segments, (from, last), order, None).map(unnumbered)
    }

    /// The same behind a place, which was read before; places are keys led by the segment's number.
    pub fn places<'a>(
        &'a self,
        segments: RangeInclusive<i64>,
        keys: (Option<Vec<u8>>, Option<Vec<u8>>),
        order: Order,
        after: Option<Vec<u8>>,
    ) -> impl Iterator<Item = Result<Row, StateError>> + 'a {
        self.among(segments, order).into_iter().flat_map(move |segment| {
            let span = within(segment, &keys);
            match &after {
                Some(after) => self.rows.range(span.as_span().behind(after, order).as_span(), order),
                None => self.rows.range(span.as_span(), order),
            }
        })
    }

    /// The same rows in the order of their keys, whatever segments they are in, behind a key; keys without the segment's
    /// number.
    pub fn by_key<'a>(
        &'a self,
        segments: RangeInclusive<i64>,
        keys: (Option<Vec<u8>>, Option<Vec<u8>>),
        order: Order,
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<Row, StateError>> + 'a {
        let rows = |segment: i64| {
            let span = within(segment, &keys);
            let rows = match after {
                Some(after) => {
                    let after = [&segment.to_be_bytes()[..], after].concat();
                    self.rows.range(span.as_span().behind(&after, order).as_span(), order)
                }
                None => self.rows.range(span.as_span(), order),
            };
            rows.map(unnumbered as Unnumbered).peekable()
        };
        ByKey { segments: self.among(segments, order).into_iter().map(rows).collect(), order }
    }
}

/// The keys of a segment from the first to the last one, both included.
fn within(segment: i64, (from, last): &(Option<Vec<u8>>, Option<Vec<u8>>)) -> SpanBuf {
    let number = segment.to_be_bytes();
    let lower = [&number[..], from.as_deref().unwrap_or_default()].concat();
    // The zero makes an excluded end of an included one.
    let upper = match last {
        Some(last) => Some([&number[..], last, &[0]].concat()),
        None => after_prefix(&number),
    };
    SpanBuf { from: Some(lower), to: upper }
}

type Unnumbered = fn(Result<Row, StateError>) -> Result<Row, StateError>;

fn unnumbered(row: Result<Row, StateError>) -> Result<Row, StateError> {
    row.map(|(key, value)| (key.slice(PREFIX.min(key.len())..), value))
}

/// Rows of several segments, each in order, as one.
struct ByKey<'a> {
    segments: Vec<Peekable<Map<RowIter<'a>, Unnumbered>>>,
    order: Order,
}

impl Iterator for ByKey<'_> {
    type Item = Result<Row, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut first: Option<(usize, Bytes)> = None;
        for (number, rows) in self.segments.iter_mut().enumerate() {
            match rows.peek() {
                None => {}
                Some(Err(_)) => return rows.next(),
                Some(Ok((key, _))) => {
                    let goes_first = first.as_ref().is_none_or(|(_, first)| match self.order {
                        Order::Ascending => key < first,
                        Order::Descending => key > first,
                    });
                    if goes_first {
                        first = Some((number, key.clone()));
                    }
                }
            }
        }
        self.segments.get_mut(first?.0)?.next()
    }
}
