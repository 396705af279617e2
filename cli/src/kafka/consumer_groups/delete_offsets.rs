//! `--delete-offsets`: forget what a group committed for some topics (Java: `ConsumerGroupCommand.deleteOffsets`).

use std::collections::{BTreeMap, BTreeSet};

use client::TopicPartition;
use client::admin::Admin;
use client::error::ClientError;

use super::reset::partitions_of;
use super::{Failure, GROUP_ID_NOT_FOUND, NOTHING, PAGE, WIDTH};
use crate::kafka::options::Given;
use crate::kafka::{java_exception, output};

/// INVALID_GROUP_ID, GROUP_ID_NOT_FOUND, GROUP_AUTHORIZATION_FAILED, NON_EMPTY_GROUP
const OF_GROUP: [i16; 4] = [24, GROUP_ID_NOT_FOUND, 30, 68];
/// GROUP_SUBSCRIBED_TO_TOPIC, TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION
const OF_PARTITION: [i16; 3] = [86, 29, 3];

/// Deletes, and prints what became of each partition.
pub async fn delete_offsets(admin: &Admin, given: &Given) -> Result<(), Failure> {
    let group = given.one("group")?.unwrap_or_default();
    let mut rows: BTreeMap<TopicPartition, Option<ClientError>> = BTreeMap::new();
    let mut partitions = BTreeSet::new();
    for topic in given.all("topic") {
        if topic.contains(':') {
            partitions.extend(partitions_of(topic)?);
            continue;
        }
        match admin.describe_topics(&[topic.to_owned()], PAGE).await {
            Ok(described) => {
                let numbers = described.iter().flat_map(|topic| &topic.partitions);
                partitions.extend(numbers.map(|number| TopicPartition::new(topic, number.partition)));
            }
            Err(error) => {
                rows.insert(TopicPartition::new(topic, -1), Some(error));
            }
        }
    }
    let failed = match admin.delete_committed_offsets(group, &partitions).await {
        Ok(results) => {
            let failed = results.values().find_map(|result| result.as_ref().err().cloned());
            rows.extend(results.into_iter().map(|(at, result)| (at, result.err())));
            failed
        }
        Err(error) => {
            rows.extend(partitions.into_iter().map(|at| (at, Some(error.clone()))));
            Some(error)
        }
    };
    if output::is_json() {
        print_rows(&rows);
        return Ok(());
    }
    match failed.as_ref().map(|error| (error.code().map_or(-1, |code| code.code()), error)) {
        None => println!("Request succeeded for deleting offsets from group {group}."),
        Some((code, error)) if OF_GROUP.contains(&code) => println!("\nError: {}", error.message()),
        Some((code, _)) if OF_PARTITION.contains(&code) => {
            println!("\nError: Encountered some partition-level error, see the follow-up details.");
        }
        Some((_, error)) => println!("\nError: Encountered some unknown error: {}", java_exception::code_name(error)),
    }
    print_rows(&rows);
    Ok(())
}

fn print_rows(rows: &BTreeMap<TopicPartition, Option<ClientError>>) {
    let status = |error: &Option<ClientError>| {
        error
            .as_ref()
            .map_or_else(|| "Successful".to_owned(), |error| format!("Error: {}", java_exception::to_string(error)))
    };
    let row = |(at, error): (&TopicPartition, &Option<ClientError>)| {
        vec![at.topic.clone(), at.partition.to_string(), status(error)]
    };
    if output::as_json(&["TOPIC", "PARTITION", "STATUS"], &rows.iter().map(row).collect::<Vec<_>>()) {
        return;
    }
    let width = rows.keys().map(|at| at.topic.len()).max().unwrap_or(0).max(WIDTH);
    print!("\n{:<width$} {:<10} {:<15}", "TOPIC", "PARTITION", "STATUS");
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_key(|(at, _)| format!("{}{}", at.topic, at.partition));
    for (at, error) in rows {
        let partition = if at.partition >= 0 { at.partition.to_string() } else { NOTHING.to_owned() };
        print!("\n{:<width$} {partition:<10} {:<15}", at.topic, status(error));
    }
    println!();
}
