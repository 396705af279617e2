//! What flows through a topology: records, table changes, windowed keys.
//! Used by everything above it. Never knows bytes: serdes turn these into bytes at the edges.

use bytes::Bytes;

/// What a key or value can be: anything that can be handed to several children. Cheap where it is `Bytes`, `Arc<T>` or a number.
pub trait Data: Clone + 'static {}
impl<T: Clone + 'static> Data for T {}

/// A header: its name, and its value if it has one.
pub type Header = (String, Option<Bytes>);

/// Headers to keep for long: nothing of the batch that they were read from.
pub(crate) fn own_headers(headers: &[Header]) -> Vec<Header> {
    let own = |(name, value): &Header| (name.clone(), value.as_deref().map(Bytes::copy_from_slice));
    headers.iter().map(own).collect()
}

/// A record between two nodes. A key or value is None where Kafka has a null.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<K, V> {
    /// The key.
    pub key: Option<K>,
    /// The value; None is a tombstone.
    pub value: Option<V>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Headers; an empty list has no allocation.
    pub headers: Vec<Header>,
}

/// Time and headers of a record, for what is written because of it.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Its time.
    pub timestamp: i64,
    /// Its headers.
    pub headers: &'a [Header],
}

impl<K, V> Record<K, V> {
    /// Time and headers.
    pub fn about(&self) -> About<'_> {
        About { timestamp: self.timestamp, headers: &self.headers }
    }

    /// A record without headers.
    pub fn new(key: Option<K>, value: Option<V>, timestamp: i64) -> Record<K, V> {
        Record { key, value, timestamp, headers: Vec::new() }
    }

    /// The same record with another value.
    pub fn with_value<W>(self, value: Option<W>) -> Record<K, W> {
        Record { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record with another key and value.
    pub fn with_pair<L, W>(self, key: Option<L>, value: Option<W>) -> Record<L, W> {
        Record { key, value, timestamp: self.timestamp, headers: self.headers }
    }
}

/// What happened to one key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<V> {
    /// The value now; None is a deletion.
    pub new: Option<V>,
    /// The value before, where something downstream asked for it.
    pub old: Option<V>,
    /// False if a later value was stored already (versioned tables).
    pub latest: bool,
}

impl<V> Change<V> {
    /// A change to the latest value of a key.
    pub fn latest(new: Option<V>, old: Option<V>) -> Change<V> {
        Change { new, old, latest: true }
    }
}

/// A span of time; whether `end` belongs to it depends on the kind of window, as in Kafka Streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// The first millisecond.
    pub start: i64,
    /// The end.
    pub end: i64,
}

/// A key within a window.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Windowed<K> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: Window,
}
