//! Stores as processors of the user see them: tokens that name a store with its types, and what `Ctx::store` lends for one.
//! Made by `StreamsBuilder::add_store`; resolved once a task, when a processor is linked. A lent store knows the record in
//! hand, so that a write has its time and headers. Never outlives the call it was lent in.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::vec::IntoIter;

use super::key_value::{KeyValueStore, Stamped, TableStore};
use super::session::SessionStore;
use super::versioned::VersionedStore;
use super::window::WindowStore;
use crate::record::{Data, Window, Windowed};
use crate::serde::{Serde, bytes_of};
use crate::state::Order;
use crate::state::versioned::VersionedPut;
use crate::task::context::Context;
use crate::task::errors::Failure;

/// Which store, without its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreId {
    /// The one that the builder gave this number.
    Added(usize),
    /// The one of this name.
    Named(&'static str),
}

/// A store with its types: a token to connect processors by, and to ask `Ctx::store` with.
pub struct StoreRef<T> {
    id: StoreId,
    types: PhantomData<fn() -> T>,
}

impl<T> Clone for StoreRef<T> {
    fn clone(&self) -> StoreRef<T> {
        *self
    }
}

impl<T> Copy for StoreRef<T> {}

impl<T> StoreRef<T> {
    pub(crate) fn added(number: usize) -> StoreRef<T> {
        StoreRef { id: StoreId::Added(number), types: PhantomData }
    }

    /// The store of that name, such as that of an aggregate or a global table.
    pub fn named(name: &'static str) -> StoreRef<T> {
        StoreRef { id: StoreId::Named(name), types: PhantomData }
    }

    /// The same without its types.
    pub fn id(self) -> StoreId {
        self.id
    }
}

impl<T> From<StoreRef<T>> for StoreId {
    fn from(store: StoreRef<T>) -> StoreId {
        store.id
    }
}

impl From<&'static str> for StoreId {
    fn from(name: &'static str) -> StoreId {
        StoreId::Named(name)
    }
}

/// The stores of a processor: `()` for none, a list of tokens or names, or a tuple of tokens of several types.
#[diagnostic::on_unimplemented(
    message = "these are no stores of a processor",
    label = "`()` for none, a list of tokens or names, or a tuple of up to four tokens is meant",
    note = "`StreamsBuilder::add_store` gives the token of a store"
)]
pub trait Connect {
    /// Which.
    fn ids(self) -> Vec<StoreId>;
}

impl Connect for () {
    fn ids(self) -> Vec<StoreId> {
        Vec::new()
    }
}

impl<const N: usize, T: Into<StoreId>> Connect for [T; N] {
    fn ids(self) -> Vec<StoreId> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuples {
    ($($name:ident)*) => {
        impl<$($name: Into<StoreId>),*> Connect for ($($name,)*) {
            #[allow(non_snake_case, reason = "each part is called like its type")]
            fn ids(self) -> Vec<StoreId> {
                let ($($name,)*) = self;
                vec![$($name.into()),*]
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);

/// A kind of store, with the types of its keys and values.
pub trait StoreType {
    /// The store of a task.
    type Store: 'static;
    /// What is lent for it.
    type Lent<'a>;

    /// Lends the store.
    fn lend<'a>(store: &'a RefCell<Self::Store>, context: &'a mut Context) -> Self::Lent<'a>;
}

/// Keys and their latest values.
pub struct KeyValue<K, V>(PhantomData<fn() -> (K, V)>);

/// Keys and their latest values with a time beside each: the stores of tables and aggregates.
pub struct TimestampedKeyValue<K, V>(PhantomData<fn() -> (K, V)>);

/// Values by key and session.
pub struct KeySession<K, V>(PhantomData<fn() -> (K, V)>);

/// Keys and their values over time.
pub struct VersionedKeyValue<K, V>(PhantomData<fn() -> (K, V)>);

/// Values by key and time.
pub struct KeyWindow<K, V>(PhantomData<fn() -> (K, V)>);

impl<K: Data, V: Data> StoreType for KeyValue<K, V> {
    type Store = KeyValueStore<K, V>;
    type Lent<'a> = LentKeyValue<'a, K, V>;

    fn lend<'a>(store: &'a RefCell<Self::Store>, context: &'a mut Context) -> Self::Lent<'a> {
        LentKeyValue { store, context: RefCell::new(context) }
    }
}

impl<K: Data, V: Data> StoreType for TimestampedKeyValue<K, V> {
    type Store = TableStore<K, V>;
    type Lent<'a> = LentTable<'a, K, V>;

    fn lend<'a>(store: &'a RefCell<Self::Store>, context: &'a mut Context) -> Self::Lent<'a> {
        LentTable { store, context: RefCell::new(context) }
    }
}

impl<K: Data, V: Data> StoreType for KeySession<K, V> {
    type Store = SessionStore<K, V>;
    type Lent<'a> = LentSessions<'a, K, V>;

    fn lend<'a>(store: &'a RefCell<Self::Store>, context: &'a mut Context) -> Self::Lent<'a> {
        LentSessions { store, context: RefCell::new(context) }
    }
}

impl<K: Data, V: Data> StoreType for VersionedKeyValue<K, V> {
    type Store = VersionedStore<K, V>;
    type Lent<'a> = LentVersions<'a, K, V>;

    fn lend<'a>(store: &'a RefCell<Self::Store>, context: &'a mut Context) -> Self::Lent<'a> {
        LentVersions { store, context: RefCell::new(context) }
    }
}

impl<K: Data, V: Data> StoreType for KeyWindow<K, V> {
    type Store = WindowStore<K, V>;
    type Lent<'a> = LentWindows<'a, K, V>;

    fn lend<'a>(store: &'a RefCell<Self::Store>, context: &'a mut Context) -> Self::Lent<'a> {
        LentWindows { store, context: RefCell::new(context) }
    }
}

/// A store of keys and values, lent to a processor.
pub struct LentKeyValue<'a, K, V> {
    store: &'a RefCell<KeyValueStore<K, V>>,
    context: RefCell<&'a mut Context>,
}

impl<K: Data, V: Data> LentKeyValue<'_, K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Result<Option<V>, Failure> {
        self.store.borrow_mut().get(key)
    }

    /// Sets the value of a key.
    pub fn put(&self, key: &K, value: V) -> Result<(), Failure> {
        self.store.borrow_mut().set(key, Some(value), &mut self.context.borrow_mut())
    }

    /// Sets the value of a key that has none; the value that it has otherwise.
    pub fn put_if_absent(&self, key: &K, value: V) -> Result<Option<V>, Failure> {
        self.store.borrow_mut().put_if_absent(key, value, &mut self.context.borrow_mut())
    }

    /// Deletes a key; the value that it had.
    pub fn delete(&self, key: &K) -> Result<Option<V>, Failure> {
        self.store.borrow_mut().delete(key, &mut self.context.borrow_mut())
    }

    /// The rows from one key to another, both included, in the order of their bytes.
    pub fn range(&self, from: Option<&K>, to: Option<&K>, order: Order) -> Result<Vec<(K, V)>, Failure> {
        self.store.borrow().range(from, to, order)
    }

    /// The rows whose keys' bytes begin with those of a prefix, in their order.
    pub fn prefix_scan<P>(&self, prefix: &P, serde: &dyn Serde<P>) -> Result<Vec<(K, V)>, Failure> {
        self.store.borrow().prefixed(&bytes_of(serde, prefix)?, Order::Ascending)
    }

    /// The next rows behind a key, or the first ones, at most so many: a way through a store that does not fit into memory,
    /// which may change meanwhile.
    pub fn page(&self, after: Option<&K>, limit: usize) -> Result<Vec<(K, V)>, Failure> {
        self.store.borrow().page(after, limit)
    }

    /// Deletes the rows that a closure does not want to keep, some at a time.
    pub fn retain(&self, keep: impl Fn(&K, &V) -> bool) -> Result<(), Failure> {
        let mut rows = self.page(None, PAGE)?;
        while let Some((last, _)) = rows.last() {
            let next = self.page(Some(last), PAGE)?;
            for (key, _) in rows.iter().filter(|(key, value)| !keep(key, value)) {
                self.delete(key)?;
            }
            rows = next;
        }
        Ok(())
    }

    /// All rows, in the order of their keys' bytes, as they are now: a large store is gone through by `retain` and `page`.
    pub fn iter(&self) -> Result<IntoIter<(K, V)>, Failure> {
        Ok(self.range(None, None, Order::Ascending)?.into_iter())
    }
}

/// How many rows `retain` holds at a time.
const PAGE: usize = 1000;

/// A store of values with times, or that of a table or an aggregate, lent to a processor.
pub struct LentTable<'a, K, V> {
    store: &'a RefCell<TableStore<K, V>>,
    context: RefCell<&'a mut Context>,
}

impl<K: Data, V: Data> LentTable<'_, K, V> {
    /// The value of a key and its time.
    pub fn get(&self, key: &K) -> Result<Option<Stamped<V>>, Failure> {
        self.store.borrow_mut().get(key)
    }

    /// Sets the value of a key and its time.
    pub fn put(&self, key: &K, value: V, timestamp: i64) -> Result<(), Failure> {
        let stamped = Some(Stamped { value, timestamp });
        self.store.borrow_mut().set_stamped(key, stamped, &mut self.context.borrow_mut())
    }

    /// Deletes a key; the value that it had.
    pub fn delete(&self, key: &K) -> Result<Option<Stamped<V>>, Failure> {
        let mut store = self.store.borrow_mut();
        let before = store.get(key)?;
        store.set_stamped(key, None, &mut self.context.borrow_mut())?;
        Ok(before)
    }

    /// The rows from one key to another, both included, in the order of their bytes.
    pub fn range(&self, from: Option<&K>, to: Option<&K>, order: Order) -> Result<Vec<(K, Stamped<V>)>, Failure> {
        self.store.borrow().range(from, to, order)
    }
}

/// A store of sessions, lent to a processor.
pub struct LentSessions<'a, K, V> {
    store: &'a RefCell<SessionStore<K, V>>,
    context: RefCell<&'a mut Context>,
}

impl<K: Data, V: Data> LentSessions<'_, K, V> {
    /// Sets the value of a session.
    pub fn put(&self, key: &K, session: Window, value: V) -> Result<(), Failure> {
        self.store.borrow_mut().set((key, session), Some(value), &mut self.context.borrow_mut())
    }

    /// Removes a session.
    pub fn remove(&self, key: &K, session: Window) -> Result<(), Failure> {
        self.store.borrow_mut().set((key, session), None, &mut self.context.borrow_mut())
    }

    /// The value of a session.
    pub fn get(&self, key: &K, session: Window) -> Result<Option<V>, Failure> {
        self.store.borrow_mut().get(key, session)
    }

    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or earlier, by their ends.
    pub fn find(&self, key: &K, earliest_end: i64, latest_start: i64) -> Result<Vec<(Window, V)>, Failure> {
        self.store.borrow().find(key, earliest_end, latest_start)
    }
}

/// A store of values over time, lent to a processor.
pub struct LentVersions<'a, K, V> {
    store: &'a RefCell<VersionedStore<K, V>>,
    context: RefCell<&'a mut Context>,
}

impl<K: Data, V: Data> LentVersions<'_, K, V> {
    /// Sets the value of a key from a time on; None says that it has none from then on.
    pub fn put(&self, key: &K, value: Option<&V>, timestamp: i64) -> Result<VersionedPut, Failure> {
        self.store.borrow_mut().put(key, value, timestamp, &mut self.context.borrow_mut())
    }

    /// Deletes the value of a key from a time on; the one that it had then.
    pub fn delete(&self, key: &K, timestamp: i64) -> Result<Option<Stamped<V>>, Failure> {
        let before = self.get_as_of(key, timestamp)?;
        self.put(key, None, timestamp)?;
        Ok(before)
    }

    /// The latest value of a key, with the time from which it is valid.
    pub fn get(&self, key: &K) -> Result<Option<Stamped<V>>, Failure> {
        self.store.borrow_mut().get(key)
    }

    /// The value that a key had at a time, with the time from which it was valid.
    pub fn get_as_of(&self, key: &K, timestamp: i64) -> Result<Option<Stamped<V>>, Failure> {
        self.store.borrow_mut().get_as_of(key, timestamp)
    }
}

/// A store of windows, lent to a processor.
pub struct LentWindows<'a, K, V> {
    store: &'a RefCell<WindowStore<K, V>>,
    context: RefCell<&'a mut Context>,
}

impl<K: Data, V: Data> LentWindows<'_, K, V> {
    /// Sets the value of a key and the start of a window; None deletes it.
    pub fn put(&self, key: &K, start: i64, value: Option<V>) -> Result<(), Failure> {
        self.store.borrow_mut().set(key, start, value, &mut self.context.borrow_mut())
    }

    /// The value of a key and the start of a window.
    pub fn get(&self, key: &K, start: i64) -> Result<Option<V>, Failure> {
        self.store.borrow_mut().get(key, start)
    }

    /// The windows of a key that start from `from` to `to`, both included.
    pub fn fetch(&self, key: &K, from: i64, to: i64, order: Order) -> Result<Vec<(i64, V)>, Failure> {
        self.store.borrow().fetch(key, from, to, order)
    }

    /// The windows of all keys that start from `from` to `to`, both included.
    pub fn fetch_all(&self, from: i64, to: i64, order: Order) -> Result<Vec<(Windowed<K>, V)>, Failure> {
        self.store.borrow().fetch_all(from, to, order)
    }
}

#[cfg(test)]
mod tests;
