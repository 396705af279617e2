//! The broker's keys as typed values: a file and arguments in, checked, out by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::effect::is_in_vain;
use crate::key::{Fallback, Kind, find};
use crate::listener::{Listener, parse_listeners, parse_protocols};
use crate::parse::{ConfigError, Origin, Properties};
use crate::resolve::{Layers, topic_value};
use crate::table_broker::BROKER_KEYS;
use crate::table_topic::TOPIC_KEYS;
use crate::valid::{Value, check};

/// What Apache's shipped `server.properties` sets for a node alone, where the user did not.
const SINGLE_NODE: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
];

/// The checked configuration of a broker. Values that change while it runs lie in the metadata image; this is
/// what the file and the command line said.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    values: BTreeMap<String, String>,
    /// `node.id`
    pub node_id: i32,
    /// `log.dirs`, at least one.
    pub log_dirs: Vec<PathBuf>,
    /// `listeners` without the controllers' own.
    pub listeners: Vec<Listener>,
    /// Those of `listeners` that are the controllers'.
    pub controller_listeners: Vec<Listener>,
    /// What is advertised of them, by default the listeners themselves.
    pub advertised_controller_listeners: Vec<Listener>,
    /// `advertised.listeners`, by default the listeners themselves.
    pub advertised_listeners: Vec<Listener>,
    /// Keys that Kafka does not know, each with the nearest that it does.
    pub unknown_keys: Vec<(String, Option<&'static str>)>,
    /// Keys that were set to no avail: they change nothing here.
    pub vain_keys: Vec<&'static str>,
}

impl BrokerConfig {
    /// Reads and checks a properties file.
    pub fn from_file(path: &Path) -> Result<Properties, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read(path)
            .map_err(|error| ConfigError::Unreadable { path: shown.clone(), reason: error.to_string() })?;
        let mut properties = Properties::default();
        properties.read(&String::from_utf8_lossy(&text), &shown)?;
        Ok(properties)
    }

    /// Adds what a node alone is given where the user said nothing.
    pub fn single_node(properties: &mut Properties) {
        for (key, value) in SINGLE_NODE {
            properties.set_default(key, value);
        }
    }

    /// Checks every key.
    pub fn new(properties: &Properties) -> Result<BrokerConfig, ConfigError> {
        let mut unknown_keys = Vec::new();
        let mut vain_keys = Vec::new();
        for (name, text) in properties.iter() {
            match find(BROKER_KEYS, name) {
                Some(key) => {
                    check(key, text).map_err(|reason| ConfigError::Invalid {
                        origin: properties.origin(name).cloned().unwrap_or(Origin::Command),
                        reason,
                    })?;
                    if is_in_vain(key, text) {
                        vain_keys.push(key.name);
                    }
                }
                // Listener-scoped keys are known by their ending.
                None if name.starts_with("listener.name.") => {}
                None => unknown_keys.push((name.to_owned(), nearest(name))),
            }
        }
        let values: BTreeMap<String, String> =
            properties.iter().map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
        let mut config = BrokerConfig {
            values,
            node_id: 1,
            log_dirs: Vec::new(),
            listeners: Vec::new(),
            controller_listeners: Vec::new(),
            advertised_controller_listeners: Vec::new(),
            advertised_listeners: Vec::new(),
            unknown_keys,
            vain_keys,
        };
        // Either name sets both (Java: `AbstractKafkaConfig.populateSynonyms`).
        let id = config.values.get("node.id").or_else(|| config.values.get("broker.id")).cloned();
        let id = id.unwrap_or_else(|| config.node_id.to_string());
        for name in ["node.id", "broker.id"] {
            config.values.entry(name.to_owned()).or_insert_with(|| id.clone());
        }
        config.node_id = config.number("node.id") as i32;
        config.log_dirs = config.read_log_dirs()?;
        config.read_listeners()?;
        Ok(config)
    }

    fn read_log_dirs(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let text = self.text("log.dirs").or_else(|| self.text("log.dir")).unwrap_or_default();
        let dirs: Vec<PathBuf> =
            text.split(',').map(str::trim).filter(|dir| !dir.is_empty()).map(PathBuf::from).collect();
        if dirs.is_empty() {
            return Err(ConfigError::Inconsistent("log.dirs names no folder; set it to at least one".to_owned()));
        }
        Ok(dirs)
    }

    fn read_listeners(&mut self) -> Result<(), ConfigError> {
        let protocols = parse_protocols(&self.text("listener.security.protocol.map").unwrap_or_default())?;
        let controllers: Vec<String> =
            self.list("controller.listener.names").into_iter().map(|name| name.to_ascii_uppercase()).collect();
        let mut protocols = protocols;
        for name in &controllers {
            protocols.entry(name.clone()).or_insert(crate::listener::SecurityProtocol::Plaintext);
        }
        let all = parse_listeners("listeners", &self.text("listeners").unwrap_or_default(), &protocols)?;
        let is_controllers = |listener: &Listener| controllers.contains(&listener.name);
        let (own, listeners): (Vec<_>, Vec<_>) = all.into_iter().partition(is_controllers);
        let advertised = match self.values.get("advertised.listeners") {
            Some(text) if !text.is_empty() => parse_listeners("advertised.listeners", text, &protocols)?,
            _ => listeners.clone(),
        };
        let (advertised_own, advertised): (Vec<_>, Vec<_>) = advertised.into_iter().partition(is_controllers);
        let advertise = |own: &Listener| advertised_own.iter().find(|one| one.name == own.name).unwrap_or(own).clone();
        self.advertised_controller_listeners = own.iter().map(advertise).collect();
        self.controller_listeners = own;
        self.advertised_listeners = advertised;
        self.listeners = listeners;
        if self.listeners.is_empty() {
            return Err(ConfigError::Inconsistent(
                "listeners names none for clients; add PLAINTEXT://:9092".to_owned(),
            ));
        }
        Ok(())
    }

    /// What the file and the command line set, by key.
    pub fn set_values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// The text of a key, its default where it is not set.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.values.get(name) {
            Some(text) => Some(text.clone()),
            None => find(BROKER_KEYS, name).and_then(|key| key.default_value()).map(str::to_owned),
        }
    }

    /// The number of a key of kind INT, SHORT or LONG.
    ///
    /// # Panics
    /// When the table has no such key: a mistake of the caller, found by the first run.
    pub fn number(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Number(number)) => number,
            other => panic!("{name} is {other:?}, not a number"),
        }
    }

    /// The number of a key of kind DOUBLE.
    ///
    /// # Panics
    /// As [`BrokerConfig::number`].
    pub fn decimal(&self, name: &str) -> f64 {
        match self.value(name) {
            Some(Value::Double(number)) => number,
            other => panic!("{name} is {other:?}, not a decimal number"),
        }
    }

    /// The truth of a key of kind BOOLEAN.
    ///
    /// # Panics
    /// As [`BrokerConfig::number`].
    pub fn flag(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Boolean(flag)) => flag,
            other => panic!("{name} is {other:?}, not a boolean"),
        }
    }

    /// The items of a key of kind LIST; none where it is null.
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::List(items)) => items,
            _ => Vec::new(),
        }
    }

    fn value(&self, name: &str) -> Option<Value> {
        let key = find(BROKER_KEYS, name)?;
        let text = match (self.values.get(name), key.fallback) {
            (Some(text), _) => text.as_str(),
            (None, Fallback::Value(text)) => text,
            (None, Fallback::Null | Fallback::Required) => return None,
        };
        // Everything set was checked in `new`, and defaults are legal.
        check(key, text).ok()
    }

    /// What a topic key is worth for a topic that has `set`, given the dynamic configuration of brokers.
    pub fn topic_value(
        &self,
        name: &str,
        set: Option<&BTreeMap<String, String>>,
        broker: Option<&BTreeMap<String, String>>,
        cluster: Option<&BTreeMap<String, String>>,
    ) -> Option<String> {
        let key = find(TOPIC_KEYS, name)?;
        topic_value(key, set, Layers { broker, cluster, file: &self.values })
    }
}

/// The known key that differs least from `name`, if any is near.
fn nearest(name: &str) -> Option<&'static str> {
    BROKER_KEYS
        .iter()
        .filter(|key| key.kind != Kind::Password && !key.internal)
        .map(|key| (distance(name, key.name), key.name))
        .min()
        .filter(|(distance, _)| *distance <= name.len() / 4)
        .map(|(_, name)| name)
}

/// Levenshtein distance in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<BrokerConfig, ConfigError> {
        let mut properties = Properties::default();
        properties.read(text, "server.properties")?;
        BrokerConfig::new(&properties)
    }

    #[test]
    fn what_a_file_sets_is_checked_and_typed() {
        let config = config("node.id = 7\nlog.dirs=/a, /b\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\nnum.partitions=3\n")
            .expect("legal");
        assert_eq!((config.node_id, config.number("num.partitions"), config.log_dirs.len()), (7, 3, 2));
        assert_eq!(config.listeners.len(), 1);
        assert!(config.flag("auto.create.topics.enable"));
    }

    #[test]
    fn an_illegal_value_is_named_with_its_line() {
        let error = config("\nnum.partitions=none\n").expect_err("not a number").to_string();
        assert_eq!(
            error,
            "server.properties line 2: Invalid value none for configuration num.partitions: Not a number of type INT"
        );
    }

    #[test]
    fn what_was_set_in_vain_is_named() {
        let text = "log.dirs=/a\nnum.io.threads=16\nnum.network.threads=3\nssl.protocol=TLSv1.2\nnum.partitions=3\n";
        assert_eq!(config(text).expect("legal").vain_keys, ["num.io.threads", "ssl.protocol"]);
    }

    /// The values of Apache Kafka 4.3's `config/server.properties`.
    #[test]
    fn the_shipped_file_is_taken_without_a_word() {
        let text = "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
                    listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
                    advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
                    controller.listener.names=CONTROLLER\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,\
                    PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n\
                    num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n\
                    socket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\n\
                    log.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\nnum.recovery.threads.per.data.dir=1\n\
                    offsets.topic.replication.factor=1\nshare.coordinator.state.topic.replication.factor=1\n\
                    share.coordinator.state.topic.min.isr=1\ntransaction.state.log.replication.factor=1\n\
                    transaction.state.log.min.isr=1\nlog.retention.hours=168\nlog.segment.bytes=1073741824\n\
                    log.retention.check.interval.ms=300000\n";
        let config = config(text).expect("Apache's own file is legal");
        assert!(config.vain_keys.is_empty() && config.unknown_keys.is_empty(), "{:?}", config.vain_keys);
        assert_eq!((config.listeners.len(), config.node_id), (1, 1));
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        let config = config("num.partition=3\nlog.dirs=/a\n").expect("unknown keys are no errors");
        assert_eq!(config.unknown_keys, [("num.partition".to_owned(), Some("num.partitions"))]);
    }
}
