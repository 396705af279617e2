//! Requests that wait for a partition to change: a fetch for enough bytes.
//!
//! A waiter notes how far its partitions are, looks at them, registers for as many more bytes as it lacks, and sleeps.
//! An append wakes those whose bytes came, and leaves the others asleep; what else moves an offset, or a role, wakes
//! all. Each looks again and decides by itself (Java keys its purgatory the same way and re-checks `tryComplete`, at
//! each append). With nobody waiting, a wake is one addition and one load. Coming and going cost the logarithm of those
//! that wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// One sleeping request.
pub type Waiter = Arc<Notify>;

/// The waiters of one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    /// Bytes appended since the partition was opened.
    appended: AtomicU64,
    /// Changes of any other kind.
    changes: AtomicU64,
    count: AtomicUsize,
    sleeping: Mutex<Sleeping>,
}

/// By the value of `appended` that wakes them, and a number that keeps them apart.
#[derive(Debug, Default)]
struct Sleeping {
    by_need: BTreeMap<(u64, u64), Waiter>,
    number_next: u64,
}

/// How far a partition was at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    appended: u64,
    changes: u64,
}

impl Waiters {
    /// How far the partition is; to be taken before it is looked at.
    fn mark(&self) -> Mark {
        // SeqCst as in `wake`: what is counted here can be seen by the look that follows.
        Mark { appended: self.appended.load(Ordering::SeqCst), changes: self.changes.load(Ordering::SeqCst) }
    }

    /// Adds a waiter that needs `bytes` more than there were at `mark`; answers its key. Where they came meanwhile, or
    /// anything else happened, it is woken at once.
    fn register(&self, waiter: &Waiter, mark: Mark, bytes: u64) -> (u64, u64) {
        let mut sleeping = self.sleeping.lock();
        let key = (mark.appended.saturating_add(bytes), sleeping.number_next);
        sleeping.number_next += 1;
        sleeping.by_need.insert(key, waiter.clone());
        // SeqCst pairs with `wake`: either it sees this waiter, or its change is seen below.
        self.count.store(sleeping.by_need.len(), Ordering::SeqCst);
        let now = self.mark();
        if now.appended >= key.0 || now.changes != mark.changes {
            waiter.notify_one();
        }
        key
    }

    fn forget(&self, key: (u64, u64)) {
        let mut sleeping = self.sleeping.lock();
        if sleeping.by_need.remove(&key).is_some() {
            self.count.store(sleeping.by_need.len(), Ordering::SeqCst);
        }
    }

    /// `bytes` were appended and can be read: wakes those that have enough now.
    pub fn wake_appended(&self, bytes: usize) {
        let appended = self.appended.fetch_add(bytes as u64, Ordering::SeqCst) + bytes as u64;
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut sleeping = self.sleeping.lock();
        while let Some(first) = sleeping.by_need.first_entry().filter(|first| first.key().0 <= appended) {
            first.remove().notify_one();
        }
        self.count.store(sleeping.by_need.len(), Ordering::SeqCst);
    }

    /// Anything else changed: wakes all.
    pub fn wake(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = {
            let mut sleeping = self.sleeping.lock();
            self.count.store(0, Ordering::SeqCst);
            std::mem::take(&mut sleeping.by_need)
        };
        for waiter in woken.into_values() {
            waiter.notify_one();
        }
    }
}

/// Keeps a waiter registered with several partitions and takes it away when dropped.
pub struct Registration<'a, P: AsRef<Waiters>> {
    waiter: Waiter,
    places: &'a [P],
    marks: Vec<Mark>,
    keys: Vec<(u64, u64)>,
}

impl<'a, P: AsRef<Waiters>> Registration<'a, P> {
    /// A waiter that is registered nowhere yet.
    pub fn new(places: &'a [P]) -> Self {
        Registration { waiter: Arc::new(Notify::new()), places, marks: Vec::new(), keys: Vec::new() }
    }

    /// To be called before the partitions are looked at.
    pub fn mark(&mut self) {
        self.marks.clear();
        self.marks.extend(self.places.iter().map(|place| place.as_ref().mark()));
    }

    /// Sleeps until `bytes` more than at the mark can have come, or anything else has changed.
    pub async fn changed(&mut self, bytes: usize) {
        self.leave();
        // All that is lacking may come in equal parts; one of the partitions gets at least its part.
        let part = (bytes as u64).div_ceil(self.places.len().max(1) as u64).max(1);
        for (place, mark) in self.places.iter().zip(&self.marks) {
            self.keys.push(place.as_ref().register(&self.waiter, *mark, part));
        }
        self.waiter.notified().await;
    }

    fn leave(&mut self) {
        for (place, key) in self.places.iter().zip(self.keys.drain(..)) {
            place.as_ref().forget(key);
        }
    }
}

impl<P: AsRef<Waiters>> Drop for Registration<'_, P> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll};

    use super::*;

    fn is_woken(waiter: &Waiter) -> bool {
        let mut notified = pin!(waiter.notified());
        notified.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn an_append_wakes_those_that_have_enough_now() {
        let waiters = Waiters::default();
        let (few, many) = (Waiter::default(), Waiter::default());
        let mark = waiters.mark();
        waiters.register(&few, mark, 10);
        waiters.register(&many, mark, 30);
        waiters.wake_appended(9);
        assert!(!is_woken(&few) && !is_woken(&many));
        waiters.wake_appended(1);
        assert!(is_woken(&few) && !is_woken(&many));
        assert_eq!((Arc::strong_count(&few), Arc::strong_count(&many)), (1, 2), "who is woken is forgotten");
        waiters.wake_appended(20);
        assert!(is_woken(&many));
        assert_eq!(waiters.count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn any_other_change_wakes_all_but_those_that_left() {
        let waiters = Waiters::default();
        let (one, two) = (Waiter::default(), Waiter::default());
        let mark = waiters.mark();
        waiters.register(&one, mark, 1000);
        let key = waiters.register(&two, mark, 1000);
        waiters.forget(key);
        waiters.wake();
        assert!(is_woken(&one) && !is_woken(&two));
        assert_eq!(waiters.count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn what_came_between_the_mark_and_the_registration_is_not_missed() {
        let waiters = Waiters::default();
        let waiter = Waiter::default();
        let mark = waiters.mark();
        waiters.wake_appended(10);
        waiters.register(&waiter, mark, 11);
        assert!(!is_woken(&waiter));
        waiters.register(&waiter, mark, 10);
        assert!(is_woken(&waiter));
        let mark = waiters.mark();
        waiters.wake();
        waiters.register(&waiter, mark, 1000);
        assert!(is_woken(&waiter));
    }

    #[test]
    fn one_of_several_partitions_with_its_part_is_enough_to_look_again() {
        let places = [Arc::new(Waiters::default()), Arc::new(Waiters::default())];
        let mut registration = Registration::new(&places);
        registration.mark();
        {
            let mut changed = pin!(registration.changed(30));
            let mut context = Context::from_waker(std::task::Waker::noop());
            assert_eq!(changed.as_mut().poll(&mut context), Poll::Pending);
            places[0].wake_appended(14);
            assert_eq!(changed.as_mut().poll(&mut context), Poll::Pending);
            places[1].wake_appended(15);
            assert_eq!(changed.as_mut().poll(&mut context), Poll::Ready(()));
        }
        drop(registration);
        assert!(places.iter().all(|place| place.count.load(Ordering::SeqCst) == 0));
    }
}
