//! The task itself: records in, one at a time through the nodes, timers, and the steps of a commit.
//! Driven by the runtime's threads and the test driver, which decide when. Never polls, sleeps or commits offsets itself.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use client::consumer::Run;
use regex::Regex;

use super::collector::{Collector, TopicId};
use super::context::{Context, Origin, Tallied};
use super::errors::{Place, ProcessResult, TaskError};
use super::group::Group;
use super::link::{Flush, LinkError, Linking, Stores, TimedNode, fatal};
use super::panics;
use super::queue::{Incoming, SourceNode};
use super::settings::Settings;
use super::tally::Tallies;
use super::timers::PunctuationType;
use crate::state::format::partition_metadata::PartitionMetadata;
use crate::state::{Rows, StateError};
use crate::store::{Budget, ChangelogTo, StoreParts, StoreTally, TaskStore};
use crate::topology::store::{Changelog, Store};
use crate::topology::{Node, NodeKind, SourceTopics, Topology};

/// Which nodes a task has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but those of global tables: how the test driver runs a topology.
    Whole,
    /// One sub-topology.
    Subtopology(usize),
    /// The tables that each instance has the whole of.
    Globals,
}

/// What a task is made of.
pub struct TaskParts<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// Which of its nodes.
    pub part: Part,
    /// Which partition of its topics.
    pub partition: u32,
    /// Settings.
    pub settings: Rc<Settings>,
    /// Where bytes go.
    pub collector: Box<dyn Collector>,
    /// Opens the rows of a store.
    pub rows: &'a mut dyn FnMut(&Store) -> Result<Box<dyn Rows>, StateError>,
    /// What the caches of the thread may hold.
    pub budget: Rc<Budget>,
    /// The stores of global tables.
    pub globals: Option<&'a Stores>,
    /// The time of day.
    pub wall_clock: i64,
}

/// A partition that a task reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The topic, with the application id before it if it is one of its own.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// A source of the task, with whole names of topics.
struct TaskSource {
    /// Its place among the nodes of the topology.
    place: usize,
    topics: SourceTopics,
    /// None until the task is started.
    node: Option<Box<dyn SourceNode>>,
}

/// A task: stores from the beginning, nodes and records from its start until it is stopped. Without nodes it is a copy
/// whose stores follow their changelogs.
pub struct Task {
    topology: Topology,
    /// The places of its nodes.
    places: Vec<usize>,
    budget: Rc<Budget>,
    /// Topics that stores write to, in the order in which collectors are asked for them.
    changelogs: Vec<String>,
    context: Context,
    stores: Stores,
    globals: Option<Stores>,
    sources: Vec<TaskSource>,
    inputs: Vec<Input>,
    /// Of each input the largest time so far, as of the start.
    times: Vec<i64>,
    /// What processors kept beside committed offsets, as of the start.
    kept: BTreeMap<String, i64>,
    group: Group,
    /// Each store's, and what hands on from its cache, in the order in which Java flushes them.
    flushes: Vec<(Option<Rc<dyn Flush>>, Rc<dyn TaskStore>)>,
    timed: Vec<TimedNode>,
    consumed: Vec<Option<i64>>,
    commit_needed: bool,
}

impl Task {
    /// Makes the stores of a task. They are as the engine has them: what is missing is restored before it is started.
    pub fn new(mut parts: TaskParts<'_>) -> Result<Task, LinkError> {
        let topology = parts.topology;
        let settings = Rc::new((*parts.settings).clone().for_topology(topology));
        let budget = Rc::clone(&parts.budget);
        let in_task = |node: &Node| match parts.part {
            Part::Whole => !topology.is_global(node),
            Part::Subtopology(wanted) => node.subtopology == wanted,
            Part::Globals => topology.is_global(node),
        };
        let places: Vec<usize> =
            (0..topology.nodes().len()).filter(|place| in_task(&topology.nodes()[*place])).collect();
        let (mut stores, mut changelogs, tallies) = (Stores::default(), Vec::new(), Tallies::default());
        let mut topics = |name: &str| {
            changelogs.push(name.to_owned());
            parts.collector.topic(name)
        };
        for definition in definitions(topology, &places) {
            let changelog = changelog_of(definition, &settings, parts.partition, &mut topics);
            let rows = (parts.rows)(definition)?;
            let maker = definition.maker.as_ref();
            let maker = maker.ok_or_else(|| LinkError::UntypedStore(definition.name.clone()))?;
            let budget = Rc::clone(&budget);
            let tally = Rc::new(StoreTally::new(definition, rows.is_on_disk(), settings.recording));
            tallies.stores.borrow_mut().push(Rc::clone(&tally));
            let held = maker.make(StoreParts { definition, rows, changelog, budget, settings: &settings, tally })?;
            stores.add(&definition.name, held);
        }
        let source = |place: &usize| {
            let node = &topology.nodes()[*place];
            let topics = topics_of(topology, node, &settings.application_id)?;
            Some(TaskSource { place: *place, topics, node: None })
        };
        let sources: Vec<TaskSource> = places.iter().filter_map(source).collect();
        let mut context = Context::new(parts.collector, Rc::clone(&settings), Rc::clone(&budget), parts.wall_clock);
        context.tallies = Rc::new(tallies);
        let mut task = Task {
            topology: topology.clone(),
            places,
            budget,
            changelogs,
            context,
            stores,
            globals: parts.globals.cloned(),
            sources,
            inputs: Vec::new(),
            times: Vec::new(),
            kept: BTreeMap::new(),
            group: Group::new(settings.max_idle_ms),
            flushes: Vec::new(),
            timed: Vec::new(),
            consumed: Vec::new(),
            commit_needed: false,
        };
        let partition = i32::try_from(parts.partition).unwrap_or(i32::MAX);
        let inputs: Vec<String> = task.sources.iter().flat_map(|source| source.names()).collect();
        for topic in &inputs {
            task.add_input(topic, partition);
        }
        Ok(task)
    }

    /// Another collector than that of `new`, before the task is started.
    pub fn renew(&mut self, mut collector: Box<dyn Collector>, wall_clock: i64) {
        // Topics have the numbers that the stores know them by.
        for name in &self.changelogs {
            collector.topic(name);
        }
        let settings = Rc::clone(self.context.settings());
        let (tallied, tallies) = (self.context.tallied, Rc::clone(&self.context.tallies));
        self.context = Context::new(collector, settings, Rc::clone(&self.budget), wall_clock);
        (self.context.tallied, self.context.tallies) = (tallied, tallies);
    }

    /// Links the nodes and sets processors up, which find their stores restored (Java: `StreamTask.completeRestoration`).
    pub fn start(&mut self) -> Result<(), LinkError> {
        let topology = self.topology.clone();
        self.context.set_kept(self.kept.clone());
        let mut linking = Linking::new(&topology, &mut self.context, &self.stores, self.globals.as_ref());
        let linked = topology.link(&self.places, &mut linking)?;
        let (mut by_store, timed) = (std::mem::take(&mut linking.flushes), std::mem::take(&mut linking.timed));
        let flushes = self
            .stores
            .names()
            .iter()
            .filter_map(|name| Some((by_store.remove(name), Rc::clone(&self.stores.held(name)?.task))));
        self.flushes = flushes.collect();
        for (place, node) in linked {
            if let Some(source) = self.sources.iter_mut().find(|source| source.place == place) {
                source.node = Some(node);
            }
        }
        for place in 0..self.inputs.len() {
            self.add_queue(place);
        }
        for input in 0..self.inputs.len() {
            self.start_time(input, self.times[input]);
        }
        set_up(&timed, &mut self.context)?;
        self.timed = timed;
        self.gauge();
        Ok(())
    }

    /// Closes the processors of the user and drops all nodes, waiting records and caches; the stores stay as they were
    /// committed, to follow their changelogs from here on.
    pub fn stop(&mut self) {
        self.close();
        self.flushes.clear();
        self.sources.iter_mut().for_each(|source| source.node = None);
        self.group = Group::new(self.context.settings().max_idle_ms);
        self.consumed.fill(None);
        self.times.fill(-1);
        self.kept.clear();
        self.commit_needed = false;
        self.context.tallied = Tallied::default();
        self.context.tallies.clear();
        for name in self.stores.names() {
            if let Some(held) = self.stores.held(name) {
                held.task.forget();
            }
        }
    }

    /// Whether it has its nodes.
    pub fn is_started(&self) -> bool {
        self.sources.iter().any(|source| source.node.is_some())
    }

    fn add_queue(&mut self, input: usize) {
        let Input { topic, partition } = &self.inputs[input];
        let node = self.sources.iter().find(|source| source.reads(topic)).and_then(|source| source.node.as_ref());
        if let Some(node) = node {
            self.group.add_queue(node.queue(topic, *partition));
        }
    }

    fn start_time(&mut self, input: usize, timestamp: i64) {
        if timestamp >= 0 {
            self.group.set_partition_time(input, timestamp);
            self.context.advance_stream_time(timestamp);
        }
    }

    /// Adds a partition to read, of a topic that a source reads by name or that matches its pattern.
    pub fn add_input(&mut self, topic: &str, partition: i32) -> Option<usize> {
        self.sources.iter().find(|source| source.reads(topic))?;
        self.inputs.push(Input { topic: topic.to_owned(), partition });
        self.times.push(-1);
        self.consumed.push(None);
        if self.is_started() {
            self.add_queue(self.inputs.len() - 1);
        }
        Some(self.inputs.len() - 1)
    }

    /// The partitions that it reads; their places are what `add` and its like take.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Its stores.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// The global stores that it looks into.
    pub fn globals(&self) -> Option<&Stores> {
        self.globals.as_ref()
    }

    /// What its nodes see.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What its nodes see.
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Adds records of one partition, in order.
    pub fn add(&mut self, input: usize, records: impl IntoIterator<Item = Incoming>) -> Result<(), TaskError> {
        self.group.add(input, |queue| records.into_iter().for_each(|record| queue.push(record)), &mut self.context)
    }

    /// Adds records of one partition as they were fetched, in order.
    pub fn add_run(&mut self, input: usize, run: Run) -> Result<(), TaskError> {
        self.group.add(input, |queue| queue.push_run(run), &mut self.context)
    }

    /// How many records of a partition wait.
    pub fn buffered(&self, input: usize) -> usize {
        self.group.buffered(input)
    }

    /// Tells how many records the broker has beyond those that were fetched; None if it has not said.
    pub fn set_lag(&mut self, input: usize, lag: Option<i64>) {
        self.group.set_lag(input, lag);
    }

    /// The largest time of a partition so far.
    pub fn partition_time(&self, input: usize) -> i64 {
        self.group.partition_time(input)
    }

    /// What stands beside the committed offset of a partition, before the start: its time, and what processors kept, of
    /// which the largest number of all partitions counts (StreamTask.initializeTaskTimeAndProcessorMetadata).
    pub fn set_metadata(&mut self, input: usize, metadata: &PartitionMetadata) {
        if metadata.partition_time >= 0 {
            self.set_partition_time(input, metadata.partition_time);
        }
        let processors = std::mem::take(&mut self.kept);
        let mut all = PartitionMetadata { processors, ..PartitionMetadata::default() };
        all.merge(metadata);
        self.kept = all.processors;
    }

    /// What is to stand beside the committed offset of a partition.
    pub fn metadata(&self, input: usize) -> PartitionMetadata {
        let partition_time = self.group.partition_time(input);
        PartitionMetadata { partition_time, processors: self.context.all_kept().clone() }
    }

    /// Starts a partition from that time.
    pub fn set_partition_time(&mut self, input: usize, timestamp: i64) {
        self.times[input] = timestamp;
        if self.is_started() {
            self.start_time(input, timestamp);
        }
    }

    /// What was counted since it was made.
    pub fn tallied(&self) -> Tallied {
        Tallied { enforced: self.group.enforced(), ..self.context.tallied }
    }

    /// The same; the largest lateness is counted anew from here on.
    pub fn take_tallied(&mut self) -> Tallied {
        let tallied = self.tallied();
        self.context.tallied.lateness_max = 0;
        tallied
    }

    /// What its nodes and stores count; whoever takes it empties it.
    pub(crate) fn tallies(&self) -> &Rc<Tallies> {
        &self.context.tallies
    }

    /// Looks what the rows of its stores tell of themselves.
    pub(crate) fn gauge(&self) {
        for tally in self.context.tallies.stores.borrow().iter() {
            if let Some(held) = self.stores.held(&tally.name) {
                tally.gauges.replace(Some(held.task.gauges()));
            }
        }
    }

    /// Whether there is any record.
    pub fn has_records(&self) -> bool {
        self.group.has_records()
    }

    /// Whether the next record may be processed, or a partition without records is to be waited for.
    pub fn is_processable(&mut self, now: i64) -> bool {
        self.group.is_ready(now)
    }

    /// Sends the next record through the nodes; false if there is none.
    pub fn process(&mut self, now: i64) -> Result<bool, TaskError> {
        let Some((input, _, offset)) = self.group.next(&mut self.context)? else { return Ok(false) };
        self.context.set_wall_clock(now);
        let (queue, context) = (self.group.queue(input), &mut self.context);
        let done = catch_unwind(AssertUnwindSafe(|| queue.run(context)));
        self.finish(done)?;
        self.consumed[input] = Some(offset);
        self.commit_needed = true;
        Ok(true)
    }

    fn finish(&self, done: std::thread::Result<ProcessResult>) -> Result<(), TaskError> {
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(fatal(failure)),
            // Where a handler may let it pass it was caught at the edge to the node, and got no further than that.
            Err(thrown) => Err(panics::fatal(thrown, self.context.origin().place())),
        }
    }

    /// The record at which an error came up, unless it says that itself.
    pub fn place_of(&self, error: &TaskError) -> Option<Place> {
        let place = self.context.origin().place();
        let is_known = matches!(error, TaskError::State(_) | TaskError::Send(_) | TaskError::Broken(_));
        (is_known && !place.topic.is_empty()).then_some(place)
    }

    /// Fires the timers of stream time that are due; whether there was one.
    pub fn punctuate_stream_time(&mut self) -> Result<bool, TaskError> {
        match self.context.stream_time() {
            -1 => Ok(false),
            now => self.punctuate(PunctuationType::StreamTime, now),
        }
    }

    /// Fires the timers of the wall clock that are due; whether there was one.
    pub fn punctuate_wall_clock(&mut self, now: i64) -> Result<bool, TaskError> {
        self.context.set_wall_clock(now);
        self.punctuate(PunctuationType::WallClock, now)
    }

    fn punctuate(&mut self, clock: PunctuationType, now: i64) -> Result<bool, TaskError> {
        let mut fired = false;
        while let Some(due) = self.context.timers().due(clock, now) {
            fired = true;
            self.context.tallied.punctuated += 1;
            let before = self.context.replace_origin(Origin::timer());
            if let Some(trace) = self.context.trace.as_mut() {
                **trace = super::context::Trace { timestamp: now, ..Default::default() };
            }
            let (node, context) = (&self.timed[due.node], &mut self.context);
            let done = catch_unwind(AssertUnwindSafe(|| node.processor.punctuate(due.timer, now, context)));
            let done = match done {
                Ok(Ok(())) => Ok(()),
                Ok(Err(failure)) => context.fail(failure, &node.name),
                Err(thrown) => context.fail_panic(thrown, &node.name),
            };
            done.map_err(fatal)?;
            self.context.replace_origin(before);
            self.context.timers().again(clock, due, now);
        }
        self.commit_needed |= fired;
        Ok(fired)
    }

    /// Whether something happened since the last commit.
    pub fn is_commit_needed(&self) -> bool {
        self.commit_needed
    }

    /// Whether a processor asked for a commit.
    pub fn take_commit_request(&mut self) -> bool {
        self.context.take_commit_request()
    }

    /// First step of a commit: caches are written and handed on. What this produces must be sent before offsets are.
    ///
    /// A processor below one cache may put into another one that was flushed before it, of which the offset would be
    /// committed past (Java leaves such an entry to the next commit): so there are rounds until nothing waits, as many as
    /// there are stores. Where processors put into each other's stores for ever, the next commit goes on.
    pub fn flush(&mut self) -> Result<(), TaskError> {
        for _ in 0..self.flushes.len() {
            self.flush_each()?;
            if !self.is_any_waiting() {
                break;
            }
        }
        Ok(())
    }

    fn is_any_waiting(&self) -> bool {
        self.flushes.iter().any(|(_, store)| store.waiting() > 0)
    }

    fn flush_each(&mut self) -> Result<(), TaskError> {
        for place in 0..self.flushes.len() {
            let ((output, store), context) = (&self.flushes[place], &mut self.context);
            let done = catch_unwind(AssertUnwindSafe(|| match output {
                Some(output) => output.flush(context),
                None => store.flush(context),
            }));
            self.finish(done)?;
        }
        Ok(())
    }

    /// Second step: the offset to commit for each partition of which a record was processed (for each at all, if
    /// processors keep something new): that of the next record to process, or None where that is the position of the
    /// consumer, because no record waits.
    pub fn offsets(&self) -> Vec<(usize, Option<i64>)> {
        let all = self.context.is_kept_new();
        let consumed = self.consumed.iter().enumerate().filter(|(_, offset)| all || offset.is_some());
        consumed.map(|(input, _)| (input, self.group.head_offset(input))).collect()
    }

    /// The offset of the last record that was processed.
    pub fn last_offset(&self, input: usize) -> Option<i64> {
        self.consumed[input]
    }

    /// Last step: what was committed needs no commit again.
    pub fn committed(&mut self) {
        self.commit_needed = self.is_any_waiting();
        self.context.kept_is_committed();
    }

    /// Forgets the records that wait, and which were processed: they are committed, or nobody's any more.
    pub fn clear(&mut self) {
        self.group.clear();
        self.consumed.fill(None);
        self.commit_needed = false;
    }

    /// The same of one partition, which is read no more; the others go on.
    pub fn clear_input(&mut self, input: usize) {
        self.group.clear_input(input);
        self.consumed[input] = None;
    }

    /// Closes the processors of the user, once.
    pub fn close(&mut self) {
        std::mem::take(&mut self.timed).iter().for_each(|node| node.processor.close());
    }
}

/// The stores of these nodes, each once, in the order of the nodes (InternalTopologyBuilder.build).
pub(crate) fn definitions<'a>(topology: &'a Topology, places: &[usize]) -> Vec<&'a Store> {
    let mut found: Vec<&Store> = Vec::new();
    for name in places.iter().flat_map(|place| &topology.nodes()[*place].stores) {
        let all = topology.stores().iter().chain(topology.global_stores());
        for store in all.filter(|store| store.name == *name) {
            if !found.iter().any(|known| known.name == store.name) {
                found.push(store);
            }
        }
    }
    found
}

fn changelog_of(
    store: &Store,
    settings: &Settings,
    partition: u32,
    topic: &mut dyn FnMut(&str) -> TopicId,
) -> Option<ChangelogTo> {
    match &store.changelog {
        Changelog::Own(_) => {
            let name = format!("{}-{}-changelog", settings.application_id, store.name);
            Some(ChangelogTo { topic: topic(&name), partition })
        }
        Changelog::Source(_) | Changelog::Off => None,
    }
}

/// Processors in the order of the nodes; they were linked from the last to the first.
fn set_up(timed: &[TimedNode], context: &mut Context) -> Result<(), LinkError> {
    for node in timed.iter().rev() {
        let refused = |cause| LinkError::Setup { node: node.name.to_string(), cause };
        match catch_unwind(AssertUnwindSafe(|| node.processor.init(context))) {
            Ok(done) => done.map_err(|failure| refused(format!("{failure:?}")))?,
            Err(thrown) => return Err(refused(panics::fatal(thrown, context.origin().place()).to_string())),
        }
    }
    Ok(())
}

/// What a source reads, with whole names; None of any other node.
fn topics_of(topology: &Topology, node: &Node, application_id: &str) -> Option<SourceTopics> {
    match &node.kind {
        NodeKind::Source { topics: SourceTopics::Pattern(pattern), .. } => Some(SourceTopics::Pattern(pattern.clone())),
        NodeKind::Source { topics: SourceTopics::Names(names), .. } => {
            Some(SourceTopics::Names(names.iter().map(|name| topology.whole_name(application_id, name)).collect()))
        }
        NodeKind::Processor(_) | NodeKind::Sink { .. } => None,
    }
}

impl TaskSource {
    fn names(&self) -> Vec<String> {
        match &self.topics {
            SourceTopics::Names(names) => names.clone(),
            SourceTopics::Pattern(_) => Vec::new(),
        }
    }

    fn reads(&self, topic: &str) -> bool {
        match &self.topics {
            SourceTopics::Names(names) => names.iter().any(|name| name == topic),
            // The pattern was checked when the topology was built.
            SourceTopics::Pattern(pattern) => {
                Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(topic))
            }
        }
    }
}

#[cfg(test)]
mod tests;
