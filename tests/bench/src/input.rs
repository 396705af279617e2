//! What goes into the streams applications, and when they are done: the same records in each run, from a fixed seed.
//!
//! Called by `cost.rs`. Never measured: it is written before any application starts.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use client::admin::{Admin, NewTopic};
use client::config::ProducerConfig;
use client::metadata::Cluster;
use client::producer::{NewRecord, Producer};
use millstream_base_env::Clock;

/// Partitions of every topic.
pub const PARTITIONS: i32 = 4;
const LINES: usize = 500_000;
const WORDS_PER_LINE: usize = 10;
/// Different words; the rank of each is drawn by Zipf's law.
const VOCABULARY: usize = 100_000;
const TUMBLING_EVENTS: usize = 2_000_000;
const HOPPING_EVENTS: usize = 200_000;
const EVENT_KEYS: usize = 10_000;
/// Of how many events one is late, and by how much.
const LATE_EVERY: usize = 20;
const LATE_MS: i64 = 4_000;
const PAIRS: usize = 500_000;
const USERS: usize = 200_000;
const ORDERS: usize = 1_000_000;
const RESTORED: usize = 5_000_000;
const WARM: usize = 100_000;
const PADDING: &str = "0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789-0123";
/// The id of applications whose changelog is part of the input.
const SHARED_ID: &str = "restored";

/// When an application has done its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The last counts of all keys sum up to this.
    Sum(i64),
    /// As many records came out.
    Records(usize),
    /// It runs.
    Running,
}

impl Goal {
    /// Whether it has.
    pub fn is_reached(self, records: usize, sum: i64) -> bool {
        match self {
            Goal::Sum(wanted) => sum >= wanted,
            Goal::Records(wanted) => records >= wanted,
            Goal::Running => true,
        }
    }
}

/// What was made.
pub struct Input {
    /// When the application is done.
    pub goal: Goal,
    /// By how many records its CPU is divided.
    pub records: usize,
    /// What one of them is called.
    pub unit: &'static str,
    /// Whether all records out are compared, not only the last of each key.
    pub every_record: bool,
    id: Option<&'static str>,
}

impl Input {
    /// The application id of a run of that name.
    pub fn application_id(&self, name: &str) -> String {
        self.id.map_or_else(|| name.to_owned(), str::to_owned)
    }
}

/// Makes a topic.
///
/// # Errors
/// When it is refused.
pub async fn create(broker: SocketAddr, topic: &str) -> anyhow::Result<()> {
    let new = NewTopic { name: topic.to_owned(), partitions: Some(PARTITIONS), ..NewTopic::default() };
    Ok(Admin::new(Cluster::new(&broker.to_string())).create_topic(&new).await?)
}

/// Writes the input of a scenario.
///
/// # Errors
/// When it has none, or the broker refuses it.
pub async fn make(scenario: &str, broker: SocketAddr) -> anyhow::Result<Input> {
    let producer = Producer::new(
        Cluster::new(&broker.to_string()),
        ProducerConfig { linger: Duration::from_millis(5), ..ProducerConfig::default() },
    );
    let mut writer = Writer { broker, producer, first_ms: Clock::Real.now_ms() - 86_400_000, seed: 1 };
    let counted = |records: usize, unit: &'static str, every_record: bool| Input {
        goal: Goal::Records(records),
        records,
        unit,
        every_record,
        id: None,
    };
    let input = match scenario {
        "streams-wordcount" => {
            writer.lines().await?;
            let words = LINES * WORDS_PER_LINE;
            Input { goal: Goal::Sum(words as i64), records: words, unit: "CPU per word", every_record: false, id: None }
        }
        "streams-tumbling" => {
            writer.events(TUMBLING_EVENTS).await?;
            let goal = Goal::Sum(TUMBLING_EVENTS as i64);
            Input { goal, ..counted(TUMBLING_EVENTS, "CPU per event", false) }
        }
        "streams-hopping" => {
            writer.events(HOPPING_EVENTS).await?;
            // Each event belongs to twelve windows, none of which begins before 1970.
            Input { goal: Goal::Sum(12 * HOPPING_EVENTS as i64), ..counted(HOPPING_EVENTS, "CPU per event", false) }
        }
        "streams-ss-join" => {
            writer.pairs().await?;
            counted(PAIRS, "CPU per pair", true)
        }
        "streams-st-join" => {
            writer.orders().await?;
            counted(ORDERS, "CPU per order", true)
        }
        "streams-restore" | "streams-start" => {
            let rows = if scenario == "streams-restore" { RESTORED } else { WARM };
            writer.changelog(rows).await?;
            Input { goal: Goal::Running, records: rows, unit: "CPU per row", every_record: false, id: Some(SHARED_ID) }
        }
        other => bail!("no input for {other}"),
    };
    writer.producer.flush().await?;
    Ok(input)
}

struct Writer {
    broker: SocketAddr,
    producer: Producer,
    first_ms: i64,
    seed: u64,
}

impl Writer {
    /// The next of a row of pseudo-random numbers (xorshift64*).
    fn next(&mut self) -> u64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    async fn push(&self, topic: &str, at: usize, key: Option<&str>, value: &str) -> anyhow::Result<()> {
        let partition = key.is_none().then_some((at % PARTITIONS as usize) as i32);
        let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
        let timestamp = Some(self.first_ms + at as i64);
        let record = NewRecord { topic, partition, timestamp, key, value, ..NewRecord::default() };
        Ok(self.producer.push(record).await?)
    }

    async fn lines(&mut self) -> anyhow::Result<()> {
        create(self.broker, "lines").await?;
        let words: Vec<String> = (0..VOCABULARY).map(word).collect();
        let law = Zipf::new(VOCABULARY);
        for at in 0..LINES {
            let line: Vec<&str> = (0..WORDS_PER_LINE).map(|_| words[law.rank(self.unit())].as_str()).collect();
            self.push("lines", at, None, &line.join(" ")).await?;
        }
        Ok(())
    }

    async fn events(&mut self, count: usize) -> anyhow::Result<()> {
        create(self.broker, "events").await?;
        let law = Zipf::new(EVENT_KEYS);
        for at in 0..count {
            let key = format!("key-{}", law.rank(self.unit()));
            let late = if at % LATE_EVERY == LATE_EVERY - 1 { LATE_MS } else { 0 };
            let timestamp = Some(self.first_ms + at as i64 - late);
            let (key, value) = (Some(key.as_bytes()), Some(PADDING.as_bytes()));
            self.producer.push(NewRecord { topic: "events", timestamp, key, value, ..NewRecord::default() }).await?;
        }
        Ok(())
    }

    async fn pairs(&mut self) -> anyhow::Result<()> {
        create(self.broker, "left").await?;
        create(self.broker, "right").await?;
        for at in 0..PAIRS {
            let key = format!("key-{at}");
            self.push("left", at, Some(&key), &format!("left-{at}")).await?;
            self.push("right", at, Some(&key), &format!("right-{at}")).await?;
        }
        Ok(())
    }

    async fn orders(&mut self) -> anyhow::Result<()> {
        create(self.broker, "users").await?;
        create(self.broker, "orders").await?;
        for at in 0..USERS {
            self.push("users", at, Some(&format!("user-{at}")), &format!("name-{at}")).await?;
        }
        for at in 0..ORDERS {
            let user = self.next() as usize % USERS;
            self.push("orders", USERS + at, Some(&format!("user-{user}")), &format!("order-{at}")).await?;
        }
        Ok(())
    }

    async fn changelog(&mut self, rows: usize) -> anyhow::Result<()> {
        create(self.broker, "rows").await?;
        let topic = format!("{SHARED_ID}-rows-changelog");
        create(self.broker, &topic).await?;
        for at in 0..rows {
            self.push(&topic, at, Some(&format!("row-{at}")), PADDING).await?;
        }
        Ok(())
    }
}

/// The word of a rank: common ones are short.
fn word(rank: usize) -> String {
    let mut rest = rank + 1;
    let mut word = String::from("w");
    while rest > 0 {
        word.push(char::from(b'a' + (rest % 20) as u8));
        rest /= 20;
    }
    word
}

/// Ranks whose frequency falls with one over the rank.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(ranks: usize) -> Zipf {
        let weights = (1..=ranks).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        let sums: Vec<f64> = weights.collect();
        let total = sums.last().copied().unwrap_or(1.0);
        Zipf(sums.into_iter().map(|sum| sum / total).collect())
    }

    fn rank(&self, unit: f64) -> usize {
        self.0.partition_point(|sum| *sum < unit).min(self.0.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rank_is_as_frequent_as_zipf_says() {
        let law = Zipf::new(100);
        let harmonic: f64 = (1..=100).map(|rank| 1.0 / f64::from(rank)).sum();
        let first = (0..10_000).filter(|at| law.rank(f64::from(*at) / 10_000.0) == 0).count();
        assert!((first as f64 / 10_000.0 - 1.0 / harmonic).abs() < 0.001);
        assert_eq!(law.rank(1.0), 99);
    }

    #[test]
    fn words_are_all_different() {
        let words: std::collections::HashSet<String> = (0..10_000).map(word).collect();
        assert_eq!(words.len(), 10_000);
    }
}
