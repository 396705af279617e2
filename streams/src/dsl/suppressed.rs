//! How changes of a table are held back (KIP-328).
//! Given to `KTable::suppress`. Never a bound without saying what happens at it.

use std::sync::Arc;
use std::time::Duration;

use super::windows::millis;
use crate::op::suppress::WindowEnd;
use crate::record::Windowed;

/// What a suppression waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed<U> {
    pub(crate) until: U,
    pub(crate) buffer: Buffer,
    pub(crate) name: Option<String>,
}

/// So much stream time after the first change of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimit(i64);

/// The end of a window with its grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowCloses;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TimeLimit {}
    impl Sealed for super::WindowCloses {}
}

/// When a change of a table with keys `K` is let go: any table has time, only one with windows has their ends.
#[diagnostic::on_unimplemented(
    message = "the keys of this table have no windows that could close",
    label = "only a table of `Windowed` keys can be suppressed until they do",
    note = "`Suppressed::until_time_limit` is for any table"
)]
pub trait Until<K>: sealed::Sealed {
    /// So many milliseconds; None is the grace of the windows.
    #[doc(hidden)]
    fn limit_ms(&self) -> Option<i64>;
    /// The end of a key's window.
    #[doc(hidden)]
    fn window_end(&self) -> Option<WindowEnd<K>>;
}

impl<K> Until<K> for TimeLimit {
    fn limit_ms(&self) -> Option<i64> {
        Some(self.0)
    }

    fn window_end(&self) -> Option<WindowEnd<K>> {
        None
    }
}

impl<K> Until<Windowed<K>> for WindowCloses {
    fn limit_ms(&self) -> Option<i64> {
        None
    }

    fn window_end(&self) -> Option<WindowEnd<Windowed<K>>> {
        Some(Arc::new(|windowed| windowed.window.end))
    }
}

impl Suppressed<TimeLimit> {
    /// Lets the latest change of a key go that long after the first one.
    pub fn until_time_limit(limit: Duration, buffer: Buffer) -> Suppressed<TimeLimit> {
        Suppressed { until: TimeLimit(millis(limit)), buffer, name: None }
    }
}

impl Suppressed<WindowCloses> {
    /// Lets only the last change of a window go. Only a table with windows can wait for them:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streams::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let minutes = TimeWindows::of_size_and_grace(Duration::from_secs(60), Duration::from_secs(10));
    /// let counts = builder.stream::<String, String>("clicks").group_by_key().windowed_by(minutes).count("per-minute");
    /// let last = counts.suppress(Suppressed::until_window_closes(Buffer::unbounded())).to_stream();
    /// last.map(|w, n| (w.map_or(String::new(), |w| format!("{}@{}", w.key, w.window.start)), n)).to("last");
    /// # builder.build()?;
    /// # Ok::<(), streams::TopologyError>(())
    /// ```
    ///
    /// ```compile_fail
    /// # use streams::prelude::*;
    /// let rows: KTable<String, String> = StreamsBuilder::new().table("rows", ());
    /// rows.suppress(Suppressed::until_window_closes(Buffer::unbounded()));
    /// ```
    pub fn until_window_closes(buffer: Buffer) -> Suppressed<WindowCloses> {
        Suppressed { until: WindowCloses, buffer, name: None }
    }
}

impl<U> Suppressed<U> {
    /// The name of the processor; its store is called `<name>-store`.
    pub fn named(self, name: impl Into<String>) -> Suppressed<U> {
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
