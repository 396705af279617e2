//! What is read of a store of keys and values and changes nothing: ranges, and what queries read. Its rows and what waits
//! in its cache are left as they are.
//! Called by processors and by `query`, on the store's own thread. Never counts as a use of a cached entry, so that who
//! asks from outside changes nothing about what is evicted and when it goes on (Java's caches take such a read for a use).

use std::borrow::Cow;

use super::{Call, KeyValueStore};
use crate::record::Data;
use crate::serde::{Part, bytes_of};
use crate::state::rows::{Order, Span, after_key, after_prefix};
use crate::store::cache::Slot;
use crate::store::page::{Between, Limit, Over, Page, PageFrom, Seen};
use crate::task::errors::Failure;

impl<K: Data, S: Data> KeyValueStore<K, S> {
    /// What is stored under a key.
    pub fn peek(&self, key: &K) -> Result<Option<S>, Failure> {
        let (begun, bytes) = (self.tally.begin(), bytes_of(&*self.key, key)?);
        let found = match self.cache.as_ref().and_then(|cache| cache.peek(&bytes)) {
            Some(slot) => Ok(slot.value.clone()),
            None => self.read(&bytes),
        };
        self.tally.end(Call::Get, begun);
        found
    }

    /// About how many rows there are; what was not flushed yet does not count, as in Java.
    pub fn approximate_len(&self) -> u64 {
        self.rows.approximate_len()
    }

    /// The rows from one key to another, both included; None is open. What waits in the cache is among them.
    pub fn range(&self, from: Option<&K>, to: Option<&K>, order: Order) -> Result<Vec<(K, S)>, Failure> {
        let from_start = PageFrom { after: None, limit: &mut { Limit::NONE } };
        Ok(self.range_page((from, to), order, from_start)?.rows)
    }

    /// A page of them.
    pub fn range_page(&self, keys: Between<'_, K>, order: Order, from: PageFrom<'_>) -> Result<Page<(K, S)>, Failure> {
        let bytes = |key: &K| bytes_of(&*self.key, key);
        let (first, last) = (keys.0.map(bytes).transpose()?, keys.1.map(bytes).transpose()?);
        let to = last.map(|last| after_key(&last));
        let call = if first.is_none() && to.is_none() { Call::All } else { Call::Range };
        self.merged(call, Span { from: first.as_deref(), to: to.as_deref() }, order, from)
    }

    /// The rows whose keys begin with these bytes.
    pub fn prefixed(&self, prefix: &[u8], order: Order) -> Result<Vec<(K, S)>, Failure> {
        let from_start = PageFrom { after: None, limit: &mut { Limit::NONE } };
        Ok(self.prefix_page(prefix, order, from_start)?.rows)
    }

    /// A page of them.
    pub fn prefix_page(&self, prefix: &[u8], order: Order, from: PageFrom<'_>) -> Result<Page<(K, S)>, Failure> {
        let to = after_prefix(prefix);
        self.merged(Call::PrefixScan, Span { from: Some(prefix), to: to.as_deref() }, order, from)
    }

    /// The next rows behind a key, or the first ones, at most so many.
    pub fn page(&self, after: Option<&K>, limit: usize) -> Result<Vec<(K, S)>, Failure> {
        let begun = self.tally.begin();
        let mut after = after.map(|key| bytes_of(&*self.key, key)).transpose()?;
        let mut rows = Vec::new();
        // Deletions that wait are looked at too, and are no rows.
        while rows.len() < limit {
            let mut left = Limit::of_rows(limit - rows.len());
            let from = PageFrom { after: after.as_deref(), limit: &mut left };
            let page = self.merge(Span::ALL, Order::Ascending, from)?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.tally.end_rows(Call::Range, begun);
        Ok(rows)
    }

    fn merged(&self, call: Call, span: Span<'_>, order: Order, from: PageFrom<'_>) -> Result<Page<(K, S)>, Failure> {
        self.tally.page(call, from.after.is_none(), || self.merge(span, order, from))
    }

    fn merge(&self, span: Span<'_>, order: Order, from: PageFrom<'_>) -> Result<Page<(K, S)>, Failure> {
        let left = from.after.map(|after| span.behind(after, order));
        let span = left.as_ref().map_or(span, |left| left.as_span());
        let waiting = self.cache.iter().flat_map(|cache| cache.range(span.from, span.to));
        let waiting: Box<dyn Iterator<Item = &Slot<S>>> = match order {
            Order::Ascending => Box::new(waiting),
            Order::Descending => Box::new(waiting.rev()),
        };
        let waiting = waiting.map(|slot| (Cow::Borrowed(&*slot.key), slot));
        let key = |bytes: &[u8]| self.key.deserialize_part(Part::new(bytes)).map_err(|error| self.broken(error));
        Over::new(self.rows.range(span, order), waiting, order).page(from.limit, |seen| match seen {
            Seen::Row((row, value)) => Ok(Some((key(&row)?, self.decode(value)?))),
            Seen::Waits(place, slot) => slot.value.clone().map(|value| Ok((key(&place)?, value))).transpose(),
        })
    }
}
