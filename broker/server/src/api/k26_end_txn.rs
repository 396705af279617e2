//! EndTxn (key 26), v0-v5. Commits or aborts a transaction.
//! Versions: v2 PRODUCER_FENCED; v3 flexible; v4 TRANSACTION_ABORTABLE; v5 bumps the epoch and answers the identity to go
//! on with (KIP-890).
//! Authorizes: Write on TransactionalId.   Waits: until the log holds the decision; the markers follow.

use millstream_broker_coordinator::txn::shard::EndTxn;
use millstream_broker_coordinator::txn::state::TransactionVersion;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::coord::txn::result_of;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 5);

/// First version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 2;
/// First version that is of transaction version 2 (TransactionVersion.transactionVersionForEndTxn).
const BUMPS_EPOCH: i16 = 5;

/// Handles the request.
pub fn handle(context: &Context, request: EndTxnRequest) -> Outcome<EndTxnResponse> {
    let version = context.version();
    let client_version = if version >= BUMPS_EPOCH { TransactionVersion::Tv2 } else { TransactionVersion::Tv0 };
    let end = EndTxn {
        transactional_id: request.transactional_id.as_str().into(),
        producer_id: request.producer_id.0,
        producer_epoch: request.producer_epoch,
        result: result_of(request.committed),
        client_version,
    };
    let respond = move |identity| {
        let (error, (producer_id, producer_epoch)) = match identity {
            Ok(identity) => (ErrorCode::None, identity),
            Err(ErrorCode::ProducerFenced) if version < KNOWS_FENCED => (ErrorCode::InvalidProducerEpoch, (-1, -1)),
            Err(error) => (error, (-1, -1)),
        };
        let response = EndTxnResponse::default().with_error_code(error.code());
        match version >= BUMPS_EPOCH {
            true => response.with_producer_id(ProducerId(producer_id)).with_producer_epoch(producer_epoch),
            false => response,
        }
    };
    context.node.coordinators.txns.end(end).map(respond).into()
}
