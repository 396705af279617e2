//! Bad input that only a cluster, a disk or another process can give: topics that are missing, go away or do not fit
//! together, records that the cluster does not take, state that is damaged or somebody else's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::TopicPartition;
use client::admin::NewTopic;
use client::producer::NewRecord;
use streams::{
    Error, JoinWindows, KStream, KafkaStreams, Response, State, StreamsBuilder, StreamsConfig, Topology, Uncaught,
};

use super::cluster::{Broker, PATIENCE, wait_for};
use super::{LEAVE, config, counted, prepared, produce, read, started};

const CHANGELOG: &str = "live-counts-changelog";

/// What ended an application, which has to end by itself.
fn cause(app: &KafkaStreams) -> String {
    assert!(app.wait_ended(PATIENCE), "it works on: {:?}", app.state());
    assert_eq!(app.state(), State::Error);
    app.cause().expect("why it ended").to_string()
}

fn delete(broker: &Broker, topic: &str) {
    broker.runtime.block_on(broker.admin().delete_topics(&[topic.to_owned()])).expect("it is there");
}

/// How many partitions a topic has; None of one that is not there.
fn partitions(broker: &Broker, topic: &str) -> Option<usize> {
    let found = broker.runtime.block_on(broker.admin().describe_each_topic(&[topic.to_owned()], 100));
    let found = found.expect("an answer").into_iter().next().expect("one answer");
    found.1.ok().map(|described| described.partitions.len())
}

/// MissingSourceTopicException: nobody makes the topic again, and the members that do not lead know its name too.
#[test]
fn a_source_topic_that_is_deleted_ends_every_member_with_its_name() {
    let Some(broker) = Broker::start() else { return };
    let producer = prepared(&broker);
    let causes: Arc<Mutex<Vec<String>>> = Arc::default();
    let instance = || {
        let app = KafkaStreams::new(counted(), config(&broker).set("consumer.metadata.max.age.ms", 1000));
        let (app, told) = (app.expect("settings are sound"), Arc::clone(&causes));
        let handler = move |error: &Error| {
            told.lock().expect("no panic").push(error.to_string());
            Uncaught::ShutdownClient
        };
        app.set_uncaught_handler(handler).expect("not started");
        app.start().expect("threads start");
        assert!(app.wait_running(PATIENCE), "{:?}", app.threads());
        app
    };
    let instances = [instance(), instance()];
    assert!(instances[0].wait_running(PATIENCE), "{:?}", instances[0].threads());
    produce(&broker, &producer, 10, 4);
    read(&broker, 10, 4);
    delete(&broker, "words");
    instances.iter().for_each(|app| drop(cause(app)));
    assert_eq!(partitions(&broker, "words"), None, "no member makes it again");
    let causes = causes.lock().expect("no panic");
    let names = |cause: &String| cause.contains("source topics are missing: [\"words\"]; create them");
    assert!(causes.iter().all(names), "{causes:?}");
    assert!(causes.iter().any(|cause| cause.starts_with("the leader of the group found: ")), "{causes:?}");
}

/// CopartitionedTopicsEnforcer.
#[test]
fn joined_topics_of_different_counts_are_named_with_them() {
    let Some(broker) = Broker::start() else { return };
    broker.create(&[("left", 2), ("right", 3)]);
    let builder = StreamsBuilder::new();
    let (left, right): (KStream<String, String>, KStream<String, String>) =
        (builder.stream("left"), builder.stream("right"));
    let windows = JoinWindows::of_time_difference_and_grace(Duration::from_secs(1), Duration::ZERO);
    left.join(&right, |left, right| format!("{left}{right}"), windows, ()).to("out");
    let app = KafkaStreams::new(builder.build().expect("sound"), config(&broker)).expect("settings are sound");
    app.start().expect("threads start");
    let cause = cause(&app);
    assert!(cause.contains("{\"left\": 2, \"right\": 3}") && cause.contains("repartition()"), "{cause}");
}

/// A store on disk contains more than the changelog that the leader made anew: it is no copy of it, and begins anew as one in
/// memory does (OffsetOutOfRangeException of the restore consumer -> TaskCorruptedException, which exactly once wipes it).
fn a_changelog_is_deleted_while_the_application_is_stopped(settings: impl Fn(StreamsConfig) -> StreamsConfig) {
    let Some(broker) = Broker::start() else { return };
    let producer = prepared(&broker);
    let first = started(&broker, &settings);
    assert!(first.wait_running(PATIENCE), "{:?}", first.threads());
    produce(&broker, &producer, 10, 4);
    read(&broker, 10, 4);
    assert!(first.close_with(LEAVE));
    drop(first);
    delete(&broker, CHANGELOG);
    wait_for(|| "it is gone", || partitions(&broker, CHANGELOG).is_none());
    let second = started(&broker, &settings);
    assert!(second.wait_running(PATIENCE), "{:?}", second.threads());
    assert_eq!(partitions(&broker, CHANGELOG), Some(4), "the leader made it again");
    produce(&broker, &producer, 10, 2);
    for (word, of_word) in broker.reader("counts-out", 2).numbers(10 * 6) {
        assert_eq!(of_word, [1, 2, 3, 4, 1, 2], "{word}");
    }
    assert!(second.close_with(LEAVE));
}

#[test]
fn a_changelog_that_was_deleted_is_made_again() {
    a_changelog_is_deleted_while_the_application_is_stopped(|config| config);
}

/// What is written to it meanwhile makes the cluster make it again, with a partition; then it is not what the store needs:
/// the application ends with its name. Nothing is committed that the store does not have.
#[test]
fn a_changelog_that_is_deleted_under_a_running_application_ends_it_with_its_name() {
    let Some(broker) = Broker::start() else { return };
    let producer = prepared(&broker);
    let app = started(&broker, |config| {
        let config = config.set("producer.max.block.ms", 2000).set("producer.delivery.timeout.ms", 5000);
        config.set("producer.request.timeout.ms", 2000).set("producer.linger.ms", 0).set("task.timeout.ms", 10_000)
    });
    assert!(app.wait_running(PATIENCE), "{:?}", app.threads());
    produce(&broker, &producer, 10, 4);
    read(&broker, 10, 4);
    delete(&broker, CHANGELOG);
    produce(&broker, &producer, 10, 4);
    let cause = cause(&app);
    assert!(cause.contains(CHANGELOG), "{cause}");
}

/// Hands words on; one of them becomes a text that nobody takes.
fn widened() -> Topology {
    let builder = StreamsBuilder::new();
    let words: KStream<String, String> = builder.stream("words");
    words.map_values(|word| if word == "wide" { "x".repeat(4000) } else { word }).to("out");
    builder.build().expect("sound")
}

/// What the group `live` has of partition 0 of `words`.
fn committed(broker: &Broker) -> i64 {
    let found = broker.runtime.block_on(broker.admin().committed_offsets("live")).expect("the group's offsets");
    found.get(&TopicPartition::new("words", 0)).map_or(0, |at| at.offset)
}

/// Who does not take the wide record: it is larger than the producer's, or the topic's, limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refuses {
    Producer,
    Broker,
}

/// Good, wide and, if the handler let that one pass, good again.
fn send_wide(guarantee: &str, refuses: Refuses, response: Response) {
    let Some(broker) = Broker::start() else { return };
    broker.create(&[("words", 1)]);
    let limited = vec![("max.message.bytes".to_owned(), "2000".to_owned())];
    let configs = if refuses == Refuses::Broker { limited } else { Vec::new() };
    let new = NewTopic { name: "out".to_owned(), partitions: Some(1), configs, ..NewTopic::default() };
    broker.runtime.block_on(broker.admin().create_topic(&new)).expect("a new topic");
    let settings = config(&broker).set("processing.guarantee", guarantee).set("commit.interval.ms", 50);
    let settings = settings.set("num.stream.threads", 1).set("producer.linger.ms", 0);
    let settings = match refuses {
        Refuses::Producer => settings.set("producer.max.request.size", 2000),
        Refuses::Broker => settings,
    };
    let app = KafkaStreams::new(widened(), settings).expect("settings are sound");
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&asked);
    let handler = move |about: &streams::ProductionContext<'_>| {
        told.lock().expect("no panic").push(format!("{} {:?}", about.topic, about.fault));
        response
    };
    app.set_production_handler(handler).expect("not started");
    app.start().expect("threads start");
    let producer = broker.producer();
    let send = |word: &str| {
        let record =
            NewRecord { topic: "words", partition: Some(0), value: Some(word.as_bytes()), ..NewRecord::default() };
        broker.send(&producer, &[record]);
    };
    send("good");
    wait_for(|| "the first record is committed", || committed(&broker) == 1);
    send("wide");
    match response {
        Response::Continue => {
            wait_for(
                || "it is left out and committed",
                || {
                    assert_eq!(app.state(), State::Running, "{:?}", app.cause());
                    committed(&broker) == 2
                },
            );
            send("good");
            wait_for(|| "the next is committed", || committed(&broker) == 3);
            assert!(app.close_with(LEAVE));
        }
        Response::Fail => {
            let cause = cause(&app);
            // What a broker refuses is told after its task is done with it: its place in the source is not known any more.
            let place = if refuses == Refuses::Broker { "out" } else { "words partition 0 offset 1" };
            assert!(cause.contains("out") && cause.contains(place), "{cause}");
            assert_eq!(committed(&broker), 1, "nothing is committed past the record");
        }
    }
    assert_eq!(*asked.lock().expect("no panic"), ["out Refused"]);
    let mut reader = broker.reader("out", 1);
    reader.read(Duration::from_secs(1));
    let goods = if response == Response::Fail { 1 } else { 2 };
    let found: Vec<Option<Vec<u8>>> = reader.values.into_values().flatten().collect();
    assert_eq!(found, vec![Some(b"good".to_vec()); goods]);
}

/// ProductionExceptionHandler: RecordTooLargeException of the producer itself, and of the broker. Exactly once the latter ends
/// the transaction, and nobody is asked.
#[test]
fn output_that_is_too_large_is_for_the_handler() {
    for guarantee in ["at_least_once", "exactly_once_v2"] {
        for response in [Response::Fail, Response::Continue] {
            send_wide(guarantee, Refuses::Producer, response);
        }
    }
    for response in [Response::Fail, Response::Continue] {
        send_wide("at_least_once", Refuses::Broker, response);
    }
}

#[cfg(feature = "rocksdb")]
mod on_disk {
    use std::path::{Path, PathBuf};

    use super::super::program::Program;
    use super::*;

    fn kept(folder: &Path, config: StreamsConfig) -> StreamsConfig {
        config.set("default.dsl.store", "rocksDB").set("state.dir", folder.display())
    }

    #[test]
    fn a_changelog_that_was_deleted_is_made_again_and_stores_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        a_changelog_is_deleted_while_the_application_is_stopped(|config| kept(folder.path(), config));
    }

    /// Files of all databases whose names end or begin like that.
    fn files(folder: &Path, fits: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.extend(files(&path, fits));
            } else if path.file_name().is_some_and(|name| fits(&name.to_string_lossy())) {
                found.push(path);
            }
        }
        found
    }

    fn overwrite_middle(path: &Path) {
        let mut bytes = std::fs::read(path).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle / 2..middle].fill(0x5a);
        std::fs::write(path, bytes).expect("a file");
    }

    /// Each of the files that a database consists of: it is deleted, and restored from the changelog; every count is exact.
    #[test]
    fn a_damaged_database_is_restored_from_its_changelog() {
        let Some(broker) = Broker::start() else { return };
        let (producer, folder) = (prepared(&broker), tempfile::tempdir().expect("a folder"));
        type Damage<'a> = (&'a str, &'a dyn Fn(&str) -> bool, &'a dyn Fn(&Path));
        let damages: [Damage<'_>; 4] = [
            ("rows", &|name| name.ends_with(".sst"), &overwrite_middle),
            ("the list of files", &|name| name.starts_with("MANIFEST"), &overwrite_middle),
            ("its name", &|name| name == "CURRENT", &|path| std::fs::write(path, b"").expect("a file")),
            ("files gone", &|name| name.ends_with(".sst"), &|path| std::fs::remove_file(path).expect("a file")),
        ];
        let mut times = 0;
        let mut round = || {
            let app = started(&broker, |config| kept(folder.path(), config));
            assert!(app.wait_running(PATIENCE), "{:?} {:?}", app.threads(), app.cause());
            produce(&broker, &producer, 500, 2);
            times += 2;
            for (word, of_word) in broker.reader("counts-out", 2).numbers(500 * times) {
                assert_eq!(of_word, (1..=i64::try_from(times).expect("small")).collect::<Vec<i64>>(), "{word}");
            }
            assert!(app.close_with(LEAVE), "{:?}", app.cause());
        };
        round();
        for (what, fits, damage) in damages {
            let damaged = files(folder.path(), fits);
            assert!(!damaged.is_empty(), "{what}: nothing is on disk");
            damaged.iter().for_each(|path| damage(path));
            eprintln!("damaged: {what}");
            round();
        }
    }

    #[test]
    fn a_state_directory_of_others_is_refused_with_what_to_do() {
        let process = "live/kafka-streams-process-metadata";
        for (text, says) in [
            (
                r#"{"format":2,"application":"live"}"#,
                "is of format 2; this version knows 1: take the version that wrote it",
            ),
            (
                r#"{"format":1,"application":"other"}"#,
                "belongs to application \"other\", not to \"live\": choose another",
            ),
            (
                r#"{"processId":"01234567-89ab-cdef-8edc-ba9876543210"}"#,
                "is not Millstream's: choose another state.dir",
            ),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::create_dir(folder.path().join("live")).expect("a folder");
            std::fs::write(folder.path().join(process), text).expect("a file");
            let config = kept(folder.path(), StreamsConfig::new("live", "localhost:9092"));
            let error = KafkaStreams::new(counted(), config).err().expect("it is another's").to_string();
            assert!(error.contains(says) && error.contains(process), "{error}");
            let left = std::fs::read_to_string(folder.path().join(process)).expect("a file");
            assert_eq!(left, text, "it is left as it is");
        }
    }

    #[test]
    fn a_state_directory_that_another_process_has_is_refused_with_its_path() {
        let Some(broker) = Broker::start() else { return };
        prepared(&broker);
        let folder = tempfile::tempdir().expect("a folder");
        let other = Program::ours(&broker, "counts", "other").set("application.id", "live");
        let mut other = other.set("default.dsl.store", "rocksDB").set("state.dir", folder.path().display()).start();
        other.wait_running();
        let refused = || KafkaStreams::new(counted(), kept(folder.path(), config(&broker))).err();
        let error = refused().expect("it is taken").to_string();
        let path = folder.path().join("live").display().to_string();
        assert!(error.contains(&path) && error.contains("is locked") && error.contains("state.dir"), "{error}");
        other.check();
        other.leave();
        assert!(refused().is_none(), "the lock ended with the process");
    }
}
