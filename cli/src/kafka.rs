//! Apache Kafka's command-line tools under their own names, with Apache's flags, output and exit status.
//!
//! Called by `main.rs` when the first word names one (`millstream kafka-topics ...`), which is what `bin/kafka-*.sh` do.

/// Flags, read as Apache's tools read them.
pub mod options;
/// The order of a Java hash map.
pub mod java_order;
/// Numbers with a fraction.
pub mod java_number;
/// Dates.
pub mod java_time;
/// Lists of names and patterns.
pub mod topic_filter;
/// Errors by the names of Java's classes.
pub mod java_exception;
/// kafka-storage
pub mod storage;
/// kafka-server-start
pub mod server_start;
/// How a record is read from a line.
pub mod line_reader;
/// kafka-console-producer
pub mod console_producer;
/// How a record is printed.
pub mod formatter;
/// kafka-console-consumer
pub mod console_consumer;
/// kafka-topics
pub mod topics;
/// kafka-consumer-groups
pub mod consumer_groups;
/// `--print-metrics`.
pub mod client_metrics;
/// Sending and reading no faster than asked.
pub mod throttle;
/// kafka-producer-perf-test
pub mod producer_perf;
/// kafka-consumer-perf-test
pub mod consumer_perf;
/// kafka-e2e-latency
pub mod e2e_latency;
/// kafka-verifiable-producer
pub mod verifiable_producer;
/// kafka-verifiable-consumer
pub mod verifiable_consumer;
/// kafka-groups
pub mod groups;
/// kafka-broker-api-versions
pub mod broker_api_versions;
/// Tools whose first word names what to do.
pub mod subcommands;
/// `--output json`.
pub mod output;
/// How far a long run is.
pub mod progress;
/// Tables with a tab behind each column.
pub mod table;
/// Features and their levels.
pub mod feature_levels;
/// kafka-features
pub mod features;
/// kafka-metadata-quorum
pub mod metadata_quorum;
/// kafka-transactions
pub mod transactions;
/// kafka-reassign-partitions
pub mod reassign;
/// kafka-acls
pub mod acls;
/// kafka-leader-election
pub mod leader_election;
/// Records of internal topics for people.
pub mod internal_records;
/// kafka-dump-log
pub mod dump_log;
/// kafka-server-stop
pub mod server_stop;
/// kafka-get-offsets
pub mod get_offsets;
/// kafka-delete-records
pub mod delete_records;
/// kafka-configs
pub mod configs;
/// kafka-log-dirs
pub mod log_dirs;
/// kafka-cluster
pub mod cluster_tool;
/// kafka-streams-application-reset
pub mod streams_application_reset;

use std::collections::HashMap;
use std::time::Duration;

use clap::Command;
use client::admin::Admin;
use client::config::{ConnectionConfig, ConsumerConfig, Endpoints};
use client::error::ClientError;
use client::metadata::Cluster;
use millstream_base_config::parse::Properties;
use millstream_base_config::table_client::ADMIN_KEYS;
use millstream_base_env::clock::Moment;
use millstream_base_env::task;

use crate::Ended;
use options::Given;

/// A tool.
pub struct Tool {
    /// Its name, `.sh` left out.
    pub name: &'static str,
    run: fn(&[String]) -> Ended,
    /// Its flags, from which completion, man page and docs/tools are made.
    pub flags: fn() -> Command,
}

/// How long a call of a tool may take, and how long it asks again for what is only not possible now: as long as Apache's.
/// A broker that does not answer at all is given up sooner, after `request.timeout.ms`.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Between two attempts to reach a broker, and how long one look for it takes.
const RETRY: Duration = Duration::from_millis(200);
const ONE_LOOK: Duration = Duration::from_secs(1);

/// Every tool that exists.
pub const TOOLS: &[Tool] = &[
    Tool { name: "kafka-storage", run: storage::run, flags: storage::command },
    Tool { name: "kafka-server-start", run: server_start::run, flags: server_start::command },
    Tool { name: "kafka-server-stop", run: server_stop::run, flags: || server_stop::options().command() },
    Tool { name: "kafka-topics", run: topics::run, flags: || topics::options().command() },
    Tool {
        name: "kafka-console-producer",
        run: console_producer::run,
        flags: || console_producer::options().command(),
    },
    Tool {
        name: "kafka-console-consumer",
        run: console_consumer::run,
        flags: || console_consumer::options().command(),
    },
    Tool { name: "kafka-consumer-groups", run: consumer_groups::run, flags: || consumer_groups::options().command() },
    Tool { name: "kafka-get-offsets", run: get_offsets::run, flags: || get_offsets::options().command() },
    Tool { name: "kafka-configs", run: configs::run, flags: || configs::options().command() },
    Tool { name: "kafka-delete-records", run: delete_records::run, flags: || delete_records::options().command() },
    Tool { name: "kafka-log-dirs", run: log_dirs::run, flags: || log_dirs::options().command() },
    Tool { name: "kafka-cluster", run: cluster_tool::run, flags: cluster_tool::command },
    Tool { name: "kafka-dump-log", run: dump_log::run, flags: || dump_log::options().command() },
    Tool { name: "kafka-producer-perf-test", run: producer_perf::run, flags: || producer_perf::options().command() },
    Tool { name: "kafka-consumer-perf-test", run: consumer_perf::run, flags: || consumer_perf::options().command() },
    Tool { name: "kafka-e2e-latency", run: e2e_latency::run, flags: || e2e_latency::options().command() },
    Tool {
        name: "kafka-verifiable-producer",
        run: verifiable_producer::run,
        flags: || verifiable_producer::options().command(),
    },
    Tool {
        name: "kafka-verifiable-consumer",
        run: verifiable_consumer::run,
        flags: || verifiable_consumer::options().command(),
    },
    Tool { name: "kafka-groups", run: groups::run, flags: || groups::options().command() },
    Tool {
        name: "kafka-broker-api-versions",
        run: broker_api_versions::run,
        flags: || broker_api_versions::options().command(),
    },
    Tool { name: "kafka-features", run: features::run, flags: features::command },
    Tool { name: "kafka-metadata-quorum", run: metadata_quorum::run, flags: metadata_quorum::command },
    Tool { name: "kafka-transactions", run: transactions::run, flags: transactions::command },
    Tool { name: "kafka-reassign-partitions", run: reassign::run, flags: || reassign::options().command() },
    Tool { name: "kafka-acls", run: acls::run, flags: || acls::options().command() },
    Tool { name: "kafka-leader-election", run: leader_election::run, flags: || leader_election::options().command() },
    Tool {
        name: "kafka-streams-application-reset",
        run: streams_application_reset::run,
        flags: || streams_application_reset::options().command(),
    },
];

/// Runs the tool of that name, if there is one.
pub fn run(name: &str, words: &[String]) -> Option<Ended> {
    let tool = TOOLS.iter().find(|tool| tool.name == name)?;
    // A broker logs by its own rules.
    if name != "kafka-server-start" {
        log_warnings();
    }
    Some(match output::take(name, words) {
        Ok(words) => (tool.run)(&words),
        Err(line) => Ended::Failed(line),
    })
}

/// What goes wrong beside the answer stands on standard error, as Apache's tools-log4j2.yaml has it; `MILLSTREAM_LOG`
/// shows more of it or less.
fn log_warnings() {
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    // A second subscriber can only be asked for by a test in the same process.
    let _ = match tracing_subscriber::EnvFilter::try_from_env("MILLSTREAM_LOG") {
        Ok(filter) => subscriber.with_env_filter(filter).try_init(),
        Err(_) => subscriber.with_max_level(tracing::Level::WARN).try_init(),
    };
}

/// Runs what a tool does on a runtime of one thread: a tool waits for answers and for little else.
pub fn block_on<T>(work: impl Future<Output = Result<T, Ended>>) -> Result<T, Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Ended::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(work)
}

/// The same on threads of its own, for tools that measure: what sends must not wait for what counts.
pub fn block_on_threads<T>(work: impl Future<Output = Result<T, Ended>>) -> Result<T, Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Ended::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(work)
}

/// The cluster behind `servers`, or behind `controllers` where those are given; without either, behind
/// `bootstrap.servers` of the properties.
///
/// # Errors
/// When the properties ask for what the client does not speak.
pub fn connect(
    mut properties: HashMap<String, String>,
    servers: Option<&str>,
    controllers: Option<&str>,
) -> Result<Cluster, Ended> {
    if let Some(addresses) = controllers.or(servers) {
        properties.insert("bootstrap.servers".to_owned(), addresses.to_owned());
    }
    // What an admin client shares with a consumer is all that is read of it.
    let (config, unknown) =
        ConsumerConfig::from_properties(properties).map_err(|error| Ended::Failed(error.to_string()))?;
    for key in unknown.iter().filter(|key| !ADMIN_KEYS.iter().any(|known| known.name == key.as_str())) {
        tracing::warn!(key, "no setting has this name");
    }
    let endpoints = if controllers.is_some() { Endpoints::Controllers } else { Endpoints::Brokers };
    Ok(Cluster::with_config(ConnectionConfig { endpoints, ..config.connection }))
}

/// The pairs of a properties file.
///
/// # Errors
/// When it cannot be read.
pub fn read_properties(path: &str) -> Result<HashMap<String, String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let mut read = Properties::default();
    read.read(&text, path).map_err(|error| error.to_string())?;
    Ok(read.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// To administer the cluster that `--bootstrap-server` or `--bootstrap-controller` names, set up as the file of
/// `--command-config` says.
///
/// # Errors
/// When the file cannot be read or asks for what the client does not speak.
pub fn admin(given: &Given) -> Result<Admin, Ended> {
    admin_with(given, "command-config")
}

/// As [`admin`], with the file of another flag.
///
/// # Errors
/// As [`admin`].
pub fn admin_with(given: &Given, config_flag: &str) -> Result<Admin, Ended> {
    let properties = given.properties(config_flag)?;
    administer(properties, given.one("bootstrap-server")?, given.one("bootstrap-controller")?, TIMEOUT)
}

/// To administer the cluster of [`connect`]; a call takes no longer than `limit`, unless `default.api.timeout.ms` of the
/// properties says otherwise.
///
/// # Errors
/// As [`connect`].
pub fn administer(
    properties: HashMap<String, String>,
    servers: Option<&str>,
    controllers: Option<&str>,
    limit: Duration,
) -> Result<Admin, Ended> {
    let own = properties.get("default.api.timeout.ms").and_then(|text| text.trim().parse().ok());
    Ok(Admin::new(connect(properties, servers, controllers)?).with_timeout(own.map_or(limit, Duration::from_millis)))
}

/// Waits until a broker answers: a consumer that finds none would wait for records without a word. The first failure is
/// told at once.
///
/// # Errors
/// The last failure after `limit`, or one that waiting does not change.
pub async fn reach(tool: &str, cluster: &Cluster, limit: Duration) -> Result<(), ClientError> {
    let (started, mut told) = (Moment::now(), false);
    loop {
        let late =
            || ClientError::Timeout { doing: format!("connecting to {}", cluster.config().bootstrap.join(",")), limit };
        let left = limit.saturating_sub(started.elapsed());
        let Err(error) = tokio::time::timeout(left, cluster.any()).await.unwrap_or_else(|_| Err(late())) else {
            return Ok(());
        };
        if !error.is_retriable() || started.elapsed() >= limit {
            return Err(error);
        }
        if !told {
            eprintln!("{tool}: {error}; trying again");
            told = true;
        }
        task::sleep(RETRY.min(limit.saturating_sub(started.elapsed()))).await;
    }
}

/// As [`reach`], for a tool whose own flag bounds how long it waits: it only tells, unless it cannot go on.
///
/// # Errors
/// What waiting does not change.
pub async fn reach_or_tell(tool: &str, cluster: &Cluster) -> Result<(), Ended> {
    match reach(tool, cluster, ONE_LOOK).await {
        Err(error) if !error.is_retriable() => Err(Ended::Failed(error.to_string())),
        Err(error) => {
            eprintln!("{tool}: {error}");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Every address of `--bootstrap-server` has to be a host and a port (Java: `ToolsUtils.validateBootstrapServer`).
///
/// # Errors
/// When there is none, or one is not.
pub fn named_server(given: &Given) -> Result<(), Ended> {
    let servers = given.one("bootstrap-server")?.unwrap_or_default();
    if servers.trim().is_empty() {
        return given.misuse("Error while validating the bootstrap address".to_owned());
    }
    let valid = |server: &str| {
        server.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if servers.split(',').all(valid) {
        Ok(())
    } else {
        given.misuse("Please provide valid host:port like host1:9091,host2:9092".to_owned())
    }
}
