//! Writes ten records to a topic and reads them back as a consumer group.
//!
//! Usage: `produce-consume [HOST:PORT]`, by default `localhost:9092`.

use std::time::Duration;

use anyhow::{Context, Result};
use client::config::{ConsumerConfig, ProducerConfig, Reset};
use client::consumer::Consumer;
use client::metadata::Cluster;
use client::producer::{NewRecord, Producer};

const TOPIC: &str = "produce-consume";
const RECORDS: usize = 10;

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let cluster = Cluster::new(&address);

    let producer = Producer::new(cluster.clone(), ProducerConfig::default());
    for number in 0..RECORDS {
        let (key, value) = (format!("key-{number}"), format!("value {number}"));
        let record = NewRecord {
            topic: TOPIC,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        };
        producer.push(record).await.with_context(|| format!("cannot write to {TOPIC}"))?;
    }
    producer.flush().await?;
    println!("wrote {RECORDS} records");

    let group = Some("produce-consume".to_owned());
    let config = ConsumerConfig { group, reset: Reset::Earliest, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(cluster, config);
    consumer.subscribe(&[TOPIC])?;
    let mut read = 0;
    while read < RECORDS {
        for record in consumer.poll(Duration::from_millis(500)).await?.iter() {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let (key, value) = (text(record.key), text(record.value));
            println!("{}-{} @{}: {key} = {value}", record.topic(), record.partition(), record.offset);
            read += 1;
        }
    }
    consumer.close().await?;
    Ok(())
}
