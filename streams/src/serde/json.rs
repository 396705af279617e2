//! Any type of the `serde` crate as JSON.
//! Given by the user like any serde. Never a schema: what does not fit the type is an error of that record.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Serde, SerdeError};

/// Values as JSON text.
pub struct JsonSerde<T>(PhantomData<fn() -> T>);

impl<T> JsonSerde<T> {
    /// The serde of a type.
    pub fn new() -> JsonSerde<T> {
        JsonSerde(PhantomData)
    }
}

impl<T> Default for JsonSerde<T> {
    fn default() -> JsonSerde<T> {
        JsonSerde::new()
    }
}

impl<T: Serialize + DeserializeOwned> Serde<T> for JsonSerde<T> {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        serde_json::to_writer(out, value).map_err(SerdeError::other)
    }

    fn deserialize(&self, bytes: Bytes) -> Result<T, SerdeError> {
        serde_json::from_slice(&bytes).map_err(SerdeError::other)
    }
}
