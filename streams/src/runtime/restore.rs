//! Changelogs into stores: of tasks before they run, and of standby replicas as long as they are (Java:
//! `StoreChangelogReader`).
//!
//! Called by `thread.rs` once a round, with a consumer of its own that belongs to no group. Only what a store does not
//! contain yet is read. Tasks that run have their turn meanwhile. A store that is out of step with its changelog (the
//! topic was made anew, or what the store lacks is gone) is deleted and restored from what is left.

use std::collections::BTreeSet;
use std::time::Duration;

use client::TopicPartition;
use client::config::ConsumerConfig;
use client::consumer::{Consumer, Offsets};
use client::error::ClientError;
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;

use super::app::known;
use super::collect::Sender;
use super::decide;
use super::error::StreamsError;
use super::held::{self, Found, Held, Log, Role};
use super::pending::Pending;
use super::thread::StreamThread;
use crate::assign::TaskId;
use crate::store::Call;

/// How long a round restores at most, while tasks that run wait.
const TURN: Duration = Duration::from_millis(50);

/// Told how the stores of tasks are filled (Java: `StateRestoreListener`).
pub trait RestoreListener: Send + Sync {
    /// The records from `start` up to `end` are to be read.
    fn started(&self, _changelog: &TopicPartition, _store: &str, _start: i64, _end: i64) {}
    /// `count` records more were read, the last one at `offset`.
    fn advanced(&self, _changelog: &TopicPartition, _store: &str, _offset: i64, _count: usize) {}
    /// The store is complete after `total` records.
    fn ended(&self, _changelog: &TopicPartition, _store: &str, _total: i64) {}
    /// A copy of a store that another instance works with took `count` records more, the last one at `offset` (Java:
    /// `StandbyUpdateListener.onBatchLoaded`).
    fn copied(&self, _changelog: &TopicPartition, _store: &str, _offset: i64, _count: usize) {}
}

impl StreamThread {
    /// Where the restore of a task ends; the state of one that is out of step with its changelogs is deleted.
    pub(super) fn set_ends(&mut self, id: TaskId, found: &Found) -> Result<(), StreamsError> {
        let end_of = |log: &Log| found.ends.get(&log.place).copied().unwrap_or(0);
        let gap_of = |log: &Log| decide::gap(log.position, found.firsts.get(&log.place).copied(), end_of(log));
        let Some(held) = self.tasks.get_mut(&id) else { return Ok(()) };
        if let Some((log, gap)) = held.logs.iter().find_map(|log| Some((log, gap_of(log)?))) {
            let why = gap.describe(&log.store, &log.place);
            return self.wipe(id, &why);
        }
        let listener = self.common.restore_listener.lock().clone();
        for log in &mut held.logs {
            let at = found.committed.get(&log.place).map(|at| at.offset);
            let limit = decide::restore_end(log.is_own, end_of(log), at);
            log.end = Some(limit);
            log.start = log.position;
            log.since = Some(Moment::now());
            if let Some(listener) = listener.as_ref().filter(|_| log.position < limit) {
                listener.started(&log.place, &log.store, log.position, limit);
            }
        }
        held.begin_filling();
        Ok(())
    }

    /// Copies follow source topics as far as the task that runs was committed: looked up once a commit interval (Java:
    /// `StoreChangelogReader.maybeUpdateLimitOffsetsForStandbyChangelogs`).
    fn limit_copies(&mut self) {
        if let Some(answer) = self.limits.as_mut().and_then(|limits| limits.answer(&self.handle, Duration::ZERO)) {
            self.limits = None;
            match answer {
                Ok(committed) => self.take_limits(&committed),
                Err(error) => tracing::debug!(%error, "how far copies may go is not known"),
            }
        }
        let copies = || self.tasks.values().filter(|held| held.role == Role::Standby);
        let logs = || copies().flat_map(|held| &held.logs).filter(|log| !log.is_own);
        let is_new = logs().any(|log| log.end.is_none());
        let is_due = self.limited.elapsed() >= self.common.settings.commit_interval;
        let places: Vec<TopicPartition> = logs().map(|log| log.place.clone()).collect();
        if places.is_empty() || !(is_new || is_due) || self.limits.is_some() {
            return;
        }
        self.limited = Moment::now();
        self.limits = Some(Pending::ask("streams limits of copies", self.consumer.committed(&places)));
    }

    fn take_limits(&mut self, committed: &Offsets) {
        let copies = self.tasks.values_mut().filter(|held| held.role == Role::Standby);
        for log in copies.flat_map(|held| &mut held.logs).filter(|log| !log.is_own) {
            let known = log.end.unwrap_or(0);
            log.end = Some(committed.get(&log.place).map_or(known, |at| at.offset));
        }
    }

    /// Reads changelogs for a while.
    pub(super) fn restore(&mut self) -> Result<(), StreamsError> {
        self.copied = false;
        self.limit_copies();
        let wanted = self.wanted();
        if wanted.is_empty() {
            self.restorer = None;
            return Ok(());
        }
        self.assign(&wanted)?;
        let started = Moment::now();
        let urgent = self.tasks.values().any(|held| held.role == Role::Restoring);
        // Records that may not be processed, as others are waited for or the application is paused, are no reason to hurry.
        let wait = if urgent && !self.busy { Duration::from_millis(20) } else { Duration::ZERO };
        while started.elapsed() < TURN {
            match self.read(wait) {
                Ok(true) => self.copied = true,
                Ok(false) => break,
                Err(StreamsError::Client(error)) if error.is_retriable() => {
                    self.delay_restores(&error)?;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let restoring: Vec<TaskId> =
            self.tasks.values().filter(|held| held.role == Role::Restoring).map(|held| held.id).collect();
        for id in restoring {
            self.finish_restore(id)?;
        }
        Ok(())
    }

    /// Changelogs cannot be read: tasks that run already go on, until the others have waited too long.
    fn delay_restores(&mut self, error: &ClientError) -> Result<(), StreamsError> {
        let restoring = self.tasks.values().filter(|held| held.role == Role::Restoring);
        let restoring: Vec<TaskId> = restoring.map(|held| held.id).collect();
        restoring.into_iter().try_for_each(|id| self.delay(id, error.clone()))
    }

    /// Changelogs of which something is missing.
    fn wanted(&self) -> BTreeSet<TopicPartition> {
        let reads = |held: &&Held| matches!(held.role, Role::Restoring | Role::Standby);
        let logs = self.tasks.values().filter(reads).flat_map(|held| &held.logs);
        logs.filter(|log| log.end.map_or(log.is_own, |end| log.position < end)).map(|log| log.place.clone()).collect()
    }

    fn assign(&mut self, wanted: &BTreeSet<TopicPartition>) -> Result<(), StreamsError> {
        if self.restorer.is_none() {
            let pairs = known(self.common.config.restore_consumer(&format!("{}-restore-consumer", self.name)));
            let (config, _) = ConsumerConfig::from_properties(pairs)?;
            let _inside = self.handle.enter();
            self.restorer = Some(Consumer::connect(config));
        }
        let Some(consumer) = &mut self.restorer else { return Ok(()) };
        let before: BTreeSet<TopicPartition> = consumer.assignment().into_iter().collect();
        if before != *wanted {
            consumer.assign(&wanted.iter().cloned().collect::<Vec<_>>())?;
        }
        for log in self.tasks.values().flat_map(|held| &held.logs).filter(|log| wanted.contains(&log.place)) {
            let known = before.contains(&log.place).then(|| consumer.known_position(&log.place));
            if decide::reads_on(known, log.position) {
                continue;
            }
            match log.position {
                // Records before the first one that is left were deleted, and belong to no store.
                0 => consumer.seek_to_beginning(std::slice::from_ref(&log.place))?,
                position => consumer.seek(&log.place, position)?,
            }
        }
        Ok(())
    }

    /// One poll of changelogs; whether it brought anything.
    fn read(&mut self, wait: Duration) -> Result<bool, StreamsError> {
        let Some(consumer) = &mut self.restorer else { return Ok(false) };
        let records = match self.handle.block_on(consumer.poll(wait)) {
            Ok(records) => records,
            Err(ClientError::NoOffset { topic, partition, .. } | ClientError::Truncated { topic, partition, .. }) => {
                return self.fell_behind(&TopicPartition::new(&topic, partition));
            }
            Err(error) => return Err(error.into()),
        };
        let listener = self.common.restore_listener.lock().clone();
        let reads = |held: &&mut Held| matches!(held.role, Role::Restoring | Role::Standby);
        for held in self.tasks.values_mut().filter(reads) {
            let mut restored = 0;
            held.trouble = None;
            for place in 0..held.logs.len() {
                let log = &held.logs[place];
                let Some(store) = held.task.stores().held(&log.store) else { continue };
                let (end, mut next, mut count) = (log.end.unwrap_or(i64::MAX), log.position, 0);
                // A source topic goes on behind the end, where the task itself reads.
                for record in records.of(&log.place).filter(|record| record.offset < end) {
                    let restored = held::restore(store, &record);
                    restored.map_err(|error| StreamsError::State { id: held.id, error })?;
                    (next, count) = (record.offset + 1, count + 1);
                }
                restored += count;
                let log = &mut held.logs[place];
                // Markers of transactions are records too, and nobody sees them.
                let known = consumer.known_position(&log.place).unwrap_or(next);
                log.position = next.max(known.min(end));
                if count > 0 {
                    // What is restored was committed by whoever wrote it: nothing waits in memory for a commit.
                    held.commit_store(place).map_err(|error| StreamsError::State { id: held.id, error })?;
                }
                let log = &held.logs[place];
                match listener.as_ref().filter(|_| count > 0) {
                    Some(listener) if held.role == Role::Standby => {
                        listener.copied(&log.place, &log.store, next - 1, count);
                    }
                    Some(listener) => listener.advanced(&log.place, &log.store, next - 1, count),
                    None => {}
                }
            }
            if restored > 0 && held.role == Role::Restoring {
                self.measured.restored.push((held.id, restored, held.remaining()));
            } else if restored > 0 {
                self.measured.copied.push((held.id, restored));
            }
        }
        Ok(!records.is_empty())
    }

    /// What stores lack of a changelog is not there any more.
    fn fell_behind(&mut self, log: &TopicPartition) -> Result<bool, StreamsError> {
        let reads = |held: &&Held| held.role != Role::Active && held.logs.iter().any(|own| own.place == *log);
        let ids: Vec<TaskId> = self.tasks.values().filter(reads).map(|held| held.id).collect();
        for id in ids {
            self.wipe(id, &format!("{log} has no such offset any more"))?;
        }
        // Its positions belong to stores that are gone.
        self.restorer = None;
        Ok(false)
    }

    /// A task whose stores are complete runs.
    pub(super) fn finish_restore(&mut self, id: TaskId) -> Result<(), StreamsError> {
        let Some(held) = self.tasks.get_mut(&id) else { return Ok(()) };
        if held.role != Role::Restoring || !held.is_restored() {
            return Ok(());
        }
        // What was restored: what processors write as they begin belongs to the next commit.
        held.commit_stores().map_err(|error| StreamsError::State { id, error })?;
        held.task.renew(Box::new(Sender::new(self.output.clone())), Clock::Real.now_ms());
        held.task.start().map_err(|error| StreamsError::Link { id, error })?;
        for input in 0..held.task.inputs().len() {
            let read = &held.task.inputs()[input];
            // A topic with fewer partitions than the largest of the sub-topology has none for this task.
            if !self.inputs.contains_key(&TopicPartition::new(&read.topic, read.partition)) {
                held.task.set_lag(input, Some(0));
            }
        }
        held.role = Role::Active;
        held.end_filling();
        for log in &mut held.logs {
            let tally = held.task.tallies().store(&log.store);
            if let (Some(since), Some(tally)) = (log.since.take(), tally) {
                tally.took(Call::Restore, since.elapsed());
            }
        }
        let listener = self.common.restore_listener.lock().clone();
        if let Some(listener) = listener {
            for log in held.logs.iter().filter(|log| log.start < log.position) {
                listener.ended(&log.place, &log.store, log.position - log.start);
            }
        }
        self.say();
        self.settle_state();
        Ok(())
    }
}
