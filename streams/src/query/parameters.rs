//! Which stores of which partitions a query reads, and how far they must be (Java: `StoreQueryParameters`, KIP-562;
//! `Position` and `PositionBound`, KIP-796).
//!
//! Given by the user to `KafkaStreams::store`.

use std::collections::BTreeMap;

/// How far records are contained in a store: of each topic and partition that its task reads the offset of the last one
/// that was processed.
///
/// ```
/// use streams::Position;
///
/// let mut seen = Position::new().with("words", 0, 41);
/// seen.merge(&Position::new().with("words", 0, 17).with("words", 1, 5));
/// assert_eq!((seen.offset("words", 0), seen.offset("words", 1)), (Some(41), Some(5)));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<String, BTreeMap<i32, i64>>);

impl Position {
    /// That of a store without records.
    pub fn new() -> Position {
        Position::default()
    }

    /// With the record at that offset, and all before.
    #[must_use]
    pub fn with(mut self, topic: impl Into<String>, partition: i32, offset: i64) -> Position {
        self.reach(topic.into(), partition, offset);
        self
    }

    fn reach(&mut self, topic: String, partition: i32, offset: i64) {
        let known = self.0.entry(topic).or_default().entry(partition).or_insert(offset);
        *known = offset.max(*known);
    }

    /// What either has.
    pub fn merge(&mut self, other: &Position) {
        for (topic, partitions) in &other.0 {
            for (partition, offset) in partitions {
                self.reach(topic.clone(), *partition, *offset);
            }
        }
    }

    /// The last offset of a partition.
    pub fn offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.0.get(topic)?.get(&partition).copied()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a store that is here has all of `bound` that belongs to its partition (Java: `StoreQueryUtils.isPermitted`).
    pub(crate) fn is_up_to(&self, bound: &Position, partition: i32) -> bool {
        let mut wanted = bound.0.iter().filter_map(|(topic, offsets)| Some((topic, *offsets.get(&partition)?)));
        wanted.all(|(topic, offset)| self.offset(topic, partition).is_some_and(|at| at >= offset))
    }
}

/// Which tasks may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Staleness {
    /// Those that run.
    #[default]
    Active,
    /// Copies and those that are being restored too.
    Any,
}

/// Which stores a query reads. A name alone is the whole of it: all partitions that run here.
///
/// ```
/// use streams::{Position, StoreQueryParameters};
///
/// let parameters = StoreQueryParameters::new("counts")
///     .enable_stale_stores()
///     .with_partition(3)
///     .with_position_bound(Position::new().with("words", 3, 41));
/// assert_eq!(parameters.store_name(), "counts");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreQueryParameters {
    pub(crate) store: String,
    pub(crate) staleness: Staleness,
    pub(crate) partition: Option<i32>,
    pub(crate) bound: Position,
}

impl StoreQueryParameters {
    /// All partitions of that store that run here.
    pub fn new(store: impl Into<String>) -> StoreQueryParameters {
        let (staleness, partition, bound) = (Staleness::Active, None, Position::new());
        StoreQueryParameters { store: store.into(), staleness, partition, bound }
    }

    /// Copies answer too (`num.standby.replicas`), and stores that are being restored: what they say may be old.
    #[must_use]
    pub fn enable_stale_stores(self) -> StoreQueryParameters {
        StoreQueryParameters { staleness: Staleness::Any, ..self }
    }

    /// This partition alone; where it is not here, that is an error.
    #[must_use]
    pub fn with_partition(self, partition: i32) -> StoreQueryParameters {
        StoreQueryParameters { partition: Some(partition), ..self }
    }

    /// Stores that do not contain the records up to there are an error.
    #[must_use]
    pub fn with_position_bound(self, bound: Position) -> StoreQueryParameters {
        StoreQueryParameters { bound, ..self }
    }

    /// The store's name.
    pub fn store_name(&self) -> &str {
        &self.store
    }
}

impl From<&str> for StoreQueryParameters {
    fn from(store: &str) -> StoreQueryParameters {
        StoreQueryParameters::new(store)
    }
}

impl From<String> for StoreQueryParameters {
    fn from(store: String) -> StoreQueryParameters {
        StoreQueryParameters::new(store)
    }
}
