//! lz4 frames as Kafka's clients write them: blocks of up to 64 KiB, independent of one another, no checksums.
//!
//! Called by `compress.rs`. Such frames are read block by block straight into the caller's buffer; whatever looks
//! different is left to the reader of all frames.

use std::io;

use lz4::block::{CompressionMode, compress_bound, compress_to_buffer, decompress_to_buffer};

use super::{Codec, CompressError};

/// Magic, then flags and block size with their checksum.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK: usize = 64 * 1024;
/// Set in the size of a block that is stored as it is.
const STORED: u32 = 1 << 31;

/// The level at which Kafka's clients use the fast encoder; every other one is a level of lz4's high compression (Java:
/// `Lz4BlockOutputStream`).
const FAST: i32 = 9;

/// Appends the frame of `bytes`.
pub(super) fn compress(level: Option<i32>, bytes: &[u8], into: &mut Vec<u8>) -> Result<(), CompressError> {
    let failed = |error: io::Error| CompressError::Malformed { codec: Codec::Lz4, reason: error.to_string() };
    let mode = match level {
        None | Some(FAST) => CompressionMode::DEFAULT,
        Some(level) => CompressionMode::HIGHCOMPRESSION(level),
    };
    into.extend_from_slice(&HEADER);
    for block in bytes.chunks(BLOCK) {
        let at = into.len() + 4;
        into.resize(at + compress_bound(block.len()).map_err(failed)?, 0);
        let size = compress_to_buffer(block, Some(mode), false, &mut into[at..]).map_err(failed)?;
        into.truncate(at + size);
        let mut announced = size as u32;
        if size >= block.len() {
            into.truncate(at);
            into.extend_from_slice(block);
            announced = block.len() as u32 | STORED;
        }
        into[at - 4..at].copy_from_slice(&announced.to_le_bytes());
    }
    into.extend_from_slice(&[0; 4]);
    Ok(())
}

/// Appends the plain form of a frame of that kind; false, with nothing appended, for anything else.
pub(super) fn decompress(bytes: &[u8], limit: usize, into: &mut Vec<u8>) -> bool {
    let start = into.len();
    let Some(blocks) = bytes.strip_prefix(&HEADER) else { return false };
    let read = read_blocks(blocks, start.saturating_add(limit), into).is_some();
    if !read {
        into.truncate(start);
    }
    read
}

fn read_blocks(mut rest: &[u8], end: usize, into: &mut Vec<u8>) -> Option<()> {
    loop {
        let (size, behind) = rest.split_first_chunk::<4>()?;
        let size = u32::from_le_bytes(*size);
        if size == 0 {
            return behind.is_empty().then_some(());
        }
        let length = (size & !STORED) as usize;
        let (block, behind) = behind.split_at_checked(length).filter(|_| length <= BLOCK)?;
        rest = behind;
        let at = into.len();
        if size & STORED != 0 {
            into.extend_from_slice(block);
        } else {
            let room = BLOCK.min(end.saturating_sub(at));
            into.resize(at + room, 0);
            let written = decompress_to_buffer(block, Some(room as i32), &mut into[at..]).ok()?;
            into.truncate(at + written);
        }
        if into.len() > end {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn frames_are_those_that_any_reader_takes() {
        let noise = |length: usize| -> Vec<u8> {
            (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
        };
        for plain in [vec![], b"a".to_vec(), vec![7; 200_000], noise(5), noise(100_000), noise(BLOCK)] {
            let mut packed = Vec::new();
            compress(None, &plain, &mut packed).unwrap();
            let (mut other, mut own) = (Vec::new(), b"kept".to_vec());
            lz4::Decoder::new(&packed[..]).unwrap().read_to_end(&mut other).unwrap();
            assert!(other == plain);
            assert!(decompress(&packed, plain.len(), &mut own) && own[4..] == plain);
            if !plain.is_empty() {
                own.truncate(4);
                assert!(!decompress(&packed, plain.len() - 1, &mut own) && own == b"kept");
            }
        }
    }

    #[test]
    fn more_effort_takes_less_room() {
        let plain: Vec<u8> =
            (0..300_000u32).flat_map(|at| (at.wrapping_mul(at) % 977 / 40).to_string().into_bytes()).collect();
        let size = |level| {
            let (mut packed, mut back) = (Vec::new(), Vec::new());
            compress(level, &plain, &mut packed).unwrap();
            assert!(decompress(&packed, plain.len(), &mut back) && back == plain, "{level:?}");
            packed.len()
        };
        let fast = size(None);
        assert_eq!(size(Some(FAST)), fast);
        assert!(size(Some(1)) < fast && size(Some(12)) < size(Some(3)), "{fast}");
        assert_eq!(size(Some(17)), size(Some(12)), "there is none above 12");
    }
}
