//! One of `log.dirs`: its lock, `meta.properties`, checkpoint files, clean-shutdown marker and partitions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_base_env::{Clock, Disk};

use crate::config::LogConfig;
use crate::error::{OpenError, StorageError};
use crate::partition_log::PartitionLog;

/// `meta.properties`, version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`
    pub cluster_id: String,
    /// `node.id`
    pub node_id: i32,
    /// `directory.id`
    pub directory_id: uuid::Uuid,
}

/// One log directory.
pub struct LogDir {}

impl LogDir {
    /// Makes the folder if need be, takes its lock, reads the checkpoints. Loads no partition.
    pub fn open(disk: Disk, clock: Clock, path: &Path) -> Result<Arc<LogDir>, OpenError> {
        let _ = (disk, clock, path);
        unimplemented!()
    }
    /// The folder.
    pub fn path(&self) -> &Path {
        unimplemented!()
    }
    /// `meta.properties`; `None` when the directory is not formatted.
    pub fn meta_properties(&self) -> Result<Option<MetaProperties>, OpenError> {
        unimplemented!()
    }
    /// Writes `meta.properties` (storage format).
    pub fn write_meta_properties(&self, meta: &MetaProperties) -> Result<(), StorageError> {
        let _ = meta;
        unimplemented!()
    }
    /// Opens every partition folder, on `threads` threads; `config` answers a topic's configuration. Recovers
    /// what was not closed cleanly. Purges `-delete` folders. `__cluster_metadata` is left to `open_partition`.
    pub fn load_all(
        self: &Arc<Self>,
        threads: usize,
        config: &(dyn Fn(&str) -> Arc<LogConfig> + Sync),
    ) -> Result<Vec<Arc<PartitionLog>>, OpenError> {
        let _ = (threads, config);
        unimplemented!()
    }
    /// Opens or makes the partition's folder. A nil `topic_id` accepts what is there.
    pub fn open_partition(
        self: &Arc<Self>,
        topic: &str,
        partition: i32,
        topic_id: uuid::Uuid,
        config: Arc<LogConfig>,
    ) -> Result<Arc<PartitionLog>, OpenError> {
        let _ = (topic, partition, topic_id, config);
        unimplemented!()
    }
    /// Deletes a partition: its folder is renamed at once and removed by [`LogDir::purge`] after the delay.
    pub fn delete_partition(&self, log: &PartitionLog) -> Result<(), StorageError> {
        let _ = log;
        unimplemented!()
    }
    /// Removes files and folders whose `file.delete.delay.ms` has passed.
    pub fn purge(&self) -> Result<(), StorageError> {
        unimplemented!()
    }
    /// Writes `recovery-point-offset-checkpoint`, `log-start-offset-checkpoint` and
    /// `replication-offset-checkpoint` when something changed.
    pub fn checkpoint(&self) -> Result<(), StorageError> {
        unimplemented!()
    }
    /// Cleans the dirtiest compacted partition, if any is due; answers its name.
    pub fn clean_one(&self) -> Result<Option<String>, StorageError> {
        unimplemented!()
    }
    /// Whether an I/O error took the directory offline.
    pub fn is_offline(&self) -> bool {
        unimplemented!()
    }
    /// Closes every partition, writes the checkpoints and the clean-shutdown marker, gives the lock back.
    pub fn close(&self) -> Result<(), StorageError> {
        unimplemented!()
    }
    /// Bytes of the file system and bytes free (DescribeLogDirs v4).
    pub fn space(&self) -> Result<(u64, u64), StorageError> {
        unimplemented!()
    }
    /// The folder as a `PathBuf` for messages.
    pub fn path_buf(&self) -> PathBuf {
        self.path().to_path_buf()
    }
}
