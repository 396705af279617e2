//! Records of the internal topics, of producer snapshots and of control batches, as Apache Kafka writes them.
//!
//! Keys of `__consumer_offsets` and `__transaction_state` begin with the number of their kind, values with the
//! version of their schema, two bytes each (Java: `CoordinatorRecordSerde`, `MessageUtil.toVersionPrefixedBytes`).

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{DecodeError, EncodeError};
use crate::messages::{Decodable, Encodable, Message};
use crate::wire;

pub mod end_txn_marker;
pub mod group_metadata_key;
pub mod group_metadata_value;
pub mod leader_change_message;
pub mod legacy_offset_commit_key;
pub mod legacy_offset_commit_value;
pub mod offset_commit_key;
pub mod offset_commit_value;
pub mod producer_snapshot;
pub mod table;
pub mod transaction_log_key;
pub mod transaction_log_value;

/// Kind of a key in `__consumer_offsets`: an offset, in the form before 0.11 or so; same layout as 1.
pub const KEY_LEGACY_OFFSET_COMMIT: i16 = 0;
/// Kind of a key in `__consumer_offsets`: an offset.
pub const KEY_OFFSET_COMMIT: i16 = 1;
/// Kind of a key in `__consumer_offsets`: a classic group.
pub const KEY_GROUP_METADATA: i16 = 2;
/// Kind of a key in `__transaction_state`: a transactional id.
pub const KEY_TRANSACTION: i16 = 0;

/// Takes the two bytes that tell the kind of a key or the version of a value.
pub fn take_prefix(bytes: &mut Bytes) -> Result<i16, DecodeError> {
    wire::get_i16(bytes, "version prefix")
}

/// Writes a key: its kind, then version 0 of its schema.
pub fn encode_key<T: Encodable>(kind: i16, key: &T) -> Result<Bytes, EncodeError> {
    encode_prefixed(kind, 0, key)
}

/// Writes a value: the version of its schema, then the value in it.
pub fn encode_value<T: Encodable>(version: i16, value: &T) -> Result<Bytes, EncodeError> {
    encode_prefixed(version, version, value)
}

/// Reads a value whose first two bytes are its version.
pub fn decode_value<T: Decodable + Message>(mut bytes: Bytes) -> Result<T, DecodeError> {
    let version = take_prefix(&mut bytes)?;
    decode(version, bytes)
}

/// Reads the rest of a key after [`take_prefix`].
pub fn decode_key<T: Decodable + Message>(bytes: Bytes) -> Result<T, DecodeError> {
    decode(0, bytes)
}

/// Reads a message of a known version.
pub fn decode<T: Decodable + Message>(version: i16, mut bytes: Bytes) -> Result<T, DecodeError> {
    T::decode(&mut bytes, version).map_err(|error| match error.downcast::<DecodeError>() {
        Ok(known) => known,
        Err(other) => DecodeError::Message(other.to_string()),
    })
}

fn encode_prefixed<T: Encodable>(prefix: i16, version: i16, message: &T) -> Result<Bytes, EncodeError> {
    let failed = |error: anyhow::Error| EncodeError { message: "record", version, reason: error.to_string() };
    let mut out = BytesMut::with_capacity(2 + message.compute_size(version).map_err(failed)?);
    out.put_i16(prefix);
    message.encode(&mut out, version).map_err(failed)?;
    Ok(out.freeze())
}
