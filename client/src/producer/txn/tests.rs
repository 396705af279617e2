use super::*;
use crate::consumer::OffsetAndMetadata;

const PLACE: Place = (0, 0);
const OTHER: Place = (0, 1);
const V2: Features = Features { epoch: 5, transaction_version: 2 };
const V1: Features = Features { epoch: 4, transaction_version: 1 };

fn identity(epoch: i16) -> Identity {
    Identity { id: 9, epoch }
}

fn sent(own: &mut Transactions, incomplete: bool) -> Option<String> {
    match own.next(incomplete) {
        Next::Idle => None,
        Next::Send { ask, wait_ms } => Some(match ask {
            Ask::Init => format!("init {wait_ms}"),
            Ask::Bump => format!("bump {wait_ms}"),
            Ask::AddPartitions(places) => format!("add {places:?} {wait_ms}"),
            Ask::AddOffsets(task) => format!("add offsets of {} {wait_ms}", task.group.group_id),
            Ask::CommitOffsets(task) => format!("offsets {} {wait_ms}", task.pending.len()),
            Ask::End(ending, protocol) => format!("{ending:?} {protocol:?} {wait_ms}"),
        }),
    }
}

fn initialised(features: Features) -> Transactions {
    let mut own = Transactions::new(100);
    assert!(own.begin().is_err() && own.check_append().is_err());
    let verdict = own.init().expect("the first call");
    assert_eq!(sent(&mut own, false).as_deref(), Some("init 0"));
    assert_eq!(own.answered(Answer::Init { code: 0, identity: identity(0) }), Effect::Identity(identity(0)));
    assert!(matches!(verdict.hear(), Some(Ok(()))));
    own.learn_first(features);
    own
}

fn offsets() -> Offsets {
    let offset = OffsetAndMetadata { offset: 7, leader_epoch: -1, metadata: String::new() };
    Offsets::from([(TopicPartition::new("in", 0), offset)])
}

#[test]
fn version_1_names_each_partition_before_its_records_leave_and_keeps_the_epoch() {
    let mut own = initialised(V1);
    own.begin().unwrap();
    own.add(PLACE);
    assert!(!own.may_drain(PLACE));
    assert_eq!(sent(&mut own, true).as_deref(), Some("add [(0, 0)] 0"));
    own.add(OTHER);
    own.add(PLACE);
    assert_eq!(sent(&mut own, true), None, "one request at a time");
    own.answered(Answer::Partitions(vec![(PLACE, ErrorCode::ConcurrentTransactions.code())]));
    assert_eq!(sent(&mut own, true).as_deref(), Some("add [(0, 0)] 20"), "the transaction before ends soon");
    own.answered(Answer::Partitions(vec![(PLACE, 0)]));
    assert!(own.may_drain(PLACE) && !own.may_drain(OTHER));
    assert_eq!(sent(&mut own, true).as_deref(), Some("add [(0, 1)] 0"));
    own.answered(Answer::Partitions(vec![(OTHER, 0)]));
    let verdict = own.commit(V1).unwrap();
    assert!(own.check_append().is_err());
    assert_eq!(sent(&mut own, true), None, "records are still on their way");
    assert_eq!(sent(&mut own, false).as_deref(), Some("Commit V1 0"));
    assert_eq!(own.answered(Answer::Ended { code: 0, identity: None }), Effect::Nothing);
    assert!(matches!(verdict.hear(), Some(Ok(()))));
    own.begin().unwrap();
    assert!(!own.may_drain(PLACE), "added anew in each transaction");
}

#[test]
fn version_2_adds_nothing_and_gets_an_epoch_with_each_end() {
    let mut own = initialised(V2);
    own.begin().unwrap();
    own.add(PLACE);
    assert!(own.may_drain(PLACE));
    let verdict = own.commit(V2).unwrap();
    assert_eq!(sent(&mut own, false).as_deref(), Some("Commit V2 0"));
    own.answered(Answer::Lost(ClientError::Lost { address: "a".to_owned(), cause: "b".to_owned() }));
    assert_eq!(sent(&mut own, false).as_deref(), Some("Commit V2 100"));
    let answer = Answer::Ended { code: 0, identity: Some(identity(1)) };
    assert_eq!(own.answered(answer), Effect::Identity(identity(1)));
    assert!(matches!(verdict.hear(), Some(Ok(()))));
    own.begin().unwrap();
    let verdict = own.send_offsets(offsets(), GroupMetadata::new("g")).unwrap();
    assert_eq!(sent(&mut own, false).as_deref(), Some("offsets 1 0"));
    own.answered(Answer::Committed(vec![(TopicPartition::new("in", 0), ErrorCode::NotCoordinator.code())]));
    assert_eq!(sent(&mut own, false).as_deref(), Some("offsets 1 100"));
    own.answered(Answer::Committed(vec![(TopicPartition::new("in", 0), 0)]));
    assert!(matches!(verdict.hear(), Some(Ok(()))));
    own.abort(V2).unwrap();
    assert_eq!(sent(&mut own, false).as_deref(), Some("Abort V2 0"), "offsets alone make a transaction");
}

#[test]
fn version_1_names_the_group_first() {
    let mut own = initialised(V1);
    own.begin().unwrap();
    let verdict = own.send_offsets(offsets(), GroupMetadata::new("g")).unwrap();
    assert_eq!(sent(&mut own, false).as_deref(), Some("add offsets of g 0"));
    own.answered(Answer::Offsets(0));
    assert!(verdict.hear().is_none());
    assert_eq!(sent(&mut own, false).as_deref(), Some("offsets 1 0"));
    own.answered(Answer::Committed(vec![(TopicPartition::new("in", 0), ErrorCode::IllegalGeneration.code())]));
    let error = verdict.hear().unwrap().unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Abortable, Some(ErrorCode::IllegalGeneration)));
    assert_eq!(own.commit(V1).unwrap_err().class(), ErrorClass::Abortable);
    own.abort(V1).unwrap();
}

#[test]
fn a_transaction_without_records_ends_without_a_request() {
    let mut own = initialised(V2);
    own.begin().unwrap();
    let verdict = own.commit(V2).unwrap();
    assert_eq!(sent(&mut own, false), None);
    assert!(matches!(verdict.hear(), Some(Ok(()))));
    own.begin().unwrap();
}

#[test]
fn a_record_that_failed_spoils_the_transaction_until_it_is_aborted() {
    let mut own = initialised(V1);
    own.begin().unwrap();
    own.add(PLACE);
    sent(&mut own, true);
    own.answered(Answer::Partitions(vec![(PLACE, 0)]));
    let commit = own.commit(V1).unwrap();
    own.record_failed(&crate::error::of_code(ErrorCode::InvalidTimestamp.code(), None));
    let error = commit.hear().expect("told at once").unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Abortable, Some(ErrorCode::InvalidTimestamp)));
    assert_eq!(own.begin().unwrap_err().class(), ErrorClass::Abortable);
    assert!(own.undrained_error().is_some());
    let abort = own.abort(V1).unwrap();
    assert_eq!(sent(&mut own, false).as_deref(), Some("Abort V1 0"));
    own.answered(Answer::Ended { code: 0, identity: None });
    assert!(matches!(abort.hear(), Some(Ok(()))), "completing: no epoch is asked for");
    own.begin().unwrap();
    own.add(PLACE);
    sent(&mut own, true);
    own.answered(Answer::Partitions(vec![(PLACE, 0)]));
    own.record_failed(&crate::error::of_code(ErrorCode::InvalidTimestamp.code(), None));
    let abort = own.abort(V1).unwrap();
    assert_eq!(sent(&mut own, false).as_deref(), Some("Abort V1 0"));
    own.answered(Answer::Ended { code: 0, identity: None });
    assert!(abort.hear().is_none(), "the next epoch is asked for first");
    assert_eq!(sent(&mut own, false).as_deref(), Some("bump 0"));
    let answer = Answer::Init { code: 0, identity: identity(1) };
    assert_eq!(own.answered(answer), Effect::Identity(identity(1)));
    assert!(matches!(abort.hear(), Some(Ok(()))));
    own.begin().unwrap();
}

#[test]
fn who_is_fenced_cannot_go_on_and_is_told_to_start_anew() {
    for code in [ErrorCode::ProducerFenced, ErrorCode::InvalidProducerEpoch] {
        let mut own = initialised(V2);
        own.begin().unwrap();
        own.add(PLACE);
        let commit = own.commit(V2).unwrap();
        sent(&mut own, false);
        own.answered(Answer::Ended { code: code.code(), identity: None });
        let error = commit.hear().unwrap().unwrap_err();
        assert_eq!(
            (error.class(), error.code()),
            (ErrorClass::ApplicationRecoverable, Some(ErrorCode::ProducerFenced))
        );
        assert!(own.fatal_error().is_some() && !own.may_drain(PLACE));
        assert_eq!(own.abort(V2).unwrap_err().class(), ErrorClass::ApplicationRecoverable);
        assert!(own.check_append().is_err());
    }
}

#[test]
fn an_abort_that_is_refused_as_abortable_ends_the_producer() {
    let mut own = initialised(V2);
    own.begin().unwrap();
    own.add(PLACE);
    let abort = own.abort(V2).unwrap();
    sent(&mut own, false);
    own.answered(Answer::Ended { code: ErrorCode::TransactionAbortable.code(), identity: None });
    assert!(abort.hear().unwrap().is_err());
    assert!(own.fatal_error().is_some());
}

#[test]
fn a_call_that_timed_out_is_repeated_before_any_other() {
    let mut own = initialised(V2);
    own.begin().unwrap();
    own.add(PLACE);
    let first = own.commit(V2).unwrap();
    sent(&mut own, false);
    assert!(first.hear().is_none());
    assert!(matches!(own.begin(), Err(ClientError::State(_))));
    assert!(matches!(own.abort(V2), Err(ClientError::State(_))));
    let again = own.commit(V2).unwrap();
    own.answered(Answer::Ended { code: 0, identity: Some(identity(1)) });
    assert!(matches!(again.hear(), Some(Ok(()))));
    own.begin().unwrap();
}

#[test]
fn a_cluster_that_finalises_version_2_gets_a_new_epoch_between_the_two() {
    let mut own = initialised(V1);
    own.begin().unwrap();
    own.add(PLACE);
    sent(&mut own, true);
    own.answered(Answer::Partitions(vec![(PLACE, 0)]));
    let verdict = own.commit(V2).unwrap();
    assert_eq!(sent(&mut own, false).as_deref(), Some("Commit V1 0"), "it ends as it was begun");
    own.answered(Answer::Ended { code: 0, identity: None });
    assert_eq!(sent(&mut own, false).as_deref(), Some("bump 0"));
    own.answered(Answer::Init { code: 0, identity: identity(1) });
    assert!(matches!(verdict.hear(), Some(Ok(()))));
    assert_eq!(own.protocol(), Protocol::V2);
}

#[test]
fn who_may_not_use_the_id_can_try_again_later() {
    let mut own = Transactions::new(100);
    let verdict = own.init().unwrap();
    sent(&mut own, false);
    own.answered(Answer::NotFound(ErrorCode::CoordinatorNotAvailable.code()));
    assert_eq!(sent(&mut own, false).as_deref(), Some("init 100"));
    let code = ErrorCode::TransactionalIdAuthorizationFailed.code();
    own.answered(Answer::Init { code, identity: identity(0) });
    let error = verdict.hear().unwrap().unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidConfiguration);
    assert!(own.init().unwrap().hear().is_none());
    assert_eq!(sent(&mut own, false).as_deref(), Some("init 0"));
}
