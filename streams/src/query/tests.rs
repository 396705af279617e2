//! Every read of every kind of store, over two partitions: with rows written, with rows that wait in caches, and halfway.

use std::future::IntoFuture;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::metadata::{Directory, partition_of};
use super::*;
use crate::assign::{Assignment, Host, TaskId};
use crate::runtime::states::ThreadState;
use crate::serde::{Part as Lent, Serde, SerdeError, StringSerde};
use crate::state::{MemoryRows, Rows};
use crate::store::Budget;
use crate::task::{Incoming, Part, Settings, Stores as TaskStores, Task, TaskParts};
use crate::topology::check::Nowhere;
use crate::{
    KStream, KeySession, KeyValue, KeyWindow, Materialized, Order, SessionWindows, Stamped, StreamsBuilder,
    TimeWindows, TimestampedKeyValue, TimestampedKeyWindow, Topology, VersionedRecord, Window,
};
use client::TopicPartition;

// Ranges that come page by page.
mod pages;

struct At(Position);

impl Located for At {
    fn position(&self) -> Position {
        self.0.clone()
    }

    fn changelogs(&self) -> Vec<ChangelogAt> {
        Vec::new()
    }
}

/// One thread, which answers when the test lets it.
#[derive(Clone, Default)]
struct OneThread(Arc<Queue>);

impl Instance for OneThread {
    fn queues(&self) -> Result<Vec<Arc<Queue>>, QueryError> {
        Ok(vec![Arc::clone(&self.0)])
    }
}

struct Driven {
    thread: OneThread,
    tasks: Vec<(Task, Standing, At)>,
    globals: Option<TaskStores>,
    state: ThreadState,
}

impl Driven {
    fn new(topology: &Topology, cache_bytes: usize) -> Driven {
        let budget = Rc::new(Budget::new(cache_bytes));
        let task = |partition| {
            let task = Task::new(TaskParts {
                topology,
                part: Part::Whole,
                partition,
                settings: Rc::new(Settings::new("app")),
                collector: Box::new(Nowhere),
                rows: &mut |_| Ok(Box::new(MemoryRows::new()) as Box<dyn Rows>),
                budget: Rc::clone(&budget),
                globals: None,
                wall_clock: 0,
            });
            let mut task = task.expect("it can be made");
            task.start().expect("linked");
            (task, Standing::Active, At(Position::new()))
        };
        let (thread, globals) = (OneThread::default(), None);
        Driven { thread, tasks: vec![task(0), task(1)], globals, state: ThreadState::Running }
    }

    /// Each key's records go to one of the two tasks.
    fn put(&mut self, topic: &str, key: &str, value: Option<&str>, timestamp: i64) {
        let partition = usize::from(key.as_bytes()[0].is_multiple_of(2));
        let task = &mut self.tasks[partition].0;
        let input = task.inputs().iter().position(|input| input.topic == topic).expect("it is read");
        let (key, value) =
            (Some(Bytes::copy_from_slice(key.as_bytes())), value.map(|value| Bytes::copy_from_slice(value.as_bytes())));
        task.add(input, [Incoming { offset: 0, timestamp, key, value, headers: Vec::new() }]).expect("taken");
        while task.process(0).expect("processed") {}
    }

    fn flush(&mut self) {
        self.tasks.iter_mut().for_each(|(task, _, _)| task.flush().expect("flushed"));
    }

    fn store<Q: Queryable>(&self, parameters: impl Into<StoreQueryParameters>) -> Q::ReadOnly {
        Q::read_only(Asker::new(Arc::new(self.thread.clone()), parameters.into(), Scope::Partitions))
    }

    /// The thread comes to its questions: how many there were.
    fn answer(&self) -> usize {
        let task = |(number, (task, standing, at)): (usize, &'_ (Task, Standing, At))| {
            (number as i32, task.stores().clone(), *standing, At(at.0.clone()))
        };
        let tasks: Vec<_> = self.tasks.iter().enumerate().map(task).collect();
        let local = Local {
            state: self.state,
            tasks: tasks
                .iter()
                .map(|(partition, stores, standing, at)| LocalTask {
                    id: TaskId { subtopology: 0, partition: *partition },
                    standing: *standing,
                    stores,
                    located: at,
                })
                .collect(),
            globals: self.globals.as_ref(),
        };
        let questions = self.thread.0.take();
        let count = questions.len();
        questions.into_iter().for_each(|question| question(&local));
        count
    }

    /// The thread comes to its questions, then the answer comes.
    fn now<T: Send + 'static>(&self, asked: impl IntoFuture<IntoFuture = Asked<T>>) -> Result<T, QueryError> {
        let mut asked = asked.into_future();
        loop {
            self.answer();
            match Pin::new(&mut asked).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => return answer,
                Poll::Pending if self.thread.0.is_waiting() => {}
                Poll::Pending => return asked.wait_for(Duration::from_secs(60)),
            }
        }
    }

    fn get<T: Send + 'static>(&self, asked: impl IntoFuture<IntoFuture = Asked<T>>) -> T {
        self.now(asked).expect("it is answered")
    }
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let stream: KStream<String, String> = builder.stream("in");
    let minutes = TimeWindows::of_size_no_grace(Duration::from_secs(60));
    let visits = SessionWindows::of_inactivity_gap_no_grace(Duration::from_secs(10));
    let hour = Duration::from_secs(3600);
    stream.group_by_key().count("counts");
    stream.group_by_key().windowed_by(minutes).count(Materialized::named("minutes").retention(hour));
    stream.group_by_key().windowed_by(visits).count(Materialized::named("visits").retention(hour));
    let prices = Materialized::<String, String>::named("prices").versioned(hour, None);
    builder.table("prices-in", prices);
    builder.build().expect("the topology is sound")
}

/// `a` and `c` are in partition 0 (their bytes are odd), `b` and `d` in 1.
fn filled(cache_bytes: usize, flushed_after: &[usize]) -> Driven {
    let mut driven = Driven::new(&topology(), cache_bytes);
    let records = [("a", 0), ("b", 1_000), ("a", 5_000), ("c", 61_000), ("a", 62_000), ("d", 62_000), ("ab", 63_000)];
    for (number, (key, time)) in records.into_iter().enumerate() {
        driven.put("in", key, Some("x"), time);
        if flushed_after.contains(&number) {
            driven.flush();
        }
    }
    for (value, time) in [(Some("1"), 100), (Some("2"), 200), (None, 300), (Some("4"), 400)] {
        driven.put("prices-in", "b", value, time);
    }
    driven
}

/// With the cache off, with all of it waiting, and with some of it written.
fn each(check: impl Fn(&Driven)) {
    for (cache, flushed) in [(0, &[][..]), (1 << 20, &[]), (1 << 20, &[3]), (1 << 20, &[1, 6])] {
        check(&filled(cache, flushed));
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn keys_and_values_are_read_with_what_waits_in_the_cache() {
    each(|driven| {
        let counts = driven.store::<KeyValue<String, i64>>("counts");
        assert_eq!(driven.get(counts.get("a")), Some(3));
        assert_eq!((driven.get(counts.get("d")), driven.get(counts.get("e"))), (Some(1), None));
        let all = [("a", 3), ("ab", 1), ("c", 1), ("b", 1), ("d", 1)].map(|(key, count)| (text(key), count));
        assert_eq!(driven.get(counts.all(Order::Ascending)), all, "partition by partition");
        let back = [("c", 1), ("ab", 1), ("a", 3), ("d", 1), ("b", 1)].map(|(key, count)| (text(key), count));
        assert_eq!(driven.get(counts.all(Order::Descending)), back);
        let some = driven.get(counts.range(Some("ab"), Some("c"), Order::Ascending));
        assert_eq!(some, [("ab", 1), ("c", 1), ("b", 1)].map(|(key, count)| (text(key), count)));
        assert_eq!(driven.get(counts.range(Some("c"), None, Order::Descending)), [(text("c"), 1), (text("d"), 1)]);
        assert!(driven.get(counts.range(Some("c"), Some("a"), Order::Ascending)).is_empty());
        let found = driven.get(counts.prefix_scan(&text("a"), StringSerde));
        assert_eq!(found, [(text("a"), 3), (text("ab"), 1)]);
        let stamped = driven.store::<TimestampedKeyValue<String, i64>>("counts");
        assert_eq!(driven.get(stamped.get("a")), Some(Stamped { value: 3, timestamp: 62_000 }));
    });
    let count = |driven: Driven| driven.get(driven.store::<KeyValue<String, i64>>("counts").approximate_num_entries());
    assert_eq!((count(filled(0, &[])), count(filled(1 << 20, &[]))), (5, 0), "rows count, the cache does not");
}

#[test]
fn windows_are_read_with_what_waits_in_the_cache() {
    each(|driven| {
        let minutes = driven.store::<KeyWindow<String, i64>>("minutes");
        assert_eq!(driven.get(minutes.get("a", 0)), Some(2));
        assert_eq!((driven.get(minutes.get("a", 60_000)), driven.get(minutes.get("a", 1))), (Some(1), None));
        assert_eq!(driven.get(minutes.fetch("a", 0, 60_000, Order::Ascending)), [(0, 2), (60_000, 1)]);
        assert_eq!(driven.get(minutes.fetch("a", 0, i64::MAX, Order::Descending)), [(60_000, 1), (0, 2)]);
        assert_eq!(driven.get(minutes.fetch("a", 1, 60_000, Order::Ascending)), [(60_000, 1)]);
        let named = |rows: Vec<(crate::Windowed<String>, i64)>| -> Vec<(String, i64, i64)> {
            rows.into_iter().map(|(at, count)| (at.key, at.window.start, count)).collect()
        };
        let mut all = named(driven.get(minutes.all(Order::Ascending)));
        assert_eq!(all.last().map(|(key, ..)| key.as_str()), Some("d"), "partition by partition");
        all.sort();
        let wanted =
            [("a", 0, 2), ("a", 60_000, 1), ("ab", 60_000, 1), ("b", 0, 1), ("c", 60_000, 1), ("d", 60_000, 1)];
        assert_eq!(all, wanted.map(|(key, start, count)| (text(key), start, count)));
        let mut some = named(driven.get(minutes.fetch_range((Some("ab"), Some("c")), 0, i64::MAX, Order::Ascending)));
        some.sort();
        assert_eq!(
            some,
            [("ab", 60_000, 1), ("b", 0, 1), ("c", 60_000, 1)].map(|(key, start, count)| (text(key), start, count))
        );
        assert_eq!(
            named(driven.get(minutes.fetch_all(0, 59_999, Order::Ascending))),
            [(text("a"), 0, 2), (text("b"), 0, 1)]
        );
        let stamped = driven.store::<TimestampedKeyWindow<String, i64>>("minutes");
        assert_eq!(driven.get(stamped.get("a", 0)), Some(Stamped { value: 2, timestamp: 5_000 }));
    });
}

#[test]
fn sessions_are_read_with_what_waits_in_the_cache() {
    each(|driven| {
        let visits = driven.store::<KeySession<String, i64>>("visits");
        let (first, second) = (Window { start: 0, end: 5_000 }, Window { start: 62_000, end: 62_000 });
        assert_eq!(driven.get(visits.fetch("a", Order::Ascending)), [(first, 2), (second, 1)]);
        assert_eq!(driven.get(visits.fetch("a", Order::Descending)), [(second, 1), (first, 2)]);
        assert_eq!(driven.get(visits.fetch_session("a", 0, 5_000)), Some(2));
        assert_eq!(driven.get(visits.fetch_session("a", 0, 0)), None, "it grew");
        assert_eq!(driven.get(visits.find_sessions("a", 5_001, i64::MAX, Order::Ascending)), [(second, 1)]);
        assert_eq!(driven.get(visits.find_sessions("a", 0, 61_999, Order::Ascending)), [(first, 2)]);
        let keys = |rows: Vec<(crate::Windowed<String>, i64)>| -> Vec<(String, i64)> {
            rows.into_iter().map(|(at, _)| (at.key, at.window.end)).collect()
        };
        let some = keys(driven.get(visits.fetch_range((Some("ab"), Some("c")), Order::Ascending)));
        assert_eq!(some, [(text("ab"), 63_000), (text("c"), 61_000), (text("b"), 1_000)]);
        let all = keys(driven.get(visits.find_range((Some("a"), None), 62_000, i64::MAX, Order::Descending)));
        assert_eq!(all, [(text("ab"), 63_000), (text("a"), 62_000), (text("d"), 62_000)]);
    });
}

#[test]
fn versions_are_read_as_of_a_time() {
    let driven = filled(1 << 20, &[]);
    let prices = driven.store::<crate::VersionedKeyValue<String, String>>("prices");
    let version = |value: &str, timestamp, valid_to| VersionedRecord { value: text(value), timestamp, valid_to };
    assert_eq!(driven.get(prices.get("b")), Some(version("4", 400, None)));
    assert_eq!(driven.get(prices.get_as_of("b", 250)), Some(version("2", 200, Some(300))));
    assert_eq!((driven.get(prices.get_as_of("b", 350)), driven.get(prices.get_as_of("b", 99))), (None, None));
    let history = driven.get(prices.history("b", 150, i64::MAX, Order::Descending));
    assert_eq!(history, [version("4", 400, None), version("2", 200, Some(300)), version("1", 100, Some(200))]);
    assert_eq!(driven.get(prices.history("b", 0, 199, Order::Ascending)), [version("1", 100, Some(200))]);
}

#[test]
fn a_read_writes_nothing_of_what_waits() {
    let mut driven = Driven::new(&topology(), 1 << 20);
    driven.put("in", "a", Some("x"), 0);
    let counts = driven.store::<KeyValue<String, i64>>("counts");
    assert_eq!(driven.get(counts.get("a")), Some(1));
    assert_eq!(driven.get(counts.all(Order::Ascending)), [(text("a"), 1)]);
    assert_eq!(driven.get(counts.approximate_num_entries()), 0, "it waits as before");
}

#[test]
fn who_may_not_answer_says_why() {
    let mut driven = filled(0, &[]);
    let wrong = driven.store::<KeyValue<String, u64>>("counts").get("a");
    let said = driven.now(wrong).expect_err("other types");
    assert!(matches!(&said, QueryError::InvalidStateStore { store, .. } if store == "counts"), "{said}");
    let windows = driven.store::<KeyWindow<String, i64>>("counts").get("a", 0);
    assert!(matches!(driven.now(windows), Err(QueryError::InvalidStateStore { .. })), "another kind");
    let elsewhere = StoreQueryParameters::new("counts").with_partition(7);
    let said = driven.now(driven.store::<KeyValue<String, i64>>(elsewhere).get("a"));
    assert_eq!(said, Err(QueryError::InvalidStateStorePartition { store: text("counts"), partition: 7 }));
    let other = StoreQueryParameters::new("counts").with_partition(1);
    assert_eq!(driven.get(driven.store::<KeyValue<String, i64>>(other).get("a")), None, "it is in the other one");

    driven.tasks[0].1 = Standing::Stale;
    let counts = driven.store::<KeyValue<String, i64>>("counts");
    assert_eq!(driven.get(counts.get("a")), None, "its partition does not run here");
    assert_eq!(driven.get(counts.get("b")), Some(1));
    let stale = driven.store::<KeyValue<String, i64>>(StoreQueryParameters::new("counts").enable_stale_stores());
    assert_eq!(driven.get(stale.get("a")), Some(3));
    driven.tasks[1].1 = Standing::Stale;
    assert_eq!(driven.now(counts.get("a")), Err(QueryError::StateStoreMigrated(text("counts"))));

    driven.state = ThreadState::PartitionsAssigned;
    let said = driven.now(counts.get("a")).expect_err("tasks come and go");
    assert!(said.is_retriable() && matches!(said, QueryError::StreamsRebalancing { .. }));
    assert_eq!(driven.get(stale.get("a")), Some(3));
    driven.state = ThreadState::PendingShutdown;
    assert!(driven.now(stale.get("a")).is_err());
}

/// The threads of an application, which answer when the test lets them.
struct Threads(Vec<Arc<Queue>>);

impl Instance for Threads {
    fn queues(&self) -> Result<Vec<Arc<Queue>>, QueryError> {
        Ok(self.0.clone())
    }
}

/// A thread that ends has its tasks still: what the others answer is not all.
#[test]
fn a_part_is_not_the_whole_while_a_thread_ends() {
    let driven = filled(0, &[]);
    let ending = Arc::new(Queue::default());
    let threads = Arc::new(Threads(vec![Arc::clone(&driven.thread.0), Arc::clone(&ending)]));
    let store = |parameters: StoreQueryParameters| -> ReadOnlyKeyValue<String, i64> {
        KeyValue::<String, i64>::read_only(Asker::new(
            Arc::clone(&threads) as Arc<dyn Instance>,
            parameters,
            Scope::Partitions,
        ))
    };
    let (all, one) = (StoreQueryParameters::new("counts"), StoreQueryParameters::new("counts").with_partition(0));
    let ends = QueryError::StreamsRebalancing { store: text("counts"), state: ThreadState::PendingShutdown };
    assert!(ends.is_retriable());
    // It was asked before it closed, and it is asked after that.
    let (before, before_one) = (store(all.clone()).get("a"), store(one.clone()).get("a"));
    ending.close();
    assert_eq!((driven.now(before), driven.now(before_one)), (Err(ends.clone()), Ok(Some(3))));
    assert_eq!(driven.now(store(all.clone()).get("unknown")), Err(ends.clone()));
    assert_eq!(driven.now(store(all).all(Order::Ascending)), Err(ends));
    assert_eq!(driven.now(store(one).get("a")), Ok(Some(3)), "its partition is not of that thread");
}

/// Each thread has the whole of a global table: one that is busy, that fills its own or that ends holds nobody up.
#[test]
fn any_thread_answers_for_a_global_table() {
    let mut driven = filled(0, &[]);
    driven.globals = Some(driven.tasks[0].0.stores().clone());
    let (busy, ended) = (Arc::new(Queue::default()), Arc::new(Queue::default()));
    ended.close();
    let threads = Arc::new(Threads(vec![Arc::clone(&busy), ended, Arc::clone(&driven.thread.0)]));
    let store = |parameters: StoreQueryParameters| -> ReadOnlyKeyValue<String, i64> {
        KeyValue::<String, i64>::read_only(Asker::new(
            Arc::clone(&threads) as Arc<dyn Instance>,
            parameters,
            Scope::Global,
        ))
    };
    let plain = store(StoreQueryParameters::new("counts"));
    assert_eq!(driven.now(plain.get("a")), Ok(Some(3)));
    let bound = StoreQueryParameters::new("counts").with_position_bound(Position::new().with("in", 0, 1));
    let said = store(bound).get("a").wait().expect_err("it would be ignored").to_string();
    assert_eq!(said, "store counts: a global store has no position to wait for: it follows its topics by itself");
    driven.globals = None;
    let asked = plain.get("a");
    busy.close();
    assert!(matches!(driven.now(asked), Err(QueryError::StreamsRebalancing { .. })), "nobody has filled it yet");
}

#[test]
fn who_waits_may_wait_no_longer_than_that() {
    let driven = filled(0, &[]);
    let counts = driven.store::<KeyValue<String, i64>>("counts");
    let limit = Duration::from_millis(5);
    assert_eq!(counts.get("a").wait_for(limit), Err(QueryError::TimedOut(limit)), "the thread does not come to it");
    let asked = counts.get("a");
    let answers = std::thread::spawn(move || asked.wait_for(Duration::from_secs(3600)));
    // The question before is answered too, and nobody hears of it.
    assert_eq!(driven.get(counts.get("b")), 1.into());
    assert_eq!(answers.join().expect("no panic"), Ok(Some(3)));
}

#[test]
fn a_bound_is_kept_to_partition_by_partition() {
    let mut driven = filled(0, &[]);
    driven.tasks[0].2 = At(Position::new().with("in", 0, 4));
    driven.tasks[1].2 = At(Position::new().with("in", 1, 9));
    let bound = |bound: Position| StoreQueryParameters::new("counts").with_position_bound(bound);
    let ask = |driven: &Driven, bound| driven.now(driven.store::<KeyValue<String, i64>>(bound).get("a"));
    assert_eq!(ask(&driven, bound(Position::new().with("in", 0, 4).with("in", 1, 9))), Ok(Some(3)));
    let said = ask(&driven, bound(Position::new().with("in", 0, 5))).expect_err("it is at 4");
    assert!(said.is_retriable() && matches!(said, QueryError::NotUpToBound { partition: 0, .. }), "{said}");
    let said = ask(&driven, bound(Position::new().with("other", 1, 0))).expect_err("nothing is known of it");
    assert!(matches!(said, QueryError::NotUpToBound { partition: 1, .. }), "{said}");
    let only = bound(Position::new().with("in", 0, 5)).with_partition(1);
    assert_eq!(ask(&driven, only), Ok(None), "the bound says nothing of that partition");
    let position = driven.get(driven.store::<KeyValue<String, i64>>("counts").position());
    assert_eq!(position, Position::new().with("in", 0, 4).with("in", 1, 9));
}

/// A text whose bytes cannot be made.
struct Panics;

impl Serde<u16> for Panics {
    fn serialize(&self, _value: &u16, _out: &mut Vec<u8>) -> Result<(), SerdeError> {
        panic!("no bytes")
    }

    fn deserialize(&self, _bytes: Bytes) -> Result<u16, SerdeError> {
        Ok(0)
    }

    fn deserialize_part(&self, _part: Lent<'_>) -> Result<u16, SerdeError> {
        Ok(0)
    }
}

#[test]
fn a_serde_that_panics_is_the_error_of_the_one_query() {
    let builder = StreamsBuilder::new();
    let numbers = Materialized::<u16, String>::named("numbers").serdes(Panics, StringSerde);
    builder.table_with::<u16, String>("numbers-in", crate::Consumed::with(Panics, StringSerde), numbers);
    let driven = Driven::new(&builder.build().expect("sound"), 0);
    let numbers = driven.store::<KeyValue<u16, String>>("numbers");
    let (first, second) = (numbers.get(&1), numbers.all(Order::Ascending));
    assert!(matches!(driven.now(first), Err(QueryError::Store { .. })));
    assert_eq!(second.wait(), Ok(Vec::new()), "the thread went on");
}

#[test]
fn questions_beyond_the_bound_are_refused_and_an_awaited_answer_wakes() {
    let queue = Arc::new(Queue::default());
    let run = Arc::new(AtomicU64::new(0));
    let question = || -> Box<dyn FnOnce(&Local<'_>) + Send> {
        let run = Arc::clone(&run);
        Box::new(move |_| _ = run.fetch_add(1, Ordering::Relaxed))
    };
    assert!(!queue.is_waiting());
    let taken = (0..20_000).map_while(|_| queue.push(question()).ok()).count();
    assert_eq!((taken, queue.is_waiting(), queue.push(question())), (10_000, true, Err(Refused::Full)));
    assert_eq!((queue.take().len(), queue.is_waiting(), queue.take().len()), (10_000, false, 0));
    let (tell, told) = tokio::sync::oneshot::channel::<i32>();
    let asked = Asked::new(async move { Ok(told.await.expect("it is told")) });
    let waits = std::thread::spawn(move || asked.wait());
    tell.send(7).expect("somebody waits");
    assert_eq!(waits.join().expect("no panic"), Ok(7));
}

fn directory() -> Directory {
    let task = |subtopology, partition| TaskId { subtopology, partition };
    let mut assignment = Assignment::default();
    for partition in 0..4 {
        assignment.tasks.insert(task(0, partition), vec![TopicPartition::new("in", partition)]);
    }
    for partition in 0..2 {
        assignment.tasks.insert(task(1, partition), vec![TopicPartition::new("prices-in", partition)]);
    }
    let host = |active: &[TaskId], standby: &[TaskId]| Host {
        active: active.iter().copied().collect(),
        standby: standby.iter().copied().collect(),
    };
    assignment.hosts.insert(text("one:1"), host(&[task(0, 0), task(0, 1), task(1, 0)], &[task(0, 2)]));
    assignment.hosts.insert(text("two:2"), host(&[task(0, 2), task(0, 3), task(1, 1)], &[task(0, 0), task(0, 1)]));
    Directory::of(&assignment)
}

/// Partitions of `kafka` and its like are those of Java's producer (Utils.toPositive(Utils.murmur2(..)) % 4).
#[test]
fn the_host_of_a_key_is_that_of_the_partition_of_its_records() {
    let (topology, directory) = (topology(), directory());
    let all = directory.all(&topology, "app");
    assert_eq!(all.iter().map(|host| host.host.to_string()).collect::<Vec<_>>(), ["one:1", "two:2"]);
    let names = ["counts", "minutes", "prices", "visits"].map(text);
    assert_eq!(all[0].state_store_names.iter().cloned().collect::<Vec<_>>(), names);
    assert_eq!(
        all[0].standby_state_store_names.iter().cloned().collect::<Vec<_>>(),
        ["counts", "minutes", "visits"].map(text)
    );
    assert!(all[0].topic_partitions.contains(&TopicPartition::new("prices-in", 0)));
    assert_eq!(all[1].standby_topic_partitions.len(), 2);
    let key = |store: &str, partition: u32| {
        directory.of_key(&topology, ("app", None), store, |topic, count| {
            assert_eq!((topic, count), if store == "prices" { ("prices-in", 2) } else { ("in", 4) });
            Ok(partition)
        })
    };
    let found = key("counts", 2).expect("it is known");
    assert_eq!((found.active_host, found.partition), ("two:2".parse().ok(), Some(2)));
    assert_eq!(found.standby_hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["one:1"]);
    let found = key("prices", 1).expect("it is known");
    assert_eq!((found.active_host, found.standby_hosts.len()), ("two:2".parse().ok(), 0));
    let unknown = Directory::default().of_key(&topology, ("app", None), "counts", |_, _| Ok(0));
    assert_eq!(unknown, Err(QueryError::MetadataNotAvailable));
    assert_eq!(directory.of_store(&topology, "app", "prices").len(), 2);
    let serde = StringSerde;
    let partition = |key: &str| partition_of(&text(key), &serde, 4).expect("a text has bytes");
    assert_eq!(["kafka", "streams", "all", "lead"].map(partition), [0, 0, 0, 3]);
}
