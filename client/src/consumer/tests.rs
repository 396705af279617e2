use millstream_protocol::api_key::ApiKey;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use millstream_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, OffsetFetchRequest, OffsetFetchResponse,
};
use tokio::sync::Notify;

use super::*;
use crate::scripted::{Act, Asked, Scripted, coordinates, described};

/// One broker that leads what `leaders` says of `t`, every partition from 0 on.
fn other(asked: &Asked, leaders: &[i32]) -> Act {
    match asked.key() {
        ApiKey::Metadata => asked.answer::<MetadataRequest>(&described(&[(1, asked.port)], &[("t", leaders)])),
        ApiKey::FindCoordinator => coordinates(asked),
        ApiKey::ListOffsets => {
            let topic = |topic: &millstream_protocol::messages::list_offsets_request::ListOffsetsTopic| {
                let partition = |index| {
                    let partition = ListOffsetsPartitionResponse::default().with_partition_index(index);
                    partition.with_offset(0).with_leader_epoch(1)
                };
                let partitions = topic.partitions.iter().map(|asked| partition(asked.partition_index)).collect();
                ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
            };
            let topics = asked.read::<ListOffsetsRequest>().topics.iter().map(topic).collect();
            asked.answer::<ListOffsetsRequest>(&ListOffsetsResponse::default().with_topics(topics))
        }
        ApiKey::OffsetFetch => asked.answer::<OffsetFetchRequest>(&OffsetFetchResponse::default()),
        _ => Act::Silence,
    }
}

async fn poll_until(consumer: &mut Consumer, over: impl Fn() -> bool) {
    let polls = async {
        while !over() {
            consumer.poll(Duration::from_millis(20)).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), polls).await.expect("it happens in time");
}

#[tokio::test]
async fn a_partition_without_a_leader_holds_back_no_other() {
    let broker = Scripted::start(|asked| other(asked, &[-1, 1, 3]));
    let config = ConsumerConfig { reset: Reset::Earliest, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(Cluster::new(&broker.address), config);
    consumer.assign(&[TopicPartition::new("t", 0), TopicPartition::new("t", 1), TopicPartition::new("t", 2)]).unwrap();
    poll_until(&mut consumer, || broker.count(ApiKey::Fetch) > 0).await;
    assert!(broker.count(ApiKey::Metadata) < 20, "{}", broker.count(ApiKey::Metadata));
    assert_eq!(broker.count(ApiKey::OffsetForLeaderEpoch), 0, "what a leader just said needs no check");
}

#[tokio::test]
async fn what_is_asked_during_a_join_does_not_wait_for_it() {
    let never = Arc::new(Notify::new());
    let broker = Scripted::start(move |asked| match asked.key() {
        ApiKey::JoinGroup => Act::Stall(never.clone()),
        _ => other(asked, &[1]),
    });
    let config = ConsumerConfig { group: Some("g".to_owned()), ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(Cluster::new(&broker.address), config);
    consumer.subscribe(&["t"]).unwrap();
    poll_until(&mut consumer, || broker.count(ApiKey::JoinGroup) > 0).await;
    let place = TopicPartition::new("t", 0);
    let asked = async {
        assert!(consumer.committed(std::slice::from_ref(&place)).await.unwrap().is_empty());
        let error = consumer.commit_offsets(&Offsets::from([(place.clone(), 1.into())])).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RebalanceInProgress));
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.expect("neither waits for the join");
    assert_eq!(broker.count(ApiKey::OffsetCommit), 0);
    consumer.close().await.unwrap();
}

/// The end of a join in generation 5.
fn assigned(assignment: GroupAssignment) -> Joined {
    let generation = group::Generation { number: 5, member: "m".to_owned() };
    Joined::Assigned { assignment, counts: None, generation }
}

/// A transaction's offsets would be taken from whoever shows no generation, also of a group that has gone on.
#[tokio::test]
async fn who_is_out_of_the_group_shows_what_it_was() {
    let config = ConsumerConfig { group: Some("g".to_owned()), ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(Cluster::new("127.0.0.1:1"), config);
    consumer.subscribe(&["t"]).unwrap();
    assert_eq!(consumer.group_metadata().unwrap().generation, -1);
    let partitions = vec![TopicPartition::new("t", 0)];
    consumer.joined(0, Ok(assigned(GroupAssignment { partitions, user_data: None }))).unwrap();
    consumer.coordinator().unwrap().membership.lock().left();
    let shown = consumer.group_metadata().unwrap();
    assert_eq!((shown.generation, shown.member_id.as_str()), (5, "m"));
    let refused = consumer.check_membership().expect_err("it is out of the group");
    assert_eq!(refused.code(), Some(ErrorCode::UnknownMemberId));
}

struct Stored;

impl RebalanceListener for Stored {
    fn assigned(&mut self, _: &[TopicPartition]) {}
    fn assigned_at(&mut self, partitions: &[TopicPartition], assignment: &mut Assignment<'_>) {
        for place in partitions {
            assignment.seek(place, 42).unwrap();
        }
        assert!(assignment.pause(&TopicPartition::new("other", 0)).is_err());
    }
    fn revoked(&mut self, _: &[TopicPartition], _: &mut Offsets) {}
    fn lost(&mut self, _: &[TopicPartition]) {}
}

#[tokio::test]
async fn a_listener_says_where_its_partitions_are_read_from() {
    let config = ConsumerConfig { group: Some("g".to_owned()), ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(Cluster::new("127.0.0.1:1"), config);
    consumer.set_listener(Box::new(Stored));
    consumer.subscribe(&["t"]).unwrap();
    let partitions = vec![TopicPartition::new("t", 0)];
    let assignment = GroupAssignment { partitions: partitions.clone(), user_data: None };
    consumer.joined(0, Ok(assigned(assignment))).unwrap();
    assert_eq!(consumer.position(&partitions[0]).await.unwrap(), 42);
}

#[tokio::test]
async fn a_listener_is_told_by_polls_alone() {
    let config = ConsumerConfig { group: Some("g".to_owned()), ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(Cluster::new("127.0.0.1:1"), config);
    consumer.set_listener(Box::new(Stored));
    consumer.subscribe(&["t"]).unwrap();
    let place = TopicPartition::new("t", 0);
    let assignment = GroupAssignment { partitions: vec![place.clone()], user_data: None };
    let joined = assigned(assignment);
    consumer.work.push(std::future::ready(Event::Joined(0, Ok(joined))).boxed());
    assert!(consumer.position(&place).await.is_err() && consumer.assignment().is_empty());
    consumer.poll(Duration::ZERO).await.unwrap();
    assert!(consumer.came.is_none());
}

#[tokio::test]
async fn who_was_replaced_reads_no_more_and_is_told_so_by_each_poll() {
    let broker = Scripted::start(|asked| other(asked, &[1]));
    let config = ConsumerConfig { group: Some("g".to_owned()), instance: Some("i".to_owned()), ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(Cluster::new(&broker.address), config);
    consumer.subscribe(&["t"]).unwrap();
    consumer.partitions.assign([TopicPartition::new("t", 0)]);
    let fenced = crate::error::check(ErrorCode::FencedInstanceId.code(), None).unwrap_err();
    consumer.coordinator().unwrap().end(fenced);
    for _ in 0..2 {
        let error = consumer.poll(Duration::ZERO).await.expect_err("another member has its place");
        assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId));
        assert!(consumer.assignment().is_empty());
    }
}

#[test]
fn lag_is_counted_to_the_end_that_the_isolation_lets_see() {
    let mut partition = position::Partition { position: Some(7), ..position::Partition::default() };
    partition.saw_end(Isolation::ReadCommitted, 10, 8);
    assert_eq!(partition.end, Some(8));
    partition.saw_end(Isolation::ReadCommitted, 10, -1);
    assert_eq!(partition.end, Some(10), "the broker does not say");
    partition.saw_end(Isolation::ReadUncommitted, 10, 8);
    assert_eq!(partition.end, Some(10));
}
