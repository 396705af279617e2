//! Which brokers get the replicas of new partitions and which log directory of a broker a replica goes to
//! (Java: `ReplicationControlManager`); `striped_placer.rs` puts them into turn.
//!
//! Not done: a random start; racks and brokers are taken in turn, behind the partitions that the topic has.

use std::sync::Arc;

use millstream_protocol::error_code::ErrorCode;
use uuid::Uuid;

use super::striped_placer::{self, Turns, UsableBroker};
use crate::image::{Image, Replicas};
use crate::refusal::Refusal;

/// Replicas of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) replicas: Replicas,
    pub(crate) directories: Arc<[Uuid]>,
    pub(crate) isr: Replicas,
}

/// Places `count` partitions from index `first` on.
///
/// # Errors
/// INVALID_REPLICATION_FACTOR with the placer's own message, which the caller may put into a longer one.
pub(crate) fn place(image: &Image, first: i32, count: i32, factor: i16) -> Result<Vec<Placement>, Refusal> {
    let brokers = image.brokers().iter().map(|(id, broker)| UsableBroker {
        id: *id,
        rack: broker.rack.as_deref(),
        fenced: !image.is_active(*id),
    });
    let turns = Turns::From(first.max(0) as usize);
    let placed = striped_placer::place(brokers, count.max(0) as usize, factor, turns);
    let placed = placed.map_err(|error| Refusal::new(ErrorCode::InvalidReplicationFactor, error.to_string()))?;
    Ok((first..).zip(placed).map(|(partition, replicas)| on_directories(image, replicas, partition)).collect())
}

/// Checks replicas that a client chose itself, in Apache's order.
///
/// # Errors
/// INVALID_REPLICA_ASSIGNMENT.
pub(crate) fn check_manual(image: &Image, replicas: &[i32], factor: Option<usize>) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    if replicas.is_empty() {
        return refuse("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    let mut before = None;
    for broker in sorted {
        if !image.brokers().contains_key(&broker) {
            return refuse(format!(
                "The manual partition assignment includes broker {broker}, but no such broker is registered."
            ));
        }
        if before == Some(broker) {
            return refuse(format!("The manual partition assignment includes the broker {broker} more than once."));
        }
        before = Some(broker);
    }
    match factor {
        Some(factor) if factor != replicas.len() => refuse(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
             with previous partitions, which have {factor} replica(s).",
            replicas.len()
        )),
        _ => Ok(()),
    }
}

/// Gives each replica a log directory of its broker, in turn over the partitions.
pub(crate) fn on_directories(image: &Image, replicas: Vec<i32>, partition: i32) -> Placement {
    let directory = |broker: &i32| {
        let directories = image.brokers().get(broker).map_or(&[][..], |broker| &broker.directories);
        match directories.len() {
            0 => Uuid::nil(),
            count => directories[partition as usize % count],
        }
    };
    let directories = replicas.iter().map(directory).collect();
    let isr: Replicas = replicas.iter().copied().filter(|broker| image.is_active(*broker)).collect();
    let replicas: Replicas = replicas.into();
    let isr = if isr == replicas { replicas.clone() } else { isr };
    Placement { replicas, directories, isr }
}
