//! CreateAcls (key 30), v1-v3. Adds access rules.
//! Versions: v1 prefixed patterns (KIP-290); v2 flexible; v3 user patterns.
//! Authorizes: Alter on Cluster.   Waits: no.
//! Not done: an authorizer; as in Apache Kafka without one, SECURITY_DISABLED.

use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::create_acls_response::AclCreationResult;
use millstream_protocol::messages::{CreateAclsRequest, CreateAclsResponse, StrBytes};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::k29_describe_acls::{NO_AUTHORIZER, UNKNOWN, UNKNOWN_ELEMENTS};
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(1, 3);

/// Refuses each.
pub fn handle(_: &Context, request: CreateAclsRequest) -> Outcome<CreateAclsResponse> {
    let is_unknown = request.creations.iter().any(|rule| {
        [rule.resource_type, rule.resource_pattern_type, rule.operation, rule.permission_type].contains(&UNKNOWN)
    });
    if is_unknown {
        return Outcome::Malformed(UNKNOWN_ELEMENTS);
    }
    let refused = AclCreationResult::default()
        .with_error_code(ErrorCode::SecurityDisabled as i16)
        .with_error_message(Some(StrBytes::from_static_str(NO_AUTHORIZER)));
    CreateAclsResponse::default().with_results(vec![refused; request.creations.len()]).into()
}
