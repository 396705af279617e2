//! SaslHandshake (key 17), v0-v1. Which SASL mechanisms are on.
//! Versions: v1 tokens travel in SaslAuthenticate (KIP-152).
//! Authorizes: nothing.   Waits: no.
//! Not done: SASL; every listener is plaintext, where Apache Kafka answers ILLEGAL_SASL_STATE too.

use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 1);

/// A handshake on a listener without SASL (KafkaApis.handleSaslHandshakeRequest).
pub fn handle(_: &Context, _: SaslHandshakeRequest) -> Outcome<SaslHandshakeResponse> {
    SaslHandshakeResponse::default().with_error_code(ErrorCode::IllegalSaslState as i16).into()
}
