//! Which records of a batch survive compaction, and the batch that is left (Java: `Cleaner.cleanInto`,
//! `CleanedTransactionMetadata`, `MemoryRecords.filterTo`).

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use crate::codec::{self, Codec};
use crate::error::AppendError;
use crate::index_txn::AbortedTxn;
use crate::key_map::KeyMap;
use millstream_protocol::batch::{
    self as header, BatchHeader, DELETE_HORIZON, EndMarker, HEADER_BYTES, LENGTH_OVERHEAD, MarkerKind,
};
use millstream_protocol::record::{BatchWriter, Record, Records};

/// The last batch of a producer, which keeps its sequence alive (B item 31).
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastBatch {
    /// Offset of its last data, `None` when only a marker is known.
    pub(crate) last_data_offset: Option<i64>,
    pub(crate) epoch: i16,
}

/// Follows transactions through the log as compaction reads it.
#[derive(Default)]
pub(crate) struct Transactions {
    /// Aborted ones that were not met yet, by first offset and producer.
    waiting: BTreeMap<(i64, i64), AbortedTxn>,
    /// Aborted ones in the stretch at hand; the flag says whether data of theirs is still there.
    aborted: HashMap<i64, (AbortedTxn, DataSeen)>,
    /// Producers with committed data since their last marker.
    committed: HashSet<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataSeen {
    No,
    Yes,
}

/// What a batch means to its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Keep,
    /// Data of an aborted transaction, or a marker without data in front of it.
    Discardable,
    /// The marker of an aborted transaction with data: its index entry goes along.
    KeepAborted(AbortedTxn),
}

impl Transactions {
    pub(crate) fn add(&mut self, aborted: impl IntoIterator<Item = AbortedTxn>) {
        for txn in aborted {
            self.waiting.insert((txn.first_offset, txn.producer_id), txn);
        }
    }

    fn advance(&mut self, offset: i64) {
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= offset
        {
            let txn = first.remove();
            self.aborted.entry(txn.producer_id).or_insert((txn, DataSeen::No));
        }
    }

    fn on_marker(&mut self, header: &BatchHeader, batch: &[u8]) -> Standing {
        self.advance(header.last_offset());
        if header.record_count == 0 {
            return Standing::Discardable;
        }
        let Some(marker) = EndMarker::decode(batch) else { return Standing::Keep };
        match marker.kind {
            MarkerKind::Abort => match self.aborted.remove(&header.producer_id) {
                Some((txn, DataSeen::Yes)) => Standing::KeepAborted(txn),
                Some((_, DataSeen::No)) | None => Standing::Discardable,
            },
            MarkerKind::Commit if self.committed.remove(&header.producer_id) => Standing::Keep,
            MarkerKind::Commit => Standing::Discardable,
        }
    }

    /// Whether a data batch belongs to an aborted transaction.
    pub(crate) fn is_aborted(&mut self, header: &BatchHeader) -> bool {
        self.advance(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some((_, seen)) => {
                *seen = DataSeen::Yes;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// Notes a marker while the key map is built.
    pub(crate) fn pass_marker(&mut self, header: &BatchHeader, batch: &[u8]) {
        self.on_marker(header, batch);
    }
}

/// The rules of one cleaning.
pub(crate) struct Filter<'a> {
    pub(crate) keys: &'a KeyMap,
    pub(crate) last_batches: &'a HashMap<i64, LastBatch>,
    pub(crate) high_watermark: i64,
    pub(crate) now_ms: i64,
    pub(crate) delete_retention_ms: i64,
}

/// What compaction does with a batch.
pub(crate) struct Kept {
    /// The entry of an aborted transaction that the new segment needs.
    pub(crate) aborted: Option<AbortedTxn>,
    /// Whether anything was written.
    pub(crate) batch: Outcome,
}

/// See [`Kept::batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Written,
    Dropped,
}

impl Filter<'_> {
    /// Appends what is left of `batch` to `into`.
    pub(crate) fn filter(
        &self,
        header: &BatchHeader,
        batch: &[u8],
        transactions: &mut Transactions,
        into: &mut Vec<u8>,
    ) -> Result<Kept, AppendError> {
        let standing = if header.is_control() {
            transactions.on_marker(header, batch)
        } else if transactions.is_aborted(header) {
            Standing::Discardable
        } else {
            Standing::Keep
        };
        let aborted = match standing {
            Standing::KeepAborted(txn) => Some(txn),
            Standing::Keep | Standing::Discardable => None,
        };
        let may_discard = standing == Standing::Discardable;
        // A marker without data stays until its delete horizon has passed, so that slow readers see it.
        let discards = may_discard
            && (!header.is_control() || header.delete_horizon_ms().is_some_and(|horizon| horizon <= self.now_ms));
        let must_stay = header.has_producer() && self.is_last_of_producer(header)
            || header.last_offset() + 1 == self.high_watermark;
        if discards && !must_stay {
            return Ok(Kept { aborted, batch: Outcome::Dropped });
        }
        let start = into.len();
        if !discards {
            let empties_txn = may_discard && header.is_control();
            self.keep_records(header, batch, empties_txn, into)?;
        }
        if into.len() == start && must_stay {
            push_empty(header, into);
        }
        let outcome = if into.len() == start { Outcome::Dropped } else { Outcome::Written };
        Ok(Kept { aborted, batch: outcome })
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        self.last_batches.get(&header.producer_id).is_some_and(|last| match last.last_data_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == last.epoch,
        })
    }

    fn keep_records(
        &self,
        header: &BatchHeader,
        batch: &[u8],
        empties_txn: bool,
        into: &mut Vec<u8>,
    ) -> Result<(), AppendError> {
        let codec = Codec::from_id(header.codec())
            .ok_or_else(|| AppendError::CorruptMessage("unknown codec in the log".to_owned()))?;
        codec::with_plain(codec, &batch[HEADER_BYTES..], |plain| {
            let (mut kept, mut tombstones) = (0, false);
            for record in Records::new(plain, header.record_count) {
                let record =
                    record.map_err(|_| AppendError::CorruptMessage("malformed record in the log".to_owned()))?;
                if self.keeps(header, &record) {
                    kept += 1;
                    tombstones |= record.value.is_none();
                }
            }
            if kept == 0 {
                return Ok(());
            }
            let sets_horizon = (tombstones || empties_txn) && header.delete_horizon_ms().is_none();
            if kept == header.record_count && !sets_horizon {
                into.extend_from_slice(batch);
                return Ok(());
            }
            let horizon = if sets_horizon {
                Some(self.now_ms.saturating_add(self.delete_retention_ms))
            } else {
                header.delete_horizon_ms()
            };
            self.write_kept(header, plain, codec, horizon, into)
        })
    }

    fn write_kept(
        &self,
        header: &BatchHeader,
        plain: &[u8],
        codec: Codec,
        horizon: Option<i64>,
        into: &mut Vec<u8>,
    ) -> Result<(), AppendError> {
        let mut like = *header;
        if horizon.is_some() {
            like.attributes |= DELETE_HORIZON;
        }
        let mut writer = BatchWriter::new(horizon);
        for record in Records::new(plain, header.record_count).flatten() {
            if self.keeps(header, &record) {
                let timestamp = if header.is_log_append_time() {
                    header.max_timestamp
                } else {
                    header.base_timestamp.wrapping_add(record.timestamp_delta)
                };
                writer.push(&record, record.offset_delta, timestamp);
            }
        }
        writer.finish(&like, codec, None, into).map_err(codec::undecodable)
    }

    fn keeps(&self, header: &BatchHeader, record: &Record<'_>) -> bool {
        let offset = header.base_offset + i64::from(record.offset_delta);
        if header.is_control() || offset > self.keys.latest_offset {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_latest = offset >= self.keys.offset_of(key);
        let keeps_tombstones = header.delete_horizon_ms().is_none_or(|horizon| self.now_ms < horizon);
        is_latest && (record.value.is_some() || keeps_tombstones)
    }
}

/// A batch without records: offsets, producer and sequences stay (Java: `DefaultRecordBatch.writeEmptyHeader`).
fn push_empty(header: &BatchHeader, into: &mut Vec<u8>) {
    let mut empty = *header;
    empty.length = (HEADER_BYTES - LENGTH_OVERHEAD) as i32;
    empty.attributes &= !(header::CODEC_MASK | DELETE_HORIZON);
    empty.base_timestamp = -1;
    empty.record_count = 0;
    empty.crc = header::checksum(&empty.encode(), &[]);
    into.extend_from_slice(&empty.encode());
}
