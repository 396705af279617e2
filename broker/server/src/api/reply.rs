//! What a handler answers with.
//!
//! By the time a handler returns, the order of its appends is fixed; only the answer may come later. The
//! connection sends answers in the order of the requests.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use bytes::BytesMut;
use millstream_broker_log::Slice;

use crate::net::answer_memory::Room;

/// A future of an answer.
pub type Later<R> = Pin<Box<dyn Future<Output = R> + Send>>;

/// The answer of a typed handler.
pub enum Outcome<R> {
    /// It is here.
    Now(R),
    /// It comes.
    Later(Later<R>),
    /// It may be large beside the request, or takes long to make: made and encoded where blocking is allowed, once
    /// there is room for it (net/answer_memory.rs).
    Large(Box<dyn FnOnce() -> R + Send>),
    /// The request says what its version does not allow; the connection is closed, and this is why.
    Malformed(&'static str),
}

impl<R> Outcome<R> {
    /// An answer that `future` will give.
    pub fn later(future: impl Future<Output = R> + Send + 'static) -> Self {
        Outcome::Later(Box::pin(future))
    }
}

impl<R> From<R> for Outcome<R> {
    fn from(response: R) -> Self {
        Outcome::Now(response)
    }
}

/// What became of a request.
pub enum Reply {
    /// The answer was written to the output.
    Done,
    /// The answer comes; requests behind it wait as `next` says.
    Later {
        /// Gives the bytes of the whole answer, or `None` when the connection must be closed.
        answer: Later<Option<Output>>,
        /// What may happen meanwhile.
        next: Next,
    },
    /// There is no answer (acks=0).
    Silent,
    /// The connection is to be closed, as Apache closes it; the reason is for the log.
    Close(&'static str),
}

/// Whether requests behind a waiting one may be handled. Apache Kafka mutes the connection until the answer is
/// sent; appends that only wait for replicas or for an fsync may overtake nothing, so they need not hold others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing else on this connection is handled before the answer is sent.
    Wait,
    /// A Produce request behind it may be handled.
    Produce,
}

/// Room for the usual answers of one read, so that writing them moves nothing.
const BUFFER_BYTES: usize = 512;

/// Bytes on their way to a socket: memory and ranges of files, in order.
#[derive(Debug, Default)]
pub struct Output {
    chunks: VecDeque<Chunk>,
    /// What the large ones among its answers hold until they are sent.
    rooms: Vec<Room>,
}

/// A piece of output.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes in memory.
    Bytes(BytesMut),
    /// A range of a segment, sent without copying it through this process.
    File(Slice),
}

impl Output {
    /// The buffer at the end, made when the last piece is a file.
    pub fn buffer(&mut self) -> &mut BytesMut {
        if !matches!(self.chunks.back(), Some(Chunk::Bytes(_))) {
            self.chunks.push_back(Chunk::Bytes(BytesMut::with_capacity(BUFFER_BYTES)));
        }
        match self.chunks.back_mut() {
            Some(Chunk::Bytes(buffer)) => buffer,
            Some(Chunk::File(_)) | None => unreachable!("a buffer was pushed just now"),
        }
    }

    /// Adds a range of a file.
    pub fn push_file(&mut self, slice: Slice) {
        self.chunks.push_back(Chunk::File(slice));
    }

    /// Moves all of `other` behind this.
    pub fn append(&mut self, mut other: Output) {
        if let (Some(Chunk::Bytes(mine)), Some(Chunk::Bytes(theirs))) = (self.chunks.back_mut(), other.chunks.front()) {
            // Small answers travel in one buffer, so that one write sends many.
            if theirs.len() <= 4096 {
                mine.extend_from_slice(theirs);
                other.chunks.pop_front();
            }
        }
        self.chunks.append(&mut other.chunks);
        self.rooms.append(&mut other.rooms);
    }

    /// Keeps `room` until the output is sent.
    pub fn hold(&mut self, room: Room) {
        self.rooms.push(room);
    }

    /// Drops what is left, once all was sent.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.rooms.clear();
    }

    /// Whether nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.chunks.iter().all(|chunk| match chunk {
            Chunk::Bytes(bytes) => bytes.is_empty(),
            Chunk::File(slice) => slice.length == 0,
        })
    }

    /// The pieces, first to last.
    pub fn chunks(&mut self) -> &mut VecDeque<Chunk> {
        &mut self.chunks
    }

    /// Bytes in all, those of files included.
    pub fn bytes(&self) -> usize {
        let length = |chunk: &Chunk| match chunk {
            Chunk::Bytes(bytes) => bytes.len(),
            Chunk::File(slice) => slice.length,
        };
        self.chunks.iter().map(length).sum()
    }

    /// Bytes of memory held (files count nothing).
    pub fn memory_bytes(&self) -> usize {
        self.chunks
            .iter()
            .map(|chunk| match chunk {
                Chunk::Bytes(bytes) => bytes.len(),
                Chunk::File(_) => 0,
            })
            .sum()
    }
}
