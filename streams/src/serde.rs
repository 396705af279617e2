//! Keys and values to bytes and back.
//! Called by sources, sinks and stores; given by the user in Consumed, Produced, Grouped, Materialized and Joined. Never allocates for `Bytes`.

// Lists of values.
mod list;
// JSON of any type.
mod json;
// Serdes by type.
mod known;
// Texts that share their buffer.
mod text;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use uuid::Uuid;

use crate::record::{Window, Windowed};

pub use json::{JsonSerde, JsonSerde as Json};
pub use known::Serdes;
pub use list::ListSerde;
pub use text::{Str, StrSerde};

/// Bytes that are no value of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SerdeError {
    /// They have no meaning to the type.
    #[error("{found} bytes are no {expected}")]
    Malformed {
        /// What was looked for.
        expected: &'static str,
        /// How many bytes there were.
        found: usize,
    },
    /// They are more or fewer than all values of the type have. Dead letters show the text of Java's deserializer.
    #[error("Size of data received by {deserializer} is not {size}")]
    Size {
        /// Java's name.
        deserializer: &'static str,
        /// How many there must be.
        size: usize,
    },
}

/// The error that Java's deserializers make of all that is wrong, as dead letters name it.
pub(crate) const DESERIALIZATION_CLASS: &str = "org.apache.kafka.common.errors.SerializationException";

/// Turns a `T` into bytes and back; a null never comes here.
pub trait Serde<T>: Send + Sync {
    /// The value as bytes, appended.
    fn serialize(&self, value: &T, out: &mut Vec<u8>);
    /// The value from its bytes; it may keep a part of them.
    fn deserialize(&self, bytes: Bytes) -> Result<T, SerdeError>;
    /// How many bytes each value takes, where all take the same: lists write no lengths then.
    fn fixed_len(&self) -> Option<usize> {
        None
    }
    /// How many of a key's bytes say which partition it belongs to (WindowedStreamPartitioner: the key in the window).
    fn routing_len(&self, whole: usize) -> usize {
        whole
    }
}

/// A serde that several nodes use.
pub type SharedSerde<T> = Arc<dyn Serde<T>>;

/// Types with a serde of their own, so that none need be named.
pub trait DefaultSerde: Sized + 'static {
    /// That serde.
    fn serde() -> SharedSerde<Self>;
}

/// UTF-8, as Java's StringSerializer. [`Str`] is a text that is not copied.
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
                let size = std::mem::size_of::<$number>();
                let array = bytes.as_ref().try_into().map_err(|_| SerdeError::Size { deserializer: $name, size })?;
                Ok(<$number>::from_be_bytes(array))
            }

            fn fixed_len(&self) -> Option<usize> {
                Some(std::mem::size_of::<$number>())
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
    i16, "ShortDeserializer";
    i32, "IntegerDeserializer";
    i64, "LongDeserializer";
    f32, "FloatDeserializer";
    f64, "DoubleDeserializer";
}

/// One byte, as Java's BooleanSerializer.
#[derive(Debug, Clone, Copy, Default)]
pub struct BoolSerde;

impl Serde<bool> for BoolSerde {
    fn serialize(&self, value: &bool, out: &mut Vec<u8>) {
        out.push(u8::from(*value));
    }

    fn deserialize(&self, bytes: Bytes) -> Result<bool, SerdeError> {
        match bytes.as_ref() {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => Err(SerdeError::Malformed { expected: "boolean", found: 1 }),
            _ => Err(SerdeError::Size { deserializer: "BooleanDeserializer", size: 1 }),
        }
    }
}

/// The text of a UUID, as Java's UUIDSerializer.
#[derive(Debug, Clone, Copy, Default)]
pub struct UuidSerde;

impl Serde<Uuid> for UuidSerde {
    fn serialize(&self, value: &Uuid, out: &mut Vec<u8>) {
        out.extend_from_slice(value.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Uuid, SerdeError> {
        Uuid::try_parse_ascii(&bytes)
            .map_err(|_| SerdeError::Malformed { expected: "UUID", found: bytes.len() })
    }

    fn fixed_len(&self) -> Option<usize> {
        Some(36)
    }
}

impl DefaultSerde for bool {
    fn serde() -> SharedSerde<bool> {
        Arc::new(BoolSerde)
    }
}

impl DefaultSerde for Uuid {
    fn serde() -> SharedSerde<Uuid> {
        Arc::new(UuidSerde)
    }
}

/// A key and the start of its window, which is `size_ms` long (Java's TimeWindowedSerde).
pub struct TimeWindowedSerde<K> {
    inner: SharedSerde<K>,
    size_ms: i64,
}

impl<K> TimeWindowedSerde<K> {
    /// The keys' serde, and how long windows are.
    pub fn new(inner: SharedSerde<K>, size: std::time::Duration) -> TimeWindowedSerde<K> {
        TimeWindowedSerde::of_millis(inner, i64::try_from(size.as_millis()).unwrap_or(i64::MAX))
    }

    pub(crate) fn of_millis(inner: SharedSerde<K>, size_ms: i64) -> TimeWindowedSerde<K> {
        TimeWindowedSerde { inner, size_ms }
    }
}

/// Takes the last eight bytes off.
fn split_time(bytes: &mut Bytes, expected: &'static str) -> Result<i64, SerdeError> {
    let short = SerdeError::Malformed { expected, found: bytes.len() };
    let time = bytes.len().checked_sub(8).map(|at| bytes.split_off(at)).ok_or(short)?;
    Ok(i64::from_be_bytes(time.as_ref().try_into().expect("eight bytes were split off")))
}

impl<K> Serde<Windowed<K>> for TimeWindowedSerde<K> {
    fn serialize(&self, windowed: &Windowed<K>, out: &mut Vec<u8>) {
        self.inner.serialize(&windowed.key, out);
        out.extend_from_slice(&windowed.window.start.to_be_bytes());
    }

    fn deserialize(&self, mut bytes: Bytes) -> Result<Windowed<K>, SerdeError> {
        let start = split_time(&mut bytes, "key of a window")?;
        let window = Window { start, end: start.saturating_add(self.size_ms) };
        Ok(Windowed { key: self.inner.deserialize(bytes)?, window })
    }

    fn routing_len(&self, whole: usize) -> usize {
        whole.saturating_sub(8)
    }
}

/// A key and the end and start of its session (Java's SessionWindowedSerde).
pub struct SessionWindowedSerde<K>(SharedSerde<K>);

impl<K> SessionWindowedSerde<K> {
    /// The keys' serde.
    pub fn new(inner: SharedSerde<K>) -> SessionWindowedSerde<K> {
        SessionWindowedSerde(inner)
    }
}

impl<K> Serde<Windowed<K>> for SessionWindowedSerde<K> {
    fn serialize(&self, windowed: &Windowed<K>, out: &mut Vec<u8>) {
        self.0.serialize(&windowed.key, out);
        out.extend_from_slice(&windowed.window.end.to_be_bytes());
        out.extend_from_slice(&windowed.window.start.to_be_bytes());
    }

    fn deserialize(&self, mut bytes: Bytes) -> Result<Windowed<K>, SerdeError> {
        let start = split_time(&mut bytes, "key of a session")?;
        let end = split_time(&mut bytes, "key of a session")?;
        Ok(Windowed { key: self.0.deserialize(bytes)?, window: Window { start, end } })
    }

    fn routing_len(&self, whole: usize) -> usize {
        whole.saturating_sub(16)
    }
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
