//! What `KTable.groupBy` writes to its repartition topic: new and old value and a last byte that says which are there
//! (ChangedSerializer, KIP-904). The forms 3 to 5, which say whether the change is the latest, are read, but never written.

use bytes::Bytes;

use super::{Fields, length, write_varint};
use crate::record::Change;
use crate::state::error::Malformed;

/// A change as bytes; false, and nothing written, where neither value is there, which has no form.
pub fn write(new: Option<&[u8]>, old: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    match (new, old) {
        (None, None) => return false,
        (None, Some(old)) => {
            out.extend_from_slice(old);
            out.push(0);
        }
        (Some(new), None) => {
            out.extend_from_slice(new);
            out.push(1);
        }
        (Some(new), Some(old)) => {
            write_varint(length(new), out);
            out.extend_from_slice(new);
            out.extend_from_slice(old);
            out.push(2);
        }
    }
    true
}

/// The change; its values are slices.
pub fn read(mut bytes: Bytes) -> Result<Change<Bytes>, Malformed> {
    let what = "change of a table";
    let malformed = Malformed { what, length: bytes.len() };
    let form = *bytes.last().ok_or(malformed.clone())?;
    bytes.truncate(bytes.len() - 1);
    let latest = match (form, bytes.last()) {
        (0..=2, _) => true,
        (3..=5, Some(flag @ (0 | 1))) => {
            let latest = *flag == 1;
            bytes.truncate(bytes.len() - 1);
            latest
        }
        _ => return Err(malformed),
    };
    let (new, old) = match form % 3 {
        0 => (None, Some(bytes)),
        1 => (Some(bytes), None),
        _ => {
            let mut fields = Fields::of(bytes, what);
            let size = fields.varint()?;
            (Some(fields.sized(size)?), Some(fields.rest()))
        }
    };
    Ok(Change { new, old, latest })
}
