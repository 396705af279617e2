//! `TopologyTestDriver`: a topology at work without a broker, record by record, with a clock that is moved by hand.
//!
//! ```
//! use streams::prelude::*;
//!
//! let builder = StreamsBuilder::new();
//! let words = builder.stream::<String, String>("words").group_by(|_key, word| word.clone());
//! words.count("counts-store").to_stream().to("counts");
//! let topology = builder.build()?;
//!
//! let config = StreamsConfig::new("app", "localhost:9092").set("statestore.cache.max.bytes", 0);
//! let mut driver = TopologyTestDriver::new(&topology, config)?;
//! let input = driver.input::<String, String>("words");
//! let mut output = driver.output::<String, i64>("counts");
//! for (time, word) in ["kafka", "lead", "kafka"].into_iter().enumerate() {
//!     input.pipe(&mut driver, None, word, time as i64)?;
//! }
//! assert_eq!(output.read_map(&mut driver)["kafka"], 2);
//! assert_eq!(driver.store::<KeyValue<String, i64>>("counts-store")?.get("lead")?, Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For tests of applications and of this crate. The task is the one of the runtime; only what surrounds it is made here:
//! all sub-topologies are one task on partition 0, each record is committed, and what is written to a topic that the
//! topology reads goes in again, as in Java's driver. Over several partitions, which Java's cannot, each sub-topology has
//! a task a partition, and keys are placed as a producer places them.

// Typed ends: topics and stores.
mod handles;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::metrics::Metric;
use millstream_base_env::clock::Moment;
use millstream_protocol::murmur2::partition_for_key;

use crate::assign::TaskId;
use crate::config::StreamsConfig;
use crate::record::Header;
use crate::runtime::error::StreamsError as Error;
use crate::runtime::metrics::{Meters, Round, Turn};
use crate::runtime::states::ThreadState;
use crate::serde::{DefaultSerde, Serde};
use crate::state::rows::Row;
use crate::state::{MemoryRows, Rows, StateError};
use crate::store::Budget;
use crate::task::collector::{Fault, SendFailure, To};
use crate::task::errors::{DeserializationHandler, Response};
use crate::task::{
    Collector, Handlers, Incoming, LinkError, Outgoing, Part, Settings, Stores, Task, TaskError, TaskParts, TopicId,
};
use crate::topology::Topology;
use crate::topology::store::Store;

pub use handles::{Given, KeyValueView, SessionView, Sessions, TestInput, TestOutput, Viewed, WindowView};

/// A record that the topology wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
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

struct Recorder {
    sent: Rc<RefCell<Sent>>,
    partitions: u32,
}

/// The partition that a producer gives a key; one without a key goes to the first.
fn partition_of(key: Option<&[u8]>, partitions: u32) -> u32 {
    let count = i32::try_from(partitions).unwrap_or(i32::MAX);
    key.and_then(|key| u32::try_from(partition_for_key(key, count)).ok()).unwrap_or(0)
}

impl Collector for Recorder {
    fn topic(&mut self, name: &str) -> TopicId {
        let names = &mut self.sent.borrow_mut().names;
        let place = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        TopicId(u32::try_from(place).unwrap_or(u32::MAX))
    }

    fn partitions(&mut self, _topic: TopicId) -> u32 {
        self.partitions
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendFailure> {
        let mut sent = self.sent.borrow_mut();
        let topic = sent.names[record.topic.0 as usize].clone();
        let partition = match record.to {
            To::Partition(partition) => partition,
            To::Hash(key) => partition_of(Some(key), self.partitions),
            To::Any => 0,
        };
        if partition >= self.partitions {
            let cause = format!("it has no partition {partition}");
            return Err(SendFailure { topic, cause, fault: Fault::Producer });
        }
        sent.records.push(Output {
            topic,
            partition,
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
    tasks: Vec<DrivenTask>,
    globals: Option<Task>,
    partitions: u32,
    sent: Rc<RefCell<Sent>>,
    outputs: Vec<Output>,
    offsets: HashMap<(String, u32), i64>,
    now: i64,
    meters: Meters,
}

struct DrivenTask {
    partition: u32,
    task: Task,
    id: TaskId,
    /// Records, and how long they took, since they were last told.
    processed: (u64, Duration),
}

/// Opens the rows of a store.
pub type RowsOpener<'a> = &'a mut dyn FnMut(&Store) -> Result<Box<dyn Rows>, StateError>;

impl TopologyTestDriver {
    /// The topology with its stores in memory, under the settings of an application.
    ///
    /// # Errors
    /// A setting that is wrong, or a node that cannot be linked.
    pub fn new(topology: &Topology, config: StreamsConfig) -> Result<TopologyTestDriver, Error> {
        TopologyTestDriver::with_handlers(topology, config, &Handlers::new())
    }

    /// The same with closures that decide about records that fail.
    ///
    /// # Errors
    /// A setting that is wrong, or a node that cannot be linked.
    pub fn with_handlers(
        topology: &Topology,
        config: StreamsConfig,
        handlers: &Handlers,
    ) -> Result<TopologyTestDriver, Error> {
        let settings = config.settings()?;
        let own = Settings::of(&config, &settings).handled_by(handlers);
        Ok(TopologyTestDriver::with_settings(topology, own, settings.cache_bytes)?)
    }

    /// The same over so many partitions of each topic: a task for each sub-topology and partition.
    ///
    /// # Errors
    /// A setting that is wrong, or a node that cannot be linked.
    pub fn partitioned(
        topology: &Topology,
        config: StreamsConfig,
        partitions: u32,
    ) -> Result<TopologyTestDriver, Error> {
        let settings = config.settings()?;
        let own = Settings::of(&config, &settings);
        Ok(TopologyTestDriver::over_partitions(topology, own, settings.cache_bytes, partitions)?)
    }

    /// The topology with its stores in memory and a record cache of `cache_bytes`.
    #[doc(hidden)]
    pub fn with_settings(
        topology: &Topology,
        settings: Settings,
        cache_bytes: usize,
    ) -> Result<TopologyTestDriver, LinkError> {
        let mut memory = |_: &Store| Ok(Box::new(MemoryRows::new()) as Box<dyn Rows>);
        TopologyTestDriver::with_rows(topology, settings, cache_bytes, &mut memory)
    }

    /// The same on another engine.
    #[doc(hidden)]
    pub fn with_rows(
        topology: &Topology,
        settings: Settings,
        cache_bytes: usize,
        rows: RowsOpener<'_>,
    ) -> Result<TopologyTestDriver, LinkError> {
        TopologyTestDriver::made(topology, settings, cache_bytes, rows, &[(Part::Whole, 0)], 1)
    }

    fn over_partitions(
        topology: &Topology,
        settings: Settings,
        cache_bytes: usize,
        partitions: u32,
    ) -> Result<TopologyTestDriver, LinkError> {
        let mut memory = |_: &Store| Ok(Box::new(MemoryRows::new()) as Box<dyn Rows>);
        let mut parts = Vec::new();
        for subtopology in 0..topology.subtopologies() {
            let mut nodes = topology.nodes().iter().filter(|node| node.subtopology == subtopology);
            if nodes.any(|node| !topology.is_global(node)) {
                parts.extend((0..partitions).map(|partition| (Part::Subtopology(subtopology), partition)));
            }
        }
        TopologyTestDriver::made(topology, settings, cache_bytes, &mut memory, &parts, partitions)
    }

    fn made(
        topology: &Topology,
        settings: Settings,
        cache_bytes: usize,
        rows: RowsOpener<'_>,
        parts: &[(Part, u32)],
        partitions: u32,
    ) -> Result<TopologyTestDriver, LinkError> {
        let sent = Rc::new(RefCell::new(Sent::default()));
        let budget = Rc::new(Budget::new(cache_bytes));
        let mut made = |part, partition, settings: Settings, globals: Option<&Stores>| {
            let mut task = Task::new(TaskParts {
                topology,
                part,
                partition,
                settings: Rc::new(settings),
                collector: Box::new(Recorder { sent: Rc::clone(&sent), partitions }),
                rows: &mut *rows,
                budget: Rc::clone(&budget),
                globals,
                wall_clock: 0,
            })?;
            task.start()?;
            Ok::<Task, LinkError>(task)
        };
        let mut globals = None;
        if !topology.global_stores().is_empty() {
            // The thread of global tables leaves out what it cannot decode.
            let skip: DeserializationHandler = Arc::new(|_| Response::Continue);
            let mut settings = settings.clone();
            settings.on_deserialization = Some(skip);
            globals = Some(made(Part::Globals, 0, settings, None)?);
        }
        let mut tasks = Vec::new();
        for (part, partition) in parts {
            let task = made(*part, *partition, settings.clone(), globals.as_ref().map(Task::stores))?;
            // A whole topology is the task 0_0, as in Java.
            let subtopology = if let Part::Subtopology(number) = part { *number } else { 0 };
            let id = TaskId { subtopology, partition: i32::try_from(*partition).unwrap_or(i32::MAX) };
            tasks.push(DrivenTask { partition: *partition, task, id, processed: (0, Duration::ZERO) });
        }
        let (outputs, offsets) = (Vec::new(), HashMap::new());
        let meters = Meters::new(std::thread::current().name().unwrap_or_default());
        Ok(TopologyTestDriver { tasks, globals, partitions, sent, outputs, offsets, now: 0, meters })
    }

    /// Sends a record into a topic that the topology reads, and lets it through.
    pub fn pipe(&mut self, topic: &str, record: Incoming) -> Result<(), TaskError> {
        let partition = partition_of(record.key.as_deref(), self.partitions);
        self.pipe_to(topic, partition, record)
    }

    /// Sends a record into a partition of a topic, and lets it through.
    pub fn pipe_to(&mut self, topic: &str, partition: u32, record: Incoming) -> Result<(), TaskError> {
        let to_task = self.enqueue(topic, partition, &record)?;
        if to_task {
            self.complete()?;
        }
        let to_globals = self.update_globals(topic, record)?;
        if to_task || to_globals {
            return Ok(());
        }
        Err(TaskError::Broken(format!("the topology does not read topic {topic}")))
    }

    /// A topic to write to, with the types' own serdes.
    pub fn input<K: DefaultSerde, V: DefaultSerde>(&self, topic: &str) -> TestInput<K, V> {
        TestInput { topic: topic.to_owned(), key: K::serde(), value: V::serde() }
    }

    /// A topic to write to.
    pub fn input_with<K, V>(
        &self,
        topic: &str,
        key: impl Serde<K> + 'static,
        value: impl Serde<V> + 'static,
    ) -> TestInput<K, V> {
        TestInput { topic: topic.to_owned(), key: Arc::new(key), value: Arc::new(value) }
    }

    /// A topic to read from, with the types' own serdes.
    pub fn output<K: DefaultSerde, V: DefaultSerde>(&self, topic: &str) -> TestOutput<K, V> {
        TestOutput { topic: topic.to_owned(), key: K::serde(), value: V::serde() }
    }

    /// A topic to read from.
    pub fn output_with<K, V>(
        &self,
        topic: &str,
        key: impl Serde<K> + 'static,
        value: impl Serde<V> + 'static,
    ) -> TestOutput<K, V> {
        TestOutput { topic: topic.to_owned(), key: Arc::new(key), value: Arc::new(value) }
    }

    /// Moves the wall clock: timers fire, and what waited for it goes on.
    pub fn advance_wall_clock(&mut self, by: Duration) -> Result<(), TaskError> {
        self.now = self.now.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
        for driven in &mut self.tasks {
            driven.task.punctuate_wall_clock(self.now)?;
            commit(&mut driven.task)?;
        }
        self.complete()
    }

    /// The records written since the last call, in the order in which they were sent.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// The records written to one topic since the last call.
    fn take_from(&mut self, topic: &str) -> Vec<Output> {
        let (wanted, others) = std::mem::take(&mut self.outputs).into_iter().partition(|output| output.topic == topic);
        self.outputs = others;
        wanted
    }

    /// The stores of the first task; global ones are left out.
    pub fn stores(&self) -> Option<&Stores> {
        self.tasks.first().map(|driven| driven.task.stores())
    }

    /// The stores of global tables.
    pub fn global_stores(&self) -> Option<&Stores> {
        self.globals.as_ref().map(Task::stores)
    }

    /// The rows of a store, as its engine has them, partition by partition.
    pub fn rows(&self, store: &str) -> Result<Option<Vec<Row>>, StateError> {
        let tasks = self.tasks.iter().map(|driven| &driven.task).chain(&self.globals);
        let mut found: Option<Vec<Row>> = None;
        for held in tasks.filter_map(|task| task.stores().held(store)) {
            found.get_or_insert_default().extend(held.task.dump()?);
        }
        Ok(found)
    }

    /// How many records operators and queues left out.
    pub fn dropped(&self) -> u64 {
        let tasks = self.tasks.iter().map(|driven| &driven.task).chain(&self.globals);
        tasks.map(|task| task.context().dropped()).sum()
    }

    /// What was measured so far, by the names of Java's metrics: of the thread that calls, the tasks with their nodes and
    /// topics, and the stores (Java: `TopologyTestDriver.metrics`). Ages of records are by the clock that is moved by hand.
    ///
    /// ```
    /// use streams::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").to("out");
    /// let config = StreamsConfig::new("app", "localhost:9092");
    /// let mut driver = TopologyTestDriver::new(&builder.build()?, config)?;
    /// driver.input::<String, String>("in").pipe(&mut driver, None, "hello", 0)?;
    /// let metrics = driver.metrics();
    /// let read = metrics.iter().find(|metric| metric.name == "records-consumed-total").expect("a source");
    /// assert_eq!((read.group, read.value), ("stream-topic-metrics", 1.0));
    /// assert_eq!((read.tags["topic"].as_str(), read.tags["processor-node-id"].as_str()), ("in", "KSTREAM-SOURCE-0000000000"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&mut self) -> Vec<Metric> {
        let mut round = Round::default();
        for driven in &mut self.tasks {
            let task = &mut driven.task;
            task.gauge();
            let turn = Turn {
                processed: std::mem::take(&mut driven.processed),
                buffered: (0..task.inputs().len()).map(|input| task.buffered(input)).sum(),
                tallied: task.take_tallied(),
                tallies: Some(Rc::clone(task.tallies())),
                ended_ms: self.now,
                ..Turn::default()
            };
            round.turns.push((driven.id, turn));
        }
        self.meters.note(&round, Duration::ZERO);
        self.meters.metrics(ThreadState::Running as usize, "")
    }

    fn next_offset(&mut self, topic: &str, partition: u32) -> i64 {
        let next = self.offsets.entry((topic.to_owned(), partition)).or_default();
        *next += 1;
        *next - 1
    }

    /// Gives a record to the task that reads its partition; whether there is one.
    fn enqueue(&mut self, topic: &str, partition: u32, record: &Incoming) -> Result<bool, TaskError> {
        let mut reader = None;
        for (number, driven) in self.tasks.iter_mut().enumerate() {
            if driven.partition != partition {
                continue;
            }
            let known = driven.task.inputs().iter().position(|input| input.topic == topic);
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            if let Some(input) = known.or_else(|| driven.task.add_input(topic, partition)) {
                reader = Some((number, input));
                break;
            }
        }
        let Some((number, input)) = reader else { return Ok(false) };
        let offset = self.next_offset(topic, partition);
        self.tasks[number].task.add(input, [Incoming { offset, ..record.clone() }])?;
        Ok(true)
    }

    /// Lets a record into a global table at once; whether it reads that topic.
    fn update_globals(&mut self, topic: &str, record: Incoming) -> Result<bool, TaskError> {
        let (now, inputs) = (self.now, self.globals.as_ref().map(Task::inputs).unwrap_or_default());
        let Some(input) = inputs.iter().position(|input| input.topic == topic) else { return Ok(false) };
        let offset = self.next_offset(topic, 0);
        let Some(task) = &mut self.globals else { return Ok(false) };
        task.add(input, [Incoming { offset, ..record }])?;
        while task.process(now)? {}
        task.flush()?;
        Ok(true)
    }

    /// TopologyTestDriver.completeAllProcessableWork.
    fn complete(&mut self) -> Result<(), TaskError> {
        self.capture()?;
        let mut progressed = true;
        while progressed {
            progressed = false;
            for number in 0..self.tasks.len() {
                while self.step(number)? {
                    progressed = true;
                }
            }
        }
        Ok(())
    }

    /// Lets the next record of a task through, if there is one that need not wait.
    fn step(&mut self, number: usize) -> Result<bool, TaskError> {
        let (driven, now) = (&mut self.tasks[number], self.now);
        let task = &mut driven.task;
        (0..task.inputs().len()).for_each(|input| task.set_lag(input, Some(0)));
        if !task.has_records() || !task.is_processable(now) {
            return Ok(false);
        }
        let began = Moment::now();
        task.process(now)?;
        driven.processed.0 += 1;
        driven.processed.1 += began.elapsed();
        task.punctuate_stream_time()?;
        commit(task)?;
        self.capture()?;
        Ok(true)
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
            let (topic, partition) = (output.topic.clone(), output.partition);
            self.outputs.push(output);
            self.enqueue(&topic, partition, &record)?;
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

#[cfg(test)]
mod tests;
