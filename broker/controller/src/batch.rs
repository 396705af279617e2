//! The Kafka record batch around one log entry: one record without key or headers, base offset = raft index,
//! partition leader epoch = raft term, so that Apache's log tools can read the metadata log as they read any other.
//!
//! ```text
//!  0 base offset 8 | 8 length 4 | 12 leader epoch 4 | 16 magic 1 | 17 crc 4 | 21 attributes 2 | 23 last delta 4
//! 27 base timestamp 8 | 35 max timestamp 8 | 43 producer id 8 | 51 epoch 2 | 53 sequence 4 | 57 count 4 | 61 records
//! ```

use bytes::BufMut;

const HEADER_BYTES: usize = 61;
/// Base offset and length, which the length field does not count.
const PREFIX_BYTES: usize = 12;
const CRC_AT: usize = 17;
const MAGIC: u8 = 2;

/// One entry as read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadBatch<'a> {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) value: &'a [u8],
}

/// Appends the batch of one entry to `into`.
pub(crate) fn write(offset: i64, leader_epoch: i32, timestamp_ms: i64, value: &[u8], into: &mut Vec<u8>) {
    let mut record = Vec::with_capacity(value.len() + 16);
    // Attributes, timestamp delta, offset delta (all zero), no key.
    record.put_slice(&[0, 0, 0]);
    put_varint(&mut record, -1);
    put_varint(&mut record, value.len() as i64);
    record.put_slice(value);
    put_varint(&mut record, 0);

    let start = into.len();
    into.put_i64(offset);
    into.put_i32(0);
    into.put_i32(leader_epoch);
    into.put_u8(MAGIC);
    into.put_u32(0);
    into.put_i16(0);
    into.put_i32(0);
    into.put_i64(timestamp_ms);
    into.put_i64(timestamp_ms);
    into.put_i64(-1);
    into.put_i16(-1);
    into.put_i32(-1);
    into.put_i32(1);
    put_varint(into, record.len() as i64);
    into.put_slice(&record);
    let length = (into.len() - start - PREFIX_BYTES) as i32;
    into[start + 8..start + 12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&into[start + CRC_AT + 4..]);
    into[start + CRC_AT..start + CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}

/// Number of bytes of the batch that `bytes` starts with, `None` when fewer than its length field are there.
pub(crate) fn size(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(8..12)?;
    let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
    usize::try_from(length).ok().map(|length| length + PREFIX_BYTES)
}

/// Reads the batch that `bytes` is.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(bytes: &[u8]) -> Result<ReadBatch<'_>, String> {
    if bytes.len() < HEADER_BYTES || size(bytes) != Some(bytes.len()) {
        return Err("a batch is cut short".to_owned());
    }
    let int = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    if bytes[16] != MAGIC || int(57) != 1 {
        return Err("a batch is not one entry of a metadata log".to_owned());
    }
    let (stored, computed) = (int(CRC_AT), crc32c::crc32c(&bytes[CRC_AT + 4..]));
    if stored != computed {
        return Err(format!("a batch has CRC {stored:08x} but its bytes give {computed:08x}"));
    }
    let mut rest = &bytes[HEADER_BYTES..];
    let malformed = || "a record inside a batch is malformed".to_owned();
    let length = take_varint(&mut rest).ok_or_else(malformed)?;
    if usize::try_from(length) != Ok(rest.len()) || rest.len() < 3 {
        return Err(malformed());
    }
    rest = &rest[3..];
    let _key_length = take_varint(&mut rest).filter(|length| *length == -1).ok_or_else(malformed)?;
    let length = take_varint(&mut rest).and_then(|length| usize::try_from(length).ok()).ok_or_else(malformed)?;
    let value = rest.get(..length).ok_or_else(malformed)?;
    let offset = i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
    Ok(ReadBatch { offset, leader_epoch: int(12) as i32, value })
}

fn put_varint(into: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

fn take_varint(from: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        write(7, 3, 1_700_000_000_000, b"value", &mut bytes);
        let first = bytes.len();
        write(8, 3, 1_700_000_000_001, &[9; 300], &mut bytes);
        assert_eq!(size(&bytes), Some(first));
        assert_eq!(read(&bytes[..first]).unwrap(), ReadBatch { offset: 7, leader_epoch: 3, value: b"value" });
        assert_eq!(read(&bytes[first..]).unwrap().value, [9; 300]);
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        write(7, 3, 0, b"value", &mut bytes);
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        assert!(read(&bytes).unwrap_err().contains("CRC"));
        assert_eq!(read(&bytes[..20]).unwrap_err(), "a batch is cut short");
    }
}
