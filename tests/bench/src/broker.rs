//! A broker under measurement, as a child process, and what /proc says of it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use millstream_base_env::clock::Moment;

/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(90);

/// Whose broker.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `millstream broker` of this path.
    Millstream(PathBuf),
    /// Apache Kafka by `tests/apache/apache.sh` of this path.
    Apache(PathBuf),
}

impl Kind {
    /// Name in the report.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Millstream(_) => "millstream",
            Kind::Apache(_) => "apache",
        }
    }
}

/// A running broker; killed when dropped.
pub struct Broker {
    child: Child,
    address: SocketAddr,
    /// From the start of the process to an open port.
    pub port_open: Duration,
}

impl Broker {
    /// Starts a broker on `data` and waits until its port is open.
    ///
    /// # Errors
    /// When it ends or does not open its port.
    pub fn start(kind: &Kind, data: &Path) -> anyhow::Result<Broker> {
        let (port, controller) = (free_port()?, free_port()?);
        let mut command = match kind {
            Kind::Millstream(binary) => {
                let mut command = Command::new(binary);
                command.arg("broker").arg("--data").arg(data);
                command.args(["--port", &format!("broker={port}"), "--port", "metrics=0"]);
                // As apache.sh sets it: groups of one do not wait for a second.
                command.args(["--set", "group.initial.rebalance.delay.ms=0"]);
                command
            }
            Kind::Apache(script) => {
                let mut command = Command::new(script);
                command.arg("broker").arg(data).arg(port.to_string()).arg(controller.to_string());
                command
            }
        };
        let log = fs::OpenOptions::new().create(true).append(true).open(data.join("broker.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = Moment::now();
        let mut child = command.spawn().context("the broker cannot be started")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while TcpStream::connect(address).is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("the broker ended with {status}; see {}", data.join("broker.log").display());
            }
            if started.elapsed() > START_MAX {
                // The error below is the one to report.
                let _ = child.kill();
                bail!("the broker does not open its port; see {}", data.join("broker.log").display());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Broker { child, address, port_open: started.elapsed() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Seconds of processor time that its threads have used, to the nanosecond (the first field of schedstat).
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let mut nanos = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end between the listing and the look.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            nanos += text.split_whitespace().next().context("a number")?.parse::<f64>()?;
        }
        Ok(nanos / 1e9)
    }

    /// Resident memory in MB (10^6 bytes).
    ///
    /// # Errors
    /// When it is gone.
    pub fn resident_mb(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("a size")?.parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Kills it as `kill -9` does.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nothing is left to do about a child that cannot be killed.
        let _ = self.kill();
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
