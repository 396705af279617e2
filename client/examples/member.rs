//! A member of a group that writes down what it owns: `member HOST:PORT GROUP TOPIC range|cooperative-sticky FILE NAME`
//!
//! Each change is one line appended to FILE, `NAME assigned|revoked|lost PARTITION...`, before the group goes on. Ends
//! when its standard input does. tests/interop/group/suite.py runs it beside members in Java and Python.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

use client::TopicPartition;
use client::config::ConsumerConfig;
use client::consumer::{Consumer, Offsets, RebalanceListener};
use client::metadata::Cluster;

type Failure = Box<dyn std::error::Error>;

struct Notes {
    file: File,
    name: String,
}

impl Notes {
    fn note(&mut self, what: &str, partitions: &[TopicPartition]) {
        let numbers: Vec<String> = partitions.iter().map(|place| place.partition.to_string()).collect();
        let line = format!("{} {what} {}\n", self.name, numbers.join(" "));
        self.file.write_all(line.as_bytes()).expect("the file takes a line");
    }
}

impl RebalanceListener for Notes {
    fn assigned(&mut self, partitions: &[TopicPartition]) {
        self.note("assigned", partitions);
    }

    fn revoked(&mut self, partitions: &[TopicPartition], _: &mut Offsets) {
        self.note("revoked", partitions);
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        self.note("lost", partitions);
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, group, topic, assignor, path, name] = args.as_slice() else {
        return Err("usage: member HOST:PORT GROUP TOPIC ASSIGNOR FILE NAME".into());
    };
    let settings = [
        ("group.id", group.as_str()),
        ("partition.assignment.strategy", assignor),
        ("heartbeat.interval.ms", "300"),
        ("session.timeout.ms", "10000"),
        ("auto.offset.reset", "earliest"),
    ];
    let (config, _) = ConsumerConfig::from_properties(settings)?;
    let mut consumer = Consumer::new(Cluster::new(address), config);
    let file = File::options().append(true).create(true).open(path)?;
    consumer.set_listener(Box::new(Notes { file, name: name.clone() }));
    consumer.subscribe(&[topic])?;
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    while !ended.is_finished() {
        consumer.poll(Duration::from_millis(100)).await?;
    }
    consumer.close().await?;
    Ok(())
}
