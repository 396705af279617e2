//! The definitions of Apache Kafka's messages as a table, and a walk that checks bytes against them before a
//! message is decoded.
//!
//! Called by `request.rs` and `response.rs` before every decode: kafka-protocol reserves memory by counts from the
//! wire and never looks at what is left, so the walk has to come first. It allocates nothing, refuses what the
//! readers generated for Apache refuse (null where none is allowed, counts above the bytes left, strings above
//! 32767 bytes, overlong varints), and answers where a message must be changed before kafka-protocol takes it:
//! Apache reads bytes that are no UTF-8 as replacement characters, and any negative length as null.

mod table;

use crate::error::DecodeError;
use crate::wire::STRING_MAX;

pub use table::MESSAGES;

/// A message: its name, versions and fields.
#[derive(Debug)]
pub struct Message {
    /// Apache Kafka's name.
    pub name: &'static str,
    /// First and last version.
    pub versions: (i16, i16),
    /// First and last version with compact encodings; empty (first > last) for none.
    pub flexible: (i16, i16),
    /// Its fields in the order of the definition.
    pub fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// Apache Kafka's name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Versions that have it.
    pub versions: (i16, i16),
    /// Versions in which it may be null.
    pub nullable: (i16, i16),
    /// Versions in which it has the compact encoding.
    pub flexible: (i16, i16),
    /// Its tag, or -1.
    pub tag: i32,
}

/// What a field holds.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names are those of the definitions")]
pub enum Kind {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Array(&'static Kind),
    Struct(&'static [Field]),
}

impl Field {
    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        versions: (i16, i16),
        nullable: (i16, i16),
        flexible: (i16, i16),
        tag: i32,
    ) -> Field {
        Field { name, kind, versions, nullable, flexible, tag }
    }
}

/// Whether `version` lies in `span`.
pub fn within(span: (i16, i16), version: i16) -> bool {
    span.0 <= version && version <= span.1
}

/// The request and the response of an API.
pub fn messages(api_key: i16) -> Option<(&'static Message, &'static Message)> {
    let found = MESSAGES.binary_search_by_key(&api_key, |row| row.0).ok()?;
    Some((&MESSAGES[found].1, &MESSAGES[found].2))
}

/// What the walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Bytes that the message takes; what follows is ignored, as Apache does.
    pub length: usize,
    /// Whether [`normalise`] must rewrite the message before kafka-protocol reads it.
    pub form: Form,
}

/// See [`Walked::form`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As kafka-protocol expects it.
    Plain,
    /// It holds bytes that are no UTF-8, or a null written as a length below -1.
    Unusual,
}

/// Checks `bytes` against `message` in `version`.
pub fn walk(message: &'static Message, version: i16, bytes: &[u8]) -> Result<Walked, DecodeError> {
    let mut walker = Walker { bytes, position: 0, version, form: Form::Plain, edits: None };
    walker.message(message)?;
    Ok(Walked { length: walker.position, form: walker.form })
}

/// The same message with replacement characters for what is no UTF-8 and -1 for every null.
pub fn normalise(message: &'static Message, version: i16, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let edits = Some(Edits { out: Vec::with_capacity(bytes.len()), copied: 0 });
    let mut walker = Walker { bytes, position: 0, version, form: Form::Plain, edits };
    walker.message(message)?;
    let end = walker.position;
    let mut edits = walker.edits.expect("put there above");
    edits.out.extend_from_slice(&bytes[edits.copied..end]);
    Ok(edits.out)
}

/// The rewritten message so far: everything before `copied` is in `out`.
struct Edits {
    out: Vec<u8>,
    copied: usize,
}

struct Walker<'a> {
    bytes: &'a [u8],
    position: usize,
    version: i16,
    form: Form,
    edits: Option<Edits>,
}

/// How a length is written.
#[derive(Clone, Copy)]
enum Prefix {
    Varint,
    Short,
    Int,
}

impl Walker<'_> {
    fn message(&mut self, message: &'static Message) -> Result<(), DecodeError> {
        if !within(message.versions, self.version) {
            return Err(DecodeError::Version { message: message.name, version: self.version });
        }
        self.structure(message.fields, within(message.flexible, self.version))
    }

    fn structure(&mut self, fields: &'static [Field], flexible: bool) -> Result<(), DecodeError> {
        for field in fields {
            let tagged = field.tag >= 0 && flexible;
            if !tagged && within(field.versions, self.version) {
                self.field(field, flexible)?;
            }
        }
        if flexible { self.tagged_fields(fields) } else { Ok(()) }
    }

    fn tagged_fields(&mut self, fields: &'static [Field]) -> Result<(), DecodeError> {
        for _ in 0..self.varint("tagged fields")? {
            let tag = self.varint("tag")?;
            let size = self.varint("size of a tagged field")? as usize;
            let known = fields
                .iter()
                .find(|field| field.tag >= 0 && field.tag as u32 == tag && within(field.versions, self.version));
            match known {
                // The size is not compared with what the field takes; Apache does not compare it either.
                Some(field) => self.field(field, true)?,
                None => self.skip(size, "tagged field")?,
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'static Field, flexible: bool) -> Result<(), DecodeError> {
        let nullable = within(field.nullable, self.version);
        // A field may stay plain in a flexible message (the header's client id).
        let compact = flexible && within(field.flexible, self.version);
        match &field.kind {
            Kind::Array(element) => {
                let prefix = if compact { Prefix::Varint } else { Prefix::Int };
                let Some(count) = self.length(prefix, nullable, field.name)? else { return Ok(()) };
                let left = self.left();
                if count > left {
                    return Err(DecodeError::Count { field: field.name, count, left });
                }
                self.elements(element, count, flexible, compact, field.name)
            }
            Kind::Struct(fields) => {
                if nullable && self.take(1, field.name)?[0] >= 0x80 {
                    return Ok(());
                }
                self.structure(fields, flexible)
            }
            kind => self.scalar(kind, compact, nullable, field.name),
        }
    }

    fn elements(
        &mut self,
        element: &'static Kind,
        count: usize,
        flexible: bool,
        compact: bool,
        name: &'static str,
    ) -> Result<(), DecodeError> {
        match element {
            Kind::Struct(fields) => {
                for _ in 0..count {
                    self.structure(fields, flexible)?;
                }
                Ok(())
            }
            Kind::String | Kind::Bytes | Kind::Records => {
                for _ in 0..count {
                    self.scalar(element, compact, false, name)?;
                }
                Ok(())
            }
            fixed => self.skip(count.saturating_mul(fixed_size(fixed)), name),
        }
    }

    fn scalar(&mut self, kind: &Kind, compact: bool, nullable: bool, name: &'static str) -> Result<(), DecodeError> {
        match kind {
            Kind::String => self.string(compact, nullable, name),
            Kind::Bytes | Kind::Records => {
                let prefix = if compact { Prefix::Varint } else { Prefix::Int };
                match self.length(prefix, nullable, name)? {
                    Some(length) => self.skip(length, name),
                    None => Ok(()),
                }
            }
            fixed => self.skip(fixed_size(fixed), name),
        }
    }

    fn string(&mut self, compact: bool, nullable: bool, name: &'static str) -> Result<(), DecodeError> {
        let start = self.position;
        let prefix = if compact { Prefix::Varint } else { Prefix::Short };
        let Some(length) = self.length(prefix, nullable, name)? else { return Ok(()) };
        if length > STRING_MAX {
            return Err(DecodeError::Length { field: name, length });
        }
        let text = self.take(length, name)?;
        if std::str::from_utf8(text).is_ok() {
            return Ok(());
        }
        let fixed = String::from_utf8_lossy(text).into_owned();
        self.form = Form::Unusual;
        if self.edits.is_some() && fixed.len() > STRING_MAX {
            return Err(DecodeError::Length { field: name, length: fixed.len() });
        }
        if let Some(edits) = &mut self.edits {
            edits.out.extend_from_slice(&self.bytes[edits.copied..start]);
            if compact {
                crate::wire::put_unsigned_varint(&mut edits.out, fixed.len() as u32 + 1);
            } else {
                edits.out.extend_from_slice(&(fixed.len() as i16).to_be_bytes());
            }
            edits.out.extend_from_slice(fixed.as_bytes());
            edits.copied = self.position;
        }
        Ok(())
    }

    /// A length or count; `None` is null.
    fn length(&mut self, prefix: Prefix, nullable: bool, name: &'static str) -> Result<Option<usize>, DecodeError> {
        let start = self.position;
        let length = match prefix {
            Prefix::Varint => i64::from(self.varint(name)?) - 1,
            Prefix::Short => {
                let raw = self.take(2, name)?;
                i64::from(i16::from_be_bytes([raw[0], raw[1]]))
            }
            Prefix::Int => {
                let raw = self.take(4, name)?;
                i64::from(i32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]))
            }
        };
        if length >= 0 {
            return Ok(Some(length as usize));
        }
        if !nullable {
            return Err(DecodeError::Null(name));
        }
        if length < -1 {
            self.form = Form::Unusual;
            if let Some(edits) = &mut self.edits {
                edits.out.extend_from_slice(&self.bytes[edits.copied..start]);
                edits.out.resize(edits.out.len() + (self.position - start), 0xff);
                edits.copied = self.position;
            }
        }
        Ok(None)
    }

    fn varint(&mut self, name: &'static str) -> Result<u32, DecodeError> {
        crate::wire::unsigned_varint(name, || Ok(self.take(1, name)?[0]))
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    fn take(&mut self, need: usize, field: &'static str) -> Result<&[u8], DecodeError> {
        let left = self.left();
        if need > left {
            return Err(DecodeError::Truncated { field, need, left });
        }
        let start = self.position;
        self.position += need;
        Ok(&self.bytes[start..start + need])
    }

    fn skip(&mut self, need: usize, field: &'static str) -> Result<(), DecodeError> {
        self.take(need, field).map(|_| ())
    }
}

/// Bytes of a kind that has no length prefix.
fn fixed_size(kind: &Kind) -> usize {
    match kind {
        Kind::Bool | Kind::Int8 => 1,
        Kind::Int16 | Kind::Uint16 => 2,
        Kind::Int32 | Kind::Uint32 => 4,
        Kind::Int64 | Kind::Float64 => 8,
        Kind::Uuid => 16,
        Kind::String | Kind::Bytes | Kind::Records | Kind::Array(_) | Kind::Struct(_) => 0,
    }
}
