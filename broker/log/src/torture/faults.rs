//! System errors at random operations, and disks that fill up: nothing acknowledged is lost, an EIO takes the
//! directory offline for good, a full disk is forgotten once there is room.

use std::collections::BTreeMap;

use millstream_base_env::faulty::Operation;

use super::*;
use crate::config::CleanupPolicy;

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

/// What a system answers where.
const FAULTS: [(Operation, i32); 13] = [
    (Operation::Write, ENOSPC),
    (Operation::Write, ENOSPC),
    (Operation::Write, EIO),
    (Operation::Sync, EIO),
    (Operation::Sync, ENOSPC),
    (Operation::Rename, ENOSPC),
    (Operation::Rename, EIO),
    (Operation::Open, EMFILE),
    (Operation::Open, ENOSPC),
    (Operation::Open, EIO),
    (Operation::Read, EIO),
    (Operation::Remove, EIO),
    (Operation::SetLength, ENOSPC),
];

/// Makes one of the next operations fail; mostly in ways that pass, so that lives are long.
fn order_fault(model: &mut Model, nth_max: u64) -> (Operation, i32, u64) {
    let mut fault = FAULTS[model.rng.random_range(0..FAULTS.len())];
    if is_lasting(fault) && model.rng.random_range(0..4) > 0 {
        fault = FAULTS[0];
    }
    let nth = model.rng.random_range(1..=nth_max);
    model.bench.faulty.fail_nth(fault.0, fault.1, nth);
    (fault.0, fault.1, nth)
}

fn is_lasting((operation, errno): (Operation, i32)) -> bool {
    errno == EIO || operation == Operation::Sync
}

/// Names the seed when a check deep below panics.
struct Running(u64);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// Whether so many seeds ran that each kind of fault must have come.
fn is_full_run() -> bool {
    std::env::var_os("MILLSTREAM_SEED").is_none()
}

/// What a life leaves to check.
struct Life {
    /// So many records were flushed when they were acknowledged.
    flushed: usize,
    /// Whether an append was refused: its batch may be in the file all the same.
    refused: bool,
}

#[test]
fn system_errors_lose_nothing_that_was_acknowledged() {
    let (mut offline, mut full) = (0, 0);
    for seed in seeds(150) {
        let _running = Running(seed);
        for promise in [Promise::Durable, Promise::Cached] {
            let mut model = Model::new(seed);
            if promise == Promise::Durable {
                model.config.flush_messages = 1;
                model.log.update_config(Arc::new(model.config.clone()));
            }
            for life in 0..3 {
                let context = format!("seed {seed} life {life} {promise:?}");
                let lived = live_with_faults(&mut model, &context, &mut full);
                if model.dir.is_offline() {
                    offline += 1;
                    stays_offline(&mut model, &context);
                }
                next_life(&mut model, &lived, &context);
            }
        }
    }
    let suffices = offline > 20 && full > 20;
    assert!(suffices || !is_full_run(), "{offline} times offline, {full} times full: too few to prove anything");
}

fn live_with_faults(model: &mut Model, context: &str, full: &mut usize) -> Life {
    let mut life = Life { flushed: 0, refused: false };
    for step in 0..60 {
        let fault = if model.rng.random_range(0..3) == 0 { Some(order_fault(model, 6)) } else { None };
        if model.rng.random_range(0..20) == 0 {
            let room = model.rng.random_range(0..600);
            model.bench.faulty.set_capacity(model.bench.faulty.used() + room);
        }
        let operation = model.rng.random_range(0..16);
        step_once(model, operation, &mut life);
        let context = format!("{context} step {step} operation {operation} fault {fault:?}");
        if model.dir.is_offline() {
            return life;
        }
        model.bench.faulty.forgive();
        assert_eq!(model.log.log_end_offset(), model.end, "{context}");
        assert!(model.seen() == model.records, "{context}");
        if model.rng.random_range(0..4) == 0 {
            // Room again, and nothing fails: the log takes records without being opened anew.
            *full += usize::from(life.refused);
            model.bench.faulty.set_capacity(u64::MAX);
            assert!(model.append().is_some(), "{context}: refused without need");
        }
    }
    life
}

/// A log of three segments, of which nothing was flushed when its process was killed.
fn killed_before_a_flush(seed: u64) -> Model {
    let mut model = Model::new(seed);
    for _ in 0..2 {
        assert!(model.append().is_some());
        model.log.roll().unwrap();
    }
    assert!(model.append().is_some());
    model.bench.faulty.kill();
    model.reload();
    model
}

fn all_there_without_power(model: &mut Model, context: &str) {
    model.bench.faulty.power_off();
    model.bench.faulty.power_on();
    model.reload();
    assert!(model.seen() == model.records, "{context}");
}

#[test]
fn a_flush_after_a_kill_keeps_the_files_that_were_made_before_it() {
    for seed in 0..30 {
        let mut model = killed_before_a_flush(seed);
        model.log.flush().unwrap();
        all_there_without_power(&mut model, &format!("seed {seed}"));
    }
}

#[test]
fn a_flush_that_lacked_descriptors_is_done_whole_the_next_time() {
    let mut failed = 0;
    for nth in 1..16 {
        let mut model = killed_before_a_flush(nth);
        model.bench.faulty.fail_nth(Operation::Open, EMFILE, nth);
        failed += usize::from(model.log.flush().is_err());
        model.bench.faulty.forgive();
        model.log.flush().unwrap();
        all_there_without_power(&mut model, &format!("open {nth} failed"));
    }
    assert!(failed > 3, "{failed} flushes failed: too few to prove anything");
}

/// An append that was refused left bytes behind the last batch, and they were synced: the segment ends there at the next
/// power loss although it was cut when the next one began.
#[test]
fn a_leftover_that_was_cut_off_may_come_back_without_power() {
    let mut came_back = 0;
    for seed in 0..200 {
        let mut model = Model::new(seed);
        assert!(model.append().is_some());
        let room = model.rng.random_range(1..100);
        model.bench.faulty.set_capacity(model.bench.faulty.used() + room);
        model.bench.faulty.fail_next(Operation::SetLength, ENOSPC);
        let is_refused = model.append().is_none();
        model.bench.faulty.forgive();
        model.bench.faulty.set_capacity(u64::MAX);
        if !is_refused {
            continue;
        }
        model.log.flush().unwrap();
        model.log.roll().unwrap();
        model.dir.checkpoint().unwrap();
        let first = Path::new(DIR).join("t-0").join(format!("{:020}.log", 0));
        let length = |model: &Model| model.bench.disk().read(&first).unwrap().len();
        let whole = length(&model);
        model.bench.faulty.power_off();
        model.bench.faulty.power_on();
        came_back += usize::from(length(&model) > whole);
        model.reload();
        assert_eq!(length(&model), whole, "seed {seed}");
        assert!(model.seen() == model.records, "seed {seed}");
    }
    assert!(came_back > 3, "{came_back} came back: too few to prove anything");
}

/// Segments that were deleted and never flushed may stand there again after a power loss, torn: they are checked, as
/// the recovery point does not pass them before their names are gone for good.
#[test]
fn deleted_segments_that_come_back_without_power_are_checked() {
    let mut came_back = 0;
    for seed in 0..100 {
        let mut model = Model::new(seed);
        for _ in 0..3 {
            assert!(model.append().is_some());
        }
        model.log.flush().unwrap();
        for _ in 0..6 {
            assert!(model.append().is_some());
        }
        model.log.roll().unwrap();
        model.log.set_high_watermark(i64::MAX);
        model.log.delete_before(model.end).unwrap();
        assert!(model.log.apply_retention().unwrap() > 0);
        assert!(model.log.is_flush_due(), "seed {seed}");
        model.dir.checkpoint().unwrap();
        assert!(model.append().is_some());
        model.bench.faulty.power_off();
        model.bench.faulty.power_on();
        model.reload();
        let left = model.seen();
        let start = left.first().map_or(model.end, |record| record.offset);
        came_back += usize::from(start == 0);
        let written = model.records.iter().filter(|record| record.offset >= start);
        assert!(left.iter().zip(written).all(|(left, right)| left == right), "seed {seed}");
    }
    assert!(came_back > 3, "{came_back} came back: too few to prove anything");
}

/// One operation, whatever it answers.
fn step_once(model: &mut Model, operation: u32, life: &mut Life) {
    match operation {
        0 => drop(model.log.roll()),
        1 => {
            if model.log.flush().is_ok() {
                life.flushed = model.records.len();
            }
        }
        2 => drop(model.dir.checkpoint()),
        3 => drop(model.dir.flush_due()),
        4 => {
            let to = model.rng.random_range(model.log.log_start_offset()..=model.end);
            model.log.set_high_watermark(i64::MAX);
            drop(model.log.delete_before(to));
            drop(model.log.apply_retention());
            let start = model.log.log_start_offset();
            let before = model.records.len();
            model.records.retain(|record| record.offset >= start);
            life.flushed = life.flushed.saturating_sub(before - model.records.len());
        }
        5 => drop(model.dir.purge()),
        6 => drop(read_some(model)),
        _ => match model.append() {
            Some(FlushDue::Now) => {
                if model.log.flush_to(model.end).is_ok() {
                    life.flushed = model.records.len();
                }
            }
            Some(FlushDue::No) => {}
            None => life.refused = true,
        },
    }
}

/// Reads at a random place: right or not at all.
fn read_some(model: &mut Model) -> Result<(), crate::ReadError> {
    let offset = model.rng.random_range(model.log.log_start_offset()..=model.end);
    let request =
        crate::ReadRequest { offset, bytes_max: 1, minimum_one: crate::MinimumOne::Yes, isolation: Isolation::LogEnd };
    let Some(slice) = model.log.read(&request)?.slice else { return Ok(()) };
    let Ok(bytes) = slice.bytes() else { return Ok(()) };
    let header = millstream_protocol::batch::BatchHeader::decode(&bytes).unwrap();
    assert!(header.last_offset() >= offset, "a read went back");
    Ok(())
}

/// Nothing fails any more, there is room: the directory refuses all the same.
fn stays_offline(model: &mut Model, context: &str) {
    model.bench.faulty.forgive();
    model.bench.faulty.set_capacity(u64::MAX);
    for _ in 0..3 {
        assert!(model.append().is_none(), "{context}: an append went through offline");
    }
    assert!(model.log.flush().is_err(), "{context}");
    assert!(model.log.roll().is_err(), "{context}");
    assert!(model.dir.checkpoint().is_err(), "{context}");
    assert!(model.dir.clean_one(1 << 20, f64::MAX).is_err(), "{context}");
    assert!(model.dir.is_offline() && model.dir.offline_reason().is_some(), "{context}");
}

/// Kills the process or takes the power away, and looks at what is there.
fn next_life(model: &mut Model, lived: &Life, context: &str) {
    let start = model.records.first().map_or(model.end, |record| record.offset);
    let loses_power = model.rng.random_range(0..2) == 0;
    if loses_power {
        model.bench.faulty.power_off();
        model.bench.faulty.power_on();
    } else {
        model.bench.faulty.kill();
    }
    model.bench.faulty.set_capacity(u64::MAX);
    model.reload();
    let all = model.seen();
    // A log start that was raised and not written down yet is forgotten, as in Apache.
    let survived: Vec<&Seen> = all.iter().filter(|record| record.offset >= start).collect();
    let common = survived.len().min(model.records.len());
    assert!(
        survived[..common].iter().zip(&model.records).all(|(left, right)| *left == right),
        "{context}: other records than were written"
    );
    let promised = if loses_power { lived.flushed } else { model.records.len() };
    assert!(survived.len() >= promised, "{context}: {promised} promised, {} there", survived.len());
    assert!(survived.len() <= model.records.len() || lived.refused, "{context}: records that nobody wrote");
    model.records = all;
    model.end = model.log.log_end_offset();
}

fn compacted(rng: &mut SmallRng) -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        min_cleanable_dirty_ratio: 0.01,
        delete_retention_ms: 100,
        ..config(rng)
    }
}

/// The last value of each key, tombstones left out.
fn table(log: &PartitionLog) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for record in read_all(log, Isolation::LogEnd) {
        match (record.key, record.value) {
            (Some(key), Some(value)) => table.insert(key, value),
            (Some(key), None) => table.remove(&key),
            (None, _) => None,
        };
    }
    table
}

fn append_keys(model: &mut Model) {
    for _ in 0..model.rng.random_range(20..60) {
        let mut batch = Batch::new();
        for _ in 0..model.rng.random_range(1..4) {
            model.made += 1;
            let key = format!("k{}", model.rng.random_range(0..8));
            let value = format!("{}-{}", model.made, "x".repeat(model.rng.random_range(0..40)));
            let value = if model.rng.random_range(0..6) == 0 { None } else { Some(value.as_str()) };
            batch = batch.record(Some(&key), value, model.bench.clock.now_ms());
        }
        let client = LeaderAppend { verification: VerificationGuard::DISABLED, ..LeaderAppend::client(3) };
        model.log.append_as_leader(&batch.bytes(), &client).unwrap();
    }
    model.log.roll().unwrap();
    model.log.set_high_watermark(i64::MAX);
}

#[test]
fn a_cleaning_that_fails_leaves_each_key_its_last_value() {
    let (mut offline, mut passed) = (0, 0);
    for seed in seeds(200) {
        let _running = Running(seed);
        let mut model = Model::new(seed);
        model.config = compacted(&mut model.rng);
        model.log.update_config(Arc::new(model.config.clone()));
        for round in 0..3 {
            append_keys(&mut model);
            let expected = table(&model.log);
            let fault = order_fault(&mut model, 30);
            let context = format!("seed {seed} round {round} fault {fault:?}");
            let cleaned = clean_all(&model.dir);
            let has_come = model.bench.faulty.forgive() == 0;
            assert_eq!(cleaned.is_err(), model.dir.is_offline(), "{context}: {cleaned:?}");
            if model.dir.is_offline() {
                offline += 1;
                restart(&mut model);
                assert_eq!(table(&model.log), expected, "{context}, opened again");
            } else {
                passed += usize::from(has_come);
                assert_eq!(table(&model.log), expected, "{context}");
                if model.rng.random_range(0..3) == 0 {
                    restart(&mut model);
                    assert_eq!(table(&model.log), expected, "{context}, killed behind it");
                }
            }
            // The longest pause between two attempts is over.
            model.bench.advance(20 * 60_000);
            clean_all(&model.dir).unwrap();
            model.dir.purge().unwrap();
            assert_eq!(table(&model.log), expected, "{context}, cleaned");
            let left = model.bench.files();
            assert!(
                !left.iter().any(|name| [".cleaned", ".swap", ".deleted"].iter().any(|end| name.ends_with(end))),
                "{context}: {left:?}"
            );
        }
    }
    let suffices = offline > 20 && passed > 20;
    assert!(suffices || !is_full_run(), "{offline} times offline, {passed} times passed: too few to prove anything");
}

fn clean_all(dir: &LogDir) -> Result<usize, crate::StorageError> {
    let mut count = 0;
    while dir.clean_one(1 << 20, f64::MAX)?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn restart(model: &mut Model) {
    if model.rng.random_range(0..2) == 0 && !model.dir.is_offline() && model.log.flush().is_ok() {
        model.bench.faulty.power_off();
        model.bench.faulty.power_on();
    } else {
        model.bench.faulty.kill();
    }
    model.reload();
}

#[test]
fn a_partition_that_cannot_be_cleaned_does_not_keep_others_from_it() {
    let mut model = Model::new(1);
    model.config = LogConfig { segment_bytes: 700, ..compacted(&mut model.rng) };
    let config = Arc::new(model.config.clone());
    model.log.update_config(Arc::clone(&config));
    let other = model.dir.open_partition("u", 0, uuid::Uuid::from_u128(8), config).unwrap();
    append_keys(&mut model);
    let first = std::mem::replace(&mut model.log, other);
    append_keys(&mut model);
    let folders: Vec<_> = [&first, &model.log].map(|log| log.folder()).into();
    let names: Vec<String> =
        folders.iter().map(|folder| folder.file_name().unwrap().to_string_lossy().into()).collect();
    model.dir.checkpoint().unwrap();
    first.flush().unwrap();
    model.log.flush().unwrap();
    // Whichever is taken first meets a full disk.
    model.bench.faulty.fail_next(Operation::Rename, ENOSPC);
    let cleaned = model.dir.clean_one(1 << 20, f64::MAX).unwrap().expect("the other one is cleaned");
    assert!(names.contains(&cleaned));
    let failed = names.iter().find(|name| **name != cleaned).unwrap();
    assert_eq!(model.dir.clean_one(1 << 20, f64::MAX).unwrap(), None, "it is left alone for a while");
    model.bench.advance(14_000);
    assert_eq!(model.dir.clean_one(1 << 20, f64::MAX).unwrap(), None);
    model.bench.advance(2_000);
    assert_eq!(model.dir.clean_one(1 << 20, f64::MAX).unwrap().as_ref(), Some(failed));
}
