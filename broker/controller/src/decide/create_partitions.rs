//! CreatePartitions (Java: `ReplicationControlManager.createPartitions`).

use std::collections::HashSet;

use super::create_topic::partition_records;
use super::place_replicas::{self, Placement};
use super::{Decision, bounded};
use crate::image::{Image, Topic};
use crate::record::MetadataRecord;
use crate::refusal::Refusal;
use crate::request::NewPartitions;
use millstream_protocol::error_code::ErrorCode;

/// Decides on every topic; one that is refused does not hold up the others.
pub(crate) fn create_partitions(image: &Image, topics: &[NewPartitions]) -> Decision<()> {
    let mut records = Vec::new();
    let mut answers = Vec::with_capacity(topics.len());
    let mut seen = HashSet::new();
    for request in topics {
        // The handler refuses names that a request holds twice; the second of another caller would count from
        // an image that is no longer true.
        if !seen.insert(request.topic.as_str()) {
            answers.push(Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name.")));
            continue;
        }
        match add(image, request) {
            Ok(mut added) => {
                records.append(&mut added);
                answers.push(Ok(()));
            }
            Err(refusal) => answers.push(Err(refusal)),
        }
    }
    bounded(records, answers)
}

fn add(image: &Image, request: &NewPartitions) -> Result<Vec<MetadataRecord>, Refusal> {
    let topic = image.topic(&request.topic).ok_or_else(|| Refusal::without_text(ErrorCode::UnknownTopicOrPartition))?;
    let current = topic.partitions.len() as i32;
    if request.count == current {
        let message = format!("Topic already has {current} partition(s).");
        return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    }
    if request.count < current {
        let message = format!(
            "The topic {} currently has {current} partition(s); {} would not be an increase.",
            topic.name, request.count
        );
        return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    }
    let additional = request.count - current;
    if additional as usize > super::RECORDS_MAX {
        let message = "Unable to perform excessively large batch operation.";
        return Err(Refusal::new(ErrorCode::PolicyViolation, message));
    }
    let placements = match &request.assignments {
        Some(assignments) => manual(image, topic, additional, assignments)?,
        None => {
            let factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len() as i16);
            let placements = place_replicas::place(image, current, additional, factor)?;
            if placements.iter().any(|placement| placement.isr.is_empty()) {
                let message = format!(
                    "Unable to replicate the partition {factor} time(s): All brokers are currently fenced or in \
                     controlled shutdown."
                );
                return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
            }
            placements
        }
    };
    Ok(partition_records(topic.id, current, placements).collect())
}

fn manual(image: &Image, topic: &Topic, additional: i32, assignments: &[Vec<i32>]) -> Result<Vec<Placement>, Refusal> {
    if assignments.len() != additional as usize {
        let message = format!(
            "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
            assignments.len()
        );
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    let factor = topic.partitions.first().map(|partition| partition.replicas.len());
    let mut placements = Vec::with_capacity(assignments.len());
    for (index, replicas) in assignments.iter().enumerate() {
        place_replicas::check_manual(image, replicas, factor)?;
        let partition = (topic.partitions.len() + index) as i32;
        let placement = place_replicas::on_directories(image, replicas.clone(), partition);
        if placement.isr.is_empty() {
            let message = format!(
                "All brokers specified in the manual partition assignment for partition {partition} are fenced \
                 or in controlled shutdown."
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        placements.push(placement);
    }
    Ok(placements)
}

#[cfg(test)]
mod tests;
