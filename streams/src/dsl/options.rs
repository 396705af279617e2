//! Settings of operators as values: a text is enough where a name is all there is to say.
//! Given to the calls of the DSL. Never checked here: `graph` checks names, the runtime serdes.

use std::sync::Arc;
use std::time::Duration;

use super::stores::WindowStoreSupplier;
use crate::graph::OffsetReset;
use crate::op::edge::{Partitioner, TimestampExtractor};
use crate::record::Record;
use crate::serde::{Serde, SharedSerde};
use crate::task::settings::TimestampPolicy;

/// A name for an operator; `()` for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named(pub(crate) Option<String>);

impl From<()> for Named {
    fn from((): ()) -> Named {
        Named(None)
    }
}

impl From<&str> for Named {
    fn from(name: &str) -> Named {
        Named(Some(name.to_owned()))
    }
}

/// The topics of a stream: one, several, or all that match a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// These.
    Names(Vec<String>),
    /// All whose whole name matches.
    Pattern(String),
}

impl From<&str> for Topics {
    fn from(name: &str) -> Topics {
        Topics::Names(vec![name.to_owned()])
    }
}

impl Topics {
    /// All topics whose whole name matches.
    pub fn pattern(pattern: impl Into<String>) -> Topics {
        Topics::Pattern(pattern.into())
    }
}

impl From<String> for Topics {
    fn from(name: String) -> Topics {
        Topics::Names(vec![name])
    }
}

impl From<Vec<String>> for Topics {
    fn from(names: Vec<String>) -> Topics {
        Topics::Names(names)
    }
}

impl From<&[&str]> for Topics {
    fn from(names: &[&str]) -> Topics {
        Topics::Names(names.iter().map(|name| (*name).to_owned()).collect())
    }
}

impl<const N: usize> From<[&str; N]> for Topics {
    fn from(names: [&str; N]) -> Topics {
        Topics::Names(names.iter().map(|name| (*name).to_owned()).collect())
    }
}

macro_rules! serdes {
    ($options:ident) => {
        impl<K, V> $options<K, V> {
            /// With these serdes.
            pub fn with(key: impl Serde<K> + 'static, value: impl Serde<V> + 'static) -> Self {
                $options { key: Some(Arc::new(key)), value: Some(Arc::new(value)), ..Self::unset() }
            }

            /// With that name.
            pub fn named(self, name: impl Into<String>) -> Self {
                $options { name: Some(name.into()), ..self }
            }
        }

        impl<K, V> From<&str> for $options<K, V> {
            fn from(name: &str) -> Self {
                $options::unset().named(name)
            }
        }

        impl<K, V> From<()> for $options<K, V> {
            fn from((): ()) -> Self {
                $options::unset()
            }
        }
    };
}

/// How a topic is read.
pub struct Consumed<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) key: Option<SharedSerde<K>>,
    pub(crate) value: Option<SharedSerde<V>>,
    pub(crate) timestamps: Option<TimestampExtractor<K, V>>,
    pub(crate) policy: Option<TimestampPolicy>,
    pub(crate) reset: Option<OffsetReset>,
}

serdes!(Consumed);

impl<K, V> Consumed<K, V> {
    pub(crate) fn unset() -> Consumed<K, V> {
        Consumed { name: None, key: None, value: None, timestamps: None, policy: None, reset: None }
    }

    /// The time of a record, from it and the partition's time so far; a negative one leaves the record out.
    pub fn timestamps(self, extractor: impl Fn(&Record<K, V>, i64) -> i64 + Send + Sync + 'static) -> Consumed<K, V> {
        Consumed { timestamps: Some(Arc::new(extractor)), ..self }
    }

    /// The time of a record, from its value; a null has the time that it came with.
    pub fn timestamps_of(self, extractor: impl Fn(&V) -> i64 + Send + Sync + 'static) -> Consumed<K, V> {
        self.timestamps(move |record, _| record.value.as_ref().map_or(record.timestamp, &extractor))
    }

    /// What happens to a record without a valid time.
    pub fn timestamp_policy(self, policy: TimestampPolicy) -> Consumed<K, V> {
        Consumed { policy: Some(policy), ..self }
    }

    /// Where to start without an offset.
    pub fn offset_reset(self, reset: OffsetReset) -> Consumed<K, V> {
        Consumed { reset: Some(reset), ..self }
    }
}

/// How a topic is written.
pub struct Produced<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) key: Option<SharedSerde<K>>,
    pub(crate) value: Option<SharedSerde<V>>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}

serdes!(Produced);

impl<K, V> Produced<K, V> {
    pub(crate) fn unset() -> Produced<K, V> {
        Produced { name: None, key: None, value: None, partitioner: None }
    }

    /// Which partitions a record goes to.
    pub fn partitioner(
        self,
        partitioner: impl Fn(&str, Option<&K>, Option<&V>, u32) -> Option<Vec<u32>> + Send + Sync + 'static,
    ) -> Produced<K, V> {
        Produced { partitioner: Some(Arc::new(partitioner)), ..self }
    }
}

/// How records are grouped; the name is that of the repartition topic.
pub struct Grouped<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) key: Option<SharedSerde<K>>,
    pub(crate) value: Option<SharedSerde<V>>,
}

serdes!(Grouped);

impl<K, V> Grouped<K, V> {
    pub(crate) fn unset() -> Grouped<K, V> {
        Grouped { name: None, key: None, value: None }
    }
}

/// How a stream is repartitioned; the name is that of the topic.
pub struct Repartitioned<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) key: Option<SharedSerde<K>>,
    pub(crate) value: Option<SharedSerde<V>>,
    pub(crate) partitions: Option<u32>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}

serdes!(Repartitioned);

impl<K, V> Repartitioned<K, V> {
    pub(crate) fn unset() -> Repartitioned<K, V> {
        Repartitioned { name: None, key: None, value: None, partitions: None, partitioner: None }
    }

    /// That many partitions.
    pub fn partitions(self, partitions: u32) -> Repartitioned<K, V> {
        Repartitioned { partitions: Some(partitions), ..self }
    }

    /// Which partitions a record goes to.
    pub fn partitioner(
        self,
        partitioner: impl Fn(&str, Option<&K>, Option<&V>, u32) -> Option<Vec<u32>> + Send + Sync + 'static,
    ) -> Repartitioned<K, V> {
        Repartitioned { partitioner: Some(Arc::new(partitioner)), ..self }
    }
}

/// How two streams, or a stream and a table, are joined; `()` for nothing special. For streams it is Java's `StreamJoined`.
pub struct Joined<K, L, R> {
    pub(crate) name: Option<String>,
    pub(crate) store_name: Option<String>,
    pub(crate) this_store: Option<WindowStoreSupplier>,
    pub(crate) other_store: Option<WindowStoreSupplier>,
    pub(crate) key: Option<SharedSerde<K>>,
    pub(crate) left: Option<SharedSerde<L>>,
    pub(crate) right: Option<SharedSerde<R>>,
    pub(crate) grace: Option<Duration>,
}

impl<K, L, R> Joined<K, L, R> {
    /// With these serdes.
    pub fn with(
        key: impl Serde<K> + 'static,
        left: impl Serde<L> + 'static,
        right: impl Serde<R> + 'static,
    ) -> Joined<K, L, R> {
        Joined {
            key: Some(Arc::new(key)),
            left: Some(Arc::new(left)),
            right: Some(Arc::new(right)),
            ..Joined::from(())
        }
    }

    /// The name of the join's nodes.
    pub fn named(self, name: impl Into<String>) -> Joined<K, L, R> {
        Joined { name: Some(name.into()), ..self }
    }

    /// The base of the names of a stream-stream join's stores.
    pub fn store_name(self, name: impl Into<String>) -> Joined<K, L, R> {
        Joined { store_name: Some(name.into()), ..self }
    }

    /// Where the records of this side of a stream-stream join are kept (`StreamJoined.withThisStoreSupplier`). The store must
    /// retain duplicates, for as long as the join's windows and their grace; `build` refuses any other.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use streams::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (clicks, orders) = (builder.stream::<String, String>("clicks"), builder.stream::<String, String>("orders"));
    /// let minute = Duration::from_secs(60);
    /// let store = |name| Stores::in_memory_window_store(name, 2 * minute, 2 * minute).retain_duplicates();
    /// let joined = Joined::from(()).with_this_store_supplier(store("clicks")).with_other_store_supplier(store("orders"));
    /// let windows = JoinWindows::of_time_difference_no_grace(minute);
    /// clicks.join(&orders, |click: &String, order: &String| format!("{click} -> {order}"), windows, joined).to("out");
    /// assert!(builder.build()?.describe().contains("(stores: [clicks])"));
    /// # Ok::<(), streams::TopologyError>(())
    /// ```
    pub fn with_this_store_supplier(self, store: WindowStoreSupplier) -> Joined<K, L, R> {
        Joined { this_store: Some(store), ..self }
    }

    /// The same of the other side (`StreamJoined.withOtherStoreSupplier`).
    pub fn with_other_store_supplier(self, store: WindowStoreSupplier) -> Joined<K, L, R> {
        Joined { other_store: Some(store), ..self }
    }

    /// How long a record waits for late changes of a versioned table.
    pub fn grace(self, grace: Duration) -> Joined<K, L, R> {
        Joined { grace: Some(grace), ..self }
    }
}

impl<K, L, R> From<()> for Joined<K, L, R> {
    fn from((): ()) -> Joined<K, L, R> {
        let (this_store, other_store) = (None, None);
        Joined {
            name: None,
            store_name: None,
            this_store,
            other_store,
            key: None,
            left: None,
            right: None,
            grace: None,
        }
    }
}

impl<K, L, R> From<&str> for Joined<K, L, R> {
    fn from(name: &str) -> Joined<K, L, R> {
        Joined::from(()).named(name)
    }
}

/// The partition of a key in a topic of so many; None is for the hash of the key to say.
pub type KeyPartitioner<K> = Arc<dyn Fn(&str, Option<&K>, u32) -> Option<u32> + Send + Sync>;

/// How two tables are joined by a foreign key; `()` for nothing special, a text is the name of the join's nodes.
///
/// A table whose topic was not written by the hash of its keys needs the partitioner that it was written by: subscriptions go
/// to where the other table's rows are, answers to where the rows of this one are.
///
/// ```
/// use streams::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let (orders, people) = (builder.table::<i64, String>("orders", ()), builder.table::<String, String>("people", ()));
/// // Orders are where their number says.
/// let joined = TableJoined::from("named").with_partitioner(|_topic, order, count| order.map(|order| *order as u32 % count));
/// let person = |_: &i64, order: &String| Some(order.clone());
/// let name = |_: &String, person: &String| person.clone();
/// orders.join_foreign_key_with(&people, person, name, joined, ()).to_stream().to("out");
/// assert!(builder.build()?.describe().contains("named-subscription-registration-sink"));
/// # Ok::<(), streams::TopologyError>(())
/// ```
pub struct TableJoined<K, F> {
    pub(crate) name: Option<String>,
    pub(crate) partitioner: Option<KeyPartitioner<K>>,
    pub(crate) other_partitioner: Option<KeyPartitioner<F>>,
}

impl<K, F> TableJoined<K, F> {
    /// The name of the join's nodes.
    pub fn with_name(self, name: impl Into<String>) -> TableJoined<K, F> {
        TableJoined { name: Some(name.into()), ..self }
    }

    /// Where the rows of this table are: the partition of a key, of so many of the topic; None is for the hash of the key to
    /// say.
    pub fn with_partitioner(
        self,
        partitioner: impl Fn(&str, Option<&K>, u32) -> Option<u32> + Send + Sync + 'static,
    ) -> TableJoined<K, F> {
        TableJoined { partitioner: Some(Arc::new(partitioner)), ..self }
    }

    /// Where the rows of the other table are.
    pub fn with_other_partitioner(
        self,
        partitioner: impl Fn(&str, Option<&F>, u32) -> Option<u32> + Send + Sync + 'static,
    ) -> TableJoined<K, F> {
        TableJoined { other_partitioner: Some(Arc::new(partitioner)), ..self }
    }
}

impl<K, F> From<()> for TableJoined<K, F> {
    fn from((): ()) -> TableJoined<K, F> {
        TableJoined { name: None, partitioner: None, other_partitioner: None }
    }
}

impl<K, F> From<&str> for TableJoined<K, F> {
    fn from(name: &str) -> TableJoined<K, F> {
        TableJoined::from(()).with_name(name)
    }
}
