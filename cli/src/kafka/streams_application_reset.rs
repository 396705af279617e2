//! kafka-streams-application-reset: an application of Kafka Streams begins anew (Java: `StreamsResetter`).
//!
//! Puts the group's offsets of its input topics where it is to read from, and deletes the topics that it made for itself.
//! Never touches what lies on the disks of its instances: they delete that themselves, as the help says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use client::TopicPartition;
use client::admin::{Admin, OffsetSpec};
use client::error::ClientError;
use millstream_base_env::Clock;
use serde_json::json;

use crate::Ended;
use crate::kafka::consumer_groups::{GROUP_ID_NOT_FOUND, PAGE};
use crate::kafka::java_order::{sort_as_hash_map, sort_partitions_as_hash_map};
use crate::kafka::options::{Given, Options};
use crate::kafka::{TIMEOUT, administer, block_on, java_exception, java_time, output};

const ABOUT: &str = "This tool resets an application of Kafka Streams, so that it processes its input from the start: it moves the offsets of \
its input topics and deletes the topics that it made for itself. No instance may run, and each has to delete its local state \
before it starts again. What is deleted is gone: look at what --dry-run says first.";

/// Where `--bootstrap-server` is left out.
const SERVER: &str = "localhost:9092";
/// Of which at most one is given.
const TARGETS: [&str; 7] =
    ["to-offset", "to-datetime", "by-duration", "to-earliest", "to-latest", "from-file", "shift-by"];
/// UNKNOWN_MEMBER_ID: it left by itself.
const UNKNOWN_MEMBER_ID: i16 = 25;
/// How often members that left by themselves are looked for again.
const RETRIES: u32 = 3;

type Offsets = BTreeMap<TopicPartition, i64>;

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-streams-application-reset", ABOUT)
        .value("application-id", "id", "REQUIRED: The Kafka Streams application ID (application.id).")
        .value("bootstrap-server", "server to connect to", "The servers to connect to, HOST1:PORT1,HOST2:PORT2. (default: localhost:9092)")
        .value("input-topics", "list", "Topics that the application reads, with commas between them; earliest is where they are put unless a flag says otherwise.")
        .value("intermediate-topics", "list", "[deprecated] Topics that the application writes and reads, with commas between them; their end is where they are put.")
        .value("internal-topics", "list", "The topics to delete, with commas between them; all that the application made for itself without it.")
        .value("to-offset", "Long", "Reset offsets to a specific offset.")
        .value("to-datetime", "String", "Reset offsets to offset from datetime. Format: 'YYYY-MM-DDThh:mm:ss.sss'")
        .value("by-duration", "String", "Reset offsets to offset by duration from current timestamp. Format: 'PnDTnHnMnS'")
        .flag("to-earliest", "Reset offsets to earliest offset.")
        .flag("to-latest", "Reset offsets to latest offset.")
        .value("from-file", "String", "Reset offsets to values defined in CSV file.")
        .value("shift-by", "number-of-offsets", "Reset offsets shifting current offset by 'n', where 'n' can be positive or negative")
        .value("config-file", "file name", "(DEPRECATED) As --command-config.")
        .value("command-config", "file name", "Property file with configs of the client.")
        .flag("force", "Take members out of the group that did not leave it; every instance has to be stopped before.")
        .flag("dry-run", "Display the actions that would be performed without executing the reset commands.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        given.required(&["application-id"])?;
        for target in TARGETS {
            given.excludes(target, &TARGETS.into_iter().filter(|other| *other != target).collect::<Vec<_>>())?;
        }
        given.excludes("config-file", &["command-config"])?;
        if given.has("config-file") {
            output::say("Option --config-file has been deprecated and will be removed in a future version. Use --command-config instead.");
        }
        let properties = given.properties(if given.has("config-file") { "config-file" } else { "command-config" })?;
        let reads_from_start = properties.get("auto.offset.reset").is_some_and(|reset| reset == "earliest");
        let servers = given.one("bootstrap-server")?.unwrap_or(SERVER);
        let reset = Reset {
            admin: administer(properties, Some(servers), None, TIMEOUT)?,
            group: given.one("application-id")?.unwrap_or_default(),
            inputs: listed(&given, "input-topics"),
            intermediates: listed(&given, "intermediate-topics"),
            unread: if reads_from_start { OffsetSpec::Earliest } else { OffsetSpec::Latest },
            given: &given,
        };
        block_on(reset.run())
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

/// The values of a flag whose values have commas between them.
fn listed<'a>(given: &'a Given, flag: &str) -> Vec<&'a str> {
    given.all(flag).into_iter().flat_map(|list| list.split(',')).collect()
}

/// As Java prints a list.
fn in_brackets<T: AsRef<str>>(names: &[T]) -> String {
    format!("[{}]", names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "))
}

fn failed(error: ClientError) -> Ended {
    Ended::Failed(format!("ERROR: {}", java_exception::to_string(&error)))
}

fn error(line: impl std::fmt::Display) -> Ended {
    Ended::Failed(format!("ERROR: {line}"))
}

/// What is asked.
struct Reset<'a> {
    admin: Admin,
    group: &'a str,
    inputs: Vec<&'a str>,
    intermediates: Vec<&'a str>,
    /// Where a partition without a committed offset is shifted from.
    unread: OffsetSpec,
    given: &'a Given,
}

impl Reset<'_> {
    async fn run(&self) -> Result<(), Ended> {
        self.without_members().await?;
        let mut topics: Vec<String> = self
            .admin
            .list_topics()
            .await
            .map_err(failed)?
            .into_iter()
            .filter(|topic| !topic.internal)
            .map(|topic| topic.name)
            .collect();
        sort_as_hash_map(&mut topics, None, String::as_str);
        if self.given.has("dry-run") {
            output::say("----Dry run displays the actions which will be performed when running Streams Reset Tool----");
        }
        if !self.intermediates.is_empty() {
            output::say("WARN: `--intermediate-topics` is deprecated and will be removed in a future release");
        }
        let (all_found, offsets) = match self.offsets(&topics).await {
            Ok(done) => done,
            Err(ended) => {
                eprintln!("ERROR: Resetting offsets failed.");
                return Err(ended);
            }
        };
        let deleted = self.delete(&topics).await?;
        let moved = |(at, offset): (&TopicPartition, &i64)| json!({"topic": at.topic, "partition": at.partition, "offset": offset});
        output::as_objects(|| {
            offsets
                .iter()
                .map(moved)
                .chain(deleted.iter().map(|topic| json!({"topic": topic, "deleted": true})))
                .collect()
        });
        if all_found { Ok(()) } else { Err(Ended::FailedAloud) }
    }

    /// The group may have no members; with `--force` they are taken out.
    async fn without_members(&self) -> Result<(), Ended> {
        let mut retries = 0;
        loop {
            let members = match self.admin.describe_group(self.group).await {
                Ok(described) => described.members,
                // Who is not there has no members.
                Err(ClientError::Broker { code: GROUP_ID_NOT_FOUND, .. }) => return Ok(()),
                Err(error) => return Err(failed(error)),
            };
            if members.is_empty() {
                return Ok(());
            }
            if !self.given.has("force") {
                let mut names = String::new();
                for member in &members {
                    // Writing to a string cannot fail.
                    let _ = write!(
                        names,
                        "{}{} at {}",
                        if names.is_empty() { "" } else { ", " },
                        member.client_id,
                        member.host
                    );
                }
                return Err(error(format_args!(
                    "Consumer group '{}' is still active and has following members: {names}. Make sure to stop all running application instances \
                     before running the reset tool. You can use option '--force' to remove active members from the group.",
                    self.group
                )));
            }
            output::say(&format!("Force deleting all active members in the group: {}", self.group));
            let removed = self.admin.remove_members(self.group, None, "").await.map_err(failed)?;
            match removed.into_iter().find_map(|(_, result)| result.err()) {
                None => return Ok(()),
                Some(ClientError::Broker { code: UNKNOWN_MEMBER_ID, .. }) if retries < RETRIES => retries += 1,
                Some(error) => return Err(failed(error)),
            }
        }
    }

    /// Moves the offsets of the topics that are there. Whether all are, and where to.
    async fn offsets(&self, topics: &[String]) -> Result<(bool, Offsets), Ended> {
        if self.inputs.is_empty() && self.intermediates.is_empty() {
            output::say("No input or intermediate topics specified. Skipping seek.");
            return Ok((true, Offsets::new()));
        }
        if !self.inputs.is_empty() {
            output::say(&format!("Reset-offsets for input topics {}", in_brackets(&self.inputs)));
        }
        if !self.intermediates.is_empty() {
            output::say(&format!("Seek-to-end for intermediate topics {}", in_brackets(&self.intermediates)));
        }
        let missing = |of: &[&str]| -> Vec<String> {
            of.iter().filter(|name| !topics.iter().any(|topic| topic == *name)).map(|name| (*name).to_owned()).collect()
        };
        let (no_inputs, no_intermediates) = (missing(&self.inputs), missing(&self.intermediates));
        if !no_inputs.is_empty() {
            output::say("Following input topics are not found, skipping them");
            no_inputs.iter().for_each(|topic| output::say(&format!("Topic: {topic}")));
        }
        if !no_intermediates.is_empty() {
            output::say("Following intermediate topics are not found, skipping them");
            no_intermediates.iter().for_each(|topic| output::say(&format!("Topic:{topic}")));
        }
        let all_found = no_inputs.is_empty() && no_intermediates.is_empty();
        let inputs = self.partitions_of(&self.inputs, &no_inputs).await?;
        let behind: Vec<&str> =
            self.intermediates.iter().copied().filter(|topic| !self.inputs.contains(topic)).collect();
        let intermediates = self.partitions_of(&behind, &no_intermediates).await?;
        if inputs.is_empty() && intermediates.is_empty() {
            return Ok((all_found, Offsets::new()));
        }
        let mut offsets = self.of_inputs(&inputs).await?;
        offsets.extend(self.of_intermediates(&intermediates).await?);
        if !self.given.has("dry-run") {
            self.admin.alter_committed_offsets(self.group, &offsets).await.map_err(failed)?;
        }
        output::say("Done.");
        Ok((all_found, offsets))
    }

    /// The partitions of the topics that are there, in the order of Java's set of them.
    async fn partitions_of(&self, topics: &[&str], missing: &[String]) -> Result<Vec<TopicPartition>, Ended> {
        let there: BTreeSet<String> =
            topics.iter().map(|name| (*name).to_owned()).filter(|name| !missing.contains(name)).collect();
        if there.is_empty() {
            return Ok(Vec::new());
        }
        let described =
            self.admin.describe_topics(&there.into_iter().collect::<Vec<_>>(), PAGE).await.map_err(failed)?;
        let mut partitions: Vec<TopicPartition> = described
            .iter()
            .flat_map(|topic| {
                topic.partitions.iter().map(|partition| TopicPartition::new(&topic.name, partition.partition))
            })
            .collect();
        sort_partitions_as_hash_map(&mut partitions, None, |at| at);
        Ok(partitions)
    }

    async fn of_inputs(&self, partitions: &[TopicPartition]) -> Result<Offsets, Ended> {
        if partitions.is_empty() {
            return Ok(Offsets::new());
        }
        output::say(&format!("Following input topics offsets will be reset to (for consumer group {})", self.group));
        let offsets = self.target(partitions).await?;
        for at in partitions {
            let offset =
                offsets.get(at).ok_or_else(|| error(format_args!("nothing says where {at} is to be read from")))?;
            output::say(&format!("Topic: {} Partition: {} Offset: {offset}", at.topic, at.partition));
        }
        Ok(offsets)
    }

    async fn target(&self, partitions: &[TopicPartition]) -> Result<Offsets, Ended> {
        let given = self.given;
        if let Some(offset) = given.parsed::<i64>("to-offset")? {
            let wanted: Vec<_> = partitions.iter().map(|at| (at.clone(), offset)).collect();
            return self.bounded(wanted, Some(partitions.len())).await;
        }
        if let Some(shift) = given.parsed::<i64>("shift-by")? {
            let committed = self.admin.committed_offsets(self.group).await.map_err(failed)?;
            let unread: Vec<TopicPartition> =
                partitions.iter().filter(|at| !committed.contains_key(at)).cloned().collect();
            let unread = self.ends(&unread, self.unread).await?;
            let current = |at: &TopicPartition| {
                committed.get(at).map(|at| at.offset).or_else(|| unread.get(at).copied()).unwrap_or_default()
            };
            let wanted: Vec<_> = partitions.iter().map(|at| (at.clone(), current(at).saturating_add(shift))).collect();
            return self.bounded(wanted, Some(partitions.len())).await;
        }
        if let Some(text) = given.one("to-datetime")? {
            let when = java_time::parse_datetime(text)
                .map_err(|reason| error(format_args!("java.text.ParseException: {reason}")))?;
            return self.at_time(partitions, when).await;
        }
        if let Some(text) = given.one("by-duration")? {
            let back = millstream_base_config::iso_duration::parse(text)
                .ok_or_else(|| error("Text cannot be parsed to a Duration"))?;
            return self.at_time(partitions, Clock::Real.now_ms().saturating_sub(back)).await;
        }
        if let Some(path) = given.one("from-file")? {
            let text = std::fs::read_to_string(path).map_err(|reason| error(format_args!("{path}: {reason}")))?;
            let wanted = plan(&text).map_err(|reason| error(format_args!("{path}: {reason}")))?;
            if let Some((at, _)) = wanted.iter().find(|(at, _)| !partitions.contains(at)) {
                return Err(error(format_args!("{path}: {at} is no partition of an input topic")));
            }
            return self.bounded(wanted, None).await;
        }
        self.ends(partitions, if given.has("to-latest") { OffsetSpec::Latest } else { OffsetSpec::Earliest }).await
    }

    /// What lies at or past an end of the log is put there. `capacity`: of Java's map of what is wanted, for its order.
    async fn bounded(&self, mut wanted: Vec<(TopicPartition, i64)>, capacity: Option<usize>) -> Result<Offsets, Ended> {
        let partitions: Vec<TopicPartition> = wanted.iter().map(|(at, _)| at.clone()).collect();
        let (starts, ends) =
            (self.ends(&partitions, OffsetSpec::Earliest).await?, self.ends(&partitions, OffsetSpec::Latest).await?);
        sort_partitions_as_hash_map(&mut wanted, capacity, |(at, _)| at);
        let mut bounded = Offsets::new();
        for (at, offset) in wanted {
            let (start, end) =
                (starts.get(&at).copied().unwrap_or_default(), ends.get(&at).copied().unwrap_or_default());
            let within = match offset {
                high if high >= end => Err(("higher than latest", end)),
                low if low <= start => Err(("lower than earliest", start)),
                within => Ok(within),
            };
            let offset = within.unwrap_or_else(|(told, bound)| {
                output::say(&format!("New offset ({offset}) is {told} offset. Value will be set to {bound}"));
                bound
            });
            bounded.insert(at, offset);
        }
        Ok(bounded)
    }

    async fn at_time(&self, partitions: &[TopicPartition], ms: i64) -> Result<Offsets, Ended> {
        let mut offsets = self.ends(partitions, OffsetSpec::Timestamp(ms)).await?;
        let late: Vec<TopicPartition> =
            partitions.iter().filter(|at| offsets.get(at).is_none_or(|offset| *offset < 0)).cloned().collect();
        for at in &late {
            output::say(&format!(
                "Partition {} from topic {} is empty, without a committed record. Falling back to latest known offset.",
                at.partition, at.topic
            ));
        }
        offsets.extend(self.ends(&late, OffsetSpec::Latest).await?);
        Ok(offsets)
    }

    async fn of_intermediates(&self, partitions: &[TopicPartition]) -> Result<Offsets, Ended> {
        if partitions.is_empty() {
            return Ok(Offsets::new());
        }
        output::say(&format!(
            "Following intermediate topics offsets will be reset to end (for consumer group {})",
            self.group
        ));
        partitions.iter().for_each(|at| output::say(&format!("Topic: {}", at.topic)));
        self.ends(partitions, OffsetSpec::Latest).await
    }

    async fn ends(&self, partitions: &[TopicPartition], spec: OffsetSpec) -> Result<Offsets, Ended> {
        if partitions.is_empty() {
            return Ok(Offsets::new());
        }
        self.admin.list_offsets(partitions, spec).await.map_err(failed)
    }

    /// Deletes what the application made for itself.
    async fn delete(&self, topics: &[String]) -> Result<Vec<String>, Ended> {
        let is_used = |topic: &str| self.inputs.contains(&topic) || self.intermediates.contains(&topic);
        let own: Vec<String> =
            topics.iter().filter(|topic| !is_used(topic) && is_internal(self.group, topic)).cloned().collect();
        let named: Vec<String> = listed(self.given, "internal-topics").into_iter().map(str::to_owned).collect();
        let chosen = if named.is_empty() {
            output::say(&format!("Deleting inferred internal topics {}", in_brackets(&own)));
            own
        } else {
            if let Some(other) = named.iter().find(|topic| !own.contains(topic)) {
                return Err(error(format_args!(
                    "Invalid topic specified in the --internal-topics option: {other}. Ensure that the topics specified are all internal topics. Do a dry \
                     run without the --internal-topics option to see the list of all internal topics that can be deleted."
                )));
            }
            output::say(&format!("Deleting specified internal topics {}", in_brackets(&named)));
            named
        };
        if !self.given.has("dry-run") && !chosen.is_empty() {
            let results = self.admin.delete_each_topic(&chosen).await.map_err(failed)?;
            let mut kept = results.into_iter().filter_map(|(topic, result)| Some((topic, result.err()?))).peekable();
            if kept.peek().is_some() {
                kept.for_each(|(topic, reason)| {
                    eprintln!("ERROR: deleting topic {topic}: {}", java_exception::to_string(&reason))
                });
                return Err(error("Encountered an error deleting one or more topics"));
            }
        }
        output::say("Done.");
        Ok(chosen)
    }
}

/// Whether an application makes topics of this name for itself (Java: `matchesInternalTopicFormat`).
fn is_internal(application: &str, topic: &str) -> bool {
    let plain = ["-changelog", "-repartition", "-subscription-registration-topic", "-subscription-response-topic"];
    let numbered = ["-KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-", "-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-"];
    let is_numbered = || {
        let Some(head) = topic.strip_suffix("-topic") else { return false };
        let name = head.trim_end_matches(|digit: char| digit.is_ascii_digit());
        name.len() < head.len() && numbered.iter().any(|part| name.ends_with(part) && name.len() > part.len())
    };
    let is_own = topic.strip_prefix(application).is_some_and(|rest| rest.starts_with('-'));
    is_own && (plain.iter().any(|end| topic.ends_with(end)) || is_numbered())
}

/// Lines of `topic,partition,offset`.
fn plan(text: &str) -> Result<Vec<(TopicPartition, i64)>, String> {
    if text.is_empty() {
        return Err("Error parsing reset plan CSV file. It is empty,".to_owned());
    }
    let line = |line: &str| -> Result<(TopicPartition, i64), String> {
        let cells: Vec<&str> = line.split(',').collect();
        let [topic, partition, offset] = cells[..] else {
            return Err("Reset plan CSV file is not following the format `TOPIC,PARTITION,OFFSET`.".to_owned());
        };
        let number = |text: &str| text.parse::<i64>().map_err(|_| format!("For input string: \"{text}\""));
        let partition = i32::try_from(number(partition)?).map_err(|_| format!("For input string: \"{partition}\""))?;
        Ok((TopicPartition::new(topic, partition), number(offset)?))
    };
    // The last line of a partition counts.
    let lines = text.trim_end_matches('\n').split('\n').map(line).collect::<Result<BTreeMap<_, _>, _>>()?;
    Ok(lines.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_an_application_made_for_itself_are_known_by_their_names() {
        for own in [
            "app-store-changelog",
            "app-KSTREAM-AGGREGATE-STATE-STORE-0000000003-repartition",
            "app-KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-0000000006-topic",
            "app-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-14-topic",
            "app-named-subscription-response-topic",
        ] {
            assert!(is_internal("app", own), "{own}");
        }
        for other in [
            "apple-store-changelog",
            "app-output",
            "other-store-changelog",
            "app-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-x-topic",
            "app-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE--topic",
        ] {
            assert!(!is_internal("app", other), "{other}");
        }
    }

    #[test]
    fn a_plan_has_three_cells_a_line() {
        assert_eq!(
            plan("t,0,5\nt,1,6\n").unwrap(),
            [(TopicPartition::new("t", 0), 5), (TopicPartition::new("t", 1), 6)]
        );
        assert!(plan("").unwrap_err().contains("empty"));
        assert!(plan("t,0").unwrap_err().contains("TOPIC,PARTITION,OFFSET"));
        assert!(plan("t,x,5").unwrap_err().contains("\"x\""));
        assert!(plan("t,4294967296,5").is_err());
    }
}
