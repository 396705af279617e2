//! Administration of a cluster: one call per question, with what Java's `Admin` would answer.
//!
//! Called by the command-line tools and by whoever sets topics up. Requests go to the broker that answers for them:
//! any of them for metadata, the leader for offsets, the coordinator for groups.
//!
//! Not done: log folders, quotas, ACLs, transactions; requests are not tried again.

/// Topics: create, list, describe, alter, delete.
pub mod topics;

pub use topics::{NewTopic, PartitionDescription, Reassignment, TopicConfig, TopicDescription, TopicListing};

use crate::metadata::Cluster;

/// Apache's `default.api.timeout.ms` of the admin client is 60 s; a request waits half of it.
const TIMEOUT_MS: i32 = 30_000;

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
