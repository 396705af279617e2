//! Keys and their values over time: the store of a table with a history (KIP-889). Never cached: each version must be
//! seen with its own time. Rows have Java's layout; the changelog has the value alone, and its time as that of the record.
//! Called by operators of one task.

// What queries read.
mod read;

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::{Call, ChangelogTo, Gauge, Held, Stamped, StoreParts, StoreTally, TaskStore};
use crate::record::Data;
use crate::serde::{Part, SharedSerde, bytes_of};
use crate::state::StateError;
use crate::state::rows::{ChangelogOffsets, Row};
use crate::state::versioned::{VersionedPut, VersionedRow, VersionedRows};
use crate::task::LinkError;
use crate::task::collector::{Outgoing, To};
use crate::task::context::Context;
use crate::task::errors::{Failure, TaskError};
use crate::topology::store::StoreKind;

pub use read::VersionedRecord;

/// Keys `K` and their values over time.
pub struct VersionedStore<K, V> {
    rows: VersionedRows,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    changelog: Option<ChangelogTo>,
    tally: Rc<StoreTally>,
    key_bytes: Vec<u8>,
}

impl<K: Data, V: Data> VersionedStore<K, V> {
    /// The store of a definition of that kind.
    pub fn make(
        parts: StoreParts<'_>,
        key: &Option<SharedSerde<K>>,
        value: &Option<SharedSerde<V>>,
    ) -> Result<Held, LinkError> {
        let (key, value) = (parts.serde(key)?, parts.serde(value)?);
        let name = &parts.definition.name;
        let StoreKind::Versioned { history_ms, segment_ms } = parts.definition.kind else {
            return Err(LinkError::UntypedStore(name.clone()));
        };
        let rows = VersionedRows::open(name.clone(), parts.rows, history_ms, segment_ms)?;
        let (changelog, tally) = (parts.changelog, parts.tally);
        Ok(Held::new(VersionedStore { rows, key, value, changelog, tally, key_bytes: Vec::new() }))
    }

    /// Sets a key's value from a time on; None deletes it then. A time before the history is left out, and counted.
    pub fn put(
        &mut self,
        key: &K,
        value: Option<&V>,
        timestamp: i64,
        context: &mut Context,
    ) -> Result<VersionedPut, Failure> {
        let begun = self.tally.begin();
        self.key_bytes.clear();
        self.key.serialize(key, &mut self.key_bytes)?;
        let value = value.map(|value| bytes_of(&*self.value, value).map(Bytes::from)).transpose()?;
        if self.rows.is_expired(timestamp) {
            context.drop_record();
        }
        let put = self.rows.put(&self.key_bytes, value.clone(), timestamp)?;
        if let Some(to) = self.changelog {
            context.log(Outgoing {
                topic: to.topic,
                to: To::Partition(to.partition),
                key: Some(&self.key_bytes),
                value: value.as_deref(),
                timestamp: Some(timestamp),
                headers: &[],
            })?;
        }
        self.tally.end_write(Call::Put, begun, timestamp);
        Ok(put)
    }

    /// A key's latest value, with the time from which it is valid.
    pub fn get(&mut self, key: &K) -> Result<Option<Stamped<V>>, Failure> {
        let begun = self.tally.begin();
        self.key_bytes.clear();
        self.key.serialize(key, &mut self.key_bytes)?;
        let row = self.rows.get(&self.key_bytes)?;
        let found = self.decode(row);
        self.tally.end(Call::Get, begun);
        found
    }

    /// The value that a key had at a time, with the time from which it was valid.
    pub fn get_as_of(&mut self, key: &K, timestamp: i64) -> Result<Option<Stamped<V>>, Failure> {
        let begun = self.tally.begin();
        self.key_bytes.clear();
        self.key.serialize(key, &mut self.key_bytes)?;
        let row = self.rows.get_as_of(&self.key_bytes, timestamp)?;
        let found = self.decode(row);
        self.tally.end(Call::Get, begun);
        found
    }

    fn decode(&self, row: Option<VersionedRow>) -> Result<Option<Stamped<V>>, Failure> {
        let stamped = |row: VersionedRow| Ok(Stamped { value: self.value_of(row.value)?, timestamp: row.valid_from });
        row.map(stamped).transpose()
    }

    fn value_of(&self, bytes: Bytes) -> Result<V, Failure> {
        self.value.deserialize(bytes).map_err(|error| {
            let text = format!("store {}: a row is damaged: {error}", self.rows.name());
            Failure::fatal(TaskError::Broken(text))
        })
    }
}

impl<K: Data, V: Data> TaskStore for RefCell<VersionedStore<K, V>> {
    fn dump(&self) -> Result<Vec<Row>, StateError> {
        self.borrow().rows.dump()
    }

    fn restore(&self, key: Part<'_>, value: Option<Part<'_>>, timestamp: i64) -> Result<(), StateError> {
        self.borrow_mut().rows.restore(&[(key.to_bytes(), value.map(Part::to_bytes), timestamp)])
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
