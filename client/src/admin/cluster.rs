//! The cluster itself: its id and brokers, and the log folders of each.
//!
//! Called by `kafka-cluster` and `kafka-log-dirs`.

use std::collections::BTreeMap;

use millstream_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeLogDirsRequest, UnregisterBrokerRequest,
    UnregisterBrokerResponse,
};

use super::ask::To;
use super::{Admin, TopicPartition};
use crate::config::Endpoints;
use crate::error::{ClientError, check, check_of};
use crate::metadata::CONTROLLERS;

/// A broker as the cluster knows it.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::{ClusterNode, Fenced};
///
///
/// let brokers: Vec<ClusterNode> = admin.describe_cluster(Fenced::LeftOut).await?.nodes;
/// brokers.iter().for_each(|broker| println!("{} at {}:{}", broker.id, broker.host, broker.port));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its id.
    pub id: i32,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: i32,
    /// Where it stands, if it says.
    pub rack: Option<String>,
    /// Whether it is shut out (KIP-1073).
    pub fenced: bool,
}

/// A cluster.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::{ClusterDescription, Fenced};
///
///
/// let ClusterDescription { cluster_id, nodes } = admin.describe_cluster(Fenced::Included).await?;
/// println!("{cluster_id} has {} brokers", nodes.len());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: String,
    /// Its brokers, or of controllers those.
    pub nodes: Vec<ClusterNode>,
}

/// Whether brokers that are shut out are described too.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::Fenced;
///
///
/// let known = admin.describe_cluster(Fenced::Included).await?.nodes.len();
/// let serving = admin.describe_cluster(Fenced::LeftOut).await?.nodes.len();
/// println!("{serving} of {known} brokers serve");
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// They are.
    Included,
    /// They are not.
    LeftOut,
}

/// A replica in a log folder.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::ReplicaInfo;
///
///
/// for dir in admin.describe_log_dirs(1).await? {
///     let bytes: i64 = dir.replicas.values().map(|ReplicaInfo { size, .. }| size).sum();
///     println!("{} holds {bytes} bytes", dir.path);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaInfo {
    /// Its bytes.
    pub size: i64,
    /// How far it is behind.
    pub offset_lag: i64,
    /// Whether it is moving here from another folder.
    pub is_future: bool,
}

/// A log folder of a broker.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::LogDirDescription;
///
///
/// let dirs: Vec<LogDirDescription> = admin.describe_log_dirs(1).await?;
/// println!("{} folders fail", dirs.iter().filter(|dir| dir.error.is_some()).count());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct LogDirDescription {
    /// Its path on the broker.
    pub path: String,
    /// What is wrong with it.
    pub error: Option<ClientError>,
    /// What is in it.
    pub replicas: BTreeMap<TopicPartition, ReplicaInfo>,
}

impl Admin {
    /// Describes the cluster.
    ///
    /// # Errors
    /// The broker's.
    pub async fn describe_cluster(&self, fenced: Fenced) -> Result<ClusterDescription, ClientError> {
        // Endpoint type 1: brokers.
        let endpoints = if self.cluster.config().endpoints == Endpoints::Controllers { CONTROLLERS } else { 1 };
        let request = DescribeClusterRequest::default()
            .with_endpoint_type(endpoints)
            .with_include_fenced_brokers(fenced == Fenced::Included);
        let judge = |response: &DescribeClusterResponse| check(response.error_code, response.error_message.as_deref());
        let (response, _) = self.ask(To::Any, &request, judge).await?;
        let nodes = response.brokers.into_iter().map(|broker| ClusterNode {
            id: broker.broker_id.0,
            host: broker.host.to_string(),
            port: broker.port,
            rack: broker.rack.map(|rack| rack.to_string()),
            fenced: broker.is_fenced,
        });
        Ok(ClusterDescription { cluster_id: response.cluster_id.to_string(), nodes: nodes.collect() })
    }

    /// Forgets a broker that will not come back.
    ///
    /// # Errors
    /// The broker's.
    pub async fn unregister_broker(&self, id: i32) -> Result<(), ClientError> {
        let request = UnregisterBrokerRequest::default().with_broker_id(id.into());
        let judge = |response: &UnregisterBrokerResponse| {
            check_of(format_args!("broker {id}"), response.error_code, response.error_message.as_deref())
        };
        self.ask(To::Any, &request, judge).await.map(drop)
    }

    /// The requests that a broker serves: key, first and last version, by key.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn api_versions(&self, broker: i32) -> Result<Vec<(i16, i16, i16)>, ClientError> {
        self.metadata(Some(&[])).await?;
        Ok(self.cluster.broker(broker).await?.versions())
    }

    /// The log folders of a broker.
    ///
    /// # Errors
    /// The broker's. What is wrong with one folder stands beside it.
    pub async fn describe_log_dirs(&self, broker: i32) -> Result<Vec<LogDirDescription>, ClientError> {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let (response, from) =
            self.ask(To::Broker(broker), &request, |response| check(response.error_code, None)).await?;
        let folders = response.results.into_iter().map(|folder| {
            let topics = folder.topics.iter();
            let replicas = topics.flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    let info = ReplicaInfo {
                        size: partition.partition_size,
                        offset_lag: partition.offset_lag,
                        is_future: partition.is_future_key,
                    };
                    (TopicPartition::new(&topic.name.0, partition.partition_index), info)
                })
            });
            LogDirDescription {
                replicas: replicas.collect(),
                error: from.says(format_args!("folder {}", &*folder.log_dir), folder.error_code, None).err(),
                path: folder.log_dir.to_string(),
            }
        });
        Ok(folders.collect())
    }
}
