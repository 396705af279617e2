//! What goes on from a table's store: at once where there is no cache, else when the cache is flushed or too full
//! (TimestampedTupleForwarder, TimestampedCacheFlushListener, ThreadCache.maybeEvict).
//! Made by an operator when it is linked; flushed by the task at each commit. Never borrows the store while it forwards.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Cached, Eldest, Old};
use crate::record::{Change, Data, Record};
use crate::task::context::Context;
use crate::task::errors::ProcessResult;
use crate::task::link::{Flush, Linking};
use crate::topology::processor::Children;

/// The children of an operator that keeps a table in the store `S`.
pub struct TableOutput<S: Cached>(Rc<Inner<S>>);

struct Inner<S: Cached> {
    store: Rc<RefCell<S>>,
    children: RefCell<Children<S::Key, Change<S::Value>>>,
    old: Old,
    cached: bool,
}

impl<S: Cached> Clone for TableOutput<S> {
    fn clone(&self) -> TableOutput<S> {
        TableOutput(Rc::clone(&self.0))
    }
}

impl<S: Cached> TableOutput<S>
where
    S::Key: Data,
    S::Value: Data,
{
    /// The output of the operator that is being linked; the task flushes it if the store has a cache.
    pub fn new(
        linking: &mut Linking<'_>,
        store_name: &str,
        store: &Rc<RefCell<S>>,
        children: Children<S::Key, Change<S::Value>>,
    ) -> TableOutput<S> {
        let old = linking.sends_old();
        TableOutput::with_old(linking, store_name, store, children, old)
    }

    /// The same for an operator that hands on what it finds in the store, so that nothing goes on from the cache.
    pub fn unforwarded(
        linking: &mut Linking<'_>,
        store_name: &str,
        store: &Rc<RefCell<S>>,
        children: Children<S::Key, Change<S::Value>>,
    ) -> TableOutput<S> {
        TableOutput::with_old(linking, store_name, store, children, Old::Unforwarded)
    }

    fn with_old(
        linking: &mut Linking<'_>,
        store_name: &str,
        store: &Rc<RefCell<S>>,
        children: Children<S::Key, Change<S::Value>>,
        old: Old,
    ) -> TableOutput<S> {
        store.borrow_mut().hand_on();
        let cached = store.borrow().is_cached();
        let inner = Rc::new(Inner { store: Rc::clone(store), children: RefCell::new(children), old, cached });
        if cached {
            linking.flush_with(store_name, Rc::clone(&inner) as Rc<dyn Flush>);
        }
        TableOutput(inner)
    }

    /// Whether a cache holds changes back.
    pub fn is_cached(&self) -> bool {
        self.0.cached
    }

    /// Whether changes carry the value before.
    pub fn old(&self) -> Old {
        self.0.old
    }

    /// Hands a change on, if no cache holds it back. The old value is left out where nobody asked for it.
    pub fn forward(&self, mut record: Record<S::Key, Change<S::Value>>, context: &mut Context) -> ProcessResult {
        if let (Old::Left | Old::Unforwarded, Some(change)) = (self.0.old, &mut record.value) {
            change.old = None;
        }
        self.0.children.borrow_mut().forward(record, context)
    }

    /// After a put into a cached store: makes room if the caches of the thread hold too much.
    pub fn make_room(&self, context: &mut Context) -> ProcessResult {
        while context.budget().is_exceeded() {
            let eldest = self.0.store.borrow_mut().begin_eviction();
            match eldest {
                Eldest::Nothing => return Ok(()),
                Eldest::Written => {}
                // NamedCache.evict: with an entry that waits, all that wait are written.
                Eldest::Waits => self.0.flush(context)?,
            }
            self.0.store.borrow_mut().evict();
        }
        Ok(())
    }
}

impl<S: Cached> Flush for Inner<S>
where
    S::Key: Data,
    S::Value: Data,
{
    fn flush(&self, context: &mut Context) -> ProcessResult {
        let waiting = self.store.borrow().waiting();
        for _ in 0..waiting {
            let flushed = self.store.borrow_mut().flush_next(self.old, context)?;
            if let Some(flushed) = flushed {
                let before = context.replace_origin(flushed.origin);
                let done = self.children.borrow_mut().forward(flushed.record, context);
                context.replace_origin(before);
                done?;
            }
        }
        Ok(())
    }
}
