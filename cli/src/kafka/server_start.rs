//! kafka-server-start: run a broker from Apache's `server.properties` (Java: `Kafka`, `kafka-server-start.sh`).
//!
//! The broker is the one of `millstream broker`; folders have to be formatted first, as Apache wants it. Port 9404 is
//! taken for metrics when it is free, else any other.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use millstream_base_config::BrokerConfig;
use millstream_base_env::{Disk, net};

use crate::Ended;
use crate::flags::Flags;

const USAGE: &str = "usage: kafka-server-start [-daemon] server.properties [--override property=value]*";
/// The ending of the file that a broker in the background writes to, as `kafka-run-class.sh` calls it.
const OUTPUT: &str = "kafkaServer.out";

/// The flags, for help; they are read by hand, as the script reads them.
pub fn command() -> clap::Command {
    let value = |name: &'static str, help: &'static str| clap::Arg::new(name).help(help);
    clap::Command::new("kafka-server-start")
        .about("Start a broker with a configuration file of Apache Kafka's.")
        .arg(value("server.properties", "The configuration file.").required(true))
        .arg(value("daemon", "As the first word: run in the background.").short('d').long("daemon").action(clap::ArgAction::SetTrue))
        .arg(value("override", "One key, over the file.").long("override").value_name("property=value"))
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let mut words = words.to_vec();
    let background = words.first().is_some_and(|word| word == "-daemon");
    if background {
        words.remove(0);
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
    let mut flags = Flags { data: None, config: Some(file.into()), set: overrides, ports: Default::default(), host: None, only: None, ready_file: None };
    let metrics = SocketAddr::new(flags.host(), flags.port("metrics"));
    if net::listen(metrics).is_err() {
        flags.ports.insert("metrics".to_owned(), 0);
    }
    crate::serve::run("broker", flags)
}

/// Starts the same command again, apart from this terminal, its output in `$LOG_DIR` or `logs`.
fn start_in_background(file: &str, overrides: &[String]) -> Ended {
    let folder = std::env::var_os("LOG_DIR").map_or_else(|| PathBuf::from("logs"), PathBuf::from);
    let failed = |what: &str, error: std::io::Error| Ended::Failed(format!("cannot {what}: {error}"));
    if let Err(error) = std::fs::create_dir_all(&folder) {
        return failed(&format!("make {}", folder.display()), error);
    }
    let path = folder.join(OUTPUT);
    let output = match OpenOptions::new().create(true).append(true).open(&path) {
        Ok(output) => output,
        Err(error) => return failed(&format!("write {}", path.display()), error),
    };
    let errors = match output.try_clone() {
        Ok(errors) => errors,
        Err(error) => return failed(&format!("write {}", path.display()), error),
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed("find this program", error),
    };
    let mut command = Command::new(program);
    command.arg("kafka-server-start").arg(file);
    overrides.iter().for_each(|pair| {
        command.arg("--override").arg(pair);
    });
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
    match command.spawn() {
        Ok(_left_running) => Ended::Well,
        Err(error) => failed("start the broker", error),
    }
}
