//! Whole lives of transactions: fencing, timeouts, rotation, retries of markers, recovery, expiry.

use millstream_protocol::error_code::ErrorCode;

use super::bench::*;
use crate::step::AppendError;
use crate::step::TransactionResult::{Abort, Commit};
use crate::txn::markers::MarkerAnswer;
use crate::txn::producer_ids::ProducerIdBlock;
use crate::txn::shard::*;
use crate::txn::state::TransactionVersion::{self, Tv0, Tv2};
use crate::txn::state::TxnState;

#[test]
fn version_1_keeps_its_epoch_from_transaction_to_transaction() {
    let mut bench = Bench::new();
    assert_eq!(bench.init(None), (ErrorCode::None, 1000, 0));
    for result in [Commit, Abort, Commit] {
        assert_eq!(bench.add((1000, 0), 0, Tv0), ErrorCode::None);
        assert_eq!(bench.end((1000, 0), result, Tv0), (ErrorCode::None, -1, -1));
        assert_eq!(bench.data().producer_epoch, 0);
    }
    assert_eq!(bench.init(None), (ErrorCode::None, 1000, 1), "a new instance fences the one before");
    assert_eq!(bench.add((1000, 0), 0, Tv0), ErrorCode::ProducerFenced);
}

#[test]
fn version_2_goes_on_with_a_higher_epoch_after_each_transaction() {
    let mut bench = Bench::new();
    assert_eq!(bench.init(None), (ErrorCode::None, 1000, 0));
    for epoch in 0..3 {
        assert_eq!(bench.add((1000, epoch), 0, Tv2), ErrorCode::None);
        assert_eq!(bench.end((1000, epoch), Commit, Tv2), (ErrorCode::None, 1000, epoch + 1));
        assert_eq!(bench.end((1000, epoch), Commit, Tv2), (ErrorCode::None, 1000, epoch + 1), "a repeat");
        assert_eq!(bench.add((1000, epoch), 1, Tv2), ErrorCode::ProducerFenced, "a late request");
    }
    assert_eq!(bench.end((1000, 3), Commit, Tv2).0, ErrorCode::InvalidTxnState);
    assert_eq!(bench.end((1000, 3), Abort, Tv2), (ErrorCode::None, 1000, 4), "an abort of nothing");
}

#[test]
fn nothing_is_answered_or_written_before_the_log_holds_it() {
    let mut bench = Bench::new();
    let token = bench.send_init(None);
    assert_eq!(bench.reply(token), None);
    bench.append_one();
    assert!(bench.reply(token).is_some());
    let token = bench.send_add((1000, 0), 0, Tv2);
    assert_eq!(bench.reply(token), None);
    assert_eq!(bench.data().state, TxnState::Empty);
    let racing = bench.send_add((1000, 0), 1, Tv2);
    assert_eq!(bench.reply(racing), Some(TxnReply::AddPartitions(ErrorCode::ConcurrentTransactions)));
    bench.append_one();
    assert_eq!(bench.reply(token), Some(TxnReply::AddPartitions(ErrorCode::None)));
    let token = bench.send_end((1000, 0), Commit, Tv2);
    assert!(bench.markers.is_empty(), "no marker before the decision is durable");
    assert_eq!(bench.reply(token), None);
    bench.append_one();
    assert_eq!(bench.end_reply(token), (ErrorCode::None, 1000, 1), "answered while markers are out");
    assert_eq!(bench.data().state, TxnState::PrepareCommit);
    let early = bench.send_add((1000, 1), 0, Tv2);
    assert_eq!(bench.reply(early), Some(TxnReply::AddPartitions(ErrorCode::ConcurrentTransactions)));
    assert!(bench.appends.is_empty(), "no completion before the last marker");
    bench.answer_markers(MarkerAnswer::Written);
    bench.append_one();
    assert_eq!(bench.data().state, TxnState::CompleteCommit);
}

#[test]
fn markers_carry_the_epoch_of_the_decision() {
    for (version, epoch) in [(Tv0, 0), (Tv2, 1)] {
        let mut bench = Bench::new();
        bench.init(None);
        bench.add((1000, 0), 4, version);
        bench.send_end((1000, 0), Abort, version);
        bench.append_one();
        let markers = &bench.markers[0];
        assert_eq!((markers.producer_id, markers.producer_epoch), (1000, epoch));
        assert_eq!((markers.result, markers.transaction_version), (Abort, version));
        assert_eq!((markers.coordinator_epoch, markers.partitions.len()), (3, 1));
    }
}

#[test]
fn a_new_instance_aborts_what_is_open_and_comes_back_for_a_higher_epoch() {
    for (server, epoch) in [(Tv0, 2), (TransactionVersion::Tv1, 2), (Tv2, 2)] {
        let mut bench = Bench::with(TxnConfig { server_version: server, ..TxnConfig::default() });
        bench.init(None);
        bench.add((1000, 0), 0, Tv0);
        let token = bench.send_init(None);
        bench.append_one();
        let wait =
            TxnReply::InitProducerId { error: ErrorCode::ConcurrentTransactions, producer_id: -1, producer_epoch: -1 };
        assert_eq!(bench.reply(token), Some(wait));
        assert_eq!(bench.markers[0].producer_epoch, 1, "{server:?}: the marker fences the old instance");
        bench.settle();
        assert_eq!(bench.data().state, TxnState::CompleteAbort);
        assert_eq!(bench.init(None), (ErrorCode::None, 1000, epoch), "{server:?}");
    }
}

#[test]
fn an_open_transaction_is_aborted_and_fenced_after_its_timeout() {
    for server in [Tv0, Tv2] {
        let mut bench = Bench::with(TxnConfig { server_version: server, ..TxnConfig::default() });
        bench.init(None);
        bench.add((1000, 0), 0, server);
        assert_eq!(bench.wake_at(), Some(NOW + 10_000), "scans begin with the first open transaction");
        for _ in 0..6 {
            bench.now = bench.wake_at().expect("while a transaction is open a scan is due");
            bench.tick();
            assert!(bench.appends.is_empty(), "at {}", bench.now - NOW);
        }
        bench.now = bench.wake_at().expect("while a transaction is open a scan is due");
        assert_eq!(bench.now, NOW + 70_000, "the scan after the timeout");
        bench.tick();
        bench.settle();
        assert_eq!(bench.data().state, TxnState::CompleteAbort);
        assert_eq!(bench.data().producer_epoch, 1);
        assert_eq!(bench.end((1000, 0), Commit, Tv0).0, ErrorCode::ProducerFenced);
    }
}

#[test]
fn two_phase_transactions_have_no_timeout() {
    let mut data = data_in(TxnState::Ongoing);
    data.timeout_ms = i32::MAX;
    data.start_ms = 0;
    let mut bench = Bench::holding(data);
    bench.now += 1_000_000_000;
    bench.tick();
    assert!(bench.appends.is_empty());
}

#[test]
fn the_end_of_the_epochs_rotates_the_producer_id() {
    let mut data = data_in(TxnState::Ongoing);
    data.producer_epoch = i16::MAX - 1;
    let mut bench = Bench::holding(data);
    let token = bench.send_end((7, i16::MAX - 1), Commit, Tv2);
    bench.append_one();
    assert_eq!(bench.end_reply(token), (ErrorCode::None, 1000, 0), "the client is told the new id");
    assert_eq!(bench.markers[0].producer_epoch, i16::MAX, "the marker still fences the old one");
    let early = bench.send_add((1000, 0), 0, Tv2);
    assert_eq!(bench.reply(early), Some(TxnReply::AddPartitions(ErrorCode::ConcurrentTransactions)));
    bench.settle();
    assert_eq!((bench.data().producer_id, bench.data().producer_epoch), (1000, 0));
    assert_eq!(bench.data().previous_producer_id, 7);
    assert_eq!(bench.end((7, i16::MAX - 1), Commit, Tv2), (ErrorCode::None, 1000, 0), "a repeat");
    assert_eq!(bench.add((1000, 0), 0, Tv2), ErrorCode::None);
    assert_eq!(bench.end((7, i16::MAX - 1), Commit, Tv2).0, ErrorCode::InvalidProducerIdMapping);
}

#[test]
fn init_at_the_end_of_the_epochs_rotates_too() {
    let mut data = data_in(TxnState::CompleteCommit);
    data.producer_epoch = i16::MAX - 1;
    let mut bench = Bench::holding(data.clone());
    assert_eq!(bench.init(None), (ErrorCode::None, 1000, 0));
    let mut bench = Bench::holding(data.clone());
    assert_eq!(bench.init(Some((7, i16::MAX - 1))), (ErrorCode::None, 1000, 0));
    // The answer was lost: the client still holds the exhausted epoch of the id before.
    assert_eq!(bench.init(Some((7, i16::MAX - 1))), (ErrorCode::None, 1000, 0));
    let mut bench = Bench::holding(data);
    assert_eq!(bench.init(Some((7, 3))).0, ErrorCode::UnknownServerError, "as Apache answers the exception");
}

#[test]
fn without_producer_ids_the_client_is_told_to_come_back() {
    let mut bench = Bench::new();
    while bench.ids.take().is_some() {}
    assert_eq!(bench.init(None).0, ErrorCode::CoordinatorLoadInProgress);
    bench.ids.put(ProducerIdBlock { first: 5000, count: 1000 }).expect("a sound block");
    assert_eq!(bench.init(None), (ErrorCode::None, 5000, 0));
}

#[test]
fn markers_are_tried_until_every_partition_has_one() {
    let mut bench = Bench::new();
    bench.init(None);
    for partition in 0..3 {
        bench.add((1000, 0), partition, Tv2);
    }
    bench.send_end((1000, 0), Commit, Tv2);
    bench.append_one();
    let markers = bench.markers.remove(0);
    let answers = vec![
        (markers.partitions[0].clone(), MarkerAnswer::Written),
        (markers.partitions[1].clone(), MarkerAnswer::Failed(ErrorCode::KafkaStorageError)),
        (markers.partitions[2].clone(), MarkerAnswer::NoPartition),
    ];
    bench.ask(TxnRequest::MarkersAnswered { markers: markers.clone(), answers });
    assert!(bench.appends.is_empty());
    for _ in 0..3 {
        bench.now = bench.wake_at().expect("a retry is due");
        bench.tick();
        assert_eq!(bench.markers[0].partitions, markers.partitions[1..2]);
        bench.answer_markers(MarkerAnswer::Failed(ErrorCode::NotLeaderOrFollower));
    }
    bench.now = bench.wake_at().expect("a retry is due");
    bench.tick();
    let late = bench.markers[0].clone();
    bench.answer_markers(MarkerAnswer::Written);
    bench.ask(TxnRequest::MarkersAnswered { markers: late, answers: vec![] });
    assert_eq!(bench.appends.len(), 1, "a second answer completes nothing twice");
    bench.settle();
    assert_eq!(bench.data().state, TxnState::CompleteCommit);
}

#[test]
fn markers_are_tried_again_ever_more_seldom() {
    let mut bench = Bench::new();
    bench.init(None);
    bench.add((1000, 0), 0, Tv2);
    bench.send_end((1000, 0), Commit, Tv2);
    bench.append_one();
    let mut waits = Vec::new();
    for _ in 0..7 {
        bench.answer_markers(MarkerAnswer::Failed(ErrorCode::KafkaStorageError));
        let at = bench.wake_at().expect("a retry is due");
        waits.push(at - bench.now);
        bench.now = at;
        bench.tick();
    }
    assert_eq!(waits, [50, 100, 200, 400, 800, 1000, 1000]);
}

#[test]
fn setting_the_clock_neither_hastens_nor_delays_scans_and_retries() {
    for wall_shift in [3_600_000, -3_600_000] {
        let mut bench = Bench::new();
        bench.init(None);
        bench.add((1000, 0), 0, Tv2);
        bench.wall_shift = wall_shift;
        assert_eq!(bench.wake_at(), Some(NOW + 10_000), "the scan");
        bench.send_end((1000, 0), Commit, Tv2);
        bench.append_one();
        bench.answer_markers(MarkerAnswer::Failed(ErrorCode::NotLeaderOrFollower));
        assert_eq!(bench.wake_at(), Some(NOW + 50), "the retry");
        bench.now += 50;
        bench.tick();
        assert_eq!(bench.markers.len(), 1);
    }
}

#[test]
fn a_completion_that_the_log_refuses_is_tried_again() {
    let mut bench = Bench::new();
    bench.init(None);
    bench.add((1000, 0), 0, Tv2);
    bench.send_end((1000, 0), Commit, Tv2);
    bench.append_one();
    bench.answer_markers(MarkerAnswer::Written);
    bench.fail_one(AppendError::Storage);
    assert_eq!(bench.data().state, TxnState::PrepareCommit);
    let wait = bench.send_add((1000, 1), 0, Tv2);
    assert_eq!(bench.reply(wait), Some(TxnReply::AddPartitions(ErrorCode::ConcurrentTransactions)));
    bench.now = bench.wake_at().expect("a retry is due");
    bench.tick();
    bench.settle();
    assert_eq!(bench.data().state, TxnState::CompleteCommit);
}

#[test]
fn a_superseded_marker_ends_the_sending() {
    let mut bench = Bench::holding(data_in(TxnState::PrepareAbort));
    bench.answer_markers(MarkerAnswer::Failed(ErrorCode::TransactionCoordinatorFenced));
    assert!(bench.appends.is_empty());
    bench.now += 1_000_000;
    bench.tick();
    assert!(bench.markers.is_empty());
}

#[test]
fn refused_appends_leave_everything_as_it_was() {
    let codes = [
        (AppendError::NotEnoughReplicas, ErrorCode::CoordinatorNotAvailable),
        (AppendError::UnknownPartition, ErrorCode::CoordinatorNotAvailable),
        (AppendError::TimedOut, ErrorCode::CoordinatorNotAvailable),
        (AppendError::Storage, ErrorCode::NotCoordinator),
        (AppendError::NotLeader, ErrorCode::NotCoordinator),
        (AppendError::TooLarge, ErrorCode::UnknownServerError),
    ];
    for (log, client) in codes {
        let mut bench = Bench::holding(data_in(TxnState::Ongoing));
        let token = bench.send_add((7, 5), 1, Tv2);
        bench.fail_one(log);
        assert_eq!(bench.reply(token), Some(TxnReply::AddPartitions(client)));
        let token = bench.send_end((7, 5), Commit, Tv2);
        bench.fail_one(log);
        assert_eq!(bench.end_reply(token), (client, -1, -1));
        assert_eq!(bench.data(), &data_in(TxnState::Ongoing));
        let token = bench.send_init(None);
        bench.fail_one(log);
        assert_eq!(
            bench.reply(token),
            Some(TxnReply::InitProducerId { error: client, producer_id: -1, producer_epoch: -1 })
        );
        assert_eq!(bench.data(), &data_in(TxnState::Ongoing));
        assert_eq!(bench.end((7, 5), Commit, Tv2), (ErrorCode::None, 7, 6), "and the client may go on");
    }
}

#[test]
fn version_1_fencing_that_failed_bumps_the_epoch_once() {
    let mut bench = Bench::with(TxnConfig { server_version: Tv0, ..TxnConfig::default() });
    bench.init(None);
    bench.add((1000, 0), 0, Tv0);
    for _ in 0..3 {
        bench.send_init(None);
        bench.fail_one(AppendError::NotEnoughReplicas);
        assert_eq!(bench.data().producer_epoch, 1);
    }
    bench.init(None);
    assert_eq!(bench.init(None), (ErrorCode::None, 1000, 2));
}

#[test]
fn a_decision_survives_the_coordinator() {
    for (result, complete) in [(Commit, TxnState::CompleteCommit), (Abort, TxnState::CompleteAbort)] {
        let mut bench = Bench::new();
        bench.init(None);
        bench.add((1000, 0), 0, Tv2);
        let token = bench.send_end((1000, 0), result, Tv2);
        bench.append_one();
        bench.reply(token);
        bench.crash();
        assert_eq!(bench.markers.len(), 1);
        assert_eq!((bench.markers[0].result, bench.markers[0].coordinator_epoch), (result, 4));
        assert_eq!(bench.end((1000, 0), result, Tv2).0, ErrorCode::ConcurrentTransactions);
        bench.settle();
        assert_eq!(bench.data().state, complete);
        assert_eq!(bench.end((1000, 0), result, Tv2), (ErrorCode::None, 1000, 1), "the client repeats itself");
    }
}

#[test]
fn an_undecided_transaction_stays_open_over_a_crash() {
    let mut bench = Bench::new();
    bench.init(None);
    bench.add((1000, 0), 0, Tv2);
    let before = bench.data().clone();
    bench.send_end((1000, 0), Commit, Tv2);
    bench.crash();
    assert_eq!(bench.data().state, TxnState::Ongoing);
    assert_eq!(bench.data().partitions, before.partitions);
    assert_eq!(bench.end((1000, 0), Abort, Tv2), (ErrorCode::None, 1000, 1));
}

#[test]
fn idle_ids_are_forgotten_with_a_tombstone_and_open_ones_are_not() {
    let mut bench = Bench::new();
    bench.init(None);
    bench.now += 604_800_000 + 3_600_000;
    bench.tick();
    let tombstone = Logged { value: None, ..logged(bench.data()) };
    assert_eq!(records(&bench.appends[0]), [tombstone]);
    let wait = bench.send_init(None);
    assert!(matches!(
        bench.reply(wait),
        Some(TxnReply::InitProducerId { error: ErrorCode::ConcurrentTransactions, .. })
    ));
    bench.settle();
    assert!(bench.shard.transactions.is_empty());
    bench.crash();
    assert!(bench.shard.transactions.is_empty());
    assert_eq!(bench.init(None), (ErrorCode::None, 1001, 0));
    bench.add((1001, 0), 0, Tv2);
    bench.reconfigure(|config| config.id_expiration_ms = 0);
    bench.now += 30_000;
    bench.tick();
    assert!(bench.appends.is_empty(), "an open transaction does not expire");
}

#[test]
fn tombstones_fit_into_the_batches_that_the_log_takes() {
    let mut bench = Bench::with(TxnConfig { batch_bytes_max: 400, ..TxnConfig::default() });
    for number in 0..20 {
        let transactional_id = format!("id-{number}").into();
        bench.ask(TxnRequest::InitProducerId(InitProducerId { transactional_id, ..init_request(None) }));
    }
    bench.settle();
    bench.now += 604_800_000 + 3_600_000;
    bench.tick();
    assert!(bench.appends.len() > 1);
    bench.fail_one(AppendError::Storage);
    let left = bench.shard.transactions.len();
    bench.settle();
    assert!(!bench.shard.transactions.is_empty() && bench.shard.transactions.len() < left);
    bench.now += 3_600_000;
    bench.tick();
    bench.settle();
    assert!(bench.shard.transactions.is_empty(), "what the log refused is tried at the next scan");
}

#[test]
fn an_idle_shard_asks_for_no_wake_up() {
    let bench = Bench::new();
    assert_eq!(bench.wake_at(), None);
    let mut bench = Bench::holding(data_in(TxnState::CompleteCommit));
    assert_eq!(bench.wake_at(), Some(NOW + 3_600_000), "only the expiry scan");
    bench.add((7, 5), 0, Tv2);
    assert_eq!(bench.wake_at(), Some(NOW + 10_000));
}
