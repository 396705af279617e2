use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use super::*;
use crate::StreamsBuilder;
use crate::op::custom::Processor;
use crate::record::Record;
use crate::serde::StringSerde;
use crate::state::MemoryRows;
use crate::store::KeyValueStore;
use crate::task::collector::{Outgoing, SendFailure};
use crate::topology::processor::Children;

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
    Task::new(TaskParts {
        topology,
        part: Part::Subtopology(0),
        partition: 0,
        settings: Rc::new(Settings::new("app")),
        collector: Box::new(Sent::default()),
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

    fn init(&mut self, setup: &mut Setup<'_>) -> Result<(), LinkError> {
        let store = setup.store::<KeyValueStore<String, String>>("seen")?;
        let found = store.borrow_mut().get(&"a".to_owned()).expect("read");
        self.0.lock().expect("no panic").push(format!("init {found:?}"));
        Ok(())
    }

    fn process(
        &mut self,
        _record: Record<String, String>,
        _next: &mut Children<String, String>,
        _context: &mut Context,
    ) -> ProcessResult {
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
    builder.add_store(Store::key_value::<String, String>("seen", StringSerde, StringSerde));
    let made = Arc::clone(&notes);
    let stream = builder.stream::<String, String>("in");
    stream.process(move || Noting(Arc::clone(&made)), "noting", &["seen"]);
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
    task.start().expect("linked");
    assert_eq!((task.partition_time(0), task.context().stream_time()), (42, 42));
}
