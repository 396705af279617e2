//! How a table or an aggregate is kept: under which name, where, for how long, with which changelog.
//! Given to `table`, `count` and their like; a text is a name, `()` leaves all to Kafka Streams' defaults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::windows::millis;
use crate::graph::Graph;
use crate::record::Data;
use crate::serde::{Serde, SharedSerde};
use crate::state::window::{Index, Layout};
use crate::store::session::SessionStore;
use crate::store::window::TableWindowStore;
use crate::store::{TableStore, VersionedStore};
use crate::topology::store::{Changelog, Engine, Store, StoreKind, StoreMaker};

/// How a table is kept.
///
/// ```
/// use std::time::Duration;
/// use streams::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let words = builder.stream::<String, String>("words").group_by_key();
/// words.count("counts");
/// words.count(Materialized::named("counts-at-once").in_memory().caching_disabled());
/// let minutes = TimeWindows::of_size(Duration::from_secs(60)).grace(Duration::ZERO);
/// words.windowed_by(minutes).count(Materialized::named("counts-of-an-hour").retention(Duration::from_secs(3600)));
/// let topology = builder.build()?;
/// assert_eq!(topology.stores().len(), 3);
/// # Ok::<(), streams::TopologyError>(())
/// ```
pub struct Materialized<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) key: Option<SharedSerde<K>>,
    pub(crate) value: Option<SharedSerde<V>>,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) origin: Origin,
    engine: Engine,
    changelog: Changelog,
    cached: bool,
    versioned: Option<(i64, Option<i64>)>,
    layout: Layout,
}

impl<K, V> Clone for Materialized<K, V> {
    fn clone(&self) -> Materialized<K, V> {
        Materialized {
            name: self.name.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            retention_ms: self.retention_ms,
            origin: self.origin,
            engine: self.engine,
            changelog: self.changelog.clone(),
            cached: self.cached,
            versioned: self.versioned,
            layout: self.layout,
        }
    }
}

/// Whether the caller gave a Materialized: some calls use up one number more then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Given,
    Default,
}

impl<K, V> Materialized<K, V> {
    fn unset(origin: Origin) -> Materialized<K, V> {
        Materialized {
            name: None,
            key: None,
            value: None,
            retention_ms: None,
            origin,
            engine: Engine::Configured,
            changelog: Changelog::Own(BTreeMap::new()),
            cached: true,
            versioned: None,
            layout: Layout::KeyFirst,
        }
    }

    /// In a store of that name, which can be queried.
    pub fn named(name: impl Into<String>) -> Materialized<K, V> {
        Materialized { name: Some(name.into()), ..Materialized::unset(Origin::Given) }
    }

    /// With these serdes.
    pub fn with(key: impl Serde<K> + 'static, value: impl Serde<V> + 'static) -> Materialized<K, V> {
        Materialized::unset(Origin::Given).serdes(key, value)
    }

    /// With these serdes too.
    pub fn serdes(self, key: impl Serde<K> + 'static, value: impl Serde<V> + 'static) -> Materialized<K, V> {
        Materialized { key: Some(Arc::new(key)), value: Some(Arc::new(value)), ..self }
    }

    /// With this serde of the values; keys have that of what is materialized.
    pub fn serde(self, value: impl Serde<V> + 'static) -> Materialized<K, V> {
        Materialized { value: Some(Arc::new(value)), ..self }
    }

    /// In RocksDB.
    pub fn persistent(self) -> Materialized<K, V> {
        Materialized { engine: Engine::Persistent, ..self }
    }

    /// In memory.
    pub fn in_memory(self) -> Materialized<K, V> {
        Materialized { engine: Engine::InMemory, ..self }
    }

    /// Without the record cache: each change is handed on.
    pub fn caching_disabled(self) -> Materialized<K, V> {
        Materialized { cached: false, ..self }
    }

    /// Without a changelog: the state is lost with the disk.
    pub fn logging_disabled(self) -> Materialized<K, V> {
        Materialized { changelog: Changelog::Off, ..self }
    }

    /// With these settings of the changelog topic.
    pub fn logging(self, config: BTreeMap<String, String>) -> Materialized<K, V> {
        Materialized { changelog: Changelog::Own(config), ..self }
    }

    /// Keeps windows that long after stream time.
    pub fn retention(self, retention: Duration) -> Materialized<K, V> {
        Materialized { retention_ms: Some(millis(retention)), ..self }
    }

    /// Keeps each key's values of so long a time, in segments of that length (KIP-889).
    pub fn versioned(self, history: Duration, segment: Option<Duration>) -> Materialized<K, V> {
        Materialized {
            versioned: Some((millis(history), segment.map(millis))),
            cached: false,
            engine: Engine::Persistent,
            ..self
        }
    }

    pub(crate) fn is_versioned(&self) -> bool {
        self.versioned.is_some()
    }

    /// The name of the store if the user gave one.
    pub(crate) fn queryable(&self) -> Option<String> {
        self.name.clone()
    }
}

impl<K: Data, V: Data> Materialized<K, V> {
    /// With the serdes that are known from elsewhere, where none were given.
    pub(crate) fn or_serdes(self, key: &Option<SharedSerde<K>>, value: &Option<SharedSerde<V>>) -> Materialized<K, V> {
        let (key, value) = (self.key.clone().or(key.clone()), self.value.clone().or(value.clone()));
        Materialized { key, value, ..self }
    }

    /// With rows by time, as windows are kept that are emitted when they close. Windows of fixed length are cached all the
    /// same (WindowStoreMaterializer), which shows: the rows that are read have not seen the newest time.
    pub(crate) fn time_first(self, index: Index) -> Materialized<K, V> {
        let cached = self.cached && index == Index::None;
        Materialized { layout: Layout::TimeFirst { index }, cached, ..self }
    }

    /// The store; a name is made, and a number used up, where there is none (MaterializedInternal).
    pub(crate) fn store(&self, graph: &mut Graph, prefix: &str, kind: StoreKind) -> Store {
        let name = match &self.name {
            Some(name) => graph.checked(name),
            None => graph.new_store_name(prefix),
        };
        self.named_store(name, kind)
    }

    pub(crate) fn named_store(&self, name: String, kind: StoreKind) -> Store {
        let kind = match (kind, self.versioned) {
            (StoreKind::KeyValue, Some((history_ms, segment_ms))) => StoreKind::Versioned { history_ms, segment_ms },
            (kind, _) => kind,
        };
        let maker = self.maker(&kind);
        Store {
            engine: self.engine,
            changelog: self.changelog.clone(),
            cached: self.cached,
            maker,
            ..Store::new(name, kind)
        }
    }

    /// Makes the typed store of that kind.
    fn maker(&self, kind: &StoreKind) -> Option<StoreMaker> {
        let (key, value) = (self.key.clone(), self.value.clone());
        match kind {
            StoreKind::KeyValue => Some(StoreMaker::new(move |parts| TableStore::<K, V>::table(parts, &key, &value))),
            StoreKind::Window { .. } => {
                let layout = self.layout;
                Some(StoreMaker::new(move |parts| TableWindowStore::<K, V>::table(parts, layout, &key, &value)))
            }
            StoreKind::Session { .. } => {
                let layout = self.layout;
                Some(StoreMaker::new(move |parts| SessionStore::<K, V>::table(parts, layout, &key, &value)))
            }
            StoreKind::Versioned { .. } => {
                Some(StoreMaker::new(move |parts| VersionedStore::<K, V>::make(parts, &key, &value)))
            }
            _ => None,
        }
    }
}

impl<K, V> From<()> for Materialized<K, V> {
    fn from((): ()) -> Materialized<K, V> {
        Materialized::unset(Origin::Default)
    }
}

impl<K, V> From<&str> for Materialized<K, V> {
    fn from(name: &str) -> Materialized<K, V> {
        Materialized::named(name)
    }
}
