//! Metadata records and their bytes. `decide` makes them, the metadata log keeps them, `apply` turns them into
//! the next image; a snapshot is the list of records that makes an image from nothing.
//!
//! Bytes of a record (integers are LEB128 varints, signed ones zigzag; strings and lists are counted):
//! ```text
//! length of what follows | type | fields in the order of the struct | fields of later versions
//! ```
//! Forward compatible: a reader ignores bytes after the fields it knows and takes defaults for fields that end
//! early; a type above 127 that it does not know is skipped, one below refuses the log, since skipping it would
//! give another image than the writer's.

mod codec;

use std::sync::Arc;

use uuid::Uuid;

pub use codec::{DecodeError, decode_all, encode, encode_all};

use crate::image::{ConfigResourceType, Endpoint, Replicas};

/// One change to the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRecord {
    /// A new topic.
    Topic(TopicRecord),
    /// A new partition.
    Partition(PartitionRecord),
    /// A change to a partition.
    PartitionChange(PartitionChangeRecord),
    /// A topic goes, with its partitions and its configuration.
    RemoveTopic {
        /// Its id.
        topic_id: Uuid,
    },
    /// One key of a resource's configuration.
    Config(ConfigRecord),
    /// The level of a feature; 0 removes it.
    FeatureLevel {
        /// Name of the feature.
        name: String,
        /// Finalised level.
        level: i16,
    },
    /// A broker registers, again after each start.
    RegisterBroker(RegisterBrokerRecord),
    /// A broker may lead no more, or again.
    Fence {
        /// Its id.
        broker_id: i32,
        /// Epoch of the registration meant.
        broker_epoch: i64,
        /// What it becomes.
        fenced: bool,
    },
    /// A broker goes for good.
    UnregisterBroker {
        /// Its id.
        broker_id: i32,
        /// Epoch of the registration meant.
        broker_epoch: i64,
    },
    /// Producer ids below this one are given out.
    ProducerIds {
        /// The next one to give out.
        next: i64,
    },
    /// Which cluster this is: the first record of a metadata log.
    Cluster {
        /// `cluster.id`
        cluster_id: String,
    },
}

/// See [`MetadataRecord::Topic`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub topic_id: Uuid,
}

/// See [`MetadataRecord::Partition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    /// The topic's id.
    pub topic_id: Uuid,
    /// Index of the partition.
    pub partition: i32,
    /// Replicas in order of preference.
    pub replicas: Replicas,
    /// Log directory of each replica.
    pub directories: Arc<[Uuid]>,
    /// In-sync replicas.
    pub isr: Replicas,
    /// The leader, -1 for none.
    pub leader: i32,
    /// Leader epoch.
    pub leader_epoch: i32,
    /// Partition epoch.
    pub partition_epoch: i32,
    /// Replicas being added.
    pub adding_replicas: Replicas,
    /// Replicas being removed.
    pub removing_replicas: Replicas,
}

/// See [`MetadataRecord::PartitionChange`]. `None` leaves a field as it is. A new leader raises the leader
/// epoch; every change raises the partition epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionChangeRecord {
    /// The topic's id.
    pub topic_id: Uuid,
    /// Index of the partition.
    pub partition: i32,
    /// New in-sync replicas.
    pub isr: Option<Replicas>,
    /// New leader.
    pub leader: Option<i32>,
    /// New replicas.
    pub replicas: Option<Replicas>,
    /// New directories.
    pub directories: Option<Arc<[Uuid]>>,
    /// New list of replicas being added.
    pub adding_replicas: Option<Replicas>,
    /// New list of replicas being removed.
    pub removing_replicas: Option<Replicas>,
}

/// See [`MetadataRecord::Config`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRecord {
    /// Kind of resource.
    pub kind: ConfigResourceType,
    /// Its name.
    pub resource: String,
    /// The key.
    pub key: String,
    /// The value; `None` removes the key.
    pub value: Option<String>,
}

/// See [`MetadataRecord::RegisterBroker`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBrokerRecord {
    /// `node.id`
    pub broker_id: i32,
    /// Epoch of this registration.
    pub broker_epoch: i64,
    /// Incarnation of its process.
    pub incarnation: Uuid,
    /// Advertised listeners.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`
    pub rack: Option<String>,
    /// Whether it starts fenced.
    pub fenced: bool,
    /// Ids of its log directories.
    pub directories: Vec<Uuid>,
}

#[cfg(test)]
mod tests;
