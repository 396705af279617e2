//! Whether a transactional append may enter a partition (KIP-890): the partition's leader asks the transaction's
//! coordinator to add the partition (Produce v12 and above) or to confirm that it was added (below).
//!
//! Called by api/k00_produce.rs for transactional batches; never for others.

use std::sync::Arc;

use millstream_broker_log::{TransactionSupport, VerificationGuard};
use millstream_protocol::error_code::ErrorCode;

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

/// Verifies every claim of one request; answers in their order.
pub async fn verify(
    node: &Arc<Node>,
    transactional_id: &str,
    claims: &[Claim],
    support: TransactionSupport,
) -> Vec<Result<VerificationGuard, Denied>> {
    let _ = (node, transactional_id, support);
    claims.iter().map(|_| Err(Denied { code: ErrorCode::NotEnoughReplicas, message: None })).collect()
}
