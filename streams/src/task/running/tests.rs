use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::op::custom::{Ctx, Processor};
use crate::record::Record;
use crate::serde::Part as Lent;
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
    held.task.restore(Lent::new(b"a"), Some(Lent::new(value)), 0).expect("restored");
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
        told.lock().expect("no panic").push(format!("{} {} {}", about.node, about.error.class(), about.error));
        crate::Response::Continue
    }));
    let sent = Sent::default();
    let values = Rc::clone(&sent.values);
    let mut with = task_with(&topology, 0, settings, Box::new(sent));
    with.start().expect("linked");
    with.add(0, [record(b"x"), record(b"y")]).expect("taken");
    assert!(with.process(0).expect("left out") && with.process(0).expect("processed"));
    assert_eq!((with.context().dropped(), values.borrow().len()), (1, 1));
    assert_eq!(*seen.lock().expect("no panic"), ["KSTREAM-MAPVALUES-0000000001 panic boom"]);
}

/// Takes nothing, for the one reason or the other; counts how often that spoils a transaction.
struct Refusing(Fault, Rc<Cell<usize>>);

impl Refusing {
    fn new(fault: Fault) -> Refusing {
        Refusing(fault, Rc::default())
    }
}

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

    fn spoil(&mut self) {
        self.1.set(self.1.get() + 1);
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
        let mut task = task_with(&topology, 0, settings, Box::new(Refusing::new(fault)));
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

/// Exactly once, a record that is missing is not committed but for one of a sink that the handler leaves out: rows of stores
/// would differ from their changelog, and who said Fail meant it, whatever a processor makes of the error.
#[test]
fn what_may_not_be_missing_spoils_the_transaction() {
    let spoilt = |build: &dyn Fn(&StreamsBuilder), answer: crate::Response| {
        let builder = StreamsBuilder::new();
        build(&builder);
        let topology = builder.build().expect("sound");
        let mut settings = Settings::new("app");
        settings.on_production = Some(Arc::new(move |_| answer));
        let (refusing, count) = (Refusing::new(Fault::Record), Rc::default());
        let mut task = task_with(&topology, 0, settings, Box::new(Refusing(refusing.0, Rc::clone(&count))));
        task.start().expect("linked");
        let (key, value) = (Some(bytes::Bytes::from_static(b"k")), Some(bytes::Bytes::from_static(b"x")));
        task.add(0, [Incoming { offset: 0, timestamp: 0, key, value, headers: Vec::new() }]).expect("taken");
        let is_over = task.process(0).is_err();
        (is_over, count.get())
    };
    let sink = |builder: &StreamsBuilder| builder.stream::<String, String>("in").to("out");
    let store = |builder: &StreamsBuilder| drop(builder.stream::<String, String>("in").group_by_key().count("counts"));
    assert_eq!(spoilt(&sink, crate::Response::Continue), (false, 0));
    assert_eq!(spoilt(&sink, crate::Response::Fail), (true, 1));
    assert_eq!(spoilt(&store, crate::Response::Continue), (false, 1));
    assert!(spoilt(&store, crate::Response::Fail).0);
}

/// The log says of which record a store or the producer failed.
#[test]
fn an_error_has_a_place() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").to("out");
    let topology = builder.build().expect("sound");
    let mut task = task_with(&topology, 0, Settings::new("app"), Box::new(Refusing::new(Fault::Producer)));
    task.start().expect("linked");
    let value = Some(bytes::Bytes::from_static(b"x"));
    task.add(0, [Incoming { offset: 9, timestamp: 0, key: None, value, headers: Vec::new() }]).expect("taken");
    let error = task.process(0).expect_err("refused");
    let place = task.place_of(&error).expect("a record").to_string();
    assert_eq!(
        (place.as_str(), error.to_string().as_str()),
        ("topic in partition 0 offset 9", "cannot send to out: no")
    );
    assert!(
        task.place_of(&TaskError::Panic { place: task.place_of(&error).expect("one"), cause: "x".to_owned() })
            .is_none()
    );
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

/// A handler that lets everything pass, and notes what it was asked about.
fn passing(settings: &mut Settings) -> Arc<Mutex<Vec<String>>> {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&seen);
    settings.on_processing = Some(Arc::new(move |about| {
        let text = format!("{} {} {}", about.node, about.error.class(), about.error);
        told.lock().expect("no panic").push(text);
        crate::Response::Continue
    }));
    seen
}

fn pass(task: &mut Task, offset: i64, key: &'static str, value: &'static str) {
    let (key, value) = (Some(bytes::Bytes::from(key)), Some(bytes::Bytes::from(value)));
    task.add(0, [Incoming { offset, timestamp: 0, key, value, headers: Vec::new() }]).expect("taken");
    assert!(task.process(0).expect("processed"));
}

/// What was sent to a topic, as texts.
fn texts(sent: &RefCell<Vec<(String, Option<Vec<u8>>)>>, topic: &str) -> Vec<Option<String>> {
    let of_topic = sent.borrow().iter().filter(|(to, _)| to == topic).map(|(_, value)| value.clone()).collect();
    let texts: Vec<Option<Vec<u8>>> = of_topic;
    texts.into_iter().map(|value| value.map(|value| String::from_utf8(value).expect("a text"))).collect()
}

/// An aggregate that the handler lets go on after a panic is what it was: written since the last commit or not, in windows
/// or not.
#[test]
fn a_panic_that_passes_leaves_the_aggregate() {
    let reducer = |sum: String, value: String| match value.as_str() {
        "bad" => panic!("boom"),
        _ => sum + &value,
    };
    let plain = StreamsBuilder::new();
    plain.stream::<String, String>("in").group_by_key().reduce(reducer, "sums").to_stream().to("out");
    let windowed = StreamsBuilder::new();
    let windows = TimeWindows::of_size_no_grace(Duration::from_secs(1));
    let grouped = windowed.stream::<String, String>("in").group_by_key().windowed_by(windows);
    grouped.reduce(reducer, "sums").to_stream().to("out");
    for builder in [plain, windowed] {
        let mut settings = Settings::new("app");
        let seen = passing(&mut settings);
        let sent = Sent::default();
        let values = Rc::clone(&sent.values);
        let mut task = task_with(&builder.build().expect("sound"), 1 << 20, settings, Box::new(sent));
        task.start().expect("linked");
        for (offset, value) in ["1", "bad", "2"].into_iter().enumerate() {
            pass(&mut task, offset as i64, "a", value);
        }
        task.flush().expect("flushed");
        task.committed();
        pass(&mut task, 3, "a", "bad");
        task.flush().expect("flushed");
        pass(&mut task, 4, "a", "3");
        task.flush().expect("flushed");
        assert_eq!(texts(&values, "out"), [Some("12".to_owned()), Some("123".to_owned())]);
        let seen = seen.lock().expect("no panic");
        assert_eq!(seen.len(), 2);
        assert!(seen.iter().all(|asked| asked == "KSTREAM-REDUCE-0000000001 panic boom"), "{seen:?}");
    }
}

/// A panic below a cache concerns one entry of it: the others go on with the same commit.
#[test]
fn a_panic_below_a_cache_leaves_out_one_entry() {
    let builder = StreamsBuilder::new();
    let counted = builder.stream::<String, String>("in").group_by_key().count("counts").to_stream();
    let named = counted.named("bad-is-bad").map(|key, count| match key.as_deref() {
        Some("bad") => panic!("boom"),
        _ => (key.unwrap_or_default(), count.to_string()),
    });
    named.to("out");
    let mut settings = Settings::new("app");
    let seen = passing(&mut settings);
    let sent = Sent::default();
    let values = Rc::clone(&sent.values);
    let mut task = task_with(&builder.build().expect("sound"), 1 << 20, settings, Box::new(sent));
    task.start().expect("linked");
    for (offset, key) in ["bad", "b", "c", "b"].into_iter().enumerate() {
        pass(&mut task, offset as i64, key, "x");
    }
    task.flush().expect("flushed");
    assert_eq!(texts(&values, "out"), [Some("1".to_owned()), Some("2".to_owned())]);
    assert_eq!(*seen.lock().expect("no panic"), ["bad-is-bad panic boom"]);
    assert_eq!(task.context().dropped(), 1);
}

/// Asks for a store that it was not given.
struct Unconnected;

impl Processor for Unconnected {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, ctx: &mut Ctx<Self>, _record: Record<String, String>) -> ProcessResult {
        let seen = ctx.store(StoreRef::<KeyValue<String, String>>::named("seen"));
        seen.get(&"a".to_owned()).map(drop)
    }
}

/// What is wrong with the program concerns each record: no handler lets it pass.
#[test]
fn a_store_that_is_not_connected_ends_the_task() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").named("lost").process((), || Unconnected).to("out");
    let topology = builder.build().expect("sound");
    for is_asked in [false, true] {
        let mut settings = Settings::new("app");
        if is_asked {
            passing(&mut settings);
        }
        let mut task = task_with(&topology, 0, settings, Box::new(Sent::default()));
        task.start().expect("linked");
        let value = Some(bytes::Bytes::from_static(b"x"));
        task.add(0, [Incoming { offset: 0, timestamp: 0, key: None, value, headers: Vec::new() }]).expect("taken");
        let error = task.process(0).expect_err("no such store").to_string();
        assert!(error.starts_with("lost has no access to store Named(\"seen\")"), "{error}");
    }
}

/// What a join knows of time is of one life of the task: the next owner's rows may be older.
#[test]
fn the_times_of_an_outer_join_are_forgotten_when_a_task_becomes_a_copy() {
    let builder = StreamsBuilder::new();
    let (left, right) = (builder.stream::<String, String>("in"), builder.stream::<String, String>("other"));
    let windows = crate::JoinWindows::of_time_difference_no_grace(Duration::from_millis(10));
    let joined = left.outer_join(&right, |_: Option<&String>, _: Option<&String>| String::new(), windows, ());
    joined.to("out");
    let mut task = task(&builder.build().expect("sound"), 0);
    task.start().expect("linked");
    one(&mut task, 0);
    let store = task
        .stores()
        .names()
        .iter()
        .find_map(|name| task.stores().get::<crate::store::Unmatched<String, String, String>>(name));
    let store = store.expect("the store of both sides");
    assert_eq!(store.borrow().stream_time(), 0);
    task.stop();
    assert_eq!(store.borrow().stream_time(), -1);
}

/// A value that JSON cannot say: its keys are no texts.
type Odd = std::collections::BTreeMap<Vec<u8>, u8>;

fn odd(value: &str) -> Odd {
    match value {
        "bad" => Odd::from([(vec![1], 1)]),
        _ => Odd::new(),
    }
}

/// A record whose value has no bytes for its topic is for the production handler to decide about.
#[test]
fn a_value_without_bytes_is_for_the_production_handler() {
    use crate::serde::{JsonSerde, StringSerde};
    let builder = StreamsBuilder::new();
    let odds = builder.stream::<String, String>("in").map_values(|value| odd(&value));
    odds.to_with("out", crate::Produced::with(StringSerde, JsonSerde::new()));
    let topology = builder.build().expect("sound");
    let run = |handler: Option<crate::task::errors::ProductionHandler>| {
        let mut settings = Settings::new("app");
        settings.on_production = handler;
        let sent = Sent::default();
        let values = Rc::clone(&sent.values);
        let mut task = task_with(&topology, 0, settings, Box::new(sent));
        task.start().expect("linked");
        for (offset, value) in [&b"bad"[..], b"good"].into_iter().enumerate() {
            let (key, value) = (Some(bytes::Bytes::from_static(b"k")), Some(bytes::Bytes::from_static(value)));
            let record = Incoming { offset: offset as i64, timestamp: 5, key, value, headers: Vec::new() };
            task.add(0, [record]).expect("taken");
            task.process(0)?;
        }
        assert_eq!(task.context().dropped(), 1);
        let values = values.take();
        Ok::<_, TaskError>(values)
    };
    let error = run(None).expect_err("nobody says continue").to_string();
    assert_eq!(error, "serialization for topic out failed at topic in partition 0 offset 0: key must be a string");
    let go_on: crate::task::errors::ProductionHandler = Arc::new(|about| {
        assert_eq!((about.topic, about.fault), ("out", crate::ProductionFault::Value));
        let record = about.record.expect("it is known");
        assert_eq!((record.key, record.value), (Some(&b"k"[..]), None));
        assert_eq!((about.cause, record.timestamp), ("key must be a string", Some(5)));
        crate::Response::Continue
    });
    assert_eq!(run(Some(go_on)).expect("left out"), [("out".to_owned(), Some(b"{}".to_vec()))]);
}

/// A row that has no bytes is an error of the record that it is put for; behind a cache, where that is gone, it ends the task.
#[test]
fn a_row_without_bytes_is_not_written() {
    use crate::serde::JsonSerde;
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, String>("in").group_by_key();
    let materialized = crate::Materialized::<String, Odd>::named("odds").serde(JsonSerde::new());
    grouped.aggregate(Odd::new, |_: &String, value: String, _: Odd| odd(&value), materialized);
    let topology = builder.build().expect("sound");
    let mut settings = Settings::new("app");
    let seen = passing(&mut settings);
    let mut plain = task_with(&topology, 0, settings.clone(), Box::new(Sent::default()));
    plain.start().expect("linked");
    pass(&mut plain, 0, "a", "bad");
    let rows = || plain.stores().held("odds").expect("the store").task.dump().expect("rows").len();
    assert_eq!((rows(), plain.context().dropped()), (0, 1));
    let name = "KSTREAM-AGGREGATE-0000000001 org.apache.kafka.common.errors.SerializationException";
    assert_eq!(*seen.lock().expect("no panic"), [format!("{name} key must be a string")]);
    let mut cached = task_with(&topology, 1 << 20, settings, Box::new(Sent::default()));
    cached.start().expect("linked");
    pass(&mut cached, 0, "a", "bad");
    let error = cached.flush().expect_err("no record to leave out").to_string();
    assert_eq!(error, "store odds: a row cannot be written: key must be a string");
}

/// A cache holds no more than it may: what a processor puts, what is only read, and values that grow.
#[test]
fn caches_stay_within_their_budget() {
    let builder = StreamsBuilder::new();
    let counted = builder.stream::<String, String>("in").group_by_key().reduce(|sum, value| sum + &value, "sums");
    counted.to_stream().to("out");
    let mut grown = task(&builder.build().expect("sound"), 10_000);
    grown.start().expect("linked");
    for offset in 0..100 {
        pass(
            &mut grown,
            offset,
            ["a", "b", "c", "d"][offset as usize % 4],
            "0123456789abcdefghijklmnopqrstuvwxyz".repeat(10).leak(),
        );
        assert!(grown.context().budget().used() <= 10_000, "record {offset}: {}", grown.context().budget().used());
    }
    let builder = StreamsBuilder::new();
    let seen = builder.add_store(crate::Stores::key_value::<String, String>("seen").caching_enabled());
    builder.stream::<String, String>("in").process([seen], || Writing).to("out");
    let mut written = task(&builder.build().expect("sound"), 10_000);
    written.start().expect("linked");
    for offset in 0..500 {
        pass(&mut written, offset, format!("key {offset}").leak(), "x");
        assert!(written.context().budget().used() <= 10_000, "record {offset}");
    }
    written.flush().expect("flushed");
    let store = Rc::clone(&written.stores().held("seen").expect("the store").task);
    assert_eq!(store.dump().expect("rows").len(), 500);
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("table", "rows");
    let joined = builder.stream::<String, String>("in").join_table(
        &table,
        |left: &String, right: &String| format!("{left}{right}"),
        (),
    );
    joined.to("out");
    let sent = Sent::default();
    let values = Rc::clone(&sent.values);
    let topology = builder.build().expect("sound");
    let mut read = task_with(&topology, 10_000, Settings::new("app"), Box::new(sent));
    let store = Rc::clone(&read.stores().held("rows").expect("the store").task);
    for row in 0..500 {
        store.restore(Lent::new(format!("key {row}").as_bytes()), Some(Lent::new(b"x")), 0).expect("restored");
    }
    read.start().expect("linked");
    let input = read.inputs().iter().position(|input| input.topic == "in").expect("it is read");
    for row in 0..500 {
        let (key, value) = (Some(format!("key {row}").into()), Some("y".into()));
        read.add(input, [Incoming { offset: row, timestamp: 0, key, value, headers: Vec::new() }]).expect("taken");
        assert!(read.process(0).expect("processed"));
        assert!(read.context().budget().used() <= 10_200, "record {row}: one more than there may be");
    }
    assert_eq!(texts(&values, "out"), vec![Some("yx".to_owned()); 500]);
    assert!(read.context().budget().used() > 5_000, "what was read last is kept");
}

/// Puts what it gets.
struct Writing;

impl Processor for Writing {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, ctx: &mut Ctx<Self>, record: Record<String, String>) -> ProcessResult {
        let seen = ctx.store(StoreRef::<KeyValue<String, String>>::named("seen"));
        seen.put(&record.key.unwrap_or_default(), record.value.unwrap_or_default())
    }
}

/// A processor below a cache puts into a store whose cache was flushed before: that is in the same commit.
#[test]
fn a_commit_leaves_nothing_in_caches() {
    let builder = StreamsBuilder::new();
    let seen = builder.add_store(crate::Stores::key_value::<String, String>("seen").caching_enabled());
    let stream = builder.stream::<String, String>("in");
    stream.process([seen], || Idle);
    let counted = stream.group_by_key().count("counts").to_stream().map_values(|count| count.to_string());
    counted.process([seen], || Writing).to("out");
    let mut task = task(&builder.build().expect("sound"), 1 << 20);
    task.start().expect("linked");
    assert_eq!(task.stores().names(), ["seen", "counts"], "in this order they are flushed");
    pass(&mut task, 0, "a", "x");
    task.flush().expect("flushed");
    let store = Rc::clone(&task.stores().held("seen").expect("the store").task);
    assert_eq!((store.waiting(), store.dump().expect("rows").len()), (0, 1));
    task.committed();
    assert!(!task.is_commit_needed());
}

/// Reads the store that others write.
struct Idle;

impl Processor for Idle {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, _ctx: &mut Ctx<Self>, _record: Record<String, String>) -> ProcessResult {
        Ok(())
    }
}

/// A serde that panics when it is to hold a value leaves the entry as it was, as a closure that panics does.
#[test]
fn a_hold_that_panics_leaves_the_aggregate() {
    struct Holding;
    impl crate::prelude::Serde<String> for Holding {
        fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<(), crate::SerdeError> {
            out.extend_from_slice(value.as_bytes());
            Ok(())
        }
        fn deserialize(&self, bytes: bytes::Bytes) -> Result<String, crate::SerdeError> {
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        fn hold(&self, value: &mut String) -> Option<usize> {
            assert!(!value.ends_with("bad"), "boom");
            Some(value.len())
        }
    }
    let builder = StreamsBuilder::new();
    let sums = crate::Materialized::<String, String>::named("sums").serde(Holding);
    let reduced = builder.stream::<String, String>("in").group_by_key().reduce(|sum, value| sum + &value, sums);
    reduced.to_stream().to("out");
    let mut settings = Settings::new("app");
    let seen = passing(&mut settings);
    let sent = Sent::default();
    let values = Rc::clone(&sent.values);
    let mut task = task_with(&builder.build().expect("sound"), 1 << 20, settings, Box::new(sent));
    task.start().expect("linked");
    for (offset, value) in ["1", "bad", "2"].into_iter().enumerate() {
        pass(&mut task, offset as i64, "a", value);
    }
    task.flush().expect("flushed");
    assert_eq!((texts(&values, "out"), seen.lock().expect("no panic").len()), (vec![Some("12".to_owned())], 1));
}

/// The largest lateness is that of the time since it was asked for.
#[test]
fn the_largest_lateness_comes_down() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").to("out");
    let mut task = task(&builder.build().expect("sound"), 0);
    task.start().expect("linked");
    for (offset, timestamp) in [10, 3, 10].into_iter().enumerate() {
        let record = Incoming { offset: offset as i64, timestamp, ..Incoming::default() };
        task.add(0, [record]).expect("taken");
        assert!(task.process(0).expect("processed"));
    }
    let first = task.take_tallied();
    let second = task.take_tallied();
    assert_eq!(
        [(first.lateness_sum, first.lateness_max), (second.lateness_sum, second.lateness_max)],
        [(7, 7), (7, 0)]
    );
}
