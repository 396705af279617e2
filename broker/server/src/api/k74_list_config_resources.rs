//! ListConfigResources (key 74), v0-v1. Names of the resources that have a configuration.
//! Versions: v0 client-metrics subscriptions only (KIP-714); v1 every type (KIP-1142).
//! Authorizes: DescribeConfigs on Cluster.   Waits: no.

use millstream_broker_controller::{ConfigResourceType, Image};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::list_config_resources_response::ConfigResource;
use millstream_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse, StrBytes};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 1);

/// Every type, in the order in which Java lists them.
const TYPES: [ConfigResourceType; 5] = [
    ConfigResourceType::Group,
    ConfigResourceType::ClientMetrics,
    ConfigResourceType::BrokerLogger,
    ConfigResourceType::Broker,
    ConfigResourceType::Topic,
];

/// Handles the request.
pub fn handle(context: &Context, request: ListConfigResourcesRequest) -> Outcome<ListConfigResourcesResponse> {
    let supported: &[ConfigResourceType] =
        if context.version() == 0 { &[ConfigResourceType::ClientMetrics] } else { &TYPES };
    let is_supported = |number: &i8| supported.iter().any(|kind| *kind as i8 == *number);
    if !request.resource_types.iter().all(is_supported) {
        return ListConfigResourcesResponse::default().with_error_code(ErrorCode::UnsupportedVersion as i16).into();
    }
    let image = context.node.controller.image();
    let asked = |kind: &&ConfigResourceType| {
        request.resource_types.is_empty() || request.resource_types.contains(&(**kind as i8))
    };
    let resources = supported.iter().filter(asked).flat_map(|kind| {
        names(&image, *kind).into_iter().map(|name| {
            ConfigResource::default().with_resource_name(StrBytes::from_string(name)).with_resource_type(*kind as i8)
        })
    });
    ListConfigResourcesResponse::default().with_config_resources(resources.collect()).into()
}

fn names(image: &Image, kind: ConfigResourceType) -> Vec<String> {
    match kind {
        ConfigResourceType::Topic => image.topics().map(|topic| topic.name.to_string()).collect(),
        ConfigResourceType::Broker | ConfigResourceType::BrokerLogger => {
            let active = image.brokers().values().filter(|broker| !broker.fenced);
            active.map(|broker| broker.id.to_string()).collect()
        }
        ConfigResourceType::ClientMetrics | ConfigResourceType::Group => image
            .config_resources()
            .filter(|(resource, _)| resource.kind == kind)
            .map(|(resource, _)| resource.name.clone())
            .collect(),
    }
}
