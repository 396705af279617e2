//! What stands in an index or a producer snapshot, entry by entry, for kafka-dump-log.
//!
//! Works on bytes that the caller read. Never opens, repairs or trusts anything: a dump shows what is there.

use crate::index_txn::AbortedTxn;
use crate::{index_offset, index_time, index_txn, producer_snapshot};

/// Bytes of an entry in `.index`.
pub const OFFSET_ENTRY_BYTES: usize = index_offset::ENTRY_BYTES;
/// Bytes of an entry in `.timeindex`.
pub const TIME_ENTRY_BYTES: usize = index_time::ENTRY_BYTES;

/// An entry of `.index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    /// Offset of the last record of a batch.
    pub offset: i64,
    /// Where that batch begins in the `.log` file.
    pub position: i32,
}

/// An entry of `.timeindex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// The largest timestamp so far.
    pub timestamp: i64,
    /// Last offset of the batch that holds it.
    pub offset: i64,
}

/// An entry of `.txnindex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedEntry {
    /// Who aborted.
    pub producer_id: i64,
    /// First offset of the transaction.
    pub first_offset: i64,
    /// Offset of its marker.
    pub last_offset: i64,
    /// Last stable offset when it was aborted.
    pub last_stable_offset: i64,
}

/// A producer of a `.snapshot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Epoch of the coordinator of its last marker.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub txn_first_offset: Option<i64>,
    /// When it wrote last.
    pub last_timestamp: i64,
    /// Its last batch.
    pub last_batch: Option<LastBatch>,
}

/// The last batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBatch {
    /// Sequence of its first record.
    pub first_sequence: i32,
    /// Sequence of its last record.
    pub last_sequence: i32,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Last offset less the first.
    pub offset_delta: i32,
    /// Its time.
    pub timestamp: i64,
}

/// The entries of an `.index` of a segment that begins at `base_offset`; what is cut at the end is left out.
pub fn offset_entries(bytes: &[u8], base_offset: i64) -> Vec<OffsetEntry> {
    let (entries, _) = bytes.as_chunks();
    let entry = |entry| {
        let (relative, position) = index_offset::decode(entry);
        OffsetEntry { offset: base_offset + i64::from(relative), position: position as i32 }
    };
    entries.iter().map(entry).collect()
}

/// The entries of a `.timeindex` of a segment that begins at `base_offset`; what is cut at the end is left out.
pub fn time_entries(bytes: &[u8], base_offset: i64) -> Vec<TimeEntry> {
    let (entries, _) = bytes.as_chunks();
    let entry = |entry| {
        let (timestamp, relative) = index_time::decode(entry);
        TimeEntry { timestamp, offset: base_offset + i64::from(relative) }
    };
    entries.iter().map(entry).collect()
}

/// The entries of a `.txnindex`, and what is wrong at its end. Their version is not looked at, as Apache's dump does not
/// look at it.
pub fn aborted_entries(bytes: &[u8]) -> (Vec<AbortedEntry>, Result<(), String>) {
    let mut found = Vec::new();
    let (entries, rest) = bytes.as_chunks::<{ index_txn::ENTRY_BYTES }>();
    for entry in entries {
        let AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset } = index_txn::decode(entry);
        found.push(AbortedEntry { producer_id, first_offset, last_offset, last_stable_offset });
    }
    (found, if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes of an entry at the end", rest.len())) })
}

/// The producers of a `.snapshot`.
///
/// # Errors
/// What is wrong with it.
pub fn producers(bytes: &[u8]) -> Result<Vec<ProducerEntry>, &'static str> {
    let row = |(producer_id, producer): &(i64, crate::producer_state::Producer)| ProducerEntry {
        producer_id: *producer_id,
        epoch: producer.epoch,
        coordinator_epoch: producer.coordinator_epoch,
        txn_first_offset: (producer.txn_first_offset >= 0).then_some(producer.txn_first_offset),
        last_timestamp: producer.last_timestamp,
        last_batch: producer.last_mark().map(|mark| LastBatch {
            first_sequence: mark.first_sequence(),
            last_sequence: mark.last_sequence,
            last_offset: mark.last_offset,
            offset_delta: mark.offset_delta,
            timestamp: mark.timestamp,
        }),
    };
    Ok(producer_snapshot::decode(bytes)?.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_relative_to_the_segment() {
        let index = [0, 0, 0, 3, 0, 0, 1, 0, 9, 9];
        assert_eq!(offset_entries(&index, 100), [OffsetEntry { offset: 103, position: 256 }]);
        let times = [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2];
        assert_eq!(time_entries(&times, 100), [TimeEntry { timestamp: 9, offset: 102 }]);
    }

    #[test]
    fn damage_is_told() {
        let mut entry = [0; index_txn::ENTRY_BYTES];
        entry[9] = 5;
        let (found, end) = aborted_entries(&entry);
        assert_eq!((found[0].producer_id, end), (5, Ok(())));
        assert!(aborted_entries(&entry[..20]).1.is_err());
        assert!(producers(&[0; 12]).is_err());
    }
}
