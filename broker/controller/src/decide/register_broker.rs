//! A broker registers (Java: `ClusterControlManager.registerBroker`), and the first records of a cluster.

use uuid::Uuid;

use super::features;
use crate::image::Image;
use crate::record::{MetadataRecord, RegisterBrokerRecord};

/// What a metadata log opens with.
pub(crate) fn new_cluster(cluster_id: &str) -> Vec<MetadataRecord> {
    let mut records = vec![MetadataRecord::Cluster { cluster_id: cluster_id.to_owned() }];
    records.extend(features::initial());
    records
}

/// The records of a broker's start. Its epoch is larger than all it had: the offset of the record itself.
pub(crate) fn register_broker(image: &Image, broker: RegisterBrokerRecord) -> Vec<MetadataRecord> {
    vec![MetadataRecord::RegisterBroker(RegisterBrokerRecord { broker_epoch: image.offset() + 1, ..broker })]
}

/// The broker as it is registered, with other log directories.
pub(crate) fn change_directories(image: &Image, broker_id: i32, directories: Vec<Uuid>) -> Vec<MetadataRecord> {
    let Some(broker) = image.brokers().get(&broker_id) else { return Vec::new() };
    vec![MetadataRecord::RegisterBroker(RegisterBrokerRecord {
        broker_id,
        broker_epoch: broker.epoch,
        incarnation: broker.incarnation,
        endpoints: broker.endpoints.clone(),
        rack: broker.rack.clone(),
        fenced: broker.fenced,
        directories,
    })]
}
