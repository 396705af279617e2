//! openraft's log on our own partition log: `__cluster_metadata-0` in the first log directory. One entry is one
//! batch; an entry is acknowledged after its fsync. Vote and purge mark lie beside it in `raft-state`.
//!
//! Called by openraft only. Files are synced and replaced on threads that may block.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;
use std::sync::Arc;

use millstream_base_env::{Clock, Disk};
use millstream_broker_log::{AppendError, Isolation, LogDir, MinimumOne, PartitionLog, ReadError, ReadRequest};
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogReader, StorageIOError, Vote};

use crate::batch;
use crate::raft_types::{RaftEntry, RaftLogId, RaftStorageError, Types, decode_entry, encode_entry};
use crate::room::{self, Room};
use crate::state_file::HardState;

/// Bytes read at once when entries are read back.
const READ_BYTES: usize = 1024 * 1024;

/// The log of the metadata quorum; clones share it.
#[derive(Clone)]
pub(crate) struct RaftLog {
    shared: Arc<Shared>,
}

struct Shared {
    log: Arc<PartitionLog>,
    log_dir: Arc<LogDir>,
    disk: Disk,
    clock: Clock,
    state_path: PathBuf,
    state: tokio::sync::Mutex<HardState>,
    room: Room,
}

impl RaftLog {
    pub(crate) fn new(
        log: Arc<PartitionLog>,
        log_dir: Arc<LogDir>,
        disk: Disk,
        clock: Clock,
        state_path: PathBuf,
        state: HardState,
        room: Room,
    ) -> Self {
        let state = tokio::sync::Mutex::new(state);
        RaftLog { shared: Arc::new(Shared { log, log_dir, disk, clock, state_path, state, room }) }
    }

    /// Offset of the next entry.
    pub(crate) fn log_end_offset(&self) -> i64 {
        self.shared.log.log_end_offset()
    }

    /// Reads entries `start..end`, fewer when the log ends before.
    fn read(&self, start: u64, end: u64) -> Result<Vec<RaftEntry>, String> {
        let log = &self.shared.log;
        let mut next = (start as i64).max(log.log_start_offset());
        let end = (end.min(i64::MAX as u64) as i64).min(log.log_end_offset());
        let mut entries = Vec::new();
        while next < end {
            let request = ReadRequest {
                offset: next,
                bytes_max: READ_BYTES,
                minimum_one: MinimumOne::Yes,
                isolation: Isolation::LogEnd,
            };
            let slice = log.read(&request).map_err(|error| error.to_string())?.slice;
            let slice = slice.ok_or_else(|| format!("entry {next} is missing"))?;
            let mut bytes = vec![0; slice.length];
            let read = slice.file.read_at(&mut bytes, slice.position).map_err(|error| error.to_string())?;
            let before = next;
            next = decode_batches(&bytes[..read], next, end, &mut entries)?;
            if next == before {
                return Err(format!("entry {next} cannot be read"));
            }
        }
        Ok(entries)
    }

    async fn change_state(&self, change: impl FnOnce(&mut HardState)) -> Result<(), std::io::Error> {
        let mut state = self.shared.state.lock().await;
        let mut next = state.clone();
        change(&mut next);
        if next == *state {
            return Ok(());
        }
        let save = || {
            let (disk, path, content) = (self.shared.disk.clone(), self.shared.state_path.clone(), next.clone());
            blocking(move || content.save(&disk, &path).map_err(room::of_file))
        };
        self.shared.room.wait(save).await?;
        *state = next;
        Ok(())
    }

    fn append_batches(&self, entries: &[RaftEntry]) -> Result<i64, AppendError> {
        let log = &self.shared.log;
        let now_ms = self.shared.clock.now_ms();
        let mut bytes = Vec::new();
        let mut term = 0;
        for entry in entries {
            let index = entry.log_id.index as i64;
            if bytes.is_empty() && index != log.log_end_offset() {
                // Only after a snapshot was installed: the log restarts behind it.
                log.truncate_fully(index)?;
            }
            term = entry.log_id.leader_id.term as i32;
            batch::write(index, term, now_ms, &encode_entry(entry), &mut bytes);
        }
        log.append_as_follower(&bytes, term)?;
        Ok(log.log_end_offset())
    }
}

/// Decodes the whole batches in `bytes` that lie in `next..end`; answers the offset after the last one.
fn decode_batches(mut bytes: &[u8], mut next: i64, end: i64, entries: &mut Vec<RaftEntry>) -> Result<i64, String> {
    while next < end {
        let Some(size) = batch::size(bytes).filter(|size| *size <= bytes.len()) else { break };
        let read = batch::read(&bytes[..size])?;
        bytes = &bytes[size..];
        if read.offset < next {
            continue;
        }
        if read.offset != next {
            return Err(format!("entry {next} is missing, {} follows", read.offset));
        }
        entries.push(decode_entry(next as u64, read.leader_epoch as u64, read.value)?);
        next += 1;
    }
    Ok(next)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, std::io::Error> + Send + 'static,
) -> Result<T, std::io::Error> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

fn failed(subject: ErrorSubject<u64>, verb: ErrorVerb, error: impl std::fmt::Display) -> RaftStorageError {
    let cause = openraft::AnyError::error(error.to_string());
    StorageIOError::new(subject, verb, cause).into()
}

impl RaftLogReader<Types> for RaftLog {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<RaftEntry>, RaftStorageError> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end).map_err(|error| failed(ErrorSubject::Logs, ErrorVerb::Read, error))
    }
}

impl RaftLogStorage<Types> for RaftLog {
    type LogReader = RaftLog;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, RaftStorageError> {
        let purged = self.shared.state.lock().await.purged;
        let end = self.shared.log.log_end_offset();
        let last = match end.checked_sub(1) {
            Some(last) if last >= self.shared.log.log_start_offset() => {
                let entries = self.try_get_log_entries(last as u64..=last as u64).await?;
                entries.last().map(|entry| entry.log_id)
            }
            _ => None,
        };
        Ok(LogState { last_purged_log_id: purged, last_log_id: last.max(purged) })
    }

    async fn get_log_reader(&mut self) -> RaftLog {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), RaftStorageError> {
        self.change_state(|state| state.vote = Some(*vote))
            .await
            .map_err(|error| failed(ErrorSubject::Vote, ErrorVerb::Write, error))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, RaftStorageError> {
        Ok(self.shared.state.lock().await.vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), RaftStorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<RaftEntry> = entries.into_iter().collect();
        let append = || std::future::ready(self.append_batches(&entries).map_err(room::of_log));
        let appended = self.shared.room.wait(append).await;
        let end = appended.map_err(|error| failed(ErrorSubject::Logs, ErrorVerb::Write, error))?;
        let log = self.shared.log.clone();
        tokio::task::spawn_blocking(move || {
            let flushed = log.flush_to(end).map_err(room::of_storage);
            if flushed.is_ok() {
                log.raise_high_watermark(end);
            }
            callback.log_io_completed(flushed);
        });
        Ok(())
    }

    async fn truncate(&mut self, log_id: RaftLogId) -> Result<(), RaftStorageError> {
        let log = self.shared.log.clone();
        blocking(move || log.truncate_to(log_id.index as i64).map_err(std::io::Error::other))
            .await
            .map_err(|error| failed(ErrorSubject::Logs, ErrorVerb::Delete, error))?;
        Ok(())
    }

    async fn purge(&mut self, log_id: RaftLogId) -> Result<(), RaftStorageError> {
        let error = |error| failed(ErrorSubject::Logs, ErrorVerb::Delete, error);
        // The mark first: entries below it that are still there are ignored, entries missing above it are not.
        self.change_state(|state| state.purged = state.purged.max(Some(log_id))).await.map_err(error)?;
        let purge = || {
            let (log, log_dir) = (self.shared.log.clone(), self.shared.log_dir.clone());
            blocking(move || purge_to(&log, &log_dir, log_id.index as i64 + 1))
        };
        self.shared.room.wait(purge).await.map_err(error)
    }
}

/// Removes what lies before `first`.
fn purge_to(log: &PartitionLog, log_dir: &LogDir, first: i64) -> Result<(), std::io::Error> {
    if first > log.log_end_offset() {
        return log.truncate_fully(first).map_err(room::of_storage);
    }
    // What stands in the active segment can only go once it is no longer active.
    log.roll().map_err(room::of_storage)?;
    log.delete_before(first).map_err(|error| match error {
        ReadError::Storage(error) => room::of_storage(error),
        other => std::io::Error::other(other),
    })?;
    log.apply_retention().map_err(room::of_storage)?;
    log_dir.purge().map_err(room::of_storage)
}
