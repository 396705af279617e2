//! Batches and records of a `.log` file or a snapshot of the metadata, line by line.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use millstream_protocol::batch::{BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD, SMALLEST_BATCH, is_intact};
use millstream_protocol::compress::{self, Codec};
use millstream_protocol::record::{Record, Records};
use millstream_protocol::record_json;
use millstream_protocol::record_schema::table;
use millstream_protocol::schema::Message;
use serde_json::Value;

use super::decode::Decoder;
use super::line::{Line, say};
use super::{Faults, Problem, note, said};
use crate::kafka::options::Given;
use crate::kafka::progress::Progress;

/// Bytes that a reader wants before it looks at a batch (Java: `Records.HEADER_SIZE_UP_TO_MAGIC`).
const FRONT_BYTES: u64 = 17;
/// Plain bytes of a batch at most: a damaged one must not take all memory.
const PLAIN_BYTES_MAX: usize = 1 << 30;

/// A `.log` file.
pub struct LogFile {
    file: File,
    length: u64,
    name: String,
}

/// A batch and where it lies.
pub struct Batch {
    pub header: BatchHeader,
    pub position: u64,
    pub bytes: Vec<u8>,
}

/// A part of a file, read batch by batch.
pub struct Slice<'a> {
    log: &'a LogFile,
    position: u64,
    end: u64,
}

impl LogFile {
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = opened.or_else(|error| said(format!("{name}: {error}")))?;
        Ok(LogFile { file, length, name })
    }

    /// At most `bytes` from `position` on.
    pub fn slice(&self, position: i32, bytes: i32) -> Result<Slice<'_>, Problem> {
        let (Ok(start), Ok(bytes)) = (u64::try_from(position), u64::try_from(bytes)) else {
            return said(format!("Invalid position: {position} or size: {bytes} in read from {}", self.name));
        };
        if start > self.length {
            return said(format!("Slice from position {start} exceeds end position of {}", self.name));
        }
        Ok(Slice { log: self, position: start, end: self.length.min(start + bytes) })
    }
}

impl Slice<'_> {
    /// The next batch; None where what is left is too short for one.
    pub fn next(&mut self) -> Result<Option<Batch>, Problem> {
        if self.position + FRONT_BYTES >= self.end {
            return Ok(None);
        }
        let mut front = [0; FRONT_BYTES as usize];
        self.read(&mut front, self.position)?;
        let length = i32::from_be_bytes([front[8], front[9], front[10], front[11]]);
        if length < SMALLEST_BATCH {
            return said(format!(
                "Found record size {length} smaller than minimum record overhead ({SMALLEST_BATCH}) in file {}.",
                self.log.name
            ));
        }
        let size = LENGTH_OVERHEAD + length as usize;
        if self.position + size as u64 > self.end {
            return Ok(None);
        }
        if front[16] != 2 || size < HEADER_BYTES {
            return said(format!(
                "a batch of format {} at position {} of {} is not read",
                front[16], self.position, self.log.name
            ));
        }
        let mut bytes = vec![0; size];
        self.read(&mut bytes, self.position)?;
        let Some(header) = BatchHeader::decode(&bytes) else { return Ok(None) };
        let position = self.position;
        self.position += size as u64;
        Ok(Some(Batch { header, position, bytes }))
    }

    fn read(&self, into: &mut [u8], at: u64) -> Result<(), Problem> {
        self.log.file.read_exact_at(into, at).or_else(|error| said(format!("{}: {error}", self.log.name)))
    }
}

/// The records of a batch in plain form.
fn plain(batch: &Batch) -> Result<Vec<u8>, Problem> {
    let records = &batch.bytes[HEADER_BYTES..];
    match Codec::from_id(batch.header.codec()) {
        None => said(format!("Unknown compression type id: {}", batch.header.codec())),
        Some(Codec::None) => Ok(records.to_vec()),
        Some(codec) => {
            let mut plain = Vec::with_capacity(records.len() * 3);
            match compress::decompress(codec, records, PLAIN_BYTES_MAX, &mut plain) {
                Ok(()) => Ok(plain),
                Err(error) => said(error.to_string()),
            }
        }
    }
}

fn timestamp(header: &BatchHeader, record: &Record<'_>) -> i64 {
    if header.is_log_append_time() {
        header.max_timestamp
    } else {
        header.base_timestamp.wrapping_add(record.timestamp_delta)
    }
}

/// The largest timestamp of a batch's records.
pub fn largest_timestamp(batch: &Batch) -> Result<i64, Problem> {
    let mut largest = -1;
    for record in Records::new(&plain(batch)?, batch.header.record_count) {
        let record = record.or_else(|malformed| said(format!("{malformed:?}")))?;
        largest = largest.max(timestamp(&batch.header, &record));
    }
    Ok(largest)
}

/// What is printed of a log.
pub struct Dump {
    decoder: Decoder,
    contents: bool,
    deep: bool,
    metadata: bool,
    max_bytes: i32,
}

impl Dump {
    pub fn new(given: &Given, decoder: Decoder, max_bytes: i32) -> Self {
        let contents = decoder.is_asked_for() || given.has("print-data-log");
        Dump {
            decoder,
            contents,
            deep: contents || given.has("deep-iteration"),
            metadata: !given.has("skip-record-metadata"),
            max_bytes,
        }
    }

    /// Prints a file.
    pub fn write(&self, path: &Path, name: &str, faults: &mut Faults, out: &mut impl Write) -> Result<(), Problem> {
        if name.ends_with(".log") {
            say(&format!("Log starting offset: {}", super::base_offset(path)?), out)?;
        } else if name == "bootstrap.checkpoint" {
            say("KRaft bootstrap snapshot", out)?;
        } else {
            // Twenty digits of the offset, ten of the epoch.
            let number = |from: usize, to: usize| name.get(from..to).and_then(|digits| digits.parse::<i64>().ok());
            let (Some(offset), Some(epoch)) = (number(0, 20), number(21, 31)) else {
                return said(format!("{name} is not named as a snapshot"));
            };
            say(&format!("Snapshot end offset: {offset}, epoch: {epoch}"), out)?;
        }
        let log = LogFile::open(path)?;
        let mut slice = log.slice(0, self.max_bytes)?;
        let mut last = -1;
        let mut progress = Progress::new("bytes", slice.end);
        while let Some(batch) = slice.next()? {
            progress.at(slice.position);
            write_batch(&batch, out)?;
            if self.deep {
                self.write_records(&batch, &mut last, path, faults, out)?;
            }
        }
        let trailing = slice.end - slice.position;
        if trailing > 0 && self.max_bytes == i32::MAX {
            say(&format!("Found {trailing} invalid bytes at the end of {name}"), out)?;
        }
        Ok(())
    }

    fn write_records(
        &self,
        batch: &Batch,
        last: &mut i64,
        path: &Path,
        faults: &mut Faults,
        out: &mut impl Write,
    ) -> Result<(), Problem> {
        let header = &batch.header;
        for record in Records::new(&plain(batch)?, header.record_count) {
            let record = record.or_else(|malformed| said(format!("{malformed:?}")))?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            if offset != *last + 1 {
                note(&mut faults.gaps, path, (*last, offset));
            }
            *last = offset;
            let mut line = Line::default();
            if self.metadata {
                add_metadata(header, &record, offset, &mut line)?;
            }
            if self.contents && !header.is_control() {
                self.add_contents(&record, offset, &mut line)?;
            }
            line.write("| ", out)?;
        }
        Ok(())
    }

    fn add_contents(&self, record: &Record<'_>, offset: i64, line: &mut Line) -> Result<(), Problem> {
        let (key, value) = self.decoder.decode(record, offset)?;
        if let Some(key) = key {
            line.add("key:", &key, key.to_string());
        }
        if let Some(value) = value {
            line.add("payload:", &value, value.to_string());
        }
        Ok(())
    }
}

fn timestamp_type(header: &BatchHeader) -> &'static str {
    if header.is_log_append_time() { "LogAppendTime:" } else { "CreateTime:" }
}

fn write_batch(batch: &Batch, out: &mut impl Write) -> io::Result<()> {
    let header = &batch.header;
    let mut line = Line::default();
    line.number("baseOffset:", header.base_offset);
    line.number("lastOffset:", header.last_offset());
    line.number("count:", header.record_count);
    line.number("baseSequence:", header.base_sequence);
    line.number("lastSequence:", header.last_sequence());
    line.number("producerId:", header.producer_id);
    line.number("producerEpoch:", header.producer_epoch);
    line.number("partitionLeaderEpoch:", header.leader_epoch);
    line.number("isTransactional:", header.is_transactional());
    line.number("isControl:", header.is_control());
    line.optional("deleteHorizonMs:", header.delete_horizon_ms());
    line.number("position:", batch.position);
    line.number(timestamp_type(header), header.max_timestamp);
    line.number("size:", header.size() as u64);
    line.number("magic:", header.magic);
    let codec = Codec::from_id(header.codec()).map_or("unknown", Codec::name);
    line.add("compresscodec:", codec, codec);
    line.number("crc:", header.crc);
    line.number("isvalid:", is_intact(header, &batch.bytes));
    line.write("", out)
}

fn add_metadata(header: &BatchHeader, record: &Record<'_>, offset: i64, line: &mut Line) -> Result<(), Problem> {
    let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
    let sequence = if header.base_sequence < 0 {
        -1
    } else {
        BatchHeader { last_offset_delta: record.offset_delta, ..*header }.last_sequence()
    };
    let names: Vec<String> = record.headers().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    line.number("offset:", offset);
    line.number(timestamp_type(header), timestamp(header, record));
    line.number("keySize:", size(record.key));
    line.number("valueSize:", size(record.value));
    line.number("sequence:", sequence);
    line.add("headerKeys:", format!("[{}]", names.join(",")), names);
    if header.is_control() { add_control(record, line) } else { Ok(()) }
}

/// Java: `ControlRecordType`, `ControlRecordUtils`.
fn add_control(record: &Record<'_>, line: &mut Line) -> Result<(), Problem> {
    let key = record.key.unwrap_or_default();
    let Some((front, _)) = key.split_first_chunk::<4>() else {
        return said(format!(
            "Invalid value size found for end control record key. Must have at least 4 bytes, but found only {}",
            key.len()
        ));
    };
    let (version, kind) = (i16::from_be_bytes([front[0], front[1]]), i16::from_be_bytes([front[2], front[3]]));
    if version < 0 {
        return said(format!("Invalid version found for control record: {version}. May indicate data corruption"));
    }
    let value = record.value.unwrap_or_default();
    let mut message = |title: &str, message: &'static Message| -> Result<(), Problem> {
        // The value's own first field is its version; it is written in that version.
        let version = value.first_chunk().map_or(0, |bytes| i16::from_be_bytes(*bytes));
        match record_json::read(message, version, value) {
            Ok(json) => {
                let object = serde_json::from_str::<Value>(&json.to_string()).unwrap_or_default();
                line.add(title, json, object);
                Ok(())
            }
            Err(error) => said(error.to_string()),
        }
    };
    match kind {
        0 | 1 => {
            let Some(fields) = value.first_chunk::<6>() else {
                return said(format!(
                    "Invalid value size found for end transaction marker. Must have at least 6 bytes, but found only {}",
                    value.len()
                ));
            };
            let epoch = i32::from_be_bytes([fields[2], fields[3], fields[4], fields[5]]);
            let marker = if kind == 0 { "ABORT" } else { "COMMIT" };
            line.add("endTxnMarker:", marker, marker);
            line.number("coordinatorEpoch:", epoch);
            Ok(())
        }
        2 => message("LeaderChange:", &table::LEADER_CHANGE_MESSAGE),
        3 => message("SnapshotHeader", &table::SNAPSHOT_HEADER_RECORD),
        4 => message("SnapshotFooter", &table::SNAPSHOT_FOOTER_RECORD),
        5 => message("KRaftVersion", &table::K_RAFT_VERSION_RECORD),
        6 => message("KRaftVoters", &table::VOTERS_RECORD),
        other => {
            line.add("controlType:", format!("UNKNOWN({other})"), other);
            Ok(())
        }
    }
}
