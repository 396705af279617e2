//! The metrics of Kafka Streams in Rust, by Java's groups and names: what the page of metrics says about them.
//!
//! Told by an application (`KafkaStreams::metrics`, `KafkaStreams::prometheus`), not by a broker. A test of streams holds the
//! table against what is told. Never here: values.

/// One metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Java's group: "stream-thread-metrics".
    pub group: &'static str,
    /// Java's name: "commit-rate".
    pub name: String,
    /// Java's tags.
    pub tags: &'static [&'static str],
    /// What it says, without a full stop.
    pub help: String,
}

const CLIENT: &str = "stream-metrics";
const THREAD: &str = "stream-thread-metrics";
const TASK: &str = "stream-task-metrics";
const NODE: &str = "stream-processor-node-metrics";
const TOPIC: &str = "stream-topic-metrics";
const STORE: &str = "stream-state-metrics";
const CACHE: &str = "stream-record-cache-metrics";

const OF_CLIENT: &[&str] = &["client-id"];
const OF_PROCESS: &[&str] = &["client-id", "process-id"];
const OF_APPLICATION: &[&str] = &["application-id", "client-id", "process-id"];
const OF_THREAD: &[&str] = &["thread-id"];
const OF_THREAD_OF_PROCESS: &[&str] = &["process-id", "thread-id"];
const OF_TASK: &[&str] = &["task-id", "thread-id"];
const OF_NODE: &[&str] = &["processor-node-id", "task-id", "thread-id"];
const OF_TOPIC: &[&str] = &["processor-node-id", "task-id", "thread-id", "topic"];
const OF_STORE: &[&str] = &["*-state-id", "task-id", "thread-id"];
const OF_CACHE: &[&str] = &["record-cache-id", "task-id", "thread-id"];

/// Beginnings of names that each stand for several.
#[derive(Clone, Copy)]
enum Shape {
    /// The name itself.
    One,
    /// `-rate` and `-total`.
    Counted,
    /// `-latency-avg`, `-latency-max`, `-rate` and `-total`.
    Timed,
    /// `-avg` and `-max`.
    Extremes,
    /// `-avg`, `-max` and `-min`.
    AllExtremes,
    /// `-latency-avg`, `-latency-max` and `-rate`.
    Called,
}

impl Shape {
    fn endings(self) -> &'static [(&'static str, &'static str)] {
        const RATE: (&str, &str) = ("-rate", ", a second");
        const TOTAL: (&str, &str) = ("-total", "");
        match self {
            Shape::One => &[("", "")],
            Shape::Counted => &[RATE, TOTAL],
            Shape::Timed => &[("-latency-avg", ": average time each"), ("-latency-max", ": longest time"), RATE, TOTAL],
            Shape::Extremes => &[("-avg", ", average"), ("-max", ", largest")],
            Shape::AllExtremes => &[("-avg", ", average"), ("-max", ", largest"), ("-min", ", smallest")],
            Shape::Called => &[("-latency-avg", ": average time each"), ("-latency-max", ": longest time"), RATE],
        }
    }
}

type Lines = &'static [(&'static str, Shape, &'static str)];

const OF_CLIENTS: &[(&str, &[&str], &str)] = &[
    ("alive-stream-threads", OF_CLIENT, "Threads that have not ended"),
    ("failed-stream-threads", OF_CLIENT, "Threads that ended with an error"),
    ("recording-level", OF_PROCESS, "`metrics.recording.level`: 0 INFO, 1 DEBUG, 2 TRACE"),
    ("client-state", OF_APPLICATION, "State of the application, by the order of its states"),
];

const THREADS: Lines = &[
    ("blocked-time-ns-total", Shape::One, "Nanoseconds that the thread waited for the cluster"),
    ("commit", Shape::Timed, "Commits (time in ms)"),
    ("commit-ratio", Shape::One, "Part of its time that the thread committed"),
    ("poll", Shape::Timed, "Polls (time in ms)"),
    ("poll-ratio", Shape::One, "Part of its time that the thread polled"),
    ("poll-records", Shape::Extremes, "Records of a poll"),
    ("process", Shape::Timed, "Records processed (time in ms)"),
    ("process-ratio", Shape::One, "Part of its time that the thread processed records"),
    ("process-records", Shape::Extremes, "Records processed in a round"),
    ("punctuate", Shape::Timed, "Timers that fired (time in ms)"),
    ("punctuate-ratio", Shape::One, "Part of its time that timers took"),
    ("task-closed", Shape::Counted, "Tasks closed"),
    ("task-created", Shape::Counted, "Tasks made"),
    ("thread-start-time", Shape::One, "When the thread began, in ms since 1970"),
];

const TASKS: Lines = &[
    ("active-buffer-count", Shape::One, "Records that wait in the queues"),
    ("active-process-ratio", Shape::One, "Part of the thread's processing that the task had in its last turn"),
    ("cache-size-bytes-total", Shape::One, "Bytes in the record caches"),
    ("dropped-records", Shape::Counted, "Records left out"),
    ("enforced-processing", Shape::Counted, "Records processed though a partition had none"),
    ("process", Shape::Timed, "Records processed (time in ns)"),
    ("punctuate", Shape::Timed, "Timers that fired (time in ns)"),
    ("record-lateness", Shape::Extremes, "Milliseconds by which records were behind stream time"),
    ("restore", Shape::Counted, "Rows restored"),
    ("restore-remaining-records-total", Shape::One, "Records left to restore"),
    ("update", Shape::Counted, "Rows that copies took over"),
];

const NODES: Lines = &[
    ("process", Shape::Counted, "Records that a source handed on"),
    ("record-e2e-latency", Shape::AllExtremes, "Age of records in ms, at a source and at a node without children"),
    ("suppression-emit", Shape::Counted, "Changes that a suppression let go"),
    (
        "window-aggregate-final-emit",
        Shape::Timed,
        "Results of closed windows (time of handing all on, in ms, from DEBUG)",
    ),
];

const TOPICS: Lines = &[
    ("bytes-consumed-total", Shape::One, "Bytes of records read"),
    ("bytes-produced-total", Shape::One, "Bytes of records sent by a sink"),
    ("records-consumed-total", Shape::One, "Records read"),
    ("records-produced-total", Shape::One, "Records sent by a sink"),
];

const STORES: Lines = &[
    ("all", Shape::Called, "Looks at all rows (time in ns, from DEBUG)"),
    ("commit", Shape::Called, "Commits (time in ns)"),
    ("delete", Shape::Called, "Deletions (time in ns, from DEBUG)"),
    ("fetch", Shape::Called, "Looks at windows or sessions (time in ns, from DEBUG)"),
    ("flush", Shape::Called, "None any more, as in Kafka 4.3: see commit"),
    ("get", Shape::Called, "Looks at a key (time in ns, from DEBUG)"),
    ("iterator-duration", Shape::Extremes, "Nanoseconds for which rows were gone through, from DEBUG"),
    ("num-keys", Shape::One, "Rows, in memory only"),
    ("num-open-iterators", Shape::One, "Iterators between two calls: always 0"),
    ("oldest-iterator-open-since-ms", Shape::One, "Likewise 0"),
    ("prefix-scan", Shape::Called, "Looks at the keys with a prefix (time in ns, from DEBUG)"),
    ("put", Shape::Called, "Values put (time in ns, from DEBUG)"),
    ("put-all", Shape::Called, "None: values are put one by one"),
    ("put-if-absent", Shape::Called, "Values put where there is none (time in ns, from DEBUG)"),
    ("range", Shape::Called, "Looks at a range of keys (time in ns, from DEBUG)"),
    ("record-e2e-latency", Shape::AllExtremes, "Age of records in ms when they were put, from TRACE"),
    ("remove", Shape::Called, "Sessions removed (time in ns, from DEBUG)"),
    ("restore", Shape::Called, "Restorations (time in ns)"),
    ("suppression-buffer-count", Shape::Extremes, "Changes that wait in a suppression"),
    ("suppression-buffer-size", Shape::Extremes, "Bytes of changes that wait in a suppression"),
];

const CACHES: Lines =
    &[("hit-ratio", Shape::AllExtremes, "Part of the keys looked for that the record cache had, since the task began")];

/// What RocksDB tells of a store on disk.
pub const ENGINE: &[(&str, &str)] = &[
    ("background-errors", "Errors of the background work, of the whole database"),
    ("block-cache-capacity", "Bytes that the block cache of the process may hold"),
    ("block-cache-pinned-usage", "Bytes of it that cannot be let go now"),
    ("block-cache-usage", "Bytes that it holds"),
    ("bytes-read-rate", "Bytes of values read by key, a second"),
    ("bytes-read-total", "Bytes of values read by key"),
    ("bytes-written-rate", "Bytes of batches written, a second"),
    ("bytes-written-total", "Bytes of batches written"),
    ("compaction-pending", "1 while a compaction is due"),
    ("cur-size-active-mem-table", "Bytes of the active memtable"),
    ("cur-size-all-mem-tables", "Bytes of the memtables that are not flushed yet"),
    ("estimate-num-keys", "About how many keys there are"),
    ("estimate-pending-compaction-bytes", "About how many bytes compactions have to write"),
    ("estimate-table-readers-mem", "Bytes of readers of files outside of the block cache"),
    ("live-sst-files-size", "Bytes of the files that are of the latest version"),
    ("mem-table-flush-pending", "1 while a flush is due"),
    ("num-deletes-active-mem-table", "Deletions in the active memtable"),
    ("num-deletes-imm-mem-tables", "Deletions in memtables that are to be flushed"),
    ("num-entries-active-mem-table", "Entries in the active memtable"),
    ("num-entries-imm-mem-tables", "Entries in memtables that are to be flushed"),
    ("num-immutable-mem-table", "Memtables that are to be flushed"),
    ("num-live-versions", "Versions of the tree that are in use"),
    ("num-running-compactions", "Compactions at work, of the whole database"),
    ("num-running-flushes", "Flushes at work, of the whole database"),
    ("size-all-mem-tables", "Bytes of all memtables, with those that are kept after their flush"),
    ("total-sst-files-size", "Bytes of all files"),
];

/// All metrics of streams, by groups and names.
///
/// ```
/// use millstream_base_metrics::table_streams::rows;
///
/// let all = rows();
/// let dropped = all.iter().find(|row| row.name == "dropped-records-total").expect("tasks leave records out");
/// assert_eq!((dropped.group, dropped.tags), ("stream-task-metrics", ["task-id", "thread-id"].as_slice()));
/// ```
pub fn rows() -> Vec<Row> {
    let row = |group, name: &str, tags, help: &str| Row { group, name: name.to_owned(), tags, help: help.to_owned() };
    let mut all: Vec<Row> = OF_CLIENTS.iter().map(|(name, tags, help)| row(CLIENT, name, tags, help)).collect();
    for (group, tags, lines) in [
        (THREAD, OF_THREAD, THREADS),
        (TASK, OF_TASK, TASKS),
        (NODE, OF_NODE, NODES),
        (TOPIC, OF_TOPIC, TOPICS),
        (STORE, OF_STORE, STORES),
        (CACHE, OF_CACHE, CACHES),
    ] {
        for (name, shape, help) in lines {
            let endings = shape.endings().iter();
            all.extend(endings.map(|(end, what)| row(group, &format!("{name}{end}"), tags, &format!("{help}{what}"))));
        }
    }
    let state = "State of the thread, by the order of its states";
    all.push(row(THREAD, "thread-state", OF_THREAD_OF_PROCESS, state));
    all.extend(ENGINE.iter().map(|(name, help)| row(STORE, name, OF_STORE, help)));
    all.sort_by(|left, right| (left.group, &left.name).cmp(&(right.group, &right.name)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_metric_stands_twice() {
        let all = rows();
        let twice: Vec<_> =
            all.windows(2).filter(|two| (two[0].group, &two[0].name) == (two[1].group, &two[1].name)).collect();
        assert!(twice.is_empty() && all.len() > 150, "{} {twice:?}", all.len());
    }
}
