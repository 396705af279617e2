//! A frame: a length of four bytes and what it announces.
//!
//! Called by the connections of broker and client. Never here: reading from a socket.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Bytes of the length prefix.
pub const LENGTH_SIZE: usize = 4;

/// Why a frame is refused; the connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A negative size.
    #[error("a frame announces a size of {0}")]
    Negative(i32),
    /// Above `socket.request.max.bytes`.
    #[error("a frame announces {size} bytes, more than the {max} that are allowed")]
    TooLarge {
        /// What it announces.
        size: usize,
        /// What is allowed.
        max: usize,
    },
}

/// Size announced by the first bytes of `buffer`: `None` until four bytes are there.
pub fn announced(buffer: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
    let Some(prefix) = buffer.first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
    let size = i32::from_be_bytes(*prefix);
    let size = usize::try_from(size).map_err(|_| FrameError::Negative(size))?;
    if size > max { Err(FrameError::TooLarge { size, max }) } else { Ok(Some(size)) }
}

/// Takes the first whole frame (without its length) off `buffer`, if one is there. Shares the buffer's memory.
pub fn take(buffer: &mut BytesMut, max: usize) -> Result<Option<Bytes>, FrameError> {
    match announced(buffer, max)? {
        Some(size) if buffer.len() >= LENGTH_SIZE + size => {
            buffer.advance(LENGTH_SIZE);
            Ok(Some(buffer.split_to(size).freeze()))
        }
        _ => Ok(None),
    }
}
