//! What becomes of the records of a batch, told once to all who wait.
//!
//! One shared [`Outcome`] per batch; a [`Delivery`] is a pointer to it and an index, so that a record costs no
//! allocation. The sender settles outcomes, callers await deliveries.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
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

/// Of those who wait, how many are looked through for one that is there already: few tasks await records of one batch
/// in turn, many await one each.
const WAKERS_LOOKED_AT: usize = 8;

enum Settled {
    Written(Written),
    Failed(ClientError),
    /// The batch was split: each part with the index of its first record.
    Moved(Vec<(i32, Arc<Outcome>)>),
}

/// The outcome of one batch; read without a lock once it is there.
pub(crate) struct Outcome {
    partition: i32,
    settled: OnceLock<Settled>,
    waiting: Mutex<Vec<Waker>>,
}

impl Outcome {
    pub fn new(partition: i32) -> Arc<Self> {
        Arc::new(Outcome { partition, settled: OnceLock::new(), waiting: Mutex::default() })
    }

    pub fn written(&self, written: Written) {
        self.settle(Settled::Written(written));
    }

    pub fn failed(&self, error: ClientError) {
        self.settle(Settled::Failed(error));
    }

    pub fn moved(&self, parts: Vec<(i32, Arc<Outcome>)>) {
        self.settle(Settled::Moved(parts));
    }

    fn settle(&self, to: Settled) {
        // A batch is settled once; whoever comes second has nothing to add.
        let _ = self.settled.set(to);
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// What it is, or the task is woken when it is there.
    fn settled(&self, context: &Context<'_>) -> Option<&Settled> {
        if let Some(settled) = self.settled.get() {
            return Some(settled);
        }
        let mut waiting = self.waiting.lock();
        // Set before the wakers are taken: either it is seen here, or this waker is among them.
        if let Some(settled) = self.settled.get() {
            return Some(settled);
        }
        // Tasks that poll again and again leave one waker each.
        if !waiting.iter().rev().take(WAKERS_LOOKED_AT).any(|known| known.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        None
    }
}

/// A batch's part of its outcome: whoever waits hears of it when the batch is gone without one, however that came.
pub(crate) struct Promise(Arc<Outcome>);

impl Promise {
    pub fn new(partition: i32) -> Self {
        Promise(Outcome::new(partition))
    }

    /// For who waits.
    pub fn outcome(&self) -> Arc<Outcome> {
        self.0.clone()
    }
}

impl std::ops::Deref for Promise {
    type Target = Outcome;

    fn deref(&self) -> &Outcome {
        &self.0
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if self.0.settled.get().is_none() {
            self.0.failed(ClientError::State("the producer ended before the record was written"));
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
        self.outcome.settled.get().is_some()
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let Some(settled) = self.outcome.settled(context) else { return Poll::Pending };
            let (first, part) = match settled {
                Settled::Written(written) => {
                    let offset = if written.base_offset < 0 { -1 } else { written.base_offset + i64::from(self.index) };
                    let timestamp = if written.append_time < 0 { self.timestamp } else { written.append_time };
                    return Poll::Ready(Ok(RecordMetadata { partition: self.outcome.partition, offset, timestamp }));
                }
                Settled::Failed(error) => return Poll::Ready(Err(error.clone())),
                Settled::Moved(parts) => match parts.iter().rev().find(|(first, _)| *first <= self.index) {
                    Some((first, part)) => (*first, part.clone()),
                    None => return Poll::Ready(Err(ClientError::State("a record was lost when its batch was split"))),
                },
            };
            self.index -= first;
            self.outcome = part;
        }
    }
}
