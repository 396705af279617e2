//! What goes into a coordinator shard and what comes out of it: the one form that groups and transactions share.
//!
//! A shard is the state of one partition of `__consumer_offsets` or `__transaction_state`. Its runtime
//! (broker/server `coord/shard.rs`) replays the log into it, then hands it one [`Event`] after another and
//! carries out the [`Effects`]. The rule that every machine keeps: state that outlives a restart changes only by
//! records that were appended, so replaying the log gives the same state; and every token asked is answered
//! exactly once. Nothing here waits, reads a clock or draws a random number: times and ids come with the events.

use bytes::Bytes;

/// Names one request put to a shard; it is answered exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Names one append that a shard asked for; it comes back in [`Event::Appended`] or [`Event::AppendFailed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppendToken(pub u64);

/// What happens to a shard.
#[derive(Debug)]
pub enum Event<Q> {
    /// A handler asks. The answer leaves through [`Effects::reply`], in this step or a later one.
    Ask {
        /// To be answered.
        token: Token,
        /// The question.
        request: Q,
    },
    /// The append passed the high watermark.
    Appended {
        /// The append.
        token: AppendToken,
        /// Offset of its first record.
        base_offset: i64,
    },
    /// The append did not happen, or will never be committed here.
    AppendFailed {
        /// The append.
        token: AppendToken,
        /// Why.
        error: AppendError,
    },
    /// The time asked for by [`Machine::next_wakeup`] has come (or gone by).
    Tick,
    /// Another node leads the partition from now on: answer all that is parked. The machine is dropped after it.
    Unload,
}

/// Why an append failed, as far as it matters to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// This node does not lead the partition any more.
    #[error("not the leader of the partition")]
    NotLeader,
    /// The partition is gone.
    #[error("the partition does not exist")]
    UnknownPartition,
    /// Fewer replicas in sync than `min.insync.replicas`.
    #[error("not enough replicas in sync")]
    NotEnoughReplicas,
    /// The replicas did not follow in time.
    #[error("not replicated in time")]
    TimedOut,
    /// The log directory is full or broken.
    #[error("the log directory failed")]
    Storage,
    /// The batch is above `max.message.bytes` or the segment size.
    #[error("the batch is too large for the topic")]
    TooLarge,
    /// A marker under an epoch older than one written before.
    #[error("the coordinator epoch is fenced")]
    CoordinatorFenced,
    /// A marker or batch under an older producer epoch.
    #[error("the producer epoch is fenced")]
    ProducerFenced,
    /// A record of a transaction that is not open (KIP-890).
    #[error("the transaction is not open in the partition")]
    InvalidTxnState,
    /// Anything else.
    #[error("the append was refused")]
    Other,
}

/// One batch to append to the shard's own partition.
#[derive(Debug)]
pub struct Append {
    /// Comes back with the outcome.
    pub token: AppendToken,
    /// A whole batch v2 (see [`crate::batch::BatchBuilder`]).
    pub batch: Bytes,
    /// What the log must know of it beside its bytes.
    pub nature: Nature,
}

/// See [`Append::nature`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Records that belong to no transaction.
    Data,
    /// Records of a transaction.
    Transactional {
        /// The log's own name for the verification that was made (KIP-890), 0 for none needed.
        verification: u64,
    },
    /// The marker of a transaction.
    Marker {
        /// Version of the transaction protocol (0, 1, 2).
        transaction_version: i16,
    },
}

/// What a step wants done. Reused from step to step: the runtime drains it.
#[derive(Debug)]
pub struct Effects<M: Machine + ?Sized> {
    /// To append, in this order.
    pub appends: Vec<Append>,
    /// To answer, in this order.
    pub replies: Vec<(Token, M::Response)>,
    /// Work outside of the shard (markers to other partitions, producer id blocks); its outcome returns as an
    /// [`Event::Ask`] of the runtime's own.
    pub commands: Vec<M::Command>,
}

impl<M: Machine + ?Sized> Default for Effects<M> {
    fn default() -> Self {
        Effects { appends: Vec::new(), replies: Vec::new(), commands: Vec::new() }
    }
}

impl<M: Machine + ?Sized> Effects<M> {
    /// Answers `token`.
    pub fn reply(&mut self, token: Token, response: M::Response) {
        self.replies.push((token, response));
    }
    /// Appends a batch of data.
    pub fn append(&mut self, token: AppendToken, batch: Bytes) {
        self.appends.push(Append { token, batch, nature: Nature::Data });
    }
    /// Whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.replies.is_empty() && self.commands.is_empty()
    }
}

/// A record of the shard's log, on replay.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub timestamp: i64,
    /// Key bytes; the first two are the record type.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The producer when the batch is transactional, else -1.
    pub producer_id: i64,
    /// Its epoch, else -1.
    pub producer_epoch: i16,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionResult {
    /// Its records count.
    Commit,
    /// Its records never happened.
    Abort,
}

/// The time of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the Unix epoch: what records and clients are told, and how old what they say is.
    pub wall_ms: i64,
    /// Milliseconds of a clock that nobody sets: every deadline of a session, a phase or a retry
    /// (`SystemTimer` counts by `Time.hiResClockMs`).
    pub steady_ms: i64,
}

/// A pure state machine over the records of one coordinator partition.
pub trait Machine: Send + 'static {
    /// What handlers ask.
    type Request: Send;
    /// What they get.
    type Response: Send;
    /// Work for the outside; an empty enum where there is none.
    type Command: Send;

    /// A record of the log, in order, before the first step. Unknown record types are skipped; bytes that do
    /// not decode are skipped and counted, never fatal.
    fn replay(&mut self, record: Replayed<'_>);
    /// A transaction marker of the log.
    fn replay_marker(&mut self, producer_id: i64, producer_epoch: i16, result: TransactionResult);
    /// Replay has reached the high watermark: timers start, interrupted work is taken up. `leader_epoch` is the
    /// coordinator's epoch from now on.
    fn loaded(&mut self, now: Now, leader_epoch: i32, effects: &mut Effects<Self>);
    /// One event.
    fn step(&mut self, now: Now, event: Event<Self::Request>, effects: &mut Effects<Self>);
    /// When to send [`Event::Tick`], in [`Now::steady_ms`]; `None` while nothing is timed. May only move earlier by a step.
    fn next_wakeup(&self) -> Option<i64>;
}
