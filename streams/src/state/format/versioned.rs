//! All versions of a key whose validity ended within one segment of a versioned store, newest first, and the latest value's
//! row (RocksDBVersionedStoreSegmentValueFormatter, KIP-889).
//!
//! A row: the time at which its newest version ended, the time at which its oldest began, then begin and length of each
//! version, then their values, oldest first. A deletion has the length -1. A row that holds only the knowledge that a key was
//! deleted at some time begins and ends then ("degenerate" in Java's words).

use bytes::Bytes;

use super::value::{read_timestamped, timestamped};
use super::{Fields, i64_at, length};
use crate::state::error::Malformed;

/// The row of a key's latest value.
pub fn latest_row(value: &[u8], timestamp: i64) -> Bytes {
    timestamped(timestamp, value)
}

/// Timestamp and value of a key's latest value.
pub fn read_latest_row(row: Bytes) -> Result<(i64, Bytes), Malformed> {
    read_timestamped(row)
}

/// The end of the newest version in a row, without reading the rest.
pub fn next_timestamp(row: &[u8]) -> Result<i64, Malformed> {
    i64_at(row, 0).ok_or(Malformed { what: WHAT, length: row.len() })
}

/// The begin of the oldest version in a row, without reading the rest.
pub fn min_timestamp(row: &[u8]) -> Result<i64, Malformed> {
    i64_at(row, 8).ok_or(Malformed { what: WHAT, length: row.len() })
}

const WHAT: &str = "row of versions";

/// A version found in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its place, the newest one's being 0.
    pub index: usize,
    /// When it began.
    pub valid_from: i64,
    /// When it ended.
    pub valid_to: i64,
    /// Its value; None where the key was deleted.
    pub value: Option<Bytes>,
}

/// The versions of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    next: i64,
    min: i64,
    /// Begin and value, newest first.
    entries: Vec<(i64, Option<Bytes>)>,
}

impl Versions {
    /// A row of one version.
    pub fn of(value: Option<Bytes>, valid_from: i64, valid_to: i64) -> Versions {
        Versions { next: valid_to, min: valid_from, entries: vec![(valid_from, value)] }
    }

    /// From the bytes of a row.
    pub fn read(row: Bytes) -> Result<Versions, Malformed> {
        let mut fields = Fields::of(row, WHAT);
        let (next, min) = (fields.i64()?, fields.i64()?);
        let mut sizes = Vec::new();
        loop {
            let entry = (fields.i64()?, fields.i32()?);
            sizes.push(entry);
            if entry.0 == min {
                break;
            }
        }
        let mut entries = Vec::with_capacity(sizes.len());
        for (timestamp, size) in sizes.into_iter().rev() {
            entries.push((timestamp, if size == -1 { None } else { Some(fields.sized(size)?) }));
        }
        if fields.remaining() > 0 {
            return Err(fields.error());
        }
        entries.reverse();
        Ok(Versions { next, min, entries })
    }

    /// The bytes of the row.
    pub fn write(&self) -> Bytes {
        let values = self.entries.iter().flat_map(|(_, value)| value);
        let mut out = Vec::with_capacity(16 + 12 * self.entries.len() + values.map(Bytes::len).sum::<usize>());
        out.extend_from_slice(&self.next.to_be_bytes());
        out.extend_from_slice(&self.min.to_be_bytes());
        for (timestamp, value) in &self.entries {
            out.extend_from_slice(&timestamp.to_be_bytes());
            out.extend_from_slice(&value.as_ref().map_or(-1, |value| length(value)).to_be_bytes());
        }
        for value in self.entries.iter().rev().filter_map(|(_, value)| value.as_ref()) {
            out.extend_from_slice(value);
        }
        Bytes::from(out)
    }

    fn is_degenerate(&self) -> bool {
        self.next == self.min
    }

    /// The version that was valid at a time; None if that is before or after all of them.
    pub fn find(&self, timestamp: i64) -> Option<Found> {
        if timestamp >= self.next {
            return None;
        }
        let index = self.entries.iter().position(|(begin, _)| *begin <= timestamp)?;
        Some(self.found(index))
    }

    fn found(&self, index: usize) -> Found {
        let (valid_from, value) = self.entries[index].clone();
        let valid_to = if index == 0 { self.next } else { self.entries[index - 1].0 };
        Found { index, valid_from, valid_to, value }
    }

    /// The versions with a value that were valid within these times (both included), newest first.
    pub fn find_all(&self, from: i64, to: i64) -> impl Iterator<Item = Found> {
        let all = (0..self.entries.len()).map(|index| self.found(index));
        all.filter(move |found| found.value.is_some() && found.valid_from <= to && found.valid_to > from)
    }

    /// Adds a version that is newer than all others; a gap before it becomes a deletion. What is there from `valid_from` on
    /// goes: it was written before a crash, and is written again from the changelog.
    pub fn insert_as_latest(&mut self, valid_from: i64, valid_to: i64, value: Option<Bytes>) {
        if valid_from < self.next {
            self.truncate(valid_from);
        }
        if self.next != valid_from {
            if self.is_degenerate() {
                *self = Versions::of(None, self.next, valid_from);
            } else {
                self.entries.insert(0, (self.next, None));
            }
            self.entries.insert(0, (valid_from, value));
        } else if self.is_degenerate() {
            *self = Versions::of(value, valid_from, valid_to);
        } else {
            self.entries.insert(0, (valid_from, value));
        }
        self.next = valid_to;
    }

    /// Adds a version that is older than all others.
    pub fn insert_as_earliest(&mut self, timestamp: i64, value: Option<Bytes>) {
        if self.is_degenerate() {
            *self = Versions::of(value, timestamp, self.next);
        } else {
            self.entries.push((timestamp, value));
            self.min = timestamp;
        }
    }

    /// Adds a version at the place of one that was found, which moves back and ends where the new one begins.
    pub fn insert(&mut self, timestamp: i64, value: Option<Bytes>, index: usize) {
        self.entries.insert(index, (timestamp, value));
        self.renew_min();
    }

    /// Puts another version in the place of one that was found.
    pub fn update(&mut self, timestamp: i64, value: Option<Bytes>, index: usize) {
        self.entries[index] = (timestamp, value);
        self.renew_min();
    }

    fn renew_min(&mut self) {
        if let Some((oldest, _)) = self.entries.last() {
            self.min = *oldest;
        }
    }

    fn truncate(&mut self, timestamp: i64) {
        if timestamp <= self.min {
            *self = Versions::of(None, timestamp, timestamp);
            return;
        }
        self.entries.retain(|(begin, _)| *begin < timestamp);
        self.next = timestamp;
    }
}
