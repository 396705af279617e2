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

/// Names under which the value of the broker key `name` may be set, itself first.
pub fn broker_synonyms(name: &str) -> Vec<&str> {
    match BROKER_SYNONYMS.iter().find(|names| names.contains(&name)) {
        Some(names) => names.iter().copied().skip_while(|other| *other != name).collect(),
        None => vec![name],
    }
}

/// Everything that a broker key could take its value from, the winner first.
pub fn broker(key: &'static Key, layers: Layers<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for name in broker_synonyms(key.name) {
        push_layers(&mut found, name, layers);
    }
    found.sort_by_key(|one| one.source as i8);
    found
}

/// Everything that a topic key could take its value from, the winner first.
pub fn topic(key: &'static Key, set: Option<&BTreeMap<String, String>>, layers: Layers<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    if let Some(value) = set.and_then(|set| set.get(key.name)) {
        found.push(Found {
            name: key.name.to_owned(),
            value: Some(value.clone()),
            source: Source::DynamicTopic,
        });
    }
    let mut from_broker = Vec::new();
    for synonym in key.synonyms {
        push_layers(&mut from_broker, synonym.name, layers);
    }
    from_broker.sort_by_key(|one| one.source as i8);
    found.append(&mut from_broker);
    found
}

/// The text that `topic` is worth: the winner's, in the topic key's unit.
pub fn topic_value(
    key: &'static Key,
    set: Option<&BTreeMap<String, String>>,
    layers: Layers<'_>,
) -> Option<String> {
    if let Some(value) = set.and_then(|set| set.get(key.name)) {
        return Some(value.clone());
    }
    // A synonym that nobody set loses to one that is set further down the list: log.retention.hours in a file
    // counts although log.retention.ms comes first.
    let places = [layers.broker, layers.cluster, Some(layers.file)];
    for place in places.into_iter().flatten() {
        for synonym in key.synonyms {
            if let Some(value) = place.get(synonym.name) {
                return Some(scale(value, synonym.factor));
            }
        }
    }
    key.default_value().map(str::to_owned)
}

fn scale(value: &str, factor: i64) -> String {
    match value.trim().parse::<i64>() {
        // -1 means no limit in any unit.
        Ok(number) if factor != 1 && number >= 0 => number.saturating_mul(factor).to_string(),
        _ => value.to_owned(),
    }
}

fn push_layers(found: &mut Vec<Found>, name: &str, layers: Layers<'_>) {
    let places = [
        (layers.broker, Source::DynamicBroker),
        (layers.cluster, Source::DynamicDefaultBroker),
        (Some(layers.file), Source::StaticBroker),
    ];
    for (place, source) in places {
        if let Some(value) = place.and_then(|place| place.get(name)) {
            found.push(Found { name: name.to_owned(), value: Some(value.clone()), source });
        }
    }
    if let Some(value) = find(BROKER_KEYS, name).and_then(|key| key.default_value()) {
        found.push(Found { name: name.to_owned(), value: Some(value.to_owned()), source: Source::Default });
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

    #[test]
    fn minus_one_is_no_limit_in_every_unit() {
        let retention = find(TOPIC_KEYS, "retention.ms").expect("a topic key");
        let file = map(&[("log.retention.hours", "-1")]);
        let layers = Layers { broker: None, cluster: None, file: &file };
        assert_eq!(topic_value(retention, None, layers).as_deref(), Some("-1"));
    }
}
