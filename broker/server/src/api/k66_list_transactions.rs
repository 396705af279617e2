//! ListTransactions (key 66), v0-v2. The transactional ids that this broker coordinates.
//! Versions: v1 filter by duration (KIP-994); v2 filter by a pattern of the id (KIP-1152).
//! Authorizes: Describe on TransactionalId; others are left out.   Waits: no.

use millstream_broker_coordinator::txn::view::{TxnFilter, TxnListing};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::list_transactions_response::TransactionState;
use millstream_protocol::messages::{
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, StrBytes, TransactionalId,
};
use regex::Regex;

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::coord::txn::states_of;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 2);

/// Handles the request.
pub fn handle(context: &Context, request: ListTransactionsRequest) -> Outcome<ListTransactionsResponse> {
    let names: Vec<String> = request.state_filters.iter().map(ToString::to_string).collect();
    let (states, unknown) = states_of(&names);
    let filter = TxnFilter {
        producer_ids: request.producer_id_filters.iter().map(|id| id.0).collect(),
        states: (!names.is_empty()).then_some(states),
        duration_ms: request.duration_filter,
    };
    let refused = |error: ErrorCode| ListTransactionsResponse::default().with_error_code(error.code());
    let listings = match context.node.coordinators.txns.list(&filter) {
        Ok(listings) => listings,
        Err(error) => return refused(error).into(),
    };
    let pattern = match request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
        None => None,
        // By itself first: inside the anchors an unbalanced pattern could balance.
        Some(pattern) => match Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$"))) {
            Ok(pattern) => Some(pattern),
            Err(_) => return refused(ErrorCode::InvalidRegularExpression).into(),
        },
    };
    let shown = listings
        .into_iter()
        .filter(|listing| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&listing.transactional_id)));
    ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown.into_iter().map(StrBytes::from_string).collect())
        .with_transaction_states(shown.map(|listing| line(&listing)).collect())
        .into()
}

fn line(listing: &TxnListing) -> TransactionState {
    TransactionState::default()
        .with_transactional_id(TransactionalId(StrBytes::from_string(listing.transactional_id.to_string())))
        .with_producer_id(ProducerId(listing.producer_id))
        .with_transaction_state(StrBytes::from_static_str(listing.state.name()))
}
