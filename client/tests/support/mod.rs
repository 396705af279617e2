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

enum Kind {
    Ours(PathBuf),
    Apaches(PathBuf),
}

/// A broker on a folder that outlives it, killed when dropped.
pub struct Node {
    kind: Kind,
    folder: tempfile::TempDir,
    port: u16,
    controller: u16,
    child: Option<Child>,
    /// More of `key=value`, for Apache's.
    settings: Vec<String>,
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// Whether a program is there.
pub fn has(program: &str) -> bool {
    Command::new("which").arg(program).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn apaches_script() -> Option<PathBuf> {
    if !has("java") {
        assert!(std::env::var_os("CI").is_none(), "CI has no Java");
        return None;
    }
    Some(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/apache/apache.sh")))
}

impl Node {
    /// This project's broker, from the binary built beside this test.
    pub fn ours() -> Node {
        let this = std::env::current_exe().expect("a path");
        let given = std::env::var_os("MILLSTREAM_BINARY").map(PathBuf::from);
        let beside = || this.ancestors().map(|folder| folder.join("millstream")).find(|path| path.is_file());
        let binary = given.or_else(beside).expect("run `cargo build --release -p millstream-cli` first");
        Node::start(Kind::Ours(binary))
    }

    /// Apache's, if there is Java; in CI it has to be.
    pub fn apaches() -> Option<Node> {
        Some(Node::start(Kind::Apaches(apaches_script()?)))
    }

    fn start(kind: Kind) -> Node {
        let folder = tempfile::tempdir().expect("a folder");
        let mut node =
            Node { kind, folder, port: free_port(), controller: free_port(), child: None, settings: Vec::new() };
        node.run();
        node
    }

    /// Apache's with settings of its own, made from its two ports and a folder; None without Java.
    pub fn apaches_with(settings: impl FnOnce(u16, u16, &Path) -> Vec<String>) -> Option<Node> {
        let script = apaches_script()?;
        let folder = tempfile::tempdir().expect("a folder");
        let (port, controller) = (free_port(), free_port());
        let settings = settings(port, controller, folder.path());
        let mut node = Node { kind: Kind::Apaches(script), folder, port, controller, child: None, settings };
        node.run();
        Some(node)
    }

    fn run(&mut self) {
        let data = self.folder.path().join("data");
        let log = self.folder.path().join("broker.log");
        let mut command = match &self.kind {
            Kind::Ours(binary) => {
                let mut command = Command::new(binary);
                command.args(["broker", "--port", &format!("broker={}", self.port), "--port", "metrics=0"]).arg("--data").arg(data);
                command.args(["--set", "group.initial.rebalance.delay.ms=0"]);
                command
            }
            Kind::Apaches(script) => {
                let mut command = Command::new(script);
                command.arg("broker").arg(data).args([self.port.to_string(), self.controller.to_string()]);
                command.arg("group.initial.rebalance.delay.ms=0").args(&self.settings);
                command
            }
        };
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a handle")).stderr(output);
        self.child = Some(command.spawn().expect("a broker"));
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let late = started.elapsed() > Duration::from_secs(90);
            assert!(!late, "the broker does not come up:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it with SIGKILL and starts it again.
    pub fn crash(&mut self) {
        self.kill();
        self.run();
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
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
    let mut child = Command::new("kcat")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("kcat runs");
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

async fn frame(stream: &mut tokio::net::TcpStream) -> Option<Vec<u8>> {
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
        let mut reply: Vec<u8> = (0..random.random_range(0..200)).map(|_| random.random::<u8>() >> random.random_range(0..8)).collect();
        if let (Some(id), true) = (request.get(4..8), reply.len() >= 4 && random.random_bool(0.8)) {
            reply[..4].copy_from_slice(id);
        }
        client.write_u32(reply.len() as u32).await.ok()?;
        client.write_all(&reply).await.ok()?;
    }
}
