//! Builds one record batch v2, uncompressed, as a step of a coordinator writes it: all records with one time.
//!
//! Used by the machines of this crate. Records are encoded where they will lie; nothing is copied twice.

use bytes::{BufMut, Bytes, BytesMut};

use crate::step::TransactionResult;

/// Bytes before the first record: base offset (8), length (4), leader epoch (4), magic (1), crc (4),
/// attributes (2), last offset delta (4), base and max timestamp (8 + 8), producer id (8), epoch (2),
/// base sequence (4), count (4).
const HEADER_BYTES: usize = 61;
/// Where the checksummed part begins: after the crc itself.
const ATTRIBUTES_AT: usize = 21;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// A batch under construction.
#[derive(Debug)]
pub struct BatchBuilder {
    buffer: BytesMut,
    timestamp: i64,
    count: i32,
    attributes: i16,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    /// Reused to learn a record's length before it is written.
    scratch: BytesMut,
}

impl BatchBuilder {
    /// A batch of plain records with the time `timestamp`.
    pub fn new(timestamp: i64) -> Self {
        BatchBuilder::of_producer(timestamp, -1, -1)
    }

    /// A batch of records that belong to a transaction, or a plain one for producer id -1.
    pub fn of_producer(timestamp: i64, producer_id: i64, producer_epoch: i16) -> Self {
        let mut buffer = BytesMut::with_capacity(256);
        buffer.resize(HEADER_BYTES, 0);
        let attributes = if producer_id >= 0 { TRANSACTIONAL } else { 0 };
        // CoordinatorRuntime opens its builder with base sequence 0, also without a producer.
        let base_sequence = 0;
        let scratch = BytesMut::new();
        BatchBuilder { buffer, timestamp, count: 0, attributes, producer_id, producer_epoch, base_sequence, scratch }
    }

    /// The same batch with base sequence -1, as TransactionStateManager builds it.
    pub fn without_sequence(mut self) -> Self {
        self.base_sequence = -1;
        self
    }

    /// Adds a record whose key and value are written by `key` and `value`; a value writer that answers
    /// `false` makes a tombstone.
    pub fn push(&mut self, key: impl FnOnce(&mut BytesMut), value: impl FnOnce(&mut BytesMut) -> Value) {
        self.scratch.clear();
        key(&mut self.scratch);
        let key_len = self.scratch.len();
        let kind = value(&mut self.scratch);
        let value_len = self.scratch.len() - key_len;
        let value_field = match kind {
            Value::Written => value_len as i64,
            Value::Tombstone => -1,
        };
        // attributes 1, timestamp delta 1 (always 0), offset delta, key length, value length, header count 1.
        let body = 3
            + varint_len(i64::from(self.count))
            + varint_len(key_len as i64)
            + key_len
            + varint_len(value_field)
            + value_len;
        let buffer = &mut self.buffer;
        put_varint(buffer, body as i64);
        buffer.put_u8(0);
        buffer.put_u8(0);
        put_varint(buffer, i64::from(self.count));
        put_varint(buffer, key_len as i64);
        buffer.put_slice(&self.scratch[..key_len]);
        put_varint(buffer, value_field);
        buffer.put_slice(&self.scratch[key_len..]);
        buffer.put_u8(0);
        self.count += 1;
    }

    /// Number of records so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The batch with its header and checksum.
    pub fn finish(mut self) -> Bytes {
        let length = (self.buffer.len() - 12) as i32;
        let mut header = &mut self.buffer[..HEADER_BYTES];
        header.put_i64(0);
        header.put_i32(length);
        header.put_i32(-1);
        header.put_i8(2);
        header.put_u32(0);
        header.put_i16(self.attributes);
        header.put_i32(self.count - 1);
        header.put_i64(self.timestamp);
        header.put_i64(self.timestamp);
        header.put_i64(self.producer_id);
        header.put_i16(self.producer_epoch);
        header.put_i32(self.base_sequence);
        header.put_i32(self.count);
        let crc = crc32c::crc32c(&self.buffer[ATTRIBUTES_AT..]);
        self.buffer[ATTRIBUTES_AT - 4..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        self.buffer.freeze()
    }
}

/// What a value writer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// The bytes it wrote are the value.
    Written,
    /// The record has a null value.
    Tombstone,
}

/// A control batch with one transaction marker: key {version 0, type 0 abort or 1 commit}, value {version 0,
/// coordinator epoch}.
pub fn marker_batch(
    timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    result: TransactionResult,
) -> Bytes {
    let mut batch = BatchBuilder::of_producer(timestamp, producer_id, producer_epoch).without_sequence();
    batch.attributes = TRANSACTIONAL | CONTROL;
    batch.push(
        |key| {
            key.put_i16(0);
            key.put_i16(match result {
                TransactionResult::Abort => 0,
                TransactionResult::Commit => 1,
            });
        },
        |value| {
            value.put_i16(0);
            value.put_i32(coordinator_epoch);
            Value::Written
        },
    );
    batch.finish()
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint_len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn put_varint(buffer: &mut BytesMut, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        buffer.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    buffer.put_u8(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_layout_of_the_format() {
        let mut batch = BatchBuilder::new(1000);
        batch.push(
            |key| key.put_slice(b"k"),
            |value| {
                value.put_slice(b"vv");
                Value::Written
            },
        );
        batch.push(|key| key.put_slice(b"gone"), |_| Value::Tombstone);
        let bytes = batch.finish();
        assert_eq!(i32::from_be_bytes(bytes[8..12].try_into().expect("four bytes")) as usize, bytes.len() - 12);
        assert_eq!(bytes[16], 2);
        assert_eq!(i32::from_be_bytes(bytes[57..61].try_into().expect("four bytes")), 2);
        // length 9, attributes, time delta, offset delta, key length 1, k, value length 2, vv, no headers
        assert_eq!(&bytes[61..71], &[18, 0, 0, 0, 2, b'k', 4, b'v', b'v', 0]);
        // length 10, .., offset delta 1, key length 4, gone, value length -1, no headers
        assert_eq!(&bytes[71..], &[20, 0, 0, 2, 8, b'g', b'o', b'n', b'e', 1, 0]);
        let crc = u32::from_be_bytes(bytes[17..21].try_into().expect("four bytes"));
        assert_eq!(crc, crc32c::crc32c(&bytes[21..]));
    }

    #[test]
    fn a_varint_is_as_long_as_announced() {
        for value in [0, -1, 1, 63, 64, -64, -65, 8191, 8192, i64::from(i32::MAX), i64::MIN, i64::MAX] {
            let mut buffer = BytesMut::new();
            put_varint(&mut buffer, value);
            assert_eq!(buffer.len(), varint_len(value), "{value}");
        }
    }
}
