//! Every line of `tests/golden/streams/bytes.jsonl`: what is written here is what Kafka Streams 4.3.1 wrote, and is read back.
//! Beside it: nothing that is read panics, and what cannot be is refused.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::record::{Header, Window, Windowed};
use crate::serde::{NumberSerde, Serde};

/// How many lines the file has: a line that is not looked at is an error.
const LINES: usize = 580;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

struct Input<'a>(&'a Value);

impl Input<'_> {
    fn text(&self, field: &str) -> Option<Vec<u8>> {
        self.0[field].as_str().map(|text| text.as_bytes().to_vec())
    }

    fn bytes(&self, field: &str) -> Bytes {
        Bytes::from(self.text(field).expect("a text"))
    }

    fn maybe(&self, field: &str) -> Option<Bytes> {
        self.text(field).map(Bytes::from)
    }

    fn number(&self, field: &str) -> i64 {
        self.0[field].as_i64().expect("a number")
    }

    fn small(&self, field: &str) -> i32 {
        i32::try_from(self.number(field)).expect("a small number")
    }

    fn headers(&self) -> Vec<Header> {
        let headers = self.0["h"].as_array().map_or(&[][..], Vec::as_slice);
        let value = |value: &Value| value.as_str().map(|value| Bytes::from(hex(value)));
        headers.iter().map(|h| (h[0].as_str().expect("a name").to_owned(), value(&h[1]))).collect()
    }

    fn window(&self) -> Window {
        Window { start: self.number("start"), end: self.number("end") }
    }

    fn hash(&self) -> Option<foreign::ValueHash> {
        self.text("left_value").map(|value| murmur3::hash128(&value))
    }

    fn side(&self) -> join::JoinSide {
        if self.0["side"] == "left" { join::JoinSide::Left } else { join::JoinSide::Right }
    }

    fn context(&self) -> buffer::RecordContext {
        buffer::RecordContext {
            timestamp: self.number("ts"),
            offset: self.number("offset"),
            topic: self.0["topic"].as_str().expect("a topic").to_owned(),
            partition: self.small("partition"),
            headers: self.headers(),
        }
    }
}

#[test]
fn all_bytes_are_javas() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/streams/bytes.jsonl");
    let mut lines = 0;
    for line in std::fs::read_to_string(file).expect("the byte goldens").lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let (name, input) = (line["name"].as_str().expect("a name"), Input(&line["in"]));
        let expected = line["hex"].as_str().map(hex);
        let found = keys(name, &input, expected.clone())
            .or_else(|| plain(name, &input))
            .or_else(|| values(name, &input))
            .or_else(|| joins(name, &input))
            .or_else(|| metadata(name, &input));
        assert_eq!(found.unwrap_or_else(|| panic!("{name} is not looked at")), expected, "{line}");
        lines += 1;
    }
    assert_eq!(lines, LINES);
}

fn keys(name: &str, input: &Input, expected: Option<Vec<u8>>) -> Option<Option<Vec<u8>>> {
    let mut out = Vec::new();
    let row = Bytes::from(expected.unwrap_or_default());
    let window_key =
        || window::WindowKey { key: input.bytes("key"), start: input.number("start"), sequence: input.small("seq") };
    let session_key = || Windowed { key: input.bytes("key"), window: input.window() };
    match name {
        "time_windowed_key" => {
            window::write_topic_key(&input.bytes("key"), input.number("start"), &mut out);
            let (key, start) = window::read_topic_key(row).expect("a key");
            assert_eq!((&key, window::window(start, 10)), (&input.bytes("key"), input.window()));
        }
        "window_store_key" => {
            window::write_store_key(&input.bytes("key"), input.number("start"), input.small("seq"), &mut out);
            assert_eq!(window::read_store_key(row), Ok(window_key()));
        }
        "window_store_key_time_first" => {
            window::write_time_first_key(&input.bytes("key"), input.number("start"), input.small("seq"), &mut out);
            assert_eq!(window::read_time_first_key(row), Ok(window_key()));
        }
        "window_store_key_index" => {
            window::write_index_key(&input.bytes("key"), input.number("start"), input.small("seq"), &mut out);
            assert_eq!(window::read_index_key(row), Ok(window_key()));
        }
        "session_windowed_key" | "session_store_key" => {
            session::write_key(&input.bytes("key"), input.window(), &mut out);
            assert_eq!(session::read_key(row), Ok(session_key()));
        }
        "session_store_key_time_first" => {
            session::write_time_first_key(&input.bytes("key"), input.window(), &mut out);
            assert_eq!(session::read_time_first_key(row), Ok(session_key()));
        }
        "session_store_key_index" => {
            session::write_index_key(&input.bytes("key"), input.window(), &mut out);
            assert_eq!(session::read_index_key(row), Ok(session_key()));
        }
        _ => return None,
    }
    Some(Some(out))
}

fn plain(name: &str, input: &Input) -> Option<Option<Vec<u8>>> {
    let mut out = Vec::new();
    match name {
        "long" => NumberSerde.serialize(&input.number("value"), &mut out).expect("bytes"),
        "int" => NumberSerde.serialize(&input.small("value"), &mut out).expect("bytes"),
        "short" => {
            NumberSerde.serialize(&i16::try_from(input.number("value")).expect("a short"), &mut out).expect("bytes")
        }
        "double" => NumberSerde.serialize(&input.0["value"].as_f64().expect("a number"), &mut out).expect("bytes"),
        "float" => {
            NumberSerde.serialize(&(input.0["value"].as_f64().expect("a number") as f32), &mut out).expect("bytes")
        }
        // Java's UUIDSerializer writes the text.
        "uuid" => out = input.text("value").expect("a text"),
        "boolean" => out.push(u8::from(input.0["value"] == true)),
        "list_string" => {
            let entries: Vec<Option<Vec<u8>>> =
                entries(input).iter().map(|entry| entry.as_str().map(|text| text.as_bytes().to_vec())).collect();
            list::write_list(entries.iter().map(Option::as_deref), &mut out);
            let read = list::read_list(Bytes::from(out.clone()), None).expect("a list");
            assert_eq!(read, entries.iter().map(|entry| entry.clone().map(Bytes::from)).collect::<Vec<_>>());
            if entries.iter().all(Option::is_some) {
                let mut appended = Bytes::from_static(&[1, 0, 0, 0, 0]);
                for entry in entries.iter().flatten() {
                    appended = list::append(Some(&appended), entry).expect("a list");
                }
                assert_eq!(appended, out);
            }
        }
        "list_int" => {
            let number = |entry: &Value| entry.as_i64().map(|number| (number as i32).to_be_bytes());
            let entries: Vec<Option<[u8; 4]>> = entries(input).iter().map(number).collect();
            let slices: Vec<Option<&[u8]>> = entries.iter().map(|entry| entry.as_ref().map(|e| &e[..])).collect();
            list::write_list_of_one_length(&slices, &mut out);
            let read = list::read_list(Bytes::from(out.clone()), Some(4)).expect("a list");
            assert_eq!(read.iter().map(Option::as_deref).collect::<Vec<_>>(), slices);
        }
        "murmur2" => {
            out.extend_from_slice(&millstream_protocol::murmur2::murmur2(&input.bytes("value")).to_be_bytes());
        }
        "murmur3_128" => {
            murmur3::hash128(&input.bytes("value")).iter().for_each(|half| out.extend_from_slice(&half.to_be_bytes()));
        }
        _ => return None,
    }
    Some(Some(out))
}

fn entries<'a>(input: &Input<'a>) -> &'a [Value] {
    input.0["value"].as_array().expect("a list")
}

fn values(name: &str, input: &Input) -> Option<Option<Vec<u8>>> {
    let mut out = Vec::new();
    match name {
        "timestamped_value" => {
            value::write_timestamped(input.number("ts"), &input.bytes("value"), &mut out);
            let read = value::read_timestamped(Bytes::from(out.clone()));
            assert_eq!(read, Ok((input.number("ts"), input.bytes("value"))));
        }
        "timestamped_value_with_headers" => {
            let (timestamp, text) = (input.number("ts"), input.bytes("value"));
            value::write_timestamped_with_headers(timestamp, &input.headers(), &text, &mut out);
            let read = value::read_timestamped_with_headers(Bytes::from(out.clone()));
            assert_eq!(read, Ok((timestamp, input.headers(), text)));
        }
        "aggregation_with_headers" => {
            value::write_with_headers(&input.headers(), &input.bytes("value"), &mut out);
            let read = value::read_with_headers(Bytes::from(out.clone()));
            assert_eq!(read, Ok((input.headers(), input.bytes("value"))));
        }
        "change" => {
            assert!(change::write(input.maybe("new").as_deref(), input.maybe("old").as_deref(), &mut out));
            let read = change::read(Bytes::from(out.clone())).expect("a change");
            assert_eq!((read.new, read.old, read.latest), (input.maybe("new"), input.maybe("old"), true));
        }
        "record_context" => {
            input.context().write(&mut out);
            assert_eq!(buffer::RecordContext::read(Bytes::from(out.clone())), Ok(input.context()));
        }
        "suppress_buffer_value" => {
            let (prior, old, new) = (input.maybe("prior"), input.maybe("old"), input.maybe("new"));
            let value = buffer::BufferValue { prior, old, new, context: Input(&input.0["context"]).context() };
            value.write_with_time(input.number("time"), &mut out);
            let read = buffer::BufferValue::read_with_time(Bytes::from(out.clone()));
            assert_eq!(read, Ok((value.clone(), input.number("time"))));
            assert_eq!(buffer::BufferValue::read(Bytes::from(out[..out.len() - 8].to_vec())), Ok(value));
        }
        "versioned_segment_row" => {
            let mut versions: Option<versioned::Versions> = None;
            for version in input.0["versions"].as_array().expect("versions") {
                let version = Input(version);
                let (from, to, value) = (version.number("from"), version.number("to"), version.maybe("value"));
                match &mut versions {
                    None => versions = Some(versioned::Versions::of(value, from, to)),
                    Some(versions) => versions.insert_as_latest(from, to, value),
                }
            }
            let versions = versions.expect("a version");
            out = versions.write().to_vec();
            assert_eq!(versioned::Versions::read(Bytes::from(out.clone())), Ok(versions));
        }
        _ => return None,
    }
    Some(Some(out))
}

fn joins(name: &str, input: &Input) -> Option<Option<Vec<u8>>> {
    let mut out = Vec::new();
    match name {
        "join_side_key" => {
            join::write_key(input.number("ts"), input.side(), &input.bytes("key"), &mut out);
            let read = join::read_key(Bytes::from(out.clone()));
            assert_eq!(read, Ok((input.number("ts"), input.side(), input.bytes("key"))));
        }
        "join_side_value" => {
            join::write_value(input.side(), &input.bytes("value"), &mut out);
            assert_eq!(join::read_value(Bytes::from(out.clone())), Ok((input.side(), input.bytes("value"))));
        }
        "foreign_combined_key" => {
            foreign::write_combined_key(&input.bytes("foreign"), &input.bytes("primary"), &mut out);
            let read = foreign::read_combined_key(Bytes::from(out.clone()));
            assert_eq!(read, Ok((input.bytes("foreign"), input.bytes("primary"))));
        }
        "foreign_prefix" => foreign::write_prefix(&input.bytes("foreign"), &mut out),
        "foreign_subscription" => {
            let subscription = foreign::Subscription {
                version: u8::try_from(input.number("version")).expect("a version"),
                instruction: match input.0["instruction"].as_str().expect("an instruction") {
                    "DELETE_KEY_NO_PROPAGATE" => foreign::Instruction::DeleteNoPropagate,
                    "DELETE_KEY_AND_PROPAGATE" => foreign::Instruction::DeleteAndPropagate,
                    "PROPAGATE_NULL_IF_NO_FK_VAL_AVAILABLE" => foreign::Instruction::PropagateNullIfNoForeignValue,
                    _ => foreign::Instruction::PropagateOnlyIfForeignValue,
                },
                hash: input.hash(),
                primary_key: input.bytes("primary_key"),
                primary_partition: input.0["primary_partition"].as_i64().map(|partition| partition as i32),
            };
            subscription.write(&mut out);
            assert_eq!(foreign::Subscription::read(Bytes::from(out.clone())), Ok(subscription));
        }
        "foreign_response" => {
            let foreign_value = input.maybe("foreign_value");
            let response = foreign::Response { hash: input.hash(), foreign_value };
            response.write(&mut out);
            let read = foreign::Response::read(Bytes::from(out.clone())).expect("an answer");
            assert_eq!(read.hash, response.hash);
            assert_eq!(read.foreign_value.unwrap_or_default(), response.foreign_value.unwrap_or_default());
        }
        _ => return None,
    }
    Some(Some(out))
}

fn metadata(name: &str, input: &Input) -> Option<Option<Vec<u8>>> {
    match name {
        "topic_partition_metadata" => {
            let processors = input.0["processors"].as_object().expect("processors");
            let number = |number: &Value| number.as_i64().expect("a number");
            let processors: BTreeMap<String, i64> = processors.iter().map(|(k, v)| (k.clone(), number(v))).collect();
            let partition_time = input.number("partition_time");
            let metadata = partition_metadata::PartitionMetadata { partition_time, processors };
            let text = metadata.encode();
            assert_eq!(partition_metadata::PartitionMetadata::decode(&text), Ok(metadata));
            Some(Some(text.into_bytes()))
        }
        "checkpoint_file" => {
            let line = |line: &Value| checkpoint::Line {
                topic: line["topic"].as_str().expect("a topic").to_owned(),
                partition: line["partition"].as_i64().expect("a partition") as i32,
                offset: line["offset"].as_i64().expect("an offset"),
            };
            let lines: Vec<_> = input.0["offsets"].as_array().expect("offsets").iter().map(line).collect();
            let text = checkpoint::write(&lines);
            if let Some(text) = &text {
                assert_eq!(checkpoint::read(text), Ok(lines));
            }
            Some(text.map(String::into_bytes))
        }
        _ => None,
    }
}

#[test]
fn metadata_of_other_versions() {
    use partition_metadata::PartitionMetadata;
    assert_eq!(PartitionMetadata::decode(""), Ok(PartitionMetadata::default()));
    // Version 1 had the time only.
    let first = PartitionMetadata { partition_time: 5, processors: BTreeMap::new() };
    assert_eq!(PartitionMetadata::decode("AQAAAAAAAAAF"), Ok(first.clone()));
    assert!(PartitionMetadata::decode("AwAAAAAAAAAF").is_err());
    assert!(PartitionMetadata::decode("not base64").is_err());
    let mut merged = first;
    for number in [3, 7, 5] {
        let other = PartitionMetadata { partition_time: 9, processors: BTreeMap::from([("p".to_owned(), number)]) };
        merged.merge(&other);
    }
    assert_eq!((merged.partition_time, merged.processors["p"]), (5, 7));
}

#[test]
fn checkpoint_files_that_are_none() {
    for text in ["", "1\n0\n", "0\nx\n", "0\n2\na 1 2\n", "0\n1\na 1\n", "0\n1\na x 2\n"] {
        assert!(checkpoint::read(text).is_err(), "{text:?}");
    }
    assert_eq!(checkpoint::read("0\n1\na 1 -7\n"), Ok(Vec::new()));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), text in ".{0,40}") {
        let bytes = Bytes::from(bytes);
        let _ = window::read_topic_key(bytes.clone());
        let _ = window::read_store_key(bytes.clone());
        let _ = window::read_time_first_key(bytes.clone());
        let _ = window::read_index_key(bytes.clone());
        let _ = session::read_key(bytes.clone());
        let _ = session::read_time_first_key(bytes.clone());
        let _ = session::read_index_key(bytes.clone());
        let _ = value::read_timestamped(bytes.clone());
        let _ = value::read_timestamped_with_headers(bytes.clone());
        let _ = value::read_with_headers(bytes.clone());
        let _ = list::read_list(bytes.clone(), None);
        let _ = list::read_list(bytes.clone(), Some(4));
        let _ = list::append(Some(&bytes), b"a");
        let _ = change::read(bytes.clone());
        let _ = join::read_key(bytes.clone());
        let _ = join::read_value(bytes.clone());
        let _ = foreign::read_combined_key(bytes.clone());
        let _ = foreign::Subscription::read(bytes.clone());
        let _ = foreign::Response::read(bytes.clone());
        let _ = buffer::RecordContext::read(bytes.clone());
        let _ = buffer::BufferValue::read_with_time(bytes.clone());
        let _ = versioned::Versions::read(bytes);
        let _ = checkpoint::read(&text);
        let _ = partition_metadata::PartitionMetadata::decode(&text);
    }
}
