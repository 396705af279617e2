//! Lists of values, as Java's ListSerde over an ArrayList writes them.
//! Given by the user like any serde. Never nested nulls: an entry is a value of the type within, or, as `Option`, a null.

use bytes::Bytes;

use super::{Serde, SerdeError, SharedSerde, bytes_of};
use crate::state::format::list::{read_list, write_list, write_list_of_one_length};

/// Lists of what another serde takes.
pub struct ListSerde<T>(SharedSerde<T>);

impl<T> ListSerde<T> {
    /// Lists of values of that serde.
    pub fn new(inner: SharedSerde<T>) -> ListSerde<T> {
        ListSerde(inner)
    }

    fn write<'a>(&self, values: impl Iterator<Item = Option<&'a T>>, out: &mut Vec<u8>) -> Result<(), SerdeError>
    where
        T: 'a,
    {
        let bytes = |value: &T| bytes_of(&*self.0, value);
        let entries: Result<Vec<Option<Vec<u8>>>, SerdeError> =
            values.map(|value| value.map(bytes).transpose()).collect();
        let entries = entries?;
        let slices: Vec<Option<&[u8]>> = entries.iter().map(Option::as_deref).collect();
        match self.0.fixed_len() {
            Some(_) => write_list_of_one_length(&slices, out),
            None => write_list(slices.into_iter(), out),
        }
        Ok(())
    }

    fn hold_each<'a>(&self, values: impl Iterator<Item = &'a mut T>) -> Option<usize>
    where
        T: 'a,
    {
        // Each is held, also behind one that does not know what it takes.
        let held: Vec<Option<usize>> = values.map(|value| self.0.hold(value)).collect();
        held.into_iter().sum()
    }

    fn read(&self, bytes: Bytes) -> Result<Vec<Option<T>>, SerdeError> {
        let found = bytes.len();
        let entries = read_list(bytes, self.0.fixed_len())
            .map_err(|_| SerdeError::Malformed { expected: "list of values", found })?;
        entries.into_iter().map(|entry| entry.map(|entry| self.0.deserialize(entry)).transpose()).collect()
    }
}

impl<T> Serde<Vec<Option<T>>> for ListSerde<T> {
    fn serialize(&self, values: &Vec<Option<T>>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.write(values.iter().map(Option::as_ref), out)
    }

    fn hold(&self, values: &mut Vec<Option<T>>) -> Option<usize> {
        self.hold_each(values.iter_mut().flatten())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Vec<Option<T>>, SerdeError> {
        self.read(bytes)
    }
}

impl<T> Serde<Vec<T>> for ListSerde<T> {
    fn serialize(&self, values: &Vec<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.write(values.iter().map(Some), out)
    }

    fn hold(&self, values: &mut Vec<T>) -> Option<usize> {
        self.hold_each(values.iter_mut())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Vec<T>, SerdeError> {
        let found = bytes.len();
        let null = || SerdeError::Malformed { expected: "list without nulls", found };
        self.read(bytes)?.into_iter().map(|entry| entry.ok_or_else(null)).collect()
    }
}
