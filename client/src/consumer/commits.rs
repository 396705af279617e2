//! Commits: now, later with an answer, or by themselves every `auto.commit.interval.ms`.
//!
//! The part of [`Consumer`] that sends positions to the coordinator. Commits that are not waited for, those by itself and
//! before a rebalance included, go one after the other through a task of their own, so that none takes back a later one and
//! their answers come in the order in which they were made (Java tells callbacks in that order); callbacks run within `poll`,
//! `commit` and `close`. Each but that of a rebalance is sent once and only in the generation in which it was made: later, its
//! offsets may be behind those that others committed.

use std::sync::Arc;
use std::time::Duration;

use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::coordinator::Coordinator;
use super::group::Generation;
use super::{Consumer, Offsets, TopicPartition};
use crate::error::ClientError;
use crate::producer::GroupMetadata;

/// Told what came of a commit that was not waited for.
///
/// ```
/// use client::consumer::{CommitCallback, Consumer, Offsets};
///
/// fn note(consumer: &mut Consumer, offsets: Offsets) -> Result<(), client::error::ClientError> {
///     let callback: CommitCallback = Box::new(|offsets, result| println!("{offsets:?}: {result:?}"));
///     consumer.commit_offsets_async(offsets, callback)
/// }
/// ```
pub type CommitCallback = Box<dyn FnOnce(&Offsets, Result<(), ClientError>) + Send>;

/// Commits that wait at most; each takes a round trip, so that more mean a coordinator that does not answer.
const COMMITS_MAX: u64 = 1024;

/// Who wanted a commit.
enum By {
    /// The application, which may want to hear of it.
    Caller(Option<CommitCallback>),
    /// `enable.auto.commit`
    Itself,
    /// The rebalance of this attempt, which waits for it.
    Rebalance(u64),
}

struct Pending {
    offsets: Offsets,
    by: By,
    /// The generation in which it was made, or why there was none.
    made: Result<Generation, ClientError>,
}

/// Commits under way that nobody waits for.
pub(super) struct Queue {
    sender: UnboundedSender<Pending>,
    answers: UnboundedReceiver<(Pending, Result<(), ClientError>)>,
    /// How many were made so far, and how many of them are over.
    made: u64,
    over: u64,
}

impl Queue {
    fn new(group: Arc<Coordinator>, limit: Duration) -> Self {
        let (sender, mut pending) = mpsc::unbounded_channel::<Pending>();
        let (done, answers) = mpsc::unbounded_channel();
        task::spawn("offset commits", async move {
            while let Some(commit) = pending.recv().await {
                let result = match (&commit.by, &commit.made) {
                    // Nobody joins before it is over: the generation is the same in each attempt.
                    (By::Rebalance(_), _) => group.commit(&commit.offsets, limit).await,
                    (_, Ok(made)) => group.commit_once(made, &commit.offsets).await,
                    (_, Err(error)) => Err(error.clone()),
                };
                let is_gone = done.send((commit, result)).is_err();
                // Read by the next poll, which has to come soon enough to stay a member.
                group.changed.notify_one();
                if is_gone {
                    return;
                }
            }
        });
        Queue { sender, answers, made: 0, over: 0 }
    }
}

impl Consumer {
    pub(super) fn auto_commit(&mut self) {
        let (Some(_), Some(interval)) = (&self.group, self.config.auto_commit) else { return };
        let is_due = || match self.auto_again {
            Some(at) => at <= Moment::now(),
            None => self.auto_committed.elapsed() >= interval,
        };
        if self.auto_committing || !is_due() || !self.is_settled() {
            return;
        }
        (self.auto_committed, self.auto_again) = (Moment::now(), None);
        let offsets = self.partitions.consumed();
        // With as many commits waiting, one more would not be sent before the next is due.
        self.auto_committing = !offsets.is_empty() && self.queue(offsets, By::Itself).is_ok();
    }

    /// An automatic commit is over. One that failed only for now is made again soon, of what was read by then (Java:
    /// `ConsumerCoordinator.autoCommitOffsetsAsync`).
    fn auto_committed(&mut self, result: &Result<(), ClientError>) {
        self.auto_committing = false;
        if result.as_ref().is_err_and(ClientError::is_retriable) {
            self.auto_again = Some(Moment::now().after(self.config.connection.retry_backoff));
        }
    }

    /// How many commits that nobody waits for were made so far, and how many of them are over.
    pub(super) fn counted_commits(&self) -> (u64, u64) {
        self.commits.as_ref().map_or((0, 0), |queue| (queue.made, queue.over))
    }

    fn on_commit(&mut self, offsets: &Offsets) {
        self.interceptors.iter_mut().for_each(|interceptor| interceptor.on_commit(offsets));
    }

    /// Commits the positions (what the last poll brought included) and waits.
    ///
    /// # Errors
    /// Without a group, when the group has gone on without this member, or when no coordinator answers in time.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let offsets = self.partitions.consumed();
        self.commit_offsets(&offsets).await
    }

    /// Commits these offsets and waits. Those that were committed before without waiting are told of first.
    ///
    /// # Errors
    /// As [`Consumer::commit`].
    pub async fn commit_offsets(&mut self, offsets: &Offsets) -> Result<(), ClientError> {
        let (group, limit, started) = (self.coordinator()?, self.config.api_timeout, Moment::now());
        let late = || ClientError::Timeout { doing: "commits that were made before".to_owned(), limit };
        tokio::time::timeout(limit, self.drain_commits()).await.map_err(|_| late())?;
        group.commit(offsets, limit.saturating_sub(started.elapsed())).await?;
        self.on_commit(offsets);
        Ok(())
    }

    /// Commits the positions without waiting and without another try; a failure is only logged.
    ///
    /// # Errors
    /// Without a group, or when too many commits wait for an answer already.
    pub fn commit_async(&mut self) -> Result<(), ClientError> {
        let offsets = self.partitions.consumed();
        self.queue(offsets, By::Caller(None))
    }

    /// Commits these offsets without waiting and without another try. Callbacks are called in the order of the calls,
    /// by a later `poll`, `commit` or `close`.
    ///
    /// # Errors
    /// Without a group, or when too many commits wait for an answer already; the callback is not called then.
    pub fn commit_offsets_async(&mut self, offsets: Offsets, callback: CommitCallback) -> Result<(), ClientError> {
        self.queue(offsets, By::Caller(Some(callback)))
    }

    /// Commits before the rebalance of this attempt, behind what was committed before.
    pub(super) fn settle(&mut self, offsets: Offsets, attempt: u64) -> Result<(), ClientError> {
        self.queue(offsets, By::Rebalance(attempt))
    }

    fn queue(&mut self, offsets: Offsets, by: By) -> Result<(), ClientError> {
        let (group, limit) = (self.coordinator()?, self.config.api_timeout);
        if self.commits.as_ref().is_some_and(|queue| queue.sender.is_closed()) {
            self.tell_commits();
        }
        let made = group.generation();
        let queue = self.commits.get_or_insert_with(|| Queue::new(group, limit));
        if queue.made - queue.over >= COMMITS_MAX && !matches!(by, By::Rebalance(_)) {
            return Err(ClientError::State("too many commits wait for their answers"));
        }
        queue.made += 1;
        // Should the task have ended just now, the next look at its answers shows it.
        let _ = queue.sender.send(Pending { offsets, by, made });
        Ok(())
    }

    /// Tells of the commits that are over.
    pub(super) fn tell_commits(&mut self) {
        while let Some(queue) = &mut self.commits {
            match queue.answers.try_recv() {
                Ok((pending, result)) => self.tell(pending, result),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.lost_commits(),
            }
        }
    }

    /// The task of the queue has ended, as with the runtime in which the first commit was made; the next one gets another.
    fn lost_commits(&mut self) {
        let lost = self.commits.take().map_or(0, |queue| queue.made - queue.over);
        tracing::error!(commits = lost, "the task that commits offsets has ended; what became of them is not known");
        self.auto_committing = false;
        self.settled(None);
    }

    /// Waits for the commits under way and tells of them.
    pub(super) async fn drain_commits(&mut self) {
        while let Some(queue) = self.commits.as_mut().filter(|queue| queue.over < queue.made) {
            match queue.answers.recv().await {
                Some((pending, result)) => self.tell(pending, result),
                None => self.lost_commits(),
            }
        }
    }

    fn tell(&mut self, pending: Pending, result: Result<(), ClientError>) {
        if let Some(queue) = &mut self.commits {
            queue.over += 1;
        }
        if result.is_ok() {
            self.on_commit(&pending.offsets);
        }
        if matches!(pending.by, By::Itself) {
            self.auto_committed(&result);
        }
        match (pending.by, result) {
            (By::Caller(Some(callback)), result) => callback(&pending.offsets, result),
            (By::Rebalance(attempt), result) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "offsets were not committed before the rebalance");
                }
                self.settled(Some(attempt));
            }
            (_, Err(error)) => tracing::warn!(%error, "offsets were not committed"),
            (_, Ok(())) => {}
        }
    }

    /// What the group committed; partitions without a committed offset are left out.
    ///
    /// # Errors
    /// As [`Consumer::commit`].
    pub fn committed(
        &self,
        places: &[TopicPartition],
    ) -> impl Future<Output = Result<Offsets, ClientError>> + Send + 'static {
        let (group, places) = (self.coordinator(), places.to_vec());
        async move { group?.committed(&places).await }
    }

    /// Whether this member may commit now, inside a transaction or not: neither while a rebalance is under way, nor when
    /// the group has gone on without it. Nothing is sent, so that the group may know better.
    ///
    /// # Errors
    /// Without a group, or the error that a commit would end with.
    pub fn check_membership(&self) -> Result<(), ClientError> {
        self.coordinator()?.generation().map(drop)
    }

    /// Whether offsets of this member may go into a transaction now: also while the group waits for its members to join
    /// again, which may take longer than a transaction. The generation may end meanwhile, and then the group refuses.
    ///
    /// # Errors
    /// As [`Consumer::check_membership`].
    pub fn check_transaction(&self) -> Result<(), ClientError> {
        self.coordinator()?.check_transaction()
    }

    /// The group and this member of it as of the last join that a poll completed, for
    /// [`Producer::send_offsets_to_transaction`](crate::producer::Producer): a member that is out of the group shows what
    /// it was, and is refused.
    ///
    /// # Errors
    /// Without a group.
    pub fn group_metadata(&self) -> Result<GroupMetadata, ClientError> {
        Ok(self.coordinator()?.metadata())
    }
}
