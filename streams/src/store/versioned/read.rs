//! What queries read of a versioned store. Called by `query` on the store's own thread.

use super::{Call, VersionedStore};
use crate::record::Data;
use crate::serde::bytes_of;
use crate::state::Order;
use crate::state::versioned::VersionedRow;
use crate::task::errors::Failure;

/// A value and the time for which it is valid (Java: `VersionedRecord`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedRecord<V> {
    /// The value.
    pub value: V,
    /// Since when: the time of its record.
    pub timestamp: i64,
    /// Until when, not included; None of the latest.
    pub valid_to: Option<i64>,
}

impl<K: Data, V: Data> VersionedStore<K, V> {
    fn versioned(&self, row: VersionedRow) -> Result<VersionedRecord<V>, Failure> {
        let VersionedRow { value, valid_from, valid_to } = row;
        Ok(VersionedRecord { value: self.value_of(value)?, timestamp: valid_from, valid_to })
    }

    /// A key's latest value.
    pub fn latest(&self, key: &K) -> Result<Option<VersionedRecord<V>>, Failure> {
        let begun = self.tally.begin();
        let found = self.rows.get(&bytes_of(&*self.key, key)?)?.map(|row| self.versioned(row)).transpose();
        self.tally.end(Call::Get, begun);
        found
    }

    /// The value that a key had at a time.
    pub fn as_of(&self, key: &K, timestamp: i64) -> Result<Option<VersionedRecord<V>>, Failure> {
        let begun = self.tally.begin();
        let row = self.rows.get_as_of(&bytes_of(&*self.key, key)?, timestamp)?;
        let found = row.map(|row| self.versioned(row)).transpose();
        self.tally.end(Call::Get, begun);
        found
    }

    /// The values that a key had within these times, both included.
    pub fn history(&self, key: &K, from: i64, to: i64, order: Order) -> Result<Vec<VersionedRecord<V>>, Failure> {
        let rows = self.rows.history(&bytes_of(&*self.key, key)?, from, to, order)?;
        rows.into_iter().map(|row| self.versioned(row)).collect()
    }
}
