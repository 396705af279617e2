//! JoinGroup (key 11), v0-v9. Enters a classic group, or comes back to one that rebalances.
//! Versions: v1 rebalance timeout; v4 member id required (KIP-394); v5 static members (KIP-345); v6 flexible; v7
//! protocol type (KIP-559); v8 reason (KIP-800); v9 skip assignment (KIP-814).
//! Authorizes: Read on Group.   Waits: until the join phase ends.

use millstream_broker_coordinator::group::ask::JoinAsk;
use millstream_protocol::messages::{JoinGroupRequest, JoinGroupResponse, StrBytes};
use uuid::Uuid;

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 9);

/// First version whose protocol name may be null.
const NULL_PROTOCOL: i16 = 7;

/// Handles the request.
pub fn handle(context: &Context, request: JoinGroupRequest) -> Outcome<JoinGroupResponse> {
    let version = context.version();
    let ask = JoinAsk {
        request,
        version,
        client_id: context.client_id().to_owned(),
        client_host: context.client_host(),
        member_uuid: Uuid::new_v4(),
    };
    let answer = context.node.coordinators.groups.join(ask);
    answer.map(move |response| for_version(response, version)).into()
}

fn for_version(mut response: JoinGroupResponse, version: i16) -> JoinGroupResponse {
    if version < NULL_PROTOCOL && response.protocol_name.is_none() {
        response.protocol_name = Some(StrBytes::new());
    }
    // The other way round from v7 on: no protocol is null (Java: `JoinGroupResponse`).
    if version >= NULL_PROTOCOL && response.protocol_name.as_ref().is_some_and(|name| name.is_empty()) {
        response.protocol_name = None;
    }
    response
}
