//! `Str`: a text that shares the buffer it was read from.
//! Taken by applications in place of `String` where each record counts: reading one checks its UTF-8 once and copies nothing,
//! and a word of it is a slice of the same buffer.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;

use super::{DefaultSerde, Serde, SerdeError, SharedSerde};

/// A text that is cheap to clone and to cut.
///
/// ```
/// use streams::Str;
///
/// let line = Str::from("all streams");
/// let words: Vec<Str> = line.split(' ').map(|word| line.slice_ref(word)).collect();
/// assert_eq!(words, ["all", "streams"]);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Str(ByteString);

impl Str {
    /// The text of these bytes; what is no UTF-8 is replaced, as Java's StringDeserializer does.
    pub fn from_bytes(bytes: Bytes) -> Str {
        match ByteString::try_from(bytes.clone()) {
            Ok(text) => Str(text),
            Err(_) => Str(String::from_utf8_lossy(&bytes).into_owned().into()),
        }
    }

    /// A part of this text, in the same buffer.
    ///
    /// # Panics
    /// If `part` is no part of this text.
    pub fn slice_ref(&self, part: &str) -> Str {
        Str(self.0.slice_ref(part))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Str {
        Str(text.into())
    }
}

impl From<String> for Str {
    fn from(text: String) -> Str {
        Str(text.into())
    }
}

impl From<Str> for String {
    fn from(text: Str) -> String {
        text.as_str().to_owned()
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Str {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(to)
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), to)
    }
}

/// UTF-8 without a copy; the bytes are those of `StringSerde`.
#[derive(Debug, Clone, Copy, Default)]
pub struct StrSerde;

impl Serde<Str> for StrSerde {
    fn serialize(&self, value: &Str, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Str, SerdeError> {
        Ok(Str::from_bytes(bytes))
    }

    fn hold(&self, value: &mut Str) -> Option<usize> {
        *value = Str::from(value.as_str());
        Some(value.len())
    }
}

impl DefaultSerde for Str {
    fn serde() -> SharedSerde<Str> {
        std::sync::Arc::new(StrSerde)
    }
}
