//! `--reset-offsets` (Java: `GroupOffsetsResetter`): where each partition of an inactive group is to be read from next.
//!
//! Plans first; commits only with `--execute`. Partitions come in the order of the hash maps that Apache holds them in.

use std::collections::{BTreeMap, BTreeSet};

use client::TopicPartition;
use client::admin::{Admin, OffsetSpec};
use client::error::ClientError;
use millstream_base_env::Clock;

use super::{Failure, GROUP_ID_NOT_FOUND, PAGE, WIDTH, chosen};
use crate::kafka::java_order::{sort_as_hash_map, sort_partitions_as_hash_map};
use crate::kafka::options::Given;
use crate::kafka::{java_exception, java_time, output};

/// The flags that say where to, of which one is needed.
pub const SCENARIOS: [&str; 8] =
    ["to-offset", "shift-by", "to-datetime", "by-duration", "to-earliest", "to-latest", "to-current", "from-file"];
/// Jackson's CSV writer looks at no more than this many characters to see whether quotes are needed.
const QUOTE_CHECK: usize = 24;

type Plan = BTreeMap<TopicPartition, i64>;

/// Plans, commits when told to, and prints the plan.
pub async fn reset(admin: &Admin, given: &Given) -> Result<(), Failure> {
    let mut plans = Vec::new();
    for group in chosen(admin, given).await? {
        let state = match admin.describe_group(&group).await {
            Ok(described) => described.state,
            Err(ClientError::Broker { code: GROUP_ID_NOT_FOUND, .. }) => "Dead".to_owned(),
            Err(error) => return Err(wrapped(&error)),
        };
        let plan = if matches!(state.as_str(), "Empty" | "Dead") {
            of_group(admin, given, &group).await?
        } else {
            println!(
                "\nError: Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
            );
            Plan::new()
        };
        plans.push((group, plan));
    }
    sort_as_hash_map(&mut plans, None, |(group, _)| group);
    if given.has("export") {
        print_csv(&plans, given.all("group").len() == 1);
    } else {
        print_table(&plans);
    }
    Ok(())
}

/// As an exception that was wrapped twice says it.
fn wrapped(error: &ClientError) -> Failure {
    Failure::Said(format!("java.util.concurrent.ExecutionException: {}", java_exception::to_string(error)))
}

fn said(error: ClientError) -> Failure {
    Failure::Said(error.message())
}

async fn of_group(admin: &Admin, given: &Given, group: &str) -> Result<Plan, Failure> {
    let partitions = scope(admin, given, group).await?;
    check_partitions(admin, &partitions).await?;
    let plan = planned(admin, given, group, &partitions).await?;
    if given.has("execute") && !given.has("dry-run") {
        admin.alter_committed_offsets(group, &plan).await.map_err(said)?;
    }
    Ok(plan)
}

/// The partitions that `--all-topics` or `--topic` name.
async fn scope(admin: &Admin, given: &Given, group: &str) -> Result<BTreeSet<TopicPartition>, Failure> {
    if given.has("all-topics") {
        return Ok(admin.committed_offsets(group).await.map_err(|error| wrapped(&error))?.into_keys().collect());
    }
    if !given.has("topic") && !given.has("from-file") {
        return Err(Failure::Misused("One of the reset scopes should be defined: --all-topics, --topic.".to_owned()));
    }
    let mut partitions = BTreeSet::new();
    let mut whole = Vec::new();
    for topic in given.all("topic") {
        match topic.contains(':') {
            true => partitions.extend(partitions_of(topic)?),
            false => whole.push(topic.to_owned()),
        }
    }
    if !whole.is_empty() {
        for topic in admin.describe_topics(&whole, PAGE).await.map_err(said)? {
            partitions
                .extend(topic.partitions.iter().map(|partition| TopicPartition::new(&topic.name, partition.partition)));
        }
    }
    Ok(partitions)
}

/// `topic:0,1`
pub fn partitions_of(argument: &str) -> Result<Vec<TopicPartition>, Failure> {
    let Some((topic, list)) = argument.split_once(':').filter(|(_, list)| !list.is_empty() && !list.contains(':'))
    else {
        return Err(Failure::Misused(format!("Invalid topic arg '{argument}', expected topic name and partitions")));
    };
    let partition = |number: &str| match number.parse() {
        Ok(number) => Ok(TopicPartition::new(topic, number)),
        Err(_) => Err(Failure::Misused(format!("Invalid partition '{number}' specified in topic arg '{argument}''"))),
    };
    list.split(',').map(partition).collect()
}

/// Every partition has to be there and to have a leader.
async fn check_partitions(admin: &Admin, partitions: &BTreeSet<TopicPartition>) -> Result<(), Failure> {
    let topics: BTreeSet<&str> = partitions.iter().map(|at| at.topic.as_str()).collect();
    if topics.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = topics.into_iter().map(str::to_owned).collect();
    let described = admin.describe_topics(&names, PAGE).await.map_err(|error| wrapped(&error))?;
    let mut leaders = BTreeMap::new();
    for topic in &described {
        leaders.extend(topic.partitions.iter().map(|p| (TopicPartition::new(&topic.name, p.partition), p.leader)));
    }
    let named = |chosen: Vec<&TopicPartition>| chosen.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let missing: Vec<&TopicPartition> = partitions.iter().filter(|at| !leaders.contains_key(at)).collect();
    if !missing.is_empty() {
        return Err(Failure::Said(format!("The partitions \"{}\" do not exist", named(missing))));
    }
    let headless: Vec<&TopicPartition> = partitions.iter().filter(|at| leaders.get(at) == Some(&None)).collect();
    if !headless.is_empty() {
        return Err(Failure::Said(format!("The partitions \"{}\" have no leader", named(headless))));
    }
    Ok(())
}

async fn planned(
    admin: &Admin,
    given: &Given,
    group: &str,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<Plan, Failure> {
    let number = |flag: &str| given.parsed::<i64>(flag);
    if let Some(offset) = number("to-offset")? {
        return bounded(admin, partitions.iter().map(|at| (at.clone(), offset)).collect()).await;
    }
    if given.has("to-earliest") {
        return offsets(admin, partitions, OffsetSpec::Earliest).await;
    }
    if given.has("to-latest") {
        return offsets(admin, partitions, OffsetSpec::Latest).await;
    }
    if let Some(shift) = number("shift-by")? {
        return shifted(admin, group, partitions, shift).await;
    }
    if let Some(text) = given.one("to-datetime")? {
        let when = java_time::parse_datetime(text);
        return from_time(
            admin,
            partitions,
            when.map_err(|reason| Failure::Said(format!("java.text.ParseException: {reason}")))?,
        )
        .await;
    }
    if let Some(text) = given.one("by-duration")? {
        let back = millstream_base_config::iso_duration::parse(text)
            .ok_or_else(|| Failure::Said("Text cannot be parsed to a Duration".to_owned()))?;
        return from_time(admin, partitions, Clock::Real.now_ms().saturating_sub(back)).await;
    }
    if let Some(path) = given.one("from-file")? {
        return from_file(admin, group, path, given.all("group").len() == 1).await;
    }
    if given.has("to-current") {
        return current(admin, group, partitions).await;
    }
    let scenarios = SCENARIOS.map(|flag| format!("[{flag}]")).join(", ");
    Err(Failure::Misused(format!("Option '[reset-offsets]' requires one of the following scenarios: [{scenarios}]")))
}

async fn offsets(admin: &Admin, partitions: &BTreeSet<TopicPartition>, spec: OffsetSpec) -> Result<Plan, Failure> {
    if partitions.is_empty() {
        return Ok(Plan::new());
    }
    admin.list_offsets(partitions, spec).await.map_err(|error| wrapped(&error))
}

/// Offsets outside of the log are moved to its nearer end.
async fn bounded(admin: &Admin, wanted: Plan) -> Result<Plan, Failure> {
    let partitions: BTreeSet<TopicPartition> = wanted.keys().cloned().collect();
    let starts = offsets(admin, &partitions, OffsetSpec::Earliest).await?;
    let ends = offsets(admin, &partitions, OffsetSpec::Latest).await?;
    let bound = |(at, offset): (TopicPartition, i64)| {
        let (start, end) = (starts.get(&at).copied().unwrap_or(offset), ends.get(&at).copied().unwrap_or(offset));
        let (limit, text) =
            if offset > end { (end, "higher than latest") } else { (start.max(offset), "lower than earliest") };
        if limit != offset {
            eprintln!(
                "WARN New offset ({offset}) is {text} offset for topic partition {at}. Value will be set to {limit}."
            );
        }
        (at, limit)
    };
    Ok(wanted.into_iter().map(bound).collect())
}

async fn shifted(
    admin: &Admin,
    group: &str,
    partitions: &BTreeSet<TopicPartition>,
    shift: i64,
) -> Result<Plan, Failure> {
    let committed = admin.committed_offsets(group).await.map_err(|error| wrapped(&error))?;
    let mut wanted = Plan::new();
    for at in partitions {
        let Some(current) = committed.get(at) else {
            let line = format!("Cannot shift offset for partition {at} since there is no current committed offset");
            return Err(Failure::Misused(line));
        };
        wanted.insert(at.clone(), current.offset.saturating_add(shift));
    }
    bounded(admin, wanted).await
}

async fn from_time(admin: &Admin, partitions: &BTreeSet<TopicPartition>, ms: i64) -> Result<Plan, Failure> {
    let mut plan = offsets(admin, partitions, OffsetSpec::Timestamp(ms)).await?;
    let mut behind: Vec<TopicPartition> =
        plan.iter().filter(|(_, offset)| **offset < 0).map(|(at, _)| at.clone()).collect();
    sort_partitions_as_hash_map(&mut behind, None, |at| at);
    for TopicPartition { topic, partition } in &behind {
        println!("\nWarn: Partition {partition} from topic {topic} is empty. Falling back to latest known offset.");
    }
    plan.extend(offsets(admin, &behind.into_iter().collect(), OffsetSpec::Latest).await?);
    Ok(plan)
}

async fn current(admin: &Admin, group: &str, partitions: &BTreeSet<TopicPartition>) -> Result<Plan, Failure> {
    let committed = admin.committed_offsets(group).await.map_err(|error| wrapped(&error))?;
    let (known, unknown): (BTreeSet<_>, BTreeSet<_>) =
        partitions.iter().cloned().partition(|at| committed.contains_key(at));
    let mut plan = offsets(admin, &unknown, OffsetSpec::Latest).await?;
    plan.extend(known.into_iter().filter_map(|at| Some((at.clone(), committed.get(&at)?.offset))));
    Ok(plan)
}

async fn from_file(admin: &Admin, group: &str, path: &str, single: bool) -> Result<Plan, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Said(format!("{path}: {error}")))?;
    let mut plans = read_csv(&text, group, single)
        .map_err(|line| Failure::Said(format!("{path}: no topic,partition,offset: {line}")))?;
    match plans.remove(group) {
        Some(wanted) => {
            check_partitions(admin, &wanted.keys().cloned().collect()).await?;
            bounded(admin, wanted).await
        }
        None => {
            println!("\nError: No reset plan for group {group} found");
            Ok(Plan::new())
        }
    }
}

/// Lines of `topic,partition,offset` for the one group, or of `group,topic,partition,offset`.
fn read_csv(text: &str, group: &str, single: bool) -> Result<BTreeMap<String, Plan>, String> {
    let lines: Vec<Vec<String>> = text.lines().map(csv_cells).collect();
    let plain =
        |cells: &[String]| cells.len() == 3 && cells[1].parse::<i32>().is_ok() && cells[2].parse::<i64>().is_ok();
    let without_group = single && lines.first().is_some_and(|first| plain(first));
    let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
    for cells in lines {
        let wrong = || cells.join(",");
        let (of, rest) = if without_group {
            (group, &cells[..])
        } else {
            cells.split_first().map(|(of, rest)| (of.as_str(), rest)).ok_or_else(wrong)?
        };
        let [topic, partition, offset] = rest else { return Err(wrong()) };
        let (partition, offset) =
            (partition.trim().parse().map_err(|_| wrong())?, offset.trim().parse().map_err(|_| wrong())?);
        plans.entry(of.to_owned()).or_default().insert(TopicPartition::new(topic, partition), offset);
    }
    Ok(plans)
}

/// The cells of a line; one in quotes may hold commas, and a quote in it is doubled.
fn csv_cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => push(&mut cells, '"'),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => push(&mut cells, other),
        }
    }
    cells
}

fn push(cells: &mut [String], letter: char) {
    if let Some(cell) = cells.last_mut() {
        cell.push(letter);
    }
}

/// A cell as Jackson's CSV writer puts it: in quotes when it is long or holds anything up to the comma.
fn csv_cell(text: &str) -> String {
    if text.len() <= QUOTE_CHECK && text.chars().all(|letter| letter > ',') {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn in_order(plan: &Plan) -> Vec<(&TopicPartition, i64)> {
    let mut rows: Vec<(&TopicPartition, i64)> = plan.iter().map(|(at, offset)| (at, *offset)).collect();
    sort_partitions_as_hash_map(&mut rows, None, |(at, _)| at);
    rows
}

fn print_csv(plans: &[(String, Plan)], single: bool) {
    for (group, plan) in plans {
        let group = if single { String::new() } else { format!("{},", csv_cell(group)) };
        for (at, offset) in in_order(plan) {
            println!("{group}{},{},{offset}", csv_cell(&at.topic), at.partition);
        }
    }
    println!();
}

fn print_table(plans: &[(String, Plan)]) {
    let group_width = plans.iter().map(|(group, _)| group.len()).max().unwrap_or(0).max(WIDTH);
    let topics = plans.iter().flat_map(|(_, plan)| plan.keys().map(|at| at.topic.len()));
    let topic_width = topics.max().unwrap_or(0).max(WIDTH);
    let rows: Vec<Vec<String>> = plans
        .iter()
        .flat_map(|(group, plan)| in_order(plan).into_iter().map(move |row| (group, row)))
        .map(|(group, (at, offset))| {
            vec![group.clone(), at.topic.clone(), at.partition.to_string(), offset.to_string()]
        })
        .collect();
    if output::as_json(&["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"], &rows) {
        return;
    }
    let line = |group: &str, topic: &str, partition: &str, offset: &str| {
        print!("\n{group:<group_width$} {topic:<topic_width$} {partition:<10} {offset}");
    };
    if !plans.is_empty() {
        line("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
    }
    rows.iter().for_each(|row| line(&row[0], &row[1], &row[2], &row[3]));
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_read_with_and_without_the_group() {
        let plain = read_csv("t,0,5\nt,1,6\n", "g", true).unwrap();
        assert_eq!(plain["g"][&TopicPartition::new("t", 1)], 6);
        let with_groups = read_csv("\"a,b\",t,0,5\nh,t,0,7\n", "g", true).unwrap();
        assert_eq!(with_groups["a,b"][&TopicPartition::new("t", 0)], 5);
        assert_eq!(with_groups["h"][&TopicPartition::new("t", 0)], 7);
        assert!(read_csv("t,x,5\n", "g", true).is_err());
    }

    #[test]
    fn cells_are_quoted_as_jackson_does() {
        assert_eq!(csv_cell("plain-name_1.x"), "plain-name_1.x");
        assert_eq!(csv_cell("with space"), "\"with space\"");
        assert_eq!(csv_cell("a\"b"), "\"a\"\"b\"");
        assert_eq!(csv_cell("a-name-of-25-characters-xx"), "\"a-name-of-25-characters-xx\"");
        assert_eq!(csv_cells(&csv_cell("a\"b,c")), ["a\"b,c"]);
    }

    #[test]
    fn partitions_are_read_behind_a_colon() {
        assert_eq!(partitions_of("t:0,2").unwrap(), [TopicPartition::new("t", 0), TopicPartition::new("t", 2)]);
        assert!(matches!(partitions_of("t:x"), Err(Failure::Misused(line)) if line.contains("Invalid partition 'x'")));
        assert!(matches!(partitions_of("t:"), Err(Failure::Misused(_))));
    }
}
