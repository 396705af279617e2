//! Record batches: written by hand, so that producer id, epoch and sequence are what the check wants, and read
//! back with the transactions that were aborted left out.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use millstream_protocol::messages::fetch_response::PartitionData;

use crate::wire::Connection;

const HEADER_BYTES: usize = 61;
const CRC_AT: usize = 17;

/// Who writes a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The sequence of the batch's first record.
    pub sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
}

/// A batch of key and value pairs.
pub fn batch(writer: Writer, records: &[(&[u8], &[u8])]) -> Bytes {
    let records: Vec<_> = records.iter().map(|(key, value)| (*key, Some(*value))).collect();
    batch_with_tombstones(writer, &records)
}

/// A batch of keys with values, or without: those are tombstones.
pub fn batch_with_tombstones(writer: Writer, records: &[(&[u8], Option<&[u8]>)]) -> Bytes {
    let mut body = BytesMut::new();
    for (index, (key, value)) in records.iter().enumerate() {
        let mut record = BytesMut::new();
        record.put_slice(&[0, 0]);
        put_varint(&mut record, index as i64);
        for field in [Some(*key), *value] {
            put_varint(&mut record, field.map_or(-1, |field| field.len() as i64));
            record.put_slice(field.unwrap_or_default());
        }
        record.put_u8(0);
        put_varint(&mut body, record.len() as i64);
        body.put_slice(&record);
    }
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
    let mut out = BytesMut::with_capacity(HEADER_BYTES + body.len());
    out.put_i64(0);
    out.put_i32((HEADER_BYTES - 12 + body.len()) as i32);
    out.put_i32(-1);
    out.put_u8(2);
    out.put_u32(0);
    out.put_i16(if writer.transactional { 0x10 } else { 0 });
    out.put_i32(records.len() as i32 - 1);
    out.put_i64(now);
    out.put_i64(now);
    out.put_i64(writer.producer_id);
    out.put_i16(writer.producer_epoch);
    out.put_i32(writer.sequence);
    out.put_i32(records.len() as i32);
    out.put_slice(&body);
    let crc = crc32c::crc32c(&out[CRC_AT + 4..]);
    out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    out.freeze()
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value, empty for a tombstone.
    pub value: Vec<u8>,
}

/// What a whole partition holds.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    /// The records that a consumer sees.
    pub records: Vec<Read>,
    /// How many markers stand between them.
    pub markers: usize,
    /// The high watermark.
    pub high_watermark: i64,
    /// The last stable offset.
    pub last_stable_offset: i64,
}

/// Reads a partition from its start to the end that the isolation level allows.
pub fn read_all(connection: &mut Connection, topic: &str, partition: i32, isolation: i8) -> anyhow::Result<Partition> {
    let mut whole = Partition::default();
    let mut offset = 0;
    loop {
        let data = connection.fetch(topic, partition, offset, isolation)?;
        whole.high_watermark = data.high_watermark;
        whole.last_stable_offset = data.last_stable_offset;
        let next = take(&data, offset, isolation, &mut whole)?;
        if next == offset {
            return Ok(whole);
        }
        offset = next;
    }
}

/// Adds the records of one fetch; answers the offset to go on with.
fn take(data: &PartitionData, from: i64, isolation: i8, whole: &mut Partition) -> anyhow::Result<i64> {
    let mut aborted_from: Vec<(i64, i64)> = data
        .aborted_transactions
        .iter()
        .flatten()
        .map(|aborted| (aborted.first_offset, aborted.producer_id.0))
        .collect();
    aborted_from.sort_unstable();
    aborted_from.reverse();
    let mut aborting = BTreeSet::new();
    let mut rest = data.records.clone().unwrap_or_default();
    let mut next = from;
    while rest.len() > HEADER_BYTES {
        let length = 12 + i32_at(&rest, 8)? as usize;
        if rest.len() < length {
            break;
        }
        let batch = rest.split_to(length);
        let crc = i32_at(&batch, CRC_AT)? as u32;
        ensure!(crc == crc32c::crc32c(&batch[CRC_AT + 4..]), "a batch with a wrong checksum at {next}");
        let base = i64_at(&batch, 0)?;
        let attributes = i16::from_be_bytes(batch[21..23].try_into()?);
        let producer_id = i64_at(&batch, 43)?;
        let last = base + i64::from(i32_at(&batch, 23)?);
        while aborted_from.last().is_some_and(|(first, _)| *first <= last) {
            aborting.extend(aborted_from.pop().map(|(_, producer_id)| producer_id));
        }
        let control = attributes & 0x20 != 0;
        let hidden = isolation == 1 && attributes & 0x10 != 0 && aborting.contains(&producer_id);
        if control {
            whole.markers += usize::from(last >= from);
            aborting.remove(&producer_id);
        } else if !hidden {
            take_records(&batch, base, from, whole)?;
        }
        next = last + 1;
    }
    Ok(next)
}

fn take_records(batch: &[u8], base: i64, from: i64, whole: &mut Partition) -> anyhow::Result<()> {
    let count = i32_at(batch, 57)?;
    let mut at = &batch[HEADER_BYTES..];
    for _ in 0..count {
        varint(&mut at)?;
        at = at.get(1..).context("a record is cut short")?;
        varint(&mut at)?;
        let offset = base + varint(&mut at)?;
        let key = field(&mut at)?;
        let value = field(&mut at)?;
        ensure!(varint(&mut at)? == 0, "headers that nobody wrote");
        if offset >= from {
            whole.records.push(Read { offset, key, value });
        }
    }
    Ok(())
}

fn field(at: &mut &[u8]) -> anyhow::Result<Vec<u8>> {
    let length = usize::try_from(varint(at)?).unwrap_or(0);
    let (field, rest) = at.split_at_checked(length).context("a record is cut short")?;
    *at = rest;
    Ok(field.to_vec())
}

fn i32_at(bytes: &[u8], at: usize) -> anyhow::Result<i32> {
    Ok(i32::from_be_bytes(bytes.get(at..at + 4).context("a batch is cut short")?.try_into()?))
}

fn i64_at(bytes: &[u8], at: usize) -> anyhow::Result<i64> {
    Ok(i64::from_be_bytes(bytes.get(at..at + 8).context("a batch is cut short")?.try_into()?))
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

fn varint(at: &mut &[u8]) -> anyhow::Result<i64> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let (byte, rest) = at.split_first().context("a record is cut short")?;
        *at = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
        shift += 7;
        ensure!(shift < 64, "a number without end");
    }
}
