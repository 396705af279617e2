//! Load for measuring what a client costs: `load HOST:PORT push|send|consume TOPIC RECORDS [SIZE] [KEY=VALUE]...`
//!
//! Prints elapsed and CPU seconds of this process for a million records. `push` sends without futures, `send` with one
//! per record.

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
    let (started, before) = (Moment::now(), cpu_seconds()?);
    match mode.as_str() {
        "consume" => consume(address, topic, records, &settings).await?,
        _ => produce(address, topic, records, size, mode == "send", &settings).await?,
    }
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds()? - before);
    let million = records as f64 / 1e6;
    println!("{mode} {records} records: {elapsed:.3} s, CPU {:.3} s per million", cpu / million);
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
    let value = vec![b'x'; size];
    let record = NewRecord { topic, value: Some(&value), ..NewRecord::default() };
    if futures {
        let mut waiting = std::collections::VecDeque::with_capacity(10_000);
        for _ in 0..records {
            if waiting.len() == 10_000
                && let Some(delivery) = waiting.pop_front()
            {
                let delivery: client::producer::Delivery = delivery;
                delivery.await?;
            }
            waiting.push_back(producer.send(record).await?);
        }
        for delivery in waiting {
            delivery.await?;
        }
    } else {
        for _ in 0..records {
            producer.push(record).await?;
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
    println!("{bytes} bytes");
    Ok(())
}

/// User and system time of this process, from /proc in hundredths of a second.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) / 100.0)
}
