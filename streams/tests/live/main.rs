//! Applications against a broker that is a process of its own: what comes out while instances come, go, die and hang.
#![allow(clippy::disallowed_methods, reason = "a test program from outside: the real clock")]

mod bad_input;
mod cluster;
mod differential;
mod kill;
mod program;
mod queries;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use client::TopicPartition;
use client::producer::{NewRecord, Producer};
use streams::{
    CloseOptions, GroupMembership, KStream, KafkaStreams, RestoreListener, State, StreamsBuilder, StreamsConfig,
    Topology,
};

use cluster::{Broker, PATIENCE, wait_for};
use program::Program;

const LEAVE: CloseOptions = CloseOptions { limit: PATIENCE, membership: GroupMembership::Leave };

fn counted() -> Topology {
    let builder = StreamsBuilder::new();
    let words: KStream<String, String> = builder.stream("words");
    words.group_by(|_, word| word.clone()).count("counts").to_stream().to("counts-out");
    builder.build().expect("the topology is sound")
}

fn started(broker: &Broker, besides: impl Fn(StreamsConfig) -> StreamsConfig) -> KafkaStreams {
    let app = KafkaStreams::new(counted(), besides(config(broker))).expect("settings are sound");
    app.start().expect("threads start");
    app
}

fn config(broker: &Broker) -> StreamsConfig {
    StreamsConfig::new("live", broker.address())
        .set("processing.guarantee", "exactly_once_v2")
        .set("default.dsl.store", "in_memory")
        .set("statestore.cache.max.bytes", 0)
        .set("num.stream.threads", 2)
        .set("consumer.session.timeout.ms", 6000)
        .set("consumer.heartbeat.interval.ms", 200)
}

/// Sends each of so many words `times` times.
fn produce(broker: &Broker, producer: &Producer, words: usize, times: usize) {
    let texts: Vec<String> = (0..words).map(|number| format!("word-{number}")).collect();
    let record = |number: usize| {
        let partition = i32::try_from(number % 4).ok();
        NewRecord { topic: "words", partition, value: Some(texts[number % words].as_bytes()), ..NewRecord::default() }
    };
    broker.send(producer, &(0..words * times).map(record).collect::<Vec<_>>());
}

/// Reads until each of the words has been counted to `last`.
fn read(broker: &Broker, words: usize, last: i64) {
    let (mut reader, started) = (broker.reader("counts-out", 2), Instant::now());
    let last = Some(last.to_be_bytes().to_vec());
    while reader.values.len() < words || reader.values.values().any(|counts| counts.last() != Some(&last)) {
        reader.read(Duration::from_millis(200));
        assert!(started.elapsed() < PATIENCE, "not all of {} words was counted", reader.values.len());
    }
}

/// The topics, and who fills them.
fn prepared(broker: &Broker) -> Producer {
    broker.create(&[("words", 4), ("counts-out", 2)]);
    broker.producer()
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
        && sum("stream-topic-metrics", "records-consumed-total") > 0.0
        && sum("stream-topic-metrics", "bytes-produced-total") > 0.0
        && sum("stream-processor-node-metrics", "process-total") > 0.0
        && sum("stream-state-metrics", "put-rate") > 0.0
        && sum("stream-state-metrics", "commit-rate") > 0.0
        && page.contains("kafka_streams_stream_state_metrics_num_keys{in_memory_state_id=\"counts\"")
        && page.contains("kafka_streams_stream_processor_node_metrics_record_e2e_latency_avg{")
        && sum("consumer-fetch-manager-metrics", "records-consumed-total") > 0.0
        && sum("producer-metrics", "record-send-total") > 0.0
        && page.contains("kafka_streams_stream_metrics_alive_stream_threads{")
        && page.contains("kafka_consumer_consumer_coordinator_metrics_commit_total{")
}

/// Each word is counted once, whichever thread of whichever instance counts it: with the cache off its counts are
/// 1, 2, 3 and so on, without a gap and without a repeat, as restored state and moved tasks go on where others ended.
#[test]
fn counts_are_exact_while_instances_come_and_go() {
    let Some(broker) = Broker::start() else { return };
    let producer = prepared(&broker);
    let first = started(&broker, |config| config);
    assert!(first.wait_running(PATIENCE), "{:?}", first.threads());
    produce(&broker, &producer, 50, 40);
    let second = started(&broker, |config| config);
    produce(&broker, &producer, 50, 40);
    assert!(second.wait_running(PATIENCE), "{:?}", second.threads());
    produce(&broker, &producer, 50, 40);
    // Its tasks go to the other at once.
    assert!(first.close_with(LEAVE));
    assert_eq!(first.state(), State::NotRunning);
    produce(&broker, &producer, 50, 40);

    for (word, of_word) in broker.reader("counts-out", 2).numbers(50 * 160) {
        assert_eq!(of_word, (1..=160).collect::<Vec<i64>>(), "{word}");
    }
    // What the clients tell may be a second old.
    wait_for(|| second.prometheus(), || is_measured(&second));
    assert!(second.close(PATIENCE));
}

/// Copies of stores take over, and tasks become copies and run again: what they had cached in between is not counted on.
#[test]
fn copies_take_over_where_the_others_ended() {
    let Some(broker) = Broker::start() else { return };
    let producer = prepared(&broker);
    let instance = || {
        let app = started(&broker, |config| {
            let config = config.set("num.standby.replicas", 1).set("statestore.cache.max.bytes", 1 << 20);
            config.set("probing.rebalance.interval.ms", 60_000).set("acceptable.recovery.lag", 0)
        });
        assert!(app.wait_running(PATIENCE), "{:?}", app.threads());
        produce(&broker, &producer, 50, 20);
        app
    };
    let first = instance();
    let second = instance();
    assert!(first.close_with(LEAVE));
    produce(&broker, &producer, 50, 20);
    let third = instance();
    assert!(second.close_with(LEAVE));
    produce(&broker, &producer, 50, 20);
    read(&broker, 50, 100);
    assert!(third.close_with(LEAVE));
}

/// What an instance was told of its stores.
#[derive(Clone, Default)]
struct Told {
    restored: Arc<AtomicI64>,
    copied: Arc<AtomicI64>,
}

impl RestoreListener for Told {
    fn ended(&self, _changelog: &TopicPartition, _store: &str, total: i64) {
        self.restored.fetch_add(total, Ordering::Relaxed);
    }

    fn copied(&self, _changelog: &TopicPartition, _store: &str, _offset: i64, count: usize) {
        self.copied.fetch_add(i64::try_from(count).expect("a count"), Ordering::Relaxed);
    }
}

/// Who had copies of all stores restores next to nothing when it takes over.
#[test]
fn a_takeover_by_copies_restores_little() {
    const WORDS: usize = 100_000;
    let Some(broker) = Broker::start() else { return };
    let producer = prepared(&broker);
    let all = i64::try_from(WORDS).expect("small");
    let instance = || {
        let told = Told::default();
        let app =
            KafkaStreams::new(counted(), config(&broker).set("num.standby.replicas", 1)).expect("settings are sound");
        app.set_restore_listener(told.clone()).expect("not started");
        app.start().expect("threads start");
        assert!(app.wait_running(PATIENCE), "{:?}", app.threads());
        (app, told)
    };
    let (first, _) = instance();
    produce(&broker, &producer, WORDS, 1);
    read(&broker, WORDS, 1);
    let (second, told) = instance();
    let copied = || told.copied.load(Ordering::Relaxed);
    wait_for(|| format!("{all} rows, as {} were copied", copied()), || copied() >= all);
    assert!(first.close_with(LEAVE));
    produce(&broker, &producer, WORDS, 1);
    read(&broker, WORDS, 2);
    let restored = told.restored.load(Ordering::Relaxed);
    assert!(restored * 20 < all, "{restored} of {all} rows were restored");
    assert!(second.close_with(LEAVE));
}

/// A member that does not come back holds a rebalance up until its session is over. Who is closed meanwhile commits what it
/// processed after that rebalance, as its generation takes no commit any more, so that nobody does it twice.
#[test]
fn who_is_closed_during_a_rebalance_commits_first() {
    let Some(broker) = Broker::start() else { return };
    let (admin, producer) = (broker.admin(), prepared(&broker));
    // At least once shows what is done twice, and only the last commit is made.
    let instance = || {
        let app = started(&broker, |config| {
            config.set("processing.guarantee", "at_least_once").set("commit.interval.ms", 600_000)
        });
        assert!(app.wait_running(PATIENCE), "{:?}", app.threads());
        app
    };
    let closed = instance();
    let stopped =
        Program::ours(&broker, "counts", "stopped").set("application.id", "live").set("session.timeout.ms", 6000);
    let stopped = stopped.set("default.dsl.store", "in_memory").set("statestore.cache.max.bytes", 0);
    let mut stopped = stopped.set("heartbeat.interval.ms", 200).start();
    stopped.wait_running();
    assert!(closed.wait_running(PATIENCE), "{:?}", closed.threads());
    produce(&broker, &producer, 50, 20);
    // The other instance shows its counts when it has committed them.
    read(&broker, 50, 20);
    stopped.signal("-STOP");
    closed.add_thread().expect("it works");
    let (started, group) =
        (Instant::now(), || broker.runtime.block_on(admin.describe_group("live")).expect("the group"));
    while group().state != "PreparingRebalance" {
        assert!(started.elapsed() < PATIENCE, "there is no rebalance");
    }
    // All other members have heard of it from their heartbeats.
    std::thread::sleep(Duration::from_secs(1));
    assert!(closed.close_with(LEAVE));
    drop(stopped);
    let next = instance();
    produce(&broker, &producer, 50, 1);
    for (word, of_word) in broker.reader("counts-out", 2).numbers(50 * 21) {
        assert_eq!(of_word, (1..=21).collect::<Vec<i64>>(), "{word}");
    }
    assert!(next.close(PATIENCE));
}
