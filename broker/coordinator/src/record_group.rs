//! Records of `__consumer_offsets`, in the versions that Apache 4.3.1 writes: offsets v4 (v1 when the client named
//! an expiry), classic groups v3. Reads every version that Apache reads (0-4 of both).
//!
//! The key begins with its type as an i16, the value with its version. Types of the consumer, share and streams
//! protocols are told apart and skipped: they stay in the log, the machine does not look inside.
//! Used by [`crate::group`] on append and on replay. Arbitrary bytes decode to an error, never to a panic.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::batch::{BatchBuilder, Value};

const TYPE_OFFSET_LEGACY: i16 = 0;
const TYPE_OFFSET: i16 = 1;
const TYPE_GROUP: i16 = 2;
const OFFSET_VERSION: i16 = 4;
/// The only version that has a place for an expiry.
const OFFSET_VERSION_WITH_EXPIRY: i16 = 1;
const GROUP_VERSION: i16 = 3;
/// The newest versions that can be read; both are the first flexible ones (KIP-915).
const VERSION_MAX: i16 = 4;
/// First flexible version of either value.
const FLEXIBLE: i16 = 4;

/// Why a record could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("the record ends inside a field")]
    Truncated,
    /// A length is negative or larger than what is left.
    #[error("the record has a field of impossible length")]
    Length,
    /// Text is not UTF-8.
    #[error("the record has text that is not UTF-8")]
    Text,
    /// A value version newer than this reader.
    #[error("the record has value version {0}, which is not known")]
    Version(i16),
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// The offset of a group in a partition.
    Offset {
        /// Group id.
        group: &'a str,
        /// Topic name.
        topic: &'a str,
        /// Partition index.
        partition: i32,
    },
    /// A classic group.
    Group {
        /// Group id.
        group: &'a str,
    },
    /// A record of another protocol, or of a later version of Apache Kafka.
    Other(i16),
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetValue {
    /// Next offset to read.
    pub offset: i64,
    /// Leader epoch of the last record read, -1 for unknown.
    pub leader_epoch: i32,
    /// The client's own text.
    pub metadata: Box<str>,
    /// When it was committed.
    pub commit_ms: i64,
    /// When it expires, -1 for by the broker's retention.
    pub expire_ms: i64,
    /// Topic id, nil for unknown.
    pub topic_id: Uuid,
}

/// A classic group as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupValue {
    /// "consumer", "connect", "" for none.
    pub protocol_type: String,
    /// Generation.
    pub generation: i32,
    /// Chosen protocol.
    pub protocol: Option<String>,
    /// Leader's member id.
    pub leader: Option<String>,
    /// When the state last changed, -1 for unknown.
    pub state_ms: i64,
    /// Members.
    pub members: Vec<MemberValue>,
}

/// A member as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberValue {
    /// Member id.
    pub member_id: String,
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// Client id.
    pub client_id: String,
    /// Its address, as Java prints it: "/127.0.0.1".
    pub client_host: String,
    /// Rebalance timeout; -1 where the version has none.
    pub rebalance_timeout_ms: i32,
    /// Session timeout.
    pub session_timeout_ms: i32,
    /// Metadata for the chosen protocol.
    pub subscription: Bytes,
    /// Assignment.
    pub assignment: Bytes,
}

/// What is needed of a member to store it, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct MemberView<'a> {
    /// See [`MemberValue`].
    pub member_id: &'a str,
    /// See [`MemberValue`].
    pub instance_id: Option<&'a str>,
    /// See [`MemberValue`].
    pub client_id: &'a str,
    /// See [`MemberValue`].
    pub client_host: &'a str,
    /// See [`MemberValue`].
    pub rebalance_timeout_ms: i32,
    /// See [`MemberValue`].
    pub session_timeout_ms: i32,
    /// See [`MemberValue`].
    pub subscription: &'a [u8],
    /// See [`MemberValue`].
    pub assignment: &'a [u8],
}

/// What is needed of a group to store it, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct GroupView<'a> {
    /// See [`GroupValue`].
    pub protocol_type: &'a str,
    /// See [`GroupValue`].
    pub generation: i32,
    /// See [`GroupValue`].
    pub protocol: Option<&'a str>,
    /// See [`GroupValue`].
    pub leader: Option<&'a str>,
    /// See [`GroupValue`].
    pub state_ms: i64,
}

/// Adds an offset.
pub fn push_offset(batch: &mut BatchBuilder, group: &str, topic: &str, partition: i32, value: &OffsetValue) {
    batch.push(
        |key| put_offset_key(key, group, topic, partition),
        |out| {
            put_offset_value(out, value);
            Value::Written
        },
    );
}

/// Adds the tombstone of an offset.
pub fn push_offset_tombstone(batch: &mut BatchBuilder, group: &str, topic: &str, partition: i32) {
    batch.push(|key| put_offset_key(key, group, topic, partition), |_| Value::Tombstone);
}

/// Adds a group with its members.
pub fn push_group<'a>(
    batch: &mut BatchBuilder,
    group: &str,
    view: &GroupView<'_>,
    members: impl ExactSizeIterator<Item = MemberView<'a>>,
) {
    batch.push(
        |key| put_group_key(key, group),
        |out| {
            put_group_value(out, view, members);
            Value::Written
        },
    );
}

/// Adds the tombstone of a group.
pub fn push_group_tombstone(batch: &mut BatchBuilder, group: &str) {
    batch.push(|key| put_group_key(key, group), |_| Value::Tombstone);
}

fn put_offset_key(out: &mut BytesMut, group: &str, topic: &str, partition: i32) {
    out.put_i16(TYPE_OFFSET);
    put_string(out, group);
    put_string(out, topic);
    out.put_i32(partition);
}

fn put_group_key(out: &mut BytesMut, group: &str) {
    out.put_i16(TYPE_GROUP);
    put_string(out, group);
}

fn put_offset_value(out: &mut BytesMut, value: &OffsetValue) {
    if value.expire_ms >= 0 {
        out.put_i16(OFFSET_VERSION_WITH_EXPIRY);
        out.put_i64(value.offset);
        put_string(out, &value.metadata);
        out.put_i64(value.commit_ms);
        out.put_i64(value.expire_ms);
        return;
    }
    out.put_i16(OFFSET_VERSION);
    out.put_i64(value.offset);
    out.put_i32(value.leader_epoch);
    put_unsigned_varint(out, value.metadata.len() as u32 + 1);
    out.put_slice(value.metadata.as_bytes());
    out.put_i64(value.commit_ms);
    if value.topic_id.is_nil() {
        out.put_u8(0);
    } else {
        // One tagged field: tag 0, 16 bytes.
        out.put_slice(&[1, 0, 16]);
        out.put_slice(value.topic_id.as_bytes());
    }
}

fn put_group_value<'a>(
    out: &mut BytesMut,
    view: &GroupView<'_>,
    members: impl ExactSizeIterator<Item = MemberView<'a>>,
) {
    out.put_i16(GROUP_VERSION);
    put_string(out, view.protocol_type);
    out.put_i32(view.generation);
    put_nullable(out, view.protocol);
    put_nullable(out, view.leader);
    out.put_i64(view.state_ms);
    out.put_i32(members.len() as i32);
    for member in members {
        put_string(out, member.member_id);
        put_nullable(out, member.instance_id);
        put_string(out, member.client_id);
        put_string(out, member.client_host);
        out.put_i32(member.rebalance_timeout_ms);
        out.put_i32(member.session_timeout_ms);
        put_bytes(out, member.subscription);
        put_bytes(out, member.assignment);
    }
}

/// Writes text with a 16-bit length. Every text here came from the wire with such a length; a longer one
/// (an id made of two parts) is cut at a character.
fn put_string(out: &mut BytesMut, text: &str) {
    let mut end = text.len().min(i16::MAX as usize);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.put_i16(end as i16);
    out.put_slice(&text.as_bytes()[..end]);
}

fn put_nullable(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text),
        None => out.put_i16(-1),
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

fn put_unsigned_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Reads a key.
pub fn decode_key(bytes: &[u8]) -> Result<Key<'_>, DecodeError> {
    let mut reader = Reader { rest: bytes };
    match reader.i16()? {
        TYPE_OFFSET_LEGACY | TYPE_OFFSET => {
            Ok(Key::Offset { group: reader.string()?, topic: reader.string()?, partition: reader.i32()? })
        }
        TYPE_GROUP => Ok(Key::Group { group: reader.string()? }),
        other => Ok(Key::Other(other)),
    }
}

/// Reads the value of an offset.
pub fn decode_offset(bytes: &[u8]) -> Result<OffsetValue, DecodeError> {
    let mut reader = Reader { rest: bytes };
    let version = reader.version()?;
    let offset = reader.i64()?;
    let leader_epoch = if version >= 3 { reader.i32()? } else { -1 };
    let metadata = reader.text(version)?.into();
    let commit_ms = reader.i64()?;
    let expire_ms = if version == 1 { reader.i64()? } else { -1 };
    let mut topic_id = Uuid::nil();
    if version >= FLEXIBLE {
        reader.tagged_fields(|tag, field| {
            if let (0, Ok(id)) = (tag, <[u8; 16]>::try_from(field)) {
                topic_id = Uuid::from_bytes(id);
            }
        })?;
    }
    Ok(OffsetValue { offset, leader_epoch, metadata, commit_ms, expire_ms, topic_id })
}

/// Reads the value of a group.
pub fn decode_group(bytes: &[u8]) -> Result<GroupValue, DecodeError> {
    let mut reader = Reader { rest: bytes };
    let version = reader.version()?;
    let protocol_type = reader.text(version)?.to_owned();
    let generation = reader.i32()?;
    let protocol = reader.nullable_text(version)?.map(str::to_owned);
    let leader = reader.nullable_text(version)?.map(str::to_owned);
    let state_ms = if version >= 2 { reader.i64()? } else { -1 };
    let count = reader.array_len(version)?;
    // A member takes at least 16 bytes in the leanest version; the count alone reserves nothing.
    let mut members = Vec::with_capacity(count.min(reader.rest.len() / 16));
    for _ in 0..count {
        members.push(reader.member(version)?);
    }
    if version >= FLEXIBLE {
        reader.tagged_fields(|_, _| {})?;
    }
    Ok(GroupValue { protocol_type, generation, protocol, leader, state_ms, members })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.fixed()?))
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.fixed()?))
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.fixed()?))
    }

    fn version(&mut self) -> Result<i16, DecodeError> {
        match self.i16()? {
            version @ 0..=VERSION_MAX => Ok(version),
            version => Err(DecodeError::Version(version)),
        }
    }

    fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.fixed::<1>()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift).ok_or(DecodeError::Length)?;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Length)
    }

    fn string(&mut self) -> Result<&'a str, DecodeError> {
        let length = usize::try_from(self.i16()?).map_err(|_| DecodeError::Length)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::Text)
    }

    fn text(&mut self, version: i16) -> Result<&'a str, DecodeError> {
        self.nullable_text(version)?.ok_or(DecodeError::Length)
    }

    fn nullable_text(&mut self, version: i16) -> Result<Option<&'a str>, DecodeError> {
        let length = if version >= FLEXIBLE { i64::from(self.unsigned_varint()?) - 1 } else { i64::from(self.i16()?) };
        match length {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| DecodeError::Length)?;
                std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| DecodeError::Text)
            }
        }
    }

    fn blob(&mut self, version: i16) -> Result<Bytes, DecodeError> {
        Ok(Bytes::copy_from_slice({
            let length = self.array_len(version)?;
            self.take(length)?
        }))
    }

    fn array_len(&mut self, version: i16) -> Result<usize, DecodeError> {
        let length = if version >= FLEXIBLE { i64::from(self.unsigned_varint()?) - 1 } else { i64::from(self.i32()?) };
        usize::try_from(length).map_err(|_| DecodeError::Length)
    }

    fn member(&mut self, version: i16) -> Result<MemberValue, DecodeError> {
        let member = MemberValue {
            member_id: self.text(version)?.to_owned(),
            instance_id: if version >= 3 { self.nullable_text(version)?.map(str::to_owned) } else { None },
            client_id: self.text(version)?.to_owned(),
            client_host: self.text(version)?.to_owned(),
            rebalance_timeout_ms: if version >= 1 { self.i32()? } else { -1 },
            session_timeout_ms: self.i32()?,
            subscription: self.blob(version)?,
            assignment: self.blob(version)?,
        };
        if version >= FLEXIBLE {
            self.tagged_fields(|_, _| {})?;
        }
        Ok(member)
    }

    fn tagged_fields(&mut self, mut field: impl FnMut(u32, &'a [u8])) -> Result<(), DecodeError> {
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let length = self.unsigned_varint()? as usize;
            field(tag, self.take(length)?);
        }
        Ok(())
    }
}
