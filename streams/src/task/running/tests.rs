use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::op::custom::{Ctx, Processor};
use crate::record::Record;
use crate::state::MemoryRows;
use crate::task::collector::{Fault, Outgoing, SendFailure};
use crate::{EmitStrategy, KeyValue, StoreRef, StreamsBuilder, TimeWindows};

/// Values that were sent, whatever the topic.
#[derive(Default)]
struct Sent {
    topics: Vec<String>,
    values: Rc<RefCell<Vec<(String, Option<Vec<u8>>)>>>,
}

impl Collector for Sent {
    fn topic(&mut self, name: &str) -> TopicId {
        let known = self.topics.iter().position(|topic| topic == name);
        let place = known.unwrap_or_else(|| {
            self.topics.push(name.to_owned());
            self.topics.len() - 1
        });
        TopicId(place as u32)
    }

    fn partitions(&mut self, _topic: TopicId) -> u32 {
        1
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendFailure> {
        let topic = self.topics[record.topic.0 as usize].clone();
        self.values.borrow_mut().push((topic, record.value.map(<[u8]>::to_vec)));
        Ok(())
    }
}

fn task(topology: &Topology, cache_bytes: usize) -> Task {
    task_with(topology, cache_bytes, Settings::new("app"), Box::new(Sent::default()))
}

fn task_with(topology: &Topology, cache_bytes: usize, settings: Settings, collector: Box<dyn Collector>) -> Task {
    Task::new(TaskParts {
        topology,
        part: Part::Subtopology(0),
        partition: 0,
        settings: Rc::new(settings),
        collector,
        rows: &mut |_| Ok(Box::new(MemoryRows::new()) as Box<dyn Rows>),
        budget: Rc::new(Budget::new(cache_bytes)),
        globals: None,
        wall_clock: 0,
    })
    .expect("it can be made")
}

fn restore(task: &Task, store: &str, value: &[u8]) {
    let held = task.stores().held(store).expect("the store");
    let value = Some(bytes::Bytes::copy_from_slice(value));
    held.task.restore(bytes::Bytes::from_static(b"a"), value, 0, &[]).expect("restored");
}

fn one(task: &mut Task, offset: i64) {
    let (key, value) = (Some(bytes::Bytes::from_static(b"a")), Some(bytes::Bytes::from_static(b"x")));
    let record = Incoming { offset, timestamp: 0, key, value, headers: Vec::new() };
    task.add(0, [record]).expect("taken");
    assert!(task.process(0).expect("processed"));
}

/// Notes its life, and what its store holds when it begins.
struct Noting(Arc<Mutex<Vec<String>>>);

impl Processor for Noting {
    type In = (String, String);
    type Out = (String, String);

    fn init(&mut self, ctx: &mut Ctx<Self>) -> ProcessResult {
        let seen = ctx.store(StoreRef::<KeyValue<String, String>>::named("seen"));
        let found = seen.get(&"a".to_owned())?;
        self.0.lock().expect("no panic").push(format!("init {found:?}"));
        Ok(())
    }

    fn process(&mut self, _ctx: &mut Ctx<Self>, _record: Record<String, String>) -> ProcessResult {
        Ok(())
    }

    fn close(&mut self) {
        self.0.lock().expect("no panic").push("close".to_owned());
    }
}

/// A copy has no processor; one that starts finds its store restored, and one that becomes a copy again is closed.
#[test]
fn processors_live_from_the_start_to_the_stop() {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let builder = StreamsBuilder::new();
    let seen = builder.add_store(crate::Stores::key_value::<String, String>("seen"));
    let made = Arc::clone(&notes);
    let stream = builder.stream::<String, String>("in");
    stream.named("noting").process([seen], move || Noting(Arc::clone(&made)));
    let mut task = task(&builder.build().expect("sound"), 0);
    restore(&task, "seen", b"first");
    assert!(notes.lock().expect("no panic").is_empty());
    task.start().expect("linked");
    one(&mut task, 7);
    task.stop();
    assert!(task.offsets().is_empty() && !task.is_commit_needed(), "its first life is over");
    restore(&task, "seen", b"second");
    task.renew(Box::new(Sent::default()), 0);
    task.start().expect("linked again");
    task.close();
    let expected = ["init Some(\"first\")", "close", "init Some(\"second\")", "close"];
    assert_eq!(*notes.lock().expect("no panic"), expected);
}

/// While a task is a copy its rows change without its cache: it goes on counting from the rows.
#[test]
fn what_was_cached_is_forgotten_when_a_task_becomes_a_copy() {
    let builder = StreamsBuilder::new();
    let counted = builder.stream::<String, String>("in").group_by_key().count("counts");
    counted.to_stream().to("out");
    let mut task = task(&builder.build().expect("sound"), 1 << 20);
    task.start().expect("linked");
    one(&mut task, 0);
    task.flush().expect("flushed");
    task.committed();
    task.stop();
    restore(&task, "counts", &100_i64.to_be_bytes());
    let sent = Sent::default();
    let values = Rc::clone(&sent.values);
    task.renew(Box::new(sent), 0);
    task.start().expect("linked again");
    one(&mut task, 1);
    task.flush().expect("flushed");
    let count = Some(101_i64.to_be_bytes().to_vec());
    let topics = ["app-counts-changelog", "out"];
    assert_eq!(*values.borrow(), topics.map(|topic| (topic.to_owned(), count.clone())));
}

/// The time of a partition is known before there is a queue for it.
#[test]
fn times_of_partitions_wait_for_the_start() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").to("out");
    let mut task = task(&builder.build().expect("sound"), 0);
    task.set_partition_time(0, 42);
    task.set_lag(0, Some(3));
    task.start().expect("linked");
    assert_eq!((task.partition_time(0), task.context().stream_time()), (42, 42));
}

/// Up to where closed windows were handed on stands beside the offsets, and the next owner of the task goes on from there.
#[test]
fn windows_that_were_handed_on_stay_so_when_the_task_moves() {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of_size_no_grace(Duration::from_millis(10));
    let grouped = builder.stream::<String, String>("in").group_by_key().windowed_by(windows);
    grouped.emit_strategy(EmitStrategy::OnWindowClose).count("counts").to_stream().to("out");
    let topology = builder.build().expect("sound");
    let mut first = task(&topology, 0);
    first.start().expect("linked");
    let read = |task: &mut Task, timestamp: i64| {
        let (key, value) = (Some(bytes::Bytes::from_static(b"a")), Some(bytes::Bytes::from_static(b"x")));
        let record = Incoming { offset: timestamp, timestamp, key, value, headers: Vec::new() };
        task.add(0, [record]).expect("taken");
        assert!(task.process(timestamp * 1000).expect("processed"));
    };
    read(&mut first, 1);
    assert!(first.metadata(0).processors.is_empty());
    read(&mut first, 12);
    let beside = PartitionMetadata::decode(&first.metadata(0).encode()).expect("its own text");
    assert_eq!((beside.partition_time, beside.processors.get("counts")), (12, Some(&12)));
    let mut second = task(&topology, 0);
    second.set_metadata(0, &beside);
    second.start().expect("linked");
    assert!(second.offsets().is_empty());
    read(&mut second, 12);
    assert!(!second.context().is_kept_new(), "nothing closed since");
    read(&mut second, 25);
    assert!(second.context().is_kept_new());
    assert_eq!(second.metadata(0).processors.get("counts"), Some(&25));
    second.committed();
    assert!(!second.context().is_kept_new());
}

/// A panic is an error of the record like any other: the handler is asked, and the task goes on if it says so.
#[test]
fn a_panic_is_for_the_handler_to_decide_about() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in");
    stream.map_values(|value| if value == "x" { panic!("boom") } else { value }).to("out");
    let topology = builder.build().expect("sound");
    let record = |value: &'static [u8]| Incoming {
        offset: 7,
        timestamp: 0,
        key: None,
        value: Some(bytes::Bytes::from_static(value)),
        headers: Vec::new(),
    };
    let mut without = task(&topology, 0);
    without.start().expect("linked");
    without.add(0, [record(b"x")]).expect("taken");
    let error = without.process(0).expect_err("nobody says continue").to_string();
    assert_eq!(error, "processing panicked at topic in partition 0 offset 7: boom");
    let mut settings = Settings::new("app");
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&seen);
    settings.on_processing = Some(Arc::new(move |about| {
        told.lock().expect("no panic").push(format!("{} {}", about.error.class(), about.error));
        crate::Response::Continue
    }));
    let sent = Sent::default();
    let values = Rc::clone(&sent.values);
    let mut with = task_with(&topology, 0, settings, Box::new(sent));
    with.start().expect("linked");
    with.add(0, [record(b"x"), record(b"y")]).expect("taken");
    assert!(with.process(0).expect("left out") && with.process(0).expect("processed"));
    assert_eq!((with.context().dropped(), values.borrow().len()), (1, 1));
    assert_eq!(*seen.lock().expect("no panic"), ["panic boom"]);
}

/// Takes nothing, for the one reason or the other.
struct Refusing(Fault);

impl Collector for Refusing {
    fn topic(&mut self, _name: &str) -> TopicId {
        TopicId(0)
    }

    fn partitions(&mut self, _topic: TopicId) -> u32 {
        1
    }

    fn send(&mut self, _record: Outgoing<'_>) -> Result<(), SendFailure> {
        Err(SendFailure { topic: "out".to_owned(), cause: "no".to_owned(), fault: self.0 })
    }
}

/// A record that no broker takes is left out if the handler says so; a producer that fails is no matter for it.
#[test]
fn a_record_that_cannot_be_sent_is_for_the_handler_to_decide_about() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").to("out");
    let topology = builder.build().expect("sound");
    let dropped = |fault: Fault, handler: Option<crate::task::errors::ProductionHandler>| {
        let mut settings = Settings::new("app");
        settings.on_production = handler;
        let mut task = task_with(&topology, 0, settings, Box::new(Refusing(fault)));
        task.start().expect("linked");
        let value = Some(bytes::Bytes::from_static(b"x"));
        task.add(0, [Incoming { offset: 0, timestamp: 0, key: None, value, headers: Vec::new() }]).expect("taken");
        task.process(0).ok().map(|_| task.context().dropped())
    };
    let go_on: crate::task::errors::ProductionHandler = Arc::new(|about| {
        let value = about.record.and_then(|record| record.value);
        assert_eq!((about.topic, value, about.cause), ("out", Some(&b"x"[..]), "no"));
        crate::Response::Continue
    });
    assert_eq!(dropped(Fault::Record, Some(Arc::clone(&go_on))), Some(1));
    assert_eq!(dropped(Fault::Record, None), None);
    assert_eq!(dropped(Fault::Producer, Some(go_on)), None);
}

/// The log says of which record a store or the producer failed.
#[test]
fn an_error_has_a_place() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").to("out");
    let topology = builder.build().expect("sound");
    let mut task = task_with(&topology, 0, Settings::new("app"), Box::new(Refusing(Fault::Producer)));
    task.start().expect("linked");
    let value = Some(bytes::Bytes::from_static(b"x"));
    task.add(0, [Incoming { offset: 9, timestamp: 0, key: None, value, headers: Vec::new() }]).expect("taken");
    let error = task.process(0).expect_err("refused");
    let place = task.place_of(&error).expect("a record").to_string();
    assert_eq!((place.as_str(), error.to_string().as_str()), ("topic in partition 0 offset 9", "cannot send to out: no"));
    assert!(task.place_of(&TaskError::Panic { place: task.place_of(&error).expect("one"), cause: "x".to_owned() }).is_none());
}

/// What was written since the last commit is known, so that it can be made before memory runs out.
#[test]
fn rows_that_wait_for_a_commit_are_counted() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").group_by_key().count("counts").to_stream().to("out");
    let mut task = task(&builder.build().expect("sound"), 0);
    task.start().expect("linked");
    one(&mut task, 0);
    let store = Rc::clone(&task.stores().held("counts").expect("the store").task);
    assert_eq!(store.uncommitted_bytes(), "a".len() + 16, "a key, a time and a count");
    store.commit(&[]).expect("committed");
    assert_eq!(store.uncommitted_bytes(), 0);
}

/// Topics of a pattern come and go while a task runs: what waits of the others is not read again, so that it stays.
#[test]
fn partitions_of_patterns_come_and_go_while_a_task_runs() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>(crate::Topics::pattern("in-.*")).to("out");
    let topology = builder.build().expect("sound");
    let sent = Sent::default();
    let values = Rc::clone(&sent.values);
    let mut settings = Settings::new("app");
    settings.max_idle_ms = 0;
    let mut task = task_with(&topology, 0, settings, Box::new(sent));
    let first = task.add_input("in-1", 0).expect("it matches");
    task.start().expect("linked");
    let second = task.add_input("in-2", 0).expect("it matches, and the task runs");
    assert_eq!(task.add_input("other", 0), None);
    let record = |offset: i64, value: &'static [u8]| {
        let value = Some(bytes::Bytes::from_static(value));
        Incoming { offset, timestamp: offset, key: None, value, headers: Vec::new() }
    };
    task.add(first, [record(5, b"a"), record(6, b"b")]).expect("taken");
    task.add(second, [record(4, b"gone"), record(7, b"gone")]).expect("taken");
    task.clear_input(second);
    assert!(task.is_processable(0), "nothing is waited for of a partition that went");
    while task.process(0).expect("processed") {}
    let seen: Vec<Option<Vec<u8>>> = values.borrow().iter().map(|(_, value)| value.clone()).collect();
    assert_eq!(seen, [Some(b"a".to_vec()), Some(b"b".to_vec())]);
    assert_eq!(task.offsets(), [(first, None)]);
}
