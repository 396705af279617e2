//! What a thread decides, apart from doing it: what follows an error, how long to wait, where a restore ends, what may be
//! deleted. Called by `thread.rs` and its parts. Pure: no client, no store, no clock.

use std::time::Duration;

use client::TopicPartition;
use client::error::ClientError;
use millstream_protocol::error_code::ErrorCode;

use super::error::{StreamsError, is_migrated, is_replaced};
use crate::assign::TaskId;
use crate::config::Guarantee;
use crate::state::StateError;
use crate::task::errors::OnProduction;
use crate::task::{LinkError, ProductionContext, ProductionFault, Response, TaskError};

/// What follows when a round failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Tasks are dropped without a commit and the group is joined anew: they have another owner, or what was processed
    /// since the last commit has to be processed again (Java: `TaskMigratedException`, and `TaskCorruptedException` where
    /// the state itself is sound).
    Rejoin(String),
    /// The state of this task is deleted and restored (Java: `TaskCorruptedException`).
    Wipe(TaskId),
    /// The next round does again what this one could not do.
    Again,
    /// The thread ends, and no other one takes its place, as a member of another process has it.
    Replaced,
    /// The thread ends.
    End,
}

/// Whether `task.timeout.ms` has passed since the first of the errors in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Left,
    Over,
}

/// What follows an error; `sent` is what last went wrong with a send.
pub(super) fn verdict(error: &StreamsError, sent: Option<&ClientError>, patience: Patience) -> Verdict {
    if let Some(id) = corrupted(error) {
        return Verdict::Wipe(id);
    }
    let in_record = matches!(error, StreamsError::Task { error: TaskError::Send(_), .. });
    let cause = match error {
        StreamsError::Migrated(why) => return Verdict::Rejoin((*why).to_owned()),
        StreamsError::Client(error) => Some(error),
        _ if in_record => sent,
        _ => None,
    };
    match cause {
        Some(cause) if is_replaced(cause) => Verdict::Replaced,
        Some(cause) if is_migrated(cause) => Verdict::Rejoin(cause.to_string()),
        Some(cause) if cause.is_retriable() && patience == Patience::Left => {
            // Half a record is no place to go on from.
            if in_record { Verdict::Rejoin(cause.to_string()) } else { Verdict::Again }
        }
        _ => Verdict::End,
    }
}

/// The task whose state is damaged.
fn corrupted(error: &StreamsError) -> Option<TaskId> {
    match error {
        StreamsError::State { id, error: StateError::Corrupt { .. } }
        | StreamsError::Task { id, error: TaskError::State(StateError::Corrupt { .. }), .. }
        | StreamsError::Link { id, error: LinkError::State(StateError::Corrupt { .. }) } => Some(*id),
        _ => None,
    }
}

/// What it means that records could not be written in time: they are told of once, and come again only when what they were
/// made of is read again (Java: `RecordCollectorImpl.recordSendError`, where a timeout is a `TaskCorruptedException`).
///
/// What a broker refused is for the handler to decide about, where there is one: the records of that batch are left out.
pub(super) fn unwritten(error: ClientError, handler: Option<&OnProduction>) -> Result<(), StreamsError> {
    if error.is_retriable() {
        tracing::warn!(%error, "records could not be written");
        return Err(StreamsError::Migrated("records could not be written in time"));
    }
    let (Some(handler), Some((topic, partition))) = (handler, refused(&error)) else { return Err(error.into()) };
    let cause = error.to_string();
    let (partition, fault) = (Some(partition), ProductionFault::Refused);
    let about = ProductionContext { topic, partition, record: None, fault, place: None, cause: &cause };
    match handler(&about) {
        Response::Continue => {
            tracing::warn!(cause, "records that a broker refused are left out");
            Ok(())
        }
        Response::Fail => Err(error.into()),
    }
}

/// The partition whose broker refused records for what they are. Errors of the application as a whole are none of these
/// (Java: `RecordCollectorImpl.isFatalException`).
fn refused(error: &ClientError) -> Option<(&str, i32)> {
    let fatal = [
        ErrorCode::TopicAuthorizationFailed,
        ErrorCode::ClusterAuthorizationFailed,
        ErrorCode::TransactionalIdAuthorizationFailed,
        ErrorCode::InvalidTopicException,
        ErrorCode::SecurityDisabled,
        ErrorCode::UnknownServerError,
    ];
    match error {
        ClientError::Partition { topic, partition, .. } => {
            let is_fatal = error.code().is_none_or(|code| fatal.contains(&code));
            (!is_fatal && !is_migrated(error)).then_some((topic, *partition))
        }
        _ => None,
    }
}

/// What a commit that failed means: offsets that are not committed in time are committed later, but a transaction is
/// over, and what it wrote has to be written again (Java: `TaskExecutor.commitOffsetsOrTransaction`).
pub(super) fn uncommitted(error: ClientError, guarantee: Guarantee) -> StreamsError {
    if guarantee == Guarantee::ExactlyOnce && error.is_retriable() {
        tracing::warn!(%error, "a transaction could not be committed");
        return StreamsError::Migrated("a transaction could not be committed in time");
    }
    error.into()
}

/// What it means that a question about one task was not answered: the others work on, until `task.timeout.ms` is over for
/// this one (Java: `TaskManager.maybeInitTaskTimeoutOrThrow`).
pub(super) fn unanswered(id: TaskId, error: ClientError, patience: Patience) -> Result<(), StreamsError> {
    if !error.is_retriable() {
        return Err(error.into());
    }
    match patience {
        Patience::Over => Err(StreamsError::Late { id, error }),
        Patience::Left => Ok(()),
    }
}

/// Whether state that was deleted and restored is damaged again so soon that restoring it is no cure.
pub(super) fn is_hopeless(wiped: Option<Duration>, task_timeout: Duration) -> bool {
    wiped.is_some_and(|ago| ago < task_timeout)
}

/// What follows when the folder of a task is still held by somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folder {
    /// Another thread of this process closes the task: that takes a moment.
    Wait,
    /// That takes long: somebody should know.
    Warn,
    /// It will not end.
    Over,
}

/// A task is closed, and its folder free, within this time.
const CLOSES: Duration = Duration::from_secs(5);

/// What follows when the folder of a task has been held for so long.
pub(super) fn folder(waited: Duration, task_timeout: Duration) -> Folder {
    if waited >= task_timeout {
        Folder::Over
    } else if waited >= CLOSES {
        Folder::Warn
    } else {
        Folder::Wait
    }
}

/// Which commits are possible while the group rebalances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    /// None: the next generation takes them.
    Settled,
    /// Those of a transaction while members are still joining. The generation may end just then, and its tasks with it.
    Joining,
}

/// Whether a transaction of that age can wait for the end of a rebalance: half of its time is kept for the commit itself. A
/// member that does not come back holds a rebalance up for its whole session, which is longer than a transaction may be.
pub(super) fn membership(age: Option<Duration>, timeout: Option<Duration>) -> Membership {
    match (age, timeout) {
        (Some(age), Some(timeout)) if age >= timeout / 2 => Membership::Joining,
        _ => Membership::Settled,
    }
}

/// What a poll has to look at before it waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// Records wait, or tasks that run later are being restored.
    pub busy: bool,
    /// The last look at the changelogs of copies brought something.
    pub copied: bool,
    /// A task's folder is still held by another thread, or the cluster has not answered what was asked of a task.
    pub missing: bool,
    /// Until the next commit, if there is anything to commit.
    pub commit: Option<Duration>,
}

/// How often it is tried to open the folder of a task that another thread still has.
const FOLDER: Duration = Duration::from_millis(20);

/// How long a poll waits: copies at the end of their changelogs wait for nothing.
pub(super) fn wait(waits: Waits, poll: Duration) -> Duration {
    if waits.busy || waits.copied {
        return Duration::ZERO;
    }
    let limits = [waits.commit, waits.missing.then_some(FOLDER)];
    limits.into_iter().flatten().fold(poll, Duration::min)
}

/// After a commit that had to wait for the end of a rebalance.
pub(super) const DEFERRED: Duration = Duration::from_millis(50);

/// How long until the next commit is due.
pub(super) fn commit_in(since: Duration, interval: Duration, deferred: Option<Duration>) -> Duration {
    let due = interval.saturating_sub(since);
    deferred.map_or(due, |ago| due.max(DEFERRED.saturating_sub(ago)))
}

/// Where the restore of a store ends. What was not processed yet of a source topic belongs to the task, not to its
/// restore, nor to a copy of the task.
pub(super) fn restore_end(is_own: bool, end: i64, committed: Option<i64>) -> i64 {
    if is_own { end } else { committed.unwrap_or(0).min(end) }
}

/// Whether a changelog is read on from where the consumer is: `known` is None of one that is not read yet, and
/// `Some(None)` while its beginning is looked up. A store that was made anew begins anew, and a copy that had to stop
/// before what was fetched comes back to it.
pub(super) fn reads_on(known: Option<Option<i64>>, position: i64) -> bool {
    match known {
        None => false,
        Some(None) => position == 0,
        Some(Some(known)) => known == position,
    }
}

/// Why a store cannot have come from the changelog as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// It contains more than the changelog has: the topic was made anew, or lost its last records.
    Ahead { position: i64, end: i64 },
    /// Records that it lacks are gone.
    Behind { position: i64, first: i64 },
}

impl Gap {
    /// What is lost of a store, and where to look.
    pub fn describe(self, store: &str, changelog: &TopicPartition) -> String {
        match self {
            Gap::Ahead { position, end } => format!(
                "store {store} contains its changelog {changelog} up to offset {position}, and that ends at {end}: \
                 updates that only the store had are gone for good. Look whether the topic was deleted and made anew, or \
                 lost records in an unclean leader election (unclean.leader.election.enable, min.insync.replicas)"
            ),
            Gap::Behind { position, first } => format!(
                "store {store} contains its changelog {changelog} up to offset {position}, and that begins at {first}: \
                 updates between the two may be missing in the store as it is"
            ),
        }
    }
}

/// Whether a store that contains its changelog up to `position` can be restored from there; it has the offsets from
/// `first` to `end`. Records before the first one were deleted in order and belong to no store that begins empty.
pub(super) fn gap(position: i64, first: Option<i64>, end: i64) -> Option<Gap> {
    match first {
        _ if position > end => Some(Gap::Ahead { position, end }),
        Some(first) if 0 < position && position < first => Some(Gap::Behind { position, first }),
        _ => None,
    }
}

/// How many records a task processes before the others have their turn, and how often the clock is asked meanwhile: one
/// look for many quick records, one a record for slow ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    stride: usize,
    /// How long each record is still watched, after a slow one.
    watched: Duration,
}

/// Records between two looks at the clock, at most: where all of a sudden each takes a second, this many are late.
const STRIDE_MAX: usize = 16;
/// Records may take this long between two looks. More than a turn of another process on the same core, which says nothing
/// about the records.
const STRIDE_TIME: Duration = Duration::from_millis(20);
/// How long each record is watched after one that took longer.
const WATCH: Duration = Duration::from_secs(1);

impl Pace {
    pub fn new() -> Pace {
        Pace { stride: 1, watched: Duration::ZERO }
    }

    /// Records until the next look.
    pub fn stride(self) -> usize {
        self.stride
    }

    /// That many records took so long.
    pub fn took(&mut self, time: Duration) {
        self.watched = if time > STRIDE_TIME { WATCH } else { self.watched.saturating_sub(time) };
        self.stride = if self.watched.is_zero() { (self.stride * 2).min(STRIDE_MAX) } else { 1 };
    }
}

/// A turn is never shorter than this, also where a commit is overdue.
const TURN_MIN: Duration = Duration::from_millis(5);

/// How long all tasks may process before the thread commits and polls again: half of what the group and the transaction
/// coordinator would wait (Java: `StreamThread.runOnce`).
pub(super) fn turn(until_commit: Duration, poll_interval_max: Duration, transaction: Option<Duration>) -> Duration {
    let patience = transaction.map_or(poll_interval_max, |limit| limit.min(poll_interval_max)) / 2;
    until_commit.min(patience).max(TURN_MIN)
}

#[cfg(test)]
mod tests;
