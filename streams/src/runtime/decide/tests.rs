use std::path::PathBuf;

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
    StreamsError::Task { id: ID, error: TaskError::Send(failure) }
}

#[test]
fn what_another_owner_has_is_left_to_it() {
    let fenced = StreamsError::Client(refused(ErrorCode::UnknownMemberId));
    assert!(matches!(verdict(&fenced, None, Patience::Left), Verdict::Rejoin(_)));
    let fenced = refused(ErrorCode::InvalidProducerEpoch);
    assert!(matches!(verdict(&sending(), Some(&fenced), Patience::Over), Verdict::Rejoin(_)));
    assert_eq!(verdict(&StreamsError::MissingSourceTopics, None, Patience::Left), Verdict::End);
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
    assert!(matches!(verdict(&unwritten(timeout()), None, Patience::Left), Verdict::Rejoin(_)));
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
        StreamsError::Task { id: ID, error: TaskError::State(corrupt()) },
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
    assert_eq!(gap(11, Some(0), 10), Some(Gap::Ahead));
    assert_eq!(gap(4, Some(5), 10), Some(Gap::Behind));
    assert_eq!(gap(5, Some(5), 10), None);
    assert_eq!(gap(0, Some(5), 10), None, "an empty store takes what is left");
}

#[test]
fn slow_records_are_watched_one_by_one() {
    let mut pace = Pace::new();
    (0..10).for_each(|_| pace.took(Duration::from_micros(50)));
    assert_eq!(pace.stride(), STRIDE_MAX);
    (0..10).for_each(|_| pace.took(Duration::from_millis(100)));
    assert_eq!(pace.stride(), 1);
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
