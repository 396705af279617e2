//! Opening a partition: finish or undo what a crash interrupted, check what may not have reached the disk, cut
//! a torn tail, rebuild indexes and producer state (Java: `LogLoader`, `LogSegment.recover`).
//!
//! Segments below the recovery point are trusted; from the one that holds the last offset below it on, every batch's CRC is
//! checked. Nothing here needs free space: rebuilt indexes wait in memory when the disk is full.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use millstream_base_env::disk::Entry;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::checkpoints::{self, LEADER_EPOCH, PARTITION_METADATA};
use crate::config::LogConfig;
use crate::dir_state::DirState;
use crate::epoch_file::Epochs;
use crate::error::{OpenError, StorageError};
use crate::folder::{self, CLEANED, DELETED, LOG, OFFSET_INDEX, Place, SNAPSHOT, SWAP, TIME_INDEX, TXN_INDEX};
use crate::index_txn::{self, AbortedTxn};
use crate::partition_log::{Life, PartitionLog, PartitionName, Published, Recent, Writer};
use crate::producer_snapshot;
use crate::producer_state::ProducerState;
use crate::roll;
use crate::scan::{BatchScan, Next};
use crate::segment::{Durability, Found, Segment};
use crate::{index_offset, index_time};
use millstream_protocol::batch::{self as header, BatchHeader, EndMarker, MarkerKind};

/// How the last life of this directory ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    Clean,
    Unclean,
}

/// What is known about a partition before its folder is read.
pub(crate) struct Opening {
    pub(crate) name: PartitionName,
    pub(crate) folder: PathBuf,
    /// Nil accepts what is there.
    pub(crate) topic_id: Uuid,
    pub(crate) config: Arc<LogConfig>,
    pub(crate) shutdown: Shutdown,
    pub(crate) recovery_point: i64,
    /// Up to where it was compacted, 0 for never.
    pub(crate) cleaned_to: i64,
    pub(crate) log_start: i64,
    pub(crate) high_watermark: i64,
}

/// What the folder holds.
struct Contents {
    segments: BTreeMap<i64, Found>,
    snapshots: Vec<i64>,
}

/// Makes the folder of a new partition: itself, `partition.metadata`, an empty segment.
pub(crate) fn create(dir: &Arc<DirState>, opening: Opening) -> Result<PartitionLog, OpenError> {
    let folder = &opening.folder;
    dir.disk.create_dir(folder).map_err(dir.failed("cannot make", folder))?;
    write_metadata(dir, folder, opening.topic_id)?;
    let mut first = Segment::new(0, dir.clock.now_ms());
    let place = first.place(&dir.disk, folder);
    first.file(&place).map_err(dir.failed("cannot make", &place.path(LOG)))?;
    // Thousands of partitions without traffic should not hold a descriptor each.
    first.close();
    let log = assemble(dir, &opening, Epochs::default());
    {
        let mut writer = log.writer.lock();
        first.jitter_ms = roll::jitter(first.created_ms, &opening.config);
        writer.segments.push(first);
        writer.topic_id = opening.topic_id;
        writer.folder_changed = true;
        writer.is_new = true;
    }
    Ok(log)
}

/// Opens the folder of a partition.
pub(crate) fn open(dir: &Arc<DirState>, opening: Opening) -> Result<PartitionLog, OpenError> {
    let folder = &opening.folder;
    let entries = dir.disk.list(folder).map_err(dir.failed("cannot list", folder))?;
    let entries = if finish_swap(dir, folder, &entries)? {
        dir.disk.list(folder).map_err(dir.failed("cannot list", folder))?
    } else {
        entries
    };
    let contents = sort_out(dir, folder, &entries)?;
    let epochs = read_epochs(dir, folder)?;
    let topic_id = read_topic_id(dir, &opening)?;
    let log = assemble(dir, &opening, epochs);
    {
        let mut writer = log.writer.lock();
        writer.topic_id = topic_id;
        // A killed process may have made files, or the folder itself, whose entries never reached the disk: the first
        // flush that promises something sees to them, though nothing changes until then.
        writer.folder_changed = opening.shutdown == Shutdown::Unclean;
        writer.is_new = writer.folder_changed;
        log.load(&mut writer, contents, &opening)?;
        log.publish(&writer)?;
        let synced = writer.recovery_point;
        log.published.synced.store(synced, Ordering::Release);
    }
    Ok(log)
}

fn assemble(dir: &Arc<DirState>, opening: &Opening, epochs: Epochs) -> PartitionLog {
    PartitionLog {
        name: opening.name.clone(),
        dir: Arc::clone(dir),
        config: ArcSwap::new(Arc::clone(&opening.config)),
        published: Published { synced: AtomicI64::new(0), ..Published::default() },
        writer: Mutex::new(Writer {
            folder: opening.folder.clone(),
            topic_id: Uuid::nil(),
            segments: Vec::new(),
            producers: ProducerState::default(),
            snapshots: Vec::new(),
            epochs,
            log_start: 0,
            high_watermark: 0,
            withheld: false,
            log_end: 0,
            recovery_point: 0,
            last_flush_ms: dir.clock.now_ms(),
            folder_changed: false,
            is_new: false,
            life: Life::Open,
            recent: Recent::default(),
        }),
        flushing: Mutex::new(()),
        cleaning: Mutex::new(()),
        stop_cleaning: AtomicUsize::new(0),
    }
}

pub(crate) fn write_metadata(dir: &DirState, folder: &Path, topic_id: Uuid) -> Result<(), StorageError> {
    if topic_id.is_nil() {
        return Ok(());
    }
    let path = folder.join(PARTITION_METADATA);
    let text = checkpoints::render_partition_metadata(topic_id);
    dir.disk.write(&path, text.as_bytes()).map_err(dir.failed("cannot write", &path))
}

/// Completes a compaction that was swapping segments in, or undoes one that was not; true when files moved.
///
/// A `.swap` file is complete and replaces what lies in its range. But while any `.cleaned` file remains, the
/// swap files at or after it are part of a set that is not complete: the old segments are all still there.
fn finish_swap(dir: &DirState, folder: &Path, entries: &[Entry]) -> Result<bool, StorageError> {
    let with_suffix = |suffix: &'static str| {
        entries.iter().filter(move |entry| entry.name.ends_with(suffix)).filter_map(|entry| {
            let (base_offset, _) = folder::parse_file(&entry.name)?;
            Some((base_offset, entry.name.as_str()))
        })
    };
    let first_cleaned = with_suffix(CLEANED).map(|(base_offset, _)| base_offset).min().unwrap_or(i64::MAX);
    let mut moved = false;
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    let mut swaps = Vec::new();
    for (base_offset, name) in with_suffix(SWAP) {
        if base_offset >= first_cleaned {
            remove(dir, &folder.join(name))?;
            moved = true;
            continue;
        }
        swaps.push(name);
        if name.ends_with(".log.swap") {
            let length = entries.iter().find(|entry| entry.name == name).map_or(0, |entry| entry.length);
            let mut segment = Segment::existing(base_offset, &Found { log: length, ..Found::default() });
            segment.suffix = SWAP;
            let place = segment.place(&dir.disk, folder);
            let end = segment.next_offset(&place).map_err(dir.failed("cannot read", &place.path(LOG)))?;
            (low, high) = (low.min(base_offset), high.max(end));
        }
    }
    for (_, name) in with_suffix(CLEANED) {
        remove(dir, &folder.join(name))?;
        moved = true;
    }
    if swaps.is_empty() {
        return Ok(moved);
    }
    for entry in entries.iter().filter(|entry| !entry.is_dir && !entry.name.ends_with(SWAP)) {
        if let Some((base_offset, _)) = folder::parse_file(&entry.name)
            && (low..high).contains(&base_offset)
            && !entry.name.ends_with(CLEANED)
        {
            remove(dir, &folder.join(&entry.name))?;
        }
    }
    for name in swaps {
        let from = folder.join(name);
        let to = folder.join(name.trim_end_matches(SWAP));
        dir.disk.rename(&from, &to).map_err(dir.failed("cannot rename", &from))?;
    }
    dir.disk.sync_dir(folder).map_err(dir.failed("cannot sync", folder))?;
    tracing::info!(folder = %folder.display(), "interrupted compaction completed");
    Ok(true)
}

fn remove(dir: &DirState, path: &Path) -> Result<(), StorageError> {
    match dir.disk.remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(dir.failed("cannot remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Sorts the folder's files, removing what a crash left over.
fn sort_out(dir: &DirState, folder: &Path, entries: &[Entry]) -> Result<Contents, StorageError> {
    let mut segments: BTreeMap<i64, Found> = BTreeMap::new();
    let mut snapshots = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        if entry.name.ends_with(DELETED) || entry.name.ends_with(".tmp") {
            remove(dir, &folder.join(&entry.name))?;
            continue;
        }
        let Some((base_offset, kind)) = folder::parse_file(&entry.name) else { continue };
        let known =
            entries.binary_search_by(|other| other.name.as_str().cmp(format!("{base_offset:020}{LOG}").as_str()));
        match kind {
            LOG => {
                let found = segments.entry(base_offset).or_default();
                found.log = entry.length;
                found.modified_ms = entry.modified_ms;
            }
            SNAPSHOT => snapshots.push(base_offset),
            OFFSET_INDEX | TIME_INDEX | TXN_INDEX if known.is_err() => remove(dir, &folder.join(&entry.name))?,
            OFFSET_INDEX => segments.entry(base_offset).or_default().offset_index = Some(entry.length),
            TIME_INDEX => segments.entry(base_offset).or_default().time_index = Some(entry.length),
            TXN_INDEX => segments.entry(base_offset).or_default().txn_index = Some(entry.length),
            _ => {}
        }
    }
    snapshots.sort_unstable();
    Ok(Contents { segments, snapshots })
}

fn read_optional(dir: &DirState, path: &Path) -> Result<Option<String>, StorageError> {
    match dir.disk.read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(dir.failed("cannot read", path)(error)),
    }
}

fn read_epochs(dir: &DirState, folder: &Path) -> Result<Epochs, OpenError> {
    let path = folder.join(LEADER_EPOCH);
    let Some(text) = read_optional(dir, &path)? else { return Ok(Epochs::default()) };
    match Epochs::parse(&text) {
        Some(epochs) => Ok(epochs),
        None => Err(OpenError::Malformed { path, reason: "no table of leader epochs".to_owned() }),
    }
}

fn read_topic_id(dir: &DirState, opening: &Opening) -> Result<Uuid, OpenError> {
    let path = opening.folder.join(PARTITION_METADATA);
    let found = read_optional(dir, &path)?.and_then(|text| checkpoints::parse_partition_metadata(&text));
    match found {
        Some(found) if !opening.topic_id.is_nil() && found != opening.topic_id => {
            Err(OpenError::InconsistentTopicId { path: opening.folder.clone(), found, expected: opening.topic_id })
        }
        Some(found) => Ok(found),
        // Absent, or lost its content with the power: it is not synced until the first flush.
        None => {
            write_metadata(dir, &opening.folder, opening.topic_id)?;
            Ok(opening.topic_id)
        }
    }
}

impl PartitionLog {
    fn load(&self, writer: &mut Writer, contents: Contents, opening: &Opening) -> Result<(), StorageError> {
        writer.snapshots = contents.snapshots;
        let config = self.config.load();
        for (base_offset, found) in &contents.segments {
            writer.segments.push(Segment::existing(*base_offset, found));
        }
        let untrusted = self.first_untrusted(writer, &contents.segments, opening)?;
        match untrusted {
            Some(index) => self.recover(writer, index, opening, &config)?,
            None => writer.log_end = self.find_end(writer)?,
        }
        if writer.segments.is_empty() || writer.log_end < opening.log_start {
            // Segments that end in front of the log start were put back from elsewhere: they are of no use.
            let dropped = std::mem::take(&mut writer.segments);
            self.remove_segments(writer, dropped)?;
            writer.epochs.clear();
            let mut fresh = Segment::new(opening.log_start, self.dir.clock.now_ms());
            // The file's name carries the offset on.
            let place = fresh.place(&self.dir.disk, &writer.folder);
            fresh.file(&place).map_err(self.dir.failed("cannot make", &place.path(LOG)))?;
            fresh.close();
            writer.folder_changed = true;
            writer.segments.push(fresh);
            writer.log_end = opening.log_start;
            writer.producers.reset(opening.log_start);
        }
        writer.active().jitter_ms = roll::jitter(self.dir.clock.now_ms(), &config);
        let log_end = writer.log_end;
        writer.log_start = opening.log_start.max(writer.segments[0].base_offset);
        writer.epochs.truncate_from_end(log_end);
        let log_start = writer.log_start;
        writer.epochs.truncate_from_start(log_start);
        match (untrusted, opening.shutdown) {
            (None, Shutdown::Clean) => writer.recovery_point = log_end,
            (Some(index), Shutdown::Clean) => {
                writer.recovery_point = writer.segments.get(index).map_or(log_end, |segment| segment.base_offset);
            }
            (_, Shutdown::Unclean) => writer.recovery_point = opening.recovery_point.min(log_end),
        }
        let stray: Vec<i64> =
            writer.snapshots.iter().copied().filter(|offset| *offset > log_end || *offset <= log_start).collect();
        self.remove_snapshots(writer, &stray)?;
        if untrusted.is_none() {
            self.rebuild_producers(writer)?;
        }
        writer.high_watermark = opening.high_watermark.clamp(log_start, log_end);
        let high_watermark = writer.high_watermark;
        writer.producers.on_high_watermark(high_watermark);
        // Thousands of partitions without traffic should not hold descriptors each.
        writer.segments.iter_mut().for_each(Segment::close);
        Ok(())
    }

    /// The first segment that must be checked; `None` when all can be trusted.
    fn first_untrusted(
        &self,
        writer: &mut Writer,
        found: &BTreeMap<i64, Found>,
        opening: &Opening,
    ) -> Result<Option<usize>, StorageError> {
        let Writer { segments, folder, .. } = &mut *writer;
        let last = segments.len().saturating_sub(1);
        let mut damaged = None;
        for (index, (segment, found)) in segments.iter_mut().zip(found.values()).enumerate() {
            let place = segment.place(&self.dir.disk, folder);
            let failed = |error| self.dir.failed("cannot read", &place.path(LOG))(error);
            let is_sane = found.log == 0
                || has_whole_indexes(found)
                    && segment.txn_index.is_sane(&place).map_err(failed)?
                    && (index < last || segment.is_index_sane(&place).map_err(failed)?);
            if !is_sane {
                tracing::warn!(partition = %self.name, segment = segment.base_offset, "indexes damaged, built anew");
                damaged = Some(index);
                break;
            }
        }
        let unflushed = match opening.shutdown {
            Shutdown::Clean => None,
            Shutdown::Unclean if found.is_empty() => None,
            // A recovery point at the base of a segment was the end of the one before when that was flushed: the cut of what
            // a failed write left there, and its indexes, came later.
            Shutdown::Unclean => Some(writer.segment_of(opening.recovery_point.saturating_sub(1))),
        };
        Ok(match (damaged, unflushed) {
            (Some(damaged), Some(unflushed)) => Some(damaged.min(unflushed)),
            (damaged, unflushed) => damaged.or(unflushed),
        })
    }

    fn find_end(&self, writer: &mut Writer) -> Result<i64, StorageError> {
        let Writer { segments, folder, .. } = &mut *writer;
        let Some(active) = segments.last_mut() else { return Ok(0) };
        let place = active.place(&self.dir.disk, folder);
        active.next_offset(&place).map_err(self.dir.failed("cannot read", &place.path(LOG)))
    }

    /// Checks every batch from segment `first` on, and cuts the log where one is not intact.
    fn recover(
        &self,
        writer: &mut Writer,
        first: usize,
        opening: &Opening,
        config: &LogConfig,
    ) -> Result<(), StorageError> {
        writer.log_end = writer.segments[first].base_offset;
        self.rebuild_producers(writer)?;
        let mut index = first;
        while index < writer.segments.len() {
            let base_offset = writer.segments[index].base_offset;
            if base_offset < writer.log_end {
                // Left over from before an earlier cut: what is in front of it is newer.
                return self.drop_from(writer, index);
            }
            if index > first && base_offset > writer.log_end && may_be_hole(opening, base_offset) {
                tracing::warn!(partition = %self.name, log_end_offset = writer.log_end, "log cut at a hole");
                return self.drop_from(writer, index);
            }
            writer.producers.set_end_offset(base_offset);
            if index > first {
                self.take_snapshot(writer)?;
            }
            let torn = self.recover_segment(writer, index, config)?;
            let is_trusted = writer
                .segments
                .get(index + 1)
                .is_some_and(|next| opening.shutdown == Shutdown::Clean || next.base_offset <= opening.recovery_point);
            if torn > 0 {
                tracing::warn!(
                    partition = %self.name, segment = base_offset, bytes = torn, log_end_offset = writer.log_end,
                    "torn tail cut off"
                );
                if !is_trusted {
                    // What follows a torn batch was never acknowledged as durable; it would leave a hole.
                    self.drop_from(writer, index + 1)?;
                }
                self.cut_torn(writer, index)?;
            }
            index += 1;
        }
        Ok(())
    }

    /// Drops the segments from `index` on, durably, the newest first: a crash in between leaves a log that is
    /// cut here again, never one with a hole.
    pub(crate) fn drop_from(&self, writer: &mut Writer, index: usize) -> Result<(), StorageError> {
        if index >= writer.segments.len() {
            return Ok(());
        }
        let mut dropped = writer.segments.split_off(index);
        dropped.reverse();
        self.remove_segments(writer, dropped)?;
        self.dir.disk.sync_dir(&writer.folder).map_err(self.dir.failed("cannot sync", &writer.folder))
    }

    /// Makes the end of a segment durable, so that what was behind it cannot come back under new batches.
    fn cut_torn(&self, writer: &mut Writer, index: usize) -> Result<(), StorageError> {
        let Writer { segments, folder, .. } = &mut *writer;
        let segment = &mut segments[index];
        let place = segment.place(&self.dir.disk, folder);
        let size = segment.size;
        let cut = segment.cut(size, &place).and_then(|()| segment.file(&place)?.sync());
        cut.map_err(self.dir.failed("cannot cut", &place.path(LOG)))
    }

    /// Checks and indexes one segment; answers how many bytes at its end are no intact batches.
    fn recover_segment(&self, writer: &mut Writer, index: usize, config: &LogConfig) -> Result<u64, StorageError> {
        let Writer { segments, folder, producers, epochs, log_end, .. } = &mut *writer;
        let segment = &mut segments[index];
        let place = segment.place(&self.dir.disk, folder);
        let failed = |error| self.dir.failed("cannot read", &place.path(LOG))(error);
        let length = segment.size;
        segment.reset_indexes();
        segment.size = 0;
        segment.durability = Durability::Unsynced;
        *log_end = segment.base_offset;
        if length == 0 {
            return Ok(0);
        }
        let mut scan = BatchScan::new(segment.file(&place).map_err(failed)?, 0, length);
        while let Next::Batch(found, batch) = scan.next().map_err(failed)? {
            let header = &found.header;
            let is_in_order =
                header.base_offset >= *log_end && header.last_offset() - segment.base_offset <= i64::from(i32::MAX);
            if !is_in_order || !header::is_intact(header, batch) {
                break;
            }
            segment.note(header, config.index_interval_bytes, &place).map_err(failed)?;
            if epochs.latest().is_none_or(|latest| header.leader_epoch > latest) {
                epochs.assign(header.leader_epoch, header.base_offset);
            }
            if let Some(aborted) = replay(producers, header, batch) {
                segment.txn_index.push(&aborted, &place);
            }
            *log_end = header.last_offset() + 1;
        }
        segment.seal(&place).map_err(failed)?;
        Ok(length - segment.size)
    }

    /// Builds the producer table as of the log end: the newest usable snapshot, then the log behind it.
    pub(crate) fn rebuild_producers(&self, writer: &mut Writer) -> Result<(), StorageError> {
        let log_end = writer.log_end;
        let stale: Vec<i64> = writer.snapshots.iter().copied().filter(|offset| *offset > log_end).collect();
        self.remove_snapshots(writer, &stale)?;
        let mut from = writer.segments.first().map_or(log_end, |first| first.base_offset);
        writer.producers.reset(from);
        while let Some(offset) = writer.snapshots.last().copied() {
            let path = writer.folder.join(format!("{offset:020}{SNAPSHOT}"));
            let bytes = self.dir.disk.read(&path).map_err(self.dir.failed("cannot read", &path))?;
            match producer_snapshot::decode(&bytes) {
                Ok(producers) => {
                    for (producer_id, producer) in producers {
                        writer.producers.load(producer_id, producer);
                    }
                    from = offset;
                    break;
                }
                Err(problem) => {
                    tracing::warn!(path = %path.display(), problem, "producer snapshot dropped");
                    self.remove_snapshots(writer, &[offset])?;
                }
            }
        }
        let expiration_ms = self.config.load().producer_id_expiration_ms;
        writer.producers.expire(self.dir.clock.now_ms(), expiration_ms);
        self.replay_log(writer, from, log_end)?;
        writer.producers.set_end_offset(log_end);
        Ok(())
    }

    fn replay_log(&self, writer: &mut Writer, from: i64, to: i64) -> Result<(), StorageError> {
        if from >= to {
            return Ok(());
        }
        let first = writer.segment_of(from);
        let Writer { segments, folder, producers, .. } = &mut *writer;
        for segment in &mut segments[first..] {
            let place: Place<'_> = segment.place(&self.dir.disk, folder);
            let failed = |error| self.dir.failed("cannot read", &place.path(LOG))(error);
            if segment.base_offset >= to || segment.size == 0 {
                break;
            }
            let start = segment.offset_index.lookup(from, &place).map_err(failed)?;
            let mut scan = BatchScan::new(segment.file(&place).map_err(failed)?, start, segment.size);
            while let Next::Batch(found, batch) = scan.next().map_err(failed)? {
                if found.header.base_offset >= to {
                    break;
                }
                if found.header.base_offset >= from {
                    replay(producers, &found.header, batch);
                }
            }
        }
        Ok(())
    }
}

/// Whether missing offsets in front of the segment at `base_offset` can be what the power took from the end of the
/// segment before, while this one reached the disk. Compaction leaves such gaps too, but only below what it has
/// cleaned, and only below the recovery point on the disk: it flushes and writes that down first
/// (`LogDir::clean_one`). Apache's cleaner does not, hence the look at its own checkpoint.
fn may_be_hole(opening: &Opening, base_offset: i64) -> bool {
    opening.shutdown == Shutdown::Unclean && base_offset > opening.recovery_point && base_offset > opening.cleaned_to
}

/// Takes a batch of the log into the producer table; answers the transaction that it aborted.
fn replay(producers: &mut ProducerState, header: &BatchHeader, batch: &[u8]) -> Option<AbortedTxn> {
    if !header.has_producer() {
        producers.set_end_offset(header.last_offset() + 1);
        return None;
    }
    if !header.is_control() {
        producers.advance(header);
        return None;
    }
    let marker = EndMarker::decode(batch)?;
    let completed = producers.advance_marker(header, &marker)?;
    if completed.kind == MarkerKind::Commit {
        return None;
    }
    Some(AbortedTxn {
        producer_id: completed.producer_id,
        first_offset: completed.first_offset,
        last_offset: completed.last_offset,
        last_stable_offset: completed.last_stable_offset,
    })
}

fn has_whole_indexes(found: &Found) -> bool {
    let is_whole = |length: Option<u64>, entry: usize| length.is_some_and(|length| length % entry as u64 == 0);
    is_whole(found.offset_index, index_offset::ENTRY_BYTES)
        && is_whole(found.time_index, index_time::ENTRY_BYTES)
        && found.txn_index.is_none_or(|length| length % index_txn::ENTRY_BYTES as u64 == 0)
}
