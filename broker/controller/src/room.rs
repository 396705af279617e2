//! A full disk holds the metadata log up and ends nothing: what goes there is tried again until it fits.
//!
//! openraft ends for good with the first error of its storage, and ENOSPC passes. Called by raft_log.rs and snapshot.rs.
//! Never here: any other error.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream_base_env::task;
use millstream_broker_log::{AppendError, StorageError};
use tokio::sync::watch;

use crate::state_file::StateFileError;

/// How often it is tried.
const PAUSE: Duration = Duration::from_millis(100);

/// Waiting for room, which ends with the quorum. Clones share the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    ended: Arc<AtomicBool>,
    /// How many writes wait for room.
    waiting: watch::Sender<usize>,
}

/// One write that waits.
struct Waits<'a>(&'a watch::Sender<usize>);

impl<'a> Waits<'a> {
    fn of(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|count| *count += 1);
        Waits(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Room {
    /// From now on a full disk is an error like any other.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Completes when something has waited for room for `time` on end.
    pub(crate) async fn lacking_for(&self, time: Duration) {
        let mut waiting = self.waiting.subscribe();
        loop {
            // An error would mean that the sender is gone, which this holds.
            let _waits = waiting.wait_for(|count| *count > 0).await.is_ok();
            if tokio::time::timeout(time, waiting.wait_for(|count| *count == 0)).await.is_err() {
                return;
            }
        }
    }

    /// Attempts until the disk is not full.
    ///
    /// # Errors
    /// The attempt's own, unless the disk is full.
    pub(crate) async fn wait<T, F>(&self, mut attempt: impl FnMut() -> F) -> io::Result<T>
    where
        F: Future<Output = io::Result<T>>,
    {
        let mut waits = None;
        loop {
            match attempt().await {
                Err(error) if is_full(&error) && !self.ended.load(Ordering::Acquire) => {
                    if waits.is_none() {
                        tracing::warn!(%error, "the disk is full; changes of metadata wait for room");
                        waits = Some(Waits::of(&self.waiting));
                    }
                    task::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The log's error in the form that openraft takes, cause included.
pub(crate) fn of_log(error: AppendError) -> io::Error {
    match error {
        AppendError::Storage(error) => of_storage(error),
        other => io::Error::other(other),
    }
}

/// The same of an error of files.
pub(crate) fn of_storage(error: StorageError) -> io::Error {
    match &error {
        StorageError::Io { source, .. } => io::Error::new(source.kind(), format!("{error}: {source}")),
        StorageError::Offline(_) | StorageError::Closed(_) => io::Error::other(error),
    }
}

/// The same of a small file.
pub(crate) fn of_file(error: StateFileError) -> io::Error {
    match &error {
        StateFileError::Io { source, .. } => io::Error::new(source.kind(), format!("{error}: {source}")),
        StateFileError::Damaged { .. } => io::Error::other(error),
    }
}
