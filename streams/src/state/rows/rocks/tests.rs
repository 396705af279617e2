//! RocksDB keeps the contract of `Rows`; a crash leaves the state of the offsets that it says it has; damage is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::state::rows::tests::{contract, equals_a_map, writes};

fn budget() -> Budget {
    Budget::new(8 << 20, 1 << 20)
}

fn open(folder: &Path) -> TaskDb {
    TaskDb::open(folder, &["a", "b"], &budget()).expect("a database")
}

#[test]
fn rocksdb_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    contract(&mut open(folder.path()).rows("a").expect("rows"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn rocksdb_equals_a_map(writes in writes()) {
        let folder = tempfile::tempdir().expect("a folder");
        equals_a_map(&mut open(folder.path()).rows("a").expect("rows"), &writes);
    }
}

fn put(rows: &mut RocksRows, key: &str, value: &str) {
    rows.put(key.as_bytes(), Some(value.as_bytes())).expect("put");
}

#[test]
fn what_was_committed_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let db = open(folder.path());
        let (mut a, mut b) = (db.rows("a").expect("rows"), db.rows("b").expect("rows"));
        put(&mut a, "k", "1");
        a.commit(&[("t", 0, 5)]).expect("commit");
        put(&mut b, "k", "3");
        b.commit(&[("t", 0, 7)]).expect("commit");
        assert!(matches!(TaskDb::open(folder.path(), &[], &budget()), Err(StateError::Locked { .. })));
    }
    // Another topology, without the store b: its rows stay.
    let db = TaskDb::open(folder.path(), &["a", "c"], &budget()).expect("a database");
    let read = |rows: &RocksRows| {
        let value = rows.get(b"k").expect("get").map(|value| String::from_utf8_lossy(&value).into_owned());
        (value, rows.committed("t", 0).expect("offset"))
    };
    let mut a = db.rows("a").expect("rows");
    assert_eq!(read(&a), (Some("1".to_owned()), Some(5)));
    assert_eq!(db.rows("b").expect("rows").committed("t", 0).expect("offset"), Some(7));
    assert!(db.rows("d").is_err(), "it was not named");
    // What no commit has goes, and never without the offsets of what stays.
    put(&mut a, "k", "2");
    a.commit(&[("t", 0, 6)]).expect("commit");
    put(&mut a, "k", "4");
    drop(a);
    let found = read(&db.rows("a").expect("rows"));
    assert!([(Some("1".to_owned()), Some(5)), (Some("2".to_owned()), Some(6))].contains(&found), "{found:?}");
}

#[test]
fn rows_that_are_in_no_changelog_are_written_with_their_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = open(folder.path());
    let mut a = db.rows("a").expect("rows");
    put(&mut a, "k", "1");
    a.commit(&[]).expect("commit");
    put(&mut a, "k", "2");
    drop(a);
    assert_eq!(db.rows("a").expect("rows").get(b"k").expect("get").as_deref(), Some(&b"1"[..]));
}

#[test]
fn what_is_durable_is_what_the_database_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = open(folder.path());
    let mut a = db.rows("a").expect("rows");
    put(&mut a, "k", "1");
    a.commit(&[("t", 0, 5)]).expect("commit");
    let durable = || db.durable("a", "t", 0).expect("offset");
    assert_eq!((a.committed("t", 0).expect("offset"), durable()), (Some(5), None));
    put(&mut a, "k", "2");
    drop(a);
    assert_eq!((db.rows("a").expect("rows").committed("t", 0).expect("offset"), durable()), (None, None));
    let mut a = db.rows("a").expect("rows");
    put(&mut a, "k", "3");
    a.commit(&[("t", 0, 6)]).expect("commit");
    drop(a);
    assert_eq!(durable(), Some(6));
}

#[test]
fn reads_pass_over_few_deletions() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut a = open(folder.path()).rows("a").expect("rows");
    for number in 0..5_000_i64 {
        put(&mut a, &format!("{number:05}"), "value");
        a.put(format!("{:05}", number - 1).as_bytes(), None).expect("delete");
        a.commit(&[("t", 0, number)]).expect("commit");
        assert!(a.waiting.deletions() <= DELETIONS_MAX);
    }
    assert_eq!(a.range(Span::ALL, Order::Ascending).count(), 1);
}

#[test]
fn rows_of_many_commits_stay_within_their_budget() {
    let folder = tempfile::tempdir().expect("a folder");
    let budget = Budget::new(1 << 20, 1 << 20);
    let db = TaskDb::open(folder.path(), &["a", "b"], &budget).expect("a database");
    let mut stores = [db.rows("a").expect("rows"), db.rows("b").expect("rows")];
    let (mut kept, mut was_written) = (0, false);
    for number in 0..20_000 {
        let rows = &mut stores[number % 2];
        put(rows, &format!("{number}"), "value");
        rows.commit(&[("t", 0, number as i64)]).expect("commit");
        let now = budget.kept.load(Ordering::Relaxed);
        assert!(now <= budget.kept_max, "{now}");
        was_written |= now < kept;
        kept = now;
    }
    assert!(was_written && kept > 0);
    for (at, rows) in stores.iter().enumerate() {
        assert_eq!(rows.range(Span::ALL, Order::Ascending).count(), 10_000);
        assert_eq!(rows.committed("t", 0).expect("offset"), Some(19_998 + at as i64));
    }
    drop(stores);
    assert_eq!(budget.kept.load(Ordering::Relaxed), 0);
}

#[test]
fn damage_is_told_with_its_store_and_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let mut a = open(folder.path()).rows("a").expect("rows");
        for number in 0..2_000 {
            put(&mut a, &format!("key {number}"), &"value".repeat(20));
        }
        a.commit(&[]).expect("commit");
        a.flush().expect("flush");
    }
    let entries = || std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    for path in entries().filter(|path| path.extension().is_some_and(|extension| extension == "sst")) {
        let mut bytes = std::fs::read(&path).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0x5a);
        std::fs::write(&path, bytes).expect("a file");
    }
    let a = open(folder.path()).rows("a").expect("rows");
    let found: Result<Vec<Row>, StateError> = a.range(Span::ALL, Order::Ascending).collect();
    let error = found.expect_err("half of the file is damaged");
    assert!(matches!(&error, StateError::Corrupt { store, .. } if store == "a"), "{error}");
    assert!(error.to_string().contains(&*folder.path().to_string_lossy()));
    drop(a);
    let manifest = entries().find(|path| path.to_string_lossy().contains("MANIFEST")).expect("a manifest");
    std::fs::write(manifest, b"nothing of it").expect("a file");
    let error = TaskDb::open(folder.path(), &["a"], &budget()).err().expect("no manifest");
    assert!(matches!(error, StateError::Corrupt { .. }), "{error}");
}

#[test]
fn files_are_merged_once_a_store_is_filled() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = open(folder.path());
    let mut a = db.rows("a").expect("rows");
    let files = |rows: &RocksRows| {
        let family = rows.family(&rows.family).expect("its family");
        let name = rocksdb::properties::num_files_at_level(0);
        rows.open.db.property_int_value_cf(family, name).expect("a property").expect("a number")
    };
    db.fill(true).expect("it begins");
    for number in 0..12 {
        a.load(format!("{number}").as_bytes(), Some(b"value")).expect("load");
        a.commit(&[("t", 0, number)]).expect("commit");
        a.flush().expect("flush");
    }
    assert_eq!(files(&a), 12, "nothing was merged");
    db.fill(false).expect("it is complete");
    let deadline = Moment::now();
    while files(&a) >= 4 {
        assert!(deadline.elapsed() < Duration::from_secs(60), "files were not merged");
        std::thread::yield_now();
    }
    assert_eq!(a.range(Span::ALL, Order::Ascending).count(), 12);
}

/// What the writer of the crash test does at a step; the state after steps up to n is known from n alone.
fn step(step: i64, mut put: impl FnMut(Vec<u8>, Option<Vec<u8>>), erase: impl FnOnce(Vec<u8>, Vec<u8>)) {
    let key = |number: i64| format!("{:04}", number.rem_euclid(997)).into_bytes();
    if step % 50 == 49 {
        erase(key(step * 31), key(step * 31 + 20));
    }
    for number in 0..5 {
        let value = (number < 4).then(|| format!("{step}.{number}.{}", "x".repeat(100)).into_bytes());
        put(key(step * 7 + number * 131), value);
    }
}

fn state_after(steps: i64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let rows = std::cell::RefCell::new(BTreeMap::new());
    for number in 0..steps {
        let put = |key: Vec<u8>, value: Option<Vec<u8>>| match value {
            Some(value) => drop(rows.borrow_mut().insert(key, value)),
            None => drop(rows.borrow_mut().remove(&key)),
        };
        step(number, put, |from, to| rows.borrow_mut().retain(|key, _| !(*key >= from && *key < to)));
    }
    rows.into_inner()
}

const FOLDER: &str = "MILLSTREAM_ROCKS_TEST_FOLDER";

/// Not a test of its own: the process that the next one kills. It goes on from the offsets that it finds, writes to both
/// stores, commits them at different steps, and says how far it is.
#[test]
fn writer_to_be_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let db = open(Path::new(&folder));
    let mut stores = [db.rows("a").expect("rows"), db.rows("b").expect("rows")];
    let mut at: Vec<i64> =
        stores.iter().map(|rows| rows.committed("t", 0).expect("offset").unwrap_or_default()).collect();
    loop {
        for (number, rows) in stores.iter_mut().enumerate() {
            let writes = std::cell::RefCell::new(rows);
            let put = |key: Vec<u8>, value: Option<Vec<u8>>| {
                writes.borrow_mut().put(&key, value.as_deref()).expect("put");
            };
            let erase = |from: Vec<u8>, to: Vec<u8>| {
                writes.borrow_mut().delete_range(Span::new(&from, &to)).expect("delete");
            };
            step(at[number], put, erase);
            at[number] += 1;
            let rows = writes.into_inner();
            if at[number] % (3 + number as i64) == 0 {
                rows.commit(&[("t", 0, at[number])]).expect("commit");
            }
            if at[number] % 700 == 0 {
                rows.flush().expect("flush");
            }
        }
        if at[0] % 100 == 0 {
            println!("\nat {}", at[0]);
        }
    }
}

#[test]
fn a_killed_process_leaves_the_state_of_its_offsets() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut reached = 0;
    for round in 0..8 {
        let mut writer = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "state::rows::rocks::tests::writer_to_be_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(writer.stdout.take().expect("its output")).lines();
        // Killed at another place of a commit or flush each time.
        let steps = lines.map_while(Result::ok).filter(|line| line.starts_with("at "));
        assert_eq!(steps.take(3 + round * 4).count(), 3 + round * 4, "the writer ended");
        writer.kill().expect("kill -9");
        writer.wait().expect("its end");
        let db = open(folder.path());
        let mut offsets = Vec::new();
        for store in ["a", "b"] {
            let rows = db.rows(store).expect("rows");
            let offset = rows.committed("t", 0).expect("offset").unwrap_or_default();
            let found = rows.range(Span::ALL, Order::Ascending).map(|row| row.expect("a row"));
            let found: BTreeMap<Vec<u8>, Vec<u8>> = found.map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
            assert!(found == state_after(offset), "round {round}: {store} is not in the state of its offset {offset}");
            offsets.push(offset);
        }
        assert!(offsets[0] >= reached, "round {round}: what was flushed before was lost");
        reached = offsets[0];
    }
    assert!(reached > 0, "nothing ever reached the disk");
}
