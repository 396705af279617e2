//! What an application measures, by Java's names (Java: `ClientMetrics`, `ThreadMetrics`, `TaskMetrics`), and the page for
//! Prometheus, whose names are those that its JMX exporter makes of Kafka's.
//!
//! A thread notes what it does in a [`Round`] of its own, which costs no lock, and hands it over at the end of the round;
//! nothing is counted per record but in plain numbers of the task, which are emptied then. Read through
//! `KafkaStreams::metrics` and `TopologyTestDriver::metrics`. All are recorded whatever `metrics.recording.level` says, but
//! for how long calls of stores take (DEBUG) and how old records are when they are put into one (TRACE).
//!
//! Not done: metrics of copies and of global tables but for `update-rate` and `update-total`; metrics whose values are texts
//! (version, commit-id, application-id, topology-description, state); process-latency-max of a task is the largest average
//! of a turn.

// Of a task as a whole.
mod tasks;
// Of topics that it reads and writes.
mod topics;
// Of its nodes.
mod nodes;
// Of its stores and their caches.
mod stores;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use client::metrics::{Metric, Series, Tags, told};
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;
use millstream_base_metrics::page::{Sample, kind_of, name_of, page};
use parking_lot::Mutex;

use crate::assign::TaskId;
use crate::config::Recording;
use crate::task::Tallied;
use crate::task::tally::Tallies;
use tasks::OfTask;

const CLIENT: &str = "stream-metrics";
const THREAD: &str = "stream-thread-metrics";
const TASK: &str = "stream-task-metrics";
const NODE: &str = "stream-processor-node-metrics";
const TOPIC: &str = "stream-topic-metrics";
const STORE: &str = "stream-state-metrics";
const CACHE: &str = "stream-record-cache-metrics";

/// How old what is told of a thread's clients may be.
const CLIENTS_EVERY: Duration = Duration::from_secs(1);

/// What one task did in one round.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Records, and how long they took.
    pub processed: (u64, Duration),
    /// Timers, and how long they took.
    pub punctuated: (u64, Duration),
    /// Records that wait in its queues.
    pub buffered: usize,
    /// What it counted since it was made.
    pub tallied: Tallied,
    /// What its nodes and stores counted since the round before.
    pub tallies: Option<Rc<Tallies>>,
    /// When it ended, in ms since 1970.
    pub ended_ms: i64,
}

/// A commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed {
    /// How long it took.
    pub took: Duration,
    /// How much of that caches were flushed and what they held was processed, while nobody waited for the cluster.
    pub flushing: Duration,
    /// How many tasks had something to commit.
    pub tasks: usize,
}

/// What a thread did in one round.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// How long the poll took, and how many records it brought.
    pub polled: Option<(Duration, usize)>,
    /// Of each task that had a turn.
    pub turns: Vec<(TaskId, Turn)>,
    /// The commit, if there was anything to commit.
    pub committed: Option<Committed>,
    /// Tasks that were made.
    pub created: u64,
    /// Tasks that were closed.
    pub closed: Vec<TaskId>,
    /// Tasks that ran and are copies from now on.
    pub demoted: Vec<TaskId>,
    /// Rows put into stores of tasks that are to run, and how many are left of each.
    pub restored: Vec<(TaskId, usize, u64)>,
    /// Rows put into stores of copies.
    pub copied: Vec<(TaskId, usize)>,
}

impl Round {
    /// A round begins.
    pub fn clear(&mut self) {
        (self.polled, self.committed, self.created) = (None, None, 0);
        self.turns.clear();
        self.closed.clear();
        self.demoted.clear();
        self.restored.clear();
        self.copied.clear();
    }
}

/// What one thread has done: written by it, read by whoever asks.
pub(crate) struct Meters {
    name: String,
    started_ms: i64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    polls: Series,
    poll_records: Series,
    process_latency: Series,
    process_records: Series,
    processed: Series,
    punctuations: Series,
    commits: Series,
    created: Series,
    closed: Series,
    blocked: Duration,
    /// Milliseconds of rounds, and of their parts.
    rounds: Series,
    polling: Series,
    processing: Series,
    punctuating: Series,
    committing: Series,
    tasks: BTreeMap<TaskId, OfTask>,
    clients: Vec<Metric>,
    clients_at: Option<Moment>,
}

impl Meters {
    /// Of a thread that begins now.
    pub fn new(name: &str) -> Meters {
        Meters { name: name.to_owned(), started_ms: Clock::Real.now_ms(), inner: Mutex::default() }
    }

    /// Takes what was done in a round, which took that long as a whole.
    pub(crate) fn note(&self, round: &Round, took: Duration) {
        self.inner.lock().note(round, ms(took), Clock::Real.steady_ms());
    }

    /// Takes what the thread's clients tell, if what they told last is old by now.
    pub(super) fn note_clients(&self, told: impl FnOnce() -> Vec<Metric>) {
        let is_due = self.inner.lock().clients_at.is_none_or(|at| at.elapsed() >= CLIENTS_EVERY);
        if is_due {
            let told = told();
            let mut inner = self.inner.lock();
            (inner.clients, inner.clients_at) = (told, Some(Moment::now()));
        }
    }

    /// What was measured; `state` is the number of its state, `process` the instance's.
    pub fn metrics(&self, state: usize, process: &str) -> Vec<Metric> {
        let now_ms = Clock::Real.steady_ms();
        let inner = self.inner.lock();
        let mut tags = Tags::from([("thread-id", self.name.clone())]);
        let mut all = told(THREAD, &tags, &inner.values(now_ms));
        all.append(&mut told(THREAD, &tags, &[("thread-start-time", self.started_ms as f64)]));
        for (id, task) in &inner.tasks {
            tags.insert("task-id", id.to_string());
            task.tell(&tags, now_ms, &mut all);
        }
        let tags = Tags::from([("thread-id", self.name.clone()), ("process-id", process.to_owned())]);
        all.append(&mut told(THREAD, &tags, &[("thread-state", state as f64)]));
        all.extend(inner.clients.iter().cloned());
        all
    }
}

impl Inner {
    fn note(&mut self, round: &Round, took: f64, now_ms: i64) {
        let (mut processed, mut processing, mut punctuated, mut punctuating) = (0, Duration::ZERO, 0, Duration::ZERO);
        for (_, turn) in &round.turns {
            processed += turn.processed.0;
            processing += turn.processed.1;
            punctuated += turn.punctuated.0;
            punctuating += turn.punctuated.1;
        }
        if processed > 0 {
            self.processed.record(processed as f64, now_ms);
            self.process_latency.record(ms(processing) / processed as f64, now_ms);
        }
        self.process_records.record(processed as f64, now_ms);
        if punctuated > 0 {
            self.punctuations.record(ms(punctuating) / punctuated as f64, now_ms);
        }
        if let Some((took, records)) = round.polled {
            self.polls.record(ms(took), now_ms);
            self.polling.record(ms(took), now_ms);
            self.blocked += took;
            if records > 0 {
                self.poll_records.record(records as f64, now_ms);
            }
        }
        if let Some(Committed { took, flushing, tasks }) = round.committed {
            self.commits.record(ms(took) / tasks.max(1) as f64, now_ms);
            self.committing.record(ms(took), now_ms);
            self.blocked += took.saturating_sub(flushing);
        }
        self.rounds.record(took, now_ms);
        self.processing.record(ms(processing), now_ms);
        self.punctuating.record(ms(punctuating), now_ms);
        if round.created > 0 {
            self.created.record(round.created as f64, now_ms);
        }
        self.note_tasks(round, processing, now_ms);
    }

    fn note_tasks(&mut self, round: &Round, processing: Duration, now_ms: i64) {
        for (id, turn) in &round.turns {
            let ratio = if processing.is_zero() { 0.0 } else { ms(turn.processed.1) / ms(processing) };
            self.tasks.entry(*id).or_default().note(turn, ratio, now_ms);
        }
        for (id, count, remaining) in &round.restored {
            let task = self.tasks.entry(*id).or_default();
            task.remaining = *remaining as f64;
            task.restored.record(*count as f64, now_ms);
        }
        for (id, count) in &round.copied {
            self.tasks.entry(*id).or_default().updated.record(*count as f64, now_ms);
        }
        // Java: `StreamTask.prepareRecycle` removes the sensors too.
        for id in &round.demoted {
            self.tasks.remove(id);
        }
        for id in &round.closed {
            self.closed.record(1.0, now_ms);
            self.tasks.remove(id);
        }
    }

    fn values(&self, now_ms: i64) -> [(&'static str, f64); 29] {
        let whole = self.rounds.sum(now_ms);
        let ratio = |part: &Series| if whole > 0.0 { part.sum(now_ms) / whole } else { 0.0 };
        [
            ("blocked-time-ns-total", self.blocked.as_nanos() as f64),
            ("commit-latency-avg", self.commits.avg(now_ms)),
            ("commit-latency-max", self.commits.max(now_ms)),
            ("commit-rate", self.commits.count_rate(now_ms)),
            ("commit-ratio", ratio(&self.committing)),
            ("commit-total", self.commits.count),
            ("poll-latency-avg", self.polls.avg(now_ms)),
            ("poll-latency-max", self.polls.max(now_ms)),
            ("poll-rate", self.polls.count_rate(now_ms)),
            ("poll-ratio", ratio(&self.polling)),
            ("poll-records-avg", self.poll_records.avg(now_ms)),
            ("poll-records-max", self.poll_records.max(now_ms)),
            ("poll-total", self.polls.count),
            ("process-latency-avg", self.process_latency.avg(now_ms)),
            ("process-latency-max", self.process_latency.max(now_ms)),
            ("process-rate", self.processed.rate(now_ms)),
            ("process-ratio", ratio(&self.processing)),
            ("process-records-avg", self.process_records.avg(now_ms)),
            ("process-records-max", self.process_records.max(now_ms)),
            ("process-total", self.processed.total),
            ("punctuate-latency-avg", self.punctuations.avg(now_ms)),
            ("punctuate-latency-max", self.punctuations.max(now_ms)),
            ("punctuate-rate", self.punctuations.count_rate(now_ms)),
            ("punctuate-ratio", ratio(&self.punctuating)),
            ("punctuate-total", self.punctuations.count),
            ("task-closed-rate", self.closed.rate(now_ms)),
            ("task-closed-total", self.closed.total),
            ("task-created-rate", self.created.rate(now_ms)),
            ("task-created-total", self.created.total),
        ]
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Metrics of the instance as a whole: the number of its state, of the threads that are alive, and of those that failed.
pub(super) fn of_instance(
    client_id: &str,
    (process, application): (&str, &str),
    numbers: [usize; 3],
    recording: Recording,
) -> Vec<Metric> {
    let [state, alive, failed] = numbers;
    let mut tags = Tags::from([("client-id", client_id.to_owned())]);
    let mut all =
        told(CLIENT, &tags, &[("alive-stream-threads", alive as f64), ("failed-stream-threads", failed as f64)]);
    tags.insert("process-id", process.to_owned());
    let level = match recording {
        Recording::Info => 0.0,
        Recording::Debug => 1.0,
        Recording::Trace => 2.0,
    };
    all.append(&mut told(CLIENT, &tags, &[("recording-level", level)]));
    tags.insert("application-id", application.to_owned());
    all.append(&mut told(CLIENT, &tags, &[("client-state", state as f64)]));
    all
}

/// The page for Prometheus: `kafka_streams_stream_thread_metrics_commit_rate{thread_id="..."}`.
pub(super) fn page_of(metrics: &[Metric]) -> String {
    let samples: Vec<Sample> = metrics.iter().map(sample).collect();
    page(&samples)
}

fn sample(metric: &Metric) -> Sample {
    Sample {
        name: name_of(metric.group, metric.name),
        kind: kind_of(metric.name),
        labels: metric.tags.iter().map(|(key, value)| (key.replace(['-', '.'], "_"), value.clone())).collect(),
        value: metric.value,
    }
}

#[cfg(test)]
mod tests;
