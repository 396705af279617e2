//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use millstream_protocol::error_code::ErrorCode as E;
use millstream_protocol::messages::{JoinGroupRequest, StrBytes, SyncGroupRequest};

use super::bench::{Appending, Bench, Commit, Join, REBALANCE_MS, SESSION_MS, STRAY, config, group_id, subscription};
use crate::group::ask::GroupResponse;
use crate::group::ask::{GroupConfig, GroupRequest, ListFilter, Stability, check_join, check_sync};
use crate::step::{AppendError, Event};

#[test]
fn a_dynamic_member_is_told_its_id_and_must_come_back_with_it() {
    let mut bench = Bench::new();
    let token = bench.join(&Join::of("g"));
    let response = bench.joined(token);
    assert_eq!(response.error_code, E::MemberIdRequired.code());
    assert!(response.member_id.starts_with("client-"), "{:?}", response.member_id);
    assert_eq!(bench.log.len(), 1, "the empty record of the new group");
    // Before version 4 it is in at once.
    let token = bench.join(&Join { version: 3, ..Join::of("old") });
    assert!(bench.reply(token).is_none());
    assert_eq!(bench.state("old"), "PreparingRebalance");
}

#[test]
fn an_id_that_is_not_used_is_forgotten_after_the_session_timeout() {
    let mut bench = Bench::new();
    let token = bench.join(&Join::of("g"));
    let id = bench.joined(token).member_id.to_string();
    bench.wait(i64::from(SESSION_MS));
    let token = bench.join(&Join { member: id, ..Join::of("g") });
    assert_eq!(bench.joined(token).error_code, E::UnknownMemberId.code());
}

#[test]
fn the_first_rebalance_waits_and_is_extended_by_who_joins() {
    let mut bench = Bench::new();
    let (_, first) = bench.enter("g");
    bench.wait(2999);
    let (_, second) = bench.enter("g");
    bench.wait(2999);
    assert!(!bench.replies.contains_key(&first), "the delay runs once more");
    bench.wait(2);
    assert_eq!(bench.joined(first).generation_id, 1);
    assert_eq!(bench.joined(second).generation_id, 1);
    assert_eq!(bench.state("g"), "CompletingRebalance");
}

#[test]
fn the_initial_delay_ends_with_the_rebalance_timeout() {
    let mut bench = Bench::new();
    let (_, first) = bench.enter("g");
    for _ in 0..25 {
        bench.wait(2500);
        if bench.replies.contains_key(&first) {
            break;
        }
        let token = bench.join(&Join { version: 3, ..Join::of("g") });
        assert!(bench.now_ms < 1_000_000 + i64::from(REBALANCE_MS) + 3000, "{token:?}");
    }
    assert_eq!(bench.joined(first).error_code, 0);
}

#[test]
fn without_a_delay_the_first_member_is_answered_in_the_same_step() {
    let mut bench = Bench::with(GroupConfig { initial_rebalance_delay_ms: 0, ..config() });
    let (id, token) = bench.enter("g");
    let response = bench.joined(token);
    assert_eq!((response.generation_id, response.leader.to_string()), (1, id.clone()));
    assert_eq!(response.members.len(), 1);
    assert_eq!(response.members[0].metadata, subscription(&["t"]));
}

#[test]
fn the_leader_sees_everybody_and_the_others_nobody() {
    let mut bench = Bench::new();
    let (_, first) = bench.enter("g");
    let (_, second) = bench.enter("g");
    bench.wait(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    assert_eq!(first.leader, second.leader);
    assert_eq!(first.leader, first.member_id, "who came first leads");
    assert_eq!((first.members.len(), second.members.len()), (2, 0));
    assert_eq!(first.protocol_name.as_deref(), Some("range"));
    assert_eq!(first.protocol_type.as_deref(), Some("consumer"));
}

#[test]
fn the_assignment_is_stored_before_any_sync_is_answered() {
    let mut bench = Bench::new();
    let (a, first) = bench.enter("g");
    let (b, _) = bench.enter("g");
    bench.wait(6000);
    assert_eq!(bench.joined(first).leader.as_str(), a);
    let follower = bench.sync("g", &b, 1, &[]);
    bench.appending = Appending::Hangs;
    let leader = bench.sync("g", &a, 1, &[a.clone(), b.clone()]);
    assert!(!bench.replies.contains_key(&leader) && !bench.replies.contains_key(&follower));
    assert_eq!(bench.state("g"), "CompletingRebalance");
    bench.finish_appends();
    assert_eq!(bench.synced(leader).assignment, a.as_bytes());
    assert_eq!(bench.synced(follower).assignment, b.as_bytes());
    assert_eq!(bench.state("g"), "Stable");
    let again = bench.sync("g", &b, 1, &[]);
    assert_eq!(bench.synced(again).assignment, b.as_bytes(), "a stable group tells the assignment again");
}

#[test]
fn an_assignment_that_cannot_be_stored_is_an_error_for_all_and_a_rebalance() {
    for (failure, error) in [
        (AppendError::NotLeader, E::NotCoordinator),
        (AppendError::Storage, E::NotCoordinator),
        (AppendError::NotEnoughReplicas, E::CoordinatorNotAvailable),
        (AppendError::TimedOut, E::CoordinatorNotAvailable),
        (AppendError::UnknownPartition, E::CoordinatorNotAvailable),
        (AppendError::TooLarge, E::UnknownServerError),
    ] {
        let mut bench = Bench::new();
        let (a, _) = bench.enter("g");
        let (b, _) = bench.enter("g");
        bench.wait(6000);
        let follower = bench.sync("g", &b, 1, &[]);
        bench.appending = Appending::Fails(failure);
        let leader = bench.sync("g", &a, 1, &[a.clone(), b.clone()]);
        assert_eq!(bench.synced(leader).error_code, error.code());
        assert_eq!(bench.synced(follower).error_code, error.code());
        assert_eq!(bench.state("g"), "PreparingRebalance");
    }
}

#[test]
fn heartbeats_and_syncs_by_state() {
    let mut bench = Bench::new();
    assert_eq!(bench.heartbeat("none", "m", 1), E::UnknownMemberId.code());
    let ids = bench.stable("g", 2);
    assert_eq!(bench.heartbeat("g", &ids[0], 1), 0);
    assert_eq!(bench.heartbeat("g", "stranger", 1), E::UnknownMemberId.code());
    assert_eq!(bench.heartbeat("g", &ids[0], 0), E::IllegalGeneration.code());
    let token = bench.sync("g", &ids[0], 7, &[]);
    assert_eq!(bench.synced(token).error_code, E::IllegalGeneration.code());
    let token = bench.sync("g", "stranger", 1, &[]);
    assert_eq!(bench.synced(token).error_code, E::UnknownMemberId.code());
    // The leader joins again: the others learn of it by heartbeat.
    let rejoin = bench.join(&Join { member: ids[0].clone(), ..Join::of("g") });
    assert!(!bench.replies.contains_key(&rejoin));
    assert_eq!(bench.heartbeat("g", &ids[1], 1), E::RebalanceInProgress.code());
    let token = bench.sync("g", &ids[1], 1, &[]);
    assert_eq!(bench.synced(token).error_code, E::RebalanceInProgress.code());
    bench.join(&Join { member: ids[1].clone(), ..Join::of("g") });
    assert_eq!(bench.joined(rejoin).generation_id, 2);
    assert_eq!(bench.heartbeat("g", &ids[1], 2), 0, "while the assignment is awaited a heartbeat is plain");
}

#[test]
fn a_follower_that_joins_again_unchanged_does_not_rebalance() {
    let mut bench = Bench::new();
    let ids = bench.stable("g", 2);
    let token = bench.join(&Join { member: ids[1].clone(), ..Join::of("g") });
    let response = bench.joined(token);
    assert_eq!((response.error_code, response.generation_id, response.members.len()), (0, 1, 0));
    assert_eq!(bench.state("g"), "Stable");
    let changed = Join { member: ids[1].clone(), protocols: vec![("range", subscription(&["u"]))], ..Join::of("g") };
    let token = bench.join(&changed);
    assert!(bench.reply(token).is_none());
    assert_eq!(bench.state("g"), "PreparingRebalance");
}

#[test]
fn a_lost_join_answer_is_given_again_while_the_assignment_is_awaited() {
    let mut bench = Bench::new();
    let (a, _) = bench.enter("g");
    bench.wait(3000);
    let token = bench.join(&Join { member: a.clone(), ..Join::of("g") });
    let response = bench.joined(token);
    assert_eq!((response.generation_id, response.members.len()), (1, 1));
}

#[test]
fn members_that_do_not_come_back_are_out() {
    let mut bench = Bench::new();
    let ids = bench.stable("g", 3);
    let rejoin = bench.join(&Join { member: ids[0].clone(), ..Join::of("g") });
    for _ in 0..9 {
        // Alive, but they do not join: only the rebalance timeout ends this.
        bench.wait(6000);
        bench.heartbeat("g", &ids[1], 1);
        bench.heartbeat("g", &ids[2], 1);
        assert!(!bench.replies.contains_key(&rejoin));
    }
    bench.wait(6001);
    let response = bench.joined(rejoin);
    assert_eq!((response.generation_id, response.members.len()), (2, 1));
    assert_eq!(bench.heartbeat("g", &ids[1], 1), E::UnknownMemberId.code());
}

#[test]
fn members_that_do_not_sync_are_out() {
    let mut bench = Bench::new();
    let (a, _) = bench.enter("g");
    let (b, _) = bench.enter("g");
    bench.wait(6000);
    let leader = bench.sync("g", &a, 1, std::slice::from_ref(&a));
    assert_eq!(bench.synced(leader).error_code, 0);
    for _ in 0..10 {
        bench.wait(6000);
        bench.heartbeat("g", &a, 1);
        bench.heartbeat("g", &b, 1);
    }
    assert_eq!(bench.heartbeat("g", &b, 1), E::UnknownMemberId.code());
    assert_eq!(bench.heartbeat("g", &a, 1), E::RebalanceInProgress.code());
}

#[test]
fn a_silent_member_is_out_and_the_last_one_leaves_an_empty_group() {
    let mut bench = Bench::new();
    let ids = bench.stable("g", 2);
    for _ in 0..2 {
        bench.wait(6000);
        bench.heartbeat("g", &ids[0], 1);
    }
    assert_eq!(bench.state("g"), "PreparingRebalance");
    bench.wait(i64::from(SESSION_MS));
    assert_eq!((bench.state("g"), bench.generation("g")), ("Empty", 2));
    let replayed = bench.replayed();
    let group = replayed.groups().next().expect("the group is in the log");
    assert_eq!((group.state().name(), group.generation, group.members.len()), ("Empty", 2, 0));
    assert_eq!(group.protocol_type.as_deref(), Some("consumer"));
}

#[test]
fn setting_the_clock_ends_no_session_and_extends_none() {
    for wall_shift_ms in [3_600_000, -3_600_000] {
        let mut bench = Bench::new();
        let ids = bench.stable("g", 2);
        bench.wall_shift_ms = wall_shift_ms;
        bench.event(Event::Tick);
        assert_eq!(bench.heartbeat("g", &ids[0], 1), 0, "{wall_shift_ms}");
        assert_eq!(bench.state("g"), "Stable", "{wall_shift_ms}");
        bench.wait(60_000);
        assert_eq!(bench.state("g"), "Empty", "{wall_shift_ms}: a minute of silence is one");
    }
}

#[test]
fn a_join_while_the_tombstone_of_the_group_is_on_its_way_is_answered() {
    let mut bench = Bench::new();
    bench.commit(&Commit::simple("g"));
    bench.appending = Appending::Hangs;
    bench.ask(GroupRequest::Delete(vec![group_id("g")]));
    let (id, parked) = bench.enter("g");
    bench.finish_appends();
    assert_eq!(bench.fetch("g", "t", Stability::Any).0, -1, "its offsets are gone");
    bench.wait(10_000);
    let joined = bench.joined(parked);
    assert_eq!((joined.error_code, joined.leader.as_str()), (0, id.as_str()));
}

#[test]
fn an_id_that_was_handed_out_goes_with_its_group() {
    let mut bench = Bench::new();
    let token = bench.join(&Join::of("g"));
    let id = bench.joined(token).member_id.to_string();
    bench.ask(GroupRequest::Delete(vec![group_id("g")]));
    let token = bench.join(&Join { member: id, ..Join::of("g") });
    assert_eq!(bench.joined(token).error_code, E::UnknownMemberId.code());
}

#[test]
fn a_commit_or_a_heartbeat_keeps_a_session_and_an_idle_one_costs_one_timer() {
    let mut bench = Bench::new();
    let ids = bench.stable("g", 1);
    for _ in 0..10 {
        bench.wait(9000);
        assert_eq!(bench.heartbeat("g", &ids[0], 1), 0);
    }
    assert_eq!(bench.state("g"), "Stable");
}

#[test]
fn protocols_must_agree() {
    let mut bench = Bench::new();
    let cases = [
        Join { protocol_type: "", ..Join::of("new") },
        Join { protocols: vec![], ..Join::of("new") },
        Join { protocol_type: "connect", ..Join::of("g") },
        Join { protocols: vec![("roundrobin", subscription(&["t"]))], ..Join::of("g") },
    ];
    let ids = bench.stable("g", 1);
    for join in cases {
        let token = bench.join(&join);
        assert_eq!(bench.joined(token).error_code, E::InconsistentGroupProtocol.code());
    }
    let request = SyncGroupRequest::default()
        .with_group_id(super::bench::group_id("g"))
        .with_generation_id(1)
        .with_member_id(StrBytes::from_string(ids[0].clone()))
        .with_protocol_name(Some(StrBytes::from_static_str("other")));
    let token = bench.ask(GroupRequest::Sync(request));
    assert_eq!(bench.synced(token).error_code, E::InconsistentGroupProtocol.code());
}

#[test]
fn the_majority_chooses_among_what_all_support() {
    let both =
        |first: &'static str, second: &'static str| vec![(first, subscription(&["t"])), (second, subscription(&["t"]))];
    for (votes, chosen) in [
        (vec![both("range", "roundrobin"), both("roundrobin", "range"), both("roundrobin", "range")], "roundrobin"),
        (vec![both("range", "sticky"), vec![("sticky", subscription(&["t"]))]], "sticky"),
    ] {
        let mut bench = Bench::new();
        let tokens: Vec<_> =
            votes.into_iter().map(|protocols| bench.join(&Join { protocols, version: 3, ..Join::of("g") })).collect();
        bench.wait(60_000);
        for token in tokens {
            assert_eq!(bench.joined(token).protocol_name.as_deref(), Some(chosen));
        }
    }
}

#[test]
fn a_full_group_takes_nobody_more() {
    let mut bench = Bench::new();
    bench.stable("g", 4);
    let token = bench.join(&Join::of("g"));
    let response = bench.joined(token);
    assert_eq!((response.error_code, response.member_id.as_str()), (E::GroupMaxSizeReached.code(), ""));
}

#[test]
fn a_static_member_that_restarts_keeps_its_place() {
    let mut bench = Bench::new();
    let instance = |version| Join { instance: Some("i"), version, ..Join::of("g") };
    let token = bench.join(&instance(9));
    bench.wait(3000);
    let first = bench.joined(token);
    assert!(first.member_id.starts_with("i-"));
    let old = first.member_id.to_string();
    let token = bench.sync("g", &old, 1, std::slice::from_ref(&old));
    assert_eq!(bench.synced(token).error_code, 0);
    let records = bench.log.len();

    let token = bench.join(&instance(9));
    let second = bench.joined(token);
    let new = second.member_id.to_string();
    assert_ne!(new, old);
    assert_eq!((second.generation_id, second.leader.as_str(), second.skip_assignment), (1, new.as_str(), true));
    assert_eq!(second.members.len(), 1);
    assert_eq!(bench.log.len(), records + 1, "the new id is stored");
    let token = bench.sync("g", &new, 1, &[]);
    assert_eq!(bench.synced(token).assignment, old.as_bytes(), "with the assignment of its former self");

    // Its former self is fenced wherever it names its instance.
    let token = bench.join(&Join { member: old.clone(), ..instance(9) });
    let fenced = bench.joined(token);
    assert_eq!((fenced.error_code, fenced.protocol_name), (E::FencedInstanceId.code(), None));
    assert_eq!(bench.heartbeat("g", &old, 1), E::UnknownMemberId.code());

    // Before version 9 the old leader is told, so that the new one does not assign.
    let token = bench.join(&instance(8));
    let third = bench.joined(token);
    assert_eq!((third.leader.as_str(), third.skip_assignment, third.members.len()), (new.as_str(), false, 0));
    let replayed = bench.replayed();
    let group = replayed.groups().next().expect("the group is in the log");
    assert_eq!(group.static_members.get("i").map(|id| id.to_string()), Some(third.member_id.to_string()));
}

#[test]
fn a_static_member_whose_new_id_cannot_be_stored_keeps_the_old_one() {
    let mut bench = Bench::new();
    let join = Join { instance: Some("i"), ..Join::of("g") };
    let token = bench.join(&join);
    bench.wait(3000);
    let old = bench.joined(token).member_id.to_string();
    bench.sync("g", &old, 1, std::slice::from_ref(&old));
    bench.appending = Appending::Fails(AppendError::TimedOut);
    let token = bench.join(&join);
    let response = bench.joined(token);
    assert_eq!(response.error_code, E::CoordinatorNotAvailable.code());
    assert_eq!(bench.heartbeat("g", &old, 1), 0);
}

#[test]
fn a_static_member_that_restarts_during_the_sync_phase_rebalances() {
    let mut bench = Bench::new();
    let token = bench.join(&Join { instance: Some("i"), ..Join::of("g") });
    bench.wait(3000);
    let old = bench.joined(token).member_id.to_string();
    let token = bench.join(&Join { instance: Some("i"), ..Join::of("g") });
    let response = bench.joined(token);
    assert_eq!(response.generation_id, 2);
    let sync = bench.sync("g", &old, 1, &[]);
    assert_eq!(bench.synced(sync).error_code, E::UnknownMemberId.code());
}

#[test]
fn static_members_stay_through_a_rebalance_until_their_session_ends() {
    let mut bench = Bench::new();
    let a = bench.join(&Join { instance: Some("a"), ..Join::of("g") });
    let b = bench.join(&Join { instance: Some("b"), ..Join::of("g") });
    bench.wait(6000);
    let (a, b) = (bench.joined(a).member_id.to_string(), bench.joined(b).member_id.to_string());
    bench.sync("g", &b, 1, &[]);
    bench.sync("g", &a, 1, &[a.clone(), b.clone()]);
    let rejoin = bench.join(&Join { member: a, instance: Some("a"), ..Join::of("g") });
    bench.wait(9000);
    assert!(!bench.replies.contains_key(&rejoin));
    bench.wait(1001);
    assert_eq!(bench.joined(rejoin).members.len(), 1, "b's session ended");
}

#[test]
fn leaving() {
    let mut bench = Bench::new();
    assert_eq!(bench.leave("none", &[("m", None)]).members[0].error_code, E::UnknownMemberId.code());
    let ids = bench.stable("g", 2);
    let response = bench.leave("g", &[("stranger", None), ("", Some("i")), (&ids[1], None)]);
    let errors: Vec<i16> = response.members.iter().map(|member| member.error_code).collect();
    assert_eq!(errors, [E::UnknownMemberId.code(), E::UnknownMemberId.code(), 0]);
    assert_eq!(bench.state("g"), "PreparingRebalance");
    let response = bench.leave("g", &[(&ids[0], None)]);
    assert_eq!(response.error_code, 0);
    assert_eq!(bench.state("g"), "Empty");
    // A pending id leaves as well, and an instance is removed by its name alone.
    let token = bench.join(&Join::of("g"));
    let id = bench.joined(token).member_id.to_string();
    assert_eq!(bench.leave("g", &[(&id, None)]).members[0].error_code, 0);
    let parked = bench.join(&Join { instance: Some("i"), ..Join::of("g") });
    assert_eq!(bench.leave("g", &[("other", Some("i"))]).members[0].error_code, E::FencedInstanceId.code());
    assert_eq!(bench.leave("g", &[("", Some("i"))]).members[0].error_code, 0);
    assert_eq!(bench.joined(parked).error_code, E::UnknownMemberId.code());
}

#[test]
fn a_leave_that_empties_the_group_is_answered_when_that_is_stored() {
    let mut bench = Bench::new();
    let ids = bench.stable("g", 1);
    bench.appending = Appending::Fails(AppendError::NotEnoughReplicas);
    assert_eq!(bench.leave("g", &[(&ids[0], None)]).error_code, E::CoordinatorNotAvailable.code());
}

#[test]
fn a_new_group_that_cannot_be_stored_is_not_there() {
    let mut bench = Bench::new();
    bench.appending = Appending::Fails(AppendError::Storage);
    let token = bench.join(&Join { version: 3, ..Join::of("g") });
    assert_eq!(bench.joined(token).error_code, E::NotCoordinator.code());
    assert_eq!(bench.state("g"), "none");
}

#[test]
fn unloading_answers_everything_that_is_parked() {
    let mut bench = Bench::new();
    let (a, _) = bench.enter("syncing");
    let (b, _) = bench.enter("syncing");
    let (_, join) = bench.enter("joining");
    bench.wait(2000);
    bench.wait(1000);
    let (_, join2) = bench.enter("joining2");
    let leader_of = |bench: &Bench| bench.shard.groups().find(|g| &*g.id == "syncing").and_then(|g| g.leader.clone());
    let leader = leader_of(&bench).expect("it has members").to_string();
    let follower = if leader == a { b } else { a };
    bench.wait(3000);
    let sync = bench.sync("syncing", &follower, 1, &[]);
    bench.event(Event::Unload);
    assert_eq!(bench.synced(sync).error_code, E::NotCoordinator.code());
    assert_eq!(bench.joined(join2).error_code, 0);
    assert_eq!(bench.joined(join).error_code, 0);
    let mut bench = Bench::new();
    let (_, join) = bench.enter("g");
    bench.event(Event::Unload);
    assert_eq!(bench.joined(join).error_code, E::NotCoordinator.code());
}

#[test]
fn an_unknown_append_is_ignored() {
    let mut bench = Bench::new();
    bench.event(Event::Appended { token: STRAY, base_offset: 0 });
    bench.event(Event::AppendFailed { token: STRAY, error: AppendError::Other });
    assert!(bench.replies.is_empty());
}

#[test]
fn requests_are_checked_before_the_shard_is_asked() {
    let config = GroupConfig::default();
    let join = |group: &str, session_ms| {
        JoinGroupRequest::default().with_group_id(super::bench::group_id(group)).with_session_timeout_ms(session_ms)
    };
    for (request, expected) in [
        (join("g", 6000), Ok(())),
        (join("g", 1_800_000), Ok(())),
        (join("", 6000), Err(E::InvalidGroupId)),
        (join("g", 5999), Err(E::InvalidSessionTimeout)),
        (join("g", 1_800_001), Err(E::InvalidSessionTimeout)),
    ] {
        assert_eq!(check_join(&config, &request), expected, "{request:?}");
    }
    let sync = SyncGroupRequest::default().with_group_id(super::bench::group_id("g"));
    assert_eq!(check_sync(&sync, 4), Ok(()));
    assert_eq!(check_sync(&sync, 5), Err(E::InconsistentGroupProtocol));
}

#[test]
fn listing_and_describing() {
    let mut bench = Bench::new();
    let ids = bench.stable("g", 1);
    bench.commit(&super::bench::Commit::simple("s"));
    let list = |bench: &mut Bench, states: &[&str], types: &[&str]| {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let token = bench.ask(GroupRequest::List(ListFilter { states: own(states), types: own(types) }));
        match bench.reply(token) {
            Some(GroupResponse::List(groups)) => {
                groups.iter().map(|g| format!("{} {} {}", &*g.group_id, &*g.group_state, &*g.protocol_type)).collect()
            }
            other => panic!("{other:?}"),
        }
    };
    let all: Vec<String> = list(&mut bench, &[], &[]);
    assert_eq!(all, ["g Stable consumer", "s Empty "]);
    for (states, types, expected) in [
        (&["stable"][..], &[][..], &["g Stable consumer"][..]),
        (&[" EMPTY "], &["Classic"], &["s Empty "]),
        (&["Dead"], &[], &[]),
        (&[], &["consumer"], &[]),
    ] {
        let found: Vec<String> = list(&mut bench, states, types);
        assert_eq!(found, expected);
    }
    let describe = |bench: &mut Bench, id: &str, version| {
        let token = bench.ask(GroupRequest::Describe { groups: vec![super::bench::group_id(id)], version });
        match bench.reply(token) {
            Some(GroupResponse::Describe(mut groups)) => groups.remove(0),
            other => panic!("{other:?}"),
        }
    };
    let group = describe(&mut bench, "g", 6);
    assert_eq!((&*group.group_state, &*group.protocol_data), ("Stable", "range"));
    let member = &group.members[0];
    assert_eq!((&*member.client_id, &*member.client_host), ("client", "/127.0.0.1"));
    assert_eq!((&member.member_metadata, &member.member_assignment[..]), (&subscription(&["t"]), ids[0].as_bytes()));
    let missing = describe(&mut bench, "x", 6);
    assert_eq!((missing.error_code, &*missing.group_state), (E::GroupIdNotFound.code(), "Dead"));
    assert_eq!(missing.error_message.as_deref(), Some("Group x not found."));
    let missing = describe(&mut bench, "x", 5);
    assert_eq!((missing.error_code, missing.error_message), (0, None));
}

#[test]
fn version_0_has_no_rebalance_timeout_of_its_own() {
    let mut bench = Bench::new();
    bench.join(&Join { version: 0, ..Join::of("g") });
    let group = bench.shard.groups().next().expect("it was made");
    assert_eq!(group.rebalance_timeout_ms(), SESSION_MS);
}
