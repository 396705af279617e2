//! kafka-server-start: run a broker from Apache's `server.properties` (Java: `Kafka`, `kafka-server-start.sh`).
//!
//! The broker is the one of `millstream broker`; folders have to be formatted first, as Apache wants it. Port 9404 is
//! taken for metrics when it is free, else any other.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use millstream_base_config::BrokerConfig;
use millstream_base_env::Disk;
use millstream_base_env::clock::Moment;

use crate::Ended;
use crate::flags::Flags;
use crate::kafka::options::KAFKA_RELEASE;

const USAGE: &str = "usage: kafka-server-start [-daemon] server.properties [--override property=value]*";
/// Set by `bin/millstream`: the folder that holds `bin`.
const HOME: &str = "MILLSTREAM_HOME";
/// Tells the broker in the background to leave the terminal.
const OWN_SESSION: &str = "MILLSTREAM_OWN_SESSION";
/// How long a broker in the background is watched: what is wrong with its configuration or folders shows in this time.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What Apache's scripts read for Java's sake.
const FOR_JAVA: &[&str] = &[
    "KAFKA_HEAP_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_JMX_OPTS",
    "JMX_PORT",
    "KAFKA_OPTS",
    "KAFKA_DEBUG",
    "KAFKA_MODE",
    "EXTRA_ARGS",
];
/// The file that a broker in the background writes to, as `kafka-run-class.sh` calls it.
const OUTPUT: &str = "kafkaServer.out";

/// The flags, for help; they are read by hand, as the script reads them.
pub fn command() -> clap::Command {
    let value = |name: &'static str, help: &'static str| clap::Arg::new(name).help(help);
    clap::Command::new("kafka-server-start")
        .about("Start a broker with a configuration file of Apache Kafka's.")
        .arg(value("server.properties", "The configuration file.").required(true))
        .arg(
            value("daemon", "As the first word: run in the background.")
                .short('d')
                .long("daemon")
                .action(clap::ArgAction::SetTrue),
        )
        .arg(value("override", "One key, over the file.").long("override").value_name("property=value"))
        .arg(value("version", "Display Kafka version.").long("version").action(clap::ArgAction::SetTrue))
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let mut words = words.to_vec();
    leave_terminal();
    let background = words.first().is_some_and(|word| word == "-daemon");
    if background {
        words.remove(0);
    }
    let has = |flag: &str| words.iter().any(|word| word == flag);
    if has("--version") && !has("--help") {
        println!("{KAFKA_RELEASE}");
        return Ended::Well;
    }
    let Some((file, rest)) = words.split_first().filter(|(file, _)| !file.starts_with("--")) else {
        return Ended::Failed(USAGE.to_owned());
    };
    let mut overrides = Vec::new();
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        let pair = match word.strip_prefix("--override") {
            Some("") => rest.next().cloned(),
            Some(joined) => joined.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        match pair.filter(|pair| pair.contains('=')) {
            Some(pair) => overrides.push(pair),
            None => return Ended::Failed(format!("{word} is not --override property=value; {USAGE}")),
        }
    }
    if let Err(line) = formatted(Path::new(file), &overrides) {
        return Ended::Failed(line);
    }
    say_what_is_ignored();
    if background { start_in_background(file, &overrides) } else { serve(file, overrides) }
}

/// Every log directory has to be formatted (Java: `KafkaRaftServer.initializeLogDirs`).
fn formatted(file: &Path, overrides: &[String]) -> Result<(), String> {
    let mut properties = BrokerConfig::from_file(file).map_err(|error| error.to_string())?;
    for pair in overrides {
        properties.read_argument(pair).map_err(|error| error.to_string())?;
    }
    let config = BrokerConfig::new(&properties).map_err(|error| error.to_string())?;
    // A folder that cannot be read is the broker's to judge: it may do without.
    let is_missing = |dir: &&PathBuf| {
        let read = Disk::Real.read(&dir.join("meta.properties"));
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    match config.log_dirs.iter().find(is_missing) {
        Some(dir) => Err(format!(
            "No `meta.properties` found in {} (have you run `kafka-storage.sh` to format the directory?)",
            dir.display()
        )),
        None => Ok(()),
    }
}

fn serve(file: &str, overrides: Vec<String>) -> Ended {
    let mut flags = Flags {
        data: None,
        config: Some(file.into()),
        set: overrides,
        ports: Default::default(),
        host: None,
        only: None,
        ready_file: None,
    };
    let metrics = SocketAddr::new(flags.host().address, flags.port("metrics"));
    // No runtime stands yet that a socket of ours could belong to.
    if std::net::TcpListener::bind(metrics).is_err() {
        flags.ports.insert("metrics".to_owned(), 0);
    }
    match crate::serve::run("broker", flags) {
        // Apache's scripts know one exit status for all that goes wrong.
        Ended::Misused(line) => Ended::Failed(line),
        ended => ended,
    }
}

/// Starts the same command again, in a session of its own, its output in `$LOG_DIR` or the install's `logs`, and looks
/// whether it lives.
fn start_in_background(file: &str, overrides: &[String]) -> Ended {
    let path = log_folder().join(OUTPUT);
    let before = std::fs::metadata(&path).map_or(0, |found| found.len() as usize);
    let child = match spawn(file, overrides, &path) {
        Ok(child) => child,
        Err(line) => return Ended::Failed(line),
    };
    match end_of(child, AT_ONCE) {
        None => Ended::Well,
        Some(status) => {
            let output = std::fs::read(&path).unwrap_or_default();
            let output = String::from_utf8_lossy(output.get(before..).unwrap_or_default());
            let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            Ended::Failed(format!("the broker ended at once ({status}): {last}; see {}", path.display()))
        }
    }
}

/// Where a broker in the background writes to, as `kafka-run-class.sh` chooses it.
fn log_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("LOG_DIR").filter(|folder| !folder.is_empty()) {
        return folder.into();
    }
    let home = std::env::var_os(HOME).map(PathBuf::from).or_else(|| {
        let program = std::env::current_exe().ok()?;
        let folder = program.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "bin"))?;
        Some(folder.parent()?.to_path_buf())
    });
    home.unwrap_or_default().join("logs")
}

fn spawn(file: &str, overrides: &[String], path: &Path) -> Result<Child, String> {
    let failed = |what: &str, error: std::io::Error| format!("cannot {what}: {error}");
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| failed(&format!("make {}", folder.display()), error))?;
    let write = |error| failed(&format!("write {}", path.display()), error);
    let output = OpenOptions::new().create(true).append(true).open(path).map_err(write)?;
    let errors = output.try_clone().map_err(write)?;
    let program = std::env::current_exe().map_err(|error| failed("find this program", error))?;
    let mut command = Command::new(program);
    command.arg("kafka-server-start").arg(file);
    overrides.iter().for_each(|pair| {
        command.arg("--override").arg(pair);
    });
    command.env(OWN_SESSION, "1").stdin(Stdio::null()).stdout(output).stderr(errors);
    command.spawn().map_err(|error| failed("start the broker", error))
}

/// How `child` ended, when it did so within `limit`.
fn end_of(mut child: Child, limit: Duration) -> Option<ExitStatus> {
    let began = Moment::now();
    while began.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// In the background the terminal's end is none of ours (Apache's script: nohup).
fn leave_terminal() {
    if std::env::var_os(OWN_SESSION).is_some() {
        // It can only fail where there is a session of our own already.
        let _ = rustix::process::setsid();
    }
}

/// Names once what is set for Java.
fn say_what_is_ignored() {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let ignored: Vec<&str> = FOR_JAVA.iter().copied().filter(is_set).collect();
    if !ignored.is_empty() && std::env::var_os(OWN_SESSION).is_none() {
        eprintln!("kafka-server-start: no effect here, there is no Java: {}", ignored.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_dies_at_once_is_told_from_one_that_lives() {
        let child = |command: &str| Command::new("sh").args(["-c", command]).spawn().unwrap();
        let status = end_of(child("exit 3"), Duration::from_secs(30));
        assert_eq!(status.and_then(|status| status.code()), Some(3));
        assert!(end_of(child("exec sleep 5"), Duration::from_millis(100)).is_none());
    }

    #[test]
    fn the_version_is_answered_before_a_file_is_looked_for() {
        assert!(matches!(run(&["--version".to_owned()]), Ended::Well));
        let words = ["nowhere.properties".to_owned(), "--version".to_owned()];
        assert!(matches!(run(&words), Ended::Well));
        assert!(matches!(run(&[]), Ended::Failed(_)));
    }
}
