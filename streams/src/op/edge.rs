//! Sources and sinks: how bytes become records and records bytes.
//! Recorded by `dsl`; a source makes the queues of its partitions, a sink gives bytes to the task's collector.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::record::{Data, Record};
use crate::serde::{SerdeError, SharedSerde};
use crate::task::collector::{Outgoing, SendFailure, To, TopicId};
use crate::task::errors::{Failure, ProductionFault};
use crate::task::queue::{SourceNode, TypedSource};
use crate::task::settings::TimestampPolicy;
use crate::task::tally::{NodeCounts, Sent, size_of};
use crate::topology::processor::{AnyLink, Children, Context, LinkError, Linking, Operator, Process, ProcessResult};
use crate::topology::{NodeKind, SinkTarget};

/// The time of a record: from it and the partition's time so far; negative to leave it out.
pub type TimestampExtractor<K, V> = Arc<dyn Fn(&Record<K, V>, i64) -> i64 + Send + Sync>;
/// The partitions to send a record to, out of so many: None lets the producer choose, no partition drops it (KIP-837).
pub type Partitioner<K, V> = Arc<dyn Fn(&str, Option<&K>, Option<&V>, u32) -> Option<Vec<u32>> + Send + Sync>;
/// The topic of a record.
pub type TopicChooser<K, V> = Arc<dyn Fn(&Record<K, V>, &Context) -> String + Send + Sync>;

/// Reads a topic; a serde that is None comes from the configuration.
pub struct Source<K, V> {
    /// Of the keys.
    pub key: Option<SharedSerde<K>>,
    /// Of the values.
    pub value: Option<SharedSerde<V>>,
    /// The time of a record, where it is not the broker's.
    pub timestamps: Option<TimestampExtractor<K, V>>,
    /// What happens to a record without a valid time; None is for the settings to say.
    pub policy: Option<TimestampPolicy>,
}

/// Writes to a topic.
pub struct Sink<K, V> {
    /// Of the keys.
    pub key: Option<SharedSerde<K>>,
    /// Of the values.
    pub value: Option<SharedSerde<V>>,
    /// Which partitions; the hash of the key where none is given.
    pub partitioner: Option<Partitioner<K, V>>,
    /// Which topic, where it is chosen for each record.
    pub chooser: Option<TopicChooser<K, V>>,
}

impl<K: Data, V: Data> Operator for Source<K, V> {
    fn name(&self) -> &'static str {
        "source"
    }

    fn source(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<Box<dyn SourceNode>, LinkError> {
        Ok(Box::new(TypedSource {
            node: Rc::clone(linking.node()),
            tally: linking.tallies().node(linking.node(), NodeCounts::Source),
            tallies: Rc::clone(linking.tallies()),
            children: Rc::new(RefCell::new(Children::<K, V>::typed(children)?)),
            key: linking.serde(&self.key)?,
            value: linking.serde(&self.value)?,
            policy: self.policy.unwrap_or(linking.settings().timestamps),
            extractor: self.timestamps.clone(),
        }))
    }
}

/// A sink of one task.
struct Sending<K, V> {
    target: Target<K, V>,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    partitioner: Option<Partitioner<K, V>>,
    sent: Sent,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

enum Target<K, V> {
    One(TopicId, String),
    Chosen(TopicChooser<K, V>),
}

impl<K: Data, V: Data> Operator for Sink<K, V> {
    fn name(&self) -> &'static str {
        "sink"
    }

    fn link(&self, _children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        let target = match (&linking.topology_node().kind, &self.chooser) {
            (_, Some(chooser)) => Target::Chosen(chooser.clone()),
            (NodeKind::Sink { target: SinkTarget::Topic(name), .. }, None) => {
                let name = name.clone();
                Target::One(linking.topic(&name), name)
            }
            _ => return Err(LinkError::NotRunnable("sink without a topic")),
        };
        let mut sent = Sent::new(linking.node(), linking.tallies());
        if let Target::One(topic, name) = &target {
            sent.of(*topic, &linking.whole_name(name));
        }
        Ok(AnyLink::new::<K, V>(Sending {
            target,
            sent,
            key: linking.serde(&self.key)?,
            value: linking.serde(&self.value)?,
            partitioner: self.partitioner.clone(),
            key_bytes: Vec::new(),
            value_bytes: Vec::new(),
        }))
    }
}

impl<K: Data, V: Data> Process<K, V> for Sending<K, V> {
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let chosen_name;
        let (topic, name) = match &self.target {
            Target::One(topic, name) => (*topic, name.as_str()),
            Target::Chosen(choose) => {
                chosen_name = choose(&record, context);
                (context.topic(&chosen_name), chosen_name.as_str())
            }
        };
        self.key_bytes.clear();
        self.value_bytes.clear();
        let key = record.key.as_ref().map_or(Ok(()), |key| self.key.serialize(key, &mut self.key_bytes));
        if let Err(error) = key {
            return refuse(topic, name, None, &record, error, context);
        }
        let value = record.value.as_ref().map_or(Ok(()), |value| self.value.serialize(value, &mut self.value_bytes));
        if let Err(error) = value {
            let key = record.key.is_some().then_some(self.key_bytes.as_slice());
            return refuse(topic, name, Some(key), &record, error, context);
        }
        let key = record.key.is_some().then_some(self.key_bytes.as_slice());
        let value = record.value.is_some().then_some(self.value_bytes.as_slice());
        let sent = self.sent.of(topic, name);
        let bytes = size_of(key.map(<[u8]>::len), value.map(<[u8]>::len), &record.headers);
        let send = |to: To<'_>, context: &mut Context| {
            context.send(Outgoing {
                topic,
                to,
                key,
                value,
                timestamp: Some(record.timestamp),
                headers: &record.headers,
            })?;
            sent.add(bytes);
            Ok::<(), SendFailure>(())
        };
        let chosen = self.partitioner.as_ref().and_then(|partitioner| {
            let count = context.collector().partitions(topic);
            partitioner(name, record.key.as_ref(), record.value.as_ref(), count)
        });
        match (chosen, key) {
            (Some(partitions), _) => {
                for partition in partitions {
                    send(To::Partition(partition), context)?;
                }
            }
            (None, Some(key)) => send(To::Hash(&key[..self.key.routing_len(key.len())]), context)?,
            (None, None) => send(To::Any, context)?,
        }
        Ok(())
    }
}

/// The record's key has no bytes, or, where those of the key are given, its value.
#[cold]
fn refuse<K, V>(
    topic: TopicId,
    name: &str,
    key: Option<Option<&[u8]>>,
    record: &Record<K, V>,
    error: SerdeError,
    context: &mut Context,
) -> ProcessResult {
    let fault = if key.is_some() { ProductionFault::Value } else { ProductionFault::Key };
    let (timestamp, headers) = (Some(record.timestamp), record.headers.as_slice());
    let outgoing = Outgoing { topic, to: To::Any, key: key.flatten(), value: None, timestamp, headers };
    context.fail_serialization(name, &outgoing, fault, error).map_err(Failure::fatal)
}
