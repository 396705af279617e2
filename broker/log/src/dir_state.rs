//! What the partitions of one log directory share: its disk, its clock, whether it is offline, and the files
//! that wait for their deletion.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_base_env::{Clock, Disk};
use parking_lot::Mutex;

use crate::error::StorageError;

/// System error numbers after which a directory may still be used: too many open files, here or in the whole
/// system. A full disk is recognised by its kind.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// A file or folder that waits for `file.delete.delay.ms`.
#[derive(Debug)]
struct Doomed {
    due_ms: i64,
    path: PathBuf,
    kind: DoomedKind,
}

/// See [`DirState::doom`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoomedKind {
    File,
    Folder,
}

#[derive(Debug)]
pub(crate) struct DirState {
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) path: PathBuf,
    offline: AtomicBool,
    reason: Mutex<Option<String>>,
    /// Whether compaction has to end: the directory will be closed.
    ends_cleaning: AtomicBool,
    doomed: Mutex<Vec<Doomed>>,
}

impl DirState {
    pub(crate) fn new(disk: Disk, clock: Clock, path: &Path) -> Self {
        DirState {
            disk,
            clock,
            path: path.to_path_buf(),
            offline: AtomicBool::new(false),
            reason: Mutex::new(None),
            ends_cleaning: AtomicBool::new(false),
            doomed: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    pub(crate) fn offline_reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }

    pub(crate) fn check_online(&self) -> Result<(), StorageError> {
        if self.is_offline() { Err(StorageError::Offline(self.path.clone())) } else { Ok(()) }
    }

    /// Turns a failed call into the error to answer. Anything but a full disk or a shortage of descriptors
    /// takes the directory offline for good: after a failed write or fsync the page cache cannot be trusted.
    pub(crate) fn failed(&self, doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
        move |source| {
            let is_passing = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
                || matches!(source.raw_os_error(), Some(EMFILE | ENFILE));
            let error = StorageError::Io { doing, path: path.to_path_buf(), source };
            if !is_passing {
                self.take_offline(&error);
            }
            error
        }
    }

    /// As [`DirState::failed`] for an fsync: whatever the reason, what was written may be gone from the page cache, and
    /// another fsync would report success. The directory goes offline.
    pub(crate) fn sync_failed(&self, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
        move |source| {
            let error = StorageError::Io { doing: "cannot sync", path: path.to_path_buf(), source };
            self.take_offline(&error);
            error
        }
    }

    pub(crate) fn end_cleaning(&self) {
        self.ends_cleaning.store(true, Ordering::Release);
    }

    pub(crate) fn ends_cleaning(&self) -> bool {
        self.ends_cleaning.load(Ordering::Acquire)
    }

    /// Offline from the beginning, without a line in the log.
    pub(crate) fn begin_offline(&self, error: &StorageError) {
        self.offline.store(true, Ordering::Release);
        *self.reason.lock() = Some(describe(error));
    }

    /// Takes the directory offline for good; the first reason counts.
    pub(crate) fn take_offline(&self, error: &StorageError) {
        if !self.offline.swap(true, Ordering::AcqRel) {
            tracing::error!(dir = %self.path.display(), error = %describe(error), "log directory goes offline");
            *self.reason.lock() = Some(describe(error));
        }
    }

    /// Removes `path` once `delay_ms` have passed and [`DirState::purge`] is called.
    pub(crate) fn doom(&self, path: PathBuf, kind: DoomedKind, delay_ms: i64) {
        let due_ms = self.clock.now_ms().saturating_add(delay_ms);
        self.doomed.lock().push(Doomed { due_ms, path, kind });
    }

    /// Removes what is due; what lies in `folder` follows it to `moved_to` first.
    pub(crate) fn purge(&self) -> Result<(), StorageError> {
        let now_ms = self.clock.now_ms();
        let due: Vec<Doomed> = {
            let mut doomed = self.doomed.lock();
            let (due, waiting) = std::mem::take(&mut *doomed).into_iter().partition(|doomed| doomed.due_ms <= now_ms);
            *doomed = waiting;
            due
        };
        for Doomed { path, kind, .. } in due {
            let removed = match kind {
                DoomedKind::File => self.disk.remove_file(&path),
                DoomedKind::Folder => self.disk.remove_dir_all(&path),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("cannot remove", &path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// An error with its source, for a log line.
pub(crate) fn describe(error: &StorageError) -> String {
    match error {
        StorageError::Io { source, .. } => format!("{error}: {source}"),
        StorageError::Offline(_) | StorageError::Closed(_) => error.to_string(),
    }
}
