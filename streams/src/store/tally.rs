//! What a store counts: calls, bytes of its cache, and what its rows tell of themselves.
//! Made by the task for each of its stores. How long calls take is looked at only from `metrics.recording.level=DEBUG` on:
//! by default no call looks at a clock.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;

use crate::config::Recording;
use crate::task::tally::{Spread, add};
use crate::topology::store::{Store, StoreKind};

/// A call of a store (Java: `StateStoreMetrics`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Of one value.
    Put,
    PutIfAbsent,
    /// Of one key.
    Get,
    Delete,
    All,
    Range,
    PrefixScan,
    /// Of windows or sessions.
    Fetch,
    /// Of a session.
    Remove,
    Commit,
    /// A whole restoration.
    Restore,
}

/// How many kinds of calls there are.
pub(crate) const CALLS: usize = 11;

/// What kind of store it is, by which Java names the tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Keys and values.
    Keys,
    /// Windows.
    Windows,
    /// Sessions.
    Sessions,
    /// Changes that wait.
    Suppression,
    /// Records that wait, whose calls Java does not count either.
    Uncounted,
}

/// What one store counted since that was last taken.
#[derive(Debug)]
pub(crate) struct StoreTally {
    pub(crate) name: String,
    scope: Cell<Scope>,
    pub(crate) is_on_disk: bool,
    recording: Recording,
    calls: [Cell<u64>; CALLS],
    /// Nanoseconds.
    took: [Spread; CALLS],
    /// How old records were when they were put, in ms.
    pub(crate) ages: Spread,
    /// Nanoseconds for which rows were gone through.
    pub(crate) iterated: Spread,
    /// How many changes waited after each call, and how many bytes they took.
    pub(crate) held: (Spread, Spread),
    /// Whether there is a cache.
    pub(crate) is_cached: Cell<bool>,
    /// Of keys that were looked for in the cache: found, and not.
    pub(crate) looked_up: (Cell<u64>, Cell<u64>),
    /// Bytes that the cache holds now.
    pub(crate) cached_bytes: Cell<usize>,
    /// What the rows tell of themselves; None if that is not new.
    pub(crate) gauges: RefCell<Option<Vec<Gauge>>>,
}

/// What rows tell of themselves, by Java's name.
pub type Gauge = (&'static str, f64);

/// When a call began, where that is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun(Option<Moment>);

impl Begun {
    fn nanos(self) -> Option<i64> {
        self.0.map(|at| nanos(at.elapsed()))
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// When the first call of an update ended and the second one began, where that is looked at.
#[derive(Debug, Default)]
pub(crate) struct Between(Cell<Option<(Moment, Moment)>>);

impl StoreTally {
    /// Of a store of that definition.
    pub(crate) fn new(definition: &Store, is_on_disk: bool, recording: Recording) -> StoreTally {
        let scope = match definition.kind {
            StoreKind::Window { .. } => Scope::Windows,
            StoreKind::Session { .. } => Scope::Sessions,
            StoreKind::Buffer => Scope::Uncounted,
            StoreKind::KeyValue | StoreKind::Versioned { .. } | StoreKind::OuterJoin | StoreKind::Subscriptions => {
                Scope::Keys
            }
        };
        StoreTally {
            name: definition.name.clone(),
            scope: Cell::new(scope),
            is_on_disk,
            recording,
            calls: Default::default(),
            took: Default::default(),
            ages: Spread::default(),
            iterated: Spread::default(),
            held: Default::default(),
            is_cached: Cell::default(),
            looked_up: Default::default(),
            cached_bytes: Cell::default(),
            gauges: RefCell::default(),
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope.get()
    }

    /// It holds changes of a suppression.
    pub(crate) fn suppresses(&self) {
        self.scope.set(Scope::Suppression);
    }

    /// A call begins.
    #[inline]
    pub(crate) fn begin(&self) -> Begun {
        Begun((self.recording >= Recording::Debug).then(Moment::now))
    }

    /// A call has ended.
    #[inline]
    pub(crate) fn end(&self, call: Call, begun: Begun) {
        add(&self.calls[call as usize], 1);
        if let Some(nanos) = begun.nanos() {
            self.took[call as usize].add(nanos);
        }
    }

    /// A call that writes has ended, because of a record of that time.
    #[inline]
    pub(crate) fn end_write(&self, call: Call, begun: Begun, timestamp: i64) {
        self.end(call, begun);
        if self.recording == Recording::Trace {
            self.ages.add(Clock::Real.now_ms().saturating_sub(timestamp));
        }
    }

    /// A call that goes through rows has ended.
    pub(crate) fn end_rows(&self, call: Call, begun: Begun) {
        self.end(call, begun);
        if let Some(nanos) = begun.nanos() {
            self.iterated.add(nanos);
        }
    }

    /// Reads a page; the pages of a read are one call, that of the first.
    pub(crate) fn page<R>(&self, call: Call, is_first: bool, read: impl FnOnce() -> R) -> R {
        let begun = self.begin();
        let page = read();
        if is_first {
            self.end_rows(call, begun);
        }
        page
    }

    /// Runs what makes a value of the one before, between the two calls of an update.
    #[inline]
    pub(crate) fn between<R>(&self, between: &Between, change: impl FnOnce() -> R) -> R {
        if self.recording < Recording::Debug {
            return change();
        }
        let left = Moment::now();
        let answer = change();
        between.0.set(Some((left, Moment::now())));
        answer
    }

    /// A value was read by that call and, unless something failed, another one put in its place because of a record of that
    /// time: two calls, as in Java.
    #[inline]
    pub(crate) fn end_update(&self, read: Call, begun: Begun, between: &Between, is_put: bool, timestamp: i64) {
        add(&self.calls[read as usize], 1);
        add(&self.calls[Call::Put as usize], u64::from(is_put));
        if let (Some(began), Some((left, back))) = (begun.0, between.0.get()) {
            self.took[read as usize].add(nanos(left.since(began)));
            self.took[Call::Put as usize].add(nanos(back.elapsed()));
        }
        if self.recording == Recording::Trace && is_put {
            self.ages.add(Clock::Real.now_ms().saturating_sub(timestamp));
        }
    }

    /// A call that happens seldom, and took that long.
    pub(crate) fn took(&self, call: Call, time: Duration) {
        add(&self.calls[call as usize], 1);
        self.took[call as usize].add(nanos(time));
    }

    /// What is known of a kind of call: how often, and how long.
    pub(crate) fn of(&self, call: Call) -> (&Cell<u64>, &Spread) {
        (&self.calls[call as usize], &self.took[call as usize])
    }

    /// A key was looked for in the cache.
    #[inline]
    pub(crate) fn looked_up(&self, is_found: bool) {
        add(if is_found { &self.looked_up.0 } else { &self.looked_up.1 }, 1);
    }

    /// So many changes wait, which take so many bytes.
    #[inline]
    pub(crate) fn holds(&self, count: usize, bytes: usize) {
        self.held.0.add(i64::try_from(count).unwrap_or(i64::MAX));
        self.held.1.add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Forgets what was counted; what the cache holds it goes on holding.
    pub(crate) fn clear(&self) {
        self.calls.iter().for_each(|calls| calls.set(0));
        let spreads = [&self.ages, &self.iterated, &self.held.0, &self.held.1];
        for spread in self.took.iter().chain(spreads) {
            spread.take();
        }
        self.looked_up.0.set(0);
        self.looked_up.1.set(0);
        self.gauges.take();
    }

    /// Of no store of a topology.
    #[cfg(test)]
    pub(crate) fn unnamed() -> std::rc::Rc<StoreTally> {
        let definition = Store::new("store", StoreKind::KeyValue);
        std::rc::Rc::new(StoreTally::new(&definition, false, Recording::Info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_from_debug_on_calls_are_timed() {
        let definition = Store::new("store", StoreKind::KeyValue);
        for (recording, timed, aged) in [(Recording::Info, 0, 0), (Recording::Debug, 1, 0), (Recording::Trace, 1, 1)] {
            let tally = StoreTally::new(&definition, false, recording);
            let begun = tally.begin();
            tally.end_write(Call::Put, begun, 0);
            let (calls, took) = tally.of(Call::Put);
            assert_eq!(calls.take(), 1);
            assert_eq!(took.take().map_or(0, |taken| taken.count), timed, "{recording:?}");
            assert_eq!(tally.ages.take().map_or(0, |taken| taken.count), aged, "{recording:?}");
        }
    }
}
