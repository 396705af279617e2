//! Typed session stores: values by key and session, with the cache and the changelog of the other typed stores.
//! Called by the operator of sessions. The rows are those of `state::session`.

// What queries read.
mod read;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;

use super::cache::{Cache, Eldest, Keys, Writer};
use super::key_value::{Updated, writer};
use super::{Cached, Call, ChangelogTo, Evicts, Flushed, Gauge, Held, Old, StoreParts, StoreTally, TaskStore};
use crate::record::{About, Change, Data, Record, Window, Windowed};
use crate::serde::{Part, SharedSerde, bytes_of};
use crate::state::StateError;
use crate::state::format::session as format;
use crate::state::rows::{ChangelogOffsets, Order, Row, after_key};
use crate::state::segments::Stored;
use crate::state::session::{Meeting, SessionRows};
use crate::state::window::Layout;
use crate::task::LinkError;
use crate::task::collector::{Outgoing, To};
use crate::task::context::Context;
use crate::task::errors::{Failure, TaskError};
use crate::topology::store::StoreKind;

/// Values by key and session.
pub struct SessionStore<K, V> {
    name: String,
    rows: SessionRows,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    changelog: Option<ChangelogTo>,
    cache: Option<Cache<V>>,
    tally: Rc<StoreTally>,
    /// Whether an operator hands on what leaves the cache.
    hands_on: bool,
    value_bytes: Vec<u8>,
}

/// How a session without a value leaves the rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// As one that is removed.
    Removed,
    /// As one that is set to null, which opens a segment.
    Set,
}

impl<K: Data, V: Data> SessionStore<K, V> {
    /// The store of a definition.
    pub fn table(
        parts: StoreParts<'_>,
        layout: Layout,
        key: &Option<SharedSerde<K>>,
        value: &Option<SharedSerde<V>>,
    ) -> Result<Held, LinkError> {
        let (key, value) = (parts.serde(key)?, parts.serde(value)?);
        let name = parts.definition.name.clone();
        let StoreKind::Session { retention_ms } = parts.definition.kind else {
            return Err(LinkError::UntypedStore(name));
        };
        let cache = parts.is_cached().then(|| Cache::new(Keys::Ordered, parts.budget, Rc::clone(&parts.tally)));
        let rows = SessionRows::open(name.clone(), parts.rows, retention_ms, layout)?;
        let (changelog, tally) = (parts.changelog, parts.tally);
        let (hands_on, value_bytes) = (false, Vec::new());
        Ok(Held::new(SessionStore { name, rows, key, value, changelog, cache, tally, hands_on, value_bytes }))
    }

    fn broken(&self, error: impl std::fmt::Display) -> Failure {
        Failure::fatal(TaskError::Broken(format!("store {}: a row is damaged: {error}", self.name)))
    }

    fn decode(&self, bytes: Bytes) -> Result<V, Failure> {
        self.value.deserialize(bytes).map_err(|error| self.broken(error))
    }

    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or earlier, by their ends.
    pub fn find(&self, key: &K, earliest_end: i64, latest_start: i64) -> Result<Vec<(Window, V)>, Failure> {
        let begun = self.tally.begin();
        let found = self.find_uncounted(key, earliest_end, latest_start);
        self.tally.end_rows(Call::Fetch, begun);
        found
    }

    fn find_uncounted(&self, key: &K, earliest_end: i64, latest_start: i64) -> Result<Vec<(Window, V)>, Failure> {
        let key = bytes_of(&*self.key, key)?;
        let times = Meeting { earliest_end, latest_start };
        let mut found = Vec::new();
        for row in self.rows.find(&key, times, Order::Ascending) {
            let (session, value) = row?;
            found.push((session.window, self.decode(value)?));
        }
        let Some(cache) = &self.cache else { return Ok(found) };
        let mut merged: BTreeMap<(i64, i64), V> =
            found.into_iter().map(|(window, value)| ((window.end, window.start), value)).collect();
        let (mut first, mut last) = (Vec::new(), Vec::new());
        format::write_key(&key, Window { start: 0, end: earliest_end.max(0) }, &mut first);
        format::write_key(&key, Window { start: latest_start, end: i64::MAX }, &mut last);
        for slot in cache.range(Some(&first), Some(&after_key(&last))) {
            let session = format::read_key(Bytes::copy_from_slice(&slot.key)).map_err(|error| self.broken(error))?;
            let window = session.window;
            if session.key != key || window.end < earliest_end || window.start > latest_start {
                continue;
            }
            match &slot.value {
                Some(value) => drop(merged.insert((window.end, window.start), value.clone())),
                None => drop(merged.remove(&(window.end, window.start))),
            }
        }
        Ok(merged.into_iter().map(|((end, start), value)| (Window { start, end }, value)).collect())
    }

    /// The sessions of a time-first store that ended from one time to another, both included.
    pub fn ended(&self, earliest: i64, latest: i64) -> Result<Vec<(Windowed<K>, V)>, Failure> {
        let begun = self.tally.begin();
        let mut found = Vec::new();
        for row in self.rows.ended(earliest, latest) {
            let (session, value) = row?;
            let key = self.key.deserialize(session.key).map_err(|error| self.broken(error))?;
            found.push((Windowed { key, window: session.window }, self.decode(value)?));
        }
        self.tally.end_rows(Call::Fetch, begun);
        Ok(found)
    }

    /// Sets the value of a session; None removes it.
    pub fn put(
        &mut self,
        at: (&K, Window),
        value: Option<V>,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<(), Failure> {
        let begun = self.tally.begin();
        let done = self.put_as(Gone::Set, at, value, about, context);
        self.tally.end_write(Call::Put, begun, about.timestamp);
        done
    }

    fn put_as(
        &mut self,
        gone: Gone,
        at: (&K, Window),
        value: Option<V>,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<(), Failure> {
        let key = bytes_of(&*self.key, at.0)?;
        if let Some(cache) = &mut self.cache {
            let mut row = Vec::with_capacity(key.len() + 16);
            format::write_key(&key, at.1, &mut row);
            let serde = &self.value;
            cache.put(&row, value, writer(about, context), |value| serde.hold(value));
            return Ok(());
        }
        self.write(&key, at.1, value.as_ref(), gone, about, context).map(drop)
    }

    /// Removes a session.
    pub fn remove(&mut self, at: (&K, Window), about: About<'_>, context: &mut Context) -> Result<(), Failure> {
        let begun = self.tally.begin();
        let done = self.put_as(Gone::Removed, at, None, about, context);
        self.tally.end(Call::Remove, begun);
        done
    }

    fn write(
        &mut self,
        key: &[u8],
        session: Window,
        value: Option<&V>,
        gone: Gone,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<Option<usize>, Failure> {
        let bytes = value.map(|value| {
            self.value_bytes.clear();
            let written = self.value.serialize(value, &mut self.value_bytes);
            written.map(|()| Bytes::copy_from_slice(&self.value_bytes))
        });
        let bytes = bytes.transpose()?;
        if gone == Gone::Removed {
            self.rows.remove(key, session)?;
        } else if self.rows.put(key, session, bytes.clone())? == Stored::Expired {
            context.drop_record();
        }
        if let Some(to) = self.changelog {
            let mut row = Vec::with_capacity(key.len() + 16);
            format::write_key(key, session, &mut row);
            context.log(Outgoing {
                topic: to.topic,
                to: To::Partition(to.partition),
                key: Some(&row),
                value: bytes.as_deref(),
                timestamp: Some(about.timestamp),
                headers: &[],
            })?;
        }
        Ok(bytes.map(|bytes| bytes.len()))
    }

    fn flush_one(
        &mut self,
        old: Old,
        context: &mut Context,
    ) -> Result<Option<(Windowed<Bytes>, Updated<V>, Writer)>, Failure> {
        let Some(slot) = self.cache.as_mut().and_then(Cache::next_waiting) else { return Ok(None) };
        let row = Bytes::copy_from_slice(&slot.key);
        let (new, writer) = (slot.value.clone(), std::mem::take(&mut slot.writer));
        let at = format::read_key(row.clone()).map_err(|error| self.broken(error))?;
        let before = if old.asks(new.is_none()) { self.rows.get(&at.key, at.window)? } else { None };
        let is_seen = old == Old::Unforwarded || new.is_some() || before.is_some();
        let mut length = None;
        if is_seen {
            let about = About { timestamp: writer.timestamp, headers: &writer.headers };
            let written = self.write(&at.key, at.window, new.as_ref(), Gone::Set, about, context);
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
        Ok(Some((at, Updated { old, new }, writer)))
    }
}

/// What a user's processor does, whose time and headers the context knows.
impl<K: Data, V: Data> SessionStore<K, V> {
    /// The store of a processor of the user.
    pub fn plain(
        parts: StoreParts<'_>,
        key: &Option<SharedSerde<K>>,
        value: &Option<SharedSerde<V>>,
    ) -> Result<Held, LinkError> {
        SessionStore::table(parts, Layout::KeyFirst, key, value)
    }

    /// The value of a session.
    pub fn get(&mut self, key: &K, session: Window) -> Result<Option<V>, Failure> {
        let begun = self.tally.begin();
        let found = self.get_uncounted(key, session);
        self.tally.end(Call::Fetch, begun);
        found
    }

    fn get_uncounted(&mut self, key: &K, session: Window) -> Result<Option<V>, Failure> {
        let key = bytes_of(&*self.key, key)?;
        if let Some(cache) = &mut self.cache {
            let mut row = Vec::with_capacity(key.len() + 16);
            format::write_key(&key, session, &mut row);
            if let Some(slot) = cache.get(&row) {
                return Ok(slot.value.clone());
            }
        }
        self.rows.get(&key, session)?.map(|bytes| self.decode(bytes)).transpose()
    }

    /// Sets the value of a session; None removes it.
    pub fn set(&mut self, at: (&K, Window), value: Option<V>, context: &mut Context) -> Result<(), Failure> {
        let headers = std::mem::take(&mut context.headers);
        let about = About { timestamp: context.timestamp, headers: &headers };
        let done = match value {
            Some(value) => self.put(at, Some(value), about, context),
            None => self.remove(at, about, context),
        };
        context.headers = headers;
        done?;
        self.make_room(context)
    }
}

impl<K: Data, V: Data> Cached for SessionStore<K, V> {
    type Key = Windowed<K>;
    type Value = V;

    fn hand_on(&mut self) {
        self.hands_on = true;
    }

    fn is_cached(&self) -> bool {
        self.cache.is_some()
    }

    fn flush_next(&mut self, old: Old, context: &mut Context) -> Result<Option<Flushed<Windowed<K>, V>>, Failure> {
        let Some((at, updated, writer)) = self.flush_one(old, context)? else { return Ok(None) };
        let key = self.key.deserialize(at.key).map_err(|error| self.broken(error))?;
        let key = Some(Windowed { key, window: at.window });
        let value = Some(Change::latest(updated.new, updated.old));
        let record = Record { key, value, timestamp: at.window.end, headers: writer.headers };
        Ok(Some(Flushed { record, origin: writer.origin }))
    }
}

impl<K: Data, V: Data> Evicts for SessionStore<K, V> {
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

impl<K: Data, V: Data> TaskStore for RefCell<SessionStore<K, V>> {
    fn dump(&self) -> Result<Vec<Row>, StateError> {
        self.borrow().rows.dump()
    }

    fn restore(&self, key: Part<'_>, value: Option<Part<'_>>, _timestamp: i64) -> Result<(), StateError> {
        self.borrow_mut().rows.restore(key.to_bytes(), value.map(Part::to_bytes))
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
