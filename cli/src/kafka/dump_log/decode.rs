//! Keys and values of records as text: by a decoder class, or as records of an internal topic.

use millstream_protocol::record::Record;
use millstream_protocol::record_json;

use super::{Problem, said};
use crate::kafka::internal_records::{self, Internal, Topic};
use crate::kafka::options::Given;

/// How keys and values are read.
pub enum Decoder {
    /// By classes, asked for or not.
    Classes { key: Class, value: Class, asked: bool },
    /// As records of an internal topic.
    Internal(&'static Topic),
    /// As records of the cluster's metadata.
    Metadata,
}

/// A decoder class of Apache's.
#[derive(Clone, Copy)]
pub enum Class {
    Text,
    Integer,
    Long,
}

impl Class {
    fn of(given: &Given, flag: &str) -> Result<Self, Problem> {
        match given.one(flag)?.unwrap_or_default() {
            "" | "org.apache.kafka.tools.api.StringDecoder" => Ok(Class::Text),
            "org.apache.kafka.tools.api.IntegerDecoder" => Ok(Class::Integer),
            "org.apache.kafka.tools.api.LongDecoder" => Ok(Class::Long),
            other => said(format!(
                "Failed to load decoder class {other}; there are StringDecoder, IntegerDecoder and LongDecoder of org.apache.kafka.tools.api"
            )),
        }
    }

    fn text(self, bytes: &[u8]) -> Result<String, Problem> {
        let short = || said(format!("a value of {} bytes is too short for its decoder", bytes.len()));
        match self {
            Class::Text => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Class::Integer => {
                bytes.first_chunk().map_or_else(short, |bytes| Ok(i32::from_be_bytes(*bytes).to_string()))
            }
            Class::Long => bytes.first_chunk().map_or_else(short, |bytes| Ok(i64::from_be_bytes(*bytes).to_string())),
        }
    }
}

impl Decoder {
    pub fn of(given: &Given) -> Result<Self, Problem> {
        if given.has("offsets-decoder") {
            return Ok(Decoder::Internal(&internal_records::CONSUMER_OFFSETS));
        }
        if given.has("transaction-log-decoder") {
            return Ok(Decoder::Internal(&internal_records::TRANSACTION_STATE));
        }
        if given.has("cluster-metadata-decoder") {
            return Ok(Decoder::Metadata);
        }
        if given.has("remote-log-metadata-decoder") {
            return said("--remote-log-metadata-decoder is not built yet");
        }
        if given.has("share-group-state-decoder") {
            return Ok(Decoder::Internal(&internal_records::SHARE_GROUP_STATE));
        }
        let asked = given.has("key-decoder-class") || given.has("value-decoder-class");
        Ok(Decoder::Classes {
            value: Class::of(given, "value-decoder-class")?,
            key: Class::of(given, "key-decoder-class")?,
            asked,
        })
    }

    /// Whether a flag named it, which asks for contents too.
    pub fn is_asked_for(&self) -> bool {
        !matches!(self, Decoder::Classes { asked: false, .. })
    }

    /// Key and value as they are printed.
    pub fn decode(&self, record: &Record<'_>, offset: i64) -> Result<(Option<String>, Option<String>), Problem> {
        match self {
            Decoder::Classes { key, value, .. } => {
                let key = record.key.map(|bytes| key.text(bytes)).transpose()?;
                Ok((key, record.value.map(|bytes| value.text(bytes)).transpose()?))
            }
            Decoder::Metadata => {
                let json = record_json::metadata(record.value.unwrap_or_default());
                let text = json
                    .map_or_else(|reason| format!("Error at {offset}, skipping. {reason}"), |json| json.to_string());
                Ok((None, Some(text)))
            }
            Decoder::Internal(topic) => {
                let Some(key) = record.key else {
                    return said(format!(
                        "Failed to decode message at offset {offset} using the specified decoder (message had a missing key)"
                    ));
                };
                Ok(match topic.read_deep(key, record.value) {
                    Ok(Internal::Record { kind, key, value }) => {
                        let value =
                            value.map(|(version, value)| format!("{{\"version\":\"{version}\",\"data\":{value}}}"));
                        let key = format!("{{\"type\":\"{kind}\",\"data\":{key}}}");
                        (Some(key), Some(value.unwrap_or_else(|| "<DELETE>".to_owned())))
                    }
                    Ok(Internal::Unknown(kind)) => {
                        (Some(format!("Unknown record type {kind} at offset {offset}, skipping.")), None)
                    }
                    Err(error) => (Some(format!("Error at offset {offset}, skipping. {error}")), None),
                })
            }
        }
    }
}
