//! Bytes of stores, changelogs and internal topics, as Kafka Streams 4.3.1 writes them: applications of either can go on
//! with the other's topics. Pure functions, called by stores, operators, restore and commit; all are proved by
//! `tests/golden/streams/bytes.jsonl`. Writing appends to a buffer of the caller's; reading takes slices of the input.

use bytes::{Buf, Bytes};

use super::error::Malformed;

// Values with a timestamp, with headers.
pub mod value;
// Keys of window stores.
pub mod window;
// Keys of session stores.
pub mod session;
// Rows that wait for a match of an outer join.
pub mod join;
// Several values as one.
pub mod list;
// Changes of a table on their way to another partition.
pub mod change;
// What a foreign-key join sends and keeps.
pub mod foreign;
// The hash of foreign-key joins.
pub mod murmur3;
// Records that wait in a buffer, with their context.
pub mod buffer;
// All versions of a key in one segment.
pub mod versioned;
// The text beside a committed offset.
pub mod partition_metadata;
// The text of a `.checkpoint` file.
pub mod checkpoint;

/// Reads fields from the front; remembers what the whole is, for the error.
pub(crate) struct Fields {
    rest: Bytes,
    error: Malformed,
}

impl Fields {
    pub(crate) fn of(bytes: Bytes, what: &'static str) -> Fields {
        let error = Malformed { what, length: bytes.len() };
        Fields { rest: bytes, error }
    }

    pub(crate) fn error(&self) -> Malformed {
        self.error.clone()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if length > self.rest.len() {
            return Err(self.error());
        }
        Ok(self.rest.split_to(length))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.rest.try_get_u8().map_err(|_| self.error())
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.rest.try_get_i32().map_err(|_| self.error())
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.rest.try_get_i64().map_err(|_| self.error())
    }

    /// A length in four bytes; negative ones are the caller's to know.
    pub(crate) fn sized(&mut self, length: i32) -> Result<Bytes, Malformed> {
        let length = usize::try_from(length).map_err(|_| self.error())?;
        self.take(length)
    }

    /// Bytes after their length; -1 is null.
    pub(crate) fn nullable(&mut self) -> Result<Option<Bytes>, Malformed> {
        match self.i32()? {
            -1 => Ok(None),
            length => self.sized(length).map(Some),
        }
    }

    /// A zigzag varint (ByteUtils.readVarint).
    pub(crate) fn varint(&mut self) -> Result<i32, Malformed> {
        let mut raw = 0_u32;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            raw |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok((raw >> 1) as i32 ^ -((raw & 1) as i32));
            }
        }
        Err(self.error())
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn rest(self) -> Bytes {
        self.rest
    }
}

/// A length as Kafka writes it; what is longer than 2 GB never comes here, as no record may be.
pub(crate) fn length(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).expect("a record is at most 2 GB")
}

pub(crate) fn write_nullable(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        Some(bytes) => {
            out.extend_from_slice(&length(bytes).to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

pub(crate) fn write_varint(value: i32, out: &mut Vec<u8>) {
    let mut raw = ((value << 1) ^ (value >> 31)) as u32;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Eight bytes at a position, where the caller knows that they are there.
pub(crate) fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    Some(i64::from_be_bytes(field.try_into().ok()?))
}

#[cfg(test)]
mod tests;
