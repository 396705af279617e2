//! Records in: partitions of a group, or assigned by hand, read from their leaders.
//!
//! Called by the console consumer, the examples and every product that reads. `poll` lends records from the buffers
//! that came over the wire; while its caller works on them the next ones are already fetched. Membership of a group
//! is kept alive by a task of its own, but joining, leaving and committing before a rebalance happen in `poll`.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::error::ClientError> {
//! use std::time::Duration;
//!
//! use client::config::{ConsumerConfig, Reset};
//! use client::consumer::Consumer;
//! use client::metadata::Cluster;
//!
//! let config = ConsumerConfig { group: Some("readers".to_owned()), reset: Reset::Earliest, ..ConsumerConfig::default() };
//! let mut consumer = Consumer::new(Cluster::new("localhost:9092"), config);
//! consumer.subscribe(&["greetings"])?;
//! for record in consumer.poll(Duration::from_millis(500)).await?.iter() {
//!     println!("{}@{}: {:?}", record.partition(), record.offset, record.value);
//! }
//! consumer.close().await?;
//! # Ok(()) }
//! ```
//!
//! Not done: assignors other than range, patterns, KIP-848 groups, client.rack, interceptors, metrics, by_duration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use tokio::task::AbortHandle;

pub use crate::TopicPartition;
pub use crate::config::{ConsumerConfig, Isolation, Reset};
use crate::error::ClientError;
use crate::metadata::Cluster;

// Topic partition -> where it is read.
mod position;
// Which partitions a group's members read.
mod assign;
// What a coordinator's answers mean.
mod group;
// Joining, heartbeats, commits.
mod coordinator;
// Time -> offset.
mod offsets;
// What a broker is told of what it knows already.
mod session;
// Requests -> buffered bytes.
mod fetch;
// Bytes -> records.
mod decode;

use coordinator::{Coordinator, Joined};
pub use decode::{Record, Records, TimestampType};
use fetch::{Arrival, Fetcher};
use offsets::{Asker, EARLIEST, Found, LATEST};
use position::Partitions;

/// An offset to commit or committed, with what the application noted beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// Of the next record to read.
    pub offset: i64,
    /// Epoch of the leader that wrote the record before it, -1 for none.
    pub leader_epoch: i32,
    /// Any text.
    pub metadata: String,
}

impl From<i64> for OffsetAndMetadata {
    fn from(offset: i64) -> Self {
        OffsetAndMetadata { offset, leader_epoch: -1, metadata: String::new() }
    }
}

/// Offsets by partition.
pub type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// The first record from some time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub timestamp: i64,
}

/// Told when partitions of a group come and go; called from within `poll` and `close`.
pub trait RebalanceListener: Send {
    /// These are this member's from now on.
    fn assigned(&mut self, partitions: &[TopicPartition]);
    /// These are given back; what is put into `commit` is committed before another member gets them.
    fn revoked(&mut self, partitions: &[TopicPartition], commit: &mut Offsets);
    /// These were taken away (the member was thrown out); they may have another owner already.
    fn lost(&mut self, partitions: &[TopicPartition]);
}

/// What a poll waits for.
enum Event {
    Fetch(Arrival),
    Refreshed(Result<(), ClientError>),
    /// Committed offsets of partitions without a position.
    Placed(Vec<TopicPartition>, Result<Offsets, ClientError>),
    Reset(BTreeMap<TopicPartition, Reset>, Result<Found, ClientError>),
    /// The commit before a rebalance is over.
    Settled,
    /// Of the attempt with this number.
    Joined(u64, Result<Joined, ClientError>),
    AutoCommitted,
}

/// How far a rebalance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rebalance {
    None,
    /// What was read is being committed.
    Settling,
    Joining,
}

struct Subscription {
    topics: Vec<String>,
    rebalance: Rebalance,
    /// Of joins; an answer to an older one is not looked at.
    attempt: u64,
    joining: Option<AbortHandle>,
    /// Of the group's leader: partitions of the topics that it assigned.
    counts: Option<BTreeMap<String, usize>>,
}

/// Reads partitions; not shared between tasks. A poll may be cancelled at any point: nothing is lost.
pub struct Consumer {
    cluster: Cluster,
    config: ConsumerConfig,
    partitions: Partitions,
    fetcher: Fetcher,
    group: Option<Arc<Coordinator>>,
    subscription: Option<Subscription>,
    listener: Option<Box<dyn RebalanceListener>>,
    work: FuturesUnordered<BoxFuture<'static, Event>>,
    refreshing: bool,
    refreshed: Option<Moment>,
    placing: bool,
    resetting: bool,
    place_not_before: Option<Moment>,
    auto_committing: bool,
    auto_committed: Moment,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop_joining();
    }
}

impl Consumer {
    /// A consumer of `cluster`. Must be called inside a tokio runtime; connects to nothing yet.
    pub fn new(cluster: Cluster, config: ConsumerConfig) -> Self {
        let group = config.group.as_deref().map(|group| Coordinator::new(&cluster, config.clone(), group));
        if let Some(group) = &group {
            group.keep_alive();
        }
        Consumer {
            fetcher: Fetcher::new(&cluster, config.clone()),
            cluster,
            config,
            partitions: Partitions::default(),
            group,
            subscription: None,
            listener: None,
            work: FuturesUnordered::new(),
            refreshing: false,
            refreshed: None,
            placing: false,
            resetting: false,
            place_not_before: None,
            auto_committing: false,
            auto_committed: Moment::now(),
        }
    }

    /// Who is told of rebalances.
    pub fn set_listener(&mut self, listener: Box<dyn RebalanceListener>) {
        self.listener = Some(listener);
    }

    fn coordinator(&self) -> Result<Arc<Coordinator>, ClientError> {
        self.group.clone().ok_or(ClientError::State("group.id is not set"))
    }

    /// Reads topics together with the other members of the group; polls join it.
    ///
    /// # Errors
    /// Without a group, or when partitions were assigned by hand.
    pub fn subscribe(&mut self, topics: &[&str]) -> Result<(), ClientError> {
        let group = self.coordinator()?;
        if self.subscription.is_none() && self.partitions.len() > 0 {
            return Err(ClientError::State("subscription to topics and partitions assigned by hand exclude each other"));
        }
        let mut topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        topics.sort();
        topics.dedup();
        self.stop_joining();
        group.membership.lock().rejoin = true;
        let attempt = self.subscription.as_ref().map_or(0, |known| known.attempt + 1);
        let rebalance = Rebalance::None;
        self.subscription = Some(Subscription { topics, rebalance, attempt, joining: None, counts: None });
        self.refreshed = None;
        self.fetcher.stale = true;
        Ok(())
    }

    /// Reads exactly these partitions; those that were assigned before go on where they stand.
    ///
    /// # Errors
    /// When topics are subscribed to.
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        if self.subscription.is_some() {
            return Err(ClientError::State("subscription to topics and partitions assigned by hand exclude each other"));
        }
        self.partitions.assign(partitions.iter().cloned());
        self.fetcher.stale = true;
        Ok(())
    }

    /// Reads nothing; leaves the group without a commit.
    ///
    /// # Errors
    /// None; an answer that does not come is not waited for beyond `request.timeout.ms`.
    pub async fn unsubscribe(&mut self) -> Result<(), ClientError> {
        self.stop_joining();
        if self.subscription.take().is_some() {
            let mut ignored = Offsets::new();
            self.revoke(&mut ignored);
            self.coordinator()?.leave("the consumer unsubscribed from all topics").await;
        }
        self.partitions.assign([]);
        Ok(())
    }

    /// What is read now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.partitions.places()
    }

    /// Waits up to `timeout` for records. Of a group, this is where the member joins and where partitions come and go.
    ///
    /// # Errors
    /// What waiting does not change; the next poll begins anew.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Records, ClientError> {
        let started = Moment::now();
        if self.subscription.is_none() && self.partitions.len() == 0 {
            return Err(ClientError::State("neither topics nor partitions are read"));
        }
        loop {
            if let Some(group) = &self.group {
                group.polled();
                if let Some(fatal) = group.take_fatal() {
                    return Err(fatal);
                }
            }
            while let Some(Some(event)) = self.work.next().now_or_never() {
                self.take(event)?;
            }
            self.rebalance();
            self.auto_commit();
            let mut blocked = self.refresh();
            if self.is_settled() {
                blocked |= self.place();
                let records = self.fetcher.collect(&mut self.partitions)?;
                let (requests, held) = self.fetcher.send(&self.partitions);
                for request in requests {
                    self.work.push(request.map(Event::Fetch).boxed());
                }
                if !records.is_empty() {
                    return Ok(records);
                }
                blocked |= held;
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(Records::default());
            }
            self.wait(left, blocked).await?;
        }
    }

    /// Waits for an event, or until something is due.
    async fn wait(&mut self, left: Duration, blocked: bool) -> Result<(), ClientError> {
        let nap = if blocked { left.min(self.config.connection.retry_backoff) } else { left.min(Duration::from_secs(1)) };
        let changed = async {
            match &self.group {
                Some(group) => group.changed.notified().await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = self.work.next(), if !self.work.is_empty() => event,
            () = changed => None,
            () = task::sleep(nap) => None,
        };
        event.map_or(Ok(()), |event| self.take(event))
    }

    fn take(&mut self, event: Event) -> Result<(), ClientError> {
        match event {
            Event::Fetch(arrival) => self.fetcher.take(arrival, &mut self.partitions),
            Event::Refreshed(result) => {
                self.refreshing = false;
                self.refreshed = Some(Moment::now());
                if let Err(error) = result {
                    tracing::warn!(%error, "cannot refresh metadata");
                    self.fetcher.stale = true;
                    return if error.is_retriable() { Ok(()) } else { Err(error) };
                }
                self.watch_counts();
                Ok(())
            }
            Event::Placed(places, result) => self.placed(&places, result),
            Event::Reset(wanted, result) => self.was_reset(&wanted, result),
            Event::Settled => {
                self.join();
                Ok(())
            }
            Event::Joined(attempt, result) => self.joined(attempt, result),
            Event::AutoCommitted => {
                self.auto_committing = false;
                Ok(())
            }
        }
    }

    /// Whether partitions may be read: no rebalance is under way.
    fn is_settled(&self) -> bool {
        let Some(subscription) = &self.subscription else { return true };
        let rejoin = self.group.as_ref().is_some_and(|group| group.membership.lock().rejoin);
        subscription.rebalance == Rebalance::None && !rejoin
    }

    /// Begins a rebalance when one is called for: what was read is committed, then partitions are given back.
    fn rebalance(&mut self) {
        let (Some(group), Some(subscription)) = (self.group.clone(), &mut self.subscription) else { return };
        let (rejoin, thrown_out) = {
            let membership = group.membership.lock();
            (membership.rejoin, membership.thrown_out)
        };
        if !rejoin || subscription.rebalance != Rebalance::None {
            return;
        }
        subscription.rebalance = Rebalance::Settling;
        if thrown_out {
            let places = self.partitions.places();
            self.partitions.assign([]);
            if let Some(listener) = self.listener.as_mut().filter(|_| !places.is_empty()) {
                listener.lost(&places);
            }
            return self.join();
        }
        let mut offsets = if self.config.auto_commit.is_some() { self.partitions.consumed() } else { Offsets::new() };
        self.revoke(&mut offsets);
        if offsets.is_empty() {
            return self.join();
        }
        self.work.push(Box::pin(async move {
            if let Err(error) = group.commit(&offsets).await {
                tracing::warn!(%error, "offsets were not committed before the rebalance");
            }
            Event::Settled
        }));
    }

    fn revoke(&mut self, offsets: &mut Offsets) {
        let places = self.partitions.places();
        self.partitions.assign([]);
        if let Some(listener) = self.listener.as_mut().filter(|_| !places.is_empty()) {
            listener.revoked(&places, offsets);
        }
    }

    fn join(&mut self) {
        let (Some(group), Some(subscription)) = (self.group.clone(), &mut self.subscription) else { return };
        if subscription.rebalance != Rebalance::Settling {
            return;
        }
        subscription.rebalance = Rebalance::Joining;
        subscription.attempt += 1;
        let attempt = subscription.attempt;
        let handle = task::spawn("group join", group.join(subscription.topics.clone()));
        subscription.joining = Some(handle.abort_handle());
        self.work.push(Box::pin(async move {
            Event::Joined(attempt, handle.await.unwrap_or(Err(ClientError::State("the join was stopped"))))
        }));
    }

    fn joined(&mut self, attempt: u64, result: Result<Joined, ClientError>) -> Result<(), ClientError> {
        let Some(subscription) = self.subscription.as_mut().filter(|known| known.attempt == attempt) else {
            return Ok(());
        };
        subscription.rebalance = Rebalance::None;
        subscription.joining = None;
        let Joined { partitions, counts } = result?;
        subscription.counts = counts;
        self.partitions.assign(partitions);
        self.auto_committed = Moment::now();
        self.fetcher.stale = true;
        let places = self.partitions.places();
        if let Some(listener) = &mut self.listener {
            listener.assigned(&places);
        }
        Ok(())
    }

    fn stop_joining(&mut self) {
        if let Some(joining) = self.subscription.as_mut().and_then(|known| known.joining.take()) {
            joining.abort();
        }
    }

    /// The leader of a group calls for a rebalance when a topic has more partitions than it assigned, or is new.
    fn watch_counts(&self) {
        let (Some(group), Some(subscription)) = (&self.group, &self.subscription) else { return };
        let Some(counts) = &subscription.counts else { return };
        if subscription.rebalance == Rebalance::None && group.counts(&counts_topics(counts, subscription)) != *counts {
            tracing::info!("partitions of subscribed topics have changed: rejoining");
            group.membership.lock().rejoin = true;
        }
    }

    /// Asks for metadata when it is stale or old; whether it has to wait with that.
    fn refresh(&mut self) -> bool {
        let topics: Vec<String> = match &self.subscription {
            Some(subscription) => subscription.topics.clone(),
            None => {
                let mut topics: Vec<String> = self.partitions.places().into_iter().map(|place| place.topic).collect();
                topics.dedup();
                topics
            }
        };
        let age = self.refreshed.map(|at| at.elapsed());
        let unknown = topics.iter().any(|topic| self.cluster.known_topic(topic).is_none());
        let old = age.is_none_or(|age| age >= self.config.connection.metadata_max_age);
        if self.refreshing || !(self.fetcher.stale || unknown || old) {
            return false;
        }
        if age.is_some_and(|age| age < self.config.connection.retry_backoff) {
            return true;
        }
        self.refreshing = true;
        self.fetcher.stale = false;
        let (cluster, missing) = (self.cluster.clone(), self.config.missing);
        self.work.push(Box::pin(async move {
            Event::Refreshed(cluster.metadata(Some(&topics), missing).await.map(drop))
        }));
        false
    }

    /// Looks up where to begin; whether that has to wait for a while.
    fn place(&mut self) -> bool {
        if self.place_not_before.is_some_and(|at| at > Moment::now()) {
            return true;
        }
        let unplaced = self.partitions.unplaced();
        match &self.group {
            Some(group) if !unplaced.is_empty() && !self.placing => {
                self.placing = true;
                let group = group.clone();
                self.work.push(Box::pin(async move {
                    let result = group.committed(&unplaced).await;
                    Event::Placed(unplaced, result)
                }));
            }
            Some(_) => {}
            None => {
                for place in unplaced {
                    if let Some(partition) = self.partitions.get_mut(&place) {
                        partition.reset_by(self.config.reset);
                    }
                }
            }
        }
        let to_reset = self.partitions.to_reset();
        if !to_reset.is_empty() && !self.resetting {
            self.resetting = true;
            let asker = self.asker();
            self.work.push(Box::pin(async move {
                let times = to_reset.iter().filter_map(|(place, reset)| Some((place.clone(), time_of(*reset)?)));
                let result = asker.list(times.collect()).await;
                Event::Reset(to_reset, result)
            }));
        }
        false
    }

    fn asker(&self) -> Asker {
        Asker {
            cluster: self.cluster.clone(),
            isolation: self.config.isolation,
            missing: self.config.missing,
            limit: self.config.api_timeout,
        }
    }

    fn placed(&mut self, places: &[TopicPartition], result: Result<Offsets, ClientError>) -> Result<(), ClientError> {
        self.placing = false;
        let committed = match result {
            Ok(committed) => committed,
            Err(error) => {
                self.place_not_before = Some(Moment::now().after(self.config.connection.retry_backoff));
                return Err(error);
            }
        };
        for place in places {
            let Some(partition) = self.partitions.get_mut(place) else { continue };
            if partition.position.is_some() || partition.reset.is_some() {
                continue;
            }
            match committed.get(place) {
                Some(found) => partition.seek(found.offset, found.leader_epoch),
                None => partition.reset_by(self.config.reset),
            }
        }
        Ok(())
    }

    fn was_reset(
        &mut self,
        wanted: &BTreeMap<TopicPartition, Reset>,
        result: Result<Found, ClientError>,
    ) -> Result<(), ClientError> {
        self.resetting = false;
        let found = match result {
            Ok(found) => found,
            Err(error) => {
                self.place_not_before = Some(Moment::now().after(self.config.connection.retry_backoff));
                return Err(error);
            }
        };
        for (place, reset) in wanted {
            let Some(partition) = self.partitions.get_mut(place).filter(|known| known.reset == Some(*reset)) else {
                continue;
            };
            match found.get(place) {
                Some(listed) => partition.seek(listed.offset, listed.leader_epoch),
                None => {
                    let (topic, partition) = (place.topic.clone(), place.partition);
                    let reason = "there is no committed offset and auto.offset.reset is none";
                    return Err(ClientError::NoOffset { topic, partition, reason });
                }
            }
        }
        Ok(())
    }

    fn auto_commit(&mut self) {
        let (Some(group), Some(interval)) = (&self.group, self.config.auto_commit) else { return };
        if self.auto_committing || self.auto_committed.elapsed() < interval || !self.is_settled() {
            return;
        }
        self.auto_committed = Moment::now();
        let (group, offsets) = (group.clone(), self.partitions.consumed());
        if offsets.is_empty() {
            return;
        }
        self.auto_committing = true;
        let commit = task::spawn("offset commit", async move {
            if let Err(error) = group.commit(&offsets).await {
                tracing::warn!(%error, "offsets were not committed");
            }
        });
        self.work.push(Box::pin(async move {
            // A commit that panicked has been reported by its task.
            let _ = commit.await;
            Event::AutoCommitted
        }));
    }

    fn partition(&mut self, place: &TopicPartition) -> Result<&mut position::Partition, ClientError> {
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

    fn seek_by(&mut self, places: &[TopicPartition], reset: Reset) -> Result<(), ClientError> {
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
            let blocked = self.place();
            self.wait(left, blocked).await?;
        }
    }

    /// Records between the position and the end, as the last answer told it.
    pub fn lag(&self, place: &TopicPartition) -> Option<i64> {
        let partition = self.partitions.get(place)?;
        Some((partition.high_watermark? - partition.position?).max(0))
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

    /// Commits the positions (what the last poll brought included) and waits.
    ///
    /// # Errors
    /// Without a group, when the group has gone on without this member, or when no coordinator answers in time.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.coordinator()?.commit(&self.partitions.consumed()).await
    }

    /// Commits these offsets and waits.
    ///
    /// # Errors
    /// As [`Consumer::commit`].
    pub async fn commit_offsets(&mut self, offsets: &Offsets) -> Result<(), ClientError> {
        self.coordinator()?.commit(offsets).await
    }

    /// Commits the positions without waiting; a failure is only logged.
    ///
    /// # Errors
    /// Without a group.
    pub fn commit_async(&mut self) -> Result<(), ClientError> {
        let (group, offsets) = (self.coordinator()?, self.partitions.consumed());
        task::spawn("offset commit", async move {
            if let Err(error) = group.commit(&offsets).await {
                tracing::warn!(%error, "offsets were not committed");
            }
        });
        Ok(())
    }

    /// What the group committed; partitions without a committed offset are left out.
    ///
    /// # Errors
    /// As [`Consumer::commit`].
    pub async fn committed(&mut self, places: &[TopicPartition]) -> Result<Offsets, ClientError> {
        self.coordinator()?.committed(places).await
    }

    /// The first record from a time on, by partition; left out where there is none.
    ///
    /// # Errors
    /// When not all leaders answer in time.
    pub async fn offsets_for_times(
        &mut self,
        times: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndTimestamp>, ClientError> {
        if times.values().any(|time| *time < 0) {
            return Err(ClientError::State("the target time must not be negative"));
        }
        let found = self.asker().list(times.clone()).await?.into_iter().filter(|(_, listed)| listed.offset >= 0);
        let found = found.map(|(place, listed)| {
            (place, OffsetAndTimestamp { offset: listed.offset, timestamp: listed.timestamp })
        });
        Ok(found.collect())
    }

    /// The first offset that is left, by partition.
    ///
    /// # Errors
    /// When not all leaders answer in time.
    pub async fn beginning_offsets(
        &mut self,
        places: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        self.list(places, EARLIEST).await
    }

    /// The end (of what the isolation lets see), by partition.
    ///
    /// # Errors
    /// When not all leaders answer in time.
    pub async fn end_offsets(&mut self, places: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        self.list(places, LATEST).await
    }

    async fn list(&self, places: &[TopicPartition], time: i64) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        let times = places.iter().map(|place| (place.clone(), time)).collect();
        let found = self.asker().list(times).await?;
        Ok(found.into_iter().map(|(place, listed)| (place, listed.offset)).collect())
    }

    /// How many partitions a topic has; waits for it up to `default.api.timeout.ms`.
    ///
    /// # Errors
    /// When it is not found in time.
    pub async fn partition_count(&mut self, topic: &str) -> Result<usize, ClientError> {
        Ok(self.cluster.topic(topic, self.config.missing, self.config.api_timeout).await?.leaders.len())
    }

    /// Commits if commits are automatic, gives partitions back and leaves the group.
    ///
    /// # Errors
    /// When the last commit fails.
    pub async fn close(&mut self) -> Result<(), ClientError> {
        let settled = self.is_settled();
        self.stop_joining();
        let Some(group) = self.group.clone() else { return Ok(()) };
        let automatic = self.config.auto_commit.is_some() && settled;
        let mut offsets = if automatic { self.partitions.consumed() } else { Offsets::new() };
        let subscribed = self.subscription.is_some();
        if subscribed {
            self.revoke(&mut offsets);
        }
        let committed = group.commit(&offsets).await;
        if subscribed {
            group.leave("the consumer is being closed").await;
        }
        self.subscription = None;
        self.partitions.assign([]);
        committed
    }
}

fn time_of(reset: Reset) -> Option<i64> {
    match reset {
        Reset::Earliest => Some(EARLIEST),
        Reset::Latest => Some(LATEST),
        Reset::None => None,
    }
}

/// The topics to watch: those that were assigned and those that this member subscribed to.
fn counts_topics(counts: &BTreeMap<String, usize>, subscription: &Subscription) -> Vec<String> {
    let mut topics: Vec<String> = counts.keys().chain(&subscription.topics).cloned().collect();
    topics.sort();
    topics.dedup();
    topics
}
