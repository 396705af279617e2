//! kafka-configs: describe and alter the configs of topics, brokers, groups and client metrics (Java:
//! `ConfigCommand`).
//!
//! Not done: quotas and SCRAM credentials of users, clients and addresses, which come with quotas and SASL.

use std::collections::BTreeMap;

use client::admin::{Admin, ConfigEntry, ConfigSource, ConfigSynonym, ResourceKind};
use client::error::ClientError;
use serde_json::{Value, json};

use crate::Ended;
use crate::kafka::java_order::sort_as_hash_map;
use crate::kafka::options::{Given, Options};
use crate::kafka::{admin, block_on, java_exception, output};

const ABOUT: &str = "This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip, client-metrics or group";
const TYPES: [&str; 8] = ["broker-loggers", "topics", "clients", "users", "brokers", "ips", "client-metrics", "groups"];
/// Flags that name an entity, and the type of each.
const NAMED: [(&str, &str); 8] = [
    ("topic", "topics"),
    ("client", "clients"),
    ("user", "users"),
    ("broker", "brokers"),
    ("broker-logger", "broker-loggers"),
    ("ip", "ips"),
    ("client-metrics", "client-metrics"),
    ("group", "groups"),
];
/// Flags that mean every entity of a type.
const DEFAULTS: [(&str, &str); 4] =
    [("client-defaults", "clients"), ("user-defaults", "users"), ("broker-defaults", "brokers"), ("ip-defaults", "ips")];
/// Types whose entities are configured by quotas.
const BY_QUOTA: [&str; 3] = ["users", "clients", "ips"];

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-configs", ABOUT)
        .servers_or_controllers("server to connect to", "controller to connect to")
        .admin_config("command config property file")
        .flag("alter", "Alter the configs of the entity.")
        .flag("describe", "List the configs of the entity.")
        .flag("all", "With --describe: every config, also those from the file and the defaults.")
        .value("entity-type", "String", "topics, clients, users, brokers, broker-loggers, ips, client-metrics or groups.")
        .value("entity-name", "String", "The name of the entity: topic, client id, user, broker id, address, metrics or group.")
        .flag("entity-default", "Every entity of the type (clients, users, brokers, ips).")
        .value("add-config", "String", "Configs to set, k1=v1,k2=[v1,v2]; brackets hold values with commas. See docs/topic-configs.md, docs/broker-configs.md.")
        .value("add-config-file", "String", "A properties file with configs to set.")
        .value("delete-config", "String", "Configs to take back, k1,k2.")
        .value("topic", "String", "The topic.")
        .value("client", "String", "The client id.")
        .flag("client-defaults", "Every client.")
        .value("user", "String", "The user's principal.")
        .flag("user-defaults", "Every user.")
        .value("broker", "String", "The broker's id.")
        .flag("broker-defaults", "Every broker.")
        .value("broker-logger", "String", "The id of the broker whose loggers are meant.")
        .flag("ip-defaults", "Every address.")
        .value("ip", "String", "The address.")
        .value("group", "String", "The group.")
        .value("client-metrics", "String", "The name of a resource of client metrics.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        let entity = entity(&given)?;
        let admin = admin(&given)?;
        if given.has("describe") {
            return block_on(describe(&admin, &entity, given.has("all")));
        }
        let changes = changes(&given)?;
        block_on(alter(&admin, &entity, &changes))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

/// What is described or altered.
struct Entity {
    kind: ResourceKind,
    /// As people write it, in the plural.
    type_name: String,
    /// Empty for what holds for all; None for each in turn.
    name: Option<String>,
}

impl Entity {
    fn singular(&self) -> &str {
        &self.type_name[..self.type_name.len() - 1]
    }
}

fn fail<T>(line: String) -> Result<T, Ended> {
    Err(Ended::Failed(line))
}

/// The combinations that `ConfigCommandOptions.checkArgs` refuses.
fn entity(given: &Given) -> Result<Entity, Ended> {
    if given.has("alter") == given.has("describe") {
        return given.misuse("Command must include exactly one action: --describe, --alter".to_owned());
    }
    given.excludes("describe", &["add-config", "delete-config"])?;
    match (given.has("bootstrap-server"), given.has("bootstrap-controller")) {
        (false, false) => return fail("Either --bootstrap-server or --bootstrap-controller must be specified.".to_owned()),
        (true, true) => return fail("Only one of --bootstrap-server or --bootstrap-controller can be specified".to_owned()),
        _ => {}
    }
    let of_flags = || NAMED.iter().chain(&DEFAULTS).filter(|(flag, _)| given.has(flag));
    let mut types: Vec<String> = given.all("entity-type").into_iter().map(str::to_owned).collect();
    types.extend(of_flags().map(|(_, kind)| (*kind).to_owned()));
    let mut names: Vec<String> = given.all("entity-name").into_iter().map(str::to_owned).collect();
    if given.has("entity-default") {
        names.push(String::new());
    }
    for (flag, _) in NAMED {
        names.extend(given.one(flag)?.map(str::to_owned));
    }
    names.extend(DEFAULTS.iter().filter(|(flag, _)| given.has(flag)).map(|_| String::new()));
    if let Some(wrong) = types.iter().find(|kind| !TYPES.contains(&kind.as_str())) {
        return fail(format!(
            "Invalid entity type {wrong}, the entity type must be one of {} with a --bootstrap-server or --bootstrap-controller argument",
            TYPES.join(", ")
        ));
    }
    let Some(type_name) = types.first().cloned() else { return fail("At least one entity type must be specified".to_owned()) };
    if ["entity-type", "entity-name", "entity-default"].iter().any(|flag| given.has(flag)) && of_flags().next().is_some() {
        return fail("--entity-{type,name,default} should not be used in conjunction with specific entity flags".to_owned());
    }
    if let Some(kind) = types.iter().find(|kind| BY_QUOTA.contains(&kind.as_str())) {
        return fail(format!("{kind} are configured by quotas, which this release does not serve yet (docs/gaps.md)"));
    }
    if types.len() > 1 {
        return fail("Only 'users' and 'clients' entity types may be specified together".to_owned());
    }
    let name = names.into_iter().next();
    check_name(given, &type_name, name.as_deref())?;
    let kind = match type_name.as_str() {
        "topics" => ResourceKind::Topic,
        "brokers" => ResourceKind::Broker,
        "broker-loggers" => ResourceKind::BrokerLogger,
        "groups" => ResourceKind::Group,
        _client_metrics => ResourceKind::ClientMetrics,
    };
    Ok(Entity { kind, type_name, name })
}

fn check_name(given: &Given, kind: &str, name: Option<&str>) -> Result<(), Ended> {
    let named = name.filter(|name| !name.is_empty());
    if let Some(name) = named.filter(|name| kind.starts_with("broker") && name.parse::<i32>().is_err()) {
        return fail(format!("The entity name for {kind} must be a valid integer broker id, but it is: {name}"));
    }
    if given.has("describe") {
        if given.has("entity-default") && kind != "brokers" {
            return fail(format!("--entity-default must not be specified with --describe of {kind}"));
        }
        if kind == "broker-loggers" && named.is_none() {
            return fail(format!("An entity name must be specified with --describe of {kind}"));
        }
        return Ok(());
    }
    match (kind, name) {
        ("brokers", None) => {
            return fail("An entity-name or default entity must be specified with --alter of users, clients, brokers or ips".to_owned());
        }
        ("brokers", Some(_)) => {}
        _ if named.is_none() => return fail(format!("An entity name must be specified with --alter of {kind}")),
        _ => {}
    }
    if given.has("add-config") && given.has("add-config-file") {
        return fail("Only one of --add-config or --add-config-file must be specified".to_owned());
    }
    if !["add-config", "add-config-file", "delete-config"].iter().any(|flag| given.has(flag)) {
        return fail("At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter".to_owned());
    }
    Ok(())
}

/// What `--delete-config` takes back, then what `--add-config` sets.
fn changes(given: &Given) -> Result<Vec<(String, Option<String>)>, Ended> {
    let mut added: BTreeMap<String, String> = given.properties("add-config-file")?.into_iter().collect();
    if let Some(list) = given.one("add-config")? {
        added.extend(parse_added(list)?);
    }
    let legal = |letter: char| letter.is_ascii_alphanumeric() || "$._-".contains(letter);
    if let Some(wrong) = added.keys().find(|key| !key.chars().all(legal)) {
        return fail(format!("Invalid character found for config key: {wrong}"));
    }
    let deleted = given.all("delete-config");
    let deleted = deleted.iter().flat_map(|list| list.split(',')).map(|key| (key.trim().to_owned(), None));
    Ok(deleted.chain(added.into_iter().map(|(key, value)| (key, Some(value)))).collect())
}

/// Splits at `separator` wherever no bracket is open.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut open) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => open = true,
            ']' => open = false,
            _ if letter == separator && !open => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_added(list: &str) -> Result<Vec<(String, String)>, Ended> {
    let mut parts = split(list, ',');
    // Java: String.split drops empty strings at the end.
    while parts.len() > 1 && parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    let pair = |part: &&str| match split(part, '=').as_slice() {
        [key, value] => Ok((key.trim().to_owned(), value.replace(['[', ']'], "").trim().to_owned())),
        _ => fail(
            "Invalid entity config: all configs to be added must be in the format \"key=val\" or  \"key=[val1,val2]\" to group \
             values which contain commas."
                .to_owned(),
        ),
    };
    parts.iter().map(pair).collect()
}

/// As Java prints an exception that nobody caught.
fn refused(error: ClientError) -> Ended {
    Ended::Failed(format!("Error while executing config command: {}", java_exception::to_string(&error)))
}

async fn alter(admin: &Admin, entity: &Entity, changes: &[(String, Option<String>)]) -> Result<(), Ended> {
    let name = entity.name.as_deref().unwrap_or_default();
    if entity.kind == ResourceKind::BrokerLogger {
        let known = admin.describe_configs(entity.kind, name).await.map_err(refused)?;
        let unknown: Vec<&str> = changes.iter().map(|(key, _)| key.as_str()).filter(|key| !known.iter().any(|entry| entry.name == *key)).collect();
        if !unknown.is_empty() {
            return fail(format!("Invalid broker logger(s): {}", unknown.join(",")));
        }
    }
    admin.alter_configs(entity.kind, name, changes).await.map_err(refused)?;
    if name.is_empty() {
        println!("Completed updating default config for {} in the cluster.", entity.type_name);
    } else {
        println!("Completed updating config for {} {name}.", entity.singular());
    }
    Ok(())
}

/// The names of what there is of a type.
async fn existing(admin: &Admin, entity: &Entity) -> Result<Vec<String>, Ended> {
    let mut names: Vec<String> = match entity.kind {
        ResourceKind::Topic => admin.list_topics().await.map_err(refused)?.into_iter().map(|topic| topic.name).collect(),
        ResourceKind::Broker | ResourceKind::BrokerLogger => {
            let ids = admin.brokers().await.map_err(refused)?;
            return Ok(ids.iter().map(ToString::to_string).chain(std::iter::once(String::new())).collect());
        }
        ResourceKind::Group => {
            admin.list_consumer_groups(&[], &[]).await.map_err(refused)?.into_iter().map(|group| group.group_id).collect()
        }
        ResourceKind::ClientMetrics => Vec::new(),
    };
    sort_as_hash_map(&mut names, None, |name| name);
    Ok(names)
}

async fn describe(admin: &Admin, entity: &Entity, all: bool) -> Result<(), Ended> {
    if let Some(name) = entity.name.as_ref().filter(|_| !all)
        && !existing(admin, entity).await?.contains(name)
    {
        output::say(&format!("The {} '{name}' doesn't exist and doesn't have dynamic config.", entity.singular()));
        return Ok(());
    }
    let names = match &entity.name {
        Some(name) => vec![name.clone()],
        None => existing(admin, entity).await?,
    };
    let mut objects = Vec::new();
    for name in names {
        let own = match entity.kind {
            ResourceKind::Topic => ConfigSource::DynamicTopicConfig,
            ResourceKind::Broker if name.is_empty() => ConfigSource::DynamicDefaultBrokerConfig,
            ResourceKind::Broker => ConfigSource::DynamicBrokerConfig,
            ResourceKind::BrokerLogger => ConfigSource::DynamicBrokerLoggerConfig,
            ResourceKind::ClientMetrics => ConfigSource::DynamicClientMetricsConfig,
            ResourceKind::Group => ConfigSource::DynamicGroupConfig,
        };
        let mut entries = admin.describe_configs(entity.kind, &name).await.map_err(refused)?;
        entries.retain(|entry| all || entry.source == own);
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        if output::is_json() {
            objects.extend(entries.iter().map(|entry| object(entity, &name, entry)));
            continue;
        }
        if name.is_empty() {
            println!("Default configs for {} in the cluster are:", entity.type_name);
        } else {
            println!("{} configs for {} {name} are:", if all { "All" } else { "Dynamic" }, entity.singular());
        }
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
        for entry in entries {
            let synonyms: Vec<String> = entry
                .synonyms
                .iter()
                .map(|synonym| format!("{}:{}={}", synonym.source.name(), synonym.name, shown(&synonym.value)))
                .collect();
            println!("  {}={} sensitive={} synonyms={{{}}}", entry.name, shown(&entry.value), entry.sensitive, synonyms.join(", "));
        }
    }
    output::as_objects(|| objects);
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_hold_commas() {
        let added = parse_added("a=1, b=[x,y],c=").unwrap_or_default();
        let expected = [("a", "1"), ("b", "x,y"), ("c", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(added, expected);
        assert!(parse_added("a").is_err() && parse_added("a=b=c").is_err() && parse_added("a=1,,b=2").is_err());
    }
}
