//! Metadata (key 3), v0-v13. Where topics, their partitions and the brokers are; makes topics on demand.
//! Versions: v1 null = all topics, empty = none, v0 empty = all; v4 the client says whether topics may be made;
//! v5 offline replicas; v6 LISTENER_NOT_FOUND; v7 leader epochs; v8-v10 cluster operations; v9 flexible; v10 topic
//! ids; v12 ask by topic id; v13 an error for the whole answer.
//! Authorizes: Describe on Topic, Create on Cluster or Topic (no authorizer yet: all allowed).
//! Waits: never; a topic that is being made is UNKNOWN_TOPIC_OR_PARTITION until it is there, as in Apache.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millstream_base_env::task;
use millstream_broker_controller::decide::topic_name as names;
use millstream_broker_controller::request::{Mode, NewTopic};
use millstream_broker_controller::{Image, PartitionInfo, Refusal, Topic};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use millstream_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse};
use uuid::Uuid;

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::api::view::{CLUSTER_OPERATIONS, NO_OPERATIONS, TOPIC_OPERATIONS, View, broker_ids, text, topic_name};
use crate::coord::internal_topics;
use crate::node::Node;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 13);

/// First version that may ask by topic id.
const BY_ID: i16 = 12;

/// Handles the request.
pub fn handle(context: &Context, request: MetadataRequest) -> Outcome<MetadataResponse> {
    let node = &context.node;
    let auto_create = match node.config.flag("auto.create.topics.enable") {
        true => AutoCreate::Enabled,
        false => AutoCreate::Disabled,
    };
    let image = node.controller.image();
    let listener = &context.connection.listener;
    let (response, missing) = answer(&image, listener, auto_create, context.version(), &request);
    if !missing.is_empty() {
        create(node, missing);
    }
    response.into()
}

/// Makes topics while the client is told to ask again (Java: `DefaultAutoTopicCreationManager`).
fn create(node: &Arc<Node>, missing: Vec<String>) {
    let topics: Vec<NewTopic> = missing.iter().map(|name| new_topic(node, name)).collect();
    let node = node.clone();
    let timeout_ms = node.config.number("request.timeout.ms");
    task::spawn("auto-create-topics", async move {
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        match node.controller.create_topics(topics, Mode::Execute, timeout).await {
            Err(refusal) => tracing::warn!(topics = ?missing, %refusal, "auto topic creation failed"),
            Ok(answers) => {
                for (topic, answer) in missing.iter().zip(answers) {
                    match answer {
                        // Two clients that ask at once are no failure.
                        Ok(_) | Err(Refusal { code: ErrorCode::TopicAlreadyExists, .. }) => {}
                        Err(refusal) => tracing::warn!(topic, %refusal, "auto topic creation failed"),
                    }
                }
            }
        }
    });
}

fn new_topic(node: &Node, name: &str) -> NewTopic {
    match name {
        internal_topics::OFFSETS => internal_topics::new_topic(internal_topics::OFFSETS, &node.config),
        internal_topics::TRANSACTIONS => internal_topics::new_topic(internal_topics::TRANSACTIONS, &node.config),
        _ => NewTopic::new(name, -1, -1),
    }
}

/// Whether the broker makes topics that are asked for (`auto.create.topics.enable`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCreate {
    /// It does, where the client allows it.
    Enabled,
    /// It does not.
    Disabled,
}

/// The answer, and names of topics that must be made now.
pub fn answer(
    image: &Image,
    listener: &str,
    auto_create: AutoCreate,
    version: i16,
    request: &MetadataRequest,
) -> (MetadataResponse, Vec<String>) {
    let view = View { image, listener };
    if let Some(refused) = refuse(version, request) {
        return (refused, Vec::new());
    }
    let mut missing = Vec::new();
    let mut topics = match wanted(version, request) {
        Wanted::All => {
            // Apache's order is that of a hash table, and the same at each start: tools show it.
            let mut all: Vec<&Arc<Topic>> = image.topics().collect();
            all.sort_by(|left, right| left.name.cmp(&right.name));
            all.into_iter().filter_map(|topic| found(view, version, topic)).collect()
        }
        Wanted::Ids(ids) => by_ids(view, version, &ids),
        Wanted::Names(wanted) => {
            let allowed = auto_create == AutoCreate::Enabled && request.allow_auto_topic_creation;
            by_names(view, version, &wanted, allowed, &mut missing)
        }
    };
    if version >= 8 && request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code != ErrorCode::UnknownTopicId as i16) {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let asked = (8..=10).contains(&version) && request.include_cluster_authorized_operations;
    let operations = if asked { CLUSTER_OPERATIONS } else { NO_OPERATIONS };
    let brokers = view
        .nodes()
        .filter(|(broker, _)| !broker.fenced)
        .map(|(broker, endpoint)| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(broker.id))
                .with_host(text(&endpoint.host))
                .with_port(i32::from(endpoint.port))
                .with_rack(broker.rack.as_deref().map(text))
        })
        .collect();
    let response = MetadataResponse::default()
        .with_brokers(brokers)
        .with_cluster_id(Some(text(image.cluster_id())))
        .with_controller_id(BrokerId(view.controller()))
        .with_cluster_authorized_operations(operations)
        .with_topics(topics);
    (response, missing)
}

/// Names and ids that a version cannot have; the whole request fails, topic by topic.
fn refuse(version: i16, request: &MetadataRequest) -> Option<MetadataResponse> {
    let topics = request.topics.as_ref()?;
    let illegal = topics.iter().any(|topic| topic.name.is_none() || !topic.topic_id.is_nil());
    // A topic without name and id is more than Java expects, unless an id beside it makes names unimportant.
    let nameless = topics.iter().any(|topic| topic.name.is_none());
    let code = match version {
        BY_ID.. if nameless && topics.iter().all(|topic| topic.topic_id.is_nil()) => ErrorCode::UnknownServerError,
        ..BY_ID if illegal => ErrorCode::InvalidRequest,
        _ => return None,
    };
    let topics = topics
        .iter()
        .map(|topic| {
            MetadataResponseTopic::default()
                .with_name(Some(topic.name.clone().unwrap_or_default()))
                .with_topic_id(topic.topic_id)
                .with_error_code(code as i16)
                .with_topic_authorized_operations(NO_OPERATIONS)
        })
        .collect();
    Some(
        MetadataResponse::default()
            .with_topics(topics)
            .with_controller_id(BrokerId(-1))
            .with_cluster_authorized_operations(NO_OPERATIONS)
            .with_error_code(code as i16),
    )
}

enum Wanted {
    All,
    Names(BTreeSet<String>),
    Ids(BTreeSet<Uuid>),
}

fn wanted(version: i16, request: &MetadataRequest) -> Wanted {
    let Some(topics) = &request.topics else { return Wanted::All };
    if version == 0 && topics.is_empty() {
        return Wanted::All;
    }
    let ids: BTreeSet<Uuid> = topics.iter().map(|topic| topic.topic_id).filter(|id| !id.is_nil()).collect();
    // One id makes it a request by ids: names beside it are not looked at (KIP-516).
    if !ids.is_empty() {
        return Wanted::Ids(ids);
    }
    Wanted::Names(topics.iter().filter_map(|topic| topic.name.as_ref().map(|name| name.to_string())).collect())
}

fn by_ids(view: View<'_>, version: i16, ids: &BTreeSet<Uuid>) -> Vec<MetadataResponseTopic> {
    let unknown = ids.iter().filter(|id| view.image.topic_by_id(**id).is_none());
    let unknown = unknown.map(|id| unfound(None, ErrorCode::UnknownTopicId).with_topic_id(*id));
    let known = ids.iter().filter_map(|id| view.image.topic_by_id(*id));
    unknown.chain(known.filter_map(|topic| found(view, version, topic))).collect()
}

fn by_names(
    view: View<'_>,
    version: i16,
    wanted: &BTreeSet<String>,
    create: bool,
    missing: &mut Vec<String>,
) -> Vec<MetadataResponseTopic> {
    let mut topics = Vec::with_capacity(wanted.len());
    for name in wanted {
        if let Some(topic) = view.image.topic(name) {
            topics.extend(found(view, version, topic));
            continue;
        }
        let error = match names::is_valid(name) {
            true => ErrorCode::UnknownTopicOrPartition,
            false => ErrorCode::InvalidTopicException,
        };
        if create && error == ErrorCode::UnknownTopicOrPartition {
            missing.push(name.clone());
        }
        topics.push(unfound(Some(name), error));
    }
    topics
}

fn unfound(name: Option<&str>, error: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(error as i16)
        .with_name(name.map(topic_name))
        .with_is_internal(name.is_some_and(names::is_internal))
        .with_topic_authorized_operations(NO_OPERATIONS)
}

fn found(view: View<'_>, version: i16, topic: &Topic) -> Option<MetadataResponseTopic> {
    if topic.partitions.is_empty() {
        return None;
    }
    let partitions = topic.partitions.iter().enumerate();
    Some(
        MetadataResponseTopic::default()
            .with_error_code(ErrorCode::None as i16)
            .with_name(Some(topic_name(&topic.name)))
            .with_topic_id(topic.id)
            .with_is_internal(names::is_internal(&topic.name))
            .with_topic_authorized_operations(NO_OPERATIONS)
            .with_partitions(partitions.map(|(index, info)| partition(view, version, index as i32, info)).collect()),
    )
}

fn partition(view: View<'_>, version: i16, index: i32, info: &PartitionInfo) -> MetadataResponsePartition {
    // v0 shows only replicas that are alive, and says so.
    let visible = |ids: &[i32]| -> Vec<BrokerId> {
        match version {
            0 => ids.iter().copied().filter(|id| view.is_alive(*id)).map(BrokerId).collect(),
            _ => broker_ids(ids),
        }
    };
    let (replicas, isr) = (visible(&info.replicas), visible(&info.isr));
    let leader = view.leader(info);
    let error = if leader.is_none() {
        let registered = view.image.brokers().contains_key(&info.leader);
        if registered && version >= 6 { ErrorCode::ListenerNotFound } else { ErrorCode::LeaderNotAvailable }
    } else if replicas.len() < info.replicas.len() || isr.len() < info.isr.len() {
        ErrorCode::ReplicaNotAvailable
    } else {
        ErrorCode::None
    };
    MetadataResponsePartition::default()
        .with_error_code(error as i16)
        .with_partition_index(index)
        .with_leader_id(BrokerId(leader.unwrap_or(-1)))
        .with_leader_epoch(info.leader_epoch)
        .with_replica_nodes(replicas)
        .with_isr_nodes(isr)
        .with_offline_replicas(view.offline_replicas(info))
}

#[cfg(test)]
pub(crate) mod tests;
