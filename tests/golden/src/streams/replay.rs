//! A case, run and compared; and the text and internal topics of its topology.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use streams::driver::{Output, TopologyTestDriver};
use streams::state::{MemoryRows, Rows, StateError};
use streams::topology::store::Store;
use streams::{Header, Incoming, Optimization, Response, Settings, TaskError, TimestampPolicy, Topology};

use super::recording::Group;
use super::text::{Form, from_hex, hex};
use super::{Params, build};

/// The application id of all recordings.
const APPLICATION: &str = "g";
/// The record cache where a recording does not say: Kafka Streams' default.
const CACHE_BYTES: usize = 10 << 20;

fn topology(group: &Group) -> Result<Topology, String> {
    let builder = build(group.scenario(), &Params(&group.header["params"])).ok_or("unknown scenario")?;
    let rules = Optimization::parse(group.setting("topology.optimization").unwrap_or("none"));
    let rules = rules.map_err(|error| error.to_string())?;
    builder.build_optimized(&rules).map_err(|error| error.to_string())
}

/// Compares the text of the topology and the topics that it makes for itself.
pub fn describe(group: &Group) -> Result<(), String> {
    let topology = topology(group)?;
    let (found, expected) = (topology.describe(), group.header["describe"].as_str().unwrap_or_default());
    if found != expected {
        return Err(format!("describe differs\n--- Java\n{expected}\n--- here\n{found}"));
    }
    let found: BTreeMap<String, BTreeMap<String, String>> =
        topology.internal_topics(APPLICATION).into_iter().map(|topic| (topic.name, topic.config)).collect();
    let found = serde_json::to_value(&found).map_err(|error| error.to_string())?;
    let expected = &group.header["internal_topics"];
    if found != *expected {
        return Err(format!("internal topics differ\n--- Java\n{expected:#}\n--- here\n{found:#}"));
    }
    Ok(())
}

fn settings(group: &Group) -> Settings {
    let mut settings = Settings::new(APPLICATION);
    let number = |name: &str| group.setting(name).and_then(|text| text.parse::<i64>().ok());
    let continues = |name: &str| group.setting(name).is_some_and(|class| class.contains("Continue"));
    settings.max_idle_ms = number("max.task.idle.ms").unwrap_or(0);
    settings.emit_interval_windows_ms = number("__emit.interval.ms.kstreams.windowed.aggregation__").unwrap_or(1000);
    settings.emit_interval_joins_ms =
        number("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__").unwrap_or(1000);
    settings.dead_letters = group.setting("errors.dead.letter.queue.topic.name").map(str::to_owned);
    if continues("processing.exception.handler") {
        settings.on_processing = Some(std::sync::Arc::new(|_| Response::Continue));
    }
    if continues("deserialization.exception.handler") {
        settings.on_deserialization = Some(std::sync::Arc::new(|_| Response::Continue));
    }
    if group.setting("default.timestamp.extractor").is_some_and(|class| class.ends_with("LogAndSkipOnInvalidTimestamp"))
    {
        settings.timestamps = TimestampPolicy::Skip;
    }
    settings
}

/// Runs a case and says where it first differs.
pub fn replay(group: &Group, case: &Value) -> Result<(), String> {
    replay_on(group, case, |_| Ok(Box::new(|_: &Store| Ok(Box::new(MemoryRows::new()) as Box<dyn Rows>))))
}

/// Opens the rows of a store.
pub type Opener = Box<dyn FnMut(&Store) -> Result<Box<dyn Rows>, StateError>>;

/// The same with the stores on the engine that the opener of a topology's stores gives.
pub fn replay_on(
    group: &Group,
    case: &Value,
    engine: impl FnOnce(&Topology) -> Result<Opener, StateError>,
) -> Result<(), String> {
    let topology = topology(group)?;
    let mut rows = engine(&topology).map_err(|error| error.to_string())?;
    let cache = group.setting("statestore.cache.max.bytes").and_then(|text| text.parse().ok());
    let driver = TopologyTestDriver::with_rows(&topology, settings(group), cache.unwrap_or(CACHE_BYTES), &mut *rows);
    let mut driver = driver.map_err(|error| error.to_string())?;
    let steps = case["steps"].as_array().ok_or("a case has steps")?;
    for (number, step) in steps.iter().enumerate() {
        let done = run(&mut driver, group, step);
        let is_last = number + 1 == steps.len();
        match (done, case["error"].as_str().filter(|_| is_last)) {
            (Ok(()), None) => compare_step(&mut driver, group, case, number)?,
            (Err(_), Some(_)) => return Ok(()),
            (Ok(()), Some(error)) => return Err(format!("step {number}: no error, but Java has {error}")),
            (Err(error), None) => return Err(format!("step {number} {step}: {error}")),
        }
    }
    compare_stores(&driver, case)?;
    let (found, expected) = (driver.dropped(), case["dropped"].as_u64().unwrap_or(0));
    if found == expected { Ok(()) } else { Err(format!("dropped {found}, but Java {expected}")) }
}

fn run(driver: &mut TopologyTestDriver, group: &Group, step: &Value) -> Result<(), TaskError> {
    if let Some(by) = step["clock"].as_u64() {
        return driver.advance_wall_clock(Duration::from_millis(by));
    }
    let topic = step["pipe"].as_str().expect("a step pipes or moves the clock");
    let [key, value] = forms(group, topic);
    let value = match step["vx"].as_str() {
        Some(bytes) => Some(from_hex(bytes)),
        None => value.bytes(&step["v"]),
    };
    let headers = step["h"].as_array().map(|headers| headers.iter().map(header).collect());
    let timestamp = step["ts"].as_i64().expect("a record has a time");
    let headers = headers.unwrap_or_default();
    driver.pipe(topic, Incoming { offset: 0, timestamp, key: key.bytes(&step["k"]), value, headers })
}

fn header(pair: &Value) -> Header {
    (pair[0].as_str().unwrap_or_default().to_owned(), pair[1].as_str().map(from_hex))
}

/// The forms of keys and values of a topic; internal ones are bytes.
fn forms(group: &Group, topic: &str) -> [Form; 2] {
    match group.header["topics"][topic].as_array() {
        Some(names) => [0, 1].map(|at| Form::named(names[at].as_str().unwrap_or_default())),
        None => [Form::Bytes, Form::Bytes],
    }
}

fn compare_step(driver: &mut TopologyTestDriver, group: &Group, case: &Value, number: usize) -> Result<(), String> {
    let mut outputs = driver.take_outputs();
    outputs.sort_by(|left, right| left.topic.cmp(&right.topic));
    let prefix = format!("{APPLICATION}-");
    let (internal, users): (Vec<Output>, Vec<Output>) =
        outputs.into_iter().partition(|output| output.topic.starts_with(&prefix));
    for (kind, found) in [("out", users), ("internal", internal)] {
        let found: Vec<Value> = found.iter().map(|output| shown(group, output)).collect();
        let expected = case[kind][number].as_array().cloned().unwrap_or_default();
        if !same(group, &found, &expected) {
            let texts = |values: &[Value]| values.iter().map(|value| format!("  {value}\n")).collect::<String>();
            let step = &case["steps"][number];
            return Err(format!(
                "step {number} {step}: {kind} differs\n Java\n{} here\n{}",
                texts(&expected),
                texts(&found)
            ));
        }
    }
    Ok(())
}

/// Equal in order, but for topics that have none.
fn same(group: &Group, found: &[Value], expected: &[Value]) -> bool {
    let unordered = group.header["unordered"].as_array().cloned().unwrap_or_default();
    let arranged = |values: &[Value]| {
        let (mut free, fixed): (Vec<Value>, Vec<Value>) =
            values.iter().cloned().partition(|value| unordered.contains(&value["t"]));
        free.sort_by_key(Value::to_string);
        (free, fixed)
    };
    arranged(found) == arranged(expected)
}

fn shown(group: &Group, output: &Output) -> Value {
    let mut map = Map::new();
    let [key, value] = forms(group, &output.topic);
    map.insert("t".to_owned(), output.topic.clone().into());
    key.write("k", output.key.as_ref(), &mut map);
    value.write("v", output.value.as_ref(), &mut map);
    map.insert("ts".to_owned(), output.timestamp.map_or(Value::Null, Value::from));
    if !output.headers.is_empty() {
        let shown = |(name, value): &(String, Option<Bytes>)| {
            // The text of a stack is a language's own.
            let value = match (name.as_str(), value) {
                ("__streams.errors.stacktrace", _) => "*".into(),
                (_, value) => value.as_ref().map_or(Value::Null, |value| hex(value).into()),
            };
            Value::from(vec![Value::from(name.as_str()), value])
        };
        map.insert("h".to_owned(), output.headers.iter().map(shown).collect());
    }
    Value::Object(map)
}

fn compare_stores(driver: &TopologyTestDriver, case: &Value) -> Result<(), String> {
    let Some(stores) = case["stores"].as_object() else { return Ok(()) };
    for (name, expected) in stores {
        let rows = driver.rows(name).map_err(|error| error.to_string())?;
        let rows = rows.ok_or_else(|| format!("there is no store {name}"))?;
        let found: Vec<Value> =
            rows.iter().map(|(key, value)| vec![Value::from(hex(key)), hex(value).into()].into()).collect();
        if Value::from(found.clone()) != *expected {
            let found = Value::from(found);
            return Err(format!("store {name} differs\n Java {expected}\n here {found}"));
        }
    }
    Ok(())
}
