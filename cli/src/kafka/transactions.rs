//! kafka-transactions: transactions and producers, and an end to those that hang (Java: `TransactionsCommand`).

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, ArgMatches, Command, value_parser};
use client::TopicPartition;
use client::admin::{AbortTransaction, Admin, ProducerState, TransactionDescription, TransactionFilter};
use client::error::ClientError;
use millstream_base_env::Clock;

use crate::Ended;
use crate::kafka::block_on;
use crate::kafka::options::KAFKA_RELEASE;
use crate::kafka::subcommands::{self, switch, text, value};
use crate::kafka::table::print_table;

const ABOUT: &str = "This tool is used to analyze the transactional state of producers in the cluster. It can be used to detect and recover from hanging transactions.";
/// Error code: no such transactional id.
const TRANSACTIONAL_ID_NOT_FOUND: i16 = 105;
/// Partitions in one answer when topics are described.
const PAGE: i32 = 2000;

/// The flags.
pub fn command() -> Command {
    let topic = || value("topic", "The topic.");
    let number =
        |name: &'static str, help| value(name, help).value_parser(value_parser!(i64)).allow_negative_numbers(true);
    let partition = || number("partition", "The partition.");
    let tool = subcommands::tool("kafka-transactions", ABOUT)
        .subcommand_required(false)
        .arg(switch("version", "Display Kafka version.").short('v'))
        .arg(value("command-config", "Property file with configs of the admin client.").value_name("FILE"))
        .arg(value("bootstrap-server", "REQUIRED: The server(s) to connect to.").value_name("host:port"));
    tool.subcommand(Command::new("list").about("list transactions").args([
        number("duration-filter", "Only transactions that have been open for longer than so many milliseconds."),
        value("transactional-id-pattern", "Only transactional ids that match this regular expression."),
    ]))
    .subcommand(
        Command::new("describe")
            .about("describe the state of an active transactional-id")
            .arg(value("transactional-id", "The transactional id.").required(true)),
    )
    .subcommand(
        Command::new("describe-producers").about("describe the states of active producers for a topic partition").args(
            [
                number("broker-id", "The replica to ask. [default: the leader]"),
                topic().required(true),
                partition().required(true),
            ],
        ),
    )
    .subcommand(Command::new("abort").about("abort a hanging transaction (requires administrative privileges)").args([
        topic().required(true),
        partition().required(true),
        number("start-offset", "Where the transaction begins."),
        number("producer-id", "For brokers before 3.0: the producer's id."),
        number("producer-epoch", "For brokers before 3.0: the producer's epoch."),
        number("coordinator-epoch", "For brokers before 3.0: the coordinator's epoch."),
    ]))
    .subcommand(Command::new("find-hanging").about("find hanging transactions").args([
        number("broker-id", "The broker to search."),
        number("max-transaction-timeout", "The longest that a transaction may be open, in minutes. [default: 15]"),
        topic(),
        partition(),
    ]))
    .subcommand(
        Command::new("forceTerminateTransaction")
            .about("Force abort an ongoing transaction on transactionalId (requires administrative privileges)")
            .arg(Arg::new("transactionalId").long("transactionalId").required(true).help("The transactional id.")),
    )
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = subcommands::read(command(), words).and_then(|given| {
        if given.get_flag("version") {
            println!("{KAFKA_RELEASE}");
            return Ok(());
        }
        if text(&given, "bootstrap-server").is_none() {
            return said("argument --bootstrap-server is required; see kafka-transactions --help");
        }
        let admin = subcommands::admin(&given)?;
        match given.subcommand() {
            None => said("too few arguments: name what to do; see kafka-transactions --help"),
            Some((name, own)) => block_on(act(&admin, name, own)),
        }
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn said<T>(line: impl Into<String>) -> Result<T, Ended> {
    Err(Ended::Failed(line.into()))
}

fn failed(doing: String) -> impl Fn(ClientError) -> Ended {
    move |error| Ended::Failed(format!("{doing}: {error}. Enable debug logging for additional detail."))
}

async fn act(admin: &Admin, name: &str, given: &ArgMatches) -> Result<(), Ended> {
    match name {
        "list" => list(admin, given).await,
        "describe" => describe(admin, text(given, "transactional-id").unwrap_or_default()).await,
        "describe-producers" => describe_producers(admin, given).await,
        "abort" => abort(admin, given).await,
        "find-hanging" => find_hanging(admin, given).await,
        _force_terminate => {
            let id = text(given, "transactionalId").unwrap_or_default();
            let wrong = failed(format!("Failed to force terminate transactionalId `{id}`"));
            let mut results = admin.fence_producers(&[id.to_owned()]).await.map_err(&wrong)?;
            results.remove(id).map_or(Ok(()), |result| result.map(drop)).map_err(wrong)
        }
    }
}

fn number<T: TryFrom<i64>>(given: &ArgMatches, name: &str) -> Result<Option<T>, Ended> {
    let Some(number) = given.get_one::<i64>(name) else { return Ok(None) };
    match T::try_from(*number) {
        Ok(number) => Ok(Some(number)),
        Err(_) => said(format!("argument --{name}: {number} is out of range")),
    }
}

fn partition(given: &ArgMatches) -> Result<TopicPartition, Ended> {
    Ok(TopicPartition::new(text(given, "topic").unwrap_or_default(), number(given, "partition")?.unwrap_or_default()))
}

async fn list(admin: &Admin, given: &ArgMatches) -> Result<(), Ended> {
    let filter = TransactionFilter {
        states: Vec::new(),
        producer_ids: Vec::new(),
        longer_than_ms: number(given, "duration-filter")?,
        id_pattern: text(given, "transactional-id-pattern").map(str::to_owned),
    };
    let wrong = failed("Failed to list transactions".to_owned());
    let mut rows = Vec::new();
    for (broker, listed) in admin.list_transactions(&filter).await.map_err(&wrong)? {
        for listing in listed.map_err(&wrong)? {
            let state = listing.state.name().to_owned();
            rows.push(vec![listing.transactional_id, broker.to_string(), listing.producer_id.to_string(), state]);
        }
    }
    print_table(&["TransactionalId", "Coordinator", "ProducerId", "TransactionState"], &rows);
    Ok(())
}

async fn describe(admin: &Admin, id: &str) -> Result<(), Ended> {
    let wrong = failed(format!("Failed to describe transaction state of transactional-id `{id}`"));
    let mut described = admin.describe_transactions(&[id.to_owned()]).await.map_err(&wrong)?;
    let Some(described) = described.remove(id) else { return said(format!("nothing came back about {id}")) };
    let state = described.map_err(wrong)?;
    let none = || "None".to_owned();
    let partitions: Vec<String> = state.partitions.iter().map(ToString::to_string).collect();
    let row = vec![
        state.coordinator.to_string(),
        id.to_owned(),
        state.producer_id.to_string(),
        state.producer_epoch.to_string(),
        state.state.name().to_owned(),
        state.timeout_ms.to_string(),
        state.started_ms.map_or_else(none, |started| started.to_string()),
        state.started_ms.map_or_else(none, |started| (Clock::Real.now_ms() - started).to_string()),
        partitions.join(","),
    ];
    let titles = [
        "CoordinatorId",
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
    ];
    print_table(&titles, &[row]);
    Ok(())
}

async fn producers(
    admin: &Admin,
    at: &TopicPartition,
    broker: Option<i32>,
    wrong: impl Fn(ClientError) -> Ended,
) -> Result<Vec<ProducerState>, Ended> {
    let mut described = admin.describe_producers(&BTreeSet::from([at.clone()]), broker).await.map_err(&wrong)?;
    described.remove(at).map_or(Ok(Vec::new()), |result| result.map_err(wrong))
}

async fn describe_producers(admin: &Admin, given: &ArgMatches) -> Result<(), Ended> {
    let (at, broker) = (partition(given)?, number(given, "broker-id")?);
    let asked = broker.map_or_else(|| "leader".to_owned(), |broker: i32| format!("broker {broker}"));
    let states =
        producers(admin, &at, broker, failed(format!("Failed to describe producers for partition {at} on {asked}")))
            .await?;
    let row = |state: ProducerState| {
        vec![
            state.producer_id.to_string(),
            state.producer_epoch.to_string(),
            state.coordinator_epoch.unwrap_or(-1).to_string(),
            state.last_sequence.to_string(),
            state.last_timestamp.to_string(),
            state.current_transaction_start_offset.map_or_else(|| "None".to_owned(), |offset| offset.to_string()),
        ]
    };
    let rows: Vec<_> = states.into_iter().map(row).collect();
    let titles = [
        "ProducerId",
        "ProducerEpoch",
        "LatestCoordinatorEpoch",
        "LastSequence",
        "LastTimestamp",
        "CurrentTransactionStartOffset",
    ];
    print_table(&titles, &rows);
    Ok(())
}

async fn abort(admin: &Admin, given: &ArgMatches) -> Result<(), Ended> {
    let at = partition(given)?;
    let hanging = match (number(given, "start-offset")?, number(given, "producer-id")?) {
        (None, None) => {
            return said(
                "The transaction to abort must be identified either with --start-offset (for brokers on 3.0 or above) or with \
                 --producer-id, --producer-epoch, and --coordinator-epoch (for older brokers)",
            );
        }
        (Some(start), _) => find_open(admin, at, start).await?,
        (None, Some(producer_id)) => {
            let Some(producer_epoch) = number(given, "producer-epoch")? else {
                return said("Missing required argument --producer-epoch");
            };
            let Some(epoch) = number::<i32>(given, "coordinator-epoch")? else {
                return said("Missing required argument --coordinator-epoch");
            };
            // One whose coordinator never wrote a marker shows -1; no coordinator's epoch is below 0.
            AbortTransaction { partition: at, producer_id, producer_epoch, coordinator_epoch: epoch.max(0) }
        }
    };
    admin.abort_transaction(&hanging).await.map_err(failed(format!("Failed to abort transaction {hanging:?}")))
}

async fn find_open(admin: &Admin, at: TopicPartition, start: i64) -> Result<AbortTransaction, Ended> {
    let states =
        producers(admin, &at, None, failed(format!("Failed to validate producer state for partition {at}"))).await?;
    let found = states.into_iter().find(|state| state.current_transaction_start_offset == Some(start));
    let Some(state) = found else {
        return said(format!("Could not find any open transactions starting at offset {start} on partition {at}"));
    };
    Ok(AbortTransaction {
        partition: at,
        producer_id: state.producer_id,
        producer_epoch: state.producer_epoch as i16,
        coordinator_epoch: state.coordinator_epoch.unwrap_or(0),
    })
}

async fn find_hanging(admin: &Admin, given: &ArgMatches) -> Result<(), Ended> {
    let (topic, broker, own) =
        (text(given, "topic"), number::<i32>(given, "broker-id")?, number::<i32>(given, "partition")?);
    if topic.is_none() && broker.is_none() {
        return said(
            "The `find-hanging` command requires either --topic or --broker-id to limit the scope of the search",
        );
    }
    let limit_ms = number::<i32>(given, "max-transaction-timeout")?.map_or(15, i64::from) * 60_000;
    let places = match (topic, own) {
        (None, Some(_)) => return said("The --partition argument requires --topic to be provided"),
        (Some(topic), Some(number)) => BTreeSet::from([TopicPartition::new(topic, number)]),
        (topic, None) => partitions(admin, topic, broker).await?,
    };
    let mut open = Vec::new();
    let doing = format!("Failed to describe producers for {} partitions", places.len());
    for (at, states) in admin.describe_producers(&places, broker).await.map_err(failed(doing))? {
        let states = states.map_err(failed(format!("Failed to describe producers for partition {at}")))?;
        let overdue = |state: &ProducerState| Clock::Real.now_ms() - state.last_timestamp > limit_ms;
        let hanging =
            states.into_iter().filter(|state| state.current_transaction_start_offset.is_some() && overdue(state));
        open.extend(hanging.map(|state| (at.clone(), state)));
    }
    let known = transactions_of(admin, &open).await?;
    // What its coordinator still means to write to gets its marker; all else hangs.
    open.retain(|(at, state)| known.get(&state.producer_id).is_none_or(|own| !own.partitions.contains(at)));
    let row = |(at, state): &(TopicPartition, ProducerState)| {
        vec![
            at.topic.clone(),
            at.partition.to_string(),
            state.producer_id.to_string(),
            state.producer_epoch.to_string(),
            state.coordinator_epoch.unwrap_or(-1).to_string(),
            state.current_transaction_start_offset.unwrap_or(-1).to_string(),
            state.last_timestamp.to_string(),
            ((Clock::Real.now_ms() - state.last_timestamp) / 60_000).to_string(),
        ]
    };
    let rows: Vec<_> = open.iter().map(row).collect();
    let titles = [
        "Topic",
        "Partition",
        "ProducerId",
        "ProducerEpoch",
        "CoordinatorEpoch",
        "StartOffset",
        "LastTimestamp",
        "Duration(min)",
    ];
    print_table(&titles, &rows);
    Ok(())
}

/// The partitions of a topic or of all, on a broker or on any.
async fn partitions(
    admin: &Admin,
    topic: Option<&str>,
    broker: Option<i32>,
) -> Result<BTreeSet<TopicPartition>, Ended> {
    let names = match topic {
        Some(topic) => vec![topic.to_owned()],
        None => {
            let listed = admin.list_topics().await.map_err(failed("Failed to list topics".to_owned()))?;
            listed.into_iter().map(|topic| topic.name).collect()
        }
    };
    let wrong = failed(format!("Failed to describe {} topics", names.len()));
    let mut places = BTreeSet::new();
    for topic in admin.describe_topics(&names, PAGE).await.map_err(wrong)? {
        let own = topic.partitions.iter().filter(|own| broker.is_none_or(|broker| own.replicas.contains(&broker)));
        places.extend(own.map(|own| TopicPartition::new(&topic.name, own.partition)));
    }
    Ok(places)
}

/// By producer: the transaction that its coordinator knows of.
async fn transactions_of(
    admin: &Admin,
    open: &[(TopicPartition, ProducerState)],
) -> Result<BTreeMap<i64, TransactionDescription>, Ended> {
    let ids: BTreeSet<i64> = open.iter().map(|(_, state)| state.producer_id).collect();
    let mut known = BTreeMap::new();
    if ids.is_empty() {
        return Ok(known);
    }
    let wrong = failed(format!("Failed to list transactions for {} producers", ids.len()));
    let filter = TransactionFilter {
        states: Vec::new(),
        producer_ids: ids.iter().copied().collect(),
        longer_than_ms: None,
        id_pattern: None,
    };
    let mut listed = BTreeMap::new();
    for listings in admin.list_transactions(&filter).await.map_err(&wrong)?.into_values() {
        let own = listings.map_err(&wrong)?.into_iter().filter(|listing| ids.contains(&listing.producer_id));
        listed.extend(own.map(|listing| (listing.transactional_id, listing.producer_id)));
    }
    let names: Vec<String> = listed.keys().cloned().collect();
    for (id, described) in admin.describe_transactions(&names).await.map_err(&wrong)? {
        match described {
            Ok(description) => drop(known.insert(listed[&id], description)),
            Err(error) if error.code().is_some_and(|code| code.code() == TRANSACTIONAL_ID_NOT_FOUND) => {}
            Err(error) => return Err(wrong(error)),
        }
    }
    Ok(known)
}
