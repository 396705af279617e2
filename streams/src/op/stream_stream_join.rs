//! The join of two streams within a time: what keeps each side, what joins a record with those of the other side, and
//! what stands for all of it where a stream is joined with itself (KStreamJoinWindow, KStreamKStreamJoin and its sides,
//! KStreamKStreamSelfJoin). Recorded by `dsl`; the stores keep the records.
//!
//! A record is joined before it is kept: so one stream as both sides meets itself once. Without a match, a record of a
//! side that needs none waits in the store that both sides share, until its window is closed for good.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::join::{JoinKind, Joiner, Side};
use crate::dsl::windows::JoinWindows;
use crate::record::{About, Data, Header, Record};
use crate::state::format::join::JoinSide;
use crate::store::{JoinWindow, OneSide, Unmatched};
use crate::topology::processor::{
    AnyLink, Children, Context, Failure, LinkError, Linking, Operator, Process, ProcessResult,
};

/// Hands each record of one side on, then keeps it for the other.
pub struct KeepWindow<K, V> {
    /// The store to keep it in.
    pub store: String,
    /// What it keeps.
    pub types: std::marker::PhantomData<fn(K, V)>,
}

/// One side of a stream-stream join; takes records of `side`.
pub struct StreamJoinSide<K, L, R, O> {
    /// Whose records it takes.
    pub side: Side,
    /// Which sides must be there.
    pub kind: JoinKind,
    /// How far apart in time.
    pub windows: JoinWindows,
    /// The window store of the other side.
    pub store: String,
    /// The store of records without a match so far.
    pub unmatched: Option<String>,
    /// Makes the result.
    pub joiner: Joiner<K, L, R, O>,
}

impl<K: Data, V: Data> Operator for KeepWindow<K, V> {
    fn name(&self) -> &'static str {
        "stream-stream join window"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        let (children, store) = (Children::typed(children)?, linking.store(&self.store)?);
        Ok(AnyLink::new::<K, V>(Keeping::<K, V> { children, store, key_bytes: Vec::new() }))
    }
}

struct Keeping<K, V> {
    children: Children<K, V>,
    store: Rc<RefCell<JoinWindow<K, V>>>,
    key_bytes: Vec<u8>,
}

impl<K: Data, V: Data> Process<K, V> for Keeping<K, V> {
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let Some(key) = &record.key else { return self.children.forward(record, context) };
        self.key_bytes.clear();
        let value = self.store.borrow().encode(key, record.value.as_ref(), &mut self.key_bytes)?;
        let (timestamp, headers) = (record.timestamp, record.headers.clone());
        self.children.forward(record, context)?;
        let about = About { timestamp, headers: &headers };
        self.store.borrow_mut().put(&self.key_bytes, value, about, context)
    }
}

impl<K: Data, L: Data, R: Data, O: Data> Operator for StreamJoinSide<K, L, R, O> {
    fn name(&self) -> &'static str {
        "stream-stream join"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        match self.side {
            Side::Left => Ok(AnyLink::new::<K, L>(Joining::<K, L, R, O, FromLeft>::new(self, children, linking)?)),
            Side::Right => Ok(AnyLink::new::<K, R>(Joining::<K, L, R, O, FromRight>::new(self, children, linking)?)),
            Side::Both => {
                if TypeId::of::<L>() != TypeId::of::<R>() {
                    return Err(LinkError::Types(std::any::type_name::<R>()));
                }
                Ok(AnyLink::new::<K, L>(SelfJoining::<K, L, R, O> {
                    joiner: Arc::clone(&self.joiner),
                    windows: self.windows,
                    store: linking.store(&self.store)?,
                    children: Children::typed(children)?,
                    stream_time: -1,
                    found: Vec::new(),
                }))
            }
        }
    }
}

/// What one side is to the other.
trait Facing<L, R>: 'static {
    type This: Data;
    type Other: Data;
    /// The other side, as the shared store names it.
    const OTHER: JoinSide;

    fn one(this: &Self::This) -> OneSide<&L, &R>;

    fn join<K, O>(
        joiner: &Joiner<K, L, R, O>,
        key: Option<&K>,
        this: &Self::This,
        other: Option<&Self::Other>,
    ) -> Result<O, Failure>;
}

struct FromLeft;

impl<L: Data, R: Data> Facing<L, R> for FromLeft {
    type This = L;
    type Other = R;
    const OTHER: JoinSide = JoinSide::Right;

    fn one(this: &L) -> OneSide<&L, &R> {
        OneSide::Left(this)
    }

    fn join<K, O>(joiner: &Joiner<K, L, R, O>, key: Option<&K>, this: &L, other: Option<&R>) -> Result<O, Failure> {
        joiner(key, Some(this), other)
    }
}

struct FromRight;

impl<L: Data, R: Data> Facing<L, R> for FromRight {
    type This = R;
    type Other = L;
    const OTHER: JoinSide = JoinSide::Left;

    fn one(this: &R) -> OneSide<&L, &R> {
        OneSide::Right(this)
    }

    fn join<K, O>(joiner: &Joiner<K, L, R, O>, key: Option<&K>, this: &R, other: Option<&L>) -> Result<O, Failure> {
        joiner(key, other, Some(this))
    }
}

/// Whether a record needs a match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Needed,
    Optional,
}

/// KStreamKStreamJoin: one side's records.
struct Joining<K, L, R, O, S: Facing<L, R>> {
    joiner: Joiner<K, L, R, O>,
    kind: JoinKind,
    windows: JoinWindows,
    /// How much older and younger a record of the other side may be.
    before_ms: i64,
    after_ms: i64,
    matching: Match,
    emit_interval_ms: i64,
    other: Rc<RefCell<JoinWindow<K, S::Other>>>,
    unmatched: Option<Rc<RefCell<Unmatched<K, L, R>>>>,
    children: Children<K, O>,
    found: Vec<(i64, S::Other)>,
}

impl<K: Data, L: Data, R: Data, O: Data, S: Facing<L, R>> Joining<K, L, R, O, S> {
    fn new(
        side: &StreamJoinSide<K, L, R, O>,
        children: Vec<AnyLink>,
        linking: &mut Linking<'_>,
    ) -> Result<Self, LinkError> {
        let windows = side.windows;
        let (before_ms, after_ms, matching) = match (side.side, side.kind) {
            (Side::Right, JoinKind::Outer) => (windows.after_ms, windows.before_ms, Match::Optional),
            (Side::Right, _) => (windows.after_ms, windows.before_ms, Match::Needed),
            (_, JoinKind::Inner) => (windows.before_ms, windows.after_ms, Match::Needed),
            (_, _) => (windows.before_ms, windows.after_ms, Match::Optional),
        };
        let unmatched = side.unmatched.as_ref().map(|name| linking.store(name)).transpose()?;
        Ok(Joining {
            joiner: Arc::clone(&side.joiner),
            kind: side.kind,
            windows,
            before_ms,
            after_ms,
            matching,
            emit_interval_ms: linking.settings().emit_interval_joins_ms,
            other: linking.store(&side.store)?,
            unmatched,
            children: Children::typed(children)?,
            found: Vec::new(),
        })
    }

    /// Hands on what waited for a match until its window was closed.
    fn emit_unmatched(&mut self, about: About<'_>, context: &mut Context) -> ProcessResult {
        let Some(store) = self.unmatched.clone() else { return Ok(()) };
        let (grace_ms, now) = (self.windows.grace_ms, context.wall_clock());
        if about.timestamp != store.borrow().stream_time()
            || !store.borrow_mut().begin_look(self.after_ms, grace_ms, now, self.emit_interval_ms)
        {
            return Ok(());
        }
        let rows = store.borrow_mut().closed(&self.windows, self.kind)?;
        for row in &rows {
            let lonely = store.borrow().decode(row)?;
            for value in &lonely.values {
                let joined = match value {
                    OneSide::Left(value) => (self.joiner)(Some(&lonely.key), Some(value), None)?,
                    OneSide::Right(value) => (self.joiner)(Some(&lonely.key), None, Some(value))?,
                };
                let (key, headers) = (Some(lonely.key.clone()), about.headers.to_vec());
                let record = Record { key, value: Some(joined), timestamp: lonely.timestamp, headers };
                self.children.forward(record, context)?;
            }
            store.borrow_mut().remove_row(row, about, context)?;
        }
        Ok(())
    }

    /// Joins a record with all that were found; those do not wait any longer.
    fn join_found(
        &mut self,
        key: K,
        value: &S::This,
        about: (i64, Vec<Header>),
        context: &mut Context,
    ) -> ProcessResult {
        let (mut key, (timestamp, mut headers)) = (Some(key), about);
        let mut found = std::mem::take(&mut self.found);
        let last = found.len() - 1;
        for (place, (time, other)) in found.drain(..).enumerate() {
            if let (Some(store), Some(key)) = (&self.unmatched, &key) {
                let about = About { timestamp, headers: &headers };
                store.borrow_mut().remove(S::OTHER, key, time, about, context)?;
            }
            let joined = S::join(&self.joiner, key.as_ref(), value, Some(&other))?;
            let (key, headers) = match place == last {
                true => (key.take(), std::mem::take(&mut headers)),
                false => (key.clone(), headers.clone()),
            };
            let record = Record { key, value: Some(joined), timestamp: timestamp.max(time), headers };
            self.children.forward(record, context)?;
        }
        self.found = found;
        Ok(())
    }

    /// Nothing was found: the record waits, unless its window is closed already.
    fn join_nothing(
        &mut self,
        record: Record<K, ()>,
        value: &S::This,
        until: i64,
        context: &mut Context,
    ) -> ProcessResult {
        if let (Some(store), Some(key)) = (&self.unmatched, &record.key) {
            let mut store = store.borrow_mut();
            if until >= store.stream_time() {
                return store.add(key, S::one(value), record.about(), context);
            }
        }
        self.join_alone(record, value, context)
    }

    fn join_alone(&mut self, record: Record<K, ()>, value: &S::This, context: &mut Context) -> ProcessResult {
        let joined = S::join(&self.joiner, record.key.as_ref(), value, None)?;
        self.children.forward(record.with_value(Some(joined)), context)
    }
}

impl<K: Data, L: Data, R: Data, O: Data, S: Facing<L, R>> Process<K, S::This> for Joining<K, L, R, O, S> {
    fn process(&mut self, mut record: Record<K, S::This>, context: &mut Context) -> ProcessResult {
        if let Some(store) = &self.unmatched {
            store.borrow_mut().observe(record.timestamp);
        }
        let value = record.value.take();
        let mut record = record.with_value::<()>(None);
        let Some(value) = value.filter(|_| record.key.is_some() || self.matching == Match::Optional) else {
            context.drop_record();
            return Ok(());
        };
        let Some(key) = record.key.take() else { return self.join_alone(record, &value, context) };
        self.emit_unmatched(record.about(), context)?;
        let timestamp = record.timestamp;
        let (from, until) = around(timestamp, self.before_ms, self.after_ms);
        self.other.borrow_mut().fetch(&key, from, until, &mut self.found)?;
        if !self.found.is_empty() {
            return self.join_found(key, &value, (timestamp, record.headers), context);
        }
        if self.matching == Match::Optional {
            record.key = Some(key);
            return self.join_nothing(record, &value, until, context);
        }
        Ok(())
    }
}

/// The times that near; a store has none before 0.
fn around(timestamp: i64, before_ms: i64, after_ms: i64) -> (i64, i64) {
    (timestamp.saturating_sub(before_ms).max(0), timestamp.saturating_add(after_ms).max(0))
}

/// KStreamKStreamSelfJoin: both sides are one stream, and so are of one type, which `link` saw to.
struct SelfJoining<K, L, R, O> {
    joiner: Joiner<K, L, R, O>,
    windows: JoinWindows,
    store: Rc<RefCell<JoinWindow<K, R>>>,
    children: Children<K, O>,
    stream_time: i64,
    found: Vec<(i64, R)>,
}

/// A value as what it is.
fn same<A: 'static, B: 'static>(value: &A) -> &B {
    let value: &dyn Any = value;
    value.downcast_ref().expect("both sides are of one type: checked when the node was linked")
}

impl<K: Data, L: Data, R: Data, O: Data> SelfJoining<K, L, R, O> {
    /// What a record gives: with the others as its right side, then as their right side, and with itself where its own
    /// time stands among these.
    fn results(&mut self, key: &K, value: &L, timestamp: i64) -> Result<Vec<(i64, O)>, Failure> {
        let windows = self.windows;
        let (from, to) = around(timestamp, windows.before_ms, windows.after_ms);
        let mut found = std::mem::take(&mut self.found);
        self.store.borrow_mut().fetch(key, from, to, &mut found)?;
        let mut results = Vec::with_capacity(2 * found.len() + 1);
        let join = |left: &L, right: &R| (self.joiner)(Some(key), Some(left), Some(right));
        for (time, other) in &found {
            results.push((timestamp.max(*time), join(value, other)?));
        }
        if windows.before_ms != windows.after_ms {
            found.clear();
            let (from, to) = around(timestamp, windows.after_ms, windows.before_ms);
            self.store.borrow_mut().fetch(key, from, to, &mut found)?;
        }
        let retention_ms = windows.size_ms().saturating_add(windows.grace_ms);
        let mut meets_itself = timestamp > self.stream_time.saturating_sub(retention_ms).saturating_add(1);
        for (time, other) in found.drain(..) {
            if time > timestamp && std::mem::take(&mut meets_itself) {
                results.push((timestamp, join(value, same(value))?));
            }
            results.push((timestamp.max(time), join(same(&other), same(value))?));
        }
        if meets_itself {
            results.push((timestamp, join(value, same(value))?));
        }
        self.found = found;
        Ok(results)
    }
}

impl<K: Data, L: Data, R: Data, O: Data> Process<K, L> for SelfJoining<K, L, R, O> {
    fn process(&mut self, record: Record<K, L>, context: &mut Context) -> ProcessResult {
        let (Some(key), Some(value)) = (&record.key, &record.value) else {
            context.drop_record();
            return Ok(());
        };
        self.stream_time = self.stream_time.max(record.timestamp);
        for (timestamp, joined) in self.results(key, value, record.timestamp)? {
            let (key, headers) = (record.key.clone(), record.headers.clone());
            self.children.forward(Record { key, value: Some(joined), timestamp, headers }, context)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
