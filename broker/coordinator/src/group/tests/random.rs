//! Random events and random bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::bench::{Appending, Bench, Commit, Join, subscription};
use crate::group::GroupShard;
use crate::group::ask::{GroupConfig, GroupRequest, Stability};
use crate::record_group::{OffsetValue, decode_group, decode_key, decode_offset};
use crate::step::{AppendError, Event, Machine, Replayed, TransactionResult};

#[derive(Clone, Debug)]
enum Act {
    Join { member: usize, instance: Option<&'static str>, version: i16, protocol: &'static str },
    Sync { member: usize },
    Heartbeat { member: usize },
    Leave { member: usize },
    Commit { member: Option<usize>, offset: i64 },
    TxnCommit { producer: i64, offset: i64 },
    Marker { producer: i64, commit: bool },
    DeleteGroup,
    Wait { ms: i64 },
    FailOne,
}

fn act() -> impl Strategy<Value = Act> {
    let instance = prop_oneof![3 => Just(None), 1 => Just(Some("i")), 1 => Just(Some("j"))];
    let protocol = prop_oneof![4 => Just("range"), 1 => Just("sticky")];
    prop_oneof![
        6 => (0..6usize, instance, prop_oneof![Just(3i16), Just(8), Just(9)], protocol)
            .prop_map(|(member, instance, version, protocol)| Act::Join { member, instance, version, protocol }),
        6 => (0..6usize).prop_map(|member| Act::Sync { member }),
        3 => (0..6usize).prop_map(|member| Act::Heartbeat { member }),
        1 => (0..6usize).prop_map(|member| Act::Leave { member }),
        3 => (proptest::option::of(0..6usize), 0..100i64).prop_map(|(member, offset)| Act::Commit { member, offset }),
        2 => (0..3i64, 0..100i64).prop_map(|(producer, offset)| Act::TxnCommit { producer, offset }),
        2 => (0..3i64, any::<bool>()).prop_map(|(producer, commit)| Act::Marker { producer, commit }),
        1 => Just(Act::DeleteGroup),
        4 => prop_oneof![0..4000i64, 0..70_000i64].prop_map(|ms| Act::Wait { ms }),
        1 => Just(Act::FailOne),
    ]
}

/// What the members of the test know of themselves.
#[derive(Default)]
struct Known {
    ids: BTreeMap<usize, String>,
    generation: i32,
}

fn play(bench: &mut Bench, known: &mut Known, act: &Act) {
    let id = |member: usize| known.ids.get(&member).cloned().unwrap_or_default();
    match act {
        Act::Join { member, instance, version, protocol } => {
            let protocols = vec![(*protocol, subscription(&["t"])), ("both", Bytes::new())];
            bench.join(&Join {
                member: id(*member),
                instance: *instance,
                version: *version,
                protocols,
                ..Join::of("g")
            });
        }
        Act::Sync { member } => {
            let all: Vec<String> = known.ids.values().cloned().collect();
            bench.sync("g", &id(*member), known.generation, &all);
        }
        Act::Heartbeat { member } => {
            bench.heartbeat("g", &id(*member), known.generation);
        }
        Act::Leave { member } => {
            let id = id(*member);
            bench.leave("g", &[(&id, None)]);
        }
        Act::Commit { member, offset } => {
            let generation = if member.is_some() { known.generation } else { -1 };
            let member = member.map(id).unwrap_or_default();
            bench.commit(&Commit { member, generation, offset: *offset, ..Commit::simple("g") });
        }
        Act::TxnCommit { producer, offset } => {
            bench.commit_transactional("g", *producer, *offset);
        }
        Act::Marker { producer, commit } => {
            let result = if *commit { TransactionResult::Commit } else { TransactionResult::Abort };
            bench.end_transaction(*producer, result);
        }
        Act::DeleteGroup => {
            bench.ask(GroupRequest::Delete(vec![super::bench::group_id("g")]));
        }
        Act::Wait { ms } => bench.wait(*ms),
        Act::FailOne => {
            bench.appending = Appending::Fails(AppendError::TimedOut);
            bench.commit(&Commit::simple("other"));
            bench.appending = Appending::Works;
        }
    }
    learn(bench, known);
}

/// Members learn ids and generations from what the shard has, as if no answer were ever lost.
fn learn(bench: &Bench, known: &mut Known) {
    let Some(group) = bench.shard.groups().find(|group| &*group.id == "g") else { return };
    let ids = group.members.keys().chain(group.pending_joins.keys()).map(|id| id.to_string());
    known.ids = ids.take(6).enumerate().collect();
    known.generation = group.generation;
}

fn check(bench: &Bench, generation_before: i32) {
    let live = bench.shard.groups().find(|group| &*group.id == "g");
    if let Some(group) = live {
        assert!(group.generation >= generation_before || group.generation == 0, "generations only grow");
        let state = group.state().name();
        assert!(state != "Empty" || group.members.is_empty(), "{group:?}");
        assert!(!group.members.is_empty() || matches!(state, "Empty" | "PreparingRebalance"), "{group:?}");
        if let Some(leader) = &group.leader {
            assert!(group.members.contains_key(leader), "the leader is a member: {group:?}");
        }
        assert_eq!(group.leader.is_none(), group.members.is_empty());
        for (instance, id) in &group.static_members {
            assert_eq!(group.members[id].instance_id.as_ref(), Some(instance));
        }
    }
    let replayed = bench.replayed();
    assert_eq!(replayed.offsets(), bench.shard.offsets(), "replaying the log gives the same offsets");
    let stored = replayed.groups().find(|group| &*group.id == "g");
    if let (Some(live), Some(stored)) = (live, stored)
        && live.state().name() == "Stable"
    {
        assert_eq!(
            (live.generation, &live.leader, &live.protocol),
            (stored.generation, &stored.leader, &stored.protocol)
        );
        assert_eq!(live.protocol_type, stored.protocol_type);
    }
}

proptest! {
    #![proptest_config(crate::testing::fuzz(100))]

    #[test]
    fn groups_keep_their_promises(acts in proptest::collection::vec(act(), 1..120)) {
        let mut bench = Bench::with(GroupConfig { size_max: 5, ..GroupConfig::default() });
        let mut known = Known::default();
        for act in &acts {
            let before = if bench.state("g") == "none" { 0 } else { bench.generation("g") };
            play(&mut bench, &mut known, act);
            check(&bench, before);
        }
        // Everything that was asked is answered once by the time the shard is gone (twice fails in the bench).
        let before: usize = bench.replies.len();
        bench.event(Event::Unload);
        prop_assert!(bench.replies.len() >= before);
        let parked: usize = bench.shard.groups().flat_map(|group| group.members.values())
            .filter(|member| member.awaiting_join.is_some() || member.awaiting_sync.is_some()).count();
        prop_assert_eq!(parked, 0);
        prop_assert_eq!(bench.replies.len() as u64 + bench.taken, bench.tokens, "no answer is lost");
    }

    #[test]
    fn any_bytes_are_records(records in proptest::collection::vec(
        (proptest::collection::vec(any::<u8>(), 0..60), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80)), 0..20i16, 0..6i16),
        1..20,
    )) {
        let mut shard = GroupShard::new(GroupConfig::default().into());
        for (offset, (mut key, mut value, kind, version)) in records.into_iter().enumerate() {
            // Half of them get a type and a version that are looked into.
            if offset % 2 == 0 && key.len() >= 2 {
                key[..2].copy_from_slice(&kind.to_be_bytes());
            }
            if let Some(value) = value.as_mut().filter(|value| value.len() >= 2) {
                value[..2].copy_from_slice(&version.to_be_bytes());
            }
            let _ = (decode_key(&key), value.as_deref().map(decode_group), value.as_deref().map(decode_offset));
            shard.replay(Replayed {
                offset: offset as i64, timestamp: 0, key: Some(&key), value: value.as_deref(), producer_id: -1, producer_epoch: -1,
            });
        }
        let mut effects = crate::step::Effects::default();
        shard.loaded(crate::step::Now { wall_ms: 0, steady_ms: 0 }, 0, &mut effects);
    }

    #[test]
    fn a_damaged_group_is_no_panic(at in 0..200usize, with in any::<u8>(), cut in 0..200usize) {
        let mut bench = Bench::new();
        let ids = bench.stable("g", 2);
        bench.commit(&Commit { generation: 1, member: ids[0].clone(), ..Commit::simple("g") });
        bench.fetch("g", "t", Stability::Any);
        for batch in &bench.log {
            let record = &batch[61..];
            let mut damaged = record.to_vec();
            if let Some(byte) = damaged.get_mut(at) {
                *byte = with;
            }
            damaged.truncate(cut.max(1));
            let _ = (decode_key(&damaged), decode_group(&damaged), decode_offset(&damaged));
        }
    }

    #[test]
    fn offsets_are_read_as_written(offset in any::<i64>(), epoch in any::<i32>(), metadata in ".{0,40}", commit in any::<i64>(),
        expire in proptest::option::of(0..i64::MAX), id in any::<u128>()) {
        let value = OffsetValue {
            offset, leader_epoch: epoch, metadata: metadata.into(), commit_ms: commit, expire_ms: expire.unwrap_or(-1),
            topic_id: uuid::Uuid::from_u128(id),
        };
        let mut batch = crate::batch::BatchBuilder::new(5);
        crate::record_group::push_offset(&mut batch, "g", "t", 3, &value);
        let mut shard = GroupShard::new(GroupConfig::default().into());
        super::bench::replay_batch(&mut shard, &batch.finish(), 0);
        let mut expected = value;
        if expected.expire_ms >= 0 {
            // Version 1 has neither.
            expected.leader_epoch = -1;
            expected.topic_id = uuid::Uuid::nil();
        }
        prop_assert_eq!(shard.offsets().committed("g", "t", 3).map(|committed| &committed.value), Some(&expected));
        prop_assert_eq!(shard.undecoded(), 0);
    }
}
