//! AddOffsetsToTxn (key 25), v0-v4. The offsets partition of a group joins a transaction. Clients of version 2 leave it
//! out: TxnOffsetCommit v5 adds the partition.
//! Versions: v2 PRODUCER_FENCED; v3 flexible; v4 TRANSACTION_ABORTABLE (KIP-890).
//! Authorizes: Write on TransactionalId, Read on Group.   Waits: until the log holds the partition.

use std::collections::BTreeSet;

use millstream_broker_coordinator::txn::shard::AddPartitions;
use millstream_broker_coordinator::txn::state::TransactionVersion;
use millstream_broker_coordinator::txn::transaction::TopicPartition;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::coord::internal_topics;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 4);

/// First version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 2;

/// Handles the request.
pub fn handle(context: &Context, request: AddOffsetsToTxnRequest) -> Outcome<AddOffsetsToTxnResponse> {
    let version = context.version();
    let coordinators = &context.node.coordinators;
    let partition = coordinators.groups.partition_for(&request.group_id);
    let add = AddPartitions {
        transactional_id: request.transactional_id.as_str().into(),
        producer_id: request.producer_id.0,
        producer_epoch: request.producer_epoch,
        partitions: BTreeSet::from([TopicPartition::new(internal_topics::OFFSETS, partition)]),
        client_version: TransactionVersion::Tv0,
    };
    let respond = move |error| {
        let error = match error {
            ErrorCode::ProducerFenced if version < KNOWS_FENCED => ErrorCode::InvalidProducerEpoch,
            error => error,
        };
        AddOffsetsToTxnResponse::default().with_error_code(error.code())
    };
    coordinators.txns.add_partitions(add).map(respond).into()
}
