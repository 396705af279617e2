//! The timers of a shard: one heap, entries that are out of date are dropped when their time comes.
//!
//! A session that is kept alive costs nothing here: its entry stays where it is, and only when it comes up is it
//! put back at the new deadline.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::classic::Name;

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A member's session, or the patience with an id that was handed out.
    Session {
        /// Group id.
        group: Name,
        /// Member id.
        member: Name,
    },
    /// The join phase of a group.
    Join(Name),
    /// The sync phase of a group.
    Sync(Name),
    /// Offsets that are too old.
    Expire,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// When it comes up, in steady time.
    pub at_ms: i64,
    /// Entries of one time come up in the order they were set.
    serial: u64,
    /// What for.
    pub kind: Kind,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    serial: u64,
}

impl Timers {
    /// Sets one.
    pub fn set(&mut self, at_ms: i64, kind: Kind) {
        self.serial += 1;
        self.heap.push(Reverse(Timer { at_ms, serial: self.serial, kind }));
    }

    /// The next one that is due.
    pub fn pop_due(&mut self, steady_ms: i64) -> Option<Timer> {
        if self.next()? > steady_ms {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| timer)
    }

    /// When the next one comes up.
    pub fn next(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse(timer)| timer.at_ms)
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ms, self.serial).cmp(&(other.at_ms, other.serial))
    }
}
