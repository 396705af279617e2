//! Memory of requests that have come in part: one bound for all connections of the node.
//!
//! Each connection says how many bytes it holds between two polls and asks before it reads more. When the bound is
//! reached nobody reads but one: the first connection with a part of a request that asks may finish it, so that the
//! whole can never stand still. What is held is therefore at most the bound, what the reads under way take, and one
//! request (`socket.request.max.bytes`).
//!
//! Apache bounds the same with `queued.max.request.bytes` (KIP-72), by default not at all; there a negative value means
//! no bound, here [`UNSET_BYTES_MAX`] or two of the largest requests, whichever is more.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// The bound where the configuration sets none.
const UNSET_BYTES_MAX: usize = 256 << 20;

/// The bound, and what is held under it.
#[derive(Debug)]
pub struct RequestMemory {
    bytes_max: usize,
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
        RequestMemory { bytes_max, used: AtomicUsize::new(0), overdrawn: AtomicBool::new(false), freed: Arc::default() }
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
    /// Whether this is the one that reads beyond the bound.
    overdraws: bool,
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

impl Held {
    /// Nothing yet, under the bound of `memory`.
    pub fn new(memory: Arc<RequestMemory>) -> Self {
        Held { memory, bytes: 0, overdraws: false, waiting: None }
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
        let was_full = before >= self.memory.bytes_max;
        self.bytes = bytes;
        // What is left after a request was handled is the start of another, which has to ask for itself.
        let overdrew = std::mem::take(&mut self.overdraws);
        if overdrew {
            self.memory.overdrawn.store(false, Ordering::SeqCst);
        }
        if was_full || overdrew {
            self.memory.freed.notify_waiters();
        }
    }

    /// Ready when the connection may read more.
    pub fn poll_read_allowed(&mut self, task: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.memory.is_full() || self.overdraws || self.overdraw() {
                self.waiting = None;
                return Poll::Ready(());
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
        self.overdraws = self.bytes > 0 && place.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        self.overdraws
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn allowed(held: &mut Held, wakes: &Arc<Wakes>) -> bool {
        let waker = Waker::from(wakes.clone());
        held.poll_read_allowed(&mut Context::from_waker(&waker)).is_ready()
    }

    #[test]
    fn an_unset_bound_holds_two_of_the_largest_requests() {
        assert_eq!(RequestMemory::new(-1, 100).bytes_max, UNSET_BYTES_MAX);
        assert_eq!(RequestMemory::new(-1, 1 << 30).bytes_max, 2 << 30);
        assert_eq!(RequestMemory::new(7, 1 << 30).bytes_max, 7);
    }

    #[test]
    fn when_it_is_full_one_begun_request_goes_on_and_the_rest_wait_for_it() {
        let memory = Arc::new(RequestMemory::new(100, 1000));
        let wakes = Arc::new(Wakes::default());
        let [mut first, mut second, mut fresh] = [(); 3].map(|()| Held::new(memory.clone()));
        assert!(allowed(&mut first, &wakes) && allowed(&mut second, &wakes));
        first.set(60);
        second.set(60);
        assert_eq!(memory.used(), 120);
        assert!(!allowed(&mut fresh, &wakes), "nothing of it came yet");
        assert!(allowed(&mut second, &wakes));
        assert!(allowed(&mut second, &wakes), "it goes on");
        assert!(!allowed(&mut first, &wakes), "one at a time");
        second.set(500);
        assert!(!allowed(&mut first, &wakes));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        second.set(0);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 2, "both that waited are woken");
        assert!(allowed(&mut first, &wakes) && allowed(&mut fresh, &wakes));
    }

    #[test]
    fn a_connection_that_ends_gives_back_what_it_held() {
        let memory = Arc::new(RequestMemory::new(100, 1000));
        let wakes = Arc::new(Wakes::default());
        let (mut gone, mut left) = (Held::new(memory.clone()), Held::new(memory.clone()));
        gone.set(90);
        left.set(20);
        assert!(allowed(&mut gone, &wakes) && !allowed(&mut left, &wakes));
        drop(gone);
        assert_eq!((memory.used(), wakes.0.load(Ordering::SeqCst)), (20, 1));
        assert!(allowed(&mut left, &wakes));
    }
}
