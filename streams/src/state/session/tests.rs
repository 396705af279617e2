//! Session stores on every layout.

use super::*;
use crate::state::rows::MemoryRows;

const LAYOUTS: [Layout; 3] =
    [Layout::KeyFirst, Layout::TimeFirst { index: Index::ByKey }, Layout::TimeFirst { index: Index::None }];

fn store(layout: Layout) -> SessionRows {
    let mut store = SessionRows::open("s", Box::new(MemoryRows::new()), 60_000, layout).expect("a store");
    for (key, start, end) in [("a", 0, 10), ("a", 20, 20), ("aa", 5, 12), ("b", 11, 70_000), ("a", 90, 61_000)] {
        let stored = store.put(key.as_bytes(), Window { start, end }, Some(Bytes::from(format!("{key}{end}"))));
        assert_eq!(stored.expect("put"), Stored::Yes);
    }
    store
}

fn text(rows: SessionIter<'_>) -> String {
    let lossy = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let row = |row: Result<SessionRow, StateError>| row.expect("a row");
    rows.map(row)
        .map(|(key, value)| {
            assert_eq!(lossy(&value), format!("{}{}", lossy(&key.key), key.window.end));
            format!("{}@{}-{} ", lossy(&key.key), key.window.start, key.window.end)
        })
        .collect()
}

const ANY: Meeting = Meeting { earliest_end: 0, latest_start: i64::MAX };

#[test]
fn sessions_of_a_key_that_meet_a_time() {
    for layout in LAYOUTS {
        // Stream time is 70 s, so what ended at 10 s or before is out of retention.
        let mut store = store(layout);
        assert_eq!(text(store.find(b"a", ANY, Order::Ascending)), "a@90-61000 ", "{layout:?}");
        for (start, end) in [(9_000, 11_000), (12_000, 13_000), (14_000, 61_000)] {
            let value = Some(Bytes::from(format!("a{end}")));
            store.put(b"a", Window { start, end }, value).expect("put");
        }
        let all = "a@9000-11000 a@12000-13000 a@90-61000 a@14000-61000 ";
        assert_eq!(text(store.find(b"a", ANY, Order::Ascending)), all, "{layout:?}");
        let meeting = Meeting { earliest_end: 13_000, latest_start: 12_000 };
        assert_eq!(text(store.find(b"a", meeting, Order::Descending)), "a@90-61000 a@12000-13000 ", "{layout:?}");
        store.remove(b"a", Window { start: 12_000, end: 13_000 }).expect("remove");
        assert_eq!(text(store.find(b"a", meeting, Order::Ascending)), "a@90-61000 ", "{layout:?}");
        assert_eq!(store.get(b"a", Window { start: 90, end: 61_000 }).expect("get").as_deref(), Some(&b"a61000"[..]));
        assert_eq!(store.get(b"a", Window { start: 20, end: 20 }).expect("get"), None, "expired");
        assert_eq!(store.dump().expect("rows").len(), 4, "{layout:?}");
    }
}

#[test]
fn sessions_of_several_keys() {
    for (layout, expected) in
        LAYOUTS.into_iter().zip(["a@90-61000 b@11-70000 ", "a@90-61000 b@11-70000 ", "a@90-61000 b@11-70000 "])
    {
        let store = store(layout);
        assert_eq!(text(store.all(Order::Ascending)), expected, "{layout:?}");
        assert_eq!(text(store.find_range((Some(b"aa"), Some(b"b")), ANY, Order::Ascending)), "b@11-70000 ");
        assert_eq!(text(store.find_range((None, Some(b"a")), ANY, Order::Ascending)), "a@90-61000 ");
        assert_eq!(text(store.find_range((Some(b"b"), Some(b"a")), ANY, Order::Ascending)), "");
    }
}

#[test]
fn sessions_that_ended() {
    let store = store(LAYOUTS[1]);
    assert_eq!(text(store.ended(10, 12)), "a@0-10 aa@5-12 ");
    assert_eq!(text(store.ended(11, i64::MAX)), "aa@5-12 a@20-20 a@90-61000 b@11-70000 ");
    assert_eq!(text(store.ended(13, 12)), "");
}

#[test]
fn a_late_session_and_a_restored_one() {
    for layout in LAYOUTS {
        let mut store = store(layout);
        let late = Window { start: 0, end: 130_000 };
        store.put(b"c", late, Some(Bytes::from_static(b"c130000"))).expect("put");
        let early = Window { start: 5, end: 9 };
        assert_eq!(store.put(b"c", early, Some(Bytes::new())).expect("put"), Stored::Expired);
        let mut key = Vec::new();
        format::write_key(b"c", Window { start: 1, end: 129_000 }, &mut key);
        store.restore(Bytes::from(key), Some(Bytes::from_static(b"c129000"))).expect("restore");
        assert_eq!(text(store.find(b"c", ANY, Order::Ascending)), "c@1-129000 c@0-130000 ", "{layout:?}");
        assert!(store.restore(Bytes::from_static(b"short"), None).is_err());
    }
}
