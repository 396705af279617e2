//! Bad input, row by row: each ends the task with an error that names topic, partition and offset, unless a handler lets the
//! record pass, after which the next one is processed as ever.

use std::sync::{Arc, Mutex};

use super::super::*;
use crate::serde::{SerdeError, StringSerde};
use crate::task::errors::ErrorContext;
use crate::{Consumed, KStream, StreamsBuilder};

/// A serde whose author did not think of all bytes.
struct Careless;

impl Serde<String> for Careless {
    fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<String, SerdeError> {
        assert_ne!(bytes, "bad", "not thought of");
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Whether a handler is asked about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Handler,
    Nobody,
}

struct Row {
    topology: fn(&StreamsBuilder) -> KStream<String, String>,
    /// The bad record is this one.
    value: &'static [u8],
    timestamp: i64,
    /// What the task ends with.
    says: &'static str,
    asked: Asked,
}

fn read_with(builder: &StreamsBuilder, consumed: Consumed<String, String>) -> KStream<String, String> {
    builder.stream_with("in", consumed)
}

fn rows() -> Vec<Row> {
    let row = |topology, says, asked| Row { topology, value: b"bad", timestamp: 0, says, asked };
    vec![
        Row {
            value: b"bad bytes",
            ..row(
                |builder| builder.stream::<String, i64>("in").map_values(|number| number.to_string()),
                "deserialization failed at topic in partition 0 offset 1: Size of data received by LongDeserializer is not 8",
                Asked::Handler,
            )
        },
        row(
            |builder| read_with(builder, Consumed::with(StringSerde, Careless)),
            "deserialization failed at topic in partition 0 offset 1: assertion `left != right` failed: not thought of\n  \
             left: b\"bad\"\n right: \"bad\"",
            Asked::Handler,
        ),
        row(
            |builder| {
                let time = |value: &String| if value == "bad" { panic!("no time") } else { 0 };
                read_with(builder, Consumed::with(StringSerde, StringSerde).timestamps_of(time))
            },
            "processing panicked at topic in partition 0 offset 1: no time",
            Asked::Nobody,
        ),
        Row {
            timestamp: -5,
            ..row(
                |builder| builder.stream("in"),
                "record at topic in partition 0 offset 1 has the invalid timestamp -5",
                Asked::Nobody,
            )
        },
        row(
            |builder| {
                let fails = |value: String| if value == "bad" { Err("it is bad") } else { Ok(value) };
                builder.stream::<String, String>("in").named("fails").try_map_values(fails)
            },
            "processing failed in fails at topic in partition 0 offset 1: it is bad",
            Asked::Handler,
        ),
        row(
            |builder| {
                let panics = |value: String| if value == "bad" { panic!("it is bad") } else { value };
                builder.stream::<String, String>("in").map_values(panics)
            },
            "processing panicked at topic in partition 0 offset 1: it is bad",
            Asked::Handler,
        ),
    ]
}

/// Good, bad, good: what the task ended with, and what came out.
fn run(row: &Row, handlers: &Handlers) -> (Result<(), TaskError>, Vec<Option<Bytes>>, u64) {
    let builder = StreamsBuilder::new();
    (row.topology)(&builder).to("out");
    let topology = builder.build().expect("sound");
    let config = StreamsConfig::new("app", "localhost:9092");
    let mut driver = TopologyTestDriver::with_handlers(&topology, config, handlers).expect("it can be linked");
    let good = Incoming { value: Some(Bytes::from_static(b"8 bytes!")), ..Incoming::default() };
    let bad = Incoming { value: Some(Bytes::from_static(row.value)), timestamp: row.timestamp, ..Incoming::default() };
    let mut done = Ok(());
    for record in [good.clone(), bad, good] {
        done = driver.pipe("in", record);
        if done.is_err() {
            break;
        }
    }
    let out = driver.take_outputs().into_iter().map(|output| output.value).collect();
    (done, out, driver.dropped())
}

#[test]
fn a_bad_record_ends_the_task_with_its_place() {
    for row in rows() {
        let (done, out, _) = run(&row, &Handlers::new());
        assert_eq!(done.expect_err(row.says).to_string(), row.says);
        assert_eq!(out.len(), 1, "only what came before: {}", row.says);
    }
}

#[test]
fn a_bad_record_that_a_handler_lets_pass_is_left_out() {
    for row in rows() {
        let places: Arc<Mutex<Vec<String>>> = Arc::default();
        let (value, first, second) = (row.value, Arc::clone(&places), Arc::clone(&places));
        let pass = move |about: &ErrorContext<'_>, places: &Mutex<Vec<String>>| {
            assert_eq!(about.value.map(Bytes::as_ref), Some(value));
            places.lock().expect("no panic").push(about.place.to_string());
            Response::Continue
        };
        let handlers = Handlers::new().on_deserialization(move |about| pass(about, &first));
        let handlers = handlers.on_processing(move |about| pass(about, &second));
        let (done, out, dropped) = run(&row, &handlers);
        if row.asked == Asked::Nobody {
            let error = done.expect_err(row.says).to_string();
            assert_eq!((error.as_str(), places.lock().expect("no panic").len()), (row.says, 0));
            continue;
        }
        done.expect("it passes");
        assert_eq!(*places.lock().expect("no panic"), ["topic in partition 0 offset 1"], "{}", row.says);
        assert_eq!((out.len(), dropped), (2, 1), "{}", row.says);
        assert_eq!(out[0], out[1], "{}", row.says);
    }
}
