//! SyncGroup (key 14), v0-v5. The leader brings the assignment, everybody takes its part.
//! Versions: v3 static members (KIP-345); v4 flexible; v5 protocol type and name are required (KIP-559).
//! Authorizes: Read on Group.   Waits: until the leader's assignment is stored.

use millstream_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 5);

/// Handles the request.
pub fn handle(context: &Context, request: SyncGroupRequest) -> Outcome<SyncGroupResponse> {
    context.node.coordinators.groups.sync(request, context.version()).into()
}
