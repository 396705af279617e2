//! Aggregations by sliding windows: around each record one that ends with it and one that starts behind it (KIP-450,
//! KStreamSlidingWindowAggregate). Made by `aggregate` when a task is linked; nulls are left out.
//!
//! The time kept beside a window's aggregate is that of its last record: by it, whether the window that ends at a record
//! is there already, and whether one on the right of a record would be empty, is known without reading records again.

use super::window_aggregate::Parts;
use crate::dsl::windows::SlidingWindows;
use crate::record::{Change, Data, Record, Window, Windowed};
use crate::state::Order;
use crate::store::Stamped;
use crate::topology::processor::{Context, Process, ProcessResult};

pub(crate) struct SlidingAggregate<K: Data, V, A: Data> {
    pub(crate) windows: SlidingWindows,
    pub(crate) parts: Parts<K, V, A>,
}

/// One record on its way through its windows.
struct Step<'a, K, V> {
    key: &'a K,
    record: &'a Record<K, V>,
    close: i64,
}

/// What the windows around a record told.
struct Around<A> {
    starts: Vec<i64>,
    left: Option<Stamped<A>>,
    right: Option<Stamped<A>>,
    has_left: bool,
    has_right: bool,
    /// The time of the record before this one.
    previous: Option<i64>,
}

impl<K: Data, V: Data, A: Data> Process<K, V> for SlidingAggregate<K, V, A> {
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let (Some(key), true) = (&record.key, record.value.is_some()) else {
            context.drop_record();
            return Ok(());
        };
        self.parts.stream_time = self.parts.stream_time.max(record.timestamp);
        let close = self.parts.stream_time.saturating_sub(self.windows.grace_ms);
        if record.timestamp.saturating_add(self.windows.difference_ms) < close {
            context.drop_record();
            return Ok(());
        }
        let step = Step { key, record: &record, close };
        // A record so early has no window that ends with it: all of them share the first one.
        if record.timestamp < self.windows.difference_ms {
            return self.process_early(&step, context);
        }
        self.process_reverse(&step, context)?;
        self.emit_closed(&step, context)
    }
}

impl<K: Data, V: Data, A: Data> SlidingAggregate<K, V, A> {
    fn window(&self, start: i64) -> Window {
        Window { start, end: start.saturating_add(self.windows.difference_ms) }
    }

    /// From the latest window to the earliest.
    fn process_reverse(&self, step: &Step<'_, K, V>, context: &mut Context) -> ProcessResult {
        let (timestamp, difference) = (step.record.timestamp, self.windows.difference_ms);
        let earliest = (timestamp - 2 * difference).max(0);
        let found = self.parts.store.borrow().fetch(step.key, earliest, timestamp + 1, Order::Descending)?;
        let mut around =
            Around { starts: Vec::new(), left: None, right: None, has_left: false, has_right: false, previous: None };
        for (start, stamped) in found {
            around.starts.push(start);
            let (window, last) = (self.window(start), stamped.timestamp);
            if start == timestamp + 1 {
                around.has_right = true;
            } else if window.end > timestamp {
                if around.right.is_none() {
                    around.right = Some(stamped.clone());
                }
                self.add(step, window, Some(stamped), context)?;
            } else if window.end == timestamp {
                around.has_left = true;
                self.add(step, window, Some(stamped), context)?;
                // The window's last record is of this time: all windows of it are there.
                if last >= timestamp {
                    return Ok(());
                }
                around.previous = Some(last);
            } else {
                around.left = Some(stamped);
                around.previous = Some(last);
                break;
            }
        }
        self.create(step, around, context)
    }

    fn create(&self, step: &Step<'_, K, V>, around: Around<A>, context: &mut Context) -> ProcessResult {
        let (timestamp, difference) = (step.record.timestamp, self.windows.difference_ms);
        if let Some(previous) = around.previous {
            let start = previous + 1;
            if !around.starts.contains(&start) && start + difference >= timestamp {
                self.add_to_new(step, self.window(start), context)?;
            }
        }
        if !around.has_left {
            let near = around.previous.is_some_and(|previous| timestamp - difference <= previous);
            let value = if near { around.left.map(|left| left.value) } else { (self.parts.initializer)() };
            let before = value.map(|value| Stamped { value, timestamp });
            let window = Window { start: timestamp - difference, end: timestamp };
            self.add(step, window, before, context)?;
        }
        self.create_right(step, around.has_right, around.right, context)
    }

    /// The window behind the record, if it would have a record.
    fn create_right(
        &self,
        step: &Step<'_, K, V>,
        exists: bool,
        right: Option<Stamped<A>>,
        context: &mut Context,
    ) -> ProcessResult {
        let timestamp = step.record.timestamp;
        match right {
            Some(right) if !exists && right.timestamp > timestamp => {
                self.put(step, self.window(timestamp + 1), None, Some(right), context)
            }
            _ => Ok(()),
        }
    }

    fn process_early(&self, step: &Step<'_, K, V>, context: &mut Context) -> ProcessResult {
        let timestamp = step.record.timestamp;
        let found = self.parts.store.borrow().fetch(step.key, 0, timestamp + 1, Order::Ascending)?;
        let (mut combined, mut right, mut previous): (Option<Stamped<A>>, Option<Stamped<A>>, Option<i64>) =
            (None, None, None);
        let (mut has_right, mut starts) = (false, Vec::new());
        for (start, stamped) in found {
            starts.push(start);
            if start == 0 {
                previous = (stamped.timestamp < timestamp).then_some(stamped.timestamp);
                combined = Some(stamped);
            } else if start <= timestamp {
                right = Some(stamped.clone());
                self.add(step, self.window(start), Some(stamped), context)?;
            } else {
                has_right = true;
            }
        }
        if right.is_none() {
            right = combined.clone().filter(|combined| combined.timestamp > timestamp);
        }
        self.create_right(step, has_right, right, context)?;
        if let Some(start) = previous.map(|previous| previous + 1)
            && !starts.contains(&start)
        {
            self.add_to_new(step, self.window(start), context)?;
        }
        match combined {
            None => self.add_to_new(step, self.window(0), context),
            combined => self.add(step, self.window(0), combined, context),
        }
    }

    fn add_to_new(&self, step: &Step<'_, K, V>, window: Window, context: &mut Context) -> ProcessResult {
        let timestamp = step.record.timestamp;
        let before = (self.parts.initializer)().map(|value| Stamped { value, timestamp });
        self.add(step, window, before, context)
    }

    /// Takes the record into a window, unless that is closed.
    fn add(
        &self,
        step: &Step<'_, K, V>,
        window: Window,
        before: Option<Stamped<A>>,
        context: &mut Context,
    ) -> ProcessResult {
        if window.end < step.close {
            context.drop_record();
            return Ok(());
        }
        let timestamp = before.as_ref().map_or(i64::MIN, |before| before.timestamp).max(step.record.timestamp);
        let old = before.map(|before| before.value);
        let kept = if self.parts.output.is_cached() { None } else { old.clone() };
        let value = (self.parts.aggregator)(step.key, step.record.value.clone(), old);
        let value = value.map_err(|undone| undone.failure)?;
        let new = value.map(|value| Stamped { value, timestamp });
        self.put_at(step, (window, timestamp), kept, new, context)
    }

    fn put(
        &self,
        step: &Step<'_, K, V>,
        window: Window,
        old: Option<A>,
        new: Option<Stamped<A>>,
        context: &mut Context,
    ) -> ProcessResult {
        let timestamp = new.as_ref().map_or(step.record.timestamp, |new| new.timestamp);
        self.put_at(step, (window, timestamp), old, new, context)
    }

    fn put_at(
        &self,
        step: &Step<'_, K, V>,
        (window, timestamp): (Window, i64),
        old: Option<A>,
        new: Option<Stamped<A>>,
        context: &mut Context,
    ) -> ProcessResult {
        let about = step.record.about();
        if self.parts.output.is_cached() {
            self.parts.store.borrow_mut().put(step.key, window.start, new, about, context)?;
            return self.parts.output.make_room(context);
        }
        let value = new.as_ref().map(|new| new.value.clone());
        self.parts.store.borrow_mut().put(step.key, window.start, new, about, context)?;
        let key = Some(Windowed { key: step.key.clone(), window });
        let headers = step.record.headers.clone();
        let value = Some(Change::latest(value, old));
        self.parts.forward(Record { key, value, timestamp, headers }, context)
    }

    fn emit_closed(&mut self, step: &Step<'_, K, V>, context: &mut Context) -> ProcessResult {
        if !self.parts.emission.is_due(step.close, context) {
            return Ok(());
        }
        let to = step.close - self.windows.difference_ms - 1;
        if to < 0 {
            return Ok(());
        }
        let last = self.parts.emission.last_close;
        let from = last.map_or(0, |last| (last - self.windows.difference_ms).max(0));
        self.parts.emit((from, to), step.close, step.record, context)
    }
}
