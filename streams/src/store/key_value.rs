//! Keys and their latest values: the store of aggregates and tables, with a time beside each value, and that of
//! processors of the user, without.
//! Called by operators and processors of one task. Rows have Java's layout: 8 bytes of time and the value, or the value
//! alone. The changelog has the value alone, and the time as that of the record.

// What is read without a change: ranges, and all that queries read.
mod read;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::{Cache, Eldest, Keys, Writer};
use super::tally::Between;
use super::{Cached, Call, ChangelogTo, Evicts, Flushed, Gauge, Held, Old, StoreParts, StoreTally, TaskStore};
use crate::record::{About, Change, Data, Record, own_headers};
use crate::serde::{Part, Serde, SerdeError, SharedSerde};
use crate::state::rows::{ChangelogOffsets, Order, Row, Span};
use crate::state::{Rows, StateError};
use crate::task::LinkError;
use crate::task::collector::{Outgoing, To};
use crate::task::context::Context;
use crate::task::errors::{Failure, TaskError};
use crate::task::outcome::Undone;

/// A value and its time, as tables and aggregates keep it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamped<V> {
    /// The value.
    pub value: V,
    /// Its time.
    pub timestamp: i64,
}

/// A table's store.
pub type TableStore<K, V> = KeyValueStore<K, Stamped<V>>;

/// The layout of a value with its time.
pub struct StampedSerde<V>(pub SharedSerde<V>);

impl<V> Serde<Stamped<V>> for StampedSerde<V> {
    fn serialize(&self, stamped: &Stamped<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&stamped.timestamp.to_be_bytes());
        self.0.serialize(&stamped.value, out)
    }

    fn hold(&self, stamped: &mut Stamped<V>) -> Option<usize> {
        self.0.hold(&mut stamped.value).map(|bytes| STAMP + bytes)
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Stamped<V>, SerdeError> {
        self.deserialize_part(Part::of(&bytes, &bytes))
    }

    fn deserialize_part(&self, part: Part<'_>) -> Result<Stamped<V>, SerdeError> {
        let found = part.as_slice().len();
        let (stamp, value) =
            part.split_at(STAMP).ok_or(SerdeError::Malformed { expected: "value with a time", found })?;
        Ok(Stamped { value: self.0.deserialize_part(value)?, timestamp: stamp_of(stamp.as_slice()) })
    }
}

/// How many bytes the time before a value takes.
const STAMP: usize = 8;

/// What a changelog record has besides its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logged {
    /// Nothing.
    Alone,
    /// The headers of the record that the row was put for.
    WithHeaders,
}

/// Keys `K` and what is stored under each.
pub struct KeyValueStore<K, S> {
    pub(crate) name: String,
    rows: Box<dyn Rows>,
    key: SharedSerde<K>,
    value: SharedSerde<S>,
    /// How many bytes before the value are its time.
    stamp: usize,
    changelog: Option<ChangelogTo>,
    logged: Logged,
    cache: Option<Cache<S>>,
    tally: Rc<StoreTally>,
    /// Whether an operator hands on what leaves the cache.
    hands_on: bool,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

impl<K: Data, V: Data> TableStore<K, V> {
    /// The store of a table: each value has its time.
    pub fn table(
        parts: StoreParts<'_>,
        key: &Option<SharedSerde<K>>,
        value: &Option<SharedSerde<V>>,
    ) -> Result<Held, LinkError> {
        let (key, value) = (parts.serde(key)?, parts.serde(value)?);
        Ok(Held::new(KeyValueStore::new(parts, key, Arc::new(StampedSerde(value)), STAMP)))
    }

    /// The store of the subscriptions of a foreign-key join, whose changelog has the headers too.
    pub fn subscriptions(parts: StoreParts<'_>, key: SharedSerde<K>, value: SharedSerde<V>) -> Held {
        let store = KeyValueStore::new(parts, key, Arc::new(StampedSerde(value)), STAMP);
        Held::new(KeyValueStore { logged: Logged::WithHeaders, ..store })
    }
}

impl<K: Data, V: Data> KeyValueStore<K, V> {
    /// The store of a processor of the user: values alone.
    pub fn plain(
        parts: StoreParts<'_>,
        key: &Option<SharedSerde<K>>,
        value: &Option<SharedSerde<V>>,
    ) -> Result<Held, LinkError> {
        let (key, value) = (parts.serde(key)?, parts.serde(value)?);
        Ok(Held::new(KeyValueStore::new(parts, key, value, 0)))
    }
}

/// A key's value before and after an update.
pub struct Updated<S> {
    /// Before; None if there was none, or nobody wants to know.
    pub old: Option<S>,
    /// After; None if it was deleted.
    pub new: Option<S>,
}

impl<K: Data, S: Data> KeyValueStore<K, S> {
    fn new(parts: StoreParts<'_>, key: SharedSerde<K>, value: SharedSerde<S>, stamp: usize) -> Self {
        // Processors of the user look for ranges of keys, operators for one at a time.
        let keys = if stamp == 0 { Keys::Ordered } else { Keys::Hashed };
        let cache = parts.is_cached().then(|| Cache::new(keys, parts.budget, Rc::clone(&parts.tally)));
        KeyValueStore {
            name: parts.definition.name.clone(),
            rows: parts.rows,
            key,
            value,
            stamp,
            changelog: parts.changelog,
            logged: Logged::Alone,
            cache,
            tally: parts.tally,
            hands_on: false,
            key_bytes: Vec::new(),
            value_bytes: Vec::new(),
        }
    }

    /// The serde of the keys.
    pub fn key_serde(&self) -> &SharedSerde<K> {
        &self.key
    }

    fn broken(&self, error: SerdeError) -> Failure {
        Failure::fatal(TaskError::Broken(format!("store {}: a row is damaged: {error}", self.name)))
    }

    fn decode(&self, bytes: Bytes) -> Result<S, Failure> {
        self.value.deserialize(bytes).map_err(|error| self.broken(error))
    }

    fn read(&self, key: &[u8]) -> Result<Option<S>, Failure> {
        self.rows.get(key)?.map(|bytes| self.decode(bytes)).transpose()
    }

    /// Puts the bytes of a key aside; they come back with `restore_key`, so that no call allocates for them.
    fn encode_key(&mut self, key: &K) -> Result<Vec<u8>, SerdeError> {
        let mut bytes = std::mem::take(&mut self.key_bytes);
        bytes.clear();
        self.key.serialize(key, &mut bytes)?;
        Ok(bytes)
    }

    /// What is stored under a key.
    pub fn get(&mut self, key: &K) -> Result<Option<S>, Failure> {
        let begun = self.tally.begin();
        let found = self.find(key);
        self.tally.end(Call::Get, begun);
        found
    }

    fn find(&mut self, key: &K) -> Result<Option<S>, Failure> {
        let bytes = self.encode_key(key)?;
        let found = self.get_bytes(&bytes);
        self.key_bytes = bytes;
        found
    }

    fn get_bytes(&mut self, key: &[u8]) -> Result<Option<S>, Failure> {
        if let Some(slot) = self.cache.as_mut().and_then(|cache| cache.get(key)) {
            return Ok(slot.value.clone());
        }
        let Some(bytes) = self.rows.get(key)? else { return Ok(None) };
        let length = bytes.len();
        let value = self.decode(bytes)?;
        if let Some(cache) = &mut self.cache
            && cache.has_room()
        {
            cache.insert_clean(key, value.clone(), length);
        }
        Ok(Some(value))
    }

    /// Sets what is stored under a key; None deletes it. `about` is the record because of which it is set.
    pub fn put(&mut self, key: &K, value: Option<S>, about: About<'_>, context: &mut Context) -> Result<(), Failure> {
        let begun = self.tally.begin();
        let done = self.put_uncounted(key, value, about, context);
        self.tally.end_write(Call::Put, begun, about.timestamp);
        done
    }

    fn put_uncounted(
        &mut self,
        key: &K,
        value: Option<S>,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<(), Failure> {
        let bytes = self.encode_key(key)?;
        let done = match &mut self.cache {
            Some(cache) => {
                let serde = &self.value;
                cache.put(&bytes, value, writer(about, context), |value| serde.hold(value));
                Ok(())
            }
            None => self.write(&bytes, value.as_ref(), about, context).map(drop),
        };
        self.key_bytes = bytes;
        done
    }

    /// Sets what is stored under a key from what was; both are told if there is no cache, and so something goes on at once.
    pub fn update(
        &mut self,
        key: &K,
        old: Old,
        about: About<'_>,
        context: &mut Context,
        change: impl FnOnce(Option<S>) -> Result<Option<S>, Undone<S>>,
    ) -> Result<Option<Updated<S>>, Failure> {
        let bytes = self.encode_key(key)?;
        let tally = Rc::clone(&self.tally);
        let (begun, between) = (tally.begin(), Between::default());
        let change = |before| tally.between(&between, || change(before));
        let done = self.update_bytes(&bytes, old, about, context, change);
        tally.end_update(Call::Get, begun, &between, done.is_ok(), about.timestamp);
        self.key_bytes = bytes;
        done
    }

    fn update_bytes(
        &mut self,
        key: &[u8],
        old: Old,
        about: About<'_>,
        context: &mut Context,
        change: impl FnOnce(Option<S>) -> Result<Option<S>, Undone<S>>,
    ) -> Result<Option<Updated<S>>, Failure> {
        if let Some(cache) = &mut self.cache
            && let Some(at) = cache.look_up(key)
        {
            let serde = &self.value;
            return cache.update(at, about, context, |value| serde.hold(value), change).map(|()| None);
        }
        let before = self.read(key)?;
        if let Some(cache) = &mut self.cache {
            let new = change(before).map_err(|undone| undone.failure)?;
            let serde = &self.value;
            cache.put(key, new, writer(about, context), |value| serde.hold(value));
            return Ok(None);
        }
        let kept = if old == Old::Sent { before.clone() } else { None };
        let new = change(before).map_err(|undone| undone.failure)?;
        self.write(key, new.as_ref(), about, context)?;
        Ok(Some(Updated { old: kept, new }))
    }

    /// Writes a row and its changelog record; how many bytes the value took.
    fn write(
        &mut self,
        key: &[u8],
        value: Option<&S>,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<Option<usize>, Failure> {
        self.value_bytes.clear();
        if let Some(value) = value {
            self.value.serialize(value, &mut self.value_bytes)?;
        }
        let bytes = value.is_some().then_some(self.value_bytes.as_slice());
        self.rows.put(key, bytes)?;
        if let Some(to) = self.changelog {
            let timestamp = match (bytes, self.stamp) {
                (Some(bytes), 1..) => stamp_of(bytes),
                _ => about.timestamp,
            };
            context.log(Outgoing {
                topic: to.topic,
                to: To::Partition(to.partition),
                key: Some(key),
                value: bytes.map(|bytes| &bytes[self.stamp..]),
                timestamp: Some(timestamp),
                headers: match self.logged {
                    Logged::Alone => &[],
                    Logged::WithHeaders => about.headers,
                },
            })?;
        }
        Ok(bytes.map(<[u8]>::len))
    }

    /// Writes the entry that waits longest.
    fn flush_one(&mut self, old: Old, context: &mut Context) -> Result<Option<(K, Updated<S>, Writer)>, Failure> {
        let Some(slot) = self.cache.as_mut().and_then(Cache::next_waiting) else { return Ok(None) };
        let mut key = std::mem::take(&mut self.key_bytes);
        key.clear();
        key.extend_from_slice(&slot.key);
        let (new, writer) = (slot.value.clone(), std::mem::take(&mut slot.writer));
        let flushed = self.flush_entry(&key, new, &writer, old, context);
        let typed = flushed.and_then(|updated| {
            let Some(updated) = updated else { return Ok(None) };
            let key = self.key.deserialize_part(Part::new(&key)).map_err(|error| self.broken(error))?;
            Ok(Some((key, updated, writer)))
        });
        self.key_bytes = key;
        typed
    }

    fn flush_entry(
        &mut self,
        key: &[u8],
        new: Option<S>,
        writer: &Writer,
        old: Old,
        context: &mut Context,
    ) -> Result<Option<Updated<S>>, Failure> {
        let before = if old.asks(new.is_none()) { self.rows.get(key)? } else { None };
        let mut length = None;
        let is_seen = old == Old::Unforwarded || new.is_some() || before.is_some();
        if is_seen {
            let about = About { timestamp: writer.timestamp, headers: &writer.headers };
            let written = self.write(key, new.as_ref(), about, context);
            length = written.map_err(|failure| failure.of_store(&self.name))?;
        }
        if let Some(cache) = &mut self.cache {
            cache.written(key, length);
        }
        if !is_seen || old == Old::Unforwarded {
            return Ok(None);
        }
        let before = if old == Old::Sent { before } else { None };
        let old = before.map(|bytes| self.decode(bytes)).transpose()?;
        Ok(Some(Updated { old, new }))
    }
}

/// What a user's processor does, whose time and headers the context knows.
impl<K: Data, V: Data> KeyValueStore<K, V> {
    /// Sets a key's value; None deletes it.
    pub fn set(&mut self, key: &K, value: Option<V>, context: &mut Context) -> Result<(), Failure> {
        self.set_as(Call::Put, key, |_| Ok((Some(value), ())), context)
    }

    /// One call of a processor, which may look for the value that is there first; None sets nothing.
    fn set_as<T>(
        &mut self,
        call: Call,
        key: &K,
        value: impl FnOnce(&mut Self) -> Result<(Option<Option<V>>, T), Failure>,
        context: &mut Context,
    ) -> Result<T, Failure> {
        let begun = self.tally.begin();
        let (value, answer) = value(self)?;
        if let Some(value) = value {
            let headers = std::mem::take(&mut context.headers);
            let about = About { timestamp: context.timestamp, headers: &headers };
            let done = self.put_uncounted(key, value, about, context);
            context.headers = headers;
            done?;
        }
        match call {
            Call::Delete => self.tally.end(call, begun),
            _ => self.tally.end_write(call, begun, context.timestamp),
        }
        self.make_room(context)?;
        Ok(answer)
    }

    /// Sets a key's value if there is none, and gives the one that is there.
    pub fn put_if_absent(&mut self, key: &K, value: V, context: &mut Context) -> Result<Option<V>, Failure> {
        let put = |store: &mut Self| {
            let present = store.find(key)?;
            Ok((present.is_none().then_some(Some(value)), present))
        };
        self.set_as(Call::PutIfAbsent, key, put, context)
    }

    /// Deletes a key, and gives the value that was there.
    pub fn delete(&mut self, key: &K, context: &mut Context) -> Result<Option<V>, Failure> {
        self.set_as(Call::Delete, key, |store| Ok((Some(None), store.find(key)?)), context)
    }
}

/// What a user's processor does with a store whose values have times.
impl<K: Data, V: Data> TableStore<K, V> {
    /// Sets a key's value and its time; None deletes it.
    pub fn set_stamped(&mut self, key: &K, value: Option<Stamped<V>>, context: &mut Context) -> Result<(), Failure> {
        let timestamp = value.as_ref().map_or(context.timestamp, |value| value.timestamp);
        let headers = std::mem::take(&mut context.headers);
        let done = self.put(key, value, About { timestamp, headers: &headers }, context);
        context.headers = headers;
        done?;
        self.make_room(context)
    }
}

pub(crate) fn stamp_of(bytes: &[u8]) -> i64 {
    bytes.first_chunk().map_or(-1, |stamp| i64::from_be_bytes(*stamp))
}

pub(crate) fn writer(about: About<'_>, context: &Context) -> Writer {
    Writer { origin: context.origin().clone(), timestamp: about.timestamp, headers: own_headers(about.headers) }
}

impl Writer {
    pub(crate) fn set(&mut self, about: About<'_>, context: &Context) {
        self.origin.clone_from(context.origin());
        self.timestamp = about.timestamp;
        self.headers.clear();
        if !about.headers.is_empty() {
            self.headers = own_headers(about.headers);
        }
    }
}

impl<K: Data, V: Data> Cached for TableStore<K, V> {
    type Key = K;
    type Value = V;

    fn hand_on(&mut self) {
        self.hands_on = true;
    }

    fn is_cached(&self) -> bool {
        self.cache.is_some()
    }

    fn flush_next(&mut self, old: Old, context: &mut Context) -> Result<Option<Flushed<K, V>>, Failure> {
        let Some((key, updated, writer)) = self.flush_one(old, context)? else { return Ok(None) };
        let timestamp = updated.new.as_ref().map_or(writer.timestamp, |new| new.timestamp);
        let (new, old) = (updated.new.map(|new| new.value), updated.old.map(|old| old.value));
        let value = Some(Change::latest(new, old));
        let record = Record { key: Some(key), value, timestamp, headers: writer.headers };
        Ok(Some(Flushed { record, origin: writer.origin }))
    }
}

impl<K: Data, S: Data> Evicts for KeyValueStore<K, S> {
    fn hands_on(&self) -> bool {
        self.hands_on
    }

    fn begin_eviction(&mut self) -> Eldest {
        self.cache.as_mut().map_or(Eldest::Nothing, Cache::begin_eviction)
    }

    fn evict(&mut self) {
        if let Some(cache) = &mut self.cache {
            cache.evict();
        }
    }

    fn waiting(&self) -> usize {
        self.cache.as_ref().map_or(0, Cache::waiting)
    }

    fn write_next(&mut self, context: &mut Context) -> Result<(), Failure> {
        self.flush_one(Old::Unforwarded, context).map(drop)
    }
}

impl<K: Data, S: Data> TaskStore for RefCell<KeyValueStore<K, S>> {
    fn dump(&self) -> Result<Vec<Row>, StateError> {
        self.borrow().rows.range(Span::ALL, Order::Ascending).collect()
    }

    fn restore(&self, key: Part<'_>, value: Option<Part<'_>>, timestamp: i64) -> Result<(), StateError> {
        let mut store = self.borrow_mut();
        let store = &mut *store;
        let row = value.map(|value| {
            if store.stamp == 0 {
                return value.as_slice();
            }
            store.value_bytes.clear();
            store.value_bytes.extend_from_slice(&timestamp.to_be_bytes());
            store.value_bytes.extend_from_slice(value.as_slice());
            &store.value_bytes
        });
        store.rows.load(key.as_slice(), row)
    }

    fn flush(&self, context: &mut Context) -> Result<(), Failure> {
        self.borrow_mut().write_waiting(context)
    }

    fn waiting(&self) -> usize {
        Evicts::waiting(&*self.borrow())
    }

    fn forget(&self) {
        if let Some(cache) = &mut self.borrow_mut().cache {
            cache.clear();
        }
    }

    fn commit(&self, offsets: ChangelogOffsets<'_>) -> Result<(), StateError> {
        self.borrow_mut().rows.commit(offsets)
    }

    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, StateError> {
        self.borrow().rows.committed(topic, partition)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.borrow().rows.uncommitted_bytes()
    }

    fn gauges(&self) -> Vec<Gauge> {
        self.borrow().rows.gauges()
    }
}
