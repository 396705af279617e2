//! The tables of which each instance has the whole (Java: `GlobalStreamThread`): filled before the first task runs, then
//! kept up to date without regard to the time of other records.
//!
//! Each thread has a copy of its own, which it reads without a lock. Called by `thread.rs`.
//!
//! Not done: one copy for all threads of an instance; global stores on disk, so that each start reads their topics whole.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::TopicPartition;
use client::admin::OffsetSpec;
use client::config::{ConsumerConfig, Isolation};
use client::consumer::Consumer;
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;

use super::app::{Common, known};
use super::collect::{Output, Sender};
use super::decide;
use super::error::StreamsError;
use super::held::{self, incoming};
use crate::assign::TaskId;
use crate::state::{MemoryRows, Rows};
use crate::store::Budget;
use crate::task::{self, Part, Stores, Task, TaskError, TaskParts};
use crate::topology::store::Store;
use crate::topology::{NodeKind, SourceTopics};

/// In messages: the tables are no task of the group.
const ID: TaskId = TaskId { subtopology: 0, partition: -1 };
const PAUSE: Duration = Duration::from_millis(50);

/// The global tables of a thread.
pub(super) struct Globals {
    task: Task,
    consumer: Consumer,
    inputs: BTreeMap<TopicPartition, usize>,
    /// The first of the errors in a row that may pass.
    trouble: Option<Moment>,
}

impl Globals {
    /// Makes and fills them; None where the topology has none, or the thread is to end before. Must be called inside a tokio
    /// runtime.
    pub fn fill(
        common: &Common,
        name: &str,
        output: &Output,
        settings: &Rc<task::Settings>,
        is_over: &AtomicBool,
    ) -> Result<Option<Globals>, StreamsError> {
        let topology = &common.shared.topology;
        if topology.global_stores().is_empty() {
            return Ok(None);
        }
        let mut rows = |_: &Store| Ok(Box::new(MemoryRows::new()) as Box<dyn Rows>);
        let task = Task::new(TaskParts {
            topology,
            part: Part::Globals,
            partition: 0,
            settings: Rc::clone(settings),
            collector: Box::new(Sender::new(output.clone())),
            rows: &mut rows,
            budget: Rc::new(Budget::new(0)),
            globals: None,
            wall_clock: Clock::Real.now_ms(),
        });
        let linked = task.and_then(|mut task| task.start().map(|()| task));
        let task = linked.map_err(|error| StreamsError::Link { id: ID, error })?;
        let (config, _) = ConsumerConfig::from_properties(known(common.config.global_consumer(name)))?;
        let mut globals = Globals { task, consumer: Consumer::connect(config), inputs: BTreeMap::new(), trouble: None };
        let ends = globals.assign(common, output)?;
        let handle = &output.handle;
        let is_behind = |globals: &Globals| {
            ends.iter().any(|(place, end)| globals.consumer.known_position(place).is_none_or(|at| at < *end))
        };
        while is_behind(&globals) {
            // A large topic takes longer than a close may.
            if is_over.load(Ordering::Acquire) {
                return Ok(None);
            }
            globals.advance(handle, PAUSE)?;
        }
        Ok(Some(globals))
    }

    /// Takes all partitions of all global topics from their beginning; where they end now.
    fn assign(&mut self, common: &Common, output: &Output) -> Result<BTreeMap<TopicPartition, i64>, StreamsError> {
        let topology = &common.shared.topology;
        let topics =
            topology.nodes().iter().filter(|node| topology.is_global_source(node)).flat_map(|node| match &node.kind {
                NodeKind::Source { topics: SourceTopics::Names(names), .. } => names.clone(),
                _ => Vec::new(),
            });
        for topic in topics {
            let count = output.handle.block_on(self.consumer.partition_count(&topic))?;
            for partition in 0..i32::try_from(count).unwrap_or(i32::MAX) {
                let has = |input: &task::Input| input.topic == topic && input.partition == partition;
                let known = self.task.inputs().iter().position(has);
                if let Some(input) = known.or_else(|| self.task.add_input(&topic, partition)) {
                    self.inputs.insert(TopicPartition::new(&topic, partition), input);
                }
            }
        }
        let places: Vec<TopicPartition> = self.inputs.keys().cloned().collect();
        self.consumer.assign(&places)?;
        self.consumer.seek_to_beginning(&places)?;
        let wanted = places.into_iter().map(|place| (place, OffsetSpec::Latest)).collect();
        let isolation = match output.guarantee {
            crate::config::Guarantee::AtLeastOnce => Isolation::ReadUncommitted,
            crate::config::Guarantee::ExactlyOnce => Isolation::ReadCommitted,
        };
        let ends = output.handle.block_on(common.shared.admin.list_each_offset(&wanted, isolation))?;
        let ends: Result<BTreeMap<_, _>, _> =
            ends.into_iter().map(|(place, end)| end.map(|end| (place, end))).collect();
        Ok(ends?)
    }

    /// Takes over what came since. While that is not possible the tasks go on with the tables as they are, up to
    /// `task.timeout.ms`.
    pub fn follow(&mut self, handle: &tokio::runtime::Handle, task_timeout: Duration) -> Result<(), StreamsError> {
        match self.advance(handle, Duration::ZERO) {
            Ok(()) => self.trouble = None,
            Err(StreamsError::Client(error)) => {
                if self.trouble.is_none() && error.is_retriable() {
                    tracing::warn!(%error, "the global tables are not kept up to date: tried again until task.timeout.ms");
                }
                return decide::unanswered(ID, error, held::patience(&mut self.trouble, task_timeout));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes over what came within that time.
    fn advance(&mut self, handle: &tokio::runtime::Handle, wait: Duration) -> Result<(), StreamsError> {
        let records = handle.block_on(self.consumer.poll(wait))?;
        let failed = |error: TaskError| StreamsError::Task { id: ID, place: None, error };
        for place in records.partitions() {
            let Some(input) = self.inputs.get(&place) else { continue };
            self.task.add(*input, records.of(&place).map(|record| incoming(&record))).map_err(failed)?;
        }
        if !records.is_empty() {
            let now = Clock::Real.now_ms();
            while self.task.process(now).map_err(failed)? {}
            self.task.flush().map_err(failed)?;
            self.task.committed();
        }
        Ok(())
    }

    /// The stores, for tasks to look into.
    pub fn stores(&self) -> &Stores {
        self.task.stores()
    }
}
