//! What a read asks for and what it answers.

use std::io;

use millstream_base_env::File;

/// Up to where a reader may see (Java: `FetchIsolation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A follower: everything.
    LogEnd,
    /// A read_uncommitted consumer: below the high watermark.
    HighWatermark,
    /// A read_committed consumer: below the last stable offset.
    Committed,
}

/// Whether a batch larger than the limit is returned when it is the first one (KIP-74).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinimumOne {
    /// At least one whole batch, even above the limit.
    Yes,
    /// Never more than the limit.
    No,
}

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It may: the caller's thread can block.
    Waits,
    /// It answers [`crate::ReadError::Cold`] instead: the caller's thread serves others too.
    InMemory,
}

impl Reading {
    pub(crate) fn read(self, file: &File, into: &mut [u8], position: u64) -> io::Result<usize> {
        match self {
            Reading::Waits => file.read_at(into, position),
            Reading::InMemory => file.read_in_memory(into, position),
        }
    }
}

/// A read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// First offset wanted; the batch that holds it is returned whole.
    pub offset: i64,
    /// Most bytes wanted.
    pub bytes_max: usize,
    /// What happens to a first batch above `bytes_max`.
    pub minimum_one: MinimumOne,
    /// Up to where the reader may see.
    pub isolation: Isolation,
}

/// A piece of a file; stays readable when the segment is deleted meanwhile.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The segment's `.log` file.
    pub file: File,
    /// First byte.
    pub position: u64,
    /// Number of bytes; may end inside a batch, as Apache's answers do.
    pub length: usize,
}

impl Slice {
    /// The bytes themselves, for readers inside the process. Fewer than `length` when a truncation came
    /// between.
    ///
    /// # Errors
    /// The system's own.
    pub fn bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        let read = self.file.read_at(&mut bytes, self.position)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// A transaction whose records a read_committed consumer must drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Its first offset in this partition.
    pub first_offset: i64,
}

/// The offsets of a log at one instant: `log_start <= last_stable <= high_watermark <= log_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// First offset that may be read.
    pub log_start: i64,
    /// End of what a read_committed consumer sees.
    pub last_stable: i64,
    /// End of what a consumer sees.
    pub high_watermark: i64,
    /// Offset of the next record.
    pub log_end: i64,
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct ReadResult {
    /// The bytes, or `None` when there are none to see.
    pub slice: Option<Slice>,
    /// Aborted transactions in the slice; `None` unless the isolation is `Committed`.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// The offsets at the time of the read.
    pub offsets: Offsets,
    /// Whether the offset lies in a segment before the active one, so that a waiting fetch must not wait.
    pub place: Place,
}

/// See [`ReadResult::place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the active segment or at the end.
    Active,
    /// In an older segment.
    Sealed,
}

/// Answer to a search by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Timestamp of the record, -1 where the question was about a position.
    pub timestamp: i64,
    /// Its offset.
    pub offset: i64,
    /// The leader epoch it was written under, -1 when unknown.
    pub leader_epoch: i32,
}

/// A producer that this partition remembers (DescribeProducers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Sequence of its last record, -1 when none is known.
    pub last_sequence: i32,
    /// Time of its last batch.
    pub last_timestamp: i64,
    /// Epoch of the coordinator that wrote its last marker, -1 for none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction, -1 for none.
    pub current_txn_start_offset: i64,
}
