//! ElectLeaders (key 43), v0-v2. Gives partitions their preferred leader, or any leader at all.
//! Versions: v1 unclean elections (KIP-460); v2 flexible.
//! Authorizes: Alter on Cluster (all allowed).   Waits: until the election is on disk.

use std::collections::BTreeMap;

use millstream_broker_controller::request::ElectionType;
use millstream_broker_controller::{Controller, Refusal};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use millstream_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::k19_create_topics::timeout;
use crate::api::reply::Outcome;
use crate::api::view::{text, topic_name};

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 2);

/// Handles the request.
pub fn handle(context: &Context, request: ElectLeadersRequest) -> Outcome<ElectLeadersResponse> {
    let (node, version) = (context.node.clone(), context.version());
    Outcome::later(async move { answer(&node.controller, version, request).await })
}

/// Carries the request out.
pub async fn answer(controller: &Controller, version: i16, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let election = match request.election_type {
        0 => ElectionType::Preferred,
        1 => ElectionType::Unclean,
        other => {
            let message = format!("Unknown election type {other}");
            return failed(version, &request, &Refusal::new(ErrorCode::InvalidRequest, message));
        }
    };
    let image = controller.image();
    let partitions: Vec<(String, i32)> = match &request.topic_partitions {
        Some(topics) => {
            let named = topics
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic.to_string(), *partition)));
            named.collect()
        }
        None => {
            let all = image.topics().flat_map(|topic| {
                (0..topic.partitions.len() as i32).map(|partition| (topic.name.to_string(), partition))
            });
            all.collect()
        }
    };
    let answers = controller.elect_leaders(election, partitions.clone(), timeout(request.timeout_ms)).await;
    let answers = match answers {
        Ok(answers) => answers,
        Err(refusal) => return failed(version, &request, &refusal),
    };
    if let Some(topics) = &request.topic_partitions {
        let mut answers = answers.iter();
        let results = topics.iter().map(|topic| {
            let of_partition =
                |(partition, answer): (&i32, &Result<_, Refusal>)| result(*partition, answer.as_ref().err());
            of_topic(&topic.topic, topic.partitions.iter().zip(&mut answers).map(of_partition).collect())
        });
        return ElectLeadersResponse::default().with_replica_election_results(results.collect());
    }
    let mut topics: BTreeMap<&str, Vec<PartitionResult>> = BTreeMap::new();
    for ((topic, partition), answer) in partitions.iter().zip(&answers) {
        let results = topics.entry(topic).or_default();
        let refusal = answer.as_ref().err();
        // Asked for all, those that need no election are left out.
        if refusal.is_none_or(|refusal| refusal.code != ErrorCode::ElectionNotNeeded) {
            results.push(result(*partition, refusal));
        }
    }
    let results = topics.into_iter().map(|(topic, results)| of_topic(topic, results)).collect();
    ElectLeadersResponse::default().with_replica_election_results(results)
}

fn failed(version: i16, request: &ElectLeadersRequest, refusal: &Refusal) -> ElectLeadersResponse {
    let topics = request.topic_partitions.iter().flatten();
    let results = topics.map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| result(*partition, Some(refusal)));
        of_topic(&topic.topic, partitions.collect())
    });
    // v0 has no code of the whole; each partition says it (Java: `ElectLeadersResponse`).
    ElectLeadersResponse::default()
        .with_error_code(if version >= 1 { refusal.code as i16 } else { 0 })
        .with_replica_election_results(results.collect())
}

fn of_topic(topic: &str, results: Vec<PartitionResult>) -> ReplicaElectionResult {
    ReplicaElectionResult::default().with_topic(topic_name(topic)).with_partition_result(results)
}

fn result(partition: i32, refusal: Option<&Refusal>) -> PartitionResult {
    PartitionResult::default()
        .with_partition_id(partition)
        .with_error_code(refusal.map_or(0, |refusal| refusal.code as i16))
        .with_error_message(refusal.and_then(|refusal| refusal.message.as_deref()).map(text))
}
