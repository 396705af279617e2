//! Records inside a batch: walked in place without allocation, and batches written from records.
//!
//! Used by broker/log to validate and to compact, and by the client to read what it fetched and to write what it
//! sends. The records are given in plain form; `compress.rs` brings them there.

use crate::batch::{self, BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD};
use crate::compress::{self, Codec, CompressError};

/// Why the bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Java's `InvalidRecordException`.
    Record(&'static str),
    /// A length that is no varint, which Java lets through as an unexpected error.
    Varint,
}

/// One record, borrowed from the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its time less the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Its offset less the batch's base offset.
    pub offset_delta: i32,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null.
    pub value: Option<&'a [u8]>,
    /// Attributes are zero in every version so far; kept as they came.
    attributes: u8,
    /// Key and value with their lengths, header count and headers: what does not change with the offset.
    body: &'a [u8],
    header_count: i32,
    /// The headers, checked when the record was read.
    headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// Its headers: names as they stand in the record, which need not be UTF-8, and values.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.headers;
        (0..self.header_count).map_while(move |_| {
            let name = sized(&mut rest).ok()??;
            Some((name, sized(&mut rest).ok()?))
        })
    }

    /// A record of a test; `body` is key, value and headers as they stand in a batch.
    pub fn of_body(body: &'a [u8]) -> Self {
        Record {
            timestamp_delta: 0,
            offset_delta: 0,
            key: None,
            value: None,
            attributes: 0,
            body,
            header_count: 0,
            headers: &[],
        }
    }
}

/// Walks a number of records.
pub struct Records<'a> {
    bytes: &'a [u8],
    left: i32,
}

impl<'a> Records<'a> {
    /// The first `count` records of `bytes`.
    pub fn new(bytes: &'a [u8], count: i32) -> Self {
        Records { bytes, left: count }
    }

    /// Bytes behind the records that were read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether bytes are left behind the last record.
    pub fn has_rest(&self) -> bool {
        !self.bytes.is_empty()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = read_record(&mut self.bytes);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

#[inline]
fn read_record<'a>(bytes: &mut &'a [u8]) -> Result<Record<'a>, Malformed> {
    let size = match varint(bytes) {
        Ok(size) => size,
        Err(Malformed::Varint) => return Err(Malformed::Varint),
        Err(Malformed::Record(_)) => {
            return Err(Malformed::Record("Incorrect declared batch size, premature EOF reached"));
        }
    };
    let Some((mut rest, behind)) = usize::try_from(size).ok().and_then(|size| bytes.split_at_checked(size)) else {
        return Err(Malformed::Record("Invalid record size: the payload is shorter than declared"));
    };
    *bytes = behind;
    read_fields(&mut rest).map_err(|_| Malformed::Record("Found invalid record structure"))
}

#[inline]
fn read_fields<'a>(rest: &mut &'a [u8]) -> Result<Record<'a>, Malformed> {
    let (attributes, after) = rest.split_first().ok_or(Malformed::Record("no attributes"))?;
    *rest = after;
    let timestamp_delta = varlong(rest)?;
    let offset_delta = varint(rest)?;
    let body = *rest;
    let key = sized(rest)?;
    let value = sized(rest)?;
    let header_count = varint(rest)?;
    if header_count < 0 || header_count as usize > rest.len() {
        return Err(Malformed::Record("header count"));
    }
    let headers = *rest;
    for _ in 0..header_count {
        sized(rest)?.ok_or(Malformed::Record("header without key"))?;
        sized(rest)?;
    }
    if !rest.is_empty() {
        return Err(Malformed::Record("bytes left in the record"));
    }
    Ok(Record { timestamp_delta, offset_delta, key, value, attributes: *attributes, body, header_count, headers })
}

#[inline]
fn sized<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let size = varint(bytes)?;
    if size < 0 {
        return Ok(None);
    }
    let (field, rest) = bytes.split_at_checked(size as usize).ok_or(Malformed::Record("field longer than record"))?;
    *bytes = rest;
    Ok(Some(field))
}

#[inline]
fn varint(bytes: &mut &[u8]) -> Result<i32, Malformed> {
    let mut value: u32 = 0;
    for index in 0..5 {
        let byte = *bytes.get(index).ok_or(Malformed::Record("varint cut"))?;
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok((value >> 1) as i32 ^ -((value & 1) as i32));
        }
    }
    Err(Malformed::Varint)
}

#[inline]
fn varlong(bytes: &mut &[u8]) -> Result<i64, Malformed> {
    let mut value: u64 = 0;
    for index in 0..10 {
        let byte = *bytes.get(index).ok_or(Malformed::Record("varlong cut"))?;
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32).unwrap_or(0);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(Malformed::Varint)
}

/// Appends a zigzag varint.
#[inline]
pub fn put_varint(into: &mut Vec<u8>, value: i64) {
    let mut bits = ((value << 1) ^ (value >> 63)) as u64;
    while bits >= 0x80 {
        into.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    into.push(bits as u8);
}

#[inline]
fn put_sized(into: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(field) => {
            put_varint(into, field.len() as i64);
            into.extend_from_slice(field);
        }
        None => put_varint(into, -1),
    }
}

/// Bytes of a record behind its length, from which [`put_record`] makes the length.
#[inline]
pub fn record_size<'h>(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: impl ExactSizeIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
) -> usize {
    let sized = |field: Option<&[u8]>| field.map_or(1, |field| varint_size(field.len() as i64) + field.len());
    let mut size = 1 + varint_size(timestamp_delta) + varint_size(i64::from(offset_delta)) + sized(key) + sized(value);
    size += varint_size(headers.len() as i64);
    for (name, value) in headers {
        size += sized(Some(name)) + sized(value);
    }
    size
}

/// Appends a record whose parts come to `size` by [`record_size`]: straight into a batch, without a copy between.
#[inline]
pub fn put_record<'h>(
    into: &mut Vec<u8>,
    size: usize,
    (timestamp_delta, offset_delta): (i64, i32),
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: impl ExactSizeIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
) {
    into.reserve(size + 5);
    put_varint(into, size as i64);
    into.push(0);
    put_varint(into, timestamp_delta);
    put_varint(into, i64::from(offset_delta));
    put_sized(into, key);
    put_sized(into, value);
    put_varint(into, headers.len() as i64);
    for (name, value) in headers {
        put_sized(into, Some(name));
        put_sized(into, value);
    }
}

#[inline]
fn varint_size(value: i64) -> usize {
    let bits = ((value << 1) ^ (value >> 63)) as u64;
    (64 - (bits | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes a batch anew from records of an old one: what recompression and compaction need.
pub struct BatchWriter {
    records: Vec<u8>,
    base_timestamp: i64,
    first_timestamp: Option<i64>,
    max_timestamp: i64,
    count: i32,
    /// Kept between records.
    body: Vec<u8>,
}

impl BatchWriter {
    /// `base_timestamp` is what the new batch's deltas count from; `None` takes the first record's time.
    pub fn new(base_timestamp: Option<i64>) -> Self {
        BatchWriter {
            records: Vec::new(),
            base_timestamp: base_timestamp.unwrap_or(0),
            first_timestamp: base_timestamp,
            max_timestamp: -1,
            count: 0,
            body: Vec::new(),
        }
    }

    /// Appends a record under a new offset, with its time.
    pub fn push(&mut self, record: &Record<'_>, offset_delta: i32, timestamp: i64) {
        if self.first_timestamp.is_none() {
            self.first_timestamp = Some(timestamp);
            self.base_timestamp = timestamp;
        }
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let size = 1 + varint_size(timestamp_delta) + varint_size(i64::from(offset_delta)) + record.body.len();
        put_varint(&mut self.records, size as i64);
        self.records.push(record.attributes);
        put_varint(&mut self.records, timestamp_delta);
        put_varint(&mut self.records, i64::from(offset_delta));
        self.records.extend_from_slice(record.body);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
    }

    /// Appends a record made of its parts.
    pub fn push_parts<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) {
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        put_sized(&mut body, key);
        put_sized(&mut body, value);
        put_varint(&mut body, headers.len() as i64);
        for (name, value) in headers {
            put_sized(&mut body, Some(name));
            put_sized(&mut body, value);
        }
        let record = Record {
            timestamp_delta: 0,
            offset_delta: 0,
            key: None,
            value: None,
            attributes: 0,
            body: &body,
            header_count: 0,
            headers: &[],
        };
        self.push(&record, self.count, timestamp);
        self.body = body;
    }

    /// Number of records so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Bytes of the batch so far, before compression.
    pub fn size(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Appends the finished batch to `into`. Offsets, epoch, producer and attributes other than codec come
    /// from `like`; `like.max_timestamp` stands when it marks log append time.
    ///
    /// # Errors
    /// Only when the codec fails.
    pub fn finish(
        self,
        like: &BatchHeader,
        codec: Codec,
        level: Option<i32>,
        into: &mut Vec<u8>,
    ) -> Result<(), CompressError> {
        let start = into.len();
        into.resize(start + HEADER_BYTES, 0);
        compress::compress(codec, level, &self.records, into)?;
        let mut header = *like;
        header.length = (into.len() - start - LENGTH_OVERHEAD) as i32;
        header.attributes = like.attributes & !batch::CODEC_MASK | codec.id();
        header.base_timestamp = self.base_timestamp;
        if !like.is_log_append_time() {
            header.max_timestamp = self.max_timestamp;
        }
        header.record_count = self.count;
        header.crc = batch::checksum(&header.encode(), &into[start + HEADER_BYTES..]);
        into[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_their_edges() {
        for value in
            [0, 1, -1, 63, 64, -64, -65, 8191, 8192, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN]
        {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(bytes.len(), varint_size(value), "{value}");
            assert_eq!(varlong(&mut &bytes[..]), Ok(value));
        }
        assert_eq!(varint(&mut &[0xff, 0xff, 0xff, 0xff, 0xff][..]), Err(Malformed::Varint));
        assert!(matches!(varint(&mut &[0xff][..]), Err(Malformed::Record(_))));
    }

    #[test]
    fn a_record_that_lies_about_its_size_is_malformed() {
        // size 3, attributes, timestamp delta, offset delta, then nothing where the key should be.
        let mut records = Records::new(&[6, 0, 0, 0], 1);
        assert_eq!(records.next(), Some(Err(Malformed::Record("Found invalid record structure"))));
        assert_eq!(records.next(), None);
    }
}
