//! Image + records -> next image. Pure; called by the state machine with what the quorum committed, by snapshot
//! loading, and by tests. Never decides whether a change is allowed: that was done before it was logged.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use crate::image::{Broker, ConfigResource, ConfigResourceType, Image, PartitionInfo, Replicas, Topic};
use crate::record::{
    ConfigRecord, MetadataRecord, PartitionChangeRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord,
};

/// A record that cannot follow what came before it: the log is not what its writer wrote.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// A record names a topic that does not exist.
    #[error("a metadata record names the unknown topic id {0}")]
    UnknownTopic(Uuid),
    /// A topic is made twice.
    #[error("a metadata record makes topic {0}, which exists")]
    TopicExists(String),
    /// A partition that is changed does not exist, or a new one is not the next.
    #[error("a metadata record names partition {partition} of topic {topic}, which has {count}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// How many there are.
        count: usize,
    },
}

impl Image {
    /// The image after `records`, sharing with this one all that they leave alone.
    ///
    /// # Errors
    /// When a record cannot follow this image.
    pub fn apply(&self, records: &[MetadataRecord]) -> Result<Image, ApplyError> {
        let mut next = self.clone();
        for record in records {
            next.apply_one(record)?;
        }
        Ok(next)
    }

    fn apply_one(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        match record {
            MetadataRecord::Topic(topic) => self.apply_topic(topic),
            MetadataRecord::Partition(partition) => self.apply_partition(partition),
            MetadataRecord::PartitionChange(change) => self.apply_change(change),
            MetadataRecord::RemoveTopic { topic_id } => self.apply_remove_topic(*topic_id),
            MetadataRecord::Config(config) => {
                self.apply_config(config);
                Ok(())
            }
            MetadataRecord::FeatureLevel { name, level } => {
                let features = Arc::make_mut(&mut self.features);
                if *level == 0 {
                    features.remove(name);
                } else {
                    features.insert(name.clone(), *level);
                }
                Ok(())
            }
            MetadataRecord::RegisterBroker(broker) => {
                self.apply_broker(broker);
                Ok(())
            }
            MetadataRecord::Fence { broker_id, broker_epoch, fenced } => {
                let brokers = Arc::make_mut(&mut self.brokers);
                if let Some(broker) = brokers.get_mut(broker_id).filter(|broker| broker.epoch == *broker_epoch) {
                    Arc::make_mut(broker).fenced = *fenced;
                }
                Ok(())
            }
            MetadataRecord::UnregisterBroker { broker_id, broker_epoch } => {
                let brokers = Arc::make_mut(&mut self.brokers);
                if brokers.get(broker_id).is_some_and(|broker| broker.epoch == *broker_epoch) {
                    brokers.remove(broker_id);
                }
                Ok(())
            }
            MetadataRecord::ProducerIds { next } => {
                self.next_producer_id = *next;
                Ok(())
            }
            MetadataRecord::Cluster { cluster_id } => {
                self.cluster_id = Arc::from(cluster_id.as_str());
                Ok(())
            }
        }
    }

    fn apply_topic(&mut self, record: &TopicRecord) -> Result<(), ApplyError> {
        if self.topics.find(&record.name).is_some() {
            return Err(ApplyError::TopicExists(record.name.to_string()));
        }
        let topic = Topic { name: record.name.clone(), id: record.topic_id, partitions: Vec::new() };
        self.topics.insert(record.name.clone(), Arc::new(topic));
        self.names_by_id.insert(record.topic_id, record.name.clone());
        Ok(())
    }

    fn apply_partition(&mut self, record: &PartitionRecord) -> Result<(), ApplyError> {
        let replicas = self.shared(&record.replicas);
        let isr = self.shared(&record.isr);
        if *self.recent_directories != *record.directories {
            self.recent_directories = record.directories.clone();
        }
        let info = PartitionInfo {
            replicas,
            directories: self.recent_directories.clone(),
            isr,
            adding_replicas: self.shared(&record.adding_replicas),
            removing_replicas: self.shared(&record.removing_replicas),
            leader: record.leader,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        };
        let topic = self.topic_to_change(record.topic_id)?;
        if usize::try_from(record.partition) != Ok(topic.partitions.len()) {
            return Err(ApplyError::UnknownPartition {
                topic: topic.name.to_string(),
                partition: record.partition,
                count: topic.partitions.len(),
            });
        }
        topic.partitions.push(info);
        Ok(())
    }

    fn apply_change(&mut self, change: &PartitionChangeRecord) -> Result<(), ApplyError> {
        let topic = self.topic_to_change(change.topic_id)?;
        let count = topic.partitions.len();
        let index = usize::try_from(change.partition).unwrap_or(usize::MAX);
        let Some(partition) = topic.partitions.get_mut(index) else {
            let topic = topic.name.to_string();
            return Err(ApplyError::UnknownPartition { topic, partition: change.partition, count });
        };
        let set = |field: &mut Replicas, value: &Option<Replicas>| {
            if let Some(value) = value {
                *field = value.clone();
            }
        };
        set(&mut partition.replicas, &change.replicas);
        set(&mut partition.isr, &change.isr);
        set(&mut partition.adding_replicas, &change.adding_replicas);
        set(&mut partition.removing_replicas, &change.removing_replicas);
        if let Some(directories) = &change.directories {
            partition.directories = directories.clone();
        }
        if let Some(leader) = change.leader {
            partition.leader = leader;
            partition.leader_epoch += 1;
        }
        partition.partition_epoch += 1;
        Ok(())
    }

    fn apply_remove_topic(&mut self, id: Uuid) -> Result<(), ApplyError> {
        let name = self.names_by_id.remove(&id).ok_or(ApplyError::UnknownTopic(id))?;
        self.topics.remove(&name);
        self.configs.remove(&ConfigResource::topic(&*name));
        Ok(())
    }

    fn apply_config(&mut self, record: &ConfigRecord) {
        let resource = ConfigResource { kind: record.kind, name: record.resource.clone() };
        let Some(set) = self.configs.change(&resource) else {
            if let Some(value) = &record.value {
                let set = BTreeMap::from([(record.key.clone(), value.clone())]);
                self.configs.insert(resource, Arc::new(set));
            }
            return;
        };
        let set = Arc::make_mut(set);
        match &record.value {
            Some(value) => {
                set.insert(record.key.clone(), value.clone());
            }
            None => {
                set.remove(&record.key);
            }
        }
        if set.is_empty() {
            self.configs.remove(&resource);
        }
    }

    fn apply_broker(&mut self, record: &RegisterBrokerRecord) {
        let broker = Broker {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation: record.incarnation,
            endpoints: record.endpoints.clone(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            directories: record.directories.clone(),
        };
        Arc::make_mut(&mut self.brokers).insert(broker.id, Arc::new(broker));
    }

    fn topic_to_change(&mut self, id: Uuid) -> Result<&mut Topic, ApplyError> {
        let name = self.names_by_id.find(&id).ok_or(ApplyError::UnknownTopic(id))?;
        let topic = self.topics.change(name).ok_or(ApplyError::UnknownTopic(id))?;
        Ok(Arc::make_mut(topic))
    }

    /// The same list in the allocation that the last equal one used.
    fn shared(&mut self, list: &Replicas) -> Replicas {
        if list.is_empty() {
            return self.no_replicas.clone();
        }
        if *self.recent_replicas != **list {
            self.recent_replicas = list.clone();
        }
        self.recent_replicas.clone()
    }

    /// The records that make this image from an empty one, in an order that `apply` takes.
    pub fn records(&self) -> Vec<MetadataRecord> {
        let mut records = vec![MetadataRecord::Cluster { cluster_id: self.cluster_id.to_string() }];
        for (name, level) in self.features.iter() {
            records.push(MetadataRecord::FeatureLevel { name: name.clone(), level: *level });
        }
        for broker in self.brokers.values() {
            records.push(MetadataRecord::RegisterBroker(RegisterBrokerRecord {
                broker_id: broker.id,
                broker_epoch: broker.epoch,
                incarnation: broker.incarnation,
                endpoints: broker.endpoints.clone(),
                rack: broker.rack.clone(),
                fenced: broker.fenced,
                directories: broker.directories.clone(),
            }));
        }
        for topic in self.topics() {
            topic_records(topic, &mut records);
        }
        for (resource, set) in self.config_resources() {
            config_records(resource.kind, &resource.name, set, &mut records);
        }
        if self.next_producer_id != 0 {
            records.push(MetadataRecord::ProducerIds { next: self.next_producer_id });
        }
        records
    }
}

fn topic_records(topic: &Topic, records: &mut Vec<MetadataRecord>) {
    records.push(MetadataRecord::Topic(TopicRecord { name: topic.name.clone(), topic_id: topic.id }));
    for (index, partition) in topic.partitions.iter().enumerate() {
        records.push(MetadataRecord::Partition(PartitionRecord {
            topic_id: topic.id,
            partition: index as i32,
            replicas: partition.replicas.clone(),
            directories: partition.directories.clone(),
            isr: partition.isr.clone(),
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            adding_replicas: partition.adding_replicas.clone(),
            removing_replicas: partition.removing_replicas.clone(),
        }));
    }
}

fn config_records(
    kind: ConfigResourceType,
    resource: &str,
    set: &BTreeMap<String, String>,
    records: &mut Vec<MetadataRecord>,
) {
    for (key, value) in set {
        records.push(MetadataRecord::Config(ConfigRecord {
            kind,
            resource: resource.to_owned(),
            key: key.clone(),
            value: Some(value.clone()),
        }));
    }
}

#[cfg(test)]
mod tests;
