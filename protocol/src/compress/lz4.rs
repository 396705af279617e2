//! lz4 frames as Kafka's clients write them: blocks of up to 64 KiB, independent of one another, no checksums.
//!
//! Called by `compress.rs`. Such frames are read block by block straight into the caller's buffer; whatever looks
//! different is left to the reader of all frames.

use std::cell::RefCell;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use super::{Codec, CompressError};

/// Magic, then flags and block size with their checksum.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK: usize = 64 * 1024;
/// Set in the size of a block that is stored as it is.
const STORED: u32 = 1 << 31;

thread_local! {
    /// What the encoder remembers of a block, cleared for each: kept, so that none is allocated.
    static TABLE: RefCell<CompressTable> = RefCell::new(CompressTable::default());
}

/// Appends the frame of `bytes`.
pub(super) fn compress(bytes: &[u8], into: &mut Vec<u8>) -> Result<(), CompressError> {
    into.extend_from_slice(&HEADER);
    TABLE.with_borrow_mut(|table| {
        for block in bytes.chunks(BLOCK) {
            let at = into.len() + 4;
            into.resize(at + get_maximum_output_size(block.len()), 0);
            let size = compress_into_with_table(block, &mut into[at..], table)
                .map_err(|error| CompressError::Malformed { codec: Codec::Lz4, reason: error.to_string() })?;
            into.truncate(at + size);
            let mut announced = size as u32;
            if size >= block.len() {
                into.truncate(at);
                into.extend_from_slice(block);
                announced = block.len() as u32 | STORED;
            }
            into[at - 4..at].copy_from_slice(&announced.to_le_bytes());
        }
        Ok(())
    })?;
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
            into.resize(at + BLOCK.min(end.saturating_sub(at)), 0);
            let written = decompress_into(block, &mut into[at..]).ok()?;
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
        let noise = |length: usize| -> Vec<u8> { (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect() };
        for plain in [vec![], b"a".to_vec(), vec![7; 200_000], noise(5), noise(100_000), noise(BLOCK)] {
            let mut packed = Vec::new();
            compress(&plain, &mut packed).unwrap();
            let (mut other, mut own) = (Vec::new(), b"kept".to_vec());
            lz4_flex::frame::FrameDecoder::new(&packed[..]).read_to_end(&mut other).unwrap();
            assert!(other == plain);
            assert!(decompress(&packed, plain.len(), &mut own) && own[4..] == plain);
            if !plain.is_empty() {
                own.truncate(4);
                assert!(!decompress(&packed, plain.len() - 1, &mut own) && own == b"kept");
            }
        }
    }
}
