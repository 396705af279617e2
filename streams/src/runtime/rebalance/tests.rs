//! A thread whose consumer reads what a test assigns by hand: what becomes of its tasks when the group takes and gives. No
//! broker is there, and what is asked of one is answered by the test.

use super::*;
use crate::runtime::app::KafkaStreams;
use crate::serde::StringSerde;
use crate::{Consumed, StreamsBuilder, StreamsConfig, Topics};

const TASK: TaskId = TaskId { subtopology: 0, partition: 0 };
const CHANGELOG: &str = "bench-counts-changelog";

struct Bench {
    thread: StreamThread,
    /// Its clients work in the runtime of the application.
    _app: KafkaStreams,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The application waits for its threads.
        self.thread.set_state(ThreadState::Dead);
    }
}

fn place(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

impl Bench {
    /// Counts what comes in topics of a pattern.
    fn counting() -> Bench {
        let builder = StreamsBuilder::new();
        let earliest = Consumed::with(StringSerde, StringSerde).offset_reset(OffsetReset::Earliest);
        let orders = builder.stream_with::<String, String>(Topics::pattern("orders-.*"), earliest);
        orders.group_by_key().count("counts");
        // Nobody listens there.
        let config = StreamsConfig::new("bench", "127.0.0.1:1").set("default.dsl.store", "in_memory");
        let app = KafkaStreams::new(builder.build().expect("sound"), config).expect("settings are sound");
        let mut thread = app.thread();
        let handle = thread.handle.clone();
        handle.block_on(thread.consumer.unsubscribe()).expect("it has joined no group");
        Bench { thread, _app: app }
    }

    /// The group gives these topics to the task.
    fn give(&mut self, topics: &[&str]) {
        let places: Vec<TopicPartition> = topics.iter().map(|topic| place(topic)).collect();
        self.thread.consumer.assign(&places).expect("no group");
        let tasks = BTreeMap::from([(TASK, places)]);
        let assignment = Assignment { active: BTreeSet::from([TASK]), tasks, ..Assignment::default() };
        let handle = self.thread.handle.clone();
        let _inside = handle.enter();
        self.thread.follow(&assignment).expect("it can be followed");
    }

    /// The group takes a topic away.
    fn take(&mut self, topic: &str) {
        let kept: Vec<_> = self.thread.consumer.assignment().into_iter().filter(|at| *at != place(topic)).collect();
        self.thread.consumer.assign(&kept).expect("no group");
        self.thread.revoke(&[place(topic)]).expect("nothing is to be committed");
    }

    /// The cluster answers what was asked about the task.
    fn answer(&mut self, end: i64) {
        let found = Found { ends: BTreeMap::from([(place(CHANGELOG), end)]), ..Found::default() };
        self.thread.begin(TASK, &found).expect("it begins");
    }

    fn held(&self) -> &Held {
        &self.thread.tasks[&TASK]
    }

    /// What has to be known before it is read.
    fn looked_up(&self) -> Vec<String> {
        let lookup = self.held().lookup.as_ref();
        let mut topics: Vec<String> =
            lookup.into_iter().flat_map(|lookup| &lookup.places).map(|place| place.topic.clone()).collect();
        topics.sort();
        topics
    }

    fn restored(&mut self, end: i64) {
        self.thread.tasks.get_mut(&TASK).expect("it is there").logs[0].position = end;
        self.thread.finish_restore(TASK).expect("it runs");
        self.thread.resume().expect("all that it resumes is assigned");
        assert_eq!(self.held().role, Role::Active);
    }
}

#[test]
fn a_topic_that_appears_during_a_restore_is_read_after_it() {
    let mut bench = Bench::counting();
    bench.give(&["orders-a"]);
    bench.answer(100);
    assert_eq!(bench.held().role, Role::Restoring);
    bench.give(&["orders-a", "orders-b"]);
    assert_eq!(bench.looked_up(), ["orders-b"], "of the other it is known");
    bench.answer(100);
    assert_eq!(bench.held().role, Role::Restoring, "the changelog is as long as before");
    assert_eq!(bench.thread.consumer.paused(), [place("orders-a"), place("orders-b")]);
    bench.restored(100);
    assert_eq!(bench.thread.consumer.paused(), []);
    assert_eq!(bench.thread.inputs.len(), 2);
}

#[test]
fn a_topic_that_appears_while_the_cluster_is_asked_is_asked_about_too() {
    let mut bench = Bench::counting();
    bench.give(&["orders-a"]);
    bench.give(&["orders-a", "orders-b"]);
    assert_eq!(bench.looked_up(), ["orders-a", "orders-b"]);
    bench.answer(0);
    assert_eq!(bench.held().role, Role::Active, "there is nothing to restore");
    bench.thread.resume().expect("all is assigned");
    assert_eq!(bench.thread.consumer.paused(), []);
    assert_eq!(bench.thread.inputs.len(), 2);
}

#[test]
fn a_topic_that_goes_before_it_was_read_is_asked_about_no_more() {
    let mut bench = Bench::counting();
    bench.give(&["orders-a"]);
    bench.answer(0);
    bench.give(&["orders-a", "orders-b"]);
    bench.take("orders-b");
    assert_eq!(bench.looked_up(), [""; 0]);
    bench.give(&["orders-a", "orders-c"]);
    assert_eq!(bench.looked_up(), ["orders-c"]);
    bench.answer(0);
    bench.thread.resume().expect("all that it resumes is assigned");
    assert_eq!(bench.thread.consumer.paused(), []);
    // Also before the task runs at all, where the answer sets the place to read from.
    let mut bench = Bench::counting();
    bench.give(&["orders-a", "orders-b"]);
    bench.take("orders-b");
    bench.give(&["orders-a"]);
    bench.answer(0);
    assert_eq!(bench.thread.inputs.keys().collect::<Vec<_>>(), [&place("orders-a")]);
}
