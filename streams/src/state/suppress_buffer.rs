//! The buffer of `suppress`: one change a key, in the order of the times that they wait for, then of their keys
//! (InMemoryTimeOrderedKeyValueChangeBuffer). In memory only; its changelog gets what changed at each commit.
//! Not done: records of its changelog that were written before Kafka 2.6 (versions 0 to 2).

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::error::{Malformed, StateError};
use super::format::buffer::{BufferValue, RecordContext};
use super::rows::Row;

/// The header of the changelog's records that tells their version, and its value.
pub const VERSION_HEADER: (&str, &[u8]) = ("v", &[3]);

/// A record of the changelog: the key, and the value with the time that it waits for; None where it left the buffer.
pub type ChangelogRecord = (Bytes, Option<Bytes>);

/// Changes that wait.
#[derive(Debug, Default)]
pub struct SuppressBuffer {
    name: String,
    times: HashMap<Bytes, i64>,
    waiting: BTreeMap<(i64, Bytes), BufferValue>,
    dirty: JavaOrder,
    memory: usize,
}

/// How much memory an entry takes, as Java counts it for `maxBytes`.
fn memory(key: &Bytes, value: &BufferValue) -> usize {
    8 + key.len() + value.memory()
}

impl SuppressBuffer {
    /// An empty one of that name.
    pub fn new(name: impl Into<String>) -> SuppressBuffer {
        SuppressBuffer { name: name.into(), ..SuppressBuffer::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a change in, or in the place of the one of the same key, which keeps its time and the value before it.
    pub fn put(&mut self, time: i64, key: Bytes, old: Option<Bytes>, new: Option<Bytes>, context: RecordContext) {
        let prior = self.times.get(&key).and_then(|time| self.waiting.get(&(*time, key.clone())));
        let prior = prior.map_or_else(|| old.clone(), |buffered| buffered.prior.clone());
        self.dirty.add(&key);
        self.place(time, key, BufferValue { prior, old, new, context });
    }

    fn place(&mut self, time: i64, key: Bytes, value: BufferValue) {
        let time = *self.times.entry(key.clone()).or_insert(time);
        self.memory += memory(&key, &value);
        if let Some(replaced) = self.waiting.insert((time, key.clone()), value) {
            self.memory -= memory(&key, &replaced);
        }
    }

    /// The value of the table as those downstream know it: that before the first change in the buffer. None if the key is
    /// not in it.
    pub fn prior(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let (key, time) = self.times.get_key_value(key)?;
        self.waiting.get(&(*time, key.clone())).map(|value| value.prior.clone())
    }

    /// The earliest time that one waits for.
    pub fn min_time(&self) -> Option<i64> {
        self.waiting.keys().next().map(|(time, _)| *time)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// How many bytes they take, as Java counts them.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The one that waits for the earliest time: its key, the change.
    pub fn first(&self) -> Option<(&Bytes, &BufferValue)> {
        self.waiting.first_key_value().map(|((_, key), value)| (key, value))
    }

    /// Takes out the one that waits for the earliest time: that time, its key, the change.
    pub fn pop(&mut self) -> Option<(i64, Bytes, BufferValue)> {
        let ((time, key), value) = self.waiting.pop_first()?;
        self.times.remove(&key);
        self.memory -= memory(&key, &value);
        self.dirty.add(&key);
        Some((time, key, value))
    }

    /// What the changelog gets at a commit, in Java's order, which is that of a hash set.
    pub fn take_changes(&mut self) -> Vec<ChangelogRecord> {
        let keys = self.dirty.take();
        keys.into_iter()
            .map(|key| {
                let value = self.times.get(&key).and_then(|time| {
                    let value = self.waiting.get(&(*time, key.clone()))?;
                    let mut out = Vec::new();
                    value.write_with_time(*time, &mut out);
                    Some(Bytes::from(out))
                });
                (key, value)
            })
            .collect()
    }

    /// A record of the changelog.
    pub fn restore(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), StateError> {
        match value {
            None => {
                if let Some(time) = self.times.remove(&key)
                    && let Some(removed) = self.waiting.remove(&(time, key.clone()))
                {
                    self.memory -= memory(&key, &removed);
                }
            }
            Some(value) => {
                let malformed = |malformed: Malformed| StateError::Row { store: self.name.clone(), malformed };
                let (value, time) = BufferValue::read_with_time(value).map_err(malformed)?;
                self.place(time, key, value);
            }
        }
        Ok(())
    }

    /// What is in it, in its order, as the changelog has it: what the goldens show of it.
    pub fn dump(&self) -> Vec<Row> {
        let row = |((time, key), value): (&(i64, Bytes), &BufferValue)| {
            let mut out = Vec::new();
            value.write_with_time(*time, &mut out);
            (key.clone(), Bytes::from(out))
        };
        self.waiting.iter().map(row).collect()
    }
}

/// Keys in the order of a Java `HashSet<Bytes>` to which they are added, and which is cleared: the table never shrinks.
#[derive(Debug)]
struct JavaOrder {
    added: Vec<Bytes>,
    known: HashSet<Bytes>,
    capacity: usize,
}

impl Default for JavaOrder {
    fn default() -> JavaOrder {
        JavaOrder { added: Vec::new(), known: HashSet::new(), capacity: 16 }
    }
}

impl JavaOrder {
    fn add(&mut self, key: &Bytes) {
        if self.known.insert(key.clone()) {
            self.added.push(key.clone());
            if self.added.len() * 4 > self.capacity * 3 {
                self.capacity *= 2;
            }
        }
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.known.clear();
        let mut keys = std::mem::take(&mut self.added);
        let buckets = self.capacity - 1;
        keys.sort_by_cached_key(|key| {
            // Arrays.hashCode of signed bytes, then HashMap's spreading of it.
            let add = |hash: u32, byte: &u8| hash.wrapping_mul(31).wrapping_add(i32::from(*byte as i8) as u32);
            let hash = key.iter().fold(1_u32, add);
            (hash ^ (hash >> 16)) as usize & buckets
        });
        keys
    }
}

#[cfg(test)]
mod tests;
