//! The map of partitions on this node: by topic name or id, and index. Fed by metadata deltas.
//!
//! Handlers look partitions up; the node's metadata task calls [`Partitions::apply`]. Opening and deleting folders
//! happens here and nowhere else.

use std::sync::Arc;

use hashbrown::HashMap;
use millstream_base_config::BrokerConfig;
use millstream_broker_controller::{ConfigResourceType, Delta, Image, PartitionInfo, Topic, TopicChange};
use millstream_broker_log::{LogDir, OpenError, PartitionLog, StorageError};
use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use crate::life::metrics::BrokerMetrics;
use crate::replica::partition::{Became, Partition, Role};
use crate::replica::topic_config;

/// The replicas of one topic on this node; `None` where another node has the partition, or its folder cannot be
/// opened.
#[derive(Clone)]
pub struct LocalTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: Uuid,
    /// By index.
    pub partitions: Arc<[Option<Arc<Partition>>]>,
    /// Indexes of replicas that belong here and could not be opened.
    pub unopened: Arc<[i32]>,
}

/// Why a partition was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It is not on this node.
    Elsewhere,
    /// It belongs here, and its log directory could not open it: tried again until it can.
    NotOpen,
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
    /// The image that was applied last; held while partitions are opened and deleted.
    applied: Mutex<Arc<Image>>,
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
        Partitions {
            config,
            dirs,
            directory_ids,
            loaded: RwLock::new(loaded),
            maps: RwLock::default(),
            applied: Mutex::default(),
            metrics,
        }
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

    /// Why [`Partitions::partition`] finds nothing.
    pub fn absent(&self, topic: &str, index: i32) -> Absent {
        let maps = self.maps.read();
        match maps.by_name.get(topic) {
            Some(topic) if topic.unopened.contains(&index) => Absent::NotOpen,
            Some(_) | None => Absent::Elsewhere,
        }
    }

    /// Why [`Partitions::partition_by_id`] finds nothing.
    pub fn absent_by_id(&self, id: Uuid, index: i32) -> Absent {
        self.topic_name(id).map_or(Absent::Elsewhere, |name| self.absent(&name, index))
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

    /// Ends what works on logs by itself and may take long; the broker stops.
    pub fn end_background(&self) {
        self.dirs.iter().for_each(|dir| dir.end_cleaning());
    }

    /// Ids of the log directories that can be used.
    pub fn online_directory_ids(&self) -> Vec<Uuid> {
        let dirs = self.dirs.iter().zip(&self.directory_ids);
        dirs.filter(|(dir, _)| !dir.is_offline()).map(|(_, id)| *id).collect()
    }

    /// Tries again to open what could not be opened. Blocks on files.
    pub fn open_missing(&self) -> Vec<Leadership> {
        let mut changes = Vec::new();
        let image = self.applied.lock();
        let missing: Vec<Arc<str>> = {
            let maps = self.maps.read();
            let incomplete = maps.by_name.values().filter(|topic| !topic.unopened.is_empty());
            incomplete.map(|topic| topic.name.clone()).collect()
        };
        for topic in missing.iter().filter_map(|name| image.topic(name)) {
            self.upsert(topic, &image, &mut changes);
        }
        changes
    }

    /// Makes this node what the delta says. Blocks on files: call it where that is allowed.
    pub fn apply(&self, delta: &Delta) -> Vec<Leadership> {
        let mut changes = Vec::new();
        let mut applied = self.applied.lock();
        for change in &delta.topics {
            match change {
                TopicChange::Created(topic) => self.upsert(topic, &delta.image, &mut changes),
                TopicChange::Changed { after, .. } => self.upsert(after, &delta.image, &mut changes),
                TopicChange::Deleted(topic) => self.delete(topic, &mut changes),
            }
        }
        self.apply_configs(delta);
        *applied = delta.image.clone();
        changes
    }

    fn upsert(&self, topic: &Arc<Topic>, image: &Image, changes: &mut Vec<Leadership>) {
        let known = self.topic(&topic.name).filter(|known| known.id == topic.id);
        let config = topic_config::resolve(&self.config, image, &topic.name);
        let log_config = Arc::new(config.log);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        let mut unopened = Vec::new();
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
                None => {
                    let opened = self.open(topic, index, info, &log_config, config.min_insync_replicas, changes);
                    if opened.is_none() {
                        unopened.push(index);
                    }
                    opened
                }
            };
            partitions.push(partition);
        }
        let (name, unopened) = (topic.name.clone(), unopened.into());
        let local = LocalTopic { name, id: topic.id, partitions: partitions.into(), unopened };
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
                if log.topic_id().is_nil() {
                    log.assign_topic_id(topic.id).map(|()| log).map_err(Into::into)
                } else {
                    Ok(log)
                }
            }
            found => {
                // The folder of an earlier topic of that name whose deletion was not finished.
                if let Some(stray) = found {
                    self.set_aside(&stray);
                }
                let dir = self.dir_for(info, index).map_err(OpenError::from);
                dir.and_then(|dir| dir.open_partition(&topic.name, index, topic.id, log_config.clone()))
            }
        };
        let log = match log {
            Ok(log) => log,
            Err(error) => {
                let is_known = self.absent(&topic.name, index) == Absent::NotOpen;
                if !is_known {
                    let reason = source(&error);
                    tracing::error!(topic = %topic.name, partition = index, %error, reason, "a partition could not be opened, will be tried again");
                }
                return None;
            }
        };
        let role = role(info);
        let leads = role.leader == self.config.node_id;
        if leads
            && log.latest_epoch().is_none_or(|epoch| epoch < role.leader_epoch)
            && let Err(error) = log.assign_epoch(role.leader_epoch)
        {
            tracing::error!(topic = %topic.name, partition = index, %error, "the leader epoch could not be stored");
        }
        let partition =
            Partition::new(topic.name.clone(), topic.id, index, self.config.node_id, log, role, min_insync_replicas);
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

    /// The directory that the metadata names for this node, or the next in turn. A partition whose directory is not
    /// there may lie in one that is offline: it is not made anew (Java: `LogManager.getOrCreateLog`).
    fn dir_for(&self, info: &PartitionInfo, index: i32) -> Result<&Arc<LogDir>, StorageError> {
        let place = info.replicas.iter().position(|replica| *replica == self.config.node_id);
        let id = place.and_then(|place| info.directories.get(place)).filter(|id| !id.is_nil());
        if let Some(named) = id.and_then(|id| self.directory_ids.iter().position(|other| other == id)) {
            return Ok(&self.dirs[named]);
        }
        let (online, offline): (Vec<_>, Vec<_>) = self.dirs.iter().partition(|dir| !dir.is_offline());
        match (offline.first(), online.len()) {
            (Some(offline), _) if id.is_some() => Err(StorageError::Offline(offline.path_buf())),
            (_, 0) => Err(StorageError::Offline(self.dirs[0].path_buf())),
            (_, count) => Ok(online[index as usize % count]),
        }
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
                delta
                    .configs
                    .iter()
                    .any(|resource| resource.kind == ConfigResourceType::Topic && *resource.name == *topic.name)
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

/// What the system said, which the error's own text leaves out.
fn source(error: &OpenError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use millstream_base_config::parse::Properties;
    use millstream_base_env::faulty::{FaultyDisk, Operation};
    use millstream_base_env::{Clock, Disk};
    use millstream_base_metrics::Registry;
    use millstream_broker_controller::record::{MetadataRecord, PartitionRecord, TopicRecord};

    use super::*;

    const DIRECTORIES: [Uuid; 2] = [Uuid::from_u128(0xd1), Uuid::from_u128(0xd2)];
    const NO_SPACE: i32 = 28;
    const IO: i32 = 5;

    fn partitions(disk: &Arc<FaultyDisk>) -> Partitions {
        let mut properties = Properties::default();
        BrokerConfig::single_node(&mut properties);
        properties.set_default("log.dirs", "/a,/b");
        let config = Arc::new(BrokerConfig::new(&properties).expect("a configuration"));
        let open = |path: &str| {
            LogDir::open(Disk::Faulty(disk.clone()), Clock::Real, path.as_ref()).expect("an empty directory")
        };
        let metrics = BrokerMetrics::new(Registry::default(), []);
        Partitions::new(config, vec![open("/a"), open("/b")], DIRECTORIES.to_vec(), Vec::new(), metrics)
    }

    /// A topic with a partition in each of `directories`.
    fn created(name: &str, directories: &[Uuid]) -> Delta {
        let id = Uuid::from_u128(name.len() as u128);
        let mut records = vec![MetadataRecord::Topic(TopicRecord { name: name.into(), topic_id: id })];
        records.extend(directories.iter().enumerate().map(|(index, directory)| {
            MetadataRecord::Partition(PartitionRecord {
                topic_id: id,
                partition: index as i32,
                replicas: [1].into(),
                directories: [*directory].into(),
                isr: [1].into(),
                leader: 1,
                leader_epoch: 0,
                partition_epoch: 0,
                adding_replicas: [].into(),
                removing_replicas: [].into(),
            })
        }));
        let before = Image::default();
        let after = Arc::new(before.apply(&records).expect("records in order"));
        Delta::between(&before, &after)
    }

    #[test]
    fn what_a_full_disk_could_not_open_is_opened_later() {
        let disk = FaultyDisk::new(1);
        let partitions = partitions(&disk);
        disk.fail_next(Operation::Write, NO_SPACE);
        assert_eq!(partitions.apply(&created("t", &DIRECTORIES)).len(), 1);
        assert!(partitions.partition("t", 0).is_none());
        assert_eq!(partitions.absent("t", 0), Absent::NotOpen);
        assert_eq!(partitions.absent("t", 2), Absent::Elsewhere);
        let second = partitions.partition("t", 1).expect("it was opened");
        let changes = partitions.open_missing();
        assert!(matches!(&changes[..], [Leadership::Took(took)] if took.index() == 0));
        let first = partitions.partition("t", 0).expect("it is open now");
        assert_eq!((first.offsets().log_end, first.log().topic_id()), (0, Uuid::from_u128(1)));
        assert!(Arc::ptr_eq(&second, &partitions.partition("t", 1).expect("it stays")));
        assert!(partitions.open_missing().is_empty());
    }

    #[test]
    fn a_directory_that_failed_opens_nothing_and_takes_nothing_that_may_lie_elsewhere() {
        let disk = FaultyDisk::new(1);
        let partitions = partitions(&disk);
        disk.fail_next(Operation::Write, IO);
        partitions.apply(&created("t", &DIRECTORIES));
        assert_eq!(partitions.online_directory_ids(), [DIRECTORIES[1]]);
        assert!(partitions.open_missing().is_empty());
        assert_eq!(partitions.absent("t", 0), Absent::NotOpen);
        partitions.apply(&created("anywhere", &[Uuid::nil(), Uuid::nil()]));
        for index in 0..2 {
            let partition = partitions.partition("anywhere", index).expect("the other directory takes it");
            assert!(partition.log().folder().starts_with("/b"));
        }
    }
}
