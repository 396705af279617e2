//! Appends, reads, producers, transactions, truncation and reopening, each rule by itself.

use std::sync::Arc;

use millstream_base_env::{Clock, Disk};

use crate::append::{AppendOrigin, AppendOutcome, Commit, FlushDue, LeaderAppend, VerificationGuard};
use millstream_protocol::compress::CODECS;

use crate::LogDir;
use crate::config::{CleanupPolicy, LogConfig, TimestampType, TopicCompression};
use crate::error::{AppendError, ReadError, StorageError};
use crate::partition_log::{PartitionLog, TransactionSupport};
use crate::read::{Isolation, MinimumOne, ReadRequest, Reading, TimestampOffset};
use crate::testing::{Batch, Bench, NOW_MS, Seen, batches, read_all};

fn client() -> LeaderAppend {
    LeaderAppend { verification: VerificationGuard::DISABLED, ..LeaderAppend::client(0) }
}

fn append(log: &PartitionLog, batch: &Batch) -> i64 {
    log.append_as_leader(&batch.bytes(), &client()).unwrap().first_offset
}

fn mark(log: &PartitionLog, producer_id: i64, epoch: i16, commits: i16) {
    log.append_as_leader(&Batch::marker(producer_id, epoch, commits, 0), &LeaderAppend::coordinator(0)).unwrap();
}

fn values(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|record| record.value.as_deref().unwrap_or("-")).collect()
}

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 400, index_interval_bytes: 100, ..LogConfig::default() }
}

#[test]
fn records_come_back_in_order_across_segments_and_a_clean_restart() {
    let bench = Bench::new(1);
    let config = small_segments();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for index in 0..50 {
        assert_eq!(append(&log, &Batch::of(2, &format!("v{index}"))), index * 2);
    }
    assert!(log.segment_count() > 5);
    let before = read_all(&log, Isolation::HighWatermark);
    assert_eq!(before.len(), 100);
    assert_eq!(before[99].value.as_deref(), Some("v49"));
    dir.close().unwrap();
    drop((dir, log));
    bench.faulty.kill();
    let dir = bench.load(&config);
    let log = dir.partition("t", 0).unwrap();
    log.set_high_watermark(i64::MAX);
    assert_eq!(read_all(&log, Isolation::HighWatermark), before);
    assert_eq!(log.recovery_point(), 100);
    assert_eq!(append(&log, &Batch::of(1, "next")), 100);
}

#[test]
fn every_offset_is_found_from_any_position() {
    let bench = Bench::new(1);
    let config = small_segments();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for index in 0..40 {
        append(&log, &Batch::of(3, &format!("v{index}")));
    }
    for offset in 0..120 {
        let request = ReadRequest { offset, bytes_max: 1, minimum_one: MinimumOne::Yes, isolation: Isolation::LogEnd };
        let bytes = log.read(&request).unwrap().slice.unwrap().bytes().unwrap();
        let found = batches(&bytes);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0.base_offset, offset / 3 * 3);
        let none = ReadRequest { minimum_one: MinimumOne::No, ..request };
        assert!(log.read(&none).unwrap().slice.is_none());
    }
    let end = ReadRequest { offset: 120, bytes_max: 1, minimum_one: MinimumOne::Yes, isolation: Isolation::LogEnd };
    assert!(log.read(&end).unwrap().slice.is_none());
    for offset in [-1, 121] {
        let error = log.read(&ReadRequest { offset, ..end }).unwrap_err();
        assert!(matches!(error, ReadError::OffsetOutOfRange { log_end_offset: 120, .. }));
    }
}

#[test]
fn a_consumer_sees_nothing_at_or_above_the_high_watermark() {
    let bench = Bench::new(1);
    let config = small_segments();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    let replicated = LeaderAppend { commit: Commit::WhenReplicated, ..client() };
    for index in 0..20 {
        log.append_as_leader(&Batch::of(1, &format!("v{index}")).bytes(), &replicated).unwrap();
    }
    for watermark in 0..=20 {
        let offsets = log.raise_high_watermark(watermark);
        assert_eq!((offsets.high_watermark, offsets.log_end), (watermark, 20));
        assert_eq!(read_all(&log, Isolation::HighWatermark).len(), watermark as usize);
    }
    assert_eq!(log.raise_high_watermark(3).high_watermark, 20);
}

#[test]
fn what_is_wrong_with_a_batch_is_named_and_nothing_is_written() {
    let bench = Bench::new(1);
    let config = LogConfig {
        max_message_bytes: 500,
        segment_bytes: 450,
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        ..LogConfig::default()
    };
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    let good = Batch::new().keyed("k", "v").bytes();
    let refuse = |bytes: &[u8]| log.append_as_leader(bytes, &client()).unwrap_err();
    let damaged = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        refuse(&bytes)
    };
    assert!(matches!(damaged(good.len() - 1), AppendError::CorruptMessage(_)));
    assert!(matches!(damaged(7), AppendError::InvalidRecord { .. }), "base offset");
    assert!(matches!(refuse(&good[..good.len() - 1]), AppendError::InvalidRecord { .. }));
    assert!(matches!(refuse(&[]), AppendError::InvalidRecord { .. }));
    assert!(matches!(refuse(&[good.clone(), good.clone()].concat()), AppendError::InvalidRecord { .. }));
    let AppendError::InvalidRecord { record_errors, .. } =
        refuse(&Batch::new().keyed("k", "v").record(None, Some("x"), NOW_MS).bytes())
    else {
        panic!("a keyless record on a compacted topic");
    };
    assert_eq!(record_errors.len(), 1);
    assert_eq!(record_errors[0].batch_index, 1);
    let late = Batch::new().record(Some("k"), None, NOW_MS + 2 * 3_600_000).bytes();
    assert!(matches!(refuse(&late), AppendError::InvalidTimestamp { .. }));
    let large = Batch::new().keyed("k", &"x".repeat(600)).bytes();
    assert!(matches!(refuse(&large), AppendError::MessageTooLarge { max: 500, .. }));
    let larger_than_segment = Batch::new().keyed("k", &"x".repeat(400)).bytes();
    assert!(matches!(refuse(&larger_than_segment), AppendError::RecordListTooLarge { max: 450, .. }));
    assert!(matches!(refuse(&Batch::marker(1, 0, 1, 0)), AppendError::InvalidRecord { .. }));
    assert_eq!(log.log_end_offset(), 0);
}

#[test]
fn log_append_time_rewrites_the_batch_with_a_right_crc() {
    let bench = Bench::new(1);
    let config = LogConfig { message_timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() };
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    let info = log.append_as_leader(&Batch::of(2, "v").bytes(), &client()).unwrap();
    assert_eq!(info.log_append_time, NOW_MS);
    let request =
        ReadRequest { offset: 0, bytes_max: 1000, minimum_one: MinimumOne::Yes, isolation: Isolation::LogEnd };
    let bytes = log.read(&request).unwrap().slice.unwrap().bytes().unwrap();
    let found = batches(&bytes);
    assert!(found[0].0.is_log_append_time());
    assert_eq!(found[0].0.max_timestamp, NOW_MS);
}

#[test]
fn every_codec_is_checked_record_by_record_and_kept_as_it_came() {
    let bench = Bench::new(1);
    let config = LogConfig::default();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for codec in CODECS {
        let batch = Batch::of(20, "some text that repeats").codec(codec);
        let offset = append(&log, &batch);
        let request =
            ReadRequest { offset, bytes_max: 1 << 20, minimum_one: MinimumOne::Yes, isolation: Isolation::LogEnd };
        let bytes = log.read(&request).unwrap().slice.unwrap().bytes().unwrap();
        assert_eq!(bytes[61..], batch.bytes()[61..], "{codec:?}");
        let late = Batch::new().record(None, Some("v"), NOW_MS + 7_200_000).codec(codec).bytes();
        let error = log.append_as_leader(&late, &client()).unwrap_err();
        assert!(matches!(&error, AppendError::InvalidTimestamp { record_errors, .. } if record_errors.len() == 1));
    }
    assert_eq!(read_all(&log, Isolation::LogEnd).len(), 100);
}

#[test]
fn a_topic_with_a_codec_of_its_own_recompresses() {
    let bench = Bench::new(1);
    for wanted in CODECS {
        let compression = TopicCompression::Codec { codec: wanted, level: None };
        let config = LogConfig { compression, ..LogConfig::default() };
        let dir = bench.load(&config);
        let log = dir.open_partition("t", wanted.id().into(), uuid::Uuid::nil(), std::sync::Arc::new(config)).unwrap();
        for sent in CODECS {
            append(&log, &Batch::of(10, "text").codec(sent).producer(5, 0, i32::from(sent.id()) * 10));
        }
        assert_eq!(read_all(&log, Isolation::LogEnd).len(), 50);
        let request =
            ReadRequest { offset: 0, bytes_max: 1 << 20, minimum_one: MinimumOne::Yes, isolation: Isolation::LogEnd };
        let bytes = log.read(&request).unwrap().slice.unwrap().bytes().unwrap();
        let found = batches(&bytes);
        assert_eq!(found.len(), 5);
        assert!(found.iter().all(|(header, _)| header.codec() == wanted.id() && header.record_count == 10));
        bench.faulty.kill();
    }
}

#[test]
fn garbage_inside_a_valid_crc_is_refused() {
    let bench = Bench::new(1);
    let config = LogConfig::default();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for codec in CODECS {
        let good = Batch::of(5, "text").codec(codec).bytes();
        for at in 61..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x7f;
            let crc = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
            // Some flips change nothing but a value; all that counts is that nothing panics and the log stays whole.
            let _ = log.append_as_leader(&bytes, &client());
        }
        let mut unknown = good;
        unknown[22] = unknown[22] & !7 | 5;
        let crc = crc32c::crc32c(&unknown[21..]);
        unknown[17..21].copy_from_slice(&crc.to_be_bytes());
        assert!(matches!(log.append_as_leader(&unknown, &client()), Err(AppendError::Undecodable(_))));
    }
    read_all(&log, Isolation::LogEnd);
}

#[test]
fn a_retry_of_the_last_five_batches_is_answered_with_its_first_offset() {
    let bench = Bench::new(1);
    let config = LogConfig::default();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    let batch = |sequence: i32| Batch::of(2, "v").producer(9, 0, sequence).bytes();
    for sequence in [0, 2, 4, 6, 8, 10] {
        log.append_as_leader(&batch(sequence), &client()).unwrap();
    }
    for (sequence, offset) in [(2, 2), (10, 10)] {
        let info = log.append_as_leader(&batch(sequence), &client()).unwrap();
        assert_eq!((info.outcome, info.first_offset), (AppendOutcome::Duplicate, offset));
    }
    for sequence in [0, 1, 11, 13] {
        let error = log.append_as_leader(&batch(sequence), &client()).unwrap_err();
        assert!(matches!(error, AppendError::OutOfOrderSequence(_)), "{sequence}: {error}");
    }
    assert_eq!(log.log_end_offset(), 12);
    let newer =
        |epoch, sequence| log.append_as_leader(&Batch::of(1, "v").producer(9, epoch, sequence).bytes(), &client());
    assert!(matches!(newer(1, 5), Err(AppendError::OutOfOrderSequence(_))));
    assert_eq!(newer(1, 0).unwrap().first_offset, 12);
    assert!(matches!(newer(0, 12), Err(AppendError::InvalidProducerEpoch(_))));
}

#[test]
fn sequences_wrap_after_the_largest() {
    let bench = Bench::new(1);
    let config = LogConfig::default();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    let batch = |count, sequence| Batch::of(count, "v").producer(9, 0, sequence).bytes();
    log.append_as_leader(&batch(3, i32::MAX - 1), &client()).unwrap();
    let again = log.append_as_leader(&batch(3, i32::MAX - 1), &client()).unwrap();
    assert_eq!(again.outcome, AppendOutcome::Duplicate);
    assert_eq!(log.append_as_leader(&batch(1, 1), &client()).unwrap().first_offset, 3);
}

#[test]
fn read_committed_stops_at_the_open_transaction_and_drops_aborted_ones() {
    let bench = Bench::new(1);
    let config = small_segments();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    append(&log, &Batch::of(1, "plain"));
    append(&log, &Batch::of(1, "aborted").producer(1, 0, 0).transactional());
    append(&log, &Batch::of(1, "committed").producer(2, 0, 0).transactional());
    assert_eq!(log.last_stable_offset(), 1);
    assert_eq!(values(&read_all(&log, Isolation::Committed)), ["plain"]);
    mark(&log, 2, 0, 1);
    assert_eq!(log.last_stable_offset(), 1);
    mark(&log, 1, 0, 0);
    assert_eq!(log.last_stable_offset(), 5);
    for _ in 0..10 {
        append(&log, &Batch::of(1, "filler"));
    }
    let expected = ["plain", "committed"];
    assert_eq!(values(&read_all(&log, Isolation::Committed))[..2], expected);
    assert_eq!(values(&read_all(&log, Isolation::HighWatermark))[..3], ["plain", "aborted", "committed"]);
    drop(log);
    drop(dir);
    bench.faulty.kill();
    let dir = bench.load(&config);
    let log = dir.partition("t", 0).unwrap();
    log.set_high_watermark(i64::MAX);
    assert_eq!(values(&read_all(&log, Isolation::Committed))[..2], expected, "the index is rebuilt after a kill");
}

#[test]
fn a_marker_must_come_from_the_current_coordinator_and_epoch() {
    let bench = Bench::new(1);
    let config = LogConfig::default();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    append(&log, &Batch::of(1, "v").producer(1, 3, 0).transactional());
    let marker = |epoch, coordinator_epoch, transaction_version| {
        let append = LeaderAppend { transaction_version, ..LeaderAppend::coordinator(0) };
        log.append_as_leader(&Batch::marker(1, epoch, 1, coordinator_epoch), &append)
    };
    assert!(matches!(marker(2, 5, 0), Err(AppendError::InvalidProducerEpoch(_))));
    assert!(matches!(marker(3, 5, 2), Err(AppendError::InvalidProducerEpoch(_))), "TV2 wants a later epoch");
    marker(4, 5, 2).unwrap();
    marker(4, 5, 2).expect("a repeated marker of TV2 is accepted (KAFKA-19999)");
    assert!(matches!(marker(5, 4, 2), Err(AppendError::TransactionCoordinatorFenced(_))));
    assert!(!log.has_ongoing_transaction(1, 4));
    let producers = log.active_producers();
    assert_eq!((producers[0].producer_epoch, producers[0].coordinator_epoch), (4, 5));
    assert_eq!(producers[0].current_txn_start_offset, -1);
    let unseen = |epoch, coordinator_epoch| {
        let append = LeaderAppend { transaction_version: 0, ..LeaderAppend::coordinator(0) };
        log.append_as_leader(&Batch::marker(2, epoch, 1, coordinator_epoch), &append)
    };
    assert!(matches!(unseen(-2, 0), Err(AppendError::InvalidProducerEpoch(_))));
    assert!(matches!(unseen(0, -2), Err(AppendError::TransactionCoordinatorFenced(_))));
    unseen(0, 0).unwrap();
}

#[test]
fn a_transactional_write_needs_its_verification() {
    let bench = Bench::new(1);
    let config = LogConfig::default();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    let batch = |sequence| Batch::of(1, "v").producer(1, 0, sequence).transactional().bytes();
    let with = |verification| LeaderAppend { verification, ..LeaderAppend::client(0) };
    let unverified = log.append_as_leader(&batch(0), &with(VerificationGuard::NONE));
    assert!(matches!(unverified, Err(AppendError::InvalidTxnState(_))));
    let guard = log.begin_verification(1, 0, 0, TransactionSupport::V2).unwrap();
    assert_eq!(log.begin_verification(1, 0, 0, TransactionSupport::V2).unwrap(), guard);
    log.append_as_leader(&batch(0), &with(guard)).unwrap();
    assert_eq!(log.begin_verification(1, 0, 1, TransactionSupport::V2).unwrap(), VerificationGuard::NONE);
    log.append_as_leader(&batch(1), &with(VerificationGuard::NONE)).unwrap();
    let plain = log.append_as_leader(&Batch::of(1, "v").producer(1, 0, 2).bytes(), &with(VerificationGuard::NONE));
    assert!(matches!(plain, Err(AppendError::InvalidTxnState(_))));
    mark(&log, 1, 0, 1);
    let stale = log.append_as_leader(&batch(2), &with(guard));
    assert!(matches!(stale, Err(AppendError::InvalidTxnState(_))), "a guard serves one transaction");
    let late = log.begin_verification(5, 0, 4, TransactionSupport::V2).unwrap();
    let first = Batch::of(1, "v").producer(5, 0, 4).transactional().bytes();
    assert!(matches!(log.append_as_leader(&first, &with(late)), Err(AppendError::OutOfOrderSequence(_))));
}

#[test]
fn a_follower_keeps_offsets_and_epochs_and_truncates_by_epoch() {
    let bench = Bench::new(1);
    let config = small_segments();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    let leaders = [Batch::of(2, "a").at(0, 1), Batch::of(1, "b").at(2, 1), Batch::of(3, "c").at(5, 4)].concat();
    let info = log.append_as_follower(&leaders, 4).unwrap();
    assert_eq!((info.first_offset, info.last_offset), (0, 7));
    assert_eq!(log.high_watermark(), 0);
    assert_eq!(
        [1, 2, 4, 5].map(|epoch| log.end_offset_for_epoch(epoch)),
        [Some((1, 5)), Some((1, 5)), Some((4, 8)), None]
    );
    let again = log.append_as_follower(&Batch::of(1, "x").at(4, 4), 4);
    assert!(matches!(again, Err(AppendError::UnexpectedOffset { first_offset: 4, log_end_offset: 8 })));
    let later = log.append_as_follower(&Batch::of(1, "x").at(8, 9), 4).unwrap();
    assert_eq!(later.last_offset, 7, "a batch of an unknown epoch is left out");
    log.raise_high_watermark(8);
    assert!(log.truncate_to(5).unwrap());
    assert_eq!((log.log_end_offset(), log.high_watermark(), log.latest_epoch()), (5, 5, Some(1)));
    assert!(!log.truncate_to(9).unwrap());
    log.append_as_follower(&Batch::of(1, "d").at(5, 5), 5).unwrap();
    log.raise_high_watermark(6);
    assert_eq!(values(&read_all(&log, Isolation::HighWatermark)), ["a", "a", "b", "d"]);
    log.truncate_fully(100).unwrap();
    let offsets = log.offsets();
    assert_eq!((offsets.log_start, offsets.high_watermark, offsets.log_end), (100, 100, 100));
}

#[test]
fn delete_records_raises_the_start_inside_a_segment_and_survives_a_restart() {
    let bench = Bench::new(1);
    let config = small_segments();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for index in 0..20 {
        append(&log, &Batch::of(2, &format!("v{index}")));
    }
    assert!(matches!(log.delete_before(41), Err(ReadError::OffsetOutOfRange { .. })));
    assert_eq!(log.delete_before(13).unwrap(), 13);
    assert_eq!(log.delete_before(5).unwrap(), 13);
    assert_eq!(read_all(&log, Isolation::HighWatermark)[0].offset, 13);
    let segments = log.segment_count();
    assert!(log.apply_retention().unwrap() > 0);
    assert!(log.segment_count() < segments);
    dir.checkpoint().unwrap();
    bench.faulty.kill();
    let dir = bench.load(&config);
    let log = dir.partition("t", 0).unwrap();
    assert_eq!(log.log_start_offset(), 13);
    assert_eq!(log.delete_before(-1).unwrap(), log.high_watermark());
}

#[test]
fn retention_goes_by_size_and_by_the_largest_timestamp() {
    let bench = Bench::new(1);
    let mut config = LogConfig { retention_bytes: 1000, ..small_segments() };
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for index in 0..40 {
        append(&log, &Batch::of(1, &format!("v{index}")));
    }
    let before = log.size_bytes();
    assert!(log.apply_retention().unwrap() > 0);
    assert!(log.size_bytes() >= 1000 && log.size_bytes() < before);
    config.retention_bytes = -1;
    config.retention_ms = 1000;
    log.update_config(std::sync::Arc::new(config));
    assert_eq!(log.apply_retention().unwrap(), 0);
    bench.advance(2000);
    log.apply_retention().unwrap();
    let offsets = log.offsets();
    assert_eq!((offsets.log_start, offsets.log_end, log.segment_count()), (40, 40, 1), "the active one goes too");
    bench.advance(60_000);
    dir.purge().unwrap();
    assert!(bench.files().iter().all(|name| !name.ends_with(".deleted")), "{:?}", bench.files());
    assert_eq!(append(&log, &Batch::of(1, "on")), 40);
}

#[test]
fn offsets_are_found_by_time() {
    let bench = Bench::new(1);
    let config = LogConfig { message_timestamp_after_max_ms: i64::MAX, retention_ms: -1, ..small_segments() };
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for index in 0..30i64 {
        let time = if index == 12 { 5000 } else { index * 100 };
        append(&log, &Batch::new().record(None, Some("a"), time).record(None, Some("b"), time + 50));
    }
    let find = |timestamp| log.offset_for_timestamp(timestamp, crate::Reading::Waits).unwrap();
    let hit = |timestamp, offset| Some(TimestampOffset { timestamp, offset, leader_epoch: 0 });
    assert_eq!(find(0), hit(0, 0));
    assert_eq!(find(1), hit(50, 1));
    assert_eq!(find(1100), hit(1100, 22));
    assert_eq!(find(1200), hit(5000, 24), "the largest so far stands in the index");
    assert_eq!(find(5050), hit(5050, 25));
    assert_eq!(find(5051), None);
    assert_eq!(find(-3), hit(5050, 25));
    assert_eq!(find(-2), hit(-1, 0));
    assert_eq!(find(-1), hit(-1, 60));
    assert_eq!(find(-5).unwrap().offset, -1);
    log.delete_before(23).unwrap();
    assert_eq!(
        find(0),
        None,
        "the first segment that reaches the time waits for its deletion, and no other is searched"
    );
    log.apply_retention().unwrap();
    assert_eq!(find(0), hit(1150, 23));
    // What is not known after a restart is read once, and the same is found.
    dir.close().unwrap();
    drop((dir, log));
    bench.faulty.kill();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for reading in [crate::Reading::InMemory, crate::Reading::Waits] {
        assert_eq!(log.offset_for_timestamp(-3, reading).unwrap(), hit(5050, 25));
        assert_eq!(log.offset_for_timestamp(1150, reading).unwrap(), hit(1150, 23));
        assert_eq!(log.offset_for_timestamp(5051, reading).unwrap(), None);
    }
}

#[test]
fn flush_messages_says_when_and_the_recovery_point_follows() {
    let bench = Bench::new(1);
    let config = LogConfig { flush_messages: 3, ..LogConfig::default() };
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    let due = |count| log.append_as_leader(&Batch::of(count, "v").bytes(), &client()).unwrap().flush;
    assert_eq!([due(2), due(1)], [FlushDue::No, FlushDue::Now]);
    assert_eq!(log.high_watermark(), 2, "nobody reads what a power cut may take away");
    log.flush_to(3).unwrap();
    assert_eq!((log.recovery_point(), log.high_watermark()), (3, 3));
    assert_eq!(due(1), FlushDue::No);
}

#[test]
fn what_is_appended_during_a_flush_is_read_after_the_next() {
    let bench = Bench::new(1);
    let config = LogConfig { flush_messages: 1, ..LogConfig::default() };
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for round in 0..200 {
        let flushers: Vec<_> = (0..4)
            .map(|_| {
                let log = log.clone();
                std::thread::spawn(move || {
                    let info = log.append_as_leader(&Batch::of(1, "v").bytes(), &client()).unwrap();
                    log.flush_to(info.last_offset + 1).unwrap();
                    assert!(log.high_watermark() > info.last_offset);
                })
            })
            .collect();
        flushers.into_iter().for_each(|flusher| flusher.join().unwrap());
        assert_eq!(log.high_watermark(), (round + 1) * 4);
    }
}

#[test]
fn a_full_disk_refuses_appends_and_takes_them_again_once_there_is_room() {
    let bench = Bench::new(1);
    let config = small_segments();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for index in 0..20 {
        append(&log, &Batch::of(1, &format!("v{index}")));
    }
    let end = log.log_end_offset();
    bench.faulty.set_capacity(bench.faulty.used() + 30);
    let error = log.append_as_leader(&Batch::of(1, "too much").bytes(), &client()).unwrap_err();
    assert!(matches!(&error, AppendError::Storage(storage) if storage.is_disk_full()), "{error}");
    assert!(!dir.is_offline());
    assert_eq!(read_all(&log, Isolation::HighWatermark).len(), 20);
    log.delete_before(15).unwrap();
    log.apply_retention().unwrap();
    bench.advance(60_000);
    dir.purge().unwrap();
    bench.faulty.set_capacity(u64::MAX);
    assert_eq!(append(&log, &Batch::of(1, "fits")), end);
    assert_eq!(read_all(&log, Isolation::HighWatermark).last().unwrap().value.as_deref(), Some("fits"));
}

#[test]
fn a_batch_that_is_none_stops_readers_rather_than_be_passed_over() {
    let bench = Bench::new(1);
    let config = LogConfig::default();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    for _ in 0..3 {
        append(&log, &Batch::of(2, "v"));
    }
    log.roll().unwrap();
    append(&log, &Batch::of(1, "behind"));
    dir.close().unwrap();
    drop((dir, log));
    let path = std::path::Path::new(crate::testing::DIR).join("t-0/00000000000000000000.log");
    let mut bytes = bench.disk().read(&path).unwrap();
    let second = bytes.len() / 3;
    // The magic byte: no header that can be walked any more.
    bytes[second + 16] ^= 0x40;
    bench.disk().write(&path, &bytes).unwrap();
    let dir = bench.load(&config);
    let log = dir.partition("t", 0).unwrap();
    log.set_high_watermark(i64::MAX);
    let read = |offset| {
        log.read(&ReadRequest {
            offset,
            bytes_max: 1 << 20,
            minimum_one: MinimumOne::Yes,
            isolation: Isolation::LogEnd,
        })
    };
    assert!(read(0).unwrap().slice.is_some());
    for offset in 2..6 {
        assert!(matches!(read(offset), Err(ReadError::Corrupt(_))), "offset {offset}");
    }
    assert!(read(6).unwrap().slice.is_some());
    assert!(!dir.is_offline(), "the other partitions are none the worse for it");
}

#[test]
fn an_fsync_that_finds_the_disk_full_is_no_passing_error() {
    let bench = Bench::new(1);
    let dir = bench.load(&LogConfig::default());
    let log = bench.log(&dir, &LogConfig::default());
    append(&log, &Batch::of(2, "v"));
    // ENOSPC: delayed allocation may find out only now.
    bench.faulty.fail_next(millstream_base_env::faulty::Operation::Sync, 28);
    log.flush_to(2).unwrap_err();
    assert!(dir.is_offline());
    log.flush_to(2).unwrap_err();
}

#[test]
fn a_failed_fsync_takes_the_directory_offline_for_good() {
    let bench = Bench::new(1);
    let config = LogConfig::default();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    append(&log, &Batch::of(1, "v"));
    bench.faulty.fail_next(millstream_base_env::faulty::Operation::Sync, 5);
    log.flush().unwrap_err();
    assert!(dir.is_offline());
    assert!(dir.offline_reason().unwrap().contains("cannot sync"));
    assert!(matches!(log.append_as_leader(&Batch::of(1, "v").bytes(), &client()), Err(AppendError::Storage(_))));
    log.flush().unwrap_err();
    assert!(dir.close().is_err());
}

#[test]
fn coordinators_may_write_control_batches_and_skip_sequences() {
    let bench = Bench::new(1);
    let config = LogConfig::default();
    let dir = bench.load(&config);
    let log = bench.log(&dir, &config);
    let append = LeaderAppend { origin: AppendOrigin::Coordinator, ..client() };
    log.append_as_leader(&Batch::of(1, "v").producer(1, 0, 7).bytes(), &append).unwrap();
    log.append_as_leader(&Batch::of(1, "v").producer(1, 0, 99).bytes(), &append).unwrap();
    assert_eq!(log.log_end_offset(), 2);
}

#[test]
fn a_reader_that_may_not_wait_is_told_what_to_load() {
    let folder = tempfile::tempdir().unwrap();
    let dir = LogDir::open(Disk::Real, Clock::manual(NOW_MS), folder.path()).unwrap();
    let config = LogConfig { segment_bytes: 1 << 20, index_interval_bytes: 100, ..LogConfig::default() };
    let log = dir.open_partition("t", 0, uuid::Uuid::from_u128(7), Arc::new(config)).unwrap();
    let value = "v".repeat(2_000);
    for _ in 0..1_500 {
        append(&log, &Batch::of(1, &value));
    }
    assert!(log.segment_count() > 2);
    for entry in std::fs::read_dir(log.folder()).unwrap() {
        let file = std::fs::OpenOptions::new().write(true).open(entry.unwrap().path()).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
    let request = ReadRequest {
        offset: 300,
        bytes_max: 10_000,
        minimum_one: MinimumOne::Yes,
        isolation: Isolation::HighWatermark,
    };
    let mut loads = 0;
    let slice = loop {
        match log.read_as(&request, Reading::InMemory) {
            Ok(read) => break read.slice.unwrap(),
            Err(ReadError::Cold(slices)) => {
                assert!(!slices.is_empty() && loads < 3, "{slices:?}");
                loads += 1;
                for slice in slices {
                    slice.file.load(slice.position, slice.length).unwrap();
                }
            }
            Err(error) => panic!("{error}"),
        }
    };
    let bytes = slice.bytes().unwrap();
    assert_eq!(bytes[..8], 300i64.to_be_bytes());
    assert!(log.is_usable(), "a cold page is no failure of the disk");
}

#[test]
fn offsets_out_of_order_take_the_directory_offline_and_are_not_served() {
    let bench = Bench::new(1);
    let dir = bench.load(&LogConfig::default());
    let log = bench.log(&dir, &LogConfig::default());
    append(&log, &Batch::of(1, "a"));
    let served = log.offsets();
    log.writer.lock().log_start = 7;
    let refused = log.append_as_leader(&Batch::of(1, "b").bytes(), &client());
    assert!(matches!(refused, Err(AppendError::Storage(StorageError::Io { .. }))), "{refused:?}");
    assert_eq!(log.offsets(), served);
    assert!(dir.is_offline());
    let reason = dir.offline_reason().unwrap();
    assert!(reason.contains("offsets out of order in") && reason.contains("start 7"), "{reason}");
}
