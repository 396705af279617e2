//! The map of partitions on this node: by topic name or id, and index. Fed by metadata deltas.
//!
//! Handlers look partitions up; the node's metadata task calls [`Partitions::apply`]. Opening and deleting folders
//! happens here and nowhere else.

use std::sync::Arc;

use hashbrown::HashMap;
use millstream_base_config::BrokerConfig;
use millstream_broker_controller::{ConfigResourceType, Delta, Image, PartitionInfo, Topic, TopicChange};
use millstream_broker_log::{LogDir, PartitionLog};
use parking_lot::RwLock;
use uuid::Uuid;

use crate::life::metrics::BrokerMetrics;
use crate::replica::partition::{Became, Partition, Role};
use crate::replica::topic_config;

/// The replicas of one topic on this node; `None` where another node has the partition.
#[derive(Clone)]
pub struct LocalTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: Uuid,
    /// By index.
    pub partitions: Arc<[Option<Arc<Partition>>]>,
}

/// What [`Partitions::apply`] tells the coordinators.
#[derive(Clone)]
pub enum Leadership {
    /// This node leads the partition in a new epoch.
    Took(Arc<Partition>),
    /// It does not lead it any more, or the partition is gone: topic and index.
    Lost(Arc<str>, i32),
}

#[derive(Default)]
struct Maps {
    by_name: HashMap<Arc<str>, LocalTopic, foldhash::fast::RandomState>,
    names: HashMap<Uuid, Arc<str>, foldhash::fast::RandomState>,
}

/// All partitions on this node.
pub struct Partitions {
    config: Arc<BrokerConfig>,
    dirs: Vec<Arc<LogDir>>,
    directory_ids: Vec<Uuid>,
    /// Logs that lay in the folders at start and are not yet claimed by a topic of the metadata.
    loaded: RwLock<HashMap<(String, i32), Arc<PartitionLog>>>,
    maps: RwLock<Maps>,
    metrics: BrokerMetrics,
}

impl Partitions {
    /// No partitions yet; `loaded` are the logs found in `dirs`.
    pub fn new(
        config: Arc<BrokerConfig>,
        dirs: Vec<Arc<LogDir>>,
        directory_ids: Vec<Uuid>,
        loaded: Vec<Arc<PartitionLog>>,
        metrics: BrokerMetrics,
    ) -> Self {
        let loaded = loaded.into_iter().map(|log| ((log.topic().to_owned(), log.partition()), log)).collect();
        Partitions { config, dirs, directory_ids, loaded: RwLock::new(loaded), maps: RwLock::default(), metrics }
    }

    /// One partition by topic name.
    pub fn partition(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        let maps = self.maps.read();
        maps.by_name.get(topic)?.partitions.get(usize::try_from(index).ok()?)?.clone()
    }

    /// One partition by topic id.
    pub fn partition_by_id(&self, id: Uuid, index: i32) -> Option<Arc<Partition>> {
        let maps = self.maps.read();
        let name = maps.names.get(&id)?;
        maps.by_name.get(name)?.partitions.get(usize::try_from(index).ok()?)?.clone()
    }

    /// The partitions of a topic.
    pub fn topic(&self, name: &str) -> Option<LocalTopic> {
        self.maps.read().by_name.get(name).cloned()
    }

    /// The name that belongs to an id.
    pub fn topic_name(&self, id: Uuid) -> Option<Arc<str>> {
        self.maps.read().names.get(&id).cloned()
    }

    /// Every topic on this node.
    pub fn topics(&self) -> Vec<LocalTopic> {
        self.maps.read().by_name.values().cloned().collect()
    }

    /// Every partition on this node.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.maps.read().by_name.values().flat_map(|topic| topic.partitions.iter().flatten().cloned()).collect()
    }

    /// The metrics of this node.
    pub fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }

    /// The log directories.
    pub fn dirs(&self) -> &[Arc<LogDir>] {
        &self.dirs
    }

    /// Makes this node what the delta says. Blocks on files: call it where that is allowed.
    pub fn apply(&self, delta: &Delta) -> Vec<Leadership> {
        let mut changes = Vec::new();
        for change in &delta.topics {
            match change {
                TopicChange::Created(topic) => self.upsert(topic, &delta.image, &mut changes),
                TopicChange::Changed { after, .. } => self.upsert(after, &delta.image, &mut changes),
                TopicChange::Deleted(topic) => self.delete(topic, &mut changes),
            }
        }
        self.apply_configs(delta);
        changes
    }

    fn upsert(&self, topic: &Arc<Topic>, image: &Image, changes: &mut Vec<Leadership>) {
        let known = self.topic(&topic.name).filter(|known| known.id == topic.id);
        let config = topic_config::resolve(&self.config, image, &topic.name);
        let log_config = Arc::new(config.log);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (index, info) in topic.partitions.iter().enumerate() {
            let index = index as i32;
            let old = known.as_ref().and_then(|known| known.partitions.get(index as usize)?.clone());
            if !info.replicas.contains(&self.config.node_id) {
                partitions.push(None);
                continue;
            }
            let partition = match old {
                Some(partition) => {
                    match partition.change_role(role(info)) {
                        Became::Leader => changes.push(Leadership::Took(partition.clone())),
                        Became::Follower => changes.push(Leadership::Lost(topic.name.clone(), index)),
                        Became::Same => {}
                    }
                    Some(partition)
                }
                None => self.open(topic, index, info, &log_config, config.min_insync_replicas, changes),
            };
            partitions.push(partition);
        }
        let local = LocalTopic { name: topic.name.clone(), id: topic.id, partitions: partitions.into() };
        let mut maps = self.maps.write();
        maps.names.insert(topic.id, topic.name.clone());
        maps.by_name.insert(topic.name.clone(), local);
    }

    fn open(
        &self,
        topic: &Arc<Topic>,
        index: i32,
        info: &PartitionInfo,
        log_config: &Arc<millstream_broker_log::LogConfig>,
        min_insync_replicas: u32,
        changes: &mut Vec<Leadership>,
    ) -> Option<Arc<Partition>> {
        let found = self.loaded.write().remove(&(topic.name.to_string(), index));
        let log = match found {
            Some(log) if log.topic_id() == topic.id || log.topic_id().is_nil() => {
                log.update_config(log_config.clone());
                // A folder that lost its id with the power, or comes from a release without, gets it now.
                if log.topic_id().is_nil() { log.assign_topic_id(topic.id).map(|()| log).map_err(Into::into) } else { Ok(log) }
            }
            found => {
                // The folder of an earlier topic of that name whose deletion was not finished.
                if let Some(stray) = found {
                    self.set_aside(&stray);
                }
                self.dir_for(info, index).open_partition(&topic.name, index, topic.id, log_config.clone())
            }
        };
        let log = match log {
            Ok(log) => log,
            Err(error) => {
                tracing::error!(topic = %topic.name, partition = index, %error, "a partition could not be opened");
                return None;
            }
        };
        let role = role(info);
        let leads = role.leader == self.config.node_id;
        if leads && log.latest_epoch().is_none_or(|epoch| epoch < role.leader_epoch) {
            if let Err(error) = log.assign_epoch(role.leader_epoch) {
                tracing::error!(topic = %topic.name, partition = index, %error, "the leader epoch could not be stored");
            }
        }
        let partition = Partition::new(
            topic.name.clone(),
            topic.id,
            index,
            self.config.node_id,
            log,
            role,
            min_insync_replicas,
        );
        let partition = Arc::new(partition.with_metrics(self.metrics.topic(&topic.name)));
        if leads {
            changes.push(Leadership::Took(partition.clone()));
        }
        Some(partition)
    }

    /// Sets aside every log that was found at the start and that no topic claims. Called once, when the metadata has
    /// been replayed. Blocks on files.
    pub fn set_strays_aside(&self) {
        let strays = std::mem::take(&mut *self.loaded.write());
        strays.values().for_each(|log| self.set_aside(log));
    }

    fn set_aside(&self, log: &PartitionLog) {
        let dir = self.dirs.iter().find(|dir| log.folder().starts_with(dir.path()));
        if let Some(Err(error)) = dir.map(|dir| dir.set_aside(log)) {
            tracing::error!(topic = log.topic(), partition = log.partition(), %error, "a stray log could not be set aside");
        }
    }

    /// The directory that the metadata names for this node, or the next in turn.
    fn dir_for(&self, info: &PartitionInfo, index: i32) -> &Arc<LogDir> {
        let place = info.replicas.iter().position(|replica| *replica == self.config.node_id);
        let id = place.and_then(|place| info.directories.get(place));
        let named = id.and_then(|id| self.directory_ids.iter().position(|other| other == id));
        &self.dirs[named.unwrap_or(index as usize % self.dirs.len())]
    }

    fn delete(&self, topic: &Arc<Topic>, changes: &mut Vec<Leadership>) {
        let local = {
            let mut maps = self.maps.write();
            maps.names.remove(&topic.id);
            match maps.by_name.get(&topic.name) {
                Some(local) if local.id == topic.id => maps.by_name.remove(&topic.name),
                _ => None,
            }
        };
        let Some(local) = local else { return };
        self.metrics.forget_topic(&topic.name);
        for partition in local.partitions.iter().flatten() {
            changes.push(Leadership::Lost(topic.name.clone(), partition.index()));
            partition.change_role(Role { leader: -1, ..partition.role() });
            let dir = self.dirs.iter().find(|dir| partition.log().folder().starts_with(dir.path()));
            if let Some(Err(error)) = dir.map(|dir| dir.delete_partition(partition.log())) {
                tracing::error!(topic = %topic.name, partition = partition.index(), %error, "a partition's folder could not be deleted");
            }
        }
    }

    fn apply_configs(&self, delta: &Delta) {
        let all = delta.configs.iter().any(|resource| resource.kind == ConfigResourceType::Broker);
        for topic in self.topics() {
            let own = || {
                delta.configs.iter().any(|resource| {
                    resource.kind == ConfigResourceType::Topic && *resource.name == *topic.name
                })
            };
            if !all && !own() {
                continue;
            }
            let config = topic_config::resolve(&self.config, &delta.image, &topic.name);
            let log_config = Arc::new(config.log);
            for partition in topic.partitions.iter().flatten() {
                partition.log().update_config(log_config.clone());
                partition.set_min_insync_replicas(config.min_insync_replicas);
            }
        }
    }
}

fn role(info: &PartitionInfo) -> Role {
    Role {
        leader: info.leader,
        leader_epoch: info.leader_epoch,
        partition_epoch: info.partition_epoch,
        isr: info.isr.clone(),
        replicas: info.replicas.clone(),
    }
}
