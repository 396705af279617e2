//! What a plan refuses, and how names shift no others.

use std::time::Duration;

use crate::dsl::materialized::Materialized;
use crate::dsl::options::Repartitioned;
use crate::dsl::suppressed::{Buffer, Suppressed};
use crate::dsl::windows::JoinWindows;
use crate::graph::Optimization;
use crate::{KStream, KTable, Stores, StreamsBuilder, TopologyError, Windowed};

fn text(builder: &StreamsBuilder, topic: &str) -> KStream<String, String> {
    builder.stream(topic)
}

fn rows(builder: &StreamsBuilder, topic: &str) -> KTable<String, String> {
    builder.table(topic, ())
}

fn error(make: impl FnOnce(&StreamsBuilder)) -> TopologyError {
    let builder = StreamsBuilder::new();
    make(&builder);
    builder.build().err().expect("the topology is refused")
}

#[test]
fn a_topic_is_read_by_one_source() {
    let taken = error(|b| {
        text(b, "in").to("out");
        rows(b, "in");
    });
    assert_eq!(taken, TopologyError::TopicTaken("in".to_owned()));
    let overlapping = error(|b| {
        b.stream::<String, String>(["a", "b"]).to("out");
        text(b, "b").to("out");
    });
    assert_eq!(overlapping, TopologyError::OverlappingTopics("topic b".to_owned()));
}

#[test]
fn a_stream_that_is_asked_for_twice_has_one_source() {
    let builder = StreamsBuilder::new();
    text(&builder, "in").to("out1");
    text(&builder, "in").to("out2");
    let topology = builder.build().expect("the topology is sound");
    let names: Vec<&str> = topology.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["KSTREAM-SOURCE-0000000000", "KSTREAM-SINK-0000000001", "KSTREAM-SINK-0000000003"]);
}

#[test]
fn names_are_taken_once_and_fit_topics() {
    let taken = error(|b| text(b, "in").named("x").map_values(|v| v).named("x").map_values(|v| v).to("out"));
    assert_eq!(taken, TopologyError::NameTaken("x".to_owned()));
    let illegal = error(|b| text(b, "in").named("a b").map_values(|v| v).to("out"));
    assert_eq!(illegal, TopologyError::IllegalName("a b".to_owned()));
}

#[test]
fn stores_are_known_and_different() {
    let taken = error(|b| {
        b.add_store(Stores::key_value::<String, String>("s"));
        b.add_store(Stores::window::<String, String>("s", Duration::ZERO, Duration::ZERO));
    });
    assert_eq!(taken, TopologyError::StoreTaken("s".to_owned()));
    let versioned = |b: &StreamsBuilder| -> KTable<String, String> {
        b.table("in", Materialized::named("v").versioned(Duration::from_secs(1), None))
    };
    let refused = error(|b| {
        versioned(b).suppress(Suppressed::until_time_limit(Duration::ZERO, Buffer::unbounded()));
    });
    assert!(matches!(refused, TopologyError::SuppressOfVersioned(_)), "{refused}");
}

#[test]
fn only_a_window_can_close() {
    let refused = error(|b| {
        // Keys with windows, but nothing above says how long these wait.
        let rows: KTable<Windowed<String>, String> = b.table_with("in", (), ());
        rows.suppress(Suppressed::until_window_closes(Buffer::unbounded()));
    });
    assert_eq!(refused, TopologyError::NoWindow("root->KTABLE-SOURCE-0000000002".to_owned()));
}

#[test]
fn joined_topics_have_as_many_partitions() {
    let refused = error(|b| {
        let sized =
            |topic: &str, partitions| text(b, topic).repartition(Repartitioned::from(topic).partitions(partitions));
        let windows = JoinWindows::of_time_difference_and_grace(Duration::ZERO, Duration::ZERO);
        sized("l", 2).join(&sized("r", 3), |l: &String, _: &String| l.clone(), windows, ()).to("out");
    });
    let TopologyError::PartitionCounts(topics) = refused else { panic!("{refused}") };
    assert!(topics.contains("l-repartition") && topics.contains("r-repartition"), "{topics}");
}

#[test]
fn a_given_name_shifts_no_other() {
    let sink = |name: Option<&str>| {
        let builder = StreamsBuilder::new();
        let source = text(&builder, "in");
        let source = name.map_or(source.clone(), |name| source.named(name));
        source.map_values(|v| v).to("out");
        let topology = builder.build().expect("the topology is sound");
        topology.nodes().last().map(|node| node.name.clone())
    };
    assert_eq!(sink(None), Some("KSTREAM-SINK-0000000002".to_owned()));
    assert_eq!(sink(Some("given")), sink(None));
}

#[test]
fn a_plan_can_go_on_after_it_was_built() {
    let builder = StreamsBuilder::new();
    let source = text(&builder, "in");
    source.select_key(|_, v| v.clone()).group_by_key().count(()).to_stream().to("out1");
    let before = builder.build_optimized(&Optimization::ALL).expect("the topology is sound").describe();
    assert_eq!(builder.build_optimized(&Optimization::ALL).expect("still").describe(), before);
    source.to("out2");
    assert!(builder.build().expect("still").describe().contains("(topic: out2)"));
}

#[test]
fn rules_are_named_as_in_java() {
    assert_eq!(Optimization::parse("none"), Ok(Vec::new()));
    assert_eq!(Optimization::parse("all"), Ok(Optimization::ALL.to_vec()));
    let two = Optimization::parse("merge.repartition.topics, single.store.self.join");
    assert_eq!(two, Ok(vec![Optimization::MergeRepartitionTopics, Optimization::SingleStoreSelfJoin]));
    assert_eq!(Optimization::parse("some"), Err(TopologyError::UnknownOptimization("some".to_owned())));
}
