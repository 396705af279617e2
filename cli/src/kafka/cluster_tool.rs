//! kafka-cluster: the id, the brokers and the controllers of a cluster (Java: `ClusterTool`).

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use client::admin::{Admin, ClusterNode, Fenced};
use client::error::ClientError;

use crate::Ended;
use crate::kafka::subcommands::{self, text};
use crate::kafka::{TIMEOUT, block_on, connect, java_exception, output, read_properties};

/// The flags.
pub fn command() -> Command {
    let server = Arg::new("bootstrap-server").long("bootstrap-server").short('b').help("The brokers to connect to.");
    let controller =
        Arg::new("bootstrap-controller").long("bootstrap-controller").short('C').help("The controllers to connect to.");
    let config = Arg::new("command-config")
        .long("command-config")
        .short('c')
        .help("Property file with configs of the admin client.");
    let old =
        Arg::new("config").long("config").conflicts_with("command-config").help("Deprecated; use --command-config.");
    let sub = |name: &'static str, about: &'static str| {
        let either = ArgGroup::new("connection").args(["bootstrap-server", "bootstrap-controller"]).required(true);
        Command::new(name)
            .about(about)
            .args([server.clone(), controller.clone(), config.clone(), old.clone()])
            .group(either)
    };
    let id = Arg::new("id")
        .long("id")
        .short('i')
        .required(true)
        .value_parser(clap::value_parser!(i32))
        .help("The broker's id.");
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
    let done = subcommands::read(command(), words).and_then(|given| match given.subcommand() {
        Some((name, own)) => block_on(act(&admin(own)?, name, own)),
        None => Err(Ended::FailedAloud),
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn admin(given: &ArgMatches) -> Result<Admin, Ended> {
    if given.contains_id("config") {
        println!(
            "Option --config has been deprecated and will be removed in a future version. Use --command-config instead."
        );
    }
    let path = text(given, "command-config").or(text(given, "config"));
    let properties = path.map(read_properties).transpose().map_err(Ended::Failed)?;
    let cluster =
        connect(properties.unwrap_or_default(), text(given, "bootstrap-server"), text(given, "bootstrap-controller"))?;
    Ok(Admin::new(cluster).with_timeout(TIMEOUT))
}

async fn act(admin: &Admin, name: &str, given: &ArgMatches) -> Result<(), Ended> {
    let failed = |error: ClientError| Ended::Failed(java_exception::to_string(&error));
    match name {
        "cluster-id" => {
            let id = admin.describe_cluster(Fenced::LeftOut).await.map_err(failed)?.cluster_id;
            if !output::as_json(&["cluster id"], &[vec![id.clone()]]) {
                println!("Cluster ID: {id}");
            }
        }
        "unregister" => {
            let id = given.get_one::<i32>("id").copied().unwrap_or_default();
            match admin.unregister_broker(id).await {
                Ok(()) => println!("Broker {id} is no longer registered."),
                Err(ClientError::Unsupported { .. }) => {
                    println!("The target cluster does not support the broker unregistration API.")
                }
                Err(error) => return Err(failed(error)),
            }
        }
        _list_endpoints => {
            let of_controllers = given.contains_id("bootstrap-controller");
            let fenced = if given.get_flag("include-fenced-brokers") { Fenced::Included } else { Fenced::LeftOut };
            if of_controllers && fenced == Fenced::Included {
                let line = "The option --include-fenced-brokers is only supported with --bootstrap-server option";
                return Err(Ended::Failed(line.to_owned()));
            }
            let nodes = admin.describe_cluster(fenced).await.map_err(failed)?.nodes;
            print_endpoints(&nodes, if of_controllers { "controller" } else { "broker" });
        }
    }
    Ok(())
}

/// Controllers have no state that is shown.
fn print_endpoints(nodes: &[ClusterNode], kind: &str) {
    let state = |node: &ClusterNode| if node.fenced { "fenced" } else { "unfenced" };
    let rows: Vec<Vec<String>> = nodes
        .iter()
        .map(|node| {
            let rack = node.rack.clone().unwrap_or_default();
            vec![
                node.id.to_string(),
                node.host.clone(),
                node.port.to_string(),
                rack,
                state(node).to_owned(),
                kind.to_owned(),
            ]
        })
        .collect();
    if output::as_json(&["id", "host", "port", "rack", "state", "endpoint type"], &rows) {
        return;
    }
    let host_width = nodes.iter().map(|node| node.host.len()).max().unwrap_or(100);
    let rack_width = nodes.iter().filter_map(|node| Some(node.rack.as_ref()?.len())).max().unwrap_or(10);
    let line = |[id, host, port, rack, state, kind]: [&str; 6]| {
        let state = if state.is_empty() { String::new() } else { format!("{state:<10} ") };
        println!("{id:<10} {host:<host_width$} {port:<10} {rack:<rack_width$} {state}{kind:<15}");
    };
    let stateless = kind == "controller";
    line(["ID", "HOST", "PORT", "RACK", if stateless { "" } else { "STATE" }, "ENDPOINT_TYPE"]);
    for node in nodes {
        let (id, port) = (node.id.to_string(), node.port.to_string());
        let state = if stateless { "" } else { state(node) };
        line([&id, &node.host, &port, node.rack.as_deref().unwrap_or("null"), state, kind]);
    }
}
