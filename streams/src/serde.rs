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
use crate::task::errors::BoxError;

pub use json::JsonSerde;
pub use known::Serdes;
pub use list::ListSerde;
pub use text::{Str, StrSerde};

/// Bytes that are no value of the type, or a value that has no bytes.
#[derive(Debug, Error)]
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
    /// What the format of a serde says, such as JSON, Avro or protobuf.
    #[error(transparent)]
    Other(BoxError),
}

impl SerdeError {
    /// An error of a format, or a text.
    pub fn other(error: impl Into<BoxError>) -> SerdeError {
        SerdeError::Other(error.into())
    }
}

/// The error that Java's serializers and deserializers make of all that is wrong, as dead letters name it.
pub(crate) const SERIALIZATION_CLASS: &str = "org.apache.kafka.common.errors.SerializationException";

/// Bytes that are lent for a call, out of a buffer that may be kept.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    bytes: &'a [u8],
    whole: Option<&'a Bytes>,
}

impl<'a> Part<'a> {
    /// Bytes of a buffer.
    pub fn of(whole: &'a Bytes, bytes: &'a [u8]) -> Part<'a> {
        Part { bytes, whole: Some(whole) }
    }

    /// Bytes of a buffer that is used for others next.
    pub fn new(bytes: &'a [u8]) -> Part<'a> {
        Part { bytes, whole: None }
    }

    /// The bytes.
    pub fn as_slice(self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes to keep: where they lie if their buffer can be kept, else copied.
    pub fn to_bytes(self) -> Bytes {
        match self.whole {
            Some(whole) => whole.slice_ref(self.bytes),
            None => Bytes::copy_from_slice(self.bytes),
        }
    }

    /// The bytes before and from a place.
    pub fn split_at(self, at: usize) -> Option<(Part<'a>, Part<'a>)> {
        let (left, right) = self.bytes.split_at_checked(at)?;
        Some((Part { bytes: left, ..self }, Part { bytes: right, ..self }))
    }
}

/// Turns a `T` into bytes and back; a null never comes here.
///
/// ```
/// use streams::SerdeError;
/// use streams::prelude::*;
///
/// /// Whole percents, as a text.
/// struct PercentSerde;
///
/// impl Serde<u8> for PercentSerde {
///     fn serialize(&self, value: &u8, out: &mut Vec<u8>) -> Result<(), SerdeError> {
///         if *value > 100 {
///             return Err(SerdeError::other(format!("{value} is no percentage")));
///         }
///         out.extend_from_slice(format!("{value}%").as_bytes());
///         Ok(())
///     }
///
///     fn deserialize(&self, bytes: Bytes) -> Result<u8, SerdeError> {
///         let text = std::str::from_utf8(&bytes).map_err(SerdeError::other)?;
///         text.trim_end_matches('%').parse().map_err(SerdeError::other)
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// builder.default_serde(PercentSerde);
/// ```
pub trait Serde<T>: Send + Sync {
    /// The value as bytes, appended; after an error nobody reads what was appended. The production handler is asked about a
    /// record that has no bytes for its topic, the processing handler about a row that has none for its store.
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError>;
    /// The value from its bytes; it may keep a part of them.
    fn deserialize(&self, bytes: Bytes) -> Result<T, SerdeError>;
    /// The same from bytes that are lent: a type that keeps nothing of them need not count who holds their buffer.
    fn deserialize_part(&self, part: Part<'_>) -> Result<T, SerdeError> {
        self.deserialize(part.to_bytes())
    }
    /// Makes a value ready to be kept for long, in a cache: what it shares with a larger buffer, such as a batch of records,
    /// it gets a copy of. The answer is about how many bytes it takes; None if that cannot be told from the value.
    ///
    /// A serde of a type with a [`Str`] or `Bytes` in it does this for them: without it each entry of a cache keeps the whole
    /// batch that it came from, and counts as no more than `size_of` the type until it is written.
    fn hold(&self, value: &mut T) -> Option<usize> {
        let _ = value;
        None
    }
    /// How many bytes each value takes, where all take the same: lists write no lengths then.
    fn fixed_len(&self) -> Option<usize> {
        None
    }
    /// How many of a key's bytes say which partition it belongs to (WindowedStreamPartitioner: the key in the window).
    fn routing_len(&self, whole: usize) -> usize {
        whole
    }
}

/// The bytes of a value in a buffer of their own.
pub(crate) fn bytes_of<T>(serde: &(impl Serde<T> + ?Sized), value: &T) -> Result<Vec<u8>, SerdeError> {
    let mut bytes = Vec::new();
    serde.serialize(value, &mut bytes).map(|()| bytes)
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
    fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<String, SerdeError> {
        self.deserialize_part(Part::new(&bytes))
    }

    fn deserialize_part(&self, part: Part<'_>) -> Result<String, SerdeError> {
        Ok(match std::str::from_utf8(part.as_slice()) {
            Ok(text) => text.to_owned(),
            // Java's StringDeserializer replaces what is no UTF-8; so does this.
            Err(_) => String::from_utf8_lossy(part.as_slice()).into_owned(),
        })
    }

    fn hold(&self, value: &mut String) -> Option<usize> {
        Some(value.len())
    }
}

/// Bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct BytesSerde;

impl Serde<Bytes> for BytesSerde {
    fn serialize(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Bytes, SerdeError> {
        Ok(bytes)
    }

    fn hold(&self, value: &mut Bytes) -> Option<usize> {
        *value = Bytes::copy_from_slice(value);
        Some(value.len())
    }
}

/// Numbers in big-endian order, as Java's LongSerializer and its family.
#[derive(Debug, Clone, Copy, Default)]
pub struct NumberSerde;

macro_rules! numbers {
    ($($number:ty, $name:literal;)*) => {$(
        impl Serde<$number> for NumberSerde {
            fn serialize(&self, value: &$number, out: &mut Vec<u8>) -> Result<(), SerdeError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            }

            fn deserialize(&self, bytes: Bytes) -> Result<$number, SerdeError> {
                self.deserialize_part(Part::new(&bytes))
            }

            fn deserialize_part(&self, part: Part<'_>) -> Result<$number, SerdeError> {
                let size = std::mem::size_of::<$number>();
                let array = part.as_slice().try_into().map_err(|_| SerdeError::Size { deserializer: $name, size })?;
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
    fn serialize(&self, value: &bool, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(u8::from(*value));
        Ok(())
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
    fn serialize(&self, value: &Uuid, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Uuid, SerdeError> {
        self.deserialize_part(Part::new(&bytes))
    }

    fn deserialize_part(&self, part: Part<'_>) -> Result<Uuid, SerdeError> {
        let malformed = |_| SerdeError::Malformed { expected: "UUID", found: part.as_slice().len() };
        Uuid::try_parse_ascii(part.as_slice()).map_err(malformed)
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
fn split_time(part: &mut Part<'_>, expected: &'static str) -> Result<i64, SerdeError> {
    let short = SerdeError::Malformed { expected, found: part.as_slice().len() };
    let at = part.as_slice().len().checked_sub(8);
    let (rest, time) = at.and_then(|at| part.split_at(at)).ok_or(short)?;
    *part = rest;
    Ok(i64::from_be_bytes(time.as_slice().try_into().expect("eight bytes were split off")))
}

impl<K> Serde<Windowed<K>> for TimeWindowedSerde<K> {
    fn serialize(&self, windowed: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.inner.serialize(&windowed.key, out)?;
        out.extend_from_slice(&windowed.window.start.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Windowed<K>, SerdeError> {
        self.deserialize_part(Part::of(&bytes, &bytes))
    }

    fn deserialize_part(&self, mut part: Part<'_>) -> Result<Windowed<K>, SerdeError> {
        let start = split_time(&mut part, "key of a window")?;
        let window = Window { start, end: start.saturating_add(self.size_ms) };
        Ok(Windowed { key: self.inner.deserialize_part(part)?, window })
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
    fn serialize(&self, windowed: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.serialize(&windowed.key, out)?;
        out.extend_from_slice(&windowed.window.end.to_be_bytes());
        out.extend_from_slice(&windowed.window.start.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Windowed<K>, SerdeError> {
        self.deserialize_part(Part::of(&bytes, &bytes))
    }

    fn deserialize_part(&self, mut part: Part<'_>) -> Result<Windowed<K>, SerdeError> {
        let start = split_time(&mut part, "key of a session")?;
        let end = split_time(&mut part, "key of a session")?;
        Ok(Windowed { key: self.0.deserialize_part(part)?, window: Window { start, end } })
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
