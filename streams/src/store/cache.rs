//! The record cache: decoded values by the bytes of their keys, which of them wait to be written, and in which order
//! they were used (NamedCache). One budget a thread bounds all of them together (ThreadCache).
//! Owned by a typed store. Never writes or forwards: the store takes out what waits.
//! Not done: what a value weighs is taken from its bytes when it was last read or written, not from the value itself.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use bytes::Bytes;
use hashbrown::HashMap;

use crate::record::Header;
use crate::task::Origin;

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

/// Where no slot is.
const NONE: u32 = u32::MAX;
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

pub(crate) struct Slot<V> {
    pub(crate) key: Bytes,
    /// None is a deletion.
    pub(crate) value: Option<V>,
    pub(crate) writer: Writer,
    weight: usize,
    waits: bool,
    used: Neighbours,
    waiting: Neighbours,
}

#[derive(Clone, Copy)]
struct Neighbours {
    before: u32,
    after: u32,
}

const ALONE: Neighbours = Neighbours { before: NONE, after: NONE };

/// The ends of a list that runs through the slots.
struct List {
    first: u32,
    last: u32,
}

/// Whether keys can be looked for in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    Hashed,
    Ordered,
}

enum Index {
    Hashed(HashMap<Bytes, u32>),
    Ordered(BTreeMap<Bytes, u32>),
}

impl Index {
    fn get(&self, key: &[u8]) -> Option<u32> {
        match self {
            Index::Hashed(map) => map.get(key).copied(),
            Index::Ordered(map) => map.get(key).copied(),
        }
    }

    fn insert(&mut self, key: Bytes, slot: u32) {
        match self {
            Index::Hashed(map) => drop(map.insert(key, slot)),
            Index::Ordered(map) => drop(map.insert(key, slot)),
        }
    }

    fn remove(&mut self, key: &[u8]) {
        match self {
            Index::Hashed(map) => drop(map.remove(key)),
            Index::Ordered(map) => drop(map.remove(key)),
        }
    }
}

pub(crate) struct Cache<V> {
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    index: Index,
    used: List,
    waiting: List,
    waiting_len: usize,
    /// Whether the last `change` made its entry wait.
    began_to_wait: bool,
    budget: Rc<Budget>,
}

impl<V> Cache<V> {
    pub(crate) fn new(keys: Keys, budget: Rc<Budget>) -> Cache<V> {
        let index = match keys {
            Keys::Hashed => Index::Hashed(HashMap::new()),
            Keys::Ordered => Index::Ordered(BTreeMap::new()),
        };
        let list = || List { first: NONE, last: NONE };
        Cache {
            slots: Vec::new(),
            free: Vec::new(),
            index,
            used: list(),
            waiting: list(),
            waiting_len: 0,
            began_to_wait: false,
            budget,
        }
    }

    /// The entry of a key, which counts as used by it.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<&mut Slot<V>> {
        let at = self.index.get(key)?;
        self.use_again(at);
        self.slots.get_mut(at as usize)
    }

    /// The entry of a key, which is about to change: it counts as used, and waits behind all others.
    pub(crate) fn change(&mut self, key: &[u8]) -> Option<&mut Slot<V>> {
        let at = self.index.get(key)?;
        self.use_again(at);
        self.began_to_wait = !self.slots[at as usize].waits;
        self.wait(at);
        self.slots.get_mut(at as usize)
    }

    /// The last `change`, of this key, did not come about: an entry that waited for nothing before waits for nothing now.
    #[cold]
    pub(crate) fn leave(&mut self, key: &[u8]) {
        if let Some(at) = self.index.get(key).filter(|_| self.began_to_wait) {
            self.unlink_waiting(at);
        }
    }

    fn use_again(&mut self, at: u32) {
        if self.used.first != at {
            self.unlink_used(at);
            self.link_used(at);
        }
    }

    /// Sets what was read from the rows: it waits for nothing.
    pub(crate) fn insert_clean(&mut self, key: &[u8], value: V, value_bytes: usize) {
        self.insert(Bytes::copy_from_slice(key), Some(value), Writer::default(), key.len() + value_bytes);
    }

    /// Sets what is to be written; it waits behind all others.
    pub(crate) fn put(&mut self, key: &[u8], value: Option<V>, writer: Writer) {
        let at = match self.index.get(key) {
            Some(at) => {
                self.use_again(at);
                let slot = &mut self.slots[at as usize];
                (slot.value, slot.writer) = (value, writer);
                at
            }
            None => {
                let weight = key.len() + std::mem::size_of::<V>();
                self.insert(Bytes::copy_from_slice(key), value, writer, weight)
            }
        };
        self.wait(at);
    }

    fn wait(&mut self, at: u32) {
        // Already last: nothing moves, which is the common case of one key written again and again.
        if self.waiting.last == at {
            return;
        }
        if self.slots[at as usize].waits {
            self.unlink_waiting(at);
        }
        self.link_waiting_last(at);
    }

    fn insert(&mut self, key: Bytes, value: Option<V>, writer: Writer, bytes: usize) -> u32 {
        let weight = bytes + OVERHEAD;
        self.budget.add(weight);
        let slot =
            Slot { key: key.clone(), value, writer, weight, waits: false, used: ALONE, waiting: ALONE };
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
        self.index.insert(key, at);
        self.link_used(at);
        at
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting_len
    }

    /// Takes the entry that waits longest off the list; the slot stays, and is dropped by `written` if it was a deletion.
    pub(crate) fn next_waiting(&mut self) -> Option<&Slot<V>> {
        let at = self.waiting.first;
        if at == NONE {
            return None;
        }
        self.unlink_waiting(at);
        self.slots.get(at as usize)
    }

    /// Notes how many bytes a value took; a deletion leaves the cache.
    pub(crate) fn written(&mut self, key: &[u8], value_bytes: Option<usize>) {
        let Some(at) = self.index.get(key) else { return };
        match value_bytes {
            None => self.remove(at),
            Some(bytes) => {
                let slot = &mut self.slots[at as usize];
                let weight = slot.key.len() + bytes + OVERHEAD;
                self.budget.remove(slot.weight);
                self.budget.add(weight);
                slot.weight = weight;
            }
        }
    }

    /// NamedCache.evict, first half: what was not used for the longest time goes first.
    pub(crate) fn begin_eviction(&mut self) -> Eldest {
        let at = self.used.last;
        if at == NONE {
            return Eldest::Nothing;
        }
        if !self.slots[at as usize].waits {
            return Eldest::Written;
        }
        self.unlink_waiting(at);
        self.link_waiting_first(at);
        Eldest::Waits
    }

    pub(crate) fn evict(&mut self) {
        if self.used.last != NONE && !self.slots[self.used.last as usize].waits {
            self.remove(self.used.last);
        }
    }

    /// Drops all entries.
    pub(crate) fn clear(&mut self) {
        while self.begin_eviction() != Eldest::Nothing {
            self.evict();
        }
    }

    /// The entries of a span of keys, in the order of their keys.
    pub(crate) fn range(&self, from: Option<&[u8]>, to: Option<&[u8]>) -> Vec<&Slot<V>> {
        let slot = |at: &u32| &self.slots[*at as usize];
        match &self.index {
            Index::Ordered(map) => {
                if matches!((from, to), (Some(from), Some(to)) if from >= to) {
                    return Vec::new();
                }
                let bounds = (
                    from.map_or(Bound::Unbounded, Bound::Included),
                    to.map_or(Bound::Unbounded, Bound::Excluded),
                );
                map.range::<[u8], _>(bounds).map(|(_, at)| slot(at)).collect()
            }
            Index::Hashed(map) => {
                let inside = |key: &[u8]| from.is_none_or(|from| key >= from) && to.is_none_or(|to| key < to);
                let mut found: Vec<&Slot<V>> =
                    map.iter().filter(|(key, _)| inside(key)).map(|(_, at)| slot(at)).collect();
                found.sort_unstable_by(|left, right| left.key.cmp(&right.key));
                found
            }
        }
    }

    fn remove(&mut self, at: u32) {
        if self.slots[at as usize].waits {
            self.unlink_waiting(at);
        }
        self.unlink_used(at);
        let slot = &mut self.slots[at as usize];
        self.budget.remove(std::mem::take(&mut slot.weight));
        slot.value = None;
        let key = std::mem::take(&mut slot.key);
        self.index.remove(&key);
        self.free.push(at);
    }

    fn link_used(&mut self, at: u32) {
        let first = self.used.first;
        self.slots[at as usize].used = Neighbours { before: NONE, after: first };
        match first {
            NONE => self.used.last = at,
            first => self.slots[first as usize].used.before = at,
        }
        self.used.first = at;
    }

    fn unlink_used(&mut self, at: u32) {
        let Neighbours { before, after } = self.slots[at as usize].used;
        match before {
            NONE => self.used.first = after,
            before => self.slots[before as usize].used.after = after,
        }
        match after {
            NONE => self.used.last = before,
            after => self.slots[after as usize].used.before = before,
        }
    }

    fn link_waiting_last(&mut self, at: u32) {
        let last = self.waiting.last;
        let slot = &mut self.slots[at as usize];
        (slot.waits, slot.waiting) = (true, Neighbours { before: last, after: NONE });
        match last {
            NONE => self.waiting.first = at,
            last => self.slots[last as usize].waiting.after = at,
        }
        self.waiting.last = at;
        self.waiting_len += 1;
    }

    fn link_waiting_first(&mut self, at: u32) {
        let first = self.waiting.first;
        let slot = &mut self.slots[at as usize];
        (slot.waits, slot.waiting) = (true, Neighbours { before: NONE, after: first });
        match first {
            NONE => self.waiting.last = at,
            first => self.slots[first as usize].waiting.before = at,
        }
        self.waiting.first = at;
        self.waiting_len += 1;
    }

    fn unlink_waiting(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        slot.waits = false;
        let Neighbours { before, after } = slot.waiting;
        match before {
            NONE => self.waiting.first = after,
            before => self.slots[before as usize].waiting.after = after,
        }
        match after {
            NONE => self.waiting.last = before,
            after => self.slots[after as usize].waiting.before = before,
        }
        self.waiting_len -= 1;
    }
}

impl<V> Drop for Cache<V> {
    fn drop(&mut self) {
        self.budget.remove(self.slots.iter().map(|slot| slot.weight).sum());
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
            let mut cache = Cache::new(keys, Rc::new(Budget::new(1000)));
            for (key, value) in [("a", 1), ("b", 2), ("c", 3), ("a", 4)] {
                cache.put(key.as_bytes(), Some(value), Writer::default());
            }
            assert_eq!(cache.waiting(), 3);
            assert_eq!(drain(&mut cache), "b=Some(2) c=Some(3) a=Some(4) ");
            assert_eq!(cache.waiting(), 0);
            assert!(cache.get(b"b").is_some_and(|slot| slot.value == Some(2)));
        }
    }

    #[test]
    fn what_was_not_used_goes_first_and_deletions_leave() {
        let budget = Rc::new(Budget::new(0));
        let mut cache = Cache::new(Keys::Hashed, Rc::clone(&budget));
        for key in ["a", "b", "c"] {
            cache.put(key.as_bytes(), Some(1), Writer::default());
        }
        cache.get(b"a");
        assert!(budget.is_exceeded());
        assert_eq!(cache.begin_eviction(), Eldest::Waits);
        assert_eq!(drain(&mut cache), "b=Some(1) a=Some(1) c=Some(1) ");
        cache.evict();
        assert!(cache.get(b"b").is_none());
        cache.put(b"a", None, Writer::default());
        assert_eq!(drain(&mut cache), "a=None ");
        cache.written(b"a", None);
        assert!(cache.get(b"a").is_none());
        assert_eq!(cache.range(None, None).len(), 1);
        drop(cache);
        assert_eq!(budget.used(), 0);
    }
}
