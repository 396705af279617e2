//! The value that a table has for a key now: out of its store, or worked out from the tables that it is made of
//! (KTableValueGetter). A table's handle carries how to find it; joins link it to the stores of their task.
//! Never keeps a row, and never borrows a store for longer than one look.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::join::{JoinKind, Joiner};
use super::table::RowFunction;
use crate::record::{Data, Windowed};
use crate::store::session::SessionStore;
use crate::store::window::TableWindowStore;
use crate::store::{Stamped, SuppressStore, TableStore, VersionedStore};
use crate::task::context::Context;
use crate::task::errors::Failure;
use crate::task::link::{LinkError, Linking};

/// Looks into a table of one task.
pub trait ValueGetter<K, V> {
    /// The value of a key; the latest one of a table with a history.
    fn get(&mut self, key: &K, context: &mut Context) -> Result<Option<Stamped<V>>, Failure>;

    /// The value that a key had at a time; of a table without a history the present one.
    fn get_as_of(&mut self, key: &K, _timestamp: i64, context: &mut Context) -> Result<Option<Stamped<V>>, Failure> {
        self.get(key, context)
    }

    /// Whether the table has a history.
    fn is_versioned(&self) -> bool {
        false
    }
}

/// A getter of one task.
pub type LinkedGetter<K, V> = Box<dyn ValueGetter<K, V>>;

type Find<K, V> = dyn Fn(&mut Linking<'_>) -> Result<LinkedGetter<K, V>, LinkError> + Send + Sync;

/// How a task finds the values of a table.
pub struct Getter<K, V>(Arc<Find<K, V>>);

impl<K, V> Clone for Getter<K, V> {
    fn clone(&self) -> Getter<K, V> {
        Getter(Arc::clone(&self.0))
    }
}

impl<K: Data, V: Data> Getter<K, V> {
    /// Out of a store of that name, with a history or without.
    pub fn of_store(name: impl Into<String>) -> Getter<K, V> {
        let name = name.into();
        Getter(Arc::new(move |linking| {
            if let Ok(store) = linking.store::<VersionedStore<K, V>>(&name) {
                return Ok(Box::new(Versions(store)));
            }
            Ok(Box::new(Latest(linking.store::<TableStore<K, V>>(&name)?)))
        }))
    }

    /// By what this makes for a task.
    pub(crate) fn new(
        find: impl Fn(&mut Linking<'_>) -> Result<LinkedGetter<K, V>, LinkError> + Send + Sync + 'static,
    ) -> Getter<K, V> {
        Getter(Arc::new(find))
    }

    /// Worked out from the value of another table.
    pub fn transformed<P: Data>(parent: &Getter<K, P>, function: RowFunction<K, P, V>) -> Getter<K, V> {
        let parent = parent.clone();
        Getter(Arc::new(move |linking| {
            Ok(Box::new(Transformed { parent: parent.link(linking)?, function: Arc::clone(&function) }))
        }))
    }

    /// Joined from the values of two tables.
    pub fn joined<L: Data, R: Data>(
        left: &Getter<K, L>,
        right: &Getter<K, R>,
        kind: JoinKind,
        joiner: &Joiner<K, L, R, V>,
    ) -> Getter<K, V> {
        let (left, right, joiner) = (left.clone(), right.clone(), Arc::clone(joiner));
        Getter(Arc::new(move |linking| {
            let (left, right) = (left.link(linking)?, right.link(linking)?);
            Ok(Box::new(Joined { left, right, kind, joiner: Arc::clone(&joiner) }))
        }))
    }

    /// What those below a suppression know: the value before the change that waits, else the parent's.
    pub fn suppressed(parent: &Getter<K, V>, store: impl Into<String>) -> Getter<K, V> {
        let (parent, store) = (parent.clone(), store.into());
        Getter(Arc::new(move |linking| {
            let waiting = linking.store::<SuppressStore<K, V>>(&store)?;
            Ok(Box::new(Suppressed { parent: parent.link(linking)?, waiting }))
        }))
    }

    /// The getter of the task whose node is being linked.
    pub fn link(&self, linking: &mut Linking<'_>) -> Result<LinkedGetter<K, V>, LinkError> {
        (self.0)(linking)
    }
}

impl<K: Data, V: Data> Getter<Windowed<K>, V> {
    /// Out of a store of windows or sessions of that name.
    pub fn of_windows(name: impl Into<String>) -> Getter<Windowed<K>, V> {
        let name = name.into();
        Getter(Arc::new(move |linking| {
            if let Ok(store) = linking.store::<SessionStore<K, V>>(&name) {
                return Ok(Box::new(Sessions(store)));
            }
            Ok(Box::new(Windows(linking.store::<TableWindowStore<K, V>>(&name)?)))
        }))
    }
}

struct Windows<K, V>(Rc<RefCell<TableWindowStore<K, V>>>);

impl<K: Data, V: Data> ValueGetter<Windowed<K>, V> for Windows<K, V> {
    fn get(&mut self, key: &Windowed<K>, _context: &mut Context) -> Result<Option<Stamped<V>>, Failure> {
        self.0.borrow_mut().get(&key.key, key.window.start)
    }
}

struct Sessions<K, V>(Rc<RefCell<SessionStore<K, V>>>);

impl<K: Data, V: Data> ValueGetter<Windowed<K>, V> for Sessions<K, V> {
    fn get(&mut self, key: &Windowed<K>, _context: &mut Context) -> Result<Option<Stamped<V>>, Failure> {
        let found = self.0.borrow().find(&key.key, key.window.end, key.window.start)?;
        let session = found.into_iter().find(|(window, _)| *window == key.window);
        // The time of a session's value is its end.
        Ok(session.map(|(window, value)| Stamped { value, timestamp: window.end }))
    }
}

struct Latest<K, V>(Rc<RefCell<TableStore<K, V>>>);

impl<K: Data, V: Data> ValueGetter<K, V> for Latest<K, V> {
    fn get(&mut self, key: &K, _context: &mut Context) -> Result<Option<Stamped<V>>, Failure> {
        self.0.borrow_mut().get(key)
    }
}

struct Versions<K, V>(Rc<RefCell<VersionedStore<K, V>>>);

impl<K: Data, V: Data> ValueGetter<K, V> for Versions<K, V> {
    fn get(&mut self, key: &K, _context: &mut Context) -> Result<Option<Stamped<V>>, Failure> {
        self.0.borrow_mut().get(key)
    }

    fn get_as_of(&mut self, key: &K, timestamp: i64, _context: &mut Context) -> Result<Option<Stamped<V>>, Failure> {
        self.0.borrow_mut().get_as_of(key, timestamp)
    }

    fn is_versioned(&self) -> bool {
        true
    }
}

/// KTableFilterValueGetter and KTableMapValuesValueGetter.
struct Transformed<K, P, V> {
    parent: LinkedGetter<K, P>,
    function: RowFunction<K, P, V>,
}

impl<K: Data, P: Data, V: Data> Transformed<K, P, V> {
    fn apply(&self, key: &K, parent: Option<Stamped<P>>) -> Result<Option<Stamped<V>>, Failure> {
        let Some(Stamped { value, timestamp }) = parent else { return Ok(None) };
        Ok((self.function)(key, &value)?.map(|value| Stamped { value, timestamp }))
    }
}

impl<K: Data, P: Data, V: Data> ValueGetter<K, V> for Transformed<K, P, V> {
    fn get(&mut self, key: &K, context: &mut Context) -> Result<Option<Stamped<V>>, Failure> {
        let parent = self.parent.get(key, context)?;
        self.apply(key, parent)
    }

    fn get_as_of(&mut self, key: &K, timestamp: i64, context: &mut Context) -> Result<Option<Stamped<V>>, Failure> {
        let parent = self.parent.get_as_of(key, timestamp, context)?;
        self.apply(key, parent)
    }

    fn is_versioned(&self) -> bool {
        self.parent.is_versioned()
    }
}

/// KTableKTableInnerJoinValueGetter and its like. KIP-914: the result of a join has no history, even if both sides have one.
struct Joined<K, L, R, V> {
    left: LinkedGetter<K, L>,
    right: LinkedGetter<K, R>,
    kind: JoinKind,
    joiner: Joiner<K, L, R, V>,
}

impl<K: Data, L: Data, R: Data, V: Data> ValueGetter<K, V> for Joined<K, L, R, V> {
    fn get(&mut self, key: &K, context: &mut Context) -> Result<Option<Stamped<V>>, Failure> {
        let left = self.left.get(key, context)?;
        if left.is_none() && self.kind != JoinKind::Outer {
            return Ok(None);
        }
        let right = self.right.get(key, context)?;
        let missing = match self.kind {
            JoinKind::Inner => right.is_none(),
            JoinKind::Left => false,
            JoinKind::Outer => left.is_none() && right.is_none(),
        };
        if missing {
            return Ok(None);
        }
        let time = |timestamp: Option<i64>| timestamp.unwrap_or(i64::MIN);
        let timestamp =
            time(left.as_ref().map(|left| left.timestamp)).max(time(right.as_ref().map(|right| right.timestamp)));
        let (left, right) = (left.map(|left| left.value), right.map(|right| right.value));
        let value = (self.joiner)(Some(key), left.as_ref(), right.as_ref())?;
        Ok(Some(Stamped { value, timestamp }))
    }
}

struct Suppressed<K, V> {
    parent: LinkedGetter<K, V>,
    waiting: Rc<RefCell<SuppressStore<K, V>>>,
}

impl<K: Data, V: Data> ValueGetter<K, V> for Suppressed<K, V> {
    fn get(&mut self, key: &K, context: &mut Context) -> Result<Option<Stamped<V>>, Failure> {
        let prior = self.waiting.borrow_mut().prior(key)?;
        match prior {
            // The time of the value before is not known (RecordQueue.UNKNOWN).
            Some(prior) => Ok(prior.map(|value| Stamped { value, timestamp: -1 })),
            None => self.parent.get(key, context),
        }
    }
}

#[cfg(test)]
mod tests;
