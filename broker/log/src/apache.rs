//! Folders exchanged with a real Apache Kafka 4.3.1, both ways. Needs a JDK; without one the tests say that they
//! are skipped, and fail when `CI=true`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use millstream_base_env::clock::Moment;
use millstream_base_env::{Clock, Disk};
use millstream_protocol::compress::CODECS;
use uuid::Uuid;

use crate::append::{LeaderAppend, VerificationGuard};
use crate::config::{CleanupPolicy, LogConfig};
use crate::folder::{LOG, parse_file};
use crate::log_dir::LogDir;
use crate::partition_log::PartitionLog;
use crate::read::{Isolation, MinimumOne, ReadRequest};
use crate::testing::{Batch, NOW_MS, read_all};

/// Whether the tests can run here.
fn has_java() -> bool {
    let found = Command::new("java").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    let must_run = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !must_run, "these tests need java on the path");
    if !found {
        say_skipped("no java on the path");
    }
    found
}

/// Says that this test is skipped, and why, past the capture of a test that passes: tests/run.sh counts the line.
fn say_skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("skipped: {name}: {why}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("a standard error");
}

fn apache_sh() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/apache/apache.sh")
}

fn run(arguments: &[&str]) -> Output {
    let output = Command::new(apache_sh()).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "apache.sh {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn java(arguments: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java/LogFolders.java");
    run(&[&["java", source.to_str().unwrap()], arguments].concat());
}

/// A real broker on a free port.
struct Apache {
    child: Child,
    bootstrap: String,
}

impl Apache {
    fn start(dir: &Path) -> Apache {
        // Both are held until both are known, so that they differ.
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, controller] = sockets.map(|socket| socket.local_addr().unwrap().port().to_string());
        let mut command = Command::new(apache_sh());
        command.args(["broker", dir.to_str().unwrap(), &port, &controller]);
        command.args(["log.cleaner.backoff.ms=200", "log.cleaner.dedupe.buffer.size=2097152"]);
        command.args(["offsets.topic.num.partitions=3", "transaction.state.log.num.partitions=3"]);
        command.args(["auto.create.topics.enable=false", "log.retention.check.interval.ms=3600000"]);
        command.env("BROKER_JAVA_OPTS", "-Xmx512m -XX:+UseSerialGC");
        let log = fs::File::options().create(true).append(true).open(dir.join("broker.log")).unwrap();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let bootstrap = format!("127.0.0.1:{port}");
        await_that("the broker answers", || std::net::TcpStream::connect(&bootstrap).is_ok());
        Apache { child, bootstrap }
    }

    /// Stops it cleanly, as SIGTERM does.
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Already gone after stop(); a failed test leaves none behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn await_that(what: &str, condition: impl Fn() -> bool) {
    let start = Moment::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(240), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn config_of(topic: &str) -> Arc<LogConfig> {
    let compact = topic.starts_with("__") || topic == "compacted";
    Arc::new(LogConfig {
        segment_bytes: 1 << 20,
        min_cleanable_dirty_ratio: 0.01,
        cleanup_policy: CleanupPolicy { delete: !compact, compact },
        message_timestamp_after_max_ms: i64::MAX,
        ..LogConfig::default()
    })
}

fn open(path: &Path) -> Arc<LogDir> {
    let dir = LogDir::open(Disk::Real, Clock::Real, path).unwrap();
    for log in dir.load_all(2, &config_of).unwrap() {
        log.set_high_watermark(i64::MAX);
    }
    dir
}

/// Every byte that the log serves.
fn served(log: &PartitionLog) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut offset = log.log_start_offset();
    while offset < log.log_end_offset() {
        let request =
            ReadRequest { offset, bytes_max: 64 << 20, minimum_one: MinimumOne::Yes, isolation: Isolation::LogEnd };
        let Some(slice) = log.read(&request).unwrap().slice else { break };
        let piece = slice.bytes().unwrap();
        offset = crate::testing::batches(&piece).last().unwrap().0.last_offset() + 1;
        bytes.extend(piece);
    }
    bytes
}

/// The bytes of the partition's `.log` files, in order.
fn on_disk(folder: &Path) -> Vec<u8> {
    files_of(folder, LOG).iter().flat_map(|path| fs::read(path).unwrap()).collect()
}

fn files_of(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = names
        .filter(|path| path.is_file() && parse_file(path.file_name().unwrap().to_str().unwrap()).is_some())
        .filter(|path| path.to_str().unwrap().ends_with(kind))
        .collect();
    files.sort();
    files
}

/// What a read_committed consumer sees, as LogFolders.java writes it down.
fn committed(dir: &LogDir) -> Vec<String> {
    let mut lines = Vec::new();
    for log in dir.partitions().into_iter().filter(|log| !log.topic().starts_with("__")) {
        for record in read_all(&log, Isolation::Committed) {
            let text = |field: Option<String>| field.unwrap_or_else(|| "null".to_owned());
            let (key, value) = (text(record.key), text(record.value));
            lines.push(format!("{} {} {} {key} {value}", log.topic(), log.partition(), record.offset));
        }
    }
    lines.sort();
    lines
}

fn committed_by_apache(broker: &Apache, out: &Path) -> Vec<String> {
    java(&["read", &broker.bootstrap, out.to_str().unwrap()]);
    let text = fs::read_to_string(out).unwrap();
    let mut lines: Vec<String> = text.lines().filter(|line| !line.starts_with("__")).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Runs Apache's DumpLogSegments over files; panics at anything it finds wrong.
fn dump(files: &[PathBuf], options: &[&str]) {
    if files.is_empty() {
        return;
    }
    let list: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
    let output = run(&[&["tool", "kafka-dump-log", "--files", &list.join(",")], options].concat());
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    for bad in ["isvalid: false", "ismatch", "Exception", "rror:", "out of order", "orrupt", "invalid bytes"] {
        let line = text.lines().find(|line| line.contains(bad));
        assert!(line.is_none(), "{options:?}: {line:?}");
    }
    assert!(text.contains("Dumping"), "{text}");
}

/// Dumps every file under a log directory with each check that applies.
fn dump_all(root: &Path) {
    let folders: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && !path.to_str().unwrap().contains("__cluster_metadata"))
        .collect();
    let of = |kind: &str, wanted: &dyn Fn(&str) -> bool| -> Vec<PathBuf> {
        let folders = folders.iter().filter(|folder| wanted(folder.file_name().unwrap().to_str().unwrap()));
        folders.flat_map(|folder| files_of(folder, kind)).collect()
    };
    let any = |_: &str| true;
    dump(&of(LOG, &|name| !name.starts_with("__")), &["--deep-iteration"]);
    dump(&of(LOG, &|name| name.starts_with("__consumer_offsets")), &["--deep-iteration", "--offsets-decoder"]);
    dump(&of(LOG, &|name| name.starts_with("__transaction_state")), &["--deep-iteration", "--transaction-log-decoder"]);
    let indexes = [of(".index", &any), of(".timeindex", &any)].concat();
    dump(&indexes, &["--index-sanity-check"]);
    dump(&[indexes, of(".txnindex", &any), of(".snapshot", &any)].concat(), &["--deep-iteration"]);
}

#[test]
fn a_folder_of_apache_is_served_continued_and_opened_by_apache_again() {
    if !has_java() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let (theirs, ours) = (temp.path().join("theirs"), temp.path().join("ours"));
    fs::create_dir_all(&theirs).unwrap();
    let broker = Apache::start(&theirs);
    java(&["produce", &broker.bootstrap]);
    await_that("the compacted topic is clean", || {
        let checkpoint = fs::read_to_string(theirs.join("logs/cleaner-offset-checkpoint")).unwrap_or_default();
        checkpoint.contains("compacted 0")
    });
    let seen_by_apache = committed_by_apache(&broker, &temp.path().join("seen"));
    broker.stop();
    copy(&theirs, &ours);

    let dir = open(&ours.join("logs"));
    let mut compared = 0;
    for log in dir.partitions() {
        assert_eq!(served(&log), on_disk(&log.folder()), "{}-{}", log.topic(), log.partition());
        compared += 1;
    }
    assert_eq!(compared, 5 + 2 + 1 + 3 + 3);
    assert_eq!(committed(&dir), seen_by_apache);
    continue_everything(&dir);
    let expected = committed(&dir);
    assert!(expected.len() > seen_by_apache.len() / 2);
    dir.close().unwrap();
    drop(dir);
    dump_all(&ours.join("logs"));

    let broker = Apache::start(&ours);
    assert_eq!(committed_by_apache(&broker, &temp.path().join("seen again")), expected);
    broker.stop();
    let log = fs::read_to_string(ours.join("broker.log")).unwrap();
    assert!(!log.contains("Found invalid messages") && !log.contains("ERROR"), "{log}");
}

/// Appends to each log, rolls, and compacts.
fn continue_everything(dir: &Arc<LogDir>) {
    let client = LeaderAppend { verification: VerificationGuard::DISABLED, ..LeaderAppend::client(1) };
    for log in dir.partitions().into_iter().filter(|log| !log.topic().starts_with("__")) {
        for (index, codec) in CODECS.into_iter().enumerate() {
            let batch = Batch::new().keyed("key-1", &format!("ours-{index}")).keyed("key-2", "ours").codec(codec);
            log.append_as_leader(&batch.bytes(), &client).unwrap();
        }
        let aborted = Batch::new().keyed("key-3", "aborted").producer(900, 0, 0).transactional();
        log.append_as_leader(&aborted.bytes(), &client).unwrap();
        log.append_as_leader(&Batch::marker(900, 0, 0, 0), &LeaderAppend::coordinator(1)).unwrap();
        let committed = Batch::new().keyed("key-4", "committed").producer(901, 0, 0).transactional();
        log.append_as_leader(&committed.bytes(), &client).unwrap();
        log.append_as_leader(&Batch::marker(901, 0, 1, 0), &LeaderAppend::coordinator(1)).unwrap();
    }
    for log in dir.partitions() {
        log.roll().unwrap();
    }
    let mut cleaned = Vec::new();
    while let Some(name) = dir.clean_one(8 << 20, f64::MAX).unwrap() {
        cleaned.push(name);
    }
    assert!(cleaned.contains(&"compacted-0".to_owned()), "{cleaned:?}");
}

#[test]
fn apaches_own_tool_finds_nothing_wrong_in_what_we_wrote() {
    if !has_java() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = open(temp.path());
    let client = LeaderAppend { verification: VerificationGuard::DISABLED, ..LeaderAppend::client(0) };
    let small = LogConfig {
        segment_bytes: 20_000,
        index_interval_bytes: 500,
        message_timestamp_before_max_ms: i64::MAX,
        ..config_of("plain").as_ref().clone()
    };
    for (topic, compact) in [("plain", false), ("compacted", true)] {
        let config =
            Arc::new(LogConfig { cleanup_policy: CleanupPolicy { delete: !compact, compact }, ..small.clone() });
        let log = dir.open_partition(topic, 0, Uuid::from_u128(5), config).unwrap();
        for index in 0..1500i32 {
            let codec = CODECS[index as usize % 5];
            let value = format!("value-{index}-{}", "x".repeat(index as usize % 90));
            let mut batch = Batch::new().keyed(&format!("key-{}", index % 70), &value).codec(codec);
            batch =
                batch.record(Some("gone"), if index % 3 == 0 { None } else { Some("v") }, NOW_MS + i64::from(index));
            let producer = i64::from(index % 3);
            batch = batch.producer(producer, 0, index / 3 * 2).transactional();
            log.append_as_leader(&batch.bytes(), &client).unwrap();
            if index % 7 == 0 {
                let marker = Batch::marker(producer, 0, i16::from(index % 2 == 0), 0);
                log.append_as_leader(&marker, &LeaderAppend::coordinator(0)).unwrap();
            }
        }
        for producer in 0..3 {
            log.append_as_leader(&Batch::marker(producer, 0, 1, 0), &LeaderAppend::coordinator(0)).unwrap();
        }
        assert!(log.segment_count() > 5);
        log.roll().unwrap();
    }
    while dir.clean_one(8 << 20, f64::MAX).unwrap().is_some() {}
    let before = committed(&dir);
    let plain = dir.partition("plain", 0).unwrap();
    plain.append_as_leader(&Batch::of(3, "tail").bytes(), &client).unwrap();
    // A kill: nothing is closed, the lock goes with the process.
    drop(dir);
    drop(plain);
    dump_all(temp.path());
    let dir = open(temp.path());
    assert_eq!(committed(&dir).len(), before.len() + 3);
    dir.close().unwrap();
    dump_all(temp.path());
}
