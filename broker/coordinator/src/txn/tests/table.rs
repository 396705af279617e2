//! Each state against each request, for both generations of the protocol. The expected codes are those of
//! TransactionCoordinator.scala.

use millstream_protocol::error_code::ErrorCode;

use super::bench::*;
use crate::step::TransactionResult::{self, Abort, Commit};
use crate::txn::shard::*;
use crate::txn::state::TransactionVersion;
use crate::txn::state::TransactionVersion::{Tv0, Tv2};
use crate::txn::state::TxnState;
use crate::txn::transaction::TopicPartition;

const EMPTY: TxnState = TxnState::Empty;
const ONGOING: TxnState = TxnState::Ongoing;
const PREPARE_COMMIT: TxnState = TxnState::PrepareCommit;
const PREPARE_ABORT: TxnState = TxnState::PrepareAbort;
const COMPLETE_COMMIT: TxnState = TxnState::CompleteCommit;
const COMPLETE_ABORT: TxnState = TxnState::CompleteAbort;
const DEAD: TxnState = TxnState::Dead;

/// Sends an EndTxn to a transaction of producer 7, epoch 5 in `state`; the log takes the decision, the markers
/// stay open.
fn end(state: TxnState, epoch: i16, result: TransactionResult, version: TransactionVersion) -> (ErrorCode, i64, i16) {
    let mut bench = Bench::holding(data_in(state));
    let token = bench.send_end((7, epoch), result, version);
    if !bench.appends.is_empty() && bench.replies.is_empty() {
        bench.append_one();
    }
    bench.end_reply(token)
}

#[test]
fn version_1_clients_end_only_what_is_open_and_may_repeat_the_same_result() {
    use ErrorCode::{ConcurrentTransactions as Wait, InvalidTxnState as Invalid, None as Ok};
    let table = [
        (EMPTY, Invalid, Invalid),
        (ONGOING, Ok, Ok),
        // A loaded prepare state has its completion pending.
        (PREPARE_COMMIT, Wait, Wait),
        (PREPARE_ABORT, Wait, Wait),
        (COMPLETE_COMMIT, Ok, Invalid),
        (COMPLETE_ABORT, Invalid, Ok),
        (DEAD, ErrorCode::UnknownServerError, ErrorCode::UnknownServerError),
    ];
    for (state, commit, abort) in table {
        assert_eq!(end(state, 5, Commit, Tv0), (commit, -1, -1), "commit in {state:?}");
        assert_eq!(end(state, 5, Abort, Tv0), (abort, -1, -1), "abort in {state:?}");
        for epoch in [4, 6] {
            assert_eq!(end(state, epoch, Commit, Tv0).0, ErrorCode::ProducerFenced, "epoch {epoch} in {state:?}");
        }
    }
}

#[test]
fn version_2_clients_bump_the_epoch_at_each_end_and_may_repeat_with_the_one_before() {
    use ErrorCode::{ConcurrentTransactions as Wait, InvalidTxnState as Invalid, None as Ok, ProducerFenced as Fenced};
    let bump = (Ok, 7, 6);
    let repeat = (Ok, 7, 5);
    let no = |error| (error, -1, -1);
    let table = [
        // state, abort retry, abort current, commit retry, commit current
        (EMPTY, no(Fenced), bump, no(Fenced), no(Invalid)),
        (ONGOING, no(Fenced), bump, no(Fenced), bump),
        (PREPARE_COMMIT, no(Wait), no(Wait), no(Wait), no(Wait)),
        (PREPARE_ABORT, no(Wait), no(Wait), no(Wait), no(Wait)),
        (COMPLETE_COMMIT, no(Invalid), bump, repeat, no(Invalid)),
        (COMPLETE_ABORT, repeat, bump, no(Invalid), no(Invalid)),
        (DEAD, no(Fenced), no(ErrorCode::UnknownServerError), no(Fenced), no(ErrorCode::UnknownServerError)),
    ];
    for (state, abort_retry, abort_current, commit_retry, commit_current) in table {
        assert_eq!(end(state, 4, Abort, Tv2), abort_retry, "abort, retry in {state:?}");
        assert_eq!(end(state, 5, Abort, Tv2), abort_current, "abort, current in {state:?}");
        assert_eq!(end(state, 4, Commit, Tv2), commit_retry, "commit, retry in {state:?}");
        assert_eq!(end(state, 5, Commit, Tv2), commit_current, "commit, current in {state:?}");
        let higher = if matches!(state, PREPARE_COMMIT | PREPARE_ABORT) { Wait } else { Fenced };
        assert_eq!(end(state, 6, Commit, Tv2), no(higher), "an epoch nobody holds in {state:?}");
    }
}

#[test]
fn ends_by_strangers_are_refused() {
    for version in [Tv0, Tv2] {
        let mut bench = Bench::holding(data_in(ONGOING));
        assert_eq!(bench.end((8, 5), Commit, version).0, ErrorCode::InvalidProducerIdMapping);
        let unknown = EndTxn { transactional_id: "nobody".into(), ..end_request((7, 5), Commit, version) };
        let token = bench.ask(TxnRequest::EndTxn(unknown));
        assert_eq!(bench.end_reply(token).0, ErrorCode::InvalidProducerIdMapping);
        let empty = EndTxn { transactional_id: "".into(), ..end_request((7, 5), Commit, version) };
        let token = bench.ask(TxnRequest::EndTxn(empty));
        assert_eq!(bench.end_reply(token).0, ErrorCode::InvalidRequest);
        assert_eq!(bench.data(), &data_in(ONGOING));
    }
}

#[test]
fn partitions_join_unless_a_decision_is_on_its_way() {
    use ErrorCode::{ConcurrentTransactions as Wait, None as Ok};
    let table = [
        (EMPTY, Ok),
        (ONGOING, Ok),
        (PREPARE_COMMIT, Wait),
        (PREPARE_ABORT, Wait),
        (COMPLETE_COMMIT, Ok),
        (COMPLETE_ABORT, Ok),
        (DEAD, ErrorCode::UnknownServerError),
    ];
    for (state, expected) in table {
        for version in [Tv0, Tv2] {
            let mut bench = Bench::holding(data_in(state));
            let token = bench.send_add((7, 5), 1, version);
            if expected == Ok {
                bench.append_one();
                assert_eq!(bench.data().state, ONGOING);
                assert_eq!(bench.data().client_version, version);
                let started = if state == ONGOING { NOW - 1000 } else { NOW };
                assert_eq!(bench.data().start_ms, started, "in {state:?}");
            }
            assert_eq!(bench.reply(token), Some(TxnReply::AddPartitions(expected)), "in {state:?}");
        }
    }
    let mut bench = Bench::holding(data_in(ONGOING));
    assert_eq!(bench.add((8, 5), 1, Tv0), ErrorCode::InvalidProducerIdMapping);
    assert_eq!(bench.add((7, 4), 1, Tv0), ErrorCode::ProducerFenced);
    assert_eq!(bench.add((7, 6), 1, Tv0), ErrorCode::ProducerFenced);
}

#[test]
fn a_partition_that_is_in_already_needs_no_record() {
    let mut bench = Bench::holding(data_in(ONGOING));
    let token = bench.send_add((7, 5), 0, Tv2);
    assert!(bench.appends.is_empty());
    assert_eq!(bench.reply(token), Some(TxnReply::AddPartitions(ErrorCode::None)));
}

#[test]
fn verification_tells_members_from_strangers() {
    let here = TopicPartition::new("orders", 0);
    let elsewhere = TopicPartition::new("orders", 1);
    let both = [here, elsewhere];
    let verify = |state, id, epoch| Bench::holding(data_in(state)).shard.verify_partitions(ID, id, epoch, &both);
    assert_eq!(verify(ONGOING, 7, 5), Ok(vec![ErrorCode::None, ErrorCode::TransactionAbortable]));
    assert_eq!(verify(EMPTY, 7, 5), Ok(vec![ErrorCode::TransactionAbortable; 2]));
    assert_eq!(verify(COMPLETE_COMMIT, 7, 5), Ok(vec![ErrorCode::TransactionAbortable; 2]));
    assert_eq!(verify(PREPARE_COMMIT, 7, 5), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(verify(PREPARE_ABORT, 7, 5), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(verify(ONGOING, 7, 4), Err(ErrorCode::ProducerFenced));
    assert_eq!(verify(ONGOING, 8, 5), Err(ErrorCode::InvalidProducerIdMapping));
    let shard = Bench::new().shard;
    assert_eq!(shard.verify_partitions(ID, 7, 5, &both), Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(shard.verify_partitions("", 7, 5, &both), Err(ErrorCode::InvalidRequest));
}

#[test]
fn init_gives_the_next_epoch_where_nothing_is_open() {
    use ErrorCode::{ConcurrentTransactions as Wait, None as Ok, ProducerFenced as Fenced};
    let no = |error| (error, -1, -1);
    // state, no identity, the present one, the epoch before, an older epoch, another id
    let table = [
        (EMPTY, (Ok, 7, 6), (Ok, 7, 6), (Ok, 7, 5), no(Fenced), no(Fenced)),
        (COMPLETE_COMMIT, (Ok, 7, 6), (Ok, 7, 6), (Ok, 7, 5), no(Fenced), no(Fenced)),
        (COMPLETE_ABORT, (Ok, 7, 6), (Ok, 7, 6), (Ok, 7, 5), no(Fenced), no(Fenced)),
        (ONGOING, no(Wait), no(Wait), no(Wait), no(Wait), no(Fenced)),
        (PREPARE_COMMIT, no(Wait), no(Wait), no(Wait), no(Wait), no(Wait)),
    ];
    for (state, fresh, present, before, older, stranger) in table {
        let init = |expected| {
            let mut bench = Bench::holding(data_in(state));
            let token = bench.send_init(expected);
            if state != PREPARE_COMMIT && !bench.appends.is_empty() {
                bench.append_one();
            }
            match bench.reply(token) {
                Some(TxnReply::InitProducerId { error, producer_id, producer_epoch }) => {
                    (error, producer_id, producer_epoch)
                }
                other => panic!("answered by {other:?}"),
            }
        };
        assert_eq!(init(None), fresh, "in {state:?}");
        assert_eq!(init(Some((7, 5))), present, "in {state:?}");
        assert_eq!(init(Some((7, 4))), before, "in {state:?}");
        assert_eq!(init(Some((7, 3))), older, "in {state:?}");
        assert_eq!(init(Some((8, 5))), stranger, "in {state:?}");
    }
}

#[test]
fn init_checks_its_request_before_anything_else() {
    let mut bench = Bench::new();
    let with = |change: fn(&mut InitProducerId)| {
        let mut request = init_request(None);
        change(&mut request);
        request
    };
    let table = [
        (with(|request| request.transactional_id = "".into()), ErrorCode::InvalidRequest),
        (with(|request| request.timeout_ms = 0), ErrorCode::InvalidTransactionTimeout),
        (with(|request| request.timeout_ms = -1), ErrorCode::InvalidTransactionTimeout),
        (with(|request| request.timeout_ms = 900_001), ErrorCode::InvalidTransactionTimeout),
    ];
    for (request, error) in table {
        let token = bench.ask(TxnRequest::InitProducerId(request.clone()));
        let expected = TxnReply::InitProducerId { error, producer_id: -1, producer_epoch: -1 };
        assert_eq!(bench.reply(token), Some(expected), "{request:?}");
    }
    assert!(bench.shard.transactions.is_empty(), "a refused request leaves nothing behind");
    assert_eq!(bench.ids.take(), Some(1000), "and takes no producer id");
    bench.ask(TxnRequest::InitProducerId(with(|request| request.timeout_ms = 900_000)));
    assert_eq!(bench.appends.len(), 1);
}
