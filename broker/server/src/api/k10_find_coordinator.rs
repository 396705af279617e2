//! FindCoordinator (key 10), v0-v6. Names the broker that coordinates a group or a transactional id.
//! Versions: v1 transactions; v3 flexible; v4 many keys (KIP-699); v6 share groups (KIP-932).
//! Authorizes: Describe on Group, Describe on TransactionalId.   Waits: no; a topic that is missing is made, and the
//! client comes back.
//! Not done: the coordinator of share groups (key type 2): COORDINATOR_NOT_AVAILABLE.

use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::find_coordinator_response::Coordinator;
use millstream_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, StrBytes};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::coord::find::partition_for;
use crate::coord::internal_topics::{OFFSETS, TRANSACTIONS};

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 6);

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;
/// First version with a list of keys.
const MANY: i16 = 4;
/// First version that knows share groups.
const KNOWS_SHARE: i16 = 6;

/// A broker as clients reach it.
struct Place {
    id: i32,
    host: StrBytes,
    port: i32,
}

/// Handles the request.
pub fn handle(context: &Context, request: FindCoordinatorRequest) -> Outcome<FindCoordinatorResponse> {
    if context.version() >= MANY {
        return many(context, &request).into();
    }
    match find(context, request.key_type, &request.key) {
        Ok(place) => FindCoordinatorResponse::default()
            // Java's text of no error is its name.
            .with_error_message(Some(StrBytes::from_static_str("NONE")))
            .with_node_id(BrokerId(place.id))
            .with_host(place.host)
            .with_port(place.port)
            .into(),
        Err(error) => FindCoordinatorResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_static_str(error.message())))
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .into(),
    }
}

fn many(context: &Context, request: &FindCoordinatorRequest) -> FindCoordinatorResponse {
    let known = matches!(request.key_type, GROUP | TRANSACTION | SHARE);
    let coordinators = request.coordinator_keys.iter().map(|key| {
        let answer = Coordinator::default().with_key(key.clone()).with_error_message(Some(StrBytes::new()));
        match find(context, request.key_type, key) {
            Ok(place) => answer.with_node_id(BrokerId(place.id)).with_host(place.host).with_port(place.port),
            Err(error) => {
                // An unknown type fails the request as a whole, and only then there is a text.
                let text = if known { "" } else { error.message() };
                answer
                    .with_error_code(error.code())
                    .with_error_message(Some(StrBytes::from_static_str(text)))
                    .with_node_id(BrokerId(-1))
                    .with_port(-1)
            }
        }
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}

fn find(context: &Context, key_type: i8, key: &str) -> Result<Place, ErrorCode> {
    let (topic, partitions) = match key_type {
        GROUP => (OFFSETS, "offsets.topic.num.partitions"),
        TRANSACTION => (TRANSACTIONS, "transaction.state.log.num.partitions"),
        SHARE if context.version() >= KNOWS_SHARE => return Err(ErrorCode::CoordinatorNotAvailable),
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let node = &context.node;
    let image = node.controller.image();
    let Some(known) = image.topic(topic) else {
        node.coordinators.internal_topics.make(node, topic);
        return Err(ErrorCode::CoordinatorNotAvailable);
    };
    let count = match known.partitions.len() {
        0 => node.config.number(partitions) as i32,
        count => count as i32,
    };
    let leader = image.partition(topic, partition_for(key, count)).map(|partition| partition.leader);
    let broker = leader.and_then(|leader| image.brokers().get(&leader)).filter(|broker| !broker.fenced);
    let endpoint = broker.and_then(|broker| {
        let endpoint = broker.endpoints.iter().find(|one| one.listener == *context.connection.listener)?;
        Some(Place {
            id: broker.id,
            host: StrBytes::from_string(endpoint.host.clone()),
            port: i32::from(endpoint.port),
        })
    });
    endpoint.ok_or(ErrorCode::CoordinatorNotAvailable)
}
