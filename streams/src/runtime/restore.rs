//! Changelogs into stores: of tasks before they run, and of standby replicas as long as they are (Java:
//! `StoreChangelogReader`).
//!
//! Called by `thread.rs` once a round, with a consumer of its own that belongs to no group. Only what a store does not
//! contain yet is read. Tasks that run have their turn meanwhile.
//!
//! Not done: a standby replica on a source topic that serves as changelog may run ahead of what was committed; a
//! changelog that was cut back below what a store contains ends the thread.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::TopicPartition;
use client::admin::OffsetSpec;
use client::config::{ConsumerConfig, Isolation};
use client::consumer::{Consumer, Offsets};
use millstream_base_env::clock::Moment;

use super::app::known;
use super::error::StreamsError;
use super::held::{Held, Role};
use super::thread::StreamThread;
use crate::assign::TaskId;
use crate::config::Guarantee;

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
}

impl StreamThread {
    /// Where the restore of these tasks ends.
    pub(super) fn find_ends(&mut self, fresh: &[TaskId], committed: &Offsets) -> Result<(), StreamsError> {
        let held = |id: &TaskId| self.tasks.get(id);
        let logs = fresh.iter().filter_map(held).flat_map(|held| &held.logs);
        let wanted: BTreeMap<TopicPartition, OffsetSpec> =
            logs.map(|log| (log.place.clone(), OffsetSpec::Latest)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let isolation = match self.output.guarantee {
            Guarantee::AtLeastOnce => Isolation::ReadUncommitted,
            Guarantee::ExactlyOnce => Isolation::ReadCommitted,
        };
        let ends = self.handle.block_on(self.common.shared.admin.list_each_offset(&wanted, isolation))?;
        let listener = self.common.restore_listener.lock().clone();
        for id in fresh {
            let Some(held) = self.tasks.get_mut(id) else { continue };
            for log in &mut held.logs {
                let end = match ends.get(&log.place) {
                    Some(Ok(end)) => *end,
                    Some(Err(error)) => return Err(error.clone().into()),
                    None => 0,
                };
                // What was not processed yet of a source topic belongs to the task, not to its restore.
                let limit = if log.is_own {
                    end
                } else {
                    committed.get(&log.place).map_or(0, |at| at.offset).min(end)
                };
                log.end = Some(limit);
                log.start = log.position;
                if let Some(listener) = listener.as_ref().filter(|_| log.position < limit) {
                    listener.started(&log.place, &log.store, log.position, limit);
                }
            }
        }
        Ok(())
    }

    /// Reads changelogs for a while.
    pub(super) fn restore(&mut self) -> Result<(), StreamsError> {
        let wanted = self.wanted();
        if wanted.is_empty() {
            self.restorer = None;
            return Ok(());
        }
        self.assign(&wanted)?;
        let started = Moment::now();
        let urgent = self.tasks.values().any(|held| held.role == Role::Restoring);
        let runs = self.tasks.values().any(|held| held.role == Role::Active && held.task.has_records());
        let wait = if urgent && !runs { Duration::from_millis(20) } else { Duration::ZERO };
        while started.elapsed() < TURN && self.read(wait)? {}
        let restoring: Vec<TaskId> =
            self.tasks.values().filter(|held| held.role == Role::Restoring).map(|held| held.id).collect();
        for id in restoring {
            self.finish_restore(id)?;
        }
        Ok(())
    }

    /// Changelogs of which something is missing.
    fn wanted(&self) -> BTreeSet<TopicPartition> {
        let reads = |held: &&Held| held.role != Role::Active;
        let logs = self.tasks.values().filter(reads).flat_map(|held| &held.logs);
        logs.filter(|log| log.end.is_none_or(|end| log.position < end)).map(|log| log.place.clone()).collect()
    }

    fn assign(&mut self, wanted: &BTreeSet<TopicPartition>) -> Result<(), StreamsError> {
        if self.restorer.is_none() {
            let pairs =
                known(self.common.config.restore_consumer(&format!("{}-restore-consumer", self.name)));
            let (config, _) = ConsumerConfig::from_properties(pairs)?;
            let _inside = self.handle.enter();
            self.restorer = Some(Consumer::connect(config));
        }
        let Some(consumer) = &mut self.restorer else { return Ok(()) };
        let before: BTreeSet<TopicPartition> = consumer.assignment().into_iter().collect();
        if before == *wanted {
            return Ok(());
        }
        consumer.assign(&wanted.iter().cloned().collect::<Vec<_>>())?;
        for log in self.tasks.values().flat_map(|held| &held.logs) {
            if !wanted.contains(&log.place) || before.contains(&log.place) {
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
        let records = self.handle.block_on(consumer.poll(wait))?;
        let listener = self.common.restore_listener.lock().clone();
        for held in self.tasks.values_mut().filter(|held| held.role != Role::Active) {
            for place in 0..held.logs.len() {
                let log = &held.logs[place];
                let (end, mut next, mut count) = (log.end.unwrap_or(i64::MAX), log.position, 0);
                // A source topic goes on behind the end, where the task itself reads.
                for record in records.of(&log.place).filter(|record| record.offset < end) {
                    held.restore(place, &record.to_owned())
                        .map_err(|error| StreamsError::State { id: held.id, error })?;
                    (next, count) = (record.offset + 1, count + 1);
                }
                let log = &mut held.logs[place];
                // Markers of transactions are records too, and nobody sees them.
                let known = consumer.known_position(&log.place).unwrap_or(next);
                log.position = next.max(known.min(end));
                if let Some(listener) =
                    listener.as_ref().filter(|_| count > 0 && held.role == Role::Restoring)
                {
                    listener.advanced(&log.place, &log.store, next - 1, count);
                }
            }
        }
        Ok(!records.is_empty())
    }

    /// A task whose stores are complete runs.
    pub(super) fn finish_restore(&mut self, id: TaskId) -> Result<(), StreamsError> {
        let Some(held) = self.tasks.get_mut(&id) else { return Ok(()) };
        if held.role != Role::Restoring || !held.is_restored() {
            return Ok(());
        }
        held.role = Role::Active;
        held.commit_stores().map_err(|error| StreamsError::State { id, error })?;
        if let Some(listener) = self.common.restore_listener.lock().as_ref() {
            for log in held.logs.iter().filter(|log| log.start < log.position) {
                listener.ended(&log.place, &log.store, log.position - log.start);
            }
        }
        self.say();
        self.settle_state();
        Ok(())
    }
}
