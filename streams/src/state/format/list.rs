//! Lists of values (ListSerializer): each after its length, or, where the type has one length, without it and with a list of
//! where the nulls are. The list values of an outer join's store are of the first kind.

use bytes::Bytes;

use super::{Fields, write_nullable};
use crate::state::error::Malformed;

const OF_ONE_LENGTH: u8 = 0;
const AFTER_LENGTHS: u8 = 1;

fn write_count(count: usize, out: &mut Vec<u8>) {
    let count = i32::try_from(count).expect("fewer than 2 billion values in a record");
    out.extend_from_slice(&count.to_be_bytes());
}

/// A list whose entries stand after their lengths.
pub fn write_list<'a>(entries: impl ExactSizeIterator<Item = Option<&'a [u8]>>, out: &mut Vec<u8>) {
    out.push(AFTER_LENGTHS);
    write_count(entries.len(), out);
    for entry in entries {
        write_nullable(entry, out);
    }
}

/// Adds an entry to a list whose entries stand after their lengths, without reading the others; None starts a list.
pub fn append(list: Option<&[u8]>, entry: &[u8]) -> Result<Bytes, Malformed> {
    let list = list.unwrap_or(&[AFTER_LENGTHS, 0, 0, 0, 0]);
    let head = list.get(..5).filter(|head| head[0] == AFTER_LENGTHS);
    let count = head.and_then(|head| head[1..].try_into().ok()).map(i32::from_be_bytes);
    let count = count.and_then(|count| count.checked_add(1)).filter(|count| *count > 0);
    let count = count.ok_or(Malformed { what: "list of values", length: list.len() })?;
    let mut out = Vec::with_capacity(list.len() + 4 + entry.len());
    out.push(AFTER_LENGTHS);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&list[5..]);
    write_nullable(Some(entry), &mut out);
    Ok(Bytes::from(out))
}

/// A list whose entries all take the same number of bytes; the places of nulls stand before them.
pub fn write_list_of_one_length(entries: &[Option<&[u8]>], out: &mut Vec<u8>) {
    out.push(OF_ONE_LENGTH);
    let nulls: Vec<usize> = (0..entries.len()).filter(|at| entries[*at].is_none()).collect();
    write_count(nulls.len(), out);
    for at in nulls {
        write_count(at, out);
    }
    write_count(entries.len(), out);
    for entry in entries.iter().flatten() {
        out.extend_from_slice(entry);
    }
}

/// The entries of a list; `entry_length` is that of the type, where it has one.
pub fn read_list(bytes: Bytes, entry_length: Option<usize>) -> Result<Vec<Option<Bytes>>, Malformed> {
    let mut fields = Fields::of(bytes, "list of values");
    let kind = fields.u8()?;
    let mut nulls = Vec::new();
    if kind == OF_ONE_LENGTH {
        let count = fields.i32()?;
        for _ in 0..count {
            nulls.push(fields.i32()?);
        }
    } else if kind != AFTER_LENGTHS {
        return Err(fields.error());
    }
    let count = fields.i32()?;
    // A null takes no byte in a list of one length, but a place among the nulls.
    if usize::try_from(count).map_or(true, |count| count > fields.remaining() + nulls.len()) {
        return Err(fields.error());
    }
    let mut entries = Vec::new();
    for at in 0..count {
        entries.push(match (kind, entry_length) {
            (AFTER_LENGTHS, _) => fields.nullable()?,
            _ if nulls.contains(&at) => None,
            (_, Some(length)) => Some(fields.take(length)?),
            (_, None) => return Err(fields.error()),
        });
    }
    match fields.remaining() {
        0 => Ok(entries),
        _ => Err(fields.error()),
    }
}
