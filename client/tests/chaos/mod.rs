//! What holds while connections break all the time: no record that was acknowledged is missing, none stands there
//! twice under idempotence, the order within a partition is that of sending, transactions are all or nothing, groups
//! go on.
//!
//! Ten seconds of it against our broker; with `MILLSTREAM_SOAK` sixty, and against Apache's as well. `MILLSTREAM_SEED`
//! repeats what befell each connection, though not the moment at which it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::TopicPartition;
use client::admin::{Admin, NewTopic};
use client::config::{Assignor, ConnectionConfig, ConsumerConfig, Idempotence, Isolation, ProducerConfig, Reset};
use client::consumer::Consumer;
use client::metadata::Cluster;
use client::producer::{Delivery, NewRecord, Producer};
use millstream_protocol::compress::Codec;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::POLL;
use crate::support::Node;
use crate::support::proxy::Proxy;

// Transactions that are all there or not at all.
mod transactions;

pub const TOPICS: [&str; 3] = ["chaos", "chaos-plain", "chaos-txn"];
const PARTITIONS: i32 = 3;
/// What may pass between the end of the faults and that of the workload.
const SETTLING: Duration = Duration::from_secs(60);

/// Partition, offset and value of a record.
type Seen = (i32, i64, String);

#[derive(Clone)]
pub struct World {
    /// Where the cluster is.
    pub bootstrap: Vec<String>,
    pub seed: u64,
    /// When writers stop.
    pub ends: Instant,
}

impl World {
    /// Short timeouts, so that what falls silent is noticed often.
    pub fn connection(&self) -> ConnectionConfig {
        ConnectionConfig {
            bootstrap: self.bootstrap.clone(),
            request_timeout: Duration::from_secs(2),
            setup_timeout: Duration::from_secs(2),
            reconnect_backoff: Duration::from_millis(10),
            reconnect_backoff_max: Duration::from_millis(200),
            retry_backoff: Duration::from_millis(20),
            retry_backoff_max: Duration::from_millis(200),
            ..ConnectionConfig::default()
        }
    }

    pub fn cluster(&self) -> Cluster {
        Cluster::with_config(self.connection())
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    fn deadline(&self) -> Instant {
        self.ends + SETTLING
    }

    pub fn reader(&self, isolation: Isolation) -> ConsumerConfig {
        ConsumerConfig { connection: self.connection(), isolation, reset: Reset::Earliest, ..ConsumerConfig::default() }
    }
}

/// What a writer was told: by partition the offset of each of its records, in the order of sending.
type Told = Vec<Vec<i64>>;

/// Sends numbered records until time is over; each is acknowledged in the end.
async fn write(world: World, topic: &'static str, config: ProducerConfig) -> Told {
    let producer = Producer::new(world.cluster(), ProducerConfig { connection: world.connection(), ..config });
    let mut random = StdRng::seed_from_u64(world.seed);
    let mut deliveries: Vec<Vec<Delivery>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
    let padding = "x".repeat(20_000);
    while !world.is_over() {
        let partition = random.random_range(0..PARTITIONS);
        let own = &mut deliveries[partition as usize];
        let size = if random.random_range(0..50) == 0 { random.random_range(0..padding.len()) } else { 20 };
        let value = format!("{} {}", own.len(), &padding[..size]);
        let record =
            NewRecord { topic, partition: Some(partition), value: Some(value.as_bytes()), ..NewRecord::default() };
        own.push(producer.send(record).await.expect("room"));
        if random.random_range(0..4) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut told = Told::new();
    for own in deliveries {
        let mut offsets = Vec::new();
        for delivery in own {
            offsets.push(delivery.await.expect("acknowledged in the end").offset);
        }
        told.push(offsets);
    }
    producer.close(Duration::from_secs(10)).await.expect("nothing is left");
    told
}

/// Reads partitions that are assigned by hand until their ends as they are now.
async fn read_all(world: &World, topic: &str, isolation: Isolation) -> Vec<Seen> {
    let mut consumer = Consumer::new(world.cluster(), world.reader(isolation));
    let places: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new(topic, partition)).collect();
    consumer.assign(&places).expect("nothing subscribed");
    let ends = consumer.end_offsets(&places).await.expect("leaders answer");
    read_to(&mut consumer, &ends).await
}

async fn read_to(consumer: &mut Consumer, ends: &BTreeMap<TopicPartition, i64>) -> Vec<Seen> {
    let (mut seen, started) = (Vec::new(), Instant::now());
    loop {
        let mut left = false;
        for (place, end) in ends {
            left |= consumer.position(place).await.expect("a position") < *end;
        }
        if !left {
            return seen;
        }
        assert!(started.elapsed() < SETTLING, "{} records, and the ends {ends:?} are not reached", seen.len());
        collect(consumer, &mut seen).await;
    }
}

async fn collect(consumer: &mut Consumer, seen: &mut Vec<Seen>) {
    for record in consumer.poll(POLL).await.expect("a poll").iter() {
        let value = std::str::from_utf8(record.value.expect("a value")).expect("text");
        let value = value.split(' ').next().expect("a first word");
        seen.push((record.partition(), record.offset, value.to_owned()));
    }
}

/// Each record that was acknowledged is there, where the writer was told.
fn nothing_lost(told: &Told, there: &[Seen]) {
    let there: BTreeMap<(i32, i64), &str> =
        there.iter().map(|(partition, offset, value)| ((*partition, *offset), value.as_str())).collect();
    let all: BTreeSet<(i32, &str)> = there.iter().map(|((partition, _), value)| (*partition, *value)).collect();
    for (partition, offsets) in told.iter().enumerate() {
        for (number, offset) in offsets.iter().enumerate() {
            let (partition, number) = (partition as i32, number.to_string());
            assert!(all.contains(&(partition, number.as_str())), "record {number} of partition {partition} is lost");
            let found = there.get(&(partition, *offset)).copied();
            assert!(
                *offset == -1 || found == Some(number.as_str()),
                "record {number} is not at {partition}@{offset}: {found:?}"
            );
        }
    }
}

/// Each record is there once, in the order of sending.
fn once_and_in_order(told: &Told, there: &[Seen]) {
    for (partition, offsets) in told.iter().enumerate() {
        let own = there.iter().filter(|(at, ..)| *at == partition as i32);
        let numbers: Vec<usize> = own.map(|(_, _, value)| value.parse().expect("a number")).collect();
        let wrong = numbers.iter().enumerate().find(|(at, number)| *at != **number);
        assert!(wrong.is_none(), "partition {partition} has record {wrong:?} there");
        assert_eq!(numbers.len(), offsets.len(), "records of partition {partition}");
    }
}

/// What the members of a group have read of each partition.
#[derive(Clone, Default)]
struct Progress(Arc<Mutex<BTreeMap<i32, i64>>>);

impl Progress {
    /// Nothing may be passed over; what is read again after a rebalance may be.
    fn read(&self, member: usize, (partition, offset, _): &Seen) {
        let mut known = self.0.lock().expect("no panic");
        let next = known.entry(*partition).or_insert(0);
        assert!(*offset <= *next, "member {member} passed over {partition}@{next} and reads {offset}");
        *next = (*next).max(offset + 1);
    }

    fn has(&self, told: &Told) -> bool {
        let known = self.0.lock().expect("no panic");
        told.iter()
            .enumerate()
            .all(|(partition, offsets)| known.get(&(partition as i32)).copied().unwrap_or(0) >= offsets.len() as i64)
    }
}

#[derive(Clone, Default)]
struct Stop(Arc<std::sync::atomic::AtomicBool>);

impl Stop {
    fn set(&self) {
        self.0.store(true, std::sync::atomic::Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Acquire)
    }
}

/// A member that reads until told to stop; every second one leaves from time to time and comes back.
async fn member(world: World, number: usize, assignor: Assignor, progress: Progress, stop: Stop) {
    let config = || ConsumerConfig {
        group: Some(format!("chaos-{}", assignor.name())),
        session_timeout: Duration::from_secs(6),
        heartbeat_interval: Duration::from_millis(300),
        auto_commit: Some(Duration::from_millis(500)),
        assignors: vec![assignor],
        api_timeout: Duration::from_secs(20),
        ..world.reader(Isolation::ReadUncommitted)
    };
    while !stop.is_set() {
        let mut consumer = Consumer::new(world.cluster(), config());
        consumer.subscribe(&["chaos"]).expect("a group");
        let leaves = Instant::now() + Duration::from_secs(4);
        while !stop.is_set() && (number.is_multiple_of(2) || world.is_over() || Instant::now() < leaves) {
            let mut seen = Vec::new();
            collect(&mut consumer, &mut seen).await;
            seen.iter().for_each(|seen| progress.read(number, seen));
        }
        // A commit that the group has gone on without is no loss: it is read again.
        let _ = consumer.close().await;
    }
}

/// Writers and readers of all kinds until the world ends, and what holds of what they saw; `ended` is told when the last
/// writer stops.
pub async fn workload(world: World, ended: impl FnOnce()) {
    let codec = *[Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]
        .choose(&mut StdRng::seed_from_u64(world.seed))
        .expect("codecs");
    let idempotent = ProducerConfig { codec, ..ProducerConfig::default() };
    let idempotent = tokio::spawn(write(world.clone(), "chaos", idempotent));
    let plain = ProducerConfig { idempotence: Idempotence::Off, in_flight_max: 1, ..ProducerConfig::default() };
    let plain = tokio::spawn(write(world.clone(), "chaos-plain", plain));
    let transactional = tokio::spawn(transactions::write(world.clone()));
    let (progress, stop) = (Progress::default(), Stop::default());
    let assignor = if world.seed.is_multiple_of(2) { Assignor::Range } else { Assignor::CooperativeSticky };
    let members: Vec<_> = (0..2)
        .map(|number| tokio::spawn(member(world.clone(), number, assignor, progress.clone(), stop.clone())))
        .collect();
    let follower = tokio::spawn(transactions::follow(world.clone(), stop.clone()));
    tokio::time::sleep_until(world.ends.into()).await;
    ended();
    let told = idempotent.await.expect("the idempotent writer");
    let there = read_all(&world, "chaos", Isolation::ReadUncommitted).await;
    nothing_lost(&told, &there);
    once_and_in_order(&told, &there);
    println!("  idempotent: {} records", there.len());
    let told_plain = plain.await.expect("the plain writer");
    let there = read_all(&world, "chaos-plain", Isolation::ReadUncommitted).await;
    nothing_lost(&told_plain, &there);
    println!(
        "  without idempotence: {} records, {} of them again",
        told_plain.iter().map(Vec::len).sum::<usize>(),
        there.len() - told_plain.iter().map(Vec::len).sum::<usize>()
    );
    let ended = transactional.await.expect("the transactional writer");
    let there = read_all(&world, "chaos-txn", Isolation::ReadCommitted).await;
    transactions::all_or_nothing(&world, &ended, &there).await;
    while !progress.has(&told) {
        assert!(Instant::now() < world.deadline(), "the group stands still at {:?}", progress.0.lock());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.set();
    for member in members {
        member.await.expect("a member");
    }
    println!("  the group read all of it");
    assert_eq!(transactions::by_partition(&follower.await.expect("the follower")), transactions::by_partition(&there));
    println!("  who read committed records meanwhile saw the same");
}

/// Everything at once, through a proxy in front of `node`.
pub async fn all(start: impl FnOnce(u16) -> Option<Node>) {
    let seed = std::env::var("MILLSTREAM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("MILLSTREAM_SEED={seed}");
    let mut proxy = Proxy::new(seed);
    let Some(node) = start(proxy.port()) else { return println!("Java is not there: left out") };
    proxy.open(node.address());
    let seconds = if std::env::var_os("MILLSTREAM_SOAK").is_some() { 60 } else { 10 };
    let mut world = World { bootstrap: vec![proxy.address()], seed, ends: Instant::now() + SETTLING };
    for topic in TOPICS {
        made(&world, topic).await;
    }
    world.ends = Instant::now() + Duration::from_secs(seconds);
    let limit = Duration::from_secs(seconds) + SETTLING * 3;
    let ended = || {
        proxy.calm();
        println!("  {}", proxy.report());
    };
    tokio::time::timeout(limit, workload(world, ended)).await.expect("an end in time");
    assert_eq!(proxy.missing(), [""; 0], "faults that never came");
}

/// Makes a topic, of whose making an answer may be lost.
pub async fn made(world: &World, topic: &str) {
    let admin = Admin::new(world.cluster());
    let new = NewTopic { name: topic.to_owned(), partitions: Some(PARTITIONS), ..NewTopic::default() };
    while !admin.list_topics().await.is_ok_and(|topics| topics.iter().any(|known| known.name == topic)) {
        let refused = admin.create_topic(&new).await.err();
        println!("  making {topic}: {}", refused.map_or("done".to_owned(), |error| error.to_string()));
        tokio::time::sleep(POLL).await;
    }
}
