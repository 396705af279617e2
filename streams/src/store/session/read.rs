//! What queries read of a store of sessions: its rows and what waits in its cache, both left as they are.
//! Called by `query` on the store's own thread.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Call, SessionStore};
use crate::record::{Data, Window, Windowed};
use crate::serde::bytes_of;
use crate::state::Order;
use crate::state::format::session as format;
use crate::state::session::{Meeting, SessionSpan};
use crate::store::cache::Slot;
use crate::store::page::{Between, Over, Page, PageFrom, Seen};
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

    /// A page of the sessions of a key that meet these times, by end and start.
    pub fn find_page(
        &self,
        key: &K,
        times: Meeting,
        order: Order,
        from: PageFrom<'_>,
    ) -> Result<Page<(Window, V)>, Failure> {
        let span = self.rows.of_key(&bytes_of(&*self.key, key)?, times);
        self.page(&span, order, from, |session, value| Ok((session.window, value)))
    }

    /// A page of the sessions of the keys from one to another, both included (None is open), that meet these times, in the
    /// order of the bytes of key, end and start.
    pub fn range_page(
        &self,
        keys: Between<'_, K>,
        times: Meeting,
        order: Order,
        from: PageFrom<'_>,
    ) -> Result<Page<(Windowed<K>, V)>, Failure> {
        let bytes = |key: &K| bytes_of(&*self.key, key);
        let (first, last) = (keys.0.map(bytes).transpose()?, keys.1.map(bytes).transpose()?);
        let span = self.rows.of_range((first.as_deref(), last.as_deref()), times);
        self.page(&span, order, from, |session, value| {
            let key = self.key.deserialize(session.key).map_err(|error| self.broken(error))?;
            Ok((Windowed { key, window: session.window }, value))
        })
    }

    fn page<T>(
        &self,
        span: &SessionSpan,
        order: Order,
        from: PageFrom<'_>,
        typed: impl Fn(Windowed<Bytes>, V) -> Result<T, Failure>,
    ) -> Result<Page<T>, Failure> {
        self.tally.page(Call::Fetch, from.after.is_none(), || self.merge(span, order, from, typed))
    }

    fn merge<T>(
        &self,
        span: &SessionSpan,
        order: Order,
        from: PageFrom<'_>,
        typed: impl Fn(Windowed<Bytes>, V) -> Result<T, Failure>,
    ) -> Result<Page<T>, Failure> {
        // Stores whose rows lie by time have no cache: entries lie as rows do.
        let left = match from.after {
            Some(after) => span.waiting().as_span().behind(after, order),
            None => span.waiting(),
        };
        let waiting = self.cache.iter().flat_map(|cache| cache.range(left.from.as_deref(), left.to.as_deref()));
        let waiting: Box<dyn Iterator<Item = &Slot<V>>> = match order {
            Order::Ascending => Box::new(waiting),
            Order::Descending => Box::new(waiting.rev()),
        };
        let waiting = waiting.map(|slot| (Cow::Borrowed(&*slot.key), slot));
        Over::new(self.rows.by_key(span, order, from.after), waiting, order).page(from.limit, |seen| match seen {
            Seen::Row(row) => {
                let row = self.rows.within(row, span)?;
                row.map(|(session, value)| typed(session, self.decode(value)?)).transpose()
            }
            Seen::Waits(place, slot) => {
                let Some(value) = slot.value.clone() else { return Ok(None) };
                let session = format::read_key(Bytes::copy_from_slice(&place)).map_err(|error| self.broken(error))?;
                let is_asked = span.contains(&session.key, session.window);
                is_asked.then(|| typed(session, value)).transpose()
            }
        })
    }
}
