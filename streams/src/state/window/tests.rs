//! Window stores on every layout: what is fetched, in which order, and what is expired.

use bytes::Bytes;

use super::*;
use crate::state::rows::MemoryRows;

const LAYOUTS: [Layout; 3] =
    [Layout::KeyFirst, Layout::TimeFirst { index: Index::ByKey }, Layout::TimeFirst { index: Index::None }];

fn store(layout: Layout, retention_ms: i64, duplicates: Duplicates) -> WindowRows {
    let settings = WindowSettings { retention_ms, size_ms: 10, duplicates, layout };
    WindowRows::open("w", Box::new(MemoryRows::new()), settings).expect("a store")
}

fn put(store: &mut WindowRows, key: &str, start: i64, value: &str) -> Stored {
    let value = (!value.is_empty()).then(|| Bytes::copy_from_slice(value.as_bytes()));
    store.put(key.as_bytes(), start, value).expect("put").0
}

fn text(rows: WindowIter<'_>) -> String {
    let lossy = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    rows.map(|row| row.expect("a row"))
        .map(|row| format!("{}@{}={} ", lossy(&row.key), row.start, lossy(&row.value)))
        .collect()
}

#[test]
fn a_key_is_fetched_by_time() {
    for layout in LAYOUTS {
        let mut store = store(layout, 200_000, Duplicates::Replaced);
        for (key, start, value) in
            [("a", 5, "1"), ("aa", 5, "2"), ("a", 150_000, "3"), ("a", 0, "4"), ("b", 5, "5"), ("a", 5, "6")]
        {
            assert_eq!(put(&mut store, key, start, value), Stored::Yes);
        }
        assert_eq!(text(store.fetch(b"a", 0, 200_000, Order::Ascending)), "a@0=4 a@5=6 a@150000=3 ", "{layout:?}");
        assert_eq!(text(store.fetch(b"a", -7, 5, Order::Descending)), "a@5=6 a@0=4 ", "{layout:?}");
        assert_eq!(text(store.fetch(b"c", 0, i64::MAX, Order::Ascending)), "");
        assert_eq!(store.get(b"a", 5).expect("get").as_deref(), Some(&b"6"[..]));
        put(&mut store, "a", 5, "");
        assert_eq!(store.get(b"a", 5).expect("get"), None);
        assert_eq!(text(store.fetch(b"a", 0, 200_000, Order::Ascending)), "a@0=4 a@150000=3 ", "{layout:?}");
    }
}

#[test]
fn all_keys_lie_as_the_layout_says() {
    for (layout, expected) in LAYOUTS.into_iter().zip([
        "a@0=4 a@5=1 aa@5=2 b@4=5 a@150000=3 ",
        "a@0=4 b@4=5 a@5=1 aa@5=2 a@150000=3 ",
        "a@0=4 b@4=5 a@5=1 aa@5=2 a@150000=3 ",
    ]) {
        let mut store = store(layout, 200_000, Duplicates::Replaced);
        for (key, start, value) in [("a", 5, "1"), ("aa", 5, "2"), ("a", 150_000, "3"), ("a", 0, "4"), ("b", 4, "5")] {
            put(&mut store, key, start, value);
        }
        assert_eq!(text(store.all(Order::Ascending)), expected, "{layout:?}");
        let reversed: Vec<&str> = expected.split_inclusive(' ').rev().collect();
        assert_eq!(text(store.all(Order::Descending)), reversed.concat(), "{layout:?}");
        let keys = (Some(&b"aa"[..]), Some(&b"b"[..]));
        let by_key = if layout == LAYOUTS[2] { "b@4=5 aa@5=2 " } else { "aa@5=2 b@4=5 " };
        assert_eq!(text(store.fetch_range(keys, 0, 10, Order::Ascending)), by_key, "{layout:?}");
        assert_eq!(text(store.fetch_range((Some(b"b"), Some(b"a")), 0, 10, Order::Ascending)), "");
        let open = (None, Some(&b"a"[..]));
        assert_eq!(text(store.fetch_range(open, 1, i64::MAX, Order::Ascending)), "a@5=1 a@150000=3 ");
        assert_eq!(store.dump().expect("rows").len(), 5, "the index is no row");
    }
}

#[test]
fn what_stream_time_left_behind_is_gone() {
    // Segments of 60 s; retention of 60 s: a row is out of sight before its segment is dropped.
    for layout in LAYOUTS {
        let mut store = store(layout, 60_000, Duplicates::Replaced);
        put(&mut store, "a", 10, "1");
        put(&mut store, "a", 30_000, "2");
        put(&mut store, "b", 70_000, "3");
        let slack = if layout == Layout::KeyFirst { "" } else { "a@10000=x " };
        put(&mut store, "a", 10_000, "x");
        assert_eq!(text(store.fetch(b"a", 0, 99_000, Order::Ascending)), format!("{slack}a@30000=2 "), "{layout:?}");
        assert_eq!(store.get(b"a", 10).expect("get"), None);
        // A late row whose segment is there is taken, though nobody sees it.
        assert_eq!(put(&mut store, "a", 20, "4"), Stored::Yes);
        assert_eq!(put(&mut store, "b", 120_000, "5"), Stored::Yes);
        assert_eq!(put(&mut store, "b", 59_999, "6"), Stored::Expired);
        assert_eq!(text(store.all(Order::Ascending)), "b@70000=3 b@120000=5 ");
        let rows = store.segments().rows().range(crate::state::Span::ALL, Order::Ascending).count();
        assert_eq!(rows, if layout == LAYOUTS[1] { 4 } else { 2 });
    }
}

#[test]
fn duplicates_are_kept_in_their_order() {
    let mut store = store(Layout::KeyFirst, 60_000, Duplicates::Kept);
    for value in ["1", "2", ""] {
        put(&mut store, "a", 5, value);
    }
    assert_eq!(store.put(b"a", 4, Some(Bytes::from_static(b"3"))).expect("put"), (Stored::Yes, 3));
    assert_eq!(text(store.fetch(b"a", 0, 5, Order::Ascending)), "a@4=3 a@5=1 a@5=2 ");
}

#[test]
fn a_store_is_found_again_and_restored() {
    for layout in LAYOUTS {
        let mut store = store(layout, 60_000, Duplicates::Replaced);
        let mut key = Vec::new();
        format::write_store_key(b"a", 61_000, 0, &mut key);
        store.restore(Bytes::from(key.clone()), Some(Bytes::from_static(b"1"))).expect("restore");
        assert_eq!(text(store.fetch(b"a", 0, 61_000, Order::Ascending)), "a@61000=1 ");
        let WindowRows { segments, settings, .. } = store;
        let mut store = WindowRows::open("w", segments.into_rows(), settings).expect("a store");
        assert_eq!(store.segments().stream_time(), -1);
        assert_eq!(text(store.all(Order::Ascending)), "a@61000=1 ", "{layout:?}");
        store.restore(Bytes::from(key), None).expect("restore");
        assert_eq!(text(store.all(Order::Ascending)), "");
        assert!(store.restore(Bytes::from_static(b"short"), None).is_err());
    }
}
