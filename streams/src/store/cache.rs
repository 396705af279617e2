//! The record cache: decoded values by the bytes of their keys, which of them wait to be written, and in which order
//! they were used (NamedCache). One budget a thread bounds all of them together (ThreadCache).
//! Owned by a typed store. Never writes or forwards: the store takes out what waits.
//! Not done: what a value weighs is taken from its bytes when it was last read or written where its serde cannot tell it
//! from the value (`Serde::hold`).

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::rc::Rc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::tally::StoreTally;
use crate::record::{About, Header};
use crate::state::rows::Short;
use crate::task::Origin;
use crate::task::context::Context;
use crate::task::errors::Failure;
use crate::task::outcome::Undone;

/// What the caches of one thread may hold together (`statestore.cache.max.bytes` by the number of threads).
#[derive(Debug, Default)]
pub struct Budget {
    max: Cell<usize>,
    used: Cell<usize>,
}

impl Budget {
    /// That many bytes.
    pub fn new(max: usize) -> Budget {
        Budget { max: Cell::new(max), used: Cell::new(0) }
    }

    /// Another size, after threads came or went.
    pub fn resize(&self, max: usize) {
        self.max.set(max);
    }

    /// Whether nothing may be held.
    pub fn is_off(&self) -> bool {
        self.max.get() == 0
    }

    /// Whether more is held than may be.
    pub fn is_exceeded(&self) -> bool {
        self.used.get() > self.max.get()
    }

    /// How many bytes are held.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    fn add(&self, bytes: usize) {
        self.used.set(self.used.get() + bytes);
    }

    fn remove(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_sub(bytes));
    }
}

/// What an entry weighs besides key and value (LRUNode and LRUCacheEntry without them).
const OVERHEAD: usize = 80;

/// What the entry is that was not used for the longest time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eldest {
    /// There is no entry.
    Nothing,
    /// It is in the rows already.
    Written,
    /// It waits to be written.
    Waits,
}

/// About the record that last wrote an entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writer {
    pub(crate) origin: Origin,
    pub(crate) timestamp: i64,
    pub(crate) headers: Vec<Header>,
}

/// An entry. What a hit touches stands together.
pub(crate) struct Slot<V> {
    pub(crate) key: Short,
    /// None is a deletion.
    pub(crate) value: Option<V>,
    pub(crate) writer: Writer,
    /// When it was last used, by the cache's own count.
    used: u64,
    /// When it was last written, by the same count; 0 if it does not wait.
    waits: u64,
    /// How many bytes it takes of the budget.
    pub(crate) weight: usize,
}

/// Whether keys are looked for in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Seldom: an order is made when it is first asked for.
    Hashed,
    /// All the time.
    Ordered,
}

/// Slots in the order of a count, made when it is asked for. What was counted anew since then is passed over: it stands
/// behind all others, and comes with the next one.
#[derive(Default)]
struct Queue(Vec<(u64, u32)>);

pub(crate) struct Cache<V> {
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The keys in their order, once somebody asked for it.
    sorted: OnceCell<BTreeMap<Short, u32>>,
    /// Counts uses and writes.
    count: u64,
    /// From the one that was used last to the eldest.
    used: Queue,
    /// From the one that was written last to the one that waits longest.
    waiting: Queue,
    /// Entries that began to wait since that was made.
    fresh: Vec<u32>,
    waiting_len: usize,
    budget: Rc<Budget>,
    tally: Rc<StoreTally>,
}

impl<V> Cache<V> {
    pub(crate) fn new(keys: Keys, budget: Rc<Budget>, tally: Rc<StoreTally>) -> Cache<V> {
        tally.is_cached.set(true);
        let sorted = OnceCell::new();
        if keys == Keys::Ordered {
            sorted.get_or_init(BTreeMap::new);
        }
        Cache {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            sorted,
            count: 0,
            used: Queue::default(),
            waiting: Queue::default(),
            fresh: Vec::new(),
            waiting_len: 0,
            budget,
            tally,
        }
    }

    /// The place of a key's entry, until an entry leaves or comes.
    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |at| *self.slots[*at as usize].key == *key).copied()
    }

    /// The same for who wants its value; it is counted whether there is one.
    pub(crate) fn look_up(&self, key: &[u8]) -> Option<u32> {
        let found = self.find(key);
        self.tally.looked_up(found.is_some());
        found
    }

    fn hold(&self, bytes: usize) {
        self.budget.add(bytes);
        self.tally.cached_bytes.set(self.tally.cached_bytes.get() + bytes);
    }

    fn release(&self, bytes: usize) {
        self.budget.remove(bytes);
        self.tally.cached_bytes.set(self.tally.cached_bytes.get().saturating_sub(bytes));
    }

    /// The entry of a key, which counts as used by it.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<&mut Slot<V>> {
        let at = self.look_up(key)?;
        self.count += 1;
        let slot = &mut self.slots[at as usize];
        slot.used = self.count;
        Some(slot)
    }

    /// The entry of a key, which counts as used no more than before.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<&Slot<V>> {
        self.find(key).map(|at| &self.slots[at as usize])
    }

    /// Changes the value of the entry at a place, which waits from then on; `hold` is the serde's. A change that fails leaves the
    /// entry as it was, and so does one that panics: a handler may let that pass, and the next commit would take an entry
    /// without its value for a deletion.
    pub(crate) fn update(
        &mut self,
        at: u32,
        about: About<'_>,
        context: &Context,
        hold: impl FnOnce(&mut V) -> Option<usize>,
        change: impl FnOnce(Option<V>) -> Result<Option<V>, Undone<V>>,
    ) -> Result<(), Failure>
    where
        V: Clone,
    {
        let slot = &mut self.slots[at as usize];
        // The rows have the value of an entry that does not wait; where nobody can say that a panic may pass, the task ends.
        let kept = (slot.waits > 0 && context.has_handler()).then(|| slot.value.clone());
        let before = slot.value.take();
        let mut taken = Taken { cache: self, at, kept, is_back: false };
        let changed = change(before).map(|mut value| {
            let bytes = value.as_mut().and_then(hold);
            (value, bytes)
        });
        taken.is_back = true;
        match changed {
            Ok((value, bytes)) => {
                let slot = taken.cache.touch(at);
                slot.value = value;
                slot.writer.set(about, context);
                taken.cache.weigh(at, bytes);
                Ok(())
            }
            Err(undone) => {
                taken.cache.slots[at as usize].value = undone.before;
                Err(undone.failure)
            }
        }
    }

    /// The entry counts as used, and waits behind all others.
    fn touch(&mut self, at: u32) -> &mut Slot<V> {
        self.count += 1;
        let slot = &mut self.slots[at as usize];
        slot.used = self.count;
        if slot.waits == 0 {
            self.fresh.push(at);
            self.waiting_len += 1;
        }
        slot.waits = self.count;
        slot
    }

    /// Sets what was read from the rows: it waits for nothing.
    pub(crate) fn insert_clean(&mut self, key: &[u8], value: V, value_bytes: usize) {
        self.insert(key, Some(value), Writer::default(), key.len() + value_bytes);
    }

    /// Sets what is to be written; it waits behind all others. `hold` is the serde's.
    pub(crate) fn put(
        &mut self,
        key: &[u8],
        mut value: Option<V>,
        writer: Writer,
        hold: impl FnOnce(&mut V) -> Option<usize>,
    ) {
        let bytes = value.as_mut().and_then(hold);
        if let Some(at) = self.find(key) {
            let slot = self.touch(at);
            (slot.value, slot.writer) = (value, writer);
            self.weigh(at, bytes);
            return;
        }
        let bytes = bytes.unwrap_or(std::mem::size_of::<V>());
        let at = self.insert(key, value, writer, key.len() + bytes);
        self.touch(at);
    }

    /// Notes how many bytes a value takes, if that is known.
    fn weigh(&mut self, at: u32, value_bytes: Option<usize>) {
        let slot = &mut self.slots[at as usize];
        let Some(bytes) = value_bytes else { return };
        let weight = slot.key.len() + bytes + OVERHEAD;
        if weight != slot.weight {
            let before = std::mem::replace(&mut slot.weight, weight);
            self.release(before);
            self.hold(weight);
        }
    }

    /// Whether what was read may be kept: entries that wait for nothing make room for it, others are not written for a read.
    pub(crate) fn has_room(&mut self) -> bool {
        while self.budget.is_exceeded() {
            match self.eldest().filter(|at| self.slots[*at as usize].waits == 0) {
                Some(at) => self.remove(at),
                None => return false,
            }
        }
        true
    }

    fn insert(&mut self, key: &[u8], value: Option<V>, writer: Writer, bytes: usize) -> u32 {
        let weight = bytes + OVERHEAD;
        self.hold(weight);
        self.count += 1;
        let slot = Slot { key: key.into(), value, writer, used: self.count, waits: 0, weight };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("a cache has fewer than four billion entries")
            }
        };
        let (hasher, slots) = (&self.hasher, &self.slots);
        self.index.insert_unique(hasher.hash_one(key), at, |at| hasher.hash_one(&*slots[*at as usize].key));
        if let Some(sorted) = self.sorted.get_mut() {
            sorted.insert(key.into(), at);
        }
        at
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting_len
    }

    /// Takes the entry that waits longest off the list; the slot stays, and is dropped by `written` if it was a deletion.
    pub(crate) fn next_waiting(&mut self) -> Option<&mut Slot<V>> {
        if self.waiting_len == 0 {
            return None;
        }
        let at = loop {
            match self.waiting.0.pop() {
                Some((count, at)) if self.slots[at as usize].waits == count => break at,
                Some(_) => {}
                None => self.line_up(),
            }
        };
        self.waiting_len -= 1;
        let slot = &mut self.slots[at as usize];
        slot.waits = 0;
        Some(slot)
    }

    /// Makes the order of all that wait.
    fn line_up(&mut self) {
        let slots = &self.slots;
        // Those that were written again while they waited in the order before are none of the fresh ones.
        let all = slots.iter().enumerate().filter(|(_, slot)| slot.waits > 0);
        let order = &mut self.waiting.0;
        order.clear();
        if self.fresh.len() == self.waiting_len {
            order.extend(self.fresh.iter().map(|at| (slots[*at as usize].waits, *at)));
        } else {
            order.extend(all.map(|(at, slot)| (slot.waits, at as u32)));
        }
        self.fresh.clear();
        order.sort_unstable_by(|left, right| right.cmp(left));
    }

    /// Notes how many bytes a value took; a deletion leaves the cache.
    pub(crate) fn written(&mut self, key: &[u8], value_bytes: Option<usize>) {
        let Some(at) = self.find(key) else { return };
        match value_bytes {
            None => self.remove(at),
            Some(_) => self.weigh(at, value_bytes),
        }
    }

    /// The entry that was not used for the longest time.
    fn eldest(&mut self) -> Option<u32> {
        if self.index.is_empty() {
            return None;
        }
        loop {
            match self.used.0.last() {
                Some((count, at)) if self.slots[*at as usize].used == *count => return Some(*at),
                Some(_) => {
                    self.used.0.pop();
                }
                None => {
                    let held = self.slots.iter().enumerate().filter(|(_, slot)| slot.used > 0);
                    self.used.0.extend(held.map(|(at, slot)| (slot.used, at as u32)));
                    self.used.0.sort_unstable_by(|left, right| right.cmp(left));
                }
            }
        }
    }

    /// NamedCache.evict, first half: what was not used for the longest time goes first.
    pub(crate) fn begin_eviction(&mut self) -> Eldest {
        let Some(at) = self.eldest() else { return Eldest::Nothing };
        if self.slots[at as usize].waits == 0 {
            return Eldest::Written;
        }
        // Before all others: no count is below this one.
        self.line_up();
        self.slots[at as usize].waits = u64::MAX;
        self.waiting.0.push((u64::MAX, at));
        Eldest::Waits
    }

    pub(crate) fn evict(&mut self) {
        if let Some(at) = self.eldest().filter(|at| self.slots[*at as usize].waits == 0) {
            self.remove(at);
        }
    }

    /// Drops all entries, those that wait too: who is asked to has no more to write.
    pub(crate) fn clear(&mut self) {
        self.fresh.clear();
        let all: Vec<u32> = self.index.iter().copied().collect();
        all.into_iter().for_each(|at| self.remove(at));
    }

    /// The entries of a span of keys, in the order of their keys.
    pub(crate) fn range(&self, from: Option<&[u8]>, to: Option<&[u8]>) -> impl DoubleEndedIterator<Item = &Slot<V>> {
        let is_empty = matches!((from, to), (Some(from), Some(to)) if from >= to);
        let bounds = (from.map_or(Bound::Unbounded, Bound::Included), to.map_or(Bound::Unbounded, Bound::Excluded));
        let found = (!is_empty).then(|| self.sorted().range::<[u8], _>(bounds));
        found.into_iter().flatten().map(|(_, at)| &self.slots[*at as usize])
    }

    /// All entries, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Slot<V>> {
        self.index.iter().map(|at| &self.slots[*at as usize])
    }

    fn sorted(&self) -> &BTreeMap<Short, u32> {
        self.sorted.get_or_init(|| self.index.iter().map(|at| (self.slots[*at as usize].key.clone(), *at)).collect())
    }

    fn remove(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        if slot.waits > 0 {
            self.waiting_len -= 1;
            self.fresh.retain(|fresh| *fresh != at);
        }
        let weight = std::mem::take(&mut slot.weight);
        (slot.value, slot.used, slot.waits) = (None, 0, 0);
        let key = std::mem::take(&mut slot.key);
        self.release(weight);
        if let Ok(entry) = self.index.find_entry(self.hasher.hash_one(&*key), |found| *found == at) {
            entry.remove();
        }
        if let Some(sorted) = self.sorted.get_mut() {
            sorted.remove(&key);
        }
        self.free.push(at);
    }
}

/// An entry whose value was taken out to be changed.
struct Taken<'a, V> {
    cache: &'a mut Cache<V>,
    at: u32,
    /// The value before, of an entry that waits, if somebody may let a panic pass.
    kept: Option<Option<V>>,
    /// Whether the change, and the serde's `hold`, came to their end; else one of them panicked.
    is_back: bool,
}

impl<V> Drop for Taken<'_, V> {
    fn drop(&mut self) {
        if self.is_back {
            return;
        }
        match self.kept.take() {
            Some(before) => self.cache.slots[self.at as usize].value = before,
            None => self.cache.remove(self.at),
        }
    }
}

impl<V> Drop for Cache<V> {
    fn drop(&mut self) {
        self.release(self.slots.iter().map(|slot| slot.weight).sum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(cache: &mut Cache<i32>) -> String {
        let mut seen = String::new();
        while let Some(slot) = cache.next_waiting() {
            seen += &format!("{}={:?} ", String::from_utf8_lossy(&slot.key), slot.value);
        }
        seen
    }

    #[test]
    fn entries_leave_in_the_order_of_their_last_write() {
        for keys in [Keys::Hashed, Keys::Ordered] {
            let mut cache = Cache::new(keys, Rc::new(Budget::new(1000)), StoreTally::unnamed());
            for (key, value) in [("a", 1), ("b", 2), ("c", 3), ("a", 4)] {
                cache.put(key.as_bytes(), Some(value), Writer::default(), |_| None);
            }
            assert_eq!(cache.waiting(), 3);
            assert_eq!(drain(&mut cache), "b=Some(2) c=Some(3) a=Some(4) ");
            assert_eq!(cache.waiting(), 0);
            assert!(cache.get(b"b").is_some_and(|slot| slot.value == Some(2)));
        }
    }

    #[test]
    fn a_cache_that_is_cleared_forgets_what_waits() {
        let budget = Rc::new(Budget::new(1000));
        let mut cache = Cache::new(Keys::Hashed, Rc::clone(&budget), StoreTally::unnamed());
        for key in ["a", "b"] {
            cache.put(key.as_bytes(), Some(1), Writer::default(), |_| None);
        }
        cache.clear();
        assert_eq!((cache.waiting(), budget.used()), (0, 0));
        assert!(cache.get(b"a").is_none() && drain(&mut cache).is_empty());
        cache.put(b"a", Some(2), Writer::default(), |_| None);
        assert_eq!(drain(&mut cache), "a=Some(2) ");
    }

    #[test]
    fn what_was_not_used_goes_first_and_deletions_leave() {
        let budget = Rc::new(Budget::new(0));
        let mut cache = Cache::new(Keys::Hashed, Rc::clone(&budget), StoreTally::unnamed());
        for key in ["a", "b", "c"] {
            cache.put(key.as_bytes(), Some(1), Writer::default(), |_| None);
        }
        cache.get(b"a");
        assert!(cache.peek(b"b").is_some_and(|slot| slot.value == Some(1)), "this is no use of it");
        assert!(budget.is_exceeded());
        assert_eq!(cache.begin_eviction(), Eldest::Waits);
        assert_eq!(drain(&mut cache), "b=Some(1) a=Some(1) c=Some(1) ");
        cache.evict();
        assert!(cache.get(b"b").is_none());
        cache.put(b"a", None, Writer::default(), |_| None);
        assert_eq!(drain(&mut cache), "a=None ");
        cache.written(b"a", None);
        assert!(cache.get(b"a").is_none());
        assert_eq!(cache.range(None, None).count(), 1);
        drop(cache);
        assert_eq!(budget.used(), 0);
    }
}
