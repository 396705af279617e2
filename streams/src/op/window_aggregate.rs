//! Aggregations by windows of fixed length, tumbling or hopping (KStreamWindowAggregate).
//! Made by `aggregate` when a task is linked. A null value reaches the aggregator; a null key is left out.

use std::cell::RefCell;
use std::rc::Rc;

use super::aggregate::{Aggregator, Initializer};
use super::emit::Emission;
use crate::dsl::windows::TimeSpans;
use crate::record::{Change, Data, Record, Window, Windowed};
use crate::state::Order;
use crate::store::window::TableWindowStore;
use crate::store::{Old, Stamped, TableOutput};
use crate::topology::processor::{Context, Process, ProcessResult};

pub(crate) type Store<K, A> = Rc<RefCell<TableWindowStore<K, A>>>;
pub(crate) type Output<K, A> = TableOutput<TableWindowStore<K, A>>;

/// What aggregations of time and sliding windows have in common.
pub(crate) struct Parts<K: Data, V, A: Data> {
    pub(crate) initializer: Initializer<A>,
    pub(crate) aggregator: Aggregator<K, V, A>,
    pub(crate) store: Store<K, A>,
    pub(crate) output: Output<K, A>,
    pub(crate) emission: Emission,
    /// The largest time of a record with a key so far.
    pub(crate) stream_time: i64,
}

impl<K: Data, V: Data, A: Data> Parts<K, V, A> {
    /// Hands one change of a window on, if neither a cache nor the strategy holds it back.
    pub(crate) fn forward(&self, record: Record<Windowed<K>, Change<A>>, context: &mut Context) -> ProcessResult {
        if self.emission.is_on_update() { self.output.forward(record, context) } else { Ok(()) }
    }

    /// Hands on all windows that start from `from` to `to`, with the headers of the record that closed them.
    pub(crate) fn emit(
        &mut self,
        (from, to): (i64, i64),
        close: i64,
        record: &Record<K, V>,
        context: &mut Context,
    ) -> ProcessResult {
        let begun = self.emission.begin();
        let windows = self.store.borrow().fetch_all(from, to, Order::Ascending)?;
        let count = windows.len();
        for (key, stamped) in windows {
            let (timestamp, headers) = (stamped.timestamp, record.headers.clone());
            let value = Some(Change::latest(Some(stamped.value), None));
            self.output.forward(Record { key: Some(key), value, timestamp, headers }, context)?;
        }
        self.emission.emitted((close, count), begun, context);
        Ok(())
    }
}

pub(crate) struct TimeAggregate<K: Data, V, A: Data> {
    pub(crate) windows: TimeSpans,
    pub(crate) parts: Parts<K, V, A>,
}

impl TimeSpans {
    /// The starts of the windows that hold a time.
    fn starts(self, timestamp: i64) -> impl Iterator<Item = i64> {
        let (first, count) = match self.only_ms {
            Some(start) => (start, 1),
            None => ((timestamp - self.size_ms + self.advance_ms).max(0) / self.advance_ms * self.advance_ms, i64::MAX),
        };
        (0..count).map(move |number| first + number * self.advance_ms).take_while(move |start| *start <= timestamp)
    }

    fn window(self, start: i64) -> Window {
        Window { start, end: start.saturating_add(self.size_ms) }
    }
}

impl<K: Data, V: Data, A: Data> Process<K, V> for TimeAggregate<K, V, A> {
    fn process(&mut self, mut record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let mut value = record.value.take();
        let Some(key) = &record.key else {
            context.drop_record();
            return Ok(());
        };
        let parts = &mut self.parts;
        parts.stream_time = parts.stream_time.max(record.timestamp);
        let close = parts.stream_time.saturating_sub(self.windows.grace_ms);
        let mut starts = self.windows.starts(record.timestamp).peekable();
        while let Some(start) = starts.next() {
            let window = self.windows.window(start);
            if window.end > close {
                // The last window has the value itself.
                let value = if starts.peek().is_some() { value.clone() } else { value.take() };
                self.add(key, value, window, &record, context)?;
            } else {
                context.drop_record();
            }
        }
        self.emit_closed(close, &record, context)
    }
}

impl<K: Data, V: Data, A: Data> TimeAggregate<K, V, A> {
    fn add(
        &self,
        key: &K,
        value: Option<V>,
        window: Window,
        record: &Record<K, V>,
        context: &mut Context,
    ) -> ProcessResult {
        let parts = &self.parts;
        let mut timestamp = record.timestamp;
        // Java hands on what an aggregate starts with as the value before its first one.
        let mut started = None;
        let updated = parts.store.borrow_mut().update(
            (key, window.start),
            parts.output.old(),
            record.about(),
            context,
            |before: Option<Stamped<A>>| {
                let stamp = before.as_ref().map(|before| before.timestamp);
                let so_far = match before {
                    Some(before) => {
                        timestamp = timestamp.max(before.timestamp);
                        Some(before.value)
                    }
                    None => {
                        let start = (parts.initializer)();
                        if parts.output.old() == Old::Sent {
                            started.clone_from(&start);
                        }
                        start
                    }
                };
                let value = (parts.aggregator)(key, value, so_far);
                let value = value.map_err(|undone| undone.stamped(stamp))?;
                Ok(value.map(|value| Stamped { value, timestamp }))
            },
        )?;
        let Some(updated) = updated else { return parts.output.make_room(context) };
        let (new, old) = (updated.new.map(|new| new.value), updated.old.map(|old| old.value).or(started));
        let key = Some(Windowed { key: key.clone(), window });
        let value = Some(Change::latest(new, old));
        parts.forward(Record { key, value, timestamp, headers: record.headers.clone() }, context)
    }

    fn emit_closed(&mut self, close: i64, record: &Record<K, V>, context: &mut Context) -> ProcessResult {
        if !self.parts.emission.is_due(close, context) {
            return Ok(());
        }
        let to = close - self.windows.size_ms;
        if to < 0 {
            return Ok(());
        }
        let mut from = 0;
        if let Some(last) = self.parts.emission.last_close {
            from = (last - self.windows.size_ms).max(0) + 1;
            // No further window has closed if both ends lie in the same ones.
            if self.windows.starts(to).eq(self.windows.starts(from - 1)) {
                return Ok(());
            }
        }
        self.parts.emit((from, to), close, record, context)
    }
}
