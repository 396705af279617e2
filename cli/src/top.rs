//! `millstream top`: a live view of any Kafka cluster in a terminal, in the place of kafka-jmx: brokers, topics by what
//! flows into them, groups by their lag.
//!
//! Asks over the Kafka protocol only, so it works with every broker, a secured one by `--command-config`: bytes are those of
//! the logs, records those between two looks at the ends of the partitions. With `--metrics` the bytes that consumers read
//! are taken from the broker's metrics page too. What does not answer is named, and the rest is shown; a rate is of the
//! parts that both its looks know, and left out where they know different ones. `--once` prints one look and ends;
//! `--output json` prints it for programs. q and a signal end it, whatever it waits for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{IsTerminal, Read, Write};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use client::TopicPartition;
use client::admin::{
    Admin, ClusterNode, CommittedOffset, Each, Fenced, GroupDescription, GroupListing, LogDirDescription, OffsetSpec,
    TopicDescription,
};
use client::config::Isolation;
use client::error::ClientError;
use futures_util::future::join_all;
use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use millstream_protocol::error_code::ErrorCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use crate::Ended;
use crate::kafka::{administer, block_on, read_properties};
use crate::signals::Signals;

/// Partitions in one answer when topics are described.
const PAGE: i32 = 2000;
/// Rows of a terminal that does not say how many it has.
const ROWS: usize = 24;
/// A metrics page at most.
const METRICS_BYTES_MAX: u64 = 8 << 20;
/// How long the metrics page and a call to the cluster may take, unless the interval is longer.
const PAGE_LIMIT: Duration = Duration::from_secs(5);
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Lines at most on what did not answer.
const UNANSWERED_MAX: usize = 5;

/// The flags.
pub fn command() -> Command {
    let flag = |name: &'static str, shown: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(shown).help(help)
    };
    Command::new("top")
        .about("Show brokers, topics by bytes and groups by lag, live")
        .arg(flag("bootstrap-server", "HOST:PORT", "The cluster to look at [default: 127.0.0.1:9092]"))
        .arg(flag(
            "command-config",
            "FILE",
            "A properties file with configs of the admin client, such as those of a secured cluster",
        ))
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
    let interval = Duration::from_secs_f64(seconds);
    let admin =
        text("command-config").map_or_else(|| Ok(HashMap::new()), |path| read_properties(&path)).map_err(Ended::Failed);
    let admin = admin.and_then(|properties| asking(properties, text("bootstrap-server"), interval));
    let shown = admin.and_then(|admin| {
        let view = View {
            admin,
            metrics: text("metrics"),
            interval,
            json: text("output").is_some_and(|format| format == "json"),
            once: given.get_flag("once") || !std::io::stdout().is_terminal(),
        };
        block_on(view.show())
    });
    shown.map_or_else(|ended| ended, |()| Ended::Well)
}

/// To ask the cluster; no longer than a look may take, unless the properties say otherwise.
fn asking(properties: HashMap<String, String>, servers: Option<String>, interval: Duration) -> Result<Admin, Ended> {
    let servers = named(&properties, servers);
    administer(properties, servers.as_deref(), None, interval.max(CALL_LIMIT))
}

/// The servers of the flag; without it those of the properties, for None, else the one nearby.
fn named(properties: &HashMap<String, String>, servers: Option<String>) -> Option<String> {
    let nearby = || (!properties.contains_key("bootstrap.servers")).then(|| "127.0.0.1:9092".to_owned());
    servers.or_else(nearby)
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
    /// None where no broker describes it.
    partitions: Option<usize>,
    bytes: i64,
    /// Of the partitions whose leaders say it.
    ends: BTreeMap<i32, i64>,
    /// Bytes that were read since the broker started, where its metrics say so.
    read: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    state: String,
    /// None where the coordinator does not say it.
    members: Option<usize>,
    /// None where an end or what was committed is not known of each partition.
    lag: Option<i64>,
}

/// One look.
#[derive(Clone, Debug)]
struct Look {
    at: Moment,
    nodes: Vec<ClusterNode>,
    /// Of the brokers that say what their logs hold.
    bytes_of: BTreeMap<i32, i64>,
    topics: BTreeMap<String, Topic>,
    /// Topics that are there and could not be described.
    undescribed: BTreeSet<String>,
    groups: BTreeMap<String, Group>,
    /// What did not answer, and why.
    unanswered: Vec<String>,
}

/// What was said of the groups.
struct Groups {
    listed: Vec<GroupListing>,
    described: Each<String, GroupDescription>,
    committed: Each<String, Each<TopicPartition, CommittedOffset>>,
}

impl View {
    /// Shows looks until something ends it. A signal drops the look under way, and with it the screen.
    async fn show(&self) -> Result<(), Ended> {
        let mut signals = Signals::new()?;
        let looking = async { if self.once { self.print().await } else { self.draw().await } };
        tokio::select! {
            shown = looking => shown,
            signal = signals.caught() => if self.once { Err(Ended::Signalled(signal)) } else { Ok(()) },
        }
    }

    /// One look, as text or JSON.
    async fn print(&self) -> Result<(), Ended> {
        let before = self.look().await.map_err(failed)?;
        task::sleep(self.interval).await;
        let now = self.look().await.map_err(failed)?;
        let text = if self.json { format!("{}\n", as_json(&before, &now)) } else { render(&before, &now, usize::MAX) };
        std::io::stdout().write_all(text.as_bytes()).map_err(|_| Ended::FailedAloud)
    }

    /// Look after look, until q is typed.
    async fn draw(&self) -> Result<(), Ended> {
        let screen = Screen::open();
        tokio::select! {
            ended = self.follow(&screen) => Err(ended),
            _ = quit_key() => Ok(()),
        }
    }

    /// Draws looks; a first one that fails ends that.
    async fn follow(&self, screen: &Screen) -> Ended {
        let mut before: Option<Look> = None;
        loop {
            match self.look().await {
                Ok(now) => {
                    screen.draw(&render(before.as_ref().unwrap_or(&now), &now, screen.rows()));
                    before = Some(now);
                }
                Err(error) if before.is_none() => return failed(error),
                // The cluster may come back.
                Err(error) => screen.draw(&format!("{error}\n")),
            }
            task::sleep(self.interval).await;
        }
    }

    async fn look(&self) -> Result<Look, ClientError> {
        let nodes = self.admin.describe_cluster(Fenced::Included).await?.nodes;
        let names: Vec<String> = self.admin.list_topics().await?.into_iter().map(|topic| topic.name).collect();
        // To ask about no topic would be to ask about all.
        let described =
            if names.is_empty() { BTreeMap::new() } else { self.admin.describe_each_topic(&names, PAGE).await? };
        let mut look = Look {
            at: Moment::now(),
            nodes,
            bytes_of: BTreeMap::new(),
            topics: BTreeMap::new(),
            undescribed: BTreeSet::new(),
            groups: BTreeMap::new(),
            unanswered: Vec::new(),
        };
        let wanted = look.take_topics(described);
        let live = look.nodes.iter().filter(|node| !node.fenced).map(|node| node.id);
        let (ends, folders, read, groups) = tokio::join!(
            self.admin.list_each_offset(&wanted, Isolation::ReadUncommitted),
            join_all(live.map(|id| async move { (id, self.admin.describe_log_dirs(id).await) })),
            self.bytes_read(self.interval.max(PAGE_LIMIT)),
            self.groups(),
        );
        look.at = Moment::now();
        let ends = look.take_ends(ends);
        folders.into_iter().for_each(|(id, folders)| look.take_folders(id, folders));
        match read {
            Ok(read) => {
                read.into_iter().for_each(|(topic, bytes)| look.topics.entry(topic).or_default().read = Some(bytes))
            }
            Err(error) => look.unanswered.push(format!("metrics page: {error}")),
        }
        match groups {
            Ok(groups) => look.take_groups(groups, &ends),
            Err(error) => look.unanswered.push(format!("groups: {error}")),
        }
        Ok(look)
    }

    /// Bytes read of each topic, where there is a metrics page.
    async fn bytes_read(&self, limit: Duration) -> std::io::Result<Vec<(String, f64)>> {
        let Some(address) = &self.metrics else { return Ok(Vec::new()) };
        let page = tokio::time::timeout(limit, page(address)).await;
        Ok(read_bytes(&page.map_err(|_| std::io::Error::other(format!("{address} does not answer")))??))
    }

    async fn groups(&self) -> Result<Groups, ClientError> {
        let listed = self.admin.list_consumer_groups(&[], &[]).await?;
        let ids: Vec<String> = listed.iter().map(|listing| listing.group_id.clone()).collect();
        let (described, committed) =
            tokio::join!(self.admin.describe_groups(&ids), self.admin.committed_offsets_of(&ids));
        Ok(Groups { listed, described: described?, committed: committed? })
    }
}

fn failed(error: ClientError) -> Ended {
    Ended::Failed(error.to_string())
}

impl Look {
    /// Names in one line what `errors` keep from being known; `what` is told how many they are.
    fn lack(&mut self, errors: &[ClientError], what: impl FnOnce(usize) -> String) {
        if let Some(why) = errors.first() {
            self.unanswered.push(format!("{}: {why}", what(errors.len())));
        }
    }

    /// Takes in what is there; gives back the partitions whose ends somebody knows.
    fn take_topics(&mut self, described: Each<String, TopicDescription>) -> BTreeMap<TopicPartition, OffsetSpec> {
        let (mut wanted, mut leaderless, mut errors) = (BTreeMap::new(), 0, Vec::new());
        for (name, topic) in described {
            match topic {
                Ok(topic) => {
                    for own in &topic.partitions {
                        match own.leader {
                            Some(_) => _ = wanted.insert(TopicPartition::new(&name, own.partition), OffsetSpec::Latest),
                            None => leaderless += 1,
                        }
                    }
                    self.topics.insert(name, Topic { partitions: Some(topic.partitions.len()), ..Topic::default() });
                }
                // It has gone since it was listed.
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {}
                Err(error) => {
                    self.undescribed.insert(name);
                    errors.push(error);
                }
            }
        }
        self.lack(&errors, |count| format!("partitions of {count} topic(s)"));
        if leaderless > 0 {
            self.unanswered.push(format!("ends of {leaderless} partition(s): nobody leads them"));
        }
        wanted
    }

    /// Takes in the ends that came; gives them back.
    fn take_ends(&mut self, ends: Result<Each<TopicPartition, i64>, ClientError>) -> BTreeMap<TopicPartition, i64> {
        let (mut known, mut errors) = (BTreeMap::new(), Vec::new());
        match ends {
            Ok(ends) => {
                for (at, end) in ends {
                    match end {
                        Ok(end) => _ = known.insert(at, end),
                        Err(error) => errors.push(error),
                    }
                }
            }
            Err(error) => self.unanswered.push(format!("ends of partitions: {error}")),
        }
        self.lack(&errors, |count| format!("ends of {count} partition(s)"));
        for (at, end) in &known {
            self.topics.entry(at.topic.clone()).or_default().ends.insert(at.partition, *end);
        }
        known
    }

    fn take_folders(&mut self, id: i32, folders: Result<Vec<LogDirDescription>, ClientError>) {
        let folders = match folders {
            Ok(folders) => folders,
            Err(error) => return self.unanswered.push(format!("log folders of broker {id}: {error}")),
        };
        let mut total = 0;
        for (at, replica) in folders.into_iter().flat_map(|folder| folder.replicas) {
            total += replica.size;
            self.topics.entry(at.topic).or_default().bytes += replica.size;
        }
        self.bytes_of.insert(id, total);
    }

    fn take_groups(&mut self, mut groups: Groups, ends: &BTreeMap<TopicPartition, i64>) {
        let (mut silent, mut unknown) = (Vec::new(), Vec::new());
        for GroupListing { group_id, state, .. } in groups.listed {
            let members = match groups.described.remove(&group_id) {
                Some(Ok(described)) => Some(described.members.len()),
                Some(Err(error)) => {
                    // One that has gone since it was listed, or is of another protocol, has none to speak of.
                    silent.extend(Some(error).filter(|error| error.code() != Some(ErrorCode::GroupIdNotFound)));
                    None
                }
                None => None,
            };
            let lag = match groups.committed.remove(&group_id) {
                Some(Ok(committed)) => {
                    unknown.extend(committed.values().find_map(|offset| offset.as_ref().err()).cloned());
                    lag(&committed, ends)
                }
                Some(Err(error)) => {
                    unknown.extend(Some(error).filter(|error| error.code() != Some(ErrorCode::GroupIdNotFound)));
                    None
                }
                None => None,
            };
            self.groups.insert(group_id, Group { state, members, lag });
        }
        self.lack(&silent, |count| format!("members of {count} group(s)"));
        self.lack(&unknown, |count| format!("what {count} group(s) committed"));
    }
}

/// How far a group is behind; what is not known of one partition is not known of the whole.
fn lag(committed: &Each<TopicPartition, CommittedOffset>, ends: &BTreeMap<TopicPartition, i64>) -> Option<i64> {
    committed.iter().map(|(at, offset)| Some((ends.get(at)? - offset.as_ref().ok()?.offset).max(0))).sum()
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
    stream
        .write_all(format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
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

/// A topic's line: its name, itself, bytes and records in a second that came, bytes in a second that went; None where a look
/// lacks a part of them.
struct Flow<'a> {
    name: &'a str,
    topic: &'a Topic,
    bytes: Option<f64>,
    records: Option<f64>,
    read: Option<f64>,
}

fn flows<'a>(before: &Look, now: &'a Look) -> Vec<Flow<'a>> {
    let seconds = (now.at.instant() - before.at.instant()).as_secs_f64().max(0.001);
    let rate = |amount: f64| (amount / seconds).max(0.0);
    let same_brokers = before.bytes_of.keys().eq(now.bytes_of.keys());
    let records = |topic: &Topic| topic.ends.values().sum::<i64>();
    let nothing = Topic::default();
    let mut rows: Vec<Flow<'a>> = now
        .topics
        .iter()
        .map(|(name, topic)| {
            let known = before.topics.get(name);
            // What is new had nothing before.
            let new = known.is_none() && !before.undescribed.contains(name);
            let old = known.unwrap_or(&nothing);
            let same_ends =
                if new { topic.partitions == Some(topic.ends.len()) } else { topic.ends.keys().eq(old.ends.keys()) };
            Flow {
                name,
                topic,
                bytes: (same_brokers && (new || known.is_some())).then(|| rate((topic.bytes - old.bytes) as f64)),
                // Of no end nothing is known.
                records: (same_ends && !topic.ends.is_empty()).then(|| rate((records(topic) - records(old)) as f64)),
                read: topic.read.zip(old.read).map(|(now, old)| rate(now - old)),
            }
        })
        .collect();
    let flow = |row: &Flow<'_>| row.bytes.unwrap_or(0.0) + row.read.unwrap_or(0.0);
    rows.sort_by(|left, right| {
        flow(right)
            .total_cmp(&flow(left))
            .then(right.topic.bytes.cmp(&left.topic.bytes))
            .then(left.name.cmp(right.name))
    });
    rows
}

fn lags(now: &Look) -> Vec<(&String, &Group)> {
    let mut rows: Vec<_> = now.groups.iter().collect();
    rows.sort_by_key(|(name, group)| (std::cmp::Reverse(group.lag), *name));
    rows
}

/// The screen's text, at most `rows` lines.
fn render(before: &Look, now: &Look, rows: usize) -> String {
    let known = |number: Option<f64>, shown: fn(f64) -> String| number.map_or_else(|| "-".to_owned(), shown);
    let counted = |count: Option<usize>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let mut lines = vec![format!("{:<10} {:<24} {:<10} {:>12}", "BROKER", "ADDRESS", "STATE", "BYTES")];
    for node in &now.nodes {
        let address = format!("{}:{}", node.host, node.port);
        let state = if node.fenced { "fenced" } else { "up" };
        let bytes = now.bytes_of.get(&node.id).map(|bytes| *bytes as f64);
        lines.push(format!("{:<10} {address:<24} {state:<10} {:>12}", node.id, known(bytes, scaled)));
    }
    lines.extend(now.unanswered.iter().take(UNANSWERED_MAX).map(|what| format!("no answer: {what}")));
    // Topics and groups share what is left, two titles and two blank lines off.
    let left = rows.saturating_sub(lines.len() + 4);
    let groups = lags(now);
    let topics = flows(before, now);
    let for_groups = groups.len().min((left / 2).max(left.saturating_sub(topics.len())));
    lines.push(String::new());
    lines.push(format!(
        "{:<40} {:>10} {:>12} {:>12} {:>12} {:>12}",
        "TOPIC", "PARTITIONS", "IN/S", "OUT/S", "RECORDS/S", "BYTES"
    ));
    for Flow { name, topic, bytes, records, read } in topics.into_iter().take(left.saturating_sub(for_groups)) {
        let (bytes, read, records) =
            (known(bytes, scaled), known(read, scaled), known(records, |rate| format!("{rate:.1}")));
        lines.push(format!(
            "{name:<40} {:>10} {bytes:>12} {read:>12} {records:>12} {:>12}",
            counted(topic.partitions),
            scaled(topic.bytes as f64)
        ));
    }
    lines.push(String::new());
    lines.push(format!("{:<40} {:>10} {:>12} {:>12}", "GROUP", "MEMBERS", "STATE", "LAG"));
    for (name, group) in groups.into_iter().take(for_groups) {
        let lag = group.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
        lines.push(format!("{name:<40} {:>10} {:>12} {lag:>12}", counted(group.members), group.state));
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
        .map(|Flow { name, topic, bytes, records, read }| {
            let ends = (!topic.ends.is_empty()).then(|| topic.ends.values().sum::<i64>());
            json!({"topic": name, "partitions": topic.partitions, "bytes": topic.bytes, "records": ends,
                   "bytes_in_per_second": bytes, "records_in_per_second": records, "bytes_out_per_second": read})
        })
        .collect();
    let groups: Vec<Value> = lags(now)
        .into_iter()
        .map(|(name, group)| json!({"group": name, "state": group.state, "members": group.members, "lag": group.lag}))
        .collect();
    json!({"brokers": brokers, "topics": topics, "groups": groups, "unanswered": now.unanswered})
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
        show("\x1b[?1049h\x1b[?25l");
        Screen { saved }
    }

    fn rows(&self) -> usize {
        let size = stty(&["size"]);
        size.and_then(|size| size.split(' ').next()?.parse().ok()).unwrap_or(ROWS)
    }

    fn draw(&self, text: &str) {
        let lines: Vec<&str> = text.trim_end_matches('\n').lines().collect();
        show(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        show("\x1b[?25h\x1b[?1049l");
        if let Some(saved) = &self.saved {
            stty(&[saved]);
        }
    }
}

/// Writes to the terminal.
fn show(text: &str) {
    let mut out = std::io::stdout().lock();
    // It can only fail when the terminal is gone; SIGHUP or the next key read ends the view then.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What `stty` says of the terminal.
fn stty(words: &[&str]) -> Option<String> {
    let done = Process::new("stty").args(words).stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use crate::kafka::connect;

    use super::*;

    fn look(bytes: i64, lag: i64) -> Look {
        let ends = |bytes| BTreeMap::from([(0, bytes / 10), (1, 0), (2, 0)]);
        let topic = |bytes| Topic { partitions: Some(3), bytes, ends: ends(bytes), read: None };
        let group = |lag| Group { state: "Stable".to_owned(), members: Some(1), lag: Some(lag) };
        Look {
            at: Moment::now(),
            nodes: vec![ClusterNode { id: 1, host: "h".to_owned(), port: 9, rack: None, fenced: false }],
            bytes_of: BTreeMap::from([(1, 3 << 20)]),
            topics: BTreeMap::from([("busy".to_owned(), topic(bytes)), ("calm".to_owned(), topic(9000))]),
            undescribed: BTreeSet::new(),
            groups: BTreeMap::from([("ahead".to_owned(), group(0)), ("behind".to_owned(), group(lag))]),
            unanswered: Vec::new(),
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
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["busy", "3", "2.0", "KiB", "-", "200.0", "4.9", "KiB"]
        );
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
    fn what_did_not_answer_is_named_and_the_rest_is_shown() {
        let before = look(1000, 7);
        let mut now = look(5000, 7);
        now.at = before.at.after(Duration::from_secs(2));
        now.bytes_of.clear();
        now.take_folders(1, Err(ClientError::State("the broker hangs")));
        let gone = |number| (TopicPartition::new("busy", number), Err(ClientError::State("the leader is away")));
        now.topics.values_mut().for_each(|topic| topic.ends.clear());
        let known = |name: &str| (TopicPartition::new(name, 0), Ok(40));
        let ends = now.take_ends(Ok(BTreeMap::from([known("busy"), gone(1), gone(2), known("calm")])));
        let at = |number| {
            (
                TopicPartition::new("busy", number),
                Ok(CommittedOffset { offset: 30, leader_epoch: None, metadata: String::new() }),
            )
        };
        let unstable = (TopicPartition::new("calm", 0), Err(ClientError::State("it is unstable")));
        let committed = [
            ("silent", Err(ClientError::State("the coordinator hangs"))),
            ("whole", Ok(Each::from([at(0)]))),
            ("headless", Ok(Each::from([at(0), at(1)]))),
            ("partly", Ok(Each::from([at(0), unstable]))),
            ("fresh", Ok(Each::new())),
        ];
        let listing = |name: &str| GroupListing {
            group_id: name.to_owned(),
            protocol_type: "consumer".to_owned(),
            state: "Stable".to_owned(),
            group_type: String::new(),
        };
        let groups = Groups {
            listed: committed.iter().map(|(name, _)| listing(name)).collect(),
            described: Each::from([("silent".to_owned(), Err(ClientError::State("the coordinator hangs")))]),
            committed: committed.into_iter().map(|(name, offsets)| (name.to_owned(), offsets)).collect(),
        };
        now.take_groups(groups, &ends);
        let text = render(&before, &now, usize::MAX);
        assert!(
            text.contains("no answer: log folders of broker 1: ")
                && text.contains("no answer: ends of 2 partition(s): "),
            "{text}"
        );
        let cells = |name: &str| {
            text.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>()
        };
        // No rate of what one of both looks does not know.
        assert_eq!(cells("busy"), ["busy", "3", "-", "-", "-", "4.9", "KiB"]);
        assert_eq!(cells("1 "), ["1", "h:9", "up", "-"]);
        let lags = ["silent", "whole", "headless", "partly", "fresh"].map(|name| *cells(name).last().unwrap());
        assert_eq!(lags, ["-", "10", "-", "-", "0"]);
        assert_eq!(cells("silent"), ["silent", "-", "Stable", "-"]);
        assert_eq!((ends.len(), &now.topics["busy"].ends), (2, &BTreeMap::from([(0, 40)])));
        let unanswered = [
            "log folders of broker 1: the broker hangs",
            "ends of 2 partition(s): the leader is away",
            "members of 1 group(s): the coordinator hangs",
            "what 2 group(s) committed: the coordinator hangs",
        ];
        assert_eq!(as_json(&before, &now)["unanswered"], json!(unanswered));
    }

    #[test]
    fn a_rate_is_that_of_parts_which_both_looks_know() {
        let (mut before, mut now) = (look(1000, 7), look(5000, 7));
        now.at = before.at.after(Duration::from_secs(2));
        let rates = |before: &Look, now: &Look| {
            let rows = flows(before, now);
            let busy = rows.iter().find(|row| row.name == "busy").unwrap();
            [busy.bytes, busy.records].map(|rate| rate.map(|rate| rate.round() as i64))
        };
        assert_eq!(rates(&before, &now), [Some(2000), Some(200)]);
        let ends = |look: &mut Look, known: &[(i32, i64)]| {
            look.topics.get_mut("busy").unwrap().ends = known.iter().copied().collect()
        };
        // A rolling restart: as many ends as before, and others.
        ends(&mut before, &[(1, 5), (2, 5)]);
        ends(&mut now, &[(0, 900), (2, 25)]);
        assert_eq!(rates(&before, &now), [Some(2000), None]);
        ends(&mut before, &[(0, 800), (2, 5)]);
        assert_eq!(rates(&before, &now), [Some(2000), Some(60)]);
        // Of no end nothing is known, twice.
        ends(&mut before, &[]);
        ends(&mut now, &[]);
        assert_eq!(rates(&before, &now), [Some(2000), None]);
    }

    #[test]
    fn a_topic_that_could_not_be_described_is_not_new() {
        let (mut before, mut now) = (look(1000, 7), look(5000, 7));
        now.at = before.at.after(Duration::from_secs(2));
        let rates = |before: &Look, now: &Look| {
            let rows = flows(before, now);
            let busy = rows.iter().find(|row| row.name == "busy").unwrap();
            (busy.bytes.is_some(), busy.records.is_some())
        };
        before.topics.clear();
        assert_eq!(rates(&before, &now), (true, true));
        let gone =
            ClientError::Broker { code: 3, message: String::new(), address: String::new(), subject: String::new() };
        let described = [("busy", ClientError::State("the broker hangs")), ("gone", gone)];
        before.take_topics(described.into_iter().map(|(name, error)| (name.to_owned(), Err(error))).collect());
        assert_eq!(rates(&before, &now), (false, false));
        assert_eq!(before.unanswered, ["partitions of 1 topic(s): the broker hangs"]);
    }

    #[test]
    fn a_secured_cluster_is_named_by_the_properties() {
        let bootstrap = |pairs: &[(&str, &str)], servers: Option<&str>| {
            let properties: HashMap<_, _> =
                pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let servers = named(&properties, servers.map(str::to_owned));
            connect(properties, servers.as_deref(), None).map(|cluster| cluster.config().bootstrap.join(","))
        };
        let far = [("bootstrap.servers", "far:9093")];
        assert!(bootstrap(&[far[0], ("security.protocol", "NONSENSE")], None).is_err());
        assert_eq!(bootstrap(&far, None).unwrap(), "far:9093");
        assert_eq!(bootstrap(&far, Some("h:1")).unwrap(), "h:1");
        assert_eq!(bootstrap(&[], None).unwrap(), "127.0.0.1:9092");
    }

    #[tokio::test]
    async fn a_silent_metrics_page_holds_nobody_up() {
        let silent = millstream_base_env::net::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let admin = asking(HashMap::new(), None, Duration::from_secs(2)).unwrap();
        let view = View {
            admin,
            metrics: Some(silent.local_addr().unwrap().to_string()),
            interval: Duration::from_secs(2),
            json: false,
            once: true,
        };
        let told = view.bytes_read(Duration::from_millis(20)).await.unwrap_err().to_string();
        assert!(told.ends_with("does not answer"), "{told}");
    }

    #[test]
    fn bytes_out_are_found_on_a_metrics_page() {
        let page = "# TYPE x counter\nbroker_fetch_bytes_total{topic=\"a\"} 5\nbroker_produce_bytes_total{topic=\"a\"} 9\nbroken{\n";
        assert_eq!(read_bytes(page), [("a".to_owned(), 5.0)]);
    }
}
