//! Consumer groups: list, describe, committed offsets, delete.
//!
//! Called by `kafka-consumer-groups`. Every call but the list goes to the group's coordinator. Requests stay in
//! versions that name topics (OffsetFetch 7, OffsetCommit and OffsetDelete likewise), which every broker serves.
//!
//! Not done: groups of the consumer, share and streams protocols (KIP-848, KIP-932, KIP-1071).

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::leave_group_request::MemberIdentity;
use millstream_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use millstream_protocol::messages::{
    ConsumerProtocolAssignment, Decodable, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, GroupId, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse, StrBytes,
};

use super::ask::{To, by_topic, not_now};
use super::{Admin, Each, TopicPartition, only_retriable};
use crate::connection::Connection;
use crate::error::{ClientError, check};
use crate::metadata::{text, topic_name};

/// OffsetFetch 7 asks for one group; from 8 on for many.
const FETCH_ONE: i16 = 7;
/// OffsetCommit 9 names topics; from 10 on by id.
const COMMIT_BY_NAME: i16 = 9;
/// The coordinator is another one by now, or not ready (Java: `AlterConsumerGroupOffsetsHandler`).
const ELSEWHERE: [ErrorCode; 3] = [
    ErrorCode::NotCoordinator,
    ErrorCode::CoordinatorNotAvailable,
    ErrorCode::CoordinatorLoadInProgress,
];
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
    /// Stable, Empty and so on; empty from brokers before 2.6.
    pub state: String,
    /// classic, consumer and so on; empty from brokers before 3.8.
    pub group_type: String,
}

/// A broker and where it is.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::Node;
///
///
/// let (Node { id, host, port }, _) = admin.coordinator("billing").await?;
/// println!("broker {id} at {host}:{port} coordinates the group");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: i32,
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

impl Admin {
    /// The coordinator of a group, and a connection to it.
    ///
    /// # Errors
    /// When there is none yet, or it cannot be reached.
    pub async fn coordinator(&self, group_id: &str) -> Result<(Node, Connection), ClientError> {
        self.await_coordinator(group_id, 0).await
    }

    /// The groups of consumers on every broker; empty filters let all through. As Java's
    /// `ListGroupsOptions.forConsumerGroups`, groups of another protocol type are left out.
    ///
    /// # Errors
    /// The first of the brokers'.
    pub async fn list_consumer_groups(&self, states: &[String], types: &[String]) -> Result<Vec<GroupListing>, ClientError> {
        let mut listed = self.list_groups(states, types).await?;
        listed.retain(|group| group.protocol_type.is_empty() || group.protocol_type == CONSUMER);
        Ok(listed)
    }

    /// The groups in some states and of some types; empty lists ask for all.
    ///
    /// # Errors
    /// The first of the brokers'.
    pub async fn list_groups(&self, states: &[String], types: &[String]) -> Result<Vec<GroupListing>, ClientError> {
        let mut listed = Vec::new();
        for broker in self.brokers().await? {
            let request = ListGroupsRequest::default()
                .with_states_filter(states.iter().map(|state| text(state)).collect())
                .with_types_filter(types.iter().map(|kind| text(kind)).collect());
            let response = self.ask(To::Broker(broker), &request, |response| check(response.error_code, None)).await?;
            let groups = response.groups.into_iter().map(|group| GroupListing {
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
        let (coordinator, _) = self.coordinator(group_id).await?;
        let request = DescribeGroupsRequest::default().with_groups(vec![group(group_id)]);
        let judge = |response: &DescribeGroupsResponse| {
            response.groups.iter().try_for_each(|own| check(own.error_code, own.error_message.as_deref()))
        };
        let response = self.ask(To::Group(group_id), &request, judge).await?;
        let Some(described) = response.groups.into_iter().next() else { return Err(ClientError::Unsupported("DescribeGroups")) };
        let mut members = Vec::with_capacity(described.members.len());
        for member in described.members {
            members.push(MemberDescription {
                member_id: member.member_id.to_string(),
                instance_id: member.group_instance_id.map(|id| id.to_string()),
                client_id: member.client_id.to_string(),
                host: member.client_host.to_string(),
                assignment: assignment(member.member_assignment),
            });
        }
        Ok(GroupDescription {
            group_id: group_id.to_owned(),
            coordinator,
            state: described.group_state.to_string(),
            assignor: described.protocol_data.to_string(),
            members,
        })
    }

    /// What a group committed.
    ///
    /// # Errors
    /// The coordinator's, of a partition as well.
    pub async fn committed_offsets(&self, group_id: &str) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        let each = self.each_committed_offset(group_id).await?.into_iter();
        each.map(|(at, committed)| committed.map(|committed| (at, committed))).collect()
    }

    /// As [`Admin::committed_offsets`]; what is known of each partition stands beside it.
    ///
    /// # Errors
    /// The coordinator's about the group.
    pub async fn each_committed_offset(&self, group_id: &str) -> Result<Each<TopicPartition, CommittedOffset>, ClientError> {
        let request = OffsetFetchRequest::default().with_group_id(group(group_id)).with_topics(None);
        let judge = |response: &OffsetFetchResponse| check(response.error_code, None);
        let response = self.ask_at_most(FETCH_ONE, To::Group(group_id), &request, judge).await?;
        let mut offsets = Each::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let at = TopicPartition::new(&topic.name.0, partition.partition_index);
                if let Err(error) = check(partition.error_code, None) {
                    offsets.insert(at, Err(error));
                    continue;
                }
                if partition.committed_offset < 0 {
                    continue;
                }
                let committed = CommittedOffset {
                    offset: partition.committed_offset,
                    leader_epoch: Some(partition.committed_leader_epoch).filter(|epoch| *epoch >= 0),
                    metadata: partition.metadata.map(|metadata| metadata.to_string()).unwrap_or_default(),
                };
                offsets.insert(at, Ok(committed));
            }
        }
        Ok(offsets)
    }

    /// Commits offsets for a group without members.
    ///
    /// # Errors
    /// The first of the coordinator's.
    pub async fn alter_committed_offsets(&self, group_id: &str, offsets: &BTreeMap<TopicPartition, i64>) -> Result<(), ClientError> {
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
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (at, offset) in offsets {
            let partition = OffsetCommitRequestPartition::default().with_partition_index(at.partition);
            let partition = partition.with_committed_offset(*offset).with_committed_metadata(Some(StrBytes::default()));
            topics.entry(&at.topic).or_default().push(partition);
        }
        let topics = topics.into_iter();
        let topics = topics.map(|(name, p)| OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(p));
        // OffsetCommitRequest.DEFAULT_GENERATION_ID: not a member.
        let request = OffsetCommitRequest::default()
            .with_group_id(group(group_id))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(topics.collect());
        let judge = |response: &OffsetCommitResponse| {
            let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.try_for_each(|partition| not_now(partition.error_code, None, &ELSEWHERE))
        };
        let response = self.ask_at_most(COMMIT_BY_NAME, To::Group(group_id), &request, judge).await?;
        let mut results = Each::new();
        for topic in response.topics {
            for own in topic.partitions {
                let at = TopicPartition::new(&topic.name.0, own.partition_index);
                results.insert(at, check(own.error_code, None));
            }
        }
        Ok(results)
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
        let request = LeaveGroupRequest::default().with_group_id(group(group_id)).with_members(members);
        let response = self.ask(To::Group(group_id), &request, |response| check(response.error_code, None)).await?;
        let removed = response.members.into_iter().map(|member| {
            let instance_id = member.group_instance_id.map(|id| id.to_string());
            (RemovedMember { member_id: member.member_id.to_string(), instance_id }, check(member.error_code, None))
        });
        Ok(removed.collect())
    }

    /// Deletes groups, each at its coordinator; the answer of each stands beside its id.
    ///
    /// # Errors
    /// When a coordinator cannot be reached.
    pub async fn delete_groups(&self, group_ids: &[String]) -> Result<Vec<(String, Result<(), ClientError>)>, ClientError> {
        let mut deleted = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            let request = DeleteGroupsRequest::default().with_groups_names(vec![group(group_id)]);
            let judge = |response: &DeleteGroupsResponse| {
                let mut results = response.results.iter();
                results.try_for_each(|own| check(own.error_code, None).or_else(only_retriable))
            };
            let response = self.ask(To::Group(group_id), &request, judge).await?;
            let code = response.results.first().map_or(0, |result| result.error_code);
            deleted.push((group_id.clone(), check(code, None)));
        }
        Ok(deleted)
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
        let topics = by_topic(partitions).into_iter().map(|(name, indexes)| {
            let topic = OffsetDeleteRequestTopic::default().with_name(topic_name(name));
            topic.with_partitions(indexes.iter().map(partition).collect())
        });
        let request = OffsetDeleteRequest::default().with_group_id(group(group_id)).with_topics(topics.collect());
        let judge = |response: &OffsetDeleteResponse| check(response.error_code, None);
        let response = self.ask(To::Group(group_id), &request, judge).await?;
        let mut results = BTreeMap::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let at = TopicPartition::new(&topic.name.0, partition.partition_index);
                results.insert(at, check(partition.error_code, None));
            }
        }
        Ok(results)
    }
}

/// What a member's assignment says; nothing when it has none or it is not a consumer's.
fn assignment(mut bytes: Bytes) -> BTreeSet<TopicPartition> {
    if bytes.len() < 2 {
        return BTreeSet::new();
    }
    // Java: ConsumerProtocol.deserializeVersion; versions above the last known are read as it.
    let version = bytes.get_i16().clamp(0, 3);
    let Ok(assigned) = ConsumerProtocolAssignment::decode(&mut bytes, version) else { return BTreeSet::new() };
    let topics = assigned.assigned_partitions.iter();
    topics.flat_map(|topic| topic.partitions.iter().map(|partition| TopicPartition::new(&topic.topic.0, *partition))).collect()
}
