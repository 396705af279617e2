//! Deleting old segments by time, size and log start (Java: `UnifiedLog.deleteOldSegments`).

use std::io;

use crate::error::StorageError;
use crate::partition_log::{PartitionLog, Writer};

/// Why a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// All of it lies below the log start.
    LogStart,
    /// The log is larger than `retention.bytes` without it.
    Size { excess: u64 },
    /// Its largest timestamp is older than `retention.ms`.
    Time { oldest_ms: i64 },
}

impl PartitionLog {
    /// Deletes segments by time, size and log start, as `cleanup.policy` says; answers how many.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn apply_retention(&self) -> Result<usize, StorageError> {
        // Compaction has the segments in hand; the next round deletes.
        let Some(_no_cleaning) = self.cleaning.try_lock() else { return Ok(0) };
        let config = self.config.load();
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let mut deleted = self.delete_while(&mut writer, Reason::LogStart)?;
        if !config.cleanup_policy.delete {
            return Ok(deleted);
        }
        let size: u64 = writer.segments.iter().map(|segment| segment.size).sum();
        if let Ok(limit) = u64::try_from(config.retention_bytes)
            && size >= limit
        {
            deleted += self.delete_while(&mut writer, Reason::Size { excess: size - limit })?;
        }
        if config.retention_ms >= 0 {
            let oldest_ms = self.dir.clock.now_ms().saturating_sub(config.retention_ms);
            deleted += self.delete_while(&mut writer, Reason::Time { oldest_ms })?;
        }
        Ok(deleted)
    }

    fn delete_while(&self, writer: &mut Writer, reason: Reason) -> Result<usize, StorageError> {
        let count = self.deletable(writer, reason).map_err(self.dir.failed("cannot read", &writer.folder.clone()))?;
        if count == 0 {
            return Ok(0);
        }
        if count == writer.segments.len() {
            let log_end = writer.log_end;
            self.roll_at(writer, log_end)?;
        }
        let kept = writer.segments.split_off(count);
        let dropped = std::mem::replace(&mut writer.segments, kept);
        let new_start = writer.segments[0].base_offset;
        tracing::info!(partition = %self.name, segments = count, ?reason, log_start_offset = new_start, "segments deleted");
        // The start moves first: were the files gone before, a reader would find a hole.
        // The recovery point follows with the next flush, which syncs the folder: until then a power loss may bring the
        // files back, and what they hold was perhaps never synced.
        self.raise_log_start(writer, new_start)?;
        self.remove_segments(writer, dropped)?;
        Ok(count)
    }

    /// How many segments from the oldest on may go for `reason`.
    fn deletable(&self, writer: &mut Writer, reason: Reason) -> io::Result<usize> {
        let (high_watermark, log_start, log_end) = (writer.high_watermark, writer.log_start, writer.log_end);
        let bases: Vec<i64> = writer.segments.iter().map(|segment| segment.base_offset).collect();
        let Writer { segments, folder, .. } = &mut *writer;
        let mut reason = reason;
        for (index, segment) in segments.iter_mut().enumerate() {
            let next_base = bases.get(index + 1).copied();
            let end = next_base.unwrap_or(log_end);
            if high_watermark < end || (next_base.is_none() && segment.size == 0) {
                return Ok(index);
            }
            let may_go = match &mut reason {
                Reason::LogStart => next_base.is_some_and(|next_base| next_base <= log_start),
                Reason::Size { excess } => match excess.checked_sub(segment.size) {
                    Some(rest) => {
                        *excess = rest;
                        true
                    }
                    None => false,
                },
                Reason::Time { oldest_ms } => {
                    let place = segment.place(&self.dir.disk, folder);
                    segment.largest_timestamp(&place)? < *oldest_ms
                }
            };
            if !may_go {
                return Ok(index);
            }
        }
        Ok(segments.len())
    }
}
