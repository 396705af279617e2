//! kafka-verifiable-producer: numbers to a topic, and a line of JSON for what became of each (Java:
//! `VerifiableProducer`). Ends by itself after --max-messages, or by a signal; everything sent is settled first.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use client::config::ProducerConfig;
use client::error::ClientError;
use client::metadata::Cluster;
use client::producer::{Delivery, NewRecord, Producer};
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;
use serde_json::Value;

use crate::Ended;
use crate::kafka::block_on_threads;
use crate::kafka::java_exception;
use crate::kafka::java_number::double;
use crate::kafka::options::{Given, Options};
use crate::kafka::throttle::Throttle;
use crate::signals::Signals;

const ABOUT: &str = "This tool produces increasing integers to the specified topic and prints JSON metadata to stdout on each \"send\" request, making externally visible which messages have been acked and which have not.";

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-verifiable-producer", ABOUT)
        .value("topic", "TOPIC", "REQUIRED: The topic to write to.")
        .servers("HOST1:PORT1[,HOST2:PORT2[...]]")
        .value("max-messages", "MAX-MESSAGES", "Records to write; -1 for no end. [default: -1]")
        .value("throughput", "THROUGHPUT", "Records in a second, about; -1 for as many as there are. [default: -1]")
        .value("acks", "ACKS", "0, 1 or -1. [default: -1]")
        .value("producer.config", "CONFIG-FILE", "(Deprecated) As --command-config.")
        .value(
            "message-create-time",
            "CREATE-TIME",
            "The first record's time in milliseconds since 1970. [default: now]",
        )
        .value("value-prefix", "VALUE-PREFIX", "A number in front of each value, with a dot between.")
        .value("repeating-keys", "REPEATING-KEYS", "Keys are the numbers from 0 up to this one, again and again.")
        .producer_config("CONFIG-FILE")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        let plan = Plan::of(&given)?;
        block_on_threads(plan.produce())
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

/// An event as a line: its time, its name, and its fields as JSON.
pub fn print_event(name: &str, fields: &[(&str, String)]) {
    let mut line = format!("{{\"timestamp\":{},\"name\":\"{name}\"", Clock::Real.now_ms());
    for (field, value) in fields {
        line.push_str(&format!(",\"{field}\":{value}"));
    }
    println!("{line}}}");
}

/// A text as JSON, `null` for none.
pub fn json_text(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| Value::from(text).to_string())
}

struct Plan {
    topic: String,
    records: Option<u64>,
    throughput: i32,
    prefix: Option<i32>,
    create_time: Option<i64>,
    keys: Option<i32>,
    config: ProducerConfig,
}

impl Plan {
    fn of(given: &Given) -> Result<Self, Ended> {
        for name in ["topic", "bootstrap-server"] {
            if !given.has(name) {
                return given.misuse(format!("argument --{name} is required"));
            }
        }
        let acks = given.parsed::<i32>("acks")?.unwrap_or(-1);
        if !(-1..=1).contains(&acks) {
            return given.misuse(format!("argument --acks: invalid choice: '{acks}' (choose from {{0,1,-1}})"));
        }
        if given.has("producer.config") && given.has("command-config") {
            return given.misuse("Options --producer.config and --command-config are mutually exclusive.".to_owned());
        }
        let mut properties: HashMap<String, String> = [
            ("bootstrap.servers", given.one("bootstrap-server")?.unwrap_or_default().to_owned()),
            ("acks", acks.to_string()),
            // Nothing is sent twice: what is lost shows.
            ("retries", "0".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        if given.has("producer.config") {
            println!(
                "Option --producer.config has been deprecated and will be removed in a future version. Use --command-config instead."
            );
        }
        properties.extend(given.properties("producer.config")?);
        properties.extend(given.properties("command-config")?);
        let (config, unknown) =
            ProducerConfig::from_properties(properties).map_err(|error| Ended::Failed(error.to_string()))?;
        unknown
            .iter()
            .for_each(|key| eprintln!("kafka-verifiable-producer: {key} is no config of a producer; left out"));
        Ok(Plan {
            topic: given.one("topic")?.unwrap_or_default().to_owned(),
            records: u64::try_from(given.parsed::<i32>("max-messages")?.unwrap_or(-1)).ok(),
            throughput: given.parsed("throughput")?.unwrap_or(-1),
            prefix: given.parsed("value-prefix")?,
            create_time: given.parsed("message-create-time")?.filter(|time| *time != -1),
            keys: given.parsed("repeating-keys")?,
            config,
        })
    }

    async fn produce(self) -> Result<(), Ended> {
        let mut signals = Signals::new()?;
        let producer = Producer::new(Cluster::with_config(self.config.connection.clone()), self.config.clone());
        let started = Moment::now();
        let mut run = Run { plan: &self, sent: 0, acked: 0, waiting: VecDeque::new() };
        let caught = tokio::select! {
            () = run.send_all(&producer) => None,
            signal = signals.caught() => Some(signal),
        };
        while let Some(next) = run.waiting.pop_front() {
            run.settle(next).await;
        }
        if let Err(error) = producer.close(Duration::from_secs(60)).await {
            eprintln!("kafka-verifiable-producer: {error}");
        }
        print_event("shutdown_complete", &[]);
        let rate = 1000.0 * run.acked as f64 / started.elapsed().as_millis() as f64;
        print_event(
            "tool_data",
            &[
                ("sent", run.sent.to_string()),
                ("acked", run.acked.to_string()),
                ("target_throughput", self.throughput.to_string()),
                ("avg_throughput", double(rate)),
            ],
        );
        caught.map_or(Ok(()), |signal| Err(Ended::Signalled(signal)))
    }
}

/// A record on its way.
struct Sent {
    key: Option<String>,
    value: String,
    delivery: Delivery,
}

struct Run<'a> {
    plan: &'a Plan,
    sent: u64,
    acked: u64,
    waiting: VecDeque<Sent>,
}

impl Run<'_> {
    async fn send_all(&mut self, producer: &Producer) {
        print_event("startup_complete", &[]);
        let (plan, started) = (self.plan, Moment::now());
        let mut throttle = Throttle::new(f64::from(plan.throughput));
        let mut time = plan.create_time;
        let mut number = 0;
        while plan.records.is_none_or(|records| number < records) {
            let key = plan.keys.map(|keys| (number % keys.max(1) as u64).to_string());
            let value = plan.prefix.map_or_else(|| number.to_string(), |prefix| format!("{prefix}.{number}"));
            let record = NewRecord {
                topic: &plan.topic,
                timestamp: time,
                key: key.as_ref().map(String::as_bytes),
                value: Some(value.as_bytes()),
                ..NewRecord::default()
            };
            self.sent += 1;
            match producer.send(record).await {
                Ok(delivery) => self.waiting.push_back(Sent { key, value, delivery }),
                Err(error) => self.fail(key.as_deref(), &value, &error),
            }
            // As Apache's tool: the time runs on by how long the run has taken.
            time = time.map(|time| time + started.elapsed().as_millis() as i64);
            while let Some(next) = self.waiting.pop_front_if(|next| next.delivery.is_settled()) {
                self.settle(next).await;
            }
            throttle.wait(number).await;
            number += 1;
        }
        while let Some(next) = self.waiting.pop_front() {
            self.settle(next).await;
        }
    }

    async fn settle(&mut self, sent: Sent) {
        let Sent { key, value, delivery } = sent;
        match delivery.await {
            Err(error) => self.fail(key.as_deref(), &value, &error),
            Ok(written) => {
                self.acked += 1;
                print_event(
                    "producer_send_success",
                    &[
                        ("key", json_text(key.as_deref())),
                        ("value", json_text(Some(&value))),
                        ("offset", written.offset.to_string()),
                        ("topic", json_text(Some(&self.plan.topic))),
                        ("partition", written.partition.to_string()),
                    ],
                );
            }
        }
    }

    fn fail(&self, key: Option<&str>, value: &str, error: &ClientError) {
        let text = java_exception::to_string(error);
        let class = text.split(':').next().unwrap_or_default();
        print_event(
            "producer_send_error",
            &[
                ("key", json_text(key)),
                ("value", json_text(Some(value))),
                ("topic", json_text(Some(&self.plan.topic))),
                ("exception", json_text(Some(&format!("class {class}")))),
                ("message", json_text(Some(&error.to_string()))),
            ],
        );
    }
}
