//! kafka-log-dirs: what is in the log folders of brokers, as JSON (Java: `LogDirsCommand`).

use std::collections::BTreeSet;

use client::admin::{Admin, Fenced, LogDirDescription};
use client::error::ClientError;

use crate::Ended;
use crate::kafka::java_order::{sort_as_hash_map, sort_partitions_as_hash_map};
use crate::kafka::options::{Given, Options};
use crate::kafka::{admin, block_on, java_exception, output};

const ABOUT: &str = "This tool helps to query log directory usage on the specified brokers.";

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-log-dirs", ABOUT)
        .servers("The server(s) to use for bootstrapping")
        .admin_config("Admin client property file")
        .flag("describe", "Describe log folders.")
        .value("topic-list", "Topic list", "Only these topics, with commas between; all without it.")
        .value("broker-list", "Broker list", "Only these brokers, with commas between; all without it.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        given.required(&["bootstrap-server", "describe"])?;
        block_on(describe(&admin(&given)?, &given))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn joined(ids: &BTreeSet<i32>) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

async fn describe(admin: &Admin, given: &Given) -> Result<(), Ended> {
    let failed = |error: ClientError| Ended::Failed(error.to_string());
    let list = |flag: &str| {
        Ok::<_, Ended>(
            given
                .one(flag)?
                .unwrap_or_default()
                .split(',')
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect::<BTreeSet<_>>(),
        )
    };
    let topics = list("topic-list")?;
    let number = |word: String| word.parse::<i32>().map_err(|_| Ended::Failed(format!("For input string: \"{word}\"")));
    let asked = list("broker-list")?.into_iter().map(number).collect::<Result<BTreeSet<i32>, _>>()?;
    let nodes = admin.describe_cluster(Fenced::LeftOut).await.map_err(failed)?.nodes;
    let there: BTreeSet<i32> = nodes.iter().map(|node| node.id).collect();
    let missing: BTreeSet<i32> = asked.difference(&there).copied().collect();
    if !missing.is_empty() {
        return Err(Ended::Failed(format!(
            "ERROR: The given brokers do not exist from --broker-list: {}. Current existent brokers: {}",
            joined(&missing),
            joined(&there)
        )));
    }
    let brokers = if asked.is_empty() { there } else { asked };
    output::say("Querying brokers for log directories information");
    let mut described = Vec::with_capacity(brokers.len());
    for broker in &brokers {
        let mut folders = admin.describe_log_dirs(*broker).await.map_err(failed)?;
        sort_as_hash_map(&mut folders, None, |folder| &folder.path);
        let folders: Vec<String> = folders.iter().map(|folder| folder_json(folder, &topics)).collect();
        described.push(object(vec![("broker", broker.to_string()), ("logDirs", format!("[{}]", folders.join(",")))]));
    }
    output::say(&format!("Received log directory information from brokers {}", joined(&brokers)));
    println!("{}", object(vec![("version", "1".to_owned()), ("brokers", format!("[{}]", described.join(",")))]));
    Ok(())
}

/// Fields in the order of the hash map that Apache's tool writes.
fn object(mut fields: Vec<(&str, String)>) -> String {
    sort_as_hash_map(&mut fields, None, |(name, _)| name);
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn folder_json(folder: &LogDirDescription, topics: &BTreeSet<String>) -> String {
    let mut rows: Vec<_> =
        folder.replicas.iter().filter(|(at, _)| topics.is_empty() || topics.contains(&at.topic)).collect();
    sort_partitions_as_hash_map(&mut rows, None, |(at, _)| at);
    let partition = |(at, replica): &(&client::TopicPartition, &client::admin::ReplicaInfo)| {
        object(vec![
            ("partition", quoted(&at.to_string())),
            ("size", replica.size.to_string()),
            ("offsetLag", replica.offset_lag.to_string()),
            ("isFuture", replica.is_future.to_string()),
        ])
    };
    let rows: Vec<String> = rows.iter().map(partition).collect();
    let class = |error: &ClientError| quoted(java_exception::to_string(error).split(':').next().unwrap_or_default());
    object(vec![
        ("logDir", quoted(&folder.path)),
        ("error", folder.error.as_ref().map_or_else(|| "null".to_owned(), class)),
        ("partitions", format!("[{}]", rows.join(","))),
    ])
}
