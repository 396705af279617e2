//! `<offset>.snapshot`: the producer table as it was when the log ended at `offset` (ProducerSnapshot.json).
//!
//! ```text
//!  0  i16  version, 1              then per producer, 46 bytes:
//!  2  u32  CRC-32C from byte 6 on   0  i64 producer id      26  i64 timestamp
//!  6  i32  number of producers      8  i16 epoch            34  i32 coordinator epoch
//!                                  10  i32 last sequence    38  i64 first offset of the
//!                                  14  i64 last offset              open transaction, -1
//!                                  22  i32 offset delta
//! ```

use crate::producer_state::{BatchMark, Producer, ProducerState};

const VERSION: i16 = 1;
const HEADER_BYTES: usize = 10;
const ENTRY_BYTES: usize = 46;

/// The bytes of a snapshot.
pub(crate) fn encode(state: &ProducerState) -> Vec<u8> {
    let producers = state.producers();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + producers.len() * ENTRY_BYTES);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(producers.len() as i32).to_be_bytes());
    for (producer_id, producer) in producers {
        let none = BatchMark { last_sequence: -1, last_offset: -1, offset_delta: 0, timestamp: -1 };
        let last = producer.last_mark().unwrap_or(&none);
        bytes.extend_from_slice(&producer_id.to_be_bytes());
        bytes.extend_from_slice(&producer.epoch.to_be_bytes());
        bytes.extend_from_slice(&last.last_sequence.to_be_bytes());
        bytes.extend_from_slice(&last.last_offset.to_be_bytes());
        bytes.extend_from_slice(&last.offset_delta.to_be_bytes());
        bytes.extend_from_slice(&producer.last_timestamp.to_be_bytes());
        bytes.extend_from_slice(&producer.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&producer.txn_first_offset.to_be_bytes());
    }
    let crc = crc32c::crc32c(&bytes[6..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// The producers in a snapshot, or what is wrong with it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<(i64, Producer)>, &'static str> {
    if bytes.len() < HEADER_BYTES {
        return Err("shorter than its header");
    }
    if i16::from_be_bytes([bytes[0], bytes[1]]) != VERSION {
        return Err("unknown version");
    }
    if u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]) != crc32c::crc32c(&bytes[6..]) {
        return Err("wrong CRC");
    }
    let count = i32::from_be_bytes([bytes[6], bytes[7], bytes[8], bytes[9]]);
    let entries = &bytes[HEADER_BYTES..];
    if i64::from(count) * ENTRY_BYTES as i64 != entries.len() as i64 {
        return Err("wrong number of entries");
    }
    Ok(entries.chunks_exact(ENTRY_BYTES).map(decode_entry).collect())
}

fn decode_entry(entry: &[u8]) -> (i64, Producer) {
    let long = |at: usize| i64::from_be_bytes(entry[at..at + 8].try_into().expect("eight bytes were taken"));
    let int = |at: usize| i32::from_be_bytes(entry[at..at + 4].try_into().expect("four bytes were taken"));
    let epoch = i16::from_be_bytes([entry[8], entry[9]]);
    let txn_first_offset = long(38).max(-1);
    let mut producer = Producer::new(epoch, int(34), long(26), txn_first_offset);
    let last_offset = long(14);
    if last_offset >= 0 {
        producer.push(BatchMark { last_sequence: int(10), last_offset, offset_delta: int(22), timestamp: long(26) });
    }
    (long(0), producer)
}
