//! A message as a tree, written and read by the table of Apache Kafka's definitions.
//!
//! The table drives both directions, so every key and version is covered without naming a message; what is sent
//! does not depend on the codecs under test.

use anyhow::{Context, bail};
use millstream_protocol::schema::{Field, Kind, Message, within};

use crate::slot::Slot;

/// A value of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null, where the field may be.
    Null,
    /// Any integer or boolean.
    Int(i64),
    /// A double.
    Float(f64),
    /// A UUID.
    Uuid([u8; 16]),
    /// A string.
    Text(String),
    /// Bytes or records.
    Bytes(Vec<u8>),
    /// An array.
    Array(Vec<Value>),
    /// A structure: the fields of the version, in order.
    Struct(Vec<(&'static str, Value)>),
    /// Stands for something that each broker told us itself.
    Learnt(Slot),
    /// Records of a producer whose id each broker gave.
    Batch(Box<crate::records::Batch>),
}

impl Value {
    /// A structure; fields that the version does not have may be among them.
    pub fn of<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
        Value::Struct(fields.into())
    }

    /// A text.
    pub fn name(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    /// The field of that name of a structure.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(fields) => fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The elements of an array; none for anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// The number, if it is one.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A field's number.
    pub fn int_of(&self, name: &str) -> Option<i64> {
        self.get(name)?.int()
    }

    /// A field's text.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }
}

/// Whether a field of the table is there in this version, and whether as a tagged field.
fn place(field: &Field, version: i16, flexible: bool) -> Option<bool> {
    within(field.versions, version).then_some(field.tag >= 0 && flexible)
}

/// Writes a message's body. Every learnt value has to be resolved before.
pub fn encode(message: &'static Message, version: i16, value: &Value) -> anyhow::Result<Vec<u8>> {
    let mut writer = Writer { out: Vec::new(), version };
    writer.structure(message.fields, value, within(message.flexible, version))?;
    Ok(writer.out)
}

/// Reads a message's body; answers what is left over as well.
pub fn decode(message: &'static Message, version: i16, bytes: &[u8]) -> anyhow::Result<(Value, usize)> {
    let mut reader = Reader { bytes, version };
    let value = reader.structure(message.fields, within(message.flexible, version))?;
    Ok((value, reader.bytes.len()))
}

struct Writer {
    out: Vec<u8>,
    version: i16,
}

impl Writer {
    fn structure(&mut self, fields: &'static [Field], value: &Value, flexible: bool) -> anyhow::Result<()> {
        let mut tagged = Vec::new();
        for field in fields {
            let Some(is_tagged) = place(field, self.version, flexible) else { continue };
            let of = value.get(field.name);
            if is_tagged {
                if let Some(of) = of.filter(|of| **of != Value::Null) {
                    tagged.push((field, of));
                }
                continue;
            }
            let of = of.with_context(|| format!("{} is missing", field.name))?;
            self.field(field, of, flexible)?;
        }
        if flexible {
            tagged.sort_by_key(|(field, _)| field.tag);
            self.varint(tagged.len() as u32);
            for (field, of) in tagged {
                let mut inner = Writer { out: Vec::new(), version: self.version };
                inner.field(field, of, flexible)?;
                self.varint(field.tag as u32);
                self.varint(inner.out.len() as u32);
                self.out.extend_from_slice(&inner.out);
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'static Field, value: &Value, flexible: bool) -> anyhow::Result<()> {
        if let (Kind::Struct(_), true) = (&field.kind, within(field.nullable, self.version)) {
            self.out.push(if *value == Value::Null { 0xff } else { 1 });
            if *value == Value::Null {
                return Ok(());
            }
        }
        self.kind(&field.kind, value, flexible, flexible && within(field.flexible, self.version))
            .with_context(|| format!("in {}", field.name))
    }

    fn kind(&mut self, kind: &'static Kind, value: &Value, flexible: bool, compact: bool) -> anyhow::Result<()> {
        match (kind, value) {
            (Kind::Struct(fields), _) => self.structure(fields, value, flexible)?,
            (Kind::Array(_) | Kind::Bytes | Kind::Records, Value::Null) => self.length(None, compact, 4),
            (Kind::String, Value::Null) => self.length(None, compact, 2),
            (Kind::Array(element), Value::Array(items)) => {
                self.length(Some(items.len()), compact, 4);
                for item in items {
                    self.kind(element, item, flexible, compact)?;
                }
            }
            (Kind::String, Value::Text(text)) => {
                self.length(Some(text.len()), compact, 2);
                self.out.extend_from_slice(text.as_bytes());
            }
            (Kind::Bytes | Kind::Records, Value::Bytes(bytes)) => {
                self.length(Some(bytes.len()), compact, 4);
                self.out.extend_from_slice(bytes);
            }
            (Kind::Uuid, Value::Uuid(id)) => self.out.extend_from_slice(id),
            (Kind::Float64, Value::Float(number)) => self.out.extend_from_slice(&number.to_be_bytes()),
            (kind, Value::Int(number)) => {
                let bytes = number.to_be_bytes();
                self.out.extend_from_slice(&bytes[8 - width(kind)?..]);
            }
            (kind, value) => bail!("{value:?} is no {kind:?}"),
        }
        Ok(())
    }

    fn length(&mut self, length: Option<usize>, compact: bool, width: usize) {
        if compact {
            self.varint(length.map_or(0, |length| length as u32 + 1));
        } else {
            let bytes = length.map_or(-1, |length| length as i64).to_be_bytes();
            self.out.extend_from_slice(&bytes[8 - width..]);
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

fn width(kind: &Kind) -> anyhow::Result<usize> {
    Ok(match kind {
        Kind::Bool | Kind::Int8 => 1,
        Kind::Int16 | Kind::Uint16 => 2,
        Kind::Int32 | Kind::Uint32 => 4,
        Kind::Int64 => 8,
        other => bail!("{other:?} is no integer"),
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    version: i16,
}

impl<'a> Reader<'a> {
    fn structure(&mut self, fields: &'static [Field], flexible: bool) -> anyhow::Result<Value> {
        let mut values: Vec<(&'static str, Value)> = Vec::new();
        for field in fields {
            if place(field, self.version, flexible) == Some(false) {
                values.push((field.name, self.field(field, flexible)?));
            }
        }
        if flexible {
            for _ in 0..self.varint()? {
                let tag = self.varint()? as i32;
                let size = self.varint()? as usize;
                let mut inner = Reader { bytes: self.take(size)?, version: self.version };
                let known = fields.iter().find(|field| field.tag == tag && within(field.versions, self.version));
                match known {
                    Some(field) => {
                        values.push((field.name, inner.field(field, flexible)?));
                        anyhow::ensure!(inner.bytes.is_empty(), "the tagged field {} has a wrong size", field.name);
                    }
                    None => bail!("unknown tagged field {tag}"),
                }
            }
        }
        Ok(Value::Struct(values))
    }

    fn field(&mut self, field: &'static Field, flexible: bool) -> anyhow::Result<Value> {
        let nullable = within(field.nullable, self.version);
        if let (Kind::Struct(_), true) = (&field.kind, nullable)
            && self.take(1)?[0] >= 0x80
        {
            return Ok(Value::Null);
        }
        let value = self.kind(&field.kind, flexible, flexible && within(field.flexible, self.version))?;
        anyhow::ensure!(nullable || value != Value::Null, "{} is null in version {}", field.name, self.version);
        Ok(value)
    }

    fn kind(&mut self, kind: &'static Kind, flexible: bool, compact: bool) -> anyhow::Result<Value> {
        Ok(match kind {
            Kind::Struct(fields) => self.structure(fields, flexible)?,
            Kind::Array(element) => match self.length(compact, 4)? {
                None => Value::Null,
                Some(count) => {
                    let items = (0..count).map(|_| self.kind(element, flexible, compact));
                    Value::Array(items.collect::<anyhow::Result<_>>()?)
                }
            },
            Kind::String => match self.length(compact, 2)? {
                None => Value::Null,
                Some(length) => Value::Text(String::from_utf8(self.take(length)?.to_vec())?),
            },
            Kind::Bytes | Kind::Records => match self.length(compact, 4)? {
                None => Value::Null,
                Some(length) => Value::Bytes(self.take(length)?.to_vec()),
            },
            Kind::Uuid => Value::Uuid(self.take(16)?.try_into()?),
            Kind::Float64 => Value::Float(f64::from_be_bytes(self.take(8)?.try_into()?)),
            Kind::Uint16 => Value::Int(self.int(2)? & 0xffff),
            Kind::Uint32 => Value::Int(self.int(4)? & 0xffff_ffff),
            integer => Value::Int(self.int(width(integer)?)?),
        })
    }

    fn int(&mut self, width: usize) -> anyhow::Result<i64> {
        let raw = self.take(width)?;
        let sign = if raw[0] >= 0x80 { 0xff } else { 0 };
        let mut bytes = [sign; 8];
        bytes[8 - width..].copy_from_slice(raw);
        Ok(i64::from_be_bytes(bytes))
    }

    fn length(&mut self, compact: bool, width: usize) -> anyhow::Result<Option<usize>> {
        let length = if compact { i64::from(self.varint()?) - 1 } else { self.int(width)? };
        Ok(usize::try_from(length).ok())
    }

    fn varint(&mut self) -> anyhow::Result<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        bail!("a varint is too long")
    }

    fn take(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).context("the answer is cut short")?;
        self.bytes = rest;
        Ok(taken)
    }
}
