//! kafka-leader-election: elects leaders of partitions anew (Java: `LeaderElectionCommand`).

use std::collections::{BTreeMap, BTreeSet};

use client::TopicPartition;
use client::admin::{Admin, ElectionType};
use client::error::ClientError;
use serde_json::{Value, json};

use crate::Ended;
use crate::kafka::java_order::sort_partitions_as_hash_map;
use crate::kafka::options::{Given, Options};
use crate::kafka::{admin, admin_with, block_on};
use crate::kafka::{java_exception, output};

const ABOUT: &str = "This tool attempts to elect a new leader for a set of topic partitions. The type of elections supported are preferred replicas and unclean replicas.";
/// Error code: the right one leads already.
const ELECTION_NOT_NEEDED: i16 = 84;

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-leader-election", ABOUT)
        .servers("host:port")
        .value("admin.config", "config file", "(Deprecated) As --command-config.")
        .admin_config("Config file")
        .value(
            "path-to-json-file",
            "Path to JSON file",
            "The partitions: {\"partitions\":[{\"topic\":\"foo\",\"partition\":1}]}.",
        )
        .value("topic", "topic name", "The topic of the partition.")
        .value("partition", "partition id", "The partition; REQUIRED with --topic.")
        .flag("all-topic-partitions", "Every partition that the election is for.")
        .value("election-type", "election type", "REQUIRED: preferred or unclean.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        let kind = checked(&given)?;
        let partitions = partitions(&given)?;
        let admin = if given.has("admin.config") {
            println!("Option --admin.config has been deprecated and will be removed in a future version. Use --command-config instead.");
            admin_with(&given, "admin.config")?
        } else {
            admin(&given)?
        };
        block_on(elect(&admin, kind, partitions))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn checked(given: &Given) -> Result<ElectionType, Ended> {
    let kind = match given.one("election-type")?.map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("preferred") => Some(ElectionType::Preferred),
        Some("unclean") => Some(ElectionType::Unclean),
        Some(other) => return Err(Ended::Failed(format!("Cannot parse argument '{other}' of option election-type"))),
    };
    let missing: Vec<&str> =
        ["bootstrap-server", "election-type"].into_iter().filter(|name| !given.has(name)).collect();
    let Some(kind) = kind.filter(|_| missing.is_empty()) else {
        return Err(Ended::Failed(format!("Missing required option(s): {}", missing.join(", "))));
    };
    given.excludes("admin.config", &["command-config"])?;
    let places = ["topic", "all-topic-partitions", "path-to-json-file"];
    if places.iter().filter(|name| given.has(name)).count() != 1 {
        return Err(Ended::Failed(format!(
            "One and only one of the following options is required: {}",
            places.join(", ")
        )));
    }
    match (given.has("topic"), given.has("partition")) {
        (true, false) => Err(Ended::Failed("Missing required option(s): partition".to_owned())),
        (false, true) => Err(Ended::Failed("Option partition is only allowed if topic is used".to_owned())),
        _ => Ok(kind),
    }
}

/// The partitions named, None for all.
fn partitions(given: &Given) -> Result<Option<BTreeSet<TopicPartition>>, Ended> {
    if let Some(path) = given.one("path-to-json-file")? {
        return read_file(path).map(Some);
    }
    match (given.one("topic")?, given.parsed("partition")?) {
        (Some(topic), Some(partition)) => Ok(Some(BTreeSet::from([TopicPartition::new(topic, partition)]))),
        _ => Ok(None),
    }
}

fn read_file(path: &str) -> Result<BTreeSet<TopicPartition>, Ended> {
    let failed = |line: String| Ended::Failed(line);
    let text = std::fs::read_to_string(path).map_err(|error| failed(format!("{path}: {error}")))?;
    let json: Value = serde_json::from_str(&text).map_err(|_| failed("Replica election data is empty".to_owned()))?;
    let rows = json
        .get("partitions")
        .ok_or_else(|| failed("Replica election data is missing \"partitions\" field".to_owned()))?;
    let mut places = BTreeSet::new();
    for row in rows.as_array().ok_or_else(|| failed("\"partitions\" is no list".to_owned()))? {
        let number = row.get("partition").and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
        let (Some(topic), Some(number)) = (row.get("topic").and_then(Value::as_str), number) else {
            return Err(failed(format!("{row} is no topic and partition")));
        };
        let place = TopicPartition::new(topic, number);
        if !places.insert(place.clone()) {
            return Err(failed(format!("Replica election data contains duplicate partitions: [{place}]")));
        }
    }
    Ok(places)
}

async fn elect(admin: &Admin, kind: ElectionType, partitions: Option<BTreeSet<TopicPartition>>) -> Result<(), Ended> {
    let name = match kind {
        ElectionType::Preferred => "PREFERRED",
        ElectionType::Unclean => "UNCLEAN",
    };
    let results = match admin.elect_leaders(kind, partitions.as_ref()).await {
        Ok(results) => results,
        Err(error @ ClientError::Timeout { .. }) => {
            println!("Timeout waiting for election results");
            return Err(Ended::Failed(error.to_string()));
        }
        Err(error) => return Err(Ended::Failed(java_exception::to_string(&error))),
    };
    report(name, results)
}

fn is_needless(error: &ClientError) -> bool {
    error.code().is_some_and(|code| code.code() == ELECTION_NOT_NEEDED)
}

fn report_objects(results: &BTreeMap<TopicPartition, Result<(), ClientError>>) -> Result<(), Ended> {
    let object = |(at, result): (&TopicPartition, &Result<(), ClientError>)| {
        let error = result.as_ref().err().filter(|error| !is_needless(error)).map(java_exception::to_string);
        json!({"topic": at.topic, "partition": at.partition, "elected": result.is_ok(), "error": error})
    };
    output::as_objects(|| results.iter().map(object).collect());
    let all = results.values().all(|result| result.as_ref().err().is_none_or(is_needless));
    if all { Ok(()) } else { Err(Ended::FailedAloud) }
}

fn report(name: &str, results: BTreeMap<TopicPartition, Result<(), ClientError>>) -> Result<(), Ended> {
    if output::is_json() {
        return report_objects(&results);
    }
    let (mut elected, mut led_already, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (place, result) in results {
        match result {
            Ok(()) => elected.push(place),
            Err(error) if is_needless(&error) => led_already.push(place),
            Err(error) => failed.push((place, error)),
        }
    }
    let list = |mut places: Vec<TopicPartition>| {
        sort_partitions_as_hash_map(&mut places, None, |place| place);
        places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    if !elected.is_empty() {
        println!("Successfully completed leader election ({name}) for partitions {}", list(elected));
    }
    if !led_already.is_empty() {
        println!("Valid replica already elected for partitions {}", list(led_already));
    }
    if failed.is_empty() {
        return Ok(());
    }
    sort_partitions_as_hash_map(&mut failed, None, |(place, _)| place);
    for (place, error) in &failed {
        println!(
            "Error completing leader election ({name}) for partition: {place}: {}",
            java_exception::to_string(error)
        );
    }
    Err(Ended::Failed(format!("{} replica(s) could not be elected", failed.len())))
}
