//! IncrementalAlterConfigs (key 44), v0-v1. Sets, deletes, appends to and subtracts from single keys (KIP-339).
//! Versions: v1 flexible.
//! Authorizes: AlterConfigs on Cluster, Topic, Group.   Waits: until this node acts on the change.
//! Not done: levels of loggers.

use millstream_base_config::dynamic;
use millstream_base_config::key::Kind;
use millstream_broker_controller::request::{ConfigChange, ConfigOp, Mode};
use millstream_broker_controller::{ConfigResource, ConfigResourceType, Image, Refusal};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use millstream_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use millstream_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, StrBytes};

use crate::api::config_changes::{
    Set, check_broker_name, check_broker_set, check_keys, current_broker_set, invalid_config, invalid_request, merge,
    refuse_repeated,
};
use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::node::Node;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 1);

/// Java: `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Handles the request.
pub fn handle(context: &Context, request: IncrementalAlterConfigsRequest) -> Outcome<IncrementalAlterConfigsResponse> {
    let node = context.node.clone();
    Outcome::later(async move {
        let image = node.controller.image();
        let names: Vec<(i8, &str)> =
            request.resources.iter().map(|one| (one.resource_type, &*one.resource_name)).collect();
        let mut checked = refuse_repeated(&names);
        let mut loggers = Vec::new();
        for (resource, checked) in request.resources.iter().zip(&mut checked) {
            if checked.is_ok() {
                *checked = check(&node, &image, resource);
                loggers.push(resource.resource_type == ConfigResourceType::BrokerLogger as i8);
            } else {
                loggers.push(false);
            }
        }
        let forwarded = request.resources.iter().zip(&checked).zip(&loggers);
        let forwarded = forwarded.filter(|((_, checked), logger)| checked.is_ok() && !**logger);
        let changes: Option<Vec<ConfigChange>> = forwarded.map(|((resource, _), _)| change(resource)).collect();
        let mode = if request.validate_only { Mode::ValidateOnly } else { Mode::Execute };
        let decided = match changes {
            Some(changes) if changes.is_empty() => Ok(Vec::new()),
            Some(changes) => node.controller.incremental_alter_configs(changes, mode).await,
            // Java's controller fails on an operation that it does not know, and the request with it.
            None => Err(unexpected()),
        };
        let answers = answers(checked, &loggers, decided);
        let responses = request.resources.iter().zip(answers).map(|(resource, answer)| {
            let (code, message) = answer.err().map_or((0, None), |refusal| (refusal.code as i16, refusal.message));
            AlterConfigsResourceResponse::default()
                .with_error_code(code)
                .with_error_message(message.map(StrBytes::from_string))
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    })
}

/// Loggers are answered here; the controller has no answer for them.
fn answers(
    checked: Vec<Result<(), Refusal>>,
    loggers: &[bool],
    decided: Result<Vec<Result<(), Refusal>>, Refusal>,
) -> Vec<Result<(), Refusal>> {
    let forwarded = |index: usize| !loggers[index];
    let indices: Vec<usize> = (0..checked.len()).filter(|index| forwarded(*index)).collect();
    let mut all = checked;
    let asked = indices.iter().map(|index| all[*index].clone()).collect();
    for (index, answer) in indices.into_iter().zip(merge(asked, decided)) {
        all[index] = answer;
    }
    all
}

fn unexpected() -> Refusal {
    Refusal { code: ErrorCode::UnknownServerError, message: None }
}

fn check(node: &Node, image: &Image, resource: &AlterConfigsResource) -> Result<(), Refusal> {
    let name = &*resource.resource_name;
    let nulls = resource.configs.iter().filter(|config| config.config_operation != DELETE && config.value.is_none());
    check_keys(resource.configs.iter().map(|config| &*config.name), nulls.map(|config| &*config.name))?;
    match ConfigResourceType::from_number(resource.resource_type) {
        Some(ConfigResourceType::Broker) => {
            check_broker_name(node, name)?;
            let mut set = current_broker_set(image, name);
            resource.configs.iter().try_for_each(|config| change_broker_set(&mut set, config))?;
            check_broker_set(node, image, name, &set)
        }
        Some(ConfigResourceType::BrokerLogger) => check_loggers(node, resource),
        Some(ConfigResourceType::Topic | ConfigResourceType::ClientMetrics | ConfigResourceType::Group) => Ok(()),
        None => Err(invalid_request(format!("Unknown resource type {}", resource.resource_type))),
    }
}

/// Java: `ConfigAdminManager.prepareIncrementalConfigs`.
fn change_broker_set(set: &mut Set, config: &AlterableConfig) -> Result<(), Refusal> {
    let name = config.name.to_string();
    let value = config.value.as_deref().unwrap_or_default();
    let list = |operation: &str| match dynamic::row(&name) {
        None => Err(invalid_config(format!("Unknown config name: {name}"))),
        Some(key) if key.kind == Kind::List => {
            let held = set.get(&name).map(String::as_str).or(key.default_value()).unwrap_or_default();
            Ok(held.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect::<Vec<_>>())
        }
        Some(_) => Err(invalid_config(format!("Config value {operation} is not allowed for config key: {name}"))),
    };
    match config.config_operation {
        SET => {
            set.insert(name, value.to_owned());
        }
        DELETE => {
            set.remove(&name);
        }
        APPEND => {
            let mut items = list("append")?;
            for item in value.split(',') {
                if !items.iter().any(|held| held == item) {
                    items.push(item.to_owned());
                }
            }
            set.insert(name, items.join(","));
        }
        SUBTRACT => {
            let mut items = list("subtract")?;
            items.retain(|held| !value.split(',').any(|item| item == held));
            set.insert(name, items.join(","));
        }
        other => return Err(invalid_request(format!("Unknown operations type {other}"))),
    }
    Ok(())
}

/// Java: `RuntimeLoggerManager`. The one logger is `root`, and its level is what the process was started with.
fn check_loggers(node: &Node, resource: &AlterConfigsResource) -> Result<(), Refusal> {
    let name = &*resource.resource_name;
    match name.parse::<i32>() {
        Ok(id) if id == node.id() => {}
        Ok(id) => {
            return Err(invalid_request(format!("Unexpected node id. Expected {}, but received {id}", node.id())));
        }
        Err(_) => return Err(invalid_request(format!("Node id must be an integer, but it is: {name}"))),
    }
    // The first one decides: there are no loggers to change.
    let Some(config) = resource.configs.first() else { return Ok(()) };
    let logger = &*config.name;
    Err(match config.config_operation {
        DELETE if logger == "root" => invalid_request("Removing the log level of the root logger is not allowed"),
        SET | DELETE => invalid_config(format!("Logger {logger} does not exist!")),
        APPEND | SUBTRACT => {
            let operation = if config.config_operation == APPEND { "APPEND" } else { "SUBTRACT" };
            invalid_request(format!("{operation} operation is not allowed for the BROKER_LOGGER resource"))
        }
        other => {
            invalid_request(format!("Unknown operation type {other} is not allowed for the BROKER_LOGGER resource"))
        }
    })
}

/// `None` for an operation that nobody knows.
fn change(resource: &AlterConfigsResource) -> Option<ConfigChange> {
    let kind = ConfigResourceType::from_number(resource.resource_type).expect("unknown types were refused before");
    let op = |config: &AlterableConfig| {
        let value = config.value.as_ref().map(ToString::to_string);
        let op = match config.config_operation {
            SET => ConfigOp::Set(value),
            DELETE => ConfigOp::Delete,
            APPEND => ConfigOp::Append(value),
            SUBTRACT => ConfigOp::Subtract(value),
            _ => return None,
        };
        Some((config.name.to_string(), op))
    };
    let ops = resource.configs.iter().map(op).collect::<Option<_>>()?;
    Some(ConfigChange { resource: ConfigResource { kind, name: resource.resource_name.to_string() }, ops })
}
