//! What compaction keeps, and that a crash at any of its steps changes nothing that counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::append::{LeaderAppend, VerificationGuard};
use crate::config::{CleanupPolicy, LogConfig};
use crate::log_dir::LogDir;
use crate::partition_log::PartitionLog;
use crate::read::Isolation;
use crate::testing::{Batch, Bench, NOW_MS, read_all};

const MAP_BYTES: usize = 1 << 20;

fn compacted() -> LogConfig {
    LogConfig {
        segment_bytes: 600,
        index_interval_bytes: 100,
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        min_cleanable_dirty_ratio: 0.01,
        delete_retention_ms: 1000,
        ..LogConfig::default()
    }
}

fn append(log: &PartitionLog, batch: &Batch) {
    let client = LeaderAppend { verification: VerificationGuard::DISABLED, ..LeaderAppend::client(0) };
    log.append_as_leader(&batch.bytes(), &client).unwrap();
}

fn mark(log: &PartitionLog, producer_id: i64, commits: i16) {
    log.append_as_leader(&Batch::marker(producer_id, 0, commits, 0), &LeaderAppend::coordinator(0)).unwrap();
}

/// The last value of each key, tombstones left out.
fn table(log: &PartitionLog, isolation: Isolation) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for record in read_all(log, isolation) {
        match (record.key, record.value) {
            (Some(key), Some(value)) => table.insert(key, value),
            (Some(key), None) => table.remove(&key),
            (None, _) => None,
        };
    }
    table
}

fn clean_all(dir: &Arc<LogDir>) -> usize {
    let mut cleanings = 0;
    while dir.clean_one(MAP_BYTES, f64::MAX).unwrap().is_some() {
        cleanings += 1;
    }
    cleanings
}

fn reopen(bench: &Bench, dir: Arc<LogDir>) -> (Arc<LogDir>, Arc<PartitionLog>) {
    dir.close().unwrap();
    drop(dir);
    bench.faulty.kill();
    let dir = bench.load(&compacted());
    let log = dir.partition("t", 0).unwrap();
    log.set_high_watermark(i64::MAX);
    (dir, log)
}

/// Writes until compaction leaves gaps between segments above the recovery point on the disk, and cleans.
fn with_gaps(bench: &Bench) -> (Arc<LogDir>, Arc<PartitionLog>) {
    let dir = bench.load(&compacted());
    let log = bench.log(&dir, &compacted());
    for round in 0..40 {
        append(&log, &Batch::new().keyed("a", &format!("a{round}")).keyed(&format!("k{}", round % 3), "x"));
    }
    log.roll().unwrap();
    append(&log, &Batch::new().keyed("b", "b"));
    assert!(clean_all(&dir) > 0);
    log.set_high_watermark(i64::MAX);
    (dir, log)
}

#[test]
fn gaps_that_compaction_left_are_no_lost_ends_after_a_kill() {
    for loses_power in [false, true] {
        let bench = Bench::new(1);
        let (dir, log) = with_gaps(&bench);
        if loses_power {
            log.flush().unwrap();
        }
        let (before, end) = (read_all(&log, Isolation::LogEnd), log.log_end_offset());
        drop((dir, log));
        if loses_power {
            bench.faulty.power_off();
            bench.faulty.power_on();
        } else {
            bench.faulty.kill();
        }
        // What a topic's own configuration is comes with the metadata, after its log was opened.
        let dir = bench.load(&LogConfig::default());
        let log = dir.partition("t", 0).unwrap();
        assert_eq!(log.log_end_offset(), end);
        log.set_high_watermark(i64::MAX);
        assert_eq!(read_all(&log, Isolation::LogEnd), before);
    }
}

#[test]
fn a_new_topic_of_an_old_name_begins_dirty() {
    let bench = Bench::new(1);
    let (dir, log) = with_gaps(&bench);
    dir.delete_partition(&log).unwrap();
    let log = dir.open_partition("t", 0, uuid::Uuid::from_u128(8), Arc::new(compacted())).unwrap();
    for round in 0..60 {
        append(&log, &Batch::new().keyed("a", &format!("a{round}")));
    }
    log.roll().unwrap();
    append(&log, &Batch::new().keyed("b", "b"));
    log.set_high_watermark(i64::MAX);
    assert!(clean_all(&dir) > 0);
    let values =
        read_all(&log, Isolation::LogEnd).into_iter().filter(|record| record.key.as_deref() == Some("a")).count();
    assert_eq!(values, 1);
}

#[test]
fn the_last_record_of_each_key_stays_at_its_offset() {
    let bench = Bench::new(1);
    let dir = bench.load(&compacted());
    let log = bench.log(&dir, &compacted());
    for round in 0..30 {
        append(&log, &Batch::new().keyed("a", &format!("a{round}")).keyed(&format!("k{}", round % 7), "x"));
    }
    log.roll().unwrap();
    let (before, expected) = (read_all(&log, Isolation::LogEnd), table(&log, Isolation::LogEnd));
    assert_eq!(clean_all(&dir), 1);
    assert_eq!(dir.clean_one(MAP_BYTES, f64::MAX).unwrap(), None, "nothing new is dirty");
    let after = read_all(&log, Isolation::LogEnd);
    assert_eq!(after.len(), 8);
    assert!(after.iter().all(|record| before.contains(record)), "records keep their offsets");
    assert_eq!(table(&log, Isolation::LogEnd), expected);
    assert_eq!(log.log_end_offset(), 60);
    assert!(bench.files().iter().any(|name| name.ends_with(".deleted")));
    bench.advance(60_000);
    dir.purge().unwrap();
    let (_dir, log) = reopen(&bench, dir);
    assert_eq!(read_all(&log, Isolation::LogEnd), after);
    for offset in 0..60 {
        assert!(
            log.read(&crate::ReadRequest {
                offset,
                bytes_max: 1,
                minimum_one: crate::MinimumOne::Yes,
                isolation: Isolation::LogEnd
            })
            .is_ok()
        );
    }
}

#[test]
fn a_tombstone_goes_once_its_delete_horizon_has_passed() {
    let bench = Bench::new(1);
    let dir = bench.load(&compacted());
    let log = bench.log(&dir, &compacted());
    append(&log, &Batch::new().keyed("a", "1").keyed("b", "1"));
    append(&log, &Batch::new().record(Some("a"), None, NOW_MS));
    append(&log, &Batch::new().keyed("b", "2"));
    log.roll().unwrap();
    clean_all(&dir);
    let keys = |log: &PartitionLog| -> Vec<String> {
        read_all(log, Isolation::LogEnd).into_iter().filter_map(|record| record.key).collect()
    };
    assert_eq!(keys(&log), ["a", "b"], "the tombstone stays for slow readers");
    bench.advance(500);
    append(&log, &Batch::new().keyed("c", "1"));
    log.roll().unwrap();
    clean_all(&dir);
    assert_eq!(keys(&log), ["a", "b", "c"]);
    bench.advance(600);
    append(&log, &Batch::new().keyed("d", "1"));
    log.roll().unwrap();
    clean_all(&dir);
    assert_eq!(keys(&log), ["b", "c", "d"]);
}

#[test]
fn aborted_data_goes_and_open_transactions_are_left_alone() {
    let bench = Bench::new(1);
    let dir = bench.load(&compacted());
    let log = bench.log(&dir, &compacted());
    append(&log, &Batch::new().keyed("a", "old"));
    append(&log, &Batch::new().keyed("a", "aborted").producer(1, 0, 0).transactional());
    append(&log, &Batch::new().keyed("b", "committed").producer(2, 0, 0).transactional());
    mark(&log, 1, 0);
    mark(&log, 2, 1);
    log.roll().unwrap();
    append(&log, &Batch::new().keyed("a", "open").producer(3, 0, 0).transactional());
    log.roll().unwrap();
    append(&log, &Batch::new().keyed("z", "tail"));
    let expected = table(&log, Isolation::Committed);
    assert_eq!(expected.get("a").unwrap(), "old");
    clean_all(&dir);
    assert_eq!(table(&log, Isolation::Committed), expected);
    let seen = read_all(&log, Isolation::LogEnd);
    assert!(!seen.iter().any(|record| record.value.as_deref() == Some("aborted")));
    assert!(seen.iter().any(|record| record.value.as_deref() == Some("open")), "beyond the last stable offset");
    mark(&log, 3, 1);
    log.roll().unwrap();
    clean_all(&dir);
    assert_eq!(table(&log, Isolation::Committed).get("a").unwrap(), "open");
    let (_dir, log) = reopen(&bench, dir);
    assert_eq!(table(&log, Isolation::Committed).get("a").unwrap(), "open");
}

#[test]
fn the_last_batch_of_a_producer_stays_empty_and_its_sequence_goes_on() {
    let bench = Bench::new(1);
    let dir = bench.load(&compacted());
    let log = bench.log(&dir, &compacted());
    append(&log, &Batch::new().keyed("a", "1").producer(9, 0, 0));
    append(&log, &Batch::new().keyed("a", "2"));
    log.roll().unwrap();
    clean_all(&dir);
    assert_eq!(read_all(&log, Isolation::LogEnd).len(), 1);
    dir.checkpoint().unwrap();
    drop((dir, log));
    bench.faulty.kill();
    let dir = bench.load(&compacted());
    let log = dir.partition("t", 0).unwrap();
    assert_eq!(log.active_producers()[0].last_sequence, 0);
    append(&log, &Batch::new().keyed("a", "3").producer(9, 0, 1));
}

#[test]
fn a_small_map_cleans_in_several_rounds() {
    let bench = Bench::new(1);
    let dir = bench.load(&compacted());
    let log = bench.log(&dir, &compacted());
    for index in 0..60 {
        append(&log, &Batch::new().keyed(&format!("k{}", index % 40), &format!("v{index}")));
    }
    log.roll().unwrap();
    let expected = table(&log, Isolation::LogEnd);
    let mut rounds = 0;
    while dir.clean_one(24 * 16, f64::MAX).unwrap().is_some() {
        rounds += 1;
    }
    assert!(rounds > 1);
    assert_eq!(table(&log, Isolation::LogEnd), expected);
    assert!(read_all(&log, Isolation::LogEnd).len() < 60);
}

#[test]
fn a_crash_at_each_rename_loses_no_key_and_brings_no_data_back() {
    let mut crashes = 0;
    for nth in 1.. {
        let bench = Bench::new(nth);
        let dir = bench.load(&compacted());
        let log = bench.log(&dir, &compacted());
        for round in 0..20 {
            append(&log, &Batch::new().keyed(&format!("k{}", round % 5), &format!("v{round}")));
            let sequence = round / 4;
            let txn = i64::from(round % 2);
            append(&log, &Batch::new().keyed("t", &format!("t{round}")).producer(txn, 0, sequence).transactional());
            mark(&log, txn, (round / 2 % 2) as i16);
            append_pad(&log);
        }
        log.roll().unwrap();
        log.flush().unwrap();
        dir.checkpoint().unwrap();
        let expected = table(&log, Isolation::Committed);
        bench.faulty.crash_at_rename(nth);
        let outcome =
            std::iter::repeat_with(|| dir.clean_one(MAP_BYTES, f64::MAX)).find(|round| !matches!(round, Ok(Some(_))));
        let crashed = outcome.unwrap().is_err();
        drop((dir, log));
        if nth % 2 == 0 {
            bench.faulty.kill();
        } else {
            bench.faulty.power_off();
            bench.faulty.power_on();
        }
        let dir = bench.load(&compacted());
        let log = dir.partition("t", 0).unwrap();
        log.set_high_watermark(i64::MAX);
        assert_eq!(table(&log, Isolation::Committed), expected, "crash at rename {nth}");
        clean_all(&dir);
        assert_eq!(table(&log, Isolation::Committed), expected, "cleaned after a crash at rename {nth}");
        let left: Vec<String> = bench.files();
        assert!(!left.iter().any(|name| name.ends_with(".cleaned") || name.ends_with(".swap")), "{left:?}");
        if !crashed {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 10, "{crashes} renames were met");
}

fn append_pad(log: &PartitionLog) {
    append(log, &Batch::new().keyed("pad", &"p".repeat(60)));
}

#[test]
fn compaction_waits_for_its_lag_and_ratio() {
    let bench = Bench::new(1);
    let config = LogConfig { min_compaction_lag_ms: 10_000, min_cleanable_dirty_ratio: 0.5, ..compacted() };
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for index in 0..20 {
        append(&log, &Batch::new().keyed("k", &format!("v{index}")));
    }
    log.roll().unwrap();
    assert_eq!(clean_all(&dir), 0, "everything is younger than the lag");
    bench.advance(20_000);
    assert_eq!(clean_all(&dir), 1);
    for index in 0..200 {
        append(&log, &Batch::new().record(Some(&format!("u{index}")), Some("v"), NOW_MS + 20_000));
    }
    log.roll().unwrap();
    bench.advance(20_000);
    assert_eq!(clean_all(&dir), 1);
    append(&log, &Batch::new().record(Some("k"), Some("w"), NOW_MS + 20_000));
    log.roll().unwrap();
    bench.advance(20_000);
    assert_eq!(clean_all(&dir), 0, "too little is dirty");
    log.update_config(Arc::new(LogConfig { max_compaction_lag_ms: 1, ..config }));
    assert_eq!(clean_all(&dir), 1, "but it is overdue");
}

/// Two partitions with much to clean.
fn two_dirty(bench: &Bench) -> Arc<LogDir> {
    let dir = bench.load(&compacted());
    for topic in ["t", "u"] {
        let log = dir.open_partition(topic, 0, uuid::Uuid::from_u128(8), Arc::new(compacted())).unwrap();
        for round in 0..30 {
            append(&log, &Batch::new().keyed("a", &format!("a{round}")));
        }
        log.roll().unwrap();
    }
    dir
}

#[test]
fn two_cleaners_never_take_one_partition() {
    let bench = Bench::new(1);
    let dir = two_dirty(&bench);
    let first = dir.dirtiest().unwrap().expect("two are dirty");
    let second = dir.dirtiest().unwrap().expect("one is left");
    assert_ne!(first.log.topic(), second.log.topic());
    assert!(dir.dirtiest().unwrap().is_none(), "both are taken");
    drop(first);
    assert!(dir.dirtiest().unwrap().is_some(), "it was given back");
}

#[test]
fn a_cleaning_ends_when_the_directory_will_be_closed() {
    let bench = Bench::new(1);
    let dir = two_dirty(&bench);
    let before: Vec<_> = dir.partitions().iter().map(|log| read_all(log, Isolation::LogEnd)).collect();
    let (cleaner, began) = (dir.clone(), millstream_base_env::clock::Moment::now());
    // At one byte a second it would take an hour.
    let cleaning = std::thread::spawn(move || cleaner.clean_one(MAP_BYTES, 1.0).unwrap());
    while dir.claimed.lock().is_empty() {
        std::thread::yield_now();
    }
    dir.end_cleaning();
    assert_eq!(cleaning.join().unwrap(), None);
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
    assert_eq!(dir.clean_one(MAP_BYTES, f64::MAX).unwrap(), None, "nor does another begin");
    let after: Vec<_> = dir.partitions().iter().map(|log| read_all(log, Isolation::LogEnd)).collect();
    assert_eq!(after, before);
}

#[test]
fn a_throttled_cleaning_takes_its_time() {
    let bench = Bench::new(1);
    let dir = bench.load(&compacted());
    let log = bench.log(&dir, &compacted());
    let mut bytes = 0;
    for round in 0..30 {
        let batch = Batch::new().keyed("a", &format!("a{round}")).bytes();
        bytes += batch.len();
        log.append_as_leader(&batch, &LeaderAppend::client(0)).unwrap();
    }
    log.roll().unwrap();
    let began = millstream_base_env::clock::Moment::now();
    // Each byte is read twice, for the map and for the copy; what is kept is written besides.
    let seconds = 0.2;
    assert!(dir.clean_one(MAP_BYTES, 2.0 * bytes as f64 / seconds).unwrap().is_some());
    let took = began.elapsed().as_secs_f64();
    assert!(took >= seconds * 0.9, "{took}");
}
