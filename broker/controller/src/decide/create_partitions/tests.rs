//! The texts are what Apache Kafka 4.3.1 answered to the same requests by its AdminClient.

use super::*;
use crate::decide::create_topic::tests::lone_node;

fn decide(topic: &str, count: i32, assignments: Option<Vec<Vec<i32>>>) -> Result<usize, (ErrorCode, Option<String>)> {
    let request = NewPartitions { topic: topic.to_owned(), count, assignments };
    let (records, mut answers) = create_partitions(&lone_node(), &[request]).unwrap();
    answers.remove(0).map(|()| records.len()).map_err(|refusal| (refusal.code, refusal.message))
}

#[test]
fn a_refused_request_gets_apaches_code_and_text() {
    let table = [
        (("t1", 3, None), ErrorCode::InvalidPartitions, Some("Topic already has 3 partition(s).")),
        (
            ("t1", 2, None),
            ErrorCode::InvalidPartitions,
            Some("The topic t1 currently has 3 partition(s); 2 would not be an increase."),
        ),
        (("nope", 2, None), ErrorCode::UnknownTopicOrPartition, None),
        (
            ("t1", 5, Some(vec![vec![1]])),
            ErrorCode::InvalidReplicaAssignment,
            Some("Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."),
        ),
        (
            ("t1", 4, Some(vec![vec![9]])),
            ErrorCode::InvalidReplicaAssignment,
            Some("The manual partition assignment includes broker 9, but no such broker is registered."),
        ),
        (
            ("t1", 20_000, None),
            ErrorCode::PolicyViolation,
            Some("Unable to perform excessively large batch operation."),
        ),
    ];
    for ((topic, count, assignments), code, text) in table {
        assert_eq!(decide(topic, count, assignments), Err((code, text.map(str::to_owned))));
    }
}

#[test]
fn new_partitions_follow_the_old_ones() {
    let image = lone_node();
    let request = NewPartitions { topic: "t1".to_owned(), count: 5, assignments: None };
    let (records, _) = create_partitions(&image, &[request]).unwrap();
    let image = image.apply(&records).unwrap();
    assert_eq!(image.topic("t1").unwrap().partitions.len(), 5);
    assert_eq!(decide("t1", 5, Some(vec![vec![1], vec![1]])), Ok(2));
}
