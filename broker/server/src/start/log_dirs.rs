//! Opens, checks and recovers the log directories. One that fails is left offline and the others serve on (Java:
//! `LogManager.createAndValidateLogDirs`), except the one that the metadata log lies in: the first, or what
//! `metadata.log.dir` names, which need not be one of `log.dirs`.
//!
//! Called by the node's start, on a thread that may block.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_base_config::BrokerConfig;
use millstream_base_env::{Clock, Disk};
use millstream_broker_controller::Image;
use millstream_broker_controller::format::{self, ClusterId, Existing, FormatError};
use millstream_broker_log::{LogDir, OpenError, PartitionLog};
use uuid::Uuid;

use crate::replica::topic_config;
use crate::start::StartError;

/// Log directories that are open, checked and recovered.
pub(super) struct Opened {
    /// All of them, in the order of `log.dirs`, those offline included.
    pub(super) dirs: Vec<Arc<LogDir>>,
    /// Where the metadata log lies: one of them, or another.
    pub(super) metadata: Arc<LogDir>,
    /// `directory.id` of each; nil for one that is offline.
    pub(super) ids: Vec<Uuid>,
    /// `cluster.id`
    pub(super) cluster_id: String,
    /// What lies in them.
    pub(super) partitions: Vec<Arc<PartitionLog>>,
}

impl Opened {
    /// The directories that are online, with their ids.
    pub(super) fn online(&self) -> (Vec<Arc<LogDir>>, Vec<Uuid>) {
        let both = self.dirs.iter().cloned().zip(self.ids.iter().copied());
        both.filter(|(dir, _)| !dir.is_offline()).unzip()
    }
}

/// Opens the directories that `config` names.
///
/// # Errors
/// When a directory is in use or makes no sense, when the first fails, or when all do.
pub(super) fn open(config: &BrokerConfig, disk: &Disk, clock: &Clock) -> Result<Opened, StartError> {
    let mut dirs = Vec::with_capacity(config.log_dirs.len());
    for path in &config.log_dirs {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        dirs.push(open_one(disk, clock, &path)?);
    }
    let metadata = match metadata_path(config) {
        Some(path) => match dirs.iter().find(|dir| dir.path() == path) {
            Some(dir) => dir.clone(),
            None => open_one(disk, clock, &path)?,
        },
        None => dirs.first().cloned().ok_or(StartError::NoLogDir { paths: Vec::new(), reason: String::new() })?,
    };
    check_online(&dirs, &metadata)?;
    for dir in dirs.iter().filter(|dir| dir.is_offline()) {
        let reason = dir.offline_reason().unwrap_or_default();
        tracing::error!(dir = %dir.path().display(), reason, "a log directory is offline, the others serve");
    }
    let mut all = dirs.clone();
    if !dirs.iter().any(|dir| Arc::ptr_eq(dir, &metadata)) {
        all.push(metadata.clone());
    }
    let (cluster_id, mut ids) = format_online(&all, &metadata, config.node_id)?;
    ids.truncate(dirs.len());
    let default = Arc::new(topic_config::resolve(config, &Image::default(), "").log);
    let threads = usize::try_from(config.number("num.recovery.threads.per.data.dir")).unwrap_or(1);
    let threads = threads.max(std::thread::available_parallelism().map_or(1, usize::from));
    let mut partitions = Vec::new();
    for dir in dirs.iter().filter(|dir| !dir.is_offline()) {
        // The topics' own configuration comes with the metadata, which is replayed next; until then the broker's
        // counts.
        match dir.load_all(threads, &|_| default.clone()) {
            Ok(loaded) => partitions.extend(loaded),
            Err(OpenError::Storage(error)) => dir.take_offline(&error),
            Err(error) => return Err(StartError::LogDir(error)),
        }
    }
    if all.len() > dirs.len() {
        // What else lies beside the metadata log belongs to nobody; loading makes the clean stop count.
        metadata.load_all(1, &|_| default.clone()).map_err(StartError::LogDir)?;
    }
    check_online(&dirs, &metadata)?;
    Ok(Opened { dirs, metadata, ids, cluster_id, partitions })
}

/// `metadata.log.dir`, where it is set.
fn metadata_path(config: &BrokerConfig) -> Option<PathBuf> {
    let path = config.text("metadata.log.dir").filter(|path| !path.is_empty()).map(PathBuf::from)?;
    Some(std::path::absolute(&path).unwrap_or(path))
}

fn open_one(disk: &Disk, clock: &Clock, path: &Path) -> Result<Arc<LogDir>, StartError> {
    let opened = LogDir::open(disk.clone(), clock.clone(), path);
    match opened.and_then(|dir| dir.meta_properties().map(|_| dir)) {
        Ok(dir) => Ok(dir),
        Err(OpenError::Storage(error)) => Ok(LogDir::offline(disk.clone(), clock.clone(), path, &error)),
        Err(error @ OpenError::Locked(_)) => Err(StartError::InUse(error)),
        Err(error) => Err(StartError::LogDir(error)),
    }
}

/// The cluster's id, and that of each directory; nil for one that is offline.
fn format_online(
    dirs: &[Arc<LogDir>],
    metadata: &Arc<LogDir>,
    node_id: i32,
) -> Result<(String, Vec<Uuid>), StartError> {
    loop {
        let online: Vec<Arc<LogDir>> = dirs.iter().filter(|dir| !dir.is_offline()).cloned().collect();
        match format::format(&online, node_id, ClusterId::OfTheFolders, Existing::Kept) {
            Ok(formatted) => {
                let mut found = formatted.directory_ids.into_iter();
                let id = |dir: &Arc<LogDir>| if dir.is_offline() { None } else { found.next() };
                let ids = dirs.iter().map(id).map(Option::unwrap_or_default).collect();
                return Ok((formatted.cluster_id, ids));
            }
            // The one that cannot be written is offline by now; the others are tried without it.
            Err(FormatError::Storage(_)) if online.iter().any(|dir| dir.is_offline()) => {
                check_online(dirs, metadata)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn check_online(dirs: &[Arc<LogDir>], metadata: &Arc<LogDir>) -> Result<(), StartError> {
    let reason = |dir: &Arc<LogDir>| dir.offline_reason().unwrap_or_default();
    match dirs.first() {
        Some(first) if dirs.iter().all(|dir| dir.is_offline()) => {
            let paths: Vec<PathBuf> = dirs.iter().map(|dir| dir.path_buf()).collect();
            Err(StartError::NoLogDir { paths, reason: reason(first) })
        }
        _ if metadata.is_offline() => Err(StartError::MetadataLogDir(reason(metadata))),
        _ => Ok(()),
    }
}
