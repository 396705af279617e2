//! How a client of one listener sees the brokers and partitions of an image (Java: `KRaftMetadataCache`). Shared
//! by Metadata, DescribeCluster and DescribeTopicPartitions. Pure.

use millstream_broker_controller::{Broker, Endpoint, Image, PartitionInfo};
use millstream_protocol::messages::{BrokerId, StrBytes, TopicName};

/// Bits of all operations on a topic, which is what a client may do where nobody restricts it (Java:
/// `AclEntry.supportedOperations`: Read 3, Write 4, Create 5, Delete 6, Alter 7, Describe 8, configs 10 and 11).
pub(crate) const TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// The same on the cluster: Create 5, Alter 7, Describe 8, ClusterAction 9, configs 10 and 11, IdempotentWrite 12.
pub(crate) const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// What stands in an answer for operations that were not asked for.
pub(crate) const NO_OPERATIONS: i32 = i32::MIN;

/// The image as it looks from one listener.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) image: &'a Image,
    pub(crate) listener: &'a str,
}

impl<'a> View<'a> {
    /// Where the broker listens for clients of this listener.
    pub(crate) fn endpoint(&self, broker: &'a Broker) -> Option<&'a Endpoint> {
        broker.endpoints.iter().find(|endpoint| endpoint.listener == self.listener)
    }

    /// Brokers that clients of this listener can reach, fenced ones too.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&'a Broker, &'a Endpoint)> {
        let view = *self;
        view.image
            .brokers()
            .values()
            .filter_map(move |broker| view.endpoint(broker).map(|endpoint| (&**broker, endpoint)))
    }

    /// A broker that is alive, as the one to send controller requests to: they are answered by any broker.
    pub(crate) fn controller(&self) -> i32 {
        let alive = self.image.brokers().values().find(|broker| !broker.fenced);
        alive.map_or(-1, |broker| broker.id)
    }

    /// The partition's leader if clients can reach it.
    pub(crate) fn leader(&self, partition: &PartitionInfo) -> Option<i32> {
        let broker = self.image.brokers().get(&partition.leader)?;
        self.endpoint(broker).map(|_endpoint| broker.id)
    }

    /// Whether a broker is alive and reachable.
    pub(crate) fn is_alive(&self, broker: i32) -> bool {
        let broker = self.image.brokers().get(&broker);
        broker.is_some_and(|broker| !broker.fenced && self.endpoint(broker).is_some())
    }

    /// Replicas that cannot be used: their broker or its log directory is not there.
    pub(crate) fn offline_replicas(&self, partition: &PartitionInfo) -> Vec<BrokerId> {
        let replicas = partition.replicas.iter().zip(partition.directories.iter());
        replicas
            .filter(|(replica, directory)| {
                let online = self
                    .image
                    .brokers()
                    .get(*replica)
                    .is_some_and(|broker| directory.is_nil() || broker.directories.contains(directory));
                !online || !self.is_alive(**replica)
            })
            .map(|(replica, _)| BrokerId(*replica))
            .collect()
    }
}

/// Broker ids in the form of messages.
pub(crate) fn broker_ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

/// Text in the form of messages.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic's name in the form of messages.
pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}
