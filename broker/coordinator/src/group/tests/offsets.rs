//! OffsetCommit, OffsetFetch, OffsetDelete, DeleteGroups, transactions, retention.

use millstream_protocol::error_code::ErrorCode as E;
use millstream_protocol::messages::OffsetDeleteRequest;
use millstream_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use millstream_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use uuid::Uuid;

use super::bench::{Appending, Bench, Commit, Join, group_id, topic_name};
use crate::group::ask::{DeletedTopic, GroupRequest, GroupResponse, Stability};
use crate::step::{AppendError, TransactionResult};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[test]
fn a_commit_by_nobody_makes_a_group_that_only_holds_offsets() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit(&Commit::simple("s")), 0);
    assert_eq!(bench.fetch("s", "t", Stability::Any), (7, 0));
    assert_eq!(bench.fetch("s", "u", Stability::Any), (-1, 0));
    assert_eq!(bench.fetch("none", "t", Stability::Any), (-1, 0));
    assert!(bench.shard.groups().next().expect("it was made").is_simple());
    assert_eq!(bench.replayed().offsets(), bench.shard.offsets());
}

#[test]
fn who_may_commit() {
    let mut bench = Bench::new();
    let ids = bench.stable("g", 2);
    let of = |member: &str, generation| Commit { member: member.into(), generation, ..Commit::simple("g") };
    for (commit, expected) in [
        (of(&ids[0], 1), E::None),
        (of(&ids[0], 2), E::IllegalGeneration),
        (of(&ids[0], -1), E::IllegalGeneration),
        (of("stranger", 1), E::UnknownMemberId),
        (of("", -1), E::UnknownMemberId),
        (Commit { instance: Some("i"), ..of("", -1) }, E::UnknownMemberId),
        (Commit { generation: 1, ..Commit::simple("none") }, E::GroupIdNotFound),
        (Commit { generation: 1, version: 8, ..Commit::simple("none") }, E::IllegalGeneration),
    ] {
        assert_eq!(bench.commit(&commit), expected.code(), "{} {}", commit.member, commit.generation);
    }
    // While others join, the previous generation may still commit; while the assignment is awaited nobody may.
    let token = bench.join(&Join { member: ids[0].clone(), ..Join::of("g") });
    assert_eq!(bench.commit(&of(&ids[1], 1)), 0);
    bench.join(&Join { member: ids[1].clone(), ..Join::of("g") });
    assert_eq!(bench.joined(token).generation_id, 2);
    assert_eq!(bench.commit(&of(&ids[1], 2)), E::RebalanceInProgress.code());
    assert_eq!(bench.commit(&of(&ids[1], 1)), E::IllegalGeneration.code());
    assert_eq!(bench.commit_transactional("g", 1, 3), 0, "transactions do not ask for the state");
}

#[test]
fn a_commit_of_another_instance_is_fenced() {
    let mut bench = Bench::new();
    let token = bench.join(&Join { instance: Some("i"), ..Join::of("g") });
    bench.wait(3000);
    let id = bench.joined(token).member_id.to_string();
    bench.sync("g", &id, 1, std::slice::from_ref(&id));
    let commit = Commit { member: "former".into(), instance: Some("i"), generation: 1, ..Commit::simple("g") };
    assert_eq!(bench.commit(&commit), E::FencedInstanceId.code());
    assert_eq!(bench.commit(&Commit { member: id, ..commit }), 0);
}

#[test]
fn metadata_has_a_limit_in_characters() {
    let mut bench = Bench::new();
    let of = |metadata: String| Commit { metadata, ..Commit::simple("s") };
    assert_eq!(bench.commit(&of("m".repeat(4096))), 0);
    assert_eq!(bench.commit(&of("m".repeat(4097))), E::OffsetMetadataTooLarge.code());
    assert_eq!(bench.commit(&of("\u{e9}".repeat(4096))), 0, "8192 bytes, 4096 characters");
    assert_eq!(bench.log.len(), 2, "a refused partition writes nothing");
    let group = OffsetFetchRequestGroup::default().with_group_id(group_id("s")).with_topics(None);
    let token = bench.ask(GroupRequest::Fetch { group, stability: Stability::Any });
    let Some(GroupResponse::Fetch(response)) = bench.reply(token) else { panic!("no answer") };
    let partition = &response.topics[0].partitions[0];
    assert_eq!(partition.metadata.as_deref(), Some("\u{e9}".repeat(4096).as_str()));
}

#[test]
fn an_offset_of_another_topic_id_is_none() {
    let mut bench = Bench::new();
    bench.commit(&Commit::simple("s"));
    for (id, offset) in [(Uuid::nil(), 7), (Uuid::from_u128(1), 7), (Uuid::from_u128(2), -1)] {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic_name("t"))
            .with_topic_id(id)
            .with_partition_indexes(vec![0]);
        let group = OffsetFetchRequestGroup::default().with_group_id(group_id("s")).with_topics(Some(vec![topic]));
        let token = bench.ask(GroupRequest::Fetch { group, stability: Stability::Any });
        let Some(GroupResponse::Fetch(response)) = bench.reply(token) else { panic!("no answer") };
        assert_eq!(response.topics[0].partitions[0].committed_offset, offset);
    }
}

#[test]
fn a_commit_that_is_not_stored_did_not_happen() {
    let mut bench = Bench::new();
    bench.commit(&Commit::simple("s"));
    bench.appending = Appending::Fails(AppendError::Storage);
    assert_eq!(bench.commit(&Commit { offset: 9, ..Commit::simple("s") }), E::NotCoordinator.code());
    assert_eq!(bench.fetch("s", "t", Stability::Any), (7, 0));
}

#[test]
fn offsets_of_a_transaction_count_from_its_marker_on() {
    let mut bench = Bench::new();
    bench.commit(&Commit::simple("s"));
    assert_eq!(bench.commit_transactional("s", 1, 20), 0);
    assert_eq!(bench.fetch("s", "t", Stability::Any), (7, 0));
    assert_eq!(bench.fetch("s", "t", Stability::Required), (-1, E::UnstableOffsetCommit.code()));
    assert_eq!(bench.replayed().offsets(), bench.shard.offsets());
    bench.end_transaction(1, TransactionResult::Commit);
    assert_eq!(bench.fetch("s", "t", Stability::Required), (20, 0));
    bench.commit_transactional("s", 2, 30);
    bench.end_transaction(2, TransactionResult::Abort);
    assert_eq!(bench.fetch("s", "t", Stability::Required), (20, 0));
    // A plain commit after the transactional one lies later in the log and wins.
    bench.commit_transactional("s", 3, 40);
    bench.commit(&Commit { offset: 41, ..Commit::simple("s") });
    bench.end_transaction(3, TransactionResult::Commit);
    assert_eq!(bench.fetch("s", "t", Stability::Required), (41, 0));
    bench.end_transaction(99, TransactionResult::Commit);
    assert_eq!(bench.replayed().offsets(), bench.shard.offsets());
    assert_eq!(bench.commit_transactional("none", 1, 1), 0, "a group is made for these too");
}

fn delete_offsets(bench: &mut Bench, group: &str, topic: &str) -> (i16, Vec<i16>) {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topic = OffsetDeleteRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]);
    let token = bench.ask(GroupRequest::DeleteOffsets(request));
    match bench.reply(token) {
        Some(GroupResponse::DeleteOffsets(response)) => (
            response.error_code,
            response.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect(),
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn offsets_are_deleted_unless_members_are_subscribed() {
    let mut bench = Bench::new();
    assert_eq!(delete_offsets(&mut bench, "none", "t"), (E::GroupIdNotFound.code(), vec![]));
    let ids = bench.stable("g", 1);
    let of = |topic| Commit { member: ids[0].clone(), generation: 1, topic, ..Commit::simple("g") };
    bench.commit(&of("t"));
    bench.commit(&of("u"));
    assert_eq!(delete_offsets(&mut bench, "g", "t"), (0, vec![E::GroupSubscribedToTopic.code()]));
    assert_eq!(delete_offsets(&mut bench, "g", "u"), (0, vec![0]));
    assert_eq!(delete_offsets(&mut bench, "g", "never"), (0, vec![0]));
    assert_eq!(bench.fetch("g", "u", Stability::Any), (-1, 0));
    let token = bench.join(&Join { protocol_type: "connect", version: 3, ..Join::of("c") });
    bench.wait(3000);
    bench.joined(token);
    assert_eq!(delete_offsets(&mut bench, "c", "t"), (E::NonEmptyGroup.code(), vec![]));
    assert_eq!(bench.replayed().offsets(), bench.shard.offsets());
}

#[test]
fn an_empty_group_is_deleted_with_its_offsets() {
    let mut bench = Bench::new();
    bench.stable("g", 1);
    bench.commit(&Commit::simple("s"));
    bench.commit_transactional("s", 5, 1);
    let token = bench.ask(GroupRequest::Delete(vec![group_id("g"), group_id("s"), group_id("none")]));
    let Some(GroupResponse::Delete(response)) = bench.reply(token) else { panic!("no answer") };
    let errors: Vec<i16> = response.results.iter().map(|one| one.error_code).collect();
    assert_eq!(errors, [E::NonEmptyGroup.code(), 0, E::GroupIdNotFound.code()]);
    assert_eq!(bench.state("s"), "none");
    assert_eq!(bench.shard.offsets().count(), 0);
    bench.end_transaction(5, TransactionResult::Commit);
    assert_eq!(bench.fetch("s", "t", Stability::Any), (-1, 0), "a tombstone takes pending offsets along");
    let replayed = bench.replayed();
    assert_eq!(replayed.offsets(), bench.shard.offsets());
    assert_eq!(replayed.groups().count(), 1);
}

#[test]
fn offsets_expire() {
    let mut bench = Bench::new();
    bench.commit(&Commit::simple("s"));
    bench.commit(&Commit { retention_ms: 1000, ..Commit::simple("short") });
    bench.wait(DAY_MS);
    assert_eq!((bench.state("short"), bench.state("s")), ("none", "Empty"));
    // A subscribed topic of a live group does not expire, one that it left does.
    let ids = bench.stable("g", 1);
    for topic in ["t", "u"] {
        bench.commit(&Commit { member: ids[0].clone(), generation: 1, topic, ..Commit::simple("g") });
    }
    bench.commit_transactional("s", 1, 8);
    let mut held = Bench::new();
    held.commit(&Commit::simple("held"));
    held.commit_transactional("held", 1, 8);
    held.wait(8 * DAY_MS);
    assert_eq!(held.fetch("held", "t", Stability::Any), (7, 0), "an open transaction holds it");
    for _ in 0..(7 * DAY_MS / 9000 + 200) {
        bench.now_ms += 9000;
        assert_eq!(bench.heartbeat("g", &ids[0], 1), 0);
    }
    assert_eq!(bench.fetch("g", "t", Stability::Any), (7, 0));
    assert_eq!(bench.fetch("g", "u", Stability::Any), (-1, 0));
    // An empty group's offsets age from the time it became empty, not from the commit.
    bench.leave("g", &[(&ids[0], None)]);
    bench.wait(6 * DAY_MS);
    assert_eq!(bench.fetch("g", "t", Stability::Any), (7, 0));
    bench.wait(2 * DAY_MS);
    assert_eq!((bench.fetch("g", "t", Stability::Any), bench.state("g")), ((-1, 0), "none"));
    assert_eq!(bench.replayed().offsets(), bench.shard.offsets());
}

#[test]
fn offsets_of_a_deleted_topic_go() {
    let mut bench = Bench::new();
    bench.commit(&Commit::simple("s"));
    bench.commit(&Commit { topic: "u", ..Commit::simple("s") });
    let gone = |id| GroupRequest::TopicsDeleted(vec![DeletedTopic { name: "t".into(), id: Uuid::from_u128(id) }]);
    bench.ask(gone(2));
    assert_eq!(bench.fetch("s", "t", Stability::Any), (7, 0), "it was another topic of this name");
    bench.ask(gone(1));
    assert_eq!(bench.fetch("s", "t", Stability::Any), (-1, 0));
    assert_eq!(bench.fetch("s", "u", Stability::Any), (7, 0));
    assert_eq!(bench.replayed().offsets(), bench.shard.offsets());
}
