//! How fast compaction may go: bytes read and written a second (Java: `Throttler`).
//!
//! Made for one cleaning; compact.rs counts bytes into it and pauses when it says so. Never here: the pausing
//! itself, so that a cleaning which must stop is not asleep.

use std::cell::Cell;
use std::time::Duration;

use millstream_base_env::clock::Moment;

/// Pauses below this are left to add up: a sleep is no finer.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// Longest pause at a time, so that a cleaning which must stop does so soon.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Bytes counted since a moment, and how many a second are allowed.
pub(crate) struct Throttle {
    bytes_per_second: f64,
    began: Moment,
    bytes: Cell<f64>,
}

impl Throttle {
    /// Counts from now on.
    pub(crate) fn new(bytes_per_second: f64) -> Self {
        Throttle { bytes_per_second, began: Moment::now(), bytes: Cell::new(0.0) }
    }

    /// Counts bytes that were read or written.
    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as f64);
    }

    /// How long to pause before going on, if that is worth it.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let allowed_after = self.bytes.get() / self.bytes_per_second;
        let ahead = allowed_after - self.began.elapsed().as_secs_f64();
        // A rate of nothing would pause for ever; it pauses for as long as it is asked.
        let ahead = if ahead.is_finite() { ahead } else { PAUSE_MAX.as_secs_f64() };
        (ahead >= PAUSE_MIN.as_secs_f64()).then(|| Duration::from_secs_f64(ahead.min(PAUSE_MAX.as_secs_f64())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_when_ahead_of_the_rate_only() {
        let throttle = Throttle::new(1e6);
        assert_eq!(throttle.pause(), None);
        throttle.count(50_000);
        let pause = throttle.pause().expect("50 ms ahead");
        assert!(pause > PAUSE_MIN && pause <= Duration::from_millis(50), "{pause:?}");
        throttle.count(10_000_000);
        assert_eq!(throttle.pause(), Some(PAUSE_MAX));
        let unlimited = Throttle::new(f64::MAX);
        unlimited.count(usize::MAX);
        assert_eq!(unlimited.pause(), None);
    }
}
