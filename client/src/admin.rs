//! Administration of a cluster: one call per question, with what Java's `Admin` would answer.
//!
//! Called by the command-line tools and by whoever sets topics up. Requests go to the broker that answers for them:
//! any of them for metadata, the leader for offsets, the coordinator for groups.
//!
//! Not done: delegation tokens, client telemetry, groups of the consumer, share and streams protocols.

// Request -> broker, and again.
mod ask;
// Many resources -> few requests, and again for those that are left.
mod rounds;
/// Topics: create, list, describe, alter, delete.
pub mod topics;
/// Consumer groups: list, describe, committed offsets, delete.
pub mod groups;
/// Offsets of partitions: first, end, by time.
pub mod offsets;
/// Records of partitions: delete.
pub mod records;
/// Configs of topics, brokers, groups: describe, alter.
pub mod configs;
/// The cluster's brokers, and their log folders.
pub mod cluster;
/// Transactions: list, describe, abort, fence.
pub mod transactions;
/// Feature levels: describe, update.
pub mod features;
/// Who leads and keeps a partition: elect, reassign.
pub mod elections;
/// The quorum of the metadata: describe, add and remove voters.
pub mod quorum;
/// Access control lists: create, describe, delete.
pub mod acls;
/// Quotas: describe, alter.
pub mod quotas;
/// Passwords of SCRAM users: describe, set, delete.
pub mod scram;

pub use crate::metadata::Node;
pub use acls::{AclBinding, AclFilter, AclOperation, AclPermission, PatternType, ResourceType};
pub use cluster::{ClusterDescription, ClusterNode, Fenced, LogDirDescription, ReplicaInfo};
pub use configs::{ConfigChange, ConfigEntry, ConfigSource, ConfigSynonym, ResourceKind};
pub use elections::{ElectionType, ReplicationFactor};
pub use features::{Change, FeatureLevels, FeatureRange, FeatureUpdate, UpgradeType};
pub use groups::{CommittedOffset, GroupDescription, GroupListing, MemberDescription, RemovedMember};
pub use offsets::OffsetSpec;
pub use quorum::{QuorumEndpoint, QuorumInfo, QuorumNode, QuorumReplica};
pub use quotas::{QuotaChange, QuotaEntity, QuotaFilter, QuotaMatch};
pub use scram::{ScramChange, ScramCredentials};
pub use topics::{
    Creation, NewPartitions, NewTopic, PartitionDescription, Reassignment, TopicDescription, TopicListing,
};
pub use transactions::{
    AbortTransaction, ProducerState, TransactionDescription, TransactionFilter, TransactionListing, TransactionState,
};

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::ClientError;
use crate::metadata::Cluster;

/// Apache's `default.api.timeout.ms` of the admin client is 60 s; a request waits half of it.
const TIMEOUT_MS: i32 = 30_000;

/// A partition of a topic; sorts by topic, then number.
///
/// ```
/// use client::TopicPartition;
///
/// let place = TopicPartition::new("orders", 3);
/// assert_eq!((place.topic.as_str(), place.partition, place.to_string()), ("orders", 3, "orders-3".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// The number, from zero.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: &str, partition: i32) -> Self {
        TopicPartition { topic: topic.to_owned(), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What belongs to partitions, by topic.
pub(crate) fn by_topic<'a, T>(items: impl IntoIterator<Item = (&'a TopicPartition, T)>) -> BTreeMap<&'a str, Vec<T>> {
    let mut topics: BTreeMap<&str, Vec<T>> = BTreeMap::new();
    for (place, item) in items {
        topics.entry(&place.topic).or_default().push(item);
    }
    topics
}

/// Administration of a cluster.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example() -> Result<(), client::error::ClientError> {
/// use client::admin::{Admin, NewTopic};
/// use client::metadata::Cluster;
///
/// let admin = Admin::new(Cluster::new("localhost:9092")).with_timeout(Duration::from_secs(5));
/// admin.create_topic(&NewTopic { name: "orders".to_owned(), partitions: Some(3), ..NewTopic::default() }).await?;
/// println!("{:?}", admin.list_topics().await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Admin {
    cluster: Cluster,
    /// `default.api.timeout.ms`
    timeout: Duration,
}

impl Admin {
    /// Works on `cluster`; what is only not possible now is tried for a minute, Apache's `default.api.timeout.ms`.
    pub fn new(cluster: Cluster) -> Self {
        Admin { cluster, timeout: Duration::from_secs(60) }
    }

    /// Tries what is only not possible now for `timeout`.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Admin { timeout, ..self }
    }
}

/// What became of each of several resources.
///
/// ```
/// use client::admin::Each;
///
/// let deleted: Each<String> = Each::from([("orders".to_owned(), Ok(()))]);
/// assert!(deleted["orders"].is_ok());
/// ```
pub type Each<R, T = ()> = BTreeMap<R, Result<T, ClientError>>;

/// Lets through what asking again does not change, so that it stands beside its resource.
fn only_retriable(error: ClientError) -> Result<(), ClientError> {
    if error.is_retriable() { Err(error) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
