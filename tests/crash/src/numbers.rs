//! Numbered records under idempotence and acks=all, while the broker is killed: in the end each partition holds
//! every number once, in order, and every acknowledged batch at the offset that was acknowledged. On a compacted
//! topic it holds what compacted.rs says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::ProduceRequest;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::compacted;
use crate::node::Node;
use crate::records::{Writer, batch_with_tombstones, read_all};
use crate::wire::{Connection, code, produce_request, retriable};

const TOPIC: &str = "numbers";
/// As many as an idempotent Java producer: the broker remembers this many batches of a producer.
const IN_FLIGHT: usize = 5;
const VALUE_BYTES: usize = 100;

/// What becomes of old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// They stay: every number is a key of its own.
    None,
    /// They are compacted under the load: few keys, now and then a tombstone.
    Compact,
}

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What becomes of old records.
    pub cleanup: Cleanup,
    /// How often to kill.
    pub kills: usize,
    /// Partitions, each with a writer of its own.
    pub partitions: i32,
    /// How long the broker lives between two kills, at most.
    pub life: Duration,
    /// `flush.messages` of the topic, if set.
    pub flush_messages: Option<u32>,
    /// Of the choice of moments and batch sizes.
    pub seed: u64,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Kills.
    pub kills: usize,
    /// The longest restart.
    pub restart_max: Duration,
}

struct InFlight {
    first: u64,
    count: u64,
    batch: Bytes,
}

pub(crate) struct Acknowledged {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) base_offset: i64,
}

/// Runs the workload and the check.
///
/// # Errors
/// What is lost, doubled, out of order, or refused without need.
pub fn run(node: &mut Node, plan: Plan) -> anyhow::Result<Report> {
    let flush = plan.flush_messages.map(|messages| messages.to_string());
    let mut configs: Vec<(&str, &str)> = flush.iter().map(|messages| ("flush.messages", messages.as_str())).collect();
    if plan.cleanup == Cleanup::Compact {
        configs.extend(compacted::CONFIGS);
    }
    Connection::open(node.address())?.create_topic(TOPIC, plan.partitions, &configs)?;
    let address = node.address();
    let stop = AtomicBool::new(false);
    let progress = AtomicU64::new(0);
    let mut report = Report { kills: plan.kills, ..Report::default() };
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let writers: Vec<_> = (0..plan.partitions)
            .map(|partition| {
                let (stop, progress) = (&stop, &progress);
                scope.spawn(move || write(address, partition, plan, stop, progress))
            })
            .collect();
        let killed = kill_often(node, plan, &progress, &mut report);
        stop.store(true, Ordering::Release);
        let written: Vec<_> =
            writers.into_iter().map(|writer| writer.join().expect("a writer does not panic")).collect();
        killed?;
        for (partition, written) in written.into_iter().enumerate() {
            let written = written?;
            report.acknowledged += written.iter().map(|batch| batch.count).sum::<u64>();
            match plan.cleanup {
                Cleanup::None => check(&mut Connection::open(address)?, partition as i32, &written)?,
                Cleanup::Compact => {
                    let check = compacted::Check { topic: TOPIC, partition: partition as i32, seed: plan.seed };
                    check.run(node, &written)?;
                }
            }
        }
        Ok(())
    })?;
    Ok(report)
}

fn kill_often(node: &mut Node, plan: Plan, progress: &AtomicU64, report: &mut Report) -> anyhow::Result<()> {
    let mut rng = SmallRng::seed_from_u64(plan.seed);
    for _ in 0..plan.kills {
        // A kill before anything was acknowledged would prove nothing.
        let before = progress.load(Ordering::Acquire);
        let until = Instant::now() + Duration::from_secs(30);
        while progress.load(Ordering::Acquire) == before {
            ensure!(
                Instant::now() < until,
                "nothing is acknowledged any more; the broker's output:\n{}",
                node.log_tail()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(plan.life.mul_f64(rng.random()));
        report.restart_max = report.restart_max.max(node.crash()?);
    }
    Ok(())
}

fn write(
    address: SocketAddr,
    partition: i32,
    plan: Plan,
    stop: &AtomicBool,
    progress: &AtomicU64,
) -> anyhow::Result<Vec<Acknowledged>> {
    let mut rng = SmallRng::seed_from_u64(plan.seed ^ partition as u64);
    let mut connection = Connection::await_open(address)?;
    let (producer_id, producer_epoch) = connection.init_producer_id(None, 0)?;
    let mut next = 0u64;
    let mut in_flight: VecDeque<InFlight> = VecDeque::new();
    let mut acknowledged = Vec::new();
    // A partition that knows nothing of the producer takes any sequence. So one batch goes first: were it refused
    // while the partition comes up and the next one taken, the first could never be written any more.
    let mut window = 1;
    loop {
        while in_flight.len() < window && !stop.load(Ordering::Acquire) {
            let count = rng.random_range(1..200u64);
            let writer = Writer { producer_id, producer_epoch, sequence: next as i32, transactional: false };
            let contents: Vec<_> = (next..next + count).map(|number| content(plan, partition, number)).collect();
            let records: Vec<_> = contents.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
            let sent = InFlight { first: next, count, batch: batch_with_tombstones(writer, &records) };
            next += count;
            in_flight.push_back(sent);
            send_all(&mut connection, partition, &in_flight, in_flight.len() - 1..);
        }
        let Some(oldest) = in_flight.front() else { return Ok(acknowledged) };
        match answer(&mut connection) {
            Ok((ErrorCode::None, base_offset)) => {
                acknowledged.push(Acknowledged { first: oldest.first, count: oldest.count, base_offset });
                progress.fetch_add(oldest.count, Ordering::AcqRel);
                in_flight.pop_front();
                if window == 1 {
                    window = IN_FLIGHT;
                    send_all(&mut connection, partition, &in_flight, ..);
                }
            }
            Ok((error, _)) if !retriable(error) => {
                bail!("number {} of partition {partition} is refused: {}", oldest.first, error.name())
            }
            // Everything in flight is sent again in order, as a client does after a broken connection.
            Ok(_) | Err(_) => {
                std::thread::sleep(Duration::from_millis(5));
                connection = Connection::await_open(address)?;
                window = 1;
                send_all(&mut connection, partition, &in_flight, ..1);
            }
        }
    }
}

/// Key and value of a number.
fn content(plan: Plan, partition: i32, number: u64) -> ([u8; 8], Option<Vec<u8>>) {
    match plan.cleanup {
        Cleanup::None => (number.to_be_bytes(), Some(vec![b'.'; VALUE_BYTES])),
        Cleanup::Compact => compacted::content(plan.seed, partition, number),
    }
}

fn send_all(
    connection: &mut Connection,
    partition: i32,
    in_flight: &VecDeque<InFlight>,
    which: impl std::ops::RangeBounds<usize>,
) {
    for sent in in_flight.range(which) {
        // A broken connection shows when the answer is awaited.
        let _ = connection.send(9, &produce_request(None, TOPIC, partition, sent.batch.clone()));
    }
}

fn answer(connection: &mut Connection) -> anyhow::Result<(ErrorCode, i64)> {
    let response = connection.receive::<ProduceRequest>(9)?;
    let topic = response.responses.first().context("one answer per topic")?;
    let part = topic.partition_responses.first().context("one answer per partition")?;
    Ok((code(part.error_code), part.base_offset))
}

fn check(connection: &mut Connection, partition: i32, written: &[Acknowledged]) -> anyhow::Result<()> {
    let whole = read_all(connection, TOPIC, partition, 0)?;
    for (index, record) in whole.records.iter().enumerate() {
        let number = u64::from_be_bytes(record.key[..].try_into()?);
        ensure!(
            number == index as u64,
            "partition {partition}: offset {} holds number {number}, not {index}: {}",
            record.offset,
            if number < index as u64 { "something is there twice" } else { "something is lost" }
        );
    }
    for batch in written {
        let last = batch.first + batch.count;
        ensure!(
            last <= whole.records.len() as u64,
            "partition {partition}: number {last} was acknowledged and is lost"
        );
        let offset = whole.records[batch.first as usize].offset;
        ensure!(
            offset == batch.base_offset,
            "partition {partition}: number {} was acknowledged at {} and lies at {offset}",
            batch.first,
            batch.base_offset
        );
    }
    Ok(())
}
