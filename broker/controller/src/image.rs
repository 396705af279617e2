//! The immutable image of the cluster's metadata. A new image shares everything that did not change with the
//! one before it: maps are split into shards behind `Arc`, topics and brokers are `Arc`s.
//!
//! Made by `apply`; read by every handler through [`crate::Controller::image`].

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

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

/// The metadata of the cluster at one offset of the metadata log.
#[derive(Clone, Debug)]
pub struct Image {}

impl Image {
    /// Index of the last log entry in this image.
    pub fn offset(&self) -> i64 {
        unimplemented!()
    }
    /// Raft term (KRaft: epoch) of that entry.
    pub fn epoch(&self) -> i32 {
        unimplemented!()
    }
    /// `cluster.id`
    pub fn cluster_id(&self) -> &str {
        unimplemented!()
    }
    /// Node id of the active controller, -1 when there is none.
    pub fn controller_id(&self) -> i32 {
        unimplemented!()
    }
    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        let _ = name;
        unimplemented!()
    }
    /// The topic of that id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        let _ = id;
        unimplemented!()
    }
    /// Every topic, in no order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        std::iter::empty()
    }
    /// Number of topics.
    pub fn topic_count(&self) -> usize {
        unimplemented!()
    }
    /// One partition by topic name.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionInfo> {
        let _ = (topic, partition);
        unimplemented!()
    }
    /// Brokers by id.
    pub fn brokers(&self) -> &BTreeMap<i32, Arc<Broker>> {
        unimplemented!()
    }
    /// Dynamic configuration of a resource (only what was set), `None` when nothing is.
    pub fn configs(&self, kind: ConfigResourceType, name: &str) -> Option<&Arc<BTreeMap<String, String>>> {
        let _ = (kind, name);
        unimplemented!()
    }
    /// Every resource that has dynamic configuration.
    pub fn config_resources(&self) -> impl Iterator<Item = (&ConfigResource, &Arc<BTreeMap<String, String>>)> {
        std::iter::empty()
    }
    /// Finalised features and their levels; a feature at level 0 is absent.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        unimplemented!()
    }
}
