//! What configuration keys mean and which values they take, over base/config's tables (Java:
//! `ControllerConfigurationValidator`, `LogConfig`).
//!
//! Not done: values of group and client-metrics keys; their features are not served yet, so only names are checked.

use std::collections::BTreeMap;

use millstream_base_config::key::{Key, Kind, find};
use millstream_base_config::resolve::{Layers, topic_value};
use millstream_base_config::table_broker::BROKER_KEYS;
use millstream_base_config::table_topic::TOPIC_KEYS;
use millstream_base_config::valid;
use millstream_protocol::error_code::ErrorCode;

use crate::image::{ConfigResource, ConfigResourceType};
use crate::refusal::Refusal;

/// The keys that a client-metrics subscription takes.
const CLIENT_METRICS_KEYS: [&str; 3] = ["interval.ms", "match", "metrics"];

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
            ConfigResourceType::ClientMetrics => {
                match configs.keys().find(|key| !CLIENT_METRICS_KEYS.contains(&key.as_str())) {
                    None => Ok(()),
                    Some(key) => {
                        let message = format!("Unknown client metrics configuration: {key}");
                        Err(Refusal::new(ErrorCode::InvalidRequest, message))
                    }
                }
            }
            ConfigResourceType::Group => match configs.keys().next() {
                None => Ok(()),
                Some(key) => invalid(format!("Unknown group config name: {key}")),
            },
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
        for row in TOPIC_KEYS {
            if let Some(value) = configs.get(row.name) {
                valid::check(row, value)
                    .map_err(|message| Refusal::new(ErrorCode::InvalidConfig, message))?;
            }
        }
        let (min, max) =
            (self.number(configs, "min.compaction.lag.ms"), self.number(configs, "max.compaction.lag.ms"));
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

    /// What a topic key with these configurations is worth.
    fn number(&self, configs: &BTreeMap<String, String>, name: &str) -> i64 {
        let layers = Layers { broker: None, cluster: None, file: &self.file };
        find(TOPIC_KEYS, name)
            .and_then(|row| topic_value(row, Some(configs), layers))
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }
}

fn row(kind: ConfigResourceType, key: &str) -> Option<&'static Key> {
    match kind {
        ConfigResourceType::Topic => find(TOPIC_KEYS, key),
        ConfigResourceType::Broker => find(BROKER_KEYS, key),
        ConfigResourceType::BrokerLogger | ConfigResourceType::ClientMetrics | ConfigResourceType::Group => {
            None
        }
    }
}

fn is_true(configs: &BTreeMap<String, String>, key: &str) -> bool {
    configs.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

fn invalid(message: String) -> Result<(), Refusal> {
    Err(Refusal::new(ErrorCode::InvalidConfig, message))
}
