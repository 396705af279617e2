//! Typed window stores: values by key and window start, with the cache and the changelog of the other typed stores.
//! Called by the operators of windows and by processors of the user. The rows are those of `state::window`.

// What is read without a change: all but one window by its key.
mod read;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::{Cache, Eldest, Keys, Writer};
use super::key_value::{Stamped, StampedSerde, Updated, stamp_of, writer};
use super::tally::Between;
use super::{Cached, Call, ChangelogTo, Evicts, Flushed, Gauge, Held, Old, StoreParts, StoreTally, TaskStore};
use crate::record::{About, Change, Data, Record, Windowed};
use crate::serde::{Part, SerdeError, SharedSerde};
use crate::state::StateError;
use crate::state::format::window as format;
use crate::state::rows::{ChangelogOffsets, Row};
use crate::state::segments::Stored;
use crate::state::window::{Layout, WindowRows, WindowSettings};
use crate::task::LinkError;
use crate::task::collector::{Outgoing, To};
use crate::task::context::Context;
use crate::task::errors::{Failure, TaskError};
use crate::task::outcome::Undone;
use crate::topology::store::{Duplicates, StoreKind};

/// The store of a windowed aggregate.
pub type TableWindowStore<K, V> = WindowStore<K, Stamped<V>>;

/// Values by key and window start.
pub struct WindowStore<K, S> {
    name: String,
    rows: WindowRows,
    key: SharedSerde<K>,
    value: SharedSerde<S>,
    /// How many bytes before the value are its time.
    stamp: usize,
    changelog: Option<ChangelogTo>,
    cache: Option<Cache<S>>,
    tally: Rc<StoreTally>,
    /// Whether an operator hands on what leaves the cache.
    hands_on: bool,
    key_bytes: Vec<u8>,
    row_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

impl<K: Data, V: Data> TableWindowStore<K, V> {
    /// The store of an aggregate: each value has its time.
    pub fn table(
        parts: StoreParts<'_>,
        layout: Layout,
        key: &Option<SharedSerde<K>>,
        value: &Option<SharedSerde<V>>,
    ) -> Result<Held, LinkError> {
        let (key, value) = (parts.serde(key)?, parts.serde(value)?);
        Ok(Held::new(WindowStore::open(parts, layout, key, Arc::new(StampedSerde(value)), 8)?))
    }
}

impl<K: Data, V: Data> WindowStore<K, V> {
    /// The store of a processor of the user: values alone.
    pub fn plain(
        parts: StoreParts<'_>,
        key: &Option<SharedSerde<K>>,
        value: &Option<SharedSerde<V>>,
    ) -> Result<Held, LinkError> {
        let (key, value) = (parts.serde(key)?, parts.serde(value)?);
        Ok(Held::new(WindowStore::open(parts, Layout::KeyFirst, key, value, 0)?))
    }
}

impl<K: Data, S: Data> WindowStore<K, S> {
    fn open(
        parts: StoreParts<'_>,
        layout: Layout,
        key: SharedSerde<K>,
        value: SharedSerde<S>,
        stamp: usize,
    ) -> Result<Self, LinkError> {
        let name = parts.definition.name.clone();
        let StoreKind::Window { retention_ms, size_ms, duplicates } = parts.definition.kind else {
            return Err(LinkError::UntypedStore(name));
        };
        let settings = WindowSettings { retention_ms, size_ms, duplicates, layout };
        let cache = parts.is_cached().then(|| Cache::new(Keys::Hashed, parts.budget, Rc::clone(&parts.tally)));
        Ok(WindowStore {
            rows: WindowRows::open(name.clone(), parts.rows, settings)?,
            name,
            key,
            value,
            stamp,
            changelog: parts.changelog,
            cache,
            tally: parts.tally,
            hands_on: false,
            key_bytes: Vec::new(),
            row_bytes: Vec::new(),
            value_bytes: Vec::new(),
        })
    }

    fn broken(&self, error: impl std::fmt::Display) -> Failure {
        Failure::fatal(TaskError::Broken(format!("store {}: a row is damaged: {error}", self.name)))
    }

    fn decode(&self, bytes: Bytes) -> Result<S, Failure> {
        self.value.deserialize(bytes).map_err(|error| self.broken(error))
    }

    fn decode_key(&self, key: Bytes, start: i64) -> Result<Windowed<K>, Failure> {
        let key = self.key.deserialize(key).map_err(|error: SerdeError| self.broken(error))?;
        Ok(Windowed { key, window: format::window(start, self.rows.settings().size_ms) })
    }

    /// The bytes of a key, and those of its row.
    fn encode(&mut self, key: &K, start: i64) -> Result<(Vec<u8>, Vec<u8>), SerdeError> {
        let (mut key_bytes, mut row) = (std::mem::take(&mut self.key_bytes), std::mem::take(&mut self.row_bytes));
        key_bytes.clear();
        row.clear();
        self.key.serialize(key, &mut key_bytes)?;
        format::write_store_key(&key_bytes, start, 0, &mut row);
        Ok((key_bytes, row))
    }

    fn read(&self, key: &[u8], start: i64) -> Result<Option<S>, Failure> {
        self.rows.get(key, start)?.map(|bytes| self.decode(bytes)).transpose()
    }

    /// The value of a key and window start.
    pub fn get(&mut self, key: &K, start: i64) -> Result<Option<S>, Failure> {
        let begun = self.tally.begin();
        let (key, row) = self.encode(key, start)?;
        let found = match self.cache.as_mut().and_then(|cache| cache.get(&row)) {
            Some(slot) => Ok(slot.value.clone()),
            None => self.read(&key, start),
        };
        (self.key_bytes, self.row_bytes) = (key, row);
        self.tally.end(Call::Fetch, begun);
        found
    }

    /// Sets the value of a key and window start; None deletes it.
    pub fn put(
        &mut self,
        key: &K,
        start: i64,
        value: Option<S>,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<(), Failure> {
        let begun = self.tally.begin();
        let (key, row) = self.encode(key, start)?;
        let done = match &mut self.cache {
            Some(cache) => {
                let serde = &self.value;
                cache.put(&row, value, writer(about, context), |value| serde.hold(value));
                Ok(())
            }
            None => self.write(&key, start, value.as_ref(), about, context).map(drop),
        };
        (self.key_bytes, self.row_bytes) = (key, row);
        self.tally.end_write(Call::Put, begun, about.timestamp);
        done
    }

    /// Sets the value of a key and window start from what was; both are told if there is no cache.
    pub fn update(
        &mut self,
        at: (&K, i64),
        old: Old,
        about: About<'_>,
        context: &mut Context,
        change: impl FnOnce(Option<S>) -> Result<Option<S>, Undone<S>>,
    ) -> Result<Option<Updated<S>>, Failure> {
        let (key, row) = self.encode(at.0, at.1)?;
        let tally = Rc::clone(&self.tally);
        let (begun, between) = (tally.begin(), Between::default());
        let change = |before| tally.between(&between, || change(before));
        let done = self.update_bytes(&key, &row, at.1, old, about, context, change);
        tally.end_update(Call::Fetch, begun, &between, done.is_ok(), about.timestamp);
        (self.key_bytes, self.row_bytes) = (key, row);
        done
    }

    #[allow(clippy::too_many_arguments, reason = "bytes of the call above")]
    fn update_bytes(
        &mut self,
        key: &[u8],
        row: &[u8],
        start: i64,
        old: Old,
        about: About<'_>,
        context: &mut Context,
        change: impl FnOnce(Option<S>) -> Result<Option<S>, Undone<S>>,
    ) -> Result<Option<Updated<S>>, Failure> {
        if let Some(cache) = &mut self.cache
            && let Some(at) = cache.look_up(row)
        {
            let serde = &self.value;
            return cache.update(at, about, context, |value| serde.hold(value), change).map(|()| None);
        }
        let before = self.read(key, start)?;
        if let Some(cache) = &mut self.cache {
            let new = change(before).map_err(|undone| undone.failure)?;
            let serde = &self.value;
            cache.put(row, new, writer(about, context), |value| serde.hold(value));
            return Ok(None);
        }
        let kept = if old == Old::Sent { before.clone() } else { None };
        let new = change(before).map_err(|undone| undone.failure)?;
        self.write(key, start, new.as_ref(), about, context)?;
        Ok(Some(Updated { old: kept, new }))
    }

    /// Writes a row and its changelog record; how many bytes the value took.
    fn write(
        &mut self,
        key: &[u8],
        start: i64,
        value: Option<&S>,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<Option<usize>, Failure> {
        if value.is_none() && self.rows.settings().duplicates == Duplicates::Kept {
            return Ok(None);
        }
        let bytes = value.map(|value| {
            self.value_bytes.clear();
            let written = self.value.serialize(value, &mut self.value_bytes);
            written.map(|()| Bytes::copy_from_slice(&self.value_bytes))
        });
        let bytes = bytes.transpose()?;
        let (stored, sequence) = self.rows.put(key, start, bytes.clone())?;
        if stored == Stored::Expired {
            context.drop_record();
        }
        if let Some(to) = self.changelog {
            let mut row = Vec::with_capacity(key.len() + format::SUFFIX);
            format::write_store_key(key, start, sequence, &mut row);
            let timestamp = match (&bytes, self.stamp) {
                (Some(bytes), 1..) => stamp_of(bytes),
                _ => about.timestamp,
            };
            context.log(Outgoing {
                topic: to.topic,
                to: To::Partition(to.partition),
                key: Some(&row),
                value: bytes.as_ref().map(|bytes| &bytes[self.stamp..]),
                timestamp: Some(timestamp),
                headers: &[],
            })?;
        }
        Ok(bytes.map(|bytes| bytes.len()))
    }

    fn flush_one(
        &mut self,
        old: Old,
        context: &mut Context,
    ) -> Result<Option<(Bytes, i64, Updated<S>, Writer)>, Failure> {
        let Some(slot) = self.cache.as_mut().and_then(Cache::next_waiting) else { return Ok(None) };
        let row = Bytes::copy_from_slice(&slot.key);
        let (new, writer) = (slot.value.clone(), std::mem::take(&mut slot.writer));
        let at = format::read_store_key(row.clone()).map_err(|error| self.broken(error))?;
        let before = if old.asks(new.is_none()) { self.rows.get(&at.key, at.start)? } else { None };
        let is_seen = old == Old::Unforwarded || new.is_some() || before.is_some();
        let mut length = None;
        if is_seen {
            let about = About { timestamp: writer.timestamp, headers: &writer.headers };
            let written = self.write(&at.key, at.start, new.as_ref(), about, context);
            length = written.map_err(|failure| failure.of_store(&self.name))?;
        }
        if let Some(cache) = &mut self.cache {
            cache.written(&row, length);
        }
        if !is_seen || old == Old::Unforwarded {
            return Ok(None);
        }
        let before = if old == Old::Sent { before } else { None };
        let old = before.map(|bytes| self.decode(bytes)).transpose()?;
        Ok(Some((at.key, at.start, Updated { old, new }, writer)))
    }
}

/// What a user's processor does, whose time and headers the context knows.
impl<K: Data, V: Data> WindowStore<K, V> {
    /// Sets the value of a key and window start; None deletes it.
    pub fn set(&mut self, key: &K, start: i64, value: Option<V>, context: &mut Context) -> Result<(), Failure> {
        let headers = std::mem::take(&mut context.headers);
        let about = About { timestamp: context.timestamp, headers: &headers };
        let done = self.put(key, start, value, about, context);
        context.headers = headers;
        done?;
        self.make_room(context)
    }
}

impl<K: Data, V: Data> Cached for TableWindowStore<K, V> {
    type Key = Windowed<K>;
    type Value = V;

    fn hand_on(&mut self) {
        self.hands_on = true;
    }

    fn is_cached(&self) -> bool {
        self.cache.is_some()
    }

    fn flush_next(&mut self, old: Old, context: &mut Context) -> Result<Option<Flushed<Windowed<K>, V>>, Failure> {
        let Some((key, start, updated, writer)) = self.flush_one(old, context)? else { return Ok(None) };
        let key = self.decode_key(key, start)?;
        let timestamp = updated.new.as_ref().map_or(writer.timestamp, |new| new.timestamp);
        let (new, old) = (updated.new.map(|new| new.value), updated.old.map(|old| old.value));
        let value = Some(Change::latest(new, old));
        let record = Record { key: Some(key), value, timestamp, headers: writer.headers };
        Ok(Some(Flushed { record, origin: writer.origin }))
    }
}

impl<K: Data, S: Data> Evicts for WindowStore<K, S> {
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

impl<K: Data, S: Data> TaskStore for RefCell<WindowStore<K, S>> {
    fn dump(&self) -> Result<Vec<Row>, StateError> {
        self.borrow().rows.dump()
    }

    fn restore(&self, key: Part<'_>, value: Option<Part<'_>>, timestamp: i64) -> Result<(), StateError> {
        let mut store = self.borrow_mut();
        let row = value.map(|value| match store.stamp {
            0 => value.to_bytes(),
            _ => Bytes::from([&timestamp.to_be_bytes()[..], value.as_slice()].concat()),
        });
        store.rows.restore(key.to_bytes(), row)
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
        self.borrow_mut().rows.segments_mut().rows_mut().commit(offsets)
    }

    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, StateError> {
        self.borrow().rows.segments().rows().committed(topic, partition)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.borrow().rows.segments().rows().uncommitted_bytes()
    }

    fn gauges(&self) -> Vec<Gauge> {
        self.borrow().rows.segments().rows().gauges()
    }
}
