//! Heartbeat (key 12), v0-v4. A member of a classic group is alive, and learns of a rebalance.
//! Versions: v3 static members (KIP-345); v4 flexible.
//! Authorizes: Read on Group.   Waits: no.

use millstream_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 4);

/// Handles the request.
pub fn handle(context: &Context, request: HeartbeatRequest) -> Outcome<HeartbeatResponse> {
    context.node.coordinators.groups.heartbeat(request).into()
}
