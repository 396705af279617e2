//! The store that both sides of a left or outer stream-stream join share: records without a match, by time, side and key; all
//! values of one of these are one row, a list (ListValueStore over TimestampedKeyAndJoinSide).

use bytes::Bytes;

use super::error::{Malformed, StateError};
use super::format::join::{JoinSide, read_key, read_value, write_key, write_value};
use super::format::list;
use super::rows::{Order, Row, Rows, Span};

/// Records of one time, side and key that found no match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmatched {
    /// Their timestamp.
    pub timestamp: i64,
    /// Their side.
    pub side: JoinSide,
    /// Their key.
    pub key: Bytes,
    /// Their values, in the order in which they came.
    pub values: Vec<Bytes>,
}

/// Records that found no match yet.
pub struct UnmatchedRows {
    name: String,
    rows: Box<dyn Rows>,
}

impl UnmatchedRows {
    /// Over these rows, which may hold records already.
    pub fn open(name: impl Into<String>, rows: Box<dyn Rows>) -> UnmatchedRows {
        UnmatchedRows { name: name.into(), rows }
    }

    /// The store's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The engine.
    pub fn rows(&self) -> &dyn Rows {
        self.rows.as_ref()
    }

    /// The engine, for commits.
    pub fn rows_mut(&mut self) -> &mut dyn Rows {
        self.rows.as_mut()
    }

    pub(crate) fn malformed(&self, malformed: Malformed) -> StateError {
        StateError::Row { store: self.name.clone(), malformed }
    }

    /// Adds a record; gives what the changelog gets, which is the whole list.
    pub fn add(&mut self, timestamp: i64, side: JoinSide, key: &[u8], value: &[u8]) -> Result<Row, StateError> {
        let (mut row, mut entry) = (Vec::new(), Vec::new());
        write_key(timestamp, side, key, &mut row);
        write_value(side, value, &mut entry);
        let present = self.rows.get(&row)?;
        let list = list::append(present.as_deref(), &entry).map_err(|malformed| self.malformed(malformed))?;
        self.rows.put(&row, Some(&list))?;
        Ok((Bytes::from(row), list))
    }

    /// Removes the records of a time, side and key; gives the key of which the changelog gets a deletion, or None if there
    /// were none (`putIfAbsent` of null, as Java's joins call it).
    pub fn remove(&mut self, timestamp: i64, side: JoinSide, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        let mut row = Vec::new();
        write_key(timestamp, side, key, &mut row);
        if self.rows.get(&row)?.is_none() {
            return Ok(None);
        }
        self.rows.put(&row, None)?;
        Ok(Some(Bytes::from(row)))
    }

    /// A record of the changelog: a row as it is.
    pub fn restore(&mut self, row: &[u8], list: Option<Bytes>) -> Result<(), StateError> {
        self.rows.put(row, list.as_deref())
    }

    /// All of them, by time, side and key: of one time the right side first.
    pub fn all(&self) -> impl Iterator<Item = Result<Unmatched, StateError>> + '_ {
        self.rows.range(Span::ALL, Order::Ascending).map(|row| self.read(row?))
    }

    /// What a row holds.
    pub fn read(&self, row: Row) -> Result<Unmatched, StateError> {
        read(row).map_err(|malformed| self.malformed(malformed))
    }

    /// The rows as they lie: what the goldens show of it.
    pub fn dump(&self) -> Result<Vec<Row>, StateError> {
        self.rows.range(Span::ALL, Order::Ascending).collect()
    }
}

fn read((row, list): Row) -> Result<Unmatched, Malformed> {
    let (timestamp, side, key) = read_key(row)?;
    let entries = list::read_list(list, None)?.into_iter().flatten();
    let values: Result<Vec<Bytes>, Malformed> = entries.map(|entry| Ok(read_value(entry)?.1)).collect();
    Ok(Unmatched { timestamp, side, key, values: values? })
}

#[cfg(test)]
mod tests;
