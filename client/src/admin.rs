//! Administration of a cluster: one call per question, with what Java's `Admin` would answer.
//!
//! Called by the command-line tools and by whoever sets topics up. Requests go to the broker that answers for them:
//! any of them for metadata, the leader for offsets, the coordinator for groups.
//!
//! Not done: quotas, ACLs, transactions, feature levels, elections; requests are not tried again.

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

pub use cluster::{ClusterDescription, ClusterNode, Fenced, LogDirDescription, ReplicaInfo};
pub use configs::{ConfigEntry, ConfigSource, ConfigSynonym, ResourceKind};
pub use groups::{CommittedOffset, GroupDescription, GroupListing, MemberDescription, Node};
pub use offsets::OffsetSpec;
pub use topics::{NewTopic, PartitionDescription, Reassignment, TopicConfig, TopicDescription, TopicListing};

use crate::metadata::Cluster;

/// Apache's `default.api.timeout.ms` of the admin client is 60 s; a request waits half of it.
const TIMEOUT_MS: i32 = 30_000;

/// A partition of a topic; sorts by topic, then number.
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

/// Administration of a cluster.
#[derive(Clone)]
pub struct Admin {
    cluster: Cluster,
}

impl Admin {
    /// Works on `cluster`.
    pub fn new(cluster: Cluster) -> Self {
        Admin { cluster }
    }
}
