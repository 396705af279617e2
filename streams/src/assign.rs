//! Which thread of which instance runs which task: the decision of the group's leader. Pure.
//!
//! Called by the runtime's member of the group with what all members said. Tasks go to clients (instances) as Java's
//! `HighAvailabilityTaskAssignor` places them and then to threads as `StreamsPartitionAssignor` does: state stays where
//! it is until a copy elsewhere has caught up, and no partition has a new owner before the old one gave it back
//! (KIP-429, KIP-441). Never here: topics, offsets and clocks, which the caller looks up.
//!
//! Not done: racks (`rack.aware.assignment.*`) and client tags have no say; assignors of the user (KIP-924).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use client::TopicPartition;

// What members write for one another.
mod wire;
// What the leader knows of one instance.
mod instance;
// Tasks -> instances.
mod place;
// Tasks that wait where their state is.
mod movement;
// Tasks of an instance -> its threads.
mod threads;
// Everything that each member is told.
mod group;

pub use group::{Member, Options, Tasks, assign};

/// One sub-topology on one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The sub-topology.
    pub subtopology: usize,
    /// The partition of its topics.
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}

/// An instance of the application, over restarts the same as long as its state folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ProcessId(pub [u8; 16]);

impl fmt::Display for ProcessId {
    /// As Java prints a UUID.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if [4, 6, 8, 10].contains(&place) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// In place of an offset: the task runs here as an active one (Java: `Task.LATEST_OFFSET`).
pub const RUNNING: i64 = -2;
/// In place of an offset: nobody knows (Java: `UNKNOWN_OFFSET_SUM`).
pub const UNKNOWN: i64 = -3;

/// What a member tells the leader besides its topics and partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The instance that it is a thread of.
    pub process: ProcessId,
    /// `application.server`, under which others may ask this instance.
    pub endpoint: Option<String>,
    /// Sums of the changelog offsets of the tasks whose state is here, or [`RUNNING`] or [`UNKNOWN`].
    pub offsets: BTreeMap<TaskId, i64>,
    /// What it wants of the whole group.
    pub call: Call,
}

/// A word to all members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Call {
    /// None.
    #[default]
    None,
    /// Every instance is to shut down (KIP-671).
    Shutdown,
    /// The leader found that a source topic is missing.
    MissingSourceTopics,
    /// The leader could not decide.
    Failed,
}

/// Where partitions of the application's topics are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Tasks that run there.
    pub active: BTreeSet<TaskId>,
    /// Tasks whose state is copied there.
    pub standby: BTreeSet<TaskId>,
}

/// What the leader tells a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Tasks that it runs.
    pub active: BTreeSet<TaskId>,
    /// Tasks whose state it copies.
    pub standby: BTreeSet<TaskId>,
    /// Every task of the application with the partitions that it reads.
    pub tasks: BTreeMap<TaskId, Vec<TopicPartition>>,
    /// Instances by their endpoints, those without one left out.
    pub hosts: BTreeMap<String, Host>,
    /// When this member calls for a rebalance, in milliseconds since 1970; 0 for at once.
    pub next_rebalance_ms: Option<i64>,
    /// What it has to do besides.
    pub call: Call,
    /// Why the leader could not decide, where the call says so: its error, which names the topics. Empty from a leader of a
    /// version that did not tell.
    pub cause: String,
}

impl Assignment {
    /// The partitions of the active tasks, sorted.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        let of_task = |task| self.tasks.get(task).into_iter().flatten().cloned();
        let mut partitions: Vec<TopicPartition> = self.active.iter().flat_map(of_task).collect();
        partitions.sort();
        partitions
    }
}

#[cfg(test)]
mod tests;
