//! Joins of two tables by the same key: each side looks its changes up in the other, and both meet in a node that may
//! keep the result (KTableKTableInnerJoin and its like, KTableKTableJoinMerger).
//! Recorded by `dsl`. Never keeps a row itself: that is the stores'.

use std::marker::PhantomData;
use std::sync::Arc;

use super::getter::{Getter, LinkedGetter};
use super::keep::Keep;
use crate::record::{Change, Data, Record};
use crate::store::Old;
use crate::topology::processor::{
    AnyLink, Children, Context, Failure, LinkError, Linking, Operator, Process, ProcessResult,
};

/// Key, the value of this side and that of the other one to the result.
pub type SideJoiner<K, T, U, O> = Arc<dyn Fn(&K, Option<&T>, Option<&U>) -> Result<O, Failure> + Send + Sync>;

/// Whether there is a result without a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// There is none.
    Required,
    /// There is one.
    Optional,
}

/// One side of a table-table join: changes of a table of `T`, looked up in one of `U`.
pub struct TableJoinSide<K, T, U, O> {
    /// Whether this side must be there.
    pub this: Presence,
    /// Whether the other one must.
    pub other: Presence,
    /// The other table.
    pub getter: Getter<K, U>,
    /// Makes the result.
    pub joiner: SideJoiner<K, T, U, O>,
}

/// Hands on the results of both sides, and keeps them if there is a store.
pub struct MergeJoined<K, O> {
    /// The store of the results.
    pub store: Option<String>,
    /// What it carries.
    pub types: PhantomData<fn(K, O)>,
}

impl<K: Data, T: Data, U: Data, O: Data> Operator for TableJoinSide<K, T, U, O> {
    fn name(&self) -> &'static str {
        "table-table join"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        Ok(AnyLink::new::<K, Change<T>>(Joining {
            this: self.this,
            other: self.other,
            getter: self.getter.link(linking)?,
            joiner: Arc::clone(&self.joiner),
            old: linking.sends_old(),
            reads_versions: linking.reads_versions(),
            children: Children::<K, Change<O>>::typed(children)?,
        }))
    }
}

struct Joining<K, T, U, O> {
    this: Presence,
    other: Presence,
    getter: LinkedGetter<K, U>,
    joiner: SideJoiner<K, T, U, O>,
    old: Old,
    reads_versions: bool,
    children: Children<K, Change<O>>,
}

impl<K: Data, T: Data, U: Data, O: Data> Joining<K, T, U, O> {
    fn join(&self, key: &K, this: Option<&T>, other: Option<&U>) -> Result<Option<O>, Failure> {
        let lacks_this = this.is_none() && (self.this == Presence::Required || other.is_none());
        if lacks_this { Ok(None) } else { (self.joiner)(key, this, other).map(Some) }
    }
}

impl<K: Data, T: Data, U: Data, O: Data> Process<K, Change<T>> for Joining<K, T, U, O> {
    fn process(&mut self, record: Record<K, Change<T>>, context: &mut Context) -> ProcessResult {
        let Record { key: Some(key), value: Some(change), timestamp, headers } = record else {
            context.drop_record();
            return Ok(());
        };
        // KIP-914: what came late to a table with a history changes no result.
        if self.reads_versions && !change.latest {
            context.drop_record();
            return Ok(());
        }
        let other = self.getter.get(&key, context)?;
        let lacks_both = change.new.is_none() && change.old.is_none();
        if other.is_none() && (self.other == Presence::Required || lacks_both) {
            return Ok(());
        }
        let timestamp = other.as_ref().map_or(timestamp, |other| timestamp.max(other.timestamp));
        let other = other.map(|other| other.value);
        let new = self.join(&key, change.new.as_ref(), other.as_ref())?;
        let old = if self.old == Old::Sent { self.join(&key, change.old.as_ref(), other.as_ref())? } else { None };
        let value = Some(Change { new, old, latest: change.latest });
        self.children.forward(Record { key: Some(key), value, timestamp, headers }, context)
    }
}

impl<K: Data, O: Data> Operator for MergeJoined<K, O> {
    fn name(&self) -> &'static str {
        "table-table join merge"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        let children = Children::<K, Change<O>>::typed(children)?;
        Ok(match &self.store {
            Some(store) => AnyLink::new::<K, Change<O>>(Keeping(Keep::<K, O>::link(linking, store, children)?)),
            None => AnyLink::new::<K, Change<O>>(Passing { old: linking.sends_old(), children }),
        })
    }
}

struct Passing<K, O> {
    old: Old,
    children: Children<K, Change<O>>,
}

impl<K: Data, O: Data> Process<K, Change<O>> for Passing<K, O> {
    fn process(&mut self, mut record: Record<K, Change<O>>, context: &mut Context) -> ProcessResult {
        if let (Old::Left, Some(change)) = (self.old, &mut record.value) {
            change.old = None;
        }
        self.children.forward(record, context)
    }
}

struct Keeping<K: Data, O: Data>(Keep<K, O>);

impl<K: Data, O: Data> Process<K, Change<O>> for Keeping<K, O> {
    fn process(&mut self, mut record: Record<K, Change<O>>, context: &mut Context) -> ProcessResult {
        let (new, old) = record.value.take().map_or((None, None), |change| (change.new, change.old));
        self.0.put(record.with_value(new), old, context)
    }
}
