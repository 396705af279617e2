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

/// What every request about access rules is told (Java: `AclApis`).
pub const NO_AUTHORIZER: &str = "No Authorizer is configured.";

/// Refuses.
pub fn handle(_: &Context, _: DescribeAclsRequest) -> Outcome<DescribeAclsResponse> {
    DescribeAclsResponse::default()
        .with_error_code(ErrorCode::SecurityDisabled as i16)
        .with_error_message(Some(StrBytes::from_static_str(NO_AUTHORIZER)))
        .into()
}
