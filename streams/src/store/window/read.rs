//! What queries read of a store of windows: its rows and what waits in its cache, both left as they are.
//! Called by `query` on the store's own thread, and by `fetch_all` of processors.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Call, WindowStore};
use crate::record::{Data, Windowed};
use crate::serde::bytes_of;
use crate::state::Order;
use crate::state::format::window as format;
use crate::task::errors::Failure;

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

    /// The windows of the keys from one to another, both included (None is open), that start from `from` to `to`, as they
    /// lie.
    pub fn fetch_range(
        &self,
        keys: (Option<&K>, Option<&K>),
        from: i64,
        to: i64,
        order: Order,
    ) -> Result<Vec<(Windowed<K>, S)>, Failure> {
        let bytes = |key: &K| bytes_of(&*self.key, key);
        let (first, last) = (keys.0.map(bytes).transpose()?, keys.1.map(bytes).transpose()?);
        self.fetch_bytes((first.as_deref(), last.as_deref()), from, to, order)
    }

    pub(super) fn fetch_bytes(
        &self,
        keys: (Option<&[u8]>, Option<&[u8]>),
        from: i64,
        to: i64,
        order: Order,
    ) -> Result<Vec<(Windowed<K>, S)>, Failure> {
        let begun = self.tally.begin();
        let found = self.merge(keys, from, to, order);
        self.tally.end_rows(Call::Fetch, begun);
        found
    }

    fn merge(
        &self,
        keys: (Option<&[u8]>, Option<&[u8]>),
        from: i64,
        to: i64,
        order: Order,
    ) -> Result<Vec<(Windowed<K>, S)>, Failure> {
        let mut found: BTreeMap<(i64, Bytes), (Bytes, i64, S)> = BTreeMap::new();
        let mut in_order = Vec::new();
        let rows = match keys {
            (None, None) => self.rows.fetch_all(from, to, order),
            keys => self.rows.fetch_range(keys, from, to, order),
        };
        for row in rows {
            let row = row?;
            let value = self.decode(row.value)?;
            match &self.cache {
                None => in_order.push((self.decode_key(row.key, row.start)?, value)),
                Some(_) => drop(found.insert(self.place(&row.key, row.start), (row.key, row.start, value))),
            }
        }
        let Some(cache) = &self.cache else { return Ok(in_order) };
        for slot in cache.range(None, None) {
            let row = format::read_store_key(Bytes::copy_from_slice(&slot.key)).map_err(|error| self.broken(error))?;
            let is_asked = (from..=to).contains(&row.start)
                && keys.0.is_none_or(|first| &row.key[..] >= first)
                && keys.1.is_none_or(|last| &row.key[..] <= last);
            if !is_asked {
                continue;
            }
            let place = self.place(&row.key, row.start);
            match &slot.value {
                Some(value) => drop(found.insert(place, (row.key, row.start, value.clone()))),
                None => drop(found.remove(&place)),
            }
        }
        let typed = |(key, start, value)| Ok((self.decode_key(key, start)?, value));
        match order {
            Order::Ascending => found.into_values().map(typed).collect(),
            Order::Descending => found.into_values().rev().map(typed).collect(),
        }
    }
}
