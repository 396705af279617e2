//! The texts are what Apache Kafka 4.3.1 answered to the same requests by its AdminClient.

use super::*;
use crate::decide::register_broker::new_cluster;
use crate::image::Broker;
use crate::record::RegisterBrokerRecord;

/// A lone broker with topics `a.b` and `t1`.
pub(crate) fn lone_node() -> Image {
    let mut records = new_cluster("cluster");
    records.push(MetadataRecord::RegisterBroker(RegisterBrokerRecord {
        broker_id: 1,
        broker_epoch: 0,
        incarnation: Uuid::nil(),
        endpoints: Vec::new(),
        rack: None,
        fenced: false,
        directories: vec![Uuid::from_u128(0xd1), Uuid::from_u128(0xd2)],
    }));
    let image = Image::default().apply(&records).unwrap();
    let topics = [NewTopic::new("a.b", 1, 1), NewTopic::new("t1", 3, 1)];
    let (records, answers) = decide(&image, &topics).unwrap();
    assert!(answers.iter().all(Result::is_ok));
    image.apply(&records).unwrap()
}

fn decide(image: &Image, topics: &[NewTopic]) -> Decision<CreatedTopic> {
    let defaults = TopicDefaults { partitions: 2, replication_factor: 1 };
    let mut next = 100;
    let new_id = || {
        next += 1;
        Uuid::from_u128(next)
    };
    create_topics(image, &Rules::default(), defaults, topics, new_id)
}

fn refusal(topic: NewTopic) -> (ErrorCode, String) {
    let image = lone_node();
    let refusal = match decide(&image, &[topic]) {
        Ok((records, mut answers)) => {
            assert!(records.is_empty(), "a refused topic leaves nothing behind");
            answers.remove(0).unwrap_err()
        }
        Err(refusal) => refusal,
    };
    (refusal.code, refusal.message.unwrap_or_default())
}

fn assigned(assignments: &[(i32, &[i32])]) -> NewTopic {
    let assignments = assignments.iter().map(|(partition, ids)| (*partition, ids.to_vec())).collect();
    NewTopic { assignments, ..NewTopic::new("t5", -1, -1) }
}

#[test]
fn a_refused_topic_gets_apaches_code_and_text() {
    let long = "x".repeat(250);
    let too_long = format!("Topic name is invalid: the length of '{long}' is longer than the max allowed length 249");
    let table = [
        (NewTopic::new("t1", 3, 1), ErrorCode::TopicAlreadyExists, "Topic 't1' already exists."),
        (
            NewTopic::new("t3", 1, 3),
            ErrorCode::InvalidReplicationFactor,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached \
             because only 1 broker(s) are registered or some brokers have all their log directories cordoned.",
        ),
        (
            NewTopic::new("t3", 1, 0),
            ErrorCode::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            NewTopic::new("t3", 0, 1),
            ErrorCode::InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            NewTopic::new("t3", 10_001, 1),
            ErrorCode::PolicyViolation,
            "Excessively large number of partitions per request.",
        ),
        (
            NewTopic::new("t3", 10_000, 1),
            ErrorCode::PolicyViolation,
            "Unable to perform excessively large batch operation.",
        ),
        (NewTopic::new(".", 1, 1), ErrorCode::InvalidTopicException, "Topic name is invalid: '.' is not allowed"),
        (
            NewTopic::new("", 1, 1),
            ErrorCode::InvalidTopicException,
            "Topic name is invalid: the empty string is not allowed",
        ),
        (
            NewTopic::new("a b", 1, 1),
            ErrorCode::InvalidTopicException,
            "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', \
             '_' and '-'",
        ),
        (NewTopic::new(long.clone(), 1, 1), ErrorCode::InvalidTopicException, too_long.as_str()),
        (NewTopic::new("a_b", 1, 1), ErrorCode::InvalidTopicException, "Topic 'a_b' collides with existing topic: a.b"),
        (
            assigned(&[(0, &[1]), (2, &[1])]),
            ErrorCode::InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (
            assigned(&[(0, &[7])]),
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes broker 7, but no such broker is registered.",
        ),
        (
            assigned(&[(0, &[1, 1])]),
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes the broker 1 more than once.",
        ),
        (
            assigned(&[(0, &[])]),
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes an empty replica list.",
        ),
        (
            NewTopic::new("t7", 1, 1).config("no.such", "1"),
            ErrorCode::InvalidConfig,
            "Unknown topic config name: no.such",
        ),
        (
            NewTopic::new("t7", 1, 1).config("retention.ms", "abc"),
            ErrorCode::InvalidConfig,
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            NewTopic::new("t7", 1, 1).config("min.compaction.lag.ms", "10").config("max.compaction.lag.ms", "5"),
            ErrorCode::InvalidConfig,
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
        ),
        (
            NewTopic::new("t7", 1, 1).config("remote.storage.enable", "true"),
            ErrorCode::InvalidConfig,
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
             storage.",
        ),
        (
            NewTopic { configs: vec![("retention.ms".to_owned(), None)], ..NewTopic::new("t7", 1, 1) },
            ErrorCode::InvalidConfig,
            "Null value not supported for topic configs: retention.ms",
        ),
    ];
    for (topic, code, text) in table {
        assert_eq!(refusal(topic), (code, text.to_owned()));
    }
}

#[test]
fn defaults_fill_what_the_request_leaves_open() {
    let image = lone_node();
    let (records, answers) = decide(&image, &[NewTopic::new("t2", -1, -1)]).unwrap();
    let created = answers[0].as_ref().unwrap();
    assert_eq!((created.partitions, created.replication_factor), (2, 1));
    let image = image.apply(&records).unwrap();
    let topic = image.topic("t2").unwrap();
    let directories: Vec<Uuid> = topic.partitions.iter().map(|partition| partition.directories[0]).collect();
    assert_eq!(directories, [Uuid::from_u128(0xd1), Uuid::from_u128(0xd2)]);
    assert_eq!((topic.partitions[1].leader, &*topic.partitions[1].isr), (1, &[1][..]));
}

#[test]
fn one_refused_topic_does_not_hold_up_the_others() {
    let topics = [NewTopic::new("good", 1, 1), NewTopic::new("bad name", 1, 1), NewTopic::new("good", 1, 1)];
    let (records, answers) = decide(&lone_node(), &topics).unwrap();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(records.len(), 2);
}

#[test]
fn a_fenced_broker_gets_no_partition() {
    let mut image = lone_node();
    let brokers = std::sync::Arc::make_mut(&mut image.brokers);
    let broker = Broker { fenced: true, ..(*brokers[&1]).clone() };
    brokers.insert(1, std::sync::Arc::new(broker));
    let (_, answers) = decide(&image, &[NewTopic::new("t2", 1, 1)]).unwrap();
    let message = answers[0].as_ref().unwrap_err().message.clone().unwrap();
    assert!(message.ends_with("All brokers are currently fenced, or have all their log directories cordoned."));
}
