//! Stores as processors of the user see them: tokens that name a store with its types, and what `Ctx::store` lends for one.
//! Made by `StreamsBuilder::add_store`; resolved once a task, when a processor is linked. A lent store knows the record in
//! hand, so that a write has its time and headers. Never outlives the call it was lent in.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::vec::IntoIter;

use super::key_value::{KeyValueStore, Stamped, TableStore};
use super::window::WindowStore;
use crate::record::{Data, Windowed};
use crate::state::Order;
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

    fn lend<'a>(store: &'a RefCell<Self::Store>, _context: &'a mut Context) -> Self::Lent<'a> {
        LentTable { store }
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

    /// All rows, in the order of their keys' bytes.
    pub fn iter(&self) -> Result<IntoIter<(K, V)>, Failure> {
        Ok(self.range(None, None, Order::Ascending)?.into_iter())
    }
}

/// The store of a table or an aggregate, lent to a processor that reads it.
pub struct LentTable<'a, K, V> {
    store: &'a RefCell<TableStore<K, V>>,
}

impl<K: Data, V: Data> LentTable<'_, K, V> {
    /// The value of a key and its time.
    pub fn get(&self, key: &K) -> Result<Option<Stamped<V>>, Failure> {
        self.store.borrow_mut().get(key)
    }

    /// The rows from one key to another, both included, in the order of their bytes.
    pub fn range(
        &self,
        from: Option<&K>,
        to: Option<&K>,
        order: Order,
    ) -> Result<Vec<(K, Stamped<V>)>, Failure> {
        self.store.borrow().range(from, to, order)
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
