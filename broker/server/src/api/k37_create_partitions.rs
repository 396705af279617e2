//! CreatePartitions (key 37), v0-v3. Adds partitions to topics.
//! Versions: v2 flexible; v3 throttling quota.
//! Authorizes: Alter on Topic (all allowed).   Waits: until the partitions are open, at most the request's timeout.

use std::collections::BTreeMap;

use millstream_broker_controller::request::{Mode, NewPartitions};
use millstream_broker_controller::{Controller, Refusal};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use millstream_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use millstream_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::k19_create_topics::timeout;
use crate::api::reply::Outcome;
use crate::api::view::{text, topic_name};

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 3);

/// Handles the request.
pub fn handle(context: &Context, request: CreatePartitionsRequest) -> Outcome<CreatePartitionsResponse> {
    let node = context.node.clone();
    Outcome::later(async move { answer(&node.controller, request).await })
}

/// Carries the request out.
pub async fn answer(controller: &Controller, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut by_name: BTreeMap<&str, Vec<&CreatePartitionsTopic>> = BTreeMap::new();
    for topic in &request.topics {
        by_name.entry(&topic.name).or_default().push(topic);
    }
    let mut results = Vec::new();
    let mut wanted = Vec::new();
    for (name, topics) in by_name {
        match topics[..] {
            [topic] => wanted.push(new_partitions(topic)),
            _ => results.push(result(name, Some(&Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name.")))),
        }
    }
    let names: Vec<String> = wanted.iter().map(|partitions| partitions.topic.clone()).collect();
    let mode = if request.validate_only { Mode::ValidateOnly } else { Mode::Execute };
    match controller.create_partitions(wanted, mode, timeout(request.timeout_ms)).await {
        Ok(answers) => {
            for (name, answer) in names.iter().zip(answers) {
                results.push(result(name, answer.err().as_ref()));
            }
        }
        Err(refusal) => {
            results = request.topics.iter().map(|topic| result(&topic.name, Some(&refusal))).collect();
        }
    }
    CreatePartitionsResponse::default().with_results(results)
}

fn new_partitions(topic: &CreatePartitionsTopic) -> NewPartitions {
    let assignments = topic.assignments.as_ref().map(|assignments| {
        assignments.iter().map(|assignment| assignment.broker_ids.iter().map(|id| id.0).collect()).collect()
    });
    NewPartitions { topic: topic.name.to_string(), count: topic.count, assignments }
}

fn result(name: &str, refusal: Option<&Refusal>) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult::default()
        .with_name(topic_name(name))
        .with_error_code(refusal.map_or(0, |refusal| refusal.code as i16))
        .with_error_message(refusal.and_then(|refusal| refusal.message.as_deref()).map(text))
}
