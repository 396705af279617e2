//! The quorum that keeps the cluster's metadata: who leads, who follows how far, who votes.
//!
//! Called by `kafka-metadata-quorum`.

use millstream_protocol::messages::add_raft_voter_request::Listener;
use millstream_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use millstream_protocol::messages::describe_quorum_response::ReplicaState;
use millstream_protocol::messages::{
    AddRaftVoterRequest, DescribeQuorumRequest, DescribeQuorumResponse, RemoveRaftVoterRequest,
};
use uuid::Uuid;

use super::ask::To;
use super::{Admin, TIMEOUT_MS};
use crate::error::{ClientError, check};
use crate::metadata::{text, topic_name};

/// `Topic.CLUSTER_METADATA_TOPIC_NAME`
const METADATA: &str = "__cluster_metadata";

/// A voter or observer as the leader sees it (Java: `QuorumInfo.ReplicaState`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::QuorumReplica;
///
///
/// for QuorumReplica { id, log_end_offset, .. } in admin.describe_quorum().await?.voters {
///     println!("voter {id} has {log_end_offset}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its node id.
    pub id: i32,
    /// The id of its folder; nil from clusters of static voters.
    pub directory_id: Uuid,
    /// The end of its log.
    pub log_end_offset: i64,
    /// When it last fetched, in milliseconds since the Unix epoch; None when the leader does not know.
    pub last_fetch_ms: Option<i64>,
    /// When it last had everything that the leader had.
    pub last_caught_up_ms: Option<i64>,
}

/// Where a controller listens.
///
/// ```
/// use client::admin::QuorumEndpoint;
///
/// let endpoint = QuorumEndpoint { listener: "CONTROLLER".to_owned(), host: "localhost".to_owned(), port: 9093 };
/// assert_eq!((endpoint.host.as_str(), endpoint.port), ("localhost", 9093));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumEndpoint {
    /// The listener's name.
    pub listener: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A controller.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::QuorumNode;
///
///
/// for QuorumNode { id, endpoints } in admin.describe_quorum().await?.nodes {
///     println!("controller {id}: {endpoints:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumNode {
    /// Its node id.
    pub id: i32,
    /// Where it listens.
    pub endpoints: Vec<QuorumEndpoint>,
}

/// The quorum (Java: `QuorumInfo`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::QuorumInfo;
///
///
/// let QuorumInfo { leader_id, leader_epoch, high_watermark, .. } = admin.describe_quorum().await?;
/// println!("{leader_id} leads epoch {leader_epoch}, committed up to {high_watermark}");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumInfo {
    /// Who leads.
    pub leader_id: i32,
    /// The epoch of its leadership.
    pub leader_epoch: i32,
    /// Up to where most voters have everything.
    pub high_watermark: i64,
    /// Who votes.
    pub voters: Vec<QuorumReplica>,
    /// Who only follows.
    pub observers: Vec<QuorumReplica>,
    /// The controllers; empty from DescribeQuorum before version 2.
    pub nodes: Vec<QuorumNode>,
}

fn replica(state: &ReplicaState) -> QuorumReplica {
    QuorumReplica {
        id: state.replica_id.0,
        directory_id: state.replica_directory_id,
        log_end_offset: state.log_end_offset,
        last_fetch_ms: Some(state.last_fetch_timestamp).filter(|ms| *ms >= 0),
        last_caught_up_ms: Some(state.last_caught_up_timestamp).filter(|ms| *ms >= 0),
    }
}

impl Admin {
    /// Describes the quorum of the cluster's metadata.
    ///
    /// # Errors
    /// The controller's.
    pub async fn describe_quorum(&self) -> Result<QuorumInfo, ClientError> {
        let partition = PartitionData::default().with_partition_index(0);
        let topic = TopicData::default().with_topic_name(topic_name(METADATA)).with_partitions(vec![partition]);
        let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
        let judge = |response: &DescribeQuorumResponse| {
            check(response.error_code, response.error_message.as_deref())?;
            let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.try_for_each(|own| check(own.error_code, own.error_message.as_deref()))
        };
        let (response, from) = self.ask(To::Any, &request, judge).await?;
        let nodes = response.nodes.iter().map(|node| {
            let endpoints = node.listeners.iter().map(|listener| QuorumEndpoint {
                listener: listener.name.to_string(),
                host: listener.host.to_string(),
                port: listener.port,
            });
            QuorumNode { id: node.node_id.0, endpoints: endpoints.collect() }
        });
        let nodes = nodes.collect();
        let partition = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let partition = partition.ok_or_else(|| from.unspoken("the quorum"))?;
        Ok(QuorumInfo {
            leader_id: partition.leader_id.0,
            leader_epoch: partition.leader_epoch,
            high_watermark: partition.high_watermark,
            voters: partition.current_voters.iter().map(replica).collect(),
            observers: partition.observers.iter().map(replica).collect(),
            nodes,
        })
    }

    /// Makes a controller a voter (KIP-853).
    ///
    /// # Errors
    /// The controller's.
    pub async fn add_raft_voter(
        &self,
        cluster_id: Option<&str>,
        voter: i32,
        directory_id: Uuid,
        endpoints: &[QuorumEndpoint],
    ) -> Result<(), ClientError> {
        let listener = |endpoint: &QuorumEndpoint| {
            Listener::default()
                .with_name(text(&endpoint.listener))
                .with_host(text(&endpoint.host))
                .with_port(endpoint.port)
        };
        let request = AddRaftVoterRequest::default()
            .with_cluster_id(cluster_id.map(text))
            .with_timeout_ms(TIMEOUT_MS)
            .with_voter_id(voter)
            .with_voter_directory_id(directory_id)
            .with_listeners(endpoints.iter().map(listener).collect());
        let judge = |response: &millstream_protocol::messages::AddRaftVoterResponse| {
            check(response.error_code, response.error_message.as_deref())
        };
        self.ask(To::Any, &request, judge).await.map(drop)
    }

    /// Makes a voter an observer (KIP-853).
    ///
    /// # Errors
    /// The controller's.
    pub async fn remove_raft_voter(
        &self,
        cluster_id: Option<&str>,
        voter: i32,
        directory_id: Uuid,
    ) -> Result<(), ClientError> {
        let request = RemoveRaftVoterRequest::default()
            .with_cluster_id(cluster_id.map(text))
            .with_voter_id(voter)
            .with_voter_directory_id(directory_id);
        let judge = |response: &millstream_protocol::messages::RemoveRaftVoterResponse| {
            check(response.error_code, response.error_message.as_deref())
        };
        self.ask(To::Any, &request, judge).await.map(drop)
    }
}
