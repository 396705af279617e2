//! kafka-console-consumer: records of topics to standard output (Java: `ConsoleConsumer`).
//!
//! Reads as a group (one of its own unless `--group` names one) or one partition by hand. What was fetched but not
//! printed is not committed. `--include` follows topics that are made later (Java: `Consumer.subscribe(Pattern)`).

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::time::Duration;

use client::TopicPartition;
use client::config::ConsumerConfig;
use client::consumer::{Consumer, Record, Records, TimestampType};
use client::error::ClientError;
use client::metadata::Cluster;
use millstream_base_env::clock::Moment;

use crate::Ended;
use crate::kafka::formatter::{Formatter, Shown, TimestampKind};
use crate::kafka::options::{Given, Options};
use crate::kafka::topic_filter;
use crate::kafka::{block_on, reach, reach_or_tell};
use crate::signals::{Signals, tell};

const ABOUT: &str = "This tool helps to read data from Kafka topics and outputs it to standard output.";
const FORMATTER: &str = "org.apache.kafka.tools.consumer.DefaultMessageFormatter";
/// How long one poll waits; signals and time limits are looked at in between.
const POLL: Duration = Duration::from_millis(500);

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-console-consumer", ABOUT)
        .servers("server to connect to")
        .value("topic", "topic", "The topic to read.")
        .value("include", "Java regex (String)", "A regular expression that names the topics to read.")
        .value("partition", "partition", "The partition to read; from its end unless --offset says otherwise.")
        .value("offset", "consume offset", "Where to start in the partition: a number, earliest or latest.")
        .value("group", "consumer group id", "The group to read as.")
        .flag("from-beginning", "Start with the first record that is left where the group has committed nothing.")
        .value("max-messages", "num_messages", "Records to read before the tool ends; no end otherwise.")
        .value("timeout-ms", "timeout_ms", "End when no record came for so long.")
        .value("isolation-level", "String", "read_committed leaves out records of transactions that were not committed.")
        .value("formatter", "class", "How records are printed, by class name.")
        .value("property", "prop", "(Deprecated) As --formatter-property.")
        .value(
            "formatter-property",
            "prop",
            "What the formatter prints, key=value: print.timestamp, print.key, print.offset, print.partition, print.headers, \
             print.value, key.separator, line.separator, headers.separator, null.literal, key.deserializer, \
             value.deserializer, headers.deserializer.",
        )
        .value("formatter-config", "config file", "The same from a properties file.")
        .value("key-deserializer", "deserializer for keys", "The class that reads keys.")
        .value("value-deserializer", "deserializer for values", "The class that reads values.")
        .flag("skip-message-on-error", "Go on behind a record that cannot be printed.")
        .flag("enable-systest-events", "Say when the consumer has shut down.")
        .value("consumer-property", "consumer_prop", "(Deprecated) As --command-property.")
        .value("command-property", "consumer_prop", "A config of the consumer, key=value.")
        .value("consumer.config", "config file", "(Deprecated) As --command-config.")
        .consumer_config("config file")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let ended = options().read(words).and_then(checked).and_then(|given| {
        let config = ConsumerConfig::from_properties(consumer_properties(&given)?);
        let (config, unknown) = config.map_err(|error| Ended::Failed(error.to_string()))?;
        unknown.iter().for_each(|key| eprintln!("kafka-console-consumer: {key} is no config of a consumer; left out"));
        let formatter = formatter(&given)?;
        let start = start(&given)?;
        block_on(read_all(&given, config, start, &formatter))
    });
    ended.unwrap_or_else(|ended| ended)
}

fn checked(given: Given) -> Result<Given, Ended> {
    if given.has("topic") == given.has("include") {
        return given.misuse("Exactly one of the following arguments is required: [topic], [include]".to_owned());
    }
    if given.has("partition") {
        if !given.has("topic") {
            return given.misuse("The topic is required when partition is specified.".to_owned());
        }
        if given.has("from-beginning") && given.has("offset") {
            return given.misuse("Options from-beginning and offset cannot be specified together.".to_owned());
        }
    } else if given.has("offset") {
        return given.misuse("The partition is required when offset is specified.".to_owned());
    }
    given.required(&["bootstrap-server"])?;
    for (old, new) in [
        ("consumer-property", "command-property"),
        ("consumer.config", "command-config"),
        ("property", "formatter-property"),
    ] {
        if given.has(old) && given.has(new) {
            return given.misuse(format!("Options --{old} and --{new} cannot be specified together."));
        }
        if given.has(old) {
            println!("Option --{old} is deprecated and will be removed in a future version. Use --{new} instead.");
        }
    }
    Ok(given)
}

fn consumer_properties(given: &Given) -> Result<HashMap<String, String>, Ended> {
    let mut properties = given.properties("consumer.config")?;
    properties.extend(given.properties("command-config")?);
    let group_of_file = properties.get("group.id").cloned();
    let mut own = given.pairs("consumer-property")?;
    own.extend(given.pairs("command-property")?);
    let groups: BTreeSet<String> =
        [given.one("group")?.map(str::to_owned), group_of_file, own.get("group.id").cloned()]
            .into_iter()
            .flatten()
            .collect();
    if groups.len() > 1 {
        let groups: Vec<String> = groups.iter().map(|group| format!("'{group}'")).collect();
        return given.misuse(format!(
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via \
             '--consumer.config') do not match. Detected group ids: {}",
            groups.join(", ")
        ));
    }
    if !groups.is_empty() && given.has("partition") {
        return given.misuse("Options group and partition cannot be specified together.".to_owned());
    }
    properties.extend(own);
    let reset = if given.has("from-beginning") { "earliest" } else { "latest" };
    match properties.get("auto.offset.reset") {
        Some(set) if given.has("from-beginning") && set != reset => {
            return Err(Ended::Failed(format!(
                "Can't simultaneously specify --from-beginning and 'auto.offset.reset={set}', please remove one option"
            )));
        }
        Some(_) => {}
        None => drop(properties.insert("auto.offset.reset".to_owned(), reset.to_owned())),
    }
    properties.insert("bootstrap.servers".to_owned(), given.one("bootstrap-server")?.unwrap_or_default().to_owned());
    properties.entry("client.id".to_owned()).or_insert_with(|| "console-consumer".to_owned());
    if let Some(level) = given.one("isolation-level")? {
        properties.insert("isolation.level".to_owned(), level.to_owned());
    }
    match groups.into_iter().next() {
        Some(group) => drop(properties.insert("group.id".to_owned(), group)),
        None => {
            // A group of this run alone, which nobody reads on from.
            let number = uuid::Uuid::new_v4().as_u128() % 100_000;
            properties.insert("group.id".to_owned(), format!("console-consumer-{number}"));
            properties.entry("enable.auto.commit".to_owned()).or_insert_with(|| "false".to_owned());
        }
    }
    Ok(properties)
}

fn formatter(given: &Given) -> Result<Formatter, Ended> {
    let mut properties = given.properties("formatter-config")?;
    for part in ["key", "value"] {
        if let Some(class) = given.one(&format!("{part}-deserializer"))?.filter(|class| !class.is_empty()) {
            properties.insert(format!("{part}.deserializer"), class.to_owned());
        }
    }
    properties.extend(given.pairs("property")?);
    properties.extend(given.pairs("formatter-property")?);
    Formatter::new(given.one("formatter")?.unwrap_or(FORMATTER), &properties).map_err(Ended::Failed)
}

/// Where reading begins.
enum Start {
    /// As the group has it.
    Group,
    /// The first record that is left of a partition.
    Beginning(TopicPartition),
    /// Its end.
    End(TopicPartition),
    /// An offset of it.
    At(TopicPartition, i64),
}

fn start(given: &Given) -> Result<Start, Ended> {
    let Some(partition) = given.parsed::<i32>("partition")? else { return Ok(Start::Group) };
    let place = TopicPartition::new(given.one("topic")?.unwrap_or_default(), partition);
    let text = given.one("offset")?.unwrap_or(if given.has("from-beginning") { "earliest" } else { "latest" });
    match (text.to_ascii_lowercase().as_str(), text.parse::<i64>()) {
        ("earliest", _) => Ok(Start::Beginning(place)),
        ("latest", _) => Ok(Start::End(place)),
        (_, Ok(offset)) if offset >= 0 => Ok(Start::At(place, offset)),
        _ => given.misuse(format!(
            "The provided offset value '{text}' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long."
        )),
    }
}

async fn read_all(given: &Given, config: ConsumerConfig, start: Start, formatter: &Formatter) -> Result<Ended, Ended> {
    let failed = |error: ClientError| Ended::Failed(error.to_string());
    let cluster = Cluster::with_config(config.connection.clone());
    let timeout = given.parsed::<i64>("timeout-ms")?.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
    match timeout {
        Some(_) => reach_or_tell("kafka-console-consumer", &cluster).await?,
        None => reach("kafka-console-consumer", &cluster, config.api_timeout).await.map_err(failed)?,
    }
    let mut consumer = Consumer::new(cluster, config);
    match start {
        Start::Group => topic_filter::subscribe(&mut consumer, given)?,
        Start::Beginning(place) => {
            consumer.assign(std::slice::from_ref(&place)).map_err(failed)?;
            consumer.seek_to_beginning(&[place]).map_err(failed)?;
        }
        Start::End(place) => {
            consumer.assign(std::slice::from_ref(&place)).map_err(failed)?;
            consumer.seek_to_end(&[place]).map_err(failed)?;
        }
        Start::At(place, offset) => {
            consumer.assign(std::slice::from_ref(&place)).map_err(failed)?;
            consumer.seek(&place, offset).map_err(failed)?;
        }
    }
    let mut printer = Printer {
        formatter,
        skip_errors: given.has("skip-message-on-error"),
        left: given.parsed::<i64>("max-messages")?.filter(|max| *max >= 0),
        count: 0,
    };
    let ended = print_until_done(&mut consumer, &mut printer, timeout, given.one("include")?).await;
    if let Err(error) = consumer.close().await {
        tell(&format!("kafka-console-consumer: {error}"));
    }
    tell(&format!("Processed a total of {} messages", printer.count));
    if given.has("enable-systest-events") {
        println!("shutdown_complete");
    }
    Ok(ended)
}

async fn print_until_done(
    consumer: &mut Consumer,
    printer: &mut Printer<'_>,
    timeout: Option<Duration>,
    mut pattern: Option<&str>,
) -> Ended {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(ended) => return ended,
    };
    let mut last = Moment::now();
    while !printer.is_done() {
        let wait = timeout.map_or(POLL, |timeout| timeout.saturating_sub(last.elapsed()).min(POLL));
        let polled = tokio::select! {
            polled = consumer.poll(wait) => polled,
            signal = signals.caught() => return Ended::Signalled(signal),
        };
        let records = match polled {
            Ok(records) => records,
            Err(error) => {
                // Apache's says it and ends well.
                tell(&format!("kafka-console-consumer: {error}"));
                return Ended::Well;
            }
        };
        if !records.is_empty() {
            last = Moment::now();
            if let Err(ended) = printer.print(consumer, &records) {
                return ended;
            }
        } else if timeout.is_some_and(|timeout| last.elapsed() >= timeout) {
            tell("kafka-console-consumer: no record came within --timeout-ms");
            return Ended::Well;
        } else if let Some(pattern) = pattern.take_if(|_| consumer.subscription().is_empty()) {
            tell(&format!("kafka-console-consumer: no topic matches {pattern} yet; waiting for one"));
        }
    }
    Ended::Well
}

/// Prints records and counts them.
struct Printer<'a> {
    formatter: &'a Formatter,
    skip_errors: bool,
    left: Option<i64>,
    count: u64,
}

impl Printer<'_> {
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints records, as many as are wanted; the next poll, and a commit, begin behind the last of them.
    fn print(&mut self, consumer: &mut Consumer, records: &Records) -> Result<(), Ended> {
        let mut text = Vec::new();
        let mut put_back: BTreeSet<TopicPartition> = BTreeSet::new();
        let mut broken = None;
        for record in records.iter() {
            if self.is_done() || broken.is_some() {
                if put_back.insert(record.place.clone())
                    && let Err(error) = consumer.seek(record.place, record.offset)
                {
                    // It was taken away meanwhile: its new owner reads it.
                    tracing::debug!(%error, "not put back");
                }
                continue;
            }
            self.count += 1;
            self.left = self.left.map(|left| left - 1);
            let begun = text.len();
            if let Err(reason) = self.formatter.write(&shown(&record), &mut text) {
                if self.skip_errors {
                    text.truncate(begun);
                    tell(&format!("kafka-console-consumer: skipped {}@{}: {reason}", record.place, record.offset));
                } else {
                    broken = Some(format!("{}@{}: {reason}", record.place, record.offset));
                }
            }
        }
        let mut out = std::io::stdout().lock();
        if out.write_all(&text).and_then(|()| out.flush()).is_err() {
            tell("Unable to write to standard out, closing consumer.");
            return Err(Ended::Well);
        }
        broken.map_or(Ok(()), |reason| Err(Ended::Failed(reason)))
    }
}

fn shown<'a>(record: &Record<'a>) -> Shown<'a> {
    let kind = match record.timestamp_type {
        TimestampType::CreateTime => TimestampKind::Create,
        TimestampType::LogAppendTime => TimestampKind::LogAppend,
    };
    Shown {
        topic: &record.place.topic,
        partition: record.partition(),
        offset: record.offset,
        timestamp: (kind, record.timestamp),
        key: record.key,
        value: record.value,
        headers: record.headers().collect(),
    }
}
