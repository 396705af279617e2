//! Versioned stores, read from outside (Java: `VersionedKeyQuery`, `MultiVersionedKeyQuery`, KIP-960 and KIP-968).
//!
//! Made by `KafkaStreams::store`.

use std::cell::RefCell;
use std::rc::Rc;

use super::ask::Find;
use super::{Asked, Asker, Position, Queryable};
use crate::record::Data;
use crate::state::Order;
use crate::store::token::VersionedKeyValue;
use crate::store::versioned::{VersionedRecord, VersionedStore};
use crate::task::Stores;

type Found<K, V> = Rc<RefCell<VersionedStore<K, V>>>;

/// A versioned store, read from outside: all of its partitions that the application has here, as one.
///
/// ```no_run
/// use streams::{KafkaStreams, Order, QueryError, VersionedKeyValue};
///
/// fn report(app: &KafkaStreams) -> Result<(), QueryError> {
///     let prices = app.store::<VersionedKeyValue<String, f64>>("prices")?;
///     println!("now: {:?}", prices.get("milk").wait()?);
///     println!("then: {:?}", prices.get_as_of("milk", 1_700_000_000_000).wait()?);
///     for price in prices.history("milk", 0, i64::MAX, Order::Ascending).wait()? {
///         println!("{} from {} to {:?}", price.value, price.timestamp, price.valid_to);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct ReadOnlyVersioned<K, V> {
    asker: Asker,
    find: Find<Found<K, V>>,
}

impl<K: Data + Send + Sync, V: Data + Send> Queryable for VersionedKeyValue<K, V> {
    type ReadOnly = ReadOnlyVersioned<K, V>;

    fn read_only(asker: Asker) -> ReadOnlyVersioned<K, V> {
        ReadOnlyVersioned { asker, find: |stores: &Stores, name: &str| stores.get::<VersionedStore<K, V>>(name) }
    }
}

impl<K: Data + Send + Sync, V: Data + Send> ReadOnlyVersioned<K, V> {
    /// The latest value of a key.
    pub fn get<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q) -> Asked<Option<VersionedRecord<V>>> {
        let key = key.to_owned();
        self.asker.ask_one(self.find, move |store| store.borrow().latest(&key))
    }

    /// The value that a key had at a time; out of the store's history only the latest value is known.
    pub fn get_as_of<Q: ToOwned<Owned = K> + ?Sized>(
        &self,
        key: &Q,
        timestamp: i64,
    ) -> Asked<Option<VersionedRecord<V>>> {
        let key = key.to_owned();
        self.asker.ask_one(self.find, move |store| store.borrow().as_of(&key, timestamp))
    }

    /// The values that a key had within these times, both included, by time.
    pub fn history<Q: ToOwned<Owned = K> + ?Sized>(
        &self,
        key: &Q,
        from: i64,
        to: i64,
        order: Order,
    ) -> Asked<Vec<VersionedRecord<V>>> {
        let key = key.to_owned();
        let parts = self.asker.ask(self.find, move |store| store.borrow().history(&key, from, to, order));
        parts.map(|parts| parts.into_iter().flatten().collect())
    }

    /// How far the store is: a bound for a later query.
    pub fn position(&self) -> Asked<Position> {
        self.asker.position()
    }
}
