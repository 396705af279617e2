//! `TopologyTestDriver`: a topology at work without a broker, record by record, with a clock that is moved by hand.
//! For tests of applications and of this crate. The task is the one of the runtime; only what surrounds it is made here:
//! all sub-topologies are one task on partition 0, each record is committed, and what is written to a topic that the
//! topology reads goes in again, as in Java's driver.
//! Not done: several partitions.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::record::Header;
use crate::serde::{Serde, SerdeError};
use crate::state::rows::Row;
use crate::state::{MemoryRows, Rows, StateError};
use crate::store::Budget;
use crate::task::collector::{SendFailure, To};
use crate::task::errors::{DeserializationHandler, Response};
use crate::task::{
    Collector, Incoming, LinkError, Outgoing, Part, Settings, Stores, Task, TaskError, TaskParts, TopicId,
};
use crate::topology::Topology;
use crate::topology::store::Store;

/// A record that the topology wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its topic.
    pub topic: String,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its time; None where the producer would take the present.
    pub timestamp: Option<i64>,
    /// Its headers.
    pub headers: Vec<Header>,
}

/// What was sent and not yet looked at.
#[derive(Default)]
struct Sent {
    names: Vec<String>,
    records: Vec<Output>,
}

struct Recorder(Rc<RefCell<Sent>>);

impl Collector for Recorder {
    fn topic(&mut self, name: &str) -> TopicId {
        let names = &mut self.0.borrow_mut().names;
        let place = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        TopicId(u32::try_from(place).unwrap_or(u32::MAX))
    }

    fn partitions(&mut self, _topic: TopicId) -> u32 {
        1
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendFailure> {
        let mut sent = self.0.borrow_mut();
        let topic = sent.names[record.topic.0 as usize].clone();
        if let To::Partition(partition @ 1..) = record.to {
            let cause = format!("it has no partition {partition}");
            return Err(SendFailure { topic, cause });
        }
        sent.records.push(Output {
            topic,
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            timestamp: record.timestamp,
            headers: record.headers.to_vec(),
        });
        Ok(())
    }
}

/// A topology at work without a broker.
pub struct TopologyTestDriver {
    task: Option<Task>,
    globals: Option<Task>,
    sent: Rc<RefCell<Sent>>,
    outputs: Vec<Output>,
    offsets: HashMap<String, i64>,
    now: i64,
}

/// Opens the rows of a store.
pub type RowsOpener<'a> = &'a mut dyn FnMut(&Store) -> Result<Box<dyn Rows>, StateError>;

impl TopologyTestDriver {
    /// The topology with its stores in memory and a record cache of `cache_bytes`.
    pub fn new(
        topology: &Topology,
        settings: Settings,
        cache_bytes: usize,
    ) -> Result<TopologyTestDriver, LinkError> {
        let mut memory = |_: &Store| Ok(Box::new(MemoryRows::new()) as Box<dyn Rows>);
        TopologyTestDriver::with_rows(topology, settings, cache_bytes, &mut memory)
    }

    /// The same on another engine.
    pub fn with_rows(
        topology: &Topology,
        settings: Settings,
        cache_bytes: usize,
        rows: RowsOpener<'_>,
    ) -> Result<TopologyTestDriver, LinkError> {
        let sent = Rc::new(RefCell::new(Sent::default()));
        let budget = Rc::new(Budget::new(cache_bytes));
        let mut task = |part, settings: Settings, globals: Option<&Stores>| {
            Task::new(TaskParts {
                topology,
                part,
                partition: 0,
                settings: Rc::new(settings),
                collector: Box::new(Recorder(Rc::clone(&sent))),
                rows: &mut *rows,
                budget: Rc::clone(&budget),
                globals,
                wall_clock: 0,
            })
        };
        let mut globals = None;
        if !topology.global_stores().is_empty() {
            // The thread of global tables leaves out what it cannot decode.
            let skip: DeserializationHandler = Arc::new(|_| Response::Continue);
            let mut settings = settings.clone();
            settings.on_deserialization = Some(skip);
            globals = Some(task(Part::Globals, settings, None)?);
        }
        let rest = task(Part::Whole, settings, globals.as_ref().map(Task::stores))?;
        let task = (!rest.inputs().is_empty()).then_some(rest);
        Ok(TopologyTestDriver { task, globals, sent, outputs: Vec::new(), offsets: HashMap::new(), now: 0 })
    }

    /// Sends a record into a topic that the topology reads, and lets it through.
    pub fn pipe(&mut self, topic: &str, record: Incoming) -> Result<(), TaskError> {
        let to_task = self.enqueue(topic, &record)?;
        if to_task {
            self.complete()?;
        }
        let to_globals = self.update_globals(topic, record)?;
        if to_task || to_globals {
            return Ok(());
        }
        Err(TaskError::Broken(format!("the topology does not read topic {topic}")))
    }

    /// Sends a key and a value.
    pub fn pipe_pair<K, V>(
        &mut self,
        topic: &str,
        key: (&dyn Serde<K>, Option<&K>),
        value: (&dyn Serde<V>, Option<&V>),
        timestamp: i64,
    ) -> Result<(), TaskError> {
        let (key, value) = (encode(key), encode(value));
        self.pipe(topic, Incoming { offset: 0, timestamp, key, value, headers: Vec::new() })
    }

    /// Moves the wall clock: timers fire, and what waited for it goes on.
    pub fn advance_wall_clock(&mut self, by: Duration) -> Result<(), TaskError> {
        self.now = self.now.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
        if let Some(task) = &mut self.task {
            task.punctuate_wall_clock(self.now)?;
            commit(task)?;
        }
        self.complete()
    }

    /// The records written since the last call, in the order in which they were sent.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// The records written to one topic since the last call, decoded.
    #[allow(clippy::type_complexity, reason = "a key and a value, either of which may be missing")]
    pub fn read<K, V>(
        &mut self,
        topic: &str,
        key: &dyn Serde<K>,
        value: &dyn Serde<V>,
    ) -> Result<Vec<(Option<K>, Option<V>)>, SerdeError> {
        let (wanted, others) =
            std::mem::take(&mut self.outputs).into_iter().partition(|output| output.topic == topic);
        self.outputs = others;
        let wanted: Vec<Output> = wanted;
        let pair = |output: Output| {
            let key = output.key.map(|bytes| key.deserialize(bytes)).transpose()?;
            Ok((key, output.value.map(|bytes| value.deserialize(bytes)).transpose()?))
        };
        wanted.into_iter().map(pair).collect()
    }

    /// The stores of the tasks, global ones left out.
    pub fn stores(&self) -> Option<&Stores> {
        self.task.as_ref().map(Task::stores)
    }

    /// The stores of global tables.
    pub fn global_stores(&self) -> Option<&Stores> {
        self.globals.as_ref().map(Task::stores)
    }

    /// The rows of a store, as its engine has them.
    pub fn rows(&self, store: &str) -> Result<Option<Vec<Row>>, StateError> {
        let stores = [self.stores(), self.global_stores()];
        let held = stores.into_iter().flatten().find_map(|stores| stores.held(store));
        held.map(|held| held.task.dump()).transpose()
    }

    /// How many records operators and queues left out.
    pub fn dropped(&self) -> u64 {
        let tasks = [&self.task, &self.globals];
        tasks.into_iter().flatten().map(|task| task.context().dropped()).sum()
    }

    fn next_offset(&mut self, topic: &str) -> i64 {
        let next = self.offsets.entry(topic.to_owned()).or_default();
        *next += 1;
        *next - 1
    }

    /// Gives a record to the task; whether it reads that topic.
    fn enqueue(&mut self, topic: &str, record: &Incoming) -> Result<bool, TaskError> {
        let Some(task) = &mut self.task else { return Ok(false) };
        let known = task.inputs().iter().position(|input| input.topic == topic);
        let Some(input) = known.or_else(|| task.add_input(topic, 0)) else { return Ok(false) };
        let offset = self.next_offset(topic);
        let Some(task) = &mut self.task else { return Ok(false) };
        task.add(input, [Incoming { offset, ..record.clone() }])?;
        Ok(true)
    }

    /// Lets a record into a global table at once; whether it reads that topic.
    fn update_globals(&mut self, topic: &str, record: Incoming) -> Result<bool, TaskError> {
        let (now, inputs) = (self.now, self.globals.as_ref().map(Task::inputs).unwrap_or_default());
        let Some(input) = inputs.iter().position(|input| input.topic == topic) else { return Ok(false) };
        let offset = self.next_offset(topic);
        let Some(task) = &mut self.globals else { return Ok(false) };
        task.add(input, [Incoming { offset, ..record }])?;
        while task.process(now)? {}
        task.flush()?;
        Ok(true)
    }

    /// TopologyTestDriver.completeAllProcessableWork.
    fn complete(&mut self) -> Result<(), TaskError> {
        self.capture()?;
        loop {
            let (Some(task), now) = (&mut self.task, self.now) else { return Ok(()) };
            (0..task.inputs().len()).for_each(|input| task.set_lag(input, Some(0)));
            if !task.has_records() || !task.is_processable(now) {
                return Ok(());
            }
            task.process(now)?;
            task.punctuate_stream_time()?;
            commit(task)?;
            self.capture()?;
        }
    }

    /// Takes what was sent, and gives it to whoever reads it.
    fn capture(&mut self) -> Result<(), TaskError> {
        let records = std::mem::take(&mut self.sent.borrow_mut().records);
        for output in records {
            let record = Incoming {
                offset: 0,
                timestamp: output.timestamp.unwrap_or(self.now),
                key: output.key.clone(),
                value: output.value.clone(),
                headers: output.headers.clone(),
            };
            let topic = output.topic.clone();
            self.outputs.push(output);
            self.enqueue(&topic, &record)?;
            self.update_globals(&topic, record)?;
        }
        Ok(())
    }
}

/// The steps of a commit, without offsets: nobody keeps them here.
fn commit(task: &mut Task) -> Result<(), TaskError> {
    if task.is_commit_needed() {
        task.flush()?;
        task.committed();
    }
    Ok(())
}

fn encode<T>((serde, value): (&dyn Serde<T>, Option<&T>)) -> Option<Bytes> {
    value.map(|value| {
        let mut bytes = Vec::new();
        serde.serialize(value, &mut bytes);
        Bytes::from(bytes)
    })
}
