//! kafka-configs: describe and alter the configs of topics, brokers, groups and client metrics, and the quotas and
//! passwords of users, clients and addresses (Java: `ConfigCommand`).

// Configs of topics, brokers, groups and client metrics.
mod resources;
// Quotas and passwords.
mod quotas;

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;

use client::admin::ResourceKind;
use client::error::ClientError;

use crate::Ended;
use crate::kafka::options::{Given, Options};
use crate::kafka::{admin, block_on, java_exception};

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
const DEFAULTS: [(&str, &str); 4] = [
    ("client-defaults", "clients"),
    ("user-defaults", "users"),
    ("broker-defaults", "brokers"),
    ("ip-defaults", "ips"),
];
/// Types that have a default entity besides those with names.
const WITH_DEFAULT: [&str; 4] = ["users", "clients", "brokers", "ips"];

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
        .counted_flag("entity-default", "Every entity of the type (clients, users, brokers, ips).")
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
        let asked = Asked::read(&given)?;
        asked.check(&given)?;
        let admin = admin(&given)?;
        let changes = if given.has("alter") { Some(changes(&given)?) } else { None };
        let Some(kind) = asked.resource() else {
            return block_on(quotas::run(&admin, &asked, changes.as_deref()));
        };
        let entity =
            resources::Entity { kind, type_name: asked.types[0].clone(), name: asked.names.into_iter().next() };
        match changes {
            Some(changes) => block_on(resources::alter(&admin, &entity, &changes)),
            None => block_on(resources::describe(&admin, &entity, given.has("all"))),
        }
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

/// A config to set, or with None to take back.
type Change = (String, Option<String>);

/// What is described or altered: types in the plural, and the name of each, empty for what holds for all.
struct Asked {
    types: Vec<String>,
    names: Vec<String>,
}

fn fail<T>(line: String) -> Result<T, Ended> {
    Err(Ended::Failed(line))
}

impl Asked {
    /// What the flags name; those of one entity stand behind those with a type, defaults last.
    fn read(given: &Given) -> Result<Asked, Ended> {
        let chosen = |flags: &'static [(&str, &str)]| flags.iter().filter(|(flag, _)| given.has(flag));
        let mut types: Vec<String> = given.all("entity-type").into_iter().map(str::to_owned).collect();
        types.extend(chosen(&NAMED).chain(chosen(&DEFAULTS)).map(|(_, kind)| (*kind).to_owned()));
        // Names and defaults belong to the types in the order in which they stand on the line.
        let mut named: Vec<(usize, &str)> =
            given.places("entity-name").into_iter().zip(given.all("entity-name")).collect();
        named.extend(given.places("entity-default").into_iter().map(|place| (place, "")));
        named.sort_by_key(|(place, _)| *place);
        let mut names: Vec<String> = named.into_iter().map(|(_, name)| name.to_owned()).collect();
        for (flag, _) in NAMED {
            names.extend(given.one(flag)?.map(str::to_owned));
        }
        names.extend(chosen(&DEFAULTS).map(|_| String::new()));
        Ok(Asked { types, names })
    }

    /// The combinations that `ConfigCommandOptions.checkArgs` refuses.
    fn check(&self, given: &Given) -> Result<(), Ended> {
        if given.has("alter") == given.has("describe") {
            return given.misuse("Command must include exactly one action: --describe, --alter".to_owned());
        }
        given.excludes("describe", &["add-config", "delete-config"])?;
        let types = &self.types;
        let twice: Vec<&str> = types
            .iter()
            .enumerate()
            .filter(|(at, kind)| types[..*at].contains(kind))
            .map(|(_, kind)| kind.as_str())
            .collect();
        if !twice.is_empty() {
            return fail(format!("Duplicate entity type(s) specified: {}", twice.join(",")));
        }
        let (server, controller) = (given.has("bootstrap-server"), given.has("bootstrap-controller"));
        if !server && !controller {
            return fail("Either --bootstrap-server or --bootstrap-controller must be specified.".to_owned());
        }
        if let Some(wrong) = types.iter().find(|kind| !TYPES.contains(&kind.as_str())) {
            return fail(format!(
                "Invalid entity type {wrong}, the entity type must be one of {} with a --bootstrap-server or --bootstrap-controller argument",
                TYPES.join(", ")
            ));
        }
        if types.is_empty() {
            return fail("At least one entity type must be specified".to_owned());
        }
        if types.len() > 1 && types.iter().any(|kind| kind != "users" && kind != "clients") {
            return fail("Only 'users' and 'clients' entity types may be specified together".to_owned());
        }
        let by_type = ["entity-type", "entity-name", "entity-default"].iter().any(|flag| given.has(flag));
        if by_type && NAMED.iter().chain(&DEFAULTS).any(|(flag, _)| given.has(flag)) {
            return fail(
                "--entity-{type,name,default} should not be used in conjunction with specific entity flags".to_owned(),
            );
        }
        if server && controller {
            return fail("Only one of --bootstrap-server or --bootstrap-controller can be specified".to_owned());
        }
        self.check_names(given)?;
        if given.has("describe") { self.check_described(given) } else { self.check_altered(given) }
    }

    fn check_names(&self, given: &Given) -> Result<(), Ended> {
        if self.types[0] == "ips" || self.types[0].starts_with("broker") {
            given.one("entity-name")?;
        }
        for (kind, name) in self.types.iter().zip(&self.names).filter(|(_, name)| !name.is_empty()) {
            if kind.starts_with("broker") && name.parse::<i32>().is_err() {
                return fail(format!(
                    "The entity name for {kind} must be a valid integer broker id, but it is: {name}"
                ));
            }
            if kind == "ips" && (name.as_str(), 0).to_socket_addrs().is_err() {
                return fail(format!(
                    "The entity name for {kind} must be a valid IP or resolvable host, but it is: {name}"
                ));
            }
        }
        Ok(())
    }

    fn has_default(&self) -> bool {
        self.types.iter().any(|kind| WITH_DEFAULT.contains(&kind.as_str()))
    }

    fn has_name(&self) -> bool {
        self.names.iter().any(|name| !name.is_empty())
    }

    fn check_described(&self, given: &Given) -> Result<(), Ended> {
        if given.has("entity-default") && !self.has_default() {
            return fail(format!("--entity-default must not be specified with --describe of {}", self.types.join(",")));
        }
        if self.types[0] == "broker-loggers" && !self.has_name() {
            return fail(format!("An entity name must be specified with --describe of {}", self.types.join(",")));
        }
        if self.names.len() > self.types.len() {
            return fail("More entity names specified than entity types".to_owned());
        }
        Ok(())
    }

    fn check_altered(&self, given: &Given) -> Result<(), Ended> {
        if self.has_default() && self.names.is_empty() {
            return fail(
                "An entity-name or default entity must be specified with --alter of users, clients, brokers or ips"
                    .to_owned(),
            );
        }
        if !self.has_default() && !self.has_name() {
            return fail(format!("An entity name must be specified with --alter of {}", self.types.join(",")));
        }
        if given.has("add-config") && given.has("add-config-file") {
            return fail("Only one of --add-config or --add-config-file must be specified".to_owned());
        }
        if !["add-config", "add-config-file", "delete-config"].iter().any(|flag| given.has(flag)) {
            return fail(
                "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter"
                    .to_owned(),
            );
        }
        if self.types.len() != self.names.len() {
            return fail("An entity name must be specified for every entity type".to_owned());
        }
        Ok(())
    }

    /// The kind of resource that has configs; None for users, clients and addresses, which have quotas.
    fn resource(&self) -> Option<ResourceKind> {
        match self.types[0].as_str() {
            "topics" => Some(ResourceKind::Topic),
            "brokers" => Some(ResourceKind::Broker),
            "broker-loggers" => Some(ResourceKind::BrokerLogger),
            "groups" => Some(ResourceKind::Group),
            "client-metrics" => Some(ResourceKind::ClientMetrics),
            _quotas => None,
        }
    }
}

/// Without the letter of the plural.
fn singular(kind: &str) -> &str {
    &kind[..kind.len() - 1]
}

/// Tells that it is done, as Apache's tool does.
fn say_updated(kind: &str, name: &str) {
    if name.is_empty() {
        println!("Completed updating default config for {kind} in the cluster.");
    } else {
        println!("Completed updating config for {} {name}.", singular(kind));
    }
}

/// What `--delete-config` takes back, then what `--add-config` sets.
fn changes(given: &Given) -> Result<Vec<Change>, Ended> {
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
    let pair = |part: &&str| {
        match split(part, '=').as_slice() {
        [key, value] => Ok((key.trim().to_owned(), value.replace(['[', ']'], "").trim().to_owned())),
        _ => fail(
            "Invalid entity config: all configs to be added must be in the format \"key=val\" or  \"key=[val1,val2]\" to group \
             values which contain commas."
                .to_owned(),
        ),
    }
    };
    parts.iter().map(pair).collect()
}

/// As Java prints an exception that nobody caught.
fn refused(error: ClientError) -> Ended {
    Ended::Failed(format!("Error while executing config command: {}", java_exception::to_string(&error)))
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
