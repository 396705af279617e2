//! Offsets of partitions: first, end, by time.
//!
//! Called by `kafka-consumer-groups` and `kafka-get-offsets`. Each leader is asked once for its partitions.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use millstream_protocol::messages::ListOffsetsRequest;
use millstream_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::ask::To;
use super::{Admin, Each, TopicPartition};
use crate::config::Isolation;
use crate::connection::backoff;
use crate::error::{ClientError, check, of_partition};
use crate::metadata::topic_name;

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
        let wanted = partitions.into_iter().map(|at| (at.clone(), spec)).collect();
        let mut offsets = BTreeMap::new();
        for (at, offset) in self.list_each_offset(&wanted, Isolation::ReadUncommitted).await? {
            match offset {
                Ok(offset) => _ = offsets.insert(at, offset),
                Err(ClientError::NoLeader { .. }) => {}
                Err(ClientError::Partition { code, message, .. }) => return Err(ClientError::Broker { code, message }),
                Err(other) => return Err(other),
            }
        }
        Ok(offsets)
    }

    /// An offset of each partition, at what each is asked for; what became of each stands beside it. A leader that moves
    /// is asked again until `default.api.timeout.ms` is over.
    ///
    /// # Errors
    /// When no broker answers, or for a topic that is not there.
    pub async fn list_each_offset(
        &self,
        wanted: &BTreeMap<TopicPartition, OffsetSpec>,
        isolation: Isolation,
    ) -> Result<Each<TopicPartition, i64>, ClientError> {
        let (started, config) = (Moment::now(), self.cluster.config());
        let mut found = Each::new();
        for failures in 1.. {
            let left: BTreeMap<_, _> = wanted.iter().filter(|(at, _)| !found.contains_key(*at)).collect();
            let answers = self.offsets_once(&left, isolation).await?;
            let late = started.elapsed() >= self.timeout;
            let (passing, settled): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer): &(_, Result<i64, _>)| {
                !late && answer.as_ref().is_err_and(|error: &ClientError| error.is_retriable() && !is_leaderless(error))
            });
            found.extend(settled);
            if passing.is_empty() {
                break;
            }
            task::sleep(backoff(failures, config.retry_backoff, config.retry_backoff_max)).await;
        }
        Ok(found)
    }

    /// Asks each leader once, all at the same time.
    async fn offsets_once(
        &self,
        wanted: &BTreeMap<&TopicPartition, &OffsetSpec>,
        isolation: Isolation,
    ) -> Result<Vec<(TopicPartition, Result<i64, ClientError>)>, ClientError> {
        let mut names: Vec<String> = wanted.keys().map(|at| at.topic.clone()).collect();
        names.dedup();
        let metadata = self.metadata(Some(&names)).await?;
        let mut leaders: BTreeMap<TopicPartition, i32> = BTreeMap::new();
        for topic in &metadata.topics {
            check(topic.error_code, None)?;
            let name = topic.name.as_ref().map(|name| name.0.to_string()).unwrap_or_default();
            let led = topic.partitions.iter().filter(|partition| partition.leader_id.0 >= 0);
            leaders.extend(led.map(|partition| (TopicPartition::new(&name, partition.partition_index), partition.leader_id.0)));
        }
        let mut answers = Vec::with_capacity(wanted.len());
        let mut asked: BTreeMap<i32, BTreeMap<&str, Vec<ListOffsetsPartition>>> = BTreeMap::new();
        for (at, spec) in wanted {
            let Some(leader) = leaders.get(*at) else {
                answers.push(((*at).clone(), Err(ClientError::NoLeader { topic: at.topic.clone(), partition: at.partition })));
                continue;
            };
            let partition = ListOffsetsPartition::default().with_partition_index(at.partition).with_timestamp(spec.timestamp());
            asked.entry(*leader).or_default().entry(&at.topic).or_default().push(partition);
        }
        let asked = asked.into_iter().map(|(leader, topics)| async move {
            let topics = topics.into_iter();
            let topics = topics.map(|(name, p)| ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(p));
            let request = ListOffsetsRequest::default()
                .with_replica_id((-1).into())
                .with_isolation_level(i8::from(isolation == Isolation::ReadCommitted))
                .with_topics(topics.collect());
            self.ask(To::Known(leader), &request, |_| Ok(())).await
        });
        for response in join_all(asked).await {
            for topic in response?.topics {
                for own in topic.partitions {
                    let at = TopicPartition::new(&topic.name.0, own.partition_index);
                    let answer = match own.error_code {
                        0 => Ok(own.offset),
                        code => Err(of_partition(&at.topic, at.partition, code, None)),
                    };
                    answers.push((at, answer));
                }
            }
        }
        Ok(answers)
    }
}

fn is_leaderless(error: &ClientError) -> bool {
    matches!(error, ClientError::NoLeader { .. })
}
