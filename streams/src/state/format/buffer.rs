//! Records that wait in a buffer (`suppress`, joins with grace): their context, and the values before and after
//! (ProcessorRecordContext, BufferValue). A changelog record has 8 bytes of buffer time at its end.

use bytes::Bytes;

use super::{Fields, write_nullable};
use crate::record::Header;
use crate::state::error::Malformed;

/// Where a record came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordContext {
    /// Its timestamp.
    pub timestamp: i64,
    /// Its offset.
    pub offset: i64,
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its headers.
    pub headers: Vec<Header>,
}

impl RecordContext {
    /// As bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        write_nullable(Some(self.topic.as_bytes()), out);
        out.extend_from_slice(&self.partition.to_be_bytes());
        let count = i32::try_from(self.headers.len()).expect("fewer than 2 billion headers");
        out.extend_from_slice(&count.to_be_bytes());
        for (name, value) in &self.headers {
            write_nullable(Some(name.as_bytes()), out);
            write_nullable(value.as_deref(), out);
        }
    }

    pub(crate) fn read_from(fields: &mut Fields) -> Result<RecordContext, Malformed> {
        let (timestamp, offset) = (fields.i64()?, fields.i64()?);
        let topic = text(fields)?;
        let partition = fields.i32()?;
        // Before headers were kept the count was -1.
        let count = fields.i32()?.max(0);
        if usize::try_from(count).map_or(true, |count| count > fields.remaining() / 8) {
            return Err(fields.error());
        }
        let mut headers = Vec::new();
        for _ in 0..count {
            headers.push((text(fields)?, fields.nullable()?));
        }
        Ok(RecordContext { timestamp, offset, topic, partition, headers })
    }

    /// From bytes that hold nothing else.
    pub fn read(bytes: Bytes) -> Result<RecordContext, Malformed> {
        let mut fields = Fields::of(bytes, "context of a record");
        let context = RecordContext::read_from(&mut fields)?;
        if fields.remaining() > 0 { Err(fields.error()) } else { Ok(context) }
    }

    /// How many bytes of memory it takes, as Java counts them for `maxBytes`: texts by their UTF-16 units.
    pub fn memory(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| units(name) + value.as_ref().map_or(0, Bytes::len));
        20 + units(&self.topic) + headers.sum::<usize>()
    }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn text(fields: &mut Fields) -> Result<String, Malformed> {
    let bytes = fields.nullable()?.ok_or_else(|| fields.error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A record that waits: the table's value before it was buffered, the old and the new value of its latest change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferValue {
    /// The value before the first change in the buffer.
    pub prior: Option<Bytes>,
    /// The value before the latest change.
    pub old: Option<Bytes>,
    /// The value now.
    pub new: Option<Bytes>,
    /// The context of the latest change.
    pub context: RecordContext,
}

impl BufferValue {
    /// As bytes; an old value equal to the prior one is written as -2.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.context.write(out);
        write_nullable(self.prior.as_deref(), out);
        match &self.old {
            Some(old) if self.prior.as_ref() == Some(old) => out.extend_from_slice(&(-2_i32).to_be_bytes()),
            old => write_nullable(old.as_deref(), out),
        }
        write_nullable(self.new.as_deref(), out);
    }

    /// The same with the time that it waits for at the end: the value of a changelog record.
    pub fn write_with_time(&self, time: i64, out: &mut Vec<u8>) {
        self.write(out);
        out.extend_from_slice(&time.to_be_bytes());
    }

    pub(crate) fn read_from(fields: &mut Fields) -> Result<BufferValue, Malformed> {
        let context = RecordContext::read_from(fields)?;
        let prior = fields.nullable()?;
        let old = match fields.i32()? {
            -1 => None,
            -2 => prior.clone(),
            length => Some(fields.sized(length)?),
        };
        Ok(BufferValue { prior, old, new: fields.nullable()?, context })
    }

    /// From bytes that hold nothing else.
    pub fn read(bytes: Bytes) -> Result<BufferValue, Malformed> {
        let mut fields = Fields::of(bytes, "buffered record");
        let value = BufferValue::read_from(&mut fields)?;
        if fields.remaining() > 0 { Err(fields.error()) } else { Ok(value) }
    }

    /// A changelog record's value: the buffered record and the time that it waits for.
    pub fn read_with_time(bytes: Bytes) -> Result<(BufferValue, i64), Malformed> {
        let mut fields = Fields::of(bytes, "buffered record with its time");
        let value = BufferValue::read_from(&mut fields)?;
        let time = fields.i64()?;
        if fields.remaining() > 0 { Err(fields.error()) } else { Ok((value, time)) }
    }

    /// How many bytes of memory it takes, as Java counts them; an old value equal to the prior one is shared.
    pub fn memory(&self) -> usize {
        let size = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let old = if self.old == self.prior { 0 } else { size(&self.old) };
        size(&self.prior) + old + size(&self.new) + self.context.memory()
    }
}
