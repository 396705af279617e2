//! DeleteTopics (key 20), v1-v6. Removes topics with their partitions and configuration.
//! Versions: v3 TOPIC_DELETION_DISABLED; v4 flexible; v5 messages; v6 by topic id.
//! Authorizes: Delete on Topic (all allowed).   Waits: until the topics are gone, at most the request's timeout.

use std::collections::{BTreeMap, BTreeSet};

use millstream_broker_controller::{Controller, Image, Refusal};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::delete_topics_response::DeletableTopicResult;
use millstream_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use uuid::Uuid;

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::k19_create_topics::timeout;
use crate::api::reply::Outcome;
use crate::api::view::{text, topic_name};

/// Versions served.
pub const SERVES: Versions = Versions::new(1, 6);

/// `delete.topic.enable`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Topics may be deleted.
    Enabled,
    /// They may not.
    Disabled,
}

/// Handles the request.
pub fn handle(context: &Context, request: DeleteTopicsRequest) -> Outcome<DeleteTopicsResponse> {
    let (node, version) = (context.node.clone(), context.version());
    let deletion = match node.config.flag("delete.topic.enable") {
        true => Deletion::Enabled,
        false => Deletion::Disabled,
    };
    Outcome::later(async move { answer(&node.controller, deletion, version, request).await })
}

/// Carries the request out.
pub async fn answer(
    controller: &Controller,
    deletion: Deletion,
    version: i16,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    if deletion == Deletion::Disabled {
        let code = if version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
        return failed(&request, code);
    }
    let nothing = request.topics.is_empty() && request.topic_names.is_empty();
    if request.timeout_ms <= 0 && !nothing {
        return failed(&request, ErrorCode::RequestTimedOut);
    }
    let mut responses = Vec::new();
    let names_by_id = resolve(&controller.image(), &request, &mut responses);
    let ids: Vec<Uuid> = names_by_id.keys().copied().collect();
    match controller.delete_topics(ids, timeout(request.timeout_ms)).await {
        Err(refusal) => return failed(&request, refusal.code),
        Ok(answers) => {
            for ((id, name), answer) in names_by_id.iter().zip(answers) {
                responses.push(result(Some(name), *id, answer.err().as_ref()));
            }
        }
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

/// Topics to delete by id; what cannot be deleted is answered into `responses`.
fn resolve(
    image: &Image,
    request: &DeleteTopicsRequest,
    responses: &mut Vec<DeletableTopicResult>,
) -> BTreeMap<Uuid, String> {
    let refuse = |message: &str| Refusal::new(ErrorCode::InvalidRequest, message);
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut ids: BTreeMap<Uuid, usize> = BTreeMap::new();
    for name in &request.topic_names {
        *names.entry(name.to_string()).or_default() += 1;
    }
    for topic in &request.topics {
        match (&topic.name, topic.topic_id.is_nil()) {
            (None, true) => {
                let refusal = refuse("Neither topic name nor id were specified.");
                responses.push(result(None, Uuid::nil(), Some(&refusal)));
            }
            (None, false) => *ids.entry(topic.topic_id).or_default() += 1,
            (Some(name), true) => *names.entry(name.to_string()).or_default() += 1,
            (Some(name), false) => {
                let refusal = refuse("You may not specify both topic name and topic id.");
                responses.push(result(Some(name), topic.topic_id, Some(&refusal)));
            }
        }
    }
    for name in names.iter().filter(|(_, times)| **times > 1).map(|(name, _)| name) {
        responses.push(result(Some(name), Uuid::nil(), Some(&refuse("Duplicate topic name."))));
    }
    for id in ids.iter().filter(|(_, times)| **times > 1).map(|(id, _)| id) {
        responses.push(result(None, *id, Some(&refuse("Duplicate topic id."))));
    }
    let mut wanted = BTreeMap::new();
    for id in ids.iter().filter(|(_, times)| **times == 1).map(|(id, _)| id) {
        match image.topic_by_id(*id) {
            Some(topic) => {
                wanted.insert(*id, topic.name.to_string());
            }
            None => {
                let refusal = Refusal::with_default_text(ErrorCode::UnknownTopicId);
                responses.push(result(None, *id, Some(&refusal)));
            }
        }
    }
    let mut twice: BTreeSet<Uuid> = ids.iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id).collect();
    for name in names.iter().filter(|(_, times)| **times == 1).map(|(name, _)| name) {
        let Some(topic) = image.topic(name) else {
            let refusal = Refusal::with_default_text(ErrorCode::UnknownTopicOrPartition);
            responses.push(result(Some(name), Uuid::nil(), Some(&refusal)));
            continue;
        };
        if twice.contains(&topic.id) || wanted.insert(topic.id, name.clone()).is_some() {
            twice.insert(topic.id);
            wanted.remove(&topic.id);
            let refusal = refuse("The provided topic name maps to an ID that was already supplied.");
            responses.push(result(Some(name), topic.id, Some(&refusal)));
        }
    }
    wanted
}

fn failed(request: &DeleteTopicsRequest, code: ErrorCode) -> DeleteTopicsResponse {
    let by_name = request.topic_names.iter().map(|name| DeletableTopicResult::default().with_name(Some(name.clone())));
    let by_id = request
        .topics
        .iter()
        .map(|topic| DeletableTopicResult::default().with_name(topic.name.clone()).with_topic_id(topic.topic_id));
    let responses = by_name.chain(by_id).map(|response| response.with_error_code(code as i16)).collect();
    DeleteTopicsResponse::default().with_responses(responses)
}

fn result(name: Option<&str>, id: Uuid, refusal: Option<&Refusal>) -> DeletableTopicResult {
    let message = refusal.and_then(|refusal| refusal.message.as_deref());
    DeletableTopicResult::default()
        .with_name(name.map(topic_name))
        .with_topic_id(id)
        .with_error_code(refusal.map_or(0, |refusal| refusal.code as i16))
        .with_error_message(message.map(text))
}
