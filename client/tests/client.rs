//! The client against brokers: ours, Apache's where Java is there, and some that mean harm.
//!
//! A scenario is run against a broker of its own process, which it may kill. `MILLSTREAM_SEED` repeats a hostile run.
#![allow(clippy::disallowed_methods, reason = "a test program from outside: real clock and sockets")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::TopicPartition;
use client::admin::{Admin, NewTopic, OffsetSpec, ResourceKind};
use client::config::{Assignor, ConnectionConfig, ConsumerConfig, ProducerConfig, Reset};
use client::consumer::{Consumer, Offsets, RebalanceListener};
use client::error::ClientError;
use client::metadata::Cluster;
use client::producer::{GroupMetadata, NewRecord, Producer};

mod chaos;
mod consuming;
mod secure;
mod support;
mod three;
mod transactions;
mod unfriendly;

use support::{Node, hostile};

const POLL: Duration = Duration::from_millis(200);

async fn create(node: &Node, topic: &str, partitions: i32) {
    let topic = NewTopic { name: topic.to_owned(), partitions: Some(partitions), ..NewTopic::default() };
    Admin::new(node.cluster()).create_topic(&topic).await.expect("a new topic");
}

fn group(name: &str) -> ConsumerConfig {
    ConsumerConfig {
        group: Some(name.to_owned()),
        reset: Reset::Earliest,
        heartbeat_interval: Duration::from_millis(200),
        ..ConsumerConfig::default()
    }
}

/// Polls until `enough` says so of all that came, as (partition, offset, value).
async fn read(consumer: &mut Consumer, enough: impl Fn(&[(i32, i64, String)]) -> bool) -> Vec<(i32, i64, String)> {
    let (mut all, started) = (Vec::new(), Instant::now());
    while !enough(&all) {
        assert!(started.elapsed() < Duration::from_secs(60), "only {} records came", all.len());
        for record in consumer.poll(POLL).await.expect("a poll").iter() {
            let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
            all.push((record.partition(), record.offset, value));
        }
    }
    all
}

fn values(records: &[(i32, i64, String)]) -> Vec<&str> {
    records.iter().map(|(_, _, value)| value.as_str()).collect()
}

/// Everything of a record arrives, in each codec.
async fn round_trip(node: &mut Node) {
    create(node, "round-trip", 2).await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let (config, _) = ProducerConfig::from_properties([("compression.type", codec)]).expect("a config");
        let producer = Producer::new(node.cluster(), config);
        let headers = [("name", Some(&b"value"[..])), ("null", None)];
        let record = NewRecord {
            topic: "round-trip",
            partition: Some(1),
            timestamp: Some(1_234_567),
            key: Some(codec.as_bytes()),
            value: None,
            headers: &headers,
        };
        let mut deliveries = Vec::new();
        for _ in 0..100 {
            deliveries.push(producer.send(record).await.expect("room"));
        }
        let mut offsets = Vec::new();
        for delivery in deliveries {
            let written = delivery.await.expect("written");
            assert_eq!((written.partition, written.timestamp), (1, 1_234_567));
            offsets.push(written.offset);
        }
        assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1), "{offsets:?}");
        let mut consumer = Consumer::new(node.cluster(), ConsumerConfig::default());
        let place = TopicPartition::new("round-trip", 1);
        consumer.assign(std::slice::from_ref(&place)).expect("nothing subscribed");
        consumer.seek(&place, offsets[0]).expect("assigned");
        let mut count = 0;
        while count < 100 {
            for record in consumer.poll(POLL).await.expect("a poll").iter() {
                assert_eq!(record.offset, offsets[count]);
                assert_eq!((record.key, record.value, record.timestamp), (Some(codec.as_bytes()), None, 1_234_567));
                assert_eq!(
                    record.headers().collect::<Vec<_>>(),
                    [(&b"name"[..], Some(&b"value"[..])), (b"null", None)]
                );
                count += 1;
            }
        }
        assert_eq!(consumer.position(&place).await.expect("a position"), offsets[99] + 1);
    }
}

/// kcat reads what we wrote and we read what it wrote, in each codec; keys land in the same partitions.
async fn with_kcat(node: &mut Node) {
    if !support::has("kcat") {
        return println!("  kcat is not there: left out");
    }
    create(node, "kcat", 5).await;
    let address = node.address();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let lines: String = (0..200).map(|n| format!("k{n}:{codec}-{n}\n")).collect();
        let codec_flag = format!("compression.codec={codec}");
        let flags = ["-b", &address, "-P", "-t", "kcat", "-K:", "-X", &codec_flag, "-X", "partitioner=murmur2_random"];
        support::kcat(&flags, &lines);
        let (config, _) = ProducerConfig::from_properties([("compression.type", codec)]).expect("a config");
        let producer = Producer::new(node.cluster(), config);
        for n in 0..200 {
            let (key, value) = (format!("k{n}"), format!("ours-{codec}-{n}"));
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            producer.push(NewRecord { topic: "kcat", key, value, ..NewRecord::default() }).await.expect("room");
        }
        producer.flush().await.expect("all written");
    }
    let listed = support::kcat(&["-b", &address, "-C", "-t", "kcat", "-e", "-q", "-f", "%p %k %s\n"], "");
    let theirs: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    let mut consumer = Consumer::new(node.cluster(), group("kcat-readers"));
    consumer.subscribe(&["kcat"]).expect("a group");
    let (mut ours, mut places) = (BTreeSet::new(), HashMap::new());
    while ours.len() < 2000 {
        for record in consumer.poll(POLL).await.expect("a poll").iter() {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let key = text(record.key);
            assert_eq!(*places.entry(key.clone()).or_insert(record.partition()), record.partition(), "{key}");
            ours.insert(format!("{} {key} {}", record.partition(), text(record.value)));
        }
    }
    assert_eq!(ours, theirs);
    consumer.close().await.expect("the last commit");
}

/// Who owns what, as listeners tell it; two owners of one partition fail the test.
#[derive(Clone, Default)]
struct Owners(Arc<Mutex<BTreeMap<TopicPartition, usize>>>);

struct Member {
    number: usize,
    owners: Owners,
}

impl RebalanceListener for Member {
    fn assigned(&mut self, partitions: &[TopicPartition]) {
        let mut owners = self.owners.0.lock().expect("no panic");
        for place in partitions {
            let before = owners.insert(place.clone(), self.number);
            assert_eq!(before, None, "{place} is owned twice");
        }
    }

    fn revoked(&mut self, partitions: &[TopicPartition], _: &mut Offsets) {
        let mut owners = self.owners.0.lock().expect("no panic");
        partitions.iter().for_each(|place| assert_eq!(owners.remove(place), Some(self.number)));
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        panic!("member {} was thrown out of {partitions:?}", self.number);
    }
}

/// Three members come and one goes while records flow: each record is read once, no partition has two owners.
async fn rebalance(node: &mut Node, assignor: Assignor) {
    let topic: &'static str = match assignor {
        Assignor::Range => "rebalance-range",
        Assignor::RoundRobin => "rebalance-roundrobin",
        Assignor::Sticky => "rebalance-sticky",
        Assignor::CooperativeSticky => "rebalance-cooperative",
    };
    create(node, topic, 6).await;
    let owners = Owners::default();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let stop = Flags::default();
    let mut members = Vec::new();
    let producer = Producer::new(node.cluster(), ProducerConfig::default());
    let mut sent = 0;
    for number in 0..3 {
        let (cluster, seen, stop) = (node.cluster(), seen.clone(), stop.clone());
        let listener = Box::new(Member { number, owners: owners.clone() });
        members.push(tokio::spawn(async move {
            let mut consumer = Consumer::new(cluster, ConsumerConfig { assignors: vec![assignor], ..group(topic) });
            consumer.set_listener(listener);
            consumer.subscribe(&[topic]).expect("a group");
            // The first member leaves before the others.
            while !(stop.is_set(0) || number == 0 && stop.is_set(1)) {
                let records = consumer.poll(Duration::from_millis(50)).await.expect("a poll");
                let values =
                    records.iter().map(|record| String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
                seen.lock().expect("no panic").extend(values);
            }
            consumer.close().await.expect("the last commit");
        }));
        sent = produce_until(&producer, topic, sent, || owned_by(&owners, number)).await;
    }
    stop.set(1);
    sent = produce_until(&producer, topic, sent, || {
        !owned_by(&owners, 0) && owners.0.lock().expect("no panic").len() == 6
    })
    .await;
    producer.flush().await.expect("all written");
    let started = Instant::now();
    while seen.lock().expect("no panic").len() < sent {
        assert!(started.elapsed() < Duration::from_secs(30), "of {sent} only {}", seen.lock().expect("no panic").len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.set(0);
    for member in members {
        member.await.expect("a member without a panic");
    }
    let mut seen = seen.lock().expect("no panic").clone();
    let expected: BTreeSet<String> = (0..sent).map(|n| format!("r{n}")).collect();
    seen.sort();
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "a record was read twice");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
}

fn owned_by(owners: &Owners, number: usize) -> bool {
    owners.0.lock().expect("no panic").values().any(|owner| *owner == number)
}

async fn produce_until(producer: &Producer, topic: &'static str, mut sent: usize, over: impl Fn() -> bool) -> usize {
    let started = Instant::now();
    while !over() {
        assert!(started.elapsed() < Duration::from_secs(60), "the group did not settle");
        let (key, value) = (format!("{sent}"), format!("r{sent}"));
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        producer.push(NewRecord { topic, key, value, ..NewRecord::default() }).await.expect("room");
        sent += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    sent
}

#[derive(Clone, Default)]
struct Flags(Arc<[std::sync::atomic::AtomicBool; 2]>);

impl Flags {
    fn set(&self, which: usize) {
        self.0[which].store(true, std::sync::atomic::Ordering::Release);
    }

    fn is_set(&self, which: usize) -> bool {
        self.0[which].load(std::sync::atomic::Ordering::Acquire)
    }
}

/// Commits, positions, seeks, pauses and offsets by time.
async fn positions(node: &mut Node) {
    create(node, "positions", 1).await;
    let producer = Producer::new(node.cluster(), ProducerConfig::default());
    for n in 0..20 {
        let value = format!("v{n}");
        let (value, timestamp) = (Some(value.as_bytes()), Some(1000 * n));
        producer.push(NewRecord { topic: "positions", timestamp, value, ..NewRecord::default() }).await.expect("room");
    }
    producer.flush().await.expect("all written");
    let place = TopicPartition::new("positions", 0);
    let all = std::slice::from_ref(&place);
    let manual = ConsumerConfig { auto_commit: None, poll_records_max: 5, ..group("positions") };
    let mut consumer = Consumer::new(node.cluster(), manual.clone());
    consumer.subscribe(&["positions"]).expect("a group");
    let first = read(&mut consumer, |all| all.len() >= 5).await;
    assert_eq!(values(&first), ["v0", "v1", "v2", "v3", "v4"]);
    assert!(consumer.committed(all).await.expect("an answer").is_empty());
    consumer.commit().await.expect("committed");
    assert_eq!(consumer.committed(all).await.expect("an answer")[&place].offset, 5);
    consumer.close().await.expect("closed");

    let mut consumer = Consumer::new(node.cluster(), manual.clone());
    consumer.subscribe(&["positions"]).expect("a group");
    assert_eq!(values(&read(&mut consumer, |all| all.len() >= 5).await)[0], "v5", "goes on where the commit was");
    consumer.seek(&place, 17).expect("assigned");
    assert_eq!(values(&read(&mut consumer, |all| all.len() >= 3).await), ["v17", "v18", "v19"]);
    consumer.seek_to_beginning(all).expect("assigned");
    consumer.pause(all).expect("assigned");
    assert!(consumer.poll(POLL).await.expect("a poll").is_empty(), "paused");
    consumer.resume(all).expect("assigned");
    assert_eq!(values(&read(&mut consumer, |all| all.len() >= 5).await)[0], "v0");
    consumer.seek_to_end(all).expect("assigned");
    assert_eq!(consumer.position(&place).await.expect("a position"), 20);
    assert_eq!(consumer.beginning_offsets(all).await.expect("an answer")[&place], 0);
    assert_eq!(consumer.end_offsets(all).await.expect("an answer")[&place], 20);
    let times = BTreeMap::from([(place.clone(), 7500)]);
    let found = consumer.offsets_for_times(&times).await.expect("an answer")[&place];
    assert_eq!((found.offset, found.timestamp), (8, 8000));
    let late = BTreeMap::from([(place.clone(), 1_000_000)]);
    assert!(consumer.offsets_for_times(&late).await.expect("an answer").is_empty());
    consumer.close().await.expect("closed");

    let mut none = Consumer::new(node.cluster(), ConsumerConfig { reset: Reset::None, ..group("nobody") });
    none.assign(all).expect("nothing subscribed");
    let started = Instant::now();
    let error = loop {
        match none.poll(POLL).await {
            Ok(records) => assert!(records.is_empty() && started.elapsed() < Duration::from_secs(20)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ClientError::NoOffset { partition: 0, .. }), "{error}");
}

/// The broker is killed in the middle of the load: nothing is lost, nothing twice, order is kept; a group goes on.
async fn crash(node: &mut Node) {
    create(node, "crash", 3).await;
    let mut consumer = Consumer::new(node.cluster(), group("crash"));
    consumer.subscribe(&["crash"]).expect("a group");
    let producer = Producer::new(node.cluster(), ProducerConfig { batch_bytes: 2000, ..ProducerConfig::default() });
    let load = tokio::spawn(async move {
        let (mut deliveries, started) = (Vec::new(), Instant::now());
        while started.elapsed() < Duration::from_secs(6) {
            let value = format!("{}", deliveries.len());
            let partition = Some(deliveries.len() as i32 % 3);
            let record = NewRecord { topic: "crash", partition, value: Some(value.as_bytes()), ..NewRecord::default() };
            deliveries.push(producer.send(record).await.expect("room"));
            if deliveries.len() % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let mut offsets = Vec::new();
        for delivery in deliveries {
            offsets.push(delivery.await.expect("acknowledged in the end").offset);
        }
        offsets
    });
    let mut seen = read(&mut consumer, |all| all.len() > 500).await;
    for _ in 0..2 {
        node.crash();
        let more = seen.len() + 500;
        seen.extend(read(&mut consumer, |all| all.len() + seen.len() > more || load.is_finished()).await);
    }
    let offsets = load.await.expect("a load without a panic");
    let left = offsets.len().saturating_sub(seen.len());
    seen.extend(read(&mut consumer, |all| all.len() >= left).await);
    for partition in 0..3 {
        let own: Vec<_> = seen.iter().filter(|(at, ..)| *at == partition).collect();
        let values: Vec<usize> = own.iter().map(|(_, _, value)| value.parse().expect("a number")).collect();
        let expected: Vec<usize> = (0..offsets.len()).filter(|n| *n as i32 % 3 == partition).collect();
        assert_eq!(values, expected, "partition {partition}: {} of {}", values.len(), expected.len());
        for (_, offset, value) in own {
            let told = offsets[value.parse::<usize>().expect("a number")];
            assert!(told == *offset || told == -1, "record {value} is at {offset}, not {told}");
        }
    }
}

/// A group hears of new partitions, and of a topic that is made after the subscription.
async fn growing(node: &mut Node) {
    let mut config = group("growing");
    config.connection.metadata_max_age = Duration::from_millis(300);
    config.connection.bootstrap = vec![node.address()];
    let mut consumer = Consumer::connect(config);
    consumer.subscribe(&["growing"]).expect("a group");
    consumer.poll(POLL).await.expect("a poll of a topic that is not there");
    let producer = Producer::new(node.cluster(), ProducerConfig::default());
    let push = async |partition, text: &'static str| {
        let record = NewRecord {
            topic: "growing",
            partition: Some(partition),
            value: Some(text.as_bytes()),
            ..NewRecord::default()
        };
        producer.send(record).await.expect("room").await.expect("written");
    };
    push(0, "first").await;
    assert_eq!(values(&read(&mut consumer, |all| !all.is_empty()).await), ["first"]);
    Admin::new(node.cluster())
        .create_partitions(&BTreeMap::from([("growing".to_owned(), (3, None))]))
        .await
        .expect("more partitions");
    push(2, "new").await;
    assert_eq!(values(&read(&mut consumer, |all| !all.is_empty()).await), ["new"]);
    assert_eq!(consumer.assignment().len(), 3);
    consumer.close().await.expect("the last commit");
}

async fn all(node: &mut Node) {
    round_trip(node).await;
    println!("  round trip");
    positions(node).await;
    println!("  positions");
    with_kcat(node).await;
    println!("  kcat");
    growing(node).await;
    println!("  growing");
    transactions::all_or_nothing(node).await;
    transactions::errors(node).await;
    transactions::seen_from_outside(node).await;
    transactions::cluster_calls(node).await;
    transactions::plugins(node).await;
    println!("  transactions");
    for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky] {
        rebalance(node, assignor).await;
        println!("  rebalance with {}", assignor.name());
    }
    consuming::all(node).await;
    crash(node).await;
    println!("  crash");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_our_broker() {
    all(&mut Node::ours()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_apaches_broker() {
    match Node::apaches() {
        Some(mut node) => all(&mut node).await,
        None => println!("Java is not there: left out"),
    }
}

/// Nobody there, or nobody who answers: an error that names the address, in time.
#[tokio::test]
async fn what_does_not_answer_is_told_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_address = silent.local_addr().expect("an address").to_string();
    let limit = Duration::from_millis(500);
    for address in ["127.0.0.1:1", &silent_address] {
        let connection = ConnectionConfig {
            bootstrap: vec![address.to_owned()],
            request_timeout: limit,
            setup_timeout: limit,
            ..ConnectionConfig::default()
        };
        let started = Instant::now();
        let config = ProducerConfig { connection: connection.clone(), block_max: limit, ..ProducerConfig::default() };
        let producer = Producer::new(Cluster::with_config(connection.clone()), config);
        let error = producer.push(NewRecord { topic: "t", ..NewRecord::default() }).await.expect_err("nobody there");
        assert!(error.is_retriable() && error.to_string().contains("finding topic t"), "{error}");
        let error = Cluster::with_config(connection.clone()).any().await.err().expect("nobody there");
        assert!(error.is_retriable() && error.to_string().contains(address), "{error}");
        let config = ConsumerConfig { connection: connection.clone(), api_timeout: limit, ..group("g") };
        let mut consumer = Consumer::new(Cluster::with_config(connection), config);
        consumer.subscribe(&["t"]).expect("a group");
        assert!(consumer.poll(limit).await.is_ok_and(|records| records.is_empty()));
        let place = TopicPartition::new("t", 0);
        assert!(consumer.committed(std::slice::from_ref(&place)).await.is_err());
        consumer.close().await.expect("nothing to commit");
        assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    }
}

/// A broker that answers anything at all: every call ends in time and nothing panics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_broker_costs_time_but_bounded() {
    let seed = std::env::var("MILLSTREAM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("MILLSTREAM_SEED={seed}");
    let panics = support::count_panics();
    let node = Node::ours();
    create(&node, "hostile", 2).await;
    for round in 0..36 {
        let address = hostile(node.address(), seed, round).await;
        let connection = ConnectionConfig {
            bootstrap: vec![address],
            request_timeout: HOSTILE_LIMIT,
            setup_timeout: HOSTILE_LIMIT,
            ..ConnectionConfig::default()
        };
        let started = Instant::now();
        match round % 3 {
            0 => hostile_records(connection).await,
            1 => hostile_admin(connection).await,
            _ => hostile_transaction(connection).await,
        }
        assert!(started.elapsed() < Duration::from_secs(6), "round {round}: {:?}", started.elapsed());
        assert_eq!(panics.load(std::sync::atomic::Ordering::Acquire), 0, "round {round}");
    }
}

/// What one call may take there.
const HOSTILE_LIMIT: Duration = Duration::from_millis(300);

fn hostile_producer(connection: &ConnectionConfig, id: Option<&str>) -> Producer {
    let config = ProducerConfig {
        connection: connection.clone(),
        block_max: HOSTILE_LIMIT,
        delivery_timeout: HOSTILE_LIMIT * 2,
        transactional_id: id.map(str::to_owned),
        ..ProducerConfig::default()
    };
    Producer::connect(config)
}

/// Records out, and in by a group of two. Written, read or not: only that it is told counts here.
async fn hostile_records(connection: ConnectionConfig) {
    let producer = hostile_producer(&connection, None);
    for partition in 0..2 {
        let record =
            NewRecord { topic: "hostile", partition: Some(partition), value: Some(b"v"), ..NewRecord::default() };
        if let Ok(delivery) = producer.send(record).await {
            let _ = delivery.await;
        }
    }
    let _ = producer.close(HOSTILE_LIMIT).await;
    let config = ConsumerConfig { connection, api_timeout: HOSTILE_LIMIT, ..group("hostile") };
    let mut members = [Consumer::connect(config.clone()), Consumer::connect(config)];
    for member in &mut members {
        member.subscribe(&["hostile"]).expect("a group");
    }
    for _ in 0..3 {
        for member in &mut members {
            let _ = member.poll(Duration::from_millis(50)).await;
        }
    }
    for member in &mut members {
        let _ = member.close_within(HOSTILE_LIMIT * 2).await;
    }
}

async fn hostile_admin(connection: ConnectionConfig) {
    let admin = Admin::new(Cluster::with_config(connection)).with_timeout(HOSTILE_LIMIT);
    let (names, place) = (["hostile".to_owned()], TopicPartition::new("hostile", 0));
    let _ = admin.list_topics().await;
    let _ = admin.describe_topics(&names, 1).await;
    let _ = admin.describe_configs(ResourceKind::Topic, "hostile").await;
    let _ = admin.list_offsets([&place], OffsetSpec::Latest).await;
    let _ = admin.list_groups(&[], &[]).await;
    let _ = admin.describe_groups(&names).await;
    let _ = admin.committed_offsets_of(&names).await;
    let _ = admin.describe_transactions(&names).await;
    let _ = admin.describe_producers(&BTreeSet::from([place.clone()]), None).await;
    let _ = admin.delete_records(&BTreeMap::from([(place, 0)])).await;
}

async fn hostile_transaction(connection: ConnectionConfig) {
    let producer = hostile_producer(&connection, Some("hostile"));
    if producer.init_transactions().await.is_ok() && producer.begin_transaction().is_ok() {
        let record = NewRecord { topic: "hostile", value: Some(b"v"), ..NewRecord::default() };
        let _ = producer.push(record).await;
        let offsets = Offsets::from([(TopicPartition::new("hostile", 0), 1.into())]);
        let _ = producer.send_offsets_to_transaction(&offsets, &GroupMetadata::new("hostile")).await;
        let _ = producer.commit_transaction().await;
    }
    let _ = producer.close(HOSTILE_LIMIT).await;
}

/// Away, silent, slow, garbage, half a frame, leaders that move, a wrong password: each is told by name and in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_name_the_broker_and_what_it_did() {
    unfriendly::all().await;
}

/// Connections break all the time, and nothing that was promised does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_with_our_broker() {
    chaos::all(|port| Some(Node::ours_behind(port))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_with_apaches_broker() {
    match std::env::var_os("MILLSTREAM_SOAK") {
        Some(_) => {
            for transaction_version in [1, 2] {
                chaos::all(|port| Node::apaches_behind(port, transaction_version)).await;
            }
        }
        None => println!("only with MILLSTREAM_SOAK"),
    }
}

/// What takes more than one broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_three_of_apaches_brokers() {
    match std::env::var_os("MILLSTREAM_SOAK") {
        Some(_) => three::all().await,
        None => println!("only with MILLSTREAM_SOAK"),
    }
}

/// Each mechanism, with and without TLS, against Apache's broker: ours serves neither yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_sasl_with_apaches_broker() {
    secure::all().await;
}
