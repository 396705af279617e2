//! TxnOffsetCommit (key 28), v0-v5. Stores how far a group has read, as part of a transaction: it counts once the
//! transaction commits.
//! Versions: v2 leader epoch (KIP-320), COORDINATOR_LOAD_IN_PROGRESS; v3 flexible, member and generation (KIP-447); v4
//! TRANSACTION_ABORTABLE; v5 adds the group's partition to the transaction (KIP-890).
//! Authorizes: Write on TransactionalId, Read on Group, Read on Topic.
//! Waits: until the transaction's coordinator agrees and the offsets are stored.

use std::collections::BTreeSet;

use millstream_broker_coordinator::group::ask::txn_commit_error;
use millstream_broker_coordinator::txn::transaction::TopicPartition;
use millstream_broker_log::{TransactionSupport, VerificationGuard};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use millstream_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::error_map;
use crate::api::reply::Outcome;
use crate::coord::answer::Answer;
use crate::coord::internal_topics;
use crate::coord::txn::verify::{Operation, Question};

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 5);

/// First version whose clients know COORDINATOR_LOAD_IN_PROGRESS (KAFKA-7296).
const KNOWS_LOADING: i16 = 2;
/// Offsets have no sequence.
const NO_SEQUENCE: i32 = -1;

/// Handles the request: partitions that do not exist are answered here, the rest by the coordinators.
pub fn handle(context: &Context, mut request: TxnOffsetCommitRequest) -> Outcome<TxnOffsetCommitResponse> {
    let version = context.version();
    let refused = take_unknown(context, &mut request);
    let answer = if request.topics.is_empty() {
        Answer::Now(TxnOffsetCommitResponse::default())
    } else {
        commit(context, request)
    };
    answer.map(move |response| for_version(merge(refused, response), version)).into()
}

fn commit(context: &Context, request: TxnOffsetCommitRequest) -> Answer<TxnOffsetCommitResponse> {
    // The coordinator answers it, before any transaction is touched.
    if request.group_id.is_empty() {
        return context.node.coordinators.groups.commit_transactional(request, VerificationGuard::NONE);
    }
    let operation = Operation::of_txn_offset_commit(context.version());
    let (guard, partition) = match begin(context, &request, operation) {
        Ok(begun) => begun,
        Err(error) => return Answer::Now(txn_commit_error(request, commit_error(error))),
    };
    let question = Question {
        transactional_id: request.transactional_id.to_string(),
        producer_id: request.producer_id.0,
        producer_epoch: request.producer_epoch,
        partitions: BTreeSet::from_iter(partition),
        operation,
    };
    let node = context.node.clone();
    let proceed = move |error: Option<ErrorCode>| match error {
        None => node.coordinators.groups.commit_transactional(request, guard),
        Some(error) => Answer::Now(txn_commit_error(request, commit_error(error))),
    };
    match context.node.coordinators.txns.add_or_verify(question) {
        Answer::Now(refused) => proceed(refused.first().map(|(_, error)| *error)),
        Answer::Later(refused) => Answer::Later(Box::pin(async move {
            let refused = refused.await;
            proceed(refused.first().map(|(_, error)| *error)).wait().await
        })),
    }
}

/// Opens the verification at the group's partition; no partition when the transaction is open there already, or
/// nothing is verified.
fn begin(
    context: &Context,
    request: &TxnOffsetCommitRequest,
    operation: Operation,
) -> Result<(VerificationGuard, Option<TopicPartition>), ErrorCode> {
    let coordinators = &context.node.coordinators;
    let index = coordinators.groups.partition_for(&request.group_id);
    let partition = context.node.partitions.partition(internal_topics::OFFSETS, index);
    let partition = partition.ok_or(ErrorCode::NotLeaderOrFollower)?;
    partition.leader_epoch(-1).map_err(|error| error_map::replica(&error))?;
    let support = match operation {
        Operation::Add => TransactionSupport::V2,
        Operation::Verify | Operation::VerifyForOldClient => TransactionSupport::V1,
    };
    let (id, epoch) = (request.producer_id.0, request.producer_epoch);
    let begun = partition.log().begin_verification(id, epoch, NO_SEQUENCE, support);
    let guard = begun.map_err(|error| error_map::append(&error))?;
    // The log wants the guard even where nobody is asked.
    let asks = guard != VerificationGuard::NONE && coordinators.txns.verifies(operation);
    Ok((guard, asks.then(|| TopicPartition::new(internal_topics::OFFSETS, index))))
}

/// What a group's client is told of a partition's or transaction's error (GroupCoordinatorService,
/// handleOperationException).
fn commit_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        other => other,
    }
}

/// Takes the partitions that do not exist out of the request, with their answers.
fn take_unknown(context: &Context, request: &mut TxnOffsetCommitRequest) -> Vec<TxnOffsetCommitResponseTopic> {
    let image = context.node.controller.image();
    let mut refused = Vec::new();
    request.topics.retain_mut(|topic| {
        let mut unknown = Vec::new();
        topic.partitions.retain(|partition| {
            let exists = image.partition(&topic.name, partition.partition_index).is_some();
            if !exists {
                unknown.push(
                    TxnOffsetCommitResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(ErrorCode::UnknownTopicOrPartition.code()),
                );
            }
            exists
        });
        if !unknown.is_empty() {
            let known = refused.iter_mut().find(|known: &&mut TxnOffsetCommitResponseTopic| known.name == topic.name);
            match known {
                Some(known) => known.partitions.extend(unknown),
                None => refused.push(
                    TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(unknown),
                ),
            }
        }
        !topic.partitions.is_empty()
    });
    refused
}

fn merge(mut refused: Vec<TxnOffsetCommitResponseTopic>, response: TxnOffsetCommitResponse) -> TxnOffsetCommitResponse {
    // Java merges by name only when it refused something itself.
    if refused.is_empty() {
        return response;
    }
    for topic in response.topics {
        match refused.iter_mut().find(|known| known.name == topic.name) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => refused.push(topic),
        }
    }
    TxnOffsetCommitResponse::default().with_topics(refused)
}

fn for_version(mut response: TxnOffsetCommitResponse, version: i16) -> TxnOffsetCommitResponse {
    if version < KNOWS_LOADING {
        for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            if partition.error_code == ErrorCode::CoordinatorLoadInProgress.code() {
                partition.error_code = ErrorCode::CoordinatorNotAvailable.code();
            }
        }
    }
    response
}
