//! Three of Apache's brokers, of which clients see proxies that harm nothing: leaders and coordinators move while
//! everything of `chaos` writes and reads, a follower is read from, and all brokers come back where only the bootstrap
//! list knows them.
//!
//! Not done: this runs with `MILLSTREAM_SOAK` only, as three JVMs take most of a minute to start twice; `make test` has
//! one broker at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use client::TopicPartition;
use client::admin::{Admin, ElectionType, ReplicationFactor};
use client::config::{ConsumerConfig, Isolation, ProducerConfig};
use client::consumer::Consumer;
use client::producer::{NewRecord, Producer};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::POLL;
use crate::chaos::{TOPICS, World, made, workload};
use crate::support::proxy::Proxy;
use crate::support::{Node, Ports, Settings, free_port};

const COUNT: usize = 3;
/// Where coordinators stand.
const INTERNAL_TOPICS: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// Broker `id`, which clients reach by `advertised` only, the others by `internal`.
fn settings(id: usize, controller: u16, internal: u16, advertised: u16) -> Settings {
    Box::new(move |own: Ports| {
        let listeners = |clients: u16| {
            let both = format!("PLAINTEXT://127.0.0.1:{clients},INTERNAL://127.0.0.1:{internal}");
            if id == 1 { format!("{both},CONTROLLER://127.0.0.1:{controller}") } else { both }
        };
        let mut all = vec![
            format!("node.id={id}"),
            format!("process.roles={}", if id == 1 { "broker,controller" } else { "broker" }),
            format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}"),
            format!("listeners={}", listeners(own.broker)),
            format!("advertised.listeners={}", listeners(advertised)),
            format!("broker.rack=rack-{id}"),
        ];
        let common = [
            "inter.broker.listener.name=INTERNAL",
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT",
            "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector",
            "default.replication.factor=3",
            "min.insync.replicas=2",
            "offsets.topic.num.partitions=3",
            "offsets.topic.replication.factor=3",
            "transaction.state.log.num.partitions=3",
            "transaction.state.log.replication.factor=3",
            "transaction.state.log.min.isr=2",
            "broker.session.timeout.ms=3000",
            "broker.heartbeat.interval.ms=500",
        ];
        all.extend(common.map(str::to_owned));
        all
    })
}

struct Three {
    nodes: Vec<Node>,
    proxies: Vec<Proxy>,
    controller: u16,
    internal: Vec<u16>,
}

impl Three {
    fn start() -> Option<Three> {
        let (controller, internal): (u16, Vec<u16>) = (free_port(), (0..COUNT).map(|_| free_port()).collect());
        let proxies: Vec<Proxy> = (0..COUNT).map(|_| Proxy::new(0)).collect();
        let mut nodes = Vec::new();
        for at in 0..COUNT {
            let own = settings(at + 1, controller, internal[at], proxies[at].port());
            nodes.push(Node::apaches_one_of(at == 0, own)?);
        }
        Node::start_together(&mut nodes);
        let mut three = Three { nodes, proxies, controller, internal };
        for (proxy, node) in three.proxies.iter_mut().zip(&three.nodes) {
            proxy.calm();
            proxy.open(node.address());
        }
        Some(three)
    }

    fn bootstrap(&self) -> Vec<String> {
        self.proxies.iter().map(Proxy::address).collect()
    }

    /// All of them, where nobody but the bootstrap list says.
    fn come_back_at(&mut self, ports: &[u16]) {
        self.nodes.iter_mut().for_each(Node::kill);
        self.proxies.clear();
        for (at, node) in self.nodes.iter_mut().enumerate() {
            node.move_to(ports[at], settings(at + 1, self.controller, self.internal[at], ports[at]));
        }
        Node::start_together(&mut self.nodes);
    }
}

async fn within<T, F: Future<Output = Option<T>>>(what: &str, limit: Duration, mut found: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(started.elapsed() < limit, "{what} does not come about");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The leader and the replicas of a partition.
async fn replicas(admin: &Admin, at: &TopicPartition) -> Option<(i32, Vec<i32>)> {
    let topic = admin.describe_topics(std::slice::from_ref(&at.topic), 100).await.ok()?.pop()?;
    let own = topic.partitions.into_iter().find(|own| own.partition == at.partition)?;
    Some((own.leader?, own.replicas))
}

/// Makes another of its replicas the leader; whether it came to that.
async fn move_leader(admin: &Admin, at: &TopicPartition) -> Option<i32> {
    let (before, mut order) = replicas(admin, at).await?;
    let place = order.iter().position(|broker| *broker == before)?;
    let length = order.len();
    order.rotate_left((place + 1) % length);
    let target = BTreeMap::from([(at.clone(), Some(order))]);
    admin.alter_partition_reassignments(&target, ReplicationFactor::Kept).await.ok()?.remove(at)?.ok()?;
    admin.elect_leaders(ElectionType::Preferred, Some(&BTreeSet::from([at.clone()]))).await.ok()?.remove(at)?.ok()?;
    let (after, _) = replicas(admin, at).await?;
    (after != before).then_some(after)
}

/// Moves leaders until the world ends, and kills one broker for a while; how often each topic's leaders moved.
async fn unrest(world: World, mut victim: Node) -> (Node, BTreeMap<&'static str, usize>) {
    let admin = Admin::new(world.cluster());
    let mut random = StdRng::seed_from_u64(world.seed);
    let mut moved = BTreeMap::new();
    let kill_at = Instant::now() + (world.ends - Instant::now()) / 2;
    let mut killed = false;
    while Instant::now() < world.ends {
        if !killed && Instant::now() >= kill_at {
            victim.kill();
            killed = true;
        }
        let topics: Vec<&'static str> = TOPICS.into_iter().chain(INTERNAL_TOPICS).collect();
        let topic = *topics.choose(&mut random).expect("topics");
        if move_leader(&admin, &TopicPartition::new(topic, random.random_range(0..3))).await.is_some() {
            *moved.entry(topic).or_insert(0) += 1;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::task::spawn_blocking(move || {
        Node::start_together(std::slice::from_mut(&mut victim));
        (victim, moved)
    })
    .await
    .expect("it starts again")
}

/// Reads of the replica in its own rack.
async fn near_replica(world: &World, three: &Three) {
    let (admin, at) = (Admin::new(world.cluster()), TopicPartition::new(TOPICS[0], 0));
    let all_in_sync = async || {
        let topic = admin.describe_topics(std::slice::from_ref(&at.topic), 100).await.ok()?.pop()?;
        let own = topic.partitions.into_iter().find(|own| own.partition == 0)?;
        own.leader.filter(|_| own.isr.len() == COUNT)
    };
    let leader = within("a full ISR", Duration::from_secs(60), all_in_sync).await;
    let near = leader % COUNT as i32 + 1;
    let connection = world.connection();
    let config = ConsumerConfig {
        connection,
        rack: format!("rack-{near}"),
        partition_bytes_max: 64 << 10,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(world.cluster(), config);
    consumer.assign(std::slice::from_ref(&at)).expect("nothing subscribed");
    consumer.seek(&at, 0).expect("assigned");
    let end = consumer.end_offsets(std::slice::from_ref(&at)).await.expect("a leader")[&at];
    let bytes = || three.proxies.iter().map(Proxy::bytes).collect::<Vec<u64>>();
    let (before, started) = (bytes(), Instant::now());
    while consumer.position(&at).await.expect("a position") < end {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?} of {end}", consumer.position(&at).await);
        consumer.poll(POLL).await.expect("a poll");
    }
    let read: Vec<u64> = bytes().iter().zip(before).map(|(after, before)| after - before).collect();
    let (of_near, of_leader) = (read[near as usize - 1], read[leader as usize - 1]);
    println!("  of the replica nearby {of_near} bytes, of the leader {of_leader}");
    assert!(of_near > 20_000 && of_near > 10 * of_leader, "{read:?}, led by {leader}, near {near}");
}

/// Commits go on when the coordinator is another broker (NOT_COORDINATOR).
async fn coordinator_moves(world: &World) {
    let admin = Admin::new(world.cluster());
    let config = ConsumerConfig { group: Some("moving".to_owned()), ..world.reader(Isolation::ReadUncommitted) };
    let mut consumer = Consumer::new(world.cluster(), config);
    consumer.subscribe(&[TOPICS[0]]).expect("a group");
    let started = Instant::now();
    while consumer.poll(POLL).await.expect("a poll").is_empty() {
        assert!(started.elapsed() < Duration::from_secs(30), "nothing is read");
    }
    consumer.commit().await.expect("committed");
    let generation = consumer.group_metadata().expect("a group").generation;
    let mut coordinators = Vec::new();
    for round in 0..3 {
        let found =
            within("a coordinator", Duration::from_secs(20), async || admin.coordinator("moving").await.ok()).await;
        coordinators.push(found.0.id);
        for partition in 0..3 {
            let at = TopicPartition::new(INTERNAL_TOPICS[0], partition);
            within("another leader", Duration::from_secs(20), || move_leader(&admin, &at)).await;
        }
        consumer.poll(POLL).await.expect("a poll");
        consumer.commit().await.unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    println!("  coordinators one after the other: {coordinators:?}");
    assert!(coordinators.windows(2).any(|pair| pair[0] != pair[1]));
    assert_eq!(consumer.group_metadata().expect("a group").generation, generation, "and nobody joined anew");
    consumer.close().await.expect("closed");
}

/// All brokers that are known go away; those of the bootstrap list are where others were not (KIP-899).
async fn bootstrap_again(world: &World, mut three: Three) {
    let ports: Vec<u16> = (0..COUNT).map(|_| free_port()).collect();
    let mut world = world.clone();
    world.bootstrap.extend(ports.iter().map(|port| format!("127.0.0.1:{port}")));
    let producer =
        Producer::new(world.cluster(), ProducerConfig { connection: world.connection(), ..ProducerConfig::default() });
    let config = ConsumerConfig { group: Some("again".to_owned()), ..world.reader(Isolation::ReadUncommitted) };
    let mut consumer = Consumer::new(world.cluster(), config);
    made(&world, "again").await;
    consumer.subscribe(&["again"]).expect("a group");
    let send = async |value: &'static str| {
        let record = NewRecord { topic: "again", value: Some(value.as_bytes()), ..NewRecord::default() };
        producer.send(record).await.expect("room").await.expect("written");
    };
    send("before").await;
    let first = crate::read(&mut consumer, |all| !all.is_empty()).await;
    assert_eq!(crate::values(&first), ["before"]);
    let three = tokio::task::spawn_blocking(move || {
        three.come_back_at(&ports);
        three
    })
    .await
    .expect("they come back");
    send("after").await;
    let second = crate::read(&mut consumer, |all| !all.is_empty()).await;
    assert_eq!(crate::values(&second), ["after"]);
    consumer.close().await.expect("closed");
    drop(three);
    println!("  bootstrap again");
}

pub async fn all() {
    let seed = std::env::var("MILLSTREAM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("MILLSTREAM_SEED={seed}");
    let Some(mut three) = Three::start() else { return println!("Java is not there: left out") };
    let mut world = World { bootstrap: three.bootstrap(), seed, ends: Instant::now() };
    for topic in TOPICS {
        made(&world, topic).await;
    }
    world.ends = Instant::now() + Duration::from_secs(30);
    // Not the controller, which is alone.
    let unrest = tokio::spawn(unrest(world.clone(), three.nodes.pop().expect("three")));
    workload(world.clone(), || ()).await;
    let (victim, moved) = unrest.await.expect("leaders that move");
    three.nodes.push(victim);
    println!("  leaders moved: {moved:?}");
    let coordinators: usize = INTERNAL_TOPICS.iter().filter_map(|topic| moved.get(topic)).sum();
    assert!(moved.values().sum::<usize>() - coordinators >= 5 && coordinators >= 3, "{moved:?}");
    near_replica(&world, &three).await;
    coordinator_moves(&world).await;
    bootstrap_again(&world, three).await;
}
