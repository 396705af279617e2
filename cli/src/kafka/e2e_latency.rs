//! kafka-e2e-latency: how long a record takes from producer to consumer (Java: `EndToEndLatency`).

use std::collections::HashMap;
use std::time::Duration;

use client::TopicPartition;
use client::admin::{Admin, NewTopic};
use client::config::{ConsumerConfig, ProducerConfig};
use client::consumer::{Consumer, Records};
use client::error::ClientError;
use client::metadata::Cluster;
use client::producer::{Header, NewRecord, Producer};
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;
use serde_json::json;

use crate::Ended;
use crate::kafka::java_number::{double, fixed};
use crate::kafka::options::{Given, Options};
use crate::kafka::progress::Progress;
use crate::kafka::{block_on_threads, output};

const ABOUT: &str = "This tool measures end-to-end latency in Kafka by sending messages and timing their reception.";
/// How long a record may take.
const POLL: Duration = Duration::from_secs(60);
const POSITIONAL: &str = "WARNING: Positional argument usage is deprecated and will be removed in Apache Kafka 5.0. Please use named arguments instead: --bootstrap-server, --topic, --num-records, --producer-acks, --record-size, --command-config";

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-e2e-latency", ABOUT)
        .servers("bootstrap-server")
        .value("topic", "topic-name", "REQUIRED: The topic to write to and to read; made if it is not there.")
        .value("num-records", "count", "REQUIRED: How many records to send.")
        .value("producer-acks", "producer-acks", "REQUIRED: '1' or 'all'.")
        .value("record-size", "bytes", "REQUIRED: Bytes of a value.")
        .optional_value("record-key-size", "bytes", "Bytes of a key. [default: 0]")
        .optional_value("record-header-key-size", "bytes", "Bytes of a header's name. [default: 0]")
        .optional_value("record-header-size", "bytes", "Bytes of a header's value, -1 for null. [default: 0]")
        .optional_value("num-headers", "count", "Headers of a record. [default: 0]")
        .optional_value("command-config", "config-file", "A properties file with configs of the clients.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = named(words).and_then(|words| options().read(&words)).and_then(|given| {
        let plan = Plan::of(&given)?;
        block_on_threads(plan.measure())
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

/// Words without names as they were given before Kafka 4.2 get their names.
fn named(words: &[String]) -> Result<Vec<String>, Ended> {
    const NAMES: [&str; 6] =
        ["--bootstrap-server", "--topic", "--num-records", "--producer-acks", "--record-size", "--command-config"];
    let has_names = words.iter().any(|word| NAMES[..5].contains(&word.as_str()));
    if words.is_empty() || has_names || words.iter().any(|word| word == "--help" || word == "--version") {
        return Ok(words.to_vec());
    }
    if words.len() != 5 && words.len() != 6 {
        return Err(Ended::Failed(format!(
            "Invalid number of arguments. Expected 5 or 6 positional arguments, but got {}. Usage: bootstrap-server topic num-records producer-acks record-size [optional] command-config",
            words.len()
        )));
    }
    output::say(POSITIONAL);
    Ok(NAMES.iter().zip(words).flat_map(|(name, word)| [(*name).to_owned(), word.clone()]).collect())
}

struct Plan {
    topic: String,
    records: usize,
    value_bytes: usize,
    key_bytes: usize,
    headers: usize,
    header_name_bytes: usize,
    header_value_bytes: Option<usize>,
    consumer: ConsumerConfig,
    producer: ProducerConfig,
}

fn number(given: &Given, name: &str) -> Result<i32, Ended> {
    match given.one(name)? {
        None | Some("") => Ok(0),
        Some(_) => Ok(given.parsed(name)?.unwrap_or_default()),
    }
}

impl Plan {
    fn of(given: &Given) -> Result<Self, Ended> {
        given.required(&["bootstrap-server", "topic", "num-records", "producer-acks", "record-size"])?;
        let acks = given.one("producer-acks")?.unwrap_or_default();
        if !["1", "all"].contains(&acks) {
            return given.misuse("Invalid value for --producer-acks. Latency testing requires synchronous acknowledgement. Please use '1' or 'all'.".to_owned());
        }
        let records = number(given, "num-records")?;
        if records <= 0 {
            return given.misuse("Value for --num-records must be a positive integer.".to_owned());
        }
        let size = |name: &str| match number(given, name)? {
            size if size < 0 => given.misuse(format!("Value for --{name} must be a non-negative integer.")),
            size => Ok(size as usize),
        };
        let header_value = number(given, "record-header-size")?;
        if header_value < -1 {
            return given.misuse(
                "Value for --record-header-size must be a non-negative integer or -1 for null header value.".to_owned(),
            );
        }
        let mut shared = given.properties("command-config")?;
        shared.insert("bootstrap.servers".to_owned(), given.one("bootstrap-server")?.unwrap_or_default().to_owned());
        let with = |own: &[(&str, &str)]| -> HashMap<String, String> {
            let mut properties = shared.clone();
            properties.extend(own.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
            properties
        };
        let group = format!("test-group-{}", Clock::Real.now_ms());
        let consumer = with(&[
            ("group.id", &group),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "latest"),
            ("fetch.max.wait.ms", "0"),
        ]);
        let producer = with(&[("linger.ms", "0"), ("max.block.ms", "9223372036854775807"), ("acks", acks)]);
        let failed = |error: ClientError| Ended::Failed(error.to_string());
        Ok(Plan {
            topic: given.one("topic")?.unwrap_or_default().to_owned(),
            records: records as usize,
            value_bytes: size("record-size")?,
            key_bytes: size("record-key-size")?,
            headers: size("num-headers")?,
            header_name_bytes: size("record-header-key-size")?,
            header_value_bytes: usize::try_from(header_value).ok(),
            consumer: ConsumerConfig::from_properties(consumer).map_err(failed)?.0,
            producer: ProducerConfig::from_properties(producer).map_err(failed)?.0,
        })
    }

    async fn measure(self) -> Result<(), Ended> {
        let failed = |error: ClientError| Ended::Failed(error.to_string());
        let cluster = Cluster::with_config(self.consumer.connection.clone());
        let admin = Admin::new(cluster.clone());
        if !admin.list_topics().await.map_err(failed)?.iter().any(|topic| topic.name == self.topic) {
            output::say(&format!(
                "Topic \"{}\" does not exist. Will create topic with 1 partition(s) and replication factor = 1",
                self.topic
            ));
            let topic = NewTopic {
                name: self.topic.clone(),
                partitions: Some(1),
                replication_factor: Some(1),
                assignment: Vec::new(),
                configs: Vec::new(),
            };
            if let Err(error) = admin.create_topic(&topic).await {
                println!("Creation of topic {} failed", self.topic);
                return Err(failed(error));
            }
        }
        let mut consumer = Consumer::new(cluster.clone(), self.consumer.clone());
        let count = consumer.partition_count(&self.topic).await.map_err(failed)?;
        let places: Vec<_> = (0..count as i32).map(|number| TopicPartition::new(&self.topic, number)).collect();
        consumer.assign(&places).map_err(failed)?;
        consumer.seek_to_end(&places).map_err(failed)?;
        for place in &places {
            consumer.position(place).await.map_err(failed)?;
        }
        let producer = Producer::new(cluster, self.producer.clone());
        let mut letters = 0u8;
        let mut latencies = Vec::with_capacity(self.records);
        let mut total = Duration::ZERO;
        let mut progress = Progress::new("records", self.records as u64);
        for number in 0..self.records {
            let elapsed = self.once(&producer, &mut consumer, &mut letters).await?;
            if number.is_multiple_of(1000) {
                output::say(&format!("{number}\t{}", double(elapsed.as_nanos() as f64 / 1000.0 / 1000.0)));
            }
            progress.at(number as u64);
            total += elapsed;
            latencies.push(elapsed.as_millis());
        }
        drop(progress);
        let average = total.as_nanos() as f64 / self.records as f64 / 1_000_000.0;
        latencies.sort_unstable();
        let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
        let object = || {
            vec![
                json!({"avg_ms": average, "p50_ms": at(0.5) as u64, "p99_ms": at(0.99) as u64, "p999_ms": at(0.999) as u64}),
            ]
        };
        if output::as_objects(object) {
            consumer.commit().await.map_err(failed)?;
            return consumer.close().await.map_err(failed);
        }
        println!("Avg latency: {} ms", fixed(average, 4));
        println!("Percentiles: 50th = {}, 99th = {}, 99.9th = {}", at(0.5), at(0.99), at(0.999));
        consumer.commit().await.map_err(failed)?;
        consumer.close().await.map_err(failed)
    }

    /// One record there and back.
    async fn once(&self, producer: &Producer, consumer: &mut Consumer, letters: &mut u8) -> Result<Duration, Ended> {
        let failed = |error: ClientError| Ended::Failed(error.to_string());
        let mut bytes = |length: usize| {
            *letters = (*letters + 7) % 26;
            vec![b'A' + *letters; length]
        };
        let (key, value) = (bytes(self.key_bytes), bytes(self.value_bytes));
        let headers: Vec<(String, Option<Vec<u8>>)> = (0..self.headers)
            .map(|_| {
                let name = bytes(self.header_name_bytes).into_iter().map(char::from).collect();
                (name, self.header_value_bytes.map(&mut bytes))
            })
            .collect();
        let sent: Vec<Header<'_>> = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let began = Moment::now();
        let record = NewRecord {
            topic: &self.topic,
            key: Some(&key),
            value: Some(&value),
            headers: &sent,
            ..NewRecord::default()
        };
        producer.send(record).await.map_err(failed)?.await.map_err(failed)?;
        let records = consumer.poll(POLL).await.map_err(failed)?;
        let elapsed = began.elapsed();
        match unlike(&records, &record) {
            None => Ok(elapsed),
            Some(reason) => {
                consumer.commit().await.map_err(failed)?;
                Err(Ended::Failed(reason))
            }
        }
    }
}

/// What is wrong with what came back.
fn unlike(records: &Records, sent: &NewRecord<'_>) -> Option<String> {
    let Some(read) = records.iter().next() else {
        return Some(format!("poll() timed out before finding a result (timeout:[{}ms])", POLL.as_millis()));
    };
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or_else(|| "null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    if read.value != sent.value {
        return Some(format!(
            "The message value read [{}] did not match the message value sent [{}]",
            text(read.value),
            text(sent.value)
        ));
    }
    if read.key != sent.key {
        return Some(format!(
            "The message key read [{}] did not match the message key sent [{}]",
            text(read.key),
            text(sent.key)
        ));
    }
    if !read.headers().eq(sent.headers.iter().map(|(name, value)| (name.as_bytes(), *value))) {
        return Some("The message headers read did not match those sent".to_owned());
    }
    (records.len() != 1).then(|| format!("Only one result was expected during this test. We found [{}]", records.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_names_get_them() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let all = named(&words("b:1 t 5 all 10")).unwrap();
        assert_eq!(all, words("--bootstrap-server b:1 --topic t --num-records 5 --producer-acks all --record-size 10"));
        assert!(matches!(named(&words("b:1 t 5")), Err(Ended::Failed(line)) if line.contains("but got 3")));
        assert_eq!(named(&words("--topic t")).unwrap(), words("--topic t"));
    }
}
