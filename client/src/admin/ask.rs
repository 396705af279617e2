//! Which broker a request goes to, and when it is sent again (Java: `AdminApiDriver` and its lookup strategies).
//!
//! Called by every file of `admin/`. What a broker says is only not possible now (a coordinator that loads, a leader that
//! moved, a connection that was lost) is asked again after a growing wait until `default.api.timeout.ms` has passed; then
//! the last error is returned. Nothing takes longer than that, an answer that does not come included. A cluster of which
//! no broker answers at all is an error at once, so that a tool ends.

use std::collections::BTreeMap;

use millstream_base_env::task;
use millstream_protocol::api_key::ApiKey;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{FindCoordinatorRequest, MetadataResponse, Request};

use super::groups::Node;
use super::{Admin, TopicPartition};
use crate::connection::{Connection, backoff};
use crate::error::{ClientError, check, of_partition};
use crate::metadata::{Missing, text};

/// FindCoordinator 3 asks for one key; from 4 on for many.
const FIND_ONE: i16 = 3;

/// Who answers a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum To<'a> {
    /// Any broker, which passes on what the controller decides; of controllers the active one.
    Any,
    /// Any broker, for what no controller serves.
    AnyBroker,
    /// This broker.
    Broker(i32),
    /// This broker, of which metadata was just asked.
    Known(i32),
    /// The coordinator of a group.
    Group(&'a str),
    /// The coordinator of a transactional id.
    Transaction(&'a str),
    /// Who leads a partition.
    Leader(&'a TopicPartition),
}

/// What became of an attempt.
enum Tried<R> {
    /// There is no other.
    Over(Result<R, ClientError>),
    /// Another may do better.
    Again(ClientError),
}

fn api_name<T: Request>() -> &'static str {
    ApiKey::try_from(T::KEY).map_or("request", |key| key.api().name)
}

/// The controller is another one by now.
pub(super) const MOVED: [ErrorCode; 1] = [ErrorCode::NotController];

/// A resource's own answer that asking again may change; every other stands beside the resource.
pub(super) fn not_now(code: i16, message: Option<&str>, again: &[ErrorCode]) -> Result<(), ClientError> {
    if ErrorCode::from_code(code).is_some_and(|code| again.contains(&code)) { check(code, message) } else { Ok(()) }
}

/// Partitions by topic.
pub(super) fn by_topic<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> BTreeMap<&'a str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for at in partitions {
        topics.entry(&at.topic).or_default().push(at.partition);
    }
    topics
}

impl Admin {
    /// Sends `request` until the answer is one that `judge` lets through or that asking again does not change.
    pub(super) async fn ask<T: Request>(
        &self,
        to: To<'_>,
        request: &T,
        judge: impl Fn(&T::Response) -> Result<(), ClientError>,
    ) -> Result<T::Response, ClientError> {
        self.ask_at_most(i16::MAX, to, request, judge).await
    }

    /// As [`Admin::ask`], in no version above `at_most`.
    pub(super) async fn ask_at_most<T: Request>(
        &self,
        at_most: i16,
        to: To<'_>,
        request: &T,
        judge: impl Fn(&T::Response) -> Result<(), ClientError>,
    ) -> Result<T::Response, ClientError> {
        let attempt = || async {
            let connection = match (self.route(to).await, to) {
                (Err(error), To::Any | To::AnyBroker) if error.code().is_none() => return Tried::Over(Err(error)),
                (other, _) => other,
            };
            let answer = match connection {
                Ok(connection) => {
                    let answer = connection.call_at_most(at_most, request).await;
                    answer.and_then(|answer| judge(&answer).map(|()| answer))
                }
                Err(error) => Err(error),
            };
            match answer {
                Err(error) if error.is_retriable() => {
                    if error.code() == Some(ErrorCode::NotController) {
                        self.cluster.forget_controller();
                    }
                    Tried::Again(error)
                }
                other => Tried::Over(other),
            }
        };
        self.persist(api_name::<T>(), attempt).await
    }

    /// Makes attempts, with growing waits between them, until one is the last or the time is over: then the last error
    /// counts.
    async fn persist<R, F>(&self, doing: &str, attempt: impl Fn() -> F) -> Result<R, ClientError>
    where
        F: Future<Output = Tried<R>>,
    {
        let config = self.cluster.config();
        let mut last = None;
        let attempts = async {
            let mut failures = 0;
            loop {
                let error = match attempt().await {
                    Tried::Over(outcome) => return outcome,
                    Tried::Again(error) => error,
                };
                failures += 1;
                tracing::debug!(%error, failures, "asking again");
                last = Some(error);
                task::sleep(backoff(failures, config.retry_backoff, config.retry_backoff_max)).await;
            }
        };
        let outcome = tokio::time::timeout(self.timeout, attempts).await;
        outcome.unwrap_or_else(|_| Err(last.unwrap_or_else(|| self.late(doing))))
    }

    pub(super) fn late(&self, doing: &str) -> ClientError {
        ClientError::Timeout { doing: doing.to_owned(), limit: self.timeout }
    }

    /// What is known of the cluster and of `topics`, asked for within the time that a call may take.
    pub(super) async fn metadata(&self, topics: Option<&[String]>) -> Result<MetadataResponse, ClientError> {
        let asked = self.cluster.metadata(topics, Missing::Report);
        tokio::time::timeout(self.timeout, asked).await.unwrap_or_else(|_| Err(self.late("Metadata")))
    }

    async fn route(&self, to: To<'_>) -> Result<Connection, ClientError> {
        match to {
            To::Any => self.cluster.any().await,
            To::AnyBroker => self.cluster.any_broker().await,
            To::Broker(id) => {
                let none: &[String] = &[];
                self.cluster.metadata(Some(none), Missing::Report).await?;
                self.cluster.known_broker(id).await
            }
            To::Known(id) => self.cluster.known_broker(id).await,
            To::Group(id) => Ok(self.find_coordinator(id, 0).await?.1),
            To::Transaction(id) => Ok(self.find_coordinator(id, 1).await?.1),
            To::Leader(at) => {
                let metadata = self.cluster.metadata(Some(std::slice::from_ref(&at.topic)), Missing::Report).await?;
                for topic in &metadata.topics {
                    if topic.error_code != 0 {
                        return Err(of_partition(&at.topic, at.partition, topic.error_code, None));
                    }
                }
                let known = self.cluster.known_topic(&at.topic);
                let known = known.ok_or_else(|| of_partition(&at.topic, at.partition, ErrorCode::UnknownTopicOrPartition.code(), None))?;
                if usize::try_from(at.partition).map_or(true, |index| index >= known.leaders.len()) {
                    return Err(of_partition(&at.topic, at.partition, ErrorCode::UnknownTopicOrPartition.code(), None));
                }
                let leader = known.leader(at.partition);
                let leader = leader.ok_or_else(|| ClientError::NoLeader { topic: at.topic.clone(), partition: at.partition })?;
                self.cluster.known_broker(leader.broker).await
            }
        }
    }

    /// The coordinator of a key; `key_type` is the protocol's (0 a group, 1 a transactional id).
    pub(super) async fn find_coordinator(&self, key: &str, key_type: i8) -> Result<(Node, Connection), ClientError> {
        let request = FindCoordinatorRequest::default().with_key(text(key)).with_key_type(key_type);
        let found = self.cluster.any_broker().await?.call_at_most(FIND_ONE, &request).await?;
        check(found.error_code, found.error_message.as_deref())?;
        let node = Node { id: found.node_id.0, host: found.host.to_string(), port: found.port };
        let connection = self.cluster.at(&crate::metadata::address(&node.host, node.port)).await?;
        Ok((node, connection))
    }

    /// As [`Admin::find_coordinator`], asked again while there is none yet.
    pub(super) async fn await_coordinator(&self, key: &str, key_type: i8) -> Result<(Node, Connection), ClientError> {
        let attempt = || async {
            match self.find_coordinator(key, key_type).await {
                Err(error) if error.code().is_some() && error.is_retriable() => Tried::Again(error),
                other => Tried::Over(other),
            }
        };
        self.persist("FindCoordinator", attempt).await
    }
}
