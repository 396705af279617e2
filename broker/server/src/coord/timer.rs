//! One task that wakes every coordinator shard when its machine asks for it.
//!
//! Called by [`crate::coord::shard::Shard`] after a step. With nothing registered it sleeps until it is told;
//! an idle broker with fifty empty offset partitions costs nothing here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

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

struct Inner {
    clock: Clock,
    due: Mutex<BinaryHeap<Reverse<Due>>>,
    earlier: Notify,
}

struct Due {
    at_ms: i64,
    call: Call,
}

impl Timer {
    /// A timer whose task [`Timer::start`] runs.
    pub fn new(clock: Clock) -> Self {
        Timer { inner: Arc::new(Inner { clock, due: Mutex::new(BinaryHeap::new()), earlier: Notify::new() }) }
    }

    /// Starts the task; it ends with the runtime.
    pub fn start(&self) -> tokio::task::JoinHandle<()> {
        let inner = self.inner.clone();
        task::spawn("coordinator timer", async move {
            loop {
                match inner.fire() {
                    None => inner.earlier.notified().await,
                    Some(wait_ms) => {
                        let wait = Duration::from_millis(wait_ms.max(0) as u64);
                        tokio::select! {
                            () = tokio::time::sleep(wait) => {}
                            () = inner.earlier.notified() => {}
                        }
                    }
                }
            }
        })
    }

    /// Calls `call` at `at_ms` (wall clock) or soon after.
    pub fn register(&self, at_ms: i64, call: Call) {
        let mut due = self.inner.due.lock();
        let first = due.peek().is_none_or(|Reverse(first)| at_ms < first.at_ms);
        due.push(Reverse(Due { at_ms, call }));
        drop(due);
        if first {
            self.inner.earlier.notify_one();
        }
    }
}

impl Inner {
    /// Calls all that is due; milliseconds until the next one.
    fn fire(&self) -> Option<i64> {
        loop {
            let now_ms = self.clock.now_ms();
            let mut due = self.due.lock();
            match due.peek() {
                None => return None,
                Some(Reverse(first)) if first.at_ms > now_ms => return Some(first.at_ms - now_ms),
                Some(_) => {}
            }
            let call = due.pop().map(|Reverse(due)| due.call);
            drop(due);
            if let Some(call) = call {
                call();
            }
        }
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at_ms == other.at_ms
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at_ms.cmp(&other.at_ms)
    }
}
