//! The bytes are those of Apache 4.3.1: `TransactionLog.keyToBytes` and `valueToBytes` on the same values.

use super::*;
use crate::txn::transaction::NO_PRODUCER_ID;

const START: i64 = 1_699_999_999_000;
const UPDATE: i64 = 1_700_000_000_000;

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a hex digit") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn read(key: &[u8], value: Option<&[u8]>) -> TxnRecord {
    decode(key, value).expect("a sound record")
}

fn check(data: &TxnData, cluster: TransactionVersion, expected: &str) {
    let mut value = BytesMut::new();
    write_value(&mut value, data, cluster);
    assert_eq!(&value[..], hex(expected), "{data:?}");
    let read = decode(&hex("000000087061796d656e7473"), Some(&value)).expect("Apache wrote it");
    let mut data = data.clone();
    // Version 0 does not hold the ids before and after; no version holds the last epoch.
    data.last_producer_epoch = NO_PRODUCER_EPOCH;
    if cluster == TransactionVersion::Tv0 {
        data.previous_producer_id = NO_PRODUCER_ID;
        data.next_producer_id = NO_PRODUCER_ID;
    }
    assert_eq!(read, TxnRecord::Value { transactional_id: "payments".into(), data });
}

fn data(producer_id: i64, producer_epoch: i16, state: TxnState) -> TxnData {
    let mut data = TxnData::new(producer_id, 60_000, UPDATE);
    data.producer_epoch = producer_epoch;
    data.last_producer_epoch = 2;
    data.previous_producer_id = 1000;
    data.state = state;
    data.start_ms = START;
    data
}

#[test]
fn keys_are_those_of_apache() {
    let mut key = BytesMut::new();
    write_key(&mut key, "payments");
    assert_eq!(&key[..], hex("000000087061796d656e7473"));
    assert_eq!(read(&key, None), TxnRecord::Tombstone { transactional_id: "payments".into() });
}

#[test]
fn values_are_those_of_apache() {
    use TransactionVersion::{Tv0, Tv1, Tv2};
    let mut empty = data(1000, 0, TxnState::Empty);
    empty.previous_producer_id = NO_PRODUCER_ID;
    empty.start_ms = -1;
    check(&empty, Tv0, "000000000000000003e800000000ea6000ffffffff0000018bcfe56800ffffffffffffffff");
    check(&empty, Tv1, "000100000000000003e800000000ea6000000000018bcfe56800ffffffffffffffff00");
    let mut ongoing = data(1000, 3, TxnState::Ongoing);
    ongoing.partitions = [0, 5].map(|partition| TopicPartition::new("orders", partition)).into();
    check(
        &ongoing,
        Tv0,
        "000000000000000003e800030000ea60010000000100066f72646572730000000200000000000000050000018bcfe568000000018bcfe56418",
    );
    ongoing.client_version = Tv2;
    check(
        &ongoing,
        Tv2,
        "000100000000000003e800030000ea600102076f7264657273030000000000000005000000018bcfe568000000018bcfe5641802000800000000000003e802020002",
    );
    let mut prepare = data(1000, i16::MAX, TxnState::PrepareCommit);
    prepare.next_producer_id = 2000;
    prepare.client_version = Tv2;
    prepare.partitions = [TopicPartition::new("orders", 5)].into();
    check(
        &prepare,
        Tv2,
        "000100000000000003e87fff0000ea600202076f72646572730200000005000000018bcfe568000000018bcfe5641803000800000000000003e8010800000000000007d002020002",
    );
    let complete = data(2000, 0, TxnState::CompleteCommit);
    check(&complete, Tv0, "000000000000000007d000000000ea6004000000000000018bcfe568000000018bcfe56418");
    check(&complete, Tv1, "000100000000000007d000000000ea6004010000018bcfe568000000018bcfe5641801000800000000000003e8");
}

#[test]
fn partitions_of_several_topics_come_back() {
    let mut ongoing = data(1000, 3, TxnState::Ongoing);
    for (topic, partition) in [("b", 2), ("a", 7), ("b", 0), ("aa", -1), ("a", 1)] {
        ongoing.partitions.insert(TopicPartition::new(topic, partition));
    }
    ongoing.last_producer_epoch = NO_PRODUCER_EPOCH;
    for cluster in [TransactionVersion::Tv0, TransactionVersion::Tv2] {
        let mut value = BytesMut::new();
        write_value(&mut value, &ongoing, cluster);
        match decode(&hex("00000000"), Some(&value)).expect("we wrote it") {
            TxnRecord::Value { data, .. } => assert_eq!(data.partitions, ongoing.partitions),
            other => panic!("read as {other:?}"),
        }
    }
}

#[test]
fn what_a_later_version_wrote_is_told_apart_from_damage() {
    assert_eq!(read(&hex("000100"), None), TxnRecord::UnknownVersion { version: 1 });
    assert_eq!(read(&hex("00000000"), Some(&hex("000200"))), TxnRecord::UnknownVersion { version: 2 });
    // A tag of a later version is skipped.
    let later = "000100000000000003e800000000ea6000000000018bcfe56800ffffffffffffffff010902ffff";
    assert!(matches!(decode(&hex("00000000"), Some(&hex(later))), Ok(TxnRecord::Value { .. })));
    for damaged in ["", "00", "0001", &later[..later.len() - 2], "000100000000000003e800000000ea600900"] {
        assert!(decode(&hex("00000000"), Some(&hex(damaged))).is_err(), "{damaged}");
    }
}
