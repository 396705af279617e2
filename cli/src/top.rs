//! `millstream top`: a live view of any Kafka cluster in a terminal, in the place of kafka-jmx: brokers, topics by what
//! flows into them, groups by their lag.
//!
//! Asks over the Kafka protocol only, so it works with every broker: bytes are those of the logs, records those between
//! two looks at the ends of the partitions. With `--metrics` the bytes that consumers read are taken from the broker's
//! metrics page too. `--once` prints one look and ends; `--output json` prints it for programs.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use client::TopicPartition;
use client::admin::{Admin, ClusterNode, Fenced, OffsetSpec};
use client::error::ClientError;
use client::metadata::Cluster;
use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::Ended;
use crate::kafka::block_on;

/// Partitions in one answer when topics are described.
const PAGE: i32 = 2000;
/// Rows of a terminal that does not say how many it has.
const ROWS: usize = 24;
/// A metrics page at most.
const METRICS_BYTES_MAX: u64 = 8 << 20;

/// The flags.
pub fn command() -> Command {
    let flag = |name: &'static str, shown: &'static str, help: &'static str| Arg::new(name).long(name).value_name(shown).help(help);
    Command::new("top")
        .about("Show brokers, topics by bytes and groups by lag, live")
        .arg(flag("bootstrap-server", "HOST:PORT", "The cluster to look at [default: 127.0.0.1:9092]"))
        .arg(flag("metrics", "HOST:PORT", "A metrics page of the broker, for the bytes that are read"))
        .arg(flag("interval", "SECONDS", "Time between two looks [default: 2]").value_parser(value_parser!(f64)))
        .arg(flag("output", "FORMAT", "text or json").value_parser(["text", "json"]))
        .arg(Arg::new("once").long("once").action(ArgAction::SetTrue).help("Print one look and end"))
}

/// Runs it.
pub fn run(given: &ArgMatches) -> Ended {
    let text = |name: &str| given.get_one::<String>(name).cloned();
    let seconds = given.get_one::<f64>("interval").copied().unwrap_or(2.0);
    if !(0.1..=3600.0).contains(&seconds) {
        return Ended::Misused(format!("--interval {seconds} is not between 0.1 and 3600"));
    }
    let view = View {
        admin: Admin::new(Cluster::new(&text("bootstrap-server").unwrap_or_else(|| "127.0.0.1:9092".to_owned()))),
        metrics: text("metrics"),
        interval: Duration::from_secs_f64(seconds),
        json: text("output").is_some_and(|format| format == "json"),
        once: given.get_flag("once") || !std::io::stdout().is_terminal(),
    };
    block_on(view.show()).map_or_else(|ended| ended, |()| Ended::Well)
}

struct View {
    admin: Admin,
    metrics: Option<String>,
    interval: Duration,
    json: bool,
    once: bool,
}

/// What a topic holds, and what has gone through it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Topic {
    partitions: usize,
    bytes: i64,
    records: i64,
    /// Bytes that were read since the broker started, where its metrics say so.
    read: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    state: String,
    members: usize,
    lag: i64,
    committed: i64,
}

/// One look.
#[derive(Clone, Debug)]
struct Look {
    at: Moment,
    nodes: Vec<ClusterNode>,
    bytes_of: BTreeMap<i32, i64>,
    topics: BTreeMap<String, Topic>,
    groups: BTreeMap<String, Group>,
}

impl View {
    async fn show(&self) -> Result<(), Ended> {
        let failed = |error: ClientError| Ended::Failed(error.to_string());
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
            return Err(Ended::Failed("cannot wait for signals".to_owned()));
        };
        let mut before = self.look().await.map_err(failed)?;
        if self.once {
            task::sleep(self.interval).await;
            let now = self.look().await.map_err(failed)?;
            let text = if self.json { format!("{}\n", as_json(&before, &now)) } else { render(&before, &now, usize::MAX) };
            return std::io::stdout().write_all(text.as_bytes()).map_err(|_| Ended::FailedAloud);
        }
        let screen = Screen::open();
        let mut quit = quit_key();
        loop {
            tokio::select! {
                () = task::sleep(self.interval) => {}
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = &mut quit => return Ok(()),
            }
            match self.look().await {
                Ok(now) => {
                    screen.draw(&render(&before, &now, screen.rows()));
                    before = now;
                }
                // The cluster may come back; what was seen stays on the screen.
                Err(error) => screen.draw(&format!("{error}\n")),
            }
        }
    }

    async fn look(&self) -> Result<Look, ClientError> {
        let nodes = self.admin.describe_cluster(Fenced::Included).await?.nodes;
        let names: Vec<String> = self.admin.list_topics().await?.into_iter().map(|topic| topic.name).collect();
        let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
        let mut places = Vec::new();
        for topic in self.admin.describe_topics(&names, PAGE).await? {
            places.extend(topic.partitions.iter().filter(|own| own.leader.is_some()).map(|own| TopicPartition::new(&topic.name, own.partition)));
            topics.insert(topic.name, Topic { partitions: topic.partitions.len(), ..Topic::default() });
        }
        let ends: BTreeMap<TopicPartition, i64> = self.admin.list_offsets(&places, OffsetSpec::Latest).await?.into_iter().collect();
        for (at, end) in &ends {
            topics.entry(at.topic.clone()).or_default().records += end;
        }
        let mut bytes_of = BTreeMap::new();
        for node in nodes.iter().filter(|node| !node.fenced) {
            let mut total = 0;
            for folder in self.admin.describe_log_dirs(node.id).await? {
                for (at, replica) in folder.replicas {
                    total += replica.size;
                    topics.entry(at.topic).or_default().bytes += replica.size;
                }
            }
            bytes_of.insert(node.id, total);
        }
        if let Some(address) = &self.metrics {
            for (topic, bytes) in read_bytes(&page(address).await.unwrap_or_default()) {
                topics.entry(topic).or_default().read = Some(bytes);
            }
        }
        let groups = self.groups(&ends).await?;
        Ok(Look { at: Moment::now(), nodes, bytes_of, topics, groups })
    }

    async fn groups(&self, ends: &BTreeMap<TopicPartition, i64>) -> Result<BTreeMap<String, Group>, ClientError> {
        let mut groups = BTreeMap::new();
        let listed = self.admin.list_consumer_groups(&[], &[]).await?;
        let ids: Vec<String> = listed.iter().map(|listing| listing.group_id.clone()).collect();
        let (described, mut committed) = (self.admin.describe_groups(&ids).await?, self.admin.committed_offsets_of(&ids).await?);
        for listing in listed {
            let mut group = Group { state: listing.state, ..Group::default() };
            // A group may go between two questions.
            if let Some(Ok(described)) = described.get(&listing.group_id) {
                group.members = described.members.len();
            }
            let offsets = committed.remove(&listing.group_id).and_then(Result::ok).unwrap_or_default();
            for (at, committed) in offsets.into_iter().filter_map(|(at, committed)| Some((at, committed.ok()?))) {
                group.committed += committed.offset;
                group.lag += ends.get(&at).map_or(0, |end| (end - committed.offset).max(0));
            }
            groups.insert(listing.group_id, group);
        }
        Ok(groups)
    }
}

/// Resolves when q was typed, or when there is nobody left to type it. The thread waits for a key as long as the process
/// lives.
fn quit_key() -> oneshot::Receiver<()> {
    let (typed, quit) = oneshot::channel();
    std::thread::spawn(move || {
        let mut keys = std::io::stdin().lock();
        let mut key = [0];
        while keys.read(&mut key).is_ok_and(|count| count == 1 && key[0] != b'q') {}
        // Whoever waited may be gone: then the view has ended already.
        let _ = typed.send(());
    });
    quit
}

/// The text of a metrics page.
async fn page(address: &str) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut text = Vec::new();
    stream.take(METRICS_BYTES_MAX).read_to_end(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Bytes read of each topic, of a metrics page.
fn read_bytes(page: &str) -> Vec<(String, f64)> {
    let of_line = |line: &str| {
        let (name, rest) = line.split_once('{')?;
        let (labels, value) = rest.rsplit_once('}')?;
        let topic = labels.split(',').find_map(|label| label.trim().strip_prefix("topic=\"")?.strip_suffix('"'))?;
        (name == "broker_fetch_bytes_total").then(|| Some((topic.to_owned(), value.trim().parse().ok()?)))?
    };
    page.lines().filter_map(of_line).collect()
}

/// A topic's line: its name, itself, bytes and records in a second that came, bytes in a second that went.
type Flow<'a> = (&'a str, &'a Topic, f64, f64, Option<f64>);

fn flows<'a>(before: &Look, now: &'a Look) -> Vec<Flow<'a>> {
    let seconds = (now.at.instant() - before.at.instant()).as_secs_f64().max(0.001);
    let mut rows: Vec<Flow<'a>> = now
        .topics
        .iter()
        .map(|(name, topic)| {
            let old = before.topics.get(name).cloned().unwrap_or_default();
            let rate = |amount: f64| (amount / seconds).max(0.0);
            let read = topic.read.zip(old.read).map(|(now, old)| rate(now - old));
            (name.as_str(), topic, rate((topic.bytes - old.bytes) as f64), rate((topic.records - old.records) as f64), read)
        })
        .collect();
    let flow = |row: &Flow<'_>| row.2 + row.4.unwrap_or(0.0);
    rows.sort_by(|left, right| flow(right).total_cmp(&flow(left)).then(right.1.bytes.cmp(&left.1.bytes)).then(left.0.cmp(right.0)));
    rows
}

fn lags(now: &Look) -> Vec<(&String, &Group)> {
    let mut rows: Vec<_> = now.groups.iter().collect();
    rows.sort_by_key(|(name, group)| (std::cmp::Reverse(group.lag), *name));
    rows
}

/// The screen's text, at most `rows` lines.
fn render(before: &Look, now: &Look, rows: usize) -> String {
    let mut lines = vec![format!("{:<10} {:<24} {:<10} {:>12}", "BROKER", "ADDRESS", "STATE", "BYTES")];
    for node in &now.nodes {
        let address = format!("{}:{}", node.host, node.port);
        let state = if node.fenced { "fenced" } else { "up" };
        lines.push(format!("{:<10} {address:<24} {state:<10} {:>12}", node.id, scaled(now.bytes_of.get(&node.id).copied().unwrap_or(0) as f64)));
    }
    // Topics and groups share what is left, two titles and two blank lines off.
    let left = rows.saturating_sub(lines.len() + 4);
    let groups = lags(now);
    let topics = flows(before, now);
    let for_groups = groups.len().min((left / 2).max(left.saturating_sub(topics.len())));
    lines.push(String::new());
    lines.push(format!("{:<40} {:>10} {:>12} {:>12} {:>12} {:>12}", "TOPIC", "PARTITIONS", "IN/S", "OUT/S", "RECORDS/S", "BYTES"));
    for (name, topic, bytes, records, read) in topics.into_iter().take(left.saturating_sub(for_groups)) {
        let read = read.map_or_else(|| "-".to_owned(), scaled);
        lines.push(format!("{name:<40} {:>10} {:>12} {read:>12} {records:>12.1} {:>12}", topic.partitions, scaled(bytes), scaled(topic.bytes as f64)));
    }
    lines.push(String::new());
    lines.push(format!("{:<40} {:>10} {:>12} {:>12}", "GROUP", "MEMBERS", "STATE", "LAG"));
    for (name, group) in groups.into_iter().take(for_groups) {
        lines.push(format!("{name:<40} {:>10} {:>12} {:>12}", group.members, group.state, group.lag));
    }
    lines.truncate(rows);
    lines.join("\n") + "\n"
}

fn as_json(before: &Look, now: &Look) -> Value {
    let brokers: Vec<Value> = now
        .nodes
        .iter()
        .map(|node| json!({"id": node.id, "host": node.host, "port": node.port, "fenced": node.fenced, "bytes": now.bytes_of.get(&node.id)}))
        .collect();
    let topics: Vec<Value> = flows(before, now)
        .into_iter()
        .map(|(name, topic, bytes, records, read)| {
            json!({"topic": name, "partitions": topic.partitions, "bytes": topic.bytes, "records": topic.records,
                   "bytes_in_per_second": bytes, "records_in_per_second": records, "bytes_out_per_second": read})
        })
        .collect();
    let groups: Vec<Value> = lags(now)
        .into_iter()
        .map(|(name, group)| json!({"group": name, "state": group.state, "members": group.members, "lag": group.lag}))
        .collect();
    json!({"brokers": brokers, "topics": topics, "groups": groups})
}

/// Bytes for people: `1.5 MiB`.
fn scaled(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut amount = bytes;
    while amount >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{amount:.0} B") } else { format!("{amount:.1} {}", units[unit]) }
}

/// The terminal's other screen, with keys as they are typed; as it was before when dropped.
struct Screen {
    saved: Option<String>,
}

impl Screen {
    fn open() -> Self {
        let saved = stty(&["-g"]);
        if saved.is_some() {
            stty(&["-icanon", "-echo"]);
        }
        print!("\x1b[?1049h\x1b[?25l");
        Screen { saved }
    }

    fn rows(&self) -> usize {
        let size = stty(&["size"]);
        size.and_then(|size| size.split(' ').next()?.parse().ok()).unwrap_or(ROWS)
    }

    fn draw(&self, text: &str) {
        let lines: Vec<&str> = text.trim_end_matches('\n').lines().collect();
        print!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n"));
        // Drawing can only fail when the terminal is gone; the next key read ends it then.
        let _ = std::io::stdout().flush();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print!("\x1b[?25h\x1b[?1049l");
        let _ = std::io::stdout().flush();
        if let Some(saved) = &self.saved {
            stty(&[saved]);
        }
    }
}

/// What `stty` says of the terminal.
fn stty(words: &[&str]) -> Option<String> {
    let done = Process::new("stty").args(words).stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(bytes: i64, lag: i64) -> Look {
        let topic = |bytes| Topic { partitions: 3, bytes, records: bytes / 10, read: None };
        let group = |lag| Group { state: "Stable".to_owned(), members: 1, lag, committed: 5 };
        Look {
            at: Moment::now(),
            nodes: vec![ClusterNode { id: 1, host: "h".to_owned(), port: 9, rack: None, fenced: false }],
            bytes_of: BTreeMap::from([(1, 3 << 20)]),
            topics: BTreeMap::from([("busy".to_owned(), topic(bytes)), ("calm".to_owned(), topic(9000))]),
            groups: BTreeMap::from([("ahead".to_owned(), group(0)), ("behind".to_owned(), group(lag))]),
        }
    }

    #[test]
    fn the_busiest_topic_and_the_longest_lag_come_first() {
        let before = look(1000, 7);
        let mut now = look(5000, 7);
        now.at = before.at.after(Duration::from_secs(2));
        let text = render(&before, &now, usize::MAX);
        assert!(text.contains("1          h:9                      up              3.0 MiB"), "{text}");
        let at = |what: &str| text.find(what).unwrap();
        assert!(at("busy") < at("calm") && at("behind") < at("ahead"));
        let line = text.lines().find(|line| line.starts_with("busy")).unwrap();
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["busy", "3", "2.0", "KiB", "-", "200.0", "4.9", "KiB"]);
        assert_eq!(as_json(&before, &now)["groups"][0]["lag"], 7);
    }

    #[test]
    fn a_small_terminal_gets_no_more_than_it_holds() {
        let (before, now) = (look(1, 1), look(2, 1));
        for rows in 0..12 {
            assert!(render(&before, &now, rows).lines().count() <= rows.max(1), "{rows}");
        }
    }

    #[test]
    fn bytes_out_are_found_on_a_metrics_page() {
        let page = "# TYPE x counter\nbroker_fetch_bytes_total{topic=\"a\"} 5\nbroker_produce_bytes_total{topic=\"a\"} 9\nbroken{\n";
        assert_eq!(read_bytes(page), [("a".to_owned(), 5.0)]);
    }
}
