//! Two answers side by side: ids put into names, times and addresses masked, arrays sorted where Apache's own order is
//! that of a hash table, then every field compared.

use crate::records;
use crate::side::Outcome;
use crate::slot::Learnt;
use crate::value::Value;

/// Fields that say where or when, not what.
const MASKED: &[&str] = &[
    "Port",
    "ClusterId",
    "LogDir",
    "TotalBytes",
    "UsableBytes",
    "LogAppendTimeMs",
    "TransactionStartTimeMs",
    "LastTimestamp",
    "Documentation",
    "LastFetchTimestamp",
    "LastCaughtUpTimestamp",
    "FinalizedFeaturesEpoch",
    "ReplicaDirectoryId",
];
/// Of the metadata log, whose contents are each broker's own affair.
const MASKED_QUORUM: &[&str] = &["HighWatermark", "LogEndOffset", "LeaderEpoch", "Listeners"];
/// Keys whose values name ports and folders: the two are started with other ones, and ours takes its port from the
/// command line, so that the source differs too.
const MASKED_CONFIGS: &[&str] =
    &["log.dirs", "log.dir", "listeners", "advertised.listeners", "controller.quorum.bootstrap.servers"];

/// Arrays that Apache collects in hash tables or as parts get ready; the others stand in the order of the request.
const UNORDERED: &[(i16, &[&str])] = &[
    (0, &["Responses", "PartitionResponses"]),
    (2, &["Topics", "Partitions"]),
    (3, &["Topics", "Partitions"]),
    (9, &["Topics", "Partitions"]),
    (11, &["Members"]),
    (15, &["Groups", "Members"]),
    (16, &["Groups"]),
    (18, &["SupportedFeatures", "FinalizedFeatures"]),
    (20, &["Responses"]),
    (21, &["Topics", "Partitions"]),
    (24, &["ResultsByTransaction", "TopicResults", "ResultsByTopicV3AndBelow", "ResultsByPartition"]),
    (32, &["Configs"]),
    (35, &["Topics", "Partitions"]),
    (37, &["Results"]),
    (42, &["Results"]),
    (43, &["ReplicaElectionResults", "PartitionResult"]),
    (61, &["ActiveProducers"]),
    (65, &["Topics", "Partitions"]),
    (66, &["TransactionStates"]),
    (74, &["ConfigResources"]),
];

/// Later than any time that the generator writes into records.
const BROKER_TIMES_FROM: i64 = 1_760_000_000_000;

/// An answer in a form that can be compared.
pub fn comparable(key: i16, outcome: &Outcome, learnt: &Learnt) -> Outcome {
    match outcome {
        Outcome::Answer(value) => Outcome::Answer(Normaliser { key, learnt }.value("", value)),
        other => other.clone(),
    }
}

struct Normaliser<'a> {
    key: i16,
    learnt: &'a Learnt,
}

impl Normaliser<'_> {
    fn value(&self, name: &str, value: &Value) -> Value {
        if MASKED.contains(&name) || (self.key == 55 && MASKED_QUORUM.contains(&name)) {
            return masked(value);
        }
        match value {
            Value::Bytes(bytes) if name == "Records" => records::described(bytes, self.learnt),
            // No records: null and empty are the same to a client.
            Value::Null if name == "Records" => records::described(&[], self.learnt),
            Value::Uuid(id) if *id != [0; 16] => {
                Value::Text(self.learnt.name_of(name, value).unwrap_or("<some id>").to_owned())
            }
            Value::Int(number) if is_id(name) && *number > 0 => {
                Value::Text(self.learnt.name_of(name, value).unwrap_or("<some id>").to_owned())
            }
            // The topics that stamp records themselves.
            Value::Int(time) if self.key == 2 && name == "Timestamp" && *time > BROKER_TIMES_FROM => masked(value),
            Value::Text(text) => Value::Text(self.text(name, text)),
            Value::Array(items) => self.array(name, items),
            Value::Struct(fields) => {
                let config = value.text_of("Name").filter(|_| matches!(self.key, 19 | 32)).unwrap_or_default();
                let field = |(name, field): &(&'static str, Value)| {
                    let is_address = MASKED_CONFIGS.contains(&config);
                    if is_address && matches!(*name, "Value" | "ConfigSource" | "Synonyms") {
                        return (*name, Value::Text("<address>".to_owned()));
                    }
                    (*name, self.value(name, field))
                };
                Value::Struct(fields.iter().map(field).collect())
            }
            other => other.clone(),
        }
    }

    fn array(&self, name: &str, items: &[Value]) -> Value {
        let mut items: Vec<Value> = items
            .iter()
            .filter(|item| match (self.key, name) {
                (18, "ApiKeys") => item.int_of("ApiKey").is_some_and(|key| crate::run::is_served(key as i16)),
                (18, _) => {
                    item.text_of("Name").is_some_and(|name| matches!(name, "metadata.version" | "transaction.version"))
                }
                _ => true,
            })
            .map(|item| self.value(name, item))
            .collect();
        if UNORDERED.iter().any(|(key, arrays)| *key == self.key && arrays.contains(&name)) {
            items.sort_by_cached_key(|item| format!("{item:?}"));
        }
        Value::Array(items)
    }

    fn text(&self, name: &str, text: &str) -> String {
        if let Some(known) = self.learnt.name_of(name, &Value::Text(text.to_owned())) {
            return known.to_owned();
        }
        if matches!(name, "MemberId" | "Leader") && text.len() > 36 {
            return "<some member>".to_owned();
        }
        without_times(&self.learnt.renamed(text))
    }
}

/// Messages about records out of time name the limits, which move with the clock.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.parse().is_ok_and(|time: i64| time > BROKER_TIMES_FROM);
    let words = text.split_inclusive(|letter: char| !letter.is_ascii_digit());
    let word = |word: &str| {
        let digits = word.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        if is_time(digits) { word.replace(digits, "<time>") } else { word.to_owned() }
    };
    words.map(word).collect()
}

fn is_id(name: &str) -> bool {
    matches!(name, "ProducerId" | "SessionId")
}

/// Null stays null, and a number that stands for none (-1) stays too: whether a field is there is part of the answer.
fn masked(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Int(none) if *none < 0 => value.clone(),
        Value::Array(items) if items.is_empty() => value.clone(),
        _ => Value::Text("<masked>".to_owned()),
    }
}

/// Every field in which the two differ, as `path: left | right`.
pub fn differences(left: &Outcome, right: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    match (left, right) {
        (Outcome::Answer(left), Outcome::Answer(right)) => walk("", left, right, &mut found),
        // No answer to compare: where Apache Kafka itself fails, the request is not to be sent.
        (Outcome::Garbled(_) | Outcome::TimedOut, right) => found.push(format!("{} | {}", short(left), short(right))),
        (left, right) if left != right => found.push(format!("{} | {}", short(left), short(right))),
        _ => {}
    }
    found
}

fn short(outcome: &Outcome) -> String {
    let text = format!("{outcome:?}");
    text.chars().take(600).collect()
}

fn walk(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Struct(a), Value::Struct(b)) => {
            for (name, value) in a {
                match b.iter().find(|(other, _)| other == name) {
                    Some((_, other)) => walk(&format!("{path}.{name}"), value, other, found),
                    None => found.push(format!("{path}.{name}: {value:?} | not there")),
                }
            }
            for (name, value) in b {
                if !a.iter().any(|(other, _)| other == name) {
                    found.push(format!("{path}.{name}: not there | {value:?}"));
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (value, other)) in a.iter().zip(b).enumerate() {
                walk(&format!("{path}[{index}]"), value, other, found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for value in a.iter().filter(|value| !b.contains(value)) {
                found.push(format!("{path}: {value:?} | not there"));
            }
            for value in b.iter().filter(|value| !a.contains(value)) {
                found.push(format!("{path}: not there | {value:?}"));
            }
        }
        (a, b) if a != b => found.push(format!("{path}: {a:?} | {b:?}")),
        _ => {}
    }
}
