//! Which engine a store's rows are in, and what the engines of one process share. Made once by the runtime; each task opens
//! its stores by it. Never knows a store's types.
//! Not done: without the cargo feature `rocksdb` stores on disk are in memory, and restored at each start; a WARN says so.

use std::path::Path;
use std::time::Duration;

use super::error::StateError;
#[cfg(feature = "rocksdb")]
use super::rows::rocks::{Budget, TaskDb};
use super::rows::{MemoryRows, Rows};
use crate::topology::store::{Engine, Store};

/// How much memory all stores on disk of a process take together, and how much of it for rows that are not on disk yet.
/// Kafka Streams takes 50 MB and 48 MB for each store and partition, a window store so much for each segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it, in bytes.
    pub total: usize,
    /// The part for rows that are not on disk yet.
    pub unwritten: usize,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { total: 42 << 20, unwritten: 21 << 20 }
    }
}

/// How long an engine on disk may keep rows of a commit in front of its database: what is restored after a crash is at least
/// as much. It looks at each commit; who has nothing to commit any more sees to it.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(10);

/// The engines of a process. Cheap to clone.
#[derive(Clone)]
pub struct Engines {
    configured: Engine,
    #[cfg(feature = "rocksdb")]
    budget: Budget,
}

impl Engines {
    /// Stores whose definition leaves it to the configuration are in this one (`default.dsl.store`).
    pub fn new(configured: Engine, memory: Memory) -> Engines {
        #[cfg(not(feature = "rocksdb"))]
        let _ = memory;
        Engines {
            configured,
            #[cfg(feature = "rocksdb")]
            budget: Budget::new(memory.total, memory.unwritten),
        }
    }

    /// Whether the rows of a store outlive the process.
    pub fn is_persistent(&self, store: &Store) -> bool {
        let engine = if store.engine == Engine::Configured { self.configured } else { store.engine };
        cfg!(feature = "rocksdb") && engine != Engine::InMemory
    }

    /// What to tell of stores that are meant to be on disk and, in a build without the cargo feature `rocksdb`, are in memory;
    /// None where none is.
    pub fn missing_disk<'a>(&self, stores: impl IntoIterator<Item = &'a Store>) -> Option<String> {
        if cfg!(feature = "rocksdb") {
            return None;
        }
        let is_meant = |store: &&Store| match store.engine {
            Engine::Configured => self.configured != Engine::InMemory,
            engine => engine == Engine::Persistent,
        };
        let names: Vec<&str> = stores.into_iter().filter(is_meant).map(|store| store.name.as_str()).collect();
        (!names.is_empty()).then(|| {
            format!(
                "stores {names:?} are in memory and restored from their changelogs at each start: this program was built \
                 without the cargo feature rocksdb of millstream-streams; default.dsl.store=in_memory (or in_memory() where \
                 a store says persistent()) means it so"
            )
        })
    }

    /// Opens the database of a task in this folder, if any of its stores is on disk; all of them must be named.
    pub fn open<'a>(&self, folder: &Path, stores: impl IntoIterator<Item = &'a Store>) -> Result<TaskRows, StateError> {
        let on_disk = stores.into_iter().filter(|store| self.is_persistent(store));
        let on_disk: Vec<&str> = on_disk.map(|store| store.name.as_str()).collect();
        #[cfg(not(feature = "rocksdb"))]
        let _ = (folder, on_disk);
        Ok(TaskRows {
            engines: self.clone(),
            #[cfg(feature = "rocksdb")]
            db: if on_disk.is_empty() { None } else { Some(TaskDb::open(folder, &on_disk, &self.budget)?) },
        })
    }
}

/// The rows of a task's stores. The database is closed when this and all of them are dropped.
pub struct TaskRows {
    engines: Engines,
    #[cfg(feature = "rocksdb")]
    db: Option<TaskDb>,
}

impl TaskRows {
    /// The rows of one store.
    pub fn rows(&self, store: &Store) -> Result<Box<dyn Rows>, StateError> {
        if !self.engines.is_persistent(store) {
            return Ok(Box::new(MemoryRows::new()));
        }
        #[cfg(feature = "rocksdb")]
        if let Some(db) = &self.db {
            return Ok(Box::new(db.rows(&store.name)?));
        }
        Err(StateError::Engine {
            store: store.name.clone(),
            folder: std::path::PathBuf::new(),
            cause: "the task was opened without it".to_owned(),
        })
    }

    /// The offset that a store on disk contains of a changelog partition when it is closed before its next commit.
    pub fn durable(&self, store: &str, topic: &str, partition: i32) -> Result<Option<i64>, StateError> {
        #[cfg(feature = "rocksdb")]
        if let Some(db) = &self.db {
            return db.durable(store, topic, partition);
        }
        let _ = (store, topic, partition);
        Ok(None)
    }

    /// Many rows are put into its stores from here on, which nobody reads meanwhile, or they are complete.
    pub fn fill(&self, is_filling: bool) -> Result<(), StateError> {
        #[cfg(feature = "rocksdb")]
        if let Some(db) = &self.db {
            return db.fill(is_filling);
        }
        let _ = is_filling;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::store::StoreKind;

    #[test]
    fn a_store_is_where_its_definition_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = |name: &str, engine| Store { engine, ..Store::new(name, StoreKind::KeyValue) };
        let stores = [store("a", Engine::Configured), store("b", Engine::InMemory), store("c", Engine::Persistent)];
        for (configured, kept) in [(Engine::Configured, [true, false, true]), (Engine::InMemory, [false, false, true])]
        {
            let path = folder.path().join(format!("{configured:?}"));
            let engines = Engines::new(configured, Memory { total: 4 << 20, unwritten: 1 << 20 });
            for round in 0..2 {
                let opened = engines.open(&path, &stores).expect("a database");
                for (store, kept) in stores.iter().zip(kept) {
                    let mut rows = opened.rows(store).expect("rows");
                    let kept = kept && cfg!(feature = "rocksdb");
                    assert_eq!(engines.is_persistent(store), kept);
                    let found = rows.get(b"k").expect("get").is_some();
                    assert_eq!(found, kept && round == 1, "{configured:?} {}", store.name);
                    rows.put(b"k", Some(b"v")).expect("put");
                    rows.commit(&[]).expect("commit");
                }
            }
        }
        let engines = Engines::new(Engine::InMemory, Memory::default());
        let told = engines.missing_disk(&stores);
        assert_eq!(
            told.is_some_and(|told| told.starts_with("stores [\"c\"] are in memory")),
            !cfg!(feature = "rocksdb")
        );
        assert_eq!(engines.missing_disk(&stores[..2]), None, "they are meant to be in memory");
        let engines_on_disk = Engines::new(Engine::Persistent, Memory::default());
        assert_eq!(engines_on_disk.missing_disk(&stores).is_some(), !cfg!(feature = "rocksdb"));
        let nothing = engines.open(&folder.path().join("none"), &stores[..2]).expect("no database");
        assert!(!folder.path().join("none").exists());
        assert_eq!(nothing.rows(&stores[2]).is_err(), cfg!(feature = "rocksdb"));
    }
}
