use bytes::Bytes;
use millstream_protocol::api_key::ApiKey;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::fetch_request::FetchTopic;
use millstream_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use millstream_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use millstream_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use millstream_protocol::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::group::{Generation, Phase};
use super::*;
use crate::config::ConnectionConfig;
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
    consumer.joined(1, Ok(assigned(GroupAssignment { partitions, user_data: None }))).unwrap();
    consumer.coordinator().unwrap().membership.lock().left(super::group::Keep::Nothing);
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
    consumer.joined(1, Ok(assigned(assignment))).unwrap();
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
    consumer.work.push(std::future::ready(Event::Joined(1, Ok(joined))).boxed());
    assert!(consumer.position(&place).await.is_err() && consumer.assignment().is_empty());
    consumer.poll(Duration::ZERO).await.unwrap();
    assert!(consumer.came.is_none());
}

#[tokio::test]
async fn who_was_replaced_reads_no_more_and_is_told_so_by_each_poll() {
    let broker = Scripted::start(|asked| other(asked, &[1]));
    let config =
        ConsumerConfig { group: Some("g".to_owned()), instance: Some("i".to_owned()), ..ConsumerConfig::default() };
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

fn of_group() -> ConsumerConfig {
    ConsumerConfig { group: Some("g".to_owned()), ..ConsumerConfig::default() }
}

/// The consumer is a member that has its assignment.
fn make_member(consumer: &Consumer, generation: i32) -> Arc<Coordinator> {
    let group = consumer.coordinator().unwrap();
    group.subscribed.store(true, Ordering::Release);
    {
        let mut membership = group.membership.lock();
        membership.generation = Generation { number: generation, member: "m".to_owned() };
        (membership.phase, membership.rejoin) = (Phase::Stable, false);
    }
    group
}

/// Never decides.
struct Plugin;

impl GroupAssignor for Plugin {
    fn name(&self) -> &str {
        "plugin"
    }
    fn user_data(&self, _: &[String]) -> Option<Bytes> {
        None
    }
    fn assign(&self, _: Vec<GroupMember>) -> BoxFuture<'_, Result<BTreeMap<String, GroupAssignment>, ClientError>> {
        std::future::pending().boxed()
    }
    fn assigned(&self, _: &[TopicPartition], _: Option<Bytes>) {}
}

/// Kafka Streams commits what it made of the partitions that it loses; of a member that joins no commit is taken.
#[tokio::test]
async fn a_poll_ends_between_partitions_that_go_with_their_topic_and_the_join() {
    let broker = Scripted::start(|asked| other(asked, &[1]));
    let config = ConsumerConfig { auto_commit: None, ..of_group() };
    let mut consumer = Consumer::new(Cluster::new(&broker.address), config);
    consumer.set_assignor(Arc::new(Plugin)).unwrap();
    consumer.subscribe_pattern("t|gone").unwrap();
    let group = make_member(&consumer, 5);
    let kept = TopicPartition::new("t", 0);
    consumer.partitions.assign([kept.clone(), TopicPartition::new("gone", 0)]);
    while consumer.subscription().is_empty() {
        consumer.poll(Duration::from_millis(20)).await.unwrap();
    }
    assert!(consumer.reads("t") && !consumer.reads("gone"));
    group.membership.lock().rejoin = true;
    consumer.poll(Duration::from_secs(20)).await.unwrap();
    assert_eq!(consumer.assignment(), [kept]);
    consumer.check_membership().expect("it has not joined yet");
    poll_until(&mut consumer, || broker.count(ApiKey::JoinGroup) > 0).await;
    let refused = consumer.check_membership().expect_err("it joins");
    assert_eq!(refused.code(), Some(ErrorCode::RebalanceInProgress));
}

/// Takes what is committed of the first partition into `seen`; the first time it is not for this coordinator.
fn commits(asked: &Asked, seen: &Mutex<Vec<i64>>) -> Act {
    let request: OffsetCommitRequest = asked.read();
    seen.lock().push(request.topics[0].partitions[0].committed_offset);
    let code = if seen.lock().len() == 1 { ErrorCode::NotCoordinator } else { ErrorCode::None };
    let partition = OffsetCommitResponsePartition::default().with_error_code(code.code());
    let topic = OffsetCommitResponseTopic::default().with_name(request.topics[0].name.clone());
    let topics = vec![topic.with_partitions(vec![partition])];
    asked.answer::<OffsetCommitRequest>(&OffsetCommitResponse::default().with_topics(topics))
}

#[tokio::test]
async fn an_automatic_commit_that_failed_is_made_again_of_what_was_read_by_then() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let broker = Scripted::start(move |asked| match asked.key() {
        ApiKey::OffsetCommit => commits(asked, &noted),
        _ => other(asked, &[1]),
    });
    let bootstrap = vec![broker.address.clone()];
    let slow = ConnectionConfig { bootstrap, retry_backoff: Duration::from_millis(500), ..ConnectionConfig::default() };
    let config = ConsumerConfig { auto_commit: Some(Duration::ZERO), ..of_group() };
    let mut consumer = Consumer::new(Cluster::with_config(slow), config);
    let place = TopicPartition::new("t", 0);
    consumer.assign(std::slice::from_ref(&place)).unwrap();
    consumer.seek(&place, 1).unwrap();
    poll_until(&mut consumer, || seen.lock().len() == 1).await;
    consumer.seek(&place, 2).unwrap();
    poll_until(&mut consumer, || seen.lock().len() > 1).await;
    assert_eq!(seen.lock()[..2], [1, 2]);
}

#[tokio::test]
async fn a_commit_is_sent_in_the_generation_in_which_it_was_made_or_not_at_all() {
    let broker = Scripted::start(|asked| other(asked, &[1]));
    let mut consumer = Consumer::new(Cluster::new(&broker.address), of_group());
    let offsets = Offsets::from([(TopicPartition::new("t", 0), 7.into())]);
    make_member(&consumer, 1);
    let told = Arc::new(Mutex::new(None));
    let heard = told.clone();
    let callback: CommitCallback = Box::new(move |_, result| *heard.lock() = Some(result));
    consumer.commit_offsets_async(offsets, callback).unwrap();
    // Before it was sent, the group goes on: the queue's task has not run yet.
    make_member(&consumer, 2);
    tokio::time::timeout(Duration::from_secs(20), consumer.drain_commits()).await.expect("it is told of");
    let error = told.lock().take().expect("told").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::IllegalGeneration));
    assert_eq!(broker.count(ApiKey::OffsetCommit), 0);
}

#[tokio::test]
async fn a_rebalance_waits_for_the_commits_that_are_under_way() {
    let broker = Scripted::start(|asked| other(asked, &[1]));
    let mut consumer = Consumer::new(Cluster::new(&broker.address), of_group());
    consumer.subscribe(&["t"]).unwrap();
    let group = make_member(&consumer, 1);
    consumer
        .commit_offsets_async(Offsets::from([(TopicPartition::new("t", 0), 7.into())]), Box::new(|_, _| {}))
        .unwrap();
    group.membership.lock().rejoin = true;
    consumer.rebalance();
    let attempt = |consumer: &Consumer| consumer.subscription.as_ref().map(|known| known.attempt);
    assert_eq!(attempt(&consumer), Some(1), "nobody joins");
    group.membership.lock().generation.number = 2;
    tokio::time::timeout(Duration::from_secs(20), consumer.drain_commits()).await.expect("it is over");
    consumer.rebalance();
    assert_eq!(attempt(&consumer), Some(2), "it joins");
}

#[tokio::test]
async fn committed_offsets_of_an_earlier_assignment_are_not_taken() {
    let mut consumer = Consumer::new(Cluster::new("127.0.0.1:1"), of_group());
    let place = TopicPartition::new("t", 0);
    consumer.partitions.assign([place.clone()]);
    let (before, old) = (consumer.partitions.unplaced(), Offsets::from([(place.clone(), 7.into())]));
    assert_eq!(before.len(), 1);
    // Others come and go, which is nothing to it.
    consumer.partitions.assign([place.clone(), TopicPartition::new("u", 0)]);
    consumer.partitions.assign([place.clone()]);
    assert!(consumer.partitions.unplaced().is_empty(), "it is looked up already");
    // It goes to another member and comes back.
    consumer.partitions.assign([]);
    consumer.partitions.assign([place.clone()]);
    consumer.placed(&before, Ok(old.clone())).unwrap();
    assert_eq!(consumer.known_position(&place), None);
    let after = consumer.partitions.unplaced();
    consumer.placed(&after, Ok(old)).unwrap();
    assert_eq!(consumer.known_position(&place), Some(7));
}

#[tokio::test]
async fn who_unsubscribes_and_does_not_wait_for_it_may_commit_by_hand() {
    let broker = Scripted::start(|asked| other(asked, &[1]));
    let mut consumer = Consumer::new(Cluster::new(&broker.address), of_group());
    consumer.subscribe(&["t"]).unwrap();
    let group = make_member(&consumer, 1);
    let impatient = tokio::time::timeout(Duration::from_millis(50), consumer.unsubscribe());
    assert!(impatient.await.is_err(), "nobody answers LeaveGroup");
    consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
    assert_eq!(group.generation().unwrap(), Generation::none());
}

#[tokio::test]
async fn a_subscription_joins_when_the_commit_of_the_one_before_it_is_over() {
    let config = ConsumerConfig { api_timeout: Duration::from_millis(100), ..of_group() };
    let mut consumer = Consumer::new(Cluster::new("127.0.0.1:1"), config);
    let attempt = |consumer: &Consumer| consumer.subscription.as_ref().unwrap().attempt;
    consumer.subscribe(&["t"]).unwrap();
    consumer.owed = Offsets::from([(TopicPartition::new("t", 0), 7.into())]);
    consumer.rebalance();
    assert_eq!(attempt(&consumer), 1, "it settles first");
    consumer.subscribe(&["u"]).unwrap();
    consumer.rebalance();
    assert_eq!(attempt(&consumer), 2, "it has nothing to commit, and waits all the same");
    tokio::time::timeout(Duration::from_secs(20), consumer.drain_commits()).await.expect("it is over");
    assert_eq!(attempt(&consumer), 2, "that was another's");
    consumer.rebalance();
    assert_eq!(attempt(&consumer), 3, "it joins");
}

#[test]
fn commits_go_on_when_the_runtime_of_the_first_one_is_gone() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let broker_of = runtime();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let answer = move |asked: &Asked| match asked.key() {
        ApiKey::OffsetCommit => commits(asked, &noted),
        _ => other(asked, &[1]),
    };
    let broker = broker_of.block_on(async { Scripted::start(answer) });
    let mut consumer = Consumer::new(Cluster::new(&broker.address), of_group());
    let offsets = || Offsets::from([(TopicPartition::new("t", 0), 7.into())]);
    runtime().block_on(async { consumer.commit_offsets_async(offsets(), Box::new(|_, _| {})) }).unwrap();
    let told = Arc::new(Mutex::new(false));
    let heard = told.clone();
    let again = async {
        consumer.commit_offsets_async(offsets(), Box::new(move |_, _| *heard.lock() = true)).unwrap();
        consumer.drain_commits().await;
    };
    broker_of.block_on(async { tokio::time::timeout(Duration::from_secs(20), again).await }).expect("it is told of");
    assert!(*told.lock());
    assert_eq!(seen.lock()[..], [7], "the first was never sent");
}

#[test]
fn a_rebalance_does_not_wait_for_commits_that_are_lost() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut consumer = Consumer::new(Cluster::new("127.0.0.1:1"), of_group());
    let attempt = |consumer: &Consumer| consumer.subscription.as_ref().unwrap().attempt;
    runtime().block_on(async {
        consumer.subscribe(&["t"]).unwrap();
        let group = make_member(&consumer, 1);
        let offsets = Offsets::from([(TopicPartition::new("t", 0), 7.into())]);
        consumer.commit_offsets_async(offsets, Box::new(|_, _| {})).unwrap();
        group.membership.lock().rejoin = true;
        consumer.rebalance();
        assert_eq!(attempt(&consumer), 1, "it waits");
    });
    runtime().block_on(async {
        consumer.tell_commits();
        consumer.rebalance();
    });
    assert_eq!(attempt(&consumer), 2, "it joins");
}

#[tokio::test]
async fn settings_that_contradict_one_another_are_told_by_the_first_call() {
    let config = ConsumerConfig { session_timeout: Duration::from_secs(1), ..of_group() };
    let mut consumer = Consumer::new(Cluster::new("127.0.0.1:1"), config);
    assert!(matches!(consumer.subscribe(&["t"]), Err(ClientError::Config(_))));
    assert!(matches!(consumer.assign(&[TopicPartition::new("t", 0)]), Err(ClientError::Config(_))));
    assert!(matches!(consumer.commit_async(), Err(ClientError::Config(_))));
}

#[tokio::test]
async fn a_leader_that_says_nothing_of_a_partition_is_asked_again_without_haste() {
    let broker = Scripted::start(|asked| match asked.key() {
        ApiKey::ListOffsets => asked.answer::<ListOffsetsRequest>(&ListOffsetsResponse::default()),
        _ => other(asked, &[1]),
    });
    let config = ConsumerConfig { reset: Reset::Earliest, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(Cluster::new(&broker.address), config);
    consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
    let started = Moment::now();
    poll_until(&mut consumer, || started.elapsed() > Duration::from_millis(600)).await;
    assert!((2..10).contains(&broker.count(ApiKey::ListOffsets)), "{}", broker.count(ApiKey::ListOffsets));
}

#[tokio::test]
async fn what_a_broker_says_of_a_partition_names_it() {
    let broker = Scripted::start(|asked| match asked.key() {
        ApiKey::Fetch => {
            let topic = |topic: &FetchTopic| {
                let data = PartitionData::default().with_error_code(ErrorCode::OffsetOutOfRange.code());
                let topic =
                    FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_topic_id(topic.topic_id);
                topic.with_partitions(vec![data])
            };
            let topics = asked.read::<FetchRequest>().topics.iter().map(topic).collect();
            asked.answer::<FetchRequest>(&FetchResponse::default().with_responses(topics))
        }
        _ => other(asked, &[1]),
    });
    let config = ConsumerConfig { reset: Reset::None, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(Cluster::new(&broker.address), config);
    let place = TopicPartition::new("t", 0);
    consumer.assign(std::slice::from_ref(&place)).unwrap();
    consumer.seek(&place, 5).unwrap();
    let refused = async {
        loop {
            if let Err(error) = consumer.poll(Duration::from_millis(20)).await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(20), refused).await.expect("it is told").to_string();
    assert!(error.starts_with(&format!("{} says: no offset to read t-0 from: ", broker.address)), "{error}");
}

#[test]
fn a_partition_that_is_assigned_twice_is_one_and_goes_on_where_it_stands() {
    let mut partitions = Partitions::default();
    let at = |index| TopicPartition::new("t", index);
    partitions.assign([at(0), at(0), at(1)]);
    assert_eq!(partitions.len(), 2);
    partitions.get_mut(&at(0)).unwrap().seek(7, -1);
    partitions.get_mut(&at(1)).unwrap().seek(9, -1);
    partitions.assign([at(1), at(2), at(0)]);
    let positions = [0, 1, 2].map(|index| partitions.get(&at(index)).unwrap().position);
    assert_eq!(positions, [Some(7), Some(9), None]);
    let shared = |partitions: &Partitions| partitions.shared().next().map(|(place, _)| place.clone()).unwrap();
    let before = shared(&partitions);
    partitions.assign([at(0)]);
    assert!(Arc::ptr_eq(&before, &shared(&partitions)), "named once");
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
