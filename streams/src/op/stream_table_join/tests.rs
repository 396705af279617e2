//! What the recorded scenarios do not show of joins with tables: a left join with grace, and records that still wait when
//! their buffer is made anew out of its changelog.

use std::time::Duration;

use crate::driver::TopologyTestDriver;
use crate::dsl::materialized::Materialized;
use crate::dsl::options::Joined;
use crate::serde::{Part, StringSerde};
use crate::task::Settings;
use crate::{KStream, KTable, StreamsBuilder, Topology};

type Text = KStream<String, String>;
type Rows = KTable<String, String>;

const GRACE_MS: u64 = 10;

fn versioned(b: &StreamsBuilder) -> Rows {
    b.table("R", Materialized::named("v").versioned(Duration::from_millis(200), None))
}

fn joined() -> Joined<String, String, String> {
    Joined::with(StringSerde, StringSerde, StringSerde).grace(Duration::from_millis(GRACE_MS))
}

fn left_join() -> Topology {
    let b = StreamsBuilder::new();
    let (stream, table): (Text, Rows) = (b.stream("L"), versioned(&b));
    let join = |l: &String, r: Option<&String>| format!("{l}+{}", r.map_or("-", String::as_str));
    stream.left_join_table(&table, join, joined()).to("out");
    b.build().expect("the topology is sound")
}

fn driver(topology: &Topology) -> TopologyTestDriver {
    TopologyTestDriver::with_settings(topology, Settings::new("app"), 0).expect("the topology can be linked")
}

fn pipe(driver: &mut TopologyTestDriver, topic: &str, pair: (Option<&str>, Option<&str>), timestamp: i64) {
    let (key, value) = (pair.0.map(str::to_owned), pair.1.map(str::to_owned));
    driver.input::<String, String>(topic).pipe(driver, key, value, timestamp).expect("the record is sound");
}

fn out(driver: &mut TopologyTestDriver) -> Vec<String> {
    let records = driver.take_outputs().into_iter().filter(|output| output.topic == "out");
    let text = |value: Option<bytes::Bytes>| {
        value.map_or("null".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
    };
    let shown = |output: crate::driver::Output| {
        format!("{} {}@{}", text(output.key), text(output.value), output.timestamp.unwrap_or(-1))
    };
    records.map(shown).collect()
}

#[test]
fn a_left_join_with_grace_waits_but_for_what_is_late_or_has_no_key() {
    let mut driver = driver(&left_join());
    pipe(&mut driver, "L", (Some("a"), Some("l1")), 20);
    assert!(out(&mut driver).is_empty(), "it waits");
    pipe(&mut driver, "L", (None, Some("l2")), 21);
    assert_eq!(out(&mut driver), ["null l2+-@21"]);
    pipe(&mut driver, "L", (Some("a"), Some("l3")), 9);
    assert_eq!(out(&mut driver), ["a l3+-@9"]);
    pipe(&mut driver, "L", (Some("a"), None), 22);
    assert_eq!(driver.dropped(), 1);
    // A row that comes later, but with a time before that of the record, is seen.
    pipe(&mut driver, "R", (Some("a"), Some("r1")), 15);
    pipe(&mut driver, "L", (Some("b"), Some("l4")), 30);
    assert_eq!(out(&mut driver), ["a l1+r1@20"]);
}

#[test]
fn what_waits_outlives_a_restart() {
    let topology = left_join();
    let mut first = driver(&topology);
    pipe(&mut first, "R", (Some("a"), Some("r1")), 15);
    pipe(&mut first, "R", (Some("a"), Some("r2")), 25);
    pipe(&mut first, "L", (Some("a"), Some("l1")), 20);
    pipe(&mut first, "L", (Some("a"), Some("l2")), 26);
    let logged = first.take_outputs();
    assert_eq!(logged.len(), 4);

    let mut second = driver(&topology);
    let names = second.stores().expect("there is a task").names().to_vec();
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
    pipe(&mut second, "L", (Some("b"), Some("l3")), 40);
    assert_eq!(out(&mut second), ["a l1+r1@20", "a l2+r2@26"]);
}
