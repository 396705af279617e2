//! Starts and stops a broker, in a stated order.
//!
//! Start: sockets (a port in use is found before any work) -> log directories (lock, meta.properties) -> recovery,
//! in parallel -> metadata quorum -> partitions and coordinators -> upkeep -> requests. Stop is the reverse.
//! Called by the binary; never by a handler.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millstream_base_config::BrokerConfig;
use millstream_base_config::listener::Listener;
use millstream_base_metrics::Registry;
use millstream_base_env::{Clock, Disk, net, task};
use millstream_broker_controller::format::{self, ClusterId, Existing, FormatError};
use millstream_broker_controller::request::TopicDefaults;
use millstream_broker_controller::{Controller, ControllerOptions, Endpoint, Image, Subscription};
use millstream_broker_log::{LogDir, OpenError};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::dispatch::SERVED;
use crate::coord::leadership;
use crate::life::measure;
use crate::life::metrics::BrokerMetrics;
use crate::net::connected::Connected;
use crate::net::listener::accept;
use crate::node::Node;
use crate::replica::partitions::Partitions;
use crate::replica::topic_config;
use crate::replica::upkeep;

/// How often the log directories are looked at for one that went offline.
const OFFLINE_CHECK: Duration = Duration::from_millis(500);

/// Why a broker did not start: one line that says what, where, and what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener's address cannot be used.
    #[error("cannot listen on {address} ({listener}): {source}; is another broker running there? Choose another port with listeners or --port")]
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
    /// A log directory is in use, damaged or unreadable.
    #[error("{0}; stop the process that uses it, or point log.dirs elsewhere")]
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

/// A broker that serves.
pub struct RunningBroker {
    node: Arc<Node>,
    addresses: Vec<(String, SocketAddr)>,
    listeners: JoinSet<()>,
    upkeep: JoinSet<()>,
    metadata: tokio::task::JoinHandle<()>,
    failure: watch::Receiver<Option<Failure>>,
}

/// Sockets that listen, with the addresses to advertise.
struct Sockets {
    bound: Vec<(String, TcpListener, SocketAddr)>,
    advertised: Vec<Endpoint>,
}

/// Starts a broker. Must be called inside a tokio runtime.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: BrokerConfig, disk: Disk, clock: Clock) -> Result<RunningBroker, StartError> {
    start_measured(config, disk, clock, Registry::default()).await
}

/// The same, with its metrics in `registry`.
///
/// # Errors
/// See [`StartError`].
pub async fn start_measured(
    config: BrokerConfig,
    disk: Disk,
    clock: Clock,
    registry: Registry,
) -> Result<RunningBroker, StartError> {
    let config = Arc::new(config);
    let sockets = listen(&config)?;
    let opening = (config.clone(), disk.clone(), clock.clone());
    let opened = task::spawn_blocking("open log directories", move || {
        let (config, disk, clock) = opening;
        open_log_dirs(&config, &disk, &clock)
    })
    .await
    .map_err(|error| StartError::Interrupted(error.to_string()))??;
    let controller = Controller::start(ControllerOptions {
        disk,
        clock: clock.clone(),
        node_id: config.node_id,
        cluster_id: opened.formatted.cluster_id.clone(),
        log_dirs: opened.dirs.clone(),
        directory_ids: opened.formatted.directory_ids.clone(),
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
    let partitions =
        Partitions::new(config.clone(), opened.dirs, opened.formatted.directory_ids, opened.partitions, metrics);
    let node = Arc::new(Node::new(clock, config, controller, Arc::new(partitions)));
    leadership::start(&node);
    measure::observe(&node);
    let mut subscription = node.controller.subscribe();
    follow_metadata_once(&node, &mut subscription).await?;
    let metadata = task::spawn("metadata", follow_metadata(node.clone(), subscription));
    let (failed, failure) = watch::channel(None);
    let mut background = upkeep::start(&node);
    background.spawn(watch_log_dirs(node.clone(), failed));
    node.ready.store(true, Ordering::Release);
    let connected = Arc::new(Connected::default());
    let mut listeners = JoinSet::new();
    let mut addresses = Vec::new();
    for (name, socket, address) in sockets.bound {
        addresses.push((name.clone(), address));
        listeners.spawn(accept(socket, name.into(), node.clone(), connected.clone()));
    }
    Ok(RunningBroker { node, addresses, listeners, upkeep: background, metadata, failure })
}

impl RunningBroker {
    /// Address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0].1
    }

    /// Every listener with its address.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// The node, for metrics and health.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Waits until the broker must end by itself: its last log directory is offline.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.failure.clone();
        loop {
            if let Some(failure) = failure.borrow_and_update().clone() {
                return failure;
            }
            if failure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops: no more requests, everything on disk, the clean-shutdown marker.
    ///
    /// # Errors
    /// When a log directory could not be closed cleanly; recovery will look at it at the next start.
    pub async fn stop(mut self) -> Result<(), String> {
        self.node.ready.store(false, Ordering::Release);
        self.listeners.shutdown().await;
        self.upkeep.shutdown().await;
        self.node.controller.stop().await;
        self.metadata.abort();
        let node = self.node.clone();
        let closed = task::spawn_blocking("close log directories", move || {
            let mut problems = Vec::new();
            for dir in node.partitions.dirs() {
                if let Err(error) = dir.close() {
                    problems.push(format!("{}: {error}", dir.path().display()));
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

fn listen(config: &BrokerConfig) -> Result<Sockets, StartError> {
    let mut bound = Vec::new();
    for listener in &config.listeners {
        let address = resolve(listener)?;
        let socket = net::listen(address).map_err(|source| StartError::Listen {
            listener: listener.name.clone(),
            address: address.to_string(),
            source,
        })?;
        let address = socket.local_addr().unwrap_or(address);
        bound.push((listener.name.clone(), socket, address));
    }
    let advertised = config
        .advertised_listeners
        .iter()
        .map(|listener| {
            let actual = bound.iter().find(|(name, _, _)| *name == listener.name).map(|(_, _, address)| *address);
            Endpoint {
                listener: listener.name.clone(),
                host: advertised_host(listener),
                // Port 0 stands for the one that the system chose.
                port: if listener.port == 0 { actual.map_or(0, |address| address.port()) } else { listener.port },
                security_protocol: listener.protocol as i16,
            }
        })
        .collect();
    Ok(Sockets { bound, advertised })
}

fn resolve(listener: &Listener) -> Result<SocketAddr, StartError> {
    if listener.host.is_empty() {
        return Ok(SocketAddr::new(IpAddr::from([0u8; 16]), listener.port));
    }
    let unknown = || StartError::UnknownHost { listener: listener.name.clone(), host: listener.host.clone() };
    (listener.host.as_str(), listener.port).to_socket_addrs().map_err(|_| unknown())?.next().ok_or_else(unknown)
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

/// Log directories that are open, checked and recovered.
struct Opened {
    dirs: Vec<Arc<LogDir>>,
    formatted: format::Formatted,
    partitions: Vec<Arc<millstream_broker_log::PartitionLog>>,
}

fn open_log_dirs(config: &BrokerConfig, disk: &Disk, clock: &Clock) -> Result<Opened, StartError> {
    let paths: Vec<PathBuf> =
        config.log_dirs.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).collect();
    let open = |path: &Path| LogDir::open(disk.clone(), clock.clone(), path).map_err(StartError::LogDir);
    let dirs = paths.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let formatted = format::format(&dirs, config.node_id, ClusterId::OfTheFolders, Existing::Kept)?;
    let default = Arc::new(topic_config::resolve(config, &Image::default(), "").log);
    let threads = usize::try_from(config.number("num.recovery.threads.per.data.dir")).unwrap_or(1);
    let threads = threads.max(std::thread::available_parallelism().map_or(1, usize::from));
    let mut partitions = Vec::new();
    for dir in &dirs {
        // The topics' own configuration comes with the metadata, which is replayed next; until then the broker's counts.
        partitions.extend(dir.load_all(threads, &|_| default.clone()).map_err(StartError::LogDir)?);
    }
    Ok(Opened { dirs, formatted, partitions })
}

async fn follow_metadata_once(node: &Arc<Node>, subscription: &mut Subscription) -> Result<(), StartError> {
    let Some(delta) = subscription.next().await else {
        return Err(StartError::Interrupted("the metadata quorum stopped".to_owned()));
    };
    apply(node, delta).await;
    let strays = node.clone();
    let set_aside = task::spawn_blocking("set strays aside", move || strays.partitions.set_strays_aside());
    set_aside.await.map_err(|error| StartError::Interrupted(error.to_string()))
}

async fn follow_metadata(node: Arc<Node>, mut subscription: Subscription) {
    while let Some(delta) = subscription.next().await {
        apply(&node, delta).await;
    }
}

async fn apply(node: &Arc<Node>, delta: millstream_broker_controller::Delta) {
    let node = node.clone();
    let applied = task::spawn_blocking("apply metadata", move || {
        leadership::metadata_changes(&node, &delta);
        for change in node.partitions.apply(&delta) {
            leadership::changed(&node, change);
        }
        leadership::metadata_changed(&node, &delta);
    });
    if let Err(error) = applied.await {
        tracing::error!(%error, "a metadata change could not be applied");
    }
}

async fn watch_log_dirs(node: Arc<Node>, failed: watch::Sender<Option<Failure>>) {
    loop {
        task::sleep(OFFLINE_CHECK).await;
        let dirs = node.partitions.dirs();
        if dirs.iter().all(|dir| dir.is_offline()) {
            let reasons: Vec<String> = dirs
                .iter()
                .map(|dir| format!("{}: {}", dir.path().display(), dir.offline_reason().unwrap_or_default()))
                .collect();
            let text = format!("every log directory is offline ({}); check the disk and start again", reasons.join("; "));
            failed.send_replace(Some(Failure(text)));
            return;
        }
    }
}
