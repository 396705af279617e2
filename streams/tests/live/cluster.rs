//! A broker as a process of its own, and what the tests write to it and read from it.
//!
//! Ours, from the binary that is built beside this test, or Apache's with `BROKER=apache`.
//!
//! Not done: building the broker; where its binary (or, with `BROKER=apache`, Java) is missing these tests are skipped.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use client::TopicPartition;
use client::admin::{Admin, NewTopic};
use client::config::{ConsumerConfig, Isolation, ProducerConfig};
use client::consumer::Consumer;
use client::metadata::Cluster;
use client::producer::{NewRecord, Producer};
use tokio::runtime::Runtime;

/// How long anything may take on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Whose broker.
#[derive(Clone)]
enum Kind {
    Ours(PathBuf),
    Apaches(PathBuf),
}

/// Whether this is the long form of the tests.
pub fn is_soak() -> bool {
    std::env::var_os("MILLSTREAM_SOAK").is_some()
}

/// Says that this test is skipped, and why, past the capture of a test that passes: tests/run.sh counts the line. In CI
/// nothing may be missing.
pub fn skip(program: &str) {
    assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "CI has no {program}");
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("skipped: {name}: no {program} on the path\n");
    std::io::stderr().write_all(line.as_bytes()).expect("a standard error");
}

/// Whether a program is there.
pub fn has(program: &str) -> bool {
    Command::new("which").arg(program).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn kind() -> Option<Kind> {
    if std::env::var("BROKER").is_ok_and(|broker| broker == "apache") {
        let script = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/apache/apache.sh"));
        return has("java").then_some(Kind::Apaches(script)).or_else(|| {
            skip("java");
            None
        });
    }
    let given = std::env::var_os("MILLSTREAM_BINARY").map(PathBuf::from);
    let found = given.or_else(|| beside("millstream"));
    if found.is_none() {
        skip("millstream");
    }
    found.map(Kind::Ours)
}

/// A program of the same build.
pub fn beside(name: &str) -> Option<PathBuf> {
    let this = std::env::current_exe().expect("a path");
    this.ancestors().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A broker on a folder of its own, killed when dropped.
pub struct Broker {
    kind: Kind,
    child: Child,
    ports: [u16; 2],
    pub folder: tempfile::TempDir,
    pub runtime: Runtime,
    _turn: MutexGuard<'static, ()>,
}

/// One test at a time: what lives for two seconds is to do something in them.
static TURN: Mutex<()> = Mutex::new(());

/// Ports that nobody has. Not such as the system gives away: by the time that a broker takes it, it would be the near end of
/// some other connection.
fn free_ports() -> [u16; 2] {
    let from = 12_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    let mut free = (from..32_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    std::array::from_fn(|_| free.next().expect("a free port"))
}

impl Broker {
    /// None where it is missing: the test is skipped.
    pub fn start() -> Option<Broker> {
        let kind = kind()?;
        // A test that failed has nothing to do with the next.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (folder, ports) = (tempfile::tempdir().expect("a folder"), free_ports());
        let child = spawn(&kind, folder.path(), ports);
        Some(Broker { kind, child, ports, folder, runtime: Runtime::new().expect("a runtime"), _turn: turn })
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Kills it as `kill -9` does, and starts it again on what is left.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.child = spawn(&self.kind, self.folder.path(), self.ports);
    }

    pub fn admin(&self) -> Admin {
        let _inside = self.runtime.enter();
        Admin::new(Cluster::new(&self.address()))
    }

    pub fn producer(&self) -> Producer {
        let _inside = self.runtime.enter();
        Producer::new(Cluster::new(&self.address()), ProducerConfig::default())
    }

    pub fn create(&self, topics: &[(&str, i32)]) {
        let admin = self.admin();
        for (topic, partitions) in topics {
            let new = NewTopic { name: (*topic).to_owned(), partitions: Some(*partitions), ..NewTopic::default() };
            self.runtime.block_on(admin.create_topic(&new)).expect("a new topic");
        }
    }

    /// Sends records and waits until all are written.
    pub fn send(&self, producer: &Producer, records: &[NewRecord<'_>]) {
        self.runtime.block_on(async {
            for record in records {
                producer.push(*record).await.expect("a record is taken");
            }
            producer.flush().await.expect("all is written");
        });
    }

    /// Who reads what is committed of a topic.
    pub fn reader(&self, topic: &str, partitions: i32) -> Reader<'_> {
        let _inside = self.runtime.enter();
        let config = ConsumerConfig { isolation: Isolation::ReadCommitted, ..ConsumerConfig::default() };
        let mut consumer = Consumer::new(Cluster::new(&self.address()), config);
        let places: Vec<_> = (0..partitions).map(|at| TopicPartition::new(topic, at)).collect();
        consumer.assign(&places).expect("no group");
        consumer.seek_to_beginning(&[]).expect("assigned");
        Reader { broker: self, consumer, values: BTreeMap::new() }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(kind: &Kind, folder: &std::path::Path, ports: [u16; 2]) -> Child {
    let data = folder.join("broker");
    let mut command = match kind {
        Kind::Ours(binary) => {
            let mut command = Command::new(binary);
            command.arg("broker").arg("--data").arg(&data).args(["--port", &format!("broker={}", ports[0])]);
            command.args(["--port", "metrics=0"]);
            // As apache.sh sets it: groups of one do not wait for a second.
            command.args(["--set", "group.initial.rebalance.delay.ms=0"]);
            command
        }
        Kind::Apaches(script) => {
            let mut command = Command::new(script);
            command.arg("broker").arg(&data).args(ports.map(|port| port.to_string()));
            command
        }
    };
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("broker.log")).expect("a log");
    let mut child =
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log).spawn().expect("it starts");
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", ports[0])).is_err() {
        assert!(child.try_wait().expect("a child").is_none(), "the broker ended: see {}", folder.display());
        assert!(started.elapsed() < PATIENCE, "the broker does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

/// Looks until it is so; `what` says what it waits for, and how far that is.
pub fn wait_for<W: std::fmt::Display>(what: impl Fn() -> W, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "never: {}", what());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What was committed to a topic: of each key all its values, in their order.
pub struct Reader<'a> {
    broker: &'a Broker,
    consumer: Consumer,
    pub values: BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>,
}

impl Reader<'_> {
    /// Reads what has come within `wait`; how many records.
    pub fn read(&mut self, wait: Duration) -> usize {
        let records = match self.broker.runtime.block_on(self.consumer.poll(wait)) {
            Ok(records) => records,
            Err(error) => {
                assert!(error.is_retriable(), "{error}");
                return 0;
            }
        };
        let mut count = 0;
        for record in records.iter() {
            let key = record.key.unwrap_or_default().to_vec();
            self.values.entry(key).or_default().push(record.value.map(<[u8]>::to_vec));
            count += 1;
        }
        count
    }

    /// Reads until all of `wanted` has come, and whatever comes just behind it; all of it as numbers.
    pub fn numbers(mut self, wanted: usize) -> BTreeMap<String, Vec<i64>> {
        let (mut count, mut last) = (0, Instant::now());
        while count < wanted {
            match self.read(Duration::from_millis(200)) {
                0 => assert!(last.elapsed() < PATIENCE, "nothing more is committed after {count} of {wanted} records"),
                more => (count, last) = (count + more, Instant::now()),
            }
        }
        self.read(Duration::from_secs(1));
        let number =
            |value: Option<Vec<u8>>| i64::from_be_bytes(value.expect("a sum").try_into().expect("eight bytes"));
        let numbers = |values: Vec<Option<Vec<u8>>>| values.into_iter().map(number).collect();
        let text = |key| String::from_utf8(key).expect("text");
        self.values.into_iter().map(|(key, values)| (text(key), numbers(values))).collect()
    }
}
