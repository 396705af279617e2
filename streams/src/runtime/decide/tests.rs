use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_protocol::error_code::ErrorCode;

use super::*;
use crate::task::collector::{Fault, SendFailure};

const ID: TaskId = TaskId { subtopology: 1, partition: 2 };

fn timeout() -> ClientError {
    ClientError::Timeout { doing: "something".to_owned(), limit: Duration::from_secs(60) }
}

fn refused(code: ErrorCode) -> ClientError {
    let (message, address, subject) = (String::new(), String::new(), String::new());
    ClientError::Broker { code: code.code(), message, address, subject }
}

fn sending() -> StreamsError {
    let failure = SendFailure { topic: "t".to_owned(), cause: "late".to_owned(), fault: Fault::Producer };
    StreamsError::Task { id: ID, place: None, error: TaskError::Send(failure) }
}

#[test]
fn what_another_owner_has_is_left_to_it() {
    let fenced = StreamsError::Client(refused(ErrorCode::UnknownMemberId));
    assert!(matches!(verdict(&fenced, None, Patience::Left), Verdict::Rejoin(_)));
    let fenced = refused(ErrorCode::InvalidProducerEpoch);
    assert!(matches!(verdict(&sending(), Some(&fenced), Patience::Over), Verdict::Rejoin(_)));
    assert_eq!(verdict(&StreamsError::MissingSourceTopics(String::new()), None, Patience::Left), Verdict::End);
}

#[test]
fn who_was_replaced_by_its_name_does_not_fight_for_its_place() {
    let replaced = StreamsError::Client(refused(ErrorCode::FencedInstanceId));
    assert_eq!(verdict(&replaced, None, Patience::Left), Verdict::Replaced);
    let replaced = refused(ErrorCode::FencedInstanceId);
    assert_eq!(verdict(&sending(), Some(&replaced), Patience::Left), Verdict::Replaced);
}

#[test]
fn a_cluster_that_is_away_is_waited_for_until_task_timeout() {
    let late = StreamsError::Client(timeout());
    assert_eq!(verdict(&late, None, Patience::Left), Verdict::Again);
    assert_eq!(verdict(&late, None, Patience::Over), Verdict::End);
    assert!(matches!(verdict(&sending(), Some(&timeout()), Patience::Left), Verdict::Rejoin(_)), "half a record");
    assert_eq!(verdict(&sending(), Some(&timeout()), Patience::Over), Verdict::End);
    assert_eq!(verdict(&sending(), None, Patience::Left), Verdict::End);
}

#[test]
fn records_that_could_not_be_written_are_made_again() {
    // Not tried again as a commit is: the next flush would know nothing of them.
    let late =
        unwritten(timeout(), Some(&|_: &ProductionContext<'_>| Response::Continue)).expect_err("whoever says what");
    assert!(matches!(verdict(&late, None, Patience::Left), Verdict::Rejoin(_)));
}

#[test]
fn a_transaction_that_is_late_is_over_and_offsets_are_not() {
    let error = uncommitted(timeout(), Guarantee::ExactlyOnce);
    assert!(matches!(verdict(&error, None, Patience::Left), Verdict::Rejoin(_)));
    let error = uncommitted(timeout(), Guarantee::AtLeastOnce);
    assert_eq!(verdict(&error, None, Patience::Left), Verdict::Again);
}

#[test]
fn damaged_state_is_restored_whoever_finds_it() {
    let corrupt = || StateError::Corrupt { store: "s".to_owned(), folder: PathBuf::new(), cause: "bad".to_owned() };
    for error in [
        StreamsError::State { id: ID, error: corrupt() },
        StreamsError::Task { id: ID, place: None, error: TaskError::State(corrupt()) },
        StreamsError::Link { id: ID, error: LinkError::State(corrupt()) },
    ] {
        assert_eq!(verdict(&error, None, Patience::Over), Verdict::Wipe(ID));
    }
    let locked = StateError::Locked { path: PathBuf::new() };
    assert_eq!(verdict(&StreamsError::State { id: ID, error: locked }, None, Patience::Left), Verdict::End);
}

#[test]
fn a_copy_at_its_end_costs_nothing() {
    let poll = Duration::from_millis(100);
    let idle = Waits { busy: false, copied: false, missing: false, commit: None };
    assert_eq!(wait(idle, poll), poll);
    assert_eq!(wait(Waits { copied: true, ..idle }, poll), Duration::ZERO);
    assert_eq!(wait(Waits { busy: true, ..idle }, poll), Duration::ZERO);
    assert_eq!(wait(Waits { commit: Some(Duration::from_millis(30)), ..idle }, poll), Duration::from_millis(30));
    assert_eq!(wait(Waits { missing: true, ..idle }, poll), FOLDER);
}

#[test]
fn a_commit_that_was_put_off_is_tried_again_soon_but_not_at_once() {
    let interval = Duration::from_secs(30);
    assert_eq!(commit_in(Duration::from_secs(10), interval, None), Duration::from_secs(20));
    assert_eq!(commit_in(Duration::from_secs(40), interval, None), Duration::ZERO);
    assert_eq!(commit_in(Duration::from_secs(40), interval, Some(Duration::ZERO)), DEFERRED);
    assert_eq!(commit_in(Duration::from_secs(40), interval, Some(DEFERRED)), Duration::ZERO);
}

#[test]
fn a_source_topic_is_restored_up_to_what_was_committed() {
    assert_eq!(restore_end(true, 100, Some(7)), 100);
    assert_eq!(restore_end(false, 100, Some(7)), 7);
    assert_eq!(restore_end(false, 5, Some(7)), 5, "the topic was made anew");
    assert_eq!(restore_end(false, 100, None), 0, "nothing was processed");
}

#[test]
fn a_store_out_of_step_with_its_changelog_is_found() {
    assert_eq!(gap(10, Some(0), 10), None);
    assert_eq!(gap(11, Some(0), 10), Some(Gap::Ahead { position: 11, end: 10 }));
    assert_eq!(gap(4, Some(5), 10), Some(Gap::Behind { position: 4, first: 5 }));
    assert_eq!(gap(5, Some(5), 10), None);
    assert_eq!(gap(0, Some(5), 10), None, "an empty store takes what is left");
}

#[test]
fn who_reads_of_lost_updates_learns_how_many_and_where_to_look() {
    let changelog = TopicPartition::new("app-counts-changelog", 3);
    let said = Gap::Ahead { position: 120, end: 100 }.describe("counts", &changelog);
    for told in ["store counts", "app-counts-changelog-3", "offset 120", "ends at 100", "gone for good", "unclean"] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let said = Gap::Behind { position: 4, first: 5 }.describe("counts", &changelog);
    assert!(said.contains("offset 4") && said.contains("begins at 5") && !said.contains("for good"), "{said}");
}

#[test]
fn slow_records_are_watched_one_by_one() {
    let mut pace = Pace::new();
    (0..10).for_each(|_| pace.took(Duration::from_micros(50)));
    assert_eq!(pace.stride(), STRIDE_MAX);
    pace.took(Duration::from_millis(100));
    assert_eq!(pace.stride(), 1, "the next one may be as slow");
    (0..49).for_each(|_| pace.took(Duration::from_millis(20)));
    assert_eq!(pace.stride(), 1);
    (0..10).for_each(|_| pace.took(Duration::from_millis(20)));
    assert_eq!(pace.stride(), STRIDE_MAX);
}

#[test]
fn a_turn_ends_long_before_the_group_gives_the_thread_up() {
    let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    assert_eq!(turn(minute, 10 * second, None), 5 * second);
    assert_eq!(turn(minute, 300 * second, Some(10 * second)), 5 * second);
    assert_eq!(turn(second, 300 * second, Some(10 * second)), second);
    assert_eq!(turn(Duration::ZERO, minute, None), TURN_MIN);
}

#[test]
fn a_changelog_is_read_from_where_its_store_is() {
    assert!(!reads_on(None, 0) && !reads_on(None, 5), "it is not read yet");
    assert!(reads_on(Some(None), 0), "the beginning is looked up");
    assert!(reads_on(Some(Some(5)), 5));
    assert!(!reads_on(Some(Some(5)), 0), "the store was made anew");
    assert!(!reads_on(Some(Some(9)), 5), "a copy had to stop before what was fetched");
}

#[test]
fn a_question_about_one_task_ends_the_thread_only_when_its_own_time_is_over() {
    assert!(unanswered(ID, timeout(), Patience::Left).is_ok());
    let over = unanswered(ID, timeout(), Patience::Over).expect_err("it is over");
    assert_eq!(over.to_string(), "task 1_2: something did not end within 60000 ms, tried again until task.timeout.ms");
    assert_eq!(verdict(&over, None, Patience::Left), Verdict::End, "the thread has waited");
    let refused = refused(ErrorCode::GroupAuthorizationFailed);
    assert!(unanswered(ID, refused, Patience::Left).is_err(), "asking again changes nothing");
}

#[test]
fn state_that_is_damaged_again_and_again_is_not_restored_for_ever() {
    let timeout = Duration::from_secs(300);
    assert!(!is_hopeless(None, timeout) && !is_hopeless(Some(timeout), timeout));
    assert!(is_hopeless(Some(Duration::from_millis(20)), timeout));
}

#[test]
fn a_folder_that_is_never_given_back_is_told_of() {
    let timeout = Duration::from_secs(300);
    assert_eq!(folder(Duration::from_millis(20), timeout), Folder::Wait);
    assert_eq!(folder(CLOSES, timeout), Folder::Warn);
    assert_eq!(folder(timeout, timeout), Folder::Over);
}

#[test]
fn a_transaction_does_not_wait_for_a_rebalance_until_it_is_aborted() {
    let timeout = Some(Duration::from_secs(10));
    assert_eq!(membership(Some(Duration::from_secs(4)), timeout), Membership::Settled, "a rebalance is short");
    assert_eq!(membership(Some(Duration::from_secs(5)), timeout), Membership::Joining);
    assert_eq!(membership(None, timeout), Membership::Settled, "there is none");
    assert_eq!(membership(Some(Duration::from_secs(50)), None), Membership::Settled, "at least once");
}

#[test]
fn what_a_broker_refuses_is_for_the_handler_to_decide_about() {
    let of_partition = |code: ErrorCode| {
        let (topic, message, address) = ("out".to_owned(), "no".to_owned(), String::new());
        ClientError::Partition { topic, partition: 3, code: code.code(), message, address }
    };
    let asked = |code: ErrorCode, response: Response| {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let handler = move |about: &ProductionContext<'_>| {
            assert_eq!((about.topic, about.partition, about.record.is_none()), ("out", Some(3), true));
            counted.fetch_add(1, Ordering::Relaxed);
            response
        };
        let done = unwritten(of_partition(code), Some(&handler));
        (count.load(Ordering::Relaxed), done.is_ok())
    };
    assert_eq!(asked(ErrorCode::MessageTooLarge, Response::Continue), (1, true));
    assert_eq!(asked(ErrorCode::InvalidRecord, Response::Fail), (1, false));
    assert_eq!(
        asked(ErrorCode::TopicAuthorizationFailed, Response::Continue),
        (0, false),
        "no matter of these records"
    );
    assert_eq!(asked(ErrorCode::InvalidProducerEpoch, Response::Continue), (0, false), "another one has the task");
    assert!(unwritten(of_partition(ErrorCode::MessageTooLarge), None).is_err(), "nobody says continue");
}
