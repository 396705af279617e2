//! Tells the coordinators what metadata brings: which partitions of their topics this node leads, how many there
//! are, which topics are gone.
//!
//! Called by start.rs, from a thread that may block.

use std::sync::Arc;

use millstream_broker_controller::{Delta, TopicChange};
use millstream_broker_coordinator::group::ask::DeletedTopic;

use crate::coord::internal_topics;
use crate::coord::storage::Storage;
use crate::node::Node;
use crate::replica::partitions::Leadership;

/// Starts what the coordinators need before the first partition is theirs.
pub fn start(node: &Arc<Node>) {
    node.coordinators.timer.start();
}

/// Before the partitions of a delta are taken or given up.
pub fn metadata_changes(node: &Arc<Node>, delta: &Delta) {
    if let Some(topic) = delta.image.topic(internal_topics::OFFSETS) {
        node.coordinators.groups.set_partition_count(topic.partitions.len() as i32);
    }
}

/// After the partitions of a delta were taken or given up.
pub fn metadata_changed(node: &Arc<Node>, delta: &Delta) {
    let deleted: Vec<DeletedTopic> = delta
        .topics
        .iter()
        .filter_map(|change| match change {
            TopicChange::Deleted(topic) => Some(DeletedTopic { name: topic.name.to_string(), id: topic.id }),
            TopicChange::Created(_) | TopicChange::Changed { .. } => None,
        })
        .collect();
    node.coordinators.groups.topics_deleted(&deleted);
}

/// This node took or lost a partition.
pub fn changed(node: &Arc<Node>, change: Leadership) {
    match change {
        Leadership::Took(partition) => {
            // Led and lost again within one delta: the loss comes as its own change.
            let Ok(leader_epoch) = partition.leader_epoch(-1) else { return };
            let index = partition.index();
            let topic = partition.topic().clone();
            match topic.as_ref() {
                internal_topics::OFFSETS => {
                    node.coordinators.groups.shards().lead(index, Storage::new(partition, leader_epoch));
                }
                internal_topics::TRANSACTIONS => {
                    node.coordinators.txns.shards().lead(index, Storage::new(partition, leader_epoch));
                }
                _ => {}
            }
        }
        Leadership::Lost(topic, index) => match topic.as_ref() {
            internal_topics::OFFSETS => node.coordinators.groups.shards().resign(index),
            internal_topics::TRANSACTIONS => node.coordinators.txns.shards().resign(index),
            _ => {}
        },
    }
}
