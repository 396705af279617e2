//! First start on folders that Apache Kafka filled: partition folders with a `partition.metadata` become topics
//! of that id, partitions as found. Their configuration, leader epochs and the next producer id come from Apache's
//! metadata log (apache_metadata.rs). Where only the partitions' folders were copied, the two internal topics get the
//! configuration that coordinators give them, others keep the broker's defaults.
//!
//! Called once, by the controller's first start. Never writes into a partition's folder.
//!
//! Not done: reassignments in progress.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use millstream_base_env::Disk;
use thiserror::Error;
use uuid::Uuid;

use crate::apache_metadata::{ApacheMetadata, Set};
use crate::controller::ControllerOptions;
use crate::image::ConfigResourceType;
use crate::quorum::{APACHE_FOLDER, METADATA_TOPIC};
use crate::record::{ConfigRecord, MetadataRecord, PartitionRecord, TopicRecord};
use crate::uuid_text;

/// Why folders cannot be adopted.
#[derive(Debug, Error)]
pub enum AdoptError {
    /// The disk failed.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// Apache's metadata log is not what Apache writes.
    #[error("{}, Apache Kafka's metadata log, is damaged: {reason}; copy it anew, or remove its folder to adopt topics without their configuration", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `partition.metadata` is not what Apache writes.
    #[error("{} is malformed: it has no line 'topic_id: ID'", .0.display())]
    Malformed(PathBuf),
    /// Two folders of one topic carry different ids.
    #[error("the folders of topic {topic} carry two topic ids, {first} and {second}; remove the stale ones")]
    TwoIds {
        /// The topic.
        topic: String,
        /// One id.
        first: String,
        /// The other.
        second: String,
    },
}

impl AdoptError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AdoptError {
        let path = path.to_owned();
        move |source| AdoptError::Io { doing, path, source }
    }
}

/// What was found of one topic.
struct Found {
    id: Uuid,
    partitions: BTreeMap<i32, FoundPartition>,
}

struct FoundPartition {
    directory: Uuid,
    leader_epoch: i32,
}

/// First producer id of a cluster that adopted partitions: Apache gives ids out in blocks from 0 on, and the
/// adopted logs remember producers by them.
const FIRST_PRODUCER_ID: i64 = 1 << 40;

/// The records of all topics found in the log directories.
///
/// # Errors
/// When a folder cannot be read or does not say which topic it belongs to.
pub(crate) fn find(options: &ControllerOptions) -> Result<Vec<MetadataRecord>, AdoptError> {
    let mut topics: BTreeMap<String, Found> = BTreeMap::new();
    for (log_dir, directory) in options.log_dirs.iter().zip(&options.directory_ids) {
        find_in(&options.disk, log_dir.path(), *directory, &mut topics)?;
    }
    let apache = apache_metadata(options)?;
    if apache.is_none() && !topics.is_empty() {
        tracing::warn!("no metadata log of Apache Kafka was found: adopted topics have the broker's configuration");
    }
    let mut records = Vec::new();
    for (name, topic) in &topics {
        let configs = apache.as_ref().and_then(|apache| apache.topic(name, topic.id));
        if configs.is_none() && apache.is_some() {
            tracing::warn!(topic = name, topic_id = %topic.id, "Apache Kafka's metadata log does not know this topic");
        }
        let configs = configs.unwrap_or_else(|| configs_of(name));
        tracing::info!(topic = name, topic_id = %topic.id, partitions = topic.partitions.len(), ?configs, "adopted");
        records.push(MetadataRecord::Topic(TopicRecord { name: name.as_str().into(), topic_id: topic.id }));
        records.extend(config_records(ConfigResourceType::Topic, name, &configs));
        let epoch = |partition| apache.as_ref().and_then(|apache| apache.leader_epoch(topic.id, partition));
        partition_records(options, name, topic, epoch, &mut records);
    }
    for name in ["", &options.node_id.to_string()] {
        if let Some(configs) = apache.as_ref().and_then(|apache| apache.broker(name)) {
            records.extend(config_records(ConfigResourceType::Broker, name, configs));
        }
    }
    if !topics.is_empty() {
        let known = apache.as_ref().and_then(|apache| apache.next_producer_id);
        records.push(MetadataRecord::ProducerIds { next: known.unwrap_or(FIRST_PRODUCER_ID) });
    }
    Ok(records)
}

/// The metadata log that Apache Kafka left: where this node keeps its own, it was set aside; in another log directory it
/// lies as it was.
fn apache_metadata(options: &ControllerOptions) -> Result<Option<ApacheMetadata>, AdoptError> {
    let dirs = std::iter::once(&options.metadata_dir).chain(&options.log_dirs);
    for dir in dirs {
        let folder = dir.path().join(format!("{METADATA_TOPIC}-0"));
        for candidate in [folder.join(APACHE_FOLDER), folder] {
            if !options.disk.exists(&candidate.join("quorum-state")) {
                continue;
            }
            if let Some(found) = ApacheMetadata::read(&options.disk, &candidate)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

fn config_records<'a>(
    kind: ConfigResourceType,
    resource: &'a str,
    configs: &'a Set,
) -> impl Iterator<Item = MetadataRecord> + 'a {
    configs.iter().map(move |(key, value)| {
        MetadataRecord::Config(ConfigRecord {
            kind,
            resource: resource.to_owned(),
            key: key.clone(),
            value: Some(value.clone()),
        })
    })
}

fn find_in(
    disk: &Disk,
    log_dir: &Path,
    directory: Uuid,
    topics: &mut BTreeMap<String, Found>,
) -> Result<(), AdoptError> {
    let entries = disk.list(log_dir).map_err(AdoptError::io("cannot list", log_dir))?;
    for entry in entries.iter().filter(|entry| entry.is_dir) {
        let Some((name, partition)) = partition_of(&entry.name) else { continue };
        let folder = log_dir.join(&entry.name);
        let metadata = folder.join("partition.metadata");
        if !disk.exists(&metadata) {
            tracing::warn!(folder = %folder.display(), "not adopted: it has no partition.metadata");
            continue;
        }
        let id = topic_id(disk, &metadata)?;
        let topic = topics.entry(name.to_owned()).or_insert_with(|| Found { id, partitions: BTreeMap::new() });
        if topic.id != id {
            return Err(AdoptError::TwoIds {
                topic: name.to_owned(),
                first: uuid_text::format(topic.id),
                second: uuid_text::format(id),
            });
        }
        let leader_epoch = last_epoch(disk, &folder.join("leader-epoch-checkpoint"))? + 1;
        topic.partitions.insert(partition, FoundPartition { directory, leader_epoch });
    }
    Ok(())
}

/// Topic and index of a folder `topic-N`; `None` for the metadata log and for folders being deleted or moved.
fn partition_of(folder: &str) -> Option<(&str, i32)> {
    let (topic, partition) = folder.rsplit_once('-')?;
    let digits = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || topic.is_empty() || topic == METADATA_TOPIC {
        return None;
    }
    Some((topic, partition.parse().ok()?))
}

fn topic_id(disk: &Disk, path: &Path) -> Result<Uuid, AdoptError> {
    let bytes = disk.read(path).map_err(AdoptError::io("cannot read", path))?;
    String::from_utf8_lossy(&bytes)
        .lines()
        .find_map(|line| uuid_text::parse(line.strip_prefix("topic_id:")?.trim()))
        .ok_or_else(|| AdoptError::Malformed(path.to_owned()))
}

/// The largest epoch in a `leader-epoch-checkpoint` (version, count, then `epoch offset` lines), -1 for none.
fn last_epoch(disk: &Disk, path: &Path) -> Result<i32, AdoptError> {
    let bytes = match disk.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(-1),
        Err(error) => return Err(AdoptError::io("cannot read", path)(error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let epochs = text.lines().skip(2).filter_map(|line| line.split_whitespace().next()?.parse().ok());
    Ok(epochs.max().unwrap_or(-1))
}

fn partition_records(
    options: &ControllerOptions,
    name: &str,
    topic: &Found,
    last_epoch: impl Fn(i32) -> Option<i32>,
    records: &mut Vec<MetadataRecord>,
) {
    // A folder that is missing in the middle becomes an empty partition: indexes have no gaps.
    let count = topic.partitions.last_key_value().map_or(0, |(partition, _)| partition + 1);
    let home = options.directory_ids.first().copied().unwrap_or_default();
    for partition in 0..count {
        let found = topic.partitions.get(&partition);
        if found.is_none() {
            tracing::warn!(topic = name, partition, "folder missing: the partition starts empty");
        }
        records.push(MetadataRecord::Partition(PartitionRecord {
            topic_id: topic.id,
            partition,
            replicas: [options.node_id].into(),
            directories: [found.map_or(home, |found| found.directory)].into(),
            isr: [options.node_id].into(),
            leader: options.node_id,
            // Clients know epochs under which nothing was written, too.
            leader_epoch: found
                .map_or(0, |found| found.leader_epoch)
                .max(last_epoch(partition).map_or(0, |epoch| epoch + 1)),
            partition_epoch: 0,
            adding_replicas: [].into(),
            removing_replicas: [].into(),
        }));
    }
}

/// What the coordinators give their topics when they make them (Java: `GroupCoordinatorService.groupMetadataTopicConfigs`,
/// `TransactionStateManager.transactionTopicConfigs`).
fn configs_of(topic: &str) -> Set {
    let pairs: &[(&str, &str)] = match topic {
        "__consumer_offsets" => {
            &[("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")]
        }
        "__transaction_state" => &[
            ("unclean.leader.election.enable", "false"),
            ("compression.type", "uncompressed"),
            ("cleanup.policy", "compact"),
            ("min.insync.replicas", "1"),
            ("segment.bytes", "104857600"),
        ],
        _ => &[],
    };
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
