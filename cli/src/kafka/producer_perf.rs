//! kafka-producer-perf-test: how fast records are written (Java: `ProducerPerformance`).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use client::config::ProducerConfig;
use client::error::ClientError;
use client::metadata::Cluster;
use client::producer::{Delivery, NewRecord, Producer};
use millstream_base_env::clock::Moment;
use millstream_broker_log::render_uuid;
use serde_json::{Value, json};

use crate::Ended;
use crate::kafka::client_metrics;
use crate::kafka::java_number::fixed;
use crate::kafka::options::{Given, Options};
use crate::kafka::progress::Progress;
use crate::kafka::throttle::Throttle;
use crate::kafka::{block_on_threads, output};

const ABOUT: &str = "This tool is used to verify the producer performance.";
/// Latencies that are kept for the percentiles.
const SAMPLES: u64 = 500_000;
/// How long a transaction stays open unless something else is said.
const TRANSACTION_MS: i64 = 3000;
/// What a transactional id begins with that nobody chose.
const TRANSACTION_PREFIX: &str = "performance-producer-";
/// Between two looks at what was acknowledged, in records.
const LOOK_EVERY: u64 = 64;

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-producer-perf-test", ABOUT)
        .value(
            "bootstrap-server",
            "BOOTSTRAP-SERVER",
            "The server(s) to connect to; wins over bootstrap.servers of the other flags.",
        )
        .value("topic", "TOPIC", "REQUIRED: The topic to write to.")
        .value("num-records", "NUM-RECORDS", "REQUIRED: How many records to write.")
        .value("record-size", "RECORD-SIZE", "Bytes of a record; this, --payload-file or --payload-monotonic.")
        .value("payload-file", "PAYLOAD-FILE", "A file of records in UTF-8, of which each is chosen at random.")
        .flag("payload-monotonic", "Records are the numbers from 0 on.")
        .value(
            "payload-delimiter",
            "PAYLOAD-DELIMITER",
            "What stands between the records of --payload-file. [default: \\n]",
        )
        .value("throughput", "THROUGHPUT", "REQUIRED: Records in a second, about; -1 for as many as there are.")
        .many_values("producer-props", "PROP-NAME=PROP-VALUE", "(Deprecated) As --command-property.")
        .many_values("command-property", "PROP-NAME=PROP-VALUE", "Configs of the producer.")
        .value("producer.config", "CONFIG-FILE", "(Deprecated) As --command-config.")
        .producer_config("CONFIG-FILE")
        .flag("print-metrics", "Print the producer's metrics at the end.")
        .value(
            "transactional-id",
            "TRANSACTIONAL-ID",
            "Write in transactions of this id. [default: a new one, with --transaction-duration-ms]",
        )
        .value("transaction-duration-ms", "TRANSACTION-DURATION", "Commit after so many milliseconds. [default: 3000]")
        .value(
            "warmup-records",
            "WARMUP-RECORDS",
            "Records at the beginning that the second summary leaves out. [default: 0]",
        )
        .value("reporting-interval", "INTERVAL-MS", "Milliseconds between two reports. [default: 5000]")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        let plan = Plan::of(&given)?;
        block_on_threads(plan.send_all())
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

/// What a record holds.
enum Payload {
    Random(usize),
    Monotonic,
    Lines(Vec<Vec<u8>>),
}

struct Plan {
    topic: String,
    records: u64,
    warmup: u64,
    payload: Payload,
    throughput: f64,
    interval: Duration,
    /// How long a transaction stays open; None without transactions.
    transaction: Option<Duration>,
    metrics: bool,
    config: ProducerConfig,
}

fn need<T: std::str::FromStr>(given: &Given, name: &str) -> Result<T, Ended> {
    match given.parsed(name)? {
        Some(value) => Ok(value),
        None => given.misuse(format!("argument --{name} is required")),
    }
}

impl Plan {
    fn of(given: &Given) -> Result<Self, Ended> {
        let topic = need::<String>(given, "topic")?;
        let records = need::<i64>(given, "num-records")?;
        let throughput = need::<f64>(given, "throughput")?;
        let size = given.parsed::<i32>("record-size")?;
        let kinds = [size.is_some(), given.has("payload-file"), given.has("payload-monotonic")];
        if kinds.iter().filter(|kind| **kind).count() != 1 {
            return given.misuse(
                "one of the arguments --record-size --payload-file --payload-monotonic is required".to_owned(),
            );
        }
        if records <= 0 {
            return given.misuse("--num-records should be greater than zero.".to_owned());
        }
        let warmup = given.parsed::<i64>("warmup-records")?.unwrap_or(0).max(0);
        if warmup >= records {
            return given.misuse("The value for --warmup-records must be strictly fewer than the number of records in the test, --num-records.".to_owned());
        }
        if size.is_some_and(|size| size <= 0) {
            return given.misuse("--record-size should be greater than zero.".to_owned());
        }
        let sources = ["bootstrap-server", "command-property", "producer-props", "producer.config", "command-config"];
        if !sources.iter().any(|flag| given.has(flag)) {
            return given.misuse("At least one of --bootstrap-server, --command-property, --producer-props, --producer.config or --command-config must be specified.".to_owned());
        }
        for (new, old) in [("command-property", "producer-props"), ("command-config", "producer.config")] {
            if given.has(new) && given.has(old) {
                return given.misuse(format!("--{new} and --{old} cannot be specified together."));
            }
        }
        let duration = given.parsed::<i64>("transaction-duration-ms")?;
        if duration.is_some_and(|ms| ms <= 0) {
            return given.misuse("--transaction-duration-ms should be greater than zero.".to_owned());
        }
        let interval = given.parsed::<i64>("reporting-interval")?.unwrap_or(5000);
        if interval <= 0 {
            return given.misuse("--reporting-interval should be greater than zero.".to_owned());
        }
        let payload = payload(given, size)?;
        let config = config(given)?;
        let duration = Duration::from_millis(duration.unwrap_or(TRANSACTION_MS) as u64);
        Ok(Plan {
            topic,
            records: records as u64,
            warmup: warmup as u64,
            payload,
            throughput,
            interval: Duration::from_millis(interval as u64),
            transaction: config.transactional_id.as_ref().map(|_| duration),
            metrics: given.has("print-metrics"),
            config,
        })
    }

    async fn send_all(self) -> Result<(), Ended> {
        let failed = |error: ClientError| Ended::Failed(error.to_string());
        let producer = Producer::new(Cluster::with_config(self.config.connection.clone()), self.config.clone());
        if self.transaction.is_some() {
            producer.init_transactions().await.map_err(failed)?;
        }
        if self.warmup > 0 {
            output::say(&format!(
                "Warmup first {} records. Steady state results will print after the complete test summary.",
                self.warmup
            ));
        }
        let mut counts = Counts { all: Stats::new(self.records, self.interval, false), steady: None };
        let mut throttle = Throttle::new(self.throughput);
        let mut waiting: VecDeque<Waiting> = VecDeque::new();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut buffer = Vec::new();
        let mut open: Option<Moment> = None;
        let mut progress = Progress::new("records", self.records);
        for number in 0..self.records {
            let value = self.value(number, &mut random, &mut buffer);
            let sent = Moment::now();
            if self.transaction.is_some() && open.is_none() {
                producer.begin_transaction().map_err(failed)?;
                open = Some(sent);
            }
            if self.warmup > 0 && number == self.warmup {
                counts.steady = Some(Stats::new(self.records - self.warmup, self.interval, true));
                counts.all.silent = true;
            }
            let record = NewRecord { topic: &self.topic, value: Some(value), ..NewRecord::default() };
            let bytes = value.len();
            let delivery = producer.send(record).await.map_err(failed)?;
            waiting.push_back(Waiting { delivery, sent, bytes, steady: counts.steady.is_some() });
            if number.is_multiple_of(LOOK_EVERY) {
                progress.at(number);
                while waiting.front().is_some_and(|next| next.delivery.is_settled()) {
                    counts.take(waiting.pop_front()).await;
                }
            }
            if let (Some(duration), Some(begun)) = (self.transaction, open)
                && begun.elapsed() >= duration
            {
                producer.commit_transaction().await.map_err(failed)?;
                open = None;
            }
            throttle.wait(number).await;
        }
        if open.is_some() {
            producer.commit_transaction().await.map_err(failed)?;
        }
        while !waiting.is_empty() {
            counts.take(waiting.pop_front()).await;
        }
        if let Err(error) = producer.close(Duration::from_secs(60)).await {
            eprintln!("kafka-producer-perf-test: {error}");
        }
        counts.all.print_total();
        if let Some(steady) = &mut counts.steady {
            steady.print_total();
        }
        if self.metrics {
            client_metrics::print(producer.metrics());
        }
        Ok(())
    }

    fn value<'a>(&'a self, number: u64, random: &mut Random, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        match &self.payload {
            Payload::Lines(lines) => &lines[random.below(lines.len())],
            Payload::Monotonic => {
                buffer.clear();
                buffer.extend_from_slice(number.to_string().as_bytes());
                buffer
            }
            Payload::Random(size) => {
                buffer.resize(*size, 0);
                for chunk in buffer.chunks_mut(8) {
                    // Eight letters of one draw: of each byte, its share of the alphabet.
                    let bits = random.next().to_le_bytes();
                    chunk
                        .iter_mut()
                        .zip(bits)
                        .for_each(|(letter, bits)| *letter = b'A' + ((u16::from(bits) * 26) >> 8) as u8);
                }
                buffer
            }
        }
    }
}

/// Letters need no better generator than xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn payload(given: &Given, size: Option<i32>) -> Result<Payload, Ended> {
    if let Some(size) = size {
        return Ok(Payload::Random(size.max(0) as usize));
    }
    let Some(path) = given.one("payload-file")? else { return Ok(Payload::Monotonic) };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    output::say(&format!("Reading payloads from: {}", absolute.display()));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    if text.is_empty() {
        return Err(Ended::Failed("File does not exist or empty file provided.".to_owned()));
    }
    let delimiter = given.one("payload-delimiter")?.filter(|text| *text != "\\n").unwrap_or("\n");
    let lines: Vec<Vec<u8>> =
        text.strip_suffix(delimiter).unwrap_or(&text).split(delimiter).map(|line| line.as_bytes().to_vec()).collect();
    output::say(&format!("Number of records read: {}", lines.len()));
    Ok(Payload::Lines(lines))
}

fn config(given: &Given) -> Result<ProducerConfig, Ended> {
    for (old, new) in [("producer-props", "command-property"), ("producer.config", "command-config")] {
        if given.has(old) {
            output::say(&format!(
                "Option --{old} has been deprecated and will be removed in a future version. Use --{new} instead."
            ));
        }
    }
    let mut properties: HashMap<String, String> = given.properties("producer.config")?;
    properties.extend(given.properties("command-config")?);
    for pair in given.all("producer-props").into_iter().chain(given.all("command-property")) {
        match pair.split('=').collect::<Vec<_>>().as_slice() {
            [key, value] => drop(properties.insert((*key).to_owned(), (*value).to_owned())),
            _ => return Err(Ended::Failed(format!("Invalid property: {pair}"))),
        }
    }
    if let Some(id) = given.one("transactional-id")? {
        properties.insert("transactional.id".to_owned(), id.to_owned());
    } else if given.has("transaction-duration-ms") {
        let own = || format!("{TRANSACTION_PREFIX}{}", render_uuid(uuid::Uuid::new_v4()));
        properties.entry("transactional.id".to_owned()).or_insert_with(own);
    }
    properties.entry("client.id".to_owned()).or_insert_with(|| "perf-producer-client".to_owned());
    if let Some(servers) = given.one("bootstrap-server")? {
        properties.insert("bootstrap.servers".to_owned(), servers.to_owned());
    }
    let (config, unknown) =
        ProducerConfig::from_properties(properties).map_err(|error| Ended::Failed(error.to_string()))?;
    unknown.iter().for_each(|key| eprintln!("kafka-producer-perf-test: {key} is no config of a producer; left out"));
    Ok(config)
}

/// A record on its way.
struct Waiting {
    delivery: Delivery,
    sent: Moment,
    bytes: usize,
    /// Whether it was sent after the warm-up.
    steady: bool,
}

struct Counts {
    all: Stats,
    steady: Option<Stats>,
}

impl Counts {
    async fn take(&mut self, waiting: Option<Waiting>) {
        let Some(Waiting { delivery, sent, bytes, steady }) = waiting else { return };
        match delivery.await {
            // Records that failed are not counted among those sent.
            Err(error) => eprintln!("kafka-producer-perf-test: {error}"),
            Ok(_) => {
                let latency = sent.elapsed().as_millis() as u32;
                self.all.record(latency, bytes);
                if let Some(own) = self.steady.as_mut().filter(|_| steady) {
                    own.record(latency, bytes);
                }
            }
        }
    }
}

/// Counts and times of a stretch.
struct Window {
    since: Moment,
    count: u64,
    bytes: u64,
    latency_ms: u64,
    latency_max_ms: u32,
}

impl Window {
    fn new() -> Self {
        Window { since: Moment::now(), count: 0, bytes: 0, latency_ms: 0, latency_max_ms: 0 }
    }

    fn record(&mut self, latency_ms: u32, bytes: usize) {
        self.count += 1;
        self.bytes += bytes as u64;
        self.latency_ms += u64::from(latency_ms);
        self.latency_max_ms = self.latency_max_ms.max(latency_ms);
    }

    /// Records and mebibytes in a second, and the mean latency.
    fn rates(&self) -> (f64, f64, f64) {
        let ms = self.since.elapsed().as_millis() as f64;
        let per_second = |amount: f64| 1000.0 * amount / ms;
        (
            per_second(self.count as f64),
            per_second(self.bytes as f64) / 1_048_576.0,
            self.latency_ms as f64 / self.count as f64,
        )
    }
}

impl Window {
    fn object(&self) -> Value {
        let (records, megabytes, latency) = self.rates();
        json!({"records": self.count, "records_per_sec": records, "mb_per_sec": megabytes, "latency_avg_ms": latency, "latency_max_ms": self.latency_max_ms})
    }
}

/// Java: `ProducerPerformance.Stats`.
struct Stats {
    total: Window,
    window: Window,
    interval: Duration,
    sampling: u64,
    samples: Vec<u32>,
    steady: bool,
    silent: bool,
}

impl Stats {
    fn new(records: u64, interval: Duration, steady: bool) -> Self {
        let sampling = records / records.clamp(1, SAMPLES);
        Stats {
            total: Window::new(),
            window: Window::new(),
            interval,
            sampling,
            samples: Vec::new(),
            steady,
            silent: false,
        }
    }

    fn record(&mut self, latency_ms: u32, bytes: usize) {
        if self.total.count.is_multiple_of(self.sampling.max(1)) {
            self.samples.push(latency_ms);
        }
        self.total.record(latency_ms, bytes);
        self.window.record(latency_ms, bytes);
        if self.window.since.elapsed() >= self.interval {
            if self.steady && self.total.count == self.window.count {
                output::say("In steady state.");
            }
            if !self.silent && !output::as_objects(|| vec![self.window.object()]) {
                let (records, megabytes, latency) = self.window.rates();
                println!(
                    "{} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency.",
                    self.window.count,
                    fixed(records, 1),
                    fixed(megabytes, 2),
                    fixed(latency, 1),
                    fixed(f64::from(self.window.latency_max_ms), 1)
                );
            }
            self.window = Window::new();
        }
    }

    fn print_total(&mut self) {
        self.samples.sort_unstable();
        let at = |share: f64| self.samples.get((share * self.samples.len() as f64) as usize).copied().unwrap_or(0);
        let (records, megabytes, latency) = self.total.rates();
        let object = || {
            let mut whole = self.total.object();
            for (name, share) in [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99), ("p999_ms", 0.999)] {
                whole[name] = at(share).into();
            }
            whole["steady_state"] = self.steady.into();
            vec![whole]
        };
        if output::as_objects(object) {
            return;
        }
        println!(
            "{}{} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency, {} ms 50th, {} ms 95th, {} ms 99th, {} ms 99.9th.",
            self.total.count,
            if self.steady { " steady state" } else { "" },
            fixed(records, 6),
            fixed(megabytes, 2),
            fixed(latency, 2),
            fixed(f64::from(self.total.latency_max_ms), 2),
            at(0.5),
            at(0.95),
            at(0.99),
            at(0.999)
        );
    }
}
