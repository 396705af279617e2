//! Topics: create, list, describe, alter, delete.
//!
//! Called by `kafka-topics` and by whoever sets topics up.

use std::collections::{BTreeMap, BTreeSet};

use millstream_protocol::api_key::ApiKey;
use millstream_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use millstream_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use millstream_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use millstream_protocol::messages::create_topics_response::CreatableTopicResult;
use millstream_protocol::messages::delete_topics_request::DeleteTopicState;
use millstream_protocol::messages::delete_topics_response::DeletableTopicResult;
use millstream_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use millstream_protocol::messages::metadata_request::MetadataRequestTopic;
use millstream_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeTopicPartitionsRequest, MetadataRequest, MetadataResponse,
    TopicName,
};
use uuid::Uuid;

use super::ask::{MOVED, Speaker, To, Told, not_now};
use super::{Admin, Each, TIMEOUT_MS};
use crate::error::ClientError;
use crate::metadata::{text, topic_name};

/// A topic to create; None leaves the number to the broker.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::NewTopic;
///
///
/// let configs = vec![("cleanup.policy".to_owned(), "compact".to_owned())];
/// let topic = NewTopic { name: "prices".to_owned(), partitions: Some(6), configs, ..NewTopic::default() };
/// admin.create_topic(&topic).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Partitions.
    pub partitions: Option<i32>,
    /// Replicas of each.
    pub replication_factor: Option<i16>,
    /// The brokers of each partition, in order, instead of the two numbers; empty leaves them to the cluster.
    pub assignment: Vec<Vec<i32>>,
    /// Configs over the defaults.
    pub configs: Vec<(String, String)>,
}

/// How many partitions a topic is to have, and the brokers of each new one if they are to be chosen.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use std::collections::BTreeMap;
///
/// use client::admin::NewPartitions;
///
/// let twelve: NewPartitions = (12, None);
/// admin.create_partitions(&BTreeMap::from([("orders".to_owned(), twelve)])).await?;
/// # Ok(()) }
/// ```
pub type NewPartitions = (i32, Option<Vec<Vec<i32>>>);

/// A topic in a list.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::TopicListing;
///
///
/// for TopicListing { name, id, .. } in admin.list_topics().await? {
///     println!("{name} is {id}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicListing {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Whether brokers made it for themselves.
    pub internal: bool,
}

/// A topic as its brokers see it.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::TopicDescription;
///
///
/// for TopicDescription { name, partitions, .. } in admin.describe_topics(&["orders".to_owned()], 100).await? {
///     println!("{name} has {} partitions", partitions.len());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id; nil from brokers before 2.8.
    pub id: Uuid,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as its brokers see it. Brokers are named by id.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::PartitionDescription;
///
///
/// for topic in admin.describe_topics(&["orders".to_owned()], 100).await? {
///     let short = |own: &&PartitionDescription| own.isr.len() < own.replicas.len();
///     topic.partitions.iter().filter(short).for_each(|own| println!("{}-{} lacks replicas", topic.name, own.partition));
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number.
    pub partition: i32,
    /// Who leads it.
    pub leader: Option<i32>,
    /// Who has a copy, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Whose copy is in sync.
    pub isr: Vec<i32>,
    /// Who may lead though not in sync (KIP-966); None from a broker that does not say.
    pub elr: Option<Vec<i32>>,
    /// Who could before an unclean stop (KIP-966).
    pub last_known_elr: Option<Vec<i32>>,
}

/// A move of replicas that is under way.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::Reassignment;
///
///
/// for (place, Reassignment { adding, removing, .. }) in admin.list_partition_reassignments(None).await? {
///     println!("{place} moves from {removing:?} to {adding:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// All replicas, those that come and those that go included.
    pub replicas: Vec<i32>,
    /// Those that come.
    pub adding: Vec<i32>,
    /// Those that go.
    pub removing: Vec<i32>,
}

/// Whether something is made or only looked at (`validateOnly`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::{Creation, NewTopic};
///
/// let topic = NewTopic { name: "orders".to_owned(), ..NewTopic::default() };
/// let results = admin.create_topics(&[topic], Creation::Tried).await?;
/// println!("{:?}", results["orders"]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It is made.
    Done,
    /// It is only told whether it could be.
    Tried,
}

fn about(name: &str) -> String {
    format!("topic {name}")
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let config = |(name, value): &(String, String)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    let assigned = topic.assignment.iter().enumerate().map(|(partition, brokers)| {
        let assignment = CreatableReplicaAssignment::default().with_partition_index(partition as i32);
        assignment.with_broker_ids(broker_ids(brokers))
    });
    CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(topic.partitions.unwrap_or(-1))
        .with_replication_factor(topic.replication_factor.unwrap_or(-1))
        .with_assignments(assigned.collect())
        .with_configs(topic.configs.iter().map(config).collect())
}

fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}

fn broker_ids(brokers: &[i32]) -> Vec<BrokerId> {
    brokers.iter().map(|broker| BrokerId(*broker)).collect()
}

impl Admin {
    /// Creates a topic.
    ///
    /// # Errors
    /// The broker's, such as a topic that exists.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<(), ClientError> {
        self.create_topics(std::slice::from_ref(topic), Creation::Done).await?.into_values().collect()
    }

    /// Creates topics in one request, or only looks whether they could be; what became of each stands beside its name.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn create_topics(&self, topics: &[NewTopic], creation: Creation) -> Result<Each<String>, ClientError> {
        let request = CreateTopicsRequest::default()
            .with_topics(topics.iter().map(creatable).collect())
            .with_validate_only(creation == Creation::Tried)
            .with_timeout_ms(TIMEOUT_MS);
        let judge = |response: &CreateTopicsResponse| {
            response.topics.iter().try_for_each(|own| not_now(own.error_code, own.error_message.as_deref(), &MOVED))
        };
        let (response, from) = self.ask(To::AnyBroker, &request, judge).await?;
        let result = |own: CreatableTopicResult| {
            let verdict = from.says(about(&own.name.0), own.error_code, own.error_message.as_deref());
            (own.name.0.to_string(), verdict)
        };
        let asked = topics.iter().map(|topic| topic.name.clone());
        Ok(from.each(asked, response.topics.into_iter().map(result), |name| about(name)))
    }

    /// Deletes topics in one request.
    ///
    /// # Errors
    /// The first of the broker's, such as a topic that is not there; the others are deleted all the same.
    pub async fn delete_topics(&self, names: &[String]) -> Result<(), ClientError> {
        let mut deleted = self.delete_each_topic(names).await?;
        names.iter().try_for_each(|name| deleted.remove(name).unwrap_or(Ok(())))
    }

    /// As [`Admin::delete_topics`]; what became of each stands beside its name.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn delete_each_topic(&self, names: &[String]) -> Result<Each<String>, ClientError> {
        let (deleted, from) = self.deleted(by_name(names), names).await?;
        let said = deleted.iter().map(|own| (name_of(own.name.as_ref()), verdict(own, &from)));
        Ok(from.each(names.iter().cloned(), said, |name| about(name)))
    }

    /// Deletes topics by their ids; what became of each stands beside it.
    ///
    /// # Errors
    /// When no broker answers, or it knows topics by name only.
    pub async fn delete_topic_ids(&self, ids: &[Uuid]) -> Result<Each<Uuid>, ClientError> {
        let wanted = ids.iter().map(|id| DeleteTopicState::default().with_name(None).with_topic_id(*id)).collect();
        let (deleted, from) = self.deleted(wanted, &[]).await?;
        let said = deleted.iter().map(|own| (own.topic_id, verdict(own, &from)));
        Ok(from.each(ids.iter().copied(), said, |id| about(&id.to_string())))
    }

    async fn deleted(&self, wanted: Vec<DeleteTopicState>, names: &[String]) -> Told<Vec<DeletableTopicResult>> {
        // Up to version 5 topics go by name alone.
        let request = DeleteTopicsRequest::default()
            .with_topics(wanted)
            .with_topic_names(names.iter().map(|name| topic_name(name)).collect())
            .with_timeout_ms(TIMEOUT_MS);
        let judge = |response: &DeleteTopicsResponse| {
            response.responses.iter().try_for_each(|own| not_now(own.error_code, own.error_message.as_deref(), &MOVED))
        };
        let (response, from) = self.ask(To::AnyBroker, &request, judge).await?;
        Ok((response.responses, from))
    }

    /// Raises the number of partitions of topics, each to its count; `assignments` are the brokers of the new ones.
    ///
    /// # Errors
    /// The first of the broker's, such as a count that is not higher.
    pub async fn create_partitions(&self, topics: &BTreeMap<String, NewPartitions>) -> Result<(), ClientError> {
        self.create_each_partitions(topics, Creation::Done).await?.into_values().collect()
    }

    /// As [`Admin::create_partitions`], or only a look whether it could be done; what became of each topic stands beside
    /// its name.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn create_each_partitions(
        &self,
        topics: &BTreeMap<String, NewPartitions>,
        creation: Creation,
    ) -> Result<Each<String>, ClientError> {
        let assignment =
            |brokers: &Vec<i32>| CreatePartitionsAssignment::default().with_broker_ids(broker_ids(brokers));
        let wanted = |(name, (count, assigned)): (&String, &NewPartitions)| {
            CreatePartitionsTopic::default()
                .with_name(topic_name(name))
                .with_count(*count)
                .with_assignments(assigned.as_ref().map(|brokers| brokers.iter().map(assignment).collect()))
        };
        let request = CreatePartitionsRequest::default()
            .with_topics(topics.iter().map(wanted).collect())
            .with_validate_only(creation == Creation::Tried)
            .with_timeout_ms(TIMEOUT_MS);
        let judge = |response: &CreatePartitionsResponse| {
            response.results.iter().try_for_each(|own| not_now(own.error_code, own.error_message.as_deref(), &MOVED))
        };
        let (response, from) = self.ask(To::AnyBroker, &request, judge).await?;
        let result = |own: &CreatePartitionsTopicResult| {
            let verdict = from.says(about(&own.name.0), own.error_code, own.error_message.as_deref());
            (own.name.0.to_string(), verdict)
        };
        Ok(from.each(topics.keys().cloned(), response.results.iter().map(result), |name| about(name)))
    }

    /// Every topic with its partitions.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn topics(&self) -> Result<MetadataResponse, ClientError> {
        Ok(self.metadata(None).await?.0)
    }

    /// Every topic, in the order in which the broker names them: Apache's is that of a hash table.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn list_topics(&self) -> Result<Vec<TopicListing>, ClientError> {
        let topics = self.topics().await?.topics.into_iter();
        let listed = topics.map(|topic| TopicListing {
            name: name_of(topic.name.as_ref()),
            id: topic.topic_id,
            internal: topic.is_internal,
        });
        Ok(listed.collect())
    }

    /// The ids of the brokers that are there.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn brokers(&self) -> Result<Vec<i32>, ClientError> {
        let (metadata, _) = self.metadata(Some(&[])).await?;
        Ok(metadata.brokers.iter().map(|broker| broker.node_id.0).collect())
    }

    /// Describes topics by name, `page` partitions in an answer, in the order of the names; by DescribeTopicPartitions
    /// (KIP-966) where the broker serves it, else by Metadata.
    ///
    /// # Errors
    /// The first of the broker's, such as a topic that is not there.
    pub async fn describe_topics(&self, names: &[String], page: i32) -> Result<Vec<TopicDescription>, ClientError> {
        self.described(names, page).await?.into_iter().map(|(_, described)| described).collect()
    }

    /// As [`Admin::describe_topics`]; what is known of each topic stands beside its name.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn describe_each_topic(
        &self,
        names: &[String],
        page: i32,
    ) -> Result<Each<String, TopicDescription>, ClientError> {
        Ok(self.described(names, page).await?.into_iter().collect())
    }

    async fn described(&self, names: &[String], page: i32) -> Result<Vec<Described>, ClientError> {
        let found = tokio::time::timeout(self.timeout, self.cluster.any_broker()).await;
        let broker = found.unwrap_or_else(|_| Err(self.late("finding a broker")))?;
        if !broker.serves(ApiKey::DescribeTopicPartitions) {
            let (metadata, from) = self.metadata(Some(names)).await?;
            return Ok(with_unspoken(from_metadata(metadata, &from), names, &from));
        }
        let mut sorted = names.to_vec();
        sorted.sort();
        let mut described: Vec<Described> = Vec::with_capacity(names.len());
        let mut cursor: Option<Cursor> = None;
        loop {
            // The broker wants the names in order, and none that lies before the cursor.
            let from = cursor.as_ref().map(|cursor| cursor.topic_name.0.to_string()).unwrap_or_default();
            let left = sorted.iter().filter(|name| **name >= from);
            let request = DescribeTopicPartitionsRequest::default()
                .with_topics(left.map(|name| TopicRequest::default().with_name(topic_name(name))).collect())
                .with_response_partition_limit(page)
                .with_cursor(cursor.clone());
            let (response, from) = self.ask(To::AnyBroker, &request, |_| Ok(())).await?;
            for topic in response.topics {
                let name = name_of(topic.name.as_ref());
                if let Err(error) = from.says(about(&name), topic.error_code, None) {
                    described.push((name, Err(error)));
                    continue;
                }
                let partitions = topic.partitions.iter().map(|partition| PartitionDescription {
                    partition: partition.partition_index,
                    leader: Some(partition.leader_id.0).filter(|leader| *leader >= 0),
                    replicas: ids(&partition.replica_nodes),
                    isr: ids(&partition.isr_nodes),
                    elr: partition.eligible_leader_replicas.as_deref().map(ids),
                    last_known_elr: partition.last_known_elr.as_deref().map(ids),
                });
                match described.last_mut() {
                    Some((last, Ok(begun))) if *last == name => begun.partitions.extend(partitions),
                    _ => {
                        let topic = TopicDescription {
                            id: topic.topic_id,
                            partitions: partitions.collect(),
                            name: name.clone(),
                        };
                        described.push((name, Ok(topic)));
                    }
                }
            }
            let Some(next) = response.next_cursor else { return Ok(with_unspoken(described, names, &from)) };
            let at = |name: &str, partition| (name.to_owned(), partition);
            let before = cursor.as_ref().map(|cursor| at(&cursor.topic_name.0, cursor.partition_index));
            if before >= Some(at(&next.topic_name.0, next.partition_index)) {
                return Err(ClientError::State("the broker's answers do not come nearer to their end"));
            }
            cursor =
                Some(Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index));
        }
    }

    /// Describes a topic by its id.
    ///
    /// # Errors
    /// The broker's, when there is none of that id.
    pub async fn describe_topic_id(&self, id: Uuid) -> Result<Vec<TopicDescription>, ClientError> {
        let topic = MetadataRequestTopic::default().with_topic_id(id).with_name(None);
        let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        let (metadata, from) = self.ask(To::AnyBroker, &request, |_| Ok(())).await?;
        from_metadata(metadata, &from).into_iter().map(|(_, described)| described).collect()
    }
}

fn by_name(names: &[String]) -> Vec<DeleteTopicState> {
    names.iter().map(|name| DeleteTopicState::default().with_name(Some(topic_name(name)))).collect()
}

fn name_of(name: Option<&TopicName>) -> String {
    name.map(|name| name.0.to_string()).unwrap_or_default()
}

fn verdict(own: &DeletableTopicResult, from: &Speaker) -> Result<(), ClientError> {
    let named = own.name.as_ref().map_or_else(|| own.topic_id.to_string(), |name| name.0.to_string());
    from.says(about(&named), own.error_code, own.error_message.as_deref())
}

/// A topic's name and what is known of it.
type Described = (String, Result<TopicDescription, ClientError>);

/// With those that were asked about and are not spoken of.
fn with_unspoken(mut described: Vec<Described>, names: &[String], from: &Speaker) -> Vec<Described> {
    let known: BTreeSet<&String> = described.iter().map(|(name, _)| name).collect();
    let unspoken: BTreeSet<&String> = names.iter().filter(|name| !known.contains(name)).collect();
    described.extend(unspoken.into_iter().map(|name| (name.clone(), Err(from.unspoken(&about(name))))));
    described
}

fn from_metadata(metadata: MetadataResponse, from: &Speaker) -> Vec<Described> {
    let mut described = Vec::with_capacity(metadata.topics.len());
    for topic in metadata.topics {
        let name = name_of(topic.name.as_ref());
        let named = if name.is_empty() { topic.topic_id.to_string() } else { name.clone() };
        if let Err(error) = from.says(about(&named), topic.error_code, None) {
            described.push((name, Err(error)));
            continue;
        }
        let mut partitions: Vec<PartitionDescription> = topic
            .partitions
            .iter()
            .map(|partition| PartitionDescription {
                partition: partition.partition_index,
                leader: Some(partition.leader_id.0).filter(|leader| *leader >= 0),
                replicas: ids(&partition.replica_nodes),
                isr: ids(&partition.isr_nodes),
                elr: None,
                last_known_elr: None,
            })
            .collect();
        partitions.sort_by_key(|partition| partition.partition);
        described.push((name.clone(), Ok(TopicDescription { name, id: topic.topic_id, partitions })));
    }
    described.sort_by(|(left, _), (right, _)| left.cmp(right));
    described
}
