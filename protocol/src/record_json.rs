//! Records of internal topics and of control batches as JSON, in the form of Apache's `*JsonConverter` classes.
//!
//! Called by kafka-dump-log and by the formatters of kafka-console-consumer. Reads by the tables of `record_schema`,
//! so it follows every kind of record that Apache Kafka writes; never writes a record.

use std::fmt::{self, Write};

use crate::error::DecodeError;
use crate::record_schema::table;
use crate::schema::{Field, Kind, Message, within};
use crate::wire::STRING_MAX;

/// A JSON value whose fields stay in the order of the definition.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A string.
    Text(String),
    /// Bytes, written as base64.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Json>),
    /// Fields by name.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The field of that name.
    pub fn field_mut(&mut self, name: &str) -> Option<&mut Json> {
        match self {
            Json::Object(fields) => fields.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Json {
    /// As Jackson writes it: no spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => write!(f, "{value}"),
            Json::Int(value) => write!(f, "{value}"),
            Json::Float(value) => write!(f, "{value:?}"),
            Json::Text(text) => quote(f, text),
            Json::Bytes(bytes) => write!(f, "\"{}\"", base64(bytes, STANDARD, Padding::Written)),
            Json::List(items) => {
                f.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index > 0 { "," } else { "" })?;
                }
                f.write_char(']')
            }
            Json::Object(fields) => {
                f.write_char('{')?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    f.write_str(if index > 0 { "," } else { "" })?;
                    quote(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for letter in text.chars() {
        match letter {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\u{8}' => f.write_str("\\b")?,
            '\u{c}' => f.write_str("\\f")?,
            '\0'..='\u{1f}' => write!(f, "\\u{:04X}", letter as u32)?,
            _ => f.write_char(letter)?,
        }
    }
    f.write_char('"')
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    Written,
    LeftOut,
}

fn base64(bytes: &[u8], alphabet: &[u8; 64], padding: Padding) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            if at <= chunk.len() {
                text.push(char::from(alphabet[(bits >> (18 - 6 * at) & 63) as usize]));
            } else if padding == Padding::Written {
                text.push('=');
            }
        }
    }
    text
}

/// An id as Java's `Uuid.toString` writes it.
pub fn id_text(id: &[u8; 16]) -> String {
    base64(id, URL, Padding::LeftOut)
}

/// A key of an internal topic: the number of its kind, and its fields.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// A kind that Apache Kafka 4.3 writes.
    Known(i16, Json),
    /// Another kind.
    Unknown(i16),
}

/// The key and value schemas of one internal topic, by kind.
pub type TopicRecords = [(i16, Message, Message)];

/// Reads a key of an internal topic (Java: `CoordinatorRecordSerde.deserialize`).
///
/// # Errors
/// When the bytes are no key of their kind.
pub fn key(records: &'static TopicRecords, bytes: &[u8]) -> Result<Key, DecodeError> {
    let (kind, rest) = prefix(bytes, "key")?;
    match records.iter().find(|(known, _, _)| *known == kind) {
        Some((_, message, _)) => Ok(Key::Known(kind, read(message, 0, rest)?)),
        None => Ok(Key::Unknown(kind)),
    }
}

/// Reads the value that belongs to a key of `kind`: its version and its fields.
///
/// # Errors
/// When the bytes are no such value.
pub fn value(records: &'static TopicRecords, kind: i16, bytes: &[u8]) -> Result<(i16, Json), DecodeError> {
    let (version, rest) = prefix(bytes, "value")?;
    let row = records.iter().find(|(known, _, _)| *known == kind);
    let (_, _, message) = row.ok_or(DecodeError::Truncated { field: "kind", need: 2, left: 0 })?;
    Ok((version, read(message, version, rest)?))
}

fn prefix<'a>(bytes: &'a [u8], field: &'static str) -> Result<(i16, &'a [u8]), DecodeError> {
    match bytes.split_first_chunk() {
        Some((number, rest)) => Ok((i16::from_be_bytes(*number), rest)),
        None => Err(DecodeError::Truncated { field, need: 2, left: bytes.len() }),
    }
}

/// A record of the cluster metadata: `{"type":...,"version":...,"data":...}` (Java: `MetadataRecordSerde`).
///
/// # Errors
/// What is wrong with the bytes.
pub fn metadata(bytes: &[u8]) -> Result<Json, String> {
    let mut reader = Reader { bytes, version: 0 };
    let mut number = |name: &'static str| reader.varint(name).map_err(|_| format!("Error while reading {name}"));
    match number("frame version")? {
        1 => {}
        0 => return Err("Could not deserialize metadata record with frame version 0. Note that upgrades from the preview release of KRaft in 2.8 to newer versions are not supported.".to_owned()),
        other => return Err(format!("Could not deserialize metadata record due to unknown frame version {other}(only frame version 1 is supported)")),
    }
    let (kind, version) = (number("type")?, number("version")?);
    let row = table::CLUSTER_METADATA.iter().find(|(known, _, _)| u32::from(*known as u16) == kind);
    let Some((_, name, message)) = row else {
        return Err(format!("org.apache.kafka.common.errors.UnsupportedVersionException: Unknown metadata id {kind}"));
    };
    let failed = |_| format!("Failed to deserialize record with type {kind}");
    let version = i16::try_from(version).map_err(|_| format!("Failed to deserialize record with type {kind}"))?;
    let mut reader = Reader { bytes: reader.bytes, version };
    let data = reader.message(message).map_err(failed)?;
    if !reader.bytes.is_empty() {
        return Err(format!("Found {} byte(s) of garbage after {kind}", reader.bytes.len()));
    }
    Ok(Json::Object(vec![
        ("type".to_owned(), Json::Text((*name).to_owned())),
        ("version".to_owned(), Json::Int(i64::from(version))),
        ("data".to_owned(), data),
    ]))
}

/// Reads a message of one version; what follows it is not looked at.
///
/// # Errors
/// When the bytes are no such message.
pub fn read(message: &'static Message, version: i16, bytes: &[u8]) -> Result<Json, DecodeError> {
    Reader { bytes, version }.message(message)
}

/// Reads a message that begins with its version, as a member of a group writes it; a version above the newest known is
/// read as that one (Java: `ConsumerProtocol`).
///
/// # Errors
/// When the bytes are no such message.
pub fn read_prefixed(message: &'static Message, bytes: &[u8]) -> Result<Json, DecodeError> {
    let (version, rest) = prefix(bytes, "version")?;
    read(message, version, rest)
}

struct Reader<'a> {
    bytes: &'a [u8],
    version: i16,
}

impl<'a> Reader<'a> {
    fn message(&mut self, message: &'static Message) -> Result<Json, DecodeError> {
        if !within(message.versions, self.version) {
            return Err(DecodeError::Version { message: message.name, version: self.version });
        }
        self.structure(message.fields, within(message.flexible, self.version))
    }

    fn structure(&mut self, fields: &'static [Field], flexible: bool) -> Result<Json, DecodeError> {
        let mut values: Vec<Option<Json>> = Vec::with_capacity(fields.len());
        for field in fields {
            let tagged = field.tag >= 0 && flexible;
            let present = !tagged && within(field.versions, self.version);
            values.push(if present { Some(self.field(field, flexible)?) } else { None });
        }
        if flexible {
            self.tagged(fields, &mut values)?;
        }
        let named = fields.iter().zip(values).filter_map(|(field, value)| Some((lower_first(field.name), value?)));
        Ok(Json::Object(named.collect()))
    }

    fn tagged(&mut self, fields: &'static [Field], values: &mut [Option<Json>]) -> Result<(), DecodeError> {
        for _ in 0..self.varint("tagged fields")? {
            let tag = self.varint("tag")?;
            let size = self.varint("size of a tagged field")? as usize;
            let at = fields
                .iter()
                .position(|field| field.tag >= 0 && field.tag as u32 == tag && within(field.versions, self.version));
            match at {
                Some(at) => values[at] = Some(self.field(&fields[at], true)?),
                None => drop(self.take(size, "tagged field")?),
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'static Field, flexible: bool) -> Result<Json, DecodeError> {
        let nullable = within(field.nullable, self.version);
        let compact = flexible && within(field.flexible, self.version);
        match &field.kind {
            Kind::Array(element) => {
                let width = if compact { Width::Varint } else { Width::Int };
                let Some(count) = self.length(width, nullable, field.name)? else { return Ok(Json::Null) };
                let left = self.bytes.len();
                if count > left {
                    return Err(DecodeError::Count { field: field.name, count, left });
                }
                let element = |reader: &mut Self| match element {
                    Kind::Struct(fields) => reader.structure(fields, flexible),
                    kind => reader.scalar(kind, compact, false, field.name),
                };
                (0..count).map(|_| element(self)).collect::<Result<Vec<_>, _>>().map(Json::List)
            }
            Kind::Struct(fields) => {
                if nullable && self.take(1, field.name)?[0] >= 0x80 {
                    return Ok(Json::Null);
                }
                self.structure(fields, flexible)
            }
            kind => self.scalar(kind, compact, nullable, field.name),
        }
    }

    fn scalar(&mut self, kind: &Kind, compact: bool, nullable: bool, name: &'static str) -> Result<Json, DecodeError> {
        Ok(match kind {
            Kind::Bool => Json::Bool(self.take(1, name)?[0] != 0),
            Kind::Int8 => Json::Int(i64::from(self.take(1, name)?[0] as i8)),
            Kind::Int16 => Json::Int(i64::from(i16::from_be_bytes(self.array(name)?))),
            Kind::Uint16 => Json::Int(i64::from(u16::from_be_bytes(self.array(name)?))),
            Kind::Int32 => Json::Int(i64::from(i32::from_be_bytes(self.array(name)?))),
            Kind::Uint32 => Json::Int(i64::from(u32::from_be_bytes(self.array(name)?))),
            Kind::Int64 => Json::Int(i64::from_be_bytes(self.array(name)?)),
            Kind::Float64 => Json::Float(f64::from_be_bytes(self.array(name)?)),
            Kind::Uuid => Json::Text(id_text(&self.array(name)?)),
            Kind::String => {
                let width = if compact { Width::Varint } else { Width::Short };
                match self.length(width, nullable, name)? {
                    None => Json::Null,
                    Some(length) if length > STRING_MAX => return Err(DecodeError::Length { field: name, length }),
                    Some(length) => Json::Text(String::from_utf8_lossy(self.take(length, name)?).into_owned()),
                }
            }
            Kind::Bytes | Kind::Records => {
                let width = if compact { Width::Varint } else { Width::Int };
                match self.length(width, nullable, name)? {
                    None => Json::Null,
                    Some(length) => Json::Bytes(self.take(length, name)?.to_vec()),
                }
            }
            // Lists and structures are read by `field`; the tables hold no list of lists.
            Kind::Array(_) | Kind::Struct(_) => Json::Null,
        })
    }

    fn length(&mut self, width: Width, nullable: bool, name: &'static str) -> Result<Option<usize>, DecodeError> {
        let length = match width {
            Width::Varint => i64::from(self.varint(name)?) - 1,
            Width::Short => i64::from(i16::from_be_bytes(self.array(name)?)),
            Width::Int => i64::from(i32::from_be_bytes(self.array(name)?)),
        };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if nullable => Ok(None),
            Err(_) => Err(DecodeError::Null(name)),
        }
    }

    fn varint(&mut self, name: &'static str) -> Result<u32, DecodeError> {
        crate::wire::unsigned_varint(name, || Ok(self.take(1, name)?[0]))
    }

    fn array<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], DecodeError> {
        let left = self.bytes.len();
        match self.bytes.split_first_chunk() {
            Some((array, rest)) => {
                self.bytes = rest;
                Ok(*array)
            }
            None => Err(DecodeError::Truncated { field: name, need: N, left }),
        }
    }

    fn take(&mut self, need: usize, name: &'static str) -> Result<&'a [u8], DecodeError> {
        let left = self.bytes.len();
        let (taken, rest) =
            self.bytes.split_at_checked(need).ok_or(DecodeError::Truncated { field: name, need, left })?;
        self.bytes = rest;
        Ok(taken)
    }
}

#[derive(Clone, Copy)]
enum Width {
    Varint,
    Short,
    Int,
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_schema::table::{CONSUMER_OFFSETS, TRANSACTION_STATE};

    #[test]
    fn keys_and_values_are_read_by_their_kind() {
        let bytes = [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 7];
        let Ok(Key::Known(1, json)) = key(CONSUMER_OFFSETS, &bytes) else { panic!("no offset key") };
        assert_eq!(json.to_string(), r#"{"group":"g","topic":"t","partition":7}"#);
        assert_eq!(key(TRANSACTION_STATE, &[0, 9]), Ok(Key::Unknown(9)));
        assert!(key(CONSUMER_OFFSETS, &[0, 1, 0, 9, b'g']).is_err());
        assert!(key(CONSUMER_OFFSETS, &[0]).is_err());
        assert!(value(CONSUMER_OFFSETS, 1, &[0, 99]).is_err());
    }

    #[test]
    fn a_metadata_record_names_its_type() {
        // Frame 1, type 12 (feature level), version 0, "ab", level 3, no tagged fields.
        let json = metadata(&[1, 12, 0, 3, b'a', b'b', 0, 3, 0]).unwrap();
        assert_eq!(
            json.to_string(),
            r#"{"type":"FEATURE_LEVEL_RECORD","version":0,"data":{"name":"ab","featureLevel":3}}"#
        );
        assert_eq!(
            metadata(&[1, 12, 0, 3, b'a', b'b', 0, 3, 0, 0]).unwrap_err(),
            "Found 1 byte(s) of garbage after 12"
        );
        assert!(metadata(&[2, 12, 0]).unwrap_err().contains("unknown frame version 2"));
        assert!(metadata(&[1, 12, 0, 3]).unwrap_err().contains("type 12"));
        assert!(metadata(&[]).is_err());
    }

    #[test]
    fn text_is_escaped_as_jackson_does() {
        let text = Json::Text("a\"\\\n\u{1}\u{1f}\u{e9}".to_owned());
        assert_eq!(text.to_string(), "\"a\\\"\\\\\\n\\u0001\\u001F\u{e9}\"");
        assert_eq!(Json::Bytes(vec![1, 2, 3, 4]).to_string(), "\"AQIDBA==\"");
        assert_eq!(id_text(&[0xff; 16]), "_____________________w");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        // Small numbers, which pass as lengths and counts, from a linear congruential generator.
        let mut state = 7u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..below(40)).map(|_| below(6) as u8).collect();
            drop(metadata(&bytes));
            for records in [CONSUMER_OFFSETS, TRANSACTION_STATE, table::SHARE_GROUP_STATE] {
                drop(key(records, &bytes));
                for (kind, _, _) in records {
                    drop(value(records, *kind, &bytes));
                }
            }
            drop(read_prefixed(&table::CONSUMER_PROTOCOL_SUBSCRIPTION, &bytes));
        }
    }
}
