//! Joins of a stream: with a stream within a time, with a table, with a global table.
//! Called by applications. Repartitions first where the key changed, as Java does; never decides at run time.

use std::marker::PhantomData;
use std::sync::Arc;

use super::builder::GlobalKTable;
use super::options::Joined;
use super::stores::WindowStoreSupplier;
use super::stream::KStream;
use super::table::KTable;
use super::windows::{JoinWindows, millis};
use super::{Flow, asked_by_operator, repartition_edge};
use crate::error::TopologyError;
use crate::graph::{Graph, Kind, NodeId, Owns, Step, StreamJoin, Traits};
use crate::op::join::{JoinKind, Joiner, KeySelector, Side};
use crate::op::stateless::pass;
use crate::op::stream_stream_join::{KeepWindow, StreamJoinSide};
use crate::op::stream_table_join::{StreamTableJoin, TableKey};
use crate::record::Data;
use crate::serde::SharedSerde;
use crate::store::{JoinWindow, Unmatched, Waiting};
use crate::task::outcome::Outcome;
use crate::topology::store::{Changelog, Duplicates, Engine, Store, StoreKind};

impl<K: Data, V: Data> KStream<K, V> {
    /// Joins each record with those of the other stream near it in time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streams::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let clicks: KStream<String, String> = builder.stream("clicks");
    /// let orders: KStream<String, String> = builder.stream("orders");
    /// let minute = JoinWindows::of_time_difference_and_grace(Duration::from_secs(60), Duration::ZERO);
    /// clicks.join(&orders, |click: &String, order: &String| format!("{click} -> {order}"), minute, ()).to("out");
    ///
    /// let mut driver = TopologyTestDriver::new(&builder.build()?, StreamsConfig::new("app", "localhost:9092"))?;
    /// for (topic, value, time) in [("clicks", "book", 1_000), ("orders", "one", 5_000), ("orders", "late", 90_000)] {
    ///     driver.input::<String, String>(topic).pipe(&mut driver, "ann", value, time)?;
    /// }
    /// assert_eq!(driver.output::<String, String>("out").read_map(&mut driver)["ann"], "book -> one");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join<R: Data, O: Data, X: Outcome<O>>(
        &self,
        other: &KStream<K, R>,
        join: impl Fn(&V, &R) -> X + Send + Sync + 'static,
        windows: JoinWindows,
        joined: impl Into<Joined<K, V, R>>,
    ) -> KStream<K, O> {
        self.join_stream(other, JoinKind::Inner, both(join), windows, joined.into())
    }

    /// The same, and once without the other side for each record of this stream that found none.
    pub fn left_join<R: Data, O: Data, X: Outcome<O>>(
        &self,
        other: &KStream<K, R>,
        join: impl Fn(&V, Option<&R>) -> X + Send + Sync + 'static,
        windows: JoinWindows,
        joined: impl Into<Joined<K, V, R>>,
    ) -> KStream<K, O> {
        self.join_stream(other, JoinKind::Left, left(join), windows, joined.into())
    }

    /// The same for the records of both streams.
    pub fn outer_join<R: Data, O: Data, X: Outcome<O>>(
        &self,
        other: &KStream<K, R>,
        join: impl Fn(Option<&V>, Option<&R>) -> X + Send + Sync + 'static,
        windows: JoinWindows,
        joined: impl Into<Joined<K, V, R>>,
    ) -> KStream<K, O> {
        let joiner: Joiner<K, V, R, O> = Arc::new(move |_, this, that| join(this, that).outcome());
        self.join_stream(other, JoinKind::Outer, joiner, windows, joined.into())
    }

    /// Looks each record up in a table; without a row there is no result.
    ///
    /// ```
    /// # use streams::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, String> = builder.stream("orders");
    /// let cities: KTable<String, String> = builder.table("cities", ());
    /// orders.join_table(&cities, |order: &String, city: &String| format!("{order} to {city}"), ()).to("out");
    ///
    /// let mut driver = TopologyTestDriver::new(&builder.build()?, StreamsConfig::new("app", "localhost:9092"))?;
    /// for (topic, value) in [("orders", "early"), ("cities", "Rome"), ("orders", "tea")] {
    ///     driver.input::<String, String>(topic).pipe(&mut driver, "ann", value, 0)?;
    /// }
    /// assert_eq!(driver.output::<String, String>("out").read_map(&mut driver)["ann"], "tea to Rome");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_table<R: Data, O: Data, X: Outcome<O>>(
        &self,
        table: &KTable<K, R>,
        join: impl Fn(&V, &R) -> X + Send + Sync + 'static,
        joined: impl Into<Joined<K, V, R>>,
    ) -> KStream<K, O> {
        self.look_up(table, JoinKind::Inner, both(join), joined.into())
    }

    /// Looks each record up in a table; the row may be missing.
    pub fn left_join_table<R: Data, O: Data, X: Outcome<O>>(
        &self,
        table: &KTable<K, R>,
        join: impl Fn(&V, Option<&R>) -> X + Send + Sync + 'static,
        joined: impl Into<Joined<K, V, R>>,
    ) -> KStream<K, O> {
        self.look_up(table, JoinKind::Left, left(join), joined.into())
    }

    /// Looks each record up in a global table by a key made of it; without a row there is no result.
    pub fn join_global<F: Data, R: Data, O: Data, S: Outcome<Option<F>>, X: Outcome<O>>(
        &self,
        table: &GlobalKTable<F, R>,
        select: impl Fn(Option<&K>, Option<&V>) -> S + Send + Sync + 'static,
        join: impl Fn(&V, &R) -> X + Send + Sync + 'static,
    ) -> KStream<K, O> {
        self.look_up_global(table, JoinKind::Inner, selector(select), both(join))
    }

    /// Looks each record up in a global table by a key made of it; the row may be missing.
    pub fn left_join_global<F: Data, R: Data, O: Data, S: Outcome<Option<F>>, X: Outcome<O>>(
        &self,
        table: &GlobalKTable<F, R>,
        select: impl Fn(Option<&K>, Option<&V>) -> S + Send + Sync + 'static,
        join: impl Fn(&V, Option<&R>) -> X + Send + Sync + 'static,
    ) -> KStream<K, O> {
        self.look_up_global(table, JoinKind::Left, selector(select), left(join))
    }

    /// KStreamImpl.repartitionForJoin: a stream joined twice is repartitioned once, but uses up its numbers twice.
    fn repartitioned_for_join(
        &self,
        given: Option<String>,
        key: Option<SharedSerde<K>>,
        value: Option<SharedSerde<V>>,
    ) -> Flow {
        if !self.flow.rekeyed {
            return self.flow.clone();
        }
        let edge = repartition_edge(key.or(self.key.clone()), value.or(self.value.clone()), None);
        let prefix = given.unwrap_or_else(|| self.flow.name.clone());
        let (new, source) = asked_by_operator(&self.flow, &prefix, edge);
        let node = match self.flow.repartition.get() {
            Some(known) if self.flow.name == prefix => known,
            _ => {
                self.flow.graph().attach(self.flow.node, new);
                self.flow.repartition.set(Some(new));
                new
            }
        };
        Flow::new(&self.flow.graph, node, source.clone(), vec![source])
    }

    fn join_stream<R: Data, O: Data>(
        &self,
        other: &KStream<K, R>,
        kind: JoinKind,
        joiner: Joiner<K, V, R, O>,
        windows: JoinWindows,
        joined: Joined<K, V, R>,
    ) -> KStream<K, O> {
        let suffixed = |suffix: &str| joined.name.as_ref().map(|name| format!("{name}{suffix}"));
        let this = self.repartitioned_for_join(suffixed("-left"), joined.key.clone(), joined.left.clone());
        let that = other.repartitioned_for_join(suffixed("-right"), joined.key.clone(), joined.right.clone());
        let mut graph = self.flow.graph();
        let sources = graph.copartition(&[&this.sources, &that.sources]);
        let names = JoinNames::new(&mut graph, kind, &joined);
        let key = joined.key.clone().or(self.key.clone());
        let left = joined.left.clone().or(self.value.clone());
        let right = joined.right.clone().or(other.value.clone());
        let suppliers = (joined.this_store.as_ref(), joined.other_store.as_ref());
        check_suppliers(&mut graph, suppliers, windows);
        let stores = JoinStores {
            this: window_store(&names.this_store, windows, suppliers.0)
                .made_by(JoinWindow::maker(key.clone(), left.clone())),
            other: window_store(&names.other_store, windows, suppliers.1)
                .made_by(JoinWindow::maker(key.clone(), right.clone())),
            unmatched: names.unmatched.as_ref().map(|name| {
                let store = Store::new(name.clone(), StoreKind::OuterJoin).uncached();
                let engine = suppliers.0.map_or(Engine::Configured, |supplier| supplier.engine);
                Store { engine, ..store }.made_by(Unmatched::maker(key.clone(), left, right))
            }),
        };
        keep_window::<K, V>(&mut graph, this.node, &names.this_window, stores.this.clone());
        keep_window::<K, R>(&mut graph, that.node, &names.other_window, stores.other.clone());
        let plan = join_plan(&names, &stores, kind, windows, &joiner);
        let traits = Traits { takes_null_key: kind != JoinKind::Inner, ..Traits::default() };
        let node = graph.add(&[this.node, that.node], names.merge.clone(), Kind::StreamJoin(Box::new(plan)), traits);
        drop(graph);
        KStream { flow: Flow::new(&self.flow.graph, node, names.merge, sources), key, value: None }
    }

    fn look_up<R: Data, O: Data>(
        &self,
        table: &KTable<K, R>,
        kind: JoinKind,
        joiner: Joiner<K, V, R, O>,
        joined: Joined<K, V, R>,
    ) -> KStream<K, O> {
        let this = self.repartitioned_for_join(joined.name.clone(), joined.key.clone(), joined.left.clone());
        let mut graph = self.flow.graph();
        let sources = graph.copartition(&[&this.sources, &table.flow.sources]);
        let prefix = if kind == JoinKind::Left { "KSTREAM-LEFTJOIN-" } else { "KSTREAM-JOIN-" };
        let name = graph.name_or(joined.name.as_deref(), prefix);
        let grace_ms = joined.grace.map(millis);
        let key = joined.key.clone().or(self.key.clone());
        let buffer = grace_ms.map(|grace_ms| {
            let store = Store::new(format!("{name}-Buffer"), StoreKind::Buffer).uncached();
            let value = joined.left.clone().or(self.value.clone());
            store.made_by(Waiting::<K, V>::maker(key.clone(), value, grace_ms))
        });
        if buffer.is_some() && graph.nodes[table.flow.node].traits.versioned == Some(false) {
            graph.fail(TopologyError::GraceNeedsVersioned(name.clone()));
        }
        let stores = graph.stores_of(table.table);
        let own: Vec<Store> = buffer.into_iter().collect();
        let buffer = own.first().map(|store| store.name.clone());
        let key_of: TableKey<K, V, K> = TableKey::Own;
        let getter = table.getter.clone();
        let operator = StreamTableJoin { kind, getter, key: key_of, buffer, joiner };
        let step = Step::new(name.clone(), Arc::new(operator)).owning(own).connecting(stores);
        let traits = Traits { takes_null_key: kind == JoinKind::Left, ..Traits::default() };
        let node = graph.add(&[this.node], name.clone(), Kind::StreamTableJoin { step, grace_ms }, traits);
        drop(graph);
        KStream { flow: Flow::new(&self.flow.graph, node, name, sources), key, value: None }
    }

    fn look_up_global<F: Data, R: Data, O: Data>(
        &self,
        table: &GlobalKTable<F, R>,
        kind: JoinKind,
        select: KeySelector<K, V, F>,
        joiner: Joiner<K, V, R, O>,
    ) -> KStream<K, O> {
        let mut graph = self.flow.graph();
        // Java takes the left join's name for both kinds.
        let name = graph.name_or(self.flow.given.as_deref(), "KSTREAM-LEFTJOIN-");
        drop(graph);
        let (key, getter) = (TableKey::Selected(select), table.getter.clone());
        let operator = Arc::new(StreamTableJoin { kind, getter, key, buffer: None, joiner });
        let traits = Traits { takes_null_key: kind == JoinKind::Left, ..Traits::default() };
        let flow = self.flow.below(
            name.clone(),
            Kind::StreamTableJoin { step: Step::new(name, operator), grace_ms: None },
            traits,
        );
        KStream { flow, key: self.key.clone(), value: None }
    }
}

/// The names of a stream-stream join, in the order in which KStreamImplJoin makes them.
struct JoinNames {
    this_window: String,
    other_window: String,
    this: String,
    other: String,
    merge: String,
    this_store: String,
    other_store: String,
    unmatched: Option<String>,
}

impl JoinNames {
    fn new<K, L, R>(graph: &mut Graph, kind: JoinKind, joined: &Joined<K, L, R>) -> JoinNames {
        let (left_outer, right_outer) = (kind != JoinKind::Inner, kind == JoinKind::Outer);
        let this_suffix = if right_outer { "-outer-this-join" } else { "-this-join" };
        let other_suffix = if left_outer { "-outer-other-join" } else { "-other-join" };
        let given = joined.name.as_deref();
        let this_window = graph.suffixed_or(given, "-this-windowed", "KSTREAM-WINDOWED-");
        let other_window = graph.suffixed_or(given, "-other-windowed", "KSTREAM-WINDOWED-");
        let this = graph.new_name(if right_outer { "KSTREAM-OUTERTHIS-" } else { "KSTREAM-JOINTHIS-" });
        let other = graph.new_name(if left_outer { "KSTREAM-OUTEROTHER-" } else { "KSTREAM-JOINOTHER-" });
        let merge = graph.suffixed_or(given, "-merge", "KSTREAM-MERGE-");
        let based = |generated: &str, suffix: &str| match &joined.store_name {
            Some(base) => format!("{base}{suffix}-store"),
            None => format!("{generated}-store"),
        };
        let supplied = |store: &Option<WindowStoreSupplier>| store.as_ref().map(|store| store.name.clone());
        // OuterStreamJoinStoreFactory: the number of this side's name.
        let number = this.rsplit_once('-').map_or("", |(_, number)| number);
        let shared = if right_outer { "-outer-shared-join" } else { "-left-shared-join" };
        let unmatched = left_outer.then(|| match &joined.this_store {
            Some(store) => format!("{}{shared}-store", store.name),
            None => based(&format!("KSTREAM-OUTERSHARED-{number}"), shared),
        });
        let node = |generated: &str, suffix: &str| given.map_or(generated.to_owned(), |name| format!("{name}{suffix}"));
        JoinNames {
            this_store: supplied(&joined.this_store).unwrap_or_else(|| based(&this, this_suffix)),
            other_store: supplied(&joined.other_store).unwrap_or_else(|| based(&other, other_suffix)),
            this: node(&this, this_suffix),
            other: node(&other, other_suffix),
            this_window,
            other_window,
            merge,
            unmatched,
        }
    }
}

/// The stores of a stream-stream join.
struct JoinStores {
    this: Store,
    other: Store,
    unmatched: Option<Store>,
}

/// Both values of one key and time stay, so the changelog cannot be compacted.
fn window_store(name: &str, windows: JoinWindows, supplier: Option<&WindowStoreSupplier>) -> Store {
    let size_ms = windows.size_ms();
    let kind = StoreKind::Window {
        retention_ms: size_ms.saturating_add(windows.grace_ms),
        size_ms,
        duplicates: Duplicates::Kept,
    };
    let store = Store::new(name, kind).uncached();
    let Some(supplier) = supplier else { return store };
    // Java makes the changelog of a store that was given as that of any window store.
    let policy = ("cleanup.policy".to_owned(), "compact,delete".to_owned());
    Store { engine: supplier.engine, changelog: Changelog::Own([policy].into()), ..store }
}

/// KStreamImplJoin.assertWindowSettings and assertUniqueStoreNames.
fn check_suppliers(
    graph: &mut Graph,
    (this, other): (Option<&WindowStoreSupplier>, Option<&WindowStoreSupplier>),
    windows: JoinWindows,
) {
    let (size_ms, retention_ms) = (windows.size_ms(), windows.size_ms().saturating_add(windows.grace_ms));
    for store in [this, other].into_iter().flatten() {
        let name = &store.name;
        if store.duplicates != Duplicates::Kept {
            graph.fail(TopologyError::JoinStore(format!("store {name} must retain duplicates: retain_duplicates()")));
        } else if (store.size_ms, store.retention_ms) != (size_ms, retention_ms) {
            let (size, retention) = (store.size_ms, store.retention_ms);
            graph.fail(TopologyError::JoinStore(format!(
                "store {name} has windows of {size} ms and keeps them for {retention} ms; the join needs {size_ms} ms and \
                 {retention_ms} ms"
            )));
        }
    }
    if let (Some(this), Some(other)) = (this, other)
        && this.name == other.name
    {
        graph.fail(TopologyError::JoinStore(format!("both stores have the name {}", this.name)));
    }
}

/// The processors of both sides, what brings their results together, and what stands for all of it in a self-join.
fn join_plan<K: Data, L: Data, R: Data, O: Data>(
    names: &JoinNames,
    stores: &JoinStores,
    kind: JoinKind,
    windows: JoinWindows,
    joiner: &Joiner<K, L, R, O>,
) -> StreamJoin {
    let side = |name: &str, side: Side, store: &Store| {
        let (unmatched, joiner) = (names.unmatched.clone(), Arc::clone(joiner));
        let operator = StreamJoinSide { side, kind, windows, store: store.name.clone(), unmatched, joiner };
        Step::new(name, Arc::new(operator)).owning(vec![store.clone()])
    };
    let unmatched = |mut step: Step| {
        if let (Owns::Stores(owned), Some(store)) = (&mut step.owns, &stores.unmatched) {
            owned.push(store.clone());
        }
        step
    };
    StreamJoin {
        this: (names.this_window.clone(), unmatched(side(&names.this, Side::Left, &stores.other))),
        other: (names.other_window.clone(), unmatched(side(&names.other, Side::Right, &stores.this))),
        merge: Step::new(names.merge.clone(), pass::<K, O>("join merge")),
        alone: side(&names.merge, Side::Both, &stores.this),
        is_self: false,
    }
}

fn keep_window<K: Data, V: Data>(graph: &mut Graph, parent: NodeId, name: &str, store: Store) {
    let operator = KeepWindow::<K, V> { store: store.name.clone(), types: PhantomData };
    let step = Step::new(name, Arc::new(operator)).owning(vec![store]);
    graph.add(&[parent], name, Kind::Windowed(step), Traits::default());
}

fn selector<K, V, F, S: Outcome<Option<F>>>(
    select: impl Fn(Option<&K>, Option<&V>) -> S + Send + Sync + 'static,
) -> KeySelector<K, V, F> {
    Arc::new(move |key, value| select(key, value).outcome())
}

/// A joiner that is only called with both sides.
pub(crate) fn both<K, L, R, O, X: Outcome<O>>(
    join: impl Fn(&L, &R) -> X + Send + Sync + 'static,
) -> Joiner<K, L, R, O> {
    Arc::new(move |_, this, that| {
        join(this.expect("an inner join has both sides"), that.expect("an inner join has both sides")).outcome()
    })
}

/// A joiner that is only called with the left side.
pub(crate) fn left<K, L, R, O, X: Outcome<O>>(
    join: impl Fn(&L, Option<&R>) -> X + Send + Sync + 'static,
) -> Joiner<K, L, R, O> {
    Arc::new(move |_, this, that| join(this.expect("a left join has its left side"), that).outcome())
}
