//! One task that wakes every coordinator shard when its machine asks for it.
//!
//! Called by [`crate::coord::shard::Shard`] after a step; each shard has one [`Slot`], so that there are never more
//! entries than shards. Times are those of [`Clock::steady_ms`]. With nothing registered it sleeps until it is told;
//! an idle broker with fifty empty offset partitions costs nothing here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use millstream_base_env::{Clock, task};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What is called at its time.
pub type Call = Box<dyn FnOnce() + Send>;

/// A cheap handle on the timer.
#[derive(Clone)]
pub struct Timer {
    inner: Arc<Inner>,
}

/// Room for one call. What is set in it is forgotten with it.
pub struct Slot {
    inner: Arc<Inner>,
    id: u64,
}

struct Inner {
    clock: Clock,
    due: Mutex<Due>,
    earlier: Notify,
}

/// The calls by time, and the time of each slot's.
#[derive(Default)]
struct Due {
    calls: BTreeMap<(i64, u64), Call>,
    times: HashMap<u64, i64>,
    slot_next: u64,
}

impl Timer {
    /// A timer whose task [`Timer::start`] runs.
    pub fn new(clock: Clock) -> Self {
        Timer { inner: Arc::new(Inner { clock, due: Mutex::default(), earlier: Notify::new() }) }
    }

    /// Starts the task; it ends with the runtime.
    pub fn start(&self) -> tokio::task::JoinHandle<()> {
        let timer = self.clone();
        task::spawn("coordinator timer", async move {
            loop {
                match timer.fire() {
                    None => timer.inner.earlier.notified().await,
                    Some(wait_ms) => {
                        let wait = Duration::from_millis(wait_ms.max(0) as u64);
                        tokio::select! {
                            () = tokio::time::sleep(wait) => {}
                            () = timer.inner.earlier.notified() => {}
                        }
                    }
                }
            }
        })
    }

    /// A slot with nothing in it.
    pub fn slot(&self) -> Slot {
        let mut due = self.inner.due.lock();
        due.slot_next += 1;
        Slot { inner: self.inner.clone(), id: due.slot_next }
    }

    /// Calls all that is due; milliseconds until the next one.
    pub fn fire(&self) -> Option<i64> {
        loop {
            let now_ms = self.inner.clock.steady_ms();
            let mut due = self.inner.due.lock();
            let first = due.calls.first_entry()?;
            let (at_ms, slot) = *first.key();
            if at_ms > now_ms {
                return Some(at_ms.saturating_sub(now_ms));
            }
            let call = first.remove();
            due.times.remove(&slot);
            drop(due);
            call();
        }
    }

    /// How many calls are waiting for their time.
    pub fn waiting(&self) -> usize {
        self.inner.due.lock().calls.len()
    }
}

impl Slot {
    /// Calls `call` at `at_ms` or soon after; what was set before is forgotten.
    pub fn set(&self, at_ms: i64, call: Call) {
        let mut due = self.inner.due.lock();
        due.clear(self.id);
        let is_first = due.calls.first_key_value().is_none_or(|((first_ms, _), _)| at_ms < *first_ms);
        due.times.insert(self.id, at_ms);
        due.calls.insert((at_ms, self.id), call);
        drop(due);
        if is_first {
            self.inner.earlier.notify_one();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inner.due.lock().clear(self.id);
    }
}

impl Due {
    fn clear(&mut self, slot: u64) {
        if let Some(at_ms) = self.times.remove(&slot) {
            self.calls.remove(&(at_ms, slot));
        }
    }
}
