//! Batches and frames at random: what was written is read again, what was damaged is refused or read, never a panic.

use std::hash::{BuildHasher, Hasher, RandomState};

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::batch::{BatchHeader, Batches, EndMarker, HEADER_BYTES, checksum, is_intact};
use crate::compress::{CODECS, Codec, decompress};
use crate::frame;
use crate::record::{BatchWriter, Records};

/// As many cases, with a fresh seed that is printed; `PROPTEST_RNG_SEED` repeats one.
pub fn fuzz(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let seed = match default.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().build_hasher().finish(),
    };
    println!("again with PROPTEST_RNG_SEED={seed}");
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..default }
}

type Parts = (Option<Vec<u8>>, Option<Vec<u8>>, i64);

fn written(records: &[Parts], codec: Codec) -> Vec<u8> {
    let mut writer = BatchWriter::new(None);
    for (key, value, timestamp) in records {
        let headers = [(&b"h"[..], value.as_deref())];
        writer.push_parts(*timestamp, key.as_deref(), value.as_deref(), headers.into_iter());
    }
    let header = BatchHeader { last_offset_delta: writer.count() - 1, ..BatchHeader::default() };
    let mut out = Vec::new();
    writer.finish(&header, codec, None, &mut out).expect("a codec writes to memory");
    out
}

/// Everything that a broker and a client look at in a batch; answers the records that can be read.
fn read(bytes: &[u8]) -> Vec<(Option<Vec<u8>>, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for (header, batch) in Batches::new(bytes) {
        let _ = (is_intact(&header, batch), EndMarker::decode(batch), header.last_offset(), header.last_sequence());
        let _ = (header.delete_horizon_ms(), header.size());
        let Some(codec) = Codec::from_id(header.codec()) else { continue };
        let mut plain = Vec::new();
        let packed = batch.get(HEADER_BYTES..).unwrap_or_default();
        if decompress(codec, packed, 1 << 20, &mut plain).is_err() {
            continue;
        }
        for record in Records::new(&plain, header.record_count).map_while(Result::ok) {
            let _ = record.headers().count();
            found.push((record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec)));
        }
    }
    found
}

prop_compose! {
    fn some_bytes()(bytes in prop::option::of(prop::collection::vec(any::<u8>(), 0..60))) -> Option<Vec<u8>> {
        bytes
    }
}

proptest! {
    #![proptest_config(fuzz(4000))]

    #[test]
    fn batches_are_read_as_written_and_damaged_ones_make_no_panic(
        records in prop::collection::vec((some_bytes(), some_bytes(), 0..2_000_000_000_000i64), 1..8),
        codec in prop::sample::select(&CODECS[..]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in any::<prop::sample::Index>(),
        right_crc: bool,
    ) {
        let mut bytes = written(&records, codec);
        let plain: Vec<_> = records.into_iter().map(|(key, value, _)| (key, value)).collect();
        prop_assert_eq!(read(&bytes), plain);
        bytes.extend_from_within(..);
        for (at, byte) in &flips {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if right_crc && let Some(header) = BatchHeader::decode(&bytes) {
            let crc = checksum(&header.encode(), &bytes[HEADER_BYTES..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        read(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read(&bytes);
    }

    /// However the bytes of frames arrive, the same frames come out.
    #[test]
    fn frames_are_cut_alike_however_they_arrive(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6),
        pieces in prop::collection::vec(1..40usize, 1..12),
        garbage in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut stream = Vec::new();
        for one in &frames {
            stream.extend_from_slice(&(one.len() as u32).to_be_bytes());
            stream.extend_from_slice(one);
        }
        stream.extend_from_slice(&garbage);
        let (mut buffer, mut taken, mut rest) = (BytesMut::new(), Vec::new(), &stream[..]);
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((*pieces.next().expect("a cycle")).min(rest.len()));
            buffer.extend_from_slice(piece);
            rest = behind;
            while let Ok(Some(one)) = frame::take(&mut buffer, 50) {
                taken.push(one.to_vec());
            }
        }
        prop_assert!(taken.len() >= frames.len());
        prop_assert_eq!(&taken[..frames.len()], &frames[..]);
    }
}
