//! Bytes of serdes: those that Kafka's own serializers gave, and what each refuses.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<T>(serde: &dyn Serde<T>, value: &T) -> String {
    let mut out = Vec::new();
    serde.serialize(value, &mut out).expect("it has bytes");
    let back = serde.deserialize(Bytes::from(out.clone())).expect("it is read again");
    let mut again = Vec::new();
    serde.serialize(&back, &mut again).expect("it has bytes");
    assert_eq!(again, out, "what was written is read again");
    hex(&out)
}

/// What Java gave for the inputs of one name.
fn golden(name: &str) -> Vec<(Value, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/streams/bytes.jsonl");
    let text = std::fs::read_to_string(path).expect("the byte goldens are in the repository");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    let found: Vec<(Value, String)> = lines
        .filter(|line| line["name"] == name)
        .map(|line| (line["in"].clone(), line["hex"].as_str().unwrap_or_default().to_owned()))
        .collect();
    assert!(!found.is_empty(), "goldens of {name}");
    found
}

#[test]
fn uuids_booleans_and_lists_have_javas_bytes() {
    for (input, hex) in golden("uuid") {
        let uuid = Uuid::try_parse(input["value"].as_str().expect("a text")).expect("a UUID");
        assert_eq!(bytes(&UuidSerde, &uuid), hex);
    }
    for (input, hex) in golden("boolean") {
        assert_eq!(bytes(&BoolSerde, &(input["value"] == true)), hex);
    }
    let entries = |input: &Value| input["value"].as_array().expect("a list").clone();
    for (input, hex) in golden("list_string") {
        let list: Vec<Option<String>> = entries(&input).iter().map(|entry| entry.as_str().map(str::to_owned)).collect();
        assert_eq!(bytes(&ListSerde::new(String::serde()), &list), hex);
    }
    for (input, hex) in golden("list_int") {
        let list: Vec<Option<i32>> = entries(&input)
            .iter()
            .map(|entry| entry.as_i64().map(|number| i32::try_from(number).expect("an int")))
            .collect();
        assert_eq!(bytes(&ListSerde::new(i32::serde()), &list), hex);
    }
}

#[test]
fn json_is_read_by_its_type() {
    let serde = JsonSerde::<BTreeMap<String, u32>>::new();
    let value = BTreeMap::from([("a".to_owned(), 1)]);
    assert_eq!(bytes(&serde, &value), hex(br#"{"a":1}"#));
    for bad in ["", "{", r#"{"a":"b"}"#] {
        assert!(serde.deserialize(Bytes::from(bad)).is_err(), "{bad}");
    }
}

#[test]
fn what_is_no_value_is_refused() {
    assert!(UuidSerde.deserialize(Bytes::from_static(b"1234")).is_err());
    assert!(BoolSerde.deserialize(Bytes::from_static(&[2])).is_err());
    assert!(BoolSerde.deserialize(Bytes::new()).is_err());
    let list = ListSerde::new(i32::serde());
    let read: Result<Vec<i32>, SerdeError> = list.deserialize(Bytes::from_static(&[0, 0, 0]));
    assert!(read.is_err());
    assert_eq!(
        Serde::<i64>::deserialize(&NumberSerde, Bytes::from_static(b"123")).map_err(|error| error.to_string()),
        Err("Size of data received by LongDeserializer is not 8".to_owned())
    );
}

#[test]
fn a_text_is_a_slice_of_what_it_was_read_from() {
    let buffer = Bytes::from_static("gr\u{fc}\u{df}e an alle".as_bytes());
    let line = StrSerde.deserialize(buffer.slice(0..9)).expect("any bytes are a text");
    assert_eq!((line.as_str(), line.as_ptr()), ("gr\u{fc}\u{df}e a", buffer.as_ptr()));
    let word = line.slice_ref(line.split(' ').next().expect("a word"));
    assert_eq!((&word, word.as_ptr()), (&Str::from("gr\u{fc}\u{df}e"), buffer.as_ptr()));
    assert_eq!(bytes(&StrSerde, &word), bytes(&StringSerde, &word.to_string()));
    // A cut within a character.
    let broken = StrSerde.deserialize(buffer.slice(0..3)).expect("what is no UTF-8 is replaced");
    assert_eq!(broken, StringSerde.deserialize(buffer.slice(0..3)).expect("as in a String").as_str());
    let counts = std::collections::HashMap::from([(word, 1)]);
    assert_eq!(counts.get("gr\u{fc}\u{df}e"), Some(&1), "a map of Str is asked by &str");
}

/// What is kept for long has nothing of the buffer that it was read from, and says what it weighs.
#[test]
fn what_is_held_is_a_copy() {
    let buffer = Bytes::from_static(b"a batch of records");
    let mut text = StrSerde.deserialize(buffer.slice(2..7)).expect("a text");
    let mut bytes = BytesSerde.deserialize(buffer.slice(2..7)).expect("bytes");
    assert_eq!((text.as_ptr(), bytes.as_ptr()), (buffer[2..].as_ptr(), buffer[2..].as_ptr()));
    assert_eq!((StrSerde.hold(&mut text), BytesSerde.hold(&mut bytes)), (Some(5), Some(5)));
    assert_eq!((&text, &bytes), (&Str::from("batch"), &Bytes::from_static(b"batch")));
    assert!(text.as_ptr() != buffer[2..].as_ptr() && bytes.as_ptr() != buffer[2..].as_ptr());
    let mut list = vec![StrSerde.deserialize(buffer.slice(0..1)).expect("a text"), text];
    assert_eq!(ListSerde::new(Str::serde()).hold(&mut list), Some(6));
    assert!(list[0].as_ptr() != buffer.as_ptr());
    assert_eq!(NumberSerde.hold(&mut 5_i64), None);
}

/// A serde passes the error of its format on.
#[test]
fn json_says_what_is_wrong() {
    let keys_are_lists = BTreeMap::from([(vec![1_u8], 1_u8)]);
    let refused = JsonSerde::new().serialize(&keys_are_lists, &mut Vec::new()).expect_err("no JSON has such keys");
    assert_eq!(refused.to_string(), "key must be a string");
    let malformed = JsonSerde::<u8>::new().deserialize(Bytes::from_static(b"{")).expect_err("no number");
    assert!(matches!(&malformed, SerdeError::Other(error) if error.is::<serde_json::Error>()), "{malformed}");
}
