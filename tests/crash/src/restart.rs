//! A large log is killed and opened again: how long until the broker answers, and until the log is served.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use millstream_protocol::messages::ProduceRequest;

use crate::node::Node;
use crate::records::{Writer, batch};
use crate::wire::{Connection, produce_request};

const TOPIC: &str = "large";
const BATCH_RECORDS: usize = 900;
const VALUE_BYTES: usize = 1000;
const IN_FLIGHT: usize = 5;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Size of the log.
    pub bytes: u64,
    /// From the start of the process to the first fetch from the log's end.
    pub longest: Duration,
}

/// Fills a log of at least `bytes`, kills and starts `kills` times, and measures each time.
///
/// # Errors
/// When the log has lost anything that was acknowledged.
pub fn run(node: &mut Node, bytes: u64, kills: usize) -> anyhow::Result<Report> {
    let mut connection = Connection::open(node.address())?;
    connection.create_topic(TOPIC, 1, &[])?;
    let batch = one_batch();
    let batches = bytes.div_ceil(batch.len() as u64);
    let mut longest = Duration::ZERO;
    let mut end = 0;
    for kill in 0..kills.max(1) {
        // Most of the log lies there before the first kill; then each life adds to it.
        let count = if kill == 0 { batches } else { 20 };
        end = fill(&mut connection, &batch, count)?;
        node.kill()?;
        let started = Instant::now();
        node.restart()?;
        connection = Connection::open(node.address())?;
        let data = connection.fetch(TOPIC, 0, end - 1, 0)?;
        longest = longest.max(started.elapsed());
        ensure!(data.high_watermark == end, "the log ends at {} after the kill, not at {end}", data.high_watermark);
        ensure!(data.records.is_some_and(|records| !records.is_empty()), "the last batch is not served");
    }
    ensure!(end > 0, "nothing was written");
    Ok(Report { bytes: node.data_bytes()?, longest })
}

fn one_batch() -> Bytes {
    let writer = Writer { producer_id: -1, producer_epoch: -1, sequence: -1, transactional: false };
    let value = [b'x'; VALUE_BYTES];
    let records: Vec<(&[u8], &[u8])> = (0..BATCH_RECORDS).map(|_| (&b"key"[..], &value[..])).collect();
    batch(writer, &records)
}

/// Appends `count` batches; answers where the log ends.
fn fill(connection: &mut Connection, batch: &Bytes, count: u64) -> anyhow::Result<i64> {
    let mut end = 0;
    let mut open = 0;
    for sent in 0..count {
        connection.send(9, &produce_request(None, TOPIC, 0, batch.clone()))?;
        open += 1;
        while open == IN_FLIGHT || (sent + 1 == count && open > 0) {
            let response = connection.receive::<ProduceRequest>(9)?;
            let topic = response.responses.first().context("one answer per topic")?;
            let part = topic.partition_responses.first().context("one answer per partition")?;
            ensure!(part.error_code == 0, "a produce request is refused: {}", part.error_code);
            end = part.base_offset + BATCH_RECORDS as i64;
            open -= 1;
        }
    }
    Ok(end)
}
