//! The order in which Java walks a `HashMap` or `HashSet`: by bucket, within one by insertion.
//!
//! Called by the sticky assignors. Never here: buckets that Java turns into trees (eight keys in one of 64).

use crate::java_order::bucket;

/// A hash set as Java keeps one: it grows with its keys and does not shrink.
#[derive(Debug)]
pub(super) struct JavaSet<T> {
    capacity: usize,
    entries: Vec<(i32, T)>,
}

impl<T: Copy + PartialEq> JavaSet<T> {
    pub fn new() -> Self {
        JavaSet { capacity: 16, entries: Vec::new() }
    }

    pub fn insert(&mut self, hash: i32, key: T) {
        if !self.entries.iter().any(|(_, known)| *known == key) {
            self.entries.push((hash, key));
        }
        if self.entries.len() > self.capacity / 4 * 3 {
            self.capacity *= 2;
        }
    }

    pub fn remove(&mut self, key: T) {
        self.entries.retain(|(_, known)| *known != key);
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first that an iterator gives.
    pub fn first(&self) -> Option<T> {
        self.entries.iter().min_by_key(|(hash, _)| bucket(*hash, self.capacity)).map(|(_, key)| *key)
    }

    /// All, in the order that an iterator gives.
    pub fn into_ordered(self) -> Vec<T> {
        let (mut entries, capacity) = (self.entries, self.capacity);
        entries.sort_by_key(|(hash, _)| bucket(*hash, capacity));
        entries.into_iter().map(|(_, key)| key).collect()
    }
}
