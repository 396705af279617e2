//! `KafkaStreams`: an application from start to end, with its threads, states and handlers.
//!
//! Made by the user's program. Starts the tokio runtime of the clients and an OS thread for each stream thread; decides
//! what follows when one of them fails. Never touches a record.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use client::admin::Admin;
use client::config::ConsumerConfig;
use client::metadata::Cluster;
use client::metrics::Metric;
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::disk::Disk;
use super::error::StreamsError;
use super::member::Shared;
use super::metrics::{Meters, of_instance, page_of};
use super::restore::RestoreListener;
use super::states::{State, States, ThreadState};
use super::thread::{StreamThread, Wishes};
use super::topics::Overrides;
use crate::assign::{Host, Options, ProcessId};
use crate::config::{ClientSettings, DslStore, Settings, StreamsConfig};
use crate::query::Queue;
use crate::query::metadata::Directory;
use crate::state::directory::StateDirectory;
use crate::state::engines::{Engines, Memory};
use crate::task::errors::{ErrorContext, ProductionContext};
use crate::task::{self, Handlers, Response, panics};
use crate::topology::Topology;
use crate::topology::store::Engine;

/// How long threads may take to end where nobody says how long.
const LIMIT: Duration = Duration::from_secs(30);

/// What follows when a thread fails (KIP-671).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncaught {
    /// Another thread takes its place.
    ReplaceThread,
    /// This instance ends.
    ShutdownClient,
    /// Every instance ends.
    ShutdownApplication,
}

/// Whether the members of an instance that closes leave the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupMembership {
    /// As the group's protocol has it: those of the classic one remain.
    #[default]
    Default,
    /// They do: their tasks go to other instances at once.
    Leave,
    /// They do not: their tasks wait for them until their sessions have timed out.
    Remain,
}

/// How an application is closed (KIP-1153).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseOptions {
    /// How long to wait for the threads.
    pub limit: Duration,
    /// Whether they leave the group.
    pub membership: GroupMembership,
}

/// Decides what follows when a thread fails.
pub type UncaughtHandler = Box<dyn Fn(&StreamsError) -> Uncaught + Send + Sync>;

/// What the threads of an instance have in common.
pub(crate) struct Common {
    pub shared: Arc<Shared>,
    pub config: StreamsConfig,
    pub settings: Settings,
    pub client_id: String,
    pub process: ProcessId,
    pub disk: Disk,
    pub states: States,
    /// Who has what, as the group's leader told it.
    pub directory: Mutex<Arc<Directory>>,
    pub restore_listener: Mutex<Option<Arc<dyn RestoreListener>>>,
    uncaught: Mutex<Option<Arc<UncaughtHandler>>>,
    /// The first error that ended the application.
    cause: Mutex<Option<Arc<StreamsError>>>,
    handlers: Mutex<Handlers>,
    meters: Mutex<BTreeMap<usize, Arc<Meters>>>,
    /// Threads that ended with an error.
    failed: AtomicUsize,
    wishes: Mutex<BTreeMap<usize, Arc<Wishes>>>,
    /// Threads that are added work only when it is resumed.
    is_paused: AtomicBool,
    /// What the cache of each thread may hold: all have the same share, and threads come and go.
    pub cache_share: AtomicUsize,
    /// How many threads there are.
    pub thread_count: AtomicUsize,
}

impl Common {
    /// What of the settings a task looks at.
    pub fn task_settings(&self) -> task::Settings {
        task::Settings::of(&self.config, &self.settings).handled_by(&self.handlers.lock())
    }

    /// What a thread that begins measures.
    pub fn meters(&self, index: usize, name: &str) -> Arc<Meters> {
        let meters = Arc::new(Meters::new(name));
        self.meters.lock().insert(index, Arc::clone(&meters));
        meters
    }

    /// Who has what.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.lock())
    }

    /// Where the questions of each thread go that has not ended.
    pub fn all_queues(&self) -> Vec<Arc<Queue>> {
        let states = self.states.threads();
        let is_alive = |index: &usize| states.get(index) != Some(&ThreadState::Dead);
        let wishes = self.wishes.lock();
        let alive = wishes.iter().filter(|(index, _)| is_alive(index));
        alive.map(|(_, wishes)| Arc::clone(&wishes.queries)).collect()
    }

    /// They are to end, and whoever waits for it does so for `limit`.
    fn stop_all(&self, limit: Duration) {
        self.wishes.lock().values().for_each(|wishes| wishes.end(limit));
    }

    /// Shares the cache out among the threads there are (Java: `KafkaStreams.cacheSizePerThread`).
    fn share_cache(&self, threads: usize) {
        self.thread_count.store(threads, Ordering::Relaxed);
        let globals = usize::from(!self.shared.topology.global_stores().is_empty());
        self.cache_share.store(share(self.settings.cache_bytes, threads, globals), Ordering::Relaxed);
    }
}

/// An application.
///
/// ```no_run
/// use std::time::Duration;
///
/// use streams::{KafkaStreams, StreamsBuilder, StreamsConfig};
///
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, String>("in").filter(|_, value| !value.is_empty()).to("out");
/// let app = KafkaStreams::new(builder.build()?, StreamsConfig::new("filter", "localhost:9092"))?;
/// app.start()?;
/// app.wait_running(Duration::from_secs(30));
/// app.close(Duration::from_secs(30));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KafkaStreams {
    pub(super) common: Arc<Common>,
    pub(super) runtime: Option<Runtime>,
    next: AtomicUsize,
}

impl KafkaStreams {
    /// An application that has not been started.
    ///
    /// # Errors
    /// A setting that is wrong.
    pub fn new(topology: Topology, config: StreamsConfig) -> Result<KafkaStreams, StreamsError> {
        let settings = config.settings()?;
        check_optimizations(&topology, &config)?;
        for key in config.unknown() {
            tracing::warn!(key, "no client and no part of streams knows this setting");
        }
        for (key, why) in config.without_effect() {
            tracing::warn!(key, why, "this setting changes nothing");
        }
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime
            .worker_threads(1)
            .thread_name("streams-network")
            .enable_all()
            .build()
            .map_err(|error| StreamsError::Start(error.to_string()))?;
        let disk = disk(&topology, &settings)?;
        let process = disk.process(static_member(&config).as_deref());
        let client_id = match settings.client_id.as_str() {
            "" => format!("{}-{process}", settings.application_id),
            id => id.to_owned(),
        };
        let pairs = known(config.admin(&format!("{client_id}-admin")));
        let (connection, _) = ConsumerConfig::from_properties(pairs)?;
        let shared = Shared {
            topology,
            application: settings.application_id.clone(),
            options: Options {
                standby_replicas: settings.standby_replicas,
                acceptable_recovery_lag: settings.acceptable_recovery_lag,
                warmup_replicas_max: settings.warmup_replicas_max,
                probing_interval_ms: i64::try_from(settings.probing_interval.as_millis()).unwrap_or(i64::MAX),
            },
            overrides: Overrides { topics: config.topics(), additional_retention: Some(settings.additional_retention) },
            replication_factor: settings.replication_factor,
            admin: Admin::new(Cluster::with_config(connection.connection)),
            topics_within: settings.poll_interval_max / 2,
        };
        let common = Common {
            shared: Arc::new(shared),
            config,
            settings,
            client_id,
            process,
            disk,
            states: States::default(),
            directory: Mutex::default(),
            restore_listener: Mutex::default(),
            uncaught: Mutex::default(),
            cause: Mutex::default(),
            handlers: Mutex::default(),
            meters: Mutex::default(),
            failed: AtomicUsize::new(0),
            wishes: Mutex::default(),
            is_paused: AtomicBool::new(false),
            cache_share: AtomicUsize::new(0),
            thread_count: AtomicUsize::new(0),
        };
        Ok(KafkaStreams { common: Arc::new(common), runtime: Some(runtime), next: AtomicUsize::new(1) })
    }

    /// What is set after the start would change nothing, or half of the threads.
    fn before_start(&self, what: &'static str) -> Result<(), StreamsError> {
        match self.state() {
            State::Created => Ok(()),
            state => Err(StreamsError::NotNow { what, state }),
        }
    }

    /// Who is told of changes of the state, in their order. It is called by whoever changes it, mostly a stream thread:
    /// while it takes its time, that thread does nothing else, and no store can be read from there.
    ///
    /// # Errors
    /// After the start.
    pub fn set_state_listener(
        &self,
        listener: impl Fn(State, State) + Send + Sync + 'static,
    ) -> Result<(), StreamsError> {
        self.before_start("setting a listener")?;
        self.common.states.set_listener(Box::new(listener));
        Ok(())
    }

    /// Who decides when a thread fails; without one the instance ends.
    ///
    /// # Errors
    /// After the start.
    pub fn set_uncaught_handler(
        &self,
        handler: impl Fn(&StreamsError) -> Uncaught + Send + Sync + 'static,
    ) -> Result<(), StreamsError> {
        self.before_start("setting a handler")?;
        *self.common.uncaught.lock() = Some(Arc::new(Box::new(handler)));
        Ok(())
    }

    /// Who decides about records that are no keys or values of their types.
    ///
    /// # Errors
    /// After the start.
    pub fn set_deserialization_handler(
        &self,
        handler: impl Fn(&ErrorContext<'_>) -> Response + Send + Sync + 'static,
    ) -> Result<(), StreamsError> {
        self.before_start("setting a handler")?;
        self.common.handlers.lock().deserialization = Some(Arc::new(handler));
        Ok(())
    }

    /// Who decides about records on which a closure or processor failed or panicked.
    ///
    /// # Errors
    /// After the start.
    pub fn set_processing_handler(
        &self,
        handler: impl Fn(&ErrorContext<'_>) -> Response + Send + Sync + 'static,
    ) -> Result<(), StreamsError> {
        self.before_start("setting a handler")?;
        self.common.handlers.lock().processing = Some(Arc::new(handler));
        Ok(())
    }

    /// Who decides about records that cannot be sent, such as those that are too large. Exactly once, a
    /// record that a broker refuses ends its transaction, as in Java, so that nobody is asked about it; what is too large for
    /// the producer is asked about all the same, and where it is left out the transaction goes on (in Java it ends too,
    /// KAFKA-15259).
    ///
    /// # Errors
    /// After the start.
    pub fn set_production_handler(
        &self,
        handler: impl Fn(&ProductionContext<'_>) -> Response + Send + Sync + 'static,
    ) -> Result<(), StreamsError> {
        self.before_start("setting a handler")?;
        self.common.handlers.lock().production = Some(Arc::new(handler));
        Ok(())
    }

    /// Who is told how stores are filled.
    ///
    /// # Errors
    /// After the start.
    pub fn set_restore_listener(&self, listener: impl RestoreListener + 'static) -> Result<(), StreamsError> {
        self.before_start("setting a listener")?;
        *self.common.restore_listener.lock() = Some(Arc::new(listener));
        Ok(())
    }

    /// Deletes the state on this machine, before the start or after the end: the next start restores it from the changelogs
    /// (Java: `KafkaStreams.cleanUp`).
    ///
    /// # Errors
    /// While the application works, and when a file cannot be deleted.
    pub fn clean_up(&self) -> Result<(), StreamsError> {
        match self.state() {
            State::Created | State::NotRunning | State::Error => {}
            state => return Err(StreamsError::NotNow { what: "deleting the state", state }),
        }
        self.common.disk.delete_all().map_err(StreamsError::Directory)
    }

    /// The first of the errors that ended the application.
    pub fn cause(&self) -> Option<Arc<StreamsError>> {
        self.common.cause.lock().clone()
    }

    /// Starts the threads; does not wait for them.
    ///
    /// # Errors
    /// When a thread cannot be started, or the application was started before.
    pub fn start(&self) -> Result<(), StreamsError> {
        if !self.common.states.set(State::Rebalancing) {
            return Err(StreamsError::Start("the application was started before".to_owned()));
        }
        for _ in 0..self.common.settings.threads {
            self.add_thread()?;
        }
        Ok(())
    }

    /// Starts one thread more; its number.
    ///
    /// # Errors
    /// When it cannot be started, as when the application does not work, or not any more.
    pub fn add_thread(&self) -> Result<usize, StreamsError> {
        let Some(runtime) = &self.runtime else {
            return Err(StreamsError::Start("the application has ended".to_owned()));
        };
        let (common, handle, wishes) =
            (Arc::clone(&self.common), runtime.handle().clone(), Arc::new(Wishes::default()));
        wishes.pause.store(self.common.is_paused.load(Ordering::Acquire), Ordering::Release);
        let index = {
            // Whoever ends the application changes its state first, and then tells all who are here.
            let mut all = self.common.wishes.lock();
            match self.state() {
                State::Rebalancing | State::Running => {}
                state => return Err(StreamsError::NotNow { what: "adding a thread", state }),
            }
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            all.insert(index, Arc::clone(&wishes));
            self.common.share_cache(all.len());
            index
        };
        self.common.states.set_thread(index, ThreadState::Created);
        let work = move || {
            let _inside = handle.enter();
            common.mark_stream_thread();
            while live(&common, index, &wishes, &handle) == Uncaught::ReplaceThread {}
            wishes.queries.close();
            common.states.set_thread(index, ThreadState::Dead);
            end_of_thread(&common, index);
        };
        let named = std::thread::Builder::new().name(name_of(index));
        if let Err(error) = named.spawn(work) {
            self.common.states.set_thread(index, ThreadState::Dead);
            end_of_thread(&self.common, index);
            return Err(StreamsError::Start(error.to_string()));
        }
        Ok(index)
    }

    /// Stops the youngest thread that works, which leaves the group, so that its tasks go to the others at once, and waits
    /// up to `limit` until it has ended; its number. The thread itself, as in a handler, does not wait.
    pub fn remove_thread(&self, limit: Duration) -> Option<usize> {
        let index = {
            let wishes = self.common.wishes.lock();
            let (index, last) = wishes.iter().rev().find(|(_, wishes)| !wishes.stop.load(Ordering::Acquire))?;
            last.leave.store(true, Ordering::Release);
            last.end(limit);
            *index
        };
        let is_itself = std::thread::current().name() == Some(&name_of(index));
        if !is_itself && !self.common.states.wait_thread(index, limit) {
            tracing::warn!(thread = index, ?limit, "a thread that is removed has not ended in time");
        }
        Some(index)
    }

    /// Processes nothing until it is resumed; the group is kept.
    pub fn pause(&self) {
        self.common.is_paused.store(true, Ordering::Release);
        self.common.wishes.lock().values().for_each(|wishes| wishes.pause.store(true, Ordering::Release));
    }

    /// Processes again.
    pub fn resume(&self) {
        self.common.is_paused.store(false, Ordering::Release);
        self.common.wishes.lock().values().for_each(|wishes| wishes.pause.store(false, Ordering::Release));
    }

    /// The state.
    pub fn state(&self) -> State {
        self.common.states.state()
    }

    /// The states of the threads, by their numbers.
    pub fn threads(&self) -> BTreeMap<usize, ThreadState> {
        self.common.states.threads()
    }

    /// Which tasks run on which instances, by their `application.server`, as the group's leader told it.
    pub fn hosts(&self) -> BTreeMap<String, Host> {
        self.common.directory().hosts.clone()
    }

    /// What was measured so far, by the names of Java's metrics: of the instance, its threads, their tasks with their nodes,
    /// topics and stores, and of the consumers and producers that they work with, whose values may be a second old. What
    /// engines tell of stores may be five seconds old.
    pub fn metrics(&self) -> Vec<Metric> {
        let common = &self.common;
        let threads = common.states.threads();
        let alive = threads.values().filter(|state| **state != ThreadState::Dead).count();
        let process = common.process.to_string();
        let numbers = [self.state() as usize, alive, common.failed.load(Ordering::Relaxed)];
        let names = (process.as_str(), common.settings.application_id.as_str());
        let mut all = of_instance(&common.client_id, names, numbers, common.settings.recording);
        for (index, meters) in common.meters.lock().iter() {
            let state = threads.get(index).copied().unwrap_or(ThreadState::Dead);
            all.append(&mut meters.metrics(state as usize, &process));
        }
        all
    }

    /// The same as a page for Prometheus (OpenMetrics text), with the names that its JMX exporter gives Kafka's:
    /// `kafka_streams_stream_thread_metrics_process_rate{thread_id="..."}`.
    pub fn prometheus(&self) -> String {
        page_of(&self.metrics())
    }

    /// A thread of it that is not started.
    #[cfg(test)]
    pub(super) fn thread(&self) -> StreamThread {
        let handle = self.runtime.as_ref().expect("it is not dropped").handle();
        let _inside = handle.enter();
        StreamThread::new(&self.common, 0, Arc::default(), handle.clone()).expect("settings are sound")
    }

    /// Waits until all tasks run; whether they do.
    pub fn wait_running(&self, limit: Duration) -> bool {
        self.common.states.wait(limit, |state| state == State::Running)
    }

    /// Waits until the application has ended; whether it has.
    pub fn wait_ended(&self, limit: Duration) -> bool {
        self.common.states.wait(limit, |state| matches!(state, State::NotRunning | State::Error))
    }

    /// Commits and stops all threads; whether that was done within `limit`. The members stay in the group until their
    /// sessions time out, so that tasks do not move when an instance is started again.
    pub fn close(&self, limit: Duration) -> bool {
        self.close_with(CloseOptions { limit, membership: GroupMembership::Default })
    }

    /// As [`KafkaStreams::close`], with a word on whether the members leave the group.
    pub fn close_with(&self, options: CloseOptions) -> bool {
        let states = &self.common.states;
        if states.state() == State::Created {
            return states.set(State::NotRunning);
        }
        states.set(State::PendingShutdown);
        if options.membership == GroupMembership::Leave {
            self.common.wishes.lock().values().for_each(|wishes| wishes.leave.store(true, Ordering::Release));
        }
        self.common.stop_all(options.limit);
        let dead = states.wait_dead(options.limit);
        end_of_application(&self.common);
        dead
    }

    /// Starts, runs until Ctrl-C, SIGTERM or an error, closes.
    ///
    /// The members stay in the group until their sessions time out, as Java's do, so that their tasks wait for them. A start
    /// within that time (`session.timeout.ms`, 45 seconds) waits for its end before any task runs, unless `group.instance.id`
    /// says that the members are the same.
    ///
    /// # Errors
    /// When a thread cannot be started, or the application ended after an error.
    pub fn run_until_ctrl_c(&self) -> Result<(), StreamsError> {
        self.start()?;
        if let Some(runtime) = &self.runtime {
            let (common, _inside) = (Arc::clone(&self.common), runtime.enter());
            millstream_base_env::task::spawn("streams ctrl-c", async move {
                asked_to_end().await;
                common.states.set(State::PendingShutdown);
                common.stop_all(LIMIT);
            });
        }
        while !self.wait_ended(Duration::from_secs(3600)) {}
        match self.state() {
            State::Error => Err(match self.cause() {
                Some(cause) => StreamsError::Ended(cause),
                None => StreamsError::Start("the application ended after an error".to_owned()),
            }),
            _ => Ok(()),
        }
    }
}

impl Drop for KafkaStreams {
    fn drop(&mut self) {
        self.common.states.set(State::PendingShutdown);
        self.common.stop_all(LIMIT);
        if !self.common.states.wait_dead(LIMIT) {
            let threads = self.common.states.threads();
            tracing::warn!(?threads, "the application is dropped while threads of it still work: close it first");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the configuration calls this instance in its group, where it is a static member.
fn static_member(config: &StreamsConfig) -> Option<String> {
    let thread = config.main_consumer("", 0);
    Some(format!("{} {}", config.get("application.id")?, thread.get("group.instance.id")?))
}

/// Names of internal topics follow from the rewrites, so those of the settings must be those of the topology.
fn check_optimizations(topology: &Topology, config: &StreamsConfig) -> Result<(), StreamsError> {
    let (built, named) = (topology.optimizations(), config.optimizations()?);
    if built == named {
        return Ok(());
    }
    Err(StreamsError::Start(format!(
        "topology.optimization names {named:?}, but the topology was built with {built:?}: build it by build_with"
    )))
}

/// The stores on this machine: the folder is opened, and locked, only where a store is on disk.
fn disk(topology: &Topology, settings: &Settings) -> Result<Disk, StreamsError> {
    let configured = match settings.dsl_store {
        DslStore::RocksDb => Engine::Persistent,
        DslStore::InMemory => Engine::InMemory,
    };
    let engines = Engines::new(configured, Memory::default());
    let application = &settings.application_id;
    let open = |folder: &str| StateDirectory::open(millstream_base_env::Disk::Real, folder.as_ref(), application);
    if let Some(why) = engines.missing_disk(topology.stores()) {
        tracing::warn!("{why}");
    }
    let persistent = topology.stores().iter().any(|store| engines.is_persistent(store));
    let opened = persistent.then(|| open(&settings.state_dir)).transpose().map_err(StreamsError::Directory)?;
    let disk = Disk::new(opened, engines);
    disk.survey(topology, application).map_err(StreamsError::Directory)?;
    Ok(disk)
}

/// Ctrl-C, or the word of whoever supervises the process: without a close the group would wait for the members.
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => _ = terminated.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// The life of a thread, from joining to its end; whether another one takes its place.
fn live(common: &Arc<Common>, index: usize, wishes: &Arc<Wishes>, handle: &tokio::runtime::Handle) -> Uncaught {
    let mut thread = match StreamThread::new(common, index, Arc::clone(wishes), handle.clone()) {
        Ok(thread) => thread,
        Err(error) => return failed(common, wishes, error),
    };
    let result = catch_unwind(AssertUnwindSafe(|| thread.run()));
    let error = match result {
        Ok(Ok(())) => return Uncaught::ShutdownClient,
        Ok(Err(error)) => error,
        Err(panic) => StreamsError::Panic(panics::text(&panic)),
    };
    let decision = failed(common, wishes, error);
    if decision == Uncaught::ShutdownApplication {
        thread.tell_shutdown();
    }
    thread.abandon();
    decision
}

fn failed(common: &Common, wishes: &Wishes, error: StreamsError) -> Uncaught {
    common.failed.fetch_add(1, Ordering::Relaxed);
    tracing::error!(%error, "a stream thread failed");
    let handler = common.uncaught.lock().clone();
    let mut decision = match (&error, handler) {
        (StreamsError::ApplicationShutdown, _) | (_, None) => Uncaught::ShutdownClient,
        (_, Some(handler)) => handler(&error),
    };
    // Another thread of the same name would throw out whoever took the place of this one.
    let is_replaced = matches!(error, StreamsError::Replaced(_));
    if decision == Uncaught::ReplaceThread && (is_replaced || wishes.stop.load(Ordering::Acquire)) {
        decision = Uncaught::ShutdownClient;
    }
    if decision != Uncaught::ReplaceThread {
        common.cause.lock().get_or_insert_with(|| Arc::new(error));
        common.states.set(State::PendingError);
        common.stop_all(LIMIT);
    }
    decision
}

/// Settings of a consumer without those of which this one would only say that they change nothing.
pub(super) fn known(mut settings: ClientSettings) -> ClientSettings {
    settings.remove("group.protocol");
    settings
}

/// The others share what it had; the last thread that ends ends the application.
fn end_of_thread(common: &Common, index: usize) {
    let left = {
        let mut wishes = common.wishes.lock();
        wishes.remove(&index);
        common.meters.lock().remove(&index);
        common.share_cache(wishes.len());
        wishes.len()
    };
    end_of_application(common);
    if left > 0 {
        common.states.forget_thread(index);
    }
}

/// The share of each thread; that of global tables is one more.
fn share(bytes: usize, threads: usize, globals: usize) -> usize {
    bytes / (threads + globals).max(1)
}

fn name_of(index: usize) -> String {
    format!("stream-{index}")
}

fn end_of_application(common: &Common) {
    if common.states.threads().values().all(|thread| *thread == ThreadState::Dead) {
        match common.states.state() {
            State::PendingShutdown => _ = common.states.set(State::NotRunning),
            State::PendingError => _ = common.states.set(State::Error),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle() -> KafkaStreams {
        let builder = crate::StreamsBuilder::new();
        builder.stream::<String, String>("in").to("out");
        // Nobody listens there.
        let config = StreamsConfig::new("idle", "127.0.0.1:1").set("default.dsl.store", "in_memory");
        KafkaStreams::new(builder.build().expect("sound"), config).expect("settings are sound")
    }

    #[test]
    fn what_comes_too_late_or_too_early_is_refused() {
        let app = idle();
        let early = app.add_thread().expect_err("nothing would stop it").to_string();
        assert_eq!(early, "adding a thread is not possible while the application is Created");
        app.set_uncaught_handler(|_| Uncaught::ShutdownClient).expect("it is not started");
        app.clean_up().expect("nobody works");
        app.start().expect("threads start");
        let late = [
            app.set_state_listener(|_, _| {}),
            app.set_uncaught_handler(|_| Uncaught::ShutdownClient),
            app.set_deserialization_handler(|_| Response::Continue),
            app.set_processing_handler(|_| Response::Continue),
            app.set_production_handler(|_| Response::Continue),
            app.clean_up(),
        ];
        assert!(late.iter().all(|set| matches!(set, Err(StreamsError::NotNow { .. }))), "{late:?}");
        let added = app.add_thread().expect("it works");
        assert_eq!(app.remove_thread(Duration::from_secs(60)), Some(added));
        assert!(app.threads().get(&added).is_none_or(|thread| *thread == ThreadState::Dead), "it was waited for");
        assert!(app.close(Duration::from_secs(60)));
        assert!(app.add_thread().is_err(), "nothing would stop it");
        app.clean_up().expect("nobody works any more");
    }

    #[test]
    fn the_first_error_is_what_ended_the_application() {
        let app = idle();
        let wishes = Wishes::default();
        assert!(app.common.states.set(State::Rebalancing));
        for error in [StreamsError::MissingSourceTopics(String::new()), StreamsError::ApplicationShutdown] {
            assert_eq!(failed(&app.common, &wishes, error), Uncaught::ShutdownClient);
        }
        assert!(matches!(app.cause().as_deref(), Some(StreamsError::MissingSourceTopics(_))));
        assert_eq!(app.state(), State::PendingError);
    }

    /// A thread that takes the place of one which lost it to a member of the same name would take it back, and so on.
    #[test]
    fn who_was_replaced_by_its_name_is_not_replaced_by_another_thread() {
        let app = idle();
        app.set_uncaught_handler(|_| Uncaught::ReplaceThread).expect("it is not started");
        let wishes = Wishes::default();
        let other = StreamsError::Panic("it may pass".to_owned());
        assert_eq!(failed(&app.common, &wishes, other), Uncaught::ReplaceThread);
        let replaced = StreamsError::Replaced("static-1".to_owned());
        assert_eq!(failed(&app.common, &wishes, replaced), Uncaught::ShutdownClient);
    }

    #[test]
    fn the_cache_is_shared_by_all_threads_and_that_of_global_tables() {
        assert_eq!((share(100, 2, 0), share(100, 3, 1), share(100, 0, 0)), (50, 25, 100));
    }
}
