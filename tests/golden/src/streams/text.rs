//! Values as a recording writes them: JSON by the serde of a topic, or hex.

use bytes::Bytes;
use serde_json::{Value, json};

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn from_hex(text: &str) -> Bytes {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits of hex");
    (0..text.len()).step_by(2).map(digit).collect::<Vec<u8>>().into()
}

/// How the bytes of a key or value are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Long,
    Bytes,
    TimeWindowed(i64),
    SessionWindowed,
}

impl Form {
    pub(super) fn named(name: &str) -> Form {
        match name {
            "string" => Form::Text,
            "long" => Form::Long,
            "bytes" => Form::Bytes,
            "session-windowed(string)" => Form::SessionWindowed,
            other => {
                let size = other.strip_prefix("time-windowed(string,").and_then(|rest| rest.strip_suffix(')'));
                let size = size.and_then(|size| size.parse().ok());
                Form::TimeWindowed(size.unwrap_or_else(|| panic!("a known serde, not {other}")))
            }
        }
    }

    /// The bytes of a value of a step.
    pub(super) fn bytes(&self, value: &Value) -> Option<Bytes> {
        match (self, value) {
            (_, Value::Null) => None,
            (Form::Long, value) => {
                let number = value.as_i64().expect("a long");
                Some(Bytes::copy_from_slice(&number.to_be_bytes()))
            }
            (_, value) => Some(Bytes::from(value.as_str().expect("a text").to_owned())),
        }
    }

    /// What stands in an output under `name`, or `namex` for bytes.
    pub(super) fn write(&self, name: &str, bytes: Option<&Bytes>, to: &mut serde_json::Map<String, Value>) {
        let long = |at: usize, bytes: &Bytes| {
            let part: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
            i64::from_be_bytes(part)
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let value = match (self, bytes) {
            (Form::Bytes, bytes) => {
                to.insert(format!("{name}x"), bytes.map_or(Value::Null, |bytes| hex(bytes).into()));
                return;
            }
            (_, None) => Value::Null,
            (Form::Text, Some(bytes)) => text(bytes).into(),
            (Form::Long, Some(bytes)) => long(0, bytes).into(),
            (Form::TimeWindowed(size_ms), Some(bytes)) => {
                let (key, start) = (text(&bytes[..bytes.len() - 8]), long(bytes.len() - 8, bytes));
                json!({"k": key, "start": start, "end": start + size_ms})
            }
            (Form::SessionWindowed, Some(bytes)) => {
                let at = bytes.len() - 16;
                json!({"k": text(&bytes[..at]), "start": long(at + 8, bytes), "end": long(at, bytes)})
            }
        };
        to.insert(name.to_owned(), value);
    }
}
