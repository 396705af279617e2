//! Versioned stores: against a plain map of versions while nothing expires, then what history leaves behind.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::state::rows::MemoryRows;

fn store(history_ms: i64, segment_ms: i64) -> VersionedRows {
    VersionedRows::open("v", Box::new(MemoryRows::new()), history_ms, Some(segment_ms)).expect("a store")
}

fn value(number: u8) -> Option<Bytes> {
    // Every fifth is a deletion.
    (!number.is_multiple_of(5)).then(|| Bytes::from(vec![number; usize::from(number % 3)]))
}

fn get(store: &VersionedRows, timestamp: i64) -> Option<(Bytes, i64, Option<i64>)> {
    let row = store.get_as_of(b"k", timestamp).expect("get");
    row.map(|row| (row.value, row.valid_from, row.valid_to))
}

proptest! {
    #[test]
    fn equals_a_map_of_versions(puts in prop::collection::vec((0..60_i64, any::<u8>()), 1..60), segment_ms in 1..40_i64) {
        let mut store = store(1_000, segment_ms);
        let mut model: BTreeMap<i64, Option<Bytes>> = BTreeMap::new();
        for (timestamp, number) in puts {
            // A deletion at the very time of the latest value leaves no trace: see the test of that.
            let last = model.iter().next_back();
            if value(number).is_none() && last.is_some_and(|(last, value)| *last == timestamp && value.is_some()) {
                continue;
            }
            let later = model.range(timestamp + 1..).next().map(|(later, _)| *later);
            let put = store.put(b"k", value(number), timestamp).expect("put");
            prop_assert_eq!(put, later.map_or(VersionedPut::Latest, VersionedPut::ValidTo));
            model.insert(timestamp, value(number));
            // Another key's versions are no part of this one's.
            store.put(b"other", value(number.wrapping_add(1)), timestamp).expect("put");
            for at in 0..61 {
                let expected = model.range(..=at).next_back().and_then(|(from, value)| {
                    let to = model.range(from + 1..).next().map(|(to, _)| *to);
                    value.clone().map(|value| (value, *from, to))
                });
                prop_assert_eq!(get(&store, at), expected, "as of {}", at);
            }
            let latest = model.iter().next_back().and_then(|(from, value)| value.clone().map(|value| (value, *from)));
            prop_assert_eq!(store.get(b"k").expect("get").map(|row| (row.value, row.valid_from)), latest);
        }
        let values = model.iter().filter(|(_, value)| value.is_some()).map(|(from, _)| *from);
        let history = store.history(b"k", 0, 900, Order::Ascending).expect("history");
        prop_assert_eq!(history.iter().map(|row| row.valid_from).collect::<Vec<_>>(), values.collect::<Vec<_>>());
    }
}

fn put(store: &mut VersionedRows, timestamp: i64, number: u8) -> VersionedPut {
    store.put(b"k", value(number), timestamp).expect("put")
}

#[test]
fn history_ends() {
    let mut store = store(100, 50);
    assert_eq!(put(&mut store, 10, 1), VersionedPut::Latest);
    assert_eq!(put(&mut store, 20, 2), VersionedPut::Latest);
    assert_eq!(put(&mut store, 120, 3), VersionedPut::Latest);
    assert_eq!(get(&store, 20).map(|found| found.1), Some(20), "just within history");
    assert_eq!(get(&store, 19), None, "out of history");
    assert_eq!(put(&mut store, 19, 4), VersionedPut::NotPut);
    assert!(store.is_expired(19) && !store.is_expired(20));
    // 2 was valid until 120, so it lies in segment 2; 1 lies in segment 0, which goes with stream time 160.
    store.put(b"x", value(1), 160).expect("put");
    assert_eq!(get(&store, 60).map(|found| (found.1, found.2)), Some((20, Some(120))));
    assert_eq!(store.segments().among(0..=i64::MAX, Order::Ascending), [2]);
    // What is the latest value is known out of history too.
    store.put(b"x", value(2), 1_000).expect("put");
    assert_eq!(get(&store, 120).map(|found| found.1), Some(120));
    assert_eq!(get(&store, 119), None);
}

#[test]
fn a_deletion_says_what_was_there() {
    let mut store = store(100, 50);
    put(&mut store, 10, 1);
    assert_eq!(store.delete(b"k", 5).expect("delete"), None);
    let deleted = store.delete(b"k", 30).expect("delete").expect("it was there");
    assert_eq!((deleted.valid_from, deleted.valid_to), (10, None));
    assert_eq!(store.get(b"k").expect("get"), None);
    assert_eq!(get(&store, 29).map(|found| found.2), Some(Some(30)));
    put(&mut store, 300, 2);
    assert_eq!(store.delete(b"k", 100).expect("delete"), None, "out of history");
}

#[test]
fn the_changelog_restores_it() {
    let mut store = store(100, 50);
    let mut records = Vec::new();
    for (timestamp, number) in [(10, 1), (40, 2), (25, 5), (90, 3), (60, 4), (91, 10), (70, 6)] {
        put(&mut store, timestamp, number);
        records.push((Bytes::from_static(b"k"), value(number), timestamp));
    }
    let mut restored = super::tests::store(100, 50);
    restored.restore(&records).expect("restore");
    assert_eq!(restored.dump().expect("rows"), store.dump().expect("rows"));
    let VersionedRows { segments, .. } = restored;
    let again = VersionedRows::open("v", segments.into_rows(), 100, Some(50)).expect("a store");
    assert_eq!(get(&again, 65).map(|found| (found.1, found.2)), Some((60, Some(70))));
    let all = again.history(b"k", 0, 99, Order::Descending).expect("history");
    assert_eq!(all.iter().map(|row| row.valid_from).collect::<Vec<_>>(), [90, 70, 60, 40, 10]);
}

#[test]
fn a_deletion_at_the_time_of_the_latest_value_leaves_no_trace() {
    // As in RocksDBVersionedStore.maybePutToLatestValueStore: the row goes, and no segment learns of the deletion.
    let mut store = store(100, 50);
    put(&mut store, 10, 1);
    assert_eq!(put(&mut store, 10, 5), VersionedPut::Latest);
    assert_eq!(store.dump().expect("rows"), []);
    assert_eq!(put(&mut store, 7, 2), VersionedPut::Latest);
    assert_eq!(get(&store, 10).map(|found| (found.1, found.2)), Some((7, None)));
}

#[test]
fn segments_are_as_long_as_java_makes_them() {
    for (history_ms, expected) in [
        (0, 2_000),
        (60_000, 20_000),
        (60_001, 20_000),
        (300_000, 60_000),
        (3_600_000, 300_000),
        (86_400_000, 3_600_000),
    ] {
        assert_eq!(default_interval_ms(history_ms), expected, "{history_ms}");
    }
}
