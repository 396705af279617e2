//! A transactional producer that does one request at a time, in either generation of the protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use millstream_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use millstream_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use millstream_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest,
    OffsetFetchRequest, ProduceRequest, Request, TransactionalId, TxnOffsetCommitRequest,
};

use crate::records::{Writer, batch};
use crate::wire::{Connection, code, produce_request, retriable, text, topic_name};

/// How long one step of a transaction is repeated while the broker says that it is busy.
const STEP_MAX: Duration = Duration::from_secs(20);

/// The generation of the transaction protocol (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Partitions are added by a request of their own; one epoch for the life of the producer.
    V1,
    /// Partitions are added by Produce; each transaction has its own epoch.
    V2,
}

/// How to end a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Commit.
    Commit,
    /// Abort.
    Abort,
}

/// A transactional producer.
pub struct TxnClient {
    /// Its connection.
    pub connection: Connection,
    /// Its transactional id.
    pub id: String,
    /// Producer id and epoch.
    pub identity: (i64, i16),
    protocol: Protocol,
    timeout_ms: i32,
    sequences: BTreeMap<(String, i32), i32>,
    added: BTreeSet<(String, i32)>,
    groups_found: BTreeSet<String>,
}

impl TxnClient {
    /// Connects and initializes the id, whatever an instance before left open.
    pub fn start(address: SocketAddr, id: &str, protocol: Protocol, timeout_ms: i32) -> anyhow::Result<TxnClient> {
        let mut connection = Connection::await_open(address)?;
        connection.await_coordinator(id, 1)?;
        let identity = connection.init_producer_id(Some(id), timeout_ms)?;
        Ok(TxnClient {
            connection,
            id: id.to_owned(),
            identity,
            protocol,
            timeout_ms,
            sequences: BTreeMap::new(),
            added: BTreeSet::new(),
            groups_found: BTreeSet::new(),
        })
    }

    /// Writes records in the transaction, which begins with the first ones.
    pub fn produce(&mut self, topic: &str, partition: i32, records: &[(&[u8], &[u8])]) -> anyhow::Result<()> {
        let key = (topic.to_owned(), partition);
        if self.protocol == Protocol::V1 && !self.added.contains(&key) {
            self.add_partition(topic, partition)?;
            self.added.insert(key.clone());
        }
        let (producer_id, producer_epoch) = self.identity;
        let sequence = self.sequences.get(&key).copied().unwrap_or(0);
        let batch = batch(Writer { producer_id, producer_epoch, sequence, transactional: true }, records);
        let request = produce_request(Some(&self.id), topic, partition, batch);
        let version = if self.protocol == Protocol::V1 { 11 } else { 12 };
        self.repeat::<ProduceRequest>(version, &request, |response| {
            let topic = response.responses.first().context("one answer per topic")?;
            Ok(topic.partition_responses.first().context("one answer per partition")?.error_code)
        })?;
        self.sequences.insert(key, sequence + records.len() as i32);
        Ok(())
    }

    /// Commits an offset of a group in the transaction.
    pub fn commit_offset(&mut self, group: &str, topic: &str, partition: i32, offset: i64) -> anyhow::Result<()> {
        if self.groups_found.insert(group.to_owned()) {
            self.connection.await_coordinator(group, 0)?;
        }
        let (producer_id, producer_epoch) = self.identity;
        if self.protocol == Protocol::V1 {
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(self.transactional_id())
                .with_producer_id(producer_id.into())
                .with_producer_epoch(producer_epoch)
                .with_group_id(GroupId(text(group)));
            self.repeat::<AddOffsetsToTxnRequest>(3, &request, |response| Ok(response.error_code))?;
        }
        let part =
            TxnOffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(offset);
        let of_topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![part]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_group_id(GroupId(text(group)))
            .with_producer_id(producer_id.into())
            .with_producer_epoch(producer_epoch)
            .with_generation_id(-1)
            .with_topics(vec![of_topic]);
        let version = if self.protocol == Protocol::V1 { 3 } else { 5 };
        self.repeat::<TxnOffsetCommitRequest>(version, &request, |response| {
            let topic = response.topics.first().context("one answer per topic")?;
            Ok(topic.partitions.first().context("one answer per partition")?.error_code)
        })
    }

    /// Ends the transaction.
    pub fn end(&mut self, end: End) -> anyhow::Result<()> {
        let request = self.end_request(end);
        let mut next = self.identity;
        let protocol = self.protocol;
        self.repeat::<EndTxnRequest>(self.end_version(), &request, |response| {
            if protocol == Protocol::V2 && response.error_code == 0 {
                next = (response.producer_id.0, response.producer_epoch);
            }
            Ok(response.error_code)
        })?;
        self.added.clear();
        if next != self.identity {
            self.identity = next;
            self.sequences.clear();
        }
        Ok(())
    }

    /// Asks for the end and does not wait for the answer.
    pub fn send_end(&mut self, end: End) -> anyhow::Result<()> {
        let request = self.end_request(end);
        self.connection.send(self.end_version(), &request)
    }

    /// Initializes the id anew and does not wait for the answer: fences this very client.
    pub fn send_init(&mut self) -> anyhow::Result<()> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_transaction_timeout_ms(self.timeout_ms)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        self.connection.send(4, &request)
    }

    fn end_version(&self) -> i16 {
        if self.protocol == Protocol::V1 { 4 } else { 5 }
    }

    fn end_request(&self, end: End) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(self.identity.0.into())
            .with_producer_epoch(self.identity.1)
            .with_committed(end == End::Commit)
    }

    fn add_partition(&mut self, topic: &str, partition: i32) -> anyhow::Result<()> {
        let of_topic = AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(self.identity.0.into())
            .with_v3_and_below_producer_epoch(self.identity.1)
            .with_v3_and_below_topics(vec![of_topic]);
        self.repeat::<AddPartitionsToTxnRequest>(3, &request, |response| {
            let topic = response.results_by_topic_v3_and_below.first().context("one answer per topic")?;
            Ok(topic.results_by_partition.first().context("one answer per partition")?.partition_error_code)
        })
    }

    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(text(&self.id))
    }

    /// Repeats a request while the broker says that it is busy.
    fn repeat<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        mut outcome: impl FnMut(&R::Response) -> anyhow::Result<i16>,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + STEP_MAX;
        loop {
            let response = self.connection.call(version, request)?;
            match code(outcome(&response)?) {
                ErrorCode::None => return Ok(()),
                other if retriable(other) && Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
                other => bail!("request {} v{version} of {} is refused: {}", R::KEY, self.id, other.name()),
            }
        }
    }
}

/// The committed offset of a group, once no transaction hides it; `None` when there is none.
pub fn committed_offset(
    connection: &mut Connection,
    group: &str,
    topic: &str,
    partition: i32,
) -> anyhow::Result<Option<i64>> {
    connection.await_coordinator(group, 0)?;
    let of_topic =
        OffsetFetchRequestTopic::default().with_name(topic_name(topic)).with_partition_indexes(vec![partition]);
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_require_stable(true)
        .with_topics(Some(vec![of_topic]));
    let until = Instant::now() + STEP_MAX;
    loop {
        let response = connection.call(7, &request)?;
        let topic = response.topics.first().map(|topic| &topic.partitions);
        let part = topic.and_then(|partitions| partitions.first());
        let error = part.map_or(response.error_code, |part| part.error_code.max(response.error_code));
        match (code(error), part) {
            (ErrorCode::None, Some(part)) => return Ok((part.committed_offset >= 0).then_some(part.committed_offset)),
            (other, _) if Instant::now() > until => bail!("no committed offset of {group}: {}", other.name()),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
