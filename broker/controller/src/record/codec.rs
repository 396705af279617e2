//! The bytes of metadata records; the layout is in the header of `record`.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use thiserror::Error;
use uuid::Uuid;

use super::{ConfigRecord, MetadataRecord, PartitionChangeRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord};
use crate::image::{ConfigResourceType, Endpoint, Replicas};

/// Types from here on may be skipped by a reader that does not know them.
const SKIPPABLE: u8 = 128;

const TOPIC: u8 = 1;
const PARTITION: u8 = 2;
const PARTITION_CHANGE: u8 = 3;
const REMOVE_TOPIC: u8 = 4;
const CONFIG: u8 = 5;
const FEATURE_LEVEL: u8 = 6;
const REGISTER_BROKER: u8 = 7;
const FENCE: u8 = 8;
const UNREGISTER_BROKER: u8 = 9;
const PRODUCER_IDS: u8 = 10;
const CLUSTER: u8 = 11;

/// Why bytes are no metadata records.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end inside a record, or a length or number makes no sense.
    #[error("malformed metadata record: {0}")]
    Malformed(&'static str),
    /// A record that may not be skipped.
    #[error("metadata record type {0} is not known to this version; start a newer one")]
    UnknownType(u8),
}

/// Appends `records` to `into`.
pub fn encode_all(records: &[MetadataRecord], into: &mut BytesMut) {
    for record in records {
        encode(record, into);
    }
}

/// Appends one record to `into`.
pub fn encode(record: &MetadataRecord, into: &mut BytesMut) {
    let mut body = BytesMut::with_capacity(64);
    encode_body(record, &mut body);
    put_unsigned(into, body.len() as u64);
    into.put_slice(&body);
}

/// All records in `bytes`.
///
/// # Errors
/// When the bytes are not whole, well-formed records.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<MetadataRecord>, DecodeError> {
    let mut reader = Reader { bytes };
    let mut records = Vec::new();
    while !reader.is_empty() {
        let length = reader.unsigned()?;
        let length = usize::try_from(length).map_err(|_| DecodeError::Malformed("length"))?;
        let mut body = Reader { bytes: reader.take(length)? };
        if let Some(record) = decode_body(&mut body)? {
            records.push(record);
        }
    }
    Ok(records)
}

fn encode_body(record: &MetadataRecord, to: &mut BytesMut) {
    match record {
        MetadataRecord::Topic(topic) => {
            to.put_u8(TOPIC);
            put_string(to, &topic.name);
            put_uuid(to, topic.topic_id);
        }
        MetadataRecord::Partition(partition) => encode_partition(partition, to),
        MetadataRecord::PartitionChange(change) => encode_change(change, to),
        MetadataRecord::RemoveTopic { topic_id } => {
            to.put_u8(REMOVE_TOPIC);
            put_uuid(to, *topic_id);
        }
        MetadataRecord::Config(config) => {
            to.put_u8(CONFIG);
            to.put_u8(config.kind as u8);
            put_string(to, &config.resource);
            put_string(to, &config.key);
            put_option(to, config.value.as_ref(), |to, value| put_string(to, value));
        }
        MetadataRecord::FeatureLevel { name, level } => {
            to.put_u8(FEATURE_LEVEL);
            put_string(to, name);
            put_signed(to, i64::from(*level));
        }
        MetadataRecord::RegisterBroker(broker) => encode_broker(broker, to),
        MetadataRecord::Fence { broker_id, broker_epoch, fenced } => {
            to.put_u8(FENCE);
            put_signed(to, i64::from(*broker_id));
            put_signed(to, *broker_epoch);
            to.put_u8(u8::from(*fenced));
        }
        MetadataRecord::UnregisterBroker { broker_id, broker_epoch } => {
            to.put_u8(UNREGISTER_BROKER);
            put_signed(to, i64::from(*broker_id));
            put_signed(to, *broker_epoch);
        }
        MetadataRecord::ProducerIds { next } => {
            to.put_u8(PRODUCER_IDS);
            put_signed(to, *next);
        }
        MetadataRecord::Cluster { cluster_id } => {
            to.put_u8(CLUSTER);
            put_string(to, cluster_id);
        }
    }
}

fn encode_partition(partition: &PartitionRecord, to: &mut BytesMut) {
    to.put_u8(PARTITION);
    put_uuid(to, partition.topic_id);
    put_signed(to, i64::from(partition.partition));
    put_replicas(to, &partition.replicas);
    put_uuids(to, &partition.directories);
    put_replicas(to, &partition.isr);
    put_signed(to, i64::from(partition.leader));
    put_signed(to, i64::from(partition.leader_epoch));
    put_signed(to, i64::from(partition.partition_epoch));
    put_replicas(to, &partition.adding_replicas);
    put_replicas(to, &partition.removing_replicas);
}

fn encode_change(change: &PartitionChangeRecord, to: &mut BytesMut) {
    to.put_u8(PARTITION_CHANGE);
    put_uuid(to, change.topic_id);
    put_signed(to, i64::from(change.partition));
    put_option(to, change.isr.as_ref(), |to, list| put_replicas(to, list));
    put_option(to, change.leader.as_ref(), |to, leader| put_signed(to, i64::from(*leader)));
    put_option(to, change.replicas.as_ref(), |to, list| put_replicas(to, list));
    put_option(to, change.directories.as_ref(), |to, list| put_uuids(to, list));
    put_option(to, change.adding_replicas.as_ref(), |to, list| put_replicas(to, list));
    put_option(to, change.removing_replicas.as_ref(), |to, list| put_replicas(to, list));
}

fn encode_broker(broker: &RegisterBrokerRecord, to: &mut BytesMut) {
    to.put_u8(REGISTER_BROKER);
    put_signed(to, i64::from(broker.broker_id));
    put_signed(to, broker.broker_epoch);
    put_uuid(to, broker.incarnation);
    put_unsigned(to, broker.endpoints.len() as u64);
    for endpoint in &broker.endpoints {
        put_string(to, &endpoint.listener);
        put_string(to, &endpoint.host);
        put_unsigned(to, u64::from(endpoint.port));
        put_signed(to, i64::from(endpoint.security_protocol));
    }
    put_option(to, broker.rack.as_ref(), |to, rack| put_string(to, rack));
    to.put_u8(u8::from(broker.fenced));
    put_uuids(to, &broker.directories);
}

fn decode_body(from: &mut Reader<'_>) -> Result<Option<MetadataRecord>, DecodeError> {
    let record = match from.byte()? {
        TOPIC => MetadataRecord::Topic(TopicRecord { name: from.string()?.into(), topic_id: from.uuid()? }),
        PARTITION => MetadataRecord::Partition(decode_partition(from)?),
        PARTITION_CHANGE => MetadataRecord::PartitionChange(PartitionChangeRecord {
            topic_id: from.uuid()?,
            partition: from.int32()?,
            isr: from.option(Reader::replicas)?,
            leader: from.option(Reader::int32)?,
            replicas: from.option(Reader::replicas)?,
            directories: from.option(|from| from.uuids().map(Arc::from))?,
            adding_replicas: from.option(Reader::replicas)?,
            removing_replicas: from.option(Reader::replicas)?,
        }),
        REMOVE_TOPIC => MetadataRecord::RemoveTopic { topic_id: from.uuid()? },
        CONFIG => MetadataRecord::Config(ConfigRecord {
            kind: ConfigResourceType::from_number(from.byte()? as i8).ok_or(DecodeError::Malformed("resource type"))?,
            resource: from.string()?,
            key: from.string()?,
            value: from.option(Reader::string)?,
        }),
        FEATURE_LEVEL => MetadataRecord::FeatureLevel { name: from.string()?, level: from.int16()? },
        REGISTER_BROKER => MetadataRecord::RegisterBroker(decode_broker(from)?),
        FENCE => {
            MetadataRecord::Fence { broker_id: from.int32()?, broker_epoch: from.signed()?, fenced: from.byte()? != 0 }
        }
        UNREGISTER_BROKER => {
            MetadataRecord::UnregisterBroker { broker_id: from.int32()?, broker_epoch: from.signed()? }
        }
        PRODUCER_IDS => MetadataRecord::ProducerIds { next: from.signed()? },
        CLUSTER => MetadataRecord::Cluster { cluster_id: from.string()? },
        unknown if unknown >= SKIPPABLE => return Ok(None),
        unknown => return Err(DecodeError::UnknownType(unknown)),
    };
    Ok(Some(record))
}

fn decode_partition(from: &mut Reader<'_>) -> Result<PartitionRecord, DecodeError> {
    Ok(PartitionRecord {
        topic_id: from.uuid()?,
        partition: from.int32()?,
        replicas: from.replicas()?,
        directories: from.uuids()?.into(),
        isr: from.replicas()?,
        leader: from.int32()?,
        leader_epoch: from.int32()?,
        partition_epoch: from.int32()?,
        adding_replicas: from.replicas()?,
        removing_replicas: from.replicas()?,
    })
}

fn decode_broker(from: &mut Reader<'_>) -> Result<RegisterBrokerRecord, DecodeError> {
    let broker_id = from.int32()?;
    let broker_epoch = from.signed()?;
    let incarnation = from.uuid()?;
    let count = from.count()?;
    let mut endpoints = Vec::with_capacity(count);
    for _ in 0..count {
        endpoints.push(Endpoint {
            listener: from.string()?,
            host: from.string()?,
            port: u16::try_from(from.unsigned()?).map_err(|_| DecodeError::Malformed("port"))?,
            security_protocol: from.int16()?,
        });
    }
    Ok(RegisterBrokerRecord {
        broker_id,
        broker_epoch,
        incarnation,
        endpoints,
        rack: from.option(Reader::string)?,
        fenced: from.byte()? != 0,
        directories: from.uuids()?,
    })
}

fn put_unsigned(to: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        to.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    to.put_u8(value as u8);
}

fn put_signed(to: &mut BytesMut, value: i64) {
    put_unsigned(to, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_string(to: &mut BytesMut, value: &str) {
    put_unsigned(to, value.len() as u64);
    to.put_slice(value.as_bytes());
}

fn put_uuid(to: &mut BytesMut, value: Uuid) {
    to.put_slice(value.as_bytes());
}

fn put_uuids(to: &mut BytesMut, values: &[Uuid]) {
    put_unsigned(to, values.len() as u64);
    for value in values {
        put_uuid(to, *value);
    }
}

fn put_replicas(to: &mut BytesMut, values: &[i32]) {
    put_unsigned(to, values.len() as u64);
    for value in values {
        put_signed(to, i64::from(*value));
    }
}

fn put_option<T>(to: &mut BytesMut, value: Option<T>, put: impl FnOnce(&mut BytesMut, T)) {
    match value {
        None => to.put_u8(0),
        Some(value) => {
            to.put_u8(1);
            put(to, value);
        }
    }
}

/// A cursor whose every step checks what is left.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        if length > self.bytes.len() {
            return Err(DecodeError::Malformed("it ends early"));
        }
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    fn unsigned(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed("varint"))
    }

    fn signed(&mut self) -> Result<i64, DecodeError> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn int32(&mut self) -> Result<i32, DecodeError> {
        i32::try_from(self.signed()?).map_err(|_| DecodeError::Malformed("number"))
    }

    fn int16(&mut self) -> Result<i16, DecodeError> {
        i16::try_from(self.signed()?).map_err(|_| DecodeError::Malformed("number"))
    }

    /// A count of items of at least one byte each, so that memory is never reserved for more than is there.
    fn count(&mut self) -> Result<usize, DecodeError> {
        let count = self.unsigned()?;
        if count > self.bytes.len() as u64 {
            return Err(DecodeError::Malformed("count"));
        }
        Ok(count as usize)
    }

    fn string(&mut self) -> Result<String, DecodeError> {
        let length = self.count()?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Malformed("text"))
    }

    fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        let bytes = self.take(16)?;
        Uuid::from_slice(bytes).map_err(|_| DecodeError::Malformed("uuid"))
    }

    fn uuids(&mut self) -> Result<Vec<Uuid>, DecodeError> {
        let count = self.count()?;
        (0..count).map(|_| self.uuid()).collect()
    }

    fn replicas(&mut self) -> Result<Replicas, DecodeError> {
        let count = self.count()?;
        (0..count).map(|_| self.int32()).collect()
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, DecodeError>) -> Result<Option<T>, DecodeError> {
        // A field that a later version added at the end is absent in what an earlier one wrote.
        if self.is_empty() {
            return Ok(None);
        }
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(DecodeError::Malformed("option")),
        }
    }
}
