//! Who coordinates a group or a transactional id: found once, kept for all that share the cluster, forgotten by whoever
//! finds it wrong.
//!
//! Called by members of groups, transactional producers and admin. Never tries again.

use std::collections::HashMap;

use millstream_protocol::messages::{FindCoordinatorRequest, StrBytes};

use super::{Cluster, Node};
use crate::connection::Connection;
use crate::error::{ClientError, check_of};

/// More than any client works with at a time; beyond it all are found anew.
const KNOWN_MAX: usize = 10_000;

/// What is coordinated; the number is the protocol's (Java: `FindCoordinatorRequest.CoordinatorType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub(crate) enum Coordinated {
    /// A group.
    Group = 0,
    /// A transactional id.
    Transaction = 1,
}

impl Coordinated {
    /// What an error says of one.
    pub fn named(self, key: &str) -> String {
        match self {
            Coordinated::Group => format!("group {key}"),
            Coordinated::Transaction => format!("transactional id {key}"),
        }
    }
}

/// By kind, then by key.
pub(super) type Coordinators = HashMap<Coordinated, HashMap<String, Node>>;

impl Cluster {
    /// A connection to the coordinator of `key`.
    ///
    /// # Errors
    /// When there is none yet, or it cannot be reached.
    pub(crate) async fn coordinator(&self, kind: Coordinated, key: &str) -> Result<Connection, ClientError> {
        let node = self.find_coordinator(kind, key).await?;
        self.at(&node.address()).await.inspect_err(|_| self.forget_coordinator(kind, key))
    }

    /// The coordinator of `key`.
    ///
    /// # Errors
    /// When there is none yet, or no broker answers.
    pub(crate) async fn find_coordinator(&self, kind: Coordinated, key: &str) -> Result<Node, ClientError> {
        let found = self.find_coordinators(kind, std::slice::from_ref(&key.to_owned())).await?;
        let own = found.into_iter().find(|(known, _)| known == key);
        own.map_or(Err(ClientError::State("no coordinator in the answer")), |(_, found)| found)
    }

    /// The coordinators of `keys`, all asked for in one request but for those that are known.
    ///
    /// # Errors
    /// When no broker answers. What it says of a key stands beside it.
    pub(crate) async fn find_coordinators(
        &self,
        kind: Coordinated,
        keys: &[String],
    ) -> Result<Vec<(String, Result<Node, ClientError>)>, ClientError> {
        let mut found = Vec::with_capacity(keys.len());
        let mut unknown = Vec::new();
        {
            let known = self.known.lock();
            let of_kind = known.coordinators.get(&kind);
            for key in keys {
                match of_kind.and_then(|known| known.get(key)) {
                    Some(node) => found.push((key.clone(), Ok(node.clone()))),
                    None => unknown.push(StrBytes::from_string(key.clone())),
                }
            }
        }
        if unknown.is_empty() {
            return Ok(found);
        }
        let request = FindCoordinatorRequest::default().with_key_type(kind as i8).with_coordinator_keys(unknown);
        let connection = self.any_broker().await?;
        for own in connection.call(&request).await?.coordinators {
            let key = own.key.to_string();
            let checked = check_of(kind.named(&key), own.error_code, own.error_message.as_deref());
            let node = Node { id: own.node_id.0, host: own.host.to_string(), port: own.port };
            let node = checked.map(|()| node).map_err(|error| error.at(connection.address()));
            if let Ok(node) = &node {
                self.learn_coordinator(kind, &key, node.clone());
            }
            found.push((key, node));
        }
        Ok(found)
    }

    fn learn_coordinator(&self, kind: Coordinated, key: &str, node: Node) {
        let mut known = self.known.lock();
        let of_kind = known.coordinators.entry(kind).or_default();
        if of_kind.len() >= KNOWN_MAX {
            of_kind.clear();
        }
        of_kind.insert(key.to_owned(), node);
    }

    /// The coordinator of `key` is to be found anew.
    pub(crate) fn forget_coordinator(&self, kind: Coordinated, key: &str) {
        if let Some(of_kind) = self.known.lock().coordinators.get_mut(&kind) {
            of_kind.remove(key);
        }
    }

    /// Where the coordinator of `key` is, for errors; empty while it is not known.
    pub(crate) fn coordinator_address(&self, kind: Coordinated, key: &str) -> String {
        let known = self.known.lock();
        known.coordinators.get(&kind).and_then(|known| known.get(key)).map(Node::address).unwrap_or_default()
    }
}
