//! DeleteGroups (key 42), v0-v2. Deletes empty groups with their offsets.
//! Versions: v2 flexible.
//! Authorizes: Delete on Group.   Waits: until the tombstones are stored.

use millstream_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 2);

/// Handles the request. A group that is named twice is deleted once.
pub fn handle(context: &Context, request: DeleteGroupsRequest) -> Outcome<DeleteGroupsResponse> {
    let mut groups: Vec<GroupId> = Vec::with_capacity(request.groups_names.len());
    let mut seen = hashbrown::HashSet::new();
    for group in request.groups_names {
        if seen.insert(group.clone()) {
            groups.push(group);
        }
    }
    context.node.coordinators.groups.delete(groups).into()
}
