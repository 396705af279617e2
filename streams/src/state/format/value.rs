//! Values of stores: after 8 bytes of timestamp, or after headers and timestamp (ValueAndTimestampSerializer,
//! ValueTimestampHeadersSerializer, AggregationWithHeadersSerializer). A changelog topic has the plain value instead.

use bytes::Bytes;

use super::{Fields, i64_at, length, write_varint};
use crate::record::Header;
use crate::state::error::Malformed;

/// How many bytes a timestamp takes before a value.
pub const TIMESTAMP: usize = 8;

/// The timestamp, then the value.
pub fn write_timestamped(timestamp: i64, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&timestamp.to_be_bytes());
    out.extend_from_slice(value);
}

/// The same as bytes of its own.
pub fn timestamped(timestamp: i64, value: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(TIMESTAMP + value.len());
    write_timestamped(timestamp, value, &mut out);
    Bytes::from(out)
}

/// Timestamp and value; the value is a slice of the row.
pub fn read_timestamped(mut row: Bytes) -> Result<(i64, Bytes), Malformed> {
    match i64_at(&row, 0) {
        Some(timestamp) => Ok((timestamp, row.split_off(TIMESTAMP))),
        None => Err(Malformed { what: "value with a timestamp", length: row.len() }),
    }
}

/// Headers after their length: a zero where there are none.
fn write_headers(headers: &[Header], out: &mut Vec<u8>) {
    if headers.is_empty() {
        out.push(0);
        return;
    }
    let mut body = Vec::new();
    write_varint(i32::try_from(headers.len()).expect("fewer than 2 billion headers"), &mut body);
    for (name, value) in headers {
        write_varint(length(name.as_bytes()), &mut body);
        body.extend_from_slice(name.as_bytes());
        match value {
            None => write_varint(-1, &mut body),
            Some(value) => {
                write_varint(length(value), &mut body);
                body.extend_from_slice(value);
            }
        }
    }
    write_varint(length(&body), out);
    out.extend_from_slice(&body);
}

fn read_headers(fields: &mut Fields) -> Result<Vec<Header>, Malformed> {
    let size = fields.varint()?;
    if size == 0 {
        return Ok(Vec::new());
    }
    let mut body = Fields::of(fields.sized(size)?, "headers of a value");
    let count = usize::try_from(body.varint()?).map_err(|_| body.error())?;
    if count > body.remaining() {
        return Err(body.error());
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let size = body.varint()?;
        let name = body.sized(size)?;
        let value = match body.varint()? {
            -1 => None,
            size => Some(body.sized(size)?),
        };
        headers.push((String::from_utf8_lossy(&name).into_owned(), value));
    }
    Ok(headers)
}

/// Headers, timestamp, value.
pub fn write_timestamped_with_headers(timestamp: i64, headers: &[Header], value: &[u8], out: &mut Vec<u8>) {
    write_headers(headers, out);
    write_timestamped(timestamp, value, out);
}

/// Timestamp, headers and value.
pub fn read_timestamped_with_headers(row: Bytes) -> Result<(i64, Vec<Header>, Bytes), Malformed> {
    let mut fields = Fields::of(row, "value with headers and timestamp");
    let headers = read_headers(&mut fields)?;
    Ok((fields.i64()?, headers, fields.rest()))
}

/// Headers and the aggregate of a session.
pub fn write_with_headers(headers: &[Header], value: &[u8], out: &mut Vec<u8>) {
    write_headers(headers, out);
    out.extend_from_slice(value);
}

/// Headers and aggregate.
pub fn read_with_headers(row: Bytes) -> Result<(Vec<Header>, Bytes), Malformed> {
    let mut fields = Fields::of(row, "aggregate with headers");
    Ok((read_headers(&mut fields)?, fields.rest()))
}
