//! AlterConfigs (key 33), v0-v2. Replaces the whole dynamic configuration of a resource; clients prefer key 44.
//! Versions: v2 flexible.
//! Authorizes: AlterConfigs on Cluster, Topic, Group.   Waits: until this node acts on the change.

use millstream_broker_controller::request::{ConfigReplacement, Mode};
use millstream_broker_controller::{ConfigResource, ConfigResourceType, Image, Refusal};
use millstream_protocol::messages::alter_configs_request::AlterConfigsResource;
use millstream_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use millstream_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse, StrBytes};

use crate::api::config_changes::{
    Set, check_broker_name, check_broker_set, check_keys, invalid_request, merge, refuse_repeated,
};
use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::node::Node;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 2);

/// Handles the request.
pub fn handle(context: &Context, request: AlterConfigsRequest) -> Outcome<AlterConfigsResponse> {
    let node = context.node.clone();
    Outcome::later(async move {
        let image = node.controller.image();
        let names: Vec<(i8, &str)> =
            request.resources.iter().map(|one| (one.resource_type, &*one.resource_name)).collect();
        let mut checked = refuse_repeated(&names);
        for (resource, checked) in request.resources.iter().zip(&mut checked) {
            if checked.is_ok() {
                *checked = check(&node, &image, resource);
            }
        }
        let forwarded = request.resources.iter().zip(&checked).filter(|(_, checked)| checked.is_ok());
        let replacements: Vec<ConfigReplacement> = forwarded.map(|(resource, _)| replacement(resource)).collect();
        let mode = if request.validate_only { Mode::ValidateOnly } else { Mode::Execute };
        let decided = if replacements.is_empty() {
            Ok(Vec::new())
        } else {
            node.controller.replace_configs(replacements, mode).await
        };
        let answers = merge(checked, decided);
        let responses = request.resources.iter().zip(answers).map(|(resource, answer)| {
            let (code, message) = answer.err().map_or((0, None), |refusal| (refusal.code as i16, refusal.message));
            AlterConfigsResourceResponse::default()
                .with_error_code(code)
                .with_error_message(message.map(StrBytes::from_string))
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
        });
        AlterConfigsResponse::default().with_responses(responses.collect())
    })
}

fn check(node: &Node, image: &Image, resource: &AlterConfigsResource) -> Result<(), Refusal> {
    let name = &*resource.resource_name;
    let nulls = resource.configs.iter().filter(|config| config.value.is_none());
    check_keys(resource.configs.iter().map(|config| &*config.name), nulls.map(|config| &*config.name))?;
    match ConfigResourceType::from_number(resource.resource_type) {
        Some(ConfigResourceType::Broker) => {
            check_broker_name(node, name)?;
            let pair = |config: &millstream_protocol::messages::alter_configs_request::AlterableConfig| {
                (config.name.to_string(), config.value.as_deref().unwrap_or_default().to_owned())
            };
            let set: Set = resource.configs.iter().map(pair).collect();
            check_broker_set(node, image, name, &set)
        }
        Some(ConfigResourceType::Topic | ConfigResourceType::ClientMetrics | ConfigResourceType::Group) => Ok(()),
        // This older API knows nothing of loggers.
        Some(ConfigResourceType::BrokerLogger) | None => {
            Err(invalid_request(format!("Unknown resource type {}", resource.resource_type)))
        }
    }
}

fn replacement(resource: &AlterConfigsResource) -> ConfigReplacement {
    let kind = ConfigResourceType::from_number(resource.resource_type).expect("unknown types were refused before");
    let configs = resource
        .configs
        .iter()
        .map(|config| (config.name.to_string(), config.value.as_ref().map(ToString::to_string)))
        .collect();
    ConfigReplacement { resource: ConfigResource { kind, name: resource.resource_name.to_string() }, configs }
}
