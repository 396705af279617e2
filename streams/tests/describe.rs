//! Builds the scenarios of `tests/golden` with the DSL and compares what Kafka Streams 4.3.1 printed and would create.
//! Not done: the records themselves, which come with the task runtime.

use std::collections::BTreeMap;
use std::time::Duration;

use streams::dsl::materialized::Materialized;
use streams::dsl::options::{Consumed, Grouped, Joined, Produced, Repartitioned};
use streams::dsl::suppressed::{Buffer, Suppressed};
use streams::dsl::windows::{EmitStrategy, JoinWindows, SessionWindows, SlidingWindows, TimeWindows};
use streams::graph::Optimization;
use streams::op::custom::Processor;
use streams::serde::{NumberSerde, StringSerde};
use streams::topology::processor::{Children, Context, ProcessResult};
use streams::topology::store::{Duplicates, Store, StoreKind};
use streams::{KStream, KTable, Record, StreamsBuilder};

type Text = KStream<String, String>;
type Rows = KTable<String, String>;

/// The numbers of one scenario.
struct Params<'a>(&'a serde_json::Value);

impl Params<'_> {
    fn time(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("parameter {name}"))
    }

    fn tumbling(&self) -> TimeWindows {
        let windows = TimeWindows::of_size_and_grace(self.time("size_ms"), self.time("grace_ms"));
        match self.0["advance_ms"].as_u64() {
            Some(advance) => windows.advance_by(Duration::from_millis(advance)),
            None => windows,
        }
    }

    fn sliding(&self) -> SlidingWindows {
        SlidingWindows::of_time_difference_and_grace(self.time("difference_ms"), self.time("grace_ms"))
    }

    fn session(&self) -> SessionWindows {
        SessionWindows::of_inactivity_gap_and_grace(self.time("gap_ms"), self.time("grace_ms"))
    }

    fn join(&self) -> JoinWindows {
        JoinWindows::of_time_difference_and_grace(self.time("after_ms"), self.time("grace_ms"))
            .before(self.time("before_ms"))
    }
}

/// Hands on what it gets.
struct Same;

impl Processor for Same {
    type In = (String, String);
    type Out = (String, String);

    fn process(
        &mut self,
        record: Record<String, String>,
        next: &mut Children<String, String>,
        context: &mut Context,
    ) -> ProcessResult {
        next.forward(record, context)
    }
}

fn first(value: &str) -> String {
    value.chars().take(1).collect()
}

fn cat(left: String, right: String) -> String {
    left + "+" + &right
}

fn both<T: std::fmt::Display>(left: &T, right: &T) -> String {
    format!("{left}+{right}")
}

fn left<T: std::fmt::Debug>(left: &T, right: Option<&T>) -> String {
    format!("{left:?}+{right:?}")
}

fn outer<T: std::fmt::Debug>(left: Option<&T>, right: Option<&T>) -> String {
    format!("{left:?}+{right:?}")
}

fn grouped() -> Grouped<String, String> {
    Grouped::with(StringSerde, StringSerde)
}

fn joined() -> Joined<String, String, String> {
    Joined::with(StringSerde, StringSerde, StringSerde)
}

fn text(builder: &StreamsBuilder, topic: &str) -> Text {
    builder.stream(topic)
}

fn rows(builder: &StreamsBuilder, topic: &str) -> Rows {
    builder.table(topic, ())
}

/// Scenarios 1 to 12, without state.
fn stateless(name: &str, b: &StreamsBuilder) -> bool {
    match name {
        "filter_chain" => text(b, "in")
            .filter_not(|_, v| v.starts_with('x'))
            .filter_not(|_, v| v.ends_with('0'))
            .map_values(|v| v.to_uppercase())
            .to("out"),
        "flat_map_values" => text(b, "in")
            .flat_map_values(|v: String| v.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .flat_map(|k, v| vec![(k.clone().unwrap_or_default(), v.clone()), (v, k.unwrap_or_default())])
            .to("out"),
        "select_key_merge" => {
            let left = text(b, "in1").select_key(|_, v| first(v));
            left.merge(&text(b, "in2").map(|k, v| (v, k.unwrap_or_default()))).to("out");
        }
        "split_default" => split_default(b),
        "split_no_default" => split_no_default(b),
        "peek_foreach" => {
            let source = text(b, "in");
            source.for_each(|_, _| {});
            source.peek(|_, _| {}).map_values(|v| v).to("out");
        }
        "dynamic_sink_topic" => b.stream::<String, String>(["in1", "in2"]).to_chosen(
            "TopicByValue",
            |record, _| record.value.clone().unwrap_or_default(),
            Produced::with(StringSerde, StringSerde),
        ),
        "repartition_named" => {
            let repartitioned = Repartitioned::with(StringSerde, StringSerde).named("rp").partitions(1);
            text(b, "in")
                .select_key(|_, v| first(v))
                .repartition(repartitioned)
                .map_values(|v| v + "!")
                .to("out");
        }
        "to_table_null_delete" => text(b, "in").to_table((), "t").to_stream().to("out"),
        "process_values_headers" => text(b, "in").process_values(|| Same, (), &[]).to("out"),
        "map_group_count_repartition" => {
            text(b, "in")
                .map(|_, v| (first(&v), v))
                .group_by_key_with(grouped())
                .count(())
                .to_stream()
                .to("out");
        }
        "merge_two_rekeyed" => {
            let left = text(b, "in1").select_key(|_, v| first(v));
            let merged = left.merge(&text(b, "in2").map(|k, v| (first(&v), k.unwrap_or_default())));
            let materialized = Materialized::with(StringSerde, StringSerde);
            merged.group_by_key_with(grouped()).reduce(cat, materialized).to_stream().to("out");
        }
        _ => return false,
    }
    true
}

fn split_default(b: &StreamsBuilder) {
    let to_b = |branch: Text| {
        branch.to("out-b");
        None
    };
    let branches = text(b, "in")
        .split("s-")
        .branch(|_, v| v.is_some_and(|v| v.starts_with('a')), "a")
        .branch_with(|_, v| v.is_some_and(|v| v.ends_with('1')), (), to_b)
        .default_branch("rest");
    branches["s-a"].to("out-a");
    branches["s-rest"].to("out-rest");
}

fn split_no_default(b: &StreamsBuilder) {
    let to_1 = |branch: Text| {
        branch.to("out-1");
        None
    };
    let branches = text(b, "in")
        .split(())
        .branch_with(|_, v| v.is_some_and(|v| v.starts_with('a')), (), to_1)
        .branch_with(
            |_, v| v.is_some_and(|v| v.starts_with('b')),
            "two",
            |branch| Some(branch.map_values(|v| v + "!")),
        )
        .no_default_branch();
    branches["KSTREAM-BRANCH-0000000001two"].to("out-2");
}

/// Scenarios 13 to 22.
fn aggregates(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    let keep = |_: &String, v: String, so_far: String| cat(so_far, v);
    match name {
        "count_kv" => text(b, "in").group_by_key().count("counts").to_stream().to("out"),
        "reduce_null_result" => text(b, "in").group_by_key().reduce(cat, "reduced").to_stream().to("out"),
        "aggregate_null_value_drop" => {
            text(b, "in").group_by_key().aggregate(String::new, keep, "agg").to_stream().to("out")
        }
        "wordcount" => text(b, "in")
            .flat_map_values(|line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .group_by_with(|_, word| word.clone(), grouped())
            .count("counts-store")
            .to_stream()
            .to("out"),
        "cogroup_two" => {
            let (one, two) = (text(b, "in1").group_by_key(), text(b, "in2").group_by_key());
            one.cogroup(keep).cogroup(&two, keep).aggregate(String::new, "cg").to_stream().to("out");
        }
        "cogroup_session" => {
            let (one, two) = (text(b, "in1").group_by_key(), text(b, "in2").group_by_key());
            let sessions = one.cogroup(keep).cogroup(&two, keep).windowed_by(params.session());
            sessions.aggregate(String::new, |_, l, r| cat(l, r), "cs").to_stream().to_with("out", windowed());
        }
        "table_group_by_same_key" => {
            let table = rows(b, "in").group_by(|k, v| (Some(k.clone()), Some(v.clone())), grouped());
            table.reduce(cat, cat, "agg").to_stream().to("out");
        }
        "table_group_by_move_key" | "table_aggregate_null_adder" => {
            let table = rows(b, "in").group_by(|_, v| (Some(first(v)), Some(v.clone())), grouped());
            table.aggregate(String::new, keep, keep, "agg").to_stream().to("out");
        }
        "table_group_count" => {
            let table = rows(b, "in").group_by(|_, v| (Some(first(v)), Some(v.clone())), grouped());
            table.count("counts").to_stream().to("out");
        }
        _ => return false,
    }
    true
}

/// A sink of windowed keys, whose serde comes with the runtime.
fn windowed<K, V>() -> Produced<K, V>
where
    Nowhere: streams::serde::Serde<K> + streams::serde::Serde<V>,
{
    Produced::with(Nowhere, Nowhere)
}

/// Serializes nothing: these topologies are only described.
struct Nowhere;

impl<T> streams::serde::Serde<T> for Nowhere {
    fn serialize(&self, _value: &T, _out: &mut Vec<u8>) {}

    fn deserialize(&self, bytes: bytes::Bytes) -> Result<T, streams::serde::SerdeError> {
        Err(streams::serde::SerdeError::Malformed { expected: "described value", found: bytes.len() })
    }
}

/// Scenarios 23 to 34 and 40: windows.
fn windows(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    let keep = |_: &String, v: String, so_far: String| cat(so_far, v);
    let merge = |_: &String, l: String, r: String| cat(l, r);
    let group = || text(b, "in").group_by_key();
    match name {
        "tumbling_count" | "tumbling_grace0" => {
            group().windowed_by(params.tumbling()).count("w").to_stream().to_with("out", windowed())
        }
        "hopping_sum" => {
            let longs = b.stream_with("in", Consumed::with(StringSerde, NumberSerde)).group_by_key();
            longs
                .windowed_by(params.tumbling())
                .reduce(|l: i64, r: i64| l + r, "w")
                .to_stream()
                .to_with("out", windowed());
        }
        "hopping_advance_not_divisor" | "window_null_value" => {
            group()
                .windowed_by(params.tumbling())
                .aggregate(String::new, keep, "w")
                .to_stream()
                .to_with("out", windowed());
        }
        "sliding_count_grace" => {
            group().windowed_by(params.sliding()).count("w").to_stream().to_with("out", windowed())
        }
        "sliding_early_records" | "sliding_no_grace_reverse" => {
            group()
                .windowed_by(params.sliding())
                .aggregate(String::new, keep, "w")
                .to_stream()
                .to_with("out", windowed());
        }
        "session_count" => {
            group().windowed_by(params.session()).count("s").to_stream().to_with("out", windowed())
        }
        "session_merge_three" | "session_inside_existing" | "session_late_merge_saves" => {
            group()
                .windowed_by(params.session())
                .aggregate(String::new, keep, merge, "s")
                .to_stream()
                .to_with("out", windowed());
        }
        "retention_expiry_fetch" => {
            let (retention_ms, size_ms) =
                (params.number("retention_ms") as i64, params.number("size_ms") as i64);
            b.add_store(Store::new(
                "w",
                StoreKind::Window { retention_ms, size_ms, duplicates: Duplicates::Replaced },
            ));
            text(b, "in").process(|| Same, (), &["w"]).to("out");
        }
        _ => return false,
    }
    true
}

/// Scenarios 35 to 39, 41 to 43 and 47: what is emitted when windows close.
fn closed_windows(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    let keep = |_: &String, v: String, so_far: String| cat(so_far, v);
    let merge = |_: &String, l: String, r: String| cat(l, r);
    let group = || text(b, "in").group_by_key();
    let unbounded = || Suppressed::until_window_closes(Buffer::unbounded());
    match name {
        "emit_final_tumbling" | "emit_final_hopping" | "emit_final_default_throttle" => {
            let windows = group().windowed_by(params.tumbling()).emit_strategy(EmitStrategy::OnWindowClose);
            windows.aggregate(String::new, keep, "w").to_stream().to_with("out", windowed());
        }
        "emit_final_sliding" => {
            let windows = group().windowed_by(params.sliding()).emit_strategy(EmitStrategy::OnWindowClose);
            windows.aggregate(String::new, keep, "w").to_stream().to_with("out", windowed());
        }
        "emit_final_session" => {
            let windows = group().windowed_by(params.session()).emit_strategy(EmitStrategy::OnWindowClose);
            windows.aggregate(String::new, keep, merge, "s").to_stream().to_with("out", windowed());
        }
        "suppress_final_tumbling" | "suppress_final_large_jump" => {
            group()
                .windowed_by(params.tumbling())
                .count("w")
                .suppress(unbounded())
                .to_stream()
                .to_with("out", windowed());
        }
        "suppress_final_session" => {
            group()
                .windowed_by(params.session())
                .count("s")
                .suppress(unbounded())
                .to_stream()
                .to_with("out", windowed());
        }
        "suppress_overflow_shutdown" => {
            let buffer = Buffer::max_records(params.number("max_records")).shut_down_when_full();
            let held = Suppressed::until_window_closes(buffer);
            group()
                .windowed_by(params.tumbling())
                .count("w")
                .suppress(held)
                .to_stream()
                .to_with("out", windowed());
        }
        _ => return false,
    }
    true
}

/// Scenarios 44 to 46, 48 and 62 to 67: tables.
fn tables(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    let limit = |buffer| Suppressed::until_time_limit(params.time("limit_ms"), buffer);
    match name {
        "suppress_time_limit" => rows(b, "in").suppress(limit(Buffer::unbounded())).to_stream().to("out"),
        "suppress_max_records_emit" => rows(b, "in")
            .suppress(limit(Buffer::max_records(params.number("max_records"))))
            .to_stream()
            .to("out"),
        "suppress_max_bytes_emit" => {
            rows(b, "in").suppress(limit(Buffer::max_bytes(params.number("max_bytes")))).to_stream().to("out")
        }
        "suppress_before_join" => {
            let right = rows(b, "R");
            rows(b, "L").suppress(limit(Buffer::unbounded())).join(&right, both, ()).to_stream().to("out");
        }
        "tt_inner" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            l.join(&r, both, ()).to_stream().to("out");
        }
        "tt_left" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            l.left_join(&r, left, ()).to_stream().to("out");
        }
        "tt_outer" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            l.outer_join(&r, outer, "joined").to_stream().to("out");
        }
        "tt_multi_left_outer" => {
            let (l, r, m) = (rows(b, "L"), rows(b, "R"), rows(b, "M"));
            l.left_join(&r, left, ()).outer_join(&m, outer, ()).to_stream().to("out");
        }
        "tt_filtered_unmaterialized" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            let upper = l.filter(|_, v| !v.starts_with('x'), ()).map_values(|v| v.to_uppercase(), ());
            upper
                .join(&r.filter_not(|_, v| v.ends_with('0'), ()), both, ())
                .filter(|_, v| !v.ends_with('1'), ())
                .to_stream()
                .to("out");
        }
        "tt_versioned_out_of_order" => {
            let versioned = |store: &str| {
                Materialized::named(store)
                    .versioned(params.time("history_ms"), Some(params.time("segment_ms")))
            };
            let l: Rows = b.table("L", versioned("vl"));
            let r: Rows = b.table("R", versioned("vr"));
            l.join(&r, both, ()).to_stream().to("out");
        }
        _ => return false,
    }
    true
}

/// Scenarios 68 to 70: joins by a foreign key.
fn foreign_keys(name: &str, b: &StreamsBuilder) -> bool {
    match name {
        "fk_inner" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            l.join_foreign_key(&r, |_, v| Some(first(v)), both, "joined").to_stream().to("out");
        }
        "fk_left" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            l.left_join_foreign_key(&r, |_, v| Some(first(v)), left, "joined").to_stream().to("out");
        }
        "fk_self_and_null_fk" => {
            let t = rows(b, "in");
            t.join_foreign_key(&t, |_, v| Some(first(v)), both, "inner").to_stream().to("out-inner");
            t.left_join_foreign_key(&t, |_, v| Some(first(v)), left, "left").to_stream().to("out-left");
        }
        _ => return false,
    }
    true
}

/// Scenarios 49 to 61: joins of streams.
fn stream_joins(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    let sides = || (text(b, "L"), text(b, "R"));
    match name {
        "ss_inner" | "ss_inner_asymmetric" | "ss_inner_duplicates" => {
            let (l, r) = sides();
            l.join(&r, both, params.join(), joined()).to("out");
        }
        "ss_left" | "ss_left_default_throttle" => {
            let (l, r) = sides();
            l.left_join(&r, left, params.join(), joined()).to("out");
        }
        "ss_outer" | "ss_outer_asymmetric" => {
            let (l, r) = sides();
            l.outer_join(&r, outer, params.join(), joined()).to("out");
        }
        "ss_null_keys" => {
            let (l, r) = sides();
            l.left_join(&r, left, params.join(), joined()).to("out-left");
            l.outer_join(&r, outer, params.join(), joined()).to("out-outer");
        }
        "ss_self_join_optimized" => {
            let s = text(b, "in");
            s.join(&s, both, params.join(), joined()).to("out");
        }
        "st_inner" => {
            let table = rows(b, "R");
            text(b, "L").join_table(&table, both, ()).to("out");
        }
        "st_left_null_key" => {
            let table = rows(b, "R");
            text(b, "L").left_join_table(&table, left, ()).to("out");
        }
        "st_versioned_grace" => {
            let versioned = Materialized::named("v")
                .versioned(params.time("history_ms"), Some(params.time("segment_ms")));
            let table: Rows = b.table("R", versioned);
            text(b, "L").join_table(&table, both, joined().grace(params.time("grace_ms"))).to("out");
        }
        "sg_inner_left" => {
            let global = b.global_table::<String, String>("R", "g");
            let s = text(b, "L");
            s.join_global(&global, |_, v| v.map(|v| first(v)), both).to("out-inner");
            s.left_join_global(&global, |_, v| v.map(|v| first(v)), left).to("out-left");
        }
        _ => return false,
    }
    true
}

/// Scenarios 71 to 80: what the runtime does.
fn runtime(name: &str, b: &StreamsBuilder) -> bool {
    match name {
        "punctuate_stream_time_gaps" | "punctuate_wall_clock_cancel" => {
            text(b, "in").process(|| Same, (), &[]).to("out")
        }
        "store_put_if_absent_range" => {
            b.add_store(Store::new("s", StoreKind::KeyValue));
            text(b, "in").process(|| Same, (), &["s"]).to("out");
        }
        "continue_on_processing_error" => {
            let s = text(b, "in");
            s.group_by_key().count("counts").to_stream().map_values(|n| n).to("out-count");
            s.map_values(|v| v + "!").to("out");
        }
        "dlq_deserialization" => {
            b.stream_with("in", Consumed::with(StringSerde, NumberSerde)).map_values(|v: i64| v + 1).to("out")
        }
        "dlq_processing_after_repartition" => {
            text(b, "in").select_key(|_, v| first(v)).repartition("rp").map_values(|v| v + "!").to("out");
        }
        "log_and_skip_timestamp" => {
            let one = text(b, "in1");
            let by_partition =
                Consumed::with(StringSerde, StringSerde).timestamps(|record, partition_time| {
                    match record.timestamp {
                        -1 => partition_time,
                        timestamp => timestamp,
                    }
                });
            one.merge(&b.stream_with("in2", by_partition)).to("out");
        }
        "max_task_idle_two_inputs" => {
            let l = text(b, "L");
            l.merge(&text(b, "R")).to("out");
        }
        "headers_through_repartition" => {
            let s = text(b, "in").select_key(|_, v| first(v)).repartition("rp");
            s.process_values(|| Same, (), &[]).to("out");
            s.group_by_key().reduce(cat, "agg").to_stream().to("out-agg");
        }
        "optimized_source_reuse_describe" => {
            b.table::<String, String>("in1", "t").to_stream().to("out-table");
            let s = text(b, "in2").select_key(|_, v| first(v));
            s.group_by_key_with(grouped()).count("counts").to_stream().to("out-count");
            s.group_by_key_with(grouped()).reduce(cat, "agg").to_stream().to("out-reduce");
        }
        _ => return false,
    }
    true
}

fn build(name: &str, params: &Params<'_>) -> Option<StreamsBuilder> {
    let builder = StreamsBuilder::new();
    let known = stateless(name, &builder)
        || aggregates(name, &builder, params)
        || windows(name, &builder, params)
        || closed_windows(name, &builder, params)
        || tables(name, &builder, params)
        || foreign_keys(name, &builder)
        || stream_joins(name, &builder, params)
        || runtime(name, &builder);
    known.then_some(builder)
}

fn headers() -> Vec<serde_json::Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/streams/recorded.jsonl.zst");
    let packed = std::fs::read(path).expect("the recorded file is in the repository");
    let text = zstd::decode_all(packed.as_slice()).expect("it is zstd");
    let text = String::from_utf8(text).expect("it is ASCII");
    let lines = text.lines().filter(|line| line.starts_with("{\"golden\":"));
    lines.map(|line| serde_json::from_str(line).expect("a header is JSON")).collect()
}

/// What is wrong with one scenario; nothing if it is as Java has it.
fn difference(header: &serde_json::Value) -> Option<String> {
    let name = header["scenario"].as_str().expect("a header names its scenario");
    let Some(builder) = build(name, &Params(&header["params"])) else {
        return Some(format!("{name}: unknown scenario"));
    };
    let rules = Optimization::parse(header["config"]["topology.optimization"].as_str().unwrap_or("none"))
        .expect("known rules");
    let topology = match builder.build_optimized(&rules) {
        Ok(topology) => topology,
        Err(error) => return Some(format!("{name}: {error}")),
    };
    let expected = header["describe"].as_str().expect("a header has a describe text");
    let found = topology.describe();
    if found != expected {
        return Some(format!("{name}: describe differs\n--- Java\n{expected}\n--- here\n{found}"));
    }
    let topics: BTreeMap<String, BTreeMap<String, String>> =
        topology.internal_topics("g").into_iter().map(|topic| (topic.name, topic.config)).collect();
    let expected: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_value(header["internal_topics"].clone()).expect("topics are maps of text");
    (topics != expected)
        .then(|| format!("{name}: internal topics differ\n--- Java\n{expected:#?}\n--- here\n{topics:#?}"))
}

#[test]
fn every_scenario_has_javas_text_and_internal_topics() {
    let headers = headers();
    assert_eq!(headers.len(), 160, "80 scenarios under both cache sizes");
    let wrong: Vec<String> = headers.iter().filter_map(difference).collect();
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), headers.len(), wrong.join("\n"));
}

/// RepartitionWithMergeOptimizingTest of Apache Kafka: two rekeyed streams, merged and counted twice.
fn merged_counts(rules: &[Optimization]) -> String {
    let b = StreamsBuilder::new();
    let source =
        |topic, name: &str| b.stream_with(topic, Consumed::with(StringSerde, StringSerde).named(name));
    let (a, c) = (source("inputA", "sourceAStream"), source("inputB", "sourceBStream"));
    let a: Text = a.named("mappedAStream").map(|_, v: String| (first(&v), v));
    let c: Text = c.named("mappedBStream").map(|_, v: String| (first(&v), v));
    let merged = a.named("mergedStream").merge(&c);
    let long =
        merged.group_by_key_with(grouped().named("long-groupByKey")).named("long-count").count("long-store");
    long.named("long-toStream").to_stream().to_with("outputTopic_0", windowed().named("long-to"));
    let text = merged
        .group_by_key_with(grouped().named("string-groupByKey"))
        .named("string-count")
        .count("string-store");
    let text =
        text.named("string-toStream").to_stream().named("string-mapValues").map_values(|n| n.to_string());
    text.to_with("outputTopic_1", windowed().named("string-to"));
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
    filtered.named("process-mapValues").map_values(|v| v).process(|| Same, "process", &[]);
    let group = |stream: &Text, name: &str| stream.group_by_key_with(grouped().named(name));
    let counts = group(&mapped, "count-groupByKey").named("count").count("count-store");
    let counts = counts.named("count-toStream").to_stream();
    counts.to_with("outputTopic_0", windowed().named("count-to"));
    let lengths = group(&mapped, "aggregate-groupByKey").named("aggregate").aggregate(
        || 0i32,
        |_, v, sum| sum + v.len() as i32,
        "aggregate-store",
    );
    lengths.named("aggregate-toStream").to_stream().to_with("outputTopic_1", windowed().named("reduce-to"));
    let peeked = mapped.named("reduce-filter").filter(|_, _| true).named("reduce-peek").peek(|_, _| {});
    let reduced = group(&peeked, "reduce-groupByKey").named("reducer").reduce(cat, "reduce-store");
    reduced.named("reduce-toStream").to_stream().to("outputTopic_2");
    let windows = JoinWindows::of_time_difference_and_grace(Duration::from_secs(5), Duration::ZERO);
    let joined = Joined::with(StringSerde, StringSerde, NumberSerde).named("join").store_name("kept");
    let filtered = mapped.named("join-filter").filter(|_, _| true);
    let result = filtered.join(&counts, |v: &String, n: &i64| format!("{v}:{n}"), windows, joined);
    result.to_with("joinedOutputTopic", windowed().named("join-to"));
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
