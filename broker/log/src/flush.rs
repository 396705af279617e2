//! Making records durable: one fdatasync for all appends that wait (Java: `UnifiedLog.flush`).
//!
//! The order is: `.log` files and indexes, `leader-epoch-checkpoint`, the folder, the log directory; then the
//! recovery point moves. The recovery point never passes a sealed segment whose index files are not complete
//! on the disk, because recovery trusts those. Called from threads that may block. Never here: when a flush
//! is due (the append says so for `flush.messages`, the server's timer for `flush.ms`).

use std::sync::atomic::Ordering;

use millstream_base_env::File;

use crate::checkpoints::{LEADER_EPOCH, PARTITION_METADATA};
use crate::error::StorageError;
use crate::folder::LOG;
use crate::partition_log::{PartitionLog, Writer};
use crate::roll::tolerate_full_disk;

/// What a flush found to do.
struct Work {
    files: Vec<File>,
    /// Everything below is durable once the files are synced.
    log_end: i64,
    /// How far the recovery point may move then.
    recovery_point: i64,
    /// The epoch file's text, when it is behind.
    epochs: Option<String>,
    folder_changed: bool,
    is_new: bool,
}

impl PartitionLog {
    /// Makes everything durable.
    ///
    /// # Errors
    /// A failed fsync takes the log directory offline; it is never retried.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.flush_to(i64::MAX)
    }

    /// Everything below it is durable.
    pub fn synced_offset(&self) -> i64 {
        self.published.synced.load(Ordering::Acquire)
    }

    /// Makes everything below `offset` durable. What waited for it can be read from here on. Blocks; several callers share one fdatasync.
    ///
    /// # Errors
    /// As [`PartitionLog::flush`].
    pub fn flush_to(&self, offset: i64) -> Result<(), StorageError> {
        if self.published.synced.load(Ordering::Acquire) >= offset {
            return Ok(());
        }
        let _turn = self.flushing.lock();
        if self.published.synced.load(Ordering::Acquire) >= offset {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let work = self.find_work(&mut writer)?;
        let folder = writer.folder.clone();
        drop(writer);

        let done = self.carry_out(&work, &folder);

        let mut writer = self.writer.lock();
        let epochs_written = match done {
            Ok(epochs_written) => epochs_written,
            Err(error) => {
                // What was not reached is still to be done when the error passes.
                if work.epochs.is_some() {
                    writer.epochs.mark_dirty();
                }
                writer.folder_changed |= work.folder_changed;
                writer.is_new |= work.is_new;
                return Err(error);
            }
        };
        if !epochs_written {
            writer.epochs.mark_dirty();
        }
        // A truncation while the files were being synced has the last word.
        let synced = work.log_end.min(writer.log_end);
        if writer.withheld && synced > writer.high_watermark {
            writer.move_high_watermark(synced);
            self.publish(&writer)?;
        }
        // What was appended during the sync waits for the next one.
        writer.withheld &= synced < writer.log_end;
        // Last: whoever sees that it is durable may rely on the high watermark as well.
        self.published.synced.store(synced, Ordering::Release);
        if epochs_written {
            writer.recovery_point = writer.recovery_point.max(work.recovery_point.min(synced));
        }
        writer.last_flush_ms = self.dir.clock.now_ms();
        Ok(())
    }

    /// Syncs and writes what a flush found; answers whether the epoch file could be written.
    fn carry_out(&self, work: &Work, folder: &std::path::Path) -> Result<bool, StorageError> {
        for file in &work.files {
            file.sync().map_err(self.dir.sync_failed(folder))?;
        }
        let mut epochs_written = true;
        if let Some(text) = &work.epochs {
            let path = folder.join(LEADER_EPOCH);
            let written = self.dir.disk.replace(&path, text.as_bytes());
            epochs_written = written.is_ok();
            tolerate_full_disk(written).map_err(self.dir.failed("cannot write", &path))?;
        }
        if work.is_new {
            self.sync_new_folder(folder)?;
        }
        if work.folder_changed || work.is_new {
            self.dir.disk.sync_dir(folder).map_err(self.dir.sync_failed(folder))?;
        }
        Ok(epochs_written)
    }

    fn find_work(&self, writer: &mut Writer) -> Result<Work, StorageError> {
        let Writer { segments, folder, .. } = &mut *writer;
        let mut files = Vec::new();
        let mut recovery_point = None;
        let last = segments.len() - 1;
        // All that can fail comes before any is noted as synced: a shortage of descriptors must not make one be forgotten.
        for (index, segment) in segments.iter_mut().enumerate() {
            let place = segment.place(&self.dir.disk, folder);
            segment.open_unsynced(&place).map_err(|error| self.dir.failed("cannot open", &place.path(LOG))(error))?;
            if index < last {
                let written = segment.write_indexes(&place);
                if written.is_err() && recovery_point.is_none() {
                    recovery_point = Some(segment.base_offset);
                }
                tolerate_full_disk(written)
                    .map_err(|error| self.dir.failed("cannot write indexes of", &place.path(LOG))(error))?;
            }
        }
        for segment in segments.iter_mut() {
            segment.take_unsynced(&mut files);
        }
        let epochs = if writer.epochs.take_dirty() { Some(writer.epochs.render()) } else { None };
        Ok(Work {
            files,
            log_end: writer.log_end,
            recovery_point: recovery_point.unwrap_or(writer.log_end),
            epochs,
            folder_changed: std::mem::take(&mut writer.folder_changed),
            is_new: std::mem::take(&mut writer.is_new),
        })
    }

    fn sync_new_folder(&self, folder: &std::path::Path) -> Result<(), StorageError> {
        let metadata = folder.join(PARTITION_METADATA);
        if self.dir.disk.exists(&metadata) {
            let file = self.dir.disk.open(&metadata, millstream_base_env::disk::OpenMode::ReadWrite);
            let file = file.map_err(self.dir.failed("cannot open", &metadata))?;
            file.sync().map_err(self.dir.sync_failed(&metadata))?;
        }
        self.dir.disk.sync_dir(&self.dir.path).map_err(self.dir.sync_failed(&self.dir.path))
    }

    /// Whether a sealed segment waits for its flush, or `flush.ms` has passed since the last one.
    pub fn is_flush_due(&self) -> bool {
        let config = self.config.load();
        let now_ms = self.dir.clock.now_ms();
        let writer = self.writer.lock();
        let active_base = writer.segments.last().map_or(0, |active| active.base_offset);
        let synced = self.published.synced.load(Ordering::Acquire);
        let is_behind = writer.recovery_point < active_base;
        let is_late = synced < writer.log_end && now_ms.saturating_sub(writer.last_flush_ms) >= config.flush_ms;
        is_behind || is_late
    }

    /// Milliseconds until [`PartitionLog::is_flush_due`] has to be asked again, so that no record waits longer than
    /// `flush.ms` for its flush, one that is appended right now included.
    pub fn flush_look_in_ms(&self) -> i64 {
        let flush_ms = self.config.load().flush_ms;
        if flush_ms == i64::MAX {
            return flush_ms;
        }
        let since_ms = self.dir.clock.now_ms().saturating_sub(self.writer.lock().last_flush_ms);
        let left_ms = flush_ms.saturating_sub(since_ms.max(0));
        if left_ms > 0 { left_ms } else { flush_ms.max(1) }
    }

    /// Flushes, completes every file as Apache leaves it at a clean stop, and closes. Later calls answer
    /// that the log is closed.
    ///
    /// # Errors
    /// As [`PartitionLog::flush`].
    pub fn close(&self) -> Result<(), StorageError> {
        let completed = self.complete_files();
        // On a full disk the records themselves go to the disk all the same.
        match &completed {
            Err(error) if !error.is_disk_full() => {}
            Ok(()) | Err(_) => self.flush()?,
        }
        completed?;
        let mut writer = self.writer.lock();
        writer.life = crate::partition_log::Life::Closed;
        for segment in &mut writer.segments {
            segment.close();
        }
        Ok(())
    }

    /// Index files and the producers' snapshot, as Apache leaves them at a clean stop.
    fn complete_files(&self) -> Result<(), StorageError> {
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        if writer.log_end == 0 && writer.segments.len() == 1 {
            return Ok(());
        }
        let Writer { segments, folder, .. } = &mut *writer;
        for segment in segments.iter_mut() {
            let place = segment.place(&self.dir.disk, folder);
            segment
                .seal(&place)
                .and_then(|()| segment.write_indexes(&place))
                .map_err(|error| self.dir.failed("cannot write indexes of", &place.path(LOG))(error))?;
        }
        let log_end = writer.log_end;
        writer.producers.set_end_offset(log_end);
        self.take_snapshot(&mut writer)
    }
}
