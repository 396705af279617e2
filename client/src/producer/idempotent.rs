//! Sequences of an idempotent producer: which batch carries which, and what an error means for those behind it.
//!
//! Pure bookkeeping under the accumulator's lock; the rules are those of Java's `TransactionManager` and
//! `TxnPartitionMap`. The sequence of a batch stands here and not in the batch, so that a bump of the epoch rewrites
//! it in one place; a batch is stamped with it whenever it leaves. A transactional producer's epoch is not raised here:
//! a gap fails the batch, which aborts the transaction, and the next one comes with an epoch of its own.

use std::collections::{BTreeMap, BTreeSet};

use millstream_protocol::error_code::ErrorCode;

use super::batch::Place;

/// What a broker knows a producer by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub id: i64,
    pub epoch: i16,
}

/// What a batch is stamped with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// Bits that the batch carries beside its codec.
    pub attributes: i16,
}

/// Attributes of a batch: part of a transaction (Java: `DefaultRecordBatch.TRANSACTIONAL_FLAG_MASK`).
const TRANSACTIONAL: i16 = 0x10;

/// A batch that was drained and is not settled, on the wire or waiting for another attempt.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    batch: u64,
    base_sequence: i32,
    count: i32,
    identity: Identity,
    /// Its sequence was rewritten since it was first sent.
    reset: bool,
    /// An attempt may have written it without this client hearing of it.
    doubtful: bool,
}

impl Tracked {
    fn last_sequence(&self) -> i32 {
        advance(self.base_sequence, self.count - 1)
    }
}

struct Partition {
    identity: Option<Identity>,
    next: i32,
    /// -1 before the first.
    last_acked: i32,
    last_acked_offset: i64,
    /// Whether a batch of this epoch was acknowledged. Until then one is in flight at a time: a broker that knows
    /// nothing of the producer takes any first sequence, so that a second batch could overtake a first one that was
    /// refused because the partition was just being made (ProducerAppendInfo.checkSequence).
    proven: bool,
    /// In the order of the sequences.
    in_flight: Vec<Tracked>,
}

impl Default for Partition {
    fn default() -> Self {
        Partition {
            identity: None,
            next: 0,
            last_acked: -1,
            last_acked_offset: -1,
            proven: false,
            in_flight: Vec::new(),
        }
    }
}

/// Who closes a gap in the sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Repair {
    /// The producer itself, with the next epoch.
    #[default]
    NextEpoch,
    /// Whoever aborts the transaction.
    Abort,
}

/// Batches of a producer that a partition's leader knows again (Java: `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
const KNOWN_AGAIN: usize = 5;

/// The sequences of every partition.
#[derive(Default)]
pub(crate) struct Sequences {
    repair: Repair,
    identity: Option<Identity>,
    partitions: BTreeMap<Place, Partition>,
    /// Partitions that asked for a new epoch and start at 0 in it.
    rewrite: BTreeSet<Place>,
    /// Partitions where a batch was given up whose fate is unknown, with the sequence behind it.
    unresolved: BTreeMap<Place, i32>,
}

/// `sequence` moved on by `by`; wraps to 0 behind the largest (Java: `DefaultRecordBatch.incrementSequence`).
fn advance(sequence: i32, by: i32) -> i32 {
    if sequence > i32::MAX - by { by - (i32::MAX - sequence) - 1 } else { sequence + by }
}

/// `sequence` moved back by `by`, over the wrap.
fn retreat(sequence: i32, by: i32) -> i32 {
    sequence.wrapping_sub(by) & i32::MAX
}

/// Whether `sequence` comes behind `other`, -1 for before the first; of two that wrapped the nearer way counts.
fn is_behind(sequence: i32, other: i32) -> bool {
    other < 0 || ((1..1 << 30).contains(&(sequence.wrapping_sub(other) & i32::MAX)))
}

impl Sequences {
    pub fn new(repair: Repair) -> Self {
        Sequences { repair, ..Sequences::default() }
    }

    /// Takes an identity under which every sequence starts at 0. Nothing is in flight.
    pub fn begin_epoch(&mut self, identity: Identity) {
        for partition in self.partitions.values_mut() {
            // A broker that knows the producer takes nothing but 0 as the first sequence of a new epoch.
            let proven = partition.proven && partition.identity.is_some_and(|before| before.id == identity.id);
            partition.restart(identity);
            partition.proven = proven;
        }
        self.rewrite.clear();
        self.unresolved.clear();
        self.identity = Some(identity);
    }

    /// The producer's identity; None until a broker gave one, and again when its epochs are used up.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Takes the identity that a broker gave.
    pub fn identify(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    /// Whether the first batch of a queue may leave (Java: `shouldStopDrainBatchesForPartition`).
    pub fn may_drain(&self, place: Place, batch: u64) -> bool {
        let Some(identity) = self.identity else { return false };
        let Some(partition) = self.partitions.get(&place) else { return true };
        match partition.in_flight.iter().position(|tracked| tracked.batch == batch) {
            // A retry waits until it is next in line, so that one request is in flight while order is at stake.
            Some(position) => position == 0,
            None => {
                let stale = partition.identity != Some(identity) || !partition.proven;
                // Whichever brokers they went to: one that is sent again is found only among the last few.
                let known_again = partition.in_flight.len() < KNOWN_AGAIN;
                (partition.in_flight.is_empty() || !stale) && known_again && !self.unresolved.contains_key(&place)
            }
        }
    }

    /// The stamp of a batch that leaves; the first time it takes the next sequences of its partition.
    pub fn stamp(&mut self, place: Place, batch: u64, count: i32) -> Option<Stamp> {
        let identity = self.identity?;
        let partition = self.partitions.entry(place).or_default();
        let known = partition.in_flight.iter().find(|tracked| tracked.batch == batch).copied();
        let tracked = known.unwrap_or_else(|| {
            if partition.identity != Some(identity) && partition.in_flight.is_empty() {
                partition.restart(identity);
            }
            let base_sequence = partition.next;
            partition.next = advance(partition.next, count);
            let tracked = Tracked { batch, base_sequence, count, identity, reset: false, doubtful: false };
            partition.in_flight.push(tracked);
            tracked
        });
        Some(Stamp {
            producer_id: tracked.identity.id,
            producer_epoch: tracked.identity.epoch,
            base_sequence: tracked.base_sequence,
            attributes: if self.repair == Repair::Abort { TRANSACTIONAL } else { 0 },
        })
    }

    /// The place of a batch among those that were sent, for putting retries back in order.
    pub fn position(&self, place: Place, batch: u64) -> Option<usize> {
        self.partitions.get(&place)?.in_flight.iter().position(|tracked| tracked.batch == batch)
    }

    fn take(&mut self, place: Place, batch: u64) -> Option<Tracked> {
        let partition = self.partitions.get_mut(&place)?;
        let at = partition.in_flight.iter().position(|tracked| tracked.batch == batch)?;
        Some(partition.in_flight.remove(at))
    }

    /// A batch was written; `last_offset` is -1 when the broker did not say where.
    pub fn written(&mut self, place: Place, batch: u64, last_offset: i64) {
        let Some(tracked) = self.take(place, batch) else { return };
        let partition = self.partitions.entry(place).or_default();
        if partition.identity == Some(tracked.identity) {
            if is_behind(tracked.last_sequence(), partition.last_acked) {
                partition.last_acked = tracked.last_sequence();
            }
            partition.proven = true;
        }
        partition.last_acked_offset = partition.last_acked_offset.max(last_offset);
    }

    /// An attempt to send a batch ended without word of what became of it.
    pub fn doubt(&mut self, place: Place, batch: u64) {
        let tracked = self.partitions.get_mut(&place).map(|partition| &mut partition.in_flight);
        if let Some(tracked) = tracked.and_then(|all| all.iter_mut().find(|tracked| tracked.batch == batch)) {
            tracked.doubtful = true;
        }
    }

    /// Whether a batch that a broker refused is sent again (Java: `TransactionManager.canRetry`).
    pub fn should_retry(&mut self, place: Place, batch: u64, code: ErrorCode, log_start_offset: i64) -> bool {
        if matches!(code, ErrorCode::RequestTimedOut | ErrorCode::NotEnoughReplicasAfterAppend) {
            self.doubt(place, batch);
        }
        let Some(partition) = self.partitions.get(&place) else { return code.is_retriable() };
        let Some(tracked) = partition.in_flight.iter().find(|tracked| tracked.batch == batch) else {
            return code.is_retriable();
        };
        match code {
            ErrorCode::UnknownProducerId => {
                // Without the start of the log nothing can be told; after a reset all that were in flight fail alike.
                if log_start_offset < 0 || tracked.reset {
                    return true;
                }
                if self.repair == Repair::Abort {
                    // Retention took what the broker knew of the producer: it takes the same epoch from 0 again.
                    let forgotten = partition.last_acked_offset < log_start_offset;
                    if let (true, Some(identity), Some(partition)) =
                        (forgotten, self.identity, self.partitions.get_mut(&place))
                    {
                        partition.restart(identity);
                    }
                    return forgotten;
                }
                self.rewrite.insert(place);
                true
            }
            ErrorCode::OutOfOrderSequenceNumber => {
                let is_next = tracked.base_sequence == advance(partition.last_acked, 1);
                let unresolved = self.unresolved.get(&place);
                // One behind it was acknowledged: it can never come into line. A broker that forgot the producer may
                // have taken this one too and forgotten that as well; so only what was refused each time is numbered
                // anew, and what is in doubt is tried until its time is over, as Java does with both.
                let overtaken = partition.identity == Some(tracked.identity)
                    && !tracked.doubtful
                    && partition.last_acked >= 0
                    && !is_behind(tracked.base_sequence, partition.last_acked);
                let expected = unresolved.is_none() && !overtaken && (tracked.reset || !is_next);
                if self.repair == Repair::Abort {
                    return expected;
                }
                if !expected && unresolved.is_none_or(|behind| *behind == tracked.base_sequence) {
                    // Nothing before it is outstanding: there is a gap in the log. Start anew in the next epoch.
                    self.rewrite.insert(place);
                }
                true
            }
            _ => code.is_retriable(),
        }
    }

    /// A batch was refused for good, which leaves a gap that a new epoch closes.
    pub fn failed(&mut self, place: Place, batch: u64) {
        let Some(failed) = self.take(place, batch) else { return };
        match self.repair {
            Repair::Abort => self.close_up(place, failed),
            Repair::NextEpoch => _ = self.rewrite.insert(place),
        }
    }

    /// What was numbered behind a batch that the broker refused moves up, so that it can still be written before the
    /// transaction is aborted (Java: `adjustSequencesDueToFailedBatch`).
    fn close_up(&mut self, place: Place, failed: Tracked) {
        let Some(partition) = self.partitions.get_mut(&place) else { return };
        if partition.identity != Some(failed.identity) {
            return;
        }
        for tracked in &mut partition.in_flight {
            if is_behind(tracked.base_sequence, failed.base_sequence) {
                *tracked =
                    Tracked { base_sequence: retreat(tracked.base_sequence, failed.count), reset: true, ..*tracked };
            }
        }
        partition.next = retreat(partition.next, failed.count);
    }

    /// A batch was given up after it had been sent; whether it was written is not known.
    pub fn expired(&mut self, place: Place, batch: u64) {
        if let Some(tracked) = self.take(place, batch) {
            let behind = advance(tracked.last_sequence(), 1);
            let known = self.unresolved.entry(place).or_insert(behind);
            if is_behind(behind, *known) {
                *known = behind;
            }
        }
    }

    /// A batch was cut into parts, each with its id and count; they take over its sequences.
    pub fn split(&mut self, place: Place, batch: u64, parts: &[(u64, i32)]) {
        let Some(partition) = self.partitions.get_mut(&place) else { return };
        let Some(at) = partition.in_flight.iter().position(|tracked| tracked.batch == batch) else { return };
        let whole = partition.in_flight[at];
        let mut base_sequence = whole.base_sequence;
        let parts = parts.iter().map(|(batch, count)| {
            let part = Tracked { batch: *batch, base_sequence, count: *count, ..whole };
            base_sequence = advance(base_sequence, *count);
            part
        });
        partition.in_flight.splice(at..=at, parts.collect::<Vec<_>>());
    }

    /// Settles partitions whose outstanding batches are all done, and starts a new epoch where one is asked for
    /// (Java: `maybeResolveSequences`, `bumpIdempotentEpochAndResetIdIfNeeded`). Called before each drain.
    pub fn resolve(&mut self) {
        let drained: Vec<Place> = self.unresolved.keys().copied().filter(|place| self.is_drained(*place)).collect();
        for place in drained {
            self.unresolved.remove(&place);
            let partition = self.partitions.entry(place).or_default();
            // A transaction was failed by the batch that was given up, and its next one starts at 0.
            if partition.next != advance(partition.last_acked, 1) && self.repair == Repair::NextEpoch {
                self.rewrite.insert(place);
            }
        }
        if self.rewrite.is_empty() {
            return;
        }
        self.identity =
            self.identity.and_then(|Identity { id, epoch }| Some(Identity { id, epoch: epoch.checked_add(1)? }));
        // Without an identity left (Java: resetIdempotentProducerId) the rewriting waits for the new one.
        let Some(identity) = self.identity else { return };
        for place in std::mem::take(&mut self.rewrite) {
            self.unresolved.remove(&place);
            self.partitions.entry(place).or_default().restart(identity);
        }
    }

    /// Whether a batch was ever sent.
    pub fn is_tracked(&self, place: Place, batch: u64) -> bool {
        self.position(place, batch).is_some()
    }

    /// As if a batch had been acknowledged before.
    #[cfg(test)]
    pub fn prove(&mut self, place: Place) {
        let identity = self.identity;
        let partition = self.partitions.entry(place).or_default();
        (partition.identity, partition.proven) = (identity, true);
    }

    fn is_drained(&self, place: Place) -> bool {
        self.partitions.get(&place).is_none_or(|partition| partition.in_flight.is_empty())
    }
}

impl Partition {
    /// What is in flight is numbered from 0 in the new epoch (Java: `startSequencesAtBeginning`).
    fn restart(&mut self, identity: Identity) {
        let mut next = 0;
        for tracked in &mut self.in_flight {
            *tracked = Tracked { base_sequence: next, identity, reset: true, ..*tracked };
            next = advance(next, tracked.count);
        }
        self.identity = Some(identity);
        self.next = next;
        self.last_acked = -1;
        self.proven = false;
    }
}

#[cfg(test)]
mod tests;
