//! Starts and stops a broker, in a stated order.
//!
//! Start: sockets (a port in use is found before any work) -> log directories (lock, meta.properties) -> recovery,
//! in parallel -> metadata quorum -> partitions and coordinators -> upkeep -> requests. Stop is the reverse.
//! Called by the binary; never by a handler.

/// Log directories: opened, checked, recovered.
mod log_dirs;
/// What is asked for and not there.
mod unbuilt;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream_base_config::BrokerConfig;
use millstream_base_config::listener::Listener;
use millstream_base_env::{Clock, Disk, net, task};
use millstream_base_metrics::Registry;
use millstream_broker_controller::format::FormatError;
use millstream_broker_controller::request::TopicDefaults;
use millstream_broker_controller::{Controller, ControllerOptions, Delta, Endpoint, Subscription};
use millstream_broker_log::{LogDir, OpenError};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::context::Role;
use crate::api::dispatch::SERVED;
use crate::coord::leadership;
use crate::life::measure;
use crate::life::metrics::BrokerMetrics;
use crate::net::connected::Connected;
use crate::net::listener::{Purpose, accept};
use crate::node::Node;
use crate::replica::partitions::Partitions;
use crate::replica::upkeep;

/// How often the log directories are looked at for those that went offline.
const OFFLINE_CHECK: Duration = Duration::from_millis(500);

/// Why a broker did not start: one line that says what, where, and what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener's address cannot be used.
    #[error(
        "cannot listen on {address} ({listener}): {source}; is another broker running there? Choose another port with listeners or --port"
    )]
    Listen {
        /// Name of the listener.
        listener: String,
        /// The address.
        address: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A host name stands for no address.
    #[error("listener {listener}: the host {host} has no address")]
    UnknownHost {
        /// Name of the listener.
        listener: String,
        /// The host.
        host: String,
    },
    /// What the configuration asks for is not there.
    #[error("{0}")]
    Unbuilt(String),
    /// Every log directory failed.
    #[error(
        "no log directory can be used: {reason}; check the folder, or point log.dirs or --data elsewhere ({})",
        joined(paths)
    )]
    NoLogDir {
        /// All of them.
        paths: Vec<PathBuf>,
        /// What is wrong with the first.
        reason: String,
    },
    /// The first log directory failed.
    #[error(
        "the first of log.dirs holds the cluster's metadata and cannot be used: {0}; check the disk, or put another folder first"
    )]
    MetadataLogDir(String),
    /// A log directory is in use.
    #[error("{0}; stop the process that uses it, or point log.dirs or --data elsewhere")]
    InUse(OpenError),
    /// What lies in a log directory makes no sense.
    #[error("{0}; repair it or move it away, or point log.dirs or --data elsewhere")]
    LogDir(OpenError),
    /// A log directory belongs elsewhere.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The metadata quorum did not start.
    #[error(transparent)]
    Controller(#[from] millstream_broker_controller::controller::StartError),
    /// A thread of the start ended early.
    #[error("the start was interrupted: {0}")]
    Interrupted(String),
}

/// Why a running broker must end.
#[derive(Clone, Debug)]
pub struct Failure(pub String);

/// Where whatever must not go on says so. Clones share it; the first failure counts.
#[derive(Clone, Debug, Default)]
struct Failing(Arc<watch::Sender<Option<Failure>>>);

impl Failing {
    fn fail(&self, text: String) {
        self.0.send_if_modified(|failure| failure.is_none() && failure.replace(Failure(text)).is_none());
    }

    async fn failed(&self) -> Failure {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(Option::is_some).await.map(|failure| (*failure).clone()) {
            Ok(Some(failure)) => failure,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

/// A broker that serves.
pub struct RunningBroker {
    node: Arc<Node>,
    addresses: Vec<(String, SocketAddr)>,
    listeners: JoinSet<()>,
    upkeep: JoinSet<()>,
    metadata: tokio::task::JoinHandle<()>,
    metadata_dir: Arc<LogDir>,
    failure: Failing,
}

/// One socket that listens.
struct Bound {
    purpose: Purpose,
    socket: TcpListener,
    address: SocketAddr,
}

/// Sockets that listen, those for clients of the broker first, with the addresses to advertise.
struct Sockets {
    bound: Vec<Bound>,
    /// To clients of the broker.
    advertised: Vec<Endpoint>,
    /// To clients of the controller.
    controllers: Vec<Endpoint>,
}

/// Starts a broker. Must be called inside a tokio runtime.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: BrokerConfig, disk: Disk, clock: Clock) -> Result<RunningBroker, StartError> {
    start_measured(config, disk, clock, Registry::default()).await
}

/// The same, with its metrics in `registry`. Boxed, so that the broker is compiled in this crate once, and not again in
/// each program that starts one.
///
/// # Errors
/// See [`StartError`].
pub fn start_measured(
    config: BrokerConfig,
    disk: Disk,
    clock: Clock,
    registry: Registry,
) -> BoxFuture<'static, Result<RunningBroker, StartError>> {
    Box::pin(started(config, disk, clock, registry))
}

async fn started(
    config: BrokerConfig,
    disk: Disk,
    clock: Clock,
    registry: Registry,
) -> Result<RunningBroker, StartError> {
    let config = Arc::new(config);
    if let Some(line) = unbuilt::asked_for(&config) {
        return Err(StartError::Unbuilt(line));
    }
    let sockets = listen(&config)?;
    let opening = (config.clone(), disk.clone(), clock.clone());
    let opened = task::spawn_blocking("open log directories", move || {
        let (config, disk, clock) = opening;
        log_dirs::open(&config, &disk, &clock)
    })
    .await
    .map_err(|error| StartError::Interrupted(error.to_string()))??;
    let (online, online_ids) = opened.online();
    let controller = Controller::start(ControllerOptions {
        disk,
        clock: clock.clone(),
        node_id: config.node_id,
        cluster_id: opened.cluster_id,
        log_dirs: online,
        metadata_dir: opened.metadata.clone(),
        directory_ids: online_ids,
        endpoints: sockets.advertised,
        rack: config.text("broker.rack"),
        topic_defaults: TopicDefaults {
            partitions: config.number("num.partitions") as i32,
            replication_factor: config.number("default.replication.factor") as i16,
        },
        file: config.set_values().clone(),
    })
    .await?;
    let metrics = BrokerMetrics::new(registry, SERVED.iter().map(|(key, _)| (*key as i16, key.api().name)));
    let partitions = Partitions::new(config.clone(), opened.dirs, opened.ids, opened.partitions, metrics);
    let node = Arc::new(Node::new(clock, config, controller, sockets.controllers, Arc::new(partitions)));
    leadership::start(&node);
    measure::observe(&node);
    let mut subscription = node.controller.subscribe();
    follow_metadata_once(&node, &mut subscription).await?;
    let failure = Failing::default();
    let metadata = task::spawn("metadata", follow_metadata(node.clone(), subscription, failure.clone()));
    let mut background = upkeep::start(&node);
    background.spawn(watch_log_dirs(node.clone(), opened.metadata.clone(), failure.clone()));
    background.spawn(watch_quorum(node.clone(), opened.metadata.clone(), failure.clone()));
    node.ready.store(true, Ordering::Release);
    let connected = Arc::new(Connected::default());
    let mut listeners = JoinSet::new();
    let mut addresses = Vec::new();
    for Bound { purpose, socket, address } in sockets.bound {
        addresses.push((purpose.name.to_string(), address));
        listeners.spawn(accept(socket, purpose, node.clone(), connected.clone()));
    }
    let metadata_dir = opened.metadata;
    Ok(RunningBroker { node, addresses, listeners, upkeep: background, metadata, metadata_dir, failure })
}

impl RunningBroker {
    /// Address of the first listener for clients.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0].1
    }

    /// Every listener with its address, those for clients of the broker first.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// The node, for metrics and health.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Waits until the broker must end by itself: its last log directory is offline, or that of the metadata log; or it
    /// could not become what the metadata says (Java: the fatal fault handlers of `SharedServer`).
    pub async fn failed(&self) -> Failure {
        self.failure.failed().await
    }

    /// Waits until every coordinator partition that this node leads has been replayed, or its replay has failed once.
    /// Until then groups and transactions are answered COORDINATOR_LOAD_IN_PROGRESS. Without any it is done at once.
    pub async fn coordinators_loaded(&self) {
        self.node.coordinators.groups.shards().settled().await;
        self.node.coordinators.txns.shards().settled().await;
    }

    /// Stops: no more requests, everything on disk, the clean-shutdown marker. Where the disk is too full for the last
    /// of it, that is said and no error: the records are in their files, and the next start looks through them.
    ///
    /// # Errors
    /// When a log directory could not be closed cleanly; recovery will look at it at the next start.
    pub fn stop(self) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(self.stopped())
    }

    async fn stopped(mut self) -> Result<(), String> {
        self.node.ready.store(false, Ordering::Release);
        self.node.partitions.end_background();
        self.listeners.shutdown().await;
        self.upkeep.shutdown().await;
        self.node.controller.stop().await;
        self.metadata.abort();
        let (node, metadata_dir) = (self.node.clone(), self.metadata_dir.clone());
        let closed = task::spawn_blocking("close log directories", move || {
            let mut problems = Vec::new();
            let dirs = node.partitions.dirs();
            let is_apart = !dirs.iter().any(|dir| Arc::ptr_eq(dir, &metadata_dir));
            for dir in dirs.iter().chain(Some(&metadata_dir).filter(|_| is_apart)) {
                // What takes a directory offline was said then; there is nothing in it to close.
                let was_offline = dir.is_offline();
                match dir.close() {
                    Err(error) if error.is_disk_full() => {
                        let reason = with_cause(&error);
                        tracing::warn!(dir = %dir.path().display(), reason, "the disk is full (ENOSPC): the end of a clean stop was not written; nothing acknowledged is lost, the next start looks through the logs; free some space");
                    }
                    Err(error) if !was_offline => {
                        problems.push(format!("{}: {}", dir.path().display(), with_cause(&error)))
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            problems
        });
        match closed.await {
            Ok(problems) if problems.is_empty() => Ok(()),
            Ok(problems) => Err(problems.join("; ")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// An error with what the system said, which its own text leaves out.
fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn joined(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn listen(config: &BrokerConfig) -> Result<Sockets, StartError> {
    let mut bound = Vec::new();
    let of_broker = config.listeners.iter().map(|listener| (listener, Role::Broker));
    let of_controller = config.controller_listeners.iter().map(|listener| (listener, Role::Controller));
    for (listener, role) in of_broker.chain(of_controller) {
        let address = resolve(listener)?;
        let socket = net::listen(address).map_err(|source| StartError::Listen {
            listener: listener.name.clone(),
            address: address.to_string(),
            source,
        })?;
        let address = socket.local_addr().unwrap_or(address);
        bound.push(Bound { purpose: Purpose { name: listener.name.as_str().into(), role }, socket, address });
    }
    let advertised = config.advertised_listeners.iter().map(|listener| endpoint(listener, &bound)).collect();
    let controllers =
        config.advertised_controller_listeners.iter().map(|listener| endpoint(listener, &bound)).collect();
    Ok(Sockets { bound, advertised, controllers })
}

fn endpoint(listener: &Listener, bound: &[Bound]) -> Endpoint {
    let actual = bound.iter().find(|bound| *bound.purpose.name == listener.name).map(|bound| bound.address);
    Endpoint {
        listener: listener.name.clone(),
        host: advertised_host(listener),
        // Port 0 stands for the one that the system chose.
        port: if listener.port == 0 { actual.map_or(0, |address| address.port()) } else { listener.port },
        security_protocol: listener.protocol as i16,
    }
}

fn resolve(listener: &Listener) -> Result<SocketAddr, StartError> {
    if listener.host.is_empty() {
        return Ok(SocketAddr::new(IpAddr::from([0u8; 16]), listener.port));
    }
    let unknown = || StartError::UnknownHost { listener: listener.name.clone(), host: listener.host.clone() };
    net::resolve(&listener.host, listener.port).map_err(|_| unknown())
}

/// Clients are told the host name of the machine where the listener takes every interface, as Java's
/// `InetAddress.getCanonicalHostName`.
fn advertised_host(listener: &Listener) -> String {
    if !listener.host.is_empty() && listener.host != "0.0.0.0" && listener.host != "::" {
        return listener.host.clone();
    }
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let known = (name.as_str(), 0u16).to_socket_addrs().is_ok_and(|mut found| found.next().is_some());
    if known { name } else { "localhost".to_owned() }
}

async fn follow_metadata_once(node: &Arc<Node>, subscription: &mut Subscription) -> Result<(), StartError> {
    let Some(delta) = subscription.next().await else {
        return Err(StartError::Interrupted("the metadata quorum stopped".to_owned()));
    };
    apply(node, delta).await.map_err(StartError::Interrupted)?;
    let strays = node.clone();
    let set_aside = task::spawn_blocking("set strays aside", move || strays.partitions.set_strays_aside());
    set_aside.await.map_err(|error| StartError::Interrupted(error.to_string()))
}

/// A change that could not be carried out is never skipped: the next would be made to a broker that is not what the
/// metadata says.
async fn follow_metadata(node: Arc<Node>, mut subscription: Subscription, failure: Failing) {
    while let Some(delta) = subscription.next().await {
        let offset = delta.image.offset();
        if let Err(reason) = apply(&node, delta).await {
            failure.fail(format!(
                "the change of metadata at offset {offset} could not be carried out ({reason}); start the broker again, \
                 and if it ends here again, keep __cluster_metadata-0 and report this line"
            ));
            return;
        }
    }
}

async fn apply(node: &Arc<Node>, delta: Delta) -> Result<(), String> {
    let node = node.clone();
    whole("apply metadata", move || {
        leadership::metadata_changes(&node, &delta);
        for change in node.partitions.apply(&delta) {
            leadership::changed(&node, change);
        }
        leadership::metadata_changed(&node, &delta);
    })
    .await
}

/// Runs `work` where it may block; the error says that it panicked.
async fn whole(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    task::spawn_blocking(name, work).await.map_err(|error| error.to_string())
}

async fn watch_quorum(node: Arc<Node>, metadata_dir: Arc<LogDir>, failure: Failing) {
    let reason = node.controller.failed().await;
    failure.fail(metadata_failed(&metadata_dir, &reason));
}

fn metadata_failed(dir: &LogDir, reason: &str) -> String {
    format!("the metadata log in {} failed ({reason}); check the disk and start again", dir.path().display())
}

async fn watch_log_dirs(node: Arc<Node>, metadata_dir: Arc<LogDir>, failure: Failing) {
    loop {
        task::sleep(OFFLINE_CHECK).await;
        let dirs = node.partitions.dirs();
        if dirs.iter().all(|dir| dir.is_offline()) {
            let reasons: Vec<String> = dirs
                .iter()
                .map(|dir| format!("{}: {}", dir.path().display(), dir.offline_reason().unwrap_or_default()))
                .collect();
            let text =
                format!("every log directory is offline ({}); check the disk and start again", reasons.join("; "));
            return failure.fail(text);
        }
        // Nothing can change any more, and what was acknowledged of metadata may be gone (Java:
        // `ReplicaManager.handleLogDirFailure`).
        if metadata_dir.is_offline() {
            return failure.fail(metadata_failed(&metadata_dir, &metadata_dir.offline_reason().unwrap_or_default()));
        }
    }
}

#[cfg(test)]
mod tests;
