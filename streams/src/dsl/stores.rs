//! Stores of processors, as the user describes them before `add_store`.
//! Given to the builder. Never opened here: a task makes its stores.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::windows::millis;
use crate::record::Data;
use crate::serde::{Serde, SharedSerde};
use crate::store::session::SessionStore;
use crate::store::token::{KeySession, KeyValue, KeyWindow, TimestampedKeyValue, VersionedKeyValue};
use crate::store::window::WindowStore;
use crate::store::{Held, KeyValueStore, StoreParts, TableStore, VersionedStore};
use crate::task::LinkError;
use crate::topology::store::{Changelog, Duplicates, Engine, Store, StoreKind, StoreMaker};

/// Describes stores for processors.
///
/// ```
/// use streams::{StreamsBuilder, Stores};
///
/// let builder = StreamsBuilder::new();
/// let seen = builder.add_store(Stores::key_value::<String, i64>("seen").in_memory());
/// # let _ = seen;
/// ```
pub struct Stores;

impl Stores {
    /// Keys and their latest values, without a cache.
    pub fn key_value<K: Data, V: Data>(name: impl Into<String>) -> StoreBuilder<K, V, KeyValue<K, V>> {
        StoreBuilder::new(name, StoreKind::KeyValue, KeyValueStore::<K, V>::plain)
    }

    /// Keys and their latest values with a time beside each, without a cache.
    pub fn timestamped_key_value<K: Data, V: Data>(
        name: impl Into<String>,
    ) -> StoreBuilder<K, V, TimestampedKeyValue<K, V>> {
        StoreBuilder::new(name, StoreKind::KeyValue, TableStore::<K, V>::table)
    }

    /// Keys and their values over time, so far back from stream time. It never has a cache.
    pub fn versioned<K: Data, V: Data>(
        name: impl Into<String>,
        history: Duration,
    ) -> StoreBuilder<K, V, VersionedKeyValue<K, V>> {
        let kind = StoreKind::Versioned { history_ms: millis(history), segment_ms: None };
        StoreBuilder::new(name, kind, VersionedStore::<K, V>::make)
    }

    /// Values by key and session, kept so long after stream time.
    pub fn session<K: Data, V: Data>(
        name: impl Into<String>,
        retention: Duration,
    ) -> StoreBuilder<K, V, KeySession<K, V>> {
        let kind = StoreKind::Session { retention_ms: millis(retention) };
        StoreBuilder::new(name, kind, SessionStore::<K, V>::plain)
    }

    /// Values by key and time, kept so long after stream time; `size` is how long a window is.
    pub fn window<K: Data, V: Data>(
        name: impl Into<String>,
        retention: Duration,
        size: Duration,
    ) -> StoreBuilder<K, V, KeyWindow<K, V>> {
        let (retention_ms, size_ms) = (millis(retention), millis(size));
        let kind = StoreKind::Window { retention_ms, size_ms, duplicates: Duplicates::Replaced };
        StoreBuilder::new(name, kind, WindowStore::<K, V>::plain)
    }
}

impl Stores {
    /// Rows of a stream-stream join's side on disk, kept so long after stream time; `size` is how long a window is
    /// (`Stores.persistentWindowStore`).
    pub fn persistent_window_store(
        name: impl Into<String>,
        retention: Duration,
        size: Duration,
    ) -> WindowStoreSupplier {
        WindowStoreSupplier::new(name, (retention, size), Engine::Persistent)
    }

    /// The same in memory (`Stores.inMemoryWindowStore`).
    pub fn in_memory_window_store(name: impl Into<String>, retention: Duration, size: Duration) -> WindowStoreSupplier {
        WindowStoreSupplier::new(name, (retention, size), Engine::InMemory)
    }
}

/// A window store without the types of its rows, for one side of a stream-stream join (`WindowBytesStoreSupplier`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowStoreSupplier {
    pub(crate) name: String,
    pub(crate) retention_ms: i64,
    pub(crate) size_ms: i64,
    pub(crate) duplicates: Duplicates,
    pub(crate) engine: Engine,
}

impl WindowStoreSupplier {
    fn new(name: impl Into<String>, (retention, size): (Duration, Duration), engine: Engine) -> WindowStoreSupplier {
        let (retention_ms, size_ms) = (millis(retention), millis(size));
        WindowStoreSupplier { name: name.into(), retention_ms, size_ms, duplicates: Duplicates::Replaced, engine }
    }

    /// Several records of one key and time stay.
    pub fn retain_duplicates(self) -> WindowStoreSupplier {
        WindowStoreSupplier { duplicates: Duplicates::Kept, ..self }
    }
}

type Make<K, V> = fn(StoreParts<'_>, &Option<SharedSerde<K>>, &Option<SharedSerde<V>>) -> Result<Held, LinkError>;

/// A store of a processor, before it is added.
pub struct StoreBuilder<K, V, T> {
    store: Store,
    key: Option<SharedSerde<K>>,
    value: Option<SharedSerde<V>>,
    make: Make<K, V>,
    types: PhantomData<fn() -> T>,
}

impl<K: Data, V: Data, T> StoreBuilder<K, V, T> {
    fn new(name: impl Into<String>, kind: StoreKind, make: Make<K, V>) -> Self {
        let store = Store::new(name, kind).uncached();
        StoreBuilder { store, key: None, value: None, make, types: PhantomData }
    }

    fn with(self, change: impl FnOnce(&mut Store)) -> Self {
        let mut store = self.store;
        change(&mut store);
        StoreBuilder { store, ..self }
    }

    /// With these serdes, where those of the types are not meant.
    pub fn serdes(self, key: impl Serde<K> + 'static, value: impl Serde<V> + 'static) -> Self {
        StoreBuilder { key: Some(Arc::new(key)), value: Some(Arc::new(value)), ..self }
    }

    /// In RocksDB.
    pub fn persistent(self) -> Self {
        self.with(|store| store.engine = Engine::Persistent)
    }

    /// In memory.
    pub fn in_memory(self) -> Self {
        self.with(|store| store.engine = Engine::InMemory)
    }

    /// Behind the record cache: of several writes of a key between two commits only the last reaches the changelog.
    pub fn caching_enabled(self) -> Self {
        self.with(|store| store.cached = true)
    }

    /// Without a changelog: the state is lost with the disk.
    pub fn logging_disabled(self) -> Self {
        self.with(|store| store.changelog = Changelog::Off)
    }

    /// With these settings of the changelog topic.
    pub fn logging(self, config: BTreeMap<String, String>) -> Self {
        self.with(|store| store.changelog = Changelog::Own(config))
    }

    pub(crate) fn store(self) -> Store {
        let (key, value, make) = (self.key, self.value, self.make);
        self.store.made_by(StoreMaker::new(move |parts| make(parts, &key, &value)))
    }
}
