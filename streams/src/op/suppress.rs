//! Holds changes of a table back until their time or their window is over, or too much waits
//! (KTableSuppressProcessor, KIP-328).
//! Recorded by `dsl`. Never keeps a change itself: that is the store's.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::dsl::suppressed::{Buffer, WhenFull};
use crate::record::{Change, Data, Record};
use crate::store::SuppressStore;
use crate::task::errors::TaskError;
use crate::task::tally::{NodeCounts, NodeTally, add};
use crate::topology::processor::{
    AnyLink, Children, Context, Failure, LinkError, Linking, Operator, Process, ProcessResult,
};

/// The end of the window of a key.
pub type WindowEnd<K> = Arc<dyn Fn(&K) -> i64 + Send + Sync>;

/// Holds changes back.
pub struct Suppress<K, V> {
    /// How much may wait.
    pub buffer: Buffer,
    /// How long after its time a change waits.
    pub wait_ms: i64,
    /// What the time of a change is: the end of its window, or None for that of the record. Deletions of windows that are
    /// not closed are left out: nobody saw what is deleted.
    pub window_end: Option<WindowEnd<K>>,
    /// The store of what waits.
    pub store: String,
    /// What is held.
    pub types: std::marker::PhantomData<fn(V)>,
}

impl<K: Data, V: Data> Operator for Suppress<K, V> {
    fn name(&self) -> &'static str {
        "suppress"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        Ok(AnyLink::new::<K, Change<V>>(Suppressing {
            node: Rc::clone(linking.node()),
            tally: linking.tallies().node(linking.node(), NodeCounts::Suppression),
            buffer: self.buffer,
            wait_ms: self.wait_ms,
            window_end: self.window_end.clone(),
            stream_time: -1,
            store: linking.store::<SuppressStore<K, V>>(&self.store)?,
            children: Children::<K, Change<V>>::typed(children)?,
        }))
    }
}

struct Suppressing<K, V> {
    node: Rc<str>,
    tally: Rc<NodeTally>,
    buffer: Buffer,
    wait_ms: i64,
    window_end: Option<WindowEnd<K>>,
    stream_time: i64,
    store: Rc<RefCell<SuppressStore<K, V>>>,
    children: Children<K, Change<V>>,
}

impl<K: Data, V: Data> Suppressing<K, V> {
    fn is_over(&self) -> bool {
        let store = self.store.borrow();
        let over = |held: usize, max: Option<u64>| max.is_some_and(|max| held as u64 > max);
        over(store.len(), self.buffer.max_records) || over(store.memory(), self.buffer.max_bytes)
    }

    /// The change is taken out after those below were called: what looks into this table meanwhile sees the value before.
    fn emit(&mut self, context: &mut Context) -> ProcessResult {
        let released = self.store.borrow().first()?;
        let Some(released) = released else { return Ok(()) };
        let is_deletion = released.record.value.as_ref().is_none_or(|change| change.new.is_none());
        if !is_deletion || self.window_end.is_none() {
            let before = context.replace_origin(released.origin);
            let done = self.children.forward(released.record, context);
            context.replace_origin(before);
            done?;
            add(&self.tally.records, 1);
        }
        self.store.borrow_mut().remove_first();
        Ok(())
    }

    #[cold]
    fn full(&self) -> Failure {
        let store = self.store.borrow();
        let max = |max: Option<u64>| max.map_or_else(|| "unbounded".to_owned(), |max| max.to_string());
        let cause = format!(
            "{} buffer exceeded its max capacity. Currently [{}/{}] records and [{}/{}] bytes.",
            self.node,
            store.len(),
            max(self.buffer.max_records),
            store.memory(),
            max(self.buffer.max_bytes)
        );
        Failure::fatal(TaskError::Broken(cause))
    }
}

impl<K: Data, V: Data> Process<K, Change<V>> for Suppressing<K, V> {
    fn process(&mut self, record: Record<K, Change<V>>, context: &mut Context) -> ProcessResult {
        let Some(key) = &record.key else {
            context.drop_record();
            return Ok(());
        };
        self.stream_time = self.stream_time.max(record.timestamp);
        let time = self.window_end.as_ref().map_or(record.timestamp, |end| end(key));
        self.store.borrow_mut().put(time, key, &record, context.origin())?;
        let expired = self.stream_time.saturating_sub(self.wait_ms);
        while self.store.borrow().min_time().is_some_and(|time| time <= expired) {
            self.emit(context)?;
        }
        if self.is_over() {
            match self.buffer.when_full {
                WhenFull::ShutDown => return Err(self.full()),
                WhenFull::Emit => {
                    while self.is_over() {
                        self.emit(context)?;
                    }
                }
            }
        }
        Ok(())
    }
}
