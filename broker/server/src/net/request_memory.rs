//! Memory of requests that have come in part or wait for their answer: one bound for all connections of the node.
//!
//! Each connection says how many bytes it holds between two polls and asks before it reads more. When the bound is
//! reached only connections that hold little ([`SMALL_BYTES`]) read on, so that large requests never keep small ones
//! out, and one more: the first with a part of a large request that asks may finish it, so that the large ones do not
//! stand still. It has to get on ([`PROGRESS_BYTES`] in [`PROGRESS_TIME`]) or it is closed, and the next has its turn.
//! What is held is therefore at most the bound, one request (`socket.request.max.bytes`), and for each connection what
//! is small and the read under way.
//!
//! Apache bounds the same with `queued.max.request.bytes` (KIP-72), by default not at all; there a negative value means
//! no bound, here [`UNSET_BYTES_MAX`] or two of the largest requests, whichever is more.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use millstream_base_env::task;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Sleep;

/// The bound where the configuration sets none.
const UNSET_BYTES_MAX: usize = 256 << 20;
/// A connection that holds less than this may always read.
const SMALL_BYTES: usize = 64 << 10;
/// What who reads beyond the bound has to bring ...
const PROGRESS_BYTES: usize = 1 << 20;
/// ... in this time.
const PROGRESS_TIME: Duration = Duration::from_secs(10);

/// The bound, and what is held under it.
#[derive(Debug)]
pub struct RequestMemory {
    bytes_max: usize,
    progress_time: Duration,
    used: AtomicUsize,
    /// Whether a connection reads beyond the bound.
    overdrawn: AtomicBool,
    freed: Arc<Notify>,
}

impl RequestMemory {
    /// As `queued.max.request.bytes` and `socket.request.max.bytes` say.
    pub fn new(queued_bytes_max: i64, request_bytes_max: usize) -> Self {
        let bytes_max = match usize::try_from(queued_bytes_max) {
            Ok(bytes) if bytes > 0 => bytes,
            _ => UNSET_BYTES_MAX.max(request_bytes_max.saturating_mul(2)),
        };
        RequestMemory {
            bytes_max,
            progress_time: PROGRESS_TIME,
            used: AtomicUsize::new(0),
            overdrawn: AtomicBool::new(false),
            freed: Arc::default(),
        }
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.used.load(Ordering::SeqCst) >= self.bytes_max
    }
}

/// What one connection holds; given back when dropped.
pub struct Held {
    memory: Arc<RequestMemory>,
    bytes: usize,
    /// Of the one that reads beyond the bound.
    overdraft: Option<Overdraft>,
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

/// The place beyond the bound.
struct Overdraft {
    looked_at: Pin<Box<Sleep>>,
    bytes_then: usize,
}

/// A connection that holds back others and brings nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow;

impl Held {
    /// Nothing yet, under the bound of `memory`.
    pub fn new(memory: Arc<RequestMemory>) -> Self {
        Held { memory, bytes: 0, overdraft: None, waiting: None }
    }

    /// Says how many bytes the connection holds now.
    pub fn set(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        if bytes > self.bytes {
            self.memory.used.fetch_add(bytes - self.bytes, Ordering::SeqCst);
            self.bytes = bytes;
            return;
        }
        let before = self.memory.used.fetch_sub(self.bytes - bytes, Ordering::SeqCst);
        self.bytes = bytes;
        if before >= self.memory.bytes_max {
            self.memory.freed.notify_waiters();
        }
    }

    /// A request was handled: what is left is the start of another, which has to ask for itself.
    pub fn end_overdraft(&mut self) {
        if self.overdraft.take().is_some() {
            self.memory.overdrawn.store(false, Ordering::SeqCst);
            self.memory.freed.notify_waiters();
        }
    }

    /// Ready when the connection may read more, or has to end.
    pub fn poll_read_allowed(&mut self, task: &mut Context<'_>) -> Poll<Result<(), TooSlow>> {
        loop {
            if self.bytes < SMALL_BYTES || !self.memory.is_full() || self.overdraft.is_some() || self.overdraw() {
                self.waiting = None;
                return Poll::Ready(self.check_progress(task));
            }
            match &mut self.waiting {
                Some(freed) => {
                    if freed.as_mut().poll(task).is_pending() {
                        return Poll::Pending;
                    }
                    self.waiting = None;
                }
                None => {
                    let mut freed = Box::pin(self.memory.freed.clone().notified_owned());
                    // From here on nothing is missed; what was freed before is seen by the look above.
                    freed.as_mut().enable();
                    self.waiting = Some(freed);
                }
            }
        }
    }

    /// Takes the one place beyond the bound, for a request that has begun.
    fn overdraw(&mut self) -> bool {
        let place = &self.memory.overdrawn;
        if place.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return false;
        }
        self.overdraft =
            Some(Overdraft { looked_at: Box::pin(task::sleep(self.memory.progress_time)), bytes_then: self.bytes });
        true
    }

    fn check_progress(&mut self, task: &mut Context<'_>) -> Result<(), TooSlow> {
        let Some(overdraft) = &mut self.overdraft else { return Ok(()) };
        while overdraft.looked_at.as_mut().poll(task).is_ready() {
            if self.bytes < overdraft.bytes_then + PROGRESS_BYTES && self.memory.is_full() {
                return Err(TooSlow);
            }
            overdraft.bytes_then = self.bytes;
            overdraft.looked_at = Box::pin(task::sleep(self.memory.progress_time));
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
        self.end_overdraft();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicU32;
    use std::task::{Wake, Waker};

    use super::*;

    const LARGE: usize = SMALL_BYTES;

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn asked(held: &mut Held, wakes: &Arc<Wakes>) -> Poll<Result<(), TooSlow>> {
        let waker = Waker::from(wakes.clone());
        held.poll_read_allowed(&mut Context::from_waker(&waker))
    }

    fn allowed(held: &mut Held, wakes: &Arc<Wakes>) -> bool {
        asked(held, wakes).is_ready()
    }

    #[test]
    fn an_unset_bound_holds_two_of_the_largest_requests() {
        assert_eq!(RequestMemory::new(-1, 100).bytes_max, UNSET_BYTES_MAX);
        assert_eq!(RequestMemory::new(-1, 1 << 30).bytes_max, 2 << 30);
        assert_eq!(RequestMemory::new(7, 1 << 30).bytes_max, 7);
    }

    #[tokio::test]
    async fn when_it_is_full_one_large_request_goes_on_and_small_ones_do() {
        let memory = Arc::new(RequestMemory::new(2 * LARGE as i64, 1000));
        let wakes = Arc::new(Wakes::default());
        let [mut first, mut second, mut fresh] = [(); 3].map(|()| Held::new(memory.clone()));
        assert!(allowed(&mut first, &wakes) && allowed(&mut second, &wakes));
        first.set(LARGE);
        second.set(LARGE + 1);
        assert_eq!(memory.used(), 2 * LARGE + 1);
        assert!(allowed(&mut fresh, &wakes), "it holds nothing");
        fresh.set(LARGE - 1);
        assert!(allowed(&mut fresh, &wakes), "it holds little");
        assert!(allowed(&mut second, &wakes));
        assert!(allowed(&mut second, &wakes), "it goes on");
        assert!(!allowed(&mut first, &wakes), "one at a time");
        second.set(5 * LARGE);
        fresh.set(LARGE);
        assert!(!allowed(&mut first, &wakes) && !allowed(&mut fresh, &wakes));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        second.set(0);
        second.end_overdraft();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 2, "both that waited are woken");
        assert!(allowed(&mut first, &wakes) && !allowed(&mut fresh, &wakes), "the next has its turn");
    }

    #[tokio::test]
    async fn a_connection_that_ends_gives_back_what_it_held() {
        let memory = Arc::new(RequestMemory::new(2 * LARGE as i64, 1000));
        let wakes = Arc::new(Wakes::default());
        let (mut gone, mut left) = (Held::new(memory.clone()), Held::new(memory.clone()));
        gone.set(2 * LARGE);
        left.set(LARGE);
        assert!(allowed(&mut gone, &wakes) && !allowed(&mut left, &wakes));
        drop(gone);
        assert_eq!((memory.used(), wakes.0.load(Ordering::SeqCst)), (LARGE, 1));
        assert!(allowed(&mut left, &wakes));
    }

    #[tokio::test]
    async fn who_holds_back_others_and_brings_nothing_has_to_go() {
        let memory =
            RequestMemory { progress_time: Duration::from_millis(1), ..RequestMemory::new(LARGE as i64, 1000) };
        let mut slow = Held::new(Arc::new(memory));
        slow.set(LARGE);
        assert!(allowed(&mut slow, &Arc::default()));
        let ended = poll_fn(|task| match slow.poll_read_allowed(task) {
            Poll::Ready(Err(TooSlow)) => Poll::Ready(()),
            _ => Poll::Pending,
        });
        ended.await;
    }
}
