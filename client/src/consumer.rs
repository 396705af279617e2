//! Records in: partitions of a group, or assigned by hand, read from their leaders.
//!
//! Called by the console consumer, the examples and every product that reads. `poll` lends records from the buffers
//! that came over the wire; while its caller works on them the next ones are already fetched. Membership of a group
//! is kept alive and joined by tasks of its own; what becomes of that, and commits before a rebalance, happen in `poll`. A
//! member that does not poll for `max.poll.interval.ms` is taken out of its group by the task that keeps it alive.
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
//! Not done: groups of KIP-848; a change of `group.instance.id` while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use millstream_base_env::clock::Moment;
use millstream_base_env::task;

pub use crate::TopicPartition;
pub use crate::config::{Assignor, ConsumerConfig, Isolation, Reset};
use crate::error::ClientError;
use crate::metadata::Cluster;

// Topic partition -> where it is read.
mod position;
// What is done, counted.
mod metrics;
// An assignor of the application's own.
mod plugin;
// What members write for one another.
mod embedded;
// Which partitions a group's members read.
mod assign;
// What a coordinator's answers mean.
mod group;
// Joining, heartbeats, commits.
mod coordinator;
// Partitions that come and go.
mod rebalance;
// Time -> offset.
mod offsets;
// Whether a position still holds.
mod check;
// Seeks, resets and what they look up.
mod positions;
// What a broker is told of what it knows already.
mod session;
// Requests -> buffered bytes.
mod fetch;
// Bytes -> records.
mod decode;
// Positions -> the coordinator.
mod commits;
// Records one by one.
mod stream;

use check::{Ask, Verdict};
pub use commits::CommitCallback;
use coordinator::{Coordinator, Joined};
pub use decode::{OwnedRecord, Record, Records, Run, TimestampType};
pub(crate) use embedded::read_assignment;
use fetch::{Arrival, Fetcher};
use metrics::Tally;
use offsets::Found;
pub use plugin::{GroupAssignment, GroupAssignor, GroupMember};
use position::Partitions;
use rebalance::{Described, Subscription};

/// An offset to commit or committed, with what the application noted beside it.
///
/// ```
/// use client::consumer::OffsetAndMetadata;
///
/// let noted = OffsetAndMetadata { metadata: "by the nightly run".to_owned(), ..OffsetAndMetadata::from(42) };
/// assert_eq!((noted.offset, noted.leader_epoch), (42, -1));
/// ```
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
///
/// ```
/// use client::consumer::{OffsetAndMetadata, Offsets, TopicPartition};
///
/// let offsets = Offsets::from([(TopicPartition::new("greetings", 0), OffsetAndMetadata::from(42))]);
/// assert_eq!(offsets.len(), 1);
/// ```
pub type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// The first record from some time on.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use client::consumer::{Consumer, OffsetAndTimestamp, TopicPartition};
///
/// async fn since(consumer: &Consumer, ms: i64) -> Result<(), client::error::ClientError> {
///     let times = BTreeMap::from([(TopicPartition::new("orders", 0), ms)]);
///     for (place, OffsetAndTimestamp { offset, timestamp }) in consumer.offsets_for_times(&times).await? {
///         println!("{place}: {offset} at {timestamp}");
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub timestamp: i64,
}

/// Told when partitions of a group come and go; called from within `poll` and `close`.
///
/// ```
/// use client::consumer::{Offsets, RebalanceListener, TopicPartition};
///
/// struct Print;
///
/// impl RebalanceListener for Print {
///     fn assigned(&mut self, partitions: &[TopicPartition]) {
///         println!("reading {partitions:?}");
///     }
///     fn revoked(&mut self, partitions: &[TopicPartition], _commit: &mut Offsets) {
///         println!("giving back {partitions:?}");
///     }
///     fn lost(&mut self, partitions: &[TopicPartition]) {
///         println!("lost {partitions:?}");
///     }
/// }
/// ```
pub trait RebalanceListener: Send {
    /// These are this member's from now on.
    fn assigned(&mut self, partitions: &[TopicPartition]);
    /// As `assigned`, and the place to say where they are read from (offsets that are kept elsewhere) before any record
    /// of them is. Called in its place; calls it unless it is overridden.
    fn assigned_at(&mut self, partitions: &[TopicPartition], _assignment: &mut Assignment<'_>) {
        self.assigned(partitions);
    }
    /// These are given back; what is put into `commit` is committed before another member gets them.
    fn revoked(&mut self, partitions: &[TopicPartition], commit: &mut Offsets);
    /// These were taken away (the member was thrown out); they may have another owner already.
    fn lost(&mut self, partitions: &[TopicPartition]);
}

/// Whether a member that closes leaves its group (Java: `CloseOptions.GroupMembershipOperation`).
///
/// ```
/// use client::consumer::{Consumer, Leaving};
///
/// async fn restart(mut consumer: Consumer) -> Result<(), client::error::ClientError> {
///     consumer.close_as(std::time::Duration::from_secs(30), Leaving::Remain).await
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It does, unless it is static.
    Default,
    /// It does: its partitions go to others at once.
    Leave,
    /// It does not: its partitions wait for it until its session has timed out.
    Remain,
}

/// What a member reads, while its listener is told of it.
///
/// ```
/// use client::consumer::{Assignment, Offsets, RebalanceListener, TopicPartition};
///
/// /// Offsets are kept beside the results.
/// struct Stored(fn(&TopicPartition) -> i64);
///
/// impl RebalanceListener for Stored {
///     fn assigned(&mut self, _: &[TopicPartition]) {}
///     fn assigned_at(&mut self, partitions: &[TopicPartition], assignment: &mut Assignment<'_>) {
///         for place in partitions {
///             assignment.seek(place, (self.0)(place)).expect("it was just assigned");
///         }
///     }
///     fn revoked(&mut self, _: &[TopicPartition], _: &mut Offsets) {}
///     fn lost(&mut self, _: &[TopicPartition]) {}
/// }
/// ```
pub struct Assignment<'a> {
    partitions: &'a mut Partitions,
}

impl Assignment<'_> {
    fn at(&mut self, place: &TopicPartition) -> Result<&mut position::Partition, ClientError> {
        self.partitions.get_mut(place).ok_or(ClientError::State("the partition is not assigned"))
    }

    /// Reads from `offset` on.
    ///
    /// # Errors
    /// When the partition is not assigned; also those below.
    pub fn seek(&mut self, place: &TopicPartition, offset: i64) -> Result<(), ClientError> {
        self.at(place).map(|partition| partition.seek(offset.max(0), -1))
    }

    /// Reads from where `reset` says.
    ///
    /// # Errors
    /// As [`Assignment::seek`].
    pub fn seek_by(&mut self, place: &TopicPartition, reset: Reset) -> Result<(), ClientError> {
        self.at(place).map(|partition| partition.reset_by(reset))
    }

    /// Reads nothing until it is resumed.
    ///
    /// # Errors
    /// As [`Assignment::seek`].
    pub fn pause(&mut self, place: &TopicPartition) -> Result<(), ClientError> {
        self.at(place).map(|partition| partition.paused = true)
    }

    /// Reads again.
    ///
    /// # Errors
    /// As [`Assignment::seek`].
    pub fn resume(&mut self, place: &TopicPartition) -> Result<(), ClientError> {
        self.at(place).map(|partition| partition.paused = false)
    }
}

/// Sees what a consumer hands out and what it commits.
///
/// ```
/// use client::consumer::{ConsumerInterceptor, Offsets, Records};
///
/// struct Count(usize);
///
/// impl ConsumerInterceptor for Count {
///     fn on_consume(&mut self, records: Records) -> Records {
///         self.0 += records.len();
///         records
///     }
///     fn on_commit(&mut self, offsets: &Offsets) {
///         println!("{} records, committed {offsets:?}", self.0);
///     }
/// }
/// ```
pub trait ConsumerInterceptor: Send {
    /// What the next poll is going to return; what comes back is returned in its place.
    fn on_consume(&mut self, records: Records) -> Records {
        records
    }

    /// These offsets are committed.
    fn on_commit(&mut self, _offsets: &Offsets) {}

    /// The consumer is closed.
    fn close(&mut self) {}
}

/// What a poll waits for.
enum Event {
    Fetch(Arrival),
    Refreshed(Result<Vec<Described>, ClientError>),
    /// Committed offsets of partitions without a position, each as it came at that count of assignments.
    Placed(Vec<(TopicPartition, u64)>, Result<Offsets, ClientError>),
    /// Of what one leader was asked about.
    Reset {
        leader: i32,
        wanted: BTreeMap<TopicPartition, Reset>,
        found: Found,
        result: Result<(), ClientError>,
    },
    /// What leaders say of positions.
    Checked(Vec<(Ask, Verdict)>),
    /// Of the attempt with this number.
    Joined(u64, Result<Joined, ClientError>),
}

/// What a join brought, and of which attempt.
type Came = (u64, Result<Joined, ClientError>);

/// How long a close may take (Java: `ConsumerUtils.DEFAULT_CLOSE_TIMEOUT_MS`).
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// Reads partitions; not shared between tasks. A poll may be cancelled at any point: nothing is lost.
///
/// ```no_run
/// # async fn example() -> Result<(), client::error::ClientError> {
/// use std::time::Duration;
///
/// use client::consumer::{Consumer, ConsumerConfig, TopicPartition};
/// use client::metadata::Cluster;
///
/// let mut consumer = Consumer::new(Cluster::new("localhost:9092"), ConsumerConfig::default());
/// let place = TopicPartition::new("greetings", 0);
/// consumer.assign(&[place.clone()])?;
/// consumer.seek_to_beginning(&[])?;
/// let records = consumer.poll(Duration::from_secs(1)).await?;
/// println!("{} records, {:?} to go", records.len(), consumer.lag(&place));
/// # Ok(()) }
/// ```
pub struct Consumer {
    cluster: Cluster,
    config: ConsumerConfig,
    partitions: Partitions,
    fetcher: Fetcher,
    group: Option<Arc<Coordinator>>,
    subscription: Option<Subscription>,
    listener: Option<Box<dyn RebalanceListener>>,
    interceptors: Vec<Box<dyn ConsumerInterceptor>>,
    work: FuturesUnordered<BoxFuture<'static, Event>>,
    commits: Option<commits::Queue>,
    /// A join that is over; the listener hears of it within a poll.
    came: Option<Came>,
    /// Of partitions that an assignment took away: to commit before the next join.
    owed: Offsets,
    refreshing: bool,
    refreshed: Option<Moment>,
    /// Whether topics were unknown, at a version of the cluster's metadata; None when other topics are read since.
    lacked: Option<(u64, bool)>,
    /// Refreshes of metadata in a row, each soon after the one before.
    hurried: u32,
    /// Leaders that are being asked where to begin.
    resetting: BTreeSet<i32>,
    checking: bool,
    place_not_before: Option<Moment>,
    auto_committing: bool,
    auto_committed: Moment,
    /// When the next automatic commit is due, after one that failed.
    auto_again: Option<Moment>,
    /// Of attempts to join, over all subscriptions.
    attempts: u64,
    /// An assignor of the application's in place of those that the settings name.
    assignor: Option<Arc<dyn GroupAssignor>>,
    tally: Arc<Tally>,
    topics: metrics::Topics,
    polled: Option<Moment>,
    /// Partitions came or went, and an assignor of the application's is to see it before the member joins again.
    told: bool,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop_joining();
    }
}

impl Consumer {
    /// A consumer of the cluster that `config` names. Must be called inside a tokio runtime; connects to nothing yet.
    pub fn connect(config: ConsumerConfig) -> Self {
        Self::new(Cluster::with_config(config.connection.clone()), config)
    }

    /// A consumer of `cluster`, whose settings count for everything that has to do with connections: those in `config`
    /// are not read. Must be called inside a tokio runtime; connects to nothing yet. Settings that contradict one another
    /// are told by the first call.
    pub fn new(cluster: Cluster, config: ConsumerConfig) -> Self {
        let config = ConsumerConfig { connection: cluster.config().clone(), ..config };
        let tally = Arc::new(Tally::default());
        let group = config.group.as_deref();
        let group = group.map(|group| Coordinator::new(&cluster, config.clone(), group, tally.clone()));
        Consumer {
            fetcher: Fetcher::new(&cluster, config.clone(), tally.clone()),
            cluster,
            config,
            partitions: Partitions::default(),
            group,
            subscription: None,
            listener: None,
            interceptors: Vec::new(),
            work: FuturesUnordered::new(),
            commits: None,
            came: None,
            owed: Offsets::new(),
            refreshing: false,
            refreshed: None,
            lacked: None,
            hurried: 0,
            resetting: BTreeSet::new(),
            checking: false,
            place_not_before: None,
            auto_committing: false,
            auto_committed: Moment::now(),
            auto_again: None,
            attempts: 0,
            assignor: None,
            tally,
            topics: metrics::Topics::new(),
            polled: None,
            told: false,
        }
    }

    /// Who is told of rebalances.
    pub fn set_listener(&mut self, listener: Box<dyn RebalanceListener>) {
        self.listener = Some(listener);
    }

    /// Adds one behind those that are there: it sees records as they left them.
    pub fn add_interceptor(&mut self, interceptor: Box<dyn ConsumerInterceptor>) {
        self.interceptors.push(interceptor);
    }

    fn coordinator(&self) -> Result<Arc<Coordinator>, ClientError> {
        self.config.check()?;
        self.group.clone().ok_or(ClientError::State("group.id is not set"))
    }

    /// Reads exactly these partitions; those that were assigned before go on where they stand.
    ///
    /// # Errors
    /// When topics are subscribed to.
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        if self.subscription.is_some() {
            return Err(ClientError::State(
                "subscription to topics and partitions assigned by hand exclude each other",
            ));
        }
        self.config.check()?;
        self.partitions.assign(partitions.iter().cloned());
        (self.fetcher.stale, self.lacked) = (true, None);
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
        if let Some(before) = self.polled.replace(started) {
            self.tally.polls.took(before.elapsed());
        }
        loop {
            if let Some(group) = &self.group {
                group.polled();
                if let Some(fatal) = group.take_fatal() {
                    self.lose();
                    return Err(fatal);
                }
            }
            while let Some(Some(event)) = self.work.next().now_or_never() {
                self.take(event)?;
            }
            if let Some((attempt, result)) = self.came.take() {
                self.joined(attempt, result)?;
            }
            self.tell_commits();
            if std::mem::take(&mut self.told) {
                return Ok(Records::default());
            }
            self.rebalance();
            if std::mem::take(&mut self.told) {
                return Ok(Records::default());
            }
            self.auto_commit();
            self.partitions.look(&self.cluster);
            let mut blocked = self.refresh();
            if self.may_read() {
                blocked |= self.place();
                self.check();
                let records = self.fetcher.collect(&mut self.partitions)?;
                let (requests, held) = self.fetcher.send(&mut self.partitions);
                for request in requests {
                    self.work.push(request.map(Event::Fetch).boxed());
                }
                if !records.is_empty() {
                    return Ok(self.hand_out(records));
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

    fn hand_out(&mut self, records: Records) -> Records {
        self.count(&records);
        self.interceptors.iter_mut().fold(records, |records, interceptor| interceptor.on_consume(records))
    }

    /// Waits for an event, or until something is due.
    async fn wait(&mut self, left: Duration, blocked: bool) -> Result<(), ClientError> {
        let nap =
            if blocked { left.min(self.config.connection.retry_backoff) } else { left.min(Duration::from_secs(1)) };
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
                match result {
                    Ok(described) => self.watch(&described),
                    Err(error) => {
                        tracing::warn!(%error, "cannot refresh metadata");
                        self.fetcher.stale = true;
                        return if error.is_retriable() { Ok(()) } else { Err(error) };
                    }
                }
                Ok(())
            }
            Event::Placed(asked, result) => self.placed(&asked, result),
            Event::Reset { leader, wanted, found, result } => self.was_reset(leader, &wanted, &found, result),
            Event::Checked(verdicts) => self.checked(verdicts),
            Event::Joined(attempt, result) => {
                self.came = Some((attempt, result));
                Ok(())
            }
        }
    }

    /// How many partitions a topic has; waits for it up to `default.api.timeout.ms`.
    ///
    /// # Errors
    /// When it is not found in time.
    pub fn partition_count(&self, topic: &str) -> impl Future<Output = Result<usize, ClientError>> + Send + 'static {
        let (cluster, missing, limit) = (self.cluster.clone(), self.config.missing, self.config.api_timeout);
        let topic = topic.to_owned();
        async move { Ok(cluster.topic(&topic, missing, limit).await?.leaders.len()) }
    }

    /// Commits if commits are automatic, gives partitions back and leaves the group, within the half minute that Java
    /// takes for it.
    ///
    /// # Errors
    /// When offsets that the listener gave were not committed; of those that are committed by themselves it is logged.
    pub async fn close(&mut self) -> Result<(), ClientError> {
        self.close_within(CLOSE_LIMIT).await
    }

    /// As [`Consumer::close`], within `limit`.
    ///
    /// # Errors
    /// As [`Consumer::close`].
    pub async fn close_within(&mut self, limit: Duration) -> Result<(), ClientError> {
        self.close_as(limit, Leaving::Default).await
    }

    /// As [`Consumer::close`], within `limit`, leaving the group or not (KIP-1092).
    ///
    /// # Errors
    /// As [`Consumer::close`].
    pub async fn close_as(&mut self, limit: Duration, leaving: Leaving) -> Result<(), ClientError> {
        let started = Moment::now();
        let may_commit = self.may_read();
        self.stop_joining();
        // Those that are not over by then are told of nowhere.
        let _ = tokio::time::timeout(limit, self.drain_commits()).await;
        self.interceptors.iter_mut().for_each(|interceptor| interceptor.close());
        let Some(group) = self.group.clone() else { return Ok(()) };
        let automatic = self.config.auto_commit.is_some() && may_commit;
        let mut offsets = if automatic { self.partitions.consumed() } else { Offsets::new() };
        offsets.append(&mut self.owed);
        let subscribed = self.subscription.is_some();
        let automatic = offsets.clone();
        if subscribed {
            self.give_back(&self.partitions.places(), &mut offsets);
        }
        let mut committed = group.commit(&offsets, limit.saturating_sub(started.elapsed())).await;
        if let Some(error) = committed.as_ref().err().filter(|_| offsets == automatic) {
            // Java: ConsumerCoordinator.maybeAutoCommitOffsetsSync. The group may have gone on without this member just now.
            tracing::warn!(%error, "offsets were not committed at the end");
            committed = Ok(());
        }
        if subscribed {
            let leave = group.leave("the consumer is being closed", leaving);
            let _ = tokio::time::timeout(limit.saturating_sub(started.elapsed()), leave).await;
        }
        group.subscribed.store(false, Ordering::Release);
        self.subscription = None;
        self.partitions.assign([]);
        committed
    }
}

#[cfg(test)]
mod tests;
