//! ApiVersions (key 18), v0-v4. Tells which APIs are served in which versions, and which features are on.
//! Versions: v3 flexible, client software (KIP-511), features (KIP-584); v4 features whose minimum is 0 (KAFKA-17011).
//! Authorizes: nothing; it is answered before authentication.   Waits: no.

use millstream_broker_controller::decide::features::SUPPORTED;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use millstream_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, StrBytes};
use millstream_protocol::response;

use crate::api::context::Context;
use crate::api::dispatch::{Versions, served_to};
use crate::api::reply::{Outcome, Output, Reply};

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 4);

/// Answers with all that is served.
pub fn handle(context: &Context, request: ApiVersionsRequest) -> Outcome<ApiVersionsResponse> {
    if context.version() >= 3 && !is_client_software(&request) {
        return ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest as i16).into();
    }
    let mut response = ApiVersionsResponse::default()
        .with_api_keys(served_to(context.connection.role).map(|row| advertised(*row)).collect());
    if context.version() >= 3 {
        let image = context.node.controller.image();
        response.supported_features = SUPPORTED
            .iter()
            // Clients of v3 take a minimum of 0 for an error (KAFKA-17011).
            .filter(|feature| context.version() >= 4 || feature.min > 0)
            .map(|feature| {
                SupportedFeatureKey::default()
                    .with_name(StrBytes::from_static_str(feature.name))
                    .with_min_version(feature.min)
                    .with_max_version(feature.max)
            })
            .collect();
        response.finalized_features_epoch = image.offset();
        response.finalized_features = image
            .features()
            .iter()
            .map(|(name, level)| {
                FinalizedFeatureKey::default()
                    .with_name(StrBytes::from_string(name.clone()))
                    .with_max_version_level(*level)
                    .with_min_version_level(*level)
            })
            .collect();
    }
    response.into()
}

/// Answers a version above ours: v0 with our range of this one API, so that the client can ask again (KIP-511).
pub fn refuse_version(context: &Context, out: &mut Output) -> Reply {
    let response = ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion as i16)
        .with_api_keys(vec![advertised((ApiKey::ApiVersions, SERVES))]);
    let header = &context.header;
    match response::encode_into(out.buffer(), ApiKey::ApiVersions, 0, header.correlation_id, &response) {
        Ok(()) => Reply::Done,
        Err(_) => Reply::Close("an answer could not be encoded"),
    }
}

/// Produce is advertised from 0 although 0 to 2 are refused: librdkafka turns compression off otherwise
/// (KAFKA-18659).
fn advertised((key, versions): (ApiKey, Versions)) -> ApiVersion {
    let min = if key == ApiKey::Produce { 0 } else { versions.min };
    ApiVersion::default().with_api_key(key as i16).with_min_version(min).with_max_version(versions.max)
}

/// Java: `ApiVersionsRequest.isValid`, the pattern `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_client_software(request: &ApiVersionsRequest) -> bool {
    let legal = |text: &str| {
        let bytes = text.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    legal(&request.client_software_name) && legal(&request.client_software_version)
}
