//! What a partition remembers of each producer: epoch, the last five batches, an open transaction (Java:
//! `ProducerStateManager`, `ProducerAppendInfo`).
//!
//! The table is checked before a batch is written and advanced after, so that a failed write leaves it as the
//! disk is. Rebuilt from the newest snapshot and the log behind it. Never here: files (producer_snapshot.rs).

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::append::{AppendOrigin, VerificationGuard};
use crate::error::AppendError;
use crate::partition_log::{PartitionName, TransactionSupport};
use crate::read::ActiveProducer;
use millstream_protocol::batch::{BatchHeader, EndMarker, MarkerKind};

/// Batches per producer by which a retry is recognised (Java: `NUM_BATCHES_TO_RETAIN`).
const WINDOW: usize = 5;
/// No epoch is known.
const NO_EPOCH: i16 = -1;
/// No sequence, no offset, no transaction.
const NONE: i32 = -1;

/// The sequences and offsets of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchMark {
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: i64,
    pub(crate) offset_delta: i32,
    pub(crate) timestamp: i64,
}

impl BatchMark {
    pub(crate) fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    pub(crate) fn first_sequence(&self) -> i32 {
        if self.last_sequence < self.offset_delta {
            // Sequences wrap to 0 after the largest (Java: decrementSequence).
            i32::MAX - (self.offset_delta - self.last_sequence) + 1
        } else {
            self.last_sequence - self.offset_delta
        }
    }
}

/// One producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    pub(crate) coordinator_epoch: i32,
    pub(crate) last_timestamp: i64,
    /// First offset of its open transaction, -1 for none.
    pub(crate) txn_first_offset: i64,
    marks: [BatchMark; WINDOW],
    count: u8,
}

impl Producer {
    pub(crate) fn new(epoch: i16, coordinator_epoch: i32, last_timestamp: i64, txn_first_offset: i64) -> Self {
        Producer {
            epoch,
            coordinator_epoch,
            last_timestamp,
            txn_first_offset,
            marks: [BatchMark::default(); WINDOW],
            count: 0,
        }
    }

    fn marks(&self) -> &[BatchMark] {
        &self.marks[..usize::from(self.count)]
    }

    pub(crate) fn last_mark(&self) -> Option<&BatchMark> {
        self.marks().last()
    }

    fn last_sequence(&self) -> i32 {
        self.last_mark().map_or(NONE, |mark| mark.last_sequence)
    }

    fn move_to_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.count = 0;
            self.epoch = epoch;
        }
    }

    pub(crate) fn push(&mut self, mark: BatchMark) {
        if usize::from(self.count) == WINDOW {
            self.marks.copy_within(1.., 0);
            self.count -= 1;
        }
        self.marks[usize::from(self.count)] = mark;
        self.count += 1;
    }
}

/// A transaction that a marker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompletedTxn {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) kind: MarkerKind,
    /// Last stable offset once this transaction is out of the way.
    pub(crate) last_stable_offset: i64,
}

/// What a check before the write found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fresh,
    Duplicate(BatchMark),
}

#[derive(Clone, Copy, Debug)]
struct Verification {
    guard: VerificationGuard,
    started_ms: i64,
    lowest_sequence: i32,
    epoch: i16,
    support: TransactionSupport,
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct ProducerState {
    producers: HashMap<i64, Producer>,
    /// Open transactions: first offset to producer.
    ongoing: BTreeMap<i64, i64>,
    /// Ended ones whose marker is not below the high watermark yet: first offset to marker.
    unreplicated: BTreeMap<i64, i64>,
    verifications: HashMap<i64, Verification>,
    last_guard: u64,
    /// The table covers the log up to here.
    end_offset: i64,
}

impl ProducerState {
    pub(crate) fn end_offset(&self) -> i64 {
        self.end_offset
    }

    pub(crate) fn set_end_offset(&mut self, end_offset: i64) {
        self.end_offset = end_offset;
    }

    pub(crate) fn producers(&self) -> impl ExactSizeIterator<Item = (&i64, &Producer)> {
        self.producers.iter()
    }

    /// Forgets everything; the table covers nothing but an empty log that ends at `offset`.
    pub(crate) fn reset(&mut self, offset: i64) {
        *self = ProducerState { last_guard: self.last_guard, end_offset: offset, ..ProducerState::default() };
    }

    /// Takes a producer out of a snapshot.
    pub(crate) fn load(&mut self, producer_id: i64, producer: Producer) {
        if producer.txn_first_offset >= 0 {
            self.ongoing.insert(producer.txn_first_offset, producer_id);
        }
        self.producers.insert(producer_id, producer);
    }

    /// Checks a batch that is about to be written at `batch.base_offset`.
    pub(crate) fn check(
        &self,
        batch: &BatchHeader,
        origin: AppendOrigin,
        guard: VerificationGuard,
        name: &PartitionName,
    ) -> Result<Verdict, AppendError> {
        let producer = self.producers.get(&batch.producer_id);
        if origin == AppendOrigin::Client
            && let Some(mark) = producer.and_then(|producer| duplicate_of(producer, batch))
        {
            return Ok(Verdict::Duplicate(mark));
        }
        if batch.is_transactional() && !self.is_ongoing(batch.producer_id, batch.producer_epoch) {
            self.check_verified(batch, producer, guard)?;
        }
        if !batch.is_control() {
            self.check_data(batch, producer, origin, name)?;
        }
        Ok(Verdict::Fresh)
    }

    fn check_verified(
        &self,
        batch: &BatchHeader,
        producer: Option<&Producer>,
        guard: VerificationGuard,
    ) -> Result<(), AppendError> {
        if let Some(producer) = producer
            && batch.producer_epoch < producer.epoch
        {
            return Err(AppendError::InvalidProducerEpoch(format!(
                "Epoch of producer {} is {}, which is smaller than the last seen epoch {}",
                batch.producer_id, batch.producer_epoch, producer.epoch
            )));
        }
        if batch.is_control() || guard == VerificationGuard::DISABLED {
            return Ok(());
        }
        let verified = self.verifications.get(&batch.producer_id).map(|verification| verification.guard);
        if guard == VerificationGuard::NONE || verified != Some(guard) {
            return Err(AppendError::InvalidTxnState("Record was not part of an ongoing transaction".to_owned()));
        }
        Ok(())
    }

    fn check_data(
        &self,
        batch: &BatchHeader,
        producer: Option<&Producer>,
        origin: AppendOrigin,
        name: &PartitionName,
    ) -> Result<(), AppendError> {
        let current_epoch = producer.map_or(NO_EPOCH, |producer| producer.epoch);
        if batch.producer_epoch < current_epoch {
            return Err(stale_epoch(batch, current_epoch, "<", -1, name));
        }
        if origin == AppendOrigin::Client {
            self.check_sequence(batch, producer, name)?;
        }
        if producer.is_some_and(|producer| producer.txn_first_offset >= 0) && !batch.is_transactional() {
            return Err(AppendError::InvalidTxnState(format!(
                "Expected transactional write from producer {} at offset {} in partition {name}",
                batch.producer_id, batch.base_offset
            )));
        }
        Ok(())
    }

    /// Java: `ProducerAppendInfo.checkSequence`.
    fn check_sequence(
        &self,
        batch: &BatchHeader,
        producer: Option<&Producer>,
        name: &PartitionName,
    ) -> Result<(), AppendError> {
        let (id, offset, first) = (batch.producer_id, batch.base_offset, batch.base_sequence);
        if let Some(verification) = self.verifications.get(&id) {
            let has_no_state = producer.is_none_or(|producer| producer.count == 0);
            if verification.support == TransactionSupport::V2 && first != 0 && has_no_state {
                return Err(AppendError::OutOfOrderSequence(format!(
                    "Invalid sequence number for producer {id} at offset {offset} in partition {name}: {first} \
                     (incoming seq. number). Expected sequence 0 for transactions v2 idempotent producer with no \
                     existing state."
                )));
            }
            if first > verification.lowest_sequence {
                return Err(AppendError::OutOfOrderSequence(format!(
                    "Out of order sequence number for producer {id} at offset {offset} in partition {name}: {first} \
                     (incoming seq. number), {} (earliest seen sequence)",
                    verification.lowest_sequence
                )));
            }
        }
        // Without state for the producer any sequence is taken: it may have expired.
        let Some(producer) = producer else { return Ok(()) };
        if batch.producer_epoch != producer.epoch {
            if first != 0 && producer.epoch != NO_EPOCH {
                return Err(AppendError::OutOfOrderSequence(format!(
                    "Invalid sequence number for new epoch of producer {id} at offset {offset} in partition {name}: \
                     {} (request epoch), {first} (seq. number), {} (current producer epoch)",
                    batch.producer_epoch, producer.epoch
                )));
            }
            return Ok(());
        }
        let last = producer.last_sequence();
        let follows = i64::from(first) == i64::from(last) + 1 || (first == 0 && last == i32::MAX);
        if producer.epoch != NO_EPOCH && !follows {
            return Err(AppendError::OutOfOrderSequence(format!(
                "Out of order sequence number for producer {id} at offset {offset} in partition {name}: {first} \
                 (incoming seq. number), {last} (current end sequence number)"
            )));
        }
        Ok(())
    }

    /// Checks the marker of a coordinator (Java: `appendEndTxnMarker`).
    pub(crate) fn check_marker(
        &self,
        batch: &BatchHeader,
        marker: &EndMarker,
        transaction_version: i16,
        name: &PartitionName,
    ) -> Result<(), AppendError> {
        // One that was never seen has epochs too, of -1 (Java: `ProducerStateEntry.empty`).
        let unseen = Producer::new(NO_EPOCH, NONE, -1, -1);
        let producer = self.producers.get(&batch.producer_id).unwrap_or(&unseen);
        let is_v2 = transaction_version >= 2;
        let is_stale =
            if is_v2 { batch.producer_epoch <= producer.epoch } else { batch.producer_epoch < producer.epoch };
        if is_stale {
            // KAFKA-19999: the coordinator repeats a marker whose transaction is complete.
            let is_retry = is_v2
                && batch.producer_epoch == producer.epoch
                && (producer.txn_first_offset < 0 || batch.producer_epoch == i16::MAX);
            if !is_retry {
                let comparison = if is_v2 { "<=" } else { "<" };
                return Err(stale_epoch(batch, producer.epoch, comparison, transaction_version, name));
            }
        }
        if producer.coordinator_epoch > marker.coordinator_epoch {
            return Err(AppendError::TransactionCoordinatorFenced(format!(
                "Invalid coordinator epoch for producerId {} at offset {} in partition {name}: {} (zombie), {} \
                 (current)",
                batch.producer_id, batch.base_offset, marker.coordinator_epoch, producer.coordinator_epoch
            )));
        }
        Ok(())
    }

    /// Notes a data batch that is in the log now.
    pub(crate) fn advance(&mut self, batch: &BatchHeader) {
        let last_offset = batch.last_offset();
        let producer = self.producers.entry(batch.producer_id).or_insert(Producer::new(NO_EPOCH, NONE, -1, -1));
        producer.move_to_epoch(batch.producer_epoch);
        producer.push(BatchMark {
            last_sequence: batch.last_sequence(),
            last_offset,
            offset_delta: batch.last_offset_delta,
            timestamp: batch.max_timestamp,
        });
        producer.last_timestamp = batch.max_timestamp;
        if batch.is_transactional() {
            if producer.txn_first_offset < 0 {
                producer.txn_first_offset = batch.base_offset;
                self.ongoing.insert(batch.base_offset, batch.producer_id);
            }
            self.verifications.remove(&batch.producer_id);
        }
        self.end_offset = last_offset + 1;
    }

    /// Notes a marker that is in the log now; answers the transaction that it ended.
    pub(crate) fn advance_marker(&mut self, batch: &BatchHeader, marker: &EndMarker) -> Option<CompletedTxn> {
        let producer = self.producers.entry(batch.producer_id).or_insert(Producer::new(NO_EPOCH, NONE, -1, -1));
        let first_offset = std::mem::replace(&mut producer.txn_first_offset, -1);
        producer.move_to_epoch(batch.producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_timestamp = batch.max_timestamp;
        self.verifications.remove(&batch.producer_id);
        self.end_offset = batch.last_offset() + 1;
        if first_offset < 0 {
            return None;
        }
        self.ongoing.remove(&first_offset);
        self.unreplicated.insert(first_offset, batch.base_offset);
        let last_stable_offset = self.ongoing.keys().next().copied().unwrap_or(batch.base_offset + 1);
        Some(CompletedTxn {
            producer_id: batch.producer_id,
            first_offset,
            last_offset: batch.base_offset,
            kind: marker.kind,
            last_stable_offset,
        })
    }

    /// First offset that a read_committed consumer may not see yet.
    pub(crate) fn first_unstable_offset(&self) -> Option<i64> {
        match (self.ongoing.keys().next(), self.unreplicated.keys().next()) {
            (Some(ongoing), Some(unreplicated)) => Some(*ongoing.min(unreplicated)),
            (ongoing, unreplicated) => ongoing.or(unreplicated).copied(),
        }
    }

    /// Markers below `high_watermark` are replicated: their transactions hold nothing back any more.
    pub(crate) fn on_high_watermark(&mut self, high_watermark: i64) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, marker| *marker >= high_watermark);
        }
    }

    /// Whether the producer has a transaction open under this epoch.
    pub(crate) fn is_ongoing(&self, producer_id: i64, producer_epoch: i16) -> bool {
        let producer = self.producers.get(&producer_id);
        producer.is_some_and(|producer| producer.txn_first_offset >= 0 && producer.epoch == producer_epoch)
    }

    /// KIP-890: see [`crate::PartitionLog::begin_verification`].
    pub(crate) fn begin_verification(
        &mut self,
        producer_id: i64,
        epoch: i16,
        sequence: i32,
        support: TransactionSupport,
        now_ms: i64,
    ) -> Result<VerificationGuard, AppendError> {
        if let Some(producer) = self.producers.get(&producer_id) {
            if epoch < producer.epoch {
                return Err(AppendError::InvalidProducerEpoch(format!(
                    "Epoch of producer {producer_id} is {epoch}, which is smaller than the last seen epoch {}",
                    producer.epoch
                )));
            }
            if producer.txn_first_offset >= 0 && producer.epoch == epoch {
                return Ok(VerificationGuard::NONE);
            }
        }
        let next = VerificationGuard(self.last_guard + 1);
        let verification = self.verifications.entry(producer_id).or_insert(Verification {
            guard: next,
            started_ms: now_ms,
            lowest_sequence: sequence,
            epoch,
            support,
        });
        if verification.guard == next {
            self.last_guard += 1;
        }
        if epoch > verification.epoch {
            verification.epoch = epoch;
            verification.lowest_sequence = sequence;
        } else if epoch == verification.epoch {
            verification.lowest_sequence = verification.lowest_sequence.min(sequence);
        }
        Ok(verification.guard)
    }

    /// Forgets producers without a transaction that were silent for `expiration_ms`.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.producers.retain(|_, producer| {
            producer.txn_first_offset >= 0 || now_ms.saturating_sub(producer.last_timestamp) < expiration_ms
        });
        self.verifications.retain(|_, verification| now_ms.saturating_sub(verification.started_ms) < expiration_ms);
    }

    pub(crate) fn active(&self) -> Vec<ActiveProducer> {
        let all = self.producers.iter();
        all.map(|(producer_id, producer)| ActiveProducer {
            producer_id: *producer_id,
            producer_epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            last_timestamp: producer.last_timestamp,
            coordinator_epoch: producer.coordinator_epoch,
            current_txn_start_offset: producer.txn_first_offset,
        })
        .collect()
    }
}

fn duplicate_of(producer: &Producer, batch: &BatchHeader) -> Option<BatchMark> {
    if producer.epoch != batch.producer_epoch || batch.is_control() {
        return None;
    }
    let (first, last) = (batch.base_sequence, batch.last_sequence());
    producer.marks().iter().find(|mark| mark.first_sequence() == first && mark.last_sequence == last).copied()
}

fn stale_epoch(batch: &BatchHeader, current: i16, comparison: &str, version: i16, name: &PartitionName) -> AppendError {
    AppendError::InvalidProducerEpoch(format!(
        "Epoch of producer {} at offset {} in {name} is {}, which is {comparison} the last seen epoch {current} \
         (TV{version})",
        batch.producer_id, batch.base_offset, batch.producer_epoch
    ))
}
