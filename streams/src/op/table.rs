//! Operators on tables: the source that keeps it, filter, map, group, suppress.
//! Recorded by `dsl`. Never keeps a row itself: that is the store's.
//! Not done: the processors of all but the source.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::dsl::suppressed::Suppressed;
use crate::record::{Change, Data, Record};
use crate::store::{Stamped, TableOutput, TableStore};
use crate::topology::processor::{
    AnyLink, Children, Context, LinkError, Linking, Operator, Process, ProcessResult,
};

/// Makes changes out of records, and keeps the rows if something needs them.
pub struct KeepTable<K, V> {
    /// What the rows are.
    pub types: PhantomData<fn(K, V)>,
}

/// Rows to rows of the same key: filter and map_values.
pub struct TransformRows<K, V, W> {
    /// A row to the new value; None leaves it out.
    pub function: Arc<dyn Fn(&K, &V) -> Option<W> + Send + Sync>,
    /// The store of the new rows, if they are kept.
    pub store: Option<String>,
}

/// Rows to pairs of another key, old and new value together.
pub struct SelectRows<K, V, L, W> {
    /// A row to its group and value; a None leaves this half out.
    pub function: Arc<dyn Fn(&K, &V) -> (Option<L>, Option<W>) + Send + Sync>,
}

/// Holds changes back.
pub struct Suppress<K, V> {
    /// How long and how many.
    pub how: Suppressed,
    /// How long after its end a window closes; None for a time limit.
    pub grace_ms: Option<i64>,
    /// The store of what waits.
    pub store: String,
    /// What is held.
    pub types: PhantomData<fn(K, V)>,
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
        let children = match super::versioned_table::link(&name, children, linking) {
            Ok(linked) => return Ok(linked),
            Err(children) => children,
        };
        let store = linking.store::<TableStore<K, V>>(&name)?;
        let output = TableOutput::new(linking, &name, &store, children);
        Ok(AnyLink::new::<K, V>(Keeping { store, output }))
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
struct Keeping<K: Data, V: Data> {
    store: Rc<RefCell<TableStore<K, V>>>,
    output: TableOutput<TableStore<K, V>>,
}

impl<K: Data, V: Data> Process<K, V> for Keeping<K, V> {
    fn process(&mut self, mut record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let Some(key) = record.key.take() else {
            context.drop_record();
            return Ok(());
        };
        let row = record.value.take().map(|value| Stamped { value, timestamp: record.timestamp });
        let updated =
            self.store.borrow_mut().update(&key, self.output.old(), record.about(), context, |_| row)?;
        let Some(updated) = updated else { return self.output.make_room(context) };
        let (new, old) = (updated.new.map(|new| new.value), updated.old.map(|old| old.value));
        self.output.forward(record.with_pair(Some(key), Some(Change::latest(new, old))), context)
    }
}

impl<K: Data, V: Data, W: Data> Operator for TransformRows<K, V, W> {
    fn name(&self) -> &'static str {
        "table transform"
    }
}

impl<K: Data, V: Data, L: Data, W: Data> Operator for SelectRows<K, V, L, W> {
    fn name(&self) -> &'static str {
        "table select"
    }
}

impl<K: Data, V: Data> Operator for Suppress<K, V> {
    fn name(&self) -> &'static str {
        "suppress"
    }
}
