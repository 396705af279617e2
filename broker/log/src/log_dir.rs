//! One of `log.dirs`: its lock, `meta.properties`, checkpoint files, clean-shutdown marker and partitions.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hashbrown::{HashMap, HashSet};
use millstream_base_env::disk::{Lock, Space};
use millstream_base_env::{Clock, Disk};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::checkpoints::{self, CLEANER, HIGH_WATERMARK, LOG_START, Offsets, RECOVERY_POINT};
use crate::compact::Retry;
use crate::config::LogConfig;
use crate::dir_state::{DirState, DoomedKind, describe};
use crate::error::{OpenError, StorageError};
use crate::folder;
use crate::meta_properties::MetaProperties;
use crate::partition_log::{Life, PartitionLog, PartitionName};
use crate::recover::{self, Opening, Shutdown};

const LOCK: &str = ".lock";
const META_PROPERTIES: &str = "meta.properties";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// The metadata log's topic, which is opened by the controller alone.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// The partitions that are open, by topic and index.
type OpenLogs = HashMap<(Box<str>, i32), Arc<PartitionLog>>;

/// One log directory.
pub struct LogDir {
    pub(crate) state: Arc<DirState>,
    logs: Mutex<OpenLogs>,
    /// The checkpoints as they were found, for partitions that open later.
    found: Checkpoints,
    shutdown: Shutdown,
    /// What each checkpoint file holds, so that one without news is not written.
    pub(crate) written: Mutex<Checkpoints>,
    /// Whether every partition was opened: only then may a clean stop be claimed (KAFKA-15375).
    loaded: AtomicBool,
    /// Partitions that are being cleaned: no other cleaner takes them.
    pub(crate) claimed: Mutex<HashSet<(String, i32)>>,
    /// Partitions that compaction found damaged.
    pub(crate) uncleanable: Mutex<HashSet<(String, i32)>>,
    /// Partitions whose cleaning failed and is tried again.
    pub(crate) clean_retries: Mutex<HashMap<(String, i32), Retry>>,
    lock: Mutex<Option<Lock>>,
}

/// The contents of the checkpoint files.
#[derive(Clone, Default)]
pub(crate) struct Checkpoints {
    pub(crate) recovery_points: Offsets,
    log_starts: Offsets,
    high_watermarks: Offsets,
    pub(crate) cleaner: Offsets,
}

impl LogDir {
    /// Makes the folder if need be, takes its lock, reads the checkpoints. Loads no partition.
    ///
    /// # Errors
    /// `Locked` when another process holds it.
    pub fn open(disk: Disk, clock: Clock, path: &Path) -> Result<Arc<LogDir>, OpenError> {
        let state = Arc::new(DirState::new(disk, clock, path));
        let disk = &state.disk;
        if !disk.exists(path) {
            disk.create_dir_all(path).map_err(unopened("cannot make", path))?;
            for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
                match disk.sync_dir(above) {
                    // A folder that may be passed through but not read is not ours to sync.
                    Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                        return Err(unopened("cannot sync", above)(error).into());
                    }
                    Ok(()) | Err(_) => {}
                }
            }
        }
        let lock = match disk.lock(&path.join(LOCK)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::Locked(path.to_path_buf()));
            }
            Err(error) => return Err(unopened("cannot lock", path)(error).into()),
        };
        let found = Checkpoints {
            recovery_points: read_offsets(&state, RECOVERY_POINT)?,
            log_starts: read_offsets(&state, LOG_START)?,
            high_watermarks: read_offsets(&state, HIGH_WATERMARK)?,
            cleaner: read_offsets(&state, CLEANER)?,
        };
        let shutdown = if disk.exists(&path.join(CLEAN_SHUTDOWN)) { Shutdown::Clean } else { Shutdown::Unclean };
        Ok(Arc::new(LogDir {
            logs: Mutex::new(HashMap::new()),
            written: Mutex::new(found.clone()),
            found,
            shutdown,
            loaded: AtomicBool::new(false),
            claimed: Mutex::default(),
            uncleanable: Mutex::new(HashSet::new()),
            clean_retries: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            state,
        }))
    }

    /// A directory that could not be opened: offline from the start, without lock and partitions. Not logged: whoever
    /// starts knows whether it can do without.
    pub fn offline(disk: Disk, clock: Clock, path: &Path, reason: &StorageError) -> Arc<LogDir> {
        let state = Arc::new(DirState::new(disk, clock, path));
        state.begin_offline(reason);
        Arc::new(LogDir {
            logs: Mutex::default(),
            written: Mutex::default(),
            found: Checkpoints::default(),
            shutdown: Shutdown::Unclean,
            loaded: AtomicBool::new(false),
            claimed: Mutex::default(),
            uncleanable: Mutex::default(),
            clean_retries: Mutex::default(),
            lock: Mutex::new(None),
            state,
        })
    }

    /// Takes the directory offline for good.
    pub fn take_offline(&self, reason: &StorageError) {
        self.state.take_offline(reason);
    }

    /// Compaction ends with the batch at hand and does not begin again: the directory will be closed.
    pub fn end_cleaning(&self) {
        self.state.end_cleaning();
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.state.path
    }

    /// `meta.properties`; `None` when the directory is not formatted.
    ///
    /// # Errors
    /// `Malformed` when the file is there and makes no sense.
    pub fn meta_properties(&self) -> Result<Option<MetaProperties>, OpenError> {
        let path = self.state.path.join(META_PROPERTIES);
        let bytes = match self.state.disk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.state.failed("cannot read", &path)(error).into()),
        };
        match MetaProperties::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(meta) => Ok(Some(meta)),
            Err(reason) => Err(OpenError::Malformed { path, reason }),
        }
    }

    /// Writes `meta.properties` (storage format).
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write_meta_properties(&self, meta: &MetaProperties) -> Result<(), StorageError> {
        let path = self.state.path.join(META_PROPERTIES);
        self.state.disk.replace(&path, meta.render().as_bytes()).map_err(self.state.failed("cannot write", &path))
    }

    /// Opens every partition folder, on `threads` threads; `config` answers a topic's configuration. Recovers
    /// what was not closed cleanly, removes `-delete` folders, takes the clean-shutdown marker away.
    /// `__cluster_metadata` is left to [`LogDir::open_partition`].
    ///
    /// # Errors
    /// The first partition's that cannot be opened.
    pub fn load_all(
        self: &Arc<Self>,
        threads: usize,
        config: &(dyn Fn(&str) -> Arc<LogConfig> + Sync),
    ) -> Result<Vec<Arc<PartitionLog>>, OpenError> {
        let mut openings = self.openings(config)?;
        // From here on a crash is a crash.
        self.remove_clean_marker()?;
        // Partitions of one topic share a disk's neighbourhood; taking them from the end is as good as any.
        let next = AtomicUsize::new(0);
        let slots: Vec<Mutex<Option<Opening>>> = openings.drain(..).map(|opening| Mutex::new(Some(opening))).collect();
        let opened: Mutex<Vec<Arc<PartitionLog>>> = Mutex::new(Vec::with_capacity(slots.len()));
        let failure: Mutex<Option<OpenError>> = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, slots.len().max(1)) {
                scope.spawn(|| {
                    while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let Some(opening) = slot.lock().take() else { continue };
                        match recover::open(&self.state, opening) {
                            Ok(log) => opened.lock().push(Arc::new(log)),
                            Err(error) => {
                                failure.lock().get_or_insert(error);
                                return;
                            }
                        }
                    }
                });
            }
        });
        if let Some(error) = failure.into_inner() {
            return Err(error);
        }
        let mut opened = opened.into_inner();
        opened.sort_by(|left, right| (left.topic(), left.partition()).cmp(&(right.topic(), right.partition())));
        let mut logs = self.logs.lock();
        for log in &opened {
            logs.insert((log.topic().into(), log.partition()), Arc::clone(log));
        }
        self.loaded.store(true, Ordering::Release);
        Ok(opened)
    }

    fn openings(&self, config: &(dyn Fn(&str) -> Arc<LogConfig> + Sync)) -> Result<Vec<Opening>, OpenError> {
        let path = &self.state.path;
        let mut openings = Vec::new();
        let mut configs: BTreeMap<String, Arc<LogConfig>> = BTreeMap::new();
        for entry in self.state.disk.list(path).map_err(self.state.failed("cannot list", path))? {
            if !entry.is_dir || entry.name.starts_with('.') || entry.name == "lost+found" {
                continue;
            }
            let folder = path.join(&entry.name);
            if folder::is_deleted_folder(&entry.name) {
                self.state.doom(folder, DoomedKind::Folder, 0);
                continue;
            }
            if folder::is_set_aside(&entry.name) {
                continue;
            }
            let Some((topic, partition)) = folder::parse_partition_folder(&entry.name) else {
                return Err(OpenError::NotAPartition(folder));
            };
            if topic == METADATA_TOPIC {
                continue;
            }
            let config = configs.entry(topic.to_owned()).or_insert_with(|| config(topic));
            openings.push(self.opening(topic, partition, Uuid::nil(), Arc::clone(config)));
        }
        Ok(openings)
    }

    fn opening(&self, topic: &str, partition: i32, topic_id: Uuid, config: Arc<LogConfig>) -> Opening {
        let key = (topic.to_owned(), partition);
        let known = |offsets: &Offsets| offsets.get(&key).copied().unwrap_or(0);
        Opening {
            name: PartitionName { topic: topic.into(), partition },
            folder: self.state.path.join(folder::partition_folder(topic, partition)),
            topic_id,
            config,
            shutdown: self.shutdown,
            recovery_point: known(&self.found.recovery_points),
            cleaned_to: known(&self.found.cleaner),
            log_start: known(&self.found.log_starts),
            high_watermark: known(&self.found.high_watermarks),
        }
    }

    fn remove_clean_marker(&self) -> Result<(), StorageError> {
        let marker = self.state.path.join(CLEAN_SHUTDOWN);
        match self.state.disk.remove_file(&marker) {
            Ok(()) => self.state.disk.sync_dir(&self.state.path).map_err(self.state.failed("cannot sync", &marker)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.state.failed("cannot remove", &marker)(error)),
        }
    }

    /// Opens or makes the partition's folder. A nil `topic_id` accepts what is there.
    ///
    /// # Errors
    /// `InconsistentTopicId` when the folder belongs to another topic of that name.
    pub fn open_partition(
        self: &Arc<Self>,
        topic: &str,
        partition: i32,
        topic_id: Uuid,
        config: Arc<LogConfig>,
    ) -> Result<Arc<PartitionLog>, OpenError> {
        let key = (Box::<str>::from(topic), partition);
        let mut logs = self.logs.lock();
        if let Some(log) = logs.get(&key) {
            let found = log.topic_id();
            if !topic_id.is_nil() && !found.is_nil() && found != topic_id {
                return Err(OpenError::InconsistentTopicId { path: log.folder(), found, expected: topic_id });
            }
            if !topic_id.is_nil() && found.is_nil() {
                log.assign_topic_id(topic_id)?;
            }
            return Ok(Arc::clone(log));
        }
        self.state.check_online()?;
        let mut opening = self.opening(topic, partition, topic_id, config);
        let log = if self.state.disk.exists(&opening.folder) {
            recover::open(&self.state, opening)?
        } else {
            // Offsets of a partition of that name that was deleted do not count for a new one.
            (opening.recovery_point, opening.log_start, opening.high_watermark) = (0, 0, 0);
            opening.cleaned_to = 0;
            recover::create(&self.state, opening)?
        };
        let log = Arc::new(log);
        logs.insert(key, Arc::clone(&log));
        Ok(log)
    }

    /// A partition that is open.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<Arc<PartitionLog>> {
        self.logs.lock().get(&(Box::<str>::from(topic), partition)).map(Arc::clone)
    }

    /// Every partition that is open.
    pub fn partitions(&self) -> Vec<Arc<PartitionLog>> {
        self.logs.lock().values().map(Arc::clone).collect()
    }

    /// Deletes a partition: its folder is renamed at once and removed by [`LogDir::purge`] after
    /// `file.delete.delay.ms`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn delete_partition(&self, log: &PartitionLog) -> Result<(), StorageError> {
        let aside = self.state.path.join(folder::deleted_folder(log.topic(), log.partition()));
        if self.take_out(log, &aside)? {
            self.state.doom(aside, DoomedKind::Folder, log.config.load().file_delete_delay_ms);
        }
        Ok(())
    }

    /// Renames the folder of a partition that no topic claims to `-stray` and leaves it there for whoever knows what it
    /// is (Java: `LogManager.asyncDelete` of a stray log).
    ///
    /// # Errors
    /// When the disk fails.
    pub fn set_aside(&self, log: &PartitionLog) -> Result<(), StorageError> {
        let aside = self.state.path.join(folder::stray_folder(log.topic(), log.partition()));
        if self.take_out(log, &aside)? {
            tracing::warn!(topic = log.topic(), partition = log.partition(), folder = %aside.display(), "no topic claims this log; set aside");
        }
        Ok(())
    }

    /// Closes a partition and renames its folder; false when it is closed already.
    fn take_out(&self, log: &PartitionLog, aside: &Path) -> Result<bool, StorageError> {
        self.state.check_online()?;
        let _no_cleaning = log.stop_cleaning();
        let _no_flush = log.flushing.lock();
        let mut writer = log.writer.lock();
        if writer.life == Life::Closed {
            return Ok(false);
        }
        self.state
            .disk
            .rename(&writer.folder, aside)
            .map_err(|error| self.state.failed("cannot rename", &writer.folder)(error))?;
        writer.life = Life::Closed;
        writer.folder = aside.to_path_buf();
        for segment in &mut writer.segments {
            segment.close();
        }
        let key = (log.topic().to_owned(), log.partition());
        self.logs.lock().remove(&(log.topic().into(), log.partition()));
        self.uncleanable.lock().remove(&key);
        self.clean_retries.lock().remove(&key);
        // A new partition of that name is not clean because this one was.
        let mut written = self.written.lock();
        if written.cleaner.contains_key(&key) {
            let mut now = written.cleaner.clone();
            now.remove(&key);
            self.write_offsets(CLEANER, &now, &mut written.cleaner)?;
        }
        Ok(true)
    }

    /// Removes files and folders whose `file.delete.delay.ms` has passed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn purge(&self) -> Result<(), StorageError> {
        self.state.purge()
    }

    /// Flushes the partitions for which it is time: sealed segments, `flush.ms`. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn flush_due(&self) -> Result<(), StorageError> {
        for log in self.partitions() {
            if log.is_flush_due() {
                tolerate_closed(log.flush())?;
            }
        }
        Ok(())
    }

    /// Writes `recovery-point-offset-checkpoint`, `log-start-offset-checkpoint` and
    /// `replication-offset-checkpoint` when something changed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn checkpoint(&self) -> Result<(), StorageError> {
        self.state.check_online()?;
        let mut now = Checkpoints::default();
        for log in self.partitions() {
            let key = (log.topic().to_owned(), log.partition());
            let writer = log.writer.lock();
            now.recovery_points.insert(key.clone(), writer.recovery_point);
            now.high_watermarks.insert(key.clone(), writer.high_watermark);
            if writer.log_start > writer.segments[0].base_offset {
                now.log_starts.insert(key, writer.log_start);
            }
        }
        let mut written = self.written.lock();
        self.write_offsets(RECOVERY_POINT, &now.recovery_points, &mut written.recovery_points)?;
        self.write_offsets(LOG_START, &now.log_starts, &mut written.log_starts)?;
        self.write_offsets(HIGH_WATERMARK, &now.high_watermarks, &mut written.high_watermarks)
    }

    pub(crate) fn write_offsets(&self, name: &str, now: &Offsets, written: &mut Offsets) -> Result<(), StorageError> {
        let path = self.state.path.join(name);
        if now == written && (now.is_empty() || self.state.disk.exists(&path)) {
            return Ok(());
        }
        self.state
            .disk
            .replace(&path, checkpoints::render_offsets(now).as_bytes())
            .map_err(self.state.failed("cannot write", &path))?;
        written.clone_from(now);
        Ok(())
    }

    /// Whether an I/O error took the directory offline.
    pub fn is_offline(&self) -> bool {
        self.state.is_offline()
    }

    /// What took the directory offline.
    pub fn offline_reason(&self) -> Option<String> {
        self.state.offline_reason()
    }

    /// Closes every partition, writes the checkpoints and the clean-shutdown marker, gives the lock back. The
    /// marker is left out when the start itself never finished.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn close(&self) -> Result<(), StorageError> {
        let closed = self.close_files();
        *self.lock.lock() = None;
        closed
    }

    fn close_files(&self) -> Result<(), StorageError> {
        self.state.check_online()?;
        let mut failure: Option<StorageError> = None;
        for log in self.partitions() {
            let Err(error) = tolerate_closed(log.close()) else { continue };
            // A full disk is the same for all of them, and told once by whoever closes.
            if !error.is_disk_full() {
                tracing::error!(topic = log.topic(), partition = log.partition(), error = %describe(&error), "close failed");
            }
            if failure.as_ref().is_none_or(StorageError::is_disk_full) {
                failure = Some(error);
            }
        }
        let checkpointed = self.checkpoint();
        // Without the marker the next start looks at what could not be closed.
        if let Some(error) = failure {
            return Err(error);
        }
        checkpointed?;
        if self.loaded.load(Ordering::Acquire) {
            let marker = self.state.path.join(CLEAN_SHUTDOWN);
            self.state
                .disk
                .replace(&marker, br#"{"version":0,"brokerEpoch":-1}"#)
                .map_err(self.state.failed("cannot write", &marker))?;
        }
        Ok(())
    }

    /// Room on the file system (DescribeLogDirs v4).
    ///
    /// # Errors
    /// When the disk fails.
    pub fn space(&self) -> Result<Space, StorageError> {
        self.state.disk.space(&self.state.path).map_err(self.state.failed("cannot stat", &self.state.path))
    }

    /// The folder as a `PathBuf` for messages.
    pub fn path_buf(&self) -> PathBuf {
        self.state.path.clone()
    }
}

fn tolerate_closed(result: Result<(), StorageError>) -> Result<(), StorageError> {
    match result {
        Err(StorageError::Closed(_)) => Ok(()),
        other => other,
    }
}

/// The error of a directory that is not open yet, and so is not taken offline.
fn unopened(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    move |source| StorageError::Io { doing, path: path.to_path_buf(), source }
}

fn read_offsets(state: &DirState, name: &str) -> Result<Offsets, OpenError> {
    let path = state.path.join(name);
    let bytes = match state.disk.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Offsets::new()),
        Err(error) => return Err(unopened("cannot read", &path)(error).into()),
    };
    match checkpoints::parse_offsets(&String::from_utf8_lossy(&bytes)) {
        Some(offsets) => Ok(offsets),
        None => {
            // Without it recovery checks more than it need; nothing is lost.
            tracing::warn!(path = %path.display(), "malformed checkpoint ignored");
            Ok(Offsets::new())
        }
    }
}
