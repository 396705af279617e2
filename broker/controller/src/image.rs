//! The immutable image of the cluster's metadata. A new image shares everything that did not change with the
//! one before it: maps are split into shards behind `Arc`, topics and brokers are `Arc`s.
//!
//! Made by `apply`; read by every handler through [`crate::Controller::image`].

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::shards::ShardMap;

/// A replica set. Lists that are equal share one allocation where `apply` can see it.
pub type Replicas = Arc<[i32]>;

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Replicas in order of preference.
    pub replicas: Replicas,
    /// The log directory of each replica, in the order of `replicas`.
    pub directories: Arc<[Uuid]>,
    /// In-sync replicas.
    pub isr: Replicas,
    /// Replicas being added by a reassignment.
    pub adding_replicas: Replicas,
    /// Replicas being removed by a reassignment.
    pub removing_replicas: Replicas,
    /// The leader, -1 for none.
    pub leader: i32,
    /// Raised whenever the leader changes.
    pub leader_epoch: i32,
    /// Raised on every change.
    pub partition_epoch: i32,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: Uuid,
    /// Its partitions; the index is the partition's number.
    pub partitions: Vec<PartitionInfo>,
}

/// An address at which a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Listener name.
    pub listener: String,
    /// Host as advertised.
    pub host: String,
    /// Port as advertised.
    pub port: u16,
    /// Security protocol id (0 is PLAINTEXT).
    pub security_protocol: i16,
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// `node.id`
    pub id: i32,
    /// Epoch of its registration.
    pub epoch: i64,
    /// Incarnation of its process.
    pub incarnation: Uuid,
    /// Advertised listeners.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`
    pub rack: Option<String>,
    /// Whether it may not lead.
    pub fenced: bool,
    /// Ids of its log directories.
    pub directories: Vec<Uuid>,
}

/// What a set of dynamic configurations belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigResource {
    /// Kind of resource.
    pub kind: ConfigResourceType,
    /// Its name; the empty name of a broker is the default of the whole cluster.
    pub name: String,
}

/// Kinds of resources with the numbers they have on the wire (Java: `ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ConfigResourceType {
    /// A topic.
    Topic = 2,
    /// A broker, or all of them by default.
    Broker = 4,
    /// A broker's log levels (never stored).
    BrokerLogger = 8,
    /// A subscription for client metrics.
    ClientMetrics = 16,
    /// A group.
    Group = 32,
}

impl ConfigResourceType {
    /// The kind of that number, `None` for one that holds no configuration.
    pub fn from_number(number: i8) -> Option<Self> {
        match number {
            2 => Some(ConfigResourceType::Topic),
            4 => Some(ConfigResourceType::Broker),
            8 => Some(ConfigResourceType::BrokerLogger),
            16 => Some(ConfigResourceType::ClientMetrics),
            32 => Some(ConfigResourceType::Group),
            _ => None,
        }
    }
}

impl ConfigResource {
    /// The configuration of a topic.
    pub fn topic(name: impl Into<String>) -> Self {
        ConfigResource { kind: ConfigResourceType::Topic, name: name.into() }
    }

    /// The configuration of a broker, of all brokers when `name` is empty.
    pub fn broker(name: impl Into<String>) -> Self {
        ConfigResource { kind: ConfigResourceType::Broker, name: name.into() }
    }
}

/// What was set for one resource.
pub type Configs = Arc<BTreeMap<String, String>>;

/// The metadata of the cluster at one offset of the metadata log.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) offset: i64,
    pub(crate) epoch: i32,
    pub(crate) controller_id: i32,
    pub(crate) cluster_id: Arc<str>,
    pub(crate) topics: ShardMap<Arc<str>, Arc<Topic>>,
    /// By name only, so that a batch of changes to one topic finds its `Arc` unshared after the first.
    pub(crate) names_by_id: ShardMap<Uuid, Arc<str>>,
    pub(crate) brokers: Arc<BTreeMap<i32, Arc<Broker>>>,
    pub(crate) configs: ShardMap<ConfigResource, Configs>,
    pub(crate) features: Arc<BTreeMap<String, i16>>,
    pub(crate) next_producer_id: i64,
    /// The lists of the last partition applied: on a small cluster all partitions share them.
    pub(crate) recent_replicas: Replicas,
    pub(crate) recent_directories: Arc<[Uuid]>,
    pub(crate) no_replicas: Replicas,
}

impl Default for Image {
    fn default() -> Self {
        let no_replicas: Replicas = Arc::new([]);
        Image {
            offset: -1,
            epoch: 0,
            controller_id: -1,
            cluster_id: Arc::from(""),
            topics: ShardMap::new(),
            names_by_id: ShardMap::new(),
            brokers: Arc::default(),
            configs: ShardMap::new(),
            features: Arc::default(),
            next_producer_id: 0,
            recent_replicas: no_replicas.clone(),
            recent_directories: Arc::new([]),
            no_replicas,
        }
    }
}

/// Equal metadata; where in the log it stands does not matter.
impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        let same_topics = self.topics.len() == other.topics.len()
            && self.topics.iter().all(|(name, topic)| other.topics.find(name) == Some(topic));
        let same_configs = self.configs.len() == other.configs.len()
            && self.configs.iter().all(|(resource, set)| other.configs.find(resource) == Some(set));
        same_topics
            && same_configs
            && self.cluster_id == other.cluster_id
            && self.brokers == other.brokers
            && self.features == other.features
            && self.next_producer_id == other.next_producer_id
    }
}

impl Image {
    /// Index of the last log entry in this image, -1 for none.
    pub fn offset(&self) -> i64 {
        self.offset
    }
    /// Raft term (KRaft: epoch) of that entry.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }
    /// `cluster.id`
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }
    /// Node id of the active controller, -1 when there is none.
    pub fn controller_id(&self) -> i32 {
        self.controller_id
    }
    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.find(name)
    }
    /// The topic of that id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.topics.find(self.names_by_id.find(&id)?)
    }
    /// Every topic, in no order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.iter().map(|(_, topic)| topic)
    }
    /// Number of topics.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }
    /// One partition by topic name.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionInfo> {
        let index = usize::try_from(partition).ok()?;
        self.topic(topic)?.partitions.get(index)
    }
    /// Brokers by id.
    pub fn brokers(&self) -> &BTreeMap<i32, Arc<Broker>> {
        &self.brokers
    }
    /// Whether a broker is registered and may lead.
    pub fn is_active(&self, broker: i32) -> bool {
        self.brokers.get(&broker).is_some_and(|broker| !broker.fenced)
    }
    /// Dynamic configuration of a resource (only what was set), `None` when nothing is.
    pub fn configs(&self, kind: ConfigResourceType, name: &str) -> Option<&Configs> {
        self.configs.find(&ConfigResource { kind, name: name.to_owned() })
    }
    /// Every resource that has dynamic configuration.
    pub fn config_resources(&self) -> impl Iterator<Item = (&ConfigResource, &Configs)> {
        self.configs.iter()
    }
    /// Finalised features and their levels; a feature at level 0 is absent.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }
    /// The next producer id that no block holds yet.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }
}
