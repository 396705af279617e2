//! Memory of large answers: one bound for all connections of the node.
//!
//! Most answers are small beside the request that asks for them. Where a short request can ask for much, the handler
//! says so (`Outcome::Large`); api/dispatch.rs then takes room for the largest answer before it is made and keeps what
//! the answer takes until it is sent. Apache has no such bound.
//! Never here: answers of records, which stay in their files.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one answer may take; a handler leaves out what is beyond.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// So many of the largest may be made or sent at a time.
const LARGEST_AT_A_TIME: usize = 2;
/// Room is counted in pieces of this size.
const PIECE_BYTES: usize = 1024;

/// The bound, and what is left of it.
#[derive(Debug)]
pub struct AnswerMemory {
    pieces: Arc<Semaphore>,
}

impl Default for AnswerMemory {
    fn default() -> Self {
        AnswerMemory { pieces: Arc::new(Semaphore::new(LARGEST_AT_A_TIME * ANSWER_BYTES_MAX / PIECE_BYTES)) }
    }
}

/// Room for one answer; given back when dropped.
#[derive(Debug)]
pub struct Room(OwnedSemaphorePermit);

impl AnswerMemory {
    /// Waits until there is room for the largest answer.
    pub async fn room(&self) -> Room {
        let pieces = (ANSWER_BYTES_MAX / PIECE_BYTES) as u32;
        Room(self.pieces.clone().acquire_many_owned(pieces).await.expect("the semaphore is never closed"))
    }

    /// Bytes that are taken.
    pub fn used(&self) -> usize {
        LARGEST_AT_A_TIME * ANSWER_BYTES_MAX - self.pieces.available_permits() * PIECE_BYTES
    }
}

impl Room {
    /// Gives back what an answer of `bytes` bytes does not take.
    pub fn shrunk(mut self, bytes: usize) -> Room {
        let taken = bytes.div_ceil(PIECE_BYTES).min(self.0.num_permits());
        Room(self.0.split(taken).expect("not more than there are"))
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_third_of_the_largest_waits_until_one_is_known_to_be_smaller() {
        let memory = AnswerMemory::default();
        let taken = |memory: &AnswerMemory| {
            let mut room = pin!(memory.room());
            match room.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                std::task::Poll::Ready(room) => Some(room),
                std::task::Poll::Pending => None,
            }
        };
        let (first, second) = (taken(&memory).expect("room"), taken(&memory).expect("room"));
        assert!(taken(&memory).is_none());
        let first = first.shrunk(5000);
        assert!(taken(&memory).is_none());
        drop(second);
        assert_eq!(memory.used(), 5 * PIECE_BYTES);
        assert!(taken(&memory).is_some());
        drop(first);
        assert_eq!(memory.used(), 0);
    }
}
