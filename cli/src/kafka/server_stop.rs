//! kafka-server-stop: ask the brokers that `kafka-server-start` runs on this machine to stop (Java:
//! `kafka-server-stop.sh`, which reads the list of processes too).

use std::path::Path;

use millstream_base_config::parse::Properties;
use rustix::process::{Pid, Signal, kill_process};

use crate::Ended;
use crate::kafka::options::Options;

const ABOUT: &str = "This tool stops the brokers that run on this machine.";
const NONE: &str = "No kafka server to stop";

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-server-stop", ABOUT)
        .value("process-role", "role", "Only those whose process.roles is this.")
        .value("node-id", "id", "Only the one whose node.id is this.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let chosen = if words.is_empty() {
        Ok((None, None))
    } else {
        options().read(words).and_then(|given| {
            let text = |flag: &str| Ok(given.one(flag)?.map(str::to_owned));
            Ok((text("process-role")?, text("node-id")?))
        })
    };
    let (role, id) = match chosen {
        Ok(chosen) => chosen,
        Err(ended) => return ended,
    };
    let fits = |server: &&Server| {
        let set = |key: &str, wanted: &Option<String>| wanted.is_none() || server.value(key) == *wanted;
        set("process.roles", &role) && set("node.id", &id)
    };
    let servers = running();
    let mut found = false;
    for server in servers.iter().filter(fits) {
        found = true;
        if let Err(error) = kill_process(server.pid, Signal::TERM) {
            return Ended::Failed(format!("process {}: {error}", server.pid.as_raw_nonzero()));
        }
    }
    if found {
        return Ended::Well;
    }
    println!("{NONE}");
    Ended::FailedAloud
}

/// A broker that runs.
struct Server {
    pid: Pid,
    /// Its command line from the properties file on.
    words: Vec<String>,
}

impl Server {
    /// What it was told of a key, by `--override` or by its file.
    fn value(&self, key: &str) -> Option<String> {
        let overridden = self.words.iter().rev().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        if let Some(value) = overridden {
            return Some(value.to_owned());
        }
        let path = self.words.first()?;
        let mut properties = Properties::default();
        properties.read(&std::fs::read_to_string(path).ok()?, path).ok()?;
        properties.iter().find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
    }
}

/// Every process of this program that runs `kafka-server-start`.
fn running() -> Vec<Server> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let server = |path: &Path| {
        let pid = Pid::from_raw(path.file_name()?.to_str()?.parse().ok()?)?;
        let line = std::fs::read(path.join("cmdline")).ok()?;
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let program = Path::new(words.first()?).file_name()?.to_str()?;
        (program == "millstream" && words.get(1)? == "kafka-server-start")
            .then(|| Server { pid, words: words[2..].to_vec() })
    };
    entries.flatten().filter_map(|entry| server(&entry.path())).collect()
}
