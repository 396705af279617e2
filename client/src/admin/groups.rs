//! Consumer groups: list, describe, committed offsets, delete.
//!
//! Called by `kafka-consumer-groups`. Every call but the list goes to the group's coordinator. Requests stay in
//! versions that name topics.
//!
//! Not done: groups of the consumer, share and streams protocols (KIP-848, KIP-932, KIP-1071).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::describe_groups_response::DescribedGroup;
use millstream_protocol::messages::leave_group_request::MemberIdentity;
use millstream_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use millstream_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse,
};

use super::ask::{Speaker, To, not_now};
use super::{Admin, Each, Node, TopicPartition, by_topic};
use crate::committed;
use crate::connection::Connection;
use crate::consumer::{OffsetAndMetadata, Offsets, read_assignment};
use crate::error::{ClientError, check, check_of};
use crate::metadata::{Coordinated, text, topic_name};

/// The coordinator is another one by now, or not ready (Java: `AlterConsumerGroupOffsetsHandler`).
const ELSEWHERE: [ErrorCode; 3] =
    [ErrorCode::NotCoordinator, ErrorCode::CoordinatorNotAvailable, ErrorCode::CoordinatorLoadInProgress];
/// Why members leave when nobody says (Java: `KafkaAdminClient.DEFAULT_LEAVE_GROUP_REASON`).
const REMOVED: &str = "member was removed by an admin";
/// `ConsumerProtocol.PROTOCOL_TYPE`
const CONSUMER: &str = "consumer";

/// A group in a list.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::GroupListing;
///
///
/// let groups: Vec<GroupListing> = admin.list_consumer_groups(&[], &[]).await?;
/// groups.iter().for_each(|group| println!("{} is {}", group.group_id, group.state));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub group_id: String,
    /// "consumer" for groups of consumers, empty for one that only commits.
    pub protocol_type: String,
    /// Stable, Empty and so on.
    pub state: String,
    /// classic, consumer and so on; empty from brokers before 3.8.
    pub group_type: String,
}

/// A group as its coordinator sees it.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::GroupDescription;
///
///
/// let GroupDescription { state, members, .. } = admin.describe_group("billing").await?;
/// println!("{state}, {} members", members.len());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group_id: String,
    /// Who coordinates it.
    pub coordinator: Node,
    /// Stable, Empty, Dead and so on.
    pub state: String,
    /// The assignor that its members agreed on.
    pub assignor: String,
    /// Its members, in the coordinator's order.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::MemberDescription;
///
///
/// for MemberDescription { client_id, host, assignment, .. } in admin.describe_group("billing").await?.members {
///     println!("{client_id} on {host} reads {assignment:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// The id that the coordinator gave it.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What is assigned to it.
    pub assignment: BTreeSet<TopicPartition>,
}

/// A member that was to be taken out of its group.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::RemovedMember;
///
/// for (RemovedMember { instance_id, .. }, result) in admin.remove_members("billing", None, "").await? {
///     println!("{instance_id:?}: {result:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedMember {
    /// The id that the coordinator gave it; empty when it was named by its instance.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
}

/// An offset that a group committed.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::CommittedOffset;
///
///
/// for (place, CommittedOffset { offset, .. }) in admin.committed_offsets("billing").await? {
///     println!("{place} is read up to {offset}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: i64,
    /// The leader epoch of the record before, where the consumer said.
    pub leader_epoch: Option<i32>,
    /// What the consumer noted beside it.
    pub metadata: String,
}

fn group(id: &str) -> GroupId {
    GroupId(text(id))
}

impl From<OffsetAndMetadata> for CommittedOffset {
    fn from(committed: OffsetAndMetadata) -> Self {
        let OffsetAndMetadata { offset, leader_epoch, metadata } = committed;
        CommittedOffset { offset, leader_epoch: Some(leader_epoch).filter(|epoch| *epoch >= 0), metadata }
    }
}

impl Admin {
    /// The coordinator of a group, and a connection to it.
    ///
    /// # Errors
    /// When there is none yet, or it cannot be reached.
    pub async fn coordinator(&self, group_id: &str) -> Result<(Node, Connection), ClientError> {
        let key = group_id.to_owned();
        // It may be another one since the last call, which shows in none of its answers here.
        self.cluster.forget_coordinator(Coordinated::Group, group_id);
        let round = |keys: Vec<String>| async move {
            let found = self.each_coordinator(Coordinated::Group, &keys).await?;
            Ok(found.into_iter().map(|(key, found)| (key, found.into())).collect())
        };
        let mut found = self.settle("finding the coordinator of group", [key], round).await?;
        let node = found.remove(group_id).ok_or(ClientError::State("no coordinator in the answer"))??;
        let connection = self.cluster.at(&node.address()).await?;
        Ok((node, connection))
    }

    /// The groups of consumers on every broker; empty filters let all through. As Java's
    /// `ListGroupsOptions.forConsumerGroups`, groups of another protocol type are left out.
    ///
    /// # Errors
    /// The first of the brokers'.
    pub async fn list_consumer_groups(
        &self,
        states: &[String],
        types: &[String],
    ) -> Result<Vec<GroupListing>, ClientError> {
        let mut listed = self.list_groups(states, types).await?;
        listed.retain(|group| group.protocol_type.is_empty() || group.protocol_type == CONSUMER);
        Ok(listed)
    }

    /// The groups in some states and of some types; empty lists ask for all.
    ///
    /// # Errors
    /// The first of the brokers'.
    pub async fn list_groups(&self, states: &[String], types: &[String]) -> Result<Vec<GroupListing>, ClientError> {
        let request = ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
            .with_types_filter(types.iter().map(|kind| text(kind)).collect());
        let brokers = self.brokers().await?;
        let judge = |response: &ListGroupsResponse| check(response.error_code, None);
        let mut listed = Vec::new();
        for answer in join_all(brokers.iter().map(|broker| self.ask(To::Broker(*broker), &request, judge))).await {
            let groups = answer?.0.groups.into_iter().map(|group| GroupListing {
                group_id: group.group_id.0.to_string(),
                protocol_type: group.protocol_type.to_string(),
                state: group.group_state.to_string(),
                group_type: group.group_type.to_string(),
            });
            listed.extend(groups);
        }
        Ok(listed)
    }

    /// Describes a group.
    ///
    /// # Errors
    /// The coordinator's, such as a group that is not there (from DescribeGroups 6 on; before, its state is Dead).
    pub async fn describe_group(&self, group_id: &str) -> Result<GroupDescription, ClientError> {
        let mut described = self.describe_groups(std::slice::from_ref(&group_id.to_owned())).await?;
        described.remove(group_id).unwrap_or(Err(ClientError::State("no answer for the group")))
    }

    /// Describes groups, those of one coordinator in one request.
    ///
    /// # Errors
    /// When no broker answers. What a coordinator says of a group stands beside it.
    pub async fn describe_groups(&self, group_ids: &[String]) -> Result<Each<String, GroupDescription>, ClientError> {
        let request =
            |ids: &[String]| DescribeGroupsRequest::default().with_groups(ids.iter().map(|id| group(id)).collect());
        let read = |response: DescribeGroupsResponse, coordinator: &Node, from: &Speaker| {
            let groups = response.groups.into_iter().map(|described| {
                let id = described.group_id.0.to_string();
                let told =
                    from.says(Coordinated::Group.named(&id), described.error_code, described.error_message.as_deref());
                (id, told.map(|()| description(described, coordinator)).into())
            });
            groups.collect()
        };
        let round = |ids| self.at_coordinators(Coordinated::Group, ids, i16::MAX, request, read);
        self.settle("describing group", group_ids.iter().cloned(), round).await
    }

    /// What a group committed.
    ///
    /// # Errors
    /// The coordinator's, of a partition as well.
    pub async fn committed_offsets(
        &self,
        group_id: &str,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        let each = self.each_committed_offset(group_id).await?.into_iter();
        each.map(|(at, committed)| committed.map(|committed| (at, committed))).collect()
    }

    /// As [`Admin::committed_offsets`]; what is known of each partition stands beside it.
    ///
    /// # Errors
    /// The coordinator's about the group.
    pub async fn each_committed_offset(
        &self,
        group_id: &str,
    ) -> Result<Each<TopicPartition, CommittedOffset>, ClientError> {
        let mut committed = self.committed_offsets_of(std::slice::from_ref(&group_id.to_owned())).await?;
        committed.remove(group_id).unwrap_or(Err(ClientError::State("no answer for the group")))
    }

    /// What groups committed, those of one coordinator in one request.
    ///
    /// # Errors
    /// When no broker answers. What a coordinator says of a group stands beside it, and of a partition beside that.
    pub async fn committed_offsets_of(
        &self,
        group_ids: &[String],
    ) -> Result<Each<String, Each<TopicPartition, CommittedOffset>>, ClientError> {
        let request = |ids: &[String]| {
            OffsetFetchRequest::default().with_groups(ids.iter().map(|id| committed::to_fetch(id, None)).collect())
        };
        let read = |response: OffsetFetchResponse, _: &Node, from: &Speaker| {
            let groups = response.groups.into_iter().map(|own| {
                let id = own.group_id.0.to_string();
                let told = from.says(Coordinated::Group.named(&id), own.error_code, None);
                let offsets =
                    committed::fetched(own).into_iter().filter_map(|(at, committed)| match from.heard(committed) {
                        Ok(None) => None,
                        Ok(Some(committed)) => Some((at, Ok(committed.into()))),
                        Err(error) => Some((at, Err(error))),
                    });
                (id, told.map(|()| offsets.collect()).into())
            });
            groups.collect()
        };
        let round = |ids| self.at_coordinators(Coordinated::Group, ids, committed::BY_NAME, request, read);
        self.settle("reading what was committed by group", group_ids.iter().cloned(), round).await
    }

    /// Commits offsets for a group without members.
    ///
    /// # Errors
    /// The first of the coordinator's.
    pub async fn alter_committed_offsets(
        &self,
        group_id: &str,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), ClientError> {
        self.alter_each_committed_offset(group_id, offsets).await?.into_values().collect()
    }

    /// As [`Admin::alter_committed_offsets`]; what became of each partition stands beside it.
    ///
    /// # Errors
    /// When the coordinator cannot be reached.
    pub async fn alter_each_committed_offset(
        &self,
        group_id: &str,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<Each<TopicPartition>, ClientError> {
        let offsets: Offsets =
            offsets.iter().map(|(at, offset)| (at.clone(), OffsetAndMetadata::from(*offset))).collect();
        // OffsetCommitRequest.DEFAULT_GENERATION_ID: not a member.
        let request = OffsetCommitRequest::default()
            .with_group_id(group(group_id))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(committed::to_commit(&offsets));
        let judge = |response: &OffsetCommitResponse| {
            let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.try_for_each(|partition| not_now(partition.error_code, None, &ELSEWHERE))
        };
        let (response, from) = self.ask_at_most(committed::BY_NAME, To::Group(group_id), &request, judge).await?;
        let said = response.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|own| {
                let at = TopicPartition::new(&topic.name.0, own.partition_index);
                let verdict = from.says_of(&at, own.error_code, None);
                (at, verdict)
            })
        });
        Ok(from.each_partition(offsets.into_keys(), said))
    }

    /// Takes members out of a group, whoever they are (Java: `removeMembersFromConsumerGroup`): static members by their
    /// `group.instance.id`, all of them for None. The answer of each stands beside it.
    ///
    /// # Errors
    /// The coordinator's about the group.
    pub async fn remove_members(
        &self,
        group_id: &str,
        instances: Option<&[String]>,
        reason: &str,
    ) -> Result<Vec<(RemovedMember, Result<(), ClientError>)>, ClientError> {
        let reason = Some(text(if reason.is_empty() { REMOVED } else { reason }));
        let identity = |member: MemberIdentity| member.with_reason(reason.clone());
        let by_instance = |id: &str| MemberIdentity::default().with_group_instance_id(Some(text(id)));
        let members: Vec<MemberIdentity> = match instances {
            Some(instances) => instances.iter().map(|id| identity(by_instance(id))).collect(),
            None => {
                let members = self.describe_group(group_id).await?.members.into_iter();
                let identities = members.map(|member| match &member.instance_id {
                    Some(id) => by_instance(id),
                    None => MemberIdentity::default().with_member_id(text(&member.member_id)),
                });
                identities.map(identity).collect()
            }
        };
        let asked = members.iter().map(removed_member).collect::<Vec<_>>();
        let request = LeaveGroupRequest::default().with_group_id(group(group_id)).with_members(members);
        let judge =
            |response: &LeaveGroupResponse| check_of(Coordinated::Group.named(group_id), response.error_code, None);
        let (response, from) = self.ask(To::Group(group_id), &request, judge).await?;
        // A static member goes by its instance: the answer may name its id besides.
        let removed = asked.into_iter().map(|asked| {
            let subject =
                format!("member {} of group {group_id}", asked.instance_id.as_ref().unwrap_or(&asked.member_id));
            let own = response.members.iter().find(|member| match &asked.instance_id {
                Some(id) => member.group_instance_id.as_deref() == Some(id.as_str()),
                None => *member.member_id == *asked.member_id,
            });
            match own {
                Some(own) => {
                    let member_id = own.member_id.to_string();
                    (RemovedMember { member_id, ..asked }, from.says(subject, own.error_code, None))
                }
                None => (asked, Err(from.unspoken(&subject))),
            }
        });
        Ok(removed.collect())
    }

    /// Deletes groups, those of one coordinator in one request; the answer of each stands beside its id.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn delete_groups(
        &self,
        group_ids: &[String],
    ) -> Result<Vec<(String, Result<(), ClientError>)>, ClientError> {
        let request =
            |ids: &[String]| DeleteGroupsRequest::default().with_groups_names(ids.iter().map(|id| group(id)).collect());
        let read = |response: DeleteGroupsResponse, _: &Node, from: &Speaker| {
            let results = response.results.into_iter().map(|own| {
                let id = own.group_id.0.to_string();
                let verdict = from.says(Coordinated::Group.named(&id), own.error_code, None);
                (id, verdict.into())
            });
            results.collect()
        };
        let round = |ids| self.at_coordinators(Coordinated::Group, ids, i16::MAX, request, read);
        let mut deleted = self.settle("deleting group", group_ids.iter().cloned(), round).await?;
        // As they were named.
        Ok(group_ids.iter().filter_map(|id| deleted.remove_entry(id)).collect())
    }

    /// Deletes what a group committed for partitions; the answer of each stands beside it.
    ///
    /// # Errors
    /// The coordinator's about the group.
    pub async fn delete_committed_offsets(
        &self,
        group_id: &str,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ClientError>>, ClientError> {
        let partition = |index: &i32| OffsetDeleteRequestPartition::default().with_partition_index(*index);
        let topics = by_topic(partitions.iter().map(|at| (at, partition(&at.partition)))).into_iter();
        let topics =
            topics.map(|(name, p)| OffsetDeleteRequestTopic::default().with_name(topic_name(name)).with_partitions(p));
        let request = OffsetDeleteRequest::default().with_group_id(group(group_id)).with_topics(topics.collect());
        let judge =
            |response: &OffsetDeleteResponse| check_of(Coordinated::Group.named(group_id), response.error_code, None);
        let (response, from) = self.ask(To::Group(group_id), &request, judge).await?;
        let said = response.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|own| {
                let at = TopicPartition::new(&topic.name.0, own.partition_index);
                let verdict = from.says_of(&at, own.error_code, None);
                (at, verdict)
            })
        });
        Ok(from.each_partition(partitions.iter().cloned(), said))
    }
}

/// A member as LeaveGroup names it.
fn removed_member(member: &MemberIdentity) -> RemovedMember {
    let instance_id = member.group_instance_id.as_ref().map(|id| id.to_string());
    RemovedMember { member_id: member.member_id.to_string(), instance_id }
}

fn description(described: DescribedGroup, coordinator: &Node) -> GroupDescription {
    let members = described.members.into_iter().map(|member| MemberDescription {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        // What is no consumer's assignment is shown as none.
        assignment: read_assignment(&member.member_assignment).unwrap_or_default().partitions.into_iter().collect(),
    });
    GroupDescription {
        group_id: described.group_id.0.to_string(),
        coordinator: coordinator.clone(),
        state: described.group_state.to_string(),
        assignor: described.protocol_data.to_string(),
        members: members.collect(),
    }
}
