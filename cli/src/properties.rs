//! What the broker is configured with: the file, over it the flags, over them `--set`, then defaults.
//!
//! Called by `serve` alone. Never here: what a key means.

use millstream_base_config::parse::{Origin, Properties};
use millstream_base_config::{BrokerConfig, ConfigError};

use crate::flags::{Flags, Host};

/// Port of the controller's listener, where nothing says otherwise.
const CONTROLLER_PORT: u16 = 9093;
/// Name of that listener, as in Apache's `server.properties`.
const CONTROLLER: &str = "CONTROLLER";

/// The properties that the flags ask for.
///
/// # Errors
/// When the file or a `--set` cannot be read.
pub fn from_flags(flags: &Flags) -> Result<Properties, ConfigError> {
    let mut properties = match &flags.config {
        Some(path) => BrokerConfig::from_file(path)?,
        None => Properties::default(),
    };
    apply_flags(&mut properties, flags);
    for argument in &flags.set {
        properties.read_argument(argument)?;
    }
    if flags.config.is_none() {
        BrokerConfig::single_node(&mut properties);
    }
    if properties.value("log.dirs").is_none() && properties.value("log.dir").is_none() {
        properties.set_default("log.dirs", &flags.data().join("broker").to_string_lossy());
    }
    if properties.value("listeners").is_none() {
        let host = flags.host().text;
        let mut listeners = format!("PLAINTEXT://{host}:{}", flags.port("broker"));
        // Whoever chooses a port may run several brokers here; they would meet on the controller's.
        if flags.config.is_none() && !flags.ports.contains_key("broker") {
            properties.set_default("controller.listener.names", CONTROLLER);
            listeners += &format!(",{CONTROLLER}://{host}:{CONTROLLER_PORT}");
        }
        properties.set_default("listeners", &listeners);
    }
    Ok(properties)
}

/// `--data`, `--host` and `--port broker=N` take the place of what the file says.
fn apply_flags(properties: &mut Properties, flags: &Flags) {
    if flags.data.is_some() && (properties.value("log.dirs").is_some() || properties.value("log.dir").is_some()) {
        let dir = flags.data().join("broker").to_string_lossy().into_owned();
        properties.set("log.dirs", dir, Origin::Argument);
    }
    let port = flags.ports.get("broker").copied();
    let Some(listeners) = properties.value("listeners").filter(|_| port.is_some() || flags.host.is_some()) else {
        return;
    };
    let controllers: Vec<String> = properties
        .value("controller.listener.names")
        .unwrap_or_default()
        .split(',')
        .map(|name| name.trim().to_ascii_uppercase())
        .collect();
    let (mut moved, mut advertised) = (Vec::new(), properties.value("advertised.listeners").map(str::to_owned));
    // The port is that of the first listener for clients; the host is that of all.
    let mut port = port;
    for item in listeners.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let Some(old) = Address::parse(item) else {
            moved.push(item.to_owned());
            continue;
        };
        let own_port = if controllers.contains(&old.name.to_ascii_uppercase()) { None } else { port.take() };
        let new = old.moved(flags.host.as_ref(), own_port);
        advertised = advertised.map(|text| advertise(&text, &old, &new));
        moved.push(new.text());
    }
    properties.set("listeners", moved.join(","), Origin::Argument);
    if let Some(advertised) = advertised {
        properties.set("advertised.listeners", advertised, Origin::Argument);
    }
}

/// `NAME://host:port`; the host as it is written, brackets included.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    name: String,
    host: String,
    port: String,
}

impl Address {
    fn parse(item: &str) -> Option<Self> {
        let (name, address) = item.trim().split_once("://")?;
        let (host, port) = address.rsplit_once(':')?;
        Some(Address { name: name.to_owned(), host: host.to_owned(), port: port.to_owned() })
    }

    fn moved(&self, host: Option<&Host>, port: Option<u16>) -> Self {
        Address {
            name: self.name.clone(),
            host: host.map_or_else(|| self.host.clone(), |host| host.text.clone()),
            port: port.map_or_else(|| self.port.clone(), |port| port.to_string()),
        }
    }

    fn text(&self) -> String {
        format!("{}://{}:{}", self.name, self.host, self.port)
    }
}

/// `advertised.listeners` with what it repeats of `old` as it is in `new`; an address of its own (a proxy's) stays.
fn advertise(text: &str, old: &Address, new: &Address) -> String {
    let items = text.split(',').map(|item| match Address::parse(item) {
        Some(mut item) if item.name.eq_ignore_ascii_case(&old.name) => {
            if item.host == old.host {
                item.host.clone_from(&new.host);
            }
            if item.port == old.port {
                item.port.clone_from(&new.port);
            }
            item.text()
        }
        _ => item.to_owned(),
    });
    items.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;
    use crate::flags;

    /// Apache's `server.properties`, the keys that matter here.
    const FILE: &str = "node.id=1\nlog.dirs=/somewhere/else\ncontroller.listener.names=CONTROLLER\n\
                        listeners=PLAINTEXT://:9092,CONTROLLER://:9093\n\
                        advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n";

    fn values(file: Option<&str>, words: &[&str]) -> Properties {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.properties");
        let mut all = vec!["broker".to_owned()];
        all.extend(words.iter().map(|word| (*word).to_owned()));
        if let Some(file) = file {
            std::fs::write(&path, file).unwrap();
            all.extend(["--config".to_owned(), path.display().to_string()]);
        }
        let matches = flags::add(Command::new("broker")).try_get_matches_from(all).unwrap();
        from_flags(&flags::read(&matches).unwrap()).unwrap()
    }

    #[test]
    fn a_flag_that_was_given_wins_over_the_file() {
        let found = values(Some(FILE), &["--port", "broker=19092", "--data", "/d"]);
        assert_eq!(found.value("log.dirs"), Some("/d/broker"));
        assert_eq!(found.value("listeners"), Some("PLAINTEXT://:19092,CONTROLLER://:9093"));
        let advertised = "PLAINTEXT://localhost:19092,CONTROLLER://localhost:9093";
        assert_eq!(found.value("advertised.listeners"), Some(advertised));
        let found = values(Some(FILE), &["--host", "::1"]);
        assert_eq!(found.value("listeners"), Some("PLAINTEXT://[::1]:9092,CONTROLLER://[::1]:9093"));
    }

    #[test]
    fn a_flag_that_was_not_given_leaves_the_file_alone() {
        let found = values(Some(FILE), &[]);
        assert_eq!(found.value("log.dirs"), Some("/somewhere/else"));
        assert_eq!(found.value("listeners"), Some("PLAINTEXT://:9092,CONTROLLER://:9093"));
    }

    #[test]
    fn set_wins_over_flag_and_file() {
        let set = ["--set", "listeners=PLAINTEXT://:1", "--set", "log.dirs=/s"];
        let found = values(Some(FILE), &[&["--port", "broker=2", "--data", "/d"][..], &set].concat());
        assert_eq!(found.value("listeners"), Some("PLAINTEXT://:1"));
        assert_eq!(found.value("log.dirs"), Some("/s"));
    }

    #[test]
    fn without_a_file_the_controller_listens_too_unless_a_port_is_chosen() {
        let found = values(None, &[]);
        assert_eq!(found.value("listeners"), Some("PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"));
        assert_eq!(found.value("controller.listener.names"), Some("CONTROLLER"));
        let found = values(None, &["--port", "broker=0", "--data", "/d"]);
        assert_eq!(found.value("listeners"), Some("PLAINTEXT://127.0.0.1:0"));
        assert_eq!(found.value("log.dirs"), Some("/d/broker"));
    }

    #[test]
    fn a_host_may_be_a_name() {
        let found = values(None, &["--port", "broker=7", "--host", "localhost"]);
        assert_eq!(found.value("listeners"), Some("PLAINTEXT://localhost:7"));
        let found = values(None, &["--port", "broker=7", "--host", "::1"]);
        assert_eq!(found.value("listeners"), Some("PLAINTEXT://[::1]:7"));
        let matches =
            flags::add(Command::new("broker")).try_get_matches_from(["broker", "--host", "nobody.invalid"]).unwrap();
        let line = flags::read(&matches).unwrap_err();
        assert!(line.starts_with("--host nobody.invalid: ") && !line.contains('\n'), "{line}");
    }
}
