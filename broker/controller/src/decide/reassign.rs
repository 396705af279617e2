//! AlterPartitionReassignments and ListPartitionReassignments (Java: `ReplicationControlManager`).
//!
//! Not done: moving a replica to another broker. A node alone has nowhere to move it; what can be asked of it is
//! checked as Apache does, and the assignment that a partition has already is accepted.

use super::place_replicas;
use crate::image::{Image, PartitionInfo};
use crate::refusal::Refusal;
use millstream_protocol::error_code::ErrorCode;

/// Whether a reassignment may change the number of replicas (KIP-860).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorChange {
    /// It may.
    Allowed,
    /// It is refused.
    Refused,
}

/// Decides on one partition; `target` is `None` to cancel.
///
/// # Errors
/// Apache's codes and messages.
pub fn alter_reassignment(
    image: &Image,
    topic: &str,
    index: i32,
    target: Option<&[i32]>,
    factor: FactorChange,
) -> Result<(), Refusal> {
    let unknown = |message: String| Refusal::new(ErrorCode::UnknownTopicOrPartition, message);
    let found = image.topic(topic).ok_or_else(|| unknown(format!("Unable to find a topic named {topic}.")))?;
    let partition = usize::try_from(index)
        .ok()
        .and_then(|index| found.partitions.get(index))
        .ok_or_else(|| unknown(format!("Unable to find partition {topic}:{index}.")))?;
    let Some(target) = target else {
        if !is_reassigning(partition) {
            return Err(Refusal::without_text(ErrorCode::NoReassignmentInProgress));
        }
        return Ok(());
    };
    place_replicas::check_manual(image, target, None)?;
    let current = partition.replicas.len();
    if factor == FactorChange::Refused && current != target.len() {
        let message = format!("The replication factor is changed from {current} to {}", target.len());
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    }
    Ok(())
}

/// Whether replicas of the partition are being added or removed.
pub fn is_reassigning(partition: &PartitionInfo) -> bool {
    !partition.adding_replicas.is_empty() || !partition.removing_replicas.is_empty()
}
