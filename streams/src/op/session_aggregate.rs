//! Aggregations by sessions (KStreamSessionWindowAggregate): a record joins all sessions within the gap into one.
//! Made by `aggregate` when a task is linked. A null value reaches the aggregator; a null key is left out.

use std::cell::RefCell;
use std::rc::Rc;

use super::aggregate::{Aggregator, Initializer, Merger};
use super::emit::Emission;
use crate::dsl::windows::SessionWindows;
use crate::record::{Change, Data, Record, Window, Windowed};
use crate::store::TableOutput;
use crate::store::session::SessionStore;
use crate::topology::processor::{Context, Process, ProcessResult};

pub(crate) struct SessionAggregate<K: Data, V, A: Data> {
    pub(crate) windows: SessionWindows,
    pub(crate) initializer: Initializer<A>,
    pub(crate) aggregator: Aggregator<K, V, A>,
    pub(crate) merger: Merger<K, A>,
    pub(crate) store: Rc<RefCell<SessionStore<K, A>>>,
    pub(crate) output: TableOutput<SessionStore<K, A>>,
    pub(crate) emission: Emission,
    pub(crate) stream_time: i64,
}

impl<K: Data, V: Data, A: Data> Process<K, V> for SessionAggregate<K, V, A> {
    fn process(&mut self, mut record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let Some(key) = record.key.take() else {
            context.drop_record();
            return Ok(());
        };
        let timestamp = record.timestamp;
        self.stream_time = self.stream_time.max(timestamp);
        let close = self.stream_time.saturating_sub(self.windows.grace_ms).saturating_sub(self.windows.gap_ms);
        let gap = self.windows.gap_ms;
        let met = self.store.borrow().find(&key, timestamp.saturating_sub(gap), timestamp.saturating_add(gap))?;
        let alone = Window { start: timestamp, end: timestamp };
        let (mut merged, mut aggregate) = (alone, (self.initializer)());
        for (session, value) in &met {
            aggregate = (self.merger)(&key, aggregate, Some(value.clone()))?;
            merged = Window { start: merged.start.min(session.start), end: merged.end.max(session.end) };
        }
        if merged.end < close {
            context.drop_record();
            return self.emit_closed(close, &record, context);
        }
        let new = (self.aggregator)(&key, record.value.take(), aggregate).map_err(|undone| undone.failure)?;
        if merged != alone {
            for (session, value) in met {
                self.store.borrow_mut().remove((&key, session), record.about(), context)?;
                self.forward(&key, session, Change::latest(None, Some(value)), context)?;
            }
        }
        let kept = if self.output.is_cached() { None } else { new.clone() };
        self.store.borrow_mut().put((&key, merged), new, record.about(), context)?;
        self.forward(&key, merged, Change::latest(kept, None), context)?;
        self.emit_closed(close, &record, context)
    }
}

impl<K: Data, V: Data, A: Data> SessionAggregate<K, V, A> {
    /// Hands a change on, if neither the cache nor the strategy holds it back; it has the session's end as its time, and
    /// no headers, as in Java.
    fn forward(&self, key: &K, window: Window, change: Change<A>, context: &mut Context) -> ProcessResult {
        if self.output.is_cached() {
            return self.output.make_room(context);
        }
        if !self.emission.is_on_update() {
            return Ok(());
        }
        let key = Some(Windowed { key: key.clone(), window });
        self.output.forward(Record::new(key, Some(change), window.end), context)
    }

    fn emit_closed(&mut self, close: i64, record: &Record<K, V>, context: &mut Context) -> ProcessResult {
        if !self.emission.is_due(close, context) {
            return Ok(());
        }
        let (from, to) = (self.emission.last_close.unwrap_or(0).max(0), close - 1);
        if to < 0 || to < from {
            return Ok(());
        }
        let begun = self.emission.begin();
        let sessions = self.store.borrow().ended(from, to)?;
        let count = sessions.len();
        for (key, value) in sessions {
            let (timestamp, headers) = (key.window.end, record.headers.clone());
            let value = Some(Change::latest(Some(value), None));
            self.output.forward(Record { key: Some(key), value, timestamp, headers }, context)?;
        }
        self.emission.emitted((close, count), begun, context);
        Ok(())
    }
}
