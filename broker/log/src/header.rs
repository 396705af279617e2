//! The 61 bytes in front of every record batch, decoded once into a copy that the rest of the log works with.
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
pub(crate) const HEADER_BYTES: usize = 61;
/// Bytes in front of what the length field counts.
pub(crate) const LENGTH_OVERHEAD: usize = 12;
/// Smallest batch of any format (Java: `LegacyRecord.RECORD_OVERHEAD_V0`).
pub(crate) const SMALLEST_BATCH: i32 = 14;
/// Where the CRC's coverage begins.
pub(crate) const CRC_COVERS_FROM: usize = 21;

pub(crate) const CODEC_MASK: i16 = 0x07;
pub(crate) const LOG_APPEND_TIME: i16 = 0x08;
pub(crate) const TRANSACTIONAL: i16 = 0x10;
pub(crate) const CONTROL: i16 = 0x20;
pub(crate) const DELETE_HORIZON: i16 = 0x40;

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    pub(crate) length: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) magic: i8,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

impl BatchHeader {
    /// Decodes the first 61 bytes; `None` when there are fewer.
    pub(crate) fn decode(bytes: &[u8]) -> Option<BatchHeader> {
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
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
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
    pub(crate) fn size(&self) -> usize {
        LENGTH_OVERHEAD + self.length.max(0) as usize
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Sequence of the last record; wraps to 0 after the largest (Java: `incrementSequence`).
    pub(crate) fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        if self.base_sequence > i32::MAX - self.last_offset_delta {
            self.last_offset_delta - (i32::MAX - self.base_sequence) - 1
        } else {
            self.base_sequence + self.last_offset_delta
        }
    }

    pub(crate) fn codec(&self) -> i16 {
        self.attributes & CODEC_MASK
    }

    pub(crate) fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// When tombstones and markers in this batch may go (KIP-534).
    pub(crate) fn delete_horizon_ms(&self) -> Option<i64> {
        if self.attributes & DELETE_HORIZON != 0 { Some(self.base_timestamp) } else { None }
    }
}

/// The CRC that belongs into a batch of this header and these records.
pub(crate) fn checksum(header: &[u8; HEADER_BYTES], records: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[CRC_COVERS_FROM..]), records)
}

/// Whether a whole batch carries the right CRC.
pub(crate) fn is_intact(header: &BatchHeader, batch: &[u8]) -> bool {
    batch.len() >= HEADER_BYTES && crc32c::crc32c(&batch[CRC_COVERS_FROM..]) == header.crc
}

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkerKind {
    Abort,
    Commit,
}

/// The one record of a transaction's marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndMarker {
    pub(crate) kind: MarkerKind,
    pub(crate) coordinator_epoch: i32,
}

impl EndMarker {
    /// Reads the marker in a control batch; `None` when the batch is empty (compaction left its header) or
    /// holds another kind of control record.
    pub(crate) fn decode(batch: &[u8]) -> Option<EndMarker> {
        let record = crate::records::Records::new(batch.get(HEADER_BYTES..)?, 1).next()?.ok()?;
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
