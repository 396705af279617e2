//! Operators on tables: the source that keeps it, filter, map, group.
//! Recorded by `dsl`. Never keeps a row itself: that is the store's.

use std::marker::PhantomData;
use std::sync::Arc;

use super::keep::Keep;
use crate::record::{Change, Data, Record};
use crate::store::Old;
use crate::task::errors::TaskError;
use crate::topology::processor::{
    AnyLink, Children, Context, Failure, LinkError, Linking, Operator, Process, ProcessResult,
};

/// Makes changes out of records, and keeps the rows if something needs them.
pub struct KeepTable<K, V> {
    /// What the rows are.
    pub types: PhantomData<fn(K, V)>,
}

/// A row to its new value; None leaves it out.
pub type RowFunction<K, V, W> = Arc<dyn Fn(&K, &V) -> Result<Option<W>, Failure> + Send + Sync>;

/// Rows to rows of the same key: filter and map_values.
pub struct TransformRows<K, V, W> {
    /// What becomes of a row.
    pub function: RowFunction<K, V, W>,
    /// Which of both it is.
    pub transform: Transform,
    /// The store of the new rows, if they are kept.
    pub store: Option<String>,
}

/// What a transformation of rows does with one that has no new value, and had none before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// Nothing: it was never in the result (KTableFilter).
    Filter,
    /// Hands its deletion on (KTableMapValues).
    Map,
}

/// A row to its group and value; a None leaves it out.
pub type RowSelector<K, V, L, W> = Arc<dyn Fn(&K, &V) -> Result<(Option<L>, Option<W>), Failure> + Send + Sync>;

/// Rows to pairs of another key, old and new value together.
pub struct SelectRows<K, V, L, W> {
    /// What becomes of a row.
    pub function: RowSelector<K, V, L, W>,
}

impl<K: Data, V: Data> Operator for KeepTable<K, V> {
    fn name(&self) -> &'static str {
        "table source"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        let children = Children::<K, Change<V>>::typed(children)?;
        let Some(name) = linking.topology_node().stores.first().cloned() else {
            return Ok(AnyLink::new::<K, V>(Passing(children)));
        };
        Ok(AnyLink::new::<K, V>(Keeping(Keep::link(linking, &name, children)?)))
    }
}

/// KTableSource without a store: what was there before is not known.
struct Passing<K, V>(Children<K, Change<V>>);

impl<K: Data, V: Data> Process<K, V> for Passing<K, V> {
    fn process(&mut self, mut record: Record<K, V>, context: &mut Context) -> ProcessResult {
        if record.key.is_none() {
            context.drop_record();
            return Ok(());
        }
        let change = Change::latest(record.value.take(), None);
        self.0.forward(record.with_value(Some(change)), context)
    }
}

/// KTableSource with a store: rows are replaced in the order of offsets, whatever their times.
struct Keeping<K: Data, V: Data>(Keep<K, V>);

impl<K: Data, V: Data> Process<K, V> for Keeping<K, V> {
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let timestamp = record.timestamp;
        self.0.update(record, context, |_, value, _| Ok((value, timestamp)))
    }
}

impl<K: Data, V: Data, W: Data> Operator for TransformRows<K, V, W> {
    fn name(&self) -> &'static str {
        "table transform"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        let children = Children::<K, Change<W>>::typed(children)?;
        let function = Arc::clone(&self.function);
        // Under versioned semantics a deletion may be news, as it has a time of its own.
        let skips = self.transform == Transform::Filter && !linking.reads_versions();
        Ok(match &self.store {
            None => AnyLink::new::<K, Change<V>>(Transforming { function, skips, old: linking.sends_old(), children }),
            Some(store) => {
                let keep = Keep::link(linking, store, children)?;
                AnyLink::new::<K, Change<V>>(KeepingTransformed { function, skips, keep })
            }
        })
    }
}

/// A transformation whose rows are not kept: the old value is worked out of the old one.
struct Transforming<K, V, W> {
    function: RowFunction<K, V, W>,
    skips: bool,
    old: Old,
    children: Children<K, Change<W>>,
}

impl<K: Data, V: Data, W: Data> Process<K, Change<V>> for Transforming<K, V, W> {
    fn process(&mut self, record: Record<K, Change<V>>, context: &mut Context) -> ProcessResult {
        let (Some(key), Some(change)) = (&record.key, &record.value) else { return Ok(()) };
        let apply = |value: &Option<V>| value.as_ref().map_or(Ok(None), |value| (self.function)(key, value));
        let new = apply(&change.new)?;
        let old = if self.old == Old::Sent { apply(&change.old)? } else { None };
        if self.skips && self.old == Old::Sent && new.is_none() && old.is_none() {
            return Ok(());
        }
        let latest = change.latest;
        self.children.forward(record.with_value(Some(Change { new, old, latest })), context)
    }
}

/// A transformation with a store, which knows the old value.
struct KeepingTransformed<K: Data, V, W: Data> {
    function: RowFunction<K, V, W>,
    skips: bool,
    keep: Keep<K, W>,
}

impl<K: Data, V: Data, W: Data> Process<K, Change<V>> for KeepingTransformed<K, V, W> {
    fn process(&mut self, record: Record<K, Change<V>>, context: &mut Context) -> ProcessResult {
        let (Some(key), Some(change)) = (&record.key, &record.value) else { return Ok(()) };
        let new = change.new.as_ref().map_or(Ok(None), |new| (self.function)(key, new))?;
        let old = if self.keep.old() == Old::Sent { self.keep.get(key)? } else { None };
        if self.skips && self.keep.old() == Old::Sent && new.is_none() && old.is_none() {
            return Ok(());
        }
        self.keep.put(record.with_value(new), old, context)
    }
}

impl<K: Data, V: Data, L: Data + PartialEq, W: Data> Operator for SelectRows<K, V, L, W> {
    fn name(&self) -> &'static str {
        "table select"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        Ok(AnyLink::new::<K, Change<V>>(Selecting {
            function: Arc::clone(&self.function),
            reads_versions: linking.reads_versions(),
            children: Children::<L, Change<W>>::typed(children)?,
        }))
    }
}

/// KTableRepartitionMap.
struct Selecting<K, V, L, W> {
    function: RowSelector<K, V, L, W>,
    reads_versions: bool,
    children: Children<L, Change<W>>,
}

impl<K: Data, V: Data, L: Data + PartialEq, W: Data> Process<K, Change<V>> for Selecting<K, V, L, W> {
    fn process(&mut self, record: Record<K, Change<V>>, context: &mut Context) -> ProcessResult {
        let Record { key: Some(key), value: Some(change), timestamp, headers } = record else {
            let cause = "a record of a grouped table has no key".to_owned();
            return Err(Failure::fatal(TaskError::Broken(cause)));
        };
        // What came late to a table with a history is not part of the latest rows.
        if self.reads_versions && !change.latest {
            return Ok(());
        }
        // A row that selects no key or no value belongs to no group.
        let select = |row: Option<&V>| -> Result<Option<(L, W)>, Failure> {
            let Some(row) = row else { return Ok(None) };
            let (group, value) = (self.function)(&key, row)?;
            Ok(group.zip(value))
        };
        let (new, old) = (select(change.new.as_ref())?, select(change.old.as_ref())?);
        let latest = change.latest;
        let mut send = |key: L, new: Option<W>, old: Option<W>| {
            let value = Some(Change { new, old, latest });
            self.children.forward(Record { key: Some(key), value, timestamp, headers: headers.clone() }, context)
        };
        match (old, new) {
            (Some((from, old)), Some((to, new))) if from == to => send(to, Some(new), Some(old)),
            (old, new) => {
                if let Some((from, old)) = old {
                    send(from, None, Some(old))?;
                }
                match new {
                    Some((to, new)) => send(to, Some(new), None),
                    None => Ok(()),
                }
            }
        }
    }
}
