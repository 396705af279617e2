//! LeaveGroup (key 13), v0-v5. Members leave, or an administrator removes them.
//! Versions: v3 many members, by instance id too (KIP-345); v4 flexible; v5 reason (KIP-800).
//! Authorizes: Read on Group.   Waits: until an emptied group is stored.

use millstream_protocol::messages::leave_group_request::MemberIdentity;
use millstream_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 5);

/// First version with a list of members.
const MANY: i16 = 3;

/// Handles the request.
pub fn handle(context: &Context, mut request: LeaveGroupRequest) -> Outcome<LeaveGroupResponse> {
    let version = context.version();
    if version < MANY {
        let member = MemberIdentity::default().with_member_id(std::mem::take(&mut request.member_id));
        request.members = vec![member];
    }
    let answer = context.node.coordinators.groups.leave(request);
    answer.map(move |response| for_version(response, version)).into()
}

/// Before v3 the one member's error is the answer's.
fn for_version(mut response: LeaveGroupResponse, version: i16) -> LeaveGroupResponse {
    if version < MANY {
        let members = std::mem::take(&mut response.members);
        if response.error_code == 0 {
            response.error_code = members.first().map_or(0, |member| member.error_code);
        }
    }
    response
}
