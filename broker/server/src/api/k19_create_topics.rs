//! CreateTopics (key 19), v2-v7. Makes topics: validates, places replicas, writes the metadata log.
//! Versions: v4 -1 takes the defaults (KIP-464); v5 flexible, answers with the configuration (KIP-525); v7 topic ids.
//! Authorizes: Create on Cluster or Topic, DescribeConfigs on Topic for the configuration (all allowed).
//! Waits: until the topics are on disk and their partitions are open, at most the request's timeout.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use millstream_base_config::resolve::{self, Layers};
use millstream_base_config::table_topic::TOPIC_KEYS;
use millstream_broker_controller::request::{CreatedTopic, Mode, NewTopic};
use millstream_broker_controller::{ConfigResourceType, Controller, Image, Refusal};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::create_topics_request::CreatableTopic;
use millstream_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use millstream_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::api::view::text;

/// Versions served.
pub const SERVES: Versions = Versions::new(2, 7);

const METADATA_TOPIC: &str = "__cluster_metadata";

/// Handles the request.
pub fn handle(context: &Context, request: CreateTopicsRequest) -> Outcome<CreateTopicsResponse> {
    let node = context.node.clone();
    Outcome::later(async move { answer(&node.controller, node.config.set_values(), request).await })
}

/// Carries the request out. `file` is what the configuration file says.
pub async fn answer(
    controller: &Controller,
    file: &BTreeMap<String, String>,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for topic in &request.topics {
        *times.entry(&topic.name).or_default() += 1;
    }
    let duplicated = |topic: &CreatableTopic| times[&**topic.name] > 1;
    let taken: Vec<&CreatableTopic> =
        request.topics.iter().filter(|topic| !duplicated(topic) && **topic.name != *METADATA_TOPIC).collect();
    let mode = if request.validate_only { Mode::ValidateOnly } else { Mode::Execute };
    let decided = controller
        .create_topics(taken.iter().map(|topic| new_topic(topic)).collect(), mode, timeout(request.timeout_ms))
        .await;
    let answers = match decided {
        Ok(answers) => answers,
        // What refuses the request refuses each topic that was named in it.
        Err(refusal) => {
            let topics = request.topics.iter().map(|topic| refused(topic, &refusal)).collect();
            return CreateTopicsResponse::default().with_topics(topics);
        }
    };
    let image = controller.image();
    let mut topics: Vec<CreatableTopicResult> = taken
        .iter()
        .zip(answers)
        .map(|(topic, answer)| match answer {
            Ok(made) => created(topic, &made, &image, controller.node_id(), file),
            Err(refusal) => refused(topic, &refusal),
        })
        .collect();
    let mut named = Vec::new();
    for topic in request.topics.iter().filter(|topic| duplicated(topic)) {
        if !named.contains(&&topic.name) {
            named.push(&topic.name);
            topics.push(refused(topic, &Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name.")));
        }
    }
    for topic in request.topics.iter().filter(|topic| !duplicated(topic) && **topic.name == *METADATA_TOPIC) {
        let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
        topics.push(refused(topic, &Refusal::new(ErrorCode::InvalidRequest, message)));
    }
    CreateTopicsResponse::default().with_topics(topics)
}

/// The time that a request gives the controller; none at all is over before it began.
pub(crate) fn timeout(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

fn new_topic(topic: &CreatableTopic) -> NewTopic {
    let ids = |ids: &[millstream_protocol::messages::BrokerId]| ids.iter().map(|id| id.0).collect();
    NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .iter()
            .map(|assignment| (assignment.partition_index, ids(&assignment.broker_ids)))
            .collect(),
        configs: topic
            .configs
            .iter()
            .map(|config| (config.name.to_string(), config.value.as_ref().map(|value| value.to_string())))
            .collect(),
    }
}

fn refused(topic: &CreatableTopic, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(topic.name.clone())
        .with_error_code(refusal.code as i16)
        .with_error_message(refusal.message.as_deref().map(text))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_configs(Some(Vec::new()))
}

fn created(
    topic: &CreatableTopic,
    made: &CreatedTopic,
    image: &Image,
    node_id: i32,
    file: &BTreeMap<String, String>,
) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(topic.name.clone())
        .with_topic_id(made.id)
        .with_error_message(None)
        .with_num_partitions(made.partitions)
        .with_replication_factor(made.replication_factor)
        .with_configs(Some(effective_configs(topic, image, node_id, file)))
}

/// The configuration that the topic has, key by key in alphabetical order (Java: `KafkaConfigSchema`).
fn effective_configs(
    topic: &CreatableTopic,
    image: &Image,
    node_id: i32,
    file: &BTreeMap<String, String>,
) -> Vec<CreatableTopicConfigs> {
    let set: BTreeMap<String, String> = topic
        .configs
        .iter()
        .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
        .collect();
    let node = node_id.to_string();
    let broker = image.configs(ConfigResourceType::Broker, &node);
    let cluster = image.configs(ConfigResourceType::Broker, "");
    let layers = Layers { broker: broker.map(|set| &**set), cluster: cluster.map(|set| &**set), file };
    let mut configs: Vec<CreatableTopicConfigs> = TOPIC_KEYS
        .iter()
        .filter(|key| !key.internal)
        .map(|key| {
            let (value, source) = resolve::winner(key, Some(&set), layers);
            CreatableTopicConfigs::default()
                .with_name(text(key.name))
                .with_value(value.as_deref().filter(|_| !key.is_sensitive()).map(text))
                .with_read_only(false)
                .with_config_source(source as i8)
                .with_is_sensitive(key.is_sensitive())
        })
        .collect();
    configs.sort_by(|left, right| left.name.cmp(&right.name));
    configs
}
