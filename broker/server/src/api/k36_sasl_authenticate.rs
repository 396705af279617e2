//! SaslAuthenticate (key 36), v0-v2. One step of a SASL exchange.
//! Versions: v1 session lifetime (KIP-368); v2 flexible.
//! Authorizes: nothing.   Waits: no.
//! Not done: SASL; every listener is plaintext, where Apache Kafka answers ILLEGAL_SASL_STATE too.

use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse, StrBytes};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 2);

/// A step without a handshake before it (KafkaApis.handleSaslAuthenticateRequest).
pub fn handle(_: &Context, _: SaslAuthenticateRequest) -> Outcome<SaslAuthenticateResponse> {
    SaslAuthenticateResponse::default()
        .with_error_code(ErrorCode::IllegalSaslState as i16)
        .with_error_message(Some(StrBytes::from_static_str(
            "SaslAuthenticate request received after successful authentication",
        )))
        .into()
}
