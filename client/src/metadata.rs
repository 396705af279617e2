//! Which brokers there are and who leads what; the connections to them.
//!
//! Used by admin, producer and consumer. Asks the cluster anew on every call of [`Cluster::metadata`]: callers keep
//! the answer for as long as no reply says that it is stale.
//!
//! Not done: following a leader that moved (NOT_LEADER_OR_FOLLOWER ends the call).

use std::collections::HashMap;
use std::sync::Arc;

use millstream_protocol::messages::metadata_request::MetadataRequestTopic;
use millstream_protocol::messages::{MetadataRequest, MetadataResponse, StrBytes, TopicName};
use parking_lot::Mutex;

use crate::connection::Connection;
use crate::error::ClientError;

/// Whether asking about a topic that is not there may create it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The broker may create it, when `auto.create.topics.enable` lets it.
    Create,
    /// It stays missing.
    Report,
}

/// The name of a topic as messages carry it.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

#[derive(Default)]
struct Known {
    addresses: HashMap<i32, String>,
    connections: HashMap<String, Connection>,
}

/// A cluster, reached through its bootstrap addresses; clones share connections.
#[derive(Clone)]
pub struct Cluster {
    bootstrap: Arc<Vec<String>>,
    known: Arc<Mutex<Known>>,
}

impl Cluster {
    /// The cluster behind `host:port,host:port`. Connects to nothing yet.
    pub fn new(bootstrap: &str) -> Self {
        let bootstrap = bootstrap.split(',').map(|address| address.trim().to_owned()).collect();
        Cluster { bootstrap: Arc::new(bootstrap), known: Arc::default() }
    }

    /// A connection to the broker at `host:port`, the one that is open or a new one.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn at(&self, address: &str) -> Result<Connection, ClientError> {
        if let Some(open) = self.known.lock().connections.get(address).filter(|known| known.is_open()) {
            return Ok(open.clone());
        }
        let opened = Connection::open(address).await?;
        self.known.lock().connections.insert(address.to_owned(), opened.clone());
        Ok(opened)
    }

    /// A connection to whichever bootstrap broker answers first, in the order given.
    ///
    /// # Errors
    /// The last broker's, when none answers.
    pub async fn any(&self) -> Result<Connection, ClientError> {
        let mut last = ClientError::Lost;
        for address in self.bootstrap.iter() {
            match self.at(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A connection to the broker `id`, as the last metadata gave its address; any broker when it is unknown.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn broker(&self, id: i32) -> Result<Connection, ClientError> {
        let address = self.known.lock().addresses.get(&id).cloned();
        match address {
            Some(address) => self.at(&address).await,
            None => self.any().await,
        }
    }

    /// Asks for topics, all of them for None.
    ///
    /// # Errors
    /// When no broker answers. Errors of single topics stand in the response.
    pub async fn metadata(&self, topics: Option<&[String]>, missing: Missing) -> Result<MetadataResponse, ClientError> {
        let wanted = |name: &String| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request = MetadataRequest::default()
            .with_topics(topics.map(|names| names.iter().map(wanted).collect()))
            .with_allow_auto_topic_creation(missing == Missing::Create);
        let response = self.any().await?.call(&request).await?;
        let mut known = self.known.lock();
        for broker in &response.brokers {
            known.addresses.insert(broker.node_id.0, format!("{}:{}", &*broker.host, broker.port));
        }
        drop(known);
        Ok(response)
    }
}
