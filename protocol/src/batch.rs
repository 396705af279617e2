//! The 61 bytes in front of every record batch v2, decoded once into a copy.
//!
//! Used by broker/log, which stamps offsets and epochs into the copy, and by whoever reads or writes batches. The
//! records are `record.rs`. Never here: magic 0 and 1, which Apache 4 removed.
//!
//! ```text
//!  0  i64  base offset              27  i64  base timestamp (delete horizon when bit 6 is set)
//!  8  i32  length after this field  35  i64  largest timestamp
//! 12  i32  leader epoch             43  i64  producer id
//! 16  i8   magic, 2                 51  i16  producer epoch
//! 17  u32  CRC-32C from 21 on       53  i32  base sequence
//! 21  i16  attributes               57  i32  number of records
//! 23  i32  last offset delta        61       records
//! ```

/// Bytes in front of the records.
pub const HEADER_BYTES: usize = 61;
/// Bytes in front of what the length field counts.
pub const LENGTH_OVERHEAD: usize = 12;
/// Smallest batch of any format (Java: `LegacyRecord.RECORD_OVERHEAD_V0`).
pub const SMALLEST_BATCH: i32 = 14;
/// Where the CRC's coverage begins.
pub const CRC_COVERS_FROM: usize = 21;

/// Attributes: the codec.
pub const CODEC_MASK: i16 = 0x07;
/// Attributes: the largest timestamp is the time of the append and stands for every record.
pub const LOG_APPEND_TIME: i16 = 0x08;
/// Attributes: part of a transaction.
pub const TRANSACTIONAL: i16 = 0x10;
/// Attributes: control records, which no application sees.
pub const CONTROL: i16 = 0x20;
/// Attributes: the base timestamp is a delete horizon (KIP-534).
pub const DELETE_HORIZON: i16 = 0x40;

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes after this field.
    pub length: i32,
    /// Epoch of the leader that wrote it; not covered by the CRC.
    pub leader_epoch: i32,
    /// 2.
    pub magic: i8,
    /// CRC-32C from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: i16,
    /// Offset of the last record less the base offset.
    pub last_offset_delta: i32,
    /// What the timestamp deltas count from, or the delete horizon.
    pub base_timestamp: i64,
    /// Largest timestamp.
    pub max_timestamp: i64,
    /// -1 for none.
    pub producer_id: i64,
    /// -1 for none.
    pub producer_epoch: i16,
    /// Sequence of the first record, -1 for none.
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: i32,
}

impl Default for BatchHeader {
    /// A batch of no producer, at no offset.
    fn default() -> Self {
        BatchHeader {
            base_offset: 0,
            length: 0,
            leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        }
    }
}

impl BatchHeader {
    /// Decodes the first 61 bytes; `None` when there are fewer.
    pub fn decode(bytes: &[u8]) -> Option<BatchHeader> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        Some(BatchHeader {
            base_offset: long(bytes, 0),
            length: int(bytes, 8),
            leader_epoch: int(bytes, 12),
            magic: bytes[16] as i8,
            crc: int(bytes, 17) as u32,
            attributes: i16::from_be_bytes([bytes[21], bytes[22]]),
            last_offset_delta: int(bytes, 23),
            base_timestamp: long(bytes, 27),
            max_timestamp: long(bytes, 35),
            producer_id: long(bytes, 43),
            producer_epoch: i16::from_be_bytes([bytes[51], bytes[52]]),
            base_sequence: int(bytes, 53),
            record_count: int(bytes, 57),
        })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        bytes[16] = self.magic as u8;
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..].copy_from_slice(&self.record_count.to_be_bytes());
        bytes
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        LENGTH_OVERHEAD + self.length.max(0) as usize
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Sequence of the last record; wraps to 0 after the largest (Java: `incrementSequence`).
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        if self.base_sequence > i32::MAX - self.last_offset_delta {
            self.last_offset_delta - (i32::MAX - self.base_sequence) - 1
        } else {
            self.base_sequence + self.last_offset_delta
        }
    }

    /// Number of the codec.
    pub fn codec(&self) -> i16 {
        self.attributes & CODEC_MASK
    }

    /// Whether an idempotent producer wrote it.
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it holds control records.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether the time of the append stands for every record.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// When tombstones and markers in this batch may go (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        if self.attributes & DELETE_HORIZON != 0 { Some(self.base_timestamp) } else { None }
    }
}

/// The CRC that belongs into a batch of this header and these records.
pub fn checksum(header: &[u8; HEADER_BYTES], records: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[CRC_COVERS_FROM..]), records)
}

/// Whether a whole batch carries the right CRC.
pub fn is_intact(header: &BatchHeader, batch: &[u8]) -> bool {
    batch.len() >= HEADER_BYTES && crc32c::crc32c(&batch[CRC_COVERS_FROM..]) == header.crc
}

/// Walks the whole batches in a buffer; what is cut at the end is left out, as a fetch may end inside a batch.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
}

impl<'a> Batches<'a> {
    /// The batches in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Batches { bytes }
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = (BatchHeader, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = BatchHeader::decode(self.bytes)?;
        let least = (HEADER_BYTES - LENGTH_OVERHEAD) as i32;
        if header.length < least || header.size() > self.bytes.len() {
            return None;
        }
        let (batch, rest) = self.bytes.split_at(header.size());
        self.bytes = rest;
        Some((header, batch))
    }
}

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerKind {
    /// The records before it are void.
    Abort,
    /// The records before it count.
    Commit,
}

/// The one record of a transaction's marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMarker {
    /// Commit or abort.
    pub kind: MarkerKind,
    /// Epoch of the coordinator that wrote it.
    pub coordinator_epoch: i32,
}

impl EndMarker {
    /// Reads the marker in a control batch; `None` when the batch is empty (compaction left its header) or
    /// holds another kind of control record.
    pub fn decode(batch: &[u8]) -> Option<EndMarker> {
        let record = crate::record::Records::new(batch.get(HEADER_BYTES..)?, 1).next()?.ok()?;
        let kind = match record.key?.get(2..4)? {
            [0, 0] => MarkerKind::Abort,
            [0, 1] => MarkerKind::Commit,
            _ => return None,
        };
        let epoch = record.value?.get(2..6)?;
        Some(EndMarker { kind, coordinator_epoch: i32::from_be_bytes(epoch.try_into().ok()?) })
    }
}

fn long(bytes: &[u8; HEADER_BYTES], at: usize) -> i64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(field)
}

fn int(bytes: &[u8; HEADER_BYTES], at: usize) -> i32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    i32::from_be_bytes(field)
}
