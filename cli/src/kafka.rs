//! Apache Kafka's command-line tools under their own names, with Apache's flags, output and exit status.
//!
//! Called by `main.rs` when the first word names one (`millstream kafka-topics ...`), which is what `bin/kafka-*.sh` do.

/// Flags, read as Apache's tools read them.
pub mod options;
/// The order of a Java hash map.
pub mod java_order;
/// Dates and durations.
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

use client::admin::Admin;
use client::config::ConsumerConfig;
use client::metadata::Cluster;

use crate::Ended;
use options::Given;

/// A tool.
pub struct Tool {
    /// Its name, `.sh` left out.
    pub name: &'static str,
    run: fn(&[String]) -> Ended,
}

/// Every tool that exists.
pub const TOOLS: &[Tool] = &[
    Tool { name: "kafka-storage", run: storage::run },
    Tool { name: "kafka-server-start", run: server_start::run },
    Tool { name: "kafka-server-stop", run: server_stop::run },
    Tool { name: "kafka-topics", run: topics::run },
    Tool { name: "kafka-console-producer", run: console_producer::run },
    Tool { name: "kafka-console-consumer", run: console_consumer::run },
    Tool { name: "kafka-consumer-groups", run: consumer_groups::run },
    Tool { name: "kafka-get-offsets", run: get_offsets::run },
    Tool { name: "kafka-configs", run: configs::run },
    Tool { name: "kafka-delete-records", run: delete_records::run },
    Tool { name: "kafka-log-dirs", run: log_dirs::run },
    Tool { name: "kafka-cluster", run: cluster_tool::run },
    Tool { name: "kafka-dump-log", run: dump_log::run },
];

/// Runs the tool of that name, if there is one.
pub fn run(name: &str, words: &[String]) -> Option<Ended> {
    let tool = TOOLS.iter().find(|tool| tool.name == name)?;
    Some((tool.run)(words))
}

/// Runs what a tool does on a runtime of one thread: a tool waits for answers and for little else.
pub fn block_on<T>(work: impl Future<Output = Result<T, Ended>>) -> Result<T, Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Ended::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(work)
}

/// The cluster that `--bootstrap-server` names, set up as the file of `--command-config` says.
///
/// # Errors
/// When the file cannot be read or asks for what the client does not speak.
pub fn cluster(given: &Given, config_flag: &str) -> Result<Cluster, Ended> {
    let mut properties = given.properties(config_flag)?;
    if let Some(servers) = given.one("bootstrap-server")? {
        properties.insert("bootstrap.servers".to_owned(), servers.to_owned());
    }
    // What an admin client shares with a consumer is all that is read of it.
    let (config, _) = ConsumerConfig::from_properties(properties).map_err(|error| Ended::Failed(error.to_string()))?;
    Ok(Cluster::with_config(config.connection))
}

/// [`cluster`], to administer it.
///
/// # Errors
/// As [`cluster`].
pub fn admin(given: &Given) -> Result<Admin, Ended> {
    Ok(Admin::new(cluster(given, "command-config")?))
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
    let valid = |server: &str| server.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if servers.split(',').all(valid) { Ok(()) } else { given.misuse("Please provide valid host:port like host1:9091,host2:9092".to_owned()) }
}
