//! State that outlives the process: which tasks' stores are on this machine, and how far they contain their changelogs.
//!
//! Called by `app.rs` at the start and by `rebalance.rs` when tasks come and go. Tells the group's leader what is here,
//! so that tasks go to where their state is (Java: `TaskManager.taskOffsetSums`).

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::topics::changelog_name;
use crate::assign::{ProcessId, TaskId};
use crate::state::StateError;
use crate::state::directory::{StateDirectory, TaskFolder};
use crate::state::engines::{Engines, TaskRows};
use crate::state::format::murmur3::hash128;
use crate::topology::Topology;
use crate::topology::store::Store;

/// The state on this machine.
pub(crate) struct Disk {
    /// None where no store is on disk.
    directory: Option<StateDirectory>,
    engines: Engines,
    /// Of tasks that nobody runs now: sums of the offsets that their stores contain.
    left: Mutex<BTreeMap<TaskId, i64>>,
}

/// The stores of one task, opened. The folder is given back when this and the stores are dropped.
pub(crate) struct Opened {
    pub rows: TaskRows,
    pub folder: Option<TaskFolder>,
}

impl Disk {
    pub fn new(directory: Option<StateDirectory>, engines: Engines) -> Disk {
        Disk { directory, engines, left: Mutex::default() }
    }

    /// The id of the process. Where nothing is on disk it follows from the name of a static member, so that who is
    /// started again after a crash ends the transaction that it left, instead of waiting for its timeout; without a name
    /// it is made up.
    pub fn process(&self, member: Option<&str>) -> ProcessId {
        match (&self.directory, member) {
            (Some(directory), _) => directory.process(),
            (None, Some(member)) => ProcessId(named(member)),
            (None, None) => ProcessId(*uuid::Uuid::new_v4().as_bytes()),
        }
    }

    /// Looks at what an earlier process left.
    pub fn survey(&self, topology: &Topology, application: &str) -> Result<(), StateError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        for task in directory.tasks()? {
            let folder = directory.take(task)?;
            if task.subtopology >= topology.subtopologies() || !folder.has_database() {
                continue;
            }
            // The database is closed before anything is deleted.
            let contained = self.contained(&self.opened(&folder, topology)?, task, topology, application);
            match contained {
                Ok(sum) => _ = self.left.lock().insert(task, sum),
                Err(error @ StateError::Corrupt { .. }) => {
                    tracing::warn!(%task, %error, "the state is deleted");
                    folder.wipe()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Deletes the state of all tasks that nobody has open.
    pub fn delete_all(&self) -> Result<(), StateError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        directory.delete_all()?;
        self.left.lock().clear();
        Ok(())
    }

    /// The sum of the changelog offsets that the stores of a task contain.
    fn contained(
        &self,
        rows: &TaskRows,
        task: TaskId,
        topology: &Topology,
        application: &str,
    ) -> Result<i64, StateError> {
        let mut sum = 0;
        for store in stores(topology, task.subtopology).filter(|store| self.engines.is_persistent(store)) {
            if let Some(topic) = changelog_name(store, topology, application) {
                sum += rows.rows(store)?.committed(&topic, task.partition)?.unwrap_or(0);
            }
        }
        Ok(sum)
    }

    /// Deletes the state of a task that nobody has open.
    pub fn wipe(&self, task: TaskId) -> Result<(), StateError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        directory.take(task)?.wipe()?;
        self.left.lock().remove(&task);
        Ok(())
    }

    /// Opens the stores of a task.
    ///
    /// # Errors
    /// [`StateError::Locked`] while another thread of this process still has them.
    pub fn open(&self, task: TaskId, topology: &Topology) -> Result<Opened, StateError> {
        let Some(directory) = &self.directory else {
            let rows = self.engines.open(std::path::Path::new(""), std::iter::empty())?;
            return Ok(Opened { rows, folder: None });
        };
        let folder = directory.take(task)?;
        let rows = self.opened(&folder, topology)?;
        self.left.lock().remove(&task);
        Ok(Opened { rows, folder: Some(folder) })
    }

    /// Opens a database; one that is damaged is deleted, and its stores are restored from the start of their changelogs
    /// (Java: TaskCorruptedException).
    fn opened(&self, folder: &TaskFolder, topology: &Topology) -> Result<TaskRows, StateError> {
        let open = || self.engines.open(&folder.database(), stores(topology, folder.task().subtopology));
        match open() {
            Err(error @ StateError::Corrupt { .. }) => {
                tracing::warn!(task = %folder.task(), %error, "the state is deleted and restored from its changelogs");
                folder.wipe()?;
                open()
            }
            opened => opened,
        }
    }

    /// Whether a store outlives the process.
    pub fn is_persistent(&self, store: &Store) -> bool {
        self.directory.is_some() && self.engines.is_persistent(store)
    }

    /// A task is closed, and its stores stay.
    pub fn leave(&self, task: TaskId, sum: i64) {
        if self.directory.is_some() {
            self.left.lock().insert(task, sum);
        }
    }

    /// What is here and run by nobody.
    pub fn left(&self) -> BTreeMap<TaskId, i64> {
        self.left.lock().clone()
    }

    /// Deletes the stores of tasks that went elsewhere long enough ago.
    pub fn clean_up(&self, now_ms: i64, delay: Duration) {
        let Some(directory) = &self.directory else { return };
        let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        match directory.clean_up(now_ms, delay_ms) {
            Ok(deleted) => deleted.iter().for_each(|task| _ = self.left.lock().remove(task)),
            Err(error) => tracing::warn!(%error, "state that is no longer used was not deleted"),
        }
    }
}

/// The same for the same name in each process of each build.
fn named(member: &str) -> [u8; 16] {
    let mut id = [0; 16];
    for (half, hash) in id.chunks_exact_mut(8).zip(hash128(member.as_bytes())) {
        half.copy_from_slice(&hash.to_be_bytes());
    }
    id
}

/// The stores of a sub-topology.
fn stores(topology: &Topology, subtopology: usize) -> impl Iterator<Item = &Store> {
    let uses = move |store: &&Store| {
        let of =
            |node: &crate::topology::Node| node.subtopology == subtopology && store.processors.contains(&node.name);
        topology.nodes().iter().any(of)
    };
    topology.stores().iter().filter(uses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::engines::Memory;
    use crate::topology::store::Engine;

    /// A task that cannot be opened is in no thread's hands, and its state has to go all the same.
    #[test]
    fn the_state_of_a_task_that_nobody_has_is_deleted() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = StateDirectory::open(millstream_base_env::Disk::Real, folder.path(), "app");
        let directory = open.expect("nobody else has it");
        let disk = Disk::new(Some(directory.clone()), Engines::new(Engine::InMemory, Memory::default()));
        let (damaged, sound) = (TaskId { subtopology: 0, partition: 1 }, TaskId { subtopology: 0, partition: 2 });
        let database = |task: TaskId| {
            let taken = directory.take(task).expect("nobody has it");
            std::fs::create_dir_all(taken.database()).expect("a folder");
            taken.database()
        };
        let paths = [damaged, sound].map(database);
        [damaged, sound].into_iter().for_each(|task| disk.leave(task, 7));
        disk.wipe(damaged).expect("deleted");
        assert!(!paths[0].exists() && paths[1].exists());
        assert_eq!(disk.left(), BTreeMap::from([(sound, 7)]), "the leader is told of what is left");
        let held = directory.take(sound).expect("nobody has it");
        assert!(matches!(disk.wipe(sound), Err(StateError::Locked { .. })), "somebody works with it");
        disk.delete_all().expect("what nobody has");
        assert!(paths[1].exists());
        drop(held);
        disk.delete_all().expect("all of it");
        assert!(!paths[1].exists() && disk.left().is_empty());
    }
}
