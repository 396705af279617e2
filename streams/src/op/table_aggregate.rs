//! Aggregations of a grouped table: rows are taken in and out, as they come over the repartition topic with old and new
//! value together (KTableAggregate, ChangedSerializer).
//! Recorded by `dsl`. Never keeps an aggregate itself: that is the store's.

use std::sync::Arc;

use bytes::Bytes;

use super::aggregate::Initializer;
use super::edge::{Sink, Source};
use super::keep::Keep;
use crate::record::{Change, Data, Record};
use crate::serde::{Serde, SerdeError, SharedSerde, bytes_of};
use crate::state::format::change;
use crate::store::Stamped;
use crate::task::outcome::Undone;
use crate::task::queue::SourceNode;
use crate::topology::processor::{AnyLink, Children, Context, LinkError, Linking, Operator, Process, ProcessResult};

/// Key, row and the aggregate so far to the next one; None deletes it.
pub type RowAggregator<K, V, A> = Arc<dyn Fn(&K, V, Option<A>) -> Result<Option<A>, Undone<A>> + Send + Sync>;

/// How rows of a grouped table become an aggregate.
pub struct TableAggregation<K, V, A> {
    /// Where it starts.
    pub initializer: Initializer<A>,
    /// Takes a new value in.
    pub adder: RowAggregator<K, V, A>,
    /// Takes an old value out.
    pub subtractor: RowAggregator<K, V, A>,
    /// Whether one of both may fail.
    pub fallible: bool,
    /// The store of the aggregates.
    pub store: String,
}

impl<K: Data, V: Data, A: Data> Operator for TableAggregation<K, V, A> {
    fn name(&self) -> &'static str {
        "table aggregate"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        Ok(AnyLink::new::<K, Change<V>>(Aggregating {
            initializer: Arc::clone(&self.initializer),
            adder: Arc::clone(&self.adder),
            subtractor: Arc::clone(&self.subtractor),
            fallible: self.fallible,
            keep: Keep::<K, A>::link(linking, &self.store, Children::typed(children)?)?,
        }))
    }
}

struct Aggregating<K: Data, V, A: Data> {
    initializer: Initializer<A>,
    adder: RowAggregator<K, V, A>,
    subtractor: RowAggregator<K, V, A>,
    fallible: bool,
    keep: Keep<K, A>,
}

impl<K: Data, V: Data, A: Data> Process<K, Change<V>> for Aggregating<K, V, A> {
    fn process(&mut self, record: Record<K, Change<V>>, context: &mut Context) -> ProcessResult {
        let timestamp = record.timestamp;
        let (initializer, adder, subtractor) = (&self.initializer, &self.adder, &self.subtractor);
        let fallible = self.fallible;
        self.keep.update(record, context, |key, change, before: Option<Stamped<A>>| {
            let (new, old) = change.map_or((None, None), |change| (change.new, change.old));
            let stamp = before.as_ref().map(|before| before.timestamp);
            let latest = stamp.map(|stamp| timestamp.max(stamp));
            let mut time = timestamp;
            let mut aggregate = before.map(|before| before.value);
            // A row that is both taken out and in is undone as a whole.
            let both = fallible && new.is_some() && old.is_some();
            let kept = if both { aggregate.clone() } else { None };
            if let (Some(old), true) = (old, aggregate.is_some()) {
                aggregate = subtractor(key, old, aggregate.take()).map_err(|undone| undone.stamped(stamp))?;
                time = latest.unwrap_or(timestamp);
            }
            if let Some(new) = new {
                aggregate = adder(key, new, aggregate.or_else(|| initializer())).map_err(|undone| {
                    let undone = if both { Undone { before: kept, ..undone } } else { undone };
                    undone.stamped(stamp)
                })?;
                time = latest.unwrap_or(timestamp);
            }
            Ok((aggregate, time))
        })
    }
}

/// Changes as bytes; one without any value is never sent.
struct ChangeSerde<V>(SharedSerde<V>);

impl<V> Serde<Change<V>> for ChangeSerde<V> {
    fn serialize(&self, value: &Change<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let bytes = |value: &Option<V>| value.as_ref().map(|value| bytes_of(&*self.0, value)).transpose();
        change::write(bytes(&value.new)?.as_deref(), bytes(&value.old)?.as_deref(), out);
        Ok(())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Change<V>, SerdeError> {
        let found = bytes.len();
        let malformed = |_| SerdeError::Malformed { expected: "change of a table", found };
        let change = change::read(bytes).map_err(malformed)?;
        let value = |bytes: Option<Bytes>| bytes.map(|bytes| self.0.deserialize(bytes)).transpose();
        Ok(Change { new: value(change.new)?, old: value(change.old)?, latest: change.latest })
    }
}

/// Either end of the topic that a grouped table goes through.
pub struct ChangeTopic<K, V> {
    /// Of the keys.
    pub key: Option<SharedSerde<K>>,
    /// Of the values.
    pub value: Option<SharedSerde<V>>,
}

impl<K: Data, V: Data> ChangeTopic<K, V> {
    fn changes(&self, linking: &Linking<'_>) -> Result<Option<SharedSerde<Change<V>>>, LinkError> {
        let value = linking.serde(&self.value)?;
        Ok(Some(Arc::new(ChangeSerde(value))))
    }
}

impl<K: Data, V: Data> Operator for ChangeTopic<K, V> {
    fn name(&self) -> &'static str {
        "topic of a grouped table"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        let value = self.changes(linking)?;
        Sink { key: self.key.clone(), value, partitioner: None, chooser: None }.link(children, linking)
    }

    fn source(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<Box<dyn SourceNode>, LinkError> {
        let value = self.changes(linking)?;
        Source { key: self.key.clone(), value, timestamps: None, policy: None }.source(children, linking)
    }
}
