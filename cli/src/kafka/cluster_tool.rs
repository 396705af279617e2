//! kafka-cluster: the id and the brokers of a cluster (Java: `ClusterTool`).
//!
//! Not done: --bootstrap-controller.

use clap::{Arg, ArgAction, ArgMatches, Command};
use client::admin::{Admin, Fenced};
use client::config::ConsumerConfig;
use client::error::ClientError;
use client::metadata::Cluster;
use millstream_base_config::parse::Properties;

use crate::Ended;
use crate::kafka::options::one_line;
use crate::kafka::{block_on, java_exception, output};

/// The flags.
pub fn command() -> Command {
    let server = Arg::new("bootstrap-server").long("bootstrap-server").short('b').required(true).help("The brokers to connect to.");
    let config = Arg::new("command-config").long("command-config").short('c').help("Property file with configs of the admin client.");
    let old = Arg::new("config").long("config").conflicts_with("command-config").help("Deprecated; use --command-config.");
    let sub = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).arg(server.clone()).arg(config.clone()).arg(old.clone())
    };
    let id = Arg::new("id").long("id").short('i').required(true).value_parser(clap::value_parser!(i32)).help("The broker's id.");
    let fenced = Arg::new("include-fenced-brokers").long("include-fenced-brokers").action(ArgAction::SetTrue);
    Command::new("kafka-cluster")
        .about("The Kafka cluster tool.")
        .infer_long_args(true)
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommand(sub("cluster-id", "Get information about the ID of a cluster."))
        .subcommand(sub("unregister", "Unregister a broker.").arg(id))
        .subcommand(sub("list-endpoints", "List endpoints").arg(fenced.help("List brokers that are shut out too.")))
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let named = std::iter::once("kafka-cluster".to_owned()).chain(words.iter().cloned());
    let matches = match command().try_get_matches_from(named) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => {
            print!("{error}");
            return Ended::Well;
        }
        Err(error) => return Ended::Failed(one_line(&error, "kafka-cluster")),
    };
    let Some((name, given)) = matches.subcommand() else { return Ended::FailedAloud };
    let done = admin(given).and_then(|admin| block_on(act(&admin, name, given)));
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn admin(given: &ArgMatches) -> Result<Admin, Ended> {
    if given.contains_id("config") {
        println!("Option --config has been deprecated and will be removed in a future version. Use --command-config instead.");
    }
    let mut pairs = Properties::default();
    if let Some(path) = given.get_one::<String>("command-config").or(given.get_one::<String>("config")) {
        let failed = |reason: String| Ended::Failed(format!("{path}: {reason}"));
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        pairs.read(&text, path).map_err(|error| failed(error.to_string()))?;
    }
    let servers = given.get_one::<String>("bootstrap-server").cloned().unwrap_or_default();
    let pairs = pairs.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let pairs = pairs.chain(std::iter::once(("bootstrap.servers".to_owned(), servers)));
    let (config, _) = ConsumerConfig::from_properties(pairs).map_err(|error| Ended::Failed(error.to_string()))?;
    Ok(Admin::new(Cluster::with_config(config.connection)))
}

async fn act(admin: &Admin, name: &str, given: &ArgMatches) -> Result<(), Ended> {
    let failed = |error: ClientError| Ended::Failed(java_exception::to_string(&error));
    match name {
        "cluster-id" => {
            println!("Cluster ID: {}", admin.describe_cluster(Fenced::LeftOut).await.map_err(failed)?.cluster_id);
        }
        "unregister" => {
            let id = given.get_one::<i32>("id").copied().unwrap_or_default();
            match admin.unregister_broker(id).await {
                Ok(()) => println!("Broker {id} is no longer registered."),
                Err(ClientError::Unsupported(_)) => println!("The target cluster does not support the broker unregistration API."),
                Err(error) => return Err(failed(error)),
            }
        }
        _list_endpoints => {
            let fenced = if given.get_flag("include-fenced-brokers") { Fenced::Included } else { Fenced::LeftOut };
            let nodes = admin.describe_cluster(fenced).await.map_err(failed)?.nodes;
            let rows: Vec<Vec<String>> = nodes
                .iter()
                .map(|node| {
                    let rack = node.rack.clone().unwrap_or_default();
                    let state = if node.fenced { "fenced" } else { "unfenced" };
                    vec![node.id.to_string(), node.host.clone(), node.port.to_string(), rack, state.to_owned()]
                })
                .collect();
            if output::as_json(&["id", "host", "port", "rack", "state"], &rows) {
                return Ok(());
            }
            let host_width = nodes.iter().map(|node| node.host.len()).max().unwrap_or(100);
            let rack_width = nodes.iter().filter_map(|node| Some(node.rack.as_ref()?.len())).max().unwrap_or(10);
            let line = |cells: [&str; 5]| {
                let [id, host, port, rack, state] = cells;
                let kind = if id == "ID" { "ENDPOINT_TYPE" } else { "broker" };
                println!("{id:<10} {host:<host_width$} {port:<10} {rack:<rack_width$} {state:<10} {kind:<15}");
            };
            line(["ID", "HOST", "PORT", "RACK", "STATE"]);
            for node in &nodes {
                let (id, port) = (node.id.to_string(), node.port.to_string());
                let state = if node.fenced { "fenced" } else { "unfenced" };
                line([&id, &node.host, &port, node.rack.as_deref().unwrap_or("null"), state]);
            }
        }
    }
    Ok(())
}
