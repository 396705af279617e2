//! Where a topology begins: streams and tables from topics, stores for processors, and `build`.
//! Called by applications and tests. Never runs anything; `build` takes a snapshot, so handles stay usable.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::Flow;
use super::materialized::Materialized;
use super::options::{Consumed, Topics};
use super::stores::StoreBuilder;
use super::stream::KStream;
use super::table::KTable;
use crate::config::StreamsConfig;
use crate::error::TopologyError;
use crate::graph::table::View;
use crate::graph::{Graph, Kind, OffsetReset, Optimization, ROOT, Scope, Step, TableSource, Traits};
use crate::op::custom::{Key, Processor, Value, custom};
use crate::op::edge::Source;
use crate::op::getter::Getter;
use crate::op::table::KeepTable;
use crate::record::Data;
use crate::runtime::error::StreamsError as Error;
use crate::serde::{DefaultSerde, Serde, SharedSerde};
use crate::store::token::StoreRef;
use crate::task::LinkError;
use crate::topology::store::StoreKind;
use crate::topology::{SourceTopics, Topology};

/// Builds a topology; its clones build the same one.
///
/// ```
/// use streams::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, String>("in").map_values(|value| value.to_uppercase()).to("out");
/// let topology = builder.build()?;
/// let mut driver = TopologyTestDriver::new(&topology, StreamsConfig::new("app", "localhost:9092"))?;
/// driver.input::<String, String>("in").pipe(&mut driver, "key", "value", 0)?;
/// assert_eq!(driver.output::<String, String>("out").read_map(&mut driver)["key"], "VALUE");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StreamsBuilder {
    graph: Rc<RefCell<Graph>>,
}

/// A table that each instance has the whole of.
pub struct GlobalKTable<K, V> {
    /// How a task finds its values.
    pub(crate) getter: Getter<K, V>,
}

impl<K, V> Clone for GlobalKTable<K, V> {
    fn clone(&self) -> GlobalKTable<K, V> {
        GlobalKTable { getter: self.getter.clone() }
    }
}

impl Default for StreamsBuilder {
    fn default() -> StreamsBuilder {
        StreamsBuilder::new()
    }
}

impl StreamsBuilder {
    /// An empty topology.
    pub fn new() -> StreamsBuilder {
        StreamsBuilder { graph: Rc::new(RefCell::new(Graph::new())) }
    }

    /// A stream of topics, with the types' own serdes.
    pub fn stream<K: Data + DefaultSerde, V: Data + DefaultSerde>(&self, topics: impl Into<Topics>) -> KStream<K, V> {
        self.stream_with(topics, default_serdes(Consumed::unset()))
    }

    /// A stream of topics.
    pub fn stream_with<K: Data, V: Data>(
        &self,
        topics: impl Into<Topics>,
        consumed: impl Into<Consumed<K, V>>,
    ) -> KStream<K, V> {
        let consumed = consumed.into();
        let mut graph = self.graph.borrow_mut();
        let name = graph.name_or(consumed.name.as_deref(), "KSTREAM-SOURCE-");
        let topics = match topics.into() {
            Topics::Names(names) => SourceTopics::Names(names),
            Topics::Pattern(pattern) => SourceTopics::Pattern(pattern),
        };
        let operator = Source {
            key: consumed.key.clone(),
            value: consumed.value.clone(),
            timestamps: consumed.timestamps,
            policy: consumed.policy,
        };
        let kind = Kind::Source { topics, reset: consumed.reset, operator: Arc::new(operator) };
        let node = graph.add(&[ROOT], name.clone(), kind, Traits::default());
        KStream {
            flow: Flow::new(&self.graph, node, name.clone(), vec![name]),
            key: consumed.key,
            value: consumed.value,
        }
    }

    /// A table of a topic, with the types' own serdes.
    pub fn table<K: Data + DefaultSerde, V: Data + DefaultSerde>(
        &self,
        topic: &str,
        materialized: impl Into<Materialized<K, V>>,
    ) -> KTable<K, V> {
        self.table_with(topic, default_serdes(Consumed::unset()), materialized)
    }

    /// A table of a topic.
    pub fn table_with<K: Data, V: Data>(
        &self,
        topic: &str,
        consumed: impl Into<Consumed<K, V>>,
        materialized: impl Into<Materialized<K, V>>,
    ) -> KTable<K, V> {
        let (consumed, materialized) = (consumed.into(), materialized.into());
        let (key, value) =
            (materialized.key.clone().or(consumed.key.clone()), materialized.value.clone().or(consumed.value.clone()));
        let materialized = materialized.or_serdes(&key, &value);
        let mut graph = self.graph.borrow_mut();
        let store = materialized.store(&mut graph, &format!("{topic}-"), StoreKind::KeyValue);
        let named = materialized.queryable();
        let getter = Getter::of_store(&store.name);
        let view = View::Source { store, materialized: named.is_some() };
        let source = table_source(&mut graph, topic, consumed, view, Scope::Task);
        let (name, reader, table) = (source.step.name.clone(), source.source.clone(), source.table);
        let traits = Traits { versioned: Some(materialized.is_versioned()), ..Traits::default() };
        let node = graph.add(&[ROOT], name.clone(), Kind::TableSource(source), traits);
        drop(graph);
        let flow = Flow::new(&self.graph, node, name, vec![reader]);
        KTable { flow, table, key, value, getter }
    }

    /// A table that each instance reads whole, with the types' own serdes.
    pub fn global_table<K: Data + DefaultSerde, V: Data + DefaultSerde>(
        &self,
        topic: &str,
        materialized: impl Into<Materialized<K, V>>,
    ) -> GlobalKTable<K, V> {
        self.global_table_with(topic, default_serdes(Consumed::unset()), materialized)
    }

    /// A table that each instance reads whole.
    pub fn global_table_with<K: Data, V: Data>(
        &self,
        topic: &str,
        consumed: impl Into<Consumed<K, V>>,
        materialized: impl Into<Materialized<K, V>>,
    ) -> GlobalKTable<K, V> {
        let consumed = consumed.into();
        let materialized = materialized.into().or_serdes(&consumed.key, &consumed.value);
        let mut graph = self.graph.borrow_mut();
        let store = materialized.store(&mut graph, &format!("{topic}-"), StoreKind::KeyValue).uncached();
        let getter = Getter::of_store(&store.name);
        let view = View::Source { store, materialized: true };
        let source = table_source(&mut graph, topic, consumed, view, Scope::Global);
        let name = source.step.name.clone();
        graph.add(&[ROOT], name, Kind::TableSource(source), Traits::default());
        GlobalKTable { getter }
    }

    /// A store for processors: the token connects them to it, and gives it to them.
    pub fn add_store<K: Data, V: Data, T>(&self, store: StoreBuilder<K, V, T>) -> StoreRef<T> {
        let (mut graph, store) = (self.graph.borrow_mut(), store.store());
        graph.added_stores.push(store.name.clone());
        let number = graph.added_stores.len() - 1;
        graph.add(&[ROOT], store.name.clone(), Kind::Store(store), Traits::default());
        StoreRef::added(number)
    }

    /// A store that each instance has the whole of, filled by a processor of the user from a topic: at the start from the
    /// topic's beginning, then with each record (`StreamsBuilder.addGlobalStore`). The processor alone writes it; every other
    /// one may read it, connected or not.
    ///
    /// ```
    /// use streams::prelude::*;
    ///
    /// /// Keeps how long each value is.
    /// struct Lengths(&'static str);
    ///
    /// impl Processor for Lengths {
    ///     type In = (String, String);
    ///     type Out = (String, String);
    ///
    ///     fn process(&mut self, ctx: &mut Ctx<'_, Self>, record: Record<String, String>) -> ProcessResult {
    ///         let (Some(key), Some(value)) = (record.key, record.value) else { return Ok(()) };
    ///         Ok(ctx.store(StoreRef::<KeyValue<String, i64>>::named(self.0)).put(&key, value.len() as i64)?)
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let lengths = Stores::key_value::<String, i64>("lengths");
    /// builder.add_global_store(lengths, "names", Consumed::with(StringSerde, StringSerde), || Lengths("lengths"));
    /// builder.stream::<String, String>("in").to("out");
    ///
    /// let mut driver = TopologyTestDriver::new(&builder.build()?, StreamsConfig::new("app", "localhost:9092"))?;
    /// driver.input::<String, String>("names").pipe(&mut driver, "ann", "Ann Example", 0)?;
    /// assert_eq!(driver.store::<KeyValue<String, i64>>("lengths")?.get(&"ann".to_owned())?, Some(11));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_global_store<K: Data, V: Data, T, P: Processor>(
        &self,
        store: StoreBuilder<K, V, T>,
        topic: &str,
        consumed: impl Into<Consumed<Key<P::In>, Value<P::In>>>,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> StoreRef<T> {
        let (consumed, store) = (consumed.into(), store.store().uncached());
        let mut graph = self.graph.borrow_mut();
        graph.added_stores.push(store.name.clone());
        let token = StoreRef::added(graph.added_stores.len() - 1);
        let view = View::Source { store, materialized: true };
        let mut source = table_source(&mut graph, topic, consumed, view, Scope::Global);
        source.step.operator = custom(make);
        graph.add(&[ROOT], source.step.name.clone(), Kind::TableSource(source), Traits::default());
        token
    }

    /// A store of each task, filled by a processor of the user from a topic that is its changelog at the same time: a restore
    /// takes the topic's records as they are (`Topology.addReadOnlyStateStore`). `source` and `processor` are the names of both
    /// nodes.
    ///
    /// ```
    /// use streams::prelude::*;
    ///
    /// struct Keep(&'static str);
    ///
    /// impl Processor for Keep {
    ///     type In = (String, String);
    ///     type Out = (String, String);
    ///
    ///     fn process(&mut self, ctx: &mut Ctx<'_, Self>, record: Record<String, String>) -> ProcessResult {
    ///         let (Some(key), Some(value)) = (record.key, record.value) else { return Ok(()) };
    ///         Ok(ctx.store(StoreRef::<KeyValue<String, String>>::named(self.0)).put(&key, value)?)
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let (cities, names) = (Stores::key_value::<String, String>("cities"), ["read-cities", "keep-cities"]);
    /// builder.add_read_only_state_store(cities, names, "cities", Consumed::with(StringSerde, StringSerde), || Keep("cities"));
    /// let topology = builder.build()?;
    /// assert!(topology.internal_topics("app").is_empty(), "the topic is the changelog");
    /// assert!(topology.describe().contains("Processor: keep-cities (stores: [cities])"));
    /// # Ok::<(), streams::TopologyError>(())
    /// ```
    pub fn add_read_only_state_store<K: Data, V: Data, T, P: Processor>(
        &self,
        store: StoreBuilder<K, V, T>,
        [source, processor]: [&str; 2],
        topic: &str,
        consumed: impl Into<Consumed<Key<P::In>, Value<P::In>>>,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> StoreRef<T> {
        let (consumed, store) = (consumed.into(), store.store());
        let mut graph = self.graph.borrow_mut();
        graph.added_stores.push(store.name.clone());
        let token = StoreRef::added(graph.added_stores.len() - 1);
        let table = graph.add_table(View::Source { store, materialized: true });
        let Consumed { key, value, timestamps, policy, .. } = consumed;
        let (source, processor) = (graph.checked(source), graph.checked(processor));
        let node = TableSource {
            source,
            topic: topic.to_owned(),
            reader: Arc::new(Source { key, value, timestamps, policy }),
            reset: Some(OffsetReset::Earliest),
            step: Step::new(processor.clone(), custom(make)).owning_table(table),
            table,
            scope: Scope::TaskFromSource,
        };
        graph.add(&[ROOT], processor, Kind::TableSource(node), Traits::default());
        token
    }

    /// The serde of all `T` for which none is named and none is carried along (`default.key.serde`, for each type). Those of
    /// Kafka's own types are known.
    pub fn default_serde<T: 'static>(&self, serde: impl Serde<T> + 'static) {
        self.graph.borrow_mut().serdes.set::<T>(Arc::new(serde));
    }

    /// The topology so far.
    ///
    /// # Errors
    /// The first mistake that was made, or what would keep a thread from running it: a node without a serde, a store that is
    /// of another type than a node takes it for.
    pub fn build(&self) -> Result<Topology, TopologyError> {
        self.build_optimized(&[])
    }

    /// The topology so far, after the rewrites that `topology.optimization` of these settings names; an application with
    /// these settings takes no other.
    ///
    /// # Errors
    /// A rule that there is not, and what `build` refuses.
    pub fn build_with(&self, config: &StreamsConfig) -> Result<Topology, Error> {
        Ok(self.build_optimized(&config.optimizations()?)?)
    }

    /// The topology so far, after these rewrites (`topology.optimization`).
    ///
    /// # Errors
    /// What `build` refuses.
    pub fn build_optimized(&self, rules: &[Optimization]) -> Result<Topology, TopologyError> {
        let topology = self.graph.borrow().build(rules)?;
        topology.check().map_err(|error| match error {
            LinkError::NoSerde { .. } => TopologyError::NoSerde(error.to_string()),
            error => TopologyError::Unlinked(error.to_string()),
        })?;
        Ok(topology)
    }
}

fn default_serdes<K: DefaultSerde, V: DefaultSerde>(consumed: Consumed<K, V>) -> Consumed<K, V> {
    let (key, value): (SharedSerde<K>, SharedSerde<V>) = (K::serde(), V::serde());
    Consumed { key: Some(key), value: Some(value), ..consumed }
}

/// InternalStreamsBuilder.table and globalTable: first the source's number, then the table's.
fn table_source<K: Data, V: Data>(
    graph: &mut Graph,
    topic: &str,
    consumed: Consumed<K, V>,
    view: View,
    scope: Scope,
) -> TableSource {
    let source = graph.suffixed_or(consumed.name.as_deref(), "-source", "KSTREAM-SOURCE-");
    let name = graph.name_or(consumed.name.as_deref(), "KTABLE-SOURCE-");
    let table = graph.add_table(view);
    let reader =
        Source { key: consumed.key, value: consumed.value, timestamps: consumed.timestamps, policy: consumed.policy };
    let step = Step::new(name, Arc::new(KeepTable::<K, V> { types: std::marker::PhantomData })).owning_table(table);
    let reset = consumed.reset;
    TableSource { source, topic: topic.to_owned(), reader: Arc::new(reader), reset, step, table, scope }
}
