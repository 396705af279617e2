//! DeleteAcls (key 31), v1-v3. Removes access rules.
//! Versions: v1 prefixed patterns (KIP-290); v2 flexible; v3 user patterns.
//! Authorizes: Alter on Cluster.   Waits: no.
//! Not done: an authorizer; as in Apache Kafka without one, SECURITY_DISABLED.

use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use millstream_protocol::messages::{DeleteAclsRequest, DeleteAclsResponse, StrBytes};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::k29_describe_acls::{NO_AUTHORIZER, UNKNOWN, UNKNOWN_ELEMENTS};
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(1, 3);

/// Refuses each.
pub fn handle(_: &Context, request: DeleteAclsRequest) -> Outcome<DeleteAclsResponse> {
    let is_unknown = request.filters.iter().any(|rule| {
        [rule.resource_type_filter, rule.pattern_type_filter, rule.operation, rule.permission_type].contains(&UNKNOWN)
    });
    if is_unknown {
        return Outcome::Malformed(UNKNOWN_ELEMENTS);
    }
    let refused = DeleteAclsFilterResult::default()
        .with_error_code(ErrorCode::SecurityDisabled as i16)
        .with_error_message(Some(StrBytes::from_static_str(NO_AUTHORIZER)));
    DeleteAclsResponse::default().with_filter_results(vec![refused; request.filters.len()]).into()
}
