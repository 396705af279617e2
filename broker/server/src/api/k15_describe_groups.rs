//! DescribeGroups (key 15), v0-v6. State, protocol and members of classic groups.
//! Versions: v3 authorized operations (KIP-430); v4 static members (KIP-345); v5 flexible; v6 GROUP_ID_NOT_FOUND
//! (KIP-1043).
//! Authorizes: Describe on Group.   Waits: no.

use millstream_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 6);

/// Bits of what everybody may do to a group without an authorizer: Read 3, Delete 6, Describe 8, DescribeConfigs 10,
/// AlterConfigs 11 (Java: `AclEntry.supportedOperations`).
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Handles the request.
pub fn handle(context: &Context, request: DescribeGroupsRequest) -> Outcome<DescribeGroupsResponse> {
    let operations = request.include_authorized_operations && context.version() >= 3;
    let answer = context.node.coordinators.groups.describe(request.groups, context.version());
    answer
        .map(move |mut groups| {
            for group in groups.iter_mut().filter(|group| operations && group.error_code == 0) {
                group.authorized_operations = GROUP_OPERATIONS;
            }
            DescribeGroupsResponse::default().with_groups(groups)
        })
        .into()
}
