//! When a segment ends and what that takes (Java: `LogSegment.shouldRoll`, `UnifiedLog.roll`).

use std::io;

use crate::config::LogConfig;
use crate::error::StorageError;
use crate::folder::{LOG, Place, SNAPSHOT};
use crate::index_offset;
use crate::index_time;
use crate::partition_log::{PartitionLog, Writer};
use crate::producer_snapshot;
use crate::segment::Segment;

/// What is about to be appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) size: usize,
}

impl PartitionLog {
    /// Ends the active segment and starts a new one.
    pub fn roll(&self) -> Result<(), StorageError> {
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let log_end = writer.log_end;
        if writer.active().size > 0 {
            self.roll_at(&mut writer, log_end)?;
        }
        Ok(())
    }

    /// Starts a new segment when what comes does not belong into the active one.
    pub(crate) fn roll_if_due(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        incoming: &Incoming,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        let Writer { segments, folder, .. } = &mut *writer;
        let active = segments.last_mut().expect("a log has at least one segment");
        let overflows = incoming.last_offset - active.base_offset > i64::from(i32::MAX);
        let is_due = overflows
            || active.size > 0 && {
                let place = active.place(&self.dir.disk, folder);
                is_due(active, config, incoming, now_ms, &place)
                    .map_err(|error| self.dir.failed("cannot read", &place.path(LOG))(error))?
            };
        if is_due { self.roll_at(writer, incoming.first_offset) } else { Ok(()) }
    }

    /// Seals the active segment and starts one at `base_offset`.
    pub(crate) fn roll_at(&self, writer: &mut Writer, base_offset: i64) -> Result<(), StorageError> {
        let now_ms = self.dir.clock.now_ms();
        let base_offset = base_offset.max(writer.log_end);
        let config = self.config.load();
        // The new file comes last of what may fail: an empty one in front of records that still went into the old segment
        // would end the log there at the next start.
        if writer.active().base_offset != base_offset {
            let Writer { segments, folder, .. } = &mut *writer;
            let sealed = segments.last_mut().expect("a log has at least one segment");
            let place = sealed.place(&self.dir.disk, folder);
            sealed.close_log(&place).map_err(self.dir.failed("cannot cut", &place.path(LOG)))?;
            let sealing = sealed.seal(&place).and_then(|()| sealed.write_indexes(&place));
            tolerate_full_disk(sealing).map_err(self.dir.failed("cannot write indexes of", &place.path(LOG)))?;
        }
        let mut fresh = Segment::new(base_offset, now_ms);
        fresh.jitter_ms = jitter(now_ms, &config);
        let place = fresh.place(&self.dir.disk, &writer.folder);
        let file = fresh.file(&place).map_err(self.dir.failed("cannot make", &place.path(LOG)))?;
        if config.preallocate {
            // A disk that has no room for it says so when the bytes are written.
            if let Err(error) = file.reserve(u64::from(config.segment_bytes)) {
                tracing::debug!(partition = %self.name, %error, "no room to preallocate a segment");
            }
        }
        writer.folder_changed = true;
        if writer.active().base_offset == base_offset {
            // An empty segment of that name stands there already.
            writer.segments.pop();
        }
        writer.segments.push(fresh);
        writer.recent.clear();
        writer.producers.set_end_offset(base_offset);
        self.take_snapshot(writer)
    }

    /// Writes the producer table as it is at its end offset, unless that was done.
    pub(crate) fn take_snapshot(&self, writer: &mut Writer) -> Result<(), StorageError> {
        let offset = writer.producers.end_offset();
        if writer.snapshots.last().is_some_and(|last| *last >= offset) || offset == 0 {
            return Ok(());
        }
        let path = writer.folder.join(format!("{offset:020}{SNAPSHOT}"));
        let written = self.dir.disk.write(&path, &producer_snapshot::encode(&writer.producers));
        // Without it the next start replays from an older one.
        tolerate_full_disk(written).map_err(self.dir.failed("cannot write", &path))?;
        writer.snapshots.push(offset);
        writer.folder_changed = true;
        Ok(())
    }
}

fn is_due(
    active: &mut Segment,
    config: &LogConfig,
    incoming: &Incoming,
    now_ms: i64,
    place: &Place<'_>,
) -> io::Result<bool> {
    let index_bytes_max = config.segment_index_bytes as usize;
    let is_full = active.size + incoming.size as u64 > u64::from(config.segment_bytes)
        || (active.offset_index.len() + 1) * index_offset::ENTRY_BYTES > index_bytes_max
        // One entry is kept for the closing one.
        || (active.time_index.len() + 2) * index_time::ENTRY_BYTES > index_bytes_max;
    if is_full {
        return Ok(true);
    }
    // Time counts from the first record, or from the creation when records carry none.
    let first_timestamp = active.first_timestamp(place)?;
    let waited_ms = if first_timestamp >= 0 {
        incoming.max_timestamp.saturating_sub(first_timestamp)
    } else {
        now_ms - active.created_ms
    };
    // A record must not wait in the active segment beyond the time in which it has to be compacted (Java:
    // `LogConfig.maxSegmentMs`).
    let segment_ms = if config.cleanup_policy.compact {
        config.segment_ms.min(config.max_compaction_lag_ms)
    } else {
        config.segment_ms
    };
    Ok(waited_ms > segment_ms.saturating_sub(active.jitter_ms))
}

/// A full disk is no failure where what was to be written can be made again.
pub(crate) fn tolerate_full_disk(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_full_disk(&error) => Ok(()),
        other => other,
    }
}

/// Whether there is no room, on the disk or for this user.
pub(crate) fn is_full_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A random part of `segment.jitter.ms`, so that partitions do not roll all at once. Taken from the time:
/// it needs to differ, not to be random.
pub(crate) fn jitter(now_ms: i64, config: &LogConfig) -> i64 {
    let bound = config.segment_jitter_ms.min(config.segment_ms);
    if bound <= 0 { 0 } else { (now_ms.wrapping_mul(0x2545_f491_4f6c_dd1d) & i64::MAX) % bound }
}
