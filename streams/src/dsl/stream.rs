//! `KStream`: a stream of records and what can be made of it.
//! Called by applications. Joins stand in `stream_join`, splitting in `branched`.
//!
//! A closure sees a value that is there; what happens to a null is said at each call, and `_nullable` calls see it too.
//! A key is given as `Option`, since any topic may hold records without one.
//! A closure whose answer has a type that is known (filter, peek, reduce, joins) may answer a `Result` of it; one that makes
//! the next key or value has a sibling `try_`.

use std::fmt;
use std::sync::Arc;

use super::branched::BranchedKStream;
use super::grouped::KGroupedStream;
use super::materialized::Materialized;
use super::options::{Grouped, Named, Produced, Repartitioned};
use super::table::KTable;
use super::{Flow, asked_by_operator, repartition_edge};
use crate::graph::repartition::AskedBy;
use crate::graph::table::View;
use crate::graph::{Kind, Step, Traits};
use crate::op::custom::{Processor, custom};
use crate::op::edge::Sink;
use crate::op::getter::Getter;
use crate::op::stateless::{pass, stateless};
use crate::op::table::KeepTable;
use crate::record::{Data, Record};
use crate::serde::{DefaultSerde, SharedSerde};
use crate::store::token::{Connect, StoreId};
use crate::task::errors::BoxError;
use crate::task::outcome::{Outcome, told};
use crate::topology::SinkTarget;
use crate::topology::processor::{Children, Context, Failure, Operator, ProcessResult};
use crate::topology::store::StoreKind;

/// A stream of records with keys `K` and values `V`.
///
/// ```
/// use streams::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let lines: KStream<String, String> = builder.stream("lines");
/// let words = lines.flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
/// let branches = words.split("by-").branch(|_, word| word.is_some_and(|word| word.len() > 3), "length").default_branch("rest");
/// branches["by-length"].select_key(|_, word| word.len() as i64).to("long-words");
/// branches["rest"].filter(|_, word| !word.is_empty()).to("short-words");
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Sink: KSTREAM-SINK-0000000008 (topic: short-words)"), "{}", topology.describe());
/// # Ok::<(), streams::TopologyError>(())
/// ```
pub struct KStream<K, V> {
    pub(crate) flow: Flow,
    pub(crate) key: Option<SharedSerde<K>>,
    pub(crate) value: Option<SharedSerde<V>>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> KStream<K, V> {
        KStream { flow: self.flow.clone(), key: self.key.clone(), value: self.value.clone() }
    }
}

const VALUE_CHANGES: Traits = Traits {
    changes_key: false,
    changes_value: true,
    merges: false,
    takes_null_key: false,
    versioned: None,
    grace_ms: None,
};
const KEY_CHANGES: Traits = Traits { changes_key: true, changes_value: false, ..VALUE_CHANGES };

impl<K: Data, V: Data> KStream<K, V> {
    /// The same stream, whose next operator gets this name (Java's `Named`).
    pub fn named(&self, name: &str) -> KStream<K, V> {
        self.same(self.flow.named(name))
    }

    fn same(&self, flow: Flow) -> KStream<K, V> {
        KStream { flow, key: self.key.clone(), value: self.value.clone() }
    }

    fn step(&self, prefix: &str, operator: Arc<dyn Operator>, traits: Traits) -> Flow {
        self.flow.named_step(None, prefix, operator, traits)
    }

    /// Keeps the records that the predicate holds for; a null value is left out.
    pub fn filter<R: Outcome<bool>>(
        &self,
        keep: impl Fn(Option<&K>, &V) -> R + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.filtered(move |key, value| value.map_or(Ok(false), |value| keep(key, value).outcome()))
    }

    /// Leaves out the records that the predicate holds for; a null value stays.
    pub fn filter_not<R: Outcome<bool>>(
        &self,
        drop: impl Fn(Option<&K>, &V) -> R + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.filtered(move |key, value| Ok(!value.map_or(Ok(false), |value| drop(key, value).outcome())?))
    }

    /// Keeps the records that the predicate holds for, tombstones among them.
    pub fn filter_nullable<R: Outcome<bool>>(
        &self,
        keep: impl Fn(Option<&K>, Option<&V>) -> R + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.filtered(move |key, value| keep(key, value).outcome())
    }

    fn filtered(
        &self,
        keep: impl Fn(Option<&K>, Option<&V>) -> Result<bool, Failure> + Send + Sync + 'static,
    ) -> KStream<K, V> {
        let operator =
            stateless("filter", move |record: Record<K, V>, next: &mut Children<K, V>, context: &mut Context| {
                if keep(record.key.as_ref(), record.value.as_ref())? { next.forward(record, context) } else { Ok(()) }
            });
        self.same(self.step("KSTREAM-FILTER-", operator, Traits::default()))
    }

    /// Another value for each; null stays null. A `Result` would be the value: a closure that may fail is for
    /// [`try_map_values`](KStream::try_map_values), while those of `filter`, `for_each`, `reduce` and joins may answer with either.
    pub fn map_values<W: Data>(&self, map: impl Fn(V) -> W + Send + Sync + 'static) -> KStream<K, W> {
        self.mapped(move |_, value| Ok(value.map(&map)))
    }

    /// Another value for each, of a closure that sees the key too.
    pub fn map_values_with_key<W: Data>(
        &self,
        map: impl Fn(Option<&K>, V) -> W + Send + Sync + 'static,
    ) -> KStream<K, W> {
        self.mapped(move |key, value| Ok(value.map(|value| map(key, value))))
    }

    /// Another value for each, tombstones among them.
    pub fn map_values_nullable<W: Data>(
        &self,
        map: impl Fn(Option<V>) -> Option<W> + Send + Sync + 'static,
    ) -> KStream<K, W> {
        self.mapped(move |_, value| Ok(map(value)))
    }

    /// Another value for each, or an error, about which the processing handler decides; null stays null.
    pub fn try_map_values<W: Data, E: Into<BoxError>>(
        &self,
        map: impl Fn(V) -> Result<W, E> + Send + Sync + 'static,
    ) -> KStream<K, W> {
        self.mapped(move |_, value| told(value.map(&map).transpose()))
    }

    /// The same, tombstones among them.
    pub fn try_map_values_nullable<W: Data, E: Into<BoxError>>(
        &self,
        map: impl Fn(Option<V>) -> Result<Option<W>, E> + Send + Sync + 'static,
    ) -> KStream<K, W> {
        self.mapped(move |_, value| told(map(value)))
    }

    fn mapped<W: Data>(
        &self,
        map: impl Fn(Option<&K>, Option<V>) -> Result<Option<W>, Failure> + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let operator = stateless(
            "map values",
            move |mut record: Record<K, V>, next: &mut Children<K, W>, context: &mut Context| {
                let value = record.value.take();
                let value = map(record.key.as_ref(), value)?;
                next.forward(record.with_value(value), context)
            },
        );
        KStream { flow: self.step("KSTREAM-MAPVALUES-", operator, VALUE_CHANGES), key: self.key.clone(), value: None }
    }

    /// Any number of values for each; none for a null.
    pub fn flat_map_values<I>(&self, map: impl Fn(V) -> I + Send + Sync + 'static) -> KStream<K, I::Item>
    where
        I: IntoIterator + 'static,
        I::Item: Data,
    {
        self.flat_mapped_values(move |_, value| Ok(map(value)))
    }

    /// Any number of values for each, of a closure that sees the key too.
    pub fn flat_map_values_with_key<I>(
        &self,
        map: impl Fn(Option<&K>, V) -> I + Send + Sync + 'static,
    ) -> KStream<K, I::Item>
    where
        I: IntoIterator + 'static,
        I::Item: Data,
    {
        self.flat_mapped_values(move |key, value| Ok(map(key, value)))
    }

    /// Any number of values for each, or an error, about which the processing handler decides.
    pub fn try_flat_map_values<I, E: Into<BoxError>>(
        &self,
        map: impl Fn(V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<K, I::Item>
    where
        I: IntoIterator + 'static,
        I::Item: Data,
    {
        self.flat_mapped_values(move |_, value| told(map(value)))
    }

    fn flat_mapped_values<I>(
        &self,
        map: impl Fn(Option<&K>, V) -> Result<I, Failure> + Send + Sync + 'static,
    ) -> KStream<K, I::Item>
    where
        I: IntoIterator + 'static,
        I::Item: Data,
    {
        let operator = stateless(
            "flat map values",
            move |mut record: Record<K, V>, next: &mut Children<K, I::Item>, context: &mut Context| {
                let Some(value) = record.value.take() else { return Ok(()) };
                let items = map(record.key.as_ref(), value)?;
                let rest = record.with_value(None);
                let records = |rest: Record<K, I::Item>, value| Record { value: Some(value), ..rest };
                each(items, rest, records, next, context)
            },
        );
        KStream {
            flow: self.step("KSTREAM-FLATMAPVALUES-", operator, VALUE_CHANGES),
            key: self.key.clone(),
            value: None,
        }
    }

    /// Another key and value for each; a null value is left out. A closure that may fail is for [`try_map`](KStream::try_map).
    pub fn map<L: Data, W: Data>(&self, map: impl Fn(Option<K>, V) -> (L, W) + Send + Sync + 'static) -> KStream<L, W> {
        self.mapped_pairs(move |key, value| Ok(value.map(|value| given(map(key, value)))))
    }

    /// Another key and value for each, tombstones among them.
    pub fn map_nullable<L: Data, W: Data>(
        &self,
        map: impl Fn(Option<K>, Option<V>) -> (Option<L>, Option<W>) + Send + Sync + 'static,
    ) -> KStream<L, W> {
        self.mapped_pairs(move |key, value| Ok(Some(map(key, value))))
    }

    /// Another key and value for each, or an error, about which the processing handler decides.
    pub fn try_map<L: Data, W: Data, E: Into<BoxError>>(
        &self,
        map: impl Fn(Option<K>, V) -> Result<(L, W), E> + Send + Sync + 'static,
    ) -> KStream<L, W> {
        self.mapped_pairs(move |key, value| told(value.map(|value| map(key, value).map(given)).transpose()))
    }

    fn mapped_pairs<L: Data, W: Data>(
        &self,
        map: impl Fn(Option<K>, Option<V>) -> Result<Option<(Option<L>, Option<W>)>, Failure> + Send + Sync + 'static,
    ) -> KStream<L, W> {
        let operator =
            stateless("map", move |mut record: Record<K, V>, next: &mut Children<L, W>, context: &mut Context| {
                match map(record.key.take(), record.value.take())? {
                    Some((key, value)) => next.forward(record.with_pair(key, value), context),
                    None => Ok(()),
                }
            });
        KStream { flow: self.step("KSTREAM-MAP-", operator, KEY_CHANGES), key: None, value: None }
    }

    /// Any number of keys and values for each; none for a null value.
    pub fn flat_map<L: Data, W: Data, I>(
        &self,
        map: impl Fn(Option<K>, V) -> I + Send + Sync + 'static,
    ) -> KStream<L, W>
    where
        I: IntoIterator<Item = (L, W)> + 'static,
    {
        self.flat_mapped(move |key, value| Ok(value.map(|value| map(key, value)).into_iter().flatten().map(given)))
    }

    /// Any number of keys and values for each, tombstones among them; either may be missing.
    pub fn flat_map_nullable<L: Data, W: Data, I>(
        &self,
        map: impl Fn(Option<K>, Option<V>) -> I + Send + Sync + 'static,
    ) -> KStream<L, W>
    where
        I: IntoIterator<Item = (Option<L>, Option<W>)> + 'static,
    {
        self.flat_mapped(move |key, value| Ok(map(key, value)))
    }

    /// Any number of keys and values for each, or an error, about which the processing handler decides.
    pub fn try_flat_map<L: Data, W: Data, I, E: Into<BoxError>>(
        &self,
        map: impl Fn(Option<K>, V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<L, W>
    where
        I: IntoIterator<Item = (L, W)> + 'static,
    {
        self.flat_mapped(move |key, value| {
            let items = told(value.map(|value| map(key, value)).transpose())?;
            Ok(items.into_iter().flatten().map(given))
        })
    }

    fn flat_mapped<L: Data, W: Data, I>(
        &self,
        map: impl Fn(Option<K>, Option<V>) -> Result<I, Failure> + Send + Sync + 'static,
    ) -> KStream<L, W>
    where
        I: IntoIterator<Item = (Option<L>, Option<W>)> + 'static,
    {
        let operator =
            stateless("flat map", move |mut record: Record<K, V>, next: &mut Children<L, W>, context: &mut Context| {
                let pairs = map(record.key.take(), record.value.take())?;
                let rest: Record<L, W> = record.with_pair(None, None);
                let records = |rest: Record<L, W>, (key, value)| Record { key, value, ..rest };
                each(pairs, rest, records, next, context)
            });
        KStream { flow: self.step("KSTREAM-FLATMAP-", operator, KEY_CHANGES), key: None, value: None }
    }

    /// Another key for each; a record with a null value gets none.
    pub fn select_key<L: Data>(&self, select: impl Fn(Option<&K>, &V) -> L + Send + Sync + 'static) -> KStream<L, V> {
        self.select_key_nullable(move |key, value| value.map(|value| select(key, value)))
    }

    /// Another key for each, tombstones among them.
    pub fn select_key_nullable<L: Data>(
        &self,
        select: impl Fn(Option<&K>, Option<&V>) -> Option<L> + Send + Sync + 'static,
    ) -> KStream<L, V> {
        let flow = self.keyed(None, move |key, value| Ok(select(key, value)));
        KStream { flow, key: None, value: self.value.clone() }
    }

    /// Another key for each, or an error, about which the processing handler decides.
    pub fn try_select_key<L: Data, E: Into<BoxError>>(
        &self,
        select: impl Fn(Option<&K>, &V) -> Result<L, E> + Send + Sync + 'static,
    ) -> KStream<L, V> {
        let select = move |key: Option<&K>, value: Option<&V>| told(value.map(|value| select(key, value)).transpose());
        KStream { flow: self.keyed(None, select), key: None, value: self.value.clone() }
    }

    fn keyed<L: Data>(
        &self,
        given: Option<&str>,
        select: impl Fn(Option<&K>, Option<&V>) -> Result<Option<L>, Failure> + Send + Sync + 'static,
    ) -> Flow {
        let operator =
            stateless("select key", move |record: Record<K, V>, next: &mut Children<L, V>, context: &mut Context| {
                let key = select(record.key.as_ref(), record.value.as_ref())?;
                let Record { value, timestamp, headers, .. } = record;
                next.forward(Record { key, value, timestamp, headers }, context)
            });
        self.flow.named_step(given, "KSTREAM-KEY-SELECT-", operator, KEY_CHANGES)
    }

    /// Shows each record to a closure.
    pub fn peek<R: Outcome<()>>(
        &self,
        show: impl Fn(Option<&K>, Option<&V>) -> R + Send + Sync + 'static,
    ) -> KStream<K, V> {
        let operator =
            stateless("peek", move |record: Record<K, V>, next: &mut Children<K, V>, context: &mut Context| {
                show(record.key.as_ref(), record.value.as_ref()).outcome()?;
                next.forward(record, context)
            });
        self.same(self.step("KSTREAM-PEEK-", operator, Traits::default()))
    }

    /// Prints each record to standard output as `[label]: key, value`, and ends the stream.
    pub fn print(&self, label: &str)
    where
        K: fmt::Debug,
        V: fmt::Debug,
    {
        let label = label.to_owned();
        let operator =
            stateless("print", move |record: Record<K, V>, _next: &mut Children<K, V>, _context: &mut Context| {
                println!("[{label}]: {}, {}", shown(record.key.as_ref()), shown(record.value.as_ref()));
                Ok(())
            });
        self.step("KSTREAM-PRINTER-", operator, Traits::default());
    }

    /// Gives each record to a closure, and ends the stream.
    pub fn for_each<R: Outcome<()>>(&self, take: impl Fn(Option<K>, Option<V>) -> R + Send + Sync + 'static) {
        let operator =
            stateless("for each", move |record: Record<K, V>, _next: &mut Children<K, V>, _context: &mut Context| {
                take(record.key, record.value).outcome()
            });
        self.step("KSTREAM-FOREACH-", operator, Traits::default());
    }

    /// This stream and the other one as one; records of both keep their own order.
    pub fn merge(&self, other: &KStream<K, V>) -> KStream<K, V> {
        let mut graph = self.flow.graph();
        let name = graph.name_or(self.flow.given.as_deref(), "KSTREAM-MERGE-");
        let traits = Traits { merges: true, ..Traits::default() };
        let step = Step::new(name.clone(), pass::<K, V>("merge"));
        let node = graph.add(&[self.flow.node, other.flow.node], name.clone(), Kind::Processor(step), traits);
        drop(graph);
        let mut sources = self.flow.sources.clone();
        sources.extend(other.flow.sources.iter().filter(|source| !self.flow.sources.contains(source)).cloned());
        let flow = Flow::new(&self.flow.graph, node, name, sources).rekeyed(self.flow.rekeyed || other.flow.rekeyed);
        KStream { flow, key: None, value: None }
    }

    /// Splits the stream by predicates, tried in turn; the name starts those of the branches.
    pub fn split(&self, named: impl Into<Named>) -> BranchedKStream<K, V> {
        BranchedKStream::new(self, named.into())
    }

    /// Sends all records through a topic of the application, by key.
    pub fn repartition(&self, repartitioned: impl Into<Repartitioned<K, V>>) -> KStream<K, V> {
        let given = repartitioned.into();
        let (key, value) = (given.key.or(self.key.clone()), given.value.or(self.value.clone()));
        let edge = repartition_edge(key.clone(), value.clone(), given.partitioner);
        let mut graph = self.flow.graph();
        let name = match &given.name {
            Some(name) => graph.checked(name),
            None => graph.new_name("KSTREAM-REPARTITION-"),
        };
        let repartition = graph.repartition(&name, AskedBy::User(given.partitions), edge);
        let source = repartition.source.clone();
        let node = graph.repartition_node(repartition);
        graph.attach(self.flow.node, node);
        drop(graph);
        KStream { flow: Flow::new(&self.flow.graph, node, source.clone(), vec![source]), key, value }
    }

    /// Writes the stream to a topic, with the serdes that came along or else those of its types
    /// ([`StreamsBuilder::default_serde`](crate::StreamsBuilder::default_serde)).
    pub fn to(&self, topic: &str) {
        self.to_with(topic, ());
    }

    /// Writes the stream to a topic.
    pub fn to_with(&self, topic: &str, produced: impl Into<Produced<K, V>>) {
        self.sink(SinkTarget::Topic(topic.to_owned()), produced.into(), None);
    }

    /// Writes each record to the topic that a closure chooses; `text` stands for the closure in `describe`.
    pub fn to_chosen(
        &self,
        text: &str,
        choose: impl Fn(&Record<K, V>, &Context) -> String + Send + Sync + 'static,
        produced: impl Into<Produced<K, V>>,
    ) {
        self.sink(SinkTarget::Chosen(text.to_owned()), produced.into(), Some(Arc::new(choose)));
    }

    fn sink(&self, target: SinkTarget, produced: Produced<K, V>, chooser: Option<crate::op::edge::TopicChooser<K, V>>) {
        let (key, value) = (produced.key.or(self.key.clone()), produced.value.or(self.value.clone()));
        let operator = Arc::new(Sink { key, value, partitioner: produced.partitioner, chooser });
        let mut graph = self.flow.graph();
        let name = graph.name_or(produced.name.as_deref(), "KSTREAM-SINK-");
        graph.add(&[self.flow.node], name, Kind::Sink { target, operator }, Traits::default());
    }

    /// The latest value of each key as a table; a null deletes.
    pub fn to_table(&self, named: impl Into<Named>, materialized: impl Into<Materialized<K, V>>) -> KTable<K, V> {
        let (named, materialized) = (named.into(), materialized.into());
        let (key, value) =
            (materialized.key.clone().or(self.key.clone()), materialized.value.clone().or(self.value.clone()));
        let materialized = materialized.or_serdes(&key, &value);
        let mut graph = self.flow.graph();
        let name = graph.name_or(named.0.as_deref(), "KSTREAM-TOTABLE-");
        let store = materialized.store(&mut graph, "KSTREAM-TOTABLE-", StoreKind::KeyValue);
        let (mut parent, mut sources) = (self.flow.node, self.flow.sources.clone());
        drop(graph);
        if self.flow.rekeyed {
            let (node, source) =
                asked_by_operator(&self.flow, &name, repartition_edge(key.clone(), value.clone(), None));
            self.flow.graph().attach(parent, node);
            (parent, sources) = (node, vec![source]);
        }
        let mut graph = self.flow.graph();
        let getter = Getter::of_store(&store.name);
        let table = graph.add_table(View::Source { store, materialized: materialized.name.is_some() });
        let operator = Arc::new(KeepTable::<K, V> { types: std::marker::PhantomData });
        let step = Step::new(name.clone(), operator).owning_table(table);
        let traits = Traits { versioned: Some(materialized.is_versioned()), ..Traits::default() };
        let node = graph.add(&[parent], name.clone(), Kind::Processor(step), traits);
        drop(graph);
        let flow = Flow::new(&self.flow.graph, node, name, sources);
        KTable { flow, table, key, value, getter }
    }

    /// Groups by the key as it is.
    pub fn group_by_key(&self) -> KGroupedStream<K, V> {
        self.group_by_key_with(Grouped::unset())
    }

    /// Groups by the key as it is.
    pub fn group_by_key_with(&self, grouped: impl Into<Grouped<K, V>>) -> KGroupedStream<K, V> {
        let grouped = grouped.into();
        let (key, value) = (grouped.key.or(self.key.clone()), grouped.value.or(self.value.clone()));
        KGroupedStream::new(self.flow.clone(), grouped.name, key, value)
    }

    /// Groups by a new key; a record with a null value has none and is left out.
    pub fn group_by<L: Data + DefaultSerde>(
        &self,
        select: impl Fn(Option<&K>, &V) -> L + Send + Sync + 'static,
    ) -> KGroupedStream<L, V> {
        self.group_by_with(select, Grouped { name: None, key: Some(L::serde()), value: None })
    }

    /// Groups by a new key.
    pub fn group_by_with<L: Data>(
        &self,
        select: impl Fn(Option<&K>, &V) -> L + Send + Sync + 'static,
        grouped: impl Into<Grouped<L, V>>,
    ) -> KGroupedStream<L, V> {
        let grouped = grouped.into();
        let select = move |key: Option<&K>, value: Option<&V>| Ok(value.map(|value| select(key, value)));
        let flow = self.keyed(grouped.name.as_deref(), select);
        KGroupedStream::new(flow, grouped.name, grouped.key, grouped.value.or(self.value.clone()))
    }

    /// Runs a processor of the user, which may change the key, on these stores: `()`, tokens of `add_store`, or names.
    pub fn process<P, L: Data, W: Data>(
        &self,
        stores: impl Connect,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> KStream<L, W>
    where
        P: Processor<In = (K, V), Out = (L, W)>,
    {
        let flow = self.custom("KSTREAM-PROCESSOR-", custom(make), &stores.ids());
        KStream { flow: flow.rekeyed(true), key: None, value: None }
    }

    /// Runs a processor of the user that keeps the key, on these stores.
    pub fn process_values<P, W: Data>(
        &self,
        stores: impl Connect,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> KStream<K, W>
    where
        P: Processor<In = (K, V), Out = (K, W)>,
    {
        let flow = self.custom("KSTREAM-PROCESSVALUES-", custom(make), &stores.ids());
        KStream { flow, key: self.key.clone(), value: None }
    }

    /// A given name uses up no number here, other than elsewhere. Nor is the node marked as one that changes keys:
    /// that comes only with an internal switch of 4.x, which is off by default.
    fn custom(&self, prefix: &str, operator: Arc<dyn Operator>, stores: &[StoreId]) -> Flow {
        let mut graph = self.flow.graph();
        let name = match &self.flow.given {
            Some(name) => graph.checked(name),
            None => graph.new_name(prefix),
        };
        let connected = graph.names_of(&name, stores);
        drop(graph);
        self.flow.step(Step::new(name, operator).connecting(connected), Traits::default())
    }
}

/// A key or value for people.
fn shown(value: Option<&impl fmt::Debug>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| format!("{value:?}"))
}

/// A pair of which both are there.
fn given<L, W>((key, value): (L, W)) -> (Option<L>, Option<W>) {
    (Some(key), Some(value))
}

/// Forwards a record for each item; what they have in common is copied for all but the last.
fn each<T, L: Data, W: Data>(
    items: impl IntoIterator<Item = T>,
    common: Record<L, W>,
    record: impl Fn(Record<L, W>, T) -> Record<L, W>,
    next: &mut Children<L, W>,
    context: &mut Context,
) -> ProcessResult {
    let mut items = items.into_iter();
    let Some(mut item) = items.next() else { return Ok(()) };
    for following in items {
        next.forward(record(common.clone(), std::mem::replace(&mut item, following)), context)?;
    }
    next.forward(record(common, item), context)
}
