//! Tasks to instances (Java: `HighAvailabilityTaskAssignor`, `DefaultStandbyTaskAssignor`).
//!
//! Called by `group.rs`. First tasks are spread as if nobody had any state; then those whose state is elsewhere stay
//! there, while the instance that is to have them warms up (`movement.rs`).

use std::collections::{BTreeMap, BTreeSet};

use super::instance::Instance;
use super::{Options, ProcessId, TaskId, movement};

/// Instances by their ids.
pub(super) type Instances = BTreeMap<ProcessId, Instance>;

/// What becomes of the next rebalance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing is left to do.
    Stable,
    /// Somebody has to look whether copies have caught up.
    Probing,
}

/// Gives every task to one instance, and copies to others.
pub(super) fn place(
    instances: &mut Instances,
    all: &BTreeSet<TaskId>,
    stateful: &BTreeSet<TaskId>,
    options: &Options,
) -> Outcome {
    let order: Vec<ProcessId> = instances.keys().copied().collect();
    for (task, process) in stateful.iter().zip(order.iter().cycle()) {
        active_of(instances, *process).insert(*task);
    }
    balance(instances, active_of);
    copy(instances, stateful, options.standby_replicas);
    let caught_up = movement::caught_up(instances, stateful, options.acceptable_recovery_lag);
    let moved = movement::move_tasks(instances, stateful, &caught_up, options.warmup_replicas_max);
    for task in all.difference(stateful) {
        if let Some(process) = lightest(instances, Instance::active_load, |_, _| true) {
            active_of(instances, process).insert(*task);
        }
    }
    if moved > 0 { Outcome::Probing } else { Outcome::Stable }
}

fn set_of(
    instances: &mut Instances,
    process: ProcessId,
    pick: fn(&mut Instance) -> &mut BTreeSet<TaskId>,
) -> &mut BTreeSet<TaskId> {
    pick(instances.entry(process).or_default())
}

fn active_of(instances: &mut Instances, process: ProcessId) -> &mut BTreeSet<TaskId> {
    set_of(instances, process, |instance| &mut instance.active)
}

fn standby_of(instances: &mut Instances, process: ProcessId) -> &mut BTreeSet<TaskId> {
    set_of(instances, process, |instance| &mut instance.standby)
}

/// The instance with the least load among those that fit, the first of equals.
pub(super) fn lightest(
    instances: &Instances,
    load: impl Fn(&Instance) -> f64,
    fits: impl Fn(ProcessId, &Instance) -> bool,
) -> Option<ProcessId> {
    let fitting = instances.iter().filter(|(process, instance)| fits(**process, instance));
    let least = fitting.min_by(|left, right| load(left.1).total_cmp(&load(right.1)).then(left.0.cmp(right.0)));
    least.map(|(process, _)| *process)
}

/// Moves tasks from instances with more a thread to those with less, until no move makes it more even.
fn balance(instances: &mut Instances, of: fn(&mut Instances, ProcessId) -> &mut BTreeSet<TaskId>) {
    let order: Vec<ProcessId> = instances.keys().copied().collect();
    let mut moved = true;
    while moved {
        moved = false;
        for source in &order {
            for target in order.iter().filter(|target| *target != source) {
                let tasks: Vec<TaskId> = of(instances, *source).iter().copied().collect();
                for task in tasks {
                    if !evens_out(&instances[source], &instances[target]) {
                        break;
                    }
                    if !instances[target].has(task) {
                        of(instances, *source).remove(&task);
                        of(instances, *target).insert(task);
                        moved = true;
                    }
                }
            }
        }
    }
}

/// Java: `HighAvailabilityTaskAssignor.shouldMoveATask`.
fn evens_out(source: &Instance, target: &Instance) -> bool {
    let skew = source.load() - target.load();
    if skew <= 0.0 {
        return false;
    }
    let after = (source.count() as f64 - 1.0) / source.capacity() - (target.count() as f64 + 1.0) / target.capacity();
    (0.0..skew).contains(&after)
}

/// Standby replicas on the instances with the least load that do not have the task.
fn copy(instances: &mut Instances, stateful: &BTreeSet<TaskId>, replicas: usize) {
    if replicas == 0 {
        return;
    }
    for task in stateful {
        for missing in (1..=replicas).rev() {
            let Some(process) = lightest(instances, Instance::load, |_, instance| !instance.has(*task)) else {
                tracing::warn!(%task, missing, "there are too few instances for the standby replicas of a task");
                break;
            };
            standby_of(instances, process).insert(*task);
        }
    }
    balance(instances, standby_of);
}
