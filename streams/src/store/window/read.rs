//! What is read of a store of windows and changes nothing: all but a single window. Its rows and what waits in its cache
//! are left as they are.
//! Called by processors and by `query`, on the store's own thread.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Call, WindowStore};
use crate::record::{Data, Windowed};
use crate::serde::bytes_of;
use crate::state::Order;
use crate::state::format::window as format;
use crate::state::rows::after_key;
use crate::state::segments::PREFIX;
use crate::state::window::{Layout, WindowSpan};
use crate::store::cache::Slot;
use crate::store::page::{Between, Limit, Over, Page, PageFrom, Seen};
use crate::task::errors::Failure;

/// Where a row lies, as it compares: its segment, its time where that leads, its key or the bytes of its row.
type Rank<'a> = (i64, i64, &'a [u8]);

impl<K: Data, S: Data> WindowStore<K, S> {
    /// The value of a key and window start.
    pub fn peek(&self, key: &K, start: i64) -> Result<Option<S>, Failure> {
        let begun = self.tally.begin();
        let (bytes, mut row) = (bytes_of(&*self.key, key)?, Vec::new());
        format::write_store_key(&bytes, start, 0, &mut row);
        let found = match self.cache.as_ref().and_then(|cache| cache.peek(&row)) {
            Some(slot) => Ok(slot.value.clone()),
            None => self.read(&bytes, start),
        };
        self.tally.end(Call::Fetch, begun);
        found
    }

    /// The windows of a key that start from `from` to `to`, both included, in the order of their starts.
    pub fn fetch(&self, key: &K, from: i64, to: i64, order: Order) -> Result<Vec<(i64, S)>, Failure> {
        let from_start = PageFrom { after: None, limit: &mut { Limit::NONE } };
        Ok(self.fetch_page(key, (from, to), order, from_start)?.rows)
    }

    /// A page of them.
    pub fn fetch_page(
        &self,
        key: &K,
        (first, last): (i64, i64),
        order: Order,
        from: PageFrom<'_>,
    ) -> Result<Page<(i64, S)>, Failure> {
        let span = self.rows.of_key(&bytes_of(&*self.key, key)?, first, last);
        self.page(&span, order, from, |_, start, value| Ok((start, value)))
    }

    /// The windows of all keys that start from `from` to `to`, both included, as they lie.
    pub fn fetch_all(&self, from: i64, to: i64, order: Order) -> Result<Vec<(Windowed<K>, S)>, Failure> {
        let from_start = PageFrom { after: None, limit: &mut { Limit::NONE } };
        Ok(self.range_page((None, None), (from, to), order, from_start)?.rows)
    }

    /// A page of the windows of the keys from one to another, both included (None is open), that start from the first to the
    /// last of these times, as they lie.
    pub fn range_page(
        &self,
        keys: Between<'_, K>,
        (first, last): (i64, i64),
        order: Order,
        from: PageFrom<'_>,
    ) -> Result<Page<(Windowed<K>, S)>, Failure> {
        let bytes = |key: &K| bytes_of(&*self.key, key);
        let keys = (keys.0.map(bytes).transpose()?, keys.1.map(bytes).transpose()?);
        let span = match (keys.0.as_deref(), keys.1.as_deref()) {
            (None, None) => self.rows.of_all(first, last),
            keys => self.rows.of_range(keys, first, last),
        };
        self.page(&span, order, from, |key, start, value| Ok((self.decode_key(key, start)?, value)))
    }

    fn page<T>(
        &self,
        span: &WindowSpan,
        order: Order,
        from: PageFrom<'_>,
        typed: impl Fn(Bytes, i64, S) -> Result<T, Failure>,
    ) -> Result<Page<T>, Failure> {
        self.tally.page(Call::Fetch, from.after.is_none(), || self.merge(span, order, from, typed))
    }

    fn merge<T>(
        &self,
        span: &WindowSpan,
        order: Order,
        from: PageFrom<'_>,
        typed: impl Fn(Bytes, i64, S) -> Result<T, Failure>,
    ) -> Result<Page<T>, Failure> {
        let rows = self.rows.places(span, order, from.after);
        let waiting = self.waiting(span, order, from.after, from.limit.rows().max(1))?;
        Over::new(rows, waiting, order).page(from.limit, |seen| match seen {
            Seen::Row(row) => {
                let row = self.rows.within(row, span)?;
                row.map(|row| typed(row.key, row.start, self.decode(row.value)?)).transpose()
            }
            Seen::Waits(_, slot) => {
                let Some(value) = slot.value.clone() else { return Ok(None) };
                let at =
                    format::read_store_key(Bytes::copy_from_slice(&slot.key)).map_err(|error| self.broken(error))?;
                typed(at.key, at.start, value).map(Some)
            }
        })
    }

    /// The first entries of the cache that are asked for, at most so many, in the order in which their rows lie.
    fn waiting(
        &self,
        span: &WindowSpan,
        order: Order,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Cow<'_, [u8]>, &Slot<S>)>, Failure> {
        let Some(cache) = &self.cache else { return Ok(Vec::new()) };
        let after = after.map(|place| self.rank_of_place(place)).transpose()?;
        let (first, last) = self.of_one_key(span).unzip();
        let entries: Box<dyn Iterator<Item = &Slot<S>>> = match &first {
            Some(_) => Box::new(cache.range(first.as_deref(), last.as_deref())),
            // They are hashed, and so no order has to be kept up from here on.
            None => Box::new(cache.entries()),
        };
        let mut found: Vec<(Rank<'_>, &Slot<S>)> = Vec::new();
        for slot in entries {
            let start = format::start_of(&slot.key).map_err(|error| self.broken(error))?;
            let key = &slot.key[..slot.key.len() - format::SUFFIX];
            let rank = self.rank(key, start, &slot.key);
            let is_behind = after.is_none_or(|after| match order {
                Order::Ascending => rank > after,
                Order::Descending => rank < after,
            });
            if is_behind && span.contains(key, start) {
                found.push((rank, slot));
            }
        }
        let compare = |left: &(Rank<'_>, &Slot<S>), right: &(Rank<'_>, &Slot<S>)| match order {
            Order::Ascending => left.0.cmp(&right.0),
            Order::Descending => right.0.cmp(&left.0),
        };
        if found.len() > limit {
            found.select_nth_unstable_by(limit, compare);
            found.truncate(limit);
        }
        found.sort_unstable_by(compare);
        Ok(found.into_iter().map(|(rank, slot)| (Cow::Owned(self.place(rank)), slot)).collect())
    }

    /// Between which keys the entries of a single key are.
    fn of_one_key(&self, span: &WindowSpan) -> Option<(Vec<u8>, Vec<u8>)> {
        let (key, (from, to)) = (span.key()?, span.starts());
        let (mut first, mut last) = (Vec::new(), Vec::new());
        format::write_store_key(key, from.max(0), 0, &mut first);
        format::write_store_key(key, to, i32::MAX, &mut last);
        Some((first, after_key(&last)))
    }

    fn rank<'a>(&self, key: &'a [u8], start: i64, row: &'a [u8]) -> Rank<'a> {
        let segment = self.rows.segments().id(start);
        match self.rows.settings().layout {
            Layout::KeyFirst => (segment, 0, row),
            Layout::TimeFirst { .. } => (segment, start, key),
        }
    }

    fn rank_of_place<'a>(&self, place: &'a [u8]) -> Result<Rank<'a>, Failure> {
        let no_place = || self.broken("a page that goes on from no row");
        let (segment, row) = place.split_first_chunk::<PREFIX>().ok_or_else(no_place)?;
        let segment = i64::from_be_bytes(*segment);
        match self.rows.settings().layout {
            Layout::KeyFirst => Ok((segment, 0, row)),
            Layout::TimeFirst { .. } => {
                let (start, key) = row.get(1..).and_then(<[u8]>::split_first_chunk::<8>).ok_or_else(no_place)?;
                let key = key.len().checked_sub(4).map(|end| &key[..end]).ok_or_else(no_place)?;
                Ok((segment, i64::from_be_bytes(*start), key))
            }
        }
    }

    /// The key of the row, led by the number of its segment.
    fn place(&self, (segment, start, bytes): Rank<'_>) -> Vec<u8> {
        let mut place = Vec::with_capacity(PREFIX + bytes.len() + format::SUFFIX + 1);
        place.extend_from_slice(&segment.to_be_bytes());
        match self.rows.settings().layout {
            Layout::KeyFirst => place.extend_from_slice(bytes),
            Layout::TimeFirst { .. } => format::write_time_first_key(bytes, start, 0, &mut place),
        }
        place
    }
}
