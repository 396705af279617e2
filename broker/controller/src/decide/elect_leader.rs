//! ElectLeaders (Java: `ReplicationControlManager.electLeaders`, `PartitionChangeBuilder`).

use std::sync::Arc;

use super::{Decision, bounded};
use crate::image::{Image, PartitionInfo, Topic};
use crate::record::{MetadataRecord, PartitionChangeRecord};
use crate::refusal::Refusal;
use crate::request::ElectionType;
use millstream_protocol::error_code::ErrorCode;

/// Decides on every partition, named by topic and index.
pub(crate) fn elect_leaders(image: &Image, election: ElectionType, partitions: &[(String, i32)]) -> Decision<()> {
    let mut records = Vec::new();
    let mut answers = Vec::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        answers.push(elect(image, election, topic, *partition).map(|record| records.push(record)));
    }
    bounded(records, answers)
}

fn elect(image: &Image, election: ElectionType, name: &str, index: i32) -> Result<MetadataRecord, Refusal> {
    let unknown = |message: String| Refusal::new(ErrorCode::UnknownTopicOrPartition, message);
    let topic: &Arc<Topic> = image.topic(name).ok_or_else(|| unknown(format!("No such topic as {name}")))?;
    let partition = usize::try_from(index)
        .ok()
        .and_then(|index| topic.partitions.get(index))
        .ok_or_else(|| unknown(format!("No such partition as {name}-{index}")))?;
    let preferred = partition.replicas.first().copied().unwrap_or(-1);
    let needed = match election {
        ElectionType::Preferred => partition.leader != preferred,
        ElectionType::Unclean => partition.leader == -1,
    };
    if !needed {
        return Err(Refusal::with_default_text(ErrorCode::ElectionNotNeeded));
    }
    let (leader, isr) = match election {
        ElectionType::Preferred if in_sync(image, partition, preferred) => (preferred, None),
        ElectionType::Preferred => {
            return Err(Refusal::with_default_text(ErrorCode::PreferredLeaderNotAvailable));
        }
        ElectionType::Unclean => any_leader(image, partition)
            .ok_or_else(|| Refusal::with_default_text(ErrorCode::EligibleLeadersNotAvailable))?,
    };
    Ok(MetadataRecord::PartitionChange(PartitionChangeRecord {
        topic_id: topic.id,
        partition: index,
        leader: Some(leader),
        isr,
        ..PartitionChangeRecord::default()
    }))
}

fn in_sync(image: &Image, partition: &PartitionInfo, replica: i32) -> bool {
    partition.isr.contains(&replica) && image.is_active(replica)
}

/// An in-sync replica if there is one, else any that is alive, which then is the whole ISR.
fn any_leader(image: &Image, partition: &PartitionInfo) -> Option<(i32, Option<Arc<[i32]>>)> {
    let clean = partition.replicas.iter().find(|replica| in_sync(image, partition, **replica));
    if let Some(leader) = clean {
        return Some((*leader, None));
    }
    let leader = partition.replicas.iter().copied().find(|replica| image.is_active(*replica))?;
    Some((leader, Some([leader].into())))
}

#[cfg(test)]
mod tests;
