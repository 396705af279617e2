//! When a windowed aggregate hands its results on: at each change, or once its windows are closed (KIP-825).
//! Used by the aggregations of windows and sessions. Never reads a store: it says when and for which times to.
//! Not done: up to which time windows were handed on is not kept in the metadata of committed offsets; after a restart
//! what is still within retention is handed on once more.

use crate::dsl::windows::EmitStrategy;
use crate::task::context::Context;

/// Emission of one processor.
pub(crate) struct Emission {
    strategy: EmitStrategy,
    interval_ms: i64,
    /// The wall clock before which closed windows are not looked for again.
    next: i64,
    /// Up to which time windows were closed when results were last handed on; None before the first.
    pub(crate) last_close: Option<i64>,
}

impl Emission {
    pub(crate) fn new(strategy: EmitStrategy, interval_ms: i64) -> Emission {
        Emission { strategy, interval_ms, next: 0, last_close: None }
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
}
