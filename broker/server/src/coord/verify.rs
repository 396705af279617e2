//! Whether a transactional append may enter a partition (KIP-890): the partition's leader asks the transaction's
//! coordinator to add the partition (Produce v12 and above) or to confirm that it was added (below).
//!
//! Called by api/k00_produce.rs for transactional batches; never for others. What the coordinator is asked and what
//! its codes become is in [`crate::coord::txn::verify`].

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_broker_coordinator::txn::transaction::TopicPartition;
use millstream_broker_log::{TransactionSupport, VerificationGuard};
use millstream_protocol::error_code::ErrorCode;

use crate::api::error_map;
use crate::coord::txn::verify::{Operation, Question, produce_error};
use crate::node::Node;
use crate::replica::partition::Partition;

/// A transactional batch that wants to enter a partition.
#[derive(Clone)]
pub struct Claim {
    /// Where to.
    pub partition: Arc<Partition>,
    /// Its producer.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// Sequence of its first record.
    pub base_sequence: i32,
}

/// Why a claim was refused, as the produce answer says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The code, already translated for the client's version.
    pub code: ErrorCode,
    /// The text, where Apache Kafka sends one.
    pub message: Option<String>,
}

/// Verifies every claim of one Produce request of this version; answers in their order.
pub async fn verify(
    node: &Arc<Node>,
    transactional_id: &str,
    claims: &[Claim],
    version: i16,
) -> Vec<Result<VerificationGuard, Denied>> {
    let operation = Operation::of_produce(version);
    let Some(first) = claims.first() else { return Vec::new() };
    let producer = (first.producer_id, first.producer_epoch);
    if claims.iter().any(|claim| (claim.producer_id, claim.producer_epoch) != producer) {
        // ReplicaManager.handleProduceAppend refuses the whole request.
        let message = "Transactional records contained more than one producer ID";
        return refuse_all(claims, ErrorCode::InvalidProducerIdMapping, message);
    }
    if !node.coordinators.txns.verifies(operation) {
        return claims.iter().map(|_| Ok(VerificationGuard::DISABLED)).collect();
    }
    let mut verdicts: Vec<_> = claims.iter().map(|claim| begin(claim, operation)).collect();
    let asked = |(claim, verdict): (&Claim, &Result<VerificationGuard, Denied>)| {
        let guarded = verdict.as_ref().is_ok_and(|guard| *guard != VerificationGuard::NONE);
        guarded.then(|| place(&claim.partition))
    };
    let partitions: BTreeSet<TopicPartition> = claims.iter().zip(&verdicts).filter_map(asked).collect();
    let question = Question {
        transactional_id: transactional_id.to_owned(),
        producer_id: producer.0,
        producer_epoch: producer.1,
        partitions,
        operation,
    };
    let refused = node.coordinators.txns.add_or_verify(question).wait().await;
    for (partition, error) in refused {
        for (claim, verdict) in claims.iter().zip(&mut verdicts) {
            if verdict.is_ok() && place(&claim.partition) == partition {
                let (code, message) = produce_error(error, operation);
                *verdict = Err(Denied { code, message });
            }
        }
    }
    verdicts
}

fn begin(claim: &Claim, operation: Operation) -> Result<VerificationGuard, Denied> {
    let support = match operation {
        Operation::Add => TransactionSupport::V2,
        Operation::Verify | Operation::VerifyForOldClient => TransactionSupport::V1,
    };
    let denied = |code| Denied { code, message: None };
    claim.partition.leader_epoch(-1).map_err(|error| denied(error_map::replica(&error)))?;
    claim
        .partition
        .log()
        .begin_verification(claim.producer_id, claim.producer_epoch, claim.base_sequence, support)
        .map_err(|error| denied(error_map::append(&error)))
}

fn refuse_all(claims: &[Claim], code: ErrorCode, message: &str) -> Vec<Result<VerificationGuard, Denied>> {
    claims.iter().map(|_| Err(Denied { code, message: Some(message.to_owned()) })).collect()
}

fn place(partition: &Partition) -> TopicPartition {
    TopicPartition { topic: partition.topic().clone(), partition: partition.index() }
}
