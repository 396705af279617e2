//! One side of a stream-stream join, by key and time: all values of one key and time stay. Kept by `KeepWindow`, looked
//! into by the other side. Never cached (Java's join windows are not either) and never joins anything itself.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::{Call, ChangelogTo, Gauge, Held, StoreParts, StoreTally, TaskStore};
use crate::record::{About, Data};
use crate::serde::{Part, SerdeError, SharedSerde, bytes_of};
use crate::state::StateError;
use crate::state::format::window::write_store_key;
use crate::state::rows::{ChangelogOffsets, Order, Row};
use crate::state::segments::Stored;
use crate::state::window::{Layout, WindowRows, WindowSettings};
use crate::task::LinkError;
use crate::task::collector::{Outgoing, To};
use crate::task::context::Context;
use crate::task::errors::{Failure, TaskError};
use crate::topology::store::{StoreKind, StoreMaker};

/// The records of one side, by key and time.
pub struct JoinWindow<K, V> {
    rows: WindowRows,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    changelog: Option<ChangelogTo>,
    tally: Rc<StoreTally>,
    /// Numbers the records of the changelog. Rows have numbers of their own: a null has one here, but no row.
    sequence: i32,
    key_bytes: Vec<u8>,
}

impl<K: Data, V: Data> JoinWindow<K, V> {
    /// Makes the store of each task with these serdes, or those known for the types.
    pub fn maker(key: Option<SharedSerde<K>>, value: Option<SharedSerde<V>>) -> StoreMaker {
        StoreMaker::new(move |parts| JoinWindow::make(parts, &key, &value))
    }

    fn make(
        parts: StoreParts<'_>,
        key: &Option<SharedSerde<K>>,
        value: &Option<SharedSerde<V>>,
    ) -> Result<Held, LinkError> {
        let (key, value) = (parts.serde(key)?, parts.serde(value)?);
        let name = &parts.definition.name;
        let StoreKind::Window { retention_ms, size_ms, duplicates } = parts.definition.kind else {
            return Err(LinkError::UntypedStore(name.clone()));
        };
        let settings = WindowSettings { retention_ms, size_ms, duplicates, layout: Layout::KeyFirst };
        let rows = WindowRows::open(name.clone(), parts.rows, settings)?;
        let (changelog, tally) = (parts.changelog, parts.tally);
        Ok(Held::new(JoinWindow { rows, key, value, changelog, tally, sequence: 0, key_bytes: Vec::new() }))
    }

    /// A record's key and value as `put` takes them; the key is appended.
    pub fn encode(&self, key: &K, value: Option<&V>, key_bytes: &mut Vec<u8>) -> Result<Option<Bytes>, SerdeError> {
        self.key.serialize(key, key_bytes)?;
        value.map(|value| bytes_of(&*self.value, value).map(Bytes::from)).transpose()
    }

    /// Keeps a record. A null is only told to the changelog.
    pub fn put(
        &mut self,
        key: &[u8],
        value: Option<Bytes>,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<(), Failure> {
        let begun = self.tally.begin();
        let done = self.put_uncounted(key, value, about, context);
        self.tally.end_write(Call::Put, begun, about.timestamp);
        done
    }

    fn put_uncounted(
        &mut self,
        key: &[u8],
        value: Option<Bytes>,
        about: About<'_>,
        context: &mut Context,
    ) -> Result<(), Failure> {
        if self.rows.put(key, about.timestamp, value.clone())?.0 == Stored::Expired {
            context.drop_record();
        }
        let Some(to) = self.changelog else { return Ok(()) };
        self.sequence = self.sequence.wrapping_add(1) & i32::MAX;
        self.key_bytes.clear();
        write_store_key(key, about.timestamp, self.sequence, &mut self.key_bytes);
        context.log(Outgoing {
            topic: to.topic,
            to: To::Partition(to.partition),
            key: Some(&self.key_bytes),
            value: value.as_deref(),
            timestamp: Some(about.timestamp),
            headers: about.headers,
        })?;
        Ok(())
    }

    /// The values of a key from one time to another, both included, with their times, in that order; appended.
    pub fn fetch(&mut self, key: &K, from: i64, to: i64, found: &mut Vec<(i64, V)>) -> Result<(), Failure> {
        let begun = self.tally.begin();
        self.key_bytes.clear();
        self.key.serialize(key, &mut self.key_bytes)?;
        for row in self.rows.fetch(&self.key_bytes, from, to, Order::Ascending) {
            let row = row?;
            let value = self.value.deserialize(row.value).map_err(|error| {
                let text = format!("store {}: a row is damaged: {error}", self.rows.name());
                Failure::fatal(TaskError::Broken(text))
            })?;
            found.push((row.start, value));
        }
        self.tally.end_rows(Call::Fetch, begun);
        Ok(())
    }
}

impl<K: Data, V: Data> TaskStore for RefCell<JoinWindow<K, V>> {
    fn dump(&self) -> Result<Vec<Row>, StateError> {
        self.borrow().rows.dump()
    }

    fn restore(&self, key: Part<'_>, value: Option<Part<'_>>, _timestamp: i64) -> Result<(), StateError> {
        self.borrow_mut().rows.restore(key.to_bytes(), value.map(Part::to_bytes))
    }

    fn flush(&self, _context: &mut Context) -> Result<(), Failure> {
        Ok(())
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
