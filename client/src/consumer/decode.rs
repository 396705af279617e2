//! Fetched bytes to records, lent from the buffer that came over the wire.
//!
//! `fetch.rs` hands over the bytes of a partition; poll takes chunks out of them. A chunk is a run of records of one
//! batch, all of them read once to be sure of their form, so that walking it again cannot fail and copies nothing.
//! Control batches and aborted transactions are passed over here (Java: `CompletedFetch`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use millstream_protocol::batch::{BatchHeader, EndMarker, HEADER_BYTES, LENGTH_OVERHEAD, MarkerKind, is_intact};
use millstream_protocol::compress::{self, Codec};
use millstream_protocol::record;

use crate::TopicPartition;
use crate::config::{Crc, Isolation};
use crate::error::ClientError;

/// What one compressed batch may grow to.
const PLAIN_BYTES_MAX: usize = 1 << 30;

/// What a record's time says.
///
/// ```
/// use client::consumer::{Record, TimestampType};
///
/// fn created(record: &Record<'_>) -> Option<i64> {
///     (record.timestamp_type == TimestampType::CreateTime).then_some(record.timestamp)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// When its producer made it.
    CreateTime,
    /// When the broker appended it.
    LogAppendTime,
}

/// A record, lent from [`Records`].
///
/// ```
/// use client::consumer::Record;
///
/// fn print(record: &Record<'_>) {
///     println!("{}-{}@{}: {:?}", record.topic(), record.partition(), record.offset, record.value);
///     record.headers().for_each(|(name, value)| println!("  {name:?}={value:?}"));
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where it was read from.
    pub place: &'a TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// Its time, milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// What the time says.
    pub timestamp_type: TimestampType,
    /// Epoch of the leader that wrote it, -1 for none.
    pub leader_epoch: i32,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null.
    pub value: Option<&'a [u8]>,
    raw: record::Record<'a>,
    source: &'a Chunk,
}

/// A record that outlives its [`Records`]. Key, value and headers lie where they lay: the buffer is kept while any of
/// its records is.
///
/// ```
/// use client::consumer::{OwnedRecord, Records};
///
/// fn keep(records: &Records) -> Vec<OwnedRecord> {
///     records.iter().filter(|record| record.key.is_some()).map(|record| record.to_owned()).collect()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Where it was read from.
    pub place: Arc<TopicPartition>,
    /// Its offset.
    pub offset: i64,
    /// Its time, milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// What the time says.
    pub timestamp_type: TimestampType,
    /// Epoch of the leader that wrote it, -1 for none.
    pub leader_epoch: i32,
    /// The key, or null.
    pub key: Option<Bytes>,
    /// The value, or null.
    pub value: Option<Bytes>,
    /// Names, which need not be UTF-8, and values.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl<'a> Record<'a> {
    /// The topic.
    pub fn topic(&self) -> &'a str {
        &self.place.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.place.partition
    }

    /// The same, owned; nothing but the list of headers is copied.
    pub fn to_owned(&self) -> OwnedRecord {
        let part = |bytes: &[u8]| self.source.bytes.slice_ref(bytes);
        OwnedRecord {
            place: self.source.place.clone(),
            offset: self.offset,
            timestamp: self.timestamp,
            timestamp_type: self.timestamp_type,
            leader_epoch: self.leader_epoch,
            key: self.key.map(part),
            value: self.value.map(part),
            headers: self.headers().map(|(name, value)| (part(name), value.map(part))).collect(),
        }
    }

    /// The buffer that key and value lie in, for who keeps a part of it.
    pub fn buffer(&self) -> &'a Bytes {
        &self.source.bytes
    }

    /// The headers: names, which need not be UTF-8, and values.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        self.raw.headers()
    }
}

/// A run of records of one batch.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    place: Arc<TopicPartition>,
    bytes: Bytes,
    pub count: usize,
    header: BatchHeader,
}

impl Chunk {
    fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        record::Records::new(&self.bytes, self.count as i32).map_while(Result::ok).map(|raw| self.record(raw))
    }

    #[inline]
    fn record<'a>(&'a self, raw: record::Record<'a>) -> Record<'a> {
        let header = &self.header;
        let (timestamp_type, timestamp) = if header.is_log_append_time() {
            (TimestampType::LogAppendTime, header.max_timestamp)
        } else {
            (TimestampType::CreateTime, header.base_timestamp.wrapping_add(raw.timestamp_delta))
        };
        Record {
            place: &self.place,
            offset: header.base_offset + i64::from(raw.offset_delta),
            timestamp,
            timestamp_type,
            leader_epoch: header.leader_epoch,
            key: raw.key,
            value: raw.value,
            raw,
            source: self,
        }
    }
}

/// Records of one partition in a row, which are read one at a time and need not be owned each: it knows how far it was
/// read.
///
/// ```
/// use client::consumer::Records;
///
/// fn first_offsets(records: Records) -> Vec<i64> {
///     records.into_runs().filter_map(|mut run| run.next_record().map(|record| record.offset)).collect()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    chunk: Chunk,
    at: usize,
    left: usize,
}

impl Run {
    /// Where it was read from.
    pub fn place(&self) -> &TopicPartition {
        &self.chunk.place
    }

    /// How many records are left.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether all were read.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next record.
    #[inline]
    pub fn next_record(&mut self) -> Option<Record<'_>> {
        let rest = self.chunk.bytes.get(self.at..)?;
        let mut records = record::Records::new(rest, self.left as i32);
        let raw = records.next()?.ok()?;
        self.at = self.chunk.bytes.len() - records.rest().len();
        self.left -= 1;
        Some(self.chunk.record(raw))
    }
}

/// What a poll brought: records lent from the fetched buffers, in the order of each partition.
///
/// ```
/// use client::consumer::Records;
///
/// fn sizes(records: &Records) {
///     for place in records.partitions() {
///         println!("{place}: {} of {} records", records.of(&place).count(), records.len());
///     }
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Records {
    chunks: Vec<Chunk>,
}

impl Records {
    pub(crate) fn push(&mut self, chunk: Chunk) {
        self.chunks.push(chunk);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.count).sum()
    }

    /// Bytes that they take, decompressed.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.len()).sum()
    }

    /// The partitions that they are of.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        let mut places: Vec<TopicPartition> = self.chunks.iter().map(|chunk| (*chunk.place).clone()).collect();
        places.sort();
        places.dedup();
        places
    }

    /// By topic, in the order of the chunks: how many, and how many bytes.
    pub(super) fn by_topic(&self) -> Vec<(&str, usize, usize)> {
        let mut all: Vec<(&str, usize, usize)> = Vec::new();
        for chunk in &self.chunks {
            match all.last_mut().filter(|(topic, ..)| *topic == chunk.place.topic) {
                Some((_, count, bytes)) => (*count, *bytes) = (*count + chunk.count, *bytes + chunk.bytes.len()),
                None => all.push((&chunk.place.topic, chunk.count, chunk.bytes.len())),
            }
        }
        all
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.chunks.iter().flat_map(Chunk::iter)
    }

    /// All of them as runs, for who reads them later than the next poll.
    pub fn into_runs(self) -> impl Iterator<Item = Run> {
        self.chunks.into_iter().map(|chunk| Run { at: 0, left: chunk.count, chunk })
    }

    /// Those of one partition.
    pub fn of(&self, place: &TopicPartition) -> impl Iterator<Item = Record<'_>> {
        self.chunks.iter().filter(move |chunk| *chunk.place == *place).flat_map(Chunk::iter)
    }
}

/// A batch being handed out.
struct Open {
    header: BatchHeader,
    plain: Bytes,
    left: i32,
}

/// Of the first record of a batch, at most: as many can follow as a batch can number.
const OFFSET_MAX: i64 = i64::MAX - u32::MAX as i64;

/// The bytes of a partition as a fetch brought them, and how far they were taken.
pub(crate) struct Fetched {
    place: Arc<TopicPartition>,
    bytes: Bytes,
    /// By first offset, the earliest last.
    aborted: Vec<(i64, i64)>,
    dropping: BTreeSet<i64>,
    isolation: Isolation,
    crc: Crc,
    open: Option<Open>,
    /// Offset of the next record to hand out.
    pub position: i64,
    /// Leader epoch of the last batch that was opened.
    pub epoch: i32,
    #[expect(dead_code, reason = "counts the answer that the bytes are part of until it is dropped")]
    held: Option<Arc<Held>>,
}

/// Bytes of an answer, counted until everything of it was handed out.
pub(crate) struct Held {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Held {
    pub fn new(bytes: usize, total: &Arc<AtomicUsize>) -> Arc<Self> {
        total.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Held { bytes, total: total.clone() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Fetched {
    /// `aborted` are first offset and producer id of the transactions that were aborted.
    pub fn new(
        place: Arc<TopicPartition>,
        bytes: Bytes,
        mut aborted: Vec<(i64, i64)>,
        position: i64,
        isolation: Isolation,
        crc: Crc,
    ) -> Self {
        aborted.sort_unstable_by(|left, right| right.cmp(left));
        Fetched {
            place,
            bytes,
            aborted,
            dropping: BTreeSet::new(),
            isolation,
            crc,
            open: None,
            position,
            epoch: -1,
            held: None,
        }
    }

    /// The same as part of an answer that is counted.
    pub fn of(self, held: Arc<Held>) -> Self {
        Fetched { held: Some(held), ..self }
    }

    /// The next run of at most `max` records; None when all was taken.
    pub fn next_chunk(&mut self, max: usize) -> Result<Option<Chunk>, ClientError> {
        loop {
            if self.open.is_none() && !self.open_next()? {
                return Ok(None);
            }
            if let Some(chunk) = self.cut(max)? {
                return Ok(Some(chunk));
            }
        }
    }

    /// Cuts up to `max` records off the open batch; None when those left in it are all before the position.
    fn cut(&mut self, max: usize) -> Result<Option<Chunk>, ClientError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        let mut records = record::Records::new(&open.plain, open.left);
        let (mut start, mut count, mut skipped) = (0, 0, 0);
        let mut next = self.position;
        while count < max {
            match records.next() {
                None => break,
                Some(Err(malformed)) => {
                    let offset = open.header.base_offset;
                    return Err(self.broken(offset, format!("{malformed:?}")));
                }
                Some(Ok(record)) => {
                    let offset = open.header.base_offset + i64::from(record.offset_delta);
                    if offset < self.position {
                        start = open.plain.len() - records.rest().len();
                        skipped += 1;
                    } else {
                        count += 1;
                        next = offset + 1;
                    }
                }
            }
        }
        let end = open.plain.len() - records.rest().len();
        let chunk =
            Chunk { place: self.place.clone(), bytes: open.plain.slice(start..end), count, header: open.header };
        open.left -= skipped + count as i32;
        self.position = next;
        if open.left <= 0 {
            self.position = self.position.max(open.header.last_offset() + 1);
            self.open = None;
        } else {
            open.plain = open.plain.slice(end..);
        }
        Ok((count > 0).then_some(chunk))
    }

    /// Opens the next batch that holds records for the application; false when there is none.
    fn open_next(&mut self) -> Result<bool, ClientError> {
        while let Some(header) = BatchHeader::decode(&self.bytes) {
            let least = (HEADER_BYTES - LENGTH_OVERHEAD) as i32;
            if header.length < least {
                return Err(self.broken(header.base_offset, format!("a batch of {} bytes", header.length)));
            }
            if header.size() > self.bytes.len() {
                // A fetch may end inside a batch.
                break;
            }
            if header.magic != 2 {
                return Err(self.broken(header.base_offset, format!("format {}", header.magic)));
            }
            // The offset stands outside of the CRC; none behind it may be beyond what there can be.
            if header.base_offset > OFFSET_MAX {
                return Err(self.broken(header.base_offset, "no such offset".to_owned()));
            }
            let batch = self.bytes.split_to(header.size());
            if header.last_offset() < self.position {
                self.mark(&header, &batch);
                continue;
            }
            if self.crc == Crc::Checked && !is_intact(&header, &batch) {
                return Err(self.broken(header.base_offset, "the CRC does not match".to_owned()));
            }
            if !self.mark(&header, &batch) || header.record_count <= 0 {
                self.position = header.last_offset() + 1;
                continue;
            }
            let plain = self.plain(&header, batch.slice(HEADER_BYTES..))?;
            self.epoch = header.leader_epoch;
            self.open = Some(Open { header, plain, left: header.record_count });
            return Ok(true);
        }
        self.bytes = Bytes::new();
        Ok(false)
    }

    /// Keeps book of aborted transactions; whether the batch is for the application.
    fn mark(&mut self, header: &BatchHeader, batch: &[u8]) -> bool {
        while let Some((_, producer)) = self.aborted.pop_if(|(first, _)| *first <= header.last_offset()) {
            self.dropping.insert(producer);
        }
        if header.is_control() {
            if EndMarker::decode(batch).is_some_and(|marker| marker.kind == MarkerKind::Abort) {
                self.dropping.remove(&header.producer_id);
            }
            return false;
        }
        let aborted = header.is_transactional() && self.dropping.contains(&header.producer_id);
        self.isolation == Isolation::ReadUncommitted || !aborted
    }

    fn plain(&self, header: &BatchHeader, records: Bytes) -> Result<Bytes, ClientError> {
        match Codec::from_id(header.codec()) {
            None => Err(self.broken(header.base_offset, format!("unknown codec {}", header.codec()))),
            Some(Codec::None) => Ok(records),
            Some(codec) => {
                let mut plain = Vec::with_capacity(records.len() * 3);
                compress::decompress(codec, &records, PLAIN_BYTES_MAX, &mut plain)
                    .map_err(|error| self.broken(header.base_offset, error.to_string()))?;
                Ok(plain.into())
            }
        }
    }

    fn broken(&self, offset: i64, reason: String) -> ClientError {
        let TopicPartition { topic, partition } = (*self.place).clone();
        ClientError::Records { topic, partition, offset, reason }
    }
}

#[cfg(test)]
mod tests;
