//! What a compacted topic may show after kills in the middle of its cleaning: each record that is there is the one
//! that was acknowledged at its offset; the last value of each key is there; a key whose last record is a tombstone
//! shows no value, whether the tombstone itself is still there or not. And the cleaner must have been at work.
//!
//! Called by numbers.rs, which writes and kills.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::node::Node;
use crate::numbers::Acknowledged;
use crate::records::{Partition, Writer, batch, read_all};
use crate::wire::{Connection, code, produce_request, retriable};

/// Few enough that each is written again and again.
const KEYS: u64 = 100;
const VALUE_BYTES: usize = 100;
/// How long tombstones stay for a reader that is under way. A read that took longer proves nothing.
const DELETE_RETENTION: Duration = Duration::from_millis(1000);
/// How long the cleaner may take once nothing is written any more.
const CLEAN_MAX: Duration = Duration::from_secs(60);
/// Of the records that end segments once nothing else is written.
const FILLER_KEY: [u8; 8] = u64::MAX.to_be_bytes();

/// Small segments (`segment.bytes` has a minimum of 1 MiB, so time ends them) and a cleaner that is never content.
pub(crate) const CONFIGS: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "50"),
    ("min.cleanable.dirty.ratio", "0.001"),
    ("delete.retention.ms", "1000"),
    ("file.delete.delay.ms", "100"),
];

/// What the broker is started with.
pub const SETTINGS: [&str; 1] = ["log.cleaner.backoff.ms=20"];

/// What a number becomes: a key, and a value that names the number or none.
pub(crate) fn content(seed: u64, partition: i32, number: u64) -> ([u8; 8], Option<Vec<u8>>) {
    let mixed = mix(seed ^ mix(number ^ (partition as u64) << 48));
    let key = (mixed % KEYS).to_be_bytes();
    if (mixed >> 32).is_multiple_of(5) {
        return (key, None);
    }
    let mut value = number.to_be_bytes().to_vec();
    value.resize(VALUE_BYTES, b'.');
    (key, Some(value))
}

/// The finaliser of splitmix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// One partition to check.
pub(crate) struct Check {
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
    pub(crate) seed: u64,
}

impl Check {
    /// Looks at once, when the cleaner is through, and after another kill.
    pub(crate) fn run(&self, node: &mut Node, written: &[Acknowledged]) -> anyhow::Result<()> {
        let history = self.history(written)?;
        self.look(&mut Connection::open(node.address())?, &history)?;
        self.await_cleaned(node, &history)?;
        node.crash()?;
        self.look(&mut Connection::await_open(node.address())?, &history)?;
        Ok(())
    }

    /// What was acknowledged, by offset: numbers lie without gaps, as they do without compaction.
    fn history(&self, written: &[Acknowledged]) -> anyhow::Result<Vec<([u8; 8], Option<Vec<u8>>)>> {
        let mut history = Vec::new();
        for batch in written {
            ensure!(
                batch.base_offset == history.len() as i64 && batch.first == history.len() as u64,
                "partition {}: number {} was acknowledged at {}, behind {} others",
                self.partition,
                batch.first,
                batch.base_offset,
                history.len()
            );
            history.extend(
                (batch.first..batch.first + batch.count).map(|number| content(self.seed, self.partition, number)),
            );
        }
        Ok(history)
    }

    /// Reads everything and checks it; answers how many records of the history are left.
    fn look(&self, connection: &mut Connection, history: &[([u8; 8], Option<Vec<u8>>)]) -> anyhow::Result<usize> {
        let whole = self.read(connection)?;
        let mut shown: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        let mut last_offset = -1;
        let mut left = 0;
        for record in &whole.records {
            ensure!(record.offset > last_offset, "partition {}: offset {} twice", self.partition, record.offset);
            last_offset = record.offset;
            let Some((key, value)) = history.get(record.offset as usize) else {
                ensure!(
                    record.key == FILLER_KEY,
                    "partition {}: a record at {} that nobody wrote",
                    self.partition,
                    record.offset
                );
                continue;
            };
            left += 1;
            ensure!(
                record.key == key && record.value == value.as_deref().unwrap_or_default(),
                "partition {}: offset {} holds another record than was acknowledged there",
                self.partition,
                record.offset
            );
            shown.insert(&record.key, &record.value);
        }
        ensure!(
            whole.high_watermark >= history.len() as i64,
            "partition {}: ends at {}, but {} records were acknowledged",
            self.partition,
            whole.high_watermark,
            history.len()
        );
        let mut expected: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        for (key, value) in history {
            expected.insert(key, value.as_deref());
        }
        for (key, value) in expected {
            let found = shown.get(key).copied();
            match value {
                Some(value) => {
                    ensure!(found == Some(value), "partition {}: the last value of key {key:?} is lost", self.partition)
                }
                None => ensure!(
                    found.unwrap_or_default().is_empty(),
                    "partition {}: key {key:?} was deleted and shows a value again",
                    self.partition
                ),
            }
        }
        Ok(left)
    }

    /// A read that tombstones cannot vanish from under.
    fn read(&self, connection: &mut Connection) -> anyhow::Result<Partition> {
        for _ in 0..10 {
            let began = Instant::now();
            let whole = read_all(connection, self.topic, self.partition, 0)?;
            if began.elapsed() < DELETE_RETENTION {
                return Ok(whole);
            }
        }
        bail!("partition {} cannot be read within {DELETE_RETENTION:?}", self.partition)
    }

    /// Writes now and then, so that segments end, until at most two records of each key are left of the history: one,
    /// and a tombstone or a last one of a segment that was not cleaned yet.
    fn await_cleaned(&self, node: &Node, history: &[([u8; 8], Option<Vec<u8>>)]) -> anyhow::Result<()> {
        let until = Instant::now() + CLEAN_MAX;
        let mut connection = Connection::open(node.address())?;
        loop {
            let left = self.look(&mut connection, history)?;
            if left <= 2 * KEYS as usize {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "partition {}: {left} of {} records are left, nothing cleans them; the broker's output:\n{}",
                self.partition,
                history.len(),
                node.log_tail()
            );
            self.write_filler(&mut connection)?;
            std::thread::sleep(Duration::from_millis(60));
        }
    }

    fn write_filler(&self, connection: &mut Connection) -> anyhow::Result<()> {
        let writer = Writer { producer_id: -1, producer_epoch: -1, sequence: -1, transactional: false };
        let filler = batch(writer, &[(&FILLER_KEY, b"filler")]);
        let response = connection.call(9, &produce_request(None, self.topic, self.partition, filler))?;
        let topic = response.responses.first().context("one answer per topic")?;
        let part = topic.partition_responses.first().context("one answer per partition")?;
        let error = code(part.error_code);
        ensure!(part.error_code == 0 || retriable(error), "a record is refused: {}", error.name());
        Ok(())
    }
}
