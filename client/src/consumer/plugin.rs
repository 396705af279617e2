//! An assignor of the application's own, for groups whose members have more to say than partitions (Kafka Streams).
//!
//! Called by `coordinator.rs` and `rebalance.rs` in place of the assignors of `assign.rs`. Members read on while the
//! group rebalances (KIP-429).

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::assign::Member;
use crate::TopicPartition;
use crate::error::ClientError;

/// A member as the leader of the group sees it.
///
/// ```
/// use client::consumer::GroupMember;
///
/// let member = GroupMember { id: "a".to_owned(), topics: vec!["orders".to_owned()], ..GroupMember::default() };
/// assert!(member.user_data.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id in the group.
    pub id: String,
    /// `group.instance.id`
    pub instance: Option<String>,
    /// What it subscribed to.
    pub topics: Vec<String>,
    /// What it reads now.
    pub owned: Vec<TopicPartition>,
    /// What its assignor said.
    pub user_data: Option<Bytes>,
}

impl From<Member> for GroupMember {
    fn from(member: Member) -> Self {
        let Member { id, instance, topics, owned, user_data, .. } = member;
        GroupMember { id, instance, topics, owned, user_data }
    }
}

/// What the leader tells a member.
///
/// ```
/// use client::consumer::{GroupAssignment, TopicPartition};
///
/// let assignment = GroupAssignment { partitions: vec![TopicPartition::new("orders", 0)], user_data: None };
/// assert_eq!(assignment.partitions.len(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupAssignment {
    /// The partitions that it reads.
    pub partitions: Vec<TopicPartition>,
    /// Anything else.
    pub user_data: Option<Bytes>,
}

/// Gives out partitions in place of `partition.assignment.strategy` (Java: `ConsumerPartitionAssignor`). A partition
/// that another member still reads is not to be given out before that member gave it back. Polls of its consumer return
/// as soon as partitions came or went, before the member joins again.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use bytes::Bytes;
/// use client::TopicPartition;
/// use client::consumer::{GroupAssignment, GroupAssignor, GroupMember};
/// use client::error::ClientError;
/// use futures_util::FutureExt;
/// use futures_util::future::BoxFuture;
///
/// /// The first member reads everything.
/// struct First;
///
/// impl GroupAssignor for First {
///     fn name(&self) -> &str {
///         "first"
///     }
///     fn user_data(&self, _topics: &[String]) -> Option<Bytes> {
///         None
///     }
///     fn assign(&self, members: Vec<GroupMember>) -> BoxFuture<'_, Result<BTreeMap<String, GroupAssignment>, ClientError>> {
///         async move {
///             let first = members.into_iter().next().ok_or(ClientError::State("no member"))?;
///             let partitions = vec![TopicPartition::new("orders", 0)];
///             Ok(BTreeMap::from([(first.id, GroupAssignment { partitions, user_data: None })]))
///         }
///         .boxed()
///     }
///     fn assigned(&self, partitions: &[TopicPartition], _user_data: Option<Bytes>) {
///         println!("reading {partitions:?}");
///     }
/// }
/// ```
pub trait GroupAssignor: Send + Sync {
    /// As it is called in JoinGroup; all members of the group have to have it.
    fn name(&self) -> &str;
    /// What this member says besides its topics and partitions; asked for each join.
    fn user_data(&self, topics: &[String]) -> Option<Bytes>;
    /// Decides for the whole group, when this member leads it.
    ///
    /// # Errors
    /// Whatever keeps it from deciding; what may pass is tried again.
    fn assign(
        &self,
        members: Vec<GroupMember>,
    ) -> BoxFuture<'_, Result<BTreeMap<String, GroupAssignment>, ClientError>>;
    /// What the leader told this member; called in `poll`, before the listener is.
    fn assigned(&self, partitions: &[TopicPartition], user_data: Option<Bytes>);
}
