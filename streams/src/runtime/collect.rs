//! Bytes of tasks into the thread's producer.
//!
//! Made by the thread, one for each task over one producer; called by sinks and stores on the path of a record. A send
//! appends to the producer's batch; it waits only where metadata or memory is missing. Under exactly-once the first
//! record after a commit begins the next transaction, as Java's `StreamsProducer` does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use client::error::ClientError;
use client::producer::{NewRecord, Producer};
use futures_util::FutureExt;
use millstream_base_env::clock::Moment;
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
    /// Since then.
    Open(Moment),
}

/// The producer of a thread: whoever sends, sends with the one that it has now.
#[derive(Clone)]
pub(crate) struct Output {
    producer: Rc<RefCell<Producer>>,
    pub guarantee: Guarantee,
    pub transaction: Rc<Cell<Transaction>>,
    /// What last went wrong with a send, for whoever has to know more than its text.
    pub failure: Rc<RefCell<Option<ClientError>>>,
    pub handle: Handle,
    /// Goes up with each commit: what is remembered of topics is looked up anew.
    commits: Rc<Cell<u32>>,
}

impl Output {
    pub fn new(producer: Producer, guarantee: Guarantee, handle: Handle) -> Output {
        Output {
            producer: Rc::new(RefCell::new(producer)),
            guarantee,
            transaction: Rc::new(Cell::new(Transaction::None)),
            failure: Rc::default(),
            handle,
            commits: Rc::default(),
        }
    }

    /// The producer, to wait for.
    pub fn producer(&self) -> Producer {
        self.producer.borrow().clone()
    }

    /// Another producer for all who send: the transaction of the one before is nobody's any more.
    pub fn renew(&self, producer: Producer) {
        self.producer.replace(producer);
        self.transaction.set(Transaction::None);
        self.failure.take();
    }

    /// What was sent is committed.
    pub fn committed(&self) {
        self.commits.set(self.commits.get().wrapping_add(1));
    }

    /// Begins a transaction where one is needed and none is open.
    pub fn begin(&self) -> Result<(), ClientError> {
        if self.guarantee == Guarantee::ExactlyOnce && self.transaction.get() == Transaction::None {
            self.producer.borrow().begin_transaction()?;
            self.transaction.set(Transaction::Open(Moment::now()));
        }
        Ok(())
    }

    /// How long the transaction has been open.
    pub fn transaction_age(&self) -> Option<Duration> {
        match self.transaction.get() {
            Transaction::None => None,
            Transaction::Open(since) => Some(since.elapsed()),
        }
    }
}

struct Topic {
    name: String,
    /// Looked up with the first record after a commit that is placed by its key, as topics may get more of them (Java asks
    /// its producer each time): the commits before, and how many there were.
    partitions: Option<(u32, u32)>,
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
        let (known, commits) = (&self.topics[topic.0 as usize], self.output.commits.get());
        if let Some((_, count)) = known.partitions.filter(|(of, _)| *of == commits) {
            return Ok(count);
        }
        // What the producer knows by now, and the cluster is asked only where it knows nothing.
        let found = self.output.handle.block_on(self.output.producer().partition_count(&known.name));
        let count = found.map_err(|error| self.failure(topic, error))?;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.topics[topic.0 as usize].partitions = Some((commits, count));
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
        let producer = self.output.producer.borrow();
        // What is too large is for the handler: the transaction goes on if that leaves out what goes to a sink (in Java it
        // does not).
        let sent = match producer.push_or_leave_out(new).now_or_never() {
            Some(sent) => sent,
            None => self.output.handle.block_on(producer.push_or_leave_out(new)),
        };
        drop(producer);
        sent.map_err(|error| self.failure(record.topic, error))
    }

    fn spoil(&mut self) {
        if let Some(error) = &*self.output.failure.borrow() {
            self.output.producer.borrow().spoil(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use client::config::ProducerConfig;
    use client::metadata::Cluster;

    use super::*;

    /// Whoever sends beside the tasks (dead letters of global tables) must not write with a producer that is shut out.
    #[test]
    fn all_who_send_send_with_the_producer_of_now() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let _inside = runtime.enter();
        let producer = |id: Option<&str>| {
            let config = ProducerConfig { transactional_id: id.map(str::to_owned), ..ProducerConfig::default() };
            Producer::new(Cluster::new("127.0.0.1:1"), config)
        };
        let output = Output::new(producer(None), Guarantee::ExactlyOnce, runtime.handle().clone());
        let mut sender = Sender::new(output.clone());
        let topic = sender.topic("t");
        let record = Outgoing { topic, to: To::Any, key: None, value: None, timestamp: None, headers: &[] };
        let before = sender.send(record).expect_err("no transactional.id").cause;
        output.renew(producer(Some("id")));
        assert!(output.failure.borrow().is_none(), "the errors of the one before are over");
        let after = sender.send(record).expect_err("not initialized").cause;
        assert_ne!(before, after);
    }
}
