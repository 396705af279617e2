//! Writes ten records to a topic and reads them back.
//!
//! Usage: `produce-consume [HOST:PORT]`, by default `localhost:9092`.

use anyhow::{Context, Result};
use client::consumer::{Consumer, Isolation, Reset};
use client::metadata::Cluster;
use client::producer::{NewRecord, Producer, ProducerConfig};

const TOPIC: &str = "produce-consume";
const RECORDS: usize = 10;

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let cluster = Cluster::new(&address);

    let mut producer = Producer::new(cluster.clone(), ProducerConfig::default());
    for number in 0..RECORDS {
        let (key, value) = (format!("key-{number}"), format!("value {number}"));
        let record = NewRecord { topic: TOPIC, key: Some(key.as_bytes()), value: Some(value.as_bytes()) };
        producer.send(record).await.with_context(|| format!("cannot write to {TOPIC}"))?;
    }
    producer.flush().await?;
    println!("wrote {RECORDS} records");

    let mut consumer = Consumer::new(cluster, Reset::Earliest, Isolation::ReadCommitted);
    consumer.assign(TOPIC, None).await?;
    let mut read = 0;
    while read < RECORDS {
        for record in consumer.poll(500).await? {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let (key, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
            println!("{}-{} @{}: {key} = {value}", record.topic, record.partition, record.offset);
            read += 1;
        }
    }
    Ok(())
}
