//! Batches, directories and readers for the tests of this crate.

use std::path::Path;
use std::sync::Arc;

use millstream_base_env::{Clock, Disk, FaultyDisk};
use uuid::Uuid;

use crate::codec::{self, Codec};
use crate::{Isolation, LogConfig, LogDir, MinimumOne, PartitionLog, ReadRequest};
use millstream_protocol::batch::{BatchHeader, CONTROL, HEADER_BYTES, TRANSACTIONAL};
use millstream_protocol::record::{BatchWriter, Record, Records, put_varint};

pub(crate) const NOW_MS: i64 = 1_700_000_000_000;
pub(crate) const DIR: &str = "/data";

/// Key, value and time of a record.
type Entry = (Option<Vec<u8>>, Option<Vec<u8>>, i64);

/// A batch under construction.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Entry>,
    pub(crate) producer: (i64, i16, i32),
    pub(crate) attributes: i16,
    pub(crate) codec: Codec,
}

impl Batch {
    pub(crate) fn new() -> Batch {
        Batch { records: Vec::new(), producer: (-1, -1, -1), attributes: 0, codec: Codec::None }
    }

    /// `count` records whose values are `value`.
    pub(crate) fn of(count: usize, value: &str) -> Batch {
        (0..count).fold(Batch::new(), |batch, _| batch.record(None, Some(value), NOW_MS))
    }

    pub(crate) fn record(mut self, key: Option<&str>, value: Option<&str>, timestamp: i64) -> Batch {
        self.records.push((key.map(|key| key.into()), value.map(|value| value.into()), timestamp));
        self
    }

    pub(crate) fn keyed(self, key: &str, value: &str) -> Batch {
        self.record(Some(key), Some(value), NOW_MS)
    }

    pub(crate) fn producer(mut self, id: i64, epoch: i16, sequence: i32) -> Batch {
        self.producer = (id, epoch, sequence);
        self
    }

    pub(crate) fn transactional(mut self) -> Batch {
        self.attributes |= TRANSACTIONAL;
        self
    }

    pub(crate) fn codec(mut self, codec: Codec) -> Batch {
        self.codec = codec;
        self
    }

    /// The marker of a transaction.
    pub(crate) fn marker(producer_id: i64, epoch: i16, commits: i16, coordinator_epoch: i32) -> Vec<u8> {
        let mut batch = Batch::new();
        let key = [0i16.to_be_bytes(), commits.to_be_bytes()].concat();
        let value = [&0i16.to_be_bytes()[..], &coordinator_epoch.to_be_bytes()].concat();
        batch.records.push((Some(key), Some(value), NOW_MS));
        batch.attributes = TRANSACTIONAL | CONTROL;
        batch.producer = (producer_id, epoch, -1);
        batch.bytes()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.at(0, -1)
    }

    /// The batch as a leader of `epoch` would have written it at `base_offset`.
    pub(crate) fn at(&self, base_offset: i64, epoch: i32) -> Vec<u8> {
        let mut writer = BatchWriter::new(None);
        for (index, (key, value, timestamp)) in self.records.iter().enumerate() {
            let mut body = Vec::new();
            for field in [key, value] {
                match field {
                    Some(field) => {
                        put_varint(&mut body, field.len() as i64);
                        body.extend_from_slice(field);
                    }
                    None => put_varint(&mut body, -1),
                }
            }
            put_varint(&mut body, 0);
            writer.push(&Record::of_body(&body), index as i32, *timestamp);
        }
        let like = BatchHeader {
            base_offset,
            length: 0,
            leader_epoch: epoch,
            magic: 2,
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: self.records.len() as i32 - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            base_sequence: self.producer.2,
            record_count: 0,
        };
        let mut bytes = Vec::new();
        writer.finish(&like, self.codec, None, &mut bytes).unwrap();
        bytes
    }
}

/// A record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
}

/// Every record from the log start to the limit of `isolation`, markers left out, aborted ones dropped where a
/// read_committed consumer drops them.
pub(crate) fn read_all(log: &PartitionLog, isolation: Isolation) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut offset = log.log_start_offset();
    loop {
        let request = ReadRequest { offset, bytes_max: 1 << 20, minimum_one: MinimumOne::Yes, isolation };
        let result = log.read(&request).unwrap();
        let Some(slice) = result.slice else { return seen };
        let bytes = slice.bytes().unwrap();
        assert_eq!(bytes.len(), slice.length);
        let mut aborted = result.aborted.unwrap_or_default();
        aborted.sort_by_key(|txn| txn.first_offset);
        let mut open: Vec<i64> = Vec::new();
        let start = offset;
        for (header, batch) in batches(&bytes) {
            while aborted.first().is_some_and(|txn| txn.first_offset <= header.last_offset()) {
                open.push(aborted.remove(0).producer_id);
            }
            offset = header.last_offset() + 1;
            if header.is_control() {
                open.retain(|producer_id| *producer_id != header.producer_id);
                continue;
            }
            if header.is_transactional() && open.contains(&header.producer_id) {
                continue;
            }
            seen.extend(records(&header, batch).into_iter().filter(|record| record.offset >= start));
        }
        assert!(offset > start, "a read must move on");
    }
}

pub(crate) fn batches(mut bytes: &[u8]) -> Vec<(BatchHeader, &[u8])> {
    let mut batches = Vec::new();
    while let Some(header) = BatchHeader::decode(bytes)
        && header.size() <= bytes.len()
    {
        let (batch, rest) = bytes.split_at(header.size());
        assert!(millstream_protocol::batch::is_intact(&header, batch), "served a batch with a wrong CRC");
        batches.push((header, batch));
        bytes = rest;
    }
    batches
}

pub(crate) fn records(header: &BatchHeader, batch: &[u8]) -> Vec<Seen> {
    let codec = Codec::from_id(header.codec()).unwrap();
    let text = |field: Option<&[u8]>| field.map(|field| String::from_utf8_lossy(field).into_owned());
    codec::with_plain(codec, &batch[HEADER_BYTES..], |plain| {
        Ok(Records::new(plain, header.record_count)
            .map(|record| record.unwrap())
            .map(|record| Seen {
                offset: header.base_offset + i64::from(record.offset_delta),
                key: text(record.key),
                value: text(record.value),
            })
            .collect())
    })
    .unwrap()
}

/// A directory on a faulty disk, and what is needed to open it again.
pub(crate) struct Bench {
    pub(crate) faulty: Arc<FaultyDisk>,
    pub(crate) clock: Clock,
}

impl Bench {
    pub(crate) fn new(seed: u64) -> Bench {
        let bench = Bench { faulty: FaultyDisk::new(seed), clock: Clock::manual(NOW_MS) };
        bench.faulty.set_now_ms(NOW_MS);
        bench
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk::Faulty(Arc::clone(&self.faulty))
    }

    pub(crate) fn open(&self) -> Arc<LogDir> {
        LogDir::open(self.disk(), self.clock.clone(), Path::new(DIR)).unwrap()
    }

    /// Opens the directory with all its partitions.
    pub(crate) fn load(&self, config: &LogConfig) -> Arc<LogDir> {
        let dir = self.open();
        let config = Arc::new(config.clone());
        dir.load_all(2, &|_| Arc::clone(&config)).unwrap();
        dir
    }

    /// The partition that most tests use, made when it is not there.
    pub(crate) fn log(&self, dir: &Arc<LogDir>, config: &LogConfig) -> Arc<PartitionLog> {
        dir.open_partition("t", 0, Uuid::from_u128(7), Arc::new(config.clone())).unwrap()
    }

    pub(crate) fn advance(&self, by_ms: i64) {
        self.clock.advance(by_ms);
        self.faulty.set_now_ms(self.clock.now_ms());
    }

    /// Names of the files in the partition's folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = self.disk().list(&Path::new(DIR).join("t-0")).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }
}
