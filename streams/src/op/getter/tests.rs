//! Joins that look into tables which no store has as they are.

use std::sync::Arc;
use std::time::Duration;

use crate::StreamsBuilder;
use crate::driver::TopologyTestDriver;
use crate::dsl::materialized::Materialized;
use crate::dsl::suppressed::{Buffer, Suppressed};
use crate::dsl::table::KTable;
use crate::dsl::windows::{SessionWindows, TimeWindows};
use crate::record::Windowed;
use crate::serde::{Serde, SessionWindowedSerde, StringSerde, TimeWindowedSerde};
use crate::task::Settings;

type Rows = KTable<String, String>;

fn table(builder: &StreamsBuilder, topic: &str) -> Rows {
    builder.table(topic, ())
}

fn both(left: &String, right: &String) -> String {
    format!("{left}+{right}")
}

/// Pipes records `topic key value time` (`-` is a null) and gives what comes out as `key=value`.
fn run(builder: &StreamsBuilder, cache: usize, records: &[&str]) -> Vec<String> {
    run_with(builder, cache, records, StringSerde, |key: String| key)
}

fn run_with<K>(
    builder: &StreamsBuilder,
    cache: usize,
    records: &[&str],
    serde: impl Serde<K> + 'static,
    text: impl Fn(K) -> String,
) -> Vec<String> {
    let topology = builder.build().expect("the topology is sound");
    let mut driver = TopologyTestDriver::with_settings(&topology, Settings::new("app"), cache).expect("it links");
    let mut output = driver.output_with("out", serde, StringSerde);
    let mut seen = Vec::new();
    for record in records {
        let parts: Vec<&str> = record.split(' ').collect();
        let [topic, key, value, time] = parts.as_slice() else { panic!("{record} has four parts") };
        let some = |part: &str| (part != "-").then(|| part.to_owned());
        let (key, value) = (some(key), some(value));
        let time = time.parse().expect("a time");
        driver.input::<String, String>(topic).pipe(&mut driver, key, value, time).expect("it is processed");
        for (key, value) in output.read(&mut driver) {
            let key = key.map(&text).unwrap_or_default();
            seen.push(format!("{key}={}", value.unwrap_or_else(|| "-".to_owned())));
        }
    }
    seen
}

const CACHES: [usize; 2] = [0, 1 << 20];

#[test]
fn a_stream_joins_a_table_as_it_was_filtered_and_mapped() {
    for cache in CACHES {
        let builder = StreamsBuilder::new();
        let kept = table(&builder, "R").filter(|_, value| value != "no", ());
        let mapped = kept.map_values(|value| value.to_uppercase(), ());
        builder.stream::<String, String>("L").join_table(&mapped, both, ()).to("out");
        let seen = run(&builder, cache, &["R a x 1", "L a 1 2", "R a no 3", "L a 2 4", "R a y 5", "L a 3 6"]);
        assert_eq!(seen, ["a=1+X", "a=3+Y"], "cache {cache}");
    }
}

#[test]
fn a_stream_joins_a_join_of_tables_that_is_not_kept() {
    let builder = StreamsBuilder::new();
    let joined = table(&builder, "A").left_join(
        &table(&builder, "B"),
        |a, b| format!("{a}/{}", b.map_or("none", String::as_str)),
        (),
    );
    builder.stream::<String, String>("L").join_table(&joined, both, ()).to("out");
    let seen = run(&builder, 0, &["L k 0 1", "B k b 2", "L k 1 3", "A k a 4", "L k 2 5", "B k - 6", "L k 3 7"]);
    assert_eq!(seen, ["k=2+a/b", "k=3+a/none"]);
}

#[test]
fn below_a_suppression_the_value_before_is_seen_until_the_change_goes_on() {
    let builder = StreamsBuilder::new();
    let slow =
        table(&builder, "R").suppress(Suppressed::until_time_limit(Duration::from_millis(10), Buffer::unbounded()));
    builder.stream::<String, String>("L").join_table(&slow, both, ()).to("out");
    let records = ["R a x 0", "L a 1 1", "R b z 10", "L a 2 11", "R a y 12", "L a 3 13", "R c z 22", "L a 4 23"];
    assert_eq!(run(&builder, 0, &records), ["a=2+x", "a=3+x", "a=4+y"]);
}

fn counts(table: &KTable<Windowed<String>, i64>) -> KTable<Windowed<String>, String> {
    table.map_values(|count| count.to_string(), ())
}

fn shown(key: Windowed<String>) -> String {
    format!("{}@{}", key.key, key.window.start)
}

#[test]
fn tables_of_windows_join_by_key_and_window() {
    let windows = TimeWindows::of_size_and_grace(Duration::from_millis(10), Duration::ZERO);
    for cache in CACHES {
        let builder = StreamsBuilder::new();
        let count = |topic| builder.stream::<String, String>(topic).group_by_key().windowed_by(windows).count(());
        let (left, right) = (counts(&count("L")), counts(&count("R")));
        let serde = || TimeWindowedSerde::new(Arc::new(StringSerde), Duration::from_millis(10));
        let produced = crate::dsl::options::Produced::with(serde(), StringSerde);
        left.join(&right, both, ()).to_stream().to_with("out", produced);
        let records = ["L a x 1", "R a x 2", "R a x 3", "R a x 11", "L a x 12"];
        let seen = run_with(&builder, cache, &records, serde(), shown);
        assert_eq!(seen, ["a@0=1+1", "a@0=1+2", "a@10=1+1"], "cache {cache}");
    }
}

#[test]
fn tables_of_sessions_join_by_key_and_session() {
    let windows = SessionWindows::of_inactivity_gap_and_grace(Duration::from_millis(5), Duration::ZERO);
    for cache in CACHES {
        let builder = StreamsBuilder::new();
        let count = |topic| builder.stream::<String, String>(topic).group_by_key().windowed_by(windows).count(());
        let (left, right) = (counts(&count("L")), counts(&count("R")));
        let serde = || SessionWindowedSerde::new(Arc::new(StringSerde));
        let produced = crate::dsl::options::Produced::with(serde(), StringSerde);
        left.join(&right, both, ()).to_stream().to_with("out", produced);
        // The second session of L is no session of R.
        let seen = run_with(&builder, cache, &["L a x 1", "R a x 1", "L a x 20", "R a x 21"], serde(), shown);
        assert_eq!(seen, ["a@1=1+1"], "cache {cache}");
    }
}

#[test]
fn a_kept_filter_sends_no_deletion_of_what_it_never_had() {
    for cache in CACHES {
        let builder = StreamsBuilder::new();
        let kept = table(&builder, "in").filter(|_, value| value != "no", Materialized::named("kept"));
        let joined = kept.outer_join(&table(&builder, "other"), |left, _| left.cloned().unwrap_or_default(), ());
        joined.to_stream().to("out");
        let seen = run(&builder, cache, &["in a no 1", "in a x 2", "in a no 3", "in a no 4"]);
        assert_eq!(seen, ["a=x", "a=-"], "cache {cache}");
    }
}
