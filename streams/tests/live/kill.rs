//! Sums under `kill -9` and SIGSTOP: a reader of committed records sees each running sum of each account once, in order.
//!
//! The long forms (`MILLSTREAM_SOAK=1`): two minutes of kills, a minute of SIGSTOP.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::producer::{NewRecord, Producer};

use super::cluster::{Broker, PATIENCE, is_soak};
use super::program::{Instance, Program};

const PARTITIONS: i32 = 4;
const ACCOUNTS: usize = 50;
/// Records of one go, and how often there is one.
const GO: usize = 40;
const EVERY: Duration = Duration::from_millis(50);

/// What goes in, and what has to come out.
struct Load<'a> {
    broker: &'a Broker,
    producer: Producer,
    sums: BTreeMap<String, Vec<i64>>,
    sent: usize,
    last: Instant,
}

impl<'a> Load<'a> {
    fn new(broker: &'a Broker) -> Load<'a> {
        broker.create(&[("amounts", PARTITIONS), ("sums", PARTITIONS)]);
        Load { broker, producer: broker.producer(), sums: BTreeMap::new(), sent: 0, last: Instant::now() }
    }

    /// One go. All records of an account are in one partition, so their order is the order of its sums.
    fn go(&mut self) {
        std::thread::sleep(EVERY.saturating_sub(self.last.elapsed()));
        self.last = Instant::now();
        let mut amounts = Vec::with_capacity(GO);
        for _ in 0..GO {
            self.sent += 1;
            // A multiplicative walk: neither the accounts nor the amounts repeat soon.
            let drawn = self.sent.wrapping_mul(2_654_435_761) >> 8;
            let (account, cents) = (drawn % ACCOUNTS, i64::try_from(drawn % 997).expect("small") - 300);
            let name = format!("account-{account}");
            amounts.push((account, format!("{name} {cents}")));
            let sums = self.sums.entry(name).or_default();
            sums.push(sums.last().unwrap_or(&0) + cents);
        }
        let records: Vec<_> = amounts.iter().map(|(account, amount)| record_of(*account, amount)).collect();
        self.broker.send(&self.producer, &records);
    }

    /// Goes until a moment.
    fn until(&mut self, end: Instant) {
        while Instant::now() < end {
            self.go();
        }
    }

    /// Reads all sums, and finds none missing, none twice and none wrong.
    fn check(self) {
        let found = self.broker.reader("sums", PARTITIONS).numbers(self.sent);
        for (account, sums) in &self.sums {
            let found = found.get(account).map_or(&[][..], Vec::as_slice);
            let same = sums.iter().zip(found).take_while(|(sum, found)| sum == found).count();
            let around = |sums: &[i64]| sums[same.saturating_sub(2)..sums.len().min(same + 3)].to_vec();
            let told = (around(sums), around(found));
            assert!(sums == found, "{account}: {same} of {} sums, then {told:?} of {}", sums.len(), found.len());
        }
        assert_eq!(found.len(), self.sums.len());
    }
}

fn record_of(account: usize, amount: &str) -> NewRecord<'_> {
    let partition = i32::try_from(account).expect("small") % PARTITIONS;
    NewRecord { topic: "amounts", partition: Some(partition), value: Some(amount.as_bytes()), ..NewRecord::default() }
}

fn program(broker: &Broker, name: &str, engine: &str) -> Program {
    let program = Program::ours(broker, "sums", name).set("default.dsl.store", engine);
    // Each sum comes out.
    program.set("statestore.cache.max.bytes", 0)
}

fn long_or(short: u64) -> Duration {
    Duration::from_secs(if is_soak() { 120 } else { short })
}

/// A static member is killed every two seconds: it is back before anybody notices, and ends the transaction that it left.
fn a_static_member_is_killed(engine: &str) {
    let Some(broker) = Broker::start() else { return };
    let mut load = Load::new(&broker);
    let program = program(&broker, "static", engine).set("group.instance.id", "static");
    let (started, mut kills) = (Instant::now(), 0);
    while started.elapsed() < long_or(12) {
        let instance = program.start();
        load.until(Instant::now() + Duration::from_secs(2));
        instance.kill();
        kills += 1;
    }
    let instance = program.start();
    eprintln!("killed {kills} times");
    load.check();
    instance.leave();
}

#[test]
fn a_static_member_in_memory_is_killed() {
    a_static_member_is_killed("in_memory");
}

/// Two members, one of which is killed and started again under a new name: the group waits out its session.
fn dynamic_members_are_killed(engine: &str) {
    let Some(broker) = Broker::start() else { return };
    let mut load = Load::new(&broker);
    let programs = ["one", "two"].map(|name| program(&broker, name, engine).set("session.timeout.ms", 6000));
    let mut instances: Vec<Option<Instance>> = programs.iter().map(|program| Some(program.start())).collect();
    let rounds = if is_soak() { 8 } else { 1 };
    for round in 0..rounds {
        load.until(Instant::now() + Duration::from_secs(15));
        instances[round % 2].take().expect("started").kill();
        instances[round % 2] = Some(programs[round % 2].start());
    }
    load.check();
    instances.into_iter().flatten().for_each(Instance::leave);
}

#[test]
fn dynamic_members_in_memory_are_killed() {
    dynamic_members_are_killed("in_memory");
}

/// The broker is killed three times under an application that works on.
fn the_broker_is_killed(engine: &str) {
    let Some(mut broker) = Broker::start() else { return };
    let mut load = Load::new(&broker);
    let instance = program(&broker, "survivor", engine).start();
    for _ in 0..3 {
        load.until(Instant::now() + long_or(12) / 4);
        let (sent, sums) = (load.sent, load.sums);
        broker.kill_and_restart();
        load = Load { broker: &broker, producer: broker.producer(), sums, sent, last: Instant::now() };
    }
    load.until(Instant::now() + long_or(12) / 4);
    load.check();
    instance.leave();
}

#[test]
fn the_broker_is_killed_in_memory() {
    the_broker_is_killed("in_memory");
}

/// A process that was stopped for longer than its session, in the middle of a transaction and under load, is out of the
/// group when it goes on: what it processed and did not commit is its successor's, and must not be seen twice.
#[test]
fn who_was_stopped_and_goes_on_is_shut_out() {
    let Some(broker) = Broker::start() else { return };
    let mut load = Load::new(&broker);
    let program = |name: &str| program(&broker, name, "in_memory").set("session.timeout.ms", 6000);
    let mut stopped = program("stopped").start();
    stopped.wait_running();
    load.until(Instant::now() + Duration::from_secs(1));
    let admin = broker.admin();
    let members = || -> Vec<String> {
        let described = broker.runtime.block_on(admin.describe_group("sums")).expect("the group");
        described.members.into_iter().map(|member| member.member_id).collect()
    };
    let before = members();
    stopped.signal("-STOP");
    let at = Instant::now();
    let successor = program("successor").start();
    while members().iter().any(|member| before.contains(member)) {
        assert!(at.elapsed() < PATIENCE, "the stopped instance stays in the group");
        load.go();
    }
    let least = if is_soak() { 60 } else { 0 };
    load.until(at + Duration::from_secs(least));
    load.until(Instant::now() + Duration::from_secs(2));
    stopped.signal("-CONT");
    load.until(Instant::now() + Duration::from_secs(5));
    load.check();
    stopped.check();
    drop(stopped);
    successor.leave();
}

/// The same of a static member, whose successor has its place and its transactional id at once: the one that was stopped
/// ends when it goes on, and does not fight for them.
#[test]
fn who_was_stopped_and_replaced_by_its_name_ends() {
    let Some(broker) = Broker::start() else { return };
    let mut load = Load::new(&broker);
    let program = |name: &str| program(&broker, name, "in_memory").set("group.instance.id", "static");
    let mut stopped = program("stopped").start();
    stopped.wait_running();
    load.until(Instant::now() + Duration::from_secs(1));
    stopped.signal("-STOP");
    let mut successor = program("successor").start();
    successor.wait_running();
    load.until(Instant::now() + Duration::from_secs(2));
    stopped.signal("-CONT");
    let at = Instant::now();
    while stopped.is_alive() {
        assert!(at.elapsed() < Duration::from_secs(20), "it fights for its place: {}", stopped.said());
        load.go();
    }
    load.until(Instant::now() + Duration::from_secs(1));
    load.check();
    let said = stopped.said();
    assert!(said.contains("a thread ended: Replaced(\"static-"), "{said}");
    successor.check();
    successor.leave();
}

#[cfg(feature = "rocksdb")]
mod on_disk {
    #[test]
    fn a_static_member_on_disk_is_killed() {
        super::a_static_member_is_killed("rocksDB");
    }

    #[test]
    fn dynamic_members_on_disk_are_killed() {
        super::dynamic_members_are_killed("rocksDB");
    }

    #[test]
    fn the_broker_is_killed_under_stores_on_disk() {
        super::the_broker_is_killed("rocksDB");
    }
}
