//! What Apache Kafka's metadata log says about topics whose folders are adopted: their configuration, the dynamic
//! configuration of brokers, leader epochs, which producer ids were given out. Reads the newest snapshot
//! (`.checkpoint`) and the log behind it, as Apache's own start does.
//!
//! Called by adopt.rs, on the files that quorum.rs has set aside. Never writes. A single voter's log is committed as far
//! as it reads; what stands torn at its end was never acknowledged.
//!
//! ```text
//! record value: frame version 1 | api key | version (unsigned varints) | message, always flexible
//! ```
//!
//! Not done: quotas, SCRAM credentials, ACLs and delegation tokens of the old cluster, each kind named once in the log when
//! it is found; configurations of client metrics and of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use millstream_base_env::Disk;
use millstream_protocol::batch::{self, BatchHeader, HEADER_BYTES};
use millstream_protocol::record::Records;
use uuid::Uuid;

use crate::adopt::AdoptError;

const FRAME_VERSION: u32 = 1;

/// Api keys of Apache's metadata records that are taken.
const TOPIC: u32 = 2;
const PARTITION: u32 = 3;
const CONFIG: u32 = 4;
const PARTITION_CHANGE: u32 = 5;
const REMOVE_TOPIC: u32 = 9;
const PRODUCER_IDS: u32 = 15;
const BEGIN_TRANSACTION: u32 = 23;
const END_TRANSACTION: u32 = 24;
const ABORT_TRANSACTION: u32 = 25;

/// Those that are lost, which an operator should know.
const LOST: [(u32, &str); 4] =
    [(11, "SCRAM credentials"), (14, "client quotas"), (18, "access control entries"), (10, "delegation tokens")];

/// Tag of a partition change's new leader, and what it means when it is absent (PartitionChangeRecord.json).
const LEADER_TAG: u32 = 1;
const NO_LEADER_CHANGE: i32 = -2;

/// Values of Java's `ConfigResource.Type`.
const OF_TOPIC: i8 = 2;
const OF_BROKER: i8 = 4;

/// The configuration of one resource.
pub(crate) type Set = BTreeMap<String, String>;

/// The state of the old cluster, as far as it is taken over.
#[derive(Debug, Default)]
pub(crate) struct ApacheMetadata {
    topics: BTreeMap<Uuid, String>,
    configs: BTreeMap<(i8, String), Set>,
    leader_epochs: BTreeMap<(Uuid, i32), i32>,
    /// First producer id that was not given out.
    pub(crate) next_producer_id: Option<i64>,
    lost: BTreeSet<&'static str>,
}

impl ApacheMetadata {
    /// Reads `folder`; `None` when no metadata log lies there.
    ///
    /// # Errors
    /// When what lies there cannot be understood: topics without their `cleanup.policy` would lose records.
    pub(crate) fn read(disk: &Disk, folder: &Path) -> Result<Option<ApacheMetadata>, AdoptError> {
        if !disk.exists(folder) {
            return Ok(None);
        }
        let entries = disk.list(folder).map_err(AdoptError::io("cannot list", folder))?;
        let named = |suffix: &str| -> Vec<(i64, PathBuf)> {
            let names = entries.iter().filter(|entry| !entry.is_dir).map(|entry| entry.name.as_str());
            // Sorted by name, so by offset, and snapshots of one offset by epoch.
            names
                .filter_map(|name| Some((name.strip_suffix(suffix)?.get(..20)?.parse().ok()?, folder.join(name))))
                .collect()
        };
        let (snapshots, segments) = (named(".checkpoint"), named(".log"));
        if snapshots.is_empty() && segments.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader::default();
        let mut from = 0;
        if let Some((end_offset, path)) = snapshots.last() {
            reader.read_file(disk, path, 0, End::Whole)?;
            from = *end_offset;
        }
        // A segment that ends in front of the snapshot's end adds nothing; its successor begins at or before it.
        let behind = segments.iter().rposition(|(base_offset, _)| *base_offset <= from).unwrap_or(0);
        if let Some((base_offset, path)) = segments.get(behind)
            && *base_offset > from
        {
            let reason = format!("the log begins at {base_offset}, but no snapshot reaches that far");
            return Err(AdoptError::Metadata { path: path.clone(), reason });
        }
        for (index, (_, path)) in segments.iter().enumerate().skip(behind) {
            let end = if index + 1 == segments.len() { End::MayBeTorn } else { End::Whole };
            reader.read_file(disk, path, from, end)?;
        }
        for lost in &reader.metadata.lost {
            tracing::warn!(kind = lost, "not taken over from Apache Kafka's metadata log");
        }
        Ok(Some(reader.metadata))
    }

    /// The configuration of the topic of that name and id; `None` when the log does not know it.
    pub(crate) fn topic(&self, name: &str, id: Uuid) -> Option<Set> {
        let known = self.topics.get(&id).is_some_and(|known| known == name);
        known.then(|| self.configs.get(&(OF_TOPIC, name.to_owned())).cloned().unwrap_or_default())
    }

    /// The dynamic configuration of a broker, `""` for all of them.
    pub(crate) fn broker(&self, name: &str) -> Option<&Set> {
        self.configs.get(&(OF_BROKER, name.to_owned()))
    }

    /// The last leader epoch of a partition.
    pub(crate) fn leader_epoch(&self, topic_id: Uuid, partition: i32) -> Option<i32> {
        self.leader_epochs.get(&(topic_id, partition)).copied()
    }

    fn apply(&mut self, record: &Record) {
        match record {
            Record::Topic { name, id } => drop(self.topics.insert(*id, name.clone())),
            Record::RemoveTopic { id } => {
                if let Some(name) = self.topics.remove(id) {
                    self.configs.remove(&(OF_TOPIC, name));
                }
                self.leader_epochs.retain(|(topic_id, _), _| topic_id != id);
            }
            Record::Config { resource, key, value } => {
                let set = self.configs.entry(resource.clone()).or_default();
                match value {
                    Some(value) => drop(set.insert(key.clone(), value.clone())),
                    None => drop(set.remove(key)),
                }
            }
            Record::Partition { topic_id, partition, leader_epoch } => {
                self.leader_epochs.insert((*topic_id, *partition), *leader_epoch);
            }
            // A change that names a leader raises the epoch (Java: `PartitionRegistration.merge`).
            Record::NewLeader { topic_id, partition } => {
                *self.leader_epochs.entry((*topic_id, *partition)).or_insert(-1) += 1;
            }
            Record::ProducerIds { next } => self.next_producer_id = Some(*next),
            Record::Lost(kind) => drop(self.lost.insert(kind)),
            Record::BeginTransaction | Record::EndTransaction | Record::AbortTransaction | Record::Other => {}
        }
    }
}

/// How a file may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With its last batch.
    Whole,
    /// With a batch that a crash tore.
    MayBeTorn,
}

/// Applies records as they come; those of a metadata transaction (KIP-868) once it has ended.
#[derive(Debug, Default)]
struct Reader {
    metadata: ApacheMetadata,
    open: Option<Vec<Record>>,
}

impl Reader {
    /// Applies the records of a file from offset `from` on.
    fn read_file(&mut self, disk: &Disk, path: &Path, from: i64, end: End) -> Result<(), AdoptError> {
        let bytes = disk.read(path).map_err(AdoptError::io("cannot read", path))?;
        let damaged = |position: usize, reason: &str| AdoptError::Metadata {
            path: path.to_owned(),
            reason: format!("{reason} at position {position}"),
        };
        let mut position = 0;
        while position < bytes.len() {
            let rest = &bytes[position..];
            let whole = BatchHeader::decode(rest)
                .filter(|header| header.magic == 2 && header.size() >= HEADER_BYTES)
                .and_then(|header| Some((header, rest.get(..header.size())?)))
                .filter(|(header, batch)| batch::is_intact(header, batch));
            let Some((header, batch)) = whole else {
                if end == End::MayBeTorn {
                    let path = path.display();
                    tracing::warn!(%path, position, "the end of Apache Kafka's metadata log is torn, it is left out");
                    return Ok(());
                }
                return Err(damaged(position, "no intact batch"));
            };
            if !header.is_control() {
                self.read_batch(&header, batch, from).map_err(|reason| damaged(position, reason))?;
            }
            position += header.size();
        }
        Ok(())
    }

    fn read_batch(&mut self, header: &BatchHeader, batch: &[u8], from: i64) -> Result<(), &'static str> {
        if header.codec() != 0 {
            return Err("a compressed batch, which no release writes,");
        }
        for record in Records::new(&batch[HEADER_BYTES..], header.record_count) {
            let record = record.map_err(|_| "a malformed record")?;
            let value = record.value.ok_or("a record without a value")?;
            if header.base_offset + i64::from(record.offset_delta) >= from {
                self.take(Record::decode(value).ok_or("a metadata record of an unknown form")?);
            }
        }
        Ok(())
    }

    fn take(&mut self, record: Record) {
        match (&record, &mut self.open) {
            (Record::BeginTransaction, _) => self.open = Some(Vec::new()),
            (Record::AbortTransaction, _) => self.open = None,
            (Record::EndTransaction, _) => {
                self.open.take().into_iter().flatten().for_each(|record| self.metadata.apply(&record));
            }
            (_, Some(open)) => open.push(record),
            (_, None) => self.metadata.apply(&record),
        }
    }
}

/// What is taken from a metadata record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Record {
    Topic { name: String, id: Uuid },
    RemoveTopic { id: Uuid },
    Config { resource: (i8, String), key: String, value: Option<String> },
    Partition { topic_id: Uuid, partition: i32, leader_epoch: i32 },
    NewLeader { topic_id: Uuid, partition: i32 },
    ProducerIds { next: i64 },
    BeginTransaction,
    EndTransaction,
    AbortTransaction,
    Lost(&'static str),
    Other,
}

impl Record {
    /// `None` for what is no metadata record. Fields behind those that count are left unread.
    fn decode(value: &[u8]) -> Option<Record> {
        let mut fields = Fields(value);
        if fields.unsigned()? != FRAME_VERSION {
            return None;
        }
        let api_key = fields.unsigned()?;
        let _version = fields.unsigned()?;
        Some(match api_key {
            TOPIC => Record::Topic { name: fields.string()??, id: fields.uuid()? },
            REMOVE_TOPIC => Record::RemoveTopic { id: fields.uuid()? },
            CONFIG => Record::Config {
                resource: (fields.i8()?, fields.string()??),
                key: fields.string()??,
                value: fields.string()?,
            },
            PARTITION => {
                let (partition, topic_id) = (fields.i32()?, fields.uuid()?);
                // Replicas, in-sync ones, those being removed and added.
                for _ in 0..4 {
                    fields.skip_array_of_i32()?;
                }
                let _leader = fields.i32()?;
                Record::Partition { topic_id, partition, leader_epoch: fields.i32()? }
            }
            PARTITION_CHANGE => {
                let (partition, topic_id) = (fields.i32()?, fields.uuid()?);
                let leader = match fields.tagged(LEADER_TAG)? {
                    Some(bytes) => Fields(bytes).i32()?,
                    None => NO_LEADER_CHANGE,
                };
                if leader == NO_LEADER_CHANGE { Record::Other } else { Record::NewLeader { topic_id, partition } }
            }
            PRODUCER_IDS => {
                let _broker = (fields.i32()?, fields.i64()?);
                Record::ProducerIds { next: fields.i64()? }
            }
            BEGIN_TRANSACTION => Record::BeginTransaction,
            END_TRANSACTION => Record::EndTransaction,
            ABORT_TRANSACTION => Record::AbortTransaction,
            other => match LOST.iter().find(|(key, _)| *key == other) {
                Some((_, kind)) => Record::Lost(kind),
                None => Record::Other,
            },
        })
    }
}

/// Fields of a flexible message, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn unsigned(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = *self.bytes(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    fn i8(&mut self) -> Option<i8> {
        Some(i8::from_be_bytes(self.bytes(1)?.try_into().ok()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.bytes(8)?.try_into().ok()?))
    }

    fn uuid(&mut self) -> Option<Uuid> {
        Uuid::from_slice(self.bytes(16)?).ok()
    }

    /// A compact string, which may be null: outside whether it could be read, inside whether it is there.
    fn string(&mut self) -> Option<Option<String>> {
        let Some(length) = self.unsigned()?.checked_sub(1) else { return Some(None) };
        let bytes = self.bytes(length as usize)?;
        Some(Some(std::str::from_utf8(bytes).ok()?.to_owned()))
    }

    fn skip_array_of_i32(&mut self) -> Option<()> {
        let count = self.unsigned()?.saturating_sub(1) as usize;
        self.bytes(count.checked_mul(4)?).map(drop)
    }

    /// The tagged field `wanted`, when the message has it.
    fn tagged(&mut self, wanted: u32) -> Option<Option<&'a [u8]>> {
        for _ in 0..self.unsigned()? {
            let (tag, length) = (self.unsigned()?, self.unsigned()? as usize);
            let bytes = self.bytes(length)?;
            if tag == wanted {
                return Some(Some(bytes));
            }
        }
        Some(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str, into: &mut Vec<u8>) {
        into.push(text.len() as u8 + 1);
        into.extend(text.bytes());
    }

    fn config(resource: &str, key: &str, value: Option<&str>) -> Vec<u8> {
        let mut bytes = vec![1, CONFIG as u8, 0, OF_TOPIC as u8];
        string(resource, &mut bytes);
        string(key, &mut bytes);
        match value {
            Some(value) => string(value, &mut bytes),
            None => bytes.push(0),
        }
        bytes.push(0);
        bytes
    }

    fn topic(name: &str, id: Uuid) -> Vec<u8> {
        let mut bytes = vec![1, TOPIC as u8, 0];
        string(name, &mut bytes);
        bytes.extend(id.as_bytes());
        bytes.push(0);
        bytes
    }

    fn taken(records: &[Vec<u8>]) -> ApacheMetadata {
        let mut reader = Reader::default();
        for record in records {
            reader.take(Record::decode(record).unwrap());
        }
        reader.metadata
    }

    #[test]
    fn configuration_follows_its_topic() {
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let remove = [&[1, REMOVE_TOPIC as u8, 0], &first.as_bytes()[..], &[0]].concat();
        let metadata = taken(&[
            topic("t", first),
            config("t", "cleanup.policy", Some("compact")),
            config("t", "retention.ms", Some("5")),
            config("t", "retention.ms", None),
        ]);
        let expected = Set::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        assert_eq!(metadata.topic("t", first), Some(expected));
        assert_eq!(metadata.topic("t", second), None);
        let metadata =
            taken(&[topic("t", first), config("t", "cleanup.policy", Some("compact")), remove, topic("t", second)]);
        assert_eq!(metadata.topic("t", first), None);
        assert_eq!(metadata.topic("t", second), Some(Set::new()), "a topic made anew has nothing of the old one");
    }

    #[test]
    fn an_aborted_metadata_transaction_changes_nothing() {
        let id = Uuid::from_u128(1);
        let [begin, end, abort] =
            [BEGIN_TRANSACTION, END_TRANSACTION, ABORT_TRANSACTION].map(|key| vec![1, key as u8, 0, 0]);
        let metadata = taken(&[begin.clone(), topic("a", id), abort]);
        assert_eq!(metadata.topic("a", id), None);
        let metadata = taken(&[begin, topic("a", id), end]);
        assert_eq!(metadata.topic("a", id), Some(Set::new()));
    }

    #[test]
    fn what_is_cut_short_is_no_record() {
        let whole = config("topic", "cleanup.policy", Some("compact"));
        for length in 0..whole.len() - 1 {
            assert_eq!(Record::decode(&whole[..length]), None);
        }
        assert_eq!(Record::decode(&[0, CONFIG as u8, 0]), None, "a frame of another version");
        assert_eq!(Record::decode(&[1, 99, 0]), Some(Record::Other));
    }
}
