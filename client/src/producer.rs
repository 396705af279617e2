//! Records out: appended to batches in memory, which a task of the producer's own sends to the leaders.
//!
//! Called by the console producer, the examples and every product that writes. `send` gives a future per record,
//! `push` none; neither waits for the network unless metadata or memory is missing. Order is kept per partition, and
//! with idempotence (the default) a retry writes nothing twice.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::error::ClientError> {
//! use client::config::ProducerConfig;
//! use client::metadata::Cluster;
//! use client::producer::{NewRecord, Producer};
//!
//! let producer = Producer::new(Cluster::new("localhost:9092"), ProducerConfig::default());
//! let record = NewRecord { topic: "greetings", value: Some(b"hello"), ..NewRecord::default() };
//! let written = producer.send(record).await?.await?;
//! println!("offset {}", written.offset);
//! producer.push(record).await?;
//! producer.flush().await?;
//! # Ok(()) }
//! ```
//!
//! With a `transactional.id` what is sent between `begin_transaction` and `commit_transaction` is seen by readers of
//! committed records as a whole or not at all:
//!
//! ```no_run
//! # async fn example() -> Result<(), client::error::ClientError> {
//! use client::config::ProducerConfig;
//! use client::error::ErrorClass;
//! use client::metadata::Cluster;
//! use client::producer::{NewRecord, Producer};
//!
//! let config = ProducerConfig { transactional_id: Some("greeter".to_owned()), ..ProducerConfig::default() };
//! let producer = Producer::new(Cluster::new("localhost:9092"), config);
//! producer.init_transactions().await?;
//! producer.begin_transaction()?;
//! producer.push(NewRecord { topic: "greetings", value: Some(b"hello"), ..NewRecord::default() }).await?;
//! match producer.commit_transaction().await {
//!     Err(error) if error.class() == ErrorClass::Abortable => producer.abort_transaction().await?,
//!     other => other?,
//! }
//! # Ok(()) }
//! ```
//!
//! Not done: partitioner.rack.aware.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use millstream_base_env::clock::Moment;
use millstream_base_env::{Clock, task};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::Missing;
pub use crate::config::{Acks, ProducerConfig};
use crate::connection::retrying;
use crate::consumer::Offsets;
use crate::error::ClientError;
use crate::metadata::Cluster;

// What an application puts in between.
mod plugin;
// Record -> partition.
mod partition;
// Record -> batch, batch -> bytes.
mod batch;
// Batches wait until they are due.
mod accumulate;
// Which sequence a batch carries.
mod idempotent;
// What belongs together, all or nothing.
mod txn;
// Batches -> brokers, answers -> outcomes.
mod sender;
// Outcome -> whoever waits.
mod delivery;
// What all of it came to.
mod metrics;

pub use crate::metrics::Metric;
use accumulate::{Accumulator, Appended, Observed};
use batch::Now;
pub use delivery::{Delivery, RecordMetadata};
use metrics::{Gauges, Metrics};
pub use plugin::{Interceptor, OwnedRecord, Partitioner, Plugins};
pub use txn::GroupMetadata;
use txn::{Coordinators, Features, Transactions, Verdict};

/// A header: its name and value.
///
/// ```
/// use client::producer::{Header, NewRecord};
///
/// let headers: [Header<'_>; 2] = [("trace", Some(b"7f")), ("empty", None)];
/// let record = NewRecord { topic: "orders", headers: &headers, ..NewRecord::default() };
/// assert_eq!(record.headers[0].0, "trace");
/// ```
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// One record to send.
///
/// ```
/// use client::producer::NewRecord;
///
/// let record = NewRecord { topic: "orders", key: Some(b"7"), value: Some(b"paid"), ..NewRecord::default() };
/// assert_eq!((record.partition, record.timestamp), (None, None));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition, else the key or the partitioner chooses.
    pub partition: Option<i32>,
    /// Its time in milliseconds since the Unix epoch, else now.
    pub timestamp: Option<i64>,
    /// The key, which chooses the partition when there is one.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a [Header<'a>],
}

fn header_bytes<'a>(header: &Header<'a>) -> (&'a [u8], Option<&'a [u8]>) {
    (header.0.as_bytes(), header.1)
}

/// How far the first attempt at a record came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// It is appended.
    Over,
    /// It is to be tried again with more patience, and what fails is told then.
    Again,
}

/// What a record that is too large means for an open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TooLarge {
    /// It lacks one: it can only be aborted.
    Missing,
    /// The caller leaves it out.
    LeftOut,
}

struct Shared {
    cluster: Cluster,
    config: ProducerConfig,
    accumulator: Mutex<Accumulator>,
    /// Of a transactional producer.
    coordinators: Option<Coordinators>,
    plugins: Plugins,
    metrics: Mutex<Metrics>,
    /// When metadata last came, in the producer's milliseconds.
    refreshed_ms: AtomicI64,
    in_flight: AtomicUsize,
    /// Something new for the sender to look at.
    wake: Notify,
    /// A flush may be over, or a request to a coordinator.
    settled: Notify,
    /// Memory is free; the first who waits for it is told.
    memory: Notify,
    /// Whose turn it is to wait for memory, the others behind it in their order (Java: `BufferPool.waiters`).
    turn: tokio::sync::Mutex<()>,
    /// What the producer's own milliseconds count from.
    started: Moment,
    /// Closed: no more records come.
    closing: AtomicBool,
    /// Closed without waiting any longer.
    aborted: AtomicBool,
    /// The sender has ended.
    over: AtomicBool,
    /// What last went wrong, for whoever waits in vain.
    troubles: Mutex<BTreeMap<Source, Trouble>>,
}

/// Who may begin a batch while others wait for memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The first of those who wait.
    First,
    /// Who comes now.
    Last,
}

/// Where something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// Wherever metadata, ids and coordinators are asked for.
    Any,
    /// The leader with this id.
    Leader(i32),
}

struct Trouble {
    at_ms: i64,
    why: String,
}

impl Shared {
    fn now_ms(&self) -> i64 {
        self.started.elapsed().as_millis() as i64
    }

    #[cold]
    fn trouble(&self, source: Source, why: String) {
        self.troubles.lock().insert(source, Trouble { at_ms: self.now_ms(), why });
    }

    /// The error of who waited for `limit`, with what went wrong meanwhile: of `source` if it is named and to blame,
    /// else what came last.
    fn late(&self, doing: String, limit: Duration, source: Option<Source>) -> ClientError {
        let since_ms = self.now_ms() - limit.as_millis() as i64;
        let troubles = self.troubles.lock();
        let recent = |trouble: &&Trouble| trouble.at_ms >= since_ms;
        let own = source.and_then(|source| troubles.get(&source)).filter(recent);
        let why = own.or_else(|| troubles.values().filter(recent).max_by_key(|trouble| trouble.at_ms));
        let doing = why.map_or(doing.clone(), |why| format!("{doing} ({})", why.why));
        ClientError::Timeout { doing, limit }
    }

    /// Takes no more records.
    fn close(&self) {
        self.accumulator.lock().closed = true;
        self.closing.store(true, Ordering::Release);
        self.wake.notify_one();
        // Who waits for memory waits in vain, and hears why.
        self.memory.notify_one();
    }
}

/// Closes the producer when the last of its clones is dropped; the sender goes on until its batches are settled.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Sends records; clones share queues and connections.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example() -> Result<(), client::error::ClientError> {
/// use client::config::ProducerConfig;
/// use client::metadata::Cluster;
/// use client::producer::{NewRecord, Producer};
///
/// let producer = Producer::new(Cluster::new("localhost:9092"), ProducerConfig::default());
/// producer.push(NewRecord { topic: "orders", value: Some(b"paid"), ..NewRecord::default() }).await?;
/// producer.close(Duration::from_secs(30)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

impl Producer {
    /// A producer for the cluster that `config` names. Must be called inside a tokio runtime; connects to nothing yet.
    pub fn connect(config: ProducerConfig) -> Self {
        Self::new(Cluster::with_config(config.connection.clone()), config)
    }

    /// A producer for `cluster`, whose settings count for everything that has to do with connections: those in `config`
    /// are not read. Must be called inside a tokio runtime; connects to nothing yet. Settings that contradict one another
    /// are told by the first call.
    pub fn new(cluster: Cluster, config: ProducerConfig) -> Self {
        Self::with_plugins(cluster, config, Plugins::default())
    }

    /// As [`Producer::new`], with a partitioner or interceptors of the application's.
    pub fn with_plugins(cluster: Cluster, config: ProducerConfig, plugins: Plugins) -> Self {
        let config = ProducerConfig { connection: cluster.config().clone(), ..config };
        let coordinators = config.transactional_id.as_ref();
        let coordinators = coordinators.map(|id| Coordinators::new(cluster.clone(), id, config.transaction_timeout));
        let mut accumulator = Accumulator::new(config.clone());
        accumulator.partitioner.clone_from(&plugins.partitioner);
        accumulator.fatal = config.check().and_then(|()| cluster.check()).err();
        let shared = Arc::new(Shared {
            cluster,
            coordinators,
            accumulator: Mutex::new(accumulator),
            plugins,
            metrics: Mutex::default(),
            refreshed_ms: AtomicI64::new(0),
            in_flight: AtomicUsize::new(0),
            config,
            wake: Notify::new(),
            settled: Notify::new(),
            memory: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            started: Moment::now(),
            closing: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            troubles: Mutex::default(),
            over: AtomicBool::new(false),
        });
        task::spawn("producer sender", sender::run(shared.clone()));
        Producer { handle: Arc::new(Handle { shared }) }
    }

    /// Adds a record to the batch of its partition; the delivery tells what became of it. Waits only for metadata and
    /// for memory, up to `max.block.ms`.
    ///
    /// # Errors
    /// When the topic is not found in time, memory does not get free, or the record is too large.
    pub async fn send(&self, record: NewRecord<'_>) -> Result<Delivery, ClientError> {
        let mut delivery = None;
        if self.try_first(&record, Observed::Yes, &mut delivery) == Tried::Over
            && let Some(delivery) = delivery
        {
            return Ok(delivery);
        }
        // Boxed, so that the common case does not carry its state around.
        let delivery = Box::pin(self.enter(&record, Observed::Yes)).await?;
        delivery.ok_or(ClientError::State("a record that is awaited has a delivery"))
    }

    /// As [`Producer::send`] without a delivery: a record that could not be written is told by the next
    /// [`Producer::flush`].
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn push(&self, record: NewRecord<'_>) -> Result<(), ClientError> {
        match self.try_first(&record, Observed::No, &mut None) {
            Tried::Over => Ok(()),
            Tried::Again => Box::pin(self.enter(&record, Observed::No)).await.map(drop),
        }
    }

    /// As [`Producer::push`], but a record that is too large does not spoil an open transaction, of which nothing is missing if
    /// the caller means to leave that record out.
    ///
    /// # Errors
    /// Those of `push`.
    pub async fn push_or_leave_out(&self, record: NewRecord<'_>) -> Result<(), ClientError> {
        match self.try_first(&record, Observed::No, &mut None) {
            Tried::Over => Ok(()),
            Tried::Again => Box::pin(self.enter_as(&record, Observed::No, TooLarge::LeftOut)).await.map(drop),
        }
    }

    /// An open transaction can only be aborted from here on, as after a record that could not be written; for who left a record
    /// out ([`Producer::push_or_leave_out`]) that may not be missing.
    pub fn spoil(&self, error: &ClientError) {
        if let Some(transactions) = &mut self.handle.shared.accumulator.lock().transactions {
            transactions.record_failed(error);
        }
    }

    /// The common case: nobody is between, and the topic and memory are there.
    #[inline]
    fn try_first(&self, record: &NewRecord<'_>, observed: Observed, delivery: &mut Option<Delivery>) -> Tried {
        if !self.handle.shared.plugins.interceptors.is_empty() {
            return Tried::Again;
        }
        match self.try_append(record, observed, delivery) {
            Ok(Appended::Done { .. }) => Tried::Over,
            _ => Tried::Again,
        }
    }

    async fn enter(&self, record: &NewRecord<'_>, observed: Observed) -> Result<Option<Delivery>, ClientError> {
        self.enter_as(record, observed, TooLarge::Missing).await
    }

    async fn enter_as(
        &self,
        record: &NewRecord<'_>,
        observed: Observed,
        large: TooLarge,
    ) -> Result<Option<Delivery>, ClientError> {
        let plugins = &self.handle.shared.plugins;
        if plugins.interceptors.is_empty() {
            return self.append(record, observed, large).await;
        }
        let mut owned = OwnedRecord::of(record);
        plugins.sent(&mut owned);
        let headers = owned.lent_headers();
        let appended = self.append(&owned.lend(&headers), observed, large).await;
        if let Err(error) = &appended {
            plugins.acknowledged(&owned.topic, &Err(error.clone()));
        }
        appended
    }

    async fn append(
        &self,
        record: &NewRecord<'_>,
        observed: Observed,
        large: TooLarge,
    ) -> Result<Option<Delivery>, ClientError> {
        let error = match self.append_slowly(record, observed).await {
            Ok(delivery) => return Ok(delivery),
            Err(error) => error,
        };
        if let Some(transactions) = &mut self.handle.shared.accumulator.lock().transactions
            && !matches!(error, ClientError::State(_) | ClientError::Transaction { .. })
            && !(large == TooLarge::LeftOut && matches!(error, ClientError::RecordTooLarge { .. }))
        {
            // A record that is missing spoils the whole (Java: KafkaProducer.doSend).
            transactions.record_failed(&error);
        }
        Err(error)
    }

    #[inline]
    fn try_append(
        &self,
        record: &NewRecord<'_>,
        observed: Observed,
        delivery: &mut Option<Delivery>,
    ) -> Result<Appended, Box<ClientError>> {
        self.append_as(record, observed, delivery, Place::Last)
    }

    #[inline]
    fn append_as(
        &self,
        record: &NewRecord<'_>,
        observed: Observed,
        delivery: &mut Option<Delivery>,
        place: Place,
    ) -> Result<Appended, Box<ClientError>> {
        let shared = &self.handle.shared;
        let coarse_ms = if record.timestamp.is_some() { 0 } else { Clock::Real.coarse_ms() };
        let now = || Now { steady_ms: shared.now_ms(), wall_ms: Clock::Real.now_ms() };
        let appended = {
            let mut accumulator = shared.accumulator.lock();
            accumulator.first_in_line = place == Place::First;
            accumulator.append(record, observed, coarse_ms, now, delivery)?
        };
        if appended == (Appended::Done { wake: true }) {
            shared.wake.notify_one();
        }
        Ok(appended)
    }

    async fn append_slowly(&self, record: &NewRecord<'_>, observed: Observed) -> Result<Option<Delivery>, ClientError> {
        let (started, limit) = (Moment::now(), self.handle.shared.config.block_max);
        let mut delivery = None;
        loop {
            let left = limit.saturating_sub(started.elapsed());
            match self.try_append(record, observed, &mut delivery).map_err(|error| *error)? {
                Appended::Done { .. } => return Ok(delivery),
                Appended::UnknownTopic => self.find(record, left).await?,
                Appended::NoMemory => {
                    if let Appended::Done { .. } =
                        self.append_with_memory(record, observed, left, &mut delivery).await?
                    {
                        return Ok(delivery);
                    }
                }
            }
        }
    }

    async fn append_with_memory(
        &self,
        record: &NewRecord<'_>,
        observed: Observed,
        left: Duration,
        delivery: &mut Option<Delivery>,
    ) -> Result<Appended, ClientError> {
        let shared = &self.handle.shared;
        let _starving = Starving::new(shared);
        let wait = async {
            let _turn = shared.turn.lock().await;
            loop {
                match self.append_as(record, observed, delivery, Place::First).map_err(|error| *error)? {
                    // Memory that gets free in between leaves a permit behind.
                    Appended::NoMemory => shared.memory.notified().await,
                    other => return Ok(other),
                }
            }
        };
        let late = || shared.late("waiting for buffer.memory".to_owned(), shared.config.block_max, None);
        tokio::time::timeout(left, wait).await.map_err(|_| late())?
    }

    /// Finds a topic, and the partition if the record names one.
    async fn find(&self, record: &NewRecord<'_>, left: Duration) -> Result<(), ClientError> {
        let shared = &self.handle.shared;
        let limit = shared.config.block_max;
        let mut view =
            shared.cluster.topic(record.topic, Missing::Create, left).await.map_err(|error| match error {
                ClientError::Timeout { doing, .. } => ClientError::Timeout { doing, limit },
                other => other,
            })?;
        if let Some(partition) = record.partition {
            let has = |count: usize| usize::try_from(partition).is_ok_and(|partition| partition < count);
            if partition < 0 {
                return Err(ClientError::NoPartition {
                    topic: record.topic.to_owned(),
                    partition,
                    count: view.leaders.len(),
                });
            }
            if !has(view.leaders.len()) {
                // It may be new: ask until it is there (Java: `KafkaProducer.waitOnMetadata`).
                let names = [record.topic.to_owned()];
                let doing = format!("finding partition {}-{partition}", record.topic);
                view = retrying(&doing, left, &shared.config.connection, || async {
                    shared.cluster.metadata(Some(&names), Missing::Create).await?;
                    let found = shared.cluster.known_topic(record.topic).filter(|view| has(view.leaders.len()));
                    found.ok_or(ClientError::NoLeader { topic: record.topic.to_owned(), partition })
                })
                .await?;
            }
        }
        if view.leaders.is_empty() {
            return Err(ClientError::NoLeader { topic: record.topic.to_owned(), partition: 0 });
        }
        shared.accumulator.lock().learn(record.topic, view);
        Ok(())
    }

    /// What was measured so far, by Java's names.
    pub fn metrics(&self) -> Vec<Metric> {
        let shared = &self.handle.shared;
        let now_ms = shared.now_ms();
        let (used, waiting) = {
            let accumulator = shared.accumulator.lock();
            (accumulator.used(), accumulator.starving)
        };
        let gauges = Gauges {
            now_ms,
            in_flight: shared.in_flight.load(Ordering::Relaxed),
            waiting,
            buffer_total: shared.config.buffer_bytes,
            buffer_available: shared.config.buffer_bytes.saturating_sub(used),
            metadata_age_ms: now_ms - shared.refreshed_ms.load(Ordering::Relaxed),
        };
        shared.metrics.lock().read(&shared.config.connection.client_id, &gauges)
    }

    /// Makes this producer the only one of its `transactional.id`: ends what an earlier one left open, and shuts it out.
    /// Called once, before the first transaction; may be called again after a timeout.
    ///
    /// # Errors
    /// The coordinator's; [`ClientError::Timeout`] after `max.block.ms`.
    pub async fn init_transactions(&self) -> Result<(), ClientError> {
        let verdict = self.transactions(|transactions, _| transactions.init())?;
        self.hear(verdict, "initialising transactions").await?;
        self.transactions(|transactions, features| {
            transactions.learn_first(features);
            Ok(())
        })
    }

    /// Begins a transaction; what is sent from now on belongs to it.
    ///
    /// # Errors
    /// When one is open, or the producer was not initialised or cannot go on.
    pub fn begin_transaction(&self) -> Result<(), ClientError> {
        self.transactions(|transactions, _| transactions.begin())
    }

    /// Commits the offsets of what was read to write this, as part of the transaction.
    ///
    /// # Errors
    /// The coordinators'; an error of class [`ErrorClass::Abortable`] leaves the transaction to be aborted.
    ///
    /// [`ErrorClass::Abortable`]: crate::error::ErrorClass::Abortable
    pub async fn send_offsets_to_transaction(
        &self,
        offsets: &Offsets,
        group: &GroupMetadata,
    ) -> Result<(), ClientError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let verdict = self.transactions(|transactions, _| transactions.send_offsets(offsets.clone(), group.clone()))?;
        self.hear(verdict, "sending offsets to the transaction").await
    }

    /// Waits until all that was sent is written, then commits the transaction. May be called again after a timeout, and
    /// after nothing else.
    ///
    /// # Errors
    /// As [`Producer::send_offsets_to_transaction`], or when a record of the transaction could not be written.
    pub async fn commit_transaction(&self) -> Result<(), ClientError> {
        let verdict = self.transactions(|transactions, features| transactions.commit(features))?;
        self.end(verdict, "committing the transaction").await
    }

    /// Aborts the transaction; records of it that were not sent yet are given up.
    ///
    /// # Errors
    /// The coordinator's; then this producer cannot go on.
    pub async fn abort_transaction(&self) -> Result<(), ClientError> {
        let verdict = self.transactions(|transactions, features| transactions.abort(features))?;
        self.end(verdict, "aborting the transaction").await
    }

    async fn end(&self, verdict: Verdict, doing: &str) -> Result<(), ClientError> {
        let result = self.hear(verdict, doing).await;
        // What became of its records is told by how it ended.
        self.handle.shared.accumulator.lock().unobserved_failures.clear();
        result
    }

    /// Does something with the transactions under the lock and lets the sender look at what it came to.
    fn transactions<T>(
        &self,
        work: impl FnOnce(&mut Transactions, Features) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let shared = &self.handle.shared;
        let features = shared.cluster.features();
        let mut accumulator = shared.accumulator.lock();
        if accumulator.closed {
            return Err(ClientError::State("the producer is closed"));
        }
        if let Some(fatal) = &accumulator.fatal {
            return Err(fatal.clone());
        }
        let transactions = accumulator.transactions.as_mut();
        let done = work(transactions.ok_or(ClientError::State("the producer has no transactional.id"))?, features);
        drop(accumulator);
        shared.wake.notify_one();
        done
    }

    async fn hear(&self, verdict: Verdict, doing: &str) -> Result<(), ClientError> {
        let shared = &self.handle.shared;
        let limit = shared.config.block_max;
        let told = async {
            loop {
                let settled = shared.settled.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                if let Some(result) = verdict.hear() {
                    return result;
                }
                if shared.over.load(Ordering::Acquire) {
                    return Err(shared.accumulator.lock().fatal.clone().unwrap_or(sender::OVER));
                }
                settled.await;
            }
        };
        let late = || shared.late(doing.to_owned(), limit, Some(Source::Any));
        tokio::time::timeout(limit, told).await.map_err(|_| late())?
    }

    /// How many partitions a topic has; waits for it up to `max.block.ms`.
    ///
    /// # Errors
    /// When the topic is not found in time.
    pub async fn partition_count(&self, topic: &str) -> Result<usize, ClientError> {
        let shared = &self.handle.shared;
        Ok(shared.cluster.topic(topic, Missing::Create, shared.config.block_max).await?.leaders.len())
    }

    /// The offset behind the last record that this producer wrote to a partition, as far as brokers told it.
    pub fn end_of(&self, topic: &str, partition: i32) -> Option<i64> {
        self.handle.shared.accumulator.lock().end_of(topic, partition)
    }

    /// Sends everything that was appended before, without lingering, and waits until all of it is settled.
    ///
    /// # Errors
    /// The first failure since the last flush of a record given to [`Producer::push`].
    pub async fn flush(&self) -> Result<(), ClientError> {
        self.flush_each().await?.into_iter().next().map_or(Ok(()), Err)
    }

    /// As [`Producer::flush`], with all that went wrong since the last one: what is the same of several batches once, so that
    /// each partition is named.
    ///
    /// # Errors
    /// When the producer cannot go on.
    pub async fn flush_each(&self) -> Result<Vec<ClientError>, ClientError> {
        let shared = &self.handle.shared;
        let flushing = Flushing::new(shared);
        loop {
            let settled = shared.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            {
                let mut accumulator = shared.accumulator.lock();
                if accumulator.is_settled_below(flushing.horizon) {
                    return Ok(std::mem::take(&mut accumulator.unobserved_failures));
                }
                if shared.over.load(Ordering::Acquire) {
                    return Err(accumulator.fatal.clone().unwrap_or(sender::OVER));
                }
            }
            settled.await;
        }
    }

    /// Takes no more records, waits up to `timeout` until all are settled and an open transaction is aborted, and gives
    /// up on the rest.
    ///
    /// # Errors
    /// As [`Producer::flush`]; [`ClientError::Timeout`] when records were given up.
    pub async fn close(&self, timeout: Duration) -> Result<(), ClientError> {
        let shared = &self.handle.shared;
        shared.close();
        let settled = async {
            let result = self.flush().await;
            self.ended().await;
            result
        };
        match tokio::time::timeout(timeout, settled).await {
            Ok(result) => result,
            Err(_) => {
                shared.aborted.store(true, Ordering::Release);
                shared.wake.notify_one();
                let late = shared.late("closing the producer".to_owned(), timeout, None);
                // It has nothing to wait for any more.
                self.ended().await;
                Err(late)
            }
        }
    }

    /// Waits until the sender has ended (Java joins its thread).
    async fn ended(&self) {
        let shared = &self.handle.shared;
        loop {
            let settled = shared.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if shared.over.load(Ordering::Acquire) {
                return;
            }
            settled.await;
        }
    }
}

/// Counts a caller that waits for memory, cancelled or not.
struct Starving<'a>(&'a Shared);

impl<'a> Starving<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.accumulator.lock().starving += 1;
        shared.wake.notify_one();
        Starving(shared)
    }
}

impl Drop for Starving<'_> {
    fn drop(&mut self) {
        self.0.accumulator.lock().starving -= 1;
    }
}

/// A caller that flushes, cancelled or not, and up to which batch.
struct Flushing<'a> {
    shared: &'a Shared,
    horizon: u64,
}

impl<'a> Flushing<'a> {
    fn new(shared: &'a Shared) -> Self {
        let horizon = shared.accumulator.lock().begin_flush();
        shared.wake.notify_one();
        Flushing { shared, horizon }
    }
}

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.shared.accumulator.lock().end_flush(self.horizon);
    }
}

#[cfg(test)]
mod tests;
