//! What a state store is, before it exists: its name, its kind, whether it has a changelog.
//! Made by `dsl` and `graph`; read by the runtime, which makes the store, and by `internal_topics`. Never touches a disk.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::store::{Held, StoreParts};
use crate::task::LinkError;

/// How a store's rows are laid out and how long they live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKind {
    /// A key and its latest value, with a timestamp where the DSL made it.
    KeyValue,
    /// Values by key and window.
    Window {
        /// How long a window is kept after stream time.
        retention_ms: i64,
        /// How long a window is.
        size_ms: i64,
        /// Whether several values of one key and time are kept (stream-stream joins).
        duplicates: Duplicates,
    },
    /// Values by key and session.
    Session {
        /// How long a session is kept after stream time.
        retention_ms: i64,
    },
    /// A key and its values over time.
    Versioned {
        /// How far back values are kept.
        history_ms: i64,
        /// How much time one segment holds; None takes the default.
        segment_ms: Option<i64>,
    },
    /// Records that wait for a time: `suppress` and joins with grace.
    Buffer,
    /// Records of both sides that wait for a match (left and outer stream-stream joins).
    OuterJoin,
    /// Subscriptions of a foreign-key join.
    Subscriptions,
}

/// What happens to a second value of one key and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// Both stay.
    Kept,
    /// The second replaces the first.
    Replaced,
}

/// Where the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// What the configuration says.
    #[default]
    Configured,
    /// RocksDB.
    Persistent,
    /// Memory, filled from the changelog at each start.
    InMemory,
}

/// How a store survives the loss of its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changelog {
    /// A topic of its own, `<application id>-<store>-changelog`, with these settings over the defaults.
    Own(BTreeMap<String, String>),
    /// The topic that the table is read from.
    Source(String),
    /// None: the state is lost with the disk.
    Off,
}

/// One store of a topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: StoreKind,
    /// Where its rows are.
    pub engine: Engine,
    /// Its changelog.
    pub changelog: Changelog,
    /// Whether the record cache stands before it.
    pub cached: bool,
    /// Names of the processors connected to it, in the order of connection.
    pub processors: Vec<String>,
    /// Makes the store of a task, with the types of its keys and values.
    pub maker: Option<StoreMaker>,
}

/// Makes the typed store of a task from its definition and rows.
#[derive(Clone)]
pub struct StoreMaker(Arc<Make>);

type Make = dyn Fn(StoreParts<'_>) -> Result<Held, LinkError> + Send + Sync;

impl StoreMaker {
    /// This closure, called once a task.
    pub fn new(make: impl Fn(StoreParts<'_>) -> Result<Held, LinkError> + Send + Sync + 'static) -> StoreMaker {
        StoreMaker(Arc::new(make))
    }

    /// The store of a task.
    pub fn make(&self, parts: StoreParts<'_>) -> Result<Held, LinkError> {
        (self.0)(parts)
    }
}

impl fmt::Debug for StoreMaker {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("StoreMaker")
    }
}

impl PartialEq for StoreMaker {
    /// Closures cannot be compared; a definition is the same by what else it says.
    fn eq(&self, _other: &StoreMaker) -> bool {
        true
    }
}

impl Eq for StoreMaker {}

impl Store {
    /// A store with a changelog and a cache, on the configured engine, connected to nothing.
    pub fn new(name: impl Into<String>, kind: StoreKind) -> Store {
        Store {
            name: name.into(),
            kind,
            engine: Engine::Configured,
            changelog: Changelog::Own(BTreeMap::new()),
            cached: true,
            processors: Vec::new(),
            maker: None,
        }
    }

    /// The same definition with its types.
    pub fn made_by(mut self, maker: StoreMaker) -> Store {
        self.maker = Some(maker);
        self
    }

    /// The same store without a cache.
    pub(crate) fn uncached(mut self) -> Store {
        self.cached = false;
        self
    }

    /// Whether the other store could be meant by the same name: all but who uses it is equal.
    pub(crate) fn same_as(&self, other: &Store) -> bool {
        self.name == other.name && self.kind == other.kind && self.engine == other.engine
    }

    /// Whether it keeps values over time.
    pub fn is_versioned(&self) -> bool {
        matches!(self.kind, StoreKind::Versioned { .. })
    }
}
