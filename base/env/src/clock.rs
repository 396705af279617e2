//! Wall and monotonic time, real or moved by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A cheap handle on the time. The real one asks the system; the manual one stands still until a test moves it.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's clock.
    Real,
    /// A clock that only moves when told.
    Manual(Arc<Hands>),
}

/// Where a manual clock stands.
#[derive(Debug)]
pub struct Hands {
    wall_ms: AtomicI64,
    steady_ms: AtomicI64,
}

impl Clock {
    /// A clock that stands at `now_ms` until it is moved by [`Clock::advance`].
    pub fn manual(now_ms: i64) -> Self {
        Clock::Manual(Arc::new(Hands { wall_ms: AtomicI64::new(now_ms), steady_ms: AtomicI64::new(0) }))
    }

    /// Milliseconds since the Unix epoch (Java's `System.currentTimeMillis`). May jump when somebody sets the clock:
    /// for timestamps that leave the process, never for deadlines.
    pub fn now_ms(&self) -> i64 {
        match self {
            Clock::Real => wall_ms(),
            Clock::Manual(hands) => hands.wall_ms.load(Ordering::Acquire),
        }
    }

    /// [`Clock::now_ms`] as of the last tick of the system's timer, up to ten milliseconds ago: for readings that follow
    /// one another so closely that asking for the exact time would cost more than what is timed.
    pub fn coarse_ms(&self) -> i64 {
        match self {
            Clock::Real => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
                now.tv_sec * 1000 + now.tv_nsec / 1_000_000
            }
            Clock::Manual(_) => self.now_ms(),
        }
    }

    /// Milliseconds of a clock that nobody sets, from some moment in the life of the process (Java's
    /// `Time.hiResClockMs`): for deadlines.
    pub fn steady_ms(&self) -> i64 {
        match self {
            Clock::Real => {
                static START: OnceLock<Moment> = OnceLock::new();
                START.get_or_init(Moment::now).elapsed().as_millis() as i64
            }
            Clock::Manual(hands) => hands.steady_ms.load(Ordering::Acquire),
        }
    }

    /// Moves a manual clock forward by `by_ms` milliseconds; the real clock stays as it is.
    pub fn advance(&self, by_ms: i64) {
        if let Clock::Manual(hands) = self {
            hands.wall_ms.fetch_add(by_ms, Ordering::AcqRel);
            hands.steady_ms.fetch_add(by_ms, Ordering::AcqRel);
        }
    }

    /// Sets the wall time of a manual clock forward or back, as an administrator does: no time passes.
    pub fn step_wall(&self, by_ms: i64) {
        if let Clock::Manual(hands) = self {
            hands.wall_ms.fetch_add(by_ms, Ordering::AcqRel);
        }
    }
}

fn wall_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "this is the clock the rest of the project is sent to")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
}

/// A point of the monotonic clock, for measuring how long something took and for deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Instant);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock the rest of the project is sent to")]
        let now = Instant::now();
        Moment(now)
    }

    /// Time since this moment.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Time from an earlier moment to this one, zero if it is not earlier: who looks at several looks at the clock once.
    pub fn since(&self, earlier: Moment) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// This moment moved forward by `by`.
    pub fn after(&self, by: Duration) -> Self {
        Moment(self.0 + by)
    }

    /// The instant, for `tokio::time::sleep_until`.
    pub fn instant(&self) -> Instant {
        self.0
    }
}
