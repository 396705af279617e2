//! Where partitions are read from: committed offsets and resets looked up, positions checked after a change of
//! leader, seeks, and offsets asked for by the application.
//!
//! The part of [`Consumer`] that `poll` drives between rebalance and fetch; `offsets.rs` and `check.rs` ask the brokers.

use std::collections::BTreeMap;

use futures_util::{FutureExt, StreamExt};
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;

use super::check::{Ask, Verdict};
use super::offsets::{Asker, Found};
use super::{Consumer, Event, OffsetAndTimestamp, Offsets, Reset, TopicPartition, check, position};
use crate::error::ClientError;
use crate::offsets::{EARLIEST, LATEST};

/// Stands for a leader where none is needed.
const NOBODY: i32 = -1;

impl Consumer {
    /// Looks up where to begin; whether that has to wait for a while.
    pub(super) fn place(&mut self) -> bool {
        if self.place_not_before.is_some_and(|at| at > Moment::now()) {
            return true;
        }
        let unplaced = self.partitions.unplaced();
        match &self.group {
            Some(group) if !unplaced.is_empty() => {
                let group = group.clone();
                self.work.push(Box::pin(async move {
                    let places: Vec<TopicPartition> = unplaced.iter().map(|(place, _)| place.clone()).collect();
                    let result = group.committed(&places).await;
                    Event::Placed(unplaced, result)
                }));
            }
            Some(_) => {}
            None => {
                for (place, _) in unplaced {
                    if let Some(partition) = self.partitions.get_mut(&place) {
                        partition.placing = false;
                        partition.reset_by(self.config.reset);
                    }
                }
            }
        }
        self.reset()
    }

    /// Asks the leaders of partitions that begin anew, each for its own: one that is away holds back no other's.
    /// Whether some have no leader to ask.
    fn reset(&mut self) -> bool {
        let (mut of_leader, mut blocked): (BTreeMap<i32, BTreeMap<_, _>>, bool) = (BTreeMap::new(), false);
        for (place, reset, leader) in self.partitions.to_reset() {
            match leader.map(|leader| leader.broker) {
                // Nowhere to begin, which no broker needs to be asked about.
                _ if reset == Reset::None => _ = of_leader.entry(NOBODY).or_default().insert(place, reset),
                Some(broker) => _ = of_leader.entry(broker).or_default().insert(place, reset),
                None => (self.fetcher.stale, blocked) = (true, true),
            }
        }
        of_leader.retain(|leader, _| self.resetting.insert(*leader));
        for (leader, wanted) in of_leader {
            let asker = self.asker();
            self.work.push(Box::pin(async move {
                let times = wanted.iter().filter_map(|(place, reset)| Some((place.clone(), time_of(*reset)?)));
                let (found, result) = asker.list_of(leader, &times.collect()).await;
                Event::Reset { leader, wanted, found, result }
            }));
        }
        blocked
    }

    fn asker(&self) -> Asker {
        Asker {
            cluster: self.cluster.clone(),
            isolation: self.config.isolation,
            missing: self.config.missing,
            limit: self.config.api_timeout,
        }
    }

    pub(super) fn placed(
        &mut self,
        asked: &[(TopicPartition, u64)],
        result: Result<Offsets, ClientError>,
    ) -> Result<(), ClientError> {
        for (place, since) in asked {
            // One that went and came again has been read and committed by others meanwhile (Java:
            // `PendingCommittedOffsetRequest.sameRequest`).
            let Some(partition) = self.partitions.get_mut(place).filter(|own| own.since == *since) else { continue };
            partition.placing = false;
            let Ok(committed) = &result else { continue };
            if partition.position.is_some() || partition.reset.is_some() {
                continue;
            }
            match committed.get(place) {
                Some(found) => partition.seek(found.offset, found.leader_epoch),
                None => partition.reset_by(self.config.reset),
            }
        }
        result
            .map(drop)
            .inspect_err(|_| self.place_not_before = Some(Moment::now().after(self.config.connection.retry_backoff)))
    }

    pub(super) fn was_reset(
        &mut self,
        leader: i32,
        wanted: &BTreeMap<TopicPartition, Reset>,
        found: &Found,
        result: Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        self.resetting.remove(&leader);
        if let Err(error) = &result {
            tracing::debug!(leader, %error, "offsets were not found");
            self.place_not_before = Some(Moment::now().after(self.config.connection.retry_backoff));
            self.fetcher.stale = true;
        }
        let result = result.or_else(|error| if error.is_retriable() { Ok(()) } else { Err(error) });
        for (place, reset) in wanted {
            let Some(partition) = self.partitions.get_mut(place).filter(|known| known.reset == Some(*reset)) else {
                continue;
            };
            match found.get(place).filter(|listed| listed.offset >= 0) {
                // Without an epoch, which would have to be asked about again (Java: `resetPositionIfNeeded`).
                Some(listed) => partition.seek(listed.offset, -1),
                None if *reset == Reset::None => {
                    let (topic, partition) = (place.topic.clone(), place.partition);
                    let reason = "there is no committed offset and auto.offset.reset is none";
                    let address = self.group.as_ref().map(|group| group.address()).unwrap_or_default();
                    return Err(ClientError::NoOffset { topic, partition, reason, address });
                }
                // Asked again, of whoever leads it then: nothing is as late yet, as the next record will be (Java:
                // `OffsetFetcher.resetPositionsAsync`), or nothing was said of it.
                None => {
                    let config = &self.config.connection;
                    let later = if found.contains_key(place) { config.request_timeout } else { config.retry_backoff };
                    partition.not_before = Some(Moment::now().after(later));
                }
            }
        }
        result
    }

    /// Asks leaders that are new how far the log goes that the position was read from (KIP-320).
    pub(super) fn check(&mut self) {
        let is_new = |own: &position::Partition| own.leader.is_some_and(|leader| own.is_unchecked(leader.epoch));
        if self.checking || !self.partitions.any(is_new) {
            return;
        }
        let mut asks = Vec::new();
        for (place, partition) in self.partitions.iter() {
            if let (Some(leader), Some(offset)) = (partition.leader, partition.position)
                && partition.is_unchecked(leader.epoch)
                && partition.not_before.is_none_or(|at| at <= Moment::now())
            {
                asks.push(Ask { place: place.clone(), leader, epoch: partition.epoch, offset });
            }
        }
        if !asks.is_empty() {
            self.checking = true;
            let cluster = self.cluster.clone();
            self.work.push(Box::pin(async move { Event::Checked(check::ask(&cluster, asks).await) }));
        }
    }

    pub(super) fn checked(&mut self, verdicts: Vec<(Ask, Verdict)>) -> Result<(), ClientError> {
        self.checking = false;
        let mut result = Ok(());
        for (ask, verdict) in verdicts {
            let Some(partition) =
                self.partitions.get_mut(&ask.place).filter(|known| known.position == Some(ask.offset))
            else {
                continue;
            };
            match verdict {
                Verdict::Holds => partition.checked = ask.leader.epoch,
                Verdict::Later => {
                    self.fetcher.stale = true;
                    partition.not_before = Some(Moment::now().after(self.config.connection.retry_backoff));
                }
                Verdict::CutBack { end, epoch } => {
                    tracing::warn!(partition = %ask.place, offset = ask.offset, ?end, "the log was cut back");
                    match end {
                        _ if self.config.reset == Reset::None => {
                            let TopicPartition { topic, partition: number } = ask.place;
                            // Told once; the application seeks.
                            partition.checked = ask.leader.epoch;
                            let address = self.cluster.name_of(ask.leader.broker);
                            result = Err(ClientError::Truncated {
                                topic,
                                partition: number,
                                offset: ask.offset,
                                end,
                                address,
                            });
                        }
                        Some(end) => {
                            partition.seek(end, epoch);
                            partition.checked = ask.leader.epoch;
                        }
                        None => partition.reset_by(self.config.reset),
                    }
                }
            }
        }
        result
    }

    pub(super) fn partition(&mut self, place: &TopicPartition) -> Result<&mut position::Partition, ClientError> {
        self.partitions.get_mut(place).ok_or(ClientError::State("the partition is not assigned to this consumer"))
    }

    /// The next poll reads from there.
    ///
    /// # Errors
    /// When the partition is not assigned.
    pub fn seek(&mut self, place: &TopicPartition, offset: i64) -> Result<(), ClientError> {
        self.partition(place)?.seek(offset, -1);
        Ok(())
    }

    /// The next poll reads from the first record that is left; of all assigned partitions when none is named.
    ///
    /// # Errors
    /// When a partition is not assigned.
    pub fn seek_to_beginning(&mut self, places: &[TopicPartition]) -> Result<(), ClientError> {
        self.seek_by(places, Reset::Earliest)
    }

    /// The next poll reads from the end; of all assigned partitions when none is named.
    ///
    /// # Errors
    /// When a partition is not assigned.
    pub fn seek_to_end(&mut self, places: &[TopicPartition]) -> Result<(), ClientError> {
        self.seek_by(places, Reset::Latest)
    }

    /// The next poll reads from where `reset` says; of all assigned partitions when none is named.
    ///
    /// # Errors
    /// When a partition is not assigned.
    pub fn seek_by(&mut self, places: &[TopicPartition], reset: Reset) -> Result<(), ClientError> {
        let all = self.partitions.places();
        for place in if places.is_empty() { &all } else { places } {
            self.partition(place)?.reset_by(reset);
        }
        Ok(())
    }

    /// The offset of the next record, looked up if it is not known yet.
    ///
    /// # Errors
    /// When the partition is not assigned or its position cannot be found in time.
    pub async fn position(&mut self, place: &TopicPartition) -> Result<i64, ClientError> {
        let started = Moment::now();
        loop {
            while let Some(Some(event)) = self.work.next().now_or_never() {
                self.take(event)?;
            }
            if let Some(position) = self.partition(place)?.position {
                return Ok(position);
            }
            let limit = self.config.api_timeout;
            let left = limit.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(ClientError::Timeout { doing: format!("finding the position of {place}"), limit });
            }
            self.partitions.look(&self.cluster);
            let blocked = self.refresh() | self.place();
            self.wait(left, blocked).await?;
        }
    }

    /// The offset of the next record, None while it is looked up.
    pub fn known_position(&self, place: &TopicPartition) -> Option<i64> {
        self.partitions.get(place)?.position
    }

    /// Records between the position and the end of what the isolation lets see, as the last answer told it.
    pub fn lag(&self, place: &TopicPartition) -> Option<i64> {
        self.partitions.get(place)?.lag()
    }

    /// Reads no more from them until resumed.
    ///
    /// # Errors
    /// When a partition is not assigned.
    pub fn pause(&mut self, places: &[TopicPartition]) -> Result<(), ClientError> {
        places.iter().try_for_each(|place| self.partition(place).map(|partition| partition.paused = true))
    }

    /// Reads from them again.
    ///
    /// # Errors
    /// When a partition is not assigned.
    pub fn resume(&mut self, places: &[TopicPartition]) -> Result<(), ClientError> {
        places.iter().try_for_each(|place| self.partition(place).map(|partition| partition.paused = false))
    }

    /// Partitions that are paused.
    pub fn paused(&self) -> Vec<TopicPartition> {
        let paused = self.partitions.iter().filter(|(_, partition)| partition.paused);
        paused.map(|(place, _)| place.clone()).collect()
    }

    /// The first record from a time on, by partition; left out where there is none.
    ///
    /// # Errors
    /// When not all leaders answer in time.
    pub fn offsets_for_times(
        &self,
        times: &BTreeMap<TopicPartition, i64>,
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, OffsetAndTimestamp>, ClientError>> + Send + 'static {
        let (asker, times) = (self.asker(), times.clone());
        async move {
            if times.values().any(|time| *time < 0) {
                return Err(ClientError::State("the target time must not be negative"));
            }
            let found = asker.list(times).await?.into_iter().filter(|(_, listed)| listed.offset >= 0);
            let found = found.map(|(place, listed)| {
                (place, OffsetAndTimestamp { offset: listed.offset, timestamp: listed.timestamp })
            });
            Ok(found.collect())
        }
    }

    /// The first offset that is left, by partition.
    ///
    /// # Errors
    /// When not all leaders answer in time.
    pub fn beginning_offsets(
        &self,
        places: &[TopicPartition],
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, i64>, ClientError>> + Send + 'static {
        self.list(places, EARLIEST)
    }

    /// The end (of what the isolation lets see), by partition.
    ///
    /// # Errors
    /// When not all leaders answer in time.
    pub fn end_offsets(
        &self,
        places: &[TopicPartition],
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, i64>, ClientError>> + Send + 'static {
        self.list(places, LATEST)
    }

    /// Borrows nothing while it waits: a consumer is not `Sync`, and tasks ask as well.
    fn list(
        &self,
        places: &[TopicPartition],
        time: i64,
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, i64>, ClientError>> + Send + 'static {
        let (asker, times) = (self.asker(), places.iter().map(|place| (place.clone(), time)).collect());
        async move {
            let found = asker.list(times).await?;
            Ok(found.into_iter().map(|(place, listed)| (place, listed.offset)).collect())
        }
    }
}

fn time_of(reset: Reset) -> Option<i64> {
    match reset {
        Reset::Earliest => Some(EARLIEST),
        Reset::Latest => Some(LATEST),
        Reset::ByDuration(age) => {
            Some(Clock::Real.now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)).max(0))
        }
        Reset::None => None,
    }
}
