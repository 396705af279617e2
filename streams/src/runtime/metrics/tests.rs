use std::collections::BTreeSet;
use std::time::Duration;

use millstream_base_metrics::table_streams;

use super::*;
use crate::EmitStrategy;
use crate::prelude::*;

const ID: TaskId = TaskId { subtopology: 0, partition: 1 };

fn worked() -> Round {
    let tallied = Tallied { dropped: 2, punctuated: 1, enforced: 1, lateness_sum: 30, lateness_max: 20 };
    let turn = Turn {
        processed: (10, Duration::from_millis(20)),
        punctuated: (1, Duration::from_millis(5)),
        buffered: 7,
        tallied,
        ..Turn::default()
    };
    Round {
        polled: Some((Duration::from_millis(50), 10)),
        turns: vec![(ID, turn)],
        committed: Some(Committed { took: Duration::from_millis(25), flushing: Duration::from_millis(10), tasks: 1 }),
        created: 1,
        ..Round::default()
    }
}

fn value(metrics: &[Metric], name: &str, of_task: bool) -> f64 {
    let found = metrics.iter().find(|metric| metric.name == name && metric.tags.contains_key("task-id") == of_task);
    found.unwrap_or_else(|| panic!("no {name}")).value
}

fn tags_of(metric: &Metric) -> String {
    metric.tags.keys().copied().collect::<Vec<_>>().join(",")
}

/// Group, name and tags of each metric, as the oracle writes them.
fn lines(metrics: &[Metric]) -> BTreeSet<String> {
    metrics.iter().map(|metric| format!("{} {} {} number", metric.group, metric.name, tags_of(metric))).collect()
}

/// What Kafka Streams has of these groups.
fn recorded(groups: &[&str]) -> BTreeSet<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/streams/metrics.txt");
    let recorded = std::fs::read_to_string(file).unwrap();
    let wanted =
        |line: &&str| line.ends_with(" number") && groups.iter().any(|group| line.starts_with(&format!("{group} ")));
    recorded.lines().filter(wanted).map(str::to_owned).collect()
}

#[test]
fn names_and_tags_are_those_of_kafka_streams() {
    let meters = Meters::new("t");
    meters.note(&worked(), Duration::from_millis(100));
    let mut all = of_instance("c", ("p", "a"), [0; 3], Recording::Info);
    all.append(&mut meters.metrics(0, "p"));
    let (ours, mut theirs) = (lines(&all), recorded(&[CLIENT, THREAD, TASK]));
    assert!(
        theirs.remove("stream-task-metrics cache-size-bytes-total task-id,thread-id number"),
        "this one has no store"
    );
    assert!(theirs.len() > 50, "{theirs:?}");
    let only_ours: Vec<&String> = ours.difference(&theirs).collect();
    // The test driver of Kafka Streams has no copies, of which these two are.
    assert_eq!(
        only_ours,
        [
            "stream-task-metrics update-rate task-id,thread-id number",
            "stream-task-metrics update-total task-id,thread-id number"
        ]
    );
    assert_eq!(theirs.difference(&ours).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// The topology of which the oracle asks Kafka Streams.
fn counted(recording: &str) -> TopologyTestDriver {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").group_by_key().count("counts").to_stream().to("out");
    let config = StreamsConfig::new("app", "h:1").set("metrics.recording.level", recording);
    let topology = builder.build().expect("the topology is sound");
    TopologyTestDriver::new(&topology, config).expect("it can be linked")
}

fn piped(mut driver: TopologyTestDriver, times: &[i64]) -> TopologyTestDriver {
    let input = driver.input::<String, String>("in");
    for time in times {
        input.pipe(&mut driver, "a", "x", *time).expect("a record");
    }
    driver
}

/// What RocksDB knows of a database as a whole, and what is counted there.
const NOT_OF_A_STORE: [&str; 18] = [
    "block-cache-data-hit-ratio",
    "block-cache-filter-hit-ratio",
    "block-cache-index-hit-ratio",
    "bytes-read-compaction-rate",
    "bytes-written-compaction-rate",
    "compaction-time-avg",
    "compaction-time-max",
    "compaction-time-min",
    "memtable-bytes-flushed-rate",
    "memtable-bytes-flushed-total",
    "memtable-flush-time-avg",
    "memtable-flush-time-max",
    "memtable-flush-time-min",
    "memtable-hit-ratio",
    "number-file-errors-total",
    "number-open-files",
    "write-stall-duration-avg",
    "write-stall-duration-total",
];

fn of_rocksdb(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| format!("stream-state-metrics {name} rocksdb-state-id,task-id,thread-id number")).collect()
}

#[test]
fn names_and_tags_below_a_task_are_those_of_kafka_streams() {
    let mut driver = piped(counted("DEBUG"), &[0]);
    let ours: BTreeSet<String> =
        lines(&driver.metrics()).iter().map(|line| line.replace("in-memory-state-id", "rocksdb-state-id")).collect();
    let theirs = recorded(&[TASK, NODE, TOPIC, STORE, CACHE]);
    let only_ours: Vec<&String> = ours.difference(&theirs).filter(|line| line.starts_with("stream-s")).collect();
    assert_eq!(only_ours, ["stream-state-metrics num-keys rocksdb-state-id,task-id,thread-id number"]);
    let missing: BTreeSet<String> = theirs.difference(&ours).cloned().collect();
    let of_engine = |line: &String| table_streams::ENGINE.iter().any(|(name, _)| line.contains(&format!(" {name} ")));
    let others: BTreeSet<String> = missing.into_iter().filter(|line| !of_engine(line)).collect();
    assert_eq!(others, of_rocksdb(&NOT_OF_A_STORE));
}

#[cfg(feature = "rocksdb")]
#[test]
fn what_rocksdb_tells_has_the_names_of_kafka_streams() {
    use crate::state::Rows;
    use crate::state::rows::rocks::{Budget, TaskDb};

    let folder = tempfile::tempdir().expect("a folder");
    let db = TaskDb::open(folder.path(), &["counts"], &Budget::new(8 << 20, 1 << 20)).expect("a database");
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").group_by_key().count("counts").to_stream().to("out");
    let topology = builder.build().expect("the topology is sound");
    let mut rows = |_: &crate::topology::store::Store| {
        let mut rows = db.rows("counts")?;
        // As it is restored: it goes into the database at once.
        rows.load(b"a", Some(&[7; 16]))?;
        rows.commit(&[])?;
        Ok(Box::new(rows) as Box<dyn Rows>)
    };
    let driver = TopologyTestDriver::with_rows(&topology, crate::Settings::new("app"), 1 << 20, &mut rows);
    let mut driver = piped(driver.expect("it can be linked"), &[0]);
    let told = driver.metrics();
    let (ours, theirs) = (lines(&told), recorded(&[STORE]));
    assert_eq!(ours.intersection(&theirs).count(), theirs.len() - of_rocksdb(&NOT_OF_A_STORE).len());
    let store =
        |name: &str| told.iter().find(|metric| metric.group == STORE && metric.name == name).map(|metric| metric.value);
    assert_eq!((store("bytes-read-total"), store("num-entries-active-mem-table")), (Some(16.0), Some(1.0)));
    assert!(store("bytes-written-total").is_some_and(|bytes| bytes >= 17.0), "a key, a value and what is around them");
    // A part of the budget is for what is not written yet.
    let capacity = store("block-cache-capacity").expect("there is a cache");
    assert!((4_000_000.0..=8.0 * 1024.0 * 1024.0).contains(&capacity), "{capacity}");
}

/// The values of a metric of all nodes or stores.
fn found(metrics: &[Metric], group: &str, name: &str) -> Vec<f64> {
    let found = metrics.iter().filter(|metric| metric.group == group && metric.name == name);
    let mut values: Vec<f64> = found.map(|metric| metric.value).collect();
    values.sort_by(f64::total_cmp);
    values
}

#[test]
fn what_nodes_topics_and_stores_do_is_counted_once() {
    let mut driver = counted("INFO");
    driver.advance_wall_clock(Duration::from_millis(100)).expect("nothing waits");
    let mut driver = piped(driver, &[10, 20, 30]);
    driver.advance_wall_clock(Duration::from_millis(50)).expect("nothing waits");
    for _ in 0..2 {
        let all = driver.metrics();
        let of = |group: &str, name: &str| found(&all, group, name);
        assert_eq!(of(NODE, "process-total"), [3.0]);
        // At the source when the clock was at 100, at the sink when it was at 150.
        assert_eq!(of(NODE, "record-e2e-latency-min"), [70.0, 120.0]);
        assert_eq!(of(NODE, "record-e2e-latency-avg"), [80.0, 130.0]);
        assert_eq!(of(NODE, "record-e2e-latency-max"), [90.0, 140.0]);
        assert_eq!(
            (of(TOPIC, "records-consumed-total"), of(TOPIC, "bytes-consumed-total")),
            (vec![3.0], vec![3.0 * 24.0])
        );
        // A key of one byte, a count of eight.
        assert_eq!(
            (of(TOPIC, "records-produced-total"), of(TOPIC, "bytes-produced-total")),
            (vec![3.0], vec![3.0 * 32.0])
        );
        assert_eq!(
            (of(STORE, "get-rate"), of(STORE, "put-rate"), of(STORE, "delete-rate")),
            (vec![0.1], vec![0.1], vec![0.0])
        );
        assert!(of(STORE, "get-latency-avg")[0].is_nan(), "no clock was looked at");
        assert_eq!(of(STORE, "num-keys"), [1.0]);
        assert_eq!(of(CACHE, "hit-ratio-avg"), [2.0 / 3.0]);
        assert_eq!(of(TASK, "cache-size-bytes-total"), [1.0 + 16.0 + 80.0]);
        assert_eq!((of(TASK, "process-total"), of(THREAD, "process-total")), (vec![3.0], vec![3.0]));
    }
    let mut driver = piped(driver, &[40]);
    let all = driver.metrics();
    assert_eq!(
        (found(&all, NODE, "process-total"), found(&all, TOPIC, "records-produced-total")),
        (vec![4.0], vec![4.0])
    );
}

#[test]
fn from_debug_on_calls_are_timed() {
    for (recording, level, is_aged) in [("DEBUG", 1.0, false), ("TRACE", 2.0, true)] {
        let all = piped(counted(recording), &[0]).metrics();
        for name in ["get-latency-avg", "put-latency-max"] {
            assert!(found(&all, STORE, name)[0] > 0.0, "{name}");
        }
        assert_eq!(found(&all, STORE, "record-e2e-latency-avg")[0] > 0.0, is_aged, "the record is of 1970");
        let settings =
            StreamsConfig::new("a", "h:1").set("metrics.recording.level", recording).settings().expect("sound");
        let instance = of_instance("c", ("p", "a"), [0; 3], settings.recording);
        assert_eq!(found(&instance, CLIENT, "recording-level"), [level]);
    }
}

/// Windows of 10 ms: two records in the first, one that closes it.
fn windowed(build: impl Fn(crate::WindowedKStream<String, String, TimeWindows>)) -> Vec<Metric> {
    let builder = StreamsBuilder::new();
    let size = TimeWindows::of_size_no_grace(Duration::from_millis(10));
    build(builder.stream::<String, String>("in").group_by_key().windowed_by(size));
    let topology = builder.build().expect("the topology is sound");
    let config = StreamsConfig::new("app", "h:1").set("metrics.recording.level", "DEBUG");
    let driver = TopologyTestDriver::new(&topology, config.set("statestore.cache.max.bytes", 0));
    let mut driver = piped(driver.expect("it can be linked"), &[1, 2]);
    // Closed windows are looked for once a second.
    driver.advance_wall_clock(Duration::from_secs(2)).expect("nothing waits");
    piped(driver, &[15]).metrics()
}

#[test]
fn what_is_held_back_and_what_goes_on_is_counted() {
    let all = windowed(|windows| {
        windows
            .count("counts")
            .suppress(Suppressed::until_window_closes(Buffer::unbounded()))
            .to_stream()
            .for_each(|_, _| {});
    });
    assert_eq!(found(&all, NODE, "suppression-emit-total"), [1.0]);
    // One waits, it is replaced, the next one comes, the first one goes.
    assert_eq!(found(&all, STORE, "suppression-buffer-count-max"), [2.0]);
    assert_eq!(found(&all, STORE, "suppression-buffer-count-avg"), [1.25]);
    let tag = |metric: &&Metric| metric.name == "suppression-buffer-size-max";
    assert!(
        all.iter()
            .find(tag)
            .is_some_and(|metric| metric.value > 0.0 && tags_of(metric).contains("in-memory-suppression-state-id"))
    );
    assert_eq!(found(&all, STORE, "fetch-rate"), [0.1]);
    assert_eq!(found(&all, NODE, "window-aggregate-final-emit-total"), [0.0]);

    let all = windowed(|windows| {
        windows.emit_strategy(EmitStrategy::OnWindowClose).count("counts").to_stream().to("out");
    });
    assert_eq!(found(&all, NODE, "window-aggregate-final-emit-total"), [1.0]);
    assert!(found(&all, NODE, "window-aggregate-final-emit-latency-max")[0] >= 0.0);
}

#[test]
fn the_table_has_what_is_told() {
    let mut all = of_instance("c", ("p", "a"), [0; 3], Recording::Info);
    all.append(&mut piped(counted("INFO"), &[0]).metrics());
    all.append(&mut windowed(|windows| {
        windows
            .count("counts")
            .suppress(Suppressed::until_window_closes(Buffer::unbounded()))
            .to_stream()
            .for_each(|_, _| {});
    }));
    let builder = StreamsBuilder::new();
    let gap = SessionWindows::of_inactivity_gap_no_grace(Duration::from_millis(10));
    builder.stream::<String, String>("in").group_by_key().windowed_by(gap).count("sessions");
    let driver = TopologyTestDriver::new(&builder.build().expect("sound"), StreamsConfig::new("app", "h:1"));
    all.append(&mut piped(driver.expect("it can be linked"), &[0]).metrics());
    let told: BTreeSet<(String, String)> =
        all.iter().map(|metric| (metric.group.to_owned(), metric.name.to_owned())).collect();
    let engine: BTreeSet<&str> = table_streams::ENGINE.iter().map(|(name, _)| *name).collect();
    let table: BTreeSet<(String, String)> = table_streams::rows()
        .into_iter()
        .filter(|row| !engine.contains(row.name.as_str()))
        .map(|row| (row.group.to_owned(), row.name))
        .collect();
    assert_eq!(told.difference(&table).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "not in the table");
    assert_eq!(table.difference(&told).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "in the table alone");
}

#[test]
fn a_round_is_counted_in_its_thread_and_its_tasks() {
    let meters = Meters::new("t");
    meters.note(&worked(), Duration::from_millis(200));
    let all = meters.metrics(4, "p");
    let (thread, task) = (|name: &str| value(&all, name, false), |name: &str| value(&all, name, true));
    assert_eq!(
        (thread("process-total"), thread("process-latency-avg"), thread("process-records-max")),
        (10.0, 2.0, 10.0)
    );
    assert_eq!((thread("poll-total"), thread("poll-latency-max"), thread("poll-records-avg")), (1.0, 50.0, 10.0));
    assert_eq!((thread("commit-total"), thread("commit-latency-avg")), (1.0, 25.0));
    assert_eq!((thread("poll-ratio"), thread("process-ratio"), thread("commit-ratio")), (0.25, 0.1, 0.125));
    assert_eq!((thread("blocked-time-ns-total"), thread("thread-state")), (65e6, 4.0));
    assert_eq!((thread("task-created-total"), thread("task-closed-total")), (1.0, 0.0));
    assert_eq!((task("process-total"), task("process-latency-avg")), (10.0, 2e6));
    assert_eq!(
        (task("dropped-records-total"), task("enforced-processing-total"), task("punctuate-total")),
        (2.0, 1.0, 1.0)
    );
    assert_eq!((task("record-lateness-avg"), task("record-lateness-max")), (3.0, 20.0));
    assert_eq!((task("active-buffer-count"), task("active-process-ratio")), (7.0, 1.0));
}

#[test]
fn what_a_task_counts_is_told_once_and_goes_with_the_task() {
    let meters = Meters::new("t");
    for _ in 0..2 {
        // The same tally twice: nothing was dropped in the second round.
        meters.note(&worked(), Duration::from_millis(200));
    }
    let restored = Round { restored: vec![(ID, 40, 60)], copied: vec![(ID, 3)], ..Round::default() };
    meters.note(&restored, Duration::from_millis(1));
    let all = meters.metrics(4, "p");
    assert_eq!((value(&all, "dropped-records-total", true), value(&all, "record-lateness-avg", true)), (2.0, 1.5));
    assert_eq!(
        (value(&all, "restore-total", true), value(&all, "restore-remaining-records-total", true)),
        (40.0, 60.0)
    );
    assert_eq!(value(&all, "update-total", true), 3.0);
    for (over, closed) in
        [(Round { demoted: vec![ID], ..Round::default() }, 0.0), (Round { closed: vec![ID], ..Round::default() }, 1.0)]
    {
        meters.note(&worked(), Duration::from_millis(1));
        meters.note(&over, Duration::from_millis(1));
        let all = meters.metrics(4, "p");
        assert!(all.iter().all(|metric| metric.group != TASK));
        assert_eq!(value(&all, "task-closed-total", false), closed);
    }
}

#[test]
fn the_page_has_the_names_of_the_exporter() {
    let meters = Meters::new("app-1");
    meters.note(&worked(), Duration::from_millis(200));
    let text = page_of(&meters.metrics(4, "p"));
    for line in [
        "kafka_streams_stream_thread_metrics_process_total{thread_id=\"app-1\"} 10.0",
        "kafka_streams_stream_task_metrics_dropped_records_total{task_id=\"0_1\",thread_id=\"app-1\"} 2.0",
        "kafka_streams_stream_task_metrics_restore_remaining_records_total{task_id=\"0_1\",thread_id=\"app-1\"} 0.0",
        "kafka_streams_stream_thread_metrics_thread_state{process_id=\"p\",thread_id=\"app-1\"} 4.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
