//! Producer ids: handed out one by one from blocks that the controller allocates. The coordinator takes
//! ids here; the runtime fetches the next block when [`ProducerIds::wanted`] says so. Nothing is written
//! here: a block is durable at the controller before it arrives, so an id is never given twice, and what
//! is left of a block when the process ends is lost (RPCProducerIdManager.java does the same).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A run of ids that belongs to this broker alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first id.
    pub first: i64,
    /// How many ids.
    pub count: i32,
}

impl ProducerIdBlock {
    fn end(self) -> i64 {
        self.first.saturating_add(i64::from(self.count))
    }
}

/// A cheap handle on the ids of this broker, shared by all coordinator shards and InitProducerId without a
/// transactional id.
#[derive(Clone, Debug, Default)]
pub struct ProducerIds(Arc<Mutex<Pool>>);

#[derive(Debug, Default)]
struct Pool {
    next: i64,
    end: i64,
    /// Below this many ids left the next block is asked for, so that nobody waits for it.
    low_water: i64,
    following: Option<ProducerIdBlock>,
    fetching: bool,
}

/// The block that was offered cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("producer id block {first}+{count} is empty, negative or not above the ids handed out before")]
pub struct UnusableBlock {
    first: i64,
    count: i32,
}

impl ProducerIds {
    /// No ids yet: the first caller of [`ProducerIds::wanted`] is told to fetch a block.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next id, or `None` when the block is used up and the next has not arrived: the client is then told
    /// COORDINATOR_LOAD_IN_PROGRESS, which every client retries.
    pub fn take(&self) -> Option<i64> {
        let mut pool = self.lock();
        if pool.next == pool.end {
            let block = pool.following.take()?;
            pool.next = block.first;
            pool.end = block.end();
            pool.low_water = i64::from(block.count) / 10;
        }
        let id = pool.next;
        pool.next += 1;
        Some(id)
    }

    /// Whether an id can be taken at once.
    pub fn ready(&self) -> bool {
        let pool = self.lock();
        pool.next != pool.end || pool.following.is_some()
    }

    /// Whether the caller shall fetch a block now. Says so to one caller only, until [`ProducerIds::put`] or
    /// [`ProducerIds::fetch_failed`] reports how it went.
    pub fn wanted(&self) -> bool {
        let mut pool = self.lock();
        let wanted = !pool.fetching && pool.following.is_none() && pool.end - pool.next <= pool.low_water;
        pool.fetching |= wanted;
        wanted
    }

    /// Takes in the block that was fetched.
    ///
    /// # Errors
    /// [`UnusableBlock`] when using it could hand out an id twice or a negative one.
    pub fn put(&self, block: ProducerIdBlock) -> Result<(), UnusableBlock> {
        let mut pool = self.lock();
        pool.fetching = false;
        let in_range = block.first >= 0 && block.count > 0 && block.first.checked_add(i64::from(block.count)).is_some();
        if !in_range || block.first < pool.end || pool.following.is_some() {
            return Err(UnusableBlock { first: block.first, count: block.count });
        }
        pool.following = Some(block);
        Ok(())
    }

    /// The block could not be fetched; the next caller of [`ProducerIds::wanted`] tries again.
    pub fn fetch_failed(&self) {
        self.lock().fetching = false;
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        // Nothing panics while the lock is held, so a poisoned lock holds a sound value.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_in_order_and_the_next_block_is_wanted_before_the_last_runs_out() {
        let ids = ProducerIds::new();
        assert_eq!(ids.take(), None);
        assert!(ids.wanted());
        assert!(!ids.wanted(), "one fetch at a time");
        ids.put(ProducerIdBlock { first: 1000, count: 1000 }).expect("a sound block");
        for expected in 1000..1900 {
            assert!(!ids.wanted(), "not wanted at {expected}");
            assert_eq!(ids.take(), Some(expected));
        }
        assert!(ids.wanted());
        ids.put(ProducerIdBlock { first: 5000, count: 2 }).expect("a sound block");
        for expected in (1900..2000).chain(5000..5002) {
            assert_eq!(ids.take(), Some(expected));
        }
        assert_eq!(ids.take(), None);
    }

    #[test]
    fn blocks_that_would_repeat_ids_are_refused() {
        let ids = ProducerIds::new();
        ids.put(ProducerIdBlock { first: 1000, count: 10 }).expect("a sound block");
        assert_eq!(ids.take(), Some(1000));
        for (first, count) in [(1005, 10), (-1, 10), (2000, 0), (2000, -1), (i64::MAX, 10)] {
            assert!(ids.put(ProducerIdBlock { first, count }).is_err(), "{first}+{count}");
        }
        ids.put(ProducerIdBlock { first: 1010, count: 10 }).expect("a sound block");
    }

    #[test]
    fn a_failed_fetch_is_wanted_again() {
        let ids = ProducerIds::new();
        assert!(ids.wanted());
        ids.fetch_failed();
        assert!(ids.wanted());
    }
}
