//! Requests that wait for a partition to change: a fetch for enough bytes, a produce for the high watermark.
//!
//! A waiter registers with every partition that it looks at, looks once more, and sleeps. Whatever moves an offset
//! wakes all waiters of that partition; each looks again and decides by itself (Java keys its purgatory the same
//! way and re-checks `tryComplete`). With nobody waiting, a wake is one atomic load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// One sleeping request.
pub type Waiter = Arc<Notify>;

/// The waiters of one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    count: AtomicUsize,
    list: Mutex<Vec<Waiter>>,
}

impl Waiters {
    /// Adds a waiter. The caller looks at the partition once more afterwards: a change between its first look and
    /// this call woke nobody.
    pub fn register(&self, waiter: &Waiter) {
        let mut list = self.list.lock();
        list.push(waiter.clone());
        self.count.store(list.len(), Ordering::SeqCst);
    }

    /// Takes a waiter away; it may be gone already.
    pub fn forget(&self, waiter: &Waiter) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut list = self.list.lock();
        list.retain(|other| !Arc::ptr_eq(other, waiter));
        self.count.store(list.len(), Ordering::SeqCst);
    }

    /// Wakes and forgets all.
    pub fn wake(&self) {
        // SeqCst pairs with `register`: either the waiter is seen here, or it sees what was written before this.
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let list = {
            let mut list = self.list.lock();
            self.count.store(0, Ordering::SeqCst);
            std::mem::take(&mut *list)
        };
        for waiter in list {
            waiter.notify_one();
        }
    }
}

/// Keeps a waiter registered with several partitions and takes it away when dropped.
pub struct Registration<'a, P: AsRef<Waiters>> {
    waiter: Waiter,
    places: &'a [P],
}

impl<'a, P: AsRef<Waiters>> Registration<'a, P> {
    /// A waiter that is registered nowhere yet.
    pub fn new(places: &'a [P]) -> Self {
        Registration { waiter: Arc::new(Notify::new()), places }
    }

    /// Registers with every partition; those that still hold the waiter get it only once.
    pub fn register(&self) {
        for place in self.places {
            place.as_ref().forget(&self.waiter);
            place.as_ref().register(&self.waiter);
        }
    }

    /// Sleeps until any of them changes.
    pub async fn changed(&self) {
        self.waiter.notified().await;
    }
}

impl<P: AsRef<Waiters>> Drop for Registration<'_, P> {
    fn drop(&mut self) {
        for place in self.places {
            place.as_ref().forget(&self.waiter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_reaches_each_waiter_once_and_forgets_it() {
        let waiters = Waiters::default();
        let (one, two) = (Waiter::default(), Waiter::default());
        waiters.register(&one);
        waiters.register(&two);
        waiters.forget(&two);
        waiters.wake();
        assert_eq!(waiters.count.load(Ordering::SeqCst), 0);
        assert_eq!(Arc::strong_count(&one), 1);
        assert_eq!(Arc::strong_count(&two), 1);
    }
}
