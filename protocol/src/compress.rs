//! The codecs of a record batch: none, gzip, snappy, lz4, zstd, into a buffer that the caller keeps.
//!
//! Used by broker/log (validation, compaction, recompression) and by the client. Framing as Apache's clients
//! write and read it: gzip members, snappy as one block or in xerial's stream, the lz4 frame, zstd frames. The
//! plain size is bounded, so that a few bytes cannot claim all memory.

use std::io::{self, Read, Write};

use thiserror::Error;

/// lz4 as Kafka's clients write it.
mod lz4;
/// zstd by contexts that are kept.
mod zstd;

/// Compression of a record batch, by its number in the attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(i16)]
pub enum Codec {
    /// As it is.
    #[default]
    None = 0,
    /// gzip
    Gzip = 1,
    /// snappy
    Snappy = 2,
    /// lz4
    Lz4 = 3,
    /// zstd
    Zstd = 4,
}

/// Every codec, in the order of its number.
pub const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

impl Codec {
    /// Its number in a batch's attributes.
    pub fn id(self) -> i16 {
        self as i16
    }

    /// The codec of that number.
    pub fn from_id(id: i16) -> Option<Codec> {
        CODECS.into_iter().find(|codec| codec.id() == id)
    }

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

/// Why bytes could not be compressed or brought back.
#[derive(Debug, Error)]
pub enum CompressError {
    /// The bytes are not what the codec writes.
    #[error("not {} data: {reason}", codec.name())]
    Malformed {
        /// The codec tried.
        codec: Codec,
        /// What it found.
        reason: String,
    },
    /// More plain bytes than allowed.
    #[error("more than {limit} bytes in plain form")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
}

/// Blocks of xerial's snappy stream (Java: `SnappyOutputStream`).
const XERIAL_BLOCK: usize = 32 * 1024;
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version, oldest version that can read it.
const XERIAL_HEADER: usize = 16;

/// Appends the plain form of `bytes` to `into`; at most `limit` bytes.
///
/// # Errors
/// When the bytes are not the codec's, or are too many.
pub fn decompress(codec: Codec, bytes: &[u8], limit: usize, into: &mut Vec<u8>) -> Result<(), CompressError> {
    match codec {
        Codec::None if bytes.len() > limit => Err(CompressError::TooLarge { limit }),
        Codec::None => {
            into.extend_from_slice(bytes);
            Ok(())
        }
        Codec::Gzip => read_all(codec, flate2::read::MultiGzDecoder::new(bytes), limit, into),
        Codec::Snappy => decompress_snappy(bytes, limit, into),
        Codec::Lz4 if lz4::decompress(bytes, limit, into) => Ok(()),
        Codec::Lz4 => {
            let frames = ::lz4::Decoder::new(bytes);
            let malformed = |error: io::Error| CompressError::Malformed { codec, reason: error.to_string() };
            let mut frames = frames.map_err(malformed)?;
            read_all(codec, &mut frames, limit, into)?;
            // Where a frame is cut the reader answers as at its end (Java's says PREMATURE_EOS).
            frames.finish().1.map_err(malformed)
        }
        Codec::Zstd => zstd::decompress(bytes, limit, into),
    }
}

/// Appends the compressed form of `bytes` to `into`. `level` is the codec's own scale; none is its default.
///
/// # Errors
/// Only when the codec itself fails, which a buffer in memory gives it no reason to.
pub fn compress(codec: Codec, level: Option<i32>, bytes: &[u8], into: &mut Vec<u8>) -> Result<(), CompressError> {
    let failed = |error: io::Error| CompressError::Malformed { codec, reason: error.to_string() };
    match codec {
        Codec::None => into.extend_from_slice(bytes),
        Codec::Gzip => {
            let level = match level {
                Some(level @ 1..=9) => flate2::Compression::new(level.unsigned_abs()),
                Some(_) | None => flate2::Compression::default(),
            };
            let mut encoder = flate2::write::GzEncoder::new(into, level);
            encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(failed)?;
        }
        Codec::Snappy => compress_snappy(bytes, into)?,
        Codec::Lz4 => lz4::compress(level, bytes, into)?,
        Codec::Zstd => zstd::compress(level.unwrap_or(::zstd::DEFAULT_COMPRESSION_LEVEL), bytes, into)?,
    }
    Ok(())
}

fn read_all(codec: Codec, reader: impl Read, limit: usize, into: &mut Vec<u8>) -> Result<(), CompressError> {
    let before = into.len();
    let mut bounded = reader.take(limit as u64 + 1);
    bounded.read_to_end(into).map_err(|error| CompressError::Malformed { codec, reason: error.to_string() })?;
    if into.len() - before > limit { Err(CompressError::TooLarge { limit }) } else { Ok(()) }
}

fn decompress_snappy(bytes: &[u8], limit: usize, into: &mut Vec<u8>) -> Result<(), CompressError> {
    let start = into.len();
    if !bytes.starts_with(&XERIAL_MAGIC) || bytes.len() < XERIAL_HEADER {
        return decompress_snappy_block(bytes, start, limit, into);
    }
    let mut rest = &bytes[XERIAL_HEADER..];
    while !rest.is_empty() {
        let malformed = || CompressError::Malformed { codec: Codec::Snappy, reason: "a block is cut".to_owned() };
        let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
        // Streams may be strung together, each with its header (Java: SnappyInputStream.readNextChunk).
        if rest.starts_with(&XERIAL_MAGIC) {
            rest = rest.get(XERIAL_HEADER..).ok_or_else(malformed)?;
            continue;
        }
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| malformed())?;
        let block = behind.get(..length).ok_or_else(malformed)?;
        decompress_snappy_block(block, start, limit, into)?;
        rest = &behind[length..];
    }
    Ok(())
}

fn decompress_snappy_block(block: &[u8], start: usize, limit: usize, into: &mut Vec<u8>) -> Result<(), CompressError> {
    let malformed = |error: snap::Error| CompressError::Malformed { codec: Codec::Snappy, reason: error.to_string() };
    let plain = snap::raw::decompress_len(block).map_err(malformed)?;
    let from = into.len();
    // A block of n bytes holds at most 64 bytes for every 3 of its own: more is a lie that would only cost memory.
    if from - start + plain > limit || plain / 22 > block.len() + 1 {
        return Err(CompressError::TooLarge { limit });
    }
    into.resize(from + plain, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut into[from..]).map_err(malformed)?;
    into.truncate(from + written);
    Ok(())
}

fn compress_snappy(bytes: &[u8], into: &mut Vec<u8>) -> Result<(), CompressError> {
    into.extend_from_slice(&XERIAL_MAGIC);
    into.extend_from_slice(&1i32.to_be_bytes());
    into.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(XERIAL_BLOCK) {
        let at = into.len();
        into.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
        let length = encoder
            .compress(block, &mut into[at + 4..])
            .map_err(|error| CompressError::Malformed { codec: Codec::Snappy, reason: error.to_string() })?;
        into[at..at + 4].copy_from_slice(&(length as i32).to_be_bytes());
        into.truncate(at + 4 + length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|index| b"the quick brown fox "[index * index / 7 % 20]).collect()
    }

    #[test]
    fn every_codec_gives_back_what_it_took() {
        for codec in CODECS {
            for length in [0, 1, 100, 70_000, 300_000] {
                let (plain, mut packed, mut back) = (text(length), Vec::new(), b"kept".to_vec());
                compress(codec, None, &plain, &mut packed).unwrap();
                decompress(codec, &packed, length, &mut back).unwrap();
                assert!(back.starts_with(b"kept") && back[4..] == plain, "{codec:?} {length}");
                if length > 0 {
                    let short = decompress(codec, &packed, length - 1, &mut Vec::new());
                    assert!(matches!(short, Err(CompressError::TooLarge { .. })), "{codec:?} {length}");
                }
            }
        }
    }

    #[test]
    fn snappy_is_read_in_plain_form_too() {
        let plain = text(50_000);
        let block = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        let mut back = Vec::new();
        decompress(Codec::Snappy, &block, 1 << 20, &mut back).unwrap();
        assert_eq!(back, plain);
    }

    #[test]
    fn a_frame_that_is_cut_is_malformed() {
        let plain = text(150_000);
        let mut own = Vec::new();
        compress(Codec::Lz4, None, &plain, &mut own).unwrap();
        let mut other = ::lz4::EncoderBuilder::new().build(Vec::new()).unwrap();
        other.write_all(&plain).unwrap();
        let (other, finished) = other.finish();
        finished.unwrap();
        for packed in [own, other] {
            assert_eq!(decompressed(&packed).unwrap(), plain);
            for at in (0..packed.len()).filter(|at| *at < 300 || *at % 97 == 0 || packed.len() - at < 50) {
                let cut = decompressed(&packed[..at]);
                assert!(matches!(cut, Err(CompressError::Malformed { .. })), "cut at {at} of {}", packed.len());
            }
        }
    }

    fn decompressed(packed: &[u8]) -> Result<Vec<u8>, CompressError> {
        let mut back = Vec::new();
        decompress(Codec::Lz4, packed, 150_000, &mut back).map(|()| back)
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic() {
        for codec in CODECS.into_iter().skip(1) {
            let mut packed = Vec::new();
            compress(codec, None, &text(5000), &mut packed).unwrap();
            for at in 0..packed.len().min(300) {
                let mut damaged = packed.clone();
                damaged[at] ^= 0x55;
                let _ = decompress(codec, &damaged, 1 << 20, &mut Vec::new());
                let mut part = Vec::new();
                let cut = decompress(codec, &packed[..at], 1 << 20, &mut part);
                // A stream of snappy has no end mark: one that is cut between two blocks is a shorter one.
                assert!(cut.is_err() || text(5000).starts_with(&part), "{codec:?} cut at {at}");
            }
        }
    }
}
