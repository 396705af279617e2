//! The engine in memory: a sorted map. What is not committed cannot be taken back, and nothing outlives the process.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use bytes::Bytes;

use super::{ChangelogOffsets, Order, RowIter, Rows, Short, Span};
use crate::state::error::StateError;

/// Rows in a sorted map.
#[derive(Debug, Default)]
pub struct MemoryRows {
    rows: BTreeMap<Short, Short>,
    offsets: HashMap<(String, i32), i64>,
    uncommitted: usize,
}

impl MemoryRows {
    /// No rows.
    pub fn new() -> MemoryRows {
        MemoryRows::default()
    }
}

fn bounds<'a>(span: &Span<'a>) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (span.from.map_or(Bound::Unbounded, Bound::Included), span.to.map_or(Bound::Unbounded, Bound::Excluded))
}

impl Rows for MemoryRows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(self.rows.get(key).map(|value| Bytes::copy_from_slice(value)))
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        self.uncommitted += key.len() + value.map_or(0, <[u8]>::len);
        match value {
            None => {
                self.rows.remove(key);
            }
            Some(value) => match self.rows.get_mut(key) {
                Some(present) => present.set(value),
                None => {
                    self.rows.insert(Short::from(key), Short::from(value));
                }
            },
        }
        Ok(())
    }

    fn range<'a>(&'a self, span: Span<'_>, order: Order) -> RowIter<'a> {
        if span.is_empty() {
            return Box::new(std::iter::empty());
        }
        let copied = |(key, value): (&Short, &Short)| Ok((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        let rows = self.rows.range::<[u8], _>(bounds(&span)).map(copied);
        match order {
            Order::Ascending => Box::new(rows),
            Order::Descending => Box::new(rows.rev()),
        }
    }

    fn delete_range(&mut self, span: Span<'_>) -> Result<(), StateError> {
        if span.is_empty() {
            return Ok(());
        }
        let mut rest = match span.from {
            None => std::mem::take(&mut self.rows),
            Some(from) => self.rows.split_off(from),
        };
        if let Some(to) = span.to {
            let mut after = rest.split_off(to);
            self.rows.append(&mut after);
        }
        Ok(())
    }

    fn commit(&mut self, offsets: ChangelogOffsets<'_>) -> Result<(), StateError> {
        for (topic, partition, offset) in offsets {
            self.offsets.insert(((*topic).to_owned(), *partition), *offset);
        }
        self.uncommitted = 0;
        Ok(())
    }

    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, StateError> {
        Ok(self.offsets.get(&(topic.to_owned(), partition)).copied())
    }

    fn flush(&mut self) -> Result<(), StateError> {
        Ok(())
    }

    fn uncommitted_bytes(&self) -> usize {
        self.uncommitted
    }

    fn approximate_len(&self) -> u64 {
        self.rows.len() as u64
    }
}
