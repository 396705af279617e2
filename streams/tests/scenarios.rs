//! What Kafka Streams 4.3.1 did with the scenarios of `tests/golden`, replayed; and the texts of topologies that Apache
//! Kafka's own tests expect.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use millstream_golden::streams::{Group, NOT_YET, describe, read, replay};
use streams::serde::{NumberSerde, StringSerde};
use streams::{
    Consumed, Ctx, Grouped, JoinWindows, Joined, KStream, Optimization, ProcessResult, Processor, Record,
    StreamsBuilder,
};

type Text = KStream<String, String>;

/// The 80 scenarios, and those that came to the DSL later.
fn recorded() -> Vec<Group> {
    let paths = [
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/streams/recorded.jsonl.zst"),
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/streams/further.jsonl.zst"),
    ];
    let read = |path| read(Path::new(path)).expect("the recorded file is in the repository");
    paths.into_iter().flat_map(read).collect()
}

#[test]
fn every_scenario_has_javas_text_and_internal_topics() {
    let groups = recorded();
    assert_eq!(groups.len(), 2 * (80 + 8), "80 scenarios and 8 under both cache sizes");
    let wrong: Vec<String> = groups
        .iter()
        .filter_map(|group| describe(group).err().map(|error| format!("{}: {error}", group.scenario())))
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), groups.len(), wrong.join("\n"));
}

#[test]
fn every_case_gives_what_java_gave() {
    let mut failed: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut passed: BTreeMap<String, usize> = BTreeMap::new();
    for group in recorded() {
        let name = group.scenario().to_owned();
        for case in &group.cases {
            match replay(&group, case) {
                Ok(()) => *passed.entry(name.clone()).or_default() += 1,
                Err(reason) => failed.entry(name.clone()).or_insert((0, reason)).0 += 1,
            }
        }
    }
    let total: usize = passed.values().sum();
    let unexpected: Vec<String> = failed
        .iter()
        .filter(|(name, _)| !NOT_YET.contains(&name.as_str()))
        .map(|(name, (count, reason))| format!("{name}: {count} cases, first: {reason}"))
        .collect();
    assert!(unexpected.is_empty(), "{total} passed; these failed\n{}", unexpected.join("\n"));
    let passing: Vec<&&str> = NOT_YET.iter().filter(|name| !failed.contains_key(**name)).collect();
    assert!(passing.is_empty(), "these pass and must leave the list: {passing:?}");
}

/// One case of each scenario and cache size with its stores in RocksDB: outputs, changelogs and rows are as in memory.
#[cfg(feature = "rocksdb")]
#[test]
fn stores_on_disk_give_what_java_gave() {
    use streams::state::engines::{Engines, Memory};
    use streams::topology::store::{Engine, Store};
    let engines = Engines::new(Engine::Persistent, Memory { total: 8 << 20, unwritten: 2 << 20 });
    let mut replayed = 0;
    for group in recorded().iter().filter(|group| !NOT_YET.contains(&group.scenario())) {
        let folder = tempfile::tempdir().expect("a folder");
        let on_disk = |topology: &streams::Topology| {
            let stores = topology.stores().iter().chain(topology.global_stores());
            let opened = engines.open(folder.path(), stores)?;
            Ok(Box::new(move |store: &Store| opened.rows(store)) as millstream_golden::streams::Opener)
        };
        let done = millstream_golden::streams::replay_on(group, &group.cases[0], on_disk);
        assert_eq!(done, Ok(()), "{}", group.scenario());
        replayed += 1;
    }
    assert!(replayed > 40, "{replayed}");
}

fn grouped() -> Grouped<String, String> {
    Grouped::with(StringSerde, StringSerde)
}

fn first(value: &str) -> String {
    value.chars().take(1).collect()
}

fn cat(left: String, right: String) -> String {
    left + "+" + &right
}

/// Hands on what it gets.
struct Same;

impl Processor for Same {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, ctx: &mut Ctx<Self>, record: Record<String, String>) -> ProcessResult {
        ctx.forward(record)
    }
}

/// RepartitionWithMergeOptimizingTest of Apache Kafka: two rekeyed streams, merged and counted twice.
fn merged_counts(rules: &[Optimization]) -> String {
    let b = StreamsBuilder::new();
    let source = |topic, name: &str| b.stream_with(topic, Consumed::with(StringSerde, StringSerde).named(name));
    let (a, c) = (source("inputA", "sourceAStream"), source("inputB", "sourceBStream"));
    let a: Text = a.named("mappedAStream").map(|_, v: String| (first(&v), v));
    let c: Text = c.named("mappedBStream").map(|_, v: String| (first(&v), v));
    let merged = a.named("mergedStream").merge(&c);
    let long = merged.group_by_key_with(grouped().named("long-groupByKey")).named("long-count").count("long-store");
    long.named("long-toStream").to_stream().to_with("outputTopic_0", "long-to");
    let text =
        merged.group_by_key_with(grouped().named("string-groupByKey")).named("string-count").count("string-store");
    let text = text.named("string-toStream").to_stream().named("string-mapValues").map_values(|n| n.to_string());
    text.to_with("outputTopic_1", "string-to");
    b.build_optimized(rules).expect("the topology is sound").describe()
}

#[test]
fn repartition_topics_of_merged_streams_become_one() {
    let expected = include_str!("../../tests/golden/topology/merged_counts_optimized.txt");
    assert_eq!(merged_counts(&Optimization::ALL), expected);
    let expected = include_str!("../../tests/golden/topology/merged_counts.txt");
    assert_eq!(merged_counts(&[]), expected);
}

/// RepartitionOptimizingTest of Apache Kafka: one rekeyed stream is processed, counted, aggregated, reduced and joined with its count.
fn many_repartitions(rules: &[Optimization]) -> String {
    let b = StreamsBuilder::new();
    let source = b.stream_with("input", Consumed::with(StringSerde, StringSerde).named("sourceStream"));
    let mapped: Text = source.named("source-map").map(|k, v: String| (k.unwrap_or_default(), v));
    let filtered = mapped.named("process-filter").filter(|_, _| true);
    filtered.named("process-mapValues").map_values(|v| v).named("process").process((), || Same);
    let group = |stream: &Text, name: &str| stream.group_by_key_with(grouped().named(name));
    let counts = group(&mapped, "count-groupByKey").named("count").count("count-store");
    let counts = counts.named("count-toStream").to_stream();
    counts.to_with("outputTopic_0", "count-to");
    let lengths = group(&mapped, "aggregate-groupByKey").named("aggregate").aggregate(
        || 0i32,
        |_, v, sum| sum + v.len() as i32,
        "aggregate-store",
    );
    lengths.named("aggregate-toStream").to_stream().to_with("outputTopic_1", "reduce-to");
    let peeked = mapped.named("reduce-filter").filter(|_, _| true).named("reduce-peek").peek(|_, _| {});
    let reduced = group(&peeked, "reduce-groupByKey").named("reducer").reduce(cat, "reduce-store");
    reduced.named("reduce-toStream").to_stream().to("outputTopic_2");
    let windows = JoinWindows::of_time_difference_and_grace(Duration::from_secs(5), Duration::ZERO);
    let joined = Joined::with(StringSerde, StringSerde, NumberSerde).named("join").store_name("kept");
    let filtered = mapped.named("join-filter").filter(|_, _| true);
    let result = filtered.join(&counts, |v: &String, n: &i64| format!("{v}:{n}"), windows, joined);
    result.to_with("joinedOutputTopic", "join-to");
    // Apache's test names the stores of the join by suppliers.
    let text = b.build_optimized(rules).expect("the topology is sound").describe();
    text.replace("kept-other-join-store", "other-join-store").replace("kept-this-join-store", "join-store")
}

#[test]
fn repartition_topics_below_one_key_change_become_one() {
    let expected = include_str!("../../tests/golden/topology/repartitions_optimized.txt");
    assert_eq!(many_repartitions(&Optimization::ALL), expected);
    let expected = include_str!("../../tests/golden/topology/repartitions.txt");
    assert_eq!(many_repartitions(&[]), expected);
}
