//! Storage format: `meta.properties` of log directories, and what kafka-storage says (Java: `StorageTool`, `Formatter`).
//!
//! Called by `cli` and by the node's start, which formats new folders itself.
//!
//! Not done: bootstrap features, SCRAM users and initial controllers of `format`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_base_env::Disk;
use millstream_broker_log::{LogDir, MetaProperties, OpenError, StorageError};
use thiserror::Error;
use uuid::Uuid;

use crate::uuid_text;

/// The release that new folders are formatted for, as kafka-storage names it.
pub const RELEASE: &str = "4.3-IV0";

/// Why a log directory cannot be formatted or used.
#[derive(Debug, Error)]
pub enum FormatError {
    /// Formatted before.
    #[error(
        "Log directory {} is already formatted. Use --ignore-formatted to ignore this directory and format the \
         others.", .0.display()
    )]
    AlreadyFormatted(PathBuf),
    /// The folders belong to another cluster.
    #[error("log directory {} belongs to cluster {found}, not {expected}; point log.dirs elsewhere", path.display())]
    OtherCluster {
        /// The folder.
        path: PathBuf,
        /// What its meta.properties says.
        found: String,
        /// The cluster asked for.
        expected: String,
    },
    /// The folders belong to another node.
    #[error("log directory {} belongs to node {found}, not node.id={expected}; set node.id={found} or point log.dirs elsewhere", path.display())]
    OtherNode {
        /// The folder.
        path: PathBuf,
        /// What its meta.properties says.
        found: i32,
        /// `node.id`
        expected: i32,
    },
    /// Two folders carry one id.
    #[error("log directories {} and {} carry the same directory.id; was one copied to the other?", first.display(), second.display())]
    SameDirectoryId {
        /// One folder.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A folder cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What formatted folders have in common, and the id of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formatted {
    /// `cluster.id`
    pub cluster_id: String,
    /// `directory.id` of each folder, in order.
    pub directory_ids: Vec<Uuid>,
    /// Folders that were formatted just now, in order.
    pub fresh: Vec<PathBuf>,
}

/// Which cluster new folders are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterId<'a> {
    /// This one; other folders are refused.
    Given(&'a str),
    /// That of the folders which are formatted; a new one when none is.
    OfTheFolders,
}

/// What happens to folders that are formatted already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They are kept, the others formatted.
    Kept,
    /// They are an error.
    Refused,
}

/// Formats the folders that are new and checks that the others belong to the same node and cluster. The node's
/// start calls it with `OfTheFolders` and `Kept`, so that no separate step is needed.
///
/// # Errors
/// Folders of another cluster or node, folders that were copied, the disk's own.
pub fn format(
    log_dirs: &[Arc<LogDir>],
    node_id: i32,
    cluster: ClusterId<'_>,
    existing: Existing,
) -> Result<Formatted, FormatError> {
    let mut found = Vec::with_capacity(log_dirs.len());
    for log_dir in log_dirs {
        let meta = log_dir.meta_properties()?;
        if meta.is_some() && existing == Existing::Refused {
            return Err(FormatError::AlreadyFormatted(log_dir.path_buf()));
        }
        found.push(meta);
    }
    let cluster_id = match (cluster, found.iter().flatten().next()) {
        (ClusterId::Given(given), _) => given.to_owned(),
        (ClusterId::OfTheFolders, Some(meta)) => meta.cluster_id.clone(),
        (ClusterId::OfTheFolders, None) => uuid_text::format(uuid_text::random()),
    };
    check(log_dirs, &found, &cluster_id, node_id)?;
    let mut formatted = Formatted { cluster_id, directory_ids: Vec::new(), fresh: Vec::new() };
    for (log_dir, meta) in log_dirs.iter().zip(found) {
        let directory_id = match meta {
            Some(meta) if !meta.directory_id.is_nil() => meta.directory_id,
            _new => {
                let meta = MetaProperties {
                    cluster_id: formatted.cluster_id.clone(),
                    node_id,
                    directory_id: uuid_text::random(),
                };
                log_dir.write_meta_properties(&meta)?;
                formatted.fresh.push(log_dir.path_buf());
                meta.directory_id
            }
        };
        formatted.directory_ids.push(directory_id);
    }
    Ok(formatted)
}

fn check(
    log_dirs: &[Arc<LogDir>],
    found: &[Option<MetaProperties>],
    cluster_id: &str,
    node_id: i32,
) -> Result<(), FormatError> {
    let mut by_id: BTreeMap<Uuid, PathBuf> = BTreeMap::new();
    for (log_dir, meta) in log_dirs.iter().zip(found) {
        let Some(meta) = meta else { continue };
        let path = log_dir.path_buf();
        if meta.cluster_id != cluster_id {
            return Err(FormatError::OtherCluster {
                path,
                found: meta.cluster_id.clone(),
                expected: cluster_id.to_owned(),
            });
        }
        if meta.node_id != node_id {
            return Err(FormatError::OtherNode { path, found: meta.node_id, expected: node_id });
        }
        if meta.directory_id.is_nil() {
            continue;
        }
        if let Some(first) = by_id.insert(meta.directory_id, path.clone()) {
            return Err(FormatError::SameDirectoryId { first, second: path });
        }
    }
    Ok(())
}

/// What `kafka-storage format` prints for these folders; the first is the metadata directory.
pub fn format_report(formatted: &Formatted, metadata_dir: &Path) -> Vec<String> {
    if formatted.fresh.is_empty() {
        return vec!["All of the log directories are already formatted.".to_owned()];
    }
    let line = |path: &PathBuf| {
        let kind = if path == metadata_dir { "metadata" } else { "data" };
        format!("Formatting {kind} directory {} with metadata.version {RELEASE}.", path.display())
    };
    formatted.fresh.iter().map(line).collect()
}

/// What `kafka-storage info` prints, and whether it found a problem (exit status 1).
pub fn info(disk: &Disk, log_dirs: &[PathBuf]) -> (Vec<String>, bool) {
    if log_dirs.is_empty() {
        return (vec!["No directories specified.".to_owned()], false);
    }
    let mut sorted = log_dirs.to_vec();
    sorted.sort();
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut metadata: Option<BTreeMap<String, String>> = None;
    for path in &sorted {
        let shown = path.display();
        if !disk.exists(path) {
            problems.push(format!("{shown} does not exist"));
            continue;
        }
        if disk.list(path).is_err() {
            problems.push(format!("{shown} is not a directory"));
            continue;
        }
        found.push(shown.to_string());
        match (disk.read(&path.join("meta.properties")), &metadata) {
            (Err(_), _) => problems.push(format!("{shown} is not formatted.")),
            (Ok(bytes), None) => metadata = Some(properties(&bytes)),
            (Ok(bytes), Some(first)) => {
                let this = properties(&bytes);
                if this.get("cluster.id") != first.get("cluster.id") {
                    problems.push("Mismatched cluster IDs between storage directories.".to_owned());
                } else if this.get("node.id") != first.get("node.id") {
                    problems.push("Mismatched node IDs between storage directories.".to_owned());
                }
            }
        }
    }
    let mut lines = Vec::new();
    section(&mut lines, &found, ["Found log directory:", "Found log directories:"]);
    if let Some(metadata) = metadata {
        let pairs: Vec<String> = metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        lines.push(format!("Found metadata: {{{}}}", pairs.join(", ")));
        lines.push(String::new());
    }
    section(&mut lines, &problems, ["Found problem:", "Found problems:"]);
    (lines, !problems.is_empty())
}

fn section(lines: &mut Vec<String>, items: &[String], titles: [&str; 2]) {
    if items.is_empty() {
        return;
    }
    lines.push(titles[usize::from(items.len() != 1)].to_owned());
    lines.extend(items.iter().map(|item| format!("  {item}")));
    lines.push(String::new());
}

fn properties(bytes: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect()
}
