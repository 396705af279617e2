//! The store that both sides of a left or outer stream-stream join share: records that found no match yet, by time and
//! side, and the times by which is decided when one goes on without a match (KAFKA-10847; ListValueStore and
//! KStreamImplJoin.TimeTracker). Read and written by the join's sides; never forwards.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::{Call, ChangelogTo, Gauge, Held, StoreParts, StoreTally, TaskStore};
use crate::dsl::windows::JoinWindows;
use crate::op::join::JoinKind;
use crate::record::{About, Data};
use crate::serde::{Part, SerdeError, SharedSerde};
use crate::state::StateError;
use crate::state::format::join::{JoinSide, read_key};
use crate::state::rows::{ChangelogOffsets, Order, Row, Span};
use crate::state::unmatched::UnmatchedRows;
use crate::task::collector::{Outgoing, To};
use crate::task::context::Context;
use crate::task::errors::{Failure, TaskError};
use crate::topology::store::StoreMaker;

/// A value of one of the sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneSide<L, R> {
    /// Of the left one.
    Left(L),
    /// Of the right one.
    Right(R),
}

/// Records of one key, time and side that found no match.
pub struct Lonely<K, L, R> {
    /// Their key.
    pub key: K,
    /// Their time.
    pub timestamp: i64,
    /// Their values, in the order in which they came.
    pub values: Vec<OneSide<L, R>>,
}

/// What both sides know of time (KStreamImplJoin.TimeTracker).
struct Times {
    /// The largest time of a record of either side.
    stream: i64,
    /// No record that waits is older, as far as is known.
    earliest: i64,
    /// When, by the wall clock, is looked for closed windows again.
    next_look: i64,
}

impl Default for Times {
    /// As a task begins with them.
    fn default() -> Times {
        Times { stream: -1, earliest: i64::MAX, next_look: 0 }
    }
}

/// Records of both sides that found no match yet.
pub struct Unmatched<K, L, R> {
    rows: UnmatchedRows,
    key: SharedSerde<K>,
    left: SharedSerde<L>,
    right: SharedSerde<R>,
    changelog: Option<ChangelogTo>,
    tally: Rc<StoreTally>,
    times: Times,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

impl<K: Data, L: Data, R: Data> Unmatched<K, L, R> {
    /// Makes the store of each task with these serdes, or those known for the types.
    pub fn maker(
        key: Option<SharedSerde<K>>,
        left: Option<SharedSerde<L>>,
        right: Option<SharedSerde<R>>,
    ) -> StoreMaker {
        StoreMaker::new(move |parts: StoreParts<'_>| {
            let (key, left, right) = (parts.serde(&key)?, parts.serde(&left)?, parts.serde(&right)?);
            Ok(Held::new(Unmatched {
                rows: UnmatchedRows::open(parts.definition.name.clone(), parts.rows),
                key,
                left,
                right,
                changelog: parts.changelog,
                tally: parts.tally,
                times: Times::default(),
                key_bytes: Vec::new(),
                value_bytes: Vec::new(),
            }))
        })
    }

    /// Takes a record's time into account.
    pub fn observe(&mut self, timestamp: i64) {
        self.times.stream = self.times.stream.max(timestamp);
    }

    /// The largest time of a record of either side.
    pub fn stream_time(&self) -> i64 {
        self.times.stream
    }

    /// Keeps a record that found no match; `about` has its time.
    pub fn add(
        &mut self,
        key: &K,
        value: OneSide<&L, &R>,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<(), Failure> {
        let begun = self.tally.begin();
        let side = match value {
            OneSide::Left(_) => JoinSide::Left,
            OneSide::Right(_) => JoinSide::Right,
        };
        let (key_bytes, value_bytes) = (&mut self.key_bytes, &mut self.value_bytes);
        key_bytes.clear();
        self.key.serialize(key, key_bytes)?;
        value_bytes.clear();
        match value {
            OneSide::Left(value) => self.left.serialize(value, value_bytes),
            OneSide::Right(value) => self.right.serialize(value, value_bytes),
        }?;
        self.times.earliest = self.times.earliest.min(about.timestamp);
        let (row, list) = self.rows.add(about.timestamp, side, key_bytes, value_bytes)?;
        self.log(&row, Some(&list), about.timestamp, context)?;
        self.tally.end_write(Call::Put, begun, about.timestamp);
        Ok(())
    }

    /// Forgets the records of a key, side and time: one of the other side matched.
    pub fn remove(
        &mut self,
        side: JoinSide,
        key: &K,
        timestamp: i64,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<(), Failure> {
        let begun = self.tally.begin();
        self.key_bytes.clear();
        self.key.serialize(key, &mut self.key_bytes)?;
        if let Some(row) = self.rows.remove(timestamp, side, &self.key_bytes)? {
            self.log(&row, None, about.timestamp, context)?;
        }
        // Java puts a null where there is none.
        self.tally.end_write(Call::PutIfAbsent, begun, about.timestamp);
        Ok(())
    }

    /// Forgets a row that went on.
    pub fn remove_row(&mut self, row: &Row, about: About<'_>, context: &mut Context) -> Result<(), Failure> {
        let begun = self.tally.begin();
        self.rows.rows_mut().put(&row.0, None)?;
        self.log(&row.0, None, about.timestamp, context)?;
        self.tally.end_write(Call::Put, begun, about.timestamp);
        Ok(())
    }

    fn log(&self, key: &[u8], value: Option<&[u8]>, timestamp: i64, context: &mut Context) -> Result<(), Failure> {
        let Some(to) = self.changelog else { return Ok(()) };
        let (topic, to) = (to.topic, To::Partition(to.partition));
        context.log(Outgoing { topic, to, key: Some(key), value, timestamp: Some(timestamp), headers: &[] })?;
        Ok(())
    }

    /// Whether it is time to look for windows that closed: one may have, and the last look was long enough ago.
    /// `after_ms` is how far the side that asks looks ahead.
    pub fn begin_look(&mut self, after_ms: i64, grace_ms: i64, now: i64, interval_ms: i64) -> bool {
        let times = &mut self.times;
        // Java's sum overflows where nothing waits, and so lets the look begin.
        let closes = times.earliest.wrapping_add(after_ms).wrapping_add(grace_ms);
        if closes >= times.stream || now < times.next_look {
            return false;
        }
        times.next_look = now.saturating_add(interval_ms);
        times.earliest = i64::MAX;
        true
    }

    /// The rows whose windows are closed, by time. What is told about the earliest row that stays is Java's: it is that of
    /// the row at which the look ends, behind the first of each side whose window is open.
    pub fn closed(&mut self, windows: &JoinWindows, kind: JoinKind) -> Result<Vec<Row>, Failure> {
        let (begun, mut closed) = (self.tally.begin(), Vec::new());
        let (mut left_open, mut right_open) = (false, false);
        let malformed = |error| self.rows.malformed(error);
        for row in self.rows.rows().range(Span::ALL, Order::Ascending) {
            let row = row?;
            let (timestamp, side, _) = read_key(row.0.clone()).map_err(malformed)?;
            self.times.earliest = timestamp;
            if left_open && right_open {
                break;
            }
            let (open, ahead_ms) = match side {
                JoinSide::Left => (&mut left_open, windows.after_ms),
                JoinSide::Right => (&mut right_open, windows.before_ms),
            };
            let closes = timestamp.wrapping_add(ahead_ms).wrapping_add(windows.grace_ms);
            if closes < self.times.stream {
                closed.push(row);
                continue;
            }
            *open = true;
            if kind == JoinKind::Left {
                // No right side ever waits, so Java goes through all that are left, which are open, up to the last.
                let last = self.rows.rows().range(Span::ALL, Order::Descending).next().transpose()?;
                let last = last.map(|last| read_key(last.0)).transpose().map_err(malformed)?;
                self.times.earliest = last.map_or(timestamp, |(last, _, _)| last);
                break;
            }
            // Java looks at each value of a row: here it ends before the next row if there is a second one.
            if left_open && right_open && self.rows.read(row)?.values.len() > 1 {
                break;
            }
        }
        self.tally.end_rows(Call::All, begun);
        Ok(closed)
    }

    /// The records of a row.
    pub fn decode(&self, row: &Row) -> Result<Lonely<K, L, R>, Failure> {
        let lonely = self.rows.read(row.clone())?;
        let key = self.key.deserialize(lonely.key).map_err(|error| self.damaged(error))?;
        let value = |bytes: Bytes| match lonely.side {
            JoinSide::Left => self.left.deserialize(bytes).map(OneSide::Left),
            JoinSide::Right => self.right.deserialize(bytes).map(OneSide::Right),
        };
        let values: Result<Vec<OneSide<L, R>>, SerdeError> = lonely.values.into_iter().map(value).collect();
        let values = values.map_err(|error| self.damaged(error))?;
        Ok(Lonely { key, timestamp: lonely.timestamp, values })
    }

    fn damaged(&self, error: SerdeError) -> Failure {
        Failure::fatal(TaskError::Broken(format!("store {}: a row is damaged: {error}", self.rows.name())))
    }
}

impl<K: Data, L: Data, R: Data> TaskStore for RefCell<Unmatched<K, L, R>> {
    fn dump(&self) -> Result<Vec<Row>, StateError> {
        self.borrow().rows.dump()
    }

    fn restore(&self, key: Part<'_>, value: Option<Part<'_>>, _timestamp: i64) -> Result<(), StateError> {
        self.borrow_mut().rows.restore(key.as_slice(), value.map(Part::to_bytes))
    }

    fn flush(&self, _context: &mut Context) -> Result<(), Failure> {
        Ok(())
    }

    /// Java makes its TimeTracker anew with the task: rows that the other owner of the task adds may be older than all here.
    fn forget(&self) {
        self.borrow_mut().times = Times::default();
    }

    fn commit(&self, offsets: ChangelogOffsets<'_>) -> Result<(), StateError> {
        self.borrow_mut().rows.rows_mut().commit(offsets)
    }

    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, StateError> {
        self.borrow().rows.rows().committed(topic, partition)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.borrow().rows.rows().uncommitted_bytes()
    }

    fn gauges(&self) -> Vec<Gauge> {
        self.borrow().rows.rows().gauges()
    }
}
