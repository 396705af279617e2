//! What a handler knows of the request besides its body.
//!
//! Made by net/connection.rs once a connection; the header is replaced for each request. Cheap to clone into a
//! future.

use std::net::SocketAddr;
use std::sync::Arc;

use millstream_protocol::request::RequestHeader;

use crate::node::Node;

/// The node, the connection and the header of the request at hand.
#[derive(Clone)]
pub struct Context {
    /// The node that serves.
    pub node: Arc<Node>,
    /// The connection it came over.
    pub connection: Arc<ConnectionFacts>,
    /// Key, version, correlation id and client id.
    pub header: RequestHeader,
}

/// Whom a listener is for (`controller.listener.names`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Clients of brokers.
    Broker,
    /// Clients of controllers.
    Controller,
}

/// What is known of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// Name of the listener that accepted it (`PLAINTEXT`).
    pub listener: Arc<str>,
    /// Whom that listener is for.
    pub role: Role,
    /// Address of the client.
    pub peer: SocketAddr,
    /// Distinguishes connections in logs and fetch sessions.
    pub id: u64,
}

impl Context {
    /// Version of the request.
    pub fn version(&self) -> i16 {
        self.header.api_version
    }

    /// `client.id`, empty when the client sent none.
    pub fn client_id(&self) -> &str {
        self.header.client_id.as_deref().unwrap_or("")
    }

    /// Address of the client as Apache Kafka prints it in group descriptions: `/127.0.0.1`.
    pub fn client_host(&self) -> String {
        format!("/{}", self.connection.peer.ip())
    }
}
