//! Compaction: keep the last record of each key, crash-safe (Java: `Cleaner`, `LogCleanerManager`).
//!
//! One partition at a time, and no two cleaners at one: a map of the keys in the dirty part, then the segments up to its end written anew
//! in groups. A group's new segment is synced as `.cleaned`, renamed to `.swap` (from here on it counts), and
//! takes its place while the old files become `.deleted`; recover.rs completes or undoes each step. The lock is
//! held for the renames only. Never past the last stable offset, never the active segment.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use millstream_base_env::File;
use thiserror::Error;

use crate::clean_filter::{Filter, LastBatch, Outcome, Transactions};
use crate::codec::{self, Codec};
use crate::config::LogConfig;
use crate::dir_state::{DoomedKind, describe};
use crate::error::{AppendError, ReadError, StorageError};
use crate::folder::{CLEANED, DELETED, LOG, SEGMENT_FILES, SWAP};
use crate::key_map::{KeyMap, Room};
use crate::log_dir::LogDir;
use crate::partition_log::{Life, PartitionLog, Writer};
use crate::scan::{BatchScan, Next};
use crate::segment::Segment;
use crate::throttle::Throttle;
use millstream_protocol::batch::{self as header, BatchHeader, HEADER_BYTES};
use millstream_protocol::record::Records;

/// Bytes that gather before they are written to the new segment.
const WRITE_BYTES: usize = 1 << 20;

/// Why a cleaning did not end.
#[derive(Debug, Error)]
enum CleanError {
    /// The log has bytes that are no batches: it is left alone from now on.
    #[error("uncleanable: {0}")]
    Corrupt(String),
    /// A truncation or deletion needs the segments.
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<ReadError> for CleanError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(error) => CleanError::Storage(error),
            other => CleanError::Corrupt(other.to_string()),
        }
    }
}

impl From<AppendError> for CleanError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Storage(error) => CleanError::Storage(error),
            other => CleanError::Corrupt(other.to_string()),
        }
    }
}

/// How long a partition is left alone after its cleaning failed for the first time (`log.cleaner.backoff.ms`'s default).
const CLEAN_RETRY_MS: i64 = 15_000;
/// And how long at most.
const CLEAN_RETRY_MAX_MS: i64 = 15 * 60_000;

/// When a cleaning that failed is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    /// On the clock that is never set.
    at_ms: i64,
    pause_ms: i64,
}

fn key_of(log: &PartitionLog) -> (String, i32) {
    (log.topic().to_owned(), log.partition())
}

/// What there is to clean in a partition.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Dirt {
    first_dirty: i64,
    /// Base offset of the first segment that must be left alone.
    end: i64,
    ratio: f64,
    urgency: Urgency,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// The dirty ratio decides.
    None,
    /// `max.compaction.lag.ms` has passed.
    Overdue,
}

/// A sealed segment as compaction reads it.
#[derive(Clone)]
struct Source {
    base_offset: i64,
    end_offset: i64,
    size: u64,
    index_bytes: u64,
    modified_ms: i64,
    file: File,
}

/// A partition that one cleaner has in hand.
struct Claim<'a> {
    dir: &'a LogDir,
    log: Arc<PartitionLog>,
    dirt: Dirt,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.dir.claimed.lock().remove(&key_of(&self.log));
    }
}

impl LogDir {
    /// Cleans the dirtiest compacted partition, if any is due, with a key map of at most `map_bytes`
    /// (`log.cleaner.dedupe.buffer.size`), no faster than `bytes_per_second` read and written
    /// (`log.cleaner.io.max.bytes.per.second`); answers its name. Several threads may call it: each takes another
    /// partition. Blocks, until [`LogDir::end_cleaning`] at most.
    ///
    /// # Errors
    /// When the directory goes offline. A partition with damaged bytes is logged and left alone, one that fails for a
    /// reason that passes (a full disk) is left alone for a while.
    pub fn clean_one(&self, map_bytes: usize, bytes_per_second: f64) -> Result<Option<String>, StorageError> {
        self.state.check_online()?;
        while let Some(claim) = self.dirtiest()? {
            let log = &claim.log;
            let cleaned = self.make_gaps_known(log, claim.dirt.end).map_err(CleanError::from).and_then(|()| {
                let end = log.clean(&claim.dirt, map_bytes, &Throttle::new(bytes_per_second))?;
                Ok(self.note_cleaned(log, end)?)
            });
            match cleaned {
                Ok(()) => {
                    self.clean_retries.lock().remove(&key_of(log));
                    return Ok(Some(log.name.to_string()));
                }
                Err(CleanError::Stopped | CleanError::Storage(StorageError::Closed(_))) => return Ok(None),
                Err(CleanError::Storage(error)) => self.retry_later(log, error)?,
                Err(CleanError::Corrupt(problem)) => {
                    tracing::error!(partition = %log.name, problem, "compaction gives up on a damaged partition");
                    self.uncleanable.lock().insert(key_of(log));
                }
            }
        }
        Ok(None)
    }

    /// What is due and has the largest part to clean, of what no other cleaner has in hand.
    fn dirtiest(&self) -> Result<Option<Claim<'_>>, StorageError> {
        if self.state.ends_cleaning() {
            return Ok(None);
        }
        let mut dirtiest: Option<(Dirt, Arc<PartitionLog>)> = None;
        let now_ms = self.state.clock.steady_ms();
        // Held until one is chosen: two that look at once would choose the same.
        let mut claimed = self.claimed.lock();
        for log in self.partitions() {
            let config = log.config();
            let key = key_of(&log);
            if !config.cleanup_policy.compact || claimed.contains(&key) || self.uncleanable.lock().contains(&key) {
                continue;
            }
            if self.clean_retries.lock().get(&key).is_some_and(|retry| now_ms < retry.at_ms) {
                continue;
            }
            let cleaned_to = self.written.lock().cleaner.get(&key).copied();
            let dirt = match log.dirt(cleaned_to, &config) {
                Ok(Some(dirt)) => dirt,
                Ok(None) => continue,
                Err(error) => {
                    self.retry_later(&log, error)?;
                    continue;
                }
            };
            let is_due = dirt.urgency == Urgency::Overdue || dirt.ratio > config.min_cleanable_dirty_ratio;
            if is_due && dirtiest.as_ref().is_none_or(|(known, _)| dirt.ratio > known.ratio) {
                dirtiest = Some((dirt, log));
            }
        }
        Ok(dirtiest.map(|(dirt, log)| {
            claimed.insert(key_of(&log));
            Claim { dir: self, log, dirt }
        }))
    }

    /// Leaves a partition alone for a while, longer each time, so that it does not keep the others from being cleaned.
    ///
    /// # Errors
    /// The error itself, when it took the directory offline.
    fn retry_later(&self, log: &PartitionLog, error: StorageError) -> Result<(), StorageError> {
        if self.state.is_offline() {
            return Err(error);
        }
        let now_ms = self.state.clock.steady_ms();
        let mut retries = self.clean_retries.lock();
        retries.retain(|(topic, partition), _| self.partition(topic, *partition).is_some());
        let pause_ms = retries
            .get(&key_of(log))
            .map_or(CLEAN_RETRY_MS, |retry| retry.pause_ms.saturating_mul(2).min(CLEAN_RETRY_MAX_MS));
        retries.insert(key_of(log), Retry { at_ms: now_ms + pause_ms, pause_ms });
        let reason = describe(&error);
        tracing::warn!(partition = %log.name, reason, pause_ms, "compaction failed, will be tried again");
        Ok(())
    }

    /// Compaction leaves gaps between segments; recovery takes gaps above the recovery point on the disk for a lost end
    /// and cuts there. So all that is going to be cleaned is flushed, and that is written down, before anything moves.
    fn make_gaps_known(&self, log: &PartitionLog, end: i64) -> Result<(), StorageError> {
        if self.written.lock().recovery_points.get(&key_of(log)).is_some_and(|point| *point >= end) {
            return Ok(());
        }
        log.flush()?;
        self.checkpoint()
    }

    fn note_cleaned(&self, log: &PartitionLog, end: i64) -> Result<(), StorageError> {
        let mut written = self.written.lock();
        let mut now = written.cleaner.clone();
        now.retain(|(topic, partition), _| self.partition(topic, *partition).is_some());
        now.insert(key_of(log), end);
        self.write_offsets(crate::checkpoints::CLEANER, &now, &mut written.cleaner)
    }
}

impl PartitionLog {
    /// How dirty the log is; `None` when nothing may be cleaned.
    fn dirt(&self, cleaned_to: Option<i64>, config: &LogConfig) -> Result<Option<Dirt>, StorageError> {
        let now_ms = self.dir.clock.now_ms();
        let mut writer = self.writer.lock();
        if writer.life == Life::Closed {
            return Ok(None);
        }
        let known = cleaned_to.filter(|offset| (writer.log_start..=writer.log_end).contains(offset));
        let first_dirty = known.unwrap_or(writer.log_start);
        let first_dirty_index = writer.segment_of(first_dirty);
        let active_index = writer.segments.len() - 1;
        let mut end_index = writer.segment_of(writer.last_stable_offset()).min(active_index);
        let mut earliest = i64::MAX;
        let Writer { segments, folder, .. } = &mut *writer;
        for (index, segment) in segments.iter_mut().enumerate().take(end_index).skip(first_dirty_index) {
            let place = segment.place(&self.dir.disk, folder);
            let failed = |error| self.dir.failed("cannot read", &place.path(LOG))(error);
            let lag_ms = config.min_compaction_lag_ms;
            if lag_ms > 0 && segment.largest_timestamp(&place).map_err(failed)? > now_ms - lag_ms {
                end_index = index;
                break;
            }
            let first = segment.first_timestamp(&place).map_err(failed)?;
            if first > 0 {
                earliest = earliest.min(first);
            }
        }
        let end = writer.segments[end_index].base_offset;
        let bytes = |segments: &[Segment]| segments.iter().map(|segment| segment.size).sum::<u64>();
        let clean_segments = writer.segments.partition_point(|segment| segment.base_offset < first_dirty);
        let clean = bytes(&writer.segments[..clean_segments.min(end_index)]);
        let dirty = bytes(&writer.segments[first_dirty_index.min(end_index)..end_index]);
        if end <= first_dirty || dirty == 0 {
            return Ok(None);
        }
        let is_overdue = earliest < now_ms.saturating_sub(config.max_compaction_lag_ms);
        Ok(Some(Dirt {
            first_dirty,
            end,
            ratio: dirty as f64 / (clean + dirty) as f64,
            urgency: if is_overdue { Urgency::Overdue } else { Urgency::None },
        }))
    }

    /// Cleans up to `dirt.end`, or as far as the map reaches; answers the offset up to which the log is clean.
    fn clean(&self, dirt: &Dirt, map_bytes: usize, throttle: &Throttle) -> Result<i64, CleanError> {
        let _cleaning = self.cleaning.lock();
        let mut keys = KeyMap::new(map_bytes);
        self.fill_map(dirt, &mut keys, throttle)?;
        let end = keys.latest_offset + 1;
        let config = self.config.load_full();
        let sources = self.sources(end)?;
        let mut transactions = Transactions::default();
        self.remove_leftovers()?;
        for group in group_by_size(&sources, &config) {
            match self.write_cleaned(group, &keys, &mut transactions, &config, throttle) {
                Ok(cleaned) => self.swap_in(cleaned, group)?,
                Err(error) => {
                    self.remove_cleaned(group[0].base_offset);
                    return Err(error);
                }
            }
        }
        tracing::info!(partition = %self.name, from = dirt.first_dirty, end, segments = sources.len(), "compacted");
        Ok(end)
    }

    /// Waits as long as the throttle wants, unless the cleaning has to stop.
    fn keep_pace(&self, throttle: &Throttle, bytes: usize) -> Result<(), CleanError> {
        throttle.count(bytes);
        while let Some(pause) = throttle.pause() {
            self.check_wanted()?;
            std::thread::sleep(pause);
        }
        Ok(())
    }

    fn check_wanted(&self) -> Result<(), CleanError> {
        let must_stop = self.dir.ends_cleaning() || self.stop_cleaning.load(Ordering::Acquire) > 0;
        if must_stop { Err(CleanError::Stopped) } else { Ok(()) }
    }

    /// The sealed segments that begin below `end`.
    fn sources(&self, end: i64) -> Result<Vec<Source>, CleanError> {
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let count = writer.segments.partition_point(|segment| segment.base_offset < end);
        let count = count.min(writer.segments.len() - 1);
        let ends: Vec<i64> = (0..count).map(|index| writer.end_of(index)).collect();
        let Writer { segments, folder, .. } = &mut *writer;
        let mut sources = Vec::with_capacity(count);
        for (segment, end_offset) in segments[..count].iter_mut().zip(ends) {
            let place = segment.place(&self.dir.disk, folder);
            let file = segment.file(&place).map_err(|error| self.dir.failed("cannot open", &place.path(LOG))(error))?;
            sources.push(Source {
                base_offset: segment.base_offset,
                end_offset,
                size: segment.size,
                index_bytes: segment.index_bytes(),
                modified_ms: segment.modified_ms,
                file,
            });
        }
        Ok(sources)
    }

    /// Walks the batches of one segment.
    fn walk(
        &self,
        source: &Source,
        throttle: &Throttle,
        mut each: impl FnMut(&BatchHeader, &[u8]) -> Result<Walk, CleanError>,
    ) -> Result<Walk, CleanError> {
        let mut scan = BatchScan::new(source.file.clone(), 0, source.size);
        loop {
            self.check_wanted()?;
            match scan.next().map_err(|error| self.read_failed(error))? {
                Next::End => return Ok(Walk::On),
                Next::Batch(found, batch) if header::is_intact(&found.header, batch) => {
                    self.keep_pace(throttle, batch.len())?;
                    if each(&found.header, batch)? == Walk::Stop {
                        return Ok(Walk::Stop);
                    }
                }
                Next::Batch(..) | Next::Torn => {
                    let at = format!("segment {} near position {}", source.base_offset, scan.position());
                    return Err(CleanError::Corrupt(at));
                }
            }
        }
    }

    /// Takes the keys of the dirty part into the map until it is full.
    fn fill_map(&self, dirt: &Dirt, keys: &mut KeyMap, throttle: &Throttle) -> Result<(), CleanError> {
        let sources = self.sources(dirt.end)?;
        let mut transactions = Transactions::default();
        transactions.add(self.aborted_between(dirt.first_dirty, dirt.end)?);
        keys.latest_offset = dirt.first_dirty - 1;
        for source in sources.iter().filter(|source| source.end_offset > dirt.first_dirty) {
            let walked = self.walk(source, throttle, |header, batch| {
                if header.is_control() {
                    transactions.pass_marker(header, batch);
                } else if !transactions.is_aborted(header)
                    && take_keys(header, batch, dirt.first_dirty, keys)? == Room::Full
                {
                    return Ok(Walk::Stop);
                }
                keys.latest_offset = keys.latest_offset.max(header.last_offset());
                Ok(Walk::On)
            })?;
            if walked == Walk::Stop {
                if keys.latest_offset < dirt.first_dirty {
                    return Err(CleanError::Corrupt("one batch has more keys than the map holds".to_owned()));
                }
                return Ok(());
            }
            keys.latest_offset = source.end_offset - 1;
        }
        Ok(())
    }

    /// Removes what an earlier attempt left. While a `.cleaned` file is there a crash undoes every swap at or behind it,
    /// so none may be left when old segments move out of the way.
    fn remove_leftovers(&self) -> Result<(), StorageError> {
        let folder = self.folder();
        let entries = self.dir.disk.list(&folder).map_err(self.dir.failed("cannot list", &folder))?;
        for entry in entries.iter().filter(|entry| entry.name.ends_with(CLEANED)) {
            let path = folder.join(&entry.name);
            self.dir.disk.remove_file(&path).map_err(self.dir.failed("cannot remove", &path))?;
        }
        Ok(())
    }

    /// Removes the files of a cleaning that was given up, none of which is in place yet. What cannot be removed goes at
    /// the next attempt or start.
    fn remove_cleaned(&self, base_offset: i64) {
        let folder = self.folder();
        let mut cleaned = Segment::new(base_offset, 0);
        cleaned.suffix = CLEANED;
        let place = cleaned.place(&self.dir.disk, &folder);
        for kind in SEGMENT_FILES {
            // It may never have been made.
            let _ = self.dir.disk.remove_file(&place.path(kind));
        }
    }

    fn write_cleaned(
        &self,
        group: &[Source],
        keys: &KeyMap,
        transactions: &mut Transactions,
        config: &LogConfig,
        throttle: &Throttle,
    ) -> Result<Segment, CleanError> {
        let last_batches = self.last_batches();
        let filter = Filter {
            keys,
            last_batches: &last_batches,
            high_watermark: self.high_watermark(),
            now_ms: self.dir.clock.now_ms(),
            delete_retention_ms: config.delete_retention_ms,
        };
        let folder = self.folder();
        let mut cleaned = Segment::new(group[0].base_offset, self.dir.clock.now_ms());
        cleaned.suffix = CLEANED;
        let place = cleaned.place(&self.dir.disk, &folder);
        let failed = |error| self.dir.failed("cannot write", &place.path(LOG))(error);
        cleaned.write(&place, &[]).map_err(failed)?;
        let mut pending = Vec::new();
        for source in group {
            transactions.add(self.aborted_between(source.base_offset, source.end_offset)?);
            self.walk(source, throttle, |header, batch| {
                let kept = filter.filter(header, batch, transactions, &mut pending)?;
                if let Some(txn) = kept.aborted {
                    cleaned.txn_index.push(&txn, &place);
                }
                if kept.batch == Outcome::Written && pending.len() >= WRITE_BYTES {
                    self.keep_pace(throttle, pending.len())?;
                    write_pending(&mut cleaned, &mut pending, config, &place).map_err(failed)?;
                }
                Ok(Walk::On)
            })?;
        }
        self.keep_pace(throttle, pending.len())?;
        write_pending(&mut cleaned, &mut pending, config, &place).map_err(failed)?;
        cleaned.seal(&place).and_then(|()| cleaned.write_indexes(&place)).map_err(failed)?;
        let modified_ms = group.last().map_or(0, |last| last.modified_ms);
        cleaned.open_unsynced(&place).map_err(failed)?;
        let mut files = Vec::new();
        cleaned.take_unsynced(&mut files);
        for file in files {
            file.sync().map_err(failed)?;
        }
        cleaned.file(&place).and_then(|file| file.set_modified(modified_ms)).map_err(failed)?;
        cleaned.modified_ms = modified_ms;
        Ok(cleaned)
    }

    fn last_batches(&self) -> HashMap<i64, LastBatch> {
        let writer = self.writer.lock();
        let producers = writer.producers.producers();
        producers
            .map(|(producer_id, producer)| {
                let last_data_offset = producer.last_mark().map(|mark| mark.last_offset);
                (*producer_id, LastBatch { last_data_offset, epoch: producer.epoch })
            })
            .collect()
    }

    /// Puts the cleaned segment in the place of the group. After an error that passes, all is as it was before: the old
    /// segments in the table and in the folder, nothing of the new one.
    fn swap_in(&self, mut cleaned: Segment, group: &[Source]) -> Result<(), CleanError> {
        let folder = self.folder();
        let ready = self
            .rename_segment(&mut cleaned, SWAP, &folder)
            .and_then(|()| self.dir.disk.sync_dir(&folder).map_err(self.dir.failed("cannot sync", &folder)));
        if let Err(error) = ready {
            self.undo(&mut cleaned, Vec::new(), &folder)?;
            return Err(error.into());
        }
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let first = writer.segment_of(group[0].base_offset);
        let replaced = first..first + group.len();
        let mut moved = Vec::new();
        let outcome = self
            .move_out(&writer.segments[replaced.clone()], &folder, &mut moved)
            .and_then(|()| self.rename_segment(&mut cleaned, "", &folder));
        if let Err(error) = outcome {
            self.undo(&mut cleaned, moved, &folder)?;
            return Err(error.into());
        }
        let stays = cleaned.base_offset;
        let old: Vec<Segment> = writer.segments.splice(replaced, [cleaned]).collect();
        let delay_ms = self.config.load().file_delete_delay_ms;
        for (_, aside) in moved {
            self.dir.doom(aside, DoomedKind::File, delay_ms);
        }
        let vanished: Vec<i64> =
            old.iter().map(|segment| segment.base_offset).filter(|base_offset| *base_offset != stays).collect();
        self.remove_snapshots(&mut writer, &vanished)?;
        drop(writer);
        self.dir.disk.sync_dir(&folder).map_err(self.dir.failed("cannot sync", &folder))?;
        Ok(())
    }

    /// Renames the files of old segments to `.deleted`; says which were.
    fn move_out(
        &self,
        old: &[Segment],
        folder: &Path,
        moved: &mut Vec<(PathBuf, PathBuf)>,
    ) -> Result<(), StorageError> {
        for segment in old {
            let place = segment.place(&self.dir.disk, folder);
            for kind in SEGMENT_FILES {
                let path = place.path(kind);
                let mut aside = path.clone().into_os_string();
                aside.push(DELETED);
                let aside = PathBuf::from(aside);
                match self.dir.disk.rename(&path, &aside) {
                    Ok(()) => moved.push((path, aside)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(self.dir.failed("cannot rename", &path)(error)),
                }
            }
        }
        Ok(())
    }

    /// Takes a swap back: first the new files out of the way, then the old ones to their names, and what counts as a
    /// complete swap last, so that a crash at any moment finds either.
    ///
    /// # Errors
    /// When that fails too, or the directory is offline: it is from then on, and recovery completes the swap.
    fn undo(&self, cleaned: &mut Segment, moved: Vec<(PathBuf, PathBuf)>, folder: &Path) -> Result<(), StorageError> {
        self.dir.check_online()?;
        let undone = self.try_undo(cleaned, moved, folder);
        if let Err(error) = &undone {
            self.dir.take_offline(error);
        }
        undone
    }

    fn try_undo(
        &self,
        cleaned: &mut Segment,
        moved: Vec<(PathBuf, PathBuf)>,
        folder: &Path,
    ) -> Result<(), StorageError> {
        if cleaned.suffix.is_empty() {
            self.rename_segment(cleaned, SWAP, folder)?;
        }
        for (path, aside) in moved.into_iter().rev() {
            self.dir.disk.rename(&aside, &path).map_err(self.dir.failed("cannot rename", &aside))?;
        }
        // The .log.swap goes when its indexes have gone: alone it is complete, they are not. A .cleaned goes last: while
        // it is there nothing of the swap counts.
        for suffix in [SWAP, CLEANED] {
            cleaned.suffix = suffix;
            let place = cleaned.place(&self.dir.disk, folder);
            for kind in SEGMENT_FILES.iter().rev() {
                let path = place.path(kind);
                match self.dir.disk.remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(self.dir.failed("cannot remove", &path)(error));
                    }
                    Ok(()) | Err(_) => {}
                }
            }
        }
        Ok(())
    }

    fn rename_segment(&self, segment: &mut Segment, suffix: &'static str, folder: &Path) -> Result<(), StorageError> {
        let from = segment.place(&self.dir.disk, folder);
        let paths = SEGMENT_FILES.map(|kind| from.path(kind));
        segment.suffix = suffix;
        let to = segment.place(&self.dir.disk, folder);
        // SEGMENT_FILES has the .log first. While any file is still .cleaned the set does not count; on the way
        // to the final name the .log must lead, since a .log.swap makes recovery remove what lies in its range.
        for (kind, path) in SEGMENT_FILES.iter().zip(&paths) {
            match self.dir.disk.rename(path, &to.path(kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.dir.failed("cannot rename", path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Whether a walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    On,
    Stop,
}

fn take_keys(header: &BatchHeader, batch: &[u8], from: i64, keys: &mut KeyMap) -> Result<Room, CleanError> {
    let codec = Codec::from_id(header.codec()).ok_or_else(|| CleanError::Corrupt("unknown codec".to_owned()))?;
    let room = codec::with_plain(codec, &batch[HEADER_BYTES..], |plain| {
        for record in Records::new(plain, header.record_count) {
            let record = record.map_err(|_| AppendError::CorruptMessage("malformed record in the log".to_owned()))?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            if let Some(key) = record.key
                && offset >= from
                && keys.put(key, offset) == Room::Full
            {
                return Ok(Room::Full);
            }
        }
        Ok(Room::Taken)
    })?;
    Ok(room)
}

fn write_pending(
    cleaned: &mut Segment,
    pending: &mut Vec<u8>,
    config: &LogConfig,
    place: &crate::folder::Place<'_>,
) -> io::Result<()> {
    if pending.is_empty() {
        return Ok(());
    }
    cleaned.write(place, &[IoSlice::new(pending)])?;
    let mut rest = pending.as_slice();
    while let Some(header) = BatchHeader::decode(rest) {
        cleaned.note(&header, config.index_interval_bytes, place)?;
        rest = &rest[header.size()..];
    }
    pending.clear();
    Ok(())
}

/// Neighbouring segments that fit into one (Java: `Cleaner.groupSegmentsBySize`).
fn group_by_size<'a>(sources: &'a [Source], config: &LogConfig) -> Vec<&'a [Source]> {
    let mut groups = Vec::new();
    let mut start = 0;
    while start < sources.len() {
        let (mut size, mut index_bytes) = (sources[start].size, sources[start].index_bytes);
        let mut end = start + 1;
        while let Some(next) = sources.get(end)
            && size + next.size <= u64::from(config.segment_bytes)
            && index_bytes + next.index_bytes <= u64::from(config.segment_index_bytes)
            && next.end_offset - 1 - sources[start].base_offset <= i64::from(i32::MAX)
        {
            size += next.size;
            index_bytes += next.index_bytes;
            end += 1;
        }
        groups.push(&sources[start..end]);
        start = end;
    }
    groups
}

#[cfg(test)]
mod tests;
