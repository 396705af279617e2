//! What a foreign-key join sends and keeps: subscriptions by foreign key then primary key, answers, and the hash by which a
//! late answer is known (CombinedKeySchema, SubscriptionWrapperSerde, SubscriptionResponseWrapperSerde).

use bytes::Bytes;

use super::{Fields, length};
use crate::state::error::Malformed;

/// The hash of a serialised left value.
pub type ValueHash = [i64; 2];

/// Set in the first byte where there is no hash.
const NO_HASH: u8 = 0x80;

/// What the foreign side shall do with a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// Forget it.
    DeleteNoPropagate = 0,
    /// Forget it and answer.
    DeleteAndPropagate = 1,
    /// Keep it and answer, with null if there is no foreign value.
    PropagateNullIfNoForeignValue = 2,
    /// Keep it and answer if there is a foreign value.
    PropagateOnlyIfForeignValue = 3,
}

/// A subscription: of a primary key to a foreign one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The format: 1 carries the partition to answer to, 0 does not.
    pub version: u8,
    /// What to do.
    pub instruction: Instruction,
    /// Of the left value; None where that is null.
    pub hash: Option<ValueHash>,
    /// The key to answer to.
    pub primary_key: Bytes,
    /// The partition of the primary key.
    pub primary_partition: Option<i32>,
}

/// An answer; its key is the primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Of the left value that asked.
    pub hash: Option<ValueHash>,
    /// The foreign value; one of no bytes reads as None, as in Java.
    pub foreign_value: Option<Bytes>,
}

/// What all subscriptions to a foreign key begin with.
pub fn write_prefix(foreign: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&length(foreign).to_be_bytes());
    out.extend_from_slice(foreign);
}

/// A row's key: length of the foreign key, foreign key, primary key.
pub fn write_combined_key(foreign: &[u8], primary: &[u8], out: &mut Vec<u8>) {
    write_prefix(foreign, out);
    out.extend_from_slice(primary);
}

/// Foreign and primary key.
pub fn read_combined_key(bytes: Bytes) -> Result<(Bytes, Bytes), Malformed> {
    let mut fields = Fields::of(bytes, "key of a subscription");
    let size = fields.i32()?;
    Ok((fields.sized(size)?, fields.rest()))
}

fn write_hash(hash: &Option<ValueHash>, out: &mut Vec<u8>) {
    for half in hash.iter().flatten() {
        out.extend_from_slice(&half.to_be_bytes());
    }
}

fn version_byte(version: u8, hash: &Option<ValueHash>) -> u8 {
    version | if hash.is_none() { NO_HASH } else { 0 }
}

fn read_hash(version: u8, fields: &mut Fields) -> Result<Option<ValueHash>, Malformed> {
    Ok(if version & NO_HASH == 0 { Some([fields.i64()?, fields.i64()?]) } else { None })
}

impl Subscription {
    /// As bytes of the subscription topic and store.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(version_byte(self.version, &self.hash));
        out.push(self.instruction as u8);
        write_hash(&self.hash, out);
        out.extend_from_slice(&self.primary_key);
        if self.version > 0 {
            out.extend_from_slice(&self.primary_partition.unwrap_or(0).to_be_bytes());
        }
    }

    /// From those bytes.
    pub fn read(bytes: Bytes) -> Result<Subscription, Malformed> {
        let mut fields = Fields::of(bytes, "subscription");
        let first = fields.u8()?;
        let version = first & !NO_HASH;
        let instruction = match fields.u8()? {
            0 => Instruction::DeleteNoPropagate,
            1 => Instruction::DeleteAndPropagate,
            2 => Instruction::PropagateNullIfNoForeignValue,
            3 => Instruction::PropagateOnlyIfForeignValue,
            _ => return Err(fields.error()),
        };
        let hash = read_hash(first, &mut fields)?;
        if version == 0 {
            return Ok(Subscription {
                version,
                instruction,
                hash,
                primary_key: fields.rest(),
                primary_partition: None,
            });
        }
        let size = fields.remaining().checked_sub(4).ok_or_else(|| fields.error())?;
        let primary_key = fields.take(size)?;
        Ok(Subscription { version, instruction, hash, primary_key, primary_partition: Some(fields.i32()?) })
    }
}

impl Response {
    /// As bytes of the response topic.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(version_byte(0, &self.hash));
        write_hash(&self.hash, out);
        out.extend_from_slice(self.foreign_value.as_deref().unwrap_or_default());
    }

    /// From those bytes.
    pub fn read(bytes: Bytes) -> Result<Response, Malformed> {
        let mut fields = Fields::of(bytes, "answer to a subscription");
        let first = fields.u8()?;
        let hash = read_hash(first, &mut fields)?;
        let foreign_value = Some(fields.rest()).filter(|value| !value.is_empty());
        Ok(Response { hash, foreign_value })
    }
}
