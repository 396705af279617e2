//! A stream thread: poll, hand records to tasks, process, commit. The one loop.
//!
//! Runs on an OS thread of its own that owns its tasks whole; the network works on tokio beside it and is waited for
//! only at the edges of a round (Java: `StreamThread.runOnce`). Tasks come and go in `rebalance.rs`, stores are filled
//! in `restore.rs`, commits are `commit.rs`'s.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::TopicPartition;
use client::config::{ConsumerConfig, ProducerConfig};
use client::consumer::{Consumer, Offsets, RebalanceListener, Records};
use client::producer::Producer;
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::app::{Common, known};
use super::collect::{Output, Transaction};
use super::error::{StreamsError, is_migrated};
use super::globals::Globals;
use super::held::{Held, Role, incoming};
use super::member::Membership;
use super::states::ThreadState;
use crate::assign::{Call, Subscription, TaskId};
use crate::config::Guarantee;
use crate::store::Budget;
use crate::task::{self, TaskError};
use crate::topology::{NodeKind, SourceTopics};

/// Records of a task in a row, before the others have their turn.
const TURN: usize = 500;

/// What the consumer told of partitions, in the order in which it happened.
pub(super) enum Told {
    Revoked(Vec<TopicPartition>),
    Lost,
}

/// Writes down what the consumer tells, until the poll is over.
struct Ear(Arc<Mutex<Vec<Told>>>);

impl RebalanceListener for Ear {
    fn assigned(&mut self, _partitions: &[TopicPartition]) {}

    fn revoked(&mut self, partitions: &[TopicPartition], _commit: &mut Offsets) {
        self.0.lock().push(Told::Revoked(partitions.to_vec()));
    }

    fn lost(&mut self, _partitions: &[TopicPartition]) {
        self.0.lock().push(Told::Lost);
    }
}

/// What others want of a thread.
#[derive(Default)]
pub(crate) struct Wishes {
    /// It is to end.
    pub stop: AtomicBool,
    /// It is to process nothing.
    pub pause: AtomicBool,
}

/// A stream thread.
pub(crate) struct StreamThread {
    pub(super) common: Arc<Common>,
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) handle: Handle,
    pub(super) wishes: Arc<Wishes>,
    pub(super) consumer: Consumer,
    pub(super) restorer: Option<Consumer>,
    pub(super) output: Output,
    pub(super) member: Arc<Membership>,
    pub(super) told: Arc<Mutex<Vec<Told>>>,
    pub(super) settings: Rc<task::Settings>,
    pub(super) budget: Rc<Budget>,
    pub(super) tasks: BTreeMap<TaskId, Held>,
    /// Of each partition that is read: its task, and its place among the inputs of that task.
    pub(super) inputs: HashMap<TopicPartition, (TaskId, usize)>,
    pub(super) paused: Vec<TopicPartition>,
    pub(super) committed: Moment,
    pub(super) purged: Moment,
    pub(super) globals: Option<Globals>,
    /// A task did not come to the end of its records.
    busy: bool,
    /// When to call for a rebalance, in milliseconds since 1970.
    pub(super) rebalance_at: Option<i64>,
    state: ThreadState,
}

impl StreamThread {
    /// A thread that has not joined the group yet. Must be called inside a tokio runtime.
    pub fn new(
        common: &Arc<Common>,
        index: usize,
        wishes: Arc<Wishes>,
        handle: Handle,
    ) -> Result<StreamThread, StreamsError> {
        let name = format!("{}-StreamThread-{index}", common.client_id);
        let pairs = known(common.config.main_consumer(&format!("{name}-consumer"), index));
        let (config, _) = ConsumerConfig::from_properties(pairs)?;
        let mut consumer = Consumer::connect(config);
        let said = Subscription {
            process: common.process,
            endpoint: common.settings.application_server.clone(),
            ..Subscription::default()
        };
        let member = Membership::new(Arc::clone(&common.shared), said);
        consumer.set_assignor(member.clone())?;
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        consumer.set_listener(Box::new(Ear(Arc::clone(&told))));
        let output = output(common, &name, index, &handle)?;
        let cache = common.settings.cache_bytes / common.settings.threads.max(1);
        let mut thread = StreamThread {
            settings: Rc::new(common.task_settings()),
            budget: Rc::new(Budget::new(cache)),
            common: Arc::clone(common),
            index,
            name,
            handle,
            wishes,
            consumer,
            restorer: None,
            output,
            member,
            told,
            tasks: BTreeMap::new(),
            inputs: HashMap::new(),
            paused: Vec::new(),
            committed: Moment::now(),
            purged: Moment::now(),
            globals: None,
            busy: false,
            rebalance_at: None,
            state: ThreadState::Created,
        };
        thread.say();
        thread.subscribe()?;
        Ok(thread)
    }

    fn subscribe(&mut self) -> Result<(), StreamsError> {
        let topology = &self.common.shared.topology;
        let application = &self.common.settings.application_id;
        let (mut names, mut patterns) = (Vec::new(), Vec::new());
        for node in topology.nodes().iter().filter(|node| !topology.is_global(node)) {
            match &node.kind {
                NodeKind::Source { topics: SourceTopics::Names(topics), .. } => {
                    names.extend(topics.iter().map(|topic| topology.whole_name(application, topic)));
                }
                NodeKind::Source { topics: SourceTopics::Pattern(pattern), .. } => {
                    patterns.push(pattern.clone())
                }
                NodeKind::Processor(_) | NodeKind::Sink { .. } => {}
            }
        }
        if patterns.is_empty() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            self.consumer.subscribe(&names)?;
        } else {
            // Names and patterns are one pattern, as InternalTopologyBuilder.sourceTopicsPattern has it.
            patterns.extend(names.iter().map(|name| regex::escape(name)));
            self.consumer.subscribe_pattern(&patterns.join("|"))?;
        }
        Ok(())
    }

    /// Works until it is told to stop.
    ///
    /// # Errors
    /// What ends the thread; its tasks are dropped without a commit.
    pub fn run(&mut self) -> Result<(), StreamsError> {
        self.set_state(ThreadState::Starting);
        if self.output.guarantee == Guarantee::ExactlyOnce {
            self.handle.block_on(self.output.producer.init_transactions())?;
        }
        self.globals = Globals::fill(&self.common, &self.name, &self.output, &self.settings)?;
        while !self.wishes.stop.load(Ordering::Acquire) {
            let Err(error) = self.round() else { continue };
            match self.migration(&error) {
                Some(cause) => self.migrate(&cause)?,
                None => return Err(error),
            }
        }
        self.set_state(ThreadState::PendingShutdown);
        self.close()
    }

    /// What of an error says that the tasks have another owner by now.
    fn migration(&self, error: &StreamsError) -> Option<String> {
        let told = match error {
            StreamsError::Migrated(why) => return Some((*why).to_owned()),
            StreamsError::Client(error) => Some(error.clone()),
            StreamsError::Task { error: TaskError::Send(_), .. } => self.output.failure.borrow_mut().take(),
            _ => None,
        };
        told.filter(is_migrated).map(|error| error.to_string())
    }

    /// Once around.
    fn round(&mut self) -> Result<(), StreamsError> {
        let records = self.poll()?;
        self.hear()?;
        self.take(&records)?;
        if let Some(globals) = &mut self.globals {
            globals.advance(&self.handle, Duration::ZERO)?;
        }
        self.restore()?;
        self.busy = false;
        if !self.wishes.pause.load(Ordering::Acquire) {
            self.process()?;
        }
        self.resume()?;
        self.maybe_commit()?;
        self.maybe_rebalance()
    }

    fn poll(&mut self) -> Result<Records, StreamsError> {
        let restoring = self.tasks.values().any(|held| held.role != Role::Active && !held.logs.is_empty());
        let wait = if self.busy || restoring { Duration::ZERO } else { self.common.settings.poll };
        let until_commit = self.common.settings.commit_interval.saturating_sub(self.committed.elapsed());
        let wait = if self.is_commit_needed() { wait.min(until_commit) } else { wait };
        Ok(self.handle.block_on(self.consumer.poll(wait))?)
    }

    /// Hands records to the tasks that read them.
    fn take(&mut self, records: &Records) -> Result<(), StreamsError> {
        if records.is_empty() {
            return Ok(());
        }
        for place in records.partitions() {
            // A poll may end with records and with the partition gone.
            let Some((id, input)) = self.inputs.get(&place).copied() else { continue };
            let Some(held) = self.tasks.get_mut(&id) else { continue };
            let added = held.task.add(input, records.of(&place).map(|record| incoming(&record)));
            added.map_err(|error| StreamsError::Task { id, error })?;
            if held.task.buffered(input) > self.common.settings.buffered_records {
                self.consumer.pause(std::slice::from_ref(&place))?;
                self.paused.push(place);
            }
        }
        Ok(())
    }

    /// A turn for each task; ends early enough that polls and commits are not late.
    fn process(&mut self) -> Result<(), StreamsError> {
        for (place, (id, input)) in &self.inputs {
            if let Some(held) = self.tasks.get_mut(id) {
                held.task.set_lag(*input, self.consumer.lag(place));
            }
        }
        let now = Clock::Real.now_ms();
        for (id, held) in self.tasks.iter_mut().filter(|(_, held)| held.role == Role::Active) {
            let failed = |error| StreamsError::Task { id: *id, error };
            let mut left = TURN;
            while left > 0 && held.task.is_processable(now) && held.task.process(now).map_err(failed)? {
                held.task.punctuate_stream_time().map_err(failed)?;
                left -= 1;
            }
            // One that waits for another of its partitions has records too, and nothing to do.
            self.busy |= left == 0;
            held.task.punctuate_wall_clock(now).map_err(failed)?;
        }
        Ok(())
    }

    /// Reads on where a task has room again.
    fn resume(&mut self) -> Result<(), StreamsError> {
        let limit = self.common.settings.buffered_records;
        let (tasks, inputs) = (&self.tasks, &self.inputs);
        let is_full = |place: &TopicPartition| {
            let held = inputs.get(place).and_then(|(id, input)| Some((tasks.get(id)?, *input)));
            held.is_some_and(|(held, input)| held.role != Role::Active || held.task.buffered(input) > limit)
        };
        let (full, ready): (Vec<_>, Vec<_>) = std::mem::take(&mut self.paused).into_iter().partition(is_full);
        self.paused = full;
        let ready: Vec<TopicPartition> =
            ready.into_iter().filter(|place| self.inputs.contains_key(place)).collect();
        if !ready.is_empty() {
            self.consumer.resume(&ready)?;
        }
        Ok(())
    }

    /// The tasks have another owner: all are dropped, and the group is joined anew (Java: `TaskMigratedException`).
    fn migrate(&mut self, why: &str) -> Result<(), StreamsError> {
        tracing::warn!(thread = self.name, why, "the tasks of this thread have moved: joining again");
        self.drop_tasks();
        if self.output.guarantee == Guarantee::ExactlyOnce {
            self.output = output(&self.common, &self.name, self.index, &self.handle)?;
            self.handle.block_on(self.output.producer.init_transactions())?;
        }
        self.handle.block_on(self.consumer.unsubscribe())?;
        self.told.lock().clear();
        self.member.take_told();
        self.subscribe()?;
        self.set_state(ThreadState::Starting);
        Ok(())
    }

    /// Commits, closes tasks and clients, and leaves the group.
    fn close(&mut self) -> Result<(), StreamsError> {
        let committed = self.commit();
        self.drop_tasks();
        let limit = Duration::from_secs(30);
        self.handle.block_on(self.consumer.close())?;
        let closed = self.handle.block_on(self.output.producer.close(limit));
        committed?;
        Ok(closed?)
    }

    pub(super) fn set_state(&mut self, state: ThreadState) {
        if self.state != state {
            tracing::debug!(thread = self.name, before = ?self.state, ?state, "the state of a thread changed");
            self.state = state;
            self.common.states.set_thread(self.index, state);
        }
    }

    /// Tells every instance to end: the leader hears of it in the next rebalance (KIP-671).
    pub fn tell_shutdown(&mut self) {
        self.member.said.lock().call = Call::Shutdown;
        let (started, limit) = (Moment::now(), Duration::from_secs(10));
        let mut called = self.consumer.enforce_rebalance();
        while called.is_ok() && started.elapsed() < limit {
            called = self.handle.block_on(self.consumer.poll(Duration::from_millis(100))).map(drop);
            if self.member.take_told().is_some_and(|told| told.call == Call::Shutdown) {
                return;
            }
        }
        tracing::warn!(thread = self.name, "the other instances may not have heard that they are to end");
    }

    /// Ends without a commit, after an error: an open transaction is aborted by its timeout or by whoever follows.
    pub fn abandon(&mut self) {
        self.drop_tasks();
        let limit = Duration::from_secs(5);
        for closed in [
            self.handle.block_on(self.consumer.close_within(limit)),
            self.handle.block_on(self.output.producer.close(limit)),
        ] {
            if let Err(error) = closed {
                tracing::debug!(thread = self.name, %error, "a client did not close in order");
            }
        }
    }
}

fn output(common: &Common, name: &str, index: usize, handle: &Handle) -> Result<Output, StreamsError> {
    let (mut config, _) =
        ProducerConfig::from_properties(common.config.producer(&format!("{name}-producer"))?)?;
    let guarantee = common.settings.guarantee;
    if guarantee == Guarantee::ExactlyOnce {
        config.transactional_id =
            Some(format!("{}-{}-{index}", common.settings.application_id, common.process));
    }
    Ok(Output {
        producer: Producer::connect(config),
        guarantee,
        transaction: Rc::new(Cell::new(Transaction::None)),
        failure: Rc::new(RefCell::new(None)),
        handle: handle.clone(),
    })
}
