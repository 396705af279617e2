//! The broker under test, as a child process: this project's binary, or Apache's for a check of the check.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millstream_protocol::messages::ApiVersionsRequest;

use crate::wire::Connection;

/// Whose broker.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `millstream broker` of this path.
    Millstream(PathBuf),
    /// Apache Kafka through `tests/apache/apache.sh`, at this path.
    Apache(PathBuf),
}

/// A broker on a data folder that outlives it.
pub struct Node {
    kind: Kind,
    data: PathBuf,
    settings: Vec<String>,
    port: u16,
    controller_port: u16,
    child: Option<Child>,
}

/// How long a start may take before it counts as failed.
const START_MAX: Duration = Duration::from_secs(60);

impl Node {
    /// Starts a broker on `data` with these `key=value` settings.
    pub fn start(kind: Kind, data: &Path, settings: &[&str]) -> anyhow::Result<Node> {
        let mut node = Node {
            kind,
            data: data.to_owned(),
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            port: free_port()?,
            controller_port: free_port()?,
            child: None,
        };
        node.restart()?;
        Ok(node)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("cannot kill the broker")?;
            child.wait().context("cannot wait for the broker")?;
        }
        Ok(())
    }

    /// Starts it again on the same data and port; answers how long it took until it served requests.
    pub fn restart(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("cannot start the broker")?);
        loop {
            if let Ok(mut connection) = Connection::open(self.address())
                && connection.call(0, &ApiVersionsRequest::default()).is_ok()
            {
                return Ok(started.elapsed());
            }
            let child = self.child.as_mut().context("the child was just started")?;
            if let Some(status) = child.try_wait()? {
                bail!("the broker ended with {status}; its output:\n{}", self.log_tail());
            }
            if started.elapsed() > START_MAX {
                bail!("the broker does not answer; its output:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills it and starts it again.
    pub fn crash(&mut self) -> anyhow::Result<Duration> {
        self.kill()?;
        self.restart()
    }

    /// Size in bytes of everything in the data folder.
    pub fn data_bytes(&self) -> anyhow::Result<u64> {
        fn size(path: &Path) -> anyhow::Result<u64> {
            let mut total = 0;
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                total += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
            }
            Ok(total)
        }
        size(&self.data)
    }

    fn command(&self) -> Command {
        match &self.kind {
            Kind::Millstream(binary) => {
                let mut command = Command::new(binary);
                command.arg("broker").arg("--data").arg(self.data.join("data"));
                command.arg("--port").arg(format!("broker={}", self.port)).args(["--port", "metrics=0"]);
                for setting in &self.settings {
                    command.arg("--set").arg(setting);
                }
                command
            }
            Kind::Apache(script) => {
                let mut command = Command::new(script);
                command.arg("broker").arg(self.data.join("data"));
                command.arg(self.port.to_string()).arg(self.controller_port.to_string());
                for setting in &self.settings {
                    match setting.strip_prefix("format:") {
                        // What its storage tool is told, not its configuration.
                        Some(flags) => command.env("FORMAT_FLAGS", flags),
                        None => command.arg(setting),
                    };
                }
                command
            }
        }
    }

    fn log_path(&self) -> PathBuf {
        self.data.join("broker.log")
    }

    /// The last lines that the broker wrote.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing is left to do about a child that cannot be killed.
        let _ = self.kill();
    }
}

/// The `millstream` binary that was built beside this program.
///
/// # Errors
/// When it is not there.
pub fn built_binary() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let profile = this.ancestors().skip(1).find(|folder| folder.join("millstream").is_file());
    let folder = profile.context(
        "the binary `millstream` is not built beside this program: run `cargo build -p millstream-cli` first",
    )?;
    Ok(folder.join("millstream"))
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
