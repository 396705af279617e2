//! Pages of a store: its rows and what waits in its cache over them, in one order, so many at a time.
//!
//! Used by the reads of typed stores. A page ends after so many rows or bytes were looked at, those that are passed over
//! too, so that a read of little among much ends as soon as one of much. It says where the next one begins: a key, not an
//! iterator, so that the store may change between two pages.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::iter::Peekable;

use super::cache::Slot;
use crate::state::StateError;
use crate::state::rows::{Order, Row};
use crate::task::errors::Failure;

/// How much may be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    rows: usize,
    bytes: usize,
}

impl Limit {
    /// All.
    pub const NONE: Limit = Limit { rows: usize::MAX, bytes: usize::MAX };
    /// What a stream thread answers at once: some milliseconds.
    pub const PAGE: Limit = Limit { rows: 1_000, bytes: 1 << 20 };

    /// That many rows of any size.
    pub fn of_rows(rows: usize) -> Limit {
        Limit { rows, ..Limit::NONE }
    }

    /// How many rows may be looked at yet.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether no more may be looked at.
    pub fn is_used(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    fn take(&mut self, bytes: usize) {
        if *self != Limit::NONE {
            self.rows = self.rows.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

/// Keys from one to another, both included; None is open.
pub type Between<'a, K> = (Option<&'a K>, Option<&'a K>);

/// From where a page goes on, and how much it may look at; it looks at one row at least.
pub struct PageFrom<'a> {
    /// Where the page before ended, which is not read again; None for the first page.
    pub after: Option<&'a [u8]>,
    /// What is left when it was made is told by it.
    pub limit: &'a mut Limit,
}

/// Some rows of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In the order of the read.
    pub rows: Vec<T>,
    /// Where it ended, if there may be more.
    pub next: Option<Vec<u8>>,
}

impl<T> Page<T> {
    /// With other rows.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(change).collect(), next: self.next }
    }
}

/// What a read comes to.
pub(crate) enum Seen<'a, V> {
    /// A row.
    Row(Row),
    /// An entry of the cache, and where its row lies.
    Waits(Cow<'a, [u8]>, &'a Slot<V>),
}

impl<V> Seen<'_, V> {
    fn place(&self) -> &[u8] {
        match self {
            Seen::Row((key, _)) => key,
            Seen::Waits(place, _) => place,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Seen::Row((key, value)) => key.len() + value.len(),
            Seen::Waits(_, slot) => slot.weight,
        }
    }
}

/// Rows and entries of the cache as one, both in this order; of the same place the entry counts.
pub(crate) struct Over<R: Iterator, C: Iterator> {
    rows: Peekable<R>,
    waiting: Peekable<C>,
    order: Order,
}

impl<'a, V: 'a, R, C> Over<R, C>
where
    R: Iterator<Item = Result<Row, StateError>>,
    C: Iterator<Item = (Cow<'a, [u8]>, &'a Slot<V>)>,
{
    pub(crate) fn new(rows: R, waiting: impl IntoIterator<IntoIter = C>, order: Order) -> Over<R, C> {
        Over { rows: rows.peekable(), waiting: waiting.into_iter().peekable(), order }
    }

    /// The next page of it; `typed` says what of it is asked for.
    pub(crate) fn page<T>(
        self,
        limit: &mut Limit,
        mut typed: impl FnMut(Seen<'a, V>) -> Result<Option<T>, Failure>,
    ) -> Result<Page<T>, Failure> {
        let mut rows = Vec::new();
        for seen in self {
            let seen = seen?;
            limit.take(seen.bytes());
            let next = limit.is_used().then(|| seen.place().to_vec());
            rows.extend(typed(seen)?);
            if next.is_some() {
                return Ok(Page { rows, next });
            }
        }
        Ok(Page { rows, next: None })
    }
}

impl<'a, V: 'a, R, C> Iterator for Over<R, C>
where
    R: Iterator<Item = Result<Row, StateError>>,
    C: Iterator<Item = (Cow<'a, [u8]>, &'a Slot<V>)>,
{
    type Item = Result<Seen<'a, V>, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match (self.rows.peek(), self.waiting.peek()) {
            (Some(Ok((row, _))), Some((place, _))) => match self.order {
                Order::Ascending => row[..].cmp(place),
                Order::Descending => place[..].cmp(row),
            },
            (Some(_), _) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        if first.is_lt() {
            return self.rows.next().map(|row| row.map(Seen::Row));
        }
        if first.is_eq() {
            self.rows.next();
        }
        self.waiting.next().map(|(place, slot)| Ok(Seen::Waits(place, slot)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_page_ends_after_so_many_bytes_too() {
        let row = |key: &'static [u8]| Ok((Bytes::from_static(key), Bytes::from_static(b"1234")));
        let page = |mut limit: Limit| {
            let rows = [row(b"a"), row(b"b"), row(b"c")].into_iter();
            let nothing = std::iter::empty::<(Cow<'_, [u8]>, &Slot<()>)>();
            let over = Over::new(rows, nothing, Order::Ascending);
            let key = |seen: Seen<'_, ()>| Ok((seen.place() != b"a").then(|| seen.place().to_vec()));
            over.page(&mut limit, key).map(|page| (page.rows.concat(), page.next)).expect("sound")
        };
        let of_bytes = |bytes| Limit { bytes, ..Limit::NONE };
        assert_eq!(page(of_bytes(16)), (b"bc".to_vec(), None));
        assert_eq!(page(of_bytes(15)), (b"bc".to_vec(), Some(b"c".to_vec())));
        assert_eq!(page(of_bytes(6)), (b"b".to_vec(), Some(b"b".to_vec())));
        assert_eq!(page(of_bytes(1)), (Vec::new(), Some(b"a".to_vec())), "what is passed over counts");
        assert_eq!(page(Limit::of_rows(2)), (b"b".to_vec(), Some(b"b".to_vec())));
    }
}
