//! `KTable`: the latest value of each key, and what can be made of it.
//! Called by applications. Joins stand in `table_join` and `foreign_key_join`. Never keeps rows unless something needs them.

use std::marker::PhantomData;
use std::sync::Arc;

use super::Flow;
use super::materialized::{Materialized, Origin};
use super::options::Grouped;
use super::stream::KStream;
use super::suppressed::{Suppressed, Until};
use crate::error::TopologyError;
use crate::graph::repartition::{AskedBy, Edge, Repartition};
use crate::graph::table::{Force, TableId, View};
use crate::graph::{Kind, NodeId, Step, Traits};
use crate::op::aggregate::Initializer;
use crate::op::getter::Getter;
use crate::op::stateless::stateless;
use crate::op::suppress::Suppress;
use crate::op::table::{RowFunction, RowSelector, SelectRows, Transform, TransformRows};
use crate::op::table_aggregate::{ChangeTopic, RowAggregator, TableAggregation};
use crate::op::transform::{self, MakeTransformer, TransformValues, ValueTransformerWithKey};
use crate::record::{Change, Data, Record};
use crate::serde::SharedSerde;
use crate::store::SuppressStore;
use crate::store::token::Connect;
use crate::task::errors::{BoxError, Failure};
use crate::task::outcome::{Outcome, Update, told, update};
use crate::topology::processor::{Children, Context};
use crate::topology::store::{Store, StoreKind, StoreMaker};

/// A table with keys `K` and values `V`.
///
/// ```
/// use streams::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let cities: KTable<String, String> = builder.table("cities", ());
/// // How many people live in each city: a move takes one out of the old city and puts one into the new one.
/// let people = cities.group_by(|person, city| (city.clone(), person.clone()), ()).count("people");
/// people.filter(|_, count| *count > 1, ()).to_stream().to("crowded");
///
/// let config = StreamsConfig::new("app", "localhost:9092").set("statestore.cache.max.bytes", 0);
/// let mut driver = TopologyTestDriver::new(&builder.build()?, config)?;
/// let input = driver.input::<String, String>("cities");
/// for (person, city) in [("ann", "Rome"), ("bob", "Rome"), ("ann", "Oslo")] {
///     input.pipe(&mut driver, person, city, 0)?;
/// }
/// let crowded = driver.output::<String, i64>("crowded").read(&mut driver);
/// assert_eq!(crowded, [(Some("Rome".to_owned()), Some(2)), (Some("Rome".to_owned()), None)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KTable<K, V> {
    pub(crate) flow: Flow,
    pub(crate) table: TableId,
    pub(crate) key: Option<SharedSerde<K>>,
    pub(crate) value: Option<SharedSerde<V>>,
    /// How a task finds its values.
    pub(crate) getter: Getter<K, V>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> KTable<K, V> {
        KTable {
            flow: self.flow.clone(),
            table: self.table,
            key: self.key.clone(),
            value: self.value.clone(),
            getter: self.getter.clone(),
        }
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// The same table, whose next operator gets this name (Java's `Named`).
    pub fn named(&self, name: &str) -> KTable<K, V> {
        KTable { flow: self.flow.named(name), ..self.clone() }
    }

    /// The changes as a stream; a deletion is a null.
    pub fn to_stream(&self) -> KStream<K, V> {
        let operator = stateless(
            "to stream",
            |mut record: Record<K, Change<V>>, next: &mut Children<K, V>, context: &mut Context| {
                let value = record.value.take().and_then(|change| change.new);
                next.forward(record.with_value(value), context)
            },
        );
        let flow = self.flow.named_step(None, "KTABLE-TOSTREAM-", operator, Traits::default());
        KStream { flow, key: self.key.clone(), value: self.value.clone() }
    }

    /// The changes as a stream with another key for each; a deletion is a null, and has a key too.
    pub fn to_stream_by<L: Data>(
        &self,
        select: impl Fn(Option<&K>, Option<&V>) -> Option<L> + Send + Sync + 'static,
    ) -> KStream<L, V> {
        self.to_stream().select_key_nullable(select)
    }

    /// The rows that the predicate holds for; the others are deleted from the result.
    pub fn filter<R: Outcome<bool>>(
        &self,
        keep: impl Fn(&K, &V) -> R + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, V>>,
    ) -> KTable<K, V> {
        self.filtered(move |key, value| keep(key, value).outcome(), materialized.into())
    }

    fn filtered(
        &self,
        keep: impl Fn(&K, &V) -> Result<bool, Failure> + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        let value = materialized.value.clone().or(self.value.clone());
        let row = move |key: &K, value: &V| Ok(keep(key, value)?.then(|| value.clone()));
        KTable { value, ..self.transform("KTABLE-FILTER-", Transform::Filter, Arc::new(row), &materialized) }
    }

    /// The rows that the predicate does not hold for.
    pub fn filter_not<R: Outcome<bool>>(
        &self,
        drop: impl Fn(&K, &V) -> R + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, V>>,
    ) -> KTable<K, V> {
        self.filtered(move |key, value| Ok(!drop(key, value).outcome()?), materialized.into())
    }

    /// Another value for each row.
    pub fn map_values<W: Data>(
        &self,
        map: impl Fn(&V) -> W + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, W>>,
    ) -> KTable<K, W> {
        self.mapped(move |_: &K, value: &V| Ok(Some(map(value))), materialized.into())
    }

    /// Another value for each row, of a closure that sees the key too.
    pub fn map_values_with_key<W: Data>(
        &self,
        map: impl Fn(&K, &V) -> W + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, W>>,
    ) -> KTable<K, W> {
        self.mapped(move |key: &K, value: &V| Ok(Some(map(key, value))), materialized.into())
    }

    /// Another value for each row, or an error, about which the processing handler decides.
    pub fn try_map_values<W: Data, E: Into<BoxError>>(
        &self,
        map: impl Fn(&K, &V) -> Result<W, E> + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, W>>,
    ) -> KTable<K, W> {
        self.mapped(move |key: &K, value: &V| told(map(key, value).map(Some)), materialized.into())
    }

    fn mapped<W: Data>(
        &self,
        row: impl Fn(&K, &V) -> Result<Option<W>, Failure> + Send + Sync + 'static,
        materialized: Materialized<K, W>,
    ) -> KTable<K, W> {
        self.transform("KTABLE-MAPVALUES-", Transform::Map, Arc::new(row), &materialized)
    }

    /// Another value for each row, deletions among them, of an object of the user that works on these stores: `()`, tokens of
    /// `add_store`, or names (`KTable.transformValues`).
    pub fn transform_values<T: ValueTransformerWithKey<Key = K, In = V>>(
        &self,
        stores: impl Connect,
        make: impl Fn() -> T + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, T::Out>>,
    ) -> KTable<K, T::Out> {
        let materialized = materialized.into();
        let mut graph = self.flow.graph();
        let name = graph.name_or(self.flow.given.as_deref(), "KTABLE-TRANSFORMVALUES-");
        let connected = graph.names_of(&name, &stores.ids());
        let with_serdes = materialized.clone().or_serdes(&self.key, &None);
        let store = materialized.name.clone().map(|name| with_serdes.named_store(name, StoreKind::KeyValue));
        let kept = store.as_ref().map(|store| store.name.clone());
        let make: MakeTransformer<T> = Arc::new(make);
        let getter = match &kept {
            Some(store) => Getter::of_store(store),
            None => transform::getter(&self.getter, &make, connected.clone()),
        };
        let table = graph.add_table(View::Derived { parent: self.table, store: kept.clone() });
        drop(graph);
        let operator = TransformValues { make, connected: connected.clone(), store: kept };
        let is_given = materialized.origin == Origin::Given;
        let traits = Traits { versioned: is_given.then(|| materialized.is_versioned()), ..Traits::default() };
        let step = Step::new(name, Arc::new(operator)).owning(store.into_iter().collect()).connecting(connected);
        KTable {
            flow: self.flow.step(step.table(table), traits),
            table,
            key: with_serdes.key,
            value: materialized.value,
            getter,
        }
    }

    /// KTableImpl.doFilter and doMapValues: a Materialized without a name uses up a number, but keeps nothing.
    fn transform<W: Data>(
        &self,
        prefix: &str,
        transform: Transform,
        row: RowFunction<K, V, W>,
        materialized: &Materialized<K, W>,
    ) -> KTable<K, W> {
        let mut graph = self.flow.graph();
        let given = materialized.origin == Origin::Given;
        if given && materialized.name.is_none() {
            graph.new_store_name(prefix);
        }
        let with_serdes = materialized.clone().or_serdes(&self.key, &None);
        let store = materialized.name.clone().map(|name| with_serdes.named_store(name, StoreKind::KeyValue));
        let name = graph.name_or(self.flow.given.as_deref(), prefix);
        // KTableFilter asks its parent at once, but does not make it keep its rows.
        let sends_old = transform == Transform::Filter && graph.send_old_values(self.table, Force::OnlyIfMaterialized);
        let kept = store.as_ref().map(|store| store.name.clone());
        let getter = match &kept {
            Some(store) => Getter::of_store(store),
            None => Getter::transformed(&self.getter, Arc::clone(&row)),
        };
        let table = graph.add_table(View::Derived { parent: self.table, store: kept.clone() });
        graph.set_sends_old(table, sends_old);
        drop(graph);
        let operator = TransformRows { function: row, transform, store: kept };
        let traits = Traits { versioned: given.then(|| materialized.is_versioned()), ..Traits::default() };
        let step = Step::new(name, Arc::new(operator)).owning(store.into_iter().collect()).table(table);
        KTable {
            flow: self.flow.step(step, traits),
            table,
            key: self.key.clone(),
            value: materialized.value.clone(),
            getter,
        }
    }

    /// Holds changes back.
    pub fn suppress<U: Until<K>>(&self, how: Suppressed<U>) -> KTable<K, V> {
        let mut graph = self.flow.graph();
        let (name, store) = match &how.name {
            Some(name) => (graph.checked(name), format!("{name}-store")),
            None => (graph.new_name("KTABLE-SUPPRESS-"), graph.new_store_name("KTABLE-SUPPRESS-")),
        };
        let wait = how.until.limit_ms().map_or_else(|| graph.find_grace(self.flow.node), Ok);
        let wait_ms = wait.unwrap_or_else(|error| {
            graph.fail(error);
            0
        });
        if graph.is_versioned(self.flow.node) {
            graph.fail(TopologyError::SuppressOfVersioned(name.clone()));
        }
        graph.send_old_values(self.table, Force::Materialize);
        let table = graph.add_table(View::Suppress { parent: self.table, store: store.clone() });
        let window_end = how.until.window_end();
        let operator =
            Suppress::<K, V> { buffer: how.buffer, wait_ms, window_end, store: store.clone(), types: PhantomData };
        let getter = Getter::suppressed(&self.getter, &store);
        let (key, value) = (self.key.clone(), self.value.clone());
        let maker = StoreMaker::new(move |parts| SuppressStore::<K, V>::table(parts, &key, &value));
        let store = Store::new(store, StoreKind::Buffer).uncached().made_by(maker);
        let step = Step::new(name.clone(), Arc::new(operator)).owning(vec![store]);
        let traits = Traits { versioned: Some(false), ..Traits::default() };
        let node = graph.add(&[self.flow.node], name.clone(), Kind::Suppress(step), traits);
        drop(graph);
        let flow = Flow::new(&self.flow.graph, node, name, vec![self.flow.name.clone()]);
        KTable { flow, table, getter, ..self.clone() }
    }

    /// Groups the rows by another key; old and new value of a row go together.
    pub fn group_by<L: Data + PartialEq, W: Data, R: Outcome<(L, W)>>(
        &self,
        select: impl Fn(&K, &V) -> R + Send + Sync + 'static,
        grouped: impl Into<Grouped<L, W>>,
    ) -> KGroupedTable<L, W> {
        let some = |(key, value)| (Some(key), Some(value));
        self.grouped(Arc::new(move |key, value| select(key, value).outcome().map(some)), grouped.into())
    }

    /// The same, where a row may have no other key or value: it is left out then.
    pub fn group_by_nullable<L: Data + PartialEq, W: Data, R: Outcome<(Option<L>, Option<W>)>>(
        &self,
        select: impl Fn(&K, &V) -> R + Send + Sync + 'static,
        grouped: impl Into<Grouped<L, W>>,
    ) -> KGroupedTable<L, W> {
        self.grouped(Arc::new(move |key, value| select(key, value).outcome()), grouped.into())
    }

    fn grouped<L: Data + PartialEq, W: Data>(
        &self,
        function: RowSelector<K, V, L, W>,
        grouped: Grouped<L, W>,
    ) -> KGroupedTable<L, W> {
        let operator = Arc::new(SelectRows { function });
        let flow = self.flow.named_step(grouped.name.as_deref(), "KTABLE-SELECT-", operator, Traits::default());
        self.flow.graph().send_old_values(self.table, Force::Materialize);
        KGroupedTable { flow, topic: grouped.name, key: grouped.key, value: grouped.value }
    }
}

/// How rows go in and out of an aggregate.
struct Rows<K, V, A> {
    adder: RowAggregator<K, V, A>,
    subtractor: RowAggregator<K, V, A>,
    fallible: bool,
}

/// A table's rows, grouped by another key.
pub struct KGroupedTable<K, V> {
    flow: Flow,
    topic: Option<String>,
    key: Option<SharedSerde<K>>,
    value: Option<SharedSerde<V>>,
}

impl<K: Data, V: Data> KGroupedTable<K, V> {
    /// The same group, whose aggregate's nodes get this name (Java's `Named`).
    pub fn named(self, name: &str) -> KGroupedTable<K, V> {
        KGroupedTable { flow: self.flow.named(name), ..self }
    }

    /// How many rows each group has.
    pub fn count(&self, materialized: impl Into<Materialized<K, i64>>) -> KTable<K, i64> {
        let adder: RowAggregator<K, V, i64> = Arc::new(|_, _, count| Ok(Some(count.unwrap_or(0) + 1)));
        let subtractor: RowAggregator<K, V, i64> = Arc::new(|_, _, count| Ok(Some(count.unwrap_or(0) - 1)));
        let parts = Rows { adder, subtractor, fallible: false };
        self.aggregated("KTABLE-AGGREGATE-", Arc::new(|| Some(0)), parts, materialized.into())
    }

    /// One value a group: `add` takes a row in, `subtract` takes one out; None deletes it.
    pub fn reduce<R: Update<V>, S: Update<V>>(
        &self,
        add: impl Fn(V, V) -> R + Send + Sync + 'static,
        subtract: impl Fn(V, V) -> S + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, V>>,
    ) -> KTable<K, V> {
        let adder: RowAggregator<K, V, V> = Arc::new(move |_, value, so_far| match so_far {
            Some(so_far) => update(so_far, |so_far| add(so_far, value)),
            None => Ok(Some(value)),
        });
        let subtractor: RowAggregator<K, V, V> = Arc::new(move |_, value, so_far| match so_far {
            Some(so_far) => update(so_far, |so_far| subtract(so_far, value)),
            None => Ok(None),
        });
        let parts = Rows { adder, subtractor, fallible: R::FALLIBLE || S::FALLIBLE };
        self.aggregated("KTABLE-REDUCE-", Arc::new(|| None), parts, materialized.into())
    }

    /// One aggregate a group: `add` takes a row in, `subtract` takes one out; None deletes it.
    pub fn aggregate<A: Data, R: Update<A>, S: Update<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> R + Send + Sync + 'static,
        subtract: impl Fn(&K, V, A) -> S + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, A>>,
    ) -> KTable<K, A> {
        let initial = Arc::new(initial);
        let start = Arc::clone(&initial);
        let adder: RowAggregator<K, V, A> = Arc::new(move |key, value, so_far| {
            update(so_far.unwrap_or_else(|| initial()), |so_far| add(key, value, so_far))
        });
        let subtractor: RowAggregator<K, V, A> = Arc::new(move |key, value, so_far| match so_far {
            Some(so_far) => update(so_far, |so_far| subtract(key, value, so_far)),
            None => Ok(None),
        });
        let parts = Rows { adder, subtractor, fallible: R::FALLIBLE || S::FALLIBLE };
        self.aggregated("KTABLE-AGGREGATE-", Arc::new(move || Some(start())), parts, materialized.into())
    }

    /// KGroupedTableImpl.doAggregate: the store's number, then sink, source and processor.
    fn aggregated<A: Data>(
        &self,
        prefix: &str,
        initializer: Initializer<A>,
        rows: Rows<K, V, A>,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let materialized = materialized.or_serdes(&self.key, &None);
        let mut graph = self.flow.graph();
        let store = materialized.store(&mut graph, "KTABLE-AGGREGATE-", StoreKind::KeyValue);
        let given = self.flow.given.as_deref();
        let sink = graph.suffixed_or(given, "-sink", "KSTREAM-SINK-");
        let source = graph.suffixed_or(given, "-source", "KSTREAM-SOURCE-");
        let name = graph.name_or(given, prefix);
        let topic = format!("{}-repartition", self.topic.as_deref().unwrap_or(&store.name));
        drop(graph);
        let parent = self.repartition(topic, sink, source.clone());
        let mut graph = self.flow.graph();
        let table = graph.add_table(View::Aggregate { store: store.name.clone() });
        let getter = Getter::of_store(&store.name);
        let Rows { adder, subtractor, fallible } = rows;
        let operator = TableAggregation { initializer, adder, subtractor, fallible, store: store.name.clone() };
        let step = Step::new(name.clone(), Arc::new(operator)).owning(vec![store]).table(table);
        let traits = Traits { versioned: Some(materialized.is_versioned()), ..Traits::default() };
        let node = graph.add(&[parent], name.clone(), Kind::Processor(step), traits);
        drop(graph);
        let key = materialized.key.or(self.key.clone());
        KTable {
            flow: Flow::new(&self.flow.graph, node, name, vec![source]),
            table,
            key,
            value: materialized.value,
            getter,
        }
    }

    fn repartition(&self, topic: String, sink: String, source: String) -> NodeId {
        // The topic carries old and new value together; there is no filter, as rows without a group were left out.
        let topic_end = Arc::new(ChangeTopic { key: self.key.clone(), value: self.value.clone() });
        let edge = Edge {
            writer: topic_end.clone(),
            reader: topic_end,
            ..super::repartition_edge(self.key.clone(), self.value.clone(), None)
        };
        let mut graph = self.flow.graph();
        let node = graph.repartition_node(Repartition {
            topic,
            sink,
            source,
            filter: None,
            asked_by: AskedBy::TableGroup,
            edge,
        });
        graph.attach(self.flow.node, node);
        node
    }
}
