//! A batch under construction: records are written straight into the bytes that go over the wire.
//!
//! Filled by `accumulate.rs`; sealed (compressed, stamped, checksummed) by `sender.rs` outside of any lock. A batch
//! that is sent again is only stamped anew. Never here: when a batch leaves.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use millstream_protocol::batch::{self, BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD};
use millstream_protocol::compress::{self, Codec, CompressError};
use millstream_protocol::record::{Records, put_record, record_size};
use uuid::Uuid;

use super::delivery::Promise;
use super::idempotent::Stamp;
use super::{NewRecord, header_bytes};

const NO_PRODUCER: Stamp = Stamp { producer_id: -1, producer_epoch: -1, base_sequence: -1, attributes: 0 };

/// Which queue a batch belongs to: index of the topic, partition.
pub(crate) type Place = (usize, i32);

enum Form {
    /// Header bytes still empty, records in plain form.
    Plain(Vec<u8>),
    /// As it goes over the wire.
    Sealed(Bytes),
}

/// How large a batch may become.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Plain bytes that it should not exceed.
    pub limit: usize,
    /// What it counts against `buffer.memory`.
    pub reserved: usize,
}

/// The time, once by each clock.
#[derive(Clone, Copy, Default)]
pub(crate) struct Now {
    pub steady_ms: i64,
    pub wall_ms: i64,
}

/// A batch as it goes over the wire.
pub(crate) struct Sealed {
    pub bytes: Bytes,
    /// Bytes on the wire over plain ones, where it was compressed now.
    pub ratio: Option<f32>,
    /// The buffer that it was compressed from, for another batch.
    pub spare: Vec<u8>,
}

/// Records of one partition that go together.
pub(crate) struct Batch {
    /// Grows from batch to batch.
    pub id: u64,
    pub place: Place,
    pub topic: Arc<str>,
    /// As known at the last attempt.
    pub topic_id: Uuid,
    form: Form,
    pub count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    /// Milliseconds of the producer's own clock.
    pub created_ms: i64,
    /// The same moment by the wall's clock.
    created_wall_ms: i64,
    pub last_attempt_ms: i64,
    pub attempts: u32,
    /// Leader epoch known at the last attempt.
    pub attempted_epoch: i32,
    /// Takes no more records.
    pub closed: bool,
    /// What it counts against `buffer.memory`.
    pub reserved: usize,
    /// Plain bytes that it should not exceed.
    limit: usize,
    pub outcome: Option<Promise>,
    /// Whether a record in it has no delivery, so that a failure is told by flush.
    pub unobserved: bool,
}

impl Batch {
    /// An empty batch in `buffer`, which may have been used before.
    pub fn new(id: u64, (place, topic): (Place, Arc<str>), size: Size, mut buffer: Vec<u8>, now: Now) -> Self {
        let Size { limit, reserved } = size;
        buffer.clear();
        buffer.reserve_exact(reserved.max(HEADER_BYTES));
        buffer.resize(HEADER_BYTES, 0);
        Batch {
            id,
            place,
            topic,
            topic_id: Uuid::nil(),
            form: Form::Plain(buffer),
            count: 0,
            base_timestamp: 0,
            max_timestamp: -1,
            created_ms: now.steady_ms,
            created_wall_ms: now.wall_ms,
            last_attempt_ms: now.steady_ms,
            attempts: 0,
            attempted_epoch: -1,
            closed: false,
            reserved,
            limit,
            outcome: None,
            unobserved: false,
        }
    }

    /// Bytes: those on the wire once sealed, plain ones before.
    pub fn size(&self) -> usize {
        match &self.form {
            Form::Plain(buffer) => buffer.len(),
            Form::Sealed(bytes) => bytes.len(),
        }
    }

    /// Whether it should leave without waiting for more (Java: `MemoryRecordsBuilder.isFull`).
    pub fn is_full(&self) -> bool {
        self.closed || (self.count > 0 && self.size() >= self.limit)
    }

    /// The time of a record that brings none: `coarse_ms` may lie before the batch was begun.
    #[inline]
    pub fn time_of(&self, record: &NewRecord<'_>, coarse_ms: i64) -> i64 {
        record.timestamp.unwrap_or_else(|| coarse_ms.max(self.created_wall_ms))
    }

    /// Appends a record and returns its bytes, or None when it does not fit; the first always does.
    #[inline]
    pub fn push(&mut self, record: &NewRecord<'_>, timestamp: i64) -> Option<usize> {
        let Form::Plain(buffer) = &mut self.form else { return None };
        if self.closed {
            return None;
        }
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        let delta = timestamp.wrapping_sub(self.base_timestamp);
        let headers = || record.headers.iter().map(header_bytes);
        let size = record_size(delta, self.count, record.key, record.value, headers());
        let before = buffer.len();
        if self.count > 0 && (before + size + 5 > self.limit || self.count == i32::MAX) {
            self.closed = true;
            return None;
        }
        put_record(buffer, size, (delta, self.count), record.key, record.value, headers());
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Some(buffer.len() - before)
    }

    /// The bytes for the wire under `stamp`; `scratch` is for compressing, kept by the caller.
    ///
    /// # Errors
    /// Only when the codec fails.
    pub fn seal(
        &mut self,
        (codec, level): (Codec, Option<i32>),
        stamp: Option<Stamp>,
        scratch: &mut Vec<u8>,
    ) -> Result<Sealed, CompressError> {
        let mut spare = Vec::new();
        let (mut bytes, ratio) = match std::mem::replace(&mut self.form, Form::Sealed(Bytes::new())) {
            Form::Sealed(bytes) => (bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..])), None),
            Form::Plain(plain) if codec == Codec::None => (BytesMut::from(Bytes::from(plain)), None),
            Form::Plain(plain) => {
                scratch.clear();
                scratch.resize(HEADER_BYTES, 0);
                compress::compress(codec, level, &plain[HEADER_BYTES..], scratch)?;
                let ratio = scratch.len() as f32 / plain.len() as f32;
                spare = plain;
                (BytesMut::from(&scratch[..]), Some(ratio))
            }
        };
        let stamp = stamp.unwrap_or(NO_PRODUCER);
        let mut header = BatchHeader {
            length: (bytes.len() - LENGTH_OVERHEAD) as i32,
            attributes: codec.id() | stamp.attributes,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            record_count: self.count,
            ..BatchHeader::default()
        };
        header.crc = batch::checksum(&header.encode(), &bytes[HEADER_BYTES..]);
        bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
        let bytes = bytes.freeze();
        self.form = Form::Sealed(bytes.clone());
        self.closed = true;
        Ok(Sealed { bytes, ratio, spare })
    }

    /// The buffer, for another batch.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        match std::mem::replace(&mut self.form, Form::Sealed(Bytes::new())) {
            Form::Plain(buffer) => buffer,
            Form::Sealed(mut bytes) => {
                // Emptied, so that nothing of it is copied even where somebody still holds it.
                bytes.clear();
                Vec::from(bytes)
            }
        }
    }

    /// Cuts a batch that the broker found too large into at least two of at most `limit` plain bytes, or of one record
    /// (Java: `ProducerBatch.split`). The parts keep its age.
    ///
    /// # Errors
    /// The batch itself, when it cannot be read back.
    pub fn split(self, codec: Codec, limit: usize, next_id: impl FnMut() -> u64) -> Result<Vec<Batch>, Box<Batch>> {
        let Some((mut parts, firsts)) = self.parts(codec, limit, next_id) else { return Err(Box::new(self)) };
        let share = self.reserved / parts.len().max(1);
        for part in &mut parts {
            part.closed = true;
            part.reserved = share;
        }
        if let Some(first) = parts.first_mut() {
            first.reserved += self.reserved - share * firsts.len();
        }
        if let Some(outcome) = &self.outcome {
            let moved = firsts
                .into_iter()
                .zip(&mut parts)
                .map(|(first, part)| (first, part.outcome.get_or_insert_with(|| Promise::new(part.place.1)).outcome()));
            outcome.moved(moved.collect());
        }
        Ok(parts)
    }

    /// The parts, each with the index of its first record.
    fn parts(&self, codec: Codec, limit: usize, mut next_id: impl FnMut() -> u64) -> Option<(Vec<Batch>, Vec<i32>)> {
        let mut plain = Vec::new();
        match &self.form {
            Form::Plain(buffer) => plain.extend_from_slice(&buffer[HEADER_BYTES..]),
            Form::Sealed(bytes) => compress::decompress(codec, bytes.get(HEADER_BYTES..)?, 1 << 30, &mut plain).ok()?,
        }
        // A topic may allow less than batch.size: a part of the size of the whole would come back as often as it is sent.
        let size = plain.len() + HEADER_BYTES;
        let limit = if size > limit { limit } else { size / 2 };
        let mut parts: Vec<Batch> = Vec::new();
        let mut firsts = Vec::new();
        for (index, record) in Records::new(&plain, self.count).enumerate() {
            let record = record.ok()?;
            let headers: Vec<_> =
                record.headers().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value)).collect();
            let record_ms = self.base_timestamp + record.timestamp_delta;
            let record = NewRecord { key: record.key, value: record.value, headers: &headers, ..NewRecord::default() };
            if parts.last_mut().and_then(|last| last.push(&record, record_ms)).is_none() {
                let (size, own) = (Size { limit, reserved: limit }, (self.place, self.topic.clone()));
                let now = Now { steady_ms: self.created_ms, wall_ms: self.created_wall_ms };
                let mut part = Batch::new(next_id(), own, size, Vec::new(), now);
                part.unobserved = self.unobserved;
                part.push(&record, record_ms)?;
                firsts.push(index as i32);
                parts.push(part);
            }
        }
        Some((parts, firsts))
    }
}
