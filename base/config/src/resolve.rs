//! Which of several places a value comes from: topic > this broker > cluster default > file > default.
//!
//! One function for what the log obeys and for what DescribeConfigs shows, so that they cannot differ.

use std::collections::BTreeMap;

use crate::key::{Key, find};
use crate::table_broker::BROKER_KEYS;

/// Where a value comes from, with the number of DescribeConfigs (Java: `ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    /// Set on the topic.
    DynamicTopic = 1,
    /// Set on this broker while it ran.
    DynamicBroker = 2,
    /// Set as the default of all brokers while they ran.
    DynamicDefaultBroker = 3,
    /// In the file or on the command line.
    StaticBroker = 4,
    /// Kafka's default.
    Default = 5,
    /// Set on a client-metrics subscription.
    ClientMetrics = 7,
    /// Set on a group.
    Group = 8,
}

/// A value with the name under which and the place where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The key it was set under: the topic's or the broker's.
    pub name: String,
    /// The text; `None` for null.
    pub value: Option<String>,
    /// The place.
    pub source: Source,
}

/// What was set, place by place.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// On this broker, dynamically.
    pub broker: Option<&'a BTreeMap<String, String>>,
    /// As the cluster's default, dynamically.
    pub cluster: Option<&'a BTreeMap<String, String>>,
    /// In the file.
    pub file: &'a BTreeMap<String, String>,
}

/// Broker keys that stand for one another, the first one set wins (Java: `DynamicBrokerConfig.brokerConfigSynonyms`).
const BROKER_SYNONYMS: &[&[&str]] = &[
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
];

/// Names under which the value of the broker key `name` may be set (Java: `brokerConfigSynonyms`). A key that is
/// set for one listener falls back on the key for all of them.
pub fn broker_synonyms(name: &str) -> Vec<&str> {
    if name == "log.flush.scheduler.interval.ms" {
        return vec![name];
    }
    if let Some(names) = BROKER_SYNONYMS.iter().find(|names| names.contains(&name)) {
        return names.to_vec();
    }
    match listener_base(name) {
        Some(base) => vec![name, base],
        None => vec![name],
    }
}

/// `max.connections` of `listener.name.plaintext.max.connections`.
pub fn listener_base(name: &str) -> Option<&str> {
    let (_, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
    if base.is_empty() { None } else { Some(base) }
}

/// Everything that the broker key `name` could take its value from, the winner first (Java:
/// `ConfigHelper.configSynonyms`). What other names were given before its own is left out.
pub fn broker(name: &str, layers: Layers<'_>) -> Vec<Found> {
    let names = broker_synonyms(name);
    let mut found = Vec::new();
    let places = [
        (layers.broker, Source::DynamicBroker),
        (layers.cluster, Source::DynamicDefaultBroker),
        (Some(layers.file), Source::StaticBroker),
    ];
    for (place, source) in places {
        for name in &names {
            if let Some(value) = place.and_then(|place| place.get(*name)) {
                found.push(Found { name: (*name).to_owned(), value: Some(value.clone()), source });
            }
        }
    }
    for name in &names {
        if let Some(value) = find(BROKER_KEYS, name).and_then(|key| key.default_value()) {
            let value = Some(value.to_owned());
            found.push(Found { name: (*name).to_owned(), value, source: Source::Default });
        }
    }
    let own = found.iter().position(|one| one.name == name).unwrap_or(found.len());
    found.split_off(own)
}

/// Everything that a topic or group key could take its value from, the winner first; `set` is what the resource
/// itself says, and `source` where that stands.
pub fn resource(
    key: &'static Key,
    set: Option<&BTreeMap<String, String>>,
    source: Source,
    layers: Layers<'_>,
) -> Vec<Found> {
    let mut found = Vec::new();
    if let Some(value) = set.and_then(|set| set.get(key.name)) {
        found.push(Found { name: key.name.to_owned(), value: Some(value.clone()), source });
    }
    if let Some(synonym) = key.synonyms.first() {
        found.append(&mut broker(synonym.name, layers));
    }
    found
}

/// What a broker runs with, key by key, where anything is set: a dynamic value drops what lower places said under
/// any of its names (Java: `DynamicBrokerConfig.overrideProps`).
pub fn effective(layers: Layers<'_>) -> BTreeMap<String, String> {
    let mut values = layers.file.clone();
    for place in [layers.cluster, layers.broker].into_iter().flatten() {
        for (name, value) in place {
            if listener_base(name).is_none() {
                for synonym in broker_synonyms(name) {
                    values.remove(synonym);
                }
            }
            values.insert(name.clone(), value.clone());
        }
    }
    values
}

/// The text that a topic key is worth, in its own unit.
pub fn topic_value(key: &'static Key, set: Option<&BTreeMap<String, String>>, layers: Layers<'_>) -> Option<String> {
    winner(key, set, layers).0
}

/// The text that a topic key is worth and the place that says so (Java: `KafkaConfigSchema`).
pub fn winner(
    key: &'static Key,
    set: Option<&BTreeMap<String, String>>,
    layers: Layers<'_>,
) -> (Option<String>, Source) {
    if let Some(value) = set.and_then(|set| set.get(key.name)) {
        return (Some(value.clone()), Source::DynamicTopic);
    }
    // A synonym that nobody set loses to one that is set further down the list: log.retention.hours in a file
    // counts although log.retention.ms comes first.
    let places = [
        (layers.broker, Source::DynamicBroker),
        (layers.cluster, Source::DynamicDefaultBroker),
        (Some(layers.file), Source::StaticBroker),
    ];
    for (place, source) in places {
        for synonym in key.synonyms {
            if let Some(value) = place.and_then(|place| place.get(synonym.name)) {
                return (Some(scale(value, synonym.factor)), source);
            }
        }
    }
    (key.default_value().map(str::to_owned), Source::Default)
}

fn scale(value: &str, factor: i64) -> String {
    match value.trim().parse::<i64>() {
        // -1 means no limit in any unit.
        Ok(number) if factor != 1 && number >= 0 => number.saturating_mul(factor).to_string(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table_topic::TOPIC_KEYS;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_topic_key_follows_the_first_place_that_sets_it() {
        let retention = find(TOPIC_KEYS, "retention.ms").expect("a topic key");
        let (file, cluster) = (map(&[("log.retention.hours", "2")]), map(&[("log.retention.minutes", "3")]));
        let bare = Layers { broker: None, cluster: None, file: &file };
        assert_eq!(topic_value(retention, None, bare).as_deref(), Some("7200000"));
        let layers = Layers { cluster: Some(&cluster), ..bare };
        assert_eq!(topic_value(retention, None, layers).as_deref(), Some("180000"));
        let set = map(&[("retention.ms", "5")]);
        assert_eq!(topic_value(retention, Some(&set), layers).as_deref(), Some("5"));
        let empty = map(&[]);
        let nothing = Layers { broker: None, cluster: None, file: &empty };
        assert_eq!(topic_value(retention, None, nothing).as_deref(), Some("604800000"));
    }

    fn shown(found: &[Found]) -> Vec<String> {
        let one = |one: &Found| format!("{}={}@{:?}", one.name, one.value.as_deref().unwrap_or("null"), one.source);
        found.iter().map(one).collect()
    }

    /// Expected lines are those of Apache Kafka 4.3.1 with the same settings.
    #[test]
    fn synonyms_come_in_apaches_order() {
        let file = map(&[]);
        let cluster = map(&[("log.retention.ms", "200000")]);
        let own = map(&[("log.retention.ms", "100000"), ("listener.name.plaintext.max.connections", "100")]);
        let layers = Layers { broker: Some(&own), cluster: Some(&cluster), file: &file };
        let retention = find(TOPIC_KEYS, "retention.ms").expect("a topic key");
        let set = map(&[("retention.ms", "7")]);
        assert_eq!(
            shown(&resource(retention, Some(&set), Source::DynamicTopic, layers)),
            [
                "retention.ms=7@DynamicTopic",
                "log.retention.ms=100000@DynamicBroker",
                "log.retention.ms=200000@DynamicDefaultBroker",
                "log.retention.hours=168@Default",
            ]
        );
        assert_eq!(
            shown(&broker("listener.name.plaintext.max.connections", layers)),
            ["listener.name.plaintext.max.connections=100@DynamicBroker", "max.connections=2147483647@Default"]
        );
        let bare = Layers { broker: None, cluster: None, file: &file };
        assert!(broker("log.roll.ms", bare).is_empty());
        assert_eq!(shown(&broker("log.roll.hours", bare)), ["log.roll.hours=168@Default"]);
    }

    #[test]
    fn a_dynamic_value_drops_what_the_file_said_under_another_name() {
        let file = map(&[("log.retention.hours", "5"), ("num.io.threads", "4")]);
        let own = map(&[("log.retention.ms", "100")]);
        let values = effective(Layers { broker: Some(&own), cluster: None, file: &file });
        assert_eq!(values, map(&[("log.retention.ms", "100"), ("num.io.threads", "4")]));
    }

    #[test]
    fn minus_one_is_no_limit_in_every_unit() {
        let retention = find(TOPIC_KEYS, "retention.ms").expect("a topic key");
        let file = map(&[("log.retention.hours", "-1")]);
        let layers = Layers { broker: None, cluster: None, file: &file };
        assert_eq!(topic_value(retention, None, layers).as_deref(), Some("-1"));
    }
}
