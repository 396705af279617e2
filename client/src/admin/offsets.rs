//! Offsets of partitions: first, end, by time.
//!
//! Called by `kafka-consumer-groups` and `kafka-get-offsets`. Each leader is asked once for its partitions.

use std::collections::BTreeMap;

use millstream_protocol::messages::ListOffsetsRequest;
use millstream_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::{Admin, TopicPartition};
use crate::error::{ClientError, check};
use crate::metadata::{Missing, topic_name};

/// Which offset of a partition (Java: `OffsetSpec`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::TopicPartition;
/// use client::admin::OffsetSpec;
///
/// let places = [TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)];
/// println!("ends: {:?}", admin.list_offsets(&places, OffsetSpec::Latest).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first that is left.
    Earliest,
    /// The end: one past the last that consumers may read.
    Latest,
    /// The first whose time is not earlier, in milliseconds since the Unix epoch.
    Timestamp(i64),
    /// The one with the largest time.
    MaxTimestamp,
    /// The first on the broker's own disk (tiered storage).
    EarliestLocal,
    /// The last that was moved to remote storage.
    LatestTiered,
    /// The first that has not been moved there yet.
    EarliestPendingUpload,
}

impl OffsetSpec {
    /// As ListOffsets writes it (Java: `ListOffsetsRequest`).
    fn timestamp(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::EarliestLocal => -4,
            OffsetSpec::LatestTiered => -5,
            OffsetSpec::EarliestPendingUpload => -6,
            OffsetSpec::Timestamp(ms) => ms,
        }
    }
}

impl Admin {
    /// An offset of each partition; -1 where there is none (a time behind the last record). A partition without a
    /// leader is left out.
    ///
    /// # Errors
    /// The first of a leader's.
    pub async fn list_offsets(
        &self,
        partitions: impl IntoIterator<Item = &TopicPartition>,
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        let wanted: Vec<&TopicPartition> = partitions.into_iter().collect();
        let mut names: Vec<String> = wanted.iter().map(|at| at.topic.clone()).collect();
        names.sort();
        names.dedup();
        let metadata = self.cluster.metadata(Some(&names), Missing::Report).await?;
        let mut leaders: BTreeMap<TopicPartition, i32> = BTreeMap::new();
        for topic in &metadata.topics {
            check(topic.error_code, None)?;
            let name = topic.name.as_ref().map(|name| name.0.to_string()).unwrap_or_default();
            let led = topic.partitions.iter().filter(|partition| partition.leader_id.0 >= 0);
            leaders.extend(led.map(|partition| (TopicPartition::new(&name, partition.partition_index), partition.leader_id.0)));
        }
        let mut asked: BTreeMap<i32, BTreeMap<&str, Vec<ListOffsetsPartition>>> = BTreeMap::new();
        for at in wanted {
            let Some(leader) = leaders.get(at) else { continue };
            let partition = ListOffsetsPartition::default().with_partition_index(at.partition).with_timestamp(spec.timestamp());
            asked.entry(*leader).or_default().entry(&at.topic).or_default().push(partition);
        }
        let mut offsets = BTreeMap::new();
        for (leader, topics) in asked {
            let topics = topics.into_iter();
            let topics = topics.map(|(name, p)| ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(p));
            let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(topics.collect());
            let response = self.cluster.broker(leader).await?.call(&request).await?;
            for topic in response.topics {
                for partition in topic.partitions {
                    check(partition.error_code, None)?;
                    offsets.insert(TopicPartition::new(&topic.name.0, partition.partition_index), partition.offset);
                }
            }
        }
        Ok(offsets)
    }
}
