//! Records of the internal topics for people: what kafka-dump-log and the formatters of kafka-console-consumer print
//! of them (Java: `CoordinatorRecordSerde` and the classes made from the schemas).

use millstream_protocol::record_json::{self, Json, Key, TopicRecords};
use millstream_protocol::record_schema::table;

/// An internal topic: how its records are read.
pub struct Topic {
    records: &'static TopicRecords,
}

/// `__consumer_offsets`
pub static CONSUMER_OFFSETS: Topic = Topic { records: table::CONSUMER_OFFSETS };
/// `__transaction_state`
pub static TRANSACTION_STATE: Topic = Topic { records: table::TRANSACTION_STATE };
/// `__share_group_state`
pub static SHARE_GROUP_STATE: Topic = Topic { records: table::SHARE_GROUP_STATE };

/// Kind of a group's record in `__consumer_offsets`.
const GROUP_METADATA: i16 = 2;

/// A record that was read.
#[derive(Debug, PartialEq)]
pub enum Internal {
    /// Its kind and key; its value with the version, None for a tombstone.
    Record {
        /// Number of the kind.
        kind: i16,
        /// The key's fields.
        key: Json,
        /// The value's version and fields.
        value: Option<(i16, Json)>,
    },
    /// A kind that is not known.
    Unknown(i16),
}

impl Topic {
    /// Reads a record.
    ///
    /// # Errors
    /// When its bytes are not what its kind says; in Java's words as far as it has words of its own.
    pub fn read(&self, key: &[u8], value: Option<&[u8]>) -> Result<Internal, String> {
        let wrong = |part: &str, bytes: &[u8], error: &dyn std::fmt::Display| match bytes.first_chunk() {
            None => format!("Could not read version from {part}'s buffer."),
            Some(version) => {
                let version = i16::from_be_bytes(*version);
                format!("Could not read record with version {version} from {part}'s buffer due to: {error}")
            }
        };
        let (kind, key) = match record_json::key(self.records, key).map_err(|error| wrong("key", key, &error))? {
            Key::Known(kind, key) => (kind, key),
            Key::Unknown(kind) => return Ok(Internal::Unknown(kind)),
        };
        let read = |bytes| record_json::value(self.records, kind, bytes).map_err(|error| wrong("value", bytes, &error));
        Ok(Internal::Record { kind, key, value: value.map(read).transpose()? })
    }

    /// The same with what members of a group told one another read too, as kafka-dump-log shows it.
    ///
    /// # Errors
    /// As [`Topic::read`].
    pub fn read_deep(&self, key: &[u8], value: Option<&[u8]>) -> Result<Internal, String> {
        let mut record = self.read(key, value)?;
        if let Internal::Record { kind: GROUP_METADATA, value: Some((_, value)), .. } = &mut record
            && std::ptr::eq(self, &raw const CONSUMER_OFFSETS)
        {
            read_members(value);
        }
        Ok(record)
    }
}

/// Subscriptions and assignments of a consumer group; what cannot be read stays as it is.
fn read_members(value: &mut Json) {
    if value.field_mut("protocolType").and_then(|kind| kind.text().map(|text| text == "consumer")) != Some(true) {
        return;
    }
    let Some(Json::List(members)) = value.field_mut("members") else { return };
    for member in members {
        for (name, message) in [
            ("subscription", &table::CONSUMER_PROTOCOL_SUBSCRIPTION),
            ("assignment", &table::CONSUMER_PROTOCOL_ASSIGNMENT),
        ] {
            if let Some(field) = member.field_mut(name)
                && let Json::Bytes(bytes) = field
                && let Ok(json) = record_json::read_prefixed(message, bytes)
            {
                *field = json;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_has_no_value() {
        // An offset key: kind 1, group "g", topic "t", partition 0.
        let key = [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 0];
        assert!(matches!(CONSUMER_OFFSETS.read_deep(&key, None), Ok(Internal::Record { kind: 1, value: None, .. })));
        assert_eq!(CONSUMER_OFFSETS.read(&[0, 77], None), Ok(Internal::Unknown(77)));
    }
}
