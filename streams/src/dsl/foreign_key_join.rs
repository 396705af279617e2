//! Joins of two tables by a key inside the rows of the first (KIP-213).
//! Called by applications. Subscriptions go through one topic to the foreign key, answers through another one back.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;

use super::Flow;
use super::materialized::Materialized;
use super::stream_join::{both, left};
use super::table::KTable;
use crate::graph::table::{Force, View};
use crate::graph::{Graph, Kind, NodeId, Step, Traits};
use crate::op::join::{ForeignKeyStep, ForeignKeyTopic, JoinKind, Joiner, KeySelector};
use crate::op::table::KeepTable;
use crate::record::Data;
use crate::topology::store::{Store, StoreKind};
use crate::topology::{SinkTarget, SourceTopics};

const PROCESSOR: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-";

/// One of the two topics: how it is named, and what it carries.
struct Way {
    carries: &'static str,
    prefix: &'static str,
    topic: &'static str,
    sink: &'static str,
    source: &'static str,
}

const ASKING: Way = Way {
    carries: "subscriptions",
    prefix: "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-",
    topic: "-subscription-registration",
    sink: "-subscription-registration-sink",
    source: "-subscription-registration-source",
};
const ANSWERING: Way = Way {
    carries: "answers",
    prefix: "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-",
    topic: "-subscription-response",
    sink: "-subscription-response-sink",
    source: "-subscription-response-source",
};

impl<K: Data, V: Data> KTable<K, V> {
    /// A row for each row of this table whose foreign key the other one has; None is no foreign key.
    pub fn join_foreign_key<F: Data, R: Data, O: Data>(
        &self,
        other: &KTable<F, R>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        join: impl Fn(&V, &R) -> O + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, O>>,
    ) -> KTable<K, O> {
        self.join_foreign(other, JoinKind::Inner, Arc::new(foreign_key), both(join), materialized.into())
    }

    /// A row for each row of this table; None is no foreign key.
    pub fn left_join_foreign_key<F: Data, R: Data, O: Data>(
        &self,
        other: &KTable<F, R>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        join: impl Fn(&V, Option<&R>) -> O + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, O>>,
    ) -> KTable<K, O> {
        self.join_foreign(other, JoinKind::Left, Arc::new(foreign_key), left(join), materialized.into())
    }

    /// KTableImpl.doJoinOnForeignKey, in its order.
    fn join_foreign<F: Data, R: Data, O: Data>(
        &self,
        other: &KTable<F, R>,
        kind: JoinKind,
        foreign_key: Arc<dyn Fn(&K, &V) -> Option<F> + Send + Sync>,
        joiner: Joiner<K, V, R, O>,
        materialized: Materialized<K, O>,
    ) -> KTable<K, O> {
        let selector: KeySelector<K, V, F> = Arc::new(move |key, value| foreign_key(key?, value?));
        let mut graph = self.flow.graph();
        graph.send_old_values(other.table, Force::Materialize);
        graph.send_old_values(self.table, Force::Materialize);
        let given = self.flow.given.as_deref();
        let topic = topic_name(&mut graph, given, &ASKING);
        graph.add_topic(&topic);
        let send = ForeignKeyStep::<K, V, F, R, O>::Send { foreign_key: selector, kind };
        let send = stored(&mut graph, given, self.flow.node, send, Vec::new(), Vec::new());
        let asked = topic_between::<F, Bytes>(&mut graph, given, &[send], topic, &ASKING);
        graph.copartition(&[&other.flow.sources, std::slice::from_ref(&asked.1)]);
        let store =
            graph.suffixed_or(given, "-subscription-store", "KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-");
        let subscriptions = Store::new(store.clone(), StoreKind::Subscriptions).uncached();
        let receive = ForeignKeyStep::<K, V, F, R, O>::Receive { store: store.clone() };
        let receive = stored(&mut graph, given, asked.0, receive, vec![subscriptions.clone()], Vec::new());
        let foreign = graph.stores_of(other.table);
        let one = ForeignKeyStep::<K, V, F, R, O>::AnswerOne { stores: foreign.clone() };
        let one = stored(&mut graph, given, receive, one, Vec::new(), foreign);
        let all = ForeignKeyStep::<K, V, F, R, O>::AnswerAll { store };
        let all = stored(&mut graph, given, other.flow.node, all, vec![subscriptions], Vec::new());
        let topic = topic_name(&mut graph, given, &ANSWERING);
        graph.add_topic(&topic);
        let answered = topic_between::<K, Bytes>(&mut graph, given, &[one, all], topic, &ANSWERING);
        let sources = graph.copartition(&[&self.flow.sources, std::slice::from_ref(&answered.1)]);
        let stores = graph.stores_of(self.table);
        let resolve = ForeignKeyStep::<K, V, F, R, O>::Resolve { stores: stores.clone(), kind, joiner };
        let resolve = stored(&mut graph, given, answered.0, resolve, Vec::new(), stores);
        let name = graph.suffixed_or(given, "-result", "KTABLE-FK-JOIN-OUTPUT-");
        let store = materialized.store(&mut graph, "KTABLE-FK-JOIN-OUTPUT-", StoreKind::KeyValue);
        let table = graph.add_table(View::Source { store, materialized: materialized.name.is_some() });
        let step =
            Step::new(name.clone(), Arc::new(KeepTable::<K, O> { types: PhantomData })).owning_table(table);
        let traits = Traits { versioned: Some(materialized.is_versioned()), ..Traits::default() };
        let node = graph.add(&[resolve], name.clone(), Kind::Processor(step), traits);
        drop(graph);
        KTable {
            flow: Flow::new(&self.flow.graph, node, name, sources),
            table,
            key: self.key.clone(),
            value: materialized.value,
        }
    }
}

/// The suffix of a step's processor below a given name, and the prefix of a generated one.
fn naming<K, L, F, R, O>(step: &ForeignKeyStep<K, L, F, R, O>) -> (&'static str, &'static str) {
    match step {
        ForeignKeyStep::Send { .. } => ("-subscription-registration-processor", ASKING.prefix),
        ForeignKeyStep::Receive { .. } => ("-subscription-receive", PROCESSOR),
        ForeignKeyStep::AnswerOne { .. } => ("-subscription-join-foreign", PROCESSOR),
        ForeignKeyStep::AnswerAll { .. } => ("-foreign-join-subscription", PROCESSOR),
        ForeignKeyStep::Resolve { .. } => {
            ("-subscription-response-resolver", "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-")
        }
    }
}

fn stored<K: Data, L: Data, F: Data, R: Data, O: Data>(
    graph: &mut Graph,
    given: Option<&str>,
    parent: NodeId,
    operator: ForeignKeyStep<K, L, F, R, O>,
    own: Vec<Store>,
    read: Vec<String>,
) -> NodeId {
    let (suffix, prefix) = naming(&operator);
    let name = graph.suffixed_or(given, suffix, prefix);
    let step = Step::new(name.clone(), Arc::new(operator)).owning(own).connecting(read);
    graph.add(&[parent], name, Kind::Processor(step), Traits::default())
}

fn topic_name(graph: &mut Graph, given: Option<&str>, way: &Way) -> String {
    format!("{}-topic", graph.suffixed_or(given, way.topic, way.prefix))
}

/// A sink and a source on a topic: the source's node and name. The source hangs below the sink, so that it is written after it.
fn topic_between<K: Data, V: Data>(
    graph: &mut Graph,
    given: Option<&str>,
    parents: &[NodeId],
    topic: String,
    way: &Way,
) -> (NodeId, String) {
    let end = || Arc::new(ForeignKeyTopic::<K, V> { name: way.carries, types: PhantomData });
    let name = graph.suffixed_or(given, way.sink, "KTABLE-SINK-");
    let target = SinkTarget::Topic(topic.clone());
    let sink = graph.add(parents, name, Kind::Sink { target, operator: end() }, Traits::default());
    let name = graph.suffixed_or(given, way.source, "KTABLE-SOURCE-");
    let kind = Kind::Source { topics: SourceTopics::Names(vec![topic]), reset: None, operator: end() };
    let source = graph.add(&[sink], name.clone(), kind, Traits::default());
    (source, name)
}
