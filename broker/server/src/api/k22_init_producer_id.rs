//! InitProducerId (key 22), v0-v5. Gives out a producer id and epoch; with a transactional id it fences the instance
//! before and aborts what that left open.
//! Versions: v2 flexible; v3 keeps the producer's id and epoch (KIP-360); v4 PRODUCER_FENCED; v5 TRANSACTION_ABORTABLE
//! (KIP-890).
//! Authorizes: Write on TransactionalId, or IdempotentWrite on Cluster.   Waits: until the log holds the new epoch,
//! and for producer ids of the controller.

use millstream_broker_coordinator::txn::shard::InitProducerId;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::coord::txn::Identity;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 5);

/// First version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 4;

/// Handles the request.
pub fn handle(context: &Context, request: InitProducerIdRequest) -> Outcome<InitProducerIdResponse> {
    let version = context.version();
    let expected = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return response(Err(ErrorCode::InvalidRequest), version).into(),
        (producer_id, producer_epoch) => Some((producer_id, producer_epoch)),
    };
    let txns = &context.node.coordinators.txns;
    let answer = match request.transactional_id {
        None => txns.new_producer_id(),
        Some(id) => txns.init_producer_id(InitProducerId {
            transactional_id: id.as_str().into(),
            timeout_ms: request.transaction_timeout_ms,
            expected,
        }),
    };
    answer.map(move |identity| response(identity, version)).into()
}

fn response(identity: Identity, version: i16) -> InitProducerIdResponse {
    let (error, (producer_id, producer_epoch)) = match identity {
        Ok(identity) => (ErrorCode::None, identity),
        Err(ErrorCode::ProducerFenced) if version < KNOWS_FENCED => (ErrorCode::InvalidProducerEpoch, (-1, -1)),
        Err(error) => (error, (-1, -1)),
    };
    InitProducerIdResponse::default()
        .with_error_code(error.code())
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(producer_epoch)
}
