//! What a node sees of its task: where the record came from, the times, the collector, timers, what was left out.
//! Made once a task and lent to each call. Never owned by a node: stores and children are what a node keeps.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;

use super::collector::{Collector, Fault, Outgoing, SendFailure, To, TopicId};
use super::errors::{
    ErrorContext, Failure, Place, ProcessError, ProcessResult, ProductionContext, ProductionFault, Response, TaskError,
    dead_letter_headers,
};
use super::panics::{self, Thrown};
use super::settings::Settings;
use super::tally::Tallies;
use super::timers::{PunctuationType, Timer, Timers};
use crate::record::{About, Header};
use crate::serde::SerdeError;
use crate::store::cache::Budget;

/// Where the record that is processed was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its topic; None while a timer runs.
    pub topic: Option<Rc<str>>,
    /// Its partition; -1 while a timer runs.
    pub partition: i32,
    /// Its offset; -1 while a timer runs.
    pub offset: i64,
}

impl Origin {
    /// No record: a timer runs.
    pub fn timer() -> Origin {
        Origin { topic: None, partition: -1, offset: -1 }
    }

    pub(crate) fn place(&self) -> Place {
        let topic = self.topic.as_deref().unwrap_or_default().to_owned();
        Place { topic, partition: self.partition, offset: self.offset }
    }
}

/// Bytes and metadata of the record in flight, kept only where a handler or a dead letter may want them.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) timestamp: i64,
    pub(crate) headers: Vec<Header>,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
}

/// What a task counts, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Records that were left out.
    pub dropped: u64,
    /// Timers that fired.
    pub punctuated: u64,
    /// Times that a record was processed though a partition had none (Java: `enforced-processing`).
    pub enforced: u64,
    /// By how many milliseconds records were behind stream time, all together.
    pub lateness_sum: i64,
    /// The largest of these since it was last taken.
    pub lateness_max: i64,
}

/// What the context knows of the processor of the user that is running.
pub(crate) struct Work {
    origin: Option<Origin>,
    timed: Option<usize>,
    timestamp: i64,
    headers: Vec<Header>,
}

impl Default for Work {
    /// None is running.
    fn default() -> Work {
        Work { origin: None, timed: None, timestamp: -1, headers: Vec::new() }
    }
}

/// The task's side that a processor sees.
pub struct Context {
    collector: Box<dyn Collector>,
    settings: Rc<Settings>,
    budget: Rc<Budget>,
    origin: Origin,
    stream_time: i64,
    wall_clock: i64,
    pub(crate) tallied: Tallied,
    pub(crate) tallies: Rc<Tallies>,
    timers: Timers,
    commit_requested: bool,
    /// Numbers that processors keep beside committed offsets (Java: `ProcessorMetadata`).
    kept: BTreeMap<String, i64>,
    is_kept_new: bool,
    dead_letters: Option<TopicId>,
    pub(crate) trace: Option<Box<Trace>>,
    /// Time and headers of the record that a processor of the user works on, for the stores that it writes to.
    pub(crate) timestamp: i64,
    pub(crate) headers: Vec<Header>,
    /// The processor of the user that is running, for its timers.
    pub(crate) timed: Option<usize>,
}

impl Context {
    pub(crate) fn new(
        mut collector: Box<dyn Collector>,
        settings: Rc<Settings>,
        budget: Rc<Budget>,
        wall_clock: i64,
    ) -> Context {
        let dead_letters = settings.dead_letters.as_deref().map(|name| collector.topic(name));
        let traces = dead_letters.is_some() || settings.on_processing.is_some();
        Context {
            collector,
            settings,
            budget,
            origin: Origin::timer(),
            stream_time: -1,
            wall_clock,
            tallied: Tallied::default(),
            tallies: Rc::default(),
            timers: Timers::new(),
            commit_requested: false,
            kept: BTreeMap::new(),
            is_kept_new: false,
            dead_letters,
            trace: traces.then(Box::default),
            timestamp: -1,
            headers: Vec::new(),
            timed: None,
        }
    }

    /// Where the record that is processed was read.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Another origin, while what a cache held back is handed on; the answer is to be put back.
    pub fn replace_origin(&mut self, origin: Origin) -> Origin {
        std::mem::replace(&mut self.origin, origin)
    }

    /// The largest time of a record of this task so far; -1 before the first.
    pub fn stream_time(&self) -> i64 {
        self.stream_time
    }

    /// The time of day, in ms since 1970, as of the start of this record or timer.
    pub fn wall_clock(&self) -> i64 {
        self.wall_clock
    }

    /// The task's settings.
    pub fn settings(&self) -> &Rc<Settings> {
        &self.settings
    }

    /// How much the caches of this thread may hold.
    pub fn budget(&self) -> &Rc<Budget> {
        &self.budget
    }

    /// Counts a record that an operator had to leave out (`dropped-records-total`).
    pub fn drop_record(&mut self) {
        self.tallied.dropped += 1;
    }

    /// How many records were left out.
    pub fn dropped(&self) -> u64 {
        self.tallied.dropped
    }

    /// Time and headers of the record that a processor of the user works on.
    pub fn about(&self) -> About<'_> {
        About { timestamp: self.timestamp, headers: &self.headers }
    }

    /// Keeps a number beside the offsets of the next commit.
    pub(crate) fn keep(&mut self, name: &str, number: i64) {
        self.is_kept_new = true;
        match self.kept.get_mut(name) {
            Some(kept) => *kept = number,
            None => drop(self.kept.insert(name.to_owned(), number)),
        }
    }

    /// A number that was kept.
    pub(crate) fn kept(&self, name: &str) -> Option<i64> {
        self.kept.get(name).copied()
    }

    /// All numbers that are kept.
    pub(crate) fn all_kept(&self) -> &BTreeMap<String, i64> {
        &self.kept
    }

    /// What the last owner of the task kept.
    pub(crate) fn set_kept(&mut self, kept: BTreeMap<String, i64>) {
        self.kept = kept;
    }

    pub(crate) fn is_kept_new(&self) -> bool {
        self.is_kept_new
    }

    pub(crate) fn kept_is_committed(&mut self) {
        self.is_kept_new = false;
    }

    /// Asks for a commit soon.
    pub fn request_commit(&mut self) {
        self.commit_requested = true;
    }

    pub(crate) fn take_commit_request(&mut self) -> bool {
        std::mem::take(&mut self.commit_requested)
    }

    /// Sets a timer for the processor that is running: its `punctuate` is called each time it fires.
    pub(crate) fn set_timer(
        &mut self,
        clock: PunctuationType,
        interval: std::time::Duration,
        start_ms: Option<i64>,
    ) -> Timer {
        let node = self.timed.expect("a processor of the user is running, which alone sets timers");
        let now = match clock {
            PunctuationType::StreamTime => self.stream_time,
            PunctuationType::WallClock => self.wall_clock,
        };
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        self.timers.schedule(node, clock, interval_ms, now, start_ms)
    }

    /// Stops a timer.
    pub fn cancel(&mut self, timer: Timer) {
        self.timers.cancel(timer);
    }

    pub(crate) fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    /// Gives a record to the collector.
    pub fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendFailure> {
        match self.collector.send(record) {
            Err(failure) if failure.fault == Fault::Record => {
                let left_out = self.fail_production(failure, &record);
                // Whatever becomes of the error above.
                left_out.inspect_err(|_| self.collector.spoil())
            }
            sent => sent,
        }
    }

    /// The same of what a store writes to its changelog. The handler is asked about it too, but the row is in the store by
    /// now: exactly once, nothing of that is committed, whatever the handler says.
    pub fn log(&mut self, record: Outgoing<'_>) -> Result<(), SendFailure> {
        match self.collector.send(record) {
            Err(failure) if failure.fault == Fault::Record => {
                self.collector.spoil();
                self.fail_production(failure, &record)
            }
            sent => sent,
        }
    }

    /// Asks the handler about a record that no broker takes (KIP-210).
    #[cold]
    fn fail_production(&mut self, failure: SendFailure, record: &Outgoing<'_>) -> Result<(), SendFailure> {
        let error = ProcessError::named("RecordTooLarge", failure.cause.clone());
        match self.ask_production(&failure.topic, record, ProductionFault::Refused, &error)? {
            Response::Continue => Ok(()),
            Response::Fail => Err(failure),
        }
    }

    /// Asks the handler about a record whose key or value has no bytes (KIP-399).
    #[cold]
    pub(crate) fn fail_serialization(
        &mut self,
        topic: &str,
        record: &Outgoing<'_>,
        fault: ProductionFault,
        error: SerdeError,
    ) -> Result<(), TaskError> {
        let (cause, place) = (ProcessError::of_serde(error), self.origin.place());
        match self.ask_production(topic, record, fault, &cause)? {
            Response::Continue => Ok(()),
            Response::Fail => Err(TaskError::Serialization { topic: topic.into(), place, cause: cause.into() }),
        }
    }

    fn ask_production(
        &mut self,
        topic: &str,
        record: &Outgoing<'_>,
        fault: ProductionFault,
        error: &ProcessError,
    ) -> Result<Response, SendFailure> {
        let (place, cause) = (self.origin.place(), error.to_string());
        let (record, at) = (Some(record), Some(&place));
        let about = ProductionContext { topic, partition: None, record, fault, place: at, cause: &cause };
        let handler = self.settings.on_production.clone();
        let ask = |_: &ErrorContext<'_>| handler.map_or(Response::Fail, |handler| handler(&about));
        self.ask("", &place, error, ask)
    }

    /// Asks about the record in hand, which goes to the dead letters whatever the answer, and is dropped if that is to go
    /// on.
    fn ask(
        &mut self,
        node: &str,
        place: &Place,
        error: &ProcessError,
        ask: impl FnOnce(&ErrorContext<'_>) -> Response,
    ) -> Result<Response, SendFailure> {
        let trace = self.trace.take().unwrap_or_default();
        let about = ErrorContext {
            node,
            place,
            timestamp: trace.timestamp,
            headers: &trace.headers,
            key: trace.key.as_ref(),
            value: trace.value.as_ref(),
            error,
        };
        let response = ask(&about);
        let sent = self.send_dead_letter(&about);
        self.trace = self.has_handler().then_some(trace);
        sent?;
        if response == Response::Continue {
            self.drop_record();
        }
        Ok(response)
    }

    /// Asks the handler about a panic of the user's code in a node, if there is anyone to ask.
    #[cold]
    pub(crate) fn fail_panic(&mut self, thrown: Thrown, node: &str) -> ProcessResult {
        // What a processor noted of the record on its way is void.
        self.set_work(Work::default());
        if !self.has_handler() {
            return Err(Failure::fatal(panics::fatal(thrown, self.origin.place())));
        }
        self.fail(panics::failure(thrown), node)
    }

    /// What a processor of the user is at, to be put back if one below it panics.
    #[cold]
    pub(crate) fn work(&self) -> Work {
        let (origin, headers) = (self.origin.clone(), self.headers.clone());
        Work { origin: Some(origin), timed: self.timed, timestamp: self.timestamp, headers }
    }

    #[cold]
    pub(crate) fn set_work(&mut self, work: Work) {
        (self.timed, self.timestamp, self.headers) = (work.timed, work.timestamp, work.headers);
        if let Some(origin) = work.origin {
            self.origin = origin;
        }
    }

    /// The number of a topic.
    pub fn topic(&mut self, name: &str) -> TopicId {
        self.collector.topic(name)
    }

    /// The collector.
    pub fn collector(&mut self) -> &mut dyn Collector {
        self.collector.as_mut()
    }

    pub(crate) fn set_wall_clock(&mut self, now: i64) {
        self.wall_clock = now;
    }

    pub(crate) fn advance_stream_time(&mut self, timestamp: i64) {
        self.stream_time = self.stream_time.max(timestamp);
    }

    /// The time of the next record; it is counted how late it is.
    pub(crate) fn take_time(&mut self, timestamp: i64) {
        if timestamp >= self.stream_time {
            self.stream_time = timestamp;
            return;
        }
        let late = self.stream_time - timestamp;
        self.tallied.lateness_sum += late;
        self.tallied.lateness_max = self.tallied.lateness_max.max(late);
    }

    /// Keeps what a handler may want to know of the record that goes to a node; the answer is to be put back.
    #[cold]
    pub(crate) fn retrace(&mut self, timestamp: i64, headers: Vec<Header>) -> Option<(i64, Vec<Header>)> {
        let trace = self.trace.as_mut()?;
        let before = std::mem::replace(&mut trace.headers, headers);
        Some((std::mem::replace(&mut trace.timestamp, timestamp), before))
    }

    /// Asks the handler about an error of the user's; an error of any other kind goes through.
    #[cold]
    pub(crate) fn fail(&mut self, failure: Failure, node: &str) -> ProcessResult {
        let error = failure.split().map_err(Failure::fatal)?;
        let (place, handler) = (self.origin.place(), self.settings.on_processing.clone());
        match self.ask(node, &place, &error, |about| handler.map_or(Response::Fail, |handler| handler(about)))? {
            Response::Continue => Ok(()),
            Response::Fail => Err(Failure::fatal(TaskError::Processing { node: node.into(), place, cause: error })),
        }
    }

    /// Asks the handler about a record that is no key or value of its type.
    #[cold]
    pub(crate) fn fail_deserialization(&mut self, about: &ErrorContext<'_>) -> Result<Response, TaskError> {
        let handler = self.settings.on_deserialization.clone();
        let response = handler.map_or(Response::Fail, |handler| handler(about));
        self.send_dead_letter(about)?;
        if response == Response::Continue {
            self.drop_record();
        }
        Ok(response)
    }

    /// Whether anyone is to be told of a record whose processing failed, and so may let it pass.
    pub(crate) fn has_handler(&self) -> bool {
        self.dead_letters.is_some() || self.settings.on_processing.is_some()
    }

    fn send_dead_letter(&mut self, about: &ErrorContext<'_>) -> Result<(), SendFailure> {
        let Some(topic) = self.dead_letters else { return Ok(()) };
        let headers = dead_letter_headers(about);
        let key = about.key.map(Bytes::as_ref);
        let to = key.map_or(To::Any, To::Hash);
        let value = about.value.map(Bytes::as_ref);
        let timestamp = Some(about.timestamp);
        self.collector.send(Outgoing { topic, to, key, value, timestamp, headers: &headers })
    }
}
