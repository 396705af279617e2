use millstream_protocol::batch::{CONTROL, TRANSACTIONAL};
use millstream_protocol::record::BatchWriter;

use super::*;

/// A batch at `base` with values `base`, `base` + 1 and so on.
fn batch(base: i64, count: i32, codec: Codec, attributes: i16, producer: i64) -> Vec<u8> {
    let mut writer = BatchWriter::new(Some(1000));
    for offset in base..base + i64::from(count) {
        let headers: [(&[u8], Option<&[u8]>); 1] = [(b"h", None)];
        writer.push_parts(1000 + offset, None, Some(offset.to_string().as_bytes()), headers.into_iter());
    }
    let like = BatchHeader {
        base_offset: base,
        attributes,
        last_offset_delta: count - 1,
        producer_id: producer,
        leader_epoch: 4,
        ..BatchHeader::default()
    };
    let mut bytes = Vec::new();
    writer.finish(&like, codec, None, &mut bytes).unwrap();
    bytes
}

/// The marker that ends a transaction: key version 0 and type, value version 0 and coordinator epoch.
fn marker(base: i64, producer: i64, kind: u8) -> Vec<u8> {
    let mut writer = BatchWriter::new(Some(1000));
    writer.push_parts(1000, Some(&[0, 0, 0, kind]), Some(&[0, 0, 0, 0, 0, 1]), std::iter::empty());
    let attributes = CONTROL | TRANSACTIONAL;
    let like = BatchHeader { base_offset: base, attributes, producer_id: producer, ..BatchHeader::default() };
    let mut bytes = Vec::new();
    writer.finish(&like, Codec::None, None, &mut bytes).unwrap();
    bytes
}

fn fetched(bytes: Vec<u8>, aborted: &[(i64, i64)], position: i64, isolation: Isolation) -> Fetched {
    let place = Arc::new(TopicPartition::new("t", 0));
    Fetched::new(place, bytes.into(), aborted.to_vec(), position, isolation, Crc::Checked)
}

fn offsets(fetched: &mut Fetched, max: usize) -> Vec<i64> {
    let mut records = Records::default();
    while let Some(chunk) = fetched.next_chunk(max).unwrap() {
        assert!(chunk.count <= max);
        records.push(chunk);
    }
    for record in records.iter() {
        assert_eq!(record.value, Some(record.offset.to_string().as_bytes()));
        assert_eq!((record.timestamp, record.leader_epoch), (1000 + record.offset, 4));
        assert_eq!(record.headers().collect::<Vec<_>>(), [(&b"h"[..], None)]);
    }
    let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets.len(), records.len());
    offsets
}

#[test]
fn records_of_every_codec_are_lent_in_pieces_from_the_position_on() {
    for codec in millstream_protocol::compress::CODECS {
        let mut bytes = batch(10, 5, codec, 0, -1);
        bytes.extend(batch(20, 3, codec, 0, -1));
        let cut = batch(30, 2, codec, 0, -1);
        bytes.extend(&cut[..cut.len() - 1]);
        for max in [1, 2, 100] {
            let mut fetched = fetched(bytes.clone(), &[], 12, Isolation::ReadUncommitted);
            assert_eq!(offsets(&mut fetched, max), [12, 13, 14, 20, 21, 22], "{codec:?}");
            assert_eq!(fetched.position, 23);
        }
    }
}

#[test]
fn aborted_records_and_markers_are_passed_over() {
    let mut bytes = batch(0, 2, Codec::None, TRANSACTIONAL, 7);
    bytes.extend(batch(2, 1, Codec::None, 0, -1));
    bytes.extend(batch(3, 1, Codec::None, TRANSACTIONAL, 8));
    bytes.extend(marker(4, 7, 0));
    bytes.extend(batch(5, 1, Codec::None, TRANSACTIONAL, 7));
    bytes.extend(marker(6, 7, 1));
    bytes.extend(marker(7, 8, 1));
    let mut committed = fetched(bytes.clone(), &[(0, 7)], 0, Isolation::ReadCommitted);
    assert_eq!(offsets(&mut committed, 100), [2, 3, 5]);
    assert_eq!(committed.position, 8, "behind the last marker");
    let mut all = fetched(bytes.clone(), &[(0, 7)], 0, Isolation::ReadUncommitted);
    assert_eq!(offsets(&mut all, 100), [0, 1, 2, 3, 5]);
    // The position is inside of the transaction that was aborted: the rest of it is still passed over.
    let mut inside = fetched(bytes, &[(0, 7)], 1, Isolation::ReadCommitted);
    assert_eq!(offsets(&mut inside, 100), [2, 3, 5]);
}

#[test]
fn what_was_damaged_is_refused_and_what_came_before_is_kept() {
    let good = batch(0, 3, Codec::None, 0, -1);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        let mut second = batch(3, 3, Codec::None, 0, -1);
        second[at] ^= 0x55;
        bytes.extend(second);
        let mut fetched = fetched(bytes, &[], 0, Isolation::ReadUncommitted);
        assert_eq!(fetched.next_chunk(100).unwrap().map(|chunk| chunk.count), Some(3));
        // Offset, length and epoch stand outside of the CRC; everything behind it must be noticed.
        if at >= 16 {
            assert!(fetched.next_chunk(100).is_err(), "byte {at}");
            assert_eq!(fetched.position, 3);
        } else {
            let _ = fetched.next_chunk(100);
        }
    }
}

#[test]
fn an_offset_beyond_all_others_is_refused() {
    for base in [i64::MAX, i64::MAX - 1, i64::MAX - i64::from(i32::MAX)] {
        let mut bytes = batch(0, 3, Codec::None, 0, -1);
        bytes[..8].copy_from_slice(&base.to_be_bytes());
        let mut fetched = fetched(bytes, &[], 0, Isolation::ReadUncommitted);
        assert!(fetched.next_chunk(100).is_err(), "{base}");
        assert_eq!(fetched.position, 0);
    }
}
