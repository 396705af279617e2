//! What every engine must do, run here for the engine in memory; and the helpers of keys.

use proptest::prelude::*;

use super::*;

fn text(rows: &dyn Rows, span: Span<'_>, order: Order) -> String {
    let rows = rows.range(span, order).map(|row| row.expect("a row"));
    rows.map(|(key, value)| format!("{}={} ", String::from_utf8_lossy(&key), String::from_utf8_lossy(&value))).collect()
}

/// The contract of `Rows` on an engine without rows.
pub(crate) fn contract(rows: &mut dyn Rows) {
    for key in ["b", "a", "d", "c", "ab"] {
        rows.put(key.as_bytes(), Some(format!("1{key}").as_bytes())).expect("put");
    }
    assert_eq!(rows.get(b"c").expect("get").as_deref(), Some(&b"1c"[..]));
    assert_eq!(rows.get(b"x").expect("get"), None);
    assert_eq!(text(rows, Span::ALL, Order::Ascending), "a=1a ab=1ab b=1b c=1c d=1d ");
    assert_eq!(text(rows, Span::new(b"ab", b"c"), Order::Descending), "b=1b ab=1ab ");
    assert_eq!(text(rows, Span::new(b"c", b"b"), Order::Ascending), "");
    assert!(rows.uncommitted_bytes() > 0);
    rows.commit(&[("t", 3, 17)]).expect("commit");
    assert_eq!(rows.committed("t", 3).expect("offset"), Some(17));
    assert_eq!(rows.committed("t", 4).expect("offset"), None);
    assert_eq!(rows.uncommitted_bytes(), 0);

    // Over committed rows: a deletion, another value, a new key, a range that goes and a row put into it again.
    rows.put(b"a", None).expect("put");
    rows.put(b"d", Some(b"2d")).expect("put");
    rows.put(b"e", Some(b"2e")).expect("put");
    rows.delete_range(Span::new(b"ab", b"d")).expect("delete");
    rows.put(b"b", Some(b"2b")).expect("put");
    for committed in [false, true] {
        assert_eq!(text(rows, Span::ALL, Order::Ascending), "b=2b d=2d e=2e ", "committed: {committed}");
        assert_eq!(text(rows, Span::ALL, Order::Descending), "e=2e d=2d b=2b ", "committed: {committed}");
        assert_eq!(text(rows, Span { from: Some(b"c"), to: None }, Order::Ascending), "d=2d e=2e ");
        assert_eq!(rows.get(b"ab").expect("get"), None);
        assert_eq!(rows.get(b"c").expect("get"), None);
        rows.commit(&[("t", 3, 18), ("u", 0, 1)]).expect("commit");
    }
    assert_eq!(rows.committed("t", 3).expect("offset"), Some(18));
    rows.delete_range(Span::ALL).expect("delete");
    assert_eq!(text(rows, Span::ALL, Order::Ascending), "");
}

/// Random writes on the engine and on a map give the same rows, forwards, backwards and one by one.
pub(crate) fn equals_a_map(rows: &mut dyn Rows, writes: &[(u8, Vec<u8>, Vec<u8>)]) {
    let mut map = std::collections::BTreeMap::new();
    for (kind, key, other) in writes {
        match kind % 8 {
            0 => {
                rows.put(key, None).expect("put");
                map.remove(key);
            }
            1 => {
                rows.delete_range(Span::new(key, other)).expect("delete");
                map.retain(|present: &Vec<u8>, _| !(present >= key && present < other));
            }
            2 => rows.commit(&[]).expect("commit"),
            _ => {
                rows.put(key, Some(other)).expect("put");
                map.insert(key.clone(), other.clone());
            }
        }
        let read = |order| -> Vec<(Vec<u8>, Vec<u8>)> {
            rows.range(Span::ALL, order).map(|row| row.expect("a row")).map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
        };
        let expected: Vec<_> = map.clone().into_iter().collect();
        assert_eq!(read(Order::Ascending), expected);
        assert_eq!(read(Order::Descending), expected.into_iter().rev().collect::<Vec<_>>());
        assert_eq!(rows.get(key).expect("get").as_deref(), map.get(key).map(Vec::as_slice));
    }
}

/// Writes over so few keys that they meet.
pub(crate) fn writes() -> impl Strategy<Value = Vec<(u8, Vec<u8>, Vec<u8>)>> {
    let key = || prop::collection::vec(0..3_u8, 0..3);
    prop::collection::vec((any::<u8>(), key(), key()), 0..60)
}

#[test]
fn memory_keeps_the_contract() {
    contract(&mut MemoryRows::new());
}

proptest! {
    #[test]
    fn memory_equals_a_map(writes in writes()) {
        equals_a_map(&mut MemoryRows::new(), &writes);
    }
}

#[test]
fn keys_after() {
    assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
    assert_eq!(after_prefix(&[1, 255, 255]), Some(vec![2]));
    assert_eq!(after_prefix(&[255]), None);
    assert_eq!(after_key(b"a"), b"a\0".to_vec());
}
