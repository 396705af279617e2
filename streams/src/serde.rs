//! Keys and values to bytes and back.
//! Called by sources, sinks and stores; given by the user in Consumed, Produced, Grouped, Materialized and Joined. Never allocates for `Bytes`.
//! Not done: windowed keys, lists, JSON by serde.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

/// Bytes that are no value of the type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found} bytes are no {expected}")]
pub struct SerdeError {
    /// What was looked for.
    pub expected: &'static str,
    /// How many bytes there were.
    pub found: usize,
}

/// Turns a `T` into bytes and back; a null never comes here.
pub trait Serde<T>: Send + Sync {
    /// The value as bytes, appended.
    fn serialize(&self, value: &T, out: &mut Vec<u8>);
    /// The value from its bytes; it may keep a part of them.
    fn deserialize(&self, bytes: Bytes) -> Result<T, SerdeError>;
}

/// A serde that several nodes use.
pub type SharedSerde<T> = Arc<dyn Serde<T>>;

/// Types with a serde of their own, so that none need be named.
pub trait DefaultSerde: Sized + 'static {
    /// That serde.
    fn serde() -> SharedSerde<Self>;
}

/// UTF-8, as Java's StringSerializer.
#[derive(Debug, Clone, Copy, Default)]
pub struct StringSerde;

impl Serde<String> for StringSerde {
    fn serialize(&self, value: &String, out: &mut Vec<u8>) {
        out.extend_from_slice(value.as_bytes());
    }

    fn deserialize(&self, bytes: Bytes) -> Result<String, SerdeError> {
        // Java's StringDeserializer replaces what is no UTF-8; so does this.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct BytesSerde;

impl Serde<Bytes> for BytesSerde {
    fn serialize(&self, value: &Bytes, out: &mut Vec<u8>) {
        out.extend_from_slice(value);
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Bytes, SerdeError> {
        Ok(bytes)
    }
}

/// Numbers in big-endian order, as Java's LongSerializer and its family.
#[derive(Debug, Clone, Copy, Default)]
pub struct NumberSerde;

macro_rules! numbers {
    ($($number:ty, $name:literal;)*) => {$(
        impl Serde<$number> for NumberSerde {
            fn serialize(&self, value: &$number, out: &mut Vec<u8>) {
                out.extend_from_slice(&value.to_be_bytes());
            }

            fn deserialize(&self, bytes: Bytes) -> Result<$number, SerdeError> {
                let array = bytes.as_ref().try_into().map_err(|_| SerdeError { expected: $name, found: bytes.len() })?;
                Ok(<$number>::from_be_bytes(array))
            }
        }

        impl DefaultSerde for $number {
            fn serde() -> SharedSerde<$number> {
                Arc::new(NumberSerde)
            }
        }
    )*};
}

numbers! {
    i16, "short";
    i32, "integer";
    i64, "long";
    f32, "float";
    f64, "double";
}

impl DefaultSerde for String {
    fn serde() -> SharedSerde<String> {
        Arc::new(StringSerde)
    }
}

impl DefaultSerde for Bytes {
    fn serde() -> SharedSerde<Bytes> {
        Arc::new(BytesSerde)
    }
}
