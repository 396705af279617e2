//! Which broker a request goes to, and when it is sent again (Java: `AdminApiDriver` and its lookup strategies).
//!
//! Called by every file of `admin/` for what one broker answers; `rounds.rs` is for what several do. What a broker says
//! is only not possible now (a coordinator that loads, a leader that moved, a connection that was lost) is asked again
//! after a growing wait until `default.api.timeout.ms` has passed; then the last error is returned. Nothing takes longer
//! than that, an answer that does not come included. A cluster of which no broker answers at all is an error at once, so
//! that a tool ends. Every error names who said it, and what an answer does not speak of is an error, not a success.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use millstream_base_env::task;
use millstream_protocol::api_key::ApiKey;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{MetadataResponse, Request};

use super::{Admin, Each, TopicPartition};
use crate::connection::{Connection, backoff};
use crate::error::{ClientError, check, check_of, of_code, of_partition};
use crate::metadata::{Coordinated, Missing};

/// Who answers a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum To<'a> {
    /// Any broker, which passes on what the controller decides; of controllers the active one.
    Any,
    /// Any broker, for what no controller serves.
    AnyBroker,
    /// This broker.
    Broker(i32),
    /// The coordinator of a group.
    Group(&'a str),
    /// The coordinator of a transactional id.
    Transaction(&'a str),
    /// Who leads a partition.
    Leader(&'a TopicPartition),
}

impl<'a> To<'a> {
    fn coordinated(self) -> Option<(Coordinated, &'a str)> {
        match self {
            To::Group(id) => Some((Coordinated::Group, id)),
            To::Transaction(id) => Some((Coordinated::Transaction, id)),
            _ => None,
        }
    }
}

/// Who answered: every error in what it said names it.
#[derive(Clone, Debug)]
pub(super) struct Speaker(String);

impl Speaker {
    pub fn of(connection: &Connection) -> Self {
        Speaker(connection.address().to_owned())
    }

    /// What its code means for `subject`.
    pub fn says(&self, subject: impl Display, code: i16, message: Option<&str>) -> Result<(), ClientError> {
        check_of(subject, code, message).map_err(|error| error.at(&self.0))
    }

    /// Who said what a message was read as.
    pub fn heard<R>(&self, result: Result<R, ClientError>) -> Result<R, ClientError> {
        result.map_err(|error| error.at(&self.0))
    }

    /// It was asked about `subject` and says nothing of it.
    pub fn unspoken(&self, subject: &str) -> ClientError {
        of_code(ErrorCode::UnknownServerError.code(), Some("the answer does not speak of it")).of(subject).at(&self.0)
    }

    /// What it said of each that it was asked about; what it says of others is left out.
    pub fn each<K: Ord, T>(
        &self,
        asked: impl IntoIterator<Item = K>,
        said: impl IntoIterator<Item = (K, Result<T, ClientError>)>,
        named: impl Fn(&K) -> String,
    ) -> Each<K, T> {
        let mut said: BTreeMap<K, Result<T, ClientError>> = said.into_iter().collect();
        let asked: BTreeSet<K> = asked.into_iter().collect();
        let told = asked.into_iter().map(|key| {
            let answer = said.remove(&key).unwrap_or_else(|| Err(self.unspoken(&named(&key))));
            (key, answer)
        });
        told.collect()
    }

    /// As [`Speaker::each`] of partitions.
    pub fn each_partition<T>(
        &self,
        asked: impl IntoIterator<Item = TopicPartition>,
        said: impl IntoIterator<Item = (TopicPartition, Result<T, ClientError>)>,
    ) -> Each<TopicPartition, T> {
        self.each(asked, said, TopicPartition::to_string)
    }

    /// What its code means for a partition.
    pub fn says_of(&self, at: &TopicPartition, code: i16, message: Option<&str>) -> Result<(), ClientError> {
        match code {
            0 => Ok(()),
            code => Err(of_partition(&at.topic, at.partition, code, message).at(&self.0)),
        }
    }
}

/// An answer and who gave it.
pub(super) type Told<R> = Result<(R, Speaker), ClientError>;

fn api_name<T: Request>() -> &'static str {
    ApiKey::try_from(T::KEY).map_or("request", |key| key.api().name)
}

/// The controller is another one by now.
pub(super) const MOVED: [ErrorCode; 1] = [ErrorCode::NotController];

/// A resource's own answer that asking again may change; every other stands beside the resource.
pub(super) fn not_now(code: i16, message: Option<&str>, again: &[ErrorCode]) -> Result<(), ClientError> {
    if ErrorCode::from_code(code).is_some_and(|code| again.contains(&code)) { check(code, message) } else { Ok(()) }
}

impl Admin {
    /// Sends `request` until the answer is one that `judge` lets through or that asking again does not change.
    pub(super) async fn ask<T: Request>(
        &self,
        to: To<'_>,
        request: &T,
        judge: impl Fn(&T::Response) -> Result<(), ClientError>,
    ) -> Told<T::Response> {
        self.ask_at_most(i16::MAX, to, request, judge).await
    }

    /// As [`Admin::ask`], in no version above `at_most`.
    pub(super) async fn ask_at_most<T: Request>(
        &self,
        at_most: i16,
        to: To<'_>,
        request: &T,
        judge: impl Fn(&T::Response) -> Result<(), ClientError>,
    ) -> Told<T::Response> {
        let config = self.cluster.config();
        let (mut failures, mut last) = (0, None);
        let attempts = async {
            loop {
                let connection = match (self.route(to, failures).await, to) {
                    (Err(error), To::Any | To::AnyBroker) if error.code().is_none() => return Err(error),
                    (other, _) => other,
                };
                let answer = match connection {
                    Ok(connection) => {
                        let from = Speaker::of(&connection);
                        let answer = connection.call_at_most(at_most, request).await;
                        let judged = answer.and_then(|answer| judge(&answer).map(|()| answer));
                        judged.map_err(|error| error.at(&from.0)).map(|answer| (answer, from))
                    }
                    Err(error) => Err(error),
                };
                let error = match answer {
                    Err(error) if error.is_retriable() => error,
                    other => return other,
                };
                self.note(to, &error);
                failures += 1;
                tracing::debug!(%error, failures, "asking again");
                last = Some(error);
                task::sleep(backoff(failures, config.retry_backoff, config.retry_backoff_max)).await;
            }
        };
        let outcome = tokio::time::timeout(self.timeout, attempts).await;
        outcome.unwrap_or_else(|_| Err(last.unwrap_or_else(|| self.late(api_name::<T>()))))
    }

    /// Who answers may be another one by now.
    fn note(&self, to: To<'_>, error: &ClientError) {
        if error.code() == Some(ErrorCode::NotController) {
            self.cluster.forget_controller();
        }
        if let Some((kind, key)) = to.coordinated().filter(|_| has_moved(error)) {
            self.cluster.forget_coordinator(kind, key);
        }
    }

    pub(super) fn late(&self, doing: &str) -> ClientError {
        let bootstrap = self.cluster.config().bootstrap.join(",");
        ClientError::Timeout { doing: format!("{doing} through {bootstrap}"), limit: self.timeout }
    }

    /// What is known of the cluster and of `topics`, asked for within the time that a call may take.
    pub(super) async fn metadata(&self, topics: Option<&[String]>) -> Told<MetadataResponse> {
        let asked = self.cluster.metadata_from(topics, Missing::Report);
        let asked = tokio::time::timeout(self.timeout, asked).await.unwrap_or_else(|_| Err(self.late("Metadata")));
        asked.map(|(response, from)| (response, Speaker(from)))
    }

    async fn route(&self, to: To<'_>, failures: u32) -> Result<Connection, ClientError> {
        match to {
            To::Any => self.cluster.any().await,
            To::AnyBroker => self.cluster.any_broker().await,
            To::Broker(id) => {
                // It may have moved since its address was learnt.
                if failures > 0 || !self.cluster.knows(id) {
                    self.cluster.metadata(Some(&[]), Missing::Report).await?;
                }
                self.cluster.known_broker(id).await
            }
            To::Group(id) => self.cluster.coordinator(Coordinated::Group, id).await,
            To::Transaction(id) => self.cluster.coordinator(Coordinated::Transaction, id).await,
            To::Leader(at) => {
                let topics = std::slice::from_ref(&at.topic);
                let (metadata, from) = self.cluster.metadata_from(Some(topics), Missing::Report).await?;
                let from = Speaker(from);
                metadata.topics.iter().try_for_each(|topic| from.says_of(at, topic.error_code, None))?;
                self.cluster.known_broker(self.present_leader(at).map_err(|error| error.at(&from.0))?).await
            }
        }
    }

    /// Who leads a partition, as metadata said it last.
    pub(super) fn leader_of(&self, at: &TopicPartition) -> Result<i32, ClientError> {
        let missing = || of_partition(&at.topic, at.partition, ErrorCode::UnknownTopicOrPartition.code(), None);
        let known = self.cluster.known_topic(&at.topic).ok_or_else(missing)?;
        if usize::try_from(at.partition).map_or(true, |index| index >= known.leaders.len()) {
            return Err(missing());
        }
        Ok(known.leader(at.partition).ok_or_else(|| no_leader(at))?.broker)
    }

    /// As [`Admin::leader_of`], of the brokers that are there: a broker that lags behind names as leader one that is gone.
    pub(super) fn present_leader(&self, at: &TopicPartition) -> Result<i32, ClientError> {
        self.leader_of(at).and_then(|leader| if self.cluster.knows(leader) { Ok(leader) } else { Err(no_leader(at)) })
    }
}

pub(super) fn no_leader(at: &TopicPartition) -> ClientError {
    ClientError::NoLeader { topic: at.topic.clone(), partition: at.partition }
}

/// Whether the coordinator may be another one by now.
pub(super) fn has_moved(error: &ClientError) -> bool {
    let moved = matches!(error.code(), Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable));
    moved || matches!(error, ClientError::Connect { .. } | ClientError::Lost { .. } | ClientError::Timeout { .. })
}
