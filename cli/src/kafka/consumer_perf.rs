//! kafka-consumer-perf-test: how fast records are read (Java: `ConsumerPerformance`). `--include` follows topics that are
//! made later.
//!
//! Not done: an effect of --socket-buffer-size, the system sizes the buffer; times are written in UTC.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::TopicPartition;
use client::config::ConsumerConfig;
use client::consumer::{Consumer, Offsets, RebalanceListener};
use client::error::ClientError;
use client::metadata::Cluster;
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;
use std::sync::Mutex;

use crate::Ended;
use crate::kafka::client_metrics;
use crate::kafka::java_number::fixed;
use crate::kafka::java_time::format_datetime;
use crate::kafka::options::{Given, Options};
use crate::kafka::progress::Progress;
use crate::kafka::topic_filter;
use crate::kafka::{block_on_threads, output, reach_or_tell};

const ABOUT: &str = "This tool is used to verify the consumer performance.";
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);
const MEBIBYTE: f64 = 1_048_576.0;
/// What stands behind the times in each line.
const COLUMNS: &str = "data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-consumer-perf-test", ABOUT)
        .servers("server to connect to")
        .value("topic", "topic", "The topic to read.")
        .value("include", "Java regex (String)", "A regular expression that names the topics to read.")
        .value("group", "gid", "The group to read as. [default: perf-consumer- and a number]")
        .value("fetch-size", "size", "Bytes of a partition in one fetch at most. [default: 1048576]")
        .value("command-property", "prop1=val1", "A config of the consumer, key=value.")
        .flag("from-latest", "Start at the end where the group has committed nothing.")
        .value("socket-buffer-size", "size", "Size of the socket's buffer. [default: 2097152]")
        .value("consumer.config", "config file", "(Deprecated) As --command-config.")
        .consumer_config("config file")
        .flag("print-metrics", "Print the consumer's metrics at the end.")
        .flag("show-detailed-stats", "Print a line in every interval.")
        .optional_value("timeout", "milliseconds", "Longest time without a record. [default: 10000]")
        .value("messages", "count", "(Deprecated) As --num-records.")
        .value("num-records", "count", "REQUIRED: Records to read.")
        .value("reporting-interval", "interval_ms", "Milliseconds between two reports. [default: 5000]")
        .value(
            "date-format",
            "date format",
            "How times are written, as java.text.SimpleDateFormat has it. [default: yyyy-MM-dd HH:mm:ss:SSS]",
        )
        .flag("hide-header", "Leave the line of titles out.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        given.required(&["bootstrap-server"])?;
        exactly_one(&given, ["topic", "include"])?;
        exactly_one(&given, ["messages", "num-records"])?;
        given.excludes("consumer.config", &["command-config"])?;
        for (old, new) in [("messages", "num-records"), ("consumer.config", "command-config")] {
            if given.has(old) {
                output::say(&format!("Warning: --{old} is deprecated. Use --{new} instead."));
            }
        }
        block_on_threads(measure(&given))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn exactly_one(given: &Given, names: [&str; 2]) -> Result<(), Ended> {
    if given.has(names[0]) != given.has(names[1]) {
        return Ok(());
    }
    given.misuse(format!("Exactly one of the following arguments is required: [{}], [{}]", names[0], names[1]))
}

fn config(given: &Given) -> Result<ConsumerConfig, Ended> {
    let mut properties = given.properties("consumer.config")?;
    properties.extend(given.properties("command-config")?);
    properties.extend(given.pairs("command-property")?);
    let mut set = |key: &str, value: String| drop(properties.insert(key.to_owned(), value));
    set("bootstrap.servers", given.one("bootstrap-server")?.unwrap_or_default().to_owned());
    let group = given.one("group")?.map(str::to_owned);
    set("group.id", group.unwrap_or_else(|| format!("perf-consumer-{}", uuid::Uuid::new_v4().as_u128() % 100_000)));
    set("max.partition.fetch.bytes", given.parsed::<i32>("fetch-size")?.unwrap_or(1 << 20).to_string());
    set("auto.offset.reset", if given.has("from-latest") { "latest" } else { "earliest" }.to_owned());
    // Unasked, nothing is set that would be told to be without effect.
    if let Some(size) = given.parsed::<i32>("socket-buffer-size")? {
        set("receive.buffer.bytes", size.to_string());
    }
    set("check.crcs", "false".to_owned());
    properties.entry("client.id".to_owned()).or_insert_with(|| "perf-consumer-client".to_owned());
    let (config, unknown) =
        ConsumerConfig::from_properties(properties).map_err(|error| Ended::Failed(error.to_string()))?;
    unknown.iter().for_each(|key| eprintln!("kafka-consumer-perf-test: {key} is no config of a consumer; left out"));
    Ok(config)
}

/// How long the group kept the member waiting.
struct Joining {
    since: Moment,
    total: Duration,
    round: Duration,
    assigned: BTreeSet<TopicPartition>,
}

impl Joining {
    fn since(since: Moment) -> Self {
        Joining { since, total: Duration::ZERO, round: Duration::ZERO, assigned: BTreeSet::new() }
    }
}

struct Listener(Arc<Mutex<Joining>>);

impl RebalanceListener for Listener {
    fn assigned(&mut self, partitions: &[TopicPartition]) {
        let Ok(mut joining) = self.0.lock() else { return };
        if joining.assigned.is_empty() {
            let waited = joining.since.elapsed();
            joining.total += waited;
            joining.round += waited;
        }
        joining.assigned.extend(partitions.iter().cloned());
    }

    fn revoked(&mut self, partitions: &[TopicPartition], _: &mut Offsets) {
        self.lost(partitions);
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        let Ok(mut joining) = self.0.lock() else { return };
        joining.assigned.retain(|place| !partitions.contains(place));
        if joining.assigned.is_empty() {
            joining.since = Moment::now();
        }
    }
}

/// What was read up to some moment.
#[derive(Clone, Copy, Default)]
struct Read {
    records: u64,
    bytes: u64,
}

fn timeout_ms(given: &Given) -> Result<i64, Ended> {
    match given.one("timeout")? {
        None | Some("") => Ok(10_000),
        Some(_) => Ok(given.parsed("timeout")?.unwrap_or_default()),
    }
}

fn warn_of_timeout(timeout_ms: i64) {
    output::say(&format!(
        "WARNING: Exiting before consuming the expected number of records: timeout ({timeout_ms} ms) exceeded. You can use the --timeout option to increase the timeout."
    ));
}

async fn measure(given: &Given) -> Result<(), Ended> {
    let failed = |error: ClientError| Ended::Failed(error.to_string());
    let detailed = given.has("show-detailed-stats");
    let pattern = given.one("date-format")?.unwrap_or("yyyy-MM-dd HH:mm:ss:SSS");
    let date = |ms: i64| format_datetime(ms, pattern).map_err(Ended::Failed);
    date(0)?;
    let wanted = given.parsed::<i64>("messages")?.or(given.parsed("num-records")?).unwrap_or_default().max(0) as u64;
    let timeout = timeout_ms(given)?;
    let interval = given.parsed::<u64>("reporting-interval")?.unwrap_or(5000);
    let titles = format!("{}, {COLUMNS}", if detailed { "time, threadId" } else { "start.time, end.time" });
    if !given.has("hide-header") && !output::is_json() {
        println!("{titles}");
    }
    if interval == 0 {
        return Err(Ended::Failed("Reporting interval must be greater than 0.".to_owned()));
    }
    let config = config(given)?;
    let cluster = Cluster::with_config(config.connection.clone());
    reach_or_tell("kafka-consumer-perf-test", &cluster).await?;
    let mut consumer = Consumer::new(cluster, config);
    let started = Clock::Real.now_ms();
    let clock = Moment::now();
    let joining = Arc::new(Mutex::new(Joining::since(clock)));
    consumer.set_listener(Box::new(Listener(joining.clone())));
    topic_filter::subscribe(&mut consumer, given)?;
    let interval = Duration::from_millis(interval);
    let (mut read, mut reported) = (Read::default(), (Read::default(), Duration::ZERO));
    let mut shown = Progress::new("records", wanted);
    let mut last = Duration::ZERO;
    let mut now = Duration::ZERO;
    while read.records < wanted && (now - last).as_millis() as i64 <= timeout {
        let records = consumer.poll(POLL).await.map_err(failed)?;
        now = clock.elapsed();
        shown.at(read.records);
        if !records.is_empty() {
            last = now;
        }
        for record in records.iter() {
            read.records += 1;
            read.bytes += record.key.map_or(0, <[u8]>::len) as u64 + record.value.map_or(0, <[u8]>::len) as u64;
        }
        if now - reported.1 >= interval && !records.is_empty() {
            let round = joining.lock().map_or(Duration::ZERO, |mut joining| std::mem::take(&mut joining.round));
            if detailed {
                let at = date(started + now.as_millis() as i64)?;
                print_row(&titles, &format!("{at}, 0, {}", progress(read, reported.0, now - reported.1, round)));
            }
            reported = (read, now);
        }
    }
    drop(shown);
    if read.records < wanted {
        warn_of_timeout(timeout);
    }
    let elapsed = clock.elapsed();
    let joined = joining.lock().map_or(Duration::ZERO, |joining| joining.total);
    if !detailed {
        let (from, to) = (date(started)?, date(started + elapsed.as_millis() as i64)?);
        print_row(&titles, &format!("{from}, {to}, {}", summary(read, elapsed, joined)));
    }
    if given.has("print-metrics") {
        client_metrics::print(consumer.metrics());
    }
    consumer.close().await.map_err(failed)
}

/// A line of the report.
fn print_row(titles: &str, row: &str) {
    let cells = row.split(", ").map(str::to_owned).collect();
    if !output::as_json(&titles.split(", ").collect::<Vec<_>>(), &[cells]) {
        println!("{row}");
    }
}

/// Of one interval.
fn progress(read: Read, before: Read, elapsed: Duration, joining: Duration) -> String {
    let ms = elapsed.as_millis() as f64;
    let fetching = elapsed.as_millis() as i64 - joining.as_millis() as i64;
    let (records, megabytes) = ((read.records - before.records) as f64, (read.bytes - before.bytes) as f64 / MEBIBYTE);
    let fetched = |amount: f64| if fetching <= 0 { 0.0 } else { 1000.0 * amount / fetching as f64 };
    format!(
        "{}, {}, {}, {}, {}, {fetching}, {}, {}",
        fixed(read.bytes as f64 / MEBIBYTE, 4),
        fixed(1000.0 * megabytes / ms, 4),
        read.records,
        fixed(1000.0 * records / ms, 4),
        joining.as_millis(),
        fixed(fetched(megabytes), 4),
        fixed(fetched(records), 4)
    )
}

/// Of the whole run.
fn summary(read: Read, elapsed: Duration, joining: Duration) -> String {
    let seconds = elapsed.as_millis() as f64 / 1000.0;
    let fetching = elapsed.as_millis() as i64 - joining.as_millis() as i64;
    let megabytes = read.bytes as f64 / MEBIBYTE;
    format!(
        "{}, {}, {}, {}, {}, {fetching}, {}, {}",
        fixed(megabytes, 4),
        fixed(megabytes / seconds, 4),
        read.records,
        fixed(read.records as f64 / seconds, 4),
        joining.as_millis(),
        fixed(megabytes / (fetching as f64 / 1000.0), 4),
        fixed(read.records as f64 / (fetching as f64 / 1000.0), 4)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_leave_joining_out() {
        let read = Read { records: 4000, bytes: 8 << 20 };
        let line = summary(read, Duration::from_secs(4), Duration::from_secs(2));
        assert_eq!(line, "8.0000, 2.0000, 4000, 1000.0000, 2000, 2000, 4.0000, 2000.0000");
        let line =
            progress(read, Read { records: 2000, bytes: 4 << 20 }, Duration::from_secs(1), Duration::from_secs(1));
        assert_eq!(line, "8.0000, 4.0000, 4000, 2000.0000, 1000, 0, 0.0000, 0.0000");
    }
}
