//! A stream thread: poll, hand records to tasks, process, commit. The one loop.
//!
//! Runs on an OS thread of its own that owns its tasks whole; the network works on tokio beside it and is waited for
//! only at the edges of a round (Java: `StreamThread.runOnce`). Tasks come and go in `rebalance.rs`, stores are filled
//! in `restore.rs`, commits are `commit.rs`'s.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::TopicPartition;
use client::config::{ConsumerConfig, ProducerConfig};
use client::consumer::{Consumer, Leaving, Offsets, RebalanceListener, Records};
use client::producer::Producer;
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::app::{Common, known};
use super::collect::{Output, Transaction};
use super::commit::Commit;
use super::decide::{self, Pace, Patience, Verdict, Waits};
use super::error::StreamsError;
use super::globals::Globals;
use super::held::{self, Held, Role};
use super::member::Membership;
use super::metrics::{Meters, Round, Turn};
use super::pending::Pending;
use super::states::ThreadState;
use crate::assign::{Assignment, Call, Subscription, TaskId};
use crate::config::Guarantee;
use crate::query::Queue;
use crate::store::Budget;
use crate::task::{self, TaskError};
use crate::topology::{NodeKind, SourceTopics};

/// Records of a task in a row, before the others have their turn.
const TURN: usize = 500;
/// Between two tries of what the cluster could not do.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// How old what the rows of stores tell of themselves may be.
const GAUGES_EVERY: Duration = Duration::from_secs(5);
/// Tasks that move twice within this time may move for ever.
const AGAIN: Duration = Duration::from_secs(1);

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
    /// It leaves the group when it ends.
    pub leave: AtomicBool,
    /// How long what it processed may wait for a commit when it ends.
    until: Mutex<Option<Moment>>,
    /// Questions from outside about its stores.
    pub queries: Arc<Queue>,
}

impl Wishes {
    /// It is to end, within a time that whoever waits for it has.
    pub fn end(&self, limit: Duration) {
        // The other half is for leaving the group and for closing stores and clients.
        *self.until.lock() = Some(Moment::now().after(limit / 2));
        self.stop.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.until.lock().is_none_or(|until| Moment::now() >= until)
    }
}

/// A stream thread.
pub(crate) struct StreamThread {
    pub(super) common: Arc<Common>,
    pub(super) index: usize,
    pub(super) name: String,
    /// Its `group.instance.id`, as a static member.
    instance: Option<String>,
    pub(super) handle: Handle,
    pub(super) wishes: Arc<Wishes>,
    pub(super) consumer: Consumer,
    pub(super) restorer: Option<Consumer>,
    pub(super) output: Output,
    pub(super) member: Arc<Membership>,
    pub(super) told: Arc<Mutex<Vec<Told>>>,
    pub(super) settings: Rc<task::Settings>,
    /// `transaction.timeout.ms`, exactly once.
    pub(super) transaction_timeout: Option<Duration>,
    pub(super) budget: Rc<Budget>,
    pub(super) tasks: BTreeMap<TaskId, Held>,
    /// Of each partition that is read: its task, and its place among the inputs of that task.
    pub(super) inputs: HashMap<TopicPartition, (TaskId, usize)>,
    pub(super) paused: Vec<TopicPartition>,
    /// What the group's leader said last.
    pub(super) assignment: Assignment,
    pub(super) committed: Moment,
    /// When a commit had to wait for a rebalance.
    pub(super) deferred: Option<Moment>,
    /// When it was last looked up how far copies of source topics may go.
    pub(super) limited: Moment,
    /// The answer, if it was asked for.
    pub(super) limits: Option<Pending<Offsets>>,
    /// Since when folders of tasks are held by others, and whether somebody was told.
    pub(super) folders: BTreeMap<TaskId, (Moment, bool)>,
    /// When state that was damaged was deleted.
    wiped: BTreeMap<TaskId, Moment>,
    /// When it joined anew last.
    migrated: Option<Moment>,
    /// The last look at the changelogs of copies brought something.
    pub(super) copied: bool,
    /// Whether those before are shut out that wrote with the same transactional id.
    pub(super) is_output_ready: bool,
    /// The first of the errors in a row that may pass.
    trouble: Option<Moment>,
    pace: Pace,
    /// Of the tasks the one whose turn was last.
    last: Option<TaskId>,
    pub(super) purged: Moment,
    pub(super) globals: Option<Globals>,
    /// A task did not come to the end of its records.
    pub(super) busy: bool,
    /// When to call for a rebalance, in milliseconds since 1970.
    pub(super) rebalance_at: Option<i64>,
    pub(super) meters: Arc<Meters>,
    /// When it was last looked what the rows of stores tell of themselves.
    gauged: Moment,
    /// What was done in this round.
    pub(super) measured: Round,
    pub(super) state: ThreadState,
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
        let instance = config.instance.clone();
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
        let producer = producer(common, &name, index)?;
        let output = Output::new(producer, common.settings.guarantee, handle.clone());
        let meters = common.meters(index, &name);
        let mut thread = StreamThread {
            settings: Rc::new(common.task_settings()),
            transaction_timeout: transaction_timeout(common)?,
            budget: Rc::new(Budget::new(common.cache_share.load(Ordering::Relaxed))),
            common: Arc::clone(common),
            index,
            name,
            instance,
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
            assignment: Assignment::default(),
            committed: Moment::now(),
            deferred: None,
            limited: Moment::now(),
            limits: None,
            folders: BTreeMap::new(),
            wiped: BTreeMap::new(),
            migrated: None,
            copied: false,
            is_output_ready: false,
            trouble: None,
            pace: Pace::new(),
            last: None,
            purged: Moment::now(),
            globals: None,
            busy: false,
            rebalance_at: None,
            meters,
            gauged: Moment::now(),
            measured: Round::default(),
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
                NodeKind::Source { topics: SourceTopics::Pattern(pattern), .. } => patterns.push(pattern.clone()),
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
        while !self.wishes.stop.load(Ordering::Acquire) {
            let started = Moment::now();
            let done = self.round();
            self.measure(started);
            match done {
                Ok(()) => self.trouble = None,
                Err(error) => self.face(error)?,
            }
        }
        self.set_state(ThreadState::PendingShutdown);
        self.wishes.queries.close();
        self.close()
    }

    /// Tells what was done in this round.
    fn measure(&mut self, started: Moment) {
        self.meters.note(&self.measured, started.elapsed());
        self.measured.clear();
        if self.gauged.elapsed() >= GAUGES_EVERY {
            self.gauged = Moment::now();
            self.tasks.values().filter(|held| held.role == Role::Active).for_each(|held| held.task.gauge());
        }
        self.meters.note_clients(|| {
            let mut told = self.consumer.metrics();
            told.extend(self.restorer.iter().flat_map(Consumer::metrics));
            told.append(&mut self.output.producer().metrics());
            told
        });
    }

    /// Does what follows an error.
    fn face(&mut self, error: StreamsError) -> Result<(), StreamsError> {
        let patience = held::patience(&mut self.trouble, self.common.settings.task_timeout);
        let sent = match &error {
            StreamsError::Task { error: TaskError::Send(_), .. } => self.output.failure.borrow_mut().take(),
            _ => None,
        };
        match decide::verdict(&error, sent.as_ref(), patience) {
            Verdict::Rejoin(why) => self.migrate(&why),
            Verdict::Wipe(id) => {
                let before = self.wiped.insert(id, Moment::now()).map(|at| at.elapsed());
                if decide::is_hopeless(before, self.common.settings.task_timeout) {
                    return Err(error);
                }
                let runs = self.tasks.get(&id).is_some_and(|held| held.role == Role::Active);
                self.wipe(id, &error.to_string())?;
                // What it processed since the last commit is lost with its state, and all tasks commit together.
                if runs { self.migrate("the state of a task was damaged") } else { Ok(()) }
            }
            Verdict::Again => {
                tracing::warn!(thread = self.name, %error, "tried again until task.timeout.ms");
                self.pause();
                Ok(())
            }
            Verdict::Replaced => Err(StreamsError::Replaced(self.instance.clone().unwrap_or_default())),
            Verdict::End => Err(error),
        }
    }

    fn pause(&self) {
        self.handle.block_on(millstream_base_env::task::sleep(PAUSE));
    }

    /// Once around.
    fn round(&mut self) -> Result<(), StreamsError> {
        self.budget.resize(self.common.cache_share.load(Ordering::Relaxed));
        if self.globals.is_none() {
            let (common, is_over) = (&self.common, &self.wishes.stop);
            self.globals = Globals::fill(common, &self.name, &self.output, &self.settings, is_over)?;
            if is_over.load(Ordering::Acquire) {
                return Ok(());
            }
        }
        let records = self.poll()?;
        // Before anything may fail: these records are not read again.
        self.take(records)?;
        self.hear()?;
        self.advance()?;
        if let Some(globals) = &mut self.globals {
            globals.follow(&self.handle, self.common.settings.task_timeout)?;
        }
        self.restore()?;
        self.answer();
        self.busy = false;
        if !self.wishes.pause.load(Ordering::Acquire) {
            self.process()?;
        }
        self.resume()?;
        self.maybe_commit()?;
        self.maybe_rebalance()
    }

    fn poll(&mut self) -> Result<Records, StreamsError> {
        let restores = |held: &Held| held.role == Role::Restoring;
        let waits = Waits {
            busy: self.busy || self.tasks.values().any(restores),
            copied: self.copied,
            missing: self.is_missing() || self.tasks.values().any(|held| held.lookup.is_some()),
            commit: self.is_commit_needed().then(|| self.commit_in()),
        };
        let wait = decide::wait(waits, self.common.settings.poll);
        let started = Moment::now();
        loop {
            let left = wait.saturating_sub(started.elapsed());
            let (consumer, queries) = (&mut self.consumer, &self.wishes.queries);
            let polled = self.handle.block_on(async {
                tokio::select! {
                    biased;
                    polled = consumer.poll(left) => Some(polled),
                    // Whoever asks an idle thread need not wait for records.
                    () = queries.asked(), if !left.is_zero() => None,
                }
            });
            match polled {
                Some(polled) => {
                    let records = polled?;
                    self.measured.polled = Some((started.elapsed(), records.len()));
                    return Ok(records);
                }
                None => self.answer(),
            }
        }
    }

    /// Hands records to the tasks that read them.
    fn take(&mut self, records: Records) -> Result<(), StreamsError> {
        let mut left: Vec<TopicPartition> = Vec::new();
        for mut run in records.into_runs() {
            let known = self.inputs.get(run.place()).copied();
            let task = known.and_then(|(id, input)| Some((self.tasks.get_mut(&id)?, input)));
            let reads = |held: &Held| held.role == Role::Active && !held.is_looked_up(run.place());
            let Some((held, input)) = task.filter(|(held, _)| reads(held)) else {
                // They were on their way when the task was given: they are read again when it runs, from the first.
                if let Some(first) = run.next_record().map(|record| record.offset)
                    && !left.contains(run.place())
                {
                    left.push(run.place().clone());
                    self.leave(run.place(), first)?;
                }
                continue;
            };
            let is_full = held.task.buffered(input) + run.len() > self.common.settings.buffered_records;
            if is_full && !self.paused.contains(run.place()) {
                self.consumer.pause(std::slice::from_ref(run.place()))?;
                self.paused.push(run.place().clone());
            }
            let id = held.id;
            held.task.add_run(input, run).map_err(|error| StreamsError::Task { id, place: None, error })?;
        }
        Ok(())
    }

    /// Records from this one on are not processed now.
    fn leave(&mut self, place: &TopicPartition, first: i64) -> Result<(), StreamsError> {
        // A poll may end with records and with the partition gone.
        if !self.consumer.assignment().contains(place) {
            return Ok(());
        }
        self.consumer.seek(place, first)?;
        if !self.inputs.contains_key(place) && !self.paused.contains(place) {
            tracing::warn!(thread = self.name, %place, "no task reads this partition yet");
            self.consumer.pause(std::slice::from_ref(place))?;
            self.paused.push(place.clone());
        }
        Ok(())
    }

    /// A turn for each task; ends early enough that polls and commits are not late.
    fn process(&mut self) -> Result<(), StreamsError> {
        for (place, (id, input)) in &self.inputs {
            if let Some(held) = self.tasks.get_mut(id).filter(|held| held.role == Role::Active) {
                held.task.set_lag(*input, self.consumer.lag(place));
            }
        }
        let settings = &self.common.settings;
        let limit = decide::turn(self.commit_in(), settings.poll_interval_max, self.transaction_timeout);
        let started = Moment::now();
        // The one after the last comes first, should there be no time for all.
        let mut ids: Vec<TaskId> = self.tasks.keys().copied().collect();
        let first = ids.iter().position(|id| self.last.is_some_and(|last| *id > last)).unwrap_or(0);
        ids.rotate_left(first);
        for id in ids {
            let Some(held) = self.tasks.get_mut(&id).filter(|held| held.role == Role::Active) else { continue };
            let mut turn = Turn::default();
            let done = work(held, &mut self.pace, (started, limit), (&mut turn, &self.wishes.queries));
            self.measured.turns.push((id, turn));
            let failed = |error| StreamsError::Task { id, place: held.task.place_of(&error).map(Box::new), error };
            self.busy |= done.map_err(failed)?;
            self.last = Some(id);
            self.answer();
            if started.elapsed() >= limit {
                self.busy = true;
                break;
            }
        }
        Ok(())
    }

    /// Reads on where a task has room again.
    pub(super) fn resume(&mut self) -> Result<(), StreamsError> {
        let limit = self.common.settings.buffered_records;
        let (tasks, inputs) = (&self.tasks, &self.inputs);
        let is_full = |place: &TopicPartition| {
            let held = inputs.get(place).and_then(|(id, input)| Some((tasks.get(id)?, *input)));
            // One whose task is not there yet waits for it.
            held.is_none_or(|(held, input)| {
                held.role != Role::Active || held.is_looked_up(place) || held.task.buffered(input) > limit
            })
        };
        let (full, ready): (Vec<_>, Vec<_>) = std::mem::take(&mut self.paused).into_iter().partition(is_full);
        self.paused = full;
        if !ready.is_empty() {
            self.consumer.resume(&ready)?;
        }
        Ok(())
    }

    /// The tasks have another owner: they are dropped, and the group is joined anew (Java: `TaskMigratedException`).
    fn migrate(&mut self, why: &str) -> Result<(), StreamsError> {
        tracing::warn!(thread = self.name, why, "the tasks of this thread have moved: joining again");
        self.lose()?;
        // Whatever it is that sends it away again and again has a moment to pass.
        if self.migrated.replace(Moment::now()).is_some_and(|at| at.elapsed() < AGAIN) {
            self.pause();
        }
        self.handle.block_on(self.consumer.unsubscribe())?;
        self.deferred = None;
        self.told.lock().clear();
        self.member.take_told();
        self.subscribe()?;
        self.set_state(ThreadState::Starting);
        Ok(())
    }

    /// Commits, closes tasks and clients, and leaves the group.
    fn close(&mut self) -> Result<(), StreamsError> {
        let committed = self.commit_last();
        if self.output.transaction.get() != Transaction::None {
            // What was not committed is nobody's; its partitions need not wait for the timeout.
            if let Err(error) = self.handle.block_on(self.output.producer().abort_transaction()) {
                tracing::debug!(thread = self.name, %error, "a transaction is left to its timeout");
            }
        }
        self.drop_tasks();
        let limit = Duration::from_secs(30);
        // Java: members of the classic protocol remain in the group, so that a restart moves no task.
        let leaves = self.wishes.leave.load(Ordering::Acquire);
        let leaving = if leaves { Leaving::Leave } else { Leaving::Remain };
        let left = self.handle.block_on(self.consumer.close_as(limit, leaving));
        let closed = self.handle.block_on(self.output.producer().close(limit));
        match committed.map_err(|error| (decide::verdict(&error, None, Patience::Left), error)) {
            // Another member does again what this one could not commit any more.
            Ok(()) | Err((Verdict::Rejoin(_) | Verdict::Replaced, _)) => {}
            Err((_, error)) => return Err(error),
        }
        Ok(left.and(closed)?)
    }

    /// The last commit. Where the group rebalances, the thread goes on with that, as only the next generation takes it
    /// (Java: `StreamThread.runLoop` does not end while a rebalance is in progress).
    fn commit_last(&mut self) -> Result<(), StreamsError> {
        while self.commit()? == Commit::Deferred {
            if self.wishes.is_over() {
                tracing::warn!(
                    thread = self.name,
                    "what was processed last will be processed again: a rebalance lasts too long"
                );
                break;
            }
            // Whoever follows reads what comes now, and the first record that nobody can read must not keep what was done
            // from being committed.
            self.paused = self.consumer.assignment();
            self.consumer.pause(&self.paused)?;
            self.handle.block_on(self.consumer.poll(decide::DEFERRED))?;
            self.hear_last()?;
        }
        Ok(())
    }

    pub(super) fn set_state(&mut self, state: ThreadState) {
        // A rebalance at the end changes nothing about it.
        if self.state != state && self.state != ThreadState::PendingShutdown {
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
            self.handle.block_on(self.consumer.close_as(limit, Leaving::Leave)),
            self.handle.block_on(self.output.producer().close(limit)),
        ] {
            if let Err(error) = closed {
                tracing::debug!(thread = self.name, %error, "a client did not close in order");
            }
        }
    }
}

/// A turn of a task: records until it has no more, has had its share or the thread has no time left; whether it may have
/// more.
fn work(
    held: &mut Held,
    pace: &mut Pace,
    (started, limit): (Moment, Duration),
    (turn, queries): (&mut Turn, &Queue),
) -> Result<bool, TaskError> {
    let task = &mut held.task;
    let now = Clock::Real.now_ms();
    let (began, fired) = (Moment::now(), task.tallied().punctuated);
    let (mut left, mut looked) = (TURN, began);
    let (mut until_look, mut interrupted) = (pace.stride(), false);
    while left > 0 && task.is_processable(now) && task.process(now)? {
        task.punctuate_stream_time()?;
        left -= 1;
        until_look -= 1;
        if until_look == 0 {
            let seen = Moment::now();
            pace.took(seen.since(looked));
            (looked, until_look) = (seen, pace.stride());
            if seen.since(started) >= limit {
                break;
            }
            if queries.is_waiting() {
                interrupted = true;
                break;
            }
        }
    }
    turn.processed = ((TURN - left) as u64, began.elapsed());
    task.punctuate_wall_clock(now)?;
    turn.tallied = task.take_tallied();
    (turn.tallies, turn.ended_ms) = (Some(Rc::clone(task.tallies())), Clock::Real.now_ms());
    turn.punctuated = (turn.tallied.punctuated - fired, began.elapsed().saturating_sub(turn.processed.1));
    turn.buffered = (0..task.inputs().len()).map(|input| task.buffered(input)).sum();
    // One that waits for another of its partitions has records too, and nothing to do.
    Ok(left == 0 || interrupted)
}

/// The producer of a thread; exactly once with the transactional id that is the thread's alone.
pub(super) fn producer(common: &Common, name: &str, index: usize) -> Result<Producer, StreamsError> {
    let (mut config, _) = ProducerConfig::from_properties(common.config.producer(&format!("{name}-producer"))?)?;
    if common.settings.guarantee == Guarantee::ExactlyOnce {
        config.transactional_id = Some(format!("{}-{}-{index}", common.settings.application_id, common.process));
    }
    Ok(Producer::connect(config))
}

fn transaction_timeout(common: &Common) -> Result<Option<Duration>, StreamsError> {
    if common.settings.guarantee == Guarantee::AtLeastOnce {
        return Ok(None);
    }
    let timeout = common.config.producer("")?.remove("transaction.timeout.ms");
    let timeout = timeout.and_then(|text| text.trim().parse().ok());
    Ok(timeout.map(Duration::from_millis))
}
