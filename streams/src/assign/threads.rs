//! Tasks of one instance to its threads (Java: `StreamsPartitionAssignor.assignTasksToThreads`).
//!
//! Called by `group.rs` for active tasks with state, then standbys, then tasks without state. A thread keeps what it
//! had as far as that leaves the threads even.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::TaskId;
use super::instance::Instance;

/// Whether what a thread had counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Kept,
    None,
}

/// Tasks by thread.
pub(super) type Spread = BTreeMap<String, Vec<TaskId>>;

/// Spreads `tasks`; `load` counts what each thread got before, and then these as well.
pub(super) fn spread(
    tasks: &BTreeSet<TaskId>,
    state: State,
    instance: &Instance,
    load: &mut BTreeMap<String, usize>,
) -> Spread {
    let mut spread: Spread = instance.threads.iter().map(|thread| (thread.clone(), Vec::new())).collect();
    let total: usize = load.values().sum::<usize>() + tasks.len();
    let least = total / instance.threads.len().max(1);
    let mut left = tasks.clone();
    let (mut skipped, mut unfilled) = (BTreeMap::new(), VecDeque::new());
    for (thread, got) in &mut spread {
        let room = least.saturating_sub(load.get(thread).copied().unwrap_or(0));
        let had = if state == State::Kept { instance.had_by_lag(thread) } else { Vec::new() };
        for task in had.into_iter().filter(|task| tasks.contains(task)) {
            if !left.contains(&task) {
                continue;
            }
            if got.len() < room {
                got.push(task);
                left.remove(&task);
            } else {
                skipped.insert(task, thread.clone());
            }
        }
        if got.len() < room {
            unfilled.push_back(thread.clone());
        }
    }
    let full = |spread: &Spread, load: &BTreeMap<String, usize>, thread: &String| {
        spread.get(thread).map_or(0, Vec::len) + load.get(thread).copied().unwrap_or(0)
    };
    while let Some(thread) = unfilled.pop_front() {
        let Some(task) = left.pop_first() else { break };
        spread.entry(thread.clone()).or_default().push(task);
        if full(&spread, load, &thread) < least {
            unfilled.push_back(thread);
        }
    }
    // Every thread has the least now, or one more; what is left makes one more for some of the others.
    let mut even: VecDeque<String> =
        instance.threads.iter().filter(|thread| full(&spread, load, thread) == least).cloned().collect();
    for (task, thread) in skipped {
        if let Some(place) = even.iter().position(|one| *one == thread)
            && left.remove(&task)
        {
            even.remove(place);
            spread.entry(thread).or_default().push(task);
        }
    }
    for task in left {
        // Without a thread below the others, the one with the least: Java runs out of threads never, nor may this.
        let lightest = || instance.threads.iter().min_by_key(|thread| full(&spread, load, thread)).cloned();
        let Some(thread) = even.pop_front().or_else(lightest) else { break };
        spread.entry(thread).or_default().push(task);
    }
    for (thread, got) in &spread {
        *load.entry(thread.clone()).or_default() += got.len();
    }
    spread
}
