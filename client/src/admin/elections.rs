//! Where partitions are led and kept: elections and the moves of replicas, between brokers and between log folders.
//!
//! Called by `kafka-leader-election` and `kafka-reassign-partitions`.

use std::collections::{BTreeMap, BTreeSet};

use millstream_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use millstream_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use millstream_protocol::messages::elect_leaders_request::TopicPartitions;
use millstream_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use millstream_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, ElectLeadersRequest,
    ListPartitionReassignmentsRequest,
};

use super::ask::To;
use super::topics::Reassignment;
use super::{Admin, TIMEOUT_MS, TopicPartition, by_topic};
use crate::error::{ClientError, check};
use crate::metadata::{text, topic_name};

/// Who may win an election (Java: `ElectionType`); the number is the protocol's.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::ElectionType;
///
///
/// for (place, result) in admin.elect_leaders(ElectionType::Preferred, None).await? {
///     println!("{place}: {result:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ElectionType {
    /// The first of the replicas, if it is in sync.
    Preferred = 0,
    /// Any replica, in sync or not, where there is no leader.
    Unclean = 1,
}

/// Whether a reassignment may change how many replicas a partition has (KIP-860).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use std::collections::BTreeMap;
///
/// use client::TopicPartition;
/// use client::admin::ReplicationFactor;
///
/// let target = BTreeMap::from([(TopicPartition::new("orders", 0), Some(vec![2, 3, 1]))]);
/// println!("{:?}", admin.alter_partition_reassignments(&target, ReplicationFactor::Kept).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicationFactor {
    /// It may.
    MayChange,
    /// It must stay.
    Kept,
}

impl Admin {
    /// Elects leaders for partitions, for None for all of them where another one is to lead; the answer of each stands
    /// beside it. For None, a partition whose leader was the right one is left out.
    ///
    /// # Errors
    /// The controller's about the whole.
    pub async fn elect_leaders(
        &self,
        kind: ElectionType,
        partitions: Option<&BTreeSet<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ClientError>>, ClientError> {
        let topics = partitions.map(|partitions| {
            let topics = by_topic(partitions.iter().map(|at| (at, at.partition))).into_iter();
            topics
                .map(|(name, indexes)| TopicPartitions::default().with_topic(topic_name(name)).with_partitions(indexes))
                .collect()
        });
        let request = ElectLeadersRequest::default()
            .with_election_type(kind as i8)
            .with_topic_partitions(topics)
            .with_timeout_ms(TIMEOUT_MS);
        let (response, from) = self.ask(To::Any, &request, |response| check(response.error_code, None)).await?;
        let said = response.replica_election_results.iter().flat_map(|topic| {
            topic.partition_result.iter().map(|own| {
                let at = TopicPartition::new(&topic.topic.0, own.partition_id);
                let verdict = from.says_of(&at, own.error_code, own.error_message.as_deref());
                (at, verdict)
            })
        });
        Ok(match partitions {
            Some(partitions) => from.each_partition(partitions.iter().cloned(), said),
            None => said.collect(),
        })
    }

    /// Moves the replicas of partitions to the brokers named, the first to lead; None takes back a move that is under
    /// way. The answer of each stands beside it.
    ///
    /// # Errors
    /// The controller's about the whole.
    pub async fn alter_partition_reassignments(
        &self,
        targets: &BTreeMap<TopicPartition, Option<Vec<i32>>>,
        factor: ReplicationFactor,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ClientError>>, ClientError> {
        let partition = |(at, brokers): (&TopicPartition, &Option<Vec<i32>>)| {
            let brokers = brokers.as_ref().map(|brokers| brokers.iter().map(|id| (*id).into()).collect());
            ReassignablePartition::default().with_partition_index(at.partition).with_replicas(brokers)
        };
        let topics = by_topic(targets.iter().map(|own| (own.0, partition(own)))).into_iter();
        let topics =
            topics.map(|(name, p)| ReassignableTopic::default().with_name(topic_name(name)).with_partitions(p));
        let request = AlterPartitionReassignmentsRequest::default()
            .with_timeout_ms(TIMEOUT_MS)
            .with_allow_replication_factor_change(factor == ReplicationFactor::MayChange)
            .with_topics(topics.collect());
        let judge = |response: &millstream_protocol::messages::AlterPartitionReassignmentsResponse| {
            check(response.error_code, response.error_message.as_deref())
        };
        let (response, from) = self.ask(To::Any, &request, judge).await?;
        let said = response.responses.iter().flat_map(|topic| {
            topic.partitions.iter().map(|own| {
                let at = TopicPartition::new(&topic.name.0, own.partition_index);
                let verdict = from.says_of(&at, own.error_code, own.error_message.as_deref());
                (at, verdict)
            })
        });
        Ok(from.each_partition(targets.keys().cloned(), said))
    }

    /// The moves of replicas that are under way, of these partitions or, for None, of all.
    ///
    /// # Errors
    /// The controller's.
    pub async fn list_partition_reassignments(
        &self,
        partitions: Option<&BTreeSet<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, Reassignment>, ClientError> {
        let topics = partitions.map(|partitions| {
            let topics = by_topic(partitions.iter().map(|at| (at, at.partition))).into_iter();
            topics
                .map(|(name, indexes)| {
                    ListPartitionReassignmentsTopics::default()
                        .with_name(topic_name(name))
                        .with_partition_indexes(indexes)
                })
                .collect()
        });
        let request = ListPartitionReassignmentsRequest::default().with_topics(topics).with_timeout_ms(TIMEOUT_MS);
        let judge = |response: &millstream_protocol::messages::ListPartitionReassignmentsResponse| {
            check(response.error_code, response.error_message.as_deref())
        };
        let (response, _) = self.ask(To::Any, &request, judge).await?;
        let mut found = BTreeMap::new();
        for topic in response.topics {
            for own in topic.partitions {
                let ids = |brokers: &[millstream_protocol::messages::BrokerId]| brokers.iter().map(|id| id.0).collect();
                let moved = Reassignment {
                    replicas: ids(&own.replicas),
                    adding: ids(&own.adding_replicas),
                    removing: ids(&own.removing_replicas),
                };
                found.insert(TopicPartition::new(&topic.name.0, own.partition_index), moved);
            }
        }
        Ok(found)
    }

    /// Moves replicas to other log folders of the brokers that keep them: `moves` names partition and broker, and the
    /// folder. The answer of each stands beside it.
    ///
    /// # Errors
    /// When a broker cannot be reached.
    pub async fn alter_replica_log_dirs(
        &self,
        moves: &BTreeMap<(TopicPartition, i32), String>,
    ) -> Result<BTreeMap<(TopicPartition, i32), Result<(), ClientError>>, ClientError> {
        let mut results = BTreeMap::new();
        let brokers: BTreeSet<i32> = moves.keys().map(|(_, broker)| *broker).collect();
        for broker in brokers {
            let mut dirs: BTreeMap<&str, BTreeMap<&str, Vec<i32>>> = BTreeMap::new();
            for ((at, _), path) in moves.iter().filter(|((_, at), _)| *at == broker) {
                dirs.entry(path).or_default().entry(&at.topic).or_default().push(at.partition);
            }
            let dirs = dirs.into_iter().map(|(path, topics)| {
                let topics = topics.into_iter();
                let topics = topics
                    .map(|(name, p)| AlterReplicaLogDirTopic::default().with_name(topic_name(name)).with_partitions(p));
                AlterReplicaLogDir::default().with_path(text(path)).with_topics(topics.collect())
            });
            let request = AlterReplicaLogDirsRequest::default().with_dirs(dirs.collect());
            let (response, from) = self.ask(To::Broker(broker), &request, |_| Ok(())).await?;
            let said = response.results.iter().flat_map(|topic| {
                topic.partitions.iter().map(|own| {
                    let at = TopicPartition::new(&topic.topic_name.0, own.partition_index);
                    let verdict = from.says_of(&at, own.error_code, None);
                    ((at, broker), verdict)
                })
            });
            let asked = moves.keys().filter(|(_, at)| *at == broker).cloned();
            results.append(&mut from.each(asked, said, |(at, _)| at.to_string()));
        }
        Ok(results)
    }
}
