//! Which changes a running broker takes (Java: `DynamicBrokerConfig`, `DynamicConfig.Broker`), with Apache's
//! messages.
//!
//! Called by the handlers of AlterConfigs and IncrementalAlterConfigs before the controller is asked, and by the
//! broker on what the metadata says. Pure.
//!
//! Not done: listeners, their security protocols and metrics reporters do not change while the broker runs.

use std::collections::BTreeMap;

use crate::key::{Key, Kind, Update, find};
use crate::resolve::{Layers, effective, listener_base};
use crate::table_broker::BROKER_KEYS;
use crate::table_group::QUOTA_KEYS;
use crate::valid::check;

/// What is set for a resource.
pub type Set = BTreeMap<String, String>;

/// Which resource of type BROKER is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One broker, by its id.
    OneBroker,
    /// All of them by default, the resource without a name.
    ClusterDefault,
}

/// Keys that only change for one listener at a time (Java: `SslConfigs.RECONFIGURABLE_CONFIGS`).
const PER_LISTENER: [&str; 10] = [
    "ssl.keystore.type",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.key.password",
    "ssl.truststore.type",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.truststore.certificates",
];

/// Listener keys that the cluster's default may set too (Java: `CLUSTER_LEVEL_LISTENER_CONFIGS`).
const CLUSTER_LEVEL: [&str; 3] = ["max.connections", "max.connection.creation.rate", "num.network.threads"];

/// Thread pools that at most double or halve at a time (Java: `DynamicThreadPool`).
const THREADS: [&str; 5] = [
    "num.io.threads",
    "num.network.threads",
    "num.replica.fetchers",
    "num.recovery.threads.per.data.dir",
    "background.threads",
];

/// The row of a broker key that may be set dynamically: one of the tables', or for a listener's key the row of the
/// key for all listeners.
pub fn row(name: &str) -> Option<&'static Key> {
    let name = listener_base(name).unwrap_or(name);
    find(BROKER_KEYS, name).or_else(|| find(QUOTA_KEYS, name))
}

/// Whether the resource type BROKER shows `name` as read-only.
pub fn is_read_only(name: &str) -> bool {
    find(BROKER_KEYS, name).map_or_else(|| find(QUOTA_KEYS, name).is_none(), |key| key.update == Update::ReadOnly)
}

fn is_dynamic(name: &str) -> bool {
    row(name).is_some_and(|key| key.update != Update::ReadOnly)
}

/// What of `set` counts; the rest is ignored as if it were not there (Java: `fromPersistentProps`).
pub fn usable(set: &Set, scope: Scope) -> Set {
    let counts = |name: &str, value: &str| {
        let typed = match row(name) {
            Some(key) if is_dynamic(name) => check(key, value).is_ok(),
            _ => true,
        };
        typed
            && !is_static(name)
            && !PER_LISTENER.contains(&name)
            && (scope == Scope::OneBroker || !is_per_broker(name))
    };
    set.iter().filter(|(name, value)| counts(name, value)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_static(name: &str) -> bool {
    find(BROKER_KEYS, name).is_some_and(|key| key.update == Update::ReadOnly)
}

fn is_per_broker(name: &str) -> bool {
    match listener_base(name) {
        Some(base) => !CLUSTER_LEVEL.contains(&base),
        None => find(BROKER_KEYS, name).is_some_and(|key| key.update == Update::PerBroker),
    }
}

/// Checks `set` as the whole dynamic configuration of a broker or of all by default, on a broker that runs with
/// `layers`. The error is Apache's message.
///
/// # Errors
/// When a key may not change, a value is not legal, or the broker could not run with the result.
pub fn validate(set: &Set, scope: Scope, layers: Layers<'_>) -> Result<(), String> {
    refuse_any(set, is_static, "Cannot update these configs dynamically")?;
    refuse_any(
        set,
        |name| PER_LISTENER.contains(&name),
        "These security configs can be dynamically updated only per-listener using the listener prefix",
    )?;
    for (name, value) in set {
        if let Some(key) = row(name).filter(|_| is_dynamic(name)) {
            check(key, value)?;
        }
    }
    if scope == Scope::ClusterDefault {
        refuse_any(
            set,
            is_per_broker,
            "Cannot update these configs at default cluster level, broker id must be specified",
        )?;
    }
    let before = effective(layers);
    let after = match scope {
        Scope::OneBroker => effective(Layers { broker: Some(set), ..layers }),
        Scope::ClusterDefault => effective(Layers { cluster: Some(set), ..layers }),
    };
    consistent(&after)?;
    reconfigurable(&before, &after).map_err(|reason| {
        format!(
            "Invalid value org.apache.kafka.common.config.ConfigException: {reason} for configuration Invalid dynamic \
             configuration"
        )
    })
}

fn refuse_any(set: &Set, refused: impl Fn(&str) -> bool, message: &str) -> Result<(), String> {
    let names: Vec<&str> = set.keys().map(String::as_str).filter(|name| refused(name)).collect();
    if names.is_empty() { Ok(()) } else { Err(format!("{message}: [{}]", names.join(", "))) }
}

/// Rules between keys (Java: `KafkaConfig.validateValues`) of which one is dynamic.
fn consistent(values: &Set) -> Result<(), String> {
    let text = |name| value_of(values, name).unwrap_or_default();
    if number(values, "max.connections.per.ip") == 0 && text("max.connections.per.ip.overrides").is_empty() {
        return Err("requirement failed: max.connections.per.ip can be set to zero only if \
                    max.connections.per.ip.overrides property is set."
            .to_owned());
    }
    for item in text("max.connections.per.ip.overrides").split(',').map(str::trim).filter(|item| !item.is_empty()) {
        // What Java's substring and parseInt say of it.
        let reason = match item.rsplit_once(':') {
            None => format!("begin 0, end -1, length {}", item.len()),
            Some((_, count)) if count.parse::<i32>().is_err() => format!("For input string: \"{count}\""),
            Some(_) => continue,
        };
        let name = "max.connections.per.ip.overrides";
        return Err(format!("Error parsing configuration property '{name}': {reason}"));
    }
    let threads = number(values, "log.cleaner.threads");
    if threads < 1 {
        return Err("/ by zero".to_owned());
    }
    if number(values, "log.cleaner.dedupe.buffer.size") / threads <= 1024 * 1024 {
        return Err(
            "requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.".to_owned()
        );
    }
    let dirs = text("log.dirs");
    let dirs = if dirs.is_empty() { text("log.dir") } else { dirs };
    let known: Vec<&str> = dirs.split(',').map(str::trim).collect();
    let cordoned = text("cordoned.log.dirs");
    let missing: Vec<&str> = cordoned
        .split(',')
        .map(str::trim)
        .filter(|dir| !dir.is_empty() && *dir != "*" && !known.contains(dir))
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "requirement failed: All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing \
             entries : {}",
            missing.join(", ")
        ));
    }
    Ok(())
}

/// What the parts of a broker refuse to become (Java: `BrokerReconfigurable.validateReconfiguration`).
fn reconfigurable(before: &Set, after: &Set) -> Result<(), String> {
    for name in THREADS {
        let (old, new) = (number(before, name), number(after, name));
        if new == old {
            continue;
        }
        let failed = format!("Dynamic thread count update validation failed for {name}={new}");
        if new <= 0 {
            return Err(format!("{failed}, value should be at least 1"));
        }
        if new < old / 2 {
            return Err(format!("{failed}, value should be at least half the current value {old}"));
        }
        if new > old * 2 {
            return Err(format!("{failed}, value should not be greater than double the current value {old}"));
        }
    }
    let (old, new) = (number(before, "log.cleaner.threads"), number(after, "log.cleaner.threads"));
    if new < old / 2 {
        return Err(format!("Log cleaner threads cannot be reduced to less than half the current value {old}"));
    }
    if new > old * 2 {
        return Err(format!("Log cleaner threads cannot be increased to more than double the current value {old}"));
    }
    if value_of(before, "metric.reporters") != value_of(after, "metric.reporters") {
        return Err("Validation of dynamic config update of Set(metric.reporters) failed with class class \
                    kafka.server.DynamicMetricsReporters"
            .to_owned());
    }
    for name in ["listeners", "listener.security.protocol.map"] {
        if value_of(before, name) != value_of(after, name) {
            return Err(format!("{name} cannot be changed while the broker runs, restart broker for update"));
        }
    }
    Ok(())
}

fn value_of(values: &Set, name: &str) -> Option<String> {
    let default = || find(BROKER_KEYS, name).and_then(|key| key.default_value()).map(str::to_owned);
    values.get(name).map(|value| value.trim().to_owned()).or_else(default)
}

fn number(values: &Set, name: &str) -> i64 {
    debug_assert!(find(BROKER_KEYS, name).is_some_and(|key| matches!(key.kind, Kind::Int | Kind::Long)), "{name}");
    value_of(values, name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Set {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn answer(scope: Scope, key: &str, value: &str) -> String {
        let file = map(&[("log.dirs", "/a"), ("listeners", "PLAINTEXT://:9092")]);
        let layers = Layers { broker: None, cluster: None, file: &file };
        match validate(&map(&[(key, value)]), scope, layers) {
            Ok(()) => "OK".to_owned(),
            Err(message) => message,
        }
    }

    /// Each line was answered by Apache Kafka 4.3.1 to the same change.
    #[test]
    fn answers_are_apaches() {
        let one = |key, value| answer(Scope::OneBroker, key, value);
        let all = |key, value| answer(Scope::ClusterDefault, key, value);
        assert_eq!(one("log.retention.hours", "5"), "Cannot update these configs dynamically: [log.retention.hours]");
        assert_eq!(one("my.own.key", "5"), "OK");
        assert_eq!(one("log.retention.ms", "100000"), "OK");
        assert_eq!(all("log.retention.ms", "200000"), "OK");
        assert_eq!(
            one("log.retention.ms", "x"),
            "Invalid value x for configuration log.retention.ms: Not a number of type LONG"
        );
        assert_eq!(one("log.cleaner.threads", "2"), "OK");
        assert_eq!(one("log.cleaner.threads", "0"), "/ by zero");
        assert_eq!(
            all("log.cleaner.threads", "5"),
            "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads cannot be increased to \
             more than double the current value 1 for configuration Invalid dynamic configuration"
        );
        assert_eq!(
            one("num.io.threads", "100"),
            "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation \
             failed for num.io.threads=100, value should not be greater than double the current value 8 for \
             configuration Invalid dynamic configuration"
        );
        assert_eq!(
            all("listeners", "PLAINTEXT://:1"),
            "Cannot update these configs at default cluster level, broker id must be specified: [listeners]"
        );
        assert_eq!(
            one("ssl.keystore.location", "x"),
            "These security configs can be dynamically updated only per-listener using the listener prefix: \
             [ssl.keystore.location]"
        );
        assert_eq!(
            all("listener.name.plaintext.ssl.keystore.location", "x"),
            "Cannot update these configs at default cluster level, broker id must be specified: \
             [listener.name.plaintext.ssl.keystore.location]"
        );
        assert_eq!(one("listener.name.plaintext.max.connections", "100"), "OK");
        assert_eq!(
            one("leader.replication.throttled.rate", "-5"),
            "Invalid value -5 for configuration leader.replication.throttled.rate: Value must be at least 0"
        );
        assert_eq!(
            one("max.connections.per.ip.overrides", "foo"),
            "Error parsing configuration property 'max.connections.per.ip.overrides': begin 0, end -1, length 3"
        );
        assert_eq!(
            one("log.cleaner.dedupe.buffer.size", "1"),
            "requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."
        );
        assert_eq!(
            one("cordoned.log.dirs", "/nope"),
            "requirement failed: All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing \
             entries : /nope"
        );
    }

    #[test]
    fn what_does_not_count_is_left_out() {
        let set = map(&[("num.partitions", "3"), ("log.retention.ms", "x"), ("max.connections", "5"), ("own", "1")]);
        assert_eq!(usable(&set, Scope::OneBroker), map(&[("max.connections", "5"), ("own", "1")]));
        let set = map(&[("listeners", "PLAINTEXT://:1"), ("max.connections", "5")]);
        assert_eq!(usable(&set, Scope::ClusterDefault), map(&[("max.connections", "5")]));
    }
}
