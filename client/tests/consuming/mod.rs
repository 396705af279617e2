//! What a consumer does beyond reading: patterns, static members, commits without waiting, transactions, streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::TopicPartition;
use client::config::{ConsumerConfig, Isolation, ProducerConfig, Reset};
use client::consumer::{Consumer, ConsumerInterceptor, OffsetAndMetadata, Offsets, RebalanceListener, Records};
use client::producer::{NewRecord, Producer};
use futures_util::{StreamExt, TryStreamExt};

use super::support::Node;
use super::{POLL, create, group, read, values};

async fn push(producer: &Producer, topic: &str, values: impl IntoIterator<Item = String>) {
    for value in values {
        producer.push(NewRecord { topic, value: Some(value.as_bytes()), ..NewRecord::default() }).await.expect("room");
    }
    producer.flush().await.expect("all written");
}

fn numbered(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("v{n}"))
}

/// A pattern covers what is there, what is made later, and nothing else.
async fn patterns(node: &mut Node) {
    create(node, "pattern-a", 1).await;
    create(node, "other-pattern-a", 1).await;
    let mut config = group("patterns");
    config.connection.metadata_max_age = Duration::from_millis(200);
    config.connection.bootstrap = vec![node.address()];
    let mut consumer = Consumer::connect(config);
    consumer.subscribe_pattern("pattern-[ab]").expect("a pattern");
    let producer = Producer::new(node.cluster(), ProducerConfig::default());
    for topic in ["pattern-a", "other-pattern-a"] {
        push(&producer, topic, [topic.to_owned()]).await;
    }
    assert_eq!(values(&read(&mut consumer, |all| !all.is_empty()).await), ["pattern-a"]);
    create(node, "pattern-b", 1).await;
    push(&producer, "pattern-b", ["late".to_owned()]).await;
    assert_eq!(values(&read(&mut consumer, |all| !all.is_empty()).await), ["late"]);
    assert_eq!(consumer.subscription(), ["pattern-a", "pattern-b"]);
    assert!(consumer.subscribe_pattern("(").is_err());
    consumer.close().await.expect("the last commit");
}

/// Callbacks come in the order of the commits; interceptors see what is read and committed; counts add up.
async fn commits(node: &mut Node) {
    #[derive(Clone, Default)]
    struct Watch(Arc<Mutex<(usize, Vec<i64>, bool)>>);
    impl ConsumerInterceptor for Watch {
        fn on_consume(&mut self, records: Records) -> Records {
            self.0.lock().expect("no panic").0 += records.len();
            records
        }
        fn on_commit(&mut self, offsets: &Offsets) {
            self.0.lock().expect("no panic").1.extend(offsets.values().map(|offset| offset.offset));
        }
        fn close(&mut self) {
            self.0.lock().expect("no panic").2 = true;
        }
    }
    create(node, "commits", 1).await;
    push(&Producer::new(node.cluster(), ProducerConfig::default()), "commits", numbered(20)).await;
    let mut consumer = Consumer::new(node.cluster(), ConsumerConfig { auto_commit: None, ..group("commits") });
    let watch = Watch::default();
    consumer.add_interceptor(Box::new(watch.clone()));
    consumer.subscribe(&["commits"]).expect("a group");
    read(&mut consumer, |all| all.len() == 20).await;
    let place = TopicPartition::new("commits", 0);
    let told: Arc<Mutex<Vec<i64>>> = Arc::default();
    for offset in 1..=10 {
        let told = told.clone();
        let callback = Box::new(move |offsets: &Offsets, result: Result<(), _>| {
            result.expect("committed");
            told.lock().expect("no panic").extend(offsets.values().map(|offset| offset.offset));
        });
        consumer
            .commit_offsets_async(BTreeMap::from([(place.clone(), OffsetAndMetadata::from(offset))]), callback)
            .expect("a group");
    }
    consumer.commit().await.expect("committed");
    assert_eq!(*told.lock().expect("no panic"), (1..=10).collect::<Vec<i64>>());
    let committed = consumer.committed(std::slice::from_ref(&place)).await.expect("an answer");
    assert_eq!(committed[&place].offset, 20);
    assert_eq!(consumer.lag(&place), Some(0));
    let metrics = consumer.metrics();
    let value = |name: &str, group: &str, tags: &[&str]| {
        let own = metrics.iter().find(|metric| {
            metric.name == name && metric.group.starts_with(group) && metric.tags.values().skip(1).eq(tags)
        });
        own.unwrap_or_else(|| panic!("{name} of {group}")).value
    };
    let (fetches, coordinator) = ("consumer-fetch", "consumer-coordinator");
    let totals = (value("commit-total", coordinator, &[]), value("assigned-partitions", coordinator, &[]));
    assert_eq!((value("records-consumed-total", fetches, &[]), totals), (20.0, (11.0, 1.0)));
    assert!(value("join-total", coordinator, &[]) >= 1.0 && value("rebalance-total", coordinator, &[]) >= 1.0);
    assert!(value("fetch-total", fetches, &[]) >= 1.0);
    assert_eq!(value("records-consumed-total", fetches, &["commits"]), 20.0);
    assert!(value("bytes-consumed-total", fetches, &["commits"]) > 20.0);
    let ends = (value("records-lag", fetches, &["0", "commits"]), value("records-lead", fetches, &["0", "commits"]));
    assert_eq!((ends, value("preferred-read-replica", fetches, &["0", "commits"])), ((0.0, 20.0), -1.0));
    let group = consumer.group_metadata().expect("a group");
    assert!(group.group_id == "commits" && group.generation > 0 && !group.member_id.is_empty(), "{group:?}");
    consumer.close().await.expect("closed");
    let watched = watch.0.lock().expect("no panic");
    assert_eq!((watched.0, watched.1.clone(), watched.2), (20, (1..=10).chain([20]).collect(), true));
}

/// A static member that comes back within its session has its partitions again, and no one else rebalances.
async fn static_member(node: &mut Node) {
    #[derive(Clone, Default)]
    struct Count(Arc<Mutex<usize>>);
    impl RebalanceListener for Count {
        fn assigned(&mut self, _: &[TopicPartition]) {
            *self.0.lock().expect("no panic") += 1;
        }
        fn revoked(&mut self, _: &[TopicPartition], _: &mut Offsets) {}
        fn lost(&mut self, _: &[TopicPartition]) {}
    }
    create(node, "static", 4).await;
    let member = |instance: &str| {
        let config = ConsumerConfig { instance: Some(instance.to_owned()), ..group("static") };
        let mut consumer = Consumer::new(node.cluster(), config);
        consumer.subscribe(&["static"]).expect("a group");
        consumer
    };
    let (mut one, mut two) = (member("one"), member("two"));
    let count = Count::default();
    one.set_listener(Box::new(count.clone()));
    let started = Instant::now();
    while one.assignment().len() != 2 || two.assignment().len() != 2 {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?} {:?}", one.assignment(), two.assignment());
        let (first, second) = tokio::join!(one.poll(POLL), two.poll(POLL));
        first.and(second).expect("polls");
    }
    let (before, rebalances) = (two.assignment(), *count.0.lock().expect("no panic"));
    let generation = one.group_metadata().expect("a group").generation;
    // Static members do not leave when they close.
    two.close().await.expect("closed");
    let mut two = member("two");
    while two.assignment().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "the member does not come back");
        let (first, second) = tokio::join!(one.poll(POLL), two.poll(POLL));
        first.and(second).expect("polls");
    }
    assert_eq!(two.assignment(), before);
    assert_eq!(one.group_metadata().expect("a group").generation, generation);
    assert_eq!(*count.0.lock().expect("no panic"), rebalances, "the other member was not disturbed");
    // A second one with the same name throws the first out for good.
    let mut twin = member("two");
    let error = loop {
        assert!(started.elapsed() < Duration::from_secs(90), "the first of two twins goes on");
        let (first, second, third) = tokio::join!(one.poll(POLL), two.poll(POLL), twin.poll(POLL));
        first.and(third).expect("polls");
        if let Err(error) = second {
            break error;
        }
    };
    assert_eq!(error.code().map(|code| code.name()), Some("FENCED_INSTANCE_ID"), "{error}");
    for mut consumer in [one, twin] {
        consumer.close().await.expect("closed");
    }
}

/// What was aborted or is not committed yet is not seen with read_committed.
async fn read_committed(node: &mut Node) {
    create(node, "committed", 1).await;
    let config = ProducerConfig { transactional_id: Some("committed".to_owned()), ..ProducerConfig::default() };
    let producer = Producer::new(node.cluster(), config);
    producer.init_transactions().await.expect("an id");
    for (value, ends) in [("a", true), ("b", false), ("c", true)] {
        producer.begin_transaction().expect("begun");
        push(&producer, "committed", [value.to_owned()]).await;
        if ends { producer.commit_transaction().await } else { producer.abort_transaction().await }.expect("ended");
    }
    producer.begin_transaction().expect("begun");
    push(&producer, "committed", ["open".to_owned()]).await;
    let place = TopicPartition::new("committed", 0);
    let reader = |isolation| {
        let config = ConsumerConfig { isolation, reset: Reset::Earliest, ..ConsumerConfig::default() };
        let mut consumer = Consumer::new(node.cluster(), config);
        consumer.assign(std::slice::from_ref(&place)).expect("nothing subscribed");
        consumer
    };
    let mut all = reader(Isolation::ReadUncommitted);
    assert_eq!(values(&read(&mut all, |all| all.len() == 4).await), ["a", "b", "c", "open"]);
    let mut committed = reader(Isolation::ReadCommitted);
    assert_eq!(values(&read(&mut committed, |all| all.len() == 2).await), ["a", "c"]);
    assert!(committed.poll(POLL).await.expect("a poll").is_empty(), "the open transaction is not seen");
    assert_eq!(committed.end_offsets(std::slice::from_ref(&place)).await.expect("an answer")[&place], 6);
    producer.commit_transaction().await.expect("ended");
    assert_eq!(values(&read(&mut committed, |all| all.len() == 1).await), ["open"]);
}

/// A partition without an offset begins with the first record that is not older than asked for; a stream goes on.
async fn by_duration_and_streams(node: &mut Node) {
    create(node, "duration", 1).await;
    let producer = Producer::new(node.cluster(), ProducerConfig::default());
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    for (hours, value) in [(5, "five"), (3, "three"), (1, "one")] {
        let timestamp = Some(now - hours * 3_600_000);
        let record = NewRecord { topic: "duration", timestamp, value: Some(value.as_bytes()), ..NewRecord::default() };
        producer.send(record).await.expect("room").await.expect("written");
    }
    let properties = [("group.id", "duration"), ("auto.offset.reset", "by_duration:PT4H")];
    let (config, _) = ConsumerConfig::from_properties(properties).expect("a config");
    let mut consumer = Consumer::new(node.cluster(), config);
    consumer.subscribe(&["duration"]).expect("a group");
    let records: Vec<_> = consumer.stream().take(2).try_collect().await.expect("records");
    let text: Vec<&[u8]> = records.iter().map(|record| record.value.as_deref().expect("a value")).collect();
    assert_eq!(text, [&b"three"[..], b"one"]);
    assert_eq!((records[0].offset, records[0].place.topic.as_str()), (1, "duration"));
    consumer.close().await.expect("closed");
}

/// Partitions that have much to read do not wait for data of those that have none, which a broker may wait long for.
async fn beside_nothing_new(node: &mut Node) {
    create(node, "beside-much", 1).await;
    create(node, "beside-nothing", 1).await;
    let value = "v".repeat(500);
    push(&Producer::new(node.cluster(), ProducerConfig::default()), "beside-much", (0..2_000).map(|_| value.clone()))
        .await;
    // Longer than `read` has patience, and many answers are needed.
    let fetch_wait = Duration::from_secs(600);
    let config = ConsumerConfig { fetch_wait, partition_bytes_max: 20_000, ..group("beside") };
    let mut consumer = Consumer::new(node.cluster(), config);
    consumer.subscribe(&["beside-much", "beside-nothing"]).expect("a group");
    let some = read(&mut consumer, |all| all.len() >= 100).await.len();
    // What is paused may be resumed any moment, and be read up.
    let much = [TopicPartition::new("beside-much", 0)];
    consumer.pause(&much).expect("it is read");
    assert!(consumer.poll(POLL).await.expect("a poll").is_empty());
    consumer.resume(&much).expect("it is read");
    let rest = read(&mut consumer, |all| some + all.len() >= 2_000).await;
    assert_eq!((some + rest.len(), rest.last().map(|(_, offset, _)| *offset)), (2_000, Some(1_999)));
    consumer.close().await.expect("closed");
}

pub async fn all(node: &mut Node) {
    patterns(node).await;
    println!("  patterns");
    commits(node).await;
    println!("  commits");
    static_member(node).await;
    println!("  static member");
    read_committed(node).await;
    println!("  read committed");
    by_duration_and_streams(node).await;
    println!("  by duration and streams");
    beside_nothing_new(node).await;
    println!("  beside nothing new");
}
