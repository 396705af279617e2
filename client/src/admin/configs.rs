//! Configs of topics, brokers, groups and client metrics: describe several at a time, alter one.
//!
//! Called by `kafka-configs`. A broker's own configs are asked of and given to that broker, everything else to any
//! (Java: `KafkaAdminClient.nodeFor`).

use std::collections::BTreeMap;

use futures_util::future::join_all;
use millstream_protocol::messages::describe_configs_request::DescribeConfigsResource;
use millstream_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsSynonym};
use millstream_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use millstream_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use millstream_protocol::messages::{
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
};

use super::ask::{MOVED, To, not_now};
use super::topics::Creation;
use super::{Admin, Each};
use crate::config::Endpoints;
use crate::error::{ClientError, check};
use crate::metadata::text;

/// What has configs (Java: `ConfigResource.Type`); the number is the protocol's.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::ResourceKind;
///
///
/// let changes = [("retention.ms".to_owned(), Some("86400000".to_owned()))];
/// admin.alter_configs(ResourceKind::Topic, "orders", &changes).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum ResourceKind {
    /// A topic.
    Topic = 2,
    /// A broker, or with an empty name what holds for all of them.
    Broker = 4,
    /// The levels of a broker's loggers.
    BrokerLogger = 8,
    /// What a client is asked to measure.
    ClientMetrics = 16,
    /// A group.
    Group = 32,
}

impl ResourceKind {
    fn of(id: i8) -> Option<Self> {
        let all = [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group];
        all.into_iter().find(|kind| *kind as i8 == id)
    }

    /// What an error says of one.
    fn named(self, name: &str) -> String {
        let kind = match self {
            Self::Topic => "topic",
            Self::Broker if name.is_empty() => "all brokers",
            Self::Broker => "broker",
            Self::BrokerLogger => "the loggers of broker",
            Self::ClientMetrics => "client metrics",
            Self::Group => "group",
        };
        format!("{kind} {name}").trim_end().to_owned()
    }
}

/// Where a value comes from (Java: `ConfigEntry.ConfigSource`).
///
/// ```
/// use client::admin::ConfigSource;
///
/// assert_eq!(ConfigSource::DynamicTopicConfig.name(), "DYNAMIC_TOPIC_CONFIG");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set for the topic.
    DynamicTopicConfig,
    /// Set for the broker while it runs.
    DynamicBrokerConfig,
    /// Set for all brokers while they run.
    DynamicDefaultBrokerConfig,
    /// From the broker's file.
    StaticBrokerConfig,
    /// Nobody set it.
    DefaultConfig,
    /// The level of a logger.
    DynamicBrokerLoggerConfig,
    /// Set for client metrics.
    DynamicClientMetricsConfig,
    /// Set for the group.
    DynamicGroupConfig,
    /// Of a kind that came after this release.
    Unknown,
}

impl ConfigSource {
    fn of(id: i8) -> Self {
        match id {
            1 => ConfigSource::DynamicTopicConfig,
            2 => ConfigSource::DynamicBrokerConfig,
            3 => ConfigSource::DynamicDefaultBrokerConfig,
            4 => ConfigSource::StaticBrokerConfig,
            5 => ConfigSource::DefaultConfig,
            6 => ConfigSource::DynamicBrokerLoggerConfig,
            7 => ConfigSource::DynamicClientMetricsConfig,
            8 => ConfigSource::DynamicGroupConfig,
            _ => ConfigSource::Unknown,
        }
    }

    /// Its name in Java.
    pub fn name(self) -> &'static str {
        match self {
            ConfigSource::DynamicTopicConfig => "DYNAMIC_TOPIC_CONFIG",
            ConfigSource::DynamicBrokerConfig => "DYNAMIC_BROKER_CONFIG",
            ConfigSource::DynamicDefaultBrokerConfig => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            ConfigSource::StaticBrokerConfig => "STATIC_BROKER_CONFIG",
            ConfigSource::DefaultConfig => "DEFAULT_CONFIG",
            ConfigSource::DynamicBrokerLoggerConfig => "DYNAMIC_BROKER_LOGGER_CONFIG",
            ConfigSource::DynamicClientMetricsConfig => "DYNAMIC_CLIENT_METRICS_CONFIG",
            ConfigSource::DynamicGroupConfig => "DYNAMIC_GROUP_CONFIG",
            ConfigSource::Unknown => "UNKNOWN",
        }
    }
}

/// What becomes of a config (Java: `AlterConfigOp`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::{ConfigChange, Creation, ResourceKind};
///
/// let compact = [("cleanup.policy".to_owned(), ConfigChange::Append("compact".to_owned()))];
/// admin.change_configs(ResourceKind::Topic, "orders", &compact, Creation::Done).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// It gets this value.
    Set(String),
    /// It goes back to what holds without it.
    Delete,
    /// These items are added to its list.
    Append(String),
    /// These items are taken out of its list.
    Subtract(String),
}

/// One of the places that a value may come from, the one that counts first.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::{ConfigSynonym, ResourceKind};
///
///
/// for entry in admin.describe_configs(ResourceKind::Topic, "orders").await? {
///     let whence: Option<&ConfigSynonym> = entry.synonyms.first();
///     println!("{} comes from {:?}", entry.name, whence.map(|whence| whence.source));
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The place.
    pub source: ConfigSource,
    /// The key as it is called there.
    pub name: String,
    /// The value there; None for a secret.
    pub value: Option<String>,
}

/// One config.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::{ConfigEntry, ConfigSource, ResourceKind};
///
///
/// let entries: Vec<ConfigEntry> = admin.describe_configs(ResourceKind::Topic, "orders").await?;
/// let own = entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopicConfig);
/// own.for_each(|entry| println!("{}={:?}", entry.name, entry.value));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// The value; None for a secret or nothing.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Whether it is a secret.
    pub sensitive: bool,
    /// Every place that it may come from.
    pub synonyms: Vec<ConfigSynonym>,
}

impl Admin {
    /// The resources of `kinds` that have configs, of every kind for none (KIP-1142).
    ///
    /// # Errors
    /// The broker's.
    pub async fn list_config_resources(
        &self,
        kinds: &[ResourceKind],
    ) -> Result<Vec<(ResourceKind, String)>, ClientError> {
        let request =
            ListConfigResourcesRequest::default().with_resource_types(kinds.iter().map(|kind| *kind as i8).collect());
        let (response, _) = self.ask(To::Any, &request, |response| check(response.error_code, None)).await?;
        let listed = response.config_resources.into_iter();
        Ok(listed
            .filter_map(|own| Some((ResourceKind::of(own.resource_type)?, own.resource_name.to_string())))
            .collect())
    }

    /// Every config of a resource with its synonyms, in the broker's order.
    ///
    /// # Errors
    /// The broker's.
    pub async fn describe_configs(&self, kind: ResourceKind, name: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        let resource = (kind, name.to_owned());
        let mut described = self.describe_each_config(std::slice::from_ref(&resource)).await?;
        described.remove(&resource).unwrap_or(Err(ClientError::State("no answer for the resource")))
    }

    /// Every config of resources with its synonyms, in the broker's order; what is known of each resource stands beside
    /// it. Each broker is asked for its own, any for all others, at the same time; one that does not answer keeps nothing
    /// from the others.
    ///
    /// # Errors
    /// When none of those that are asked answers.
    pub async fn describe_each_config(
        &self,
        resources: &[(ResourceKind, String)],
    ) -> Result<Each<(ResourceKind, String), Vec<ConfigEntry>>, ClientError> {
        let mut asked: BTreeMap<Option<i32>, Vec<(ResourceKind, String)>> = BTreeMap::new();
        for (kind, name) in resources {
            asked.entry(own_broker(*kind, name)).or_default().push((*kind, name.clone()));
        }
        let answers = asked.into_iter().map(|(broker, own)| async move {
            let resource = |(kind, name): &(ResourceKind, String)| {
                let resource = DescribeConfigsResource::default().with_resource_type(*kind as i8);
                resource.with_resource_name(text(name)).with_configuration_keys(None)
            };
            let request = DescribeConfigsRequest::default().with_resources(own.iter().map(resource).collect());
            let request = request.with_include_synonyms(true);
            (own, self.ask(broker.map_or(To::Any, To::Broker), &request, |_| Ok(())).await)
        });
        let (mut described, mut heard) = (Each::new(), false);
        let mut failed = None;
        for (own, answer) in join_all(answers).await {
            let (response, from) = match answer {
                Ok(told) => told,
                Err(error) => {
                    described.extend(own.into_iter().map(|resource| (resource, Err(error.clone()))));
                    failed = failed.or(Some(error));
                    continue;
                }
            };
            heard = true;
            let said = response.results.into_iter().filter_map(|result| {
                let (kind, name) = (ResourceKind::of(result.resource_type)?, result.resource_name.to_string());
                let told = from.says(kind.named(&name), result.error_code, result.error_message.as_deref());
                Some(((kind, name), told.map(|()| result.configs.into_iter().map(entry).collect())))
            });
            described.append(&mut from.each(own, said, |(kind, name)| kind.named(name)));
        }
        match failed {
            Some(error) if !heard => Err(error),
            _ => Ok(described),
        }
    }

    /// Sets configs of a resource, or with None takes them back.
    ///
    /// # Errors
    /// The broker's; then nothing has changed.
    pub async fn alter_configs(
        &self,
        kind: ResourceKind,
        name: &str,
        changes: &[(String, Option<String>)],
    ) -> Result<(), ClientError> {
        let change = |(key, value): &(String, Option<String>)| {
            (key.clone(), value.clone().map_or(ConfigChange::Delete, ConfigChange::Set))
        };
        self.change_configs(kind, name, &changes.iter().map(change).collect::<Vec<_>>(), Creation::Done).await
    }

    /// Changes configs of a resource, or only looks whether they could be.
    ///
    /// # Errors
    /// The broker's; then nothing has changed.
    pub async fn change_configs(
        &self,
        kind: ResourceKind,
        name: &str,
        changes: &[(String, ConfigChange)],
        creation: Creation,
    ) -> Result<(), ClientError> {
        // AlterConfigOp.OpType
        let change = |(key, change): &(String, ConfigChange)| {
            let (operation, value) = match change {
                ConfigChange::Set(value) => (0, value.as_str()),
                ConfigChange::Delete => (1, ""),
                ConfigChange::Append(items) => (2, items.as_str()),
                ConfigChange::Subtract(items) => (3, items.as_str()),
            };
            AlterableConfig::default()
                .with_name(text(key))
                .with_config_operation(operation)
                .with_value(Some(text(value)))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(kind as i8)
            .with_resource_name(text(name))
            .with_configs(changes.iter().map(change).collect());
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(vec![resource])
            .with_validate_only(creation == Creation::Tried);
        // The active controller changes what brokers are told; their loggers are their own.
        let by_controller =
            self.cluster.config().endpoints == Endpoints::Controllers && kind != ResourceKind::BrokerLogger;
        let own = own_broker(kind, name).filter(|_| !by_controller);
        let judge = |response: &IncrementalAlterConfigsResponse| {
            response.responses.iter().try_for_each(|own| not_now(own.error_code, own.error_message.as_deref(), &MOVED))
        };
        let (response, from) = self.ask(own.map_or(To::Any, To::Broker), &request, judge).await?;
        let is_own =
            |own: &&AlterConfigsResourceResponse| own.resource_type == kind as i8 && *own.resource_name == *name;
        let own = response.responses.iter().find(is_own).ok_or_else(|| from.unspoken(&kind.named(name)))?;
        from.says(kind.named(name), own.error_code, own.error_message.as_deref())
    }
}

/// A broker answers for its own configs (Java: `KafkaAdminClient.nodeFor`).
fn own_broker(kind: ResourceKind, name: &str) -> Option<i32> {
    matches!(kind, ResourceKind::Broker | ResourceKind::BrokerLogger).then(|| name.parse().ok()).flatten()
}

fn entry(config: DescribeConfigsResourceResult) -> ConfigEntry {
    let synonym = |synonym: DescribeConfigsSynonym| ConfigSynonym {
        source: ConfigSource::of(synonym.source),
        name: synonym.name.to_string(),
        value: synonym.value.map(|value| value.to_string()),
    };
    ConfigEntry {
        name: config.name.to_string(),
        value: config.value.map(|value| value.to_string()),
        source: ConfigSource::of(config.config_source),
        sensitive: config.is_sensitive,
        synonyms: config.synonyms.into_iter().map(synonym).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millstream_base_env::net;
    use millstream_protocol::api_key::ApiKey;
    use millstream_protocol::messages::describe_configs_response::DescribeConfigsResult;
    use millstream_protocol::messages::{DescribeConfigsResponse, MetadataRequest};

    use super::*;
    use crate::metadata::Cluster;
    use crate::scripted::{Scripted, described};

    #[tokio::test]
    async fn a_broker_that_is_away_keeps_nothing_from_the_others() {
        // Who listens and never takes a connection: broker 2 says nothing.
        let silent = net::listen(([127, 0, 0, 1], 0).into()).expect("a port");
        let away = i32::from(silent.local_addr().expect("an address").port());
        let broker = Scripted::start(move |asked| match asked.key() {
            ApiKey::Metadata => asked.answer::<MetadataRequest>(&described(&[(1, asked.port), (2, away)], &[])),
            _ => {
                let result = |own: DescribeConfigsResource| {
                    DescribeConfigsResult::default()
                        .with_resource_type(own.resource_type)
                        .with_resource_name(own.resource_name)
                };
                let results = asked.read::<DescribeConfigsRequest>().resources.into_iter().map(result).collect();
                asked.answer::<DescribeConfigsRequest>(&DescribeConfigsResponse::default().with_results(results))
            }
        });
        let admin = Admin::new(Cluster::new(&broker.address)).with_timeout(Duration::from_secs(1));
        let [one, two, all] = ["1", "2", ""].map(|name| (ResourceKind::Broker, name.to_owned()));
        let configs = admin.describe_each_config(&[one.clone(), two.clone(), all.clone()]).await.unwrap();
        assert!(configs[&one].is_ok() && configs[&all].is_ok() && configs[&two].is_err(), "{configs:?}");
        assert!(admin.describe_each_config(&[two]).await.is_err());
    }
}
