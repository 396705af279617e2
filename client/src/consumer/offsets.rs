//! Offsets of partitions: first, end, by time, asked of their leaders.
//!
//! Called by `consumer.rs` for resets and on the application's behalf. Leaders that moved are asked for again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use millstream_protocol::messages::ListOffsetsRequest;
use millstream_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use parking_lot::Mutex;

use crate::TopicPartition;
use crate::config::{Isolation, Missing};
use crate::connection::retrying;
use crate::error::{ClientError, of_partition_at};
use crate::metadata::{Cluster, Leader, topic_name};

/// `ListOffsetsRequest.EARLIEST_TIMESTAMP`.
pub(super) const EARLIEST: i64 = -2;
/// `ListOffsetsRequest.LATEST_TIMESTAMP`.
pub(super) const LATEST: i64 = -1;

/// An answer for a partition; offset -1 where no record is as late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub offset: i64,
    pub timestamp: i64,
    pub leader_epoch: i32,
}

pub(super) type Found = BTreeMap<TopicPartition, Listed>;

/// How offsets are asked for.
#[derive(Clone)]
pub(super) struct Asker {
    pub cluster: Cluster,
    pub isolation: Isolation,
    pub missing: Missing,
    pub limit: Duration,
}

impl Asker {
    /// The offset of each partition at its time, or at [`EARLIEST`] or [`LATEST`].
    ///
    /// # Errors
    /// What trying again does not change; [`ClientError::Timeout`] when not all leaders answer in time.
    pub async fn list(&self, times: BTreeMap<TopicPartition, i64>) -> Result<Found, ClientError> {
        let found = Mutex::new(Found::new());
        let stale = Mutex::new(false);
        retrying("finding offsets", self.limit, self.cluster.config(), || async {
            let left: BTreeMap<&TopicPartition, i64> =
                times.iter().filter(|(place, _)| !found.lock().contains_key(*place)).map(|(place, time)| (place, *time)).collect();
            let refresh = *stale.lock();
            let outcome = self.list_once(&left, refresh, &found).await;
            *stale.lock() = outcome.is_err();
            outcome
        })
        .await?;
        Ok(found.into_inner())
    }

    /// The offset of each partition at its time, asked once of their leader; with what kept some from being found.
    pub async fn list_of(&self, leader: i32, times: &BTreeMap<TopicPartition, i64>) -> (Found, Result<(), ClientError>) {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (place, time) in times {
            let epoch = self.leader(place).map_or(-1, |leader| leader.epoch);
            topics.entry(&place.topic).or_default().push(wanted(place, *time, epoch));
        }
        let found = Mutex::new(Found::new());
        let result = if topics.is_empty() { Ok(()) } else { self.ask(leader, topics, &found).await };
        (found.into_inner(), result)
    }

    fn leader(&self, place: &TopicPartition) -> Option<Leader> {
        self.cluster.known_topic(&place.topic)?.leader(place.partition)
    }

    async fn list_once(&self, left: &BTreeMap<&TopicPartition, i64>, refresh: bool, found: &Mutex<Found>) -> Result<(), ClientError> {
        let mut names: Vec<String> = left.keys().map(|place| place.topic.clone()).collect();
        names.dedup();
        if refresh || names.iter().any(|name| self.cluster.known_topic(name).is_none()) {
            self.cluster.metadata(Some(&names), self.missing).await?;
        }
        let mut asked: BTreeMap<i32, BTreeMap<&str, Vec<ListOffsetsPartition>>> = BTreeMap::new();
        let mut result = Ok(());
        for (place, time) in left {
            match self.leader(place) {
                Some(leader) => {
                    let topics = asked.entry(leader.broker).or_default();
                    topics.entry(&place.topic).or_default().push(wanted(place, *time, leader.epoch));
                }
                // Those that have a leader are asked about all the same.
                None => result = Err(ClientError::NoLeader { topic: place.topic.clone(), partition: place.partition }),
            }
        }
        let answers = join_all(asked.into_iter().map(|(leader, topics)| self.ask(leader, topics, found))).await;
        // What no waiting changes is told first.
        let fatal = |answer: &Result<(), ClientError>| answer.as_ref().is_err_and(|error| !error.is_retriable());
        match answers.iter().position(fatal) {
            Some(at) => answers.into_iter().nth(at).unwrap_or(Ok(())),
            None => answers.into_iter().fold(result, Result::and),
        }
    }

    async fn ask(
        &self,
        leader: i32,
        topics: BTreeMap<&str, Vec<ListOffsetsPartition>>,
        found: &Mutex<Found>,
    ) -> Result<(), ClientError> {
        let topic = |(name, partitions)| ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(partitions);
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_isolation_level(i8::from(self.isolation == Isolation::ReadCommitted))
            .with_topics(topics.into_iter().map(topic).collect());
        let connection = self.cluster.known_broker(leader).await.map_err(|error| match (error, request.topics.first()) {
            // It is gone, and its partitions have another leader soon.
            (ClientError::NoBroker { .. }, Some(topic)) => {
                let partition = topic.partitions.first().map_or(-1, |partition| partition.partition_index);
                ClientError::NoLeader { topic: topic.name.0.to_string(), partition }
            }
            (error, _) => error,
        })?;
        let reply = connection.call(&request).await?;
        let mut result = Ok(());
        for topic in &reply.topics {
            for partition in &topic.partitions {
                let place = TopicPartition::new(&topic.name.0, partition.partition_index);
                if partition.error_code == 0 {
                    let listed = Listed {
                        offset: partition.offset,
                        timestamp: partition.timestamp,
                        leader_epoch: partition.leader_epoch,
                    };
                    found.lock().insert(place, listed);
                } else {
                    let (name, index) = (&topic.name.0, partition.partition_index);
                    result = Err(of_partition_at(connection.address(), name, index, partition.error_code));
                }
            }
        }
        result
    }
}

fn wanted(place: &TopicPartition, time: i64, leader_epoch: i32) -> ListOffsetsPartition {
    ListOffsetsPartition::default()
        .with_partition_index(place.partition)
        .with_timestamp(time)
        .with_current_leader_epoch(leader_epoch)
}
