//! Records out: batches per partition, sent to their leaders.
//!
//! Called by the console producer and the examples. A batch leaves when it reaches the size limit or on
//! [`Producer::flush`]; failures come back from the call that sent it.
//!
//! Not done: a linger timer, several requests in flight, idempotence, transactions, retries (a batch whose write fails
//! is lost), record headers.

use std::collections::BTreeMap;

use millstream_base_env::{Clock, task};
use millstream_protocol::batch::BatchHeader;
use millstream_protocol::compress::{Codec, CompressError};
use millstream_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_protocol::messages::{MetadataResponse, ProduceRequest};
use millstream_protocol::murmur2::partition_for_key;
use millstream_protocol::record::BatchWriter;

use crate::error::{ClientError, check};
use crate::metadata::{Cluster, Missing, topic_name};

/// Produce 13 names topics by id; up to 12 they go by name.
const PRODUCE_BY_NAME: i16 = 12;
/// Apache's `request.timeout.ms`.
const TIMEOUT_MS: i32 = 30_000;

/// When the broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Never.
    None,
    /// Once the leader has written.
    Leader,
    /// Once every replica in sync has it.
    All,
}

/// How a producer works; the defaults are Apache's.
#[derive(Clone, Copy, Debug)]
pub struct ProducerConfig {
    /// `acks`
    pub acks: Acks,
    /// `compression.type`
    pub codec: Codec,
    /// `batch.size`
    pub batch_bytes: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        ProducerConfig { acks: Acks::All, codec: Codec::None, batch_bytes: 16_384 }
    }
}

/// One record to send.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The key, which chooses the partition when there is one.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
}

/// A topic's partitions and which of them takes records without a key now.
struct Topic {
    /// Leader by partition.
    leaders: Vec<i32>,
    sticky: usize,
}

/// Sends records; not shared between tasks.
pub struct Producer {
    cluster: Cluster,
    config: ProducerConfig,
    topics: BTreeMap<String, Topic>,
    open: BTreeMap<(String, i32), BatchWriter>,
}

impl Producer {
    /// A producer for `cluster`. Connects to nothing yet.
    pub fn new(cluster: Cluster, config: ProducerConfig) -> Self {
        Producer { cluster, config, topics: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// Adds a record to the batch of its partition, and sends that batch when it is full.
    ///
    /// # Errors
    /// When the topic is unknown, or a batch that was full could not be written.
    pub async fn send(&mut self, record: NewRecord<'_>) -> Result<(), ClientError> {
        if !self.topics.contains_key(record.topic) {
            let found = self.find(record.topic).await?;
            self.topics.insert(record.topic.to_owned(), found);
        }
        let topic = &self.topics[record.topic];
        let partition = match record.key {
            Some(key) => partition_for_key(key, topic.leaders.len() as i32),
            None => topic.sticky as i32,
        };
        let place = (record.topic.to_owned(), partition);
        let batch = self.open.entry(place.clone()).or_insert_with(|| BatchWriter::new(None));
        batch.push_parts(Clock::Real.now_ms(), record.key, record.value, std::iter::empty());
        if batch.size() >= self.config.batch_bytes && let Some(full) = self.open.remove(&place) {
            self.write(&place.0, partition, full).await?;
        }
        Ok(())
    }

    /// Sends every batch that is open.
    ///
    /// # Errors
    /// The first failure; the batches behind it stay open.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        while let Some(((topic, partition), batch)) = self.open.pop_first() {
            self.write(&topic, partition, batch).await?;
        }
        Ok(())
    }

    async fn find(&self, name: &str) -> Result<Topic, ClientError> {
        let names = [name.to_owned()];
        let mut metadata = self.cluster.metadata(Some(&names), Missing::Create).await?;
        let first = |metadata: &MetadataResponse| metadata.topics.first().map_or(0, |topic| topic.error_code);
        // A topic that is just being created is reported as unknown or without leaders once or twice.
        for _ in 0..20 {
            if !matches!(first(&metadata), 3 | 5) {
                break;
            }
            task::sleep(std::time::Duration::from_millis(100)).await;
            metadata = self.cluster.metadata(Some(&names), Missing::Create).await?;
        }
        check(first(&metadata), None)?;
        let partitions = metadata.topics.into_iter().flat_map(|topic| topic.partitions);
        let leaders: BTreeMap<i32, i32> = partitions.map(|p| (p.partition_index, p.leader_id.0)).collect();
        if leaders.is_empty() {
            return Err(ClientError::NoLeader { topic: name.to_owned(), partition: 0 });
        }
        Ok(Topic { leaders: leaders.into_values().collect(), sticky: 0 })
    }

    async fn write(&mut self, name: &str, partition: i32, batch: BatchWriter) -> Result<(), ClientError> {
        let Some(topic) = self.topics.get_mut(name) else {
            return Err(ClientError::NoLeader { topic: name.to_owned(), partition });
        };
        let leader = topic.leaders[partition as usize];
        // KIP-480: records without a key stay with a partition for a batch, then move on.
        topic.sticky = (topic.sticky + 1) % topic.leaders.len();
        let bytes = finish(batch, self.config.codec).map_err(|error| ClientError::Records {
            topic: name.to_owned(),
            partition,
            reason: error.to_string(),
        })?;
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(bytes.into()));
        let topic = TopicProduceData::default().with_name(topic_name(name)).with_partition_data(vec![data]);
        let acks = match self.config.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let request =
            ProduceRequest::default().with_acks(acks).with_timeout_ms(TIMEOUT_MS).with_topic_data(vec![topic]);
        let connection = self.cluster.broker(leader).await?;
        if self.config.acks == Acks::None {
            return connection.send_only(PRODUCE_BY_NAME, &request);
        }
        let reply = connection.call_at_most(PRODUCE_BY_NAME, &request).await?;
        let mut partitions = reply.responses.iter().flat_map(|topic| &topic.partition_responses);
        partitions.try_for_each(|partition| check(partition.error_code, partition.error_message.as_deref()))
    }
}

/// Ends a batch that no broker has seen: offsets from zero, no producer.
fn finish(batch: BatchWriter, codec: Codec) -> Result<Vec<u8>, CompressError> {
    let like = BatchHeader {
        base_offset: 0,
        length: 0,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: batch.count() - 1,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 0,
    };
    let mut bytes = Vec::with_capacity(batch.size());
    batch.finish(&like, codec, None, &mut bytes)?;
    Ok(bytes)
}
