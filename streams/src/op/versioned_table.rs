//! A source table with a history: each record is kept with its own time, whatever the order in which they come
//! (KTableSource over a versioned store, KIP-914). What is older than the history goes nowhere.

use std::cell::RefCell;
use std::rc::Rc;

use crate::record::{Change, Data, Record};
use crate::state::versioned::VersionedPut;
use crate::store::{Old, VersionedStore};
use crate::topology::processor::{AnyLink, Children, Context, Linking, Process, ProcessResult};

/// The node of a source table, if its store has a history; else its children back.
pub(crate) fn link<K: Data, V: Data>(
    store: &str,
    children: Children<K, Change<V>>,
    linking: &Linking<'_>,
) -> Result<AnyLink, Children<K, Change<V>>> {
    match linking.store::<VersionedStore<K, V>>(store) {
        Ok(store) => Ok(AnyLink::new::<K, V>(Keeping { store, children, old: linking.sends_old() })),
        Err(_) => Err(children),
    }
}

struct Keeping<K, V> {
    store: Rc<RefCell<VersionedStore<K, V>>>,
    children: Children<K, Change<V>>,
    old: Old,
}

impl<K: Data, V: Data> Process<K, V> for Keeping<K, V> {
    fn process(&mut self, mut record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let (Some(key), value) = (&record.key, record.value.take()) else {
            context.drop_record();
            return Ok(());
        };
        let mut store = self.store.borrow_mut();
        let old = if self.old == Old::Sent { store.get(key)? } else { None };
        let put = store.put(key, value.as_ref(), record.timestamp, context)?;
        drop(store);
        if put == VersionedPut::NotPut {
            return Ok(());
        }
        let latest = put == VersionedPut::Latest;
        let change = Change { new: value, old: old.map(|old| old.value), latest };
        self.children.forward(record.with_value(Some(change)), context)
    }
}
