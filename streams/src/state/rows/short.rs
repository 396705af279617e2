//! Bytes that lie where they are held if they are few, so that a key is compared, and a row read, without a look elsewhere.
//! Keys of the record cache, keys and values of rows in memory. Never shared: a copy is as cheap as a count.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

/// How many bytes lie inside.
const INSIDE: usize = 22;

/// Bytes, owned.
#[derive(Clone)]
pub(crate) enum Short {
    Inside(u8, [u8; INSIDE]),
    Apart(Box<[u8]>),
}

impl Short {
    /// Replaces the bytes, without an allocation where that can be.
    pub(crate) fn set(&mut self, bytes: &[u8]) {
        match self {
            Short::Apart(apart) if apart.len() == bytes.len() => apart.copy_from_slice(bytes),
            _ => *self = Short::from(bytes),
        }
    }
}

impl Default for Short {
    fn default() -> Short {
        Short::Inside(0, [0; INSIDE])
    }
}

impl From<&[u8]> for Short {
    #[inline]
    fn from(bytes: &[u8]) -> Short {
        let mut inside = [0; INSIDE];
        match inside.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                Short::Inside(bytes.len() as u8, inside)
            }
            None => Short::Apart(bytes.into()),
        }
    }
}

impl Deref for Short {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Short::Inside(len, inside) => inside.get(..usize::from(*len)).unwrap_or_default(),
            Short::Apart(apart) => apart,
        }
    }
}

impl Borrow<[u8]> for Short {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Short {
    fn eq(&self, other: &Short) -> bool {
        **self == **other
    }
}

impl Eq for Short {}

impl PartialOrd for Short {
    fn partial_cmp(&self, other: &Short) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Short {
    fn cmp(&self, other: &Short) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Debug for Short {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_keep_their_order() {
        let all = [&b""[..], b"\0", b"a", b"a\0", &[7; INSIDE], &[7; INSIDE + 1], b"b"];
        for (at, bytes) in all.iter().enumerate() {
            let mut short = Short::from(*bytes);
            assert_eq!(&*short, *bytes);
            for (other_at, other) in all.iter().enumerate() {
                let order = short.cmp(&Short::from(*other));
                assert_eq!(order, bytes.cmp(other), "{at} {other_at}");
            }
            short.set(b"next");
            assert_eq!(&*short, b"next");
        }
    }
}
