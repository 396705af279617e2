//! Stores of windows, read from outside (Java: `ReadOnlyWindowStore`).
//!
//! Made by `KafkaStreams::store`. The store of a windowed aggregate is read as a plain one too, its times left out.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::ask::Find;
use super::{Asked, AskedRows, Asker, Position, Queryable, unstamped};
use crate::record::{Data, Windowed};
use crate::state::Order;
use crate::store::Stamped;
use crate::store::page::{Between, Page, PageFrom};
use crate::store::token::KeyWindow;
use crate::store::window::{TableWindowStore, WindowStore};
use crate::task::Stores;
use crate::task::errors::Failure;

/// Values by key and time with the time of their last change beside each: the stores of windowed aggregates.
pub struct TimestampedKeyWindow<K, V>(PhantomData<fn() -> (K, V)>);

/// The first and the last start.
type Starts = (i64, i64);
type WindowPage<K, S> = Page<(Windowed<K>, S)>;

/// One part of a store of windows.
pub(crate) trait WindowReads<K, S> {
    fn get(&self, key: &K, start: i64) -> Result<Option<S>, Failure>;
    fn fetch(&self, key: &K, starts: Starts, order: Order, from: PageFrom<'_>) -> Result<Page<(i64, S)>, Failure>;
    fn range(
        &self,
        keys: Between<'_, K>,
        starts: Starts,
        order: Order,
        from: PageFrom<'_>,
    ) -> Result<WindowPage<K, S>, Failure>;
}

impl<K: Data, S: Data> WindowReads<K, S> for Rc<RefCell<WindowStore<K, S>>> {
    fn get(&self, key: &K, start: i64) -> Result<Option<S>, Failure> {
        self.borrow().peek(key, start)
    }

    fn fetch(&self, key: &K, starts: Starts, order: Order, from: PageFrom<'_>) -> Result<Page<(i64, S)>, Failure> {
        self.borrow().fetch_page(key, starts, order, from)
    }

    fn range(
        &self,
        keys: Between<'_, K>,
        starts: Starts,
        order: Order,
        from: PageFrom<'_>,
    ) -> Result<WindowPage<K, S>, Failure> {
        self.borrow().range_page(keys, starts, order, from)
    }
}

/// The store of an aggregate without its times.
struct Unstamped<K, V>(Rc<RefCell<TableWindowStore<K, V>>>);

impl<K: Data, V: Data> WindowReads<K, V> for Unstamped<K, V> {
    fn get(&self, key: &K, start: i64) -> Result<Option<V>, Failure> {
        Ok(self.0.get(key, start)?.map(|stamped| stamped.value))
    }

    fn fetch(&self, key: &K, starts: Starts, order: Order, from: PageFrom<'_>) -> Result<Page<(i64, V)>, Failure> {
        Ok(unstamped(self.0.fetch(key, starts, order, from)?))
    }

    fn range(
        &self,
        keys: Between<'_, K>,
        starts: Starts,
        order: Order,
        from: PageFrom<'_>,
    ) -> Result<WindowPage<K, V>, Failure> {
        Ok(unstamped(self.0.range(keys, starts, order, from)?))
    }
}

type Found<K, S> = Box<dyn WindowReads<K, S>>;

/// A store of windows, read from outside: all of its partitions that the application has here, as one.
///
/// ```no_run
/// use streams::{KafkaStreams, KeyWindow, Order, QueryError};
///
/// fn report(app: &KafkaStreams) -> Result<(), QueryError> {
///     let alarms = app.store::<KeyWindow<String, i64>>("alarms-by-minute")?;
///     for (start, count) in alarms.fetch("boiler", 0, i64::MAX, Order::Descending).wait()? {
///         println!("{start}: {count}");
///     }
///     Ok(())
/// }
/// ```
///
/// Values of a [`TimestampedKeyWindow`] are [`Stamped`].
#[derive(Clone)]
pub struct ReadOnlyWindow<K, S> {
    asker: Asker,
    find: Find<Found<K, S>>,
}

impl<K: Data + Send + Sync, V: Data + Send> Queryable for KeyWindow<K, V> {
    type ReadOnly = ReadOnlyWindow<K, V>;

    fn read_only(asker: Asker) -> ReadOnlyWindow<K, V> {
        let find = |stores: &Stores, name: &str| -> Option<Found<K, V>> {
            if let Some(plain) = stores.get::<WindowStore<K, V>>(name) {
                return Some(Box::new(plain));
            }
            Some(Box::new(Unstamped(stores.get::<TableWindowStore<K, V>>(name)?)))
        };
        ReadOnlyWindow { asker, find }
    }
}

impl<K: Data + Send + Sync, V: Data + Send> Queryable for TimestampedKeyWindow<K, V> {
    type ReadOnly = ReadOnlyWindow<K, Stamped<V>>;

    fn read_only(asker: Asker) -> ReadOnlyWindow<K, Stamped<V>> {
        let find = |stores: &Stores, name: &str| -> Option<Found<K, Stamped<V>>> {
            Some(Box::new(stores.get::<TableWindowStore<K, V>>(name)?))
        };
        ReadOnlyWindow { asker, find }
    }
}

impl<K: Data + Send + Sync, S: Data + Send> ReadOnlyWindow<K, S> {
    /// The value of a key in the window that starts at that time.
    pub fn get<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q, start: i64) -> Asked<Option<S>> {
        let key = key.to_owned();
        self.asker.ask_one(self.find, move |store| store.get(&key, start))
    }

    /// The windows of a key that start from `from` to `to`, both included, by their starts.
    pub fn fetch<Q: ToOwned<Owned = K> + ?Sized>(
        &self,
        key: &Q,
        from: i64,
        to: i64,
        order: Order,
    ) -> AskedRows<(i64, S)> {
        let key = key.to_owned();
        self.asker.ask_rows(self.find, move |store, page| store.fetch(&key, (from, to), order, page))
    }

    /// The windows of the keys from one to another, both included (None is open), that start from `from` to `to`, as they
    /// lie: segment by segment of time, partition by partition.
    pub fn fetch_range<Q: ToOwned<Owned = K> + ?Sized>(
        &self,
        keys: (Option<&Q>, Option<&Q>),
        from: i64,
        to: i64,
        order: Order,
    ) -> AskedRows<(Windowed<K>, S)> {
        let (first, last) = (keys.0.map(Q::to_owned), keys.1.map(Q::to_owned));
        self.asker.ask_rows(self.find, move |store, page| {
            store.range((first.as_ref(), last.as_ref()), (from, to), order, page)
        })
    }

    /// The windows of all keys that start from `from` to `to`, both included.
    pub fn fetch_all(&self, from: i64, to: i64, order: Order) -> AskedRows<(Windowed<K>, S)> {
        self.asker.ask_rows(self.find, move |store, page| store.range((None, None), (from, to), order, page))
    }

    /// All windows.
    pub fn all(&self, order: Order) -> AskedRows<(Windowed<K>, S)> {
        self.fetch_all(0, i64::MAX, order)
    }

    /// How far the store is: a bound for a later query.
    pub fn position(&self) -> Asked<Position> {
        self.asker.position()
    }
}
