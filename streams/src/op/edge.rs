//! Sources and sinks: how bytes become records and records bytes.
//! Recorded by `dsl`; a source links as the entry of typed records, a sink waits for the task's producer.

use std::sync::Arc;

use crate::record::{Data, Record};
use crate::serde::SharedSerde;
use crate::topology::processor::{AnyLink, Children, Context, LinkError, Operator, Process, ProcessResult};

/// The time of a record: from it and the partition's time so far; negative to leave it out.
pub type TimestampExtractor<K, V> = Arc<dyn Fn(&Record<K, V>, i64) -> i64 + Send + Sync>;
/// The partitions to send a record to, out of so many: None lets the producer choose, no partition drops it (KIP-837).
pub type Partitioner<K, V> = Arc<dyn Fn(&str, Option<&K>, Option<&V>, u32) -> Option<Vec<u32>> + Send + Sync>;
/// The topic of a record.
pub type TopicChooser<K, V> = Arc<dyn Fn(&Record<K, V>) -> String + Send + Sync>;

/// Reads a topic; a serde that is None comes from the configuration.
pub struct Source<K, V> {
    /// Of the keys.
    pub key: Option<SharedSerde<K>>,
    /// Of the values.
    pub value: Option<SharedSerde<V>>,
    /// The time of a record, where it is not the broker's.
    pub timestamps: Option<TimestampExtractor<K, V>>,
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

struct Entry<K, V>(Children<K, V>);

impl<K: Data, V: Data> Process<K, V> for Entry<K, V> {
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        self.0.forward(record, context)
    }
}

impl<K: Data, V: Data> Operator for Source<K, V> {
    fn name(&self) -> &'static str {
        "source"
    }

    fn link(&self, children: Vec<AnyLink>) -> Result<AnyLink, LinkError> {
        Ok(AnyLink::new::<K, V>(Entry(Children::typed(children)?)))
    }
}

impl<K: Data, V: Data> Operator for Sink<K, V> {
    fn name(&self) -> &'static str {
        "sink"
    }
}
