//! Settings of connections, producers and consumers, by Java's names and with the defaults of 4.3.1.
//!
//! Made by hand as structs, or from `key=value` pairs: the tables of `base/config` know every key, its type and what
//! is legal. Never here: what a setting does; that stands where the field is read.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_base_config::effect_client::why_client_without;
use millstream_base_config::iso_duration;
use millstream_base_config::key::{Key, find};
use millstream_base_config::table_client::{CONSUMER_KEYS, PRODUCER_KEYS};
use millstream_base_config::valid::{self, Value};
use millstream_protocol::compress::Codec;

use crate::connection::sasl::Sasl;
use crate::connection::tls::Tls;
use crate::error::ClientError;
use crate::metadata::check_bootstrap;

// Keys of TLS and SASL -> who is trusted and who this client is.
mod security;

/// What every client shares.
///
/// ```
/// use client::config::ConnectionConfig;
///
/// let config = ConnectionConfig { bootstrap: vec!["localhost:9092".to_owned()], ..ConnectionConfig::default() };
/// assert_eq!(config.request_timeout.as_secs(), 30);
/// ```
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// `bootstrap.servers`, or of controllers `bootstrap.controllers`.
    pub bootstrap: Vec<String>,
    /// Whose addresses those are.
    pub endpoints: Endpoints,
    /// `client.id`
    pub client_id: String,
    /// `request.timeout.ms`
    pub request_timeout: Duration,
    /// `reconnect.backoff.ms`
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`
    pub reconnect_backoff_max: Duration,
    /// `retry.backoff.ms`
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`
    pub retry_backoff_max: Duration,
    /// `socket.connection.setup.timeout.ms`
    pub setup_timeout: Duration,
    /// `socket.connection.setup.timeout.max.ms`
    pub setup_timeout_max: Duration,
    /// `metadata.max.age.ms`
    pub metadata_max_age: Duration,
    /// What brokers that cannot be reached lead to.
    pub recovery: Recovery,
    /// TLS and who this client is.
    pub security: Security,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        ConnectionConfig {
            bootstrap: Vec::new(),
            endpoints: Endpoints::Brokers,
            client_id: "millstream".to_owned(),
            request_timeout: Duration::from_secs(30),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            setup_timeout: Duration::from_secs(10),
            setup_timeout_max: Duration::from_secs(30),
            metadata_max_age: Duration::from_secs(300),
            recovery: Recovery::Rebootstrap,
            security: Security::default(),
        }
    }
}

/// Who is asked (KIP-919): an administrator can speak to the controllers without a broker between.
///
/// ```
/// use client::config::{ConnectionConfig, Endpoints};
///
/// let bootstrap = vec!["localhost:9093".to_owned()];
/// let controllers = ConnectionConfig { bootstrap, endpoints: Endpoints::Controllers, ..ConnectionConfig::default() };
/// assert_ne!(controllers.endpoints, ConnectionConfig::default().endpoints);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// Brokers.
    Brokers,
    /// Controllers, for administration only.
    Controllers,
}

/// What happens when no broker that is known can be reached (`metadata.recovery.strategy`, KIP-899).
///
/// ```
/// # use client::config::{ConnectionConfig, Recovery};
/// assert_eq!(ConnectionConfig::default().recovery, Recovery::Rebootstrap);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Those of `bootstrap.servers` are asked again.
    Rebootstrap,
    /// Only those that are known are tried.
    None,
}

/// `security.protocol` and what belongs to it; neither for PLAINTEXT.
///
/// ```
/// # use client::config::{ConnectionConfig, Security};
/// let Security { tls, sasl } = ConnectionConfig::default().security;
/// assert!(tls.is_none() && sasl.is_none());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// SSL and SASL_SSL.
    pub tls: Option<Tls>,
    /// SASL_PLAINTEXT and SASL_SSL.
    pub sasl: Option<Sasl>,
}

/// When the broker answers.
///
/// ```
/// # use client::config::{Acks, ProducerConfig};
/// let (config, _) = ProducerConfig::from_properties([("acks", "1")])?;
/// assert_eq!(config.acks, Acks::Leader);
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Never.
    None,
    /// Once the leader has written.
    Leader,
    /// Once every replica in sync has it.
    All,
}

/// Whether batches carry a producer's id and sequence, so that a retry writes nothing twice.
///
/// ```
/// # use client::config::{Idempotence, ProducerConfig};
/// let (config, _) = ProducerConfig::from_properties([("acks", "0")])?;
/// assert_eq!((config.idempotence, ProducerConfig::default().idempotence), (Idempotence::Off, Idempotence::On));
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotence {
    /// `enable.idempotence=true`
    On,
    /// `enable.idempotence=false`
    Off,
}

/// How records without a partition of their own are spread (KIP-794).
///
/// ```
/// # use client::config::{ProducerConfig, Spread};
/// assert_eq!(ProducerConfig::default().spread, Spread::Adaptive);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Partitions with shorter queues get more (`partitioner.adaptive.partitioning.enable=true`).
    Adaptive,
    /// All alike.
    Uniform,
}

/// Whether the key chooses the partition.
///
/// ```
/// # use client::config::{Keys, ProducerConfig};
/// let (config, _) = ProducerConfig::from_properties([("partitioner.ignore.keys", "true")])?;
/// assert_eq!(config.keys, Keys::Ignored);
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// By murmur2.
    ChoosePartition,
    /// `partitioner.ignore.keys=true`
    Ignored,
}

/// How a producer works; the defaults are Apache's.
///
/// ```
/// use client::config::ProducerConfig;
///
/// let (config, unknown) = ProducerConfig::from_properties([("linger.ms", "20"), ("liinger.ms", "20")])?;
/// assert_eq!((config.linger.as_millis(), unknown), (20, vec!["liinger.ms".to_owned()]));
/// assert!(ProducerConfig::from_properties([("linger.ms", "soon")]).is_err());
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// What every client shares.
    pub connection: ConnectionConfig,
    /// `acks`
    pub acks: Acks,
    /// `enable.idempotence`
    pub idempotence: Idempotence,
    /// `compression.type`
    pub codec: Codec,
    /// `compression.*.level` of that codec, its own default for None.
    pub level: Option<i32>,
    /// `batch.size`
    pub batch_bytes: usize,
    /// `linger.ms`
    pub linger: Duration,
    /// `buffer.memory`
    pub buffer_bytes: usize,
    /// `max.block.ms`
    pub block_max: Duration,
    /// `max.request.size`
    pub request_bytes_max: usize,
    /// `delivery.timeout.ms`
    pub delivery_timeout: Duration,
    /// `retries`
    pub retries: u32,
    /// `max.in.flight.requests.per.connection`
    pub in_flight_max: usize,
    /// `partitioner.adaptive.partitioning.enable`
    pub spread: Spread,
    /// `partitioner.ignore.keys`
    pub keys: Keys,
    /// `partitioner.availability.timeout.ms`, 0 for never.
    pub availability_timeout: Duration,
    /// `transactional.id`
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`
    pub transaction_timeout: Duration,
    /// `metadata.max.idle.ms`
    pub metadata_idle_max: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        ProducerConfig {
            connection: ConnectionConfig::default(),
            acks: Acks::All,
            idempotence: Idempotence::On,
            codec: Codec::None,
            level: None,
            batch_bytes: 16_384,
            linger: Duration::from_millis(5),
            buffer_bytes: 32 << 20,
            block_max: Duration::from_secs(60),
            request_bytes_max: 1 << 20,
            delivery_timeout: Duration::from_secs(120),
            retries: i32::MAX as u32,
            in_flight_max: 5,
            spread: Spread::Adaptive,
            keys: Keys::ChoosePartition,
            availability_timeout: Duration::ZERO,
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
            metadata_idle_max: Duration::from_secs(300),
        }
    }
}

/// Where a partition without a position is read from.
///
/// ```
/// # use client::config::{ConsumerConfig, Reset};
/// let (config, _) = ConsumerConfig::from_properties([("auto.offset.reset", "by_duration:PT1H")])?;
/// assert_eq!(config.reset, Reset::ByDuration(std::time::Duration::from_secs(3600)));
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The first record that is left.
    Earliest,
    /// The end.
    Latest,
    /// The first record that is not older than this (KIP-1106).
    ByDuration(Duration),
    /// Nowhere: the poll fails.
    None,
}

/// How the partitions of a group are given out (`partition.assignment.strategy`).
///
/// ```
/// # use client::config::Assignor;
/// assert_eq!(Assignor::named("org.apache.kafka.clients.consumer.StickyAssignor"), Some(Assignor::Sticky));
/// assert_eq!(Assignor::CooperativeSticky.name(), "cooperative-sticky");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Each topic in runs.
    Range,
    /// One after the other.
    RoundRobin,
    /// Members keep what they had; all give back everything while the group rebalances.
    Sticky,
    /// Members keep what they had and read on while the group rebalances (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// As it is called in JoinGroup.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The one of that name, or of Java's class name.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.strip_prefix("class ").unwrap_or(name);
        match name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name) {
            "range" | "RangeAssignor" => Some(Assignor::Range),
            "roundrobin" | "RoundRobinAssignor" => Some(Assignor::RoundRobin),
            "sticky" | "StickyAssignor" => Some(Assignor::Sticky),
            "cooperative-sticky" | "CooperativeStickyAssignor" => Some(Assignor::CooperativeSticky),
            _ => None,
        }
    }
}

/// Which records of transactions are seen.
///
/// ```
/// # use client::config::{ConsumerConfig, Isolation};
/// let (config, _) = ConsumerConfig::from_properties([("isolation.level", "read_committed")])?;
/// assert_eq!(config.isolation, Isolation::ReadCommitted);
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All, also of transactions that are open or were aborted.
    ReadUncommitted,
    /// Only those of committed transactions.
    ReadCommitted,
}

/// Whether batches are checked against their CRC (`check.crcs`).
///
/// ```
/// # use client::config::{ConsumerConfig, Crc};
/// assert_eq!(ConsumerConfig::default().crc, Crc::Checked);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crc {
    /// They are.
    Checked,
    /// They are not.
    Ignored,
}

/// Whether asking about a topic that is not there may create it (`allow.auto.create.topics`).
///
/// ```
/// # use client::config::{ConsumerConfig, Missing};
/// let (config, _) = ConsumerConfig::from_properties([("allow.auto.create.topics", "false")])?;
/// assert_eq!(config.missing, Missing::Report);
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The broker may create it, when `auto.create.topics.enable` lets it.
    Create,
    /// It stays missing.
    Report,
}

/// Whether a pattern covers topics like `__consumer_offsets` (`exclude.internal.topics`).
///
/// ```
/// # use client::config::{ConsumerConfig, InternalTopics};
/// assert_eq!(ConsumerConfig::default().internal, InternalTopics::Excluded);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalTopics {
    /// It does not.
    Excluded,
    /// It does.
    Included,
}

/// How a consumer works; the defaults are Apache's.
///
/// ```
/// use client::config::{Assignor, ConsumerConfig};
///
/// let settings = [("group.id", "readers"), ("partition.assignment.strategy", "cooperative-sticky"), ("group.ip", "x")];
/// let (config, unknown) = ConsumerConfig::from_properties(settings)?;
/// assert_eq!(config.assignors, [Assignor::CooperativeSticky]);
/// assert_eq!(unknown, ["group.ip"]);
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// What every client shares.
    pub connection: ConnectionConfig,
    /// `group.id`
    pub group: Option<String>,
    /// `group.instance.id`
    pub instance: Option<String>,
    /// `session.timeout.ms`
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`
    pub poll_interval_max: Duration,
    /// `max.poll.records`
    pub poll_records_max: usize,
    /// `auto.commit.interval.ms`, None for `enable.auto.commit=false`
    pub auto_commit: Option<Duration>,
    /// `auto.offset.reset`
    pub reset: Reset,
    /// `isolation.level`
    pub isolation: Isolation,
    /// `fetch.min.bytes`
    pub fetch_bytes_min: i32,
    /// `fetch.max.bytes`
    pub fetch_bytes_max: i32,
    /// `max.partition.fetch.bytes`
    pub partition_bytes_max: i32,
    /// `fetch.max.wait.ms`
    pub fetch_wait: Duration,
    /// `default.api.timeout.ms`
    pub api_timeout: Duration,
    /// `check.crcs`
    pub crc: Crc,
    /// `allow.auto.create.topics`
    pub missing: Missing,
    /// `client.rack`
    pub rack: String,
    /// `partition.assignment.strategy`, the preferred one first.
    pub assignors: Vec<Assignor>,
    /// `exclude.internal.topics`
    pub internal: InternalTopics,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        ConsumerConfig {
            connection: ConnectionConfig::default(),
            group: None,
            instance: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            poll_interval_max: Duration::from_secs(300),
            poll_records_max: 500,
            auto_commit: Some(Duration::from_secs(5)),
            reset: Reset::Latest,
            isolation: Isolation::ReadUncommitted,
            fetch_bytes_min: 1,
            fetch_bytes_max: 52_428_800,
            partition_bytes_max: 1 << 20,
            fetch_wait: Duration::from_millis(500),
            api_timeout: Duration::from_secs(60),
            crc: Crc::Checked,
            missing: Missing::Create,
            rack: String::new(),
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            internal: InternalTopics::Excluded,
        }
    }
}

/// Texts by key, and what the table says of those that are not set.
struct Settings {
    keys: &'static [Key],
    set: BTreeMap<String, String>,
    unknown: Vec<String>,
}

impl Settings {
    fn new<K: Into<String>, V: Into<String>>(
        keys: &'static [Key],
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ClientError> {
        let (mut set, mut unknown) = (BTreeMap::new(), Vec::new());
        for (name, text) in pairs {
            let (name, text) = (name.into(), text.into());
            match find(keys, &name) {
                Some(key) => {
                    valid::check(key, &text).map_err(ClientError::Config)?;
                    if let Some(why) = why_client_without(&name) {
                        tracing::warn!(key = name, why, "a setting has no effect");
                    }
                    set.insert(name, text);
                }
                None => unknown.push(name),
            }
        }
        Ok(Settings { keys, set, unknown })
    }

    fn value(&self, name: &str) -> Option<Value> {
        let key = find(self.keys, name)?;
        let text = self.set.get(name).map(String::as_str).or(key.default_value())?;
        valid::check(key, text).ok()
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Number(number)) => number,
            _ => 0,
        }
    }

    fn size(&self, name: &str) -> usize {
        self.number(name).max(0) as usize
    }

    fn ms(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name).max(0) as u64)
    }

    fn is_on(&self, name: &str) -> bool {
        self.value(name) == Some(Value::Boolean(true))
    }

    /// A password is a text that the tables keep apart.
    fn secret(&self, name: &str) -> Option<String> {
        self.set.get(name).cloned()
    }

    fn connection(&self) -> Result<ConnectionConfig, ClientError> {
        let bootstrap = match self.value("bootstrap.servers") {
            Some(Value::List(list)) => list,
            _ => Vec::new(),
        };
        let id = self.text("client.id").filter(|id| !id.is_empty());
        let recovery = self.text("metadata.recovery.strategy").unwrap_or_default();
        check_bootstrap(&bootstrap)?;
        Ok(ConnectionConfig {
            bootstrap,
            endpoints: Endpoints::Brokers,
            client_id: id.unwrap_or_else(|| ConnectionConfig::default().client_id),
            request_timeout: self.ms("request.timeout.ms"),
            reconnect_backoff: self.ms("reconnect.backoff.ms"),
            reconnect_backoff_max: self.ms("reconnect.backoff.max.ms"),
            retry_backoff: self.ms("retry.backoff.ms"),
            retry_backoff_max: self.ms("retry.backoff.max.ms"),
            setup_timeout: self.ms("socket.connection.setup.timeout.ms"),
            setup_timeout_max: self.ms("socket.connection.setup.timeout.max.ms"),
            metadata_max_age: self.ms("metadata.max.age.ms"),
            recovery: if recovery.eq_ignore_ascii_case("none") { Recovery::None } else { Recovery::Rebootstrap },
            security: self.security()?,
        })
    }
}

impl ProducerConfig {
    /// Reads `key=value` pairs by Java's names; the names of keys that no producer has come back beside it.
    ///
    /// # Errors
    /// The first value that its key does not take, or keys that contradict one another.
    pub fn from_properties<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(Self, Vec<String>), ClientError> {
        let set = Settings::new(PRODUCER_KEYS, pairs)?;
        let codec = match set.text("compression.type").as_deref() {
            Some("gzip") => Codec::Gzip,
            Some("snappy") => Codec::Snappy,
            Some("lz4") => Codec::Lz4,
            Some("zstd") => Codec::Zstd,
            _ => Codec::None,
        };
        let level_key = format!("compression.{}.level", codec.name());
        let level = set.set.contains_key(&level_key).then(|| set.number(&level_key) as i32);
        let mut config = ProducerConfig {
            connection: set.connection()?,
            acks: match set.text("acks").as_deref() {
                Some("0") => Acks::None,
                Some("1") => Acks::Leader,
                _ => Acks::All,
            },
            idempotence: if set.is_on("enable.idempotence") { Idempotence::On } else { Idempotence::Off },
            codec,
            level,
            batch_bytes: set.size("batch.size"),
            linger: set.ms("linger.ms"),
            buffer_bytes: set.size("buffer.memory"),
            block_max: set.ms("max.block.ms"),
            request_bytes_max: set.size("max.request.size"),
            delivery_timeout: set.ms("delivery.timeout.ms"),
            retries: set.size("retries") as u32,
            in_flight_max: set.size("max.in.flight.requests.per.connection"),
            spread: if set.is_on("partitioner.adaptive.partitioning.enable") {
                Spread::Adaptive
            } else {
                Spread::Uniform
            },
            keys: if set.is_on("partitioner.ignore.keys") { Keys::Ignored } else { Keys::ChoosePartition },
            availability_timeout: set.ms("partitioner.availability.timeout.ms"),
            transactional_id: set.text("transactional.id"),
            transaction_timeout: set.ms("transaction.timeout.ms"),
            metadata_idle_max: set.ms("metadata.max.idle.ms"),
        };
        config.settle(&set.set)?;
        Ok((config, set.unknown))
    }

    /// Whether the settings go together, however they were made.
    ///
    /// # Errors
    /// What contradicts what (Java: `ProducerConfig.postProcessAndValidateIdempotenceConfigs`).
    pub fn check(&self) -> Result<(), ClientError> {
        let refuse = |what: &str| Err(ClientError::Config(what.to_owned()));
        match self.idempotence {
            Idempotence::Off if self.transactional_id.is_some() => {
                refuse("Cannot set a transactional.id without also enabling idempotence.")
            }
            Idempotence::On if self.acks != Acks::All => refuse(
                "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence.",
            ),
            Idempotence::On if self.retries == 0 => {
                refuse("Must set retries to non-zero when using the idempotent producer.")
            }
            Idempotence::On if self.in_flight_max > 5 => {
                refuse("Must set max.in.flight.requests.per.connection to at most 5 to use the idempotent producer.")
            }
            _ if self.in_flight_max == 0 => refuse(
                "Invalid value 0 for configuration max.in.flight.requests.per.connection: Value must be at least 1",
            ),
            _ => Ok(()),
        }
    }

    /// What follows from what was set (Java: `ProducerConfig.postProcessAndValidateIdempotenceConfigs` and
    /// `KafkaProducer.configureDeliveryTimeout`).
    fn settle(&mut self, set: &BTreeMap<String, String>) -> Result<(), ClientError> {
        let asked = set.contains_key("enable.idempotence");
        let refuse = |what: &str| Err(ClientError::Config(what.to_owned()));
        if self.idempotence == Idempotence::On && !asked && (self.acks != Acks::All || self.retries == 0) {
            // Nobody asked for what is the default: it gives way, once the rest was looked at.
            ProducerConfig { acks: Acks::All, retries: 1, ..self.clone() }.check()?;
            self.idempotence = Idempotence::Off;
        }
        self.check()?;
        let least = self.linger.saturating_add(self.connection.request_timeout);
        if self.delivery_timeout < least {
            if set.contains_key("delivery.timeout.ms") {
                return refuse("delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms");
            }
            self.delivery_timeout = least;
        }
        Ok(())
    }
}

impl ConsumerConfig {
    /// Reads `key=value` pairs by Java's names; the names of keys that no consumer has come back beside it.
    ///
    /// # Errors
    /// The first value that its key does not take, or keys that contradict one another.
    pub fn from_properties<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(Self, Vec<String>), ClientError> {
        let set = Settings::new(CONSUMER_KEYS, pairs)?;
        let reset = match set.text("auto.offset.reset").as_deref() {
            Some("earliest") => Reset::Earliest,
            Some("none") => Reset::None,
            Some("latest") | None => Reset::Latest,
            Some(other) => Reset::ByDuration(by_duration(other)?),
        };
        let names = match set.value("partition.assignment.strategy") {
            Some(Value::List(names)) => names,
            _ => Vec::new(),
        };
        let assignor = |name: &String| {
            let missing = || {
                ClientError::Config(format!(
                    "{name} of partition.assignment.strategy is not an assignor of this client"
                ))
            };
            Assignor::named(name).ok_or_else(missing)
        };
        let assignors = names.iter().map(assignor).collect::<Result<Vec<Assignor>, ClientError>>()?;
        let committed = set.text("isolation.level").as_deref() == Some("read_committed");
        // Java: enable.auto.commit defaults to false when there is no group to commit to.
        let group = set.text("group.id");
        let auto = set.is_on("enable.auto.commit") && group.is_some();
        let config = ConsumerConfig {
            connection: set.connection()?,
            group,
            instance: set.text("group.instance.id"),
            session_timeout: set.ms("session.timeout.ms"),
            heartbeat_interval: set.ms("heartbeat.interval.ms"),
            poll_interval_max: set.ms("max.poll.interval.ms"),
            poll_records_max: set.size("max.poll.records").max(1),
            auto_commit: auto.then(|| set.ms("auto.commit.interval.ms")),
            reset,
            isolation: if committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
            fetch_bytes_min: set.number("fetch.min.bytes") as i32,
            fetch_bytes_max: set.number("fetch.max.bytes") as i32,
            partition_bytes_max: set.number("max.partition.fetch.bytes") as i32,
            fetch_wait: set.ms("fetch.max.wait.ms"),
            api_timeout: set.ms("default.api.timeout.ms"),
            crc: if set.is_on("check.crcs") { Crc::Checked } else { Crc::Ignored },
            missing: if set.is_on("allow.auto.create.topics") { Missing::Create } else { Missing::Report },
            rack: set.text("client.rack").unwrap_or_default(),
            assignors,
            internal: if set.is_on("exclude.internal.topics") {
                InternalTopics::Excluded
            } else {
                InternalTopics::Included
            },
        };
        config.check()?;
        Ok((config, set.unknown))
    }

    /// Whether the settings go together, however they were made.
    ///
    /// # Errors
    /// What contradicts what (Java: `Heartbeat`).
    pub fn check(&self) -> Result<(), ClientError> {
        let refuse = |what: &str| Err(ClientError::Config(what.to_owned()));
        if self.poll_records_max == 0 {
            return refuse("Invalid value 0 for configuration max.poll.records: Value must be at least 1");
        }
        if self.group.is_none() {
            return Ok(());
        }
        if self.heartbeat_interval.is_zero() {
            return refuse("heartbeat.interval.ms must be larger than 0");
        }
        if self.heartbeat_interval >= self.session_timeout {
            return refuse("heartbeat.interval.ms must be lower than session.timeout.ms");
        }
        Ok(())
    }
}

/// The duration behind `by_duration:` (Java: `AutoOffsetResetStrategy`).
fn by_duration(text: &str) -> Result<Duration, ClientError> {
    let illegal = || ClientError::Config(format!("Invalid value {text} for configuration auto.offset.reset"));
    let ms = text.split_once(':').and_then(|(_, duration)| iso_duration::parse(duration));
    ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis).ok_or_else(illegal)
}

#[cfg(test)]
mod tests;
