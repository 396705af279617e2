//! Tasks that come and go with the group (Java: `TaskManager.handleAssignment`, `handleRevocation`, `handleLostAll`).
//!
//! Called by `thread.rs` after each poll. What is revoked is committed before the member joins again; what is lost is
//! never committed, as it may have another owner already: neither its offsets nor, exactly once, what it wrote. A copy
//! that is to run becomes a task without its stores being opened anew, and the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::TopicPartition;
use client::admin::{Admin, OffsetSpec};
use client::config::{Isolation, Reset};
use client::consumer::Offsets;
use client::error::ClientError;
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;

use super::collect::Sender;
use super::commit::Commit;
use super::decide::{self, Folder};
use super::error::StreamsError;
use super::globals::Globals;
use super::held::{self, Found, Held, Lookup, Role};
use super::pending::Pending;
use super::states::ThreadState;
use super::thread::{PAUSE, StreamThread, Told, producer};
use crate::assign::{Assignment, Call, RUNNING, TaskId};
use crate::config::Guarantee;
use crate::graph::OffsetReset;
use crate::query::metadata::Directory;
use crate::state::StateError;
use crate::state::format::partition_metadata::PartitionMetadata;
use crate::task::{Part, Task, TaskParts};
use crate::topology::store::Store;

/// How long a round waits for what it has just asked.
const LOOK: Duration = Duration::from_millis(50);

impl StreamThread {
    /// Follows what the last poll brought from the group.
    pub(super) fn hear(&mut self) -> Result<(), StreamsError> {
        self.hear_losses()?;
        match self.member.take_told() {
            Some(assignment) => self.follow(&assignment),
            None => Ok(()),
        }
    }

    /// The same at the end: tasks go, and none begins.
    pub(super) fn hear_last(&mut self) -> Result<(), StreamsError> {
        self.hear_losses()?;
        let told = self.member.take_told();
        // An assignment that could not be made has no tasks in it.
        if let Some(assignment) = told.filter(|assignment| assignment.call == Call::None) {
            self.put_away_others(&assignment);
        }
        Ok(())
    }

    fn hear_losses(&mut self) -> Result<(), StreamsError> {
        let told = std::mem::take(&mut *self.told.lock());
        told.into_iter().try_for_each(|told| match told {
            Told::Revoked(places) => self.revoke(&places),
            Told::Lost => self.lose(),
        })
    }

    fn revoke(&mut self, places: &[TopicPartition]) -> Result<(), StreamsError> {
        self.set_state(ThreadState::PartitionsRevoked);
        let gone: BTreeSet<TaskId> =
            places.iter().filter_map(|place| self.inputs.get(place)).map(|(id, _)| *id).collect();
        if gone.iter().any(|id| self.tasks.get(id).is_some_and(|held| held.task.is_commit_needed())) {
            // All tasks of the thread are one commit. It is now or never.
            let committed = match self.commit() {
                Err(StreamsError::Client(error)) if error.is_retriable() => Ok(Commit::Deferred),
                other => other,
            };
            if committed? == Commit::Deferred {
                return Err(StreamsError::Migrated("revoked tasks could not be committed any more"));
            }
        }
        let closed: Vec<(TaskId, usize)> = places.iter().filter_map(|place| self.inputs.remove(place)).collect();
        self.paused.retain(|place| !places.contains(place));
        for (id, input) in closed {
            let is_left = self.inputs.values().any(|(of, _)| *of == id);
            match self.tasks.get_mut(&id) {
                // A topic of a pattern went; the task goes on with the others, of which nothing is read again.
                Some(held) if is_left => held.task.clear_input(input),
                Some(held) => held.task.clear(),
                None => {}
            }
        }
        self.tasks.values_mut().for_each(|held| held.look_up_no_more(places));
        Ok(())
    }

    /// Another member may have the tasks by now: all but copies are dropped without a commit. Exactly once, their
    /// transaction ends with them: another producer of the same id aborts it (Java: `TaskManager.handleLostAll`).
    pub(super) fn lose(&mut self) -> Result<(), StreamsError> {
        // Without its tasks it does not answer for them.
        self.set_state(ThreadState::PartitionsRevoked);
        let lost = |(_, held): &(TaskId, Held)| held.role != Role::Standby;
        let (lost, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.tasks).into_iter().partition(lost);
        self.tasks = kept.into_iter().collect();
        lost.into_iter().for_each(|(_, held)| self.put_away(held));
        self.inputs.clear();
        self.paused.clear();
        self.assignment.active.clear();
        self.say();
        if self.output.guarantee == Guarantee::ExactlyOnce {
            self.output.renew(producer(&self.common, &self.name, self.index)?);
            self.is_output_ready = false;
        }
        Ok(())
    }

    /// Nothing is read nor written before whoever wrote with the same transactional id is shut out, and nobody is before the
    /// group has given tasks: who has lost its place to a member of the same name must not shut that one out (Java:
    /// `StreamTask.initializeIfNeeded`).
    fn ready(&mut self) -> Result<(), StreamsError> {
        if !self.is_output_ready && self.output.guarantee == Guarantee::ExactlyOnce {
            self.handle.block_on(self.output.producer().init_transactions())?;
        }
        self.is_output_ready = true;
        Ok(())
    }

    /// Deletes the state of a task, which is restored from the start of its changelogs.
    pub(super) fn wipe(&mut self, id: TaskId, why: &str) -> Result<(), StreamsError> {
        tracing::warn!(task = %id, why, "the state is deleted and restored from its changelogs");
        self.inputs.retain(|_, (of, _)| *of != id);
        self.measured.closed.push(id);
        let wiped = match self.tasks.remove(&id) {
            Some(held) => held.wipe(),
            // It could not even be opened.
            None => self.common.disk.wipe(id),
        };
        wiped.map_err(|error| StreamsError::State { id, error })
    }

    /// Drops all tasks without a commit.
    pub(super) fn drop_tasks(&mut self) {
        std::mem::take(&mut self.tasks).into_values().for_each(|held| self.put_away(held));
        self.inputs.clear();
        self.paused.clear();
        self.restorer = None;
        self.say();
    }

    /// Closes a task. What was restored stays; what a task wrote since its last commit does not.
    fn put_away(&mut self, mut held: Held) {
        self.measured.closed.push(held.id);
        if held.role != Role::Active
            && let Err(error) = held.commit_stores()
        {
            tracing::warn!(task = %held.id, %error, "what was restored last will be restored again");
        }
        let is_clean = held.role != Role::Active || !held.task.is_commit_needed();
        let sum = if is_clean { held.stored() } else { held.durable() };
        held.task.close();
        self.common.disk.leave(held.id, sum);
    }

    /// Closes the tasks that are others' now.
    fn put_away_others(&mut self, assignment: &Assignment) {
        let kept = |id: &TaskId| assignment.active.contains(id) || assignment.standby.contains(id);
        let gone: Vec<TaskId> = self.tasks.keys().filter(|id| !kept(id)).copied().collect();
        for id in gone {
            if let Some(held) = self.tasks.remove(&id) {
                self.put_away(held);
            }
        }
        self.folders.retain(|id, _| kept(id));
    }

    fn follow(&mut self, assignment: &Assignment) -> Result<(), StreamsError> {
        match (assignment.call, self.member.take_failure()) {
            (Call::None, _) => {}
            (_, Some(failure)) => return Err(failure.into()),
            (Call::MissingSourceTopics, None) => {
                return Err(StreamsError::MissingSourceTopics(assignment.cause.clone()));
            }
            (Call::Failed, None) => return Err(StreamsError::NoAssignment(assignment.cause.clone())),
            (Call::Shutdown, None) => return Err(StreamsError::ApplicationShutdown),
        }
        self.rebalance_at = assignment.next_rebalance_ms;
        self.set_state(ThreadState::PartitionsAssigned);
        self.put_away_others(assignment);
        for id in &assignment.standby {
            if self.tasks.get_mut(id).is_some_and(demote) {
                self.measured.demoted.push(*id);
            }
        }
        for id in &assignment.active {
            let held = self.tasks.get_mut(id).filter(|held| held.role == Role::Standby);
            held.into_iter().for_each(|held| held.role = Role::Created);
        }
        self.assignment = assignment.clone();
        // Nothing is read for a task whose stores are not complete.
        let runs = |id: &&TaskId| self.tasks.get(id).is_some_and(|held| held.role == Role::Active);
        let waiting = assignment.active.iter().filter(|id| !runs(id));
        let places = waiting.filter_map(|id| assignment.tasks.get(id)).flatten();
        let paused: Vec<TopicPartition> = places.filter(|place| !self.paused.contains(place)).cloned().collect();
        self.consumer.pause(&paused)?;
        self.paused.extend(paused);
        for id in &assignment.active {
            self.follow_inputs(*id)?;
        }
        *self.common.directory.lock() = Arc::new(Directory::of(assignment));
        self.advance()?;
        self.say();
        Ok(())
    }

    /// Tasks that were given and are not there.
    pub(super) fn is_missing(&self) -> bool {
        let mut given = self.assignment.active.iter().chain(&self.assignment.standby);
        given.any(|id| !self.tasks.contains_key(id))
    }

    /// A step further towards all tasks that were given; what cannot be done yet is done in a later round.
    pub(super) fn advance(&mut self) -> Result<(), StreamsError> {
        if !self.assignment.active.is_empty() {
            self.ready()?;
        }
        if self.is_missing() {
            let Assignment { active, standby, .. } = self.assignment.clone();
            let active = active.into_iter().map(|id| (id, Role::Created));
            for (id, role) in active.chain(standby.into_iter().map(|id| (id, Role::Standby))) {
                if !self.tasks.contains_key(&id) {
                    self.make(id, role)?;
                }
            }
        }
        let created = self.tasks.values().filter(|held| held.is_new());
        let created: Vec<TaskId> = created.map(|held| held.id).collect();
        created.into_iter().for_each(|id| self.open_inputs(id));
        self.look_up()?;
        self.settle_state();
        Ok(())
    }

    /// Asks what has to be known of tasks before they read on, and follows the answers.
    fn look_up(&mut self) -> Result<(), StreamsError> {
        let looking = self.tasks.values().filter(|held| held.lookup.is_some());
        let looking: Vec<TaskId> = looking.map(|held| held.id).collect();
        let mut limit = Duration::ZERO;
        for id in &looking {
            let Some(held) = self.tasks.get_mut(id) else { continue };
            let is_due =
                |lookup: &&mut Lookup| lookup.pending.is_none() && lookup.failed.is_none_or(|at| at.elapsed() >= PAUSE);
            let Some(lookup) = held.lookup.as_mut().filter(is_due) else { continue };
            let admin = self.common.shared.admin.clone();
            let places = &lookup.places;
            let committed = (!places.is_empty()).then(|| self.consumer.committed(places));
            let logs = if held.role == Role::Created { &held.logs[..] } else { &[] };
            let places: Vec<(TopicPartition, i64)> = logs.iter().map(|log| (log.place.clone(), log.position)).collect();
            lookup.pending = Some(Pending::ask("streams lookup", find(committed, admin, places)));
            // Most answers come at once, and the next round would wait for records first.
            limit = LOOK;
        }
        let started = Moment::now();
        for id in looking {
            let left = limit.saturating_sub(started.elapsed());
            let pending = self.tasks.get_mut(&id).and_then(|held| held.lookup.as_mut()?.pending.as_mut());
            match pending.and_then(|pending| pending.answer(&self.handle, left)) {
                None => {}
                Some(Ok(found)) => self.begin(id, &found)?,
                Some(Err(error)) => {
                    let lookup = self.tasks.get_mut(&id).and_then(|held| held.lookup.as_mut());
                    lookup.into_iter().for_each(|lookup| (lookup.pending, lookup.failed) = (None, Some(Moment::now())));
                    self.delay(id, error)?;
                }
            }
        }
        Ok(())
    }

    /// Something that only this task needs was not to be had.
    pub(super) fn delay(&mut self, id: TaskId, error: ClientError) -> Result<(), StreamsError> {
        let Some(held) = self.tasks.get_mut(&id) else { return Ok(()) };
        if held.trouble.is_none() && error.is_retriable() {
            tracing::warn!(task = %id, %error, "tried again until task.timeout.ms");
        }
        let patience = held::patience(&mut held.trouble, self.common.settings.task_timeout);
        decide::unanswered(id, error, patience)
    }

    fn make(&mut self, id: TaskId, role: Role) -> Result<(), StreamsError> {
        let topology = &self.common.shared.topology;
        let opened = match self.common.disk.open(id, topology) {
            // Another thread of this process has to close it first.
            Err(StateError::Locked { path }) => return self.wait_for(id, path),
            opened => opened.map_err(|error| StreamsError::State { id, error })?,
        };
        self.folders.remove(&id);
        let mut rows = |store: &Store| opened.rows.rows(store);
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
        let application = &self.common.settings.application_id;
        let held = Held::new(id, task, opened, (topology, application, &self.common.disk), role);
        self.tasks.insert(id, held.map_err(|error| StreamsError::State { id, error })?);
        self.measured.created += 1;
        Ok(())
    }

    /// The folder of a task is held by somebody: mostly another thread that is about to close it.
    fn wait_for(&mut self, id: TaskId, path: PathBuf) -> Result<(), StreamsError> {
        let (since, told) = self.folders.entry(id).or_insert_with(|| (Moment::now(), false));
        let waited = since.elapsed();
        match decide::folder(waited, self.common.settings.task_timeout) {
            Folder::Over => return Err(StreamsError::State { id, error: StateError::Locked { path } }),
            Folder::Warn if !*told => {
                *told = true;
                let (path, seconds) = (path.display(), waited.as_secs());
                tracing::warn!(task = %id, %path, seconds, "the state is held by another thread or process");
            }
            Folder::Warn | Folder::Wait => {}
        }
        Ok(())
    }

    /// The partitions of a task that it does not read yet; before they are read it is looked up how far they were.
    fn open_inputs(&mut self, id: TaskId) {
        let Some(held) = self.tasks.get_mut(&id) else { return };
        let is_new = held.is_new();
        let mut places = Vec::new();
        for place in self.assignment.tasks.get(&id).into_iter().flatten() {
            if !is_new && self.inputs.contains_key(place) {
                continue;
            }
            let known = held.task.inputs().iter().position(|input| input.topic == place.topic);
            // Topics of patterns are known only now.
            let Some(input) = known.or_else(|| held.task.add_input(&place.topic, place.partition)) else { continue };
            self.inputs.insert(place.clone(), (id, input));
            places.push(place.clone());
        }
        if is_new || !places.is_empty() {
            let before = held.lookup.take().map(|lookup| lookup.places).unwrap_or_default();
            places.extend(before);
            held.lookup = Some(Lookup { places, pending: None, failed: None });
        }
    }

    /// A task that runs, or will once it is restored, reads what its sources match by now (Java:
    /// `Task.updateInputPartitions`).
    fn follow_inputs(&mut self, id: TaskId) -> Result<(), StreamsError> {
        // One of which nothing was asked yet begins with all that it has then.
        if self.tasks.get(&id).is_none_or(Held::is_new) {
            return Ok(());
        }
        let Some(given) = self.assignment.tasks.get(&id).cloned() else { return Ok(()) };
        let is_gone = |place: &TopicPartition, of: TaskId| of == id && !given.contains(place);
        let gone: Vec<TopicPartition> =
            self.inputs.iter().filter(|(place, (of, _))| is_gone(place, *of)).map(|(place, _)| place.clone()).collect();
        if let Some(held) = self.tasks.get_mut(&id) {
            held.look_up_no_more(&gone);
            let inputs = gone.iter().filter_map(|place| self.inputs.remove(place));
            inputs.for_each(|(_, input)| held.task.clear_input(input));
        }
        self.open_inputs(id);
        let lookup = self.tasks.get(&id).and_then(|held| held.lookup.as_ref());
        let fresh = lookup.map(|lookup| lookup.places.clone()).unwrap_or_default();
        let fresh: Vec<TopicPartition> = fresh.into_iter().filter(|place| !self.paused.contains(place)).collect();
        self.consumer.pause(&fresh)?;
        self.paused.extend(fresh);
        Ok(())
    }

    /// What had to be known of a task before it reads: it is restored, or reads more than before.
    fn begin(&mut self, id: TaskId, found: &Found) -> Result<(), StreamsError> {
        let Some(held) = self.tasks.get_mut(&id) else { return Ok(()) };
        held.trouble = None;
        let Some(Lookup { places, .. }) = held.lookup.take() else { return Ok(()) };
        let is_created = held.role == Role::Created;
        self.reset(&places, &found.committed)?;
        self.set_partition_times(&found.committed);
        if !is_created {
            return Ok(());
        }
        self.set_ends(id, found)?;
        if let Some(held) = self.tasks.get_mut(&id) {
            held.role = Role::Restoring;
        }
        self.finish_restore(id)
    }

    /// Partitions without an offset are read from where their source says; of others the consumer's settings decide.
    fn reset(&mut self, places: &[TopicPartition], committed: &Offsets) -> Result<(), StreamsError> {
        for place in places.iter().filter(|place| !committed.contains_key(place)) {
            let Some(reset) = self.common.shared.topology.offset_reset(&place.topic) else { continue };
            let reset = match reset {
                OffsetReset::Earliest => Reset::Earliest,
                OffsetReset::Latest => Reset::Latest,
                OffsetReset::ByDuration(age) => Reset::ByDuration(age),
                OffsetReset::None => Reset::None,
            };
            tracing::info!(%place, ?reset, "read for the first time from where its source says");
            self.consumer.seek_by(std::slice::from_ref(place), reset)?;
        }
        Ok(())
    }

    /// Late records stay late after a restart (KAFKA-9093): the time of a partition stands beside its offset.
    fn set_partition_times(&mut self, committed: &Offsets) {
        for (place, offset) in committed {
            let Some((id, input)) = self.inputs.get(place).copied() else { continue };
            let Some(held) = self.tasks.get_mut(&id) else { continue };
            held.committed.insert(place.clone(), offset.offset);
            match PartitionMetadata::decode(&offset.metadata) {
                Ok(metadata) => held.task.set_metadata(input, &metadata),
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
        let comes = |held: &Held| matches!(held.role, Role::Created | Role::Restoring);
        let is_given = self.state == ThreadState::PartitionsAssigned;
        if is_given && !self.is_missing() && !self.tasks.values().any(comes) {
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

/// A task that ran becomes a copy of the one that runs elsewhere; it was committed when it was revoked. Whether it was none
/// before.
fn demote(held: &mut Held) -> bool {
    if held.role == Role::Standby {
        return false;
    }
    held.role = Role::Standby;
    held.lookup = None;
    held.end_filling();
    held.task.stop();
    held.logs.iter_mut().for_each(|log| log.end = None);
    true
}

/// What has to be known of a task: how far its inputs were read, then where its changelogs end, of which it contains some up
/// to these offsets. In this order: what a transaction wrote before its offsets were committed is before that end.
async fn find(
    committed: Option<impl Future<Output = Result<Offsets, ClientError>>>,
    admin: Admin,
    logs: Vec<(TopicPartition, i64)>,
) -> Result<Found, ClientError> {
    let committed = match committed {
        Some(committed) => committed.await?,
        None => Offsets::new(),
    };
    let ask =
        async |wanted: BTreeMap<TopicPartition, OffsetSpec>| -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
            if wanted.is_empty() {
                return Ok(BTreeMap::new());
            }
            // The marker of the last transaction may come later to a changelog than to the offsets of the inputs: the end of
            // what is committed would leave that transaction's updates out (KAFKA-10167). The restore itself waits for it.
            let found = admin.list_each_offset(&wanted, Isolation::ReadUncommitted).await?;
            found.into_iter().map(|(place, offset)| Ok((place, offset?))).collect()
        };
    let begun = logs.iter().filter(|(_, position)| *position > 0);
    let firsts = ask(begun.map(|(place, _)| (place.clone(), OffsetSpec::Earliest)).collect()).await?;
    let ends = ask(logs.iter().map(|(place, _)| (place.clone(), OffsetSpec::Latest)).collect()).await?;
    Ok(Found { committed, ends, firsts })
}

#[cfg(test)]
mod tests;
