//! Which member of a group reads which partitions, decided by the member that leads it (Java: `RangeAssignor`).
//!
//! Pure. Called by `coordinator.rs` with what the members subscribed to.
//!
//! Not done: round robin, sticky and cooperative-sticky assignors; racks of members are not looked at.

use std::collections::BTreeMap;

use crate::TopicPartition;

/// A member as the group's leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub id: String,
    /// `group.instance.id`
    pub instance: Option<String>,
    pub topics: Vec<String>,
}

/// Java's `MemberInfo.compareTo`: static members first, by instance, then the others by member id.
fn order(member: &Member) -> (bool, &str) {
    match &member.instance {
        Some(instance) => (false, instance),
        None => (true, &member.id),
    }
}

/// Gives each topic's partitions in runs to the members that subscribed to it; the first members get one more where
/// it does not come out even.
pub(crate) fn range(
    partitions: &BTreeMap<String, usize>,
    members: &[Member],
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by(|left, right| order(left).cmp(&order(right)));
    let mut assignment: BTreeMap<String, Vec<TopicPartition>> =
        members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
    for (topic, count) in partitions {
        let readers: Vec<&&Member> = sorted.iter().filter(|member| member.topics.contains(topic)).collect();
        let (each, more) = match readers.len() {
            0 => continue,
            readers => (count / readers, count % readers),
        };
        let mut next = 0;
        for (index, member) in readers.into_iter().enumerate() {
            let run = each + usize::from(index < more);
            let own = assignment.entry(member.id.clone()).or_default();
            own.extend((next..next + run).map(|partition| TopicPartition::new(topic, partition as i32)));
            next += run;
        }
    }
    assignment
}

#[cfg(test)]
mod tests;
