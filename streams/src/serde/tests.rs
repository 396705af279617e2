//! Bytes of serdes: those that Kafka's own serializers gave, and what each refuses.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<T>(serde: &dyn Serde<T>, value: &T) -> String {
    let mut out = Vec::new();
    serde.serialize(value, &mut out);
    let back = serde.deserialize(Bytes::from(out.clone())).map(|back| {
        let mut again = Vec::new();
        serde.serialize(&back, &mut again);
        again
    });
    assert_eq!(back.as_ref(), Ok(&out), "what was written is read again");
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
        let list: Vec<Option<String>> =
            entries(&input).iter().map(|entry| entry.as_str().map(str::to_owned)).collect();
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
        Serde::<i64>::deserialize(&NumberSerde, Bytes::from_static(b"123"))
            .map_err(|error| error.to_string()),
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
