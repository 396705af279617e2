//! The services: reads the configuration, starts what was asked for, says where it listens, waits for a signal.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use millstream_base_config::parse::Origin;
use millstream_base_config::{BrokerConfig, ConfigError};
use millstream_base_env::{Clock, Disk, descriptors, net, task};
use millstream_base_metrics::Registry;
use millstream_broker_server::life::admin_http::{self, Readiness};
use millstream_broker_server::start::{RunningBroker, start_measured};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::Ended;
use crate::flags::{BUILT, Flags};
use crate::properties;

/// Runs the service `name` until it is told to stop.
pub fn run(name: &str, flags: Flags) -> Ended {
    if let Some(missing) = missing(name, &flags) {
        return Ended::Failed(format!("the service {missing} is not built yet; leave it out"));
    }
    log_to_stderr();
    let config = match properties::from_flags(&flags).and_then(|properties| BrokerConfig::new(&properties)) {
        Ok(config) => config,
        Err(error) => return refused(&error, &flags),
    };
    for (key, nearest) in &config.unknown_keys {
        match nearest {
            Some(nearest) => tracing::warn!(key, "unknown configuration key, did you mean {nearest}?"),
            None => tracing::warn!(key, "unknown configuration key"),
        }
    }
    if !config.vain_keys.is_empty() {
        let keys = config.vain_keys.join(", ");
        tracing::warn!(keys, "these configuration keys have no effect in this broker");
    }
    let raised = descriptors::raise();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("millstream").build() {
        Ok(runtime) => runtime,
        Err(error) => return Ended::Failed(format!("cannot start threads: {error}")),
    };
    let ended = runtime.block_on(serve(config, &flags, raised));
    runtime.shutdown_background();
    ended
}

/// What was typed wrongly is wrong usage; what stands wrongly in a file is a failure.
fn refused(error: &ConfigError, flags: &Flags) -> Ended {
    let is_typed = match error {
        ConfigError::Malformed { origin, .. } | ConfigError::Invalid { origin, .. } => *origin == Origin::Argument,
        ConfigError::Inconsistent(_) => flags.config.is_none(),
        ConfigError::Unreadable { .. } => false,
    };
    if is_typed { Ended::Misused(error.to_string()) } else { Ended::Failed(error.to_string()) }
}

/// The first service that was asked for and does not exist.
fn missing(name: &str, flags: &Flags) -> Option<String> {
    let command = match name {
        "up" | "broker" => None,
        "ksql-server" => Some("ksql".to_owned()),
        other => Some(other.to_owned()),
    };
    command.or_else(|| flags.only.iter().flatten().find(|name| !BUILT.contains(&name.as_str())).cloned())
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLSTREAM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,openraft=warn"));
    // A second subscriber can only be asked for by a test in the same process.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

async fn serve(config: BrokerConfig, flags: &Flags, raised: io::Result<(u64, u64)>) -> Ended {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return Ended::Failed(format!("cannot wait for signals: {error}")),
    };
    if let Some(path) = flags.ready_file.as_deref()
        && let Err(line) = withdraw(path)
    {
        return Ended::Failed(line);
    }
    let readiness = Readiness::default();
    let registry = Registry::default();
    let metrics = match Metrics::start(flags, &readiness, &registry) {
        Ok(metrics) => metrics,
        Err(line) => return Ended::Failed(line),
    };
    let started = tokio::select! {
        started = start_measured(config, Disk::Real, Clock::Real, registry) => started,
        _ = terminate.recv() => return abandoned(),
        _ = interrupt.recv() => return abandoned(),
    };
    let broker = match started {
        Ok(broker) => broker,
        Err(error) => return Ended::Failed(with_causes(&error)),
    };
    // Said now: where there is no start, the one line says why.
    match raised {
        Ok((before, limit)) => tracing::info!(before, limit, "open files and sockets"),
        Err(error) => tracing::warn!(%error, limit = descriptors::limit(), "the limit of open files cannot be raised"),
    }
    let metrics_address = metrics.as_ref().and_then(|metrics| metrics.address);
    let failure = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        line = until_failure(&broker, &readiness, metrics_address, flags.ready_file.as_deref()) => Some(line),
    };
    readiness.set_unready();
    let withdrawn = flags.ready_file.as_deref().map_or(Ok(()), withdraw);
    let stopped = broker.stop().await.and(withdrawn);
    drop(metrics);
    match (failure, stopped) {
        (Some(line), _) => Ended::Failed(line),
        (None, Err(line)) => Ended::Failed(format!("not everything could be closed cleanly: {line}")),
        (None, Ok(())) => Ended::Well,
    }
}

/// Says that the broker is ready once all of it answers, groups and transactions too; then waits for what ends it.
async fn until_failure(
    broker: &RunningBroker,
    readiness: &Readiness,
    metrics: Option<SocketAddr>,
    ready_file: Option<&Path>,
) -> String {
    tokio::select! {
        () = broker.coordinators_loaded() => {}
        failure = broker.failed() => return failure.0,
    }
    readiness.set_ready();
    match announce(broker, metrics, ready_file) {
        Ok(()) => broker.failed().await.0,
        Err(line) => line,
    }
}

/// Port 9404, from before the broker starts until after it stopped.
struct Metrics {
    address: Option<SocketAddr>,
    /// Ends it when dropped.
    _stop: oneshot::Sender<()>,
}

impl Metrics {
    /// `None` where it is not wanted.
    fn start(flags: &Flags, readiness: &Readiness, registry: &Registry) -> Result<Option<Metrics>, String> {
        if flags.only.as_ref().is_some_and(|only| only.iter().all(|name| name != "metrics")) {
            return Ok(None);
        }
        let wanted = SocketAddr::new(flags.host().address, flags.port("metrics"));
        let listener = net::listen(wanted).map_err(|error| {
            format!("cannot listen on {wanted} (metrics): {error}; choose another port with --port metrics=N")
        })?;
        let address = listener.local_addr().ok();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = admin_http::serve(listener, readiness.clone(), registry.clone(), async move {
            // An error means that the sender is gone: time to stop as well.
            let _ = stopped.await;
        });
        task::spawn("metrics", serving);
        Ok(Some(Metrics { address, _stop: stop }))
    }
}

/// An error in one line, with those causes that its text leaves out.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line += &format!(": {text}");
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}

/// A signal came before the broker served. Nothing was acknowledged yet, and no folder gets the marker of a clean
/// stop, so that the next start takes recovery up again.
fn abandoned() -> Ended {
    tracing::info!("told to stop during the start; what was not recovered yet is at the next start");
    Ended::Well
}

/// Prints the table of addresses, every listener of the broker in it, and writes the ready file.
fn announce(broker: &RunningBroker, metrics: Option<SocketAddr>, ready_file: Option<&Path>) -> Result<(), String> {
    let mut ready = serde_json::Map::new();
    ready.insert("pid".to_owned(), std::process::id().into());
    let several = broker.addresses().len() > 1;
    for (number, (listener, address)) in broker.addresses().iter().enumerate() {
        let address = reachable(*address).to_string();
        let name = if several { format!("  {listener}") } else { String::new() };
        println!("{:<12} {address}{name}", "broker");
        if number == 0 {
            ready.insert("broker".to_owned(), address.into());
        }
    }
    if let Some(metrics) = metrics {
        let address = format!("http://{}", reachable(metrics));
        println!("{:<12} {address}", "metrics");
        ready.insert("metrics".to_owned(), address.into());
    }
    let Some(path) = ready_file else { return Ok(()) };
    let text = serde_json::Value::Object(ready).to_string();
    Disk::Real.replace(path, text.as_bytes()).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Nobody may take the ready file of an earlier run, or of one that ends, for this one's.
fn withdraw(path: &Path) -> Result<(), String> {
    match Disk::Real.remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// An address to connect to from this machine: loopback where every interface is listened on.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    // A socket on [::] takes IPv4 as well, and not every machine has ::1.
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())
}
