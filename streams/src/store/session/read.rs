//! What queries read of a store of sessions: its rows and what waits in its cache, both left as they are.
//! Called by `query` on the store's own thread.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Call, SessionStore};
use crate::record::{Data, Window, Windowed};
use crate::serde::bytes_of;
use crate::state::Order;
use crate::state::format::session as format;
use crate::state::session::Meeting;
use crate::task::errors::Failure;

impl<K: Data, V: Data> SessionStore<K, V> {
    /// The value of a session.
    pub fn peek(&self, key: &K, session: Window) -> Result<Option<V>, Failure> {
        let begun = self.tally.begin();
        let (key, mut row) = (bytes_of(&*self.key, key)?, Vec::new());
        format::write_key(&key, session, &mut row);
        let found = match self.cache.as_ref().and_then(|cache| cache.peek(&row)) {
            Some(slot) => Ok(slot.value.clone()),
            None => self.rows.get(&key, session)?.map(|bytes| self.decode(bytes)).transpose(),
        };
        self.tally.end(Call::Fetch, begun);
        found
    }

    /// The sessions of the keys from one to another, both included (None is open), that end at `earliest_end` or later and
    /// start at `latest_start` or earlier, by key, end and start.
    pub fn find_range(
        &self,
        keys: (Option<&K>, Option<&K>),
        earliest_end: i64,
        latest_start: i64,
    ) -> Result<Vec<(Windowed<K>, V)>, Failure> {
        let begun = self.tally.begin();
        let bytes = |key: &K| bytes_of(&*self.key, key);
        let (first, last) = (keys.0.map(bytes).transpose()?, keys.1.map(bytes).transpose()?);
        let times = Meeting { earliest_end, latest_start };
        let mut found: BTreeMap<(Bytes, i64, i64), V> = BTreeMap::new();
        for row in self.rows.find_range((first.as_deref(), last.as_deref()), times, Order::Ascending) {
            let (session, value) = row?;
            found.insert((session.key, session.window.end, session.window.start), self.decode(value)?);
        }
        for slot in self.cache.iter().flat_map(|cache| cache.range(None, None)) {
            let session = format::read_key(Bytes::copy_from_slice(&slot.key)).map_err(|error| self.broken(error))?;
            let is_asked = session.window.end >= earliest_end
                && session.window.start <= latest_start
                && first.as_deref().is_none_or(|first| &session.key[..] >= first)
                && last.as_deref().is_none_or(|last| &session.key[..] <= last);
            if !is_asked {
                continue;
            }
            let place = (session.key, session.window.end, session.window.start);
            match &slot.value {
                Some(value) => drop(found.insert(place, value.clone())),
                None => drop(found.remove(&place)),
            }
        }
        let typed = |((key, end, start), value): ((Bytes, i64, i64), V)| {
            let key = self.key.deserialize(key).map_err(|error| self.broken(error))?;
            Ok((Windowed { key, window: Window { start, end } }, value))
        };
        let found = found.into_iter().map(typed).collect();
        self.tally.end_rows(Call::Fetch, begun);
        found
    }
}
