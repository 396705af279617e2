//! DescribeCluster (key 60), v0-v2. Cluster id, brokers and who to ask as a controller.
//! Versions: v1 endpoint types (KIP-919); v2 fenced brokers (KIP-1073).
//! Authorizes: Describe on Cluster, for the operations only (all allowed).   Waits: never.

use millstream_broker_controller::Endpoint;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use millstream_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};

use crate::api::context::{Context, Role};
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::api::view::{CLUSTER_OPERATIONS, NO_OPERATIONS, View, text};
use crate::node::Node;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 2);

/// Endpoint types of the protocol.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// What a cluster looks like from one listener.
struct Seen<'a> {
    /// `cluster.id`
    cluster_id: &'a str,
    /// Of the listener.
    role: Role,
    /// Brokers to a broker's client, controllers to a controller's (KIP-919).
    nodes: Vec<DescribeClusterBroker>,
    /// Whom to send changes to.
    controller: i32,
}

/// Handles the request.
pub fn handle(context: &Context, request: DescribeClusterRequest) -> Outcome<DescribeClusterResponse> {
    let image = context.node.controller.image();
    let listener = &context.connection.listener;
    let view = View { image: &image, listener };
    let role = context.connection.role;
    let (nodes, controller) = match role {
        Role::Broker => (brokers(view, request.include_fenced_brokers), view.controller()),
        Role::Controller => (controllers(&context.node, listener), context.node.controller.quorum().leader_id),
    };
    let seen = Seen { cluster_id: image.cluster_id(), role, nodes, controller };
    answer(seen, context.version(), &request).into()
}

fn brokers(view: View<'_>, fenced_too: bool) -> Vec<DescribeClusterBroker> {
    view.nodes()
        .filter(|(broker, _)| !broker.fenced || fenced_too)
        .map(|(broker, endpoint)| {
            described(broker.id, endpoint).with_rack(broker.rack.as_deref().map(text)).with_is_fenced(broker.fenced)
        })
        .collect()
}

fn controllers(node: &Node, listener: &str) -> Vec<DescribeClusterBroker> {
    let own = node.controller_endpoints.iter().filter(|endpoint| endpoint.listener == listener);
    own.map(|endpoint| described(node.id(), endpoint)).collect()
}

fn described(id: i32, endpoint: &Endpoint) -> DescribeClusterBroker {
    DescribeClusterBroker::default()
        .with_broker_id(BrokerId(id))
        .with_host(text(&endpoint.host))
        .with_port(i32::from(endpoint.port))
}

fn answer(seen: Seen<'_>, version: i16, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let refuse = |code: ErrorCode, message: String| {
        let code = if version == 0 { ErrorCode::InvalidRequest } else { code };
        DescribeClusterResponse::default()
            .with_error_code(code as i16)
            .with_error_message(Some(text(&message)))
            .with_endpoint_type(BROKERS)
            .with_controller_id(BrokerId(-1))
            .with_cluster_authorized_operations(NO_OPERATIONS)
    };
    let (own, own_name) = named(seen.role);
    let asked = match request.endpoint_type {
        BROKERS => Role::Broker,
        CONTROLLERS => Role::Controller,
        other => {
            return refuse(ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}"));
        }
    };
    if asked != seen.role {
        let wanted = named(asked).1;
        let message = format!(
            "The request was sent to an endpoint of type {own_name}, but we wanted an endpoint of type {wanted}"
        );
        return refuse(ErrorCode::MismatchedEndpointType, message);
    }
    let controller = BrokerId(seen.controller);
    let listed = seen.nodes.iter().any(|node| node.broker_id == controller);
    let operations = if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { NO_OPERATIONS };
    DescribeClusterResponse::default()
        .with_error_message(None)
        .with_endpoint_type(own)
        .with_cluster_id(text(seen.cluster_id))
        .with_controller_id(if listed { controller } else { BrokerId(-1) })
        .with_brokers(seen.nodes)
        .with_cluster_authorized_operations(operations)
}

/// Number and name of an endpoint type (Java: `EndpointType`).
fn named(role: Role) -> (i8, &'static str) {
    match role {
        Role::Broker => (BROKERS, "BROKER"),
        Role::Controller => (CONTROLLERS, "CONTROLLER"),
    }
}
