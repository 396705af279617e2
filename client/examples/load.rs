//! Load for measuring what a client costs: `load HOST:PORT push|send|consume TOPIC RECORDS [SIZE] [KEY=VALUE]...`
//!
//! Prints elapsed and CPU seconds of this process for a million records, and its peak of resident memory. `push` sends
//! without futures, `send` with one per record, ten thousand at a time. `tests/bench/clients` has the same load for
//! Java's clients and librdkafka; the values are made of 64 words, so that they compress as text does.

use std::time::Duration;

use client::config::{ConsumerConfig, ProducerConfig};
use client::consumer::Consumer;
use client::metadata::Cluster;
use client::producer::{NewRecord, Producer};
use millstream_base_env::clock::Moment;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, mode, topic, records, rest @ ..] = args.as_slice() else {
        return Err("usage: load HOST:PORT push|send|consume TOPIC RECORDS [SIZE] [KEY=VALUE]...".into());
    };
    let records: usize = records.parse()?;
    let size = rest.iter().find_map(|arg| arg.parse().ok()).unwrap_or(100);
    let settings: Vec<(&str, &str)> = rest.iter().filter_map(|arg| arg.split_once('=')).collect();
    let started = Moment::now();
    match mode.as_str() {
        "consume" => consume(address, topic, records, &settings).await?,
        _ => produce(address, topic, records, size, mode == "send", &settings).await?,
    }
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds()? / (records as f64 / 1e6));
    println!("{mode} {records} records: {elapsed:.3} s, CPU {cpu:.3} s per million, peak {:.1} MB", peak_megabytes()?);
    Ok(())
}

async fn produce(
    address: &str,
    topic: &str,
    records: usize,
    size: usize,
    futures: bool,
    settings: &[(&str, &str)],
) -> Result<(), Failure> {
    let (config, unknown) = ProducerConfig::from_properties(settings.iter().copied())?;
    if !unknown.is_empty() {
        return Err(format!("unknown keys {unknown:?}").into());
    }
    let producer = Producer::new(Cluster::new(address), config);
    let values = values(size);
    let record = |index: usize| NewRecord { topic, value: Some(&values[index % values.len()]), ..NewRecord::default() };
    if futures {
        let mut waiting = std::collections::VecDeque::with_capacity(10_000);
        for index in 0..records {
            if waiting.len() == 10_000
                && let Some(delivery) = waiting.pop_front()
            {
                let delivery: client::producer::Delivery = delivery;
                delivery.await?;
            }
            waiting.push_back(producer.send(record(index)).await?);
        }
        for delivery in waiting {
            delivery.await?;
        }
    } else {
        for index in 0..records {
            producer.push(record(index)).await?;
        }
    }
    producer.flush().await?;
    Ok(())
}

async fn consume(address: &str, topic: &str, records: usize, settings: &[(&str, &str)]) -> Result<(), Failure> {
    let defaults = [("auto.offset.reset", "earliest"), ("enable.auto.commit", "false")];
    let (config, _) = ConsumerConfig::from_properties(defaults.iter().chain(settings).copied())?;
    let mut consumer = Consumer::new(Cluster::new(address), config);
    let count = consumer.partition_count(topic).await?;
    let places: Vec<_> = (0..count).map(|partition| client::TopicPartition::new(topic, partition as i32)).collect();
    consumer.assign(&places)?;
    let (mut read, mut bytes) = (0, 0);
    while read < records {
        for record in consumer.poll(Duration::from_secs(1)).await?.iter() {
            read += 1;
            bytes += record.value.map_or(0, <[u8]>::len);
        }
    }
    // So that reading the values is not optimised away.
    if bytes == 0 { Err("no record has a value".into()) } else { Ok(()) }
}

/// The same values as in the other clients' programs.
fn values(size: usize) -> Vec<Vec<u8>> {
    let mut seed = 1u32;
    let mut next = |below: u32| {
        seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        (seed >> 16) % below
    };
    let words: Vec<[u8; 8]> = (0..64).map(|_| [(); 8].map(|()| b'a' + next(26) as u8)).collect();
    let mut value = || {
        let mut value: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| words[next(64) as usize]).collect();
        value.truncate(size);
        value
    };
    (0..2048).map(|_| value()).collect()
}

/// The most memory that was resident.
fn peak_megabytes() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("VmHWM")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("a size")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// User and system time of this process, from /proc in hundredths of a second.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) / 100.0)
}
