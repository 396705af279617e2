//! Records of a stream that wait until the table they are joined with is as far as they are (a stream-table join with
//! grace, KIP-923). Read and written by that join; never looks into the table.

use std::cell::RefCell;

use bytes::Bytes;

use super::{ChangelogTo, Held, TaskStore};
use crate::record::{Data, Record};
use crate::serde::{Part, SerdeError, SharedSerde, bytes_of};
use crate::state::StateError;
use crate::state::format::buffer::RecordContext;
use crate::state::grace_buffer::GraceBuffer;
use crate::state::rows::{ChangelogOffsets, Row};
use crate::task::Origin;
use crate::task::collector::{Outgoing, To};
use crate::task::context::Context;
use crate::task::errors::{Failure, TaskError};
use crate::topology::store::StoreMaker;

/// Records that wait.
pub struct Waiting<K, V> {
    buffer: GraceBuffer,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    changelog: Option<ChangelogTo>,
    key_bytes: Vec<u8>,
}

/// A record that has waited long enough.
pub struct Waited<K, V> {
    /// It as it came.
    pub record: Record<K, V>,
    /// Where it was read.
    pub origin: Origin,
    /// Its row, of which the changelog is yet to be told.
    pub row: Bytes,
}

/// Whether a record waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It does.
    Waits,
    /// It goes on at once: it came later than it would have waited for.
    Late,
}

impl<K: Data, V: Data> Waiting<K, V> {
    /// Makes the store of each task with these serdes, or those known for the types.
    pub fn maker(key: Option<SharedSerde<K>>, value: Option<SharedSerde<V>>, grace_ms: i64) -> StoreMaker {
        StoreMaker::new(move |parts| {
            let (key, value) = (parts.serde(&key)?, parts.serde(&value)?);
            let buffer = GraceBuffer::open(parts.definition.name.clone(), parts.rows, grace_ms)?;
            Ok(Held::new(Waiting { buffer, key, value, changelog: parts.changelog, key_bytes: Vec::new() }))
        })
    }

    /// Lets a record wait, if it is not late. One without a key is not kept either; Java fails on it.
    pub fn put(&mut self, record: &Record<K, V>, context: &mut Context) -> Result<Put, Failure> {
        let (Some(key), Some(value)) = (&record.key, &record.value) else { return Ok(Put::Late) };
        self.key_bytes.clear();
        self.key.serialize(key, &mut self.key_bytes)?;
        let bytes = bytes_of(&*self.value, value)?;
        let origin = context.origin();
        let about = RecordContext {
            timestamp: record.timestamp,
            offset: origin.offset,
            topic: origin.topic.as_deref().unwrap_or_default().to_owned(),
            partition: origin.partition,
            headers: record.headers.clone(),
        };
        let Some((row, stored)) = self.buffer.put(&self.key_bytes, Bytes::from(bytes), about)? else {
            return Ok(Put::Late);
        };
        self.log(&row, Some(&stored), context)?;
        Ok(Put::Waits)
    }

    /// Takes out the records that have waited long enough, by time and key.
    pub fn take_ready(&mut self) -> Result<Vec<Waited<K, V>>, Failure> {
        let ready = self.buffer.take_ready()?;
        let waited = ready.into_iter().map(|waited| {
            let key = self.key.deserialize(waited.key).map_err(|error| self.damaged(error))?;
            let value = self.value.deserialize(waited.value).map_err(|error| self.damaged(error))?;
            let RecordContext { timestamp, offset, topic, partition, headers } = waited.context;
            let origin = Origin { topic: Some(topic.into()), partition, offset };
            let record = Record { key: Some(key), value: Some(value), timestamp, headers };
            Ok(Waited { record, origin, row: waited.row })
        });
        waited.collect()
    }

    /// Tells the changelog that a record waits no longer.
    pub fn forget(&self, row: &[u8], context: &mut Context) -> Result<(), Failure> {
        self.log(row, None, context)
    }

    /// Java gives the records of this changelog no time: they get the producer's.
    fn log(&self, row: &[u8], value: Option<&[u8]>, context: &mut Context) -> Result<(), Failure> {
        let Some(to) = self.changelog else { return Ok(()) };
        let (topic, to) = (to.topic, To::Partition(to.partition));
        context.log(Outgoing { topic, to, key: Some(row), value, timestamp: None, headers: &[] })?;
        Ok(())
    }

    fn damaged(&self, error: SerdeError) -> Failure {
        Failure::fatal(TaskError::Broken(format!("store {}: a row is damaged: {error}", self.buffer.name())))
    }
}

impl<K: Data, V: Data> TaskStore for RefCell<Waiting<K, V>> {
    fn dump(&self) -> Result<Vec<Row>, StateError> {
        self.borrow().buffer.dump()
    }

    fn restore(&self, key: Part<'_>, value: Option<Part<'_>>, _timestamp: i64) -> Result<(), StateError> {
        self.borrow_mut().buffer.restore(key.to_bytes(), value.map(Part::to_bytes))
    }

    fn flush(&self, _context: &mut Context) -> Result<(), Failure> {
        Ok(())
    }

    fn commit(&self, offsets: ChangelogOffsets<'_>) -> Result<(), StateError> {
        self.borrow_mut().buffer.segments_mut().rows_mut().commit(offsets)
    }

    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, StateError> {
        self.borrow().buffer.segments().rows().committed(topic, partition)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.borrow().buffer.segments().rows().uncommitted_bytes()
    }
}
