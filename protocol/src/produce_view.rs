//! The produce request that producers send most, one batch for one partition, read where it lies; and its answer.
//!
//! Called by the broker before `request::decode`, which takes every request that is not of this form. Nothing is
//! copied, reserved or counted on the way. Tests compare both directions with the message crate at every version.

use bytes::{BufMut, BytesMut};
use uuid::Uuid;

/// First version with compact encodings and tagged fields.
const FLEXIBLE_FROM: i16 = 9;
/// First version whose answer says what is wrong with records.
const RECORD_ERRORS_FROM: i16 = 8;
/// First version whose answer says where the log starts.
const LOG_START_FROM: i16 = 5;
/// First version that names topics by id.
const TOPIC_IDS_FROM: i16 = 13;
/// The versions read here.
const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;

/// How a request names its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRef<'a> {
    /// By name.
    Name(&'a str),
    /// By id.
    Id(Uuid),
}

/// A produce request of one batch set for one partition, outside of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceOne<'a> {
    /// What the producer waits for, not checked.
    pub acks: i16,
    /// The topic.
    pub topic: TopicRef<'a>,
    /// The partition.
    pub index: i32,
    /// The records, not checked.
    pub records: &'a [u8],
}

impl<'a> ProduceOne<'a> {
    /// Reads the body of a request; `None` when it is of any other form, or malformed.
    pub fn read(version: i16, body: &'a [u8]) -> Option<ProduceOne<'a>> {
        if !VERSIONS.contains(&version) {
            return None;
        }
        let is_flexible = version >= FLEXIBLE_FROM;
        let mut fields = Fields { bytes: body, is_flexible };
        if fields.length(Size::Short)?.is_some() {
            return None;
        }
        let acks = fields.int16()?;
        let _timeout_ms: [u8; 4] = fields.array()?;
        if fields.length(Size::Long)? != Some(1) {
            return None;
        }
        let topic = if version >= TOPIC_IDS_FROM {
            TopicRef::Id(Uuid::from_bytes(fields.array()?))
        } else {
            let length = fields.length(Size::Short)??;
            TopicRef::Name(std::str::from_utf8(fields.take(length)?).ok()?)
        };
        if fields.length(Size::Long)? != Some(1) {
            return None;
        }
        let index = i32::from_be_bytes(fields.array()?);
        let length = fields.length(Size::Long)??;
        let records = fields.take(length)?;
        if is_flexible && fields.array()? != [0; 3] {
            return None;
        }
        fields.bytes.is_empty().then_some(ProduceOne { acks, topic, index, records })
    }
}

/// Width of a length before the compact encodings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Short,
    Long,
}

struct Fields<'a> {
    bytes: &'a [u8],
    is_flexible: bool,
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*taken)
    }

    fn int16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    /// A length or count; `Some(None)` is null.
    fn length(&mut self, size: Size) -> Option<Option<usize>> {
        let length = match (self.is_flexible, size) {
            (true, _) => i64::from(self.unsigned_varint()?) - 1,
            (false, Size::Short) => i64::from(self.int16()?),
            (false, Size::Long) => i64::from(i32::from_be_bytes(self.array()?)),
        };
        Some(usize::try_from(length).ok())
    }

    fn unsigned_varint(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        // Longer ones are legal, and left to the general decoder.
        None
    }
}

/// What an accepted request is answered with.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// As the request named it.
    pub topic: TopicRef<'a>,
    /// The partition.
    pub index: i32,
    /// Offset of the first record.
    pub base_offset: i64,
    /// The broker's time, -1 when the topic keeps the producer's.
    pub log_append_time_ms: i64,
    /// Where the log starts.
    pub log_start_offset: i64,
}

impl Accepted<'_> {
    /// Appends the whole frame of the answer, length prefix first, to `out`.
    pub fn write(&self, version: i16, correlation_id: i32, out: &mut BytesMut) {
        let is_flexible = version >= FLEXIBLE_FROM;
        let start = out.len();
        out.put_i32(0);
        out.put_i32(correlation_id);
        if is_flexible {
            out.put_u8(0);
        }
        put_count_of_one(out, is_flexible);
        match self.topic {
            TopicRef::Id(id) => out.put_slice(id.as_bytes()),
            TopicRef::Name(name) => put_name(out, is_flexible, name),
        }
        put_count_of_one(out, is_flexible);
        out.put_i32(self.index);
        out.put_i16(0);
        out.put_i64(self.base_offset);
        out.put_i64(self.log_append_time_ms);
        if version >= LOG_START_FROM {
            out.put_i64(self.log_start_offset);
        }
        if is_flexible {
            // No record errors, no message, no tagged fields of partition and topic.
            out.put_slice(&[1, 0, 0, 0]);
        } else if version >= RECORD_ERRORS_FROM {
            out.put_i32(0);
            out.put_i16(-1);
        }
        out.put_i32(0);
        if is_flexible {
            out.put_u8(0);
        }
        let size = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }
}

fn put_count_of_one(out: &mut BytesMut, is_flexible: bool) {
    if is_flexible { out.put_u8(2) } else { out.put_i32(1) }
}

fn put_name(out: &mut BytesMut, is_flexible: bool, name: &str) {
    if is_flexible {
        crate::wire::put_unsigned_varint(out, name.len() as u32 + 1);
    } else {
        out.put_i16(name.len() as i16);
    }
    out.put_slice(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::api_key::ApiKey;
    use crate::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use crate::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
    use crate::messages::{Encodable, ProduceRequest, ProduceResponse, StrBytes, TopicName};
    use crate::{request, response};

    fn topic_name(name: &str) -> TopicName {
        TopicName(StrBytes::from_string(name.to_owned()))
    }

    /// What the general decoder makes of the body, where it is of the form that is read here.
    fn decoded(version: i16, body: &[u8]) -> Option<(i16, TopicName, Uuid, i32, Bytes)> {
        let request = request::decode::<ProduceRequest>(version, Bytes::copy_from_slice(body)).ok()?;
        let [topic] = &request.topic_data[..] else { return None };
        let [partition] = &topic.partition_data[..] else { return None };
        if request.transactional_id.is_some() {
            return None;
        }
        Some((request.acks, topic.name.clone(), topic.topic_id, partition.index, partition.records.clone()?))
    }

    fn check(version: i16, body: &[u8]) -> Result<bool, TestCaseError> {
        let Some(one) = ProduceOne::read(version, body) else { return Ok(false) };
        let (acks, name, id, index, records) = decoded(version, body).expect("what is read here decodes");
        prop_assert_eq!((one.acks, one.index, one.records), (acks, index, &records[..]));
        match one.topic {
            TopicRef::Name(topic) => prop_assert_eq!(topic, &**name),
            TopicRef::Id(topic) => prop_assert_eq!(topic, id),
        }
        Ok(true)
    }

    prop_compose! {
        fn requests()(
            version in VERSIONS,
            transactional in prop::option::weighted(0.1, "[a-z]{0,3}"),
            acks in -1i16..=1,
            topics in prop::collection::vec(("[a-z]{0,300}", any::<u128>(), prop::collection::vec(
                (any::<i32>(), prop::option::weighted(0.9, prop::collection::vec(any::<u8>(), 0..300))), 0..3)), 0..3),
        ) -> (i16, Bytes) {
            let topics = topics.into_iter().map(|(name, id, partitions)| {
                let partitions = partitions.into_iter().map(|(index, records)| {
                    PartitionProduceData::default().with_index(index).with_records(records.map(Bytes::from))
                });
                let topic = TopicProduceData::default().with_partition_data(partitions.collect());
                if version >= TOPIC_IDS_FROM {
                    topic.with_topic_id(Uuid::from_u128(id))
                } else {
                    topic.with_name(topic_name(&name))
                }
            });
            let request = ProduceRequest::default()
                .with_transactional_id(transactional.map(|id| StrBytes::from_string(id).into()))
                .with_acks(acks)
                .with_topic_data(topics.collect());
            let mut body = BytesMut::new();
            request.encode(&mut body, version).unwrap();
            (version, body.freeze())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_read_is_what_the_general_decoder_reads(
            (version, body) in requests(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let is_read = check(version, &body)?;
            prop_assert_eq!(is_read, decoded(version, &body).is_some());
            let mut damaged = body.to_vec();
            damaged[at.index(body.len())] = byte;
            check(version, &damaged)?;
            prop_assert_eq!(ProduceOne::read(version, &body[..at.index(body.len())]), None);
        }
    }

    #[test]
    fn the_answer_is_the_message_crates_at_every_version() {
        for version in VERSIONS {
            let (name, id) = ("a topic", Uuid::from_u128(77));
            let topic = if version >= TOPIC_IDS_FROM { TopicRef::Id(id) } else { TopicRef::Name(name) };
            let accepted =
                Accepted { topic, index: 3, base_offset: 1 << 40, log_append_time_ms: -1, log_start_offset: 12 };
            let mut ours = BytesMut::from(&b"before"[..]);
            accepted.write(version, -9, &mut ours);
            let partition = PartitionProduceResponse::default()
                .with_index(3)
                .with_base_offset(1 << 40)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(if version >= LOG_START_FROM { 12 } else { -1 });
            let topic = TopicProduceResponse::default().with_partition_responses(vec![partition]);
            let topic =
                if version >= TOPIC_IDS_FROM { topic.with_topic_id(id) } else { topic.with_name(topic_name(name)) };
            let message = ProduceResponse::default().with_responses(vec![topic]);
            let theirs = response::encode(ApiKey::Produce, version, -9, &message).unwrap();
            assert_eq!(ours[6..], theirs[..], "version {version}");
        }
    }
}
