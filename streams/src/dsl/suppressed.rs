//! How changes of a table are held back (KIP-328).
//! Given to `KTable::suppress`. Never a bound without saying what happens at it.

use std::time::Duration;

use super::windows::millis;

/// What a suppression waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    pub(crate) until: Until,
    pub(crate) buffer: Buffer,
    pub(crate) name: Option<String>,
}

/// When a change is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// So many milliseconds of stream time after the first change of its key.
    TimeLimit(i64),
    /// When its window is closed.
    WindowCloses,
}

impl Suppressed {
    /// Lets the latest change of a key go that long after the first one.
    pub fn until_time_limit(limit: Duration, buffer: Buffer) -> Suppressed {
        Suppressed { until: Until::TimeLimit(millis(limit)), buffer, name: None }
    }

    /// Lets only the last change of a window go.
    pub fn until_window_closes(buffer: Buffer) -> Suppressed {
        Suppressed { until: Until::WindowCloses, buffer, name: None }
    }

    /// The name of the processor; its store is called `<name>-store`.
    pub fn named(self, name: impl Into<String>) -> Suppressed {
        Suppressed { name: Some(name.into()), ..self }
    }
}

/// How much may wait, and what happens when that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    pub(crate) max_records: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) when_full: WhenFull,
}

/// What happens when a buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest is let go early.
    Emit,
    /// The application stops.
    ShutDown,
}

impl Buffer {
    /// As much as there is memory.
    pub fn unbounded() -> Buffer {
        Buffer { max_records: None, max_bytes: None, when_full: WhenFull::ShutDown }
    }

    /// At most that many keys; then the oldest is let go early.
    pub fn max_records(records: u64) -> Buffer {
        Buffer { max_records: Some(records), max_bytes: None, when_full: WhenFull::Emit }
    }

    /// At most that many bytes; then the oldest is let go early.
    pub fn max_bytes(bytes: u64) -> Buffer {
        Buffer { max_records: None, max_bytes: Some(bytes), when_full: WhenFull::Emit }
    }

    /// Stops the application instead.
    pub fn shut_down_when_full(self) -> Buffer {
        Buffer { when_full: WhenFull::ShutDown, ..self }
    }
}
