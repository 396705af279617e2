//! What configuration keys mean and which values they take, over base/config's tables (Java:
//! `ControllerConfigurationValidator`, `LogConfig`).

use std::collections::BTreeMap;

use millstream_base_config::key::{Key, Kind, find};
use millstream_base_config::resolve::{Layers, topic_value};
use millstream_base_config::table_broker::BROKER_KEYS;
use millstream_base_config::table_group::{CLIENT_METRICS_KEYS, GROUP_KEYS};
use millstream_base_config::table_topic::TOPIC_KEYS;
use millstream_base_config::valid;
use millstream_protocol::error_code::ErrorCode;

use crate::image::{ConfigResource, ConfigResourceType};
use crate::refusal::Refusal;

/// Group keys that the broker bounds, each with the broker keys of its bounds (Java: `GroupConfig.validateValues`).
const GROUP_BOUNDS: [(&str, &str, &str); 9] = [
    (
        "consumer.heartbeat.interval.ms",
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.max.heartbeat.interval.ms",
    ),
    ("consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
    ("share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"),
    (
        "share.record.lock.duration.ms",
        "group.share.min.record.lock.duration.ms",
        "group.share.max.record.lock.duration.ms",
    ),
    ("share.delivery.count.limit", "group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"),
    (
        "share.partition.max.record.locks",
        "group.share.min.partition.max.record.locks",
        "group.share.max.partition.max.record.locks",
    ),
    (
        "streams.heartbeat.interval.ms",
        "group.streams.min.heartbeat.interval.ms",
        "group.streams.max.heartbeat.interval.ms",
    ),
    ("streams.session.timeout.ms", "group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"),
];

/// What a client-metrics subscription may match clients by.
const MATCHED: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// What the broker's own configuration adds to the tables.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What the configuration file says; topic keys take their defaults from it.
    pub file: BTreeMap<String, String>,
}

impl Rules {
    /// Whether the key holds a list, so that APPEND and SUBTRACT make sense.
    pub(crate) fn is_list(kind: ConfigResourceType, key: &str) -> bool {
        row(kind, key).is_some_and(|row| row.kind == Kind::List)
    }

    /// The default of the key, for a list that was never set.
    pub(crate) fn default_of(kind: ConfigResourceType, key: &str) -> Option<String> {
        row(kind, key)?.default_value().map(str::to_owned)
    }

    /// Checks the whole set that a resource would hold. Broker keys were checked by the broker that took the
    /// request, which knows what it runs with.
    ///
    /// # Errors
    /// INVALID_CONFIG or INVALID_REQUEST with Apache's message.
    pub(crate) fn validate(
        &self,
        resource: &ConfigResource,
        configs: &BTreeMap<String, String>,
        before: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        match resource.kind {
            ConfigResourceType::Topic => self.validate_topic(configs, before),
            ConfigResourceType::ClientMetrics if resource.name.is_empty() => {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Subscription name can't be empty"))
            }
            ConfigResourceType::ClientMetrics => validate_client_metrics(configs),
            ConfigResourceType::Group => self.validate_group(configs),
            ConfigResourceType::Broker | ConfigResourceType::BrokerLogger => Ok(()),
        }
    }

    fn validate_topic(
        &self,
        configs: &BTreeMap<String, String>,
        before: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        if let Some(unknown) = configs.keys().find(|key| find(TOPIC_KEYS, key).is_none()) {
            return invalid(format!("Unknown topic config name: {unknown}"));
        }
        check_values(TOPIC_KEYS, configs)?;
        let (min, max) = (self.number(configs, "min.compaction.lag.ms"), self.number(configs, "max.compaction.lag.ms"));
        if min > max {
            return invalid(format!(
                "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
            ));
        }
        if is_true(configs, "remote.storage.enable") {
            return invalid(
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote \
                 log storage."
                    .to_owned(),
            );
        }
        if is_true(before, "remote.storage.enable") && !is_true(configs, "remote.log.delete.on.disable") {
            return invalid(
                "It is invalid to disable remote storage without deleting remote data. If you want to keep the \
                 remote data and turn to read only, please set \
                 `remote.storage.enable=true,remote.log.copy.disable=true`. If you want to disable remote storage \
                 and delete all remote data, please set \
                 `remote.storage.enable=false,remote.log.delete.on.disable=true`."
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn validate_group(&self, configs: &BTreeMap<String, String>) -> Result<(), Refusal> {
        if let Some(unknown) = configs.keys().find(|key| find(GROUP_KEYS, key).is_none()) {
            return invalid(format!("Unknown group config name: {unknown}"));
        }
        check_values(GROUP_KEYS, configs)?;
        let value = |key: &str| configs.get(key).and_then(|text| text.trim().parse::<i64>().ok());
        for (key, min_key, max_key) in GROUP_BOUNDS {
            let Some(value) = value(key) else { continue };
            if self.broker_number(min_key).is_some_and(|min| value < min) {
                return invalid(format!("{key} must be greater than or equal to {min_key}"));
            }
            if self.broker_number(max_key).is_some_and(|max| value > max) {
                return invalid(format!("{key} must be less than or equal to {max_key}"));
            }
        }
        Ok(())
    }

    fn broker_number(&self, name: &str) -> Option<i64> {
        let default = || find(BROKER_KEYS, name).and_then(|row| row.default_value());
        self.file.get(name).map(String::as_str).or_else(default)?.trim().parse().ok()
    }

    /// What a topic key with these configurations is worth.
    fn number(&self, configs: &BTreeMap<String, String>, name: &str) -> i64 {
        let layers = Layers { broker: None, cluster: None, file: &self.file };
        find(TOPIC_KEYS, name)
            .and_then(|row| topic_value(row, Some(configs), layers))
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }
}

fn check_values(table: &'static [Key], configs: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for row in table {
        if let Some(value) = configs.get(row.name) {
            valid::check(row, value).map_err(|message| Refusal::new(ErrorCode::InvalidConfig, message))?;
        }
    }
    Ok(())
}

/// Java: `ClientMetricsConfigs.validate`.
///
/// Not done: what stands behind `=` is a regular expression to Java; only its brackets are checked here.
fn validate_client_metrics(configs: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if let Some(unknown) = configs.keys().find(|key| find(CLIENT_METRICS_KEYS, key).is_none()) {
        let message = format!("Unknown client metrics configuration: {unknown}");
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    check_values(CLIENT_METRICS_KEYS, configs)?;
    let interval: Option<i64> = configs.get("interval.ms").and_then(|text| text.trim().parse().ok());
    if let Some(interval) = interval.filter(|interval| !(100..=3_600_000).contains(interval)) {
        let message =
            format!("Invalid value {interval} for interval.ms, interval must be between 100 and 3600000 (1 hour)");
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let patterns = configs.get("match").map(String::as_str).unwrap_or_default();
    for pattern in patterns.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()) {
        let legal = pattern.split_once('=').is_some_and(|(name, expression)| {
            MATCHED.contains(&name.trim()) && !expression.contains('=') && brackets_close(expression)
        });
        if !legal {
            return invalid(format!("Illegal client matching pattern: {pattern}"));
        }
    }
    Ok(())
}

fn brackets_close(expression: &str) -> bool {
    let count = |bracket| expression.matches(bracket).count();
    !expression.is_empty() && count('[') <= count(']') && count('(') == count(')')
}

fn row(kind: ConfigResourceType, key: &str) -> Option<&'static Key> {
    match kind {
        ConfigResourceType::Topic => find(TOPIC_KEYS, key),
        ConfigResourceType::Broker => find(BROKER_KEYS, key),
        ConfigResourceType::Group => find(GROUP_KEYS, key),
        // Apache knows no types of a subscription's keys, so nothing is appended to them.
        ConfigResourceType::BrokerLogger | ConfigResourceType::ClientMetrics => None,
    }
}

fn is_true(configs: &BTreeMap<String, String>, key: &str) -> bool {
    configs.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

fn invalid(message: String) -> Result<(), Refusal> {
    Err(Refusal::new(ErrorCode::InvalidConfig, message))
}
