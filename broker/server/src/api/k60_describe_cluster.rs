//! DescribeCluster (key 60), v0-v2. Cluster id, brokers and who to ask as a controller.
//! Versions: v1 endpoint types (KIP-919); v2 fenced brokers (KIP-1073).
//! Authorizes: Describe on Cluster, for the operations only (all allowed).   Waits: never.

use millstream_broker_controller::Image;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use millstream_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::api::view::{CLUSTER_OPERATIONS, NO_OPERATIONS, View, text};

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 2);

/// Endpoint types of the protocol.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Handles the request.
pub fn handle(context: &Context, request: DescribeClusterRequest) -> Outcome<DescribeClusterResponse> {
    let image = context.node.controller.image();
    answer(&image, &context.connection.listener, context.version(), &request).into()
}

/// Answers the request.
pub fn answer(
    image: &Image,
    listener: &str,
    version: i16,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let refuse = |code: ErrorCode, message: String| {
        let code = if version == 0 { ErrorCode::InvalidRequest } else { code };
        DescribeClusterResponse::default()
            .with_error_code(code as i16)
            .with_error_message(Some(text(&message)))
            .with_endpoint_type(BROKERS)
            .with_controller_id(BrokerId(-1))
            .with_cluster_authorized_operations(NO_OPERATIONS)
    };
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            let message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type \
                           CONTROLLER";
            return refuse(ErrorCode::MismatchedEndpointType, message.to_owned());
        }
        other => {
            return refuse(ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}"));
        }
    }
    let view = View { image, listener };
    let brokers: Vec<DescribeClusterBroker> = view
        .nodes()
        .filter(|(broker, _)| !broker.fenced || request.include_fenced_brokers)
        .map(|(broker, endpoint)| {
            DescribeClusterBroker::default()
                .with_broker_id(BrokerId(broker.id))
                .with_host(text(&endpoint.host))
                .with_port(i32::from(endpoint.port))
                .with_rack(broker.rack.as_deref().map(text))
                .with_is_fenced(broker.fenced)
        })
        .collect();
    let controller = BrokerId(view.controller());
    let listed = brokers.iter().any(|broker| broker.broker_id == controller);
    let operations =
        if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { NO_OPERATIONS };
    DescribeClusterResponse::default()
        .with_error_message(None)
        .with_endpoint_type(BROKERS)
        .with_cluster_id(text(image.cluster_id()))
        .with_controller_id(if listed { controller } else { BrokerId(-1) })
        .with_brokers(brokers)
        .with_cluster_authorized_operations(operations)
}
