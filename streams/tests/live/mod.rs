//! Applications against this project's broker, which is a process of its own.
//!
//! Not done: a program of its own for the process that is stopped and goes on; `instance` is that process, and counts as
//! skipped where nothing starts it as one.
#![allow(clippy::disallowed_methods, reason = "a test program from outside: the real clock")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::TopicPartition;
use client::admin::{Admin, NewTopic};
use client::config::{ConsumerConfig, Isolation, ProducerConfig};
use client::consumer::Consumer;
use client::metadata::Cluster;
use client::producer::{NewRecord, Producer};
use streams::{CloseOptions, GroupMembership, KStream, KafkaStreams, State, StreamsBuilder, StreamsConfig, Topology};

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// A broker on a folder of its own, killed when dropped.
struct Broker {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Broker {
    fn start() -> Broker {
        let this = std::env::current_exe().expect("a path");
        let given = std::env::var_os("MILLSTREAM_BINARY").map(PathBuf::from);
        let beside = || this.ancestors().map(|folder| folder.join("millstream")).find(|path| path.is_file());
        let binary = given.or_else(beside).expect("run `cargo build --release -p millstream-cli` first");
        let folder = tempfile::tempdir().expect("a folder");
        let ready = folder.path().join("ready.json");
        let mut command = Command::new(binary);
        command.arg("broker").arg("--data").arg(folder.path().join("data")).arg("--ready-file").arg(&ready);
        command.args(["--port", "broker=0", "--port", "metrics=0"]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the broker starts");
        let started = Instant::now();
        let text = loop {
            match std::fs::read_to_string(&ready) {
                Ok(text) => break text,
                Err(_) => assert!(started.elapsed() < PATIENCE, "the broker does not start"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let ready: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let address = ready["broker"].as_str().expect("an address").to_owned();
        Broker { child, address, _folder: folder }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn counted() -> Topology {
    let builder = StreamsBuilder::new();
    let words: KStream<String, String> = builder.stream("words");
    words.group_by(|_, word| word.clone()).count("counts").to_stream().to("counts-out");
    builder.build().expect("the topology is sound")
}

fn application(broker: &Broker) -> KafkaStreams {
    started(&broker.address, |config| config)
}

fn started(address: &str, besides: impl Fn(StreamsConfig) -> StreamsConfig) -> KafkaStreams {
    let config = StreamsConfig::new("live", address)
        .set("processing.guarantee", "exactly_once_v2")
        .set("default.dsl.store", "in_memory")
        .set("statestore.cache.max.bytes", 0)
        .set("num.stream.threads", 2)
        .set("consumer.session.timeout.ms", 6000)
        .set("consumer.heartbeat.interval.ms", 200);
    let app = KafkaStreams::new(counted(), besides(config)).expect("settings are sound");
    app.start().expect("threads start");
    app
}

/// Sends each of fifty words `times` times.
fn produce(runtime: &tokio::runtime::Runtime, producer: &Producer, times: usize) {
    runtime.block_on(async {
        for number in 0..50 * times {
            let word = format!("word-{}", number % 50);
            let partition = Some((number % 4) as i32);
            let record = NewRecord { topic: "words", partition, value: Some(word.as_bytes()), ..NewRecord::default() };
            producer.push(record).await.expect("a record is taken");
        }
        producer.flush().await.expect("all is written");
    });
}

/// Reads committed counts until each word has reached `last`; each word's counts in their order.
async fn read(broker: &Broker, last: i64) -> BTreeMap<String, Vec<i64>> {
    let config = ConsumerConfig { isolation: Isolation::ReadCommitted, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(Cluster::new(&broker.address), config);
    consumer.assign(&[TopicPartition::new("counts-out", 0), TopicPartition::new("counts-out", 1)]).expect("no group");
    consumer.seek_to_beginning(&[]).expect("assigned");
    let (mut counts, started) = (BTreeMap::<String, Vec<i64>>::new(), Instant::now());
    while counts.len() < 50 || counts.values().any(|of_word| of_word.last() != Some(&last)) {
        let ends: Vec<_> = counts.values().map(|of_word| of_word.last().copied()).collect();
        assert!(started.elapsed() < PATIENCE, "not all was counted to {last}: {ends:?}");
        for record in consumer.poll(Duration::from_millis(200)).await.expect("a poll").iter() {
            let word = String::from_utf8_lossy(record.key.expect("a word")).into_owned();
            let count = i64::from_be_bytes(record.value.expect("a count").try_into().expect("eight bytes"));
            counts.entry(word).or_default().push(count);
        }
    }
    counts
}

/// The topics, and who makes and fills them.
fn prepared(broker: &Broker, runtime: &tokio::runtime::Runtime) -> (Admin, Producer) {
    let _inside = runtime.enter();
    let admin = Admin::new(Cluster::new(&broker.address));
    for (topic, partitions) in [("words", 4), ("counts-out", 2)] {
        let new = NewTopic { name: topic.to_owned(), partitions: Some(partitions), ..NewTopic::default() };
        runtime.block_on(admin.create_topic(&new)).expect("a new topic");
    }
    (admin, Producer::new(Cluster::new(&broker.address), ProducerConfig::default()))
}

/// What the instance measured: the threads' own, their tasks', and their clients'.
fn is_measured(app: &KafkaStreams) -> bool {
    let all = app.metrics();
    let sum = |group: &str, name: &str| -> f64 {
        all.iter().filter(|metric| metric.group == group && metric.name == name).map(|metric| metric.value).sum()
    };
    let page = app.prometheus();
    sum("stream-thread-metrics", "process-total") > 0.0
        && sum("stream-thread-metrics", "commit-total") > 0.0
        && sum("stream-task-metrics", "process-total") > 0.0
        && sum("consumer-fetch-manager-metrics", "records-consumed-total") > 0.0
        && sum("producer-metrics", "record-send-total") > 0.0
        && page.contains("kafka_streams_stream_metrics_alive_stream_threads{")
        && page.contains("kafka_consumer_consumer_coordinator_metrics_commit_total{")
}

/// Each word is counted once, whichever thread of whichever instance counts it: with the cache off its counts are
/// 1, 2, 3 and so on, without a gap and without a repeat, as restored state and moved tasks go on where others ended.
#[test]
fn counts_are_exact_while_instances_come_and_go() {
    let broker = Broker::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_, producer) = prepared(&broker, &runtime);
    let first = application(&broker);
    assert!(first.wait_running(PATIENCE), "{:?}", first.threads());
    produce(&runtime, &producer, 40);
    let second = application(&broker);
    produce(&runtime, &producer, 40);
    assert!(second.wait_running(PATIENCE), "{:?}", second.threads());
    produce(&runtime, &producer, 40);
    // Its tasks go to the other at once.
    assert!(first.close_with(CloseOptions { limit: PATIENCE, membership: GroupMembership::Leave }));
    assert_eq!(first.state(), State::NotRunning);
    produce(&runtime, &producer, 40);

    let counts = runtime.block_on(read(&broker, 160));
    for (word, of_word) in counts {
        assert_eq!(of_word, (1..=160).collect::<Vec<i64>>(), "{word}");
    }
    // What the clients tell may be a second old.
    let started = Instant::now();
    while !is_measured(&second) {
        assert!(started.elapsed() < PATIENCE, "{}", second.prometheus());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(second.close(PATIENCE));
}

/// Copies of stores take over, and tasks become copies and run again: what they had cached in between is not counted on.
#[test]
fn copies_take_over_where_the_others_ended() {
    let broker = Broker::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_, producer) = prepared(&broker, &runtime);
    let instance = || {
        let app = started(&broker.address, |config| {
            let config = config.set("num.standby.replicas", 1).set("statestore.cache.max.bytes", 1 << 20);
            config.set("probing.rebalance.interval.ms", 60_000).set("acceptable.recovery.lag", 0)
        });
        assert!(app.wait_running(PATIENCE), "{:?}", app.threads());
        produce(&runtime, &producer, 20);
        app
    };
    let leave = || CloseOptions { limit: PATIENCE, membership: GroupMembership::Leave };
    let first = instance();
    let second = instance();
    assert!(first.close_with(leave()));
    produce(&runtime, &producer, 20);
    let third = instance();
    assert!(second.close_with(leave()));
    produce(&runtime, &producer, 20);
    runtime.block_on(read(&broker, 100));
    assert!(third.close_with(leave()));
}

/// An application in a process of its own, which other processes can stop: this program again, with one test.
struct Instance(Child);

impl Instance {
    fn start(broker: &Broker) -> Instance {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["--exact", "live::instance", "--ignored", "--nocapture"]).env(INSTANCE, &broker.address);
        Instance(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts"))
    }

    fn wait_running(&mut self) {
        let lines = BufReader::new(self.0.stdout.take().expect("piped")).lines();
        let mut lines = lines.map(|line| line.expect("text"));
        assert!(lines.any(|line| line.contains(RUNS)), "the instance does not run");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const INSTANCE: &str = "LIVE_INSTANCE_OF";
const RUNS: &str = "the instance runs";

/// Runs until its process is killed.
#[test]
#[ignore = "other tests start it as a process of its own"]
fn instance() {
    let Ok(address) = std::env::var(INSTANCE) else { return };
    let app = started(&address, |config| config.set("commit.interval.ms", 2000).set("producer.transaction.timeout.ms", 30_000));
    assert!(app.wait_running(PATIENCE), "{:?}", app.threads());
    println!("{RUNS}");
    app.wait_ended(PATIENCE);
}

/// A process that was stopped for longer than its session, in the middle of a transaction, is out of the group when it
/// goes on: what it processed and did not commit is its successor's, and must not be seen twice.
#[test]
fn who_was_stopped_and_goes_on_is_shut_out() {
    let broker = Broker::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (admin, producer) = prepared(&broker, &runtime);
    let mut stopped = Instance::start(&broker);
    stopped.wait_running();
    produce(&runtime, &producer, 20);
    runtime.block_on(read(&broker, 20));
    let members = || -> Vec<String> {
        let described = runtime.block_on(admin.describe_group("live")).expect("the group");
        described.members.into_iter().map(|member| member.member_id).collect()
    };
    let before = members();
    // Its next commit is two seconds away: the transaction that begins now is open.
    produce(&runtime, &producer, 20);
    std::thread::sleep(Duration::from_millis(300));
    stopped.signal("-STOP");
    let successor = application(&broker);
    let started = Instant::now();
    while members().iter().any(|member| before.contains(member)) {
        assert!(started.elapsed() < PATIENCE, "the stopped instance stays in the group");
        std::thread::sleep(Duration::from_millis(100));
    }
    stopped.signal("-CONT");
    produce(&runtime, &producer, 20);
    for (word, of_word) in runtime.block_on(read(&broker, 60)) {
        assert_eq!(of_word, (1..=60).collect::<Vec<i64>>(), "{word}");
    }
    drop(stopped);
    assert!(successor.close(PATIENCE));
}

/// A member that does not come back holds a rebalance up until its session is over. Who is closed meanwhile commits what it
/// processed after that rebalance, as its generation takes no commit any more, so that nobody does it twice.
#[test]
fn who_is_closed_during_a_rebalance_commits_first() {
    let broker = Broker::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (admin, producer) = prepared(&broker, &runtime);
    // At least once shows what is done twice, and only the last commit is made.
    let instance = || {
        let app = started(&broker.address, |config| {
            config.set("processing.guarantee", "at_least_once").set("commit.interval.ms", 600_000)
        });
        assert!(app.wait_running(PATIENCE), "{:?}", app.threads());
        app
    };
    let closed = instance();
    let mut stopped = Instance::start(&broker);
    stopped.wait_running();
    assert!(closed.wait_running(PATIENCE), "{:?}", closed.threads());
    produce(&runtime, &producer, 20);
    // The other instance shows its counts when it has committed them.
    runtime.block_on(read(&broker, 20));
    stopped.signal("-STOP");
    closed.add_thread().expect("it works");
    let (started, group) = (Instant::now(), || runtime.block_on(admin.describe_group("live")).expect("the group"));
    while group().state != "PreparingRebalance" {
        assert!(started.elapsed() < PATIENCE, "there is no rebalance");
    }
    // All other members have heard of it from their heartbeats.
    std::thread::sleep(Duration::from_secs(1));
    assert!(closed.close_with(CloseOptions { limit: PATIENCE, membership: GroupMembership::Leave }));
    drop(stopped);
    let next = instance();
    produce(&runtime, &producer, 1);
    for (word, of_word) in runtime.block_on(read(&broker, 21)) {
        assert_eq!(of_word, (1..=21).collect::<Vec<i64>>(), "{word}");
    }
    assert!(next.close(PATIENCE));
}
