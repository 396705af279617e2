//! Making a log shorter at either end (Java: `UnifiedLog.truncateTo`, `maybeIncrementLogStartOffset`).

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use crate::dir_state::DoomedKind;
use crate::error::{ReadError, StorageError};
use crate::folder::{DELETED, LOG, SEGMENT_FILES, SNAPSHOT};
use crate::partition_log::{PartitionLog, Writer};
use crate::roll::is_full_disk;
use crate::segment::Segment;

impl PartitionLog {
    /// Drops everything from `offset` on; false when the log ends at or before it. Batches are dropped whole,
    /// so that the log may end before `offset`: the follower fetches such a batch again.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn truncate_to(&self, offset: i64) -> Result<bool, StorageError> {
        let _no_cleaning = self.stop_cleaning();
        let _no_flush = self.flushing.lock();
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        if offset >= writer.log_end {
            let log_end = writer.log_end;
            writer.epochs.truncate_from_end(log_end);
            return Ok(false);
        }
        if offset < writer.segments[0].base_offset {
            self.start_over(&mut writer, offset)?;
            return Ok(true);
        }
        let offset = self.cut_to(&mut writer, offset).inspect_err(|error| {
            // Where the log ends is not known any more: segments may be gone that its end still counts.
            self.dir.take_offline(error);
        })?;
        writer.log_end = offset;
        writer.log_start = writer.log_start.min(offset);
        writer.epochs.truncate_from_end(offset);
        writer.recovery_point = writer.recovery_point.min(offset);
        writer.recent.clear();
        self.rebuild_producers(&mut writer)?;
        let watermark = writer.high_watermark.min(offset);
        writer.move_high_watermark(watermark);
        self.published.synced.fetch_min(offset, Ordering::AcqRel);
        self.publish(&writer)?;
        Ok(true)
    }

    /// Drops the batches from `offset` on; answers where the log ends then.
    fn cut_to(&self, writer: &mut Writer, offset: i64) -> Result<i64, StorageError> {
        let kept = writer.segment_of(offset) + 1;
        self.drop_from(writer, kept)?;
        let now_ms = self.dir.clock.now_ms();
        let Writer { segments, folder, .. } = &mut *writer;
        let active = segments.last_mut().expect("a log has at least one segment");
        let place = active.place(&self.dir.disk, folder);
        active
            .truncate(offset, &place, now_ms)
            .and_then(|end| active.file(&place)?.sync().map(|()| end))
            .map_err(|error| self.dir.failed("cannot truncate", &place.path(LOG))(error))
    }

    /// Drops everything and starts at `offset`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn truncate_fully(&self, offset: i64) -> Result<(), StorageError> {
        let _no_cleaning = self.stop_cleaning();
        let _no_flush = self.flushing.lock();
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        self.start_over(&mut writer, offset)
    }

    /// Interrupts a cleaning that is under way and keeps others from starting.
    pub(crate) fn stop_cleaning(&self) -> MutexGuard<'_, ()> {
        self.stop_cleaning.fetch_add(1, Ordering::AcqRel);
        let guard = self.cleaning.lock();
        self.stop_cleaning.fetch_sub(1, Ordering::AcqRel);
        guard
    }

    fn start_over(&self, writer: &mut Writer, offset: i64) -> Result<(), StorageError> {
        let mut dropped = std::mem::take(&mut writer.segments);
        dropped.reverse();
        let mut fresh = Segment::new(offset, self.dir.clock.now_ms());
        let removed = self.remove_segments(writer, dropped);
        let place = fresh.place(&self.dir.disk, &writer.folder);
        let made = fresh.file(&place).map_err(self.dir.failed("cannot make", &place.path(LOG)));
        writer.segments.push(fresh);
        writer.folder_changed = true;
        writer.log_start = offset;
        writer.log_end = offset;
        writer.recovery_point = writer.recovery_point.min(offset);
        writer.epochs.clear();
        writer.recent.clear();
        let snapshots = std::mem::take(&mut writer.snapshots);
        writer.producers.reset(offset);
        writer.move_high_watermark(offset);
        self.published.synced.store(offset, Ordering::Release);
        self.publish(writer)?;
        removed?;
        made?;
        self.remove_snapshots(writer, &snapshots)?;
        // What was dropped must not stand beside the new segment after a power loss.
        self.dir.disk.sync_dir(&writer.folder).map_err(self.dir.failed("cannot sync", &writer.folder))?;
        writer.recovery_point = offset;
        Ok(())
    }

    /// DeleteRecords: raises the log start; -1 means the high watermark; answers the new log start.
    ///
    /// # Errors
    /// `OffsetOutOfRange` above the high watermark.
    pub fn delete_before(&self, offset: i64) -> Result<i64, ReadError> {
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let offset = if offset == -1 { writer.high_watermark } else { offset };
        if offset > writer.high_watermark || offset < 0 {
            return Err(ReadError::OffsetOutOfRange {
                offset,
                log_start_offset: writer.log_start,
                log_end_offset: writer.log_end,
            });
        }
        self.raise_log_start(&mut writer, offset)?;
        Ok(writer.log_start)
    }

    pub(crate) fn raise_log_start(&self, writer: &mut Writer, offset: i64) -> Result<(), StorageError> {
        if offset > writer.log_start {
            writer.log_start = offset;
            if writer.high_watermark < offset {
                writer.move_high_watermark(offset);
            }
            writer.epochs.truncate_from_start(offset);
            self.publish(writer)?;
        }
        Ok(())
    }

    /// Renames the files of segments that are out of the table to `.deleted`, and dooms them.
    pub(crate) fn remove_segments(&self, writer: &mut Writer, dropped: Vec<Segment>) -> Result<(), StorageError> {
        let delay_ms = self.config.load().file_delete_delay_ms;
        let mut snapshots = Vec::new();
        for mut segment in dropped {
            snapshots.push(segment.base_offset);
            segment.close();
            let place = segment.place(&self.dir.disk, &writer.folder);
            for kind in SEGMENT_FILES {
                self.set_aside(place.path(kind), delay_ms)?;
            }
            writer.folder_changed = true;
        }
        // A snapshot at the base of a segment describes the log in front of it; the first one left needs none.
        self.remove_snapshots(writer, &snapshots)
    }

    pub(crate) fn remove_snapshots(&self, writer: &mut Writer, offsets: &[i64]) -> Result<(), StorageError> {
        for offset in offsets {
            let path = writer.folder.join(format!("{offset:020}{SNAPSHOT}"));
            match self.dir.disk.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.dir.failed("cannot remove", &path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        writer.snapshots.retain(|offset| !offsets.contains(offset));
        Ok(())
    }

    /// Renames a file to `.deleted` and dooms it; one that is not there is no error.
    pub(crate) fn set_aside(&self, path: PathBuf, delay_ms: i64) -> Result<(), StorageError> {
        let mut aside = path.clone().into_os_string();
        aside.push(DELETED);
        let aside = PathBuf::from(aside);
        match self.dir.disk.rename(&path, &aside) {
            Ok(()) => {
                self.dir.doom(aside, DoomedKind::File, delay_ms);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // No room for another name: the file goes at once, which makes room. Whoever reads it has it open.
            Err(error) if is_full_disk(&error) => {
                self.dir.disk.remove_file(&path).map_err(self.dir.failed("cannot remove", &path))
            }
            Err(error) => Err(self.dir.failed("cannot rename", &path)(error)),
        }
    }
}
