//! `Rows`: an ordered keyspace of bytes, in which a commit makes rows and the offsets of their changelog durable together.
//! Each store owns one; the typed and segmented stores are layers over it. An engine never interprets a key or value.

use bytes::Bytes;

use super::error::StateError;
use crate::store::Gauge;

// Bytes that are few.
mod short;
// In memory, filled from the changelog at each start.
mod memory;

// Writes that wait for a commit.
#[cfg(feature = "rocksdb")]
mod overlay;
// On disk.
#[cfg(feature = "rocksdb")]
pub mod rocks;

pub use memory::MemoryRows;
pub(crate) use short::Short;

/// A key and its value.
pub type Row = (Bytes, Bytes);

/// In which order rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first; bytes compare unsigned.
    Ascending,
    /// Largest key first.
    Descending,
}

/// A span of keys: from `from` (included) up to `to` (excluded); None is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span<'a> {
    /// The smallest key that belongs to it.
    pub from: Option<&'a [u8]>,
    /// The smallest key beyond it.
    pub to: Option<&'a [u8]>,
}

impl<'a> Span<'a> {
    /// All keys.
    pub const ALL: Span<'static> = Span { from: None, to: None };

    /// The keys from `from` up to `to`, which does not belong to it.
    pub fn new(from: &'a [u8], to: &'a [u8]) -> Span<'a> {
        Span { from: Some(from), to: Some(to) }
    }

    /// Whether the key belongs to it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.from.is_none_or(|from| key >= from) && self.to.is_none_or(|to| key < to)
    }

    /// Whether no key can belong to it.
    pub fn is_empty(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if from >= to)
    }

    /// What is left of it for who read it in this order up to `after`, which does not belong to it any more.
    pub fn behind(&self, after: &[u8], order: Order) -> SpanBuf {
        let (from, to) = (self.from.map(<[u8]>::to_vec), self.to.map(<[u8]>::to_vec));
        match order {
            Order::Ascending if self.from.is_none_or(|from| from <= after) => {
                SpanBuf { from: Some(after_key(after)), to }
            }
            Order::Descending if self.to.is_none_or(|to| to > after) => SpanBuf { from, to: Some(after.to_vec()) },
            _ => SpanBuf { from, to },
        }
    }
}

/// A span that owns its ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpanBuf {
    /// The smallest key that belongs to it.
    pub from: Option<Vec<u8>>,
    /// The smallest key beyond it.
    pub to: Option<Vec<u8>>,
}

impl SpanBuf {
    /// It, lent.
    pub fn as_span(&self) -> Span<'_> {
        Span { from: self.from.as_deref(), to: self.to.as_deref() }
    }
}

/// The smallest key that is larger than all keys with this prefix; None if there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = prefix[..=kept].to_vec();
    after[kept] += 1;
    Some(after)
}

/// The smallest key that is larger than this one: makes an included upper end of a span.
pub fn after_key(key: &[u8]) -> Vec<u8> {
    let mut after = Vec::with_capacity(key.len() + 1);
    after.extend_from_slice(key);
    after.push(0);
    after
}

/// How far the changelog's records are contained in the rows: the offset of the next one, by topic and partition.
pub type ChangelogOffsets<'a> = &'a [(&'a str, i32, i64)];

/// An iterator of rows. What stays of it when the store changes is never read: it borrows the store.
pub type RowIter<'a> = Box<dyn Iterator<Item = Result<Row, StateError>> + 'a>;

/// An ordered keyspace of bytes that belongs to one store and one thread.
pub trait Rows {
    /// The value of a key; writes that are not committed yet are seen.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError>;

    /// Sets the value of a key; None deletes it.
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError>;

    /// The same for who reads nothing before the next commit, as rows are restored.
    fn load(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        self.put(key, value)
    }

    /// The rows of a span, in order. Closed when it is dropped.
    fn range<'a>(&'a self, span: Span<'_>, order: Order) -> RowIter<'a>;

    /// Deletes all rows of a span, without reading them.
    fn delete_range(&mut self, span: Span<'_>) -> Result<(), StateError>;

    /// Makes all writes since the last commit one with these offsets: after a crash both are there, or neither.
    /// When both reach the disk is the engine's affair; `flush` waits for it.
    fn commit(&mut self, offsets: ChangelogOffsets<'_>) -> Result<(), StateError>;

    /// The offset that was committed last for a changelog partition; None if there is none.
    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, StateError>;

    /// Brings what was committed to the disk; what was written since the last commit, where there is any, stays as it is,
    /// and may hold up what the commit before it left.
    fn flush(&mut self) -> Result<(), StateError>;

    /// About how many bytes of writes wait for a commit (`statestore.uncommitted.max.bytes`).
    fn uncommitted_bytes(&self) -> usize;

    /// About how many rows there are.
    fn approximate_len(&self) -> u64;

    /// Whether they outlive the process.
    fn is_on_disk(&self) -> bool {
        false
    }

    /// What the engine tells of itself, by Java's names of metrics.
    fn gauges(&self) -> Vec<Gauge> {
        vec![("num-keys", self.approximate_len() as f64)]
    }
}

#[cfg(test)]
pub(crate) mod tests;
