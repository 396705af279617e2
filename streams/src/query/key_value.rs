//! Stores of keys and values, read from outside (Java: `ReadOnlyKeyValueStore`).
//!
//! Made by `KafkaStreams::store`. The store of a table or an aggregate is read as a plain one too, its times left out.

use std::cell::RefCell;
use std::rc::Rc;

use super::ask::Find;
use super::{Asked, AskedRows, Asker, Position, Queryable, unstamped};
use crate::record::Data;
use crate::serde::{Serde, bytes_of};
use crate::state::Order;
use crate::store::page::{Between, Page, PageFrom};
use crate::store::token::{KeyValue, TimestampedKeyValue};
use crate::store::{KeyValueStore, Stamped, TableStore};
use crate::task::Stores;
use crate::task::errors::Failure;

/// One part of a store of keys and values.
pub(crate) trait KeyValueReads<K, S> {
    fn get(&self, key: &K) -> Result<Option<S>, Failure>;
    fn range(&self, keys: Between<'_, K>, order: Order, from: PageFrom<'_>) -> Result<Page<(K, S)>, Failure>;
    fn prefix(&self, prefix: &[u8], from: PageFrom<'_>) -> Result<Page<(K, S)>, Failure>;
    fn approximate_len(&self) -> u64;
}

impl<K: Data, S: Data> KeyValueReads<K, S> for Rc<RefCell<KeyValueStore<K, S>>> {
    fn get(&self, key: &K) -> Result<Option<S>, Failure> {
        self.borrow().peek(key)
    }

    fn range(&self, keys: Between<'_, K>, order: Order, from: PageFrom<'_>) -> Result<Page<(K, S)>, Failure> {
        self.borrow().range_page(keys, order, from)
    }

    fn prefix(&self, prefix: &[u8], from: PageFrom<'_>) -> Result<Page<(K, S)>, Failure> {
        self.borrow().prefix_page(prefix, Order::Ascending, from)
    }

    fn approximate_len(&self) -> u64 {
        self.borrow().approximate_len()
    }
}

/// A table's store without its times.
struct Unstamped<K, V>(Rc<RefCell<TableStore<K, V>>>);

impl<K: Data, V: Data> KeyValueReads<K, V> for Unstamped<K, V> {
    fn get(&self, key: &K) -> Result<Option<V>, Failure> {
        Ok(self.0.get(key)?.map(|stamped| stamped.value))
    }

    fn range(&self, keys: Between<'_, K>, order: Order, from: PageFrom<'_>) -> Result<Page<(K, V)>, Failure> {
        Ok(unstamped(self.0.range(keys, order, from)?))
    }

    fn prefix(&self, prefix: &[u8], from: PageFrom<'_>) -> Result<Page<(K, V)>, Failure> {
        Ok(unstamped(self.0.prefix(prefix, from)?))
    }

    fn approximate_len(&self) -> u64 {
        self.0.approximate_len()
    }
}

type Found<K, S> = Box<dyn KeyValueReads<K, S>>;

/// A store of keys and values, read from outside: all of its partitions that the application has here, as one.
///
/// ```no_run
/// use streams::{KafkaStreams, KeyValue, Order, QueryError};
///
/// fn report(app: &KafkaStreams) -> Result<(), QueryError> {
///     let counts = app.store::<KeyValue<String, i64>>("counts")?;
///     println!("kafka: {:?}", counts.get("kafka").wait()?);
///     for row in counts.all(Order::Ascending) {
///         let (word, count) = row?;
///         println!("{word}: {count}");
///     }
///     Ok(())
/// }
/// ```
///
/// Values of a [`TimestampedKeyValue`] are [`Stamped`].
#[derive(Clone)]
pub struct ReadOnlyKeyValue<K, S> {
    asker: Asker,
    find: Find<Found<K, S>>,
}

impl<K: Data + Send + Sync, V: Data + Send> Queryable for KeyValue<K, V> {
    type ReadOnly = ReadOnlyKeyValue<K, V>;

    fn read_only(asker: Asker) -> ReadOnlyKeyValue<K, V> {
        let find = |stores: &Stores, name: &str| -> Option<Found<K, V>> {
            if let Some(plain) = stores.get::<KeyValueStore<K, V>>(name) {
                return Some(Box::new(plain));
            }
            Some(Box::new(Unstamped(stores.get::<TableStore<K, V>>(name)?)))
        };
        ReadOnlyKeyValue { asker, find }
    }
}

impl<K: Data + Send + Sync, V: Data + Send> Queryable for TimestampedKeyValue<K, V> {
    type ReadOnly = ReadOnlyKeyValue<K, Stamped<V>>;

    fn read_only(asker: Asker) -> ReadOnlyKeyValue<K, Stamped<V>> {
        let find = |stores: &Stores, name: &str| -> Option<Found<K, Stamped<V>>> {
            Some(Box::new(stores.get::<TableStore<K, V>>(name)?))
        };
        ReadOnlyKeyValue { asker, find }
    }
}

impl<K: Data + Send + Sync, S: Data + Send> ReadOnlyKeyValue<K, S> {
    /// The value of a key; a text may be given as a `&str`. Of a key whose partition is not here there is none either:
    /// `query_metadata_for_key` says where it is, and `with_partition` makes its absence an error.
    pub fn get<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q) -> Asked<Option<S>> {
        let key = key.to_owned();
        self.asker.ask_one(self.find, move |store| store.get(&key))
    }

    /// The rows from one key to another, both included (None is open), in the order of their bytes, partition by partition.
    pub fn range<Q: ToOwned<Owned = K> + ?Sized>(
        &self,
        from: Option<&Q>,
        to: Option<&Q>,
        order: Order,
    ) -> AskedRows<(K, S)> {
        let (from, to) = (from.map(Q::to_owned), to.map(Q::to_owned));
        self.asker.ask_rows(self.find, move |store, page| store.range((from.as_ref(), to.as_ref()), order, page))
    }

    /// All rows, in the order of their keys' bytes, partition by partition.
    pub fn all(&self, order: Order) -> AskedRows<(K, S)> {
        self.asker.ask_rows(self.find, move |store, page| store.range((None, None), order, page))
    }

    /// The rows whose keys begin with the bytes that `serde` makes of the prefix.
    pub fn prefix_scan<P>(&self, prefix: &P, serde: impl Serde<P>) -> AskedRows<(K, S)> {
        match bytes_of(&serde, prefix) {
            Ok(bytes) => self.asker.ask_rows(self.find, move |store, page| store.prefix(&bytes, page)),
            Err(error) => AskedRows::failed(self.asker.failed(error)),
        }
    }

    /// About how many rows there are; those that wait in the cache do not count.
    pub fn approximate_num_entries(&self) -> Asked<u64> {
        let parts = self.asker.ask(self.find, |store| Ok(store.approximate_len()));
        parts.map(|parts| parts.into_iter().fold(0, u64::saturating_add))
    }

    /// How far the store is: a bound for a later query.
    pub fn position(&self) -> Asked<Position> {
        self.asker.position()
    }
}
