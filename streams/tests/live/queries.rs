//! Interactive queries of two instances: every key is found from either, with the right value or none at all, also while
//! one of them leaves and comes back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::producer::{NewRecord, Producer};
use streams::serde::StringSerde;
use streams::{
    CloseOptions, GroupMembership, HostInfo, KafkaStreams, KeyValue, Order, Position, QueryError, StoreQueryParameters,
    StreamsConfig,
};

use super::cluster::{Broker, PATIENCE, wait_for};
use super::{counted, prepared};

const WORDS: usize = 120;
const HOSTS: [&str; 2] = ["127.0.0.1:1", "127.0.0.1:2"];

fn word(number: usize) -> String {
    format!("word-{number}")
}

/// Nothing is committed but by a rebalance, so that counts stay in the caches; a poll waits so long that a query of an idle
/// thread has its answer only if the thread is woken.
fn instance(broker: &Broker, host: &str) -> KafkaStreams {
    let config = StreamsConfig::new("queried", broker.address())
        .set("application.server", host)
        .set("default.dsl.store", "in_memory")
        .set("commit.interval.ms", 600_000)
        .set("poll.ms", 20_000)
        .set("num.stream.threads", 2)
        .set("consumer.heartbeat.interval.ms", 200);
    KafkaStreams::new(counted(), config).expect("settings are sound")
}

/// Each word as many times as its number says, from one to five.
fn times(number: usize) -> i64 {
    (number % 5 + 1) as i64
}

fn produce(broker: &Broker, producer: &Producer) {
    let words: Vec<String> = (0..WORDS).map(word).collect();
    let record = |number: usize| {
        let partition = i32::try_from(number % 4).ok();
        NewRecord { topic: "words", partition, value: Some(words[number].as_bytes()), ..NewRecord::default() }
    };
    let numbers = (0..WORDS).flat_map(|number| std::iter::repeat_n(number, times(number) as usize));
    broker.send(producer, &numbers.map(record).collect::<Vec<_>>());
}

/// Asks `from` who has the word, and that one for its count.
fn look(from: &KafkaStreams, all: [Option<&KafkaStreams>; 2], word: &str) -> Result<Option<i64>, QueryError> {
    let at = from.query_metadata_for_key("counts", &word.to_owned(), StringSerde)?;
    let (Some(host), Some(partition)) = (at.active_host, at.partition) else {
        return Err(QueryError::MetadataNotAvailable);
    };
    let place = HOSTS.iter().position(|known| known.parse::<HostInfo>().is_ok_and(|known| known == host));
    // Who is gone cannot be reached.
    let Some(instance) = all[place.expect("one of the two")] else { return Err(QueryError::MetadataNotAvailable) };
    let parameters = StoreQueryParameters::new("counts").with_partition(partition);
    instance.store::<KeyValue<String, i64>>(parameters)?.get(word).wait()
}

/// The same until there is an answer.
fn found(from: &KafkaStreams, all: [Option<&KafkaStreams>; 2], word: &str) -> Option<i64> {
    let started = Instant::now();
    loop {
        match look(from, all, word) {
            Ok(found) => return found,
            Err(error) => assert!(started.elapsed() < PATIENCE, "{word}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn check(from: &KafkaStreams, all: [Option<&KafkaStreams>; 2]) {
    for number in 0..WORDS {
        assert_eq!(found(from, all, &word(number)), Some(times(number)), "{}", word(number));
    }
}

#[test]
fn every_key_is_found_from_either_instance_during_rebalances_too() {
    let Some(broker) = Broker::start() else { return };
    let producer = prepared(&broker);
    let (first, second) = (instance(&broker, HOSTS[0]), instance(&broker, HOSTS[1]));
    assert_eq!(first.store::<KeyValue<String, i64>>("counts").err(), Some(QueryError::StreamsNotStarted));
    first.start().expect("threads start");
    second.start().expect("threads start");
    let unknown = first.store::<KeyValue<String, i64>>("sums").err();
    assert_eq!(unknown, Some(QueryError::UnknownStateStore("sums".to_owned())));
    let both = [Some(&first), Some(&second)];
    let has_parts = |app: &KafkaStreams, count: usize| {
        let all = app.streams_metadata_for_store("counts").unwrap_or_default();
        all.iter().filter(|host| !host.state_store_names.is_empty()).count() == count
    };
    wait_for(|| "both having a part", || has_parts(&first, 2) && has_parts(&second, 2));
    assert!(first.wait_running(PATIENCE) && second.wait_running(PATIENCE));

    produce(&broker, &producer);
    wait_for(
        || "all being counted",
        || (0..WORDS).all(|number| look(&first, both, &word(number)) == Ok(Some(times(number)))),
    );
    check(&second, both);
    let asked = Instant::now();
    check(&first, both);
    assert!(asked.elapsed() < Duration::from_secs(15), "idle threads were not woken: {:?}", asked.elapsed());
    views(&first, &second);

    // One leaves: whoever asks has the right count or none until the other has its tasks.
    let is_gone = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let leaving = scope.spawn(|| {
            let options = CloseOptions { limit: PATIENCE, membership: GroupMembership::Leave };
            let closed = second.close_with(options);
            is_gone.store(true, Ordering::Release);
            closed
        });
        while !is_gone.load(Ordering::Acquire) {
            check(&first, both);
        }
        assert!(leaving.join().expect("no panic"));
    });
    assert!(matches!(second.store::<KeyValue<String, i64>>("counts").err(), Some(QueryError::StreamsStopped(_))));
    check(&first, [Some(&first), None]);

    // It comes back, and takes tasks over while it is asked.
    let third = instance(&broker, HOSTS[1]);
    third.start().expect("threads start");
    let both = [Some(&first), Some(&third)];
    wait_for(
        || "both having a part again",
        || {
            check(&first, both);
            has_parts(&first, 2) && has_parts(&third, 2) && third.state() == streams::State::Running
        },
    );
    check(&third, both);
    check(&first, both);
    assert!(first.close(PATIENCE) && third.close(PATIENCE));
}

/// Whole stores, positions and lags.
fn views(first: &KafkaStreams, second: &KafkaStreams) {
    let mut all = Vec::new();
    for app in [first, second] {
        let counts = app.store::<KeyValue<String, i64>>("counts").expect("it runs");
        let at_once = counts.all(Order::Ascending).wait().expect("it runs");
        let one_by_one: Result<Vec<_>, _> = counts.all(Order::Descending).into_iter().collect();
        assert_eq!(one_by_one.map(|rows| rows.len()), Ok(at_once.len()));
        all.extend(at_once);
        let position = counts.position().wait().expect("it runs");
        assert!(!position.is_empty());
        let parameters = |bound| StoreQueryParameters::new("counts").with_position_bound(bound);
        let bound = app.store::<KeyValue<String, i64>>(parameters(position)).expect("it runs");
        assert!(bound.approximate_num_entries().wait().is_ok());
        let repartition = "queried-KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition";
        let later = (0..4).fold(Position::new(), |bound, partition| bound.with(repartition, partition, 1_000_000));
        let later = app.store::<KeyValue<String, i64>>(parameters(later)).expect("it runs");
        assert!(matches!(later.get("word-1").wait(), Err(QueryError::NotUpToBound { .. })));
        let lags = app.all_local_store_partition_lags().wait().expect("the broker answers");
        assert!(lags["counts"].values().all(|lag| lag.offset_lag() == 0), "{lags:?}");
    }
    all.sort();
    let mut wanted: Vec<_> = (0..WORDS).map(|number| (word(number), times(number))).collect();
    wanted.sort();
    assert_eq!(all, wanted, "each word is in one of the two");
}
