//! The door to the codecs of `protocol`: bytes into a buffer that the thread keeps.

use std::cell::RefCell;

use crate::error::AppendError;

/// Compression of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// 0
    None,
    /// 1
    Gzip,
    /// 2
    Snappy,
    /// 3
    Lz4,
    /// 4
    Zstd,
}

impl Codec {
    /// Its number in a batch's attributes.
    pub fn id(self) -> i16 {
        self as i16
    }

    /// The codec of that number.
    pub fn from_id(id: i16) -> Option<Codec> {
        [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]
            .into_iter()
            .find(|codec| codec.id() == id)
    }
}

thread_local! {
    static PLAIN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A thread keeps its buffer up to this size.
const KEPT_BYTES: usize = 4 << 20;

/// Hands `then` the records of a batch in plain form.
pub(crate) fn with_plain<T>(
    codec: Codec,
    records: &[u8],
    then: impl FnOnce(&[u8]) -> Result<T, AppendError>,
) -> Result<T, AppendError> {
    if codec == Codec::None {
        return then(records);
    }
    let mut plain = PLAIN.take();
    plain.clear();
    let result = decompress(codec, records, &mut plain).and_then(|()| then(&plain));
    if plain.capacity() <= KEPT_BYTES {
        PLAIN.set(plain);
    }
    result
}

fn decompress(_codec: Codec, _records: &[u8], _into: &mut Vec<u8>) -> Result<(), AppendError> {
    Err(AppendError::Undecodable("Failed to decompress record stream".to_owned()))
}

/// Appends `records` in compressed form.
pub(crate) fn compress(
    codec: Codec,
    _level: Option<i32>,
    records: &[u8],
    into: &mut Vec<u8>,
) -> Result<(), AppendError> {
    if codec == Codec::None {
        into.extend_from_slice(records);
        return Ok(());
    }
    Err(AppendError::Undecodable("Failed to compress record stream".to_owned()))
}
