//! Records of both sides that wait for a match.

use super::*;
use crate::state::rows::MemoryRows;

fn text(rows: &UnmatchedRows) -> String {
    let lossy = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let one = |one: Result<Unmatched, StateError>| one.expect("records");
    rows.all()
        .map(one)
        .map(|one| {
            let values: Vec<String> = one.values.iter().map(lossy).collect();
            format!("{}{:?}{}={} ", one.timestamp, one.side, lossy(&one.key), values.join(","))
        })
        .collect()
}

#[test]
fn records_lie_by_time_side_and_key() {
    let mut rows = UnmatchedRows::open("o", Box::new(MemoryRows::new()));
    let mut restored = UnmatchedRows::open("o", Box::new(MemoryRows::new()));
    for (timestamp, side, key, value) in [
        (7, JoinSide::Left, "b", "1"),
        (7, JoinSide::Left, "a", "2"),
        (7, JoinSide::Right, "c", "3"),
        (3, JoinSide::Left, "z", "4"),
        (7, JoinSide::Left, "b", "5"),
    ] {
        let (row, list) = rows.add(timestamp, side, key.as_bytes(), value.as_bytes()).expect("add");
        restored.restore(&row, Some(list)).expect("restore");
    }
    assert_eq!(text(&rows), "3Leftz=4 7Rightc=3 7Lefta=2 7Leftb=1,5 ");
    assert_eq!(rows.remove(7, JoinSide::Left, b"c").expect("remove"), None);
    let removed = rows.remove(7, JoinSide::Left, b"b").expect("remove").expect("it was there");
    restored.restore(&removed, None).expect("restore");
    assert_eq!(text(&rows), "3Leftz=4 7Rightc=3 7Lefta=2 ");
    assert_eq!(rows.dump().expect("rows"), restored.dump().expect("rows"));
    rows.restore(b"short", Some(Bytes::new())).expect("restore");
    assert!(rows.all().any(|one| one.is_err()));
}
