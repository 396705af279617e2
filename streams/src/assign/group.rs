//! What each member of the group is told (Java: `StreamsPartitionAssignor.assign`).
//!
//! Called by the runtime's member that leads the group. A task whose partitions another thread still reads is left out
//! until that thread has given them back; then the group rebalances at once (KIP-429).

use std::collections::{BTreeMap, BTreeSet};

use client::TopicPartition;

use super::instance::Instance;
use super::place::{Instances, Outcome, place};
use super::threads::{State, spread};
use super::{Assignment, Call, Host, ProcessId, Subscription, TaskId};

/// A member, which is a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id in the group.
    pub id: String,
    /// The partitions that it reads now.
    pub owned: Vec<TopicPartition>,
    /// What it said.
    pub said: Subscription,
}

/// The tasks that are to be given out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tasks {
    /// Every task with the partitions that it reads.
    pub partitions: BTreeMap<TaskId, Vec<TopicPartition>>,
    /// Tasks with state that a changelog restores: the sums of the ends of their changelogs, None where they could not
    /// be asked for.
    pub ends: BTreeMap<TaskId, Option<i64>>,
}

/// Settings of the application that count here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// `num.standby.replicas`
    pub standby_replicas: usize,
    /// `acceptable.recovery.lag`
    pub acceptable_recovery_lag: i64,
    /// `max.warmup.replicas`
    pub warmup_replicas_max: usize,
    /// `probing.rebalance.interval.ms`
    pub probing_interval_ms: i64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            standby_replicas: 0,
            acceptable_recovery_lag: 10_000,
            warmup_replicas_max: 2,
            probing_interval_ms: 600_000,
        }
    }
}

/// Decides for all members, which are told by their ids.
pub fn assign(members: &[Member], tasks: &Tasks, options: &Options, now_ms: i64) -> BTreeMap<String, Assignment> {
    let call = members.iter().map(|member| member.said.call).find(|call| *call != Call::None);
    let mut instances = known(members, tasks);
    let all: BTreeSet<TaskId> = tasks.partitions.keys().copied().collect();
    let stateful: BTreeSet<TaskId> = tasks.ends.keys().filter(|task| all.contains(task)).copied().collect();
    let outcome = place(&mut instances, &all, &stateful, options);
    let owners: BTreeMap<&TopicPartition, &str> =
        members.iter().flat_map(|member| member.owned.iter().map(|place| (place, member.id.as_str()))).collect();
    let mut told = BTreeMap::new();
    for (process, instance) in &instances {
        tell(*process, instance, &stateful, tasks, &owners, &mut told);
    }
    let hosts = hosts(members, &told);
    let ends_unknown = tasks.ends.values().any(Option::is_none);
    let probing = outcome == Outcome::Probing || ends_unknown;
    if probing
        && told.values().all(|assignment| assignment.next_rebalance_ms.is_none())
        && let Some(first) = told.values_mut().next()
    {
        first.next_rebalance_ms = Some(now_ms.saturating_add(options.probing_interval_ms));
    }
    for assignment in told.values_mut() {
        assignment.hosts.clone_from(&hosts);
        assignment.tasks.clone_from(&tasks.partitions);
        assignment.call = call.unwrap_or_default();
    }
    told
}

/// What the members say of their instances.
fn known(members: &[Member], tasks: &Tasks) -> Instances {
    let mut instances = Instances::new();
    for member in members {
        let instance = instances.entry(member.said.process).or_default();
        instance.threads.insert(member.id.clone());
        instance.had.insert(member.id.clone(), member.said.offsets.keys().copied().collect());
        for (task, offset) in &member.said.offsets {
            // Several threads may name the state of one task: the one that runs it knows best.
            let known = instance.offsets.entry(*task).or_insert(*offset);
            if *known != super::RUNNING && (*offset == super::RUNNING || *offset > *known) {
                *known = *offset;
            }
        }
    }
    let unknown = tasks.ends.iter().filter(|(_, end)| end.is_none());
    let most: BTreeMap<TaskId, i64> = unknown.map(|(task, _)| (*task, most(&instances, *task))).collect();
    for instance in instances.values_mut() {
        instance.measure(&tasks.ends, &most);
    }
    instances
}

/// What stands for the end of a task's changelogs where that is not known: nobody but who runs it is known to have all; if
/// nobody runs it, who has most is nearest (Java keeps all tasks in place then: `FallbackPriorTaskAssignor`).
fn most(instances: &Instances, task: TaskId) -> i64 {
    let offsets = || instances.values().filter_map(|instance| instance.offsets.get(&task).copied());
    if offsets().any(|offset| offset == super::RUNNING) { i64::MAX } else { offsets().max().unwrap_or(i64::MAX) }
}

/// Gives the tasks of one instance to its threads.
fn tell(
    process: ProcessId,
    instance: &Instance,
    stateful: &BTreeSet<TaskId>,
    tasks: &Tasks,
    owners: &BTreeMap<&TopicPartition, &str>,
    told: &mut BTreeMap<String, Assignment>,
) {
    let (with_state, without): (BTreeSet<TaskId>, BTreeSet<TaskId>) =
        instance.active.iter().partition(|task| stateful.contains(task));
    let mut load = BTreeMap::new();
    let kept = spread(&with_state, State::Kept, instance, &mut load);
    let copies = spread(&instance.standby, State::Kept, instance, &mut load);
    let plain = spread(&without, State::None, instance, &mut load);
    let mut waiting = BTreeSet::new();
    for thread in &instance.threads {
        let mut assignment = Assignment::default();
        assignment.standby.extend(copies.get(thread).into_iter().flatten());
        for task in kept.get(thread).into_iter().chain(plain.get(thread)).flatten() {
            let elsewhere = |place: &TopicPartition| owners.get(place).is_some_and(|owner| *owner != thread);
            if !tasks.partitions.get(task).into_iter().flatten().any(elsewhere) {
                assignment.active.insert(*task);
                continue;
            }
            tracing::debug!(%task, %process, thread, "a task waits until its partitions are given back");
            assignment.next_rebalance_ms = Some(0);
            waiting.insert(*task);
        }
        told.insert(thread.clone(), assignment);
    }
    // A copy that is here stays until the task may run: nobody else would have caught up in the next rebalance.
    for task in waiting.intersection(stateful) {
        let holder =
            instance.threads.iter().find(|thread| instance.had.get(*thread).is_some_and(|had| had.contains(task)));
        if let Some(assignment) = holder.and_then(|thread| told.get_mut(thread)) {
            assignment.standby.insert(*task);
        }
    }
}

fn hosts(members: &[Member], told: &BTreeMap<String, Assignment>) -> BTreeMap<String, Host> {
    let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
    for member in members {
        if let (Some(endpoint), Some(assignment)) = (&member.said.endpoint, told.get(&member.id)) {
            let host = hosts.entry(endpoint.clone()).or_default();
            host.active.extend(&assignment.active);
            host.standby.extend(&assignment.standby);
        }
    }
    hosts
}
