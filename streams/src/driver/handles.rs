//! Typed ends of a driven topology: what goes into a topic, what came out of one, what a store has.
//! Made by `TopologyTestDriver`, which each call names; a handle owns nothing of it, so any number may be held.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::marker::PhantomData;
use std::rc::Rc;

use bytes::Bytes;

use super::{Output, TopologyTestDriver};
use crate::record::{Data, Header, Record, Window, Windowed};
use crate::serde::{Serde, SerdeError, SharedSerde, Str, bytes_of};
use crate::state::Order;
use crate::store::session::SessionStore;
use crate::store::token::{KeyValue, KeyWindow};
use crate::store::window::{TableWindowStore, WindowStore};
use crate::store::{KeyValueStore, TableStore};
use crate::task::errors::{Failure, TaskError};
use crate::task::link::fatal;
use crate::task::{Incoming, LinkError, Stores};

/// A key or value of a test: itself, or None for a null; a `&str` is a text too.
#[diagnostic::on_unimplemented(
    message = "a test gives a `{T}` here, or None for a null",
    label = "this is a `{Self}`",
    note = "a `&str` is a `String` too"
)]
pub trait Given<T> {
    /// The key or value.
    fn given(self) -> Option<T>;
}

impl<T> Given<T> for T {
    fn given(self) -> Option<T> {
        Some(self)
    }
}

impl<T> Given<T> for Option<T> {
    fn given(self) -> Option<T> {
        self
    }
}

impl Given<String> for &str {
    fn given(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl Given<Str> for &str {
    fn given(self) -> Option<Str> {
        Some(self.into())
    }
}

/// A topic that a test writes to.
pub struct TestInput<K, V> {
    pub(super) topic: String,
    pub(super) key: SharedSerde<K>,
    pub(super) value: SharedSerde<V>,
}

impl<K, V> TestInput<K, V> {
    /// Sends a record, and lets it through.
    ///
    /// # Errors
    /// What a thread would end with.
    pub fn pipe(
        &self,
        driver: &mut TopologyTestDriver,
        key: impl Given<K>,
        value: impl Given<V>,
        timestamp: i64,
    ) -> Result<(), TaskError> {
        self.pipe_with_headers(driver, key, value, timestamp, Vec::new())
    }

    /// The same with headers.
    ///
    /// # Errors
    /// What a thread would end with.
    pub fn pipe_with_headers(
        &self,
        driver: &mut TopologyTestDriver,
        key: impl Given<K>,
        value: impl Given<V>,
        timestamp: i64,
        headers: Vec<Header>,
    ) -> Result<(), TaskError> {
        let refused = |error: SerdeError| TaskError::Broken(format!("no bytes for topic {}: {error}", self.topic));
        let key = encode(self.key.as_ref(), key.given()).map_err(refused)?;
        let value = encode(self.value.as_ref(), value.given()).map_err(refused)?;
        driver.pipe(&self.topic, Incoming { offset: 0, timestamp, key, value, headers })
    }
}

fn encode<T>(serde: &dyn Serde<T>, value: Option<T>) -> Result<Option<Bytes>, SerdeError> {
    value.map(|value| bytes_of(serde, &value).map(Bytes::from)).transpose()
}

/// A topic that a test reads from.
///
/// Its calls panic where a record is no key or value of these types: the test is wrong then.
pub struct TestOutput<K, V> {
    pub(super) topic: String,
    pub(super) key: SharedSerde<K>,
    pub(super) value: SharedSerde<V>,
}

impl<K, V> TestOutput<K, V> {
    /// All records that were not read yet.
    pub fn read_records(&mut self, driver: &mut TopologyTestDriver) -> Vec<Record<K, V>> {
        driver.take_from(&self.topic).into_iter().map(|output| self.decode(output)).collect()
    }

    /// Keys and values of all records that were not read yet.
    pub fn read(&mut self, driver: &mut TopologyTestDriver) -> Vec<(Option<K>, Option<V>)> {
        self.read_records(driver).into_iter().map(|record| (record.key, record.value)).collect()
    }

    /// The values of all records that were not read yet.
    pub fn read_values(&mut self, driver: &mut TopologyTestDriver) -> Vec<Option<V>> {
        self.read_records(driver).into_iter().map(|record| record.value).collect()
    }

    /// The latest value of each key among the records that were not read yet; a null deletes.
    pub fn read_map(&mut self, driver: &mut TopologyTestDriver) -> HashMap<K, V>
    where
        K: Eq + Hash,
    {
        let mut latest = HashMap::new();
        for record in self.read_records(driver) {
            match (record.key, record.value) {
                (Some(key), Some(value)) => drop(latest.insert(key, value)),
                (Some(key), None) => drop(latest.remove(&key)),
                (None, _) => {}
            }
        }
        latest
    }

    fn decode(&self, output: Output) -> Record<K, V> {
        let Output { topic, key, value, timestamp, headers, .. } = output;
        let key = key.map(|bytes| self.key.deserialize(bytes)).transpose();
        let value = value.map(|bytes| self.value.deserialize(bytes)).transpose();
        match (key, value) {
            (Ok(key), Ok(value)) => Record { key, value, timestamp: timestamp.unwrap_or(-1), headers },
            (Err(error), _) | (_, Err(error)) => panic!("a record of {topic} is not of these types: {error}"),
        }
    }
}

/// Kinds of stores that a test may look into.
pub trait Viewed: Sized {
    /// What it sees.
    type View;

    /// The view of the stores of that name, one a task; those of the DSL and those of processors alike.
    fn view(tasks: &[&Stores], name: &str) -> Option<Self::View>;
}

type Shared<S> = Rc<RefCell<S>>;

/// The stores of that name and type in all tasks.
fn all<S: 'static>(tasks: &[&Stores], name: &str) -> Vec<Shared<S>> {
    tasks.iter().filter_map(|stores| stores.get::<S>(name)).collect()
}

/// A row or its absence; a damaged one is what a thread would end with.
fn told<T>(found: Result<T, Failure>) -> Result<T, TaskError> {
    found.map_err(fatal)
}

/// A store of keys and values, in all tasks.
pub struct KeyValueView<K, V> {
    plain: Vec<Shared<KeyValueStore<K, V>>>,
    tables: Vec<Shared<TableStore<K, V>>>,
}

impl<K: Data, V: Data> Viewed for KeyValue<K, V> {
    type View = KeyValueView<K, V>;

    fn view(tasks: &[&Stores], name: &str) -> Option<KeyValueView<K, V>> {
        let view = KeyValueView { plain: all(tasks, name), tables: all(tasks, name) };
        (view.plain.len() + view.tables.len() > 0).then_some(view)
    }
}

impl<K: Data, V: Data> KeyValueView<K, V> {
    /// The value of a key; a text may be given as a `&str`.
    ///
    /// # Errors
    /// A damaged row.
    pub fn get<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q) -> Result<Option<V>, TaskError> {
        let key = key.to_owned();
        for store in &self.plain {
            if let Some(value) = told(store.borrow_mut().get(&key))? {
                return Ok(Some(value));
            }
        }
        for store in &self.tables {
            if let Some(found) = told(store.borrow_mut().get(&key))? {
                return Ok(Some(found.value));
            }
        }
        Ok(None)
    }

    /// All rows, task by task in the order of their keys' bytes.
    ///
    /// # Errors
    /// A damaged row.
    pub fn all(&self) -> Result<Vec<(K, V)>, TaskError> {
        let mut rows = Vec::new();
        for store in &self.plain {
            rows.extend(told(store.borrow().range(None, None, Order::Ascending))?);
        }
        for store in &self.tables {
            let found = told(store.borrow().range(None, None, Order::Ascending))?;
            rows.extend(found.into_iter().map(|(key, row)| (key, row.value)));
        }
        Ok(rows)
    }
}

/// A store of windows, in all tasks.
pub struct WindowView<K, V> {
    plain: Vec<Shared<WindowStore<K, V>>>,
    tables: Vec<Shared<TableWindowStore<K, V>>>,
}

impl<K: Data, V: Data> Viewed for KeyWindow<K, V> {
    type View = WindowView<K, V>;

    fn view(tasks: &[&Stores], name: &str) -> Option<WindowView<K, V>> {
        let view = WindowView { plain: all(tasks, name), tables: all(tasks, name) };
        (view.plain.len() + view.tables.len() > 0).then_some(view)
    }
}

impl<K: Data, V: Data> WindowView<K, V> {
    /// The values of all windows that start from `from` to `to`, both included.
    ///
    /// # Errors
    /// A damaged row.
    pub fn fetch_all(&self, from: i64, to: i64) -> Result<Vec<(Windowed<K>, V)>, TaskError> {
        let mut rows = Vec::new();
        for store in &self.plain {
            rows.extend(told(store.borrow().fetch_all(from, to, Order::Ascending))?);
        }
        for store in &self.tables {
            let found = told(store.borrow().fetch_all(from, to, Order::Ascending))?;
            rows.extend(found.into_iter().map(|(key, row)| (key, row.value)));
        }
        Ok(rows)
    }
}

/// Sessions by key.
pub struct Sessions<K, V>(PhantomData<fn() -> (K, V)>);

/// A store of sessions, in all tasks.
pub struct SessionView<K, V>(Vec<Shared<SessionStore<K, V>>>);

impl<K: Data, V: Data> Viewed for Sessions<K, V> {
    type View = SessionView<K, V>;

    fn view(tasks: &[&Stores], name: &str) -> Option<SessionView<K, V>> {
        let stores = all(tasks, name);
        (!stores.is_empty()).then_some(SessionView(stores))
    }
}

impl<K: Data, V: Data> SessionView<K, V> {
    /// The sessions of a key.
    ///
    /// # Errors
    /// A damaged row.
    pub fn fetch<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q) -> Result<Vec<(Window, V)>, TaskError> {
        let key = key.to_owned();
        let mut found = Vec::new();
        for store in &self.0 {
            found.extend(told(store.borrow().find(&key, 0, i64::MAX))?);
        }
        Ok(found)
    }
}

impl TopologyTestDriver {
    /// A store by its name.
    ///
    /// # Errors
    /// If there is none, or it is of another kind or other types.
    pub fn store<T: Viewed>(&self, name: &str) -> Result<T::View, LinkError> {
        let tasks = self.tasks.iter().map(|driven| driven.task.stores());
        let tasks: Vec<&Stores> = tasks.chain(self.globals.as_ref().map(|task| task.stores())).collect();
        if tasks.iter().all(|stores| stores.held(name).is_none()) {
            return Err(LinkError::NoStore { node: "the test".to_owned(), store: name.to_owned() });
        }
        T::view(&tasks, name)
            .ok_or_else(|| LinkError::StoreType { store: name.to_owned(), type_name: std::any::type_name::<T>() })
    }
}
