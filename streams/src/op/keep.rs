//! A table that an operator keeps: put a row, and hand the change on, at once or from the cache
//! (KeyValueStoreWrapper with its TimestampedTupleForwarder).
//! Used by the operators on tables. Never borrows the store while it forwards.

use std::cell::RefCell;
use std::rc::Rc;

use crate::record::{About, Change, Data, Record};
use crate::state::versioned::VersionedPut;
use crate::store::{Cached, Old, Stamped, TableOutput, TableStore, VersionedStore};
use crate::task::outcome::Undone;
use crate::topology::processor::{Children, Context, Failure, LinkError, Linking, ProcessResult};

/// The store of a table, and what goes on from it.
pub(crate) enum Keep<K: Data, V: Data> {
    /// The latest value of each key, by the order of offsets.
    Latest(Rc<RefCell<TableStore<K, V>>>, TableOutput<TableStore<K, V>>),
    /// All values within a history, by their times.
    Versions(Versions<K, V>),
}

/// A store with a history, which has no cache.
pub(crate) struct Versions<K, V> {
    store: Rc<RefCell<VersionedStore<K, V>>>,
    old: Old,
    children: Children<K, Change<V>>,
}

impl<K: Data, V: Data> Keep<K, V> {
    /// The store of that name, as the operator that is being linked uses it.
    pub(crate) fn link(
        linking: &mut Linking<'_>,
        name: &str,
        children: Children<K, Change<V>>,
    ) -> Result<Keep<K, V>, LinkError> {
        if let Ok(store) = linking.store::<VersionedStore<K, V>>(name) {
            return Ok(Keep::Versions(Versions::new(linking, store, children)));
        }
        let store = linking.store::<TableStore<K, V>>(name)?;
        let output = TableOutput::new(linking, name, &store, children);
        Ok(Keep::Latest(store, output))
    }

    /// Whether changes carry the value before.
    pub(crate) fn old(&self) -> Old {
        match self {
            Keep::Latest(_, output) => output.old(),
            Keep::Versions(versions) => versions.old,
        }
    }

    /// The value of a key.
    pub(crate) fn get(&mut self, key: &K) -> Result<Option<V>, Failure> {
        let found = match self {
            Keep::Latest(store, _) => store.borrow_mut().get(key)?,
            Keep::Versions(versions) => versions.store.borrow_mut().get(key)?,
        };
        Ok(found.map(|stamped| stamped.value))
    }

    /// Sets the value of the record's key; None deletes it. `old` is what goes on as the value before, whatever the store
    /// has. A record without a key is left out.
    pub(crate) fn put(&mut self, mut record: Record<K, V>, old: Option<V>, context: &mut Context) -> ProcessResult {
        let Some(key) = record.key.take() else {
            context.drop_record();
            return Ok(());
        };
        let (new, timestamp) = (record.value.take(), record.timestamp);
        let (store, output) = match self {
            Keep::Latest(store, output) => (store, output),
            Keep::Versions(versions) => {
                return versions.put(record.with_pair(Some(key), new), old, context);
            }
        };
        let mut store = store.borrow_mut();
        if store.is_cached() {
            store.put(&key, new.map(|value| Stamped { value, timestamp }), record.about(), context)?;
            drop(store);
            return output.make_room(context);
        }
        let row = new.clone().map(|value| Stamped { value, timestamp });
        store.put(&key, row, record.about(), context)?;
        drop(store);
        output.forward(record.with_pair(Some(key), Some(Change::latest(new, old))), context)
    }

    /// Sets the value of the record's key from the one that the store has: `change` gives the new one and its time. A record
    /// without a key is left out.
    pub(crate) fn update<T>(
        &mut self,
        record: Record<K, T>,
        context: &mut Context,
        change: impl FnOnce(&K, Option<T>, Option<Stamped<V>>) -> Result<(Option<V>, i64), Undone<Stamped<V>>>,
    ) -> ProcessResult {
        let Record { key: Some(key), value: input, mut timestamp, headers } = record else {
            context.drop_record();
            return Ok(());
        };
        let (store, output) = match self {
            Keep::Latest(store, output) => (store, output),
            Keep::Versions(versions) => {
                let before = versions.store.borrow_mut().get(&key)?;
                let old = before.as_ref().map(|before| before.value.clone());
                let (value, timestamp) = change(&key, input, before).map_err(|undone| undone.failure)?;
                return versions.put(Record { key: Some(key), value, timestamp, headers }, old, context);
            }
        };
        let about = About { timestamp, headers: &headers };
        let updated = store.borrow_mut().update(&key, output.old(), about, context, |before| {
            let (new, time) = change(&key, input, before)?;
            timestamp = time;
            Ok(new.map(|value| Stamped { value, timestamp }))
        })?;
        let Some(updated) = updated else { return output.make_room(context) };
        let (new, old) = (updated.new.map(|new| new.value), updated.old.map(|old| old.value));
        let value = Some(Change::latest(new, old));
        output.forward(Record { key: Some(key), value, timestamp, headers }, context)
    }
}

impl<K: Data, V: Data> Versions<K, V> {
    /// Of the operator that is being linked.
    pub(crate) fn new(
        linking: &Linking<'_>,
        store: Rc<RefCell<VersionedStore<K, V>>>,
        children: Children<K, Change<V>>,
    ) -> Versions<K, V> {
        Versions { store, old: linking.sends_old(), children }
    }

    /// Whether changes carry the value before.
    pub(crate) fn old(&self) -> Old {
        self.old
    }

    /// The latest value of a key.
    pub(crate) fn get(&self, key: &K) -> Result<Option<Stamped<V>>, Failure> {
        self.store.borrow_mut().get(key)
    }

    /// What is too old to be kept does not go on either.
    pub(crate) fn put(&mut self, record: Record<K, V>, old: Option<V>, context: &mut Context) -> ProcessResult {
        let Record { key: Some(key), value: new, timestamp, headers } = record else { return Ok(()) };
        let put = self.store.borrow_mut().put(&key, new.as_ref(), timestamp, context)?;
        let latest = match put {
            VersionedPut::NotPut => return Ok(()),
            VersionedPut::Latest => true,
            VersionedPut::ValidTo(_) => false,
        };
        let old = if self.old == Old::Sent { old } else { None };
        let value = Some(Change { new, old, latest });
        self.children.forward(Record { key: Some(key), value, timestamp, headers }, context)
    }
}
