//! The JSON files of kafka-reassign-partitions, read and written as Apache's tool does.

use std::collections::{BTreeMap, BTreeSet};

use client::TopicPartition;
use serde::Deserialize;
use serde_json::Value;

/// A partition on a broker.
pub type Replica = (TopicPartition, i32);

/// Stands for a log folder of the broker's choice.
const ANY: &str = "any";

/// A reassignment as the file has it.
#[derive(Debug)]
pub struct Plan {
    /// Partitions and the brokers they go to, as they stand in the file.
    pub partitions: Vec<(TopicPartition, Vec<i32>)>,
    /// Log folders that are named.
    pub folders: BTreeMap<Replica, String>,
}

#[derive(Deserialize)]
struct Row {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
    log_dirs: Option<Vec<String>>,
}

fn rows(text: &str, field: &str) -> Result<Vec<Value>, String> {
    let json: Value =
        serde_json::from_str(text).map_err(|error| format!("The input string is not a valid JSON: {error}"))?;
    match json.get("version").map_or(Some(1), Value::as_i64) {
        Some(1) => {}
        Some(other) => return Err(format!("Not supported version field value {other}")),
        None => return Err("the version is no number".to_owned()),
    }
    match json.get(field) {
        None => Ok(Vec::new()),
        Some(Value::Array(rows)) => Ok(rows.clone()),
        Some(_) => Err(format!("\"{field}\" is no list")),
    }
}

/// Numbers as Java's lists print them inside: `1,2`.
pub fn ids(brokers: &[i32]) -> String {
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Plan {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut plan = Plan { partitions: Vec::new(), folders: BTreeMap::new() };
        for row in rows(text, "partitions")? {
            let row: Row = serde_json::from_value(row).map_err(|error| error.to_string())?;
            let at = TopicPartition::new(&row.topic, row.partition);
            if let Some(folders) = &row.log_dirs {
                if folders.len() != row.replicas.len() {
                    return Err(format!(
                        "Size of replicas list {:?} is different from size of log dirs list [{}] for partition {at}",
                        row.replicas,
                        folders.join(", ")
                    ));
                }
                let named = row.replicas.iter().zip(folders).filter(|(_, folder)| *folder != ANY);
                plan.folders.extend(named.map(|(broker, folder)| ((at.clone(), *broker), folder.clone())));
            }
            plan.partitions.push((at, row.replicas));
        }
        Ok(plan)
    }

    /// What is to be executed.
    pub fn targets(&self) -> Result<BTreeMap<TopicPartition, Vec<i32>>, String> {
        if self.partitions.is_empty() {
            return Err("Partition reassignment list cannot be empty".to_owned());
        }
        let mut targets = BTreeMap::new();
        let (mut twice, mut repeated) = (BTreeSet::new(), Vec::new());
        for (at, brokers) in &self.partitions {
            if brokers.is_empty() {
                return Err("Partition replica list cannot be empty".to_owned());
            }
            let own = duplicates(brokers);
            if !own.is_empty() {
                repeated.push(format!("{at} contains multiple entries for {}", ids(&own)));
            }
            if targets.insert(at.clone(), brokers.clone()).is_some() {
                twice.insert(at.to_string());
            }
        }
        if !twice.is_empty() {
            let names: Vec<String> = twice.into_iter().collect();
            return Err(format!("Partition reassignment contains duplicate topic partitions: {}", names.join(",")));
        }
        if !repeated.is_empty() {
            return Err(format!("Partition replica lists may not contain duplicate entries: {}", repeated.join(". ")));
        }
        Ok(targets)
    }
}

fn duplicates<T: Ord + Clone>(items: &[T]) -> Vec<T> {
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<T> = items.iter().filter(|item| !seen.insert((*item).clone())).cloned().collect();
    twice.into_iter().collect()
}

/// The brokers of `--broker-list`.
pub fn brokers(text: &str) -> Result<BTreeSet<i32>, String> {
    let numbers = text.split(',').map(|word| word.parse::<i32>().map_err(|_| format!("For input string: \"{word}\"")));
    let numbers: Vec<i32> = numbers.collect::<Result<_, _>>()?;
    let twice = duplicates(&numbers);
    if twice.is_empty() {
        Ok(numbers.into_iter().collect())
    } else {
        Err(format!("Broker list contains duplicate entries: {twice:?}"))
    }
}

/// The topics of `--topics-to-move-json-file`.
pub fn topics(text: &str) -> Result<BTreeSet<String>, String> {
    let names = rows(text, "topics")?.into_iter().map(|row| {
        let name = row.get("topic").and_then(Value::as_str).map(str::to_owned);
        name.ok_or_else(|| format!("{row} names no topic"))
    });
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    let twice = duplicates(&names);
    if twice.is_empty() {
        Ok(names.into_iter().collect())
    } else {
        Err(format!("List of topics to reassign contains duplicate entries: [{}]", twice.join(", ")))
    }
}

/// An assignment as such a file, with the folders that `folder` knows.
pub fn as_json(partitions: &BTreeMap<TopicPartition, Vec<i32>>, folder: impl Fn(&Replica) -> Option<String>) -> String {
    let row = |(at, brokers): (&TopicPartition, &Vec<i32>)| {
        let folders: Vec<String> = brokers
            .iter()
            .map(|broker| Value::from(folder(&(at.clone(), *broker)).unwrap_or_else(|| ANY.to_owned())).to_string())
            .collect();
        format!(
            "{{\"topic\":{},\"partition\":{},\"replicas\":[{}],\"log_dirs\":[{}]}}",
            Value::from(at.topic.as_str()),
            at.partition,
            ids(brokers),
            folders.join(",")
        )
    };
    let rows: Vec<String> = partitions.iter().map(row).collect();
    format!("{{\"version\":1,\"partitions\":[{}]}}", rows.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_back_as_it_was_written() {
        let at = TopicPartition::new("t", 1);
        let text =
            as_json(&BTreeMap::from([(at.clone(), vec![1, 2])]), |(_, broker)| (*broker == 2).then(|| "/d".to_owned()));
        assert_eq!(
            text,
            r#"{"version":1,"partitions":[{"topic":"t","partition":1,"replicas":[1,2],"log_dirs":["any","/d"]}]}"#
        );
        let plan = Plan::parse(&text).unwrap();
        assert_eq!(plan.targets().unwrap(), BTreeMap::from([(at.clone(), vec![1, 2])]));
        assert_eq!(plan.folders, BTreeMap::from([((at, 2), "/d".to_owned())]));
    }

    #[test]
    fn wrong_files_are_told_in_words() {
        let wrong = |text: &str| Plan::parse(text).and_then(|plan| plan.targets()).unwrap_err();
        assert!(wrong("{").contains("not a valid JSON"));
        assert!(wrong(r#"{"version":2}"#).contains("Not supported version field value 2"));
        assert_eq!(wrong("{}"), "Partition reassignment list cannot be empty");
        let row = |replicas: &str| format!(r#"{{"topic":"t","partition":0,"replicas":{replicas}}}"#);
        assert!(wrong(&format!(r#"{{"partitions":[{}]}}"#, row("[]"))).contains("replica list cannot be empty"));
        assert!(
            wrong(&format!(r#"{{"partitions":[{}]}}"#, row("[1,1]"))).contains("t-0 contains multiple entries for 1")
        );
        assert!(
            wrong(&format!(r#"{{"partitions":[{0},{0}]}}"#, row("[1]"))).contains("duplicate topic partitions: t-0")
        );
        assert_eq!(brokers("1,2,1").unwrap_err(), "Broker list contains duplicate entries: [1]");
        assert!(topics(r#"{"topics":[{"topic":"a"},{"topic":"a"}]}"#).unwrap_err().contains("[a]"));
    }
}
