//! kafka-topics: create, list, describe, alter and delete topics (Java: `TopicCommand`).
//!
//! What it prints is Apache's text for text; topics and configs come in the order of the hash maps that Apache holds
//! them in.

use std::collections::{BTreeMap, BTreeSet};

use client::TopicPartition;
use client::admin::{
    Admin, ConfigEntry, ConfigSource, NewTopic, PartitionDescription, Reassignment, ResourceKind, TopicDescription,
};
use client::error::ClientError;
use millstream_broker_controller::uuid_text;
use serde_json::{Map, Value, json};

use crate::Ended;
use crate::kafka::java_order::sort_as_hash_map;
use crate::kafka::options::{Given, Options};
use crate::kafka::topic_filter::{INTERNAL_TOPICS, IncludeList};
use crate::kafka::{admin, block_on, output};

const ABOUT: &str = "This tool helps to create, delete, describe, or change a topic.";
const ACTIONS: [&str; 5] = ["create", "list", "alter", "describe", "delete"];
const REPORTS: [&str; 4] =
    ["under-replicated-partitions", "under-min-isr-partitions", "at-min-isr-partitions", "unavailable-partitions"];
const ALTER_CONFIGS: &str = " (To alter topic configurations, the kafka-configs tool can be used.)";
/// TOPIC_ALREADY_EXISTS
const EXISTS: i16 = 36;
/// Partitions in one answer unless the flag says otherwise.
const PAGE: i32 = 2000;

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-topics", ABOUT)
        .servers("server to connect to")
        .admin_config("command config property file")
        .flag("list", "List all available topics.")
        .flag("create", "Create a new topic.")
        .flag("delete", "Delete a topic.")
        .flag("alter", "Alter the number of partitions and the replica assignment.")
        .flag("describe", "List details of the given topics.")
        .value("topic", "topic", "The topic; a regular expression too, except with --create.")
        .value("topic-id", "topic-id", "The id of the topic to describe.")
        .value("config", "name=value", "A config of the topic being created; see docs/topic-configs.md.")
        .value("delete-config", "name", "No longer supported; kafka-configs does it.")
        .value(
            "partitions",
            "# of partitions",
            "Partitions of the topic being created or altered. More of them send keys elsewhere.",
        )
        .value("replication-factor", "replication factor", "Replicas of each partition of the topic being created.")
        .value("replica-assignment", "b1p1:b2p1,b1p2:b2p2", "Brokers of each partition, by hand.")
        .flag("under-replicated-partitions", "Describe only partitions whose replicas are not all in sync.")
        .flag("unavailable-partitions", "Describe only partitions whose leader is not available.")
        .flag("under-min-isr-partitions", "Describe only partitions with fewer replicas in sync than the minimum.")
        .flag("at-min-isr-partitions", "Describe only partitions with as many replicas in sync as the minimum.")
        .flag("topics-with-overrides", "Describe only topics with configs of their own.")
        .flag("if-exists", "Alter, delete or describe only if the topic exists.")
        .flag("if-not-exists", "Create only if the topic does not exist.")
        .flag("exclude-internal", "Leave internal topics out when listing or describing.")
        .value(
            "partition-size-limit-per-response",
            "partitions",
            "Partitions in one answer of DescribeTopicPartitions.",
        )
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let given = match options().read(words).and_then(checked) {
        Ok(given) => given,
        Err(ended) => return ended,
    };
    match admin(&given).and_then(|admin| block_on(act(&admin, &given))) {
        Ok(()) => Ended::Well,
        // Apache says on standard output what the cluster refused, and exits with 1.
        Err(Ended::Failed(reason)) => {
            println!("Error while executing topic command : {reason}");
            Ended::FailedAloud
        }
        Err(ended) => ended,
    }
}

/// The combinations that `TopicCommandOptions.checkArgs` refuses.
fn checked(given: Given) -> Result<Given, Ended> {
    if ACTIONS.iter().filter(|action| given.has(action)).count() != 1 {
        return given.misuse(
            "Command must include exactly one action: --list, --describe, --create, --alter or --delete".to_owned(),
        );
    }
    if given.has("delete-config") {
        eprintln!("kafka-topics: --delete-config is no longer supported; use kafka-configs --alter --delete-config");
    }
    if !given.has("bootstrap-server") {
        return given.misuse("--bootstrap-server must be specified".to_owned());
    }
    if given.has("describe") && given.has("if-exists") {
        if !given.has("topic") && !given.has("topic-id") {
            return given.misuse("--topic or --topic-id is required to describe a topic".to_owned());
        }
        if given.has("topic") && given.has("topic-id") {
            println!(
                "Only topic id will be used when both --topic and --topic-id are specified and topicId is not Uuid.ZERO_UUID"
            );
        }
    }
    if !given.has("list") && !given.has("describe") {
        given.required(&["topic"])?;
    }
    if given.has("alter") {
        if given.has("config") {
            return given.misuse(format!(
                "Option combination \"[[bootstrap-server], [config]]\" can't be used with option \"[alter]\"{ALTER_CONFIGS}"
            ));
        }
        given.required(&["partitions"])?;
    }
    let except = |kept: &[&str]| ACTIONS.into_iter().filter(|action| !kept.contains(action)).collect::<Vec<_>>();
    given.excludes("config", &except(&["alter", "create"]))?;
    given.excludes("partitions", &except(&["alter", "create"]))?;
    given.excludes("replication-factor", &except(&["create"]))?;
    given.excludes("replica-assignment", &except(&["alter", "create"]))?;
    if given.has("create") {
        given.excludes("replica-assignment", &["partitions", "replication-factor"])?;
    }
    for report in REPORTS {
        given.excludes(report, &[except(&["describe"]), vec!["topics-with-overrides"]].concat())?;
    }
    given.excludes("topics-with-overrides", &[except(&["describe"]), REPORTS.to_vec()].concat())?;
    given.excludes("if-exists", &except(&["alter", "delete", "describe"]))?;
    given.excludes("if-not-exists", &except(&["create"]))?;
    given.excludes("exclude-internal", &except(&["list", "describe"]))?;
    Ok(given)
}

async fn act(admin: &Admin, given: &Given) -> Result<(), Ended> {
    if given.has("create") {
        return create(admin, given).await;
    }
    if given.has("list") {
        let names = topics(admin, given).await?;
        let rows: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
        if !output::as_json(&["topic"], &rows) {
            println!("{}", names.join("\n"));
        }
        return Ok(());
    }
    if given.has("alter") {
        return alter(admin, given).await;
    }
    if given.has("delete") {
        let found = existing(admin, given).await?;
        return admin.delete_topics(&found).await.map_err(refused);
    }
    describe(admin, given).await
}

/// What the cluster said.
fn refused(error: ClientError) -> Ended {
    Ended::Failed(error.message())
}

/// The topics that `--topic` matches, by name.
async fn topics(admin: &Admin, given: &Given) -> Result<Vec<String>, Ended> {
    let list = given.one("topic")?.map(IncludeList::new).transpose()?;
    let exclude = given.has("exclude-internal");
    let all = admin.list_topics().await.map_err(refused)?;
    let allowed = |name: &str| match &list {
        Some(list) => list.allows(name, exclude),
        None => !(exclude && INTERNAL_TOPICS.contains(&name)),
    };
    let mut names: Vec<String> = all.into_iter().map(|topic| topic.name).filter(|name| allowed(name)).collect();
    names.sort();
    Ok(names)
}

/// As [`topics`]; none at all is an error unless `--if-exists`.
async fn existing(admin: &Admin, given: &Given) -> Result<Vec<String>, Ended> {
    let found = topics(admin, given).await?;
    match given.one("topic")? {
        Some(wanted) if found.is_empty() && !wanted.is_empty() && !given.has("if-exists") => {
            Err(Ended::Failed(format!("Topic '{wanted}' does not exist as expected")))
        }
        _ => Ok(found),
    }
}

/// `--replica-assignment`: the brokers of each partition.
fn assignment(given: &Given) -> Result<Vec<Vec<i32>>, Ended> {
    let Some(list) = given.one("replica-assignment")?.filter(|list| !list.is_empty()) else { return Ok(Vec::new()) };
    let mut assigned: Vec<Vec<i32>> = Vec::new();
    for (partition, brokers) in list.split(',').enumerate() {
        let number =
            |text: &str| text.trim().parse::<i32>().map_err(|_| Ended::Failed(format!("For input string: \"{text}\"")));
        let brokers: Vec<i32> = brokers.split(':').map(number).collect::<Result<_, _>>()?;
        let mut seen = BTreeSet::new();
        let twice: Vec<String> =
            brokers.iter().filter(|broker| !seen.insert(**broker)).map(ToString::to_string).collect();
        if !twice.is_empty() {
            return Err(Ended::Failed(format!(
                "Partition replica lists may not contain duplicate entries: {}",
                twice.join(",")
            )));
        }
        if assigned.first().is_some_and(|first| first.len() != brokers.len()) {
            return Err(Ended::Failed(format!("Partition {partition} has different replication factor: {brokers:?}")));
        }
        assigned.push(brokers);
    }
    Ok(assigned)
}

async fn create(admin: &Admin, given: &Given) -> Result<(), Ended> {
    let name = given.one("topic")?.unwrap_or_default().to_owned();
    let partitions: Option<i32> = given.parsed("partitions")?;
    let replication_factor: Option<i32> = given.parsed("replication-factor")?;
    let assignment = assignment(given)?;
    let mut configs = Vec::new();
    for pair in given.all("config") {
        let Some((key, value)) = pair.split_once('=').filter(|(_, value)| !value.is_empty() && !value.contains('='))
        else {
            return Err(Ended::Failed(
                "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\"."
                    .to_owned(),
            ));
        };
        configs.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    // Java: Topic.hasCollisionChars
    if name.contains(['.', '_']) {
        println!(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To \
             avoid issues it is best to use either, but not both."
        );
    }
    if replication_factor.is_some_and(|factor| !(1..=i32::from(i16::MAX)).contains(&factor)) {
        return Err(Ended::Failed(format!("The replication factor must be between 1 and {} inclusive", i16::MAX)));
    }
    if partitions.is_some_and(|partitions| partitions < 1) {
        return Err(Ended::Failed("The partitions must be greater than 0".to_owned()));
    }
    let replication_factor = replication_factor.map(|factor| factor as i16);
    let topic = NewTopic { name: name.clone(), partitions, replication_factor, assignment, configs };
    match admin.create_topic(&topic).await {
        Ok(()) => println!("Created topic {name}."),
        Err(ClientError::Broker { code: EXISTS, .. }) if given.has("if-not-exists") => {}
        Err(error) => return Err(refused(error)),
    }
    Ok(())
}

async fn alter(admin: &Admin, given: &Given) -> Result<(), Ended> {
    let count: i32 = given.parsed("partitions")?.unwrap_or_default();
    let assignment = assignment(given)?;
    let found = existing(admin, given).await?;
    if found.is_empty() {
        return Ok(());
    }
    let mut wanted = BTreeMap::new();
    for topic in admin.describe_topics(&found, PAGE).await.map_err(refused)? {
        let added = assignment.get(topic.partitions.len()..).unwrap_or_default().to_vec();
        wanted.insert(topic.name, (count, (!assignment.is_empty()).then_some(added)));
    }
    admin.create_partitions(&wanted).await.map_err(refused)
}

/// What `--describe` looked up beside the topics.
struct Cluster {
    brokers: Vec<i32>,
    configs: BTreeMap<String, Vec<ConfigEntry>>,
    reassignments: BTreeMap<TopicPartition, Reassignment>,
}

async fn describe(admin: &Admin, given: &Given) -> Result<(), Ended> {
    let id = match given.one("topic-id")? {
        Some(text) => Some(
            uuid_text::parse(text)
                .ok_or_else(|| Ended::Failed(format!("Topic id {text} is no id of 22 characters")))?,
        ),
        None => None,
    };
    let mut described = match id.filter(|id| !id.is_nil()) {
        Some(id) => {
            let listed = admin.list_topics().await.map_err(refused)?;
            let hidden = |name: &str| given.has("exclude-internal") && INTERNAL_TOPICS.contains(&name);
            if listed.iter().any(|topic| topic.id == id && !hidden(&topic.name)) {
                admin.describe_topic_id(id).await.map_err(refused)?
            } else if given.has("if-exists") {
                Vec::new()
            } else {
                return Err(Ended::Failed(format!("TopicId '{}' does not exist as expected", uuid_text::format(id))));
            }
        }
        None => {
            let found = existing(admin, given).await?;
            let page = given.parsed("partition-size-limit-per-response")?.unwrap_or(PAGE);
            if found.is_empty() { Vec::new() } else { admin.describe_topics(&found, page).await.map_err(refused)? }
        }
    };
    let count = described.len();
    sort_as_hash_map(&mut described, Some(count), |topic| &topic.name);
    let names: Vec<String> = described.iter().map(|topic| topic.name.clone()).collect();
    let mut cluster = Cluster {
        brokers: admin.brokers().await.map_err(refused)?,
        configs: configs_of(admin, &names).await.map_err(refused)?,
        reassignments: moves_of(admin, &described).await.map_err(refused)?,
    };
    for configs in cluster.configs.values_mut() {
        sort_as_hash_map(configs, None, |config| &config.name);
    }
    if output::as_objects(|| described.iter().flat_map(|topic| topic_objects(given, topic, &cluster)).collect()) {
        return Ok(());
    }
    for topic in &described {
        print_topic(given, topic, &cluster);
    }
    Ok(())
}

async fn configs_of(admin: &Admin, names: &[String]) -> Result<BTreeMap<String, Vec<ConfigEntry>>, ClientError> {
    let resources: Vec<_> = names.iter().map(|name| (ResourceKind::Topic, name.clone())).collect();
    let described = admin.describe_each_config(&resources).await?.into_iter();
    described.map(|((_, name), configs)| Ok((name, configs?))).collect()
}

async fn moves_of(
    admin: &Admin,
    topics: &[TopicDescription],
) -> Result<BTreeMap<TopicPartition, Reassignment>, ClientError> {
    let of_topic = |topic: &TopicDescription| {
        let name = topic.name.clone();
        topic.partitions.iter().map(move |own| TopicPartition::new(&name, own.partition)).collect::<Vec<_>>()
    };
    let places: BTreeSet<TopicPartition> = topics.iter().flat_map(of_topic).collect();
    // An empty list would ask about none, which the broker refuses.
    if places.is_empty() { Ok(BTreeMap::new()) } else { admin.list_partition_reassignments(Some(&places)).await }
}

/// What was set for the topic itself.
fn own_configs<'a>(topic: &TopicDescription, cluster: &'a Cluster) -> Vec<(&'a str, &'a str)> {
    let configs = cluster.configs.get(&topic.name).into_iter().flatten();
    configs
        .filter(|config| config.source != ConfigSource::DefaultConfig)
        .map(|config| (config.name.as_str(), config.value.as_deref().unwrap_or("null")))
        .collect()
}

/// The partitions that the flags ask for, an object each.
fn topic_objects(given: &Given, topic: &TopicDescription, cluster: &Cluster) -> Vec<Value> {
    let own = own_configs(topic, cluster);
    if given.has("topics-with-overrides") && own.is_empty() {
        return Vec::new();
    }
    let configs: Map<String, Value> =
        own.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    let object = |(partition, moved): (&PartitionDescription, Option<&Reassignment>)| {
        json!({
            "topic": topic.name,
            "topic_id": uuid_text::format(topic.id),
            "partition": partition.partition,
            "leader": partition.leader,
            "replicas": partition.replicas,
            "isr": partition.isr,
            "adding_replicas": moved.map(|moved| &moved.adding),
            "removing_replicas": moved.map(|moved| &moved.removing),
            "elr": partition.elr,
            "last_known_elr": partition.last_known_elr,
            "configs": configs,
        })
    };
    reported(given, topic, cluster).into_iter().map(object).collect()
}

fn print_topic(given: &Given, topic: &TopicDescription, cluster: &Cluster) {
    let own: Vec<String> =
        own_configs(topic, cluster).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let overrides_only = given.has("topics-with-overrides");
    if !REPORTS.into_iter().any(|report| given.has(report)) && (!overrides_only || !own.is_empty()) {
        let factor = topic.partitions.first().map_or(0, |first| {
            factor(first, cluster.reassignments.get(&TopicPartition::new(&topic.name, first.partition)))
        });
        let id = if topic.id.is_nil() { String::new() } else { format!("\tTopicId: {}", uuid_text::format(topic.id)) };
        println!(
            "Topic: {}{id}\tPartitionCount: {}\tReplicationFactor: {factor}\tConfigs: {}",
            topic.name,
            topic.partitions.len(),
            own.join(",")
        );
    }
    if !overrides_only {
        reported(given, topic, cluster)
            .into_iter()
            .for_each(|(partition, moved)| print_partition(&topic.name, partition, moved));
    }
}

/// The partitions that the flags ask for, and how each is moved.
fn reported<'a>(
    given: &Given,
    topic: &'a TopicDescription,
    cluster: &'a Cluster,
) -> Vec<(&'a PartitionDescription, Option<&'a Reassignment>)> {
    let reports: Vec<&str> = REPORTS.into_iter().filter(|report| given.has(report)).collect();
    let mut configs = cluster.configs.get(&topic.name).into_iter().flatten();
    let min_isr = configs.find(|config| config.name == "min.insync.replicas");
    let min_isr = min_isr.and_then(|config| config.value.as_deref()?.parse().ok()).unwrap_or(1usize);
    let mut found = Vec::with_capacity(topic.partitions.len());
    for partition in &topic.partitions {
        let moved = cluster.reassignments.get(&TopicPartition::new(&topic.name, partition.partition));
        let shown = |report: &&str| match *report {
            "under-replicated-partitions" => factor(partition, moved) > partition.isr.len(),
            "unavailable-partitions" => partition.leader.is_none_or(|leader| !cluster.brokers.contains(&leader)),
            "under-min-isr-partitions" => partition.isr.len() < min_isr,
            _at_min_isr => partition.isr.len() == min_isr,
        };
        if reports.is_empty() || reports.iter().any(shown) {
            found.push((partition, moved));
        }
    }
    found
}

/// Replicas that stay (Java: `TopicCommand.getReplicationFactor`).
fn factor(partition: &PartitionDescription, moved: Option<&Reassignment>) -> usize {
    match moved {
        Some(moved)
            if partition
                .replicas
                .iter()
                .any(|replica| moved.adding.contains(replica) || moved.removing.contains(replica)) =>
        {
            moved.replicas.len() - moved.adding.len()
        }
        _ => partition.replicas.len(),
    }
}

fn print_partition(topic: &str, partition: &PartitionDescription, moved: Option<&Reassignment>) {
    let list = |brokers: &[i32]| brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let known = |brokers: &Option<Vec<i32>>| brokers.as_deref().map_or_else(|| "N/A".to_owned(), list);
    let leader = partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
    let moves = moved.map_or_else(String::new, |moved| {
        format!("\tAdding Replicas: {}\tRemoving Replicas: {}", list(&moved.adding), list(&moved.removing))
    });
    println!(
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}{moves}\tElr: {}\tLastKnownElr: {}",
        partition.partition,
        list(&partition.replicas),
        list(&partition.isr),
        known(&partition.elr),
        known(&partition.last_known_elr),
    );
}
