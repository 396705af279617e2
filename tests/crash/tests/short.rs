//! The short forms of the crash checks.

use std::time::Duration;

use millstream_crash::node::{Kind, Node, built_binary};
use millstream_crash::{money, numbers, restart, states};

fn node(settings: &[&str]) -> (tempfile::TempDir, Node) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let binary = built_binary().expect("the broker's binary");
    let node = Node::start(Kind::Millstream(binary), folder.path(), settings).expect("the broker starts");
    (folder, node)
}

const LIFE: Duration = Duration::from_millis(150);

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    for flush_messages in [Some(1), None] {
        let (_folder, mut node) = node(&[]);
        let plan = numbers::Plan { kills: 5, partitions: 2, life: LIFE, flush_messages, seed: 1 };
        let report = numbers::run(&mut node, plan).expect("every number once, in order, where it was acknowledged");
        assert!(report.acknowledged > 0);
    }
}

#[test]
fn money_is_neither_made_nor_lost_by_kills() {
    let (_folder, mut node) = node(&states::SETTINGS);
    let plan = money::Plan { kills: 4, workers: 2, life: LIFE, seed: 1 };
    let report = money::run(&mut node, plan).expect("the sum of all accounts stays");
    assert!(report.transfers > 0);
}

#[test]
fn a_kill_in_each_state_of_a_transaction_leaves_it_whole() {
    let (_folder, mut node) = node(&states::SETTINGS);
    let kills = states::run(&mut node, 1, 1).expect("transactions are whole in every state");
    assert_eq!(kills, 16);
}

#[test]
fn a_log_is_served_soon_after_a_kill() {
    let (_folder, mut node) = node(&[]);
    let report = restart::run(&mut node, 64 << 20, 2).expect("the log ends where it was acknowledged");
    assert!(report.bytes >= 64 << 20);
}
