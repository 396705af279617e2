//! What queries read of a store of keys and values: its rows and what waits in its cache, both left as they are.
//! Called by `query` on the store's own thread. Never counts as a use of a cached entry, so that who asks from outside
//! changes nothing about what is evicted and when it goes on (Java's caches take such a read for a use).

use super::{Call, KeyValueStore};
use crate::record::Data;
use crate::serde::bytes_of;
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
}
