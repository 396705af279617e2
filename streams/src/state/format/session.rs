//! Keys of sessions: the same in topics and session stores, and time-first with an index in stores of `emit on close`
//! (SessionKeySchema, PrefixedSessionKeySchemas). The end comes before the start.

use bytes::Bytes;

use super::i64_at;
use super::window::{KEY_FIRST, TIME_FIRST};
use crate::record::{Window, Windowed};
use crate::state::error::Malformed;

/// Bytes of end and start.
pub const SUFFIX: usize = 16;

fn malformed(bytes: &[u8]) -> Malformed {
    Malformed { what: "key of a session", length: bytes.len() }
}

fn window_at(bytes: &[u8], at: usize) -> Result<Window, Malformed> {
    let end = i64_at(bytes, at).ok_or_else(|| malformed(bytes))?;
    let start = i64_at(bytes, at + 8).ok_or_else(|| malformed(bytes))?;
    Ok(Window { start, end })
}

/// Key, end, start.
pub fn write_key(key: &[u8], session: Window, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    out.extend_from_slice(&session.end.to_be_bytes());
    out.extend_from_slice(&session.start.to_be_bytes());
}

/// The session in a row's key, without looking at the rest; also in an index row's.
pub fn session_of(bytes: &[u8]) -> Result<Window, Malformed> {
    window_at(bytes, bytes.len().checked_sub(SUFFIX).ok_or_else(|| malformed(bytes))?)
}

/// What a row's key holds.
pub fn read_key(mut bytes: Bytes) -> Result<Windowed<Bytes>, Malformed> {
    let window = session_of(&bytes)?;
    bytes.truncate(bytes.len() - SUFFIX);
    Ok(Windowed { key: bytes, window })
}

/// A time-first row's key: 0, end, start, key.
pub fn write_time_first_key(key: &[u8], session: Window, out: &mut Vec<u8>) {
    out.push(TIME_FIRST);
    out.extend_from_slice(&session.end.to_be_bytes());
    out.extend_from_slice(&session.start.to_be_bytes());
    out.extend_from_slice(key);
}

/// What a time-first row's key holds.
pub fn read_time_first_key(mut bytes: Bytes) -> Result<Windowed<Bytes>, Malformed> {
    if bytes.first() != Some(&TIME_FIRST) {
        return Err(malformed(&bytes));
    }
    let window = window_at(&bytes, 1)?;
    Ok(Windowed { key: bytes.split_off(1 + SUFFIX), window })
}

/// An index row's key: 1, then as in a session store.
pub fn write_index_key(key: &[u8], session: Window, out: &mut Vec<u8>) {
    out.push(KEY_FIRST);
    write_key(key, session, out);
}

/// What an index row's key holds.
pub fn read_index_key(mut bytes: Bytes) -> Result<Windowed<Bytes>, Malformed> {
    if bytes.first() != Some(&KEY_FIRST) {
        return Err(malformed(&bytes));
    }
    read_key(bytes.split_off(1))
}
