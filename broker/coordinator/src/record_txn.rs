//! Records of `__transaction_state`, as Apache writes them (TransactionLog.java): from the shard's data to
//! the record schemas and back. Written by the transaction shard, read on replay.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use millstream_protocol::error::DecodeError;
use millstream_protocol::messages::{Encodable, StrBytes};
use millstream_protocol::record_schema::transaction_log_key::TransactionLogKey;
use millstream_protocol::record_schema::transaction_log_value::{PartitionsSchema, TransactionLogValue};
use millstream_protocol::record_schema::{self, KEY_TRANSACTION};

use crate::batch::Value;
use crate::txn::state::{TransactionVersion, TxnState};
use crate::txn::transaction::{NO_PRODUCER_EPOCH, TopicPartition, TxnData};

/// The newest version of a value that is read.
const VALUE_VERSION_MAX: i16 = 1;

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnRecord {
    /// The state of a transactional id.
    Value {
        /// Whose.
        transactional_id: Arc<str>,
        /// The state.
        data: TxnData,
    },
    /// The id is forgotten.
    Tombstone {
        /// Which.
        transactional_id: Arc<str>,
    },
    /// Written by a newer version; to be skipped.
    UnknownVersion {
        /// The version of key or value.
        version: i16,
    },
}

/// The bytes are no record of this log.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// They do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// No such state.
    #[error("{0} is no state of a transaction")]
    State(i8),
}

/// Writes the key of a transactional id.
pub fn write_key(into: &mut BytesMut, transactional_id: &str) {
    let key = TransactionLogKey::default().with_transactional_id(StrBytes::from_string(transactional_id.to_owned()));
    into.put_i16(KEY_TRANSACTION);
    key.encode(into, 0).expect("InitProducerId takes no id that is longer than a string may be");
}

/// Writes the value of a state, in the version that goes with the cluster's `transaction.version`.
pub fn write_value(into: &mut BytesMut, data: &TxnData, cluster: TransactionVersion) -> Value {
    let version = cluster.value_version();
    let mut value = TransactionLogValue {
        producer_id: data.producer_id,
        producer_epoch: data.producer_epoch,
        transaction_timeout_ms: data.timeout_ms,
        transaction_status: data.state.id(),
        transaction_partitions: (data.state != TxnState::Empty).then(|| by_topic(&data.partitions)),
        transaction_last_update_timestamp_ms: data.last_update_ms,
        transaction_start_timestamp_ms: data.start_ms,
        ..TransactionLogValue::default()
    };
    if version >= 1 {
        value.previous_producer_id = data.previous_producer_id;
        value.next_producer_id = data.next_producer_id;
        value.client_transaction_version = data.client_version.level();
    }
    into.put_i16(version);
    value.encode(into, version).expect("names of topics are short, and version 0 is given none of the tagged fields");
    Value::Written
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<PartitionsSchema> {
    let mut topics: Vec<PartitionsSchema> = Vec::new();
    for TopicPartition { topic, partition } in partitions {
        match topics.last_mut() {
            Some(last) if *last.topic == **topic => last.partition_ids.push(*partition),
            _ => topics.push(
                PartitionsSchema::default()
                    .with_topic(StrBytes::from_string(topic.to_string()))
                    .with_partition_ids(vec![*partition]),
            ),
        }
    }
    topics
}

/// Reads a record. A missing value is a tombstone.
///
/// # Errors
/// [`RecordError`] when Apache could not read it either.
pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<TxnRecord, RecordError> {
    let mut key = Bytes::copy_from_slice(key);
    let version = record_schema::take_prefix(&mut key)?;
    if version != KEY_TRANSACTION {
        return Ok(TxnRecord::UnknownVersion { version });
    }
    let key: TransactionLogKey = record_schema::decode_key(key)?;
    let transactional_id: Arc<str> = key.transactional_id.as_str().into();
    let Some(value) = value else {
        return Ok(TxnRecord::Tombstone { transactional_id });
    };
    let mut value = Bytes::copy_from_slice(value);
    let version = record_schema::take_prefix(&mut value)?;
    if !(0..=VALUE_VERSION_MAX).contains(&version) {
        return Ok(TxnRecord::UnknownVersion { version });
    }
    let value: TransactionLogValue = record_schema::decode(version, value)?;
    Ok(TxnRecord::Value { transactional_id, data: data_of(value)? })
}

fn data_of(value: TransactionLogValue) -> Result<TxnData, RecordError> {
    let state = TxnState::from_id(value.transaction_status).ok_or(RecordError::State(value.transaction_status))?;
    let mut partitions = BTreeSet::new();
    for topic in value.transaction_partitions.unwrap_or_default() {
        let name: Arc<str> = topic.topic.as_str().into();
        let of_topic = |partition| TopicPartition { topic: name.clone(), partition };
        partitions.extend(topic.partition_ids.into_iter().map(of_topic));
    }
    if state == TxnState::Empty {
        partitions.clear();
    }
    Ok(TxnData {
        producer_id: value.producer_id,
        previous_producer_id: value.previous_producer_id,
        next_producer_id: value.next_producer_id,
        producer_epoch: value.producer_epoch,
        last_producer_epoch: NO_PRODUCER_EPOCH,
        timeout_ms: value.transaction_timeout_ms,
        state,
        partitions,
        start_ms: value.transaction_start_timestamp_ms,
        last_update_ms: value.transaction_last_update_timestamp_ms,
        client_version: TransactionVersion::from_level(value.client_transaction_version),
    })
}

#[cfg(test)]
mod tests;
