//! kafka-metadata-quorum: the quorum that keeps the cluster's metadata (Java: `MetadataQuorumCommand`).

use clap::{Arg, ArgMatches, Command, value_parser};
use client::admin::{Admin, Fenced, QuorumEndpoint, QuorumInfo, QuorumReplica};
use client::error::ClientError;
use millstream_base_config::parse::Properties;
use millstream_base_env::Clock;
use millstream_broker_log::{parse_uuid, render_uuid};

use crate::Ended;
use crate::kafka::subcommands::{self, switch, text};
use crate::kafka::table::print_table;
use crate::kafka::{block_on, output};

/// The flags.
pub fn command() -> Command {
    let id = Arg::new("controller-id").long("controller-id").short('i').required(true).value_parser(value_parser!(i32));
    let folder = Arg::new("controller-directory-id").long("controller-directory-id").short('d').required(true);
    let dry = || switch("dry-run", "Say what would be done, and change nothing.");
    let tool = subcommands::with_cluster(subcommands::tool(
        "kafka-metadata-quorum",
        "This tool describes kraft metadata quorum status.",
    ));
    tool.subcommand(Command::new("describe").about("Describe the metadata quorum info").args([
        switch("status", "A summary of the quorum."),
        switch("replication", "How far each replica has come."),
        switch("human-readable", "Times as how long ago they were, with --replication."),
    ]))
    .subcommand(Command::new("add-controller").about("Add a controller to the KRaft controller cluster").arg(dry()))
    .subcommand(
        Command::new("remove-controller").about("Remove a controller from the KRaft controller cluster").args([
            id.help("The controller's id."),
            folder.help("The id of the controller's log folder."),
            dry(),
        ]),
    )
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = subcommands::read(command(), words).and_then(|given| {
        let admin = subcommands::admin(&given)?;
        match given.subcommand() {
            Some(("describe", own)) => block_on(describe(&admin, own)),
            Some(("add-controller", own)) => {
                let Some(path) = text(&given, "command-config") else {
                    return said("You must supply the configuration file of the controller you are adding when using add-controller.");
                };
                let controller = Controller::of_file(path)?;
                block_on(add(&admin, &controller, own.get_flag("dry-run")))
            }
            Some((_, own)) => block_on(remove(&admin, own)),
            None => Err(Ended::FailedAloud),
        }
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn said<T>(line: impl Into<String>) -> Result<T, Ended> {
    Err(Ended::Failed(line.into()))
}

fn failed(error: ClientError) -> Ended {
    Ended::Failed(crate::kafka::java_exception::to_string(&error))
}

async fn describe(admin: &Admin, given: &ArgMatches) -> Result<(), Ended> {
    let (status, replication, human) =
        (given.get_flag("status"), given.get_flag("replication"), given.get_flag("human-readable"));
    match (status, replication) {
        (true, true) => said("Only one of --status or --replication should be specified with describe sub-command"),
        (false, false) => said("One of --status or --replication must be specified with describe sub-command"),
        (true, false) if human => said("The option --human-readable is only supported along with --replication"),
        (true, false) => {
            let cluster = admin.describe_cluster(Fenced::LeftOut).await.map_err(failed)?.cluster_id;
            let quorum = admin.describe_quorum().await.map_err(failed)?;
            print_status(&cluster, &quorum)
        }
        (false, true) => print_replication(&admin.describe_quorum().await.map_err(failed)?, human),
    }
}

fn leader(quorum: &QuorumInfo) -> Result<&QuorumReplica, Ended> {
    let found = quorum.voters.iter().find(|voter| voter.id == quorum.leader_id);
    found.ok_or_else(|| Ended::Failed("the quorum has no leader".to_owned()))
}

fn print_status(cluster: &str, quorum: &QuorumInfo) -> Result<(), Ended> {
    let leader = leader(quorum)?;
    let last = quorum.voters.iter().min_by_key(|voter| voter.log_end_offset).unwrap_or(leader);
    let lag_ms = match (leader.last_caught_up_ms, last.last_caught_up_ms) {
        _ if leader.id == last.id => 0,
        (Some(leader), Some(last)) => leader - last,
        _ => -1,
    };
    let rows = [
        ("ClusterId", cluster.to_owned()),
        ("LeaderId", quorum.leader_id.to_string()),
        ("LeaderEpoch", quorum.leader_epoch.to_string()),
        ("HighWatermark", quorum.high_watermark.to_string()),
        ("MaxFollowerLag", (leader.log_end_offset - last.log_end_offset).to_string()),
        ("MaxFollowerLagTimeMs", lag_ms.to_string()),
        ("CurrentVoters", replicas(quorum, &quorum.voters)),
        ("CurrentObservers", replicas(quorum, &quorum.observers)),
    ];
    let (titles, cells): (Vec<&str>, Vec<String>) = rows.into_iter().unzip();
    if output::as_json(&titles, std::slice::from_ref(&cells)) {
        return Ok(());
    }
    for (title, cell) in titles.into_iter().zip(cells) {
        println!("{:<23} {cell}", format!("{title}:"));
    }
    Ok(())
}

fn replicas(quorum: &QuorumInfo, replicas: &[QuorumReplica]) -> String {
    let one = |replica: &QuorumReplica| {
        let mut text = format!("{{\"id\": {}", replica.id);
        if !replica.directory_id.is_nil() {
            text.push_str(&format!(", \"directoryId\": \"{}\"", render_uuid(replica.directory_id)));
        }
        let endpoints = quorum.nodes.iter().find(|node| node.id == replica.id).map_or(&[][..], |node| &node.endpoints);
        if !endpoints.is_empty() {
            let endpoints: Vec<String> = endpoints.iter().map(|own| format!("\"{}\"", url(own))).collect();
            text.push_str(&format!(", \"endpoints\": [{}]", endpoints.join(", ")));
        }
        text + "}"
    };
    format!("[{}]", replicas.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn url(endpoint: &QuorumEndpoint) -> String {
    let host = if endpoint.host.contains(':') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
    format!("{}://{host}:{}", endpoint.listener, endpoint.port)
}

fn print_replication(quorum: &QuorumInfo, human: bool) -> Result<(), Ended> {
    let leader = leader(quorum)?;
    let now = Clock::Real.now_ms();
    let time = |at: Option<i64>| match at {
        None => "-1".to_owned(),
        Some(at) if human => format!("{} ms ago", now - at),
        Some(at) => at.to_string(),
    };
    let row = |replica: &QuorumReplica, status: &str| {
        vec![
            replica.id.to_string(),
            render_uuid(replica.directory_id),
            replica.log_end_offset.to_string(),
            (leader.log_end_offset - replica.log_end_offset).to_string(),
            time(replica.last_fetch_ms),
            time(replica.last_caught_up_ms),
            status.to_owned(),
        ]
    };
    let followers = quorum.voters.iter().filter(|voter| voter.id != leader.id).map(|voter| row(voter, "Follower"));
    let observers = quorum.observers.iter().map(|observer| row(observer, "Observer"));
    let rows: Vec<Vec<String>> = std::iter::once(row(leader, "Leader")).chain(followers).chain(observers).collect();
    print_table(
        &["NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"],
        &rows,
    );
    Ok(())
}

/// A controller as its configuration file has it.
struct Controller {
    id: i32,
    directory: String,
    directory_id: uuid::Uuid,
    endpoints: Vec<QuorumEndpoint>,
}

impl Controller {
    fn of_file(path: &str) -> Result<Self, Ended> {
        let Ok(file) = std::fs::read_to_string(path) else {
            return said(format!("Properties file {path} does not exist."));
        };
        let mut pairs = Properties::default();
        pairs.read(&file, path).map_err(|error| Ended::Failed(error.to_string()))?;
        let find = |key: &str| pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| value.to_owned());
        let ask = "Is this a valid controller configuration file?";
        let id: i32 = match find("node.id").map(|id| id.parse()) {
            None => return said(format!("node.id not found in configuration file. {ask}")),
            Some(Ok(id)) if id >= 0 => id,
            Some(_) => return said(format!("node.id was negative in configuration file. {ask}")),
        };
        if !find("process.roles").is_some_and(|roles| roles.contains("controller")) {
            return said(format!("process.roles did not contain 'controller' in configuration file. {ask}"));
        }
        let dirs = find("metadata.log.dir").or_else(|| find("log.dirs")).unwrap_or_default();
        let directory = dirs.split(',').next().unwrap_or_default().trim().to_owned();
        if directory.is_empty() {
            return said(format!("Neither metadata.log.dir nor log.dirs were found. {ask}"));
        }
        let meta = std::fs::read_to_string(format!("{directory}/meta.properties"));
        let meta = meta.map_err(|_| Ended::Failed(format!("Unable to read meta.properties from {directory}")))?;
        let text = meta.lines().find_map(|line| line.strip_prefix("directory.id="));
        let Some(directory_id) = text.and_then(|text| parse_uuid(text.trim())) else {
            return said(format!("No directory id found in {directory}"));
        };
        let Some(names) = find("controller.listener.names") else {
            return said(format!("controller.listener.names was not found. {ask}"));
        };
        let listeners =
            format!("{},{}", find("advertised.listeners").unwrap_or_default(), find("listeners").unwrap_or_default());
        let endpoints = names.split(',').map(|name| endpoint(name.trim(), &listeners)).collect::<Result<_, _>>()?;
        Ok(Controller { id, directory, directory_id, endpoints })
    }
}

fn endpoint(name: &str, listeners: &str) -> Result<QuorumEndpoint, Ended> {
    let found = listeners.split(',').find_map(|listener| {
        let (own, address) = listener.trim().split_once("://")?;
        let (host, port) = address.rsplit_once(':')?;
        own.eq_ignore_ascii_case(name).then(|| Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?)))?
    });
    match found {
        None => said(format!("Cannot find information about controller listener name: {name}")),
        Some((host, port)) => {
            let host = if host.is_empty() { "localhost".to_owned() } else { host };
            Ok(QuorumEndpoint { listener: name.to_ascii_uppercase(), host, port })
        }
    }
}

async fn add(admin: &Admin, controller: &Controller, dry: bool) -> Result<(), Ended> {
    if !dry {
        admin
            .add_raft_voter(None, controller.id, controller.directory_id, &controller.endpoints)
            .await
            .map_err(failed)?;
    }
    let endpoints: Vec<String> = controller.endpoints.iter().map(url).collect();
    tracing::debug!(folder = controller.directory, "the id was read there");
    println!(
        "{} controller {} with directory id {} and endpoints: {}",
        if dry { "DRY RUN of adding" } else { "Added" },
        controller.id,
        render_uuid(controller.directory_id),
        endpoints.join(", ")
    );
    Ok(())
}

async fn remove(admin: &Admin, given: &ArgMatches) -> Result<(), Ended> {
    let id = given.get_one::<i32>("controller-id").copied().unwrap_or_default();
    if id < 0 {
        return said(format!("Invalid negative --controller-id: {id}"));
    }
    let text = text(given, "controller-directory-id").unwrap_or_default();
    let Some(directory) = parse_uuid(text) else {
        return said(format!("Failed to parse --controller-directory-id: {text} is no id"));
    };
    let dry = given.get_flag("dry-run");
    if !dry {
        admin.remove_raft_voter(None, id, directory).await.map_err(failed)?;
    }
    // Apache's tool has the two blanks, too.
    println!(
        "{} KRaft controller {id} with directory id {}",
        if dry { "DRY RUN of removing " } else { "Removed " },
        render_uuid(directory)
    );
    Ok(())
}
