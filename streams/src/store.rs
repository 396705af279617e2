//! Typed stores: what operators and processors work on. Serdes, record cache and changelog over the bytes of `state`.
//! Made once a task from the topology's definitions (`Store::maker`), shared by its nodes as `Rc<RefCell<..>>`. Never
//! forwards a record itself: `TableOutput` does, while nothing is borrowed.
//!
//! The layers are Java's metered, caching and change-logging stores in one: a value is decoded once when it comes into
//! the cache, and encoded once when it leaves it; the same bytes go to the rows and to the changelog.

// What a store counts.
pub(crate) mod tally;
// Decoded values that wait for a flush.
pub mod cache;
// Rows and what waits over them, so many at a time.
pub mod page;
// Keys and their latest values.
pub mod key_value;
// Values by key and window.
pub mod window;
// Values by key and session.
pub mod session;
// Keys and their values over time.
pub mod versioned;
// One side of a stream-stream join, by key and time.
pub mod join_window;
// Records of such a join without a match.
pub mod unmatched;
// Records of a stream-table join that wait for the table.
pub mod waiting;
// Changes of a table that are held back.
pub mod suppress;
// What goes on from a table's store.
pub mod output;
// Stores as processors of the user see them.
pub mod token;

use std::any::Any;
use std::rc::Rc;

pub use cache::{Budget, Eldest};
pub use join_window::JoinWindow;
pub use key_value::{KeyValueStore, Stamped, StampedSerde, TableStore};
pub use output::TableOutput;
pub use suppress::SuppressStore;
pub use tally::Gauge;
pub(crate) use tally::{Call, StoreTally};
pub use unmatched::{OneSide, Unmatched};
pub use versioned::VersionedStore;
pub use waiting::Waiting;

use crate::record::{Change, Record};
use crate::serde::{Part, SharedSerde};
use crate::state::rows::{ChangelogOffsets, Row};
use crate::state::{Rows, StateError};
use crate::task::context::Context;
use crate::task::errors::Failure;
use crate::task::{LinkError, Origin, Settings, TopicId};
use crate::topology::store::Store;

/// What a task does with any of its stores.
pub trait TaskStore {
    /// All rows as the engine has them, in their order.
    fn dump(&self) -> Result<Vec<Row>, StateError>;

    /// Takes over a record of the changelog (or of the source topic that stands for one).
    fn restore(&self, key: Part<'_>, value: Option<Part<'_>>, timestamp: i64) -> Result<(), StateError>;

    /// Writes what waits in the cache, without handing it on; a table's output does both in one.
    fn flush(&self, context: &mut Context) -> Result<(), Failure>;

    /// How many entries of its cache wait to be written.
    fn waiting(&self) -> usize {
        0
    }

    /// Drops what is known besides the rows, such as a cache: from here on the rows change without it.
    fn forget(&self) {}

    /// Makes the rows durable together with how far the changelog is contained in them.
    fn commit(&self, offsets: ChangelogOffsets<'_>) -> Result<(), StateError>;

    /// The changelog offset that was committed last.
    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, StateError>;

    /// About how many bytes of rows wait for a commit.
    fn uncommitted_bytes(&self) -> usize {
        0
    }

    /// What its rows tell of themselves; asked every few seconds.
    fn gauges(&self) -> Vec<Gauge> {
        Vec::new()
    }
}

/// A store of a task: by its type for nodes, and for what the task does with any.
#[derive(Clone)]
pub struct Held {
    /// `Rc<RefCell<the typed store>>`, without its type.
    pub any: Rc<dyn Any>,
    /// The task's side of it.
    pub task: Rc<dyn TaskStore>,
}

impl Held {
    /// A store that both sides share.
    pub fn new<S>(store: S) -> Held
    where
        std::cell::RefCell<S>: TaskStore + 'static,
    {
        let shared = Rc::new(std::cell::RefCell::new(store));
        Held { any: Rc::clone(&shared) as Rc<dyn Any>, task: shared }
    }
}

/// Where a store writes its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangelogTo {
    /// The changelog topic.
    pub topic: TopicId,
    /// The task's partition.
    pub partition: u32,
}

/// What a store is made of.
pub struct StoreParts<'a> {
    /// Its definition.
    pub definition: &'a Store,
    /// Its rows.
    pub rows: Box<dyn Rows>,
    /// Where its changes go, if anywhere.
    pub changelog: Option<ChangelogTo>,
    /// What the caches of the thread may hold together.
    pub budget: Rc<Budget>,
    /// The task's settings.
    pub settings: &'a Settings,
    /// What it counts.
    pub(crate) tally: Rc<StoreTally>,
}

impl StoreParts<'_> {
    /// Whether there is a cache: `statestore.cache.max.bytes=0` means none, not one that is always full.
    pub fn is_cached(&self) -> bool {
        self.definition.cached && !self.budget.is_off()
    }

    /// The serde that was given, or the one known for the type.
    pub fn serde<T: 'static>(&self, given: &Option<SharedSerde<T>>) -> Result<SharedSerde<T>, LinkError> {
        let known = given.clone().or_else(|| self.settings.serde::<T>());
        known.ok_or_else(|| LinkError::NoSerde {
            node: self.definition.name.clone(),
            type_name: std::any::type_name::<T>(),
        })
    }
}

/// What left a cache and goes on to the nodes below.
pub struct Flushed<K, V> {
    /// The change.
    pub record: Record<K, Change<V>>,
    /// Where the record came from that last wrote it.
    pub origin: Origin,
}

/// Whether changes carry the value before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// They do.
    Sent,
    /// Nothing below asked for it.
    Left,
    /// Nothing goes on from a flush at all: the operator hands on what it finds in the store.
    Unforwarded,
}

impl Old {
    /// Whether the row before must be read to write this one: a deletion of what was never written leaves no trace, but
    /// where nothing goes on it is written all the same (CachingKeyValueStore.putAndMaybeForward and its like).
    pub(crate) fn asks(self, is_deletion: bool) -> bool {
        match self {
            Old::Sent => true,
            Old::Left => is_deletion,
            Old::Unforwarded => false,
        }
    }
}

/// A store that may have a cache, as the budget of the thread sees it.
pub trait Evicts {
    /// Whether an operator hands on what leaves the cache: then only that operator may write it.
    fn hands_on(&self) -> bool;

    /// Moves the entry that was not used for the longest time to the front of those that wait, if it waits.
    fn begin_eviction(&mut self) -> Eldest;

    /// Drops the entry that was not used for the longest time.
    fn evict(&mut self);

    /// How many entries wait.
    fn waiting(&self) -> usize;

    /// Writes the entry that waits longest; nothing goes on.
    fn write_next(&mut self, context: &mut Context) -> Result<(), Failure>;

    /// Writes all that waits; nothing goes on.
    fn write_waiting(&mut self, context: &mut Context) -> Result<(), Failure> {
        (0..self.waiting()).try_for_each(|_| self.write_next(context))
    }

    /// After a put of a processor of the user: makes room if the caches of the thread hold too much (ThreadCache.maybeEvict).
    fn make_room(&mut self, context: &mut Context) -> Result<(), Failure> {
        if self.hands_on() {
            return Ok(());
        }
        while context.budget().is_exceeded() {
            match self.begin_eviction() {
                Eldest::Nothing => return Ok(()),
                Eldest::Written => {}
                Eldest::Waits => self.write_waiting(context)?,
            }
            self.evict();
        }
        Ok(())
    }
}

/// A store with a cache in front.
pub trait Cached: Evicts + 'static {
    /// The key that goes on.
    type Key;
    /// The value that goes on.
    type Value;

    /// Tells that an operator hands on what leaves the cache.
    fn hand_on(&mut self);

    /// Whether there is a cache.
    fn is_cached(&self) -> bool;

    /// Writes the entry that waits longest; None if nothing goes on from it.
    #[allow(clippy::type_complexity, reason = "one answer of two types that the trait names")]
    fn flush_next(
        &mut self,
        old: Old,
        context: &mut Context,
    ) -> Result<Option<Flushed<Self::Key, Self::Value>>, Failure>;
}
