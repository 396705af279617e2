//! Versioned stores: each key's latest value, and the values before it by the time for which they were valid (KIP-889,
//! RocksDBVersionedStore). A version lies in the segment of the time at which it ended; the latest values are a segment of
//! their own, numbered -1. Bytes in and out.
//! Not done: the buffer in memory through which Java restores (RocksDBVersionedStoreRestoreWriteBuffer); the rows are equal.

use bytes::Bytes;

use super::error::{Malformed, StateError};
use super::format::versioned::{Versions, latest_row, min_timestamp, next_timestamp, read_latest_row};
use super::rows::{Order, Row, Rows};
use super::segments::Segments;

/// The number of the segment of latest values; as unsigned bytes it comes after all others.
const LATEST: i64 = -1;

/// A value and the time for which it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedRow {
    /// The value.
    pub value: Bytes,
    /// When it began: the timestamp of its record.
    pub valid_from: i64,
    /// When it ended; None if it is the latest.
    pub valid_to: Option<i64>,
}

/// What became of a version that should be stored: Java's return codes of `put`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionedPut {
    /// It is the latest one of its key (PUT_RETURN_CODE_VALID_TO_UNDEFINED).
    Latest,
    /// It was valid until that time, at which a later one began.
    ValidTo(i64),
    /// It is older than the store keeps history (PUT_RETURN_CODE_NOT_PUT). The caller counts a dropped record if the store
    /// said so before it looked: see `is_expired`.
    NotPut,
}

/// Each key's values over time.
pub struct VersionedRows {
    name: String,
    segments: Segments,
    history_ms: i64,
}

/// The length of a segment where none was given (RocksDbVersionedKeyValueBytesStoreSupplier).
pub fn default_interval_ms(history_ms: i64) -> i64 {
    match history_ms {
        ..=60_000 => (history_ms / 3).max(2_000),
        60_001..=300_000 => (history_ms / 5).max(20_000),
        300_001..=3_600_000 => (history_ms / 12).max(60_000),
        _ => (history_ms / 24).max(300_000),
    }
}

/// How far a put has come: what it became, or the time at which the next later version begins.
enum Step {
    Done(VersionedPut),
    Before(Option<i64>),
}

fn put_code(next: Option<i64>) -> VersionedPut {
    next.map_or(VersionedPut::Latest, VersionedPut::ValidTo)
}

impl VersionedRows {
    /// Over these rows, which may hold versions already; without `segment_ms` the default length of a segment.
    pub fn open(
        name: impl Into<String>,
        rows: Box<dyn Rows>,
        history_ms: i64,
        segment_ms: Option<i64>,
    ) -> Result<VersionedRows, StateError> {
        let interval_ms = segment_ms.unwrap_or_else(|| default_interval_ms(history_ms));
        Ok(VersionedRows { name: name.into(), segments: Segments::open(rows, history_ms, interval_ms)?, history_ms })
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

    /// Whether a version of that time is not taken any more: `put` counts it as dropped then.
    pub fn is_expired(&self, timestamp: i64) -> bool {
        timestamp < self.segments.stream_time().saturating_sub(self.history_ms)
    }

    /// Adds a version; None is a deletion at that time.
    pub fn put(&mut self, key: &[u8], value: Option<Bytes>, timestamp: i64) -> Result<VersionedPut, StateError> {
        if self.is_expired(timestamp) {
            return Ok(VersionedPut::NotPut);
        }
        self.segments.observe(timestamp);
        self.put_at(key, value, timestamp, self.segments.stream_time())
    }

    /// Deletes at a time, and says what was valid then; None also where the time is out of history.
    pub fn delete(&mut self, key: &[u8], timestamp: i64) -> Result<Option<VersionedRow>, StateError> {
        if self.is_expired(timestamp) {
            return Ok(None);
        }
        let before = self.get_as_of(key, timestamp)?;
        self.put(key, None, timestamp)?;
        Ok(before)
    }

    /// Records of the changelog, in order: what would expire within the batch is not written at all.
    pub fn restore(&mut self, records: &[(Bytes, Option<Bytes>, i64)]) -> Result<(), StateError> {
        let times = records.iter().map(|(_, _, timestamp)| *timestamp);
        let end = times.fold(self.segments.stream_time(), i64::max);
        for (key, value, timestamp) in records {
            if !self.is_expired(*timestamp) {
                self.segments.observe(*timestamp);
                self.put_at(key, value.clone(), *timestamp, end)?;
            }
        }
        Ok(())
    }

    fn put_at(
        &mut self,
        key: &[u8],
        value: Option<Bytes>,
        timestamp: i64,
        now: i64,
    ) -> Result<VersionedPut, StateError> {
        self.segments.expire(now)?;
        let next = match self.put_to_latest(key, &value, timestamp, now)? {
            Step::Done(put) => return Ok(put),
            Step::Before(next) => next,
        };
        let next = match self.put_to_segments(key, &value, timestamp, now, next)? {
            Step::Done(put) => return Ok(put),
            Step::Before(next) => next,
        };
        self.put_before(key, value, timestamp, now, next)
    }

    fn latest(&self, key: &[u8]) -> Result<Option<(i64, Bytes)>, StateError> {
        let row = self.segments.get(LATEST, |out| out.extend_from_slice(key))?;
        row.map(read_latest_row).transpose().map_err(|malformed| self.malformed(malformed))
    }

    fn put_latest(&mut self, key: &[u8], value: Option<Bytes>, timestamp: i64) -> Result<(), StateError> {
        self.segments.keep(LATEST);
        let row = value.map(|value| latest_row(&value, timestamp));
        self.segments.put(LATEST, |out| out.extend_from_slice(key), row)
    }

    fn row(&self, segment: i64, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.segments.get(segment, |out| out.extend_from_slice(key))
    }

    fn versions(&self, row: Bytes) -> Result<Versions, StateError> {
        Versions::read(row).map_err(|malformed| self.malformed(malformed))
    }

    fn put_versions(&mut self, segment: i64, key: &[u8], versions: &Versions) -> Result<(), StateError> {
        self.segments.put(segment, |out| out.extend_from_slice(key), Some(versions.write()))
    }

    /// Adds a version that is newer than all others of its key in a segment, if that takes rows.
    fn add_newest(
        &mut self,
        key: &[u8],
        value: Option<Bytes>,
        (valid_from, valid_to): (i64, i64),
        segment: i64,
        now: i64,
    ) -> Result<bool, StateError> {
        if !self.segments.opened(segment, now)? {
            return Ok(false);
        }
        let versions = match self.row(segment, key)? {
            None => Versions::of(value, valid_from, valid_to),
            Some(row) => {
                let mut versions = self.versions(row)?;
                versions.insert_as_latest(valid_from, valid_to, value);
                versions
            }
        };
        self.put_versions(segment, key, &versions)?;
        Ok(true)
    }

    /// A version that is the latest one moves the one before it to the segment of the time at which that ended.
    fn put_to_latest(
        &mut self,
        key: &[u8],
        value: &Option<Bytes>,
        timestamp: i64,
        now: i64,
    ) -> Result<Step, StateError> {
        let Some((latest, moved)) = self.latest(key)? else {
            return Ok(Step::Before(None));
        };
        if timestamp < latest {
            return Ok(Step::Before(Some(latest)));
        }
        if timestamp > latest {
            let segment = self.segments.id(timestamp);
            self.add_newest(key, Some(moved), (latest, timestamp), segment, now)?;
        }
        self.put_latest(key, value.clone(), timestamp)?;
        Ok(Step::Done(VersionedPut::Latest))
    }

    /// A version that falls among those of a segment is put into its row.
    fn put_to_segments(
        &mut self,
        key: &[u8],
        value: &Option<Bytes>,
        timestamp: i64,
        now: i64,
        mut next: Option<i64>,
    ) -> Result<Step, StateError> {
        for segment in self.segments.among(self.segments.id(timestamp)..=i64::MAX, Order::Descending) {
            let Some(row) = self.row(segment, key)? else {
                continue;
            };
            let ended = next_timestamp(&row).map_err(|malformed| self.malformed(malformed))?;
            if ended <= timestamp {
                break;
            }
            let began = min_timestamp(&row).map_err(|malformed| self.malformed(malformed))?;
            if began <= timestamp {
                let versions = self.versions(row)?;
                return self.put_among(key, value.clone(), timestamp, now, segment, versions).map(Step::Done);
            }
            if began < now.saturating_sub(self.history_ms) {
                return Ok(Step::Done(VersionedPut::NotPut));
            }
            next = Some(began);
        }
        Ok(Step::Before(next))
    }

    fn put_among(
        &mut self,
        key: &[u8],
        value: Option<Bytes>,
        timestamp: i64,
        now: i64,
        segment: i64,
        mut versions: Versions,
    ) -> Result<VersionedPut, StateError> {
        let Some(found) = versions.find(timestamp) else {
            let malformed = Malformed { what: "row of versions from its begin to its end", length: 0 };
            return Err(self.malformed(malformed));
        };
        let older = self.segments.id(timestamp);
        if found.valid_from == timestamp {
            versions.update(timestamp, value, found.index);
        } else if older != segment {
            // The version that ends here now ended in a later segment before: it moves.
            self.add_newest(key, found.value, (found.valid_from, timestamp), older, now)?;
            versions.update(timestamp, value, found.index);
        } else {
            // The new one takes the place of the one that was valid, which becomes the next older one.
            versions.insert(timestamp, value, found.index);
        }
        self.put_versions(segment, key, &versions)?;
        Ok(VersionedPut::ValidTo(found.valid_to))
    }

    /// A version before all that were found: the latest if none was, else in the segment of the time at which it ended.
    fn put_before(
        &mut self,
        key: &[u8],
        value: Option<Bytes>,
        timestamp: i64,
        now: i64,
        next: Option<i64>,
    ) -> Result<VersionedPut, StateError> {
        let segment = self.segments.id(next.unwrap_or(timestamp));
        if next.is_none() && value.is_some() {
            self.put_latest(key, value, timestamp)?;
            return Ok(VersionedPut::Latest);
        }
        if !self.segments.opened(segment, now)? {
            return Ok(VersionedPut::NotPut);
        }
        let row = self.row(segment, key)?;
        let ended = row.as_deref().map(next_timestamp).transpose().map_err(|malformed| self.malformed(malformed))?;
        let versions = match (row, ended, next) {
            // A deletion of a key without later versions is remembered as a row without any.
            (None, _, next) => Versions::of(value, timestamp, next.unwrap_or(timestamp)),
            (Some(_), Some(ended), None) if ended == timestamp => return Ok(VersionedPut::Latest),
            (Some(row), ended, None) => {
                let mut versions = self.versions(row)?;
                versions.insert_as_latest(ended.unwrap_or(timestamp), timestamp, None);
                versions
            }
            (Some(row), ended, Some(next)) => {
                let mut versions = self.versions(row)?;
                match ended {
                    Some(ended) if ended > timestamp => versions.insert_as_earliest(timestamp, value),
                    _ => versions.insert_as_latest(timestamp, next, value),
                }
                versions
            }
        };
        self.put_versions(segment, key, &versions)?;
        Ok(put_code(next))
    }

    /// The latest value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<VersionedRow>, StateError> {
        let latest = self.latest(key)?;
        Ok(latest.map(|(valid_from, value)| VersionedRow { value, valid_from, valid_to: None }))
    }

    /// The value that was valid at a time; out of history only the latest value is known.
    pub fn get_as_of(&self, key: &[u8], timestamp: i64) -> Result<Option<VersionedRow>, StateError> {
        if let Some((valid_from, value)) = self.latest(key)?
            && valid_from <= timestamp
        {
            return Ok(Some(VersionedRow { value, valid_from, valid_to: None }));
        }
        if self.is_expired(timestamp) {
            return Ok(None);
        }
        for segment in self.segments.among(self.segments.id(timestamp)..=i64::MAX, Order::Descending) {
            let Some(row) = self.row(segment, key)? else {
                continue;
            };
            if next_timestamp(&row).map_err(|malformed| self.malformed(malformed))? <= timestamp {
                return Ok(None);
            }
            if min_timestamp(&row).map_err(|malformed| self.malformed(malformed))? > timestamp {
                continue;
            }
            let found = self.versions(row)?.find(timestamp);
            return Ok(found.and_then(|found| {
                let (valid_from, valid_to) = (found.valid_from, Some(found.valid_to));
                found.value.map(|value| VersionedRow { value, valid_from, valid_to })
            }));
        }
        Ok(None)
    }

    /// The values of a key that were valid within these times (both included), by time. As in Java, a version that ended in a
    /// later segment than that of `to` is not found.
    pub fn history(&self, key: &[u8], from: i64, to: i64, order: Order) -> Result<Vec<VersionedRow>, StateError> {
        let mut rows = Vec::new();
        if let Some((valid_from, value)) = self.latest(key)?
            && valid_from <= to
        {
            rows.push(VersionedRow { value, valid_from, valid_to: None });
        }
        if !self.is_expired(to) {
            for segment in self.segments.among(0..=self.segments.id(to), Order::Descending) {
                let Some(row) = self.row(segment, key)? else {
                    continue;
                };
                for found in self.versions(row)?.find_all(from, to) {
                    let (valid_from, valid_to) = (found.valid_from, Some(found.valid_to));
                    rows.extend(found.value.map(|value| VersionedRow { value, valid_from, valid_to }));
                }
            }
        }
        if order == Order::Ascending {
            rows.reverse();
        }
        Ok(rows)
    }

    /// All rows as they lie, keys led by the 8 bytes of their segment: what the goldens show of a store.
    pub fn dump(&self) -> Result<Vec<Row>, StateError> {
        self.segments.rows().range(super::rows::Span::ALL, Order::Ascending).collect()
    }
}

#[cfg(test)]
mod tests;
