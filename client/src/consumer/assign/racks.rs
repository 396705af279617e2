//! When racks of members and replicas count (KIP-881, Java: `AbstractPartitionAssignor.useRackAwareAssignment`).

use std::collections::BTreeSet;

/// Whether looking at racks can change anything: some member stands where replicas stand, and not every partition has
/// replicas in all racks.
pub(super) fn matter<'a>(
    of_members: &BTreeSet<&str>,
    of_partitions: impl Iterator<Item = &'a Vec<String>> + Clone,
) -> bool {
    let all: BTreeSet<&str> = of_partitions.clone().flatten().map(String::as_str).collect();
    if of_members.is_disjoint(&all) {
        return false;
    }
    let mut each = of_partitions.map(|racks| racks.iter().map(String::as_str).collect::<BTreeSet<&str>>());
    !each.all(|racks| racks == all)
}
