//! The door to the codecs of `protocol`: bytes into a buffer that the thread keeps.

use std::cell::RefCell;

pub use millstream_protocol::compress::Codec;
use millstream_protocol::compress::{self, CompressError};

use crate::error::AppendError;

thread_local! {
    static PLAIN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A thread keeps its buffer up to this size.
const KEPT_BYTES: usize = 4 << 20;
/// Most that one batch may hold in plain form. Apache has no bound of its own; this one keeps a small request
/// from claiming all memory.
const PLAIN_BYTES_MAX: usize = 256 << 20;

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
    let unpacked = compress::decompress(codec, records, PLAIN_BYTES_MAX, &mut plain)
        .map_err(|error| AppendError::Undecodable(format!("Failed to decompress record stream: {error}")));
    let result = unpacked.and_then(|()| then(&plain));
    if plain.capacity() <= KEPT_BYTES {
        PLAIN.set(plain);
    }
    result
}

/// What a codec that fails to write means to an append.
pub(crate) fn undecodable(error: CompressError) -> AppendError {
    AppendError::Undecodable(format!("Failed to compress record stream: {error}"))
}
