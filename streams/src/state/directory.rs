//! The state directory of an application on one machine (StateDirectory): `<state.dir>/<application id>`, in it the lock of the
//! process, its id, and a folder a task. Called by the runtime at its start, by threads when they open and close tasks, and
//! by the cleaner. Never opens a store.
//!
//! Files have Java's names, but stores have not Java's format: a directory that holds Java's is refused, as are those of
//! another application and of a newer format. What two implementations exchange are changelogs.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_base_env::disk::{Disk, Lock};
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::StateError;
use crate::assign::{ProcessId, TaskId};

const LOCK_FILE: &str = ".lock";
const PROCESS_FILE: &str = "kafka-streams-process-metadata";
/// Written when a task leaves its folder: how old that file is is how long nobody used the folder.
const LEFT_FILE: &str = ".left";
/// Where a task's database is.
const DATABASE: &str = "rocksdb";
/// The format of the folders: what a newer one holds is not touched.
const FORMAT: u64 = 1;

/// The state directory, locked for this process until it is dropped. Cheap to clone: threads share it.
#[derive(Clone)]
pub struct StateDirectory(Arc<Inner>);

struct Inner {
    disk: Disk,
    folder: PathBuf,
    process: ProcessId,
    taken: Mutex<BTreeSet<TaskId>>,
    /// Declared last: released when all else is gone.
    _lock: Lock,
}

/// A task's folder, for the thread that holds this; given back when it is dropped.
pub struct TaskFolder {
    directory: StateDirectory,
    task: TaskId,
    path: PathBuf,
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |cause| StateError::File { path, cause }
}

impl StateDirectory {
    /// Makes the directory if there is none, locks it, and reads the id of the process, or makes up one.
    pub fn open(disk: Disk, state_dir: &Path, application: &str) -> Result<StateDirectory, StateError> {
        let folder = state_dir.join(application);
        disk.create_dir_all(&folder).map_err(file_error(&folder))?;
        let lock = disk.lock(&folder.join(LOCK_FILE)).map_err(|cause| match cause.kind() {
            io::ErrorKind::WouldBlock => StateError::Locked { path: folder.clone() },
            _ => StateError::File { path: folder.clone(), cause },
        })?;
        let process = process_id(&disk, &folder, application)?;
        Ok(StateDirectory(Arc::new(Inner { disk, folder, process, taken: Mutex::default(), _lock: lock })))
    }

    /// The id of this process, the same after a restart: the assignor gives it its tasks again.
    pub fn process(&self) -> ProcessId {
        self.0.process
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0.folder
    }

    /// The folder of the global stores.
    pub fn global(&self) -> Result<PathBuf, StateError> {
        let path = self.0.folder.join("global");
        self.0.disk.create_dir_all(&path).map_err(file_error(&path))?;
        Ok(path)
    }

    /// Takes a task's folder, and makes it if there is none; an error while another thread has it.
    pub fn take(&self, task: TaskId) -> Result<TaskFolder, StateError> {
        let path = self.task_path(task);
        if !self.0.taken.lock().insert(task) {
            return Err(StateError::Locked { path });
        }
        // From here on dropping it gives the task back.
        let folder = TaskFolder { directory: self.clone(), task, path };
        self.0.disk.create_dir_all(&folder.path).map_err(file_error(&folder.path))?;
        Ok(folder)
    }

    fn task_path(&self, task: TaskId) -> PathBuf {
        self.0.folder.join(format!("{}_{}", task.subtopology, task.partition))
    }

    /// The tasks that have a folder with something in it, whoever holds it.
    pub fn tasks(&self) -> Result<Vec<TaskId>, StateError> {
        let mut tasks = Vec::new();
        for (task, path) in self.task_folders()? {
            let entries = self.0.disk.list(&path).map_err(file_error(&path))?;
            if entries.iter().any(|entry| entry.name != LEFT_FILE) {
                tasks.push(task);
            }
        }
        Ok(tasks)
    }

    fn task_folders(&self) -> Result<Vec<(TaskId, PathBuf)>, StateError> {
        let entries = self.0.disk.list(&self.0.folder).map_err(file_error(&self.0.folder))?;
        let folders = entries.into_iter().filter(|entry| entry.is_dir);
        let mut tasks: Vec<(TaskId, PathBuf)> =
            folders.filter_map(|entry| Some((task_of(&entry.name)?, self.0.folder.join(entry.name)))).collect();
        tasks.sort();
        Ok(tasks)
    }

    /// Deletes the folders that no thread holds and that were left longer ago than `state.cleanup.delay.ms`; says which.
    /// One that cannot be deleted is named and left: the next round tries again.
    pub fn clean_up(&self, now_ms: i64, delay_ms: i64) -> Result<Vec<TaskId>, StateError> {
        let mut deleted = Vec::new();
        for (task, path) in self.task_folders()? {
            if self.left_at(&path)?.saturating_add(delay_ms) >= now_ms {
                continue;
            }
            // Held, so that no thread takes the folder while it is deleted.
            if !self.0.taken.lock().insert(task) {
                continue;
            }
            match self.0.disk.remove_dir_all(&path) {
                Ok(()) => deleted.push(task),
                Err(error) => {
                    tracing::warn!(folder = %path.display(), %error, "a task's folder cannot be deleted")
                }
            }
            self.0.taken.lock().remove(&task);
        }
        Ok(deleted)
    }

    /// When a task's folder was last left, or made.
    fn left_at(&self, path: &Path) -> Result<i64, StateError> {
        let entries = self.0.disk.list(path).map_err(file_error(path))?;
        let left = entries.iter().find(|entry| entry.name == LEFT_FILE).map(|entry| entry.modified_ms);
        // After a crash nobody wrote that file: then what was written last says it.
        Ok(left.or_else(|| entries.iter().map(|entry| entry.modified_ms).max()).unwrap_or_default())
    }

    /// Deletes all state of tasks and global stores that nobody holds: `KafkaStreams.cleanUp`, and the reset.
    pub fn delete_all(&self) -> Result<(), StateError> {
        self.clean_up(i64::MAX, -1)?;
        let global = self.0.folder.join("global");
        if self.0.disk.exists(&global) {
            self.0.disk.remove_dir_all(&global).map_err(file_error(&global))?;
        }
        Ok(())
    }
}

impl TaskFolder {
    /// The task.
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Where its database is.
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Whether there is state of before.
    pub fn has_database(&self) -> bool {
        self.directory.0.disk.exists(&self.database().join("CURRENT"))
    }

    /// Deletes the state: it is corrupted, or belongs to offsets that are gone. Stores must be closed.
    pub fn wipe(&self) -> Result<(), StateError> {
        let database = self.database();
        if self.directory.0.disk.exists(&database) {
            self.directory.0.disk.remove_dir_all(&database).map_err(file_error(&database))?;
        }
        Ok(())
    }
}

impl Drop for TaskFolder {
    fn drop(&mut self) {
        let left = self.path.join(LEFT_FILE);
        if let Err(error) = self.directory.0.disk.write(&left, b"") {
            tracing::warn!(file = %left.display(), %error, "the cleaner will go by older files");
        }
        self.directory.0.taken.lock().remove(&self.task);
    }
}

/// The task that a folder is named for: `<sub-topology>_<partition>`.
fn task_of(name: &str) -> Option<TaskId> {
    let (subtopology, partition) = name.split_once('_')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(subtopology) || !digits(partition) {
        return None;
    }
    Some(TaskId { subtopology: subtopology.parse().ok()?, partition: partition.parse().ok()? })
}

/// The id in the process file, if that is of this application and of a format that is known; a new file if there is none.
fn process_id(disk: &Disk, folder: &Path, application: &str) -> Result<ProcessId, StateError> {
    let path = folder.join(PROCESS_FILE);
    let foreign = |cause: String| StateError::Foreign { path: path.clone(), cause };
    if disk.exists(&path) {
        let text = disk.read(&path).map_err(file_error(&path))?;
        let read: Value = serde_json::from_slice(&text).map_err(|error| foreign(format!("is no JSON: {error}")))?;
        match read["format"].as_u64() {
            None => {
                return Err(foreign("is not Millstream's: choose another state.dir, or delete the folder".to_owned()));
            }
            Some(format) if format > FORMAT => {
                let cure =
                    "take the version that wrote it, or another state.dir, or delete the folder: its state is restored";
                return Err(foreign(format!("is of format {format}; this version knows {FORMAT}: {cure}")));
            }
            Some(_) => {}
        }
        if read["application"] != application {
            let owner = &read["application"];
            return Err(foreign(format!(
                "belongs to application {owner}, not to {application:?}: choose another state.dir"
            )));
        }
        let id = read["processId"].as_str().and_then(|text| Uuid::parse_str(text).ok());
        return id.map(|id| ProcessId(id.into_bytes())).ok_or_else(|| foreign("has no processId".to_owned()));
    }
    // Java writes the file before it makes a task's folder, as is done here.
    let entries = disk.list(folder).map_err(file_error(folder))?;
    if let Some(entry) = entries.iter().find(|entry| entry.is_dir && task_of(&entry.name).is_some()) {
        let cause = format!("is not there, but {} is: whose state that is cannot be told", entry.name);
        return Err(foreign(cause));
    }
    let id = Uuid::new_v4();
    let text = json!({ "processId": id.to_string(), "application": application, "format": FORMAT }).to_string();
    disk.replace(&path, text.as_bytes()).map_err(file_error(&path))?;
    Ok(ProcessId(id.into_bytes()))
}

#[cfg(test)]
mod tests;
