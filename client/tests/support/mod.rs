//! Brokers as child processes, kcat, and a proxy that damages what a broker answers.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::metadata::Cluster;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub mod proxy;

#[derive(Clone)]
enum Kind {
    Ours(PathBuf),
    Apaches(PathBuf),
}

/// The ports of a broker.
#[derive(Clone, Copy)]
pub struct Ports {
    pub broker: u16,
    pub controller: u16,
}

/// More of `key=value` for a broker, made anew at each start.
pub type Settings = Box<dyn Fn(Ports) -> Vec<String> + Send + Sync>;

/// A broker on a folder that outlives it, killed when dropped.
pub struct Node {
    kind: Kind,
    folder: tempfile::TempDir,
    pub ports: Ports,
    child: Option<Child>,
    settings: Settings,
    /// A controller as well, the only one of its cluster.
    controls: bool,
    /// For Apache's `kafka-storage format`.
    format: String,
}

/// A port that nobody has. Not one of those that the system gives away (from 32768 on): by the time that a broker takes
/// it, it would be the near end of some other test's connection.
pub fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| rand::random_range(12_000..32_000));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// Whether a program is there.
pub fn has(program: &str) -> bool {
    Command::new("which").arg(program).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn ours() -> Kind {
    let this = std::env::current_exe().expect("a path");
    let given = std::env::var_os("MILLSTREAM_BINARY").map(PathBuf::from);
    let beside = || this.ancestors().map(|folder| folder.join("millstream")).find(|path| path.is_file());
    Kind::Ours(given.or_else(beside).expect("run `cargo build --release -p millstream-cli` first"))
}

/// The same for a test that does without; in CI nothing may be missing.
pub fn is_there(program: &str) -> bool {
    let found = has(program);
    assert!(found || std::env::var("CI").map_or(true, |ci| ci != "true"), "CI has no {program}");
    if !found {
        say_skipped(&format!("no {program} on the path"));
    }
    found
}

/// Says that this test is skipped, and why, past the capture of a test that passes: tests/run.sh counts the line.
fn say_skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("skipped: {name}: {why}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("a standard error");
}

fn apaches() -> Option<Kind> {
    if !is_there("java") {
        return None;
    }
    Some(Kind::Apaches(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/apache/apache.sh"))))
}

impl Node {
    /// This project's broker, from the binary built beside this test.
    pub fn ours() -> Node {
        Node::started(ours(), Box::new(|_| Vec::new()))
    }

    /// Apache's, if there is Java; in CI it has to be.
    pub fn apaches() -> Option<Node> {
        Some(Node::started(apaches()?, Box::new(|_| Vec::new())))
    }

    /// This project's, which clients reach by `port` only.
    pub fn ours_behind(port: u16) -> Node {
        Node::started(ours(), Box::new(move |_| vec![format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port}")]))
    }

    /// Apache's, which clients reach by `port` only, with transactions of this version.
    pub fn apaches_behind(port: u16, transaction_version: i16) -> Option<Node> {
        let settings = move |ports: Ports| {
            let controller = ports.controller;
            vec![format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}")]
        };
        let mut node = Node::new(apaches()?, Box::new(settings));
        node.format = format!("--feature transaction.version={transaction_version}");
        node.run();
        Some(node)
    }

    /// Apache's with settings of its own, made from its two ports and a folder; None without Java.
    pub fn apaches_with(settings: impl FnOnce(Ports, &Path) -> Vec<String>) -> Option<Node> {
        let mut node = Node::new(apaches()?, Box::new(|_| Vec::new()));
        let made = settings(node.ports, node.folder.path());
        node.settings = Box::new(move |_| made.clone());
        node.run();
        Some(node)
    }

    /// One of several of Apache's, the first of which controls the others; not started yet.
    pub fn apaches_one_of(is_first: bool, settings: Settings) -> Option<Node> {
        let mut node = Node::new(apaches()?, settings);
        node.controls = is_first;
        Some(node)
    }

    /// Starts brokers that need one another.
    pub fn start_together(nodes: &mut [Node]) {
        nodes.iter_mut().for_each(Node::spawn);
        nodes.iter_mut().for_each(Node::await_up);
    }

    /// Another place and other settings for the next start.
    pub fn move_to(&mut self, port: u16, settings: Settings) {
        self.ports.broker = port;
        self.settings = settings;
    }

    fn new(kind: Kind, settings: Settings) -> Node {
        let ports = Ports { broker: free_port(), controller: free_port() };
        let (folder, format) = (tempfile::tempdir().expect("a folder"), String::new());
        Node { kind, folder, ports, child: None, settings, controls: true, format }
    }

    fn started(kind: Kind, settings: Settings) -> Node {
        let mut node = Node::new(kind, settings);
        node.run();
        node
    }

    fn run(&mut self) {
        self.spawn();
        self.await_up();
    }

    fn spawn(&mut self) {
        let data = self.folder.path().join("data");
        let settings = (self.settings)(self.ports);
        let mut command = match &self.kind {
            Kind::Ours(binary) => {
                let mut command = Command::new(binary);
                command.args(["broker", "--port", &format!("broker={}", self.ports.broker), "--port", "metrics=0"]);
                command.arg("--data").arg(data);
                for setting in settings.iter().map(String::as_str).chain(["group.initial.rebalance.delay.ms=0"]) {
                    command.args(["--set", setting]);
                }
                command
            }
            Kind::Apaches(script) => {
                let mut command = Command::new(script);
                command.env("BROKER_JAVA_OPTS", "-Xmx512m -Xms128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1");
                command.env("FORMAT_FLAGS", &self.format);
                if !self.controls {
                    command.env("FORMAT_QUORUM", "");
                }
                command
                    .arg("broker")
                    .arg(data)
                    .args([self.ports.broker.to_string(), self.ports.controller.to_string()]);
                command.arg("group.initial.rebalance.delay.ms=0").args(settings);
                command
            }
        };
        let output = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log file");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a handle")).stderr(output);
        self.child = Some(command.spawn().expect("a broker"));
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }

    /// The last lines of what it printed.
    pub fn said(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Waits until it takes connections; one that has ended or is late fails the test with what it said.
    fn await_up(&mut self) {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.ports.broker)).is_err() {
            let child = self.child.as_mut().expect("spawned");
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "the broker ended at its start with {ended:?}:\n{}", self.said());
            assert!(started.elapsed() < Duration::from_secs(90), "the broker does not come up:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it with SIGKILL and starts it again.
    pub fn crash(&mut self) {
        self.kill();
        self.run();
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.broker)
    }

    pub fn cluster(&self) -> Cluster {
        Cluster::new(&self.address())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs kcat and returns what it printed.
pub fn kcat(arguments: &[&str], input: &str) -> String {
    let mut child =
        Command::new("kcat").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("kcat runs");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("kcat reads");
    let output = child.wait_with_output().expect("kcat ends");
    assert!(output.status.success(), "kcat {arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Counts panics from now on, those in tasks as well.
pub fn count_panics() -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, before) = (count.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        counted.fetch_add(1, Ordering::AcqRel);
        before(info);
    }));
    count
}

/// A peer that means harm, and its address. Even rounds pass requests to the real broker and damage its answers (bytes
/// flipped, cut, given twice, closed in between), but leave the first few alone so that the client gets further each
/// round; odd ones answer whatever comes with noise behind the right correlation id, or with noise alone.
pub async fn hostile(broker: String, seed: u64, round: u64) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        for connection in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let random = StdRng::seed_from_u64(seed ^ (round << 32) ^ connection);
            let broker = broker.clone();
            tokio::spawn(async move {
                if round.is_multiple_of(2) {
                    damage(stream, &broker, random, round / 2).await;
                } else {
                    noise(stream, random).await;
                }
            });
        }
    });
    address
}

/// The next frame, without its length.
pub async fn frame(stream: &mut tokio::net::TcpStream) -> Option<Vec<u8>> {
    let size = stream.read_u32().await.ok()?;
    let mut frame = vec![0; size as usize];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

async fn damage(mut client: tokio::net::TcpStream, broker: &str, mut random: StdRng, spared: u64) -> Option<()> {
    let mut broker = tokio::net::TcpStream::connect(broker).await.ok()?;
    for answer in 0.. {
        let request = frame(&mut client).await?;
        broker.write_u32(request.len() as u32).await.ok()?;
        broker.write_all(&request).await.ok()?;
        let mut reply = frame(&mut broker).await?;
        let mut announced = reply.len() as u32;
        if answer >= spared {
            match random.random_range(0..6) {
                0 => announced = random.random(),
                1 => reply.truncate(random.random_range(0..=reply.len())),
                2 => announced = announced.saturating_sub(random.random_range(1..8)),
                3 => return None,
                _ => {
                    for _ in 0..random.random_range(1..5) {
                        let at = random.random_range(0..reply.len());
                        reply[at] = random.random();
                    }
                }
            }
        }
        client.write_u32(announced).await.ok()?;
        client.write_all(&reply).await.ok()?;
    }
    Some(())
}

async fn noise(mut client: tokio::net::TcpStream, mut random: StdRng) -> Option<()> {
    loop {
        let request = frame(&mut client).await?;
        let mut reply: Vec<u8> =
            (0..random.random_range(0..200)).map(|_| random.random::<u8>() >> random.random_range(0..8)).collect();
        if let (Some(id), true) = (request.get(4..8), reply.len() >= 4 && random.random_bool(0.8)) {
            reply[..4].copy_from_slice(id);
        }
        client.write_u32(reply.len() as u32).await.ok()?;
        client.write_all(&reply).await.ok()?;
    }
}
