//! AddPartitionsToTxn (key 24), v0-v5. Partitions join a transaction, or are verified to be in it.
//! Versions: v0-v3 one transaction, of a client; v2 PRODUCER_FENCED; v3 flexible; v4-v5 many transactions, of brokers,
//! with verify only (KIP-890).
//! Authorizes: Write on TransactionalId and on Topic (v0-v3), ClusterAction on Cluster (v4 and above).
//! Waits: until the log holds the partitions.

use std::collections::{BTreeMap, BTreeSet};

use millstream_broker_coordinator::txn::shard::AddPartitions;
use millstream_broker_coordinator::txn::state::TransactionVersion;
use millstream_broker_coordinator::txn::transaction::TopicPartition;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use millstream_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use millstream_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, TopicName};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::coord::answer::Answer;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 5);

/// First version with many transactions, sent by brokers.
const BATCHED: i16 = 4;
/// First version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 2;

/// Handles the request.
pub fn handle(context: &Context, request: AddPartitionsToTxnRequest) -> Outcome<AddPartitionsToTxnResponse> {
    if context.version() >= BATCHED {
        let answers = request.transactions.into_iter().map(|transaction| one(context, transaction)).collect();
        let respond = |results| AddPartitionsToTxnResponse::default().with_results_by_transaction(results);
        return Answer::all(answers).map(respond).into();
    }
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(request.v3_and_below_transactional_id)
        .with_producer_id(request.v3_and_below_producer_id)
        .with_producer_epoch(request.v3_and_below_producer_epoch)
        .with_topics(request.v3_and_below_topics);
    let respond = |result: AddPartitionsToTxnResult| {
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(result.topic_results)
    };
    one(context, transaction).map(respond).into()
}

fn one(context: &Context, mut transaction: AddPartitionsToTxnTransaction) -> Answer<AddPartitionsToTxnResult> {
    let image = context.node.controller.image();
    let missing = |topic: &AddPartitionsToTxnTopic, partition| image.partition(&topic.name, partition).is_none();
    let is_missing =
        transaction.topics.iter().any(|topic| topic.partitions.iter().any(|partition| missing(topic, *partition)));
    if is_missing || transaction.verify_only {
        transaction.topics = each_once(transaction.topics);
    }
    // One partition that does not exist fails the transaction's request as a whole.
    if is_missing {
        return Answer::Now(result(&transaction, |topic, partition| match missing(topic, partition) {
            true => ErrorCode::UnknownTopicOrPartition,
            false => ErrorCode::OperationNotAttempted,
        }));
    }
    if transaction.verify_only {
        return Answer::Now(verify(context, &transaction));
    }
    let version = context.version();
    let client_version = if version >= BATCHED { TransactionVersion::Tv2 } else { TransactionVersion::Tv0 };
    let request = AddPartitions {
        transactional_id: transaction.transactional_id.as_str().into(),
        producer_id: transaction.producer_id.0,
        producer_epoch: transaction.producer_epoch,
        partitions: partitions(&transaction).collect(),
        client_version,
    };
    context.node.coordinators.txns.add_partitions(request).map(move |error| {
        let error = match error {
            ErrorCode::ProducerFenced if version < KNOWS_FENCED => ErrorCode::InvalidProducerEpoch,
            error => error,
        };
        result(&transaction, |_, _| error)
    })
}

/// A partition named twice counts once (Java answers these from maps by partition, and what it adds from the request).
fn each_once(topics: Vec<AddPartitionsToTxnTopic>) -> Vec<AddPartitionsToTxnTopic> {
    let mut named: BTreeMap<TopicName, BTreeSet<i32>> = BTreeMap::new();
    for topic in topics {
        named.entry(topic.name).or_default().extend(topic.partitions);
    }
    let topic = |(name, partitions): (TopicName, BTreeSet<i32>)| {
        AddPartitionsToTxnTopic::default().with_name(name).with_partitions(partitions.into_iter().collect())
    };
    named.into_iter().map(topic).collect()
}

fn verify(context: &Context, transaction: &AddPartitionsToTxnTransaction) -> AddPartitionsToTxnResult {
    let (id, epoch) = (transaction.producer_id.0, transaction.producer_epoch);
    let asked: BTreeSet<TopicPartition> = partitions(transaction).collect();
    let asked: Vec<TopicPartition> = asked.into_iter().collect();
    let verified = context.node.coordinators.txns.verify_partitions(&transaction.transactional_id, id, epoch, &asked);
    match verified {
        Err(error) => result(transaction, |_, _| error),
        Ok(errors) => result(transaction, |topic, partition| {
            let wanted = (&*topic.name.0, partition);
            let at = asked.iter().position(|asked| (&*asked.topic, asked.partition) == (wanted.0, wanted.1));
            at.map_or(ErrorCode::UnknownServerError, |at| errors[at])
        }),
    }
}

fn partitions(transaction: &AddPartitionsToTxnTransaction) -> impl Iterator<Item = TopicPartition> + '_ {
    transaction
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| TopicPartition::new(&topic.name, *partition)))
}

fn result(
    transaction: &AddPartitionsToTxnTransaction,
    error: impl Fn(&AddPartitionsToTxnTopic, i32) -> ErrorCode,
) -> AddPartitionsToTxnResult {
    let topics = transaction.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(error(topic, *partition).code())
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResult::default()
        .with_transactional_id(transaction.transactional_id.clone())
        .with_topic_results(topics.collect())
}
