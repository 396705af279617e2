use super::*;

const PLACE: Place = (0, 0);

fn started() -> Sequences {
    let mut sequences = Sequences::default();
    assert!(!sequences.may_drain(PLACE, 1), "not before there is an id");
    sequences.identify(Identity { id: 7, epoch: 0 });
    sequences.prove(PLACE);
    sequences
}

fn sent(sequences: &mut Sequences, batch: u64, count: i32) -> (i16, i32) {
    assert!(sequences.may_drain(PLACE, batch), "batch {batch}");
    let stamp = sequences.stamp(PLACE, batch, count).unwrap();
    assert_eq!(stamp.producer_id, 7);
    (stamp.producer_epoch, stamp.base_sequence)
}

#[test]
fn sequences_follow_the_records_and_retries_go_one_by_one_in_order() {
    let mut sequences = started();
    assert_eq!(sent(&mut sequences, 1, 10), (0, 0));
    assert_eq!(sent(&mut sequences, 2, 5), (0, 10));
    assert_eq!(sent(&mut sequences, 3, 1), (0, 15));
    // Batch 1 was lost on the way, so 2 and 3 are out of order: both are sent again, behind 1.
    assert!(sequences.should_retry(PLACE, 2, ErrorCode::OutOfOrderSequenceNumber, -1));
    assert!(sequences.should_retry(PLACE, 3, ErrorCode::OutOfOrderSequenceNumber, -1));
    sequences.resolve();
    assert!(!sequences.may_drain(PLACE, 2) && !sequences.may_drain(PLACE, 3));
    assert_eq!(sent(&mut sequences, 1, 10), (0, 0));
    sequences.written(PLACE, 1, 9);
    assert_eq!(sent(&mut sequences, 2, 5), (0, 10));
}

#[test]
fn a_gap_in_the_log_starts_a_new_epoch_with_what_is_in_flight_renumbered() {
    let mut sequences = started();
    sent(&mut sequences, 1, 10);
    sequences.written(PLACE, 1, 9);
    sent(&mut sequences, 2, 5);
    sent(&mut sequences, 3, 2);
    // The next in line is out of order: the broker lost batch 1.
    assert!(sequences.should_retry(PLACE, 2, ErrorCode::OutOfOrderSequenceNumber, -1));
    sequences.resolve();
    assert_eq!(sent(&mut sequences, 2, 5), (1, 0));
    assert!(sequences.should_retry(PLACE, 3, ErrorCode::OutOfOrderSequenceNumber, -1), "sent before the bump");
    sequences.resolve();
    assert_eq!(sequences.identity(), Some(Identity { id: 7, epoch: 1 }), "no second bump for the same gap");
    sequences.written(PLACE, 2, 14);
    assert_eq!(sent(&mut sequences, 3, 2), (1, 5));
}

#[test]
fn the_first_batch_of_an_epoch_goes_alone() {
    let mut sequences = Sequences::default();
    sequences.identify(Identity { id: 7, epoch: 0 });
    sent(&mut sequences, 1, 2);
    assert!(!sequences.may_drain(PLACE, 2));
    assert!(sequences.should_retry(PLACE, 1, ErrorCode::NotLeaderOrFollower, -1));
    assert_eq!(sent(&mut sequences, 1, 2), (0, 0));
    sequences.written(PLACE, 1, 1);
    sent(&mut sequences, 2, 2);
    sent(&mut sequences, 3, 2);
}

#[test]
fn a_batch_that_was_overtaken_goes_in_a_new_epoch() {
    let mut sequences = started();
    sent(&mut sequences, 1, 2);
    sent(&mut sequences, 2, 2);
    sequences.written(PLACE, 2, 1);
    assert!(sequences.should_retry(PLACE, 1, ErrorCode::OutOfOrderSequenceNumber, -1));
    sequences.resolve();
    assert_eq!(sent(&mut sequences, 1, 2), (1, 0));
}

#[test]
fn a_batch_in_doubt_is_not_numbered_anew_when_it_was_overtaken() {
    let mut sequences = started();
    sent(&mut sequences, 1, 2);
    sent(&mut sequences, 2, 2);
    sequences.doubt(PLACE, 1);
    sequences.written(PLACE, 2, 1);
    assert!(sequences.should_retry(PLACE, 1, ErrorCode::OutOfOrderSequenceNumber, -1));
    sequences.resolve();
    assert_eq!(sent(&mut sequences, 1, 2), (0, 0), "with its own number it is written once at most");
    sequences.expired(PLACE, 1);
    sequences.resolve();
    assert_eq!(sent(&mut sequences, 3, 1), (0, 4), "the sequences go on behind what was acknowledged");
}

#[test]
fn no_more_batches_are_on_their_way_than_a_broker_knows_again() {
    let mut sequences = started();
    for batch in 1..=5 {
        sent(&mut sequences, batch, 1);
    }
    assert!(!sequences.may_drain(PLACE, 6), "not to another leader either");
    sequences.doubt(PLACE, 1);
    assert!(sequences.may_drain(PLACE, 1) && !sequences.may_drain(PLACE, 6));
    sequences.written(PLACE, 1, 0);
    assert_eq!(sent(&mut sequences, 6, 1), (0, 5));
}

#[test]
fn what_was_acknowledged_last_is_known_over_the_wrap_of_the_sequences() {
    let mut sequences = started();
    sequences.partitions.get_mut(&PLACE).unwrap().next = i32::MAX - 1;
    assert_eq!(sent(&mut sequences, 1, 2), (0, i32::MAX - 1));
    sequences.written(PLACE, 1, 9);
    assert_eq!(sent(&mut sequences, 2, 3), (0, 0));
    sequences.written(PLACE, 2, 12);
    assert_eq!(sent(&mut sequences, 3, 1), (0, 3));
    assert_eq!(sent(&mut sequences, 4, 1), (0, 4));
    assert!(sequences.should_retry(PLACE, 4, ErrorCode::OutOfOrderSequenceNumber, -1));
    sequences.resolve();
    assert_eq!(sequences.identity().unwrap().epoch, 0, "3 is before it: nothing was overtaken, nothing is missing");
    sequences.written(PLACE, 3, 13);
    sequences.expired(PLACE, 4);
    sequences.resolve();
    assert_eq!(sequences.identity().unwrap().epoch, 1, "4 is missing");
}

#[test]
fn unknown_producer_is_retried_in_a_new_epoch_once() {
    let mut sequences = started();
    sent(&mut sequences, 1, 3);
    sequences.written(PLACE, 1, 2);
    sent(&mut sequences, 2, 3);
    assert!(sequences.should_retry(PLACE, 2, ErrorCode::UnknownProducerId, -1));
    sequences.resolve();
    assert_eq!(sequences.identity().unwrap().epoch, 0, "the start of the log is not known yet");
    assert!(sequences.should_retry(PLACE, 2, ErrorCode::UnknownProducerId, 3));
    sequences.resolve();
    assert_eq!(sent(&mut sequences, 2, 3), (1, 0));
}

#[test]
fn a_batch_given_up_holds_back_new_ones_until_the_gap_is_known() {
    let mut sequences = started();
    sent(&mut sequences, 1, 3);
    sent(&mut sequences, 2, 3);
    sequences.expired(PLACE, 1);
    sequences.resolve();
    assert!(!sequences.may_drain(PLACE, 3));
    // Batch 2 was written, so batch 1 was too: go on as before.
    sequences.written(PLACE, 2, 5);
    sequences.resolve();
    assert_eq!(sent(&mut sequences, 3, 3), (0, 6));
    sequences.expired(PLACE, 3);
    sequences.resolve();
    assert_eq!(sent(&mut sequences, 4, 1), (1, 0), "nothing behind it tells, so a new epoch");
}

#[test]
fn a_refused_batch_leaves_a_gap_that_a_new_epoch_closes() {
    let mut sequences = started();
    sent(&mut sequences, 1, 3);
    sent(&mut sequences, 2, 3);
    assert!(!sequences.should_retry(PLACE, 1, ErrorCode::InvalidTimestamp, -1));
    sequences.failed(PLACE, 1);
    assert!(sequences.should_retry(PLACE, 2, ErrorCode::OutOfOrderSequenceNumber, -1));
    sequences.resolve();
    assert_eq!(sent(&mut sequences, 2, 3), (1, 0));
}

#[test]
fn new_batches_wait_while_older_ones_of_another_epoch_are_in_flight() {
    let mut sequences = started();
    let other = (0, 1);
    sent(&mut sequences, 1, 3);
    sequences.stamp(other, 2, 3);
    sequences.failed(other, 2);
    sequences.resolve();
    assert!(!sequences.may_drain(PLACE, 3), "batch 1 is of epoch 0");
    sequences.written(PLACE, 1, 2);
    assert_eq!(sent(&mut sequences, 3, 3), (1, 0));
}

#[test]
fn parts_of_a_split_batch_take_over_its_sequences_and_sequences_wrap() {
    let mut sequences = started();
    sent(&mut sequences, 1, 10);
    sent(&mut sequences, 2, 1);
    sequences.split(PLACE, 1, &[(11, 4), (12, 6)]);
    assert_eq!(sent(&mut sequences, 11, 4), (0, 0));
    assert!(!sequences.may_drain(PLACE, 12));
    sequences.written(PLACE, 11, 3);
    assert_eq!(sent(&mut sequences, 12, 6), (0, 4));
    assert_eq!(advance(i32::MAX, 1), 0);
    assert_eq!(advance(i32::MAX - 1, 3), 1);
}

#[test]
fn epochs_that_are_used_up_ask_for_a_new_id() {
    let mut sequences = started();
    sequences.identify(Identity { id: 7, epoch: i16::MAX });
    sequences.stamp(PLACE, 1, 1);
    sequences.failed(PLACE, 1);
    sequences.resolve();
    assert_eq!(sequences.identity(), None);
}
