//! Several grouped streams into one aggregate (KIP-150).
//! Made by `KGroupedStream::cogroup`. Never merges their records: all sides work on one store.

use std::sync::Arc;

use super::grouped::{KGroupedStream, WindowSpec, merger};
use super::materialized::Materialized;
use super::table::KTable;
use super::windows::{EmitStrategy, SessionWindows, SlidingWindows, TimeWindows, UnlimitedWindows};
use super::{Flow, asked_by_operator, repartition_edge};
use crate::graph::repartition::Edge;
use crate::graph::table::View;
use crate::graph::{Kind, NodeId, Step, Traits};
use crate::op::aggregate::{Aggregation, Aggregator, Initializer, Span};
use crate::op::getter::Getter;
use crate::op::stateless::pass;
use crate::record::{Change, Data, Windowed};
use crate::serde::SharedSerde;
use crate::task::outcome::{Outcome, Undone, Update, update};
use crate::topology::processor::Operator;
use crate::topology::store::{Store, StoreKind};

const AGGREGATE: &str = "COGROUPKSTREAM-AGGREGATE-";

/// Makes one stream's operator out of what is common to all.
type Make<K, A> = Arc<dyn Fn(&Common<K, A>) -> Arc<dyn Operator>>;

/// What is common to all streams of one aggregate.
struct Common<K, A> {
    initial: Arc<dyn Fn() -> A + Send + Sync>,
    span: Span<K, A>,
    store: String,
}

struct Part<K, A> {
    flow: Flow,
    topic: Option<String>,
    edge: Edge,
    make: Make<K, A>,
}

/// Grouped streams on their way into one aggregate.
pub struct CogroupedKStream<K, A> {
    first: Flow,
    key: Option<SharedSerde<K>>,
    parts: Vec<Part<K, A>>,
}

impl<K: Data, A: Data> CogroupedKStream<K, A> {
    pub(crate) fn new(first: &Flow) -> CogroupedKStream<K, A> {
        CogroupedKStream { first: first.clone(), key: None, parts: Vec::new() }
    }

    /// The same, whose nodes get this name (Java's `Named`).
    pub fn named(self, name: &str) -> CogroupedKStream<K, A> {
        CogroupedKStream { first: self.first.named(name), ..self }
    }

    /// Takes one more stream in.
    pub fn cogroup<V: Data, R: Update<A>>(
        self,
        grouped: &KGroupedStream<K, V>,
        aggregate: impl Fn(&K, V, A) -> R + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        self.part(grouped, move |key, value, so_far| match value {
            Some(value) => update(so_far, |so_far| aggregate(key, value, so_far)),
            None => Ok(Some(so_far)),
        })
    }

    /// The same with a closure that also sees the nulls that windows and sessions hand on.
    pub fn cogroup_nullable<V: Data, R: Update<A>>(
        self,
        grouped: &KGroupedStream<K, V>,
        aggregate: impl Fn(&K, Option<V>, A) -> R + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        self.part(grouped, move |key, value, so_far| update(so_far, |so_far| aggregate(key, value, so_far)))
    }

    fn part<V: Data>(
        mut self,
        grouped: &KGroupedStream<K, V>,
        aggregate: impl Fn(&K, Option<V>, A) -> Result<Option<A>, Undone<A>> + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        let aggregate = Arc::new(aggregate);
        let make: Make<K, A> = Arc::new(move |common| {
            let (start, first, aggregate) =
                (Arc::clone(&common.initial), Arc::clone(&common.initial), Arc::clone(&aggregate));
            let initializer: Initializer<A> = Arc::new(move || Some(start()));
            let aggregator: Aggregator<K, V, A> =
                Arc::new(move |key, value, so_far| aggregate(key, value, so_far.unwrap_or_else(|| first())));
            Arc::new(Aggregation {
                initializer,
                aggregator,
                span: common.span.clone(),
                emit: EmitStrategy::default(),
                store: common.store.clone(),
            })
        });
        let edge = repartition_edge(grouped.key.clone(), grouped.value.clone(), None);
        self.key = self.key.or(grouped.key.clone());
        self.parts.push(Part { flow: grouped.flow.clone(), topic: grouped.topic.clone(), edge, make });
        self
    }

    /// One aggregate a key of all streams.
    pub fn aggregate(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, A>>,
    ) -> KTable<K, A> {
        let materialized = materialized.into().or_serdes(&self.key, &None);
        let store = materialized.store(&mut self.first.graph(), AGGREGATE, StoreKind::KeyValue);
        let common = Common { initial: Arc::new(initial), span: Span::Forever, store: store.name.clone() };
        let traits = Traits { versioned: Some(materialized.is_versioned()), ..Traits::default() };
        KTable { key: materialized.key, value: materialized.value, ..self.table(&common, &store, traits) }
    }

    /// Groups by windows or sessions too.
    pub fn windowed_by<W: WindowSpec>(self, windows: W) -> WindowedCogroupedKStream<K, A, W> {
        WindowedCogroupedKStream { cogrouped: self, windows }
    }

    fn windowed(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        span: Span<K, A>,
        windows: &impl WindowSpec,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let materialized = materialized.or_serdes(&self.key, &None);
        let known = materialized.key.clone().or_else(|| self.first.graph().serdes.get::<K>());
        let key = known.map(|key| windows.key_serde(key));
        let kind = windows.store_kind(materialized.retention_ms);
        let store = materialized.store(&mut self.first.graph(), AGGREGATE, kind);
        let common = Common { initial: Arc::new(initial), span, store: store.name.clone() };
        let traits = Traits { grace_ms: Some(windows.close_ms()), ..Traits::default() };
        let getter = Getter::of_windows(&store.name);
        KTable { key, value: materialized.value, getter, ..self.table(&common, &store, traits) }
    }

    /// CogroupedStreamAggregateBuilder: all repartitions, then all aggregates, then what brings their results together.
    fn table<O: Data>(&self, common: &Common<K, A>, store: &Store, traits: Traits) -> KTable<O, A> {
        let parents: Vec<NodeId> = self.parts.iter().map(|part| part.parent(&store.name)).collect();
        let mut graph = self.first.graph();
        let groups: Vec<&[String]> = self.parts.iter().map(|part| part.flow.sources.as_slice()).collect();
        graph.copartition(&groups);
        let given = self.first.given.as_deref();
        let table = graph.add_table(View::Aggregate { store: store.name.clone() });
        let mut aggregates = Vec::new();
        for (number, (part, parent)) in self.parts.iter().zip(parents).enumerate() {
            let name = graph.suffixed_or(given, &format!("-cogroup-agg-{number}"), AGGREGATE);
            let step = Step::new(name.clone(), (part.make)(common)).owning(vec![store.clone()]).table(table);
            aggregates.push(graph.add(&[parent], name, Kind::Processor(step), traits));
        }
        let name = graph.suffixed_or(given, "-cogroup-merge", "COGROUPKSTREAM-MERGE-");
        let step = Step::new(name.clone(), pass::<O, Change<A>>("cogroup merge"));
        let node = graph.add(&aggregates, name.clone(), Kind::Processor(step), Traits::default());
        drop(graph);
        KTable {
            flow: Flow::new(&self.first.graph, node, name.clone(), vec![name]),
            table,
            key: None,
            value: None,
            getter: Getter::of_store(&store.name),
        }
    }
}

/// Several grouped streams on their way into one aggregate a window.
pub struct WindowedCogroupedKStream<K, A, W> {
    cogrouped: CogroupedKStream<K, A>,
    windows: W,
}

macro_rules! windowed {
    ($windows:ident, $span:ident) => {
        impl<K: Data, A: Data> WindowedCogroupedKStream<K, A, $windows> {
            /// One aggregate a key and window of all streams.
            pub fn aggregate(
                &self,
                initial: impl Fn() -> A + Send + Sync + 'static,
                materialized: impl Into<Materialized<K, A>>,
            ) -> KTable<Windowed<K>, A> {
                self.cogrouped.windowed(initial, Span::$span(self.windows.into()), &self.windows, materialized.into())
            }
        }
    };
}

windowed!(TimeWindows, Time);
windowed!(UnlimitedWindows, Time);
windowed!(SlidingWindows, Sliding);

impl<K: Data, A: Data> WindowedCogroupedKStream<K, A, SessionWindows> {
    /// One aggregate a key and session of all streams; `merge` makes one of two sessions that meet.
    pub fn aggregate<M: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        merge: impl Fn(&K, A, A) -> M + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, A>>,
    ) -> KTable<Windowed<K>, A> {
        let merge = merger(merge);
        self.cogrouped.windowed(initial, Span::Session(self.windows, merge), &self.windows, materialized.into())
    }
}

impl<K, A> Part<K, A> {
    fn parent(&self, store: &str) -> NodeId {
        if !self.flow.rekeyed {
            return self.flow.node;
        }
        let (node, _) = asked_by_operator(&self.flow, self.topic.as_deref().unwrap_or(store), self.edge.clone());
        self.flow.graph().attach(self.flow.node, node);
        node
    }
}
