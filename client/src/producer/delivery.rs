//! What becomes of the records of a batch, told once to all who wait.
//!
//! One shared [`Outcome`] per batch; a [`Delivery`] is a pointer to it and an index, so that a record costs no
//! allocation. The sender settles outcomes, callers await deliveries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::error::ClientError;

/// Where a record came to stand.
///
/// ```
/// use client::producer::{NewRecord, Producer, RecordMetadata};
///
/// async fn write(producer: &Producer) -> Result<(), client::error::ClientError> {
///     let record = NewRecord { topic: "orders", value: Some(b"paid"), ..NewRecord::default() };
///     let RecordMetadata { partition, offset, .. } = producer.send(record).await?.await?;
///     println!("{partition}@{offset}");
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its partition.
    pub partition: i32,
    /// Its offset; -1 when the broker does not say (acks=0, or a repeat that it had written before).
    pub offset: i64,
    /// Its time: the producer's, or the broker's where the topic keeps the time of the append.
    pub timestamp: i64,
}

/// Where the batch was written, in the broker's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub base_offset: i64,
    /// -1 unless the topic keeps the time of the append.
    pub append_time: i64,
}

enum State {
    Waiting(Vec<Waker>),
    Written(Written),
    Failed(ClientError),
    /// The batch was split: each part with the index of its first record.
    Moved(Vec<(i32, Arc<Outcome>)>),
}

/// The outcome of one batch.
pub(crate) struct Outcome {
    partition: i32,
    settled: AtomicBool,
    state: Mutex<State>,
}

impl Outcome {
    pub fn new(partition: i32) -> Arc<Self> {
        let state = Mutex::new(State::Waiting(Vec::new()));
        Arc::new(Outcome { partition, settled: AtomicBool::new(false), state })
    }

    pub fn written(&self, written: Written) {
        self.settle(State::Written(written));
    }

    pub fn failed(&self, error: ClientError) {
        self.settle(State::Failed(error));
    }

    pub fn moved(&self, parts: Vec<(i32, Arc<Outcome>)>) {
        self.settle(State::Moved(parts));
    }

    fn settle(&self, to: State) {
        let before = std::mem::replace(&mut *self.state.lock(), to);
        self.settled.store(true, Ordering::Release);
        if let State::Waiting(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// A record on its way; resolves when its batch was acknowledged or given up. May be dropped at any time: the record
/// is sent all the same.
///
/// ```
/// use client::producer::{Delivery, NewRecord, Producer};
///
/// async fn write(producer: &Producer, lines: &[&[u8]]) -> Result<(), client::error::ClientError> {
///     let mut deliveries: Vec<Delivery> = Vec::new();
///     for line in lines {
///         deliveries.push(producer.send(NewRecord { topic: "lines", value: Some(line), ..NewRecord::default() }).await?);
///     }
///     for delivery in deliveries {
///         delivery.await?;
///     }
///     Ok(())
/// }
/// ```
#[must_use = "a delivery that nobody awaits tells nobody of a failure; use Producer::push"]
pub struct Delivery {
    outcome: Arc<Outcome>,
    index: i32,
    timestamp: i64,
}

impl Delivery {
    pub(crate) fn new(outcome: Arc<Outcome>, index: i32, timestamp: i64) -> Self {
        Delivery { outcome, index, timestamp }
    }

    /// Whether awaiting it would not wait.
    pub fn is_settled(&self) -> bool {
        self.outcome.settled.load(Ordering::Acquire)
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let outcome = self.outcome.clone();
            let mut state = outcome.state.lock();
            match &mut *state {
                State::Waiting(wakers) => {
                    // A task that polls again and again leaves one waker.
                    if !wakers.last().is_some_and(|last| last.will_wake(context.waker())) {
                        wakers.push(context.waker().clone());
                    }
                    return Poll::Pending;
                }
                State::Written(written) => {
                    let offset = if written.base_offset < 0 { -1 } else { written.base_offset + i64::from(self.index) };
                    let timestamp = if written.append_time < 0 { self.timestamp } else { written.append_time };
                    return Poll::Ready(Ok(RecordMetadata { partition: outcome.partition, offset, timestamp }));
                }
                State::Failed(error) => return Poll::Ready(Err(error.clone())),
                State::Moved(parts) => {
                    let part = parts.iter().rev().find(|(first, _)| *first <= self.index);
                    let Some((first, part)) = part else {
                        return Poll::Ready(Err(ClientError::State("a record was lost when its batch was split")));
                    };
                    self.index -= first;
                    self.outcome = part.clone();
                }
            }
        }
    }
}
