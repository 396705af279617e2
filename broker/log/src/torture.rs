//! Random operations against a model (a `Vec` of records), power losses and kills on the faulty disk, and files
//! damaged at random. Each failure names its seed.
//!
//! `MILLSTREAM_SEEDS` sets how many seeds run (make soak uses 200 and more), half of them fresh ones.

use std::path::Path;
use std::sync::Arc;

use millstream_base_env::disk::OpenMode;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::append::{FlushDue, LeaderAppend, VerificationGuard};
use crate::config::LogConfig;
use crate::error::OpenError;
use crate::log_dir::LogDir;
use crate::partition_log::PartitionLog;
use crate::read::{ActiveProducer, Isolation};
use crate::testing::{Batch, Bench, DIR, Seen, read_all};

/// Half of the seeds are the same every time, half are fresh; `MILLSTREAM_SEED` repeats one.
fn seeds(default: u64) -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = number("MILLSTREAM_SEEDS").unwrap_or(default);
    let (fixed, fresh) = match number("MILLSTREAM_SEED") {
        Some(seed) => (0..0, seed..seed + 1),
        None => {
            let first = u64::from(rand::random::<u32>());
            (0..count / 2, first..first + count.div_ceil(2))
        }
    };
    println!("seeds {fixed:?} and {fresh:?}; MILLSTREAM_SEED repeats one");
    fixed.chain(fresh)
}

fn config(rng: &mut SmallRng) -> LogConfig {
    LogConfig {
        segment_bytes: rng.random_range(700..3000),
        index_interval_bytes: rng.random_range(0..300),
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

/// A log and what it should hold.
struct Model {
    bench: Bench,
    config: LogConfig,
    dir: Arc<LogDir>,
    log: Arc<PartitionLog>,
    records: Vec<Seen>,
    end: i64,
    made: u64,
    sequences: [i32; 3],
    rng: SmallRng,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (bench, config) = (Bench::new(seed), config(&mut rng));
        let dir = bench.load(&config);
        let log = bench.log(&dir, &config);
        Model { bench, config, dir, log, records: Vec::new(), end: 0, made: 0, sequences: [0; 3], rng }
    }

    /// Appends some records, now and then as a producer with sequences; false when the disk is gone.
    fn append(&mut self) -> Option<FlushDue> {
        let count = self.rng.random_range(1..6);
        let producer = self.rng.random_range(0..6usize);
        let mut batch = Batch::new();
        let mut added = Vec::new();
        for index in 0..count {
            self.made += 1;
            let value = format!("{}-{}", self.made, "x".repeat(self.rng.random_range(0..80)));
            batch = batch.record(None, Some(&value), crate::testing::NOW_MS);
            added.push(Seen { offset: self.end + index, key: None, value: Some(value) });
        }
        if let Some(sequence) = self.sequences.get(producer) {
            batch = batch.producer(producer as i64, 0, *sequence);
        }
        let client = LeaderAppend { verification: VerificationGuard::DISABLED, ..LeaderAppend::client(3) };
        let info = self.log.append_as_leader(&batch.bytes(), &client).ok()?;
        assert_eq!(info.first_offset, self.end);
        if let Some(sequence) = self.sequences.get_mut(producer) {
            *sequence += count as i32;
        }
        self.records.extend(added);
        self.end += count;
        Some(info.flush)
    }

    fn reload(&mut self) {
        self.dir = self.bench.load(&self.config);
        self.log = self.bench.log(&self.dir, &self.config);
        self.log.set_high_watermark(i64::MAX);
        let mut producers = self.log.active_producers();
        producers.sort_by_key(|producer| producer.producer_id);
        for (index, sequence) in self.sequences.iter_mut().enumerate() {
            let known = producers.iter().find(|producer| producer.producer_id == index as i64);
            *sequence = known.map_or(0, |producer: &ActiveProducer| producer.last_sequence + 1);
        }
    }

    fn seen(&self) -> Vec<Seen> {
        read_all(&self.log, Isolation::LogEnd)
    }
}

#[test]
fn random_operations_leave_what_the_model_says() {
    for seed in seeds(60) {
        let mut model = Model::new(seed);
        for step in 0..120 {
            let operation = model.rng.random_range(0..20);
            match operation {
                0 => model.log.roll().unwrap(),
                1 => model.log.flush().unwrap(),
                2 => {
                    let to = model.rng.random_range(model.log.log_start_offset()..=model.end);
                    truncate(&mut model, to);
                }
                3 => {
                    model.dir.close().unwrap();
                    model.bench.faulty.kill();
                    model.reload();
                }
                4 => {
                    model.dir.checkpoint().unwrap();
                    model.bench.faulty.kill();
                    model.reload();
                }
                5 => {
                    let to = model.rng.random_range(model.log.log_start_offset()..=model.end);
                    model.log.delete_before(to).unwrap();
                    model.records.retain(|record| record.offset >= to);
                    model.dir.checkpoint().unwrap();
                }
                6 => {
                    model.log.apply_retention().unwrap();
                    model.dir.purge().unwrap();
                }
                _ => {
                    model.append().unwrap();
                }
            }
            assert!(model.seen() == model.records, "seed {seed} step {step} operation {operation}");
            assert_eq!(model.log.log_end_offset(), model.end, "seed {seed} step {step} operation {operation}");
        }
    }
}

/// Truncates to the start of the batch that holds `to`, as a follower does.
fn truncate(model: &mut Model, to: i64) {
    let before = model.log.log_end_offset();
    if model.log.truncate_to(to).unwrap() {
        assert!(to < before);
        model.end = model.log.log_end_offset();
        model.records.retain(|record| record.offset < model.end);
        // Batches are dropped whole: those that reached over the cut left a hole that the log end does not show.
        let kept = model.seen();
        model.records.retain(|record| kept.contains(record));
        let mut producers = model.log.active_producers();
        producers.sort_by_key(|producer| producer.producer_id);
        for (index, sequence) in model.sequences.iter_mut().enumerate() {
            let known = producers.iter().find(|producer| producer.producer_id == index as i64);
            *sequence = known.map_or(0, |producer| producer.last_sequence + 1);
        }
    }
}

/// What a topic promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// `flush.messages=1`: what was acknowledged survives a power loss.
    Durable,
    /// Only a tail that was never synced may go.
    Cached,
}

#[test]
fn a_power_loss_takes_nothing_that_was_promised() {
    for seed in seeds(100) {
        for promise in [Promise::Durable, Promise::Cached] {
            let mut model = Model::new(seed);
            if promise == Promise::Durable {
                model.config.flush_messages = 1;
                model.log.update_config(Arc::new(model.config.clone()));
            }
            for life in 0..4 {
                let nth = model.rng.random_range(1..150);
                model.bench.faulty.crash_at_mutation(nth);
                let promised = live(&mut model, promise);
                model.bench.faulty.power_off();
                model.bench.faulty.power_on();
                model.reload();
                let survived = model.seen();
                let context = format!("seed {seed} life {life} {promise:?}");
                assert!(survived.len() >= promised, "{context}: {promised} promised, {} there", survived.len());
                assert!(survived[..] == model.records[..survived.len()], "{context}");
                model.records.truncate(survived.len());
                model.end = model.log.log_end_offset();
            }
        }
    }
}

/// Works until the power goes; answers how many records must survive.
fn live(model: &mut Model, promise: Promise) -> usize {
    let mut promised = 0;
    for _ in 0..100 {
        let on_disk = match model.rng.random_range(0..12) {
            0 => model.log.roll().map(|()| false),
            1 => model.log.flush().map(|()| true),
            2 => model.dir.checkpoint().map(|()| false),
            3 => model.dir.flush_due().map(|()| false),
            _ => match model.append() {
                Some(FlushDue::Now) => model.log.flush_to(model.end).map(|()| true),
                Some(FlushDue::No) => Ok(promise == Promise::Durable),
                None => return promised,
            },
        };
        match on_disk {
            Ok(true) => promised = model.records.len(),
            Ok(false) => {}
            Err(_) => return promised,
        }
    }
    promised
}

#[test]
fn a_killed_process_loses_nothing_at_all() {
    for seed in seeds(60) {
        let mut model = Model::new(seed);
        for life in 0..4 {
            for _ in 0..model.rng.random_range(0..60) {
                match model.rng.random_range(0..10) {
                    0 => model.log.roll().unwrap(),
                    1 => model.dir.checkpoint().unwrap(),
                    2 => model.dir.flush_due().unwrap(),
                    _ => drop(model.append().unwrap()),
                }
            }
            model.bench.faulty.kill();
            let producers = sorted(&model.log);
            model.reload();
            assert_eq!(model.seen(), model.records, "seed {seed} life {life}");
            assert_eq!(sorted(&model.log), producers, "seed {seed} life {life}");
        }
    }
}

fn sorted(log: &PartitionLog) -> Vec<ActiveProducer> {
    let mut producers = log.active_producers();
    producers.sort_by_key(|producer| producer.producer_id);
    producers
}

#[test]
fn damaged_files_never_panic_and_never_serve_a_wrong_batch() {
    for seed in seeds(150) {
        let mut model = Model::new(seed);
        for _ in 0..60 {
            model.append().unwrap();
        }
        model.bench.faulty.kill();
        let damage = damage_some(&mut model, |_| true);
        match LogDir::open(model.bench.disk(), model.bench.clock.clone(), Path::new(DIR)) {
            Ok(dir) => {
                let config = Arc::new(model.config.clone());
                match dir.load_all(1, &|_| Arc::clone(&config)) {
                    Ok(logs) => {
                        for log in logs {
                            log.set_high_watermark(i64::MAX);
                            let seen = read_all(&log, Isolation::LogEnd);
                            assert!(
                                seen.iter().all(|record| model.records.contains(record)),
                                "seed {seed}: {damage:?}"
                            );
                        }
                    }
                    Err(OpenError::Malformed { .. }) => {}
                    Err(error) => panic!("seed {seed}: {damage:?}: {error}"),
                }
            }
            Err(error) => panic!("seed {seed}: {damage:?}: {error}"),
        }
    }
}

#[test]
fn damaged_indexes_and_snapshots_are_built_anew_after_a_clean_stop() {
    for seed in seeds(100) {
        let mut model = Model::new(seed);
        for _ in 0..60 {
            model.append().unwrap();
        }
        model.dir.close().unwrap();
        model.bench.faulty.kill();
        let damage = damage_some(&mut model, |name| name.ends_with(".index") || name.ends_with(".snapshot"));
        model.reload();
        assert_eq!(model.seen(), model.records, "seed {seed}: {damage:?}");
        for record in &model.records {
            let request = crate::ReadRequest {
                offset: record.offset,
                bytes_max: 1,
                minimum_one: crate::MinimumOne::Yes,
                isolation: Isolation::LogEnd,
            };
            let bytes = model.log.read(&request).unwrap().slice.expect("the record is there").bytes().unwrap();
            let header = millstream_protocol::batch::BatchHeader::decode(&bytes).unwrap();
            assert!((header.base_offset..=header.last_offset()).contains(&record.offset), "seed {seed}: {damage:?}");
        }
        model.append().expect("the log goes on");
    }
}

/// Flips, cuts, fills or removes some of the files that `wanted` names; says which.
fn damage_some(model: &mut Model, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = Path::new(DIR).join("t-0");
    let disk = model.bench.disk();
    let rng = &mut model.rng;
    let mut damaged = Vec::new();
    for entry in disk.list(&folder).unwrap() {
        if !wanted(&entry.name) || rng.random_range(0..3) > 0 {
            continue;
        }
        let path = folder.join(&entry.name);
        let file = disk.open(&path, OpenMode::ReadWrite).unwrap();
        let at = rng.random_range(0..=entry.length);
        let how = rng.random_range(0..4);
        let noise: Vec<u8> = (0..rng.random_range(1..64)).map(|_| rng.random()).collect();
        match how {
            0 => file.set_len(at).unwrap(),
            1 => file.write_at(at, &[std::io::IoSlice::new(&noise)]).unwrap(),
            2 => file.write_at(entry.length, &[std::io::IoSlice::new(&noise)]).unwrap(),
            _ if entry.name.ends_with(".log") => file.set_len(0).unwrap(),
            _ => disk.remove_file(&path).unwrap(),
        }
        damaged.push(format!("{} {how} at {at}", entry.name));
    }
    damaged
}

/// System errors and full disks.
mod faults;
