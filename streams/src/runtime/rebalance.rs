//! Tasks that come and go with the group (Java: `TaskManager.handleAssignment`, `handleRevocation`, `handleLostAll`).
//!
//! Called by `thread.rs` after each poll. What is revoked is committed before the member joins again; what is lost is
//! never committed, as it may have another owner already. A copy that is to run becomes a task without being made anew,
//! and the other way round.

use std::collections::BTreeSet;

use client::TopicPartition;
use client::consumer::Offsets;
use millstream_base_env::Clock;

use super::collect::Sender;
use super::disk::Opened;
use super::error::StreamsError;
use super::globals::Globals;
use super::held::{Held, Role};
use super::states::ThreadState;
use super::thread::{StreamThread, Told};
use crate::assign::{Assignment, Call, RUNNING, TaskId};
use crate::state::format::partition_metadata::PartitionMetadata;
use crate::task::{Part, Task, TaskParts};
use crate::topology::store::Store;

impl StreamThread {
    /// Follows what the last poll brought from the group.
    pub(super) fn hear(&mut self) -> Result<(), StreamsError> {
        let told = std::mem::take(&mut *self.told.lock());
        for told in told {
            match told {
                Told::Revoked(places) => self.revoke(&places)?,
                Told::Lost => self.drop_tasks(),
            }
        }
        match self.member.take_told() {
            Some(assignment) => self.follow(&assignment),
            None => Ok(()),
        }
    }

    fn revoke(&mut self, places: &[TopicPartition]) -> Result<(), StreamsError> {
        self.set_state(ThreadState::PartitionsRevoked);
        let gone: BTreeSet<TaskId> =
            places.iter().filter_map(|place| self.inputs.get(place)).map(|(id, _)| *id).collect();
        if gone.iter().any(|id| self.tasks.get(id).is_some_and(|held| held.task.is_commit_needed())) {
            // All tasks of the thread are one commit.
            self.commit()?;
            if self.is_commit_needed() {
                return Err(StreamsError::Migrated("revoked tasks could not be committed any more"));
            }
        }
        self.inputs.retain(|place, _| !places.contains(place));
        self.paused.retain(|place| !places.contains(place));
        for held in self.tasks.values_mut().filter(|held| gone.contains(&held.id)) {
            held.task.clear();
        }
        Ok(())
    }

    /// Drops all tasks without a commit.
    pub(super) fn drop_tasks(&mut self) {
        for (id, mut held) in std::mem::take(&mut self.tasks) {
            held.task.close();
            self.common.disk.leave(id, held.offset_sum());
        }
        self.inputs.clear();
        self.paused.clear();
        self.restorer = None;
        self.say();
    }

    fn follow(&mut self, assignment: &Assignment) -> Result<(), StreamsError> {
        match (assignment.call, self.member.take_failure()) {
            (Call::None, _) => {}
            (_, Some(failure)) => return Err(failure.into()),
            (Call::MissingSourceTopics, None) => return Err(StreamsError::MissingSourceTopics),
            (Call::Failed, None) => return Err(StreamsError::NoAssignment),
            (Call::Shutdown, None) => return Err(StreamsError::ApplicationShutdown),
        }
        self.rebalance_at = assignment.next_rebalance_ms;
        self.set_state(ThreadState::PartitionsAssigned);
        let kept = |id: &TaskId| assignment.active.contains(id) || assignment.standby.contains(id);
        let gone: Vec<TaskId> = self.tasks.keys().filter(|id| !kept(id)).copied().collect();
        for id in gone {
            if let Some(mut held) = self.tasks.remove(&id) {
                held.task.close();
                self.common.disk.leave(id, held.offset_sum());
            }
        }
        for id in &assignment.standby {
            match self.tasks.get_mut(id) {
                Some(held) => demote(held),
                None => self.make(*id, Role::Standby)?,
            }
        }
        let mut fresh = Vec::new();
        for id in &assignment.active {
            match self.tasks.get_mut(id) {
                Some(held) if held.role != Role::Standby => continue,
                Some(held) => held.role = Role::Restoring,
                None => self.make(*id, Role::Restoring)?,
            }
            fresh.push(*id);
        }
        self.begin(&fresh, assignment)?;
        *self.common.hosts.lock() = assignment.hosts.clone();
        self.say();
        self.settle_state();
        Ok(())
    }

    fn make(&mut self, id: TaskId, role: Role) -> Result<(), StreamsError> {
        let topology = &self.common.shared.topology;
        let opened = self.common.disk.open(id, topology, &self.handle);
        let Opened { rows, folder } = opened.map_err(|error| StreamsError::State { id, error })?;
        let mut rows = |store: &Store| rows.rows(store);
        let task = Task::new(TaskParts {
            topology,
            part: Part::Subtopology(id.subtopology),
            partition: u32::try_from(id.partition).unwrap_or(0),
            settings: self.settings.clone(),
            collector: Box::new(Sender::new(self.output.clone())),
            rows: &mut rows,
            budget: self.budget.clone(),
            globals: self.globals.as_ref().map(Globals::stores),
            wall_clock: Clock::Real.now_ms(),
        });
        let task = task.map_err(|error| StreamsError::Link { id, error })?;
        let held = Held::new(id, task, folder, (topology, &self.common.settings.application_id), role);
        self.tasks.insert(id, held.map_err(|error| StreamsError::State { id, error })?);
        Ok(())
    }

    /// Tasks that are to run: their inputs, how far those were read, and what their stores miss.
    fn begin(&mut self, fresh: &[TaskId], assignment: &Assignment) -> Result<(), StreamsError> {
        let mut places = Vec::new();
        for id in fresh {
            let Some(held) = self.tasks.get_mut(id) else { continue };
            for place in assignment.tasks.get(id).into_iter().flatten() {
                let known = held.task.inputs().iter().position(|input| input.topic == place.topic);
                // Topics of patterns are known only now.
                let Some(input) = known.or_else(|| held.task.add_input(&place.topic, place.partition)) else {
                    continue;
                };
                self.inputs.insert(place.clone(), (*id, input));
                places.push(place.clone());
            }
            for input in 0..held.task.inputs().len() {
                let read = &held.task.inputs()[input];
                // A topic with fewer partitions than the largest of the sub-topology has none for this task.
                if !self.inputs.contains_key(&TopicPartition::new(&read.topic, read.partition)) {
                    held.task.set_lag(input, Some(0));
                }
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let committed = self.handle.block_on(self.consumer.committed(&places))?;
        self.set_partition_times(&committed);
        self.find_ends(fresh, &committed)?;
        // Nothing is read for a task whose stores are not complete.
        let waits = |place: &TopicPartition| {
            let id = self.inputs.get(place).map(|(id, _)| *id);
            id.and_then(|id| self.tasks.get(&id)).is_some_and(|held| !held.is_restored())
        };
        let waiting: Vec<TopicPartition> = places.into_iter().filter(|place| waits(place)).collect();
        self.consumer.pause(&waiting)?;
        self.paused.extend(waiting);
        for id in fresh {
            self.finish_restore(*id)?;
        }
        Ok(())
    }

    /// Late records stay late after a restart (KAFKA-9093): the time of a partition stands beside its offset.
    fn set_partition_times(&mut self, committed: &Offsets) {
        for (place, offset) in committed {
            let Some((id, input)) = self.inputs.get(place).copied() else { continue };
            let Some(held) = self.tasks.get_mut(&id) else { continue };
            match PartitionMetadata::decode(&offset.metadata) {
                Ok(metadata) if metadata.partition_time >= 0 => {
                    held.task.set_partition_time(input, metadata.partition_time)
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%place, %error, "the time of a partition is not known"),
            }
        }
    }

    /// Tells the next leader what is here.
    pub(super) fn say(&self) {
        let stateful = self.tasks.values().filter(|held| !held.logs.is_empty());
        let sum = |held: &Held| if held.role == Role::Active { RUNNING } else { held.offset_sum() };
        let mut offsets = self.common.disk.left();
        offsets.extend(stateful.map(|held| (held.id, sum(held))));
        self.member.said.lock().offsets = offsets;
    }

    /// All tasks that are to run do, or not yet.
    pub(super) fn settle_state(&mut self) {
        if self.tasks.values().all(|held| held.role != Role::Restoring) {
            self.set_state(ThreadState::Running);
        }
    }

    /// Joins again when the leader asked for it: to take over what others gave back, or to look whether copies caught up.
    pub(super) fn maybe_rebalance(&mut self) -> Result<(), StreamsError> {
        if self.rebalance_at.is_some_and(|at| at <= Clock::Real.now_ms()) {
            self.rebalance_at = None;
            self.say();
            self.consumer.enforce_rebalance()?;
        }
        Ok(())
    }
}

/// A task that ran becomes a copy of the one that runs elsewhere; it was committed when it was revoked.
fn demote(held: &mut Held) {
    held.role = Role::Standby;
    held.task.clear();
    held.logs.iter_mut().for_each(|log| log.end = None);
}
