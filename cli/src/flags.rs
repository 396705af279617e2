//! The flags that every service takes, as docs and scripts rely on them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use millstream_base_env::net;

/// The services by name, in the order of the address table; the names are the keys of `--port`, `--only` and the
/// ready file. Port 0 in a flag takes any free one.
pub const SERVICES: &[(&str, u16)] = &[
    ("broker", 9092),
    ("registry", 8081),
    ("rest-proxy", 8082),
    ("connect", 8083),
    ("ksql", 8088),
    ("console", 8000),
    ("metrics", 9404),
];

/// Services that exist.
pub const BUILT: &[&str] = &["broker", "metrics"];

/// Where to listen: as it was written, and the address that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name or an address; an IPv6 one in brackets, as in a listener.
    pub text: String,
    /// The address.
    pub address: IpAddr,
}

impl Host {
    /// An address, or a name that this machine can resolve.
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            let text = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            return Ok(Host { text, address });
        }
        let resolved = net::resolve(text, 0).map_err(|error| {
            format!("--host {text}: no address is known for that name ({error}); give 127.0.0.1, 0.0.0.0, ::1 or a name of this machine")
        })?;
        Ok(Host { text: text.to_owned(), address: resolved.ip() })
    }
}

/// What was given.
#[derive(Clone, Debug)]
pub struct Flags {
    /// `--data`, where it was given.
    pub data: Option<PathBuf>,
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--set`, in order.
    pub set: Vec<String>,
    /// `--port`, by service.
    pub ports: BTreeMap<String, u16>,
    /// `--host`, where it was given.
    pub host: Option<Host>,
    /// `--only`
    pub only: Option<Vec<String>>,
    /// `--ready-file`
    pub ready_file: Option<PathBuf>,
}

/// The folder for all data, where `--data` says nothing.
const DATA: &str = "./data";

impl Flags {
    /// The folder for all data.
    pub fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| PathBuf::from(DATA))
    }

    /// Where to listen.
    pub fn host(&self) -> Host {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.host.clone().unwrap_or_else(|| Host { text: loopback.to_string(), address: loopback })
    }

    /// The port of a service.
    pub fn port(&self, service: &str) -> u16 {
        let default = || SERVICES.iter().find(|(name, _)| *name == service).map_or(0, |(_, port)| *port);
        self.ports.get(service).copied().unwrap_or_else(default)
    }
}

/// Adds the flags to a command.
pub fn add(command: Command) -> Command {
    let arg = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    command
        .arg(arg("data", "DIR", "Folder for all data [default: ./data]"))
        .arg(arg("config", "FILE", "A Java properties file with Kafka's own keys"))
        .arg(arg("set", "KEY=VALUE", "One key, over the file").action(ArgAction::Append))
        .arg(arg("port", "SERVICE=N", "Port of a service, 0 for any free one").action(ArgAction::Append))
        .arg(arg("host", "ADDR", "Address to listen on, or a name of this machine [default: 127.0.0.1]"))
        .arg(arg("only", "A,B", "Run these services only"))
        .arg(arg("ready-file", "PATH", "Write the addresses there as JSON once every service answers"))
}

/// Reads the flags; the error is for the user.
pub fn read(matches: &ArgMatches) -> Result<Flags, String> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let many = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
    let host = text("host").map(|text| Host::parse(&text)).transpose()?;
    let mut ports = BTreeMap::new();
    for pair in many("port") {
        let (service, port) = pair.split_once('=').ok_or_else(|| format!("--port {pair} is not SERVICE=N"))?;
        known(service, "--port")?;
        let port = port.parse().map_err(|_| format!("--port {pair}: {port} is no port up to 65535"))?;
        ports.insert(service.to_owned(), port);
    }
    let only = text("only").map(|list| list.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>());
    for name in only.iter().flatten() {
        known(name, "--only")?;
    }
    Ok(Flags {
        data: text("data").map(PathBuf::from),
        config: text("config").map(PathBuf::from),
        set: many("set"),
        ports,
        host,
        only,
        ready_file: text("ready-file").map(PathBuf::from),
    })
}

fn known(service: &str, flag: &str) -> Result<(), String> {
    if SERVICES.iter().any(|(name, _)| *name == service) {
        return Ok(());
    }
    let names: Vec<&str> = SERVICES.iter().map(|(name, _)| *name).collect();
    Err(format!("{flag} {service}: there is no such service; choose among {}", names.join(", ")))
}
