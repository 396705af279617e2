//! CreateTopics (Java: `ReplicationControlManager.createTopics`).

use std::collections::{HashMap, HashSet};

use millstream_protocol::error_code::ErrorCode;
use uuid::Uuid;

use super::configs;
use super::place_replicas::{self, Placement};
use super::rules::Rules;
use super::topic_name::{self, Collisions};
use super::{Decision, bounded};
use crate::image::{ConfigResource, Image};
use crate::record::{MetadataRecord, PartitionRecord, TopicRecord};
use crate::refusal::Refusal;
use crate::request::{ConfigOp, CreatedTopic, NewTopic, TopicDefaults};

/// Most partitions that one request may ask for (KAFKA-14996).
const PARTITIONS_MAX: i64 = 10_000;

/// Decides on every topic; one that is refused does not hold up the others. `new_id` makes topic ids.
pub(crate) fn create_topics(
    image: &Image,
    rules: &Rules,
    defaults: TopicDefaults,
    topics: &[NewTopic],
    mut new_id: impl FnMut() -> Uuid,
) -> Decision<CreatedTopic> {
    check_total(topics, defaults)?;
    let mut collisions = Collisions::new(image);
    let mut records = Vec::new();
    let mut answers = Vec::with_capacity(topics.len());
    let mut made = HashSet::new();
    for topic in topics {
        let answer = create_topic(image, rules, defaults, topic, &mut collisions, &mut new_id);
        match answer {
            // The handler refuses names that a request holds twice; another caller's second one comes too late.
            Ok(_) if !made.insert(topic.name.as_str()) => answers.push(Err(already_exists(&topic.name))),
            Ok((mut new_records, created)) => {
                records.append(&mut new_records);
                answers.push(Ok(created));
            }
            Err(refusal) => answers.push(Err(refusal)),
        }
    }
    bounded(records, answers)
}

fn check_total(topics: &[NewTopic], defaults: TopicDefaults) -> Result<(), Refusal> {
    let mut total = 0i64;
    for topic in topics {
        total += match topic {
            topic if !topic.assignments.is_empty() => topic.assignments.len() as i64,
            topic if topic.partitions == -1 => i64::from(defaults.partitions),
            topic => i64::from(topic.partitions.max(0)),
        };
    }
    if total > PARTITIONS_MAX {
        return Err(Refusal::new(ErrorCode::PolicyViolation, "Excessively large number of partitions per request."));
    }
    Ok(())
}

fn already_exists(name: &str) -> Refusal {
    Refusal::new(ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists."))
}

fn create_topic(
    image: &Image,
    rules: &Rules,
    defaults: TopicDefaults,
    topic: &NewTopic,
    collisions: &mut Collisions<'_>,
    new_id: &mut impl FnMut() -> Uuid,
) -> Result<(Vec<MetadataRecord>, CreatedTopic), Refusal> {
    // A topic always collides with itself, but that it exists is the better answer and comes last in Apache.
    if image.topic(&topic.name).is_some() {
        return Err(already_exists(&topic.name));
    }
    topic_name::validate(&topic.name)?;
    if let Some(colliding) = collisions.find(&topic.name) {
        let message = format!("Topic '{}' collides with existing topic: {colliding}", topic.name);
        return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
    }
    let config_records = config_records(image, rules, topic)?;
    let placements = if topic.assignments.is_empty() { place(image, defaults, topic)? } else { manual(image, topic)? };
    let topic_id = new_id();
    let created = CreatedTopic {
        id: topic_id,
        partitions: placements.len() as i32,
        replication_factor: placements.first().map_or(0, |placement| placement.replicas.len() as i16),
    };
    let mut records = Vec::with_capacity(placements.len() + 1 + config_records.len());
    records.push(MetadataRecord::Topic(TopicRecord { name: topic.name.as_str().into(), topic_id }));
    records.extend(config_records);
    let first = 0;
    records.extend(partition_records(topic_id, first, placements));
    Ok((records, created))
}

fn config_records(image: &Image, rules: &Rules, topic: &NewTopic) -> Result<Vec<MetadataRecord>, Refusal> {
    let null: Vec<&str> =
        topic.configs.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()).collect();
    if !null.is_empty() {
        let message = format!("Null value not supported for topic configs: {}", null.join(","));
        return Err(Refusal::new(ErrorCode::InvalidConfig, message));
    }
    if topic.configs.is_empty() {
        return Ok(Vec::new());
    }
    let ops: Vec<(String, ConfigOp)> =
        topic.configs.iter().map(|(key, value)| (key.clone(), ConfigOp::Set(value.clone()))).collect();
    configs::alter_new(image, rules, &ConfigResource::topic(&topic.name), &ops)
}

fn place(image: &Image, defaults: TopicDefaults, topic: &NewTopic) -> Result<Vec<Placement>, Refusal> {
    if topic.replication_factor < -1 || topic.replication_factor == 0 {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    }
    if topic.partitions < -1 || topic.partitions == 0 {
        let message = "Number of partitions was set to an invalid non-positive value.";
        return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    }
    let partitions = if topic.partitions == -1 { defaults.partitions } else { topic.partitions };
    let factor = if topic.replication_factor == -1 { defaults.replication_factor } else { topic.replication_factor };
    let first = 0;
    let unable = |reason: String| {
        let message = format!("Unable to replicate the partition {factor} time(s): {reason}");
        Refusal::new(ErrorCode::InvalidReplicationFactor, message)
    };
    let placements = place_replicas::place(image, first, partitions, factor)
        .map_err(|refusal| unable(refusal.message.unwrap_or_default()))?;
    if placements.iter().any(|placement| placement.isr.is_empty()) {
        return Err(unable("All brokers are currently fenced or in controlled shutdown.".to_owned()));
    }
    Ok(placements)
}

fn manual(image: &Image, topic: &NewTopic) -> Result<Vec<Placement>, Refusal> {
    if topic.replication_factor != -1 {
        let message = "A manual partition assignment was specified, but replication factor was not set to -1.";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    if topic.partitions != -1 {
        let message = "A manual partition assignment was specified, but numPartitions was not set to -1.";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    let mut by_partition = HashMap::new();
    let mut factor = None;
    for (partition, replicas) in &topic.assignments {
        if by_partition.contains_key(partition) {
            return refuse(format!("Found multiple manual partition assignments for partition {partition}"));
        }
        place_replicas::check_manual(image, replicas, factor)?;
        factor = Some(replicas.len());
        let placement = place_replicas::on_directories(image, replicas.clone(), *partition);
        if placement.isr.is_empty() {
            return refuse(format!(
                "All brokers specified in the manual partition assignment for partition {partition} are fenced \
                 or in controlled shutdown."
            ));
        }
        by_partition.insert(*partition, placement);
    }
    let count = by_partition.len() as i32;
    let in_order: Option<Vec<Placement>> = (0..count).map(|partition| by_partition.remove(&partition)).collect();
    match in_order {
        Some(placements) => Ok(placements),
        None => refuse("partitions should be a consecutive 0-based integer sequence".to_owned()),
    }
}

/// The records of new partitions from index `first` on: led by the first in-sync replica, at epoch 0.
pub(crate) fn partition_records(
    topic_id: Uuid,
    first: i32,
    placements: Vec<Placement>,
) -> impl Iterator<Item = MetadataRecord> {
    placements.into_iter().enumerate().map(move |(index, placement)| {
        MetadataRecord::Partition(PartitionRecord {
            topic_id,
            partition: first + index as i32,
            leader: placement.isr.first().copied().unwrap_or(-1),
            replicas: placement.replicas,
            directories: placement.directories,
            isr: placement.isr,
            leader_epoch: 0,
            partition_epoch: 0,
            adding_replicas: [].into(),
            removing_replicas: [].into(),
        })
    })
}

#[cfg(test)]
pub(crate) mod tests;
