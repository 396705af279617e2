//! Which member of a group reads which partitions, decided by the member that leads it.
//!
//! Pure. Called by `coordinator.rs` with what the members subscribed to. Each assignor answers what Java's of the same
//! name answers (`RangeAssignor`, `RoundRobinAssignor`, `StickyAssignor`, `CooperativeStickyAssignor`), so that a group
//! of both settles; where Java's answer follows from the order of a `HashMap`, that order is kept (`java_set.rs`).
//!
//! Not done: partitions that a member claims and that its topic no longer has are passed over (Java gives them out).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::TopicPartition;
pub use crate::config::Assignor;

// The order in which Java walks a hash table.
mod java_set;
// Racks of members and of replicas.
mod racks;
// Runs of each topic.
mod range;
// One after the other.
mod round_robin;
// What members had, and the sticky assignors.
mod sticky;
// All members read the same topics.
mod constrained;
// They do not.
mod general;
// Which partitions went where while the general case evened out.
mod movements;

/// A member as the group's leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub id: String,
    /// `group.instance.id`
    pub instance: Option<String>,
    pub topics: Vec<String>,
    /// What it had before, as it says.
    pub owned: Vec<TopicPartition>,
    /// In which generation.
    pub generation: Option<i32>,
    /// `client.rack`, empty for none.
    pub rack: String,
    /// What its assignor added.
    pub user_data: Option<Bytes>,
}

/// Topics; of each partition the racks that its replicas stand in.
pub(crate) type Topics = BTreeMap<String, Vec<Vec<String>>>;

/// Partitions by member.
pub(crate) type Assignment = BTreeMap<String, Vec<TopicPartition>>;

/// Java's `MemberInfo.compareTo`: static members first, by instance, then the others by member id.
fn order(member: &Member) -> (bool, &str) {
    match &member.instance {
        Some(instance) => (false, instance),
        None => (true, &member.id),
    }
}

fn sorted(members: &[Member]) -> Vec<&Member> {
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by(|left, right| order(left).cmp(&order(right)));
    sorted
}

/// Gives out the partitions of `topics`. `newest` is the newest generation that this assignor has seen of any member.
pub(crate) fn assign(assignor: Assignor, topics: &Topics, members: &[Member], newest: &mut i32) -> Assignment {
    let is_read = |topic: &String| members.iter().any(|member| member.topics.contains(topic));
    let read = topics.iter().filter(|(topic, partitions)| is_read(topic) && !partitions.is_empty());
    let topics: Topics = read.map(|(topic, partitions)| (topic.clone(), partitions.clone())).collect();
    match assignor {
        Assignor::Range => range::assign(&topics, members),
        Assignor::RoundRobin => round_robin::assign(&topics, members),
        Assignor::Sticky | Assignor::CooperativeSticky => sticky::assign(assignor, &topics, members, newest),
    }
}

/// What the assignor adds to the subscription of a member that had `owned` in `generation`.
pub(crate) fn user_data(assignor: Assignor, owned: Option<&[TopicPartition]>, generation: i32) -> Option<Bytes> {
    match assignor {
        Assignor::Range | Assignor::RoundRobin => None,
        Assignor::Sticky => owned.map(|owned| sticky::write_user_data(owned, generation)),
        Assignor::CooperativeSticky => Some(Bytes::copy_from_slice(&generation.to_be_bytes())),
    }
}

#[cfg(test)]
mod tests;
