//! Partition after partition to member after member (Java: `RoundRobinAssignor`). Each topic has a reader: `assign.rs`
//! sees to it.

use super::{Assignment, Member, Topics, sorted};
use crate::TopicPartition;

pub(super) fn assign(topics: &Topics, members: &[Member]) -> Assignment {
    let mut assignment: Assignment = members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
    let sorted = sorted(members);
    let mut next = 0;
    for (topic, partitions) in topics {
        for partition in 0..partitions.len() {
            while !sorted[next].topics.contains(topic) {
                next = (next + 1) % sorted.len();
            }
            let own = assignment.entry(sorted[next].id.clone()).or_default();
            own.push(TopicPartition::new(topic, partition as i32));
            next = (next + 1) % sorted.len();
        }
    }
    assignment
}
