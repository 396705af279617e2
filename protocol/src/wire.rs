//! Primitive types of the protocol on top of `bytes`, for the messages that we generate ourselves.
//!
//! Called by `messages/*` and `record_schema/*`. Every count and length is checked against the bytes left before
//! anything is reserved.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use uuid::Uuid;

use crate::error::DecodeError;

/// Longest string of the protocol (Java: `Short.MAX_VALUE`).
pub(crate) const STRING_MAX: usize = 0x7fff;

pub(crate) fn check_version(name: &'static str, version: i16, min: i16, max: i16) -> Result<(), DecodeError> {
    if (min..=max).contains(&version) { Ok(()) } else { Err(DecodeError::Version { message: name, version }) }
}

pub(crate) fn unsupported(field: &'static str, version: i16) -> anyhow::Error {
    anyhow::anyhow!("{field} is set, which version {version} does not have")
}

fn need<B: ByteBuf>(buf: &B, need: usize, field: &'static str) -> Result<(), DecodeError> {
    let left = buf.remaining();
    if left < need { Err(DecodeError::Truncated { field, need, left }) } else { Ok(()) }
}

macro_rules! numbers {
    ($($name:ident, $get:ident, $kind:ty, $size:literal;)*) => {
        $(
            pub(crate) fn $name<B: ByteBuf>(buf: &mut B, field: &'static str) -> Result<$kind, DecodeError> {
                need(buf, $size, field)?;
                Ok(buf.$get())
            }
        )*
    };
}

numbers! {
    get_i8, get_i8, i8, 1;
    get_i16, get_i16, i16, 2;
    get_i32, get_i32, i32, 4;
    get_i64, get_i64, i64, 8;
    get_u32, get_u32, u32, 4;
}

pub(crate) fn get_bool<B: ByteBuf>(buf: &mut B, field: &'static str) -> Result<bool, DecodeError> {
    Ok(get_i8(buf, field)? != 0)
}

pub(crate) fn get_uuid<B: ByteBuf>(buf: &mut B, field: &'static str) -> Result<Uuid, DecodeError> {
    need(buf, 16, field)?;
    let mut bytes = [0; 16];
    buf.copy_to_slice(&mut bytes);
    Ok(Uuid::from_bytes(bytes))
}

pub(crate) fn get_unsigned_varint<B: ByteBuf>(buf: &mut B, field: &'static str) -> Result<u32, DecodeError> {
    unsigned_varint(field, || {
        need(buf, 1, field)?;
        Ok(buf.get_u8())
    })
}

/// Five bytes at the most, the low bits first; what the fifth has above 32 bits is dropped, as Java drops it.
#[inline]
pub(crate) fn unsigned_varint(
    field: &'static str,
    mut next: impl FnMut() -> Result<u8, DecodeError>,
) -> Result<u32, DecodeError> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = next()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(DecodeError::Varint(field))
}

pub(crate) fn get_raw<B: ByteBuf>(buf: &mut B, size: usize, field: &'static str) -> Result<Bytes, DecodeError> {
    need(buf, size, field)?;
    Ok(buf.get_bytes(size))
}

/// A length prefix: `None` is null.
fn get_length<B: ByteBuf>(
    buf: &mut B,
    flexible: bool,
    short: bool,
    field: &'static str,
) -> Result<Option<usize>, DecodeError> {
    let length = if flexible {
        i64::from(get_unsigned_varint(buf, field)?) - 1
    } else if short {
        i64::from(get_i16(buf, field)?)
    } else {
        i64::from(get_i32(buf, field)?)
    };
    Ok(usize::try_from(length).ok())
}

pub(crate) fn get_nullable_string<B: ByteBuf>(
    buf: &mut B,
    flexible: bool,
    field: &'static str,
) -> Result<Option<StrBytes>, DecodeError> {
    let Some(length) = get_length(buf, flexible, true, field)? else { return Ok(None) };
    if length > STRING_MAX {
        return Err(DecodeError::Length { field, length });
    }
    let bytes = get_raw(buf, length, field)?;
    StrBytes::from_utf8(bytes).map(Some).map_err(|_| DecodeError::Utf8(field))
}

pub(crate) fn get_string<B: ByteBuf>(
    buf: &mut B,
    flexible: bool,
    field: &'static str,
) -> Result<StrBytes, DecodeError> {
    get_nullable_string(buf, flexible, field)?.ok_or(DecodeError::Null(field))
}

pub(crate) fn get_nullable_bytes<B: ByteBuf>(
    buf: &mut B,
    flexible: bool,
    field: &'static str,
) -> Result<Option<Bytes>, DecodeError> {
    match get_length(buf, flexible, false, field)? {
        None => Ok(None),
        Some(length) => get_raw(buf, length, field).map(Some),
    }
}

pub(crate) fn get_bytes<B: ByteBuf>(buf: &mut B, flexible: bool, field: &'static str) -> Result<Bytes, DecodeError> {
    get_nullable_bytes(buf, flexible, field)?.ok_or(DecodeError::Null(field))
}

pub(crate) fn get_nullable_array<B: ByteBuf, T>(
    buf: &mut B,
    flexible: bool,
    field: &'static str,
    mut element: impl FnMut(&mut B) -> anyhow::Result<T>,
) -> anyhow::Result<Option<Vec<T>>> {
    let Some(count) = get_length(buf, flexible, false, field)? else { return Ok(None) };
    let left = buf.remaining();
    if count > left {
        return Err(DecodeError::Count { field, count, left }.into());
    }
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(element(buf)?);
    }
    Ok(Some(items))
}

pub(crate) fn get_array<B: ByteBuf, T>(
    buf: &mut B,
    flexible: bool,
    field: &'static str,
    element: impl FnMut(&mut B) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    get_nullable_array(buf, flexible, field, element)?.ok_or_else(|| DecodeError::Null(field).into())
}

/// Number of a tagged field and its size.
pub(crate) fn get_tag<B: ByteBuf>(buf: &mut B) -> Result<(i32, usize), DecodeError> {
    let tag = get_unsigned_varint(buf, "tag")?;
    let size = get_unsigned_varint(buf, "size of a tagged field")?;
    Ok((tag as i32, size as usize))
}

pub(crate) fn get_tagged_fields<B: ByteBuf>(buf: &mut B) -> Result<BTreeMap<i32, Bytes>, DecodeError> {
    let mut fields = BTreeMap::new();
    for _ in 0..get_unsigned_varint(buf, "tagged fields")? {
        let (tag, size) = get_tag(buf)?;
        fields.insert(tag, get_raw(buf, size, "tagged fields")?);
    }
    Ok(fields)
}

pub(crate) fn put_unsigned_varint<B: ByteBufMut>(buf: &mut B, mut value: u32) {
    while value >= 0x80 {
        buf.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buf.put_u8(value as u8);
}

pub(crate) fn unsigned_varint_size(value: u32) -> usize {
    (38 - value.leading_zeros() as usize).max(7) / 7
}

pub(crate) fn put_string<B: ByteBufMut>(buf: &mut B, flexible: bool, value: &str) -> anyhow::Result<()> {
    anyhow::ensure!(value.len() <= STRING_MAX, "a string of {} bytes is too long", value.len());
    if flexible {
        put_unsigned_varint(buf, value.len() as u32 + 1);
    } else {
        buf.put_i16(value.len() as i16);
    }
    buf.put_slice(value.as_bytes());
    Ok(())
}

pub(crate) fn string_size(flexible: bool, value: &str) -> usize {
    if flexible { unsigned_varint_size(value.len() as u32 + 1) + value.len() } else { 2 + value.len() }
}

pub(crate) fn put_null_string<B: ByteBufMut>(buf: &mut B, flexible: bool) {
    if flexible { buf.put_u8(0) } else { buf.put_i16(-1) }
}

pub(crate) fn null_string_size(flexible: bool) -> usize {
    if flexible { 1 } else { 2 }
}

pub(crate) fn put_count<B: ByteBufMut>(buf: &mut B, flexible: bool, count: usize) -> anyhow::Result<()> {
    anyhow::ensure!(count < i32::MAX as usize, "{count} is more than an array or byte string holds");
    if flexible {
        put_unsigned_varint(buf, count as u32 + 1);
    } else {
        buf.put_i32(count as i32);
    }
    Ok(())
}

pub(crate) fn count_size(flexible: bool, count: usize) -> usize {
    if flexible { unsigned_varint_size(count as u32 + 1) } else { 4 }
}

pub(crate) fn put_null_array<B: ByteBufMut>(buf: &mut B, flexible: bool) {
    if flexible { buf.put_u8(0) } else { buf.put_i32(-1) }
}

pub(crate) fn null_array_size(flexible: bool) -> usize {
    if flexible { 1 } else { 4 }
}

pub(crate) fn put_bytes<B: ByteBufMut>(buf: &mut B, flexible: bool, value: &Bytes) -> anyhow::Result<()> {
    put_count(buf, flexible, value.len())?;
    buf.put_slice(value);
    Ok(())
}

pub(crate) fn bytes_size(flexible: bool, value: &Bytes) -> usize {
    count_size(flexible, value.len()) + value.len()
}

pub(crate) fn put_tagged_fields<B: ByteBufMut>(buf: &mut B, fields: &BTreeMap<i32, Bytes>) {
    for (&tag, value) in fields {
        put_unsigned_varint(buf, tag as u32);
        put_unsigned_varint(buf, value.len() as u32);
        buf.put_slice(value);
    }
}

pub(crate) fn tagged_fields_size(fields: &BTreeMap<i32, Bytes>) -> usize {
    let one = |(&tag, value): (&i32, &Bytes)| {
        unsigned_varint_size(tag as u32) + unsigned_varint_size(value.len() as u32) + value.len()
    };
    fields.iter().map(one).sum()
}
