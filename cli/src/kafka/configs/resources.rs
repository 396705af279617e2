//! Configs of topics, brokers, their loggers, groups and client metrics.
//!
//! Called by `kafka-configs` with what its flags name. What is described is shown as it comes: what cannot be described ends
//! the tool, after what stands before it.

use client::admin::{Admin, ConfigEntry, ConfigSource, ConfigSynonym, ResourceKind};
use client::error::ClientError;
use serde_json::{Value, json};

use super::{Change, fail, refused, say_updated, singular};
use crate::Ended;
use crate::kafka::java_order::sort_as_hash_map;
use crate::kafka::output;

/// Resources in one request, so that an answer stays below some megabytes.
const RESOURCES: usize = 500;

/// How many resources are asked about before they are shown. Each broker is asked by itself; as with Apache's, one that is
/// away is waited for when those before it have been shown.
fn at_once(kind: ResourceKind) -> usize {
    if matches!(kind, ResourceKind::Broker | ResourceKind::BrokerLogger) { 1 } else { RESOURCES }
}

/// What is described or altered.
pub(super) struct Entity {
    pub(super) kind: ResourceKind,
    /// As people write it, in the plural.
    pub(super) type_name: String,
    /// Empty for what holds for all; None for each in turn.
    pub(super) name: Option<String>,
}

/// Sets and takes back configs of one resource.
pub(super) async fn alter(admin: &Admin, entity: &Entity, changes: &[Change]) -> Result<(), Ended> {
    let name = entity.name.as_deref().unwrap_or_default();
    if entity.kind == ResourceKind::BrokerLogger {
        let known = admin.describe_configs(entity.kind, name).await.map_err(refused)?;
        let unknown: Vec<&str> = changes
            .iter()
            .map(|(key, _)| key.as_str())
            .filter(|key| !known.iter().any(|entry| entry.name == *key))
            .collect();
        if !unknown.is_empty() {
            return fail(format!("Invalid broker logger(s): {}", unknown.join(",")));
        }
    }
    admin.alter_configs(entity.kind, name, changes).await.map_err(refused)?;
    say_updated(&entity.type_name, name);
    Ok(())
}

/// The names of what there is of a type.
async fn existing(admin: &Admin, entity: &Entity) -> Result<Vec<String>, Ended> {
    let mut names: Vec<String> = match entity.kind {
        ResourceKind::Topic => {
            admin.list_topics().await.map_err(refused)?.into_iter().map(|topic| topic.name).collect()
        }
        ResourceKind::Broker | ResourceKind::BrokerLogger => {
            let ids = admin.brokers().await.map_err(refused)?;
            return Ok(ids.iter().map(ToString::to_string).chain(std::iter::once(String::new())).collect());
        }
        ResourceKind::Group => admin
            .list_consumer_groups(&[], &[])
            .await
            .map_err(refused)?
            .into_iter()
            .map(|group| group.group_id)
            .collect(),
        ResourceKind::ClientMetrics => Vec::new(),
    };
    sort_as_hash_map(&mut names, None, |name| name);
    Ok(names)
}

/// Shows the configs of one resource, or of all of its kind.
pub(super) async fn describe(admin: &Admin, entity: &Entity, all: bool) -> Result<(), Ended> {
    if let Some(name) = entity.name.as_ref().filter(|_| !all)
        && !existing(admin, entity).await?.contains(name)
    {
        output::say(&format!(
            "The {} '{name}' doesn't exist and doesn't have dynamic config.",
            singular(&entity.type_name)
        ));
        return Ok(());
    }
    let names = match &entity.name {
        Some(name) => vec![name.clone()],
        None => existing(admin, entity).await?,
    };
    let mut objects = Vec::new();
    for some in names.chunks(at_once(entity.kind)) {
        let resources: Vec<_> = some.iter().map(|name| (entity.kind, name.clone())).collect();
        let mut described = admin.describe_each_config(&resources).await.map_err(refused)?;
        for resource in resources {
            let configs = described.remove(&resource).unwrap_or(Err(ClientError::State("no answer for the resource")));
            let (mut entries, (kind, name)) = (configs.map_err(refused)?, resource);
            let own = own_source(kind, &name);
            entries.retain(|entry| all || entry.source == own);
            entries.sort_by(|left, right| left.name.cmp(&right.name));
            if output::is_json() {
                objects.extend(entries.iter().map(|entry| object(entity, &name, entry)));
            } else {
                print(entity, &name, &entries, all);
            }
        }
    }
    output::as_objects(|| objects);
    Ok(())
}

/// Where a config comes from that was set for the resource itself.
fn own_source(kind: ResourceKind, name: &str) -> ConfigSource {
    match kind {
        ResourceKind::Topic => ConfigSource::DynamicTopicConfig,
        ResourceKind::Broker if name.is_empty() => ConfigSource::DynamicDefaultBrokerConfig,
        ResourceKind::Broker => ConfigSource::DynamicBrokerConfig,
        ResourceKind::BrokerLogger => ConfigSource::DynamicBrokerLoggerConfig,
        ResourceKind::ClientMetrics => ConfigSource::DynamicClientMetricsConfig,
        ResourceKind::Group => ConfigSource::DynamicGroupConfig,
    }
}

fn print(entity: &Entity, name: &str, entries: &[ConfigEntry], all: bool) {
    if name.is_empty() {
        println!("Default configs for {} in the cluster are:", entity.type_name);
    } else {
        println!("{} configs for {} {name} are:", if all { "All" } else { "Dynamic" }, singular(&entity.type_name));
    }
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    for entry in entries {
        let synonyms: Vec<String> = entry
            .synonyms
            .iter()
            .map(|synonym| format!("{}:{}={}", synonym.source.name(), synonym.name, shown(&synonym.value)))
            .collect();
        println!(
            "  {}={} sensitive={} synonyms={{{}}}",
            entry.name,
            shown(&entry.value),
            entry.sensitive,
            synonyms.join(", ")
        );
    }
}

fn object(entity: &Entity, name: &str, entry: &ConfigEntry) -> Value {
    let synonym = |synonym: &ConfigSynonym| json!({"source": synonym.source.name(), "name": synonym.name, "value": synonym.value});
    json!({
        "entity_type": entity.type_name,
        "entity_name": name,
        "name": entry.name,
        "value": entry.value,
        "source": entry.source.name(),
        "sensitive": entry.sensitive,
        "synonyms": entry.synonyms.iter().map(synonym).collect::<Vec<_>>(),
    })
}
