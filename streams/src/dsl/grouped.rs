//! Records grouped by key, and their aggregates: over all time, windows, or sessions.
//! Made by `group_by_key`, `group_by` and `windowed_by`. Never aggregates here: the operators do.
//! Windows and sessions hand null values on: plain closures do not see them, and the aggregate stays; `_nullable` ones do.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::cogrouped::CogroupedKStream;
use super::materialized::{Materialized, Origin};
use super::table::KTable;
use super::windows::{EmitStrategy, SessionWindows, SlidingWindows, TimeWindows, UnlimitedWindows};
use super::{Flow, asked_by_operator, repartition_edge};
use crate::error::TopologyError;
use crate::graph::table::View;
use crate::graph::{NodeId, Step, Traits};
use crate::op::aggregate::{Aggregation, Aggregator, Initializer, Merger, Span};
use crate::op::getter::Getter;
use crate::record::{Data, Windowed};
use crate::serde::{SessionWindowedSerde, SharedSerde, TimeWindowedSerde};
use crate::state::window::Index;
use crate::task::outcome::{Outcome, Update, update};
use crate::topology::store::{Duplicates, StoreKind};

pub(crate) const AGGREGATE: &str = "KSTREAM-AGGREGATE-";
const REDUCE: &str = "KSTREAM-REDUCE-";

/// Records grouped by key.
///
/// ```
/// use std::time::Duration;
/// use streams::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let sales = builder.stream::<String, i64>("sales").group_by_key();
/// sales.reduce(|sum, sale| sum.checked_add(sale).ok_or("too large"), "totals").to_stream().to("totals");
/// let days = TimeWindows::of_size(Duration::from_secs(86_400)).grace(Duration::from_secs(3600));
/// sales.windowed_by(days).aggregate(|| 0, |_shop, sale, best: i64| best.max(sale), "best-of-days").to_stream().to("best");
///
/// let config = StreamsConfig::new("app", "localhost:9092").set("statestore.cache.max.bytes", 0);
/// let mut driver = TopologyTestDriver::new(&builder.build()?, config)?;
/// let input = driver.input::<String, i64>("sales");
/// for (time, sale) in [3, 5, 4].into_iter().enumerate() {
///     input.pipe(&mut driver, "north", sale, time as i64)?;
/// }
/// assert_eq!(driver.output::<String, i64>("totals").read_map(&mut driver)["north"], 12);
/// let best = driver.store::<KeyWindow<String, i64>>("best-of-days")?.fetch_all(0, 0)?;
/// assert_eq!(best[0].1, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KGroupedStream<K, V> {
    pub(crate) flow: Flow,
    pub(crate) key: Option<SharedSerde<K>>,
    pub(crate) value: Option<SharedSerde<V>>,
    /// The name that the user gave the repartition topic.
    pub(crate) topic: Option<String>,
    /// The repartition of a named topic, which all aggregates of this handle share.
    repartition: Rc<Cell<Option<NodeId>>>,
}

impl<K, V> Clone for KGroupedStream<K, V> {
    fn clone(&self) -> KGroupedStream<K, V> {
        KGroupedStream {
            flow: self.flow.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            topic: self.topic.clone(),
            repartition: Rc::clone(&self.repartition),
        }
    }
}

/// What is common to all aggregates of a stream.
struct Plan<K, V, A> {
    prefix: &'static str,
    initializer: Initializer<A>,
    aggregator: Aggregator<K, V, A>,
    /// `count` of a Materialized without a name uses up one more number.
    burns: bool,
}

fn count_plan<K: Data, V: Data>(materialized: &Materialized<K, i64>) -> Plan<K, V, i64> {
    Plan {
        prefix: AGGREGATE,
        initializer: Arc::new(|| Some(0)),
        aggregator: Arc::new(|_, _, count| Ok(Some(count.unwrap_or(0) + 1))),
        burns: materialized.origin == Origin::Given && materialized.name.is_none(),
    }
}

fn reduce_plan<K: Data, V: Data, R: Update<V>>(reduce: impl Fn(V, V) -> R + Send + Sync + 'static) -> Plan<K, V, V> {
    Plan {
        prefix: REDUCE,
        initializer: Arc::new(|| None),
        // A null in a window changes nothing: the closure sees values that are there.
        aggregator: Arc::new(move |_, value, so_far| match (so_far, value) {
            (Some(so_far), Some(value)) => update(so_far, |so_far| reduce(so_far, value)),
            (so_far, None) => Ok(so_far),
            (None, value) => Ok(value),
        }),
        burns: false,
    }
}

fn aggregate_plan<K: Data, V: Data, A: Data, R: Update<A>>(
    initial: impl Fn() -> A + Send + Sync + 'static,
    aggregate: impl Fn(&K, V, A) -> R + Send + Sync + 'static,
) -> Plan<K, V, A> {
    let initial = Arc::new(initial);
    let start = Arc::clone(&initial);
    Plan {
        prefix: AGGREGATE,
        initializer: Arc::new(move || Some(start())),
        aggregator: Arc::new(move |key, value, so_far| {
            let so_far = so_far.unwrap_or_else(|| initial());
            match value {
                Some(value) => update(so_far, |so_far| aggregate(key, value, so_far)),
                None => Ok(Some(so_far)),
            }
        }),
        burns: false,
    }
}

/// The merger of two sessions from a closure that sees aggregates that are there.
pub(crate) fn merger<K: Data, A: Data, R: Outcome<A>>(
    merge: impl Fn(&K, A, A) -> R + Send + Sync + 'static,
) -> Merger<K, A> {
    Arc::new(move |key, left, right| match (left, right) {
        (Some(left), Some(right)) => merge(key, left, right).outcome().map(Some),
        (left, right) => Ok(left.or(right)),
    })
}

fn nullable_reduce_plan<K: Data, V: Data, R: Update<V>>(
    reduce: impl Fn(V, Option<V>) -> R + Send + Sync + 'static,
) -> Plan<K, V, V> {
    Plan {
        prefix: REDUCE,
        initializer: Arc::new(|| None),
        aggregator: Arc::new(move |_, value, so_far| match so_far {
            Some(so_far) => update(so_far, |so_far| reduce(so_far, value)),
            None => Ok(value),
        }),
        burns: false,
    }
}

fn nullable_aggregate_plan<K: Data, V: Data, A: Data, R: Update<A>>(
    initial: impl Fn() -> A + Send + Sync + 'static,
    aggregate: impl Fn(&K, Option<V>, A) -> R + Send + Sync + 'static,
) -> Plan<K, V, A> {
    let initial = Arc::new(initial);
    let start = Arc::clone(&initial);
    Plan {
        prefix: AGGREGATE,
        initializer: Arc::new(move || Some(start())),
        aggregator: Arc::new(move |key, value, so_far| {
            update(so_far.unwrap_or_else(|| initial()), |so_far| aggregate(key, value, so_far))
        }),
        burns: false,
    }
}

impl<K: Data, V: Data> KGroupedStream<K, V> {
    pub(crate) fn new(
        flow: Flow,
        topic: Option<String>,
        key: Option<SharedSerde<K>>,
        value: Option<SharedSerde<V>>,
    ) -> KGroupedStream<K, V> {
        KGroupedStream { flow, key, value, topic, repartition: Rc::new(Cell::new(None)) }
    }

    /// The same group, whose aggregate's processor gets this name (Java's `Named`).
    pub fn named(&self, name: &str) -> KGroupedStream<K, V> {
        KGroupedStream { flow: self.flow.named(name), ..self.clone() }
    }

    /// How many records each key has; null keys and values do not count.
    pub fn count(&self, materialized: impl Into<Materialized<K, i64>>) -> KTable<K, i64> {
        let materialized = materialized.into();
        self.forever(count_plan(&materialized), materialized)
    }

    /// One value a key: the first, then what the closure makes of it and the next; None deletes it.
    pub fn reduce<R: Update<V>>(
        &self,
        reduce: impl Fn(V, V) -> R + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, V>>,
    ) -> KTable<K, V> {
        let materialized = materialized.into().or_serdes(&self.key, &self.value);
        self.forever(reduce_plan(reduce), materialized)
    }

    /// One aggregate a key: `initial`, then what the closure makes of it and each value; None deletes it.
    pub fn aggregate<A: Data, R: Update<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregate: impl Fn(&K, V, A) -> R + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, A>>,
    ) -> KTable<K, A> {
        self.forever(aggregate_plan(initial, aggregate), materialized.into())
    }

    /// Groups by windows or sessions too.
    pub fn windowed_by<W: WindowSpec>(&self, windows: W) -> WindowedKStream<K, V, W> {
        WindowedKStream { grouped: self.clone(), windows, emit: EmitStrategy::OnWindowUpdate }
    }

    /// Starts one aggregate of several streams.
    pub fn cogroup<A: Data, R: Update<A>>(
        &self,
        aggregate: impl Fn(&K, V, A) -> R + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        CogroupedKStream::new(&self.flow).cogroup(self, aggregate)
    }

    /// The same with a closure that also sees the nulls that windows and sessions hand on.
    pub fn cogroup_nullable<A: Data, R: Update<A>>(
        &self,
        aggregate: impl Fn(&K, Option<V>, A) -> R + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        CogroupedKStream::new(&self.flow).cogroup_nullable(self, aggregate)
    }

    fn forever<A: Data>(&self, plan: Plan<K, V, A>, materialized: Materialized<K, A>) -> KTable<K, A> {
        let materialized = materialized.or_serdes(&self.key, &None);
        let key = materialized.key.clone();
        let traits = Traits { versioned: Some(materialized.is_versioned()), ..Traits::default() };
        let table = self.aggregated::<K, A>(
            plan,
            materialized,
            StoreKind::KeyValue,
            Span::Forever,
            EmitStrategy::default(),
            traits,
        );
        KTable { key, ..table }
    }

    /// KGroupedStreamImpl and GroupedStreamAggregateBuilder: the store's number, the aggregate's, then those of a repartition.
    fn aggregated<O: Data, A: Data>(
        &self,
        plan: Plan<K, V, A>,
        materialized: Materialized<K, A>,
        kind: StoreKind,
        span: Span<K, A>,
        emit: EmitStrategy,
        traits: Traits,
    ) -> KTable<O, A> {
        let mut graph = self.flow.graph();
        if plan.burns {
            graph.new_store_name(plan.prefix);
        }
        let store = materialized.store(&mut graph, plan.prefix, kind);
        let name = graph.name_or(self.flow.given.as_deref(), plan.prefix);
        drop(graph);
        let (parent, sources) = self.repartitioned(&store.name);
        let operator = Aggregation {
            initializer: plan.initializer,
            aggregator: plan.aggregator,
            span,
            emit,
            store: store.name.clone(),
        };
        let mut graph = self.flow.graph();
        let table = graph.add_table(View::Aggregate { store: store.name.clone() });
        let getter = Getter::of_store(&store.name);
        let step = Step::new(name.clone(), Arc::new(operator)).owning(vec![store]).table(table);
        let node = graph.add(&[parent], name.clone(), crate::graph::Kind::Processor(step), traits);
        drop(graph);
        KTable {
            flow: Flow::new(&self.flow.graph, node, name, sources),
            table,
            key: None,
            value: materialized.value,
            getter,
        }
    }

    /// Where the aggregate hangs: below a repartition if the key changed. Numbers are used up even where one is shared.
    fn repartitioned(&self, store: &str) -> (NodeId, Vec<String>) {
        if !self.flow.rekeyed {
            return (self.flow.node, self.flow.sources.clone());
        }
        let edge = repartition_edge(self.key.clone(), self.value.clone(), None);
        let (new, source) = asked_by_operator(&self.flow, self.topic.as_deref().unwrap_or(store), edge);
        let node = match (self.repartition.get(), &self.topic) {
            (Some(known), Some(_)) => known,
            _ => new,
        };
        self.repartition.set(Some(node));
        self.flow.graph().attach(self.flow.node, node);
        (node, vec![source])
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TimeWindows {}
    impl Sealed for super::UnlimitedWindows {}
    impl Sealed for super::SlidingWindows {}
    impl Sealed for super::SessionWindows {}
}

/// What `windowed_by` takes: time windows, unlimited windows, sliding windows, sessions.
pub trait WindowSpec: sealed::Sealed + Copy + 'static {
    /// How long a window waits after its end.
    #[doc(hidden)]
    fn close_ms(&self) -> i64;
    /// The store of its aggregates.
    #[doc(hidden)]
    fn store_kind(&self, retention_ms: Option<i64>) -> StoreKind;
    /// The serde of windowed keys in topics.
    #[doc(hidden)]
    fn key_serde<K: 'static>(&self, key: SharedSerde<K>) -> SharedSerde<Windowed<K>>;
    /// Whether the store of windows that are emitted when they close finds the rows of a key.
    #[doc(hidden)]
    const CLOSED_INDEX: Index;
    /// Whether `count` uses up a number more (sliding windows never did).
    #[doc(hidden)]
    const COUNT_BURNS: bool;
    /// Whether a window ever closes.
    #[doc(hidden)]
    const CLOSES: bool = true;
}

fn window_kind(size_ms: i64, retention_ms: i64) -> StoreKind {
    StoreKind::Window { retention_ms, size_ms, duplicates: Duplicates::Replaced }
}

impl WindowSpec for TimeWindows {
    const CLOSED_INDEX: Index = Index::None;
    fn key_serde<K: 'static>(&self, key: SharedSerde<K>) -> SharedSerde<Windowed<K>> {
        Arc::new(TimeWindowedSerde::of_millis(key, self.size_ms))
    }

    const COUNT_BURNS: bool = true;

    fn close_ms(&self) -> i64 {
        self.grace_ms
    }

    fn store_kind(&self, retention_ms: Option<i64>) -> StoreKind {
        window_kind(self.size_ms, retention_ms.unwrap_or(self.size_ms.saturating_add(self.grace_ms)))
    }
}

impl WindowSpec for UnlimitedWindows {
    const CLOSED_INDEX: Index = Index::None;
    fn key_serde<K: 'static>(&self, key: SharedSerde<K>) -> SharedSerde<Windowed<K>> {
        Arc::new(TimeWindowedSerde::of_millis(key, i64::MAX))
    }

    const COUNT_BURNS: bool = true;
    const CLOSES: bool = false;

    fn close_ms(&self) -> i64 {
        0
    }

    fn store_kind(&self, retention_ms: Option<i64>) -> StoreKind {
        window_kind(i64::MAX, retention_ms.unwrap_or(i64::MAX))
    }
}

impl WindowSpec for SlidingWindows {
    const CLOSED_INDEX: Index = Index::ByKey;
    fn key_serde<K: 'static>(&self, key: SharedSerde<K>) -> SharedSerde<Windowed<K>> {
        Arc::new(TimeWindowedSerde::of_millis(key, self.difference_ms))
    }

    const COUNT_BURNS: bool = false;

    fn close_ms(&self) -> i64 {
        self.grace_ms
    }

    fn store_kind(&self, retention_ms: Option<i64>) -> StoreKind {
        // A record may open a window on either side of it.
        let least = self.difference_ms.saturating_mul(2).saturating_add(self.grace_ms);
        window_kind(self.difference_ms, retention_ms.unwrap_or(least))
    }
}

impl WindowSpec for SessionWindows {
    const CLOSED_INDEX: Index = Index::ByKey;
    fn key_serde<K: 'static>(&self, key: SharedSerde<K>) -> SharedSerde<Windowed<K>> {
        Arc::new(SessionWindowedSerde::new(key))
    }

    const COUNT_BURNS: bool = true;

    fn close_ms(&self) -> i64 {
        self.grace_ms.saturating_add(self.gap_ms)
    }

    fn store_kind(&self, retention_ms: Option<i64>) -> StoreKind {
        StoreKind::Session { retention_ms: retention_ms.unwrap_or(self.gap_ms.saturating_add(self.grace_ms)) }
    }
}

/// Records grouped by key and window.
pub struct WindowedKStream<K, V, W> {
    grouped: KGroupedStream<K, V>,
    windows: W,
    emit: EmitStrategy,
}

impl<K: Data, V: Data, W: WindowSpec> WindowedKStream<K, V, W> {
    /// When results are handed on. A window that never closes is not handed on when it does: `build` refuses that.
    pub fn emit_strategy(self, emit: EmitStrategy) -> WindowedKStream<K, V, W> {
        if emit == EmitStrategy::OnWindowClose && !W::CLOSES {
            self.grouped.flow.graph().fail(TopologyError::NeverCloses);
        }
        WindowedKStream { emit, ..self }
    }

    fn windowed<A: Data>(
        &self,
        plan: Plan<K, V, A>,
        materialized: Materialized<K, A>,
        span: Span<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let materialized = materialized.or_serdes(&self.grouped.key, &None);
        let known = materialized.key.clone().or_else(|| self.grouped.flow.graph().serdes.get::<K>());
        let key = known.map(|key| self.windows.key_serde(key));
        let materialized = match self.emit {
            EmitStrategy::OnWindowUpdate => materialized,
            EmitStrategy::OnWindowClose => materialized.time_first(W::CLOSED_INDEX),
        };
        let kind = self.windows.store_kind(materialized.retention_ms);
        let traits = Traits { versioned: Some(false), grace_ms: Some(self.windows.close_ms()), ..Traits::default() };
        let table = self.grouped.aggregated(plan, materialized, kind, span, self.emit, traits);
        let store = self.grouped.flow.graph().stores_of(table.table).concat();
        KTable { key, getter: Getter::of_windows(store), ..table }
    }
}

macro_rules! windowed {
    ($windows:ident, $span:ident) => {
        impl<K: Data, V: Data> WindowedKStream<K, V, $windows> {
            /// One value a key and window, of a closure that also sees nulls.
            pub fn reduce_nullable<R: Update<V>>(
                &self,
                reduce: impl Fn(V, Option<V>) -> R + Send + Sync + 'static,
                materialized: impl Into<Materialized<K, V>>,
            ) -> KTable<Windowed<K>, V> {
                let materialized = materialized.into().or_serdes(&None, &self.grouped.value);
                self.windowed(nullable_reduce_plan(reduce), materialized, Span::$span(self.windows.into()))
            }

            /// One aggregate a key and window, of a closure that also sees nulls.
            pub fn aggregate_nullable<A: Data, R: Update<A>>(
                &self,
                initial: impl Fn() -> A + Send + Sync + 'static,
                aggregate: impl Fn(&K, Option<V>, A) -> R + Send + Sync + 'static,
                materialized: impl Into<Materialized<K, A>>,
            ) -> KTable<Windowed<K>, A> {
                let plan = nullable_aggregate_plan(initial, aggregate);
                self.windowed(plan, materialized.into(), Span::$span(self.windows.into()))
            }

            /// How many records each key and window has.
            pub fn count(&self, materialized: impl Into<Materialized<K, i64>>) -> KTable<Windowed<K>, i64> {
                let materialized = materialized.into();
                let plan = count_plan(&materialized);
                let plan = Plan { burns: plan.burns && $windows::COUNT_BURNS, ..plan };
                self.windowed(plan, materialized, Span::$span(self.windows.into()))
            }

            /// One value a key and window.
            pub fn reduce<R: Update<V>>(
                &self,
                reduce: impl Fn(V, V) -> R + Send + Sync + 'static,
                materialized: impl Into<Materialized<K, V>>,
            ) -> KTable<Windowed<K>, V> {
                let materialized = materialized.into().or_serdes(&None, &self.grouped.value);
                self.windowed(reduce_plan(reduce), materialized, Span::$span(self.windows.into()))
            }

            /// One aggregate a key and window.
            pub fn aggregate<A: Data, R: Update<A>>(
                &self,
                initial: impl Fn() -> A + Send + Sync + 'static,
                aggregate: impl Fn(&K, V, A) -> R + Send + Sync + 'static,
                materialized: impl Into<Materialized<K, A>>,
            ) -> KTable<Windowed<K>, A> {
                self.windowed(aggregate_plan(initial, aggregate), materialized.into(), Span::$span(self.windows.into()))
            }
        }
    };
}

windowed!(TimeWindows, Time);
windowed!(UnlimitedWindows, Time);
windowed!(SlidingWindows, Sliding);

impl<K: Data, V: Data> WindowedKStream<K, V, SessionWindows> {
    /// One aggregate a key and session, of a closure that also sees nulls.
    pub fn aggregate_nullable<A: Data, R: Update<A>, M: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregate: impl Fn(&K, Option<V>, A) -> R + Send + Sync + 'static,
        merge: impl Fn(&K, A, A) -> M + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, A>>,
    ) -> KTable<Windowed<K>, A> {
        let plan = nullable_aggregate_plan(initial, aggregate);
        self.windowed(plan, materialized.into(), Span::Session(self.windows, merger(merge)))
    }

    /// How many records each key and session has.
    pub fn count(&self, materialized: impl Into<Materialized<K, i64>>) -> KTable<Windowed<K>, i64> {
        let materialized = materialized.into();
        let merge: Merger<K, i64> = Arc::new(|_, left, right| Ok(Some(left.unwrap_or(0) + right.unwrap_or(0))));
        self.windowed(count_plan(&materialized), materialized, Span::Session(self.windows, merge))
    }

    /// One value a key and session; the same closure makes one of two sessions that meet.
    pub fn reduce<R: Update<V>>(
        &self,
        reduce: impl Fn(V, V) -> R + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, V>>,
    ) -> KTable<Windowed<K>, V> {
        let reduce = Arc::new(reduce);
        let both = Arc::clone(&reduce);
        let merge: Merger<K, V> = Arc::new(move |_, left, right| match (left, right) {
            (Some(left), Some(right)) => both(left, right).update(),
            (left, right) => Ok(left.or(right)),
        });
        let plan = reduce_plan(move |left, right| reduce(left, right));
        let materialized = materialized.into().or_serdes(&None, &self.grouped.value);
        self.windowed(plan, materialized, Span::Session(self.windows, merge))
    }

    /// One aggregate a key and session; `merge` makes one of two sessions that meet.
    pub fn aggregate<A: Data, R: Update<A>, M: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregate: impl Fn(&K, V, A) -> R + Send + Sync + 'static,
        merge: impl Fn(&K, A, A) -> M + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, A>>,
    ) -> KTable<Windowed<K>, A> {
        let merge = merger(merge);
        self.windowed(aggregate_plan(initial, aggregate), materialized.into(), Span::Session(self.windows, merge))
    }
}
