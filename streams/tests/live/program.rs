//! An application in a process of its own: `examples/application.rs`, or the same by Kafka Streams.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cluster::{Broker, PATIENCE, beside, has, skip};

/// How an application is started.
pub struct Program {
    /// None is ours, else the class path of the Java one.
    classes: Option<String>,
    topology: &'static str,
    settings: Vec<String>,
    /// Behind the names of the topics of its tables.
    output: String,
    /// Of what it prints.
    log: PathBuf,
}

impl Program {
    pub fn ours(broker: &Broker, topology: &'static str, name: &str) -> Program {
        let settings = vec![format!("application.id={topology}"), format!("bootstrap.servers={}", broker.address())];
        let folder = broker.folder.path();
        Program { classes: None, topology, settings, output: name.to_owned(), log: folder.join(format!("{name}.log")) }
            .set("state.dir", folder.join(name).display())
            .set("processing.guarantee", "exactly_once_v2")
            .set("num.stream.threads", 2)
    }

    /// The same by Kafka Streams.
    pub fn java(broker: &Broker, topology: &'static str, name: &str, classes: &str) -> Program {
        Program { classes: Some(classes.to_owned()), ..Program::ours(broker, topology, name) }
    }

    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Program {
        self.settings.push(format!("{key}={value}"));
        self
    }

    /// Tables go to the topics of that name.
    pub fn output(self, output: &str) -> Program {
        Program { output: output.to_owned(), ..self }
    }

    pub fn start(&self) -> Instance {
        let mut command = match &self.classes {
            None => Command::new(beside("examples/application").expect("`cargo test` builds the examples of a crate")),
            Some(classes) => {
                let mut command = Command::new("java");
                command.args([
                    "-Xmx256m",
                    "-XX:+UseSerialGC",
                    "-XX:TieredStopAtLevel=1",
                    "-cp",
                    classes,
                    "Applications",
                ]);
                command
            }
        };
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log");
        let before = log.metadata().expect("a file").len();
        command.arg(self.topology).args(&self.settings).env("OUTPUT", &self.output);
        // Its last words are read by a person, and must not hold it up.
        let out = |log: &File| Stdio::from(log.try_clone().expect("a file"));
        let child = command.stdin(Stdio::piped()).stdout(out(&log)).stderr(out(&log)).spawn().expect("it starts");
        Instance { child, log: self.log.clone(), before }
    }
}

/// A process of an application, killed when dropped.
pub struct Instance {
    child: Child,
    log: PathBuf,
    /// Where its words begin.
    before: u64,
}

impl Instance {
    /// What it has printed.
    pub fn said(&self) -> String {
        let all = std::fs::read(&self.log).expect("a log");
        let from = usize::try_from(self.before).expect("a length");
        String::from_utf8_lossy(&all[from..]).into_owned()
    }

    pub fn wait_running(&mut self) {
        let started = Instant::now();
        while !self.said().lines().any(|line| line == "running") {
            self.check();
            assert!(started.elapsed() < PATIENCE, "it does not run: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// It has not ended.
    pub fn check(&mut self) {
        let ended = self.child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended with {ended:?}: {}", self.said());
    }

    pub fn kill(mut self) {
        self.check();
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Leaves the group and ends.
    pub fn leave(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "it ended with {status}: {}", self.said());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- {}\n{}", self.log.display(), self.said());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Class path of the Java application, compiled into `folder`; None without Java: the test is skipped.
pub fn java_classes(folder: &Path) -> Option<String> {
    if !has("javac") || !has("mvn") {
        skip("java");
        return None;
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libs = Command::new(sources.join("../tests/golden/java/oracle.sh")).arg("libs").output().expect("a shell");
    let jars = format!("{}/*", String::from_utf8(libs.stdout).expect("a path").trim());
    let mut javac = Command::new("javac");
    javac.arg("-d").arg(folder).args(["-cp", &jars]).arg(sources.join("tests/live/Applications.java"));
    assert!(javac.status().expect("javac is there").success());
    Some(format!("{}:{jars}", folder.display()))
}
