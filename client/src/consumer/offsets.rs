//! Offsets of partitions: first, end, by time, asked of their leaders.
//!
//! Called by `consumer.rs` for resets and on the application's behalf. Leaders that moved are asked for again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;

use crate::TopicPartition;
use crate::config::{Isolation, Missing};
use crate::connection::retrying;
use crate::error::ClientError;
use crate::metadata::{Cluster, Leader};
use crate::offsets::{self, At, Listed};

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
            let left: BTreeMap<&TopicPartition, i64> = times
                .iter()
                .filter(|(place, _)| !found.lock().contains_key(*place))
                .map(|(place, time)| (place, *time))
                .collect();
            let refresh = *stale.lock();
            let outcome = self.list_once(&left, refresh, &found).await;
            *stale.lock() = outcome.is_err();
            outcome
        })
        .await?;
        Ok(found.into_inner())
    }

    /// The offset of each partition at its time, asked once of their leader; with what kept some from being found.
    pub async fn list_of(
        &self,
        leader: i32,
        times: &BTreeMap<TopicPartition, i64>,
    ) -> (Found, Result<(), ClientError>) {
        let found = Mutex::new(Found::new());
        let result = if times.is_empty() {
            Ok(())
        } else {
            self.ask(leader, times.iter().map(|(place, time)| (place, *time)), &found).await
        };
        (found.into_inner(), result)
    }

    fn leader(&self, place: &TopicPartition) -> Option<Leader> {
        self.cluster.known_topic(&place.topic)?.leader(place.partition)
    }

    async fn list_once(
        &self,
        left: &BTreeMap<&TopicPartition, i64>,
        refresh: bool,
        found: &Mutex<Found>,
    ) -> Result<(), ClientError> {
        let mut names: Vec<String> = left.keys().map(|place| place.topic.clone()).collect();
        names.dedup();
        if refresh || names.iter().any(|name| self.cluster.known_topic(name).is_none()) {
            self.cluster.metadata(Some(&names), self.missing).await?;
        }
        let mut asked: BTreeMap<i32, Vec<(&TopicPartition, i64)>> = BTreeMap::new();
        let mut result = Ok(());
        for (place, time) in left {
            match self.leader(place) {
                Some(leader) => asked.entry(leader.broker).or_default().push((place, *time)),
                // Those that have a leader are asked about all the same.
                None => result = Err(ClientError::NoLeader { topic: place.topic.clone(), partition: place.partition }),
            }
        }
        let answers = join_all(asked.into_iter().map(|(leader, wanted)| self.ask(leader, wanted, found))).await;
        // What no waiting changes is told first.
        let fatal = |answer: &Result<(), ClientError>| answer.as_ref().is_err_and(|error| !error.is_retriable());
        match answers.iter().position(fatal) {
            Some(at) => answers.into_iter().nth(at).unwrap_or(Ok(())),
            None => answers.into_iter().fold(result, Result::and),
        }
    }

    async fn ask<'a>(
        &self,
        leader: i32,
        wanted: impl IntoIterator<Item = (&'a TopicPartition, i64)>,
        found: &Mutex<Found>,
    ) -> Result<(), ClientError> {
        let mut first = None;
        let wanted = wanted.into_iter().map(|(place, time)| {
            first.get_or_insert(place);
            let leader_epoch = self.leader(place).map_or(-1, |leader| leader.epoch);
            (place, At { time, leader_epoch })
        });
        let wanted: Vec<_> = wanted.collect();
        let connection = self.cluster.known_broker(leader).await.map_err(|error| match (error, first) {
            // It is gone, and its partitions have another leader soon.
            (ClientError::NoBroker { .. }, Some(place)) => {
                ClientError::NoLeader { topic: place.topic.clone(), partition: place.partition }
            }
            (error, _) => error,
        })?;
        let mut result = Ok(());
        for (place, answer) in offsets::list(&connection, wanted, self.isolation).await? {
            match answer {
                Ok(listed) => _ = found.lock().insert(place, listed),
                Err(error) => result = Err(error),
            }
        }
        result
    }
}
