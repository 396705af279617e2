//! Timers of processors, in stream time and in wall-clock time (PunctuationQueue, PunctuationSchedule).
//! Set through `Context`; the task asks what is due. Each fires at most once a look, with the present time; those missed
//! in between are left out.

use std::collections::HashSet;

use super::heap::Heap;

/// By which clock a timer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PunctuationType {
    /// The largest time of a record so far.
    StreamTime,
    /// The time of day.
    WallClock,
}

/// A timer, to cancel it by, and to know which one fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timer(u64);

#[derive(Debug, Clone, Copy)]
struct Schedule {
    timer: Timer,
    node: usize,
    interval_ms: i64,
}

/// A timer that is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) timer: Timer,
    pub(crate) node: usize,
    at: i64,
    interval_ms: i64,
}

#[derive(Debug)]
pub(crate) struct Timers {
    stream: Heap<Schedule>,
    wall: Heap<Schedule>,
    next: u64,
    cancelled: HashSet<Timer>,
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers { stream: Heap::new(), wall: Heap::new(), next: 0, cancelled: HashSet::new() }
    }

    fn heap(&mut self, clock: PunctuationType) -> &mut Heap<Schedule> {
        match clock {
            PunctuationType::StreamTime => &mut self.stream,
            PunctuationType::WallClock => &mut self.wall,
        }
    }

    /// A timer of stream time first fires with the first record, one of the wall clock after an interval. One with a start
    /// fires then and whole intervals later; a start that is over counts as one that fired (StreamTask.getInitialSchedule).
    pub(crate) fn schedule(
        &mut self,
        node: usize,
        clock: PunctuationType,
        interval_ms: i64,
        now: i64,
        start_ms: Option<i64>,
    ) -> Timer {
        let (timer, interval_ms) = (Timer(self.next), interval_ms.max(1));
        self.next += 1;
        let first = match (start_ms, clock) {
            (Some(start), _) if start < now => after(start, interval_ms, now),
            (Some(start), _) => start,
            (None, PunctuationType::StreamTime) => 0,
            (None, PunctuationType::WallClock) => now.saturating_add(interval_ms),
        };
        self.heap(clock).push(first, Schedule { timer, node, interval_ms });
        timer
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        self.cancelled.insert(timer);
    }

    /// The next timer that is due; `again` must follow once it has fired.
    pub(crate) fn due(&mut self, clock: PunctuationType, now: i64) -> Option<Due> {
        while let Some((at, _)) = self.heap(clock).peek() {
            if *at > now {
                return None;
            }
            let (at, schedule) = self.heap(clock).pop()?;
            if !self.cancelled.remove(&schedule.timer) {
                let Schedule { timer, node, interval_ms } = schedule;
                return Some(Due { timer, node, at, interval_ms });
            }
        }
        None
    }

    /// Sets a timer that has fired again, unless it was cancelled meanwhile.
    pub(crate) fn again(&mut self, clock: PunctuationType, due: Due, now: i64) {
        if self.cancelled.remove(&due.timer) {
            return;
        }
        let next = after(due.at, due.interval_ms, now);
        if next > now {
            let schedule = Schedule { timer: due.timer, node: due.node, interval_ms: due.interval_ms };
            self.heap(clock).push(next, schedule);
        }
    }
}

/// The first time behind `at`, by whole intervals, that is not over.
fn after(at: i64, interval_ms: i64, now: i64) -> i64 {
    let next = at.saturating_add(interval_ms);
    if now < next {
        return next;
    }
    let missed = (now - at) / interval_ms;
    at.saturating_add((missed + 1).saturating_mul(interval_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times at which a timer fires as the clock goes in steps of a second.
    fn fired(start_ms: Option<i64>, now: i64) -> Vec<i64> {
        let mut timers = Timers::new();
        timers.schedule(0, PunctuationType::WallClock, 10_000, now, start_ms);
        let mut fired = Vec::new();
        for now in (now..now + 30_000).step_by(1000) {
            while let Some(due) = timers.due(PunctuationType::WallClock, now) {
                fired.push(now);
                timers.again(PunctuationType::WallClock, due, now);
            }
        }
        fired
    }

    #[test]
    fn a_timer_with_a_start_keeps_to_it() {
        assert_eq!(fired(None, 3000), [13_000, 23_000]);
        assert_eq!(fired(Some(5000), 3000), [5000, 15_000, 25_000]);
        assert_eq!(fired(Some(0), 3000), [10_000, 20_000, 30_000]);
    }
}
