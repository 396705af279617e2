//! kafka-verifiable-consumer: reads a topic as a member of a group and prints what happens as lines of JSON (Java:
//! `VerifiableConsumer`).
//!
//! Not done: --group-protocol=consumer (KIP-848); assignors are those of the client library.

use std::collections::BTreeMap;
use std::time::Duration;

use client::TopicPartition;
use client::config::ConsumerConfig;
use client::consumer::{Consumer, OffsetAndMetadata, Offsets, RebalanceListener, Record, Records};
use client::error::ClientError;
use client::metadata::Cluster;

use crate::Ended;
use crate::kafka::options::{Given, Options};
use crate::kafka::verifiable_producer::{json_text, print_event};
use crate::kafka::{block_on, reach};
use crate::signals::Signals;

const ABOUT: &str = "This tool consumes messages from a specific topic and emits consumer events (e.g. group rebalances, received messages, and offsets committed) as JSON objects to STDOUT.";
/// How long one poll waits; Apache's waits until something comes.
const POLL: Duration = Duration::from_secs(3600);

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-verifiable-consumer", ABOUT)
        .servers("HOST1:PORT1[,HOST2:PORT2[...]]")
        .value("topic", "TOPIC", "REQUIRED: The topic to read.")
        .value("group-protocol", "GROUP-PROTOCOL", "classic or consumer. [default: classic]")
        .value(
            "group-remote-assignor",
            "GROUP-REMOTE-ASSIGNOR",
            "The broker's assignor, with --group-protocol consumer.",
        )
        .value("group-id", "GROUP-ID", "REQUIRED: The group to read as.")
        .value("group-instance-id", "GROUP-INSTANCE-ID", "A name of this member that outlives it.")
        .value("max-messages", "MAX-MESSAGES", "Records to read; -1 for no end. [default: -1]")
        .value("session-timeout", "TIMEOUT-MS", "The member's session timeout.")
        .flag("verbose", "Print every record.")
        .flag("enable-autocommit", "Commit on a timer rather than after every poll.")
        .value("close-timeout", "CLOSE-TIMEOUT-MS", "How long closing may take. [default: 30000]")
        .value("reset-policy", "RESET-POLICY", "earliest, latest or none. [default: earliest]")
        .value("assignment-strategy", "ASSIGNMENT-STRATEGY", "The class of the assignor.")
        .value("consumer.config", "CONFIG-FILE", "(Deprecated) As --command-config.")
        .consumer_config("CONFIG-FILE")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        let config = config(&given)?;
        block_on(consume(&given, config))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn config(given: &Given) -> Result<ConsumerConfig, Ended> {
    for name in ["bootstrap-server", "topic", "group-id"] {
        if !given.has(name) {
            return given.misuse(format!("argument --{name} is required"));
        }
    }
    if given.has("consumer.config") && given.has("command-config") {
        return given.misuse("Options --consumer.config and --command-config are mutually exclusive.".to_owned());
    }
    if given.has("consumer.config") {
        println!(
            "Option --consumer.config has been deprecated and will be removed in a future version. Use --command-config instead."
        );
    }
    let mut properties = given.properties("consumer.config")?;
    properties.extend(given.properties("command-config")?);
    let text = |name: &str| Ok::<_, Ended>(given.one(name)?.map(str::to_owned));
    match text("group-protocol")?.unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "classic" => {}
        "consumer" => return Err(Ended::Failed("--group-protocol consumer is not built yet; leave it out".to_owned())),
        other => {
            return Err(Ended::Failed(format!(
                "No enum constant org.apache.kafka.clients.consumer.GroupProtocol.{}",
                other.to_ascii_uppercase()
            )));
        }
    }
    let mut set = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            properties.insert(key.to_owned(), value);
        }
    };
    set("partition.assignment.strategy", text("assignment-strategy")?);
    set("session.timeout.ms", text("session-timeout")?);
    set("group.id", text("group-id")?);
    set("group.instance.id", text("group-instance-id")?);
    set("bootstrap.servers", text("bootstrap-server")?);
    set("enable.auto.commit", Some(given.has("enable-autocommit").to_string()));
    set("auto.offset.reset", Some(text("reset-policy")?.unwrap_or_else(|| "earliest".to_owned())));
    let (config, unknown) =
        ConsumerConfig::from_properties(properties).map_err(|error| Ended::Failed(error.to_string()))?;
    unknown.iter().for_each(|key| eprintln!("kafka-verifiable-consumer: {key} is no config of a consumer; left out"));
    Ok(config)
}

/// Prints what the group does.
struct Listener;

fn partitions(places: &[TopicPartition]) -> String {
    let places: Vec<String> = places
        .iter()
        .map(|place| format!("{{\"topic\":{},\"partition\":{}}}", json_text(Some(&place.topic)), place.partition))
        .collect();
    format!("[{}]", places.join(","))
}

impl RebalanceListener for Listener {
    fn assigned(&mut self, places: &[TopicPartition]) {
        print_event("partitions_assigned", &[("partitions", partitions(places))]);
    }

    fn revoked(&mut self, places: &[TopicPartition], _: &mut Offsets) {
        print_event("partitions_revoked", &[("partitions", partitions(places))]);
    }

    fn lost(&mut self, places: &[TopicPartition]) {
        print_event("partitions_revoked", &[("partitions", partitions(places))]);
    }
}

async fn consume(given: &Given, config: ConsumerConfig) -> Result<(), Ended> {
    let failed = |error: ClientError| Ended::Failed(error.to_string());
    let mut signals = Signals::new()?;
    let by_hand = config.auto_commit.is_none();
    let (cluster, limit) = (Cluster::with_config(config.connection.clone()), config.api_timeout);
    let mut consumer = Consumer::new(cluster.clone(), config);
    consumer.set_listener(Box::new(Listener));
    print_event("startup_complete", &[]);
    let mut caught = None;
    tokio::select! {
        reached = reach("kafka-verifiable-consumer", &cluster, limit) => reached.map_err(failed)?,
        signal = signals.caught() => caught = Some(signal),
    }
    consumer.subscribe(&[given.one("topic")?.unwrap_or_default()]).map_err(failed)?;
    let mut reading = Reading {
        left: u64::try_from(given.parsed::<i32>("max-messages")?.unwrap_or(-1)).ok(),
        verbose: given.has("verbose"),
    };
    while caught.is_none() && reading.left != Some(0) {
        let polled = tokio::select! {
            polled = consumer.poll(POLL) => polled,
            signal = signals.caught() => { caught = Some(signal); break }
        };
        match polled {
            Ok(records) => {
                let offsets = reading.take(&records);
                if by_hand {
                    let result = consumer.commit_offsets(&offsets).await;
                    print_commit(&offsets, result.err());
                }
            }
            Err(error) => {
                eprintln!("kafka-verifiable-consumer: {error}");
                break;
            }
        }
    }
    if caught.is_some() {
        print_event("shutdown_requested", &[]);
    }
    let limit = Duration::from_millis(given.parsed::<u64>("close-timeout")?.unwrap_or(30_000));
    if let Ok(Err(error)) = tokio::time::timeout(limit, consumer.close()).await {
        eprintln!("kafka-verifiable-consumer: {error}");
    }
    print_event("shutdown_complete", &[]);
    if caught.is_none() {
        // Apache's tool asks itself to stop on its way out.
        print_event("shutdown_requested", &[]);
    }
    caught.map_or(Ok(()), |signal| Err(Ended::Signalled(signal)))
}

struct Reading {
    left: Option<u64>,
    verbose: bool,
}

impl Reading {
    /// Prints what came; the offsets to commit.
    fn take(&mut self, records: &Records) -> Offsets {
        let mut by_place: BTreeMap<&TopicPartition, Vec<Record<'_>>> = BTreeMap::new();
        for record in records.iter() {
            by_place.entry(record.place).or_default().push(record);
        }
        let (mut offsets, mut summaries) = (Offsets::new(), Vec::new());
        for (place, mut records) in by_place {
            if let Some(left) = self.left {
                records.truncate(left as usize);
            }
            let (Some(first), Some(last)) = (records.first(), records.last()) else { continue };
            offsets.insert(place.clone(), OffsetAndMetadata::from(last.offset + 1));
            summaries.push(format!(
                "{{\"topic\":{},\"partition\":{},\"count\":{},\"minOffset\":{},\"maxOffset\":{}}}",
                json_text(Some(&place.topic)),
                place.partition,
                records.len(),
                first.offset,
                last.offset
            ));
            if self.verbose {
                records.iter().for_each(print_record);
            }
            self.left = self.left.map(|left| left - records.len() as u64);
            if self.left == Some(0) {
                break;
            }
        }
        print_event(
            "records_consumed",
            &[("count", records.len().to_string()), ("partitions", format!("[{}]", summaries.join(",")))],
        );
        offsets
    }
}

fn print_record(record: &Record<'_>) {
    let text = |bytes: Option<&[u8]>| json_text(bytes.map(String::from_utf8_lossy).as_deref());
    print_event(
        "record_data",
        &[
            ("key", text(record.key)),
            ("value", text(record.value)),
            ("topic", json_text(Some(&record.place.topic))),
            ("partition", record.place.partition.to_string()),
            ("offset", record.offset.to_string()),
        ],
    );
}

fn print_commit(offsets: &Offsets, error: Option<ClientError>) {
    let rows: Vec<String> = offsets
        .iter()
        .map(|(place, at)| {
            format!(
                "{{\"topic\":{},\"partition\":{},\"offset\":{}}}",
                json_text(Some(&place.topic)),
                place.partition,
                at.offset
            )
        })
        .collect();
    let mut fields = vec![("offsets", format!("[{}]", rows.join(",")))];
    let success = error.is_none();
    if let Some(error) = error {
        fields.push(("error", json_text(Some(&error.to_string()))));
    }
    fields.push(("success", success.to_string()));
    print_event("offsets_committed", &fields);
}
