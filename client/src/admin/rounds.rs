//! Questions about many resources that several brokers answer: all that one broker answers for go in one request, the
//! brokers are asked at the same time, and what is only not possible now is asked again with the others that are left
//! (Java: `AdminApiDriver`, `CoordinatorStrategy`, `PartitionLeaderStrategy`).
//!
//! Called by groups, transactions, offsets and records. Ends after `default.api.timeout.ms`; what kept a resource from
//! an answer then stands beside it. Once a round has brought answers, no failure of a later one loses them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use futures_util::future::join_all;
use millstream_base_env::task;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::Request;
use millstream_protocol::messages::metadata_response::MetadataResponseTopic;

use super::ask::{Speaker, has_moved, no_leader};
use super::{Admin, Each, TopicPartition};
use crate::connection::{Connection, backoff};
use crate::error::{ClientError, of_code};
use crate::metadata::{Coordinated, Node};

/// What became of a resource.
pub(super) enum Answer<R> {
    /// Asking again changes nothing.
    Settled(Result<R, ClientError>),
    /// It is only not possible now.
    Again(ClientError),
}

impl<R> From<Result<R, ClientError>> for Answer<R> {
    fn from(result: Result<R, ClientError>) -> Self {
        match result {
            Err(error) if error.is_retriable() => Answer::Again(error),
            other => Answer::Settled(other),
        }
    }
}

/// What became of some of the resources.
pub(super) type Answers<K, R> = Vec<(K, Answer<R>)>;

impl Admin {
    /// Asks about `wanted` in rounds until each has an answer that asking again does not change. A round fails when there is
    /// no broker to ask.
    ///
    /// # Errors
    /// Those of the first round.
    pub(super) async fn settle<K, R, F>(
        &self,
        doing: &str,
        wanted: impl IntoIterator<Item = K>,
        round: impl Fn(Vec<K>) -> F,
    ) -> Result<Each<K, R>, ClientError>
    where
        K: Ord + Clone + Display,
        F: Future<Output = Result<Answers<K, R>, ClientError>>,
    {
        let config = self.cluster.config();
        let mut left: BTreeMap<K, Option<ClientError>> = wanted.into_iter().map(|key| (key, None)).collect();
        let mut settled = Each::new();
        let rounds = async {
            for failures in 1.. {
                let keys: Vec<K> = left.keys().cloned().collect();
                if keys.is_empty() {
                    break;
                }
                let answers = match round(keys.clone()).await {
                    Ok(answers) => answers,
                    Err(error) if failures == 1 => return Err(error),
                    Err(error) => of_all(keys.clone(), &error),
                };
                let mut unspoken: BTreeSet<K> = keys.into_iter().collect();
                for (key, answer) in answers {
                    // Of what was not asked about, or is answered already, nobody wants to hear.
                    if !unspoken.remove(&key) {
                        continue;
                    }
                    match answer {
                        Answer::Again(error) => _ = left.insert(key, Some(error)),
                        Answer::Settled(answer) => {
                            left.remove(&key);
                            settled.insert(key, answer);
                        }
                    }
                }
                for key in unspoken {
                    left.remove(&key);
                    let error =
                        of_code(ErrorCode::UnknownServerError.code(), Some("the broker's answer does not speak of it"));
                    settled.insert(key.clone(), Err(error.of(key)));
                }
                if !left.is_empty() {
                    tracing::debug!(left = left.len(), failures, doing, "asking again");
                    task::sleep(backoff(failures, config.retry_backoff, config.retry_backoff_max)).await;
                }
            }
            Ok(())
        };
        let outcome = tokio::time::timeout(self.timeout, rounds).await;
        outcome.unwrap_or(Ok(()))?;
        for (key, why) in left {
            let why = why.unwrap_or_else(|| self.late(&format!("{doing} {key}")));
            settled.insert(key, Err(why));
        }
        Ok(settled)
    }

    /// Who coordinates each of `keys`.
    ///
    /// # Errors
    /// When there is no broker to ask; one that is lost while it is asked stands beside each of them.
    pub(super) async fn each_coordinator(
        &self,
        kind: Coordinated,
        keys: &[String],
    ) -> Result<Vec<(String, Result<Node, ClientError>)>, ClientError> {
        self.cluster.any_broker().await?;
        Ok(match self.cluster.find_coordinators(kind, keys).await {
            Ok(found) => found.into_iter().collect(),
            Err(error) => keys.iter().map(|key| (key.clone(), Err(error.clone()))).collect(),
        })
    }

    /// One round at the coordinators of `keys`.
    pub(super) async fn at_coordinators<T: Request, R>(
        &self,
        kind: Coordinated,
        keys: Vec<String>,
        at_most: i16,
        request: impl Fn(&[String]) -> T,
        read: impl Fn(T::Response, &Node, &Speaker) -> Answers<String, R>,
    ) -> Result<Answers<String, R>, ClientError> {
        let mut answers = Vec::with_capacity(keys.len());
        let mut asked: BTreeMap<Node, Vec<String>> = BTreeMap::new();
        for (key, found) in self.each_coordinator(kind, &keys).await? {
            match found {
                Ok(node) => asked.entry(node).or_default().push(key),
                Err(error) => answers.push((key, Err(error).into())),
            }
        }
        let (request, read) = (&request, &read);
        let asked = asked.into_iter().map(|(node, keys)| async move {
            let answer = self.in_time(node.id, async {
                let connection = self.cluster.at(&node.address()).await?;
                Ok((connection.call_at_most(at_most, &request(&keys)).await?, Speaker::of(&connection)))
            });
            answer
                .await
                .map(|(response, from)| read(response, &node, &from))
                .unwrap_or_else(|error| of_all(keys, &error))
        });
        for (key, answer) in join_all(asked).await.into_iter().flatten() {
            if matches!(&answer, Answer::Again(error) if has_moved(error)) {
                self.cluster.forget_coordinator(kind, &key);
            }
            answers.push((key, answer));
        }
        Ok(answers)
    }

    /// One round at the leaders of `places`; `ask` carries out the call at one of them.
    pub(super) async fn at_leaders<'a, R, F>(
        &self,
        places: Vec<TopicPartition>,
        ask: impl Fn(Connection, Vec<TopicPartition>) -> F,
    ) -> Result<Answers<TopicPartition, R>, ClientError>
    where
        F: Future<Output = Result<Answers<TopicPartition, R>, ClientError>> + 'a,
    {
        let mut names: Vec<String> = places.iter().map(|at| at.topic.clone()).collect();
        names.dedup();
        let (mut metadata, mut from) = self.metadata(Some(&names)).await?;
        if places.iter().any(|at| matches!(self.present_leader(at), Err(ClientError::NoLeader { .. }))) {
            // A leader that has just gone has a successor soon; once more, as one that stays away is waited for in vain.
            let config = self.cluster.config();
            task::sleep(backoff(1, config.retry_backoff, config.retry_backoff_max)).await;
            (metadata, from) = self.metadata(Some(&names)).await?;
        }
        let code = |topic: &MetadataResponseTopic| Some((topic.name.as_ref()?.0.to_string(), topic.error_code));
        let codes: BTreeMap<String, i16> = metadata.topics.iter().filter_map(code).collect();
        let mut answers = Vec::with_capacity(places.len());
        let mut asked: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        for at in &places {
            let known = from.says_of(at, codes.get(&at.topic).copied().unwrap_or_default(), None);
            match known.and_then(|()| self.present_leader(at)) {
                Ok(leader) => asked.entry(leader).or_default().push(at.clone()),
                // Who waits for a topic that is not there, or for a leader that is away, would wait for long.
                Err(error) if matches!(error.code(), None | Some(ErrorCode::UnknownTopicOrPartition)) => {
                    answers.push((at.clone(), Answer::Settled(Err(error))));
                }
                Err(error) => answers.push((at.clone(), Err(error).into())),
            }
        }
        let ask = &ask;
        let asked = asked.into_iter().map(|(leader, places)| async move {
            let answer =
                self.in_time(leader, async { ask(self.cluster.known_broker(leader).await?, places.clone()).await });
            match answer.await {
                Ok(answers) => answers,
                // It went meanwhile; the next round finds another leader.
                Err(ClientError::NoBroker { .. }) => places
                    .into_iter()
                    .map(|at| {
                        let error = no_leader(&at);
                        (at, Answer::Again(error))
                    })
                    .collect(),
                Err(error) => of_all(places, &error),
            }
        });
        answers.extend(join_all(asked).await.into_iter().flatten());
        Ok(answers)
    }

    /// What one broker of several is asked: one that is silent does not take the time in which the others' answers count.
    async fn in_time<R>(
        &self,
        broker: i32,
        call: impl Future<Output = Result<R, ClientError>>,
    ) -> Result<R, ClientError> {
        let limit = self.timeout / 2;
        let late = || ClientError::Timeout { doing: format!("asking broker {broker}"), limit };
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(late()))
    }
}

fn of_all<K, R>(keys: Vec<K>, error: &ClientError) -> Answers<K, R> {
    keys.into_iter().map(|key| (key, Err(error.clone()).into())).collect()
}
