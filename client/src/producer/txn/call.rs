//! Carries out what `txn.rs` asks for: finds the coordinator, sends one request, reads the codes of the answer.
//!
//! Called by the sender, one request at a time. Never decides what an answer means, except that a coordinator which is
//! none any more is looked for again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_base_env::task;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use millstream_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use millstream_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest, TransactionalId,
    TxnOffsetCommitRequest,
};

use super::super::batch::Place;
use super::super::idempotent::Identity;
use super::ask::{Answer, Ask, Ending, Heard, OffsetsTask, Protocol};
use crate::connection::Connection;
use crate::consumer::OffsetAndMetadata;
use crate::error::ClientError;
use crate::metadata::{Cluster, Coordinated, text, topic_name};
use crate::{TopicPartition, by_topic};

/// AddPartitionsToTxn 3 is a client's; later versions are what brokers verify with.
const ADD_PARTITIONS: i16 = 3;
/// EndTxn 4 and TxnOffsetCommit 4 are those of version 1 (Java: `LAST_STABLE_VERSION_BEFORE_TRANSACTION_V2`).
const BEFORE_V2: i16 = 4;

/// What the requests of one producer share.
#[derive(Clone)]
pub(in super::super) struct Coordinators {
    cluster: Cluster,
    transactional_id: Arc<str>,
    timeout_ms: i32,
}

/// What a request says of its producer.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Sender {
    pub identity: Option<Identity>,
    pub protocol: Protocol,
}

impl Coordinators {
    pub fn new(cluster: Cluster, transactional_id: &str, timeout: Duration) -> Self {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        Coordinators { cluster, transactional_id: transactional_id.into(), timeout_ms }
    }

    /// Sends `ask` after `wait_ms`; `names` are the topics of places.
    pub async fn send(&self, ask: Ask, wait_ms: i64, own: Sender, names: Vec<(Place, Arc<str>)>) -> (Answer, Heard) {
        if wait_ms > 0 {
            task::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
        }
        let (kind, key) = match &ask {
            Ask::CommitOffsets(task) => (Coordinated::Group, &*task.group.group_id),
            _ => (Coordinated::Transaction, &*self.transactional_id),
        };
        let subject = kind.named(key);
        let connection = match self.cluster.coordinator(kind, key).await {
            Ok(connection) => connection,
            Err(ClientError::Broker { code, address, .. }) => {
                return (Answer::NotFound(code), Heard { address, subject, names });
            }
            Err(error) => return (Answer::Lost(error), Heard::default()),
        };
        let answer = self.call(&connection, &ask, own, &names).await.unwrap_or_else(Answer::Lost);
        if has_moved(&answer) {
            self.cluster.forget_coordinator(kind, key);
        }
        (answer, Heard { address: connection.address().to_owned(), subject, names })
    }

    async fn call(
        &self,
        connection: &Connection,
        ask: &Ask,
        own: Sender,
        names: &[(Place, Arc<str>)],
    ) -> Result<Answer, ClientError> {
        let identity = own.identity.unwrap_or(Identity { id: -1, epoch: -1 });
        let id = || TransactionalId(text(&self.transactional_id));
        Ok(match ask {
            Ask::Init | Ask::Bump => {
                let from = if matches!(ask, Ask::Bump) { identity } else { Identity { id: -1, epoch: -1 } };
                let request = InitProducerIdRequest::default()
                    .with_transactional_id(Some(id()))
                    .with_transaction_timeout_ms(self.timeout_ms)
                    .with_producer_id(from.id.into())
                    .with_producer_epoch(from.epoch);
                let reply = connection.call(&request).await?;
                let identity = Identity { id: reply.producer_id.0, epoch: reply.producer_epoch };
                Answer::Init { code: reply.error_code, identity }
            }
            Ask::AddPartitions(places) => self.add_partitions(connection, identity, places, names).await?,
            Ask::AddOffsets(task) => {
                let request = AddOffsetsToTxnRequest::default()
                    .with_transactional_id(id())
                    .with_producer_id(identity.id.into())
                    .with_producer_epoch(identity.epoch)
                    .with_group_id(GroupId(text(&task.group.group_id)));
                Answer::Offsets(connection.call(&request).await?.error_code)
            }
            Ask::CommitOffsets(task) => self.commit_offsets(connection, identity, own.protocol, task).await?,
            Ask::End(ending, protocol) => {
                let request = EndTxnRequest::default()
                    .with_transactional_id(id())
                    .with_producer_id(identity.id.into())
                    .with_producer_epoch(identity.epoch)
                    .with_committed(*ending == Ending::Commit);
                let reply = connection.call_at_most(at_most(*protocol), &request).await?;
                let next = Identity { id: reply.producer_id.0, epoch: reply.producer_epoch };
                Answer::Ended { code: reply.error_code, identity: Some(next).filter(|next| next.id >= 0) }
            }
        })
    }

    async fn add_partitions(
        &self,
        connection: &Connection,
        identity: Identity,
        places: &[Place],
        names: &[(Place, Arc<str>)],
    ) -> Result<Answer, ClientError> {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (place, name) in names {
            topics.entry(name).or_default().push(place.1);
        }
        let topics = topics.into_iter();
        let topics =
            topics.map(|(name, p)| AddPartitionsToTxnTopic::default().with_name(topic_name(name)).with_partitions(p));
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(&self.transactional_id)))
            .with_v3_and_below_producer_id(identity.id.into())
            .with_v3_and_below_producer_epoch(identity.epoch)
            .with_v3_and_below_topics(topics.collect());
        let reply = connection.call_at_most(ADD_PARTITIONS, &request).await?;
        let code_of = |place: &Place| {
            let (_, name) = names.iter().find(|(known, _)| known == place)?;
            let topic = reply.results_by_topic_v3_and_below.iter().find(|topic| *topic.name.0 == **name)?;
            let own = topic.results_by_partition.iter().find(|own| own.partition_index == place.1)?;
            Some(own.partition_error_code)
        };
        let missing = ErrorCode::UnknownServerError.code();
        Ok(Answer::Partitions(places.iter().map(|place| (*place, code_of(place).unwrap_or(missing))).collect()))
    }

    async fn commit_offsets(
        &self,
        connection: &Connection,
        identity: Identity,
        protocol: Protocol,
        task: &OffsetsTask,
    ) -> Result<Answer, ClientError> {
        let partition = |(at, offset): (&TopicPartition, &OffsetAndMetadata)| {
            TxnOffsetCommitRequestPartition::default()
                .with_partition_index(at.partition)
                .with_committed_offset(offset.offset)
                .with_committed_leader_epoch(offset.leader_epoch)
                .with_committed_metadata(Some(text(&offset.metadata)))
        };
        let topics = by_topic(task.pending.iter().map(|own| (own.0, partition(own)))).into_iter();
        let topics = topics
            .map(|(name, p)| TxnOffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(p));
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(&self.transactional_id)))
            .with_group_id(GroupId(text(&task.group.group_id)))
            .with_producer_id(identity.id.into())
            .with_producer_epoch(identity.epoch)
            .with_generation_id(task.group.generation)
            .with_member_id(text(&task.group.member_id))
            .with_group_instance_id(task.group.instance_id.as_deref().map(text))
            .with_topics(topics.collect());
        let reply = connection.call_at_most(at_most(protocol), &request).await?;
        let codes = reply.topics.iter().flat_map(|topic| {
            let own = topic.partitions.iter();
            own.map(|own| (TopicPartition::new(&topic.name.0, own.partition_index), own.error_code))
        });
        Ok(Answer::Committed(codes.collect()))
    }
}

fn at_most(protocol: Protocol) -> i16 {
    match protocol {
        Protocol::V1 => BEFORE_V2,
        // TxnOffsetCommit 5 is the last that names topics.
        Protocol::V2 => 5,
    }
}

/// Whether the coordinator is to be looked for again.
fn has_moved(answer: &Answer) -> bool {
    let moved = |code: i16| {
        matches!(
            ErrorCode::from_code(code),
            Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable | ErrorCode::RequestTimedOut)
        )
    };
    match answer {
        Answer::Lost(_) => true,
        Answer::NotFound(_) => false,
        Answer::Init { code, .. } | Answer::Offsets(code) | Answer::Ended { code, .. } => moved(*code),
        Answer::Partitions(codes) => codes.iter().any(|(_, code)| moved(*code)),
        Answer::Committed(codes) => codes.iter().any(|(_, code)| moved(*code)),
    }
}
