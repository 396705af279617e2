//! kafka-get-offsets: offsets of partitions, by time (Java: `GetOffsetShell`).

use client::TopicPartition;
use client::admin::{Admin, OffsetSpec};
use client::error::ClientError;
use regex::Regex;

use crate::Ended;
use crate::kafka::options::{Given, Options};
use crate::kafka::topic_filter::{INTERNAL_TOPICS, IncludeList};
use crate::kafka::{admin, block_on, named_server, output};

const ABOUT: &str = "An interactive shell for getting topic-partition offsets.";
/// Partitions in one answer when topics are described.
const PAGE: i32 = 2000;
/// A topic's pattern, then nothing, a number or a range.
const RULE: &str = "^([^:,]*)(?::(?:([0-9]*)|(?:([0-9]*)-([0-9]*))))?$";

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-get-offsets", ABOUT)
        .servers("HOST1:PORT1,...,HOST3:PORT3")
        .value(
            "topic-partitions",
            "topic1:1,topic2:0-3,topic3,topic4:5-,topic5:-3",
            "Topics and partitions: a pattern of names, then a number, or a range whose upper end is not in it.",
        )
        .value("topic", "topic", "The topic; a regular expression too. All topics without it.")
        .value("partitions", "partition ids", "Numbers of partitions, with commas between. All without it.")
        .value(
            "time",
            "<timestamp> / -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or earliest-local / -5 or latest-tiered",
            "Which offset: of the first record from a time on, or one of these; latest by default.",
        )
        .admin_config("config file")
        .flag("exclude-internal-topics", "Leave internal topics out.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        given.required(&["bootstrap-server"])?;
        named_server(&given)?;
        block_on(print_offsets(&admin(&given)?, &given))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn occurred<T>(line: impl std::fmt::Display) -> Result<T, Ended> {
    Err(Ended::Failed(format!("Error occurred: {line}")))
}

/// Which partitions of matching topics.
enum Numbers {
    Any,
    These(Vec<i32>),
    /// The upper end is not in it.
    Range(i32, i32),
}

struct Rule {
    topics: IncludeList,
    numbers: Numbers,
}

impl Rule {
    fn allows(&self, topic: &str, partition: i32) -> bool {
        let number = match &self.numbers {
            Numbers::Any => true,
            Numbers::These(numbers) => numbers.contains(&partition),
            Numbers::Range(low, high) => (*low..*high).contains(&partition),
        };
        number && self.topics.allows(topic, false)
    }
}

fn rules(given: &Given) -> Result<Vec<Rule>, Ended> {
    if let Some(list) = given.one("topic-partitions")? {
        if given.has("topic") || given.has("partitions") {
            return occurred("--topic-partitions cannot be used with --topic or --partitions");
        }
        return list.split(',').map(rule).collect();
    }
    let numbers = match given.one("partitions")?.filter(|list| !list.is_empty()) {
        None => Numbers::Any,
        Some(list) => match list.split(',').map(str::parse).collect() {
            Ok(numbers) => Numbers::These(numbers),
            Err(_) => {
                return occurred(format!(
                    "--partitions expects a comma separated list of numeric partition ids, but received: {list}"
                ));
            }
        },
    };
    Ok(vec![Rule { topics: IncludeList::new(given.one("topic")?.unwrap_or(".*"))?, numbers }])
}

fn rule(text: &str) -> Result<Rule, Ended> {
    let pattern = Regex::new(RULE).expect("the pattern is a constant");
    let Some(parts) = pattern.captures(text) else { return occurred(format!("Invalid rule specification: {text}")) };
    let part = |index| parts.get(index).map(|part| part.as_str()).filter(|part| !part.is_empty());
    let number = |text: &str| text.parse::<i32>().or_else(|_| occurred(format!("For input string: \"{text}\"")));
    let numbers = match part(2) {
        Some(text) => Numbers::These(vec![number(text)?]),
        None => Numbers::Range(part(3).map_or(Ok(0), number)?, part(4).map_or(Ok(i32::MAX), number)?),
    };
    Ok(Rule { topics: IncludeList::new(part(1).unwrap_or(".*"))?, numbers })
}

fn spec(text: &str) -> Result<OffsetSpec, Ended> {
    let named = [
        ("earliest", "-2", OffsetSpec::Earliest),
        ("latest", "-1", OffsetSpec::Latest),
        ("max-timestamp", "-3", OffsetSpec::MaxTimestamp),
        ("earliest-local", "-4", OffsetSpec::EarliestLocal),
        ("latest-tiered", "-5", OffsetSpec::LatestTiered),
        ("earliest-pending-upload", "-6", OffsetSpec::EarliestPendingUpload),
    ];
    if let Some((_, _, spec)) = named.iter().find(|(name, number, _)| *name == text || *number == text) {
        return Ok(*spec);
    }
    match text.parse() {
        Ok(ms) => Ok(OffsetSpec::Timestamp(ms)),
        Err(_) => {
            let names: Vec<String> =
                [1, 0, 2, 3, 4, 5].iter().map(|index| format!("{} or {}", named[*index].1, named[*index].0)).collect();
            occurred(format!(
                "Malformed time argument {text}. Please use {}, or a specified long format timestamp",
                names.join(" / ")
            ))
        }
    }
}

async fn print_offsets(admin: &Admin, given: &Given) -> Result<(), Ended> {
    let rules = rules(given)?;
    let spec = spec(given.one("time")?.unwrap_or("latest"))?;
    let failed = |error: ClientError| Ended::Failed(format!("Error occurred: {error}"));
    let without_internal = given.has("exclude-internal-topics");
    let names = admin.list_topics().await.map_err(failed)?.into_iter().map(|topic| topic.name);
    let mut names: Vec<String> = names
        .filter(|name| !(without_internal && INTERNAL_TOPICS.contains(&name.as_str())))
        .filter(|name| rules.iter().any(|rule| rule.topics.allows(name, false)))
        .collect();
    names.sort();
    let mut places = Vec::new();
    if !names.is_empty() {
        for topic in admin.describe_topics(&names, PAGE).await.map_err(failed)? {
            let numbers = topic.partitions.iter().map(|partition| partition.partition);
            let allowed = numbers.filter(|number| rules.iter().any(|rule| rule.allows(&topic.name, *number)));
            places.extend(allowed.map(|number| TopicPartition::new(&topic.name, number)));
        }
    }
    if places.is_empty() {
        return occurred("Could not match any topic-partitions with the specified filters");
    }
    let mut offsets: Vec<_> = admin.list_offsets(&places, spec).await.map_err(failed)?.into_iter().collect();
    offsets.sort_by_key(|(at, _)| at.to_string());
    offsets.retain(|(_, offset)| *offset >= 0);
    let rows: Vec<Vec<String>> = offsets
        .iter()
        .map(|(at, offset)| vec![at.topic.clone(), at.partition.to_string(), offset.to_string()])
        .collect();
    if output::as_json(&["topic", "partition", "offset"], &rows) {
        return Ok(());
    }
    for (at, offset) in offsets {
        println!("{}:{}:{offset}", at.topic, at.partition);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_topics_and_numbers() {
        let allowed = |text: &str, topic: &str, number: i32| {
            rule(text).unwrap_or_else(|_| panic!("{text}")).allows(topic, number)
        };
        assert!(allowed("a.*:3", "abc", 3) && !allowed("a.*:3", "abc", 2));
        assert!(allowed("a:1-3", "a", 2) && !allowed("a:1-3", "a", 3));
        assert!(allowed("a:5-", "a", 9) && !allowed("a:-3", "a", 3) && allowed(":0", "x", 0) && allowed("a", "a", 7));
        assert!(rule("a:x").is_err());
    }

    #[test]
    fn times_have_names_and_numbers() {
        assert!(matches!(spec("-2"), Ok(OffsetSpec::Earliest)));
        assert!(matches!(spec("1500"), Ok(OffsetSpec::Timestamp(1500))));
        assert!(
            matches!(spec("soon"), Err(Ended::Failed(line)) if line.contains("-1 or latest / -2 or earliest / -3"))
        );
    }
}
