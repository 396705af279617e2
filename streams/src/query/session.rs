//! Stores of sessions, read from outside (Java: `ReadOnlySessionStore`).
//!
//! Made by `KafkaStreams::store`.

use std::cell::RefCell;
use std::rc::Rc;

use super::ask::Find;
use super::{Asked, AskedRows, Asker, Position, Queryable};
use crate::record::{Data, Window, Windowed};
use crate::state::Order;
use crate::state::session::Meeting;
use crate::store::session::SessionStore;
use crate::store::token::KeySession;
use crate::task::Stores;

type Found<K, V> = Rc<RefCell<SessionStore<K, V>>>;

/// A store of sessions, read from outside: all of its partitions that the application has here, as one.
///
/// ```no_run
/// use streams::{KafkaStreams, KeySession, Order, QueryError};
///
/// fn report(app: &KafkaStreams) -> Result<(), QueryError> {
///     let visits = app.store::<KeySession<String, i64>>("visits")?;
///     for (session, clicks) in visits.fetch("alice", Order::Ascending).wait()? {
///         println!("{} to {}: {clicks}", session.start, session.end);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct ReadOnlySession<K, V> {
    asker: Asker,
    find: Find<Found<K, V>>,
}

impl<K: Data + Send + Sync, V: Data + Send> Queryable for KeySession<K, V> {
    type ReadOnly = ReadOnlySession<K, V>;

    fn read_only(asker: Asker) -> ReadOnlySession<K, V> {
        ReadOnlySession { asker, find: |stores: &Stores, name: &str| stores.get::<SessionStore<K, V>>(name) }
    }
}

impl<K: Data + Send + Sync, V: Data + Send> ReadOnlySession<K, V> {
    /// The value of the session of a key from one time to another.
    pub fn fetch_session<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q, start: i64, end: i64) -> Asked<Option<V>> {
        let (key, session) = (key.to_owned(), Window { start, end });
        self.asker.ask_one(self.find, move |store| store.borrow().peek(&key, session))
    }

    /// All sessions of a key, by their ends.
    pub fn fetch<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q, order: Order) -> AskedRows<(Window, V)> {
        self.find_sessions(key, 0, i64::MAX, order)
    }

    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or earlier, by their ends.
    pub fn find_sessions<Q: ToOwned<Owned = K> + ?Sized>(
        &self,
        key: &Q,
        earliest_end: i64,
        latest_start: i64,
        order: Order,
    ) -> AskedRows<(Window, V)> {
        let (key, times) = (key.to_owned(), Meeting { earliest_end, latest_start });
        self.asker.ask_rows(self.find, move |store, page| store.borrow().find_page(&key, times, order, page))
    }

    /// The sessions of the keys from one to another, both included (None is open), by the bytes of key,
    /// end and start, partition by partition.
    pub fn fetch_range<Q: ToOwned<Owned = K> + ?Sized>(
        &self,
        keys: (Option<&Q>, Option<&Q>),
        order: Order,
    ) -> AskedRows<(Windowed<K>, V)> {
        self.find_range(keys, 0, i64::MAX, order)
    }

    /// Those of them that end at `earliest_end` or later and start at `latest_start` or earlier.
    pub fn find_range<Q: ToOwned<Owned = K> + ?Sized>(
        &self,
        keys: (Option<&Q>, Option<&Q>),
        earliest_end: i64,
        latest_start: i64,
        order: Order,
    ) -> AskedRows<(Windowed<K>, V)> {
        let (first, last) = (keys.0.map(Q::to_owned), keys.1.map(Q::to_owned));
        let times = Meeting { earliest_end, latest_start };
        self.asker.ask_rows(self.find, move |store, page| {
            store.borrow().range_page((first.as_ref(), last.as_ref()), times, order, page)
        })
    }

    /// How far the store is: a bound for a later query.
    pub fn position(&self) -> Asked<Position> {
        self.asker.position()
    }
}
