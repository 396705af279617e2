//! Random lives with crashes, refused appends and lost markers, and random bytes as records. What must hold
//! whatever happens: a decision never turns, epochs never go back, every request is answered once, and
//! nothing panics.

use std::collections::BTreeMap;

use millstream_protocol::error_code::ErrorCode;
use proptest::prelude::*;

use super::bench::*;
use crate::record_txn::decode;
use crate::step::{AppendError, Token, TransactionResult};
use crate::txn::markers::{MarkerAnswer, Markers};
use crate::txn::shard::*;
use crate::txn::state::{TransactionVersion, TxnState};

#[derive(Clone, Debug)]
enum Step {
    Init { keeps_identity: bool },
    Add { partition: i32, version: TransactionVersion, stale: bool },
    End { result: TransactionResult, version: TransactionVersion, stale: bool },
    Append,
    FailAppend,
    AnswerMarkers(bool),
    LoseMarkers,
    Wait(i64),
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let version = prop_oneof![Just(TransactionVersion::Tv0), Just(TransactionVersion::Tv2)];
    let result = prop_oneof![Just(TransactionResult::Commit), Just(TransactionResult::Abort)];
    let stale = prop::bool::weighted(0.1);
    let step = prop_oneof![
        2 => any::<bool>().prop_map(|keeps_identity| Step::Init { keeps_identity }),
        4 => (0..4, version.clone(), stale)
            .prop_map(|(partition, version, stale)| Step::Add { partition, version, stale }),
        4 => (result, version, stale).prop_map(|(result, version, stale)| Step::End { result, version, stale }),
        8 => Just(Step::Append),
        1 => Just(Step::FailAppend),
        6 => prop::bool::weighted(0.8).prop_map(Step::AnswerMarkers),
        1 => Just(Step::LoseMarkers),
        1 => (0..100_000i64).prop_map(Step::Wait),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..120)
}

/// What is true of the whole run, kept outside the shard.
#[derive(Default)]
struct Oracle {
    /// The identity that the client holds.
    identity: Option<(i64, i16)>,
    /// The highest epoch given out for each producer id.
    given: BTreeMap<i64, i16>,
    /// How each (producer id, epoch of the marker) was decided.
    decided: BTreeMap<(i64, i16, i64), TransactionResult>,
    asked: Vec<Token>,
}

impl Oracle {
    fn saw_markers(&mut self, markers: &Markers, start_ms: i64) {
        let key = (markers.producer_id, markers.producer_epoch, start_ms);
        let before = self.decided.insert(key, markers.result);
        assert!(before.is_none_or(|before| before == markers.result), "a decision turned: {markers:?}");
    }

    fn saw_reply(&mut self, reply: TxnReply) {
        let given = match reply {
            TxnReply::InitProducerId { error: ErrorCode::None, producer_id, producer_epoch } => {
                (producer_id, producer_epoch)
            }
            TxnReply::EndTxn { error: ErrorCode::None, producer_id, producer_epoch } if producer_id >= 0 => {
                (producer_id, producer_epoch)
            }
            _ => return,
        };
        let highest = self.given.entry(given.0).or_insert(-1);
        assert!(given.1 >= *highest, "epoch {} of {} after {highest}", given.1, given.0);
        assert!(given.1 < i16::MAX, "the highest epoch is never given out");
        *highest = given.1;
        self.identity = Some(given);
    }
}

fn run(steps: Vec<Step>, first_epoch: i16) {
    let mut data = data_in(TxnState::Empty);
    data.producer_epoch = first_epoch;
    let mut bench = Bench::holding(data);
    let mut oracle = Oracle { identity: Some((7, first_epoch)), ..Oracle::default() };
    for step in steps {
        bench.now += 1;
        take_step(&mut bench, &mut oracle, step);
        observe(&mut bench, &mut oracle);
    }
    // Faults stop: everything that is decided must come to its end, and the id must be usable.
    bench.settle();
    for _ in 0..3 {
        bench.now += 1000;
        bench.tick();
        bench.settle();
        observe(&mut bench, &mut oracle);
    }
    assert!(!matches!(bench.data().state, TxnState::PrepareCommit | TxnState::PrepareAbort));
    let (mut error, mut id, mut epoch) = bench.init(None);
    if error == ErrorCode::ConcurrentTransactions {
        (error, id, epoch) = bench.init(None);
    }
    assert_eq!(error, ErrorCode::None);
    oracle.saw_reply(TxnReply::InitProducerId { error, producer_id: id, producer_epoch: epoch });
    assert!(oracle.asked.is_empty(), "never answered: {:?}", oracle.asked);
}

fn take_step(bench: &mut Bench, oracle: &mut Oracle, step: Step) {
    let identity = |stale: bool| {
        let (id, epoch) = oracle.identity.expect("the client begins with one");
        if stale { (id, epoch.saturating_sub(1)) } else { (id, epoch) }
    };
    match step {
        Step::Init { keeps_identity } => {
            let expected = keeps_identity.then(|| identity(false));
            let token = bench.send_init(expected);
            oracle.asked.push(token);
        }
        Step::Add { partition, version, stale } => {
            let token = bench.send_add(identity(stale), partition, version);
            oracle.asked.push(token);
        }
        Step::End { result, version, stale } => {
            let token = bench.send_end(identity(stale), result, version);
            oracle.asked.push(token);
        }
        Step::Append if !bench.appends.is_empty() => bench.append_one(),
        Step::FailAppend if !bench.appends.is_empty() => bench.fail_one(AppendError::NotEnoughReplicas),
        Step::AnswerMarkers(written) if !bench.markers.is_empty() => bench.answer_markers(match written {
            true => MarkerAnswer::Written,
            false => MarkerAnswer::Failed(ErrorCode::NotLeaderOrFollower),
        }),
        // The connection to the partition's leader breaks: the runtime reports it as a failure.
        Step::LoseMarkers if !bench.markers.is_empty() => {
            bench.answer_markers(MarkerAnswer::Failed(ErrorCode::RequestTimedOut));
        }
        Step::Wait(by) => {
            bench.now += by;
            bench.tick();
        }
        Step::Crash => {
            bench.crash();
            // Their connections are gone with the broker.
            oracle.asked.clear();
            bench.replies.clear();
        }
        _ => {}
    }
}

fn observe(bench: &mut Bench, oracle: &mut Oracle) {
    let start_ms = bench.data().start_ms;
    for markers in &bench.markers {
        oracle.saw_markers(markers, start_ms);
    }
    for (token, reply) in std::mem::take(&mut bench.replies) {
        oracle.asked.retain(|asked| *asked != token);
        oracle.saw_reply(reply);
    }
}

proptest! {
    #![proptest_config(crate::testing::fuzz(600))]

    #[test]
    fn decisions_and_epochs_hold_whatever_happens(steps in steps()) {
        run(steps, 0);
    }

    #[test]
    fn decisions_and_epochs_hold_at_the_end_of_the_epochs(steps in steps(), below in 1..12i16) {
        run(steps, i16::MAX - 1 - below);
    }

    #[test]
    fn arbitrary_records_are_read_or_refused(
        key in prop::collection::vec(any::<u8>(), 0..40),
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..120)),
    ) {
        let _ = decode(&key, value.as_deref());
    }

    #[test]
    fn arbitrary_contents_load_and_serve(
        producer_id in prop_oneof![any::<i64>(), -1..3i64],
        epochs in any::<(i16, i16)>(),
        timeout_ms in any::<i32>(),
        state in 0..8i8,
        times in any::<(i64, i64)>(),
        level in -1..4i16,
        rotated in prop_oneof![any::<i64>(), -1..1i64],
    ) {
        let mut data = data_in(TxnState::from_id(state).expect("in range"));
        data.producer_id = producer_id;
        data.next_producer_id = rotated;
        (data.producer_epoch, data.last_producer_epoch) = epochs;
        data.timeout_ms = timeout_ms;
        (data.start_ms, data.last_update_ms) = times;
        data.client_version = TransactionVersion::from_level(level);
        let mut bench = Bench::holding(data);
        for version in [TransactionVersion::Tv0, TransactionVersion::Tv2] {
            bench.send_add((producer_id, epochs.0), 1, version);
            bench.send_end((producer_id, epochs.0), TransactionResult::Commit, version);
            bench.send_end((producer_id, epochs.0.wrapping_sub(1)), TransactionResult::Abort, version);
        }
        bench.send_init(Some((producer_id, epochs.0)));
        bench.settle();
        bench.now = i64::MAX;
        bench.tick();
        bench.settle();
        bench.send_init(None);
        bench.settle();
    }
}
