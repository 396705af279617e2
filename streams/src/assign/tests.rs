//! Properties of the assignment over random groups, and the cases that KIP-441 names.

use super::*;

/// A small generator with a seed, so that a failure can be had again.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A group over several rebalances: each member with what it runs and copies.
struct World {
    members: BTreeMap<String, (ProcessId, Assignment)>,
    tasks: Tasks,
    options: Options,
}

impl World {
    fn new(tasks: &[(usize, i32, bool)], options: Options) -> World {
        let mut world = World { members: BTreeMap::new(), tasks: Tasks::default(), options };
        for (subtopology, partitions, stateful) in tasks {
            for partition in 0..*partitions {
                let task = TaskId { subtopology: *subtopology, partition };
                let place = TopicPartition::new(&format!("t{subtopology}"), partition);
                world.tasks.partitions.insert(task, vec![place]);
                if *stateful {
                    world.tasks.ends.insert(task, Some(1_000_000));
                }
            }
        }
        world
    }

    fn join(&mut self, instance: u8, threads: usize) {
        for thread in 0..threads {
            let process = ProcessId([instance; 16]);
            self.members.insert(format!("{instance}-{thread}"), (process, Assignment::default()));
        }
    }

    fn leave(&mut self, instance: u8) {
        self.members.retain(|_, (process, _)| *process != ProcessId([instance; 16]));
    }

    /// One rebalance; copies have `lag` records to go.
    fn rebalance(&mut self, lag: i64) {
        let members: Vec<Member> =
            self.members.iter().map(|(id, (process, has))| self.said(id, *process, has, lag)).collect();
        let told = assign(&members, &self.tasks, &self.options, 1000);
        for (id, assignment) in told {
            let bytes = assignment.write();
            assert_eq!(Assignment::read(&bytes), Ok(assignment.clone()), "the bytes say the same");
            self.members.get_mut(&id).expect("only members are told").1 = assignment;
        }
    }

    fn said(&self, id: &str, process: ProcessId, has: &Assignment, lag: i64) -> Member {
        let ends = |task: &TaskId| self.tasks.ends.contains_key(task);
        let running = has.active.iter().filter(|task| ends(task)).map(|task| (*task, RUNNING));
        let copies = has.standby.iter().map(|task| (*task, 1_000_000 - lag));
        let said = Subscription {
            process,
            endpoint: Some(format!("{id}:1")),
            offsets: running.chain(copies).collect(),
            call: Call::None,
        };
        assert_eq!(Subscription::read(&said.write()), Ok(said.clone()));
        let owned = has.active.iter().flat_map(|task| self.tasks.partitions[task].clone()).collect();
        Member { id: id.to_owned(), owned, said }
    }

    fn settle(&mut self, lag: i64) -> usize {
        for rounds in 1..50 {
            self.rebalance(lag);
            if self.members.values().all(|(_, has)| has.next_rebalance_ms.is_none()) {
                return rounds;
            }
        }
        let told = self
            .members
            .iter()
            .map(|(id, (_, has))| format!("{id}: {:?} {:?} {:?}", has.active, has.standby, has.next_rebalance_ms));
        panic!("the group never comes to rest: {:?}\n{}", self.options, told.collect::<Vec<_>>().join("\n"));
    }

    fn running(&self) -> BTreeMap<TaskId, Vec<String>> {
        let mut running: BTreeMap<TaskId, Vec<String>> = BTreeMap::new();
        for (id, (_, has)) in &self.members {
            has.active.iter().for_each(|task| running.entry(*task).or_default().push(id.clone()));
        }
        running
    }

    fn check(&self) {
        let running = self.running();
        for task in self.tasks.partitions.keys() {
            let runners = running.get(task).map_or(0, Vec::len);
            assert_eq!(runners, 1, "{task} runs once: {running:?}");
        }
        let mut copies: BTreeMap<(ProcessId, TaskId), usize> = BTreeMap::new();
        for (process, has) in self.members.values() {
            for task in has.active.iter().chain(&has.standby) {
                *copies.entry((*process, *task)).or_default() += 1;
            }
        }
        assert!(copies.values().all(|count| *count == 1), "no copy beside its task: {copies:?}");
    }

    fn of_instance(&self, instance: u8) -> BTreeSet<TaskId> {
        let of = self.members.values().filter(|(process, _)| *process == ProcessId([instance; 16]));
        of.flat_map(|(_, has)| has.active.iter().copied()).collect()
    }
}

#[test]
fn tasks_stay_where_they_run_while_the_ends_of_their_changelogs_are_not_known() {
    let mut world = World::new(&[(0, 4, true)], Options::default());
    world.join(1, 1);
    world.settle(0);
    let all = world.of_instance(1);
    assert_eq!(all.len(), 4);
    world.tasks.ends.values_mut().for_each(|end| *end = None);
    // It has a little of each.
    world.join(2, 1);
    world.members.get_mut("2-0").expect("it joined").1.standby = all.iter().copied().collect();
    world.rebalance(999_990);
    assert_eq!(world.of_instance(1), all);
    // Nobody runs them any more: who has most goes on.
    world.leave(1);
    world.join(3, 1);
    world.members.get_mut("3-0").expect("it joined").1.standby = all.iter().copied().take(1).collect();
    world.members.get_mut("2-0").expect("it joined").1.standby = all.iter().copied().skip(1).collect();
    world.rebalance(10);
    assert_eq!(world.of_instance(3), all.iter().copied().take(1).collect());
    assert_eq!(world.of_instance(2), all.iter().copied().skip(1).collect());
}

#[test]
fn every_task_runs_once_whatever_comes_and_goes() {
    for seed in 0..300 {
        let mut rng = Rng(seed);
        let tasks: Vec<(usize, i32, bool)> =
            (0..1 + rng.below(4) as usize).map(|sub| (sub, 1 + rng.below(9) as i32, rng.below(2) == 0)).collect();
        let options = Options { standby_replicas: rng.below(3) as usize, ..Options::default() };
        let mut world = World::new(&tasks, options);
        world.join(1, 1 + rng.below(3) as usize);
        for _ in 0..6 {
            let instance = rng.below(4) as u8;
            let present = world.members.values().any(|(process, _)| *process == ProcessId([instance; 16]));
            if !present {
                world.join(instance, 1 + rng.below(3) as usize);
            } else if world.members.values().any(|(process, _)| *process != ProcessId([instance; 16])) {
                world.leave(instance);
            }
            // While a rebalance is under way no task runs twice.
            world.rebalance(rng.below(20_000) as i64);
            assert!(world.running().values().all(|runners| runners.len() == 1), "seed {seed}");
            world.settle(0);
            world.check();
        }
    }
}

#[test]
fn instances_and_threads_are_even() {
    for seed in 0..100 {
        let mut rng = Rng(seed);
        let stateful = rng.below(2) == 0;
        let mut world = World::new(&[(0, 1 + rng.below(20) as i32, stateful)], Options::default());
        (0..1 + rng.below(4) as u8).for_each(|instance| world.join(instance, 2));
        world.settle(0);
        let counts: Vec<usize> = world.members.values().map(|(_, has)| has.active.len()).collect();
        let (least, most) = (counts.iter().min().expect("members"), counts.iter().max().expect("members"));
        assert!(most - least <= 1, "seed {seed}: {counts:?}");
    }
}

#[test]
fn nothing_moves_when_nothing_changes() {
    let mut world = World::new(&[(0, 7, true), (1, 4, true)], Options { standby_replicas: 1, ..Options::default() });
    (0..3).for_each(|instance| world.join(instance, 2));
    world.settle(0);
    let before = world.members.clone();
    assert_eq!(world.settle(0), 1);
    assert_eq!(world.members, before);
}

#[test]
fn state_stays_until_a_copy_has_caught_up() {
    let mut world = World::new(&[(0, 8, true)], Options::default());
    world.join(1, 1);
    world.settle(0);
    world.join(2, 1);
    world.rebalance(500_000);
    assert_eq!(world.of_instance(1).len(), 8, "nothing moves to where no state is");
    let warming: usize = world.members.values().map(|(_, has)| has.standby.len()).sum();
    assert_eq!(warming, 2, "max.warmup.replicas at a time");
    let next: Vec<i64> = world.members.values().filter_map(|(_, has)| has.next_rebalance_ms).collect();
    assert_eq!(next, [601_000], "one member probes");
    // The copies have caught up: two tasks are given back, then go over.
    world.rebalance(0);
    world.rebalance(0);
    assert_eq!(world.of_instance(2).len(), 2);
    world.settle(0);
    assert_eq!((world.of_instance(1).len(), world.of_instance(2).len()), (4, 4));
    world.check();
}

#[test]
fn a_standby_takes_over() {
    let mut world = World::new(&[(0, 6, true)], Options { standby_replicas: 1, ..Options::default() });
    world.join(1, 1);
    world.join(2, 1);
    world.settle(0);
    assert_eq!(world.of_instance(1).len(), 3);
    world.leave(1);
    world.rebalance(10);
    assert_eq!(world.of_instance(2).len(), 6);
    world.check();
}

#[test]
fn damaged_user_data_is_refused() {
    let said = Subscription { endpoint: Some("h:1".to_owned()), ..Subscription::default() };
    let bytes = said.write();
    (0..bytes.len()).for_each(|cut| assert!(Subscription::read(&bytes[..cut]).is_err(), "cut at {cut}"));
    let task = TaskId { subtopology: 1, partition: 2 };
    let assignment = Assignment {
        active: BTreeSet::from([task]),
        tasks: BTreeMap::from([(task, vec![TopicPartition::new("t", 2)])]),
        cause: "why".to_owned(),
        ..Assignment::default()
    };
    let bytes = assignment.write();
    (0..bytes.len()).for_each(|cut| assert!(Assignment::read(&bytes[..cut]).is_err(), "cut at {cut}"));
    let mut newer = bytes.to_vec();
    newer[1] = 9;
    newer.extend([1, 2, 3]);
    assert_eq!(Assignment::read(&newer), Ok(assignment.clone()), "what a newer version adds is passed over");
    let mut first = bytes[..bytes.len() - "..why".len()].to_vec();
    first[1] = 1;
    let cause = String::new();
    assert_eq!(
        Assignment::read(&first),
        Ok(Assignment { cause, ..assignment.clone() }),
        "the first version has no cause"
    );
    let cause = "\u{e4}".repeat(40_000);
    let long =
        Assignment::read(&Assignment { cause: cause.clone(), ..assignment }.write()).expect("cut between letters");
    assert!(long.cause.len() == 65_534 && cause.starts_with(&long.cause));
    assert!(Assignment::read(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]).is_err());
}
