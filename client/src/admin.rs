//! Topics: create, list, describe, alter, delete.
//!
//! Called by `kafka-topics` and by whoever sets topics up. One request per call, no retries.
//!
//! Not done: configs other than a topic's, groups, offsets, log folders, quotas, ACLs.

use millstream_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use millstream_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use millstream_protocol::messages::delete_topics_request::DeleteTopicState;
use millstream_protocol::messages::describe_configs_request::DescribeConfigsResource;
use millstream_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, MetadataResponse, StrBytes,
};

use crate::error::{ClientError, check};
use crate::metadata::{Cluster, Missing, topic_name};

/// Apache's `default.api.timeout.ms` of the admin client is 60 s; a request waits half of it.
const TIMEOUT_MS: i32 = 30_000;
/// `ConfigResource.Type.TOPIC`.
const TOPIC: i8 = 2;
/// `DescribeConfigsResponse.ConfigSource.DEFAULT_CONFIG`.
const DEFAULT_CONFIG: i8 = 5;

/// A topic to create; None leaves the number to the broker.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Partitions.
    pub partitions: Option<i32>,
    /// Replicas of each.
    pub replication_factor: Option<i16>,
    /// Configs over the defaults.
    pub configs: Vec<(String, String)>,
}

/// Administration of a cluster.
#[derive(Clone)]
pub struct Admin {
    cluster: Cluster,
}

impl Admin {
    /// Works on `cluster`.
    pub fn new(cluster: Cluster) -> Self {
        Admin { cluster }
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// The broker's, such as a topic that exists.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<(), ClientError> {
        let text = |text: &String| StrBytes::from_string(text.clone());
        let config = |(name, value): &(String, String)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let creatable = CreatableTopic::default()
            .with_name(topic_name(&topic.name))
            .with_num_partitions(topic.partitions.unwrap_or(-1))
            .with_replication_factor(topic.replication_factor.unwrap_or(-1))
            .with_configs(topic.configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(TIMEOUT_MS);
        let response = self.cluster.any().await?.call(&request).await?;
        response.topics.iter().try_for_each(|topic| check(topic.error_code, topic.error_message.as_deref()))
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// The broker's, such as a topic that is not there.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let request = DeleteTopicsRequest::default()
            .with_topics(vec![DeleteTopicState::default().with_name(Some(topic_name(name)))])
            .with_topic_names(vec![topic_name(name)])
            .with_timeout_ms(TIMEOUT_MS);
        let response = self.cluster.any().await?.call(&request).await?;
        response.responses.iter().try_for_each(|topic| check(topic.error_code, topic.error_message.as_deref()))
    }

    /// Raises the number of partitions of a topic to `count`.
    ///
    /// # Errors
    /// The broker's, such as a count that is not higher.
    pub async fn create_partitions(&self, name: &str, count: i32) -> Result<(), ClientError> {
        let topic = CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
        let response = self.cluster.any().await?.call(&request).await?;
        response.results.iter().try_for_each(|topic| check(topic.error_code, topic.error_message.as_deref()))
    }

    /// Every topic with its partitions.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn topics(&self) -> Result<MetadataResponse, ClientError> {
        self.cluster.metadata(None, Missing::Report).await
    }

    /// The configs of a topic that are not Kafka's defaults (Java: `ConfigEntry.isDefault`), in the broker's order.
    ///
    /// # Errors
    /// The broker's.
    pub async fn topic_configs(&self, name: &str) -> Result<Vec<(String, String)>, ClientError> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let response = self.cluster.any().await?.call(&request).await?;
        let mut configs = Vec::new();
        for result in response.results {
            check(result.error_code, result.error_message.as_deref())?;
            let own = result.configs.iter().filter(|config| config.config_source != DEFAULT_CONFIG);
            configs.extend(own.map(|config| (config.name.to_string(), config.value.as_deref().unwrap_or_default().to_owned())));
        }
        Ok(configs)
    }
}
