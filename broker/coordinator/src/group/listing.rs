//! DescribeGroups, ListGroups and DeleteGroups.

use hashbrown::HashMap;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::delete_groups_response::DeletableGroupResult;
use millstream_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use millstream_protocol::messages::list_groups_response::ListedGroup;
use millstream_protocol::messages::{DeleteGroupsResponse, GroupId, StrBytes};

use super::ask::ListFilter;
use super::classic::{Group, Name, State};
use super::offsets::{Change, Offsets};
use super::step::{ChangeReply, Step, text};
use crate::batch::BatchBuilder;
use crate::record_group::{push_group_tombstone, push_offset_tombstone};
use crate::step::Token;

/// Versions from which a group that is not there is an error (KIP-1043).
const TELLS_NOT_FOUND: i16 = 6;

/// DescribeGroups of one group.
pub(super) fn describe(groups: &HashMap<Name, Group>, id: &GroupId, version: i16) -> DescribedGroup {
    let described = DescribedGroup::default().with_group_id(id.clone());
    let Some(group) = groups.get(id.as_str()) else {
        let described = described.with_group_state(StrBytes::from_static_str(State::Dead.name()));
        return match version {
            TELLS_NOT_FOUND.. => described
                .with_error_code(ErrorCode::GroupIdNotFound.code())
                .with_error_message(Some(StrBytes::from_string(format!("Group {} not found.", id.as_str())))),
            _ => described,
        };
    };
    // Subscriptions and the protocol are only told while they are settled.
    let protocol = group.protocol.as_deref().filter(|_| group.state() == State::Stable);
    let members = group
        .members
        .values()
        .map(|member| {
            DescribedGroupMember::default()
                .with_member_id(text(&member.id))
                .with_group_instance_id(member.instance_id.as_deref().map(text))
                .with_client_id(text(&member.client_id))
                .with_client_host(text(&member.client_host))
                .with_member_metadata(protocol.map(|name| member.metadata(name).clone()).unwrap_or_default())
                .with_member_assignment(member.assignment.clone())
        })
        .collect();
    described
        .with_group_state(StrBytes::from_static_str(group.state().name()))
        .with_protocol_type(group.protocol_type.as_deref().map(text).unwrap_or_default())
        .with_protocol_data(protocol.map(text).unwrap_or_default())
        .with_members(members)
}

/// ListGroups. States are compared without case and space, types without case; an unknown type matches nothing.
pub(super) fn list(groups: &HashMap<Name, Group>, filter: &ListFilter) -> Vec<ListedGroup> {
    let states: Vec<String> = filter.states.iter().map(|state| state.to_lowercase().trim().to_owned()).collect();
    let classic = filter.types.is_empty() || filter.types.iter().any(|kind| kind.eq_ignore_ascii_case("classic"));
    if !classic {
        return Vec::new();
    }
    let mut listed: Vec<ListedGroup> = groups
        .values()
        .filter(|group| states.is_empty() || states.contains(&group.state().name().to_lowercase()))
        .map(|group| {
            ListedGroup::default()
                .with_group_id(GroupId(text(&group.id)))
                .with_protocol_type(group.protocol_type.as_deref().map(text).unwrap_or_default())
                .with_group_state(StrBytes::from_static_str(group.state().name()))
                .with_group_type(StrBytes::from_static_str("classic"))
        })
        .collect();
    listed.sort_by(|a, b| a.group_id.as_str().cmp(b.group_id.as_str()));
    listed
}

impl Step<'_> {
    /// DeleteGroups: tombstones of all offsets and of the group, for those that are empty.
    pub(super) fn delete_groups(
        &mut self,
        groups: &mut HashMap<Name, Group>,
        offsets: &Offsets,
        token: Token,
        ids: Vec<GroupId>,
    ) {
        let mut batch = BatchBuilder::new(self.now_ms);
        let mut changes = Vec::new();
        let mut response = DeleteGroupsResponse::default();
        for id in ids {
            let error = match groups.get_mut(id.as_str()) {
                None => ErrorCode::GroupIdNotFound,
                Some(group) if group.state() == State::Dead => ErrorCode::GroupIdNotFound,
                Some(group) if group.state() != State::Empty => ErrorCode::NonEmptyGroup,
                Some(group) => {
                    group.forget_pending_joins();
                    delete_group(&mut batch, &mut changes, offsets, group);
                    ErrorCode::None
                }
            };
            response.results.push(DeletableGroupResult::default().with_group_id(id).with_error_code(error.code()));
        }
        self.append_changes(batch, changes, token, ChangeReply::Delete(response));
    }
}

fn delete_group(batch: &mut BatchBuilder, changes: &mut Vec<Change>, offsets: &Offsets, group: &Group) {
    let generation = group.generation;
    let group = &group.id;
    let mut held: Vec<(&Name, i32)> = Vec::new();
    if let Some(topics) = offsets.of(group) {
        held.extend(topics.iter().flat_map(|(topic, partitions)| partitions.keys().map(move |index| (topic, *index))));
    }
    if let Some(topics) = offsets.open(group) {
        held.extend(topics.iter().flat_map(|(topic, partitions)| partitions.keys().map(move |index| (topic, *index))));
    }
    held.sort();
    held.dedup();
    for (topic, partition) in held {
        push_offset_tombstone(batch, group, topic, partition);
        changes.push(Change::Remove { group: group.clone(), topic: topic.clone(), partition });
    }
    push_group_tombstone(batch, group);
    changes.push(Change::RemoveGroup { group: group.clone(), generation });
}
