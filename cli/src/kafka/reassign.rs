//! kafka-reassign-partitions: moves replicas of partitions between brokers and log folders (Java:
//! `ReassignPartitionsCommand`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::TopicPartition;
use client::admin::{Admin, Fenced, Reassignment, ReplicationFactor, ResourceKind, TopicDescription};
use client::error::ClientError;
use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use serde_json::json;

use crate::Ended;
use crate::kafka::options::{Given, Options};
use crate::kafka::{admin, block_on, java_exception, output};

/// The JSON that says what goes where.
mod plan;
/// What `--generate` proposes.
mod proposal;

use plan::{Plan, Replica, as_json, ids};
use proposal::Racks;

const ABOUT: &str = "This tool helps to move topic partitions between replicas.";
/// Partitions in one answer when topics are described.
const PAGE: i32 = 2000;
const BROKER_THROTTLES: [&str; 3] = [
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
];
const TOPIC_THROTTLES: [&str; 2] = ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];
/// Error codes: no such topic or partition; a replica that is not there yet.
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const REPLICA_NOT_AVAILABLE: i16 = 9;

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-reassign-partitions", ABOUT)
        .flag("verify", "Say how far a reassignment has come, and take its throttles away when it is done.")
        .flag("generate", "Propose a reassignment, without executing it.")
        .flag("execute", "Start a reassignment.")
        .flag("cancel", "Cancel a reassignment that is under way.")
        .flag("list", "List reassignments that are under way.")
        .servers_or_controllers("Server(s) to use for bootstrapping", "bootstrap controller to connect to")
        .admin_config("Admin client property file")
        .value("reassignment-json-file", "manual assignment json file path", "The reassignment: {\"version\":1,\"partitions\":[{\"topic\":\"foo\",\"partition\":1,\"replicas\":[1,2],\"log_dirs\":[\"any\",\"any\"]}]}.")
        .value("topics-to-move-json-file", "topics to reassign json file path", "With --generate, the topics: {\"version\":1,\"topics\":[{\"topic\":\"foo\"}]}.")
        .value("broker-list", "brokerlist", "With --generate, the brokers, with commas between.")
        .flag("disable-rack-aware", "Propose without looking at racks.")
        .value("throttle", "throttle", "Bytes a second between brokers at most. [default: -1]")
        .value("replica-alter-log-dirs-throttle", "replicaAlterLogDirsThrottle", "Bytes a second between log folders at most. [default: -1]")
        .value("timeout", "timeout", "Milliseconds to wait for moves between log folders to begin. [default: 10000]")
        .flag("additional", "Execute beside reassignments that are under way.")
        .flag("preserve-throttles", "Leave throttles as they are.")
        .flag("disallow-replication-factor-change", "Refuse to change how many replicas a partition has.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        let action = checked(&given)?;
        block_on(act(&admin(&given)?, action, &given))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

/// What can be asked for.
struct Action {
    name: &'static str,
    needs: &'static [&'static str],
    /// What it takes besides.
    takes: &'static [&'static str],
}

const ACTIONS: [Action; 5] = [
    Action { name: "generate", needs: &["topics-to-move-json-file", "broker-list"], takes: &["disable-rack-aware"] },
    Action {
        name: "execute",
        needs: &["reassignment-json-file"],
        takes: &[
            "additional",
            "throttle",
            "replica-alter-log-dirs-throttle",
            "timeout",
            "disallow-replication-factor-change",
        ],
    },
    Action { name: "verify", needs: &["reassignment-json-file"], takes: &["preserve-throttles"] },
    Action {
        name: "cancel",
        needs: &["reassignment-json-file"],
        takes: &["bootstrap-controller", "preserve-throttles", "timeout"],
    },
    Action { name: "list", needs: &[], takes: &["bootstrap-controller"] },
];
const REST: [&str; 11] = [
    "bootstrap-controller",
    "reassignment-json-file",
    "topics-to-move-json-file",
    "broker-list",
    "disable-rack-aware",
    "throttle",
    "replica-alter-log-dirs-throttle",
    "timeout",
    "additional",
    "preserve-throttles",
    "disallow-replication-factor-change",
];

fn checked(given: &Given) -> Result<&'static str, Ended> {
    let asked: Vec<_> = ACTIONS.iter().filter(|action| given.has(action.name)).collect();
    let [Action { name: action, needs, takes }] = asked.as_slice() else {
        return given.misuse(
            "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list".to_owned(),
        );
    };
    match (given.has("bootstrap-server"), given.has("bootstrap-controller")) {
        (true, true) => {
            return given.misuse("Please don't specify both --bootstrap-server and --bootstrap-controller".to_owned());
        }
        (false, false) => {
            return given.misuse("Please specify either --bootstrap-server or --bootstrap-controller".to_owned());
        }
        _ => {}
    }
    given.required(needs)?;
    if let Some(wrong) = REST.iter().find(|name| given.has(name) && !needs.contains(name) && !takes.contains(name)) {
        return given.misuse(format!("Option \"[{wrong}]\" can't be used with action \"[{action}]\""));
    }
    Ok(action)
}

/// Apache's tool says what went wrong on standard output.
fn said<T>(line: impl std::fmt::Display) -> Result<T, Ended> {
    println!("{line}");
    Err(Ended::FailedAloud)
}

fn failed(error: ClientError) -> Ended {
    println!("Error: {}", java_exception::to_string(&error));
    Ended::FailedAloud
}

fn file(given: &Given, flag: &str) -> Result<String, Ended> {
    let path = given.one(flag)?.unwrap_or_default();
    std::fs::read_to_string(path).or_else(|error| said(format!("Error: {path}: {error}")))
}

async fn act(admin: &Admin, action: &str, given: &Given) -> Result<(), Ended> {
    if action == "list" {
        return list(admin).await;
    }
    if action == "generate" {
        return generate(admin, given).await;
    }
    let plan = Plan::parse(&file(given, "reassignment-json-file")?).or_else(|line| said(format!("Error: {line}")))?;
    match action {
        "execute" => execute(admin, &plan, given).await,
        "verify" => verify(admin, &plan, given).await,
        _cancel => cancel(admin, &plan, given).await,
    }
}

async fn list(admin: &Admin) -> Result<(), Ended> {
    let current = admin.list_partition_reassignments(None).await.map_err(failed)?;
    let object = |(at, own): (&TopicPartition, &Reassignment)| json!({"topic": at.topic, "partition": at.partition, "replicas": own.replicas, "adding": own.adding, "removing": own.removing});
    if output::as_objects(|| current.iter().map(object).collect()) {
        return Ok(());
    }
    if current.is_empty() {
        println!("No partition reassignments found.");
        return Ok(());
    }
    println!("Current partition reassignments:");
    let part = |title: &str, brokers: &[i32]| {
        if brokers.is_empty() { String::new() } else { format!(" {title}: {}.", ids(brokers)) }
    };
    for (at, Reassignment { replicas, adding, removing }) in current {
        println!("{at}: replicas: {}.{}{}", ids(&replicas), part("adding", &adding), part("removing", &removing));
    }
    Ok(())
}

/// Describes topics, all at once; what is known of each stands beside it.
async fn describe_topics(
    admin: &Admin,
    topics: BTreeSet<String>,
) -> Result<BTreeMap<String, Result<TopicDescription, ClientError>>, Ended> {
    // To ask about no topic would be to ask about all.
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    admin.describe_each_topic(&Vec::from_iter(topics), PAGE).await.map_err(failed)
}

/// The replicas of the partitions of topics that have to be there.
async fn replicas(admin: &Admin, topics: BTreeSet<String>) -> Result<BTreeMap<TopicPartition, Vec<i32>>, Ended> {
    let mut found = BTreeMap::new();
    for (topic, described) in describe_topics(admin, topics).await? {
        match described {
            Ok(described) => found.extend(
                described.partitions.into_iter().map(|own| (TopicPartition::new(&topic, own.partition), own.replicas)),
            ),
            Err(error) if is(&error, UNKNOWN_TOPIC_OR_PARTITION) => {
                return said(format!(
                    "Error: org.apache.kafka.common.errors.UnknownTopicOrPartitionException: Topic {topic} not found."
                ));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(found)
}

fn is(error: &ClientError, code: i16) -> bool {
    error.code().is_some_and(|own| own.code() == code)
}

/// The folder of a replica, and the one that it is being moved to.
type Places = (Option<String>, Option<String>);

/// Where replicas lie.
async fn folders(admin: &Admin, wanted: BTreeSet<Replica>) -> Result<BTreeMap<Replica, Places>, Ended> {
    let mut found: BTreeMap<Replica, Places> = BTreeMap::new();
    let brokers: BTreeSet<i32> = wanted.iter().map(|replica| replica.1).collect();
    for broker in brokers {
        for folder in admin.describe_log_dirs(broker).await.map_err(failed)? {
            for (at, info) in folder.replicas {
                let replica = (at, broker);
                if wanted.contains(&replica) {
                    let own = found.entry(replica).or_default();
                    *(if info.is_future { &mut own.1 } else { &mut own.0 }) = Some(folder.path.clone());
                }
            }
        }
    }
    Ok(found)
}

async fn current_json(admin: &Admin, current: &BTreeMap<TopicPartition, Vec<i32>>) -> Result<String, Ended> {
    let wanted = current.iter().flat_map(|(at, brokers)| brokers.iter().map(|broker| (at.clone(), *broker))).collect();
    let known = folders(admin, wanted).await?;
    Ok(as_json(current, |replica| known.get(replica).and_then(|(current, _)| current.clone())))
}

async fn generate(admin: &Admin, given: &Given) -> Result<(), Ended> {
    let brokers =
        plan::brokers(given.one("broker-list")?.unwrap_or_default()).or_else(|line| said(format!("Error: {line}")))?;
    let topics =
        plan::topics(&file(given, "topics-to-move-json-file")?).or_else(|line| said(format!("Error: {line}")))?;
    let current = replicas(admin, topics).await?;
    let json = current_json(admin, &current).await?;
    let nodes = admin.describe_cluster(Fenced::LeftOut).await.map_err(failed)?.nodes;
    let racks = if given.has("disable-rack-aware") { Racks::Ignored } else { Racks::Regarded };
    let usable = proposal::usable(nodes.iter().filter(|node| brokers.contains(&node.id)), racks)
        .or_else(|line| said(format!("Error: {line}")))?;
    let draw = |below: usize| (uuid::Uuid::new_v4().as_u128() % below.max(1) as u128) as usize;
    let proposed = proposal::proposed(&current, &usable, draw).or_else(|error| said(format!("Error: {error}")))?;
    let proposed = as_json(&proposed, |_| None);
    if output::is_json() {
        println!("{{\"current\":{json},\"proposed\":{proposed}}}");
        return Ok(());
    }
    println!("Current partition replica assignment\n{json}\n");
    println!("Proposed partition reassignment configuration\n{proposed}");
    Ok(())
}

async fn execute(admin: &Admin, plan: &Plan, given: &Given) -> Result<(), Ended> {
    let rate = |name: &str| Ok::<_, Ended>(given.parsed::<i64>(name)?.unwrap_or(-1));
    let (throttle, folder_throttle) = (rate("throttle")?, rate("replica-alter-log-dirs-throttle")?);
    let targets = plan.targets().or_else(|line| said(format!("Error: {line}")))?;
    let moving = admin.list_partition_reassignments(None).await.map_err(failed)?;
    if !moving.is_empty() && !given.has("additional") {
        return said(
            "Cannot execute because there is an existing partition assignment.  Use --additional to override this and create a new \
             partition assignment in addition to the existing one. The --additional flag can also be used to change the throttle by \
             resubmitting the current reassignment.",
        );
    }
    let nodes: BTreeSet<i32> =
        admin.describe_cluster(Fenced::LeftOut).await.map_err(failed)?.nodes.iter().map(|node| node.id).collect();
    if let Some(unknown) = targets.values().flatten().find(|broker| !nodes.contains(broker)) {
        return said(format!("Error: Unknown broker id {unknown}"));
    }
    let mut current = replicas(admin, targets.keys().map(|at| at.topic.clone()).collect()).await?;
    current.retain(|at, _| targets.contains_key(at));
    let missing: Vec<String> = targets.keys().filter(|at| !current.contains_key(at)).map(ToString::to_string).collect();
    if !missing.is_empty() {
        return said(format!(
            "Error: org.apache.kafka.common.errors.UnknownTopicOrPartitionException: Unable to find partition: {}",
            missing.join(", ")
        ));
    }
    let json = current_json(admin, &current).await?;
    if output::is_json() {
        println!("{json}");
    } else {
        println!(
            "Current partition replica assignment\n\n{json}\n\nSave this to use as the --reassignment-json-file option during rollback"
        );
    }
    if throttle >= 0 || folder_throttle >= 0 {
        output::say(
            "Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is removed.",
        );
    }
    if throttle >= 0 {
        throttle_brokers(admin, &moving, &targets, &current, throttle).await?;
    }
    if folder_throttle >= 0 {
        throttle_folders(admin, plan, folder_throttle).await?;
    }
    let factor = if given.has("disallow-replication-factor-change") {
        ReplicationFactor::Kept
    } else {
        ReplicationFactor::MayChange
    };
    let wanted = targets.iter().map(|(at, brokers)| (at.clone(), Some(brokers.clone()))).collect();
    let results = admin.alter_partition_reassignments(&wanted, factor).await.map_err(failed)?;
    let errors = lines_of(&results);
    if !errors.is_empty() {
        return said(format!("Error reassigning partition(s):\n{}", errors.join("\n")));
    }
    let names: Vec<String> = targets.keys().map(ToString::to_string).collect();
    output::say(&format!(
        "Successfully started partition reassignment{} for {}",
        if names.len() == 1 { "" } else { "s" },
        names.join(",")
    ));
    if plan.folders.is_empty() { Ok(()) } else { move_folders(admin, plan.folders.clone(), given).await }
}

/// Throttles the moves between folders of the brokers that have some.
async fn throttle_folders(admin: &Admin, plan: &Plan, rate: i64) -> Result<(), Ended> {
    let brokers: BTreeSet<i32> = plan.folders.keys().map(|replica| replica.1).collect();
    for broker in brokers {
        let change = [(BROKER_THROTTLES[2], Some(rate.to_string()))];
        set(admin, ResourceKind::Broker, &broker.to_string(), &change).await?;
    }
    output::say(&format!("The replica-alter-dir throttle limit was set to {rate} B/s"));
    Ok(())
}

fn lines_of(results: &BTreeMap<TopicPartition, Result<(), ClientError>>) -> Vec<String> {
    results.iter().filter_map(|(at, result)| Some(format!("{at}: {}", result.as_ref().err()?))).collect()
}

async fn set(admin: &Admin, kind: ResourceKind, name: &str, values: &[(&str, Option<String>)]) -> Result<(), Ended> {
    let changes: Vec<(String, Option<String>)> =
        values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    admin.alter_configs(kind, name, &changes).await.map_err(failed)
}

/// Throttles what moves: the replicas that send, those that receive, and their brokers.
async fn throttle_brokers(
    admin: &Admin,
    moving: &BTreeMap<TopicPartition, Reassignment>,
    targets: &BTreeMap<TopicPartition, Vec<i32>>,
    current: &BTreeMap<TopicPartition, Vec<i32>>,
    rate: i64,
) -> Result<(), Ended> {
    let mut moves: BTreeMap<&TopicPartition, (BTreeSet<i32>, BTreeSet<i32>)> = BTreeMap::new();
    for (at, own) in moving {
        let sources = own.replicas.iter().filter(|id| !own.adding.contains(id)).copied().collect();
        moves.insert(at, (sources, own.adding.iter().copied().collect()));
    }
    for (at, brokers) in targets {
        let sources = moves
            .remove(at)
            .map_or_else(|| current.get(at).into_iter().flatten().copied().collect(), |(sources, _)| sources);
        let destinations = brokers.iter().filter(|id| !sources.contains(id)).copied().collect();
        moves.insert(at, (sources, destinations));
    }
    let mut topics: BTreeMap<&str, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for (at, (sources, destinations)) in &moves {
        let own = topics.entry(&at.topic).or_default();
        own.0.extend(sources.iter().map(|id| format!("{}:{id}", at.partition)));
        own.1.extend(destinations.iter().map(|id| format!("{}:{id}", at.partition)));
    }
    let joined = |parts: BTreeSet<String>| Some(parts.into_iter().collect::<Vec<_>>().join(","));
    for (topic, (leaders, followers)) in topics {
        set(
            admin,
            ResourceKind::Topic,
            topic,
            &[(TOPIC_THROTTLES[0], joined(leaders)), (TOPIC_THROTTLES[1], joined(followers))],
        )
        .await?;
    }
    let brokers: BTreeSet<i32> = moves.values().flat_map(|(sources, destinations)| sources | destinations).collect();
    for broker in brokers {
        let rate = Some(rate.to_string());
        set(
            admin,
            ResourceKind::Broker,
            &broker.to_string(),
            &[(BROKER_THROTTLES[0], rate.clone()), (BROKER_THROTTLES[1], rate)],
        )
        .await?;
    }
    output::say(&format!("The inter-broker throttle limit was set to {rate} B/s"));
    Ok(())
}

/// Starts moves between log folders; a replica that is not on its broker yet is tried again.
async fn move_folders(admin: &Admin, mut left: BTreeMap<Replica, String>, given: &Given) -> Result<(), Ended> {
    let limit = Duration::from_millis(given.parsed::<u64>("timeout")?.unwrap_or(10_000));
    let started = Moment::now();
    loop {
        let results = admin.alter_replica_log_dirs(&left).await.map_err(failed)?;
        for (replica, result) in results {
            match result {
                Ok(()) => {
                    let (at, broker) = &replica;
                    let path = left.remove(&replica).unwrap_or_default();
                    println!(
                        "Successfully started moving log directory to {path} for replica {at} with broker {broker} "
                    );
                }
                Err(error) if is(&error, REPLICA_NOT_AVAILABLE) => {}
                Err(_) => return said(format!("Error: Failed to alter dir for {}", replica_name(&replica))),
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        if started.elapsed() >= limit {
            let names: Vec<String> = left.keys().map(replica_name).collect();
            return said(format!(
                "Timed out before log directory move{} could be started for: {}",
                if names.len() == 1 { "" } else { "s" },
                names.join(",")
            ));
        }
        task::sleep(Duration::from_millis(100)).await;
    }
}

/// Java: `TopicPartitionReplica.toString`.
fn replica_name((at, broker): &Replica) -> String {
    format!("{at}-{broker}")
}

async fn verify(admin: &Admin, plan: &Plan, given: &Given) -> Result<(), Ended> {
    let moving = admin.list_partition_reassignments(None).await.map_err(failed)?;
    let targets: BTreeMap<&TopicPartition, &Vec<i32>> =
        plan.partitions.iter().map(|(at, brokers)| (at, brokers)).collect();
    let settled = targets.keys().filter(|at| !moving.contains_key(**at));
    let mut found = BTreeMap::new();
    for (topic, described) in describe_topics(admin, settled.map(|at| at.topic.clone()).collect()).await? {
        match described {
            Ok(described) => found.extend(
                described.partitions.into_iter().map(|own| (TopicPartition::new(&topic, own.partition), own.replicas)),
            ),
            // A partition that is not there has no replicas.
            Err(error) if is(&error, UNKNOWN_TOPIC_OR_PARTITION) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    output::say("Status of partition reassignment:");
    let mut objects = Vec::new();
    let mut tell = |at: &TopicPartition, done: bool, line: String| {
        if !output::is_json() {
            println!("{line}");
        }
        objects.push(json!({"topic": at.topic, "partition": at.partition, "done": done, "status": line}));
    };
    for (at, target) in targets {
        if moving.contains_key(at) {
            tell(at, false, format!("Reassignment of partition {at} is still in progress."));
            continue;
        }
        let found = found.get(at).map_or(&[][..], Vec::as_slice);
        if found == target.as_slice() {
            tell(at, true, format!("Reassignment of partition {at} is completed."));
        } else {
            let (found, target) = (ids(found), ids(target));
            tell(
                at,
                false,
                format!(
                    "There is no active reassignment of partition {at}, but replica set is {found} rather than {target}."
                ),
            );
        }
    }
    output::as_objects(|| objects);
    let moves_done = verify_folders(admin, plan).await?;
    if moving.is_empty() && moves_done && !given.has("preserve-throttles") {
        clear_throttles(admin, plan).await?;
    }
    Ok(())
}

/// Prints how far moves between log folders are; whether all are done.
async fn verify_folders(admin: &Admin, plan: &Plan) -> Result<bool, Ended> {
    let known = folders(admin, plan.folders.keys().cloned().collect()).await?;
    let (mut lines, mut done) = (Vec::new(), true);
    for (replica, target) in &plan.folders {
        let (at, broker) = replica;
        let line = match known.get(replica) {
            None => format!(
                "Partition {at} is not found in any live log dir on broker {broker}. There is likely an offline log directory on the broker."
            ),
            Some((Some(current), None)) if current == target => {
                format!("Reassignment of replica {} completed successfully.", replica_name(replica))
            }
            Some((current, None)) => {
                let current = current.as_deref().unwrap_or_default();
                format!("Partition {at} on broker {broker} is not being moved from log dir {current} to {target}.")
            }
            Some((_, Some(future))) => {
                done = false;
                if future == target {
                    format!("Reassignment of replica {} is still in progress.", replica_name(replica))
                } else {
                    format!("Partition {at} on broker {broker} is being moved to log dir {future} instead of {target}.")
                }
            }
        };
        lines.push(line);
    }
    output::say(&lines.join("\n"));
    Ok(done)
}

async fn clear_throttles(admin: &Admin, plan: &Plan) -> Result<(), Ended> {
    let mut brokers: BTreeSet<i32> =
        admin.describe_cluster(Fenced::LeftOut).await.map_err(failed)?.nodes.iter().map(|node| node.id).collect();
    brokers.extend(plan.partitions.iter().flat_map(|(_, brokers)| brokers));
    let names: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    output::say(&format!(
        "Clearing broker-level throttles on broker{} {}",
        if names.len() == 1 { "" } else { "s" },
        names.join(",")
    ));
    for broker in &names {
        set(admin, ResourceKind::Broker, broker, &BROKER_THROTTLES.map(|key| (key, None))).await?;
    }
    let topics: BTreeSet<&str> = plan.partitions.iter().map(|(at, _)| at.topic.as_str()).collect();
    let names: Vec<&str> = topics.into_iter().collect();
    output::say(&format!(
        "Clearing topic-level throttles on topic{} {}",
        if names.len() == 1 { "" } else { "s" },
        names.join(",")
    ));
    for topic in names {
        set(admin, ResourceKind::Topic, topic, &TOPIC_THROTTLES.map(|key| (key, None))).await?;
    }
    Ok(())
}

async fn cancel(admin: &Admin, plan: &Plan, given: &Given) -> Result<(), Ended> {
    let wanted: BTreeSet<TopicPartition> = plan.partitions.iter().map(|(at, _)| at.clone()).collect();
    let mut moving = admin.list_partition_reassignments(Some(&wanted)).await.map_err(failed)?;
    moving.retain(|_, own| !own.adding.is_empty() || !own.removing.is_empty());
    if moving.is_empty() {
        println!("None of the specified partition reassignments are active.");
    } else {
        let targets = moving.keys().map(|at| (at.clone(), None)).collect();
        let results =
            admin.alter_partition_reassignments(&targets, ReplicationFactor::MayChange).await.map_err(failed)?;
        let errors = lines_of(&results);
        if !errors.is_empty() {
            return said(format!(
                "Error cancelling partition reassignment{} for:\n{}",
                if errors.len() == 1 { "" } else { "s" },
                errors.join("\n")
            ));
        }
        let names: Vec<String> = moving.keys().map(ToString::to_string).collect();
        println!(
            "Successfully cancelled partition reassignment{} for: {}",
            if names.len() == 1 { "" } else { "s" },
            names.join(",")
        );
    }
    let known = folders(admin, plan.folders.keys().cloned().collect()).await?;
    let active: BTreeMap<Replica, String> =
        known.into_iter().filter_map(|(replica, places)| Some((replica, places.1.and(places.0)?))).collect();
    if active.is_empty() {
        // Apache's tool ends this line without a break.
        print!("None of the specified partition moves are active.");
    } else {
        move_folders(admin, active, given).await?;
    }
    if given.has("preserve-throttles") { Ok(()) } else { clear_throttles(admin, plan).await }
}
