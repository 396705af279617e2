//! The order in which Java walks a `HashMap` or `HashSet`: by bucket, within one by insertion.
//!
//! Called by the sticky assignors. Never here: buckets that Java turns into trees (eight keys in one of 64).

/// `String.hashCode`.
pub(super) fn text_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `TopicPartition.hashCode`.
pub(super) fn place_hash(topic_hash: i32, partition: i32) -> i32 {
    31_i32.wrapping_add(partition).wrapping_mul(31).wrapping_add(topic_hash)
}

/// Where a key's bucket stands in a table of `capacity`, a power of two.
fn bucket(hash: i32, capacity: usize) -> usize {
    let hash = hash as u32;
    (hash ^ (hash >> 16)) as usize & (capacity - 1)
}

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
