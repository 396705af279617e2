//! One instance as the leader sees it (Java: `ClientState`): its threads, what it has, what it is to get.
//!
//! Filled by `group.rs`, worked on by `place.rs` and `movement.rs`. Never decides anything.

use std::collections::{BTreeMap, BTreeSet};

use super::{RUNNING, TaskId, UNKNOWN};

/// An instance of the application.
#[derive(Debug, Clone, Default)]
pub(super) struct Instance {
    /// Members of the group, a thread each.
    pub threads: BTreeSet<String>,
    /// Tasks with state that each thread has, as it says.
    pub had: BTreeMap<String, BTreeSet<TaskId>>,
    /// Sums of offsets of the changelogs, as the threads say.
    pub offsets: BTreeMap<TaskId, i64>,
    /// How far each task with state is behind here; [`RUNNING`] for none at all.
    pub lags: BTreeMap<TaskId, i64>,
    /// What it is to run.
    pub active: BTreeSet<TaskId>,
    /// What it is to copy.
    pub standby: BTreeSet<TaskId>,
}

impl Instance {
    /// Java: `ClientState.computeTaskLags`. Where the end is unknown, `most` stands for it, but who has nothing is nowhere near.
    pub fn measure(&mut self, ends: &BTreeMap<TaskId, Option<i64>>, most: &BTreeMap<TaskId, i64>) {
        for (task, end) in ends {
            let lag = match (self.offsets.get(task).copied().unwrap_or(0), end) {
                (RUNNING, _) => RUNNING,
                (UNKNOWN, _) => i64::MAX,
                (offset, None) if offset <= 0 => i64::MAX,
                (offset, None) => most.get(task).copied().unwrap_or(i64::MAX).saturating_sub(offset),
                // It claims more than there is: what it has is wrong, and is restored from the start.
                (offset, Some(end)) if *end < offset => *end,
                (offset, Some(end)) => end - offset,
            };
            self.lags.insert(*task, lag);
        }
    }

    /// How far `task` is behind here; nobody is further behind than who does not know.
    pub fn lag(&self, task: TaskId) -> i64 {
        self.lags.get(&task).copied().unwrap_or(i64::MAX)
    }

    pub fn has(&self, task: TaskId) -> bool {
        self.active.contains(&task) || self.standby.contains(&task)
    }

    pub fn count(&self) -> usize {
        self.active.len() + self.standby.len()
    }

    /// Threads; an instance has at least one.
    pub fn capacity(&self) -> f64 {
        self.threads.len().max(1) as f64
    }

    pub fn load(&self) -> f64 {
        self.count() as f64 / self.capacity()
    }

    pub fn active_load(&self) -> f64 {
        self.active.len() as f64 / self.capacity()
    }

    /// What `thread` had, the least behind first.
    pub fn had_by_lag(&self, thread: &str) -> Vec<TaskId> {
        let mut tasks: Vec<TaskId> = self.had.get(thread).into_iter().flatten().copied().collect();
        tasks.retain(|task| self.lags.contains_key(task));
        tasks.sort_by_key(|task| (self.lag(*task), *task));
        tasks
    }
}
