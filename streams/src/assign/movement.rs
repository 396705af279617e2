//! Tasks whose state is not where they are to run (Java: `TaskMovement`, KIP-441).
//!
//! Called by `place.rs`. Such a task runs where its state is, while the instance that is to have it copies the state;
//! at most `max.warmup.replicas` such copies are made at a time. A probing rebalance moves the task later.

use std::collections::{BTreeMap, BTreeSet};

use super::instance::Instance;
use super::place::{Instances, lightest};
use super::{ProcessId, RUNNING, TaskId};

/// Of each task the instances that could run it at once.
pub(super) type CaughtUp = BTreeMap<TaskId, BTreeSet<ProcessId>>;

/// Which instances are at most `acceptable` records behind.
pub(super) fn caught_up(instances: &Instances, stateful: &BTreeSet<TaskId>, acceptable: i64) -> CaughtUp {
    let ready = |instance: &Instance, task: TaskId| {
        let lag = instance.lag(task);
        lag == RUNNING || acceptable == i64::MAX || (0..=acceptable).contains(&lag)
    };
    let of_task = |task: &TaskId| {
        let ready = instances.iter().filter(|(_, instance)| ready(instance, *task));
        (*task, ready.map(|(process, _)| *process).collect())
    };
    stateful.iter().map(of_task).collect()
}

/// Leaves tasks where their state is; how many are to be moved later.
pub(super) fn move_tasks(
    instances: &mut Instances,
    stateful: &BTreeSet<TaskId>,
    caught_up: &CaughtUp,
    warmups_max: usize,
) -> usize {
    let by_lag: BTreeMap<TaskId, Vec<ProcessId>> =
        stateful.iter().map(|task| (*task, by_lag(instances, *task))).collect();
    let mut moves = Moves { instances, caught_up, by_lag, left: warmups_max, warming: BTreeSet::new() };
    moves.actives() + moves.standbys()
}

/// All instances, the least behind first.
fn by_lag(instances: &Instances, task: TaskId) -> Vec<ProcessId> {
    let mut order: Vec<ProcessId> = instances.keys().copied().collect();
    order.sort_by_key(|process| (instances[process].lag(task), *process));
    order
}

struct Moves<'a> {
    instances: &'a mut Instances,
    caught_up: &'a CaughtUp,
    by_lag: BTreeMap<TaskId, Vec<ProcessId>>,
    /// Warm-up replicas that may still be made.
    left: usize,
    /// Copies that are warm-ups of active tasks; these stay.
    warming: BTreeSet<(ProcessId, TaskId)>,
}

impl Moves<'_> {
    fn is_ready(&self, process: ProcessId, task: TaskId) -> bool {
        self.caught_up.get(&task).is_some_and(|ready| ready.contains(&process))
    }

    /// Tasks that another instance could go on with sooner, those with the fewest such instances first.
    fn wanted(&self, tasks: impl Fn(&Instance) -> &BTreeSet<TaskId>) -> Vec<(TaskId, ProcessId)> {
        let mut wanted = Vec::new();
        for (process, instance) in self.instances.iter() {
            for task in tasks(instance) {
                let best = self.by_lag.get(task).and_then(|order| order.first());
                let sooner = best.is_some_and(|best| self.instances[best].lag(*task) < instance.lag(*task));
                if !self.is_ready(*process, *task) && sooner {
                    wanted.push((*task, *process));
                }
            }
        }
        wanted.sort_by_key(|(task, _)| (self.caught_up.get(task).map_or(0, BTreeSet::len), *task));
        wanted
    }

    fn ready(&self, task: TaskId, fits: impl Fn(&Instance) -> bool) -> Option<ProcessId> {
        let ready = self.caught_up.get(&task)?;
        lightest(self.instances, Instance::load, |process, instance| ready.contains(&process) && fits(instance))
    }

    /// The least behind of those that are less behind than `target`.
    fn ahead(&self, task: TaskId, target: ProcessId, fits: impl Fn(&Instance) -> bool) -> Option<ProcessId> {
        let order = self.by_lag.get(&task)?;
        let ahead = order.iter().take_while(|process| **process != target);
        ahead.copied().find(|process| fits(&self.instances[process]))
    }

    fn at(&mut self, process: ProcessId) -> &mut Instance {
        self.instances.entry(process).or_default()
    }

    fn actives(&mut self) -> usize {
        let wanted = self.wanted(|instance| &instance.active);
        for (task, target) in &wanted {
            let (task, target) = (*task, *target);
            let copied = self.ready(task, |instance| instance.standby.contains(&task));
            let source = copied.or_else(|| self.ready(task, |_| true)).or_else(|| self.ahead(task, target, |_| true));
            let Some(source) = source.filter(|source| *source != target) else { continue };
            self.at(target).active.remove(&task);
            let swapped = self.at(source).standby.remove(&task);
            self.at(source).active.insert(task);
            if swapped {
                self.at(target).standby.insert(task);
            } else if self.left > 0 {
                self.left -= 1;
                self.at(target).standby.insert(task);
                self.warming.insert((target, task));
            }
        }
        wanted.len()
    }

    fn standbys(&mut self) -> usize {
        let mut moved = 0;
        for (task, target) in self.wanted(|instance| &instance.standby) {
            if self.warming.contains(&(target, task)) {
                continue;
            }
            let free = |instance: &Instance| !instance.has(task);
            let source = self.ready(task, free).or_else(|| self.ahead(task, target, free));
            let Some(source) = source else { continue };
            self.at(source).standby.insert(task);
            if self.left > 0 {
                self.left -= 1;
            } else {
                self.at(target).standby.remove(&task);
            }
            moved += 1;
        }
        moved
    }
}
