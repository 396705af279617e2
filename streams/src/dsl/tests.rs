//! What the calls of the DSL refuse, and what they carry along.

use crate::prelude::*;
use crate::{Settings, TopologyError};

/// A type that Kafka has no serde for.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Click {
    page: String,
}

fn clicks(builder: &StreamsBuilder) -> KStream<String, Click> {
    builder.stream::<String, String>("pages").map_values(|page| Click { page })
}

#[test]
fn a_sink_without_a_serde_is_refused_by_name() {
    let builder = StreamsBuilder::new();
    clicks(&builder).to("out");
    let refused = builder.build().map(drop).expect_err("nothing writes a Click");
    assert!(matches!(&refused, TopologyError::NoSerde(_)), "{refused}");
    let text = refused.to_string();
    assert!(text.starts_with("KSTREAM-SINK-0000000002 has no serde for ") && text.contains("Click"), "{text}");
}

#[test]
fn a_serde_for_a_type_serves_every_node() {
    let builder = StreamsBuilder::new();
    builder.default_serde::<Click>(JsonSerde::new());
    clicks(&builder).group_by_key().reduce(|_, last| last, "last").to_stream().to("out");
    let topology = builder.build().expect("the topology is sound");
    let mut driver = TopologyTestDriver::with_settings(&topology, Settings::new("g"), 0).expect("it can be linked");
    driver.input::<String, String>("pages").pipe(&mut driver, "ann", "home", 0).expect("a record");
    let out = driver.output::<String, String>("out").read_map(&mut driver);
    assert_eq!(out["ann"], r#"{"page":"home"}"#);
}

#[test]
fn windowed_keys_carry_their_serde() {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of_size_no_grace(std::time::Duration::from_secs(1));
    let counts = builder.stream::<String, String>("in").group_by_key().windowed_by(windows).count(());
    counts.to_stream().to("out");
    assert!(builder.build().is_ok());
}

#[test]
fn a_source_says_where_its_topics_are_read_from_first() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("all").to("out");
    let late = Consumed::with(StringSerde, StringSerde).offset_reset(OffsetReset::Latest);
    builder.stream_with::<String, String>("late", late).to("out");
    let topology = builder.build().expect("the topology is sound");
    assert_eq!(topology.offset_reset("late"), Some(OffsetReset::Latest));
    assert_eq!(topology.offset_reset("all"), None, "the consumer's settings decide");
}

fn settings_that_continue() -> Settings {
    let mut settings = Settings::new("g");
    settings.on_processing = Some(std::sync::Arc::new(|_| crate::Response::Continue));
    settings
}

/// Values of one key through a topology; what comes out.
fn run(builder: &StreamsBuilder, cache_bytes: usize, values: &[&str]) -> Vec<String> {
    let topology = builder.build().expect("the topology is sound");
    let driver = TopologyTestDriver::with_settings(&topology, settings_that_continue(), cache_bytes);
    let mut driver = driver.expect("it can be linked");
    let input = driver.input::<String, String>("in");
    for value in values {
        input.pipe(&mut driver, "k", *value, 0).expect("a record");
    }
    let out = driver.output::<String, String>("out").read_values(&mut driver);
    out.into_iter().map(Option::unwrap_or_default).collect()
}

#[test]
fn an_aggregate_is_what_it_was_after_an_update_that_failed() {
    for cache_bytes in [0, 1 << 20] {
        let builder = StreamsBuilder::new();
        let add = |sum: String, value: String| match value.as_str() {
            "bad" => Err("cannot add"),
            value => Ok(sum + value),
        };
        builder.stream::<String, String>("in").group_by_key().reduce(add, "sums").to_stream().to("out");
        assert_eq!(run(&builder, cache_bytes, &["a", "bad", "b"]), ["a", "ab"], "cache of {cache_bytes}");
    }
}

#[test]
fn a_table_takes_a_row_in_and_out_or_neither() {
    let builder = StreamsBuilder::new();
    let rows = builder.table::<String, String>("in", ());
    let add = |_: &String, row: String, sum: String| match row.as_str() {
        "bad" => Err(std::io::Error::other("cannot add")),
        row => Ok(sum + row),
    };
    let subtract = |_: &String, row: String, sum: String| sum.replace(&row, "");
    let groups = rows.group_by(|_, row| ("all".to_owned(), row.clone()), ());
    groups.aggregate(String::new, add, subtract, "sums").to_stream().to("out");
    assert_eq!(run(&builder, 0, &["a", "bad"]), ["a"]);
    assert_eq!(run(&builder, 1 << 20, &["a", "bad", "c"]), ["a", "ac"], "a is still there: bad was never in");
}

#[test]
fn closures_of_every_kind_may_fail() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in");
    let kept = stream.filter(|_, value| if value == "bad" { Err("of its name") } else { Ok(true) });
    let numbers = kept.try_map_values(|value| value.parse::<i64>());
    let twice =
        numbers.try_flat_map_values(|number| if number < 0 { Err("negative".to_owned()) } else { Ok([number; 2]) });
    twice.map_values(|number| number.to_string()).to("out");
    assert_eq!(run(&builder, 0, &["1", "bad", "x", "-3", "2"]), ["1", "1", "2", "2"]);
}

/// Sends each value on to the child that its first letter names, with how often it came.
struct ByLetter {
    seen: StoreRef<KeyValue<String, i64>>,
}

impl Processor for ByLetter {
    type In = (String, String);
    type Out = (String, i64);

    fn process(&mut self, ctx: &mut Ctx<Self>, record: Record<String, String>) -> ProcessResult {
        let Some(value) = record.value.clone() else { return Ok(()) };
        let seen = ctx.store(self.seen);
        let count = seen.get(&value)?.unwrap_or(0) + 1;
        seen.put(&value, count)?;
        ctx.forward_to(&value[..1], record.with_pair(Some(value.clone()), Some(count)))
    }
}

fn by_letter(builder: &StreamsBuilder, connected: bool) {
    let seen = builder.add_store(Stores::key_value::<String, i64>("seen").in_memory());
    let stream = builder.stream::<String, String>("in");
    let make = move || ByLetter { seen };
    let counts = if connected { stream.process([seen], make) } else { stream.process((), make) };
    for letter in ["a", "b"] {
        counts.named(letter).map_values_with_key(|key, n| format!("{}{n}", key.map_or("", String::as_str))).to("out");
    }
}

#[test]
fn a_processor_has_its_store_and_names_its_children() {
    let builder = StreamsBuilder::new();
    by_letter(&builder, true);
    // No child is called c: that record is an error, and the handler lets the others through.
    assert_eq!(run(&builder, 0, &["a", "b", "c", "a"]), ["a1", "b1", "a2"]);
}

#[test]
fn a_store_that_is_not_connected_is_named_at_the_record_that_wants_it() {
    let builder = StreamsBuilder::new();
    by_letter(&builder, false);
    let topology = builder.build().expect("the topology is sound");
    let mut driver = TopologyTestDriver::with_settings(&topology, Settings::new("g"), 0).expect("it can be linked");
    let told = driver.input::<String, String>("in").pipe(&mut driver, "a", "a", 0);
    let told = told.expect_err("there is no such store").to_string();
    assert!(told.contains("KSTREAM-PROCESSOR-0000000001 has no access to store"), "{told}");
    let foreign = StreamsBuilder::new();
    by_letter(&builder, true);
    let seen = builder.add_store(Stores::key_value::<String, i64>("other"));
    foreign.stream::<String, String>("in").process([seen], move || ByLetter { seen });
    assert!(foreign.build().is_err(), "a token of another builder");
}

/// A closure that answers with a Result where the value itself is meant is told so.
#[test]
fn a_result_as_a_value_is_explained() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").map_values(|value| value.parse::<i64>().map_err(|_| ())).to("out");
    let text = builder.build().map(drop).expect_err("nothing has a serde for a Result").to_string();
    assert!(text.contains("try_map_values"), "{text}");
}

/// Rows without another key or value stay out of the groups.
#[test]
fn rows_may_be_left_out_of_groups() {
    let builder = StreamsBuilder::new();
    let cities = builder.table::<String, String>("cities", ());
    let known = |person: &String, city: &String| ((!city.is_empty()).then(|| city.clone()), Some(person.clone()));
    cities.group_by_nullable(known, ()).count("people").to_stream().to("out");
    let config = StreamsConfig::new("app", "localhost:9092").set("statestore.cache.max.bytes", 0);
    let mut driver = TopologyTestDriver::new(&builder.build().expect("sound"), config).expect("linked");
    let input = driver.input::<String, String>("cities");
    for (person, city) in [("ann", "Rome"), ("bob", ""), ("cid", "Rome")] {
        input.pipe(&mut driver, person, city, 0).expect("piped");
    }
    let counts = driver.output::<String, i64>("out").read(&mut driver);
    assert_eq!(counts, [(Some("Rome".to_owned()), Some(1)), (Some("Rome".to_owned()), Some(2))]);
}

/// The time of a record is that in its value; a null keeps its own.
#[test]
fn times_are_taken_from_values() {
    let builder = StreamsBuilder::new();
    let consumed = Consumed::with(StringSerde, NumberSerde).timestamps_of(|at: &i64| *at);
    builder.stream_with::<String, i64>("in", consumed).to("out");
    let mut driver =
        TopologyTestDriver::new(&builder.build().expect("sound"), StreamsConfig::new("app", "h:1")).expect("linked");
    let input = driver.input::<String, i64>("in");
    input.pipe(&mut driver, "a", 42, 7).expect("piped");
    input.pipe(&mut driver, "a", None, 8).expect("piped");
    let records = driver.output::<String, i64>("out").read_records(&mut driver);
    assert_eq!(records.iter().map(|record| record.timestamp).collect::<Vec<i64>>(), [42, 8]);
}

/// Branches are found by their own names and by whole ones; a name that is none is told with those that are.
#[test]
#[should_panic(expected = "there is no branch lagre, only [\"by-0\", \"by-large\"]")]
fn branches_are_found_by_name() {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("in");
    let branches = numbers.split("by-").branch(|_, n| n.is_some_and(|n| *n > 9), "large").default_branch(());
    assert!(branches.get("large").is_some() && branches.get("by-large").is_some());
    assert!(branches.get("0").is_some() && branches.get("lagre").is_none());
    let _ = &branches["lagre"];
}
