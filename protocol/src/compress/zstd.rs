//! zstd frames, by contexts that are kept: one owns from 100 KB to megabytes.
//!
//! Called by `compress.rs`.

use std::cell::RefCell;
use std::io;

use zstd::bulk::Compressor;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::{compress_bound, get_frame_content_size};

use super::{Codec, CompressError};

/// What is written at a time where a frame does not say how much it holds.
const STEP: usize = 32 * 1024;
/// A frame that claims more than this many times its own size is not taken at its word.
const BELIEVED_RATIO: usize = 100;

thread_local! {
    static ENCODER: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<Decoder<'static>>> = const { RefCell::new(None) };
}

fn malformed(error: io::Error) -> CompressError {
    CompressError::Malformed { codec: Codec::Zstd, reason: error.to_string() }
}

/// Appends a frame of `bytes`, which says how much it holds.
pub(super) fn compress(level: i32, bytes: &[u8], into: &mut Vec<u8>) -> Result<(), CompressError> {
    ENCODER.with_borrow_mut(|kept| {
        let encoder = match kept {
            Some((known, encoder)) if *known == level => encoder,
            _ => &mut kept.insert((level, Compressor::new(level).map_err(malformed)?)).1,
        };
        let at = into.len();
        into.reserve(compress_bound(bytes.len()));
        let mut behind = io::Cursor::new(&mut *into);
        behind.set_position(at as u64);
        encoder.compress_to_buffer(bytes, &mut behind).map(drop).map_err(malformed)
    })
}

/// Appends the plain form; at most `limit` bytes.
pub(super) fn decompress(bytes: &[u8], limit: usize, into: &mut Vec<u8>) -> Result<(), CompressError> {
    DECODER.with_borrow_mut(|kept| {
        let decoder = match kept {
            Some(decoder) => {
                decoder.reinit().map_err(malformed)?;
                decoder
            }
            None => kept.insert(Decoder::new().map_err(malformed)?),
        };
        let mut input = InBuffer::around(bytes);
        let start = into.len();
        // With room for all of a frame the decoder writes into it at once, without a window of its own.
        let claimed = get_frame_content_size(bytes).ok().flatten().and_then(|size| usize::try_from(size).ok());
        let believed = claimed.filter(|size| *size <= limit && *size / BELIEVED_RATIO <= bytes.len());
        let mut step = believed.unwrap_or(0).max(STEP);
        loop {
            let at = into.len();
            into.resize(at + step, 0);
            let mut output = OutBuffer::around(&mut into[at..]);
            let run = decoder.run(&mut input, &mut output);
            let written = output.pos();
            into.truncate(at + written);
            let hint = run.map_err(malformed)?;
            if into.len() - start > limit {
                return Err(CompressError::TooLarge { limit });
            }
            let is_read = input.pos() == bytes.len();
            if is_read && hint == 0 {
                return Ok(());
            }
            if is_read && written == 0 {
                return Err(malformed(io::ErrorKind::UnexpectedEof.into()));
            }
            if hint == 0 {
                // One frame ended, another follows.
                decoder.reinit().map_err(malformed)?;
            }
            step = STEP;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_do_not_say_their_size_or_follow_one_another_are_read() {
        let plain: Vec<u8> = (0..200_000u32).map(|at| (at * at / 7 % 251) as u8).collect();
        let mut packed = zstd::stream::encode_all(&plain[..], 3).unwrap();
        compress(1, &plain, &mut packed).unwrap();
        let mut back = b"kept".to_vec();
        decompress(&packed, 400_000, &mut back).unwrap();
        assert!(back[4..200_004] == plain && back[200_004..] == plain);
        assert!(matches!(decompress(&packed, 399_999, &mut Vec::new()), Err(CompressError::TooLarge { .. })));
    }

    #[test]
    fn a_claim_costs_no_memory() {
        let plain = vec![0; 10 << 20];
        let mut packed = Vec::new();
        compress(3, &plain, &mut packed).unwrap();
        assert!(packed.len() < 2_000);
        let mut back = Vec::new();
        decompress(&packed[..packed.len() / 2], 1 << 30, &mut back).unwrap_err();
        assert!(back.capacity() < 10 << 20);
    }
}
