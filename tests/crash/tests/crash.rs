//! The crash checks: short forms, and the long ones with `MILLSTREAM_SOAK=1` (make soak).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_crash::node::{Kind, Node, built_binary};
use millstream_crash::numbers::Cleanup;
use millstream_crash::{compacted, money, numbers, restart, states};

fn node(settings: &[&str]) -> (tempfile::TempDir, Node) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let binary = built_binary().expect("the broker's binary");
    let node = Node::start(Kind::Millstream(binary), folder.path(), settings).expect("the broker starts");
    (folder, node)
}

/// The checks kill and measure: one broker at a time has the machine.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first in a test, the second in a soak.
fn length<T>(short: T, long: T) -> T {
    if std::env::var_os("MILLSTREAM_SOAK").is_some() { long } else { short }
}

fn life() -> Duration {
    Duration::from_millis(length(150, 500))
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    let _alone = alone();
    for flush_messages in [Some(1), None] {
        let (_folder, mut node) = node(&[]);
        let plan = numbers::Plan {
            cleanup: Cleanup::None,
            kills: length(5, 20),
            partitions: 2,
            life: life(),
            flush_messages,
            seed: 1,
        };
        let report = numbers::run(&mut node, plan).expect("every number once, in order, where it was acknowledged");
        assert!(report.acknowledged > 0);
        println!("{plan:?}: {report:?}");
    }
}

#[test]
fn the_last_value_of_each_key_survives_kills_of_a_broker_that_compacts() {
    let _alone = alone();
    let (_folder, mut node) = node(&compacted::SETTINGS);
    let plan = numbers::Plan {
        cleanup: Cleanup::Compact,
        kills: length(6, 40),
        partitions: 2,
        life: life(),
        flush_messages: None,
        seed: 1,
    };
    let report = numbers::run(&mut node, plan).expect("the last value of each key, and no deleted one");
    assert!(report.acknowledged > 0);
    println!("{plan:?}: {report:?}");
}

#[test]
fn money_is_neither_made_nor_lost_by_kills() {
    let _alone = alone();
    let (_folder, mut node) = node(&states::SETTINGS);
    let plan = money::Plan { kills: length(4, 60), workers: length(2, 4), life: life(), seed: 1 };
    let report = money::run(&mut node, plan).expect("the sum of all accounts stays");
    assert!(report.transfers > 0);
}

#[test]
fn a_kill_in_each_state_of_a_transaction_leaves_it_whole() {
    let _alone = alone();
    let (_folder, mut node) = node(&states::SETTINGS);
    let rounds = length(1, 20);
    let kills = states::run(&mut node, rounds, 1).expect("transactions are whole in every state");
    assert_eq!(kills, 16 * rounds);
}

#[test]
fn a_log_is_served_soon_after_a_kill() {
    let _alone = alone();
    let (_folder, mut node) = node(&[]);
    let bytes = length(64 << 20, 2 << 30);
    let report = restart::run(&mut node, bytes, length(2, 20)).expect("the log ends where it was acknowledged");
    assert!(report.bytes >= bytes);
    // Timed at full length only: beside the other suites of a test run a time says nothing.
    if length(false, true) {
        assert!(report.longest < Duration::from_secs(2), "{report:?}");
    }
}
