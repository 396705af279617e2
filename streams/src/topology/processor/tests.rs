//! How records pass through linked nodes, run by the test driver.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::*;
use crate::driver::TopologyTestDriver;
use crate::dsl::options::Topics;
use crate::op::custom::{Ctx, Processor};
use crate::task::{Incoming, Settings, TaskError};
use crate::topology::{NodeKind, SourceTopics};
use crate::{KStream, StreamsBuilder};

type Seen = Arc<Mutex<Vec<String>>>;

fn stream(builder: &StreamsBuilder, topics: impl Into<Topics>) -> KStream<String, String> {
    builder.stream(topics)
}

/// Writes down what arrives, led by a name.
fn watch(stream: &KStream<String, String>, seen: &Seen, name: &'static str) {
    let seen = Arc::clone(seen);
    stream.for_each(move |_, value| {
        seen.lock().expect("one thread").push(format!("{name} {}", value.as_deref().unwrap_or("null")));
    });
}

/// Sends values, None a null, into the sources in turn, and gives what was seen.
fn run(builder: &StreamsBuilder, seen: &Seen, values: &[Option<&str>]) -> Vec<String> {
    let topology = builder.build().expect("the topology is sound");
    let topics = topology.nodes().iter().filter_map(|node| match &node.kind {
        NodeKind::Source { topics: SourceTopics::Names(names), .. } => Some(names[0].clone()),
        _ => None,
    });
    let topics: Vec<String> = topics.collect();
    let mut driver = TopologyTestDriver::with_settings(&topology, Settings::new("g"), 0).expect("it can be linked");
    for (at, value) in values.iter().enumerate() {
        let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        let record = Incoming { key: Some(Bytes::from_static(b"k")), value, ..Incoming::default() };
        driver.pipe(&topics[at % topics.len()], record).expect("no closure fails");
    }
    std::mem::take(&mut *seen.lock().expect("one thread"))
}

#[test]
fn a_record_passes_all_children_before_the_next_one() {
    let (builder, seen) = (StreamsBuilder::new(), Seen::default());
    let words =
        stream(&builder, "in").flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<String>>());
    watch(&words, &seen, "one");
    watch(&words.map_values(|word| word.to_uppercase()), &seen, "two");
    // The second child is printed before the first, as it is the larger; records go by the order of the calls.
    assert_eq!(run(&builder, &seen, &[Some("a b")]), ["one a", "two A", "one b", "two B"]);
}

#[test]
fn a_null_passes_where_each_operator_says() {
    let (builder, seen) = (StreamsBuilder::new(), Seen::default());
    let source = stream(&builder, "in");
    watch(&source.map_values(|value| value + "!"), &seen, "map");
    watch(&source.filter(|_, _| true), &seen, "filter");
    watch(&source.filter_not(|_, _| true), &seen, "filter_not");
    watch(&source.map(|_, value| (String::new(), value)), &seen, "pair");
    assert_eq!(run(&builder, &seen, &[None]), ["map null", "filter_not null"]);
    assert_eq!(run(&builder, &seen, &[Some("a")]), ["map a!", "filter a", "pair a"]);
}

#[test]
fn a_split_record_takes_the_first_way_that_holds() {
    let (builder, seen) = (StreamsBuilder::new(), Seen::default());
    let split = stream(&builder, "in").split("s-");
    let split = split.branch(|_, value| value.is_some_and(|value| value.starts_with('a')), "a");
    let branches = split.branch(|_, value| value.is_some_and(|value| value.len() == 2), "two").default_branch(());
    watch(&branches["s-a"], &seen, "a");
    watch(&branches["s-two"], &seen, "two");
    watch(&branches["s-0"], &seen, "rest");
    let found = run(&builder, &seen, &[Some("ab"), Some("bc"), Some("b"), None]);
    assert_eq!(found, ["a ab", "two bc", "rest b", "rest null"]);
}

/// Numbers the records it sees.
struct Numbered(u32);

impl Processor for Numbered {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, ctx: &mut Ctx<Self>, record: Record<String, String>) -> ProcessResult {
        self.0 += 1;
        let value = Some(self.0.to_string());
        ctx.forward(record.with_value(value))
    }
}

#[test]
fn a_child_of_two_parents_is_one_processor() {
    let (builder, seen) = (StreamsBuilder::new(), Seen::default());
    let (one, two) = (stream(&builder, "in1"), stream(&builder, "in2"));
    watch(&one.merge(&two).process_values((), || Numbered(0)), &seen, "number");
    assert_eq!(run(&builder, &seen, &[Some("a"), Some("b"), Some("c")]), ["number 1", "number 2", "number 3"]);
    // Another task has a processor of its own.
    assert_eq!(run(&builder, &seen, &[Some("d")]), ["number 1"]);
}

#[test]
fn an_error_of_a_closure_ends_the_task_and_names_the_record() {
    let builder = StreamsBuilder::new();
    let failing = stream(&builder, "in").named("fails").try_map_values(|value| match value.as_str() {
        "bad" => Err(std::fmt::Error),
        _ => Ok(value),
    });
    failing.to("out");
    let topology = builder.build().expect("the topology is sound");
    let mut driver = TopologyTestDriver::with_settings(&topology, Settings::new("g"), 0).expect("it can be linked");
    let record = |value| Incoming { value: Some(Bytes::from_static(value)), ..Incoming::default() };
    driver.pipe("in", record(b"good")).expect("a good value");
    let error = driver.pipe("in", record(b"bad")).expect_err("a bad one");
    let text = error.to_string();
    assert!(text.starts_with("processing failed in fails at topic in partition 0 offset 1"), "{text}");
    assert_eq!(driver.take_outputs().len(), 1);
}

#[test]
fn a_panic_ends_the_task() {
    let builder = StreamsBuilder::new();
    stream(&builder, "in").map_values(|_| -> String { panic!("no value is good") }).to("out");
    let topology = builder.build().expect("the topology is sound");
    let mut driver = TopologyTestDriver::with_settings(&topology, Settings::new("g"), 0).expect("it can be linked");
    let record = Incoming { value: Some(Bytes::from_static(b"v")), ..Incoming::default() };
    let error = driver.pipe("in", record).expect_err("a panic");
    assert!(matches!(&error, TaskError::Panic { cause, .. } if cause == "no value is good"), "{error}");
}
