//! Transactions while connections break: each is there as a whole or not at all, its offsets with it, and in order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::TopicPartition;
use client::admin::Admin;
use client::config::{Isolation, ProducerConfig};
use client::consumer::{Consumer, Offsets};
use client::error::{ClientError, ErrorClass};
use client::producer::{GroupMetadata, NewRecord, Producer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{PARTITIONS, Seen, Stop, World, collect};

const TOPIC: &str = "chaos-txn";
const GROUP: &str = "chaos-txn-readers";

/// How a transaction ended, as its writer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    Aborted,
    /// The producer could not go on after it had asked for the commit.
    Either,
}

/// A transaction with the number of its records.
#[derive(Debug)]
pub struct Ended {
    records: usize,
    fate: Fate,
}

async fn begin_anew(world: &World) -> Producer {
    let config = ProducerConfig {
        connection: world.connection(),
        transactional_id: Some("chaos".to_owned()),
        transaction_timeout: Duration::from_secs(30),
        block_max: Duration::from_secs(5),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(world.cluster(), config);
    again(world, "init_transactions", || producer.init_transactions()).await.expect("a coordinator");
    producer
}

/// Calls again after timeouts, as the calls allow.
async fn again<F: Future<Output = Result<(), ClientError>>>(
    world: &World,
    what: &str,
    call: impl Fn() -> F,
) -> Result<(), ClientError> {
    loop {
        match call().await {
            Err(ClientError::Timeout { .. }) if Instant::now() < world.deadline() => {}
            Err(ClientError::Timeout { doing, .. }) => panic!("{what} does not end: {doing}"),
            other => return other,
        }
    }
}

async fn fill(world: &World, producer: &Producer, number: usize, records: usize) -> Result<(), ClientError> {
    for index in 0..records {
        let (partition, value) = (Some(index as i32 % PARTITIONS), format!("{number}:{index}"));
        let record = NewRecord { topic: TOPIC, partition, value: Some(value.as_bytes()), ..NewRecord::default() };
        producer.push(record).await?;
    }
    let offsets = Offsets::from([(TopicPartition::new("chaos", 0), (number as i64 + 1).into())]);
    let sent = producer.send_offsets_to_transaction(&offsets, &GroupMetadata::new(GROUP)).await;
    // Of a call that timed out the offsets are in the transaction or will be before it ends.
    if matches!(sent, Err(ClientError::Timeout { .. })) && !world.is_over() { Ok(()) } else { sent }
}

/// One transaction; None for the producer when it cannot go on.
async fn transact(
    world: &World,
    producer: Producer,
    number: usize,
    records: usize,
    commits: bool,
) -> (Option<Producer>, Fate) {
    producer.begin_transaction().expect("the one before has ended");
    let mut filled = fill(world, &producer, number, records).await;
    if filled.is_ok() && commits {
        filled = again(world, "commit_transaction", || producer.commit_transaction()).await;
        match &filled {
            Ok(()) => return (Some(producer), Fate::Committed),
            Err(error) if error.class() != ErrorClass::Abortable => {
                println!("  transaction {number}: {error}");
                return (None, Fate::Either);
            }
            Err(_) => {}
        }
    }
    if let Err(error) = &filled {
        println!("  transaction {number} is aborted: {error}");
    }
    match again(world, "abort_transaction", || producer.abort_transaction()).await {
        Ok(()) => (Some(producer), Fate::Aborted),
        Err(error) => {
            // The next producer of the same id aborts what this one left.
            println!("  transaction {number} could not be aborted: {error}");
            (None, Fate::Aborted)
        }
    }
}

/// Transactions one after the other until time is over.
pub async fn write(world: World) -> Vec<Ended> {
    let mut random = StdRng::seed_from_u64(world.seed);
    let (mut ended, mut producer) = (Vec::new(), None);
    while !world.is_over() {
        let own = match producer.take() {
            Some(own) => own,
            None => begin_anew(&world).await,
        };
        let (records, commits) = (random.random_range(1..40), random.random_range(0..4) > 0);
        let (left, fate) = transact(&world, own, ended.len(), records, commits).await;
        producer = left;
        ended.push(Ended { records, fate });
    }
    if producer.is_none() {
        // What the last one left is ended before anything is read.
        producer = Some(begin_anew(&world).await);
    }
    if let Some(producer) = producer {
        producer.close(Duration::from_secs(10)).await.expect("nothing is left");
    }
    ended
}

fn parsed(value: &str) -> (usize, usize) {
    let (number, index) = value.split_once(':').expect("number and index");
    (number.parse().expect("a number"), index.parse().expect("an index"))
}

pub async fn all_or_nothing(world: &World, ended: &[Ended], there: &[Seen]) {
    let mut of_number: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (partition, _, value) in there {
        let (number, index) = parsed(value);
        assert_eq!(index as i32 % PARTITIONS, *partition);
        of_number.entry(number).or_default().push(index);
    }
    let mut counts = [0; 3];
    for (number, transaction) in ended.iter().enumerate() {
        let mut found = of_number.remove(&number).unwrap_or_default();
        found.sort_unstable();
        let whole: Vec<usize> = (0..transaction.records).collect();
        counts[transaction.fate as usize] += 1;
        match transaction.fate {
            Fate::Committed => assert_eq!(found, whole, "transaction {number} was committed"),
            Fate::Aborted => assert!(found.is_empty(), "transaction {number} was aborted, but {found:?} is there"),
            Fate::Either => {
                assert!(found.is_empty() || found == whole, "transaction {number} is there in part: {found:?}")
            }
        }
    }
    assert!(of_number.is_empty(), "transactions from nowhere: {of_number:?}");
    for partition in 0..PARTITIONS {
        let own: Vec<_> = there.iter().filter(|(at, ..)| *at == partition).map(|(_, _, value)| parsed(value)).collect();
        assert!(own.is_sorted(), "order in partition {partition}");
    }
    let last = ended.iter().rposition(|transaction| transaction.fate == Fate::Committed);
    let uncertain = ended.iter().enumerate().filter(|(_, transaction)| transaction.fate == Fate::Either);
    let possible: Vec<i64> = uncertain.map(|(at, _)| at).chain(last).map(|at| at as i64 + 1).collect();
    let committed = Admin::new(world.cluster()).committed_offsets(GROUP).await.expect("a group");
    let committed = committed.get(&TopicPartition::new("chaos", 0)).map(|committed| committed.offset);
    assert!(
        committed.is_none_or(|offset| possible.contains(&offset)) && (committed.is_some() || last.is_none()),
        "{committed:?} of {possible:?}"
    );
    println!("  transactions: {} committed, {} aborted, {} either", counts[0], counts[1], counts[2]);
    assert!(counts[0] > 0, "no transaction was committed");
}

/// Reads committed records from the beginning while they are written, and to their end once told to stop.
pub async fn follow(world: World, stop: Stop) -> Vec<Seen> {
    let mut consumer = Consumer::new(world.cluster(), world.reader(Isolation::ReadCommitted));
    let places: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new(TOPIC, partition)).collect();
    consumer.assign(&places).expect("nothing subscribed");
    let mut seen = Vec::new();
    while !stop.is_set() {
        collect(&mut consumer, &mut seen).await;
    }
    let ends = consumer.end_offsets(&places).await.expect("leaders answer");
    seen.extend(super::read_to(&mut consumer, &ends).await);
    seen
}

/// What was read of each partition, in its order.
pub fn by_partition(seen: &[Seen]) -> BTreeMap<i32, Vec<(i64, String)>> {
    let mut all: BTreeMap<i32, Vec<(i64, String)>> = BTreeMap::new();
    for (partition, offset, value) in seen {
        all.entry(*partition).or_default().push((*offset, value.clone()));
    }
    all
}
