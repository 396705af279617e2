//! IncrementalAlterConfigs and AlterConfigs (Java: `ConfigurationControlManager`). What a key means and which
//! values it takes is answered by [`Rules`]; here is how a set of keys changes.

use std::collections::BTreeMap;

use super::rules::Rules;
use super::topic_name;
use super::{Decision, bounded};
use crate::image::{ConfigResource, ConfigResourceType, Image};
use crate::record::{ConfigRecord, MetadataRecord};
use crate::refusal::Refusal;
use crate::request::{ConfigChange, ConfigOp, ConfigReplacement};
use millstream_protocol::error_code::ErrorCode;

/// Longest value that is taken (Java: `Short.MAX_VALUE`).
const VALUE_LENGTH_MAX: usize = i16::MAX as usize;

/// Whether the resource must exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existence {
    Required,
    New,
}

/// Decides on every resource; one that is refused does not hold up the others.
pub(crate) fn alter(image: &Image, rules: &Rules, changes: &[ConfigChange]) -> Decision<()> {
    let decide = |change: &ConfigChange| {
        let records = changed_records(image, &change.resource, &change.ops)?;
        check(image, rules, &change.resource, &records, Existence::Required)?;
        Ok(records)
    };
    collect(changes.iter().map(decide))
}

/// The configuration of a resource that is just being made.
pub(crate) fn alter_new(
    image: &Image,
    rules: &Rules,
    resource: &ConfigResource,
    ops: &[(String, ConfigOp)],
) -> Result<Vec<MetadataRecord>, Refusal> {
    let records = changed_records(image, resource, ops)?;
    check(image, rules, resource, &records, Existence::New)?;
    Ok(records.into_iter().map(MetadataRecord::Config).collect())
}

/// Decides on every resource; keys that the request leaves out go back to their defaults.
pub(crate) fn replace(image: &Image, rules: &Rules, wanted: &[ConfigReplacement]) -> Decision<()> {
    let decide = |wanted: &ConfigReplacement| {
        let resource = &wanted.resource;
        let current = current(image, resource);
        let mut records = Vec::new();
        for (key, value) in &wanted.configs {
            if current.get(key) != value.as_ref() || resource.kind == ConfigResourceType::Broker {
                records.push(record(resource, key, value.clone()));
            }
        }
        for key in current.keys().filter(|key| !wanted.configs.contains_key(*key)) {
            records.push(record(resource, key, None));
        }
        check(image, rules, resource, &records, Existence::Required)?;
        Ok(records)
    };
    collect(wanted.iter().map(decide))
}

fn collect(decided: impl Iterator<Item = Result<Vec<ConfigRecord>, Refusal>>) -> Decision<()> {
    let mut records = Vec::new();
    let mut answers = Vec::new();
    for decided in decided {
        match decided {
            Ok(new) => {
                records.extend(new.into_iter().map(MetadataRecord::Config));
                answers.push(Ok(()));
            }
            Err(refusal) => answers.push(Err(refusal)),
        }
    }
    bounded(records, answers)
}

fn current(image: &Image, resource: &ConfigResource) -> BTreeMap<String, String> {
    image.configs(resource.kind, &resource.name).map(|set| (**set).clone()).unwrap_or_default()
}

fn record(resource: &ConfigResource, key: &str, value: Option<String>) -> ConfigRecord {
    ConfigRecord { kind: resource.kind, resource: resource.name.clone(), key: key.to_owned(), value }
}

fn changed_records(
    image: &Image,
    resource: &ConfigResource,
    ops: &[(String, ConfigOp)],
) -> Result<Vec<ConfigRecord>, Refusal> {
    let current = current(image, resource);
    let mut records = Vec::new();
    for (key, op) in ops {
        let before = current.get(key);
        let after = match op {
            ConfigOp::Set(value) => value.clone(),
            ConfigOp::Delete => None,
            ConfigOp::Append(items) => {
                let mut list = list_of(resource, key, before, "APPEND")?;
                for item in items.as_deref().unwrap_or_default().split(',') {
                    if !list.iter().any(|held| held == item) {
                        list.push(item.to_owned());
                    }
                }
                Some(list.join(","))
            }
            ConfigOp::Subtract(items) => {
                let mut list = list_of(resource, key, before, "SUBTRACT")?;
                for item in items.as_deref().unwrap_or_default().split(',') {
                    if let Some(at) = list.iter().position(|held| held == item) {
                        list.remove(at);
                    }
                }
                Some(list.join(","))
            }
        };
        // Broker configurations are written even when they do not change, so that brokers reload what the
        // values name (key stores).
        if before != after.as_ref() || resource.kind == ConfigResourceType::Broker {
            records.push(record(resource, key, after));
        }
    }
    Ok(records)
}

fn list_of(resource: &ConfigResource, key: &str, before: Option<&String>, op: &str) -> Result<Vec<String>, Refusal> {
    if !Rules::is_list(resource.kind, key) {
        let message = format!("Can't {op} to key {key} because its type is not LIST.");
        return Err(Refusal::new(ErrorCode::InvalidConfig, message));
    }
    let value = before.cloned().or_else(|| Rules::default_of(resource.kind, key)).unwrap_or_default();
    Ok(value.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect())
}

fn check(
    image: &Image,
    rules: &Rules,
    resource: &ConfigResource,
    records: &[ConfigRecord],
    existence: Existence,
) -> Result<(), Refusal> {
    let before = current(image, resource);
    let mut after = before.clone();
    for record in records {
        match &record.value {
            None => {
                after.remove(&record.key);
            }
            Some(value) if value.encode_utf16().count() > VALUE_LENGTH_MAX => {
                let message = format!(
                    "The configuration value cannot be added because it exceeds the maximum value size of \
                     {VALUE_LENGTH_MAX} bytes."
                );
                return Err(Refusal::new(ErrorCode::InvalidConfig, message));
            }
            Some(value) => {
                after.insert(record.key.clone(), value.clone());
            }
        }
    }
    check_name(resource)?;
    rules.validate(resource, &after, &before)?;
    match existence {
        Existence::Required => check_exists(image, resource),
        Existence::New => Ok(()),
    }
}

/// Java: `ControllerConfigurationValidator`.
fn check_name(resource: &ConfigResource) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let name = resource.name.as_str();
    match resource.kind {
        ConfigResourceType::Topic if name.is_empty() => refuse("Default topic resources are not allowed.".to_owned()),
        ConfigResourceType::Topic => topic_name::validate(name),
        ConfigResourceType::Broker if name.is_empty() => Ok(()),
        ConfigResourceType::Broker => match name.parse::<i32>() {
            Ok(id) if id < 0 => refuse("Invalid negative broker ID.".to_owned()),
            Ok(_) => Ok(()),
            Err(_) => refuse("Unable to parse broker name as a base 10 number.".to_owned()),
        },
        ConfigResourceType::Group if name.is_empty() => refuse("Default group resources are not allowed.".to_owned()),
        ConfigResourceType::Group | ConfigResourceType::ClientMetrics => Ok(()),
        ConfigResourceType::BrokerLogger => refuse("Unknown resource type BROKER_LOGGER".to_owned()),
    }
}

/// Java: `QuorumController.ConfigResourceExistenceChecker`.
fn check_exists(image: &Image, resource: &ConfigResource) -> Result<(), Refusal> {
    match resource.kind {
        ConfigResourceType::Topic if image.topic(&resource.name).is_none() => {
            let message = format!("The topic '{}' does not exist.", resource.name);
            Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, message))
        }
        ConfigResourceType::Broker if !resource.name.is_empty() => {
            let known = resource.name.parse().is_ok_and(|id: i32| image.brokers().contains_key(&id));
            if known {
                return Ok(());
            }
            let message = format!("No node with id {} found.", resource.name);
            Err(Refusal::new(ErrorCode::BrokerIdNotRegistered, message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
