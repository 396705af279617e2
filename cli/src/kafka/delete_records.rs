//! kafka-delete-records: delete records before an offset (Java: `DeleteRecordsCommand`).

use std::collections::BTreeMap;

use client::TopicPartition;
use client::admin::Admin;
use client::error::ClientError;
use serde::Deserialize;
use serde_json::json;

use crate::Ended;
use crate::kafka::java_order::sort_partitions_as_hash_map;
use crate::kafka::options::Options;
use crate::kafka::{admin, block_on, java_exception, output};

const ABOUT: &str = "This tool helps to delete records of the given partitions down to the specified offset.";

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-delete-records", ABOUT)
        .servers("server(s) to use for bootstrapping")
        .value(
            "offset-json-file",
            "Offset json file path",
            "REQUIRED: what to delete: {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1, \"offset\": 1}], \"version\": 1}",
        )
        .admin_config("command config property file path")
}

/// The file; its version is 1 when it names none.
#[derive(Deserialize)]
struct Plan {
    version: Option<i32>,
    partitions: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    topic: String,
    partition: i32,
    offset: i64,
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        given.required(&["bootstrap-server", "offset-json-file"])?;
        let path = given.one("offset-json-file")?.unwrap_or_default();
        let text = std::fs::read_to_string(path).map_err(|error| Ended::Failed(format!("{path}: {error}")))?;
        let plan = read(&text).map_err(Ended::Failed)?;
        block_on(delete(&admin(&given)?, &plan))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn read(text: &str) -> Result<BTreeMap<TopicPartition, i64>, String> {
    let plan: Plan =
        serde_json::from_str(text).map_err(|error| format!("The input string is not a valid JSON: {error}"))?;
    if let Some(version) = plan.version.filter(|version| *version != 1) {
        return Err(format!("Not supported version field value {version}"));
    }
    let mut before = BTreeMap::new();
    let mut twice = Vec::new();
    for Entry { topic, partition, offset } in plan.partitions.ok_or("Missing partitions field")? {
        let at = TopicPartition::new(&topic, partition);
        if before.insert(at.clone(), offset).is_some() {
            twice.push(at.to_string());
        }
    }
    if twice.is_empty() {
        Ok(before)
    } else {
        Err(format!("Offset json file contains duplicate topic partitions: {}", twice.join(",")))
    }
}

async fn delete(admin: &Admin, before: &BTreeMap<TopicPartition, i64>) -> Result<(), Ended> {
    output::say("Executing records delete operation");
    let results = match admin.delete_records(before).await {
        Ok(results) => results,
        // Apache's tool tells it of each partition, and ends well.
        Err(error) => before.keys().map(|at| (at.clone(), Err(error.clone()))).collect(),
    };
    output::say("Records delete operation completed:");
    let mut rows: Vec<_> = results.into_iter().collect();
    sort_partitions_as_hash_map(&mut rows, None, |(at, _)| at);
    let object = |(at, result): &(TopicPartition, Result<i64, ClientError>)| {
        let (low, error) = (result.as_ref().ok(), result.as_ref().err().map(java_exception::to_string));
        json!({"topic": at.topic, "partition": at.partition, "low_watermark": low, "error": error})
    };
    if output::as_objects(|| rows.iter().map(object).collect()) {
        return Ok(());
    }
    for (at, result) in rows {
        match result {
            Ok(low) => println!("partition: {at}\tlow_watermark: {low}"),
            Err(error) => println!("partition: {at}\terror: {}", java_exception::to_string(&error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_each_partition_once() {
        let entry = r#"{"topic":"t","partition":0,"offset":5}"#;
        let plan = read(&format!("{{\"partitions\":[{entry}]}}")).unwrap();
        assert_eq!(plan[&TopicPartition::new("t", 0)], 5);
        assert!(read(&format!("{{\"partitions\":[{entry},{entry}]}}")).unwrap_err().ends_with(": t-0"));
        assert!(read("{\"version\":1}").unwrap_err().contains("Missing partitions"));
        assert!(read("{\"version\":2}").unwrap_err().contains("version field value 2"));
        assert!(read("[").is_err());
    }
}
