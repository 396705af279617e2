//! Joins of two tables by a key inside the rows of the first (KIP-213).
//! Called by applications. Subscriptions go through one topic to the foreign key, answers through another one back.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;

use super::Flow;
use super::materialized::Materialized;
use super::options::{KeyPartitioner, TableJoined};
use super::stream_join::{both, left};
use super::table::KTable;
use crate::graph::table::{Force, View};
use crate::graph::{Graph, Kind, NodeId, Step, Traits};
use crate::op::edge::{Partitioner, Sink, Source};
use crate::op::foreign_key::{
    Answer, AnswerAll, AnswerOne, AnswerSerde, AnswerSink, ReceiveSubscription, ResolveAnswer, SendSubscription,
    SubscriptionSerde, SubscriptionStore,
};
use crate::op::getter::Getter;
use crate::op::join::{JoinKind, Joiner, KeySelector};
use crate::op::table::KeepTable;
use crate::record::Data;
use crate::serde::{BytesSerde, SharedSerde};
use crate::state::format::foreign::Subscription;
use crate::task::outcome::Outcome;
use crate::topology::processor::Operator;
use crate::topology::store::{Store, StoreKind, StoreMaker};
use crate::topology::{SinkTarget, SourceTopics};

const PROCESSOR: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-";

/// One of the two topics: how it is named.
struct Way {
    prefix: &'static str,
    topic: &'static str,
    sink: &'static str,
    source: &'static str,
}

const ASKING: Way = Way {
    prefix: "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-",
    topic: "-subscription-registration",
    sink: "-subscription-registration-sink",
    source: "-subscription-registration-source",
};
const ANSWERING: Way = Way {
    prefix: "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-",
    topic: "-subscription-response",
    sink: "-subscription-response-sink",
    source: "-subscription-response-source",
};

impl<K: Data, V: Data> KTable<K, V> {
    /// A row for each row of this table whose foreign key the other one has; None is no foreign key.
    pub fn join_foreign_key<F: Data, R: Data, O: Data, S: Outcome<Option<F>>, X: Outcome<O>>(
        &self,
        other: &KTable<F, R>,
        foreign_key: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        join: impl Fn(&V, &R) -> X + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, O>>,
    ) -> KTable<K, O> {
        let joiner = (foreign_selector(foreign_key), both(join));
        self.join_foreign(other, JoinKind::Inner, joiner, self.unnamed(), materialized.into())
    }

    /// The same with names and partitioners (`TableJoined`).
    pub fn join_foreign_key_with<F: Data, R: Data, O: Data, S: Outcome<Option<F>>, X: Outcome<O>>(
        &self,
        other: &KTable<F, R>,
        foreign_key: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        join: impl Fn(&V, &R) -> X + Send + Sync + 'static,
        joined: impl Into<TableJoined<K, F>>,
        materialized: impl Into<Materialized<K, O>>,
    ) -> KTable<K, O> {
        let joiner = (foreign_selector(foreign_key), both(join));
        self.join_foreign(other, JoinKind::Inner, joiner, joined.into(), materialized.into())
    }

    /// A row for each row of this table; None is no foreign key.
    pub fn left_join_foreign_key<F: Data, R: Data, O: Data, S: Outcome<Option<F>>, X: Outcome<O>>(
        &self,
        other: &KTable<F, R>,
        foreign_key: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        join: impl Fn(&V, Option<&R>) -> X + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, O>>,
    ) -> KTable<K, O> {
        let joiner = (foreign_selector(foreign_key), left(join));
        self.join_foreign(other, JoinKind::Left, joiner, self.unnamed(), materialized.into())
    }

    /// The same with names and partitioners (`TableJoined`).
    pub fn left_join_foreign_key_with<F: Data, R: Data, O: Data, S: Outcome<Option<F>>, X: Outcome<O>>(
        &self,
        other: &KTable<F, R>,
        foreign_key: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        join: impl Fn(&V, Option<&R>) -> X + Send + Sync + 'static,
        joined: impl Into<TableJoined<K, F>>,
        materialized: impl Into<Materialized<K, O>>,
    ) -> KTable<K, O> {
        let joiner = (foreign_selector(foreign_key), left(join));
        self.join_foreign(other, JoinKind::Left, joiner, joined.into(), materialized.into())
    }

    /// By the name that the user gave the next operator, if any.
    fn unnamed<F>(&self) -> TableJoined<K, F> {
        TableJoined { name: self.flow.given.clone(), ..TableJoined::from(()) }
    }

    /// KTableImpl.doJoinOnForeignKey, in its order.
    fn join_foreign<F: Data, R: Data, O: Data>(
        &self,
        other: &KTable<F, R>,
        kind: JoinKind,
        (selector, joiner): (KeySelector<K, V, F>, Joiner<K, V, R, O>),
        joined: TableJoined<K, F>,
        materialized: Materialized<K, O>,
    ) -> KTable<K, O> {
        let mut graph = self.flow.graph();
        graph.send_old_values(other.table, Force::Materialize);
        graph.send_old_values(self.table, Force::Materialize);
        let given = joined.name.as_deref();
        let topic = topic_name(&mut graph, given, &ASKING);
        graph.add_topic(&topic);
        let send = SendSubscription {
            foreign_key: selector,
            kind,
            primary: self.key.clone(),
            foreign: other.key.clone(),
            value: self.value.clone(),
        };
        let send = SEND.below(&mut graph, given, self.flow.node, send, Vec::new(), Vec::new());
        let asked =
            topic_between(&mut graph, given, &[send], topic, &ASKING, asking(&other.key, joined.other_partitioner));
        graph.copartition(&[&other.flow.sources, std::slice::from_ref(&asked.1)]);
        let store = graph.suffixed_or(given, "-subscription-store", "KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-");
        let subscriptions = subscriptions(&store);
        let receive = ReceiveSubscription { store: store.clone(), foreign: other.key.clone() };
        let receive = RECEIVE.below(&mut graph, given, asked.0, receive, vec![subscriptions.clone()], Vec::new());
        let foreign = graph.stores_of(other.table);
        let one = AnswerOne { getter: other.getter.clone(), value: other.value.clone() };
        let one = ANSWER_ONE.below(&mut graph, given, receive, one, Vec::new(), foreign);
        let all = AnswerAll { store, foreign: other.key.clone(), value: other.value.clone() };
        let all = ANSWER_ALL.below(&mut graph, given, other.flow.node, all, vec![subscriptions], Vec::new());
        let topic = topic_name(&mut graph, given, &ANSWERING);
        graph.add_topic(&topic);
        let answered =
            topic_between(&mut graph, given, &[one, all], topic, &ANSWERING, answering(&self.key, joined.partitioner));
        let sources = graph.copartition(&[&self.flow.sources, std::slice::from_ref(&answered.1)]);
        let stores = graph.stores_of(self.table);
        let resolve = ResolveAnswer {
            getter: self.getter.clone(),
            value: self.value.clone(),
            foreign_value: other.value.clone(),
            kind,
            joiner,
        };
        let resolve = RESOLVE.below(&mut graph, given, answered.0, resolve, Vec::new(), stores);
        drop(graph);
        self.foreign_result(resolve, sources, given, materialized)
    }

    /// The result is a table like one that is read from a topic.
    fn foreign_result<O: Data>(
        &self,
        parent: NodeId,
        sources: Vec<String>,
        given: Option<&str>,
        materialized: Materialized<K, O>,
    ) -> KTable<K, O> {
        let materialized = materialized.or_serdes(&self.key, &None);
        let mut graph = self.flow.graph();
        let name = graph.suffixed_or(given, "-result", "KTABLE-FK-JOIN-OUTPUT-");
        let store = materialized.store(&mut graph, "KTABLE-FK-JOIN-OUTPUT-", StoreKind::KeyValue);
        let getter = Getter::of_store(&store.name);
        let table = graph.add_table(View::Source { store, materialized: materialized.name.is_some() });
        let step = Step::new(name.clone(), Arc::new(KeepTable::<K, O> { types: PhantomData })).owning_table(table);
        let traits = Traits { versioned: Some(materialized.is_versioned()), ..Traits::default() };
        let node = graph.add(&[parent], name.clone(), Kind::Processor(step), traits);
        drop(graph);
        KTable {
            flow: Flow::new(&self.flow.graph, node, name, sources),
            table,
            key: self.key.clone(),
            value: materialized.value,
            getter,
        }
    }
}

fn foreign_selector<K, V, F, S: Outcome<Option<F>>>(
    foreign_key: impl Fn(&K, &V) -> S + Send + Sync + 'static,
) -> KeySelector<K, V, F> {
    Arc::new(move |key, value| match key.zip(value) {
        Some((key, value)) => foreign_key(key, value).outcome(),
        None => Ok(None),
    })
}

/// How a processor is named: the suffix below a given name, and the prefix of a generated one.
struct Naming {
    suffix: &'static str,
    prefix: &'static str,
}

const SEND: Naming = Naming { suffix: "-subscription-registration-processor", prefix: ASKING.prefix };
const RECEIVE: Naming = Naming { suffix: "-subscription-receive", prefix: PROCESSOR };
const ANSWER_ONE: Naming = Naming { suffix: "-subscription-join-foreign", prefix: PROCESSOR };
const ANSWER_ALL: Naming = Naming { suffix: "-foreign-join-subscription", prefix: PROCESSOR };
const RESOLVE: Naming = Naming {
    suffix: "-subscription-response-resolver",
    prefix: "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-",
};

impl Naming {
    fn below(
        &self,
        graph: &mut Graph,
        given: Option<&str>,
        parent: NodeId,
        operator: impl Operator + 'static,
        own: Vec<Store>,
        read: Vec<String>,
    ) -> NodeId {
        let name = graph.suffixed_or(given, self.suffix, self.prefix);
        let step = Step::new(name.clone(), Arc::new(operator)).owning(own).connecting(read);
        graph.add(&[parent], name, Kind::Processor(step), Traits::default())
    }
}

fn subscriptions(name: &str) -> Store {
    let maker = StoreMaker::new(|parts| {
        Ok(SubscriptionStore::subscriptions(parts, Arc::new(BytesSerde), Arc::new(SubscriptionSerde)))
    });
    Store::new(name, StoreKind::Subscriptions).uncached().made_by(maker)
}

/// Both ends of a topic.
struct Ends {
    writer: Arc<dyn Operator>,
    reader: Arc<dyn Operator>,
}

fn asking<F: Data>(key: &Option<SharedSerde<F>>, partitioner: Option<KeyPartitioner<F>>) -> Ends {
    let value: Option<SharedSerde<Subscription>> = Some(Arc::new(SubscriptionSerde));
    let partitioner = partitioner.map(|partitioner| {
        let of_key = move |topic: &str, key: Option<&F>, _: Option<&Subscription>, count| {
            partitioner(topic, key, count).map(|partition| vec![partition])
        };
        Arc::new(of_key) as Partitioner<F, Subscription>
    });
    Ends {
        writer: Arc::new(Sink { key: key.clone(), value: value.clone(), partitioner, chooser: None }),
        reader: Arc::new(Source { key: key.clone(), value, timestamps: None, policy: None }),
    }
}

/// Answers go to the partition that asked, or to where the user says that the key is.
fn answering<K: Data>(key: &Option<SharedSerde<K>>, partitioner: Option<KeyPartitioner<K>>) -> Ends {
    let value: Option<SharedSerde<Answer>> = Some(Arc::new(AnswerSerde));
    if let Some(partitioner) = partitioner {
        return Ends {
            writer: Arc::new(AnswerSink { key: key.clone(), partitioner }),
            reader: Arc::new(Source { key: key.clone(), value, timestamps: None, policy: None }),
        };
    }
    let to_asker: Partitioner<Bytes, Answer> = Arc::new(|_, _, answer: Option<&Answer>, _| {
        answer.and_then(|answer| u32::try_from(answer.partition?).ok()).map(|partition| vec![partition])
    });
    let bytes: Option<SharedSerde<Bytes>> = Some(Arc::new(BytesSerde));
    Ends {
        writer: Arc::new(Sink { key: bytes, value: value.clone(), partitioner: Some(to_asker), chooser: None }),
        reader: Arc::new(Source { key: key.clone(), value, timestamps: None, policy: None }),
    }
}

fn topic_name(graph: &mut Graph, given: Option<&str>, way: &Way) -> String {
    format!("{}-topic", graph.suffixed_or(given, way.topic, way.prefix))
}

/// A sink and a source on a topic: the source's node and name. The source hangs below the sink, so that it is written after it.
fn topic_between(
    graph: &mut Graph,
    given: Option<&str>,
    parents: &[NodeId],
    topic: String,
    way: &Way,
    ends: Ends,
) -> (NodeId, String) {
    let name = graph.suffixed_or(given, way.sink, "KTABLE-SINK-");
    let target = SinkTarget::Topic(topic.clone());
    let sink = graph.add(parents, name, Kind::Sink { target, operator: ends.writer }, Traits::default());
    let name = graph.suffixed_or(given, way.source, "KTABLE-SOURCE-");
    let kind = Kind::Source { topics: SourceTopics::Names(vec![topic]), reset: None, operator: ends.reader };
    let source = graph.add(&[sink], name.clone(), kind, Traits::default());
    (source, name)
}
