//! The runtime of coordinator partitions on a real log over a disk in memory, with a clock moved by hand.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_base_env::disk::OpenMode;
use millstream_base_env::faulty::{FaultyDisk, Operation};
use millstream_base_env::{Clock, Disk, task};
use millstream_broker_coordinator::group::ask::{GroupConfig, JoinAsk, ListFilter, Stability};
use millstream_broker_coordinator::step::TransactionResult;
use millstream_broker_log::{LogConfig, LogDir, TransactionSupport, VerificationGuard};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use millstream_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use millstream_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, OffsetCommitRequest, OffsetCommitResponse,
    ProducerId, StrBytes, TopicName, TxnOffsetCommitRequest,
};
use uuid::Uuid;

use crate::coord::answer::Answer;
use crate::coord::groups::{GroupCoordinator, Marker};
use crate::coord::internal_topics::OFFSETS;
use crate::coord::shard::Phase;
use crate::coord::storage::Storage;
use crate::coord::timer::Timer;
use crate::replica::partition::{Partition, Role};

struct World {
    disk: Arc<FaultyDisk>,
    clock: Clock,
    timer: Timer,
    partition: Arc<Partition>,
    groups: GroupCoordinator,
}

fn role(leader: i32, leader_epoch: i32) -> Role {
    Role { leader, leader_epoch, partition_epoch: 0, isr: Arc::from([1]), replicas: Arc::from([1]) }
}

impl World {
    /// A node 1 that leads the only partition of the offsets topic.
    fn new() -> Self {
        World::with(LogConfig::default())
    }

    fn with(config: LogConfig) -> Self {
        let disk = FaultyDisk::new(7);
        let clock = Clock::manual(1_700_000_000_000);
        let path = Path::new("/data");
        let dir = LogDir::open(Disk::Faulty(disk.clone()), clock.clone(), path).expect("the disk is fresh");
        let log = dir.open_partition(OFFSETS, 0, Uuid::from_u128(9), Arc::new(config)).expect("the disk is fresh");
        let partition = Partition::new(OFFSETS.into(), Uuid::from_u128(9), 0, 1, log, role(1, 0), 1);
        let timer = Timer::new(clock.clone());
        let groups = coordinator(&clock, &timer);
        let world = World { disk, clock, timer, partition: Arc::new(partition), groups };
        world.groups.shards().lead(0, Storage::new(world.partition.clone(), 0));
        world
    }

    fn commit(&self, offset: i64) -> i16 {
        now(self.ask_commit(offset)).topics[0].partitions[0].error_code
    }

    fn ask_commit(&self, offset: i64) -> Answer<OffsetCommitResponse> {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group("s"))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        self.groups.commit(request, 9)
    }

    /// (offset, error of the partition, error of the group)
    fn fetch(&self) -> (i64, i16, i16) {
        fetch(&self.groups)
    }
}

fn coordinator(clock: &Clock, timer: &Timer) -> GroupCoordinator {
    GroupCoordinator::new(clock.clone(), timer.clone(), GroupConfig::default(), 1)
}

fn fetch(groups: &GroupCoordinator) -> (i64, i16, i16) {
    let topic = OffsetFetchRequestTopics::default().with_name(name("t")).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequestGroup::default().with_group_id(group("s")).with_topics(Some(vec![topic]));
    let response = now(groups.fetch(request, Stability::Required, 9));
    match response.topics.first() {
        Some(topic) => (topic.partitions[0].committed_offset, topic.partitions[0].error_code, 0),
        None => (-1, 0, response.error_code),
    }
}

fn now<T>(answer: Answer<T>) -> T {
    match answer {
        Answer::Now(value) => value,
        Answer::Later(_) => panic!("the answer is parked"),
    }
}

async fn soon<T>(answer: Answer<T>) -> T {
    match answer {
        Answer::Now(value) => value,
        Answer::Later(future) => {
            tokio::time::timeout(Duration::from_secs(20), future).await.expect("the answer is lost")
        }
    }
}

fn group(id: &'static str) -> GroupId {
    GroupId(StrBytes::from_static_str(id))
}

fn name(topic: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(topic))
}

fn join(groups: &GroupCoordinator) -> Answer<JoinGroupResponse> {
    join_as(groups, "g")
}

fn join_as(groups: &GroupCoordinator, id: &'static str) -> Answer<JoinGroupResponse> {
    let protocol = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
    let request = JoinGroupRequest::default()
        .with_group_id(group(id))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    let member_uuid = Uuid::from_u128(1);
    groups.join(JoinAsk { request, version: 3, client_id: "c".into(), client_host: "/h".into(), member_uuid })
}

#[test]
fn a_commit_is_answered_at_once_and_found_again_by_the_next_leader() {
    let world = World::new();
    assert_eq!(world.commit(5), 0);
    assert_eq!(world.fetch(), (5, 0, 0));
    assert_eq!(world.partition.log().high_watermark(), 1, "one record in one batch");
    let next = coordinator(&world.clock, &world.timer);
    let shard_of_next = next.shards();
    assert_eq!(fetch(&next).2, ErrorCode::NotCoordinator.code());
    // A log that is not empty is replayed on a thread that may block; without a runtime that is this one.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    runtime.block_on(async {
        shard_of_next.lead(0, Storage::new(world.partition.clone(), 0));
        while fetch(&next).2 == ErrorCode::CoordinatorLoadInProgress.code() {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(fetch(&next), (5, 0, 0));
}

#[test]
fn a_transaction_counts_from_its_marker_on_and_after_replay() {
    let world = World::new();
    world.commit(5);
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(8);
    let topic = TxnOffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_group_id(group("s"))
        .with_producer_id(ProducerId(3))
        .with_topics(vec![topic]);
    let unverified = world.groups.commit_transactional(request.clone(), VerificationGuard::NONE);
    assert_eq!(now(unverified).topics[0].partitions[0].error_code, ErrorCode::InvalidTxnState.code());
    let guard = world.partition.log().begin_verification(3, 0, -1, TransactionSupport::V1).expect("a new producer");
    assert_eq!(now(world.groups.commit_transactional(request, guard)).topics[0].partitions[0].error_code, 0);
    assert_eq!(world.fetch(), (-1, ErrorCode::UnstableOffsetCommit.code(), 0));
    let marker = Marker {
        producer_id: 3,
        producer_epoch: 0,
        coordinator_epoch: 0,
        result: TransactionResult::Commit,
        transaction_version: 0,
    };
    assert_eq!(now(world.groups.end_transaction(0, marker)), Ok(()));
    assert_eq!(world.fetch(), (8, 0, 0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        world.groups.shards().resign(0);
        assert_eq!(world.fetch().2, ErrorCode::NotCoordinator.code());
        world.partition.change_role(role(1, 1));
        world.groups.shards().lead(0, Storage::new(world.partition.clone(), 1));
        while world.fetch().2 != 0 {
            task::sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(world.fetch(), (8, 0, 0), "the log's own records and marker give it again");
}

#[test]
fn a_full_disk_is_an_answer_and_changes_nothing() {
    let world = World::new();
    world.commit(5);
    world.disk.fail_next(Operation::Write, 28);
    assert_eq!(world.commit(6), ErrorCode::NotCoordinator.code());
    assert_eq!(world.fetch(), (5, 0, 0));
    assert_eq!(world.commit(7), 0);
    assert_eq!(world.fetch(), (7, 0, 0));
}

#[test]
fn a_coordinator_of_an_earlier_epoch_appends_nothing() {
    let world = World::new();
    world.partition.change_role(role(1, 1));
    assert_eq!(world.commit(5), ErrorCode::NotCoordinator.code());
    world.partition.change_role(role(2, 2));
    assert_eq!(world.commit(5), ErrorCode::NotCoordinator.code());
    assert_eq!(world.partition.log().log_end_offset(), 0);
}

#[tokio::test]
async fn resigning_answers_whoever_waits_at_once() {
    let world = World::new();
    let parked = join(&world.groups);
    assert!(matches!(parked, Answer::Later(_)));
    world.groups.shards().resign(0);
    assert_eq!(soon(parked).await.error_code, ErrorCode::NotCoordinator.code());
    assert_eq!(world.commit(1), ErrorCode::NotCoordinator.code());
    let heartbeat = HeartbeatRequest::default().with_group_id(group("g"));
    assert_eq!(now(world.groups.heartbeat(heartbeat)).error_code, ErrorCode::NotCoordinator.code());
    assert!(world.groups.list(&ListFilter::default()).groups.is_empty());
}

#[tokio::test]
async fn the_timer_wakes_a_shard_at_its_time() {
    let world = World::new();
    world.timer.start();
    let parked = join(&world.groups);
    world.clock.advance(3000);
    // The task sleeps by the machine's clock; registering something earlier makes it look again.
    let earlier = world.timer.slot();
    earlier.set(0, Box::new(|| {}));
    let response = soon(parked).await;
    assert_eq!((response.error_code, response.generation_id), (0, 1));
}

#[test]
fn requests_are_refused_before_a_coordinator_is_looked_up() {
    let world = World::new();
    let empty = HeartbeatRequest::default();
    assert_eq!(now(world.groups.heartbeat(empty)).error_code, ErrorCode::InvalidGroupId.code());
    let clock = Clock::manual(0);
    let nowhere = coordinator(&clock, &Timer::new(clock.clone()));
    let empty = HeartbeatRequest::default();
    assert_eq!(now(nowhere.heartbeat(empty)).error_code, ErrorCode::InvalidGroupId.code());
    assert_eq!(now(join(&nowhere)).error_code, ErrorCode::NotCoordinator.code());
    let described = now(nowhere.describe(vec![group("a"), group("b")], 5));
    assert_eq!(described.iter().map(|one| one.error_code).collect::<Vec<_>>(), [16, 16]);
    assert_eq!(now(nowhere.delete(vec![group("a")])).results[0].error_code, 16);
}

/// A runtime whose one blocking thread is held until the answer is dropped: no fsync begins before.
fn with_blocked_disk() -> (tokio::runtime::Runtime, std::sync::mpsc::Sender<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build().expect("a runtime");
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let enter = runtime.enter();
    task::spawn_blocking("hold", move || {
        // Ends when the other side is dropped.
        let _ = held.recv();
    });
    drop(enter);
    (runtime, hold)
}

#[test]
fn a_commit_that_needs_no_fsync_does_not_overtake_one_that_does() {
    let world = World::with(LogConfig { flush_messages: 2, ..LogConfig::default() });
    let (runtime, hold) = with_blocked_disk();
    let _enter = runtime.enter();
    assert_eq!(world.commit(1), 0, "the first of two asks for no fsync");
    let second = world.ask_commit(2);
    let third = world.ask_commit(3);
    assert!(matches!((&second, &third), (Answer::Later(_), Answer::Later(_))), "the third is behind the second");
    assert_eq!(world.fetch(), (1, 0, 0), "nothing counts before it is on the disk");
    drop(hold);
    runtime.block_on(async {
        for answer in [second, third] {
            assert_eq!(soon(answer).await.topics[0].partitions[0].error_code, 0);
        }
    });
    assert_eq!(world.fetch(), (3, 0, 0), "the last of the log is the last here");
}

#[test]
fn commits_behind_an_fsync_count_in_the_order_of_the_log() {
    let world = World::with(LogConfig { flush_messages: 1, ..LogConfig::default() });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let _enter = runtime.enter();
    for round in 0..20 {
        let answers: Vec<_> = (0..100).map(|offset| world.ask_commit(round * 100 + offset)).collect();
        runtime.block_on(async {
            for answer in answers {
                assert_eq!(soon(answer).await.topics[0].partitions[0].error_code, 0);
            }
        });
        assert_eq!(world.fetch(), (round * 100 + 99, 0, 0));
    }
}

#[test]
fn a_failed_fsync_is_an_answer_for_all_that_waited_for_it() {
    let world = World::with(LogConfig { flush_messages: 1, ..LogConfig::default() });
    let (runtime, hold) = with_blocked_disk();
    let _enter = runtime.enter();
    let first = world.ask_commit(1);
    world.disk.fail_next(Operation::Sync, 5);
    drop(hold);
    let error = runtime.block_on(soon(first)).topics[0].partitions[0].error_code;
    assert_eq!(error, ErrorCode::NotCoordinator.code());
}

#[test]
fn a_shard_has_one_entry_in_the_timer_however_often_it_wakes() {
    let world = World::new();
    for id in ["a", "b", "c", "d", "e", "f"] {
        let parked = join_as(&world.groups, id);
        assert!(matches!(parked, Answer::Later(_)));
        world.clock.advance(3000);
        world.timer.fire();
        assert_eq!(world.timer.waiting(), 1);
    }
}

#[test]
fn setting_the_clock_wakes_no_shard() {
    let world = World::new();
    let parked = join(&world.groups);
    world.clock.step_wall(3_600_000);
    let wait_ms = world.timer.fire().expect("the initial delay is under way");
    assert_eq!(wait_ms, 3000);
    world.clock.step_wall(-7_200_000);
    world.clock.advance(3000);
    world.timer.fire();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    assert_eq!(runtime.block_on(soon(parked)).error_code, 0);
}

#[test]
fn a_coordinator_does_not_go_on_with_a_part_of_its_log_and_tries_again() {
    let world = World::new();
    world.commit(5);
    world.partition.log().roll().expect("the disk works");
    world.commit(6);
    let path = Path::new("/data").join(format!("{OFFSETS}-0")).join("00000000000000000000.log");
    let disk = Disk::Faulty(world.disk.clone());
    let file = disk.open(&path, OpenMode::ReadWrite).expect("the segment is there");
    let mut whole = [0; 61];
    file.read_at(&mut whole, 0).expect("the disk works");
    file.write_at(0, &[std::io::IoSlice::new(&[0; 61])]).expect("the disk works");
    let next = coordinator(&world.clock, &world.timer);
    let phases = || next.shards().count([Phase::Loading, Phase::Failed, Phase::Active]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    runtime.block_on(async {
        next.shards().lead(0, Storage::new(world.partition.clone(), 0));
        next.shards().settled().await;
        assert_eq!(phases(), [0, 1, 0], "a load that failed is a load that ended");
        assert_eq!(fetch(&next).2, ErrorCode::NotCoordinator.code());
        assert_eq!(next.list(&ListFilter::default()).error_code, 0);
        file.write_at(0, &[std::io::IoSlice::new(&whole)]).expect("the disk works");
        while fetch(&next).2 != 0 {
            task::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!((fetch(&next), phases()), ((6, 0, 0), [0, 0, 1]));
}

#[test]
fn a_load_under_way_is_waited_for_and_one_that_moved_away_is_not_tried_again() {
    let world = World::new();
    world.commit(5);
    let (runtime, hold) = with_blocked_disk();
    let _enter = runtime.enter();
    let next = coordinator(&world.clock, &world.timer);
    runtime.block_on(next.shards().settled());
    next.shards().lead(0, Storage::new(world.partition.clone(), 0));
    let settled = || async { tokio::time::timeout(Duration::from_millis(20), next.shards().settled()).await.is_ok() };
    assert!(!runtime.block_on(settled()), "the replay has not begun");
    next.shards().resign(0);
    drop(hold);
    runtime.block_on(next.shards().settled());
    assert_eq!(next.shards().count([Phase::Away]), [1]);
}
