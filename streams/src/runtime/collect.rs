//! Bytes of tasks into the thread's producer.
//!
//! Made by the thread, one for each task over one producer; called by sinks and stores on the path of a record. A send
//! appends to the producer's batch; it waits only where metadata or memory is missing. Under exactly-once the first
//! record after a commit begins the next transaction, as Java's `StreamsProducer` does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use client::error::ClientError;
use client::producer::{NewRecord, Producer};
use futures_util::FutureExt;
use millstream_protocol::murmur2::partition_for_key;
use tokio::runtime::Handle;

use crate::config::Guarantee;
use crate::task::collector::{Fault, SendFailure, To};
use crate::task::{Collector, Outgoing, TopicId};

/// Whether the thread's producer has an open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transaction {
    /// None was begun since the last commit.
    None,
    Open,
}

/// The producer of a thread.
#[derive(Clone)]
pub(crate) struct Output {
    pub producer: Producer,
    pub guarantee: Guarantee,
    pub transaction: Rc<Cell<Transaction>>,
    /// What last went wrong with a send, for whoever has to know more than its text.
    pub failure: Rc<RefCell<Option<ClientError>>>,
    pub handle: Handle,
}

impl Output {
    /// Begins a transaction where one is needed and none is open.
    pub fn begin(&self) -> Result<(), ClientError> {
        if self.guarantee == Guarantee::ExactlyOnce && self.transaction.get() == Transaction::None {
            self.producer.begin_transaction()?;
            self.transaction.set(Transaction::Open);
        }
        Ok(())
    }
}

struct Topic {
    name: String,
    /// Looked up with the first record that is placed by its key.
    partitions: Option<u32>,
}

/// What a task sends with.
pub(crate) struct Sender {
    output: Output,
    topics: Vec<Topic>,
}

impl Sender {
    pub fn new(output: Output) -> Sender {
        Sender { output, topics: Vec::new() }
    }

    #[cold]
    fn failure(&self, topic: TopicId, cause: ClientError) -> SendFailure {
        let text = cause.to_string();
        let is_record = matches!(cause, ClientError::RecordTooLarge { .. });
        let fault = if is_record { Fault::Record } else { Fault::Producer };
        *self.output.failure.borrow_mut() = Some(cause);
        let topic = self.topics.get(topic.0 as usize).map(|topic| topic.name.clone()).unwrap_or_default();
        SendFailure { topic, cause: text, fault }
    }

    fn count(&mut self, topic: TopicId) -> Result<u32, SendFailure> {
        let known = &self.topics[topic.0 as usize];
        if let Some(count) = known.partitions {
            return Ok(count);
        }
        let found = self.output.handle.block_on(self.output.producer.partition_count(&known.name));
        let count = found.map_err(|error| self.failure(topic, error))?;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.topics[topic.0 as usize].partitions = Some(count);
        Ok(count)
    }
}

impl Collector for Sender {
    fn topic(&mut self, name: &str) -> TopicId {
        let known = self.topics.iter().position(|topic| topic.name == name);
        let place = known.unwrap_or_else(|| {
            self.topics.push(Topic { name: name.to_owned(), partitions: None });
            self.topics.len() - 1
        });
        TopicId(u32::try_from(place).unwrap_or(u32::MAX))
    }

    fn partitions(&mut self, topic: TopicId) -> u32 {
        self.count(topic).unwrap_or(1)
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendFailure> {
        self.output.begin().map_err(|error| self.failure(record.topic, error))?;
        let partition = match record.to {
            To::Partition(partition) => i32::try_from(partition).ok(),
            To::Hash(key) => {
                let count = self.count(record.topic)?;
                Some(partition_for_key(key, i32::try_from(count).unwrap_or(i32::MAX)))
            }
            To::Any => None,
        };
        // No allocation where there are no headers.
        let headers: Vec<(&str, Option<&[u8]>)> =
            record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let new = NewRecord {
            topic: &self.topics[record.topic.0 as usize].name,
            partition,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: &headers,
        };
        let sent = match self.output.producer.push(new).now_or_never() {
            Some(sent) => sent,
            None => self.output.handle.block_on(self.output.producer.push(new)),
        };
        sent.map_err(|error| self.failure(record.topic, error))
    }
}
