//! How fast connections come, and how long the next must wait (Java: `Rate` over `SampledStat`, `QuotaUtils`).
//!
//! Asked by net/connected.rs. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// `quota.window.size.seconds`
const WINDOW_MS: i64 = 1000;
/// `quota.window.num`
const WINDOWS: i64 = 11;

#[derive(Clone, Copy, Debug)]
struct Sample {
    start_ms: i64,
    last_ms: i64,
    count: i64,
}

/// Connections of the last seconds.
#[derive(Debug, Default)]
pub(crate) struct CreationRate {
    samples: VecDeque<Sample>,
}

impl CreationRate {
    /// A connection came; how long it must wait where only `limit` may come a second.
    pub(crate) fn record(&mut self, limit: i64, now_ms: i64) -> Duration {
        match self.samples.back_mut() {
            Some(sample) if now_ms - sample.start_ms < WINDOW_MS => {
                sample.count += 1;
                sample.last_ms = now_ms;
            }
            Some(_) | None => self.samples.push_back(Sample { start_ms: now_ms, last_ms: now_ms, count: 1 }),
        }
        // One that overlaps the window stays whole.
        self.samples.retain(|sample| now_ms - sample.last_ms < WINDOWS * WINDOW_MS);
        let oldest_ms = self.samples.front().map_or(now_ms, |sample| sample.start_ms);
        let elapsed_ms = now_ms - oldest_ms;
        // Windows that have not passed yet count as passed, so that the first connections are not too fast.
        let missing = (WINDOWS - 1 - elapsed_ms / WINDOW_MS).max(0);
        let window_ms = (elapsed_ms + missing * WINDOW_MS).max(1);
        let count: i64 = self.samples.iter().map(|sample| sample.count).sum();
        let rate = count as f64 * 1000.0 / window_ms as f64;
        let limit = limit.max(1) as f64;
        if rate <= limit {
            return Duration::ZERO;
        }
        let wait_ms = ((rate - limit) / limit * window_ms as f64).round() as i64;
        Duration::from_millis(wait_ms.clamp(0, WINDOW_MS) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_beyond_the_limit_of_the_window_waits_until_the_rate_is_kept() {
        let mut rate = CreationRate::default();
        // Ten windows at two a second.
        assert!((0..20).all(|_| rate.record(2, 0).is_zero()));
        assert_eq!(rate.record(2, 0), Duration::from_millis(500));
        assert_eq!(rate.record(2, 0), Duration::from_millis(1000), "never longer than a window");
        assert_eq!(rate.record(2, 11_000), Duration::ZERO, "what is older than the windows is forgotten");
        assert!((0..100).all(|_| rate.record(i64::from(i32::MAX), 11_000).is_zero()));
    }
}
