//! Records in: partitions assigned by hand, read from their leaders.
//!
//! Called by the console consumer and the examples. One request to each leader per poll.
//!
//! Not done: groups and commits, fetch sessions, prefetching, followers as sources, waiting for a topic that is just
//! being made.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millstream_protocol::batch::{Batches, EndMarker, HEADER_BYTES, MarkerKind};
use millstream_protocol::compress::{self, Codec};
use millstream_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use millstream_protocol::messages::fetch_response::PartitionData;
use millstream_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_protocol::messages::{FetchRequest, ListOffsetsRequest};
use millstream_protocol::record::Records;

use crate::error::{ClientError, check};
use crate::metadata::{Cluster, Missing, topic_name};

/// Fetch 13 names topics by id; up to 12 they go by name.
const FETCH_BY_NAME: i16 = 12;
/// Apache's `max.partition.fetch.bytes`.
const PARTITION_BYTES: i32 = 1 << 20;
/// What one compressed batch may grow to.
const PLAIN_BYTES_MAX: usize = 1 << 30;
const OFFSET_OUT_OF_RANGE: i16 = 1;

/// Where a partition is read from first, and again when its position is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The first record that is left.
    Earliest,
    /// The end.
    Latest,
}

/// Which records of transactions are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All, also of transactions that are open or were aborted.
    ReadUncommitted,
    /// Only those of committed transactions.
    ReadCommitted,
}

/// One record that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedRecord {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time, milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The key, or null.
    pub key: Option<Bytes>,
    /// The value, or null.
    pub value: Option<Bytes>,
}

struct Position {
    leader: i32,
    offset: i64,
}

/// Reads partitions; not shared between tasks.
pub struct Consumer {
    cluster: Cluster,
    reset: Reset,
    isolation: Isolation,
    positions: BTreeMap<(String, i32), Position>,
}

impl Consumer {
    /// A consumer of `cluster`. Connects to nothing yet.
    pub fn new(cluster: Cluster, reset: Reset, isolation: Isolation) -> Self {
        Consumer { cluster, reset, isolation, positions: BTreeMap::new() }
    }

    /// Reads a topic's partitions, or only one of them, from where the reset says.
    ///
    /// # Errors
    /// When the topic is unknown or its leaders do not answer.
    pub async fn assign(&mut self, topic: &str, only: Option<i32>) -> Result<(), ClientError> {
        let metadata = self.cluster.metadata(Some(&[topic.to_owned()]), Missing::Create).await?;
        for found in metadata.topics {
            check(found.error_code, None)?;
            let wanted = found.partitions.iter().filter(|p| only.is_none_or(|only| only == p.partition_index));
            for partition in wanted {
                let (index, leader) = (partition.partition_index, partition.leader_id.0);
                let offset = self.reset_offset(topic, index, leader).await?;
                self.positions.insert((topic.to_owned(), index), Position { leader, offset });
            }
        }
        Ok(())
    }

    /// Moves a partition that is assigned.
    pub fn seek(&mut self, topic: &str, partition: i32, offset: i64) {
        if let Some(position) = self.positions.get_mut(&(topic.to_owned(), partition)) {
            position.offset = offset;
        }
    }

    async fn reset_offset(&self, topic: &str, partition: i32, leader: i32) -> Result<i64, ClientError> {
        // ListOffsetsRequest.EARLIEST_TIMESTAMP and LATEST_TIMESTAMP.
        let timestamp = if self.reset == Reset::Earliest { -2 } else { -1 };
        let wanted = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
        let wanted = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![wanted]);
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_isolation_level(self.isolation_level())
            .with_topics(vec![wanted]);
        let reply = self.cluster.broker(leader).await?.call(&request).await?;
        let found = reply.topics.iter().flat_map(|topic| &topic.partitions).next();
        let found = found.ok_or_else(|| ClientError::NoLeader { topic: topic.to_owned(), partition })?;
        check(found.error_code, None)?;
        Ok(found.offset)
    }

    fn isolation_level(&self) -> i8 {
        i8::from(self.isolation == Isolation::ReadCommitted)
    }

    /// Asks each leader once, which waits up to `wait_ms` for a record; empty when none came.
    ///
    /// # Errors
    /// The first failure of a leader or a partition.
    pub async fn poll(&mut self, wait_ms: i32) -> Result<Vec<ReceivedRecord>, ClientError> {
        let leaders: BTreeSet<i32> = self.positions.values().map(|position| position.leader).collect();
        let mut records = Vec::new();
        for leader in leaders {
            let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
            for ((topic, partition), position) in self.positions.iter().filter(|(_, p)| p.leader == leader) {
                let wanted = FetchPartition::default()
                    .with_partition(*partition)
                    .with_fetch_offset(position.offset)
                    .with_partition_max_bytes(PARTITION_BYTES);
                topics.entry(topic).or_default().push(wanted);
            }
            let topics = topics.into_iter();
            let topics = topics.map(|(name, p)| FetchTopic::default().with_topic(topic_name(name)).with_partitions(p));
            let request = FetchRequest::default()
                .with_max_wait_ms(wait_ms)
                .with_min_bytes(1)
                .with_isolation_level(self.isolation_level())
                .with_topics(topics.collect());
            let reply = self.cluster.broker(leader).await?.call_at_most(FETCH_BY_NAME, &request).await?;
            check(reply.error_code, None)?;
            for topic in reply.responses {
                for data in topic.partitions {
                    self.take(&topic.topic.0, data, &mut records).await?;
                }
            }
        }
        Ok(records)
    }

    async fn take(&mut self, topic: &str, data: PartitionData, into: &mut Vec<ReceivedRecord>) -> Result<(), ClientError> {
        let partition = data.partition_index;
        let place = (topic.to_owned(), partition);
        let Some(leader) = self.positions.get(&place).map(|position| position.leader) else { return Ok(()) };
        if data.error_code == OFFSET_OUT_OF_RANGE {
            let offset = self.reset_offset(topic, partition, leader).await?;
            self.seek(topic, partition, offset);
            return Ok(());
        }
        check(data.error_code, None)?;
        if let Some(position) = self.positions.get_mut(&place) {
            read_batches(topic, &data, self.isolation, &mut position.offset, into)
                .map_err(|reason| ClientError::Records { topic: topic.to_owned(), partition, reason })?;
        }
        Ok(())
    }
}

/// Reads whole batches from `position` on and moves it behind them, control batches and aborted records included.
fn read_batches(
    topic: &str,
    data: &PartitionData,
    isolation: Isolation,
    position: &mut i64,
    into: &mut Vec<ReceivedRecord>,
) -> Result<(), String> {
    let bytes = data.records.clone().unwrap_or_default();
    let mut aborted: Vec<(i64, i64)> = data.aborted_transactions.iter().flatten().map(|t| (t.first_offset, t.producer_id.0)).collect();
    aborted.sort_unstable_by(|left, right| right.cmp(left));
    let mut dropping = BTreeSet::new();
    for (header, batch) in Batches::new(&bytes) {
        while let Some((_, producer)) = aborted.pop_if(|(first, _)| *first <= header.last_offset()) {
            dropping.insert(producer);
        }
        if header.is_control() {
            if EndMarker::decode(batch).is_some_and(|marker| marker.kind == MarkerKind::Abort) {
                dropping.remove(&header.producer_id);
            }
        } else if isolation == Isolation::ReadUncommitted || !header.is_transactional() || !dropping.contains(&header.producer_id) {
            let codec = Codec::from_id(header.codec()).ok_or("unknown compression")?;
            let mut plain = Vec::new();
            compress::decompress(codec, &batch[HEADER_BYTES..], PLAIN_BYTES_MAX, &mut plain).map_err(|error| error.to_string())?;
            for record in Records::new(&plain, header.record_count) {
                let record = record.map_err(|malformed| format!("{malformed:?}"))?;
                let offset = header.base_offset + i64::from(record.offset_delta);
                if offset < *position {
                    continue;
                }
                let timestamp = if header.is_log_append_time() { header.max_timestamp } else { header.base_timestamp + record.timestamp_delta };
                into.push(ReceivedRecord {
                    topic: topic.to_owned(),
                    partition: data.partition_index,
                    offset,
                    timestamp,
                    key: record.key.map(Bytes::copy_from_slice),
                    value: record.value.map(Bytes::copy_from_slice),
                });
            }
        }
        *position = (*position).max(header.last_offset() + 1);
    }
    Ok(())
}
