//! The commit of a thread: all its tasks at once. The order is stated here and nowhere else.
//!
//! 1. Caches are flushed: what they hold goes on to the nodes below and may be sent.
//! 2. At least once: the producer is flushed, and what could not be written ends the thread; then offsets are committed.
//!    Exactly once: offsets go into the transaction of what was sent, which is committed (KIP-447).
//! 3. Stores make their rows durable with the offsets of their changelogs, which are known only now.
//!
//! An offset that is committed is that of the next record to process, or the consumer's position where none waits: a
//! transaction marker at the end of a partition would be left over else (Java: `StreamTask.committableOffsetsAndMetadata`).
//!
//! A commit waits for the end of a rebalance: the generation that begins takes no offsets of the one before. A transaction
//! that would grow too old meanwhile is committed while members are still joining.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::TopicPartition;
use client::consumer::{OffsetAndMetadata, Offsets};
use client::error::ClientError;
use millstream_base_env::clock::Moment;
use millstream_base_env::{Clock, task};
use millstream_protocol::error_code::ErrorCode;

use super::collect::Transaction;
use super::decide::{self, Membership};
use super::error::StreamsError;
use super::held::{Held, Role};
use super::metrics::Committed;
use super::thread::StreamThread;
use crate::config::Guarantee;

/// Rows of all threads that wait for a commit, in bytes, before it is made without waiting for its time.
const UNCOMMITTED_MAX: usize = 64 << 20;

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    Done,
    /// The group rebalances: it is tried again after that.
    Deferred,
}

impl StreamThread {
    pub(super) fn is_commit_needed(&self) -> bool {
        self.tasks.values().any(|held| held.role == Role::Active && held.task.is_commit_needed())
    }

    /// Commits when it is time to, or when a processor asked for it.
    pub(super) fn maybe_commit(&mut self) -> Result<(), StreamsError> {
        let mut asked = false;
        for held in self.tasks.values_mut().filter(|held| held.role == Role::Active) {
            asked |= held.task.is_commit_needed() && held.task.take_commit_request();
        }
        // What a commit waits for is no reason to run out of memory (4.4: `statestore.uncommitted.max.bytes`).
        let waiting: usize = self.tasks.values().map(Held::uncommitted_bytes).sum();
        let threads = self.common.thread_count.load(Ordering::Relaxed).max(1);
        asked |= waiting > UNCOMMITTED_MAX / threads && self.deferred.is_none();
        if !asked && !self.commit_in().is_zero() {
            return Ok(());
        }
        if self.commit()? == Commit::Done {
            self.maybe_purge();
        }
        Ok(())
    }

    /// How long until the next commit is due.
    pub(super) fn commit_in(&self) -> Duration {
        let deferred = self.deferred.map(|at| at.elapsed());
        decide::commit_in(self.committed.elapsed(), self.common.settings.commit_interval, deferred)
    }

    /// Commits what was processed since the last time.
    pub(super) fn commit(&mut self) -> Result<Commit, StreamsError> {
        let runs = |held: &&mut Held| held.role == Role::Active && !held.task.is_commit_needed();
        for held in self.tasks.values_mut().filter(runs) {
            held.write_kept().map_err(|error| StreamsError::State { id: held.id, error })?;
        }
        let done = self.try_commit()?;
        match done {
            Commit::Done => (self.committed, self.deferred) = (Moment::now(), None),
            Commit::Deferred => self.deferred = Some(Moment::now()),
        }
        Ok(done)
    }

    fn try_commit(&mut self) -> Result<Commit, StreamsError> {
        let needed = self.is_commit_needed() || self.output.transaction.get() != Transaction::None;
        if !needed && self.tasks.values().all(|held| held.role == Role::Active) {
            return Ok(Commit::Done);
        }
        if needed && self.is_rebalancing(self.check_membership())? {
            return Ok(Commit::Deferred);
        }
        let (started, mut tasks) = (Moment::now(), 0);
        for held in self.tasks.values_mut().filter(|held| held.role == Role::Active && held.task.is_commit_needed()) {
            tasks += 1;
            held.task.flush().map_err(|error| StreamsError::Task { id: held.id, place: None, error })?;
        }
        let flushing = started.elapsed();
        if self.output.guarantee == Guarantee::AtLeastOnce {
            let failures = self.handle.block_on(self.output.producer().flush_each())?;
            let handler = self.settings.on_production.as_deref();
            failures.into_iter().try_for_each(|error| decide::unwritten(error, handler))?;
        }
        let offsets = self.offsets();
        let sent = self.send_offsets(&offsets);
        if self.is_rebalancing(sent)? {
            return Ok(Commit::Deferred);
        }
        self.output.committed();
        let producer = self.output.producer();
        for held in self.tasks.values_mut().filter(|held| held.role != Role::Active || held.task.is_commit_needed()) {
            if held.role == Role::Active {
                for log in held.logs.iter_mut().filter(|log| log.is_own) {
                    let end = producer.end_of(&log.place.topic, log.place.partition);
                    log.position = log.position.max(end.unwrap_or(0));
                }
                held.task.committed();
                held.committed(&offsets);
            }
            held.commit_stores().map_err(|error| StreamsError::State { id: held.id, error })?;
        }
        if tasks > 0 {
            self.measured.committed = Some(Committed { took: started.elapsed(), flushing, tasks });
        }
        self.say();
        Ok(Commit::Done)
    }

    fn check_membership(&self) -> Result<(), ClientError> {
        match decide::membership(self.output.transaction_age(), self.transaction_timeout) {
            Membership::Settled => self.consumer.check_membership(),
            Membership::Joining => self.consumer.check_transaction(),
        }
    }

    /// Whether the group rebalances: this generation takes no commit, and the next one does.
    fn is_rebalancing(&self, sent: Result<(), ClientError>) -> Result<bool, StreamsError> {
        match sent {
            Err(error) if error.code() == Some(ErrorCode::RebalanceInProgress) => {
                tracing::debug!(thread = self.name, "the commit waits for the end of the rebalance");
                Ok(true)
            }
            Err(error) => Err(decide::uncommitted(error, self.output.guarantee)),
            Ok(()) => Ok(false),
        }
    }

    fn offsets(&self) -> Offsets {
        let mut offsets = Offsets::new();
        let active = |held: &&Held| held.role == Role::Active && held.task.is_commit_needed();
        for held in self.tasks.values().filter(active) {
            for (input, next) in held.task.offsets() {
                let read = &held.task.inputs()[input];
                // The coordinator takes no offset of a topic that was deleted: all others would wait for it.
                if !self.consumer.reads(&read.topic) {
                    continue;
                }
                let place = TopicPartition::new(&read.topic, read.partition);
                // The consumer has forgotten the position of a partition that is revoked.
                let behind = held.task.last_offset(input).map(|last| last + 1);
                let Some(offset) = next.or_else(|| self.consumer.known_position(&place)).or(behind) else {
                    continue;
                };
                let metadata = held.task.metadata(input).encode();
                offsets.insert(place, OffsetAndMetadata { offset, leader_epoch: -1, metadata });
            }
        }
        offsets
    }

    fn send_offsets(&mut self, offsets: &Offsets) -> Result<(), ClientError> {
        let producer = self.output.producer();
        match self.output.guarantee {
            Guarantee::AtLeastOnce => {
                if offsets.is_empty() {
                    return Ok(());
                }
                self.handle.block_on(self.consumer.commit_offsets(offsets))
            }
            Guarantee::ExactlyOnce => {
                if offsets.is_empty() && self.output.transaction.get() == Transaction::None {
                    return Ok(());
                }
                self.output.begin()?;
                let group = self.consumer.group_metadata()?;
                self.handle.block_on(producer.send_offsets_to_transaction(offsets, &group))?;
                self.handle.block_on(producer.commit_transaction())?;
                self.output.transaction.set(Transaction::None);
                Ok(())
            }
        }
    }

    /// Deletes what was consumed of the application's own topics between sub-topologies; user topics never.
    fn maybe_purge(&mut self) {
        if self.purged.elapsed() < self.common.settings.purge_interval {
            return;
        }
        self.purged = Moment::now();
        self.common.disk.clean_up(Clock::Real.now_ms(), self.common.settings.cleanup_delay);
        let (topology, application) = (&self.common.shared.topology, &self.common.settings.application_id);
        let own: Vec<String> =
            topology.repartition_topics().iter().map(|topic| topology.whole_name(application, &topic.name)).collect();
        let mut below = BTreeMap::new();
        for held in self.tasks.values().filter(|held| held.role == Role::Active) {
            // What was processed and not committed may have to be read again.
            let consumed = held.committed.iter().filter(|(place, _)| own.contains(&place.topic));
            below.extend(consumed.map(|(place, offset)| (place.clone(), *offset)));
        }
        if below.is_empty() {
            return;
        }
        let admin = self.common.shared.admin.clone().with_timeout(Duration::from_secs(30));
        task::spawn("repartition purge", async move {
            if let Err(error) = admin.delete_records(&below).await {
                tracing::debug!(%error, "consumed records were not deleted");
            }
        });
    }
}
