//! When a windowed aggregate hands its results on: at each change, or once its windows are closed (KIP-825).
//! Used by the aggregations of windows and sessions. Never reads a store: it says when and for which times to.
//! Up to which time it did is kept beside committed offsets, under the name of the store (KIP-825), so that windows are
//! handed on once, whoever has the task.

use std::rc::Rc;

use millstream_base_env::clock::Moment;

use crate::config::Recording;
use crate::dsl::windows::EmitStrategy;
use crate::task::Linking;
use crate::task::context::Context;
use crate::task::tally::{NodeCounts, NodeTally, add};

/// Emission of one processor.
pub(crate) struct Emission {
    strategy: EmitStrategy,
    store: String,
    tally: Rc<NodeTally>,
    /// Whether it is measured how long handing on takes.
    is_timed: bool,
    interval_ms: i64,
    /// The wall clock before which closed windows are not looked for again.
    next: i64,
    /// Up to which time windows were closed when results were last handed on; None before the first.
    pub(crate) last_close: Option<i64>,
}

impl Emission {
    pub(crate) fn new(strategy: EmitStrategy, store: &str, linking: &Linking<'_>) -> Emission {
        let interval_ms = linking.settings().emit_interval_windows_ms;
        let last_close = linking.context().kept(store);
        let tally = linking.tallies().node(linking.node(), NodeCounts::Final);
        let is_timed = linking.settings().recording >= Recording::Debug;
        Emission { strategy, store: store.to_owned(), tally, is_timed, interval_ms, next: 0, last_close }
    }

    pub(crate) fn is_on_update(&self) -> bool {
        self.strategy == EmitStrategy::OnWindowUpdate
    }

    /// Whether closed windows are to be looked for: at most once an interval of the wall clock, and only if more closed.
    pub(crate) fn is_due(&mut self, close: i64, context: &Context) -> bool {
        if self.is_on_update() || context.wall_clock() < self.next {
            return false;
        }
        self.next = context.wall_clock().saturating_add(self.interval_ms);
        self.last_close.is_none_or(|last| last < close)
    }

    /// Closed windows are about to be looked for: the time, where it is measured.
    pub(crate) fn begin(&self) -> Option<Moment> {
        self.is_timed.then(Moment::now)
    }

    /// All windows that were closed by then, so many, have been handed on.
    pub(crate) fn emitted(&mut self, (close, count): (i64, usize), begun: Option<Moment>, context: &mut Context) {
        add(&self.tally.records, count as u64);
        if let Some(begun) = begun {
            self.tally.times.add(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX));
        }
        self.last_close = Some(close);
        context.keep(&self.store, close);
    }
}
