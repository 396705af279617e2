//! Writes that are not in the database yet, over the rows that are: what is read is both together.
//! Owned by engines on disk. Without it a flush between two commits could carry rows to the disk that the committed offsets
//! do not cover.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;

use bytes::Bytes;

use super::{Order, Row, RowIter, Short, Span};
use crate::state::error::StateError;

/// A span of keys whose committed rows are gone.
#[derive(Debug)]
pub(crate) struct Erased {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Option<Vec<u8>>,
}

/// What a key's waiting write says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// This value.
    Value(Bytes),
    /// There is none.
    Nothing,
    /// Nothing waits: the committed row counts.
    Unknown,
}

/// What an entry costs beside its key and value, about.
const ENTRY: usize = 48;

/// Waiting writes: ranges that go first, then single keys.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    pub(crate) erased: Vec<Erased>,
    pub(crate) keys: BTreeMap<Short, Option<Short>>,
    /// Bytes of keys and values written since the last commit.
    uncommitted: usize,
    /// Whether anything was written since the last commit.
    is_open: bool,
    held: usize,
    /// How often a key was deleted.
    deletions: usize,
}

impl Overlay {
    pub(crate) fn is_empty(&self) -> bool {
        self.erased.is_empty() && self.keys.is_empty()
    }

    /// Bytes of keys and values written since the last commit.
    pub(crate) fn uncommitted(&self) -> usize {
        self.uncommitted
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// At most so many keys are deleted.
    pub(crate) fn deletions(&self) -> usize {
        self.deletions
    }

    /// Whether all of it belongs to a commit.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_open
    }

    /// All of it belongs to a commit from now on.
    pub(crate) fn settle(&mut self) {
        (self.uncommitted, self.is_open) = (0, false);
    }

    fn is_erased(&self, key: &[u8]) -> bool {
        self.erased.iter().any(|erased| key >= &erased.from[..] && erased.to.as_deref().is_none_or(|to| key < to))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Waiting {
        match self.keys.get(key) {
            Some(Some(value)) => Waiting::Value(Bytes::copy_from_slice(value)),
            Some(None) => Waiting::Nothing,
            None if self.is_erased(key) => Waiting::Nothing,
            None => Waiting::Unknown,
        }
    }

    pub(crate) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        let len = value.map_or(0, <[u8]>::len);
        self.is_open = true;
        self.uncommitted += key.len() + len;
        self.held += len;
        self.deletions += usize::from(value.is_none());
        match (self.keys.get_mut(key), value) {
            (Some(present), value) => {
                self.held -= present.as_deref().map_or(0, <[u8]>::len);
                match (present, value) {
                    (Some(present), Some(value)) => present.set(value),
                    (present, value) => *present = value.map(Short::from),
                }
            }
            (None, value) => {
                self.held += ENTRY + key.len();
                self.keys.insert(Short::from(key), value.map(Short::from));
            }
        }
    }

    pub(crate) fn erase(&mut self, span: Span<'_>) {
        if span.is_empty() {
            return;
        }
        let held = &mut self.held;
        self.keys.retain(|key, value| {
            let stays = !span.contains(key);
            if !stays {
                *held -= ENTRY + key.len() + value.as_deref().map_or(0, <[u8]>::len);
            }
            stays
        });
        let (from, to) = (span.from.unwrap_or_default().to_vec(), span.to.map(<[u8]>::to_vec));
        let len = from.len() + to.as_ref().map_or(0, Vec::len);
        self.is_open = true;
        self.uncommitted += len;
        self.held += ENTRY + len;
        self.erased.push(Erased { from, to });
    }

    /// The rows of a span: the committed ones, which are in the same order, under what waits.
    pub(crate) fn over<'a>(
        &'a self,
        committed: impl Iterator<Item = Result<Row, StateError>> + 'a,
        span: Span<'_>,
        order: Order,
    ) -> RowIter<'a> {
        if span.is_empty() {
            return Box::new(std::iter::empty());
        }
        if self.is_empty() {
            return Box::new(committed);
        }
        let committed = committed.filter(|row| !matches!(row, Ok((key, _)) if self.is_erased(key)));
        let bounds =
            (span.from.map_or(Bound::Unbounded, Bound::Included), span.to.map_or(Bound::Unbounded, Bound::Excluded));
        let keys = self.keys.range::<[u8], _>(bounds).map(|(key, value)| (&**key, value.as_deref()));
        match order {
            Order::Ascending => Box::new(Merged { committed: committed.peekable(), keys: keys.peekable(), order }),
            Order::Descending => {
                Box::new(Merged { committed: committed.peekable(), keys: keys.rev().peekable(), order })
            }
        }
    }
}

/// Two iterators in one order as one; of equal keys that of the second one counts.
struct Merged<C: Iterator, K: Iterator> {
    committed: Peekable<C>,
    keys: Peekable<K>,
    order: Order,
}

impl<'k, C, K> Iterator for Merged<C, K>
where
    C: Iterator<Item = Result<Row, StateError>>,
    K: Iterator<Item = (&'k [u8], Option<&'k [u8]>)>,
{
    type Item = Result<Row, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.committed.peek(), self.keys.peek()) {
                (Some(Ok((committed, _))), Some((waiting, _))) => match self.order {
                    Order::Ascending => (**committed).cmp(waiting),
                    Order::Descending => (*waiting).cmp(committed),
                },
                (None, Some(_)) => std::cmp::Ordering::Greater,
                _ => return self.committed.next(),
            };
            if order.is_lt() {
                return self.committed.next();
            }
            if order.is_eq() {
                self.committed.next();
            }
            if let (key, Some(value)) = self.keys.next()? {
                return Some(Ok((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))));
            }
        }
    }
}
