//! Keys of windows: in topics, in window stores, and in the time-first stores of `emit on close`, whose index leads from the
//! key to the time-first row (WindowKeySchema, PrefixedWindowKeySchemas).

use bytes::Bytes;

use super::i64_at;
use crate::record::Window;
use crate::state::error::Malformed;

/// Bytes of start and sequence number behind the key.
pub const SUFFIX: usize = 12;
/// The first byte of a time-first row.
pub const TIME_FIRST: u8 = 0;
/// The first byte of an index row.
pub const KEY_FIRST: u8 = 1;

/// What the key of a window store's row holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowKey {
    /// The record's key.
    pub key: Bytes,
    /// The window's start.
    pub start: i64,
    /// Counts the values of one key and start where duplicates are kept, else 0.
    pub sequence: i32,
}

fn malformed(bytes: &[u8]) -> Malformed {
    Malformed { what: "key of a window", length: bytes.len() }
}

/// The window that starts there; one that would end after the end of time ends then.
pub fn window(start: i64, size_ms: i64) -> Window {
    Window { start, end: start.checked_add(size_ms).unwrap_or(i64::MAX) }
}

/// A windowed key in a topic: key, start (TimeWindowedSerializer).
pub fn write_topic_key(key: &[u8], start: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    out.extend_from_slice(&start.to_be_bytes());
}

/// The key and start of a windowed key in a topic.
pub fn read_topic_key(mut bytes: Bytes) -> Result<(Bytes, i64), Malformed> {
    let at = bytes.len().checked_sub(8).ok_or_else(|| malformed(&bytes))?;
    let start = i64_at(&bytes, at).ok_or_else(|| malformed(&bytes))?;
    bytes.truncate(at);
    Ok((bytes, start))
}

/// A row's key: key, start, sequence.
pub fn write_store_key(key: &[u8], start: i64, sequence: i32, out: &mut Vec<u8>) {
    write_topic_key(key, start, out);
    out.extend_from_slice(&sequence.to_be_bytes());
}

/// The start in a row's key, without looking at the rest; also in an index row's and a changelog record's.
pub fn start_of(bytes: &[u8]) -> Result<i64, Malformed> {
    let at = bytes.len().checked_sub(SUFFIX).ok_or_else(|| malformed(bytes))?;
    i64_at(bytes, at).ok_or_else(|| malformed(bytes))
}

/// What a row's key holds.
pub fn read_store_key(mut bytes: Bytes) -> Result<WindowKey, Malformed> {
    let start = start_of(&bytes)?;
    let suffix = bytes.split_off(bytes.len() - SUFFIX);
    let sequence = i32::from_be_bytes(suffix[8..].try_into().map_err(|_| malformed(&suffix))?);
    Ok(WindowKey { key: bytes, start, sequence })
}

/// The last key that a scan of all keys up to this one, and starts up to `to`, looks at (OrderedBytes.upperRange).
pub fn write_upper_range(key: &[u8], to: i64, out: &mut Vec<u8>) {
    let mut suffix = [0; SUFFIX];
    suffix[..8].copy_from_slice(&to.to_be_bytes());
    suffix[8..].copy_from_slice(&i32::MAX.to_be_bytes());
    write_upper_bound(key, &suffix, out);
}

/// The key, cut where its bytes are smaller than the first one of the largest suffix, and that suffix: rows of shorter keys
/// are smaller than it too. Keys are taken to have at least one byte.
pub(crate) fn write_upper_bound(key: &[u8], suffix: &[u8], out: &mut Vec<u8>) {
    let kept = match suffix[0] {
        0 => key.len(),
        first => key.iter().skip(1).position(|byte| *byte < first).map_or(key.len(), |at| at + 1),
    };
    out.extend_from_slice(&key[..kept]);
    out.extend_from_slice(suffix);
}

/// A time-first row's key: 0, start, key, sequence.
pub fn write_time_first_key(key: &[u8], start: i64, sequence: i32, out: &mut Vec<u8>) {
    out.push(TIME_FIRST);
    out.extend_from_slice(&start.to_be_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&sequence.to_be_bytes());
}

/// What a time-first row's key holds.
pub fn read_time_first_key(bytes: Bytes) -> Result<WindowKey, Malformed> {
    if bytes.len() < 1 + SUFFIX || bytes[0] != TIME_FIRST {
        return Err(malformed(&bytes));
    }
    let start = i64_at(&bytes, 1).ok_or_else(|| malformed(&bytes))?;
    let end = bytes.len() - 4;
    let sequence = i32::from_be_bytes(bytes[end..].try_into().map_err(|_| malformed(&bytes))?);
    Ok(WindowKey { key: bytes.slice(9..end), start, sequence })
}

/// An index row's key: 1, then as in a window store.
pub fn write_index_key(key: &[u8], start: i64, sequence: i32, out: &mut Vec<u8>) {
    out.push(KEY_FIRST);
    write_store_key(key, start, sequence, out);
}

/// What an index row's key holds.
pub fn read_index_key(mut bytes: Bytes) -> Result<WindowKey, Malformed> {
    if bytes.first() != Some(&KEY_FIRST) {
        return Err(malformed(&bytes));
    }
    read_store_key(bytes.split_off(1))
}
