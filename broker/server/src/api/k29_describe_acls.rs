//! DescribeAcls (key 29), v1-v3. Lists access rules.
//! Versions: v1 prefixed patterns (KIP-290); v2 flexible; v3 user patterns.
//! Authorizes: Describe on Cluster.   Waits: no.
//! Not done: an authorizer; as in Apache Kafka without one, SECURITY_DISABLED.

use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{DescribeAclsRequest, DescribeAclsResponse, StrBytes};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(1, 3);

/// What a request that changes access rules is told (Java: `AclApis`).
pub const NO_AUTHORIZER: &str = "No Authorizer is configured.";

/// What a request that lists them is told.
const NO_AUTHORIZER_TO_ASK: &str = "No Authorizer is configured on the broker";
/// Why a request closes its connection; Java refuses it while reading.
pub const UNKNOWN_ELEMENTS: &str = "a request about access rules holds the number of UNKNOWN";
/// The number that resource types, pattern types, operations and permissions use for what they do not know.
pub const UNKNOWN: i8 = 0;

/// Refuses.
pub fn handle(_: &Context, request: DescribeAclsRequest) -> Outcome<DescribeAclsResponse> {
    let numbers =
        [request.resource_type_filter, request.pattern_type_filter, request.operation, request.permission_type];
    if numbers.contains(&UNKNOWN) {
        return Outcome::Malformed(UNKNOWN_ELEMENTS);
    }
    DescribeAclsResponse::default()
        .with_error_code(ErrorCode::SecurityDisabled as i16)
        .with_error_message(Some(StrBytes::from_static_str(NO_AUTHORIZER_TO_ASK)))
        .into()
}
