//! The services: reads the configuration, starts what was asked for, says where it listens, waits for a signal.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use millstream_base_config::BrokerConfig;
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
    let properties = match properties::from_flags(&flags) {
        Ok(properties) => properties,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let config = match BrokerConfig::new(&properties) {
        Ok(config) => config,
        Err(error) => return Ended::Failed(error.to_string()),
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
    match descriptors::raise() {
        Ok((before, limit)) => tracing::info!(before, limit, "open files and sockets"),
        Err(error) => tracing::warn!(%error, limit = descriptors::limit(), "the limit of open files cannot be raised"),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("millstream").build() {
        Ok(runtime) => runtime,
        Err(error) => return Ended::Failed(format!("cannot start threads: {error}")),
    };
    let ended = runtime.block_on(serve(config, &flags));
    runtime.shutdown_background();
    ended
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

async fn serve(config: BrokerConfig, flags: &Flags) -> Ended {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return Ended::Failed(format!("cannot wait for signals: {error}")),
    };
    if let Some(path) = flags.ready_file.as_deref()
        && let Err(line) = withdraw(path)
    {
        return Ended::Failed(line);
    }
    let wants = |service: &str| flags.only.as_ref().is_none_or(|only| only.iter().any(|name| name == service));
    let readiness = Readiness::default();
    let registry = Registry::default();
    let metrics_address = SocketAddr::new(flags.host(), flags.port("metrics"));
    let (stop_metrics, stopped) = oneshot::channel::<()>();
    let mut metrics = None;
    if wants("metrics") {
        let listener = match net::listen(metrics_address) {
            Ok(listener) => listener,
            Err(error) => {
                return Ended::Failed(format!(
                    "cannot listen on {metrics_address} (metrics): {error}; choose another port with --port metrics=N"
                ));
            }
        };
        metrics = listener.local_addr().ok();
        let serving = admin_http::serve(listener, readiness.clone(), registry.clone(), async move {
            // An error means that the sender is gone: time to stop as well.
            let _ = stopped.await;
        });
        task::spawn("metrics", serving);
    }
    let started = tokio::select! {
        started = start_measured(config, Disk::Real, Clock::Real, registry) => started,
        _ = terminate.recv() => return abandoned(),
        _ = interrupt.recv() => return abandoned(),
    };
    let broker = match started {
        Ok(broker) => broker,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    readiness.set_ready();
    let failure = match announce(&broker, metrics, flags.ready_file.as_deref()) {
        Err(line) => Some(line),
        Ok(()) => tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            failure = broker.failed() => Some(failure.0),
        },
    };
    readiness.set_unready();
    let withdrawn = flags.ready_file.as_deref().map_or(Ok(()), withdraw);
    let stopped = broker.stop().await.and(withdrawn);
    drop(stop_metrics);
    match (failure, stopped) {
        (Some(line), _) => Ended::Failed(line),
        (None, Err(line)) => Ended::Failed(format!("not everything could be closed cleanly: {line}")),
        (None, Ok(())) => Ended::Well,
    }
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
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("cannot remove {}: {error}", path.display())),
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
