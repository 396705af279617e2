//! ListGroups (key 16), v0-v5. The groups whose coordinator this node is.
//! Versions: v3 flexible; v4 filter by state (KIP-518); v5 filter by type (KIP-848).
//! Authorizes: Describe on Cluster, or Describe on each Group.   Waits: no.

use millstream_broker_coordinator::group::ask::ListFilter;
use millstream_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 5);

/// Handles the request.
pub fn handle(context: &Context, request: ListGroupsRequest) -> Outcome<ListGroupsResponse> {
    let filter = ListFilter {
        states: request.states_filter.iter().map(|state| state.to_string()).collect(),
        types: request.types_filter.iter().map(|kind| kind.to_string()).collect(),
    };
    context.node.coordinators.groups.list(&filter).into()
}
