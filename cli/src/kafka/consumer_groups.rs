//! kafka-consumer-groups: list and describe consumer groups, delete them, reset their offsets (Java:
//! `ConsumerGroupCommand`).
//!
//! Tables have Apache's columns and widths. What the cluster refuses is said on standard output with exit status 0, as
//! Apache's does.

use std::collections::{BTreeMap, BTreeSet};

use client::admin::{
    Admin, CommittedOffset, GroupDescription, GroupListing, MemberDescription, OffsetSpec, TopicPartition,
};
use client::error::ClientError;

/// --reset-offsets
mod reset;
/// --delete-offsets
mod delete_offsets;

use crate::Ended;
use crate::kafka::java_order::sort_as_hash_map;
use crate::kafka::options::{Given, Options};
use crate::kafka::{admin, block_on, java_exception, output};

const ABOUT: &str = "This tool helps to list, describe, delete and manage the offsets of consumer groups.";
const ACTIONS: [&str; 6] = ["list", "describe", "delete", "reset-offsets", "delete-offsets", "validate-regex"];
/// GROUP_ID_NOT_FOUND
pub const GROUP_ID_NOT_FOUND: i16 = 69;
/// Partitions in one answer when topics are described.
pub const PAGE: i32 = 2000;
/// What stands in a column that has nothing to say.
const NOTHING: &str = "-";
const WIDTH: usize = 15;
/// Java: `GroupState.groupStatesForType(CONSUMER)`.
const STATES: [&str; 7] =
    ["Stable", "CompletingRebalance", "Assigning", "Reconciling", "Dead", "PreparingRebalance", "Empty"];
const TYPES: [&str; 2] = ["Classic", "Consumer"];

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-consumer-groups", ABOUT)
        .servers("server to connect to")
        .admin_config("command config property file")
        .value("timeout", "timeout (ms)", "How long to wait for a group to stabilise.")
        .value("group", "consumer group", "The group to act on; may be repeated.")
        .value(
            "topic",
            "topic",
            "The topic whose offsets are reset or deleted, or some of its partitions: topic:0,1; may be repeated.",
        )
        .flag("all-topics", "With --reset-offsets: every topic that the group committed offsets of.")
        .flag("all-groups", "Act on all groups.")
        .flag("list", "List all consumer groups.")
        .flag("describe", "Describe groups and their lag.")
        .flag("delete", "Delete groups with all their offsets.")
        .flag("members", "With --describe: the members.")
        .flag("offsets", "With --describe: partitions, offsets and lag; what is shown anyway.")
        .optional_value("state", "state", "With --describe: the state. With --list: show states, or list these only.")
        .optional_value("type", "type", "With --list: show types, or list these only.")
        .flag("verbose", "With --describe: more columns.")
        .flag("reset-offsets", "Say where an inactive group is to read from next.")
        .flag("delete-offsets", "Forget the offsets of a group for topics that it does not read.")
        .flag("dry-run", "With --reset-offsets: only show the new offsets; what is done anyway.")
        .flag("execute", "With --reset-offsets: commit the new offsets.")
        .flag("export", "With --reset-offsets: show the new offsets as CSV.")
        .value("to-offset", "offset", "Reset to this offset.")
        .value("from-file", "path to CSV file", "Reset to the offsets of a CSV file.")
        .value("to-datetime", "datetime", "Reset to the first record from YYYY-MM-DDThh:mm:ss.sss on.")
        .value("by-duration", "duration", "Reset to the first record of the last PnDTnHnMnS.")
        .flag("to-earliest", "Reset to the first record.")
        .flag("to-latest", "Reset to the end.")
        .flag("to-current", "Reset to the committed offset.")
        .value("shift-by", "number-of-offsets", "Move the committed offset by so many, backwards when negative.")
        .value("validate-regex", "regex", "Say whether a regular expression is one.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let given = match options().read(words).and_then(checked) {
        Ok(given) => given,
        Err(ended) => return ended,
    };
    match given.one("validate-regex") {
        Ok(None) => {}
        Ok(Some(pattern)) => {
            validate_regex(pattern);
            return Ended::Well;
        }
        Err(ended) => return ended,
    }
    match admin(&given).and_then(|admin| block_on(act(&admin, &given))) {
        Ok(()) => Ended::Well,
        Err(ended) => ended,
    }
}

/// The combinations that `ConsumerGroupCommandOptions.checkArgs` refuses.
fn checked(given: Given) -> Result<Given, Ended> {
    if !given.has("validate-regex") {
        given.required(&["bootstrap-server"])?;
    }
    if ACTIONS.iter().filter(|action| given.has(action)).count() != 1 {
        let actions = ACTIONS.map(|action| format!("--{action}")).join(", ");
        return given.misuse(format!("Command must include exactly one action: {actions}"));
    }
    for action in ["describe", "delete", "reset-offsets"] {
        if given.has(action) && !given.has("group") && !given.has("all-groups") {
            return given.misuse(format!("Option [{action}] takes one of these options: [group], [all-groups]"));
        }
    }
    if given.has("delete") && given.has("topic") {
        return given
            .misuse("The consumer does not support topic-specific offset deletion from a consumer group.".to_owned());
    }
    if given.has("delete-offsets") && !(given.has("group") && given.has("topic")) {
        return given.misuse("Option [delete-offsets] takes the following options: [group], [topic]".to_owned());
    }
    if given.has("reset-offsets") {
        check_reset(&given)?;
    }
    if given.has("describe") {
        if ["members", "offsets", "state"].iter().filter(|part| given.has(part)).count() > 1 {
            return given.misuse(
                "Option [describe] takes at most one of these options: [members], [offsets], [state]".to_owned(),
            );
        }
        if given.one("state")?.is_some_and(|state| !state.is_empty()) {
            return given.misuse("Option [describe] does not take a value for [state]".to_owned());
        }
    }
    for part in ["members", "offsets", "verbose"] {
        if given.has(part) && !given.has("describe") {
            return given.misuse(format!("Option [{part}] can only be used with option [describe]"));
        }
    }
    given.excludes("type", &["describe", "delete"])?;
    given.excludes("state", &["delete"])?;
    given.excludes("group", &["all-groups", "list"])?;
    given.excludes("topic", &["list", "describe"])?;
    Ok(given)
}

fn check_reset(given: &Given) -> Result<(), Ended> {
    if given.has("dry-run") && given.has("execute") {
        return given.misuse("Option [reset-offsets] only accepts one of [execute] and [dry-run]".to_owned());
    }
    if !given.has("dry-run") && !given.has("execute") {
        eprintln!(
            "WARN: No action will be performed as the --execute option is missing; say --dry-run if that is meant."
        );
    }
    for scenario in reset::SCENARIOS {
        let others = reset::SCENARIOS.into_iter().filter(|other| *other != scenario).collect::<Vec<_>>();
        given.excludes(scenario, &others)?;
    }
    Ok(())
}

/// How an action ended that did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// The cluster refused, or cannot be reached.
    Client(ClientError),
    /// It could not be done; the words are what Apache's exception says.
    Said(String),
    /// It was asked wrongly.
    Misused(String),
    /// It ended otherwise.
    Ended(Ended),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Failure::Client(error)
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        Failure::Ended(ended)
    }
}

async fn act(admin: &Admin, given: &Given) -> Result<(), Ended> {
    let done = if given.has("list") {
        let states = filter(given, "state", &STATES)?;
        let types = filter(given, "type", &TYPES)?;
        list(admin, given, &states, &types).await.map_err(Failure::from)
    } else if given.has("delete") {
        delete(admin, given).await.map_err(Failure::from)
    } else if given.has("reset-offsets") {
        reset::reset(admin, given).await
    } else if given.has("delete-offsets") {
        delete_offsets::delete_offsets(admin, given).await
    } else {
        describe(admin, given).await.map_err(Failure::from)
    };
    let reason = match done {
        Ok(()) => return Ok(()),
        Err(Failure::Client(error)) => java_exception::to_string(&error),
        Err(Failure::Said(reason)) => reason,
        Err(Failure::Misused(line)) => return given.misuse(line),
        Err(Failure::Ended(ended)) => return Err(ended),
    };
    println!("\nError: Executing consumer group command failed due to {reason}");
    Ok(())
}

/// Whether a pattern can be read, as Apache's tool says it.
fn validate_regex(pattern: &str) {
    let reason = match regex::Regex::new(pattern) {
        Ok(_) => return println!("The regular expression `{pattern}` is valid."),
        Err(error) => error.to_string(),
    };
    // In the words of RE2/J, with which brokers and Apache's tool read patterns.
    let reasons = [
        ("unclosed group", "missing closing )"),
        ("unopened group", "missing closing )"),
        ("unclosed character class", "missing closing ]"),
        ("repetition operator missing expression", "missing argument to repetition operator"),
    ];
    let said = reasons.iter().find(|(ours, _)| reason.contains(ours)).map(|(_, theirs)| *theirs);
    let said = said.unwrap_or_else(|| reason.lines().last().unwrap_or_default().trim_start_matches("error: "));
    println!("The regular expression `{pattern}` is invalid: {said}.");
}

/// The values of `--state` or `--type` in Kafka's spelling; none for none.
fn filter(given: &Given, flag: &str, valid: &[&str]) -> Result<Vec<String>, Ended> {
    let Some(list) = given.one(flag)?.filter(|list| !list.is_empty()) else { return Ok(Vec::new()) };
    let known = |name: &str| {
        valid.iter().find(|known| known.eq_ignore_ascii_case(name.trim())).map(|known| (*known).to_owned())
    };
    let (what, plural) = if flag == "state" { ("state", "states") } else { ("types", "types") };
    list.split(',').map(known).collect::<Option<_>>().map_or_else(
        || given.misuse(format!("Invalid {what} list '{list}'. Valid {plural} are: {}", valid.join(", "))),
        Ok,
    )
}

async fn list(admin: &Admin, given: &Given, states: &[String], types: &[String]) -> Result<(), ClientError> {
    let (with_type, with_state) = (given.has("type"), given.has("state"));
    let types = if types.is_empty() && !with_type && !with_state { &TYPES.map(str::to_owned)[..] } else { types };
    let mut groups = admin.list_consumer_groups(states, types).await?;
    sort_as_hash_map(&mut groups, None, |group| &group.group_id);
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| vec![group.group_id.clone(), group.group_type.clone(), group.state.clone()])
        .collect();
    if output::as_json(&["GROUP", "TYPE", "STATE"], &rows) {
        return Ok(());
    }
    if !with_type && !with_state {
        groups.iter().for_each(|group| println!("{}", group.group_id));
        return Ok(());
    }
    let width = groups.iter().map(|group| group.group_id.len()).max().unwrap_or(0).max(WIDTH) + 10;
    let line = |group: &str, kind: &str, state: &str| {
        let kind = if with_type { format!(" {kind:<20}") } else { String::new() };
        let state = if with_state { format!(" {state:<20}") } else { String::new() };
        println!("{group:<width$}{kind}{state}");
    };
    line("GROUP", "TYPE", "STATE");
    for GroupListing { group_id, group_type, state, .. } in &groups {
        line(group_id, &capitalised(group_type), state);
    }
    Ok(())
}

/// `classic` on the wire, `Classic` to people.
fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(|| "Unknown".to_owned(), |first| first.to_uppercase().chain(letters).collect())
}

/// The groups that the flags name.
async fn chosen(admin: &Admin, given: &Given) -> Result<Vec<String>, ClientError> {
    if !given.has("all-groups") {
        return Ok(given.all("group").into_iter().map(str::to_owned).collect());
    }
    let groups = admin.list_consumer_groups(&[], &TYPES.map(str::to_owned)).await?;
    Ok(groups.into_iter().map(|group| group.group_id).collect())
}

async fn delete(admin: &Admin, given: &Given) -> Result<(), ClientError> {
    let groups = chosen(admin, given).await?;
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for (group, result) in admin.delete_groups(&groups).await? {
        match result {
            Ok(()) => deleted.push(format!("'{group}'")),
            Err(error) => failed
                .push(format!("* Group '{group}' could not be deleted due to: {}", java_exception::to_string(&error))),
        }
    }
    if failed.is_empty() {
        println!("Deletion of requested consumer groups ({}) was successful.", deleted.join(", "));
        return Ok(());
    }
    println!("\nError: Deletion of some consumer groups failed:");
    failed.iter().for_each(|line| println!("{line}"));
    if !deleted.is_empty() {
        println!("\nThese consumer groups were deleted successfully: {}", deleted.join(", "));
    }
    Ok(())
}

async fn describe(admin: &Admin, given: &Given) -> Result<(), ClientError> {
    let chosen = chosen(admin, given).await?;
    let described = admin.describe_groups(&chosen).await?.into_iter();
    let groups =
        described.map(|(group, described)| Ok((group, described?))).collect::<Result<BTreeMap<_, _>, ClientError>>()?;
    let verbose = given.has("verbose");
    if given.has("members") {
        groups.values().for_each(|group| print_members(group, verbose));
    } else if given.has("state") {
        groups.values().for_each(|group| print_state(group, verbose));
    } else {
        let committed = committed(admin, &groups).await?;
        let ends = ends(admin, &groups, &committed).await?;
        groups.iter().for_each(|(id, group)| print_offsets(group, &rows(group, &committed[id], &ends), verbose));
    }
    Ok(())
}

/// Says what is special about a group's state; false when there is nothing more to show.
fn announced(group: &GroupDescription, rows: usize) -> bool {
    let id = &group.group_id;
    match group.state.as_str() {
        "Dead" => println!("\nError: Consumer group '{id}' does not exist."),
        "Empty" => eprintln!("\nConsumer group '{id}' has no active members."),
        "Stable" => {}
        _rebalancing => eprintln!("\nWarning: Consumer group '{id}' is rebalancing."),
    }
    group.state != "Dead" && rows > 0
}

/// A line of the table of offsets.
struct Row<'a> {
    at: TopicPartition,
    committed: Option<&'a CommittedOffset>,
    end: Option<i64>,
    member: Option<&'a MemberDescription>,
}

/// The cells of a line, without the group.
struct Cells {
    topic: String,
    partition: String,
    epoch: String,
    current: String,
    end: String,
    lag: String,
    consumer: String,
    host: String,
    client: String,
}

impl Row<'_> {
    fn cells(&self) -> Cells {
        let shown = |number: Option<i64>| number.map_or_else(|| NOTHING.to_owned(), |number| number.to_string());
        let current = self.committed.map(|committed| committed.offset);
        let of_member = |field: fn(&MemberDescription) -> &String| {
            self.member.map_or_else(|| NOTHING.to_owned(), |member| field(member).clone())
        };
        Cells {
            topic: self.at.topic.clone(),
            partition: self.at.partition.to_string(),
            epoch: shown(self.committed.and_then(|committed| committed.leader_epoch).map(i64::from)),
            current: shown(current),
            end: shown(self.end),
            lag: shown(current.zip(self.end).map(|(current, end)| end - current)),
            consumer: of_member(|member| &member.member_id),
            host: of_member(|member| &member.host),
            client: of_member(|member| &member.client_id),
        }
    }
}

/// By group: what it committed.
type Committed = BTreeMap<String, BTreeMap<TopicPartition, CommittedOffset>>;

/// What each group committed; the groups of one coordinator are asked for at once.
async fn committed(admin: &Admin, groups: &BTreeMap<String, GroupDescription>) -> Result<Committed, ClientError> {
    let mut found = admin.committed_offsets_of(&groups.keys().cloned().collect::<Vec<_>>()).await?;
    let of_group = |id: &String| {
        let offsets = found.remove(id).unwrap_or(Err(ClientError::State("no answer for the group")))?;
        let offsets = offsets.into_iter().map(|(at, committed)| committed.map(|committed| (at, committed)));
        Ok::<_, ClientError>((id.clone(), offsets.collect::<Result<BTreeMap<_, _>, ClientError>>()?))
    };
    groups.keys().map(of_group).collect()
}

/// The ends of all partitions that a group reads or has committed.
async fn ends(
    admin: &Admin,
    groups: &BTreeMap<String, GroupDescription>,
    committed: &Committed,
) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
    let assigned = groups.values().flat_map(|group| &group.members).flat_map(|member| &member.assignment);
    let wanted: BTreeSet<&TopicPartition> = assigned.chain(committed.values().flat_map(BTreeMap::keys)).collect();
    if wanted.is_empty() { Ok(BTreeMap::new()) } else { admin.list_offsets(wanted, OffsetSpec::Latest).await }
}

/// The partitions of a group's members, those of the busiest first, then what else it committed.
fn rows(
    group: &GroupDescription,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
    ends: &BTreeMap<TopicPartition, i64>,
) -> Vec<Cells> {
    let mut members: Vec<&MemberDescription> =
        group.members.iter().filter(|member| !member.assignment.is_empty()).collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.assignment.len()));
    let assigned: BTreeSet<&TopicPartition> = members.iter().flat_map(|member| &member.assignment).collect();
    let row = |at: &TopicPartition, member| {
        Row { at: at.clone(), committed: committed.get(at), end: ends.get(at).copied(), member }.cells()
    };
    let of_members = members.iter().flat_map(|member| member.assignment.iter().map(|at| row(at, Some(*member))));
    let left = committed.keys().filter(|at| !assigned.contains(at)).map(|at| row(at, None));
    of_members.chain(left).collect()
}

fn print_offsets(group: &GroupDescription, rows: &[Cells], verbose: bool) {
    if !announced(group, rows.len()) {
        return;
    }
    let widest = |field: fn(&Cells) -> &String| rows.iter().map(|row| field(row).len()).max().unwrap_or(0).max(WIDTH);
    let (group_width, topic_width) = (group.group_id.len().max(WIDTH), widest(|row| &row.topic));
    let (consumer_width, host_width) = (widest(|row| &row.consumer), widest(|row| &row.host));
    let line = |id: &str, row: &Cells| {
        let epoch = if verbose { format!("{:<15} ", row.epoch) } else { String::new() };
        print!(
            "\n{id:<group_width$} {:<topic_width$} {:<10} {epoch}{:<15} {:<15} {:<15} {:<consumer_width$} {:<host_width$} {}",
            row.topic, row.partition, row.current, row.end, row.lag, row.consumer, row.host, row.client
        );
    };
    let json: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let cells =
                [&row.topic, &row.partition, &row.current, &row.end, &row.lag, &row.consumer, &row.host, &row.client];
            std::iter::once(group.group_id.clone()).chain(cells.map(Clone::clone)).collect()
        })
        .collect();
    if output::as_json(
        &["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID"],
        &json,
    ) {
        return;
    }
    let title = |text: &str| text.to_owned();
    let titles = Cells {
        topic: title("TOPIC"),
        partition: title("PARTITION"),
        epoch: title("LEADER-EPOCH"),
        current: title("CURRENT-OFFSET"),
        end: title("LOG-END-OFFSET"),
        lag: title("LAG"),
        consumer: title("CONSUMER-ID"),
        host: title("HOST"),
        client: title("CLIENT-ID"),
    };
    line("GROUP", &titles);
    rows.iter().for_each(|row| line(&group.group_id, row));
    println!();
}

fn print_members(group: &GroupDescription, verbose: bool) {
    let shown = announced(group, group.members.len());
    let members = &group.members;
    let assigned: Vec<String> = members.iter().map(|member| assignment_text(&member.assignment)).collect();
    let row = |(member, assigned): (&MemberDescription, &String)| {
        let instance = member.instance_id.clone().unwrap_or_default();
        let count = member.assignment.len().to_string();
        vec![
            group.group_id.clone(),
            member.member_id.clone(),
            instance,
            member.host.clone(),
            member.client_id.clone(),
            count,
            assigned.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = members.iter().zip(&assigned).map(row).collect();
    if output::as_json(
        &["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "CURRENT-ASSIGNMENT"],
        &rows,
    ) {
        return;
    }
    // Without members Apache still prints the titles, in their least widths.
    let widest = |least: usize, field: &dyn Fn(&MemberDescription) -> usize| {
        members.iter().filter(|_| shown).map(field).max().unwrap_or(0).max(least)
    };
    let group_width = if shown { group.group_id.len().max(WIDTH) } else { WIDTH };
    let consumer_width = widest(WIDTH, &|member| member.member_id.len());
    let instance_width = widest(17, &|member| member.instance_id.as_ref().map_or(0, String::len));
    let host_width = widest(WIDTH, &|member| member.host.len());
    let client_width = widest(WIDTH, &|member| member.client_id.len());
    let current_width = if shown { assigned.iter().map(String::len).max().unwrap_or(0).max(20) } else { 20 };
    let with_instance = members.iter().any(|member| member.instance_id.as_ref().is_some_and(|id| !id.is_empty()));
    let line = |cells: [&str; 6], more: [&str; 4]| {
        let [id, consumer, instance, host, client, count] = cells;
        let instance = if with_instance { format!("{instance:<instance_width$} ") } else { String::new() };
        let [epoch, current, target_epoch, target] = more;
        let more = format!("{epoch:<15} {current:<current_width$} {target_epoch:<15} {target:<20}");
        let more = if verbose { more } else { String::new() };
        println!(
            "{id:<group_width$} {consumer:<consumer_width$} {instance}{host:<host_width$} {client:<client_width$} {count:<15} {more}"
        );
    };
    println!();
    line(
        ["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS"],
        ["CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT"],
    );
    for (member, assigned) in members.iter().zip(&assigned) {
        let count = member.assignment.len().to_string();
        let instance = member.instance_id.as_deref().unwrap_or_default();
        line(
            [&group.group_id, &member.member_id, instance, &member.host, &member.client_id, &count],
            [NOTHING, assigned, NOTHING, NOTHING],
        );
    }
}

/// `topic:0,1;other:0`
fn assignment_text(assignment: &BTreeSet<TopicPartition>) -> String {
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for at in assignment {
        topics.entry(&at.topic).or_default().push(at.partition.to_string());
    }
    let topics: Vec<String> =
        topics.iter().map(|(topic, partitions)| format!("{topic}:{}", partitions.join(","))).collect();
    if topics.is_empty() { NOTHING.to_owned() } else { topics.join(";") }
}

fn print_state(group: &GroupDescription, verbose: bool) {
    if !announced(group, 1) {
        return;
    }
    let node = &group.coordinator;
    let coordinator = format!("{}:{}  ({})", node.host, node.port, node.id);
    let (group_width, coordinator_width) = (group.group_id.len().max(WIDTH), coordinator.len().max(25));
    let assignor = if group.assignor.is_empty() { NOTHING } else { &group.assignor };
    let row = vec![
        group.group_id.clone(),
        node.host.clone(),
        node.port.to_string(),
        node.id.to_string(),
        assignor.to_owned(),
        group.state.clone(),
        group.members.len().to_string(),
    ];
    let titles = ["GROUP", "HOST", "PORT", "ID", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"];
    if output::as_json(&titles, &[row]) {
        return;
    }
    let line = |cells: [&str; 4], epochs: [&str; 2], members: &str| {
        let [id, coordinator, assignor, state] = cells;
        let epochs = if verbose { format!("{:<15} {:<25} ", epochs[0], epochs[1]) } else { String::new() };
        print!("\n{id:<group_width$} {coordinator:<coordinator_width$} {assignor:<20} {state:<20} {epochs}{members}");
    };
    line(
        ["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE"],
        ["GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH"],
        "#MEMBERS",
    );
    line([&group.group_id, &coordinator, assignor, &group.state], [NOTHING, NOTHING], &group.members.len().to_string());
    println!();
}
