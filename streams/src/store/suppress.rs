//! Changes that a suppression holds back: one a key, encoded, in the order of the times that they wait for.
//! Called by the suppression and by what looks into its table. In memory only: the changelog has all of it, and gets what
//! changed at each commit, without a time.
//! Not done: what waits is restored, but offsets are not kept: it is restored whole.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::{ChangelogTo, Held, StoreParts, StoreTally, TaskStore};
use crate::record::{Change, Data, Record, own_headers};
use crate::serde::{Part, SerdeError, SharedSerde, bytes_of};
use crate::state::format::buffer::RecordContext;
use crate::state::rows::{ChangelogOffsets, Row};
use crate::state::suppress_buffer::{SuppressBuffer, VERSION_HEADER};
use crate::state::{Rows, StateError};
use crate::task::collector::{Outgoing, To};
use crate::task::context::Context;
use crate::task::errors::{Failure, TaskError};
use crate::task::{LinkError, Origin};

/// Changes of a table `K`, `V` that wait.
pub struct SuppressStore<K, V> {
    buffer: SuppressBuffer,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    changelog: Option<ChangelogTo>,
    tally: Rc<StoreTally>,
    /// Holds no rows: it knows how far the changelog was read.
    rows: Box<dyn Rows>,
    key_bytes: Vec<u8>,
}

/// A change that is let go, and where it came from.
pub struct Released<K, V> {
    /// The change.
    pub record: Record<K, Change<V>>,
    /// Where the latest change of the key came from.
    pub origin: Origin,
}

impl<K: Data, V: Data> SuppressStore<K, V> {
    /// An empty one.
    pub fn table(
        parts: StoreParts<'_>,
        key: &Option<SharedSerde<K>>,
        value: &Option<SharedSerde<V>>,
    ) -> Result<Held, LinkError> {
        let (key, value) = (parts.serde(key)?, parts.serde(value)?);
        parts.tally.suppresses();
        Ok(Held::new(SuppressStore {
            buffer: SuppressBuffer::new(parts.definition.name.clone()),
            key,
            value,
            changelog: parts.changelog,
            tally: parts.tally,
            rows: parts.rows,
            key_bytes: Vec::new(),
        }))
    }

    fn encode(&self, value: &Option<V>) -> Result<Option<Bytes>, SerdeError> {
        value.as_ref().map(|value| bytes_of(&*self.value, value).map(Bytes::from)).transpose()
    }

    fn broken(&self, error: SerdeError) -> Failure {
        let cause = format!("store {}: a row is damaged: {error}", self.buffer.name());
        Failure::fatal(TaskError::Broken(cause))
    }

    fn decode(&self, bytes: Option<Bytes>) -> Result<Option<V>, Failure> {
        bytes.map(|bytes| self.value.deserialize(bytes)).transpose().map_err(|error| self.broken(error))
    }

    /// Lets a change wait for a time, or takes the place of the one of its key, which keeps its own.
    pub fn put(
        &mut self,
        time: i64,
        key: &K,
        record: &Record<K, Change<V>>,
        origin: &Origin,
    ) -> Result<(), SerdeError> {
        let Some(change) = &record.value else { return Ok(()) };
        let bytes = bytes_of(&*self.key, key)?;
        let (old, new) = (self.encode(&change.old)?, self.encode(&change.new)?);
        let context = RecordContext {
            timestamp: record.timestamp,
            offset: origin.offset,
            topic: origin.topic.as_deref().unwrap_or_default().to_owned(),
            partition: origin.partition,
            headers: own_headers(&record.headers),
        };
        self.buffer.put(time, Bytes::from(bytes), old, new, context);
        self.tally.holds(self.len(), self.memory());
        Ok(())
    }

    /// The value before the change of a key that waits; None if none waits.
    pub fn prior(&mut self, key: &K) -> Result<Option<Option<V>>, Failure> {
        self.key_bytes.clear();
        self.key.serialize(key, &mut self.key_bytes)?;
        let prior = self.buffer.prior(&self.key_bytes);
        prior.map(|bytes| self.decode(bytes)).transpose()
    }

    /// The earliest time that a change waits for.
    pub fn min_time(&self) -> Option<i64> {
        self.buffer.min_time()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// How many bytes they take, as Java counts them.
    pub fn memory(&self) -> usize {
        self.buffer.memory()
    }

    /// The change that waits for the earliest time.
    pub fn first(&self) -> Result<Option<Released<K, V>>, Failure> {
        let Some((key, buffered)) = self.buffer.first() else { return Ok(None) };
        let key = self.key.deserialize(key.clone()).map_err(|error| self.broken(error))?;
        let change = Change::latest(self.decode(buffered.new.clone())?, self.decode(buffered.old.clone())?);
        let context = &buffered.context;
        let record = Record {
            key: Some(key),
            value: Some(change),
            timestamp: context.timestamp,
            headers: context.headers.clone(),
        };
        let topic = if context.topic.is_empty() { None } else { Some(context.topic.as_str().into()) };
        let origin = Origin { topic, partition: context.partition, offset: context.offset };
        Ok(Some(Released { record, origin }))
    }

    /// Takes that one out.
    pub fn remove_first(&mut self) {
        self.buffer.pop();
        self.tally.holds(self.len(), self.memory());
    }
}

impl<K: Data, V: Data> TaskStore for RefCell<SuppressStore<K, V>> {
    fn dump(&self) -> Result<Vec<Row>, StateError> {
        Ok(self.borrow().buffer.dump())
    }

    fn restore(&self, key: Part<'_>, value: Option<Part<'_>>, _timestamp: i64) -> Result<(), StateError> {
        self.borrow_mut().buffer.restore(key.to_bytes(), value.map(Part::to_bytes))
    }

    fn flush(&self, context: &mut Context) -> Result<(), Failure> {
        let mut store = self.borrow_mut();
        let Some(to) = store.changelog else { return Ok(()) };
        let (name, version) = VERSION_HEADER;
        let version = [(name.to_owned(), Some(Bytes::from_static(version)))];
        for (key, value) in store.buffer.take_changes() {
            context.log(Outgoing {
                topic: to.topic,
                to: To::Partition(to.partition),
                key: Some(&key),
                value: value.as_deref(),
                timestamp: None,
                headers: if value.is_some() { &version } else { &[] },
            })?;
        }
        Ok(())
    }

    fn commit(&self, offsets: ChangelogOffsets<'_>) -> Result<(), StateError> {
        self.borrow_mut().rows.commit(offsets)
    }

    fn committed(&self, _topic: &str, _partition: i32) -> Result<Option<i64>, StateError> {
        // Nothing of it outlives the task.
        Ok(None)
    }
}
