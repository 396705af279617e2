//! What the recorded scenarios do not show of stream-stream joins: stores made anew out of their changelogs, and one
//! stream as both sides without the optimisation.

use std::time::Duration;

use crate::driver::{Output, TopologyTestDriver};
use crate::dsl::windows::JoinWindows;
use crate::graph::Optimization;
use crate::serde::Part;
use crate::task::Settings;
use crate::{KStream, StreamsBuilder, Topology};

type Text = KStream<String, String>;

fn within(difference_ms: u64, grace_ms: u64) -> JoinWindows {
    JoinWindows::of_time_difference_and_grace(Duration::from_millis(difference_ms), Duration::from_millis(grace_ms))
}

fn shown(side: Option<&String>) -> &str {
    side.map_or("-", String::as_str)
}

fn outer_join() -> Topology {
    let b = StreamsBuilder::new();
    let (left, right): (Text, Text) = (b.stream("L"), b.stream("R"));
    let join = |l: Option<&String>, r: Option<&String>| format!("{}+{}", shown(l), shown(r));
    left.outer_join(&right, join, within(10, 5), ()).to("out");
    b.build().expect("the topology is sound")
}

fn driver(topology: &Topology) -> TopologyTestDriver {
    let mut settings = Settings::new("app");
    settings.emit_interval_joins_ms = 0;
    TopologyTestDriver::with_settings(topology, settings, 0).expect("the topology can be linked")
}

fn pipe(driver: &mut TopologyTestDriver, topic: &str, key: &str, value: &str, timestamp: i64) {
    driver.input::<String, String>(topic).pipe(driver, key, value, timestamp).expect("the record is sound");
}

/// What was written to the user's topic, and what to changelogs.
fn split(driver: &mut TopologyTestDriver) -> (Vec<String>, Vec<Output>) {
    let (users, logged): (Vec<Output>, Vec<Output>) =
        driver.take_outputs().into_iter().partition(|output| output.topic == "out");
    let text = |output: Output| {
        let value = output.value.expect("joins have values");
        format!("{}@{}", String::from_utf8_lossy(&value), output.timestamp.unwrap_or(-1))
    };
    (users.into_iter().map(text).collect(), logged)
}

#[test]
fn stores_restored_from_their_changelogs_go_on_where_they_were() {
    let topology = outer_join();
    let mut first = driver(&topology);
    pipe(&mut first, "L", "a", "l1", 0);
    pipe(&mut first, "L", "a", "l2", 0);
    pipe(&mut first, "R", "b", "r1", 3);
    pipe(&mut first, "L", "b", "l3", 4);
    pipe(&mut first, "R", "c", "r2", 5);
    let (out, logged) = split(&mut first);
    assert_eq!(out, ["l3+r1@4"]);

    let mut second = driver(&topology);
    let names = second.stores().expect("there is a task").names().to_vec();
    assert_eq!(names.len(), 3, "two windows, and what waits: {names:?}");
    for record in logged {
        let store = names.iter().find(|name| record.topic == format!("app-{name}-changelog"));
        let stores = second.stores().expect("there is a task");
        let held = stores.held(store.expect("changelogs are of stores")).expect("it was named");
        let key = record.key.expect("rows have keys");
        let (key, value) = (Part::of(&key, &key), record.value.as_ref().map(|value| Part::of(value, value)));
        held.task.restore(key, value, record.timestamp.unwrap_or(-1)).expect("rows are sound");
    }
    for name in &names {
        assert_eq!(first.rows(name).expect("sound"), second.rows(name).expect("sound"), "{name}");
    }
    // Joins with what was kept, and lets go on what waited.
    for driver in [&mut first, &mut second] {
        pipe(driver, "R", "a", "r3", 6);
        pipe(driver, "L", "x", "l4", 100);
        assert_eq!(split(driver).0, ["l1+r3@6", "l2+r3@6", "-+r2@5"]);
    }
}

#[test]
fn one_stream_as_both_sides_meets_itself_once_optimised_or_not() {
    let b = StreamsBuilder::new();
    let stream: Text = b.stream("in");
    let windows = within(3, 0).before(Duration::from_millis(7));
    stream.join(&stream, |l: &String, r: &String| format!("{l}+{r}"), windows, ()).to("out");
    let mut results = Vec::new();
    for rules in [&Optimization::ALL[..], &[]] {
        let mut driver = driver(&b.build_optimized(rules).expect("the topology is sound"));
        for (value, timestamp) in [("a", 10), ("b", 12), ("c", 6), ("d", 12), ("e", 18)] {
            pipe(&mut driver, "in", "k", value, timestamp);
        }
        results.push(split(&mut driver).0);
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0].iter().filter(|text| text.starts_with("a+a")).count(), 1);
}
