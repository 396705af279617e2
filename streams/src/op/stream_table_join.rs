//! The join of a stream with a table or a global table: each record looks its row up (KStreamKTableJoinProcessor,
//! KStreamGlobalKTableJoin). Recorded by `dsl`. A change of the table joins nothing.
//!
//! In a table without a history the row is that of the moment of the look, whatever the record's time; in one with a
//! history it is the row of that time, and with grace records wait for it (KIP-914, KIP-923). A left join of records
//! without a key and with grace, on which Java fails, joins them at once.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::getter::{Getter, LinkedGetter};
use super::join::{JoinKind, Joiner, KeySelector};
use crate::record::{Data, Record};
use crate::store::Waiting;
use crate::store::waiting::Put;
use crate::topology::processor::{AnyLink, Children, Context, LinkError, Linking, Operator, Process, ProcessResult};

/// Looks each record of a stream up in a table.
pub struct StreamTableJoin<K, L, F, R, O> {
    /// Which sides must be there.
    pub kind: JoinKind,
    /// The table.
    pub getter: Getter<F, R>,
    /// The key in the table.
    pub key: TableKey<K, L, F>,
    /// The store of records that wait for the table.
    pub buffer: Option<String>,
    /// Makes the result.
    pub joiner: Joiner<K, L, R, O>,
}

/// Where the key in the table comes from.
pub enum TableKey<K, L, F> {
    /// It is the stream's; both are of one type.
    Own,
    /// It is made of key and value; a global table.
    Selected(KeySelector<K, L, F>),
}

impl<K, L, F> Clone for TableKey<K, L, F> {
    fn clone(&self) -> TableKey<K, L, F> {
        match self {
            TableKey::Own => TableKey::Own,
            TableKey::Selected(select) => TableKey::Selected(Arc::clone(select)),
        }
    }
}

impl<K: Data, L: Data, F: Data, R: Data, O: Data> Operator for StreamTableJoin<K, L, F, R, O> {
    fn name(&self) -> &'static str {
        "stream-table join"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        if matches!(self.key, TableKey::Own) && TypeId::of::<K>() != TypeId::of::<F>() {
            return Err(LinkError::Types(std::any::type_name::<F>()));
        }
        let buffer = self.buffer.as_ref().map(|name| linking.store(name)).transpose()?;
        let lookup = Lookup {
            kind: self.kind,
            key: self.key.clone(),
            table: self.getter.link(linking)?,
            joiner: Arc::clone(&self.joiner),
            children: Children::typed(children)?,
        };
        match buffer {
            None => Ok(AnyLink::new::<K, L>(lookup)),
            Some(buffer) => Ok(AnyLink::new::<K, L>(Delayed { lookup, buffer })),
        }
    }
}

/// Joins each record at once.
struct Lookup<K, L, F: Data, R: Data, O> {
    kind: JoinKind,
    key: TableKey<K, L, F>,
    table: LinkedGetter<F, R>,
    joiner: Joiner<K, L, R, O>,
    children: Children<K, O>,
}

impl<K: Data, L: Data, F: Data, R: Data, O: Data> Lookup<K, L, F, R, O> {
    /// Joins a record, or drops it: a left join takes one without a key in the table, none takes one without a value.
    fn join(&mut self, record: Record<K, L>, context: &mut Context) -> ProcessResult {
        let selected;
        let key = match &self.key {
            TableKey::Own => record.key.as_ref().map(own_key),
            TableKey::Selected(select) => {
                selected = select(record.key.as_ref(), record.value.as_ref())?;
                selected.as_ref()
            }
        };
        if record.value.is_none() || (key.is_none() && self.kind != JoinKind::Left) {
            context.drop_record();
            return Ok(());
        }
        let row = match key {
            // A table without a history answers with the present.
            Some(key) => self.table.get_as_of(key, record.timestamp, context)?.map(|row| row.value),
            None => None,
        };
        if row.is_none() && self.kind == JoinKind::Inner {
            return Ok(());
        }
        let joined = (self.joiner)(record.key.as_ref(), record.value.as_ref(), row.as_ref())?;
        self.children.forward(record.with_value(Some(joined)), context)
    }
}

/// A key of the stream as one of the table.
fn own_key<K: 'static, F: 'static>(key: &K) -> &F {
    let key: &dyn Any = key;
    key.downcast_ref().expect("stream and table have keys of one type: checked when the node was linked")
}

impl<K: Data, L: Data, F: Data, R: Data, O: Data> Process<K, L> for Lookup<K, L, F, R, O> {
    fn process(&mut self, record: Record<K, L>, context: &mut Context) -> ProcessResult {
        self.join(record, context)
    }
}

/// Lets each record wait for the table first.
struct Delayed<K, L, F: Data, R: Data, O> {
    lookup: Lookup<K, L, F, R, O>,
    buffer: Rc<RefCell<Waiting<K, L>>>,
}

impl<K: Data, L: Data, F: Data, R: Data, O: Data> Process<K, L> for Delayed<K, L, F, R, O> {
    fn process(&mut self, record: Record<K, L>, context: &mut Context) -> ProcessResult {
        // What cannot be kept joins at once, or is dropped there.
        if self.buffer.borrow_mut().put(&record, context)? == Put::Late {
            return self.lookup.join(record, context);
        }
        let ready = self.buffer.borrow_mut().take_ready()?;
        for waited in ready {
            let before = context.replace_origin(waited.origin);
            let joined = self.lookup.join(waited.record, context);
            context.replace_origin(before);
            joined?;
            self.buffer.borrow().forget(&waited.row, context)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
