//! Records in: partitions of a group, or assigned by hand, read from their leaders.
//!
//! Called by the console consumer, the examples and every product that reads. `poll` lends records from the buffers
//! that came over the wire; while its caller works on them the next ones are already fetched. Membership of a group
//! is kept alive by a task of its own, but joining, leaving and committing before a rebalance happen in `poll`.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::error::ClientError> {
//! use std::time::Duration;
//!
//! use client::config::{ConsumerConfig, Reset};
//! use client::consumer::Consumer;
//! use client::metadata::Cluster;
//!
//! let config = ConsumerConfig { group: Some("readers".to_owned()), reset: Reset::Earliest, ..ConsumerConfig::default() };
//! let mut consumer = Consumer::new(Cluster::new("localhost:9092"), config);
//! consumer.subscribe(&["greetings"])?;
//! for record in consumer.poll(Duration::from_millis(500)).await?.iter() {
//!     println!("{}@{}: {:?}", record.partition(), record.offset, record.value);
//! }
//! consumer.close().await?;
//! # Ok(()) }
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

pub use crate::TopicPartition;
pub use crate::config::{ConsumerConfig, Isolation, Reset};
use crate::error::ClientError;
use crate::metadata::Cluster;

// Bytes -> records.
mod decode;

pub use decode::{Record, Records, TimestampType};

/// An offset to commit or committed, with what the application noted beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// Of the next record to read.
    pub offset: i64,
    /// Epoch of the leader that wrote the record before it, -1 for none.
    pub leader_epoch: i32,
    /// Any text.
    pub metadata: String,
}

impl From<i64> for OffsetAndMetadata {
    fn from(offset: i64) -> Self {
        OffsetAndMetadata { offset, leader_epoch: -1, metadata: String::new() }
    }
}

/// Offsets by partition.
pub type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// The first record from some time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub timestamp: i64,
}

/// Told when partitions of a group come and go; called from within `poll` and `close`.
pub trait RebalanceListener: Send {
    /// These are this member's from now on.
    fn assigned(&mut self, partitions: &[TopicPartition]);
    /// These are given back; what is put into `commit` is committed before another member gets them.
    fn revoked(&mut self, partitions: &[TopicPartition], commit: &mut Offsets);
    /// These were taken away (the member was thrown out); they may have another owner already.
    fn lost(&mut self, partitions: &[TopicPartition]);
}

/// Reads partitions; not shared between tasks.
pub struct Consumer {
    cluster: Cluster,
    config: ConsumerConfig,
}

#[expect(clippy::unused_async, clippy::unused_self, clippy::missing_errors_doc, unused_variables, reason = "skeleton")]
impl Consumer {
    /// A consumer of `cluster`. Must be called inside a tokio runtime; connects to nothing yet.
    pub fn new(cluster: Cluster, config: ConsumerConfig) -> Self {
        Consumer { cluster, config }
    }
    /// Who is told of rebalances.
    pub fn set_listener(&mut self, listener: Box<dyn RebalanceListener>) {
        unimplemented!()
    }
    /// Reads topics together with the other members of the group.
    pub fn subscribe(&mut self, topics: &[&str]) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// Reads exactly these partitions.
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// Reads nothing; leaves the group.
    pub async fn unsubscribe(&mut self) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// What is read now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        unimplemented!()
    }
    /// Waits up to `timeout` for records.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Records, ClientError> {
        unimplemented!()
    }
    /// The next poll reads from there.
    pub fn seek(&mut self, place: &TopicPartition, offset: i64) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// The next poll reads from the first record that is left.
    pub fn seek_to_beginning(&mut self, places: &[TopicPartition]) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// The next poll reads from the end.
    pub fn seek_to_end(&mut self, places: &[TopicPartition]) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// The offset of the next record.
    pub async fn position(&mut self, place: &TopicPartition) -> Result<i64, ClientError> {
        unimplemented!()
    }
    /// Reads no more from them until resumed.
    pub fn pause(&mut self, places: &[TopicPartition]) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// Reads from them again.
    pub fn resume(&mut self, places: &[TopicPartition]) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// Commits the positions and waits.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// Commits these offsets and waits.
    pub async fn commit_offsets(&mut self, offsets: &Offsets) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// Commits the positions without waiting.
    pub fn commit_async(&mut self) -> Result<(), ClientError> {
        unimplemented!()
    }
    /// What the group committed.
    pub async fn committed(&mut self, places: &[TopicPartition]) -> Result<Offsets, ClientError> {
        unimplemented!()
    }
    /// The first record from a time on, by partition; left out where there is none.
    pub async fn offsets_for_times(
        &mut self,
        times: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndTimestamp>, ClientError> {
        unimplemented!()
    }
    /// The first offset that is left, by partition.
    pub async fn beginning_offsets(&mut self, places: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        unimplemented!()
    }
    /// The end, by partition.
    pub async fn end_offsets(&mut self, places: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        unimplemented!()
    }
    /// How many partitions a topic has.
    pub async fn partition_count(&mut self, topic: &str) -> Result<usize, ClientError> {
        unimplemented!()
    }
    /// Commits if commits are automatic, and leaves the group.
    pub async fn close(&mut self) -> Result<(), ClientError> {
        unimplemented!()
    }
}
