//! Transactions: list, describe, abort, fence; the producers that a partition remembers.
//!
//! Called by `kafka-transactions`. Each transactional id is asked of its coordinator, a partition of its leader.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::describe_producers_request::TopicRequest;
use millstream_protocol::messages::describe_transactions_response::TransactionState as DescribedTransaction;
use millstream_protocol::messages::list_transactions_response::TransactionState as ListedTransaction;
use millstream_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use millstream_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, DescribeTransactionsResponse, InitProducerIdRequest,
    InitProducerIdResponse, ListTransactionsRequest, ListTransactionsResponse, TransactionalId, WriteTxnMarkersRequest,
};

use super::ask::{Speaker, To};
use super::rounds::Answers;
use super::{Admin, TopicPartition, by_topic};
use crate::connection::Connection;
use crate::error::{ClientError, check, check_of, of_partition};
use crate::metadata::{Coordinated, Node, text, topic_name};

/// How far a transaction has come (Java: `TransactionState`).
///
/// ```
/// use client::admin::TransactionState;
///
/// assert_eq!(TransactionState::parse("PrepareCommit"), TransactionState::PrepareCommit);
/// assert_eq!(TransactionState::Ongoing.name(), "Ongoing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionState {
    /// None was begun.
    Empty,
    /// Open.
    Ongoing,
    /// Being committed.
    PrepareCommit,
    /// Being aborted.
    PrepareAbort,
    /// Committed.
    CompleteCommit,
    /// Aborted.
    CompleteAbort,
    /// Being aborted to fence its producer.
    PrepareEpochFence,
    /// Of a kind that came after this release.
    Unknown,
}

impl TransactionState {
    /// Every state with its name in Java.
    pub const NAMES: [(TransactionState, &'static str); 8] = [
        (TransactionState::Empty, "Empty"),
        (TransactionState::Ongoing, "Ongoing"),
        (TransactionState::PrepareCommit, "PrepareCommit"),
        (TransactionState::PrepareAbort, "PrepareAbort"),
        (TransactionState::CompleteCommit, "CompleteCommit"),
        (TransactionState::CompleteAbort, "CompleteAbort"),
        (TransactionState::PrepareEpochFence, "PrepareEpochFence"),
        (TransactionState::Unknown, "Unknown"),
    ];

    /// The state of a name.
    pub fn parse(name: &str) -> Self {
        let found = Self::NAMES.iter().find(|(_, known)| *known == name);
        found.map_or(TransactionState::Unknown, |(state, _)| *state)
    }

    /// Its name in Java.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(state, _)| *state == self).map_or("Unknown", |(_, name)| name)
    }
}

/// Which transactions to list; what is empty lets all through.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::{TransactionFilter, TransactionState};
///
///
/// let filter = TransactionFilter { states: vec![TransactionState::Ongoing], longer_than_ms: Some(60_000), ..TransactionFilter::default() };
/// println!("{:?}", admin.list_transactions(&filter).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct TransactionFilter {
    /// In one of these states.
    pub states: Vec<TransactionState>,
    /// Of one of these producers.
    pub producer_ids: Vec<i64>,
    /// Open for longer than this, in milliseconds (KIP-994).
    pub longer_than_ms: Option<i64>,
    /// With an id that matches this regular expression (KIP-1152).
    pub id_pattern: Option<String>,
}

/// A transaction in a list.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::{TransactionFilter, TransactionListing};
///
///
/// for (broker, listed) in admin.list_transactions(&TransactionFilter::default()).await? {
///     for TransactionListing { transactional_id, state, .. } in listed? {
///         println!("{transactional_id} of broker {broker} is {}", state.name());
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionListing {
    /// The producer's `transactional.id`.
    pub transactional_id: String,
    /// What brokers know the producer by.
    pub producer_id: i64,
    /// How far it has come.
    pub state: TransactionState,
}

/// A transaction as its coordinator sees it.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::TransactionDescription;
///
///
/// for (id, described) in admin.describe_transactions(&["billing-1".to_owned()]).await? {
///     let TransactionDescription { state, partitions, .. } = described?;
///     println!("{id} is {} with {partitions:?}", state.name());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// How far it has come.
    pub state: TransactionState,
    /// What brokers know the producer by.
    pub producer_id: i64,
    /// Grows whenever the producer starts anew.
    pub producer_epoch: i16,
    /// How long it may stay open.
    pub timeout_ms: i64,
    /// When it was begun, in milliseconds since the Unix epoch, where one is open.
    pub started_ms: Option<i64>,
    /// What it has written to.
    pub partitions: BTreeSet<TopicPartition>,
}

/// A producer that a partition remembers (Java: `ProducerState`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use std::collections::BTreeSet;
///
/// use client::TopicPartition;
/// use client::admin::ProducerState;
///
/// for (place, producers) in admin.describe_producers(&BTreeSet::from([TopicPartition::new("orders", 0)]), None).await? {
///     for ProducerState { producer_id, last_sequence, .. } in producers? {
///         println!("{producer_id} wrote {last_sequence} to {place}");
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The sequence of its last record.
    pub last_sequence: i32,
    /// The time of its last record.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins.
    pub current_transaction_start_offset: Option<i64>,
}

/// A transaction to end from outside, by what [`Admin::describe_producers`] says of it (Java: `AbortTransactionSpec`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::TopicPartition;
/// use client::admin::AbortTransaction;
///
/// let partition = TopicPartition::new("orders", 0);
/// let hanging = AbortTransaction { partition, producer_id: 4000, producer_epoch: 2, coordinator_epoch: 7 };
/// admin.abort_transaction(&hanging).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbortTransaction {
    /// The partition on which it hangs.
    pub partition: TopicPartition,
    /// Its producer.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The epoch of the coordinator's last marker.
    pub coordinator_epoch: i32,
}

fn transactional(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

impl Admin {
    /// The transactions that each broker coordinates.
    ///
    /// # Errors
    /// When no broker answers. What goes wrong with one stands beside it.
    pub async fn list_transactions(
        &self,
        filter: &TransactionFilter,
    ) -> Result<BTreeMap<i32, Result<Vec<TransactionListing>, ClientError>>, ClientError> {
        let request = ListTransactionsRequest::default()
            .with_state_filters(filter.states.iter().map(|state| text(state.name())).collect())
            .with_producer_id_filters(filter.producer_ids.iter().map(|id| (*id).into()).collect())
            .with_duration_filter(filter.longer_than_ms.unwrap_or(-1))
            .with_transactional_id_pattern(
                filter.id_pattern.as_deref().filter(|pattern| !pattern.is_empty()).map(text),
            );
        let loading = |response: &ListTransactionsResponse| check(response.error_code, None);
        let asked = self.brokers().await?.into_iter().map(|broker| {
            let request = &request;
            async move {
                let answer = self.ask(To::Broker(broker), request, loading).await;
                let listing = |state: ListedTransaction| TransactionListing {
                    transactional_id: state.transactional_id.0.to_string(),
                    producer_id: state.producer_id.0,
                    state: TransactionState::parse(&state.transaction_state),
                };
                (broker, answer.map(|(response, _)| response.transaction_states.into_iter().map(listing).collect()))
            }
        });
        Ok(join_all(asked).await.into_iter().collect())
    }

    /// Describes the last transaction of each transactional id, those of one coordinator in one request.
    ///
    /// # Errors
    /// When no broker answers. What a coordinator says of an id stands beside it.
    pub async fn describe_transactions(
        &self,
        ids: &[String],
    ) -> Result<BTreeMap<String, Result<TransactionDescription, ClientError>>, ClientError> {
        let request = |ids: &[String]| {
            DescribeTransactionsRequest::default()
                .with_transactional_ids(ids.iter().map(|id| transactional(id)).collect())
        };
        let read = |response: DescribeTransactionsResponse, coordinator: &Node, from: &Speaker| {
            let states = response.transaction_states.into_iter().map(|state| {
                let id = state.transactional_id.0.to_string();
                let told = from.says(Coordinated::Transaction.named(&id), state.error_code, None);
                (id, told.map(|()| description(&state, coordinator)).into())
            });
            states.collect()
        };
        let round = |ids| self.at_coordinators(Coordinated::Transaction, ids, i16::MAX, request, read);
        self.settle("describing the transaction of", ids.iter().cloned(), round).await
    }

    /// The producers that each partition remembers, as `broker` knows them or, for None, the leader; each is asked once
    /// for all of its partitions.
    ///
    /// # Errors
    /// When no broker answers. What goes wrong with a partition stands beside it.
    pub async fn describe_producers(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        broker: Option<i32>,
    ) -> Result<BTreeMap<TopicPartition, Result<Vec<ProducerState>, ClientError>>, ClientError> {
        let round = |places: Vec<TopicPartition>| async move {
            match broker {
                None => self.at_leaders(places, producers_at).await,
                Some(id) => {
                    self.metadata(Some(&[])).await?;
                    producers_at(self.cluster.known_broker(id).await?, places).await
                }
            }
        };
        self.settle("describing the producers of", partitions.iter().cloned(), round).await
    }

    /// Ends a transaction that hangs, by writing an abort marker to the partition (KIP-664).
    ///
    /// # Errors
    /// The leader's.
    pub async fn abort_transaction(&self, hanging: &AbortTransaction) -> Result<(), ClientError> {
        let at = &hanging.partition;
        let topic = WritableTxnMarkerTopic::default()
            .with_name(topic_name(&at.topic))
            .with_partition_indexes(vec![at.partition]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(hanging.producer_id.into())
            .with_producer_epoch(hanging.producer_epoch)
            .with_coordinator_epoch(hanging.coordinator_epoch)
            .with_transaction_result(false)
            .with_topics(vec![topic]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let answer = self.ask(To::Leader(at), &request, |response| {
            let topics = response.markers.iter().flat_map(|marker| &marker.topics);
            let mut partitions = topics.flat_map(|topic| &topic.partitions);
            partitions.try_for_each(|own| match own.error_code {
                0 => Ok(()),
                code => Err(of_partition(&at.topic, at.partition, code, None)),
            })
        });
        let (response, from) = answer.await?;
        let mut topics =
            response.markers.iter().flat_map(|marker| &marker.topics).filter(|topic| *topic.name.0 == *at.topic);
        let is_told = topics.any(|topic| topic.partitions.iter().any(|own| own.partition_index == at.partition));
        if is_told { Ok(()) } else { Err(from.unspoken(&at.to_string())) }
    }

    /// Shuts out the producers that use these transactional ids now, and aborts what they have open; the answer is the
    /// identity that the next one would get (KIP-664 `fenceProducers`, KIP-939 `forceTerminateTransaction`).
    ///
    /// # Errors
    /// When a coordinator cannot be reached. What it says of an id stands beside it.
    pub async fn fence_producers(
        &self,
        ids: &[String],
    ) -> Result<BTreeMap<String, Result<(i64, i16), ClientError>>, ClientError> {
        let asked = ids.iter().map(|id| async move {
            // Java: FenceProducersHandler takes the request's own timeout for the transaction's, which is replaced by
            // the next producer's.
            let request = InitProducerIdRequest::default()
                .with_transactional_id(Some(transactional(id)))
                .with_transaction_timeout_ms(super::TIMEOUT_MS)
                .with_producer_id((-1).into())
                .with_producer_epoch(-1);
            let judge = |response: &InitProducerIdResponse| {
                check_of(Coordinated::Transaction.named(id), response.error_code, None)
            };
            let answer = self.ask(To::Transaction(id), &request, judge).await;
            Ok((id.clone(), outcome(answer.map(|(reply, _)| (reply.producer_id.0, reply.producer_epoch)))?))
        });
        join_all(asked).await.into_iter().collect()
    }
}

fn description(state: &DescribedTransaction, coordinator: &Node) -> TransactionDescription {
    let topics = state.topics.iter();
    let partitions =
        topics.flat_map(|topic| topic.partitions.iter().map(|index| TopicPartition::new(&topic.topic.0, *index)));
    TransactionDescription {
        coordinator: coordinator.id,
        state: TransactionState::parse(&state.transaction_state),
        producer_id: state.producer_id.0,
        producer_epoch: state.producer_epoch,
        timeout_ms: i64::from(state.transaction_timeout_ms),
        started_ms: Some(state.transaction_start_time_ms).filter(|ms| *ms >= 0),
        partitions: partitions.collect(),
    }
}

async fn producers_at(
    connection: Connection,
    places: Vec<TopicPartition>,
) -> Result<Answers<TopicPartition, Vec<ProducerState>>, ClientError> {
    let topics = by_topic(places.iter().map(|at| (at, at.partition))).into_iter();
    let topics = topics.map(|(name, p)| TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(p));
    let request = DescribeProducersRequest::default().with_topics(topics.collect());
    let (response, from) = (connection.call(&request).await?, Speaker::of(&connection));
    let mut answers = Answers::new();
    for topic in response.topics {
        for own in topic.partitions {
            let at = TopicPartition::new(&topic.name.0, own.partition_index);
            let states = own.active_producers.iter().map(|state| ProducerState {
                producer_id: state.producer_id.0,
                producer_epoch: state.producer_epoch,
                last_sequence: state.last_sequence,
                last_timestamp: state.last_timestamp,
                coordinator_epoch: Some(state.coordinator_epoch).filter(|epoch| *epoch >= 0),
                current_transaction_start_offset: Some(state.current_txn_start_offset).filter(|offset| *offset >= 0),
            });
            let answer = from.says_of(&at, own.error_code, own.error_message.as_deref()).map(|()| states.collect());
            answers.push((at, answer.into()));
        }
    }
    Ok(answers)
}

/// What a broker said of one resource stays beside it; what keeps every other from being asked ends the call.
pub(super) fn outcome<T>(result: Result<T, ClientError>) -> Result<Result<T, ClientError>, ClientError> {
    match result {
        Err(error @ (ClientError::Connect { .. } | ClientError::Lost { .. } | ClientError::Timeout { .. })) => {
            Err(error)
        }
        other => Ok(other),
    }
}

/// Whether a code is one of a transaction that is not there.
pub fn is_unknown_transaction(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::TransactionalIdNotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_name_that_leads_back() {
        for (state, name) in TransactionState::NAMES {
            assert_eq!((TransactionState::parse(name), state.name()), (state, name));
        }
        assert_eq!(TransactionState::parse("PrepareSomething"), TransactionState::Unknown);
    }
}
