//! Spans of time: windows of fixed length, sliding windows, sessions, and how far apart two records may be joined.
//! Given to `windowed_by` and `join`. Never a default grace: how long to wait for late records is said each time, as in Java since 3.0.

use std::time::Duration;

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Windows of one length: tumbling, or hopping if they advance by less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindows {
    pub(crate) size_ms: i64,
    pub(crate) advance_ms: i64,
    pub(crate) grace_ms: i64,
}

/// Windows of one length that do not yet say how long they wait for late records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowsOfSize(Duration);

impl WindowsOfSize {
    /// Tumbling windows that wait `grace` for late records.
    pub fn grace(self, grace: Duration) -> TimeWindows {
        TimeWindows::of_size_and_grace(self.0, grace)
    }
}

impl TimeWindows {
    /// Tumbling windows; how long they wait for late records must follow.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streams::TimeWindows;
    /// let minute = TimeWindows::of_size(Duration::from_secs(60)).grace(Duration::from_secs(10));
    /// assert_eq!(minute, TimeWindows::of_size_and_grace(Duration::from_secs(60), Duration::from_secs(10)));
    /// ```
    pub fn of_size(size: Duration) -> WindowsOfSize {
        WindowsOfSize(size)
    }

    /// Tumbling windows that wait `grace` for late records.
    pub fn of_size_and_grace(size: Duration, grace: Duration) -> TimeWindows {
        TimeWindows { size_ms: millis(size), advance_ms: millis(size), grace_ms: millis(grace) }
    }

    /// Tumbling windows that take no late record.
    pub fn of_size_no_grace(size: Duration) -> TimeWindows {
        TimeWindows::of_size_and_grace(size, Duration::ZERO)
    }

    /// Hopping windows: one starts every `advance`.
    pub fn advance_by(self, advance: Duration) -> TimeWindows {
        TimeWindows { advance_ms: millis(advance), ..self }
    }
}

/// One window, of everything from a time on (`UnlimitedWindows`). Earlier records belong to no window.
///
/// ```
/// use streams::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let words = builder.stream::<String, String>("words").group_by_key();
/// words.windowed_by(UnlimitedWindows::of().start_on(1_000)).count("counts");
///
/// let mut driver = TopologyTestDriver::new(&builder.build()?, StreamsConfig::new("app", "localhost:9092"))?;
/// let input = driver.input::<String, String>("words");
/// for time in [999, 1_000, 5_000_000] {
///     input.pipe(&mut driver, "key", "word", time)?;
/// }
/// let counts = driver.store::<KeyWindow<String, i64>>("counts")?.fetch_all(0, i64::MAX)?;
/// assert_eq!(counts.len(), 1);
/// assert_eq!((counts[0].0.window, counts[0].1), (Window { start: 1_000, end: i64::MAX }, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnlimitedWindows {
    pub(crate) start_ms: i64,
}

impl UnlimitedWindows {
    /// Of everything since 1970.
    pub fn of() -> UnlimitedWindows {
        UnlimitedWindows { start_ms: 0 }
    }

    /// Of everything from this time on, in milliseconds since 1970; none before that begins a window.
    pub fn start_on(self, start_ms: u64) -> UnlimitedWindows {
        UnlimitedWindows { start_ms: i64::try_from(start_ms).unwrap_or(i64::MAX) }
    }
}

/// The windows of fixed length that hold a time, for the operator of both kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSpans {
    pub(crate) size_ms: i64,
    pub(crate) advance_ms: i64,
    pub(crate) grace_ms: i64,
    /// Where the only window starts, if there is but one.
    pub(crate) only_ms: Option<i64>,
}

impl From<TimeWindows> for TimeSpans {
    fn from(TimeWindows { size_ms, advance_ms, grace_ms }: TimeWindows) -> TimeSpans {
        TimeSpans { size_ms, advance_ms, grace_ms, only_ms: None }
    }
}

impl From<UnlimitedWindows> for TimeSpans {
    fn from(windows: UnlimitedWindows) -> TimeSpans {
        TimeSpans { size_ms: i64::MAX, advance_ms: i64::MAX, grace_ms: 0, only_ms: Some(windows.start_ms) }
    }
}

/// Windows around records: all records within a distance of each other share one (KIP-450).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlidingWindows {
    pub(crate) difference_ms: i64,
    pub(crate) grace_ms: i64,
}

impl SlidingWindows {
    /// Windows of that distance that take no late record.
    pub fn of_time_difference_no_grace(difference: Duration) -> SlidingWindows {
        SlidingWindows::of_time_difference_and_grace(difference, Duration::ZERO)
    }

    /// Windows of that distance that wait `grace` for late records.
    pub fn of_time_difference_and_grace(difference: Duration, grace: Duration) -> SlidingWindows {
        SlidingWindows { difference_ms: millis(difference), grace_ms: millis(grace) }
    }
}

/// Sessions: records with no longer pause than a gap between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionWindows {
    pub(crate) gap_ms: i64,
    pub(crate) grace_ms: i64,
}

impl SessionWindows {
    /// Sessions of that gap that take no late record.
    pub fn of_inactivity_gap_no_grace(gap: Duration) -> SessionWindows {
        SessionWindows::of_inactivity_gap_and_grace(gap, Duration::ZERO)
    }

    /// Sessions of that gap that wait `grace` for late records.
    pub fn of_inactivity_gap_and_grace(gap: Duration, grace: Duration) -> SessionWindows {
        SessionWindows { gap_ms: millis(gap), grace_ms: millis(grace) }
    }
}

/// How far apart in time two records may be to be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinWindows {
    pub(crate) before_ms: i64,
    pub(crate) after_ms: i64,
    pub(crate) grace_ms: i64,
}

impl JoinWindows {
    /// That far to both sides, without waiting for late records.
    pub fn of_time_difference_no_grace(difference: Duration) -> JoinWindows {
        JoinWindows::of_time_difference_and_grace(difference, Duration::ZERO)
    }

    /// That far to both sides, waiting `grace` for late records.
    pub fn of_time_difference_and_grace(difference: Duration, grace: Duration) -> JoinWindows {
        JoinWindows { before_ms: millis(difference), after_ms: millis(difference), grace_ms: millis(grace) }
    }

    /// The other record may be that much older.
    pub fn before(self, before: Duration) -> JoinWindows {
        JoinWindows { before_ms: millis(before), ..self }
    }

    /// The other record may be that much younger.
    pub fn after(self, after: Duration) -> JoinWindows {
        JoinWindows { after_ms: millis(after), ..self }
    }

    pub(crate) fn size_ms(self) -> i64 {
        self.before_ms.saturating_add(self.after_ms)
    }
}

/// When a windowed aggregate is handed on (KIP-825).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmitStrategy {
    /// At each change.
    #[default]
    OnWindowUpdate,
    /// Once, when the window is closed.
    OnWindowClose,
}
