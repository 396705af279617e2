//! At most one line a second about what every client could cause as often as it likes.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Shortest time between two lines.
const PAUSE_MS: i64 = 1000;

/// When the next line may be written.
#[derive(Debug)]
pub struct Rarely {
    next_ms: AtomicI64,
    unsaid: AtomicU64,
}

impl Default for Rarely {
    fn default() -> Self {
        Rarely { next_ms: AtomicI64::new(i64::MIN), unsaid: AtomicU64::new(0) }
    }
}

impl Rarely {
    /// Whether a line may be written now, on a clock that is never set: how many were left out since the last.
    pub fn tell(&self, now_ms: i64) -> Option<u64> {
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let is_due = now_ms >= next_ms;
        let later_ms = now_ms.saturating_add(PAUSE_MS);
        // Of two that come at once one writes.
        if is_due && self.next_ms.compare_exchange(next_ms, later_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_with_the_number_of_those_left_out() {
        let rarely = Rarely::default();
        assert_eq!(rarely.tell(5000), Some(0));
        assert_eq!((rarely.tell(5000), rarely.tell(5999)), (None, None));
        assert_eq!(rarely.tell(6000), Some(2));
        assert_eq!(rarely.tell(6001), None);
    }
}
