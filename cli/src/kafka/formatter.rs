//! How kafka-console-consumer prints a record (Java: `DefaultMessageFormatter`, `LoggingMessageFormatter`,
//! `NoOpMessageFormatter`, `OffsetsMessageFormatter`, `GroupMetadataMessageFormatter`, `TransactionLogMessageFormatter`).
//!
//! Called by `console_consumer.rs` for each record, with a buffer that it writes out. Pure: no I/O.
//!
//! Not done: formatters of share groups; classes other than Apache's own, as there is no JVM to run them.

use std::collections::HashMap;

use serde_json::json;
use uuid::Uuid;

use crate::kafka::internal_records::{self, Internal};
use crate::kafka::{java_number, output};

/// A record to print.
pub struct Shown<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time, by whose clock it is.
    pub timestamp: (TimestampKind, i64),
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

/// Whose clock a record's time is from (Java: `TimestampType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampKind {
    /// The producer's.
    Create,
    /// The broker's.
    LogAppend,
}

/// The formatters by the names of their classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Default,
    Logging,
    NoOp,
    Offsets,
    Groups,
    Transactions,
    /// `--output json`, of whatever the default formatter would print.
    Json,
}

/// What bytes stand for (Java: the deserializers of `org.apache.kafka.common.serialization`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deserializer {
    Raw,
    Text,
    Bytes,
    Boolean,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Uuid,
    Void,
}

/// A formatter, set up.
pub struct Formatter {
    class: Class,
    timestamp: bool,
    key: bool,
    value: bool,
    partition: bool,
    offset: bool,
    delivery: bool,
    epoch: bool,
    headers: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key_deserializer: Deserializer,
    value_deserializer: Deserializer,
    headers_deserializer: Deserializer,
}

impl Formatter {
    /// The formatter of a class, with the properties of `--formatter-property`.
    ///
    /// # Errors
    /// A line for the user when the class is not known.
    pub fn new(class: &str, properties: &HashMap<String, String>) -> Result<Self, String> {
        let class = match class.rsplit('.').next().unwrap_or_default() {
            "DefaultMessageFormatter" => Class::Default,
            "LoggingMessageFormatter" => Class::Logging,
            "NoOpMessageFormatter" => Class::NoOp,
            "OffsetsMessageFormatter" => Class::Offsets,
            "GroupMetadataMessageFormatter" => Class::Groups,
            "TransactionLogMessageFormatter" => Class::Transactions,
            _ => {
                return Err(format!(
                    "there is no formatter {class}; take org.apache.kafka.tools.consumer.DefaultMessageFormatter"
                ));
            }
        };
        let class = if class == Class::Default && output::is_json() { Class::Json } else { class };
        let flag =
            |name: &str, default| properties.get(name).map_or(default, |text| text.trim().eq_ignore_ascii_case("true"));
        let bytes =
            |name: &str, default: &str| properties.get(name).map_or(default, String::as_str).as_bytes().to_vec();
        let deserializer =
            |name: &str| properties.get(name).map_or(Ok(Deserializer::Raw), |class| Deserializer::of(class));
        Ok(Formatter {
            class,
            timestamp: flag("print.timestamp", false),
            key: flag("print.key", false),
            value: flag("print.value", true),
            partition: flag("print.partition", false),
            offset: flag("print.offset", false),
            delivery: flag("print.delivery", false),
            epoch: flag("print.epoch", false),
            headers: flag("print.headers", false),
            key_separator: bytes("key.separator", "\t"),
            line_separator: bytes("line.separator", "\n"),
            headers_separator: bytes("headers.separator", ","),
            null_literal: bytes("null.literal", "null"),
            key_deserializer: deserializer("key.deserializer")?,
            value_deserializer: deserializer("value.deserializer")?,
            headers_deserializer: deserializer("headers.deserializer")?,
        })
    }

    /// Appends the record's text.
    ///
    /// # Errors
    /// A line for the user when bytes are not what the deserializer takes; what stands before them was appended.
    pub fn write(&self, record: &Shown<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        match self.class {
            Class::NoOp => return Ok(()),
            Class::Json => return self.write_json(record, out),
            Class::Offsets | Class::Groups | Class::Transactions => return self.write_internal(record, out),
            Class::Default | Class::Logging => {}
        }
        // What is printed in this order, and whether something follows on the line.
        let later = [self.partition, self.offset, self.delivery, self.epoch, self.headers, self.key, self.value];
        let separate = |out: &mut Vec<u8>, from: usize| {
            let more = later[from..].contains(&true);
            out.extend_from_slice(if more { &self.key_separator } else { &self.line_separator });
        };
        if self.timestamp {
            let text = match record.timestamp {
                (TimestampKind::Create, ms) => format!("CreateTime:{ms}"),
                (TimestampKind::LogAppend, ms) => format!("LogAppendTime:{ms}"),
            };
            out.extend_from_slice(text.as_bytes());
            separate(out, 0);
        }
        if self.partition {
            out.extend_from_slice(format!("Partition:{}", record.partition).as_bytes());
            separate(out, 1);
        }
        if self.offset {
            out.extend_from_slice(format!("Offset:{}", record.offset).as_bytes());
            separate(out, 2);
        }
        // The console consumer hands its formatters neither a delivery count nor a leader epoch.
        if self.delivery {
            out.extend_from_slice(b"Delivery:NOT_PRESENT");
            separate(out, 3);
        }
        if self.epoch {
            out.extend_from_slice(b"Epoch:NOT_PRESENT");
            separate(out, 4);
        }
        if self.headers {
            self.write_headers(record, out)?;
            separate(out, 5);
        }
        if self.key {
            self.key_deserializer.write(record.key.unwrap_or(&self.null_literal), out)?;
            separate(out, 6);
        }
        if self.value {
            self.value_deserializer.write(record.value.unwrap_or(&self.null_literal), out)?;
            out.extend_from_slice(&self.line_separator);
        }
        Ok(())
    }

    /// The whole record as an object on a line.
    fn write_json(&self, record: &Shown<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let text = |deserializer: Deserializer, bytes: Option<&[u8]>| -> Result<Option<String>, String> {
            let Some(bytes) = bytes else { return Ok(None) };
            let mut text = Vec::new();
            deserializer.write(bytes, &mut text)?;
            Ok(Some(String::from_utf8_lossy(&text).into_owned()))
        };
        let (kind, timestamp) = record.timestamp;
        let mut headers = Vec::with_capacity(record.headers.len());
        for (name, value) in &record.headers {
            headers
                .push(json!({"key": String::from_utf8_lossy(name), "value": text(self.headers_deserializer, *value)?}));
        }
        let object = json!({
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": timestamp,
            "timestamp_type": if kind == TimestampKind::Create { "CreateTime" } else { "LogAppendTime" },
            "key": text(self.key_deserializer, record.key)?,
            "value": text(self.value_deserializer, record.value)?,
            "headers": headers,
        });
        out.extend_from_slice(object.to_string().as_bytes());
        out.push(b'\n');
        Ok(())
    }

    /// A record of an internal topic as JSON without a line's end, as Apache's does; nothing for kinds that the class
    /// is not for.
    fn write_internal(&self, record: &Shown<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(key) = record.key else { return Ok(()) };
        let (topic, kinds): (_, &[i16]) = match self.class {
            Class::Offsets => (&internal_records::CONSUMER_OFFSETS, &[0, 1]),
            Class::Groups => (&internal_records::CONSUMER_OFFSETS, &[2]),
            _ => (&internal_records::TRANSACTION_STATE, &[0]),
        };
        let read = topic.read(key, record.value);
        let read =
            read.map_err(|error| format!("Could not read record at offset {} due to: {error}", record.offset))?;
        let Internal::Record { kind, key, value } = read else { return Ok(()) };
        if !kinds.contains(&kind) {
            return Ok(());
        }
        let value = match value {
            None => "null".to_owned(),
            Some((version, value)) => format!("{{\"version\":{version},\"data\":{value}}}"),
        };
        let text = format!("{{\"key\":{{\"type\":{kind},\"data\":{key}}},\"value\":{value}}}");
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn write_headers(&self, record: &Shown<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        if record.headers.is_empty() {
            out.extend_from_slice(b"NO_HEADERS");
        }
        for (index, (name, value)) in record.headers.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(&self.headers_separator);
            }
            out.extend_from_slice(name);
            out.push(b':');
            self.headers_deserializer.write(value.unwrap_or(&self.null_literal), out)?;
        }
        Ok(())
    }
}

impl Deserializer {
    fn of(class: &str) -> Result<Self, String> {
        let name = class.rsplit('.').next().unwrap_or_default();
        Ok(match name.strip_suffix("Deserializer").unwrap_or(name) {
            "ByteArray" | "ByteBuffer" => Deserializer::Raw,
            "String" => Deserializer::Text,
            "Bytes" => Deserializer::Bytes,
            "Boolean" => Deserializer::Boolean,
            "Short" => Deserializer::Short,
            "Integer" => Deserializer::Integer,
            "Long" => Deserializer::Long,
            "Float" => Deserializer::Float,
            "Double" => Deserializer::Double,
            "UUID" => Deserializer::Uuid,
            "Void" => Deserializer::Void,
            _ => {
                return Err(format!(
                    "there is no deserializer {class}; take one of org.apache.kafka.common.serialization"
                ));
            }
        })
    }

    /// Appends what `toString` gives of the value.
    fn write(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let text = match self {
            Deserializer::Raw => {
                out.extend_from_slice(bytes);
                return Ok(());
            }
            Deserializer::Text => String::from_utf8_lossy(bytes).into_owned(),
            Deserializer::Bytes => bytes.iter().map(|byte| escaped(*byte)).collect(),
            Deserializer::Boolean => match sized::<1>("BooleanDeserializer", bytes)? {
                [0] => "false".to_owned(),
                [1] => "true".to_owned(),
                [other] => return Err(format!("Unexpected byte received by BooleanDeserializer: {other}")),
            },
            Deserializer::Short => i16::from_be_bytes(sized("ShortDeserializer", bytes)?).to_string(),
            Deserializer::Integer => i32::from_be_bytes(sized("IntegerDeserializer", bytes)?).to_string(),
            Deserializer::Long => i64::from_be_bytes(sized("LongDeserializer", bytes)?).to_string(),
            Deserializer::Float => {
                let number = f32::from_be_bytes(sized("Deserializer", bytes)?);
                java_number::written(f64::from(number), &format!("{number:e}"))
            }
            Deserializer::Double => {
                let number = f64::from_be_bytes(sized("Deserializer", bytes)?);
                java_number::double(number)
            }
            Deserializer::Uuid => {
                let text = String::from_utf8_lossy(bytes);
                Uuid::parse_str(&text)
                    .map_err(|_| format!("Error parsing data into UUID: {text}"))?
                    .hyphenated()
                    .to_string()
            }
            Deserializer::Void => return Err("Data should be null for a VoidDeserializer.".to_owned()),
        };
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn sized<const N: usize>(class: &str, bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("Size of data received by {class} is not {N}"))
}

/// As `Bytes.toString` writes a byte.
fn escaped(byte: u8) -> String {
    match byte {
        b'\\' => "\\x5C".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Shown<'static> {
        Shown {
            topic: "t",
            partition: 2,
            offset: 7,
            timestamp: (TimestampKind::Create, 1700),
            key: Some(b"k"),
            value: None,
            headers: vec![(b"a", Some(b"1")), (b"b", None)],
        }
    }

    fn printed(properties: &[(&str, &str)], record: &Shown<'_>) -> Result<String, String> {
        let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut out = Vec::new();
        Formatter::new("org.apache.kafka.tools.consumer.DefaultMessageFormatter", &properties)?
            .write(record, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn all_columns_in_order() {
        let all = ["timestamp", "key", "partition", "offset", "delivery", "epoch", "headers"]
            .map(|name| format!("print.{name}"));
        let all: Vec<(&str, &str)> = all.iter().map(|name| (name.as_str(), "true")).collect();
        let expected =
            "CreateTime:1700\tPartition:2\tOffset:7\tDelivery:NOT_PRESENT\tEpoch:NOT_PRESENT\ta:1,b:null\tk\tnull\n";
        assert_eq!(printed(&all, &record()).unwrap(), expected);
    }

    #[test]
    fn the_last_column_ends_the_line() {
        assert_eq!(printed(&[("print.offset", "true"), ("print.value", "false")], &record()).unwrap(), "Offset:7\n");
    }

    #[test]
    fn numbers_need_their_size() {
        let number = Shown { value: Some(&[0, 0, 1, 0]), ..record() };
        let class = "org.apache.kafka.common.serialization.IntegerDeserializer";
        assert_eq!(printed(&[("value.deserializer", class)], &number).unwrap(), "256\n");
        let short = Shown { value: Some(&[0]), ..record() };
        assert!(printed(&[("value.deserializer", class)], &short).unwrap_err().contains("is not 4"));
    }
}
