//! Settings of an application by Java's names, with the defaults and checks of `StreamsConfig` 4.3.1.
//!
//! Made by the application; read by the runtime, which asks for typed [`Settings`] and for the settings of its clients.
//! The rows (name, kind, default, what is legal) are base/config's; `golden/clients.tsv` holds what Java hands its
//! clients. Never opens a connection.
//!
//! Not done: classes other than Kafka's own built-in ones, which come in code instead.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use millstream_base_config::effect_streams::why_streams_without;
use millstream_base_config::key::{Key, find};
use millstream_base_config::parse::Properties;
use millstream_base_config::table_client::{ADMIN_KEYS, CONSUMER_KEYS, PRODUCER_KEYS};
use millstream_base_config::table_streams::STREAMS_KEYS;
use millstream_base_config::valid::{self, Value};
use thiserror::Error;

use crate::graph::Optimization;

/// A setting that cannot be taken, in Java's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// How often a record may count when something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// `at_least_once`
    AtLeastOnce,
    /// `exactly_once_v2`: one transaction a thread and commit (KIP-447).
    ExactlyOnce,
}

/// What a built-in handler says to a failed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The thread ends.
    Fail,
    /// The record is left out.
    Continue,
}

/// Which timestamp a record gets whose own is negative (the built-in extractors).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidTimestamp {
    /// The thread ends.
    Fail,
    /// The record is left out.
    Skip,
    /// The highest of the partition so far.
    PartitionTime,
    /// Every record gets the time at which it is read.
    WallClock,
}

/// Where the DSL keeps its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DslStore {
    /// RocksDB.
    RocksDb,
    /// Memory, filled from the changelogs at each start.
    InMemory,
}

/// What is measured (`metrics.recording.level`). What costs next to nothing is counted at any level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recording {
    /// Nothing that looks at a clock for each call.
    Info,
    /// Also how long each call of a store takes.
    Debug,
    /// Also how old each record is when it is put into a store.
    Trace,
}

/// Which client a setting is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Consumer,
    Producer,
    Admin,
}

impl Client {
    fn keys(self) -> &'static [Key] {
        match self {
            Client::Consumer => CONSUMER_KEYS,
            Client::Producer => PRODUCER_KEYS,
            Client::Admin => ADMIN_KEYS,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Client::Consumer => "consumer.",
            Client::Producer => "producer.",
            Client::Admin => "admin.",
        }
    }
}

/// Pairs for a client, by its own names.
pub type ClientSettings = BTreeMap<String, String>;

/// What an application sets, by Java's names.
///
/// Keys of the clients are taken with and without their prefixes `consumer.`, `main.consumer.`, `restore.consumer.`,
/// `global.consumer.`, `producer.` and `admin.`; `topic.` stands before settings of internal topics.
///
/// ```
/// use streams::config::{Guarantee, StreamsConfig};
///
/// let config = StreamsConfig::new("wordcount", "localhost:9092").set("processing.guarantee", "exactly_once_v2");
/// let settings = config.settings()?;
/// assert_eq!(settings.guarantee, Guarantee::ExactlyOnce);
/// assert_eq!(settings.commit_interval.as_millis(), 100);
/// # Ok::<(), streams::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamsConfig {
    set: BTreeMap<String, String>,
}

impl StreamsConfig {
    /// An application on the brokers `bootstrap` (host:port, comma-separated).
    pub fn new(application_id: impl Into<String>, bootstrap: impl Into<String>) -> StreamsConfig {
        StreamsConfig::default().set("application.id", application_id.into()).set("bootstrap.servers", bootstrap.into())
    }

    /// What a properties file of Java's sets.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that none may have.
    pub fn from_properties(path: impl AsRef<Path>) -> Result<StreamsConfig, ConfigError> {
        let path = path.as_ref();
        let text =
            std::fs::read(path).map_err(|error| ConfigError(format!("cannot read {}: {error}", path.display())))?;
        let mut properties = Properties::default();
        properties
            .read(&String::from_utf8_lossy(&text), &path.display().to_string())
            .map_err(|error| ConfigError(error.to_string()))?;
        Ok(StreamsConfig::from_pairs(properties.iter()))
    }

    /// What these pairs set.
    pub fn from_pairs<K: Into<String>, V: Display>(pairs: impl IntoIterator<Item = (K, V)>) -> StreamsConfig {
        pairs.into_iter().fold(StreamsConfig::default(), |config, (key, value)| config.set(key, value))
    }

    /// The same with one setting more; it is checked by [`StreamsConfig::settings`].
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Display) -> StreamsConfig {
        self.set.insert(key.into(), value.to_string());
        self
    }

    /// The same with what these arguments set, each `key=value`, as a command line has them.
    ///
    /// ```
    /// use streams::StreamsConfig;
    ///
    /// let config = StreamsConfig::new("words", "localhost:9092").set_all(["num.stream.threads=2"])?;
    /// assert_eq!(config.get("num.stream.threads"), Some("2"));
    /// assert!(config.set_all(["threads"]).is_err());
    /// # Ok::<(), streams::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// Names an argument without `=`.
    pub fn set_all(self, arguments: impl IntoIterator<Item: AsRef<str>>) -> Result<StreamsConfig, ConfigError> {
        arguments.into_iter().try_fold(self, |config, argument| {
            let argument = argument.as_ref();
            let pair = argument.split_once('=').ok_or_else(|| ConfigError(format!("{argument:?} is not key=value")))?;
            Ok(config.set(pair.0, pair.1))
        })
    }

    /// What was set for `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.set.get(key).map(String::as_str)
    }

    /// The rewrites of `topology.optimization`.
    ///
    /// # Errors
    /// A rule that there is not.
    pub fn optimizations(&self) -> Result<Vec<Optimization>, ConfigError> {
        check_optimization(self)?;
        let text = self.get("topology.optimization").unwrap_or("none");
        let rules = Optimization::parse(text).map_err(|error| ConfigError(error.to_string()))?;
        Ok(Optimization::ALL.into_iter().filter(|rule| rules.contains(rule)).collect())
    }

    /// What was set and changes nothing, each with the reason.
    pub fn without_effect(&self) -> Vec<(&str, &'static str)> {
        let set = self.set.keys().filter(|key| find(STREAMS_KEYS, key).is_some());
        set.filter_map(|key| Some((key.as_str(), why_streams_without(key)?))).collect()
    }

    /// All settings with their types.
    ///
    /// # Errors
    /// The first value that its key does not take, or values that contradict one another.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        Settings::new(self)
    }

    fn value(&self, name: &str) -> Result<Option<Value>, ConfigError> {
        let key = find(STREAMS_KEYS, name).ok_or_else(|| ConfigError(format!("Unknown configuration '{name}'")))?;
        match self.get(name).or(key.default_value()) {
            Some(text) => valid::check(key, text).map(Some).map_err(ConfigError),
            None => Ok(None),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, ConfigError> {
        Ok(self.value(name)?.map(|value| value.to_string()).filter(|text| !text.is_empty()))
    }

    fn number(&self, name: &str) -> Result<i64, ConfigError> {
        match self.value(name)? {
            Some(Value::Number(number)) => Ok(number),
            _ => Ok(0),
        }
    }

    fn size(&self, name: &str) -> Result<usize, ConfigError> {
        Ok(usize::try_from(self.number(name)?).unwrap_or(0))
    }

    fn ms(&self, name: &str) -> Result<Duration, ConfigError> {
        Ok(Duration::from_millis(u64::try_from(self.number(name)?).unwrap_or(0)))
    }

    fn is_exactly_once(&self) -> bool {
        self.get("processing.guarantee").map(str::trim) == Some("exactly_once_v2")
    }

    /// One of Kafka's built-in classes; the older of two names counts where the newer is not set.
    fn class<T: Copy>(&self, names: &[&str], known: &[(&str, T)], otherwise: T) -> Result<T, ConfigError> {
        let Some((name, text)) = names.iter().find_map(|name| Some((*name, self.get(name)?))) else {
            return Ok(otherwise);
        };
        let short = text.trim();
        let short = short.strip_prefix("class ").unwrap_or(short);
        let short = short.rsplit('.').next().unwrap_or(short);
        let found = known.iter().find(|(class, _)| *class == short).map(|(_, kind)| *kind);
        found.ok_or_else(|| {
            ConfigError(format!("Invalid value {text} for configuration {name}: Class {text} could not be found."))
        })
    }

    /// What was set under a prefix, without it.
    fn below(&self, prefix: &str) -> impl Iterator<Item = (String, String)> + '_ {
        let prefix = prefix.to_owned();
        self.set.iter().filter_map(move |(key, value)| {
            let stripped = key.strip_prefix(prefix.as_str())?.to_owned();
            Some((stripped, value.clone()))
        })
    }

    /// Java's `getClientPropsWithPrefix`: the client's own keys, then those with its prefix.
    fn provided(&self, client: Client) -> ClientSettings {
        let own = self.set.iter().filter(|(key, _)| find(client.keys(), key).is_some());
        let own = own.map(|(key, value)| (key.clone(), value.clone()));
        own.chain(self.below(client.prefix())).collect()
    }

    /// Drops what Kafka Streams decides itself (Java: `checkIfUnexpectedUserSpecifiedClientConfig`).
    fn drop_decided(provided: &mut ClientSettings, decided: &[(&str, &str)]) {
        for (key, ours) in decided {
            if provided.get(*key).is_some_and(|value| value != ours) {
                tracing::warn!(key, value = provided[*key], ours, "a setting of a client is decided by streams");
                provided.remove(*key);
            }
        }
    }

    fn common_consumer(&self) -> ClientSettings {
        let mut provided = self.provided(Client::Consumer);
        provided.remove("group.protocol");
        Self::drop_decided(&mut provided, CONSUMER_DECIDED);
        let mut settings = pairs(CONSUMER_DEFAULTS);
        if self.is_exactly_once() {
            Self::drop_decided(&mut provided, CONSUMER_EXACTLY_ONCE);
            settings.extend(pairs(CONSUMER_EXACTLY_ONCE));
        }
        settings.extend(provided);
        settings.extend(self.bootstrap());
        settings
    }

    fn bootstrap(&self) -> Option<(String, String)> {
        Some(("bootstrap.servers".to_owned(), self.get("bootstrap.servers")?.to_owned()))
    }

    fn consumer(&self, prefix: &str, client_id: &str) -> ClientSettings {
        let mut settings = self.common_consumer();
        let mut over: ClientSettings = self.below(prefix).collect();
        Self::drop_decided(&mut over, CONSUMER_DECIDED);
        settings.extend(over);
        settings.insert("client.id".to_owned(), client_id.to_owned());
        settings
    }

    /// Settings of the consumer of input of a thread (Java: `getMainConsumerConfigs`).
    pub fn main_consumer(&self, client_id: &str, thread: usize) -> ClientSettings {
        let mut settings = self.consumer("main.consumer.", client_id);
        if let Some(group) = self.get("application.id") {
            settings.insert("group.id".to_owned(), group.to_owned());
        }
        // Each thread is a member of its own.
        if let Some(instance) = settings.get_mut("group.instance.id") {
            *instance = format!("{instance}-{thread}");
        }
        settings
    }

    /// Settings of the consumer that reads changelogs (Java: `getRestoreConsumerConfigs`).
    pub fn restore_consumer(&self, client_id: &str) -> ClientSettings {
        Self::without_group(self.consumer("restore.consumer.", client_id))
    }

    /// Settings of the consumer that fills global stores (Java: `getGlobalConsumerConfigs`).
    pub fn global_consumer(&self, client_id: &str) -> ClientSettings {
        Self::without_group(self.consumer("global.consumer.", &format!("{client_id}-global-consumer")))
    }

    fn without_group(mut settings: ClientSettings) -> ClientSettings {
        settings.remove("group.id");
        settings.remove("group.instance.id");
        settings.insert("auto.offset.reset".to_owned(), "none".to_owned());
        settings
    }

    /// Settings of a thread's producer (Java: `getProducerConfigs`), its transactional id apart.
    ///
    /// # Errors
    /// More requests in flight than an idempotent producer may have.
    pub fn producer(&self, client_id: &str) -> Result<ClientSettings, ConfigError> {
        let mut provided = self.provided(Client::Producer);
        let mut settings = pairs(PRODUCER_DEFAULTS);
        if self.is_exactly_once() {
            Self::drop_decided(&mut provided, &[("enable.idempotence", "true")]);
            provided.remove("transactional.id");
            settings.extend(pairs(PRODUCER_EXACTLY_ONCE));
            let flight = "max.in.flight.requests.per.connection";
            if let Some(text) = provided.get(flight) {
                let refuse = |why: &str| ConfigError(format!("Invalid value {text} for configuration {flight}: {why}"));
                let count: i32 =
                    text.trim().parse().map_err(|_| refuse("String value could not be parsed as 32-bit integer"))?;
                if count > 5 {
                    return Err(refuse("Can't exceed 5 when exactly-once processing is enabled"));
                }
            }
        }
        settings.extend(provided);
        settings.extend(self.bootstrap());
        settings.insert("client.id".to_owned(), client_id.to_owned());
        Ok(settings)
    }

    /// Settings of the admin client (Java: `getAdminConfigs`).
    pub fn admin(&self, client_id: &str) -> ClientSettings {
        let mut settings = pairs(&[("enable.metrics.push", "true")]);
        settings.extend(self.provided(Client::Admin));
        settings.extend(self.bootstrap());
        settings.insert("client.id".to_owned(), client_id.to_owned());
        settings
    }

    /// Settings of internal topics, without their prefix `topic.`.
    pub fn topics(&self) -> ClientSettings {
        self.below("topic.").collect()
    }

    /// What no product of the stack knows, for a warning.
    pub fn unknown(&self) -> Vec<String> {
        const PREFIXES: [&str; 9] = [
            "main.consumer.",
            "restore.consumer.",
            "global.consumer.",
            "consumer.",
            "producer.",
            "admin.",
            "topic.",
            "client.tag.",
            "__",
        ];
        let tables = [STREAMS_KEYS, CONSUMER_KEYS, PRODUCER_KEYS, ADMIN_KEYS];
        let is_known = |key: &str| {
            PREFIXES.iter().any(|prefix| key.starts_with(prefix)) || tables.iter().any(|keys| find(keys, key).is_some())
        };
        self.set.keys().filter(|key| !is_known(key)).cloned().collect()
    }
}

/// Consumers never get these from the user.
const CONSUMER_DECIDED: &[(&str, &str)] =
    &[("enable.auto.commit", "false"), ("group.protocol", "classic"), ("allow.auto.create.topics", "false")];
const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    ("max.poll.records", "1000"),
    ("auto.offset.reset", "earliest"),
    ("enable.auto.commit", "false"),
    ("group.protocol", "classic"),
    ("allow.auto.create.topics", "false"),
];
const CONSUMER_EXACTLY_ONCE: &[(&str, &str)] = &[("isolation.level", "read_committed")];
const PRODUCER_DEFAULTS: &[(&str, &str)] = &[("linger.ms", "100")];
const PRODUCER_EXACTLY_ONCE: &[(&str, &str)] =
    &[("delivery.timeout.ms", "2147483647"), ("enable.idempotence", "true"), ("transaction.timeout.ms", "10000")];

fn pairs(table: &[(&str, &str)]) -> ClientSettings {
    table.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const OPTIMIZATIONS: [&str; 3] = ["reuse.ktable.source.topics", "merge.repartition.topics", "single.store.self.join"];
/// Java prints the names of its constants here.
const OPTIMIZATION_HINT: &str = "Acceptable values are: \"+NO_OPTIMIZATION+\", \"+OPTIMIZE+\", or a comma separated list \
     of specific optimizations: (\"+REUSE_KTABLE_SOURCE_TOPICS+\", \"+MERGE_REPARTITION_TOPICS+\" + \
     \"SINGLE_STORE_SELF_JOIN+\").";

/// Settings with their types, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `application.id`
    pub application_id: String,
    /// `client.id`, empty for one that is made up.
    pub client_id: String,
    /// `processing.guarantee`
    pub guarantee: Guarantee,
    /// `num.stream.threads`
    pub threads: usize,
    /// `num.standby.replicas`
    pub standby_replicas: usize,
    /// `max.warmup.replicas`
    pub warmup_replicas_max: usize,
    /// `acceptable.recovery.lag`
    pub acceptable_recovery_lag: i64,
    /// `probing.rebalance.interval.ms`
    pub probing_interval: Duration,
    /// `application.server`
    pub application_server: Option<String>,
    /// `replication.factor`
    pub replication_factor: i16,
    /// `state.dir`
    pub state_dir: String,
    /// `state.cleanup.delay.ms`
    pub cleanup_delay: Duration,
    /// `statestore.cache.max.bytes`, of all threads together.
    pub cache_bytes: usize,
    /// `buffered.records.per.partition`
    pub buffered_records: usize,
    /// `max.task.idle.ms`
    pub task_idle_max_ms: i64,
    /// `commit.interval.ms`
    pub commit_interval: Duration,
    /// `poll.ms`
    pub poll: Duration,
    /// `task.timeout.ms`
    pub task_timeout: Duration,
    /// `repartition.purge.interval.ms`
    pub purge_interval: Duration,
    /// `windowstore.changelog.additional.retention.ms`
    pub additional_retention: Duration,
    /// `deserialization.exception.handler`
    pub on_deserialization_error: OnError,
    /// `processing.exception.handler`
    pub on_processing_error: OnError,
    /// `metrics.recording.level`
    pub recording: Recording,
    /// `errors.dead.letter.queue.topic.name`
    pub dead_letter_queue: Option<String>,
    /// `default.timestamp.extractor`
    pub invalid_timestamp: InvalidTimestamp,
    /// `dsl.store.suppliers.class`, or else `default.dsl.store`.
    pub dsl_store: DslStore,
    /// `max.poll.interval.ms` of the main consumer.
    pub poll_interval_max: Duration,
}

const HANDLERS: &[(&str, OnError)] = &[
    ("LogAndFailExceptionHandler", OnError::Fail),
    ("LogAndContinueExceptionHandler", OnError::Continue),
    ("LogAndFailProcessingExceptionHandler", OnError::Fail),
    ("LogAndContinueProcessingExceptionHandler", OnError::Continue),
];
const EXTRACTORS: &[(&str, InvalidTimestamp)] = &[
    ("FailOnInvalidTimestamp", InvalidTimestamp::Fail),
    ("LogAndSkipOnInvalidTimestamp", InvalidTimestamp::Skip),
    ("UsePartitionTimeOnInvalidTimestamp", InvalidTimestamp::PartitionTime),
    ("WallclockTimestampExtractor", InvalidTimestamp::WallClock),
];
const SUPPLIERS: &[(&str, DslStore)] = &[
    ("BuiltInDslStoreSuppliers$RocksDBDslStoreSuppliers", DslStore::RocksDb),
    ("BuiltInDslStoreSuppliers$InMemoryDslStoreSuppliers", DslStore::InMemory),
];
/// Java accepts these classes and does something else with them than fail; here they change nothing.
const IDLE_CLASSES: [(&str, &str); 3] = [
    ("production.exception.handler", "DefaultProductionExceptionHandler"),
    ("default.production.exception.handler", "DefaultProductionExceptionHandler"),
    ("default.client.supplier", "DefaultKafkaClientSupplier"),
];

impl Settings {
    fn new(config: &StreamsConfig) -> Result<Settings, ConfigError> {
        check_rows(config)?;
        let exactly_once = config.is_exactly_once();
        check_optimization(config)?;
        let commit_interval = match (exactly_once, config.get("commit.interval.ms")) {
            (true, None) => Duration::from_millis(100),
            _ => config.ms("commit.interval.ms")?,
        };
        if exactly_once {
            check_transaction_timeout(config, commit_interval)?;
            config.producer("")?;
        }
        check_segments(config)?;
        let cache = match (config.get("statestore.cache.max.bytes"), config.get("cache.max.bytes.buffering")) {
            (None, Some(_)) => "cache.max.bytes.buffering",
            _ => "statestore.cache.max.bytes",
        };
        let older_store =
            if config.get("default.dsl.store") == Some("in_memory") { DslStore::InMemory } else { DslStore::RocksDb };
        let poll_interval_max = config.main_consumer("", 0).remove("max.poll.interval.ms");
        let poll_interval_max = poll_interval_max.and_then(|text| text.trim().parse().ok()).unwrap_or(300_000);
        Ok(Settings {
            application_id: config.text("application.id")?.unwrap_or_default(),
            client_id: config.text("client.id")?.unwrap_or_default(),
            guarantee: if exactly_once { Guarantee::ExactlyOnce } else { Guarantee::AtLeastOnce },
            threads: config.size("num.stream.threads")?,
            standby_replicas: config.size("num.standby.replicas")?,
            warmup_replicas_max: config.size("max.warmup.replicas")?,
            acceptable_recovery_lag: config.number("acceptable.recovery.lag")?,
            probing_interval: config.ms("probing.rebalance.interval.ms")?,
            application_server: config.text("application.server")?,
            replication_factor: i16::try_from(config.number("replication.factor")?).unwrap_or(i16::MAX),
            state_dir: config.text("state.dir")?.unwrap_or_default(),
            cleanup_delay: config.ms("state.cleanup.delay.ms")?,
            cache_bytes: config.size(cache)?,
            buffered_records: config.size("buffered.records.per.partition")?,
            task_idle_max_ms: config.number("max.task.idle.ms")?,
            commit_interval,
            poll: config.ms("poll.ms")?,
            task_timeout: config.ms("task.timeout.ms")?,
            purge_interval: config.ms("repartition.purge.interval.ms")?,
            additional_retention: config.ms("windowstore.changelog.additional.retention.ms")?,
            on_deserialization_error: config.class(
                &["deserialization.exception.handler", "default.deserialization.exception.handler"],
                &HANDLERS[..2],
                OnError::Fail,
            )?,
            on_processing_error: config.class(&["processing.exception.handler"], &HANDLERS[2..], OnError::Fail)?,
            recording: match config.text("metrics.recording.level")?.as_deref() {
                Some("DEBUG") => Recording::Debug,
                Some("TRACE") => Recording::Trace,
                _ => Recording::Info,
            },
            dead_letter_queue: config.text("errors.dead.letter.queue.topic.name")?,
            invalid_timestamp: config.class(&["default.timestamp.extractor"], EXTRACTORS, InvalidTimestamp::Fail)?,
            dsl_store: config.class(&["dsl.store.suppliers.class"], SUPPLIERS, older_store)?,
            poll_interval_max: Duration::from_millis(poll_interval_max),
        })
    }
}

/// Each row on its own: what is required is there, and every value is legal.
fn check_rows(config: &StreamsConfig) -> Result<(), ConfigError> {
    for key in STREAMS_KEYS {
        let missing =
            || ConfigError(format!("Missing required configuration \"{}\" which has no default value.", key.name));
        let required = key.fallback == millstream_base_config::Fallback::Required;
        config.value(key.name)?.map(drop).or((!required).then_some(())).ok_or_else(missing)?;
    }
    for (name, class) in IDLE_CLASSES {
        config.class(&[name], &[(class, ())], ())?;
    }
    Ok(())
}

/// Java: `StreamsConfig.verifyTopologyOptimizationConfigs`.
fn check_optimization(config: &StreamsConfig) -> Result<(), ConfigError> {
    let Some(text) = config.get("topology.optimization") else { return Ok(()) };
    let rules: Vec<&str> = text.split(',').map(str::trim).collect();
    let whole = |rule: &&str| *rule == "all" || *rule == "none";
    if rules.len() > 1 && rules.iter().any(whole) {
        return Err(ConfigError(format!("\"{text}\" is not a valid optimization config. {OPTIMIZATION_HINT}")));
    }
    if rules.iter().all(|rule| whole(rule) || OPTIMIZATIONS.contains(rule)) {
        return Ok(());
    }
    Err(ConfigError(format!("Unrecognized config. {OPTIMIZATION_HINT}")))
}

/// Java: `StreamsConfig.verifyEOSTransactionTimeoutCompatibility`.
fn check_transaction_timeout(config: &StreamsConfig, commit: Duration) -> Result<(), ConfigError> {
    let name = "producer.transaction.timeout.ms";
    let illegal =
        |text: &str| ConfigError(format!("Invalid value {text} for configuration {name}: Not a number of type INT"));
    let timeout: i32 = match config.get(name) {
        Some(text) => text.trim().parse().map_err(|_| illegal(text))?,
        None => 10_000,
    };
    let commit = commit.as_millis();
    if i128::from(timeout) >= commit as i128 {
        return Ok(());
    }
    Err(ConfigError(format!(
        "Transaction timeout {timeout} was set lower than streams commit interval {commit}. This will cause ongoing \
         transaction always timeout due to inactivity caused by long commit interval. Consider reconfiguring commit \
         interval to match transaction timeout by tuning 'commit.interval.ms' config, or increase the transaction \
         timeout to match commit interval by tuning `producer.transaction.timeout.ms` config."
    )))
}

/// Batches that the topics could not take (Java: `StreamsConfig.getMainConsumerConfigs`).
fn check_segments(config: &StreamsConfig) -> Result<(), ConfigError> {
    let provided = config.provided(Client::Producer);
    let number =
        |text: &str| text.trim().parse::<i32>().map_err(|_| ConfigError(format!("For input string: \"{text}\"")));
    let (Some(segment), Some(batch)) = (config.get("topic.segment.bytes"), provided.get("batch.size")) else {
        return Ok(());
    };
    let (segment, batch) = (number(segment)?, number(batch)?);
    if segment >= batch {
        return Ok(());
    }
    Err(ConfigError(format!(
        "Specified topic segment size {segment} is smaller than the configured producer batch size {batch}, this will \
         cause produced batch not able to be appended to the topic"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each case and client what Java 4.3.1 hands over, or why it refuses (golden/DumpClients.java).
    const APACHE: &str = include_str!("../golden/clients.tsv");

    fn config_of(case: &str) -> StreamsConfig {
        let pairs = case.split(';').filter_map(|pair| pair.split_once('='));
        pairs.fold(StreamsConfig::new("app", "h:1"), |config, (key, value)| config.set(key, value))
    }

    #[test]
    fn clients_get_what_java_hands_them() {
        let mut seen = 0;
        for line in APACHE.lines() {
            let [case, client, theirs] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let config = config_of(case);
            let ours = match client {
                "main" => config.main_consumer("c", 1),
                "restore" => config.restore_consumer("c"),
                "global" => config.global_consumer("c"),
                "producer" if config.producer("c").is_err() => continue,
                "producer" => config.producer("c").expect("checked before"),
                "admin" => config.admin("c"),
                _ => continue,
            };
            // The assignor is ours, and offsets that are not stable are always waited for.
            let left_out = ["partition.assignment.strategy", "internal.throw.on.fetch.stable.offset.unsupported"];
            let theirs = theirs.split(' ').filter(|pair| !left_out.iter().any(|key| pair.starts_with(key)));
            let ours = ours.iter().map(|(key, value)| format!("{key}={value}"));
            assert_eq!(ours.collect::<Vec<_>>(), theirs.collect::<Vec<_>>(), "{case} {client}");
            seen += 1;
        }
        assert!(seen > 25, "{seen}");
    }

    #[test]
    fn what_java_refuses_is_refused_in_its_words() {
        let mut seen = 0;
        for line in APACHE.lines() {
            let [case, client, theirs] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let ours = config_of(case).settings();
            let refused = APACHE.lines().any(|line| line.starts_with(&format!("{case}\terror\t")));
            assert_eq!(ours.is_err(), refused, "{case}: {ours:?}");
            if client == "error" {
                assert_eq!(ours.expect_err("refused").0, theirs);
                seen += 1;
            }
        }
        assert!(seen > 8, "{seen}");
        let missing = StreamsConfig::default().settings().expect_err("no application id").0;
        assert_eq!(missing, "Missing required configuration \"application.id\" which has no default value.");
    }

    #[test]
    fn classes_are_kafkas_own() {
        let handler = "org.apache.kafka.streams.errors.LogAndContinueExceptionHandler";
        let config = config_of("").set("default.deserialization.exception.handler", handler);
        assert_eq!(config.settings().map(|settings| settings.on_deserialization_error), Ok(OnError::Continue));
        let config = config_of("").set("default.timestamp.extractor", "com.acme.Mine");
        let refused = config.settings().map(|settings| settings.invalid_timestamp).expect_err("a class of the user");
        assert!(refused.0.contains("default.timestamp.extractor"), "{refused}");
        let config = config_of("default.dsl.store=in_memory");
        assert_eq!(config.settings().map(|settings| settings.dsl_store), Ok(DslStore::InMemory));
    }

    #[test]
    fn a_properties_file_is_read_as_java_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("streams.properties");
        std::fs::write(&path, "# ours\napplication.id = app\nbootstrap.servers:h\\\n  :1\n").expect("a file");
        let config = StreamsConfig::from_properties(&path).expect("it can be read");
        assert_eq!((config.get("application.id"), config.get("bootstrap.servers")), (Some("app"), Some("h:1")));
        let missing = StreamsConfig::from_properties(folder.path().join("none")).expect_err("no such file");
        assert!(missing.0.contains("none"), "{missing}");
    }

    #[test]
    fn one_budget_of_the_cache_wins() {
        let bytes = |case: &str| config_of(case).settings().map(|settings| settings.cache_bytes);
        assert_eq!(bytes("cache.max.bytes.buffering=7"), Ok(7));
        assert_eq!(bytes("cache.max.bytes.buffering=7;statestore.cache.max.bytes=8"), Ok(8));
        assert_eq!(bytes(""), Ok(10_485_760));
        assert_eq!(config_of("commit.intervall.ms=1;topic.x=1").unknown(), ["commit.intervall.ms"]);
        let vain = config_of("upgrade.from=3.9;poll.ms=5;default.key.serde=x");
        let vain = vain.without_effect();
        assert_eq!(vain.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["default.key.serde", "upgrade.from"]);
    }
}
