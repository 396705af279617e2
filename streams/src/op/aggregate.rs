//! Aggregations of a stream by key over all time, and what the user gave for any other, typed.
//! Recorded by `dsl`; the stores keep the aggregates. Those by window stand in `window_aggregate`, by session in
//! `session_aggregate`, those of a table in `table_aggregate`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::emit::Emission;
use super::keep::Versions;
use super::session_aggregate::SessionAggregate;
use super::sliding_aggregate::SlidingAggregate;
use super::window_aggregate::{Parts, TimeAggregate};
use crate::dsl::windows::{EmitStrategy, SessionWindows, SlidingWindows, TimeSpans};
use crate::record::{Change, Data, Record};
use crate::store::session::SessionStore;
use crate::store::window::TableWindowStore;
use crate::store::{Old, Stamped, TableOutput, TableStore, VersionedStore};
use crate::task::outcome::Undone;
use crate::topology::processor::{
    AnyLink, Children, Context, Failure, LinkError, Linking, Operator, Process, ProcessResult,
};

/// The aggregate before the first value; None where the first value itself is it (`reduce`).
pub type Initializer<A> = Arc<dyn Fn() -> Option<A> + Send + Sync>;
/// Key, value and the aggregate so far to the next one; None deletes it. The value is None for a null in a window.
pub type Aggregator<K, V, A> = Arc<dyn Fn(&K, Option<V>, Option<A>) -> Result<Option<A>, Undone<A>> + Send + Sync>;
/// Two sessions' aggregates to one.
pub type Merger<K, A> = Arc<dyn Fn(&K, Option<A>, Option<A>) -> Result<Option<A>, Failure> + Send + Sync>;

/// How values of a stream become an aggregate.
pub struct Aggregation<K, V, A> {
    /// Where it starts.
    pub initializer: Initializer<A>,
    /// How it goes on.
    pub aggregator: Aggregator<K, V, A>,
    /// Over what span of time.
    pub span: Span<K, A>,
    /// When results are handed on.
    pub emit: EmitStrategy,
    /// The store of the aggregates.
    pub store: String,
}

/// The span of time of one aggregate.
pub enum Span<K, A> {
    /// All of it.
    Forever,
    /// Windows of fixed length.
    Time(TimeSpans),
    /// Windows that end or start at a record.
    Sliding(SlidingWindows),
    /// Sessions; two that meet are merged.
    Session(SessionWindows, Merger<K, A>),
}

impl<K, A> Clone for Span<K, A> {
    fn clone(&self) -> Span<K, A> {
        match self {
            Span::Forever => Span::Forever,
            Span::Time(windows) => Span::Time(*windows),
            Span::Sliding(windows) => Span::Sliding(*windows),
            Span::Session(windows, merger) => Span::Session(*windows, Arc::clone(merger)),
        }
    }
}

impl<K: Data, V: Data, A: Data> Operator for Aggregation<K, V, A> {
    fn name(&self) -> &'static str {
        match &self.span {
            Span::Forever => "aggregate",
            Span::Time(_) => "window aggregate",
            Span::Sliding(_) => "sliding aggregate",
            Span::Session(..) => "session aggregate",
        }
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        match &self.span {
            Span::Forever => {
                if let Ok(store) = linking.store::<VersionedStore<K, A>>(&self.store) {
                    let versions = Versions::new(linking, store, Children::typed(children)?);
                    let (initializer, aggregator) = (Arc::clone(&self.initializer), Arc::clone(&self.aggregator));
                    return Ok(AnyLink::new::<K, V>(RunningVersions { initializer, aggregator, versions }));
                }
                let store = linking.store::<TableStore<K, A>>(&self.store)?;
                let output = TableOutput::new(linking, &self.store, &store, Children::typed(children)?);
                Ok(AnyLink::new::<K, V>(Running {
                    initializer: Arc::clone(&self.initializer),
                    aggregator: Arc::clone(&self.aggregator),
                    store,
                    output,
                }))
            }
            Span::Time(windows) => {
                let parts = self.windowed(children, linking)?;
                Ok(AnyLink::new::<K, V>(TimeAggregate { windows: *windows, parts }))
            }
            Span::Sliding(windows) => {
                let parts = self.windowed(children, linking)?;
                Ok(AnyLink::new::<K, V>(SlidingAggregate { windows: *windows, parts }))
            }
            Span::Session(windows, merger) => {
                let store = linking.store::<SessionStore<K, A>>(&self.store)?;
                let output = TableOutput::new(linking, &self.store, &store, Children::typed(children)?);
                Ok(AnyLink::new::<K, V>(SessionAggregate {
                    windows: *windows,
                    initializer: Arc::clone(&self.initializer),
                    aggregator: Arc::clone(&self.aggregator),
                    merger: Arc::clone(merger),
                    store,
                    output,
                    emission: self.emission(linking),
                    stream_time: -1,
                }))
            }
        }
    }
}

impl<K: Data, V: Data, A: Data> Aggregation<K, V, A> {
    fn emission(&self, linking: &Linking<'_>) -> Emission {
        Emission::new(self.emit, &self.store, linking)
    }

    fn windowed(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<Parts<K, V, A>, LinkError> {
        let store = linking.store::<TableWindowStore<K, A>>(&self.store)?;
        let make = match self.emit {
            EmitStrategy::OnWindowUpdate => TableOutput::new,
            EmitStrategy::OnWindowClose => TableOutput::unforwarded,
        };
        let output = make(linking, &self.store, &store, Children::typed(children)?);
        Ok(Parts {
            initializer: Arc::clone(&self.initializer),
            aggregator: Arc::clone(&self.aggregator),
            store,
            output,
            emission: self.emission(linking),
            stream_time: -1,
        })
    }
}

/// KStreamAggregate and KStreamReduce.
struct Running<K: Data, V, A: Data> {
    initializer: Initializer<A>,
    aggregator: Aggregator<K, V, A>,
    store: Rc<RefCell<TableStore<K, A>>>,
    output: TableOutput<TableStore<K, A>>,
}

impl<K: Data, V: Data, A: Data> Process<K, V> for Running<K, V, A> {
    fn process(&mut self, mut record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let (Some(key), Some(value)) = (record.key.take(), record.value.take()) else {
            context.drop_record();
            return Ok(());
        };
        let mut timestamp = record.timestamp;
        // Java hands on what an aggregate starts with as the value before its first one.
        let mut started = None;
        let updated = self.store.borrow_mut().update(
            &key,
            self.output.old(),
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
                        let start = (self.initializer)();
                        if self.output.old() == Old::Sent {
                            started.clone_from(&start);
                        }
                        start
                    }
                };
                let value = (self.aggregator)(&key, Some(value), so_far).map_err(|undone| undone.stamped(stamp))?;
                Ok(value.map(|value| Stamped { value, timestamp }))
            },
        )?;
        let Some(updated) = updated else { return self.output.make_room(context) };
        let (new, old) = (updated.new.map(|new| new.value), updated.old.map(|old| old.value).or(started));
        let value = Some(Change::latest(new, old));
        self.output.forward(Record { key: Some(key), value, timestamp, headers: record.headers }, context)
    }
}

/// KStreamAggregate and KStreamReduce over a store with a history. An aggregate is never older than the one before it: a late
/// value is added to the latest one.
struct RunningVersions<K, V, A> {
    initializer: Initializer<A>,
    aggregator: Aggregator<K, V, A>,
    versions: Versions<K, A>,
}

impl<K: Data, V: Data, A: Data> Process<K, V> for RunningVersions<K, V, A> {
    fn process(&mut self, mut record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let (Some(key), Some(value)) = (record.key.take(), record.value.take()) else {
            context.drop_record();
            return Ok(());
        };
        let (so_far, timestamp) = match self.versions.get(&key)? {
            Some(before) => (Some(before.value), record.timestamp.max(before.timestamp)),
            None => ((self.initializer)(), record.timestamp),
        };
        let old = if self.versions.old() == Old::Sent { so_far.clone() } else { None };
        let value = (self.aggregator)(&key, Some(value), so_far).map_err(|undone| undone.failure)?;
        self.versions.put(Record { key: Some(key), value, timestamp, headers: record.headers }, old, context)
    }
}
