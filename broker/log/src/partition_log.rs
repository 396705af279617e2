//! The door to one partition on disk: open, append, read, truncate, delete; the asserted order of offsets.
//!
//! Called by broker/server's replica layer, by the metadata log and by coordinators. Synchronous: it blocks
//! on files but never on another thread's fsync, so an append may run in the connection's own poll; `flush`,
//! `clean` and opening belong on a thread that may block. Knows batches, never requests.

use std::fmt;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::append::{AppendInfo, AppendOrigin, AppendOutcome, Commit, FlushDue, LeaderAppend, VerificationGuard};
use crate::assign;
use crate::config::{LogConfig, TimestampType};
use crate::dir_state::DirState;
use crate::epoch_file::Epochs;
use crate::error::{AppendError, StorageError};
use crate::folder::LOG;
use crate::index_txn::AbortedTxn;
use crate::producer_state::{BatchMark, ProducerState, Verdict};
use crate::read::{ActiveProducer, Offsets};
use crate::roll::Incoming;
use crate::segment::Segment;
use crate::validate::{self, Walked};
use millstream_protocol::batch::{BatchHeader, EndMarker, HEADER_BYTES, MarkerKind};

/// Which transaction protocol a producer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionSupport {
    /// Produce v11 and below.
    V1,
    /// Produce v12 and above: each transaction has an epoch of its own.
    V2,
}

/// Topic and partition; prints as Kafka does, `topic-0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionName {
    pub(crate) topic: Box<str>,
    pub(crate) partition: i32,
}

impl fmt::Display for PartitionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// One partition on disk. Shared as `Arc`; every method takes `&self`.
#[derive(Debug)]
pub struct PartitionLog {
    pub(crate) name: PartitionName,
    pub(crate) dir: Arc<DirState>,
    pub(crate) config: ArcSwap<LogConfig>,
    pub(crate) published: Published,
    pub(crate) writer: Mutex<Writer>,
    /// Held by the one thread that syncs; those behind it find their offset durable (group commit).
    pub(crate) flushing: Mutex<()>,
    /// Held by compaction, and by what would pull segments away from under it.
    pub(crate) cleaning: Mutex<()>,
    /// How many wait for compaction to let go.
    pub(crate) stop_cleaning: AtomicUsize,
}

/// The offsets, readable without the lock. Written under it, in an order that keeps
/// `log_start <= last_stable <= high_watermark <= log_end` for a reader that loads them in that order.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) log_start: AtomicI64,
    pub(crate) last_stable: AtomicI64,
    pub(crate) high_watermark: AtomicI64,
    pub(crate) log_end: AtomicI64,
    /// Everything below is on the disk.
    pub(crate) synced: AtomicI64,
}

/// Whether the log still takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    Closed,
}

/// What the writer's lock guards.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) folder: PathBuf,
    pub(crate) topic_id: Uuid,
    /// Oldest first, never empty; the last one is active.
    pub(crate) segments: Vec<Segment>,
    pub(crate) producers: ProducerState,
    /// Offsets of the producer snapshots in the folder, ascending.
    pub(crate) snapshots: Vec<i64>,
    pub(crate) epochs: Epochs,
    pub(crate) log_start: i64,
    pub(crate) high_watermark: i64,
    /// Whether the high watermark waits for a flush that `flush.messages` asks for (Java flushes before it moves it).
    pub(crate) withheld: bool,
    pub(crate) log_end: i64,
    /// Recovery after an unclean stop begins here.
    pub(crate) recovery_point: i64,
    pub(crate) last_flush_ms: i64,
    /// Whether files came, went or were renamed in the folder since it was last synced.
    pub(crate) folder_changed: bool,
    /// Whether the folder itself is new in the log directory, or its `partition.metadata`.
    pub(crate) is_new: bool,
    pub(crate) life: Life,
    pub(crate) recent: Recent,
}

/// Positions of the newest batches of the active segment: a consumer at the tail needs no index.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recent {
    batches: [(i64, u64); 8],
    next: usize,
}

impl Recent {
    pub(crate) fn push(&mut self, base_offset: i64, position: u64) {
        self.batches[self.next % 8] = (base_offset, position + 1);
        self.next += 1;
    }

    /// Position of the batch that begins at `offset`.
    pub(crate) fn position_of(&self, offset: i64) -> Option<u64> {
        let found = self.batches.iter().find(|(base_offset, position)| *base_offset == offset && *position > 0);
        found.map(|(_, position)| position - 1)
    }

    pub(crate) fn clear(&mut self) {
        *self = Recent::default();
    }
}

/// A leader's batch, checked and ready but for its offset.
struct Ready<'a> {
    header: BatchHeader,
    /// The bytes behind the header.
    records: &'a [u8],
    marker: Option<EndMarker>,
}

impl PartitionLog {
    /// Validates `records` (one batch, as every version that is served sends it), assigns offsets, stamps
    /// `leader_epoch`, and writes. The bytes are not changed in place: the header is stamped in a copy.
    /// Nothing is written when an error is answered.
    pub fn append_as_leader(&self, records: &[u8], append: &LeaderAppend) -> Result<AppendInfo, AppendError> {
        if append.origin == AppendOrigin::RaftLeader {
            return self.append_as_is(records, append.leader_epoch, append.origin, append.commit);
        }
        let config = self.config.load();
        let now_ms = self.dir.clock.now_ms();
        let (header, batch, walked) = self.check_leader_append(records, append, &config, now_ms)?;
        let rewritten = match assign::new_codec(&header, &walked, &config) {
            Some((codec, level)) => Some(assign::rewrite(&header, batch, codec, level)?),
            None => None,
        };
        let (mut header, batch) = match &rewritten {
            Some(bytes) => {
                let header = BatchHeader::decode(bytes).expect("a rewritten batch has a header");
                validate::check_frame(&header, bytes, Some(config.max_message_bytes), &self.name)?;
                (header, bytes.as_slice())
            }
            None => (header, batch),
        };
        if batch.len() > config.segment_bytes as usize {
            let (size, max) = (batch.len(), config.segment_bytes);
            return Err(AppendError::RecordListTooLarge { size, max, partition: self.name.to_string() });
        }
        let records = &batch[HEADER_BYTES..];
        let max_timestamp = match config.message_timestamp_type {
            TimestampType::CreateTime => walked.max_timestamp,
            TimestampType::LogAppendTime => now_ms,
        };
        assign::stamp(&mut header, records, append.leader_epoch, max_timestamp, config.message_timestamp_type);
        let marker = if header.is_control() { EndMarker::decode(batch) } else { None };
        self.write_leader_batch(Ready { header, records, marker }, append, &config, now_ms)
    }

    fn check_leader_append<'a>(
        &self,
        records: &'a [u8],
        append: &LeaderAppend,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<(BatchHeader, &'a [u8], Walked), AppendError> {
        let refuse = |message: String| AppendError::InvalidRecord { message, record_errors: Vec::new() };
        let Some((header, batch)) = validate::next_batch(records)? else {
            return Err(refuse("Record batch has no batches at all".to_owned()));
        };
        if append.origin == AppendOrigin::Client && header.base_offset != 0 {
            return Err(refuse(format!(
                "The baseOffset of the record batch in the append to {} should be 0, but it is {}",
                self.name, header.base_offset
            )));
        }
        validate::check_frame(&header, batch, Some(config.max_message_bytes), &self.name)?;
        if validate::next_batch(&records[batch.len()..])?.is_some() {
            return Err(refuse("Compressed outer record has more than one batch".to_owned()));
        }
        let walked = validate::check_batch(&header, batch, append.origin, config, now_ms, &self.name)?;
        Ok((header, batch, walked))
    }

    fn write_leader_batch(
        &self,
        ready: Ready<'_>,
        append: &LeaderAppend,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        let Ready { mut header, records, marker } = ready;
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        header.base_offset = writer.log_end;
        if header.has_producer() {
            match writer.producers.check(&header, append.origin, append.verification, &self.name)? {
                Verdict::Duplicate(mark) => return Ok(self.duplicate(&writer, &mark)),
                Verdict::Fresh => {}
            }
            if let Some(marker) = &marker {
                writer.producers.check_marker(&header, marker, append.transaction_version, &self.name)?;
            }
        }
        let incoming = Incoming {
            first_offset: header.base_offset,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
            size: header.size(),
        };
        self.roll_if_due(&mut writer, config, &incoming, now_ms)?;
        self.write_bytes(&mut writer, &[IoSlice::new(&header.encode()), IoSlice::new(records)])?;
        writer.epochs.assign(header.leader_epoch, header.base_offset);
        self.note_batch(&mut writer, &header, marker.as_ref(), config)?;
        Ok(self.appended(&mut writer, &incoming, append.commit, config)?)
    }

    /// Writes the leader's own bytes, offsets and epochs as they are. Batches of a later epoch than
    /// `leader_epoch` are left out: they were sent by a leader that this replica does not know yet.
    pub fn append_as_follower(&self, records: &[u8], leader_epoch: i32) -> Result<AppendInfo, AppendError> {
        self.append_as_is(records, leader_epoch, AppendOrigin::Replication, Commit::WhenReplicated)
    }

    fn append_as_is(
        &self,
        records: &[u8],
        leader_epoch: i32,
        origin: AppendOrigin,
        commit: Commit,
    ) -> Result<AppendInfo, AppendError> {
        let (incoming, count) = self.check_as_is(records, leader_epoch, origin)?;
        let config = self.config.load();
        let now_ms = self.dir.clock.now_ms();
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let Some(incoming) = incoming else {
            let end = writer.log_end;
            let nothing = Incoming { first_offset: end, last_offset: end - 1, max_timestamp: -1, size: 0 };
            return Ok(self.appended(&mut writer, &nothing, Commit::WhenReplicated, &config)?);
        };
        if incoming.first_offset < writer.log_end {
            let (first_offset, log_end_offset) = (incoming.first_offset, writer.log_end);
            return Err(AppendError::UnexpectedOffset { first_offset, log_end_offset });
        }
        self.roll_if_due(&mut writer, &config, &incoming, now_ms)?;
        let valid = &records[..incoming.size];
        self.write_bytes(&mut writer, &[IoSlice::new(valid)])?;
        let mut rest = valid;
        for _ in 0..count {
            let Some((header, batch)) = validate::next_batch(rest)? else { break };
            rest = &rest[batch.len()..];
            writer.epochs.assign(header.leader_epoch, header.base_offset);
            let marker = if header.is_control() { EndMarker::decode(batch) } else { None };
            self.note_batch(&mut writer, &header, marker.as_ref(), &config)?;
        }
        Ok(self.appended(&mut writer, &incoming, commit, &config)?)
    }

    /// Checks what is written as it is; answers its extent and its number of batches.
    fn check_as_is(
        &self,
        records: &[u8],
        leader_epoch: i32,
        origin: AppendOrigin,
    ) -> Result<(Option<Incoming>, usize), AppendError> {
        let mut incoming: Option<Incoming> = None;
        let mut count = 0;
        let mut rest = records;
        while let Some((header, batch)) = validate::next_batch(rest)? {
            if origin == AppendOrigin::RaftLeader && header.leader_epoch != leader_epoch {
                let message = format!(
                    "Append from Raft leader did not set the batch epoch correctly, expected {leader_epoch} but the \
                     batch has {}",
                    header.leader_epoch
                );
                return Err(AppendError::InvalidRecord { message, record_errors: Vec::new() });
            }
            if origin == AppendOrigin::Replication && header.leader_epoch > leader_epoch {
                break;
            }
            validate::check_frame(&header, batch, None, &self.name)?;
            let known = incoming.get_or_insert(Incoming {
                first_offset: header.base_offset,
                last_offset: -1,
                max_timestamp: -1,
                size: 0,
            });
            if header.base_offset <= known.last_offset || header.last_offset_delta < 0 {
                return Err(AppendError::OffsetsOutOfOrder(format!(
                    "{} after {} in {}",
                    header.base_offset, known.last_offset, self.name
                )));
            }
            known.last_offset = header.last_offset();
            known.max_timestamp = known.max_timestamp.max(header.max_timestamp);
            known.size += batch.len();
            count += 1;
            rest = &rest[batch.len()..];
        }
        Ok((incoming, count))
    }

    fn write_bytes(&self, writer: &mut Writer, parts: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let Writer { segments, folder, .. } = writer;
        let active = segments.last_mut().expect("a log has at least one segment");
        let place = active.place(&self.dir.disk, folder);
        // Whatever can fail comes first: bytes that are written and not counted would stand in the way of the next.
        active.prepare(&place).map_err(|error| self.dir.failed("cannot read the index of", &place.path(LOG))(error))?;
        active.write(&place, parts).map_err(|error| self.dir.failed("cannot append to", &place.path(LOG))(error))
    }

    /// Counts a batch that stands in the file now: indexes, offsets, producer state.
    fn note_batch(
        &self,
        writer: &mut Writer,
        header: &BatchHeader,
        marker: Option<&EndMarker>,
        config: &LogConfig,
    ) -> Result<(), StorageError> {
        let Writer { segments, folder, producers, recent, .. } = &mut *writer;
        let active = segments.last_mut().expect("a log has at least one segment");
        let place = active.place(&self.dir.disk, folder);
        recent.push(header.base_offset, active.size);
        active
            .note(header, config.index_interval_bytes, &place)
            .map_err(|error| self.dir.failed("cannot index", &place.path(LOG))(error))?;
        if header.has_producer() && !header.is_control() {
            producers.advance(header);
        } else if header.has_producer()
            && let Some(marker) = marker
            && let Some(completed) = producers.advance_marker(header, marker)
            && completed.kind == MarkerKind::Abort
        {
            let aborted = AbortedTxn {
                producer_id: completed.producer_id,
                first_offset: completed.first_offset,
                last_offset: completed.last_offset,
                last_stable_offset: completed.last_stable_offset,
            };
            active.txn_index.push(&aborted, &place);
        }
        producers.set_end_offset(header.last_offset() + 1);
        writer.log_end = header.last_offset() + 1;
        Ok(())
    }

    fn appended(
        &self,
        writer: &mut Writer,
        incoming: &Incoming,
        commit: Commit,
        config: &LogConfig,
    ) -> Result<AppendInfo, StorageError> {
        let unflushed = writer.log_end - self.published.synced.load(Ordering::Acquire);
        let flush = if unflushed >= config.flush_messages { FlushDue::Now } else { FlushDue::No };
        match (commit, flush) {
            (Commit::AtOnce, FlushDue::No) => {
                let log_end = writer.log_end;
                writer.move_high_watermark(log_end);
            }
            (Commit::AtOnce, FlushDue::Now) => writer.withheld = true,
            (Commit::WhenReplicated, _) => {}
        }
        self.publish(writer)?;
        Ok(AppendInfo {
            first_offset: incoming.first_offset,
            last_offset: incoming.last_offset,
            max_timestamp: incoming.max_timestamp,
            log_append_time: match config.message_timestamp_type {
                TimestampType::CreateTime => -1,
                TimestampType::LogAppendTime => incoming.max_timestamp,
            },
            log_start_offset: writer.log_start,
            outcome: AppendOutcome::Appended,
            segment_base_offset: writer.active().base_offset,
            bytes: incoming.size,
            flush,
            high_watermark: writer.high_watermark,
        })
    }

    /// The answer to a retry: the offsets of the first time (B item 26).
    fn duplicate(&self, writer: &Writer, mark: &BatchMark) -> AppendInfo {
        let is_durable = self.published.synced.load(Ordering::Acquire) > mark.last_offset;
        let wants_flush = self.config.load().flush_messages < i64::MAX && !is_durable;
        AppendInfo {
            first_offset: mark.first_offset(),
            last_offset: mark.last_offset,
            max_timestamp: mark.timestamp,
            log_append_time: mark.timestamp,
            log_start_offset: writer.log_start,
            outcome: AppendOutcome::Duplicate,
            segment_base_offset: writer.segments[writer.segment_of(mark.first_offset())].base_offset,
            bytes: 0,
            // The first answer may have been lost before its flush: the retry waits for the same.
            flush: if wants_flush { FlushDue::Now } else { FlushDue::No },
            high_watermark: writer.high_watermark,
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.name.topic
    }

    /// Partition index.
    pub fn partition(&self) -> i32 {
        self.name.partition
    }

    /// The id in `partition.metadata`, nil when the file does not exist.
    pub fn topic_id(&self) -> Uuid {
        self.writer.lock().topic_id
    }

    /// Gives a partition whose folder has no topic id the one it belongs to.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn assign_topic_id(&self, topic_id: Uuid) -> Result<(), StorageError> {
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        crate::recover::write_metadata(&self.dir, &writer.folder, topic_id)?;
        writer.topic_id = topic_id;
        // The next flush makes the file durable.
        writer.is_new = true;
        Ok(())
    }

    /// The partition's folder.
    pub fn folder(&self) -> PathBuf {
        self.writer.lock().folder.clone()
    }

    /// All four offsets at one instant.
    pub fn offsets(&self) -> Offsets {
        // Each only grows while no truncation runs, so loading upwards keeps their order; a truncation in
        // between is caught by the clamp.
        let log_start = self.published.log_start.load(Ordering::Acquire);
        let last_stable = self.published.last_stable.load(Ordering::Acquire);
        let high_watermark = self.published.high_watermark.load(Ordering::Acquire);
        let log_end = self.published.log_end.load(Ordering::Acquire);
        let high_watermark = high_watermark.min(log_end);
        let last_stable = last_stable.min(high_watermark);
        Offsets { log_start: log_start.min(last_stable), last_stable, high_watermark, log_end }
    }

    /// Offset of the next record.
    pub fn log_end_offset(&self) -> i64 {
        self.published.log_end.load(Ordering::Acquire)
    }

    /// First offset that may be read.
    pub fn log_start_offset(&self) -> i64 {
        self.published.log_start.load(Ordering::Acquire)
    }

    /// End of what a consumer sees.
    pub fn high_watermark(&self) -> i64 {
        self.published.high_watermark.load(Ordering::Acquire)
    }

    /// End of what a read_committed consumer sees.
    pub fn last_stable_offset(&self) -> i64 {
        self.published.last_stable.load(Ordering::Acquire)
    }

    /// Raises the high watermark to `offset` (capped at the log end); never lowers it. Answers the offsets, which stay
    /// where they were when their directory goes offline.
    pub fn raise_high_watermark(&self, offset: i64) -> Offsets {
        let mut writer = self.writer.lock();
        let offset = offset.min(writer.log_end);
        if offset > writer.high_watermark {
            writer.move_high_watermark(offset);
            // What goes wrong takes the directory offline, and is said there.
            let _published = self.publish(&writer);
        }
        drop(writer);
        self.offsets()
    }

    /// Sets the high watermark on a follower or at start, within log start and log end.
    pub fn set_high_watermark(&self, offset: i64) -> Offsets {
        let mut writer = self.writer.lock();
        let offset = offset.clamp(writer.log_start, writer.log_end);
        writer.move_high_watermark(offset);
        // As above.
        let _published = self.publish(&writer);
        drop(writer);
        self.offsets()
    }

    /// OffsetForLeaderEpoch: (epoch, end offset) of the largest epoch <= `leader_epoch`; `None` when unknown.
    pub fn end_offset_for_epoch(&self, leader_epoch: i32) -> Option<(i32, i64)> {
        let writer = self.writer.lock();
        writer.epochs.end_offset_for(leader_epoch, writer.log_end)
    }

    /// The latest leader epoch that has an entry.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.writer.lock().epochs.latest()
    }

    /// The epoch that `offset` was written under.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        self.writer.lock().epochs.epoch_for(offset)
    }

    /// A new leader epoch starts at the log end. It is durable once the first records of the epoch are: until
    /// then recovery finds it in their batches.
    pub fn assign_epoch(&self, leader_epoch: i32) -> Result<(), StorageError> {
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let log_end = writer.log_end;
        writer.epochs.assign(leader_epoch, log_end);
        Ok(())
    }

    /// New configuration of the topic.
    pub fn update_config(&self, config: Arc<LogConfig>) {
        self.config.store(config);
    }

    /// The configuration.
    pub fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.writer.lock().segments.iter().map(|segment| segment.size).sum()
    }

    /// Number of segments.
    pub fn segment_count(&self) -> usize {
        self.writer.lock().segments.len()
    }

    /// Recovery after an unclean stop would begin here; everything below is durable.
    pub fn recovery_point(&self) -> i64 {
        self.writer.lock().recovery_point
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&self) {
        let expiration_ms = self.config.load().producer_id_expiration_ms;
        self.writer.lock().producers.expire(self.dir.clock.now_ms(), expiration_ms);
    }

    /// Producers that this partition remembers.
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        self.writer.lock().producers.active()
    }

    /// Whether `producer_id` has a transaction open here under `producer_epoch`.
    pub fn has_ongoing_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        self.writer.lock().producers.is_ongoing(producer_id, producer_epoch)
    }

    /// KIP-890: opens a verification unless the transaction is already open here (then `NONE`).
    ///
    /// # Errors
    /// `InvalidProducerEpoch` when a later epoch was seen.
    pub fn begin_verification(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        sequence: i32,
        support: TransactionSupport,
    ) -> Result<VerificationGuard, AppendError> {
        let now_ms = self.dir.clock.now_ms();
        let mut writer = self.writer.lock();
        writer.producers.begin_verification(producer_id, producer_epoch, sequence, support, now_ms)
    }

    /// Whether the log was closed or deleted, or its directory went offline.
    pub fn is_usable(&self) -> bool {
        self.check_open(&self.writer.lock()).is_ok()
    }

    pub(crate) fn check_open(&self, writer: &Writer) -> Result<(), StorageError> {
        self.dir.check_online()?;
        match writer.life {
            Life::Open => Ok(()),
            Life::Closed => Err(StorageError::Closed(writer.folder.clone())),
        }
    }

    /// Makes the writer's offsets visible, after checking their order.
    ///
    /// # Errors
    /// Offsets out of order are a fault of this program: nothing is served by them, and the directory goes offline.
    pub(crate) fn publish(&self, writer: &Writer) -> Result<(), StorageError> {
        let last_stable = writer.last_stable_offset();
        let is_ordered = writer.log_start <= last_stable
            && last_stable <= writer.high_watermark
            && writer.high_watermark <= writer.log_end;
        if !is_ordered {
            return Err(self.disordered(writer, last_stable));
        }
        self.published.log_end.store(writer.log_end, Ordering::Release);
        self.published.high_watermark.store(writer.high_watermark, Ordering::Release);
        self.published.last_stable.store(last_stable, Ordering::Release);
        self.published.log_start.store(writer.log_start, Ordering::Release);
        Ok(())
    }

    #[cold]
    fn disordered(&self, writer: &Writer, last_stable: i64) -> StorageError {
        let (start, watermark, end) = (writer.log_start, writer.high_watermark, writer.log_end);
        let text = format!("start {start} stable {last_stable} watermark {watermark} end {end}");
        let source = std::io::Error::other(text);
        let error = StorageError::Io { doing: "offsets out of order in", path: writer.folder.clone(), source };
        self.dir.take_offline(&error);
        error
    }
}

impl Writer {
    pub(crate) fn active(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has at least one segment")
    }

    pub(crate) fn move_high_watermark(&mut self, offset: i64) {
        self.high_watermark = offset;
        self.producers.on_high_watermark(offset);
    }

    pub(crate) fn last_stable_offset(&self) -> i64 {
        match self.producers.first_unstable_offset() {
            Some(first) => first.max(self.log_start).min(self.high_watermark),
            None => self.high_watermark,
        }
    }

    /// Index of the segment that holds `offset`, or would.
    pub(crate) fn segment_of(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1)
    }

    /// Where the segment after `index` begins, or the log ends.
    pub(crate) fn end_of(&self, index: usize) -> i64 {
        self.segments.get(index + 1).map_or(self.log_end, |next| next.base_offset)
    }
}

#[cfg(test)]
mod tests;
