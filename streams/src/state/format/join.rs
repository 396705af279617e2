//! The store that both sides of a left or outer stream-stream join share: records that found no match yet, by time
//! (TimestampedKeyAndJoinSideSerializer, LeftOrRightValueSerializer).

use bytes::Bytes;

use super::Fields;
use crate::state::error::Malformed;

/// The side of a join that a record came from. At equal times the right one sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JoinSide {
    /// The other stream.
    Right = 0,
    /// The stream whose `join` was called.
    Left = 1,
}

impl JoinSide {
    fn read(fields: &mut Fields) -> Result<JoinSide, Malformed> {
        match fields.u8()? {
            0 => Ok(JoinSide::Right),
            1 => Ok(JoinSide::Left),
            _ => Err(fields.error()),
        }
    }
}

/// A row's key: timestamp, side, key.
pub fn write_key(timestamp: i64, side: JoinSide, key: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&timestamp.to_be_bytes());
    out.push(side as u8);
    out.extend_from_slice(key);
}

/// Timestamp, side and key.
pub fn read_key(bytes: Bytes) -> Result<(i64, JoinSide, Bytes), Malformed> {
    let mut fields = Fields::of(bytes, "key of a join's waiting record");
    Ok((fields.i64()?, JoinSide::read(&mut fields)?, fields.rest()))
}

/// A value: side, value.
pub fn write_value(side: JoinSide, value: &[u8], out: &mut Vec<u8>) {
    out.push(side as u8);
    out.extend_from_slice(value);
}

/// Side and value.
pub fn read_value(bytes: Bytes) -> Result<(JoinSide, Bytes), Malformed> {
    let mut fields = Fields::of(bytes, "value of a join's waiting record");
    Ok((JoinSide::read(&mut fields)?, fields.rest()))
}
